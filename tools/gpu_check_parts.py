"""The parts of ``gpu_check.py`` that take single steps: each returns figures, and what is wrong with them."""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from bench_step import ClipsInMemory, StepClock
from benchmark import Figures
from pytorch_lightning import Trainer
from torch import Tensor

from vidssl.objectives.base import Objective
from vidssl.objectives.contract_case import Case, ClipShape
from vidssl.objectives.contract_runs import BATCH_NORMS, step
from vidssl.reporting.callbacks import StepTimer
from vidssl.runs.metrics_csv import MetricsCSV
from vidssl.types import ClipBatch

Found = tuple[Figures, list[str]]
METHODS = {
    "CVRL": {},
    "MCL": {"contrast": {"queue_size": 1024}},  # weighted gradients: second derivatives
    "MoCo": {"contrast": {"queue_size": 1024}},
    "BYOL": {},
    "SwAV": {},
}
LEAST_COSINE = {"float32": 0.9999, "TF32": 0.99, "bf16": 0.9}
"""Of the gradient of each layer with that of the CPU in float32; bf16 keeps 8 bits of 24."""


class LeftOut(Exception):
    """What only a GPU can show."""


@dataclass(frozen=True)
class Sizes:
    """How large the networks and clips are.

    Attributes:
        device: ``cuda`` or ``cpu``.
        backbone: of the steps that are timed.
        clip: frames, height and width.
        batches: videos per step.
        num_steps: that are timed.
    """

    device: str
    backbone: str = "r3d_50"
    clip: tuple[int, int, int] = (16, 224, 224)
    batches: tuple[int, ...] = (16, 32)
    num_steps: int = 10

    @classmethod
    def of(cls, device: str) -> Sizes:
        """Return the paper's sizes for a GPU, small ones for a CPU."""
        return cls(device) if device == "cuda" else cls(device, "small", (8, 56, 56), (4, 8), 3)

    def objective(
        self, name: str = "CVRL", backbone: str | None = None, width: int = 1, *, recomputed: bool = False
    ) -> Objective:
        """Build a method with the network that is timed, or another."""
        options = {"width": width} if width > 1 else {}
        name_and_options = {"name": backbone or self.backbone, "options": options}
        network = {**name_and_options, "activation_checkpointing": recomputed}
        return Case.of(name, {"backbone": network, **METHODS[name]}).build().to(self.device)

    def batch(self, objective: Objective, num_videos: int, num_frames: int | None = None) -> ClipBatch:
        """Draw a batch of clips on the device, with motion where the method needs it."""
        shape = ClipShape(num_videos, num_frames or self.clip[0], self.clip[1], motion_size=14)
        case = Case("", clips=shape)
        return case.batch(objective).to(torch.device(self.device))


def need_gpu(sizes: Sizes) -> None:
    """Leave a part out where there is none."""
    if sizes.device != "cuda":
        raise LeftOut("needs a GPU")


def wait(device: str) -> None:
    """Wait until the device has done everything."""
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def precision(name: str, device: str) -> Iterator[None]:
    """Compute in a precision."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "TF32"
    try:
        with torch.autocast(device, torch.bfloat16, enabled=name == "bf16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def gradients(name: str, sizes: Sizes, kind: str, device: str) -> tuple[float, dict[str, Tensor]]:
    """Return loss and gradients of a step in a precision on a device, batch statistics aside."""
    case = Case.of(name, METHODS[name], clips=ClipShape(4, 8, 56))
    objective = case.build().to(device)
    for module in objective.modules():
        if isinstance(module, BATCH_NORMS):
            module.eval()
    with precision(kind, device):
        loss = step(objective, case.batch(objective).to(torch.device(device)))
    loss.backward()
    named = {key: value.grad.cpu().double() for key, value in objective.named_parameters() if value.grad is not None}
    return float(loss.detach()), named


def agreement(sizes: Sizes) -> Found:
    """Compare loss and gradients of each layer with those of the CPU in float32."""
    figures: Figures = {}
    faults = []
    for name in METHODS:
        loss, expected = gradients(name, sizes, "float32", "cpu")
        norms = {key: value.norm() for key, value in expected.items()}
        told = [key for key, norm in norms.items() if norm > 1e-4 * max(norms.values())]  # others are rounding alone
        for kind, least in LEAST_COSINE.items():
            if kind == "TF32" and sizes.device == "cpu":
                continue
            other, found = gradients(name, sizes, kind, sizes.device)
            cosine = min(float((expected[key] * found[key]).sum() / norms[key] / found[key].norm()) for key in told)
            figures[f"{name} {kind}: loss, relative difference"] = abs(other - loss) / abs(loss)
            figures[f"{name} {kind}: least cosine of a layer's gradient"] = cosine
            if not cosine >= least:
                faults.append(f"{name} {kind}: a layer's gradient has cosine {cosine:.4f}, below {least}")
    return figures, faults


def seconds_per_step(sizes: Sizes, work: Callable[[], object]) -> float:
    """Return the median time of a step, after two that are not counted."""
    seconds = []
    for number in range(sizes.num_steps + 2):
        wait(sizes.device)
        began = time.perf_counter()
        work()
        wait(sizes.device)
        if number >= 2:
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def training_step(objective: Objective, batch: ClipBatch, device: str) -> Callable[[], None]:
    """Return a bare step: forward, backward, optimiser; in bf16, and without logging."""
    optimizer = torch.optim.SGD(objective.parameters(), lr=1e-4, momentum=0.9)
    objective.log_training = lambda **metrics: None  # type: ignore[method-assign]

    def take() -> None:
        optimizer.zero_grad()
        with precision("bf16", device):
            loss = objective.training_step(batch, 0)
        loss.backward()
        optimizer.step()

    return take


def trainer_seconds(sizes: Sizes, batch: ClipBatch, log_every_n_steps: int) -> float:
    """Return the mean time of a step under the trainer, with the logger and the timer of a run."""
    clock = StepClock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="gpu" if sizes.device == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed",
            max_epochs=1,
            logger=[MetricsCSV(folder)],
            callbacks=[StepTimer(), clock],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            log_every_n_steps=log_every_n_steps,
            default_root_dir=folder,
        )
        objective = sizes.objective()
        objective.setup = lambda stage: None  # it checks the video data module, which is not here
        trainer.fit(objective, datamodule=ClipsInMemory(batch, sizes.num_steps + 2))
        wait(sizes.device)
    return (time.perf_counter() - clock.wall[1]) / sizes.num_steps


def step_time(sizes: Sizes) -> Found:
    """Time a bare step, and `vidssl fit`'s step under the trainer, with logging and without."""
    figures: Figures = {}
    for num_videos in sizes.batches:
        objective = sizes.objective()
        batch = sizes.batch(objective, num_videos)
        bare = seconds_per_step(sizes, training_step(objective, batch, sizes.device))
        del objective
        figures[f"{num_videos} videos: bare loop, videos/s"] = num_videos / bare
        for every, what in ((1, "logging every step"), (50, "logging every 50 steps")):
            figures[f"{num_videos} videos: trainer over bare, {what}"] = trainer_seconds(sizes, batch, every) / bare
    return figures, []


