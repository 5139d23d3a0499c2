"""The last thing a run prints."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from vidssl.reporting.metrics_csv import METRICS_FILE, read_metrics

SHOWN = ("top1", "nearest_top1", "mean_class", "recall_at_1", "recall_at_5", "clip_top1")


def start_and_end(run_dir: Path) -> dict[str, tuple[float, float]]:
    """First and last value of every evaluation metric that the summary shows."""
    rows = read_metrics(run_dir)
    names = sorted({name for row in rows for name in row if name.startswith("eval/")})
    told = [name for name in names if name.rsplit("/", 1)[-1] in SHOWN]
    values = {name: [row[name] for row in rows if name in row] for name in told}
    return {name: (logged[0], logged[-1]) for name, logged in values.items()}


def print_metrics(metrics: dict[str, float], *, console: Console | None = None) -> None:
    """Print the evaluations among the metrics, which are shares in [0, 1], in %."""
    console = console or Console(highlight=False)
    metrics = {name: value for name, value in metrics.items() if name.startswith("eval/")}
    if not metrics:
        console.print("Nothing was measured: trainer.callbacks has no FrozenFeatureEvaluation.")
        return
    table = Table(title="Frozen features, %", title_justify="left", box=None)
    table.add_column("evaluation")
    table.add_column("measured", justify="right")
    for name, value in metrics.items():
        table.add_row(name.removeprefix("eval/"), f"{100 * value:.1f}")
    console.print(table)


def print_summary(run_dir: Path, *, unreadable: int = 0, console: Console | None = None) -> None:
    """Print the metrics (start against end), where the files lie and what to type next.

    Args:
        run_dir: folder of the run.
        unreadable: number of videos that had to be replaced.
        console: where to print; the terminal by default.
    """
    console = console or Console(highlight=False)
    metrics = start_and_end(run_dir)
    console.print()
    if metrics:
        table = Table(title="Frozen features, % (start: before the first step)", title_justify="left", box=None)
        for heading in ("evaluation", "start", "end", "gain"):
            table.add_column(heading, justify="left" if heading == "evaluation" else "right")
        for name, (start, end) in metrics.items():
            colour = "green" if end > start else "red"
            gain = f"[{colour}]{100 * (end - start):+.1f}[/]"
            table.add_row(name.removeprefix("eval/"), f"{100 * start:.1f}", f"{100 * end:.1f}", gain)
        console.print(table)
    if unreadable:
        console.print(f"[yellow]{unreadable} videos could not be read and were replaced; the log names them.[/]")
    files = Table(title="Where it lies", title_justify="left", box=None, show_header=False)
    last = run_dir / "checkpoints" / "last.ckpt"
    for what, path in (
        ("checkpoint", last),
        ("resolved config", run_dir / "config.yaml"),
        ("metrics", run_dir / METRICS_FILE),
        ("pictures", run_dir / "pictures"),
        ("wandb run", next(iter(sorted(run_dir.glob("wandb/*run-*"), reverse=True)), run_dir / "wandb")),
    ):
        if path.exists():
            files.add_row(what, str(path))
    console.print(files)
    console.print("[bold]What next[/]")
    config = run_dir / "config.yaml"
    for what, command in (
        ("repeat it with another seed", f"vidssl fit --config {config} --seed_everything 1"),
        ("train on, or resume after a crash", f"vidssl fit --config {config} --ckpt_path {last}"),
        ("take the bare backbone along", f"vidssl export --checkpoint {last} --output {run_dir}/backbone.safetensors"),
        ("see the curves in wandb", f"wandb sync {run_dir}/wandb/*run-*"),
    ):
        console.print(f"  {what}\n    {command}", soft_wrap=True)
