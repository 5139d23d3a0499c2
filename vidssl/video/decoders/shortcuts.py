"""Which frames need not be decoded: jumps to key frames, and frames that no other frame refers to.

A jump rests on knowing how many frames come before a key frame. That takes a container that lists all its packets, and
one frame a packet up to there. From the key frame on, the frames that come out are counted, as a reader from the first
frame on would count them. Only where frames are left out are numbers taken from the packets, which takes a presentation
timestamp on each. Where one of these is missing, or anything turns out otherwise while decoding, :class:`Inexact` is
raised and the caller decodes from the first frame on.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import av

# Containers whose index lists every packet (Matroska's lists key frames only), with the farthest a packet may lie from
# its place in display order: H.264 and HEVC hold back at most 16 frames; AVI timestamps are usable in order only.
_MAX_REORDER_PACKETS = {"avi": 1, "mov": 16}
# Codecs whose packets hold one frame each (VP8 and VP9 hide reference frames in packets of their own).
_ONE_FRAME_A_PACKET = ("mpeg4", "msmpeg4", "msmpeg4v2", "mjpeg", "h264", "hevc")
# MPEG-4 has packets saying "nothing changed" for which no frame comes out; FFmpeg knows them by their at most 19 bytes
# (MAX_NVOP_SIZE). Real frames can be as small.
MOST_EMPTY_BYTES = 19
# A jump costs about as much as decoding so many small frames.
_SHORTEST_JUMP_FRAMES = 3


class Inexact(Exception):
    """The frames cannot be told apart without decoding them all; never leaves the reader."""


@dataclass(frozen=True)
class KeyFrames:
    """Where decoding may start, in display order.

    Attributes:
        numbers: frame numbers, ascending; the first is 0.
        decoding_times: of the same frames' packets, in the stream's time base.
        max_reorder_packets: the farthest a packet may lie from its place in display order.
    """

    numbers: list[int]
    decoding_times: list[int]
    max_reorder_packets: int


def find_key_frames(container: av.container.InputContainer, stream: av.VideoStream) -> KeyFrames | None:
    """Return the key frames whose numbers are certain, or None if this video allows no shortcut."""
    entries = stream.index_entries
    kind = container.format.name.split(",")[0]
    if (
        kind not in _MAX_REORDER_PACKETS
        or stream.codec_context.codec.name not in _ONE_FRAME_A_PACKET
        or (kind == "avi" and stream.codec_context.has_b_frames)  # its timestamps are in neither order
        or len(entries) == 0
        or len(entries) != stream.frames
    ):
        return None
    numbers, times = [], []
    for number, entry in enumerate(entries):
        if entry.is_discard:  # an edit list hides frames: numbers no longer follow packets
            return None
        if entry.is_keyframe:
            numbers.append(number)
            times.append(entry.timestamp)
        if entry.size <= MOST_EMPTY_BYTES:  # whether a frame comes out is not known: later numbers are in doubt
            break
    return KeyFrames(numbers, times, _MAX_REORDER_PACKETS[kind]) if numbers[:1] == [0] else None


def split_runs(key_numbers: list[int], indices: list[int]) -> list[tuple[int, list[int]]]:
    """Split `indices` where jumping to a key frame saves decoding.

    Args:
        key_numbers: frame numbers at which decoding may start, ascending, the first 0.
        indices: wanted frame numbers, ascending.

    Returns:
        For each run, the number of the frame to start decoding at and the wanted frames.
    """
    runs: list[tuple[int, list[int]]] = []
    position = 0
    for index in indices:
        key = key_numbers[bisect_right(key_numbers, index) - 1]
        jump = key - position >= _SHORTEST_JUMP_FRAMES
        if jump or not runs:
            runs.append((key if jump else 0, []))
        runs[-1][1].append(index)
        position = index + 1
    return runs


def wanted_frames(
    container: av.container.InputContainer, stream: av.VideoStream, keys: KeyFrames, indices: list[int]
) -> Iterator[av.VideoFrame]:
    """Yield the frames numbered `indices` (ascending, distinct), decoding as few others as possible.

    Raises:
        Inexact: before the first frame whose number is in doubt.
    """
    # seeking goes by presentation time, the index by decoding time
    delay = (stream.start_time or 0) - keys.decoding_times[0]
    for start, wanted in split_runs(keys.numbers, indices):
        decoding_time = keys.decoding_times[bisect_left(keys.numbers, start)]
        if start:
            container.seek(decoding_time + delay, stream=stream, backward=True)
        packets = _from_key_frame(container.demux(stream), decoding_time)
        if stream.codec_context.has_b_frames:
            ranked = _ranked(packets, start, keys.max_reorder_packets)
            frames = _numbered_by_time(stream.codec_context, ranked, start, wanted)
        else:
            frames = _numbered_by_count(stream.codec_context, packets, start)
        yield from _pick(frames, wanted)


def _from_key_frame(
    packets: Iterator[av.Packet[av.VideoStream]], decoding_time: int
) -> Iterator[av.Packet[av.VideoStream]]:
    """Yield the packets of a run up to the video's end, if it begins at the key frame that was sought."""
    for place, packet in enumerate(packets):
        if packet.size == 0:  # PyAV marks the end so
            return
        if place == 0 and not (packet.is_keyframe and packet.dts == decoding_time):
            raise Inexact
        yield packet


