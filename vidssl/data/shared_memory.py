"""Whether there is room in shared memory for the batches that loader workers prefetch."""

from __future__ import annotations

from pathlib import Path
from shutil import disk_usage

from vidssl.errors import VidsslError

PREFETCH_BATCHES = 2
SHARED_MEMORY = Path("/dev/shm")


def check_shared_memory(
    video_bytes: int, batch_size: int, batch_size_key: str, num_workers: int, num_processes: int
) -> None:
    """Compare the shared memory that the workers of a machine will need with the free shared memory.

    Args:
        video_bytes: of all views of a video.
        batch_size: videos per batch, of one process.
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
            f"{video_bytes / 1e6:.1f} MB per video need {needed / 1e9:.2f} GB, {SHARED_MEMORY} has "
            f"{free / 1e9:.2f} GB free. Enlarge it (docker run --shm-size), or lower {batch_size_key} or "
            "data.loading.num_workers."
        )
