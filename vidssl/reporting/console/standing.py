"""The progress of a run, as one line of text."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from vidssl.evaluation.protocols.records import RECORDS_FILE, read_records
from vidssl.jobs.progress import duration_text
from vidssl.nn.training_steps import steps_done
from vidssl.reporting.percent import percent

LOSS = "train/loss"
ACCURACIES = {"train/contrastive_accuracy": "contrastive accuracy", "train/accuracy": "accuracy"}
STEPS_OF_SPEED = 50
"""Steps over which the speed is a mean."""


@dataclass(frozen=True)
class Standing:
    """How far training has got.

    Attributes:
        epoch: from 1.
        epochs: of the whole run; None where its length is set in steps or time alone.
        step: optimiser steps that are done.
        steps: of the whole run; None where nobody knows.
        loss: of the last step, on several processes of the last one that was logged; None before it, and for a method
            that logs none.
        accuracy: name and value in [0, 1] of what the method calls accuracy; None where it has none.
        videos_per_second: over all processes, training alone; None before the second step.
        seconds_left: at the speed so far, evaluations included; None where nobody knows.
        evaluation: the last one in words, empty before it.
    """

    epoch: int
    epochs: int | None
    step: int
    steps: int | None
    loss: float | None
    accuracy: tuple[str, float] | None
    videos_per_second: float | None
    seconds_left: float | None
    evaluation: str

    @property
    def place(self) -> str:
        """Epoch and step, such as ``epoch 3 of 20, step 42 of 300``."""
        return f"epoch {_of(self.epoch, self.epochs)}, step {_of(self.step, self.steps)}"

    @property
    def values(self) -> list[str]:
        """Loss, accuracy, speed and last evaluation, as far as they are known."""
        wording = [] if self.loss is None else [f"loss {self.loss:.3f}"]
        if self.accuracy is not None:
            wording.append(f"{self.accuracy[0]} {percent(self.accuracy[1])} %")
        if self.videos_per_second is not None:
            wording.append(f"{self.videos_per_second:,.0f} videos/s")
        return [*wording, self.evaluation] if self.evaluation else wording

    @property
    def left(self) -> str:
        """The time that is left, such as ``4 min left``; empty where nobody knows."""
        return "" if self.seconds_left is None else f"{duration_text(self.seconds_left)} left"

    @property
    def line(self) -> str:
        """All of it, for a log."""
        return ", ".join(part for part in (self.place, *self.values, self.left) if part)


def _of(done: int, total: int | None) -> str:
    return f"{done:,}" if total is None else f"{done:,} of {total:,}"


class Meter:
    """Counts videos and time of a run, and says how far it has got.

    Args:
        trainer: of the run; its training begins now.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._started, self._first_step = time.monotonic(), steps_done(trainer)
        self._epoch, self._steps = trainer.current_epoch + 1, _finite(trainer.estimated_stepping_batches)
        self._mark: float | None = None
        self._paces: deque[tuple[int, float]] = deque(maxlen=STEPS_OF_SPEED)
        self.evaluation = last_evaluation(trainer.default_root_dir)

    def begin_epoch(self) -> None:
        """Leave out of the speed what came between two epochs."""
        self._epoch = self._trainer.current_epoch + 1
        self.pause()

    def pause(self) -> None:
        """Leave out the time until the next batch: it is not training."""
        self._mark = None

    def count(self, videos: int) -> None:
        """Count the videos of a batch, of all processes."""
        now = time.monotonic()
        if self._mark is not None:
            self._paces.append((videos, now - self._mark))
        self._mark = now

    def standing(self) -> Standing:
        """Return how far the run has got."""
        trainer, steps = self._trainer, self._steps
        logged, step = _logged(trainer), steps_done(trainer)
        done, seconds = step - self._first_step, sum(seconds for _, seconds in self._paces)
        passed = time.monotonic() - self._started
        accuracies = [(wording, float(logged[name])) for name, wording in ACCURACIES.items() if name in logged]
        return Standing(
            epoch=self._epoch,
            epochs=None if trainer.max_epochs in (None, -1) else trainer.max_epochs,
            step=step,
            steps=steps,
            loss=float(logged[LOSS]) if LOSS in logged else None,
            accuracy=accuracies[0] if accuracies else None,
            videos_per_second=sum(videos for videos, _ in self._paces) / seconds if seconds > 0 else None,
            seconds_left=passed / done * (steps - step) if steps is not None and done > 0 and step < steps else None,
            evaluation=self.evaluation,
        )


def _logged(trainer: Trainer) -> Mapping[str, Any]:
    """Return what the last step gave; on several processes their means, which only steps that are logged have."""
    own = {} if trainer.world_size > 1 else getattr(trainer.lightning_module, "logged_terms", {})
    return {**trainer.callback_metrics, **own}


def _finite(steps: float) -> int | None:
    return int(steps) if math.isfinite(steps) and steps >= 0 else None


def last_evaluation(run_dir: str | Path) -> str:
    """Say what came out last of each protocol, by its first metric: ``knn 75.4 %, linear 95.0 %``.

    Args:
        run_dir: the folder of the run.

    Returns:
        An empty text where nothing has been measured.
    """
    file = Path(run_dir) / RECORDS_FILE
    records = read_records(file) if file.exists() else []
    if not records:
        return ""
    newest = [record for record in records if record.get("step") == records[-1].get("step")]
    wording = {_protocol(record, newest): _headline(record["metrics"]) for record in newest}
    return ", ".join(f"{name} {percent(value)} %" for name, value in wording.items() if value is not None)


def _protocol(record: Mapping[str, Any], newest: Sequence[Mapping[str, Any]]) -> str:
    data, name = str(record["data"]["name"]), str(record["protocol"]["name"])
    return name if all(other["data"]["name"] == data for other in newest) else f"{data}/{name}"


def _headline(metrics: Mapping[str, float | None]) -> float | None:
    return next(iter(metrics.values()), None)
