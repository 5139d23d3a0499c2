"""The textures of the synthetic videos: seamless tiles in two shades."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

TILE_SIZE = 128  # pixels; a texture repeats after that many without a seam
SECOND_HUE_DEGREES = (-40, 40)  # from the lighter shade to the darker one


@dataclass(frozen=True)
class TextureStyle:
    """From what a texture is drawn: a narrow style makes textures that are hard to tell apart.

    Attributes:
        kinds: some of TEXTURES.
        repeats: how often the pattern repeats along a tile, first and last.
        hue: (lowest, highest) in degrees.
        saturation: of both shades, in [0, 1].
        brightness: (darker shade, lighter shade), in [0, 1].
    """

    kinds: tuple[str, ...]
    repeats: tuple[int, int]
    hue: tuple[float, float]
    saturation: float
    brightness: tuple[float, float]


def draw_texture(style: TextureStyle, rng: np.random.Generator) -> np.ndarray:
    """Draw a seamless texture in two shades: uint8 (TILE_SIZE, TILE_SIZE, 3), RGB."""
    kind, repeats = rng.choice(style.kinds), int(rng.integers(*style.repeats, endpoint=True))
    level = _TEXTURE_LEVELS[kind](repeats, rng)[..., None]
    hue, second_hue = rng.uniform(*style.hue), rng.uniform(*SECOND_HUE_DEGREES)
    dark = _rgb(hue + second_hue, style.saturation, style.brightness[0])
    light = _rgb(hue, style.saturation, style.brightness[1])
    return np.rint(255 * (dark + level * (light - dark))).astype(np.uint8)


def _rgb(hue: float, saturation: float, brightness: float) -> np.ndarray:
    pixel = np.array([[[hue % 360, saturation, brightness]]], np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]


def _blobs(repeats: int, rng: np.random.Generator) -> np.ndarray:
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(TILE_SIZE), np.fft.fftfreq(TILE_SIZE))) * TILE_SIZE
    noise = np.fft.fft2(rng.standard_normal((TILE_SIZE, TILE_SIZE)))
    field = np.fft.ifft2(noise * np.exp(-(((frequency - repeats) / 2) ** 2))).real
    return _soft_step(field / field.std())


def _stripes(repeats: int, rng: np.random.Generator) -> np.ndarray:
    x, y = _tile_angles()
    across = int(rng.integers(0, repeats + 1))  # whole numbers of repeats both ways keep the tile seamless
    return _soft_step(2 * np.sin((repeats - across) * x + across * y + rng.uniform(0, 2 * np.pi)))


def _checks(repeats: int, rng: np.random.Generator) -> np.ndarray:
    x, y = _tile_angles()
    return _soft_step(4 * np.sin(repeats // 2 * x) * np.sin(repeats // 2 * y))


def _dots(repeats: int, rng: np.random.Generator) -> np.ndarray:
    x, y = _tile_angles()
    return _soft_step(2 * (np.cos(repeats * x) + np.cos(repeats * y) - 0.7))


_TEXTURE_LEVELS = {"blobs": _blobs, "stripes": _stripes, "checks": _checks, "dots": _dots}
TEXTURES = tuple(_TEXTURE_LEVELS)


def _tile_angles() -> tuple[np.ndarray, np.ndarray]:
    once_round = 2 * np.pi * np.arange(TILE_SIZE) / TILE_SIZE
    return np.meshgrid(once_round, once_round)


def _soft_step(field: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-2 * field))
