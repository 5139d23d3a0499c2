"""Check in ten minutes that vidssl trains rightly and fast on the GPU of this machine.

    python tools/gpu_check.py --json FILE

Every part runs in a process of its own, with a time limit; one that fails or takes too long does not keep the others
from running. The exit code is 0, or the number of the first part that did not pass. With `--device cpu` or without a
GPU, the same parts run with small sizes; what only a GPU can show is then left out, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from benchmark import Figures, parser
from gpu_check_colours import colours
from gpu_check_measuring import measuring
from gpu_check_parts import Found, LeftOut, Sizes, agreement, layouts, memory, step_time, synchronisation, transfer
from gpu_check_runs import killed, loaders, nccl

PARTS: dict[str, Callable[[Sizes], Found]] = {
    "agreement": agreement,
    "step time": step_time,
    "synchronisation": synchronisation,
    "layouts": layouts,
    "memory": memory,
    "transfer": transfer,
    "colours": colours,
    "measuring": measuring,
    "loaders": loaders,
    "killed": killed,
    "nccl": nccl,
}

LIMITS_SECONDS = {
    "agreement": 90,
    "step time": 90,
    "synchronisation": 40,
    "layouts": 100,
    "memory": 60,
    "transfer": 20,
    "colours": 20,
    "measuring": 20,
    "loaders": 70,
    "killed": 60,
    "nccl": 30,
}
"""Ten minutes in all."""


def run_part(name: str, device: str, limit_seconds: float) -> Figures:
    """Run a part in a process of its own, and return its outcome, seconds and figures."""
    began = time.monotonic()
    line = [sys.executable, __file__, "--device", device, "--part", name]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        return {"outcome": "timed out", "seconds": limit_seconds, "figures": {}, "why": f"over {limit_seconds:g} s"}
    seconds = time.monotonic() - began
    answer = next((text for text in reversed(done.stdout.splitlines()) if text.startswith("{")), None)
    if done.returncode or answer is None:
        why = next((text for text in reversed(done.stderr.splitlines()) if text.strip()), f"code {done.returncode}")
        return {"outcome": "failed", "seconds": seconds, "figures": {}, "why": why[:300]}
    return {"seconds": seconds, **json.loads(answer)}


def answer_of(name: str, device: str) -> Figures:
    """Run a part here, and return its outcome and figures."""
    torch.manual_seed(0)
    try:
        figures, faults = PARTS[name](Sizes.of(device))
    except LeftOut as reason:
        return {"outcome": "left out", "figures": {}, "why": str(reason)}
    return {"outcome": "failed" if faults else "passed", "figures": figures, "why": "; ".join(faults)}


def machine(device: str) -> Figures:
    """What was measured on."""
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    return {
        "device": gpu or platform.processor() or platform.machine(),
        "cores": torch.get_num_threads(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
    }


def print_table(found: Figures) -> None:
    """Print a line per part, and its figures below it."""
    print(", ".join(f"{name} {value}" for name, value in found["machine"].items()))
    for number, (name, part) in enumerate(found["parts"].items(), start=1):
        print(f"\n{number}  {name:<18}{part['outcome']:<11}{part['seconds']:6.1f} s  {part.get('why', '')}")
        for figure, value in part["figures"].items():
            print(f"     {figure:<58}{told(value):>14}")


def told(value: Any) -> str:
    """Return a figure as text."""
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def main() -> int:
    """Read the command line, run the parts, report."""
    made = parser(__doc__)
    default = "cuda" if torch.cuda.is_available() else "cpu"
    made.add_argument("--device", choices=("cuda", "cpu"), default=default, help="what is checked")
    made.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help="these parts alone")
    made.add_argument(
        "--patience", type=float, default=1.0, help="factor of the time limits, for a slow or busy machine"
    )
    made.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS, default=argparse.SUPPRESS)
    options = made.parse_args()
    if "part" in options:
        print(json.dumps(answer_of(options.part, options.device)))
        return 0
    parts = {}
    for name in options.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        parts[name] = run_part(name, options.device, options.patience * LIMITS_SECONDS[name])
    found = {"machine": machine(options.device), "parts": parts}
    print_table(found)
    if "json" in options:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    bad = [number for number, part in enumerate(parts.values(), start=1) if part["outcome"] in ("failed", "timed out")]
    return bad[0] if bad else 0


if __name__ == "__main__":
    sys.exit(main())
