"""Motion vectors as they stand in a video file, frame by frame in display order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np

from vidssl.data.decoders.reader import DecodingError
from vidssl.motion.block_grid import BlockGrid, texture
from vidssl.motion.estimator import NoMotionVectors
from vidssl.motion.packets import Inexact, shortcut_for, two_of_four
from vidssl.motion.stream import FrameStream

# Decoders of FFmpeg that export motion vectors.
_VECTOR_CODECS = ("h264", "mpeg4", "msmpeg4", "mpeg1video", "mpeg2video", "h263", "flv", "wmv1", "wmv2")
# FFmpeg's other decoders export zeros in place of a B-frame's vectors.
_KNOWS_B_FRAMES = "h264"
_OPTIONS = {"flags2": "+export_mvs", "skip_loop_filter": "all"}
# A stream that starts with more frames without vectors has none.
_MOST_LEADING_FRAMES = 64


class CodedFrame(NamedTuple):
    """What a file says of the way from one frame to the next.

    Attributes:
        number: of the frame, from 0.
        vectors: FFmpeg's structured array, or None: a key frame, or one that was not read.
        factors: what makes a vector to the past, or to the future, flow in pixels a frame, but for its own scale.
        texture: of the picture, see `vidssl.motion.block_grid.texture`, or None where it was not looked at.
    """

    number: int
    vectors: np.ndarray | None
    factors: tuple[float, float]
    texture: np.ndarray | None


class VectorStream:
    """A video's motion vectors. The caller closes it.

    Args:
        path: the video.
        packets: ``half`` leaves out what `vidssl.motion.packets` can do without, ``all`` reads all.
        texture_stride: frames from one look at the picture to the next.

    Attributes:
        grid: of the stored frame; known with the first frame.
        quarter_turns: counterclockwise, from the stored frame to the displayed one; known with the first frame.

    Raises:
        DecodingError: the file cannot be read.
        NoMotionVectors: its codec hands none out.
    """

    def __init__(self, path: str, *, packets: str, texture_stride: int) -> None:
        self.path = path
        self.texture_stride = texture_stride
        self._looked_at = -1
        self._open()
        self._codec = self._stream.stream.codec_context.name
        if not self._codec.startswith(_VECTOR_CODECS):
            self.close()
            raise NoMotionVectors(self._codec)
        self._shortcut = shortcut_for(self._stream) if packets == "half" else None

    def close(self) -> None:
        """Release the file."""
        self._stream.close()

    def frames(self) -> Iterator[CodedFrame]:
        """Yield all frames.

        Raises:
            DecodingError: no frame decodes, or they change size.
            NoMotionVectors: there are none, which is told before the first frame is yielded.
        """
        leading: list[CodedFrame] = []
        moved = False
        for frame in self._with_distances():
            if moved:
                yield frame
                continue
            leading.append(frame)
            moved = frame.vectors is not None
            if moved:
                yield from leading
            elif len(leading) > _MOST_LEADING_FRAMES:
                break
        if not leading:
            raise DecodingError(self.path, "no frame decodes")
        if len(leading) == 1 and not moved:
            yield from leading
        elif not moved:
            raise NoMotionVectors(f"{self._codec}, key frames only")

    def _open(self) -> None:
        self._stream = FrameStream(self.path, _OPTIONS)

    def _with_distances(self) -> Iterator[CodedFrame]:
        """Yield frames whose vectors count from the nearest frame that B-frames do not depend on."""
        waiting: list[CodedFrame] = []
        anchor = -1
        for coded, bidirectional in self._read():
            if bidirectional:
                waiting.append(coded)
                continue
            yield from (self._before(frame, anchor, coded) for frame in waiting)
            waiting.clear()
            yield _between(coded, anchor, coded.number + 1)
            anchor = coded.number
        yield from (_between(frame, anchor, frame.number + 1) for frame in waiting)

    def _before(self, frame: CodedFrame, anchor: int, following: CodedFrame) -> CodedFrame:
        """Return a B-frame between two others; where its own vectors are unknown, with those that pass it by."""
        if self._codec == _KNOWS_B_FRAMES and frame.vectors is not None:
            return _between(frame, anchor, following.number)
        return frame._replace(
            vectors=following.vectors, factors=_between(following, anchor, following.number + 1).factors
        )

    def _read(self) -> Iterator[tuple[CodedFrame, bool]]:
        """Yield every frame and whether it is a B-frame; if leaving frames out goes wrong, start again without."""
        start = 0
        if self._shortcut:
            try:
                for number, frame in self._shortcut(self._stream):
                    left_out = frame is None and self._shortcut is not two_of_four
                    yield self._coded(number, frame), left_out or _is_bidirectional(frame)
                    start = number + 1
                return
            except Inexact:
                self.close()
                self._open()
        for number, frame in enumerate(self._stream.frames()):
            if number >= start:
                yield self._coded(number, frame), _is_bidirectional(frame)

    def _coded(self, number: int, frame: av.VideoFrame | None) -> CodedFrame:
        if frame is None:
            return CodedFrame(number, None, _NO_FACTORS, None)
        if number == 0:
            self.grid = BlockGrid(frame.height, frame.width)
            self.quarter_turns = self._stream.quarter_turns
        found = frame.side_data.get("MOTION_VECTORS")
        vectors = None if found is None else found.to_ndarray().copy()  # else it keeps the frame in memory
        if number // self.texture_stride == self._looked_at:
            return CodedFrame(number, vectors, _NO_FACTORS, None)
        self._looked_at = number // self.texture_stride
        return CodedFrame(number, vectors, _NO_FACTORS, texture(self.grid, _luma(frame)))


_NO_FACTORS = (0.0, 0.0)


def _is_bidirectional(frame: av.VideoFrame | None) -> bool:
    return frame is not None and frame.pict_type == av.video.frame.PictureType.B


def _between(frame: CodedFrame, past: int, future: int) -> CodedFrame:
    """Return a frame whose factors fit references at the frame numbers `past` and `future`."""
    return frame._replace(factors=(-1 / max(1, frame.number - past), 1 / max(1, future - frame.number)))


def _luma(frame: av.VideoFrame) -> np.ndarray:
    """Return the frame's brightness, uint8 height x width, without copying where its format allows that."""
    if not frame.format.name.startswith(("yuv", "nv12", "gray")) or frame.format.components[0].bits != 8:
        frame = frame.reformat(format="gray", threads=1)
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
