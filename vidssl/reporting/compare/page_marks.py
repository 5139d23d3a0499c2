"""How a method looks on the page: a colour, a shape and a dash, so that nobody needs to tell colours apart."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from vidssl.reporting.compare.statistics import Spread

COLOURS = 8
SHAPES = (
    "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0Z",
    "M-2.9 -2.9H2.9V2.9H-2.9Z",
    "M0 -3.8L3.5 2.6H-3.5Z",
    "M0 -4L4 0L0 4L-4 0Z",
    "M0 3.8L3.5 -2.6H-3.5Z",
    "M-1.2 -3.6H1.2V-1.2H3.6V1.2H1.2V3.6H-1.2V1.2H-3.6V-1.2H-1.2Z",
)
DASHES = ("none", "7 3", "2 3", "9 3 2 3", "12 4", "4 2")
STRIP_WIDTH, STRIP_HEIGHT, STRIP_MARGIN = 96, 13, 5


def colour(place: int | None) -> str:
    """Colour of a method by its place; None is an untrained network."""
    return "var(--untrained)" if place is None else f"var(--m{place % COLOURS})"


def key(place: int | None) -> str:
    """A short stretch of a method's line with its shape, for legends and names."""
    shape = SHAPES[(place or 0) % len(SHAPES)]
    dash = "1 3" if place is None else DASHES[place % len(DASHES)]
    return (
        f'<svg width="26" height="10" viewBox="-13 -5 26 10" aria-hidden="true"><line x1="-12" x2="12" y1="0" y2="0" '
        f'style="stroke:{colour(place)}" stroke-width="2" stroke-dasharray="{dash}"/>'
        f'<path d="{shape}" style="fill:{colour(place)}"/></svg>'
    )


def named_key(place: int | None, label: str) -> str:
    """A method's line, and its name."""
    return f'<span class="key">{key(place)}{escape(label)}</span>'


def strip(spread: Spread, ends: tuple[float, float], place: int | None) -> str:
    """Every seed as a dot and the mean as a stroke, on a scale that all rows of the column share.

    Args:
        spread: the values.
        ends: lowest and highest value in the column.
        place: of the method.
    """
    low, high = ends
    room = STRIP_WIDTH - 2 * STRIP_MARGIN

    def across(value: float) -> float:
        return STRIP_MARGIN + room * (0.5 if high == low else (value - low) / (high - low))

    middle = STRIP_HEIGHT / 2
    shape = SHAPES[(place or 0) % len(SHAPES)]
    dots = "".join(
        f'<path d="{shape}" transform="translate({across(value):.1f} {middle}) scale(.85)" '
        f'style="fill:{colour(place)}" opacity=".6"/>'
        for value in spread.values.values()
    )
    mean = across(spread.mean)
    return (
        f'<svg class="strip" width="{STRIP_WIDTH}" height="{STRIP_HEIGHT}" aria-hidden="true">'
        f'<line x1="0" x2="{STRIP_WIDTH}" y1="{middle}" y2="{middle}"/>{dots}'
        f'<line x1="{mean:.1f}" x2="{mean:.1f}" y1="0" y2="{STRIP_HEIGHT}" style="stroke:{colour(place)}" '
        'stroke-width="2"/></svg>'
    )


def seeds_told(values: Mapping[int | str, float], said: Mapping[int | str, str]) -> str:
    """Every seed's value in words, for those who point at a cell."""
    return ", ".join(
        f"seed {seed}: {said[seed]}" if isinstance(seed, int) else f"{seed}: {said[seed]}" for seed in values
    )
