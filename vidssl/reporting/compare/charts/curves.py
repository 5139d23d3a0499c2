"""Learning curves of methods as plain data, for a page to draw."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vidssl.reporting.compare.methods import Method
from vidssl.reporting.compare.runs import EVALUATION_PREFIX, Run

MAX_POINTS = 120
SIGNIFICANT_DIGITS = 5
NO_METRICS = ("step", "epoch")


def learning_curves(methods: Sequence[Method], leaving_out: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the curves of every logged metric over the steps that were done, evaluations first.

    Step 0 is the untrained network.

    Long series are cut into at most `MAX_POINTS` stretches of steps, of which each gives its mean: what is drawn is
    smoother than what was logged, and no peak is picked.

    Args:
        methods: with their runs.
        leaving_out: titles of evaluations that have no curve.

    Returns:
        Of each metric: `name`, `share` (whether all values lie in [0, 1]) and `methods`, a list in the order of the
        methods (None for one without the metric) of `steps` and `seeds`: name of the seed -> values at these steps,
        None where the run has none.
    """
    names = {name for method in methods for run in method.runs for row in run.rows for name in row}
    names -= {*NO_METRICS, *(f"{EVALUATION_PREFIX}{title}" for title in leaving_out)}
    return [_metric(name, methods) for name in sorted(names, key=_order)]


def _order(name: str) -> tuple[int, str]:
    prefixes = (EVALUATION_PREFIX, "train/loss", "train/", "")
    return next(place for place, prefix in enumerate(prefixes) if name.startswith(prefix)), name


def _metric(name: str, methods: Sequence[Method]) -> dict[str, Any]:
    series = [{_run_name(run): _series(run, name) for run in method.runs} for method in methods]
    points = [value for runs in series for found in runs.values() for value in found.values()]
    return {
        "name": name,
        "share": bool(points) and all(0 <= value <= 1 for value in points),
        "methods": [_curves(runs) for runs in series],
    }


def _run_name(run: Run) -> str:
    return f"seed {run.seed} ({run.name})" if run.seed is not None else run.name


def _series(run: Run, name: str) -> dict[float, float]:
    titles = {column: f"{EVALUATION_PREFIX}{column.title}" for column in run.values}
    evaluated = {
        step: value
        for column, points in run.values.items()
        if titles[column] == name
        for step, value in points
        if math.isfinite(step)
    }
    # Lightning counts logged steps from 0
    logged = {row["step"] + 1: row[name] for row in run.rows if name in row}
    return {step: value for step, value in (evaluated or logged).items() if math.isfinite(value)}


def _curves(runs: Mapping[str, Mapping[float, float]]) -> dict[str, Any] | None:
    runs = {name: found for name, found in runs.items() if found}
    if not runs:
        return None
    steps = sorted({step for found in runs.values() for step in found})
    size = math.ceil(len(steps) / MAX_POINTS)
    places = [steps[start : start + size] for start in range(0, len(steps), size)]
    seeds = {
        name: [_mean([found[step] for step in place if step in found]) for place in places]
        for name, found in runs.items()
    }
    return {"steps": [_rounded(sum(place) / len(place)) for place in places], "seeds": seeds}


def _mean(values: Sequence[float]) -> float | None:
    return _rounded(sum(values) / len(values)) if values else None


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
