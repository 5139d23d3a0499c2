"""Videos encoded again so that any frame is cheap to reach, or copied as they are.

What makes reading fast: a key frame every 20 (Kinetics: every 250), nothing stored out of order, no deblocking
nor arithmetic coding. One reference frame, so that the motion vectors of a packet are all of the same length. Frame n
of the result is frame n of the source, as `vidssl.video.decoding` counts them: upright, at even sizes, with nothing
hidden by an edit list, one every 1 / fps seconds from 0 on.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from vidssl.video.decoders.pyav_reader import PyAVReader
from vidssl.video.decoders.reader import DecodingError
from vidssl.video.places import open_place

SUFFIX = ".mp4"
_USUAL_FPS = 25.0  # where the source does not say
_LARGEST_DENOMINATOR = 1001  # of 30000/1001 frames a second

Look = Callable[[bytes], int | None]
"""Decodes an encoded video for a purpose of its own, and returns how many frames decode, or None where it gave up."""


@dataclass(frozen=True)
class Encoding:
    """How videos are encoded, by x264 (H.264, 4:2:0, 8 bits) into MP4, without sound.

    Attributes:
        short_side: height or width in pixels, whichever is smaller, that a video has at most.
        quality: x264's constant rate factor (CRF), 0 to 51; lower is better and larger.
        key_frame_distance: frames from one key frame to the next.
        effort: x264's preset; slower ones make smaller files.
    """

    short_side: int | None
    quality: int
    key_frame_distance: int = 20
    effort: str = "medium"

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height after encoding, which are even."""
        scale = min(1.0, (self.short_side or width) / min(width, height))
        return max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2)

    @property
    def options(self) -> dict[str, str]:
        """Options of FFmpeg's libx264, the same result whatever the machine's number of cores."""
        distance = self.key_frame_distance
        own = f"keyint={distance}:min-keyint={distance}:scenecut=0:bframes=0:ref=1:threads=1"
        return {"preset": self.effort, "crf": str(self.quality), "tune": "fastdecode", "x264-params": own, "a53cc": "0"}


@dataclass(frozen=True)
class Preset:
    """One of the ways to pack videos.

    Attributes:
        summary: what it is for.
        encoding: None copies files as they are, byte for byte.
        bytes_share: bytes of the packed videos over those of their sources, about, on Kinetics.
        nanoseconds_per_pixel: of a core, for each pixel of the source's frames, about.
    """

    summary: str
    encoding: Encoding | None
    bytes_share: float
    nanoseconds_per_pixel: float


PRESETS = {
    "keep": Preset("files as they are, byte for byte", None, 1.0, 5.0),
    "fast": Preset("short side at most 256, CRF 23, a key frame every 20", Encoding(256, 23), 1.0, 40.0),
    "small": Preset("short side at most 128, CRF 20, a key frame every 20", Encoding(128, 20), 0.6, 20.0),
}


@dataclass(frozen=True)
class Packed:
    """A video as it is to be written.

    Attributes:
        contents: the bytes of the file.
        num_frames: that it has.
        width: of a frame in pixels, as displayed.
        height: of a frame in pixels, as displayed.
    """

    contents: bytes
    num_frames: int
    width: int
    height: int


def pack(place: str, preset: Preset, fps: float, look: Look | None = None) -> Packed:
    """Encode or copy a video, and decode the result.

    Args:
        place: where it is.
        preset: how.
        fps: frames per second of the result, where it is encoded; 0 where that is not known.
        look: decodes the result where it is encoded, in place of a decoding for its number of frames alone.

    Raises:
        DecodingError: it cannot be read, its frames change size, or the result does not have all of its frames.
    """
    if preset.encoding is None:
        with open_place(place) as file:
            return _decoded(place, file.read())
    packed = encode(place, preset.encoding, fps)
    found = look(packed.contents) if look is not None else None
    if found is None:
        found = _decoded(place, packed.contents).num_frames
    if found != packed.num_frames:
        raise DecodingError(place, f"{found} of {packed.num_frames} frames decode after it was encoded")
    return packed


def encode(place: str, encoding: Encoding, fps: float) -> Packed:
    """Encode all frames of a video that decode."""
    buffer, count = io.BytesIO(), 0
    rate = Fraction(fps if fps > 0 else _USUAL_FPS).limit_denominator(_LARGEST_DENOMINATOR)
    with av.open(buffer, "w", format="mp4", options={"use_editlist": "0"}) as container:
        stream = None
        for frame in _upright(place, encoding):
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options=encoding.options)
                _describe(stream, frame)
            frame.pts, frame.time_base, frame.pict_type = count, 1 / rate, PictureType.NONE
            container.mux(stream.encode(frame))
            count += 1
        if stream is None:
            raise DecodingError(place, "no frame decodes")
        container.mux(stream.encode(None))
    return Packed(buffer.getvalue(), count, stream.width, stream.height)


def _describe(stream: av.VideoStream, frame: av.VideoFrame) -> None:
    """Say in the new file how large its frames are, and by which rule their colours become RGB."""
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
    context = stream.codec_context
    context.color_range, context.colorspace = frame.color_range, frame.colorspace
    context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
    context.thread_count = 1


def _upright(place: str, encoding: Encoding) -> Iterator[av.VideoFrame]:
    """Yield every frame at its new size, turned as it is displayed, in planes of 8 bits."""
    reformatter, size = VideoReformatter(), None
    with closing(PyAVReader(place)) as reader:
        for frame in reader.decoded():
            if size not in (None, (frame.width, frame.height)):
                raise DecodingError(place, f"its frames change size: {size} to {(frame.width, frame.height)}")
            size = frame.width, frame.height
            width, height = encoding.size(*size)
            turns = round(frame.rotation / 90) % 4
            planar = reformatter.reformat(
                frame,
                width,
                height,
                format="yuv420p",
                dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.AREA if width < size[0] - 1 else Interpolation.BICUBIC,
                threads=1,
            )
            yield _turned(planar, turns) if turns else planar


def _turned(frame: av.VideoFrame, quarter_turns: int) -> av.VideoFrame:
    """Turn a frame of 4:2:0 planes counterclockwise."""
    rows, height, width = frame.to_ndarray(), frame.height, frame.width
    chroma = rows[height:].reshape(2, height // 2, width // 2)
    planes = [np.rot90(plane, quarter_turns) for plane in (rows[:height], *chroma)]
    flat = np.concatenate([plane.reshape(-1) for plane in planes])
    turned = av.VideoFrame.from_ndarray(flat.reshape(-1, planes[0].shape[1]), format="yuv420p")
    turned.color_range, turned.colorspace = frame.color_range, frame.colorspace
    turned.color_primaries, turned.color_trc = frame.color_primaries, frame.color_trc
    return turned


def _decoded(place: str, contents: bytes) -> Packed:
    """Decode the bytes of a file to its end."""
    with closing(PyAVReader(place, io.BytesIO(contents))) as reader:
        info = reader.info()
    return Packed(contents, info.num_frames, info.width, info.height)
