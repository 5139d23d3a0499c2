"""The one data module: loaders for training and for evaluation on frozen features."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from vidssl.catalogs.catalog import Catalog
from vidssl.data.augmentation import CVRL_VIEW_1, CVRL_VIEW_2, AugmentationRecipe
from vidssl.data.dataset import ClipDataset, ClipSample, collate
from vidssl.data.evaluation_dataset import AugmentedClipDataset, EvaluationClipDataset
from vidssl.data.extras import ExtraTensors
from vidssl.data.labelled import LabelledSubset
from vidssl.data.motion_sampling import MotionSampler  # noqa: F401  (a configuration may name it)
from vidssl.data.motion_source import MotionData
from vidssl.data.operations.colours import finish_colours, place_of_colours
from vidssl.data.order import GlobalBatchSampler, OrderKey, whole_batches
from vidssl.data.sampling import ClipSampler, IntervalSampler
from vidssl.data.settings import AugmentedViews, EvaluationClips, Loading
from vidssl.data.shared_memory import PREFETCH_BATCHES, check_shared_memory
from vidssl.data.training_history import KEY, TrainedSplit, history_of, merged
from vidssl.errors import VidsslError
from vidssl.jobs.loader_workers import prepare_worker, worker_context
from vidssl.jobs.side_stream import SideStream
from vidssl.types import ClipBatch

logger = logging.getLogger(__name__)


class VideoDataModule(LightningDataModule):
    """Clips of the videos in a catalog, for training and for evaluation.

    Args:
        catalog: the file that ``vidssl prepare`` wrote.
        root: folder the catalog's paths start from; None takes the one recorded in the catalog.
        name: name of the data set in the names of metrics (``eval/<name>/...``); None takes the catalog's file
            name without its ending.
        train_split: split to train on; only fine-tuning uses its labels.
        batch_size: videos per step over all processes, so that a config means the same run on any number of them.
        sampler: chooses the frames of each view.
        augmentations: one recipe per view, or a single one for all views; None takes the two of CVRL.
        motion: the motion of the videos, for sampling and cropping where things move and for objectives that learn from
            it; None computes no motion.
        extras: what else each training video brings to a batch, by name: audio features, text, boxes.
        labelled: the part of the training videos to train on, chosen by their labels; for fine-tuning with few labels.
        evaluation: clips for evaluation.
        loading: workers, decoder and what happens to unreadable videos.
        seed: key of every draw; the command line sets it to `seed_everything`.

    Raises:
        VidsslError: a missing catalog, folder or split, a name with a slash, a batch that cannot be filled, too
            little shared memory.
    """

    def __init__(
        self,
        catalog: str,
        root: str | None = None,
        name: str | None = None,
        train_split: str = "train",
        batch_size: int = 32,
        sampler: ClipSampler | None = None,
        augmentations: list[AugmentationRecipe] | None = None,
        motion: MotionData | None = None,
        extras: dict[str, ExtraTensors] | None = None,
        labelled: LabelledSubset = LabelledSubset(),
        evaluation: EvaluationClips = EvaluationClips(),
        loading: Loading = Loading(),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.catalog = Catalog.open(catalog, root=root)
        if not self.catalog.root.is_dir():
            raise VidsslError(f"data.root: there is no folder {self.catalog.root}; say where the catalog's videos are.")
        self.name: str = Path(catalog).stem if name is None else name
        if not self.name or "/" in self.name:  # it stands between slashes
            raise VidsslError(f"data.name: {self.name!r} must be a word without a slash.")
        self.train_split = train_split
        self.labelled = labelled
        self.train_rows = labelled.choose(self.catalog, self.catalog.split(train_split))
        self.batch_size = batch_size
        self.sampler = IntervalSampler() if sampler is None else sampler
        self.augmentations = [CVRL_VIEW_1, CVRL_VIEW_2] if augmentations is None else list(augmentations)
        if len(self.augmentations) == 1:
            self.augmentations *= self.sampler.num_clips
        self.motion = motion
        self.extras = dict(extras or {})
        self.evaluation = evaluation
        self.loading = loading
        self.seed = seed
        self.unreadable: dict[int, str] = {}
        self._continued: dict[str, Any] = {}
        self._side_stream = SideStream()
        self.trained_before: tuple[TrainedSplit, ...] = ()

    def setup(self, stage: str) -> None:
        """Check before training that the clips can be built, and that there is something to evaluate on if wanted."""
        if stage == "fit":
            self._continued = {}  # a checkpoint to continue from is loaded after this
            self.train_dataset()
            self._tell_of_short_videos()
        if stage == "fit" and self.trainer is not None and self.trainer.limit_val_batches:
            self.val_dataloader()

    def _tell_of_short_videos(self) -> None:
        if self.trainer is not None and not self.trainer.is_global_zero:
            return
        lengths = self.catalog.num_frames[self.train_rows]
        for num_frames, words in self.sampler.shortcomings():
            short = int((lengths < num_frames).sum())
            if short:
                logger.warning("%s of %s training videos are %s.", f"{short:,}", f"{len(lengths):,}", words)

    # --- training ---

    def train_dataset(self) -> ClipDataset:
        """Build the training clips, asked for by (epoch, position)."""
        device = self.trainer.strategy.root_device.type if self.trainer else None
        wanted: dict[str, Any] = {"motion": self.motion, "extras": self.extras, "decoder": self.loading.decoder}
        wanted["colours"] = place_of_colours(self.loading.colours, self.augmentations, device)
        return ClipDataset(self.catalog, self.train_rows, self.sampler, self.augmentations, seed=self.seed, **wanted)

    def train_dataloader(self) -> DataLoader[ClipSample]:
        """Build the loader of this process's share of every global batch."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        batches = GlobalBatchSampler(
            len(self.train_rows), self.batch_size, seed=self.seed, rank=rank, world_size=world_size
        )
        batches.resume_at(*self._order_key().place_after(self._continued))
        video_bytes = sum(3 * self.sampler.num_frames * recipe.crop_size**2 for recipe in self.augmentations)
        self._check_shared_memory(video_bytes, self.batch_size // world_size, "data.batch_size")
        return self._loader(
            self.train_dataset(), batch_sampler=batches, persistent_workers=self.loading.num_workers > 0
        )

    def _check_shared_memory(self, video_bytes: int, batch_size: int, batch_size_key: str) -> None:
        num_processes = self.trainer.num_devices if self.trainer else 1
        check_shared_memory(video_bytes, batch_size, batch_size_key, self.loading.num_workers, num_processes)

    # --- evaluation ---

    def evaluation_rows(self, split: str) -> np.ndarray:
        """Return the labelled rows of a split, in ascending order.

        Raises:
            VidsslError: the split has no labelled video.
        """
        rows = self.catalog.split(split)
        rows = np.sort(rows[self.catalog.labels[rows] >= 0])
        if len(rows) == 0:
            raise VidsslError(f"Split {split!r} has no labelled video to evaluate on.")
        return rows

    def val_dataloader(self) -> dict[str, DataLoader[ClipSample]]:
        """Build the loaders of this process's share of the gallery and the query videos, by name."""
        splits = {"gallery": self.evaluation.gallery_split, "query": self.evaluation.query_split}
        if splits["gallery"] == splits["query"]:  # leave-one-group-out: one set of videos is both
            del splits["gallery"]
        return {name: self.evaluation_loader(self.evaluation_rows(split)) for name, split in splits.items()}

    test_dataloader = val_dataloader

    def predict_dataloader(self) -> DataLoader[ClipSample]:
        """Build the loader of this process's share of every video in the catalog."""
        return self.evaluation_loader(self.catalog.split("all"))

    def evaluation_loader(
        self,
        rows: np.ndarray,
        clips: EvaluationClips | None = None,
        views: AugmentedViews | None = None,
        processes: tuple[int, int] | None = None,
    ) -> DataLoader[ClipSample]:
        """Build the loader of this process's share of some videos; one that cannot be read is an error.

        Whole batches of the sorted rows go to the processes in turn, so that every batch, and what the network makes of
        it, is the same for any number of them. The loader's dataset says in `share.num_own` how many videos, from the
        first, are this process's; what follows them belongs to another.

        Args:
            rows: int64 (N,).
            clips: what is cut out of a video; None takes `evaluation`.
            views: draw so many views instead of taking evenly spaced clips and crops.
            processes: (rank, number) of the processes; None takes those of the trainer.

        Raises:
            VidsslError: too little shared memory.
        """
        clips = self.evaluation if clips is None else clips
        if processes is None:
            processes = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        rank, world_size = processes
        share = whole_batches(rows, clips.batch_size, rank=rank, world_size=world_size)
        num_views = clips.num_views if views is None else views.num_views
        self._check_shared_memory(
            3 * clips.num_frames * clips.crop_size**2 * num_views,
            min(clips.batch_size, len(share.rows)),
            "data.evaluation.batch_size",
        )
        decoder = self.loading.decoder
        dataset: Dataset[ClipSample]
        if views is None:
            dataset = EvaluationClipDataset(self.catalog, share, clips, decoder=decoder)
        else:
            dataset = AugmentedClipDataset(self.catalog, share, clips, views, decoder=decoder)
        # a loader draws a seed for its workers, and evaluation must not move torch's global generator
        return self._loader(dataset, batch_size=clips.batch_size, generator=torch.Generator())

    def _loader(self, dataset: Dataset[ClipSample], **kwargs: Any) -> DataLoader[ClipSample]:
        workers = self.loading.num_workers
        if workers > 0:
            kwargs["multiprocessing_context"] = worker_context()
            kwargs["prefetch_factor"] = PREFETCH_BATCHES
            kwargs["timeout"] = self.loading.timeout_seconds
        return DataLoader(
            dataset,
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=prepare_worker,
            pin_memory=torch.cuda.is_available(),
            **kwargs,
        )

    # --- unreadable videos ---

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Count the videos that had to be replaced, and stop the run when they are too many."""
        if isinstance(batch, ClipBatch) and batch.failures:
            self.count_failures(batch.failures)
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Copy a batch to the device, to a GPU while it computes the step before, and finish its colours there."""
        if not isinstance(batch, ClipBatch):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        return finish_colours(self._side_stream.transfer(batch, device))

    def count_failures(self, failures: tuple[tuple[int, str], ...]) -> None:
        """Remember unreadable videos, log each once.

        Raises:
            VidsslError: more than `max_bad_fraction` of the training videos are unreadable; the message lists them.
        """
        for row, reason in failures:
            if row not in self.unreadable:
                self.unreadable[row] = reason
                logger.warning("Unreadable video replaced: %s (%s)", self.catalog.name(row), reason)
        if len(self.unreadable) > self.loading.max_bad_fraction * len(self.train_rows):
            listed = "\n".join(f"  {self.catalog.name(row)}: {reason}" for row, reason in self.unreadable.items())
            raise VidsslError(
                f"{len(self.unreadable)} of {len(self.train_rows)} training videos cannot be read, more than "
                f"data.loading.max_bad_fraction = {self.loading.max_bad_fraction} allows:\n{listed}\n"
                "Prepare the catalog again to leave them out, or raise the limit."
            )

    # --- resuming ---

    @cached_property
    def trained_on(self) -> TrainedSplit:
        """The videos that this run trains on."""
        return TrainedSplit.of(self.catalog, self.train_split)

    def _order_key(self) -> OrderKey:
        videos = hashlib.sha256(self.catalog.digest.encode() + self.train_rows.tobytes()).hexdigest()[:16]
        limit = str(self.trainer.limit_train_batches if self.trainer else 1.0)
        return OrderKey(self.seed, self.batch_size, len(self.train_rows), videos, limit)

    def state_dict(self) -> dict[str, Any]:
        """How far the run got and what it trained on, for its checkpoint."""
        assert self.trainer is not None  # the checkpoint is its
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.total  # annotated as something more general
        # Lightning's own epoch is still the old one while hooks run at its end
        epoch, batches = divmod(progress.processed, max(self.trainer.num_training_batches, 1))
        return {
            "epoch": int(epoch),
            "videos": int(batches) * self.batch_size,
            "order": asdict(self._order_key()),
            KEY: [part.state() for part in self._history()] if self.trainer.is_global_zero else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the batch after the last one that the checkpoint saw."""
        self._continued = state_dict
        self.trained_before = history_of(state_dict.get(KEY, []), self.trainer.ckpt_path if self.trainer else None)

    def _history(self) -> tuple[TrainedSplit, ...]:
        """What the network has been trained on; a list that is there need not be made again."""
        own = self.catalog.digest, self.train_split
        known = [part for part in self.trained_before if part.videos is not None]
        is_known = own in {(part.catalog_digest, part.split) for part in known}
        return merged([*self.trained_before, *([] if is_known else [self.trained_on])])
