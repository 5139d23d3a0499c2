import pytest
import torch
from processes import run_on_processes
from torch import distributed as dist
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from vidssl.nn.gather import gather, rank
from vidssl.nn.shuffled_norm import encode_shuffled


def test_one_process_moves_nothing():
    views = [torch.rand(3, 2), torch.rand(3, 2)]
    seen = []

    def encode(given):
        seen.extend(given)
        return 2 * torch.cat(given)

    found = encode_shuffled(encode, views)
    assert all(view is given for view, given in zip(views, seen, strict=True))
    assert torch.equal(torch.stack(found), 2 * torch.stack(views))


def _shuffle(rank, world_size):
    torch.manual_seed(10 + rank)  # each process draws differently, and still all agree
    own = torch.arange(4) + 4 * rank
    views = [own.to(torch.uint8)[:, None], (100 + own).to(torch.uint8)[:, None]]
    norm = nn.BatchNorm1d(1, affine=False)
    dealt = []

    def encode(given):
        dealt.append(torch.cat(given).flatten())
        return torch.cat(given).float()

    found = encode_shuffled(encode, views)
    assert [torch.equal(rows, view.float()) for rows, view in zip(found, views, strict=True)] == [True, True]
    assert dealt[0].dtype == torch.uint8
    # every row is somewhere once, all views of a video in the same place, and not in its own order
    assert sorted(gather(dealt[0]).tolist()) == sorted([*range(8), *range(100, 108)])
    assert torch.equal(dealt[0][4:], dealt[0][:4] + 100)
    assert not torch.equal(dealt[0][:4].long(), own)
    # statistics are those of the dealt rows
    normalised = encode_shuffled(lambda given: norm(torch.cat(given).float()), views[:1])[0]
    assert abs(gather(normalised).mean()) < 1e-5
    assert normalised.mean().abs() > 1e-3
    everywhere = [torch.empty_like(normalised) for _ in range(world_size)]
    dist.all_gather(everywhere, normalised)
    assert torch.cat(everywhere).shape == (8, 1)


class Largest(TorchDispatchMode):
    """Notes how many bytes the largest tensor of uint8 has that any operation gives."""

    def __init__(self):
        super().__init__()
        self.num_bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(found):
            if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.uint8:
                self.num_bytes = max(self.num_bytes, tensor.numel())
        return found


def _gathered(encode, views, permutation):
    """What comes out where every process gets all rows and keeps its share."""
    num_rows, first = len(views[0]), rank() * len(views[0])
    share, own = (order[first : first + num_rows] for order in (permutation, permutation.argsort()))
    embeddings = encode([gather(view)[share] for view in views]).chunk(len(views))
    return [gather(rows)[own] for rows in embeddings]


def _by_seed(rank, world_size):
    torch.manual_seed(10 + rank)
    views, dealt = [torch.arange(4 * rank, 4 * rank + 4)[:, None]], []

    def encode(given):
        dealt.append(gather(given[0]).flatten().tolist())
        return given[0].float()

    for seed in (1, 1, 2):
        (found,) = encode_shuffled(encode, views, seed)
        assert torch.equal(found, views[0].float())
    assert dealt[0] == dealt[1] != dealt[2]
    assert sorted(dealt[0]) == list(range(8))


def test_an_order_by_seed_is_the_same_on_every_process_and_of_every_draw():
    run_on_processes(_by_seed, 2)


def _exchange(rank, world_size):
    generator = torch.Generator().manual_seed(rank)
    shape = (5, 4, 6, 6, 3)
    pixels = [torch.randint(0, 256, shape, generator=generator).to(torch.uint8) for _ in range(2)]
    views = [pixels[0].movedim(-1, 1), pixels[1].movedim(-1, 1).contiguous()]
    assert views[0].is_contiguous(memory_format=torch.channels_last_3d)
    norm = nn.BatchNorm1d(4, affine=False)
    seen = []

    def encode(given):
        seen[:] = given
        return norm(torch.cat([view.float().mean(dim=(1, 3, 4)) for view in given]))

    for seed in range(4):
        torch.manual_seed(seed)
        permutation = torch.randperm(5 * world_size)
        torch.manual_seed(seed)
        with Largest() as largest:
            found = encode_shuffled(encode, views)
        assert seen[0].is_contiguous(memory_format=torch.channels_last_3d)
        assert seen[1].is_contiguous()
        assert largest.num_bytes == views[0].numel()  # of one view, of this process's share
        torch.testing.assert_close(found, _gathered(encode, views, permutation), rtol=0, atol=0)


@pytest.mark.parametrize("world_size", [2, 3])
def test_what_is_not_used_is_not_sent_and_the_rows_are_those_of_all_bit_by_bit(world_size):
    run_on_processes(_exchange, world_size)


def test_two_processes_deal_out_the_videos_and_give_the_rows_back():
    run_on_processes(_shuffle, 2)
