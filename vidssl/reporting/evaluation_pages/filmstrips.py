"""A few frames of a video side by side, as a picture that a page can hold and play."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.errors import VidsslError
from vidssl.video.decoding import read_frames

FRAMES = 8
WIDTH, HEIGHT = 160, 120  # pixels that a frame fills in one direction at least, and exceeds in none
WEBP_QUALITY = 65


@dataclass(frozen=True)
class Filmstrip:
    """Frames side by side.

    Attributes:
        address: ``data:`` address of the picture (WebP).
        ratio: width over height of a frame.
    """

    address: str
    ratio: float


def filmstrip(catalog: Catalog, row: int) -> Filmstrip:
    """Return frames from the middles of equal parts of a video, side by side.

    Raises:
        DecodingError: the video cannot be read.
    """
    total = catalog[row].num_frames
    wanted = ((np.arange(FRAMES) + 0.5) * total / FRAMES).astype(int)
    return side_by_side([fit(frame) for frame in read_frames(catalog.place(row), wanted)])


def side_by_side(frames: Sequence[np.ndarray]) -> Filmstrip:
    """Return frames, uint8 (H, W, 3) each and of one size, as one picture."""
    strip = np.concatenate(list(frames), axis=1)
    worked, encoded = cv2.imencode(".webp", strip[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    if not worked:
        raise VidsslError("OpenCV cannot write WebP pictures here; install opencv-contrib-python from PyPI.")
    height, width = strip.shape[:2]
    address = f"data:image/webp;base64,{base64.b64encode(encoded.tobytes()).decode()}"
    return Filmstrip(address, width / len(frames) / height)


def fit(frame: np.ndarray) -> np.ndarray:
    """Scale a frame, uint8 (H, W, 3), to the largest size within HEIGHT x WIDTH: nothing is cut off or added."""
    scale = min(WIDTH / frame.shape[1], HEIGHT / frame.shape[0])
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
