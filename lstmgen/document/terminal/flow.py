"""How gradients vanish or explode, for the command `flow`: text for a terminal, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...derivation.chain import Derivation
from ...language.expressions import Call, Negative, Value
from ...language.shapes import SCALAR, shape_of
from ...language.text import plain
from ...numerics.fading import LAGS, MOST_ENTRIES, SHOWN, Curve, Fading, OneStep
from ...numerics.paths import DIAGONAL, Factor
from ...numerics.paths import Path as Way
from ...numerics.worked import three_digits
from ..charts import COLOURS, GREY, Chart, Series, draw, write
from .columns import INDENT, Row, bold, counted, display, grey, listed, prose

REFERENCE = "rnn"  # the packaged cell that all others are compared with


# ---------------------------------------------------------------- text


def flow_text(cells: Sequence[tuple[Derivation, Fading]], unicode: bool, width: int) -> str:
    """The one-step derivatives, all paths where there is one cell alone, and a table of the norms."""
    own = [cell for cell in cells if cell[1].name != REFERENCE] or list(cells)
    lines: list[str] = []
    for derivation, fading in cells:
        title = fading.title if unicode else fading.title.encode("ascii", "replace").decode("ascii")
        lines += [f"{bold(title)}  {grey(fading.name)}", ""]
        for step in fading.steps:
            if len(own) == 1 and fading is own[0][1]:
                lines += [*_written(derivation, step, unicode, width), ""]
            else:
                lines += prose(_summary(step, unicode), width)
        if lines[-1]:
            lines.append("")
    names = "∂s[t] / ∂s[t-k]" if unicode else "d s[t] / d s[t-k]"
    fadings = [fading for _, fading in cells]
    lines += [bold(f"The norm of {names} over the lag k"), *_table(fadings, width), ""]
    return "\n".join([*lines, *_reading(fadings, width)])


def _derivative(step: OneStep, unicode: bool) -> str:
    return f"∂{step.state} / ∂{step.state}[t-1]" if unicode else f"d {step.state} / d {step.state}[t-1]"


def _summary(step: OneStep, unicode: bool) -> str:
    """A state in a sentence."""
    if not step.count:
        return f"{step.state}: no path leads from {step.state}[t-1] to {step.state}."
    many = f"{step.state}: {counted(step.count, 'path')} of one step"
    if step.carousel is None:
        return f"{many}; no direct path."
    factor = plain(step.carousel, unicode).replace(" ", "~")
    return f"{many}; the direct path multiplies by {factor}."


def _written(derivation: Derivation, step: OneStep, unicode: bool, width: int) -> list[str]:
    """A state's one-step derivative, a line per path."""
    if not step.count:
        return prose(_summary(step, unicode), width)
    rows = []
    for index, path in enumerate(step.paths):
        remark = "the direct path" if path in step.direct else _way(derivation, path, step.state)
        negative, factors = _signed(path.factors(2))
        body = "  ".join(_spelled(factor, derivation, unicode) for factor in factors)
        minus = "−" if unicode else "-"
        sign = "=" if not index else minus if negative else "+"
        left = "" if index else _derivative(step, unicode)
        rows.append(Row(left, sign, minus + body if negative and not index else body, remark, True))
    if not step.listed:
        rest = f"{step.count - len(step.paths)} more paths"
        rows.append(Row("" if rows else _derivative(step, unicode), "+" if rows else "=", rest, "", True))
    lines = display(rows, width)
    if not step.direct:
        told = f"No direct path: on every path of {step.state} is a matrix, an activation or a sum."
        lines += prose(told, width)
    return lines


def _signed(factors: tuple[Factor, ...]) -> tuple[bool, tuple[Factor, ...]]:
    """Whether their product begins with a minus sign, and the factors without any."""
    bare = tuple(
        replace(each, expression=each.expression.operand) if isinstance(each.expression, Negative) else each
        for each in factors
    )
    return sum(new is not old for new, old in zip(bare, factors)) % 2 == 1, bare


def _way(derivation: Derivation, path: Way, state: str) -> str:
    """The equations that a path passes, without its ends."""
    passed = [
        plain(Value(name, step - 2), False) for name, step in path.stages[:-1]
        if derivation.graph.stage(name).owner == name
    ]
    return f"by {', '.join(passed)}" if passed else ""


def _spelled(factor: Factor, derivation: Derivation, unicode: bool) -> str:
    if factor.expression is None:
        sign = "∂" if unicode else "d "
        return f"({sign}{plain(factor.reader, unicode)} / {sign}{plain(factor.value, unicode)})"
    shapes = derivation.graph.shapes
    if factor.kind == DIAGONAL and shape_of(factor.expression, shapes) != SCALAR:
        return plain(Call("diag", (factor.expression,)), unicode)
    text = plain(factor.expression, unicode)
    return f"({text})" if " " in text else text


