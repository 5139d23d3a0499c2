"""What every method shares: the backbone, the optimiser, the names it logs under."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

import vidssl
from vidssl.backbones import build_backbone
from vidssl.backbones.execution import execute_as_set
from vidssl.backbones.spec import BackboneSpec as BackboneSpec
from vidssl.backbones.weights import load_weights
from vidssl.errors import VidsslError
from vidssl.losses.collapse import spread
from vidssl.nn.clip_input import ClipInput, frozen_features
from vidssl.nn.gather import world_size
from vidssl.nn.optimizers import OPTIMIZERS, parameter_groups
from vidssl.nn.optimizers import OptimizerSpec as OptimizerSpec
from vidssl.nn.schedules import warmup_cosine
from vidssl.nn.training_log import TrainingLog, is_written
from vidssl.nn.training_steps import share_done, steps_done
from vidssl.objectives.alignment import MotionAligner, MotionAlignment
from vidssl.objectives.checks import Delivered, check_delivered, check_extras, check_finite
from vidssl.types import ClipBatch


class Objective(LightningModule, ABC):
    """Base of every method; a subclass owns its heads and its `training_step`.

    A subclass sets `num_views`, the clips of each video that its `training_step` needs, and builds its heads after
    calling this constructor. `backbone(self.network_input(batch.views))` runs all views in one forward pass.

    What else it needs of the data it says by `needs_motion` (`batch.motion`), `needs_sampler` (names of samplers, one
    of which it must be), `needs_strides` (all strides that clips are drawn with, `batch.strides`), `needs_labels` (all
    training videos have one) and `needs_extras` (name in `batch.extras` and an example of what one video brings, whose
    shape and dtype count). A run whose data does not deliver it is refused. `defaults` are keys of a configuration that
    hold for a run of this method unless its files or flags say otherwise: ``{"data": {"sampler": ...}}``.

    One whose loss and gradients on k processes with b videos are those of one process with k * b, batch statistics
    aside, sets `exact_across_processes`, which the contract checks then verify. One that can learn from a single video
    at a time, since it compares nothing with other videos, sets `min_videos` to 1; `min_videos_per_process` is the same
    for the share of each process (BatchNorm needs two rows to normalise). Each is an attribute of the class, set in the
    constructor where it depends on settings; a property will do, too. One that takes `alignment` passes it on, encodes
    its clips by `encode`, and adds `alignment_loss` to its loss. Draws in which all processes must agree are keyed by
    `step_seed`, another number in every step; it is None outside of a run.

    Args:
        backbone: which network learns.
        optimizer: how it learns.
        alignment: what is aligned with the motion of the clips; None aligns nothing.

    Raises:
        VidsslError: `alignment` names a layer that the backbone does not list, or settings of `backbone` do not work.
    """

    num_views: int = 2
    needs_motion: bool = False
    needs_sampler: tuple[str, ...] = ()
    needs_strides: tuple[int, ...] = ()
    needs_labels: bool = False
    needs_extras: Mapping[str, Tensor] = MappingProxyType({})
    defaults: Mapping[str, Any] = MappingProxyType({})
    exact_across_processes: bool = False
    min_videos: int = 2
    min_videos_per_process: int = 1

    def __init__(
        self, backbone: BackboneSpec, optimizer: OptimizerSpec, alignment: MotionAlignment | None = None
    ) -> None:
        super().__init__()
        self.backbone_spec = backbone
        self.optimizer_spec = optimizer
        self.backbone = build_backbone(backbone.name, **backbone.options)
        if backbone.weights is not None:
            rank_zero_only(print)(load_weights(self.backbone, backbone.weights))
        self.clip_input = ClipInput(backbone.pixel_mean, backbone.pixel_std)
        self.logged_terms: dict[str, Tensor | float] = {}
        self._training_log = TrainingLog(describe=_spread)
        self._shared_seed: int | None = None
        self.aligner: MotionAligner | None = None
        if alignment is not None and alignment.terms:
            self.aligner = MotionAligner(alignment, self.backbone)
            self.needs_motion = True
        execute_as_set(self.backbone, backbone, is_aligned=self.aligner is not None)
        self._alignment_metrics: dict[str, Tensor | float] = {}
        # Plain values only: a checkpoint must load with weights_only=True and say how to build its backbone.
        self.save_hyperparameters(
            {
                "vidssl_version": vidssl.__version__,
                "objective": type(self).__name__,
                "backbone": backbone.name,
                "backbone_options": dict(backbone.options),
                "pixel_mean": list(backbone.pixel_mean),
                "pixel_std": list(backbone.pixel_std),
                "optimizer": asdict(optimizer),
            }
        )

    # Abstract: of a class that could be built itself, jsonargparse (4.53.0) gives subclasses the defaults of its
    # constructor in the place of their own (findings/jsonargparse_base_class_defaults.sh).
    @abstractmethod
    def training_step(self, batch: ClipBatch, batch_idx: int) -> Any:
        """Return the loss of a batch, a scalar with a gradient, and log by `log_training`."""

    # --- for subclasses ---

    def network_input(self, views: list[Tensor]) -> Tensor:
        """Concatenate uint8 views (B x 3 x T x H x W each) and normalise them: float, one view after the other."""
        return self.clip_input(views)

    def encode(self, clips: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features B x C of normalised clips, and the maps that `alignment_loss` takes (None without it)."""
        return (self.backbone(clips), None) if self.aligner is None else self.aligner.encode(self.backbone, clips)

    def alignment_loss(self, maps: Tensor | None, batch: ClipBatch, similarity: Tensor | None = None) -> Tensor | float:
        """Return what motion alignment adds to the loss, 0 without it; `log_training` then logs its terms, too.

        Args:
            maps: what `encode` gave for the first views, one view after the other, as `network_input` puts them.
            batch: of those views, with their motion.
            similarity: of positives, float of any shape, in the graph of `maps`: its sum is what the weighted forms
                differentiate, so that only its direction counts. The form ``feature`` needs none.

        Raises:
            VidsslError: a weighted form without similarity, no motion, or shapes that do not fit.
        """
        if self.aligner is None or maps is None:
            return 0.0
        compares_others = self._trainer is None or is_written(self.trainer)  # for what is logged alone
        output = self.aligner(maps, batch.motion, similarity, compares_others=compares_others)
        weight = self.aligner.weight(self.current_epoch)
        self._alignment_metrics = {**output.metrics, "alignment_weight": weight}
        if self._trainer is not None:
            self.aligner.report_first(output.prediction)
        return weight * output.loss

    def log_training(self, *, embeddings: Tensor | None = None, **metrics: Tensor | float) -> None:
        """Log scalars as ``train/<name>``, and the learning rate, in steps that are read (`vidssl.nn.training_log`).

        Args:
            embeddings: float (B, D), what the loss compares, one row per clip: how far they spread is logged too.
            metrics: name and value: a tensor is averaged over the processes, a number is the same on all of them.
        """
        metrics, self._alignment_metrics = {**metrics, **self._alignment_metrics}, {}
        # of this process and this step, to say which term it is when the loss is not finite
        self.logged_terms = {
            f"train/{name}": value.detach() if isinstance(value, Tensor) else value for name, value in metrics.items()
        }
        if self._trainer is not None:
            rates = {
                f"train/learning_rate{f'_{number}' if number > 1 else ''}": optimizer.param_groups[0]["lr"]
                for number, optimizer in enumerate(self.trainer.optimizers, start=1)
            }
            self.logged_terms |= self._training_log.take(self, {**self.logged_terms, **rates}, embeddings)

    def training_progress(self) -> float:
        """Return the share of the run's optimiser steps that are done, 0 to below 1 in training; 0 outside a run."""
        if self._trainer is None:
            return 0.0
        return share_done(self.trainer)

    # --- what Lightning calls ---

    def setup(self, stage: str) -> None:
        """Check that the data module delivers what the method needs, before anything runs.

        Raises:
            VidsslError: see `check_delivered` and `check_batch`.
        """
        data = self._data_module()
        if stage == "fit" and data is not None:
            check_delivered(self, Delivered.by(data))
            self.check_batch(data.batch_size, self.trainer.world_size)
        if data is not None:
            self.hparams["catalog_digest"] = data.catalog.digest
            self.hparams["train_split"] = data.train_split

    def check_batch(self, batch_size: int, num_processes: int) -> None:
        """Refuse batches in which the method has nothing to compare a video with.

        Args:
            batch_size: videos per step, over all processes.
            num_processes: that train together.

        Raises:
            VidsslError: fewer videos than `min_videos`, or than `min_videos_per_process` on each process.
        """
        compared = self.min_videos if self.aligner is None else max(self.min_videos, self.aligner.min_videos)
        least = max(compared, self.min_videos_per_process * num_processes)
        if batch_size < least:
            among = f" on {num_processes} processes" if num_processes > 1 else ""
            raise VidsslError(
                f"{type(self).__name__} compares videos with each other and needs at least {least} of them per "
                f"step{among}: set data.batch_size to {least} or more, not {batch_size}."
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to write weights that are not finite over good ones.

        Raises:
            VidsslError: a parameter holds nan or inf; the message names it.
        """
        check_finite(dict(self.named_parameters()), steps_done(self.trainer))

    def on_fit_start(self) -> None:
        """Remember the run's seed, which keys every later draw.

        Raises:
            VidsslError: synchronised BatchNorm with a form of alignment that it cannot train.
        """
        self._run_seed = torch.initial_seed() & 0xFFFFFFFF
        alone = world_size() == 1
        self._shared_seed = self._run_seed if alone else self.trainer.strategy.broadcast(self._run_seed)
        self._training_log.begin()
        if self.aligner is not None:
            self.aligner.begin(self)

    def on_train_batch_start(self, batch: ClipBatch, batch_idx: int) -> None:
        """Key torch's generators by (seed, step, rank): a killed run draws on as if nothing had happened.

        Logs how many videos the first process could not read so far, once there is one.

        Raises:
            VidsslError: extras of another shape or dtype than the method needs.
        """
        if self.needs_extras:
            check_extras(self, batch)
        torch.manual_seed(_seed_of(self._run_seed, self.trainer.fit_loop.epoch_loop.total_batch_idx, self.global_rank))
        unreadable = getattr(self._data_module(), "unreadable", None)
        if unreadable:
            self.log("data/unreadable_videos", float(len(unreadable)), batch_size=1, rank_zero_only=True)

    @property
    def step_seed(self) -> int | None:
        """Key of what all processes draw alike in a step; None outside of a run."""
        if self._shared_seed is None:
            return None
        return _seed_of(self._shared_seed, self.trainer.fit_loop.epoch_loop.total_batch_idx)

    def on_train_batch_end(self, outputs: Any, batch: ClipBatch, batch_idx: int) -> None:
        """Log a step that ended the run before its time."""
        self._training_log.end_step(self)

    def _data_module(self) -> Any:
        return getattr(self.trainer, "datamodule", None)  # Lightning does not declare it

    def features(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Frozen features of a batch of evaluation clips.

        Returns:
            `features` float32 (B, num_clips, feature_dim), `label` int64 (B,), `index` int64 (B,).
        """
        return frozen_features(self.backbone, self.clip_input, batch)

    def validation_step(self, batch: ClipBatch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Return frozen features; callbacks turn them into metrics."""
        return self.features(batch)

    test_step = validation_step
    predict_step = validation_step

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Build the optimiser and its schedule from the spec.

        Raises:
            VidsslError: the run has no end.
        """
        spec = self.optimizer_spec
        optimizer = OPTIMIZERS[spec.name](parameter_groups(self, spec.weight_decay), spec)
        total_steps = self.trainer.estimated_stepping_batches
        if math.isinf(total_steps):
            raise VidsslError("The cosine schedule needs an end: set trainer.max_epochs or trainer.max_steps.")
        self.trainer.fit_loop.setup_data()  # where only max_steps is set, nobody has yet asked how long an epoch is
        steps_per_epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        warmup_steps = round(spec.warmup_epochs * steps_per_epoch)
        schedule = partial(warmup_cosine, warmup_steps=warmup_steps, total_steps=int(total_steps))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _spread(rows: Tensor) -> dict[str, Tensor]:
    return {f"train/{name}": value for name, value in spread(rows).items()}


def _seed_of(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1)[0])
