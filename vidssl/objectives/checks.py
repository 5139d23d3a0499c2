"""Ranges of settings, reported by their key, and weights that are finite."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from vidssl.errors import VidsslError, nearest


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
