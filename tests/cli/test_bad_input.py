"""Bad input and a bad environment at run time: exit code 2 and one message, no traceback."""

import csv
import errno
import os
import pickle
import shutil
import subprocess
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
import yaml

from vidssl.catalogs.catalog import Catalog, write_catalog
from vidssl.catalogs.file_state import FileState
from vidssl.cli.main import main, worker_message
from vidssl.errors import VidsslError
from vidssl.runs.checkpoint_io import AtomicCheckpointIO

QUIET = ["--wandb.mode", "disabled", "--trainer.max_steps", "2"]
NO_EVALUATION = ["--trainer.limit_val_batches", "0"]


def message(capsys, *args):
    capsys.readouterr()
    assert main([str(arg) for arg in args]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert told.count("vidssl: error:") == 1
    return told.split("vidssl: error: ")[1].strip()


# --- videos ---


@pytest.fixture
def damaged_config(small_config, synthetic_catalog, real_videos, tmp_path):
    """The small configuration, on copies of the videos in which the first ones were replaced by damaged files."""
    damaged = sorted((real_videos / "edge" / "derived").iterdir())
    shutil.copytree(synthetic_catalog.parent, tmp_path / "videos")
    catalog = Catalog.open(tmp_path / "videos" / synthetic_catalog.name)
    for file, row in zip(damaged, catalog.split("train"), strict=False):
        shutil.copyfile(file, catalog.root / catalog.path(int(row)))
    # as if they had rotted on the disk unseen: what the catalog knows of their files is what is there
    rows = [replace(row, **asdict(FileState.of(catalog.root / row.path))) for row in catalog]
    splits = {name: catalog.split(name).copy() for name in catalog.split_names}
    contents = {"classes": catalog.classes, "group_names": [], "splits": splits, "root": ".", "source": {}}
    write_catalog(catalog.file, rows, **contents)
    config = yaml.safe_load(small_config.read_text())
    config["data"]["catalog"] = str(tmp_path / "videos" / synthetic_catalog.name)
    small_config.write_text(yaml.safe_dump(config))
    return small_config


@pytest.mark.parametrize("num_workers", [0, 1])
def test_damaged_videos_stop_the_run_above_the_limit_and_are_listed(damaged_config, capsys, num_workers):
    workers = ["--data.loading.num_workers", num_workers]
    told = message(capsys, "fit", "--config", damaged_config, *QUIET, *NO_EVALUATION, *workers)
    assert "of 32 training videos cannot be read, more than data.loading.max_bad_fraction = 0.01 allows:\n" in told
    assert "  train/" in told


def test_damaged_videos_below_the_limit_are_replaced(damaged_config, capsys):
    allowed = ["--data.loading.max_bad_fraction", "0.5", "--trainer.max_steps", "4", "--wandb.mode", "disabled"]
    assert main(["fit", "--config", str(damaged_config), *NO_EVALUATION, *allowed]) == 0
    # audio only, index missing, not a video, empty: never readable; the others as far as their frames go
    replaced = int(capsys.readouterr().out.split(" videos could not be read and were replaced")[0].split()[-1])
    assert 4 <= replaced <= 8
    with next(damaged_config.parent.glob("runs/*/metrics.csv")).open() as file:
        counts = [row["data/unreadable_videos"] for row in csv.DictReader(file)]
    assert float([count for count in counts if count][-1]) == replaced


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_video_is_an_error_in_evaluation(damaged_config, capsys, num_workers):
    workers = ["--data.loading.num_workers", num_workers]
    told = message(capsys, "validate", "--config", damaged_config, *workers)
    assert told.endswith("00000.mp4: no video stream")


def test_a_folder_without_the_videos_is_told_by_workers_too(small_config, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    args = ["fit", "--config", small_config, *QUIET, *NO_EVALUATION, "--data.root", tmp_path / "empty"]
    told = message(capsys, *args, "--data.loading.num_workers", 1)
    assert told.startswith("20 videos in a row could not be read, the first train/")
    assert told.endswith(f"Is data.root right? It is {tmp_path / 'empty'}.")


def test_an_empty_folder_and_a_list_naming_absent_videos(tmp_path, capsys):
    videos = tmp_path / "videos"
    videos.mkdir()
    told = message(capsys, "prepare", "flat", "--videos", videos, "--output", tmp_path / "x.catalog")
    assert told.startswith(f"There is no video in {videos} nor in its subfolders")
    listed = tmp_path / "list.csv"
    listed.write_text("path,label\nabsent.mp4,run\n")
    absent = ["--list-file", listed, "--videos", videos]
    told = message(capsys, "prepare", "csv", *absent, "--output", tmp_path / "x.catalog")
    assert told.startswith(f"None of the 1 listed videos is in {videos} (looked for absent.mp4")
    assert not (tmp_path / "x.catalog").exists()


def test_a_split_without_videos_to_evaluate_is_told_before_training(small_config, capsys):
    told = message(capsys, "fit", "--config", small_config, *QUIET, "--data.evaluation.query_split", "tset")
    assert "has no split 'tset'. Did you mean 'test'?" in told


def test_videos_that_would_find_themselves_are_told_before_training(small_config, capsys):
    told = message(capsys, "fit", "--config", small_config, *QUIET, "--data.evaluation.query_split", "all")
    assert (
        "gallery_split 'train' and query_split 'all' share 32 videos, each of which knn, retrieval/mean would" in told
    )


def test_too_little_shared_memory_is_one_message(small_config, capsys, monkeypatch):
    monkeypatch.setattr("vidssl.data.shared_memory.disk_usage", lambda folder: SimpleNamespace(free=64_000))
    workers = ["--data.loading.num_workers", "1"]
    told = message(capsys, "fit", "--config", small_config, *QUIET, *NO_EVALUATION, *workers)
    assert told.startswith("Too little shared memory: 1 processes x 3 batches x 8 videos")


def test_what_a_worker_raised_is_told_without_its_traceback():
    traceback = "Caught {0} in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File x\n"
    ours = VidsslError(traceback.format("VidsslError") + "vidssl.errors.VidsslError: two\nlines\n")
    assert worker_message(ours) == "two\nlines"
    wrapped = RuntimeError(
        traceback.format("DecodingError") + "ValueError: inner\n\nThe above exception was the direct cause of "
        "the following exception:\n\n  File\nvidssl.data.decoders.reader.DecodingError: a.mp4: bad\n"
    )
    assert worker_message(wrapped) == "a.mp4: bad"
    assert worker_message(RuntimeError(traceback.format("KeyError") + "KeyError: 'x'\n")) is None
    assert worker_message(RuntimeError("anything else")) is None
    lost = RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. More.\n")
    assert "docker run --shm-size" in worker_message(lost)


# --- checkpoints ---


@pytest.fixture(scope="module")
def checkpoint(synthetic_catalog, tmp_path_factory):
    """A checkpoint of one step, and the configuration it was trained with."""
    folder = tmp_path_factory.mktemp("trained")
    config = {
        "run_dir": str(folder / "run"),
        "wandb": {"mode": "disabled"},
        "model": {"class_path": "CVRL", "init_args": {"backbone": {"name": "small"}, "head": {"hidden_dims": [8]}}},
        "data": {
            "catalog": str(synthetic_catalog),
            "batch_size": 4,
            "sampler": {"class_path": "IntervalSampler", "init_args": {"num_frames": 2, "stride": 2}},
            "augmentations": [{"crop_size": 32}, {"crop_size": 32}],
            "loading": {"num_workers": 0},
        },
        "trainer": {"accelerator": "cpu", "max_steps": 1, "limit_val_batches": 0, "enable_progress_bar": False},
    }
    config["trainer"]["callbacks"] = [{"class_path": "ModelCheckpoint", "init_args": {"save_last": True}}]
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", str(file)]) == 0
    return folder / "run" / "checkpoints" / "last.ckpt", file


@pytest.mark.parametrize("verb", ["fit", "validate", "predict"])
def test_a_checkpoint_of_another_architecture_says_what_differs(checkpoint, capsys, verb):
    last, config = checkpoint
    before = (last.parent.parent / "config.yaml").read_bytes()
    told = message(capsys, verb, "--config", config, "--ckpt_path", last, "--model.backbone.options.width", "2")
    assert told.startswith(f"ckpt_path: {last} is of another architecture (CVRL of small, here CVRL of small {{'width'")
    assert "tensors of another shape (backbone.stem.0.weight is (16, 3, 3, 5, 5), not (32, 3, 3, 5, 5)" in told
    told = message(capsys, verb, "--config", config, "--ckpt_path", last, "--model.backbone.name", "mc3_18")
    assert "missing in the file (" in told
    assert "only in the file (" in told
    assert (last.parent.parent / "config.yaml").read_bytes() == before


def test_files_that_are_no_checkpoint_are_named(checkpoint, tmp_path, capsys):
    last, config = checkpoint
    file = tmp_path / "bad.ckpt"
    for content in (b"", b"hello", last.read_bytes()[:100_000], pickle.dumps(print)):
        file.write_bytes(content)
        for key in ("--ckpt_path", "--model.backbone.weights"):
            told = message(capsys, "fit", "--config", config, key, file)
            assert f"{file} is not a checkpoint that torch can read" in told
    torch.save({"conv.weight": torch.zeros(3)}, file)
    told = message(capsys, "fit", "--config", config, "--ckpt_path", file)
    assert "is not a checkpoint of a run of vidssl fit" in told


def test_weights_of_another_architecture_are_told(checkpoint, capsys):
    last, config = checkpoint
    told = message(
        capsys, "fit", "--config", config, "--model.backbone.weights", last, "--model.backbone.name", "mc3_18"
    )
    assert str(last) in told


# --- disks ---


def test_a_read_only_output_folder_is_told_before_training(small_config, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    told = message(capsys, "fit", "--config", small_config, "--run_dir", tmp_path / "file" / "run")
    assert told.startswith("run_dir: cannot write to")


def fill_the_disk(monkeypatch):
    """No checkpoint fits on the disk any more."""
    sync = os.fsync

    def full(file):
        if ".ckpt" in os.readlink(f"/proc/self/fd/{file}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    monkeypatch.setattr("vidssl.storage.files.os.fsync", full)


def test_a_disk_that_fills_up_is_one_message_and_leaves_no_half_checkpoint(small_config, capsys, monkeypatch, tmp_path):
    fill_the_disk(monkeypatch)
    told = message(capsys, "fit", "--config", small_config, *QUIET, *NO_EVALUATION)
    assert told.startswith("No space left on device: where the run writes. Nothing more was written; make room")
    left = (tmp_path / "runs" / "small" / "checkpoints").iterdir()
    assert [file.name for file in left if file.suffix != ".list"] == []  # the list of training videos fitted


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_real_full_disk(small_config, capsys, monkeypatch, tiny_disk):
    told = message(capsys, "fit", "--config", small_config, *QUIET, "--run_dir", tiny_disk / "run")
    assert "run_dir: only 1 MB are free" in told
    # filling up during the run: the check beforehand is switched off
    monkeypatch.setattr(
        "vidssl.cli.trainer_verbs.check_writable", lambda folder: folder.mkdir(parents=True, exist_ok=True)
    )
    told = message(capsys, "fit", "--config", small_config, *QUIET, *NO_EVALUATION, "--run_dir", tiny_disk / "run")
    assert told.startswith("No space left on device")
    assert not list(tiny_disk.rglob("*.ckpt*"))


def test_a_checkpoint_replaces_the_last_one_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, file)

    fill_the_disk(monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        AtomicCheckpointIO().save_checkpoint({"step": 2}, file)
    assert torch.load(file, weights_only=True) == {"step": 1}
    assert [left.name for left in tmp_path.iterdir()] == ["last.ckpt"]
