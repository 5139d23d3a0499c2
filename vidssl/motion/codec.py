"""Flow from the motion vectors in a video file, at less than the cost of decoding it."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice

import numpy as np

from vidssl.errors import VidsslError
from vidssl.motion.block_grid import BlockGrid, regularise, splat
from vidssl.motion.estimator import MAX_SPEED, FlowEstimator, clipped_window, window_around
from vidssl.motion.vectors import CodedFrame, VectorStream

PACKETS = ("half", "all")
_CHUNK_FRAMES = 64  # worked on together
_TEXTURE_STRIDE = 4


class CodecFlow(FlowEstimator):
    """Motion vectors, regularised on a grid of cells of 8 pixels (more in videos above 360 high).

    Args:
        packets: ``half`` leaves out frames that it can do without: two of four in MPEG-4 without B-frames, whose
            vectors do not depend on other frames, the B-frames of MPEG-4, and in H.264 those that no other frame refers
            to; ``all`` reads all.
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
            held = _Held(1, _TEXTURE_STRIDE, self.max_speed)
            known = None
            for chunk in _chunks(stream.frames(), _CHUNK_FRAMES):
                held.add(stream.grid, chunk)
                for field in held.sums:
                    known = field.copy() if known is None or field[2].any() else known
                    field[:] = known
                numbers = range(held.first, held.count)
                yield from displayed(held.means(numbers, window=1), stream.quarter_turns)
                held.forget(held.count)

    def mean_flows(
        self, path: str, short_side: int | None, *, window: int, stride: int
    ) -> Generator[np.ndarray, None, int]:
        """See `FlowEstimator.mean_flows`; vectors are averaged before they are regularised."""
        group = math.gcd(stride, *window_around(0, window))  # every window is made of whole groups
        with closing(VectorStream(path, packets=self.packets, texture_stride=stride)) as stream:
            held = _Held(group, stride, self.max_speed)
            frame = 0
            for chunk in _chunks(stream.frames(), group * max(1, _CHUNK_FRAMES // group)):
                held.add(stream.grid, chunk)
                centres = range(frame, held.count + 1, stride)
                centres = [centre for centre in centres if window_around(centre, window)[1] <= held.count]
                yield from displayed(held.means(centres, window), stream.quarter_turns)
                frame += stride * len(centres)
                held.forget(min(window_around(frame, window)[0], held.count - 1))  # a last window needs one
            centres = range(frame, held.count + 1, stride) if held.count else []
            yield from displayed(held.means(centres, window), stream.quarter_turns)
            return held.count


def _chunks(frames: Iterator[CodedFrame], size: int) -> Iterator[list[CodedFrame]]:
    """Yield the first frame, then the others `size` at a time."""
    yield list(islice(frames, 1))
    while chunk := list(islice(frames, size)):
        yield chunk


class _Held:
    """The vectors of the last frames, summed over groups of frames, until every window over them is done.

    Args:
        group: frames summed up to one.
        texture_stride: frames from one look at the picture to the next.
        max_speed: see `CodecFlow`.

    Attributes:
        first: number of the first flow held, a multiple of `group`.
        count: number of flows so far.
        sums: float32 groups x 3 x rows x columns, see `vidssl.motion.block_grid.splat`.
    """

    def __init__(self, group: int, texture_stride: int, max_speed: float) -> None:
        self.group, self.texture_stride, self.max_speed = group, texture_stride, max_speed
        self.first = self.count = 0
        self.sums: np.ndarray | None = None
        self._textures: dict[int, np.ndarray] = {}

    def add(self, grid: BlockGrid, chunk: list[CodedFrame]) -> None:
        """Take in frames; the first that is ever taken in has no flow leading to it."""
        looked_at = {frame.number // self.texture_stride: frame.texture for frame in chunk if frame.texture is not None}
        self._textures.update(looked_at)
        flows = [frame for frame in chunk if frame.number > 0]
        factors = np.array([frame.factors for frame in flows]).reshape(-1, 2)
        vectors = [frame.vectors for frame in flows]
        sums = splat(grid, vectors, factors, group=self.group, max_speed=self.max_speed)
        self.sums = sums if self.sums is None else np.concatenate([self.sums, sums])
        self.count += len(flows)

    def forget(self, flow: int) -> None:
        """Let go of the groups before the one of this flow, and of pictures that later windows cannot need."""
        dropped = max(0, flow - self.first) // self.group
        self.sums = self.sums[dropped:]
        self.first += dropped * self.group
        keep = min(self.first // self.texture_stride, max(self._textures))
        self._textures = {place: texture for place, texture in self._textures.items() if place >= keep}

    def means(self, centres: list[int] | range, window: int) -> np.ndarray:
        """Return the flow around each frame of `centres`, n x rows x columns x 2."""
        if len(centres) == 0:
            return np.zeros((0, 1, 1, 2), np.float32)
        windows = [clipped_window(centre, window, self.count) for centre in centres]
        groups = [((first - self.first) // self.group, -(-(end - self.first) // self.group)) for first, end in windows]
        sums = np.stack([self.sums[first:end].sum(axis=0) for first, end in groups])
        return regularise(sums, np.stack([self._texture_near(centre) for centre in centres]))

    def _texture_near(self, frame: int) -> np.ndarray:
        place = frame // self.texture_stride
        nearest = min(self._textures, key=lambda known: abs(known - place))
        return self._textures[nearest]


def displayed(flows: np.ndarray, quarter_turns: int) -> Iterator[np.ndarray]:
    """Yield flows n x h x w x 2 turned counterclockwise, vectors included."""
    for _ in range(quarter_turns):
        flows = np.rot90(flows, axes=(1, 2))
        flows = np.stack([flows[..., 1], -flows[..., 0]], axis=-1)
    yield from np.ascontiguousarray(flows, np.float32)
