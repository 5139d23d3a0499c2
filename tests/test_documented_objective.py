"""The example of docs/objectives.md, run as it stands there."""

import re
from pathlib import Path

import pytest
import torch

from vidssl.cli.main import main
from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.losses.motion_alignment import FORMS
from vidssl.objectives.contract_case import ClipShape
from vidssl.objectives.contract_checks import CHECKS, Contract
from vidssl.plugins.files import load_plugin_file

PAGE = Path(__file__).resolve().parents[1] / "docs" / "objectives.md"

pytestmark = pytest.mark.usefixtures("no_plugins_left")


@pytest.fixture
def example(tmp_path):
    """The page's first block of Python, as the file my_method.py."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    (tmp_path / "my_method.py").write_text(code)
    return str(tmp_path / "my_method.py")


def test_the_documented_objective_trains(example, small_config, monkeypatch):
    plugin = ["--plugin", example, "--objective", "MySimSiam"]
    settings = ["--model.embedding_dim", "32", "--model.bottleneck_dim", "8"]
    built = VidsslCLI("fit", ["--config", str(small_config), *plugin, *settings, "--wandb.mode", "disabled"])
    model = built.model
    assert type(model).__name__ == "MySimSiam"
    assert model.backbone_spec.name == "small"  # kept from the file

    batch = next(iter(built.datamodule.train_dataloader()))
    logged = {}
    monkeypatch.setattr(model, "log_training", lambda **metrics: logged.update(metrics))
    loss = model.training_step(batch, 0)
    loss.backward()
    assert -1 <= loss.item() <= 1
    assert logged["embeddings"].shape == (2 * len(batch), 32)
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert missing == []
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())

    contract = Contract(type(model), {"embedding_dim": 32, "bottleneck_dim": 8})
    for result in contract.results(CHECKS.keys() - {"processes"}):  # those of vidssl's own SimSiam, which is the same
        assert result.outcome == "passed", result.detail


@pytest.fixture
def aligned_example(tmp_path):
    """The page's class with motion alignment, as the file aligned_contrast.py."""
    code = next(code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "Aligned" in code)
    assert len(code.splitlines()) <= 60
    (tmp_path / "aligned_contrast.py").write_text(code)
    return str(tmp_path / "aligned_contrast.py")


def test_the_documented_alignment_learns(aligned_example):
    kind = load_plugin_file(aligned_example).AlignedContrast
    contract = Contract(kind, {"alignment": {}}, ClipShape(size=16, motion_views="all"))
    for result in contract.results(["class", "gradients"]):
        assert result.outcome == "passed", result.detail


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_the_documented_alignment_keeps_the_contract(aligned_example, form, capsys):
    plugin = ["check", "objective", "AlignedContrast", "--plugin", aligned_example]
    assert main([*plugin, "--model.alignment.form", form, "--size", "16"]) == 0, capsys.readouterr().out
    told = capsys.readouterr().out
    assert "2 views per video, with motion" in told
    assert len(re.findall(r"^  passed ", told, re.MULTILINE)) == len(CHECKS)


def test_the_page_names_every_check():
    assert re.findall(
        r"^\| `(\w+)` \| (?:can|returns|gives|keeps|has|trains|ends)", PAGE.read_text(), re.MULTILINE
    ) == list(CHECKS)
