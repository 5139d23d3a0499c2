"""The network that is measured: frozen, from our checkpoints, our exports, or anybody's weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from vidssl.backbones import build_backbone
from vidssl.backbones.checkpoints import Checkpoint, averaged_updates, check_averaged, read_checkpoint
from vidssl.backbones.contract import Backbone
from vidssl.backbones.weights import LoadReport, compare, load_weights, shapes_of
from vidssl.data.training_history import TrainedSplit, training_history
from vidssl.errors import VidsslError
from vidssl.nn.clip_input import ClipInput, frozen_features
from vidssl.objectives.base import BackboneSpec
from vidssl.types import ClipBatch

OURS = "backbone."
"""Prefix, in our checkpoints, of the network that learns; a momentum encoder has another."""


class FrozenEncoder(LightningModule):
    """A backbone that computes features and never changes: evaluation mode, no gradients.

    Args:
        backbone: the network.
        pixel_mean: see `BackboneSpec`.
        pixel_std: see `BackboneSpec`.
    """

    def __init__(self, backbone: Backbone, pixel_mean: Sequence[float], pixel_std: Sequence[float]) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.clip_input = ClipInput(pixel_mean, pixel_std)
        self.eval()

    def train(self, mode: bool = True) -> FrozenEncoder:
        """Stay in evaluation mode, whoever asks."""
        return super().train(False)

    def forward(self, views: list[Tensor]) -> Tensor:
        """Return features float (V * B, D) of uint8 views, each B x 3 x T x H x W."""
        return self.backbone(self.clip_input(views))

    def predict_step(self, batch: ClipBatch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Return `features` float32 (B, V, D), `label` and `index` int64 (B,)."""
        return frozen_features(self.backbone, self.clip_input, batch)

    validation_step = predict_step
    test_step = predict_step


@dataclass(frozen=True)
class LoadedEncoder:
    """A network and where it comes from.

    Attributes:
        encoder: the network.
        provenance: plain values: ``file`` (its name) and ``sha256`` of its contents (of the weights, for an untrained
            network), ``kind`` ("checkpoint", "export", "weights" or "untrained"), ``objective``, ``epoch`` and
            ``global_step`` (None where unknown), ``backbone``, ``backbone_options``, ``pixel_mean``, ``pixel_std`` and
            ``encoder``: which of the file's networks it is.
        trained_on: the videos that it was trained on; None where the file does not say.
        report: what matched, for other people's weights; else None.
    """

    encoder: FrozenEncoder
    provenance: dict[str, Any]
    trained_on: tuple[TrainedSplit, ...] | None = None
    report: LoadReport | None = None


@dataclass(frozen=True)
class OutsideWeights:
    """What a file of other people's weights does not say; our own files do, and the backbone must then agree.

    Attributes:
        backbone: registered name; None leaves it to the file.
        options: keyword arguments of that backbone.
        pixel_mean: with which the network was trained, see `BackboneSpec`.
        pixel_std: likewise.
        seed: of the weights of an untrained network.
    """

    backbone: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    pixel_mean: Sequence[float] = BackboneSpec.pixel_mean
    pixel_std: Sequence[float] = BackboneSpec.pixel_std
    seed: int = 0


def load_encoder(source: str | Path | None, outside: OutsideWeights = OutsideWeights()) -> LoadedEncoder:
    """Build the network that a file holds.

    Of a method with a momentum encoder the network that learns is taken, as in the papers' evaluations; the
    provenance says so.

    Args:
        source: a checkpoint of ``vidssl fit``, a file of ``vidssl export``, or any file that `load_weights` reads; None
            for an untrained network (or one whose options name weights, such as torchvision's).
        outside: the backbone and its pixels, where the file does not say.

    Returns:
        The network, in evaluation mode and without gradients, and where it comes from.

    Raises:
        VidsslError: the file cannot be read or does not fit, names another backbone than `outside`, or neither names
            one.
    """
    if source is None:
        return _untrained(outside)
    content = read_checkpoint(source)
    check_averaged(content)
    values = content.values.get("hyper_parameters")
    if isinstance(values, Mapping) and isinstance(values.get("backbone"), str):
        return _ours(content, _Described.of_checkpoint(content, values), outside)
    if "backbone" in content.values and "backbone_options" in content.values:
        return _ours(content, _Described.of_export(content.values), outside)
    return _theirs(content, outside)


