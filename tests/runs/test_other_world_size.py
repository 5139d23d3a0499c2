"""A run that is stopped within an epoch and continued on another number of processes trains on the same videos."""

import shutil
import signal
from pathlib import Path

import pytest
from noted_samples import noted
from whole_runs import COMMAND, last_checkpoint, vidssl

from vidssl.runs.metrics_file import read_metrics

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "small"
STEPS, SIGNALLED = 12, 5  # in three epochs; in the second one


@pytest.fixture
def fit(synthetic_catalog, tmp_path):
    """Fit a shipped configuration, shrunk, with two loader workers per process."""

    def run(method, name, processes, *flags, check=True):
        common = ["--config", CONFIGS / f"{method}.yaml", "--data.catalog", synthetic_catalog, "--data.batch_size", 8]
        common += ["--data.loading.num_workers", 2, "--trainer.max_epochs", 3, "--trainer.check_val_every_n_epoch", 3]
        common += ["--trainer.num_sanity_val_steps", 0, "--trainer.log_every_n_steps", 1, "--wandb.mode", "disabled"]
        common += ["--trainer.sync_batchnorm", "true", "--trainer.devices", processes]
        common += ["--trainer.strategy", "ddp" if processes > 1 else "auto", "--ckpt_path", "auto"]
        common += [
            "--trainer.callbacks+=noted_samples.NoteSamples",
            f"--trainer.callbacks.folder={tmp_path / 'runs' / name}-seen",
        ]
        run_dir = tmp_path / "runs" / name
        done = vidssl("fit", *common, "--run_dir", run_dir, *flags, check=check, command=COMMAND)
        return done.returncode, run_dir

    return run


def losses(run_dir):
    return {row["step"]: row["train/loss"] for row in read_metrics(run_dir) if "train/loss" in row}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "before", "after"), [("cvrl", 2, 1), ("cvrl", 1, 2), ("moco", 2, 1)])
def test_it_sees_the_same_videos_and_has_the_same_losses(fit, tmp_path, method, before, after):
    stop = ["--trainer.callbacks+=dying_runs.SignalInStep", f"--trainer.callbacks.number={int(signal.SIGTERM)}"]
    stop += [f"--trainer.callbacks.step={SIGNALLED}"]
    code, other = fit(method, "other", before, *stop, check=False)
    assert code == 128 + signal.SIGTERM
    assert last_checkpoint(other)["global_step"] in (5, 6, 7)  # two processes notice it a step later
    for suffix in ("", "-seen"):
        shutil.copytree(f"{tmp_path}/runs/other{suffix}", f"{tmp_path}/runs/same{suffix}", symlinks=True)
    _, same = fit(method, "same", before)
    fit(method, "other", after)
    assert noted(tmp_path / "runs" / "other-seen") == noted(tmp_path / "runs" / "same-seen")
    assert len(losses(same)) == STEPS
    # sums are rounded in another order; a step of AdamW makes more of it, so that it grows from about 1e-7
    assert losses(other) == pytest.approx(losses(same), rel=1e-2)
