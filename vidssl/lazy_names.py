"""What a package offers to users: names that are imported when they are first asked for.

Importing ``vidssl.losses`` then costs nothing, and ``from vidssl.losses import info_nce`` imports what it needs. The
names are the public surface of vidssl; `docs/public_names.md` lists them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

_OFFERED = "_offered"


class _OfferingPackage(ModuleType):
    def __getattr__(self, name: str) -> Any:
        module = vars(self)[_OFFERED].get(name)
        if module is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(import_module(module), name)
        vars(self)[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # Importing a submodule binds it to its package: the function info_nce must not become the module info_nce.
        if not (isinstance(value, ModuleType) and name in vars(self)[_OFFERED]):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *vars(self)[_OFFERED]})


def offer(package: str, **modules: Sequence[str]) -> None:
    """Let a package offer names of its modules.

    Args:
        package: its ``__name__``.
        modules: module of the package -> the names that it defines.
    """
    owner = sys.modules[package]
    offered = {name: f"{package}.{module}" for module, names in modules.items() for name in names}
    vars(owner)[_OFFERED] = offered
    vars(owner)["__all__"] = [*vars(owner).get("__all__", ()), *offered]
    owner.__class__ = _OfferingPackage
