"""From a row of the catalog to the clips that evaluation encodes; a video that cannot be read is an error."""

from __future__ import annotations

import numpy as np
from torch.utils.data import Dataset

from vidssl.catalogs.catalog import Catalog, VideoRow
from vidssl.data.augmentation import apply, draw, evaluation_plan, three_crop_positions
from vidssl.data.dataset import ClipSample
from vidssl.data.order import Share
from vidssl.data.sampling import EvenlySpacedSampler, UniformSampler
from vidssl.data.settings import AugmentedViews, EvaluationClips
from vidssl.video.decoding import read_frames

# What a generator is keyed by, beside (seed, row, view): when a clip begins, and what is cut out of it.
START, CROP = 0, 1
STREAM_FAMILY = (1,)  # keeps these draws apart from those of training, which are keyed by four numbers too


class _SharedVideos(Dataset[ClipSample]):
    """The videos of one process, read for all their views at once.

    Args:
        catalog: the videos.
        share: the rows of this process.
        decoder: name of the decoder.
    """

    def __init__(self, catalog: Catalog, share: Share, decoder: str) -> None:
        self.catalog = catalog
        self.share = share
        self.decoder = decoder

    def __len__(self) -> int:
        return len(self.share.rows)

    def _read(self, video: VideoRow, indices: list[np.ndarray]) -> np.ndarray:
        return read_frames(self.catalog.unchanged(video), np.concatenate(indices), decoder=self.decoder)


class EvaluationClipDataset(_SharedVideos):
    """Evenly spaced clips, resized and cropped in the middle or at three places; nothing is random.

    The views of a video are its clips in the order of time, the crops of a clip side by side from left to right or
    from top to bottom. A video is decoded once for all of them.

    Args:
        catalog: the videos.
        share: the rows of this process.
        clips: what is cut out of a video.
        decoder: name of the decoder.
    """

    def __init__(self, catalog: Catalog, share: Share, clips: EvaluationClips, *, decoder: str = "auto") -> None:
        super().__init__(catalog, share, decoder)
        self.clips = clips
        self.sampler = EvenlySpacedSampler(clips.num_frames, clips.stride, clips.num_clips)

    def __getitem__(self, position: int) -> ClipSample:
        """Return the clips of a video.

        Raises:
            DecodingError: it cannot be read; the message names the file.
        """
        row = int(self.share.rows[position])
        video = self.catalog[row]
        indices = self.sampler(video.num_frames)
        frames = self._read(video, indices)
        crops = [np.split(crop, len(indices)) for crop in self._crops(frames)]
        views = [crop[clip] for clip in range(len(indices)) for crop in crops]
        starts = tuple(int(clip[0]) for clip in indices for _ in crops)
        return ClipSample(views, video.label, row, starts)

    def _crops(self, frames: np.ndarray) -> list[np.ndarray]:
        """Return all frames once for every crop."""
        height, width = frames.shape[1:3]
        positions = ("center",) if self.clips.num_crops == 1 else three_crop_positions(height, width)
        sizes = {"resize": self.clips.resize, "crop_size": self.clips.crop_size}
        plans = [evaluation_plan(len(frames), height, width, position=position, **sizes) for position in positions]
        return [apply(frames, plan) for plan in plans]


class AugmentedClipDataset(_SharedVideos):
    """Clips at random times, cropped and flipped at random; keyed, so that they are the same in every pass.

    Args:
        catalog: the videos.
        share: the rows of this process.
        clips: frames, stride and size of a clip.
        views: how many are drawn, and from what.
        decoder: name of the decoder.
    """

    def __init__(
        self, catalog: Catalog, share: Share, clips: EvaluationClips, views: AugmentedViews, *, decoder: str = "auto"
    ) -> None:
        super().__init__(catalog, share, decoder)
        self.views = views
        self.sampler = UniformSampler(clips.num_frames, clips.stride, num_clips=1)
        self.recipe = views.recipe(clips.crop_size)

    def __getitem__(self, position: int) -> ClipSample:
        """Return the views of a video.

        Raises:
            DecodingError: it cannot be read; the message names the file.
        """
        row = int(self.share.rows[position])
        video = self.catalog[row]
        views = range(self.views.num_views)
        indices = [self.sampler(video.num_frames, self._generator(row, view, START))[0] for view in views]
        frames = self._read(video, indices)
        clips = [self._augmented(clip, row, view) for view, clip in enumerate(np.split(frames, len(indices)))]
        return ClipSample(clips, video.label, row, tuple(int(clip[0]) for clip in indices))

    def _augmented(self, clip: np.ndarray, row: int, view: int) -> np.ndarray:
        num_frames, height, width = clip.shape[:3]
        rng = self._generator(row, view, CROP)
        return apply(clip, draw(self.recipe, rng, num_frames=num_frames, height=height, width=width))

    def _generator(self, row: int, view: int, use: int) -> np.random.Generator:
        key = [self.views.seed, row, view, use]
        return np.random.default_rng(np.random.SeedSequence(key, spawn_key=STREAM_FAMILY))
