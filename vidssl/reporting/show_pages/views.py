"""A page of what training sees. Its pictures are those of the sheet, cut so that they fit a screen of any width."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from vidssl.reporting.contact_sheet.motion import draw_target, draw_time
from vidssl.reporting.contact_sheet.page import Page, name_of
from vidssl.reporting.contact_sheet.views import draw_frame, draw_view
from vidssl.reporting.pages import render

DOTS_PER_INCH = 160  # the page shows 100 dots per inch or fewer, and screens of phones have several per dot
WIDE_INCHES, VIEW_INCHES = 13.0, 3.6
NARROW_INCHES = 3.9  # on a phone
TALLEST_SHAPE = 1.3  # of a frame: height over width
TITLE_INCHES = 0.75


def views_page(pages: Sequence[Page]) -> str:
    """Return the page of a few videos as HTML.

    Args:
        pages: one of each video; all are of one catalog and one epoch.
    """
    first = pages[0]
    boxes = "Solid box: the crop." + (
        " Dashed box: the moving region. Bright: where it moves." if first.views.motion is not None else ""
    )
    lead = f"Drawn exactly as in epoch {first.epoch} with seed {first.dataset.seed}. {boxes}"
    return render("show/views.html", title="What training sees", lead=lead, videos=[_video(page) for page in pages])


def _video(page: Page) -> dict[str, Any]:
    motion, target_shape = page.views.motion, page.dataset.target_shape
    has_target = motion is not None and target_shape is not None
    return {
        "title": page.title,
        "facts": ", ".join(page.facts),
        "when_title": "Frames of each view" if motion is None else "When it moves, and the frames of each view",
        "when": _when(page, WIDE_INCHES),
        "when_narrow": _when(page, NARROW_INCHES),
        "views": [_view(page, view) for view in range(page.num_views)],
        "target": _target(page) if has_target else "",
    }


def _when(page: Page, width: float) -> str:
    height = (0.7 if page.views.motion is None else 3.0) + 0.22 * page.num_views
    figure = Figure(figsize=(width, height), layout="constrained")
    draw_time(page, figure, figure.add_gridspec(1, 1)[0])
    return _picture(figure)


def _view(page: Page, view: int) -> dict[str, str]:
    shape = min(page.video.height / page.video.width, TALLEST_SHAPE)
    figure = Figure(figsize=(VIEW_INCHES, VIEW_INCHES * shape + TITLE_INCHES), layout="constrained")
    draw_frame(page, view, figure.add_subplot())
    frame = _picture(figure)
    figure = Figure(figsize=(VIEW_INCHES, VIEW_INCHES + TITLE_INCHES), layout="constrained")
    draw_view(page, view, figure.add_subplot(), (VIEW_INCHES, VIEW_INCHES))
    return {"name": name_of(page, view), "frame": frame, "seen": _picture(figure)}


def _target(page: Page) -> str:
    motion, shape = page.views.motion, page.dataset.target_shape
    assert motion is not None  # and so is the shape: asked before
    assert shape is not None
    figure = Figure(figsize=(WIDE_INCHES, WIDE_INCHES / 4), layout="constrained")
    draw_target(page, motion, shape, figure, figure.add_gridspec(1, 1)[0])
    return _picture(figure)


def _picture(figure: Figure) -> str:
    """The figure without its white edges, as an address that a page can hold."""
    content = io.BytesIO()
    figure.savefig(content, dpi=DOTS_PER_INCH, bbox_inches="tight", pad_inches=0.04)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
