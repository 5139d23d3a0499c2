"""Whether embeddings have collapsed to a point, or to few directions; for logging.

Sources: Chen and He, "Exploring Simple Siamese Representation Learning", CVPR 2021, section 4.1; Garrido et al.,
"RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by Their Rank", ICML 2023
(arXiv 2210.02885). Everything is computed in float32 or better, whatever autocast says.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vidssl.nn.gather import gather

# Of larger batches these many rows tell as much, and their singular values cost milliseconds.
_MOST_ROWS = 512


@torch.no_grad()
def embedding_std(embeddings: Tensor) -> Tensor:
    """Return the standard deviation of L2-normalised embeddings over all processes, the mean over dimensions.

    It is 1 / sqrt(D) where embeddings spread evenly over the sphere, and 0 where all are the same.

    Args:
        embeddings: float (B, D), of any length, this process's.

    Returns:
        A float32 scalar.
    """
    return _deviation(_unit_rows(embeddings))


@torch.no_grad()
def effective_rank(embeddings: Tensor) -> Tensor:
    """Return the number of dimensions in which the L2-normalised embeddings of all processes vary (RankMe, eq. 1).

    It is the exponential of the entropy of their singular values, divided by their sum: 1 where all are the same or
    opposite, at most the smaller of D and the number of rows (of 512 of them, evenly spaced, where there are more).
    RankMe uses embeddings of any length; here each is normalised to length 1.

    Args:
        embeddings: float (B, D), of any length, this process's.

    Returns:
        float32 scalar; nan where an embedding is not finite, or all are 0.
    """
    return _rank(_unit_rows(embeddings))


@torch.no_grad()
def spread(rows: Tensor) -> dict[str, Tensor]:
    """Return `embedding_std` and `effective_rank` by name, of embeddings (B, D) that hold those of all processes."""
    rows = F.normalize(rows.float(), dim=1)
    return {"embedding_std": _deviation(rows), "effective_rank": _rank(rows)}


@torch.no_grad()
def _unit_rows(embeddings: Tensor) -> Tensor:
    return gather(F.normalize(embeddings.float(), dim=1))


def _deviation(rows: Tensor) -> Tensor:
    return rows.std(dim=0, correction=0).mean()


def _rank(rows: Tensor) -> Tensor:
    rows = rows[:: math.ceil(len(rows) / _MOST_ROWS)].double()
    with torch.autocast(rows.device.type, enabled=False):
        products = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows  # the smaller; the same eigenvalues
    finite = products.isfinite().all()
    # the squares of the singular values; in float64, since a root magnifies what rounding leaves of those that are 0
    values = torch.linalg.eigvalsh(torch.where(finite, products, 0.0)).clamp(min=0).sqrt()
    shares = values / values.sum()
    rank = torch.special.entr(shares).sum().exp()
    return torch.where(finite, rank, torch.nan).float()
