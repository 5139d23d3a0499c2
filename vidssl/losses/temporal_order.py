"""Which clip of a video came first.

Source: Yao et al., "SeCo", AAAI 2021 (temporal order validation), as used by MCL on UCF101.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vidssl.losses.queue_info_nce import ContrastOutput
from vidssl.nn.gather import mean_over_processes

UNDEFINED = -1


def order_label(query_start: Tensor, other_starts: Tensor) -> Tensor:
    """Return whether the query began before or after all the other clips.

    Args:
        query_start: int64 (B,), frame numbers.
        other_starts: int64 (B, O), frame numbers.

    Returns:
        int64 (B,): 1 before all of them, 0 after all of them, -1 neither.
    """
    before = query_start < other_starts.amin(dim=1)
    after = query_start > other_starts.amax(dim=1)
    return torch.where(before, 1, torch.where(after, 0, UNDEFINED))


def order_loss(logits: Tensor, label: Tensor) -> ContrastOutput:
    """Cross-entropy over the rows whose order is defined, on all processes; float32 even under autocast.

    Args:
        logits: float (B, 2), after and before.
        label: int64 (B,) of `order_label`.

    Returns:
        The loss is scaled so that its mean over processes is the mean over the defined rows of all of them; 0, with
        zero gradients, where there are none.
    """
    with torch.autocast(logits.device.type, enabled=False):
        defined = label != UNDEFINED
        mean_count = mean_over_processes(defined.sum().float())
        mean_count = torch.where(mean_count > 0, mean_count, 1)
        summed = F.cross_entropy(logits.float(), label, ignore_index=UNDEFINED, reduction="sum")
        correct = ((logits.argmax(dim=1) == label) & defined).sum()
        return ContrastOutput(summed / mean_count, correct / mean_count)
