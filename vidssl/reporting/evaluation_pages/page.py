"""A measurement as one HTML page that loads nothing else."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vidssl.evaluation.protocols.records import Measured
from vidssl.reporting.evaluation_pages.filmstrips import FRAMES, Filmstrip
from vidssl.reporting.evaluation_pages.findings import Findings
from vidssl.reporting.evaluation_pages.neighbours import ShownNeighbours, shown_neighbours
from vidssl.reporting.evaluation_pages.network import MeasuredNetwork
from vidssl.reporting.evaluation_tables import protocol_lines
from vidssl.reporting.method_colours import colour_variable
from vidssl.reporting.pages import Section, render

PAIRS_SHOWN = 12

Film = Callable[[int], Filmstrip]
"""Row of the catalog -> its film strip, see `filmstrips.filmstrip`."""


def evaluation_page(network: MeasuredNetwork, measured: Measured, picture: Path | None, film: Film) -> str:
    """Return the page as HTML.

    Args:
        network: which network.
        measured: what was measured.
        picture: the confusion of classes (PNG); None where no class was given.
        film: draws a video.
    """
    findings = Findings.of(measured)
    shown = None if findings is None else shown_neighbours(findings)
    sections = [Section("neighbours", "Queries and their nearest neighbours", shown)]
    if findings is not None and picture is not None:
        confusion = Section("confusion", "Which class was taken for which", _confusion(findings, picture))
        sections += [confusion, Section("classes", "Class by class", findings.by_class())]
    return render(
        "measurement/page.html",
        title=page_title(network, measured),
        network=network,
        colour=f"var(--{colour_variable(network.method)})",
        measurement=f"{measured.protocol.name} on {measured.data_name}",
        metrics=measured.outcome.metrics,
        protocol="\n".join(protocol_lines(measured.record())),
        sections=sections,
        films=_films(shown, film) if shown is not None else {},
    )


def page_title(network: MeasuredNetwork, measured: Measured) -> str:
    """Return the title of a measurement: which network, which protocol, which data."""
    return f"{network.title}: {measured.protocol.name} on {measured.data_name}"


def _films(shown: ShownNeighbours, film: Film) -> dict[str, Any]:
    """What the style needs to play videos: one that is shown twice is stored once."""
    rows = sorted({card.row for query in shown.queries for card in query.cards})
    return {"frames": FRAMES, "columns": shown.columns, "strips": {row: film(row) for row in rows}}


def _confusion(findings: Findings, picture: Path) -> dict[str, Any]:
    confusion = findings.confusion()
    return {
        "rule": findings.rule,
        "picture": base64.b64encode(picture.read_bytes()).decode(),
        "classes": len(confusion.classes),
        "mistakes": confusion.most_confused(PAIRS_SHOWN),
    }
