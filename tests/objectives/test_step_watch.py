"""A loss that is not finite ends a run, whatever the objective; a batch with nothing to compare is refused."""

import re

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from test_objectives import batch_of, build
from torch.utils.data import DataLoader
from vidssl_with_extras import SpoilWeights
from whole_runs import last_checkpoint, vidssl

from vidssl.cli.main import main
from vidssl.errors import VidsslError
from vidssl.evaluation.finetuning.module import FineTuning
from vidssl.objectives import OBJECTIVES, base
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.runs.run_file import read_run
from vidssl.runs.step_watch import StepWatch

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log", "ignore:.*:UserWarning")


class Plain(Objective):
    """What a plug-in may be: it logs in its own way, and compares nothing."""

    min_videos = 1

    def __init__(self, backbone=BackboneSpec("small"), optimizer=OptimizerSpec()):
        super().__init__(backbone, optimizer)

    def training_step(self, batch, batch_idx):
        loss = self.backbone(self.network_input(batch.views)).square().mean()
        self.log("mine", loss)
        return loss


def fit(objective, folder, *callbacks, black=False, steps=4, num_videos=4, log_every=1):
    batches = [batch_of(objective, num_videos, seed) for seed in range(steps)]
    for batch in batches:
        batch.index = batch.index + 100
        for view in batch.views:
            view *= not black
    saving = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        default_root_dir=folder,
        logger=False,
        callbacks=[*callbacks, StepWatch(), saving],
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=log_every,
    )
    trainer.fit(objective, DataLoader(batches, batch_size=None))


def of_name(name):
    if name == "FineTuning":
        return FineTuning(num_classes=4, backbone=BackboneSpec("small"))
    return Plain() if name == "Plain" else build(name)


ALL = [*OBJECTIVES.names(), "FineTuning", "Plain"]


@pytest.mark.parametrize("name", ALL)
def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_its_checkpoints(name, tmp_path):
    with pytest.raises(VidsslError) as told:
        fit(of_name(name), tmp_path, SpoilWeights(2))
    text = str(told.value)
    assert "The loss is nan after 2 steps" in text
    assert "rows 100, 101, 102, 103." in text
    assert name == "Plain" or "train/loss" in text
    assert str(tmp_path / "step=2.ckpt") in text
    assert sorted(file.name for file in tmp_path.glob("*.ckpt")) == ["step=1.ckpt", "step=2.ckpt"]
    for values in torch.load(tmp_path / "step=2.ckpt", weights_only=True)["state_dict"].values():
        assert not values.isnan().any()


def test_the_term_that_is_not_finite_is_named(tmp_path):
    objective = build("VICReg")
    objective.weights = type(objective.weights)(covariance=float("inf"))
    with pytest.raises(VidsslError, match=r"The loss is inf after 0 steps.* finite: train/loss\. .*no checkpoint"):
        fit(objective, tmp_path)


@pytest.mark.parametrize("weights_only", [False, True])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, weights_only):
    objective = Plain()
    trainer = Trainer(accelerator="cpu", devices=1, logger=False, default_root_dir=tmp_path, max_epochs=0)
    trainer.fit(objective, DataLoader([batch_of(objective)], batch_size=None))
    trainer.save_checkpoint(tmp_path / "good.ckpt", weights_only=weights_only)
    next(iter(objective.backbone.parameters())).data[0] = float("inf")
    with pytest.raises(VidsslError, match=r"1 of \d+ parameters are not finite.*backbone\."):
        trainer.save_checkpoint(tmp_path / "bad.ckpt", weights_only=weights_only)
    assert not (tmp_path / "bad.ckpt").exists()


@pytest.mark.parametrize("name", ALL)
def test_features_that_are_all_the_same_are_warned_of_once(name, tmp_path, caplog):
    fit(of_name(name), tmp_path, black=True, steps=3)
    assert len(re.findall("the same features", caplog.text)) == 1
    assert "rows 100, 101, 102, 103" in caplog.text


def test_features_that_differ_are_not_warned_of(tmp_path, caplog):
    fit(build("CVRL"), tmp_path)
    assert "the same features" not in caplog.text


