"""Flow from the motion vectors in a video file, at less than the cost of decoding it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Generator, Iterator
from contextlib import closing

import numpy as np

from vidssl.errors import VidsslError
from vidssl.motion.block_grid import BlockGrid, regularise, splat, texture
from vidssl.motion.boundary import clipped_window, window_around
from vidssl.motion.coded.packets import PACKETS
from vidssl.motion.coded.references import WINDOW
from vidssl.motion.coded.vectors import CodedFrame, VectorStream
from vidssl.motion.estimator import MAX_SPEED, FlowEstimator

_CHUNK_FRAMES = 64  # whose vectors are added up together
_FLOWS_AT_ONCE = 32  # regularised together, if as many are wanted


class CodecFlow(FlowEstimator):
    """Motion vectors, regularised on a grid of cells of 8 pixels (more in videos above 360 high).

    Args:
        packets: ``some`` leaves out frames that it can do without: five of eight in MPEG-4 without B-frames, whose
            vectors do not depend on other frames, the B-frames of MPEG-4, and in H.264 those that no other frame refers
            to; ``all`` reads all.
        max_speed: vectors are clipped to ± this many pixels per frame.
    """

    def __init__(self, *, packets: str = "some", max_speed: float = MAX_SPEED) -> None:
        if packets not in PACKETS:
            raise VidsslError(f"data.motion.settings.options: packets is one of {', '.join(PACKETS)}, got {packets!r}.")
        if max_speed <= 0:
            raise VidsslError(f"data.motion.settings.options: max_speed must be above 0, got {max_speed}.")
        self.packets = packets
        self.max_speed = max_speed

    def flows(self, path: str, short_side: int | None) -> Iterator[np.ndarray]:
        """See `FlowEstimator.flows`; at key frames the flow before is repeated. `short_side` is not used."""
        with closing(VectorStream(path, packets=self.packets, kept=self.kept)) as stream:
            held = _Held(1, self.max_speed, stream.spans_are_unknown)
            known: np.ndarray | None = None
            for chunk, end in _chunks(stream, _CHUNK_FRAMES):
                held.add(stream.grid, chunk, end)
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
        with closing(VectorStream(path, packets=self.packets, kept=self.kept)) as stream:
            held = _Held(group, self.max_speed, stream.spans_are_unknown)
            frame = 0
            for chunk, end in _chunks(stream, group * max(1, _CHUNK_FRAMES // group)):
                held.add(stream.grid, chunk, end)
                ahead = range(frame, held.count + 1, stride)
                centres = [centre for centre in ahead if window_around(centre, window)[1] <= held.count]
                if len(centres) < _FLOWS_AT_ONCE:
                    continue
                yield from displayed(held.means(centres, window), stream.quarter_turns)
                frame += stride * len(centres)
                held.forget(min(window_around(frame, window)[0], held.count - 1))  # a last window needs one
            last = range(frame, held.count + 1, stride) if held.count else range(0)
            yield from displayed(held.means(last, window), stream.quarter_turns)
            return held.count


def _chunks(stream: VectorStream, size: int) -> Iterator[tuple[list[CodedFrame], int]]:
    """Yield the frames of `size` flows at a time, and the number of flows so far."""
    chunk: list[CodedFrame] = []
    end = size
    for frame in stream.frames():
        while frame.number > end:
            yield chunk, end
            chunk, end = [], end + size
        chunk.append(frame)
    yield chunk, stream.num_frames - 1


class _Held:
    """The vectors of the last frames, summed over groups of frames, until every window over them is done.

    Args:
        group: frames summed up to one.
        max_speed: see `CodecFlow`.
        spans_are_unknown: see `VectorStream`.

    Attributes:
        first: number of the first flow held, a multiple of `group`.
        count: number of flows so far.
        sums: float32 groups x 3 x rows x columns, see `vidssl.motion.block_grid.splat`.
    """

    def __init__(self, group: int, max_speed: float, spans_are_unknown: bool) -> None:
        self.group, self.max_speed, self.spans_are_unknown = group, max_speed, spans_are_unknown
        self.first = self.count = 0
        self.sums = np.zeros((0, 3, 0, 0), np.float32)
        self._textures: list[np.ndarray] = []
        self._looked_at: list[int] = []  # the frames whose textures these are

    def add(self, grid: BlockGrid, chunk: list[CodedFrame], end: int) -> None:
        """Read the frames that the flows up to `end` lead to; no flow leads to the first frame of the video."""
        frames, vectors = [], []
        for frame in chunk:
            if frame.picture is not None:
                self._textures.append(texture(grid, frame.picture))
                self._looked_at.append(frame.number)
            if frame.number > 0 and frame.vectors is not None and len(frame.vectors):
                frames.append(frame)
                vectors.append(frame.vectors)
        sums = np.zeros((-(-(end - self.count) // self.group), 3, *grid.shape), np.float32)
        if frames:
            factors = np.array([frame.factors for frame in frames])
            planes = (np.array([frame.number for frame in frames]) - 1 - self.count) // self.group
            numbers = np.array([frame.number for frame in frames])
            windows = (numbers - numbers[0]) // WINDOW if self.spans_are_unknown else None
            known = splat(grid, vectors, factors, planes, max_speed=self.max_speed, windows=windows)
            sums[: len(known)] = known
        self.sums = np.concatenate([self.sums, sums]) if len(self.sums) else sums
        self.count = end

    def forget(self, flow: int) -> None:
        """Let go of the groups before the one of this flow, and of pictures that later windows cannot need."""
        dropped = max(0, flow - self.first) // self.group
        self.sums = self.sums[dropped:]
        self.first += dropped * self.group
        unneeded = self._last_look(self.first)
        del self._textures[:unneeded], self._looked_at[:unneeded]

    def means(self, centres: list[int] | range, window: int) -> np.ndarray:
        """Return the flow around each frame of `centres`, n x rows x columns x 2."""
        if len(centres) == 0:
            return np.zeros((0, 1, 1, 2), np.float32)
        windows = [clipped_window(centre, window, self.count) for centre in centres]
        groups = [((first - self.first) // self.group, -(-(end - self.first) // self.group)) for first, end in windows]
        sums = np.stack([self.sums[first:end].sum(axis=0) for first, end in groups])
        return regularise(sums, np.stack([self._textures[self._last_look(end)] for _, end in windows]))

    def _last_look(self, frame: int) -> int:
        """Return the place of the last picture looked at up to a frame."""
        return max(0, bisect_right(self._looked_at, frame) - 1)


def displayed(flows: np.ndarray, quarter_turns: int) -> Iterator[np.ndarray]:
    """Yield flows n x h x w x 2 turned counterclockwise, vectors included."""
    for _ in range(quarter_turns):
        flows = np.rot90(flows, axes=(1, 2))
        flows = np.stack([flows[..., 1], -flows[..., 0]], axis=-1)
    yield from np.ascontiguousarray(flows, np.float32)
