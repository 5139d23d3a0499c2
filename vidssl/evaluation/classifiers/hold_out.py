"""A part of the training videos to choose settings on, so that nothing is ever chosen on test videos."""

from __future__ import annotations

import numpy as np

from vidssl.errors import VidsslError


def hold_out(labels: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Choose videos, class by class and never a part of a group, so that the rest still has every class.

    Groups are taken in random order as long as no class loses more than its share, rounded up; a video without a group
    is a group of its own. Where all groups are too large for that, the smallest one is held out.

    Args:
        labels: int64 (N,).
        groups: int64 (N,), who or what a video comes from; -1 where unknown.
        share: of every class, in (0, 1).
        rng: draws the order.

    Returns:
        bool (N,), True for what is held out.

    Raises:
        VidsslError: no class would be on both sides.
    """
    classes, columns, counts = np.unique(labels, return_inverse=True, return_counts=True)
    left = np.minimum(np.ceil(share * counts).astype(np.int64), counts - 1)
    members = _members(groups)
    held_out = np.zeros(len(labels), dtype=bool)
    for place in rng.permutation(len(members)):
        taken, number = np.unique(columns[members[place]], return_counts=True)
        if (number <= left[taken]).all():
            left[taken] -= number
            held_out[members[place]] = True
    if not held_out.any():
        held_out[min(members, key=len)] = True
    if not np.isin(labels[held_out], labels[~held_out]).any():
        raise VidsslError(
            f"The {len(labels)} training videos cannot be parted into some to fit on and some to choose on: "
            f"{len(classes)} classes in {len(members)} groups, and no class is in more than one of them."
        )
    return held_out


def _members(groups: np.ndarray) -> list[np.ndarray]:
    alone = groups < 0
    names = np.where(alone, groups.max() + 1 + np.arange(len(groups)), groups)
    order = np.argsort(names, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(names[order])) + 1)
