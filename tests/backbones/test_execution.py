"""Networks whose blocks are computed again in backward learn what they learn otherwise, bit by bit."""

import copy

import pytest
import torch
from processes import run_on_processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vidssl.backbones import BACKBONES, build_backbone
from vidssl.backbones.contract import Backbone
from vidssl.backbones.execution import execute_as_set, recompute
from vidssl.backbones.spec import BackboneSpec
from vidssl.errors import VidsslError
from vidssl.nn.sync_batch_norm import synchronised

RECOMPUTED = BackboneSpec(activation_checkpointing=True)
QUICK = ["small", "r3d_18", "slow_r18", "p3d_a_r18", "resnet2d_18"]
OURS = [name for name in BACKBONES.names() if BACKBONES.get(name).__module__.startswith("vidssl.")]
DEEP = ["mc3_18", "r2plus1d_18", "s3d", "slow_r50", "r3d_50", "p3d_a_r50"]


def both(name):
    """A network, and the same one computed again in backward."""
    torch.manual_seed(0)
    plain = build_backbone(name)
    recomputed = copy.deepcopy(plain)
    execute_as_set(recomputed, RECOMPUTED, is_aligned=False)
    return plain, recomputed


def clips_for(network, num_clips=2):
    return torch.rand(num_clips, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))


def two_steps(network, second_derivatives):
    """Losses, gradients and buffers after two batches."""
    found = {}
    for number in range(2):
        clips = clips_for(network) + number
        if second_derivatives:
            features, maps = network.forward_aligned(clips)
            (gradient,) = torch.autograd.grad(features.square().sum(), maps, create_graph=True)
            loss = (gradient * maps).square().mean() + features.mean()
        else:
            loss = network(clips).square().mean()
        loss.backward()
        found[f"loss {number}"] = loss.detach()
    gradients = {f"gradient of {name}": parameter.grad for name, parameter in network.named_parameters()}
    return {**found, **gradients, **dict(network.named_buffers())}


@pytest.mark.parametrize("second_derivatives", [False, True], ids=["first", "second"])
@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in DEEP)])
def test_loss_gradients_and_running_statistics_are_equal(name, second_derivatives):
    plain, recomputed = both(name)
    assert recomputed.state_dict().keys() == plain.state_dict().keys()
    expected = two_steps(plain, second_derivatives)
    torch.testing.assert_close(two_steps(recomputed, second_derivatives), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", OURS)
def test_every_network_lists_its_blocks(name):
    with torch.device("meta"):
        network = build_backbone(name)
    modules = dict(network.named_modules())
    listed = {id(part) for part in network.recomputed for part in modules[part].modules()}
    norms = [module for module in modules.values() if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d))]
    assert sum(id(norm) in listed for norm in norms) / len(norms) > 0.8


def saved_bytes(network, clips):
    """Bytes that a forward pass keeps for backward, beside parameters."""
    storages = {}

    def pack(tensor):
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(clips)
    return sum(size for size, _ in storages.values())


def test_the_inputs_of_blocks_alone_are_kept():
    plain, recomputed = both("small")
    clips = clips_for(plain).requires_grad_()
    assert saved_bytes(recomputed, clips) < 0.5 * saved_bytes(plain, clips)
    with torch.no_grad():
        torch.testing.assert_close(recomputed.eval()(clips), plain.eval()(clips), rtol=0, atol=0)


class Noisy(nn.Module):
    """Draws random numbers, and counts its calls in a buffer and in an attribute."""

    def __init__(self):
        super().__init__()
        self.register_buffer("counted", torch.zeros(()))
        self.calls = 0

    def forward(self, values):
        self.counted.add_(1)
        self.calls += 1
        return torch.dropout(values, 0.5, train=True).exp()


def test_random_numbers_are_drawn_again_and_buffers_are_left_alone():
    module, values = Noisy(), torch.ones(64, requires_grad=True)
    counted = module.counted
    recompute(module)
    outputs = module(values)
    outputs.sum().backward()
    # dropout(x).exp() has the derivative 2 * exp(2 x) where x is kept, and 0 elsewhere
    torch.testing.assert_close(values.grad, torch.where(outputs == 1, 0.0, 2 * outputs.detach()))
    assert module.calls == 2
    assert module.counted is counted
    assert counted.item() == 1


def test_a_copy_computes_itself_again():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    recompute(module)
    copied = copy.deepcopy(module)
    with torch.no_grad():
        copied[0].weight.zero_()
    values = torch.rand(4, 2)
    copied(values).sum().backward()
    torch.testing.assert_close(copied(values), copied[1].bias.expand(4, 2))
    assert module[0].weight.grad is None


def _on_processes(rank, world_size, second_derivatives):
    results = []
    for network in both("small"):
        network = synchronised(network)
        step = Step(network, second_derivatives)
        parallel = DistributedDataParallel(step)
        for number in range(2):
            parallel(clips_for(network, 4).split(2)[rank] + number).backward()
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        results.append({**gradients, **dict(network.named_buffers())})
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


class Step(nn.Module):
    """A loss, as `DistributedDataParallel` calls it."""

    def __init__(self, network, second_derivatives):
        super().__init__()
        self.network, self.second_derivatives = network, second_derivatives

    def forward(self, clips):
        if not self.second_derivatives:
            return self.network(clips).square().mean()
        features, maps = self.network.forward_aligned(clips)
        (gradient,) = torch.autograd.grad(features.square().sum(), maps, create_graph=True)
        return (gradient * maps).square().mean() + features.mean()


@pytest.mark.parametrize("second_derivatives", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_processes_with_synchronised_batch_norm(second_derivatives):
    run_on_processes(_on_processes, 2, second_derivatives)


class Unlisted(Backbone):
    """A plug-in that does not say which of its modules can be computed again."""


def test_what_does_not_work_is_refused():
    with pytest.raises(VidsslError, match=r"activation_checkpointing: Unlisted does not list modules"):
        execute_as_set(Unlisted(), RECOMPUTED, is_aligned=False)
    both_keys = BackboneSpec(activation_checkpointing=True, compile="aot_eager")
    with pytest.raises(VidsslError, match=r"activation_checkpointing and model\.backbone\.compile exclude each other"):
        execute_as_set(build_backbone("small"), both_keys, is_aligned=False)
