"""Checks whether a catalog or stored motion is undamaged."""

from __future__ import annotations

import argparse


def check_catalog(options: argparse.Namespace) -> int:
    """Compare a catalog and its videos with what they were; return the exit code."""
    from vidssl.catalogs.catalog import Catalog
    from vidssl.catalogs.checking import changed_videos
    from vidssl.catalogs.copies import copies_in_words
    from vidssl.catalogs.layout import printable
    from vidssl.jobs.progress import show_progress

    catalog = Catalog.open(options.name, options.root, verify="whole")
    print(printable(f"{catalog.file}: {len(catalog):,} videos in {catalog.root}\n  columns as they were written"))
    if not catalog.knows_files:
        print("  how the videos' files were is not known: version 0.1 made this catalog; prepare it again")
    with show_progress(len(catalog), doing="looking at", done="looked at") as watch:
        changed = changed_videos(catalog, watch)
    whole = len(catalog) - len(changed)
    print(f"  {whole:,} of {len(catalog):,} videos are {'as they were prepared' if catalog.knows_files else 'there'}")
    for line in [*(f"{path}: {difference}" for path, difference in changed.items()), *copies_in_words(catalog)]:
        print(printable(f"    {line}"))
    return 1 if changed else 0


def check_motion(options: argparse.Namespace) -> int:
    """Compare stored motion with its checksums; return the exit code."""
    from vidssl.motion.store import MotionStore

    store = MotionStore.open(options.name, verify="whole")
    print(f"{store.file}: the motion of {len(store):,} videos, columns as they were written")
    return 0
