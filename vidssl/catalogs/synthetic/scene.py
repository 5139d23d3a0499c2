"""What a synthetic video shows: a textured shape that moves over a textured background while the camera pans.

The motion pattern is the label. Everything else (period, phase, amplitude, size, shape, place, textures and
camera) is drawn from the same distributions for every pattern, so that nothing but the motion tells the class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidssl.catalogs.synthetic.patterns import Poses

SHAPES = ("disc", "square", "triangle", "star")
RADIUS = (0.16, 0.22)  # of the shorter side
CENTRE_SPREAD = 0.06  # of the shorter side, about the middle of the picture
PAN_SPEED = (0.003, 0.012)  # of the shorter side, per frame
PAN_TURN_FRAMES = (24.0, 48.0)  # the camera turns round once in that time


@dataclass(frozen=True)
class Appearance:
    """What the shape and the background look like.

    Attributes:
        background: uint8 (N, N, 3), RGB, seamless; see `vidssl.catalogs.synthetic.texture`.
        foreground: likewise; the shape shows a part of it.
        shape: one of SHAPES.
        sprite_size: side in pixels of the picture that the shape is drawn as, once; then it is only transformed.
    """

    background: np.ndarray
    foreground: np.ndarray
    shape: str
    sprite_size: int


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


@dataclass(frozen=True)
class Scene:
    """All that is drawn for one video.

    Attributes:
        appearance: textures and shape.
        placement: size and resting place of the shape.
        poses: T poses of the shape.
        pan: float64 (T, 2), the camera's places.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
    """

    appearance: Appearance
    placement: Placement
    poses: Poses
    pan: np.ndarray
    height: int
    width: int
