"""Frames by PyAV, which brings its own FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vidssl.data.decoders.diagnosis import explain_unopened
from vidssl.data.decoders.reader import DecodingError, VideoInfo, fps_and_duration, past_the_end


class PyAVReader:
    """Reads frames in the decoder's own order, which is display order even where timestamps are not."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            # some sets' metadata is not UTF-8
            self._container = av.open(path, metadata_errors="ignore")
        except av.FFmpegError as error:
            raise explain_unopened(path, "pyav", error) from error
        self._stream = self._container.streams.best("video")
        if self._stream is None:
            self.close()
            raise DecodingError(path, "no video stream")
        self._stream.thread_type = "NONE"
        self._stream.codec_context.thread_count = 1
        self._reformatter = VideoReformatter()

    def frames(self, indices: list[int]) -> Iterator[np.ndarray]:
        """See `Reader.frames`."""
        wanted = iter(indices)
        index = next(wanted, None)
        count = 0
        for frame in self._decode():
            if index is None:
                return
            if count == index:
                yield self._to_rgb(frame)
                index = next(wanted, None)
            count += 1
            if index is None:
                return
        if index is not None:
            raise past_the_end(self.path, index, count)

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

    def _decode(self) -> Iterator[av.VideoFrame]:
        try:
            yield from self._container.decode(self._stream)
        except av.FFmpegError:
            return  # damaged from here on: what came before is what decodes

    def _to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
        plane = rgb.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(rgb.height, plane.line_size)
        pixels = rows[:, : rgb.width * 3].reshape(rgb.height, rgb.width, 3)
        quarter_turns = round(frame.rotation / 90) % 4
        return np.rot90(pixels, quarter_turns) if quarter_turns else pixels
