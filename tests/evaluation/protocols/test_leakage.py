import hashlib
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch

from vidssl.catalogs.catalog import Catalog, write_catalog
from vidssl.catalogs.copies import copies_told
from vidssl.cli.main import main
from vidssl.data.training_history import (
    TrainedSplit,
    history_as_text,
    history_from_text,
    history_of,
    merged,
    training_history,
    video_keys,
)
from vidssl.errors import VidsslError
from vidssl.evaluation.protocols.leakage import check_unseen, seen_in_training


def copied(synthetic_catalog, file, rename=lambda path: path):
    """The same videos in another catalog, under other paths, in another order."""
    old = Catalog.open(synthetic_catalog)
    rows = [
        type(row)(rename(row.path), *(getattr(row, key) for key in row.__slots__[1:])) for row in reversed(list(old))
    ]
    write_catalog(file, rows, classes=old.classes, group_names=old.group_names, splits={}, root=old.root, source={})
    return Catalog.open(file)


def test_rows_of_the_same_catalog_are_compared_by_number(synthetic_catalog):
    catalog = Catalog.open(synthetic_catalog)
    history = [TrainedSplit.of(catalog, "train")]
    assert len(seen_in_training(history, catalog, catalog.split("test"))) == 0
    assert seen_in_training(history, catalog, catalog.split("train")).tolist() == catalog.split("train").tolist()
    assert len(seen_in_training(history, catalog, catalog.split("all"))) == 32
    assert seen_in_training(None, catalog, catalog.split("all")) is None


def test_videos_are_known_again_in_another_catalog(synthetic_catalog, tmp_path):
    def rename(path):
        return f"elsewhere/{path.rsplit('.', 1)[0].upper()}.mkv"

    old = Catalog.open(synthetic_catalog)
    other = copied(synthetic_catalog, tmp_path / "other.catalog", rename)
    assert other.digest != old.digest
    assert video_keys(other, other.split("all"))[::-1].tolist() == video_keys(old, old.split("all")).tolist()
    seen = seen_in_training([TrainedSplit.of(old, "train")], other, other.split("all"))
    assert len(seen) >= 32
    assert set(len(old) - 1 - old.split("train")) <= set(seen.tolist())


def test_the_history_survives_a_checkpoint_of_plain_values(synthetic_catalog, tmp_path):
    catalog = Catalog.open(synthetic_catalog)
    parts = [TrainedSplit.of(catalog, split) for split in ("train", "test", "train")]
    state = [part.state() for part in merged(parts)]
    torch.save({"data": {"trained_on": state}}, tmp_path / "x.ckpt")
    assert (tmp_path / "x.ckpt").stat().st_size < 16 * 48 + 3500
    read = training_history(torch.load(tmp_path / "x.ckpt", weights_only=True))
    assert [part.split for part in read] == ["train", "test"]
    assert all(np.array_equal(a.keys, b.keys) for a, b in zip(read, parts, strict=False))
    assert all(np.array_equal(a.contents, b.contents) for a, b in zip(read, parts, strict=False))
    assert [len(part.contents) for part in read] == [32, 16]
    exported = history_from_text(history_as_text(read))
    assert all(np.array_equal(a.contents, b.contents) for a, b in zip(read, exported, strict=True))
    before = [{key: value for key, value in entry.items() if key != "contents"} for entry in state]
    assert [len(part.contents) for part in history_of(before)] == [0, 0]  # a checkpoint of version 0.1
    assert [part.split for part in history_of(state)] == ["train", "test"]
    assert training_history({"epoch": 3, "data": {}}) is None
    with pytest.raises(VidsslError, match="damaged"):
        training_history({"data": {"trained_on": [{"split": "train"}]}})


