"""What every registered objective is (what it must do: test_contract_checks.py), and what CVRL must."""

import inspect
from itertools import pairwise

import pytest
import torch
from vidssl_with_extras import PlainBackbone  # noqa: F401  (registers the backbone "plain")

from vidssl.nn.schedules import warmup_cosine
from vidssl.objectives import OBJECTIVES
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec, parameter_groups
from vidssl.objectives.cvrl import CVRL
from vidssl.types import ClipBatch

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")


def batch_of(objective, num_videos=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    views = [
        torch.randint(0, 256, (num_videos, 3, 4, 32, 32), generator=generator).to(torch.uint8)
        for _ in range(objective.num_views)
    ]
    rows = torch.arange(num_videos)
    motion = torch.rand(num_videos, 4, 8, 8, generator=generator) if objective.needs_motion else None
    starts = torch.arange(num_videos * objective.num_views).view(num_videos, -1)
    return ClipBatch(views, label=rows, index=rows, motion=motion, starts=starts)


# The papers' heads would take most of the time.
NARROW = {"VICReg": {"hidden_dims": (32,), "embedding_dim": 16}, "BYOL": {"hidden_dim": 32}}


def build(name, backbone="small", **settings):
    torch.manual_seed(0)
    return OBJECTIVES.get(name)(backbone=BackboneSpec(name=backbone), **{**NARROW.get(name, {}), **settings})


@pytest.mark.parametrize("name", OBJECTIVES.names())
class TestEveryObjective:
    def test_is_directly_under_the_base(self, name):
        assert OBJECTIVES.get(name).__bases__ == (Objective,)
        assert inspect.getdoc(OBJECTIVES.get(name))

    def test_features_are_one_vector_a_clip_and_change_nothing(self, name):
        objective = build(name).eval()
        before = {key: value.clone() for key, value in objective.state_dict().items()}
        batch = batch_of(objective)
        with torch.no_grad():
            outputs = objective.validation_step(batch, 0)
        assert outputs["features"].shape == (4, len(batch.views), objective.backbone.feature_dim)
        # clip c of video b is row b, c
        alone = objective.backbone(objective.network_input([batch.views[1][2:3]]))
        torch.testing.assert_close(outputs["features"][2, 1], alone[0], rtol=1e-4, atol=1e-5)
        for key, value in objective.state_dict().items():
            assert torch.equal(value, before[key]), key

    def test_hyper_parameters_are_plain_and_name_the_backbone(self, name):
        hyper_parameters = dict(build(name).hparams)
        assert hyper_parameters["backbone"] == "small"
        assert hyper_parameters["objective"] == name


def test_papers_head_has_three_hidden_layers_of_2048_and_128_outputs():
    projection = CVRL(BackboneSpec(name="small")).projection
    widths = [layer.out_features for layer in projection if isinstance(layer, torch.nn.Linear)]
    assert widths == [2048, 2048, 2048, 128]


def test_pixels_are_normalised_on_the_way_into_the_network():
    objective = build("CVRL", "plain")
    clip = torch.full((1, 3, 2, 4, 4), 255, dtype=torch.uint8)
    torch.testing.assert_close(
        objective.network_input([clip, 0 * clip]).unique(), torch.tensor([-2.0, (1 - 0.45) / 0.225])
    )


def test_biases_and_normalisation_do_not_decay():
    kernels, rest = parameter_groups(build("CVRL"), 0.1)
    assert {p.ndim for p in rest["params"]} == {1}
    assert rest["weight_decay"] == 0
    assert kernels["weight_decay"] == 0.1
    assert all(p.ndim > 1 for p in kernels["params"])


def test_paper_defaults():
    spec = OptimizerSpec()
    assert (spec.name, spec.learning_rate, spec.momentum, spec.weight_decay) == ("sgd", 0.32, 0.9, 1e-6)


def test_schedule_warms_up_linearly_and_ends_at_zero():
    factors = [warmup_cosine(step, warmup_steps=5, total_steps=25) for step in range(26)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[15] == pytest.approx(0.5)
    assert factors[25] == pytest.approx(0.0)
    assert all(left >= right for left, right in pairwise(factors[4:]))
