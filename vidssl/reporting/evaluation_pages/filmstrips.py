"""A few frames of a video side by side, as a picture that a page can hold and play."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.errors import VidsslError
from vidssl.video.decoding import read_frames

FRAMES = 8
WIDTH, HEIGHT = 144, 108  # pixels of a frame, 4:3
WEBP_QUALITY = 65
BACKGROUND = 32  # of frames that are not 4:3


def filmstrip(catalog: Catalog, row: int) -> str:
    """Return frames from the middles of equal parts of a video, side by side, as a ``data:`` address (WebP).

    Raises:
        DecodingError: the video cannot be read.
    """
    total = catalog[row].num_frames
    wanted = ((np.arange(FRAMES) + 0.5) * total / FRAMES).astype(int)
    frames = read_frames(catalog.root / catalog.path(row), wanted)
    strip = np.concatenate([fit(frame) for frame in frames], axis=1)
    worked, encoded = cv2.imencode(".webp", strip[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    if not worked:
        raise VidsslError("OpenCV cannot write WebP pictures here; install opencv-contrib-python from PyPI.")
    return f"data:image/webp;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def fit(frame: np.ndarray) -> np.ndarray:
    """Scale a frame, uint8 (H, W, 3), into HEIGHT x WIDTH without cutting anything off."""
    scale = min(WIDTH / frame.shape[1], HEIGHT / frame.shape[0])
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    scaled = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    tile = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
    left, top = (WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2
    tile[top : top + size[1], left : left + size[0]] = scaled
    return tile
