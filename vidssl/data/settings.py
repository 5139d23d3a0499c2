"""The groups of keys of the data module: which clips evaluation sees, and how the loaders work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from vidssl.data.plan import AugmentationRecipe
from vidssl.errors import UnknownNameError, VidsslError, nearest
from vidssl.video.decoding import DECODERS

COLOURS = ("auto", "loader", "device")


@dataclass(frozen=True)
class EvaluationClips:
    """Which videos and frames evaluation sees.

    Attributes:
        gallery_split: split whose labelled videos fit the classifiers and are retrieved.
        query_split: split whose videos are classified and used as queries.
        num_frames: frames per clip.
        stride: distance in frames between two frames of a clip.
        num_clips: clips per video, evenly spaced; their features are averaged.
        num_crops: crops per clip, 1 in the centre or 3 along the longer side. 3 crops of 10 clips are the "10 x 3
            views" of SlowFast and CVRL.
        resize: short side in pixels before the crop.
        crop_size: side of the crop in pixels, at most `resize`.
        batch_size: videos that a process decodes and encodes together; each view of them is a forward pass of its own.

    Raises:
        VidsslError: a number below 1, a number of crops other than 1 and 3, or a crop larger than the resized frame;
            the message names the key.
    """

    gallery_split: str = "train"
    query_split: str = "test"
    num_frames: int = 16
    stride: int = 2
    num_clips: int = 10
    num_crops: int = 1
    resize: int = 256
    crop_size: int = 224
    batch_size: int = 8

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < 1:
                raise VidsslError(f"data.evaluation.{field.name} must be at least 1, got {value}.")
        if self.num_crops not in (1, 3):
            raise VidsslError(
                f"data.evaluation.num_crops is 1 (centre) or 3 (along the longer side), got {self.num_crops}."
            )
        if self.crop_size > self.resize:
            raise VidsslError(
                f"data.evaluation.crop_size ({self.crop_size}) is larger than the resized short side, "
                f"data.evaluation.resize ({self.resize})."
            )

    @property
    def num_views(self) -> int:
        """The number of views per video, every crop of every clip."""
        return self.num_clips * self.num_crops


@dataclass(frozen=True)
class AugmentedViews:
    """Views of a video that are drawn instead of evenly spaced, to train a classifier on.

    The recipe is that of CVRL's linear evaluation (Qian et al., CVPR 2021; its released code,
    ``official/projects/video_ssl/dataloaders/video_ssl_input.py`` of TensorFlow's model garden): a clip at a random
    time, a random resized crop, a flip. Every draw is keyed by (seed, row, view).

    Attributes:
        num_views: views per video.
        crop_area: smallest and greatest area of the crop, as a share of the frame's.
        crop_aspect: smallest and greatest width / height of the crop.
        flip_probability: probability of mirroring left and right.
        seed: seed of the draws.

    Raises:
        VidsslError: no view, or a range that `AugmentationRecipe` refuses.
    """

    num_views: int
    crop_area: tuple[float, float] = (0.3, 1.0)
    crop_aspect: tuple[float, float] = (0.5, 2.0)
    flip_probability: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_views < 1:
            raise VidsslError(f"augmented_views must be at least 1 where there are any, got {self.num_views}.")
        self.recipe(crop_size=1)

    def recipe(self, crop_size: int) -> AugmentationRecipe:
        """Return the recipe of a view of `crop_size` pixels."""
        return AugmentationRecipe(
            crop_size=crop_size,
            crop_area=self.crop_area,
            crop_aspect=self.crop_aspect,
            flip_probability=self.flip_probability,
        )


@dataclass(frozen=True)
class Loading:
    """How the loaders work.

    Attributes:
        num_workers: worker processes of each training process; 0 loads in the training process itself.
        decoder: ``auto``, ``decord``, ``pyav``, ``opencv`` or ``torchcodec``.
        colours: where colours of training clips are changed, ``loader``, ``device`` or ``auto``. This covers jitter,
            grey, blur, solarise and the operations of a recipe. The workers of the ``loader`` change one clip at a
            time, the ``device`` whole batches. The draws are the same, and the results differ by rounding. ``auto``
            uses the device if it is a GPU and every operation has a version for it.
        max_bad_fraction: share of unreadable training videos above which the run stops.
        timeout_seconds: how long a worker may take for a batch before the run stops; 0 waits forever.

    Raises:
        VidsslError: an unknown decoder or place, or a number out of its range; the message names the key.
    """

    num_workers: int = 2
    decoder: str = "auto"
    colours: str = "auto"
    max_bad_fraction: float = 0.01
    timeout_seconds: float = 600.0

    def __post_init__(self) -> None:
        _require_known("decoder", "decoder", self.decoder, ["auto", *DECODERS.names()])
        _require_known("colours", "place", self.colours, COLOURS)
        if self.num_workers < 0 or self.timeout_seconds < 0:
            raise VidsslError("data.loading: num_workers and timeout_seconds must be 0 or more.")
        if not 0 <= self.max_bad_fraction <= 1:
            raise VidsslError(f"data.loading.max_bad_fraction is a share in [0, 1], got {self.max_bad_fraction}.")


def _require_known(key: str, kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        hint = f"{nearest(str(name), known)} Known: {', '.join(known)}."
        raise UnknownNameError(f"data.loading.{key}: unknown {kind} {name!r}.{hint}")
