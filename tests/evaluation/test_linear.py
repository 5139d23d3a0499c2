import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from vidssl.errors import UnknownNameError, VidsslError
from vidssl.evaluation.linear import linear_accuracy, mean_class_accuracy


def clusters(count: int, seed: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    middles = np.random.default_rng(0).standard_normal((num_classes, 10))
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=count)
    return (middles[labels] + 1.5 * rng.standard_normal((count, 10))).astype(np.float32), labels


def test_agrees_with_scikit_learn_on_rows_of_length_one():
    (train, train_labels), (test, labels) = clusters(200, 1, 7), clusters(80, 2, 7)
    unit_train, unit_test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test))
    reference = LogisticRegression(C=5.0, max_iter=1000).fit(unit_train, train_labels)
    ranking = np.argsort(-reference.predict_proba(unit_test), axis=1)
    result = linear_accuracy(train, train_labels, test, labels, c=5.0)
    assert result["top1"] == reference.score(unit_test, labels)
    assert result["top5"] == np.mean([label in row[:5] for label, row in zip(labels, ranking, strict=True)])
    assert 0.3 < result["top1"] < result["top5"] < 1


@pytest.mark.parametrize("num_classes", [2, 3])
def test_few_classes_have_no_top5(num_classes):
    (train, train_labels), (test, labels) = clusters(200, 1, num_classes), clusters(80, 2, num_classes)
    result = linear_accuracy(train, train_labels, test, labels)
    assert set(result) == {"top1", "mean_class"}
    assert result["top1"] > 0.6


def test_label_numbers_need_not_be_consecutive():
    (train, train_labels), (test, labels) = clusters(200, 1, 7), clusters(80, 2, 7)
    apart = linear_accuracy(train, 10 * train_labels, test, 10 * labels)
    assert apart == linear_accuracy(train, train_labels, test, labels)


def test_mean_class_accuracy_weighs_classes_alike():
    labels, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 5, 1, 0])
    assert mean_class_accuracy(labels, predicted) == (3 / 4 + 1 / 2) / 2


def test_a_class_unknown_to_the_training_set_counts_as_an_error():
    (train, train_labels), (test, labels) = clusters(200, 1, 3), clusters(80, 2, 3)
    assert linear_accuracy(train, train_labels, test, labels + 3)["top1"] == 0.0


def test_bad_settings_are_refused():
    train, labels = clusters(50, 1, 3)
    with pytest.raises(UnknownNameError, match="Unknown normalisation 'l3'"):
        linear_accuracy(train, labels, train, labels, normalisation="l3")
    with pytest.raises(VidsslError, match="c is 0; it must be above 0"):
        linear_accuracy(train, labels, train, labels, c=0)
    with pytest.raises(VidsslError, match="at least two classes"):
        linear_accuracy(train, 0 * labels, train, labels)
