"""Frames by PyAV, which brings its own FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from io import BytesIO
from operator import lt

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vidssl.video.decoders.diagnosis import open_video
from vidssl.video.decoders.reader import DecodingError, VideoInfo, fps_and_duration, past_the_end
from vidssl.video.decoders.shortcuts import Inexact, find_key_frames, wanted_frames


class PyAVReader:
    """Reads frames in the decoder's own order, which is display order even where timestamps are not.

    Args:
        path: the video.
        file: its bytes, where they are in memory; then `path` is for messages, and for `info` and `decoded` alone.

    Raises:
        DecodingError: it cannot be opened.
    """

    def __init__(self, path: str, file: BytesIO | None = None) -> None:
        self.path = path
        self._to_rgb = RGBConverter()
        self._container, self._stream = open_video(path, file)

    def frames(self, indices: list[int]) -> Iterator[np.ndarray]:
        """See `Reader.frames`."""
        keys = find_key_frames(self._container, self._stream)
        served = 0
        if keys is not None:
            try:
                for frame in wanted_frames(self._container, self._stream, keys, indices):
                    yield self._to_rgb(frame)
                    served += 1
            except (Inexact, av.FFmpegError):
                self.close()
                self._container, self._stream = open_video(self.path)
        if served < len(indices):
            yield from self._frames_from_the_first_on(indices[served:])

    def info(self) -> VideoInfo:
        """See `Reader.info`."""
        first: av.VideoFrame | None = None
        last: av.VideoFrame | None = None
        times: list[int] = []
        count = 0
        for last in self.decoded():
            first = first or last
            count += 1
            if last.pts is not None:
                times.append(last.pts)
        if first is None or last is None:
            raise DecodingError(self.path, "no frame decodes")
        nominal_fps = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        span_seconds = None
        if last.time_base is not None and len(times) == count and all(map(lt, times, times[1:])):
            last_seconds = last.duration * float(last.time_base) or (1 / nominal_fps if nominal_fps else 0.0)
            span_seconds = (times[-1] - times[0]) * float(last.time_base) + last_seconds
        fps, duration_seconds = fps_and_duration(nominal_fps, count, span_seconds)
        sideways = first.rotation % 180 != 0
        height, width = (first.width, first.height) if sideways else (first.height, first.width)
        return VideoInfo(count, fps, width, height, duration_seconds)

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def _frames_from_the_first_on(self, indices: list[int]) -> Iterator[np.ndarray]:
        count = served = 0
        for frame in self.decoded():
            if count == indices[served]:
                yield self._to_rgb(frame)
                served += 1
                if served == len(indices):
                    return
            count += 1
        raise past_the_end(self.path, indices[served], count)

    def decoded(self) -> Iterator[av.VideoFrame]:
        """Yield every frame that decodes, as it is stored."""
        try:
            yield from self._container.decode(self._stream)
        except av.FFmpegError:
            return  # damaged from here on: what came before is what decodes


class RGBConverter:
    """Turns decoded frames into pixels."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """Return uint8 H x W x 3, RGB, as displayed."""
        interpolation = _interpolation(frame.format.name)
        rgb = self._reformatter.reformat(frame, format="rgb24", interpolation=interpolation, threads=1)
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(rgb.height, plane.line_size)
        pixels = rows[:, : rgb.width * 3].reshape(rgb.height, rgb.width, 3)
        quarter_turns = round(frame.rotation / 90) % 4
        return np.rot90(pixels, quarter_turns) if quarter_turns else pixels


@cache
def _interpolation(pixel_format: str) -> Interpolation:
    """Return how FFmpeg converts a format; its shorter way rounds more than 8 bits down, to a white of 253."""
    is_deep = av.VideoFormat(pixel_format).components[0].bits > 8
    return Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT if is_deep else Interpolation.BILINEAR
