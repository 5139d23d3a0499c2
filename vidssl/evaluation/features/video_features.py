"""Features of videos, as every measure takes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vidssl.errors import VidsslError

if TYPE_CHECKING:
    from vidssl.catalogs.catalog import Catalog

VIDEOS_AT_ONCE = 4096


@dataclass(frozen=True)
class VideoFeatures:
    """Frozen features of labelled videos.

    Attributes:
        views: float32 (N, V, D), a vector for each view of a video: its clips one after the other, the crops of a clip
            side by side; V = 1 where only the mean was kept. May be a read-only memory map.
        labels: int64 (N,), class numbers.
        groups: int64 (N,), who or what a video comes from (a person, a scene); -1 where unknown.
        index: int64 (N,), row numbers in the catalog, ascending.
        changed: whether, in place of its views, V counts the changes in time under which the mean over the clips of a
            video was taken (`vidssl.evaluation.temporal`); the first of them leaves the clips as they are.

    Raises:
        VidsslError: shapes that do not fit together.
    """

    views: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    index: np.ndarray
    changed: bool = False

    def __post_init__(self) -> None:
        sizes = {len(self.views), len(self.labels), len(self.groups), len(self.index)}
        if self.views.ndim != 3 or len(sizes) != 1:
            raise VidsslError(
                f"VideoFeatures need views (N, V, D), labels, groups and index (N,); they are {self.views.shape}, "
                f"{self.labels.shape}, {self.groups.shape} and {self.index.shape}."
            )

    @classmethod
    def of(
        cls, catalog: Catalog, rows: np.ndarray, views: np.ndarray | None = None, changed: bool = False
    ) -> VideoFeatures:
        """Return features with what a catalog says about their videos.

        Args:
            catalog: of the videos.
            rows: int64 (N,), ascending.
            views: float32 (N, V, D); None where the videos count, and not their features: then V is 1 and D is 0.
            changed: see the class.
        """
        rows = rows.astype(np.int64)
        labels, groups = (column[rows].astype(np.int64) for column in (catalog.labels, catalog.groups))
        views = np.empty((len(rows), 1, 0), np.float32) if views is None else views
        return cls(views, labels, groups, rows, changed)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def features(self) -> np.ndarray:
        """The mean over the views of unchanged clips, float32 (N, D); needs memory for that many rows alone."""
        if self.views.shape[1] == 1 or self.changed:
            return self.views[:, 0]
        means = np.empty((len(self), self.views.shape[2]), np.float32)
        for start in range(0, len(self), VIDEOS_AT_ONCE):
            means[start : start + VIDEOS_AT_ONCE] = self.views[start : start + VIDEOS_AT_ONCE].mean(axis=1)
        return means

    def subset(self, rows: np.ndarray) -> VideoFeatures:
        """Return some of the videos, by place (int64) or mask (bool)."""
        arrays = (self.views[rows], self.labels[rows], self.groups[rows], self.index[rows])
        return VideoFeatures(*arrays, changed=self.changed)
