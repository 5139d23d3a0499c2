"""Batches on their way to a GPU, while it computes."""

from __future__ import annotations

import torch

from vidssl.types import ClipBatch


class SideStream:
    """Copies batches to a GPU on a stream of their own.

    A batch is asked for when the step before it has been queued. On a stream of its own the copy does not wait for that
    step, so that the GPU computes while the next batch arrives; what is queued later waits for the copy. The batch has
    to be in pinned memory, where the loader's `pin_memory` leaves it.
    """

    def __init__(self) -> None:
        self._stream: torch.cuda.Stream | None = None

    def transfer(self, batch: ClipBatch, device: torch.device) -> ClipBatch:
        """Return the batch on a device."""
        if device.type != "cuda":
            return batch.to(device)
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)
        computing = torch.cuda.current_stream(device)
        with torch.cuda.stream(self._stream):
            moved = batch.to(device)
        computing.wait_stream(self._stream)
        moved.record_stream(computing)
        return moved
