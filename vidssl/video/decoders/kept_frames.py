"""Frames of a video kept as they were decoded, for a reader that comes later and knows which it wants."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import av
import numpy as np

from vidssl.video.decoders.pyav_reader import RGBConverter
from vidssl.video.decoders.reader import past_the_end

# About 1000 frames of 340 x 256, or 290 of 640 x 480. Longer videos are decoded a second time, where frames are wanted.
MAX_KEPT_BYTES = 128 * 2**20


class KeptFrames:
    """All frames of one video, not yet converted to RGB; converted, they are those that `PyAVReader` gives.

    Whoever decodes the video begins, adds its frames in display order and says at the end that these were all. Where
    more than `max_bytes` come together, or a frame is damaged, none are kept. A context manager: frames are kept inside
    its `with`, and let go at its end.

    A frame of PyAV whose side data was looked at refers to itself: only the garbage collector frees it, and with it all
    pictures of its decoder. One that has outlived a collection may wait for the next through many videos. So from
    `begin` on, while there are frames here, nothing is collected; at the end of the `with` the young objects are.

    Args:
        max_bytes: of the pictures; 0 keeps none.

    Attributes:
        are_complete: whether every frame is here.
    """

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._is_open = self._stopped_collector = False
        self._forget()

    def _forget(self) -> None:
        self._frames: list[av.VideoFrame] = []
        self._num_bytes = 0
        self._are_refused = self.are_complete = False

    def __len__(self) -> int:
        return len(self._frames)

    def __enter__(self) -> KeptFrames:
        self._is_open = True
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_open = False
        self._forget()
        self._restart_collector()

    def has_room_for(self, num_frames: int, width: int, height: int) -> bool:
        """Return whether this many frames of 8 bits and 4:2:0 would be kept."""
        return self._is_open and num_frames * width * height * 3 // 2 < self._max_bytes

    def begin(self) -> None:
        """Make ready for the first frame, or for the first once more."""
        self._forget()
        if gc.isenabled():
            gc.disable()
            self._stopped_collector = True

    def add(self, frame: av.VideoFrame) -> None:
        """Keep the next frame."""
        if self._are_refused:
            return
        self._frames.append(frame)
        self._num_bytes += sum(plane.buffer_size for plane in frame.planes)
        if frame.is_corrupt or self._num_bytes > self._max_bytes:
            self._frames.clear()
            self._are_refused = True
            self._restart_collector()

    def finish(self) -> None:
        """Note that the frames added are all that the video has."""
        self.are_complete = len(self._frames) > 0

    def frames(self, path: str, indices: list[int]) -> Iterator[np.ndarray]:
        """See `Reader.frames`; `path` is for the error."""
        to_rgb = RGBConverter()
        for index in indices:
            if index >= len(self._frames):
                raise past_the_end(path, index, len(self._frames))
            yield to_rgb(self._frames[index])

    def _restart_collector(self) -> None:
        if self._stopped_collector:
            self._stopped_collector = False
            gc.enable()
            gc.collect(0)
