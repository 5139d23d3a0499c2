"""Errors of a configuration in one sentence, instead of everything that the parser tried."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning import Callback

from vidssl.cli.configurations.files import flags_with_values, read_config_file
from vidssl.data.operations import Operation
from vidssl.data.sampling import ClipSampler
from vidssl.errors import VidsslError, nearest
from vidssl.objectives import OBJECTIVES
from vidssl.objectives.base import Objective

_PARTS = {"sampler": ClipSampler, "operation": Operation}  # of vidssl check
CLASS_KEYS = {"model": Objective, "data.sampler": ClipSampler, "trainer.callbacks": Callback, **_PARTS}


def check_groups(config: Namespace, parser: ArgumentParser) -> None:
    """Check that every group of keys is one: the parser takes ``data.loading: 3`` without a word.

    Raises:
        VidsslError: a single value stands where keys belong.
    """
    defaults = parser.get_defaults(skip_validation=True)
    for key in defaults.keys(branches=True):
        if isinstance(defaults[key], Namespace) and not isinstance(config.get(key), Namespace):
            takes = ", ".join(_children(_keys(parser), key))
            raise VidsslError(f"{key}: expected keys and values, got {config.get(key)!r}. It takes: {takes}.")


@contextmanager
def worded(parser: ArgumentParser, verb: str, args: Sequence[str]) -> Iterator[None]:
    """Word what goes wrong while `parser` parses `args` for the user.

    Raises:
        VidsslError: a mistake in a file or a flag; the message names the key.
    """
    try:
        yield
    except (ArgumentError, OmegaConfBaseException, UnicodeDecodeError, yaml.YAMLError) as error:
        _check_named_files(args, parser, str(error))
        raise VidsslError(_explain(str(error), parser, verb)) from error


def _check_named_files(args: Sequence[str], parser: ArgumentParser, message: str) -> None:
    """Refuse a file that is no configuration behind a flag that takes one: ``--data``, ``--model``, ``--trainer``."""
    for flag, value in flags_with_values(args):
        key = flag.removeprefix("--")
        unread = f"val='{value}'" in message or ("codec can't" in message and f'Parser key "{key}"' in message)
        if flag != key and Path(value).is_file() and (unread or _children(_keys(parser), key)):
            read_config_file(value, flag)


@contextmanager
def unwrapped() -> Iterator[None]:
    """Let what a constructor says to the user come through without the parser's wrapping.

    Raises:
        VidsslError: a value that a constructor refuses.
    """
    try:
        yield
    except (ValueError, MisconfigurationException) as error:
        message = _own_message(error)
        if message is None:
            raise
        raise VidsslError(message) from error


def _own_message(error: BaseException) -> str | None:
    """Find our or Lightning's message for the user behind an exception that the parser wrapped, or None."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (VidsslError, MisconfigurationException)):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return None


def _explain(message: str, parser: ArgumentParser, verb: str) -> str:
    """Word a parser's error for the user.

    Args:
        message: what jsonargparse or OmegaConf said.
        parser: knows the valid keys.
        verb: the verb that was typed, for the hint.

    Raises:
        VidsslError: the objective that was asked for is a plug-in that cannot be imported.
    """
    for pattern, word in _WORDINGS:
        found = re.search(pattern, message, re.DOTALL)
        if found:
            words = word(found, message, parser)
            return f"{words} (vidssl {verb} --help-all lists every key.)" if "nknown key" in words else words
    return message


def _keys(parser: ArgumentParser) -> list[str]:
    """Every key, those of the objectives included."""
    keys = [str(key) for key in parser.get_defaults(skip_validation=True).keys(branches=True)]
    for objective in _subclasses(Objective):
        keys += [f"model.{key}" for key in _keys_of_class(objective)]  # type: ignore[arg-type] # a class is hashable
    return keys


@cache  # a parser reads the sources of a class and of all its bases for their docstrings
def _keys_of_class(kind: type) -> list[str]:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    return [str(key) for key in parser.get_defaults(skip_validation=True).keys(branches=True)]


def _children(keys: Iterable[str], parent: str) -> list[str]:
    """The names directly below a key, or at the top for an empty `parent`."""
    prefix = f"{parent}." if parent else ""
    return list(dict.fromkeys(key.removeprefix(prefix).split(".")[0] for key in keys if key.startswith(prefix)))


