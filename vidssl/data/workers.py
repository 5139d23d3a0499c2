"""The processes that load videos: how they start, and whether what they prefetch has room."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import BaseContext
from pathlib import Path
from shutil import disk_usage

import cv2
import torch

from vidssl.errors import VidsslError
from vidssl.jobs.parent import end_with_parent

PREFETCH_BATCHES = 2
SHARED_MEMORY = Path("/dev/shm")


def check_shared_memory(
    video_bytes: int, batch_size: int, batch_size_key: str, num_workers: int, num_processes: int
) -> None:
    """Compare what the workers of a machine will hold in shared memory with what is free.

    Args:
        video_bytes: of all views of a video.
        batch_size: videos a batch, of one process.
        batch_size_key: what decides it, for the message.
        num_workers: of one process; without any there is nothing to share.
        num_processes: on this machine.

    Raises:
        VidsslError: the prefetched batches would not fit.
    """
    if num_workers == 0 or not SHARED_MEMORY.is_dir():
        return
    # one batch more than the prefetched ones: the one in use
    num_batches = num_workers * PREFETCH_BATCHES + 1
    needed = video_bytes * batch_size * num_batches * num_processes
    free = disk_usage(SHARED_MEMORY).free
    if needed > free:
        raise VidsslError(
            f"Too little shared memory: {num_processes} processes x {num_batches} batches x {batch_size} videos x "
            f"{video_bytes / 1e6:.1f} MB a video need {needed / 1e9:.2f} GB, {SHARED_MEMORY} has "
            f"{free / 1e9:.2f} GB free. Enlarge it (docker run --shm-size), or lower {batch_size_key} or "
            "data.loading.num_workers."
        )


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
