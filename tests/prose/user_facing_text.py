"""Every sentence that a user can read: pages, help and messages, public docstrings, comments of configurations.

A passage is a paragraph, a list item, a row of a table, a string or a paragraph of a docstring. Its white space is
collapsed, so that a phrase is found across the ends of lines. Code is left out: fenced and indented blocks are skipped,
and `words` between backticks become ``CODE``.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
FEWEST_WORDS = 3  # shorter strings are keys, file names and formats
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Passage(NamedTuple):
    """A piece of text and the line on which it begins."""

    file: Path
    line: int
    text: str


def passages() -> Iterator[Passage]:
    """Yield all user-facing text of the repository."""
    for file in _files("*.md", "docs/**/*.md", ".github/**/*.md"):
        yield from _markdown(file, file.read_text())
    for file in _files("docs/**/*.ipynb"):
        for cell in json.loads(file.read_text())["cells"]:
            if cell["cell_type"] == "markdown":
                yield from _markdown(file, "".join(cell["source"]))
    for file in _files("vidssl/**/*.py"):
        yield from _python(file)
    for file in _files("configs/**/*.yaml", "tools/studies/*.yaml", ".github/**/*.yml"):
        yield from _comments(file)
    for file in _files("vidssl/**/*.html"):
        yield from _html(file)


def _files(*patterns: str) -> Iterable[Path]:
    return (file for pattern in patterns for file in sorted(REPOSITORY.glob(pattern)))


def _collapsed(file: Path, line: int, text: str) -> Passage:
    text = re.sub(r"(``?)[^`]+\1", "CODE", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return Passage(file.relative_to(REPOSITORY), line, " ".join(text.split()))


def _markdown(file: Path, text: str) -> Iterator[Passage]:
    """Split into paragraphs, list items and table rows; releases of the changelog stay as they were published."""
    if file.name == "CHANGELOG.md":
        text = text.partition("\n## [0.")[0]
    fenced, begun, lines = False, 1, []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        fence = line.lstrip().startswith("```")
        begins = re.match(r"\s*([-*|#>]|\d+\.)\s?", line)
        if fence or fenced or not line.strip() or line.startswith("    ") or begins:
            if lines:
                yield _collapsed(file, begun, " ".join(lines))
            begun, lines = number, []
        fenced ^= fence
        if not (fence or fenced or line.startswith("    ")):
            lines.append(line)


def _python(file: Path) -> Iterator[Passage]:
    """Yield docstrings of public things, and strings of several words; what an f-string inserts becomes ``X``."""
    tree = ast.parse(file.read_text())
    docstrings = {}
    for owner in ast.walk(tree):
        if isinstance(owner, (ast.Module, *DEFINITIONS)) and ast.get_docstring(owner) is not None:
            docstrings[owner.body[0].value] = getattr(owner, "name", file.stem)
    inserted = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if node in docstrings:
            if not docstrings[node].startswith("_"):
                yield from _docstring(file, node)
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            yield from _string(file, node, "".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inserted:
            yield from _string(file, node, node.value)


def _docstring(file: Path, node: ast.Constant) -> Iterator[Passage]:
    line = node.lineno
    for paragraph in node.value.split("\n\n"):
        yield _collapsed(file, line, paragraph)
        line += paragraph.count("\n") + 2


def _string(file: Path, node: ast.expr, text: str) -> Iterator[Passage]:
    if len(text.split()) >= FEWEST_WORDS and ".*" not in text:  # a pattern quotes another program
        yield _collapsed(file, node.lineno, text)


def _comments(file: Path) -> Iterator[Passage]:
    begun, lines = 1, []
    for number, line in enumerate([*file.read_text().splitlines(), ""], start=1):
        before, mark, comment = line.partition("#")
        if before.strip() or not mark:
            if lines:
                yield _collapsed(file, begun, " ".join(lines))
            begun, lines = number, []
        if mark:
            lines.append(comment)


def _html(file: Path) -> Iterator[Passage]:
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        text = re.sub(r"<[^>]*>|\{%.*?%\}|\{#.*?#\}", " ", line)
        text = re.sub(r"\{\{.*?\}\}", "X", text)
        if len(text.split()) >= FEWEST_WORDS:
            yield _collapsed(file, number, text)
