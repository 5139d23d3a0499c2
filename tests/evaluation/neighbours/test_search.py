import importlib

import numpy as np
import pytest
import torch
from feature_sets import code_for_gpus
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from vidssl.errors import VidsslError
from vidssl.evaluation.neighbours import candidates, scores, search
from vidssl.evaluation.neighbours.copies import spare_copies
from vidssl.evaluation.neighbours.feature_rows import feature_rows, mean_row, sum_rows
from vidssl.evaluation.neighbours.search import exact_neighbours

SCALINGS = {"cosine": "unit-length", "l2": "none"}


def normal(rows: int, seed: int, width: int = 19) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)


def integers(rows: int, seed: int) -> np.ndarray:
    """Rows of which many are equally far from each other."""
    return np.random.default_rng(seed).integers(0, 3, size=(rows, 9)).astype(np.float32)


def few_different(rows: int, seed: int) -> np.ndarray:
    return normal(12, 5)[np.random.default_rng(seed).integers(12, size=rows)]


def two_clusters(rows: int, seed: int) -> np.ndarray:
    """Half of the rows so near to each other that float32 products cannot tell them apart."""
    features = normal(rows, seed)
    features[::2] = normal(1, 9) + 1e-6 * features[::2]
    return features


FEATURES = {
    "normal": normal,
    "all in one direction": lambda rows, seed: normal(rows, seed) + 100,
    "integers": integers,
    "few different": few_different,
    "two clusters": two_clusters,
    "all the same": lambda rows, seed: np.repeat(normal(1, 5), rows, axis=0),
    "half zero": lambda rows, seed: normal(rows, seed) * (np.arange(rows)[:, None] % 2 == 0),
    "huge": lambda rows, seed: 1e35 * normal(rows, seed),
    "tiny": lambda rows, seed: 1e-25 * normal(rows, seed),
    "one long row": lambda rows, seed: normal(rows, seed) * (1 + 1e6 * (np.arange(rows)[:, None] == 3)),
    "one column": lambda rows, seed: normal(rows, seed, width=1),
}


def find(gallery, queries, k, distance):
    scaling = SCALINGS[distance]
    return exact_neighbours(feature_rows(gallery, "gallery", scaling), feature_rows(queries, "q", scaling), k, distance)


def naive(gallery, queries, k, distance):
    """All pairs in float64, sorted with the earlier row first among equals."""
    scaling = SCALINGS[distance]
    rows, asked = (
        feature_rows(features, "x", scaling).take(slice(None)).astype(np.float64) for features in (gallery, queries)
    )
    if distance == "cosine":
        keys = np.stack([-(rows * query).sum(axis=1) for query in asked])
    else:
        keys = np.stack([np.square(rows - query).sum(axis=1) for query in asked])
    places = np.argsort(keys, axis=1, kind="stable")[:, :k]
    keys = np.take_along_axis(keys, places, axis=1)
    return places, np.maximum(1 + keys, 0) if distance == "cosine" else np.sqrt(keys)


@pytest.mark.parametrize("distance", SCALINGS)
@pytest.mark.parametrize("kind", FEATURES)
def test_it_is_a_stable_sort_of_all_pairs(kind, distance):
    gallery, queries = FEATURES[kind](700, 1).astype(np.float32), FEATURES[kind](60, 2).astype(np.float32)
    found = find(gallery, queries, 20, distance)
    places, far = naive(gallery, queries, 20, distance)
    np.testing.assert_array_equal(found.places, places)
    np.testing.assert_allclose(found.distances, far, rtol=1e-6, atol=1e-7)
    assert found.distances.dtype == np.float32


@pytest.mark.parametrize("distance", SCALINGS)
@pytest.mark.parametrize("kind", FEATURES)
def test_the_code_for_gpus_finds_the_same_neighbours_to_the_last_bit(kind, distance, monkeypatch):
    gallery, queries = FEATURES[kind](700, 1).astype(np.float32), FEATURES[kind](60, 2).astype(np.float32)
    monkeypatch.setattr(scores, "COLUMNS_AT_ONCE", 64)
    numpy = find(gallery, queries, 20, distance)
    with code_for_gpus():
        found = find(gallery, queries, 20, distance)
    np.testing.assert_array_equal(found.places, numpy.places)
    np.testing.assert_array_equal(found.distances, numpy.distances)


def test_where_the_memory_of_a_device_does_not_suffice_the_cpu_searches(monkeypatch, caplog):
    def full(*arguments):
        raise torch.OutOfMemoryError("full")

    gallery, queries = normal(100, 1), normal(9, 2)
    expected = find(gallery, queries, 3, "cosine")
    monkeypatch.setattr(scores.Block, "_on_device", full)
    with code_for_gpus():
        np.testing.assert_array_equal(find(gallery, queries, 3, "cosine").places, expected.places)
    assert "does not suffice" in caplog.text