def _table(fadings: Sequence[Fading], width: int) -> list[str]:
    """Cells side by side, as many as there is room for; under each its states, and the paths taken."""
    lags = [lag for lag in SHOWN if lag <= LAGS]
    margin = _block([("", "", "k", [str(lag) for lag in lags])], INDENT)
    tables = [margin]
    for fading in fadings:
        block = _block(_columns(fading, lags), "    ")
        if tables[-1] is not margin and len(tables[-1][0] + block[0]) > width:
            tables.append(margin)
        tables[-1] = [left + right for left, right in zip(tables[-1], block)]
    lines: list[str] = []
    for table in tables:
        heads = [grey(line.rstrip()) for line in table[:_HEADS]]
        lines += [*([""] if lines else []), *heads, *table[_HEADS:]]
    return [line.rstrip() for line in lines]


_HEADS = 3  # lines above the numbers: cell, state, paths


def _columns(fading: Fading, lags: Sequence[int]) -> list[tuple[str, str, str, list[str]]]:
    """A cell's columns: name, state, which paths, numbers; a name is told once."""
    found: list[tuple[str, str, str, list[str]]] = []
    for curve in fading.curves:
        ways = [("direct", curve.direct), ("all", curve.every)] if curve.direct else [("all", curve.every)]
        for index, (which, norms) in enumerate(ways):
            head = "" if found else fading.name
            told = [three_digits(norms[lag]) for lag in lags]
            found.append((head, "" if index else curve.state, which, told))
    return found or [(fading.name, "", "", ["not measured", *[""] * (len(lags) - 1)])]


def _block(columns: Sequence[tuple[str, str, str, list[str]]], gap: str) -> list[str]:
    """Columns beside each other, all lines of one length."""
    lines = [columns[0][0], *[""] * (_HEADS - 1 + len(columns[0][3]))]
    for at, (_, state, which, numbers) in enumerate(columns):
        cells = ["", state, which, *numbers]
        width = max(map(len, cells))
        begin = "  " if at else ""
        lines[1:] = [line + begin + cell.rjust(width) for line, cell in zip(lines[1:], cells[1:])]
    longest = max(map(len, lines))
    lines[0] = lines[0].ljust(longest)  # the cell's name begins where its first column does
    return [gap + line.rjust(longest) for line in lines]


def _reading(fadings: Sequence[Fading], width: int) -> list[str]:
    """How it was measured, in grey."""
    sizes = listed(dict.fromkeys(_sizes(fading) for fading in fadings), "or")
    first = fadings[0]
    texts = [
        "The derivative is the total derivative: along all paths from a state to itself, also through other states. "
        "On the direct path, the constant error carousel, the state is only multiplied, entry by entry.",
        f"Norm: the largest singular value, the median of {first.examples} sequences. {_parameters(fadings)}, unit normal "
        f"inputs, seed {first.seed}; {sizes}.",
    ]
    return [grey(line) for text in texts for line in prose(text, width, "")]


def _parameters(fadings: Sequence[Fading]) -> str:
    own = [fading.name for fading in fadings if fading.own_parameters]
    fresh = "resh parameters of init_params"
    if not own:
        return f"F{fresh}"
    return f"The given parameters of {listed(own)}" + f", f{fresh} elsewhere" * (len(own) < len(fadings))


def _sizes(fading: Fading) -> str:
    by_size: dict[int, list[str]] = {}
    for keyword, size in fading.sizes:
        by_size.setdefault(size, []).append(keyword)
    return ", ".join(f"{' = '.join(keywords)} = {size}" for size, keywords in by_size.items())


# ---------------------------------------------------------------- figure


def flow_chart(fadings: Sequence[Fading]) -> Chart:
    """A curve for each state along all paths, and a dashed one along its direct path."""
    colours = iter(COLOURS * (1 + sum(len(fading.curves) for fading in fadings) // len(COLOURS)))
    series: list[Series] = []
    for fading in fadings:
        reference = fading.name == REFERENCE and len(fadings) > 1
        for curve in fading.curves:
            series += _pair(f"{fading.name}, {curve.state}", curve, GREY if reference else next(colours))
    return Chart(
        title="Vanishing and exploding gradients: the norm of d s[t] / d s[t-k]",
        note=f"{_whose(fadings)} parameters, unit normal input, median of {fadings[0].examples} sequences, states of at "
             f"most {MOST_ENTRIES} numbers, seed {fadings[0].seed}",
        axis="k, steps back",
        series=tuple(series),
        kinds=("along all paths", "along the direct path"),
    )


def _whose(fadings: Sequence[Fading]) -> str:
    return "given" if any(fading.own_parameters for fading in fadings) else "fresh"


def _pair(label: str, curve: Curve, colour: str) -> list[Series]:
    pair = [Series(label, curve.every, colour)]
    return pair + [Series("", curve.direct, colour, dashed=True)] if curve.direct else pair


def write_figure(path: Path, fadings: Sequence[Fading], force: bool) -> None:
    """Draw it into a file whose ending says how; a file that is not a figure of ours stays as it is."""
    write(path, draw(flow_chart(fadings), path.suffix[1:].lower()), force)
