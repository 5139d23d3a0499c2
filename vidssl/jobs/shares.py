"""Which part of the videos is this process's, where several machines work on one catalog."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vidssl.errors import VidsslError

# the variables by which torchrun and SLURM number their processes
_LAUNCHERS = (("RANK", "WORLD_SIZE", "torchrun"), ("SLURM_PROCID", "SLURM_NTASKS", "SLURM"))


@dataclass(frozen=True)
class Share:
    """Every `count`-th video, from number `number` on.

    Attributes:
        number: of this share, from 0.
        count: of all shares.
        origin: who said so, for messages.

    Raises:
        VidsslError: there is no such share.
    """

    number: int = 0
    count: int = 1
    origin: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise VidsslError(
                f"There is no share {self.number} of {self.count}{f' ({self.origin})' if self.origin else ''}: shares "
                "are numbered from 0."
            )

    def rows(self, num_videos: int) -> range:
        """Return the row numbers of this share."""
        return range(self.number, num_videos, self.count)

    def __str__(self) -> str:
        return f"{self.number} of {self.count}"

    @classmethod
    def parse(cls, text: str, origin: str = "") -> Share:
        """Read ``2/8``; `origin` says who wrote it.

        Raises:
            VidsslError: the text is not of that form.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found:
            raise VidsslError(
                f"{origin or 'A share'} is written like 0/8: its number from 0, and how many there are; got {text!r}."
            )
        return cls(int(found[1]), int(found[2]), origin)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Share:
        """Return the share of this process of ``torchrun`` or ``srun``; everything, where neither started it.

        Raises:
            VidsslError: the variables make no sense.
        """
        for number, count, launcher in _LAUNCHERS:
            if number in environment and count in environment:
                origin = f"{launcher}: {number}={environment[number]}, {count}={environment[count]}"
                try:
                    return cls(int(environment[number]), int(environment[count]), origin)
                except ValueError as error:
                    raise VidsslError(f"The variables of {origin} are not numbers; unset them.") from error
        return cls()
