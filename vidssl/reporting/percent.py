"""Shares as percentages, rounded in the same way everywhere."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

NOISE_DIGITS = 7  # decimals of a share that single precision keeps
ONE_DECIMAL = Decimal("0.1")


def percent(share: float) -> str:
    """Return a share in percent with one decimal, halves away from zero: 0.4625 is ``46.3``.

    The value is first freed of the noise of single precision: metrics that passed through a float32 tensor (0.46250001)
    and those of a record (0.4625) read alike.

    Args:
        share: a finite number; 1 is 100 %.
    """
    exact = Decimal(str(round(float(share), NOISE_DIGITS))) * 100
    return f"{exact.quantize(ONE_DECIMAL, ROUND_HALF_UP):.1f}"


def signed_percent(difference: float) -> str:
    """Return a difference of shares as `percent` does, with its sign: ``+2.3``."""
    text = percent(difference)
    return text if text.startswith("-") else f"+{text}"
