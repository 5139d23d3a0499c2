"""``metrics.csv``: reads everything that a run logged."""

from __future__ import annotations

import csv
from pathlib import Path

METRICS_FILE = "metrics.csv"


def read_metrics(run_dir: str | Path) -> list[dict[str, float]]:
    """Read the rows of a run's metrics file, in the order they were logged, without the empty cells."""
    file = Path(run_dir) / METRICS_FILE
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(lines)]
