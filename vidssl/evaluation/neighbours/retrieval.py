"""Video retrieval with frozen features: is a video of the same class among the k nearest?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidssl.errors import VidsslError, nearest
from vidssl.evaluation.features.checks import check_classification
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.neighbours.feature_rows import feature_rows, mean_row
from vidssl.evaluation.neighbours.search import exact_neighbours
from vidssl.evaluation.protocols.outcome import Neighbours, Outcome

SETS = ("gallery", "query set")  # as messages call them
CENTRINGS = ("none", "gallery", "per-set")
SCALINGS = {"cosine": "unit-length", "l2": "none"}  # distance -> what is done to rows after centring


@dataclass(frozen=True)
class Retrieval:
    """The share of queries with a video of their class among the first k.

    This is the measure of the video literature (queries from the test split, gallery from the training split), at times
    called top-k accuracy of retrieval.

    What published numbers differ in is a setting here. CoCLR (Han et al., NeurIPS 2020, its released evaluation)
    subtracts from queries and gallery each their own mean, before rows are brought to length one; others do not.

    Attributes:
        ks: how many neighbours to look at; a k above the size of the gallery looks at all of it.
        distance: "cosine", or "l2" between rows as long as they are.
        centring: what is subtracted: "none", "gallery" (the gallery's mean from both), "per-set" (from each its own
            mean; a query then depends on the other queries).
    """

    ks: tuple[int, ...] = (1, 5, 10, 20, 50)
    distance: str = "cosine"
    centring: str = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ks", tuple(self.ks))  # lists come from configurations
        if len(self.ks) == 0 or min(self.ks) < 1:
            raise VidsslError(f"ks is {self.ks}: it needs one or more numbers, each at least 1.")
        for kind, value, known in (("distance", self.distance, SCALINGS), ("centring", self.centring, CENTRINGS)):
            if value not in known:
                raise VidsslError(f"Unknown {kind} {value!r}.{nearest(value, known)} Known: {', '.join(known)}.")

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Search the gallery for every query video, by the means of their views.

        Returns:
            ``recall_at_<k>`` for every k, in [0, 1], and the neighbours. A query of a class that the gallery lacks is a
            miss.

        Raises:
            VidsslError: see `check_classification`.
        """
        found = video_neighbours(gallery, query, max(self.ks), self.distance, self.centring)
        hits = gallery.labels[found.places] == query.labels[:, None]
        recalls = {f"recall_at_{k}": float(hits[:, :k].any(axis=1).mean()) for k in self.ks}
        return Outcome(recalls, neighbours=found)


def video_neighbours(
    gallery: VideoFeatures, query: VideoFeatures, k: int, distance: str = "cosine", centring: str = "none"
) -> Neighbours:
    """Check both sets and find the k nearest of every query by the means of their views, see `exact_neighbours`.

    Raises:
        VidsslError: see `check_classification`.
    """
    check_classification(gallery, query, SETS)
    centres = _centres(gallery.features, query.features, centring)
    known, asked = (
        feature_rows(videos.features, name, SCALINGS[distance], centre)
        for videos, name, centre in zip((gallery, query), SETS, centres, strict=True)
    )
    return exact_neighbours(known, asked, k, distance)


def _centres(gallery: np.ndarray, query: np.ndarray, centring: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    if centring == "none":
        return None, None
    middle = mean_row(gallery)
    return middle, mean_row(query) if centring == "per-set" else middle
