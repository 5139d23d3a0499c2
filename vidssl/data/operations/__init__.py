"""Operations on the pixels of a view after cropping and flipping. They are drawn first and applied later."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vidssl.errors import VidsslError
from vidssl.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

OPERATIONS = Registry(
    "augmentation operation",
    "vidssl.operations",
    check="vidssl.data.contracts.operation:fault_of",
    is_named_by_class=True,
)
"""Name -> class below `Operation`; ``operations`` of a recipe takes these names."""
_SHIPPED = "vidssl.data.operations.shipped"
OPERATIONS.register(
    "Jitter", f"{_SHIPPED}:Jitter", summary="random brightness, contrast, saturation and hue, in random order"
)
OPERATIONS.register("Grey", f"{_SHIPPED}:Grey", summary="greyscale: the luma in all three channels")
OPERATIONS.register("Blur", f"{_SHIPPED}:Blur", summary="Gaussian blur of random width")
OPERATIONS.register("Solarise", f"{_SHIPPED}:Solarise", summary="values above a threshold are inverted")

Drawn = tuple[str, tuple[tuple[str, Any], ...]]
"""``package.module:Class`` of an operation, and the names and values that it drew: plain data, part of a plan."""

DeviceStep = tuple["Callable[..., Tensor]", Mapping[str, Any]]
"""A function on many clips at once, and the numbers, or lists of numbers, that it is called with, by name."""


class Operation(ABC):
    """Changes the pixels of a view: drawn once for a clip (for a frame, if the recipe is not temporally consistent).

    What `draw` returns is part of the plan, so that a clip can be logged and replayed; `apply` needs nothing else.

    Attributes:
        probability: of happening, from 0 to 1.
    """

    probability: float

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> dict[str, Any]:
        """Draw what `apply` is called with.

        Args:
            rng: the only source of randomness.
            size: side of the square view, pixels.

        Returns:
            name -> number, text or list of them; JSON must be able to hold it.
        """

    @staticmethod
    @abstractmethod
    def apply(frames: np.ndarray, **drawn: Any) -> None:
        """Change frames in place; every frame by itself, since a clip comes in parts.

        Args:
            frames: uint8 RGB, F x S x S x 3, contiguous: any number of the frames of a clip.
            drawn: what `draw` returned.
        """

    @staticmethod
    def device_steps(size: int, **drawn: Any) -> list[DeviceStep]:
        """Return what the device does instead of `apply`; an operation without this one runs in the loader only.

        A function is called once for many clips: with frames, float32 N x F x 3 x S x S, levels from 0 to 255, and by
        name with a tensor of what is paired with it here, float32 (N,) for a number and (N, n) for a list. It returns
        the new levels, and may overwrite the old ones; they are clamped to 0-255 and truncated to whole levels.

        Args:
            size: side S of the square view, pixels.
            drawn: what `draw` returned.
        """
        raise NotImplementedError


def runs_on_device(kind: type[Operation]) -> bool:
    """Return whether an operation has a version for whole batches on the device."""
    return kind.device_steps is not Operation.device_steps


def draw_operation(operation: Operation, rng: np.random.Generator, size: int) -> Drawn | None:
    """Return what an operation does to a view of `size` pixels, or None where it does not happen."""
    if rng.random() >= operation.probability:
        return None
    kind = type(operation)
    drawn = operation.draw(rng, size)
    return f"{kind.__module__}:{kind.__qualname__}", tuple((name, _unchanging(value)) for name, value in drawn.items())


def _unchanging(value: Any) -> Any:
    """Return a value with tuples instead of lists, so that plans can be compared and counted."""
    return tuple(map(_unchanging, value)) if isinstance(value, list) else value


def apply_operation(frames: np.ndarray, drawn: Drawn) -> None:
    """Apply drawn operations to frames, uint8 F x S x S x 3, in place."""
    path, values = drawn
    class_of_operation(path).apply(frames, **dict(values))


@cache
def class_of_operation(path: str) -> type[Operation]:
    """Return the class at ``package.module:Class``.

    Raises:
        VidsslError: there is none, or it is not an operation.
    """
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise VidsslError(f"There is no augmentation operation {path!r}: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, Operation)):
        raise VidsslError(f"{path!r} is not a subclass of {Operation.__module__}.{Operation.__qualname__}.")
    return found