def suggest(wrong: str, keys: Sequence[str]) -> str:
    """Return ``" Did you mean 'x'?"``: the nearest name at each level, or the same last word elsewhere in the tree."""
    right: list[str] = []
    for name in wrong.split("."):
        below = _children(keys, ".".join(right))
        if name not in below and (guess := nearest(name, below)):
            name = guess.split("'")[1]
        right.append(name)
    if ".".join(right) in keys:
        return f" Did you mean '{'.'.join(right)}'?"
    if ".".join(right[:-1]) in keys:  # right so far, and nothing below has a similar name
        return ""
    same_word = [key for key in keys if key.split(".")[-1] == wrong.split(".")[-1]]
    return f" Did you mean '{min(same_word, key=len)}'?" if same_word else nearest(wrong, keys)


def _class_in(message: str) -> type | None:
    """The innermost class whose options the message is about."""
    named = re.findall(r"Problem with given class_path '([^']+)'", message)
    if not named:
        return None
    module, _, name = named[-1].rpartition(".")
    with suppress(ImportError):  # then the message is about just that
        return getattr(importlib.import_module(module), name, None)
    return None


def _place(message: str) -> str:
    """The key in the configuration, with the class named there: ``model (CVRL)``."""
    top = re.match(r'Parser key "([^"]+)"', message)
    kind = _class_in(message)
    return " ".join(([top[1]] if top else []) + ([f"({kind.__name__})"] if kind else []))


# --- wordings ---


def _unknown_key(found: re.Match[str], message: str, parser: ArgumentParser) -> str:
    given = found.groupdict()
    option = given["option"].split("=")[0]
    wrong = f"{given['group']}.{option}" if given.get("group") else option
    kind = _class_in(message)
    if kind is None:
        return f"Unknown key '{wrong}'.{suggest(wrong, _keys(parser))}"
    if wrong == "class_path":  # the class was not recognised as one because of what stands beside it
        return f"{_place(message).split(' ')[0]}: an entry takes class_path and init_args, nothing else."
    keys = _keys_of_class(kind)
    takes = ", ".join(_children(keys, wrong.rpartition(".")[0]) or _children(keys, "")) or "none"
    return f"{_place(message)} has no key '{wrong}'.{suggest(wrong, keys)} It takes: {takes}."


def _unknown_arguments(found: re.Match[str], message: str, parser: ArgumentParser) -> str:
    if found["option"].startswith("--") or _class_in(message):
        flag = re.match(r"--(?P<option>\S+)", found["option"])
        return _unknown_key(flag, message, parser) if flag else f"{_place(message)}: {found[0]}."
    return f"Cannot make sense of {found['option'].strip()!r}: options look like --data.batch_size 64."


def _unknown_class(found: re.Match[str], message: str, parser: ArgumentParser) -> str:
    place = re.search(r'Parser key "([^"]+)"|--(\S+)\.help:', message)
    key = (place[1] or place[2]) if place else ""
    kinds: list[type] = list(_subclasses(CLASS_KEYS[key])) if key in CLASS_KEYS else []
    known = [kind.__name__ for kind in kinds]
    ours = sorted(kind.__name__ for kind in kinds if not kind.__module__.startswith("pytorch_lightning"))
    more = " and Lightning's" if len(ours) < len(known) else ""
    listed = f" Known: {', '.join(ours)}{more}." if ours else ""
    name = found["name"]
    if key == "model" and name in OBJECTIVES.names():
        OBJECTIVES.get(name)  # a plug-in that cannot be imported says so
    lower = [kind for kind in known if kind.lower() == name.lower()]
    hint = f" Did you mean '{lower[0]}'?" if lower else nearest(name, known)
    return f"{key}: unknown class '{name}'.{hint}{listed}"


def _subclasses(base: type[Any]) -> Iterable[type[Any]]:
    for kind in base.__subclasses__():
        if not kind.__name__.startswith("_"):
            yield kind
        yield from _subclasses(kind)


def _class_import(found: re.Match[str], message: str, parser: ArgumentParser) -> str:
    return f"{_place(message)}: cannot import '{found['path']}': {found['reason'].strip()}."


def _misplaced(found: re.Match[str], message: str, parser: ArgumentParser) -> str:
    key, value = found["key"], found["value"].strip()
    extra: list[str] = []
    with suppress(ValueError, SyntaxError):  # not the text of a dict: then nothing more can be told
        extra = [name for name in ast.literal_eval(value) if name not in ("class_path", "init_args")]
    if extra:
        return f"{key}: unknown key '{key}.{extra[0]}' beside class_path; what the class takes goes below init_args."
    return f"{key}: expected a class (class_path and init_args), got {value[:200]}."


