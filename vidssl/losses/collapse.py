"""Whether embeddings have collapsed to a point; for logging.

Source: Chen and He, "Exploring Simple Siamese Representation Learning", CVPR 2021, section 4.1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vidssl.nn.gather import gather


@torch.no_grad()
def embedding_std(embeddings: Tensor) -> Tensor:
    """Return the standard deviation of L2-normalised embeddings over all processes, the mean over dimensions.

    It is 1 / sqrt(D) where embeddings spread evenly over the sphere, and 0 where all are the same.

    Args:
        embeddings: float (B, D), of any length, this process's.
    """
    return gather(F.normalize(embeddings.float(), dim=1)).std(dim=0, correction=0).mean()
