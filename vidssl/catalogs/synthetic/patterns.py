"""How the shape of a synthetic video moves: the motion patterns, which are the labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# A period fits into one clip of 8 frames at stride 2, so that every clip shows the whole pattern.
PERIOD_FRAMES = (8.0, 16.0)
AMPLITUDE = (0.14, 0.27)  # of the shorter side


@dataclass(frozen=True)
class Motion:
    """The parameters of one video's motion; the pattern itself is the class.

    Attributes:
        period_frames: the time of one repetition, in frames.
        phase: where in the period the video begins, in [0, 1).
        amplitude: the reach of the motion, as a fraction of the shorter side.
        sense: +1 or -1: clockwise or not, rising or falling diagonal.
    """

    period_frames: float
    phase: float
    amplitude: float
    sense: int


@dataclass(frozen=True)
class Poses:
    """Where the shape is in every frame: float64 arrays of shape (T,).

    Attributes:
        x: shift to the right, as a fraction of the shorter side.
        y: shift downwards, as a fraction of the shorter side.
        stretch_x: width relative to the width at rest.
        stretch_y: height relative to the height at rest.
        angle: rotation in radians.
    """

    x: np.ndarray
    y: np.ndarray
    stretch_x: np.ndarray
    stretch_y: np.ndarray
    angle: np.ndarray


def draw_motion(rng: np.random.Generator) -> Motion:
    """Draw the motion parameters of one video; they do not depend on its class."""
    return Motion(
        period_frames=rng.uniform(*PERIOD_FRAMES),
        phase=rng.uniform(),
        amplitude=rng.uniform(*AMPLITUDE),
        sense=int(rng.choice((-1, 1))),
    )


def _poses(time: np.ndarray, **given: np.ndarray) -> Poses:
    still = {"x": 0.0, "y": 0.0, "stretch_x": 1.0, "stretch_y": 1.0, "angle": 0.0}
    return Poses(**{name: given.get(name, np.full_like(time, value)) for name, value in still.items()})


def _left_right(time: np.ndarray, motion: Motion, rng: np.random.Generator) -> Poses:
    return _poses(time, x=motion.amplitude * np.sin(2 * np.pi * time))


def _up_down(time: np.ndarray, motion: Motion, rng: np.random.Generator) -> Poses:
    return _poses(time, y=motion.amplitude * np.sin(2 * np.pi * time))


def _circle(time: np.ndarray, motion: Motion, rng: np.random.Generator) -> Poses:
    turn = 2 * np.pi * time
    return _poses(time, x=motion.amplitude * np.cos(turn), y=motion.sense * motion.amplitude * np.sin(turn))


def _zoom(time: np.ndarray, motion: Motion, rng: np.random.Generator) -> Poses:
    # Factor 3 lets the outline travel about as far as the shape does in the other patterns.
    stretch = np.exp(3 * motion.amplitude * np.sin(2 * np.pi * time))
    return _poses(time, stretch_x=stretch, stretch_y=stretch)


def _rotate(time: np.ndarray, motion: Motion, rng: np.random.Generator) -> Poses:
    return _poses(time, angle=motion.sense * 2 * np.pi * time)


def _bounce(time: np.ndarray, motion: Motion, rng: np.random.Generator) -> Poses:
    height = 4 * (time % 1) * (1 - time % 1)  # a parabola between two impacts
    squash = 0.4 * np.exp(-((height / 0.25) ** 2))
    y = motion.amplitude * (1 - 2 * height)
    return _poses(time, y=y, stretch_x=1 + squash, stretch_y=1 - squash)


def _diagonal(time: np.ndarray, motion: Motion, rng: np.random.Generator) -> Poses:
    swing = motion.amplitude * np.sin(2 * np.pi * time)
    return _poses(time, x=swing, y=motion.sense * swing)


def _shake(time: np.ndarray, motion: Motion, rng: np.random.Generator) -> Poses:
    jolt = rng.uniform(-0.6, 0.6, (len(time), 3)) * motion.amplitude
    return _poses(time, x=jolt[:, 0], y=jolt[:, 1], angle=2 * jolt[:, 2])


PATTERNS: dict[str, Callable[[np.ndarray, Motion, np.random.Generator], Poses]] = {
    "left_right": _left_right,
    "up_down": _up_down,
    "circle": _circle,
    "zoom": _zoom,
    "rotate": _rotate,
    "bounce": _bounce,
    "diagonal": _diagonal,
    "shake": _shake,
}


def draw_poses(pattern: str, motion: Motion, num_frames: int, rng: np.random.Generator) -> Poses:
    """Return where the shape is in each of `num_frames` frames."""
    time = np.arange(num_frames) / motion.period_frames + motion.phase
    return PATTERNS[pattern](time, motion, rng)
