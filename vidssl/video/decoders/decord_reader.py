"""Frames by decord (or decord2, its maintained successor under the same import name)."""

from __future__ import annotations

from collections.abc import Iterator

import decord
import numpy as np

from vidssl.video.decoders.diagnosis import explain_unopened, hides_frames
from vidssl.video.decoders.reader import DecodingError, VideoInfo, failed_midway, fps_and_duration, past_the_end
from vidssl.video.places import for_decoder


class DecordReader:
    """Reads a batch of frames, seeking by decord's own key-frame table."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._reader = decord.VideoReader(for_decoder(path), num_threads=1)
        except (RuntimeError, decord.DECORDError) as error:
            raise explain_unopened(path, "decord", error) from error
        if hides_frames(path):  # decord counts them, and after a jump returns frames as many places off
            raise DecodingError(
                path, "its edit list hides frames, which decoder 'decord' miscounts; use decoder 'pyav'"
            )

    def frames(self, indices: list[int]) -> Iterator[np.ndarray]:
        """See `Reader.frames`."""
        if indices[-1] >= len(self._reader):
            raise past_the_end(self.path, indices[-1], self._count())
        try:
            batch = self._reader.get_batch(indices).asnumpy()
        except (RuntimeError, decord.DECORDError) as error:
            raise failed_midway(self.path, "decord", indices[-1], self._count(), error) from error
        yield from batch

    def info(self) -> VideoInfo:
        """See `Reader.info`."""
        count = self._count()
        if count == 0:
            raise DecodingError(self.path, "no frame decodes")
        stamps = self._reader.get_frame_timestamp(np.arange(count))
        span_seconds = float(stamps[-1, 1] - stamps[0, 0]) if np.all(np.diff(stamps[:, 0]) > 0) else None
        fps, duration_seconds = fps_and_duration(self._reader.get_avg_fps(), count, span_seconds)
        height, width = self._reader[0].shape[:2]
        return VideoInfo(count, fps, width, height, duration_seconds)

    def close(self) -> None:
        """Release the file."""
        del self._reader

    def _count(self) -> int:
        reader = decord.VideoReader(for_decoder(self.path), num_threads=1)
        for count in range(len(reader)):
            try:
                reader.next()
            except (RuntimeError, StopIteration, decord.DECORDError):
                return count
        return len(reader)
