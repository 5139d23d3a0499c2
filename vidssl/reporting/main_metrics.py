"""Which metrics are shown by default, and which ones are the same number twice."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from vidssl.evaluation.temporal.changes import time_metrics

METRIC_ORDER = ("top1", "mean_class", "nearest_top1", "recall_at_1", "recall_at_5")
"""The first of these that a protocol measures is its main metric."""
_FULL_ORDER = (*METRIC_ORDER, *time_metrics("nearest"), *time_metrics("linear"), *time_metrics("cosine"))
PROTOCOL_ORDER = ("knn", "linear", "retrieval/mean")
"""Protocols that are shown before all others."""
EQUAL = 1e-9  # a mean over classes is added up in another order than one over videos


def main_metric(metrics: Collection[str]) -> str | None:
    """Return the main metric of a protocol; None if it has none, as for attention."""
    return next((name for name in METRIC_ORDER if name in metrics), None)


def metric_rank(metric: str) -> tuple[int, str]:
    """Return where a metric comes among those of its protocol."""
    return (_FULL_ORDER.index(metric) if metric in _FULL_ORDER else len(_FULL_ORDER), metric)


def protocol_rank(protocol: str) -> tuple[int, str]:
    """Return where a protocol comes among the others."""
    return (PROTOCOL_ORDER.index(protocol) if protocol in PROTOCOL_ORDER else len(PROTOCOL_ORDER), protocol)


class Measured(Protocol):
    """A metric of a protocol on a data set."""

    @property
    def data(self) -> str:
        """Name of the data set."""

    @property
    def protocol(self) -> str:
        """Name of the protocol."""

    @property
    def metric(self) -> str:
        """Its name."""


Kind = TypeVar("Kind", bound=Measured)


def repeated(values: Mapping[Kind, Sequence[Sequence[tuple[float, float]]]]) -> dict[Kind, Kind]:
    """Find metrics that hold the numbers of another by construction.

    On classes of equal size the mean over classes is the accuracy, and the class of the nearest neighbour is right as
    often as the first hit of retrieval. Metrics that happen to agree otherwise are left alone.

    Args:
        values: metric -> of each run the (step, value) pairs.

    Returns:
        Metric -> the one that says the same.
    """
    return {
        column: other
        for column in values
        for other in values
        if _may_repeat(column, other) and _equal(values[column], values[other])
    }


def _may_repeat(column: Measured, other: Measured) -> bool:
    if column.data != other.data:
        return False
    if column.metric == "mean_class":
        return other.metric == "top1" and column.protocol == other.protocol
    return column.metric == "nearest_top1" and other.metric == "recall_at_1" and other.protocol.startswith("retrieval")


def _equal(values: Sequence[Sequence[tuple[float, float]]], others: Sequence[Sequence[tuple[float, float]]]) -> bool:
    for found, other in zip(values, others, strict=True):
        if [step for step, _ in found] != [step for step, _ in other]:
            return False
        pairs = zip(found, other, strict=True)
        if not all(math.isclose(one, two, abs_tol=EQUAL) for (_, one), (_, two) in pairs):
            return False
    return True
