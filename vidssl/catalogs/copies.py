"""Copies: videos that a catalog contains more than once, under any names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.file_state import UNKNOWN


def copies(catalog: Catalog) -> list[list[int]]:
    """Return the rows of each file that is there more than once, ascending, in the order of their first."""
    contents = catalog.contents
    values, counts = np.unique(contents[contents != UNKNOWN], return_counts=True)
    rows_of: dict[int, list[int]] = {}
    for row in np.flatnonzero(np.isin(contents, values[counts > 1])).tolist():
        rows_of.setdefault(int(contents[row]), []).append(row)
    return list(rows_of.values())


def shared_by_splits(catalog: Catalog, groups: list[list[int]]) -> Iterator[tuple[str, str, list[tuple[int, int]]]]:
    """Yield pairs of splits that have no row in common, but copies: their names, and rows of the one and the other."""
    members = {name: set(catalog.split(name).tolist()) for name in catalog.split_names}
    for one, other in combinations(members, 2):
        if members[one] & members[other]:
            continue
        pairs = [(a, b) for rows in groups for a in rows if a in members[one] for b in rows if b in members[other]]
        if pairs:
            yield one, other, pairs


def copies_in_words(catalog: Catalog, named: int = 3) -> list[str]:
    """Report copies, first of all those in two splits; empty if there are none."""
    groups = copies(catalog)
    if not groups:
        return []
    extra = sum(len(rows) - 1 for rows in groups)
    lines = [f"{extra:,} videos have the same contents as others: {_named(catalog, groups, named)}"]
    for one, other, pairs in shared_by_splits(catalog, groups):
        lines.append(f"{len(pairs):,} of them in {one} and {other}: {_named(catalog, pairs, named)}")
    return lines


def _named(catalog: Catalog, groups: list[list[int]] | list[tuple[int, int]], count: int) -> str:
    words = [" = ".join(catalog.path(row) for row in rows[:count]) for rows in groups[:count]]
    return ", ".join(words) + (", ..." if len(groups) > count else "")
