"""What is wrong with a configuration, in a sentence, instead of what the parser tried."""

from __future__ import annotations

import inspect
import re

from jsonargparse import ArgumentParser

from vidssl.data.sampling import ClipSampler
from vidssl.errors import nearest
from vidssl.objectives import OBJECTIVES


def explain(message: str, parser: ArgumentParser, verb: str) -> str:
    """Word a parser's error for the user.

    Args:
        message: what jsonargparse or OmegaConf said.
        parser: knows the valid keys.
        verb: the verb that was typed, for the hint.
    """
    for pattern, word in _WORDINGS:
        found = re.search(pattern, message, re.DOTALL)
        if found:
            return f"{word(found, parser)} (vidssl {verb} --help lists every key.)"
    return message


def _keys(parser: ArgumentParser) -> list[str]:
    return [str(key) for key in parser.get_defaults(skip_validation=True).keys(branches=True)]


def _unknown_flag(found: re.Match, parser: ArgumentParser) -> str:
    flag = found["flag"].split("=")[0]
    keys = _keys(parser)
    # The same last word elsewhere in the tree is a likelier meaning than a similar spelling.
    same_word = [key for key in keys if key.split(".")[-1] == flag.split(".")[-1]]
    hint = f" Did you mean '{same_word[0]}'?" if same_word else nearest(flag, keys)
    return f"Unknown key '{flag}'.{hint}"


def _unknown_key(found: re.Match, parser: ArgumentParser) -> str:
    group, option = found["group"], found["option"]
    below = [key.removeprefix(f"{group}.") for key in _keys(parser) if key.startswith(f"{group}.")]
    return f"Unknown key '{group}.{option}'.{nearest(option, below)}"


def _unknown_class_option(found: re.Match, parser: ArgumentParser) -> str:
    name = found["class"].rsplit(".", 1)[-1]
    accepted = _parameters(found["class"])
    listed = ", ".join(accepted)
    return f"{name} has no option '{found['option']}'.{nearest(found['option'], accepted)} It takes: {listed}."


def _unknown_class(found: re.Match, parser: ArgumentParser) -> str:
    key, name = found["key"], found["name"]
    known = OBJECTIVES.names()
    if "sampler" in key:
        known = [kind.__name__ for kind in ClipSampler.__subclasses__()]
    elif not key.startswith("model"):
        known = []
    listed = f" Known: {', '.join(known)}." if known else ""
    return f"{key}: unknown class '{name}'.{nearest(name, known)}{listed}"


def _wrong_type(found: re.Match, parser: ArgumentParser) -> str:
    return f"{found['key']}: expected {_type_name(found['type'])}, got {found['value'].strip()!r}."


def _parameters(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    kind = getattr(__import__(module, fromlist=[name]), name)
    return [key for key in inspect.signature(kind).parameters if key != "self"]


def _type_name(described: str) -> str:
    found = re.fullmatch(r"<class '(?:.*\.)?(\w+)'>", described.strip())
    return found[1] if found else described.strip()


_WORDINGS = (
    (r"unrecognized arguments: --(?P<flag>\S+)", _unknown_flag),
    (
        r"Problem with given class_path '(?P<class>[^']+)':\s+Option '(?P<option>[^']+)' is not accepted",
        _unknown_class_option,
    ),
    (r"Group '(?P<group>[^']+)' does not accept option '(?P<option>[^']+)'", _unknown_key),
    (r"Option '(?P<flag>[^']+)' is not accepted", _unknown_flag),
    (r'Parser key "(?P<key>[^"]+)":.*Expected a dot import path string: (?P<name>\S+)', _unknown_class),
    (r'Parser key "(?P<key>[^"]+)":\s+Expected an? (?P<type>[^.]+)\. Got value: (?P<value>.*)', _wrong_type),
    (
        r'Parser key "config": File does not exist: (?P<file>.*)',
        lambda found, _: f"--config: there is no file {found['file']}.",
    ),
)
