"""Weights & Biases: one run, offline unless there is an account, continued when training continues."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from vidssl.errors import VidsslError, nearest
from vidssl.runs.metrics_file import read_metrics
from vidssl.runs.run_directory import CONFIG_FILE

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

MODES = ("auto", "online", "offline", "disabled")
RUN_ID_FILE = "wandb-run-id.txt"
STEP_AXIS = "trainer/global_step"  # what Lightning's logger adds to everything it logs
# Prefix of a metric's name -> which of its values wandb's tables show beside the last one.
BEST = {"eval/": "max", "train/loss": "min"}


@dataclass(frozen=True)
class WandbSpec:
    """The wandb run.

    Attributes:
        mode: ``auto`` is online where an API key is found and offline otherwise; ``online``, ``offline``, ``disabled``.
        project: wandb project.
        entity: wandb team or user; None takes the account's default.
        group: runs that belong together, such as the seeds of one configuration.
        job_type: what kind of run it is, such as ``pretrain``.
        tags: free labels.
    """

    mode: str = "auto"
    project: str = "vidssl"
    entity: str | None = None
    group: str | None = None
    job_type: str = "pretrain"
    tags: list[str] = field(default_factory=list)


def build_wandb_logger(spec: WandbSpec, run_dir: Path) -> WandbLogger | None:
    """Build the logger of a run, or None where wandb is disabled. Only the first process starts a wandb run.

    The run's id is kept in its folder, so that training on continues the same wandb run.

    Raises:
        VidsslError: an unknown mode.
    """
    if spec.mode not in MODES:
        raise VidsslError(
            f"wandb.mode: unknown mode {spec.mode!r}.{nearest(spec.mode, MODES)} Known: {', '.join(MODES)}."
        )
    if spec.mode == "disabled":
        return None
    # what a start that failed left behind is no run: its folder has no configuration yet
    continues = (run_dir / RUN_ID_FILE).exists() and (run_dir / CONFIG_FILE).exists()
    return RunLogger(save_dir=str(run_dir), experiment=_start(spec, run_dir, continues), continues=continues)


class RunLogger(WandbLogger):
    """Lightning's logger, with one step axis and the best values of a run, however often it was interrupted.

    Every metric is defined by its whole name before it is first logged: which of two patterns that both fit wins is
    not defined.

    Args:
        save_dir: the run's folder.
        experiment: the wandb run, started; None on all but the first process.
        continues: whether the run in this folder has logged before.
    """

    def __init__(self, *, save_dir: str, experiment: Any, continues: bool) -> None:
        super().__init__(save_dir=save_dir, experiment=experiment)
        self._run_dir = save_dir
        self._continues = continues
        self._defined: set[str] = set()
        self._earlier: dict[str, float] | None = None

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log values at an optimiser step."""
        run = self.experiment
        earlier = self._best_so_far(run)
        self._define(run, metrics)
        super().log_metrics(metrics, step)
        # wandb reckons best values from what this process logged; offline it does not know of what came before
        for name, value in metrics.items():
            if name in earlier:
                earlier[name] = _better_of(name)(earlier[name], float(value))
                run.summary[name] = {_better_name(name): earlier[name], "last": float(value)}

    def _best_so_far(self, run: Any) -> dict[str, float]:
        """The best values of what an earlier process logged, brought up to date by this one."""
        if self._earlier is None:
            run.define_metric(STEP_AXIS)
            self._earlier = _best_values(read_metrics(self._run_dir)) if self._continues else {}
        return self._earlier

    def _define(self, run: Any, metrics: Mapping[str, Any]) -> None:
        for name in metrics.keys() - self._defined:
            best = _better_name(name)
            run.define_metric(name, step_metric=STEP_AXIS, step_sync=True, summary=f"{best},last" if best else None)
        self._defined |= metrics.keys()


def _better_name(name: str) -> str | None:
    """Whether the best value of a metric is its ``max`` or its ``min``; None for one that has no best."""
    return next((best for prefix, best in BEST.items() if name.startswith(prefix)), None)


def _better_of(name: str) -> Callable[[float, float], float]:
    return max if _better_name(name) == "max" else min


def _best_values(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    best: dict[str, float] = {}
    for row in rows:
        for name in filter(_better_name, row):
            best[name] = _better_of(name)(best.get(name, row[name]), row[name])
    return best


@rank_zero_only
def _start(spec: WandbSpec, run_dir: Path, continues: bool) -> Run:
    # wandb's own greeting and file list say nothing that the summary does not
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    offline = spec.mode == "offline" or (spec.mode == "auto" and not has_api_key())
    id_file = run_dir / RUN_ID_FILE
    run = wandb.init(
        mode="offline" if offline else "online",
        name=run_dir.name,
        dir=run_dir,
        project=spec.project,
        entity=spec.entity,
        group=spec.group,
        job_type=spec.job_type,
        tags=spec.tags,
        id=id_file.read_text().strip() if continues else None,
        resume="allow",
    )
    id_file.write_text(f"{run.id}\n")
    return run


def has_api_key() -> bool:
    """Whether wandb finds credentials: a key in the environment, or one that ``wandb login`` stored."""
    import wandb

    return os.environ.get("WANDB_MODE") != "offline" and bool(wandb.login(prompt=False))
