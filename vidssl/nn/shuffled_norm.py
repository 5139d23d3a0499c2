"""Shuffled BatchNorm: keys are normalised among other videos than their queries.

A query and its key share the batch statistics of their process, which tells the network which key is the positive.
Source: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributed as dist

from vidssl.nn.gather import gather, rank, world_size


@torch.no_grad()
def encode_shuffled(encode: Callable[[list[Tensor]], Tensor], views: list[Tensor]) -> list[Tensor]:
    """Encode views with the videos dealt out anew among the processes, without gradients.

    Every video goes to one process with all its views. On one process nothing is moved.

    Args:
        encode: turns a list of views into embeddings, the rows of the first view first.
        views: tensors B x ..., the same shape on every process. Give them as uint8: that is what is sent.

    Returns:
        One tensor B x ... a view: the embeddings of this process's own rows, in their order.
    """
    if world_size() == 1:
        return list(encode(views).chunk(len(views)))
    num_rows = len(views[0])
    permutation = _shared_permutation(num_rows * world_size(), views[0].device)
    share = permutation[rank() * num_rows : (rank() + 1) * num_rows]
    # view by view, so that only one of them is here from all processes at a time
    embeddings = encode([gather(view)[share] for view in views]).chunk(len(views))
    own = permutation.argsort()[rank() * num_rows : (rank() + 1) * num_rows]
    return [gather(rows)[own] for rows in embeddings]


def _shared_permutation(length: int, device: torch.device) -> Tensor:
    permutation = torch.randperm(length, device=device)
    dist.broadcast(permutation, src=0)
    return permutation
