"""Writes names chosen by users into tables of other programs, where they stay plain text."""

from __future__ import annotations

import re

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
LATEX_SPECIAL = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
}


def one_line(text: str) -> str:
    """Return a text without line breaks and other control characters, a space in place of each run of them."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)


def csv_text(text: str) -> str:
    """Return a text that spreadsheets do not take for a formula: an apostrophe comes before one that begins so."""
    is_numbers = all(NUMBER.fullmatch(word) for word in text.split())
    return f"'{text}" if text.startswith(FORMULA_SIGNS) and not is_numbers else text


def markdown_text(text: str) -> str:
    """Return a text in one line that Markdown shows as it is, without HTML, links and new table columns."""
    escaped = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*|\[\]])", r"\\\1", escaped)


def markdown_code(text: str) -> str:
    """Return a text as code in one line, fit for a cell of a table."""
    return "`" + one_line(text).replace("`", "'").replace("|", "\\|") + "`"


def latex(text: str) -> str:
    """Write text so that LaTeX sets it as it is, in one line."""
    return "".join(LATEX_SPECIAL.get(sign, sign) for sign in one_line(text))
