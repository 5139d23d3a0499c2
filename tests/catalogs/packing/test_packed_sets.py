"""What packing the videos of a catalog writes."""

import json
import tarfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import encode, numbers_shown
from packing_jobs import job_of, pack_all

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.file_state import FileState
from vidssl.data.augmentation import CVRL_VIEW_1
from vidssl.data.dataset import ClipDataset
from vidssl.data.sampling import IntervalSampler
from vidssl.data.training_history import TrainedSplit
from vidssl.video.decoding import probe, read_frames


@pytest.mark.parametrize("shard_bytes", [None, 10_000])
def test_copies_are_the_same_data_set(sources, tmp_path, here, shard_bytes):
    packed = pack_all(job_of(sources, tmp_path / "p", shard_bytes=shard_bytes))
    assert packed.digest == sources.digest
    assert [row.content for row in packed] == [row.content for row in sources]
    assert packed.bad == [("z.avi", "empty")]
    assert packed.source["packed"] == {"preset": "keep", "encoding": None, "source_digest": sources.digest}
    assert not (tmp_path / "p" / "packing.partial").exists()
    for video, source in zip(packed, sources, strict=True):
        assert np.array_equal(
            read_frames(packed.unchanged(video), range(8)), read_frames(sources.unchanged(source), range(8))
        )
    moved = tmp_path / "moved"
    (tmp_path / "p").rename(moved)
    assert len(read_frames(Catalog.open(moved / "x.catalog").place(1), [0])) == 1


def test_clips_from_shards_are_those_from_files(sources, tmp_path, here):
    packed = pack_all(job_of(sources, tmp_path / "p", shard_bytes=10_000))
    recipe = replace(CVRL_VIEW_1, crop_size=32)
    one, other = (
        ClipDataset(catalog, catalog.split("train"), IntervalSampler(num_frames=4), [recipe, recipe], seed=3)
        for catalog in (sources, packed)
    )
    for key in [(0, 0), (0, 2), (5, 1)]:
        mine, theirs = one[key], other[key]
        assert mine.starts == theirs.starts
        assert not mine.failures
        assert all(np.array_equal(a, b) for a, b in zip(mine.clips, theirs.clips, strict=True))


def test_shards_are_in_the_layout_of_webdataset(sources, tmp_path, here):
    packed = pack_all(job_of(sources, tmp_path / "p", "fast", shard_bytes=10_000))
    shards = sorted((tmp_path / "p").glob("*.tar"))
    assert len(shards) > 1
    names = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            names += tar.getnames()
    assert names == [
        "walk/a_1.mp4", "walk/a_1.json", "walk/a_1_2.mp4", "walk/a_1_2.json", "run/b.mp4", "run/b.json",
        "run/c d (1)'!.mp4", "run/c d (1)'!.json", "run/é.mp4", "run/é.json",
    ]  # fmt: skip
    with tarfile.open(shards[0]) as tar:
        told = json.load(tar.extractfile("walk/a_1.json"))
        assert tar.extractfile("walk/a_1.mp4").read() == read_range(packed.place(0))
    assert told == {
        "path": "walk/a.1.avi", "label": "run", "label_number": 0, "group": None, "split": ["train"], "num_frames": 8,
        "fps": 25.0, "width": 128, "height": 48, "preset": "fast",
    }  # fmt: skip


def read_range(place: str) -> bytes:
    file, range_, _ = place.split("::")
    start, size = map(int, range_.split("+"))
    return Path(file).read_bytes()[start : start + size]


def test_videos_of_one_name_and_length_are_told_apart_once_they_are_packed(tmp_path, here):
    rows = []
    for split in ("train", "test"):  # test videos are numbered as training videos are
        file = tmp_path / split / "0001.mp4"
        file.parent.mkdir()
        encode(file, "libx264", num_frames=8, options={"crf": "20" if split == "train" else "30"})
        rows.append(VideoRow(f"{split}/0001.mp4", -1, -1, **asdict(probe(file)), **asdict(FileState.of(file))))
    splits = {"train": [0], "test": [1]}
    write_catalog(tmp_path / "x.catalog", rows, classes=[], group_names=[], splits=splits, root=".", source={})
    catalog = Catalog.open(tmp_path / "x.catalog")
    packed = pack_all(job_of(catalog, tmp_path / "p", "fast"))
    trained = TrainedSplit.of(catalog, "train")
    for history in (trained, replace(trained, videos=None)):  # the list may be lost
        assert history.can_tell(packed)
        assert history.seen(packed, np.arange(2)).tolist() == [True, False]


def test_encoded_videos_are_other_files_of_the_same_videos(sources, tmp_path, here):
    packed = pack_all(job_of(sources, tmp_path / "p", "fast"))
    assert packed.digest != sources.digest
    assert [row.path for row in packed] == [
        "walk/a.1.mp4", "walk/2/a.1.mp4", "run/b.mp4", "run/c d (1)'!.mp4", "run/é.mp4",
    ]  # fmt: skip
    assert packed.labels.tolist() == sources.labels.tolist()
    assert packed.groups.tolist() == sources.groups.tolist()
    assert packed.split("test").tolist() == [1, 3]
    assert packed.contents.tolist() == sources.contents.tolist()
    assert packed.file_contents.tolist() != sources.contents.tolist()
    for one, other in ((sources, packed), (packed, sources)):
        assert TrainedSplit.of(one, "train").seen(other, np.arange(5)).tolist() == [True, False, True, False, True]
    for row, video in enumerate(packed):
        frames = read_frames(packed.unchanged(video), range(video.num_frames))
        assert numbers_shown(frames) == list(range(8 + row))
    again = pack_all(job_of(packed, tmp_path / "q", "small", shard_bytes=10**9))  # packed, packed again
    assert again.contents.tolist() == sources.contents.tolist()
