"""How well each view of a video predicts the embeddings of its other views, without negatives.

Sources: Chen and He, "Exploring Simple Siamese Representation Learning", CVPR 2021, eq. (1) to (4); Grill et al.,
"Bootstrap Your Own Latent", NeurIPS 2020, eq. (2). More than two views: Feichtenhofer et al., CVPR 2021 (arXiv
2104.14558), in whose released code each view predicts all others in turn. Everything is computed in float32, whatever
autocast says.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import permutations
from operator import add

import torch
import torch.nn.functional as F
from torch import Tensor

from vidssl.errors import VidsslError


def negative_cosine(predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Return the mean of -cos(prediction of view i, target of view j) over all i != j and all rows (SimSiam).

    Args:
        predictions: V views, two or more, each float (B, D), of any length.
        targets: V views of the same shape; no gradient goes into them.

    Returns:
        A scalar in [-1, 1], the mean over this process's rows.

    Raises:
        VidsslError: fewer than two views, or shapes that differ.
    """
    _check_shapes(predictions, targets)
    with torch.autocast(predictions[0].device.type, enabled=False):
        predictions = [F.normalize(view.float(), dim=1) for view in predictions]
        targets = [F.normalize(view.detach().float(), dim=1) for view in targets]
        pairs = list(permutations(range(len(predictions)), 2))
        return -reduce(add, ((predictions[i] * targets[j]).sum(dim=1).mean() for i, j in pairs)) / len(pairs)


def normalised_regression(predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Return BYOL's loss: the squared distance of unit vectors, 2 - 2 cos, symmetrised.

    Args:
        predictions: V views, two or more, each float (B, D), of any length.
        targets: V views of the same shape; no gradient goes into them.

    Returns:
        A scalar in [0, 4 V]: the sum over predicting views of the mean over the views that they predict. With two
        views it is eq. (2) added to the same with the views exchanged, as in the paper.

    Raises:
        VidsslError: fewer than two views, or shapes that differ.
    """
    return len(predictions) * (2 + 2 * negative_cosine(predictions, targets))


def _check_shapes(predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    shapes = [tuple(view.shape) for view in (*predictions, *targets)]
    if len(predictions) < 2 or len(predictions) != len(targets) or len(shapes[0]) != 2 or len(set(shapes)) > 1:
        raise VidsslError(
            "Views predict each other: two or more predictions and as many targets, all of one shape (B, D), got "
            f"{shapes[: len(predictions)]} and {shapes[len(predictions) :]}."
        )
