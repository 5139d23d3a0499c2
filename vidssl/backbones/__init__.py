"""Backbones: from clips to feature maps, all behind one contract (see ``contract.py``).

Importing this package does not import torch; only building a backbone does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vidssl.errors import VidsslError, nearest
from vidssl.lazy_names import offer
from vidssl.registry import Registry

if TYPE_CHECKING:
    from vidssl.backbones.contract import Backbone as Backbone
    from vidssl.backbones.export import export_backbone as export_backbone
    from vidssl.backbones.export import load_exported as load_exported
    from vidssl.backbones.pretrained import load as load
    from vidssl.backbones.weights import LoadReport as LoadReport
    from vidssl.backbones.weights import load_weights as load_weights

__all__ = ["BACKBONES", "build_backbone"]

BACKBONES = Registry("backbone", "vidssl.backbones", check="vidssl.backbones.contract:fault_of")
"""Name -> factory of a backbone, whose keyword arguments are the options of `model.backbone.options`."""

_SLOW = "vidssl.backbones.slow"
_TORCHVISION = "vidssl.backbones.torchvision_video"
_P3D = "vidssl.backbones.p3d"
_RESNET2D = "vidssl.backbones.resnet2d"

BACKBONES.register(
    "small", "vidssl.backbones.small:small", summary="0.5 M parameters, for CPUs at 8 x 56 x 56; 128-d at width 1"
)
BACKBONES.register("r3d_18", f"{_TORCHVISION}:r3d_18", summary="torchvision's 3D ResNet-18, 33.2 M parameters, 512-d")
BACKBONES.register(
    "mc3_18", f"{_TORCHVISION}:mc3_18", summary="torchvision's mixed 3D/2D ResNet-18, 11.5 M parameters, 512-d"
)
BACKBONES.register(
    "r2plus1d_18", f"{_TORCHVISION}:r2plus1d_18", summary="torchvision's R(2+1)D-18, 31.3 M parameters, 512-d"
)
BACKBONES.register("s3d", f"{_TORCHVISION}:s3d", summary="torchvision's S3D, 7.9 M parameters, 1024-d")
BACKBONES.register("slow_r18", f"{_SLOW}:slow_r18", summary="SlowFast's slow pathway, depth 18, 512-d")
BACKBONES.register("slow_r50", f"{_SLOW}:slow_r50", summary="SlowFast's slow pathway, depth 50, 2048-d")
BACKBONES.register("slow_r101", f"{_SLOW}:slow_r101", summary="SlowFast's slow pathway, depth 101, 2048-d")
BACKBONES.register("slow_r152", f"{_SLOW}:slow_r152", summary="SlowFast's slow pathway, depth 152, 2048-d")
BACKBONES.register("r3d_50", f"{_SLOW}:r3d_50", summary="CVRL's R3D-50: slow_r50 with a 5x7x7 stem, stride 2; 2048-d")
BACKBONES.register("r3d_101", f"{_SLOW}:r3d_101", summary="CVRL's R3D-101, 2048-d")
BACKBONES.register("r3d_152", f"{_SLOW}:r3d_152", summary="CVRL's R3D-152, 2048-d")
BACKBONES.register("p3d_a_r18", f"{_P3D}:p3d_a_r18", summary="P3D-A ResNet of depth 18, 15.4 M parameters, 512-d")
BACKBONES.register(
    "p3d_a_r50", f"{_P3D}:p3d_a_r50", summary="MCL's P3D-A ResNet (its R(2+1)D), depth 50, 27.3 M parameters, 2048-d"
)
BACKBONES.register(
    "resnet2d_18", f"{_RESNET2D}:resnet2d_18", summary="2D ResNet-18 on every frame, averaged over time, 512-d"
)
BACKBONES.register(
    "resnet2d_50", f"{_RESNET2D}:resnet2d_50", summary="2D ResNet-50 on every frame, averaged over time, 2048-d"
)


def build_backbone(name: str, **options: Any) -> Backbone:
    """Build the backbone called `name`.

    Its initial weights are drawn from torch's global generator, as every ``torch.nn`` module's are: seed it first
    (``lightning.seed_everything``).

    Args:
        name: one of ``BACKBONES.names()``.
        options: keyword arguments of its factory, such as ``width=2``.

    Returns:
        The network, in training mode: clips B x 3 x T x H x W to features (B, `feature_dim`).

    Raises:
        UnknownNameError: no backbone has this name.
        VidsslError: an option is unknown, missing or has an impossible value, or a plug-in's factory builds something
            else.
    """
    factory = BACKBONES.get(name)
    _check_options(name, factory, options)
    backbone = factory(**options)
    from vidssl.backbones.contract import Backbone

    if not isinstance(backbone, Backbone):
        raise VidsslError(
            f"The factory of the backbone {name!r} ({factory.__module__}.{factory.__qualname__}) gives a "
            f"{type(backbone).__name__}, not a vidssl.backbones.contract.Backbone."
        )
    return backbone


def _check_options(name: str, factory: Callable[..., Any], options: dict[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    accepted = ", ".join(parameters) or "none"
    for option in options:
        if option not in parameters:
            raise VidsslError(
                f"The backbone {name!r} has no option {option!r}.{nearest(option, parameters)} Accepted: {accepted}."
            )
    for option, parameter in parameters.items():
        if parameter.default is parameter.empty and option not in options:
            raise VidsslError(f"The backbone {name!r} needs the option {option!r}. Accepted: {accepted}.")


offer(
    __name__,
    contract=["Backbone"],
    export=["export_backbone", "load_exported"],
    pretrained=["load"],
    weights=["LoadReport", "load_weights"],
)
