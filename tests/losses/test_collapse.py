import math

import pytest
import torch
from processes import run_on_processes

from vidssl.losses.collapse import effective_rank, embedding_std, spread
from vidssl.nn.gather import gather


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


def naive_rank(embeddings):
    """RankMe, equation 1, on unit rows, by their singular values themselves."""
    unit = embeddings.double() / embeddings.double().norm(dim=1, keepdim=True)
    values = torch.linalg.svdvals(unit).tolist()
    shares = [value / sum(values) for value in values]
    return math.exp(-sum(share * math.log(share) for share in shares if share > 0))


@pytest.mark.parametrize(("num_rows", "dim"), [(6, 4), (4, 6), (1, 3), (64, 200)])
def test_the_rank_is_rankmes(num_rows, dim):
    for scale in (1, 7):
        found = effective_rank(scale * rows(num_rows, dim))
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(naive_rank(rows(num_rows, dim)), rel=1e-4)


def test_the_rank_counts_the_dimensions():
    assert effective_rank(torch.eye(16).repeat(3, 1)).item() == pytest.approx(16, rel=1e-5)
    three = torch.zeros(30, 64)
    three[:, :3] = torch.eye(3).repeat(10, 1)
    assert effective_rank(three).item() == pytest.approx(3, rel=1e-3)
    assert effective_rank(rows(1, 64).expand(40, 64)).item() == pytest.approx(1, rel=1e-3)


def test_the_rank_of_a_large_batch_is_that_of_some_of_its_rows():
    many = rows(1500, 8)
    assert effective_rank(many).item() == pytest.approx(naive_rank(many[::3]), rel=1e-4)


def test_the_rank_is_exact_under_autocast_and_says_where_embeddings_are_not_finite():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert effective_rank(rows()).item() == pytest.approx(naive_rank(rows()), rel=1e-4)
    assert effective_rank(torch.full((4, 3), torch.nan)).isnan()
    assert effective_rank(torch.zeros(4, 3)).isnan()


def test_no_gradient_is_kept():
    assert not any(value.requires_grad for value in spread(rows().requires_grad_()).values())


def _one_share(rank, world_size):
    share = 6 // world_size
    own = rows()[rank * share : (rank + 1) * share]
    assert embedding_std(own).item() == pytest.approx(naive_std(rows()), rel=1e-5)
    assert effective_rank(own).item() == pytest.approx(naive_rank(rows()), rel=1e-4)
    everybodys = {"embedding_std": embedding_std(own), "effective_rank": effective_rank(own)}
    assert spread(gather(own)) == everybodys


def test_it_is_that_of_all_processes():
    run_on_processes(_one_share, 2)
