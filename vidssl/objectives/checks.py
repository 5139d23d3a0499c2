"""Checks that all methods share: ranges of settings, requirements on the data, finite weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vidssl.errors import VidsslError, nearest

if TYPE_CHECKING:
    from vidssl.objectives.base import Objective
    from vidssl.types import ClipBatch

SAMPLER_HINT = "vidssl list samplers shows what there is"


def check_at_least(minimum: float, *, prefix: str = "model.", **settings: float) -> None:
    """Refuse values below `minimum`.

    Args:
        minimum: the least value that is allowed.
        prefix: what stands before the names in the message.
        settings: name and value.

    Raises:
        VidsslError: naming the key and its value.
    """
    for name, value in settings.items():
        if not value >= minimum:
            raise VidsslError(f"{prefix}{name} must be at least {minimum}, got {value}.")


def check_above_zero(*, prefix: str = "model.", **settings: float) -> None:
    """Refuse values that are 0 or less, as `check_at_least` does."""
    for name, value in settings.items():
        if not value > 0:
            raise VidsslError(f"{prefix}{name} must be above 0, got {value}.")


def check_widths(**widths: int | tuple[int, ...]) -> None:
    """Refuse layers that are less than 1 wide; a value may be one width or several.

    Raises:
        VidsslError: naming the key and its value.
    """
    for name, value in widths.items():
        if min(value if isinstance(value, (tuple, list)) else (value,), default=1) < 1:
            raise VidsslError(f"model.{name}: a layer must be at least 1 wide, got {value}.")


def check_names(key: str, names: Sequence[str], known: Collection[str]) -> None:
    """Refuse names that are not `known`, and a name that comes twice.

    Raises:
        VidsslError: naming the key and the name.
    """
    for name in names:
        if name not in known:
            raise VidsslError(f"{key}: unknown name {name!r}.{nearest(name, known)} Known: {', '.join(known)}.")
    if len(set(names)) < len(names):
        raise VidsslError(f"{key}: every name once, got {list(names)}.")


def check_share(**settings: float) -> None:
    """Refuse values outside [0, 1], as `check_at_least` does."""
    for name, value in settings.items():
        if not 0 <= value <= 1:
            raise VidsslError(f"model.{name} must be from 0 to 1, got {value}.")


def check_finite(parameters: Mapping[str, Tensor], num_steps: int) -> None:
    """Refuse parameters that are not finite.

    Args:
        parameters: by name.
        num_steps: of the optimiser, done so far.

    Raises:
        VidsslError: one holds nan or inf; the message names it.
    """
    # a sum is finite only where all that it adds is, and costs a tenth of looking at each or less
    sums = [values.detach().sum(dtype=torch.promote_types(values.dtype, torch.float)) for values in parameters.values()]
    if not sums or torch.stack([total.isfinite() for total in sums]).all():
        return
    spoilt = [name for name, values in parameters.items() if not values.isfinite().all()]
    if spoilt:
        raise VidsslError(
            f"{len(spoilt)} of {len(parameters)} parameters are not finite after {num_steps} steps "
            f"({spoilt[0]}, ...), so no checkpoint was written; an earlier one stays as it is. Lower "
            "model.optimizer.learning_rate, or set trainer.gradient_clip_val, and continue from it."
        )


@dataclass(frozen=True)
class Delivered:
    """What a data module delivers to training.

    Attributes:
        sampler: `ClipSampler` that chooses the frames.
        motion: `MotionData`, or None.
        extras: names of `ClipBatch.extras`.
        unlabelled: how many of the training videos have no label, and how many there are; None where no catalog says.
    """

    sampler: Any
    motion: Any = None
    extras: Collection[str] = ()
    unlabelled: tuple[int, int] | None = None

    @classmethod
    def by(cls, data: Any) -> Delivered:
        """Return what a `VideoDataModule` delivers."""
        labels = data.catalog.labels[data.train_rows]
        return cls(data.sampler, data.motion, tuple(data.extras), (int((labels < 0).sum()), len(labels)))


def check_delivered(objective: Objective, delivered: Delivered) -> None:
    """Compare what a data module delivers with what a method requires.

    Raises:
        VidsslError: another number of views, another sampler or other strides, no motion, no labels, or extras that
            are missing; the message names the key.
    """
    name, sampler = type(objective).__name__, delivered.sampler
    if sampler.num_clips != objective.num_views:
        raise VidsslError(
            f"{name} needs {objective.num_views} views per video, data.sampler gives {sampler.num_clips}: choose "
            f"another sampler ({SAMPLER_HINT}) or set its number of clips."
        )
    _check_sampler(name, objective, sampler)
    if objective.needs_motion and (delivered.motion is None or delivered.motion.target_shape is None):
        key = "data.motion" if delivered.motion is None else "data.motion.target_shape"
        raise VidsslError(
            f"{name}, as it is set, learns from the motion of its clips, and {key} is null: set it (data.motion {{}} "
            "takes the defaults), or switch off what needs it in the model (model.alignment null)."
        )
    if objective.needs_labels and delivered.unlabelled is not None and delivered.unlabelled[0]:
        missing, total = delivered.unlabelled
        raise VidsslError(
            f"{name} learns from labels, and {missing} of the {total} videos of data.train_split have none: choose a "
            "split whose videos all have one, or a method that needs no labels (vidssl list objectives)."
        )
    absent = [extra for extra in objective.needs_extras if extra not in delivered.extras]
    if absent:
        there = f"there are {', '.join(delivered.extras)}" if delivered.extras else "there are none"
        raise VidsslError(
            f"{name} needs data.extras.{absent[0]} ({there}): name what reads it, such as "
            f"data.extras.{absent[0]}: {{class_path: ArrayFiles, init_args: {{folder: FOLDER}}}}."
        )


def _check_sampler(name: str, objective: Objective, sampler: Any) -> None:
    kinds = [kind.__name__ for kind in type(sampler).__mro__]
    wanted = objective.needs_sampler
    if wanted and not set(wanted) & set(kinds):
        raise VidsslError(
            f"{name} needs the sampler {' or '.join(wanted)}, and data.sampler is {kinds[0]}: set data.sampler to "
            f"{wanted[0]} ({SAMPLER_HINT})."
        )
    strides = objective.needs_strides
    if strides and set(strides) != set(sampler.strides):
        raise VidsslError(
            f"{name} needs clips of the strides {_listed(strides)}, and data.sampler ({kinds[0]}) draws "
            f"{_listed(sampler.strides)}: set its strides, or choose another sampler ({SAMPLER_HINT})."
        )


def check_extras(objective: Objective, batch: ClipBatch) -> None:
    """Compare the extras of a batch with the examples that a method gives.

    Raises:
        VidsslError: another shape or dtype; the message names the key.
    """
    for name, example in objective.needs_extras.items():
        found: Tensor | None = batch.extras.get(name)
        if found is None or found.shape[1:] != example.shape or found.dtype != example.dtype:
            got = "nothing" if found is None else f"{found.dtype} of shape {tuple(found.shape[1:])}"
            raise VidsslError(
                f"{type(objective).__name__} needs {example.dtype} of shape {tuple(example.shape)} for each video "
                f"from data.extras.{name}, which gave {got}."
            )


def _listed(values: Collection[int]) -> str:
    return ", ".join(map(str, sorted(values)))
