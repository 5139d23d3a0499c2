"""An evaluation that a run was killed in, or just before, is made when the run continues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class DueEvaluation(Callback):
    """Evaluates before a continued run trains on, where the checkpoint is older than the evaluation of its step.

    Lightning goes on with the next step instead: a checkpoint that is written after the last step of an epoch comes
    before the evaluation of that epoch, which would be missing for good.
    """

    def __init__(self) -> None:
        self._running = False
        self._broken_off = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that what is saved from now on is saved within an evaluation."""
        self._running = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the evaluation is done; callbacks that write checkpoints come later."""
        self._running = False

    def state_dict(self) -> dict[str, Any]:
        """Whether the checkpoint is written within an evaluation."""
        return {"running": self._running}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Remember whether the checkpoint was written within an evaluation."""
        self._broken_off = state_dict["running"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the evaluation that is due."""
        batches: Any = trainer.fit_loop.epoch_loop.batch_progress.total  # annotated as something more general
        # a step counts as completed when all callbacks had their turn after it
        just_after_a_step = batches.completed == batches.processed - 1
        if not (self._broken_off or just_after_a_step):
            return
        self._broken_off = False
        epochs = trainer.fit_loop.epoch_progress.current
        now = epochs.completed
        epochs.completed = (batches.processed - 1) // max(int(trainer.num_training_batches), 1)
        try:
            _validate_if_due(trainer)
        finally:
            epochs.completed = now


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
