"""On a signal, ends a run between two steps with a checkpoint to continue from and a matching exit code."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities import rank_zero_only

from vidssl.jobs.notices import Notices
from vidssl.jobs.signals import ENDING_SIGNALS, SHELL_CODE
from vidssl.nn.training_steps import steps_done
from vidssl.runs.background_checkpoints import follow_writer, wait_for_writer, written_at_once
from vidssl.runs.run_directory import CONFIG_FILE, LAST_CHECKPOINT

NOTHING, REQUEUE, END = range(3)
WISH = "wish "


class Interrupted(SystemExit):
    """A run that was ended by a signal.

    The exit code is the one that shells give a process which the signal ended (143, 130); for all but the first process
    it is 0: Lightning would kill the first one, which says how to continue, at the sight of another.

    Args:
        number: of the signal.
        report: what was saved and how to continue.
    """

    def __init__(self, number: int, report: str) -> None:
        self.code: int = 0 if getattr(rank_zero_only, "rank", 0) else SHELL_CODE + number
        self.report = report

    def __str__(self) -> str:
        return self.report


class Interruption(Checkpoint):
    """Waits for signals while a run trains; it comes after the callbacks that write checkpoints.

    SIGTERM and SIGINT (Ctrl-C) let all processes finish their step, save ``checkpoints/last.ckpt`` and end; a second
    SIGINT ends at once. The signal by which SLURM announces that the time is up lets them finish their step before
    Lightning saves a checkpoint and requeues the job. An evaluation is broken off after a batch; the
    run continues from the checkpoint before it.

    Args:
        run_dir: folder of the run.
        notices: of the run, the same as those of its other callbacks; None makes them.
    """

    def __init__(self, run_dir: Path, notices: Notices | None = None) -> None:
        self._run_dir = run_dir
        self._notices = notices or Notices()
        self._trainer: Trainer | None = None
        self._number = 0
        self._wish = NOTHING
        self._in_steps = self._saved = self._ended = False
        self._requeue: Any = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Receive signals while the block runs; only the main thread of a process can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in ENDING_SIGNALS}
        try:
            yield
        except Exception as error:
            if self._wish == END and not _is_of_disk(
                error
            ):  # loader workers got the signal too, and their absence was noticed first
                self._end()
            raise
        finally:
            self._ended = True
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._ended:
            return
        impatient = self._wish == END and number == signal.SIGINT
        self._number, self._wish = number, END
        if impatient or not self._in_steps:
            launcher = None if self._trainer is None else self._trainer.strategy.launcher
            if launcher is not None:
                launcher.kill(signal.SIGKILL)  # the other processes may wait for this one for ever
            self._end()

    def _receive_requeue(self, number: int, frame: FrameType | None) -> None:
        self._wish = max(self._wish, REQUEUE)

    # --- hooks ---

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remember the trainer, whose callbacks are complete now: a model may bring some."""
        self._trainer = trainer
        follow_writer(trainer)

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals back from Lightning, which reacts to them in the middle of a step."""
        self._take_signals(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let signals wait for the end of a step from now on."""
        self._take_signals(trainer)
        self._in_steps = True
        # In every step Lightning would have all processes wait for the first one to say whether it got a SIGTERM, which
        # comes here instead.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _nothing  # type: ignore[method-assign]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save what was asked for during the step; Lightning logs the step's numbers after this."""
        if not _is_a_step(trainer, batch_idx + 1):
            return
        wish = self._noticed(trainer)
        if _is_evaluated(trainer, batch_idx + 1) and self._wish_of_all(trainer) == END:  # not in the middle of it
            wish = END
        if wish == END:
            trainer.save_checkpoint(self._run_dir / LAST_CHECKPOINT)
            self._saved = True
        elif wish == REQUEUE:
            self._wish = NOTHING
            with written_at_once(trainer):
                self._requeue(signal.SIGUSR1, None)

    def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """End the run after a step whose numbers are logged."""
        if self._saved:
            self._end()

    on_train_epoch_end = on_validation_start = on_train_batch_start

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """End the run in an evaluation."""
        if self._in_steps and self._wish_of_all(trainer) == END:
            self._end()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let signals end the process at once again."""
        self._in_steps = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save a checkpoint where the signal ended the loader workers before the next step began."""
        progress = trainer.fit_loop.epoch_loop.batch_progress.current
        between_steps = self._in_steps and not trainer.validating and progress.ready == progress.completed
        between_steps = between_steps and _is_a_step(trainer, progress.completed)
        if self._wish == END and not self._ended and between_steps and trainer.world_size == 1:
            trainer.save_checkpoint(self._run_dir / LAST_CHECKPOINT)

    # --- what they do ---

    def _take_signals(self, trainer: Trainer) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in ENDING_SIGNALS:
            signal.signal(number, self._receive)
        environment = trainer._accelerator_connector.cluster_environment  # where Lightning's own handler looks
        if self._requeue is None and isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
            announcing = environment.requeue_signal or signal.SIGUSR1
            self._requeue = signal.getsignal(announcing)
            signal.signal(announcing, self._receive_requeue)

    def _noticed(self, trainer: Trainer) -> int:
        """What any process was asked for, known to all after the same step without waiting for each other."""
        if trainer.world_size == 1:
            return self._wish
        notice = self._notices.read(trainer.global_step - 1)
        if self._wish != NOTHING:
            self._notices.post(trainer.global_step, f"{WISH}{self._wish}")  # before the gradients of the next step
        if notice is None or not notice.startswith(WISH):
            return NOTHING
        self._notices.take()
        return int(notice.removeprefix(WISH))

    def _wish_of_all(self, trainer: Trainer) -> int:
        """What any process was asked for, where all wait for each other anyway."""
        if trainer.world_size == 1:
            return self._wish
        wish = torch.tensor(self._wish, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(wish, reduce_op="max"))

    def _end(self) -> None:
        self._ended = True
        if self._trainer is not None:
            wait_for_writer(self._trainer)
        number = self._number or signal.SIGTERM  # another process's
        raise Interrupted(number, self._report(signal.Signals(number).name))

    def _report(self, name: str) -> str:
        config, last = self._run_dir / CONFIG_FILE, self._run_dir / LAST_CHECKPOINT
        steps = 0 if self._trainer is None else steps_done(self._trainer)
        ended = f"{name} ended the run after {steps} steps."
        if not last.exists():
            return f"{ended} It has no {LAST_CHECKPOINT} to continue from."
        command = shlex.join(["vidssl", "fit", "--config", str(config), "--ckpt_path", str(last)])
        return f"{ended} It continues with:\n{command}"


def _nothing() -> None:
    pass


def _is_of_disk(error: Exception) -> bool:
    """Whether an error says that a checkpoint could not be written; lost connections are loader workers'."""
    return isinstance(error, OSError) and not isinstance(error, ConnectionError)


def _is_evaluated(trainer: Trainer, num_batches: int) -> bool:
    """Whether an epoch ends after so many of its batches, or an evaluation comes."""
    if trainer.check_val_every_n_epoch is None:
        num_batches = trainer.fit_loop.total_batch_idx + 1
    every = trainer.val_check_batch
    return trainer.is_last_batch or (every is not None and num_batches % every == 0)


def _is_a_step(trainer: Trainer, num_batches: int) -> bool:
    """Whether so many batches of an epoch end with a step of the optimiser; checkpoints hold no gradients."""
    return num_batches % trainer.accumulate_grad_batches == 0 or num_batches >= trainer.num_training_batches
