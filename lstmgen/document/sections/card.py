"""The first page: the cell as its author wrote it, its backward pass on one card, and where derivations go wrong."""

from __future__ import annotations

from ...derivation.chain import OUTER, OUTPUT, START, TRANSPOSED, Contribution, Gradient
from ...derivation.condensed import condensed, written
from ...language.expressions import Call, Expression, Value, values, walk
from ...language.functions import WHERE
from ...numerics.fading import MOST_STATES, one_step
from ..blocks import Block, Box, Prose, Section
from ..inline import emphasis, equation, math, section, words
from ..latex.lines import BREAK
from ..pen import Equation, Pen, Term
from ..wording import count, listed

MOST_ON_A_PAGE = 27  # lines of both directions, with the box below them
MOST_LINES = 40  # of a card; what is longer is no card


def card_section(pen: Pen) -> Section:
    """Both passes without the stages in between, each line with the number of its equation in the sections that follow."""
    lines = condensed(pen.derivation)
    forward = pen.display(_forward(pen, lines), small=True)
    blocks: list[Block] = [Prose("Forward, with the numbers under which each equation is taken apart below:"), forward]
    mistakes = _mistakes(pen)
    box = [Box("Where derivations go wrong.", tuple(mistakes), "fork1" if pen.colours else "ink")] * bool(mistakes)
    parameters = {gradient.value for gradient in pen.derivation.parameters}
    moving = [gradient for gradient in lines if gradient.value not in parameters and not pen.is_still(gradient.value)]
    backward = [_adjoint(pen, gradient) for gradient in moving]
    if len(backward) <= MOST_LINES:
        downwards = rf"t={pen.notation.steps},\dots,1"
        when = f"For {math(downwards)}, " if _has_time(pen) else ""
        blocks += [
            Prose(f"{when or 'At each step, '}backward, in this order:"),
            pen.display(backward, small=True)]
    simple = [pen.gradient_equation(gradient) for gradient in pen.derivation.parameters if len(gradient.forks) == 1]
    if simple:
        blocks += [Prose("Parameters, each the same at all steps:"), pen.columns(simple, small=True)]
    if len(forward.rows) + len(backward) > MOST_ON_A_PAGE:
        blocks[2:2] = box  # the box is to be on the first page
    else:
        blocks += box
    return Section("The cell and its backward pass", "card", tuple(blocks))


def _has_time(pen: Pen) -> bool:
    return any(fork.lag for gradient in pen.moving for fork in gradient.forks)


def _forward(pen: Pen, lines: tuple[Gradient, ...]) -> list[Equation]:
    """The equations; and of the intermediate results those that the backward pass reads by a symbol of their own."""
    graph = pen.graph
    shown = [line for line in written(graph) if line.name != graph.loss or len(lines) <= MOST_LINES]
    equations = [_forward_line(pen, line.name, line.expression) for line in shown]
    read = {value.name for gradient in lines for fork in gradient.forks for value in values(fork.term)}
    named = {line.name for line in shown}
    for stage in graph.stages:
        if stage.name in read and stage.name in pen.notation.symbols and stage.name not in named:
            equations.append(_forward_line(pen, stage.name, stage.expression))
    return equations


def _forward_line(pen: Pen, name: str, expression: Expression) -> Equation:
    right = pen.forward.cases(expression) or pen.forward.marked(expression)
    return Equation(pen.forward(Value(name)) + "={}", [Term(right, _see(pen.plan.numbers[name]))])


def _see(number: int) -> str:
    return equation(number)


def _adjoint(pen: Pen, gradient: Gradient) -> Equation:
    left, terms, number = pen.gradient_equation(gradient)
    joined = terms[0].marked + "".join(f"{BREAK}0{term.marked.removeprefix('{}')}" for term in terms[1:])
    return Equation(left, [Term(joined, _see(number or 0))])


# ---------------------------------------------------------------- where derivations go wrong


def _mistakes(pen: Pen) -> list[str]:
    """Those that this cell invites, each with the place where it is done right."""
    found = [*_of_states(pen), *_of_functions(pen), *_of_matrices(pen)]
    if any(fork.over_time for gradient in pen.derivation.parameters for fork in gradient.forks):
        found.append(f"A parameter is the same at all steps, and its gradient is a sum over them ({section('parameters')}).")
    return found


