"""The part of a plan that the device does: operations on pixels, for the clips of a whole batch.

The loader crops, resizes and flips; what follows goes into the batch (`pending_colours`) and is done where the batch
arrives (`finish_colours`). Draws are the same as in the loader, and so is what they mean: every operation is clamped
and truncated to whole levels before the next. Results differ from the loader's by rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidssl.data.operations import Drawn, class_of_operation, runs_on_device
from vidssl.data.plan import AugmentationRecipe
from vidssl.errors import VidsslError
from vidssl.types import ClipBatch, PendingColours, PixelStep

# So many values are in float32 at a time, 64 MiB each copy of them; the hue needs about five.
VALUES_AT_A_TIME = 2**24

Kind = tuple[Callable[..., Tensor], tuple[tuple[str, int], ...]]
"""A function with the names and lengths of what it is called with: what can be done together."""


def place_of_colours(wanted: str, recipes: Iterable[AugmentationRecipe], device: str | None) -> str:
    """Return who does the operations on pixels, ``loader`` or ``device``.

    Args:
        wanted: ``loader``, ``device``, or ``auto``: the device, where it is a GPU and can do all of them.
        recipes: of all views.
        device: type of the trainer's device; None without a trainer, where nobody would finish what the loader leaves.

    Raises:
        VidsslError: ``device`` is wanted and an operation has no version for it.
    """
    kinds = {type(operation) for recipe in recipes for operation in recipe.pixel_operations if operation.probability}
    loader_only = sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if not runs_on_device(kind))
    if wanted == "device" and loader_only:
        raise VidsslError(
            f"data.loading.colours is device, but {', '.join(loader_only)} runs in the loader only: it has no "
            "`device_steps`. Set data.loading.colours: loader, or give it some (docs/guides/own_operation.md)."
        )
    if device is None or loader_only or wanted == "loader":
        return "loader"
    return "device" if wanted == "device" or device == "cuda" else "loader"


# --- in the loader ---


def pending_colours(drawn: Sequence[Sequence[Sequence[Drawn]]], size: int) -> PendingColours:
    """Put together what was drawn for one view of a batch.

    Args:
        drawn: for each clip and each of its frame plans, the operations.
        size: side of the view, pixels.
    """
    rows = [_steps(operations, size) for clip in drawn for operations in clip]
    steps, numbers, values = [], [], []
    for kind, members in _groups(rows):
        steps.append(PixelStep(*kind, num_rows=len(members)))
        numbers += [number for number, _ in members]
        values += [row for _, row in members]
    table = np.zeros((len(values), max(map(len, values), default=0)), np.float32)
    for place, row in zip(table, values, strict=True):
        place[: len(row)] = row
    known_rows = np.array(numbers, np.int64)
    # the tensor is a copy: a worker's goes to shared memory
    return PendingColours(
        tuple(steps), torch.tensor(known_rows), torch.from_numpy(table), known_rows, len(drawn[0]) if drawn else 1
    )


def _steps(operations: Iterable[Drawn], size: int) -> list[tuple[Kind, list[float]]]:
    steps = []
    for path, drawn in operations:
        for function, values in class_of_operation(path).device_steps(size, **dict(drawn)):
            arguments = tuple(
                (name, len(value) if isinstance(value, Sequence) else 0) for name, value in values.items()
            )
            row: list[float] = []
            for value in values.values():
                row += value if isinstance(value, Sequence) else (value,)
            steps.append(((function, arguments), row))
    return steps


def _groups(rows: list[list[tuple[Kind, list[float]]]]) -> Iterator[tuple[Kind, list[tuple[int, list[float]]]]]:
    """Yield what can be done together, with the numbers of the rows and their values; every row keeps its order.

    The colours of a jitter come in 24 orders. Taking the step that waits first in most rows, weighted by the steps that
    wait there, needs about 12 groups for them instead of 24 times 4 (the weighted majority merge of Branke, Middendorf
    and Schneider, "Improved heuristics and a genetic algorithm for finding short supersequences", OR Spektrum 1998).
    """
    places = [0] * len(rows)
    while True:
        waiting: Counter[Kind] = Counter()
        for row, place in zip(rows, places, strict=True):
            if place < len(row):
                waiting[row[place][0]] += len(row) - place
        if not waiting:
            return
        kind = waiting.most_common(1)[0][0]
        members = [n for n, row in enumerate(rows) if places[n] < len(row) and row[places[n]][0] == kind]
        yield kind, [(number, rows[number][places[number]][1]) for number in members]
        for number in members:
            places[number] += 1


# --- on the device ---


def finish_colours(batch: ClipBatch) -> ClipBatch:
    """Apply the pending operations to the views of a batch, in place; return the batch without them."""
    if not batch.colours:
        return batch
    with torch.no_grad(), torch.autocast(batch.index.device.type, enabled=False):
        for view, colours in zip(batch.views, batch.colours, strict=True):
            finish_view(view, colours)
    return replace(batch, colours=())


def finish_view(view: Tensor, colours: PendingColours) -> None:
    """Apply the pending operations to a view, uint8 B x 3 x T x S x S with channels last in memory, in place."""
    clips = view.permute(0, 2, 3, 4, 1)  # as it lies in memory
    rows = clips.view(len(clips) * colours.rows_per_clip, -1, *clips.shape[2:])
    at_a_time = max(1, VALUES_AT_A_TIME // max(1, rows[:1].numel()))
    start = 0
    for step in colours.steps:
        end = start + step.num_rows
        for first in range(start, end, at_a_time):
            part = slice(first, min(first + at_a_time, end))
            _apply_step(step, rows, colours.rows[part], colours.values[part])
        start = end


def _apply_step(step: PixelStep, rows: Tensor, numbers: Tensor, values: Tensor) -> None:
    """Change some of `rows`, uint8 R x F x S x S x 3, in place."""
    frames = (
        rows.index_select(0, numbers).permute(0, 1, 4, 2, 3).to(torch.float32, memory_format=torch.contiguous_format)
    )
    levels = step.function(frames, **_arguments(step, values))
    whole = levels.clamp(0.0, 255.0).to(torch.uint8)
    rows.index_copy_(0, numbers, whole.permute(0, 1, 3, 4, 2))


def _arguments(step: PixelStep, values: Tensor) -> dict[str, Any]:
    arguments, column = {}, 0
    for name, length in step.arguments:
        arguments[name] = values[:, column : column + length] if length else values[:, column]
        column += length or 1
    return arguments
