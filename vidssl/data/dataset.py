"""From a row of the catalog to uint8 clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from vidssl.catalogs.catalog import Catalog
from vidssl.data.augmentation import AugmentationRecipe, Plan, change_pixels, draw, place, transform_motion
from vidssl.data.extras import ExtraTensors
from vidssl.data.motion_source import MotionData, MotionSource
from vidssl.data.operations import Drawn
from vidssl.data.operations.colours import pending_colours
from vidssl.data.sampling import ClipSampler
from vidssl.errors import VidsslError
from vidssl.motion.maps import VideoMotion
from vidssl.types import ClipBatch
from vidssl.video.decoding import DecodingError, each_frame, frames_to_keep

# What a generator is keyed by, beside (seed, epoch, row): one number for each use, so that no two draws share a stream.
SAMPLING_STREAM, REPLACEMENT_STREAM, FIRST_VIEW_STREAM = 0, 1, 2
MAX_REPLACEMENTS = 20


@dataclass
class ClipSample:
    """The clips of one video.

    Attributes:
        clips: one uint8 array a view, each T x H x W x 3.
        label: class number, -1 for none.
        index: row number in the catalog.
        starts: number of the first frame of each clip.
        motion: float32, ST-motion of what the first clip shows, T' x h x w, or of what each clip shows, clips x T' x h
            x w; None without.
        failures: (row number, reason) of the videos that were tried before and could not be read.
        strides: distance in frames between two frames of each clip, in training.
        extras: what else the video brings, by name.
        colours: what the device is to do to each clip: the operations of each frame plan; empty where nothing is left.
    """

    clips: list[np.ndarray]
    label: int
    index: int
    starts: tuple[int, ...]
    motion: np.ndarray | None = None
    failures: tuple[tuple[int, str], ...] = ()
    strides: tuple[int, ...] | None = None
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    colours: tuple[tuple[tuple[Drawn, ...], ...], ...] = ()


@dataclass
class DrawnViews:
    """What was drawn for one video.

    Attributes:
        indices: frame numbers of each view, int64 (T,).
        motion: of the whole video, or None where nothing asks for it.
        plans: one a view.
        frames: uint8, T x H x W x 3 for each view, from `ClipDataset.draw_views`; empty in training.
    """

    indices: list[np.ndarray]
    motion: VideoMotion | None
    plans: list[Plan] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)


class ClipDataset(Dataset[ClipSample]):
    """Training clips: sampled, decoded once, augmented a view.

    An item is asked for by (epoch, position). Every draw comes from a generator keyed by (seed, epoch, row, use), so
    a sample does not depend on workers, processes or restarts. A video that cannot be read is replaced by another,
    drawn the same way, and reported in `ClipSample.failures`.

    Args:
        catalog: the videos.
        rows: row numbers to train on, int64 (N,).
        sampler: chooses the frames of each view.
        recipes: one augmentation recipe per view, as many as the sampler gives clips.
        seed: key of every draw.
        decoder: name of the decoder.
        motion: where the motion of the videos comes from; None for sampling, crops and batches without motion.
        extras: name in the batch -> what reads it.
        colours: ``loader`` does the operations on pixels here, ``device`` leaves them to `finish_colours`.

    Raises:
        VidsslError: recipes and clips differ in number, there is no motion and something needs it, or its stored file
            does not fit.
    """

    def __init__(
        self,
        catalog: Catalog,
        rows: np.ndarray,
        sampler: ClipSampler,
        recipes: Sequence[AugmentationRecipe],
        *,
        seed: int,
        decoder: str = "auto",
        motion: MotionData | None = None,
        extras: Mapping[str, ExtraTensors] | None = None,
        colours: str = "loader",
    ) -> None:
        if len(recipes) != sampler.num_clips:
            raise VidsslError(
                f"data.augmentations has {len(recipes)} recipes, but data.sampler gives {sampler.num_clips} clips per "
                "video: write one recipe per clip, or a single one for all."
            )
        if motion is not None:
            recipes = [replace(recipe, motion_crop=recipe.motion_crop or motion.crop) for recipe in recipes]
        users = _users_of_motion(sampler, recipes)
        if users and motion is None:
            raise VidsslError(
                f"{', '.join(users)}: this uses the motion of the videos, and data.motion is null. Set data.motion "
                "({} for the defaults), or do without (probability: 0 of the sampler, motion_crop: null)."
            )
        self.catalog = catalog
        self.rows = rows
        self.sampler = sampler
        self.recipes = list(recipes)
        self.seed = seed
        self.decoder = decoder
        self.extras = dict(extras or {})
        self.colours = colours
        self.target_shape = None if motion is None else motion.target_shape
        self.motion_of_all_views = motion is not None and motion.views == "all"
        # computing motion costs as much as decoding: only where something asks for it
        self.motion: MotionSource | None = None
        if motion is not None and (users or motion.target_shape):
            self.motion = MotionSource(catalog, motion)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> ClipSample:
        return self._readable_sample(key, [None] * len(self.recipes))

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> ClipBatch:
        """Return a whole batch, each clip augmented straight into its place (the DataLoader asks for this)."""
        shapes = [
            (len(keys), self.sampler.num_frames, recipe.crop_size, recipe.crop_size, 3) for recipe in self.recipes
        ]
        # numpy asks for huge pages, torch does not: a large batch is written several times faster
        views = [torch.from_numpy(np.empty(shape, np.uint8)) for shape in shapes]
        if torch.utils.data.get_worker_info() is not None:
            for view in views:  # where the training process will read it, so that it is not copied there
                view.share_memory_()
        places = zip(*(view.numpy() for view in views), strict=True)
        samples = [self._readable_sample(key, place) for key, place in zip(keys, places, strict=True)]
        return _batch(views, samples)

    def _readable_sample(self, key: tuple[int, int], places: Sequence[np.ndarray | None]) -> ClipSample:
        epoch, position = key
        row = int(self.rows[position])
        replacements = np.random.default_rng([self.seed, epoch, row, REPLACEMENT_STREAM])
        failures: list[tuple[int, str]] = []
        while len(failures) < MAX_REPLACEMENTS:
            try:
                return self._sample(epoch, row, places, tuple(failures))
            except DecodingError as error:
                failures.append((row, error.reason))
                row = int(self.rows[replacements.integers(len(self.rows))])
        raise VidsslError(
            f"{MAX_REPLACEMENTS} videos in a row could not be read, the first {self.catalog.name(failures[0][0])} "
            f"({failures[0][1]}). Is data.root right? It is {self.catalog.root}."
        )

    def _sample(
        self, epoch: int, row: int, places: Sequence[np.ndarray | None], failures: tuple[tuple[int, str], ...]
    ) -> ClipSample:
        num_frames = self.sampler.num_frames
        shapes = [(num_frames, recipe.crop_size, recipe.crop_size, 3) for recipe in self.recipes]
        clips = [np.empty(shape, np.uint8) if out is None else out for shape, out in zip(shapes, places, strict=True)]
        for views, slots, frame in self._decoded(epoch, row):
            # at once, while the frame is in the cache; together, those of a large video would not even fit into memory
            for view, number in (divmod(slot, num_frames) for slot in slots.tolist()):
                place(frame[None], views.plans[view].of_frame(number), clips[view][number : number + 1])
        colours = tuple(tuple(step.operations for step in plan.frames) for plan in views.plans)
        if self.colours == "loader":
            for clip, plan in zip(clips, views.plans, strict=True):
                change_pixels(clip, plan)
            colours = ()
        starts = tuple(int(indices[0]) for indices in views.indices)
        video = self.catalog[row]
        strides = tuple(self.sampler.stride_of(indices, video.num_frames) for indices in views.indices)
        extras = {name: np.asarray(source(video, views)) for name, source in self.extras.items()}
        return ClipSample(clips, video.label, row, starts, self._target(views), failures, strides, extras, colours)

    def draw_views(self, epoch: int, row: int) -> DrawnViews:
        """Draw and decode the views of a video, as training sees them in `epoch`; `apply` makes the clips of them.

        Raises:
            DecodingError: the video, or its motion, cannot be read, or it changed since it was prepared.
        """
        frames: np.ndarray | None = None
        for views, slots, frame in self._decoded(epoch, row):
            if frames is None:
                frames = np.empty((sum(map(len, views.indices)), *frame.shape), np.uint8)
            frames[slots] = frame
        assert frames is not None  # a clip has a frame
        return replace(views, frames=np.split(frames, len(views.indices)))

    def _decoded(self, epoch: int, row: int) -> Iterator[tuple[DrawnViews, np.ndarray, np.ndarray]]:
        """Yield what was drawn, and every frame with its places in the views, one view after the other."""
        video = self.catalog[row]
        path = self.catalog.unchanged(video)
        sampling = np.random.default_rng([self.seed, epoch, row, SAMPLING_STREAM])
        with frames_to_keep(self.decoder) as kept:
            motion = None if self.motion is None else self.motion(row, kept)
            views = DrawnViews(self.sampler(video.num_frames, sampling, motion), motion)
            self._check_sampled(views.indices, video.num_frames)
            # One call for all views: frames that two clips share are decoded once.
            numbers = np.concatenate(views.indices)
            for slots, frame in each_frame(path, numbers, decoder=self.decoder, kept=kept):
                if not views.plans:
                    views.plans = self._plans(epoch, row, views, *frame.shape[:2])
                yield views, slots, frame

    def _check_sampled(self, indices: Sequence[np.ndarray], num_video_frames: int) -> None:
        """Refuse what a sampler may not return: a frame that no clip has would be left as memory was."""
        lengths = [len(clip) for clip in indices]
        if lengths != [self.sampler.num_frames] * self.sampler.num_clips:
            raise VidsslError(
                f"data.sampler: {type(self.sampler).__name__} returned clips of {lengths} frames for a video of "
                f"{num_video_frames} frames; it has to return {self.sampler.num_clips} clips of "
                f"{self.sampler.num_frames} frames for every video."
            )

    def _plans(self, epoch: int, row: int, views: DrawnViews, height: int, width: int) -> list[Plan]:
        plans = []
        for view, (recipe, indices) in enumerate(zip(self.recipes, views.indices, strict=True)):
            rng = np.random.default_rng([self.seed, epoch, row, FIRST_VIEW_STREAM + view])
            s_motion = views.motion.clip(indices, 1)[0] if views.motion is not None and recipe.motion_crop else None
            plans.append(draw(recipe, rng, num_frames=len(indices), height=height, width=width, motion=s_motion))
        return plans

    def _target(self, views: DrawnViews) -> np.ndarray | None:
        """Return the ST-motion of what the first view shows, or of what each of them shows."""
        if self.target_shape is None or views.motion is None:
            return None
        steps, height, width = self.target_shape
        shown = (
            transform_motion(views.motion.clip(indices, steps), plan, height, width)
            for indices, plan in zip(views.indices, views.plans, strict=True)
        )
        return np.stack(list(shown)) if self.motion_of_all_views else next(shown)


def _users_of_motion(sampler: ClipSampler, recipes: Sequence[AugmentationRecipe]) -> list[str]:
    """The keys that do not work without motion."""
    users = [f"data.sampler ({type(sampler).__name__})"] if sampler.uses_motion else []
    return users + [f"data.augmentations[{n}].motion_crop" for n, recipe in enumerate(recipes) if recipe.motion_crop]


def collate(samples: Sequence[ClipSample] | ClipBatch) -> ClipBatch:
    """Stack samples into a batch; a batch is returned unchanged."""
    if isinstance(samples, ClipBatch):
        return samples
    num_views = len(samples[0].clips)
    views = [torch.from_numpy(np.stack([sample.clips[view] for sample in samples])) for view in range(num_views)]
    return _batch(views, samples)


def _batch(views: list[torch.Tensor], samples: Sequence[ClipSample]) -> ClipBatch:
    """Views B x T x H x W x 3 keep the frames' own memory order (channels last) as B x 3 x T x H x W."""
    motions = [sample.motion for sample in samples if sample.motion is not None]
    return ClipBatch(
        views=[view.permute(0, 4, 1, 2, 3) for view in views],
        label=torch.tensor([sample.label for sample in samples]),
        index=torch.tensor([sample.index for sample in samples]),
        motion=torch.from_numpy(np.stack(motions)) if motions else None,
        starts=torch.tensor([sample.starts for sample in samples]),
        strides=None if samples[0].strides is None else torch.tensor([sample.strides for sample in samples]),
        extras={name: _stacked(name, samples) for name in samples[0].extras},
        failures=tuple(failure for sample in samples for failure in sample.failures),
        colours=tuple(
            pending_colours([sample.colours[number] for sample in samples], view.shape[2])
            for number, view in enumerate(views[: len(samples[0].colours)])
        ),
    )


def _stacked(name: str, samples: Sequence[ClipSample]) -> torch.Tensor:
    values = [sample.extras[name] for sample in samples]
    kinds = {(value.shape, value.dtype.name): sample.index for value, sample in zip(values, samples, strict=True)}
    if len(kinds) > 1:
        words = " and ".join(f"{dtype} {shape} of catalog row {row}" for (shape, dtype), row in kinds.items())
        raise VidsslError(f"data.extras.{name} must be alike for every video of a batch, got {words}.")
    return torch.from_numpy(np.stack(values))
