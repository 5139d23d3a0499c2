"""InfoNCE between the views of every video in the global batch.

Sources: Qian et al., CVPR 2021, eq. (1); the released code (TensorFlow Model Garden, video_ssl) sums the two
directions, which `reduction="sum"` reproduces. Chen et al., "SimCLR", ICML 2020, eq. (1): NT-Xent is the mean of both.
More than two views: Feichtenhofer et al., CVPR 2021 (arXiv 2104.14558), whose released code contrasts each of the
other views of a video in turn with all clips of other videos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import permutations
from operator import add

import torch
import torch.nn.functional as F
from torch import Tensor

from vidssl.errors import VidsslError, nearest
from vidssl.nn.gather import gather_with_gradients, rank
from vidssl.nn.products import product

REDUCTIONS = {"mean": lambda num_views: 1, "sum": lambda num_views: num_views}
"""Name in a configuration -> factor of the mean over pairs of views."""


@dataclass
class InfoNCEOutput:
    """The loss and values to log.

    Attributes:
        loss: scalar with gradient.
        contrastive_accuracy: fraction in [0, 1] of clips whose most similar clip of the other view is the positive.
        entropy: mean entropy in nats of the softmax over candidates.
    """

    loss: Tensor
    contrastive_accuracy: Tensor
    entropy: Tensor


def info_nce(*views: Tensor, temperature: float = 0.1, reduction: str = "sum") -> InfoNCEOutput:
    """Contrast views over all processes: the positives of a clip are the same video's other views, one at a time.

    For each pair of a clip and a positive the candidates are the positive and every clip, in any view, of the other
    videos in the global batch of N. That makes V * (N - 1) negatives with V views, 2N - 2 with two. Computed in float32
    even under autocast.

    Args:
        views: two or more, each float (B, D), L2-normalised embeddings of this process's videos, in the same order.
        temperature: tau, above 0 (0.1 in CVRL, section 4.1).
        reduction: over pairs of different views, ordered as query and positive: their ``mean``, NT-Xent; or ``sum``,
            which is V times that. With two views it adds the two directions, as CVRL's released code does.

    Returns:
        The loss is a mean over this process's rows: averaging it over processes, as DDP averages gradients, gives
        loss and gradient of one process with the joint batch.

    Raises:
        VidsslError: fewer than two views, shapes that do not match, a temperature that is not positive, an unknown
            reduction.

    Example:
        >>> views = torch.eye(4), torch.eye(4)  # both views of a video are the same, and unlike all other videos
        >>> output = info_nce(*views, temperature=0.1, reduction="mean")
        >>> f"{output.loss:.4f}, {output.contrastive_accuracy:.0%}"
        '0.0003, 100%'
    """
    _check_shapes(views)
    check_info_nce_settings(temperature, reduction)
    with torch.autocast(views[0].device.type, enabled=False):
        queries = [view.float() for view in views]
        gathered = gather_with_gradients(torch.stack(queries, dim=1)).unbind(1)
        own = torch.arange(len(queries[0]), device=queries[0].device) + rank() * len(queries[0])
        directions = [
            _one_direction(queries[query], gathered, positive, own, temperature)
            for query, positive in permutations(range(len(queries)), 2)
        ]
        loss, accuracy, entropy = (reduce(add, values) for values in zip(*directions, strict=True))
        factor = REDUCTIONS[reduction](len(views)) / len(directions)
        return InfoNCEOutput(factor * loss, accuracy / len(directions), entropy / len(directions))


def _one_direction(
    queries: Tensor, views: Sequence[Tensor], positive: int, own: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return loss, accuracy and entropy of queries (B, D) of the videos `own` among all clips of all views.

    Each view is (N, D); the one with the number `positive` holds the positives.
    """
    to_positive_view = product(queries, views[positive].T) / temperature
    itself = F.one_hot(own, len(views[positive])).bool()
    others = [view for number, view in enumerate(views) if number != positive]
    to_others = [(product(queries, view.T) / temperature).masked_fill(itself, -torch.inf) for view in others]
    logits = torch.cat((to_positive_view, *to_others), dim=1)
    with torch.no_grad():
        probabilities = logits.softmax(dim=1)
        entropy = torch.special.entr(probabilities).sum(dim=1).mean()
        accuracy = (to_positive_view.argmax(dim=1) == own).float().mean()
    return F.cross_entropy(logits, own), accuracy, entropy


@torch.no_grad()
def alignment(view1: Tensor, view2: Tensor) -> Tensor:
    """Return the mean squared distance of positives (Wang and Isola 2020, eq. 4 with alpha 2).

    Args:
        view1: float (B, D), L2-normalised embeddings.
        view2: float (B, D), those of the same videos, in the same order.

    Returns:
        A float32 scalar in [0, 4] without gradient; 0 is best.
    """
    return (view1.float() - view2.float()).square().sum(dim=1).mean()


@torch.no_grad()
def uniformity(embeddings: Tensor) -> Tensor:
    """Return the logarithm of the mean Gaussian potential of all pairs (Wang and Isola 2020, eq. 5 with t 2).

    Args:
        embeddings: float (N, D), L2-normalised, N at least 2.

    Returns:
        A float32 scalar in [-8, 0] without gradient; lower is more uniform.
    """
    return torch.pdist(embeddings.float()).square().mul(-2).exp().mean().log()


def check_info_nce_settings(temperature: float, reduction: str, *, prefix: str = "") -> None:
    """Refuse settings that `info_nce` cannot use.

    Args:
        temperature: must be above 0.
        reduction: must be one of `REDUCTIONS`.
        prefix: what stands before the names in messages, such as the key that holds them (``"model."``).

    Raises:
        VidsslError: naming the setting and its value.
    """
    if not temperature > 0:
        raise VidsslError(f"{prefix}temperature must be above 0, got {temperature}.")
    if reduction not in REDUCTIONS:
        hint = f"{nearest(reduction, REDUCTIONS)} Known: {', '.join(REDUCTIONS)}."
        raise VidsslError(f"{prefix}reduction: unknown reduction {reduction!r}.{hint}")


def _check_shapes(views: Sequence[Tensor]) -> None:
    if len(views) < 2 or any(view.ndim != 2 or view.shape != views[0].shape for view in views):
        shapes = " and ".join(str(tuple(view.shape)) for view in views)
        raise VidsslError(f"info_nce needs two views or more of the same shape (B, D), got {shapes or 'none'}.")
