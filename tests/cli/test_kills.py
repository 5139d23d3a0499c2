"""Runs that are killed at random moments, again and again, end like whole ones and leave nothing behind."""

import random
import signal
import time
from pathlib import Path

import pytest
import yaml
from whole_runs import COMMAND, assert_same_run, start, vidssl

from vidssl.runs.metrics_file import METRICS_FILE
from vidssl.runs.run_file import read_run

STEPS = 12  # in three epochs
SECONDS_PER_STEP = 0.5  # at most, with its share of an evaluation, where nothing else runs
MARK = "VIDSSL_TEST_RUN"
"""In the environment of a run and of all that it starts."""
PLUG_IN = """
from torch.nn.functional import normalize
from vidssl.losses import info_nce
from vidssl.objectives import OBJECTIVES, BackboneSpec, Objective, OptimizerSpec

@OBJECTIVES.register("Plain")
class Plain(Objective):
    def __init__(self, backbone: BackboneSpec = BackboneSpec(), optimizer: OptimizerSpec = OptimizerSpec()) -> None:
        super().__init__(backbone, optimizer)

    def training_step(self, batch, batch_idx):
        first, second = normalize(self.backbone(self.network_input(batch.views))).chunk(2)
        loss = info_nce(first, second, temperature=0.5).loss
        self.log_training(loss=loss.detach())
        return loss
"""
MOTION = {
    "sampler": {"class_path": "MotionSampler", "init_args": {"num_frames": 4, "stride": 2}},
    "motion": {"settings": {"estimator": "codec"}, "target_shape": [2, 4, 4]},
}


def settings_of(objective, folder):
    """What the small configuration needs for an objective: flags, and keys below ``data``."""
    if objective == "MCL":
        return ["--objective", "MCL"], MOTION
    if objective == "Plain":
        file = folder / "plain.py"
        file.write_text(PLUG_IN)
        return ["--plugin", file, "--objective", "Plain"], {}
    return ["--objective", objective], {}


@pytest.fixture
def command(small_config, tmp_path):
    """The command that starts a run and continues it, as users have it in a script."""

    def line(name, objective, processes):
        flags, data = settings_of(objective, tmp_path)
        config = yaml.safe_load(small_config.read_text())
        config["data"] |= data
        if objective == "MCL":
            config["data"]["augmentations"] = 4 * config["data"]["augmentations"][:1]
        config["trainer"] |= {"max_epochs": 3, "devices": processes, "strategy": "ddp" if processes > 1 else "auto"}
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        common = ["--data.loading.num_workers", "2", "--wandb.mode", "disabled", "--ckpt_path", "auto"]
        return ["fit", "--config", file, *flags, *common, "--run_dir", tmp_path / "runs" / name]

    return line


def last_step(run_dir):
    """The number of steps that a run has logged; 0 where it has not come so far."""
    lines = (run_dir / METRICS_FILE).read_text().splitlines()[1:] if (run_dir / METRICS_FILE).exists() else []
    return max((int(float(line.partition(",")[0])) + 1 for line in lines if line), default=0)


def kill_at_random(line, step, draw, seconds_to_begin, environment):
    """Start a run and kill it soon after a step, or in its start where it has been there before.

    Returns:
        whether it was killed; on a machine that became faster in the meantime it may have ended first.
    """
    run_dir, told = line[-1], line[-1].parents[1] / "told"
    is_known = last_step(run_dir) >= step
    run = start(*line, told=told, command=COMMAND, **environment)
    while last_step(run_dir) < step and run.poll() is None:
        time.sleep(0.005)
    time.sleep(draw.uniform(0, seconds_to_begin if is_known else SECONDS_PER_STEP))
    run.kill()
    code = run.wait()
    assert code in (-signal.SIGKILL, 0), told.read_text()
    return code != 0


def processes_of(mark):
    """The processes whose environment holds a mark."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in file.read_bytes():
                found.append(file.with_name("cmdline").read_text().replace("\0", " "))
        except OSError:  # it ended, or is another user's
            continue
    return found


def assert_nothing_left(mark, runs, within_seconds=10):
    deadline = time.monotonic() + within_seconds
    while left := processes_of(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    assert sorted(folder.name for folder in runs.iterdir()) == ["killed", "whole"]
    assert not list(runs.rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "processes", "kills"),
    [("CVRL", 1, 8), ("CVRL", 2, 8), ("MCL", 1, 3), ("MoCo", 2, 3), ("Plain", 1, 2)],
)
def test_it_ends_in_the_same_weights_optimiser_metrics_and_evaluations(command, tmp_path, objective, processes, kills):
    runs, draw = tmp_path / "runs", random.Random(f"{objective} {processes}")
    began = time.monotonic()
    vidssl(*command("whole", objective, processes), command=COMMAND)
    seconds_to_begin = 0.7 * (time.monotonic() - began)
    line, environment = command("killed", objective, processes), {MARK: str(tmp_path)}
    steps = sorted(draw.choices(range(STEPS - 1), k=kills))
    was_killed = [kill_at_random(line, step, draw, seconds_to_begin, environment) for step in steps]
    assert any(was_killed)
    vidssl(*line, command=COMMAND, **environment)
    assert_nothing_left(f"{MARK}={tmp_path}", runs)
    assert_same_run(runs / "whole", runs / "killed")
    assert read_run(runs / "killed")["ended"] == "completed"
