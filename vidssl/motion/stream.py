"""A video's frames one after another, without conversion to RGB, with or without their motion vectors."""

from __future__ import annotations

from collections.abc import Iterator

import av

from vidssl.video.decoders.diagnosis import check_file, open_video
from vidssl.video.decoders.kept_frames import KeptFrames
from vidssl.video.decoders.reader import DecodingError


class FrameStream:
    """An open video, read once from its first frame, with one thread. The caller closes it.

    Args:
        path: the video.
        options: of the decoder, by FFmpeg's names.

    Attributes:
        width, height: pixels as displayed; known with the first frame.
        quarter_turns: counterclockwise, from the stored frame to the displayed one; known with the first frame.
        stream: PyAV's.
        kept: where all frames are put that are decoded, or None.

    Raises:
        DecodingError: the file cannot be read.
    """

    def __init__(self, path: str, options: dict[str, str] | None = None) -> None:
        check_file(path)
        self.path = path
        self.kept: KeptFrames | None = None
        self.container, self.stream = open_video(path)
        self.stream.codec_context.options = options or {}
        self.width = self.height = self.quarter_turns = 0
        self._stored_size: tuple[int, int] | None = None

    def frames(self) -> Iterator[av.VideoFrame]:
        """Yield all frames that decode.

        Raises:
            DecodingError: the frames change size.
        """
        try:
            for frame in self.container.decode(self.stream):
                yield self.checked(frame)
        except av.FFmpegError:
            return  # damaged from here on: what came before is what decodes
        if self.kept is not None:
            self.kept.finish()

    def checked(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a frame after noting its size, which must not change, and keeping it."""
        size = (frame.height, frame.width)
        if self._stored_size is None:
            self._stored_size = size
            self.quarter_turns = round(frame.rotation / 90) % 4
            self.height, self.width = size[::-1] if self.quarter_turns % 2 else size
        elif size != self._stored_size:
            raise DecodingError(self.path, f"its frames change size: {self._stored_size} to {size}")
        if self.kept is not None:
            self.kept.add(frame)
        return frame

    def set_options(self, options: dict[str, str]) -> None:
        """Give the decoder more options, before the first frame."""
        self.stream.codec_context.options = {**self.stream.codec_context.options, **options}

    def close(self) -> None:
        """Release the file."""
        self.container.close()
