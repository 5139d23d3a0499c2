"""Frames of a video kept as they were decoded, for a reader that comes later and knows which it wants."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np

from vidssl.data.decoders.pyav_reader import RGBConverter
from vidssl.data.decoders.reader import past_the_end

# About 1000 frames of 340 x 256, or 240 of 640 x 480. Longer videos are decoded a second time, where frames are wanted.
MAX_KEPT_BYTES = 128 * 2**20


class KeptFrames:
    """All frames of one video, not yet converted to RGB; converted, they are those that `PyAVReader` gives.

    Whoever decodes the video adds its frames in display order and says at the end that these were all. Where more than
    `max_bytes` come together, or a frame is damaged, none are kept.

    Args:
        max_bytes: of the pictures.

    Attributes:
        are_complete: whether every frame is here.
    """

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self.clear()

    def __len__(self) -> int:
        return len(self._frames)

    def has_room_for(self, num_frames: int, width: int, height: int) -> bool:
        """Tell whether so many frames of 8 bits and 4:2:0 would be kept."""
        return num_frames * width * height * 3 // 2 <= self._max_bytes

    def clear(self) -> None:
        """Let go of all frames, to begin anew."""
        self._frames: list[av.VideoFrame] = []
        self._num_bytes = 0
        self._are_refused = self.are_complete = False
        self._graph: av.filter.Graph | None = None

    def add(self, frame: av.VideoFrame) -> None:
        """Keep the next frame, of the same size as those before."""
        self._num_bytes += sum(plane.buffer_size for plane in frame.planes)
        self._are_refused |= frame.is_corrupt or self._num_bytes > self._max_bytes
        if self._are_refused:
            self._frames.clear()
        else:
            self._frames.append(self._reference(frame))

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

    def _reference(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return another frame that holds the same picture, without copying it.

        A frame of PyAV whose side data was looked at refers to itself, and stays until the garbage collector comes by,
        which may take gigabytes. Of the frame that a filter passes on, nobody looks at the side data.
        """
        if self._graph is None:
            self._graph = av.filter.Graph()
            # the time base means nothing here, but a filter wants one
            source = self._graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            source.link_to(self._graph.add("buffersink"))
            self._graph.configure()
        self._graph.push(frame)
        return self._graph.pull()
