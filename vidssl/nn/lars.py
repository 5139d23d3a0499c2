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
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        gradient = gradient.add(parameter, alpha=group["weight_decay"])
        if parameter.ndim > 1:
            gradient = gradient * _scale(parameter.norm(), gradient.norm(), group["trust"])
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        parameter.add_(velocity, alpha=-group["lr"])


def _scale(size: Tensor, slope: Tensor, trust: float) -> Tensor:
    """Return trust * size / slope, and 1 where either is 0: such a layer would never move."""
    defined = (size > 0) & (slope > 0)
    return torch.where(defined, trust * size / torch.where(defined, slope, 1), 1)
