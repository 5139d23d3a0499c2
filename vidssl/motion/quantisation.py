"""Motion maps in few bytes: every map is divided by its greatest value and rounded.

``uint8`` keeps the square root of the share, in 256 levels: small motions keep more digits than great ones, as most of
a map is small and what is learned from it is where it moves, not how much. The error of a value v in a map of greatest
value m is at most sqrt(v * m) / 255 + m / 260,100. ``float16`` keeps the share itself, to about 0.05 % of each value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vidssl.errors import UnknownNameError, nearest

LEVELS = 255


@dataclass(frozen=True)
class Quantisation:
    """How the share of a map's greatest value, in [0, 1], is kept.

    Attributes:
        dtype: of what is kept.
        encode: from float32 shares to `dtype`.
        decode: back to float32.
    """

    dtype: np.dtype
    encode: Callable[[np.ndarray], np.ndarray]
    decode: Callable[[np.ndarray], np.ndarray]


_SHARES = ((np.arange(LEVELS + 1) / LEVELS) ** 2).astype(np.float32)

QUANTISATIONS = {
    "uint8": Quantisation(
        np.dtype(np.uint8),
        lambda shares: np.rint(np.sqrt(shares) * np.float32(LEVELS)).astype(np.uint8),
        lambda levels: _SHARES[levels],
    ),
    "float16": Quantisation(
        np.dtype(np.float16),
        lambda shares: shares.astype(np.float16),
        lambda shares: shares.astype(np.float32),
    ),
}


def quantisation(name: str) -> Quantisation:
    """Return the quantisation of that name.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
    """
    if name not in QUANTISATIONS:
        raise UnknownNameError(
            f"Motion is stored as {' or '.join(QUANTISATIONS)}, not as {name!r}.{nearest(name, QUANTISATIONS)}"
        )
    return QUANTISATIONS[name]


def quantise(maps: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the stored form of motion maps.

    Args:
        maps: float32, S x rows x columns, at least 0.
        name: ``uint8`` or ``float16``.

    Returns:
        the shares in that type, S x rows x columns, and the scales, float32 (S,): the greatest value of each map.
    """
    scales = maps.max(axis=(1, 2), initial=0.0).astype(np.float32)
    divisors = np.where(scales > 0, scales, np.float32(1))  # a map without motion stays one
    return quantisation(name).encode(maps / divisors[:, None, None]), scales


def restore(shares: np.ndarray, scales: np.ndarray, name: str) -> np.ndarray:
    """Return the motion maps, float32 S x rows x columns, that `quantise` was given, up to its error."""
    return quantisation(name).decode(shares) * scales[:, None, None]
