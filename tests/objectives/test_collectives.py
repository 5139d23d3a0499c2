"""How often the processes of a run wait for each other in a step, counted; what is logged and noticed all the same."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
import torch
from processes import run_on_processes
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers.logger import DummyLogger
from test_objectives import batch_of, build
from torch import distributed as dist
from torch.utils.data import DataLoader
from vidssl_with_extras import SpoilWeights

from vidssl.errors import VidsslError
from vidssl.jobs.notices import Notices
from vidssl.objectives import OBJECTIVES
from vidssl.runs.interruption import Interrupted, Interruption
from vidssl.runs.step_watch import StepWatch

pytestmark = pytest.mark.filterwarnings("ignore")

COUNTED = ("all_reduce", "all_gather", "broadcast", "barrier", "all_to_all_single", "reduce", "all_gather_object")
LOG_EVERY = 3
STEPS = 5
ROWS = {"all_gather": 1, "all_reduce": 1}  # rows of all processes, and the sum of their gradients
NEEDED = {
    "BYOL": {},
    "CVRL": ROWS,
    # one way for each view of the keys and one for what becomes of them, in an order that every process knows; and the
    # keys of all processes for the queue
    "MCL": {"all_to_all_single": 4, "all_gather": 1},
    "MoCo": {"all_to_all_single": 2, "all_gather": 1},
    "SimCLR": ROWS,
    "SimSiam": {},
    "SwAV": {"all_gather": 1},
    "VICReg": ROWS,
}
MORE = {"MCL": 2}  # one that is logged compares a video with the motion of others, which may be another process's


class Counting(Callback):
    """Counts the calls of each step, without the reduction of gradients, which DistributedDataParallel does itself."""

    def __init__(self):
        self.steps = []

    def on_train_batch_start(self, *args):
        self.steps.append(Counter())

    def on_train_epoch_end(self, *args):
        self.steps.append(Counter())  # of what follows

    def install(self, monkeypatch):
        for name in COUNTED:
            monkeypatch.setattr(dist, name, self._counted(name, getattr(dist, name)))

    def _counted(self, name, call):
        def counted(*args, **kwargs):
            if self.steps:
                self.steps[-1][name] += 1
            return call(*args, **kwargs)

        return counted


class Written(DummyLogger):
    """Keeps what is logged, by step."""

    def __init__(self):
        super().__init__()
        self.rows = {}

    def log_metrics(self, metrics, step):
        self.rows.setdefault(step, {}).update(metrics)


class Own(Callback):
    """Keeps what each step gave on this process."""

    def __init__(self):
        self.terms = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.terms.append({name: float(value) for name, value in pl_module.logged_terms.items()})


def fit(name, *callbacks, rank=0, world_size=1, steps=STEPS, **settings):
    """Train on batches of this process's own, with what the command line gives every run."""
    notices, written = Notices(), Written()
    objective = build(name)
    trainer = Trainer(
        limit_val_batches=0,
        **{"accelerator": "cpu", "devices": world_size, "strategy": "ddp" if world_size > 1 else "auto"},
        **{"max_epochs": 1, "logger": written, "use_distributed_sampler": False, "log_every_n_steps": LOG_EVERY},
        **{"enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": os.getcwd()} | settings,
        callbacks=[StepWatch(notices), *callbacks, Interruption(Path(), notices)],
    )
    batches = [batch_of(objective, 4, STEPS * rank + step) for step in range(steps)]
    trainer.fit(objective, DataLoader(batches, batch_size=None))
    return trainer, written.rows


def _count(rank, world_size, folder):
    os.environ["LOCAL_RANK"] = str(rank)  # as launchers do
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in OBJECTIVES.names():
            counting, own = Counting(), Own()
            counting.install(monkeypatch)
            _, rows = fit(name, counting, own, rank=rank, world_size=world_size)
            monkeypatch.undo()
            first, second, logged, fourth, last, after = counting.steps
            assert second == fourth == NEEDED[name], name
            assert (logged - second).total() == MORE.get(name, 1), name
            assert first - second == {"all_reduce": 1}, name
            # what is read after an epoch, and whether a signal came before the evaluation
            assert last - second == {"all_reduce": 2, "barrier": 1}, name
            assert after == {"all_gather": 1}, name  # whether a loss was not finite
            told = [None] * world_size
            dist.all_gather_object(told, own.terms[LOG_EVERY - 1])
            means = {key: sum(of_one[key] for of_one in told) / world_size for key in told[0]}
            assert list(rows) == [LOG_EVERY - 1] or rank, name
            assert rank or {key: rows[2][key] for key in means} == pytest.approx(means, rel=1e-6), name


def test_a_step_waits_for_what_its_method_needs_and_once_more_where_it_is_logged(tmp_path):
    run_on_processes(_count, 2, tmp_path)


class Ends(Callback):
    """Sends this process a signal, or asks for the end, in the step before a number of them are done."""

    def __init__(self, steps, number=None):
        self.steps, self.number = steps, number

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.steps and self.number is None:
            trainer.should_stop = True
        elif trainer.global_step == self.steps:
            os.kill(os.getpid(), self.number)


def _end_together(rank, world_size, folder):
    os.environ["LOCAL_RANK"] = str(rank)
    os.chdir(folder)
    Path("checkpoints").mkdir(exist_ok=True)
    own = Own()
    with pytest.raises(VidsslError) as told:
        fit("BYOL", SpoilWeights(2, rank=1), own, rank=rank, world_size=world_size)
    assert str(told.value).startswith(
        "The loss is nan after 2 steps" if rank else "The loss is not finite on process 1"
    )
    assert len(own.terms) == 2
    own = Own()
    with pytest.raises(Interrupted):
        fit("BYOL", *([Ends(2, signal.SIGTERM)] if rank else []), own, rank=rank, world_size=world_size)
    assert len(own.terms) == 3  # the others know after the next one
    if rank == 0:
        assert torch.load("checkpoints/last.ckpt", weights_only=True)["global_step"] == 3


def test_processes_end_after_the_same_step_though_none_waits_to_ask(tmp_path):
    run_on_processes(_end_together, 2, tmp_path)


def test_a_step_at_which_a_callback_ends_the_run_is_written_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = Own()
    _, rows = fit("SimSiam", own, Ends(4))
    assert list(rows) == [2, 3]
    for step, row in rows.items():
        assert row["train/loss"] == pytest.approx(own.terms[step]["train/loss"])
        assert row["train/learning_rate"] > 0


def test_who_monitors_a_value_gets_it_in_every_step_and_who_asks_after_a_run_gets_the_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = Own()
    keep = ModelCheckpoint(tmp_path, monitor="train/loss", every_n_train_steps=2, save_top_k=-1)
    fit("SimSiam", own, keep)
    scores = {float(score) for score in keep.best_k_models.values()}
    assert scores == {own.terms[1]["train/loss"], own.terms[3]["train/loss"]}
    trainer, _ = fit("SimSiam", own := Own(), max_steps=2)
    assert trainer.callback_metrics["train/loss"].item() == own.terms[-1]["train/loss"]
    assert len(own.terms) == 2
