"""Named ways to turn frozen features into numbers; the name stands beside every number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vidssl.errors import VidsslError, nearest
from vidssl.evaluation.knn import knn_accuracy
from vidssl.evaluation.linear import linear_accuracy
from vidssl.evaluation.retrieval import recall_at_k
from vidssl.evaluation.svm import leave_one_group_out, linear_svm_accuracy


@dataclass(frozen=True)
class VideoFeatures:
    """Frozen features of labelled videos, the mean over each video's clips.

    Attributes:
        features: float32 (N, D).
        labels: int64 (N,), class numbers.
        groups: int64 (N,), who or what a video comes from (a person, a scene); -1 where unknown.
        index: int64 (N,), row numbers in the catalog, ascending.
    """

    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    index: np.ndarray


def _knn(gallery: VideoFeatures, query: VideoFeatures) -> dict[str, float]:
    return knn_accuracy(gallery.features, gallery.labels, query.features, query.labels, k=20, temperature=0.07)


def _linear(gallery: VideoFeatures, query: VideoFeatures) -> dict[str, float]:
    return linear_accuracy(gallery.features, gallery.labels, query.features, query.labels)


def _svm(gallery: VideoFeatures, query: VideoFeatures) -> dict[str, float]:
    return linear_svm_accuracy(gallery.features, gallery.labels, query.features, query.labels)


def _retrieval(gallery: VideoFeatures, query: VideoFeatures) -> dict[str, float]:
    return recall_at_k(gallery.features, gallery.labels, query.features, query.labels)


def _one_neighbour(train, train_labels, test, test_labels) -> dict[str, float]:
    return {"top1": knn_accuracy(train, train_labels, test, test_labels, k=1)["top1"]}


def _svm_leave_one_group_out(gallery: VideoFeatures, query: VideoFeatures) -> dict[str, float]:
    return leave_one_group_out(query.features, query.labels, query.groups, linear_svm_accuracy).mean


def _neighbour_leave_one_group_out(gallery: VideoFeatures, query: VideoFeatures) -> dict[str, float]:
    return leave_one_group_out(query.features, query.labels, query.groups, _one_neighbour).mean


Protocol = Callable[[VideoFeatures, VideoFeatures], dict[str, float]]

# name -> (what runs, what it is in a line)
PROTOCOLS: dict[str, tuple[Protocol, str]] = {
    "knn": (_knn, "cosine, 20 neighbours weighted by exp(similarity / 0.07)"),
    "linear": (_linear, "multinomial logistic regression on L2-normalised features, C = 100"),
    "svm": (_svm, "linear SVM, squared hinge, C = 1, standardised features"),
    "retrieval": (_retrieval, "cosine; a hit is a video of the same class among the first k"),
    "svm-leave-one-group-out": (
        _svm_leave_one_group_out,
        "linear SVM, C = 1, standardised features; each group (person) held out in turn, mean over videos",
    ),
    "nearest-neighbour-leave-one-group-out": (
        _neighbour_leave_one_group_out,
        "cosine, one neighbour; each group (person) held out in turn, mean over videos",
    ),
}


# These hold out a part of the query videos themselves; the others need a gallery apart from the queries.
LEAVE_ONE_OUT = frozenset(["svm-leave-one-group-out", "nearest-neighbour-leave-one-group-out"])


def get_protocol(name: str) -> Protocol:
    """Return the function behind a protocol's name.

    Raises:
        VidsslError: nothing has this name.
    """
    if name not in PROTOCOLS:
        raise VidsslError(f"Unknown protocol {name!r}.{nearest(name, PROTOCOLS)} Known: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name][0]
