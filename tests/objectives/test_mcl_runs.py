"""Whole runs of MCL: motion computed on the way, a kill in mid-epoch, two processes, accumulated batches."""

import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml
from pytorch_lightning import Trainer
from test_mcl import ALL_TASKS, batch, mcl
from torch import nn
from torch.utils.data import DataLoader
from whole_runs import assert_same_weights, last_checkpoint, vidssl

from vidssl.cli.trainer_verbs import VidsslCLI
from vidssl.errors import VidsslError
from vidssl.nn.sync_batch_norm import synchronised
from vidssl.runs.metrics_csv import read_metrics

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"
ABLATIONS = re.findall(r"^\| .* \| `(--.*)` \|$", PAGE.read_text(), re.MULTILINE)
METRICS = (
    "loss contrastive_accuracy inter_loss intra_loss intra_accuracy order_loss order_accuracy order_weight "
    "alignment_st alignment_s alignment_t alignment_st_other alignment_s_other alignment_t_other "
    "alignment_target_distance alignment_weight queue_fill embedding_std effective_rank"
)


@pytest.fixture
def mcl_config(small_config):
    """The small configuration with MCL in the place of CVRL, and nothing evaluated."""
    config = yaml.safe_load(small_config.read_text())
    config["model"] = {
        "class_path": "MCL",
        "init_args": {
            "backbone": {"name": "small"},
            "optimizer": {"name": "sgd", "learning_rate": 0.05, "warmup_epochs": 1},
            "contrast": {"embedding_dim": 16, "hidden_dim": 32, "queue_size": 100, "momentum": 0.9, "mask_own": True},
            "tasks": list(ALL_TASKS),
            "alignment": {"warmup_epochs": 1},
        },
    }
    config["data"]["sampler"] = {"class_path": "MotionSampler", "init_args": {"num_frames": 4, "stride": 2}}
    config["data"]["motion"] = {"settings": {"estimator": "dis"}, "target_shape": [2, 4, 4]}
    config["data"]["augmentations"] = 4 * config["data"]["augmentations"][:1]
    config["trainer"]["limit_val_batches"] = 0
    config["trainer"]["callbacks"] = config["trainer"]["callbacks"][1:2]  # the checkpoints
    file = small_config.with_name("mcl.yaml")
    file.write_text(yaml.safe_dump(config))
    return file


def learned(run_dir):
    return [{name: row[name] for name in row if name.startswith(("train/", "step"))} for row in read_metrics(run_dir)]


def test_a_killed_run_continues_exactly_with_queue_follower_and_schedule(mcl_config):
    runs = mcl_config.parent / "runs"
    vidssl("fit", "--config", mcl_config, "--run_dir", runs / "whole")
    killer = ["--trainer.callbacks+=KillBeforeStep", "--trainer.callbacks.step=6"]
    died = vidssl("fit", "--config", mcl_config, "--run_dir", runs / "killed", *killer, check=False)
    assert died.returncode == -9
    vidssl("fit", "--config", mcl_config, "--run_dir", runs / "killed", "--ckpt_path", "last")
    whole, resumed = last_checkpoint(runs / "whole"), last_checkpoint(runs / "killed")
    assert whole["state_dict"]["queue.num_written"] == 8 * 8 * 3
    assert any(name.startswith("momentum_encoder.") for name in whole["state_dict"])
    assert_same_weights(whole, resumed, rtol=0, atol=0)
    trained = learned(runs / "whole")
    assert trained == learned(runs / "killed")
    assert [row["train/order_weight"] for row in trained] == [step / 8 for step in range(8)]
    assert [row["train/alignment_weight"] for row in trained] == [2.0] * 4 + [1.0] * 4
    assert {f"train/{name}" for name in METRICS.split()} <= trained[0].keys()


def test_two_processes_train_like_one(mcl_config):
    runs = mcl_config.parent / "runs"
    plain = ["--model.backbone.name", "plain", "--trainer.precision", "64-true"]  # see test_fit.py
    vidssl("fit", "--config", mcl_config, *plain, "--run_dir", runs / "one")
    together = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    vidssl("fit", "--config", mcl_config, *plain, *together, "--run_dir", runs / "two")
    assert_same_weights(last_checkpoint(runs / "one"), last_checkpoint(runs / "two"), rtol=1e-2, atol=1e-4)
    for left, right in zip(learned(runs / "one"), learned(runs / "two"), strict=True):
        assert left == pytest.approx(right, rel=1e-3, abs=1e-4)


def test_a_follower_moves_once_for_accumulated_batches_and_the_queue_takes_all():
    objective = mcl("small")
    updates = []
    follow = objective.momentum_encoder.update
    objective.momentum_encoder.update = lambda *parts: updates.append(objective.trainer.global_step) or follow(*parts)
    loader = DataLoader([batch(seed=seed, size=32) for seed in range(4)], batch_size=None)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        accumulate_grad_batches=2,
        precision="bf16-mixed",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(objective, loader)
    assert len(updates) == trainer.global_step == 4
    assert objective.queue.num_written == 2 * 4 * 4 * 3
    assert all(parameter.isfinite().all() for parameter in objective.parameters())


@pytest.mark.parametrize("change", [{"motion": None}, {"motion": {"target_shape": None}}])
def test_missing_motion_is_told_before_anything_runs(mcl_config, change, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    config = yaml.safe_load(mcl_config.read_text())
    config["data"] |= change
    config["data"]["sampler"]["init_args"]["probability"] = 0.0
    mcl_config.write_text(yaml.safe_dump(config))
    with pytest.raises(
        VidsslError, match=r"MCL, as it is set, learns from .* and data\.motion(\.target_shape)? is null"
    ):
        VidsslCLI("fit", ["--config", str(mcl_config)]).run_verb()
    built = VidsslCLI("fit", ["--config", str(mcl_config), "--model.alignment.terms", "[]", "--trainer.max_steps", "1"])
    built.run_verb()
    assert torch.isfinite(built.trainer.callback_metrics["train/loss"])


@pytest.mark.parametrize("overrides", ABLATIONS)
def test_documented_ablations_train(mcl_config, overrides, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    built = VidsslCLI("fit", ["--config", str(mcl_config), *shlex.split(overrides), "--trainer.max_steps", "1"])
    built.run_verb()
    assert torch.isfinite(built.trainer.callback_metrics["train/loss"])


def test_there_are_ablations():
    assert len(ABLATIONS) == 12


def test_batch_norm_without_second_derivatives_is_refused_with_a_gradient_form():
    refused = nn.SyncBatchNorm.convert_sync_batchnorm(mcl("small"))
    with pytest.raises(VidsslError, match=r"take vidssl\.nn\.SyncBatchNorm"):
        refused.on_fit_start()
    synchronised(mcl("small")).on_fit_start()
    for harmless in (mcl("small", form="feature"), mcl("small", terms=())):
        nn.SyncBatchNorm.convert_sync_batchnorm(harmless).on_fit_start()
