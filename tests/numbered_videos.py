"""Videos whose frames show their own numbers."""

from pathlib import Path

import av
import numpy as np

BLOCK_PIXELS = 16
NUMBER_BITS = 8
_FRAME = b"\x00\x00\x01\xb6"  # starts a frame of MPEG-4
_USER_DATA = b"\x00\x00\x01\xb2"


def encode(path: Path, codec: str, num_frames: int = 60, options: dict | None = None, b_frames: int = 2) -> Path:
    """Write a video whose frame number stands in black and white blocks in its top row."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = BLOCK_PIXELS * NUMBER_BITS, 48, "yuv420p"
        stream.codec_context.gop_size = 12
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.bit_rate = 2_000_000
        for number in range(num_frames):
            bits = [255 * (number >> bit & 1) for bit in range(NUMBER_BITS)]
            row = np.repeat(np.array(bits, np.uint8), BLOCK_PIXELS)
            pixels = np.full(
                (48, row.size, 3), 4 * number % 256, np.uint8
            )  # changes everywhere: no frame is "as before"
            pixels[:24] = row[None, :, None]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def numbers_shown(frames: np.ndarray) -> list[int]:
    centres = frames[:, 12, BLOCK_PIXELS // 2 :: BLOCK_PIXELS].mean(-1) > 127
    return (centres @ (1 << np.arange(NUMBER_BITS))).tolist()


def with_empty_packets(source: Path, target: Path, before: set[int]) -> Path:
    """Copy an MPEG-4 video of 25 frames a second; before each packet named put one that says "nothing changed"."""
    parts = []
    for number, packet in enumerate(_packets(source)):
        parts += [(empty_packet(), False)] * (number in before)
        parts.append(packet)
    return _write(source, target, parts)


def packed(source: Path, target: Path, before: frozenset[int] = frozenset()) -> Path:
    """Copy an MPEG-4 video as DivX packs it: a B-frame goes with the frame before it, and an empty packet follows.

    Before the packets named, another empty packet is put.
    """
    parts: list[tuple[bytes, bool]] = []
    for data, is_key in _packets(source):
        if data[data.index(_FRAME) + 4] >> 6 == 2:
            parts[-1] = (parts[-1][0] + data, parts[-1][1])
            parts.append((empty_packet(), False))
        else:
            parts.append((data.replace(_FRAME, _USER_DATA + b"DivX503b1393p" + _FRAME) if not parts else data, is_key))
    spread = []
    for number, part in enumerate(parts):
        spread += [(empty_packet(), False)] * (number in before) + [part]
    return _write(source, target, spread)


def empty_packet(tick: int = 0, tick_bits: int = 5) -> bytes:
    """Return a frame of MPEG-4 that is not coded (ISO/IEC 14496-2, 6.2.5: vop_coded is 0); 5 bits for 25 ticks."""
    bits = f"0101{tick:0{tick_bits}b}10" + "0"
    bits += "1" * (-len(bits) % 8)
    return _FRAME + int(bits, 2).to_bytes(len(bits) // 8, "big")


def _packets(source: Path) -> list[tuple[bytes, bool]]:
    with av.open(str(source)) as container:
        return [(bytes(packet), packet.is_keyframe) for packet in container.demux(video=0) if packet.size]


def _write(source: Path, target: Path, parts: list[tuple[bytes, bool]]) -> Path:
    with av.open(str(source)) as template, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(template.streams.video[0])
        for number, (data, is_key) in enumerate(parts):
            packet = av.Packet(data)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = template.streams.video[0].time_base, stream, is_key
            output.mux(packet)
    return target
