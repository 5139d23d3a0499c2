"""The settings of the network that a method trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vidssl.errors import VidsslError


@dataclass(frozen=True)
class BackboneSpec:
    """Which network learns.

    Attributes:
        name: registered name, see ``vidssl list backbones``.
        options: keyword arguments of that backbone, such as ``{width: 2}``.
        weights: file of weights to start from (a checkpoint, an export or a bare state dict); None starts untrained.
        pixel_mean: subtracted from pixels in [0, 1], one for each of R, G, B.
        pixel_std: divides them; the defaults 0.45 and 0.225 are those of SlowFast's and PyTorchVideo's models.
        channels_last: whether the weights of its convolutions have their channels last in memory, which may be faster
            on GPUs. Values stay the same up to rounding.
        activation_checkpointing: whether each block saves its input alone for backward and is computed again there:
            less memory, and about a third more time per step. Values stay the same.
        compile: backend with which `torch.compile` compiles it, such as ``inductor``; None does not. Not with motion
            alignment, which takes maps from within. Momentum encoders are compiled alike.

    Raises:
        VidsslError: a `pixel_std` that is not positive.
    """

    name: str = "r3d_50"
    options: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    pixel_mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    pixel_std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    channels_last: bool = False
    activation_checkpointing: bool = False
    compile: str | None = None

    def __post_init__(self) -> None:
        if self.weights == "None":  # what the configurations that 0.1 wrote have for null
            object.__setattr__(self, "weights", None)
        if min(self.pixel_std) <= 0:
            raise VidsslError(f"model.backbone.pixel_std divides the pixels and must be above 0, got {self.pixel_std}.")
