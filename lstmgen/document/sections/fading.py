"""How the gradient vanishes or explodes: a simple RNN, this cell's carousel, one detour, and what is measured."""

from __future__ import annotations

import math as numbers
from collections.abc import Sequence

from ...derivation.graph import Graph
from ...language.expressions import ONE, Call, Expression, Negative, Sum, Value
from ...language.shapes import SCALAR
from ...numerics.fading import LAGS, Fading, OneStep, one_step, one_steps
from ...numerics.paths import DIAGONAL, MATRIX, Path
from ..blocks import Block, Drawn, Formula, Picture, Prose, Section
from ..inline import code, emphasis, figure, math, words
from ..latex.lines import plain
from ..latex.printer import Printer
from ..pen import Equation, Pen, SmallEquation, Term
from ..wording import count, listed, sentence
from .paths import derivative, is_sum, path_text, way

FLOOR = 1e-10  # of the figure
RESIDUE = 1e-15
TOLD = 20  # the lag of which the text speaks
STRIDE = 2  # lags between two points of a curve
GATES = (0.5, 0.73, 0.97, 0.99)  # of which curves are drawn; the sigmoids of the biases below
BIASES = ("0", "1", "3.5", "4.6")


def fading_section(pen: Pen, measured: Fading | None, plain: Fading | None) -> Section | None:
    """What is left of a state's gradient after a step, and after many. `plain` is that of a simple RNN."""
    steps = measured.steps if measured else one_steps(pen.derivation)
    steps = tuple(step for step in steps if step.count)
    if not steps:
        return None
    simple = _is_simple(steps)
    blocks: list[Block] = _simple_network(pen, simple)
    has_carousel = any(step.carousel is not None for step in steps)
    blocks += _carousels(pen, steps) if has_carousel else [] if simple else [Prose(_no_carousel(pen, steps))]
    blocks += _detour(pen, steps)
    if not simple:
        blocks += _together(pen)
    if has_carousel or (measured and any(_is_drawable(curve.every) for curve in measured.curves)):
        blocks += _figure(pen, measured, None if simple else plain, has_carousel, simple)
    blocks.append(Prose(_clipping(pen)))
    title = "Vanishing and exploding gradients"
    return Section(title + ": the constant error carousel" * has_carousel, "fading", tuple(blocks))


def _is_simple(steps: Sequence[OneStep]) -> bool:
    """Whether the cell is a simple RNN itself: one path, through one activation and one matrix."""
    return len(steps) == 1 and steps[0].count == 1 and steps[0].carousel is None and [
        factor.kind for path in steps[0].paths for factor in path.factors(2)] == [DIAGONAL, MATRIX]


# ---------------------------------------------------------------- a simple RNN


def _simple_network(pen: Pen, is_simple: bool) -> list[Block]:
    lead = ("This cell is a simple RNN." if is_simple else words(
        r"First a simple RNN, $\bm h_t=g(\bm a_t)$ with $\bm a_t=\bm W\bm x_t+\bm R\bm h_{t-1}+\bm b$, where $\bm h$, "
        r"$\bm W$ and $\bm R$ are those of that network."))
    if is_simple:
        state = pen.graph.states[0]
        top, below, past = (Printer(pen.notation, step)(Value(state)) for step in ("t", f"t-{pen.lag}", "t-1"))
        path = one_step(pen.derivation, state).paths[0]
        inner = Printer(pen.notation, "t-j")
        diagonal, matrix = path.factors(2)
        assert diagonal.expression is not None and matrix.expression is not None
        local = plain(pen.factor(diagonal.expression, pen.graph.shapes[state], pen.graph.shapes[state], inner))
        square = inner(matrix.expression)
        lead += (f" A change of {math(past)} reaches {math(top)} along one path only, so the derivative over {math(pen.lag)} "
                 "steps is a product:")
    else:
        top, below, square = r"\bm h_t", rf"\bm h_{{t-{pen.lag}}}", r"\bm R"
        local = r"\operatorname{diag}(g'(\bm a_{t-j}))"
        lead += f" There is one path from step to step, so the derivative over {math(pen.lag)} steps is a product:"
    whole = rf"\frac{{\mathrm d {top}}}{{\mathrm d {below}}}"
    bound = rf"\Bigl\lVert{whole}\Bigr\rVert\le(\gamma\,\lVert {square}\rVert)^{pen.lag} ,"
    return [
        Prose(lead),
        Formula(rf"{whole}=\prod_{{j=0}}^{{{pen.lag}-1}}{local}\,{square},\qquad {bound}"),
        Prose(words(r"where $\gamma$ is the largest value of the activation's derivative: 1 for $\tanh$, $\tfrac14$ for "
                    rf"$\sigma$. With $\gamma\,\lVert {square}\rVert<1$ the gradient ") + emphasis("vanishes")
              + ", at least as fast as the powers of that number. Only if it is larger than 1 can it "
              + f"{emphasis('explode')}.")]


