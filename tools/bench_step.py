"""Measure what the framework adds to a training step: `vidssl fit`'s trainer against a bare PyTorch loop.

    python tools/bench_step.py [--processes 2] [--clips tiny] [--against CHECKOUT] [--json FILE]

The same objective takes the same steps on the same clips already in memory, once under the trainer with the callbacks
of every run and once in a plain loop of forward, backward and optimiser (DistributedDataParallel's on several
processes). In turns, in one run; the medians are compared. With `--against`, another checkout of the project takes its
turns in between, and what a step takes beyond its own bare loop is compared.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from benchmark import parser, report
from pytorch_lightning import Callback, LightningDataModule, Trainer
from torch import distributed, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

import vidssl
from vidssl.objectives.base import BackboneSpec, OptimizerSpec
from vidssl.objectives.cvrl import CVRL, CVRLHead
from vidssl.reporting.callbacks import StepTimer
from vidssl.types import ClipBatch

TARGETS = {"trainer_over_bare": 1.03, "overhead_over_other": 1 / 3}
CLIPS = {"quickstart": (32, 8, 56), "tiny": (4, 2, 16)}
"""Videos per step and process, frames, pixels."""
MEASURED = ("bare_wall", "trainer_wall", "bare_cpu", "trainer_cpu")


class ClipsInMemory(LightningDataModule):
    """The same batch again and again.

    Args:
        batch: what every step sees.
        num_steps: how often.
    """

    def __init__(self, batch: ClipBatch, num_steps: int) -> None:
        super().__init__()
        self.batch = batch
        self.num_steps = num_steps

    def train_dataloader(self) -> DataLoader:
        """Build a loader that hands the batch over as it is."""
        return DataLoader([self.batch] * self.num_steps, batch_size=None, collate_fn=lambda batch: batch)


class StepClock(Callback):
    """The time at each step's end, on the wall and of this process."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def tick(self) -> None:
        """Note the times."""
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def on_train_batch_end(self, *args: Any) -> None:
        """End a step of the trainer."""
        self.tick()

    def steps(self, name: str) -> dict[str, list[float]]:
        """Return the seconds of all steps but the first."""
        return {f"{name}_{kind}": [b - a for a, b in pairwise(getattr(self, kind))] for kind in ("wall", "cpu")}


class Step(nn.Module):
    """A training step as the forward pass of a module, which DistributedDataParallel asks for."""

    def __init__(self, objective: CVRL) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, batch: ClipBatch) -> torch.Tensor:
        """Return the loss."""
        return self.objective.training_step(batch, 0)


def build_objective() -> CVRL:
    """The quick start's network."""
    torch.manual_seed(0)
    spec = OptimizerSpec(name="adamw", learning_rate=1e-3, warmup_epochs=0)
    return CVRL(BackboneSpec(name="small"), spec, CVRLHead(hidden_dims=(256,), embedding_dim=64))


def bare_steps(batch: ClipBatch, num_steps: int) -> dict[str, list[float]]:
    """Take the steps of a plain loop, which logs nothing."""
    objective = build_objective()
    objective.log_training = lambda **metrics: None
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-3)
    step: nn.Module = Step(objective)
    if distributed.is_initialized():
        step = DistributedDataParallel(step)
    clock = StepClock()
    for _ in range(num_steps):
        optimizer.zero_grad()
        step(batch).backward()
        optimizer.step()
        clock.tick()
    return clock.steps("bare")


