"""What is drawn for one video, and the names and colours of its views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from vidssl.catalogs.catalog import VideoRow
from vidssl.data.dataset import ClipDataset, DrawnViews

WIDTH_INCHES = 15.0
VIEW_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")
MOTION_COLOURS = "inferno"
MOTION_UNIT = "pixels / frame"
"""Of motion maps: differences of optical flow between neighbouring cells (3x3 Prewitt kernels)."""
BRIGHT, BRIGHT_PERCENTILE, MOST_GAIN = 230.0, 99.0, 8.0
"""A brightened video has 1 % of its values above 230, unless that takes more than a gain of 8."""


@dataclass(frozen=True)
class Page:
    """What is drawn on one page.

    Attributes:
        video: from the catalog.
        label: name of its class, or an empty string.
        views: what was drawn for it.
        dataset: which drew it.
        epoch: of which it is a part.
        brighten: whether frames are shown brighter where the video is dark; what is trained on stays as it is.
    """

    video: VideoRow
    label: str
    views: DrawnViews
    dataset: ClipDataset
    epoch: int
    brighten: bool = False

    @property
    def title(self) -> str:
        """Name of the video, and its class where it has one."""
        return self.video.name + (f"   |   class {self.label}" if self.label else "")

    @property
    def facts(self) -> list[str]:
        """Facts about the video, and how it is shown."""
        video = self.video
        return [
            f"{video.num_frames} frames, {video.duration_seconds:.1f} s",
            f"{video.width} x {video.height} pixels",
            *([f"shown brighter (x {self.gain:.1f})"] if self.gain > 1 else []),
        ]

    @property
    def num_views(self) -> int:
        """Views of the video."""
        return len(self.views.plans)

    @property
    def gain(self) -> float:
        """What pixels are multiplied with to be shown, at least 1: bright parts of a dark video become bright."""
        if not self.brighten:
            return 1.0
        bright = max(float(np.percentile(frames, BRIGHT_PERCENTILE)) for frames in self.views.frames)
        return min(max(BRIGHT / max(bright, 1.0), 1.0), MOST_GAIN)

    def shown(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels, uint8 of any shape, as they are shown."""
        return np.clip(pixels * self.gain, 0, 255).astype(np.uint8) if self.gain > 1 else pixels


def name_of(page: Page, view: int) -> str:
    """Return what a view is called."""
    return f"view {view + 1}" + (" (query)" if view == 0 and page.dataset.target_shape else "")


def colour_of(view: int) -> str:
    """Return the colour of a view."""
    return VIEW_COLOURS[view % len(VIEW_COLOURS)]


def tidy(axis: Axes) -> None:
    """Leave out the lines that say nothing."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
