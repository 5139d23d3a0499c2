"""Catalogs of videos in tar shards that others wrote."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from listed_files import read
from numbered_videos import encode, numbers_shown

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.listing.tar_shards import find_shards
from vidssl.cli.prepare import run_prepare
from vidssl.errors import VidsslError
from vidssl.video.decoding import read_frames


def write(file: Path, *members: tuple[str, bytes | dict | str], kind: str = "w") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, kind) as tar:
        for name, contents in members:
            data = contents if isinstance(contents, bytes) else contents.encode() if isinstance(contents, str) else None
            data = json.dumps(contents).encode() if data is None else data
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


def listed(listing):
    return [(video.path, video.label, video.group, video.splits) for video in listing.videos]


def test_webdataset_with_json(tmp_path):
    write(tmp_path / "a-000.tar", ("0001.mp4", b"one"), ("0001.json", {"label": "run", "split": "train", "group": 3}))
    write(
        tmp_path / "a-001.tar",
        ("0002.json", {"label": "walk", "split": ["test", "small"], "group": None}),
        ("0002.MP4", b"two!"),
        ("0003.webm", b"three"),
        ("0003.cls", "run\n"),
    )
    listing = read("shards", videos=f"{tmp_path}/a-*.tar")
    assert listed(listing) == [
        ("a-000.tar/0001.mp4", "run", "3", ("train",)),
        ("a-001.tar/0002.MP4", "walk", None, ("test", "small")),
        ("a-001.tar/0003.webm", "run", None, ()),
    ]
    assert (listing.classes, listing.split_names, listing.root) == (
        ["run", "walk"],
        ["small", "test", "train"],
        tmp_path,
    )
    for video, contents in zip(listing.videos, (b"one", b"two!", b"three"), strict=True):
        assert (video.num_bytes, video.shard) == (len(contents), video.path.split("/")[0])
        assert (tmp_path / video.shard).read_bytes()[video.offset :].startswith(contents)


def test_video2dataset_with_other_keys_and_a_class_in_a_text(tmp_path):
    write(
        tmp_path / "00000.tar",
        ("000000007.mp4", b"x"),
        ("000000007.txt", "playing chess"),
        ("000000007.json", {"key": "000000007", "url": "https://x.y/z", "yt_meta_dict": {}, "subset": "val"}),
    )
    listing = read("shards", videos=f"{tmp_path}/00000.tar", split_key="subset", label_ending=".txt")
    assert listed(listing) == [("00000.tar/000000007.mp4", "playing chess", None, ("val",))]
    assert read("shards", videos=f"{tmp_path}/00000.tar").videos[0].label is None  # a text is most often a caption


def test_whole_numbers_are_classes_in_their_order(tmp_path):
    members = [part for n in (10, 9, 2) for part in ((f"{n}.mp4", b"x"), (f"{n}.cls", str(n)))]
    listing = read("shards", videos=str(write(tmp_path / "x.tar", *members)))
    assert listing.classes == ["2", "9", "10"]


def test_traps_are_told(tmp_path):
    write(
        tmp_path / "a.tar",
        ("v.1.mp4", b"1"), ("v.1.json", {"label": "first"}), ("v.2.mp4", b"2"), ("v.2.json", {"label": "second"}),
        ("same.mp4", b"3"), ("other.json", {}), ("same.mp4", b"4"),
        ("damaged.mp4", b"5"), ("damaged.json", "{"), ("list.mp4", b"6"), ("list.json", "[]"),
    )  # fmt: skip
    write(tmp_path / "b.tar", ("same.mp4", b"7"), ("no_dot", b"8"), (".hidden.mp4", b"9"))
    listing = read("shards", videos=f"{tmp_path}/?.tar")
    assert [(video.path, video.label) for video in listing.videos] == [
        ("a.tar/v.1.mp4", "first"), ("a.tar/v.2.mp4", "second"), ("a.tar/same.mp4", None), ("b.tar/same.mp4", None),
    ]  # fmt: skip
    assert [path for path, _ in listing.bad] == ["a.tar/same.mp4", "a.tar/damaged.mp4", "a.tar/list.mp4"]
    assert "only the first counts" in listing.bad[0][1]
    assert "its JSON damaged.json is damaged" in listing.bad[1][1]
    assert "holds no object" in listing.bad[2][1]
    notes = "\n".join(listing.notes)
    assert "2 shards" in notes
    assert "1 samples hold more than one video: WebDataset, which cuts names at their first dot, merges them" in notes
    assert "2 samples have the key of another" in notes
    assert "1 samples have no video (other.json in a.tar)" in notes


def test_shards_that_cannot_be_read(tmp_path):
    whole = write(tmp_path / "a.tar", ("1.mp4", b"x" * 5000), ("2.mp4", b"y" * 5000), ("3.mp4", b"z" * 5000))
    os.truncate(whole, 9000)
    write(tmp_path / "b.tar", ("1.mp4", b"x"), kind="w:gz")
    (tmp_path / "c.tar").write_bytes(b"no tar " * 1000)
    with pytest.raises(
        VidsslError, match=r"no video in the 1 shards .*c.tar.*not a tar file that can be read in place"
    ):
        read("shards", videos=f"{tmp_path}/c.tar")
    listing = read("shards", videos=f"{tmp_path}/*.tar")
    assert [video.path for video in listing.videos] == ["a.tar/1.mp4"]
    assert [path for path, _ in listing.bad] == ["a.tar", "b.tar", "c.tar"]


def test_patterns(tmp_path, monkeypatch):
    for name in ("train/000.tar", "train/001.tar", "val/000.tar"):
        write(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert find_shards("{train,val}/{000..000}.tar") == ["train/000.tar", "val/000.tar"]
    assert find_shards("train/00[01].tar") == ["train/000.tar", "train/001.tar"]
    assert find_shards("**/*.tar") == ["train/000.tar", "train/001.tar", "val/000.tar"]
    with pytest.raises(VidsslError, match=r"There is no file train/002.tar"):
        find_shards("train/{000..002}.tar")


def test_from_shards_to_frames(tmp_path, capsys):
    contents = encode(tmp_path / "v.mp4", "libx264", num_frames=20).read_bytes()
    write(tmp_path / "s" / "0.tar", ("a.mp4", contents), ("a.json", {"label": "run", "split": "train"}), ("b.mp4", b""))
    write(tmp_path / "s" / "1.tar", ("c.mp4", contents), ("d.mp4", b"no video " * 20))
    args = ["shards", "--videos", f"{tmp_path}/s/*.tar", "--output", str(tmp_path / "x.catalog"), "--workers", "1"]
    assert run_prepare(args) == 0
    assert "2 shards" in capsys.readouterr().out
    catalog = Catalog.open(tmp_path / "x.catalog")
    assert [video.path for video in catalog] == ["0.tar/a.mp4", "1.tar/c.mp4"]
    assert catalog.bad == [
        ("0.tar/b.mp4", "empty file (0 bytes); fetch it again"),
        ("1.tar/d.mp4", "not a video: no known container format"),
    ]
    assert catalog.split("train").tolist() == [0]
    for video in catalog:
        assert numbers_shown(read_frames(catalog.unchanged(video), range(20))) == list(range(20))
    assert catalog[0].content == catalog[1].content  # copies, wherever they lie
