"""Every page renders as it was meant: tables are whole, links to headings lead somewhere."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("**/*.md")])
RENDERER = MarkdownIt("commonmark").enable("table")


def faults(text: str) -> list[str]:
    """Return what does not render as it was meant: rows outside a table, and rows of another number of cells."""
    lines = text.splitlines()
    found = []
    for token in RENDERER.parse(text):
        if token.type == "inline" and re.match(r"\s*\|", token.content):
            found.append(f"line {token.map[0] + 1}: a row of a table that is none: {token.content[:60]}")
        if token.type == "table_open":
            first, last = token.map
            counts = [len(re.findall(r"(?<!\\)\|", line)) for line in lines[first:last]]
            found += [
                f"line {first + number + 1}: {count} bars, the head of the table has {counts[0]}"
                for number, count in enumerate(counts)
                if count != counts[0]
            ]
    return found


def anchors(text: str) -> set[str]:
    """Return the names by which links reach the headings of a page, as GitHub makes them."""
    tokens = RENDERER.parse(text)
    headings = [tokens[place + 1] for place, token in enumerate(tokens) if token.type == "heading_open"]
    names: list[str] = []
    for heading in headings:
        shown = "".join(child.content for child in heading.children or [])
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        names.append(name if name not in names else f"{name}-{names.count(name)}")
    return set(names)


def links(text: str) -> list[str]:
    inline = [token for token in RENDERER.parse(text) if token.type == "inline"]
    found = [child.attrGet("href") for token in inline for child in token.children or [] if child.type == "link_open"]
    return [str(link) for link in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_whole(page):
    assert faults(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_lead_somewhere(page):
    for link in links(page.read_text()):
        target, _, anchor = link.partition("#")
        other = page if not target else page.parent / target
        if anchor and "://" not in link and other.suffix == ".md":
            assert anchor in anchors(other.read_text()), link


def test_a_blank_line_in_a_table_and_a_bar_in_a_cell_are_found():
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert faults(f"{table}| 3 | 4 |\n") == []
    assert faults(f"{table}\n| 3 | 4 |\n") == ["line 5: a row of a table that is none: | 3 | 4 |"]
    assert faults(f"{table}| `x|y` | 4 |\n") == ["line 4: 4 bars, the head of the table has 3"]
