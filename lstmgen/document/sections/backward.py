r"""The backward pass: every adjoint as the sum over its fork, parameters, and the stacked form."""

from __future__ import annotations

from collections.abc import Iterable

from ...derivation.chain import OUTPUT, Contribution, Gradient
from ...language.expressions import Adjoint, Value, walk
from ...language.shapes import Dim
from ...schedule.plan import Stack
from ..blocks import Block, Formula, Heading, Prose, Section
from ..latex.escape import escape
from ..pen import Pen
from ..wording import code, count, listed, math_text, word


def backward_section(pen: Pen) -> Section:
    blocks: list[Block] = [Prose(_order_told(pen))]
    run: list[Gradient] = []
    for gradient in pen.moving:
        if len(gradient.forks) > 1:
            blocks += _single_terms(pen, run)
            run = []
            blocks += _fork_blocks(pen, gradient)
        else:
            run.append(gradient)
    blocks += _single_terms(pen, run)
    return Section("Backward pass", "backward", tuple(blocks))


def _order_told(pen: Pen) -> str:
    later = any(fork.lag for gradient in pen.moving for fork in gradient.forks)
    steps = pen.notation.steps
    direction = "No step reads a value of an earlier step, so the steps can be taken in any order. "
    if later:
        direction = (rf"The step $t$ runs from ${steps}$ down to $1$; adjoints of step ${steps}+1$ are "
                     "zero. ")
    return direction + ("An adjoint is complete when all readers of its value have sent their contributions. The "
                        "equations are in the order in which that happens: each uses only adjoints that are computed "
                        "above it" + (r", or belong to step $t+1$." if later else ".") + _left_out_told(pen))


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
    if run[0].value == pen.graph.loss:
        lead = "The recursion begins at the loss:"
        if len(run) > 1:
            lead = "The recursion begins at the loss. The adjoints that follow have one term each:"
    elif len(run) == 1:
        value = pen.value(run[0].value)
        lead = (f"{value} has {most}one reader, and its adjoint {most}one term:" if from_readers else
                f"The adjoint of {value} has {most}one term:")
    elif from_readers:
        lead = f"These values have {most}one reader each, and their adjoints {most}one term:"
    else:
        lead = f"The adjoints of these values have {most}one term each:"
    return _through(pen, run, lead)


def _through(pen: Pen, run: list[Gradient], lead: str) -> list[Block]:
    """Adjoints, after the local derivatives of which their terms are made."""
    sums = pen.display([pen.gradient_equation(gradient) for gradient in run])
    equations = [pen.immediate(fork) for gradient in run for fork in gradient.forks]
    shown = [equation for equation in equations if equation is not None]
    if not shown:
        return [Prose(lead), sums]
    one, fork = len(shown) == 1, len(run) == 1 and len(run[0].forks) > 1
    lead = lead.removesuffix(":") + "." * lead.endswith(":")
    if fork:
        lead += " One local derivative is" if one else " The local derivatives of the readers are"
    else:
        lead += " The local derivative is" if one else " The local derivatives are"
    times = "Its transpose" if one else "The transpose of each,"
    times += " times the adjoint of the reader" + (" is " if one else ", is ")
    times += "a term of the sum:" if fork else "what comes back:"
    return [Prose(lead), pen.gathered(shown), Prose(times), sums]


def _fork_blocks(pen: Pen, gradient: Gradient) -> list[Block]:
    name = gradient.value
    bookmark = f"The fork of {name}"
    return [
        Heading(f"The fork of {pen.value(name)}", escape(bookmark)),
        *_through(pen, [gradient], _fork_told(pen, gradient)),
    ]


def _fork_told(pen: Pen, gradient: Gradient) -> str:
    name = gradient.value
    outside = [fork for fork in gradient.forks if fork.kind == OUTPUT]
    within = [fork for fork in gradient.forks if fork.kind != OUTPUT and not fork.lag]
    later = gradient.through_time()
    parts = [(_one_each(forks), where) for forks, where in ((within, "this step"), (later, "step $t+1$")) if forks]
    told = pen.value(name) + (" is an output, and" if outside else "")
    told += f" has {count(sum(len(forks) for forks, _ in parts), 'reader')}"
    if len(parts) == 1:
        forks, where = parts[0]
        told += f" in {where}: {pen.readers(forks)}."
    else:
        told += f": {listed([f'{word(len(forks))} in {where} ({pen.readers(forks)})' for forks, where in parts])}."
    again = _one_each([fork for fork in (*within, *later) if fork.position])
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


