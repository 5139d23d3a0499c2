"""The help of Lightning's verbs: our keys in a screen or two, and every key on request."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from jsonargparse import ArgumentParser

from vidssl.objectives import OBJECTIVES

USAGE = """vidssl {verb} --config FILE [--config FILE ...] [--KEY VALUE ...]

Every key below can be set in a configuration file (data: {{batch_size: 64}}) or by a flag. Later files override earlier
ones, and flags override files. In a file, the keys of an objective, a sampler or a callback go below its init_args.

  vidssl {verb} --config configs/quickstart.yaml --data.batch_size 64 --model.temperature 0.2
  vidssl {verb} --model.help CVRL                           keys of an objective
  vidssl {verb} --data.sampler.help IntervalSampler         keys of a sampler
  vidssl {verb} --data.augmentations.help                   keys of an augmentation recipe
  vidssl {verb} --config configs/quickstart.yaml --print_config   the resulting configuration
  vidssl {verb} --help-all                                  every key with its type, including Lightning's"""

HELP_FLAGS = ("-h", "--help")
WHOLE_HELP_FLAG = "--help-all"
WIDEST = 120  # columns of the help, on a wider terminal too
LEAST_WORDS = 24  # characters of a help text that is cut at a comma
RUN_KEYS = ("run_dir", "ckpt_path", "seed_everything", "objective", "plugin")
TRAINER_KEYS = {
    "max_epochs": "passes over the training videos",
    "devices": "how many GPUs or processes",
    "precision": "such as bf16-mixed",
    "accumulate_grad_batches": "batches per step",
    "check_val_every_n_epoch": "epochs between two evaluations",
    "limit_train_batches": "steps per epoch, for a short trial",
    "callbacks": "evaluation, checkpoints, pictures",
}
"""Lightning's keys that most runs set, each with a short meaning; Lightning's own texts are long."""


def show_help(parser: ArgumentParser, verb: str, args: Sequence[str]) -> None:
    """Print the help that a command line asks for and exit; return where it asks for none.

    Args:
        parser: knows every key.
        verb: such as ``fit``.
        args: the command line without the verb.
    """
    if WHOLE_HELP_FLAG in args:
        parser.print_help()
        sys.exit(0)
    if any(flag in args for flag in HELP_FLAGS):
        print("\n".join(help_lines(parser, verb, min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST))))
        sys.exit(0)


def help_lines(parser: ArgumentParser, verb: str, width: int) -> Iterator[str]:
    """Yield the short help: a line a key, its default and what it is, as far as the width allows.

    Args:
        parser: knows every key.
        verb: such as ``fit``.
        width: in columns.
    """
    meanings = _meanings(parser)
    meanings["seed_everything"] = (meanings["seed_everything"][0], "seed of everything that the run draws at random")
    groups = {
        "run": {key: meanings[key] for key in RUN_KEYS},
        f"model ({', '.join(OBJECTIVES.names())})": {"model": ("", "the method, by its class or registered name")},
        "data": {key: value for key, value in meanings.items() if key.startswith("data.")},
        "wandb": {key: value for key, value in meanings.items() if key.startswith("wandb.")},
        "trainer (Lightning's; --help-all lists all of its keys)": {
            f"trainer.{key}": (meanings[f"trainer.{key}"][0], words) for key, words in TRAINER_KEYS.items()
        },
    }
    widest = max(len(key) for group in groups.values() for key in group)
    yield f"usage: {USAGE.format(verb=verb)}"
    for title, group in groups.items():
        yield f"\n{title}:"
        for key, (default, words) in group.items():
            end = f" ({default})" if default else ""
            yield f"  --{key:<{widest}}  {_cut(words, width - widest - 6 - len(end))}{end}"


def _cut(words: str, room: int) -> str:
    """Shorten a text to what fits: at a comma, else at a word."""
    if len(words) <= room:
        return words
    at_comma, _, _ = words[:room].rpartition(",")
    at_word, _, _ = words[: room - 3].rpartition(" ")
    return at_comma if len(at_comma) >= LEAST_WORDS else f"{at_word}..."


def _meanings(parser: ArgumentParser) -> dict[str, tuple[str, str]]:
    """Return default and meaning of every key that has a help text and is no group of keys."""
    defaults = parser.get_defaults(skip_validation=True)
    found = {}
    for action in parser._actions:  # argparse offers no other way
        flag = action.option_strings[0] if action.option_strings else ".help"
        if isinstance(action.help, str) and action.dest != "help" and not flag.endswith(".help"):
            found[action.dest] = (_default_text(defaults.get(action.dest)), _first_words(action.help))
    linked = {"data.seed"}  # set by seed_everything
    return {key: meanings for key, meanings in found.items() if key not in linked and not _is_group(key, found)}


def _is_group(key: str, found: Collection[str]) -> bool:
    return any(other.startswith(f"{key}.") for other in found)


def _default_text(value: Any) -> str:
    """Say a default in a word; nothing where it says nothing."""
    return "" if value in (None, [], {}) or not isinstance(value, int | float | str) else str(value)


def _first_words(text: str) -> str:
    """Return the first clause of a help text, without the marks of code."""
    text = re.split(r"\s*\(type:|\(required", text)[0]
    clause = re.split(r"[;.:](?:\s|$)", " ".join(text.split()))[0]
    return clause.replace("``", "").replace("`", "").strip()
