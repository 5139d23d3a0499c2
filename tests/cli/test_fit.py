"""Whole runs of the command, in processes of their own."""

from pathlib import Path

import pytest
from whole_runs import assert_same_weights, last_checkpoint, vidssl

from vidssl.runs.metrics_file import read_metrics
from vidssl.runs.run_file import read_run


def test_a_run_leaves_everything_where_the_summary_says_and_its_config_repeats_it(small_config):
    runs = small_config.parent / "runs"
    told = vidssl("fit", "--config", small_config).stdout
    run_dir = runs / "small"
    for file in ("config.yaml", "metrics.csv", "checkpoints/last.ckpt", "pictures/views.png", "pictures/curves.png"):
        assert (run_dir / file).is_file(), file
    assert (run_dir / "checkpoints" / "last.ckpt").readlink() == Path("newest.ckpt")
    assert len(list(run_dir.glob("wandb/offline-run-*/run-*.wandb"))) == 1
    for words in ("small/checkpoints/last.ckpt", "knn/top1", "wandb sync", "vidssl export --checkpoint"):
        assert words in told.replace("\n", "")

    rows = read_metrics(run_dir)
    evaluated = [row for row in rows if "eval/synthetic/knn/top1" in row]
    assert [row["step"] for row in evaluated] == [0, 3, 7]
    trained = [row for row in rows if "train/loss" in row]
    assert [row["step"] for row in trained] == list(range(8))
    for name in ("contrastive_accuracy", "alignment", "uniformity", "entropy", "learning_rate"):
        assert all(f"train/{name}" in row for row in trained), name
    assert trained[3]["train/learning_rate"] == pytest.approx(1e-3)
    assert any("time/stall_fraction" in row for row in rows)

    vidssl("fit", "--config", run_dir / "config.yaml")
    repeated = runs / "small-2"
    assert_same_weights(last_checkpoint(run_dir), last_checkpoint(repeated), rtol=0, atol=0)
    # the first run's files are as they were
    assert read_metrics(run_dir) == rows


def test_a_killed_run_continues_exactly_in_mid_epoch(small_config):
    runs = small_config.parent / "runs"
    vidssl("fit", "--config", small_config, "--run_dir", runs / "whole")
    killer = ["--trainer.callbacks+=KillBeforeStep", "--trainer.callbacks.step=6"]
    died = vidssl("fit", "--config", small_config, "--run_dir", runs / "killed", *killer, check=False)
    assert died.returncode == -9
    assert last_checkpoint(runs / "killed")["global_step"] in (5, 6)  # the last one may have been on its way
    broken_off = read_run(runs / "killed")
    assert (broken_off["finished"], broken_off["starts"], broken_off["steps"]) == (False, 1, 6)
    vidssl("fit", "--config", small_config, "--run_dir", runs / "killed", "--ckpt_path", "last")
    assert not (runs / "killed-2").exists()
    whole, resumed = last_checkpoint(runs / "whole"), last_checkpoint(runs / "killed")
    assert resumed["global_step"] == 8
    continued = read_run(runs / "killed")
    assert (continued["finished"], continued["starts"], continued["steps"]) == (True, 2, 8)
    assert (broken_off["ended"], continued["ended"]) == (None, "completed")
    assert continued["wall_seconds"] > broken_off["wall_seconds"]
    assert continued["started"] == broken_off["started"]
    assert_same_weights(whole, resumed, rtol=0, atol=0)
    for left, right in zip(read_metrics(runs / "whole"), read_metrics(runs / "killed"), strict=True):
        learned = {name for name in left if name.startswith(("train/", "eval/", "step"))}
        assert {name: left[name] for name in learned} == {name: right[name] for name in learned}
    assert len({file.name.split("-")[-1] for file in (runs / "killed").glob("wandb/offline-run-*")}) == 1


def test_two_processes_train_like_one_and_log_one_run(small_config):
    runs = small_config.parent / "runs"
    plain = ["--model.backbone.name", "plain", "--model.head.batch_norm", "false"]
    plain += ["--model.optimizer.name", "sgd", "--model.optimizer.learning_rate", "0.1"]
    # in float32, rounding, which depends on the processor and the number of rows, grows to 1e-4 in these 8 steps
    plain += ["--trainer.precision", "64-true"]
    vidssl("fit", "--config", small_config, *plain, "--run_dir", runs / "one")
    together = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    vidssl("fit", "--config", small_config, *plain, *together, "--run_dir", runs / "two")
    assert sorted(folder.name for folder in runs.iterdir()) == ["one", "two"]
    assert len(list((runs / "two").glob("wandb/offline-run-*"))) == 1
    assert_same_weights(last_checkpoint(runs / "one"), last_checkpoint(runs / "two"), rtol=1e-3, atol=1e-5)
    one, two = read_metrics(runs / "one"), read_metrics(runs / "two")
    for left, right in zip(one, two, strict=True):
        compared = {name for name in left if name.startswith("eval/") or name == "train/loss"}
        assert {name: left[name] for name in compared} == pytest.approx(
            {name: right[name] for name in compared}, rel=1e-4
        )
