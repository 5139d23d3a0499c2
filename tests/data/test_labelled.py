import json

import numpy as np
import pytest

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.data.labelled import LABELLED_FILE, LabelledSubset
from vidssl.errors import VidsslError


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """Classes of 400, 50 and 3 videos, and 5 without a label."""
    labels = [0] * 400 + [1] * 50 + [2] * 3 + [-1] * 5
    rows = [VideoRow(f"{n}.avi", label, -1, 10, 25.0, 8, 8, 0.4) for n, label in enumerate(labels)]
    file = tmp_path_factory.mktemp("labelled") / "x.catalog"
    write_catalog(file, rows, classes=["a", "b", "c"], group_names=[], splits={}, root=".", source={})
    return Catalog.open(file)


def counts(catalog, rows):
    return [int((catalog.labels[rows] == label).sum()) for label in (0, 1, 2, -1)]


def test_every_class_keeps_the_same_share_and_at_least_one_video(catalog):
    rows = catalog.split("all")
    assert counts(catalog, LabelledSubset(0.01).choose(catalog, rows)) == [4, 1, 1, 0]
    assert counts(catalog, LabelledSubset(0.1).choose(catalog, rows)) == [40, 5, 1, 0]
    assert np.array_equal(LabelledSubset().choose(catalog, rows), rows)


def test_the_small_part_lies_within_the_large_one(catalog):
    rows = catalog.split("all")
    parts = [set(LabelledSubset(fraction).choose(catalog, rows).tolist()) for fraction in (0.01, 0.1, 0.5)]
    assert parts[0] < parts[1] < parts[2]


def test_the_choice_goes_by_the_seed_and_not_by_the_order_of_the_split(catalog):
    rows = catalog.split("all")
    chosen = LabelledSubset(0.1).choose(catalog, rows)
    assert np.array_equal(chosen, LabelledSubset(0.1).choose(catalog, rows))
    assert set(chosen) == set(LabelledSubset(0.1).choose(catalog, rows[::-1]))
    assert set(chosen) != set(LabelledSubset(0.1, seed=1).choose(catalog, rows))


def test_the_chosen_videos_are_written_down(catalog, tmp_path):
    subset = LabelledSubset(0.01)
    subset.write(tmp_path, catalog, subset.choose(catalog, catalog.split("all")))
    told = json.loads((tmp_path / LABELLED_FILE).read_text())
    assert (told["fraction"], told["videos"], told["catalog_digest"]) == (0.01, 6, catalog.digest)
    assert told["paths"] == [catalog.path(row) for row in told["rows"]]


@pytest.mark.parametrize("settings", [{"fraction": 0.0}, {"fraction": 1.5}, {"fraction": float("nan")}, {"seed": -1}])
def test_numbers_out_of_range(settings):
    with pytest.raises(VidsslError, match=r"data\.labelled\."):
        LabelledSubset(**settings)


def test_a_split_without_labels(catalog):
    with pytest.raises(VidsslError, match="none of the training videos has a label"):
        LabelledSubset(0.1).choose(catalog, np.arange(453, 458))
