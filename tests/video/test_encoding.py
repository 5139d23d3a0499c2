"""Encoded videos: the frames of their source one by one, and files that any part of is cheap to read."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numbered_videos import encode as write_numbered
from numbered_videos import numbers_shown, packed

from vidssl.video import encoding
from vidssl.video.decoding import DecodingError, probe, read_frames
from vidssl.video.encoding import PRESETS, Encoding, Packed, pack

FAST = PRESETS["fast"]
# Least likeness to the source in dB, at its new size; test patterns lose their coloured edges in 4:2:0.
LEAST_DB = {
    "testsrc2": 21.0,
    "av1_video": 21.0,
    "corrupted": 21.0,
    "bt2020_10bit": 21.0,
    "h264_10bits": 21.0,
    "test_non_zero_start": 27.0,
    "discard_first_keyframe": 27.0,
}
USUAL_DB = 31.0


def packed_file(source: Path, folder: Path, preset=FAST) -> Path:
    file = folder / "packed.mp4"
    file.write_bytes(pack(str(source), preset, probe(source).fps).contents)
    return file


def test_sizes_are_even_and_never_enlarged():
    assert Encoding(256, 23).size(340, 256) == (340, 256)
    assert Encoding(256, 23).size(1920, 1080) == (454, 256)
    assert Encoding(256, 23).size(270, 480) == (256, 454)
    assert Encoding(256, 23).size(121, 81) == (120, 80)
    assert Encoding(None, 23).size(1921, 1081) == (1920, 1080)
    assert Encoding(128, 20).size(1, 3) == (2, 2)


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mp4"), ("mpeg4", ".avi"), ("libvpx-vp9", ".webm")])
def test_frame_n_is_frame_n_of_the_source(tmp_path, codec, suffix):
    source = write_numbered(tmp_path / f"source{suffix}", codec, num_frames=70)
    file = packed_file(source, tmp_path)
    assert numbers_shown(read_frames(file, range(70))) == list(range(70))
    assert numbers_shown(read_frames(file, [69])) == [69]


def test_packets_that_hold_two_frames_or_none(tmp_path):
    source = packed(write_numbered(tmp_path / "plain.avi", "mpeg4", num_frames=20), tmp_path / "source.avi")
    file = packed_file(source, tmp_path)
    count = probe(source).num_frames
    assert numbers_shown(read_frames(file, range(count))) == numbers_shown(read_frames(source, range(count)))


def test_any_frame_is_cheap_to_reach_and_the_vectors_are_of_one_reference(tmp_path):
    file = packed_file(write_numbered(tmp_path / "source.mp4", "libx264", num_frames=70), tmp_path)
    with av.open(str(file)) as container:
        (stream,) = container.streams
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert [n for n, packet in enumerate(packets) if packet.is_keyframe] == [0, 20, 40, 60]
        assert [packet.pts for packet in packets] == [packet.dts for packet in packets]
        assert (packets[0].pts, stream.start_time) == (0, 0)
        assert {packet.duration for packet in packets} == {packets[0].duration}
        assert not stream.codec_context.has_b_frames
        assert stream.average_rate == 25
    told = file.read_bytes()  # x264 writes its settings into the stream
    assert all(setting in told for setting in (b" ref=1 ", b" bframes=0 ", b" cabac=0 ", b" keyint=20 ", b" crf=23.0 "))


def test_the_same_bytes_every_time(tmp_path):
    source = write_numbered(tmp_path / "source.mp4", "libx264", num_frames=10)
    assert pack(str(source), FAST, 25.0) == pack(str(source), FAST, 25.0)


def test_copies_are_the_file_itself(tmp_path):
    source = write_numbered(tmp_path / "source.mp4", "libx264", num_frames=10)
    assert pack(str(source), PRESETS["keep"], 25.0) == Packed(source.read_bytes(), 10, 128, 48)


def test_videos_that_cannot_be_packed(tmp_path, monkeypatch):
    source = write_numbered(tmp_path / "source.mp4", "libx264", num_frames=10)
    with monkeypatch.context() as patch:
        patch.setattr(encoding.PyAVReader, "decoded", lambda _: iter(()))
        with pytest.raises(DecodingError, match="no frame decodes"):
            encoding.encode(str(source), FAST.encoding, 25.0)
    shorter = write_numbered(tmp_path / "shorter.mp4", "libx264", num_frames=9).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(encoding, "encode", lambda *_: Packed(shorter, 10, 128, 48))
        with pytest.raises(DecodingError, match="9 of 10 frames decode after it was encoded"):
            pack(str(source), FAST, 25.0)
    (tmp_path / "text.mp4").write_text("this is none " * 100)
    for preset in ("keep", "fast"):
        with pytest.raises(DecodingError, match="not a video"):
            pack(str(tmp_path / "text.mp4"), PRESETS[preset], 25.0)


# --- real videos ---


def readable(folder: Path) -> list[Path]:
    """Every file that decodes, of the large sets some."""
    sets = sorted(folder.glob("ucf101_subset/*/*.avi"))[::9] + sorted(folder.glob("weizmann/**/*.avi"))[::15]
    files = [*sorted(folder.glob("edge/*/*")), *sorted(folder.glob("singles/*/*")), *sets]
    return [file for file in files if decodes(file)]


def decodes(file: Path) -> bool:
    try:
        read_frames(file, [0])
    except DecodingError:
        return False
    return True


def decibels(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
    errors = ((frames.astype(np.float32) - others) ** 2).mean(axis=(1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(errors, 1e-3))


def assert_same_frames(source: Path, file: Path) -> None:
    """Each frame is like that of the same number, and hardly less so than its neighbours, which may show the same."""
    info = probe(source)
    assert probe(file).num_frames == info.num_frames, source.name
    assert probe(file).fps == pytest.approx(info.fps, rel=0.01), source.name
    numbers = np.unique(np.linspace(0, info.num_frames - 1, 9).astype(int))
    frames = read_frames(file, numbers)
    wanted = read_frames(source, np.clip(np.concatenate([numbers - 1, numbers, numbers + 1]), 0, info.num_frames - 1))
    if wanted.shape[1:] != frames.shape[1:]:
        size = frames.shape[2:0:-1]
        wanted = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in wanted])
    before, same, after = (decibels(frames, part) for part in np.split(wanted, 3))
    least = next((least for name, least in LEAST_DB.items() if source.name.startswith(name)), USUAL_DB)
    assert same.min() > least, f"{source.name}: {same.round(1)}"
    assert (same >= np.maximum(before, after) - 2).all(), f"{source.name}: {before} {same} {after}"


@pytest.mark.parametrize(
    "name",
    [
        "decord/video_90.mov", "codecs/discard_first_keyframe.mp4", "codecs/testsrc2_odd_height_and_width_mpeg2.mp4",
        "derived/weizmann_walk_vfr_h264.mp4", "derived/weizmann_walk_mjpeg.avi", "decord/unordered.mov",
        "codecs/animated.gif", "codecs/test_non_zero_start.mp4", "derived/ucf_bitflips.avi",
    ],
)  # fmt: skip
def test_odd_videos_keep_their_frames(real_videos, tmp_path, name):
    source = real_videos / "edge" / name
    assert_same_frames(source, packed_file(source, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fast", "small"])
def test_every_readable_video_keeps_its_frames(real_videos, tmp_path, preset):
    files = readable(real_videos)
    assert len(files) > 40
    for source in files:
        assert_same_frames(source, packed_file(source, tmp_path, PRESETS[preset]))
