"""The example of docs/objectives.md, run as it stands there."""

import re
from pathlib import Path

import pytest
import torch

from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.objectives.contract_checks import CHECKS, Contract

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


def test_the_page_names_every_check():
    assert re.findall(r"^\| `(\w+)` \| (?:can|returns|gives|has|trains|ends)", PAGE.read_text(), re.MULTILINE) == list(
        CHECKS
    )
