"""Measuring in a process of its own while the run trains on."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from pytorch_lightning import Trainer

from vidssl.errors import VidsslError
from vidssl.evaluation.features.collection import Processes
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.measuring import Measuring, Numbers
from vidssl.evaluation.needed_features import Needed
from vidssl.jobs.parent import end_with_parent
from vidssl.jobs.signals import start_without_interrupts
from vidssl.jobs.threads import a_thread_per_core
from vidssl.storage.container import cannot_write, map_arrays, write_arrays
from vidssl.storage.files import passing_name

COLUMNS = ("views", "labels", "groups", "index")
NICENESS = 10
"""What trains, and the workers that load videos, come first."""

logger = logging.getLogger(__name__)


class Background:
    """What a callback measures in the background: at most one measurement at a time, on the first process."""

    def __init__(self) -> None:
        self._running: BackgroundMeasurement | None = None
        self._mistake: str | None = None  # what went wrong, until every process can hear of it

    def begin(self, trainer: Trainer, measuring: Measuring, found: Mapping[Needed, VideoFeatures]) -> None:
        """Start to measure, once the measurement before is finished.

        Raises:
            VidsslError: the features cannot be written to the folder of the run.
        """
        step = trainer.fit_loop.epoch_loop._batches_that_stepped  # under which Lightning logs an evaluation
        epoch = 0 if trainer.sanity_checking else trainer.current_epoch
        self._running = BackgroundMeasurement(measuring, found, Path(trainer.default_root_dir), step=step, epoch=epoch)

    def log_if_done(self, trainer: Trainer) -> None:
        """Log and record the numbers if they are there; `finish` raises what went wrong."""
        if self._running is not None and self._running.is_done:
            self._log(trainer)

    def finish(self, trainer: Trainer, processes: Processes) -> None:
        """Wait for the numbers, log and record them; all processes must call it.

        Raises:
            VidsslError: what went wrong in measuring, on every process.
        """
        self._log(trainer)
        mistake, self._mistake = processes.broadcast(self._mistake), None
        if mistake is not None:
            raise VidsslError(mistake)

    def give_up(self) -> None:
        """End the current measurement; its numbers are lost, and this is logged."""
        if self._running is None:
            return
        self._running.stop()
        logger.warning(
            "The run ends before %s was measured after epoch %d in the background; `vidssl evaluate` can measure a "
            "checkpoint of that epoch.",
            ", ".join(self._running.protocols),
            self._running.epoch,
        )
        self._running = None

    def _log(self, trainer: Trainer) -> None:
        if self._running is None:
            return
        running, self._running = self._running, None
        try:
            metrics = running.result().recorded(trainer.default_root_dir)
        except VidsslError as error:
            self._mistake = str(error)
            return
        for run_logger in trainer.loggers:
            run_logger.log_metrics({**metrics, "epoch": running.epoch}, step=running.step)


def check_not_imported() -> None:
    """Refuse to train in a process that is only to measure, and imports the script that trains.

    Raises:
        VidsslError: it says what the script lacks.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise VidsslError(
            "FrozenFeatureEvaluation with in_background: true starts a process, which imports your script and would "
            'train again. Put the body of the script under `if __name__ == "__main__":`.'
        )


def check_unmonitored(trainer: Trainer, prefixes: Sequence[str]) -> None:
    """Refuse callbacks that monitor numbers which are measured in the background.

    Args:
        trainer: with its callbacks.
        prefixes: with which the names of those numbers begin.

    Raises:
        VidsslError: the name of the callback and what it monitors.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning does not declare it
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor.startswith(tuple(prefixes)):
            raise VidsslError(
                f"{type(callback).__name__} monitors {monitor}, which a FrozenFeatureEvaluation measures in the "
                "background, too late for a callback. Set in_background: false there, or monitor another number."
            )


class BackgroundMeasurement:
    """A process that measures; it ends with the one that started it.

    The features travel in passing files, which the process maps: no second copy of them is in memory. It computes
    with a thread per core that belongs to this process (torchrun's ``OMP_NUM_THREADS=1`` is for training), at a low
    priority.

    Args:
        measuring: what to measure.
        found: the features.
        folder: of the run; for the passing files.
        step: of the run, that the features are of.
        epoch: of the run, likewise.

    Raises:
        VidsslError: a passing file cannot be written.
    """

    def __init__(
        self, measuring: Measuring, found: Mapping[Needed, VideoFeatures], folder: Path, *, step: int, epoch: int
    ) -> None:
        self.step, self.epoch = step, epoch
        self.protocols = measuring.protocols
        self._files = _write(found, folder)
        context = multiprocessing.get_context("spawn")  # in a fork, no GPU works
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_measure, args=(theirs, measuring, self._files), daemon=True)
        start_without_interrupts(self._process)
        theirs.close()

    @property
    def is_done(self) -> bool:
        """Whether `result` would return at once."""
        return self._connection.poll()

    def result(self) -> Numbers:
        """Wait until it is done and return the numbers.

        Raises:
            VidsslError: what the protocols refused, or the process ended without an answer.
        """
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):  # nothing, or half an answer
            self._process.join()
            raise VidsslError(
                f"The background process that measured {', '.join(self.protocols)} after epoch {self.epoch} ended "
                f"without an answer (exit code {self._process.exitcode}). Its own message is above, if it could "
                "write one; -9 often means that memory ran out."
            ) from None
        finally:
            self.stop()
        if isinstance(answer, str):
            raise VidsslError(answer)
        return answer

    def stop(self) -> None:
        """End the process, done or not, and remove its files."""
        self._process.kill()
        self._process.join()
        self._connection.close()
        _remove(self._files)


def _measure(connection: Connection, measuring: Measuring, files: Mapping[Needed, Path]) -> None:
    end_with_parent()
    os.nice(NICENESS)
    with a_thread_per_core():
        answer: Numbers | str
        try:
            answer = measuring.measure({needed: _read(file, needed) for needed, file in files.items()})
        except VidsslError as error:
            answer = str(error)
    connection.send(answer)


def _write(found: Mapping[Needed, VideoFeatures], folder: Path) -> dict[Needed, Path]:
    files: dict[Needed, Path] = {}
    try:
        for needed, features in found.items():
            files[needed] = passing_name(folder / "features")
            columns = {name: getattr(features, name) for name in COLUMNS}
            write_arrays(files[needed], columns, {"views_per_video": str(columns["views"].shape[1])})
    except BaseException as error:
        _remove(files)
        if isinstance(error, OSError):
            raise cannot_write(folder, error) from error
        raise
    return files


def _remove(files: Mapping[Needed, Path]) -> None:
    for file in files.values():
        file.unlink(missing_ok=True)  # the process that measures has removed it, if it lived to read it


def _read(file: Path, needed: Needed) -> VideoFeatures:
    found = map_arrays(file, "header")
    assert found is not None  # only files of newer versions give None
    file.unlink()  # its pages stay for as long as they are mapped, and nothing is left after a kill -9
    arrays, strings = found
    views = arrays["views"].reshape(len(arrays["index"]), int(strings["views_per_video"]), -1)
    return VideoFeatures(views, arrays["labels"], arrays["groups"], arrays["index"], needed.keep == "changed")