def _pick(numbered: Iterator[tuple[int, av.VideoFrame]], wanted: list[int]) -> Iterator[av.VideoFrame]:
    """Yield the frames wanted of those that come out, with their ascending numbers."""
    remaining = deque(wanted)
    for number, frame in numbered:
        if number > remaining[0]:
            raise Inexact
        if number == remaining[0]:
            yield frame
            remaining.popleft()
        if not remaining:
            return
    raise Inexact  # the video ends before the last wanted frame


def _numbered_by_count(
    context: av.VideoCodecContext, packets: Iterator[av.Packet[av.VideoStream]], start: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode from the key frame `start` on, and count what comes out."""
    context.skip_frame = "DEFAULT"
    for number, frame in enumerate(_decode_all(context, packets), start):
        if number == start and not _starts_well(frame):
            raise Inexact
        yield number, frame


def _decode_all(context: av.VideoCodecContext, packets: Iterator[av.Packet[av.VideoStream]]) -> Iterator[av.VideoFrame]:
    for packet in packets:
        frames = packet.decode()
        if context.has_b_frames:  # the header said otherwise: frames were given out in the wrong order so far
            raise Inexact
        yield from frames
    yield from context.decode(None)


def _starts_well(frame: av.VideoFrame) -> bool:
    return bool(frame.key_frame) and not frame.is_corrupt


def _ranked(
    packets: Iterator[av.Packet[av.VideoStream]], start: int, max_reorder_packets: int
) -> Iterator[tuple[av.Packet[av.VideoStream], int]]:
    """Pair each packet with its frame's number: its rank by presentation time, from the key frame `start` on."""
    times: list[int] = []
    waiting: deque[tuple[av.Packet[av.VideoStream], int]] = deque()
    for packet in packets:
        if packet.size <= MOST_EMPTY_BYTES and packet.stream.codec_context.name == "mpeg4":
            raise Inexact  # perhaps no frame comes out, and with frames left out that goes unseen
        if packet.pts is None or (times and packet.pts <= times[0]):
            raise Inexact  # shown before the key frame it follows: needs frames from before the jump
        insort(times, packet.pts)
        waiting.append((packet, packet.pts))
        if len(waiting) > max_reorder_packets:
            ready, time = waiting.popleft()
            yield ready, start + bisect_left(times, time)
    for ready, time in waiting:
        yield ready, start + bisect_left(times, time)


def _numbered_by_time(
    context: av.VideoCodecContext,
    packets: Iterator[tuple[av.Packet[av.VideoStream], int]],
    start: int,
    wanted: list[int],
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode the frames wanted and the key frame `start`; their numbers go by presentation times."""
    numbers: dict[int | None, int] = {}
    keep = {start, *wanted}
    previous = start - 1
    for frame in _decode_only(context, packets, keep, numbers):
        number = numbers.get(frame.pts, -1)
        starts_well = previous >= start or (number == start and _starts_well(frame))
        if not starts_well or number <= previous:
            raise Inexact
        previous = number
        yield number, frame


def _decode_only(
    context: av.VideoCodecContext,
    packets: Iterator[tuple[av.Packet[av.VideoStream], int]],
    keep: set[int],
    numbers: dict[int | None, int],
) -> Iterator[av.VideoFrame]:
    """Decode the frames of `keep` and those that others refer to; note in `numbers` each timestamp's frame number."""
    for packet, number in packets:
        if packet.pts in numbers:
            raise Inexact
        numbers[packet.pts] = number
        context.skip_frame = "DEFAULT" if number in keep else "NONREF"
        yield from packet.decode()
    yield from context.decode(None)
