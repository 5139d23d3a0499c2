"""Video retrieval with frozen features: is a video of the same class among the k nearest?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vidssl.errors import VidsslError
from vidssl.evaluation.inputs import check_labelled, check_pair
from vidssl.evaluation.knn import nearest_neighbours
from vidssl.evaluation.outcome import Outcome
from vidssl.evaluation.video_features import VideoFeatures


@dataclass(frozen=True)
class Retrieval:
    """Whether a video of the same class is among the first k, see `recall_at_k`.

    Attributes:
        ks: how many neighbours to look at.
    """

    ks: tuple[int, ...] = (1, 5, 10, 20, 50)

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Search the gallery for every query video."""
        return Outcome(recall_at_k(gallery.features, gallery.labels, query.features, query.labels, self.ks))


def recall_at_k(
    gallery: Any,
    gallery_labels: Any,
    queries: Any,
    query_labels: Any,
    ks: Sequence[int] = (1, 5, 10, 20, 50),
) -> dict[str, float]:
    """Return the share of queries with an item of their class among the k nearest by cosine.

    This is the measure of the video literature (queries from the test split, gallery from the training split), at
    times called top-k accuracy of retrieval.

    Args:
        gallery: (N, D) features to search.
        gallery_labels: (N,) integers.
        queries: (M, D) features.
        query_labels: (M,) integers.
        ks: how many neighbours to look at; a k above N looks at all N.

    Returns:
        ``recall_at_<k>`` for every k, in [0, 1].

    Raises:
        VidsslError: empty, mismatched or non-finite features, a gallery of one class, or a k below 1.
    """
    if len(ks) == 0 or min(ks) < 1:
        raise VidsslError(f"ks is {tuple(ks)}: it needs one or more numbers, each at least 1.")
    known = check_labelled(gallery, gallery_labels, "gallery")
    asked = check_labelled(queries, query_labels, "query set")
    check_pair(known, asked, ("gallery", "query set"))
    hits = dict.fromkeys(ks, 0)
    for labels, _, neighbours in nearest_neighbours(known, asked, max(ks)):
        same_class = neighbours == labels[:, None]
        for k in hits:
            hits[k] += int(same_class[:, :k].any(dim=1).sum())
    return {f"recall_at_{k}": count / len(asked) for k, count in hits.items()}
