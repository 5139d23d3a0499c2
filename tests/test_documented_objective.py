"""The example of docs/objectives.md, run as it stands there."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

from vidssl.lightning_cli import VidsslCLI

PAGE = Path(__file__).resolve().parents[1] / "docs" / "objectives.md"


@pytest.fixture
def example_module(tmp_path, monkeypatch):
    """The page's first block of Python, as the module my_method."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    (tmp_path / "my_method.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("my_method")
    del sys.modules["my_method"]


def test_the_documented_objective_trains(example_module, small_config, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSSL_RUN_DIR", str(tmp_path / "run"))
    swap = ["--model", "my_method.SimSiam", "--model.embedding_dim", "32", "--model.bottleneck_dim", "8"]
    built = VidsslCLI("fit", ["--config", str(small_config), *swap, "--wandb.mode", "disabled"])
    model = built.model
    assert isinstance(model, example_module.SimSiam)
    assert model.backbone_spec.name == "small"  # kept from the file

    batch = next(iter(built.datamodule.train_dataloader()))
    logged = {}
    monkeypatch.setattr(model, "log_training", lambda **metrics: logged.update(metrics))
    loss = model.training_step(batch, 0)
    loss.backward()
    assert -1 <= loss.item() <= 1
    assert 0 < logged["spread"] < 32**-0.5
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert missing == []
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
