from dataclasses import dataclass

import numpy as np
import pytest
from feature_sets import clusters, videos
from sklearn.model_selection import LeaveOneGroupOut as Folds
from sklearn.model_selection import cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import LinearSVC

from vidssl.errors import UnknownNameError, VidsslError
from vidssl.evaluation.classifiers.svm import LeaveOneGroupOut, LinearSVM
from vidssl.evaluation.protocols.outcome import Neighbours, Outcome


def people(count=90):
    rng = np.random.default_rng(3)
    labels, groups = np.arange(count) % 3, rng.choice([2, 4, 5], size=count, p=[0.5, 0.3, 0.2])
    middles = rng.standard_normal((3, 8))
    return videos(5 + 3 * (middles[labels] + rng.standard_normal((count, 8))), labels, groups)


SCALERS = {"none": (), "standard": (StandardScaler(),), "l2": (Normalizer(),)}


@pytest.mark.parametrize("normalisation", SCALERS)
def test_predicts_as_scikit_learn(normalisation):
    (train, train_labels), (test, labels) = clusters(300, 1, 7), clusters(150, 2, 7)
    reference = make_pipeline(*SCALERS[normalisation], LinearSVC(C=1.0, dual=False, tol=1e-9, max_iter=100000))
    predicted = reference.fit(train.astype(np.float64), train_labels).predict(test.astype(np.float64))
    outcome = LinearSVM(1.0, normalisation)(videos(train, 3 * train_labels), videos(test, 3 * labels))
    np.testing.assert_array_equal(outcome.predicted, 3 * predicted)
    assert outcome.metrics["top1"] == (predicted == labels).mean()
    assert outcome.metrics["top1"] < outcome.metrics["top5"] < 1


def test_two_classes():
    (train, train_labels), (test, labels) = clusters(100, 1, 2), clusters(150, 2, 2)
    predicted = LinearSVC(dual=False, tol=1e-9).fit(train.astype(np.float64), train_labels).predict(test)
    outcome = LinearSVM(normalisation="none")(videos(train, train_labels), videos(test, labels))
    np.testing.assert_array_equal(outcome.predicted, predicted)
    assert set(outcome.metrics) == {"top1", "mean_class"}


def test_a_video_is_classified_by_the_mean_of_its_views_and_every_view_alone():
    (train, train_labels), (test, labels) = clusters(200, 1, 7, views=3), clusters(80, 2, 7, views=3)
    measure = LinearSVM(normalisation="standard")
    outcome = measure(videos(train, train_labels), videos(test, labels))
    by_mean = measure(videos(train.mean(axis=1), train_labels), videos(test.mean(axis=1), labels))
    by_view = measure(videos(train.mean(axis=1), train_labels), videos(test.reshape(-1, 10), labels.repeat(3)))
    assert by_mean.metrics.items() <= outcome.metrics.items()
    assert outcome.metrics["clip_top1"] == by_view.metrics["top1"]
    assert outcome.metrics["clip_top5"] == by_view.metrics["top5"]
    assert outcome.metrics["clip_top1"] < outcome.metrics["top1"]


def test_a_read_only_memory_map_will_do(tmp_path):
    train, labels = clusters(60, 1, 3)
    np.save(tmp_path / "features.npy", train[:, None])
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    measure = LinearSVM(normalisation="standard")
    from_file = measure(videos(mapped, labels), videos(mapped, labels))
    in_memory = measure(videos(train, labels), videos(train, labels))
    assert from_file.metrics == in_memory.metrics


def test_classes_that_one_side_lacks():
    (train, train_labels), (test, labels) = clusters(90, 1, 3), clusters(40, 2, 3)
    unknown = np.where(labels == 2, 9, labels)
    outcome = LinearSVM()(videos(train, train_labels), videos(test, unknown))
    known = LinearSVM()(videos(train, train_labels), videos(test, labels))
    right = known.predicted == labels
    assert outcome.metrics["top1"] == (right & (labels != 2)).mean()
    assert outcome.metrics["mean_class"] == np.mean([right[labels == 0].mean(), right[labels == 1].mean(), 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:0], y[:0]), r"The training set is empty: its features have the shape \(0, 1, 10\)"),
        (lambda x, y: (x, 0 * y), "All 60 rows of the training set have the label 0; an accuracy needs at least two"),
        (lambda x, y: (x, y - 1), "rows of the training set have no label"),
        (lambda x, y: (x, y + 0.5), "labels of the training set must be integers; they are float64"),
        (lambda x, y: (np.where(x == x.max(), np.nan, x), y), "1 of the 60 feature rows of the training set hold NaN"),
        (lambda x, y: (x[:, :4], y), "training set have 4 columns and those of the test set 10"),
    ],
)
def test_bad_videos_say_what_is_wrong(change, message):
    features, labels = clusters(60, 1, 3)
    with pytest.raises(VidsslError, match=message):
        LinearSVM()(videos(*change(features, labels)), videos(features, labels))


