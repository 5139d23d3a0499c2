"""The protocols by name; each is stored with every number it gives, with all its settings."""

from __future__ import annotations

from dataclasses import replace

from vidssl.data.settings import AugmentedViews
from vidssl.errors import UnknownNameError, nearest
from vidssl.evaluation.protocols.contract import MeasureSpec, Protocol, ProtocolClips, ProtocolTable

CVRL = "Qian et al., CVPR 2021 (CVRL, arXiv 2008.03800)"
MCL = "Li et al., ICCV 2021 (MCL, arXiv 2201.04029)"

_RECALL = {"ks": (1, 5, 10, 20, 50), "distance": "cosine"}

KNN = Protocol(
    name="knn",
    version=1,
    summary="k-NN by cosine similarity: 20 neighbours, weighted by exp(similarity / 0.07)",
    source="Wu et al., CVPR 2018 (arXiv 1805.01978), section 3.4; k = 20 suits small galleries, the paper has 200",
    measure=MeasureSpec("neighbours.knn:KNN", {"k": 20, "temperature": 0.07}),
)
NEAREST_NEIGHBOUR = Protocol(
    name="nearest-neighbour",
    version=1,
    summary="the class of the nearest neighbour by cosine similarity",
    source="vidssl",
    measure=MeasureSpec("neighbours.knn:KNN", {"k": 1, "temperature": 0.07}),
)
LINEAR = Protocol(
    name="linear",
    version=1,
    summary="multinomial logistic regression on L2-normalised features, C = 100",
    source="vidssl",
    measure=MeasureSpec("classifiers.linear:LogisticRegression", {"c": 100.0, "normalisation": "l2"}),
)
LINEAR_GRID = Protocol(
    name="linear/grid",
    version=1,
    summary="linear layers for a grid of learning rates and weight decays; held-out training videos choose the best",
    source="vidssl",
    measure=MeasureSpec("classifiers.linear:LinearGrid"),
    gallery_views="each",
    query_views="each",
)
LINEAR_CVRL = Protocol(
    name="linear/cvrl",
    version=1,
    summary="linear layer, SGD on L2-normalised features of augmented clips; softmax averaged over 10 x 3 views",
    source=f"{CVRL}, linear evaluation, and the released cvrl_linear_eval_k600.yaml; the release draws new views in "
    "each of the 100 epochs, vidssl draws 10 sets of views and uses them in turn",
    measure=MeasureSpec("classifiers.linear:LinearLayer"),
    clips=ProtocolClips(num_frames=32, stride=2, num_clips=10, num_crops=3, resize=256, crop_size=256),
    gallery_views="each",
    query_views="each",
    training_views=AugmentedViews(num_views=10),
    training_clips=ProtocolClips(crop_size=224),
)
SVM = Protocol(
    name="svm",
    version=1,
    summary="linear SVM (squared hinge loss, C = 1) on standardised features",
    source="vidssl",
    measure=MeasureSpec("classifiers.svm:LinearSVM", {"c": 1.0, "normalisation": "standard"}),
)
LINEAR_SVM_MCL = Protocol(
    name="linear-svm/mcl",
    version=1,
    summary="linear SVM (squared hinge loss, C = 1) on mean features of 20 clips, not normalised",
    source=f"{MCL}, linear evaluation on UCF101 and HMDB51",
    clips=ProtocolClips(num_clips=20, num_crops=1),
    measure=MeasureSpec("classifiers.svm:LinearSVM", {"c": 1.0, "normalisation": "none"}),
    query_views="each",
)
RETRIEVAL_MEAN = Protocol(
    name="retrieval/mean",
    version=1,
    summary="recall at k: queries with a video of their class among the k most similar (cosine, mean of clips)",
    source="vidssl",
    measure=MeasureSpec("neighbours.retrieval:Retrieval", {**_RECALL, "centring": "none"}),
)
RETRIEVAL_COCLR = Protocol(
    name="retrieval/coclr",
    version=1,
    summary="as retrieval/mean, after centring queries by their mean and the gallery by its own mean",
    source="Han et al., NeurIPS 2020 (CoCLR, arXiv 2010.09709), the evaluation in its released code",
    measure=MeasureSpec("neighbours.retrieval:Retrieval", {**_RECALL, "centring": "per-set"}),
)
TEMPORAL_QUERIES = Protocol(
    name="temporal/queries",
    version=1,
    summary="query clips shuffled, reversed, reduced to one frame, or at another speed; the gallery is unchanged",
    source="vidssl",
    measure=MeasureSpec(
        "temporal.measure:ChangedClips",
        {"changed": "queries", "nearest": NEAREST_NEIGHBOUR.measure, "linear": LINEAR.measure},
    ),
    query_views="changed",
)
TEMPORAL_BOTH = replace(
    TEMPORAL_QUERIES,
    name="temporal/both",
    summary="clips of queries and gallery shuffled, reversed, reduced to one frame, or at another speed",
    measure=MeasureSpec(
        "temporal.measure:ChangedClips",
        {"changed": "both", "nearest": NEAREST_NEIGHBOUR.measure, "linear": LINEAR.measure},
    ),
    gallery_views="changed",
)

