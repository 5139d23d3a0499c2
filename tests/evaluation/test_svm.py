from functools import partial

import numpy as np
import pytest
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from vidssl.errors import VidsslError
from vidssl.evaluation.knn import knn_accuracy
from vidssl.evaluation.svm import leave_one_group_out, linear_svm_accuracy


def people(count: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels, groups = np.arange(count) % 3, rng.choice([2, 4, 5], size=count, p=[0.5, 0.3, 0.2])
    middles = rng.standard_normal((3, 8))
    features = 5 + 3 * (middles[labels] + rng.standard_normal((count, 8)))
    return features.astype(np.float32), labels, groups


def test_agrees_with_scikit_learn_fold_by_fold():
    features, labels, groups = people()
    pipeline = make_pipeline(StandardScaler(), LinearSVC(C=1.0, dual="auto", random_state=0))
    expected = cross_val_score(pipeline, features, labels, groups=groups, cv=LeaveOneGroupOut())
    result = leave_one_group_out(features, labels, groups, linear_svm_accuracy)
    assert [result.per_group[group]["top1"] for group in (2, 4, 5)] == pytest.approx(expected.tolist())
    assert 0.5 < result.mean["top1"] < 1


def test_the_mean_is_over_samples_not_over_groups():
    features, labels, groups = people()
    result = leave_one_group_out(features, labels, groups, linear_svm_accuracy)
    right = sum(round(fold["top1"] * np.sum(groups == group)) for group, fold in result.per_group.items())
    assert result.mean["top1"] == pytest.approx(right / len(labels))


def test_the_held_out_group_is_never_trained_on():
    features, labels, groups = people()
    seen = []

    def record(train, train_labels, test, test_labels):
        seen.append((len(train), len(test)))
        assert not set(map(bytes, train)) & set(map(bytes, test))
        return {"top1": 0.5}

    assert leave_one_group_out(features, labels, groups, record).mean == {"top1": 0.5}
    assert [tested for _, tested in seen] == [np.sum(groups == group) for group in (2, 4, 5)]
    assert all(trained + tested == len(labels) for trained, tested in seen)


def test_any_evaluation_can_be_used():
    features, labels, groups = people()
    nearest = leave_one_group_out(features, labels, groups, partial(knn_accuracy, k=5))
    assert set(nearest.mean) == {"top1", "nearest_top1"}


def test_svm_is_the_same_every_time():
    features, labels, _ = people()
    settings = {"normalisation": "l2", "c": 10.0}
    first, second = (
        linear_svm_accuracy(features[:60], labels[:60], features[60:], labels[60:], **settings) for _ in range(2)
    )
    assert first == second


def test_bad_groups_say_what_is_wrong():
    features, labels, groups = people()
    with pytest.raises(VidsslError, match="groups must be 90 integers"):
        leave_one_group_out(features, labels, groups[:-1], linear_svm_accuracy)
    with pytest.raises(VidsslError, match="at least two groups"):
        leave_one_group_out(features, labels, 0 * groups, linear_svm_accuracy)
    with pytest.raises(VidsslError, match="a group for every row"):
        leave_one_group_out(features, labels, groups - 3, linear_svm_accuracy)
    two_classes = np.minimum(labels, 1)
    with pytest.raises(VidsslError, match=r"With group 0 held out: All 60 rows .* at least two classes"):
        leave_one_group_out(features, two_classes, two_classes, linear_svm_accuracy)
