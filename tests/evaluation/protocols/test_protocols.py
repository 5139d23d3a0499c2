import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidssl.data.settings import EvaluationClips
from vidssl.errors import UnknownNameError, VidsslError
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.contract import MeasureSpec, Protocol, ProtocolClips, ProtocolTable
from vidssl.evaluation.protocols.named import PROTOCOLS, get_protocol

MEASURING = sorted(name for name in PROTOCOLS if PROTOCOLS[name].config is None)
APART = [name for name in MEASURING if not PROTOCOLS[name].leaves_out_groups]
IN_GROUPS = [name for name in MEASURING if PROTOCOLS[name].leaves_out_groups]
NUM_GROUPS = 3
MAIN = {"top1", "recall_at_1", "unchanged_nearest"}


def videos(labels, first_row=0, seed=0, views=2, groups=True):
    """Videos whose classes can be told apart, but not always."""
    labels = np.asarray(labels)
    middles = np.random.default_rng(99).standard_normal((20, 6))[labels]
    noise = np.random.default_rng(seed).standard_normal((len(labels), views, 6))
    features = (2 * middles[:, None] + noise).astype(np.float32)
    index = np.arange(first_row, first_row + len(labels))
    return VideoFeatures(features, labels, index % NUM_GROUPS if groups else np.full(len(labels), -1), index)


def measured_on(name, gallery, query):
    """Run a protocol as it is meant to be: one that leaves groups out on the gallery's videos alone."""
    protocol = get_protocol(name)
    if protocol.query_views == "changed":
        gallery, query = under_changes(gallery, protocol), under_changes(query, protocol)
    return protocol.run(gallery, gallery) if protocol.leaves_out_groups else protocol.run(gallery, query)


def under_changes(found, protocol):
    """The same videos as a network gives them that sees no difference between the changes in time."""
    number = len(protocol.changes_of("changed").names)
    views = found.views.mean(axis=1, keepdims=True).repeat(number, axis=1)
    return replace(found, views=views, changed=True)


def balanced(number, classes=3):
    return np.arange(number) // NUM_GROUPS % classes


GALLERY, QUERY = videos(balanced(36)), videos(balanced(17), first_row=100, seed=1)


def spoiled(found, **changes):
    return replace(found, **changes)


@pytest.mark.parametrize("name", MEASURING)
def test_every_protocol_measures_shares_under_plain_names(name):
    outcome = measured_on(name, GALLERY, QUERY)
    assert all(0 <= value <= 1 and "/" not in metric for metric, value in outcome.metrics.items())
    assert set(outcome.metrics) & MAIN
    best = max(outcome.metrics.get(metric, 0) for metric in ("top1", "recall_at_5", "unchanged_linear"))
    assert best > 0.5  # chance is a third
    again = measured_on(name, GALLERY, QUERY)
    assert again.metrics == outcome.metrics


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_every_protocol_says_all_of_itself_in_plain_values(name):
    told = get_protocol(name).described()
    assert json.loads(json.dumps(told)) == told
    assert told["name"] == name
    assert told["version"] >= 1
    assert told["source"]
    assert told["summary"] == PROTOCOLS.summaries()[name]
    assert len(told["measure"]) > 1  # its class and its settings
    assert {told["gallery_views"], told["query_views"]} <= {"mean", "each", "changed"}


def test_settings_of_the_papers():
    cvrl = get_protocol("linear/cvrl")
    clips = cvrl.clips.over(EvaluationClips(gallery_split="train1", query_split="test1"))
    assert (clips.num_frames, clips.stride, clips.num_clips, clips.num_crops, clips.crop_size) == (32, 2, 10, 3, 256)
    assert (clips.gallery_split, clips.query_split) == ("train1", "test1")
    assert cvrl.training_clips.over(clips).crop_size == 224
    told = cvrl.described()["measure"]
    assert (told["learning_rate"], told["weight_decay"], told["normalisation"]) == (32.0, 0.0, "l2")
    assert (told["sgd"]["batch_size"], told["sgd"]["epochs"]) == (1024, 100)
    mcl = get_protocol("linear-svm/mcl")
    assert mcl.clips.fixed() == {"num_clips": 20, "num_crops": 1}
    assert (mcl.measure.c, mcl.measure.normalisation) == (1.0, "none")


def test_every_protocol_is_on_the_page():
    page = (Path(__file__).resolve().parents[3] / "docs" / "protocols.md").read_text()
    assert [name for name in PROTOCOLS if f"`{name}`" not in page] == []


# --- bad input


@pytest.mark.parametrize("name", MEASURING)
def test_features_that_are_not_finite_are_refused(name):
    views = GALLERY.views.copy()
    views[5, 0, 2] = np.nan
    with pytest.raises(
        VidsslError,
        match=r"1 of the \d+ feature rows of the (gallery|training set|test set|query set|queries) hold NaN",
    ):
        measured_on(name, spoiled(GALLERY, views=views), QUERY)


@pytest.mark.parametrize("name", MEASURING)
def test_one_class_only_is_refused(name):
    with pytest.raises(VidsslError, match="at least two classes"):
        measured_on(name, videos(np.ones(36, int)), videos(np.ones(17, int), first_row=100))


