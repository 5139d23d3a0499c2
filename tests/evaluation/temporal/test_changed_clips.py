"""The measure, on features that are made and on those of networks that know no order."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation_setup import BARE, CLIPS, QUIET, data_of, drawing, grouped_catalog
from pytorch_lightning import Trainer

from vidssl.errors import VidsslError
from vidssl.evaluation.callbacks import FrozenFeatureEvaluation
from vidssl.evaluation.features.encoder import FrozenEncoder, LoadedEncoder, OutsideWeights, load_encoder
from vidssl.evaluation.features.extraction import FeatureRequest, extract_all
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.named import get_protocol
from vidssl.evaluation.protocols.records import read_records
from vidssl.evaluation.temporal.changes import TimeChanges
from vidssl.evaluation.temporal.measure import ChangedClips

TWO = TimeChanges(("unchanged", "reversed"))
CHANGED = TimeChanges()


def videos(views, labels, first=0, changed=True):
    views, labels = np.asarray(views, np.float32), np.asarray(labels)
    return VideoFeatures(views, labels, -np.ones_like(labels), first + np.arange(len(labels)), changed)


def test_accuracies_and_cosines_are_those_of_the_definition():
    gallery = videos([[[1, 0]], [[0, 1]]], [0, 1], changed=False)
    # the first video stays where it is, the second goes to the other class, the third halfway
    query = videos([[[2, 0], [5, 0]], [[0, 3], [4, 0]], [[1, 0], [2, 1]]], [0, 1, 0], first=2)
    outcome = ChangedClips(changes=TWO)(gallery, query)
    assert outcome.metrics["unchanged_nearest"] == outcome.metrics["unchanged_linear"] == 1
    assert outcome.metrics["reversed_nearest"] == outcome.metrics["reversed_linear"] == pytest.approx(2 / 3)
    assert outcome.metrics["reversed_cosine"] == pytest.approx((1 + 0 + 2 / np.sqrt(5)) / 3)
    assert outcome.metrics["other_videos_cosine"] == pytest.approx(1 / 3)
    assert outcome.of_videos["reversed_nearest"].tolist() == [True, False, True]
    assert set(outcome.metrics) - set(outcome.of_videos) == {"other_videos_cosine"}
    assert outcome.predicted.tolist() == [0, 1, 0]


def test_with_both_sides_changed_neighbours_and_classifier_are_those_of_the_changed_gallery():
    gallery = videos([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], [0, 1])
    query = videos([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], [0, 1], first=2)
    both = ChangedClips("both", TWO)(gallery, query).metrics
    queries = ChangedClips("queries", TWO)(gallery, query).metrics
    for kind in ("nearest", "linear"):
        assert both[f"reversed_{kind}"] == 1
        assert queries[f"reversed_{kind}"] == 0
        assert both[f"unchanged_{kind}"] == queries[f"unchanged_{kind}"] == 1
    assert both["reversed_cosine"] == queries["reversed_cosine"] == 0


def test_a_row_of_zeros_and_a_single_query_are_defined():
    gallery = videos([[[1, 0]], [[0, 1]]], [0, 1], changed=False)
    outcome = ChangedClips(changes=TWO)(gallery, videos([[[1, 0], [0, 0]]], [0], first=2))
    assert outcome.metrics["reversed_cosine"] == 0
    assert np.isnan(outcome.metrics["other_videos_cosine"])


@pytest.mark.parametrize("changed", ["queries", "both"])
def test_features_of_other_clips_are_refused(changed):
    measure = ChangedClips(changed, TWO)
    plain = videos([[[1, 0]], [[0, 1]]], [0, 1], changed=False)
    with pytest.raises(VidsslError, match="features of the queries were not computed under the 2 changes in time"):
        measure(plain, replace(plain, index=plain.index + 2))
    two_views = videos([[[1, 0], [1, 0]], [[0, 1], [0, 1]]], [0, 1], first=2, changed=False)
    with pytest.raises(VidsslError, match="let the network see the videos again"):
        measure(plain, two_views)
    if changed == "both":
        with pytest.raises(VidsslError, match="features of the gallery"):
            measure(plain, replace(two_views, changed=True))


def test_one_word_says_which_side_is_changed():
    with pytest.raises(VidsslError, match="changed is 'gallery'; it must be one of queries, both"):
        ChangedClips("gallery")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": "changed"}, "each needs the other"),
        ({"time_changes": CHANGED}, "each needs the other"),
        (
            {"keep": "changed", "time_changes": CHANGED, "clips": replace(CLIPS, num_frames=3)},
            "Clips of 3 frames have no order worth changing",
        ),
    ],
)
def test_requests_that_make_no_sense(settings, message):
    with pytest.raises(VidsslError, match=message):
        FeatureRequest("test", **{"clips": CLIPS, **settings})


# --- networks on videos ---


@pytest.fixture(scope="module")
def catalog(synthetic_catalog, tmp_path_factory):
    return grouped_catalog(synthetic_catalog, tmp_path_factory.mktemp("grouped"))


class FramesOneByOne(torch.nn.Module):
    """A mean of features of single frames: blind to order by construction."""

    def forward(self, clips):
        rough = torch.nn.functional.adaptive_avg_pool3d(clips, (clips.shape[2], 4, 4))
        return torch.tanh(rough).mean(dim=2).flatten(1)


def order_blind():
    return LoadedEncoder(FrozenEncoder(FramesOneByOne(), (0.45,) * 3, (0.225,) * 3), {"sha256": "frames one by one"})


def measured(loaded, catalog, folder, name):
    protocol = get_protocol(name)
    requests = [
        FeatureRequest(split, CLIPS, keep, time_changes=protocol.changes_of(keep))
        for split, keep in (("train", protocol.gallery_views), ("test", protocol.query_views))
    ]
    return protocol.run(*extract_all(loaded, data_of(catalog), requests, QUIET, folder))


@pytest.mark.parametrize("name", ["temporal/queries", "temporal/both"])
@pytest.mark.filterwarnings("ignore")
def test_a_network_that_is_blind_to_order_scores_the_same_on_clips_in_any_order(name, catalog, tmp_path):
    metrics = measured(order_blind(), catalog, tmp_path, name).metrics
    for change in ("shuffled", "reversed"):
        for kind in ("nearest", "linear"):
            assert metrics[f"{change}_{kind}"] == metrics[f"unchanged_{kind}"]
        assert metrics[f"{change}_cosine"] == pytest.approx(1, abs=1e-6)
    assert metrics["repeated_cosine"] < 1 - 1e-6


@pytest.mark.filterwarnings("ignore")
def test_unchanged_clips_give_the_bits_of_the_protocols_that_change_nothing(catalog, tmp_path):
    loaded = load_encoder(None, OutsideWeights("small"))
    requests = [FeatureRequest("test", CLIPS), FeatureRequest("test", CLIPS, "changed", time_changes=CHANGED)]
    plain, changed = extract_all(loaded, data_of(catalog), requests, QUIET, tmp_path)
    np.testing.assert_array_equal(changed.views[:, 0], plain.features)
    np.testing.assert_array_equal(changed.features, plain.features)
    assert changed.views.shape == (13, 6, 128)
    metrics = measured(loaded, catalog, tmp_path, "temporal/queries").metrics
    assert metrics["unchanged_nearest"] == measured(loaded, catalog, tmp_path, "nearest-neighbour").metrics["top1"]
    assert metrics["unchanged_linear"] == measured(loaded, catalog, tmp_path, "linear").metrics["top1"]


class SaysItsPrecision(torch.nn.Module):
    """One feature: whether products are rounded to bfloat16."""

    def forward(self, clips):
        rounded = (clips[:, 0, 0, 0, :1] @ torch.ones(1, 1)).dtype == torch.bfloat16
        return torch.full((len(clips), 1), float(rounded))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("precision", "rounded"), [("32-true", 0), ("bf16-mixed", 1)])
def test_changed_clips_are_encoded_at_the_same_precision(catalog, tmp_path, precision, rounded):
    encoder = FrozenEncoder(SaysItsPrecision(), (0.45,) * 3, (0.225,) * 3)
    request = FeatureRequest("test", CLIPS, "changed", time_changes=CHANGED)
    settings = {**QUIET, "precision": precision}
    (features,) = extract_all(LoadedEncoder(encoder, {"sha256": "-"}), data_of(catalog), [request], settings, tmp_path)
    assert (features.views == rounded).all()


@pytest.mark.filterwarnings("ignore")
def test_in_a_run_it_stands_beside_protocols_that_need_each_view(catalog, tmp_path):
    protocols = ["knn", "temporal/queries", "linear-svm/mcl"]
    settings = {**BARE, "use_distributed_sampler": False, "default_root_dir": str(tmp_path)}
    trainer = Trainer(**settings, callbacks=[FrozenFeatureEvaluation(protocols)])
    trainer.validate(drawing(), data_of(catalog), verbose=False)
    records = {record["protocol"]["name"]: record for record in read_records(tmp_path / "evaluations.jsonl")}
    assert list(records) == protocols
    alone = Trainer(**{**settings, "default_root_dir": str(tmp_path / "alone")})
    alone.callbacks.append(FrozenFeatureEvaluation(["temporal/queries"]))
    alone.validate(drawing(), data_of(catalog), verbose=False)
    (record,) = read_records(tmp_path / "alone" / "evaluations.jsonl")
    together = records["temporal/queries"]
    assert together["metrics"] == pytest.approx(record["metrics"], abs=1e-6)
    assert together["modified"] == {}
    low, high = together["intervals"]["unchanged_nearest"]
    assert low < together["metrics"]["unchanged_nearest"] < high
    assert trainer.callback_metrics["eval/grouped/temporal/queries/shuffled_nearest"] == pytest.approx(
        together["metrics"]["shuffled_nearest"]
    )


@pytest.mark.filterwarnings("ignore")
def test_a_run_whose_clips_are_too_short_is_refused_before_it_starts(catalog, tmp_path):
    trainer = Trainer(**BARE, callbacks=[FrozenFeatureEvaluation(["temporal/both"])], default_root_dir=str(tmp_path))
    with pytest.raises(VidsslError, match="Clips of 2 frames have no order worth changing"):
        trainer.validate(drawing(), data_of(catalog, evaluation=replace(CLIPS, num_frames=2)), verbose=False)
