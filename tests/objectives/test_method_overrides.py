"""The command lines of docs/methods.md that compare several clips of a video: each trains."""

import re
import shlex
from inspect import signature
from pathlib import Path

import pytest
import torch
import yaml

from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.objectives import OBJECTIVES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"
SECTION = PAGE.read_text().partition("\n## CVRL\n")[0]
ROWS = re.findall(r"^\| (.+?) \| `(--model .*?)` \|", SECTION, re.MULTILINE)


@pytest.fixture
def base(small_config, monkeypatch):
    """The small configuration with one recipe for any number of views, and nothing evaluated."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    config = yaml.safe_load(small_config.read_text())
    config["data"]["augmentations"] = config["data"]["augmentations"][:1]
    config["trainer"] |= {"limit_val_batches": 0, "callbacks": [], "max_steps": 1}
    small_config.write_text(yaml.safe_dump(config))
    return small_config


@pytest.mark.parametrize(("name", "overrides"), ROWS, ids=[name for name, _ in ROWS])
def test_documented_settings_train(base, name, overrides):
    built = VidsslCLI("fit", ["--config", str(base), *shlex.split(overrides)])
    assert built.model.backbone_spec.name == "small"  # kept from the file
    assert built.datamodule.sampler.num_frames == 4
    built.run_verb()
    assert torch.isfinite(built.trainer.callback_metrics["train/loss"])


def test_every_method_of_several_clips_is_there():
    named = {shlex.split(overrides)[1] for _, overrides in ROWS}
    takes_several = {name for name in OBJECTIVES.names() if "num_views" in signature(OBJECTIVES.get(name)).parameters}
    assert named == takes_several
    views = {int(number) for _, overrides in ROWS for number in re.findall(r"num_views (\d)", overrides)}
    assert views == {3, 4}
