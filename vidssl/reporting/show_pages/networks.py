"""A page of what networks look at: numbers, clips, and the features of the videos on a plane."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from vidssl.evaluation.attention.overlap import Overlap
from vidssl.reporting.attention_pictures import HEAT, AttentionPage
from vidssl.reporting.compare.page_marks import SHAPES
from vidssl.reporting.evaluation_pages.filmstrips import side_by_side
from vidssl.reporting.feature_map import COLOURS, MOST_NAMED, feature_rank, project
from vidssl.reporting.method_colours import colour_variable
from vidssl.reporting.pages import Section, render
from vidssl.reporting.percent import percent

MOST_FRAMES = 16  # of a clip on the page
HEAT_STEPS = 9
HALF_WIDTH = 100  # of a map of features, in its own units
TITLES = (
    "attention on motion, %",
    "... on another video's motion, %",
    "correlation with motion, x 100",
    "effective rank of features",
)
"""Headings of the numbers of a network, in the order of `NetworkFindings.values`."""


@dataclass(frozen=True)
class NetworkFindings:
    """What was measured of the networks of one method.

    Attributes:
        method: its name.
        overlaps: attention and motion of each run.
        features: of the videos, by the first run: float (N, D).
        ranks: effective rank of the features, of each run.
    """

    method: str
    overlaps: Sequence[Overlap]
    features: np.ndarray
    ranks: Sequence[float]

    @property
    def name(self) -> str:
        """The method, and how many runs it has where there are several."""
        return self.method if len(self.overlaps) == 1 else f"{self.method} ({len(self.overlaps)} runs)"

    @property
    def values(self) -> list[str]:
        """What `TITLES` name: means over the runs, with their spread where there are several."""
        keys = ("motion_share", "elsewhere_share", "motion_correlation")
        shares = [_spread([getattr(overlap, key) for overlap in self.overlaps]) for key in keys]
        return [*shares, f"{statistics.fmean(self.ranks):.1f}"]


def networks_page(
    networks: Sequence[NetworkFindings],
    clips: Sequence[AttentionPage],
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    projection: str,
    lead: str,
) -> str:
    """Return the page as HTML.

    Args:
        networks: one entry per method.
        clips: what the methods look at in a few clips.
        labels: class numbers of the videos whose features are known, int64 (N,).
        classes: names of the classes.
        projection: of the map, see `vidssl.reporting.feature_map.project`.
        lead: what was measured, in a sentence.

    Raises:
        VidsslError: see `vidssl.reporting.feature_map.project`.
    """
    sections = [
        Section("numbers", "Attention on motion", _numbers(networks)),
        Section("clips", "Clips", [_clip(clip) for clip in clips]),
        Section("features", "Features of the videos", _features(networks, labels, classes, projection)),
    ]
    heat = [to_hex(HEAT(step / (HEAT_STEPS - 1))) for step in range(HEAT_STEPS)]
    return render("show/networks.html", title="What networks look at", sections=sections, lead=lead, heat=heat)


def _spread(values: Sequence[float]) -> str:
    spread = f" ± {percent(statistics.stdev(values))}" if len(values) > 1 else ""
    return f"{percent(statistics.fmean(values))}{spread}"


def _numbers(networks: Sequence[NetworkFindings]) -> dict[str, Any]:
    several = any(len(network.overlaps) > 1 for network in networks)
    rows = [{"name": one.name, "colour": _colour(one.method), "cells": one.values} for one in networks]
    spread = "Several runs: mean and standard deviation." if several else ""
    return {"titles": TITLES, "rows": rows, "spread": spread}


def _clip(page: AttentionPage) -> dict[str, Any]:
    chosen = np.linspace(0, len(page.frames) - 1, min(MOST_FRAMES, len(page.frames))).round().astype(int)
    nothing = page.nothing()
    panels = [
        {
            "name": name,
            "address": side_by_side(list(frames[chosen])).address,
            "nothing": nothing.get(name, ""),
            "note": "" if name in nothing else page.notes.get(name, ""),
            "colour": _colour(name) if name in page.attention else "",
        }
        for name, frames in page.panels().items()
    ]
    return {"title": page.title, "frames": len(chosen), "panels": panels}


def _features(
    networks: Sequence[NetworkFindings], labels: np.ndarray, classes: Sequence[str], projection: str
) -> dict[str, Any]:
    looks = {
        int(label): {
            "colour": to_hex(COLOURS[place % len(COLOURS)]),
            "shape": SHAPES[place // len(COLOURS) % len(SHAPES)],
            "class_name": classes[label],
        }
        for place, label in enumerate(np.unique(labels))
    }
    maps = [_map(network, [looks[int(label)] for label in labels], projection) for network in networks]
    return {"maps": maps, "legend": list(looks.values()) if len(looks) <= MOST_NAMED else []}


def _map(network: NetworkFindings, looks: Sequence[Mapping[str, str]], projection: str) -> dict[str, Any]:
    points, how = project(projection, network.features)
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    reach = max(float(np.abs(points - middle).max()), 1e-12)
    across = (points - middle) / reach * HALF_WIDTH
    marks = [{**look, "x": f"{x:.1f}", "y": f"{-y:.1f}"} for look, (x, y) in zip(looks, across.tolist(), strict=True)]
    return {
        "name": network.method,
        "colour": _colour(network.method),
        "how": f"{projection}, {how}",
        "rank": f"{feature_rank(network.features):.1f} of at most {min(network.features.shape)}",
        "marks": marks,
    }


def _colour(method: str) -> str:
    return f"var(--{colour_variable(method)})"
