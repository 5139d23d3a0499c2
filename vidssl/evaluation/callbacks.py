"""When evaluation runs during training, and where its numbers go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import distributed as dist

from vidssl.data.datamodule import VideoDataModule
from vidssl.errors import VidsslError
from vidssl.evaluation.protocols import get_protocol
from vidssl.evaluation.video_features import VideoFeatures
from vidssl.nn.gather import world_size


class FrozenFeatureEvaluation(Callback):
    """Measures frozen features whenever Lightning validates, and once before training starts.

    The features are those that the objective's `validation_step` returns for the data module's gallery and query
    loaders: evaluation mode, no gradients, nothing of the model changes. Every process encodes its share of the
    videos, each exactly once, and the metrics are computed from all of them on the first process. They are logged as
    ``eval/<data set>/<protocol>/<metric>``, accuracies in [0, 1]. How often is the trainer's
    `check_val_every_n_epoch`; `num_sanity_val_steps: -1` gives the numbers of the untrained network.

    Args:
        protocols: names from `vidssl.evaluation.protocols.PROTOCOLS`.
    """

    def __init__(self, protocols: Sequence[str] = ("knn", "linear", "retrieval/mean")) -> None:
        for name in protocols:
            get_protocol(name)
        self.protocols = list(protocols)
        self._collected: dict[str, list[dict[str, torch.Tensor]]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the splits suit the protocols, before anything runs.

        Raises:
            VidsslError: gallery and query share videos, so that each would find itself.
        """
        wanted = trainer.limit_test_batches if stage == "test" else trainer.limit_val_batches
        if stage == "predict" or not wanted:
            return
        check_disjoint(trainer.datamodule, self.protocols)

    # --- collecting ---

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the features of the last time."""
        self._collected = {"gallery": [], "query": []}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the features of a batch, under the name of its loader."""
        loaders = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
        self._collect(loaders, outputs, dataloader_idx)

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def _collect(self, loaders: dict[str, Any], outputs: dict[str, torch.Tensor], dataloader_idx: int) -> None:
        name = list(loaders)[dataloader_idx]
        video = {key: value.cpu() for key, value in outputs.items()}
        video["features"] = video["features"].mean(dim=1)
        self._collected[name].append(video)

    # --- measuring ---

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute and log the metrics."""
        if trainer.sanity_checking and not math.isinf(trainer.num_sanity_val_steps):
            return  # a few batches are a check of the code, not a measurement
        metrics = self._measure(trainer)
        if trainer.sanity_checking:
            # Lightning drops what a sanity check logs, and these are the numbers of the untrained network.
            for run_logger in trainer.loggers:
                run_logger.log_metrics({**metrics, "epoch": 0}, step=trainer.global_step)
        else:
            pl_module.log_dict(metrics, rank_zero_only=False, batch_size=1)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute and log the metrics."""
        pl_module.log_dict(self._measure(trainer), rank_zero_only=False, batch_size=1)

    def _measure(self, trainer: Trainer) -> dict[str, float]:
        data = trainer.datamodule
        groups = data.catalog.groups
        split = data.evaluation
        query = gather_videos(self._collected["query"], groups, data.evaluation_rows(split.query_split))
        gallery = query
        if split.gallery_split != split.query_split:
            gallery = gather_videos(self._collected["gallery"], groups, data.evaluation_rows(split.gallery_split))
        metrics: dict[str, float] = {}
        if trainer.is_global_zero:
            for name in self.protocols:
                results = get_protocol(name).measure(gallery, query).metrics
                metrics.update({f"eval/{data.name}/{name}/{metric}": value for metric, value in results.items()})
        self._collected = {}
        return trainer.strategy.broadcast(metrics)


def check_disjoint(data: VideoDataModule, protocols: Sequence[str]) -> None:
    """Refuse protocols that need a gallery apart from the queries where the two splits share videos.

    Raises:
        VidsslError: they do; the message names splits and protocols.
    """
    needing = [name for name in protocols if not get_protocol(name).leaves_out_groups]
    splits = data.evaluation
    shared = np.intersect1d(data.evaluation_rows(splits.gallery_split), data.evaluation_rows(splits.query_split))
    if needing and len(shared):
        raise VidsslError(
            f"data.evaluation: gallery_split {splits.gallery_split!r} and query_split {splits.query_split!r} share "
            f"{len(shared)} videos, each of which {', '.join(needing)} would find again. Choose splits that share "
            "none, or protocols that hold out groups (their names end in leave-one-group-out)."
        )


def gather_videos(batches: list[dict[str, torch.Tensor]], groups: np.ndarray, expected: np.ndarray) -> VideoFeatures:
    """Put the features of all processes together, sorted by row number.

    Args:
        batches: this process's `features` (B, D), `label` (B,) and `index` (B,).
        groups: the catalog's group of every row.
        expected: the row numbers that must be there, each exactly once.

    Raises:
        VidsslError: a video is missing or came twice.
    """
    parts: list[list[dict[str, torch.Tensor]]] = [batches]
    if world_size() > 1:
        parts = [[] for _ in range(world_size())]
        dist.all_gather_object(parts, batches)
    flat = [batch for part in parts for batch in part]
    joined = {key: torch.cat([batch[key] for batch in flat]).numpy() for key in ("features", "label", "index")}
    order = np.argsort(joined["index"], kind="stable")
    index = joined["index"][order]
    if not np.array_equal(index, np.sort(expected)):
        raise VidsslError(
            f"Evaluation saw {len(index)} videos ({len(np.unique(index))} different ones) instead of {len(expected)}: "
            "is trainer.limit_val_batches or limit_test_batches set?"
        )
    return VideoFeatures(
        joined["features"][order][:, None], joined["label"][order], groups[index].astype(np.int64), index
    )
