"""Running the command in a process of its own, and comparing what runs leave."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vidssl.runs.metrics_file import read_metrics

COMMAND = Path(__file__).with_name("vidssl_command.py")
SECONDS = 300
WITH_EXTRAS = Path(__file__).with_name("vidssl_with_extras.py")


def vidssl(*args, check=True, command=WITH_EXTRAS, **variables):
    line, environment = _line(args, command), _environment(variables)
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=SECONDS)
    if check and done.returncode:
        pytest.fail(f"vidssl {' '.join(map(str, args))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def start(*args, told, command=WITH_EXTRAS, **variables):
    """Start the command and do not wait for it; a file is told what it says."""
    with told.open("w") as output:  # not a pipe: whoever outlives the command would hold it
        return subprocess.Popen(
            _line(args, command), stdout=output, stderr=subprocess.STDOUT, env=_environment(variables)
        )


def _line(args, command):
    return [sys.executable, str(command), *map(str, args)]


def _environment(variables):
    fixed = {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment = {**os.environ, **fixed, **variables}
    # left by a test that used wandb in this process: its service would outlive a killed run, and hold it
    environment.pop("WANDB_SERVICE", None)
    return environment


def last_checkpoint(run_dir):
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same_weights(left, right, **tolerance):
    assert left["state_dict"].keys() == right["state_dict"].keys()
    for name, tensor in left["state_dict"].items():
        other = right["state_dict"][name]
        torch.testing.assert_close(tensor, other, msg=lambda text, n=name: f"{n}: {text}", **tolerance)


def assert_same_run(left, right):
    """Weights, optimiser, metrics and evaluations of two runs are equal, bit by bit, but for times."""
    one, two = last_checkpoint(left), last_checkpoint(right)
    assert one["global_step"] == two["global_step"]
    assert_same_weights(one, two, rtol=0, atol=0)
    torch.testing.assert_close(one["optimizer_states"], two["optimizer_states"], rtol=0, atol=0)
    assert _without_times(read_metrics(left)) == _without_times(read_metrics(right))
    assert _evaluations(left) == _evaluations(right)


def _without_times(rows):
    learned = [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]
    return [row for row in learned if row.keys() - {"step", "epoch"}]


def _evaluations(run_dir):
    records = [json.loads(line) for line in (run_dir / "evaluations.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "written"} for record in records]
