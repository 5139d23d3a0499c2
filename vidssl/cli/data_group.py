"""The keys below ``data`` of a configuration, for verbs that need neither objective nor trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings
from omegaconf.errors import OmegaConfBaseException

from vidssl.cli.config_errors import explain, own_message
from vidssl.cli.objective_names import load_plugins
from vidssl.data.datamodule import VideoDataModule
from vidssl.errors import VidsslError

# Groups and keys of a configuration that mean nothing here; ${...} may refer to them.
_OTHER_GROUPS = ("model", "trainer", "wandb", "optimizer", "lr_scheduler")
_OTHER_KEYS = ("objective", "run_dir", "ckpt_path", "plugin")


def data_parser(verb: str) -> ArgumentParser:
    """Return the parser of ``--config`` and ``--data.*`` that takes a configuration of ``vidssl fit`` as it is."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        parser_mode="omegaconf+",  # ${...} sees every key and every override
        exit_on_error=False,
        allow_abbrev=False,  # a misspelt key is told, not guessed
        prog=f"vidssl {verb}",
    )
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(VideoDataModule, "data")
    parser.add_argument("--seed_everything", type=bool | int, default=0)
    parser.link_arguments("seed_everything", "data.seed")
    for group in _OTHER_GROUPS:
        parser.add_argument(f"--{group}", type=dict[str, Any], default={})
    for key in _OTHER_KEYS:
        parser.add_argument(f"--{key}", type=Any, default=None)
    return parser


def build_data_module(verb: str, args: Sequence[str]) -> VideoDataModule:
    """Parse as `parse_data` does, and build the data module.

    Raises:
        VidsslError: a mistake in a file or a flag, or a value that a constructor refuses.
    """
    parser = data_parser(verb)
    config = parse_data(verb, args)
    try:
        return parser.instantiate(config).data
    except ValueError as error:
        message = own_message(error)
        if message is None:
            raise
        raise VidsslError(message) from error


def parse_data(verb: str, args: Sequence[str]) -> Namespace:
    """Parse ``--config FILE`` (any number of them; the later wins) and overrides such as ``--data.root DIR``.

    Args:
        verb: for messages.
        args: the command line without the verb's own options.

    Returns:
        the configuration with all its keys, its values checked but nothing built.

    Raises:
        VidsslError: a mistake in a file or a flag; the message names the key.
    """
    args, _ = load_plugins(args)
    parser = data_parser(verb)
    try:
        return parser.parse_args(args)
    except (ArgumentError, OmegaConfBaseException) as error:
        raise VidsslError(explain(str(error), parser, verb)) from error
