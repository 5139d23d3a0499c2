"""Named ways to turn frozen features into numbers; the protocol stands beside every number, with all its settings."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from vidssl.errors import UnknownNameError, VidsslError, nearest

if TYPE_CHECKING:
    from vidssl.data.settings import EvaluationClips
    from vidssl.evaluation.outcome import Measure

VIEWS = ("mean", "each")


@dataclass(frozen=True)
class ProtocolClips:
    """What a protocol says about the clips of a video; None leaves it to ``data.evaluation``.

    Attributes:
        num_frames: frames a clip.
        stride: distance in frames between two frames of a clip.
        num_clips: clips a video, evenly spaced.
        num_crops: crops a clip: 1 in the centre, or 3 along the longer side.
        resize: short side in pixels before the crop.
        crop_size: side of the crop in pixels.
        augmented_views: views of a gallery video that are drawn (random resized crop, flip) for training a classifier;
            0 trains on the views above.
    """

    num_frames: int | None = None
    stride: int | None = None
    num_clips: int | None = None
    num_crops: int | None = None
    resize: int | None = None
    crop_size: int | None = None
    augmented_views: int | None = None

    def over(self, clips: EvaluationClips) -> EvaluationClips:
        """Return `clips` with everything that the protocol fixes put in its place."""
        known = {key.name for key in fields(clips)}
        return replace(clips, **{key: value for key, value in self.fixed().items() if key in known})

    def fixed(self) -> dict[str, int]:
        """Return what the protocol says, without what it leaves open."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Protocol:
    """A named, versioned way of measuring features.

    Attributes:
        name: such as ``linear-svm/mcl``; it stands in the names of metrics.
        version: raised when the numbers it gives change.
        summary: what it is, in a line.
        source: paper and section, or "vidssl".
        measure: ``measure(gallery, query) -> Outcome``, a frozen dataclass whose fields are its settings.
        clips: what it says about clips; None leaves all of it to ``data.evaluation``.
        gallery_views: the features of a gallery video that the measure needs: "mean" over its views, or "each".
        query_views: likewise of a query video.
    """

    name: str
    version: int
    summary: str
    source: str
    measure: Measure
    clips: ProtocolClips | None = None
    gallery_views: str = "mean"
    query_views: str = "mean"

    @property
    def leaves_out_groups(self) -> bool:
        """Whether gallery and queries are the same videos, of which each group is held out in turn."""
        return getattr(self.measure, "leaves_out_groups", False)

    def described(self) -> dict[str, Any]:
        """Return everything there is to know, in plain values that JSON can hold."""
        own = {key.name: getattr(self, key.name) for key in fields(self)}
        own["clips"] = None if self.clips is None else self.clips.fixed()
        return {**own, "measure": _described(self.measure)}


def _described(value: Any) -> Any:
    if is_dataclass(value):
        return {"name": type(value).__name__} | {
            key.name: _described(getattr(value, key.name)) for key in fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): _described(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_described(entry) for entry in value]
    return value


@dataclass(frozen=True)
class MeasureSpec:
    """A measure that is not imported yet, since its module imports torch and a list of names must not.

    Attributes:
        target: module below ``vidssl.evaluation`` and class, such as "knn:KNN".
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

    def summaries(self) -> dict[str, str]:
        """Return what each protocol is, in a line; imports no measure."""
        return {name: protocol.summary for name, protocol in self._protocols.items()}


_KNN = MeasureSpec("knn:KNN", {"k": 20, "temperature": 0.07})
_ONE_NEIGHBOUR = MeasureSpec("knn:KNN", {"k": 1, "temperature": 0.07})
_LINEAR = MeasureSpec("linear:LogisticRegression", {"c": 100.0, "normalisation": "l2"})
_STANDARD_SVM = MeasureSpec("svm:LinearSVM", {"c": 1.0, "normalisation": "standard"})
_MCL_SVM = MeasureSpec("svm:LinearSVM", {"c": 1.0, "normalisation": "none"})
_RETRIEVAL = MeasureSpec("retrieval:Retrieval", {"ks": (1, 5, 10, 20, 50)})


def _group_left_out(measure: MeasureSpec) -> MeasureSpec:
    return MeasureSpec("svm:LeaveOneGroupOut", {"measure": measure})


PROTOCOLS = ProtocolTable(
    [
        Protocol(
            name="knn",
            version=1,
            summary="cosine, 20 neighbours weighted by exp(similarity / 0.07)",
            source="Wu et al., CVPR 2018 (arXiv 1805.01978), section 3.4; k = 20 for small galleries, theirs is 200",
            measure=_KNN,
        ),
        Protocol(
            name="linear",
            version=1,
            summary="multinomial logistic regression on L2-normalised features, C = 100",
            source="vidssl",
            measure=_LINEAR,
        ),
        Protocol(
            name="svm",
            version=1,
            summary="linear SVM, squared hinge, C = 1, standardised features",
            source="vidssl",
            measure=_STANDARD_SVM,
        ),
        Protocol(
            name="linear-svm/mcl",
            version=1,
            summary="linear SVM, squared hinge, C = 1, on the mean of 20 clips as it is",
            source="Li et al., ICCV 2021 (MCL, arXiv 2201.04029), section 4.1",
            clips=ProtocolClips(num_clips=20, num_crops=1),
            measure=_MCL_SVM,
        ),
        Protocol(
            name="retrieval/mean",
            version=1,
            summary="cosine of the mean of the clips; a hit is a video of the same class among the first k",
            source="vidssl",
            measure=_RETRIEVAL,
        ),
        Protocol(
            name="svm-leave-one-group-out",
            version=1,
            summary="linear SVM, C = 1, standardised features; each group (person) held out in turn, mean over videos",
            source="vidssl",
            measure=_group_left_out(_STANDARD_SVM),
        ),
        Protocol(
            name="nearest-neighbour-leave-one-group-out",
            version=1,
            summary="cosine, one neighbour; each group (person) held out in turn, mean over videos",
            source="vidssl",
            measure=_group_left_out(_ONE_NEIGHBOUR),
        ),
    ]
)


def get_protocol(name: str) -> Protocol:
    """Return the protocol of this name.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
    """
    if name not in PROTOCOLS:
        raise UnknownNameError(f"Unknown protocol {name!r}.{nearest(name, PROTOCOLS)} Known: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
