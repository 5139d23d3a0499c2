"""Weighted k-nearest-neighbour classification of frozen features (Wu et al., CVPR 2018, arXiv 1805.01978)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import normalize

from vidssl.errors import VidsslError
from vidssl.evaluation.inputs import LabelledFeatures, check_labelled, check_pair, check_positive
from vidssl.evaluation.outcome import Outcome
from vidssl.evaluation.video_features import VideoFeatures

SIMILARITIES_AT_ONCE = 2**25  # 128 MB of float32: what one chunk of queries may hold


@dataclass(frozen=True)
class KNN:
    """A vote of the nearest neighbours, see `knn_accuracy`.

    Attributes:
        k: the number of neighbours.
        temperature: of their weights.
    """

    k: int = 20
    temperature: float = 0.07

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Classify every query video."""
        metrics = knn_accuracy(
            gallery.features, gallery.labels, query.features, query.labels, k=self.k, temperature=self.temperature
        )
        # one neighbour ranks nothing beyond itself
        return Outcome({"top1": metrics["top1"]} if self.k == 1 else metrics)


def knn_accuracy(
    gallery: Any,
    gallery_labels: Any,
    queries: Any,
    query_labels: Any,
    *,
    k: int = 20,
    temperature: float = 0.07,
    num_classes: int | None = None,
) -> dict[str, float]:
    """Classify every query by a vote of its k most similar gallery items, each weighing exp(cosine / temperature).

    Memory is bounded: the queries are compared in chunks. Tensors stay on their device.

    Args:
        gallery: (N, D) features with known labels.
        gallery_labels: (N,) integers.
        queries: (M, D) features to classify.
        query_labels: (M,) integers; a class that the gallery lacks counts as an error.
        k: the number of neighbours; a gallery of fewer items votes as a whole. (Wu et al. use 200 on ImageNet.)
        temperature: of the weights (Wu et al.: 0.07).
        num_classes: the number of classes; the highest label plus one when not given.

    Returns:
        Accuracies in [0, 1]: ``top1``; ``top5`` when there are more than five classes; and ``nearest_top1``, of
        the single nearest neighbour.

    Raises:
        VidsslError: empty, mismatched or non-finite features, or a gallery of one class.
    """
    known = check_labelled(gallery, gallery_labels, "gallery")
    asked = check_labelled(queries, query_labels, "query set")
    check_pair(known, asked, ("gallery", "query set"))
    check_positive(k=k, temperature=temperature)
    num_classes = _count_classes(known, asked, num_classes)
    hits = {"top1": 0, "nearest_top1": 0} | ({"top5": 0} if num_classes > 5 else {})
    for labels, similarities, neighbours in nearest_neighbours(known, asked, k):
        votes = similarities.new_zeros(len(labels), num_classes)
        # Less the largest, or exp would overflow in float32 at small temperatures; the order stays the same.
        weights = ((similarities - similarities[:, :1]) / temperature).exp()
        votes.scatter_add_(1, neighbours, weights)
        ranked = votes.topk(min(5, num_classes), dim=1).indices == labels[:, None]
        hits["top1"] += int(ranked[:, 0].sum())
        hits["nearest_top1"] += int((neighbours[:, 0] == labels).sum())
        if "top5" in hits:
            hits["top5"] += int(ranked.sum())
    return {name: count / len(asked) for name, count in hits.items()}


def _count_classes(known: LabelledFeatures, asked: LabelledFeatures, told: int | None) -> int:
    highest = int(max(known.labels.max(), asked.labels.max()))
    if told is not None and highest >= told:
        raise VidsslError(f"A label is {highest}, but num_classes is {told}; labels count from 0.")
    return highest + 1 if told is None else told


def nearest_neighbours(
    known: LabelledFeatures, asked: LabelledFeatures, k: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Find the k most similar items by cosine, a chunk of queries at a time.

    Args:
        known: N items to search.
        asked: M queries.
        k: how many to return; all N when there are fewer.

    Yields:
        For each chunk of m queries: their labels (m,), the cosines (m, k) in falling order, and the labels of
        these neighbours (m, k).
    """
    items = normalize(known.features, dim=1)
    chunk = max(1, SIMILARITIES_AT_ONCE // len(known))
    for features, labels in zip(asked.features.split(chunk), asked.labels.split(chunk), strict=True):
        found = (normalize(features, dim=1).to(items.device) @ items.T).topk(min(k, len(known)), dim=1)
        yield labels.to(items.device), found.values, known.labels[found.indices]
