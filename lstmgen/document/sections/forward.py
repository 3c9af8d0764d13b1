"""The document's first words, its symbols, and the forward pass of the cell."""

from __future__ import annotations

import re

from ...derivation.graph import Stage
from ...language.expressions import ZERO, MinusInfinity, Number, Outside, Value, values
from ...language.shapes import MOST_AXES, Shape
from ..blocks import Block, Display, Prose, Section, Table
from ..inline import NO_BREAK, code, emphasis, fork, math, spoken, together, words
from ..latex.printer import ONES, Printer
from ..latex.text import text_width
from ..pen import COLOURS, PAPER_WIDTH, Equation, Pen, Term
from ..wording import WORDS, count, listed, sentence


def opening(pen: Pen) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if pen.spec.description:
        blocks.append(Prose(spoken(pen.spec.description)))
    blocks.append(Prose(" ".join([*_what_it_does(pen), *_what_forks(pen)])))
    return tuple(blocks)


def _what_it_does(pen: Pen) -> list[str]:
    graph, steps = pen.graph, pen.notation.steps
    inputs = listed([pen.sized(name) for name in graph.inputs]) if graph.inputs else "no input"
    outputs = pen.values(graph.outputs)
    when = math(rf"t=1,\dots,{steps}")
    said = [f"At each step {when} the cell reads {inputs} and gives {outputs}."]
    read_back = [name for name in graph.states if any(reader.lag for reader in graph.readers(name))]
    if read_back:
        said.append(f"From one step to the next it carries {listed([pen.sized(name) for name in graph.states])}.")
    else:
        said.append("No step reads a value of an earlier step.")
    loss = math(r"\mathcal L")
    if graph.loss is not None:
        where = (f"taken only at the last step, {math(f't={steps}')}" if graph.has_loss_at_last else "summed over all steps")
        said.append(f"Its loss {loss} is {pen.value(graph.loss)}, {where}.")
    said.append(f"This document derives the gradient of a scalar loss {loss} with respect to {listed(_differentiated(pen))}.")
    return said


def _differentiated(pen: Pen) -> list[str]:
    found = []
    if pen.graph.parameters:
        found.append("every parameter" if len(pen.graph.parameters) > 1 else "its parameter")
    if pen.graph.inputs:
        found.append("every input" if len(pen.graph.inputs) > 1 else "its input")
    return [*found, "the initial states" if len(pen.graph.states) > 1 else "the initial state"]


def _what_forks(pen: Pen) -> list[str]:
    if not pen.forks:
        return ["Every value of a step is used in one place only, so no adjoint is a sum."]
    named = [f"{pen.value(gradient.value)} ({count(len(gradient.forks), 'branch', 'branches')})"
             for gradient in pen.forks]
    is_one = len(pen.forks) == 1
    said = [f"{sentence(count(len(pen.forks), 'value'))} of a step {'is a' if is_one else 'are'} "
            f"{emphasis('fork' if is_one else 'forks')}, used in more than one place: {listed(named)}."]
    said.append("Each branch sends a contribution back, and the contributions are added.")
    if len(pen.forks) <= len(COLOURS):
        said.append(f"{'The' if is_one else 'Each'} fork has the same colour everywhere.")
    else:
        said.append(f"The first {WORDS[len(COLOURS)]} of them, states first, have a colour each.")
    return said


def notation_section(pen: Pen) -> Section:
    blocks: list[Block] = [Prose(text) for text in _conventions(pen)]
    blocks.append(_symbol_table(pen))
    blocks.append(Prose(
        f"In the module, the first axis of an array is the step, the second is the batch of {math('B')} sequences, and "
        f"the others are those of the table: {_array_example(pen)}. "
        f"{'A vector is a row there and a column here. ' if pen.has_arrays() else ''}The equations are "
        "for one sequence; for a batch, the gradients of parameters are added."))
    return Section("Notation and shapes", "notation", tuple(blocks))


def _array_example(pen: Pen) -> str:
    example = (*pen.graph.inputs, *pen.graph.outputs)[0]
    axes = ", ".join([pen.notation.steps, "B", *(pen.dim(dim) for dim in pen.graph.shapes[example])])
    return f"{code(example)} has the shape {math(f'({axes})')}"


