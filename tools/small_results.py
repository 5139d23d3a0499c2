"""The table of the small configurations in docs/measurements.md, and docs/results/embedded.json for the site.

    for method in byol cvrl mcl moco simclr simsiam swav vicreg; do
        for seed in 0 1 2; do
            vidssl fit --config configs/small/$method.yaml --seed_everything $seed --run_dir runs/small/${method}_$seed
        done
    done
    python tools/small_results.py runs/small/* --json docs/results/embedded.json

Each run must have measured the untrained network, too (`trainer.num_sanity_val_steps: -1`): the gain of a seed is over
its own untrained network. The methods are sorted by linear accuracy.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from benchmark import parser, report

from vidssl.errors import VidsslError
from vidssl.reporting.compare.methods import Method, group_runs
from vidssl.reporting.compare.runs import Run, read_runs
from vidssl.reporting.percent import percent

METRICS = {"linear": "linear classifier", "knn": "k-NN, 20 neighbours"}
SHOWN = "linear"


def main() -> None:
    """Parse the command line, read the runs, print the table."""
    made = parser(__doc__)
    made.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    report(made, measure, print_table)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return each method's accuracies in %, means and standard deviations over seeds, best first.

    Raises:
        VidsslError: a run did not reach its end, or two settings of a method are mixed.
    """
    runs = read_runs(arguments.runs)
    if unfinished := [run.name for run in runs if not run.finished]:
        raise VidsslError(
            f"These runs did not reach their end: {', '.join(unfinished)}. Continue them or leave them out."
        )
    methods = group_runs(runs)
    objectives = [method.runs[0].objective for method in methods]
    if twice := sorted({name for name in objectives if objectives.count(name) > 1}):
        raise VidsslError(f"The runs of {', '.join(twice)} have different settings; compare those by vidssl compare.")
    measured = {name: figures(method) for name, method in zip(objectives, methods, strict=True)}
    return {
        "data": "embedded videos, shared textures (`vidssl prepare synthetic`)",
        "metrics": METRICS,
        "methods": dict(sorted(measured.items(), key=lambda item: -item[1][SHOWN]["trained"][0])),
    }


def figures(method: Method) -> dict[str, Any]:
    """Return the accuracies of one method."""
    runs = sorted(method.runs, key=lambda run: run.seed or 0)
    seeds = [run.seed for run in runs]
    return {"seeds": seeds, "epochs": method.settings["trainer.max_epochs"]} | {
        metric: summary([accuracies(run, metric) for run in runs]) for metric in METRICS
    }


def accuracies(run: Run, protocol: str) -> tuple[float, float]:
    """Return top-1 accuracy before and after training, in [0, 1].

    Raises:
        VidsslError: the run did not measure one of them.
    """
    for column in run.values:
        before, after = run.untrained(column), run.final(column)
        if (column.protocol, column.metric) == (protocol, "top1") and before is not None and after is not None:
            return before, after
    raise VidsslError(
        f"{run.folder} has no {protocol}/top1 before and after training; see trainer.num_sanity_val_steps."
    )


def summary(of_seeds: list[tuple[float, float]]) -> dict[str, Any]:
    """Return means and standard deviations (n - 1; null of one seed), and the gain of each seed."""
    before, after = zip(*of_seeds, strict=True)
    gains = [end - start for start, end in of_seeds]
    return {
        **{name: spread(values) for name, values in (("untrained", before), ("trained", after), ("gain", gains))},
        "gains": [float(percent(gain)) for gain in gains],
    }


def spread(values: Any) -> list[float | None]:
    """Return mean and standard deviation of shares in %, to a tenth."""
    deviation = float(percent(statistics.stdev(values))) if len(values) > 1 else None
    return [float(percent(statistics.fmean(values))), deviation]


def print_table(content: dict[str, Any]) -> None:
    """Print the table in Markdown."""
    print("\n".join(table(content)))


def table(content: dict[str, Any]) -> list[str]:
    """Return the lines of the table."""
    lines = ["| linear, % | untrained | trained | gain | of each seed | k-NN, trained |", "|---|---|---|---|---|---|"]
    for name, of_method in content["methods"].items():
        shown = of_method[SHOWN]
        gains = ", ".join(f"{gain:+.1f}" for gain in shown["gains"])
        cells = (text(shown["untrained"]), text(shown["trained"]), f"{shown['gain'][0]:+.1f}", gains)
        lines.append("| " + " | ".join((name, *cells, text(of_method["knn"]["trained"]))) + " |")
    return lines


def text(value: list[float | None]) -> str:
    """Return mean ± deviation."""
    mean, deviation = value
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


if __name__ == "__main__":
    main()
