"""What a synthetic video shows: a textured shape that moves over a textured background while the camera pans.

The motion pattern is the label. Everything else (period, phase, amplitude, size, shape, place, textures and
camera) is drawn from the same distributions for every pattern, so that nothing but the motion tells the class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

SHAPES = ("disc", "square", "triangle", "star")
SPRITE_SIZE = 64  # pixels; the shape is drawn once at this size and then only transformed
SPRITE_RADIUS = 0.46  # of the shape, as a fraction of the sprite; the rest is margin for its soft outline

# A period fits into one clip of 8 frames at stride 2, so that every clip shows the whole pattern.
PERIOD_FRAMES = (8.0, 16.0)
AMPLITUDE = (0.14, 0.27)  # of the shorter side
RADIUS = (0.16, 0.22)  # of the shorter side
CENTRE_SPREAD = 0.06  # of the shorter side, about the middle of the picture
PAN_SPEED = (0.003, 0.012)  # of the shorter side, per frame
PAN_TURN_FRAMES = (24.0, 48.0)  # the camera turns round once in that time


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


@dataclass(frozen=True)
class Appearance:
    """What the shape and the background look like.

    Attributes:
        background: uint8 (TILE_SIZE, TILE_SIZE, 3), RGB, seamless; see `vidssl.catalogs.synthetic.texture`.
        foreground: likewise.
        shape: one of SHAPES.
    """

    background: np.ndarray
    foreground: np.ndarray
    shape: str


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


def draw_pan(num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return the camera's place in every frame: float64 (T, 2), (x, y) as fractions of the shorter side.

    The pan turns slowly. A pan with one direction for the whole video would be the easiest way to tell videos
    apart, and a network trained to do so would see the camera instead of the shape.
    """
    frames = np.arange(num_frames)
    turn_frames, heading = rng.uniform(*PAN_TURN_FRAMES), rng.uniform(0, 2 * np.pi)
    angle = heading + rng.choice((-1, 1)) * 2 * np.pi * frames / turn_frames
    step = rng.uniform(*PAN_SPEED) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return rng.uniform(0, 1, 2) + np.cumsum(step, axis=0)


def _sprite_mask(shape: str) -> np.ndarray:
    """Draw the shape, radius half the sprite less a margin: float32 (SPRITE_SIZE, SPRITE_SIZE) in [0, 1]."""
    fine = 4 * SPRITE_SIZE  # drawn larger and averaged, which smooths the outline
    middle, radius = fine / 2, SPRITE_RADIUS * fine
    corners = {"disc": 64, "square": 4, "triangle": 3, "star": 10}[shape]
    angle = np.pi * (2 * np.arange(corners) / corners - 0.5)
    reach = np.where(np.arange(corners) % 2, 0.45, 1.0) if shape == "star" else 1.0
    points = middle + radius * reach * np.stack([np.cos(angle), np.sin(angle)])
    mask = cv2.fillPoly(np.zeros((fine, fine), np.float32), [np.rint(points.T).astype(np.int32)], 1.0)
    return cv2.resize(mask, (SPRITE_SIZE, SPRITE_SIZE), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class Placement:
    """How large the shape is and where it rests, as fractions of the shorter side.

    Attributes:
        radius: of the shape at rest.
        centre: (x, y), from the middle of the picture.
        angle: its rotation at rest, in radians.
    """

    radius: float
    centre: tuple[float, float]
    angle: float


def draw_placement(rng: np.random.Generator) -> Placement:
    """Draw the size, the place and the orientation of the shape."""
    x, y = rng.uniform(-CENTRE_SPREAD, CENTRE_SPREAD, 2)
    return Placement(radius=rng.uniform(*RADIUS), centre=(x, y), angle=rng.uniform(0, 2 * np.pi))


def render(
    appearance: Appearance, placement: Placement, poses: Poses, pan: np.ndarray, *, height: int, width: int
) -> np.ndarray:
    """Render the frames.

    Args:
        appearance: textures and shape.
        placement: size and resting place.
        poses: T poses of the shape.
        pan: float64 (T, 2), the camera's places.
        height: of the frames, in pixels.
        width: of the frames, in pixels.

    Returns:
        uint8 (T, height, width, 3), RGB.
    """
    frames = np.empty((len(pan), height, width, 3), np.uint8)
    mask = _sprite_mask(appearance.shape)
    sprite = np.dstack([appearance.foreground[:SPRITE_SIZE, :SPRITE_SIZE].astype(np.float32) * mask[..., None], mask])
    for t, frame in enumerate(frames):
        across, down = pan[t] * min(height, width)
        shift = np.array([[1, 0, across], [0, 1, down]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        scene = cv2.warpAffine(appearance.background, shift, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)
        layer = cv2.warpAffine(sprite, _sprite_to_frame(placement, poses, t, height, width), (width, height))
        np.copyto(frame, np.rint(scene * (1 - layer[..., 3:]) + layer[..., :3]), casting="unsafe")
    return frames


def _sprite_to_frame(placement: Placement, poses: Poses, t: int, height: int, width: int) -> np.ndarray:
    side = min(height, width)
    scale = placement.radius * side / (SPRITE_RADIUS * SPRITE_SIZE)
    angle = placement.angle + poses.angle[t]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # The stretch comes after the turn: a shape that bounces is squashed towards the floor however it is turned.
    matrix = np.diag([poses.stretch_x[t], poses.stretch_y[t]]) * scale @ turn
    shift = np.array([placement.centre[0] + poses.x[t], placement.centre[1] + poses.y[t]])
    target = np.array([width, height]) / 2 + side * shift
    return np.column_stack([matrix, target - matrix @ np.full(2, SPRITE_SIZE / 2)])
