"""Stops a run whose loss is not finite; warns of one in which all clips look the same, or nearly so."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.optim import Optimizer

from vidssl.errors import VidsslError
from vidssl.jobs.notices import Notices
from vidssl.nn.gather import gather, rank, world_size
from vidssl.nn.training_steps import steps_done
from vidssl.types import ClipBatch

logger = logging.getLogger(__name__)

LISTED_ROWS = 32
SAME = 1e-5  # of the largest value: what rounding leaves of features that are equal
NOT_FINITE = "The loss is not finite"
FEW_DIMENSIONS = 5  # those that learned with the small configurations never had fewer than 7


@dataclass(frozen=True)
class _Step:
    """What was seen of a step, perhaps before the device has computed it.

    Attributes:
        steps: optimiser steps that were done before.
        epoch: counted from 0.
        findings: bool (2,), of this process: whether the loss is not finite, whether all features are the same.
        loss: of this process.
        terms: what this process logged.
        rows: int64 (B,), rows of the catalog.
        computed: recorded on the GPU behind `findings`; None where they are there already.
    """

    steps: int
    epoch: int
    findings: Tensor
    loss: Tensor
    terms: dict[str, Tensor | float]
    rows: Tensor
    computed: torch.cuda.Event | None


class StepWatch(Callback):
    """Looks at the loss and the features of every training step.

    A loss that is not finite ends the run on all processes before another checkpoint is written, whatever the
    objective. On a GPU the findings of a step are read when the next step has been queued, so that the GPU never waits
    for it; before an evaluation and a checkpoint they are read at once. Processes learn of each other's losses by
    `notices`, not by a collective in every step.

    Warns once of a batch whose features are all the same, and once of embeddings that fell to a few dimensions, where
    the objective logs their rank.

    Args:
        notices: of the run, the same as those of its other callbacks; None makes them.
    """

    def __init__(self, notices: Notices | None = None) -> None:
        self._notices = notices or Notices()
        self._features: list[Tensor] = []
        self._rows: Tensor | None = None
        self._unread: _Step | None = None
        self._failure: str | None = None
        self._is_over = False
        self._warned = False
        self._highest_rank = 0.0
        self._warned_of_rank = False
        self._hook: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what comes out of the backbone from now on."""
        backbone = getattr(pl_module, "backbone", None)
        if isinstance(backbone, nn.Module):
            self._hook = backbone.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if module.training and not self._warned and isinstance(output, Tensor) and output.ndim == 2:
            self._features.append(output.detach())

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: ClipBatch, batch_idx: int
    ) -> None:
        """Remember which videos a step is about."""
        self._rows = batch.index
        self._features = []

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Look at a loss; it ends the run before it reaches the weights, on GPUs some steps later.

        Raises:
            VidsslError: it is not finite, or that of the step before was not.
        """
        self._read(trainer)
        assert self._rows is not None  # a batch has begun
        loss = loss.detach()
        features, self._features = self._features, []
        findings = torch.stack((~loss.isfinite().all(), _all_same(features, loss.device)))
        computed = None
        if findings.is_cuda:
            findings = findings.to("cpu", non_blocking=True)  # to pinned memory
            computed = torch.cuda.Event()
            computed.record()
        terms = getattr(pl_module, "logged_terms", {})
        self._unread = _Step(steps_done(trainer), trainer.current_epoch, findings, loss, terms, self._rows, computed)
        if computed is None:
            self._read(trainer)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """End the run on all processes after the same step.

        Raises:
            VidsslError: the loss was not finite on one of them.
        """
        notice = self._notices.read(trainer.global_step)
        if notice is not None and notice.startswith(NOT_FINITE):
            self._end(notice)

    def _read(self, trainer: Trainer) -> None:
        """Take notice of what was seen last on this process."""
        step, self._unread = self._unread, None
        if step is None or self._failure is not None:
            return
        if step.computed is not None:
            step.computed.synchronize()
        if step.findings[0]:
            self._failure = _failure(step, trainer)
            if world_size() == 1:
                self._end(self._failure)
            # the others wait for this one's gradients: it leaves with them, before those reach the weights
            self._notices.post(
                trainer.global_step, f"{NOT_FINITE} on process {rank()} {_when(step)}; its message says more."
            )
            return
        self._watch_rank(step, trainer)
        if step.findings[1] and not self._warned and self._notices.completes("same", step.steps):
            self._warned = True
            logger.warning(
                "After %d steps the network gives all clips of a batch the same features (catalog rows %s): either "
                "all look the same (black videos?) or it has collapsed. It learns nothing from them; vidssl show "
                "draws what it sees.",
                step.steps,
                _listed(step.rows),
            )

    def _settle(self, trainer: Trainer) -> None:
        """Read what is left on all processes, at a time at which they wait for each other anyway."""
        self._read(trainer)
        if self._is_over:
            raise VidsslError(self._failure or NOT_FINITE)
        failed = gather(torch.tensor([self._failure is not None], device=trainer.strategy.root_device)).nonzero()
        if len(failed):
            self._end(f"{NOT_FINITE} on process {int(failed[0])}; its message says more.")

    def _end(self, notice: str) -> NoReturn:
        self._is_over = True
        raise VidsslError(self._failure or notice)

    def _watch_rank(self, step: _Step, trainer: Trainer) -> None:
        """Warn of embeddings that fell to a few dimensions; of a batch of few videos they never had more."""
        if "train/effective_rank" not in step.terms or len(step.rows) * trainer.world_size < 4 * FEW_DIMENSIONS:
            return
        effective_rank = float(step.terms["train/effective_rank"])
        self._highest_rank = max(self._highest_rank, effective_rank)
        if effective_rank < min(FEW_DIMENSIONS, self._highest_rank / 2) and not self._warned_of_rank:
            self._warned_of_rank = True
            if trainer.is_global_zero:
                logger.warning(
                    "After %d steps the embeddings of a batch lie in about %.1f dimensions, after %.1f earlier in the "
                    "run (train/effective_rank): the network is collapsing, because its loss needs only what few "
                    "dimensions can tell apart. A lower model.optimizer.learning_rate often helps.",
                    step.steps,
                    effective_rank,
                    self._highest_rank,
                )

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read what is left, before it is measured.

        Raises:
            VidsslError: a loss was not finite.
        """
        self._settle(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Read what is left, before it is written.

        Raises:
            VidsslError: a loss was not finite; what lies on the disk stays as it is.
        """
        self._settle(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read what is left, and look no more.

        Raises:
            VidsslError: a loss was not finite.
        """
        self._settle(trainer)
        self._let_go()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Look no more."""
        self._let_go()

    def _let_go(self) -> None:
        self._features, self._rows = [], None
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


def _all_same(features: list[Tensor], device: torch.device) -> Tensor:
    """Whether there are several rows of features and all are equal; bool ()."""
    rows = torch.cat(features).float() if features else torch.empty(0, 0)
    if len(rows) < 2:
        return torch.zeros((), dtype=torch.bool, device=device)
    return (rows.amax(dim=0) - rows.amin(dim=0)).amax() <= SAME * rows.abs().amax()


def _failure(step: _Step, trainer: Trainer) -> str:
    """Say what was not finite, in which step, with which videos, and what is left."""
    spoilt = list(_not_finite(step.terms))
    named = f" These logged values are not finite: {', '.join(spoilt)}." if spoilt else ""
    saved = [file for callback in trainer.checkpoint_callbacks for file in _written(callback)]
    left = f"The last checkpoint, from before, is {saved[-1]}" if saved else "There is no checkpoint from before"
    return (
        f"The loss is {step.loss.item():g} {_when(step)}.{named} The videos of the batch are the catalog's rows "
        f"{_listed(step.rows)}. {left}; training stopped, and nothing more was saved. A lower "
        "model.optimizer.learning_rate or trainer.gradient_clip_val often helps."
    )


def _when(step: _Step) -> str:
    return f"after {step.steps} steps, in epoch {step.epoch}"


def _not_finite(terms: dict[str, Tensor | float]) -> Iterator[str]:
    for name, value in terms.items():
        if not (value.isfinite().all() if isinstance(value, Tensor) else math.isfinite(value)):
            yield name


def _written(callback: Any) -> list[str]:
    if not isinstance(callback, ModelCheckpoint):
        return []
    return [file for file in (callback.best_model_path, callback.last_model_path) if file]


def _listed(rows: Tensor) -> str:
    shown = ", ".join(map(str, rows[:LISTED_ROWS].tolist()))
    return shown + (f" and {len(rows) - LISTED_ROWS} more" if len(rows) > LISTED_ROWS else "")