def _conventions(pen: Pen) -> list[str]:
    used = " ".join(pen.printed)
    bold = pen.has_arrays()
    said = []
    if bold:
        said.append("Vectors and matrices are bold, scalars are not; vectors are columns.")
        said.append(words(r"The sign $\odot$ multiplies entry by entry.") if r"\odot" in used else "")
    if bold and (r"\frac" in used or "^{2}" in used or r"\sigma" in used or r"\tanh" in used):
        said.append("Functions, fractions and powers act entry by entry.")
    if ONES in used:
        said.append(f"A bold {math(ONES)} is an array of ones, of whatever shape is needed.")
    matrix, a, b = pen.letters("AMBQ", "auvw", "bvwu")  # that mean nothing else in this document
    if bold:
        said.append(words(rf"$\bm {matrix}^{{\mathsf T}}$ is the transpose of $\bm {matrix}$, $\bm I$ the identity "
                          rf"matrix, and "
                          rf"$\operatorname{{diag}}(\bm {a})$ the matrix with $\bm {a}$ on its diagonal and zeros "
                          rf"elsewhere, so $\operatorname{{diag}}(\bm {a})\,\bm {b}=\bm {a}\odot\bm {b}$."))
    if re.search(r"[^a-z]\[[^\]]*(<|>|=|\\le|\\ge)", used):
        said.append(words(f"A relation in brackets, as in $[{a}>{b}]$, is 1 where it holds and 0 elsewhere."))
    said += [words(text.replace(r"\bm a", rf"\bm {a}").replace(r"\bm b", rf"\bm {b}"))
             for mark, text in _SIGNS_EXPLAINED if mark in used]
    if any(len(shape) == MOST_AXES for shape in pen.graph.shapes.values()):
        said.append("Of several axes, those in front count heads: products, transposes, sums and functions act on "
                    "each head, on its matrix or on its vector.")
    pre = next((stage.owner for stage in pen.graph.stages
                if stage.name == f"{stage.owner}_pre" and stage.owner != pen.graph.loss), None)
    if pre is not None:
        accent = "hat" if pen.notation.time == "superscript" else "bar"
        said.append(f"The {emphasis('pre-activation')} of a value, the argument of its function, has a {accent}: "
                    f"{pen.value(pre)} is a function of {pen.value(pre + '_pre')}.")
    said += _unnamed(pen)
    example, loss, delta = _shown(pen), math(r"\mathcal L"), math(r"\delta")
    gradient = [
        f"The {emphasis('adjoint')} of a value is the total derivative of the loss {loss} with respect "
        f"to it, along all paths. It has the shape of the value and is written with a {delta}: "
        f"{pen.adjoint(example)} is the adjoint of {pen.value(example)}."]
    if pen.graph.loss is None:
        outside = listed([math(pen.plain(Outside(name))) for name in pen.graph.outputs])
        given = code("dy") if len(pen.graph.outputs) == 1 else f"the fields of {code('dy')}"
        gradient.append(f"The gradient that reaches an output from outside at step {math('t')}, from a loss or from another "
                        f"layer, is {outside}; in the module, {given}.")
    return [" ".join(filter(None, said)), " ".join(gradient)]


def _shown(pen: Pen) -> str:
    """A value to give an example with: a fork, else an output."""
    return pen.forks[0].value if pen.forks else pen.graph.outputs[0]


def _unnamed(pen: Pen) -> list[str]:
    numbered = [stage.name for stage in pen.graph.stages if stage.name in pen.notation.symbols
                and stage.owner != stage.name and not stage.name.endswith("_pre")]
    said = []
    if pen.notation.definitions:
        example = pen.value(next(iter(pen.notation.definitions)))
        said.append("A stage without a name in the specification is written out wherever it is read, as "
                    f"{example}.")
    if numbered:
        owner = pen.graph.stage(numbered[0]).owner
        said.append(f"A number in parentheses marks an intermediate result: {pen.value(numbered[0])} "
                    f"is one on the way to {pen.value(owner)}.")
    return said


