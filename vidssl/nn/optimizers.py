"""Optimisers by name, with warm-up and decay, and which parameters decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from vidssl.errors import VidsslError, nearest
from vidssl.nn.lars import LARS

IMPLEMENTATIONS = ("foreach", "fused")


def _sgd(groups: list[dict[str, Any]], spec: OptimizerSpec) -> Optimizer:
    return _implemented(torch.optim.SGD(groups, spec.learning_rate, spec.momentum, **spec.implementation_flags))


def _lars(groups: list[dict[str, Any]], spec: OptimizerSpec) -> Optimizer:
    return LARS(groups, lr=spec.learning_rate, momentum=spec.momentum)


def _adamw(groups: list[dict[str, Any]], spec: OptimizerSpec) -> Optimizer:
    return _implemented(torch.optim.AdamW(groups, spec.learning_rate, **spec.implementation_flags))


OPTIMIZERS = {"sgd": _sgd, "lars": _lars, "adamw": _adamw}
"""Name in a configuration -> optimiser of parameter groups and an `OptimizerSpec`."""


def _implemented(optimizer: Optimizer) -> Optimizer:
    """Let an optimiser keep its implementation when it loads a state; torch takes that of the checkpoint."""
    optimizer.register_load_state_dict_pre_hook(_with_own_implementation)
    return optimizer


def _with_own_implementation(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    own = {name: optimizer.param_groups[0][name] for name in IMPLEMENTATIONS}
    return {**state, "param_groups": [{**group, **own} for group in state["param_groups"]]}


@dataclass(frozen=True)
class OptimizerSpec:
    """How it learns: linear warm-up, then cosine decay to 0, stepped every optimiser step.

    The defaults are CVRL's for a batch of 1024 (section 4.1); the learning rate scales linearly with the batch.

    Attributes:
        name: ``sgd``, ``lars`` (SGD for large batches) or ``adamw``.
        learning_rate: the peak, after the warm-up.
        momentum: of SGD and LARS (no Nesterov); AdamW keeps its own betas.
        weight_decay: on kernels only, not on biases and normalisation.
        warmup_epochs: length of the linear warm-up; a fraction of an epoch will do.
        implementation: of SGD and AdamW in torch: ``foreach`` (a few kernels for all parameters) or ``fused`` (one);
            None leaves it to torch, which takes ``foreach`` on GPUs. Results are equal up to rounding. LARS is always
            ``foreach``.

    Raises:
        VidsslError: an unknown name or a number out of its range; the message names the key.
    """

    name: str = "sgd"
    learning_rate: float = 0.32
    momentum: float = 0.9
    weight_decay: float = 1e-6
    warmup_epochs: float = 5.0
    implementation: str | None = None

    def __post_init__(self) -> None:
        if self.name not in OPTIMIZERS:
            hint = f"{nearest(self.name, OPTIMIZERS)} Known: {', '.join(OPTIMIZERS)}."
            raise VidsslError(f"model.optimizer.name: unknown optimiser {self.name!r}.{hint}")
        if not self.learning_rate > 0:
            raise VidsslError(f"model.optimizer.learning_rate must be above 0, got {self.learning_rate}.")
        for name in ("momentum", "weight_decay", "warmup_epochs"):
            if not getattr(self, name) >= 0:
                raise VidsslError(f"model.optimizer.{name} must be 0 or more, got {getattr(self, name)}.")
        if self.implementation not in (None, *IMPLEMENTATIONS):
            hint = f"{nearest(self.implementation, IMPLEMENTATIONS)} Known: {', '.join(IMPLEMENTATIONS)}, null."
            raise VidsslError(f"model.optimizer.implementation: unknown value {self.implementation!r}.{hint}")
        if self.implementation is not None and self.name == "lars":
            raise VidsslError(
                "model.optimizer.implementation: lars has only one; leave the key out, or set it to null."
            )

    @property
    def implementation_flags(self) -> dict[str, Any]:
        """What torch's optimisers call `implementation`."""
        return {} if self.implementation is None else {self.implementation: True}


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split trainable parameters into kernels, which decay, and biases and normalisation, which do not."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
