r"""The backward pass: every adjoint as the sum over its fork, parameters, and the stacked form."""

from __future__ import annotations

from collections.abc import Iterable

from ...derivation.chain import ELEMENTWISE, OUTPUT, Contribution, Gradient, later
from ...derivation.condensed import condensed
from ...language.expressions import Adjoint, Negative, Sum, Value, negative, product, total, walk
from ..blocks import Block, Heading, Prose, Remark, Section
from ..inline import NO_BREAK, code, equation, math
from ..latex.lines import width
from ..pen import TEXT_WIDTH, Pen
from ..wording import count, listed, sentence, word

MOST_IN_ORDER = 12  # adjoints of which the order is told


def backward_section(pen: Pen) -> Section:
    blocks: list[Block] = [Prose(_order_told(pen))]
    order = _order(pen)
    if order is not None:
        blocks.append(order)
    run: list[Gradient] = []
    for gradient in pen.moving:
        if len(gradient.forks) > 1:
            blocks += _single_terms(pen, run)
            run = []
            blocks += _cut_blocks(pen, gradient) if pen.graph.is_cut(gradient.value) else _fork_blocks(pen, gradient)
        else:
            run.append(gradient)
    blocks += _single_terms(pen, run)
    return Section("Backward, stage by stage", "backward", tuple(blocks))


def _order_told(pen: Pen) -> str:
    over_time = any(fork.lag for gradient in pen.moving for fork in gradient.forks)
    steps = pen.notation.steps
    direction = "No step reads a value of an earlier step, so the steps can be taken in any order. "
    if over_time:
        direction = f"The step {math('t')} runs from {math(steps)} down to {math('1')}. "
    return direction + ("Each equation uses only adjoints that are computed above it"
                        + (f", or belong to step {math('t+1')}." if over_time else ".") + _left_out_told(pen))


def _order(pen: Pen) -> Remark | None:
    """The order of the adjoints of the card, of which each needs those before it."""
    names = [gradient.value for gradient in condensed(pen.derivation)
             if gradient.value in {each.value for each in pen.moving}]
    if not 2 < len(names) <= MOST_IN_ORDER:
        return None
    chain = r"\;\to\;".join(pen.plain(Adjoint(name)) for name in names)
    text = "An adjoint is complete when all readers of its value have sent their contributions. In this cell: "
    if width(chain) > TEXT_WIDTH - 30.0:
        return Remark("Order.", text + ", ".join(math(pen.plain(Adjoint(name))) for name in names) + ".", "ink")
    return Remark("Order.", text + math(chain) + ".", "ink")


def _left_out_told(pen: Pen) -> str:
    """Readers that have no term, such as the sum of a softmax."""
    pairs = list(dict.fromkeys((fork.target, fork.reader) for fork in pen.derivation.left_out))
    if not pairs:
        return ""
    told = listed([f"{pen.value(target)} through {pen.value(reader)}" for target, reader in pairs])
    return f" Contributions that are always zero have no term: {told}."


def _single_terms(pen: Pen, run: list[Gradient]) -> list[Block]:
    if not run:
        return []
    from_readers = all(fork.kind != OUTPUT for gradient in run for fork in gradient.forks)
    most = "" if all(gradient.forks for gradient in run) else "at most "
    times = "the adjoint of the reader times the local derivative:"
    if run[0].value == pen.graph.loss:
        lead = "The recursion begins at the loss:"
        if len(run) > 1:
            lead = f"The recursion begins at the loss. The adjoints that follow have one term each, {times}"
    elif len(run) == 1:
        value = pen.value(run[0].value)
        lead = (f"{value} has {most}one reader, and its adjoint {most}one term:" if from_readers else
                f"The adjoint of {value} has {most}one term:")
    elif from_readers:
        lead = f"These values have {most}one reader each, and their adjoints {most}one term: {times}"
    else:
        lead = f"The adjoints of these values have {most}one term each:"
    twice = [told for gradient in run for fork in gradient.forks if (told := _twice_told(pen, gradient, fork))]
    equations = [pen.gradient_equation(gradient) for gradient in run]
    plain = len(run) > 1 and all(len(gradient.forks) == 1 for gradient in run) and from_readers
    return [Prose(lead), pen.columns(equations) if plain else pen.display(equations),
            *([Prose(" ".join(twice))] if twice else [])]


