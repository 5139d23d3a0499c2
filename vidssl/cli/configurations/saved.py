"""The configuration in the folder of a run. Values from the environment are stored there as references."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, SaveConfigCallback

from vidssl.cli.configurations.files import flags_with_values, read_config_files
from vidssl.plugins.files import keep_plugin_files
from vidssl.runs.run_directory import CONFIG_FILE
from vidssl.storage.files import replacing

NAME = re.compile(r"\$\{oc\.env:\s*([^},\s]+)")
_RESOLVED = "the resolved text"

Place = tuple[str | int, ...]


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


def written_references(args: Sequence[str]) -> list[tuple[Place, str]]:
    """Return where the configurations and flags of a command line hold ``${...}``, in their order, and the text there.

    Raises:
        VidsslError: a configuration that cannot be read.
    """
    found: list[tuple[Place, str]] = []
    for _, content in read_config_files(args).values():
        found += _references(content, ())
    for flag, value in flags_with_values(args):
        if flag.startswith("--") and "${" in value:
            found.append((tuple(flag.removeprefix("--").split(".")), value))
    return found


def _references(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str) and "${" in value:
        yield place, value
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from _references(entry, (*place, key))


def keep_references(config: dict[str, Any], written: Sequence[tuple[Place, str]]) -> dict[str, Any]:
    """Return a configuration whose values from the environment are references again.

    A value is one if it holds what an environment variable holds that the configuration names, and is what the written
    text comes to; a flag with another value is kept.

    Args:
        config: with all references resolved; it is left as it is.
        written: of `written_references`.
    """
    values = [os.environ.get(name, "") for _, text in written for name in NAME.findall(text)]
    secrets = [value for value in values if value]
    kept = copy.deepcopy(config)
    for place, text in written:
        holder, key = _find(kept, place)
        if holder is None:
            continue
        if any(secret in str(holder[key]) for secret in secrets) and holder[key] in _values(text, config):
            holder[key] = text
    return kept


def _values(text: str, config: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a text with references comes to, as it is and as YAML reads it; nothing where it comes to nothing."""
    try:
        value = OmegaConf.create({**config, _RESOLVED: text})[_RESOLVED]
        return value, yaml.safe_load(str(value))
    except (OmegaConfBaseException, yaml.YAMLError):
        return ()


def _find(config: Any, place: Place) -> tuple[Any, Any]:
    """Return what holds a value, and its key there; the keys of a class may be written without ``init_args``."""
    holder: Any = None
    key: Any = None
    node = config
    for key in place:
        if isinstance(node, dict) and key not in node and isinstance(node.get("init_args"), dict):
            node = node["init_args"]
        is_there = key in node if isinstance(node, dict) else isinstance(node, list) and key in range(len(node))
        if not is_there:
            return None, None
        holder, node = node, node[key]
    return holder, key
