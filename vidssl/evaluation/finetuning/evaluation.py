"""The numbers of a fine-tuned network, by the way of those of frozen features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer

from vidssl.evaluation.callbacks import FrozenFeatureEvaluation, circumstances_of
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.leakage import seen_in_training
from vidssl.evaluation.protocols.named import get_protocol
from vidssl.evaluation.protocols.outcome import Outcome
from vidssl.evaluation.protocols.records import RECORDS_FILE, Measured, append_record
from vidssl.evaluation.protocols.scores import classification_metrics, true_ranks

VIDEOS_AT_ONCE = 4096


class FineTuningEvaluation(FrozenFeatureEvaluation):
    """Measures a `FineTuning` whenever Lightning validates, and once before training starts.

    The softmax scores of every view of the query videos take the way that frozen features take
    (`FrozenFeatureEvaluation`): each video exactly once over all processes, collected in bounded memory, measured and
    recorded on the first process, the same for any number of them.

    Args:
        protocol: under which the numbers are logged and recorded.
    """

    def __init__(self, protocol: str) -> None:
        super().__init__(protocols=())
        self.protocol = protocol

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Nothing to check: the model checks its videos itself."""

    def _views(self, loaders: dict[str, Any]) -> dict[str, str]:
        return dict.fromkeys(loaders, "each")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the scores of a batch."""
        told = {"features": outputs["scores"], "index": outputs["index"]}
        super().on_validation_batch_end(trainer, pl_module, told, batch, batch_idx, dataloader_idx)

    on_test_batch_end = on_validation_batch_end

    def _measure_all(self, trainer: Trainer, gallery: VideoFeatures, query: VideoFeatures) -> dict[str, float]:
        data, model = trainer.datamodule, trainer.lightning_module
        named = get_protocol(self.protocol)
        outcome = replace(measure_scores(query), chosen=_chosen(trainer))
        clips = replace(data.evaluation, gallery_split=data.train_split)
        gallery = _training_videos(data)
        used = replace(named, measure=model.recipe())
        seen = seen_in_training(model.pretrained_on, data.catalog, query.index)
        record = Measured(used, data.name, data.catalog, clips, gallery, query, outcome, named).record(
            **{**circumstances_of(trainer, query), "seen_in_training": None if seen is None else len(seen)}
        )
        append_record(Path(trainer.default_root_dir) / RECORDS_FILE, record)
        return {f"eval/{data.name}/{self.protocol}/{metric}": value for metric, value in outcome.metrics.items()}


def measure_scores(query: VideoFeatures) -> Outcome:
    """Average the scores of the views of every video and compare the highest with its label.

    Args:
        query: M videos; in place of features softmax scores (M, V, K), column k being class k.

    Returns:
        ``top1``, ``top5`` with more than five classes, ``mean_class``, and with several views ``clip_top1`` and
        ``clip_top5``; the predicted classes.
    """
    num_views, num_classes = query.views.shape[1:]
    predicted, ranks, view_ranks = [], [], []
    for start in range(0, len(query), VIDEOS_AT_ONCE):
        scores = torch.from_numpy(np.array(query.views[start : start + VIDEOS_AT_ONCE]))
        labels = torch.from_numpy(query.labels[start : start + VIDEOS_AT_ONCE])
        mean = scores.mean(dim=1)
        predicted.append(mean.argmax(dim=1))
        ranks.append(true_ranks(mean, labels))
        view_ranks.append(true_ranks(scores, labels[:, None].expand(-1, num_views)))
    classes, ranks, view_ranks = (torch.cat(parts).numpy() for parts in (predicted, ranks, view_ranks))
    clips = view_ranks if num_views > 1 else None
    return Outcome(classification_metrics(query.labels, classes, ranks, num_classes, clips), classes)


def _chosen(trainer: Trainer) -> dict[str, Any]:
    data = trainer.datamodule
    labelled = {"fraction": data.labelled.fraction, "seed": data.labelled.seed, "videos": len(data.train_rows)}
    return {"pretrained": trainer.lightning_module.pretrained, "labelled": labelled}


def _training_videos(data: Any) -> VideoFeatures:
    """Return the videos that were trained on, without features: a record counts them."""
    rows = np.sort(data.train_rows)
    labels, groups = (column[rows].astype(np.int64) for column in (data.catalog.labels, data.catalog.groups))
    return VideoFeatures(np.empty((len(rows), 1, 0), np.float32), labels, groups, rows)
