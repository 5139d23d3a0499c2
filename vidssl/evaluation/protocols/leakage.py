"""Whether a network is tested on videos that it was trained on."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.data.training_history import TrainedSplit, list_name
from vidssl.errors import VidsslError

NAMED_VIDEOS = 3

logger = logging.getLogger(__name__)


def seen_in_training(history: Iterable[TrainedSplit] | None, catalog: Catalog, rows: np.ndarray) -> np.ndarray | None:
    """Return the rows that the network was trained on, with or without labels; None where that is not wholly known.

    Args:
        history: of the checkpoint, see `vidssl.data.training_history`.
        catalog: that of the rows.
        rows: the videos to be tested on, int64 (n,).
    """
    history = None if history is None else list(history)
    if history is None or not all(part.can_tell(catalog) for part in history):
        return None
    seen = np.zeros(len(rows), dtype=bool)
    for part in history:
        seen |= part.seen(catalog, rows)
    return rows[seen]


def _copies(history: Iterable[TrainedSplit], catalog: Catalog, rows: np.ndarray) -> np.ndarray:
    """Say of each row whether it is known by its contents alone."""
    by_row, by_content = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    for part in history:
        by_content |= part.holds_copies(catalog, rows)
        if part.catalog_digest == catalog.digest:
            by_row |= np.isin(rows, catalog.split(part.split))
    return by_content & ~by_row


def check_unseen(
    history: Iterable[TrainedSplit] | None, catalog: Catalog, rows: np.ndarray, checkpoint: str, consent: str
) -> None:
    """Refuse to test on videos that were trained on; warn where that is not known because a list is missing.

    Args:
        history: see `seen_in_training`; None passes.
        catalog: that of the rows.
        rows: the videos to be tested on.
        checkpoint: its name, for the message.
        consent: how users say that they mean it, for the message ("set ... to true").

    Raises:
        VidsslError: some were; the message names a few.
    """
    parts = [] if history is None else list(history)
    for part in parts:
        if not part.can_tell(catalog):
            logger.warning(
                "Whether %s was trained on the query videos is not known, and the record does not say: the list of its "
                "%s training videos, %s, is not in its folder. Copy it from where the checkpoint was written.",
                checkpoint,
                f"{part.num_videos:,}",
                list_name(part.digest),
            )
    parts = [part for part in parts if part.can_tell(catalog)]
    seen = seen_in_training(parts, catalog, rows)
    if seen is None or len(seen) == 0:
        return
    exact = any(part.catalog_digest == catalog.digest for part in parts)
    how_known = "" if exact else ", recognised by file name and number of frames or by the contents of the files,"
    copies = seen[_copies(parts, catalog, seen)]
    if exact and len(copies):
        how_known = f", {len(copies):,} of them as copies under other names, such as {catalog.name(int(copies[0]))},"
    named = ", ".join(catalog.name(int(row)) for row in seen[:NAMED_VIDEOS])
    more = ", ..." if len(seen) > NAMED_VIDEOS else ""
    raise VidsslError(
        f"{checkpoint} was trained on {len(seen):,} of the {len(rows):,} query videos ({named}{more})"
        f"{how_known or ','} so the numbers would say nothing about new videos. Test on a split it has not seen, or, "
        f"where training without labels on the test videos is what you mean, {consent}; the record then counts them."
    )
