"""Small data and networks for tests of evaluation."""

import os
from dataclasses import replace

import torch

from vidssl.catalogs.catalog import Catalog, write_catalog
from vidssl.data.augmentation import AugmentationRecipe
from vidssl.data.datamodule import VideoDataModule
from vidssl.data.sampling import IntervalSampler
from vidssl.data.settings import EvaluationClips, Loading
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec

CLIPS = EvaluationClips(num_frames=4, num_clips=2, resize=36, crop_size=32, batch_size=5)
NUM_GROUPS = 4
QUIET = {"accelerator": "cpu", "devices": 1, "enable_progress_bar": False}
BARE = {**QUIET, "logger": False, "enable_checkpointing": False, "enable_model_summary": False}


def grouped_catalog(source, folder, num_train=23, num_test=13):
    """Write a catalog of some of the videos of `source`, with groups and both splits together as "both"."""
    catalog = Catalog.open(source)
    chosen = [*catalog.split("train")[:num_train], *catalog.split("test")[:num_test]]
    rows = [
        replace(catalog[int(row)], group=number // len(catalog.classes) % NUM_GROUPS)
        for number, row in enumerate(chosen)
    ]
    train, test = list(range(num_train)), list(range(num_train, len(rows)))
    file = folder / "grouped.catalog"
    write_catalog(
        file,
        rows,
        classes=catalog.classes,
        group_names=[f"person {number}" for number in range(NUM_GROUPS)],
        splits={"train": train, "test": test, "both": [*train, *test]},
        root=catalog.root,
        source={"kind": "test"},
    )
    return file


def data_of(catalog, **settings):
    recipes = [AugmentationRecipe(crop_size=32)] * 2
    defaults = {
        "batch_size": 6,  # of 23 videos: 3 steps per epoch
        "sampler": IntervalSampler(num_frames=4, stride=2),
        "augmentations": recipes,
        "evaluation": CLIPS,
        "loading": Loading(num_workers=0),
    }
    return VideoDataModule(str(catalog), **{**defaults, **settings})


class Drawing(Objective):
    """Draws from torch's global generator in every step, from one stream for the whole run, in evaluation too."""

    def __init__(self, backbone: BackboneSpec = BackboneSpec(name="small"), optimizer: OptimizerSpec = OptimizerSpec()):
        super().__init__(backbone, optimizer)

    def on_train_batch_start(self, batch, batch_idx):
        pass  # the base would key the generator anew, and hide what evaluation did to it

    def training_step(self, batch, batch_idx):
        features = self.backbone(self.network_input(batch.views))
        return (torch.nn.functional.dropout(features, 0.5) * torch.randn_like(features)).mean()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        torch.rand(3)
        return self.features(batch)


def drawing():
    torch.manual_seed(0)
    return Drawing(optimizer=OptimizerSpec(learning_rate=0.1, warmup_epochs=0))


def as_torchrun(rank, world_size):
    """Tell Lightning that these processes were started by torchrun."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "test"}
    os.environ.update({name: str(value) for name, value in told.items()}, LOCAL_WORLD_SIZE=str(world_size))
