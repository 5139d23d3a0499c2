"""The page as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec

from vidssl.reporting.contact_sheet.motion import MOST_TARGETS, draw_target, draw_time
from vidssl.reporting.contact_sheet.page import WIDTH_INCHES, Page
from vidssl.reporting.contact_sheet.views import draw_frame, draw_view

DOTS_PER_INCH = 100
TALLEST_FRAME_INCHES = 3.8
MOST_VIEWS_BESIDE = 2
STRIP_FRAMES = 12
"""Number of frames of all views in a row, where what the network sees is below."""


def contact_sheet(page: Page, file: Path) -> Path:
    """Draw the page of one video.

    Args:
        page: what to draw.
        file: the PNG to write.
    """
    motion, target_shape = page.views.motion, page.dataset.target_shape
    layout = _Layout.of(page)
    parts = {
        "time": (0.6 if motion is None else 3.0) + 0.22 * page.num_views,
        "views": layout.rows * (layout.frame_height + 0.55) + layout.strip_rows * (layout.strip_height + 0.25),
    }
    if target_shape is not None:
        parts["target"] = 2 * 0.93 * WIDTH_INCHES / max(min(target_shape[0], MOST_TARGETS), 6) + 0.3
    figure = Figure(figsize=(WIDTH_INCHES, sum(parts.values()) + 0.9), layout="constrained")
    figure.suptitle(
        "   |   ".join([page.title, *page.facts, f"epoch {page.epoch}, seed {page.dataset.seed}"]),
        fontsize=12,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    grid = figure.add_gridspec(len(parts), 1, height_ratios=list(parts.values()))
    draw_time(page, figure, grid[0])
    heights = [layout.frame_height + 0.55] * layout.rows + [layout.strip_height + 0.25] * layout.strip_rows
    cells = GridSpecFromSubplotSpec(len(heights), layout.columns, grid[1], height_ratios=heights)
    for view in range(page.num_views):
        frame, strip = layout.places(view)
        draw_frame(page, view, figure.add_subplot(cells[frame]))
        draw_view(page, view, figure.add_subplot(cells[strip]), layout.strip_room)
    if motion is not None and target_shape is not None:
        draw_target(page, motion, target_shape, figure, grid[2])
    figure.savefig(file, dpi=DOTS_PER_INCH)
    return file


@dataclass(frozen=True)
class _Layout:
    """The grid cells of the frame of each view and of its augmented frames; sizes in inches.

    One or two views have both beside each other, more have what the network sees below the frames.
    """

    columns: int
    rows: int
    strip_rows: int
    frame_height: float
    strip_height: float

    @classmethod
    def of(cls, page: Page) -> _Layout:
        views, shape = page.num_views, min(page.video.height / page.video.width, 1.2)
        columns = 2 * views if views <= MOST_VIEWS_BESIDE else min(views, 4)
        frame_height = min(WIDTH_INCHES / columns * shape, TALLEST_FRAME_INCHES)
        if views <= MOST_VIEWS_BESIDE:
            return cls(columns, 1, 0, frame_height, frame_height)
        rows = -(-views // columns)
        return cls(columns, rows, rows, frame_height, WIDTH_INCHES / STRIP_FRAMES)

    @property
    def strip_room(self) -> tuple[float, float]:
        """Width and height of what the network sees."""
        return WIDTH_INCHES / self.columns, self.strip_height

    def places(self, view: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return row and column of the frame of a view, and of what the network sees."""
        if self.strip_rows == 0:
            return (0, 2 * view), (0, 2 * view + 1)
        row, column = divmod(view, self.columns)
        return (row, column), (self.rows + row, column)