class Falling(Plain):
    """Its embeddings lie in as many dimensions as `ranks` says, step by step."""

    def __init__(self, *ranks):
        super().__init__()
        self.ranks = iter(ranks)

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log_training(embeddings=torch.eye(next(self.ranks)).repeat(12, 1))
        return loss


@pytest.mark.parametrize(
    ("ranks", "num_videos", "message"),
    [
        ((12, 3, 2), 20, "After 1 steps the embeddings of a batch lie in about 3.0 dimensions, after 12.0 earlier"),
        ((12, 6, 5), 20, None),  # enough
        ((4, 4, 3), 20, None),  # never more
        ((12, 3, 2), 4, None),  # of so few videos a batch says nothing
    ],
)
def test_embeddings_that_fall_to_a_few_dimensions_are_warned_of_once(ranks, num_videos, message, tmp_path, caplog):
    fit(Falling(*ranks), tmp_path, steps=3, num_videos=num_videos)
    assert caplog.text.count("train/effective_rank") == (message is not None)
    assert message is None or message in caplog.text


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_every_method_logs_how_far_its_embeddings_spread(name, tmp_path):
    objective = build(name)
    fit(objective, tmp_path, steps=3)
    assert {"train/embedding_std", "train/effective_rank"} < objective.logged_terms.keys()
    assert 1 <= objective.logged_terms["train/effective_rank"] <= 16


def test_the_spread_is_computed_in_steps_that_are_logged(tmp_path, monkeypatch):
    steps = []
    objective = Falling(*[12] * 7)
    spread = base.spread
    monkeypatch.setattr(base, "spread", lambda rows: steps.append(objective.global_step) or spread(rows))
    fit(objective, tmp_path, steps=7, log_every=3)
    assert steps == [2, 5]


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_a_batch_of_one_video_is_refused(name):
    objective = build(name)
    with pytest.raises(VidsslError, match=f"{name} compares videos.*data.batch_size to 2 or more, not 1"):
        objective.check_batch(1, 1)
    objective.check_batch(2, 1)
    objective.check_batch(2, 2)


def test_normalisation_over_one_video_of_a_process_is_refused():
    contrast = OBJECTIVES.get("MCL")(backbone=BackboneSpec("small")).contrast
    normalised = type(contrast)(batch_norm=True)
    for name in ("MCL", "MoCo"):
        objective = OBJECTIVES.get(name)(backbone=BackboneSpec("small"), contrast=normalised)
        with pytest.raises(VidsslError, match="at least 4 of them per step on 2 processes"):
            objective.check_batch(2, 2)
        objective.check_batch(4, 2)


def test_fit_refuses_a_batch_of_one_before_training(small_config, capsys):
    assert main(["fit", "--config", str(small_config), "--data.batch_size", "1", "--wandb.mode", "disabled"]) == 2
    assert "data.batch_size to 2 or more" in capsys.readouterr().err


@pytest.mark.parametrize("num_processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_of_the_command_keeps_its_last_good_checkpoint_and_records_why_it_ended(small_config, num_processes):
    run = small_config.parent / "runs" / "small"
    command = ["fit", "--config", small_config, "--data.loading.num_workers", 2, "--wandb.mode", "disabled"]
    if num_processes > 1:
        command += ["--trainer.devices", num_processes, "--trainer.strategy", "ddp"]
    spoiled = [f"--trainer.callbacks+={SpoilWeights.__name__}", "--trainer.callbacks.step=3"]
    done = vidssl(*command, *spoiled, f"--trainer.callbacks.rank={num_processes - 1}", check=False)
    assert done.returncode != 0
    assert "The loss is nan after 3 steps" in done.stderr
    assert "train/loss" in done.stderr
    assert "Traceback" not in done.stderr
    left = last_checkpoint(run)
    assert left["global_step"] == 3
    assert all(np.isfinite(values.float().numpy()).all() for values in left["state_dict"].values())
    facts = read_run(run)
    assert not facts["finished"]
    assert facts["ended"].startswith("failed: VidsslError at step 3 of 8: The loss is ")
