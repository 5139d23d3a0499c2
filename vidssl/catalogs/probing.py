"""Probes videos: frames, size and length of each, even if its file is damaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from vidssl.catalogs.file_state import FileState
from vidssl.jobs.video_processes import Processes, Work, over_videos, usable_cores
from vidssl.video.decoding import VideoInfo

Probe = Work[VideoInfo]
"""Takes the path of a video and returns what it holds, or raises `DecodingError`; must survive pickling."""


@dataclass(frozen=True)
class Probed:
    """A video that decodes.

    Attributes:
        info: what it holds.
        file: its file, just before it was probed.
    """

    info: VideoInfo
    file: FileState


@dataclass(frozen=True)
class ProbeOptions:
    """How videos are probed.

    Attributes:
        decoder: a name of `vidssl.video.decoding.DECODERS`, or "auto".
        num_workers: processes, each decoding one video at a time.
        timeout_seconds: a video that takes longer is given up.

    Raises:
        VidsslError: no process, or no time.
    """

    decoder: str = "auto"
    num_workers: int = field(default_factory=usable_cores)
    timeout_seconds: float = 120.0

    def __post_init__(self) -> None:
        self.processes  # noqa: B018  (checks them)

    @property
    def processes(self) -> Processes:
        """The processes that probe."""
        return Processes(self.num_workers, self.timeout_seconds)


def probe_videos(paths: Iterable[str], probe: Probe, options: ProbeOptions) -> Iterator[tuple[str, Probed | str]]:
    """Probe videos in parallel; yield each path with what it holds, or with the reason why nobody knows.

    The order is that in which the answers come. Leaving the loop early ends all processes.

    Raises:
        VidsslError: the processes cannot start, or no video can be probed at all (an unknown decoder).
    """
    return over_videos(paths, partial(_probe_one, probe), options.processes)


def _probe_one(probe: Probe, path: str) -> Probed:
    try:
        file = FileState.of(path)
    except OSError:  # the probe finds the words for it
        file = FileState()
    return Probed(probe(path), file)
