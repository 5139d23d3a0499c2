"""InfoNCE between the two views of every video in the global batch.

Source: Qian et al., CVPR 2021, eq. (1); the released code (TensorFlow Model Garden, video_ssl) sums the two
directions, which `reduction="sum"` reproduces.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vidssl.errors import VidsslError, nearest
from vidssl.nn.gather import gather_with_gradients, rank

REDUCTIONS = {"mean": 0.5, "sum": 1.0}


@dataclass
class InfoNCEOutput:
    """The loss and what is worth logging.

    Attributes:
        loss: scalar with gradient.
        contrastive_accuracy: fraction in [0, 1] of clips whose most similar clip of the other view is the positive.
        entropy: mean entropy in nats of the softmax over candidates.
    """

    loss: Tensor
    contrastive_accuracy: Tensor
    entropy: Tensor


def info_nce(view1: Tensor, view2: Tensor, *, temperature: float = 0.1, reduction: str = "sum") -> InfoNCEOutput:
    """Contrast two views over all processes: the positive is the same video's other view.

    For each clip the candidates are the positive and every other clip of both views in the global batch of N videos
    (2N - 2 negatives); itself is masked out. Computed in float32, whatever autocast says.

    Args:
        view1: float (B, D), L2-normalised embeddings of this process's first views.
        view2: float (B, D), the same videos' second views, in the same order.
        temperature: tau, above 0 (0.1 in the paper, section 4.1).
        reduction: ``sum`` adds the two directions (view 1 as query, view 2 as query), as the released code does;
            ``mean`` halves that, the mean over all 2N clips.

    Returns:
        The loss is a mean over this process's rows: averaging it over processes, as DDP averages gradients, gives
        loss and gradient of one process with the joint batch.

    Raises:
        VidsslError: shapes that do not match, a temperature that is not positive, an unknown reduction.
    """
    _check_shapes(view1, view2)
    check_info_nce_settings(temperature, reduction)
    with torch.autocast(view1.device.type, enabled=False):
        view1, view2 = view1.float(), view2.float()
        all1, all2 = gather_with_gradients(torch.stack((view1, view2), dim=1)).unbind(1)
        positive = torch.arange(len(view1), device=view1.device) + rank() * len(view1)
        directions = [
            _one_direction(view1, all2, all1, positive, temperature),
            _one_direction(view2, all1, all2, positive, temperature),
        ]
        factor = REDUCTIONS[reduction]
        return InfoNCEOutput(
            loss=factor * (directions[0].loss + directions[1].loss),
            contrastive_accuracy=(directions[0].contrastive_accuracy + directions[1].contrastive_accuracy) / 2,
            entropy=(directions[0].entropy + directions[1].entropy) / 2,
        )


def _one_direction(queries: Tensor, other: Tensor, same: Tensor, positive: Tensor, temperature: float) -> InfoNCEOutput:
    """Queries (B, D) of one view against the other view's and their own view's candidates, each (N, D)."""
    to_other = queries @ other.T / temperature
    to_same = queries @ same.T / temperature
    itself = F.one_hot(positive, len(same)).bool()
    logits = torch.cat((to_other, to_same.masked_fill(itself, -torch.inf)), dim=1)
    with torch.no_grad():
        probabilities = logits.softmax(dim=1)
        entropy = torch.special.entr(probabilities).sum(dim=1).mean()
        accuracy = (to_other.argmax(dim=1) == positive).float().mean()
    return InfoNCEOutput(F.cross_entropy(logits, positive), accuracy, entropy)


@torch.no_grad()
def alignment(view1: Tensor, view2: Tensor) -> Tensor:
    """Mean squared distance of positives (Wang and Isola 2020, eq. 4 with alpha 2); 0 is best, embeddings (B, D)."""
    return (view1.float() - view2.float()).square().sum(dim=1).mean()


@torch.no_grad()
def uniformity(embeddings: Tensor) -> Tensor:
    """Log of the mean Gaussian potential of all pairs (Wang and Isola 2020, eq. 5 with t 2); lower is more uniform."""
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


def _check_shapes(view1: Tensor, view2: Tensor) -> None:
    if view1.ndim != 2 or view1.shape != view2.shape:
        raise VidsslError(
            f"info_nce needs two views of the same shape (B, D), got {tuple(view1.shape)} and {tuple(view2.shape)}."
        )
