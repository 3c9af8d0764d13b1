"""The limits of a spec, held for claims too: no line may ask for more than a machine has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from ..derivation.graph import MOST_ENTRIES, MOST_NODES, Graph
from ..language.constants import Fault, faults
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


# ---------------------------------------------------------------- functions of one's own


@dataclass(frozen=True)
class _Extent:
    """Operations and names, and how deep they are nested; and what each argument adds to them."""

    nodes: int
    depth: int
    uses: Mapping[str, int] = field(default_factory=dict)  # how often each argument is read
    under: Mapping[str, int] = field(default_factory=dict)  # how deep it is read


def longest(expression: Expression, bodies: Mapping[str, Body]) -> str | None:
    """Why the functions of one's own cannot be put into an expression; None where they can.

    An argument is put in as often as it is read. That is counted here, before it is done.
    """
    known: dict[str, _Extent] = {}

    def of_function(name: str) -> _Extent:
        if name not in known:
            body = bodies[name]
            known[name] = _extent(body.expression, body.arguments, bodies, of_function)
        return known[name]

    whole = _extent(expression, (), bodies, of_function)
    if whole.nodes > MOST_NODES:
        return f"the claim is longer than {MOST_NODES} operations when functions are put in"
    if whole.depth > _DEEPEST:
        return f"the claim is nested deeper than {_DEEPEST} when functions are put in"
    return None


def _extent(
    expression: Expression, arguments: tuple[str, ...], bodies: Mapping[str, Body],
    of_function: Callable[[str], _Extent],
) -> _Extent:
    if isinstance(expression, Value) and expression.name in arguments:
        return _Extent(0, 0, {expression.name: 1}, {expression.name: 0})
    parts = [_extent(part, arguments, bodies, of_function) for part in children(expression)]
    own = isinstance(expression, Call) and expression.function in bodies
    if isinstance(expression, Call) and own:
        body = of_function(expression.function)
        names = bodies[expression.function].arguments
        nodes, depth = body.nodes, body.depth
        placed = [(part, body.uses.get(name, 0), body.under.get(name, 0)) for part, name in zip(parts, names)]
    else:
        nodes, depth = 1, 1
        placed = [(part, 1, 1) for part in parts]
    uses: dict[str, int] = {}
    under: dict[str, int] = {}
    for part, often, deep in placed:
        if not often:
            continue
        nodes += often * part.nodes
        depth = max(depth, deep + part.depth)
        for name in part.uses:
            uses[name] = uses.get(name, 0) + often * part.uses[name]
            under[name] = max(under.get(name, 0), deep + part.under[name])
    return _Extent(nodes, depth, uses, under)


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
            case Call(function="repeat" | "concat" | "outer"):
                return self._named(whole, shape_of(whole, self.shapes))
            case MatVec(matrix=left, vector=right):
                rows, columns = shape_of(left, self.shapes), shape_of(right, self.shapes)
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
