"""The layers of a backbone that can be aligned with motion, with the size of their maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from vidssl.backbones import build_backbone


@dataclass(frozen=True)
class AlignmentLayer:
    """One of `Backbone.alignment_layers`.

    Attributes:
        name: as ``model.alignment.layer`` takes it.
        channels: of its maps.
        grid: T', H', W' of its maps.
    """

    name: str
    channels: int
    grid: tuple[int, int, int]


def alignment_layers(backbone: str, clip: tuple[int, int, int], **options: Any) -> list[AlignmentLayer]:
    """Return the layers of a backbone, in the order of the network; the last one is ``last``.

    Nothing is computed: the clip goes through the shapes of the network.

    Args:
        backbone: registered name.
        clip: frames, height and width of a clip, in pixels.
        options: of the backbone.

    Raises:
        VidsslError: see `build_backbone`, or a clip that is too small.
    """
    with torch.device("meta"):
        network = build_backbone(backbone, **options)
        clips = torch.empty(1, 3, *clip)
        shapes = {layer: network.forward_aligned(clips, layer)[1].shape for layer in network.alignment_layers}
    return [AlignmentLayer(name, shape[1], (shape[2], shape[3], shape[4])) for name, shape in shapes.items()]
