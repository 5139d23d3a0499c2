"""Names that a configuration may use, and the factories behind them.

A registry holds names and where their factories are, so that listing the names costs no import of torch.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from vidssl.errors import UnknownNameError, VidsslError, nearest

PLUGINS_SWITCH = "VIDSSL_PLUGINS"


class Registry:
    """A map from names to factories (classes or functions), open to plug-ins.

    Args:
        kind: what is registered, in the singular; it appears in every message ("backbone").
        entry_point_group: the group under which installed packages announce their own entries, such as
            ``vidssl.backbones``. ``VIDSSL_PLUGINS=0`` in the environment switches plug-ins off.
    """

    def __init__(self, kind: str, entry_point_group: str | None = None) -> None:
        self.kind = kind
        self.entry_point_group = entry_point_group
        self._targets: dict[str, Any] = {}
        self._summaries: dict[str, str] = {}
        self._announced: list[EntryPoint] | None = None

    def register(self, name: str, target: Any = None, *, summary: str = "") -> Any:
        """Register `target` under `name`; without a target, work as a decorator.

        Args:
            name: the name used in configurations.
            target: the factory itself, or ``"package.module:attribute"``, imported when first asked for.
            summary: one line for ``vidssl list``.

        Raises:
            VidsslError: the name is taken.
        """
        if target is None:
            return lambda factory: self.register(name, factory, summary=summary or _first_line(factory))
        if name in self._targets:
            raise VidsslError(
                f"The {self.kind} {name!r} is already registered by {_describe(self._targets[name])}; "
                f"{_describe(target)} needs another name."
            )
        self._targets[name] = target
        self._summaries[name] = summary
        return target

    def names(self) -> list[str]:
        """Return every known name, sorted."""
        return sorted(self._targets.keys() | self._plugins().keys())

    def summaries(self) -> dict[str, str]:
        """Return one line for every name, without importing any factory."""
        plugins = self._plugins()
        told = {name: f"plug-in {point.value}" for name, point in plugins.items()}
        return dict(sorted({**told, **self._summaries}.items()))

    def get(self, name: str) -> Callable[..., Any]:
        """Return the factory called `name`.

        Raises:
            UnknownNameError: nothing has this name; the message lists what there is.
            VidsslError: the plug-in that announced the name cannot be imported.
        """
        plugins = self._plugins()
        if name in plugins:
            return _load_plugin(self.kind, plugins[name])
        if name not in self._targets:
            raise UnknownNameError(
                f"Unknown {self.kind} {name!r}.{nearest(name, self.names())} Known: {', '.join(self.names())}."
            )
        target = self._targets[name]
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            target = self._targets[name] = getattr(importlib.import_module(module), attribute)
        return target

    def _plugins(self) -> dict[str, EntryPoint]:
        if self.entry_point_group is None or os.environ.get(PLUGINS_SWITCH, "1") == "0":
            return {}
        if self._announced is None:  # reading every installed package's metadata takes milliseconds
            self._announced = list(entry_points(group=self.entry_point_group))
        found: dict[str, EntryPoint] = {}
        for point in self._announced:
            taken = found.get(point.name) or self._targets.get(point.name)
            if taken is not None and _describe(taken) != _describe(point):
                raise VidsslError(
                    f"Plug-in {_describe(point)} registers the {self.kind} {point.name!r}, "
                    f"which {_describe(taken)} has already taken; uninstall one or set {PLUGINS_SWITCH}=0."
                )
            found[point.name] = point
        return found


def _load_plugin(kind: str, point: EntryPoint) -> Callable[..., Any]:
    try:
        return point.load()
    except Exception as error:  # a plug-in may fail in any way; the user must learn which one did
        raise VidsslError(
            f"The plug-in {_describe(point)} that provides the {kind} {point.name!r} cannot be imported: "
            f"{type(error).__name__}: {error}. Repair or uninstall it, or set {PLUGINS_SWITCH}=0."
        ) from error


def _describe(target: Any) -> str:
    if isinstance(target, str):
        return target
    if isinstance(target, EntryPoint):
        package = target.dist.name if target.dist else "an unknown package"
        return f"{target.value} ({package})"
    return f"{target.__module__}:{target.__qualname__}"


def _first_line(factory: Any) -> str:
    return (factory.__doc__ or "").strip().split("\n")[0]
