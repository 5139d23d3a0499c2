import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from vidssl.errors import VidsslError
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.neighbours import knn
from vidssl.evaluation.neighbours.knn import KNN


def clusters(count: int, seed: int, num_classes: int = 7, width: int = 12) -> tuple[np.ndarray, np.ndarray]:
    middles = np.random.default_rng(0).standard_normal((num_classes, width))
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=count)
    return (0.5 * middles[labels] + rng.standard_normal((count, width))).astype(np.float32), labels


def as_videos(features: np.ndarray, labels: np.ndarray) -> VideoFeatures:
    """Videos of one view."""
    labels = np.asarray(labels)
    return VideoFeatures(features[:, None].astype(np.float32), labels, np.full(len(labels), -1), np.arange(len(labels)))


def measure(gallery, gallery_labels, queries, query_labels, **settings) -> dict[str, float]:
    return KNN(**settings)(as_videos(gallery, gallery_labels), as_videos(queries, query_labels)).metrics


def naive_votes(gallery, gallery_labels, query, k, temperature, num_classes):
    cosines = [float(g @ query) / (np.linalg.norm(g) * np.linalg.norm(query)) for g in gallery.astype(np.float64)]
    votes = np.zeros(num_classes)
    for i in sorted(range(len(gallery)), key=lambda i: -cosines[i])[:k]:
        votes[gallery_labels[i]] += np.exp(cosines[i] / temperature)
    return votes


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (20, 1.0)])
def test_agrees_with_a_loop_over_the_formula(k, temperature):
    (gallery, gallery_labels), (queries, labels) = clusters(90, 1), clusters(40, 2)
    rankings = [
        np.argsort(-naive_votes(gallery, gallery_labels, query, k, temperature, 7), kind="stable") for query in queries
    ]
    result = measure(gallery, gallery_labels, queries, labels, k=k, temperature=temperature)
    assert result["top1"] == np.mean([ranking[0] == label for ranking, label in zip(rankings, labels, strict=True)])
    if k > 5:  # with fewer neighbours the rest of the ranking is a tie
        assert result["top5"] == np.mean(
            [label in ranking[:5] for ranking, label in zip(rankings, labels, strict=True)]
        )


def test_nearest_agrees_with_scikit_learn():
    (gallery, gallery_labels), (queries, labels) = clusters(90, 1), clusters(40, 2)
    other = KNeighborsClassifier(n_neighbors=1, metric="cosine").fit(gallery, gallery_labels)
    assert measure(gallery, gallery_labels, queries, labels)["nearest_top1"] == other.score(queries, labels)


def test_the_number_of_votes_at_once_changes_nothing(monkeypatch):
    (gallery, gallery_labels), (queries, labels) = clusters(90, 1), clusters(41, 2)
    whole = measure(gallery, gallery_labels, queries, labels)
    monkeypatch.setattr(knn, "VOTES_AT_ONCE", 20)
    assert measure(gallery, gallery_labels, queries, labels) == whole


def test_the_measure_says_what_was_predicted_from_which_neighbours():
    (gallery, gallery_labels), (queries, labels) = clusters(90, 1), clusters(40, 2)
    outcome = KNN(k=5)(as_videos(gallery, gallery_labels), as_videos(queries, labels))
    assert outcome.metrics["top1"] == (outcome.predicted == labels).mean()
    by_class = [(outcome.predicted[labels == label] == label).mean() for label in range(7)]
    assert outcome.metrics["mean_class"] == pytest.approx(np.mean(by_class))
    assert outcome.neighbours.places.shape == outcome.neighbours.distances.shape == (40, 5)
    nearest = gallery_labels[outcome.neighbours.places[:, 0]]
    assert outcome.metrics["nearest_top1"] == (nearest == labels).mean()