def _twice_told(pen: Pen, gradient: Gradient, fork: Contribution) -> str:
    """Of a value that stands several times in one equation: why that is one contribution, and which parts it has."""
    if fork.kind != ELEMENTWISE or fork.over_time or pen.is_still(fork.reader):
        return ""
    read = Value(fork.target, -fork.lag)
    times = sum(node == read for node in walk(pen.graph.stage(fork.reader).expression))
    if times < 2 or not isinstance(fork.local, Sum) or pen.graph.shapes[fork.reader] != pen.graph.shapes[fork.target]:
        return ""
    parts = total(*(negative(product(fork.upstream, part.operand)) if isinstance(part, Negative) else
                    product(fork.upstream, part) for part in fork.local.terms))
    whole = math(pen.plain(Adjoint(gradient.value)) + "=" + pen.plain(later(parts, fork.lag, pen.graph.static)))
    value, reader = pen.value(gradient.value), math(pen.plain(Value(fork.reader, fork.lag)))
    return (f"{sentence(value)} stands {'twice' if times == 2 else f'{word(times)} times'} in the equation of {reader} and "
            f"is one argument of it, so it has one reader and one contribution. The local derivative adds up both places: "
            f"{whole}. In a drawing the wire branches, and "
            "these two are what comes back along the branches.")


def _cut_blocks(pen: Pen, gradient: Gradient) -> list[Block]:
    """A value whose parts are read one by one: nothing is added up."""
    name = gradient.value
    many = len(gradient.forks)
    told = (f"{pen.value(name)} is cut into {count(many, 'part')}, and each part has one reader: "
            f"{pen.readers(gradient.forks)}. The parts do not overlap, so this is no fork: nothing is added up. What the "
            "readers send back is put under each other, each in the place of its part:")
    return [Heading(f"The parts of {pen.value(name)}", f"The parts of {name}"), Prose(told),
            pen.display([pen.gradient_equation(gradient)])]


def _fork_blocks(pen: Pen, gradient: Gradient) -> list[Block]:
    name = gradient.value
    return [
        Heading(f"The fork of {pen.value(name)}", f"The fork of {name}"),
        *_through(pen, gradient, _fork_told(pen, gradient)),
    ]


def _through(pen: Pen, gradient: Gradient, lead: str) -> list[Block]:
    """An adjoint, after the local derivatives of which its terms are made."""
    sums = pen.display([pen.gradient_equation(gradient)])
    equations = [pen.immediate(fork) for fork in gradient.forks]
    shown = [equation for equation in equations if equation is not None]
    twice = [Prose(told) for fork in gradient.forks if (told := _twice_told(pen, gradient, fork))]
    if not shown:
        return [Prose(lead), sums, *twice]
    one = len(shown) == 1
    lead += " One local derivative is" if one else " The local derivatives of the readers are"
    shapes = pen.graph.shapes
    numbers = not shapes[gradient.value] and any(shapes[fork.reader] for fork in gradient.forks if fork.local is not None)
    if numbers:
        times = ("A term is the adjoint of the reader times this; where the reader is an array, the products of all entries "
                 "are added, because each entry reads the same number:")
    else:
        times = ("Its transpose times the adjoint of the reader is a term of the sum:" if one else
                 "The transpose of each, times the adjoint of the reader, is a term of the sum:")
    return [Prose(lead), pen.gathered(shown), Prose(times), sums, *twice]


