r"""What all sections of one document use: symbols, colours, and displays whose lines fit the page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..derivation.chain import OUTPUT, START, Contribution, Gradient, later
from ..language.expressions import ONE, Adjoint, Expression, Sum, Value, negative
from ..language.shapes import SCALAR, Dim, Shape
from ..schedule.plan import Plan
from .blocks import Columns, Display, Gathered, Row
from .latex.lines import broken, plain, width
from .latex.printer import Printer
from .inline import equation, math
from .latex.records import marked_term
from .latex.text import note_width, text_width
from .notation import Notation
from .wording import listed

# A colour for each of the first forks, dark enough to be read on white paper.
COLOURS = ("C4481A", "1C6E8C", "7A3E9D", "3F7D20", "A3264F", "2F4FA8", "8A6100", "6B3A2A")

PAPER_WIDTH = 455.0  # points between the margins
TEXT_WIDTH = 496.0  # the same for formulas, whose widths are estimated for letters of 11 pt and set in 10 pt
TAG_WIDTH = 34.0
LONGEST_READER = 64.0  # points of a reader's symbol in a note; if it is longer, only its number is printed
BETWEEN = 30.0  # points between two small equations in one line
SMALL = 0.9  # of the width that a formula has in the text, if it is set small
CONTINUED = 20.0  # indentation of a line that continues the one above

PARTIAL = r"\partial^{+}"  # the sign of a local derivative


class Term(NamedTuple):
    """A piece of a right side that begins a line."""

    marked: str  # with marks where a line may end
    note: str  # beside its first line, a text with its marks


class Equation(NamedTuple):
    """One equation of a display."""

    left: str
    terms: list[Term]
    number: int | None = None


class SmallEquation(NamedTuple):
    """An equation that shares its line with others."""

    left: str
    marked: str  # the right-hand side


@dataclass
class Pen:
    """Writes values, adjoints and displays of one document."""

    plan: Plan
    notation: Notation
    printed: list[str] = field(default_factory=list)  # every formula so far: what the notation explains

    def __post_init__(self) -> None:
        self.graph, self.derivation = self.plan.graph, self.plan.derivation
        self.spec = self.graph.spec
        self.moving = [gradient for gradient in self.derivation.stages if not self.is_still(gradient.value)]
        self.forks = [gradient for gradient in self.moving
                      if len(gradient.forks) > 1 and not self.graph.is_cut(gradient.value)]
        ranked = sorted(self.forks, key=lambda gradient: gradient.value not in self.graph.states)
        self.colours = {gradient.value: index for index, gradient in enumerate(ranked[: len(COLOURS)], 1)}
        (self.lag,) = self.letters("kpemq")  # what a number of steps is called
        self.forward = Printer(self.notation, colour=self.value_colour)
        self.backward = Printer(self.notation, colour=self.adjoint_colour)
        self.plain = Printer(self.notation)

    # ------------------------------------------------------------------ symbols

    def letters(self, *preferred: str) -> tuple[str, ...]:
        """A letter for each text of letters: its first one that means nothing else in this document."""
        taken = {symbol.base for symbol in self.notation.symbols.values()} | {self.notation.steps}
        taken |= {self.notation.size(symbol) for symbol, _ in self.graph.dims}
        found: list[str] = []
        for letters in preferred:
            found.append(next((each for each in letters if each not in taken), letters[0]))
            taken.add(found[-1])
        return tuple(found)

    def value_colour(self, leaf: Expression) -> str | None:
        return self.colour(leaf.name) if isinstance(leaf, Value) else None

    def adjoint_colour(self, leaf: Expression) -> str | None:
        return self.colour(leaf.name) if isinstance(leaf, Adjoint) else None

    def colour(self, name: str) -> str | None:
        return str(self.colours[name]) if name in self.colours else None

    def is_still(self, name: str) -> bool:
        return name in self.graph.static

    def value(self, name: str, lag: int = 0) -> str:
        """A value in running text, in its fork's colour."""
        return math(self.forward(Value(name, lag)))

    def adjoint(self, name: str, lag: int = 0) -> str:
        return math(self.backward(Adjoint(name, lag)))

    def values(self, names: Iterable[str], lag: int = 0) -> str:
        return listed([self.value(name, lag) for name in names])

    def number(self, name: str) -> str:
        return equation(self.plan.gradient_numbers[name])

    def shape(self, shape: Shape) -> str:
        dims = [self.dim(dim) for dim in shape]
        if len(dims) > 1:
            dims = [f"({dim})" if "+" in dim else dim for dim in dims]
        return r"\times ".join(dims) or "1"

    def dim(self, dim: Dim) -> str:
        return self.plain(dim.expression())

    def display(self, equations: list[Equation], small: bool = False) -> Display:
        """Equations as rows, each broken into lines that fit the page."""
        left_width = max(width(left) for left, _, _ in equations)
        beside = max((note_width(note) for _, terms, _ in equations for _, note in terms), default=0.0)
        limit = (TEXT_WIDTH / SMALL if small else TEXT_WIDTH) - TAG_WIDTH - left_width - beside
        rows = []
        for left, terms, number in equations:
            head, tag = left, number
            for marked, note in terms:
                for position, line in enumerate(broken(marked, limit, limit - CONTINUED)):
                    right = rf"\goeson {line}" if position else line
                    if right.startswith("-"):
                        right = "{-}" + right[1:]  # a sign, not a difference
                    rows.append(Row(head, right, "" if position else note, tag))
                    head, tag = "", None
        self.printed += [row.left + row.right for row in rows]
        return Display(tuple(rows), small)

    def columns(self, equations: list[Equation], small: bool = False) -> Columns | Display:
        """Equations of one term without a note in columns, read downwards; one below the other, if they are wide."""
        rows = [Row(left, plain(terms[0].marked), "", number) for left, terms, number in equations]
        if any(len(terms) > 1 or "cases" in terms[0].marked for _, terms, _ in equations):
            return self.display(equations, small)
        for many in (3, 2):
            height = -(-len(rows) // many)
            sides = [rows[at : at + height] for at in range(0, len(rows), height)]
            needed = sum(max(map(_row_width, side)) for side in sides) + (len(sides) + 1) * BETWEEN
            if len(sides) == many and needed <= (TEXT_WIDTH / SMALL if small else TEXT_WIDTH):
                self.printed += [row.left + row.right for row in rows]
                return Columns(tuple(tuple(side[at] for side in sides if at < len(side)) for at in range(height)), small)
        return self.display(equations, small)

    def gathered(self, equations: list[SmallEquation], small: bool = False) -> Gathered:
        """Small equations, as many in a line as it holds."""
        whole = TEXT_WIDTH / SMALL if small else TEXT_WIDTH
        lines: list[tuple[str, ...]] = []
        room = 0.0
        for left, right in equations:
            head = left + "="
            first, *others = broken(right, whole - width(head) - 4.0, whole - CONTINUED - 4.0)
            needed = width(head + first) + BETWEEN
            if lines and needed <= room and not others:
                lines[-1] += (head + first,)
                room -= needed
            else:
                lines += [(head + first,), *((rf"\goeson {line}",) for line in others)]
                room = 0.0 if others else whole + BETWEEN - needed
        self.printed += [equation for line in lines for equation in line]
        return Gathered(tuple(lines), small)

    def immediate(self, fork: Contribution) -> SmallEquation | None:
        """The local derivative of a contribution, with times as the value sees them; None for an operation."""
        derivative = fork.local if fork.matrix is None else fork.matrix
        if derivative is None:
            return None
        below = self.plain.differential(r"\partial", fork.target, 0)
        colour = self.colour(fork.target)
        below = rf"\fork{{{colour}}}{{{below}}}" if colour else below
        left = rf"\frac{{{self.plain.differential(PARTIAL, fork.reader, fork.lag)}}}{{{below}}}"
        seen = later(derivative, fork.lag, self.graph.static)
        if fork.matrix is not None:
            return SmallEquation(left, self.plain.marked(seen))
        shapes = self.graph.shapes
        return SmallEquation(left, self.factor(seen, shapes[fork.reader], shapes[fork.target]))

    def factor(self, local: Expression, reader: Shape, target: Shape, printer: Printer | None = None) -> str:
        """An elementwise derivative as a diagonal matrix, with marks where a line may end."""
        text = (printer or self.plain).marked(local)
        if reader == SCALAR:
            return text
        is_number = self.notation.shape(local) == SCALAR
        unit = r"\bm 1" if target == SCALAR else r"\bm I"
        if is_number:
            if local in (ONE, negative(ONE)):
                return text.replace("1", unit)
            return rf"({text})\,{unit}" if isinstance(local, Sum) else rf"{text}\,{unit}"
        return text if target == SCALAR else rf"\operatorname{{diag}}({text})"

    def gradient_equation(self, gradient: Gradient, printer: Printer | None = None) -> Equation:
        """An adjoint as a sum, with a line for each contribution and its reader beside it."""
        printer = printer or self.backward
        left = printer(Adjoint(gradient.value)) + "={}"
        return Equation(left, self.terms(gradient, printer), self.plan.gradient_numbers[gradient.value])

    def terms(self, gradient: Gradient, printer: Printer) -> list[Term]:
        if gradient.value == self.graph.loss:
            at_the_end = Printer(self.notation, self.notation.steps)(Value(gradient.value))
            total = at_the_end
            if not self.graph.has_loss_at_last:
                total = rf"\textstyle\sum_t{printer(Value(gradient.value))}"
            return [Term("1", math(rf"\mathcal L={total}"))]
        if not gradient.forks:
            zero = r"\bm 0" if gradient.shape else "0"
            return [Term(zero, "no gradient comes back")]
        terms = []
        for position, fork in enumerate(gradient.forks):
            text = marked_term(fork, printer, self.notation.steps, self.at_the_end_alone(fork))
            if position:
                text = "{}" + text if text.startswith("-") else "{}+" + text
            terms.append(Term(text, self.reader_note(fork, printer)))
        return terms

    def at_the_end_alone(self, fork: Contribution) -> bool:
        """Whether a contribution exists at the last step only, though its target exists at every step."""
        last = self.derivation.last_step_only
        return fork.reader in last and fork.target not in last

    def reader_note(self, fork: Contribution, printer: Printer) -> str:
        """The reader of a contribution, and its step."""
        if fork.kind == OUTPUT:
            return "from outside"
        if fork.kind == START:
            return "as the initial state"
        reader = math(Printer(self.notation, printer.now)(Value(fork.reader, fork.lag)))
        number = equation(self.plan.numbers[fork.reader])
        reader = number if text_width(reader) > LONGEST_READER else f"{reader} {number}"
        if fork.over_time:
            when = "the last step" if self.at_the_end_alone(fork) else "every step"
        elif self.is_still(fork.reader):
            when = "once"
        elif self.at_the_end_alone(fork):
            when = "at the last step"
        else:
            when = f"step {math(printer.step(fork.lag))}" if fork.lag else "this step"
        return f"{reader}, {when}"

    def sized(self, name: str) -> str:
        shape = self.graph.shapes[name]
        told = f"of size {math(self.shape(shape))}" if shape else "a scalar"
        return f"{self.value(name)} ({told})"

    def has_arrays(self) -> bool:
        return any(self.notation.is_bold(name) for name in self.notation.symbols)

    def readers(self, forks: Iterable[Contribution]) -> str:
        return listed([math(self.plain(Value(fork.reader, fork.lag))) for fork in forks])


def _row_width(row: Row) -> float:
    """Of an equation in a column, with its number."""
    return width(row.left + row.right) + 30.0
