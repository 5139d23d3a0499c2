"""Motion computed while videos are packed.

It is the motion of the packed videos: what `vidssl motion` computes from their catalog, to the last bit. A packed
video is decoded anyway, to count its frames; the estimator does that in passing. So each source and each packed video
is decoded once, and stored motion, motion computed while training and frames are of the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.packing.job import PackJob
from vidssl.catalogs.packing.units import Beside, Outcome, read_beside
from vidssl.catalogs.packing.working import PackVideo
from vidssl.motion.quantisation import quantisation
from vidssl.motion.settings import MotionSettings
from vidssl.motion.store import StoredVideo, bytes_per_map, num_maps, write_store
from vidssl.motion.whole_catalog import encode_video
from vidssl.storage.container import cannot_write
from vidssl.video.decoders.reader import DecodingError
from vidssl.video.encoding import PRESETS, SUFFIX

SUFFIX_OF_STORE = ".motion"
DTYPE = "uint8"
_SECONDS_PER_FRAME = {"codec": 0.0003, "dis": 0.0025}  # of a core, with the default settings, on packed Kinetics


def motion_beside(settings: MotionSettings) -> dict[str, Any]:
    """Return the entries by which a `PackJob` names the motion that it keeps beside the videos."""
    return {"motion": settings.estimator, "settings": settings.digest, "dtype": DTYPE}


def motion_bytes(catalog: Catalog, settings: MotionSettings) -> int:
    """Return the bytes of the motion of all videos, up to the header of the file."""
    maps = int(np.sum(num_maps(catalog.num_frames.astype(np.int64), settings.stride)))
    return maps * bytes_per_map(settings, DTYPE)


def motion_core_seconds(catalog: Catalog, settings: MotionSettings) -> float | None:
    """Return the seconds that one core works on the motion of all videos, about; None where that was not measured."""
    seconds = _SECONDS_PER_FRAME.get(settings.estimator)
    return None if seconds is None else seconds * float(catalog.num_frames.sum(dtype=np.int64))


def store_of(job: PackJob) -> Path:
    """Return the file of the motion of the packed videos, beside their catalog."""
    return job.catalog_file.with_suffix(SUFFIX_OF_STORE)


@dataclass(frozen=True)
class PackWithMotion:
    """Packs one video and computes its motion, in a process of its own.

    Attributes:
        pack_video: packs it.
        settings: estimator, grid and windows.
        folder: where a video is put for the estimator to read; it exists.
    """

    pack_video: PackVideo
    settings: MotionSettings
    folder: Path

    def __call__(self, row: str) -> Outcome:
        """Return the video of a row, written in digits, with its motion, or the reason why there is none.

        Raises:
            DecodingError: as `PackVideo` does.
            VidsslError: the estimator is not available, or the folder cannot be written.
        """
        found: list[Beside] = []
        outcome = self.pack_video.looked_at(int(row), lambda contents: self._look(contents, found))
        if PRESETS[self.pack_video.preset_name].encoding is None:
            found.append(self._motion(self.pack_video.catalog.place(int(row))))
        return outcome._replace(beside=found[0])

    def _look(self, contents: bytes, found: list[Beside]) -> int | None:
        """Compute the motion of an encoded video; return how many frames were decoded for it."""
        with self._file_of(contents) as path:
            found.append(self._motion(path))
        return found[0].info.get("num_frames")

    @contextmanager
    def _file_of(self, contents: bytes) -> Iterator[str]:
        """Put an encoded video where an estimator can read it; what a killed process leaves goes with the folder."""
        with ExitStack() as stack:
            try:
                file = stack.enter_context(NamedTemporaryFile(dir=self.folder, prefix="video-", suffix=SUFFIX))
                file.write(contents)
                file.flush()
            except OSError as error:
                raise cannot_write(self.folder, error) from error
            yield file.name

    def _motion(self, place: str) -> Beside:
        try:
            return Beside(*encode_video(place, self.settings, DTYPE))
        except DecodingError as error:
            return Beside({"reason": error.reason})


def motion_writer(job: PackJob, settings: MotionSettings) -> Callable[[Catalog], None]:
    """Return what writes the motion that a job has kept, for `vidssl.catalogs.packing.working.finish`."""

    def write(packed: Catalog) -> None:
        videos = [_stored(beside) for beside in read_beside(job)]
        dtype = quantisation(DTYPE).dtype
        shares = (
            np.frombuffer(beside.contents, dtype, offset=4 * beside.info["num_maps"])
            for beside in read_beside(job)
            if "reason" not in beside.info
        )
        write_store(store_of(job), videos, shares, catalog=packed, settings=settings, dtype=DTYPE)

    return write


def _stored(beside: Beside) -> StoredVideo:
    if "reason" in beside.info:
        return StoredVideo(0, "", np.empty(0, np.float32), beside.info["reason"])
    scales = np.frombuffer(beside.contents, "<f4", count=beside.info["num_maps"])
    return StoredVideo(beside.info["num_frames"], beside.info["estimator"], scales)
