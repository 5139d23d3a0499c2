"""The implementations of torch's optimisers learn the same."""

import pytest
import torch
from torch import nn

from vidssl.errors import VidsslError
from vidssl.nn.optimizers import OPTIMIZERS, OptimizerSpec, parameter_groups


def learned(name, implementation):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    spec = OptimizerSpec(name, learning_rate=0.1, weight_decay=0.01, implementation=implementation)
    optimizer = OPTIMIZERS[name](parameter_groups(network, spec.weight_decay), spec)
    for _ in range(5):
        optimizer.zero_grad()
        network(torch.rand(16, 4)).square().mean().backward()
        optimizer.step()
    return optimizer, dict(network.state_dict())


@pytest.mark.parametrize("implementation", ["foreach", "fused"])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_they_learn_the_same(name, implementation):
    optimizer, found = learned(name, implementation)
    assert all(group[implementation] for group in optimizer.param_groups)
    torch.testing.assert_close(found, learned(name, None)[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize(("before", "now"), [(None, "fused"), ("fused", "foreach"), ("foreach", None)])
def test_a_checkpoint_does_not_change_the_implementation(name, before, now):
    saved, (continued, _) = learned(name, before)[0].state_dict(), learned(name, now)
    continued.load_state_dict(saved)
    flags = [group[flag] for group in continued.param_groups for flag in ("foreach", "fused")]
    assert flags == [flag == now or None for flag in ("foreach", "fused")] * 2
    continued.step()


def test_what_does_not_exist_is_refused():
    with pytest.raises(VidsslError, match=r"model\.optimizer\.implementation: unknown value 'fuse'.*fused"):
        OptimizerSpec(implementation="fuse")
    with pytest.raises(VidsslError, match=r"model\.optimizer\.implementation: lars has only one"):
        OptimizerSpec("lars", implementation="fused")
