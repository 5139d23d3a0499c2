"""What Lightning leaves out when a run continues: numbers and evaluations after a checkpoint, the epoch count."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from vidssl.runs.metrics_csv import MetricsCSV


class Continuation(Callback):
    """Makes up for it before a continued run trains on.

    A checkpoint that is written after a step comes before its numbers are logged, and after the last step of an epoch
    before the evaluation of that epoch. Lightning goes on with the next step, and for a run that was killed in between
    they would be missing for good: the checkpoint holds the numbers, and the evaluation is made first. It is made too
    where no step is left, in which case Lightning would return at once (`trainer.max_steps`).
    """

    def __init__(self) -> None:
        self._unlogged: dict[str, Any] = {}
        self._max_steps = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave out the evaluation before the first step; Lightning does so within an epoch, not between epochs."""
        if stage == "fit" and trainer.ckpt_path:
            trainer.num_sanity_val_steps = 0

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the numbers of a step that are not logged yet."""
        connector, loop = trainer._logger_connector, trainer.fit_loop.epoch_loop
        if "callbacks" not in checkpoint or not _is_in_step(trainer) or trainer.fit_loop._should_accumulate():
            return
        if trainer.loggers and connector.should_update_logs:
            numbers = {name: float(value) for name, value in connector.metrics["log"].items()}
            row = {"step": loop._batches_that_stepped, "metrics": {"epoch": float(trainer.current_epoch), **numbers}}
            checkpoint["callbacks"][self.state_key] = row

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the numbers of a step from a checkpoint."""
        self._unlogged = state_dict

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let Lightning begin, and call `on_train_start`, where no step is left."""
        if trainer.ckpt_path:
            loop = trainer.fit_loop.epoch_loop
            self._max_steps, loop.max_steps = loop.max_steps, -1

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Let nothing be saved between two steps, where gradients are being accumulated that no checkpoint holds.

        A new process does not know that the step before is saved already.
        """
        if trainer.fit_loop._should_accumulate():
            for callback in trainer.checkpoint_callbacks:
                if isinstance(callback, ModelCheckpoint):
                    callback._last_global_step_saved = trainer.global_step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what is not logged, count the epoch that begins, and make the evaluation that is due."""
        if trainer.ckpt_path:
            trainer.fit_loop.epoch_loop.max_steps = self._max_steps
        if self._unlogged and trainer.is_global_zero:
            _log_missing(trainer, **self._unlogged)
        self._unlogged = {}
        _count_epoch(trainer)
        if not _is_in_step(trainer):
            return
        batches: Any = trainer.fit_loop.epoch_loop.batch_progress.total  # annotated as something more general
        epochs = trainer.fit_loop.epoch_progress.current
        now = epochs.completed
        epochs.completed = (batches.processed - 1) // max(int(trainer.num_training_batches), 1)
        try:
            _validate_if_due(trainer)
        finally:
            epochs.completed = now


def _is_in_step(trainer: Trainer) -> bool:
    """Whether callbacks have their turn after a step, or had when the checkpoint was written; then it is counted."""
    batches: Any = trainer.fit_loop.epoch_loop.batch_progress.total  # annotated as something more general
    return batches.completed == batches.processed - 1


def _log_missing(trainer: Trainer, step: int, metrics: dict[str, float]) -> None:
    """Log the numbers of a step that the file of metrics lacks."""
    files = [run_logger for run_logger in trainer.loggers if isinstance(run_logger, MetricsCSV)]
    if any(not file.holds(step, metrics) for file in files):
        for run_logger in trainer.loggers:
            run_logger.log_metrics(metrics, step)


def _count_epoch(trainer: Trainer) -> None:
    """Count the next epoch as begun, where the checkpoint was written at the end of one.

    Lightning 2.6 does not, and takes a checkpoint of that epoch for one between two epochs: killed again and continued,
    the run would train on beyond its end.
    """
    loop = trainer.fit_loop
    epochs: Any = loop.epoch_progress  # its counts are annotated as something more general
    is_forgotten = loop.restarted_mid_epoch or loop.restarted_on_epoch_end
    if is_forgotten and epochs.current.ready == epochs.current.processed and not loop.done:
        epochs.increment_ready()
        epochs.increment_started()


def _validate_if_due(trainer: Trainer) -> None:
    """Do what Lightning's loop does after a step."""
    loop = trainer.fit_loop.epoch_loop
    fetcher = trainer.fit_loop._data_fetcher
    assert fetcher is not None  # training is about to begin
    if not loop._should_check_val_fx(fetcher):
        return
    connector = trainer._logger_connector
    first_iteration = connector._first_loop_iter
    trainer.validating = True
    loop.val_loop.restarting = False  # all of it, from its first batch
    loop.val_loop.run()
    trainer.training = True
    connector._first_loop_iter = first_iteration
