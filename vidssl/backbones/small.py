"""A small 3D ResNet for CPUs.

Our own design; it follows no paper.
"""

from __future__ import annotations

from torch import Tensor, nn

from vidssl.backbones.contract import Backbone
from vidssl.errors import VidsslError

_STEM_CHANNELS = 16
_STAGE_CHANNELS = (32, 64, 128)


class SmallBackbone(Backbone):
    """A 3x5x5 stem and three residual stages, temporal kernels of 3 from the first layer on.

    Initialisation: convolutions Kaiming normal, fan-out (He et al., ICCV 2015); normalisation scales 1, shifts 0.

    Args:
        width: factor on the channels of every layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = _STEM_CHANNELS * width
        self.stem = nn.Sequential(
            nn.Conv3d(3, channels, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2), bias=False),
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=True),
        )
        stages = []
        strides = [(1, 2, 2), (2, 2, 2), (2, 2, 2)]
        for stage_channels, stride in zip(_STAGE_CHANNELS, strides, strict=True):
            stages.append(_Block(channels, stage_channels * width, stride))
            channels = stage_channels * width
        self.stages = nn.Sequential(*stages)
        self.feature_dim = channels
        self.alignment_layer = f"stages.{len(stages) - 1}.conv2"
        self.stride = (4, 16, 16)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def compute_maps(self, clips: Tensor) -> Tensor:
        """See `Backbone`."""
        return self.stages(self.stem(clips))


class _Block(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm3d(channels_out)
        self.conv2 = nn.Conv3d(channels_out, channels_out, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.norm2 = nn.BatchNorm3d(channels_out)
        self.shortcut = nn.Sequential(
            nn.Conv3d(channels_in, channels_out, 1, stride=stride, bias=False), nn.BatchNorm3d(channels_out)
        )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.norm2(self.conv2(self.activation(self.norm1(self.conv1(maps)))))
        return self.activation(self.shortcut(maps) + branch)


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
