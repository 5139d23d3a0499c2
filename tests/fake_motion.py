"""Motion of videos that are only names: what each one does is in its name."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.motion.maps import VideoMotion
from vidssl.motion.settings import MotionSettings
from vidssl.motion.whole_catalog import MotionJob
from vidssl.video.decoding import DecodingError

SETTINGS = MotionSettings(grid=(6, 6), stride=4)


def fake_motion(path, settings):
    """Behave as the name of the file says; what is good depends on the name alone. Note every call."""
    name = Path(path).name
    with open(Path(path).parent / "calls.log", "a") as log:
        log.write(name + "\n")
    if "hang" in name:
        time.sleep(1e6)
    if "segfault" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "bad" in name:
        raise DecodingError(path, "no frame decodes")
    rng = np.random.default_rng(list(name.encode()))
    num_frames = 10 + len(name) + ("longer" in name)
    maps = rng.random((-(-num_frames // settings.stride), *settings.grid), np.float32)
    return VideoMotion(maps, settings.stride, num_frames)


def make_job(folder, names, **changes):
    rows = [VideoRow(name, -1, -1, 10 + len(name), 25.0, 64, 48, 1.0) for name in names]
    file = folder / "x.catalog"
    write_catalog(file, rows, classes=[], group_names=[], splits={}, root=folder, source={})
    return MotionJob(Catalog.open(file), SETTINGS, folder / "x.motion", **changes)


def numbered(count):
    return [f"{number:02d}.avi" for number in range(count)]
