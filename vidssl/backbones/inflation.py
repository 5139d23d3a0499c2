"""Inflation: the weights of a 2D ResNet as a start for a 3D one.

A 2D kernel becomes a stack of frames: spread evenly, so that a clip of one repeated frame gives what the frame gave
(Carreira & Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, section 2.4), or whole on one frame with zeros on
the others (the stem in MCL's released code, `Backbone.inflated_frame`). Temporal kernels that the 2D network lacks
become the identity (the released code, ``utils/util.py``), so that the 3D network starts as the 2D one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidssl.backbones.contract import Backbone

_KERNEL_AXES = 4  # of a 2D convolution: output and input channels, rows, columns


@dataclass(frozen=True)
class Inflated:
    """A 2D network's tensors under a backbone's names.

    Attributes:
        tensors: everything that has a place in the backbone; kernels whose channels, rows or columns differ are left
            as they were.
        kernels: names of the kernels that got a temporal axis.
        identities: names of the temporal kernels set to the identity.
    """

    tensors: dict[str, Tensor]
    kernels: tuple[str, ...]
    identities: tuple[str, ...]


def image_shapes(backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the 2D network that `backbone` can be inflated from; empty if there is none."""
    shapes = {}
    for name, tensor in backbone.state_dict().items():
        image_name = backbone.image_name(name)
        if image_name is not None:
            shapes[image_name] = _without_time(tuple(tensor.shape))
    return shapes


def inflate(backbone: Backbone, image_tensors: Mapping[str, Tensor]) -> Inflated:
    """Turn the tensors of a 2D network, by their names there, into those of `backbone`, which is left as it is."""
    tensors, kernels, identities = {}, [], []
    for name, own in backbone.state_dict().items():
        image_name = backbone.image_name(name)
        theirs = image_tensors.get(image_name) if image_name is not None else None
        if theirs is not None and own.ndim > _KERNEL_AXES and theirs.shape == _without_time(tuple(own.shape)):
            tensors[name] = inflate_kernel(theirs, own.shape[2], backbone.inflated_frame)
            kernels.append(name)
        elif theirs is not None:
            tensors[name] = theirs
        elif image_name is None and _is_temporal(own):
            tensors[name] = nn.init.dirac_(torch.empty(own.shape))
            identities.append(name)
    return Inflated(tensors, tuple(kernels), tuple(identities))


def inflate_kernel(kernel: Tensor, num_frames: int, frame: int | None) -> Tensor:
    """Give a 2D kernel a temporal axis.

    Args:
        kernel: output channels x input channels x rows x columns.
        num_frames: size of the new axis, after the channels.
        frame: which frame gets the whole kernel; None spreads it evenly. A single frame always gets it whole.

    Returns:
        Output channels x input channels x `num_frames` x rows x columns; its sum over the frames is `kernel`.
    """
    if num_frames == 1 or frame is None:
        return (kernel / num_frames).unsqueeze(2).repeat(1, 1, num_frames, 1, 1)
    inflated = kernel.new_zeros(*kernel.shape[:2], num_frames, *kernel.shape[2:])
    inflated[:, :, frame] = kernel
    return inflated


def _without_time(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] + shape[3:] if len(shape) > _KERNEL_AXES else shape


def _is_temporal(kernel: Tensor) -> bool:
    """Whether the kernel mixes frames only, from as many channels to as many."""
    return kernel.ndim > _KERNEL_AXES and kernel.shape[0] == kernel.shape[1] and kernel.shape[3:] == (1, 1)
