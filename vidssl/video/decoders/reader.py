"""What every frame reader offers, and the error they all raise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vidssl.errors import VidsslError


class DecodingError(VidsslError):
    """A video, or a frame of it, that cannot be read.

    Attributes:
        path: the file.
        reason: why, without the file name.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[DecodingError], tuple[str, str]]:
        # loader workers send errors to the main process; the default would pass the message as `path`
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class VideoInfo:
    """What a video really holds.

    Attributes:
        num_frames: frames that decode, counted by decoding them all; the header's figure is not trusted.
        fps: frames per second; measured by the timestamps where the header's figure is off by over 1 %.
        width: pixels, after rotation to display orientation.
        height: pixels, after rotation to display orientation.
        duration_seconds: from the first decoded frame's start to the last one's end.
    """

    num_frames: int
    fps: float
    width: int
    height: int
    duration_seconds: float


class Reader(Protocol):
    """An open video. Built from a path, closed by the caller, used for one call."""

    def __init__(self, path: str) -> None: ...

    def frames(self, indices: list[int]) -> Iterator[np.ndarray]:
        """Yield the frames at `indices` (ascending, distinct), each uint8 H x W x 3, RGB, as displayed.

        A yielded array may be a view that the next one overwrites.

        Raises:
            DecodingError: an index lies past the last frame that decodes.
        """
        ...

    def info(self) -> VideoInfo:
        """Decode the whole video and return what it holds."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


def past_the_end(path: str, index: int, num_frames: int) -> DecodingError:
    """Return the error for a frame number that the video does not have."""
    if num_frames == 0:
        return DecodingError(path, "no frame decodes")
    return DecodingError(
        path, f"frame {index} was asked for, but only {num_frames} frames decode (numbered from 0); prepare it again"
    )


def failed_midway(path: str, decoder: str, index: int, num_frames: int, error: Exception) -> DecodingError:
    """Return the error for a batch up to frame `index` that failed, where `num_frames` decode one after another."""
    if index >= num_frames:
        return past_the_end(path, index, num_frames)
    said = str(error).strip().split("\n")[-1][:200]
    return DecodingError(path, f"damaged: decoder {decoder!r} fails before frame {index} ({said}); try decoder 'pyav'")


def fps_and_duration(nominal_fps: float, num_frames: int, span_seconds: float | None) -> tuple[float, float]:
    """Return frames per second and seconds.

    Args:
        nominal_fps: what the header says; 0 where it says nothing.
        num_frames: frames that decode.
        span_seconds: from the start of the first frame to the end of the last by timestamps, None if unusable.
    """
    if not span_seconds or span_seconds <= 0:
        return nominal_fps, num_frames / nominal_fps if nominal_fps else 0.0
    measured_fps = num_frames / span_seconds
    agrees = abs(measured_fps - nominal_fps) <= 0.01 * nominal_fps  # timestamps may be rounded to milliseconds
    return nominal_fps if agrees else measured_fps, span_seconds
