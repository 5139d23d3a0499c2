"""Formulas as outlines in the page: no script, no font and no other host, and the same in every browser.

Matplotlib sets them in Computer Modern. MathML was tried first: without a font for mathematics, which few Linux systems
have, browsers do not lower subscripts.
"""

from __future__ import annotations

from html import escape

from docutils import nodes
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath, text_to_path
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

SIZE = 10.0  # points, the unit of the outlines; they are scaled to the size of the text around them
SCALE = 1.1  # Computer Modern is small beside the fonts of screens
LETTERS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


def svg(formula: str) -> str:
    """Return a formula, in the part of LaTeX that Matplotlib reads, as an SVG element of the colour of the text."""
    text = f"${' '.join(formula.split())}$"
    font = FontProperties(size=SIZE, math_fontfamily="cm")
    width, height, descent = text_to_path.get_text_width_height_descent(text, font, ismath=True)
    outline = " ".join(
        f"{LETTERS[code]}{' '.join(f'{value:.2f}' for value in _upright(points) if code != Path.CLOSEPOLY)}"
        for points, code in TextPath((0, 0), text, prop=font).iter_segments(simplify=False, curves=True)
    )
    em = SCALE / SIZE
    return (
        f'<svg class="formula" role="img" aria-label="{escape(formula)}" '
        f'viewBox="0 {descent - height:.2f} {width:.2f} {height:.2f}" '
        f'style="width: {width * em:.2f}em; height: {height * em:.2f}em; vertical-align: {-descent * em:.2f}em">'
        f'<path fill="currentColor" d="{outline}"/></svg>'
    )


def _upright(points: object) -> list[float]:
    """Turn y downwards, as SVG has it."""
    return [-value if number % 2 else value for number, value in enumerate(points)]  # type: ignore[call-overload]


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(svg(node.astext()))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula of its own."""
    translator.body.append(f'<div class="formula">{svg(node.astext())}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the renderer under the name that `html_math_renderer` gives."""
    app.add_html_math_renderer("outlines", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
