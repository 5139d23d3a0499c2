"""Products of float32 matrices that stay float32 on GPUs, where those of the network may be TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute products in full float32 while the block runs, at any `torch.set_float32_matmul_precision`."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return left @ right, and its derivatives of any order, in full float32.

    TF32, which `vidssl fit` allows, keeps 10 bits of a number: products of unit vectors are then wrong by up to 1e-3,
    and logits at a temperature of 0.1 by 1e-2.

    Args:
        left: float (..., N, D).
        right: float (..., D, M), with the same leading dimensions.
    """
    return _Product.apply(left, right)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        with full_float32():
            return left @ right

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        of_left = product(gradient, right.mT) if ctx.needs_input_grad[0] else None
        return of_left, product(left.mT, gradient) if ctx.needs_input_grad[1] else None
