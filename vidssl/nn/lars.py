"""SGD for large batches: every layer's step is in proportion to the layer.

Source: You et al., "Large Batch Training of Convolutional Networks", 2017 (arXiv 1708.03888), algorithm 1, in the form
that SimCLR, BYOL, SwAV and VICReg use: biases and normalisation take plain SGD steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """Momentum SGD in which each kernel's gradient is scaled to `trust` times the kernel's own norm.

    Parameters of one dimension (biases, normalisation) are not scaled. Weight decay is part of the gradient.

    Args:
        params: parameters, or groups of them.
        lr: learning rate.
        momentum: share of the last step that is kept.
        weight_decay: added to the gradient as weight_decay * parameter, before the scaling.
        trust: eta, 0.001 in the paper and in all released codes.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step; `closure` computes the loss again, with gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if moved:
                self._move(moved, group)
        return loss

    def _move(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Move parameters by a few kernels for all of them."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        kernels = [number for number, parameter in enumerate(parameters) if parameter.ndim > 1]
        if kernels:
            sizes = torch.stack(torch._foreach_norm([parameters[number] for number in kernels]))
            slopes = torch.stack(torch._foreach_norm([gradients[number] for number in kernels]))
            scales = _scale(sizes, slopes, group["trust"]).unbind()
            for number, scale in zip(kernels, scales, strict=True):
                gradients[number].mul_(scale)
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        velocities = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, gradients)
        torch._foreach_add_(parameters, velocities, alpha=-group["lr"])


def _scale(size: Tensor, slope: Tensor, trust: float) -> Tensor:
    """Return trust * size / slope, and 1 where either is 0: such a layer would never move."""
    defined = (size > 0) & (slope > 0)
    return torch.where(defined, trust * size / torch.where(defined, slope, 1), 1)
