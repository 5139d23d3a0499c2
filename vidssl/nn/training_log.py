"""What a training step logs. Values are computed only in steps that are logged, and reduced over the processes once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from vidssl.nn.gather import gather_with_means, means_over_processes


def is_written(trainer: Trainer) -> bool:
    """Whether the loggers get what this training step logs, every `log_every_n_steps` steps of the optimiser."""
    if trainer.fit_loop._should_accumulate() and trainer.lightning_module.automatic_optimization:
        return False
    # what Lightning asks after the step, so that no row ever holds values of an earlier one
    return trainer._logger_connector.should_update_logs or bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


class TrainingLog:
    """Logs what an objective reports about a training step, in the steps in which anybody looks at it.

    Besides the loggers that is who asks at the first step, after an epoch or after the run
    (`trainer.callback_metrics`), and any callback that monitors one of the values or names its files after it.

    Args:
        describe: turns float32 embeddings (N, D) of all processes into further values, the same on all of them.
    """

    def __init__(self, describe: Callable[[Tensor], dict[str, Tensor]]) -> None:
        self._describe = describe
        self._unlogged: dict[str, Tensor | float] = {}
        self._is_first = True

    def begin(self) -> None:
        """Begin a run."""
        self._unlogged, self._is_first = {}, True

    def take(
        self, module: LightningModule, values: Mapping[str, Tensor | float], embeddings: Tensor | None
    ) -> dict[str, Tensor]:
        """Log the values of a step if they are looked at, by one collective.

        Args:
            module: that trains.
            values: name and value; tensors of one element, on the device, are averaged over the processes, numbers are
                the same on all of them.
            embeddings: float (B, D), of this process, described in steps that loggers get; None describes nothing.

        Returns:
            The description of the embeddings by name, empty in steps without one.
        """
        self._unlogged = dict(values)
        trainer = module.trainer
        described: dict[str, Tensor] = {}
        if embeddings is not None and is_written(trainer):
            rows, means = gather_with_means(embeddings.detach().float(), _tensors(values))
            described = self._describe(rows)
            self._log(module, means | described)
        elif self._is_first or _is_last(trainer) or is_written(trainer) or _is_watched(trainer, values):
            self._log(module, means_over_processes(_tensors(values)))
        return described

    def end_step(self, module: LightningModule) -> None:
        """Log a step at which a callback stopped the run, since Lightning writes it whatever its number."""
        if module.trainer.should_stop and self._unlogged:
            module._current_fx_name = "training_step"  # they replace the values of the step that was logged last
            self._log(module, means_over_processes(_tensors(self._unlogged)))

    def _log(self, module: LightningModule, means: Mapping[str, Tensor]) -> None:
        # Lightning would copy a number to the device, and back
        constants = {k: torch.tensor(float(v)) for k, v in self._unlogged.items() if not isinstance(v, Tensor)}
        module.log_dict({**constants, **means}, batch_size=1)
        self._unlogged, self._is_first = {}, False


def _tensors(values: Mapping[str, Tensor | float]) -> dict[str, Tensor]:
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _is_last(trainer: Trainer) -> bool:
    return trainer.is_last_batch or trainer.global_step + 1 == trainer.max_steps


def _is_watched(trainer: Trainer, names: Collection[str]) -> bool:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning does not declare it
        watched = f"{getattr(callback, 'monitor', None)} {getattr(callback, 'filename', None)}"
        if any(name in watched for name in names):
            return True
    return False
