"""Frames by PyAV, which brings its own FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vidssl.video.decoders.diagnosis import explain_unopened, open_container
from vidssl.video.decoders.reader import DecodingError, VideoInfo, fps_and_duration, past_the_end
from vidssl.video.decoders.shortcuts import Inexact, find_key_frames, wanted_frames


class PyAVReader:
    """Reads frames in the decoder's own order, which is display order even where timestamps are not."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._to_rgb = RGBConverter()
        self._open()

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
                self._open()
        if served < len(indices):
            yield from self._frames_from_the_first_on(indices[served:])

    def info(self) -> VideoInfo:
        """See `Reader.info`."""
        count, first, last, ordered = 0, None, None, True
        for frame in self._decode():
            count += 1
            first = first or frame
            ordered = ordered and frame.pts is not None and (last is None or frame.pts > last.pts)
            last = frame
        if first is None:
            raise DecodingError(self.path, "no frame decodes")
        nominal_fps = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        span_seconds = None
        if ordered:
            last_seconds = last.duration * float(last.time_base) or (1 / nominal_fps if nominal_fps else 0.0)
            span_seconds = (last.pts - first.pts) * float(last.time_base) + last_seconds
        fps, duration_seconds = fps_and_duration(nominal_fps, count, span_seconds)
        sideways = first.rotation % 180 != 0
        height, width = (first.width, first.height) if sideways else (first.height, first.width)
        return VideoInfo(count, fps, width, height, duration_seconds)

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def _open(self) -> None:
        try:
            self._container = open_container(self.path)
        except av.FFmpegError as error:
            raise explain_unopened(self.path, "pyav", error) from error
        stream = self._container.streams.best("video")
        if stream is None:
            self.close()
            raise DecodingError(self.path, "no video stream")
        if stream.codec_context is None:
            self.close()
            raise DecodingError(self.path, "cannot be opened: its codec is unknown, or its header is damaged")
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        self._stream = stream

    def _frames_from_the_first_on(self, indices: list[int]) -> Iterator[np.ndarray]:
        remaining = iter(indices)
        index = next(remaining)
        count = 0
        for frame in self._decode():
            if count == index:
                yield self._to_rgb(frame)
                index = next(remaining, None)
                if index is None:
                    return
            count += 1
        raise past_the_end(self.path, index, count)

    def _decode(self) -> Iterator[av.VideoFrame]:
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
        rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
        plane = rgb.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(rgb.height, plane.line_size)
        pixels = rows[:, : rgb.width * 3].reshape(rgb.height, rgb.width, 3)
        quarter_turns = round(frame.rotation / 90) % 4
        return np.rot90(pixels, quarter_turns) if quarter_turns else pixels
