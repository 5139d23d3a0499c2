"""In which order the videos come: the same for any number of processes and workers, and resumable."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from vidssl.errors import VidsslError


class GlobalBatchSampler(Sampler):
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
        self._resume_at = (0, 0)

    @property
    def sampler(self) -> GlobalBatchSampler:
        """Itself: Lightning calls `set_epoch` on a batch sampler's `sampler`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def resume_at(self, epoch: int, num_batches: int) -> None:
        """Leave out the first `num_batches` batches of `epoch`, which a run has already seen."""
        self._resume_at = (epoch, num_batches)

    def __len__(self) -> int:
        return self.num_videos // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_videos)
        resume_epoch, num_seen = self._resume_at
        share = self.batch_size // self.world_size
        for batch in range(num_seen if self.epoch == resume_epoch else 0, len(self)):
            first = batch * self.batch_size + self.rank * share
            yield [(self.epoch, int(position)) for position in order[first : first + share]]
