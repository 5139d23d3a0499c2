"""Every method at the papers' size, 16 x 224 x 224, on devices that compute nothing: only shapes and devices are real.

A tensor left on the CPU is an error there, and so is a step that asks for a number, for which Python would wait.
"""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from vidssl.objectives import OBJECTIVES
from vidssl.objectives.contract_case import Case, ClipShape

SMALL_QUEUES = {"MCL": {"contrast": {"queue_size": 1024}}, "MoCo": {"contrast": {"queue_size": 1024}}}
NUM_FEATURES = 512  # of r3d_18


@pytest.fixture
def step(monkeypatch):
    """The objective and a batch of two videos."""

    def build(name, **settings):
        settings = {"backbone": {"name": "r3d_18"}, **SMALL_QUEUES.get(name, {}), **settings}
        case = Case.of(name, settings, clips=ClipShape(2, 16, 224, 14))
        objective = case.build()
        monkeypatch.setattr(objective, "log_training", lambda **values: None)
        return objective, case.batch(objective)

    return build


def on_fake_gpu(objective, batch):
    """Let parameters, buffers and clips be a GPU's, which is not there; in a fake mode."""

    def like(tensor):
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")

    for module in objective.modules():
        for name, parameter in module.named_parameters(recurse=False):
            module._parameters[name] = torch.nn.Parameter(like(parameter), requires_grad=parameter.requires_grad)
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = like(buffer)
    motion = None if batch.motion is None else like(batch.motion)
    views = [like(view) for view in batch.views]
    return replace(
        batch, views=views, label=like(batch.label), index=like(batch.index), motion=motion, starts=None, strides=None
    )


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_a_loss_on_a_gpu_touches_nothing_on_the_cpu(name, step):
    without = {"alignment": None} if name == "MCL" else {}  # its gradients need a real GPU's streams; see below
    objective, batch = step(name, **without)
    with FakeTensorMode(allow_non_fake_inputs=True):
        batch = on_fake_gpu(objective, batch)
        loss = objective.training_step(batch, 0)
        features = objective.backbone(objective.network_input(batch.views[:1]))
    assert loss.device == features.device == torch.device("cuda", 0)
    assert loss.shape == ()
    assert features.shape == (2, NUM_FEATURES)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_a_whole_step_with_its_gradients_stays_on_its_device(name, step, monkeypatch):
    objective, batch = step(name)
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # which has no rules for "meta"
    loss = objective.to("meta").training_step(batch.to("meta"), 0)
    loss.backward()
    trained = [parameter.grad for parameter in objective.parameters() if parameter.requires_grad]
    assert trained
    assert {gradient.device.type for gradient in trained} == {"meta"}


def test_what_is_left_on_the_cpu_or_asked_for_is_found(step):
    objective, batch = step("SimCLR")
    with FakeTensorMode(allow_non_fake_inputs=True):
        batch = on_fake_gpu(objective, batch)
        loss = objective.training_step(batch, 0)
        with pytest.raises(RuntimeError, match="at least two devices, cuda:0 and cpu"):
            loss.expand(3) + torch.ones(3)
        with pytest.raises(DataDependentOutputException):
            loss.item()
