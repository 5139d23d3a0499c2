"""Features of clips that are changed in time: the frames are decoded once, the network sees them in every order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidssl.evaluation.temporal.changes import TimeChanges
from vidssl.types import ClipBatch


def changed_batch(batch: ClipBatch, changes: TimeChanges, name: str) -> ClipBatch:
    """Return a batch with the frames of every clip in another order; the batch itself is left as it is.

    Args:
        batch: of evaluation clips.
        changes: says what the change is.
        name: of the change.
    """
    rows = batch.index.tolist()
    views = []
    for number, view in enumerate(batch.views):
        orders = [changes.order(name, view.shape[2], row, number) for row in rows]
        places = torch.from_numpy(np.stack(orders)).to(view.device)
        views.append(torch.stack([clip[:, order] for clip, order in zip(view, places, strict=True)]))
    return replace(batch, views=views)


def features_under_changes(
    encode: Callable[[ClipBatch], Any],
    batch: ClipBatch,
    outputs: dict[str, Tensor],
    changes: TimeChanges,
) -> dict[str, Tensor]:
    """Encode a batch under every change, one after the other.

    Args:
        encode: a step of the network; of a batch it returns, among others, `features` (B, V, D).
        batch: as it was decoded.
        outputs: `features` (B, V, D) and `index` (B,) of the batch as it is, computed already.
        changes: C of them, the first leaves everything as it is.

    Returns:
        `features` (B, C, V, D) and `index` (B,).
    """
    features = [outputs["features"]]
    features += [encode(changed_batch(batch, changes, name))["features"] for name in changes.names[1:]]
    return {"features": torch.stack(features, dim=1), "index": outputs["index"]}
