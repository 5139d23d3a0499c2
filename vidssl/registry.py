"""Names that a configuration may use, and the factories behind them.

A registry holds names and where their factories are, so that listing the names costs no import of torch. Plug-ins add
to it from outside: installed packages by entry points, files by `Registry.announce`. A plug-in that is broken, or takes
a name that is taken, is an error for whoever asks for that name, and for nobody else.
"""

from __future__ import annotations

import importlib
import os
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from vidssl.errors import UnknownNameError, VidsslError, nearest

PLUGINS_SWITCH = "VIDSSL_PLUGINS"
MOST_LETTERS = 500  # some exceptions carry whole tensors
_LIBRARIES = {"site-packages", "dist-packages"}
# the standard library, vidssl, and code that was generated ("<string>")
_NOT_THE_USERS = (f"{sysconfig.get_path('stdlib')}{os.sep}", f"{Path(__file__).parent}{os.sep}", "<")


def plugins_are_on() -> bool:
    """Whether code from outside vidssl may be loaded: unless the environment says ``VIDSSL_PLUGINS=0``."""
    return os.environ.get(PLUGINS_SWITCH, "1") != "0"


@dataclass(frozen=True)
class Claim:
    """Somebody's claim to a name.

    Attributes:
        target: the factory itself, ``"package.module:attribute"``, or the entry point that leads to it.
        origin: whose it is, for messages: ``vidssl``, ``package my-method 0.1``, ``file my_method.py``.
        is_plugin: whether it comes from outside.
    """

    target: Any
    origin: str
    is_plugin: bool

    def __str__(self) -> str:
        return f"{_place(self.target)} ({self.origin})"


