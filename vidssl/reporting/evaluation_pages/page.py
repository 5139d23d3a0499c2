"""A measurement as one page that holds everything it shows and asks nothing of the network."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np

import vidssl
from vidssl.evaluation.protocols.records import Measured
from vidssl.reporting.evaluation_pages.confusion import Confusion
from vidssl.reporting.evaluation_pages.filmstrips import FRAMES
from vidssl.reporting.evaluation_pages.findings import Findings, distance_in_words
from vidssl.reporting.evaluation_tables import protocol_lines

QUERIES_SHOWN = 48
NEIGHBOURS_SHOWN = 5
PAIRS_SHOWN = 12
# A browser refuses whatever is not in the page itself.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"

Film = Callable[[int], str]
"""Row of the catalog -> address of its film strip, see `filmstrips.filmstrip`."""


def evaluation_page(network: str, measured: Measured, picture: Path | None, film: Film) -> str:
    """Return the page as HTML.

    Args:
        network: what the network is called.
        measured: what was measured.
        picture: the confusion of classes (PNG); None where no class was given.
        film: draws a video.
    """
    findings = Findings.of(measured)
    sections, films = {}, ""
    if findings is not None and measured.outcome.neighbours is not None:
        neighbours, films = _neighbours(findings, film)
        sections["neighbours"] = ("Queries and their nearest neighbours", neighbours)
    if findings is not None and picture is not None:
        confusion = findings.confusion()
        sections["confusion"] = ("Which class was taken for which", _confusion(findings, confusion, picture))
        sections["classes"] = ("Class by class", _classes(findings))
    links = "".join(f'<a href="#{name}">{title}</a>' for name, (title, _) in sections.items())
    body = "".join(
        f'<section id="{name}"><h2>{title}</h2>{content}</section>' for name, (title, content) in sections.items()
    )
    title = f"{network}: {measured.protocol.name} on {measured.data_name}"
    return document(title, f"{_header(title, measured)}<nav>{links}</nav>", body, page_style() + films)


def document(title: str, header: str, body: str, style: str) -> str:
    """Return a whole page around its header and body, which are HTML already."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header>{header}</header>
