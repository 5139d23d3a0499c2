"""Reading checkpoint files: tensors and plain values only, nothing that runs code."""

from __future__ import annotations

import argparse  # its Namespace lies in other people's checkpoints
import json
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vidssl.backbones.pretrained import described, weights_file
from vidssl.errors import VidsslError
from vidssl.storage.links import absence

# Where training codes put the weights: Lightning, PyTorchVideo and SlowFast, MCL and MoCo forks, and others.
_STATE_KEYS = ("state_dict", "model_state", "model_state_dict", "model", "module")
CHECKSUM = "vidssl_checksum"
"""Where files of ``vidssl export`` keep the checksum of all else."""
# What torch raises for files that make no sense, beside errors of unpickling and of reading.
_TORCH_ERRORS = (RuntimeError, LookupError, TypeError, AttributeError, ValueError, AssertionError)


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        path: the file.
        tensors: name to tensor, on the CPU.
        values: the other entries of a checkpoint (``epoch``, ``hyper_parameters``, ...), or the metadata of a
            safetensors file (text to text).
    """

    path: Path
    tensors: dict[str, Tensor]
    values: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(source: str | Path) -> Checkpoint:
    """Read a Lightning checkpoint, a bare state dict (``.pt``, ``.pth``) or a safetensors file.

    Args:
        source: the file, or the name of a network that comes with vidssl (``vidssl list pretrained``).

    Raises:
        VidsslError: the file is missing, a folder, damaged or not a checkpoint, holds no tensors, or would have to be
            unpickled.
    """
    path = Path(source)
    if not path.exists() and str(source) in described():
        path = weights_file(str(source))
    if path.is_dir():
        raise VidsslError(f"{path} is a folder, not a checkpoint file; name a file inside it.")
    if not path.is_file():
        raise VidsslError(f"There is no checkpoint {path}: {absence(path)}.")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def averaged_updates(content: Checkpoint) -> int | None:
    """Return how often the average that a checkpoint holds in place of the trained weights was updated, or None.

    Lightning's `WeightAveraging` keeps the trained ones beside it, under ``current_model_state``.
    """
    state = content.values.get("averaging_state")
    return int(state["n_averaged"]) if isinstance(state, Mapping) and "n_averaged" in state else None


def check_averaged(content: Checkpoint) -> None:
    """Refuse to measure or to hand on an average of weights that training never reached.

    Raises:
        VidsslError: the average was never updated, so that it is a copy of the weights at the start.
    """
    if averaged_updates(content) == 0:
        steps = content.values.get("global_step", "some")
        raise VidsslError(
            f"{content.path} holds an average of the weights that had not been updated after {steps} steps: it is a "
            "copy of the weights at the start, not of the trained ones. Take a later checkpoint, or let the averaging "
            "begin earlier (update_starting_at_step or update_starting_at_epoch of EMAWeightAveraging)."
        )


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            strings: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise VidsslError(f"Cannot read {path} as safetensors: {error}. Is it complete?") from error
    if CHECKSUM in strings and strings[CHECKSUM] != checksum_of(tensors, strings):
        raise VidsslError(f"{path} is damaged: it has changed since it was written. Copy or make it again.")
    return Checkpoint(path, tensors, strings)


def checksum_of(tensors: Mapping[str, Tensor], strings: Mapping[str, str]) -> str:
    """Return the CRC-32 of tensors, and of strings except those that safetensors or this function adds."""
    facts = {key: strings[key] for key in sorted(strings) if key not in (CHECKSUM, "format")}
    checksum = zlib.crc32(json.dumps(facts).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        checksum = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), checksum)
        checksum = zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"


def _check_members(path: Path) -> None:
    """Compare what a file of torch holds with its checksums, which torch itself does not."""
    if not zipfile.is_zipfile(path):
        return  # written by torch 1.5 or older, or cut short: torch has the words for it
    try:
        with zipfile.ZipFile(path) as archive:
            has_checksums = any(member.CRC for member in archive.infolist())  # torch can be told to write none
            damaged = archive.testzip() if has_checksums else None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError, OSError) as error:
        raise VidsslError(f"{path} is damaged ({error or type(error).__name__}). Copy or make it again.") from error
    if damaged is not None:
        what = f"its part {damaged} has changed since it was written"
        raise VidsslError(f"{path} is damaged: {what}. Copy or make it again.")


def _read_torch(path: Path) -> Checkpoint:
    _check_members(path)
    try:
        # Training scripts keep their arguments beside the weights (MCL's does); a namespace holds values, no code.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise VidsslError(_unpickling_message(path)) from error
    except (*_TORCH_ERRORS, EOFError, OSError) as error:
        reason = f"{type(error).__name__} {str(error).split('.')[0]}".strip()
        raise VidsslError(f"{path} is not a checkpoint that torch can read, or it is cut short ({reason}).") from error
    if not isinstance(content, Mapping):
        raise VidsslError(f"{path} holds a {type(content).__name__}, not a state dict: save model.state_dict().")
    for key in _STATE_KEYS:
        tensors = _tensors(content.get(key))
        if tensors:
            return Checkpoint(path, tensors, {name: value for name, value in content.items() if name != key})
    tensors = _tensors(content)
    if not tensors:
        raise VidsslError(f"{path} holds no tensors under {', '.join(_STATE_KEYS)} nor at its top: {_keys(content)}.")
    return Checkpoint(path, tensors, {name: value for name, value in content.items() if name not in tensors})


def _tensors(value: Any) -> dict[str, Tensor]:
    if not isinstance(value, Mapping):
        return {}
    return {name: entry for name, entry in value.items() if isinstance(name, str) and isinstance(entry, Tensor)}


def _keys(content: Mapping[Any, Any]) -> str:
    return f"it has the keys {', '.join(map(str, list(content)[:8]))}" if content else "it is empty"


def _unpickling_message(path: Path) -> str:
    """Tell a pickle of Python objects from a file that is no checkpoint at all."""
    if not zipfile.is_zipfile(path):
        return f"{path} is not a checkpoint that torch can read without unpickling Python objects, or no checkpoint."
    classes = ", ".join(sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))[:4])
    return (
        f"{path} holds Python objects ({classes}), and reading those can run code hidden in it, so it is not read. "
        "If you trust it, load it yourself with torch.load(..., weights_only=False) and save its state dict alone."
    )
