import numpy as np
import pytest

from vidssl.errors import VidsslError
from vidssl.evaluation.classifiers.hold_out import hold_out

ALONE = -1


def held_out(labels, groups, share=0.2, seed=0):
    labels = np.asarray(labels)
    groups = np.full(len(labels), ALONE) if groups is None else np.asarray(groups)
    return hold_out(labels, groups, share, np.random.default_rng(seed))


def test_every_class_gives_its_share():
    labels = np.repeat([3, 5, 9, 11], [100, 10, 3, 1])
    mask = held_out(labels, None)
    assert [int(mask[labels == label].sum()) for label in (3, 5, 9, 11)] == [20, 2, 1, 0]


def test_the_same_seed_gives_the_same_videos():
    labels = np.repeat(np.arange(5), 40)
    assert np.array_equal(held_out(labels, None), held_out(labels, None))
    assert not np.array_equal(held_out(labels, None), held_out(labels, None, seed=1))


def test_no_group_is_on_both_sides_where_groups_have_many_classes():
    labels, groups = np.tile(np.arange(10), 9), np.repeat(np.arange(9), 10)  # nine persons, ten actions each
    mask = held_out(labels, groups)
    assert set(groups[mask]) & set(groups[~mask]) == set()
    assert len(set(groups[mask])) == 2
    assert set(labels[~mask]) == set(range(10))


def test_no_group_is_on_both_sides_where_groups_are_of_one_class():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 100)
    groups = 25 * labels + rng.integers(25, size=len(labels))  # as in UCF101
    mask = held_out(labels, groups)
    assert set(groups[mask]) & set(groups[~mask]) == set()
    counts = np.bincount(labels[mask], minlength=20)
    assert counts.max() <= 20
    assert counts.min() >= 15


def test_groups_that_are_all_too_large():
    labels, groups = np.tile([0, 1], 20), np.repeat([4, 7], [24, 16])
    assert set(groups[held_out(labels, groups)]) == {7}


def test_videos_without_a_group_are_groups_of_their_own():
    labels, groups = np.tile([0, 1], 30), np.repeat([0, ALONE], [30, 30])
    mask = held_out(labels, groups)
    assert not mask[:30].any()
    assert mask[30:].sum() == 12


def test_groups_that_are_the_classes_are_refused():
    labels = np.repeat([0, 1], 10)
    with pytest.raises(VidsslError, match="2 classes in 2 groups, and no class is in more than one of them"):
        held_out(labels, labels)
