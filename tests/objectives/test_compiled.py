"""A compiled backbone, one with channels last and one that is computed again in backward learn the same."""

import pytest
import torch
from pytorch_lightning import Trainer
from test_objectives import NARROW, batch_of
from torch.utils.data import DataLoader

from vidssl.errors import VidsslError
from vidssl.nn.momentum_encoder import MomentumEncoder
from vidssl.objectives import OBJECTIVES
from vidssl.objectives.base import BackboneSpec
from vidssl.objectives.contract_runs import step
from vidssl.runs.step_watch import StepWatch

pytestmark = pytest.mark.filterwarnings("ignore")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in OBJECTIVES.names() if name not in ("MoCo", "MCL")]


def build(name, **settings):
    torch.manual_seed(0)
    alignment = {"alignment": None} if name == "MCL" else {}
    return OBJECTIVES.get(name)(BackboneSpec("small", **settings), **NARROW.get(name, {}), **alignment)


def learned(name, **settings):
    """Loss and gradients of a step, and whether the backbone runs compiled."""
    objective = build(name, **settings)
    torch.manual_seed(1)
    loss = step(objective, batch_of(objective))
    loss.backward()
    return {"loss": loss.detach(), **{key: p.grad for key, p in objective.named_parameters() if p.grad is not None}}


@pytest.mark.parametrize("name", ["MoCo", *SLOW, pytest.param("MCL", marks=pytest.mark.slow)])
def test_a_compiled_backbone_has_the_same_loss_and_gradients(name):
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    found, expected = learned(name, compile="aot_eager"), learned(name)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    assert not torch._dynamo.utils.counters["graph_break"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_compiled_run_is_watched_and_its_names_stay(tmp_path):
    objective, plain = build("MoCo", compile="aot_eager"), build("MoCo")
    assert objective.state_dict().keys() == plain.state_dict().keys()
    watch = StepWatch()
    trainer = Trainer(
        accelerator="cpu",
        max_steps=2,
        logger=False,
        callbacks=[watch],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    seen = []
    watch._keep = lambda module, inputs, output: seen.append(output.shape)
    trainer.fit(objective, DataLoader([batch_of(objective, seed=seed) for seed in range(2)], batch_size=None))
    assert [tuple(shape) for shape in seen] == 2 * [(4, objective.backbone.feature_dim)]
    moved = [
        own for own, theirs in zip(objective.parameters(), plain.parameters(), strict=True) if not own.equal(theirs)
    ]
    assert moved


def test_channels_last_changes_how_weights_are_stored_alone():
    objective = build("SimSiam", channels_last=True)
    kernels = [p for p in objective.backbone.parameters() if p.ndim == 5 and p.shape[1] > 1 and p[0, 0].numel() > 1]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last_3d) for kernel in kernels)
    torch.testing.assert_close(learned("SimSiam", channels_last=True), learned("SimSiam"), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_blocks_that_are_computed_again_change_no_bit(name):
    alignment = {} if name == "MCL" else {"alignment": None}  # of weighted gradients: second derivatives
    losses, networks = [], []
    for activation_checkpointing in (True, False):
        torch.manual_seed(0)
        spec = BackboneSpec("small", activation_checkpointing=activation_checkpointing)
        objective = OBJECTIVES.get(name)(spec, **NARROW.get(name, {}), **alignment)
        torch.manual_seed(1)
        losses.append(step(objective, batch_of(objective)))
        losses[-1].backward()
        gradients = {key: p.grad for key, p in objective.named_parameters() if p.grad is not None}
        networks.append(gradients | dict(objective.named_buffers()))
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=0)
    torch.testing.assert_close(networks[0], networks[1], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["MoCo", pytest.param("BYOL", marks=pytest.mark.slow)])
def test_a_momentum_encoder_is_compiled_too(name):
    encoders = [module for module in build(name, compile="aot_eager").modules() if isinstance(module, MomentumEncoder)]
    assert [encoder.encoder[0]._compiled_call_impl is not None for encoder in encoders] == [True]


def test_what_cannot_be_compiled_is_refused():
    with pytest.raises(VidsslError, match=r"model\.alignment takes maps from within it"):
        OBJECTIVES.get("MCL")(BackboneSpec("small", compile="aot_eager"))
    with pytest.raises(VidsslError, match=r"unknown backend 'inducter'.*inductor"):
        build("CVRL", compile="inducter")
