"""Variance, invariance and covariance of the embeddings of two views.

Source: Bardes et al., "VICReg: Variance-Invariance-Covariance Regularization", ICLR 2022 (arXiv 2105.04906), eq. (1) to
(6), with two factors of the released code that the coefficients belong to: invariance is a mean over dimensions too,
where eq. (5) adds them up, and the two views' variance terms are averaged, where eq. (6) adds them up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vidssl.errors import VidsslError
from vidssl.nn.gather import gather_with_gradients
from vidssl.nn.products import product

EPSILON = 1e-4
"""Added to the variance under the root (section 4.1)."""
TARGET_STD = 1.0
"""gamma of eq. (1)."""


@dataclass
class VICRegTerms:
    """The three terms, scalars with gradients, each 0 or more.

    Attributes:
        invariance: mean squared difference of the views, over this process's rows and all dimensions.
        variance: how far the standard deviation of each dimension is below 1; mean over dimensions and views.
        covariance: squared off-diagonal entries of the covariance, summed and divided by D; the sum of both views.
    """

    invariance: Tensor
    variance: Tensor
    covariance: Tensor


def vicreg_terms(view1: Tensor, view2: Tensor) -> VICRegTerms:
    """Compute the terms, in float32 even under autocast.

    Args:
        view1: float (B, D), embeddings of this process's first views, not normalised.
        view2: float (B, D), the same videos' second views, in the same order.

    Returns:
        Variance and covariance are those of all processes' embeddings, the same on each; invariance is that of this
        process. Averaged over processes, as DDP averages gradients, terms and gradients are those of one process with
        the joint batch.

    Raises:
        VidsslError: shapes that do not match, or a global batch of a single video, which has no variance.
    """
    if view1.ndim != 2 or view1.shape != view2.shape:
        raise VidsslError(
            f"VICReg needs two views of the same shape (B, D), got {tuple(view1.shape)} and {tuple(view2.shape)}."
        )
    with torch.autocast(view1.device.type, enabled=False):
        view1, view2 = view1.float(), view2.float()
        gathered = gather_with_gradients(torch.stack((view1, view2), dim=1))
        if len(gathered) < 2:
            raise VidsslError("VICReg needs two videos per step or more: set data.batch_size to 2 or more.")
        centred1, centred2 = (gathered - gathered.mean(dim=0)).unbind(1)
        return VICRegTerms(
            invariance=F.mse_loss(view1, view2),
            variance=(_variance(centred1) + _variance(centred2)) / 2,
            covariance=_covariance(centred1) + _covariance(centred2),
        )


def _variance(centred: Tensor) -> Tensor:
    std = (centred.square().sum(dim=0) / (len(centred) - 1) + EPSILON).sqrt()
    return (TARGET_STD - std).relu().mean()


def _covariance(centred: Tensor) -> Tensor:
    covariance = product(centred.T, centred) / (len(centred) - 1)
    dim = len(covariance)
    # without its last entry, the matrix in rows of D + 1 has the diagonal as its first column
    off_diagonal = covariance.flatten()[:-1].view(dim - 1, dim + 1)[:, 1:]
    return off_diagonal.square().sum() / dim
