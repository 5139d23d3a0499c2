"""Reading only some packets of a video, where the motion vectors of the others can be done without.

All frames are counted nevertheless, those that are not read too. Where frames cannot be told apart without decoding
them all, :class:`Inexact` is raised, and the caller reads everything.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from itertools import cycle, islice, takewhile
from typing import NamedTuple

import av
from av.bitstream import BitStreamFilterContext

from vidssl.motion.stream import FrameStream
from vidssl.video.decoders.shortcuts import MOST_EMPTY_BYTES

PACKETS = ("some", "all")

# Codecs whose packets hold a frame each and whose vectors can be read without decoding what came before.
_INDEPENDENT_CODECS = ("mpeg4", "msmpeg4", "h263", "flv", "wmv1", "wmv2")
_MPEG4_FRAME = b"\x00\x00\x01\xb6"  # the start code; two bits after it tell I, P, B and S apart
# Of so many packets one after another the largest is read: three of eight, spread over time. In many videos all but
# every second, third, ... frame repeat the one before, so that the others move nothing; they are small.
_GROUPS = (3, 2, 3)
# Key frames show where there is texture, and are expensive to read: not one so few frames after another.
_KEY_FRAME_DISTANCE = 16
# Containers in which every packet has a presentation time and holds a whole frame of H.264.
_TIMED_CONTAINERS = ("mov", "matroska")
_MAX_REORDER_PACKETS = 16
_SLICES = (1, 2, 5)  # types of the units of H.264 that pictures begin with

FrameNumbers = Iterator[tuple[int, av.VideoFrame | None]]


class Inexact(Exception):
    """Frames cannot be told apart without decoding all; never leaves `vidssl.motion.coded.vectors`."""


class Shortcut(NamedTuple):
    """A way to read some of the packets.

    Attributes:
        frames: yields every frame's number, and the frame if it was read.
        leaves_out_b_frames: nothing but these.
        can_keep: whether it decodes all frames and keeps them, where the stream says so.
    """

    frames: Callable[[FrameStream], FrameNumbers]
    leaves_out_b_frames: bool
    can_keep: bool = False


def shortcut_for(stream: FrameStream, packets: str) -> Shortcut | None:
    """Return the way to read the packets named, or None if all are to be read, or this video allows no other way."""
    context = stream.stream.codec_context
    if packets == "all":
        return None
    if context.name.startswith(_INDEPENDENT_CODECS) and not context.has_b_frames:
        return Shortcut(three_of_eight, leaves_out_b_frames=False)
    if context.name == "mpeg4":
        return Shortcut(anchor_frames, leaves_out_b_frames=True)
    if context.name == "h264" and context.has_b_frames and stream.container.format.name.startswith(_TIMED_CONTAINERS):
        return Shortcut(reference_frames, leaves_out_b_frames=True, can_keep=True)
    return None


def three_of_eight(stream: FrameStream) -> FrameNumbers:
    """Yield every frame's number, and the frame of three of eight, of the first, and of some key frames."""
    # the picture is that of the last key frame, moved: enough to see where there is texture
    stream.set_options({"skip_idct": "nokey"})
    number, key_frame = 0, -_KEY_FRAME_DISTANCE
    for packet, is_largest in _with_largest(stream):
        is_read = is_largest or number == 0
        if packet.is_keyframe:
            is_read = number - key_frame >= _KEY_FRAME_DISTANCE
            key_frame = number if is_read else key_frame
        if is_read or packet.size <= MOST_EMPTY_BYTES:
            frames = _decoded(stream, packet)
            if not frames and packet.size <= MOST_EMPTY_BYTES:
                continue  # it says "nothing changed"
            if len(frames) != 1:
                raise Inexact
        yield number, frames[0] if is_read else None
        number += 1


def _with_largest(stream: FrameStream) -> Iterator[tuple[av.Packet[av.VideoStream], bool]]:
    """Yield every packet, and whether it is the largest of its group that holds no key frame."""
    packets = takewhile(lambda packet: packet.size > 0, stream.container.demux(stream.stream))  # PyAV's end is empty
    for length in cycle(_GROUPS):
        group = list(islice(packets, length))
        if not group:
            return
        largest = max(group, key=lambda packet: (not packet.is_keyframe, packet.size))
        yield from ((packet, packet is largest) for packet in group)


