"""What a synthetic video shows: a textured shape that moves over a textured background while the camera pans.

The motion pattern is the label. Everything else (period, phase, amplitude, size, shape, place, textures and
camera) is drawn from the same distributions for every pattern, so that nothing but the motion tells the class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidssl.catalogs.synthetic.patterns import Motion, Poses

SHAPES = ("disc", "square", "triangle", "star")
RADIUS = (0.16, 0.22)  # of the shorter side
CENTRE_SPREAD = 0.06  # of the shorter side, about the middle of the picture
OFF_CENTRE_SCALE = 0.5  # of the shape and its motion, where it may be anywhere; it is a fifth of the frame wide then
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
        reach: how far it moves, relative to its poses.
    """

    radius: float
    centre: tuple[float, float]
    angle: float
    reach: float


def draw_placement(rng: np.random.Generator) -> Placement:
    """Draw the size, the place and the orientation of a shape near the middle."""
    x, y = rng.uniform(-CENTRE_SPREAD, CENTRE_SPREAD, 2)
    return Placement(radius=rng.uniform(*RADIUS), centre=(x, y), angle=rng.uniform(0, 2 * np.pi), reach=1.0)


def draw_off_centre(motion: Motion, height: int, width: int, rng: np.random.Generator) -> Placement:
    """Draw the same for a smaller shape that is anywhere in the frame, but does not leave it."""
    scale, radius = OFF_CENTRE_SCALE, rng.uniform(*RADIUS)
    room = np.array([width, height]) / (2 * min(height, width)) - scale * (radius + motion.amplitude)
    x, y = rng.uniform(-room, room)
    return Placement(radius=scale * radius, centre=(x, y), angle=rng.uniform(0, 2 * np.pi), reach=scale)


def draw_pan(num_frames: int, rng: np.random.Generator, spread: float = 1.0) -> np.ndarray:
    """Return the camera's place in every frame: float64 (T, 2), (x, y) as fractions of the shorter side.

    It begins anywhere within `spread`. Where that is the side of the texture, which repeats there, any place is as
    likely in every frame, and the pan as likely as its reversal in time.

    The pan turns slowly. A pan with one direction for the whole video would be the easiest way to tell videos
    apart, and a network trained to do so would see the camera instead of the shape.
    """
    frames = np.arange(num_frames)
    turn_frames, heading = rng.uniform(*PAN_TURN_FRAMES), rng.uniform(0, 2 * np.pi)
    angle = heading + rng.choice((-1, 1)) * 2 * np.pi * frames / turn_frames
    step = rng.uniform(*PAN_SPEED) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return rng.uniform(0, spread, 2) + np.cumsum(step, axis=0)


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
