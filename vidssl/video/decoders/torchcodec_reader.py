"""Frames by TorchCodec, which uses the system's FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torchcodec.decoders import VideoDecoder

from vidssl.video.decoders.diagnosis import explain_unloaded, explain_unopened
from vidssl.video.decoders.reader import DecodingError, VideoInfo, failed_midway, fps_and_duration, past_the_end
from vidssl.video.places import for_decoder

_OWN_LIBRARY = "libtorchcodec"


class TorchCodecReader:
    """Reads a batch of frames, found by their timestamps."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._decoder = VideoDecoder(
                for_decoder(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact"
            )
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            if _OWN_LIBRARY in str(error):  # newer versions look for FFmpeg at the first video only
                raise explain_unloaded("torchcodec", error) from error
            raise explain_unopened(path, "torchcodec", error) from error

    def frames(self, indices: list[int]) -> Iterator[np.ndarray]:
        """See `Reader.frames`."""
        if indices[-1] >= len(self._decoder):
            raise past_the_end(self.path, indices[-1], self._count())
        try:
            batch = self._decoder.get_frames_at(indices).data.numpy()
        except (RuntimeError, IndexError) as error:
            raise failed_midway(self.path, "torchcodec", indices[-1], self._count(), error) from error
        yield from batch

    def info(self) -> VideoInfo:
        """See `Reader.info`."""
        count = self._count()
        if count == 0:
            raise DecodingError(self.path, "no frame decodes")
        first, last = self._decoder.get_frame_at(0), self._decoder.get_frame_at(count - 1)
        span_seconds = last.pts_seconds + last.duration_seconds - first.pts_seconds
        fps, duration_seconds = fps_and_duration(self._decoder.metadata.average_fps or 0.0, count, span_seconds)
        height, width = first.data.shape[:2]
        return VideoInfo(count, fps, width, height, duration_seconds)

    def close(self) -> None:
        """Release the file."""
        del self._decoder

    def _count(self) -> int:
        for count in range(len(self._decoder)):
            try:
                self._decoder.get_frame_at(count)
            except (RuntimeError, IndexError):
                return count
        return len(self._decoder)
