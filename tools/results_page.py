"""Write the page of results from the folders of runs: docs/results.md and docs/results/curves.svg.

    python tools/results_page.py RUN [RUN ...] [--output docs]

Rows are methods on a data set, columns protocols; every run is a folder of `vidssl fit`. Runs of one method on one data
set that differ in their seed make one row: mean and standard deviation of the last evaluation. What a number depends on
(version of the protocol, catalog, steps, commits) is in the page. Numbers of papers come from docs/results/papers.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidssl.evaluation.protocols.records import RECORDS_FILE, read_records
from vidssl.reporting.compare.statistics import spread
from vidssl.reporting.compare.wording import spread_text
from vidssl.reporting.method_colours import UNTRAINED_ON_LIGHT, colour_on_light
from vidssl.runs.run_file import COMPLETED, read_run

REPOSITORY = Path(__file__).resolve().parents[1]
METRICS = {"linear": "top1", "knn": "top1", "retrieval/mean": "recall_at_1"}
TITLES = {"linear": "linear", "knn": "k-NN", "retrieval/mean": "retrieval, R@1"}
CURVE = "linear"


@dataclass(frozen=True)
class Row:
    """A method on a data set.

    Attributes:
        method: name of the objective.
        data: name of the data set.
        runs: seed -> its folder's facts (run.json) and records.
    """

    method: str
    data: str
    runs: dict[int, tuple[dict[str, Any], list[dict[str, Any]]]]

    def values(self, protocol: str, *, place: int) -> list[float]:
        """Return the main metric of a protocol in each run, at the first (0) or last (-1) evaluation."""
        found = [self.points(seed, protocol) for seed in sorted(self.runs)]
        return [points[place][1] for points in found if points]

    def points(self, seed: int, protocol: str) -> list[tuple[int, float]]:
        """Return step and main metric of every evaluation of a run, in the order of steps."""
        records = [record for record in self.runs[seed][1] if record["protocol"]["name"] == protocol]
        return sorted(
            (int(record["step"]), float(record["metrics"][METRICS[protocol]]))
            for record in records
            if record["step"] is not None
        )

    def facts(self, *keys: str) -> list[Any]:
        """Return what the runs say under a key of run.json, each value once."""
        found = []
        for told, _ in self.runs.values():
            value: Any = told
            for key in keys:
                value = value[key]
            found += [value] if value not in found else []
        return found


def main() -> None:
    """Read the runs and write the page and its curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs", help="folder (%(default)s)")
    options = parser.parse_args()
    rows = read_rows(options.runs)
    folder = options.output / "results"
    folder.mkdir(parents=True, exist_ok=True)
    papers = json.loads((REPOSITORY / "docs" / "results" / "papers.json").read_text(encoding="utf-8"))
    (options.output / "results.md").write_text("\n".join(page(rows, papers)) + "\n", encoding="utf-8")
    draw_curves(rows, folder / "curves.svg")
    print(f"{len(rows)} rows of {len(options.runs)} runs: {options.output / 'results.md'}")


def read_rows(runs: Sequence[Path]) -> list[Row]:
    """Group complete runs by method and data set, the most accurate row first; others are reported and left out."""
    groups: dict[tuple[str, str], dict[int, Any]] = {}
    for run in runs:
        told = read_run(run)
        if told.get("ended") != COMPLETED:
            print(f"left out, not complete: {run}")
            continue
        key = told["objective"], told["catalog"]["name"]
        groups.setdefault(key, {})[told["seed"]] = (told, read_records(run / RECORDS_FILE))
    rows = [Row(method, data, seeds) for (method, data), seeds in groups.items()]
    return sorted(rows, key=lambda row: (row.data, -statistics.mean(row.values(CURVE, place=-1))))


# --- the page ---


