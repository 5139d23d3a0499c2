"""The table of docs/measurements.md that says what the networks of the small configurations know of time.

    vidssl evaluate --checkpoint runs/small/* --protocol temporal/queries temporal/both
    python tools/time_results.py runs/small/* [--protocols temporal/queries]

Linear accuracy in % of clips that are changed in time, a line for each method and protocol: mean and standard deviation
over seeds, of one seed its interval of 95 % over the test videos.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmark import parser, report
from small_results import spread, text

from vidssl.errors import VidsslError
from vidssl.evaluation.temporal.changes import time_metrics
from vidssl.reporting.compare.methods import group_runs
from vidssl.reporting.compare.runs import Column, Run, read_runs
from vidssl.reporting.percent import percent

PROTOCOLS = ("temporal/queries", "temporal/both")
SUFFIX = "_linear"
METRICS = time_metrics(SUFFIX[1:])


def main() -> None:
    """Parse the command line, read the runs, print the table."""
    made = parser(__doc__)
    made.add_argument("runs", nargs="+", type=Path, help="folders of runs that these protocols have measured")
    made.add_argument("--protocols", nargs="+", default=PROTOCOLS, choices=PROTOCOLS, help="lines of the table")
    report(made, measure, print_table)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return protocol -> method -> metric -> [mean, deviation, low, high] in %, with null for what there is not.

    Raises:
        VidsslError: a run was not measured by one of the protocols.
    """
    methods = group_runs(read_runs(arguments.runs))
    return {
        protocol: {
            method.label: {metric: summary(method.runs, protocol, metric) for metric in METRICS} for method in methods
        }
        for protocol in arguments.protocols
    }


def summary(runs: Any, protocol: str, metric: str) -> list[float | None]:
    """Return mean and deviation over the runs; of one run, the interval over videos, too."""
    columns = [column_of(run, protocol, metric) for run in runs]
    values = [run.values[column][-1][1] for run, column in zip(runs, columns, strict=True)]
    low, high = runs[0].intervals[columns[0]] if len(runs) == 1 else (None, None)
    ends = (None, None) if low is None or high is None else (float(percent(low)), float(percent(high)))
    return [*spread(values), *ends]


def column_of(run: Run, protocol: str, metric: str) -> Column:
    """Return the column of a metric.

    Raises:
        VidsslError: it was not measured.
    """
    for column in run.values:
        if (column.protocol, column.metric) == (protocol, metric):
            return column
    raise VidsslError(
        f"{run.folder} was not measured by {protocol}: vidssl evaluate --checkpoint {run.folder} --protocol {protocol}."
    )


def print_table(content: dict[str, Any]) -> None:
    """Print the table in Markdown."""
    names = [metric.removesuffix(SUFFIX) for metric in METRICS]
    print("| protocol | | " + " | ".join(f"`{name}`" for name in names) + " |\n" + "|---" * (len(names) + 2) + "|")
    for protocol, methods in content.items():
        for method, metrics in methods.items():
            print("| " + " | ".join((f"`{protocol}`", method, *(cell(value) for value in metrics.values()))) + " |")


def cell(value: list[float | None]) -> str:
    """Return mean ± deviation, or mean [low, high]."""
    mean, deviation, low, high = value
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]" if low is not None else text([mean, deviation])


if __name__ == "__main__":
    main()
