"""Renders the drawn scene of a synthetic video as pixels, and as the flow between its frames."""

from __future__ import annotations

import cv2
import numpy as np

from vidssl.catalogs.synthetic.scene import Scene

SPRITE_RADIUS = 0.46  # of the shape, as a fraction of the sprite; the rest is margin for its soft outline


def render(scene: Scene) -> np.ndarray:
    """Render the frames: uint8 (T, height, width, 3), RGB."""
    appearance, size, size_of_sprite = scene.appearance, (scene.width, scene.height), scene.appearance.sprite_size
    frames = np.empty((len(scene.pan), scene.height, scene.width, 3), np.uint8)
    mask = _sprite_mask(appearance.shape, size_of_sprite)
    texture = appearance.foreground[:size_of_sprite, :size_of_sprite].astype(np.float32)
    sprite = np.dstack([texture * mask[..., None], mask])
    for t, frame in enumerate(frames):
        across, down = scene.pan[t] * min(size)
        shift = np.array([[1, 0, across], [0, 1, down]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        behind = cv2.warpAffine(appearance.background, shift, size, flags=flags, borderMode=cv2.BORDER_WRAP)
        layer = cv2.warpAffine(sprite, _sprite_to_frame(scene, t), size)
        np.copyto(frame, np.rint(behind * (1 - layer[..., 3:]) + layer[..., :3]), casting="unsafe")
    return frames


def flow_from(scene: Scene, t: int) -> np.ndarray:
    """Return where each pixel of frame `t` is in the next frame: float32 (height, width, 2), (u, v) in pixels.

    Where the shape covers at least half of a pixel it is the shape's motion, elsewhere the background's.
    """
    mask = _sprite_mask(scene.appearance.shape, scene.appearance.sprite_size)
    before, after = (_sprite_to_frame(scene, frame) for frame in (t, t + 1))
    covers = cv2.warpAffine(mask, before, (scene.width, scene.height)) >= 0.5
    # the affine map from the shape's pixels in this frame to the same points of the shape in the next
    matrix = after[:, :2] @ np.linalg.inv(before[:, :2])
    shift = after[:, 2] - matrix @ before[:, 2]
    flow = np.empty((scene.height, scene.width, 2), np.float32)
    flow[:] = (scene.pan[t] - scene.pan[t + 1]) * min(scene.height, scene.width)
    y, x = np.nonzero(covers)
    pixels = np.stack([x, y], axis=1)
    flow[y, x] = pixels @ (matrix - np.eye(2)).T + shift
    return flow


def _sprite_mask(shape: str, size: int) -> np.ndarray:
    """Draw the shape, radius half the sprite less a margin: float32 (size, size) in [0, 1]."""
    fine = 4 * size  # drawn larger and averaged, which smooths the outline
    middle, radius = fine / 2, SPRITE_RADIUS * fine
    corners = {"disc": 64, "square": 4, "triangle": 3, "star": 10}[shape]
    angle = np.pi * (2 * np.arange(corners) / corners - 0.5)
    reach = np.where(np.arange(corners) % 2, 0.45, 1.0) if shape == "star" else 1.0
    points = middle + radius * reach * np.stack([np.cos(angle), np.sin(angle)])
    mask = cv2.fillPoly(np.zeros((fine, fine), np.float32), [np.rint(points.T).astype(np.int32)], 1.0)
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)


def _sprite_to_frame(scene: Scene, t: int) -> np.ndarray:
    """Return the affine map from the sprite's pixels to those of frame `t`: float64 (2, 3)."""
    placement, poses, side = scene.placement, scene.poses, min(scene.height, scene.width)
    scale = placement.radius * side / (SPRITE_RADIUS * scene.appearance.sprite_size)
    angle = placement.angle + poses.angle[t]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # The stretch comes after the turn: a shape that bounces is squashed towards the floor however it is turned.
    matrix = np.diag([poses.stretch_x[t], poses.stretch_y[t]]) * scale @ turn
    shift = np.array(placement.centre) + placement.reach * np.array([poses.x[t], poses.y[t]])
    target = np.array([scene.width, scene.height]) / 2 + side * shift
    return np.column_stack([matrix, target - matrix @ np.full(2, scene.appearance.sprite_size / 2)])
