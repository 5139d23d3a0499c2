"""The configuration that a run keeps in its folder, and sends to wandb."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from jsonargparse import Namespace
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, SaveConfigCallback

from vidssl.cli.environment import Place, keep_references
from vidssl.plugins.files import keep_plugin_files
from vidssl.runs.run_directory import CONFIG_FILE
from vidssl.storage.files import replacing


class SaveConfig(SaveConfigCallback):
    """Writes the resolved configuration and its plug-in files into the run's folder, and sends it to wandb.

    Args:
        parser: of the configuration.
        config: as it was parsed.
        written: what came from the environment, see `written_references`; it stays a reference.
    """

    def __init__(
        self, parser: LightningArgumentParser, config: Namespace, written: Sequence[tuple[Place, str]] = ()
    ) -> None:
        super().__init__(parser, config, save_to_log_dir=False)  # a crash may cut the file short that Lightning writes
        self._written = written

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write and send. First process only."""
        folder = Path(trainer.default_root_dir)
        keep_plugin_files([self.config.plugin] if isinstance(self.config.plugin, str) else self.config.plugin, folder)
        with replacing(folder / CONFIG_FILE) as passing:
            passing.write_text(configuration_text(self.parser, self.config, self._written), encoding="utf-8")
        for run_logger in trainer.loggers:
            run_logger.log_hyperparams(keep_references(self.config.as_dict(), self._written))


def configuration_text(parser: LightningArgumentParser, config: Namespace, written: Sequence[tuple[Place, str]]) -> str:
    """Return the text of a configuration: everything resolved, but for what came from the environment.

    Args:
        parser: of the configuration.
        config: as it was parsed.
        written: of `written_references`.
    """
    text = parser.dump(config, skip_unset=False)
    values = yaml.safe_load(text)
    kept = keep_references(values, written)
    if kept == values:
        return text
    comments = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    return comments + yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)
