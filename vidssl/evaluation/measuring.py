"""What the first process needs to measure the features of a run, apart from the features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import Trainer
from pytorch_lightning.trainer.states import TrainerFn

from vidssl.catalogs.catalog import Catalog
from vidssl.data.datamodule import VideoDataModule
from vidssl.data.settings import EvaluationClips
from vidssl.evaluation.averaging import measured_weights
from vidssl.evaluation.features.encoder import sha256_of
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.needed_features import Needed, features_for
from vidssl.evaluation.protocols.named import get_protocol
from vidssl.evaluation.protocols.records import RECORDS_FILE, Measured, append_new_record
from vidssl.nn.training_steps import steps_done


@dataclass(frozen=True)
class Numbers:
    """What was measured.

    Attributes:
        metrics: ``eval/<data set>/<protocol>/<metric>`` to value; accuracies in [0, 1].
        records: a line of ``evaluations.jsonl`` for each protocol.
    """

    metrics: dict[str, float]
    records: list[dict[str, Any]]

    def recorded(self, folder: str | Path) -> dict[str, float]:
        """Add the records to those of the run in this folder, and return the metrics.

        Raises:
            VidsslError: the file of records cannot be written.
        """
        for record in self.records:
            append_new_record(Path(folder) / RECORDS_FILE, record)
        return self.metrics


@dataclass(frozen=True)
class Measuring:
    """Protocols, and what their records say about data and run; it survives pickling.

    Attributes:
        protocols: their names.
        data_name: what the data set is called.
        catalog: of the videos.
        clips: as they were cut.
        circumstances: keyword arguments of `Measured.record`.
    """

    protocols: tuple[str, ...]
    data_name: str
    catalog: Catalog
    clips: EvaluationClips
    circumstances: Mapping[str, Any]

    def measure(self, found: Mapping[Needed, VideoFeatures]) -> Numbers:
        """Measure by every protocol.

        Args:
            found: all features that the protocols need, see `needed_features`.

        Raises:
            VidsslError: a protocol cannot measure these videos or features.
        """
        numbers = Numbers({}, [])
        for name in self.protocols:
            protocol = get_protocol(name)
            gallery, query = features_for(protocol, found)
            outcome = protocol.run(gallery, query)
            measured = Measured(protocol, self.data_name, self.catalog, self.clips, gallery, query, outcome)
            record = measured.record(**self.circumstances)
            if protocol.training_views is not None:  # the loaders are those of all protocols: nothing is drawn
                record["modified"]["training_views"] = None
            numbers.records.append(record)
            prefix = f"eval/{self.data_name}/{name}"
            numbers.metrics.update({f"{prefix}/{metric}": value for metric, value in outcome.metrics.items()})
        return numbers


def data_of(trainer: Trainer) -> VideoDataModule:
    """Return the data module that a trainer works on."""
    return trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it, and does not declare it


def circumstances_of(trainer: Trainer, query_rows: np.ndarray) -> dict[str, Any]:
    """What a record says about the run, or about the checkpoint that is measured without one."""
    if trainer.state.fn == TrainerFn.FITTING:
        seen = int(np.isin(query_rows, data_of(trainer).train_rows).sum())
        weights = str(measured_weights(trainer))
        return {
            "step": steps_done(trainer),
            "epoch": trainer.current_epoch,
            "seen_in_training": seen,
            "weights": weights,
        }
    if not trainer.ckpt_path:
        return {}
    file = Path(trainer.ckpt_path)
    return {"checkpoint": {"file": file.name, "sha256": sha256_of(file)}}
