"""The contract of an augmentation operation, as checks: those behind ``vidssl check operation``, and for your tests.

contract = OperationContract(MyOperation(probability=0.5))
assert [result for result in contract.results() if result.outcome == "failed"] == []
"""

from __future__ import annotations

import inspect
import json
import pickle
from typing import Any

import numpy as np

from vidssl.contract_checks import ContractError, NotClaimed
from vidssl.data.contracts.global_generators import other_global_state
from vidssl.data.contracts.part import PartContract, fault_of_class
from vidssl.data.operations import Drawn, Operation, apply_operation, draw_operation, runs_on_device

SIZES = (16, 56, 112)
"""Sides of the views that an operation is checked with, pixels."""
SEEDS = range(5)
NUM_FRAMES = 4
DEVICE_MEAN_LEVELS, DEVICE_FAR_LEVELS, DEVICE_FAR_SHARE = 0.5, 3, 0.01
"""How far the device may be from the loader: on average, and more than so many levels for this share of the values."""


def fault_of(operation: Any) -> str | None:
    """Return what keeps `operation` from being used as one, in words for its author, or None.

    Args:
        operation: anything that a plug-in offers as an augmentation operation.
    """
    fault = fault_of_class(operation, Operation)
    if fault is None and not isinstance(inspect.getattr_static(operation, "apply"), staticmethod):
        fault = f"{operation.__qualname__}.apply must be a @staticmethod: a plan replays it from what was drawn alone"
    return fault


def _frames(size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (NUM_FRAMES, size, size, 3)).astype(np.uint8)


def _drawn(operation: Operation, size: int, seed: int) -> dict[str, Any]:
    return operation.draw(np.random.default_rng(seed), size)


def check_settings(operation: Operation) -> str:
    """It can be drawn and applied, and has a probability."""
    fault = fault_of(type(operation))
    if fault is not None:
        raise ContractError(fault)
    probability = getattr(operation, "probability", None)
    if not isinstance(probability, (int, float)) or not 0 <= probability <= 1:
        raise ContractError(f"probability must be a number from 0 to 1, got {probability!r}")
    return f"happens with probability {probability:g}"


def check_plan(operation: Operation) -> str:
    """What is drawn is plain data, and comes back from JSON as it was."""
    for size in SIZES:
        for seed in SEEDS:
            drawn = _drawn(operation, size, seed)
            if not isinstance(drawn, dict) or not all(isinstance(name, str) for name in drawn):
                raise ContractError(f"draw must return a dict with names as keys, got {drawn!r}")
            try:
                again = json.loads(json.dumps(drawn))
            except TypeError as error:
                raise ContractError(f"draw must return what JSON can hold, got {drawn!r}: {error}") from error
            if again != drawn:
                raise ContractError(f"JSON makes {again!r} of {drawn!r}: return lists, and no tuples")
    return f"draws {', '.join(drawn) or 'nothing'}"


def check_draws(operation: Operation) -> str:
    """Draws come from the generator alone, and draw nothing from others."""
    for size in SIZES:
        for seed in SEEDS:
            drawn, frames = _drawn(operation, size, seed), _frames(size)
            operation.apply(frames, **drawn)
            again = _frames(size)
            with other_global_state():
                drawn_again = _drawn(operation, size, seed)
                operation.apply(again, **drawn)
            if drawn_again != drawn:
                raise ContractError("the same generator gave other draws: draw from `rng` alone")
            if not np.array_equal(frames, again):
                raise ContractError("apply did something else with the same draws: whatever is random belongs to draw")
    return "the same generator does the same"


def check_pixels(operation: Operation) -> str:
    """Frames stay uint8 and are changed in place, in views of several sizes."""
    changed = False
    for size in SIZES:
        for seed in SEEDS:
            frames = _frames(size)
            result: Any = operation.apply(frames, **_drawn(operation, size, seed))
            if result is not None:
                raise ContractError(
                    f"apply must change frames in place and return nothing, got {type(result).__name__}"
                )
            changed |= not np.array_equal(frames, _frames(size))
    if not changed:
        raise ContractError(f"apply changed nothing in {len(SIZES) * len(SEEDS)} draws: write into `frames`")
    return f"views of {', '.join(map(str, SIZES))} pixels"


