"""The verb ``vidssl doctor``: reports what this machine has on one screen. It needs neither a GPU nor data."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import vidssl
from vidssl.cli import VerbParser
from vidssl.data.shared_memory import SHARED_MEMORY

SCARCE_BYTES = 1e9
CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg")
ENDING = "Lines marked with ! may need your attention."


def run_doctor(args: Sequence[str]) -> int:
    """Run ``vidssl doctor``; return the exit code, 0 also where something is missing."""
    parser = VerbParser(
        prog="vidssl doctor",
        description="Report what this machine has: decoders, codecs, FFmpeg, shared memory, GPU and precision, wandb.",
    )
    parser.parse_args(args)
    facts: dict[str, Callable[[], Iterator[str]]] = {
        "software": _software,
        "machine": _machine,
        "decoders": _decoders,
        "codecs": _codecs,
        "FFmpeg": _ffmpeg,
        "GPU": _gpu,
        "wandb": _wandb,
    }
    for title, lines in facts.items():
        for place, line in enumerate(lines()):
            print(f"{title if place == 0 else '':<10}{line}", flush=True)
    print(ENDING)
    return 0


def _version_of(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None


def _software() -> Iterator[str]:
    packages = ("torch", "pytorch-lightning", "jsonargparse", "numpy")
    words = ", ".join(f"{package} {_version_of(package) or 'missing !'}" for package in packages)
    yield f"vidssl {vidssl.__version__}, Python {platform.python_version()}, {words}"


def _machine() -> Iterator[str]:
    from vidssl.jobs.video_processes import usable_cores

    yield f"{platform.system()} {platform.machine()}, {usable_cores()} of {os.cpu_count()} cores usable"
    if SHARED_MEMORY.is_dir():
        usage = shutil.disk_usage(SHARED_MEMORY)
        hint = " ! loader workers pass batches through it (docker run --shm-size)"
        scarce = hint if usage.free < SCARCE_BYTES else ""
        yield f"shared memory {usage.free / 1e9:.2f} GB free of {usage.total / 1e9:.2f} GB{scarce}"
    else:
        yield f"no {SHARED_MEMORY}"


def _decoders() -> Iterator[str]:
    """Each decoder reads a small video: some fail only then."""
    import numpy as np

    from vidssl.catalogs.synthetic.videos import encode
    from vidssl.video.decoding import DECODERS, available_decoders, read_frames

    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "grey.mp4"
        encode(video, np.full((4, 64, 64, 3), 128, np.uint8), 25)
        for name in DECODERS.names():
            if name not in available_decoders():
                yield f"{name:<12}not installed"
                continue
            try:
                frames = read_frames(video, [3], decoder=name)
            except Exception as error:  # of a library that is broken in any way
                yield f"{name:<12}! {' '.join(str(error).split())[:160]}"
            else:
                grey = round(float(np.asarray(frames).mean()))
                yield f"{name:<12}" + ("reads" if abs(grey - 128) <= 3 else f"! reads grey 128 as {grey}")


def _codecs() -> Iterator[str]:
    try:
        import av
    except ImportError as error:
        yield f"! PyAV cannot be imported: {error}"
        return
    lacking = [codec for codec in CODECS if codec not in av.codecs_available]
    words = f"PyAV {av.__version__} decodes {', '.join(codec for codec in CODECS if codec not in lacking)}"
    yield words + (f"; ! not {', '.join(lacking)}" if lacking else "")


def _ffmpeg() -> Iterator[str]:
    with suppress(ImportError):
        import av

        libraries = ", ".join(f"{name} {'.'.join(map(str, number))}" for name, number in av.library_versions.items())
        yield f"in PyAV: {libraries}"
    program = shutil.which("ffmpeg")
    yield f"program: {program or 'none on the PATH (only torchcodec needs its libraries)'}"


def _gpu() -> Iterator[str]:
    import torch

    if not torch.cuda.is_available():
        yield f"none that torch {torch.__version__} can use (trainer.accelerator: cpu)"
        return
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        wide = "bf16-mixed" if torch.cuda.get_device_capability(number) >= (8, 0) else "16-mixed (no bfloat16 units)"
        yield f"{facts.name}, {facts.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}: trainer.precision {wide}"


def _wandb() -> Iterator[str]:
    found = _version_of("wandb")
    if found is None or importlib.util.find_spec("wandb") is None:
        yield "missing: set wandb.mode to disabled"
        return
    from vidssl.reporting.wandb import has_api_key

    online = "online: an API key was found" if has_api_key() else "offline: no API key (wandb login)"
    yield f"{found}, wandb.mode auto is {online}"
