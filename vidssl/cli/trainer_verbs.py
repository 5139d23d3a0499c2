"""Lightning's command line for our objectives and data module.

The verb is taken off before Lightning parses, so that one configuration file serves fit, validate, test and predict,
and ``${...}`` sees every key and every override (jsonargparse's ``omegaconf+`` mode resolves after merging).
"""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import SUPPRESS
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.utilities import rank_zero_only

import vidssl.evaluation.callbacks
import vidssl.evaluation.finetuning.module
import vidssl.reporting.attention_callback
import vidssl.reporting.callbacks  # noqa: F401  (their classes can be named in a configuration)
from vidssl.cli.config_errors import check_groups, unwrapped, worded
from vidssl.cli.configurations.saved import SaveConfig, configuration_text, written_references
from vidssl.cli.data_group import DATA_REGISTRIES, parser_settings
from vidssl.cli.objective_names import default_flags, prepare_arguments
from vidssl.cli.trainer_help import USAGE, show_help
from vidssl.data.datamodule import VideoDataModule
from vidssl.errors import VidsslError
from vidssl.jobs.notices import Notices
from vidssl.jobs.parent import ending_with_launcher
from vidssl.nn.sync_batch_norm import LayerSync
from vidssl.objectives import OBJECTIVES
from vidssl.objectives.base import Objective
from vidssl.objectives.checks import Delivered, check_delivered
from vidssl.objectives.contract import fault_of
from vidssl.plugins.kinds import import_named_classes
from vidssl.reporting.console.header import print_header
from vidssl.reporting.console.progress import TrainingProgress
from vidssl.reporting.console.summary import print_metrics
from vidssl.reporting.wandb import WandbSpec, build_wandb_logger
from vidssl.reporting.wandb_records import WandbRecords
from vidssl.runs.background_checkpoints import BackgroundCheckpointIO
from vidssl.runs.continuation import Continuation
from vidssl.runs.ending import is_complete
from vidssl.runs.interruption import Interrupted, Interruption
from vidssl.runs.metrics_csv import MetricsCSV
from vidssl.runs.resuming import check_checkpoint, history_of_weights
from vidssl.runs.run_directory import (
    check_writable,
    choose_run_dir,
    folder_of_verb,
    leaving_run_dir,
    newest_checkpoint,
    resolve_checkpoint,
)
from vidssl.runs.run_record import RunRecord, identify
from vidssl.runs.step_watch import StepWatch
from vidssl.runs.strategies import check_strategy

NEEDLESS_WARNINGS = (
    ".*your dataloader is not resumable.*",  # ours is: the data module continues with the next batch
    "Checkpoint directory .* exists and is not empty",  # training on in the same folder is meant
    ".*does not have many workers.*",  # one worker decodes faster than a CPU trains
    "The dirpath has changed from .*",  # validate and test write beside the run, and no checkpoint
    "It is recommended to use `self.log\\('eval/.*",  # every process has the same number: there is nothing to average
    ".*no pre-optimization state was saved.*",  # a method that steps its optimisers is saved after its step, like all
    ".*LeafSpec.*is deprecated.*",  # Lightning's own
)