# ---------------------------------------------------------------- the carousel


def _no_carousel(pen: Pen, steps: Sequence[OneStep]) -> str:
    one = len(steps) == 1
    return (f"This cell has no {emphasis('constant error carousel')}: there is no path on which "
            f"{'the state' if one else 'a state'} is only multiplied, entry by entry, by something that does not read it. On "
            "every path is a matrix, an activation, or a factor or a choice that depends on the state. The norm of the "
            "products decides how much of the gradient is left.")


def _carousels(pen: Pen, steps: Sequence[OneStep]) -> list[Block]:
    """The direct paths over k steps, and what their factors leave."""
    direct = [step for step in steps if step.carousel is not None]
    others = [step for step in steps if step.carousel is None]
    names = listed([pen.value(step.state) for step in direct])
    one = len(direct) == 1
    told = (f"In this cell there is a path on which {names} is only multiplied, entry by entry, by something that does not "
            f"read it: the {emphasis('constant error carousel')}. On it is no matrix and no activation. Along this path "
            f"alone,"
            if one else
            f"In this cell there are paths on which {names} are only multiplied, entry by entry, by something that does not "
            f"read them: {emphasis('constant error carousels')}. On them is no matrix and no activation. Along these "
            f"paths alone,")
    equations = [_many_steps(pen, step.state, step.carousel) for step in direct if step.carousel is not None]
    after = ("Only these factors decide what passes: near one they let the gradient pass, near zero they stop it. "
             f"A factor that stays at {math('f')} leaves {math(f'f^{pen.lag}')} after {math(pen.lag)} steps, and half of the "
             f"gradient after "
             f"{math(pen.lag + _HALF_LIFE)}: {_half_lives()}." if not all(step.carousel == ONE for step in direct) else
             "The factor is one: along this path nothing is lost, after any number of steps.")
    if others:
        is_one = len(others) == 1
        after += (f" {sentence(listed([pen.value(step.state) for step in others]))} {'has' if is_one else 'have'} no "
                  f"such path.")
        chosen = [pen.value(step.state) for step in others if _chooses(pen.graph, step.state)]
        if chosen:
            after += (f" On the way of {listed(chosen)} is a choice that the state itself decides, so it is no carousel.")
    blocks: list[Block] = [Prose(told), pen.gathered(equations), Prose(after)]
    gate = next((found for step in direct if (found := _gate(pen, step.carousel)) is not None), None)
    if gate is not None:
        blocks.append(Prose(_bias_told(pen, *gate)))
    return blocks


_HALF_LIFE = r"_{1/2}=\ln 2/(-\ln f)"


def _half_lives() -> str:
    told = [f"{numbers.log(2) / -numbers.log(gate):.3g}" for gate in GATES]
    return f"{listed(told)} steps for {math('f')} = {listed([str(gate) for gate in GATES])}"


