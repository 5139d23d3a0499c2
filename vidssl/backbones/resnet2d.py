"""2D ResNets over every frame, averaged over time: the baseline without temporal layers.

Sources: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (torchvision's ResNets, with the stride in
the 3x3 convolution); Yao et al., "SeCo: Exploring Sequence Supervision for Unsupervised Representation Learning",
AAAI 2021, which learns such a network from videos. Layers, initialisation and module names are torchvision's, so that
its files, MoCo's and SeCo's load as they are.
"""

from __future__ import annotations

from torch import Tensor
from torchvision.models import ResNet

from vidssl.backbones.contract import Backbone
from vidssl.backbones.torchvision_network import torchvision_network


class FrameResNet(Backbone):
    """A 2D ResNet on the frames of a clip, one map per frame.

    Args:
        network: one of torchvision's ResNets; its parts are used, its classifier is not.
        last_convolution: its name within a block. Its own output is B T x C x H' x W', `forward_aligned` has the clips'
            layout.
    """

    def __init__(self, network: ResNet, last_convolution: str) -> None:
        super().__init__()
        self.feature_dim = network.fc.in_features
        self.stride = (1, 32, 32)
        self.conv1 = network.conv1
        self.bn1 = network.bn1
        self.relu = network.relu
        self.maxpool = network.maxpool
        self.layer1 = network.layer1
        self.layer2 = network.layer2
        self.layer3 = network.layer3
        self.layer4 = network.layer4
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        *self.earlier_layers, self.alignment_layer = (
            f"layer{number}.{len(stage) - 1}.{last_convolution}" for number, stage in enumerate(stages, start=1)
        )
        self.recomputed = [
            f"layer{number}.{block}" for number, stage in enumerate(stages, start=1) for block in range(len(stage))
        ]

    def compute_maps(self, clips: Tensor) -> Tensor:
        """See `Backbone`."""
        maps = self.maxpool(self.relu(self.bn1(self.conv1(_as_frames(clips)))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return _as_clips(maps, len(clips))

    def aligned_maps(self, output: Tensor, num_clips: int) -> tuple[Tensor, Tensor]:
        """See `Backbone`."""
        maps = _as_clips(output, num_clips)
        return maps, _as_frames(maps)


def _as_frames(clips: Tensor) -> Tensor:
    """B x C x T x H x W to B T x C x H x W."""
    return clips.transpose(1, 2).flatten(0, 1)


def _as_clips(frames: Tensor, num_clips: int) -> Tensor:
    """B T x C x H x W to B x C x T x H x W."""
    return frames.unflatten(0, (num_clips, -1)).transpose(1, 2)


def resnet2d_18(weights: str | None = None) -> Backbone:
    """Build ResNet-18 over frames.

    Args:
        weights: a name of torchvision's, ``"IMAGENET1K_V1"`` (downloaded once), or None for random ones.

    Raises:
        VidsslError: the name is unknown, or the download failed.
    """
    return FrameResNet(torchvision_network("resnet18", weights), "conv2")


def resnet2d_50(weights: str | None = None) -> Backbone:
    """Build ResNet-50 over frames.

    Args:
        weights: a name of torchvision's, ``"IMAGENET1K_V1"`` or ``"IMAGENET1K_V2"`` (downloaded once), or None.

    Raises:
        VidsslError: the name is unknown, or the download failed.
    """
    return FrameResNet(torchvision_network("resnet50", weights), "conv3")
