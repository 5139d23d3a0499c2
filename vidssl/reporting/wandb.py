"""Weights & Biases: one run, offline unless there is an account, continued when training continues."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from vidssl.errors import VidsslError, nearest

MODES = ("auto", "online", "offline", "disabled")
RUN_ID_FILE = "wandb-run-id.txt"


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
    return WandbLogger(save_dir=str(run_dir), experiment=_start(spec, run_dir))


@rank_zero_only
def _start(spec: WandbSpec, run_dir: Path):
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
        id=id_file.read_text().strip() if id_file.exists() else None,
        resume="allow",
    )
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    id_file.write_text(f"{run.id}\n")
    return run


def has_api_key() -> bool:
    """Whether wandb finds credentials: a key in the environment, or one that ``wandb login`` stored."""
    import wandb

    return os.environ.get("WANDB_MODE") != "offline" and bool(wandb.login(prompt=False))
