import numpy as np
import pytest

from vidssl.errors import VidsslError
from vidssl.evaluation.retrieval import recall_at_k


def random_set(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 6)).astype(np.float32), rng.integers(4, size=count)


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
