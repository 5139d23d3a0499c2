"""Print mean and standard deviation over the runs of several seeds: before the first step, and at the end.

    python tools/seeds_table.py runs/quickstart runs/quickstart-2 runs/quickstart-3 [--json FILE]

Accuracies in %; the deviation is that of the sample (n - 1).
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from vidssl.reporting.summary import start_and_end


def spread(values: list[float]) -> str:
    """Mean and standard deviation in %, as ``71.3 ± 2.0``."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.1f} ± {100 * deviation:.1f}"


def main() -> None:
    """Read the runs and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs that differ in their seed only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every value there")
    args = parser.parse_args()
    runs = [start_and_end(folder) for folder in args.runs]
    missing = [str(folder) for folder, metrics in zip(args.runs, runs, strict=True) if not metrics]
    if missing:
        parser.error(f"no evaluation is logged in {', '.join(missing)}")
    names = [name for name in runs[0] if all(name in metrics for metrics in runs)]
    print(f"| {len(runs)} runs | untrained | trained | gain |\n|---|---|---|---|")
    for name in names:
        starts, ends = zip(*(metrics[name] for metrics in runs), strict=True)
        gain = 100 * (statistics.mean(ends) - statistics.mean(starts))
        print(f"| `{name}` | {spread(list(starts))} | {spread(list(ends))} | {gain:+.1f} |")
    if args.json:
        values = {
            name: {"untrained": [m[name][0] for m in runs], "trained": [m[name][1] for m in runs]} for name in names
        }
        args.json.write_text(json.dumps(values, indent=2))


if __name__ == "__main__":
    main()
