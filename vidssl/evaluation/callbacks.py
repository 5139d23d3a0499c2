"""When evaluation runs during training, and where its numbers go."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from vidssl.data.datamodule import VideoDataModule
from vidssl.errors import VidsslError
from vidssl.evaluation.averaging import measured_weights
from vidssl.evaluation.background import Background, check_not_imported, check_unmonitored
from vidssl.evaluation.device import measuring_on
from vidssl.evaluation.features.collection import FeaturePart, Processes, hold
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.measuring import Measuring, circumstances_of, data_of
from vidssl.evaluation.needed_features import Needed, needed_features
from vidssl.evaluation.protocols.named import get_protocol
from vidssl.evaluation.temporal.encoding import features_under_changes
from vidssl.jobs.threads import not_starved

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
        in_background: measure in a process of its own while training goes on, for protocols that take minutes. Numbers
            are logged at the end of an epoch, under the step whose weights they are of; the next measurement and the
            end of training wait for them. No callback can monitor them. It has no effect in validate and test.

    Where the run trains on GPUs, that of the first process searches neighbours, with the CPU's result to the last bit,
    and trains layers by SGD; a background process measures on the CPU.

    Raises:
        VidsslError: an unknown protocol, or one that trains the network itself; `every_n_epochs` below 1.
    """

    def __init__(
        self,
        protocols: Sequence[str] = ("knn", "linear", "retrieval/mean"),
        every_n_epochs: int = 1,
        in_background: bool = False,
    ) -> None:
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
        self.in_background = in_background
        self._background = Background()
        self._parts: dict[Needed, FeaturePart] = {}
        self._loaders: list[str] = []
        self._processes: Processes | None = None
        self._random_state = ExitStack()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that schedule and splits suit, before anything runs.

        Raises:
            VidsslError: gallery and query share videos, so that each would find itself; clips are too short to be
                changed in time; Lightning does not validate when the schedule says so; a callback monitors a number
                that comes too late for it; or this process is one that a measurement in the background started.
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
        if stage == "fit" and self.in_background:
            check_not_imported()
            check_unmonitored(trainer, [f"eval/{data_of(trainer).name}/{name}/" for name in self.protocols])
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
        """Keep the features of a batch; those of clips changed in time are computed here, from its frames."""
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
        if self.in_background and trainer.state.fn == TrainerFn.FITTING:
            gathered = self._gather_all(trainer, self._processes)
            self._background.finish(trainer, self._processes)
            if gathered:  # on the first process
                self._background.begin(trainer, self._measuring(trainer), gathered)
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

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what was measured in the background meanwhile."""
        self._background.log_if_done(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the measurement in the background."""
        if self.in_background and self._processes is not None:
            self._background.finish(trainer, self._processes)

    on_test_start = on_validation_start
    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end
    on_test_end = on_validation_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove temporary files, and end the measurement in the background."""
        for part in self._parts.values():
            part.close()
        self._parts = {}
        self._background.give_up()

    def _measure(self, trainer: Trainer, processes: Processes) -> dict[str, float]:
        """Return the metrics, on every process; what goes wrong in measuring is an error on every process."""
        gathered = self._gather_all(trainer, processes)
        outcome: tuple[dict[str, float], str | None] = ({}, None)
        if gathered:  # on the first process
            try:
                outcome = self._measure_all(trainer, gathered), None
            except VidsslError as error:  # the others wait for the metrics, and must hear of it
                outcome = {}, str(error)
        metrics, mistake = processes.broadcast(outcome)
        if mistake is not None:
            raise VidsslError(mistake)
        return metrics

    def _gather_all(self, trainer: Trainer, processes: Processes) -> dict[Needed, VideoFeatures]:
        """Return the features of all processes, on the first one; nothing on the others."""
        gathered = {of: _gather(part, processes, trainer) for of, part in self._parts.items()}
        self._parts = {}
        return {of: features for of, features in gathered.items() if features is not None}

    def _measure_all(self, trainer: Trainer, gathered: Mapping[Needed, VideoFeatures]) -> dict[str, float]:
        """Measure by every protocol and record it, on the first process."""
        with measuring_on(trainer.strategy.root_device), not_starved():
            return self._measuring(trainer).measure(gathered).recorded(trainer.default_root_dir)

    def _measuring(self, trainer: Trainer) -> Measuring:
        data = data_of(trainer)
        circumstances = circumstances_of(trainer, data.evaluation_rows(data.evaluation.query_split))
        return Measuring(tuple(self.protocols), data.name, data.catalog, data.evaluation, circumstances)


def _gather(part: FeaturePart, processes: Processes, trainer: Trainer) -> VideoFeatures | None:
    """Return the features of all processes, on the first one."""
    gathered = part.gather(processes)
    if gathered is None:
        return None
    views = hold(*gathered, trainer.default_root_dir)
    return VideoFeatures.of(data_of(trainer).catalog, part.share.all_rows, views, changed=part.keep == "changed")


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