def _symbol_table(pen: Pen) -> Table:
    rows = []
    for role, names in _roles(pen):
        by_shape: dict[Shape, list[str]] = {}
        for name in names:
            by_shape.setdefault(pen.graph.shapes[name], []).append(name)
        for position, (shape, group) in enumerate(by_shape.items()):
            items = [together(f"{math(pen.plain(Value(name)))}{NO_BREAK}{code(name)}") for name in group]
            told = math(pen.shape(shape)) if shape else "scalar"
            rows.append((role if not position else "", told, ", ".join(items)))
    sizes = listed([f"{math(pen.notation.size(symbol))} is {code(keyword)}" for symbol, keyword in pen.graph.dims]) \
        if pen.graph.dims else ""
    caption = "All values, each with its symbol here and its name in the module."
    if sizes:
        caption += f" {sizes}."
    first = max(6.2 * len(role) for role, _, _ in rows)
    second = max(text_width(shape) for _, shape, _ in rows)
    rest = PAPER_WIDTH - first - max(second, 34.0) - 30.0
    return Table(caption, ("l", "l", rest), ("", "Shape", "Values"), tuple(rows), tight=True)


def _roles(pen: Pen) -> list[tuple[str, list[str]]]:
    graph = pen.graph
    taken = {*graph.inputs, *graph.targets, *graph.states, *graph.parameters}
    stages = [stage.name for stage in graph.stages if stage.name not in taken]
    roles = [
        ("Inputs" if len(graph.inputs) > 1 else "Input", graph.inputs),
        ("Targets" if len(graph.targets) > 1 else "Target", graph.targets),
        ("States" if len(graph.states) > 1 else "State", graph.states),
        ("Parameters" if len(graph.parameters) > 1 else "Parameter", graph.parameters),
        ("Static values", [name for name in stages if pen.is_still(name)]),
        ("Other values", [name for name in stages if not pen.is_still(name)]),
    ]
    return [(role, list(names)) for role, names in roles if names]


def forward_section(pen: Pen) -> Section:
    graph = pen.graph
    order = ("Each equation reads only values that are computed above it"
             + (f", or values of step {math('t-1')}." if _reads_back(pen) else "."))
    blocks: list[Block] = [Prose(
        f"One step, in {count(len(graph.stages) - len(graph.made), 'stage')}. {order} The margin names the reader of each "
        "value, or counts the readers of a fork. The numbers are those in the comments of the module.")]
    still = [stage for stage in graph.stages if pen.is_still(stage.name)]
    last = [stage for stage in graph.stages if stage.name in pen.derivation.last_step_only]
    steps = [stage for stage in graph.stages if stage not in still and stage not in last]
    if still:
        blocks += [Prose("Static values, which depend on parameters alone:"),
                   _stages_display(pen, still), Prose("At every step:")]
    if steps:
        blocks.append(_stages_display(pen, steps))
    if last:
        blocks += [Prose(f"At the last step only, {math(f't={pen.notation.steps}')}:"), _stages_display(pen, last)]
    if starts := _starts(pen):
        blocks.append(Prose(" ".join(starts)))
    return Section("Forward, stage by stage", "forward", tuple(blocks))


def _reads_back(pen: Pen) -> bool:
    return any(value.lag for stage in pen.graph.stages for value in values(stage.expression))


def _stages_display(pen: Pen, stages: list[Stage]) -> Display:
    equations = []
    for stage in stages:
        right = pen.forward.cases(stage.expression) or pen.forward.marked(stage.expression)
        left = pen.forward(Value(stage.name)) + "={}"
        if stage.name in pen.notation.definitions:
            left = ""  # its symbol is its equation
        equations.append(Equation(left, [Term(right, _readers_note(pen, stage.name))], pen.plan.numbers[stage.name]))
    return pen.display(equations)


def _readers_note(pen: Pen, name: str) -> str:
    """The reader of a value; for a fork, the number of readers, and whether it is an output."""
    readers = pen.graph.readers(name)
    is_output = name in pen.graph.outputs and pen.graph.loss is None
    if name == pen.graph.loss:
        return "the loss"
    if not readers:
        return "the output"
    if len(readers) == 1 and not is_output:
        return math(pen.plain(Value(readers[0].stage, readers[0].lag)))
    told = count(len(readers), "part" if pen.graph.is_cut(name) else "reader") + ", output" * is_output
    return fork(pen.colours[name], told) if name in pen.colours else told


