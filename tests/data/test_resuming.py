"""A run that continues gets the very next batch, with and without loader workers."""

import pytest
import torch
from evaluation_setup import BARE
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from vidssl.data.datamodule import VideoDataModule
from vidssl.data.plan import AugmentationRecipe
from vidssl.data.sampling import IntervalSampler
from vidssl.data.settings import EvaluationClips, Loading
from vidssl.errors import VidsslError

EPOCHS, STEPS_PER_EPOCH = 3, 4
AT_STEPS = [f"step={step}" for step in (2, 4, 5, 8, 10)]  # in mid-epoch, at the end of one, after the first of one
AT_ENDS = ["trained-epoch=0", "trained-epoch=1", "validated-epoch=0", "validated-epoch=1"]


class Notes(LightningModule):
    """Notes what comes in each step: rows, first frames and pixels."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.steps = []

    def training_step(self, batch, batch_idx):
        pixels = sum(view.long().sum().item() for view in batch.views)
        self.steps.append((batch.index.tolist(), batch.starts.tolist(), pixels))
        return self.weight.sum()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class CheckpointAfterValidation(ModelCheckpoint):
    """Of another name: Lightning takes callbacks that differ only in when they save for one and the same."""


def data_module(catalog, num_workers, **changes):
    settings = {
        "batch_size": 8,
        "sampler": IntervalSampler(num_frames=2, stride=2),
        "augmentations": [AugmentationRecipe(crop_size=16)],
        "evaluation": EvaluationClips(num_frames=2, resize=16, crop_size=16),
        "loading": Loading(num_workers=num_workers),
    }
    return VideoDataModule(str(catalog), **settings | changes)


def fit(folder, data, ckpt_path=None, callbacks=(), validate=True):
    notes = Notes()
    trainer = Trainer(
        **BARE | {"enable_checkpointing": bool(callbacks)},
        max_epochs=EPOCHS,
        default_root_dir=folder,
        callbacks=list(callbacks),
        num_sanity_val_steps=0,
        limit_val_batches=1 if validate else 0,
        use_distributed_sampler=False,
    )
    trainer.fit(notes, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return notes.steps


@pytest.fixture(scope="module", params=[0, 2], ids="{} workers".format)
def whole_run(request, synthetic_catalog, tmp_path_factory):
    """The steps of a run, the folder of its checkpoints, and its number of workers."""
    folder = tmp_path_factory.mktemp("whole")
    common = {"dirpath": folder, "save_top_k": -1, "enable_version_counter": False}
    keep = [
        ModelCheckpoint(filename="{step}", every_n_train_steps=1, **common),
        ModelCheckpoint(filename="trained-{epoch}", every_n_epochs=1, save_on_train_epoch_end=True, **common),
        CheckpointAfterValidation(
            filename="validated-{epoch}", every_n_epochs=1, save_on_train_epoch_end=False, **common
        ),
    ]
    steps = fit(folder, data_module(synthetic_catalog, request.param), callbacks=keep)
    assert len(steps) == EPOCHS * STEPS_PER_EPOCH
    assert len({str(rows) for rows, _, _ in steps}) == len(steps)
    return steps, folder, request.param


@pytest.mark.parametrize("name", AT_STEPS + AT_ENDS)
def test_it_continues_with_the_next_batch(whole_run, synthetic_catalog, tmp_path, name):
    steps, folder, num_workers = whole_run
    number = int(name.rpartition("=")[2])
    seen = number if name in AT_STEPS else (number + 1) * STEPS_PER_EPOCH
    data = data_module(synthetic_catalog, num_workers)
    assert fit(tmp_path, data, ckpt_path=folder / f"{name}.ckpt") == steps[seen:]


def test_workers_change_nothing(whole_run, synthetic_catalog, tmp_path):
    steps, folder, num_workers = whole_run
    other = data_module(synthetic_catalog, 0 if num_workers else 1)
    assert fit(tmp_path, other, ckpt_path=folder / "step=5.ckpt", validate=False) == steps[5:]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"batch_size": 16},
            "32 videos of an epoch, and the rest would come in another order. data.batch_size was 8 and is 16.",
        ),
        ({"seed": 1}, "seed_everything was 0 and is 1"),
        (
            {"train_split": "all"},
            "number of training videos (data.catalog, data.train_split, data.labelled) was 32 and is",
        ),
        ({"train_split": "test", "batch_size": 8}, "number of training videos"),
    ],
)
def test_another_order_is_refused(whole_run, synthetic_catalog, tmp_path, changes, told):
    _, folder, num_workers = whole_run
    if num_workers:
        pytest.skip("refused before the first worker starts")
    data = data_module(synthetic_catalog, 0, **changes)
    with pytest.raises(VidsslError) as error:
        fit(tmp_path, data, ckpt_path=folder / "step=5.ckpt")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch_size": 4}, "an epoch would have 8 batches and had 4. data.batch_size was 8 and is 4."),
        ({"batch_size": 16}, "an epoch would have 2 batches and had 4"),
    ],
)
def test_between_epochs_another_number_of_batches_is_refused(whole_run, synthetic_catalog, tmp_path, changes, told):
    _, folder, _ = whole_run
    with pytest.raises(VidsslError) as error:
        fit(tmp_path, data_module(synthetic_catalog, 0, **changes), ckpt_path=folder / "step=8.ckpt")
    assert told in str(error.value)


def test_a_data_module_that_continued_a_run_begins_the_next_one_anew(whole_run, synthetic_catalog, tmp_path):
    steps, folder, num_workers = whole_run
    data = data_module(synthetic_catalog, num_workers)
    fit(tmp_path, data, ckpt_path=folder / "step=10.ckpt", validate=False)
    assert fit(tmp_path, data, validate=False) == steps


def test_at_an_epochs_end_it_continues_with_any_order(whole_run, synthetic_catalog, tmp_path):
    _, folder, num_workers = whole_run
    data = data_module(synthetic_catalog, num_workers, seed=1)
    fresh = fit(tmp_path, data_module(synthetic_catalog, num_workers, seed=1), validate=False)
    assert fit(tmp_path, data, ckpt_path=folder / "step=8.ckpt", validate=False) == fresh[8:]


@pytest.mark.parametrize(("epoch", "batches"), [(1, 1), (0, 4), (1, 4)])
def test_a_checkpoint_of_0_1_continues_too(whole_run, synthetic_catalog, tmp_path, epoch, batches):
    steps, folder, num_workers = whole_run
    seen = epoch * STEPS_PER_EPOCH + batches
    checkpoint = torch.load(folder / f"step={seen}.ckpt", weights_only=True)
    state = checkpoint["VideoDataModule"]
    checkpoint["VideoDataModule"] = {"epoch": epoch, "batches": batches, "trained_on": state["trained_on"]}
    torch.save(checkpoint, tmp_path / "old.ckpt")
    assert fit(tmp_path, data_module(synthetic_catalog, num_workers), ckpt_path=tmp_path / "old.ckpt") == steps[seen:]