@pytest.mark.parametrize("name", APART)
def test_a_class_that_the_gallery_lacks_counts_as_an_error(name):
    unknown = np.where(QUERY.labels == 2, 7, QUERY.labels)
    outcome = measured_on(name, GALLERY, spoiled(QUERY, labels=unknown))
    known = measured_on(name, GALLERY, QUERY)
    share = np.mean(unknown != 7)
    for metric in ("top1", "recall_at_50", "unchanged_nearest"):
        assert outcome.metrics.get(metric, 0) <= share
    if known.predicted is not None:
        (accuracy,) = (outcome.metrics[metric] for metric in ("top1", "unchanged_nearest") if metric in outcome.metrics)
        assert accuracy == pytest.approx(np.mean((known.predicted == QUERY.labels) & (unknown != 7)))


@pytest.mark.parametrize("name", MEASURING)
def test_a_class_without_videos_changes_nothing(name):
    """Labels 0, 1, 2 against 0, 5, 9: the numbers between are classes of the catalog that have no video here."""
    apart = np.array([0, 5, 9])
    gallery, query = (spoiled(found, labels=apart[found.labels]) for found in (GALLERY, QUERY))
    outcome, expected = measured_on(name, gallery, query), measured_on(name, GALLERY, QUERY)
    shared = outcome.metrics.keys() & expected.metrics.keys()
    assert MAIN & shared
    assert all(outcome.metrics[metric] == pytest.approx(expected.metrics[metric]) for metric in shared)


@pytest.mark.parametrize("name", [name for name in APART if name.startswith(("knn", "nearest", "retrieval"))])
def test_a_gallery_of_fewer_videos_than_neighbours_is_used_whole(name):
    few = GALLERY.subset(np.array([0, 3, 6]))
    outcome = measured_on(name, few, QUERY)
    assert outcome.metrics.get("recall_at_50", 1.0) == 1.0  # all three classes are among the three
    assert "top1" not in outcome.metrics or outcome.metrics["top1"] > 0.4


@pytest.mark.parametrize("name", APART)
def test_classes_that_do_not_match_are_refused(name):
    with pytest.raises(
        VidsslError, match=f"{name}: none of the 3 classes of the query videos is among the 3 of the gallery"
    ):
        measured_on(name, GALLERY, spoiled(QUERY, labels=QUERY.labels + 10))


@pytest.mark.parametrize("name", APART)
def test_videos_in_both_sets_are_refused(name):
    shared = spoiled(QUERY, index=np.arange(30, 47))
    with pytest.raises(VidsslError, match=f"{name}: gallery and query share 6 of 17 videos"):
        measured_on(name, GALLERY, shared)


@pytest.mark.parametrize("name", IN_GROUPS)
def test_groups_are_needed_where_groups_are_left_out(name):
    protocol = get_protocol(name)
    without = videos(balanced(36), groups=False)
    with pytest.raises(VidsslError, match=r"36 of 36 videos have no group.*--group-pattern"):
        protocol.run(without, without)
    alone = spoiled(GALLERY, groups=np.full(36, 4))
    with pytest.raises(VidsslError, match="all videos are of one group"):
        protocol.run(alone, alone)
    with pytest.raises(VidsslError, match="gallery and query must be the same split"):
        protocol.run(GALLERY, QUERY)


@pytest.mark.parametrize("name", APART)
def test_sets_that_are_empty_or_of_other_networks_are_refused(name):
    with pytest.raises(VidsslError, match="columns"):
        measured_on(name, GALLERY, spoiled(QUERY, views=QUERY.views[:, :, :-1]))
    with pytest.raises(VidsslError, match="have no label"):
        measured_on(name, spoiled(GALLERY, labels=GALLERY.labels - 1), QUERY)


# --- names


def test_leaving_groups_out_is_a_loop_over_them():
    protocol, inner = get_protocol("knn-leave-one-group-out"), get_protocol("knn")
    right = 0.0
    for group in range(NUM_GROUPS):
        held_out = GALLERY.groups == group
        fold = inner.run(GALLERY.subset(~held_out), GALLERY.subset(held_out))
        right += fold.metrics["top1"] * held_out.sum()
    assert protocol.run(GALLERY, GALLERY).metrics["top1"] == pytest.approx(right / len(GALLERY))


def test_the_retrieval_presets_differ_by_centring_alone():
    mean, coclr = get_protocol("retrieval/mean"), get_protocol("retrieval/coclr")
    assert replace(coclr.measure, centring=mean.measure.centring) == mean.measure
    off_centre = [spoiled(found, views=found.views + np.float32(20)) for found in (GALLERY, QUERY)]
    nearest = {
        protocol.name: [protocol.run(*sets).neighbours.places[:, 0] for sets in ((GALLERY, QUERY), off_centre)]
        for protocol in (mean, coclr)
    }
    np.testing.assert_array_equal(*nearest["retrieval/coclr"])
    assert (nearest["retrieval/mean"][0] != nearest["retrieval/mean"][1]).any()


def test_a_protocol_that_trains_says_what_to_type():
    protocol = replace(get_protocol("knn"), name="finetune/mine", config="mine.yaml")
    with pytest.raises(VidsslError, match=r"finetune/mine trains the network itself: vidssl fit --config mine\.yaml"):
        protocol.run(GALLERY, QUERY)


def test_a_measure_that_is_not_built_yet_measures():
    spec = MeasureSpec("neighbours.knn:KNN", {"k": 5})
    assert spec(GALLERY, QUERY).metrics == spec.build()(GALLERY, QUERY).metrics


def test_unknown_and_double_names():
    with pytest.raises(UnknownNameError, match=r"Unknown protocol 'retrieval'. Did you mean 'retrieval/mean'\?"):
        get_protocol("retrieval")
    twice = Protocol("x", 1, "", "", MeasureSpec("neighbours.knn:KNN"), clips=ProtocolClips())
    with pytest.raises(VidsslError, match="same name"):
        ProtocolTable([twice, twice])
