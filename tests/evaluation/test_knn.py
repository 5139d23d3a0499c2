import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from vidssl.errors import VidsslError
from vidssl.evaluation import knn
from vidssl.evaluation.knn import knn_accuracy


def clusters(count: int, seed: int, num_classes: int = 7, width: int = 12) -> tuple[np.ndarray, np.ndarray]:
    middles = np.random.default_rng(0).standard_normal((num_classes, width))
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=count)
    return (0.5 * middles[labels] + rng.standard_normal((count, width))).astype(np.float32), labels


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
    result = knn_accuracy(gallery, gallery_labels, queries, labels, k=k, temperature=temperature)
    assert result["top1"] == np.mean([ranking[0] == label for ranking, label in zip(rankings, labels, strict=True)])
    if k > 5:  # with fewer neighbours the rest of the ranking is a tie
        assert result["top5"] == np.mean(
            [label in ranking[:5] for ranking, label in zip(rankings, labels, strict=True)]
        )


def test_nearest_agrees_with_scikit_learn():
    (gallery, gallery_labels), (queries, labels) = clusters(90, 1), clusters(40, 2)
    other = KNeighborsClassifier(n_neighbors=1, metric="cosine").fit(gallery, gallery_labels)
    assert knn_accuracy(gallery, gallery_labels, queries, labels)["nearest_top1"] == other.score(queries, labels)


def test_the_size_of_the_chunks_changes_nothing(monkeypatch):
    (gallery, gallery_labels), (queries, labels) = clusters(90, 1), clusters(41, 2)
    whole = knn_accuracy(gallery, gallery_labels, queries, labels)
    monkeypatch.setattr(knn, "SIMILARITIES_AT_ONCE", 400)
    assert knn_accuracy(gallery, gallery_labels, queries, labels) == whole


def test_a_gallery_smaller_than_k_votes_as_a_whole():
    (gallery, gallery_labels), (queries, labels) = clusters(15, 1), clusters(40, 2)
    results = [knn_accuracy(gallery, gallery_labels, queries, labels, k=k) for k in (15, 200)]
    assert results[0] == results[1]


def test_tensors_and_small_temperatures_are_fine():
    gallery, queries = torch.eye(2, dtype=torch.bfloat16), torch.tensor([[1.0, 0.1], [0.2, 1.0], [1.0, 0.0]])
    result = knn_accuracy(gallery, torch.tensor([0, 1]), queries, torch.tensor([0, 1, 1]), temperature=1e-3)
    assert result == {"top1": pytest.approx(2 / 3), "nearest_top1": pytest.approx(2 / 3)}


def test_read_only_arrays_are_taken_without_a_warning(recwarn):
    features, labels = clusters(30, 1)
    for array in (features, labels):
        array.flags.writeable = False
    assert knn_accuracy(features, labels, features, labels)["nearest_top1"] == 1.0
    assert not recwarn.list


def with_nan(features: np.ndarray) -> np.ndarray:
    return np.where(np.arange(features.size).reshape(features.shape) == 3, np.nan, features)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, y: {"gallery": f[:-1]}, r"gallery needs features of shape \(N, D\).*\(29, 12\) and \(30,\)"),
        (lambda f, y: {"gallery": f[:0], "gallery_labels": y[:0]}, "gallery is empty"),
        (lambda f, y: {"queries": f[:0], "query_labels": y[:0]}, "query set is empty"),
        (lambda f, y: {"queries": f[:, :-1]}, "12 columns and those of the query set 11"),
        (lambda f, y: {"queries": with_nan(f)}, "1 of the 30 feature rows of the query set hold NaN"),
        (lambda f, y: {"gallery_labels": 0 * y}, "All 30 rows of the gallery have the label 0"),
        (lambda f, y: {"gallery_labels": y - 1}, "of the 30 rows of the gallery have no label"),
        (lambda f, y: {"query_labels": y + 0.5}, "must be integers"),
        (lambda f, y: {"num_classes": 3}, "num_classes is 3"),
        (lambda f, y: {"k": 0}, "k is 0"),
        (lambda f, y: {"temperature": 0.0}, r"temperature is 0\.0"),
    ],
)
def test_bad_input_says_what_is_wrong(change, message):
    features, labels = clusters(30, 1)
    given = {"gallery": features, "gallery_labels": labels, "queries": features, "query_labels": labels}
    with pytest.raises(VidsslError, match=message):
        knn_accuracy(**{**given, **change(features, labels)})
