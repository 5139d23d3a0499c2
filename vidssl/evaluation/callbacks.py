"""When evaluation runs during training, and where its numbers go."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from vidssl.data.datamodule import VideoDataModule
from vidssl.errors import VidsslError
from vidssl.evaluation.averaging import measured_weights
from vidssl.evaluation.features.collection import FeaturePart, Processes, hold
from vidssl.evaluation.features.encoder import sha256_of
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.needed_features import Needed, features_for, needed_features
from vidssl.evaluation.protocols.named import get_protocol
from vidssl.evaluation.protocols.records import RECORDS_FILE, Measured, append_new_record
from vidssl.evaluation.temporal.encoding import features_under_changes
from vidssl.nn.training_steps import steps_done

logger = logging.getLogger(__name__)


class FrozenFeatureEvaluation(Callback):
    """Measures frozen features whenever Lightning validates, and once before training starts.

    The features are those that the objective's `validation_step` returns for the data module's gallery and query
    loaders: evaluation mode, no gradients; neither the model nor any generator of random numbers is changed. Every
    process encodes its share of the videos, each exactly once, and sends it to the first process, which measures alone,
    from memory or, above `collection.MEMORY_BYTES`, from a passing file in the run's folder; the others wait without a
    time limit. Metrics are logged as ``eval/<data set>/<protocol>/<metric>``, accuracies in [0, 1], and recorded in the
    run's ``evaluations.jsonl``, with whose weights they are: where Lightning averages weights it validates the average.
    One that was never updated is not measured.

    There may be several of these, each with its protocols and its schedule: a cheap one often, an expensive one
    rarely. Lightning encodes the videos once for all of them, at every `check_val_every_n_epoch`;
    `num_sanity_val_steps: -1` gives the numbers of the untrained network.

    Args:
        protocols: names, see ``vidssl list protocols``.
        every_n_epochs: epochs between two measurements, a multiple of the trainer's `check_val_every_n_epoch`; 1
            measures whenever Lightning validates. It has no effect before training, and in validate and test.

    Raises:
        VidsslError: an unknown protocol, or one that trains the network itself; `every_n_epochs` below 1.
    """

    def __init__(self, protocols: Sequence[str] = ("knn", "linear", "retrieval/mean"), every_n_epochs: int = 1) -> None:
        self.protocols = list(protocols)
        for name in self.protocols:
            protocol = get_protocol(name)
            if protocol.config is not None:
                raise VidsslError(
                    f"FrozenFeatureEvaluation.protocols: {name} trains the network itself: "
                    f"{protocol.fit_command()} does that."
                )
        if every_n_epochs < 1:
            raise VidsslError(f"FrozenFeatureEvaluation.every_n_epochs must be at least 1, got {every_n_epochs}.")
        self.every_n_epochs = every_n_epochs
        self._parts: dict[Needed, FeaturePart] = {}
        self._loaders: list[str] = []
        self._processes: Processes | None = None
        self._random_state = ExitStack()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that schedule and splits suit, before anything runs.

        Raises:
            VidsslError: gallery and query share videos, so that each would find itself; clips are too short to be
                changed in time; or Lightning does not validate when the schedule says so.
        """
        wanted = trainer.limit_test_batches if stage == "test" else trainer.limit_val_batches
        if stage == "predict" or not wanted:
            return
        validates_every = trainer.check_val_every_n_epoch or 1
        if stage == "fit" and self.every_n_epochs > 1 and self.every_n_epochs % validates_every:
            raise VidsslError(
                f"FrozenFeatureEvaluation.every_n_epochs ({self.every_n_epochs}) must be a multiple of "
                f"trainer.check_val_every_n_epoch ({validates_every}), which is when there are features to measure."
            )
        check_disjoint(data_of(trainer), self.protocols)
        for of in self._needed(("gallery", "query")):
            if of.changes is not None:
                of.changes.check(data_of(trainer).evaluation.num_frames)

    # --- collecting ---

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the generators of random numbers, in case the model draws in evaluation."""
        self._random_state.enter_context(isolate_rng())

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to collect, if it is time."""
        self._parts = {}
        if not self._is_due(trainer):
            return
        if self._processes is None:
            self._processes = Processes()
        loaders = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
        assert loaders is not None  # they are being iterated
        self._loaders = list(loaders)
        self._parts = {
            of: FeaturePart(loaders[of.loader].dataset.share, of.keep, trainer.default_root_dir)
            for of in self._needed(loaders)
        }

    def _is_due(self, trainer: Trainer) -> bool:
        if trainer.sanity_checking:  # a few batches are a check of the code, not a measurement
            return math.isinf(trainer.num_sanity_val_steps)
        if trainer.state.fn != TrainerFn.FITTING:
            return True
        return (trainer.current_epoch + 1) % self.every_n_epochs == 0 and self._is_trained(trainer)

    def _is_trained(self, trainer: Trainer) -> bool:
        """Whether what Lightning validates has learned; it also validates an average that was never updated."""
        weights = measured_weights(trainer)
        if weights.average is None or weights.updates > 0:
            return True
        if trainer.is_global_zero:
            logger.warning(
                "Nothing is measured after %d steps: %s has not begun to average the weights, and Lightning would have "
                "its copy of the weights at the start measured. Let it begin before the first evaluation.",
                trainer.global_step,
                weights.average,
            )
        return False

    def _needed(self, loaders: Collection[str]) -> list[Needed]:
        return needed_features([get_protocol(name) for name in self.protocols], loaders)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what is measured of a batch; features of clips changed in time are computed here, from its frames."""
        if not self._parts:
            return
        loader = self._loaders[dataloader_idx]
        for of, part in self._parts.items():
            if of.loader != loader:
                continue
            if of.changes is None:
                part.add(self._measured_part(outputs))
            else:
                with trainer.precision_plugin.val_step_context():
                    encode = partial(pl_module.validation_step, batch_idx=batch_idx, dataloader_idx=dataloader_idx)
                    part.add(features_under_changes(encode, batch, outputs, of.changes))

    def _measured_part(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `features` (B, V, D) and `index` (B,) of what the model's `validation_step` returned."""
        return outputs

    # --- measuring ---

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute and log the metrics."""
        if not self._parts or self._processes is None:
            return
        metrics = self._measure(trainer, self._processes)
        if trainer.sanity_checking:
            # Lightning drops what a sanity check logs, and these are the numbers of the untrained network.
            for run_logger in trainer.loggers:
                run_logger.log_metrics({**metrics, "epoch": 0}, step=trainer.global_step)
        else:
            pl_module.log_dict(metrics, rank_zero_only=False, batch_size=1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the generators of random numbers as they were."""
        self._random_state.close()

    on_test_start = on_validation_start
    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end
    on_test_end = on_validation_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give passing files back."""
        for part in self._parts.values():
            part.close()
        self._parts = {}

    def _measure(self, trainer: Trainer, processes: Processes) -> dict[str, float]:
        """Return the metrics, on every process; what goes wrong in measuring is an error on every process."""
        gathered = {}
        for of, part in self._parts.items():
            features = _gather(part, processes, trainer)
            if features is not None:
                gathered[of] = features
        self._parts = {}
        told: tuple[dict[str, float], str | None] = ({}, None)
        if gathered:  # on the first process
            try:
                told = self._measure_all(trainer, gathered), None
            except VidsslError as error:  # the others wait for the metrics, and must hear of it
                told = {}, str(error)
        metrics, mistake = processes.broadcast(told)
        if mistake is not None:
            raise VidsslError(mistake)
        return metrics

    def _measure_all(self, trainer: Trainer, gathered: Mapping[Needed, VideoFeatures]) -> dict[str, float]:
        """Measure by every protocol and record it, on the first process."""
        data = data_of(trainer)
        circumstances = circumstances_of(trainer, data.evaluation_rows(data.evaluation.query_split))
        metrics: dict[str, float] = {}
        for name in self.protocols:
            protocol = get_protocol(name)
            gallery, query = features_for(protocol, gathered)
            outcome = protocol.run(gallery, query)
            measured = Measured(protocol, data.name, data.catalog, data.evaluation, gallery, query, outcome)
            record = measured.record(**circumstances)
            if protocol.training_views is not None:  # the loaders are those of all protocols: nothing is drawn
                record["modified"]["training_views"] = None
            append_new_record(Path(trainer.default_root_dir) / RECORDS_FILE, record)
            metrics.update({f"eval/{data.name}/{name}/{metric}": value for metric, value in outcome.metrics.items()})
        return metrics


def _gather(part: FeaturePart, processes: Processes, trainer: Trainer) -> VideoFeatures | None:
    """Return the features of all processes, on the first one."""
    gathered = part.gather(processes)
    if gathered is None:
        return None
    views = hold(*gathered, trainer.default_root_dir)
    return VideoFeatures.of(data_of(trainer).catalog, part.share.all_rows, views, changed=part.keep == "changed")


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


def check_disjoint(data: VideoDataModule, protocols: Sequence[str]) -> None:
    """Refuse protocols that need a gallery apart from the queries where the two splits share videos.

    Raises:
        VidsslError: they do; the message names splits and protocols.
    """
    needing = [name for name in protocols if not get_protocol(name).leaves_out_groups]
    splits = data.evaluation
    shared = np.intersect1d(data.evaluation_rows(splits.gallery_split), data.evaluation_rows(splits.query_split))
    if needing and len(shared):
        raise VidsslError(
            f"data.evaluation: gallery_split {splits.gallery_split!r} and query_split {splits.query_split!r} share "
            f"{len(shared)} videos, each of which {', '.join(needing)} would find again. Choose splits that share "
            "none, or protocols that hold out groups (their names end in leave-one-group-out)."
        )
