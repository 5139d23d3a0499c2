"""Callbacks that report on a run: where the time goes, what the network sees, and the results."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from vidssl.data.datamodule import VideoDataModule
from vidssl.evaluation.measuring import data_of
from vidssl.nn.training_steps import steps_done
from vidssl.reporting.console.summary import print_summary
from vidssl.reporting.figures import learning_curves, views_sheet
from vidssl.runs.ending import how_it_ended
from vidssl.runs.run_directory import PICTURES_FOLDER
from vidssl.types import ClipBatch

VIEWS_PICTURE = "views.png"
CURVES_PICTURE = "curves.png"


class StepTimer(Callback):
    """Logs where a step's time goes.

    ``time/data_seconds`` is what the training process waited for the loaders, ``time/step_seconds`` everything else,
    ``time/stall_fraction`` the share of waiting, in [0, 1], and ``time/videos_per_second`` counts all processes. Means
    over the steps since they were last logged.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._data_seconds = self._step_seconds = 0.0
        self._num_videos = 0
        self._num_steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._step_ended = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock again: the time between two epochs (evaluation, checkpoints) is not a wait for data."""
        self._step_ended = time.perf_counter()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: ClipBatch, batch_idx: int
    ) -> None:
        """End the wait for the batch."""
        self._step_started = time.perf_counter()
        self._data_seconds += self._step_started - self._step_ended

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: ClipBatch, batch_idx: int
    ) -> None:
        """End the step, and log every `log_every_n_steps`."""
        self._step_ended = time.perf_counter()
        self._step_seconds += self._step_ended - self._step_started
        self._num_videos += len(batch) * trainer.world_size
        self._num_steps += 1
        log_every = trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning does not declare it
        if steps_done(trainer) % log_every:
            return
        total = self._data_seconds + self._step_seconds
        pl_module.log_dict(
            {
                "time/data_seconds": self._data_seconds / self._num_steps,
                "time/step_seconds": self._step_seconds / self._num_steps,
                "time/stall_fraction": self._data_seconds / total,
                "time/videos_per_second": self._num_videos / total,
            },
            batch_size=1,
        )
        self._reset()


class ViewsPicture(Callback):
    """Saves what the network is trained on: the views of the first videos, as a sheet, once a run.

    Args:
        num_videos: rows of the sheet.
    """

    def __init__(self, num_videos: int = 4) -> None:
        self.num_videos = num_videos

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: ClipBatch, batch_idx: int
    ) -> None:
        """Draw the sheet from the first batch of the run."""
        if trainer.global_step > 0 or not trainer.is_global_zero:
            return
        data = data_of(trainer)
        names = [data.catalog.name(int(row)) for row in batch.index[: self.num_videos]]
        file = views_sheet(batch.views, names, pictures_folder(trainer) / VIEWS_PICTURE)
        log_picture(trainer, "pictures/views", file)


class RunSummary(Callback):
    """Draws the learning curves and prints the results: start and end, the files, and what to do next."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the summary on the first process."""
        if not trainer.is_global_zero:
            return
        run_dir = Path(trainer.default_root_dir)
        file = learning_curves(run_dir, pictures_folder(trainer) / CURVES_PICTURE)
        if file is not None:
            log_picture(trainer, "pictures/curves", file)
        data: VideoDataModule | None = getattr(trainer, "datamodule", None)  # Lightning does not declare it
        unreadable = len(data.unreadable) if data else 0
        print_summary(run_dir, ended=how_it_ended(trainer), steps=steps_done(trainer), unreadable=unreadable)


def pictures_folder(trainer: Trainer) -> Path:
    """Return the run's folder of pictures, made if it is not there."""
    folder = Path(trainer.default_root_dir) / PICTURES_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def log_picture(trainer: Trainer, name: str, file: Path) -> None:
    """Send a picture to every logger that takes pictures (wandb)."""
    for run_logger in trainer.loggers:
        if hasattr(run_logger, "log_image"):
            run_logger.log_image(name, [str(file)], step=trainer.global_step)
