"""In which order the videos come: the same for any number of processes and workers, and resumable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from vidssl.errors import VidsslError


class GlobalBatchSampler(Sampler[list[tuple[int, int]]]):
    """Deals each global batch out to the processes as lists of (epoch, position) pairs.

    An epoch is a permutation keyed by (seed, epoch) and cut into global batches, whatever the number of processes;
    each process takes its contiguous share of every batch. The last, incomplete batch of an epoch is left out.

    Args:
        num_videos: how many positions there are.
        batch_size: videos in a global batch, over all processes; a multiple of `world_size`.
        seed: key of the permutations.
        rank: number of this process.
        world_size: number of processes.

    Raises:
        VidsslError: fewer videos than a batch needs, or a batch that cannot be shared equally.
    """

    def __init__(self, num_videos: int, batch_size: int, *, seed: int, rank: int = 0, world_size: int = 1) -> None:
        if batch_size < 1 or batch_size % world_size:
            raise VidsslError(
                f"data.batch_size ({batch_size}) is the batch over all processes and must be a positive multiple of "
                f"their number ({world_size})."
            )
        if num_videos < batch_size:
            raise VidsslError(
                f"data.batch_size ({batch_size}) is larger than the number of training videos ({num_videos}): no "
                "batch could be filled. Make it smaller."
            )
        self.num_videos = num_videos
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self._place = (0, 0)

    @property
    def sampler(self) -> GlobalBatchSampler:
        """Itself: Lightning calls `set_epoch` on a batch sampler's `sampler`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def resume_at(self, epoch: int, num_seen: int) -> None:
        """Begin with `epoch`, and leave out its first `num_seen` videos, which a run has already seen."""
        self.epoch = epoch  # Lightning asks for the first iterator, whose batches workers prefetch, before `set_epoch`
        self._place = (epoch, num_seen)

    def __len__(self) -> int:
        return self.num_videos // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return self._batches(self.epoch)  # of the epoch in which it was asked for, whenever it is read

    def _batches(self, epoch: int) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, epoch]).permutation(self.num_videos)
        resumed_epoch, num_seen = self._place
        share = self.batch_size // self.world_size
        for batch in range(num_seen // self.batch_size if epoch == resumed_epoch else 0, len(self)):
            first = batch * self.batch_size + self.rank * share
            yield [(epoch, int(position)) for position in order[first : first + share]]


@dataclass(frozen=True)
class OrderKey:
    """What the order of the training videos depends on; within an epoch, a run continues only where all is as it was.

    Attributes:
        seed: key of the permutations.
        batch_size: videos in a global batch.
        num_videos: how many are trained on.
        videos: digest of which they are.
        limit: the trainer's `limit_train_batches`, as a text.
    """

    seed: int
    batch_size: int
    num_videos: int
    videos: str
    limit: str = "1.0"

    def place_after(self, state: Mapping[str, Any]) -> tuple[int, int]:
        """Say where training goes on after a checkpoint.

        Args:
            state: what the data module wrote into it; empty for a new run.

        Returns:
            the epoch, and how many of its videos have been seen.

        Raises:
            VidsslError: within an epoch, the videos would come in another order than before, so that some would be seen
                twice in this epoch and others not at all; between epochs, an epoch would have another number of
                batches, by which Lightning counts. The message names what changed.
        """
        if not state:
            return 0, 0
        if "order" not in state:  # of 0.1, where an epoch that had just ended still counted as the current one
            per_epoch = self.num_videos // self.batch_size
            epochs, batches = divmod(state["batches"], per_epoch)
            return state["epoch"] + epochs, batches * self.batch_size
        before = OrderKey(**state["order"])
        between_epochs = state["videos"] == 0
        if between_epochs and (self._batches, self.limit) == (before._batches, before.limit):
            return state["epoch"], 0
        changed = [
            f"{words} was {getattr(before, name)} and is {getattr(self, name)}"
            for name, words in _IN_WORDS.items()
            if getattr(before, name) != getattr(self, name)
        ]
        if changed:
            why = (
                f"an epoch would have {self._batches} batches and had {before._batches}"
                if between_epochs
                else f"it was written after {state['videos']} of the {before.num_videos} videos of an epoch, and the "
                "rest would come in another order"
            )
            raise VidsslError(
                f"The run cannot continue from this checkpoint: {why}. {'; '.join(changed)}. Set it as it was, or "
                "start a new run from the weights (model.backbone.weights)."
            )
        return state["epoch"], state["videos"]

    @property
    def _batches(self) -> int:
        return self.num_videos // self.batch_size


_IN_WORDS = {
    "seed": "seed_everything",
    "batch_size": "data.batch_size",
    "num_videos": "the number of training videos (data.catalog, data.train_split, data.labelled)",
    "limit": "trainer.limit_train_batches",
    "videos": "the digest of the training videos (data.catalog, data.train_split, data.labelled)",
}


@dataclass(frozen=True)
class Share:
    """The videos that one process encodes: whole batches of all, batch i those of process i % world_size.

    Attributes:
        all_rows: int64 (N,), ascending: the videos of all processes.
        batch_size: videos per batch; the last one may be smaller.
        rank: number of this process.
        world_size: number of processes.
    """

    all_rows: np.ndarray
    batch_size: int
    rank: int = 0
    world_size: int = 1

    def batches(self) -> list[np.ndarray]:
        """Return the rows of every batch, those of other processes too."""
        return np.split(self.all_rows, np.arange(self.batch_size, len(self.all_rows), self.batch_size))

    @cached_property
    def rows(self) -> np.ndarray:
        """The process's own batches one after the other, then at most one batch that is another process's.

        With it all processes have the same number of batches: Lightning leaves out a process that has none, and in
        training DDP sends buffers around in every batch.
        """
        batches = self.batches()
        own = batches[self.rank :: self.world_size]
        num_rounds = -(-len(batches) // self.world_size)
        return np.concatenate([*own, *(batches[-1:] if len(own) < num_rounds else [])])

    @cached_property
    def num_own(self) -> int:
        """How many of `rows`, from the beginning, are the process's own; those that follow do not count."""
        return sum(map(len, self.batches()[self.rank :: self.world_size]))


def whole_batches(rows: np.ndarray, batch_size: int, *, rank: int = 0, world_size: int = 1) -> Share:
    """Deal whole batches of sorted rows out to the processes.

    A batch holds the same videos whatever the number of processes, and so does the network's every forward pass. Each
    row is exactly one process's own.

    Args:
        rows: int64 (N,), at least one.
        batch_size: videos per batch; the last one may be smaller.
        rank: number of this process.
        world_size: number of processes.
    """
    return Share(np.sort(rows), batch_size, rank, world_size)
