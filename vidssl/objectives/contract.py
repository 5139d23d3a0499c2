"""What a class must be to be used as an objective; `docs/objectives.md` describes it.

What it must do is checked by `vidssl.objectives.contract_checks`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from torch import Tensor

from vidssl.objectives.base import Objective

BASE = f"{Objective.__module__}.{Objective.__qualname__}"
# What a method may ask of the data module; names that begin like these are taken for a request.
REQUESTS = ("num_views", "needs_motion", "needs_sampler", "needs_strides", "needs_labels", "needs_extras")
REQUEST_PREFIXES = ("needs_", "num_view")


def fault_of(objective: Any) -> str | None:
    """Return what keeps `objective` from being used as one, in words for its author, or None.

    Args:
        objective: anything that a plug-in offers as an objective.
    """
    if not inspect.isclass(objective):
        return f"it is of type {type(objective).__name__}, not a class below {BASE}"
    if not issubclass(objective, Objective):
        bases = ", ".join(f"{base.__module__}.{base.__qualname__}" for base in objective.__bases__)
        return f"{objective.__qualname__} is a class below {bases}, not below {BASE}"
    if objective.training_step is Objective.training_step:
        return f"{objective.__qualname__} has no training_step(self, batch, batch_idx), which returns the loss"
    return _fault_of_requests(objective)


def _fault_of_requests(objective: type[Objective]) -> str | None:
    """Check what the class asks of the data module; properties are asked of the instance, by `check_delivered`."""
    asked = [name for name in dir(objective) if name.startswith(REQUEST_PREFIXES) and name not in REQUESTS]
    if asked:
        return (
            f"{objective.__qualname__} asks for {', '.join(asked)}, which no data module provides: "
            f"a method can ask for {', '.join(REQUESTS[:-1])} and {REQUESTS[-1]}"
        )
    views = objective.num_views
    if not isinstance(views, (property, cached_property)) and not is_count(views):
        return (
            f"{objective.__qualname__}.num_views must be the number of clips of each video, 1 or more, got {views!r}: "
            "data.sampler chooses the clips"
        )
    for name in ("needs_motion", "needs_labels"):
        value = getattr(objective, name)
        if not isinstance(value, (property, cached_property, bool)):
            return f"{objective.__qualname__}.{name} must be True, False or a property, got {value!r}"
    for name, kind, what in (
        ("needs_sampler", str, "names of samplers, such as ('IntervalSampler',)"),
        ("needs_strides", int, "whole numbers, such as (1, 2, 4)"),
    ):
        value = getattr(objective, name)
        if not isinstance(value, (property, cached_property)) and not _is_tuple_of(value, kind):
            return f"{objective.__qualname__}.{name} must be a tuple of {what}, got {value!r}"
    return _fault_of_mappings(objective)


def _fault_of_mappings(objective: type[Objective]) -> str | None:
    extras, defaults = objective.needs_extras, objective.defaults
    is_known_later = isinstance(extras, (property, cached_property))
    if not is_known_later and not (isinstance(extras, Mapping) and all(isinstance(v, Tensor) for v in extras.values())):
        return (
            f"{objective.__qualname__}.needs_extras must map a name to an example of what one video brings, such as "
            f"{{'audio': torch.zeros(128)}}, got {extras!r}"
        )
    if not isinstance(defaults, Mapping) or set(defaults) & {"model", "objective", "plugin"}:
        return (
            f"{objective.__qualname__}.defaults must map groups of a configuration to their keys, such as {{'data': "
            f"{{'motion': {{}}}}}}; the model's own defaults are those of its arguments. Got {defaults!r}"
        )
    return None


def _is_tuple_of(value: Any, kind: type) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(item, kind) for item in value)


def is_count(value: Any) -> bool:
    """Whether `value` is a whole number, 1 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