def check_frames(operation: Operation) -> str:
    """Every frame is changed by itself: a clip goes through in parts."""
    for seed in SEEDS:
        drawn, together, apart = _drawn(operation, SIZES[1], seed), _frames(SIZES[1]), _frames(SIZES[1])
        operation.apply(together, **drawn)
        for number in range(NUM_FRAMES):
            operation.apply(apart[number : number + 1], **drawn)
        if not np.array_equal(together, apart):
            raise ContractError("a clip comes out otherwise frame by frame: change every frame by itself")
    return "frame by frame, a clip comes out the same"


def check_workers(operation: Operation) -> str:
    """A loader worker gets a copy, and finds the class by its module and name."""
    copy = pickle.loads(pickle.dumps(operation))
    frames, again = _frames(SIZES[0]), _frames(SIZES[0])
    operation.apply(frames, **_drawn(operation, SIZES[0], 0))
    kind = type(copy)
    values = tuple(_drawn(copy, SIZES[0], 0).items())
    apply_operation(again, (f"{kind.__module__}:{kind.__qualname__}", values))
    if not np.array_equal(frames, again):
        raise ContractError("a copy, as loader workers get one, does something else")
    for seed in SEEDS:
        draw_operation(copy, np.random.default_rng(seed), SIZES[0])
    return "a copy in another process does the same"


def check_device(operation: Operation) -> str:
    """The device does the same to whole batches of clips, within rounding."""
    kind = type(operation)
    if not runs_on_device(kind):
        raise NotClaimed("no device_steps: runs in the loader only")
    path, differences = f"{kind.__module__}:{kind.__qualname__}", []
    for size in SIZES:
        draws = [_drawn(operation, size, seed) for seed in SEEDS]
        clips = np.stack([_frames(size) for _ in draws])
        on_device = _done_on_device(clips, [(path, tuple(drawn.items())) for drawn in draws])
        for clip, drawn in zip(clips, draws, strict=True):
            operation.apply(clip, **drawn)
        differences.append(np.abs(on_device.astype(np.int16) - clips).ravel())
    levels = np.concatenate(differences)
    mean, far = float(levels.mean()), float(np.mean(levels > DEVICE_FAR_LEVELS))
    wording = (
        f"{mean:.2f} levels from the loader's on average, over {DEVICE_FAR_LEVELS} levels for {far:.2%} of the values"
    )
    if mean > DEVICE_MEAN_LEVELS or far > DEVICE_FAR_SHARE:
        raise ContractError(f"the device's frames are {wording}: device_steps must do what apply does")
    return wording


def _done_on_device(clips: np.ndarray, drawn: list[Drawn]) -> np.ndarray:
    """Return what device_steps make of the clips of a batch, on the CPU; refuse what needs values on the host."""
    import torch

    from vidssl.data.operations.colours import finish_view, pending_colours

    colours = pending_colours([[[wording]] for wording in drawn], clips.shape[2])
    view = torch.from_numpy(clips.copy()).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        finish_view(view, colours)
        try:
            finish_view(view.to("meta"), colours.map(lambda tensor: tensor.to("meta")))
        except (NotImplementedError, RuntimeError) as error:
            raise ContractError(
                f"device_steps' functions must not look at values, which a GPU would be waited for: {error}"
            ) from error
    return view.permute(0, 2, 3, 4, 1).numpy()


class OperationContract(PartContract[Operation]):
    """The checks of one operation."""

    checks = {
        "settings": check_settings,
        "plan": check_plan,
        "draws": check_draws,
        "pixels": check_pixels,
        "frames": check_frames,
        "workers": check_workers,
        "device": check_device,
    }