def _wrong_type(found: re.Match[str], message: str, parser: ArgumentParser) -> str:
    value = found["value"].split("\n")[0].strip()
    place = _place(message)
    nested = found["key"] if not place.startswith(found["key"]) else ""
    return f"{', '.join(filter(None, (place, nested)))}: expected {_type_name(found['type'])}, got {value!r}."


def _wrong_union(found: re.Match[str], message: str, parser: ArgumentParser) -> str:
    expected = [_type_name(kind) for kind in re.findall(r"- Expected an? (.+)", found["errors"])]
    places = re.findall(r'Parser key "([^"]+)"', message)
    nested = places[1:2] if _class_in(message) else []
    value = found["value"].split("\n")[0].strip()
    return f"{', '.join([_place(message), *nested])}: expected {' or '.join(expected)}, got {value!r}."


def _type_name(described: str) -> str:
    described = re.sub(r"\. Got value.*", "", described.strip())
    found = re.fullmatch(r"<class '(?:.*\.)?(\w+)'>", described)
    if found:
        return {"NoneType": "null", "Sequence": "a list", "list": "a list"}.get(found[1], found[1])
    literal = re.fullmatch(r"typing\.Literal\[(.*)\]", described)
    return literal[1] if literal else described


def _no_group(found: re.Match[str], message: str, parser: ArgumentParser) -> str:
    kind = _class_in(message)
    keys = _keys_of_class(kind) if kind else _keys(parser)
    takes = f" It takes: {', '.join(_children(keys, found['key']))}."
    return f"{_place(message)}, {found['key']}: expected keys and values, got {found['value']!r}.{takes}"


def _no_target(found: re.Match[str], message: str, parser: ArgumentParser) -> str:
    known = _keys(parser)
    known += [key.replace("model.", "model.init_args.", 1) for key in known if key.startswith("model.")]
    return f"{found['key']}: ${{{found['target']}}} names no key.{suggest(found['target'], known)}"


_Wording = Callable[[re.Match[str], str, ArgumentParser], str]
_WORDINGS: tuple[tuple[str, _Wording], ...] = (
    (r"Interpolation key '(?P<target>[^']+)' not found\s+full_key: (?P<key>\S+)", _no_target),
    (
        r"Environment variable '(?P<name>[^']+)' not found.*full_key: (?P<key>\S+)",
        lambda found, *_: (
            f"{found['key']}: the environment variable {found['name']} is not set; set it, or give a default: "
            f"${{oc.env:{found['name']},value}}."
        ),
    ),
    (r"^(?P<reason>[^\n]+)\s+full_key: (?P<key>\S+)", lambda found, *_: f"{found['key']}: {found['reason']}."),
    (r"Group '(?P<group>[^']+)' does not accept option '(?P<option>[^']+)'", _unknown_key),
    (r"Option '(?P<option>[^']+)' is not accepted", _unknown_key),
    (r"unrecognized arguments: (?P<option>[^\n]+)", _unknown_arguments),
    (
        r"Multiple subclasses with name (?P<name>\w+).*?ambiguity: (?P<paths>[^\n]+)\.",
        lambda found, *_: (
            f"The class name {found['name']} is that of several classes: {found['paths']}. Write one in full, or "
            "rename yours."
        ),
    ),
    (r"Expected a dot import path string: (?P<name>\S+)", _unknown_class),
    (r"given class_path '(?P<path>[^']+)':\s+(?P<reason>No module named [^\n]+|module [^\n]+)", _class_import),
    (r'Parser key "(?P<key>[^"]+)":\s+Unable to load config \'(?P<value>[^\']*)\'', _no_group),
    (r'Parser key "(?P<key>[^"]+)":\s+Expected an? (?P<type>[^\n]+?)\. Got value: (?P<value>[^\n]*)', _wrong_type),
    (r'Parser key "(?P<key>model|data\.sampler)":.*Not a valid subclass of.*Given value: (?P<value>.*)', _misplaced),
    (r"Union subtypes\s.*Errors:(?P<errors>.*?)Given value type:.*?Given value: (?P<value>.*)", _wrong_union),
    (r"the following arguments are required: (?P<keys>.*)", lambda found, *_: f"Missing key: {found['keys']}."),
    (r"argument (?P<flag>--\S+): expected one argument", lambda found, *_: f"{found['flag']} needs a value."),
)
