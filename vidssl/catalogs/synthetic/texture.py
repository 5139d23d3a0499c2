"""The textures of the synthetic videos: seamless tiles in two shades."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

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


def draw_texture(style: TextureStyle, rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a seamless texture in two shades: uint8 (size, size, 3), RGB; it repeats after `size` pixels."""
    kind, repeats = rng.choice(style.kinds), int(rng.integers(*style.repeats, endpoint=True))
    level = _TEXTURE_LEVELS[kind](repeats, rng, size)[..., None]
    hue, second_hue = rng.uniform(*style.hue), rng.uniform(*SECOND_HUE_DEGREES)
    dark = _rgb(hue + second_hue, style.saturation, style.brightness[0])
    light = _rgb(hue, style.saturation, style.brightness[1])
    return np.rint(255 * (dark + level * (light - dark))).astype(np.uint8)


def _rgb(hue: float, saturation: float, brightness: float) -> np.ndarray:
    pixel = np.array([[[hue % 360, saturation, brightness]]], np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]


def _blobs(repeats: int, rng: np.random.Generator, size: int) -> np.ndarray:
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size))) * size
    noise = np.fft.fft2(rng.standard_normal((size, size)))
    field = np.fft.ifft2(noise * np.exp(-(((frequency - repeats) / 2) ** 2))).real
    return _soft_step(field / field.std())


def _stripes(repeats: int, rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _tile_angles(size)
    across = int(rng.integers(0, repeats + 1))  # whole numbers of repeats both ways keep the tile seamless
    return _soft_step(2 * np.sin((repeats - across) * x + across * y + rng.uniform(0, 2 * np.pi)))


def _checks(repeats: int, rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _tile_angles(size)
    return _soft_step(4 * np.sin(repeats // 2 * x) * np.sin(repeats // 2 * y))


def _dots(repeats: int, rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _tile_angles(size)
    return _soft_step(2 * (np.cos(repeats * x) + np.cos(repeats * y) - 0.7))


_TEXTURE_LEVELS = {"blobs": _blobs, "stripes": _stripes, "checks": _checks, "dots": _dots}
TEXTURES = tuple(_TEXTURE_LEVELS)


def _tile_angles(size: int) -> tuple[np.ndarray, np.ndarray]:
    once_round = 2 * np.pi * np.arange(size) / size
    return np.meshgrid(once_round, once_round)


def _soft_step(field: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-2 * field))
