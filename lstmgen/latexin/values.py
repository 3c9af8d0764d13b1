"""The values of a cell that is known, as the symbols of a text name them: their steps, and what the text defines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..auditing.forms import is_number, lag_to
from ..language.expressions import (
    Adjoint, Call, Expression, MatVec, Outside, Size, Value, number, shift, transform, values,
)
from ..language.shapes import Shape
from .algebra import Algebra, Sizes, Term, transposed
from .choices import Choices
from .faults import NotRead
from .names import Names
from .symbols import END, NUMBER, Step, Symbol
from .tree import flat

ShapeOf = Callable[[Expression], Shape | None]
"""The shape of a derivative of one value by another; None where it has none that can be said."""


@dataclass(frozen=True)
class Definition:
    """A symbol that the text defines, and that the cell has not."""

    term: Term


@dataclass
class Cell:
    """What a whole text is read with."""

    names: Names
    steps: int
    shape_of: ShapeOf
    timed: bool  # whether symbols have steps
    raised: bool  # whether steps stand above
    definitions: Mapping[str, Definition]
    turned: bool = False  # their matrices are ours transposed: vectors are rows


class Values:
    """The values of one reading of one equation."""

    def __init__(self, cell: Cell, choices: Choices, lenient: bool = False):
        self.cell, self.names, self.choices = cell, cell.names, choices
        self.clock = cell.names.clock
        self.algebra = Algebra(Sizes(), choices, lenient, cell.turned)
        self.algebra.joined = self._joined
        self.sure = True  # whether every symbol so far is one that the spec or the user names
        self.on_left = False
        self.joins = False  # whether matrices stand side by side in the text that are apart in the cell
        self.at_last: bool | None = None  # the loss has a step: the equation is about a sequence that ends there

    # ------------------------------------------------------------------ matrices side by side

    def _joined(self, matrix: Term, stack: Term) -> Term | None:
        """W_f [h; x] of a cell whose W_f multiplies x alone: the matrices of h and of x, side by side in the text."""
        if not isinstance(matrix.expression, Value) or not stack.parts:
            return None
        products = []
        for part in stack.parts:
            name = self.matrix_of(matrix.expression.name, part)
            if name is None:
                return None
            products.append((False, self.algebra.multiply(Term(Value(name), self.names.shapes[name], matrix.at), part)))
        told = f"'{matrix.expression.name}' of the text is read as {' and '.join(map(_matrix, products))}, side by side"
        self.choices.pick(("joined", matrix.expression.name), (told,))
        self.joins = True
        return self.algebra.add(products, matrix.at)

    def matrix_of(self, beside: str, part: Term) -> str | None:
        """The matrix of the same equation that multiplies a part of a stack."""
        states = [each.name for each in values(part.expression)]
        moving = [name for name in states if name in self.names.graph.states] if len(states) > 1 else states
        return self.names.beside(beside, moving[0]) if len(moving) == 1 else None

    # ------------------------------------------------------------------ values

    def is_timed(self) -> bool:
        return self.cell.timed

    def activations(self) -> tuple[str, ...]:
        used: dict[str, None] = {}
        for stage in self.names.graph.stages:
            match stage.expression:
                case Call(function=function, arguments=(_,)) if function[0].islower():
                    used[function] = None
        known = [each for each in ("tanh", "sigmoid", "relu", "softplus", "exp", "softmax", "sin", "silu") if each in used]
        return tuple(known or ["tanh"])

    def value(self, symbol: Symbol, applied: str) -> Term | None:
        found = self.names.find(symbol)
        if found is None:
            return self._defined(symbol) or self._constant(symbol)
        if applied == "ask":
            return Term(number(0), (), symbol.at)
        symbol = found.symbol
        self.sure = self.sure and found.sure
        if found.name.startswith("d_"):
            return self._scripts(self.adjoint(found.name.removeprefix("d_"), self._lag(symbol.step), symbol), symbol)
        shape = self.names.shapes[found.name]
        static = found.name in self.names.graph.static
        symbol = self._settled(symbol, static)
        lag = 0 if static else self._lag(symbol.step)
        term = Term(Value(found.name, lag), shape, symbol.at)
        if self.cell.turned and static and len(shape) == 2:
            term = Term(transposed(term.expression), shape[::-1], symbol.at)
        return self._scripts(term, symbol)

    def _settled(self, symbol: Symbol, static: bool) -> Symbol:
        """A T above is a transpose or the last step; a number above a power or a step."""
        if symbol.may_be_transposed:
            ways = [replace(symbol, may_be_transposed=False, transposed=True),
                    replace(symbol, may_be_transposed=False, step=Step(END))]
            if static or symbol.step is not None:
                return ways[0]
            if self.cell.raised:
                ways.reverse()
            told = {True: "is read as a transpose", False: "is read as the last step"}
            return ways[self.choices.pick(("T", symbol.base), tuple(
                f"the T above '{symbol.told()}' {told[way.transposed]}" for way in ways))]
        if symbol.power and symbol.step is None and self.cell.raised and not static and len(symbol.power) == 1:
            number_of = int(flat(symbol.power))
            told_steps = (f"the {number_of} above '{symbol.told()}' is read as a step",
                          f"the {number_of} above '{symbol.told()}' is read as a power")
            if self.choices.pick(("raised", symbol.base), told_steps) == 0:
                return replace(symbol, power=(), step=Step(NUMBER, number_of))
        return symbol

    def _scripts(self, term: Term, symbol: Symbol) -> Term:
        if symbol.primes:
            raise NotRead(symbol.at, f"a prime at '{symbol.told()}'")
        return self.algebra.transpose(term) if symbol.transposed or symbol.may_be_transposed else term

    def _lag(self, step: Step | None) -> int:
        match step:
            case None:
                return 0
            case Step(kind="lag" | "prev", offset=offset):
                return offset
            case Step(kind="number", offset=offset):
                return lag_to(offset)
            case Step(kind="end", offset=offset):
                return lag_to(self.cell.steps + offset)
        told = ("'next' is read as step t", "'next' is read as step t+1")
        return self.choices.pick(("next",), told)

    def _constant(self, symbol: Symbol) -> Term | None:
        graph = self.names.graph
        if symbol.step is not None or symbol.accents:
            return None
        name = symbol.base + "".join(f"_{mark}" for mark in symbol.marks)
        if any(constant.name == name for constant in graph.spec.constants):
            return Term(Value(name), (), symbol.at)
        if any(size == name for size, _ in graph.dims) and not symbol.bold:
            return Term(Size(name), (), symbol.at)
        return None

    def _defined(self, symbol: Symbol) -> Term | None:
        definition = self.cell.definitions.get(symbol.key)
        if definition is None:
            return None
        lag = self._lag(symbol.step)
        static = self.names.graph.static

        def later(node: Expression) -> Expression | None:
            match node:
                case Value(name=name, lag=old) | Adjoint(name=name, lag=old) | Outside(name=name, lag=old):
                    if name in static or is_number(old):
                        return node
                    return type(node)(name, lag) if is_number(lag) and not old else shift(node, lag)
            return None

        term = definition.term
        if lag:
            term = replace(term, expression=transform(term.expression, later), parts=(), at=symbol.at)
        return self._scripts(replace(term, at=symbol.at), symbol)

    def adjoint(self, name: str, lag: int, symbol: Symbol) -> Term:
        shape = self.names.shapes[name]
        expression: Expression = Adjoint(name, lag)
        if self.cell.turned and len(shape) == 2 and name in self.names.graph.static:
            expression, shape = transposed(expression), shape[::-1]
        return Term(expression, shape, symbol.at)


def _matrix(product: tuple[bool, Term]) -> str:
    match product[1].expression:
        case MatVec(matrix=Value(name=name)):
            return name
    return "another"
