"""Rare news that one process of a run has for all others, so that they act on it after the same step."""

from __future__ import annotations

import itertools

from torch import distributed as dist
from torch.distributed.distributed_c10d import Store, _get_default_store

_STEPS_IN_FLIGHT = 2
"""How many steps a process may be ahead of what its GPU, and so every other process, has reduced."""


class Notices:
    """Spreads news through the store by which the processes found each other: no step waits for a collective.

    In every step of the optimiser the processes reduce their gradients together. Who reads after that reduction knows
    what any other process posted before it. On CPUs a notice is therefore read in the step for which it was posted. A
    process with a GPU goes on before its GPU has reduced, by one step at most where it reads something of each step
    back (`vidssl.runs.step_watch` does), and a notice is due two steps later.

    Every process makes its notices in the same order, and calls `take` after the same step.
    """

    _numbers = itertools.count()

    def __init__(self) -> None:
        self._prefix, self._taken = f"vidssl/notices/{next(self._numbers)}", 0
        self._read_step = -1
        self._found: tuple[int, str] | None = None

    def post(self, step: int, text: str) -> None:
        """Post a notice before this process reduces the gradients of a step; of several the first one counts.

        Args:
            step: of the optimiser, the steps that were done before it.
            text: what all shall know.
        """
        due = step + (0 if dist.get_backend() == dist.Backend.GLOO else _STEPS_IN_FLIGHT)
        _store().compare_set(self._key, "", f"{due} {text}")

    def read(self, step: int) -> str | None:
        """Return the notice that is due, after this process has reduced the gradients of a step.

        Args:
            step: as in `post`.
        """
        if self._found is None and step != self._read_step and _are_several():
            self._read_step = step
            if _store().check([self._key]):
                due, _, text = _store().get(self._key).decode().partition(" ")
                self._found = int(due), text
        return self._found[1] if self._found is not None and step >= self._found[0] else None

    def take(self) -> None:
        """Put away the notice that was read: the next one can be posted."""
        self._found, self._read_step = None, -1
        self._taken += 1

    def completes(self, what: str, step: int) -> bool:
        """Say that something is so on this process, and return whether it now is on all, for the first time in a run.

        Args:
            what: short, the same on all processes.
            step: as in `post`.
        """
        if not _are_several():
            return True
        known, of_step = f"{self._prefix}/{what}/known", f"{self._prefix}/{what}/{step}"
        if _store().check([known]):
            return False
        return _store().add(of_step, 1) == dist.get_world_size() and _store().add(known, 1) == 1

    @property
    def _key(self) -> str:
        return f"{self._prefix}/{self._taken}"


def _are_several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _store() -> Store:
    return _get_default_store()
