"""Flow from the motion vectors in a video file, at less than the cost of decoding it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice

import numpy as np

from vidssl.errors import VidsslError
from vidssl.motion.block_grid import regularise, splat
from vidssl.motion.estimator import MAX_SPEED, FlowEstimator, clipped_window, window_around
from vidssl.motion.vectors import CodedFrame, VectorStream

PACKETS = ("half", "all")
_CHUNK_FRAMES = 64  # worked on together
_TEXTURE_STRIDE = 4


class CodecFlow(FlowEstimator):
    """Motion vectors, regularised on a grid of cells of 8 pixels (more in videos above 360 high).

    Args:
        packets: ``half`` reads two frames of four in MPEG-4 without B-frames, whose vectors do not depend on other
            frames, and takes their flow for the others'; ``all`` reads all.
        max_speed: vectors are clipped to ± this many pixels a frame.
    """

    def __init__(self, *, packets: str = "half", max_speed: float = MAX_SPEED) -> None:
        if packets not in PACKETS:
            raise VidsslError(f"data.motion.settings.options: packets is one of {', '.join(PACKETS)}, got {packets!r}.")
        if max_speed <= 0:
            raise VidsslError(f"data.motion.settings.options: max_speed must be above 0, got {max_speed}.")
        self.packets = packets
        self.max_speed = max_speed

    def flows(self, path: str, short_side: int | None) -> Iterator[np.ndarray]:
        """See `FlowEstimator.flows`; at key frames the flow before is repeated. `short_side` is not used."""
        with closing(VectorStream(path, packets=self.packets, texture_stride=_TEXTURE_STRIDE)) as stream:
            latest = None
            for fields, textures in self._chunks(stream):
                for number in range(len(fields)):
                    known = fields[number, 2].any()
                    latest = fields[number] if known or latest is None else latest
                    fields[number] = latest
                yield from _displayed(regularise(fields, textures), stream.quarter_turns)

    def mean_flows(
        self, path: str, short_side: int | None, *, window: int, stride: int
    ) -> Generator[np.ndarray, None, int]:
        """See `FlowEstimator.mean_flows`; vectors are averaged before they are regularised."""
        with closing(VectorStream(path, packets=self.packets, texture_stride=min(stride, _TEXTURE_STRIDE))) as stream:
            held = _Held()
            frame = 0
            for fields, textures in self._chunks(stream):
                held.append(fields, textures)
                ready = range(frame, held.count + 1, stride)
                ready = [centre for centre in ready if window_around(centre, window)[1] <= held.count]
                yield from _displayed(held.means(ready, window), stream.quarter_turns)
                frame += stride * len(ready)
                held.forget(window_around(frame, window)[0])
            rest = range(frame, held.count + 1, stride) if held.count else []
            yield from _displayed(held.means(rest, window), stream.quarter_turns)
            return held.count

    def _chunks(self, stream: VectorStream) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield summed vectors and textures (both n x 3 x rows x columns) of the flows, some dozens at once."""
        texture, frames = None, stream.frames()
        while chunk := list(islice(frames, _CHUNK_FRAMES)):
            textures = []
            for frame in chunk:
                texture = frame.texture if frame.texture is not None else texture
                textures.append(texture)
            skip = chunk[0].number == 0
            if len(chunk) > skip:
                yield self._splatted(stream, chunk[skip:]), np.stack(textures[skip:])

    def _splatted(self, stream: VectorStream, chunk: list[CodedFrame]) -> np.ndarray:
        weights = np.stack([frame.weights for frame in chunk])
        return splat(stream.grid, [frame.vectors for frame in chunk], weights, self.max_speed)


class _Held:
    """The flows of the last frames, kept until every window over them is done."""

    def __init__(self) -> None:
        self.first = self.count = 0  # the flows held are those from `first` to `count`
        self.fields = self.textures = None

    def append(self, fields: np.ndarray, textures: np.ndarray) -> None:
        self.fields = fields if self.fields is None else np.concatenate([self.fields, fields])
        self.textures = textures if self.textures is None else np.concatenate([self.textures, textures])
        self.count += len(fields)

    def forget(self, flow: int) -> None:
        """Let go of the flows before this one."""
        dropped = min(max(0, flow - self.first), len(self.fields) - 1)  # a last window needs one
        self.fields, self.textures = self.fields[dropped:], self.textures[dropped:]
        self.first += dropped

    def means(self, centres: list[int] | range, window: int) -> np.ndarray:
        """Return the flow around each frame of `centres`, n x rows x columns x 2."""
        if len(centres) == 0:
            return np.zeros((0, 1, 1, 2), np.float32)
        totals = np.cumsum(self.fields, axis=0, dtype=np.float32)
        totals = np.concatenate([np.zeros_like(totals[:1]), totals])
        windows = np.array([clipped_window(centre, window, self.count) for centre in centres]) - self.first
        here = np.clip(np.array(centres) - 1 - self.first, 0, len(self.textures) - 1)  # flow i ends at frame i + 1
        return regularise(totals[windows[:, 1]] - totals[windows[:, 0]], self.textures[here])


def _displayed(flows: np.ndarray, quarter_turns: int) -> Iterator[np.ndarray]:
    """Yield flows n x h x w x 2 turned counterclockwise, vectors included."""
    for _ in range(quarter_turns):
        flows = np.rot90(flows, axes=(1, 2))
        flows = np.stack([flows[..., 1], -flows[..., 0]], axis=-1)
    yield from np.ascontiguousarray(flows, np.float32)
