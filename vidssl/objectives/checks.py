"""Ranges of settings, told by the key that holds them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

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
