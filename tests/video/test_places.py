"""Videos inside larger files: the same frames, errors and digests as from files of their own."""

import os
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import encode

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.file_state import FileState
from vidssl.data.training_history import TrainedSplit
from vidssl.motion.extract import video_motion
from vidssl.motion.settings import MotionSettings
from vidssl.video import places
from vidssl.video.decoding import DecodingError, available_decoders, probe, read_frames
from vidssl.video.places import ByteRange, RangeReader, open_place

BEFORE, AFTER = b"\x01" * 512, b"\x02" * 700


def inside(file: Path, larger: Path) -> str:
    """Put a file into a larger one, and return its place there."""
    contents = file.read_bytes()
    larger.write_bytes(BEFORE + contents + AFTER)
    return str(ByteRange(str(larger), len(BEFORE), len(contents), file.name))


@pytest.fixture
def video(tmp_path) -> Path:
    return encode(tmp_path / "v.mp4", "libx264", num_frames=24)


def test_a_place_says_which_bytes():
    part = ByteRange("/a b/c::d.tar", 512, 70, "x (1)::2.mp4")
    assert ByteRange.of(str(part)) == part
    assert ByteRange.of("/a b/c::d.tar") is None
    assert ByteRange.of("/a/v.mp4") is None


def test_a_range_reads_like_a_file(tmp_path):
    (tmp_path / "x").write_bytes(bytes(range(100)))
    with open_place(f"{tmp_path}/x::10+20::v.mp4") as file:
        assert isinstance(file, RangeReader)
        assert (file.read(5), file.tell(), file.name) == (bytes(range(10, 15)), 5, "v.mp4")
        assert file.seek(-3, os.SEEK_END) == 17
        assert file.read() == bytes(range(27, 30))
        assert file.read(4) == b""
        assert file.seek(100) == 100
        assert file.read(1) == b""
        assert file.seek(0) == file.seek(0, os.SEEK_CUR) == 0
        assert file.read(None) == bytes(range(10, 30))


@pytest.mark.parametrize("decoder", ["pyav", "opencv", "decord", "torchcodec"])
def test_every_decoder_reads_a_part_of_a_file(video, tmp_path, decoder):
    if decoder not in available_decoders():
        pytest.skip(f"{decoder} is not installed")
    place = inside(video, tmp_path / "larger.tar")
    assert probe(place, decoder=decoder) == probe(video, decoder=decoder)
    indices = [5, 0, 23, 5]
    assert np.array_equal(read_frames(place, indices, decoder=decoder), read_frames(video, indices, decoder=decoder))
    with pytest.raises(DecodingError, match=r"larger.tar::512\+.*24 frames decode"):
        read_frames(place, [24], decoder=decoder)


def test_motion_of_a_part_of_a_file(video, tmp_path):
    place = inside(video, tmp_path / "larger.tar")
    for estimator in ("codec", "farneback"):
        settings = MotionSettings(estimator=estimator)
        assert np.array_equal(video_motion(place, settings).maps, video_motion(video, settings).maps)


def test_what_is_wrong_with_a_part_of_a_file(video, tmp_path):
    larger = tmp_path / "larger.tar"
    place = inside(video, larger)
    with pytest.raises(DecodingError, match="no such file"):
        probe(str(ByteRange(str(tmp_path / "other.tar"), 0, 10, "v.mp4")))
    with pytest.raises(DecodingError, match="empty file"):
        probe(str(ByteRange(str(larger), 0, 0, "v.mp4")))
    with pytest.raises(DecodingError, match="not a video"):
        probe(str(ByteRange(str(larger), 0, 300, "v.mp4")))
    os.truncate(larger, 600)
    with pytest.raises(DecodingError, match="cut short, at 600 bytes"):
        probe(place)


def test_files_stay_open_up_to_a_limit(video, tmp_path, monkeypatch):
    opened, local_file = [], places.LocalFile
    monkeypatch.setattr(places, "LocalFile", lambda file: opened.append(file) or local_file(file))
    place = inside(video, tmp_path / "larger.tar")
    for _ in range(3):
        read_frames(place, [0])
    assert len(opened) == 1
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for number in range(places.MAX_OPEN_FILES + 20):
        read_frames(inside(video, tmp_path / f"{number}.tar"), [0])
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + places.MAX_OPEN_FILES


