"""Rows of all processes, with and without gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.num_rows = len(rows)
        return gather(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Every process used these rows as candidates, so their gradients add up. all_reduce and a slice cost more
        # traffic than reduce_scatter, but exist on every backend.
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        first = dist.get_rank() * ctx.num_rows
        return gradient[first : first + ctx.num_rows]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Every process has the sum, so the gradients of all add up; by the same function, which has derivatives again.
        return _Sum.apply(gradient)


def world_size() -> int:
    """Return the number of processes that train together; 1 without distributed training."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process among those that train together, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


@torch.no_grad()
def gather(rows: Tensor) -> Tensor:
    """Concatenate the rows of all processes, in the order of their ranks, without gradients.

    Args:
        rows: any dtype (B, ...), the same shape on every process.

    Returns:
        (world_size * B, ...); `rows`, detached, on one process.
    """
    if world_size() == 1:
        return rows.detach()
    parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def gather_with_gradients(rows: Tensor) -> Tensor:
    """Concatenate the rows of all processes, in the order of their ranks.

    The backward pass sums the gradients of all processes. Together with the mean that DDP takes, a loss that is the
    mean over a process's rows then has the same gradient as one process on the joint batch.

    Args:
        rows: float (B, ...), the same shape on every process.

    Returns:
        float (world_size * B, ...); `rows` itself on one process.
    """
    return _Gather.apply(rows) if world_size() > 1 else rows


def sum_with_gradients(values: Tensor) -> Tensor:
    """Return the sum over all processes, with derivatives of any order.

    The derivatives are those of the sum of what all processes make of it; every process has to take them.

    Args:
        values: float, the same shape on every process.

    Returns:
        The same shape; `values` themselves on one process.
    """
    return _Sum.apply(values) if world_size() > 1 else values


@torch.no_grad()
def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a scalar over all processes, without gradients.

    Args:
        value: of this process, a tensor of one element.

    Returns:
        A scalar of the same dtype, the same on every process.
    """
    return gather(value.reshape(1)).mean()


@torch.no_grad()
def means_over_processes(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the means of scalars over all processes by one all_reduce, without gradients.

    Args:
        values: name and value of this process, floating-point tensors of one element on one device; the same names in
            the same order on every process.

    Returns:
        Scalars by name, float32, or float64 where one of the values is; the values as they are on one process.
    """
    if world_size() == 1 or not values:
        return dict(values)
    sums = _stacked(values)
    dist.all_reduce(sums)
    return dict(zip(values, (sums / world_size()).unbind(), strict=True))


@torch.no_grad()
def gather_with_means(rows: Tensor, values: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return rows as `gather` and means as `means_over_processes` do, by one all_gather for both.

    Args:
        rows: float32 (B, D), the same shape on every process.
        values: as in `means_over_processes`.
    """
    if world_size() == 1 or not values:
        return gather(rows), dict(values)
    own = _stacked(values)
    together = gather(torch.cat((rows.flatten().to(own.dtype), own))[None])
    means = together[:, rows.numel() :].sum(dim=0) / world_size()
    everybodys = together[:, : rows.numel()].reshape(-1, rows.shape[1]).to(rows.dtype)
    return everybodys, dict(zip(values, means.unbind(), strict=True))


def _stacked(values: Mapping[str, Tensor]) -> Tensor:
    dtype = torch.float64 if any(value.dtype == torch.float64 for value in values.values()) else torch.float32
    return torch.stack([value.detach().reshape(()).to(dtype) for value in values.values()])
