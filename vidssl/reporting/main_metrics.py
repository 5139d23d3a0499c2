"""Which metrics are shown where nothing is asked for, and which ones are the same number twice."""

from __future__ import annotations

from collections.abc import Collection

METRIC_ORDER = ("top1", "mean_class", "nearest_top1", "recall_at_1", "recall_at_5")
"""The first of these that a protocol measures is its main metric."""
PROTOCOL_ORDER = ("knn", "linear", "retrieval/mean")
"""Protocols that are shown before all others."""


def main_metric(metrics: Collection[str]) -> str | None:
    """Return the main one of a protocol's metrics; None where there is none, as of attention."""
    return next((name for name in METRIC_ORDER if name in metrics), None)


def metric_rank(metric: str) -> tuple[int, str]:
    """Return where a metric comes among those of its protocol."""
    return (METRIC_ORDER.index(metric) if metric in METRIC_ORDER else len(METRIC_ORDER), metric)


def protocol_rank(protocol: str) -> tuple[int, str]:
    """Return where a protocol comes among the others."""
    return (PROTOCOL_ORDER.index(protocol) if protocol in PROTOCOL_ORDER else len(PROTOCOL_ORDER), protocol)