def test_a_shard_that_is_replaced_is_opened_anew(tmp_path):
    (tmp_path / "x").write_bytes(b"before")
    place = f"{tmp_path}/x::1+3::v.mp4"
    assert open_place(place).read() == b"efo"
    (tmp_path / "y").write_bytes(b"after it")
    os.replace(tmp_path / "y", tmp_path / "x")
    assert open_place(place).read() == b"fte"


# --- catalogs of them ---


def write(file: Path, rows: list[VideoRow]) -> Catalog:
    write_catalog(file, rows, classes=["a"], group_names=[], splits={"train": [0]}, root=file.parent, source={})
    return Catalog.open(file)


@pytest.fixture
def catalogs(video, tmp_path):
    """The same video in a file of its own and in a shard."""
    info = probe(video)
    size = {"fps": info.fps, "width": info.width, "height": info.height, "duration_seconds": info.duration_seconds}
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "v.1.avi").write_bytes(video.read_bytes())
    state = FileState.of(tmp_path / "walk" / "v.1.avi")
    alone = VideoRow("walk/v.1.avi", 0, -1, info.num_frames, **size, num_bytes=state.num_bytes,
                     changed_ns=state.changed_ns, content=state.content)  # fmt: skip
    place = inside(video, tmp_path / "shard-0.tar")
    state = FileState.of(place)
    packed = VideoRow("walk/v.1.avi", 0, -1, info.num_frames, **size, num_bytes=state.num_bytes,
                      changed_ns=state.changed_ns, content=state.content, shard="shard-0.tar", offset=512)  # fmt: skip
    return write(tmp_path / "alone.catalog", [alone]), write(tmp_path / "packed.catalog", [packed])


def test_a_catalog_of_shards_is_the_same_data_set(catalogs, tmp_path):
    alone, packed = catalogs
    assert packed.digest == alone.digest
    assert (packed[0].shard, packed[0].offset) == ("shard-0.tar", 512)
    assert (alone[0].shard, alone[0].offset) == ("", -1)
    assert alone.place(0) == str(tmp_path / "walk" / "v.1.avi")
    assert packed.place(0) == f"{tmp_path}/shard-0.tar::512+{packed[0].num_bytes}::v.1.avi"
    assert np.array_equal(read_frames(packed.unchanged(packed[0]), [3]), read_frames(alone.unchanged(alone[0]), [3]))


def test_a_changed_shard_is_noticed(catalogs, tmp_path):
    _, packed = catalogs
    shard = tmp_path / "shard-0.tar"
    contents = bytearray(shard.read_bytes())
    os.utime(shard, (0, 0))
    assert packed.unchanged(packed[0]) == packed.place(0)  # copied without its time: the contents tell
    contents[600] ^= 255
    shard.write_bytes(contents)
    with pytest.raises(DecodingError, match="its contents have changed since it was prepared"):
        packed.unchanged(packed[0])


def test_a_video_is_recognised_by_its_source(catalogs, tmp_path):
    """Encoded again, renamed and counted otherwise: what it was made from tells."""
    alone, _ = catalogs
    row = alone[0]
    made = VideoRow("other.mp4", 0, -1, row.num_frames - 1, row.fps, row.width, row.height, row.duration_seconds,
                    num_bytes=5, changed_ns=6, content=7, source_content=row.content)  # fmt: skip
    made = write(tmp_path / "made.catalog", [made])
    assert made[0].source_content == made.contents[0] == row.content
    assert made.file_contents[0] == 7
    rows = np.array([0])
    assert TrainedSplit.of(alone, "train").seen(made, rows).all()
    assert TrainedSplit.of(made, "train").seen(alone, rows).all()
    again = write(tmp_path / "again.catalog", [VideoRow("x.mp4", 0, -1, 9, 25.0, 8, 8, 1.0, 5, 6, content=7)])
    assert TrainedSplit.of(made, "train").seen(again, rows).all()  # the packed file, prepared anew
    assert not TrainedSplit.of(alone, "train").seen(again, rows).any()
