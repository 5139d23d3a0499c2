"""Parsers of configurations: the common part of all verbs, and the parser for the keys below ``data``."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from jsonargparse import ArgumentParser, Namespace, _typehints, set_parsing_settings
from jsonargparse._util import NestedArg

from vidssl.cli.config_errors import unwrapped, worded
from vidssl.cli.objective_names import default_flags, load_plugins
from vidssl.data.datamodule import VideoDataModule
from vidssl.data.extras import EXTRAS
from vidssl.data.operations import OPERATIONS
from vidssl.data.sampling import SAMPLERS
from vidssl.errors import UnknownNameError
from vidssl.plugins.kinds import import_named_classes

DATA_REGISTRIES = (SAMPLERS, OPERATIONS, EXTRAS)
"""Registries of the names below ``data``."""
_GROUPS = ("model", "data", "trainer", "wandb", "optimizer", "lr_scheduler")
_KEYS = ("objective", "run_dir", "ckpt_path", "plugin", "seed_everything")


def parser_settings(verb: str) -> dict[str, Any]:
    """Set jsonargparse up, and return the arguments of the parser of `verb`."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    _keep_null_below_dataclasses()
    return {
        "parser_mode": "omegaconf+",  # ${...} sees every key and every override
        "exit_on_error": False,
        "allow_abbrev": False,  # a misspelled key is reported, not guessed
        "prog": f"vidssl {verb}",
    }


def _keep_null_below_dataclasses() -> None:
    """Have jsonargparse hand values down to the keys of a dataclass or class as YAML, not as Python writes them.

    It builds ``--KEY=VALUE`` anew for the parser of that class, from a value that it has read already: null became the
    text None (jsonargparse 4.53.0), and so did a null within a list or a mapping.
    """
    adapt = _typehints.adapt_class_type
    if hasattr(adapt, "__wrapped__"):
        return

    @functools.wraps(adapt)
    def adapt_with_yaml(value: Any, *args: Any, **kwargs: Any) -> Any:
        nested = value.get("init_args") if isinstance(value, Mapping | Namespace) else None
        if isinstance(nested, NestedArg) and not isinstance(nested.val, str):
            text = json.dumps(nested.val, default=str)
            value = Namespace(class_path=value["class_path"], init_args=NestedArg(nested.key, text))
        return adapt(value, *args, **kwargs)

    _typehints.adapt_class_type = adapt_with_yaml


def partial_parser(verb: str, reads: Collection[str]) -> ArgumentParser:
    """Return a parser of ``--config`` that takes a configuration of ``vidssl fit`` and has no use for most of it.

    Args:
        verb: for messages.
        reads: groups and keys that the caller adds; the file may hold others, and ``${...}`` may refer to them.
    """
    parser = ArgumentParser(**parser_settings(verb))
    parser.add_argument("--config", action="config")
    for group in _GROUPS:
        if group not in reads:
            parser.add_argument(f"--{group}", type=dict[str, Any], default={})
    for key in _KEYS:
        if key not in reads:
            parser.add_argument(f"--{key}", type=Any, default=None)
    return parser


def build_data_module(verb: str, args: Sequence[str]) -> VideoDataModule:
    """Parse as `parse_data` does, and build the data module.

    Raises:
        VidsslError: a mistake in a file or a flag, or a value that a constructor refuses.
    """
    parser, config = _parse(verb, args)
    with unwrapped():
        return parser.instantiate(config).data


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
    return _parse(verb, args)[1]


def _parse(verb: str, args: Sequence[str]) -> tuple[ArgumentParser, Namespace]:
    args, _ = load_plugins(args)
    with suppress(UnknownNameError):  # of an objective that is not installed here; its data can be shown all the same
        args = [*default_flags(args, groups=("data",)), *args]
    import_named_classes(DATA_REGISTRIES)
    parser = partial_parser(verb, reads=("data", "seed_everything"))
    parser.add_class_arguments(VideoDataModule, "data")
    parser.add_argument("--seed_everything", type=bool | int, default=0)
    parser.link_arguments("seed_everything", "data.seed")
    with worded(parser, verb, args):
        return parser, parser.parse_args(args)