def test_one_neighbour_ranks_nothing_but_itself():
    (gallery, gallery_labels), (queries, labels) = clusters(90, 1), clusters(40, 2)
    outcome = KNN(k=1)(as_videos(gallery, gallery_labels), as_videos(queries, labels))
    assert outcome.metrics.keys() == {"top1", "mean_class"}
    assert outcome.metrics["top1"] == measure(gallery, gallery_labels, queries, labels)["nearest_top1"]


def test_a_class_that_the_gallery_lacks_is_an_error_even_among_the_first_five():
    gallery, queries = np.eye(8, dtype=np.float32), np.eye(8, dtype=np.float32)[:2]
    gallery_labels = np.array([1, 2, 1, 2, 1, 2, 1, 2])
    result = measure(gallery, gallery_labels, queries, np.array([0, 7]), k=8)
    assert result == {"top1": 0.0, "top5": 0.0, "mean_class": 0.0, "nearest_top1": 0.0}


def test_equal_votes_go_to_the_lower_class():
    gallery, labels = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([5, 3])
    assert KNN(k=2)(as_videos(gallery, labels), as_videos(gallery[:1], labels[:1])).predicted.tolist() == [3]


def test_a_gallery_smaller_than_k_votes_as_a_whole():
    (gallery, gallery_labels), (queries, labels) = clusters(15, 1), clusters(40, 2)
    results = [measure(gallery, gallery_labels, queries, labels, k=k) for k in (15, 200)]
    assert results[0] == results[1]


def test_small_temperatures_are_fine():
    gallery, queries = np.eye(2), np.array([[1.0, 0.1], [0.2, 1.0], [1.0, 0.0]])
    result = measure(gallery, [0, 1], queries, [0, 1, 1], temperature=1e-4)
    assert result == pytest.approx({"top1": 2 / 3, "mean_class": 3 / 4, "nearest_top1": 2 / 3})


def test_the_mean_of_the_views_is_compared():
    (gallery, gallery_labels), (queries, labels) = clusters(90, 1), clusters(40, 2)
    shift = np.random.default_rng(3).integers(-4, 5, size=gallery.shape).astype(np.float32)
    views = np.stack([gallery + shift, gallery - shift], axis=1)
    two = VideoFeatures(views, gallery_labels, np.full(90, -1), np.arange(90))
    one = as_videos(two.features, gallery_labels)
    asked = as_videos(queries, labels)
    assert KNN()(two, asked).metrics == KNN()(one, asked).metrics


def test_read_only_arrays_are_taken_without_a_warning(recwarn):
    features, labels = clusters(30, 1)
    for array in (features, labels):
        array.flags.writeable = False
    assert measure(features, labels, features, labels)["nearest_top1"] == 1.0
    assert not recwarn.list


def with_nan(features: np.ndarray) -> np.ndarray:
    return np.where(np.arange(features.size).reshape(features.shape) == 3, np.nan, features)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, y: {"gallery": f[:0], "gallery_labels": y[:0]}, "gallery is empty"),
        (lambda f, y: {"queries": f[:0], "query_labels": y[:0]}, "query set is empty"),
        (lambda f, y: {"queries": f[:, :-1]}, "12 columns and those of the query set 11"),
        (lambda f, y: {"queries": with_nan(f)}, "1 of the 30 feature rows of the query set hold NaN"),
        (lambda f, y: {"gallery_labels": 0 * y}, "All 30 rows of the gallery have the label 0"),
        (lambda f, y: {"gallery_labels": y - 1}, "of the 30 rows of the gallery have no label"),
        (lambda f, y: {"query_labels": y + 0.5}, "must be integers"),
        (lambda f, y: {"k": 0}, "k is 0"),
        (lambda f, y: {"temperature": 0.0}, r"temperature is 0\.0"),
    ],
)
def test_bad_input_says_what_is_wrong(change, message):
    features, labels = clusters(30, 1)
    given = {"gallery": features, "gallery_labels": labels, "queries": features, "query_labels": labels}
    with pytest.raises(VidsslError, match=message):
        measure(**{**given, **change(features, labels)})
