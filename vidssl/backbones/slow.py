"""The slow pathway of SlowFast, and CVRL's variant of it.

Sources: Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019, table 1 and section 4.1 (the
pathway alone, "Slow-only"); Qian et al., "Spatiotemporal Contrastive Video Representation Learning", CVPR 2021,
section 3 (R3D-50). The modules have the names of PyTorchVideo's Slow R50, so that its checkpoint loads as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from vidssl.backbones.contract import Backbone
from vidssl.errors import VidsslError

Size = tuple[int, int, int]

# He et al., "Deep Residual Learning", CVPR 2016, table 1: blocks in each of the four stages.
_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
# SlowFast, table 1: temporal kernels in the last two stages only.
_TEMPORAL_KERNELS = (1, 1, 3, 3)
_STEM_CHANNELS = 64
_BOTTLENECK_EXPANSION = 4
# Our layers and their counterparts in a 2D ResNet.
_IMAGE_LAYERS = {
    "branch1_conv": "downsample.0",
    "branch1_norm": "downsample.1",
    **{f"branch2.conv_{letter}": f"conv{number}" for number, letter in enumerate("abc", start=1)},
    **{f"branch2.norm_{letter}": f"bn{number}" for number, letter in enumerate("abc", start=1)},
}


@dataclass(frozen=True)
class SlowShape:
    """The numbers that tell the members of the family apart.

    Attributes:
        depth: 18 (basic blocks), 50, 101 or 152 (bottlenecks).
        width: factor on the channels of every layer.
        stem_kernel: frames, rows, columns.
        stem_stride: frames, rows, columns.
        last_norm_weight: initial scale of the last normalisation of every block. 0 starts each block as the identity
            (Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 5.1), and then the gradient at the
            alignment layer is zero too until the scale has moved.

    Raises:
        VidsslError: `width` is not a positive integer.
    """

    depth: int
    width: int
    stem_kernel: Size
    stem_stride: Size
    last_norm_weight: float

    def __post_init__(self) -> None:
        if not isinstance(self.width, int) or self.width < 1:
            raise VidsslError(f"width multiplies the channels and must be a positive integer, not {self.width!r}.")


class SlowBackbone(Backbone):
    """A ResNet over clips that keeps the frame rate after its stem.

    Initialisation: convolutions from a normal distribution, Kaiming, fan-out, for ReLU (He et al., "Delving Deep into
    Rectifiers", ICCV 2015); normalisation scales 1 (see `SlowShape.last_norm_weight`), shifts 0.

    Args:
        shape: the member of the family.
    """

    def __init__(self, shape: SlowShape) -> None:
        super().__init__()
        channels = _STEM_CHANNELS * shape.width
        expansion = 1 if shape.depth == 18 else _BOTTLENECK_EXPANSION
        self.blocks = nn.ModuleList([_Stem(channels, shape.stem_kernel, shape.stem_stride)])
        for stage, (num_blocks, kernel) in enumerate(zip(_BLOCKS[shape.depth], _TEMPORAL_KERNELS, strict=True)):
            inner = _STEM_CHANNELS * shape.width * 2**stage
            blocks = []
            for number in range(num_blocks):
                stride = 2 if stage > 0 and number == 0 else 1
                branch = _branch(shape.depth, channels, inner, kernel, stride)
                blocks.append(_ResidualBlock(branch, channels, inner * expansion, stride))
                channels = inner * expansion
            self.blocks.append(_Stage(blocks))
        last = "conv_b" if shape.depth == 18 else "conv_c"
        self.feature_dim = channels
        *self.earlier_layers, self.alignment_layer = (
            f"blocks.{number}.res_blocks.{num_blocks - 1}.branch2.{last}"
            for number, num_blocks in enumerate(_BLOCKS[shape.depth], start=1)
        )
        in_stages = (
            f"blocks.{number}.res_blocks.{block}"
            for number, num_blocks in enumerate(_BLOCKS[shape.depth], start=1)
            for block in range(num_blocks)
        )
        self.recomputed = ("blocks.0", *in_stages)
        self.stride = (shape.stem_stride[0], 32, 32)
        self._initialise(shape.last_norm_weight)

    def compute_maps(self, clips: Tensor) -> Tensor:
        """See `Backbone`."""
        maps = clips
        for block in self.blocks:
            maps = block(maps)
        return maps

    def image_name(self, name: str) -> str | None:
        """See `Backbone`: kernels of several frames come from 2D kernels spread evenly over them."""
        layer, _, part = name.rpartition(".")
        if layer.startswith("blocks.0."):
            return f"{'conv1' if layer.endswith('conv') else 'bn1'}.{part}"
        _, stage, _, block, within = layer.split(".", 4)  # blocks.1.res_blocks.0.branch2.conv_a
        return f"layer{stage}.{block}.{_IMAGE_LAYERS[within]}.{part}"

    def _initialise(self, last_norm_weight: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, (_Basic, _Bottleneck)):
                nn.init.constant_(module.last_norm.weight, last_norm_weight)


class _Stem(nn.Module):
    def __init__(self, channels: int, kernel: Size, stride: Size) -> None:
        super().__init__()
        self.conv = _conv(3, channels, kernel, stride)
        self.norm = nn.BatchNorm3d(channels)
        self.activation = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def forward(self, clips: Tensor) -> Tensor:
        return self.pool(self.activation(self.norm(self.conv(clips))))


class _Stage(nn.Module):
    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(blocks)

    def forward(self, maps: Tensor) -> Tensor:
        for block in self.res_blocks:
            maps = block(maps)
        return maps


class _ResidualBlock(nn.Module):
    """relu(shortcut + branch2); the shortcut is a 1x1x1 convolution where the shape changes."""

    def __init__(self, branch: nn.Module, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.branch1_conv: nn.Module = nn.Identity()
        self.branch1_norm: nn.Module = nn.Identity()
        if channels_in != channels_out or stride != 1:
            self.branch1_conv = _conv(channels_in, channels_out, (1, 1, 1), (1, stride, stride))
            self.branch1_norm = nn.BatchNorm3d(channels_out)
        self.branch2 = branch
        self.activation = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = self.branch1_norm(self.branch1_conv(maps))
        # The sum is a new tensor: rectifying it in place touches no convolution's output.
        return self.activation(shortcut + self.branch2(maps))


class _Bottleneck(nn.Module):
    """1x1x1 (or 3x1x1), 1x3x3, 1x1x1; the spatial stride is in the middle one."""

    def __init__(self, channels: int, inner: int, temporal_kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_a = _conv(channels, inner, (temporal_kernel, 1, 1), (1, 1, 1))
        self.norm_a = nn.BatchNorm3d(inner)
        self.act_a = nn.ReLU(inplace=True)
        self.conv_b = _conv(inner, inner, (1, 3, 3), (1, stride, stride))
        self.norm_b = nn.BatchNorm3d(inner)
        self.act_b = nn.ReLU(inplace=True)
        self.conv_c = _conv(inner, inner * _BOTTLENECK_EXPANSION, (1, 1, 1), (1, 1, 1))
        self.norm_c = nn.BatchNorm3d(inner * _BOTTLENECK_EXPANSION)

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        return self.norm_c

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.act_a(self.norm_a(self.conv_a(maps)))
        maps = self.act_b(self.norm_b(self.conv_b(maps)))
        return self.norm_c(self.conv_c(maps))


class _Basic(nn.Module):
    """1x3x3 (or 3x3x3) with the spatial stride, then 1x3x3: the blocks of depth 18."""

    def __init__(self, channels: int, inner: int, temporal_kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_a = _conv(channels, inner, (temporal_kernel, 3, 3), (1, stride, stride))
        self.norm_a = nn.BatchNorm3d(inner)
        self.act_a = nn.ReLU(inplace=True)
        self.conv_b = _conv(inner, inner, (1, 3, 3), (1, 1, 1))
        self.norm_b = nn.BatchNorm3d(inner)

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        return self.norm_b

    def forward(self, maps: Tensor) -> Tensor:
        return self.norm_b(self.conv_b(self.act_a(self.norm_a(self.conv_a(maps)))))


def _branch(depth: int, channels: int, inner: int, temporal_kernel: int, stride: int) -> nn.Module:
    block = _Basic if depth == 18 else _Bottleneck
    return block(channels, inner, temporal_kernel, stride)


def _conv(channels_in: int, channels_out: int, kernel: Size, stride: Size) -> nn.Conv3d:
    frames, rows, columns = kernel
    padding = (frames // 2, rows // 2, columns // 2)
    return nn.Conv3d(channels_in, channels_out, kernel, stride=stride, padding=padding, bias=False)


def _slow(depth: int, width: int, last_norm_weight: float) -> Backbone:
    return SlowBackbone(SlowShape(depth, width, (1, 7, 7), (1, 2, 2), last_norm_weight))


def _r3d(depth: int, width: int, last_norm_weight: float) -> Backbone:
    # The paper's other "temporal stride 2 in the data layer" is the stride of the sampler, not a layer.
    return SlowBackbone(SlowShape(depth, width, (5, 7, 7), (2, 2, 2), last_norm_weight))


def slow_r18(width: int = 1, last_norm_weight: float = 1.0) -> Backbone:
    """Build the slow pathway with basic blocks, the temporal kernel in the first 3x3 of each.

    Args:
        width: factor on the channels of every layer.
        last_norm_weight: see `SlowShape`.

    Raises:
        VidsslError: `width` is not a positive integer.
    """
    return _slow(18, width, last_norm_weight)


def slow_r50(width: int = 1, last_norm_weight: float = 1.0) -> Backbone:
    """Build the slow pathway of depth 50: stem 1x7x7, no temporal stride anywhere. Arguments as of `slow_r18`."""
    return _slow(50, width, last_norm_weight)


def slow_r101(width: int = 1, last_norm_weight: float = 1.0) -> Backbone:
    """Build the slow pathway of depth 101. Arguments as of `slow_r18`."""
    return _slow(101, width, last_norm_weight)


def slow_r152(width: int = 1, last_norm_weight: float = 1.0) -> Backbone:
    """Build the slow pathway of depth 152. Arguments as of `slow_r18`."""
    return _slow(152, width, last_norm_weight)


def r3d_50(width: int = 1, last_norm_weight: float = 1.0) -> Backbone:
    """Build CVRL's R3D-50: `slow_r50` with a 5x7x7 stem of stride 2x2x2. Arguments as of `slow_r18`."""
    return _r3d(50, width, last_norm_weight)


def r3d_101(width: int = 1, last_norm_weight: float = 1.0) -> Backbone:
    """Build CVRL's R3D-101. Arguments as of `slow_r18`."""
    return _r3d(101, width, last_norm_weight)


def r3d_152(width: int = 1, last_norm_weight: float = 1.0) -> Backbone:
    """Build CVRL's R3D-152. Arguments as of `slow_r18`."""
    return _r3d(152, width, last_norm_weight)
