"""The generators that plug-ins must not draw from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def other_global_state() -> Iterator[None]:
    """Give Python's and numpy's own generators another state for a while: whoever draws from them draws otherwise."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed()
    np.random.seed()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
