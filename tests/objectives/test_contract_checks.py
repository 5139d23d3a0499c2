"""The contract checks: all objectives of ours pass, and what is wrong with others is told."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vidssl.errors import VidsslError
from vidssl.objectives import OBJECTIVES
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.objectives.contract_case import Case, ClipShape
from vidssl.objectives.contract_checks import CHECKS, Contract
from vidssl.objectives.contract_runs import gradients_on_two_processes

# The papers' heads and queues would take most of the time.
NARROW = {
    "BYOL": {"hidden_dim": 32, "embedding_dim": 16},
    "CVRL": {"head": {"hidden_dims": [32], "embedding_dim": 16}},
    "MCL": {"contrast": {"queue_size": 48, "embedding_dim": 16}},
    "MoCo": {"contrast": {"queue_size": 48, "embedding_dim": 16}},
    "SimCLR": {"hidden_dims": [32]},
    "SimSiam": {"embedding_dim": 32, "bottleneck_dim": 16},
    "SwAV": {"hidden_dim": 32, "embedding_dim": 16, "clustering": {"num_prototypes": 12}},
    "VICReg": {"hidden_dims": [32], "embedding_dim": 16},
}
CONTRACTS = {name: Contract(name, NARROW.get(name)) for name in OBJECTIVES.names()}
SYNCHRONISED = {name: Contract(name, NARROW.get(name), synchronised=True) for name in OBJECTIVES.names()}


class Embeds(Objective):
    """What the broken ones below have in common."""

    def __init__(self, backbone: BackboneSpec = BackboneSpec(), optimizer: OptimizerSpec = OptimizerSpec()) -> None:
        super().__init__(backbone, optimizer)
        self.head = nn.Linear(self.backbone.feature_dim, 8)

    def embed(self, batch):
        return F.normalize(self.head(self.backbone(self.network_input(batch.views))), dim=1).chunk(2)

    def training_step(self, batch, batch_idx):
        view1, view2 = self.embed(batch)
        return (view1 - view2).square().sum(dim=1).mean()


class WithoutGather(Embeds):
    exact_across_processes = True

    def training_step(self, batch, batch_idx):
        view1, view2 = self.embed(batch)
        return F.cross_entropy(view1 @ view2.T, torch.arange(len(view1)))


class UnusedHead(Embeds):
    def __init__(self, backbone: BackboneSpec = BackboneSpec(), optimizer: OptimizerSpec = OptimizerSpec()) -> None:
        super().__init__(backbone, optimizer)
        self.other_head = nn.Linear(8, 8)


class SwitchedOffHead(UnusedHead):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) + 0 * self.other_head(self.embed(batch)[0]).sum()


class HiddenState(Embeds):
    mean = 0.0

    def training_step(self, batch, batch_idx):
        view1, view2 = self.embed(batch)
        loss = (view1 - view2 - self.mean).square().sum(dim=1).mean()
        self.mean = view1.detach().mean(dim=0)
        return loss


class DrawsOfItsOwn(Embeds):
    def __init__(self, backbone: BackboneSpec = BackboneSpec(), optimizer: OptimizerSpec = OptimizerSpec()) -> None:
        super().__init__(backbone, optimizer)
        self.generator = np.random.default_rng(0)

    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) * float(self.generator.uniform())


class NotANumber(Embeds):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) * float("nan")


class LossOfEachVideo(Embeds):
    def training_step(self, batch, batch_idx):
        return self.embed(batch)[0].sum(dim=1)


class ThirdViewOfTwo(Embeds):
    def training_step(self, batch, batch_idx):
        return batch.views[2].float().mean()


class UntypedSetting(Embeds):
    def __init__(self, backbone: BackboneSpec = BackboneSpec(), optimizer: OptimizerSpec = OptimizerSpec(), width=8):
        super().__init__(backbone, optimizer)


class NoClips(Embeds):
    num_views = 0


WITHOUT_GATHER = Contract(WithoutGather)


@pytest.fixture(scope="module")
def on_two_processes():
    """A step of every objective on two processes, which are started once for all of them."""
    contracts = [*CONTRACTS.values(), *SYNCHRONISED.values(), WITHOUT_GATHER]
    results = gradients_on_two_processes([contract.case for contract in contracts])
    return dict(zip(contracts, results, strict=True))


@pytest.mark.parametrize("check", sorted(CHECKS.keys() - {"processes"}))
@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_our_objectives_keep_the_contract(name, check):
    result = CONTRACTS[name].run(check)
    assert result.outcome == "passed", result.detail


@pytest.mark.parametrize("contracts", [CONTRACTS, SYNCHRONISED], ids=["running", "synchronised"])
@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_our_objectives_learn_the_same_on_two_processes(name, contracts, on_two_processes):
    contracts[name].on_two_processes = on_two_processes[contracts[name]]
    result = contracts[name].run("processes")
    assert result.outcome == "passed", result.detail


def test_a_loss_over_the_batch_of_one_process_alone_is_found(on_two_processes):
    WITHOUT_GATHER.on_two_processes = on_two_processes[WITHOUT_GATHER]
    result = WITHOUT_GATHER.run("processes")
    assert result.outcome == "failed"
    assert re.match(
        r"two processes with half of the videos each differ from one: loss \(.* of it\), gradient", result.detail
    )
    assert "vidssl.nn.gather" in result.detail


def test_the_same_on_two_processes_is_checked_only_where_it_is_claimed():
    assert Contract(Embeds).run("processes").outcome == "not claimed"
    order = Contract("MCL", {**NARROW["MCL"], "tasks": ["inter", "order"]})
    assert order.run("processes").outcome == "not claimed"


@pytest.mark.parametrize(
    ("objective", "check", "told"),
    [
        (UnusedHead, "gradients", r"the loss does not depend on other_head\.weight, other_head\.bias \(2 of \d+\)"),
        (SwitchedOffHead, "gradients", r"the gradient is 0 in 3 steps: other_head\.weight, other_head\.bias"),
        (HiddenState, "state", r"has the loss .*, not .*: something is neither a parameter nor a buffer"),
        (HiddenState, "resuming", r"killed and continued ends with another .* must be in the state dict"),
        (DrawsOfItsOwn, "resuming", r"killed and continued ends with another .* torch's global generator"),
        (NotANumber, "loss", r"the loss of a first step is nan"),
        (NotANumber, "training", r"the loss is nan in step 0"),
        (LossOfEachVideo, "loss", r"must return a scalar tensor with a gradient; it returns a tensor of shape \(4,\)"),
        (ThirdViewOfTwo, "loss", r"IndexError: list index out of range \(.*test_contract_checks\.py, line \d+\)"),
        (UntypedSetting, "class", r"arguments without a type cannot be set in a configuration: width"),
        (NoClips, "class", r"NoClips\.num_views must be the number of clips of each video, 1 or more, got 0"),
    ],
)
def test_what_is_broken_is_named(objective, check, told):
    result = Contract(objective).run(check)
    assert result.outcome == "failed"
    assert re.search(told, result.detail), result.detail


def test_checks_leave_the_generator_and_the_level_of_logging_alone():
    before = torch.get_rng_state()
    results = Contract(Embeds).results(["class", "training"])
    assert [result.outcome for result in results] == ["passed", "passed"]
    assert torch.equal(torch.get_rng_state(), before)
    assert re.match(r"passed      training       6 steps, loss [\d.]+ to [\d.]+, on the CPU", str(results[1]))


def test_impossible_cases_are_refused():
    with pytest.raises(VidsslError, match="an even number of videos"):
        ClipShape(num_videos=3)
    with pytest.raises(VidsslError, match=r"CVRL does not take the settings .*temperatur"):
        Case.of("CVRL", {"temperatur": 1}).build()
    with pytest.raises(VidsslError, match="Did you mean 'CVRL'"):
        Case.of("CVLR")
