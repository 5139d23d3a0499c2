"""What a protocol is: everything that a number depends on beside the network and the videos."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vidssl.errors import VidsslError

if TYPE_CHECKING:
    from vidssl.data.settings import AugmentedViews, EvaluationClips
    from vidssl.evaluation.features.video_features import VideoFeatures
    from vidssl.evaluation.protocols.outcome import Measure, Outcome
    from vidssl.evaluation.temporal.changes import TimeChanges


@dataclass(frozen=True)
class ProtocolClips:
    """What a protocol says about the clips of a video; None leaves it to ``data.evaluation``.

    Attributes:
        num_frames: frames per clip.
        stride: distance in frames between two frames of a clip.
        num_clips: clips per video, evenly spaced.
        num_crops: crops per clip: 1 in the centre, or 3 along the longer side.
        resize: short side in pixels before the crop.
        crop_size: side of the crop in pixels.
    """

    num_frames: int | None = None
    stride: int | None = None
    num_clips: int | None = None
    num_crops: int | None = None
    resize: int | None = None
    crop_size: int | None = None

    def over(self, clips: EvaluationClips) -> EvaluationClips:
        """Return `clips` with everything that the protocol fixes put in its place."""
        return replace(clips, **self.fixed())

    def fixed(self) -> dict[str, Any]:
        """Return what the protocol says, without what it leaves open."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Protocol:
    """A named, versioned way of measuring features.

    Attributes:
        name: such as ``linear-svm/mcl``; it is part of the names of metrics.
        version: raised when the numbers it gives change.
        summary: what it is, in a line.
        source: paper and section, or "vidssl".
        measure: ``measure(gallery, query) -> Outcome``, a frozen dataclass whose fields are its settings.
        clips: what it says about clips; None leaves all of it to ``data.evaluation``.
        gallery_views: the features of a gallery video that the measure needs: "mean" over its views, "each", or
            "changed": the mean under each change in time of the measure.
        query_views: likewise of a query video.
        training_views: how the views of gallery videos are drawn; None takes those that `clips` says.
        training_clips: what else is different about the views that are drawn.
        config: the configuration of ``vidssl fit`` that carries it out, where the network itself is trained; None where
            frozen features are measured.
        config_flags: of ``vidssl fit``, beside that configuration.
    """

    name: str
    version: int
    summary: str
    source: str
    measure: Measure
    clips: ProtocolClips | None = None
    gallery_views: str = "mean"
    query_views: str = "mean"
    training_views: AugmentedViews | None = None
    training_clips: ProtocolClips | None = None
    config: str | None = None
    config_flags: tuple[str, ...] = ()

    @property
    def leaves_out_groups(self) -> bool:
        """Whether gallery and queries are the same videos, of which each group is held out in turn."""
        return getattr(self.measure, "leaves_out_groups", False)

    def changes_of(self, views: str) -> TimeChanges | None:
        """Return the changes in time of the measure where `views` are to be computed under them, else None."""
        measure: Any = getattr(self.measure, "measure", self.measure)  # that of each group that is left out
        return measure.changes if views == "changed" else None

    def fit_command(self) -> str:
        """Return the command that carries out a protocol which trains the network."""
        return " ".join(("vidssl fit --config", str(self.config), *self.config_flags))

    def described(self) -> dict[str, Any]:
        """Return everything there is to know, in plain values that JSON can hold."""
        own = {key.name: _described(getattr(self, key.name)) for key in fields(self)}
        for key in ("clips", "training_clips"):
            clips = getattr(self, key)
            own[key] = None if clips is None else clips.fixed()
        return own

    def run(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Measure, after a look at whether these videos can be measured in this way.

        Args:
            gallery: the videos that classifiers are fitted on and that are retrieved.
            query: the videos that are classified; the same where groups are left out. Both are of one catalog, or of
                two with the same classes.

        Raises:
            VidsslError: see `check_videos`, or what the measure has to say.
        """
        check_videos(self, gallery, query)
        return self.measure(gallery, query)


def check_videos(protocol: Protocol, gallery: VideoFeatures, query: VideoFeatures) -> None:
    """Refuse videos that a protocol cannot say anything about.

    Raises:
        VidsslError: the protocol trains the network; there are no groups to leave out, or gallery and queries are not
            the same videos although groups are to be left out; they share videos, and each would find itself; no query
            video is of a class that the gallery has.
    """
    if protocol.config is not None:
        raise VidsslError(f"{protocol.name} trains the network itself: {protocol.fit_command()} does that.")
    if protocol.leaves_out_groups:
        _check_groups(protocol, gallery, query)
        return
    shared = np.intersect1d(gallery.index, query.index)
    if len(shared):
        raise VidsslError(
            f"{protocol.name}: gallery and query share {len(shared)} of {len(query)} videos, each of which would find "
            "itself. Choose splits that share none, or a protocol whose name ends in leave-one-group-out."
        )
    if not np.isin(query.labels, gallery.labels).any():
        raise VidsslError(
            f"{protocol.name}: none of the {len(np.unique(query.labels))} classes of the query videos is among the "
            f"{len(np.unique(gallery.labels))} of the gallery; are both splits labelled with the same classes?"
        )


def _check_groups(protocol: Protocol, gallery: VideoFeatures, query: VideoFeatures) -> None:
    if not np.array_equal(gallery.index, query.index):
        raise VidsslError(
            f"{protocol.name} holds out groups of one set of videos in turn: gallery and query must be the same split."
        )
    without = int((query.groups < 0).sum())
    if without or len(np.unique(query.groups)) < 2:
        what = f"{without} of {len(query)} videos have no group" if without else "all videos are of one group"
        raise VidsslError(
            f"{protocol.name} holds out each group (person, scene) in turn, but {what}. Prepare the catalog with "
            "groups: vidssl prepare class_folders --videos FOLDER --group-pattern '^([^_]+)_' --output CATALOG, or the "
            "column group of a table."
        )


def _described(value: Any) -> Any:
    if is_dataclass(value):
        name = {"name": type(value).__name__} if callable(value) else {}  # that of a measure
        return name | {key.name: _described(getattr(value, key.name)) for key in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _described(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_described(entry) for entry in value]
    return value


@dataclass(frozen=True)
class MeasureSpec:
    """A measure that is not imported yet, since its module imports torch and a list of names must not.

    Attributes:
        target: module below ``vidssl.evaluation`` and class, such as "neighbours.knn:KNN".
        settings: its keyword arguments; one may be a measure again.
    """

    target: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Measure:
        """Import the class and make the measure."""
        module, _, name = self.target.partition(":")
        settings = {
            key: value.build() if isinstance(value, MeasureSpec) else value for key, value in self.settings.items()
        }
        return getattr(importlib.import_module(f"vidssl.evaluation.{module}"), name)(**settings)

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Measure, as every measure does."""
        return self.build()(gallery, query)


class ProtocolTable(Mapping[str, Protocol]):
    """Name -> protocol; measures are imported when their protocol is asked for."""

    def __init__(self, protocols: Sequence[Protocol]) -> None:
        self._protocols = {protocol.name: protocol for protocol in protocols}
        if len(self._protocols) != len(protocols):
            raise VidsslError("Two protocols have the same name.")

    def __getitem__(self, name: str) -> Protocol:
        protocol = self._protocols[name]
        if isinstance(protocol.measure, MeasureSpec):
            protocol = self._protocols[name] = replace(protocol, measure=protocol.measure.build())
        return protocol

    def __iter__(self) -> Iterator[str]:
        return iter(self._protocols)

    def __len__(self) -> int:
        return len(self._protocols)

    def faults(self) -> dict[str, str]:
        """Return broken entries: none, because protocols are not plug-ins."""
        return {}

    def summaries(self) -> dict[str, str]:
        """Return what each protocol is, in a line; imports no measure."""
        return {name: protocol.summary for name, protocol in self._protocols.items()}
