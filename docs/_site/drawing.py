"""Boxes on a grid, joined by arrows, as SVG that can be read on GitHub, on the site, in light and in dark."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

PITCH = (178, 86)  # pixels from one box to the next, across and down
BOX = (140, 52)
MARGIN = 22
LINE = 16

# Okabe and Ito's blue, vermilion and green, as on the pages of vidssl compare; grey for what is not learned
STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1b1f24; }
.note { font-size: 11.5px; fill: #5b6570; }
.first { font-weight: 600; }
.page { fill: #fdfdfc; stroke: #e3e6e9; }
.data { fill: #f4f6f7; stroke: #8a939d; }
.learns { fill: #e8f2fa; stroke: #0072b2; }
.follows { fill: #fdf0e8; stroke: #d55e00; }
.loss { fill: #e8f6f1; stroke: #00916a; }
rect { stroke-width: 1.4; }
path { fill: none; stroke: #5b6570; stroke-width: 1.4; }
path.dashed { stroke-dasharray: 5 4; }
marker path { fill: #5b6570; stroke: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #e7eaed; }
  .note { fill: #a4adb6; }
  .page { fill: #171b1f; stroke: #2a3036; }
  .data { fill: #1d2227; stroke: #7b858f; }
  .learns { fill: #12283a; stroke: #56a9e8; }
  .follows { fill: #38220f; stroke: #ff8a4a; }
  .loss { fill: #10302a; stroke: #2fc79c; }
  path { stroke: #a4adb6; }
  marker path { fill: #a4adb6; }
}
"""


@dataclass(frozen=True)
class Box:
    """A box.

    Attributes:
        column: place across, from 0; a fraction will do.
        row: place down, from 0; a fraction will do.
        lines: one or two; the first is set bold.
        kind: ``data``, ``learns``, ``follows`` or ``loss``: its colours.
    """

    column: float
    row: float
    lines: tuple[str, ...]
    kind: str = "data"

    @property
    def left(self) -> float:
        """Pixels from the left edge."""
        return MARGIN + self.column * PITCH[0]

    @property
    def top(self) -> float:
        """Pixels from the upper edge."""
        return MARGIN + self.row * PITCH[1]

    def svg(self) -> str:
        """Return rectangle and text."""
        middle = self.top + BOX[1] / 2 - (len(self.lines) - 1) * LINE / 2 + 4.5
        rectangle = (
            f'<rect class="{self.kind}" x="{self.left:g}" y="{self.top:g}" width="{BOX[0]}" height="{BOX[1]}" rx="6"/>'
        )
        texts = [
            f'<text class="{"note" if number else "first"}" x="{self.left + BOX[0] / 2:g}" '
            f'y="{middle + number * LINE:g}" text-anchor="middle">{escape(line)}</text>'
            for number, line in enumerate(self.lines)
        ]
        return "\n".join((rectangle, *texts))


@dataclass(frozen=True)
class Arrow:
    """An arrow from one box to another, dashed where no gradient goes back along it."""

    start: str
    end: str
    note: str = ""
    dashed: bool = False

    def svg(self, boxes: dict[str, Box]) -> str:
        """Return the line, and its note beside the middle."""
        start, end = boxes[self.start], boxes[self.end]
        x1, y1, x2, y2 = _ends(start, end)
        bend = f"C {(x1 + x2) / 2:g} {y1:g}, {(x1 + x2) / 2:g} {y2:g}," if x1 != x2 else "L"
        line = (
            f'<path class="{"dashed" if self.dashed else "solid"}" marker-end="url(#head)" '
            f'd="M {x1:g} {y1:g} {bend} {x2:g} {y2:g}"/>'
        )
        if not self.note:
            return line
        x, anchor = ((x1 + x2) / 2, "middle") if x1 != x2 else (x1 + 8, "start")
        y = (y1 + y2) / 2 + (4 if x1 == x2 else -7)
        return f'{line}\n<text class="note" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(self.note)}</text>'


def _ends(start: Box, end: Box) -> tuple[float, float, float, float]:
    """Return where an arrow begins and ends: at the sides of boxes, or at top and bottom of one column."""
    if start.column == end.column:
        x = start.left + BOX[0] / 2
        down = start.row < end.row
        return (x, start.top + BOX[1], x, end.top - 2) if down else (x, start.top, x, end.top + BOX[1] + 2)
    forward = start.column < end.column
    x1, x2 = (start.left + BOX[0], end.left - 2) if forward else (start.left, end.left + BOX[0] + 2)
    return (x1, start.top + BOX[1] / 2, x2, end.top + BOX[1] / 2)


@dataclass(frozen=True)
class Drawing:
    """A picture of boxes and arrows.

    Attributes:
        title: what it shows, for those who do not see it.
        boxes: name -> box; names are those that arrows use.
        arrows: between them.
    """

    title: str
    boxes: dict[str, Box]
    arrows: list[Arrow] = field(default_factory=list)

    def svg(self) -> str:
        """Return the file."""
        width = max(box.left + BOX[0] for box in self.boxes.values()) + MARGIN
        height = max(box.top + BOX[1] for box in self.boxes.values()) + MARGIN
        head = (
            '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M 0 0.5 L 8 4 L 0 7.5 z"/></marker>'
        )
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img">',
            f"<title>{escape(self.title)}</title>",
            f"<style>{STYLE}</style>",
            f"<defs>{head}</defs>",
            f'<rect class="page" x="0.7" y="0.7" width="{width - 1.4:g}" height="{height - 1.4:g}" rx="8"/>',
            *(arrow.svg(self.boxes) for arrow in self.arrows),
            *(box.svg() for box in self.boxes.values()),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"