def _starts(pen: Pen) -> list[str]:
    said = []
    zero = [state for state, start in pen.graph.initial if start == ZERO]
    learned = [(state, start.name) for state, start in pen.graph.initial if isinstance(start, Value)]
    numbers = [(state, start) for state, start in pen.graph.initial
               if isinstance(start, Number | MinusInfinity) and start != ZERO]
    at_zero = Printer(pen.notation, "0", pen.value_colour)
    if zero:
        names = listed([math(at_zero(Value(state))) for state in zero])
        said.append(f"If the caller gives no initial state, {names} "
                    f"{'are' if len(zero) > 1 else 'is'} zero.")
    for state, start in numbers:
        said.append("If the caller gives none, "
                    f"{math(at_zero(Value(state)) + '=' + pen.plain(start))} in "
                    "every entry." if pen.graph.shapes[state] else
                    "If the caller gives none, "
                    f"{math(at_zero(Value(state)) + '=' + pen.plain(start))}.")
    for state, parameter in learned:
        said.append(f"The state {pen.value(state)} starts from the parameter {code(parameter)}, "
                    "which is learned, unless the caller gives an initial state.")
    return said


_SIGNS_EXPLAINED = (
    (r"\langle ", r"The scalar product of two vectors is $\langle\bm a,\bm b\rangle$."),
    (r"\bm 1^{\mathsf T}", rf"So ${ONES}^{{\mathsf T}}\bm a$ is the sum of a vector's entries."),
    (r"; ", r"Semicolons in brackets put vectors under each other."),
    (r"_{[", r"By $(\bm a)_{[j:k]}$ the entries $j+1$ to $k$ of $\bm a$ are meant."),
    (r"\operatorname{part}_", r"Of $n$ equal parts of $\bm a$, counted from 0, "
                              r"$\operatorname{part}_{k/n}(\bm a)$ is number $k$; its transpose puts a "
                              "vector in that place, among zeros."),
    (r"\operatorname{heads}", r"$\operatorname{heads}_{n}(\bm a)$ is a vector taken as the vectors of $n$ heads, one after "
                              "the other."),
    (r"\operatorname{flat}", r"$\operatorname{flat}$ is the way back: the vectors of all heads as one."),
    (r"\operatorname{fill}", r"$\operatorname{fill}_{n,m}(\bm a)$ has, for each head, its entry of $\bm a$ in a whole "
                             r"matrix of $n$ rows and $m$ columns; $\operatorname{fill}_{m}(\bm a)$ repeats each entry "
                             r"of its vector in a row of $m$."),
    (r"\operatorname{repeat}", r"$\operatorname{repeat}(\bm a,n)$ has every entry $n$ times in a row; its "
                               "transpose adds up every $n$ neighbours."),
    (r"\operatorname{cumsum}", r"$\operatorname{cumsum}$ adds up from the first entry on, its transpose "
                               "from the last."),
    (r"\operatorname{LN}", r"Layer normalisation is $\operatorname{LN}(\bm a)=\operatorname{rstd}(\bm "
                           r"a)\,(\bm a-\operatorname{mean}(\bm a)\,\bm 1)$, with $\operatorname{rstd}(\bm "
                           r"a)=1/\sqrt{\operatorname{var}(\bm a)+10^{-5}}$, the variance being the mean of "
                           "the squared deviations, and another number in place of $10^{-5}$ where "
                           r"$\operatorname{LN}$ carries one."),
    (r"\operatorname{RMSNorm}", r"With $\operatorname{rrms}(\bm a)=1/\sqrt{\operatorname{mean}(\bm a\odot\bm a)+10^{-6}}$, "
                                r"$\operatorname{RMSNorm}(\bm a)=\operatorname{rrms}(\bm a)\,\bm a$, and another number "
                                r"in place of $10^{-6}$ where it carries one."),
    (r"\operatorname{L2Norm}", r"With $\operatorname{rnorm}(\bm a)=1/\sqrt{\langle\bm a,\bm a\rangle+10^{-6}}$, "
                               r"$\operatorname{L2Norm}(\bm a)=\operatorname{rnorm}(\bm a)\,\bm a$, and another number "
                               r"in place of $10^{-6}$ where it carries one."),
    (r"\odot 2", "On a matrix, an exponent with $\\odot$ is the power of each entry."),
)
