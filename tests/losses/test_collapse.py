import math

import pytest
import torch
from processes import run_on_processes

from vidssl.losses.collapse import embedding_std


def rows(num_rows=6, dim=4):
    return torch.randn(num_rows, dim, generator=torch.Generator().manual_seed(0))


def naive_std(embeddings):
    unit = [[value / math.sqrt(sum(v * v for v in row)) for value in row] for row in embeddings.tolist()]
    spreads = []
    for column in zip(*unit, strict=True):
        mean = sum(column) / len(column)
        spreads.append(math.sqrt(sum((value - mean) ** 2 for value in column) / len(column)))
    return sum(spreads) / len(spreads)


def test_it_is_the_mean_deviation_of_unit_vectors():
    assert embedding_std(rows()).item() == pytest.approx(naive_std(rows()), rel=1e-5)
    assert embedding_std(7 * rows()).item() == pytest.approx(naive_std(rows()), rel=1e-5)


def test_the_two_ends():
    assert embedding_std(rows(1).expand(6, 4)).item() == pytest.approx(0, abs=1e-6)
    assert embedding_std(rows(20000, 64)).item() == pytest.approx(64**-0.5, rel=0.01)


def _one_share(rank, world_size):
    share = 6 // world_size
    assert embedding_std(rows()[rank * share : (rank + 1) * share]).item() == pytest.approx(naive_std(rows()), rel=1e-5)


def test_it_is_that_of_all_processes():
    run_on_processes(_one_share, 2)
