"""Keeps ``run.json`` up to date while a run trains; the command line adds it to every fit."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from vidssl.jobs.lost_hosts import remember_hosts
from vidssl.nn.training_steps import steps_done
from vidssl.runs.ending import how_it_broke_off, how_it_ended
from vidssl.runs.provenance import catalog_facts, code_version
from vidssl.runs.run_file import COMPLETED, read_run, write_run
from vidssl.types import ClipBatch

SECONDS_PER_HOUR = 3600.0
SECONDS_BETWEEN_WRITES = 30.0


class RunRecord(Callback):
    """Writes what a run is and what it costs into its folder: at its start, at checkpoints and at its end.

    It is also written when half a minute has passed, so that a run that is killed loses no more of its time than that;
    what it did since its last checkpoint was paid for, too. Where training continues in the same folder, times and
    counts go on from what is there. `ended` says how the run ended (`vidssl.runs.ending`); it is None while the run
    goes on and after a kill -9. `finished` is whether it reached the epoch or step that its configuration ends with.
    Throughput is that of training alone: evaluation and checkpoints count for `wall_seconds`, not for
    `videos_per_second` and `clips_per_second`, which are over all processes.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._started = self._written = self._mark = 0.0
        self._earlier_seconds = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock and write what is known; first process only."""
        if trainer.num_nodes > 1:
            remember_hosts()
        if not trainer.is_global_zero:
            return
        before = read_run(trainer.default_root_dir)
        self._started = time.perf_counter()
        self._earlier_seconds = before.get("wall_seconds", 0.0)
        self._values = {
            **identify(trainer, pl_module, getattr(trainer, "datamodule", None)),  # Lightning does not declare it
            "started": before.get("started", _now()),
            "starts": before.get("starts", 0) + 1,
            "training_seconds": before.get("training_seconds", 0.0),
            "videos_seen": before.get("videos_seen", 0),
            "clips_seen": before.get("clips_seen", 0),
            "steps": before.get("steps", 0),
            "finished": False,
            "ended": None,
        }
        self._write(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of training: a run that continues within an epoch does not begin that epoch again."""
        self._mark = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of training: what lay between two epochs is evaluation and checkpoints."""
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: ClipBatch, batch_idx: int
    ) -> None:
        """Count a batch, and the time since the last one."""
        if not self._values:
            return
        now = time.perf_counter()
        self._values["training_seconds"] += now - self._mark
        self._mark = now
        videos = len(batch) * trainer.world_size
        self._values["videos_seen"] += videos
        self._values["clips_seen"] += videos * len(batch.views)
        if now - self._written > SECONDS_BETWEEN_WRITES:
            self._write(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of training again after an evaluation within an epoch."""
        self._mark = time.perf_counter()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write how far the run got."""
        if self._values:
            self._write(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write how the run ended."""
        if self._values:
            ended = how_it_ended(trainer)
            self._values |= {"finished": ended == COMPLETED, "ended": ended}
            self._write(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write how far the run got before it broke off, and why it did."""
        with suppress(OSError):  # of a full disk, say; what broke the run off is what the user must hear of
            if self._values:
                self._values["ended"] = how_it_broke_off(trainer, exception)
                self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        self._written = time.perf_counter()
        values = self._values
        values["steps"] = steps_done(trainer) or values["steps"]  # 0 while a checkpoint is still being restored
        wall_seconds = self._earlier_seconds + self._written - self._started
        values["wall_seconds"] = wall_seconds
        values["device_hours"] = wall_seconds * values["devices"] * values["num_nodes"] / SECONDS_PER_HOUR
        seconds = values["training_seconds"]
        for what in ("videos", "clips"):
            values[f"{what}_per_second"] = values[f"{what}_seen"] / seconds if seconds > 0 else None
        values["updated"] = _now()
        write_run(trainer.default_root_dir, values)


def identify(trainer: Trainer, pl_module: LightningModule, data: Any) -> dict[str, Any]:
    """Say what a run is, in plain values.

    Args:
        trainer: runs it.
        pl_module: the objective.
        data: its data module, or None.
    """
    code = code_version()
    hyperparameters = pl_module.hparams
    return {
        "vidssl_version": code["version"],
        "commit": code["commit"],
        "commit_modified": code["modified"],
        "objective": hyperparameters.get("objective", type(pl_module).__name__),
        "backbone": hyperparameters.get("backbone"),
        "backbone_parameters": _count(getattr(pl_module, "backbone", None), trainable=False),
        "trainable_parameters": _count(pl_module, trainable=True),
        "seed": getattr(data, "seed", None),
        "devices": trainer.num_devices,
        "accelerator": type(trainer.accelerator).__name__.removesuffix("Accelerator").lower(),
        "precision": str(trainer.precision),
        "num_nodes": trainer.num_nodes,
        "max_epochs": trainer.max_epochs,
        "max_steps": trainer.max_steps,
        "batch_size": getattr(data, "batch_size", None),
        "steps_per_epoch": None if data is None else steps_per_epoch(trainer, data),
        "catalog": catalog_facts(data) if data is not None else None,
    }


def steps_per_epoch(trainer: Trainer, data: Any) -> int:
    """Return the steps of the optimiser in an epoch, before the loaders are there.

    Args:
        trainer: its `limit_train_batches` and `accumulate_grad_batches` count.
        data: a data module, with `train_rows` and `batch_size`.
    """
    batches, limit = len(data.train_rows) // data.batch_size, trainer.limit_train_batches
    taken = min(limit, batches) if isinstance(limit, int) else int(limit * batches)
    return math.ceil(taken / trainer.accumulate_grad_batches)


def _count(module: Any, *, trainable: bool) -> int | None:
    if module is None:
        return None
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
