"""InfoNCE of queries against a queue of keys, and among the clips of one video.

Sources: He et al., "Momentum Contrast", CVPR 2020, eq. (1); Li et al., ICCV 2021, and Yao et al., "SeCo", AAAI 2021,
for three positives a query and for the clips of one video. Everything is computed in float32, whatever autocast says.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vidssl.errors import VidsslError
from vidssl.nn.products import product


@dataclass
class ContrastOutput:
    """A loss and values to log.

    Attributes:
        loss: scalar with gradient.
        accuracy: fraction in [0, 1] of the comparisons in which the positive is the most similar.
    """

    loss: Tensor
    accuracy: Tensor


def queue_info_nce(
    queries: Tensor, positives: Tensor, negatives: Tensor, *, temperature: float, left_out: Tensor | None = None
) -> ContrastOutput:
    """Contrast each query with each of its positives in turn, against all keys of a queue.

    Args:
        queries: float (B, D), L2-normalised.
        positives: float (B, P, D), L2-normalised, P keys of each query's video.
        negatives: float (N, D), L2-normalised, the same for every query. They are kept for the backward pass: no
            writing into them before it.
        temperature: tau, above 0.
        left_out: bool (B, N), pairs of query and negative that do not count, such as keys of the query's own video;
            None counts all, as in the papers. A query with no negative left has loss 0.

    Returns:
        The loss is the mean over all B * P pairs.

    Raises:
        VidsslError: shapes that do not fit.
    """
    _check_shapes(queries, positives)
    with torch.autocast(queries.device.type, enabled=False):
        queries = queries.float()
        to_positives = product(positives.float(), queries[..., None]).squeeze(-1) / temperature
        to_negatives = product(queries, negatives.float().T) / temperature
        if left_out is not None:  # not -inf, whose sum has no gradient where all are left out
            to_negatives = to_negatives.masked_fill(left_out, torch.finfo(to_negatives.dtype).min)
        # -log(e^p / (e^p + sum_n e^n)) = log(1 + e^(log sum_n e^n - p)): the negatives are summed once for all P
        loss = F.softplus(to_negatives.logsumexp(dim=1, keepdim=True) - to_positives).mean()
        best = to_negatives.detach().amax(dim=1, keepdim=True)
        return ContrastOutput(loss, (to_positives.detach() > best).float().mean())


def clip_info_nce(queries: Tensor, same_clip: Tensor, other_clips: Tensor, *, temperature: float) -> ContrastOutput:
    """Tell the query's own clip from each of the other clips of its video (SeCo's intra-video discrimination).

    Args:
        queries: float (B, D), L2-normalised.
        same_clip: float (B, D), keys of the same frames with another augmentation.
        other_clips: float (B, O, D), keys of other times of the same video.
        temperature: tau, above 0.

    Returns:
        The loss is the mean of all B * O cross-entropies between two candidates.

    Raises:
        VidsslError: shapes that do not fit.
    """
    _check_shapes(queries, other_clips)
    with torch.autocast(queries.device.type, enabled=False):
        queries = queries.float()
        to_same = (queries * same_clip.float()).sum(dim=1, keepdim=True)
        margin = (to_same - product(other_clips.float(), queries[..., None]).squeeze(-1)) / temperature
        return ContrastOutput(F.softplus(-margin).mean(), (margin.detach() > 0).float().mean())


def _check_shapes(queries: Tensor, keys: Tensor) -> None:
    if queries.ndim != 2 or keys.ndim != 3 or (len(queries), queries.shape[1]) != (len(keys), keys.shape[2]):
        raise VidsslError(
            f"Queries (B, D) are contrasted with keys (B, P, D), got {tuple(queries.shape)} and {tuple(keys.shape)}."
        )
