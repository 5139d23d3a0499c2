"""Print mean and standard deviation over the runs of several seeds: before the first step, and at the end.

    python tools/seeds_table.py runs/quickstart runs/quickstart-2 runs/quickstart-3 [--json FILE]
    python tools/seeds_table.py --method CVRL runs/cvrl* --method MCL runs/mcl*

The second form puts methods side by side; *untrained* is then the mean over the runs of all of them. Accuracies in %;
the deviation is that of the sample (n - 1).
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from vidssl.reporting.summary import start_and_end

Runs = list[dict[str, tuple[float, float]]]
"""Of each run, its metrics at the start and at the end."""


def spread(values: list[float]) -> str:
    """Mean and standard deviation in %, as ``71.3 ± 2.0``."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.1f} ± {100 * deviation:.1f}"


def read_runs(folders: list[Path], parser: argparse.ArgumentParser) -> Runs:
    """Read the metrics of runs; one without any ends the program with a message."""
    runs = [start_and_end(folder) for folder in folders]
    missing = [str(folder) for folder, metrics in zip(folders, runs, strict=True) if not metrics]
    if missing:
        parser.error(f"no evaluation is logged in {', '.join(missing)}")
    return runs


def single_table(runs: Runs, names: list[str]) -> str:
    """Return a Markdown table of one method's gain."""
    lines = [f"| {len(runs)} runs | untrained | trained | gain |", "|---|---|---|---|"]
    for name in names:
        starts, ends = zip(*(metrics[name] for metrics in runs), strict=True)
        gain = 100 * (statistics.mean(ends) - statistics.mean(starts))
        lines.append(f"| `{name}` | {spread(list(starts))} | {spread(list(ends))} | {gain:+.1f} |")
    return "\n".join(lines)


def method_table(methods: dict[str, Runs], names: list[str]) -> str:
    """Return a Markdown table with a column a method."""
    heads = [f"{method} ({len(runs)} runs)" for method, runs in methods.items()]
    lines = [f"| | untrained | {' | '.join(heads)} |", "|---" * (2 + len(methods)) + "|"]
    for name in names:
        untrained = [metrics[name][0] for runs in methods.values() for metrics in runs]
        trained = [spread([metrics[name][1] for metrics in runs]) for runs in methods.values()]
        lines.append(f"| `{name}` | {' | '.join([spread(untrained), *trained])} |")
    return "\n".join(lines)


def main() -> None:
    """Read the runs and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="folders of runs that differ in their seed only")
    parser.add_argument(
        "--method", nargs="+", action="append", default=[], metavar=("NAME", "RUN"), help="a column, and its runs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every value there")
    args = parser.parse_args()
    if bool(args.runs) == bool(args.method):
        parser.error("give the runs of one method, or --method NAME RUN ... for each of several")
    methods = {name: read_runs([Path(run) for run in runs], parser) for name, *runs in args.method}
    if args.runs:
        methods = {"runs": read_runs(args.runs, parser)}
    if not all(methods.values()):
        parser.error("--method takes a name and at least one run")
    every_run = [metrics for runs in methods.values() for metrics in runs]
    names = [name for name in every_run[0] if all(name in metrics for metrics in every_run)]
    print(single_table(every_run, names) if args.runs else method_table(methods, names))
    if args.json:
        values = {
            method: {
                name: {"untrained": [m[name][0] for m in runs], "trained": [m[name][1] for m in runs]} for name in names
            }
            for method, runs in methods.items()
        }
        args.json.write_text(json.dumps(values, indent=2))


if __name__ == "__main__":
    main()