<main>{body}</main>
<footer>vidssl {escape(vidssl.__version__)}</footer>
<script>{_asset("page.js")}</script>
</body>
</html>
"""


def page_style() -> str:
    """Return the style of all pages."""
    return _asset("page.css")


def _asset(name: str) -> str:
    return files("vidssl.reporting.evaluation_pages").joinpath(name).read_text(encoding="utf-8")


def _header(title: str, measured: Measured) -> str:
    metrics = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{100 * value:.1f} <small>%</small></dd></div>"
        for name, value in measured.outcome.metrics.items()
    )
    lines = "\n".join(protocol_lines(measured.record()))
    return f'<h1>{escape(title)}</h1><dl class="metrics">{metrics}</dl><pre>{escape(lines)}</pre>'


# --- queries and their neighbours ---


def _neighbours(findings: Findings, film: Film) -> tuple[str, str]:
    """Return the section, and a style rule for each video in it: one that is shown twice is stored once."""
    measured = findings.measured
    places = findings.spread(QUERIES_SHOWN)
    found = measured.outcome.neighbours.places[places, :NEIGHBOURS_SHOWN]
    rows = np.union1d(measured.query.index[places], measured.gallery.index[found].ravel())
    films = "".join(f"\n.v{row}{{background-image:url({film(row)})}}" for row in rows.tolist())
    films = f"\n:root{{--frames:{FRAMES};--columns:{found.shape[1] + 1}}}{films}"
    shown = "".join(_query(findings, int(place)) for place in places)
    total = len(findings.right)
    told = (
        f"{len(places):,} of {total:,} queries, of every class as many, wrong and right ones in turn as far as there "
        f"are any. Of all {total:,}, {100 * findings.right.mean():.1f} % {findings.rightness}. The first video is the "
        f"query; its nearest of the gallery follow with their distances ({distance_of(measured)}): "
        "✓ and a line around it for the class of the query, ✗ and a dashed line for another class."
    )
    return f"<p>{escape(told)}</p>{_controls(findings, places)}{shown}", films


def distance_of(measured: Measured) -> str:
    """Return what distances of this measurement are, in words."""
    return distance_in_words(measured.protocol.described()["measure"])


def _controls(findings: Findings, places: np.ndarray) -> str:
    classes = findings.measured.catalog.classes
    names = sorted({classes[label] for label in findings.measured.query.labels[places]})
    options = "".join(f"<option>{escape(name)}</option>" for name in names)
    looks = {"": "moving", "still": "still", "strips": "as strips"}
    results = {"": "right and wrong", "right": "only right", "wrong": "only wrong"}
    return (
        '<form class="bar" name="filter" autocomplete="off">'
        f'<label>class <select name="class"><option value="">all</option>{options}</select></label>'
        f'<label>queries <select name="result">{_options(results)}</select></label>'
        f'<label>videos <select name="look">{_options(looks)}</select></label><output></output></form>'
    )


def _options(named: dict[str, str]) -> str:
    return "".join(f'<option value="{value}">{escape(name)}</option>' for value, name in named.items())


def _query(findings: Findings, place: int) -> str:
    measured, classes = findings.measured, findings.measured.catalog.classes
    label, given = int(measured.query.labels[place]), int(findings.predicted[place])
    right = label == given
    found = measured.outcome.neighbours
    cards = [
        _card(
            measured, int(measured.query.index[place]), "asked", classes[label], _given(findings, classes[given], right)
        )
    ]
    for item, distance in zip(
        found.places[place, :NEIGHBOURS_SHOWN].tolist(), found.distances[place].tolist(), strict=False
    ):
        its = int(measured.gallery.labels[item])
        kind = "same" if its == label else "other"
        cards.append(_card(measured, int(measured.gallery.index[item]), kind, classes[its], f"{distance:#.3g}"))
    result = "right" if right else "wrong"
    return f'<div class="query" data-class="{escape(classes[label])}" data-result="{result}">{"".join(cards)}</div>'


def _given(findings: Findings, given: str, right: bool) -> str:
    mark, kind = ("✓", "mark fine") if right else ("✗", "mark")
    told = f"given {given}"
    if findings.measured.outcome.predicted is None:
        told = "nearest is right" if right else "nearest is wrong"
    return f'<span class="{kind}">{mark}</span> {escape(told)}'


def _card(measured: Measured, row: int, kind: str, heading: str, told: str) -> str:
    path = measured.catalog.path(row)
    name = path.rsplit("/", 1)[-1]
    said = {"asked": "query", "same": "same class", "other": "another class"}[kind]
    return (
        f'<figure class="{kind}" title="{escape(path)}">'
        f'<span class="film v{row}" role="img" aria-label="{said}: {escape(heading)}, {escape(name)}"></span>'
        f"<figcaption><b>{escape(heading)}</b><small>{told}</small>"
        f'<span class="name">{escape(name)}</span></figcaption></figure>'
    )


# --- classes ---


def _confusion(findings: Findings, confusion: Confusion, picture: Path) -> str:
    data = base64.b64encode(picture.read_bytes()).decode()
    pairs = "".join(
        f"<li>{escape(true)} <span>taken for</span> {escape(taken)} <span>{count}, {100 * share:.0f} %</span></li>"
        for true, taken, count, share in confusion.most_confused(PAIRS_SHOWN)
    )
    told = f"<p>A column is {escape(findings.rule)}. Click on the picture for its full size.</p>"
    listed = f'<h3>The most frequent mistakes</h3><ol class="pairs">{pairs}</ol>' if pairs else ""
    return (
        f'{told}<div class="picture"><img src="data:image/png;base64,{data}" '
        f'alt="Matrix of {len(confusion.classes)} true classes by the classes they were taken for"></div>{listed}'
    )


def _classes(findings: Findings) -> str:
    headings = (
        ("class", "text"),
        ("gallery videos", "number"),
        ("queries", "number"),
        ("right", "number"),
        ("accuracy", "number"),
        ("most often taken for", "text"),
    )
    head = "".join(
        f'<th scope="col" data-sort="{kind}"{" class=text" if kind == "text" else ""}><button type="button">{name}'
        "</button></th>"
        for name, kind in headings
    )
    rows = []
    for entry in findings.by_class():
        share = entry["right"] / entry["queries"]
        numbers = "".join(
            f'<td data-value="{entry[key]}">{entry[key]:,}</td>' for key in ("gallery", "queries", "right")
        )
        name, taken = escape(entry["name"]), escape(entry["taken_for"])
        rows.append(
            f'<tr><th scope="row" data-value="{name}">{name}</th>{numbers}'
            f'<td class="share" style="--share:{share:.4f}" data-value="{share:.6f}">{100 * share:.1f} %</td>'
            f'<td class="text" data-value="{taken}">{taken}</td></tr>'
        )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
