"""The numbers of a fine-tuned network, by the way of those of frozen features."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from vidssl.data.datamodule import VideoDataModule
from vidssl.evaluation.callbacks import FrozenFeatureEvaluation
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.measuring import circumstances_of, data_of
from vidssl.evaluation.needed_features import Needed
from vidssl.evaluation.protocols.leakage import seen_in_training
from vidssl.evaluation.protocols.named import get_protocol
from vidssl.evaluation.protocols.outcome import Outcome
from vidssl.evaluation.protocols.records import RECORDS_FILE, Measured, append_new_record
from vidssl.evaluation.protocols.scores import outcome_of_scores

if TYPE_CHECKING:
    from vidssl.evaluation.finetuning.module import FineTuning

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

    def _needed(self, loaders: Collection[str]) -> list[Needed]:
        return [Needed(loader, "each") for loader in loaders]

    def _measured_part(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"features": outputs["scores"], "index": outputs["index"]}

    def _measure_all(self, trainer: Trainer, gathered: Mapping[Needed, VideoFeatures]) -> dict[str, float]:
        data, model = data_of(trainer), cast("FineTuning", trainer.lightning_module)
        query = gathered[Needed("query", "each")]
        named = get_protocol(self.protocol)
        outcome = replace(measure_scores(query), chosen=_chosen(data, model))
        clips = replace(data.evaluation, gallery_split=data.train_split)
        gallery = VideoFeatures.of(data.catalog, np.sort(data.train_rows))  # a record counts them
        used = replace(named, measure=model.recipe())
        seen = seen_in_training(model.pretrained_on, data.catalog, query.index)
        record = Measured(used, data.name, data.catalog, clips, gallery, query, outcome, named).record(
            **{**circumstances_of(trainer, query.index), "seen_in_training": None if seen is None else len(seen)}
        )
        append_new_record(Path(trainer.default_root_dir) / RECORDS_FILE, record)
        return {f"eval/{data.name}/{self.protocol}/{metric}": value for metric, value in outcome.metrics.items()}


def measure_scores(query: VideoFeatures) -> Outcome:
    """Average the scores of the views of every video and compare the highest with its label.

    Args:
        query: M videos; in place of features softmax scores (M, V, K), column k being class k.

    Returns:
        ``top1``, ``top5`` with more than five classes, ``mean_class``, and with several views ``clip_top1`` and
        ``clip_top5``; the predicted classes.
    """
    return outcome_of_scores(query.labels, np.arange(query.views.shape[2]), _mean_scores(query))


def _mean_scores(query: VideoFeatures) -> Iterator[tuple[Tensor, Tensor | None]]:
    for start in range(0, len(query), VIDEOS_AT_ONCE):
        scores = torch.from_numpy(np.array(query.views[start : start + VIDEOS_AT_ONCE]))
        yield scores.mean(dim=1), scores if scores.shape[1] > 1 else None


def _chosen(data: VideoDataModule, model: FineTuning) -> dict[str, Any]:
    labelled = {"fraction": data.labelled.fraction, "seed": data.labelled.seed, "videos": len(data.train_rows)}
    return {"pretrained": model.pretrained, "labelled": labelled}
