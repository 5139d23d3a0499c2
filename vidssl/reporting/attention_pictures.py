"""Pictures of what networks look at: a sheet and an animation per video, with all networks on the same clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from vidssl.evaluation.attention.clips import LookedAt
from vidssl.reporting.method_colours import colour_on_light

SHEET_FRAMES = 6
DOTS_PER_INCH = 110
PANEL_PIXELS = 176
CAPTION_PIXELS = 22
GAP_PIXELS = 6
MILLISECONDS_A_FRAME = 160
HEAT = colormaps["inferno"]
MOST_OPAQUE = 0.75
LEAST_OPAQUE = 0.25
SCALE = "colours: from 0 to the greatest value of the row's clip; rows have scales of their own"
NO_ATTENTION, NO_MOTION = "no attention", "no motion"


@dataclass(frozen=True)
class AttentionPage:
    """One clip, its motion, and what each network looks at in it.

    Attributes:
        title: name and class of the video.
        frames: uint8 T x H x W x 3.
        motion: float T x h x w, at least 0.
        attention: of each network, by name: float T' x H' x W', at least 0.
        notes: a few words on each network, by name, such as how much of its attention lies on what moves.
    """

    title: str
    frames: np.ndarray
    motion: np.ndarray
    attention: dict[str, np.ndarray]
    notes: dict[str, str]

    def panels(self) -> dict[str, np.ndarray]:
        """Return the pictures of a row by name: uint8 T x P x P x 3 each."""
        frames = np.stack(
            [cv2.resize(f, (PANEL_PIXELS, PANEL_PIXELS), interpolation=cv2.INTER_CUBIC) for f in self.frames]
        )
        shown = {"clip": frames, "motion": heated(frames, self.motion)}
        return shown | {name: heated(frames, maps) for name, maps in self.attention.items()}

    def nothing(self) -> dict[str, str]:
        """Return the panels whose map is 0 everywhere, with the text shown on them."""
        still = {} if self.motion.any() else {"motion": NO_MOTION}
        return still | {name: NO_ATTENTION for name, maps in self.attention.items() if not maps.any()}


def attention_page(looked_at: LookedAt, place: int, attention: Mapping[str, np.ndarray]) -> AttentionPage:
    """Return the page of the middle clip of a video.

    Args:
        looked_at: the videos.
        place: of the video among them.
        attention: of each network, by name, in all clips of all videos: float (N, V, T', H', W').
    """
    clip, row, catalog = looked_at.clips.num_clips // 2, int(looked_at.rows[place]), looked_at.data.catalog
    video = catalog[row]
    title = video.name + (f"   |   class {catalog.classes[video.label]}" if video.label >= 0 else "")
    shown = {name: maps[place, clip] for name, maps in attention.items()}
    notes = {
        name: f"{100 * looked_at.share_of(place, clip, maps):.0f} % on motion" if maps.any() else NO_ATTENTION
        for name, maps in shown.items()
    }
    return AttentionPage(title, looked_at.clip_of(row, clip), looked_at.motion[place, clip], shown, notes)


def heated(frames: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Lay maps over frames: dark and transparent where there is nothing, bright and opaque at the clip's greatest.

    Args:
        frames: uint8 T x H x W x 3.
        maps: float T' x h x w, at least 0, spread over the clip's time and space.

    Returns:
        uint8 T x H x W x 3; the frames as they are where the maps are 0 everywhere.
    """
    height, width = frames.shape[1:3]
    greatest = float(maps.max())
    if greatest <= 0:
        return frames
    shares = np.clip(maps / greatest, 0, 1).astype(np.float32)
    # the middle of a frame, and that of a map's part of the clip, in maps
    moments = (np.arange(len(frames)) + 0.5) * len(maps) / len(frames) - 0.5
    result = np.empty_like(frames)
    for frame, moment, out in zip(frames, np.clip(moments, 0, len(maps) - 1), result, strict=True):
        before = int(moment)
        after, late = min(before + 1, len(maps) - 1), moment - before
        share = (1 - late) * shares[before] + late * shares[after]
        share = np.clip(cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)[..., None]
        opacity = LEAST_OPAQUE + (MOST_OPAQUE - LEAST_OPAQUE) * share
        out[...] = (1 - opacity) * frame + opacity * 255 * HEAT(share[..., 0])[..., :3]
    return result


def attention_sheet(page: AttentionPage, file: Path) -> Path:
    """Draw a few frames of the clip in a row, below them the motion and what each network looks at, and the scale.

    Args:
        page: the clip.
        file: the PNG to write.
    """
    panels = page.panels()
    chosen = np.linspace(0, len(page.frames) - 1, min(SHEET_FRAMES, len(page.frames))).round().astype(int)
    figure = Figure(figsize=(1.35 * len(chosen) + 1.9, 1.42 * len(panels) + 1.0), layout="constrained")
    figure.suptitle(page.title, fontsize=10, x=0.01, ha="left", fontweight="bold")
    axes = figure.subplots(len(panels), len(chosen), squeeze=False)
    nothing = page.nothing()
    for row, (name, frames) in zip(axes, panels.items(), strict=True):
        for axis, number in zip(row, chosen, strict=True):
            axis.imshow(frames[number])
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
            if name == "clip":
                axis.set_title(f"frame {number + 1}", fontsize=8)
            if name in nothing:
                _write_across(axis, nothing[name])
        note = f"\n{page.notes[name]}" if name in page.notes else ""
        colour = colour_on_light(name) if name in page.attention else "black"
        row[0].set_ylabel(f"{name}{note}", fontsize=8.5, rotation=0, ha="right", va="center", labelpad=8, color=colour)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), HEAT), ax=axes, location="bottom", aspect=60, pad=0.01)
    bar.set_ticks([0, 1], labels=["0", "greatest"])
    bar.set_label(SCALE, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.savefig(file, dpi=DOTS_PER_INCH)
    return file


def _write_across(axis: Axes, words: str) -> None:
    """Say in a picture that there is nothing to see in it."""
    ground = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2.5}
    axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", fontsize=8, bbox=ground)


def attention_animation(page: AttentionPage, file: Path) -> Path:
    """Draw the clip as a moving picture, beside it its motion and what each network looks at.

    Args:
        page: the clip.
        file: the animated WebP to write; browsers and wandb show it.
    """
    panels = page.panels()
    captions = [f"{name}: {page.notes[name]}" if name in page.notes else name for name in panels]
    images = [_beside([frames[number] for frames in panels.values()], captions) for number in range(len(page.frames))]
    images[0].save(
        file, save_all=True, append_images=images[1:], duration=MILLISECONDS_A_FRAME, loop=0, quality=80, method=4
    )
    return file


def _beside(panels: Sequence[np.ndarray], captions: Sequence[str]) -> Image.Image:
    step = PANEL_PIXELS + GAP_PIXELS
    image = Image.new("RGB", (step * len(panels) - GAP_PIXELS, CAPTION_PIXELS + PANEL_PIXELS), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=13)
    for number, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
        image.paste(Image.fromarray(panel), (number * step, CAPTION_PIXELS))
        while caption and draw.textlength(caption, font=font) > PANEL_PIXELS:
            caption = caption[:-1]
        draw.text((number * step, 3), caption, fill="black", font=font)
    return image
