import os
import signal
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from vidssl.catalogs.file_state import FileState
from vidssl.catalogs.probing import Probed, ProbeOptions, probe_videos
from vidssl.errors import VidsslError
from vidssl.video.decoding import DecodingError, VideoInfo, probe

INFO = VideoInfo(num_frames=10, fps=25.0, width=64, height=48, duration_seconds=0.4)
GOOD = Probed(INFO, FileState())  # of files that are not there
ONE_PROCESS = ProbeOptions(num_workers=1, timeout_seconds=1.0)


def fake_probe(path):
    """Behave as the name of the file says; leave the number of this process beside it."""
    name = Path(path).name
    if "hang" in name:
        time.sleep(1e6)
    if "segfault" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "exit" in name:
        os._exit(3)
    if "truncated" in name:
        raise DecodingError(path, "no frame decodes")
    if "odd" in name:
        raise ZeroDivisionError("fps of 0/0")
    if "decoder" in name:
        raise VidsslError("Unknown decoder 'decrod'.")
    if "later" in name:
        threading.Timer(0.1, os._exit, [9]).start()
    return INFO


def test_every_way_to_fail_costs_only_its_own_video():
    names = ["a", "segfault", "b", "exit", "truncated", "hang", "odd", "c"]
    outcomes = dict(probe_videos(names, fake_probe, ProbeOptions(num_workers=2, timeout_seconds=1.0)))
    assert outcomes == {
        "a": GOOD,
        "b": GOOD,
        "c": GOOD,
        "segfault": "decoding crashed (signal 11)",
        "exit": "decoding crashed (exit code 3)",
        "truncated": "no frame decodes",
        "hang": "no answer within 1 s",
        "odd": "ZeroDivisionError: fps of 0/0",
    }


def test_a_process_that_dies_between_videos_costs_none():
    def slow_list():
        yield "dies later"
        time.sleep(0.5)
        yield "innocent"

    assert dict(probe_videos(slow_list(), fake_probe, ONE_PROCESS)) == {"dies later": GOOD, "innocent": GOOD}


def test_what_no_video_can_help_ends_the_work():
    with pytest.raises(VidsslError, match="Unknown decoder 'decrod'"):
        list(probe_videos(["a", "decoder", "b"], fake_probe, ONE_PROCESS))


def write_pid_and_hang(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(1e6)


def test_leaving_early_ends_processes_that_hang(tmp_path):
    pid_file = tmp_path / "pid"
    options = ProbeOptions(num_workers=2, timeout_seconds=600)
    outcomes = probe_videos([str(pid_file), str(tmp_path / "segfault")], hang_or_fail, options)
    next(outcomes)
    while not pid_file.exists() or not pid_file.read_text():
        time.sleep(0.01)
    outcomes.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def hang_or_fail(path):
    return write_pid_and_hang(path) if path.endswith("pid") else fake_probe(path)


def test_nothing_to_do_starts_nothing():
    assert list(probe_videos([], fake_probe, ONE_PROCESS)) == []


@pytest.mark.parametrize(
    ("options", "message"), [({"num_workers": 0}, "at least one process"), ({"timeout_seconds": 0}, "above 0 seconds")]
)
def test_options_without_sense(options, message):
    with pytest.raises(VidsslError, match=message):
        ProbeOptions(**options)


def test_a_song_with_a_cover_is_no_video(tmp_path):
    file = tmp_path / "song.mp4"
    with av.open(str(file), "w") as container:
        sound, cover = container.add_stream("aac", rate=44_100), container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 64
        cover.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 200, np.uint8), format="rgb24")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44_100
        for stream, frame in ((cover, picture), (sound, silence)):
            container.mux([*stream.encode(frame), *stream.encode()])
    with pytest.raises(DecodingError, match="no video stream, only a cover picture"):
        probe(file)
