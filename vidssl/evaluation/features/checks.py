"""The checks that every evaluation makes of the features and labels it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vidssl.errors import VidsslError
from vidssl.evaluation.features.video_features import VideoFeatures

NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True)
class LabelledFeatures:
    """Features that passed every check.

    Attributes:
        features: float32 (N, D), finite.
        labels: int64 (N,), 0 or more, on the same device.
    """

    features: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def numpy(self) -> tuple[np.ndarray, np.ndarray]:
        """Return features and labels as NumPy arrays."""
        return self.features.cpu().numpy(), self.labels.cpu().numpy()


def check_labelled(features: Any, labels: Any, name: str) -> LabelledFeatures:
    """Return features and labels as tensors, or say what is wrong with them.

    Args:
        features: (N, D) array or tensor of any float type.
        labels: (N,) integers.
        name: what they are called in messages ("gallery").

    Raises:
        VidsslError: no rows, shapes that do not fit, values that are not finite, or rows without a label.
    """
    features = _as_tensor(features)
    labels = _as_tensor(labels).to(features.device)
    if features.ndim != 2 or labels.ndim != 1 or len(features) != len(labels):
        raise VidsslError(
            f"The {name} needs features of shape (N, D) and labels of shape (N,); "
            f"they are {tuple(features.shape)} and {tuple(labels.shape)}."
        )
    if features.numel() == 0:
        raise VidsslError(f"The {name} is empty: its features have the shape {tuple(features.shape)}.")
    if labels.is_floating_point() or labels.is_complex():
        raise VidsslError(f"The labels of the {name} must be integers; they are {labels.dtype}.")
    features, labels = features.float(), labels.long()
    bad_rows = int((~torch.isfinite(features).all(dim=1)).sum())
    if bad_rows:
        raise VidsslError(
            f"{bad_rows} of the {len(features)} feature rows of the {name} hold NaN or infinity; "
            "the network has diverged or its input was not normalised."
        )
    unlabelled = int((labels < 0).sum())
    if unlabelled:
        raise VidsslError(f"{unlabelled} of the {len(labels)} rows of the {name} have no label; leave them out.")
    return LabelledFeatures(features, labels)


def _as_tensor(values: Any) -> torch.Tensor:
    if isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()  # torch warns about sharing memory that is read-only, such as a catalog's labels
    return torch.as_tensor(values).detach()


def check_pair(
    known: LabelledFeatures, asked: LabelledFeatures, names: tuple[str, str] = ("training set", "test set")
) -> None:
    """Refuse two sets that cannot be compared.

    Raises:
        VidsslError: the widths differ, or the first set has one class only, with which any accuracy is 1 or 0.
    """
    widths = known.features.shape[1], asked.features.shape[1]
    if widths[0] != widths[1]:
        raise VidsslError(
            f"The features of the {names[0]} have {widths[0]} columns and those of the {names[1]} {widths[1]}; "
            "both must come from the same layer of the same network."
        )
    if bool((known.labels == known.labels[0]).all()):
        raise VidsslError(
            f"All {len(known)} rows of the {names[0]} have the label {int(known.labels[0])}; "
            "an accuracy needs at least two classes."
        )


def check_positive(**settings: float) -> None:
    """Refuse a setting that is not above zero.

    Raises:
        VidsslError: naming the setting and its value.
    """
    for name, value in settings.items():
        if not value > 0:
            raise VidsslError(f"{name} is {value}; it must be above 0.")


def check_classification(
    gallery: VideoFeatures, query: VideoFeatures, names: tuple[str, str] = ("training set", "test set")
) -> None:
    """Refuse videos that a classifier cannot be fitted on and scored on; features are looked at a chunk at a time.

    A class without videos is none, one that only the queries have counts as an error, one that only the gallery has
    is never right.

    Raises:
        VidsslError: no videos, labels that are no integers or missing, features that are not finite or of different
            widths, or a gallery of one class.
    """
    for videos, name in zip((gallery, query), names, strict=True):
        _check_videos(videos, name)
    widths = gallery.views.shape[2], query.views.shape[2]
    if widths[0] != widths[1]:
        raise VidsslError(
            f"The features of the {names[0]} have {widths[0]} columns and those of the {names[1]} {widths[1]}; "
            "both must come from the same layer of the same network."
        )
    if (gallery.labels == gallery.labels[0]).all():
        raise VidsslError(
            f"All {len(gallery)} rows of the {names[0]} have the label {int(gallery.labels[0])}; "
            "an accuracy needs at least two classes."
        )


def _check_videos(videos: VideoFeatures, name: str) -> None:
    if videos.views.size == 0:
        raise VidsslError(f"The {name} is empty: its features have the shape {videos.views.shape}.")
    if videos.labels.dtype.kind not in "iu":
        raise VidsslError(f"The labels of the {name} must be integers; they are {videos.labels.dtype}.")
    unlabelled = int((videos.labels < 0).sum())
    if unlabelled:
        raise VidsslError(f"{unlabelled} of the {len(videos)} rows of the {name} have no label; leave them out.")
    length = max(1, NUMBERS_AT_ONCE // videos.views[0].size)
    bad_rows = sum(
        int((~np.isfinite(videos.views[start : start + length]).all(axis=(1, 2))).sum())
        for start in range(0, len(videos), length)
    )
    if bad_rows:
        raise VidsslError(
            f"{bad_rows} of the {len(videos)} feature rows of the {name} hold NaN or infinity; "
            "the network has diverged or its input was not normalised."
        )
