"""Counts the steps of a training, with any number of optimisers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pytorch_lightning import Trainer


def steps_done(trainer: Trainer) -> int:
    """Return the steps of a training so far: batches, or groups of accumulated ones, after which weights changed.

    That is ``trainer.global_step``, which counts the steps of each optimiser, where there is one of them. A method that
    steps several by itself (``automatic_optimization = False``) takes one step per batch.
    """
    module = trainer.lightning_module
    if module is None or module.automatic_optimization:
        return trainer.global_step
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.total  # annotated as something more general
    return int(progress.processed)


def share_done(trainer: Trainer) -> float:
    """Return the share of a training that is done, 0 to below 1 while it runs; 0 where it has no end."""
    total = float(trainer.estimated_stepping_batches)
    if trainer.lightning_module.automatic_optimization:
        return trainer.global_step / total
    by_limit = trainer.global_step / trainer.max_steps if trainer.max_steps > 0 else 0.0  # it counts every optimiser
    return max(by_limit, steps_done(trainer) / total if math.isfinite(total) else 0.0)


def is_after(values: Mapping[str, Any], steps: int) -> bool:
    """Whether a checkpoint was written after so many steps, as `steps_done` counts them.

    Args:
        values: of the checkpoint, as Lightning writes it.
        steps: what `steps_done` was.
    """
    batches = values.get("loops", {}).get("fit_loop", {}).get("epoch_loop.batch_progress", {}).get("total", {})
    several = len(values.get("optimizer_states", ())) > 1
    return bool((batches.get("processed") if several else values.get("global_step")) == steps)
