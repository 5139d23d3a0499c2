"""Metrics in a CSV file that survives a restart."""

from __future__ import annotations

import csv
from argparse import Namespace  # Lightning hands hyper-parameters over as one
from collections.abc import Iterable, Mapping
from itertools import takewhile
from operator import itemgetter
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from vidssl.runs.metrics_file import METRICS_FILE, read_metrics
from vidssl.storage.files import replacing

AXES = ("step", "epoch")


class MetricsCSV(Logger):
    """Writes ``metrics.csv``, a row whenever something is logged, in the run's folder.

    A run that continues keeps the rows it had; those past the checkpoint, which it will log again, are dropped.
    (Lightning's CSVLogger deletes the whole file instead.)

    Args:
        run_dir: the folder of the run.
    """

    def __init__(self, run_dir: str) -> None:
        super().__init__()
        self._run_dir = run_dir
        self._columns: list[str] = []
        self._started = False
        self._last_step = 0.0

    @property
    def name(self) -> str:
        """Empty: checkpoints go directly below the run's folder."""
        return ""

    @property
    def version(self) -> str:
        """Empty: checkpoints go directly below the run's folder."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return self._run_dir

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the resolved configuration is saved beside the file."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row."""
        row = {"step": float(step or 0), **{name: float(value) for name, value in metrics.items()}}
        if not self._started:
            self._continue_with(row)
        if row["step"] < self._last_step:  # measured in the background meanwhile
            self._rewrite(sorted([*read_metrics(self._run_dir), row], key=itemgetter("step")))
        elif set(row) <= set(self._columns):
            with self._file.open("a", newline="") as lines:
                csv.DictWriter(lines, self._columns).writerow(row)
        else:
            self._rewrite([*read_metrics(self._run_dir), row])
        self._last_step = max(row["step"], self._last_step)

    def holds(self, step: int, names: Iterable[str]) -> bool:
        """Whether there is a row of a step with all these names."""
        wanted = set(names)
        return any(row["step"] == step and wanted <= row.keys() for row in read_metrics(self._run_dir))

    @property
    def _file(self) -> Path:
        return Path(self._run_dir) / METRICS_FILE

    def _continue_with(self, row: Mapping[str, float]) -> None:
        """Keep the rows before the one that is logged again: steps come in order, each with its rows of one kind."""
        self._started = True
        kind = row.keys() - set(AXES)

        def comes_before(earlier: Mapping[str, float]) -> bool:
            return earlier["step"] < row["step"] or (earlier["step"] == row["step"] and kind.isdisjoint(earlier))

        self._rewrite(list(takewhile(comes_before, read_metrics(self._run_dir))))

    def _rewrite(self, rows: list[dict[str, float]]) -> None:
        names = {name for row in rows for name in row} - set(AXES)
        self._columns = [*AXES, *sorted(names)]
        with replacing(self._file) as passing, passing.open("w", newline="") as lines:
            writer = csv.DictWriter(lines, self._columns)
            writer.writeheader()
            writer.writerows(rows)
