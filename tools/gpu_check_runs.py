"""The parts of ``gpu_check.py`` that start whole runs, or a process group."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from gpu_check_parts import Found, Sizes, need_gpu
from torch import distributed as dist
from torch import nn

from vidssl.backbones import build_backbone
from vidssl.runs.metrics_file import read_metrics

CLOSE = 0.02


def command(folder: Path, *flags: object) -> list[str]:
    """Return the command line of a short run on videos that `prepare` wrote."""
    line = [sys.executable, "-m", "vidssl.cli.main", "fit", "--config", "configs/quickstart.yaml"]
    common = ["--data.catalog", folder / "synthetic.catalog", "--wandb.mode", "disabled", "--ckpt_path", "auto"]
    return list(map(str, [*line, *common, "--trainer.limit_val_batches", 0, *flags]))


def prepare(folder: Path, size: int, num_videos: int) -> None:
    """Draw videos."""
    shape = ["--height", size, "--width", size, "--num-train", num_videos, "--num-test", 16]
    line = [sys.executable, "-m", "vidssl.cli.main", "prepare", "synthetic", *shape, "--output", folder]
    subprocess.run(list(map(str, line)), check=True, capture_output=True)


def accelerator(sizes: Sizes) -> list[object]:
    """Return the flags that choose the device."""
    return ["--trainer.accelerator", "gpu" if sizes.device == "cuda" else "cpu", "--trainer.devices", 1]


def loaders(sizes: Sizes) -> Found:
    """Train on embedded videos of the size of real ones, and say how long the network waits for them."""
    num_steps, size, videos = (60, 256, 480) if sizes.device == "cuda" else (4, 64, 64)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, size, videos)
        flags = ["--run_dir", folder / "run", "--trainer.max_steps", num_steps, "--trainer.log_every_n_steps", 2]
        workers = ["--data.loading.num_workers", max(1, (os.cpu_count() or 2) - 2)]
        network = ["--model.backbone.name", "r3d_18"] if sizes.device == "cuda" else []
        timer = ["--trainer.callbacks+=StepTimer"]
        subprocess.run(
            command(folder, *flags, *workers, *network, *timer, *accelerator(sizes)), check=True, capture_output=True
        )
        rows = [row for row in read_metrics(folder / "run") if "time/stall_fraction" in row][1:]
    names = ("time/videos_per_second", "time/stall_fraction")
    return {name: statistics.mean(row[name] for row in rows) for name in names}, []


def killed(sizes: Sizes) -> Found:
    """Kill a run in its second epoch, continue it, and compare it with one that was left alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, 64, 64)
        flags = [
            "--data.batch_size",
            16,
            "--trainer.max_epochs",
            3,
            "--trainer.log_every_n_steps",
            1,
            *accelerator(sizes),
        ]
        environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
        whole = command(folder, *flags, "--run_dir", folder / "whole")
        subprocess.run(whole, check=True, capture_output=True, env=environment)
        line = command(folder, *flags, "--run_dir", folder / "killed")
        run = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        while run.poll() is None and len(read_metrics(folder / "killed")) < 6:
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        run.wait()
        subprocess.run(line, check=True, capture_output=True, env=environment)
        losses = [
            {row["step"]: row["train/loss"] for row in read_metrics(folder / one) if "train/loss" in row}
            for one in ("whole", "killed")
        ]
    same = losses[0].keys() == losses[1].keys()
    largest = max(abs(losses[0][at] - losses[1].get(at, float("inf"))) / abs(losses[0][at]) for at in losses[0])
    figures = {"steps": len(losses[0]), "largest relative difference of a loss": largest}
    return figures, [] if same and largest < CLOSE else ["the continued run is another one"]


def nccl(sizes: Sizes) -> Found:
    """Reduce over NCCL with one process."""
    need_gpu(sizes)
    with tempfile.NamedTemporaryFile() as meeting:
        dist.init_process_group("nccl", init_method=f"file://{meeting.name}", rank=0, world_size=1)
        network = nn.parallel.DistributedDataParallel(build_backbone("small").cuda(), device_ids=[0])
        network(torch.zeros(2, 3, 8, 56, 56, device="cuda")).sum().backward()
        finite = all(bool(value.grad.isfinite().all()) for value in network.parameters() if value.grad is not None)
        dist.destroy_process_group()
    return {"gradients are finite": finite}, [] if finite else ["gradients are not finite"]