def _chooses(graph: Graph, state: str) -> bool:
    """Whether max or min stands between a state and its next value."""
    reached, ahead = {state}, [state]
    while ahead:
        for reader in graph.readers(ahead.pop()):
            stage = graph.stage(reader.stage)
            if isinstance(stage.expression, Call) and stage.expression.function in ("max", "min") and stage.name == state:
                return True
            if reader.stage not in reached and not isinstance(stage.expression, Call):
                reached.add(reader.stage)
                ahead.append(reader.stage)
    return False


def _many_steps(pen: Pen, state: str, carousel: Expression) -> SmallEquation:
    shape = pen.graph.shapes[state]
    left = rf"{derivative(pen, state, 't', f't-{pen.lag}')}\bigg|_{{\text{{direct}}}}"
    factor = pen.factor(carousel, shape, shape, Printer(pen.notation, "t-j"))
    if shape == SCALAR and is_sum(factor):
        factor = f"({factor})"
    return SmallEquation(left, rf"\prod_{{j=0}}^{{{pen.lag}-1}}{factor}")


def _gate(pen: Pen, carousel: Expression | None) -> tuple[str, str, bool] | None:
    """The gate that is the factor, its bias, and whether the factor is one minus the gate."""
    match carousel:
        case Value(name=name, lag=0):
            opposite = False
        case Sum(terms=(first, Negative(operand=Value(name=name, lag=0)))) if first == ONE:
            opposite = True
        case _:
            return None
    stage = pen.graph.find(name)
    if stage is None or stage.function != "sigmoid" or not isinstance(stage.expression, Call):
        return None
    argument = stage.expression.arguments[0]
    before = pen.graph.find(argument.name) if isinstance(argument, Value) else None
    if before is None or not isinstance(before.expression, Sum):
        return None
    biases = [term.name for term in before.expression.terms if isinstance(term, Value) and term.name in pen.graph.parameters]
    return (name, biases[0], opposite) if len(biases) == 1 else None


def _bias_told(pen: Pen, gate: str, bias: str, opposite: bool) -> str:
    """Why the bias of the forget gate starts at one."""
    symbol, value = math(pen.plain(Value(bias))), pen.value(gate)
    sign = "-" if opposite else ""
    biases = [each if each == "0" else sign + each for each in BIASES]
    table = listed([f"{math(each)} gives {factor}" for each, factor in zip(biases, GATES)])
    init = next((parameter.init for parameter in pen.spec.parameters if parameter.name == bias), None)
    starts = float(init) if init is not None and not isinstance(init, str) else 0.0 if init is None else None
    told = (f"With small weights, {value} is near the sigmoid of its bias {symbol}, and the factor"
            f"{' is one minus that' if opposite else ''}: {symbol} = {table}. After {TOLD} steps, "
            f"{_number(GATES[0] ** TOLD)} "
            f"is left with the first, and {_number(GATES[1] ** TOLD)} with the second. That is why the bias is set to "
            f"{math(sign + '1')} before learning, or beyond.")
    if starts is not None:
        told += f" In this specification it starts at {math(f'{starts:g}')}."
    return told


# ---------------------------------------------------------------- the other paths


def _detour(pen: Pen, steps: Sequence[OneStep]) -> list[Block]:
    """One of the other paths, with all its factors."""
    step = next((step for step in steps if step.detour is not None), None)
    if step is None or step.detour is None:
        return []
    path: Path = step.detour
    left = derivative(pen, step.state, "t", "t-1") + r"\bigg|_{\text{one detour}}"
    told = (f"That is one of {count(step.count, 'path')} from {pen.value(step.state, -1)} to {pen.value(step.state)}. "
            f"Another "
            f"one leads {way(pen, step, path)}:")
    kinds = {factor.kind for factor in path.factors(2)}
    after = ("On it is a matrix, as in a simple RNN, and the factors of the gates."
             if MATRIX in kinds else "On it is no matrix, but the derivative of an activation.")
    return [Prose(told), pen.display([Equation(left + "={}", [Term(path_text(pen, path), "")])]), Prose(after)]


