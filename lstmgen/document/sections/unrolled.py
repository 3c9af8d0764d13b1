"""The pages of the unrolled gradient: a line for each step, and the paths of each step where they are few."""

from __future__ import annotations

import math

from ...derivation.chain import START
from ...language.expressions import Value, total
from ...numerics.paths import MOST_LISTED, Path, Step, UnrolledGradient, unroll
from ..blocks import Block, Heading, Prose, Section
from ..inline import emphasis, math as formula
from ..latex.lines import broken, width
from ..latex.printer import Printer
from ..latex.text import text_width
from ..pen import CONTINUED, TEXT_WIDTH, Equation, Pen, Term
from ..wording import count, listed

WIDEST_WAY = 100.0  # points of the symbols that tell a path
WIDEST_LEFT = 60.0  # and of what they add up to
MOST_LINES = 4  # of a path that is written out


def unrolled_section(pen: Pen, steps: int) -> Section | None:
    """Every parameter's gradient over so many steps; and the paths of one of them."""
    if any(stage.function == "clip_gradient" for stage in pen.graph.stages):
        return Section(f"Unrolled over {count(steps, 'step')}", "unrolled", (Prose(
            "This cell clips gradients on their way back. A sum of clipped paths is not the clipped sum, so the gradients "
            "are not written out path by path."),))
    still = [gradient.value for gradient in pen.derivation.stages if pen.is_still(gradient.value)]
    names = [*still, *(gradient.value for gradient in pen.derivation.parameters)]
    found = [unroll(pen.derivation, name, steps) for name in names if _hears_from_steps(pen, name)]
    shown = [gradient for gradient in found if gradient.lines]
    if not shown:
        return None
    blocks: list[Block] = [
        Prose(_told(pen, steps)),
        pen.display([_lines(pen, gradient) for gradient in shown]),
    ]
    richest = max(shown, key=lambda gradient: sum(len(line.paths) for line in _listed(pen, gradient)))
    blocks += _paths(pen, richest)
    return Section(f"Unrolled over {count(steps, 'step')}", "unrolled", tuple(blocks))


def _hears_from_steps(pen: Pen, name: str) -> bool:
    """Whether all contributions come from steps, and none from a static value."""
    return all(fork.over_time or fork.kind == START for fork in pen.derivation.adjoints[name].forks)


def _told(pen: Pen, steps: int) -> str:
    ends = ("the loss" if pen.graph.loss is not None else
            "a place where a gradient comes from outside, at any step")
    over = formula(f"{pen.notation.steps}={steps}")
    return (f"Over {over} steps, each sum over time has a line for each step. A "
            f"{emphasis('path')} is one choice of a branch at every fork, from the parameter to {ends}. "
            "The margin says how many paths the adjoint in a line adds up. Backpropagation does not follow them "
            "one by one: the sums at the forks handle all of them at once. Here no gradient of the final state "
            "comes from outside.")


def _lines(pen: Pen, gradient: UnrolledGradient) -> Equation:
    terms: list[Term] = []
    for line in gradient.lines:
        text = _at(pen, line.step).marked(total(*line.terms))
        terms.append(Term(_joined(text, not terms), f"{_when(line)}, {count(line.count, 'path')}"))
    return Equation(pen.plain.adjoint(gradient.value) + "={}", terms)


def _when(line: Step) -> str:
    return f"step {line.step}" if line.step else "before step 1"


def _joined(text: str, is_first: bool) -> str:
    if is_first:
        return text
    return "{}" + text if text.startswith("-") else "{}+" + text


def _at(pen: Pen, step: int) -> Printer:
    return Printer(pen.notation, str(step))


def _listed(pen: Pen, gradient: UnrolledGradient) -> list[Step]:
    """The steps whose paths are few, and none of them too long to be looked through."""
    few = [line for line in gradient.lines if line.paths]
    return [line for line in few if all(_is_short(pen, path) for path in line.paths)]


def _is_short(pen: Pen, path: Path) -> bool:
    limit = TEXT_WIDTH - WIDEST_WAY - WIDEST_LEFT
    lines = broken(_at(pen, path.step).marked(path.term), limit, limit - CONTINUED)
    return len(lines) <= MOST_LINES and max(map(width, lines)) <= limit


def _paths(pen: Pen, gradient: UnrolledGradient) -> list[Block]:
    """The paths of one parameter, step by step."""
    lines = _listed(pen, gradient)
    if not lines:
        return []
    symbol = pen.value(gradient.value)
    counted = [line for line in gradient.lines if line not in lines]
    told = (f"This is what each step adds to the gradient of {symbol}, path by path, with every factor written out. "
            "The margin names the forks on each path.")
    if counted:
        told += f" There are {gradient.count} paths in all."
        steps = listed([f"{line.count} of step {line.step}" for line in counted])
        told += (f" If a step has more than {MOST_LISTED} paths, or one of more than four lines, its paths are not "
                 f"listed: {steps}.")
    title = "The paths to "
    return [
        Heading(title + symbol, title + gradient.value),
        Prose(told),
        pen.display([_step_paths(pen, gradient, line) for line in lines]),
    ]


def _step_paths(pen: Pen, gradient: UnrolledGradient, line: Step) -> Equation:
    terms: list[Term] = []
    for path in line.paths:
        text = _at(pen, line.step).marked(path.term)
        terms.append(Term(_joined(text, not terms), _way(pen, path)))
    left = rf"{pen.plain.adjoint(gradient.value)}\big|_{{{line.step}}}={{}}"
    return Equation(left, terms)


def _way(pen: Pen, path: Path) -> str:
    """The forks that a path passes: where it could have gone elsewhere."""
    passed = [each for each in path.stages if any(gradient.value == each[0] for gradient in pen.forks)]
    passed = list(dict.fromkeys(passed or path.stages[-1:]))
    symbols = [formula(_at(pen, step)(Value(name))) for name, step in passed]
    while len(symbols) > 2 and math.fsum(map(text_width, symbols)) > WIDEST_WAY:
        middle = len(symbols) // 2
        symbols[middle - 1 : middle + 1] = [formula(r"\dots")]
    return ", ".join(symbols)