class VidsslCLI(LightningCLI):
    """Parses the configuration and builds objective, data module and trainer; `run_verb` then runs them."""

    def __init__(self, verb: str, args: Sequence[str]) -> None:
        self.verb = verb
        args = prepare_arguments(args)
        args = [*default_flags(args), *args]
        self.written = written_references(args)
        import_named_classes((OBJECTIVES, *DATA_REGISTRIES))
        with warnings.catch_warnings():
            # sys.argv stays as it is, because processes started for DDP repeat it
            warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within Python.*")
            super().__init__(
                Objective,
                VideoDataModule,
                subclass_mode_model=True,
                run=False,
                args=args,
                seed_everything_default=0,
                save_config_callback=SaveConfig if verb == "fit" else None,
                save_config_kwargs={"written": self.written},
                # print_header tells what Lightning's table of layers would
                trainer_defaults={"use_distributed_sampler": False, "enable_model_summary": False},
                parser_kwargs={**parser_settings(verb), "usage": USAGE.format(verb=verb), "description": None},
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the keys that belong to the run as a whole."""
        parser.add_argument(
            "--objective", type=str | None, default=SUPPRESS, help="name of the method; model then takes settings only"
        )
        parser.add_argument("--plugin", type=list[str] | str, default=[], help="Python files with your own parts")
        parser.add_argument("--run_dir", type=str, default="runs/unnamed", help="folder of the run; numbered if taken")
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="checkpoint to continue from, 'last' of run_dir, or 'auto' (continue, or start)",
        )
        parser.add_argument("--wandb", type=WandbSpec, default=WandbSpec(), help="the wandb run")
        parser.link_arguments("seed_everything", "data.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, and word mistakes for the user; a command line that asks for help ends here.

        Raises:
            VidsslError: a mistake in a file or a flag; the message names the key.
        """
        show_help(parser, self.verb, args if isinstance(args, list) else [])
        with worded(parser, self.verb, args if isinstance(args, list) else []):
            super().parse_arguments(parser, args)
        check_groups(self.config, parser)
        self.config.pop("objective", None)  # said by model.class_path

    def instantiate_classes(self) -> None:
        """Build everything; what a constructor says to the user comes through without the parser's wrapping.

        Raises:
            VidsslError: a value that a constructor refuses, a class that cannot be used as an objective, or one that
                needs something that the data module does not deliver.
        """
        _check_objective(self.config.model.class_path)
        with unwrapped():
            super().instantiate_classes()
        if self.verb == "fit":
            check_delivered(self.model, Delivered.by(self.datamodule))

    def before_instantiate_classes(self) -> None:
        """Choose the run's folder and check that it can be written to."""
        self.ckpt_path = resolve_checkpoint(self.config.run_dir, self.config.ckpt_path)
        self.is_auto = self.config.ckpt_path == "auto"
        if self.is_auto:
            self.config.ckpt_path = None  # the configuration that is kept repeats the run
        if self.verb == "fit":
            self._choose_run_dir()
        else:
            self.run_dir = folder_of_verb(self.verb, self.ckpt_path, self.config.run_dir)
        self.config.trainer.default_root_dir = str(self.run_dir)

    def _choose_run_dir(self) -> None:
        again = None
        if self.is_auto and self.ckpt_path is None:
            again = yaml.safe_load(configuration_text(self.parser, self.config, self.written))
        self.run_dir = choose_run_dir(self.config.run_dir, self.ckpt_path, again)
        if self.is_auto:  # another process may have written one before it left the folder
            self.ckpt_path = newest_checkpoint(self.run_dir, known=self.ckpt_path)
        check_writable(self.run_dir)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Give the trainer its loggers: CSV always, wandb unless it is disabled, and what the configuration adds.

        Every fit also keeps its run.json, and sends what wandb should know beside the numbers.

        Raises:
            VidsslError: a value that Lightning's Trainer refuses.
        """
        configured = self.config_init.trainer.get("logger")
        if configured is not False:
            added = [] if configured in (None, True) else configured
            loggers = [MetricsCSV(str(self.run_dir)), *(added if isinstance(added, list) else [added])]
            if self.verb == "fit" and (wandb_logger := build_wandb_logger(self.config_init.wandb, self.run_dir)):
                loggers.append(wandb_logger)
            kwargs["logger"] = loggers
        if self.verb == "fit":
            notices = Notices()
            self.interruption = Interruption(self.run_dir, notices)
            callbacks = _listed(self.config_init.trainer.get("callbacks"))
            kwargs["callbacks"] = [
                *callbacks,
                *self._progress(callbacks),
                RunRecord(),
                Continuation(),
                StepWatch(notices),
                WandbRecords(),
                self.interruption,
            ]
        plugins = self.config_init.trainer.get("plugins") or []
        kwargs["plugins"] = list(plugins) if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in kwargs["plugins"]):
            kwargs["plugins"].append(BackgroundCheckpointIO())
        if self.config_init.trainer.get("sync_batchnorm"):
            kwargs["plugins"].append(LayerSync())
        try:
            trainer = super().instantiate_trainer(**kwargs)
        # how Lightning's Trainer reports values it cannot use; RuntimeError: two callbacks that differ too little
        except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
            raise VidsslError(f"trainer: {error}") from error
        check_strategy(trainer.strategy)
        return trainer

    def _progress(self, callbacks: list[Any]) -> list[ProgressBar]:
        """Our progress bar, unless the configuration has one or wants none."""
        wants_none = self.config_init.trainer.get("enable_progress_bar") is False
        has_one = any(isinstance(callback, ProgressBar) for callback in callbacks)
        return [] if wants_none or has_one else [TrainingProgress()]

    def run_verb(self) -> None:
        """Run the trainer.

        Raises:
            VidsslError: a checkpoint that does not fit, prediction on several processes, or what goes wrong for the
                user on the way.
        """
        if (
            self.verb == "fit"
            and self.ckpt_path
            and is_complete(self.run_dir, self.trainer, None if self.is_auto else self.ckpt_path)
        ):
            words = f"The run in {self.run_dir} is complete; nothing is trained or measured."
            rank_zero_only(print)(f"{words} To train on, raise trainer.max_epochs or trainer.max_steps.")
            return
        if self.trainer.is_global_zero and self.verb == "fit":
            facts = identify(self.trainer, self.model, self.datamodule)
            print_header(self.run_dir, facts, continued_from=self.ckpt_path)
        if self.ckpt_path:
            check_checkpoint(self.ckpt_path, self.model, self.verb)
        # Nothing is unpickled: a checkpoint holds tensors and plain values.
        common = {"datamodule": self.datamodule, "ckpt_path": self.ckpt_path, "weights_only": True}
        if self.verb in ("validate", "test"):
            measured = getattr(self.trainer, self.verb)(self.model, verbose=False, **common)
            if self.trainer.is_global_zero:
                print_metrics({name: value for loader in measured for name, value in loader.items()})
        elif self.verb == "predict":
            if self.trainer.world_size > 1:
                raise VidsslError("vidssl predict runs on one process: set --trainer.devices 1.")
            predicted = self.trainer.predict(self.model, **common)
            if not predicted:
                raise VidsslError("Nothing was predicted: trainer.limit_predict_batches leaves no batch of clips.")
            _write_features(predicted, self.run_dir)
        else:
            self.datamodule.trained_before = history_of_weights(self.model)
            with self.interruption.listening():
                self.trainer.fit(self.model, **common)


def _listed(configured: Any) -> list[Any]:
    """Return a configured value that may be None, one thing or a list of them, as a list."""
    if configured is None:
        return []
    return list(configured) if isinstance(configured, list) else [configured]


def _check_objective(class_path: str) -> None:
    """Refuse a class that is below the base and yet no objective, as plug-ins are refused by name."""
    module, _, name = class_path.rpartition(".")
    fault = fault_of(getattr(importlib.import_module(module), name))
    if fault is not None:
        raise VidsslError(f"model.class_path: {class_path} cannot be used: {fault}.")


def _write_features(batches: list[Any], folder: Path) -> None:
    from safetensors.torch import save_file

    joined = {key: torch.cat([batch[key] for batch in batches]).contiguous() for key in batches[0]}
    file = folder / "features.safetensors"
    save_file(joined, file)
    shape = "x".join(str(size) for size in joined["features"].shape)
    print(f"Features {shape} (videos x clips x dimensions), labels and catalog rows: {file}")


def run(verb: str, args: Sequence[str]) -> int:
    """Run one of Lightning's verbs; the exit code is 0 when it went through, else that of the signal that ended it."""
    torch.set_float32_matmul_precision("high")
    # hardware listings and product tips of the libraries below; their warnings stay
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    for needless in NEEDLESS_WARNINGS:
        warnings.filterwarnings("ignore", message=needless)
    with ending_with_launcher(), leaving_run_dir():
        try:
            VidsslCLI(verb, args).run_verb()
        except Interrupted as interrupted:
            rank_zero_only(print)(f"vidssl: {interrupted}", file=sys.stderr)
            return interrupted.code
    return 0
