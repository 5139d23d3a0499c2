"""Which class was taken for which: counts, and their picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from vidssl.storage.files import replacing

DOTS_PER_INCH = 110
RIGHT_COLOURS, WRONG_COLOURS = "Blues", "Oranges"  # told apart by every kind of eye; the diagonal says it once more
EXPLANATION = """\
Row: true class (videos). Column: what it was taken for. On the right: the share that was right.
Blue: right. Orange: wrong. The darker, the larger the share of the row."""
LEAST_WIDTH_INCHES = 6.0
SHADE = 0.6  # exponent of the colours: small shares are still seen
LIGHT_FIGURES_FROM = 0.62  # the shade of a cell


@dataclass(frozen=True)
class _Sizes:
    """How a matrix of up to `classes` classes is drawn: inches of a cell, points of names and of figures in cells."""

    classes: int
    cell: float
    names: float
    figures: float


# Cells shrink with the number of classes, but never so far that a count cannot be read in the picture's own size.
_SIZES = (
    _Sizes(classes=12, cell=0.62, names=10, figures=9),
    _Sizes(classes=30, cell=0.42, names=9, figures=7.5),
    _Sizes(classes=60, cell=0.27, names=8, figures=6.5),
    _Sizes(classes=130, cell=0.2, names=7, figures=5.5),
    _Sizes(classes=10**9, cell=0.16, names=6, figures=5),
)
CLASSES_WITH_SHARES = 30  # up to here a cell has room for its share below its count


@dataclass(frozen=True)
class Confusion:
    """How often each class was taken for each.

    Attributes:
        counts: int64 (C, C), true class by predicted class.
        classes: names, C of them.
    """

    counts: np.ndarray
    classes: list[str]

    @classmethod
    def of(cls, labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> Confusion:
        """Count; classes that are neither true nor predicted for any video are left out.

        Args:
            labels: int64 (M,).
            predicted: int64 (M,).
            classes: names, in the order of the labels.
        """
        seen = np.union1d(labels, predicted)
        counts = np.zeros((len(seen), len(seen)), np.int64)
        np.add.at(counts, (np.searchsorted(seen, labels), np.searchsorted(seen, predicted)), 1)
        return cls(counts, [classes[label] for label in seen])

    @property
    def totals(self) -> np.ndarray:
        """Videos of each true class, int64 (C,)."""
        return self.counts.sum(axis=1)

    @property
    def shares(self) -> np.ndarray:
        """Counts over the videos of the true class, float64 (C, C) in [0, 1]; 0 if it has no videos."""
        return self.counts / np.maximum(self.totals, 1)[:, None]

    def most_confused(self, most: int) -> list[tuple[str, str, int, float]]:
        """Return true class, predicted class, count and share of the most frequent mistakes, most frequent first."""
        wrong = self.counts * ~np.eye(len(self.classes), dtype=bool)
        order = np.lexsort((-self.shares.ravel(), -wrong.ravel()))[:most]
        pairs = [divmod(int(place), len(self.classes)) for place in order if wrong.flat[place]]
        return [
            (self.classes[true], self.classes[taken], int(wrong[true, taken]), float(self.shares[true, taken]))
            for true, taken in pairs
        ]


def draw_confusion(confusion: Confusion, title: str, file: Path) -> Path:
    """Draw the matrix: a row a true class, coloured by its shares, counts in the cells, accuracies on the right.

    Args:
        confusion: what is drawn.
        title: above it.
        file: the PNG to write.
    """
    number = len(confusion.classes)
    sizes = next(sizes for sizes in _SIZES if number <= sizes.classes)
    name_inches = max(map(len, confusion.classes)) * sizes.names * 0.6 / 72 + 0.15
    side = number * sizes.cell
    left, right, top, bottom = name_inches + 0.9, 1.0, name_inches + 1.0, 0.25
    width, height = max(left + side + right, LEAST_WIDTH_INCHES), top + side + bottom
    figure = Figure(figsize=(width, height))  # no pyplot: no window, no state
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    axes.set_xlim(-0.5, number - 0.5)
    axes.set_ylim(number - 0.5, -0.5)
    axes.set_axis_off()
    _cells(axes, confusion, sizes)
    _names(axes, confusion, sizes)
    figure.text(0.15 / width, 1 - 0.3 / height, title, fontsize=11, weight="bold", va="center")
    figure.text(0.15 / width, 1 - 0.62 / height, EXPLANATION, fontsize=8, color="0.35", va="center")
    with replacing(file) as passing:
        figure.savefig(passing, dpi=DOTS_PER_INCH, format="png")
    return file


def _cells(axes: Axes, confusion: Confusion, sizes: _Sizes) -> None:
    """Draw squares and figures: only where there is something, since most of 160,000 cells are empty."""
    shares, counts = confusion.shares, confusion.counts
    number = len(counts)
    shades = PowerNorm(SHADE, vmin=0, vmax=1)(shares)
    ends = np.arange(number + 1) - 0.5
    lines = [[(end, -0.5), (end, number - 0.5)] for end in ends] + [[(-0.5, end), (number - 0.5, end)] for end in ends]
    axes.add_collection(LineCollection(lines, colors="0.88", linewidths=0.4))
    for kept, colours in ((np.eye(number, dtype=bool), RIGHT_COLOURS), (~np.eye(number, dtype=bool), WRONG_COLOURS)):
        rows, columns = np.nonzero((counts > 0) & kept)
        corners = np.stack([columns, rows], axis=1)[:, None] + np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2
        axes.add_collection(
            PolyCollection(list(corners), facecolors=matplotlib.colormaps[colours](0.9 * shades[rows, columns]))
        )
    around = Rectangle((-0.5, -0.5), number, number, fill=False, edgecolor="0.6", linewidth=0.8)
    axes.add_patch(around).set_clip_on(False)
    light, with_shares = shades > LIGHT_FIGURES_FROM, number <= CLASSES_WITH_SHARES
    _figures(axes, counts > 0, counts.astype(str), light, sizes.figures, raised=0.17 if with_shares else 0.0)
    if with_shares:
        percent = np.array([f"{100 * share:.0f} %" for share in shares.flat]).reshape(shares.shape)
        _figures(axes, counts > 0, percent, light, sizes.figures, raised=-0.17)


def _figures(
    axes: Axes, shown: np.ndarray, texts: np.ndarray, light: np.ndarray, points: float, *, raised: float
) -> None:
    """Write into cells; each text is laid out once and stamped, since thousands of text objects would take minutes."""
    for text in np.unique(texts[shown]):
        outline = TextPath((0, 0), text, size=points)
        middle = outline.get_extents()
        centred = outline.transformed(Affine2D().translate(-(middle.x0 + middle.x1) / 2, -(middle.y0 + middle.y1) / 2))
        for ink, chosen in (("white", light), ("0.1", ~light)):
            rows, columns = np.nonzero(shown & (texts == text) & chosen)
            # a marker is scaled so that its farthest point lies half the root of the area from its middle
            area = (2 * np.abs(centred.vertices).max()) ** 2
            axes.scatter(columns, rows - raised, s=area, marker=centred, color=ink, linewidths=0, zorder=3)


def _names(axes: Axes, confusion: Confusion, sizes: _Sizes) -> None:
    number, gap = len(confusion.classes), sizes.names / 2 / 72 / sizes.cell  # half a letter, in cells
    accuracies = np.diag(confusion.shares)
    for place, (name, total) in enumerate(zip(confusion.classes, confusion.totals, strict=True)):
        right = f"{100 * accuracies[place]:.0f} %" if total else "no video"
        axes.text(-0.5 - gap, place, f"{name} ({total})", fontsize=sizes.names, ha="right", va="center_baseline")
        axes.text(number - 0.5 + gap, place, right, fontsize=sizes.names, ha="left", va="center_baseline")
        axes.text(place, -0.5 - gap, name, fontsize=sizes.names, ha="center", va="bottom", rotation=90)