def _of_states(pen: Pen) -> list[str]:
    """The branch into the next step that is forgotten, and the one that is added without its upstream gradient."""
    found = []
    read = [pen.derivation.adjoints[name] for name in pen.graph.states]
    richest = max((gradient for gradient in read if _through(gradient, 1)),
                  key=lambda gradient: len(gradient.forks), default=None)
    if richest is not None:
        name, later, within = richest.value, _through(richest, 1), _through(richest, 0)
        outside = any(fork.kind == OUTPUT for fork in richest.forks)
        told = f"{pen.value(name)} is read in step {math('t+1')}, too: {pen.readers(_one_each(later))}"
        one = len(later) == 1
        here = [f"through {pen.readers(_one_each(within))}"] if within else []
        here += ["from outside"] if outside else []
        only = f" What comes back {listed(here)} is not all of {pen.adjoint(name)}." if here else ""
        found.append(f"{told} {'sends' if one else 'send'} a contribution back {pen.number(name)}.{only}")
    for name in pen.graph.states[:MOST_STATES]:
        later = [fork for fork in pen.derivation.adjoints[name].forks if (fork.reader, fork.lag) == (name, 1)]
        if len(later) == 1 and later[0].local is not None:
            if one_step(pen.derivation, name).carousel is not None:
                adjoint = pen.adjoint(name, 1)
                found.append(f"What comes through {pen.value(name, 1)} is the local derivative "
                             f"{emphasis('times')} {adjoint}. "
                             f"The derivative alone is no term of {pen.adjoint(name)} {pen.number(name)}.")
                break
    return found


def _through(gradient: Gradient, lag: int) -> list[Contribution]:
    return [fork for fork in gradient.forks if fork.lag == lag and fork.kind not in (OUTPUT, START)]


def _one_each(forks: list[Contribution]) -> list[Contribution]:
    return list({(fork.reader, fork.lag): fork for fork in forks}.values())


def _of_functions(pen: Pen) -> list[str]:
    calls: dict[str, str] = {}
    for stage in pen.graph.stages:
        for node in walk(stage.expression):
            if isinstance(node, Call):
                calls.setdefault(node.function, stage.name)
    found = []
    see = f"({section('derivatives')})"
    if "sigmoid" in calls:
        value, array = pen.plain(Value(calls["sigmoid"])), bool(pen.graph.shapes[calls["sigmoid"]])
        slope = rf"{value}\odot(\bm 1-{value})" if array else rf"{value}\,(1-{value})"
        found.append(words(rf"$\sigma'$ in terms of the gate's value is ${slope}$: of the value after $\sigma$, not of the "
                           f"pre-activation {see}."))
    if "tanh" in calls:
        found.append(words(rf"$\tanh'$ is $1-\tanh^2$, with the square {see}."))
    if "softmax" in calls or "layer_norm" in calls:
        which = listed([told for name, told in (("softmax", "softmax"), ("layer_norm", "layer normalisation"))
                        if name in calls])
        found.append(f"In {which} every entry of the result depends on every entry of the argument: the local derivative "
                     f"is no diagonal matrix {see}.")
    if {"max", "min", WHERE} & set(calls):
        found.append(f"A choice sends its gradient to the side that was taken, and none to the other {see}.")
    return found


def _of_matrices(pen: Pen) -> list[str]:
    products = [fork for fork in pen.derivation.contributions() if fork.kind in (TRANSPOSED, OUTER)]
    if not products:
        return []
    (matrix,) = pen.letters("ABMQ")
    found = [words(rf"Back through a product with $\bm {matrix}$ goes the transpose $\bm {matrix}^{{\mathsf T}}$, not the "
                   f"inverse ({section('rule')}).")]
    for gradient in (*(pen.derivation.adjoints[name] for name in pen.graph.states), *pen.derivation.inputs):
        back = [fork for fork in gradient.forks if fork.kind == TRANSPOSED]
        if len(back) > 1:
            lag = back[0].lag
            found.append(f"{count(len(back), 'product').capitalize()} read {pen.value(gradient.value)}"
                         f"{' in step ' + math('t+1') if lag else ''}: what they send back is added "
                         f"{pen.number(gradient.value)}.")
            break
    return found