def inputs_section(pen: Pen) -> Section | None:
    if not pen.derivation.inputs:
        return None
    one = len(pen.derivation.inputs) == 1
    told = (
        ("An input is" if one else "Inputs are") + " read in the same step only. "
        + ("A layer below takes its adjoint as the gradient from outside; in the module it is "
           if one else "Layers below take their adjoints as gradients from outside; in the module they are ")
        + listed([code(f"grads.{name}") for name in pen.graph.inputs]) + ".")
    if pen.graph.targets:
        told += " Targets are given, and get no gradient."
    display = pen.display([pen.gradient_equation(gradient) for gradient in pen.derivation.inputs])
    return Section("Input" if one else "Inputs", "inputs", (Prose(told), display))


def parameters_section(pen: Pen) -> Section | None:
    gradients = pen.derivation.parameters
    if not gradients:
        return None
    steps = pen.notation.steps
    shared = any(fork.over_time for gradient in gradients for fork in gradient.forks)
    told = (f"A parameter is the same at all ${steps}$ steps. It is a fork with a branch into each of "
            "them, so its gradient is a sum over time. " if shared else "")
    told += "For a batch, the gradients of the sequences are added."
    display = pen.display([pen.gradient_equation(gradient) for gradient in gradients])
    return Section("Parameters", "parameters", (Prose(told), display))


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


def stacked_section(pen: Pen) -> Section | None:
    stacks = [stack for block in pen.plan.blocks for stack in block.stacks if len(stack.factors) > 1]
    if not stacks:
        return None
    blocks: list[Block] = [Prose(
        "Several stages multiply the same vector. With their matrices under each other, their products are one "
        r"product. The module stores and computes them in this form; \texttt{named} gives the parts under their own "
        "names.")]
    for stack in stacks:
        blocks += _stack_blocks(pen, stack)
    blocks.append(Prose(
        "This derives nothing new. The column of adjoints times the row vector has the gradients of all parts under "
        "each other. The transpose of the tall matrix times the column of adjoints is the sum of what the parts send "
        "back to the vector: computing the contributions of the parts one by one and adding them gives the same."))
    return Section("The stacked form", "stacked", tuple(blocks))


def _stack_blocks(pen: Pen, stack: Stack) -> list[Block]:
    graph, name = pen.graph, escape(stack.name)
    vector = pen.plain(stack.vector)
    matrices = r"\\".join(pen.plain(Value(factor.parameter)) for factor in stack.factors)
    adjoints = r"\\".join(pen.plain(Adjoint(factor.stage)) for factor in stack.factors)
    stages = r"\\".join(pen.plain(Value(factor.stage)) for factor in stack.factors)
    gradients = r"\\".join(rf"\delta {pen.plain(Value(factor.parameter))}" for factor in stack.factors)
    height = Dim()
    for factor in stack.factors:
        height += graph.shapes[factor.parameter][0]
    shape = math_text(pen.shape((height, graph.shapes[stack.factors[0].parameter][1])))
    lead = (f"For {math_text(vector)} the matrix is \\texttt{{{name}}} in the module, of shape {shape}:")
    matrix = _column(matrices)
    steps = pen.notation.steps
    back = ""
    if stack.vector.name in pen.derivation.adjoints:  # no gradient passes a stop
        at = pen.plain(Adjoint(stack.vector.name, stack.vector.lag))
        back = rf",\qquad {at}={matrix}^{{\!\mathsf T}}{_column(adjoints)}+\cdots"
    return [
        Prose(lead),
        Formula(rf"{_column(stages)}={matrix}{vector}+\cdots"),
        Formula(rf"{_column(gradients)}=\sum_{{t=1}}^{{{steps}}}{_column(adjoints)}"
                rf"{_row_vector(pen, stack.vector)}{back}"),
    ]


def _row_vector(pen: Pen, vector: Value) -> str:
    text = pen.plain(vector)
    named = vector.name in pen.notation.symbols
    raised = not text.startswith("[") and (not named or pen.notation.has_superscript(vector.name, "t"))
    return rf"({text})^{{\mathsf T}}" if raised else rf"{text}^{{\mathsf T}}"


def _column(entries: str) -> str:
    return rf"\begin{{pmatrix}}{entries}\end{{pmatrix}}"
