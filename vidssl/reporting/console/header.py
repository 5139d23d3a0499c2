"""The header of a run: what is trained, on which data and devices, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape


def print_header(
    run_dir: Path, facts: Mapping[str, Any], *, continued_from: str | None = None, console: Console | None = None
) -> None:
    """Print what a run is, a line each.

    Args:
        run_dir: folder of the run.
        facts: as `vidssl.runs.run_record.identify` gives them.
        continued_from: the checkpoint that training goes on from.
        console: where to print; the terminal by default.
    """
    console = console or Console(highlight=False)
    continued = f", continued from {continued_from}" if continued_from else ""
    console.print(f"[bold]Run folder: {escape(str(run_dir) + continued)}[/]", soft_wrap=True)
    for what, words in _lines(facts).items():
        console.print(f"  {what:<8} {escape(words)}", soft_wrap=True)


def _lines(facts: Mapping[str, Any]) -> dict[str, str]:
    lines = {
        "method": f"{facts['objective']}, {count_text(facts['trainable_parameters'])} trainable parameters",
        "network": f"{facts['backbone']}, {count_text(facts['backbone_parameters'])} parameters",
    }
    catalog = facts["catalog"]
    if catalog is not None:
        lines["data"] = (
            f"{catalog['name']}, split {catalog['train_split']}: {catalog['train_videos']:,} videos, "
            f"{facts['batch_size']} per step"
        )
    lines["devices"] = f"{_devices(facts)}, precision {facts['precision']}"
    lines["length"] = _length(facts)
    return lines


def _devices(facts: Mapping[str, Any]) -> str:
    """Say on what a run trains, such as ``2 hosts with 8 CUDA devices each``."""
    devices = f"{facts['devices']} {facts['accelerator'].upper()} device{'s' * (facts['devices'] > 1)}"
    return devices if facts["num_nodes"] == 1 else f"{facts['num_nodes']} hosts with {devices} each"


def _length(facts: Mapping[str, Any]) -> str:
    """Say for how long, such as ``20 epochs of 25 steps, at most 400 steps``."""
    epochs, steps, per_epoch = facts["max_epochs"], facts["max_steps"], facts["steps_per_epoch"]
    words = []
    if epochs not in (None, -1):
        of_steps = "" if per_epoch is None else f" of {per_epoch:,} steps"
        words.append(f"{epochs:,} epoch{'s' * (epochs > 1)}{of_steps}")
    if steps not in (None, -1):
        words.append(f"{'at most ' * bool(words)}{steps:,} steps")
    return ", ".join(words)


def count_text(count: int | None) -> str:
    """Return a number of parameters in millions, such as ``0.49 M``."""
    if count is None:
        return "an unknown number of"
    return f"{count / 1e6:.2f} M" if count < 10e6 else f"{count / 1e6:.1f} M"
