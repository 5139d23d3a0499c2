"""Checks whether a checkpoint fits the model before the trainer loads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from vidssl.backbones.checkpoints import Checkpoint, check_averaged, read_checkpoint
from vidssl.data.training_history import TrainedSplit, training_history
from vidssl.errors import VidsslError

LISTED = 3
NEEDED_TO_CONTINUE = ("optimizer_states", "loops")


def history_of_weights(model: nn.Module) -> tuple[TrainedSplit, ...]:
    """Return the videos that the weights which a model starts from were trained on, as far as their file knows.

    Args:
        model: an objective; one without a `backbone_spec` starts from no file.
    """
    spec = getattr(model, "backbone_spec", None)
    weights = None if spec is None else spec.weights
    if weights is None:
        return ()
    content = read_checkpoint(weights)
    return training_history(content.values, content.path) or ()


def is_whole_checkpoint(file: Path) -> bool:
    """Whether a file can be continued from: it is as it was written, and holds the state of the optimiser."""
    try:
        return read_checkpoint(file).values.keys() >= set(NEEDED_TO_CONTINUE)
    except VidsslError:
        return False


def check_checkpoint(file: str, model: nn.Module, verb: str) -> None:
    """Compare the tensors of a checkpoint with those of the model.

    Args:
        file: the checkpoint.
        model: the objective that would load it.
        verb: the verb that was typed; ``fit`` needs the state of the optimiser too.

    Raises:
        VidsslError: the file cannot be read, is not a checkpoint of a run, comes from another architecture, or holds an
            average of weights that was never updated; the message names the file and what differs.
    """
    checkpoint = read_checkpoint(file)
    trained = checkpoint.values.get("hyper_parameters")
    needed = NEEDED_TO_CONTINUE if verb == "fit" else ("pytorch-lightning_version",)
    if not isinstance(trained, dict) or any(name not in checkpoint.values for name in needed):
        raise VidsslError(
            f"ckpt_path: {file} holds weights, but is not a checkpoint of a run of vidssl fit. To start from its "
            "weights give it as model.init_args.backbone.weights instead."
        )
    if verb != "fit":  # which continues with the weights beside the average
        check_averaged(checkpoint)
    difference = _difference(checkpoint, model)
    if difference:
        raise VidsslError(
            f"ckpt_path: {file} is of another architecture ({_described(trained)}, here "
            f"{_described(getattr(model, 'hparams', {}))}): {difference}. Use the config.yaml of its run, or, to start "
            "from its backbone alone, give it as model.init_args.backbone.weights."
        )


def _described(hyper_parameters: Mapping[str, Any]) -> str:
    """Objective and backbone: ``CVRL of small {'width': 2}``."""
    objective, backbone = (hyper_parameters.get(key, "?") for key in ("objective", "backbone"))
    options = hyper_parameters.get("backbone_options") or ""
    return f"{objective} of {backbone} {options}".strip()


def _difference(checkpoint: Checkpoint, model: nn.Module) -> str:
    here = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    there = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
    reshaped = [
        f"{name} is {there[name]}, not {here[name]}" for name in here if there.get(name, here[name]) != here[name]
    ]
    found = (
        ("tensors of another shape", reshaped),
        ("missing in the file", [name for name in here if name not in there]),
        ("only in the file", [name for name in there if name not in here]),
    )
    return "; ".join(f"{len(names)} {what} ({_first(names)})" for what, names in found if names)


def _first(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
