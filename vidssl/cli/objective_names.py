"""Objectives by their registered names: ``objective: my_method`` and ``--objective my_method``.

The short form is a key of its own, and ``model`` then holds the settings only. The parser gets it as the class that
it names, in front of the file that contains it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection, Sequence
from typing import Any

from vidssl.cli.configurations.files import named_plugins, read_config_files
from vidssl.errors import VidsslError
from vidssl.objectives import OBJECTIVES
from vidssl.plugins.files import load_plugin_files

FLAG = "--plugin"
MODEL_FLAGS = ("--model", "--model.class_path", "--model.help")


def prepare_arguments(args: Sequence[str]) -> list[str]:
    """Load the plug-in files that a command line and its configurations name, and write out names of objectives.

    Args:
        args: the command line without the verb.

    Returns:
        the command line for a parser that knows ``--plugin`` (all files together) and ``--model`` (a class).

    Raises:
        VidsslError: a mistake in a file or a flag, a plug-in that cannot be loaded, an objective that is not registered
            or cannot be used.
    """
    args, files = load_plugins(args)
    written, _ = _write_out(args, read_config_files(args))
    # last, so that it stands for what the files say too: none of them replaces another's
    return [*written, f"{FLAG}=[{', '.join(map(repr, files))}]"] if files else written


def load_plugins(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Load the plug-in files that a command line and its configurations name.

    Returns:
        the command line without ``--plugin``, and the files, each once, those of the configurations first.

    Raises:
        VidsslError: a mistake in a file or a flag, or a plug-in that cannot be loaded.
    """
    flagged, args = take_plugin_flags(args)
    named = [file for name, content in read_config_files(args).values() for file in named_plugins(name, content)]
    files = list(dict.fromkeys(named + flagged))
    load_plugin_files(files)
    return args, files


def take_plugin_flags(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a command line into the files of its ``--plugin FILE`` and the rest.

    Raises:
        VidsslError: a flag without a file.
    """
    files, rest, words = [], [], iter(args)
    for word in words:
        if word == FLAG:
            file = next(words, None)
            if file is None or file.startswith("--"):
                raise VidsslError(f"{FLAG} needs a file: {FLAG} my_method.py.")
            files.append(file)
        elif word.startswith(f"{FLAG}="):
            files.append(word.partition("=")[2])
        else:
            rest.append(word)
    return files, rest


def class_path_of(name: str) -> str:
    """Return ``package.module.Class`` of a registered objective.

    Raises:
        VidsslError: the name is unknown, claimed twice, or that of a plug-in which cannot be used.
    """
    objective = OBJECTIVES.get(name)
    return f"{objective.__module__}.{objective.__qualname__}"


def default_flags(args: Sequence[str], groups: Collection[str] | None = None) -> list[str]:
    """Return the keys that a method states for its runs, as flags that come before all files and flags of a user.

    A key that a file or a flag sets is theirs altogether; a flag for a part of it (``--data.sampler.num_frames 8``)
    changes that part of what the method states.

    Args:
        args: the command line without the verb, its plug-in files loaded.
        groups: such as ``data``; None takes every one.

    Raises:
        VidsslError: a mistake in a file or a flag, or an objective that cannot be used.
    """
    configs = read_config_files(args)
    _, model = _write_out(args, configs)
    defaults = getattr(_class_called(model), "defaults", {})
    chosen = {arg.partition("=")[0].removeprefix("--") for arg in args}
    for _, content in configs.values():
        chosen |= {f"{group}.{key}" for group, keys in content.items() if isinstance(keys, dict) for key in keys}
    return [
        f"--{group}.{key}={json.dumps(value)}"
        for group, keys in defaults.items()
        if groups is None or group in groups
        for key, value in keys.items()
        if f"{group}.{key}" not in chosen  # the parser would mix what both say of it
    ]


def _class_called(name: str) -> Any:
    """Return the class of a name or a path; None if there is no such class, which the parser reports."""
    if name in OBJECTIVES.names():
        return OBJECTIVES.get(name)
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute, None) if module else None
    except ImportError:
        return None


def _write_out(args: Sequence[str], configs: dict[int, tuple[str, dict[str, Any]]]) -> tuple[list[str], str]:
    """Return the command line with names of objectives written out, and the class that it ends up with, or nothing."""
    written: list[str] = []
    model = ""
    is_short = False
    words = iter(enumerate(args))
    for position, word in words:
        flag, equals, value = word.partition("=")
        if position in configs:
            name, content = configs[position]
            model = _class_in(content) or model
            if content.get("objective") is not None:
                is_short, model = True, _class_of_short_form(name, content)
                written += ["--model", model]
        elif flag == "--objective" or flag in MODEL_FLAGS:
            value = value if equals else next(words, (0, ""))[1]
            if value == "null":  # what this function adds
                written.append(word)
                continue
            model = _named_class(flag, value)
            word = f"{'--model' if flag == '--objective' else flag}={model}"
        written.append(word)
    _check_class(model)
    # in what is printed and saved the class stands under model; a second name could contradict it
    return ([*written, "--objective=null"] if is_short else written), model


def _class_in(content: dict[str, Any]) -> str:
    """Return the class that a configuration names under ``model``, or an empty text."""
    model = content.get("model")
    named = model.get("class_path") if isinstance(model, dict) else model
    return named if isinstance(named, str) else ""


def _class_of_short_form(name: str, content: dict[str, Any]) -> str:
    objective = content["objective"]
    if not isinstance(objective, str):
        raise VidsslError(f"{name}: objective: expected a name (vidssl list objectives), got {objective!r}.")
    path, other = _named_class("objective", objective), _class_in(content)
    if other and other not in (path, objective):
        raise VidsslError(
            f"{name}: objective says {objective} and model.class_path says {other}: keep one. Below objective, model "
            "holds the settings alone."
        )
    return path


def _named_class(key: str, name: str) -> str:
    """Return the class path of a name; under ``model`` names that are not registered are the parser's affair."""
    is_short = key.endswith("objective")
    if is_short and "." in name:
        raise VidsslError(f"{key}: {name!r} is not a registered name; give a class by its path as model.class_path.")
    return class_path_of(name) if is_short or name in OBJECTIVES.names() else name


def _check_class(name: str) -> None:
    """Refuse the name that a run ends up with if it is claimed twice, broken, or not that of the class."""
    if name not in OBJECTIVES.names():
        return
    objective = OBJECTIVES.get(name)
    if objective.__name__ != name:
        raise VidsslError(
            f"model.class_path: {name!r} is registered for the class {objective.__name__}: write `objective: {name}`, "
            f"or class_path: {objective.__name__}."
        )
