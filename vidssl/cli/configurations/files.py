"""Reads the files given by ``--config`` before the parser does: reports errors in them, and finds their plug-ins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vidssl.errors import VidsslError


def read_config_files(args: Sequence[str]) -> dict[int, tuple[str, dict[str, Any]]]:
    """Read every file given by ``--config`` and check that it is a YAML mapping.

    Returns:
        where in `args` its flag stands -> the file's name and what it holds, ``${...}`` as written.

    Raises:
        VidsslError: a file is missing, unreadable or malformed; the message names it, which the parser's does not.
    """
    named = {}
    for position, arg in enumerate(args):
        if arg in ("--config", "-c") and position + 1 < len(args):
            named[position] = args[position + 1]
        elif arg.startswith("--config="):
            named[position] = arg.removeprefix("--config=")
    return {position: (name, read_config_file(name)) for position, name in named.items()}


def read_config_file(name: str, flag: str = "--config") -> dict[str, Any]:
    """Read a file of keys and values, ``${...}`` as written.

    Args:
        name: the file.
        flag: that named it, for messages.

    Raises:
        VidsslError: it is missing, unreadable, no YAML or no mapping.
    """
    if not Path(name).is_file():
        what = "is a folder, not a file" if Path(name).is_dir() else "is not there"
        raise VidsslError(f"{flag}: {name} {what}.")
    try:
        content = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise VidsslError(f"{flag}: {name}{place} is not valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise VidsslError(f"{flag}: {name} cannot be read as YAML text: {error}.") from error
    if not isinstance(content, dict):
        what = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise VidsslError(f"{flag}: {name} {what}; it must hold keys and values (`run_dir: runs/mine`).")
    return content


def flags_with_values(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each word of a command line, which may be a flag, and its value: what follows ``=``, or the next word."""
    for word, following in zip_longest(args, args[1:], fillvalue=""):
        flag, equals, value = word.partition("=")
        yield flag, value if equals else following


def named_plugins(name: str, content: dict[str, Any]) -> list[str]:
    """Return the files under the key ``plugin`` of a configuration, ``${oc.env:...}`` resolved.

    Args:
        name: the configuration's file, for messages.
        content: what it holds.

    Raises:
        VidsslError: the key holds something else than a file or a list of files.
    """
    try:
        files = OmegaConf.create(content).get("plugin")
        files = OmegaConf.to_container(files, resolve=True) if OmegaConf.is_config(files) else files
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0].removeprefix("KeyError raised while resolving interpolation: ").strip('"')
        raise VidsslError(f"{name}: plugin: {reason}.") from error
    files = [] if files is None else [files] if isinstance(files, str) else files
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise VidsslError(f"{name}: plugin: expected a Python file or a list of them, got {files!r}.")
    return files
