r"""The backward pass: every adjoint as the sum over its fork, parameters, and the stacked form."""

from __future__ import annotations

from ...derivation.chain import OUTPUT, Gradient
from ...language.expressions import Adjoint, Value, walk
from ...language.shapes import Dim
from ...schedule.plan import Stack
from ..blocks import Block, Formula, Heading, Prose, Section
from ..latex.escape import escape
from ..pen import Pen
from ..wording import code, count, listed, math_text, sentence


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
    direction = "No step reads what an earlier one computed: the steps can be taken in any order. "
    if later:
        direction = (rf"The step $t$ runs from ${steps}$ down to $1$; adjoints of step ${steps}+1$ are "
                     "zero. ")
    return direction + ("An adjoint is complete when all its readers have sent their share. The "
                        "equations stand in the order in which that happens, and each uses only what "
                        "stands above it"
                        + (r", or belongs to step $t+1$." if later else ".") + _left_out_told(pen))


def _left_out_told(pen: Pen) -> str:
    """Readers that have no term, such as the sum of a softmax."""
    pairs = list(dict.fromkeys((fork.target, fork.reader) for fork in pen.derivation.left_out))
    if not pairs:
        return ""
    told = listed([f"{pen.value(target)} through {pen.value(reader)}" for target, reader in pairs])
    return f" Branches along which no gradient changes, wherever one looks, have no term: {told}."


def _single_terms(pen: Pen, run: list[Gradient]) -> list[Block]:
    if not run:
        return []
    most = "one place" if all(gradient.forks for gradient in run) else "at most one place"
    if run[0].value == pen.graph.loss:
        lead = "The recursion begins at the loss:"
        if len(run) > 1:
            lead = "The recursion begins at the loss; what follows gets its gradient from one place:"
    elif len(run) == 1:
        lead = f"{pen.value(run[0].value)} gets its gradient from {most}:"
    else:
        lead = f"Each of these values gets its gradient from {most}:"
    return _through(pen, run, sentence(lead))


def _through(pen: Pen, run: list[Gradient], lead: str) -> list[Block]:
    """Adjoints with the step before: the immediate derivatives, each of which makes a term."""
    sums = pen.display([pen.gradient_equation(gradient) for gradient in run])
    equations = [pen.immediate(fork) for gradient in run for fork in gradient.forks]
    shown = [equation for equation in equations if equation is not None]
    if not shown:
        return [Prose(lead), sums]
    one, fork = len(shown) == 1, len(run) == 1 and len(run[0].forks) > 1
    lead = lead.removesuffix(":") + "." * lead.endswith(":")
    if fork:
        lead += " An immediate derivative is" if one else " The immediate derivatives of its readers are"
    else:
        lead += " The immediate derivative is" if one else " The immediate derivatives are"
    each = "its" if one else "each one's"
    times = f"{sentence(each)} transpose times the reader's adjoint is "
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
    parts = []
    if outside:
        parts.append("one branch leaves the cell" if len(gradient.forks) > 1 else "it leaves the cell")
    if within:
        parts.append(f"{count(len(within), 'branch', 'branches')} "
                     f"{'ends' if len(within) == 1 else 'end'} in the same step, in "
                     f"{pen.readers(within)}")
    if later:
        parts.append(f"{count(len(later), 'branch', 'branches')} "
                     f"{'leads' if len(later) == 1 else 'lead'} into step $t+1$, to "
                     f"{pen.readers(later)}")
    told = f"Of {pen.value(name)}, {listed(parts)}."
    waiting = list(dict.fromkeys(
        fork.reader for fork in within
        if fork.reader in pen.plan.gradient_numbers
        and any(isinstance(node, Adjoint) for node in walk(fork.term))))
    if waiting:
        known = listed([f"{pen.adjoint(reader)} {pen.number(reader)}" for reader in waiting])
        told += f" So {pen.adjoint(name)} has to wait for {known}."
    return told


def inputs_section(pen: Pen) -> Section | None:
    if not pen.derivation.inputs:
        return None
    one = len(pen.derivation.inputs) == 1
    told = (
        ("An input is" if one else "Inputs are") + " read in the same step only. "
        + ("Its gradient is what a layer below would need"
           if one else "Their gradients are what layers below would need") + "; in the module "
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
    told = (f"A parameter is the same at all ${steps}$ steps: it is a fork with a branch into each of "
            "them, and its gradient a sum over time. " if shared else "")
    told += "Over a batch the gradients of its members are added."
    display = pen.display([pen.gradient_equation(gradient) for gradient in gradients])
    return Section("Parameters", "parameters", (Prose(told), display))


def still_section(pen: Pen) -> Section | None:
    still = [gradient for gradient in pen.derivation.stages if pen.is_still(gradient.value)]
    if not still:
        return None
    return Section("What stands still", "still", (
        Prose(f"{pen.values([gradient.value for gradient in still])} "
              f"{'are' if len(still) > 1 else 'is'} made of parameters alone. "
              f"{'They are' if len(still) > 1 else 'It is'} computed once, before the first step, and "
              f"{'hear' if len(still) > 1 else 'hears'} from all steps: the sums below come first, then "
              "the parameters that they are made of."),
        pen.display([pen.gradient_equation(gradient) for gradient in still]),
    ))


def stacked_section(pen: Pen) -> Section | None:
    stacks = [stack for block in pen.plan.blocks for stack in block.stacks if len(stack.factors) > 1]
    if not stacks:
        return None
    blocks: list[Block] = [Prose(
        "Several stages multiply the same vector. Written under each other, their matrices are one "
        "matrix, and their products one product; the module stores and computes them so, and hands out "
        "the parts under their own names.")]
    for stack in stacks:
        blocks += _stack_blocks(pen, stack)
    blocks.append(Prose(
        "Nothing new is derived by this. A column of adjoints times a row gives all the gradients of "
        "the parts, under each other; and the transpose of the tall matrix, a wide one, adds up what "
        "the parts send back to the vector that they share: solving for the parts one by one and "
        "adding up is the same."))
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
    lead = (f"For {math_text(vector)} it is \\texttt{{{name}}} in the module, of shape {shape}:")
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