@dataclass(frozen=True)
class _Described:
    """What one of our files says of itself."""

    kind: str
    prefix: str
    backbone: str
    options: dict[str, Any]
    pixel_mean: Sequence[float]
    pixel_std: Sequence[float]
    objective: str | None
    epoch: int | None
    global_step: int | None

    @classmethod
    def of_checkpoint(cls, content: Checkpoint, values: Mapping[str, Any]) -> _Described:
        return cls(
            "checkpoint",
            OURS,
            values["backbone"],
            dict(values.get("backbone_options") or {}),
            values.get("pixel_mean", BackboneSpec.pixel_mean),
            values.get("pixel_std", BackboneSpec.pixel_std),
            values.get("objective"),
            content.values.get("epoch"),
            content.values.get("global_step"),
        )

    @classmethod
    def of_export(cls, values: Mapping[str, str]) -> _Described:
        def read(key: str, missing: Any = None) -> Any:
            return json.loads(values[key]) if values.get(key) else missing

        return cls(
            "export",
            "",
            values["backbone"],
            read("backbone_options", {}),
            read("pixel_mean", BackboneSpec.pixel_mean),
            read("pixel_std", BackboneSpec.pixel_std),
            values.get("objective"),
            read("epoch"),
            read("global_step"),
        )


def _ours(content: Checkpoint, described: _Described, outside: OutsideWeights) -> LoadedEncoder:
    asked = outside.backbone, dict(outside.options)
    if outside.backbone is not None and asked != (described.backbone, described.options):
        raise VidsslError(
            f"{content.path} holds {described.backbone} with the options {described.options}, not {asked[0]} with "
            f"{asked[1]}. Leave the backbone out: the file says it itself."
        )
    # weights to start from would be downloaded only to be overwritten
    options = {key: value for key, value in described.options.items() if key != "weights"}
    backbone = build_backbone(described.backbone, **options)
    report = compare(shapes_of(backbone.state_dict()), content.tensors, described.prefix, str(content.path))
    if report.missing or report.mismatched:
        raise VidsslError(
            f"The file does not hold a complete {described.backbone} with the options {options}:\n{report}"
        )
    cut = len(described.prefix)
    own = {name[cut:]: tensor for name, tensor in content.tensors.items() if name.startswith(described.prefix)}
    backbone.load_state_dict(own, strict=False)  # older files may lack BatchNorm's counters
    provenance = {
        "file": content.path.name,
        "sha256": sha256_of(content.path),
        "kind": described.kind,
        "objective": described.objective,
        "epoch": described.epoch,
        "global_step": described.global_step,
        "backbone": described.backbone,
        "backbone_options": described.options,
        "pixel_mean": list(described.pixel_mean),
        "pixel_std": list(described.pixel_std),
        "encoder": _which(content),
    }
    encoder = FrozenEncoder(backbone, described.pixel_mean, described.pixel_std)
    return LoadedEncoder(encoder, provenance, training_history(content.values, content.path))


def _which(content: Checkpoint) -> str:
    updates = averaged_updates(content)
    if updates is None:
        return "the network that learns (not its moving average, where there is one)"
    return f"an average of the weights over {updates} updates, which the run was set to take"


def _theirs(content: Checkpoint, outside: OutsideWeights) -> LoadedEncoder:
    if outside.backbone is None:
        raise VidsslError(
            f"{content.path} does not say which backbone it holds: it was written by neither vidssl fit nor vidssl "
            "export. Name the backbone (vidssl list backbones)."
        )
    backbone = build_backbone(outside.backbone, **outside.options)
    report = load_weights(backbone, content.path)
    provenance = {
        "file": content.path.name,
        "sha256": sha256_of(content.path),
        "kind": "weights",
        **_outside_provenance(outside),
        "encoder": f"names with the prefix {report.prefix!r}" if report.prefix else "all names",
    }
    encoder = FrozenEncoder(backbone, outside.pixel_mean, outside.pixel_std)
    return LoadedEncoder(encoder, provenance, report=report)


def _untrained(outside: OutsideWeights) -> LoadedEncoder:
    if outside.backbone is None:
        raise VidsslError("Without a checkpoint an untrained network is measured, and needs a backbone's name.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(outside.seed)
        backbone = build_backbone(outside.backbone, **outside.options)
    provenance = {
        "file": None,
        "sha256": sha256_of_weights(backbone),
        "kind": "untrained",
        **_outside_provenance(outside),
        "encoder": f"as built, seed {outside.seed}",
    }
    trained_on = None if outside.options.get("weights") else ()
    return LoadedEncoder(FrozenEncoder(backbone, outside.pixel_mean, outside.pixel_std), provenance, trained_on)


def _outside_provenance(outside: OutsideWeights) -> dict[str, Any]:
    return {
        "objective": None,
        "epoch": None,
        "global_step": None,
        "backbone": outside.backbone,
        "backbone_options": dict(outside.options),
        "pixel_mean": list(outside.pixel_mean),
        "pixel_std": list(outside.pixel_std),
    }


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's contents, 64 hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sha256_of_weights(module: nn.Module) -> str:
    """Return the SHA-256 of the names and values of a module's state, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
