"""A small 3D ResNet for CPUs: about 0.5 M parameters, made for clips of 8 x 56 x 56.

Our own design; it follows no paper. What it spends, it spends on seeing motion: every change of resolution is a 3x3x3
convolution, from the stem on there is a temporal kernel of 3, and the frame rate is halved only in the last two stages;
an output cell sees five frames to either side. Within a stage the residual branch is spatial.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidssl.backbones.contract import Backbone
from vidssl.errors import VidsslError

# Multiples of 16, the width of the registers that CPU convolutions are blocked by.
_STEM_CHANNELS = 16
_STAGES = ((32, (1, 2, 2)), (64, (2, 2, 2)), (128, (2, 2, 2)))  # channels, stride of its first convolution
# Forward and backward are faster on CPUs than in the default order, in float32 and in bfloat16.
_MEMORY_FORMAT = torch.channels_last_3d


class SmallBackbone(Backbone):
    """A 3x5x5 stem of stride 1x2x2 and three stages of one strided convolution and one residual block.

    Initialisation: convolutions Kaiming normal, fan-out (He et al., ICCV 2015); normalisation scales 1, shifts 0.

    Args:
        width: factor on the channels of every layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = _STEM_CHANNELS * width
        self.stem = _convolution(3, channels, (3, 5, 5), (1, 2, 2))
        self.stages = nn.ModuleList()
        for stage_channels, stride in _STAGES:
            self.stages.append(_Stage(channels, stage_channels * width, stride))
            channels = stage_channels * width
        self.feature_dim = channels
        *self.earlier_layers, self.alignment_layer = (f"stages.{number}.conv" for number in range(len(_STAGES)))
        self.recomputed = ("stem", *(f"stages.{number}" for number in range(len(_STAGES))))
        self.stride = (4, 16, 16)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=_MEMORY_FORMAT)

    def compute_maps(self, clips: Tensor) -> Tensor:
        """See `Backbone`."""
        maps = self.stem(clips.contiguous(memory_format=_MEMORY_FORMAT))
        for stage in self.stages:
            maps = stage(maps)
        return maps


class _Stage(nn.Module):
    """A 3x3x3 convolution that changes shape, then relu(x + norm(1x3x3 convolution of x))."""

    def __init__(self, channels_in: int, channels_out: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.entry = _convolution(channels_in, channels_out, (3, 3, 3), stride)
        self.conv = nn.Conv3d(channels_out, channels_out, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.norm = nn.BatchNorm3d(channels_out)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.entry(maps)
        return self.activation(maps + self.norm(self.conv(maps)))


def _convolution(
    channels_in: int, channels_out: int, kernel: tuple[int, int, int], stride: tuple[int, int, int]
) -> nn.Sequential:
    frames, rows, columns = kernel
    padding = (frames // 2, rows // 2, columns // 2)
    return nn.Sequential(
        nn.Conv3d(channels_in, channels_out, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm3d(channels_out),
        nn.ReLU(inplace=True),
    )


def small(width: int = 1) -> Backbone:
    """Build the small backbone.

    Args:
        width: factor on the channels of every layer.

    Raises:
        VidsslError: `width` is not a positive integer.
    """
    if not isinstance(width, int) or width < 1:
        raise VidsslError(f"width multiplies the channels and must be a positive integer, not {width!r}.")
    return SmallBackbone(width)
