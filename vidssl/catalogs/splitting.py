"""Splits for catalogs without splits: a share of the videos of each class, whole groups, or groups by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidssl.catalogs.catalog import Catalog, write_catalog
from vidssl.errors import VidsslError, nearest

UNITS = ("video", "group")
"""What a draw keeps whole."""


@dataclass(frozen=True)
class Split:
    """The rows of two splits that share no video.

    Attributes:
        train: int64 (n,), rising row numbers of the catalog.
        test: int64 (m,), all other rows, rising.
    """

    train: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, is_test: np.ndarray) -> Split:
        """Make a split of a mask, bool (N,).

        Raises:
            VidsslError: one of the two would be empty.
        """
        if is_test.all() or not is_test.any():
            empty = "train" if is_test.all() else "test"
            raise VidsslError(f"The split {empty!r} of {len(is_test):,} videos would be empty; choose another share.")
        return cls(np.flatnonzero(~is_test), np.flatnonzero(is_test))


def draw_split(catalog: Catalog, share: float, by: str, rng: np.random.Generator) -> Split:
    """Draw test videos.

    Args:
        catalog: the videos.
        share: of the test videos, in (0, 1).
        by: ``video`` draws this share of the videos of each class, at least one where a class has two or more;
            ``group`` draws whole groups, in random order, each taken if it brings the number of test videos closer to
            the share.
        rng: draws.

    Raises:
        VidsslError: the share is out of its range, the unit is unknown, videos have no group, or one of the two splits
            would be empty.
    """
    if not 0 < share < 1:
        raise VidsslError(f"The share of test videos must be above 0 and below 1, got {share}.")
    if by not in UNITS:
        raise VidsslError(f"Videos cannot be split by {by!r}.{nearest(by, UNITS)} Known: {', '.join(UNITS)}.")
    draw = {"video": _share_of_each_class, "group": _whole_groups}[by]
    return Split.of(draw(catalog, share, rng))


def split_by_names(catalog: Catalog, groups: Sequence[str]) -> Split:
    """Take the videos of these groups for the test.

    Raises:
        VidsslError: there is no such group, or a split would be empty.
    """
    unknown = [name for name in groups if name not in catalog.group_names]
    if unknown:
        hint = nearest(unknown[0], catalog.group_names)
        known = ", ".join(catalog.group_names) or "none"
        raise VidsslError(f"The catalog {catalog.file} has no group {unknown[0]!r}.{hint} It has: {known}.")
    return Split.of(np.isin(catalog.groups, [catalog.group_names.index(name) for name in groups]))


def write_with_splits(catalog: Catalog, file: Path, splits: Mapping[str, np.ndarray]) -> None:
    """Write a catalog again, with further splits.

    Args:
        catalog: the videos, and the splits that it has.
        file: where to; the catalog's own file will do.
        splits: name -> row numbers, int64 (n,).

    Raises:
        VidsslError: a split of this name is there already, or the file cannot be written.
    """
    taken = [name for name in splits if name in catalog.split_names]
    if taken:
        raise VidsslError(f"The catalog {catalog.file} has a split {taken[0]!r} already; choose another --number.")
    own = {name: catalog.split(name) for name in catalog.split_names}
    write_catalog(
        file,
        list(catalog),
        classes=catalog.classes,
        group_names=catalog.group_names,
        splits={**own, **splits},  # type: ignore[dict-item]  # numpy arrays are sequences of row numbers
        root=catalog.root if catalog.root_is_absolute else os.path.relpath(catalog.root, file.absolute().parent),
        source=catalog.source,
        bad=catalog.bad,
    )


def _share_of_each_class(catalog: Catalog, share: float, rng: np.random.Generator) -> np.ndarray:
    is_test = np.zeros(len(catalog), bool)
    for label in np.unique(catalog.labels):
        rows = np.flatnonzero(catalog.labels == label)
        wanted = int(np.clip(round(share * len(rows)), min(1, len(rows) - 1), max(len(rows) - 1, 0)))
        is_test[rng.permutation(rows)[:wanted]] = True
    return is_test


def _whole_groups(catalog: Catalog, share: float, rng: np.random.Generator) -> np.ndarray:
    without = np.flatnonzero(catalog.groups < 0)
    if len(without):
        raise VidsslError(
            f"{len(without):,} of {len(catalog):,} videos in {catalog.file} have no group, such as "
            f"{catalog.name(int(without[0]))}; prepare it with --group-pattern, or split by video."
        )
    is_test, wanted = np.zeros(len(catalog), bool), share * len(catalog)
    for group in rng.permutation(np.unique(catalog.groups)):
        members = catalog.groups == group
        if abs(is_test.sum() + members.sum() - wanted) < abs(is_test.sum() - wanted):
            is_test |= members
    return is_test
