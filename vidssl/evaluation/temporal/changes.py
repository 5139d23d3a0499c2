"""Changes of a clip in time, as pure index arithmetic: which of its frames is shown at each moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from vidssl.errors import UnknownNameError, VidsslError, nearest

FEWEST_FRAMES = 4  # the middle half of fewer is one frame
STREAM_FAMILY = (2,)  # keeps the permutations apart from other draws that are keyed by (seed, row, view)

Generator = Callable[[], np.random.Generator]


def _unchanged(num_frames: int, rng: Generator) -> np.ndarray:
    return np.arange(num_frames)


def _shuffled(num_frames: int, rng: Generator) -> np.ndarray:
    generator = rng()
    while True:
        order = generator.permutation(num_frames)
        if (order != np.arange(num_frames)).any():
            return order


def _reversed(num_frames: int, rng: Generator) -> np.ndarray:
    return np.arange(num_frames)[::-1].copy()


def _repeated(num_frames: int, rng: Generator) -> np.ndarray:
    return np.full(num_frames, num_frames // 2)


def _double_speed(num_frames: int, rng: Generator) -> np.ndarray:
    return np.arange(num_frames) * 2 % num_frames


def _half_speed(num_frames: int, rng: Generator) -> np.ndarray:
    return num_frames // 4 + np.arange(num_frames) // 2


CHANGES: dict[str, Callable[[int, Generator], np.ndarray]] = {
    "unchanged": _unchanged,
    "shuffled": _shuffled,
    "reversed": _reversed,
    "repeated": _repeated,
    "double_speed": _double_speed,
    "half_speed": _half_speed,
}
"""Name -> frame numbers of a clip, int64 (T,), from T and, where something is drawn, a generator."""
UNCHANGED = "unchanged"


def time_metrics(kind: str) -> tuple[str, ...]:
    """Return the names of the metrics of a kind, "nearest", "linear" or "cosine", for every change."""
    return tuple(f"{name}_{kind}" for name in CHANGES)


@dataclass(frozen=True)
class TimeChanges:
    """How the clips of a video are changed in time, each from the frames that were decoded for it.

    - ``unchanged``: frame t at the moment t = 0, ..., T - 1.
    - ``shuffled``: a permutation, uniform among all but the identity. Every view of a video has its own, keyed by
      (seed, row, view), so that it depends neither on processes nor on batches.
    - ``reversed``: frame T - 1 - t.
    - ``repeated``: frame T // 2 at every moment.
    - ``double_speed``: frame 2t modulo T: every second frame, and the clip again from its beginning, as the loaders
      loop a video that is too short.
    - ``half_speed``: frame T // 4 + t // 2: the middle half of the clip, each of its frames twice, none interpolated.

    Attributes:
        names: of `CHANGES`, ``unchanged`` first.
        seed: key of the permutations.

    Raises:
        VidsslError: an unknown change, one that is named twice, or ``unchanged`` not first.
    """

    names: tuple[str, ...] = field(default=tuple(CHANGES))
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in CHANGES:
                raise UnknownNameError(
                    f"Unknown change in time {name!r}.{nearest(name, CHANGES)} Known: {', '.join(CHANGES)}."
                )
        if self.names[:1] != (UNCHANGED,) or len(set(self.names)) < len(self.names):
            raise VidsslError(f"Changes in time are {self.names}: each once, and {UNCHANGED!r} first.")

    def check(self, num_frames: int) -> None:
        """Refuse clips that are too short to be changed.

        Raises:
            VidsslError: fewer than four frames.
        """
        if num_frames < FEWEST_FRAMES:
            raise VidsslError(
                f"Clips of {num_frames} frames have no order worth changing: temporal protocols need num_frames of at "
                f"least {FEWEST_FRAMES} (data.evaluation.num_frames, or --set num_frames=16)."
            )

    def order(self, name: str, num_frames: int, row: int, view: int) -> np.ndarray:
        """Return which frame of a clip is shown at each moment, int64 (num_frames,).

        Args:
            name: one of `names`.
            num_frames: T, at least 4.
            row: of the video in its catalog.
            view: number of the view, among the clips and crops of the video.
        """

        def generator() -> np.random.Generator:
            return np.random.default_rng(np.random.SeedSequence([self.seed, row, view], spawn_key=STREAM_FAMILY))

        return CHANGES[name](num_frames, generator)
