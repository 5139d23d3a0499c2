"""P3D-A ResNets, the 3D encoders of MCL.

Sources: Qiu et al., "Learning Spatio-Temporal Representation with Pseudo-3D Residual Networks", ICCV 2017 (block A: the
spatial and the temporal convolution in a row); Li et al., "Motion-Focused Contrastive Learning of Video
Representations", ICCV 2021, which calls the network R(2+1)D; and the code released with the latter (GitHub,
YihengZhang-CV/MCL-Motion-Focused-Contrastive-Learning at bdf8141, ``model/backbone.py``), whose only 3D network this is
and whose module names ours have, so that its checkpoints load as they are. Unlike Tran's R(2+1)D (``r2plus1d_18``),
nothing stands between the 1x3x3 and the 3x1x1 convolution, and the channels between them are not widened.
"""

from __future__ import annotations

from torch import Tensor, nn

from vidssl.backbones.contract import Backbone

# He et al., "Deep Residual Learning", CVPR 2016, table 1: blocks in each of the four stages.
_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
_STEM_CHANNELS = 64
_STEM_FRAMES = 4
_BOTTLENECK_EXPANSION = 4


class P3DBackbone(Backbone):
    """A ResNet whose stem takes every four frames together and whose blocks keep that rate.

    Every 3x3 convolution of the 2D network is a 1x3x3 followed by a 3x1x1. The stem is 4x7x7 with stride 4x2x2 and no
    temporal padding: frames after the last whole group of four are not looked at.

    Initialisation: convolutions Kaiming normal, fan-out (He et al., ICCV 2015); normalisation scales 1, shifts 0.

    Args:
        depth: 18 (basic blocks) or 50 (bottlenecks).
    """

    minimum_clip = (_STEM_FRAMES, 1, 1)
    # Of the four frames under a stem kernel the released code gives the second the 2D kernel, the others zeros.
    inflated_frame = 1
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, depth: int) -> None:
        super().__init__()
        block, last = (_Basic, "conv2_t") if depth == 18 else (_Bottleneck, "conv3")
        stem_kernel = (_STEM_FRAMES, 7, 7)
        self.conv1 = nn.Conv3d(3, _STEM_CHANNELS, stem_kernel, (_STEM_FRAMES, 2, 2), (0, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(_STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        channels = _STEM_CHANNELS
        for number, num_blocks in enumerate(_BLOCKS[depth]):
            inner = _STEM_CHANNELS * 2**number
            stage = _stage(block, channels, inner, num_blocks, stride=2 if number else 1)
            self.add_module(f"layer{number + 1}", stage)
            channels = inner * block.expansion
        self.feature_dim = channels
        last_blocks = [f"layer{number}.{blocks - 1}" for number, blocks in enumerate(_BLOCKS[depth], start=1)]
        *self.earlier_layers, self.alignment_layer = (f"{block}.{last}" for block in last_blocks)
        self.recomputed = [
            f"layer{number}.{block}" for number, blocks in enumerate(_BLOCKS[depth], start=1) for block in range(blocks)
        ]
        self.stride = (_STEM_FRAMES, 32, 32)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def compute_maps(self, clips: Tensor) -> Tensor:
        """See `Backbone`."""
        maps = self.maxpool(self.relu(self.bn1(self.conv1(clips))))
        return self.layer4(self.layer3(self.layer2(self.layer1(maps))))

    def output_grid(self, num_frames: int, height: int, width: int) -> tuple[int, int, int]:
        """See `Backbone`; the stem rounds the frames down."""
        _, rows, columns = super().output_grid(num_frames, height, width)
        return num_frames // _STEM_FRAMES, rows, columns

    def image_name(self, name: str) -> str | None:
        """See `Backbone`: the names are those of the 2D network, plus temporal convolutions."""
        return None if "_t." in name else name


class _Basic(nn.Module):
    """Twice 1x3x3 and 3x1x1; the spatial stride is in the first."""

    expansion = 1

    def __init__(self, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _spatial(channels, inner, stride)
        self.conv1_t = _temporal(inner)
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2 = _spatial(inner, inner, 1)
        self.conv2_t = _temporal(inner)
        self.bn2 = nn.BatchNorm3d(inner)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(channels, inner, stride)

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1_t(self.conv1(maps))))
        residual = self.bn2(self.conv2_t(self.conv2(residual)))
        return self.relu(self.downsample(maps) + residual)


class _Bottleneck(nn.Module):
    """1x1x1, then 1x3x3 and 3x1x1, then 1x1x1; the spatial stride is in the 1x3x3."""

    expansion = _BOTTLENECK_EXPANSION

    def __init__(self, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        outer = inner * self.expansion
        self.conv1 = nn.Conv3d(channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2 = _spatial(inner, inner, stride)
        self.conv2_t = _temporal(inner)
        self.bn2 = nn.BatchNorm3d(inner)
        self.conv3 = nn.Conv3d(inner, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(channels, outer, stride)

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(maps)))
        residual = self.relu(self.bn2(self.conv2_t(self.conv2(residual))))
        residual = self.bn3(self.conv3(residual))
        return self.relu(self.downsample(maps) + residual)


def _stage(block: type[_Basic | _Bottleneck], channels: int, inner: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = block(channels, inner, stride)
    return nn.Sequential(first, *(block(inner * block.expansion, inner, 1) for _ in range(num_blocks - 1)))


def _shortcut(channels_in: int, channels_out: int, stride: int) -> nn.Module:
    if channels_in == channels_out and stride == 1:
        return nn.Identity()
    convolution = nn.Conv3d(channels_in, channels_out, 1, stride=(1, stride, stride), bias=False)
    return nn.Sequential(convolution, nn.BatchNorm3d(channels_out))


def _spatial(channels_in: int, channels_out: int, stride: int) -> nn.Conv3d:
    return nn.Conv3d(channels_in, channels_out, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)


def _temporal(channels: int) -> nn.Conv3d:
    return nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), bias=False)


def p3d_a_r18() -> Backbone:
    """Build the P3D-A ResNet of depth 18, four frames to a cell of the maps."""
    return P3DBackbone(18)


def p3d_a_r50() -> Backbone:
    """Build MCL's encoder, the P3D-A ResNet of depth 50, four frames to a cell of the maps."""
    return P3DBackbone(50)
