"""Every objective with motion alignment switched on keeps the contract, whatever form it has."""

import pytest
import torch
from test_contract_checks import NARROW

from vidssl.losses.motion_alignment import FORMS
from vidssl.objectives import OBJECTIVES
from vidssl.objectives.contract_case import ClipShape
from vidssl.objectives.contract_checks import CHECKS, Contract
from vidssl.objectives.contract_runs import gradients_on_two_processes

# MCL and MoCo have one query; the motion of the other views is there and left alone.
ALIGNED = {
    name: Contract(name, {**NARROW.get(name, {}), "alignment": {}}, ClipShape(motion_views="all"))
    for name in OBJECTIVES.names()
}
CONTROLS = {
    name: Contract(name, {**NARROW.get(name, {}), "alignment": {"form": "feature", "target": "other"}})
    for name in OBJECTIVES.names()
}


@pytest.fixture(scope="module")
def on_two_processes():
    """A step of every case on two processes, which are started once for all of them."""
    contracts = [*ALIGNED.values(), *CONTROLS.values()]
    return dict(zip(contracts, gradients_on_two_processes([one.case for one in contracts]), strict=True))


@pytest.mark.parametrize("kind", [ALIGNED, CONTROLS], ids=["weighted-gradient", "control"])
@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_two_processes_learn_the_same(name, kind, on_two_processes):
    kind[name].on_two_processes = on_two_processes[kind[name]]
    result = kind[name].run("processes")
    assert result.outcome == "passed", result.detail


@pytest.mark.parametrize("check", ["class", "gradients"])
@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_it_keeps_the_contract(name, check):
    result = ALIGNED[name].run(check)
    assert result.outcome == "passed", result.detail
    if check == "class":
        assert "with motion" in result.detail


@pytest.mark.slow
@pytest.mark.parametrize("check", sorted(CHECKS.keys() - {"class", "gradients", "processes"}))
@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_it_trains_and_resumes(name, check):
    result = ALIGNED[name].run(check)
    assert result.outcome == "passed", result.detail


def test_one_trains_and_resumes():
    result = ALIGNED["SimSiam"].run("resuming")
    assert result.outcome == "passed", result.detail


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
@pytest.mark.parametrize("name", sorted(set(OBJECTIVES.names()) - {"MCL"}))
def test_the_loss_of_its_own_is_what_it_was(name):
    case = Contract(name, NARROW.get(name)).case
    plain = case.build()
    torch.manual_seed(0)
    own = plain.training_step(case.batch(plain), 0)
    for form in FORMS:
        settings = {**NARROW.get(name, {}), "alignment": {"form": form, "terms": ["st"], "warmup_epochs": 0}}
        aligned = Contract(name, settings).case
        objective = aligned.build()
        batch = aligned.batch(objective)
        torch.manual_seed(0)
        loss = objective.training_step(batch, 0)
        torch.testing.assert_close(loss, own + objective.logged_terms["train/alignment_st"])
