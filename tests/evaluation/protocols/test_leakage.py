import hashlib
import shutil
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch

from vidssl.catalogs.catalog import Catalog, write_catalog
from vidssl.catalogs.copies import copies_in_words
from vidssl.cli.main import main
from vidssl.data.training_history import (
    TrainedSplit,
    history_as_text,
    history_from_text,
    history_of,
    list_name,
    merged,
    training_history,
    video_keys,
)
from vidssl.errors import VidsslError
from vidssl.evaluation.protocols.leakage import check_unseen, seen_in_training
from vidssl.runs.checkpoint_io import AtomicCheckpointIO


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


def same_videos(one, other):
    pairs = list(zip(one, other, strict=True))
    return all(
        np.array_equal(getattr(a.videos, name), getattr(b.videos, name))
        for a, b in pairs
        for name in ("keys", "contents", "digest")
    )


def test_the_history_survives_a_checkpoint_of_plain_values(synthetic_catalog, tmp_path):
    catalog, file = Catalog.open(synthetic_catalog), tmp_path / "x.ckpt"
    parts = merged(TrainedSplit.of(catalog, split) for split in ("train", "test", "train"))
    state = [part.state() for part in parts]
    torch.save({"data": {"trained_on": state}}, file)  # without the command line's way of writing
    read = training_history(torch.load(file, weights_only=True), file)
    assert [part.split for part in read] == ["train", "test"]
    assert [len(part.videos.contents) for part in read] == [32, 16]
    assert same_videos(read, parts)
    assert same_videos(history_from_text(history_as_text(read), file), parts)
    old = ("catalog_digest", "split", "keys")
    before = history_of([{key: entry[key] for key in old} for entry in state], file)  # a checkpoint of version 0.1
    assert [(len(part.videos.keys), len(part.videos.contents)) for part in before] == [(32, 0), (16, 0)]
    assert training_history({"epoch": 3, "data": {}}, file) is None
    with pytest.raises(VidsslError, match="damaged"):
        training_history({"data": {"trained_on": [{"split": "train"}]}}, file)


@pytest.fixture
def checkpoint(synthetic_catalog, tmp_path):
    """A checkpoint whose list of training videos lies beside it."""
    catalog = Catalog.open(synthetic_catalog)
    file = tmp_path / "run" / "last.ckpt"
    state = {"VideoDataModule": {"epoch": 1, "trained_on": [TrainedSplit.of(catalog, "train").state()]}}
    for _ in range(2):
        AtomicCheckpointIO().save_checkpoint(state, file)
    return file


def read_history(file):
    return training_history(torch.load(file, weights_only=True), file)


def test_the_list_lies_once_beside_the_checkpoints(checkpoint, synthetic_catalog, tmp_path):
    whole = TrainedSplit.of(Catalog.open(synthetic_catalog), "train")
    (entry,) = torch.load(checkpoint, weights_only=True)["VideoDataModule"]["trained_on"]
    assert entry.keys() == {"catalog_digest", "split", "list", "videos"}
    name = list_name(whole.digest)
    assert {file.name for file in checkpoint.parent.iterdir()} == {"last.ckpt", name}
    (tmp_path / "best.ckpt").symlink_to(checkpoint)
    for file in (checkpoint, tmp_path / "best.ckpt"):
        assert same_videos(read_history(file), [whole])
    content = (checkpoint.parent / name).read_bytes()
    (checkpoint.parent / name).write_bytes(content[:-90] + b"\1" + content[-89:])
    with pytest.raises(VidsslError, match=rf"{name} is damaged"):
        read_history(checkpoint)


def test_a_checkpoint_without_its_list_knows_the_catalog_that_it_was_trained_on(
    checkpoint, synthetic_catalog, tmp_path, caplog
):
    alone = tmp_path / "alone.ckpt"
    shutil.copy(checkpoint, alone)
    (part,) = history = read_history(alone)
    assert (part.videos, part.num_videos) == (None, 32)
    assert history_from_text(history_as_text(history), alone) == history
    same, other = Catalog.open(synthetic_catalog), copied(synthetic_catalog, tmp_path / "other.catalog")
    rows = same.split("all")
    assert len(seen_in_training(history, same, rows)) == 32
    with pytest.raises(VidsslError, match="was trained on 32 of the 48 query videos"):
        check_unseen(history, same, rows, "alone.ckpt", consent="say so")
    assert caplog.text == ""
    assert seen_in_training(history, other, rows) is None
    check_unseen(history, other, rows, "alone.ckpt", consent="say so")
    assert f"the list of its 32 training videos, {list_name(part.digest)}, is not in its folder" in caplog.text
    with pytest.raises(VidsslError, match="was trained on"):  # what is known of another part is not passed over
        check_unseen([part, TrainedSplit.of(other, "all")], other, rows, "alone.ckpt", consent="say so")


def test_training_on_and_starting_from_weights_keep_what_was_trained_on_before(small_config, tmp_path, monkeypatch):
    cheap = ["--trainer.limit_val_batches", "0", "--trainer.num_sanity_val_steps", "0", "--wandb.mode", "disabled"]
    run = tmp_path / "runs" / "small"
    monkeypatch.setenv("VIDSSL_RUN_DIR", str(run))
    assert main(["fit", "--config", str(small_config), *cheap, "--trainer.max_epochs", "1"]) == 0
    last = run / "checkpoints" / "last.ckpt"
    (part,) = read_history(last)
    assert (part.split, len(part.videos.keys)) == ("train", 32)
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
    history = read_history(last)
    assert [part.split for part in history] == ["train", "test"]
    monkeypatch.setenv("VIDSSL_RUN_DIR", str(tmp_path / "runs" / "next"))
    begun = ["--model.backbone.weights", str(last), "--data.train_split", "all", "--trainer.max_steps", "1"]
    assert main(["fit", "--config", str(small_config), *cheap, *begun]) == 0
    next_one = tmp_path / "runs" / "next" / "checkpoints" / "last.ckpt"
    assert [part.split for part in read_history(next_one)] == ["train", "test", "all"]
    assert all(part.videos is not None for part in read_history(next_one))
    assert len(list(next_one.parent.glob("*.list"))) == 3


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
    with pytest.raises(VidsslError, match="recognised by file name and number of frames or by the contents of"):
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
    assert copies_in_words(catalog) == [
        f"1 videos have the same contents as others: {old.path(int(train[3]))} = test/renamed.mp4",
        f"1 of them in train and test: {old.path(int(train[3]))} = test/renamed.mp4",
    ]


def test_names_that_are_not_utf8_have_keys(synthetic_catalog, tmp_path):
    odd = copied(synthetic_catalog, tmp_path / "odd.catalog", lambda path: f"{path}\udcfe.x")
    assert len(TrainedSplit.of(odd, "all").videos.keys) == 32  # as many names as in "train"


def test_keys_of_before_are_those_of_now(synthetic_catalog):
    catalog = Catalog.open(synthetic_catalog)
    names = [f"{PurePosixPath(row.path).stem.lower()}\n{row.num_frames}" for row in catalog]
    hashes = [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") for name in names]
    assert video_keys(catalog, catalog.split("all")).tolist() == hashes
