"""Measure what the framework adds to a training step: `vidssl fit`'s trainer against a bare PyTorch loop.

    python tools/bench_step.py [--json FILE]

The same objective takes the same steps on the same clips already in memory, once under the trainer with the callbacks
of the configurations and once in a plain loop of forward, backward and optimiser. In turns, in one run; the ratio of
the medians is what counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from benchmark import parser, report
from pytorch_lightning import Callback, LightningDataModule, Trainer
from torch.utils.data import DataLoader

from vidssl.objectives.base import BackboneSpec, OptimizerSpec
from vidssl.objectives.cvrl import CVRL, CVRLHead
from vidssl.reporting.callbacks import StepTimer
from vidssl.runs.metrics_csv import MetricsCSV
from vidssl.types import ClipBatch

TARGET = 1.03


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
    """The time from each step's end to the next one's."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *args: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def build_objective() -> CVRL:
    """The quick start's network."""
    torch.manual_seed(0)
    spec = OptimizerSpec(name="adamw", learning_rate=1e-3, warmup_epochs=0)
    return CVRL(BackboneSpec(name="small"), spec, CVRLHead(hidden_dims=(256,), embedding_dim=64))


def bare_steps(batch: ClipBatch, num_steps: int) -> list[float]:
    """Seconds of each step of a plain loop."""
    objective = build_objective()
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-3)
    objective.log_training = lambda **metrics: None  # a plain loop logs nothing
    ends = [time.perf_counter()]
    for step in range(num_steps):
        optimizer.zero_grad()
        objective.training_step(batch, step).backward()
        optimizer.step()
        ends.append(time.perf_counter())
    return [end - start for start, end in pairwise(ends)]


def trainer_steps(batch: ClipBatch, num_steps: int, folder: Path) -> list[float]:
    """Seconds of each step under the trainer, with the loggers and callbacks of a run."""
    clock = StepClock()
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=[MetricsCSV(str(folder))],
        callbacks=[StepTimer(), clock],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=10,
        default_root_dir=folder,
    )
    objective = build_objective()
    objective.setup = lambda stage: None  # it checks the video data module, which is not here
    trainer.fit(objective, datamodule=ClipsInMemory(batch, num_steps))
    return [end - start for start, end in pairwise(clock.ends)]


def clips_in_memory(batch_size: int) -> ClipBatch:
    """Draw a batch of two clips per video."""
    generator = torch.Generator().manual_seed(0)
    views = [torch.randint(0, 256, (batch_size, 3, 8, 56, 56), generator=generator).to(torch.uint8) for _ in range(2)]
    rows = torch.arange(batch_size)
    return ClipBatch(views, label=rows, index=rows)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Take steps in turns, and return the figures."""
    batch = clips_in_memory(options.batch_size)
    bare: list[float] = []
    trained: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.turns):
            bare += bare_steps(batch, options.steps)[1:]
            trained += trainer_steps(batch, options.steps, Path(folder) / str(turn))
    return {
        "trainer_over_bare": statistics.median(trained) / statistics.median(bare),
        "target": TARGET,
        "bare_step_seconds": statistics.median(bare),
        "trainer_step_seconds": statistics.median(trained),
        "bare_steps": bare,
        "trainer_steps": trained,
    }


def print_table(figures: dict[str, Any]) -> None:
    """Print both, and the ratio."""
    print(f"bare loop     {figures['bare_step_seconds'] * 1e3:8.1f} ms a step")
    print(f"vidssl fit    {figures['trainer_step_seconds'] * 1e3:8.1f} ms a step")
    print(f"ratio         {figures['trainer_over_bare']:8.3f}   (target {TARGET})")


def main() -> None:
    """Read the command line, measure, report."""
    made = parser(__doc__)
    made.add_argument("--steps", type=int, default=20, help="steps a turn")
    made.add_argument("--turns", type=int, default=4, help="turns of each")
    made.add_argument("--batch-size", type=int, default=32, help="videos per step, two clips each")
    report(made, measure, print_table)


if __name__ == "__main__":
    main()
