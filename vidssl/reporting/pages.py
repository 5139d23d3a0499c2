"""HTML pages: templates fill the frame that all pages share, and escape all text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import vidssl
from vidssl.reporting.method_colours import VARIABLES
from vidssl.reporting.percent import percent


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading of its own, to which the page's header has a link.

    Attributes:
        name: of the link, and of the template ``<kind of page>/<name>.html`` that lays the section out.
        title: the heading.
        content: plain values, which the template finds as `content`; a section without any is left out.
    """

    name: str
    title: str
    content: Any


def render(template: str, *, title: str, sections: Iterable[Section] = (), **content: Any) -> str:
    """Return a page as HTML that holds everything it shows.

    Args:
        template: ``<kind of page>/<name>.html``; it fills ``frame.html``, with style and script of its kind.
        title: of the document.
        sections: those without content are left out.
        content: the values that the template uses.
    """
    kind, _, _ = template.partition("/")
    shown = [section for section in sections if section.content]
    common = {"version": vidssl.__version__, "colours": VARIABLES}
    values = {"kind": kind, "title": title, "sections": shown, **common, **content}
    return _TEMPLATES.get_template(template).render(values)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("vidssl.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # methods stay in their order, and what JavaScript cannot read is refused
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters["percent"] = percent
    return environment


_TEMPLATES = _environment()