def _together(pen: Pen) -> list[Block]:
    """Why one state's own derivatives are not to be multiplied."""
    states = pen.graph.states
    if len(states) < 2:
        return []
    rows = ",".join(pen.plain(Value(name)) for name in states)
    (s,) = pen.letters("sSuqXY")
    return [Prose(words(
        rf"Over several steps the total derivatives of one state must not be multiplied: a change also leaves that "
        rf"state through "
        rf"another one and comes back later. What is multiplied is the Jacobian of all states together, $\bm "
        rf"{s}_t=({rows})$:")),
        Formula(rf"\frac{{\mathrm d\bm {s}_t}}{{\mathrm d\bm {s}_{{t-{pen.lag}}}}}=\prod_{{j=0}}^{{{pen.lag}-1}}"
                rf"\frac{{\mathrm d\bm {s}_{{t-j}}}}{{\mathrm d\bm {s}_{{t-j-1}}}} .")]


def _clipping(pen: Pen) -> str:
    return (words(r"Against a gradient that explodes, clip it: with the norm $\lVert\bm g\rVert$ of the gradients of all "
                  r"parameters together and a threshold $\theta$, put $\bm g\,\min(1,\theta/\lVert\bm g\rVert)$ in place of "
                  r"$\bm g$, so its direction stays. The module does this in ")
            + f"{code('clip_by_norm')}. Against one that vanishes clipping does not help.")


# ---------------------------------------------------------------- measured


def _figure(pen: Pen, measured: Fading | None, plain: Fading | None, has_carousel: bool, simple: bool) -> list[Block]:
    curves = measured.curves if measured else ()
    drawable = any(_is_drawable(curve.every) for curve in curves)
    said, told = [], []
    if has_carousel:
        said.append(f"Thin: what a factor that stays at {math('f')} leaves of the gradient, {math(f'f^{pen.lag}')}.")
    if measured and drawable:
        sizes = ", ".join(f"{keyword.replace('_', ' ')} {size}" for keyword, size in measured.sizes)
        (letter,) = pen.letters("sSuqXY")
        state = rf"\bm {letter}"
        derivative_of = math(rf"\mathrm d{state}_t/\mathrm d{state}_{{t-{pen.lag}}}")
        said.append(
            f"{'Thick: m' if has_carousel else 'M'}easured, the norm of {derivative_of}, the largest factor by which a "
            f"change of "
            f"a state {math(state)} grows in {math(pen.lag)} steps, with fresh parameters and unit normal inputs"
            f"{f' ({sizes}' if sizes else ' ('}; median of {count(measured.examples, 'sequence')})"
            + ("; and that of a simple RNN of this size." if plain else "."))
        if len(measured.curves) < len(pen.graph.states):
            said.append(f"The first {len(measured.curves)} of {count(len(pen.graph.states), 'state')} are shown.")
        if any(curve.direct for curve in curves):
            said.append("Dashed: along the direct path only.")
        told.append(_measured_told(pen, measured, plain))
    elif has_carousel:
        told.append(f"{figure('fading')} shows what is left.")
    return [*(Prose(text) for text in told),
            Picture((Drawn(_axis(pen, measured if drawable else None, plain, has_carousel), "1"),), " ".join(said), "fading")]


def _measured_told(pen: Pen, measured: Fading, plain: Fading | None) -> str:
    told = [f"{_number(curve.every[TOLD])} for {pen.value(curve.state)}"
            for curve in measured.curves if numbers.isfinite(curve.every[TOLD])]
    beside = f", and {_number(plain.curves[0].every[TOLD])} for a simple RNN" if plain else ""
    fresh = (f"Measured with fresh, untrained parameters ({figure('fading')}), along all paths, the norm after {TOLD} "
             f"steps is "
             f"{listed(told)}{beside}.") if told else ""
    return fresh or f"{figure('fading')} shows the measured norms."


