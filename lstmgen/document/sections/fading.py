"""The pages on how the gradient fades: a state's derivative over a step, path by path, and over many."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...language.expressions import Expression, Negative, Sum, Value
from ...language.shapes import SCALAR
from ...numerics.fading import LAGS, Fading, OneStep, one_step
from ...numerics.paths import DIAGONAL, MATRIX, OPERATION, Factor, Path
from ..blocks import Block, Display, Drawn, Picture, Prose, Section
from ..latex.lines import BREAK, width
from ..latex.printer import Printer
from ..pen import PARTIAL, Equation, Pen, SmallEquation, Term
from ..wording import count, listed, math_text, sentence

FLOOR = 1e-10  # of the figure
RESIDUE = 1e-15
TOLD = 20  # the lag of which the text speaks
STRIDE = 2  # lags between two points of a curve
BESIDE = rf"{BREAK}0\;"  # between two matrices
WIDEST_WAY = 110.0


def fading_section(pen: Pen, measured: Fading | None, plain: Fading | None) -> Section | None:
    """What is left of a state's gradient after a step, and after many. `plain` is that of a simple RNN."""
    steps = measured.steps if measured else [one_step(pen.derivation, name) for name in pen.graph.states]
    steps = [step for step in steps if step.count]
    if not steps:
        return None
    blocks: list[Block] = [Prose(_intro(steps))]
    for step in steps:
        blocks += _one_step(pen, step)
    blocks += _carousels(pen, steps)
    if measured and plain and any(_is_drawable(curve.every) for curve in measured.curves):
        blocks += _figure(pen, measured, plain)
    return Section("Vanishing and exploding gradients", "fading", tuple(blocks))


def _intro(steps: Sequence[OneStep]) -> str:
    states = "each state" if len(steps) > 1 else "the state"
    return (f"The total derivative of {states} with respect to itself one step earlier shows how much of a gradient "
            "passes a step. It is a sum over all paths, with a product of matrices for each path. Read from right to "
            "left, a product follows the forward pass. Over many steps a path has the factors of all its steps: if "
            r"they are small, the gradient \emph{vanishes}; if they are large, it \emph{explodes}.")


# ---------------------------------------------------------------- one step


def _one_step(pen: Pen, step: OneStep) -> list[Block]:
    lead = "leads" if step.count == 1 else "lead"
    told = (f"{sentence(count(step.count, 'path'))} {lead} from {pen.value(step.state, -1)} to "
            f"{pen.value(step.state)}")
    if step.listed:
        told += ":"
    elif step.count > 1:
        told += ", too many to list here" + (
            "; this is the direct one:" if len(step.direct) == 1 else "; these are direct:" if step.direct else ".")
    if not step.paths:
        return [Prose(told)]
    return [Prose(told), _paths(pen, step)]


def _paths(pen: Pen, step: OneStep) -> Display:
    left = _derivative(pen, step.state, "t", "t-1")
    terms: list[Term] = []
    for path in step.paths:
        text = BESIDE.join(_matrix(pen, factor) for factor in path.factors(2)) or r"\bm I"
        terms.append(Term("{}+" + text if terms else text, rf"\by{{{_way(pen, step, path)}}}"))
    if not step.listed:
        terms.append(Term(r"{}+\cdots", r"\by{the others}"))
    return pen.display([Equation(left + "={}", terms)])


def _derivative(pen: Pen, name: str, above: str, below: str) -> str:
    over, under = (Printer(pen.notation, step)(Value(name)) for step in (above, below))
    return rf"\frac{{\mathrm d{_spaced(over)}}}{{\mathrm d{_spaced(under)}}}"


def _spaced(symbol: str) -> str:
    return symbol if symbol.startswith("\\") else f" {symbol}"


