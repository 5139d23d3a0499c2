import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numbered_videos import encode, numbers_shown

from vidssl.errors import UnknownNameError, VidsslError
from vidssl.video import decoding
from vidssl.video.decoders import shortcuts
from vidssl.video.decoders.shortcuts import Inexact, find_key_frames, split_runs, wanted_frames
from vidssl.video.decoding import DECODERS, DecodingError, available_decoders, probe, read_frames

os.environ.setdefault("OMP_NUM_THREADS", "1")
DECODER_NAMES = ["pyav", "opencv", "decord", "torchcodec"]


@pytest.fixture(params=DECODER_NAMES)
def decoder(request):
    if request.param not in available_decoders():
        pytest.skip(f"{request.param} is not installed")
    return request.param


X264_CLOSED = {"x264-params": "bframes=3:b-adapt=0:b-pyramid=normal:keyint=12:scenecut=0"}
X264_OPEN = {"x264-params": "bframes=3:b-adapt=0:b-pyramid=normal:keyint=12:scenecut=0:open-gop=1"}
ENCODINGS = {
    "b_frames.avi": ("mpeg4", {}, 2),
    "no_b_frames.avi": ("mpeg4", {}, 0),
    "closed.mp4": ("libx264", X264_CLOSED, 3),
    "open_gop.mp4": ("libx264", X264_OPEN, 3),
    "closed.mkv": ("libx264", X264_CLOSED, 3),
}
# May return other frames than asked for, as decord 0.6.0 and torchcodec do (docs/decoding.md): the timestamps of an AVI
# with B-frames are in neither order; in an open group of pictures frames are shown before the key frame they are stored
# behind.
SCRAMBLED_BY_SEEKING = {("b_frames.avi", "torchcodec"), ("b_frames.avi", "decord"), ("open_gop.mp4", "decord")}


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbered")
    return {name: encode(folder / name, codec, 60, options, b) for name, (codec, options, b) in ENCODINGS.items()}


@pytest.mark.parametrize("name", ENCODINGS)
def test_frame_i_is_frame_i(numbered, name, decoder):
    path = numbered[name]
    num_frames = probe(path, decoder=decoder).num_frames
    scrambled = (name, decoder) in SCRAMBLED_BY_SEEKING
    assert num_frames == 60 or (scrambled and num_frames == 59)
    assert numbers_shown(read_frames(path, range(num_frames), decoder=decoder)) == list(range(num_frames))
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, num_frames, rng.integers(1, 12)) for _ in range(12)]
    agree = [numbers_shown(read_frames(path, indices, decoder=decoder)) == indices.tolist() for indices in draws]
    assert scrambled or all(agree)


def test_runs_start_at_the_key_frame_where_that_saves_decoding():
    assert split_runs([0, 12, 24], [1, 3, 13, 25]) == [(0, [1, 3]), (12, [13]), (24, [25])]
    assert split_runs([0, 12, 24], [11, 12, 13]) == [(0, [11, 12, 13])]
    assert split_runs([0, 2], [2, 3]) == [(0, [2, 3])]
    assert split_runs([0], [500]) == [(0, [500])]


@pytest.mark.parametrize(("name", "exact"), [("closed.mp4", True), ("no_b_frames.avi", True), ("open_gop.mp4", False)])
def test_jumps_are_taken_only_where_they_are_exact(numbered, name, exact):
    av = pytest.importorskip("av")
    with av.open(str(numbered[name])) as container:
        stream = container.streams.video[0]
        keys = find_key_frames(container, stream)
        try:
            frames = list(wanted_frames(container, stream, keys, [3, 40]))
        except Inexact:
            frames = []
        assert (len(frames) == 2) == exact


@pytest.mark.parametrize("name", ["b_frames.avi", "closed.mkv"])
def test_no_jump_without_timestamps_or_a_full_index(numbered, name):
    av = pytest.importorskip("av")
    with av.open(str(numbered[name])) as container:
        assert find_key_frames(container, container.streams.video[0]) is None


def test_frames_nobody_refers_to_are_not_decoded(numbered, monkeypatch):
    av = pytest.importorskip("av")
    decoded = []

    def counting(*arguments):
        for frame in decode_only(*arguments):
            decoded.append(frame)
            yield frame

    decode_only = shortcuts._decode_only
    monkeypatch.setattr(shortcuts, "_decode_only", counting)
    with av.open(str(numbered["closed.mp4"])) as container:
        stream = container.streams.video[0]
        assert len(list(wanted_frames(container, stream, find_key_frames(container, stream), [11]))) == 1
    assert len(decoded) < 8  # of 12


def test_order_and_repeats(numbered, decoder):
    frames = read_frames(numbered["closed.mp4"], [30, 2, 2, 50, 30], decoder=decoder)
    assert numbers_shown(frames) == [30, 2, 2, 50, 30]
    assert frames.dtype == np.uint8
    assert frames.shape == (5, 48, 128, 3)
    assert frames.flags["C_CONTIGUOUS"]


def test_probe(numbered, decoder):
    info = probe(numbered["closed.mp4"], decoder=decoder)
    assert (info.num_frames, info.width, info.height) == (60, 128, 48)
    assert info.fps == pytest.approx(25, rel=1e-3)
    assert info.duration_seconds == pytest.approx(2.4, abs=0.01)