@pytest.mark.parametrize("distance", SCALINGS)
@pytest.mark.parametrize("kind", ["normal", "integers", "two clusters", "half zero"])
def test_neither_blocks_nor_threads_change_a_bit(kind, distance, monkeypatch):
    gallery, queries = FEATURES[kind](500, 1), FEATURES[kind](45, 2)
    whole = find(gallery, queries, 7, distance)
    monkeypatch.setattr(search, "GALLERY_BYTES_AT_ONCE", 4 * 19 * 60)
    monkeypatch.setattr(search, "QUERY_BYTES_AT_ONCE", 4 * 19 * 31)
    monkeypatch.setattr(scores, "COLUMNS_AT_ONCE", 13)
    monkeypatch.setattr(search, "QUERIES_AT_ONCE", 11)
    monkeypatch.setattr(search, "PRECISE_NUMBERS_AT_ONCE", 50)
    monkeypatch.setattr(scores, "SCORES_AT_ONCE", 40)
    monkeypatch.setattr(candidates, "MOST_EXTRA", 0)
    monkeypatch.setattr(candidates, "PENDING_EXTRA", 0)
    for threads in (1, 2, 5):
        with threadpool_limits(threads):
            parts = find(gallery, queries, 7, distance)
        np.testing.assert_array_equal(parts.places, whole.places)
        np.testing.assert_array_equal(parts.distances, whole.distances)


def test_a_query_alone_finds_what_it_finds_in_company():
    gallery, queries = normal(3000, 1), normal(50, 2)
    together = find(gallery, queries, 9, "cosine")
    alone = [find(gallery, queries[place : place + 1], 9, "cosine") for place in range(50)]
    np.testing.assert_array_equal(together.places, np.concatenate([one.places for one in alone]))
    np.testing.assert_array_equal(together.distances, np.concatenate([one.distances for one in alone]))


@pytest.mark.parametrize(("distance", "metric"), [("cosine", "cosine"), ("l2", "euclidean")])
def test_it_agrees_with_scikit_learn(distance, metric):
    gallery, queries = normal(4000, 1, width=64), normal(100, 2, width=64)
    other = NearestNeighbors(n_neighbors=10, metric=metric, algorithm="brute").fit(gallery.astype(np.float64))
    distances, places = other.kneighbors(queries.astype(np.float64))
    found = find(gallery, queries, 10, distance)
    np.testing.assert_array_equal(found.places, places)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-5)


def test_a_gallery_of_fewer_than_k_rows_is_returned_whole():
    assert find(normal(6, 1), normal(4, 2), 50, "cosine").places.shape == (4, 6)


def test_a_read_only_memory_map_is_searched(tmp_path):
    gallery, queries = normal(900, 1), normal(30, 2)
    gallery.tofile(tmp_path / "gallery")
    mapped = np.memmap(tmp_path / "gallery", np.float32, "r", shape=gallery.shape)
    np.testing.assert_array_equal(find(mapped, queries, 5, "l2").places, find(gallery, queries, 5, "l2").places)


def test_few_pairs_are_compared_again(monkeypatch):
    """Else the products of matrices would be for nothing."""
    counted = []
    exact_keys = search._QueryBlock._exact_keys

    def counting(self, query, rows):
        counted.append(len(rows))
        return exact_keys(self, query, rows)

    monkeypatch.setattr(search._QueryBlock, "_exact_keys", counting)
    find(np.abs(normal(20000, 1, width=64)) + 5, np.abs(normal(40, 2, width=64)) + 5, 20, "cosine")
    assert sum(counted) < 1.1 * 20 * 40


def test_copies_beyond_the_first_k_are_spare():
    rows = np.array([[1, 2], [2, 1], [1, 2], [1, 2], [2, 1], [1, 2]], np.float32)
    gallery = feature_rows(rows, "gallery", "none")
    assert spare_copies(gallery, 2).tolist() == [3, 5]
    assert spare_copies(gallery, 4).tolist() == []


def test_sums_and_means_do_not_depend_on_company(monkeypatch):
    rows = normal(333, 1, width=301).astype(np.float64)
    alone = np.concatenate([sum_rows(rows[place : place + 1]) for place in range(333)])
    np.testing.assert_array_equal(sum_rows(rows), alone)
    whole = mean_row(rows.astype(np.float32))
    module = importlib.import_module("vidssl.evaluation.neighbours.feature_rows")  # the function has the same name
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 301 * 7)
    np.testing.assert_array_equal(mean_row(rows.astype(np.float32)), whole)


@pytest.mark.parametrize(
    ("k", "distance", "message"), [(0, "l2", "k is 0"), (1, "L2", "Unknown distance 'L2'. Did you mean 'l2'")]
)
def test_impossible_settings_are_refused(k, distance, message):
    rows = feature_rows(normal(9, 1), "gallery", "none")
    with pytest.raises(VidsslError, match=message):
        exact_neighbours(rows, rows, k, distance)