def _matrix(pen: Pen, factor: Factor) -> str:
    """One factor, with marks where a line may end."""
    if factor.kind == OPERATION or factor.expression is None:
        above = pen.plain.differential(PARTIAL, factor.reader.name, factor.reader.lag)
        below = pen.plain.differential(r"\partial", factor.value.name, factor.value.lag)
        return rf"\frac{{{above}}}{{{below}}}"
    if factor.kind == MATRIX:
        text = pen.plain.marked(factor.expression)
        return f"({text})" if isinstance(factor.expression, (Sum, Negative)) else text
    assert factor.kind == DIAGONAL
    shapes = pen.graph.shapes
    text = pen.factor(factor.expression, shapes[factor.reader.name], shapes[factor.value.name])
    scalar = SCALAR in (shapes[factor.reader.name], shapes[factor.value.name])
    return f"({text})" if text.startswith("-") or (scalar and _is_sum(text)) else text


def _is_sum(text: str) -> bool:
    """Whether a sign stands outside all brackets: what a max sends back is one expression, and printed as a sum."""
    depth = 0
    for character in text:
        depth += (character in "{[(") - (character in "}])")
        if character in "+-" and not depth:
            return True
    return False


def _way(pen: Pen, step: OneStep, path: Path) -> str:
    if path in step.direct:
        return "the carousel" if len(step.direct) == 1 else "directly"
    passed = [each for each in path.stages[:-1] if each[0] in pen.notation.symbols]
    symbols = [math_text(pen.plain(Value(name, at - 2))) for name, at in passed]
    while len(symbols) > 2 and math.fsum(map(width, symbols)) > WIDEST_WAY:
        middle = len(symbols) // 2
        symbols[middle - 1 : middle + 1] = [r"$\dots$"]
    return f"by {', '.join(symbols)}" if symbols else "entry by entry"


# ---------------------------------------------------------------- many steps


def _carousels(pen: Pen, steps: Sequence[OneStep]) -> list[Block]:
    """The direct paths over k steps; or that there are none."""
    direct = [step for step in steps if step.carousel is not None]
    others = [pen.value(step.state) for step in steps if step.carousel is None]
    if not direct:
        return [Prose(
            r"This cell has no \emph{constant error carousel}: there is no path on which a state is only multiplied, "
            "entry by entry, by something other than itself. On every path is a matrix, or an activation, or a "
            "factor that depends on the state. The norm of the products decides how much of the gradient is left.")]
    names = listed([pen.value(step.state) for step in direct])
    told = (rf"The direct path of {names} is the \emph{{constant error carousel}}: on it is no matrix and no "
            "activation. The state is only multiplied, entry by entry, by something other than itself. Along this "
            "path alone, the derivative over $k$ steps is")
    if len(direct) > 1:
        told = (rf"The direct paths of {names} are \emph{{constant error carousels}}: on them is no matrix and no "
                "activation. A state is only multiplied, entry by entry, by something other than itself. Along these "
                "paths alone, the derivatives over $k$ steps are")
    equations = [_many_steps(pen, step.state, step.carousel) for step in steps if step.carousel is not None]
    blocks: list[Block] = [Prose(told), pen.gathered(equations)]
    after = ("Only these factors decide what passes: near one they let the gradient pass, and near zero they stop "
             "it.")
    if others:
        is_one = len(others) == 1
        after += (f" {sentence(listed(others))} {'has' if is_one else 'have'} no such path.")
    return [*blocks, Prose(after)]


def _many_steps(pen: Pen, state: str, carousel: Expression) -> SmallEquation:
    shape = pen.graph.shapes[state]
    left = rf"{_derivative(pen, state, 't', 't-k')}\bigg|_{{\text{{direct}}}}"
    later = Printer(pen.notation, "t-j")
    factor = pen.factor(carousel, shape, shape, later)
    if shape == SCALAR and _is_sum(factor):
        factor = f"({factor})"
    return SmallEquation(left, rf"\prod_{{j=0}}^{{k-1}}{factor}")


# ---------------------------------------------------------------- measured


