"""``vidssl export``: writes the backbone of a run as one safetensors file, with its provenance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

import vidssl
from vidssl.backbones import build_backbone
from vidssl.backbones.checkpoints import CHECKSUM, Checkpoint, check_averaged, checksum_of, read_checkpoint
from vidssl.backbones.contract import Backbone
from vidssl.backbones.weights import compare, shapes_of
from vidssl.data.training_history import KEY, history_as_text, training_history
from vidssl.errors import VidsslError
from vidssl.storage.files import replacing

_PREFIX = "backbone."
# Copied from the checkpoint's hyper-parameters where they are there: a user of the file needs the pixel statistics,
# a reader of results the rest.
_OPTIONAL_VALUES = ("objective", "pixel_mean", "pixel_std", "catalog_digest", "train_split")


def export_backbone(
    checkpoint: str | Path,
    output: str | Path,
    *,
    kernel_dtype: torch.dtype = torch.float32,
    notes: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Write the backbone of a vidssl checkpoint, without heads and optimiser, and its provenance.

    The file appears complete or not at all.

    Args:
        checkpoint: a checkpoint written by ``vidssl fit``.
        output: the file to write, ``*.safetensors``; an older one is replaced.
        kernel_dtype: of tensors with more than one dimension; float16 halves the file. The others stay as they are.
        notes: more for the header, such as the configuration.

    Returns:
        The provenance written into the header, text to text: ``backbone``, ``backbone_options`` (JSON),
        ``vidssl_version``, ``checkpoint`` (file name), ``checkpoint_sha256``, ``epoch`` and ``global_step``, and where
        the checkpoint has them ``objective``, ``pixel_mean``, ``pixel_std``, ``catalog_digest``, ``train_split`` and
        ``trained_on`` (JSON; keys of the training videos, so that evaluation on them can be refused).

    Raises:
        VidsslError: the checkpoint cannot be read, is not ours or is incomplete, or the output cannot be written.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    _check_output(checkpoint, output)
    content = read_checkpoint(checkpoint)
    check_averaged(content)
    name, options = _backbone_of(content)
    own = build_backbone(name, **_without_weights(options)).state_dict()
    report = compare(shapes_of(own), content.tensors, _PREFIX, str(checkpoint))
    if report.missing or report.mismatched:
        raise VidsslError(f"The checkpoint does not hold a complete {name} with the options {options}:\n{report}")
    found = {key: content.tensors.get(_PREFIX + key, initial) for key, initial in own.items()}
    tensors = {key: tensor.clone(memory_format=torch.contiguous_format) for key, tensor in found.items()}
    tensors = {key: t.to(kernel_dtype) if t.ndim > 1 else t for key, t in tensors.items()}
    provenance = {**_provenance(content, name, options), **(notes or {})}
    provenance[CHECKSUM] = checksum_of(tensors, provenance)
    _write(tensors, provenance, output)
    return provenance


def load_exported(path: str | Path) -> Backbone:
    """Rebuild an exported backbone from its file alone.

    Args:
        path: what ``vidssl export`` wrote.

    Returns:
        The network with its weights, in evaluation mode.

    Raises:
        VidsslError: the file cannot be read, was not written by `export_backbone`, or does not fit the backbone of that
            name in this version.
    """
    content = read_checkpoint(path)
    if "backbone" not in content.values or "backbone_options" not in content.values:
        raise VidsslError(
            f"{path} does not say which backbone it holds, so it was not written by vidssl export: build the backbone "
            "with build_backbone and load the file with load_weights."
        )
    name, options = content.values["backbone"], json.loads(content.values["backbone_options"])
    backbone = build_backbone(name, **_without_weights(options))
    report = compare(shapes_of(backbone.state_dict()), content.tensors, "", str(path))
    if report.missing or report.mismatched:
        raise VidsslError(f"The file does not fit {name} of vidssl {vidssl.__version__}:\n{report}")
    backbone.load_state_dict(content.tensors, strict=False)
    return backbone.eval()


def _check_output(checkpoint: Path, output: Path) -> None:
    if output.suffix != ".safetensors":
        raise VidsslError(f"The output must end in .safetensors, not {output.name!r}.")
    if output.resolve() == checkpoint.resolve():
        raise VidsslError(f"The output {output} is the checkpoint itself: choose another name.")


def _backbone_of(content: Checkpoint) -> tuple[str, dict[str, Any]]:
    values = content.values.get("hyper_parameters", {})
    name, options = values.get("backbone"), values.get("backbone_options", {})
    if not isinstance(name, str):
        raise VidsslError(
            f"{content.path} does not name its backbone (hyper_parameters.backbone): it is not a checkpoint of "
            "vidssl fit. load_weights reads other people's files."
        )
    return name, dict(options)


def _without_weights(options: dict[str, Any]) -> dict[str, Any]:
    # Weights to start from would be downloaded only to be overwritten.
    return {key: value for key, value in options.items() if key != "weights"}


def _provenance(content: Checkpoint, name: str, options: dict[str, Any]) -> dict[str, str]:
    values = content.values.get("hyper_parameters", {})
    history = training_history(content.values, content.path)
    with content.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "backbone": name,
        "backbone_options": json.dumps(options),
        "vidssl_version": vidssl.__version__,
        "checkpoint": content.path.name,
        "checkpoint_sha256": digest,
        "epoch": str(content.values.get("epoch", "")),
        "global_step": str(content.values.get("global_step", "")),
        **{key: _text(values[key]) for key in _OPTIONAL_VALUES if values.get(key) is not None},
        **({} if history is None else {KEY: history_as_text(history)}),
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _write(tensors: dict[str, torch.Tensor], provenance: dict[str, str], output: Path) -> None:
    try:
        with replacing(output) as passing:
            save_file(tensors, passing, metadata={"format": "pt", **provenance})
    except (OSError, SafetensorError) as error:
        raise VidsslError(f"Cannot write {output}: {error}. Is the folder writable and the disk not full?") from error
