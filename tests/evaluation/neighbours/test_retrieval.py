import re

import numpy as np
import pytest

from vidssl.errors import VidsslError
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.neighbours.retrieval import Retrieval
from vidssl.evaluation.protocols.named import get_protocol


def random_set(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 6)).astype(np.float32), rng.integers(4, size=count)


def as_videos(features: np.ndarray, labels: np.ndarray) -> VideoFeatures:
    return VideoFeatures(features[:, None].astype(np.float32), labels, np.full(len(labels), -1), np.arange(len(labels)))


def recall_at_k(gallery, gallery_labels, queries, query_labels, ks=(1, 5, 10, 20, 50)) -> dict[str, float]:
    return Retrieval(ks)(as_videos(gallery, gallery_labels), as_videos(queries, query_labels)).metrics


def test_agrees_with_a_loop_over_queries():
    (gallery, gallery_labels), (queries, labels) = random_set(60, 1), random_set(30, 2)
    ks = (1, 2, 5, 10)
    hits = dict.fromkeys(ks, 0)
    for query, label in zip(queries, labels, strict=True):
        cosines = gallery @ query / np.linalg.norm(gallery, axis=1)
        for k in ks:
            hits[k] += label in gallery_labels[np.argsort(-cosines)[:k]]
    expected = {f"recall_at_{k}": count / 30 for k, count in hits.items()}
    assert recall_at_k(gallery, gallery_labels, queries, labels, ks) == expected


def test_it_grows_with_k_and_k_may_exceed_the_gallery():
    (gallery, gallery_labels), (queries, labels) = random_set(20, 1), random_set(30, 2)
    values = list(recall_at_k(gallery, gallery_labels, queries, labels).values())
    assert values == sorted(values)
    assert values[-1] == np.isin(labels, gallery_labels).mean()


def test_length_does_not_matter():
    gallery, labels = np.array([[1.0, 0.1], [0.1, 1.0]]), np.array([0, 1])
    assert recall_at_k(gallery, labels, 1000 * gallery, labels, ks=(1,)) == {"recall_at_1": 1.0}


@pytest.mark.parametrize("ks", [(), (0, 1)])
def test_impossible_ks_are_refused(ks):
    gallery, labels = random_set(20, 1)
    with pytest.raises(VidsslError, match="ks is"):
        recall_at_k(gallery, labels, gallery, labels, ks)


def naive_recall_at_1(gallery, gallery_labels, queries, labels, distance="cosine", centres=(0.0, 0.0)):
    gallery, queries = gallery.astype(np.float64) - centres[0], queries.astype(np.float64) - centres[1]
    if distance == "cosine":
        gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    nearest = [np.argmin(np.square(gallery - query).sum(axis=1)) for query in queries]
    return {"recall_at_1": np.mean(gallery_labels[nearest] == labels)}


@pytest.mark.parametrize("distance", ["cosine", "l2"])
@pytest.mark.parametrize("centring", ["none", "gallery", "per-set"])
def test_every_setting_agrees_with_a_loop(distance, centring):
    (gallery, gallery_labels), (queries, labels) = random_set(60, 1), random_set(30, 2)
    gallery, queries = gallery + 1, queries + 2
    middle, other = gallery.astype(np.float64).mean(axis=0), queries.astype(np.float64).mean(axis=0)
    centres = {"none": (0.0, 0.0), "gallery": (middle, middle), "per-set": (middle, other)}[centring]
    outcome = Retrieval((1,), distance, centring)(as_videos(gallery, gallery_labels), as_videos(queries, labels))
    assert outcome.metrics == naive_recall_at_1(gallery, gallery_labels, queries, labels, distance, centres)


def test_the_two_presets_differ_on_features_that_share_a_direction_and_whose_sets_are_shifted():
    """Classes lie around a circle; one direction that all share hides it, and the queries are shifted on the circle."""
    rng = np.random.default_rng(0)
    angles = np.arange(8) * np.pi / 4
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros(8)], axis=1)
    labels = np.repeat(np.arange(8), 20)
    gallery = circle[labels] + [0, 0, 30] + 0.05 * rng.standard_normal((160, 3))
    queries = circle[labels] + [1.5, 0, 30] + 0.05 * rng.standard_normal((160, 3))
    videos = as_videos(gallery, labels), as_videos(queries, labels)
    mean, coclr = (get_protocol(f"retrieval/{name}").measure(*videos) for name in ("mean", "coclr"))
    assert coclr.metrics["recall_at_1"] == 1.0  # each set lies about its own mean, as the classes do
    assert mean.metrics["recall_at_1"] < 0.5  # what the queries are shifted by leads to other classes
    centred = as_videos(gallery - gallery.mean(axis=0), labels), as_videos(queries - queries.mean(axis=0), labels)
    assert get_protocol("retrieval/mean").measure(*centred).metrics == coclr.metrics


def test_neighbours_are_kept_nearest_first():
    (gallery, gallery_labels), (queries, labels) = random_set(60, 1), random_set(30, 2)
    outcome = Retrieval((1, 5))(as_videos(gallery, gallery_labels), as_videos(queries, labels))
    assert outcome.neighbours.places.shape == (30, 5)
    assert (np.diff(outcome.neighbours.distances, axis=1) >= 0).all()
    assert outcome.predicted is None


def test_a_class_that_the_gallery_lacks_is_a_miss():
    gallery, labels = random_set(20, 1)
    assert recall_at_k(gallery, labels, gallery, np.full(20, 9), ks=(1, 50)) == {
        "recall_at_1": 0.0,
        "recall_at_50": 0.0,
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance": "cosin"}, "Unknown distance 'cosin'. Did you mean 'cosine'?"),
        ({"centring": "per_set"}, "Unknown centring 'per_set'. Did you mean 'per-set'?"),
        ({"ks": (0,)}, "ks is"),
    ],
)
def test_settings_that_do_not_exist_are_refused(settings, message):
    with pytest.raises(VidsslError, match=re.escape(message)):
        Retrieval(**settings)


def test_not_a_number_and_a_single_class_are_errors():
    gallery, labels = random_set(20, 1)
    broken = np.where(np.arange(20)[:, None] == 7, np.nan, gallery)
    with pytest.raises(VidsslError, match="1 of the 20 feature rows of the gallery hold NaN"):
        recall_at_k(broken, labels, gallery, labels)
    with pytest.raises(VidsslError, match="1 of the 20 feature rows of the query set hold NaN"):
        recall_at_k(gallery, labels, broken, labels)
    with pytest.raises(VidsslError, match="All 20 rows of the gallery have the label 0"):
        recall_at_k(gallery, 0 * labels, gallery, labels)
