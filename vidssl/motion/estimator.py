"""What a flow estimator offers, and windows over a stream of flows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vidssl.motion.boundary import clipped_window, window_around
from vidssl.motion.maps import block_means

if TYPE_CHECKING:
    from vidssl.video.decoders.kept_frames import KeptFrames

# Faster than this, in pixels per frame, is taken for a failure; the released code of MCL clips there too.
MAX_SPEED = 20.0


# A video moves if so much of its flow's energy lasts, or more where few flows agree by chance (noise: up to 0.07 of 40
# flows, 0.04 of 160; real videos: 0.08 of a strobing fight, mostly above 0.4) ...
LASTING_SHARE = 0.07
LASTING_BY_CHANCE = 0.76  # over the square root of the number of flows
# ... while some part of the frame moves at least so fast against the rest, in pixels per frame of the video's own size;
LASTING_SPEED = 0.05
# or if the flow explains so much of what changes from frame to frame (sensor noise: up to 0.3).
EXPLAINED_SHARE = 1 / 3
_LAGS = 8  # frames up to which flow may last: footage at a quarter of its frame rate repeats frames
_LASTING_GRID = (12, 16)


class MotionEvidence:
    """Whether anything moves in a video, or its flow is that of noise.

    What moves does so for more than one frame, and taking each pixel from where it has moved to undoes the change of
    the picture; neither is so of noise, however large the flow that it is given.

    Attributes:
        num_flows: taken in so far.
        is_certain: the flow is known, not estimated: none of it is noise.
        estimator: name of the one that the flow comes from, which may be the fallback.
    """

    def __init__(self) -> None:
        self.num_flows = 0
        self.is_certain = False
        self.estimator = ""
        self._recent: deque[np.ndarray] = deque(maxlen=_LAGS)
        self._products = np.zeros((1 + _LAGS, *_LASTING_GRID))
        self._changed = self._unexplained = 0.0

    def add(self, flow: np.ndarray, previous: np.ndarray, following: np.ndarray, speed_of_pixel: np.ndarray) -> None:
        """Take in the flow between two frames.

        Args:
            flow: float32 h x w x 2, pixels per frame of the video's own size.
            previous: uint8 H x W, the first frame, at the size where they were compared.
            following: uint8 H x W, the second.
            speed_of_pixel: float (2,): what a pixel of `previous` a frame, across and down, is in units of `flow`.
        """
        cells = block_means(np.moveaxis(flow, -1, 0), *_LASTING_GRID)
        cells -= cells.mean(axis=(1, 2), keepdims=True)  # what the camera does
        for lag, earlier in enumerate((cells, *self._recent)):
            self._products[lag] += (cells * earlier).sum(axis=0)
        self._recent.appendleft(cells)
        self._changed += _difference(previous, following)
        self._unexplained += _difference(previous, _taken_back(following, flow / speed_of_pixel))
        self.num_flows += 1

    def explained(self) -> float:
        """Return the share of the frames' change, in squared grey levels, that the flow explains, 0 without change."""
        return 1 - self._unexplained / self._changed if self._changed else 0.0

    def lasting(self) -> tuple[float, float]:
        """Return the share of the flow's energy that lasts, and the speed of the cell where most does.

        Flows are compared with those 1 to 8 frames later on 12 x 16 cells, without what the whole frame does alike; the
        distance counts at which most lasts.
        """
        lags = range(1, min(1 + _LAGS, self.num_flows))
        energies = [self._products[lag] / (self.num_flows - lag) for lag in lags]
        lasting = max(energies, key=np.sum, default=np.zeros(_LASTING_GRID))
        energy = self._products[0].mean() / max(1, self.num_flows)
        return float(lasting.mean() / energy) if energy > 0 else 0.0, float(np.sqrt(max(0.0, lasting.max())))

    @property
    def nothing_moves(self) -> bool:
        """Whether the flows so far are those of a still scene or of noise."""
        if self.is_certain:
            return False
        share, speed = self.lasting()
        by_chance = max(LASTING_SHARE, LASTING_BY_CHANCE / np.sqrt(max(1, self.num_flows)))
        return bool(share < by_chance or speed < LASTING_SPEED) and self.explained() < EXPLAINED_SHARE


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    return cv2.norm(first, second, cv2.NORM_L2SQR)


def _taken_back(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Return a picture uint8 H x W with each pixel taken from where flow h x w x 2, in its pixels, has moved it."""
    height, width = picture.shape
    places = cv2.resize(flow.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    places += np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    return cv2.remap(picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


class NoMotionVectors(Exception):
    """The stream holds no motion vectors. Raised before the first flow; never leaves `vidssl.motion.flow`."""


class FlowEstimator(ABC):
    """Optical flow of a video file. Built with the options of the settings, as keyword arguments.

    Attributes:
        kept: where an estimator that decodes all frames may put them, so that they are not decoded again; or None.
        evidence: gets the flow between every two frames, from an estimator that compares their pixels, or the word of
            one that is certain; or None.
    """

    kept: KeptFrames | None = None
    evidence: MotionEvidence | None = None

    @abstractmethod
    def flows(self, path: str, short_side: int | None) -> Iterator[np.ndarray]:
        """Yield the flow from each frame to the next, in display order and orientation.

        Args:
            path: the video.
            short_side: short side in pixels at which to compare frames; None is the video's own.

        Returns:
            float32 h x w x 2 (u to the right, v down), in pixels per frame of the video's own size; h x w cells divide
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
