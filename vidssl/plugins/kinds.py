"""The kinds of plug-ins that a Python file may define: their registries, and their base classes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from vidssl.backbones import BACKBONES
from vidssl.data.extras import EXTRAS
from vidssl.data.operations import OPERATIONS
from vidssl.data.sampling import SAMPLERS
from vidssl.errors import VidsslError
from vidssl.objectives import OBJECTIVES
from vidssl.registry import Registry


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in.

    Attributes:
        registry: of the names.
        base_path: ``package.module.Class`` that every one is below.
    """

    registry: Registry
    base_path: str

    def base(self) -> type:
        """Import the class that every one is below."""
        module, _, name = self.base_path.rpartition(".")
        base: type = getattr(importlib.import_module(module), name)
        return base


KINDS = (
    Kind(OBJECTIVES, "vidssl.objectives.base.Objective"),
    Kind(BACKBONES, "vidssl.backbones.contract.Backbone"),
    Kind(SAMPLERS, "vidssl.data.sampling.ClipSampler"),
    Kind(OPERATIONS, "vidssl.data.operations.Operation"),
    Kind(EXTRAS, "vidssl.data.extras.ExtraTensors"),
)


def import_named_classes(registries: Iterable[Registry]) -> None:
    """Import what is registered, so that a parser knows the classes by their names; what is broken is reported.

    Args:
        registries: of the names that a configuration may hold.
    """
    from pytorch_lightning.utilities import rank_zero_only

    for registry in registries:
        for name in registry.names():
            try:
                registry.get(name)
            except VidsslError as error:
                rank_zero_only(print)(f"vidssl: warning: {error}", file=sys.stderr)