def test_index_past_the_end(numbered, decoder):
    with pytest.raises(DecodingError, match=r"closed\.mp4: frame 60 was asked for, but only 60 frames decode"):
        read_frames(numbered["closed.mp4"], [3, 60], decoder=decoder)


@pytest.mark.parametrize("indices", [[], [-1], [1.5], [[1, 2]]])
def test_unusable_indices(numbered, indices):
    with pytest.raises(VidsslError, match="whole numbers"):
        read_frames(numbered["closed.mp4"], indices)


def test_bad_paths(tmp_path, decoder):
    with pytest.raises(DecodingError, match=r"gone\.mp4: no such file"):
        read_frames(tmp_path / "gone.mp4", [0], decoder=decoder)
    with pytest.raises(DecodingError, match="not a file"):
        probe(tmp_path, decoder=decoder)


def test_unknown_decoder(numbered):
    with pytest.raises(UnknownNameError, match=r"Did you mean 'pyav'.*decord, opencv, pyav, torchcodec"):
        read_frames(numbered["closed.mp4"], [0], decoder="pyaw")


def test_missing_package_is_told(numbered, monkeypatch):
    monkeypatch.setattr(decoding, "_is_installed", lambda name: name == "pyav")
    decoding._reader_called.cache_clear()
    with pytest.raises(VidsslError, match=r"'decord', which is not installed.*Installed: pyav\."):
        read_frames(numbered["closed.mp4"], [0], decoder="decord")
    assert len(read_frames(numbered["closed.mp4"], [0])) == 1  # 'auto' needs no other


@pytest.mark.parametrize("is_seen_at_import", [False, True])
def test_torchcodec_without_ffmpeg_is_no_fault_of_the_videos(numbered, monkeypatch, is_seen_at_import):
    """As torchcodec 0.17 says it, at the first video, and earlier versions at import."""
    said = RuntimeError("Could not load libtorchcodec. Likely causes:\n  1. FFmpeg is not properly installed")

    def fail(*_, **__):
        raise said

    package, decoders = ModuleType("torchcodec"), ModuleType("torchcodec.decoders")
    if is_seen_at_import:
        decoders.__getattr__ = fail
    else:
        decoders.VideoDecoder = fail
    monkeypatch.setitem(sys.modules, "torchcodec", package)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)
    monkeypatch.delitem(sys.modules, "vidssl.video.decoders.torchcodec_reader", raising=False)
    monkeypatch.setattr(decoding, "_is_installed", lambda name: True)
    decoding._reader_called.cache_clear()
    with pytest.raises(VidsslError, match=r"'torchcodec' is installed but cannot be loaded .*install FFmpeg") as caught:
        read_frames(numbered["closed.mp4"], [0], decoder="torchcodec")
    assert not isinstance(caught.value, DecodingError)  # no video is marked as bad
    monkeypatch.delitem(sys.modules, "vidssl.video.decoders.torchcodec_reader", raising=False)
    decoding._reader_called.cache_clear()


def test_metadata_that_is_not_utf8(numbered, tmp_path):
    path = tmp_path / "a (b)! + 'c'.avi"
    content = numbered["no_b_frames.avi"].read_bytes()
    assert b"Lavf" in content
    path.write_bytes(content.replace(b"Lavf", b"\xe9\xff\xfe\xe8"))
    assert probe(path).num_frames == 60


def test_unknown_codec(numbered, tmp_path):
    path = tmp_path / "odd.avi"
    path.write_bytes(numbered["no_b_frames.avi"].read_bytes().replace(b"FMP4", b"QQQQ"))
    with pytest.raises(DecodingError, match=r"odd\.avi: cannot be opened: its codec is unknown"):
        probe(path)


def test_every_frame_counted_can_be_read_from_a_damaged_file(numbered, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.avi"
    read = 0
    for _ in range(20):
        content = bytearray(numbered["no_b_frames.avi"].read_bytes())
        for position in rng.integers(6000, len(content), 20):  # spare the header
            content[position] ^= 0xFF
        path.write_bytes(content[: rng.integers(8000, len(content))])
        try:
            num_frames = probe(path).num_frames
        except DecodingError:
            continue
        assert len(read_frames(path, rng.permutation(num_frames)[:8])) == min(8, num_frames)
        read += num_frames
    assert read > 100


def test_error_survives_the_way_from_a_worker():
    error = pickle.loads(pickle.dumps(DecodingError("a.mp4", "empty file")))
    assert (error.path, error.reason, str(error)) == ("a.mp4", "empty file", "a.mp4: empty file")


def test_importing_costs_no_video_library():
    code = (
        "import sys, vidssl.video.decoding as d; d.available_decoders(); d.DECODERS.summaries(); "
        "print(sorted({'av', 'cv2', 'decord', 'torch', 'torchcodec'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    assert DECODERS.names() == sorted(DECODER_NAMES)


def test_memory_stays_bounded(numbered, decoder):
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    path = numbered["closed.mp4"]

    def resident_bytes():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def read(times):
        for _ in range(times):
            read_frames(path, [3, 20, 50], decoder=decoder)
        return resident_bytes()

    assert -read(50) + read(200) < 8e6  # a leaked reader would be over 100 kB a call