def test_bad_settings_are_refused():
    with pytest.raises(UnknownNameError, match="Unknown normalisation 'l3'"):
        LinearSVM(normalisation="l3")
    with pytest.raises(VidsslError, match="c is 0; it must be above 0"):
        LinearSVM(c=0)


# --- leaving one group out ---


def test_agrees_with_scikit_learn_fold_by_fold():
    data = people()
    pipeline = make_pipeline(StandardScaler(), LinearSVC(C=1.0, dual=False, tol=1e-9))
    inputs = {"X": data.features.astype(np.float64), "y": data.labels, "groups": data.groups, "cv": Folds()}
    outcome = LeaveOneGroupOut(LinearSVM())(data, data)
    folds = outcome.chosen["groups"]
    assert [folds[group]["top1"] for group in "245"] == pytest.approx(cross_val_score(pipeline, **inputs).tolist())
    predicted = cross_val_predict(pipeline, **inputs)
    np.testing.assert_array_equal(outcome.predicted, predicted)
    assert outcome.metrics["top1"] == pytest.approx((predicted == data.labels).mean())
    expected = np.mean([(predicted[data.labels == label] == label).mean() for label in range(3)])
    assert outcome.metrics["mean_class"] == pytest.approx(expected)
    assert 0.5 < outcome.metrics["top1"] < 1


@dataclass(frozen=True)
class Recorded:
    """A measure whose only neighbour of a video is the first of the gallery; remembers what it was given."""

    seen: list

    def __call__(self, gallery, query):
        self.seen.append((gallery, query))
        neighbours = Neighbours(np.zeros((len(query), 1), np.int64), np.ones((len(query), 1), np.float32))
        return Outcome({"top1": 1.0 / len(self.seen), f"only_{len(self.seen)}": 1.0}, neighbours=neighbours)


def test_the_held_out_group_is_never_trained_on_and_the_mean_is_over_videos():
    data, measure = people(), Recorded([])
    outcome = LeaveOneGroupOut(measure)(data, data)
    sizes = [int(np.sum(data.groups == group)) for group in (2, 4, 5)]
    assert [len(query) for _, query in measure.seen] == sizes
    for gallery, query in measure.seen:
        assert set(np.unique(query.groups)) & set(np.unique(gallery.groups)) == set()
        assert sorted([*gallery.index, *query.index]) == list(range(90))
    assert outcome.metrics == {"top1": pytest.approx((sizes[0] + sizes[1] / 2 + sizes[2] / 3) / 90)}
    # the first video that is not of the group, among all videos
    first = {group: int(np.flatnonzero(data.groups != group)[0]) for group in (2, 4, 5)}
    assert outcome.neighbours.places[:, 0].tolist() == [first[group] for group in data.groups]
    assert outcome.predicted is None


def test_the_same_every_time():
    data = people()
    first, second = (LeaveOneGroupOut(LinearSVM(c=10.0))(data, data) for _ in range(2))
    assert first.metrics == second.metrics


def test_bad_groups_say_what_is_wrong():
    data = people()
    for groups, message in (
        (0 * data.groups, "at least two groups"),
        (data.groups - 3, "a group for every row"),
    ):
        wrong = videos(data.features, data.labels, groups)
        with pytest.raises(VidsslError, match=message):
            LeaveOneGroupOut(LinearSVM())(wrong, wrong)
    two_classes = np.minimum(data.labels, 1)
    wrong = videos(data.features, two_classes, two_classes)
    with pytest.raises(VidsslError, match=r"With group 0 held out: All 60 rows .* at least two classes"):
        LeaveOneGroupOut(LinearSVM())(wrong, wrong)
