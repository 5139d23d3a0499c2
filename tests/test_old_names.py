"""Configurations and plug-ins that were written for 0.1, before modules moved, still work."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

from vidssl import old_names
from vidssl.cli.main import main
from vidssl.cli.trainer_verbs import VidsslCLI

WRITTEN = Path(__file__).with_name("written_by_0_1")  # as vidssl fit left them beside a run, or --print_config

# Modules that are packages now: what plug-ins may have imported from them.
NOW_PACKAGES = {
    "vidssl.evaluation.attention": ["attention_maps", "clip_directions", "encode_clips", "grad_cam", "overlap"],
    "vidssl.evaluation.features": ["extract_all", "extract_features"],
    "vidssl.evaluation.finetuning": ["FineTuning"],
    "vidssl.evaluation.protocols": ["PROTOCOLS", "get_protocol"],
}

PLUGIN = """
import torch

from vidssl.backbones.contract import Backbone
from vidssl.data.decoding import read_frames
from vidssl.data.decoders.reader import Reader
from vidssl.data.sampling import IntervalSampler
from vidssl.evaluation.knn import KNN
from vidssl.losses.info_nce import info_nce
from vidssl.motion.source import MotionData
from vidssl.nn.heads import mlp_head
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec


class OldStyle(Objective):
    '''Two views, InfoNCE.'''

    def __init__(
        self, backbone: BackboneSpec = BackboneSpec(), optimizer: OptimizerSpec = OptimizerSpec(), width: int = 16
    ) -> None:
        super().__init__(backbone, optimizer)
        self.head = mlp_head(self.backbone.feature_dim, (), width)

    def training_step(self, batch, batch_idx):
        embeddings = torch.nn.functional.normalize(self.head(self.backbone(self.network_input(batch.views))), dim=1)
        loss = info_nce(*embeddings.chunk(2), temperature=0.1).loss
        self.log_training(loss=loss)
        return loss
"""


@pytest.fixture
def forgotten():
    """Old names that were imported before are imported anew."""
    for name in [name for name in sys.modules if old_names.new_name(name)]:
        del sys.modules[name]


@pytest.mark.parametrize("old", old_names.MOVED)
def test_a_module_is_the_same_under_both_names(old, forgotten):
    with pytest.warns(FutureWarning, match=f"{old} is called {old_names.MOVED[old]} now"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(old_names.MOVED[old])
    assert module.__spec__.name == module.__name__ == old_names.MOVED[old]


def test_what_lies_below_a_moved_package_moved_along(forgotten):
    with pytest.warns(FutureWarning, match="vidssl.data.decoders.reader is called vidssl.video.decoders.reader now"):
        old = importlib.import_module("vidssl.data.decoders.reader")
    assert old is importlib.import_module("vidssl.video.decoders.reader")


@pytest.mark.parametrize("package", NOW_PACKAGES)
def test_a_module_that_became_a_package_still_offers_its_names(package):
    module = importlib.import_module(package)
    assert all(getattr(module, name).__module__.startswith(package) for name in NOW_PACKAGES[package] if name.islower())
    assert set(NOW_PACKAGES[package]) <= set(dir(module))


def test_nothing_of_ours_uses_an_old_name():
    repository = WRITTEN.parents[1]
    files = [file for folder in ("vidssl", "tools", "docs", "configs") for file in (repository / folder).rglob("*.*")]
    texts = [file.read_text() for file in files if file.suffix in (".py", ".md", ".yaml", ".template")]
    assert len(texts) > 200
    named = {name for text in texts for name in re.findall(r"(?<![\"\w.])vidssl(?:\.[a-z_0-9]+)+", text)}
    assert {name for name in named if old_names.new_name(name)} == set()


def flags(name, catalog, tmp_path):
    return [
        "--config",
        str(WRITTEN / f"{name}.yaml"),
        "--data.catalog",
        str(catalog),
        "--run_dir",
        str(tmp_path / name),
    ]


@pytest.mark.parametrize("name", ["cvrl", "mcl"])
def test_a_configuration_trains_resumes_and_evaluates(name, synthetic_catalog, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run = tmp_path / name
    assert main(["fit", *flags(name, synthetic_catalog, tmp_path)]) == 0
    last = run / "checkpoints" / "last.ckpt"
    whole = torch.load(last, weights_only=True)
    last.unlink()
    middle = run / "checkpoints" / "step=5.ckpt"
    assert main(["fit", *flags(name, synthetic_catalog, tmp_path), "--ckpt_path", str(middle)]) == 0
    continued = torch.load(last, weights_only=True)
    assert whole["global_step"] == continued["global_step"] == 8
    assert all(torch.equal(continued["state_dict"][key], value) for key, value in whole["state_dict"].items())
    assert main(["evaluate", "--checkpoint", str(last), "--data", str(synthetic_catalog), "--protocol", "knn"]) == 0
    assert "knn" in capsys.readouterr().out


def test_a_configuration_of_fine_tuning_is_built(synthetic_catalog, tmp_path):
    flagged = [*flags("finetuning", synthetic_catalog, tmp_path), "--model.backbone.name=small"]
    built = VidsslCLI("fit", flagged)
    assert type(built.model).__name__ == "FineTuning"


def test_a_plugin_trains(small_config, tmp_path, monkeypatch, no_plugins_left, forgotten):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    file = tmp_path / "old_style.py"
    file.write_text(PLUGIN)
    text = small_config.read_text()
    text = text.replace("head: {hidden_dims: [32], embedding_dim: 16}", "width: 16")
    small_config.write_text(text.replace("class_path: CVRL", "class_path: old_style.OldStyle"))
    args = ["--config", str(small_config), "--plugin", str(file), "--trainer.max_steps", "2"]
    with pytest.warns(FutureWarning, match=r"vidssl\.data\.decoding is called"):
        assert main(["fit", *args]) == 0
