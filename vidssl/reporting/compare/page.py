"""A comparison as one page that holds everything it shows and asks nothing of the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files

import vidssl
from vidssl.evaluation.protocols.named import PROTOCOLS
from vidssl.reporting.compare.curves import learning_curves
from vidssl.reporting.compare.page_marks import DASHES, SHAPES, key, named_key
from vidssl.reporting.compare.page_tables import (
    costs_table,
    protocol_details,
    results_table,
    runs_table,
    settings_table,
)
from vidssl.reporting.compare.pictures import Picture, collect_pictures
from vidssl.reporting.compare.table import Comparison
from vidssl.reporting.compare.wording import left_out_text, legend

PANELS = 2  # charts beside each other
# A browser refuses whatever is not in the page itself.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(shown: Comparison, whole: Comparison, command: str) -> str:
    """Return the page as HTML.

    Args:
        shown: with the columns that are visible at once.
        whole: the same methods with every column.
        command: what was typed, for who wants to make it again.
    """
    sections = {
        "results": ("Results", _results(shown, whole)),
        "curves": ("Learning curves", _curves(shown)),
        "cost": (
            "Cost",
            _with_words("A run on average: evaluation included in wall time, not in rates.", costs_table(whole)),
        ),
        "settings": (
            "Settings that differ",
            _with_words(
                "Of what decides what is learned; bold where it is not as in the baseline.", settings_table(whole)
            ),
        ),
        "pictures": ("Pictures", _pictures(whole)),
        "protocols": ("How it was measured", protocol_details(whole, PROTOCOLS.summaries())),
        "runs": ("Runs", runs_table(whole)),
    }
    sections = {name: (title, content) for name, (title, content) in sections.items() if content}
    title = f"{', '.join(method.label for method in whole.methods)}: compared"
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, (heading, _) in sections.items())
    body = "".join(
        f'<section id="{name}"><h2>{heading}</h2>{content}</section>' for name, (heading, content) in sections.items()
    )
    made = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{_asset("page.css")}</style>
</head>
<body>
<header><h1>{escape(_headline(whole))}</h1><p class="lead">{escape(_lead(whole))}</p><nav>{links}</nav></header>
<main>{body}</main>
<footer>vidssl {escape(vidssl.__version__)}, {made}. <code>{escape(command)}</code></footer>
<dialog id="large"><img alt="" src="data:,"></dialog>
<script type="application/json" id="curves-data">{_data(whole)}</script>
<script>{_asset("page.js")}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return files("vidssl.reporting.compare").joinpath(name).read_text(encoding="utf-8")


def _data(comparison: Comparison) -> str:
    values = {
        "labels": [method.label for method in comparison.methods],
        "shapes": SHAPES,
        "dashes": DASHES,
        "metrics": learning_curves(comparison.methods),
    }
    # "</script>" in a name must not end the element
    return json.dumps(values, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _headline(comparison: Comparison) -> str:
    labels = [method.label for method in comparison.methods]
    data = sorted({heading.column.data for heading in comparison.headings})
    return f"{_listed(labels)} on {_listed(data)}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _lead(comparison: Comparison) -> str:
    runs = [run for method in comparison.methods for run in method.runs]
    seeds = {run.seed for run in runs if run.seed is not None}
    protocols = {(heading.column.data, heading.column.protocol) for heading in comparison.headings}
    parts = [
        _counted(len(comparison.methods), "method"),
        _counted(len(runs), "run"),
        _counted(len(seeds), "seed"),
        _counted(len(protocols), "protocol"),
    ]
    return ", ".join(parts) + "."


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _with_words(words: str, content: str) -> str:
    return f"<p>{words}</p>{content}" if content else ""


def _results(shown: Comparison, whole: Comparison) -> str:
    columns = {heading.column for heading in shown.headings}
    hidden = len(whole.headings) - len(columns)
    box = f'<label><input type="checkbox" id="all-metrics"> {_counted(hidden, "more metric")}</label>'
    bar = f'<div class="bar">{box}</div>' if hidden else ""
    words = [
        *legend(whole),
        "A mark is a seed, the stroke their mean, on one scale a column; point at a cell for values.",
    ]
    notes = [f"<li>{escape(line)}</li>" for line in words]
    told = [*whole.notes, *map(left_out_text, whole.left_out)]
    notes += [f'<li class="warn">{escape(note)}</li>' for note in told]
    return f'{bar}{results_table(whole, columns)}<ul class="notes">{"".join(notes)}</ul>'


def _curves(comparison: Comparison) -> str:
    metrics = [curve["name"] for curve in learning_curves(comparison.methods)]
    if not metrics:
        return ""
    buttons = "".join(
        f'<button type="button" aria-pressed="true" data-place="{place}">{named_key(place, method.label)}</button>'
        for place, method in enumerate(comparison.methods)
    )
    panels = "".join(_panel(metrics, chosen) for chosen in _first_metrics(comparison, metrics))
    words = "Mean over seeds, with a band of one standard deviation; thin lines are the seeds of curves of few points."
    return f'<p>{words}</p><div class="bar keys">{buttons}</div><div class="panels">{panels}</div>'


def _first_metrics(comparison: Comparison, metrics: Sequence[str]) -> list[str]:
    """What the charts show at first: an evaluation of the table and the loss, where they were logged."""
    evaluated = [name for heading in comparison.headings if (name := f"eval/{heading.column.title}") in metrics]
    wanted = [name for name in [*evaluated[:1], "train/loss", *metrics] if name in metrics]
    return list(dict.fromkeys(wanted))[:PANELS]


def _panel(metrics: Sequence[str], chosen: str) -> str:
    options = "".join(f"<option{' selected' if name == chosen else ''}>{escape(name)}</option>" for name in metrics)
    return (
        f'<div class="panel"><div class="bar"><select aria-label="metric">{options}</select></div>'
        '<div class="chart"></div></div>'
    )


def _pictures(comparison: Comparison) -> str:
    pictures, left_out = collect_pictures(comparison.methods)
    places = {method.label: place for place, method in enumerate(comparison.methods)}
    blocks = []
    for name in dict.fromkeys(picture.name for picture in pictures):
        figures = "".join(_figure(picture, places) for picture in pictures if picture.name == name)
        blocks.append(f'<h3>{escape(name.replace("_", " "))}</h3><div class="pictures">{figures}</div>')
    notes = "".join(f'<li class="warn">Not shown: {escape(told)}.</li>' for told in left_out)
    return "".join(blocks) + (f'<ul class="notes">{notes}</ul>' if notes else "")


def _figure(picture: Picture, places: dict[str, int]) -> str:
    seed = "" if picture.run.seed is None else f", seed {picture.run.seed}"
    told = f"{picture.name} of {picture.method}{seed}"
    return (
        f'<figure><button type="button" aria-label="enlarge {escape(told)}"><img src="{picture.uri}" '
        f'width="{picture.width}" height="{picture.height}" loading="lazy" alt="{escape(told)}"></button>'
        f'<figcaption><span class="key">{key(places[picture.method])}{escape(picture.method)}{escape(seed)}</span>'
        "</figcaption></figure>"
    )
