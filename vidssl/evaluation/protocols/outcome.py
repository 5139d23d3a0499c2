"""What a measure finds out about features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vidssl.evaluation.features.video_features import VideoFeatures


@dataclass(frozen=True)
class Neighbours:
    """The nearest gallery videos of every query.

    Attributes:
        places: int64 (M, k), places in the gallery, nearest first.
        distances: float32 (M, k), rising.
    """

    places: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """Numbers, and what pictures and tables are made of.

    Attributes:
        metrics: name to value; accuracies in [0, 1].
        predicted: int64 (M,), the class given to each query video, or None where nothing is classified.
        neighbours: of the query videos, or None where nothing is retrieved.
        chosen: what was decided on the way, such as the weight decay of a grid; plain values.
        of_videos: of metrics that are means over the query videos and get an interval: name to the value of each video,
            bool (M,) for accuracies, else float (M,).
    """

    metrics: dict[str, float]
    predicted: np.ndarray | None = None
    neighbours: Neighbours | None = None
    chosen: dict[str, Any] = field(default_factory=dict)
    of_videos: dict[str, np.ndarray] = field(default_factory=dict)


Measure = Callable[[VideoFeatures, VideoFeatures], Outcome]
"""``measure(gallery, query)``: a frozen dataclass whose fields are its settings."""