def _figure(pen: Pen, measured: Fading, plain: Fading) -> list[Block]:
    sizes = ", ".join(f"{keyword.replace('_', ' ')} {size}" for keyword, size in measured.sizes)
    caption = (r"The norm of $\mathrm d\bm s_t/\mathrm d\bm s_{t-k}$, the largest factor by which a change of "
               f"a state $\\bm s$ can grow in $k$ steps: the median of "
               f"{count(measured.examples, 'sequence')} of unit normal inputs, with fresh parameters"
               f"{f' ({sizes})' if sizes else ''}; and the same for a simple "
               r"RNN, $\bm h_t=\tanh(\bm W\bm x_t+\bm R\bm h_{t-1}+\bm b)$, with 16 units.")
    if len(measured.curves) < len(measured.steps):
        caption += f" The first {len(measured.curves)} of {count(len(measured.steps), 'state')} are shown."
    if any(curve.direct for curve in measured.curves):
        caption += " Dashed: along the direct path only."
    return [Prose(_measured_told(pen, measured, plain)),
            Picture((Drawn(_axis(pen, measured, plain), "1"),), caption, "fig:fading")]


def _measured_told(pen: Pen, measured: Fading, plain: Fading) -> str:
    told = [f"{_number(curve.every[TOLD])} for {pen.value(curve.state)}"
            for curve in measured.curves if math.isfinite(curve.every[TOLD])]
    fresh = ("With fresh, untrained parameters (Figure~\\ref{fig:fading}), the norm "
             f"after {TOLD} steps is {listed(told)}, and {_number(plain.curves[0].every[TOLD])} for a simple "
             "RNN.") if told else ""
    return fresh or r"Figure~\ref{fig:fading} shows the measured norms."


def _number(value: float) -> str:
    """Three digits: 0.0123, and powers of ten beyond. What rounding may have left of 0 has no digits worth telling."""
    if 0 < abs(value) < RESIDUE:
        return rf"less than $10^{{{math.log10(RESIDUE):.0f}}}$"
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"${value:.3g}$"
    digits, exponent = f"{value:.2e}".split("e")
    return rf"${digits}\cdot 10^{{{int(exponent)}}}$"


def _axis(pen: Pen, measured: Fading, plain: Fading) -> str:
    curves = (*measured.curves, *plain.curves)
    top = 2 * max(1.0, *(value for curve in curves for value in curve.every if math.isfinite(value)))
    lines = [
        r"\begin{tikzpicture}",
        r"\begin{axis}[width=132mm,height=62mm,ymode=log,xmin=0,"
        rf"xmax={LAGS},ymin={FLOOR:.0e},ymax={min(top, 1e12):.2e},",
        r"  xlabel={steps back, $k$},axis lines=left,axis line style={aside,-},tick style={aside},",
        r"  tick label style={font=\footnotesize},label style={font=\small},ymajorgrids,",
        r"  grid style={draw=hairline,line width=.3pt},no markers,",
        r"  every axis plot/.append style={line width=1pt},",
        r"  legend style={draw=none,fill=none,font=\footnotesize,at={(0.5,-0.3)},anchor=north,",
        r"  legend columns=4,",
        r"  /tikz/every even column/.append style={column sep=3mm}}]",
    ]
    for curve in measured.curves:
        colour = f"fork{pen.colours[curve.state]}" if curve.state in pen.colours else "ink"
        symbol = pen.notation.symbols[curve.state].spell(pen.notation.is_bold(curve.state))
        lines += _plot(curve.every, f"draw={colour}", f"${symbol}$")
        if curve.direct is not None:
            lines += _plot(curve.direct, f"draw={colour},dashed", rf"${symbol}$, direct")
    lines += _plot(plain.curves[0].every, "draw=aside,densely dotted", "simple RNN")
    return "\n".join([*lines, r"\end{axis}", r"\end{tikzpicture}"])


def _plot(values: Sequence[float], style: str, legend: str) -> list[str]:
    if not _is_drawable(values):
        return []
    points = [(lag, value) for lag, value in enumerate(values)
              if lag % STRIDE == 0 and FLOOR / 1e3 < value < 1e12]
    drawn = "".join(f"({lag},{value:.2e})" for lag, value in points)
    return [rf"\addplot[{style}] coordinates {{{drawn}}};", rf"\addlegendentry{{{legend}}}"]


def _is_drawable(values: Sequence[float]) -> bool:
    return sum(math.isfinite(value) and FLOOR < value < 1e12 for value in values[:: STRIDE]) > 1
