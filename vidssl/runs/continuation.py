"""What Lightning leaves out when a run continues: the evaluation that it was killed in, and the count of an epoch."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class Continuation(Callback):
    """Makes up for both before a continued run trains on.

    A checkpoint that is written after the last step of an epoch comes before the evaluation of that epoch. Lightning
    goes on with the next step, and the evaluation would be missing for good; it is made first.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch that begins, and make the evaluation that is due."""
        _count_epoch(trainer)
        batches: Any = trainer.fit_loop.epoch_loop.batch_progress.total  # annotated as something more general
        # a step counts as completed when all callbacks had their turn after it
        if batches.completed != batches.processed - 1:
            return
        epochs = trainer.fit_loop.epoch_progress.current
        now = epochs.completed
        epochs.completed = (batches.processed - 1) // max(int(trainer.num_training_batches), 1)
        try:
            _validate_if_due(trainer)
        finally:
            epochs.completed = now


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
