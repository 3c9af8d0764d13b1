"""The pages of the worked example: two steps of the cell in numbers, to be followed with a calculator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...derivation.chain import OUTPUT, START, Contribution, Gradient
from ...language.expressions import Outside, Value
from ...numerics.fading import MOST_STATES, one_step
from ...numerics.worked import Difference, Entries, GradientNumber, TermNumber, WorkedExample
from ..blocks import Block, Gathered, Prose, Section, Table
from ..inline import equation, fork, math
from ..latex.printer import Printer
from ..latex.text import text_width
from ..pen import Equation, Pen, SmallEquation, Term
from ..wording import listed
from .arithmetic import Calculator, bracketed, entries, number

MOST_NUMBERS = 150  # that anybody would follow with a calculator


def worked_section(pen: Pen, example: WorkedExample | None) -> Section | None:
    """Every value and every adjoint of two steps."""
    if example is None or example.numbers > MOST_NUMBERS:
        return None
    return Section("A worked example", "worked", (
        Prose(_told(pen, example) + " This is given:"),
        _given(pen, example),
        Prose("Forward, by the equations with the numbers in front:"),
        _forward(pen, example),
        *([Prose(f"Summed over the steps, the loss is {math(number(example.loss))}.")] if example.loss is not None else []),
        Prose("Backward, from the last step to the first. Below the adjoint of a fork are its contributions; the "
              "adjoint is their sum."),
        _backward(pen, example),
        *_written_out(pen, example),
        *_totals(pen, example),
        *_checked(pen, example),
    ))


def _told(pen: Pen, example: WorkedExample) -> str:
    sizes = [math(f"{pen.notation.size(symbol)}={size}") for symbol, size in example.sizes]
    steps = math(f"{pen.notation.steps}={example.steps}")
    return (f"These are two steps, {steps}, in numbers" + (f", with {listed(sizes)}" if sizes else "")
            + ". Everything is computed in double precision and printed with three digits. If you compute with the printed "
              "numbers, your last digit may differ.")


# ---------------------------------------------------------------- tables


def _given(pen: Pen, example: WorkedExample) -> Gathered:
    printer = {step: Printer(pen.notation, str(step)) for step in range(example.steps + 1)}
    given = [(printer[each.step](Value(each.name)), each.entries)
             for each in (*example.parameters, *example.state, *example.inputs)]
    given += [(printer[each.step](Outside(each.name)), each.entries) for each in example.outside]
    return pen.gathered([SmallEquation(symbol, bracketed(values)) for symbol, values in given], small=True)


def _forward(pen: Pen, example: WorkedExample) -> Table:
    steps = range(1, example.steps + 1)
    by_name: dict[str, dict[int, Entries]] = {}
    for each in (*example.still, *example.forward):
        by_name.setdefault(each.name, {})[each.step] = each.entries
    rows = [
        (equation(pen.plan.numbers[name]), pen.value(name),
         *(_cell(found[at]) if (at := step if step in found else 0) in found else "" for step in steps))
        for name, found in by_name.items()
    ]
    return _table(("", "", *(math(f"t={step}") for step in steps)), rows, example.steps)


def _backward(pen: Pen, example: WorkedExample) -> Table:
    steps = [*range(example.steps, 0, -1), 0]
    by_name: dict[str, dict[int, GradientNumber]] = {}
    for gradient in (*example.backward, *example.start):
        by_name.setdefault(gradient.name, {})[gradient.step] = gradient
    rows: list[tuple[str, ...]] = []
    for name, found in by_name.items():
        rows.append((equation(pen.plan.gradient_numbers[name]), pen.adjoint(name), *(_of(found, step) for step in steps)))
        if len(pen.derivation.adjoints[name].forks) > 1 and not (
            name in pen.graph.inputs or pen.graph.is_cut(name)
        ):
            rows += _branches(pen, found, name, steps)
    return _table(("", "", *(math(f"t={step}") for step in steps)), rows, len(steps))


def _of(found: dict[int, GradientNumber], step: int) -> str:
    return _cell(found[step].entries) if step in found else ""


def _branches(
    pen: Pen, found: dict[int, GradientNumber], name: str, steps: Iterable[int]
) -> Iterator[tuple[str, ...]]:
    """What each reader of a fork sends back, in the colour of the fork."""
    colour = pen.colours.get(name)
    for branch in pen.derivation.adjoints[name].forks:
        terms = {step: next((term for term in gradient.terms if term.fork == branch), None)
                 for step, gradient in found.items()}
        if any(terms.values()):
            shown = [terms.get(step) for step in steps]
            cells = [_cell(term.entries) if term else "" for term in shown]
            row = (_reader(pen, branch), *cells)
            yield ("", *(fork(colour, cell) if colour and cell else cell for cell in row))


def _reader(pen: Pen, branch: Contribution) -> str:
    if branch.kind == OUTPUT:
        return "from outside"
    if branch.kind == START:
        return "as initial state"
    reader = math(pen.plain(Value(branch.reader, branch.lag)))
    if text_width(reader) > 60.0:
        reader = equation(pen.plan.numbers[branch.reader]) + (" later" if branch.lag else "")
    return f"from {reader}"


def _totals(pen: Pen, example: WorkedExample) -> list[Block]:
    """Of each parameter what each step adds, and the sum."""
    if not example.totals:
        return []
    equations = []
    for gradient in example.totals:
        is_matrix = len(pen.derivation.adjoints[gradient.name].shape) > 1
        shares = [share for step in range(example.steps + 1) if (share := _share(gradient, step))]
        shares = [] if is_matrix else shares
        whole = bracketed(gradient.entries)
        right = "+".join(shares) + f"={whole}" if len(shares) > 1 else whole
        equations.append(SmallEquation(pen.plain.adjoint(gradient.name), right))
    what = "parameters and static values" if example.still else "parameters"
    return [Prose(f"The gradients of {what}; those of vectors with what each step adds:"),
            pen.gathered(equations, small=True)]


def _share(gradient: GradientNumber, step: int) -> str:
    """What the branches into one step add up to, where that is one of them."""
    terms: list[TermNumber] = [term for term in gradient.terms if term.step == step]
    if len(terms) != 1:
        return r"\dots" if terms else ""
    text = bracketed(terms[0].entries)
    return f"({text})" if text.startswith("-") else text


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]], columns: int) -> Table:
    head = head if len(head) == columns + 2 else ("", *head)
    room = {1: 300.0, 2: 140.0, 3: 98.0}[columns]
    return Table("", ("r", "l", *[room] * columns), head, tuple(rows), small=True, tight=True)


def _cell(values: Entries) -> str:
    """The entries of an array; a line may end between those of a vector."""
    if isinstance(values, float) or any(isinstance(row, tuple) for row in values):
        return math(entries(values))
    return ", ".join(math(number(entry)) for entry in values if isinstance(entry, float))


# ---------------------------------------------------------------- one fork, one check, one step of descent


def _written_out(pen: Pen, example: WorkedExample) -> list[Block]:
    """The first entry of the most important fork at step 1, with every multiplication."""
    gradient = _most_important(pen)
    if gradient is None:
        return []
    calculator, printer = Calculator(example, pen.graph.shapes, 1), Printer(pen.notation, "1", pen.adjoint_colour)
    terms: list[Term] = []
    for branch in gradient.forks:
        text = calculator.text(branch.term, 0)
        note = ("from outside" if branch.kind == OUTPUT else
                math(Printer(pen.notation, "1")(Value(branch.reader, branch.lag))))
        terms.append(Term(text if not terms or text.startswith("-") else "{}+" + text, note))
    whole = example.gradient(gradient.value, 1).entries
    result = whole if isinstance(whole, float) else whole[0]
    assert isinstance(result, float)
    terms.append(Term("{}=" + number(result), "the sum"))
    entry = "the first entry of " if gradient.shape else ""
    told = (f"With every multiplication, {entry}{pen.adjoint(gradient.value)} at {math('t=1')}, by "
            f"{pen.number(gradient.value)}:")
    symbol = printer.adjoint(gradient.value)
    left = (rf"\bigl({symbol}\bigr)_1" if gradient.shape else symbol) + "={}"
    return [Prose(told), pen.display([Equation(left, terms)], small=True)]


def _most_important(pen: Pen) -> Gradient | None:
    """A state with a carousel, else the fork with the most contributions; of at most one axis."""
    fit = [gradient for gradient in pen.forks if len(gradient.shape) < 2 and gradient.through_time()
           and not set(_names(gradient)) & pen.derivation.last_step_only]
    carried = [gradient for gradient in fit if gradient.value in pen.graph.states[:MOST_STATES]
               and one_step(pen.derivation, gradient.value).carousel is not None]
    return max(carried or fit, key=lambda gradient: len(gradient.forks), default=None)


def _names(gradient: Gradient) -> list[str]:
    return [fork.reader for fork in gradient.forks]


def _checked(pen: Pen, example: WorkedExample) -> list[Block]:
    said = []
    objective = math(r"\mathcal L")
    if example.difference is not None or example.descent is not None:
        outside = [math(rf"\sum_t\langle {pen.plain(Outside(name))},{pen.plain(Value(name))}\rangle"
                        if pen.graph.shapes[name] else
                        rf"\sum_t {pen.plain(Outside(name))}\,{pen.plain(Value(name))}") for name in pen.graph.outputs]
        if pen.graph.loss is None:
            said.append(f"A loss that has these gradients from outside is {objective} = {' + '.join(outside)}.")
    if example.difference is not None:
        said.append(_difference_told(pen, example.difference))
    if example.descent is not None:
        step = example.descent
        said.append(
            f"One step of gradient descent subtracts {math(f'{step.rate:g}')} times its gradient from each parameter: "
            f"{objective} changes from {math(f'{step.before:.4f}')} to {math(f'{step.after:.4f}')}, by "
            f"{math(f'{step.after - step.before:.4f}')}. To first order it is minus the rate times the squared norm of the "
            f"gradient, {math(f'{step.expected:.4f}')}.")
    return [Prose(" ".join(said))] if said else []


def _difference_told(pen: Pen, found: Difference) -> str:
    symbol = pen.plain(Value(found.parameter))
    place = f"entry {', '.join(str(at + 1) for at in found.entry)} of {math(symbol)}" if found.entry else math(symbol)
    moved = f"{found.step:g}"
    return (f"A check by finite differences: with {place} moved by {math(moved)} up and down, it is "
            f"{math(f'{found.above:.8f}')} and {math(f'{found.below:.8f}')}; the difference divided by "
            f"{math(f'{2 * found.step:g}')} is {math(f'{found.quotient:.5f}')}, and the gradient is "
            f"{math(f'{found.gradient:.5f}')}.")
