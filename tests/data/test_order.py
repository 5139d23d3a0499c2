from dataclasses import asdict
from itertools import chain

import numpy as np
import pytest

from vidssl.data.order import GlobalBatchSampler, OrderKey
from vidssl.errors import VidsslError


def epoch_of(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_sees_each_video_at_most_once_and_is_keyed_by_seed_and_epoch():
    batches = epoch_of(GlobalBatchSampler(100, 16, seed=3), 4)
    assert len(batches) == 6
    positions = [position for batch in batches for _, position in batch]
    assert len(set(positions)) == 96
    assert all(epoch == 4 for batch in batches for epoch, _ in batch)
    assert batches == epoch_of(GlobalBatchSampler(100, 16, seed=3), 4)
    assert batches != epoch_of(GlobalBatchSampler(100, 16, seed=3), 5)
    assert batches != epoch_of(GlobalBatchSampler(100, 16, seed=4), 4)


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_the_batches_of_one_process(world_size):
    whole = epoch_of(GlobalBatchSampler(50, 8, seed=0), 1)
    shares = [
        epoch_of(GlobalBatchSampler(50, 8, seed=0, rank=rank, world_size=world_size), 1) for rank in range(world_size)
    ]
    for step, batch in enumerate(whole):
        assert [key for share in shares for key in share[step]] == batch


def test_resuming_continues_with_the_next_batch_of_that_epoch_only():
    whole = GlobalBatchSampler(40, 8, seed=0)
    resumed = GlobalBatchSampler(40, 8, seed=0)
    resumed.resume_at(2, 24)
    assert epoch_of(resumed, 2) == epoch_of(whole, 2)[3:]
    assert epoch_of(resumed, 3) == epoch_of(whole, 3)
    assert len(resumed) == len(whole) == 5


def test_an_iterator_is_of_the_epoch_in_which_it_was_asked_for():
    whole, resumed = GlobalBatchSampler(40, 8, seed=0), GlobalBatchSampler(40, 8, seed=0)
    resumed.resume_at(2, 16)
    first = iter(resumed)  # before set_epoch, as Lightning does
    resumed.set_epoch(3)
    second = iter(resumed)
    assert list(first) == epoch_of(whole, 2)[2:]
    assert list(second) == epoch_of(whole, 3)


def test_order_is_a_shuffle():
    positions = np.array([p for batch in epoch_of(GlobalBatchSampler(1000, 10, seed=0), 0) for _, p in batch])
    assert abs(np.corrcoef(positions, np.arange(1000))[0, 1]) < 0.1


def test_batches_that_cannot_be_made_are_refused():
    with pytest.raises(VidsslError, match=r"larger than the number of training videos \(7\)"):
        GlobalBatchSampler(7, 8, seed=0)
    with pytest.raises(VidsslError, match=r"positive multiple of their number \(3\)"):
        GlobalBatchSampler(100, 8, seed=0, world_size=3)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (4, 2)])
def test_another_number_of_processes_goes_on_with_the_same_batches(before, after):
    whole = epoch_of(GlobalBatchSampler(40, 8, seed=0), 2)
    seen = [epoch_of(GlobalBatchSampler(40, 8, seed=0, rank=rank, world_size=before), 2) for rank in range(before)]
    order = OrderKey(seed=0, batch_size=8, num_videos=40, videos="")
    place = order.place_after({"epoch": 2, "videos": 24, "order": asdict(order)})  # no number of processes is in it
    rest = []
    for rank in range(after):
        resumed = GlobalBatchSampler(40, 8, seed=0, rank=rank, world_size=after)
        resumed.resume_at(*place)
        rest.append(epoch_of(resumed, 2))
    steps = [*list(zip(*seen, strict=True))[:3], *zip(*rest, strict=True)]
    assert [list(chain(*shares)) for shares in steps] == whole