def synchronisation(sizes: Sizes) -> Found:
    """Count what makes the host wait in a step, and how long the GPU waits for the host."""
    need_gpu(sizes)
    objective = sizes.objective()
    take = training_step(objective, sizes.batch(objective, sizes.batches[0]), sizes.device)
    take()
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        take()
    torch.cuda.set_sync_debug_mode("default")
    waits = [warning for warning in found if "synchronizing" in str(warning.message)]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        began = time.perf_counter()
        for _ in range(5):
            take()
        wait(sizes.device)
        wall = time.perf_counter() - began
    busy = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    figures = {"waits of the host in a step": len(waits), "idle share of the GPU": max(0.0, 1 - busy / wall)}
    return figures, [f"the host waits for the GPU {len(waits)} times in a step"] if waits else []


def layouts(sizes: Sizes) -> Found:
    """Time steps with channels-last weights, `cudnn.benchmark` and a compiled backbone."""
    figures: Figures = {}
    for channels_last in (False, True):
        for benchmark in (False, True) if sizes.device == "cuda" else (False,):
            for compiled in (False, True) if sizes.device == "cuda" else (False,):
                torch.backends.cudnn.benchmark = benchmark
                objective = sizes.objective()
                if channels_last:
                    objective.backbone.to(memory_format=torch.channels_last_3d)
                if compiled:
                    objective.backbone.compile()
                batch = sizes.batch(objective, sizes.batches[0])
                seconds = seconds_per_step(sizes, training_step(objective, batch, sizes.device))
                marks = {"channels-last": channels_last, "benchmark": benchmark, "compiled": compiled}
                told = ", ".join(mark for mark, is_on in marks.items() if is_on) or "none of them"
                figures[f"{told}: videos/s"] = sizes.batches[0] / seconds
    return figures, []


def memory(sizes: Sizes) -> Found:
    """Measure the peak memory of a step: methods, frames, widths, with and without activation checkpointing."""
    need_gpu(sizes)
    figures: Figures = {}
    large = [("CVRL", 32, 1), ("CVRL", 16, 4), ("CVRL", 32, 4)]
    cases = [(name, 16, 1, False) for name in METHODS] + [(*case, again) for case in large for again in (False, True)]
    for name, num_frames, width, recomputed in cases:
        mark = ", activation checkpointing" if recomputed else ""
        what = f"{name}, {num_frames} frames, width {width}, 8 videos{mark}: GiB"
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            objective = sizes.objective(name, width=width, recomputed=recomputed)
            training_step(objective, sizes.batch(objective, 8, num_frames), sizes.device)()
            figures[what] = torch.cuda.max_memory_allocated() / 2**30
        except torch.OutOfMemoryError:
            figures[what] = "out of memory"
        objective = None
    return figures, []


def transfer(sizes: Sizes) -> Found:
    """Measure the copy of a batch to the device, and what of it hides behind computing."""
    need_gpu(sizes)
    views = [torch.zeros(32, 3, 16, 224, 224, dtype=torch.uint8) for _ in range(2)]
    rows = torch.arange(32)
    plain = ClipBatch(views, label=rows, index=rows)
    pinned = plain.pin_memory()
    device = torch.device(sizes.device)
    size = sum(view.numel() for view in views) / 2**30
    figures: Figures = {}
    for what, batch in (("pageable", plain), ("pinned", pinned)):
        figures[f"{what}: GiB/s"] = size / seconds_per_step(sizes, lambda batch=batch: batch.to(device))
    square = torch.randn(8192, 8192, device=device)
    compute = seconds_per_step(sizes, lambda: square @ square)
    stream = torch.cuda.Stream()

    def together() -> None:
        with torch.cuda.stream(stream):
            pinned.to(device, non_blocking=True)
        square @ square

    copy, both = size / figures["pinned: GiB/s"], seconds_per_step(sizes, together)
    figures["share of the copy that hides behind computing"] = max(0.0, min(1.0, (compute + copy - both) / copy))
    return figures, []
