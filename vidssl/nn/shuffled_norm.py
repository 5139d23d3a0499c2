"""Shuffled BatchNorm: keys are normalised among other videos than their queries.

A query and its key share the batch statistics of their process, which tells the network which key is the positive.
Source: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributed as dist

from vidssl.nn.gather import rank, world_size


@torch.no_grad()
def encode_shuffled(
    encode: Callable[[list[Tensor]], Tensor], views: list[Tensor], seed: int | None = None
) -> list[Tensor]:
    """Encode views with the videos shuffled among the processes, without gradients.

    Every video goes to one process with all its views. On one process nothing is moved. A process sends and receives as
    many rows as it has; views that lie in memory channels last arrive so.

    Args:
        encode: turns a list of views into embeddings, the rows of the first view first.
        views: tensors B x ..., the same shape on every process. Give them as uint8: that is what is sent.
        seed: key of the order, the same on every process (`Objective.step_seed`). With None the first process draws the
            order and sends it, for which every process and, on GPUs, every host waits.

    Returns:
        One tensor B x ... a view: the embeddings of this process's own rows, in their order.
    """
    if world_size() == 1:
        return list(encode(views).chunk(len(views)))
    num_rows = len(views[0])
    num_all = num_rows * world_size()
    permutation = _sent_permutation(num_all, views[0].device) if seed is None else _known_permutation(num_all, seed)
    there, back = _Exchange(permutation), _Exchange(permutation.argsort())
    embeddings = encode([there(view) for view in views])
    own = back(torch.stack(embeddings.chunk(len(views)), dim=1))
    return [rows.contiguous() for rows in own.unbind(1)]


class _Exchange:
    """Brings every process its share of the rows of all processes in a new order.

    Args:
        order: int64 (N,) on the CPU, the same on every process: the rows of all, process by process, as they come in
            the new order. Each process gets the N / world_size rows of its place.
    """

    def __init__(self, order: Tensor) -> None:
        num_rows = len(order) // world_size()
        wanted = order.view(world_size(), num_rows)  # by the process that gets them
        is_mine = wanted // num_rows == rank()
        self._sent = wanted[is_mine] % num_rows  # to the first process first, each in the order that it wants
        self._num_sent = is_mine.sum(dim=1).tolist()
        senders = wanted[rank()] // num_rows
        self._num_received = torch.bincount(senders, minlength=world_size()).tolist()
        self._places = senders.argsort(stable=True).argsort()  # of what is wanted, among what the senders give in turn

    def __call__(self, rows: Tensor) -> Tensor:
        """Return this process's share, (N / world_size) x ..., of rows as many on every process."""
        packed = rows.movedim(1, -1) if _is_channels_last(rows) else rows
        sent = packed[self._sent.to(rows.device, non_blocking=True)].contiguous()
        received = torch.empty_like(sent)
        dist.all_to_all_single(received, sent, self._num_received, self._num_sent)
        share = received[self._places.to(rows.device, non_blocking=True)]
        return share.movedim(-1, 1) if packed is not rows else share


def _is_channels_last(rows: Tensor) -> bool:
    return rows.ndim > 2 and not rows.is_contiguous() and rows.movedim(1, -1).is_contiguous()


def _known_permutation(length: int, seed: int) -> Tensor:
    return torch.randperm(length, generator=torch.Generator().manual_seed(seed))


def _sent_permutation(length: int, device: torch.device) -> Tensor:
    permutation = torch.randperm(length, device=device)
    dist.broadcast(permutation, src=0)
    return permutation.cpu()
