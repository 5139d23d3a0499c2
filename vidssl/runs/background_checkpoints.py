"""Checkpoints that are written while training continues."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from vidssl.runs.checkpoint_io import AtomicCheckpointIO
from vidssl.storage.links import write_link


class BackgroundCheckpointIO(AtomicCheckpointIO):
    """Copies a checkpoint to the CPU's memory and writes it in a thread; training waits for the copy alone.

    At most one checkpoint is on its way: the next one waits for it. What follows a checkpoint, removing the one before
    and linking ``last.ckpt``, is done after it is written, in this order, and not at all where it cannot be written. An
    error of the thread is raised by the next save, by `wait` or by `teardown`, whichever comes first, once.

    Lightning's `AsyncCheckpointIO` does not serve here: any number of its checkpoints may wait in memory, on the
    device, those before are removed at once, and a signal or a requeue does not wait for the file.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._jobs: list[Future[None]] = []
        self._has_failed = self._is_foreground = False
        self._will_exist: dict[str, bool] = {}
        self._newest = ""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint soon, as it is now.

        Raises:
            OSError: the checkpoint before could not be written, or something that follows it.
            VidsslError: the list of training videos beside it could not be written.
        """
        self.wait()
        self._do(super().save_checkpoint, snapshot(checkpoint), path, storage_options)
        self._newest = os.path.abspath(path)
        self._will_exist[self._newest] = True
        if self._is_foreground:
            self.wait()

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint after the one that takes its place is written."""
        self._do(super().remove_checkpoint, path)
        self._will_exist[os.path.abspath(path)] = False

    def link_checkpoint(self, path: str | Path, link: str | Path) -> None:
        """Link a file to the checkpoint that was saved last, once that is written.

        Lightning asks for links to earlier ones too, after evaluations, when the link may be a later checkpoint.
        """
        if os.path.abspath(path) == self._newest != os.path.abspath(link):
            self._do(write_link, Path(link), Path(path))
            self._will_exist[os.path.abspath(link)] = True

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint, after those that were saved are written."""
        self.wait()
        return super().load_checkpoint(*args, **kwargs)

    def will_exist(self, path: str | Path) -> bool | None:
        """Whether a file is there once all is written and removed; None where it is neither."""
        return self._will_exist.get(os.path.abspath(path))

    def wait(self) -> None:
        """Return when all is written.

        Raises:
            OSError, VidsslError: the first thing that went wrong.
        """
        wait(self._jobs)  # a handler of a signal may come to wait as well in the meantime
        done, self._jobs = self._jobs, []
        self._has_failed, self._will_exist = False, {}
        for job in done:
            job.result()

    def teardown(self) -> None:
        """Return when all is written, and end the thread; Lightning calls this before `fit` returns or raises.

        Raises:
            OSError, VidsslError: as `wait`.
        """
        try:
            self.wait()
        finally:
            if self._thread is not None:
                self._thread.shutdown()
                self._thread = None

    @contextmanager
    def in_foreground(self) -> Iterator[None]:
        """Write what is saved in the block before going on."""
        self._is_foreground = True
        try:
            yield
        finally:
            self._is_foreground = False

    def _do(self, job: Callable[..., None], *args: Any) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._jobs.append(self._thread.submit(self._unless_failed, job, *args))

    def _unless_failed(self, job: Callable[..., None], *args: Any) -> None:
        if self._has_failed:
            return
        try:
            job(*args)
        except BaseException:
            self._has_failed = True
            raise


def snapshot(value: Any) -> Any:
    """Return a copy of a state whose tensors are on the CPU; what is changed later does not change it.

    Args:
        value: tensors and plain values in dictionaries, lists and tuples.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        copied = copy.copy(value)  # keeps its class and the versions that a state_dict has for an attribute
        copied.update((key, snapshot(entry)) for key, entry in value.items())
        return copied
    if type(value) in (list, tuple):
        return type(value)(map(snapshot, value))
    return copy.deepcopy(value)


def follow_writer(trainer: Trainer) -> None:
    """Let Lightning's `ModelCheckpoint` reckon with checkpoints that are on their way.

    Its links are made after the file is written, in one step, so that ``last.ckpt`` is there at any moment; and a name
    that will be taken is no longer free.

    Args:
        trainer: with its callbacks.
    """
    writer = trainer.strategy.checkpoint_io
    if not isinstance(writer, BackgroundCheckpointIO):
        return
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            callback._link_checkpoint = partial(_link, writer)  # type: ignore[method-assign]
            callback.file_exists = partial(_exists, writer, callback)  # type: ignore[method-assign]


def _link(writer: BackgroundCheckpointIO, trainer: Trainer, filepath: str, linkpath: str) -> None:
    if trainer.is_global_zero:
        writer.link_checkpoint(filepath, linkpath)


def _exists(writer: BackgroundCheckpointIO, callback: ModelCheckpoint, filepath: str, trainer: Trainer) -> bool:
    known = writer.will_exist(filepath)
    here = trainer.is_global_zero and (callback._fs.exists(filepath) if known is None else known)
    return trainer.strategy.reduce_boolean_decision(here, all=False)


def wait_for_writer(trainer: Trainer) -> None:
    """Return when the checkpoints that a run saved are written.

    Raises:
        OSError, VidsslError: one could not be written.
    """
    writer = trainer.strategy.checkpoint_io
    if isinstance(writer, BackgroundCheckpointIO):
        writer.wait()


@contextmanager
def written_at_once(trainer: Trainer) -> Iterator[None]:
    """Write the checkpoints that are saved in the block before going on."""
    writer = trainer.strategy.checkpoint_io
    if not isinstance(writer, BackgroundCheckpointIO):
        yield
        return
    with writer.in_foreground():
        yield
