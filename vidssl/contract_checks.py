"""What the checks of a plug-in's contract have in common: how one is run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vidssl.errors import VidsslError
from vidssl.registry import failure_text, place_in_users_files


class ContractError(VidsslError):
    """A plug-in does not do what its contract asks; the message says what and where."""


class NotClaimed(Exception):
    """A check that a plug-in does not claim to pass; the message says why."""


@dataclass(frozen=True)
class CheckResult:
    """What came of a check.

    Attributes:
        check: its name.
        outcome: ``passed``, ``failed`` or ``not claimed``.
        detail: what was found, or what is wrong.
    """

    check: str
    outcome: str
    detail: str

    def __str__(self) -> str:
        return f"{self.outcome:<12}{self.check:<15}{self.detail}"


def run_check(check: str, function: Callable[[], str]) -> CheckResult:
    """Run a check; any exception of the plug-in is a failed check.

    Args:
        check: its name.
        function: returns what it found, or raises.
    """
    try:
        return CheckResult(check, "passed", function())
    except NotClaimed as reason:
        return CheckResult(check, "not claimed", str(reason))
    except VidsslError as error:
        return CheckResult(check, "failed", f"{error}{place_in_users_files(error)}")
    except Exception as error:  # of the plug-in, in any form
        return CheckResult(check, "failed", failure_text(error))
