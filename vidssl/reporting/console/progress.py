"""The progress of `vidssl fit`: a bar on a terminal, one line per minute in a log."""

from __future__ import annotations

import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from vidssl.reporting.console.standing import Meter, Standing, last_evaluation
from vidssl.types import ClipBatch

SECONDS_BETWEEN_LINES = 60.0
SECONDS_BETWEEN_PICTURES = 0.25
"""Of the bar: numbers are fetched from the device no more often than that."""


class TrainingProgress(ProgressBar):
    """Shows epoch, step, loss, contrastive accuracy, videos/s, the last evaluation and the time that is left.

    On a terminal it is a bar over the whole run, which is gone when training ends. Anywhere else it is a line after the
    first step, one per minute, and one at the end. `vidssl fit` adds it unless the configuration has a progress bar of
    its own (``RichProgressBar``, ``TQDMProgressBar``) or ``trainer.enable_progress_bar: false``.

    Args:
        seconds_between_lines: in a log.
    """

    def __init__(self, seconds_between_lines: float = SECONDS_BETWEEN_LINES) -> None:
        super().__init__()
        self._seconds_between_lines = seconds_between_lines
        self._enabled = True
        self._display: _Bar | _Lines | None = None
        self._meter: Meter | None = None

    def disable(self) -> None:
        """Show nothing, as Lightning asks of all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show again."""
        self._enabled = True

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show that the network is measured before it is trained."""
        self._open().say("evaluating the network before training")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._meter = Meter(trainer)
        self._open().begin(self._meter.standing())

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch."""
        if self._meter is not None:
            self._meter.begin_epoch()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: ClipBatch, batch_idx: int
    ) -> None:
        """Count the batch, and show it when it is time."""
        if self._meter is None or self._display is None:
            return
        self._meter.count(len(batch) * trainer.world_size)
        if self._display.is_due():
            self._display.show(self._meter.standing())

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show that the network is being measured."""
        if self._display is not None and not trainer.sanity_checking:
            self._display.say("evaluating")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the new numbers."""
        if self._meter is not None and self._display is not None:
            self._meter.evaluation = last_evaluation(trainer.default_root_dir)
            self._meter.pause()
            self._display.measured(self._meter.standing())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show where training ended."""
        if self._meter is not None and self._display is not None:
            self._meter.evaluation = last_evaluation(trainer.default_root_dir)
            self._display.end(self._meter.standing())
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the terminal as it was."""
        self._close()

    def _open(self) -> _Bar | _Lines:
        if self._display is None:
            console = Console(highlight=False)
            shows_bar = console.is_terminal and self._enabled
            self._display = _Bar(console) if shows_bar else _Lines(self._seconds_between_lines, self._enabled)
        return self._display

    def _close(self) -> None:
        if isinstance(self._display, _Bar):
            self._display.close()
        self._display = self._meter = None


class _Bar:
    """Two lines that stay where they are: the bar, and the numbers below it."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[left]}"), expand=True
        )
        self._task = self._progress.add_task("before training", total=None, left="")
        self._numbers, self._doing = "", ""
        self._live = Live(console=console, transient=True, refresh_per_second=4, get_renderable=self._picture)
        self._live.start()
        self._shown = float("-inf")

    def _picture(self) -> Group:
        below = "  ".join(part for part in (self._doing, self._numbers) if part)
        return Group(self._progress, Text(below, style="dim"))

    def begin(self, standing: Standing) -> None:
        self.show(standing)

    def is_due(self) -> bool:
        return time.monotonic() - self._shown >= SECONDS_BETWEEN_PICTURES

    def show(self, standing: Standing) -> None:
        self._shown, self._doing = time.monotonic(), ""
        self._numbers = "  ".join(standing.values)
        self._progress.update(
            self._task,
            description=standing.place,
            completed=standing.step,
            total=standing.steps,
            left=standing.left,
        )
        self._live.refresh()

    def say(self, doing: str) -> None:
        self._doing = doing
        self._live.refresh()

    def measured(self, standing: Standing) -> None:
        self.show(standing)

    def end(self, standing: Standing) -> None:
        """Nothing: the summary follows."""

    def close(self) -> None:
        self._live.stop()


class _Lines:
    """A line now and then."""

    def __init__(self, seconds_between: float, enabled: bool) -> None:
        self._seconds_between, self._enabled = seconds_between, enabled
        self._printed = float("-inf")
        self._last_step = -1

    def begin(self, standing: Standing) -> None:
        """Nothing: the first step says more."""

    def is_due(self) -> bool:
        return self._enabled and time.monotonic() - self._printed >= self._seconds_between

    def show(self, standing: Standing) -> None:
        self._printed, self._last_step = time.monotonic(), standing.step
        print(standing.line, flush=True)

    def say(self, doing: str) -> None:
        """Nothing: the next line has the result."""

    def measured(self, standing: Standing) -> None:
        """Nothing: the next line has the result."""

    def end(self, standing: Standing) -> None:
        if self._enabled and standing.step != self._last_step:
            self.show(standing)
