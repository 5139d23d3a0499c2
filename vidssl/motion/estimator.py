"""What a flow estimator offers, and windows over a stream of flows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import numpy as np

from vidssl.motion.boundary import clipped_window, window_around

if TYPE_CHECKING:
    from vidssl.video.decoders.kept_frames import KeptFrames

# Faster than this, in pixels a frame, is taken for a failure; the released code of MCL clips there too.
MAX_SPEED = 20.0


class NoMotionVectors(Exception):
    """The stream holds no motion vectors. Raised before the first flow; never leaves `vidssl.motion.flow`."""


class FlowEstimator(ABC):
    """Optical flow of a video file. Built with the options of the settings, as keyword arguments.

    Attributes:
        kept: where an estimator that decodes all frames may put them, so that they are not decoded again; or None.
    """

    kept: KeptFrames | None = None

    @abstractmethod
    def flows(self, path: str, short_side: int | None) -> Iterator[np.ndarray]:
        """Yield the flow from each frame to the next, in display order and orientation.

        Args:
            path: the video.
            short_side: short side in pixels at which to compare frames; None is the video's own.

        Returns:
            float32 h x w x 2 (u to the right, v down), in pixels a frame of the video's own size; h x w cells divide
            the frame evenly. One fewer than the frames.

        Raises:
            DecodingError: as `vidssl.video.decoding.read_frames` does.
        """

    def mean_flows(
        self, path: str, short_side: int | None, *, window: int, stride: int
    ) -> Generator[np.ndarray, None, int]:
        """Yield the mean flow around every `stride`-th frame, as `windowed_means` of `flows` would.

        An estimator overrides this where it can do better than average finished flows.

        Returns:
            the number of flows.
        """
        return (yield from windowed_means(self.flows(path, short_side), window=window, stride=stride))


def windowed_means(arrays: Iterator[np.ndarray], *, window: int, stride: int) -> Generator[np.ndarray, None, int]:
    """Yield the mean over the window around every `stride`-th frame, holding one window in memory.

    Args:
        arrays: one for each pair of consecutive frames, all of one shape.
        window: arrays around a frame; cut where the video ends.
        stride: frames from one window to the next.

    Returns:
        the number of arrays; none are yielded where it is 0.
    """
    latest: deque[np.ndarray] = deque(maxlen=window)
    count, frame = 0, 0
    for array in arrays:
        latest.append(array)
        count += 1
        if window_around(frame, window)[1] == count:
            first, _ = clipped_window(frame, window, count)
            yield np.mean([latest[i - count] for i in range(first, count)], axis=0)
            frame += stride
    while count and frame <= count:
        first, end = clipped_window(frame, window, count)
        yield np.mean([latest[i - count] for i in range(first, end)], axis=0)
        frame += stride
    return count
