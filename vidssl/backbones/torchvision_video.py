"""The trunks of torchvision's video classifiers: R3D-18, MC3-18, R(2+1)D-18 and S3D.

Sources: Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018 (the three
ResNets), and Xie et al., "Rethinking Spatiotemporal Feature Learning", ECCV 2018 (S3D). Layers, initialisation and
weights are torchvision's; module names too, so that its checkpoints load as they are. The classifiers are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torchvision.models import video

from vidssl.backbones.contract import Backbone
from vidssl.backbones.torchvision_network import torchvision_network

# Names of R3D-18 and MC3-18, and their counterparts in a 2D ResNet.
_IMAGE_NAMES = tuple(
    (re.compile(pattern), image_name)
    for pattern, image_name in (
        (r"stem\.0\.(\w+)", r"conv1.\1"),
        (r"stem\.1\.(\w+)", r"bn1.\1"),
        (r"(layer\d\.\d)\.conv(\d)\.0\.(\w+)", r"\1.conv\2.\3"),
        (r"(layer\d\.\d)\.conv(\d)\.1\.(\w+)", r"\1.bn\2.\3"),
        (r"(layer\d\.\d\.downsample\..+)", r"\1"),
    )
)


class VideoResNet(Backbone):
    """A stem and four stages of basic blocks, 512 channels at the end.

    Args:
        network: a torchvision video ResNet; its parts are used, its classifier is not.
        last_convolution: its name within the last block of a stage.
        stride: see `Backbone`.
    """

    def __init__(self, network: video.VideoResNet, last_convolution: str, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.feature_dim = network.fc.in_features
        *self.earlier_layers, self.alignment_layer = (f"layer{stage}.1.{last_convolution}" for stage in range(1, 5))
        self.recomputed = ("stem", *(f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)))
        self.stride = stride
        self.stem = network.stem
        self.layer1 = network.layer1
        self.layer2 = network.layer2
        self.layer3 = network.layer3
        self.layer4 = network.layer4

    def compute_maps(self, clips: Tensor) -> Tensor:
        """See `Backbone`."""
        return self.layer4(self.layer3(self.layer2(self.layer1(self.stem(clips)))))

    def image_name(self, name: str) -> str | None:
        """See `Backbone`; R(2+1)D finds no kernels of its shapes in a 2D network, so only the other two are inflated.

        Unlike the 2D network these have no pooling after the stem: the kernels meet maps twice as fine.
        """
        for pattern, image_name in _IMAGE_NAMES:
            match = pattern.fullmatch(name)
            if match:
                return match.expand(image_name)
        return None


class S3D(Backbone):
    """Separable Inception blocks, 1024 channels at the end.

    Its last block is four parallel branches, so the aligned map is what their last convolutions put out, side by side,
    before their normalisations. (After the rectifiers only the average is left, whose gradient is the same in every
    cell: it says nothing about where.)

    Args:
        network: torchvision's S3D; its feature layers are used, its classifier is not.
    """

    # The last pooling has an even kernel and no padding: it needs two cells, which 5 frames and 17 pixels give.
    minimum_clip = (5, 17, 17)

    def __init__(self, network: video.S3D) -> None:
        super().__init__()
        self.feature_dim = 1024
        self.stride = (8, 32, 32)
        self.features = network.features
        self.convolved = nn.Identity()
        # The blocks before the poolings: a convolution before its normalisation, and two of parallel branches, whose
        # rectified outputs leave together. Layers follow on them, so that the gradient there says where, too.
        self.earlier_layers = ("features.3.1.0", "features.6", "features.12")
        self.alignment_layer = "convolved"
        self.recomputed = [
            f"features.{number}"
            for number, layer in enumerate(self.features[:-1])
            if not isinstance(layer, nn.MaxPool3d)
        ]

    def compute_maps(self, clips: Tensor) -> Tensor:
        """See `Backbone`."""
        maps = self.features[:-1](clips)
        branches = [_layers(branch) for branch in self.features[-1].children()]
        # Every branch ends in a convolution, its normalisation and its rectifier.
        convolved = [_run(layers[:-2], maps) for layers in branches]
        joined = self.convolved(torch.cat(convolved, dim=1))
        parts = joined.split([part.shape[1] for part in convolved], dim=1)
        return torch.cat([_run(layers[-2:], part) for layers, part in zip(branches, parts, strict=True)], dim=1)

    def output_grid(self, num_frames: int, height: int, width: int) -> tuple[int, int, int]:
        """See `Backbone`; the last pooling rounds down."""
        sizes = zip((num_frames, height, width), self.stride, strict=True)
        frames, rows, columns = (-(-size // (step // 2)) // 2 for size, step in sizes)
        return frames, rows, columns


def _layers(branch: nn.Module) -> list[nn.Module]:
    """Return the layers of nested ``nn.Sequential`` in order."""
    return [module for module in branch.modules() if next(module.children(), None) is None]


def _run(layers: Iterable[nn.Module], maps: Tensor) -> Tensor:
    for layer in layers:
        maps = layer(maps)
    return maps


def r3d_18(weights: str | None = None) -> Backbone:
    """Build R3D-18: 3x3x3 convolutions, temporal stride 8.

    Args:
        weights: a name of torchvision's, ``"KINETICS400_V1"`` (downloaded once), or None for random ones.

    Raises:
        VidsslError: the name is unknown, or the download failed.
    """
    return VideoResNet(torchvision_network("r3d_18", weights), "conv2.0", (8, 16, 16))


def mc3_18(weights: str | None = None) -> Backbone:
    """Build MC3-18: 3D convolutions in the stem and the first stage, 1x3x3 after; no temporal stride.

    Args:
        weights: see `r3d_18`.

    Raises:
        VidsslError: see `r3d_18`.
    """
    return VideoResNet(torchvision_network("mc3_18", weights), "conv2.0", (1, 16, 16))


def r2plus1d_18(weights: str | None = None) -> Backbone:
    """Build R(2+1)D-18: every convolution is a 1x3x3 and then a 3x1x1; temporal stride 8.

    Args:
        weights: see `r3d_18`.

    Raises:
        VidsslError: see `r3d_18`.
    """
    return VideoResNet(torchvision_network("r2plus1d_18", weights), "conv2.0.3", (8, 16, 16))


def s3d(weights: str | None = None) -> Backbone:
    """Build S3D; temporal stride 8, at least 5 frames.

    Args:
        weights: see `r3d_18`.

    Raises:
        VidsslError: see `r3d_18`.
    """
    return S3D(torchvision_network("s3d", weights))
