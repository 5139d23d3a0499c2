"""Running the command in a process of its own, and comparing what runs leave."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

COMMAND = Path(__file__).with_name("vidssl_with_extras.py")


def vidssl(*args, check=True):
    environment = {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    # left by a test that used wandb in this process: its service would outlive a killed run, and hold it
    environment.pop("WANDB_SERVICE", None)
    done = subprocess.run(
        [sys.executable, str(COMMAND), *map(str, args)], capture_output=True, text=True, env=environment, timeout=300
    )
    if check and done.returncode:
        pytest.fail(f"vidssl {' '.join(map(str, args))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def last_checkpoint(run_dir):
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same_weights(left, right, **tolerance):
    assert left["state_dict"].keys() == right["state_dict"].keys()
    for name, tensor in left["state_dict"].items():
        other = right["state_dict"][name]
        torch.testing.assert_close(tensor, other, msg=lambda text, n=name: f"{n}: {text}", **tolerance)
