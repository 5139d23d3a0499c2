"""A summary of a catalog in a few lines."""

from __future__ import annotations

import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.copies import copies_in_words
from vidssl.catalogs.layout import printable

NAMES_SHOWN = 4
USUAL_CLIP = 31  # of the shipped configurations
BAD_SHOWN = 5


def summarise(catalog: Catalog) -> str:
    """Summarise a catalog: videos, classes, groups, splits, lengths, and bad videos."""
    lines = [f"Catalog of {len(catalog):,} videos, digest {catalog.digest}, in {catalog.file}"]
    source = catalog.source
    packed = source.get("packed")
    facts = {
        "videos in": str(catalog.root),
        "packed": f"preset {packed['preset']}, of catalog {packed['source_digest']}" if packed else "",
        "listed": f"{source.get('listed', len(catalog)):,}, of which {source.get('found', len(catalog)):,} were found",
        "classes": _names(catalog.classes),
        "groups": _names(catalog.group_names),
        "splits": ", ".join(_split(catalog, name) for name in catalog.split_names) or "only all",
        "length": f"{catalog.durations_seconds.sum() / 3600:,.2f} hours, {_range(catalog.num_frames)} frames per video",
        "pictures": f"{_range(catalog.widths)} x {_range(catalog.heights)} pixels, {_range(catalog.fps)} frames/s",
        "short": _short(catalog),
        "copies": "\n".join(copies_in_words(catalog)).replace("\n", f"\n{'':<13}"),
        "bad": f"{len(catalog.bad):,}" + (" of the listed ones are left out:" if catalog.bad else ""),
    }
    lines += [f"  {name:<10} {value}" for name, value in facts.items() if value]
    lines += [f"    {path}: {reason}" for path, reason in catalog.bad[:BAD_SHOWN]]
    if len(catalog.bad) > BAD_SHOWN:
        lines.append(f"    ... and {len(catalog.bad) - BAD_SHOWN:,} more")
    return printable("\n".join(lines))


def _short(catalog: Catalog) -> str:
    clip = f"{USUAL_CLIP} frames (16 at stride 2)"
    looped, overlapping = (int((catalog.num_frames < clips * USUAL_CLIP).sum()) for clips in (1, 2))
    stated = {
        f"shorter than a clip of {clip}, in which they would be looped": looped,
        f"shorter than two clips of {clip}, which would always overlap": overlapping,
    }
    lines = [f"{short:,} of {len(catalog):,} videos are {what}" for what, short in stated.items() if short]
    return "\n".join(lines).replace("\n", f"\n{'':<13}")


def _split(catalog: Catalog, name: str) -> str:
    usable = len(catalog.split(name))
    listed = catalog.source.get("listed_per_split", {}).get(name, usable)
    return f"{name} {usable:,}" + (f" of {listed:,}" if listed != usable else "")


def _names(names: list[str]) -> str:
    if not names:
        return "none"
    stated = ", ".join(names[:NAMES_SHOWN])
    return f"{len(names):,}: {stated}" + (", ..." if len(names) > NAMES_SHOWN else "")


def _range(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