def _number(value: float) -> str:
    """Two or three digits: 0.0123, and powers of ten beyond. What rounding may have left of 0 has no digits to tell."""
    if 0 < abs(value) < RESIDUE:
        return f"less than {math(f'10^{{{numbers.log10(RESIDUE):.0f}}}')}"
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return math(f"{value:.3g}")
    digits, exponent = f"{value:.2e}".split("e")
    return math(rf"{digits}\cdot 10^{{{int(exponent)}}}")


def _axis(pen: Pen, measured: Fading | None, plain: Fading | None, has_carousel: bool) -> str:
    curves = (*(measured.curves if measured else ()), *(plain.curves if plain else ()))
    top = 2 * max(1.0, *(value for curve in curves for value in curve.every if numbers.isfinite(value)), 1.0)
    lines = [
        r"\begin{tikzpicture}",
        r"\begin{axis}[width=136mm,height=50mm,ymode=log,xmin=0,"
        rf"xmax={LAGS},ymin={FLOOR:.0e},ymax={min(top, 1e12):.2e},",
        rf"  xlabel={{steps back, ${pen.lag}$}},axis lines=left,axis line style={{aside,-}},tick style={{aside}},",
        r"  tick label style={font=\footnotesize},label style={font=\small},ymajorgrids,",
        r"  grid style={draw=hairline,line width=.3pt},no markers,",
        r"  every axis plot/.append style={line width=1pt},",
        r"  legend style={draw=none,fill=none,font=\footnotesize,at={(0.5,-0.34)},anchor=north,",
        r"  legend columns=4,",
        r"  /tikz/every even column/.append style={column sep=3mm}}]",
    ]
    if has_carousel:
        lines += [line for gate in GATES for line in _constant(gate)]
    for curve in measured.curves if measured else ():
        colour = f"fork{pen.colours[curve.state]}" if curve.state in pen.colours else "ink"
        symbol = pen.notation.symbols[curve.state].spell(pen.notation.is_bold(curve.state))
        lines += _plot(curve.every, f"draw={colour}", f"${symbol}$")
        if curve.direct is not None:
            lines += _plot(curve.direct, f"draw={colour},dashed", rf"${symbol}$, direct")
    if plain:
        lines += _plot(plain.curves[0].every, "draw=aside,densely dotted", "simple RNN")
    return "\n".join([*lines, r"\end{axis}", r"\end{tikzpicture}"])


def _constant(gate: float) -> list[str]:
    """f to the power of k: a straight line, with its name at its end."""
    last = min(float(LAGS), numbers.log(FLOOR) / numbers.log(gate))
    at, anchor = (last, "south east" if gate == GATES[-1] else "north east")
    if last < LAGS:  # the line leaves the figure below
        at, anchor = (0.85 * last, "east" if gate == GATES[0] else "south west")
    return [rf"\addplot[draw=aside,line width=.5pt,forget plot] coordinates {{(0,1)({last:.2f},{gate ** last:.2e})}};",
            rf"\node[anchor={anchor},font=\scriptsize,text=aside,inner sep=2pt] at (axis cs:{at:.1f},{gate ** at:.2e}) "
            rf"{{$f={gate:g}$}};"]


def _plot(values: Sequence[float], style: str, legend: str) -> list[str]:
    if not _is_drawable(values):
        return []
    points = [(lag, value) for lag, value in enumerate(values)
              if lag % STRIDE == 0 and FLOOR / 1e3 < value < 1e12]
    drawn = "".join(f"({lag},{value:.2e})" for lag, value in points)
    return [rf"\addplot[{style}] coordinates {{{drawn}}};", rf"\addlegendentry{{{legend}}}"]


def _is_drawable(values: Sequence[float]) -> bool:
    return sum(numbers.isfinite(value) and FLOOR < value < 1e12 for value in values[:: STRIDE]) > 1
