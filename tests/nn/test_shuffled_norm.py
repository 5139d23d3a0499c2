import torch
from processes import run_on_processes
from torch import distributed as dist
from torch import nn

from vidssl.nn.gather import gather
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


def test_two_processes_deal_out_the_videos_and_give_the_rows_back():
    run_on_processes(_shuffle, 2)