FINETUNE_CVRL = Protocol(
    name="finetune/cvrl",
    version=1,
    summary="fine-tunes the whole network on clips of 32 frames at stride 2; softmax averaged over 10 x 3 views",
    source=f"{CVRL}: clips, crops and test as in its linear evaluation; optimisation and dropout, which we have not "
    "found there, follow Feichtenhofer et al., CVPR 2021 (released finetune_ucf_Slow_R50_syn0.yaml)",
    measure=MeasureSpec("finetuning.recipe:FineTuningRecipe"),
    clips=ProtocolClips(num_frames=32, stride=2, num_clips=10, num_crops=3, resize=256, crop_size=256),
    query_views="each",
    config="configs/finetune_ucf101.yaml",
)
FINETUNE_MCL = Protocol(
    name="finetune/mcl",
    version=1,
    summary="fine-tunes the whole network on clips of 32 frames at stride 2, dropout 0.9; averages 20 x 3 views",
    source=f"{MCL}, released train_3d.py and run_ucf101.sh; the release has Nesterov's momentum, RandAugment (1, 23), "
    "averages scores before the softmax, and tests on 16 frames at stride 1 by default",
    measure=MeasureSpec(
        "finetuning.recipe:FineTuningRecipe",
        {
            "epochs": 150,
            "batch_size": 256,
            "learning_rate": 0.01,
            "gradient_clip": 40.0,
            "dropout": 0.9,
            "crop_area": (0.2, 1.0),
            "crop_aspect": (3 / 4, 4 / 3),
        },
    ),
    clips=ProtocolClips(num_frames=32, stride=2, num_clips=20, num_crops=3, resize=256, crop_size=256),
    query_views="each",
    config="configs/finetune_mcl_ucf101.yaml",
)


def _with_few_labels(percent: int) -> Protocol:
    fraction = percent / 100
    return replace(
        FINETUNE_CVRL,
        name=f"semi-supervised/{percent}-percent",
        summary=f"as finetune/cvrl, with labels for {percent} % of the training videos of every class",
        source=f"{CVRL}, semi-supervised evaluation on Kinetics; settings as finetune/cvrl",
        measure=MeasureSpec("finetuning.recipe:FineTuningRecipe", {"labelled_fraction": fraction}),
        config="configs/semi_supervised_kinetics400.yaml",
        config_flags=(
            "--data.labelled.fraction",
            str(fraction),
            "--model.protocol",
            f"semi-supervised/{percent}-percent",
        ),
    )


def _group_left_out(protocol: Protocol) -> Protocol:
    """Make the same protocol for videos without splits: each group is tested on all others."""
    return replace(
        protocol,
        name=f"{protocol.name}-leave-one-group-out",
        summary=f"{protocol.summary}; each group (such as a person) is held out in turn, mean over videos",
        measure=MeasureSpec("classifiers.svm:LeaveOneGroupOut", {"measure": protocol.measure}),
        # the measure takes gallery and queries from the same features
        gallery_views=next(
            kind for kind in ("changed", "each", "mean") if kind in (protocol.gallery_views, protocol.query_views)
        ),
    )


_TEMPORAL = (TEMPORAL_QUERIES, TEMPORAL_BOTH)
_MEASURING = (
    KNN,
    NEAREST_NEIGHBOUR,
    LINEAR,
    LINEAR_GRID,
    LINEAR_CVRL,
    SVM,
    LINEAR_SVM_MCL,
    RETRIEVAL_MEAN,
    RETRIEVAL_COCLR,
    *_TEMPORAL,
)
# A layer trained on augmented views needs videos that are training videos only; the grid holds out groups itself.
_IN_GROUPS = (KNN, NEAREST_NEIGHBOUR, LINEAR, SVM, LINEAR_SVM_MCL, RETRIEVAL_MEAN, RETRIEVAL_COCLR, *_TEMPORAL)

_TRAINING = (FINETUNE_CVRL, FINETUNE_MCL, *map(_with_few_labels, (1, 10)))

PROTOCOLS = ProtocolTable([*_MEASURING, *map(_group_left_out, _IN_GROUPS), *_TRAINING])


def get_protocol(name: str) -> Protocol:
    """Return the protocol of this name.

    Args:
        name: one of those that ``vidssl list protocols`` shows.

    Returns:
        The protocol with all its settings.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
    """
    if name not in PROTOCOLS:
        raise UnknownNameError(f"Unknown protocol {name!r}.{nearest(name, PROTOCOLS)} Known: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