def trainer_steps(batch: ClipBatch, options: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Take the steps of the trainer, with the logger and the callbacks of every run."""
    clock = StepClock()
    trainer = Trainer(
        accelerator="cpu",
        devices=options.processes,
        strategy="ddp" if options.processes > 1 else "auto",
        max_epochs=1,
        logger=[_of_this_version("metrics_csv", "MetricsCSV")(str(folder))],
        callbacks=[StepTimer(), *_watchers(folder), clock],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        log_every_n_steps=options.log_every,
        default_root_dir=folder,
    )
    objective = build_objective()
    objective.setup = lambda stage: None  # it checks the video data module, which is not here
    trainer.fit(objective, datamodule=ClipsInMemory(batch, options.steps))
    return clock.steps("trainer")


def _of_this_version(module: str, name: str) -> Any:
    """Return what the checkout in use has of this name, where it has it; None without.

    Asked of its folder: an installed checkout answers for the modules that another one lacks.
    """
    for room in ("runs", "reporting", "jobs"):
        if (Path(vidssl.__file__).parent / room / f"{module}.py").is_file():
            return getattr(importlib.import_module(f"vidssl.{room}.{module}"), name)
    return None


def _watchers(folder: Path) -> list[Callback]:
    """What `vidssl fit` adds to every run that acts in a step."""
    watch, interruption, notices = (
        _of_this_version(module, name)
        for module, name in (("step_watch", "StepWatch"), ("interruption", "Interruption"), ("notices", "Notices"))
    )
    shared = [] if notices is None else [notices()]
    watchers = [] if watch is None else [watch(*shared)]
    return watchers if interruption is None else [*watchers, interruption(folder, *shared)]


def clips_in_memory(size: str) -> ClipBatch:
    """Draw a batch of two clips per video."""
    num_videos, frames, pixels = CLIPS[size]
    generator = torch.Generator().manual_seed(0)
    shape = (num_videos, 3, frames, pixels, pixels)
    views = [torch.randint(0, 256, shape, generator=generator).to(torch.uint8) for _ in range(2)]
    rows = torch.arange(num_videos)
    return ClipBatch(views, label=rows, index=rows)


def take_turns(rank: int, options: argparse.Namespace, port: int, folder: Path) -> None:
    """Take turns of both in this process, and write the seconds on the first one."""
    torch.set_num_threads(1 if options.processes > 1 else torch.get_num_threads())
    if options.processes > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
        distributed.init_process_group("gloo", rank=rank, world_size=options.processes)
    batch = clips_in_memory(options.clips)
    seconds = defaultdict(list)
    for turn in range(options.turns):
        for block in (bare_steps(batch, options.steps), trainer_steps(batch, options, folder / f"{turn}")):
            for name, values in block.items():
                seconds[name] += values
    if rank == 0:
        (folder / "seconds.json").write_text(json.dumps(seconds))
    if options.processes > 1:
        distributed.destroy_process_group()


def own_turns(options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of the steps of this checkout."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        if options.processes > 1:
            spawn(take_turns, args=(options, port, Path(folder)), nprocs=options.processes)
        else:
            take_turns(0, options, port, Path(folder))
        return json.loads((Path(folder) / "seconds.json").read_text())


def turns_of(checkout: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of the steps of a checkout, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        words = [sys.executable, __file__, "--processes", options.processes, "--clips", options.clips]
        words += ["--steps", options.steps, "--turns", options.turns, "--log-every", options.log_every]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        subprocess.run([*map(str, words), "--json", str(file)], env=environment, check=True, stdout=subprocess.DEVNULL)
        return json.loads(file.read_text())["seconds"]


def figures_of(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Return medians in seconds, and what the trainer adds."""
    medians = {name: statistics.median(seconds[name]) for name in MEASURED}
    kinds = ("wall", "cpu")
    # a process that waits for the other's core rests: its own time counts what it does, the wall what it waits for too
    means = {
        kind: statistics.mean(seconds[f"trainer_{kind}"]) - statistics.mean(seconds[f"bare_{kind}"]) for kind in kinds
    }
    return {
        **medians,
        "trainer_over_bare": medians["trainer_wall"] / medians["bare_wall"],
        "overhead_wall": medians["trainer_wall"] - medians["bare_wall"],
        "overhead_cpu": medians["trainer_cpu"] - medians["bare_cpu"],
        "mean_overhead_wall": means["wall"],
        "mean_overhead_cpu": means["cpu"],
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Take steps in turns, and return the figures."""
    if options.against is None:
        seconds = own_turns(options)
        return {**figures_of(seconds), "targets": TARGETS, "seconds": seconds}
    both: dict[str, Any] = {"this": defaultdict(list), "other": defaultdict(list)}
    checkouts = {"this": Path(__file__).resolve().parents[1], "other": options.against.resolve()}
    for _ in range(options.rounds):
        for name, checkout in checkouts.items():
            for kind, values in turns_of(checkout, options).items():
                both[name][kind] += values
    this, other = figures_of(both["this"]), figures_of(both["other"])
    overheads = ("overhead_wall", "overhead_cpu", "mean_overhead_wall", "mean_overhead_cpu")
    ratios = {f"{name}_over_other": this[name] / other[name] for name in overheads}
    return {**this, "other": other, **ratios, "targets": TARGETS, "seconds": both}


def print_table(figures: dict[str, Any]) -> None:
    """Print the medians of each checkout, and what the trainer adds."""
    for told, of_one in (("this checkout", figures), ("the other", figures.get("other"))):
        if of_one is None:
            continue
        print(f"{told:<16}{'bare loop':>12}{'vidssl fit':>12}{'beyond':>12}   ms per step, median")
        for kind in ("wall", "cpu"):
            values = (of_one[f"bare_{kind}"], of_one[f"trainer_{kind}"], of_one[f"overhead_{kind}"])
            print(f"  {kind:<14}" + "".join(f"{value * 1e3:12.2f}" for value in values))
        print(f"  ratio         {of_one['trainer_over_bare']:12.3f}   (target at most {TARGETS['trainer_over_bare']})")
    for name, ratio in figures.items():
        if name.endswith("_over_other"):
            print(f"{name:<32}{ratio:8.3f}   (target at most {TARGETS['overhead_over_other']:.3f})")


def main() -> None:
    """Read the command line, measure, report."""
    made = parser(__doc__)
    made.add_argument("--processes", type=int, default=1, help="that train together (gloo, one thread each)")
    made.add_argument("--clips", choices=CLIPS, default="quickstart", help="tiny ones show what the framework adds")
    made.add_argument("--steps", type=int, default=60, help="per turn")
    made.add_argument("--turns", type=int, default=2, help="of each in a process")
    made.add_argument("--rounds", type=int, default=2, help="processes of each checkout, with --against")
    made.add_argument("--log-every", type=int, default=50, help="trainer.log_every_n_steps")
    made.add_argument("--against", type=Path, help="another checkout of the project")
    report(made, measure, print_table)


if __name__ == "__main__":
    main()
