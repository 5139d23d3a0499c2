"""The runs behind the checks of an objective: a short training, killed and continued, and a step on two processes."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader, Dataset, Sampler

from vidssl.jobs.loader_workers import prepare_worker, worker_context
from vidssl.nn.sync_batch_norm import synchronised
from vidssl.nn.training_steps import steps_done
from vidssl.objectives.base import Objective
from vidssl.objectives.contract_case import Case
from vidssl.types import ClipBatch

EPOCHS = 2
STEPS_PER_EPOCH = 3
STEPS_BEFORE_KILL = 4  # in mid-epoch, and not in the first
NEWEST = "newest.ckpt"
SEED = 7
WORLD_SIZE = 2
PROCESS_TIMEOUT = timedelta(minutes=5)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


# --- a short training on a CPU ---


@dataclass(frozen=True)
class TrainedRun:
    """What a training left behind.

    Attributes:
        state: the state dict at its end.
        optimizers: the state dict of each optimiser.
        losses: one per step of this process, without those before a resumption; none of a method that steps its
            optimisers itself and returns no loss.
    """

    state: dict[str, Any]
    optimizers: list[dict[str, Any]]
    losses: list[float]


class _Killed(Exception):
    """Replaces a signal that ends a process in the middle of an epoch."""


class _Watch(Callback):
    """Keeps the losses, and kills the run before a step, after it has written a checkpoint.

    Args:
        kill_before: the step, or None.
        checkpoint: the file.
    """

    def __init__(self, kill_before: int | None, checkpoint: Path) -> None:
        self.kill_before, self.checkpoint = kill_before, checkpoint
        self.losses: list[float] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: ClipBatch, batch_idx: int
    ) -> None:
        if steps_done(trainer) == self.kill_before:
            raise _Killed

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: ClipBatch, batch_idx: int
    ) -> None:
        if outputs is not None and "loss" in outputs:
            self.losses.append(float(outputs["loss"]))
        if steps_done(trainer) == self.kill_before:
            trainer.save_checkpoint(self.checkpoint)


class _Numbers(Sampler[int]):
    """Numbers of batches, an epoch at a time, from one on."""

    def __init__(self, first: int, per_epoch: int) -> None:
        self.first, self.per_epoch = first, per_epoch
        self.epoch = first // per_epoch  # workers fetch before Lightning says which epoch it is

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.per_epoch

    def __iter__(self) -> Iterator[int]:
        begin = self.epoch * self.per_epoch
        return iter(range(max(begin, self.first), begin + self.per_epoch))


def _loader(batches: list[ClipBatch], order: Sampler[int] | None = None, num_workers: int = 0) -> DataLoader[ClipBatch]:
    return DataLoader(
        cast(Dataset[ClipBatch], batches),  # a list is all that a loader asks for
        batch_size=None,
        sampler=order,
        num_workers=num_workers,
        multiprocessing_context=worker_context() if num_workers else None,
        worker_init_fn=prepare_worker if num_workers else None,
        persistent_workers=num_workers > 0,
    )


def train(case: Case) -> TrainedRun:
    """Train for two epochs of three steps on the CPU, with validation after each."""
    with tempfile.TemporaryDirectory() as folder:
        return _fit(case, folder, case.build())


def train_killed_and_continued(case: Case, num_workers: int = 0) -> TrainedRun:
    """Do the same, killed in the second epoch and continued from the last checkpoint by another instance.

    Args:
        case: what is trained.
        num_workers: processes that load the batches.
    """
    with tempfile.TemporaryDirectory() as folder:
        with suppress(_Killed):  # as it is meant
            _fit(case, folder, case.build(), num_workers, kill_before=STEPS_BEFORE_KILL)
        # other weights than the first began with: what is not in the checkpoint is not right by chance
        objective = case.build(seed=1)
        newest = Path(folder) / NEWEST
        return _fit(case, folder, objective, num_workers, resume_from=newest, first=STEPS_BEFORE_KILL)


def _fit(
    case: Case,
    folder: str,
    objective: Objective,
    num_workers: int = 0,
    *,
    kill_before: int | None = None,
    resume_from: Path | None = None,
    first: int = 0,
) -> TrainedRun:
    watch = _Watch(kill_before, Path(folder) / NEWEST)
    batches = [case.batch(objective, number) for number in range(EPOCHS * STEPS_PER_EPOCH)]
    with _quiet():
        torch.manual_seed(SEED)
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=EPOCHS,
            default_root_dir=folder,
            logger=False,
            callbacks=[watch],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            use_distributed_sampler=False,
        )
        trainer.fit(
            objective,
            train_dataloaders=_loader(batches, _Numbers(first, STEPS_PER_EPOCH), num_workers),
            val_dataloaders=_loader([case.batch(objective)]),
            ckpt_path=resume_from,
            weights_only=True,
        )
    optimizers = [optimizer.state_dict() for optimizer in trainer.optimizers]
    return TrainedRun(objective.state_dict(), optimizers, watch.losses)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice on loaders and loggers to itself: these runs are not meant to be fast."""
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    lightning.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        lightning.setLevel(level)


# --- one step on one process and on two ---


def step(objective: Objective, batch: ClipBatch) -> Any:
    """Run `training_step` outside a trainer, where nothing is logged, and return what it gives, a loss or not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*trying to `self.log.*")
        return objective.training_step(batch, 0)


def gradients_of_a_step(case: Case, share: slice = slice(None)) -> dict[str, Tensor]:
    """Return loss and gradients of a step, the statistics of a share of the batch aside.

    BatchNorm layers take their running statistics, or those of all processes (`Case.synchronised`). Those of a share
    are another network's on another number of processes, and not the objective's affair.

    Args:
        case: what is run.
        share: the videos of the batch that this process takes.

    Returns:
        ``loss`` and the gradient of every parameter that gets one, by its name.
    """
    objective = case.build()
    if case.synchronised:
        synchronised(objective)
    for module in objective.modules():
        if isinstance(module, BATCH_NORMS) and not case.synchronised:
            module.eval()
    loss = step(objective, case.batch(objective).part(share))
    loss.backward()
    named = {f"gradient of {name}": p.grad for name, p in objective.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), **named}


def gradients_on_two_processes(cases: Sequence[Case]) -> list[dict[str, Tensor]]:
    """Return, for each case, what `gradients_of_a_step` gives on two processes with half of the videos each.

    The processes are started once for all cases (gloo, CPU); loss and gradients are their means, as with DDP.

    Raises:
        torch.multiprocessing.ProcessRaisedException: a step failed on a process; the message holds its traceback.
    """
    with tempfile.TemporaryDirectory() as folder:
        spawn(_run_steps, args=(list(cases), folder), nprocs=WORLD_SIZE)
        files = [_result_file(folder, number) for number in range(len(cases))]
        return [torch.load(file, weights_only=True) for file in files]


def _result_file(folder: str, number: int) -> Path:
    return Path(folder) / f"case{number}.pt"


def _run_steps(rank: int, cases: Sequence[Case], folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD_SIZE, timeout=PROCESS_TIMEOUT
    )
    try:
        for number, case in enumerate(cases):
            size = case.clips.num_videos // WORLD_SIZE
            results = gradients_of_a_step(case, slice(rank * size, (rank + 1) * size))
            for value in results.values():
                distributed.all_reduce(value)
                value /= WORLD_SIZE
            if rank == 0:
                torch.save(results, _result_file(folder, number))
    finally:
        distributed.destroy_process_group()
