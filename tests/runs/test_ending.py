"""Whether a run reached its end, and what kept it from it."""

import contextlib
import signal

import pytest
import torch
from evaluation_setup import BARE
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, Timer
from torch.utils.data import DataLoader

from vidssl.runs.ending import how_it_broke_off, how_it_ended


class Flat(LightningModule):
    """Learns nothing: its loss stays 1."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, batch_idx):
        loss = self.weight.sum()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


class AtStep(Callback):
    """Does something before a step."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            self.act(trainer)


class Noting(Callback):
    def on_fit_end(self, trainer, pl_module):
        self.ended = how_it_ended(trainer)

    def on_exception(self, trainer, pl_module, exception):
        self.ended = how_it_broke_off(trainer, exception)


def ended(*callbacks, **settings):
    noting = Noting()
    trainer = Trainer(
        callbacks=[*callbacks, noting],
        **{**BARE, "max_epochs": 3, **settings},
    )
    with contextlib.suppress(RuntimeError, SystemExit):
        trainer.fit(Flat(), DataLoader(torch.zeros(4, 1)))
    return noting.ended


def raising(exception):
    def act(trainer):
        raise exception

    return act


def stop(trainer):
    trainer.should_stop = True


@pytest.mark.parametrize("settings", [{}, {"max_steps": 5}, {"max_epochs": 9, "max_steps": 2}, {"max_epochs": 1}])
def test_the_last_epoch_or_step_completes_a_run(settings):
    assert ended(**settings) == "completed"


@pytest.mark.parametrize(
    ("callbacks", "settings", "told"),
    [
        ([Timer("00:00:00:00")], {}, "stopped: max_time at step 0 of 12"),
        ([Timer("00:00:00:00")], {"max_steps": 7}, "stopped: max_time at step 0 of 7"),
        ([EarlyStopping("loss", patience=1)], {}, "stopped: early stopping on loss at step 8 of 12"),
        ([AtStep(5, stop)], {}, "stopped: trainer.should_stop was set at step 6 of 12"),
        ([AtStep(5, raising(KeyboardInterrupt()))], {}, "stopped: SIGINT at step 5 of 12"),
        ([AtStep(5, raising(SystemExit(128 + signal.SIGTERM)))], {}, "stopped: SIGTERM at step 5 of 12"),
        ([AtStep(5, raising(RuntimeError("no more. Or\nlines")))], {}, "failed: RuntimeError at step 5 of 12: no more"),
        ([AtStep(2, stop)], {"accumulate_grad_batches": 2}, "stopped: trainer.should_stop was set at step 2 of 6"),
    ],
)
def test_what_kept_a_run_from_its_end_is_recorded(callbacks, settings, told):
    assert ended(*callbacks, **settings) == told
