"""The protocols by name; each stands beside every number it gives, with all its settings."""

from __future__ import annotations

from vidssl.errors import UnknownNameError, nearest
from vidssl.evaluation.protocol import MeasureSpec, Protocol, ProtocolClips, ProtocolTable

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