class Registry:
    """A map from names to factories (classes or functions), open to plug-ins.

    Args:
        kind: what is registered, in the singular; it appears in every message ("backbone").
        entry_point_group: the group under which installed packages announce their own entries, such as
            ``vidssl.backbones``. ``VIDSSL_PLUGINS=0`` in the environment switches plug-ins off.
        check: ``"package.module:function"`` of a function from a plug-in's factory to what is wrong with it, in words,
            or None; imported when the first plug-in is.
        is_named_by_class: whether an entry must have the name of its class: a configuration finds it by that name.
    """

    def __init__(
        self,
        kind: str,
        entry_point_group: str | None = None,
        *,
        check: str | None = None,
        is_named_by_class: bool = False,
    ) -> None:
        self.kind = kind
        self.entry_point_group = entry_point_group
        self.check = check
        self.is_named_by_class = is_named_by_class
        self._targets: dict[str, Any] = {}
        self._summaries: dict[str, str] = {}
        self._installed: list[EntryPoint] | None = None
        self._announced: list[tuple[str, Claim]] = []

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
                f"The {self.kind} {name!r} is already registered by {_place(self._targets[name])}; "
                f"{_place(target)} needs another name."
            )
        self._targets[name] = target
        self._summaries[name] = summary
        return target

    def announce(self, name: str, factory: Any, origin: str) -> None:
        """Add what a plug-in file defines; a name that is taken is an error for whoever asks for it.

        Args:
            name: the name used in configurations.
            factory: class or function.
            origin: where it comes from, for messages (``file my_method.py``).
        """
        claim = Claim(factory, origin, is_plugin=True)
        if (name, claim) not in self._announced and self._targets.get(name) is not factory:
            self._announced.append((name, claim))

    def count(self) -> int:
        """Return the number of entries, two for a name that is claimed twice."""
        return len(self._targets) + sum(map(len, self._plugins().values()))

    def names(self) -> list[str]:
        """Return every known name, sorted; those of broken plug-ins too."""
        return sorted(self._targets.keys() | self._plugins().keys())

    def summaries(self) -> dict[str, str]:
        """Return one line for every name, without importing any factory."""
        of_plugins = {name: f"plug-in {', '.join(map(str, claims))}" for name, claims in self._plugins().items()}
        return dict(sorted({**of_plugins, **self._summaries}.items()))

    def faults(self) -> dict[str, str]:
        """Import every plug-in; return, for each name that cannot be used, the message that explains why."""
        found = {}
        for name in sorted(self._plugins()):
            try:
                self.get(name)
            except VidsslError as error:
                found[name] = str(error)
        return found

    def get(self, name: str) -> Callable[..., Any]:
        """Return the factory called `name`.

        Raises:
            UnknownNameError: nothing has this name; the message lists what there is.
            VidsslError: several claim the name, or the plug-in that does cannot be used.
        """
        claims = self._claims(name)
        if not claims:
            raise UnknownNameError(
                f"Unknown {self.kind} {name!r}.{nearest(name, self.names())} Known: {', '.join(self.names())}."
            )
        if len(claims) > 1:
            raise VidsslError(
                f"The {self.kind} {name!r} is claimed by {' and by '.join(map(str, claims))}: rename or uninstall one, "
                f"or set {PLUGINS_SWITCH}=0, which leaves vidssl's own."
            )
        if claims[0].is_plugin:
            return self._load_plugin(name, claims[0])
        target = self._targets[name]
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            target = self._targets[name] = getattr(importlib.import_module(module), attribute)
        return target

    def _claims(self, name: str) -> list[Claim]:
        own = [Claim(self._targets[name], "vidssl", is_plugin=False)] if name in self._targets else []
        return own + self._plugins().get(name, [])

    def _plugins(self) -> dict[str, list[Claim]]:
        if self.entry_point_group is None or not plugins_are_on():
            return {}
        if self._installed is None:  # reading every installed package's metadata takes milliseconds
            self._installed = list(entry_points(group=self.entry_point_group))
        found: dict[str, list[Claim]] = {}
        for name, claim in [(point.name, _claim(point)) for point in self._installed] + self._announced:
            claims = found.setdefault(name, [])
            if str(claim) not in map(str, claims):  # a package that is on the path twice is one
                claims.append(claim)
        return found

    def _load_plugin(self, name: str, claim: Claim) -> Callable[..., Any]:
        what = f"The plug-in {claim} that provides the {self.kind} {name!r} cannot be"
        if isinstance(claim.target, EntryPoint):
            remedy = f"Repair or uninstall it, or set {PLUGINS_SWITCH}=0."
        else:
            remedy = "Repair the file, or leave it out (the flag --plugin, the key plugin)."
        try:
            factory = claim.target.load() if isinstance(claim.target, EntryPoint) else claim.target
        except (Exception, SystemExit) as error:  # a plug-in may fail in any way; the user must learn which one did
            raise VidsslError(f"{what} imported: {failure_text(error)}. {remedy}") from error
        fault = self._fault(name, factory)
        if fault is not None:
            raise VidsslError(f"{what} used: {fault}. {remedy}")
        return factory

    def _fault(self, name: str, factory: Any) -> str | None:
        if self.check is None:
            return None
        module, _, function = self.check.partition(":")
        fault = getattr(importlib.import_module(module), function)(factory)
        if fault is None and self.is_named_by_class and factory.__name__ != name:
            fault = f"it is the class {factory.__name__}; a {self.kind} must be announced by the name of its class"
        return fault


def failure_text(error: BaseException) -> str:
    """Return an exception of somebody else's code as ``KeyError: 'x' (method.py, line 3)``.

    The place is the last one in their own files; where there is none, as in an installed plug-in, the last of all.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    frames = frames[1:]  # the first frame is ours
    place = _last_place([frame for frame in frames if _is_the_users(frame.filename)] or frames)
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({error.filename}, line {error.lineno})"
        return f"{type(error).__name__}: {error.msg}{place}"
    text = " ".join(str(error).split())
    text = text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]} ..."
    return f"{type(error).__name__}: {text}{place}"


def place_in_users_files(error: BaseException) -> str:
    """Return the last line in files of the user that an exception passed, as `` (method.py, line 3)``, or nothing."""
    return _last_place([frame for frame in traceback.extract_tb(error.__traceback__) if _is_the_users(frame.filename)])


def _last_place(frames: Sequence[traceback.FrameSummary]) -> str:
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _is_the_users(file: str) -> bool:
    return not file.startswith(_NOT_THE_USERS) and _LIBRARIES.isdisjoint(Path(file).parts)


def _claim(point: EntryPoint) -> Claim:
    package = f"package {point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
    return Claim(point, package, is_plugin=True)


def _place(target: Any) -> str:
    if isinstance(target, str):
        return target
    if isinstance(target, EntryPoint):
        return target.value
    return f"{target.__module__}:{target.__qualname__}"


def _first_line(factory: Any) -> str:
    return (factory.__doc__ or "").strip().split("\n")[0]
