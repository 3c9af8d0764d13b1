"""The graph of one step as a file: SVG, or PDF and PNG by way of TeX."""

from __future__ import annotations

from ..derivation.chain import Derivation
from ..schedule.make import make_schedule
from .charts import FORMATS, png_of, sealed_pdf, sealed_svg
from .drawing.drawing import make_drawing
from .drawing.placement import place
from .drawing.svg import svg
from .latex.pdf import compile_pdf
from .latex.tikz import MOST_STAGES, PREAMBLE, draw_step
from .notation import make_notation
from .pen import COLOURS, Pen

_PAGE = r"""\documentclass{article}
\usepackage{amsmath,bm,tikz}
%s
\begin{document}
\setbox0\hbox{%s}
\pdfpagewidth=\wd0 \pdfpageheight=\dimexpr\ht0+\dp0\relax \hoffset=-1in \voffset=-1in
\shipout\box0
\end{document}
"""


class TooLarge(ValueError):
    """A cell of so many stages that its graph is not drawn."""


def draw_graph(derivation: Derivation, form: str, notation: str | None = None) -> bytes:
    """The graph of one step as "svg", "pdf" or "png", with a seal that says whether somebody edited it.

    `notation` is used in place of the spec's own. Raises `TooLarge`; for pdf and png `TexError` without TeX; and for png
    `NoPicture` without pdftoppm or Ghostscript.
    """
    if form not in FORMATS:
        raise ValueError(f"no format: {form}")
    graph = derivation.graph
    if len(graph.stages) > MOST_STAGES:
        raise TooLarge(f"{graph.spec.name} has {len(graph.stages)} stages, and at most {MOST_STAGES} are drawn")
    symbols = make_notation(graph, notation)
    numbers = Pen(make_schedule(derivation).plan, symbols).colours
    names = {fork: f"fork{number}" for fork, number in numbers.items()}
    if form == "svg":
        layout = place(make_drawing(graph, symbols, names))
        shown = {names[fork]: f"#{COLOURS[number - 1]}" for fork, number in numbers.items()}
        return sealed_svg(svg(layout, graph, symbols, shown))
    colours = "".join(rf"\definecolor{{fork{number}}}{{HTML}}{{{COLOURS[number - 1]}}}" for number in numbers.values())
    pdf = compile_pdf(_PAGE % (PREAMBLE + colours, draw_step(graph, symbols, names).tikz)).pdf
    return sealed_pdf(pdf) if form == "pdf" else png_of(pdf)
