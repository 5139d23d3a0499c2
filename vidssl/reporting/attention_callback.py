"""Measures during training whether a network looks at what moves."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.seed import isolate_rng

from vidssl.data.datamodule import VideoDataModule
from vidssl.errors import VidsslError
from vidssl.evaluation.attention.clips import LookedAt
from vidssl.evaluation.features.encoder import FrozenEncoder
from vidssl.evaluation.measuring import data_of
from vidssl.motion.settings import MotionSettings
from vidssl.nn.training_steps import steps_done
from vidssl.objectives.base import Objective
from vidssl.reporting.attention_pictures import attention_page, attention_sheet
from vidssl.reporting.callbacks import log_picture, pictures_folder

CLIPS = 3
DEFAULT_MOTION = MotionSettings()


class MotionAttention(Callback):
    """Measures after validation how much of the network's attention is on what moves, see `Overlap`.

    Logged as ``eval/<data set>/attention/motion_share``, ``.../elsewhere_share`` and ``.../motion_correlation``, with a
    picture of the first video. The first process works alone, on a copy of the backbone; nothing of the model and no
    generator of random numbers changes, and the others wait: keep `num_videos` small.

    Args:
        num_videos: query videos of the evaluation that it is measured on, evenly spaced.
        motion: how their motion is computed, once a run.

    Raises:
        VidsslError: fewer than 3 videos.
    """

    def __init__(self, num_videos: int = 48, motion: MotionSettings = DEFAULT_MOTION) -> None:
        if num_videos < 3:
            raise VidsslError(f"MotionAttention.num_videos must be at least 3, got {num_videos}.")
        self.num_videos = num_videos
        self.motion = motion
        self._looked_at: LookedAt | None = None

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, log and draw, on the first process."""
        partial_check = trainer.sanity_checking and not math.isinf(trainer.num_sanity_val_steps)
        if partial_check or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Objective)  # vidssl trains nothing else
        with isolate_rng(), torch.inference_mode(False):
            metrics = self._measure(trainer, pl_module)
        step = max(steps_done(trainer) - 1, 0)  # as Lightning logs evaluations: steps are counted from 0
        for run_logger in trainer.loggers:
            run_logger.log_metrics({**metrics, "epoch": trainer.current_epoch}, step=step)

    def _measure(self, trainer: Trainer, objective: Objective) -> dict[str, float]:
        if self._looked_at is None:
            self._looked_at = self._choose(data_of(trainer))
        looked_at, spec = self._looked_at, objective.backbone_spec
        encoder = FrozenEncoder(copy.deepcopy(objective.backbone), spec.pixel_mean, spec.pixel_std)
        attention = looked_at.attention(encoder.to(objective.device))
        found = looked_at.overlap(attention)
        page = attention_page(looked_at, 0, {type(objective).__name__: attention})
        log_picture(trainer, "pictures/attention", attention_sheet(page, pictures_folder(trainer) / "attention.png"))
        names = ("motion_share", "elsewhere_share", "motion_correlation")
        return {f"eval/{data_of(trainer).name}/attention/{name}": getattr(found, name) for name in names}

    def _choose(self, data: VideoDataModule) -> LookedAt:
        rows = np.sort(data.evaluation_rows(data.evaluation.query_split))
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(self.num_videos, len(rows))).round().astype(int))]
        return LookedAt(data, rows, replace(data.evaluation, num_clips=CLIPS, num_crops=1), self.motion)
