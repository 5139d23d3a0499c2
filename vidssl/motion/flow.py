"""Optical flow of a whole video, by any estimator.

An estimator is a class built with the settings' options; see :class:`vidssl.motion.estimator.FlowEstimator`. Plug-ins
announce theirs under the entry point group ``vidssl.flow_estimators``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vidssl.errors import VidsslError
from vidssl.motion import FLOW_ESTIMATORS
from vidssl.motion.estimator import FlowEstimator, MotionEvidence, NoMotionVectors

if TYPE_CHECKING:
    from vidssl.motion.settings import MotionSettings
    from vidssl.video.decoders.kept_frames import KeptFrames

Count = TypeVar("Count", int, None)
"""What a generator of flows returns: how many there were, or nothing."""


def video_flows(
    path: str | os.PathLike[str],
    settings: MotionSettings,
    kept: KeptFrames | None = None,
    evidence: MotionEvidence | None = None,
) -> Generator[np.ndarray, None, None]:
    """Yield the flow from each frame of a video to the next, in display order and orientation.

    Args:
        path: the video.
        settings: name the estimator.
        kept: gets the frames, if the estimator decodes all of them anyway.
        evidence: gets the flow between every two frames, if the estimator compares their pixels.

    Returns:
        float32 h x w x 2 (u to the right, v down), in pixels per frame of the video's own size; h x w cells divide the
        frame evenly. One fewer than the frames.

    Raises:
        DecodingError: as `vidssl.video.decoding.read_frames` does.
        VidsslError: the estimator is not available, or rejects its options.
    """
    path = os.fspath(path)

    def flows(estimator: FlowEstimator) -> Generator[np.ndarray, None, None]:
        yield from estimator.flows(path, settings.short_side)

    return _with_fallback(settings, kept, evidence, flows)


def mean_flows(
    path: str, settings: MotionSettings, kept: KeptFrames | None = None, evidence: MotionEvidence | None = None
) -> Generator[np.ndarray, None, int]:
    """Yield the mean flow over the window around every `settings.stride`-th frame; return the number of flows."""

    def means(estimator: FlowEstimator) -> Generator[np.ndarray, None, int]:
        return estimator.mean_flows(path, settings.short_side, window=settings.window, stride=settings.stride)

    return _with_fallback(settings, kept, evidence, means)


def _with_fallback(
    settings: MotionSettings,
    kept: KeptFrames | None,
    evidence: MotionEvidence | None,
    run: Callable[[FlowEstimator], Generator[np.ndarray, None, Count]],
) -> Generator[np.ndarray, None, Count]:
    try:
        estimator = _built("options", settings.estimator, settings.options)
        estimator.kept, estimator.evidence = kept, evidence
        _note(evidence, settings.estimator)
        return (yield from run(estimator))
    except NoMotionVectors as reason:
        _tell_fallback(str(reason), settings.estimator, settings.fallback)
    estimator = _built("fallback_options", settings.fallback, settings.fallback_options)
    estimator.evidence = evidence
    _note(evidence, settings.fallback)
    return (yield from run(estimator))


def _note(evidence: MotionEvidence | None, name: str) -> None:
    if evidence is not None:
        evidence.estimator = name


def _built(key: str, name: str, options: dict[str, Any]) -> FlowEstimator:
    try:
        return FLOW_ESTIMATORS.get(name)(**options)
    except TypeError as error:
        said = str(error).rpartition("__init__() ")[2]
        raise VidsslError(f"data.motion.settings.{key}: the flow estimator {name!r} {said}.") from error


@cache  # once for each kind of stream, not for every video
def _tell_fallback(reason: str, estimator: str, fallback: str) -> None:
    logging.getLogger("vidssl.motion").warning(
        "Videos without motion vectors (%s): the flow estimator %r takes %r for them.", reason, estimator, fallback
    )
