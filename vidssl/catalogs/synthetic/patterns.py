"""How the shape of a synthetic video moves: the motion patterns, or the order of events, which are the labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

# A period fits into one clip of 8 frames at stride 2, so that every clip shows the whole pattern.
PERIOD_FRAMES = (8.0, 16.0)
# Which comes first takes more frames to see; such a clip still shows seven eighths of the longest period.
ORDER_PERIOD_FRAMES = (12.0, 16.0)
ORDER_STRETCH = 0.4  # the logarithm of how much the shape grows and shrinks
# With partial activity: so many frames in a row the shape moves, and rests. About a clip each.
MOVING_FRAMES, RESTING_FRAMES = (12, 20), (12, 20)
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

    def at(self, moments: np.ndarray) -> Poses:
        """Return the poses of these moments, int (T,)."""
        return Poses(**{one.name: getattr(self, one.name)[moments] for one in fields(self)})


Pattern = Callable[[np.ndarray, Motion, np.random.Generator], Poses]
"""From moments (T,) in periods to poses."""


def draw_motion(rng: np.random.Generator, labels: str) -> Motion:
    """Draw the motion parameters of one video; they do not depend on its class."""
    return Motion(
        period_frames=rng.uniform(*(ORDER_PERIOD_FRAMES if labels == "order" else PERIOD_FRAMES)),
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


def _order(outward_above: int, outward_below: int) -> Pattern:
    """Return a pattern that goes up from rest, back, down and back, while the shape grows and shrinks.

    Above its resting place and below it, the shape is large on the way out and small on the way back (+1), or the other
    way round (-1). All four patterns show the same poses, equally often: the mirror image of time within the upper half
    of the path, or the lower one, leads from one pattern to another. All of it reversed in time, a pattern is the one
    with both signs turned, begun elsewhere.
    """

    def poses(time: np.ndarray, motion: Motion, rng: np.random.Generator) -> Poses:
        turn = 2 * np.pi * time
        height = np.sin(turn)
        stretch = np.exp(ORDER_STRETCH * np.sin(2 * turn) * np.where(height > 0, outward_above, outward_below))
        return _poses(time, y=-motion.amplitude * height, stretch_x=stretch, stretch_y=stretch)

    return poses


PATTERNS: dict[str, Pattern] = {
    "left_right": _left_right,
    "up_down": _up_down,
    "circle": _circle,
    "zoom": _zoom,
    "rotate": _rotate,
    "bounce": _bounce,
    "diagonal": _diagonal,
    "shake": _shake,
}

# Pairs, each the time reversal of its neighbour; single frames are the same in all four.
ORDERS: dict[str, Pattern] = {
    "rises_large": _order(1, -1),
    "falls_large": _order(-1, 1),
    "leaves_large": _order(1, 1),
    "returns_large": _order(-1, -1),
}

LABELS = {"pattern": PATTERNS, "order": ORDERS}
"""What the label can be: how the shape moves, or what of the same comes first."""


def draw_poses(pattern: Pattern, motion: Motion, moments: np.ndarray, rng: np.random.Generator) -> Poses:
    """Return where the shape is in each frame; `moments`, int (T,), says how often it has moved by then."""
    time = np.arange(moments[-1] + 1) / motion.period_frames + motion.phase
    return pattern(time, motion, rng).at(moments)


def draw_moments(num_frames: int, activity: str, rng: np.random.Generator) -> np.ndarray:
    """Return how often the shape has moved by each frame, int (T,): in all frames, or with rests in between.

    Rests are all of one length, and so are the motions between; the video begins anywhere in them. So any part of a
    video is as likely as any other, and as its reversal in time.
    """
    frames = np.arange(num_frames)
    if activity == "full":
        return frames
    moving = rng.integers(*MOVING_FRAMES, endpoint=True)
    cycle = moving + rng.integers(*RESTING_FRAMES, endpoint=True)
    moves = (frames + rng.integers(cycle)) % cycle < moving
    return np.cumsum(moves) - int(moves[0])
