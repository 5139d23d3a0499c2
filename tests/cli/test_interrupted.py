"""Runs that a signal ends, and one command that starts them and continues them."""

import signal

import pytest
from whole_runs import COMMAND, assert_same_run, last_checkpoint, vidssl

from vidssl.runs.run_file import read_run

SLURM = {
    "SLURM_JOB_ID": "4321",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "1",
    "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


def sends(kind, number, step):
    return [
        f"--trainer.callbacks+=dying_runs.{kind}",
        f"--trainer.callbacks.number={int(number)}",
        f"--trainer.callbacks.step={step}",
    ]


@pytest.fixture
def fit(small_config):
    """Fit as shipped configurations do, with two loader workers, and leave checkpoints to the ends of epochs."""
    runs = small_config.parent / "runs"
    common = ["--config", small_config, "--data.loading.num_workers", "2", "--wandb.mode", "disabled"]

    def run(name, *args, **kwargs):
        return vidssl("fit", *common, "--run_dir", runs / name, "--ckpt_path", "auto", *args, command=COMMAND, **kwargs)

    return run, runs


def test_signals_end_a_run_with_a_checkpoint_and_a_code_and_it_goes_on(fit):
    run, runs = fit
    run("whole")
    done = run("ended", *sends("SignalInStep", signal.SIGTERM, 2), check=False)
    assert done.returncode == 143
    assert last_checkpoint(runs / "ended")["global_step"] in (2, 3)
    assert "vidssl: SIGTERM ended the run after" in done.stderr
    last = runs / "ended" / "checkpoints" / "last.ckpt"
    assert f"vidssl fit --config {runs}/ended/config.yaml --ckpt_path {last}" in done.stderr
    assert read_run(runs / "ended")["finished"] is False
    done = run("ended", *sends("SignalInEvaluation", signal.SIGINT, 4), check=False)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    run("ended")
    assert sorted(folder.name for folder in runs.iterdir()) == ["ended", "whole"]
    assert_same_run(runs / "whole", runs / "ended")
    facts = read_run(runs / "ended")  # continued in the middle of an epoch
    assert 0 < facts["training_seconds"] < facts["wall_seconds"]


def test_a_job_that_slurm_requeues_goes_on_in_its_folder(fit, tmp_path, monkeypatch):
    run, runs = fit
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {tools}/asked\nkill -TERM $PPID\n')
    (tools / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    run("whole")
    done = run("job", *sends("SignalInStep", signal.SIGUSR1, 2), check=False, **SLURM)
    assert done.returncode == 143
    assert (tools / "asked").read_text() == "requeue 4321\n"
    assert (runs / "job" / "hpc_ckpt_1.ckpt").is_file()
    run("job", **SLURM, SLURM_RESTART_COUNT="1")
    assert sorted(folder.name for folder in runs.iterdir()) == ["job", "whole"]
    assert_same_run(runs / "whole", runs / "job")


@pytest.mark.slow
def test_two_processes_end_together(fit):
    run, runs = fit
    together = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    run("whole", *together)
    done = run("ended", *together, *sends("SignalInStep", signal.SIGTERM, 2), check=False)
    assert done.returncode == 143
    done = run("ended", *together, *sends("SignalInEvaluation", signal.SIGINT, 4), check=False)
    assert done.returncode == 130
    run("ended", *together)
    assert sorted(folder.name for folder in runs.iterdir()) == ["ended", "whole"]
    assert_same_run(runs / "whole", runs / "ended")
