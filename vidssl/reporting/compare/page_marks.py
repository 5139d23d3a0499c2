"""The marks of a method on the page: a colour, a shape and a dash, so that colour is never needed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidssl.reporting.compare.methods import Method
from vidssl.reporting.compare.statistics import Spread
from vidssl.reporting.method_colours import ON_LIGHT, method_places

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


@dataclass(frozen=True)
class MarkedName:
    """A name with its mark.

    Attributes:
        label: the name.
        colour: in CSS.
        shape: path of SVG around 0, 0.
        dash: of its lines, in SVG.
    """

    label: str
    colour: str
    shape: str
    dash: str


def marked_names(methods: Sequence[Method]) -> dict[str, MarkedName]:
    """Return the name of every method with its mark, by label, in the order of the methods."""
    places = method_places([method.label for method in methods])
    return {method.label: marked_name(method.label, places[method.label]) for method in methods}


def marked_name(label: str, place: int) -> MarkedName:
    """Return a name with the mark of a place, see `method_places`."""
    return MarkedName(
        label=label,
        colour=f"var(--m{place % len(ON_LIGHT)})",
        shape=SHAPES[place % len(SHAPES)],
        dash=DASHES[place % len(DASHES)],
    )


def untrained_name(label: str) -> MarkedName:
    """Return the name of an untrained network with its mark."""
    return MarkedName(label, colour="var(--untrained)", shape=SHAPES[0], dash="1 3")


@dataclass(frozen=True)
class Strip:
    """Every seed as a dot and the mean as a stroke, on a scale that all rows of a column share.

    Attributes:
        dots: their places from left to right, in pixels.
        mean: where the mean lies.
        width: of all, in pixels.
        height: of all, in pixels.
    """

    dots: list[str]
    mean: str
    width: int = STRIP_WIDTH
    height: int = STRIP_HEIGHT


def strip(spread: Spread, ends: tuple[float, float]) -> Strip:
    """Lay values out.

    Args:
        spread: the values.
        ends: lowest and highest value in the column.
    """
    low, high = ends
    room = STRIP_WIDTH - 2 * STRIP_MARGIN

    def across(value: float) -> str:
        return f"{STRIP_MARGIN + room * (0.5 if high == low else (value - low) / (high - low)):.1f}"

    return Strip([across(value) for value in spread.values.values()], across(spread.mean))
