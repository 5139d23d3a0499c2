"""Describes how a run ended: ``completed``, ``stopped: max_time at step 94 of 4000``, ``failed: ...``."""

from __future__ import annotations

import math
import signal
from pathlib import Path

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EarlyStopping, Timer
from pytorch_lightning.utilities.exceptions import SIGTERMException

from vidssl.backbones.checkpoints import read_checkpoint
from vidssl.jobs.signals import SHELL_CODE
from vidssl.nn.training_steps import is_after, steps_done
from vidssl.runs.run_file import COMPLETED, FAILED, STOPPED, read_run


def how_it_ended(trainer: Trainer) -> str:
    """Say how a run ended that nothing broke off; all but `COMPLETED` begin with ``stopped:``."""
    if _reached_its_end(trainer):
        return COMPLETED
    return f"{STOPPED}{_why(trainer)} {_where(trainer)}"


def how_it_broke_off(trainer: Trainer, exception: BaseException) -> str:
    """Say which signal stopped a run (``stopped:``), or which error ended it (``failed:``)."""
    if isinstance(exception, SIGTERMException):
        return f"stopped: SIGTERM {_where(trainer)}"
    if isinstance(exception, (KeyboardInterrupt, SystemExit)):
        return f"{STOPPED}{_signal_name(exception)} {_where(trainer)}"
    first_line = next(iter(str(exception).splitlines()), "")
    first_sentence = first_line.partition(". ")[0]
    return f"{FAILED}{type(exception).__name__} {_where(trainer)}: {first_sentence}"


def is_complete(run_dir: Path, trainer: Trainer, checkpoint: str | None) -> bool:
    """Whether a run has come to the end that a trainer would train it to.

    Args:
        run_dir: its folder.
        trainer: would continue it.
        checkpoint: from which, where that need not be the last one.
    """
    run = read_run(run_dir)
    limits = (trainer.max_epochs, trainer.max_steps)
    if run.get("ended") != COMPLETED or (run.get("max_epochs"), run.get("max_steps")) != limits:
        return False
    return checkpoint is None or is_after(read_checkpoint(checkpoint).values, run.get("steps", -1))


def _reached_its_end(trainer: Trainer) -> bool:
    epochs, steps = trainer.max_epochs, trainer.max_steps
    enough_epochs = epochs is not None and epochs != -1 and trainer.current_epoch >= epochs
    return bool(enough_epochs or (steps != -1 and trainer.global_step >= steps) or trainer.limit_train_batches == 0)


def _why(trainer: Trainer) -> str:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning does not declare it
        remaining = callback.time_remaining() if isinstance(callback, Timer) else None
        if remaining is not None and remaining <= 0:
            return "max_time"
        if isinstance(callback, EarlyStopping) and getattr(callback, "stopping_reason_message", None):
            return f"early stopping on {callback.monitor}"
    return "trainer.should_stop was set"


def _signal_name(exception: KeyboardInterrupt | SystemExit) -> str:
    if isinstance(exception, KeyboardInterrupt):
        return signal.SIGINT.name
    code = exception.code
    try:
        return signal.Signals(code - SHELL_CODE).name if isinstance(code, int) else "exit"
    except ValueError:
        return f"exit code {code}"


def _where(trainer: Trainer) -> str:
    total = _total_steps(trainer)
    return f"at step {steps_done(trainer)}" + (f" of {total}" if total else "")


def _total_steps(trainer: Trainer) -> int | None:
    """Optimiser steps of the whole run; None before the length of an epoch is known."""
    limits = [float(trainer.max_steps)] if trainer.max_steps != -1 else []
    batches = trainer.num_training_batches
    if trainer.max_epochs is not None and trainer.max_epochs != -1 and math.isfinite(batches):
        limits.append(trainer.max_epochs * math.ceil(batches / trainer.accumulate_grad_batches))
    return int(min(limits)) if limits else None
