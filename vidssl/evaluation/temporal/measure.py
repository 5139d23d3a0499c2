"""Accuracy and similarity of features when clips are changed in time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vidssl.errors import VidsslError
from vidssl.evaluation.classifiers.linear import LogisticRegression
from vidssl.evaluation.classifiers.linear_model import classify
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.neighbours.knn import KNN
from vidssl.evaluation.protocols.outcome import Outcome
from vidssl.evaluation.temporal.changes import TimeChanges

SIDES = ("queries", "both")
OTHERS = "other_videos_cosine"


@dataclass(frozen=True)
class ChangedClips:
    """Classify videos whose clips were changed in time, and compare their features with those of the clips as they are.

    Attributes:
        changed: "queries": neighbours are searched among, and the linear classifier is fitted on, gallery videos as
            they are; or "both": the gallery is changed likewise.
        changes: that the features were computed under.
        nearest: of the nearest neighbours; its ``top1`` counts.
        linear: the linear classifier.

    Raises:
        VidsslError: another word in `changed`.
    """

    changed: str = "queries"
    changes: TimeChanges = field(default_factory=TimeChanges)
    nearest: KNN = field(default_factory=lambda: KNN(k=1))
    linear: LogisticRegression = field(default_factory=LogisticRegression)

    def __post_init__(self) -> None:
        if self.changed not in SIDES:
            raise VidsslError(f"changed is {self.changed!r}; it must be one of {', '.join(SIDES)}.")

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Measure under every change.

        Args:
            gallery: with "both" computed under the changes: views (N, C, D). With "queries" clips as they are will do.
            query: computed under the changes: views (M, C, D).

        Returns:
            ``<change>_nearest`` and ``<change>_linear``, accuracies in [0, 1]; ``<change>_cosine`` in [-1, 1], the mean
            over the queries of the cosine between features under the change and without it; and
            ``other_videos_cosine``, the mean cosine between two different query videos as they are, a scale for the
            others. Each but the last is a mean over the query videos, whose values are in ``of_videos``. What is
            predicted, and the neighbours, are those of the nearest neighbours of unchanged clips.

        Raises:
            VidsslError: features that were not computed under the changes, or see `check_classification`.
        """
        self._check(gallery, query)
        names, pairs = self.changes.names, self._pairs(gallery, query)
        nearest = [self.nearest(known, asked) for known, asked in pairs]  # looks at features and labels first
        of_videos = {
            f"{name}_{kind}": np.asarray(outcome.predicted) == query.labels
            for kind, outcomes in (("nearest", nearest), ("linear", self._linear(pairs)))
            for name, outcome in zip(names, outcomes, strict=True)
        }
        own = _directions(query.views[:, 0])
        for place, name in enumerate(names[1:], start=1):
            of_videos[f"{name}_cosine"] = (own * _directions(query.views[:, place])).sum(axis=1)
        metrics = {name: float(values.mean()) for name, values in of_videos.items()}
        metrics[OTHERS] = _mean_cosine_of_others(own)
        return Outcome(metrics, nearest[0].predicted, nearest[0].neighbours, of_videos=of_videos)

    def _check(self, gallery: VideoFeatures, query: VideoFeatures) -> None:
        needed = {"queries": query, "gallery": gallery} if self.changed == "both" else {"queries": query}
        names = self.changes.names
        for what, videos in needed.items():
            if not videos.changed or videos.views.shape[1] != len(names):
                raise VidsslError(
                    f"The features of the {what} were not computed under the {len(names)} changes in time "
                    f"({', '.join(names)}), and cannot be computed from those of other clips: let the network see the "
                    "videos again (vidssl evaluate, FrozenFeatureEvaluation, or a FeatureRequest with time_changes)."
                )

    def _pairs(self, gallery: VideoFeatures, query: VideoFeatures) -> list[tuple[VideoFeatures, VideoFeatures]]:
        """Return gallery and queries for each change."""
        asked = [_single(query, query.views[:, place]) for place in range(len(self.changes.names))]
        if self.changed == "both":
            return [(_single(gallery, gallery.views[:, place]), videos) for place, videos in enumerate(asked)]
        unchanged = _single(gallery, gallery.features)
        return [(unchanged, videos) for videos in asked]

    def _linear(self, pairs: list[tuple[VideoFeatures, VideoFeatures]]) -> list[Outcome]:
        """Classify the queries of each change, by one fit for each gallery."""
        models = {id(known): self.linear.fit(known) for known, _ in {id(pair[0]): pair for pair in pairs}.values()}
        return [classify(models[id(known)], asked, self.linear.combination) for known, asked in pairs]


def _single(videos: VideoFeatures, features: np.ndarray) -> VideoFeatures:
    return VideoFeatures(features[:, None], videos.labels, videos.groups, videos.index)


def _directions(rows: np.ndarray) -> np.ndarray:
    """Bring rows (M, D) to length one, in float64; a row of zeros stays one."""
    exact = rows.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return exact / np.where(lengths == 0, 1.0, lengths)


def _mean_cosine_of_others(directions: np.ndarray) -> float:
    """The mean of the products of two different rows; NaN where there is one row."""
    total, number = directions.sum(axis=0), len(directions)
    return float((total @ total - (directions**2).sum()) / (number * (number - 1))) if number > 1 else float("nan")
