"""The clips that a network looks at, beside their motion."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from vidssl.data.augmentation import evaluation_plan, transform_motion
from vidssl.data.datamodule import VideoDataModule
from vidssl.data.motion_source import MotionData, MotionSource
from vidssl.data.sampling import EvenlySpacedSampler
from vidssl.data.settings import EvaluationClips
from vidssl.evaluation.attention.overlap import (
    Overlap,
    attention_maps,
    clip_directions,
    encode_clips,
    moving_share,
    overlap,
)
from vidssl.evaluation.features.encoder import FrozenEncoder
from vidssl.losses.motion_alignment import motion_target
from vidssl.motion.settings import MotionSettings
from vidssl.types import ClipBatch

MOTION_CELLS = 28
"""Rows and columns of the motion of a clip before it is averaged over the cells of a network's maps."""


class LookedAt:
    """Some videos of a catalog, their evaluation clips and the motion in them.

    Args:
        data: the videos.
        rows: row numbers in the catalog, int64 (N,), ascending.
        clips: what is cut out of a video; one crop per clip.
        motion: how motion is computed.
    """

    def __init__(self, data: VideoDataModule, rows: np.ndarray, clips: EvaluationClips, motion: MotionSettings) -> None:
        self.data = data
        self.rows = rows
        self.clips = clips
        self.motion_settings = motion
        self._source = MotionSource(data.catalog, MotionData(settings=motion))
        self._motion: np.ndarray | None = None

    def batches(self) -> Iterable[ClipBatch]:
        """Build the loader of the clips."""
        return self.data.evaluation_loader(self.rows, self.clips, None, (0, 1))

    @property
    def motion(self) -> np.ndarray:
        """ST-motion of every frame of every clip, cropped like it: float32 (N, V, T, 28, 28); computed once.

        Raises:
            DecodingError: a video, or its motion, cannot be read.
        """
        if self._motion is None:
            self._motion = np.stack([self._motion_of(int(row)) for row in self.rows])
        return self._motion

    def _motion_of(self, row: int) -> np.ndarray:
        video, clips = self.data.catalog[row], self.clips
        maps = self._source(row)
        sampler = EvenlySpacedSampler(clips.num_frames, clips.stride, clips.num_clips)
        plan = evaluation_plan(
            clips.num_frames, video.height, video.width, resize=clips.resize, crop_size=clips.crop_size
        )
        return np.stack(
            [
                transform_motion(maps.clip(indices, clips.num_frames), plan, MOTION_CELLS, MOTION_CELLS)
                for indices in sampler(video.num_frames)
            ]
        )

    def features(self, encoder: FrozenEncoder) -> np.ndarray:
        """Return the features of every clip, float32 (N, V, D)."""
        return encode_clips(encoder, self.batches())

    def attention(self, encoder: FrozenEncoder, features: np.ndarray | None = None) -> np.ndarray:
        """Return what the network looks at in every clip, float32 (N, V, T', H', W').

        Args:
            encoder: the network.
            features: of `features`, if they are there already.
        """
        features = self.features(encoder) if features is None else features
        return attention_maps(encoder, self.batches(), clip_directions(features))

    def overlap(self, attention: np.ndarray) -> Overlap:
        """Compare the attention of all clips with the motion of the same cells."""
        return overlap(attention, self._motion_on(attention.shape[2:]))

    def share_of(self, place: int, clip: int, attention: np.ndarray) -> float:
        """Return how much of one clip's attention T' x H' x W' is on what moves most, see `Overlap`."""
        return moving_share(attention, self._motion_on(attention.shape)[place, clip])

    def clip_of(self, row: int, clip: int) -> np.ndarray:
        """Return the frames of one clip of a video, uint8 T x H x W x 3."""
        dataset = self.data.evaluation_loader(np.array([row]), self.clips, None, (0, 1)).dataset
        return dataset[0].clips[clip]

    def _motion_on(self, grid: tuple[int, ...]) -> np.ndarray:
        steps, rows, columns = grid
        pooled = motion_target(torch.from_numpy(self.motion).flatten(0, 1), (steps, rows, columns)).numpy()
        return pooled.reshape(*self.motion.shape[:2], *grid)
