import re
from importlib.resources import files
from types import SimpleNamespace

import pytest
from jinja2 import UndefinedError

from vidssl.reporting.evaluation_pages import MeasuredNetwork
from vidssl.reporting.pages import Section, render


def test_a_section_has_a_heading_and_a_link_where_it_has_content():
    content = {"rule": "a guess", "picture": "", "classes": 2, "mistakes": []}
    sections = [Section("confusion", "A & B", content), Section("classes", "Nothing", [])]
    network = MeasuredNetwork("CVRL", "CVRL")
    values = {"network": network, "colour": "red", "measurement": "m", "metrics": {}, "protocol": "", "films": {}}
    text = render("measurement/page.html", title="t", sections=sections, **values)
    assert '<a href="#confusion">A &amp; B</a>' in text
    assert "<h2>A &amp; B</h2>" in text
    assert "A column is a guess." in text
    assert "Nothing" not in text


def test_text_stays_text_wherever_it_stands():
    nasty = """"'><script>{{ 6 * 7 }}&amp;"""
    measured = SimpleNamespace(
        data_name=nasty,
        clips=SimpleNamespace(query_split=nasty),
        protocol=SimpleNamespace(name=nasty),
        outcome=SimpleNamespace(metrics={nasty: 0.5}),
    )
    text = render(
        "measurement/index.html",
        title=nasty,
        rows=[(nasty, MeasuredNetwork(nasty, nasty, nasty, nasty), "red", measured)],
    )
    escaped = "&#34;&#39;&gt;&lt;script&gt;{{ 6 * 7 }}&amp;amp;"
    assert nasty not in text
    # twice the title, address, method, run and checkpoint, data and split, protocol, metric
    assert text.count(escaped) == 10


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError, match="undefined"):
        render("measurement/page.html", title="t")


def test_no_template_trusts_text():
    templates = [file for file in walk(files("vidssl.reporting") / "templates") if file.name.endswith(".html")]
    assert len(templates) > 10
    for template in templates:
        assert not re.search(r"\|\s*safe\b|autoescape", template.read_text(encoding="utf-8")), template


def walk(folder):
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from walk(entry)
        else:
            yield entry
