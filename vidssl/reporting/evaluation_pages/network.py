"""The name of a measured network on a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MeasuredNetwork:
    """A network: method, run and checkpoint.

    Attributes:
        name: unique among the networks of a command; names of files hold it.
        method: such as ``CVRL`` or ``untrained``; its colour follows from it.
        run: name of the run's folder; empty where it is of none.
        checkpoint: name of its file; empty for a network that was not trained.
    """

    name: str
    method: str
    run: str = ""
    checkpoint: str = ""

    @property
    def title(self) -> str:
        """All of it in words: ``CVRL, run warm, last.ckpt``; the name alone where there is no run."""
        if not self.run:
            return self.name
        return ", ".join(part for part in (self.method, f"run {self.run}", self.checkpoint) if part)
