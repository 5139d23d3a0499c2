"""Every configuration in configs/ parses and builds its objective, data module and trainer."""

import math
from pathlib import Path

import pytest
import yaml

from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.objectives import OBJECTIVES

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").glob("**/*.yaml"))


@pytest.fixture
def build(synthetic_catalog, tmp_path, monkeypatch):
    """Build a configuration on a CPU, with the embedded videos in place of those it names."""

    def build_config(config, *overrides, verb="fit"):
        monkeypatch.setenv("VIDSSL_RUN_DIR", str(tmp_path / "run"))  # the folder that was chosen
        args = ["--config", config, "--run_dir", tmp_path / "run", "--wandb.mode", "disabled"]
        args += ["--data.catalog", synthetic_catalog, "--data.root", "null", "--data.train_split", "train"]
        args += ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.num_nodes", "1"]
        args += ["--trainer.strategy", "auto", *overrides]
        return VidsslCLI(verb, [str(arg) for arg in args])

    return build_config


def test_there_are_configurations():
    assert "quickstart.yaml" in [config.name for config in CONFIGS]


def test_every_method_has_a_small_configuration():
    small = [yaml.safe_load(config.read_text()) for config in CONFIGS if config.parent.name == "small"]
    assert sorted(config["model"]["class_path"] for config in small) == sorted(OBJECTIVES.names())
    # so that their figures can be compared
    assert len({config["data"]["batch_size"] * config["trainer"]["max_epochs"] for config in small}) == 1
    assert len({str(config["data"]["evaluation"]) for config in small}) == 1


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_configuration_builds(config, build):
    # those that start from a checkpoint start from nothing here
    from_nothing = ["--model.backbone.name", "small", "--model.backbone.weights", "null"]
    built = build(config, *(from_nothing if "as_weights" in config.read_text() else []))
    model, data, trainer = built.model, built.datamodule, built.trainer
    assert data.sampler.num_clips == model.num_views == len(data.augmentations)
    assert math.isfinite(trainer.max_epochs)
    assert trainer.max_epochs > model.optimizer_spec.warmup_epochs
    # Lightning's sampler in place of ours would change which videos a process sees
    assert built.config.trainer.use_distributed_sampler is False


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_the_last_checkpoint_does_not_wait_for_an_evaluation(config):
    callbacks = yaml.safe_load(config.read_text())["trainer"]["callbacks"]
    settings = [callback["init_args"] for callback in callbacks if callback["class_path"] == "ModelCheckpoint"]
    last = next(setting for setting in settings if setting.get("save_last"))
    assert "every_n_train_steps" in last or last["save_on_train_epoch_end"]


def test_a_flag_overrides_a_key_and_interpolation_sees_it(build, tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text("model:\n  init_args:\n    temperature: ${model.init_args.optimizer.weight_decay}\n")
    config = next(config for config in CONFIGS if config.name == "quickstart.yaml")
    built = build(config, "--config", extra, "--model.optimizer.weight_decay", "0.25")
    assert built.model.temperature == 0.25