def test_training_on_and_starting_from_weights_keep_what_was_trained_on_before(small_config, tmp_path, monkeypatch):
    cheap = ["--trainer.limit_val_batches", "0", "--trainer.num_sanity_val_steps", "0", "--wandb.mode", "disabled"]
    run = tmp_path / "runs" / "small"
    monkeypatch.setenv("VIDSSL_RUN_DIR", str(run))
    assert main(["fit", "--config", str(small_config), *cheap, "--trainer.max_epochs", "1"]) == 0
    last = run / "checkpoints" / "last.ckpt"
    (part,) = training_history(torch.load(last, weights_only=True))
    assert (part.split, len(part.keys)) == ("train", 32)
    more = [
        "--ckpt_path",
        str(last),
        "--data.train_split",
        "test",
        "--data.batch_size",
        "4",
        "--trainer.max_epochs",
        "3",
    ]
    assert main(["fit", "--config", str(small_config), *cheap, *more]) == 0
    history = training_history(torch.load(last, weights_only=True))
    assert [part.split for part in history] == ["train", "test"]
    monkeypatch.setenv("VIDSSL_RUN_DIR", str(tmp_path / "runs" / "next"))
    begun = ["--model.backbone.weights", str(last), "--data.train_split", "all", "--trainer.max_steps", "1"]
    assert main(["fit", "--config", str(small_config), *cheap, *begun]) == 0
    history = training_history(torch.load(tmp_path / "runs" / "next" / "checkpoints" / "last.ckpt", weights_only=True))
    assert [part.split for part in history] == ["train", "test", "all"]


def test_seen_videos_are_refused_by_name(synthetic_catalog, tmp_path):
    catalog = Catalog.open(synthetic_catalog)
    history = [TrainedSplit.of(catalog, "train")]
    rows = catalog.split("all")
    with pytest.raises(VidsslError, match=r"last.ckpt was trained on 32 of the 48 query videos \(.*\), so") as told:
        check_unseen(history, catalog, rows, "last.ckpt", consent="say so")
    assert catalog.path(int(catalog.split("train")[0])) in str(told.value)
    assert "is what you mean, say so; the record then counts them" in str(told.value)
    check_unseen(history, catalog, catalog.split("test"), "last.ckpt", consent="say so")
    check_unseen(None, catalog, rows, "last.ckpt", consent="say so")
    other = copied(synthetic_catalog, tmp_path / "other.catalog")
    with pytest.raises(VidsslError, match="told by file name and number of frames or by what is in the files"):
        check_unseen(history, other, rows, "last.ckpt", consent="say so")


def test_copies_under_other_names_are_seen(synthetic_catalog, tmp_path):
    """In the catalog that was trained on, and in another."""
    old = Catalog.open(synthetic_catalog)
    rows = list(old)
    train, test = old.split("train"), old.split("test")
    copied_rows = [replace(rows[int(test[0])], path="test/renamed.mp4", content=rows[int(train[3])].content)]
    splits = {"train": train, "test": [*test[1:], len(rows)]}
    write_catalog(
        tmp_path / "x.catalog",
        [*rows, *copied_rows],
        classes=old.classes,
        group_names=[],
        splits=splits,
        root=old.root,
        source={},
    )
    catalog = Catalog.open(tmp_path / "x.catalog")
    with pytest.raises(VidsslError, match=r"1 of the 16 query videos \(test/renamed.mp4\), 1 of them as copies under"):
        check_unseen([TrainedSplit.of(catalog, "train")], catalog, catalog.split("test"), "x", consent="say so")
    # the names of all other test videos are those of training videos
    assert seen_in_training([TrainedSplit.of(old, "train")], catalog, np.array([len(rows)])).tolist() == [len(rows)]
    assert copies_told(catalog) == [
        f"1 videos are copies of others by what is in them: {old.path(int(train[3]))} = test/renamed.mp4",
        f"1 of them in train and test: {old.path(int(train[3]))} = test/renamed.mp4",
    ]


def test_names_that_are_not_utf8_have_keys(synthetic_catalog, tmp_path):
    odd = copied(synthetic_catalog, tmp_path / "odd.catalog", lambda path: f"{path}\udcfe.x")
    assert len(TrainedSplit.of(odd, "all").keys) == 32  # as many names as in "train"


def test_keys_of_before_are_those_of_now(synthetic_catalog):
    catalog = Catalog.open(synthetic_catalog)
    names = [f"{PurePosixPath(row.path).stem.lower()}\n{row.num_frames}" for row in catalog]
    hashes = [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") for name in names]
    assert video_keys(catalog, catalog.split("all")).tolist() == hashes
