"""A run that is killed right after any checkpoint, and continued, logs and learns what the whole run does."""

import random
import shutil

import numpy as np
import pytest
import torch
from evaluation_setup import BARE
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, Dataset

from vidssl.data.datamodule import VideoDataModule
from vidssl.data.dataset import ClipSample
from vidssl.data.settings import Loading
from vidssl.runs.background_checkpoints import BackgroundCheckpointIO
from vidssl.runs.continuation import Continuation
from vidssl.runs.metrics_csv import MetricsCSV
from vidssl.runs.metrics_file import METRICS_FILE, read_metrics

LIMITS = {
    "epochs": {"max_epochs": 3},
    "steps": {"max_steps": 12, "max_epochs": -1},
    "steps in mid-epoch": {"max_steps": 10, "max_epochs": -1},
    "two evaluations an epoch": {"max_epochs": 2, "val_check_interval": 0.5},
    "an evaluation every other epoch": {"max_epochs": 4, "check_val_every_n_epoch": 2},
    "evaluations by step": {
        "max_steps": 10,
        "max_epochs": -1,
        "check_val_every_n_epoch": None,
        "val_check_interval": 3,
    },
    "accumulated gradients": {"max_epochs": 3, "accumulate_grad_batches": 2},
}
TRIED, AGAIN = 12, 5
"""Of each of `LIMITS`: moments after which a run is continued, and after which a continued run is continued."""

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed")


class Rows(Dataset):
    """Clips of one pixel."""

    def __getitem__(self, pair):
        epoch, row = pair
        return ClipSample([np.full((1, 1, 1, 3), (7 * epoch + row) % 256, np.uint8)], 0, row, (0,))


class Data(VideoDataModule):
    """The order and the state of the real one, without videos."""

    def train_dataset(self):
        return Rows()

    def val_dataloader(self):
        return DataLoader([torch.zeros(1)])


class Network(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        loss = (self.weight - batch.views[0].float() / 255).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("eval/weight", self.weight.mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


class EpochEnd(ModelCheckpoint):
    """Of another name: Lightning takes callbacks that differ only in when they save for one and the same."""


class Moments(BackgroundCheckpointIO):
    """Keeps the folder as a kill right after each checkpoint would leave it."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.number = folder, 0

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        super().save_checkpoint(checkpoint, path, storage_options)
        self.wait()
        moment = self.folder / f"moment-{self.number}"
        moment.mkdir()
        shutil.copy(path, moment / "last.ckpt")
        if (self.folder / METRICS_FILE).exists():
            shutil.copy(self.folder / METRICS_FILE, moment)
        self.number += 1


def fit(folder, catalog, limits, ckpt_path=None):
    """Train, and return the weight, the rows of the metrics and the folders as kills would leave them."""
    data = Data(str(catalog), batch_size=8, loading=Loading(num_workers=0))
    kept = {"dirpath": folder / "checkpoints", "save_top_k": -1, "enable_version_counter": False}
    callbacks = [
        Continuation(),
        ModelCheckpoint(filename="{step}", every_n_train_steps=1, save_last=True, **kept),
        EpochEnd(filename="{epoch}", every_n_epochs=1, save_on_train_epoch_end=True, **kept),
    ]
    trainer = Trainer(
        **BARE | {"enable_checkpointing": True, "logger": MetricsCSV(str(folder))},
        **limits,
        default_root_dir=folder,
        callbacks=callbacks,
        plugins=[Moments(folder)],
        log_every_n_steps=1,
        use_distributed_sampler=False,
    )
    network = Network()
    trainer.fit(network, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    moments = sorted(folder.glob("moment-*"), key=lambda moment: int(moment.name.rpartition("-")[2]))
    return network.weight.item(), read_metrics(folder), moments


def continued(moment, folder, catalog, limits):
    folder.mkdir()
    if (moment / METRICS_FILE).exists():
        shutil.copy(moment / METRICS_FILE, folder)
    return fit(folder, catalog, limits, moment / "last.ckpt")


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_it_is_the_whole_run(synthetic_catalog, tmp_path, limits):
    weight, rows, moments = fit(tmp_path / "whole", synthetic_catalog, limits)
    draw = random.Random(str(limits))
    later = []
    for moment in draw.sample(moments, TRIED):
        *learned, more = continued(moment, tmp_path / moment.name, synthetic_catalog, limits)
        assert learned == [weight, rows], moment
        later += more
    for number, moment in enumerate(draw.sample(later, AGAIN)):
        again = continued(moment, tmp_path / f"again-{number}", synthetic_catalog, limits)
        assert again[:2] == (weight, rows), moment


def test_a_later_death_changes_nothing(synthetic_catalog, tmp_path):
    limits = LIMITS["epochs"]
    weight, rows, moments = fit(tmp_path / "whole", synthetic_catalog, limits)
    for moment in moments[::3]:
        shutil.copy(tmp_path / "whole" / METRICS_FILE, moment)
        assert continued(moment, tmp_path / moment.name, synthetic_catalog, limits)[:2] == (weight, rows)
