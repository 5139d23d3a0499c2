"""Motion vectors as a video file stores them, frame by frame in display order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import av
import numpy as np
from av.sidedata.motionvectors import MotionVectors
from av.video.frame import PictureType

from vidssl.motion.block_grid import BlockGrid, reduced
from vidssl.motion.coded.packets import Inexact, shortcut_for
from vidssl.motion.estimator import NoMotionVectors
from vidssl.motion.stream import FrameStream
from vidssl.video.decoders.kept_frames import KeptFrames
from vidssl.video.decoders.reader import DecodingError

# Decoders of FFmpeg that export motion vectors.
_VECTOR_CODECS = ("h264", "mpeg4", "msmpeg4", "mpeg1video", "mpeg2video", "h263", "flv", "wmv1", "wmv2")
# FFmpeg's other decoders export zeros in place of a B-frame's vectors.
_KNOW_B_FRAMES = ("h264", "mpeg1video", "mpeg2video")
_OPTIONS = {"flags2": "+export_mvs"}
# A stream that starts with more frames without vectors has none.
_MOST_LEADING_FRAMES = 64
_LOOK_DISTANCE = 8  # frames from one look at the picture to the next


class CodedFrame(NamedTuple):
    """What a file says about the way from one frame to the next.

    Attributes:
        number: of the frame, from 0.
        vectors: FFmpeg's structured array, or None: a key frame.
        factors: what makes a vector to the past, or to the future, flow in pixels per frame, but for its own scale.
        picture: what is seen, see `vidssl.motion.block_grid.reduced`, or None where it was not looked at.
    """

    number: int
    vectors: np.ndarray | None
    factors: tuple[float, float]
    picture: np.ndarray | None


class VectorStream:
    """A video's motion vectors. The caller closes it.

    Args:
        path: the video.
        packets: which are read, one of `vidssl.motion.coded.packets.PACKETS`.
        kept: gets all frames where most of them are decoded for their vectors; the vectors yielded are the same.

    Attributes:
        grid: of the stored frame; known with the first frame.
        quarter_turns: counterclockwise, from the stored frame to the displayed one; known with the first frame.
        num_frames: counted so far, whether read or not.
        spans_are_unknown: whether vectors may refer to others than the nearest frame that B-frames do not depend on.

    Raises:
        DecodingError: the file cannot be read.
        NoMotionVectors: its codec hands none out.
    """

    def __init__(self, path: str, *, packets: str, kept: KeptFrames | None = None) -> None:
        self.path = path
        self.num_frames = 0
        self._looked_at: int | None = None
        self._layout: np.dtype | None = None
        self._open()
        self._codec = self._stream.stream.codec_context.name
        if not self._codec.startswith(_VECTOR_CODECS):
            self.close()
            raise NoMotionVectors(self._codec)
        self.spans_are_unknown = self._codec == "h264"
        self._shortcut = shortcut_for(self._stream, packets)
        if kept is not None and (self._shortcut is None or self._shortcut.can_keep) and self._would_fit(kept):
            self._keep_in(kept)

    def close(self) -> None:
        """Release the file."""
        self._stream.close()

    def frames(self) -> Iterator[CodedFrame]:
        """Yield the frames that something is known of.

        Raises:
            DecodingError: no frame decodes, or they change size.
            NoMotionVectors: there are none; raised before the first frame is yielded.
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
            elif frame.number >= _MOST_LEADING_FRAMES:
                break
        if not leading:
            raise DecodingError(self.path, "no frame decodes")
        if self.num_frames == 1 and not moved:
            yield from leading
        elif not moved:
            raise NoMotionVectors(f"{self._codec}, key frames only")

    def _open(self) -> None:
        self._stream = FrameStream(self.path, _OPTIONS)

    def _open_again(self) -> None:
        kept = self._stream.kept
        self.close()
        self._open()
        if kept is not None:
            self._keep_in(kept)

    def _keep_in(self, kept: KeptFrames) -> None:
        kept.begin()
        self._stream.kept = kept

    def _would_fit(self, kept: KeptFrames) -> bool:
        context = self._stream.stream.codec_context
        return kept.has_room_for(self._stream.stream.frames, context.width, context.height)

    def _with_distances(self) -> Iterator[CodedFrame]:
        """Yield frames whose vectors count from the nearest frame that B-frames do not depend on."""
        waiting: list[CodedFrame] = []
        for coded, bidirectional in self._read():
            if bidirectional:
                waiting.append(coded)
            elif waiting:
                anchor = waiting[0].number - 1
                yield from (self._before(frame, anchor, coded) for frame in waiting)
                waiting.clear()
                yield _between(coded, anchor, coded.number + 1)
            else:
                yield coded
        yield from (_between(frame, waiting[0].number - 1, frame.number + 1) for frame in waiting)

    def _before(self, frame: CodedFrame, anchor: int, following: CodedFrame) -> CodedFrame:
        """Return a B-frame between two others; where its own vectors are unknown, with those that pass it by."""
        if self._codec in _KNOW_B_FRAMES and frame.vectors is not None:
            return _between(frame, anchor, following.number)
        return frame._replace(
            vectors=following.vectors, factors=_between(following, anchor, following.number + 1).factors
        )

    def _read(self) -> Iterator[tuple[CodedFrame, bool]]:
        """Yield frames and whether each is a B-frame; if leaving frames out goes wrong, start again without.

        A B-frame that was left out is yielded without vectors, other frames that were left out are not.
        """
        start = 0
        if self._shortcut:
            try:
                for number, frame in self._shortcut.frames(self._stream):
                    self.num_frames = start = number + 1
                    if frame is not None:
                        yield self._coded(number, frame), _is_bidirectional(frame)
                    elif self._shortcut.leaves_out_b_frames:
                        yield CodedFrame(number, None, _NEXT_TO, None), True
                return
            except Inexact:
                self._open_again()
        for number, frame in enumerate(self._stream.frames()):
            if number >= start:
                self.num_frames = number + 1
                yield self._coded(number, frame), _is_bidirectional(frame)

    def _coded(self, number: int, frame: av.VideoFrame) -> CodedFrame:
        if number == 0:
            self.grid = BlockGrid(frame.height, frame.width)
            self.quarter_turns = self._stream.quarter_turns
        found = next((data for data in frame.side_data if isinstance(data, MotionVectors)), None)
        # PyAV's annotations take side_data for a mapping of names; going through it gives the data
        vectors = None if found is None else self._copied(found)  # type: ignore[arg-type]
        if self._looked_at is not None and number - self._looked_at < _LOOK_DISTANCE:
            return CodedFrame(number, vectors, _NEXT_TO, None)
        self._looked_at = number
        return CodedFrame(number, vectors, _NEXT_TO, reduced(self.grid, _luma(frame)))

    def _copied(self, found: MotionVectors) -> np.ndarray:
        """Return vectors that do not keep their frame in memory; copied as bytes, not field by field."""
        if self._layout is None:
            self._layout = found.to_ndarray().dtype
        return np.frombuffer(bytes(found), self._layout)


_NEXT_TO = (-1.0, 1.0)  # references at the frame before and the frame after


def _is_bidirectional(frame: av.VideoFrame) -> bool:
    return frame.pict_type == PictureType.B


def _between(frame: CodedFrame, past: int, future: int) -> CodedFrame:
    """Return a frame whose factors fit references at the frame numbers `past` and `future`."""
    factors = (-1 / max(1, frame.number - past), 1 / max(1, future - frame.number))
    return CodedFrame(frame.number, frame.vectors, factors, frame.picture)


def _luma(frame: av.VideoFrame) -> np.ndarray:
    """Return the frame's brightness, uint8 height x width, without copying where its format allows that."""
    if not _begins_with_luma(frame.format.name):
        frame = frame.reformat(format="gray", threads=1)
    plane = frame.planes[0]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


@cache
def _begins_with_luma(pixel_format: str) -> bool:
    """Tell whether the first plane of a pixel format holds brightness alone, one byte a pixel."""
    is_luma_first = pixel_format.startswith(("yuv", "nv12", "gray"))
    return is_luma_first and av.VideoFormat(pixel_format).components[0].bits == 8
