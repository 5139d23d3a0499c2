"""What the contracts of samplers and operations have in common."""

from __future__ import annotations

import inspect
from abc import ABCMeta
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from vidssl.contract_checks import CheckResult, run_check

Part = TypeVar("Part")


class PartContract(Generic[Part]):
    """The checks of one part.

    Args:
        part: with its settings.

    Attributes:
        checks: name -> check, in the order in which they are run; each returns what it found or raises.
    """

    checks: ClassVar[Mapping[str, Callable[[Any], str]]]

    def __init__(self, part: Part) -> None:
        self.part = part

    def run(self, check: str) -> CheckResult:
        """Run one of `checks`.

        Raises:
            KeyError: no check has this name.
        """
        function = self.checks[check]
        return run_check(check, lambda: function(self.part))

    def results(self) -> list[CheckResult]:
        """Run all checks."""
        return [self.run(check) for check in self.checks]


def fault_of_class(found: Any, base: ABCMeta) -> str | None:
    """Return what keeps `found` from being used as a class below `base`, in words for its author, or None."""
    path = f"{base.__module__}.{base.__qualname__}"
    if not inspect.isclass(found):
        return f"it is of type {type(found).__name__}, not a class below {path}"
    if not issubclass(found, base):
        return f"{found.__qualname__} is not a class below {path}"
    if inspect.isabstract(found):
        return f"{found.__qualname__} lacks {', '.join(sorted(found.__abstractmethods__))}"
    return None
