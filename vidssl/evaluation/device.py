"""Where measures compute what a GPU computes faster: on the CPU, unless whoever measures says otherwise."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

from vidssl.nn.products import full_float32

CPU = torch.device("cpu")

Result = TypeVar("Result")

logger = logging.getLogger(__name__)
_device: ContextVar[torch.device | None] = ContextVar("device of measures", default=None)


@contextmanager
def measuring_on(device: torch.device) -> Iterator[None]:
    """Let measures compute on a device while the block runs; a CPU leaves them to their NumPy code."""
    token = _device.set(None if device.type == "cpu" else device)
    try:
        yield
    finally:
        _device.reset(token)


def on_measuring_device(compute: Callable[[torch.device | None], Result]) -> Result:
    """Compute on the device of `measuring_on` in full float32, and on the CPU where its memory does not suffice.

    Args:
        compute: is called with the device, or with None for the CPU.
    """
    device = _device.get()
    if device is None:
        return compute(None)
    try:
        with full_float32():
            return compute(device)
    except torch.OutOfMemoryError:
        logger.warning("The memory of %s does not suffice to measure there; the CPU measures.", device)
    return compute(None)