def page(rows: Sequence[Row], papers: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# Results"
    yield ""
    yield "This page is written by one command from the folders of runs:"
    yield ""
    yield "    python tools/results_page.py RUN [RUN ...]"
    yield ""
    yield "Accuracy in %: mean and standard deviation over seeds, of frozen features after the last step. Neither the"
    yield "step nor the seeds were chosen by their results. [Reading results](guides/reading_results.md) explains them."
    for data in dict.fromkeys(row.data for row in rows):
        yield from data_section([row for row in rows if row.data == data])
    yield from paper_section(papers)


def data_section(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table of a data set and what its numbers depend on."""
    data = rows[0].data
    yield ""
    yield f"## {'Embedded videos' if data == 'synthetic' else data}"
    yield ""
    yield f"| method | seeds | steps | {' | '.join(TITLES.values())} | weights |"
    yield f"|---|---|---|{'---|' * len(TITLES)}---|"
    starts = [before_training(rows, name) for name in METRICS]
    yield f"| untrained network | {num_seeds(rows)} | 0 | {' | '.join(map(in_one_piece, starts))} | |"
    for row in rows:
        cells = " | ".join(in_one_piece(row.values(protocol, place=-1)) for protocol in METRICS)
        name = row.method.lower()
        steps = ", ".join(map(str, row.facts("steps")))
        weights = f"`{name}_small_{data}`" if data == "synthetic" else ""
        yield f"| [{row.method}](gallery/{name}.md) | {len(row.runs)} | {steps} | {cells} | {weights} |"
    yield ""
    if len(starts[0]) > num_seeds(rows):
        yield f"The untrained network counts {len(starts[0])} times, once per seed and normalisation of pixels: methods"
        yield "differ in the latter."
        yield ""
    yield "`configs/small` has a configuration for each method. `vidssl.backbones.load(NAME)` returns the network of"
    yield "the column *weights*, that of seed 0 ([more](backbones.md#networks-that-come-with-vidssl))."
    yield ""
    yield "![Accuracy of a linear classifier over the steps of training, a line per method](results/curves.svg)"
    yield ""
    yield "| what the numbers depend on | |"
    yield "|---|---|"
    yield f"| protocols | {', '.join(versions(rows))} |"
    yield f"| catalog | {join(rows, 'catalog', 'digest')}, {join(rows, 'catalog', 'videos')} videos |"
    yield f"| seeds | {', '.join(str(seed) for seed in sorted({seed for row in rows for seed in row.runs}))} |"
    yield f"| network | {join(rows, 'backbone')}, {join(rows, 'backbone_parameters')} parameters |"
    yield f"| precision, devices | {join(rows, 'precision')}, {join(rows, 'devices')} {join(rows, 'accelerator')} |"
    yield f"| commits | {', '.join(sorted({str(commit)[:8] for row in rows for commit in row.facts('commit')}))} |"


def num_seeds(rows: Sequence[Row]) -> int:
    """Return how many different seeds there are."""
    return len({seed for row in rows for seed in row.runs})


def before_training(rows: Sequence[Row], protocol: str) -> list[float]:
    """Return the main metric before the first step, once for methods that begin with the same network."""
    points = {(seed, row.points(seed, protocol)[0]) for row in rows for seed in row.runs if row.points(seed, protocol)}
    return [value for _, (_, value) in sorted(points)]


def join(rows: Sequence[Row], *keys: str) -> str:
    """Return what the runs of all rows say under a key, each value once."""
    return ", ".join(dict.fromkeys(str(value) for row in rows for value in row.facts(*keys)))


def versions(rows: Sequence[Row]) -> list[str]:
    """Return ``linear 1``: the protocols with their versions."""
    records = [record for row in rows for _, found in row.runs.values() for record in found]
    told = [(record["protocol"]["name"], record["protocol"]["version"]) for record in records]
    return [f"`{name}` version {version}" for name, version in sorted(set(told)) if name in METRICS]


def paper_section(papers: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the table of papers' numbers, with an empty column for ours."""
    yield ""
    yield "## Real videos at full scale"
    yield ""
    yield "Weizmann, a small set of real actions, is in the [measurements](measurements.md)."
    yield "The configurations below are complete, but we have not run them: they need more GPUs than we have. Compare"
    yield "your run with the numbers of the papers."
    yield ""
    yield "| method | trained on | measured | the paper | ours | configuration |"
    yield "|---|---|---|---|---|---|"
    for row in papers:
        keys = ("method", "trained_on", "measured")
        told = " | ".join(str(row[key]) for key in keys)
        yield f"| {told} | {row['accuracy']:.1f} ({row['source']}) | not run by us | `{row['configuration']}` |"


def in_one_piece(values: Sequence[float]) -> str:
    """Return mean and standard deviation in %, which a browser does not break into lines."""
    found = spread({seed: [value] for seed, value in enumerate(values)})
    return "" if found is None else spread_text(found, percent=True).replace(" ", "\N{NO-BREAK SPACE}")


# --- the curves ---


def draw_curves(rows: Sequence[Row], file: Path) -> None:
    """Draw the mean over seeds of each method on the embedded videos, over the steps."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "vidssl", "svg.fonttype": "path"})  # the same file each time
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    for row in (row for row in rows if row.data == "synthetic"):
        seeds = [dict(row.points(seed, CURVE)) for seed in sorted(row.runs)]
        steps = sorted(set.intersection(*(set(points) for points in seeds)))
        means = [100 * statistics.mean(points[step] for points in seeds) for step in steps]
        axes.plot(steps, means, marker="o", markersize=3, color=colour_on_light(row.method), label=row.method)
    axes.set(xlabel="steps", ylabel="linear classifier, top-1 in %", ylim=(0, 100))
    axes.axhline(12.5, color=UNTRAINED_ON_LIGHT, linestyle=":", label="chance")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()