def anchor_frames(stream: FrameStream) -> FrameNumbers:
    """Yield every frame's number, and the frame of those of MPEG-4 that are no B-frames.

    B-frames follow the frame in the file that they precede on the screen. Many files pack both into one packet and let
    an empty one follow; the filter takes them apart.
    """
    unpack = BitStreamFilterContext("mpeg4_unpack_bframes", stream.stream)
    packets = (part for packet in stream.container.demux(stream.stream) for part in _unpacked(unpack, packet))
    number, left_out, fed = 0, 0, 0
    for packet in packets:
        if packet.size > 0 and _is_b_frame(packet):
            left_out += 1
            continue
        frames = _decoded(stream, packet)
        # each comes out when the next goes in
        if len(frames) != min(fed, 1) or (fed < 2 and left_out):
            raise Inexact
        fed += 1
        for frame in frames:
            yield from ((skipped, None) for skipped in range(number, number + left_out))
            yield number + left_out, frame
            number, left_out = number + left_out + 1, 0


def _unpacked(unpack: BitStreamFilterContext, packet: av.Packet[av.VideoStream]) -> list[av.Packet[av.VideoStream]]:
    if packet.size == 0:  # PyAV marks the end so
        return [packet]
    try:
        return unpack.filter(packet)
    except av.FFmpegError as error:
        raise Inexact from error


def _is_b_frame(packet: av.Packet[av.VideoStream]) -> bool:
    data = bytes(packet)
    if data.count(_MPEG4_FRAME) != 1 or len(data) <= MOST_EMPTY_BYTES:
        raise Inexact
    return data[data.index(_MPEG4_FRAME) + len(_MPEG4_FRAME)] >> 6 == 2


def reference_frames(stream: FrameStream) -> FrameNumbers:
    """Yield every frame's number, and the frame of those that others refer to; the others are decoded if kept."""
    times: list[int] = []
    unneeded: set[int] = set()
    if stream.kept is None:
        stream.stream.codec_context.skip_frame = "NONREF"
    expected = 0
    for frame in _once_overtaken(stream, times, unneeded):
        number = bisect_left(times, frame.pts) if frame.pts is not None else -1
        if number < expected or number == len(times) or times[number] != frame.pts or number > expected == 0:
            raise Inexact
        yield from ((skipped, None) for skipped in range(expected, number))
        yield number, None if frame.pts in unneeded else frame
        expected = number + 1
    yield from ((skipped, None) for skipped in range(expected, len(times)))
    if stream.kept is not None:
        if len(stream.kept) not in (0, len(times)):
            raise Inexact
        stream.kept.finish()


def _once_overtaken(stream: FrameStream, times: list[int], unneeded: set[int]) -> Iterator[av.VideoFrame]:
    """Yield frames when all packets shown before them are in `times` (ascending), to which all are added.

    To `unneeded` are added those of frames that no other refers to, if all frames are kept.
    """
    waiting: deque[tuple[int, av.VideoFrame]] = deque()
    for count, packet in enumerate(stream.container.demux(stream.stream)):
        if packet.size > 0:  # PyAV marks the end by an empty one
            time = _note_time(packet, times)
            if stream.kept is not None and not _is_referred_to(packet, stream.stream.codec_context.extradata):
                unneeded.add(time)
        waiting.extend((count, frame) for frame in _decoded(stream, packet))
        while waiting and waiting[0][0] + _MAX_REORDER_PACKETS < count:
            yield waiting.popleft()[1]
    yield from (frame for _, frame in waiting)


def _is_referred_to(packet: av.Packet[av.VideoStream], header: bytes | None) -> bool:
    """Tell whether a packet of H.264 holds a frame that FFmpeg's `skip_frame: NONREF` would decode.

    Source: ITU-T H.264, 7.3.1 and 7.4.1 (nal_ref_idc), and ISO/IEC 14496-15, 5.3.3.1 (lengths before the units).
    """
    if not header or header[0] != 1:
        raise Inexact  # start codes between the units in place of their lengths
    length_bytes, data, place = (header[4] & 3) + 1, memoryview(packet), 0
    while place + length_bytes < len(data):
        unit = data[place + length_bytes]
        if unit & 31 in _SLICES:
            return unit >> 5 & 3 > 0
        place += length_bytes + int.from_bytes(data[place : place + length_bytes], "big")
    raise Inexact


def _note_time(packet: av.Packet[av.VideoStream], times: list[int]) -> int:
    time = packet.pts
    if time is None or packet.is_discard or (times and time <= times[0]) or not (times or packet.is_keyframe):
        raise Inexact  # frames before the first key frame, or outside an edit list, may not be shown
    insort(times, time)
    return time


def _decoded(stream: FrameStream, packet: av.Packet[av.VideoStream]) -> list[av.VideoFrame]:
    try:
        frames = stream.stream.codec_context.decode(packet if packet.size else None)
    except av.FFmpegError as error:
        raise Inexact from error
    for frame in frames:
        if stream.checked(frame).is_corrupt:
            raise Inexact
    return frames
