"""How many threads NumPy and torch compute with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from vidssl.jobs.video_processes import default_workers


@contextmanager
def a_thread_per_core() -> Iterator[None]:
    """Compute, while the block runs, with as many threads as there are cores per process of this machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(default_workers())
    try:
        with threadpool_limits(default_workers()):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def not_starved() -> Iterator[None]:
    """Undo, while the block runs, that torchrun sets ``OMP_NUM_THREADS`` to 1 where nobody has set it.

    One thread suits processes that all train. It does not suit one that measures while the others wait for it.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("OMP_NUM_THREADS") == "1":
        with a_thread_per_core():
            yield
    else:
        yield
