"""The processes that load batches: how they start, and that they end with the process they load for."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import BaseContext

import cv2
import torch

from vidssl.jobs.parent import end_with_parent


def worker_context() -> BaseContext:
    """How workers start: from a clean server process where there is one.

    A fork of the training process inherits the locks of OpenCV's and torch's thread pools without their threads, and
    hangs as soon as it touches them.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vidssl.data.dataset"])  # torch and OpenCV are imported once, not by each worker
    return context


def prepare_worker(worker_id: int) -> None:
    """Give a worker one thread, since the workers are the parallelism, and let it end with the process it loads for."""
    end_with_parent()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
