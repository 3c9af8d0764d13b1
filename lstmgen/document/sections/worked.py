"""The pages of the worked example: two steps of the cell in numbers, to be followed with a calculator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...derivation.chain import OUTPUT, START, Contribution
from ...language.expressions import Outside, Value
from ...numerics.worked import Entries, GradientNumber, TermNumber, WorkedExample, three_digits
from ..blocks import Block, Prose, Section, Table
from ..latex.lines import width
from ..latex.printer import Printer
from ..pen import Pen
from ..wording import listed, math_text

MOST_NUMBERS = 300  # that anybody would follow with a calculator
ONE_LINE = 2  # entries of a row that is never divided
FEW = 4  # entries of an array that leave room for another beside it


def worked_section(pen: Pen, example: WorkedExample | None) -> Section | None:
    """Every value and every adjoint of two steps."""
    if example is None or example.numbers > MOST_NUMBERS:
        return None
    return Section("A worked example", "worked", (
        Prose(_told(pen, example)),
        _given(pen, example),
        Prose("Forward, by the equations with the numbers in front:"),
        _forward(pen, example),
        *([Prose(f"Summed over the steps, the loss is ${_three(example.loss)}$.")] if example.loss is not None else []),
        Prose("Backward, from the last step to the first. Below the adjoint of a fork are its contributions; the "
              "adjoint is their sum."),
        _backward(pen, example),
        *_totals(pen, example),
    ))


def _sizes(pen: Pen, example: WorkedExample) -> str:
    return listed([f"${pen.notation.size(symbol)}={size}$" for symbol, size in example.sizes]) if example.sizes else ""


def _told(pen: Pen, example: WorkedExample) -> str:
    sizes = _sizes(pen, example)
    told = f"These are two steps, $T={example.steps}$, in numbers" + (f", with {sizes}" if sizes else "") + "."
    return told + (" Everything is computed in double precision and printed with three digits. If you compute with "
                   "the printed numbers, your last digit may differ. Semicolons divide the rows of a matrix.")


# ---------------------------------------------------------------- tables


def _given(pen: Pen, example: WorkedExample) -> Table:
    """Two by two, where they are short."""
    printer = {step: Printer(pen.notation, str(step)) for step in range(example.steps + 1)}
    given = [(math_text(printer[number.step](Value(number.name))), _entries(number.entries))
             for number in (*example.parameters, *example.state, *example.inputs)]
    given += [(math_text(printer[number.step](Outside(number.name))), _entries(number.entries))
              for number in example.outside]
    column = r">{\raggedright\arraybackslash}p"
    if max(text.count("$") for _, text in given) > 2 * FEW:
        columns = rf"@{{}}l {column}{{300pt}}@{{}}"
        return Table("What is given.", columns, ("", "Value"), tuple(given), small=True)
    half = (len(given) + 1) // 2
    pairs = zip(given[:half], [*given[half:], ("", "")])
    return Table("What is given.", rf"@{{}}l {column}{{150pt}} l {column}{{150pt}}@{{}}",
                 ("", "Value", "", "Value"), tuple((*left, *right) for left, right in pairs), small=True)


def _forward(pen: Pen, example: WorkedExample) -> Table:
    steps = range(1, example.steps + 1)
    by_name: dict[str, dict[int, Entries]] = {}
    for number in (*example.still, *example.forward):
        by_name.setdefault(number.name, {})[number.step] = number.entries
    rows = [
        (f"({pen.plan.numbers[name]})", pen.value(name),
         *(_entries(found[at]) if (at := step if step in found else 0) in found else "" for step in steps))
        for name, found in by_name.items()
    ]
    return _table("Forward.", ("", "", *(f"$t={step}$" for step in steps)), rows, example.steps)


def _backward(pen: Pen, example: WorkedExample) -> Table:
    steps = [*range(example.steps, 0, -1), 0]
    by_name: dict[str, dict[int, GradientNumber]] = {}
    for gradient in (*example.backward, *example.start):
        by_name.setdefault(gradient.name, {})[gradient.step] = gradient
    rows: list[tuple[str, ...]] = []
    for name, found in by_name.items():
        number = f"({pen.plan.gradient_numbers[name]})"
        rows.append((number, pen.adjoint(name), *(_of(found, step) for step in steps)))
        if len(pen.derivation.adjoints[name].forks) > 1:
            rows += _branches(pen, found, name, steps)
    return _table("Backward.", ("", "", *(f"$t={step}$" for step in steps)), rows, len(steps))


def _of(found: dict[int, GradientNumber], step: int) -> str:
    return _entries(found[step].entries) if step in found else ""


def _branches(
    pen: Pen, found: dict[int, GradientNumber], name: str, steps: Iterable[int]
) -> Iterator[tuple[str, ...]]:
    """What each reader of a fork sends back, in grey."""
    for fork in pen.derivation.adjoints[name].forks:
        terms = {step: next((term for term in gradient.terms if term.fork == fork), None)
                 for step, gradient in found.items()}
        if any(terms.values()):
            shown = [terms.get(step) for step in steps]
            entries = [_aside(_entries(term.entries)) if term else "" for term in shown]
            yield ("", _aside(_reader(pen, fork)), *entries)


def _reader(pen: Pen, fork: Contribution) -> str:
    if fork.kind == OUTPUT:
        return "from outside"
    if fork.kind == START:
        return "as initial state"
    reader = math_text(pen.plain(Value(fork.reader, fork.lag)))
    if width(reader) > 60.0:
        reader = rf"\eqref{{eq:{pen.plan.numbers[fork.reader]}}}" + (" later" if fork.lag else "")
    return f"from {reader}"


def _aside(text: str) -> str:
    return rf"\textcolor{{aside}}{{{text}}}"


def _totals(pen: Pen, example: WorkedExample) -> list[Block]:
    if not example.totals:
        return []
    steps = range(1, example.steps + 1)
    rows = [(f"({pen.plan.gradient_numbers[gradient.name]})", pen.adjoint(gradient.name),
             *(_share(gradient, step) for step in steps), _entries(gradient.entries))
            for gradient in example.totals]
    head = ("", "", *(f"$t={step}$" for step in steps), "Sum")
    what = "parameters and static values" if example.still else "parameters"
    return [Prose(f"What each step adds to the gradients of {what}, and the sums:"),
            _table(f"Gradients of {what}.", head, rows, len(head) - 2)]


def _share(gradient: GradientNumber, step: int) -> str:
    """What the branches into one step add up to, where that is one of them."""
    terms: list[TermNumber] = [term for term in gradient.terms if term.step == step]
    return _entries(terms[0].entries) if len(terms) == 1 else r"\dots" if terms else ""


def _table(caption: str, head: tuple[str, ...], rows: list[tuple[str, ...]], columns: int) -> Table:
    head = head if len(head) == columns + 2 else ("", *head)
    room = {1: 300, 2: 140, 3: 94}[columns]
    column = rf">{{\raggedright\arraybackslash}}p{{{room}pt}}"
    return Table(caption, r"@{}r l " + " ".join([column] * columns) + "@{}", head, tuple(rows), small=True)


# ---------------------------------------------------------------- numbers


def _entries(entries: Entries) -> str:
    """A scalar, the entries of a vector, the rows of a matrix."""
    if isinstance(entries, float):
        return f"${_three(entries)}$"
    rows = [entry for entry in entries if isinstance(entry, tuple)]
    if rows:
        return ";\\ \\ ".join(map(_row, rows))
    return ", ".join(f"${_three(entry)}$" for entry in entries if isinstance(entry, float))


def _row(row: tuple[float, ...]) -> str:
    """Of a matrix; a short one is never divided."""
    told = ", ".join(f"${_three(entry)}$" for entry in row)
    return rf"\mbox{{{told}}}" if len(row) <= ONE_LINE and "e" not in "".join(map(three_digits, row)) else told


def _three(value: float) -> str:
    text = three_digits(value)
    if "e" not in text:
        return text
    digits, exponent = text.split("e")
    return rf"{digits}\cdot 10^{{{int(exponent)}}}"
