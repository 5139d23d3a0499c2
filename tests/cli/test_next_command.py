"""The command suggested after preparing runs, whatever the catalog holds."""

import shlex

import pytest

from vidssl.catalogs.catalog import Catalog, write_catalog
from vidssl.cli.main import main
from vidssl.cli.prepare.next_steps import next_command, split_command
from vidssl.runs.metrics_csv import read_metrics

TRAIN, TEST = range(32), range(32, 48)
# a small network on a CPU in place of what the configurations say for GPUs
SMALL = """
model:
  init_args:
    backbone: {name: small, options: {}}
    head: {hidden_dims: [16], embedding_dim: 8}
    optimizer: {warmup_epochs: 0}
data:
  batch_size: 8
  sampler: {class_path: IntervalSampler, init_args: {num_frames: 4, stride: 2}}
  augmentations: [{crop_size: 32}, {crop_size: 32}]
  evaluation: {num_frames: 4, num_clips: 1, resize: 32, crop_size: 32}
  loading: {num_workers: 0}
trainer: {accelerator: cpu, devices: 1, num_nodes: 1, strategy: auto, precision: 32, sync_batchnorm: false,
  max_epochs: 1, limit_train_batches: 1, check_val_every_n_epoch: 1, log_every_n_steps: 1, enable_progress_bar: false}
"""


@pytest.fixture
def catalog_with(synthetic_catalog, tmp_path):
    videos = Catalog.open(synthetic_catalog)

    def write(name, kind, splits, labelled=True):
        file = tmp_path / f"{name}.catalog"
        rows = list(videos)
        if not labelled:
            rows = [type(row)(row.path, -1, -1, *(getattr(row, key) for key in row.__slots__[3:])) for row in rows]
        write_catalog(
            file, rows, classes=videos.classes, group_names=[], splits=splits, root=videos.root, source={"kind": kind}
        )
        return file

    return write


def test_a_split_is_suggested_where_there_is_none_and_classes_to_measure(catalog_with):
    folders = catalog_with("folders", "class_folders", {})
    command = split_command(Catalog.open(folders), "data/folders.catalog")
    assert command == "vidssl split data/folders.catalog --test-share 0.3 --output data/folders_split.catalog"
    for others in ({"train": TRAIN}, True), ({}, False):
        file = catalog_with("others", "csv", *others)
        assert split_command(Catalog.open(file), file) is None


@pytest.mark.parametrize(
    ("name", "kind", "splits", "labelled", "flags", "metric"),
    [
        ("ucf101", "ucf101", {"train1": TRAIN, "test1": TEST}, True, "", "eval/ucf101/retrieval/mean/recall_at_1"),
        ("mine", "hmdb51", {"train1": TRAIN, "test1": TEST}, True, " --data.name mine", "eval/mine/knn/top1"),
        ("kinetics400", "kinetics", {"train": TRAIN, "val": TEST}, True, "", "eval/kinetics400/knn/top1"),
        ("k", "kinetics", {"val": TEST}, True, " --data.train_split all", None),
        (
            "ssv2",
            "ssv2",
            {"test": [], "train": TRAIN, "val": TEST},
            True,
            " --data.evaluation.query_split val",
            "eval/",
        ),
        ("folders", "class_folders", {}, True, " --trainer.limit_val_batches 0", None),
        ("flat", "flat", {}, False, " --trainer.limit_val_batches 0", None),
        ("table", "csv", {"train": TRAIN, "test": TEST}, False, " --trainer.limit_val_batches 0", None),
    ],
)
def test_the_suggested_command_runs(catalog_with, tmp_path, monkeypatch, name, kind, splits, labelled, flags, metric):
    file = catalog_with(name, kind, splits, labelled)
    command = next_command(Catalog.open(file), file)
    assert command.startswith("vidssl fit --config configs/")
    assert flags in command
    assert " --data.batch_size " in command  # fewer videos than a batch of the configuration
    (tmp_path / "small.yaml").write_text(SMALL)
    monkeypatch.setenv("VIDSSL_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    args = shlex.split(command)[2:]
    extra = ["--config", str(tmp_path / "small.yaml"), "--wandb.mode", "disabled"]
    # the test's own file goes behind the suggested one, whose flags stay the last
    assert main(["fit", *args[:2], *extra, *args[2:], "--data.batch_size", "8"]) == 0
    logged = {key for row in read_metrics(tmp_path / "run") for key in row}
    assert "train/loss" in logged
    assert any(key.startswith(metric or "eval/") for key in logged) == (metric is not None)
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").exists() == (metric is not None)
