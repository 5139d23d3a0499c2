"""``vidssl check objective``: its report and its exit code. The checks themselves: tests/objectives."""

import pytest

from vidssl.cli.main import main

METHOD = """
from torch import nn
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.types import ClipBatch

class {name}(Objective):
    '''Made for a test.'''
    num_views = {views}

    def __init__(
        self, backbone: BackboneSpec = BackboneSpec(), optimizer: OptimizerSpec = OptimizerSpec(), width: int = 3
    ) -> None:
        super().__init__(backbone, optimizer)
        self.used = nn.Linear(self.backbone.feature_dim, width)
        self.unused = nn.Linear(2, 2) if width > 4 else None

    def training_step(self, batch: ClipBatch, batch_idx: int):
        return self.used(self.backbone(self.network_input(batch.views))).square().mean()
"""

pytestmark = pytest.mark.usefixtures("no_plugins_left")


@pytest.fixture
def method(tmp_path):
    def write(name, views=2):
        file = tmp_path / f"{name.lower()}.py"
        file.write_text(METHOD.format(name=name, views=views))
        return ["check", "objective", name, "--plugin", str(file)]

    return write


def outcomes(told):
    lines = [line for line in told.splitlines() if line.startswith("  ")]
    return {line[14:29].strip(): line[2:14].strip() for line in lines}


def test_a_line_for_every_check_and_nothing_wrong(method, capsys):
    assert main([*method("AllWell"), "--model.width", "2", "--frames", "2", "--size=16"]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0] == (
        "objective AllWell (allwell.AllWell), backbone small: random clips of 2 x 16 x 16, 4 videos per step"
    )
    assert outcomes(told) == {
        **dict.fromkeys(("class", "loss", "gradients", "state", "training", "resuming"), "passed"),
        "processes": "not claimed",
    }
    assert told.splitlines()[-1] == "No check failed."


def test_what_fails_is_named_and_the_exit_code_is_1(method, small_config, capsys):
    # the batch of the configuration has two views, three are asked for; a wide head brings an unused layer
    config = ["--config", str(small_config), "--data.evaluation.num_clips", "2", "--model.width", "5"]
    assert main([*method("OneLayerTooMany", views=3), *config]) == 1
    told = capsys.readouterr().out
    assert "backbone small: random clips of 4 x 32 x 32, 4 videos per step" in told
    assert "the loss does not depend on unused.weight, unused.bias (2 of " in told
    assert "OneLayerTooMany needs 3 views per video, data.sampler gives 2" in told
    assert told.splitlines()[-1] == "2 of 8 checks failed."
    assert {check for check, outcome in outcomes(told).items() if outcome == "failed"} == {"gradients", "data"}


def test_what_cannot_be_built_ends_the_checks(method, capsys):
    assert main([*method("NoViews", views=0)]) == 2
    assert "NoViews.num_views must be the number of clips of each video" in capsys.readouterr().err
    assert main([*method("NegativeWidth"), "--model.width", "-1"]) == 1
    told = capsys.readouterr().out
    assert outcomes(told)["class"] == "failed"
    assert "the other checks need an objective that can be built" in told


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["CVLR"], "Unknown objective 'CVLR'. Did you mean 'CVRL'?"),
        (["CVRL", "--videos", "3"], "Checks need an even number of videos"),
        (["CVRL", "--model.temperatur", "1"], "has no key 'temperatur'. Did you mean 'temperature'?"),
        (["CVRL", "--trainer.devices", "2"], "vidssl check does not take '--trainer.devices'"),
        (["CVRL", "--model", "MoCo"], "vidssl check does not take '--model'"),
        (["CVRL", "--config", "nowhere.yaml"], "--config: nowhere.yaml is not there"),
    ],
)
def test_mistakes_are_told(args, told, capsys):
    assert main(["check", "objective", *args]) == 2
    assert told in capsys.readouterr().err
