"""Two directives for the pages of the methods: their settings, from the code, and their result, from a file.

``{settings} CVRL`` lists what the constructor takes: keys of the configuration, defaults, lines of the docstring.
``{result} CVRL`` reads docs/results/embedded.json, which tools/small_results.py writes: for each metric the mean and
standard deviation in % before and after training; the deviation is null where there is one seed.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from vidssl.objectives import OBJECTIVES

RESULTS = Path(__file__).resolve().parents[1] / "results" / "embedded.json"
SHARED = {"backbone", "optimizer"}  # the same settings for every method; their fields are on the page of the API


def described(documented: type) -> dict[str, str]:
    """Return argument -> its line under ``Args:`` or ``Attributes:`` of a docstring in Google's style."""
    section = re.search(r"(?:Args|Attributes):\n((?:(?: {4}.*)?\n)+)", f"{inspect.getdoc(documented)}\n")
    entries = re.findall(r"^ {4}(\w+): ((?:.*\n)(?: {8,}.*\n)*)", section[1] if section else "", re.M)
    return {name: " ".join(text.split()) for name, text in entries}


def settings(name: str) -> Iterator[tuple[str, Any, str]]:
    """Return key, default and meaning of every setting of a method, those of its dataclasses one by one."""
    method = OBJECTIVES.get(name)
    meanings = described(method)
    for argument, parameter in inspect.signature(method).parameters.items():
        default = parameter.default
        if dataclasses.is_dataclass(default) and argument not in SHARED:
            lines = described(type(default))
            for field in dataclasses.fields(default):
                yield f"model.{argument}.{field.name}", getattr(default, field.name), lines[field.name]
        else:
            yield f"model.{argument}", default, meanings[argument]


def _shown(value: Any) -> str:
    """Return a default as it is written in YAML; of backbone and optimiser what matters."""
    if dataclasses.is_dataclass(value):
        kept = ("name", "learning_rate", "weight_decay", "warmup_epochs")
        return ", ".join(f"{key}: {_shown(getattr(value, key))}" for key in kept if hasattr(value, key))
    return json.dumps(value)


def settings_table(name: str) -> str:
    """Return the settings as a table in Markdown."""
    rows = [f"| `{key}` | `{_shown(value)}` | {_in_cell(meaning)} |" for key, value, meaning in settings(name)]
    return "\n".join(("| key | default | meaning |", "|---|---|---|", *rows))


def _in_cell(meaning: str) -> str:
    text = meaning.replace("``", "`").replace("|", "\\|")
    return text[:1].upper() + text[1:]


def result_table(name: str) -> str:
    """Return the result as a table in Markdown."""
    content = json.loads(RESULTS.read_text())
    own = content["methods"].get(name)
    if own is None:
        return f"{name} has not been measured on these videos."
    rows = [
        f"| {label} | {_accuracy(own[metric]['untrained'])} | {_accuracy(own[metric]['trained'])} |"
        for metric, label in content["metrics"].items()
    ]
    count = len(own["seeds"])
    seeds = "one seed" if count == 1 else f"{count} seeds, mean and standard deviation"
    return "\n".join(
        (
            f"Top-1 accuracy in % of frozen features on the {content['data']}, after {own['epochs']} epochs; {seeds}.",
            "",
            "| | untrained network | trained |",
            "|---|---|---|",
            *rows,
        )
    )


def _accuracy(value: list[float | None]) -> str:
    mean, deviation = value
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


class Settings(SphinxDirective):
    """The settings of the method that is named."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        return self.parse_text_to_nodes(self.config.settings_tables[self.arguments[0]])


class Result(SphinxDirective):
    """The result of the method that is named."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a sentence and the table."""
        self.env.note_dependency(RESULTS)
        return self.parse_text_to_nodes(result_table(self.arguments[0]))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the directives; the settings are read at once, since autodoc puts the text of defaults in their place."""
    tables = {name: settings_table(name) for name in OBJECTIVES.names()}
    app.add_config_value("settings_tables", tables, "env", dict)
    app.add_directive("settings", Settings)
    app.add_directive("result", Result)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
