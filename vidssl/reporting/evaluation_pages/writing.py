"""Pages of measurements, written into a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from vidssl.errors import VidsslError
from vidssl.evaluation.protocols.records import Measured
from vidssl.reporting.evaluation_pages.confusion import draw_confusion
from vidssl.reporting.evaluation_pages.filmstrips import filmstrip
from vidssl.reporting.evaluation_pages.findings import Findings
from vidssl.reporting.evaluation_pages.network import MeasuredNetwork
from vidssl.reporting.evaluation_pages.page import Film, evaluation_page, page_title
from vidssl.reporting.method_colours import colour_variable
from vidssl.reporting.pages import render
from vidssl.storage.files import replacing


def write_pages(measured: Sequence[tuple[MeasuredNetwork, Measured]], folder: str | Path) -> Path:
    """Write a page for every measurement and, for several, one that lists them.

    Args:
        measured: which network, and what was measured.
        folder: made where it does not exist; pages of the same measurement are replaced.

    Returns:
        The page to open first.

    Raises:
        VidsslError: the folder cannot be written.
        DecodingError: a video cannot be read.
    """
    films: dict[str, Film] = {}
    pages = []
    for network, measurement in measured:
        catalog = measurement.catalog
        film = films.setdefault(str(catalog.file), cache(lambda row, catalog=catalog: filmstrip(catalog, row)))
        pages.append(evaluation_pages(Path(folder), network, measurement, film)[0])
    return pages[0] if len(pages) == 1 else _index(Path(folder), measured, pages)


def evaluation_pages(
    folder: Path, network: MeasuredNetwork, measured: Measured, film: Film | None = None
) -> list[Path]:
    """Write the page of a measurement, and beside it the picture of its confusion where classes were given.

    Args:
        folder: made where it does not exist.
        network: which network.
        measured: what was measured.
        film: draws a video of the catalog; None draws with `filmstrip`.

    Returns:
        The page and the picture.

    Raises:
        VidsslError: the folder cannot be written.
        DecodingError: a video cannot be read.
    """
    name = page_name(network, measured)
    page, picture = folder / f"{name}.html", None
    findings = Findings.of(measured)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if findings is not None:
            file = folder / f"{name}-confusion.png"
            picture = draw_confusion(findings.confusion(), page_title(network, measured), file)
        text = evaluation_page(network, measured, picture, film or (lambda row: filmstrip(measured.catalog, row)))
        _write(page, text)
    except OSError as error:
        raise VidsslError(f"Cannot write pages into {folder}: {error.strerror or error}.") from error
    return [page] if picture is None else [page, picture]


def page_name(network: MeasuredNetwork, measured: Measured) -> str:
    """Return the file name of a measurement's page, without its ending."""
    parts = (measured.data_name, measured.clips.query_split, measured.protocol.name, network.name)
    return "-".join(re.sub(r"[^\w.]+", "-", part).strip("-.") for part in parts)


def _index(folder: Path, measured: Sequence[tuple[MeasuredNetwork, Measured]], pages: Sequence[Path]) -> Path:
    file = folder / "index.html"
    rows = [
        (page.name, network, f"var(--{colour_variable(network.method)})", one)
        for (network, one), page in zip(measured, pages, strict=True)
    ]
    try:
        _write(file, render("measurement/index.html", title="Measurements", rows=rows))
    except OSError as error:
        raise VidsslError(f"Cannot write {file}: {error.strerror or error}.") from error
    return file


def _write(file: Path, text: str) -> None:
    with replacing(file) as passing:
        passing.write_text(text, encoding="utf-8")
