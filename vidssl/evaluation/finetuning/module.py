"""Fine-tuning: a pre-trained backbone and a linear layer trained together, with labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from vidssl.backbones.checkpoints import read_checkpoint
from vidssl.data.datamodule import VideoDataModule
from vidssl.data.training_history import TrainedSplit, training_history
from vidssl.errors import VidsslError
from vidssl.evaluation.features.encoder import load_encoder
from vidssl.evaluation.finetuning.evaluation import FineTuningEvaluation
from vidssl.evaluation.finetuning.recipe import FineTuningRecipe, described_augmentation
from vidssl.evaluation.measuring import data_of
from vidssl.evaluation.protocols.leakage import check_unseen
from vidssl.evaluation.protocols.named import PROTOCOLS, get_protocol
from vidssl.nn.clip_input import frozen_features
from vidssl.objectives.base import BackboneSpec, Objective, OptimizerSpec
from vidssl.types import ClipBatch

AS_WEIGHTS = "as_weights"
"""A backbone name: the network that the file of weights says it holds."""

HEAD_DEVIATION = 0.01  # of the new layer's weights, as in SlowFast and PyTorchVideo


class FineTuning(Objective):
    """Continue to train a backbone with labels, and classify videos with it.

    A linear layer on the backbone's features, with dropout before it, is trained together with the backbone on a clip
    of every video. In evaluation the softmax scores of all clips and crops of a video are averaged. Its number is
    logged as ``eval/<data set>/<protocol>/top1`` and recorded in the run's ``evaluations.jsonl``, with everything that
    differs from the protocol; no callback has to be configured for it.

    Args:
        backbone: which network learns, and the weights it starts from; the name ``as_weights`` takes network, options
            and pixels from a file of ``vidssl fit`` or ``vidssl export``. Without weights it is trained from scratch.
        optimizer: how it learns.
        num_classes: number of classes of the catalog.
        protocol: protocol of the records; one of ``vidssl list protocols`` that trains the network.
        dropout: share of the features that is dropped in training, in [0, 1).
        label_smoothing: share of the target that is spread over all classes, in [0, 1).
        allow_seen_videos: also test on videos that the weights were trained on without labels.

    Raises:
        VidsslError: a number out of its range, a protocol that does not train, ``as_weights`` without a file of ours,
            or weights that do not fit.
    """

    num_views = 1
    min_videos = 1
    needs_labels = True

    def __init__(
        self,
        num_classes: int,
        backbone: BackboneSpec = BackboneSpec(name=AS_WEIGHTS),
        optimizer: OptimizerSpec = OptimizerSpec(learning_rate=0.005, weight_decay=1e-4, warmup_epochs=0.0),
        protocol: str = "finetune/cvrl",
        dropout: float = 0.5,
        label_smoothing: float = 0.0,
        allow_seen_videos: bool = False,
    ) -> None:
        _check(num_classes, protocol, {"dropout": dropout, "label_smoothing": label_smoothing})
        super().__init__(_described_by_weights(backbone), optimizer)
        self.protocol = protocol
        self.label_smoothing = label_smoothing
        self.allow_seen_videos = allow_seen_videos
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.backbone.feature_dim, num_classes)
        nn.init.normal_(self.head.weight, std=HEAD_DEVIATION)
        nn.init.zeros_(self.head.bias)
        self.pretrained: dict[str, Any] | None = None
        self.pretrained_on: tuple[TrainedSplit, ...] | None = ()
        if self.backbone_spec.weights is None:
            rank_zero_only(print)("Fine-tuning starts from an untrained network: model.backbone.weights is null.")
        else:
            content = read_checkpoint(self.backbone_spec.weights)
            self.pretrained = _provenance(content.path.name, content.values)
            self.pretrained_on = training_history(content.values, content.path)
        self.save_hyperparameters(
            {
                "num_classes": num_classes,
                "protocol": protocol,
                "dropout": dropout,
                "label_smoothing": label_smoothing,
                "pretrained": self.pretrained,
            }
        )

    # --- training ---

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the cross-entropy of a batch with one view, uint8 B x 3 x T x H x W."""
        features = self.backbone(self.network_input(batch.views))
        scores = self.head(self.dropout(features)).float()
        loss = cross_entropy(scores, batch.label, label_smoothing=self.label_smoothing)
        hits = (scores.detach().argmax(dim=1) == batch.label).float().mean()
        self.log_training(loss=loss.detach(), accuracy=hits)
        return loss

    # --- evaluation ---

    def validation_step(self, batch: ClipBatch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Return features (B, V, D) of every view, and `scores` (B, V, K), the softmax over the classes."""
        outputs = frozen_features(self.backbone, self.clip_input, batch)
        with torch.autocast(self.device.type, enabled=False):  # the last layer in float32, as all classifiers
            scores = linear(outputs["features"], self.head.weight.float(), self.head.bias.float())
        return {**outputs, "scores": scores.softmax(dim=-1)}

    test_step = validation_step
    predict_step = validation_step

    def configure_callbacks(self) -> list[Callback]:
        """Measure whenever Lightning validates."""
        return [FineTuningEvaluation(self.protocol)]

    # --- checks ---

    def setup(self, stage: str) -> None:
        """Check that labels, splits and protocol fit, before anything runs.

        Raises:
            VidsslError: training videos without a label, another number of classes, videos that are trained on and
                tested on, or a share of the labels other than the protocol's.
        """
        super().setup(stage)
        data: VideoDataModule | None = getattr(self.trainer, "datamodule", None)
        if data is None or stage == "predict":
            return
        self._check_classes(data)
        self._check_test_videos(data)
        if stage == "fit" and self.trainer.is_global_zero and data.labelled.fraction < 1:
            data.labelled.write(self.trainer.default_root_dir, data.catalog, data.train_rows)

    def _check_classes(self, data: VideoDataModule) -> None:
        classes = len(data.catalog.classes)
        if classes != self.head.out_features:
            raise VidsslError(
                f"model.num_classes is {self.head.out_features}, but {data.catalog.file} has {classes} classes."
            )
        wanted = _recipe_of(self.protocol).labelled_fraction
        if data.labelled.fraction != wanted:
            raise VidsslError(
                f"model.protocol {self.protocol} trains on a share of {wanted:g} of the labels, and "
                f"data.labelled.fraction is {data.labelled.fraction:g}: change one of them."
            )

    def _check_test_videos(self, data: VideoDataModule) -> None:
        test_rows = data.evaluation_rows(data.evaluation.query_split)
        both = np.intersect1d(data.train_rows, test_rows)
        if len(both):
            raise VidsslError(
                f"data.train_split {data.train_split!r} and data.evaluation.query_split "
                f"{data.evaluation.query_split!r} share {len(both)} videos: their labels would be learned and tested."
            )
        if not self.allow_seen_videos:
            weights, consent = str(self.backbone_spec.weights), "set model.allow_seen_videos to true"
            check_unseen(self.pretrained_on, data.catalog, test_rows, weights, consent)

    # --- what was done ---

    def recipe(self) -> FineTuningRecipe:
        """Return the settings of this run in the words of the protocols."""
        trainer, data, spec = self.trainer, data_of(self.trainer), self.optimizer_spec
        return FineTuningRecipe(
            labelled_fraction=data.labelled.fraction,
            epochs=None if trainer.max_epochs in (None, -1) else trainer.max_epochs,
            batch_size=data.batch_size * trainer.accumulate_grad_batches,
            optimizer=spec.name,
            learning_rate=spec.learning_rate,
            momentum=spec.momentum,
            weight_decay=spec.weight_decay,
            warmup_epochs=spec.warmup_epochs,
            gradient_clip=trainer.gradient_clip_val,
            dropout=self.dropout.p,
            label_smoothing=self.label_smoothing,
            training_num_frames=data.sampler.num_frames,
            training_stride=data.sampler.stride,
            **described_augmentation(data.augmentations[0]),
        )


def _check(num_classes: int, protocol: str, shares: dict[str, float]) -> None:
    if num_classes < 2:
        raise VidsslError(f"model.num_classes must be at least 2, got {num_classes}.")
    for name, value in shares.items():
        if not 0 <= value < 1:
            raise VidsslError(f"model.{name} is a share from 0 to below 1, got {value}.")
    _recipe_of(protocol)


def _recipe_of(protocol: str) -> FineTuningRecipe:
    recipe = get_protocol(protocol).measure
    if not isinstance(recipe, FineTuningRecipe):
        training = [name for name in PROTOCOLS if isinstance(PROTOCOLS[name].measure, FineTuningRecipe)]
        raise VidsslError(
            f"model.protocol: {protocol} measures frozen features; those that train are {', '.join(training)}."
        )
    return recipe


def _described_by_weights(spec: BackboneSpec) -> BackboneSpec:
    """Replace the name ``as_weights`` by what the file of weights says of itself."""
    if spec.name != AS_WEIGHTS:
        return spec
    if spec.weights is None:
        raise VidsslError(
            "model.backbone.weights: name the checkpoint to start from. To train from scratch, or for weights from "
            "elsewhere, name the network in model.backbone.name (vidssl list backbones)."
        )
    facts = load_encoder(spec.weights).provenance
    return replace(
        spec,
        name=facts["backbone"],
        options={key: value for key, value in facts["backbone_options"].items() if key != "weights"},
        pixel_mean=tuple(facts["pixel_mean"]),
        pixel_std=tuple(facts["pixel_std"]),
    )


def _provenance(file: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return what a file of weights says of the training behind it, plain values."""
    trained = values.get("hyper_parameters")
    trained = trained if isinstance(trained, dict) else values
    return {
        "file": file,
        "objective": trained.get("objective"),
        "epoch": values.get("epoch"),
        "global_step": values.get("global_step"),
    }
