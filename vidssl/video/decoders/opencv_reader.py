"""Frames by OpenCV's FFmpeg reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from vidssl.video.decoders.diagnosis import explain_unopened
from vidssl.video.decoders.reader import DecodingError, VideoInfo, fps_and_duration, past_the_end
from vidssl.video.places import for_decoder


class OpenCVReader:
    """Reads from the first frame on: OpenCV's seeking is not exact."""

    def __init__(self, path: str) -> None:
        self.path = path
        # CAP_PROP_N_THREADS touches this reader only, unlike cv2.setNumThreads
        source: Any = for_decoder(path)  # OpenCV's types know no file objects
        self._capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not self._capture.isOpened():
            raise explain_unopened(path, "opencv", "OpenCV gives no reason")

    def frames(self, indices: list[int]) -> Iterator[np.ndarray]:
        """See `Reader.frames`."""
        next_index = 0
        for index in indices:
            while next_index <= index:
                if not self._capture.grab():
                    raise past_the_end(self.path, index, next_index)
                next_index += 1
            yield cv2.cvtColor(self._capture.retrieve()[1], cv2.COLOR_BGR2RGB)

    def info(self) -> VideoInfo:
        """See `Reader.info`."""
        count, size, stamps = 0, None, []
        while self._capture.grab():
            if size is None:
                size = self._capture.retrieve()[1].shape[:2]
            stamps.append(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            count += 1
        if size is None:
            raise DecodingError(self.path, "no frame decodes")
        nominal_fps = self._capture.get(cv2.CAP_PROP_FPS)
        ordered = count > 1 and bool(np.all(np.diff(stamps) > 0)) and nominal_fps > 0
        span_seconds = stamps[-1] - stamps[0] + 1 / nominal_fps if ordered else None
        fps, duration_seconds = fps_and_duration(nominal_fps, count, span_seconds)
        return VideoInfo(count, fps, size[1], size[0], duration_seconds)

    def close(self) -> None:
        """Release the file."""
        del self._capture  # its release() aborts the process where it reads a file object (OpenCV 5.1)
