import numpy as np
import pytest
import torch

from vidssl.evaluation.protocols.scores import accuracies, classification_metrics, mean_class_accuracy, true_ranks


def test_ranks_are_those_of_a_stable_sort():
    rng = np.random.default_rng(0)
    scores = rng.integers(4, size=(60, 9)).astype(np.float32)  # many ties
    columns = rng.integers(9, size=60)
    order = np.argsort(-scores, axis=1, kind="stable")
    expected = [int(np.flatnonzero(row == column)[0]) for row, column in zip(order, columns, strict=True)]
    assert true_ranks(torch.from_numpy(scores), torch.from_numpy(columns)).tolist() == expected


def test_a_class_that_is_not_among_the_scores_comes_after_all():
    assert true_ranks(torch.ones(2, 3, 4), torch.tensor([[-1, 0, 3], [1, -1, 2]])).tolist() == [[4, 0, 3], [1, 4, 2]]


@pytest.mark.parametrize(("num_classes", "names"), [(5, {"top1"}), (6, {"top1", "top5"})])
def test_top5_is_for_more_than_five_classes(num_classes, names):
    assert set(accuracies(np.array([0, 1]), num_classes)) == names


def test_metrics_of_videos_and_views():
    labels, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 5, 0])
    ranks, view_ranks = np.array([0, 0, 7, 4]), np.array([[0, 1], [0, 0], [6, 5], [1, 4]])
    assert classification_metrics(labels, predicted, ranks, 8, view_ranks) == {
        "top1": 0.5,
        "top5": 0.75,
        "mean_class": (2 / 3 + 0) / 2,
        "clip_top1": 3 / 8,
        "clip_top5": 6 / 8,
    }


def test_mean_class_accuracy_weighs_classes_alike():
    labels, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 5, 1, 0])
    assert mean_class_accuracy(labels, predicted) == (3 / 4 + 1 / 2) / 2
