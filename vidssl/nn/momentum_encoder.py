"""A copy of an encoder that follows it slowly.

Source: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020, eq. (2).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from vidssl.errors import VidsslError


class MomentumEncoder(nn.Module):
    """Encodes keys with an exponential moving average of the query encoder's parameters, without gradients.

    Parameters follow by `update`. Buffers do not: BatchNorm normalises keys by the statistics of their own batch, as
    long as the module is in training mode, and its running statistics are those of the keys that went through. They are
    stored with the rest and used by nothing in training.

    Args:
        modules: the query encoder's parts, one applied after the other; they are copied as they are now.
        momentum: share that is kept in every update, in [0, 1); 0.999 in the paper.
        compile: backend with which `torch.compile` compiles the first part; None does not.
    """

    def __init__(self, *modules: nn.Module, momentum: float, compile: str | None = None) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*(copy.deepcopy(module) for module in modules)).requires_grad_(False)
        if compile is not None:
            self.encoder[0].compile(backend=compile)
        self.momentum = momentum

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """Encode keys; what goes in and out is what the parts take and give."""
        return self.encoder(inputs)

    @torch.no_grad()
    def update(self, *modules: nn.Module, momentum: float | None = None) -> None:
        """Move every parameter towards the query encoder's: momentum * own + (1 - momentum) * theirs.

        Once after every step of the optimiser, before anything is saved.

        Args:
            modules: the parts that the constructor was given.
            momentum: of this update, in [0, 1], where a schedule says it; None takes the constructor's.
        """
        momentum = self.momentum if momentum is None else momentum
        own: list[Tensor] = [parameter for part in self.encoder for parameter in part.parameters()]
        theirs: list[Tensor] = [parameter for part in modules for parameter in part.parameters()]
        if [parameter.shape for parameter in own] != [parameter.shape for parameter in theirs]:
            raise VidsslError("MomentumEncoder.update takes the modules that its constructor was given.")
        torch._foreach_lerp_(own, theirs, 1 - momentum)  # a few kernels for all parameters
