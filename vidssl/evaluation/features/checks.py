"""The checks that every evaluation makes of the features and labels it is given."""

from __future__ import annotations

import numpy as np

from vidssl.errors import VidsslError
from vidssl.evaluation.features.video_features import VideoFeatures

NUMBERS_AT_ONCE = 2**24


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
    refuse_bad_rows(bad_rows, len(videos), name)


def refuse_bad_rows(number: int, total: int, name: str) -> None:
    """Refuse features of which some rows are not finite.

    Raises:
        VidsslError: `number` is not 0.
    """
    if number:
        raise VidsslError(
            f"{number} of the {total} feature rows of the {name} hold NaN or infinity; "
            "the network has diverged or its input was not normalised."
        )
