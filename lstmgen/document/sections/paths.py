"""All paths of one step: how a state reaches its next value. Only where it is asked for."""

from __future__ import annotations

import math as numbers

from ...language.expressions import Negative, Sum, Value
from ...language.shapes import SCALAR
from ...numerics.fading import OneStep, one_steps
from ...numerics.paths import DIAGONAL, MATRIX, OPERATION, Factor, Path
from ..blocks import Block, Display, Prose, Section
from ..inline import math
from ..latex.lines import BREAK
from ..latex.printer import Printer
from ..latex.text import text_width
from ..pen import PARTIAL, Equation, Pen, Term
from ..wording import count, sentence

BESIDE = rf"{BREAK}0\;"  # between two matrices
WIDEST_WAY = 110.0


def paths_section(pen: Pen) -> Section | None:
    """The total derivative of each state over one step, path by path."""
    steps = [step for step in one_steps(pen.derivation) if step.count]
    if not steps:
        return None
    states = "each state" if len(steps) > 1 else "the state"
    blocks: list[Block] = [Prose(
        f"The total derivative of {states} with respect to itself one step earlier is a sum over all paths, with a "
        f"product of "
        "matrices for each path. Read from right to left, a product follows the forward pass.")]
    for step in steps:
        blocks += _one_step(pen, step)
    return Section("The paths of one step", "paths", tuple(blocks))


def _one_step(pen: Pen, step: OneStep) -> list[Block]:
    lead = "leads" if step.count == 1 else "lead"
    told = f"{sentence(count(step.count, 'path'))} {lead} from {pen.value(step.state, -1)} to {pen.value(step.state)}"
    if step.listed:
        told += ":"
    elif step.count > 1:
        told += ", too many to list here" + (
            "; this is the direct one:" if len(step.direct) == 1 else "; these are direct:" if step.direct else ".")
    return [Prose(told), _paths(pen, step)] if step.paths else [Prose(told)]


def _paths(pen: Pen, step: OneStep) -> Display:
    left = derivative(pen, step.state, "t", "t-1")
    terms: list[Term] = []
    for path in step.paths:
        text = path_text(pen, path)
        terms.append(Term("{}+" + text if terms else text, way(pen, step, path)))
    if not step.listed:
        terms.append(Term(r"{}+\cdots", "the others"))
    return pen.display([Equation(left + "={}", terms)])


def path_text(pen: Pen, path: Path) -> str:
    """The derivative along a path, a product of matrices, with marks where a line may end."""
    return BESIDE.join(_matrix(pen, factor) for factor in path.factors(2)) or r"\bm I"


def derivative(pen: Pen, name: str, above: str, below: str) -> str:
    """The total derivative of a value at one step with respect to itself at another."""
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
    return f"({text})" if text.startswith("-") or (scalar and is_sum(text)) else text


def is_sum(text: str) -> bool:
    """Whether a sign stands outside all brackets: what a max sends back is one expression, and printed as a sum."""
    depth = 0
    for character in text:
        depth += (character in "{[(") - (character in "}])")
        if character in "+-" and not depth:
            return True
    return False


def way(pen: Pen, step: OneStep, path: Path) -> str:
    """The values that a path passes."""
    if path in step.direct:
        return "the carousel" if len(step.direct) == 1 else "directly"
    passed = [each for each in path.stages[:-1] if each[0] in pen.notation.symbols]
    symbols = [math(pen.plain(Value(name, at - 2))) for name, at in passed]
    while len(symbols) > 2 and numbers.fsum(map(text_width, symbols)) > WIDEST_WAY:
        middle = len(symbols) // 2
        symbols[middle - 1 : middle + 1] = [math(r"\dots")]
    return f"by {', '.join(symbols)}" if symbols else "entry by entry"
