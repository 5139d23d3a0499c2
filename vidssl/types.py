"""The data that packages exchange, with shapes and units of every field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidssl.errors import VidsslError


@dataclass(frozen=True)
class PixelStep:
    """A function on pixels, for many clips of a view at once.

    Attributes:
        function: called with frames, float32 N x F x 3 x S x S, levels from 0 to 255, which it may overwrite, and by
            name with tensors of what was drawn; returns the new levels.
        arguments: name and number of values of each of these tensors, in the order of `PendingColours.values`: float32
            (N, number), or (N,) where the number is 0.
        num_rows: how many clips, or frames, it changes: N.
    """

    function: Callable[..., Tensor]
    arguments: tuple[tuple[str, int], ...]
    num_rows: int


class PendingColours:
    """What is still to be done to the pixels of a view, on the device, before anybody sees it.

    This is not a dataclass: Lightning would convert its values to the precision of the weights (`bf16-true`).

    Attributes:
        steps: in their order.
        rows: int64 (M,), numbers of the clips that each step changes, step after step; of the frames, counted through
            all clips, where every frame has draws of its own.
        values: float32 (M, P), what was drawn for each of them; P is that of the step that needs most.
        known_rows: `rows` as a numpy array, which stays on the CPU.
        rows_per_clip: 1, or the frames of a clip.
    """

    def __init__(
        self, steps: tuple[PixelStep, ...], rows: Tensor, values: Tensor, known_rows: np.ndarray, rows_per_clip: int
    ) -> None:
        self.steps = steps
        self.rows = rows
        self.values = values
        self.known_rows = known_rows
        self.rows_per_clip = rows_per_clip

    def map(self, move: Callable[[Tensor], Tensor]) -> PendingColours:
        """Return the same with other tensors."""
        return PendingColours(self.steps, move(self.rows), move(self.values), self.known_rows, self.rows_per_clip)

    def part(self, clips: slice, num_clips: int) -> PendingColours:
        """Return what concerns some of `num_clips` clips, which are then numbered from 0."""
        chosen = np.full(num_clips, -1)
        chosen[clips] = np.arange(len(chosen[clips]))
        clip, frame = np.divmod(self.known_rows, self.rows_per_clip)
        is_kept = chosen[clip] >= 0
        known_rows = (chosen[clip] * self.rows_per_clip + frame)[is_kept]
        counts = [int(kept.sum()) for kept in np.split(is_kept, np.cumsum([step.num_rows for step in self.steps]))]
        steps = tuple(replace(step, num_rows=count) for step, count in zip(self.steps, counts, strict=False) if count)
        kept = torch.from_numpy(np.flatnonzero(is_kept)).to(self.values.device)
        rows = torch.from_numpy(known_rows).to(self.rows.device)
        return PendingColours(steps, rows, self.values[kept], known_rows, self.rows_per_clip)


@dataclass
class ClipBatch:
    """A batch of clips as the loaders deliver it.

    Attributes:
        views: one uint8 tensor per view, each B x 3 x T x H x W, RGB in [0, 255], not normalised.
        label: int64 (B,), class numbers, -1 where a video has none.
        index: int64 (B,), row numbers in the catalog.
        motion: float32, at least 0: ST-motion, the mean of both components of the motion boundary
            (`vidssl.motion.maps`), cropped and flipped like the frames that it belongs to. B x T' x h x w: of what the
            first view shows (``data.motion.views: first``). B x V x T' x h x w: of what each of the V views shows
            (``all``). None without motion.
        starts: int64 (B, views), number of the frame in its video with which each view begins, or None.
        strides: int64 (B, views), distance in frames between two frames of each view, as it was drawn, or None.
        extras: what else each video brings, by name (``data.extras``): tensors B x ..., of any dtype.
        failures: (row number, reason) of the videos that could not be read and were replaced.
        colours: between the loader and the device, what is still to be done to the pixels of each view
            (``data.loading.colours: device``); empty everywhere else.

    Raises:
        VidsslError: a field has another shape or dtype.
    """

    views: list[Tensor]
    label: Tensor
    index: Tensor
    motion: Tensor | None = None
    starts: Tensor | None = None
    failures: tuple[tuple[int, str], ...] = ()
    strides: Tensor | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)
    colours: tuple[PendingColours, ...] = ()

    def __post_init__(self) -> None:
        batch_size = len(self.index)
        for number, view in enumerate(self.views):
            if view.dtype != torch.uint8 or view.ndim != 5 or view.shape[0] != batch_size or view.shape[1] != 3:
                raise VidsslError(
                    f"ClipBatch.views[{number}] must be uint8 of shape {batch_size} x 3 x T x H x W, "
                    f"got {view.dtype} of shape {tuple(view.shape)}."
                )
        if self.label.shape != self.index.shape:
            raise VidsslError(f"ClipBatch.label has shape {tuple(self.label.shape)} for {batch_size} videos.")
        if self.motion is not None:
            self._check_motion(self.motion)
        for name in ("starts", "strides"):
            value = getattr(self, name)
            if value is not None and value.shape != (batch_size, len(self.views)):
                raise VidsslError(
                    f"ClipBatch.{name} must be of shape {batch_size} x {len(self.views)}, got {tuple(value.shape)}."
                )
        for name, value in self.extras.items():
            if value.ndim < 1 or len(value) != batch_size:
                raise VidsslError(
                    f"ClipBatch.extras[{name!r}] must have a row for each of {batch_size} videos, got shape "
                    f"{tuple(value.shape)}."
                )

    def _check_motion(self, motion: Tensor) -> None:
        batch_size, num_views = len(self.index), len(self.views)
        is_of_first = motion.ndim == 4 and motion.shape[0] == batch_size
        is_of_all = motion.ndim == 5 and motion.shape[:2] == (batch_size, num_views)
        if not (is_of_first or is_of_all):
            raise VidsslError(
                f"ClipBatch.motion must be of shape {batch_size} x T' x h x w (the first view's) or "
                f"{batch_size} x {num_views} x T' x h x w (all views'), got {tuple(motion.shape)}."
            )

    def __len__(self) -> int:
        return len(self.index)

    def _map(self, move: Callable[[Tensor], Tensor]) -> ClipBatch:
        return replace(
            self,
            views=[move(view) for view in self.views],
            label=move(self.label),
            index=move(self.index),
            motion=None if self.motion is None else move(self.motion),
            starts=None if self.starts is None else move(self.starts),
            strides=None if self.strides is None else move(self.strides),
            extras={name: move(value) for name, value in self.extras.items()},
            colours=tuple(colours.map(move) for colours in self.colours),
        )

    def part(self, rows: slice) -> ClipBatch:
        """Return some of the videos, with everything that belongs to them; `failures` stay as they are."""
        whole = replace(self, colours=())._map(lambda tensor: tensor[rows])
        return replace(whole, colours=tuple(colours.part(rows, len(self)) for colours in self.colours))

    def to(self, *args: Any, **kwargs: Any) -> ClipBatch:
        """Move every tensor, as `torch.Tensor.to` does; pinned ones travel to a GPU while Python goes on."""
        device = kwargs.get("device", args[0] if args else None)
        # towards the CPU it would be read before it is there
        if "non_blocking" not in kwargs and isinstance(device, str | torch.device):
            kwargs["non_blocking"] = torch.device(device).type == "cuda"
        return self._map(lambda tensor: tensor.to(*args, **kwargs))

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory of every tensor from being used again before what the stream has queued is done."""

        def record(tensor: Tensor) -> Tensor:
            tensor.record_stream(stream)
            return tensor

        self._map(record)

    def pin_memory(self) -> ClipBatch:
        """Pin every tensor, so that copies to a GPU can overlap with computing."""
        return self._map(lambda tensor: tensor.pin_memory())
