"""The summary that a run prints last."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vidssl.reporting.main_metrics import main_metric, protocol_rank
from vidssl.reporting.percent import percent, signed_percent
from vidssl.runs.metrics_file import METRICS_FILE, read_metrics
from vidssl.runs.run_directory import CONFIG_FILE, LAST_CHECKPOINT, PICTURES_FOLDER
from vidssl.runs.run_file import COMPLETED, read_run

OFFLINE_WANDB_RUNS = "wandb/offline-run-*"
EVALUATION_PREFIX = "eval/"


def start_and_end(run_dir: Path) -> dict[str, tuple[float, float]]:
    """First and last value of the main metric of every protocol."""
    logged = _logged(read_metrics(run_dir))
    return {name: (values[0][1], values[-1][1]) for name, values in logged.items()}


def _logged(rows: list[dict[str, float]]) -> dict[str, list[tuple[float, float]]]:
    """(step, value) of the main metric of every protocol."""
    metrics: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name in {name for row in rows for name in row if name.startswith(EVALUATION_PREFIX)}:
        data, _, measured = name.removeprefix(EVALUATION_PREFIX).partition("/")
        protocol, _, metric = measured.rpartition("/")
        metrics[data, protocol].add(metric)
    shown = [
        f"{EVALUATION_PREFIX}{data}/{protocol}/{main}"
        for data, protocol in sorted(metrics, key=lambda found: (found[0], protocol_rank(found[1])))
        if (main := main_metric(metrics[data, protocol])) is not None
    ]
    return {name: [(row["step"], row[name]) for row in rows if name in row] for name in shown}


def print_metrics(metrics: dict[str, float], *, of: str = "", console: Console | None = None) -> None:
    """Print the evaluations among the metrics, which are shares in [0, 1], in %; `of` continues the title."""
    console = console or Console(highlight=False)
    metrics = {name: value for name, value in metrics.items() if name.startswith(EVALUATION_PREFIX)}
    if not metrics:
        console.print("Nothing was measured: trainer.callbacks has no FrozenFeatureEvaluation.")
        return
    console.print(f"[italic]Frozen features{of}, %[/]")
    table = Table(box=None)
    table.add_column("evaluation")
    table.add_column("measured", justify="right")
    for name, value in metrics.items():
        table.add_row(name.removeprefix(EVALUATION_PREFIX), percent(value))
    console.print(table)


def print_summary(
    run_dir: Path,
    *,
    ended: str = COMPLETED,
    steps: int = 0,
    unreadable: int = 0,
    console: Console | None = None,
) -> None:
    """Print the metrics (start against end), where the files are and what to type next.

    Args:
        run_dir: folder of the run.
        ended: how it ended, in words.
        steps: of training that were done; 0 if not known. Evaluations that are older are not called its end.
        unreadable: number of videos that had to be replaced.
        console: where to print; the terminal by default.
    """
    console = console or Console(highlight=False)
    if run_dir.is_relative_to(Path.cwd()):
        run_dir = run_dir.relative_to(Path.cwd())  # short commands
    logged = _logged(read_metrics(run_dir))
    last_measured = max((values[-1][0] for values in logged.values()), default=0.0)
    end_measured = not logged or last_measured >= steps - 1  # logged steps are counted from 0
    if logged:
        console.print()
    if logged and last_measured == 0 and not end_measured:
        print_metrics({name: values[0][1] for name, values in logged.items()}, of=" before training", console=console)
    elif logged:
        first_step = min(values[0][0] for values in logged.values())
        start = "before the first step" if first_step == 0 else f"after step {first_step + 1:.0f}"
        console.print(f"[italic]Frozen features, % (start: {start})[/]")  # a title would wrap at the table's width
        console.print(_gains(logged, first_step, last_measured))
    if not end_measured:
        measured = f"The last evaluation was after step {last_measured + 1:.0f} of {steps}"
        console.print(f"[yellow]{measured if last_measured else 'The trained network was not measured'}.[/]")
    if ended != COMPLETED:
        console.print(f"[yellow]The run did not get to its end ({escape(ended)}).[/]", soft_wrap=True)
    if unreadable:
        console.print(f"[yellow]{unreadable} videos could not be read and were replaced; the log names them.[/]")
    console.print("\n[bold]Files[/]")
    for what, path in _files(run_dir).items():
        if path.exists():  # no table: on a narrow terminal it would cut the paths
            console.print(f"  {what:<16} {escape(str(path))}", soft_wrap=True)
    console.print("\n[bold]What next[/]")
    for what, command in _next_commands(run_dir, end_measured=end_measured, complete=ended == COMPLETED).items():
        console.print(f"  {what}\n    {escape(command)}", soft_wrap=True)


def _gains(logged: dict[str, list[tuple[float, float]]], first_step: float, last_step: float) -> Table:
    """A row per metric; one that was first or last measured at another step than the others says so."""
    table = Table(box=None)
    for heading in ("evaluation", "start", "end", "gain"):
        table.add_column(heading, justify="left" if heading == "evaluation" else "right")
    for name, values in logged.items():
        (from_step, start), (to_step, end) = values[0], values[-1]
        others = [f"start: step {from_step + 1:.0f}"] if from_step != first_step else []
        others += [f"end: step {to_step + 1:.0f}"] if to_step != last_step else []
        note = f" ({', '.join(others)})" if others else ""
        colour = "green" if end > start else "red" if end < start else "default"
        gain = f"[{colour}]{signed_percent(end - start)}[/]"
        table.add_row(name.removeprefix(EVALUATION_PREFIX) + note, percent(start), percent(end), gain)
    return table


def _files(run_dir: Path) -> dict[str, Path]:
    wandb_runs = sorted(run_dir.glob("wandb/*run-*"), reverse=True)
    return {
        "checkpoint": run_dir / LAST_CHECKPOINT,
        "resolved config": run_dir / CONFIG_FILE,
        "metrics": run_dir / METRICS_FILE,
        "pictures": run_dir / PICTURES_FOLDER,
        "wandb run": next(iter(wandb_runs), run_dir / "wandb"),
    }


def _next_commands(run_dir: Path, *, end_measured: bool, complete: bool) -> dict[str, str]:
    """What to type next, the first thing first."""
    config, last = run_dir / CONFIG_FILE, run_dir / LAST_CHECKPOINT
    page, pictures = run_dir.parent / "comparison.html", run_dir / "attention"
    commands = {}
    if last.exists() and not end_measured:
        commands["measure the trained network"] = f"vidssl validate --config {config} --ckpt_path {last}"
    if last.exists():
        commands["see what the network looks at (a page)"] = (
            f"vidssl show --checkpoint {run_dir} --untrained --output {pictures}"
        )
    commands["compare it with other runs (a page)"] = f"vidssl compare {run_dir} OTHER_RUN --html {page}"
    another_seed = (read_run(run_dir).get("seed") or 0) + 1
    commands["repeat it with another seed"] = f"vidssl fit --config {config} --seed_everything {another_seed}"
    if any(run_dir.glob(OFFLINE_WANDB_RUNS)):  # one that was online is there already
        commands["see the curves in wandb"] = f"wandb sync {run_dir}/{OFFLINE_WANDB_RUNS}"
    if last.exists():
        continued = f"vidssl fit --config {config} --ckpt_path {last}"
        if complete:
            commands["train longer"] = f"{continued} --trainer.{_limit(config)} MORE"
        else:
            commands["continue"] = continued
        commands["export the backbone"] = f"vidssl export --checkpoint {last} --output {run_dir}/backbone.safetensors"
    return commands


def _limit(config: Path) -> str:
    """The key of the trainer that ends the run."""
    values = (yaml.safe_load(config.read_text()) if config.exists() else None) or {}
    return "max_steps" if (values.get("trainer", {}).get("max_steps") or -1) > 0 else "max_epochs"
