"""Shipped configurations, shrunk by flags, are killed in their second epoch and continued."""

from pathlib import Path

import pytest
from whole_runs import COMMAND, assert_same_run, last_checkpoint, vidssl

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL = [f"small/{file.stem}" for file in sorted(CONFIGS.glob("small/*.yaml"))]


@pytest.mark.parametrize(
    "name",
    [
        "quickstart",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ["mcl_quickstart", "finetune_quickstart", *SMALL]),
    ],
)
def test_a_run_that_dies_in_its_second_epoch_goes_on_from_the_end_of_the_first(name, synthetic_catalog, tmp_path):
    flags = ["--config", CONFIGS / f"{name}.yaml", "--data.catalog", synthetic_catalog, "--wandb.mode", "disabled"]
    flags += ["--data.batch_size", "8", "--trainer.max_epochs", "3", "--trainer.num_sanity_val_steps", "0"]
    flags += ["--trainer.check_val_every_n_epoch", "1"]
    if name.startswith("finetune"):
        flags += ["--model.backbone.weights", "null", "--model.backbone.name", "small"]
    killer = ["--trainer.callbacks+=dying_runs.SignalInStep", "--trainer.callbacks.number=9"]
    killer += ["--trainer.callbacks.step=6"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    assert vidssl("fit", *flags, "--run_dir", killed, *killer, check=False, command=COMMAND).returncode == -9
    assert last_checkpoint(killed)["global_step"] == 4
    vidssl("fit", *flags, "--run_dir", killed, "--ckpt_path", "auto", command=COMMAND)
    assert last_checkpoint(killed)["global_step"] == 12
    vidssl("fit", *flags, "--run_dir", whole, command=COMMAND)
    assert_same_run(whole, killed)
