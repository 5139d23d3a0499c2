"""The groups of keys of the data module: which clips evaluation sees, and how the loaders work."""

from __future__ import annotations

from dataclasses import dataclass, fields

from vidssl.data.decoding import DECODERS
from vidssl.errors import UnknownNameError, VidsslError, nearest


@dataclass(frozen=True)
class EvaluationClips:
    """Which videos and frames evaluation sees.

    Attributes:
        gallery_split: split whose labelled videos fit the classifiers and are retrieved.
        query_split: split whose videos are classified and used as queries.
        num_frames: frames a clip.
        stride: distance in frames between two frames of a clip.
        num_clips: clips a video, evenly spaced; their features are averaged.
        resize: short side in pixels before the crop.
        crop_size: side of the centre crop in pixels, at most `resize`.
        batch_size: videos a forward pass, on each process.

    Raises:
        VidsslError: a number below 1, or a crop larger than the resized frame; the message names the key.
    """

    gallery_split: str = "train"
    query_split: str = "test"
    num_frames: int = 16
    stride: int = 2
    num_clips: int = 10
    resize: int = 256
    crop_size: int = 224
    batch_size: int = 8

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < 1:
                raise VidsslError(f"data.evaluation.{field.name} must be at least 1, got {value}.")
        if self.crop_size > self.resize:
            raise VidsslError(
                f"data.evaluation.crop_size ({self.crop_size}) is larger than the resized short side, "
                f"data.evaluation.resize ({self.resize})."
            )


@dataclass(frozen=True)
class Loading:
    """How the loaders work.

    Attributes:
        num_workers: worker processes of each training process; 0 loads in the training process itself.
        decoder: ``auto``, ``decord``, ``pyav``, ``opencv`` or ``torchcodec``.
        max_bad_fraction: share of the training videos that may turn out unreadable before the run stops.
        timeout_seconds: how long a worker may take over a batch before the run stops; 0 waits for ever.

    Raises:
        VidsslError: an unknown decoder, or a number out of its range; the message names the key.
    """

    num_workers: int = 2
    decoder: str = "auto"
    max_bad_fraction: float = 0.01
    timeout_seconds: float = 600.0

    def __post_init__(self) -> None:
        known = ["auto", *DECODERS.names()]
        if self.decoder not in known:
            hint = f"{nearest(self.decoder, known)} Known: {', '.join(known)}."
            raise UnknownNameError(f"data.loading.decoder: unknown decoder {self.decoder!r}.{hint}")
        if self.num_workers < 0 or self.timeout_seconds < 0:
            raise VidsslError("data.loading: num_workers and timeout_seconds must be 0 or more.")
        if not 0 <= self.max_bad_fraction <= 1:
            raise VidsslError(f"data.loading.max_bad_fraction is a share in [0, 1], got {self.max_bad_fraction}.")
