"""Features on their way from every process to the first, in bounded memory.

Each process keeps the features of its own batches, in memory while they are few and in a passing file otherwise. Then
it sends them batch by batch to the first process, which sees the batches in the order of their rows. Nothing needs a
folder that all machines share.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import prod
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from vidssl.data.order import Share
from vidssl.errors import VidsslError
from vidssl.nn.gather import world_size

MEMORY_BYTES = 64 * 2**20
"""What a set of videos may take in the memory of a process before a file takes its place."""
PATIENCE = timedelta(hours=6)
"""How long processes wait for each other: for the slowest to encode its share, for the first to measure."""


class Processes:
    """The processes that evaluate together, as they talk on the CPU.

    Waiting for the first process to fit a classifier may take longer than the time after which NCCL or Lightning's own
    process group give up (minutes), so that they have a patient gloo group of their own. Where a process dies, its
    connections end and those that wait for it fail at once. To be made by all of them together.
    """

    def __init__(self) -> None:
        self._group: dist.ProcessGroup | None = None
        if world_size() > 1:
            # what else it may return is for processes outside of the group, and there are none
            self._group = dist.new_group(backend="gloo", timeout=PATIENCE)  # type: ignore[assignment]

    def gather(self, value: Any) -> list[Any]:
        """Return the small, plain value of every process, to each of them."""
        if self._group is None:
            return [value]
        values: list[Any] = [None] * world_size()
        with _reported():
            dist.all_gather_object(values, value, group=self._group)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the first process's small, plain value, to each of them."""
        if self._group is None:
            return value
        values = [value]
        with _reported():
            dist.broadcast_object_list(values, src=0, group=self._group)
        return values[0]

    def send(self, rows: np.ndarray) -> None:
        """Send float32 rows to the first process."""
        with _reported():
            dist.send(torch.from_numpy(rows), dst=0, group=self._group)

    def receive(self, shape: tuple[int, ...], sender: int) -> np.ndarray:
        """Receive float32 rows from process `sender`."""
        rows = torch.empty(shape)
        with _reported():
            dist.recv(rows, src=sender, group=self._group)
        return rows.numpy()


@contextmanager
def _reported() -> Iterator[None]:
    """Report the loss of another process; its own message says what went wrong."""
    try:
        yield
    except RuntimeError as error:  # gloo has no error of its own
        raise VidsslError(
            "Another process ended while this one waited for it; its own message says why "
            f"({str(error).splitlines()[0]})."
        ) from error


class FeaturePart:
    """The features that this process computes of one set of videos.

    Args:
        share: which of the videos are its own.
        keep: "each" view of a video, the "mean" over them, or "changed": the mean under each change in time.
        folder: where a file may lie if they are many; made if need be.
    """

    def __init__(self, share: Share, keep: str, folder: str | Path) -> None:
        self.share = share
        self.keep = keep
        self.view_shape = (0, 0)  # (V, D) of what is kept, known from the first batch on
        self.num_added = 0
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._file = SpooledTemporaryFile(max_size=MEMORY_BYTES, dir=str(folder))  # noqa: SIM115  (closed when sent)

    def add(self, outputs: dict[str, Tensor]) -> None:
        """Keep the features of a batch: `features` (B, V, D), under C changes (B, C, V, D), and `index` (B,).

        They come in the order of the share.

        Raises:
            VidsslError: they are not those of the next videos of the share.
        """
        index = outputs["index"].cpu().numpy()
        if not np.array_equal(index, self.share.rows[self.num_added : self.num_added + len(index)]):
            raise VidsslError(
                f"Evaluation got the catalog rows {index.tolist()}, which are not the next of its loader. Shuffling, "
                "and the sampler that Lightning adds (trainer.use_distributed_sampler), must be off."
            )
        views = outputs["features"].detach().float().cpu().numpy()
        if self.keep == "mean":
            views = views.mean(axis=1, keepdims=True)  # by NumPy, as `VideoFeatures.features`: the same bits
        elif self.keep == "changed":
            views = views.mean(axis=2)
        self.view_shape = views.shape[1:]
        if self.num_added < self.share.num_own:
            self._file.write(np.ascontiguousarray(views).data)
        self.num_added += len(index)

    @property
    def num_missing(self) -> int:
        """Videos of the share that have not come yet."""
        return len(self.share.rows) - self.num_added

    def gather(self, processes: Processes) -> tuple[tuple[int, int, int], Iterator[np.ndarray]] | None:
        """Bring the features of all processes to the first one; all must call it.

        Returns:
            On the first process the shape (N, V, D) of the whole, and float32 pieces that make it up, in ascending
            order of their rows, a batch at a time: they must be used up, since the others wait until theirs were
            fetched. None on other processes.

        Raises:
            VidsslError: videos are missing, on whichever process.
        """
        missing = sum(processes.gather(self.num_missing))
        if missing:
            raise VidsslError(
                f"Evaluation did not see {missing} of {len(self.share.all_rows)} videos: is trainer.limit_val_batches, "
                "limit_test_batches or limit_predict_batches set?"
            )
        if self.share.rank == 0:
            return (len(self.share.all_rows), *self.view_shape), self._all_batches(processes)
        for batch in self._own_batches():
            processes.send(batch)
        self.close()
        return None

    def _all_batches(self, processes: Processes) -> Iterator[np.ndarray]:
        own = self._own_batches()
        for number, rows in enumerate(self.share.batches()):
            sender = number % self.share.world_size
            yield next(own) if sender == 0 else processes.receive((len(rows), *self.view_shape), sender)
        self.close()

    def _own_batches(self) -> Iterator[np.ndarray]:
        self._file.seek(0)
        for rows in self.share.batches()[self.share.rank :: self.share.world_size]:
            content = bytearray(self._file.read(4 * len(rows) * prod(self.view_shape)))
            yield np.frombuffer(content, np.float32).reshape(len(rows), *self.view_shape)

    def close(self) -> None:
        """Give memory or file back."""
        self._file.close()


def hold(shape: tuple[int, ...], pieces: Iterator[np.ndarray], folder: str | Path) -> np.ndarray:
    """Put float32 pieces together: in memory up to `MEMORY_BYTES`, else in a nameless file that is mapped.

    Args:
        shape: of the whole, (N, V, D).
        pieces: (n, V, D) each, which together are N.
        folder: where the file is; it is deleted with the array.
    """
    if 4 * prod(shape) <= MEMORY_BYTES:
        return np.concatenate(list(pieces))
    with TemporaryFile(dir=folder) as file:
        for piece in pieces:
            file.write(np.ascontiguousarray(piece).data)
        file.flush()
        return np.memmap(file, np.float32, mode="r", shape=shape)
