"""Predict the cluster of one view of a video from another view; clusters of equal size by Sinkhorn-Knopp.

Source: Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments" (SwAV), NeurIPS 2020
(arXiv 2006.09882), eq. (1) to (5). Everything is computed in float32, whatever autocast says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import permutations
from operator import add

import torch
from torch import Tensor

from vidssl.errors import VidsslError
from vidssl.nn.gather import gather, rank
from vidssl.nn.products import product


@dataclass
class AssignmentOutput:
    """The loss and values to log.

    Attributes:
        loss: scalar with gradient.
        agreement: share in [0, 1] of pairs of views of a video whose likeliest clusters are the same.
    """

    loss: Tensor
    agreement: Tensor


@torch.no_grad()
def sinkhorn(scores: Tensor, *, epsilon: float, num_iterations: int) -> Tensor:
    """Assign clips to clusters, softly, so that every cluster gets nearly the same share of them (eq. 3 and 5).

    Rows and columns of exp(scores / epsilon) are normalised in turn, as logarithms, which neither overflow nor vanish.

    Args:
        scores: float (N, K), similarity of clip and cluster.
        epsilon: weight of the entropy, above 0; the smaller, the harder the assignment.
        num_iterations: at least 1; the columns' sums approach N / K, the more the closer.

    Returns:
        float32 (N, K), at least 0; each row's sum is 1.
    """
    logarithms = scores.float() / epsilon
    for _ in range(num_iterations):
        logarithms = logarithms.log_softmax(dim=0).log_softmax(dim=1)
    return logarithms.exp()


def swapped_assignment(
    embeddings: Sequence[Tensor], prototypes: Tensor, *, temperature: float, epsilon: float, num_iterations: int
) -> AssignmentOutput:
    """Predict each view's assignment from each other view's embedding.

    Training falls back to equal assignments, with loss log K, if the scores of two views of a video (minus their means)
    correlate by less than epsilon / temperature. The reason: a small difference d changes an assignment by d / epsilon
    and a prediction by d / temperature, and one view knows only a share of the other's d, which is the correlation.

    Args:
        embeddings: V views, two or more, each float (B, D), L2-normalised.
        prototypes: float (K, D), L2-normalised, the clusters' centres, the same on every process.
        temperature: tau of the prediction, above 0.
        epsilon: of `sinkhorn`.
        num_iterations: of `sinkhorn`.

    Returns:
        The loss is the mean cross-entropy over this process's rows and all ordered pairs of different views. The
        assignments, which have no gradient, are those of all processes' clips together, a view at a time: averaged over
        processes, as DDP averages gradients, loss and gradient are those of one process with the joint batch.

    Raises:
        VidsslError: fewer than two views, or shapes that do not fit.
    """
    shapes = [tuple(view.shape) for view in embeddings]
    if len(shapes) < 2 or len(set(shapes)) > 1 or len(shapes[0]) != 2 or shapes[0][1] != prototypes.shape[1]:
        raise VidsslError(
            f"Swapped assignment needs two views or more of one shape (B, D) and prototypes (K, D), got {shapes} and "
            f"{tuple(prototypes.shape)}."
        )
    with torch.autocast(prototypes.device.type, enabled=False):
        rows = torch.stack([view.float() for view in embeddings], dim=1)
        scores = product(rows.flatten(0, 1), prototypes.float().T).unflatten(0, rows.shape[:2])
        own = slice(rank() * len(scores), (rank() + 1) * len(scores))
        codes = [
            sinkhorn(view, epsilon=epsilon, num_iterations=num_iterations)[own] for view in gather(scores).unbind(1)
        ]
        predicted = (scores / temperature).log_softmax(dim=2).unbind(1)
        pairs = list(permutations(range(len(codes)), 2))
        loss = -reduce(add, ((codes[i] * predicted[j]).sum(dim=1).mean() for i, j in pairs)) / len(pairs)
        likeliest = [code.argmax(dim=1) for code in codes]
        agreed = reduce(add, ((likeliest[i] == likeliest[j]).float().mean() for i, j in pairs))
        return AssignmentOutput(loss, agreed / len(pairs))
