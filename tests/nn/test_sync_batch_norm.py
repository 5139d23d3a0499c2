"""BatchNorm over several processes against one process with all rows, in float64: values, derivatives, statistics."""

import pytest
import torch
from processes import run_on_processes
from torch import distributed as dist
from torch import nn

from vidssl.nn.sync_batch_norm import LayerSync, SyncBatchNorm, synchronised

SHARES = ((3, 5), (1, 2, 4))
SETTINGS = ({}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}, {"momentum": 0.3, "eps": 1e-2})


def joint_batch(num_rows, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shape = (num_rows, 4, 2, 3, 3)
    values = [5 * torch.randn(shape, generator=generator, dtype=torch.float64) + 40 for _ in range(2)]
    return [value.to(dtype) for value in values]


def layer(**settings):
    torch.manual_seed(1)
    made = nn.BatchNorm3d(4, **settings).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def derivatives(norm, batches):
    """What a loss through first derivatives gives, after two batches, and what the layer keeps."""
    results = {}
    for number, values in enumerate(batches):
        values = values.clone().requires_grad_()
        found = norm(values)
        (first,) = torch.autograd.grad((found.sigmoid() * found).sum(), values, create_graph=True)
        ((first.square() + 1).log().sum() + found.cos().sum()).backward()
        results |= {f"values {number}": found, f"first {number}": first, f"second {number}": values.grad}
    summed = {f"gradient of {name}": parameter.grad for name, parameter in norm.named_parameters()}
    norm.eval()
    return {**results, "eval": norm(batches[0])}, {**summed, **dict(norm.named_buffers())}


def _compare(rank, world_size, shares):
    for settings in SETTINGS:
        whole = joint_batch(sum(shares))
        by_row, by_layer = derivatives(layer(**settings), whole)
        own = [torch.split(values, shares)[rank] for values in whole]
        norm = synchronised(nn.Sequential(layer(**settings)))[0]
        assert type(norm) is SyncBatchNorm
        rows, kept = derivatives(norm, own)
        for name, values in rows.items():
            if name == "eval" and settings.get("track_running_stats") is False:
                continue  # in evaluation each process has its own batches
            torch.testing.assert_close(values, torch.split(by_row[name], shares)[rank], msg=f"{settings} {name}")
        for name, values in kept.items():
            if name.startswith("gradient"):
                dist.all_reduce(values)
            torch.testing.assert_close(values, by_layer[name], msg=f"{settings} {name}")


@pytest.mark.parametrize("shares", SHARES)
def test_uneven_shares_are_normalised_like_one_batch_up_to_second_derivatives(shares):
    run_on_processes(_compare, len(shares), shares)


def _narrow(rank, world_size):
    shares, (values, _) = (3, 5), joint_batch(8, torch.float32)
    values = values + 1000  # a mean far from 0: sums of squares would leave nothing of the variance
    expected = nn.BatchNorm3d(4)(values).split(shares)[rank]
    norm = synchronised(nn.BatchNorm3d(4))
    own = values.split(shares)[rank].contiguous(memory_format=torch.channels_last_3d)
    found = norm(own)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    narrow = norm((own - 1040).bfloat16().requires_grad_())
    assert narrow.dtype == torch.bfloat16
    torch.testing.assert_close(narrow.float(), expected, rtol=2e-2, atol=2e-2)
    torch.manual_seed(rank)
    rows = synchronised(nn.BatchNorm1d(3))(torch.randn(2 + rank, 3))
    total = rows.sum(dim=0)
    dist.all_reduce(total)
    torch.testing.assert_close(total, torch.zeros(3), rtol=0, atol=1e-5)


def test_a_mean_far_from_zero_low_precision_and_memory_order():
    run_on_processes(_narrow, 2)


def test_layers_are_replaced_and_put_back_with_what_they_hold():
    model = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Sequential(nn.BatchNorm1d(4, affine=False)))
    before, kinds = dict(model.state_dict()), [type(module) for module in model.modules()]
    weight = model[1].weight
    sync = LayerSync()
    assert [type(module) for module in sync.apply(model).modules()].count(SyncBatchNorm) == 2
    assert model[1].weight is weight
    assert model.state_dict().keys() == before.keys()
    values = torch.randn(2, 4, 1, 1, 1)
    torch.testing.assert_close(model[1](values), nn.BatchNorm3d(4)(values))  # on one process
    assert [type(module) for module in sync.revert(model).modules()] == kinds