def _fork_told(pen: Pen, gradient: Gradient) -> str:
    name = gradient.value
    outside = [fork for fork in gradient.forks if fork.kind == OUTPUT]
    within = [fork for fork in gradient.forks if fork.kind != OUTPUT and not fork.lag]
    after = gradient.through_time()
    next_step = f"step{NO_BREAK}{math('t+1')}"
    parts = [(_one_each(forks), where) for forks, where in ((within, "this step"), (after, next_step)) if forks]
    told = pen.value(name) + (" is an output, and" if outside else "")
    told += f" has {count(sum(len(forks) for forks, _ in parts), 'reader')}"
    if len(parts) == 1:
        forks, where = parts[0]
        told += f" in {where}: {pen.readers(forks)}."
    else:
        told += f": {listed([f'{word(len(forks))} in {where} ({pen.readers(forks)})' for forks, where in parts])}."
    again = _one_each([fork for fork in (*within, *after) if fork.position])
    if again:
        told += (f" {pen.readers(again)} {'reads' if len(again) == 1 else 'read'} it in more than one term, and "
                 f"{'sends' if len(again) == 1 else 'send'} a contribution back for each.")
    waiting = list(dict.fromkeys(
        fork.reader for fork in within
        if fork.reader in pen.plan.gradient_numbers
        and any(isinstance(node, Adjoint) for node in walk(fork.term))))
    if waiting:
        known = listed([f"{pen.adjoint(reader)} {pen.number(reader)}" for reader in waiting])
        told += f" So {pen.adjoint(name)} is computed after {known}."
    return told


def _one_each(forks: Iterable[Contribution]) -> list[Contribution]:
    """The first contribution of each reader."""
    return list({(fork.reader, fork.lag): fork for fork in reversed(list(forks))}.values())[::-1]


def parameters_section(pen: Pen) -> Section | None:
    """The inputs of one step, and the parameters."""
    inputs, parameters = pen.derivation.inputs, pen.derivation.parameters
    blocks: list[Block] = []
    if inputs:
        blocks += [Prose(_inputs_told(pen)), pen.display([pen.gradient_equation(gradient) for gradient in inputs])]
    if parameters:
        others = [gradient for gradient in parameters if len(gradient.forks) != 1]
        blocks.append(Prose(_parameters_told(pen, bool(others))))
        if others:
            blocks.append(pen.display([pen.gradient_equation(gradient) for gradient in others]))
    names = ["inputs" if len(inputs) > 1 else "input"] * bool(inputs) + ["parameters"] * bool(parameters)
    return Section(sentence(" and ".join(names)), "parameters", tuple(blocks)) if blocks else None


def _inputs_told(pen: Pen) -> str:
    one = len(pen.derivation.inputs) == 1
    return (
        ("An input is" if one else "Inputs are") + " read in the same step only. "
        + ("A layer below takes its adjoint as the gradient from outside; in the module it is "
           if one else "Layers below take their adjoints as gradients from outside; in the module they are ")
        + listed([code(f"grads.{name}") for name in pen.graph.inputs])
        + (". Targets are given, and get no gradient:" if pen.graph.targets else ":"))


def _parameters_told(pen: Pen, has_others: bool) -> str:
    gradients = pen.derivation.parameters
    numbers = [pen.plan.gradient_numbers[gradient.value] for gradient in gradients if len(gradient.forks) == 1]
    shared = any(fork.over_time for gradient in gradients for fork in gradient.forks)
    told = (f"A parameter is the same at all {math(pen.notation.steps)} steps. It is a fork with a branch into each of "
            "them, so its gradient is a sum over time. " if shared else "")
    told += "For a batch, the gradients of the sequences are added."
    if numbers:
        first, last = equation(min(numbers)), equation(max(numbers))
        told += f" Those with one term {'are' if len(numbers) > 1 else 'is'} on the card, {first}"
        told += f" to {last}." if len(numbers) > 1 else "."
    return told + (" The others:" if has_others and numbers else "")


def still_section(pen: Pen) -> Section | None:
    still = [gradient for gradient in pen.derivation.stages if pen.is_still(gradient.value)]
    if not still:
        return None
    return Section("Static values", "still", (
        Prose(f"{pen.values([gradient.value for gradient in still])} "
              f"{'depend' if len(still) > 1 else 'depends'} on parameters alone. "
              f"{'They are' if len(still) > 1 else 'It is'} computed once, before the first step, and "
              f"{'get' if len(still) > 1 else 'gets'} contributions from all steps. The sums below come first, then "
              "the gradients of those parameters."),
        pen.display([pen.gradient_equation(gradient) for gradient in still]),
    ))
