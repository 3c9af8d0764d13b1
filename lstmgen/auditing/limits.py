"""The limits of a spec, held for claims too: no line may ask for more than a machine has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod

from ..derivation.graph import Graph
from ..derivation.limits import MOST_ENTRIES, MOST_NODES
from ..language.constants import Fault, faults
from ..language.effort import extent_of_copies
from ..language.expressions import Adjoint, Body, Call, Expression, MatVec, Value, children, rebuild
from ..language.parse import DEEPEST
from ..language.shapes import Shape, ShapeMismatch, shape_of

_DEEPEST = 2 * DEEPEST  # what the parser admits, and what is evaluated one inside the other


def too_large(expression: Expression, graph: Graph, spell: Callable[[Expression], str]) -> Iterator[Fault]:
    """The constants and the arrays of a claim that are beyond the limits of a spec.

    `spell` writes an expression as the author of the claim would.
    """
    yield from faults(expression, spell)
    yield from _Arrays(graph).faults(expression)


def longest(expression: Expression, bodies: Mapping[str, Body]) -> str | None:
    """Why the functions of one's own cannot be put into an expression; None where they can."""
    whole = extent_of_copies(expression, bodies.get)
    if whole.nodes > MOST_NODES:
        return f"the claim is longer than {MOST_NODES} operations when functions are put in"
    if whole.depth > _DEEPEST:
        return f"the claim is nested deeper than {_DEEPEST} when functions are put in"
    return None


# ---------------------------------------------------------------- arrays


class _Arrays:
    """The sizes of what an expression computes on its way, where every symbol of a size is 4."""

    def __init__(self, graph: Graph):
        self.sizes = {symbol: 4 for symbol, _ in graph.dims}
        self.shapes: dict[str, Shape] = dict(graph.shapes)
        self.found: list[Fault] = []

    def faults(self, expression: Expression) -> list[Fault]:
        """The arrays that are too large. What is made of them is not looked at."""
        try:
            self._plain(expression)
        except (_TooLarge, ShapeMismatch, TypeError, LookupError, ValueError):
            pass  # shapes that do not meet are told when the claim is judged
        return self.found

    def _plain(self, expression: Expression) -> Expression:
        """The expression with a name for everything whose shape the language does not know, or may be large."""
        match expression:
            case Call(function="via", arguments=(Adjoint(name=name), _)):
                return self._named(expression, self.shapes[name])
            case Call(function="partial" | "total", arguments=(Value(name=above), Value(name=below))):
                return self._named(expression, self.shapes[above] + self.shapes[below])
        whole = rebuild(expression, tuple(self._plain(part) for part in children(expression)))
        match whole:
            case Call(function="sum_t", arguments=(summed, *_)):
                return summed
            case Call(function="diag", arguments=(vector,)):
                return self._named(whole, shape_of(vector, self.shapes) * 2)
            case Call(function="repeat" | "concat" | "outer" | "fill" | "Place"):
                return self._named(whole, shape_of(whole, self.shapes))
            case MatVec(matrix=left, vector=right):
                rows, columns = shape_of(left, self.shapes), shape_of(right, self.shapes)
                if (len(rows), len(columns)) == (1, 2):  # a row vector times a matrix
                    return self._named(whole, columns[1:])
                if len(rows) == len(columns) == 2:
                    self._named(whole, rows + columns[1:])  # all products, before they are summed
                    return self._named(whole, rows[:1] + columns[1:])
        return whole

    def _named(self, expression: Expression, shape: Shape) -> Value:
        entries = prod(dim.value(self.sizes) for dim in shape)
        if entries > MOST_ENTRIES:
            message = f"an array of {entries} entries, where every size is 4: at most {MOST_ENTRIES}"
            self.found.append(Fault(expression.at, message))
            raise _TooLarge
        name = f"#{len(self.shapes)}"
        self.shapes[name] = shape
        return Value(name)


class _TooLarge(Exception):
    """An array beyond the limits; the fault is noted already."""
