"""How large an expression becomes, counted before it is made.

A short text can become larger than any memory. If each of a spec's own functions calls the next one twice, the expression
doubles at every call; and a product of n values has n derivatives of n - 1 factors. Here the size is counted on the
short text, so that it can be refused before anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .expressions import Body, Call, Compare, Expression, MatVec, Negative, Power, Product, Quotient, Value, children


@dataclass(frozen=True)
class Extent:
    """How many operations and names an expression has, and how deep they are nested."""

    nodes: int
    depth: int


def extent(expression: Expression, of_function: Callable[[str], Extent | None]) -> Extent:
    """The extent of an expression, with each function replaced by its body if `of_function` knows the body's extent."""
    parts = [extent(child, of_function) for child in children(expression)]
    nodes = 1 + sum(part.nodes for part in parts)
    depth = 1 + max((part.depth for part in parts), default=0)
    body = of_function(expression.function) if isinstance(expression, Call) else None
    if body is None:
        return Extent(nodes, depth)
    # An argument that is read more than once becomes a stage, which is read by its name: it counts once.
    return Extent(nodes + body.nodes, depth + body.depth)


@dataclass(frozen=True)
class _Copies(Extent):
    """The extent of a function's body, and what each argument adds to it."""

    uses: Mapping[str, int] = field(default_factory=dict)  # how often each argument is read
    under: Mapping[str, int] = field(default_factory=dict)  # how deep it is read


def extent_of_copies(expression: Expression, body_of: Callable[[str], Body | None]) -> Extent:
    """The same where an argument is put in as often as it is read: nothing of it becomes a stage."""
    known: dict[str, tuple[tuple[str, ...], _Copies]] = {}

    def measured(node: Expression, arguments: tuple[str, ...]) -> _Copies:
        if isinstance(node, Value) and node.name in arguments:
            return _Copies(0, 0, {node.name: 1}, {node.name: 0})
        parts = [measured(child, arguments) for child in children(node)]
        body = body_of(node.function) if isinstance(node, Call) else None
        if not isinstance(node, Call) or body is None:
            return _put_together(_Copies(1, 1), [(part, 1, 1) for part in parts])
        if node.function not in known:
            known[node.function] = body.arguments, measured(body.expression, body.arguments)
        names, inner = known[node.function]
        return _put_together(_Copies(inner.nodes, inner.depth), [
            (part, inner.uses.get(name, 0), inner.under.get(name, 0)) for part, name in zip(parts, names)
        ])

    return measured(expression, ())


def _put_together(whole: _Copies, parts: Iterable[tuple[_Copies, int, int]]) -> _Copies:
    """An extent with parts in it: each with how often, and how deep, it is read."""
    nodes, depth = whole.nodes, whole.depth
    uses: dict[str, int] = {}
    under: dict[str, int] = {}
    for part, often, deep in parts:
        if often:
            nodes += often * part.nodes
            depth = max(depth, deep + part.depth)
            for name in part.uses:
                uses[name] = uses.get(name, 0) + often * part.uses[name]
                under[name] = max(under.get(name, 0), deep + part.under[name])
    return _Copies(nodes, depth, uses, under)


def derivative_nodes(expression: Expression) -> int:
    """An upper bound of the operations and names in all local derivatives of a stage, together."""
    return sum(_derivatives(expression)[1].values())


def _derivatives(expression: Expression) -> tuple[int, dict[Value, int]]:
    """Nodes of an expression, and of its derivative with respect to each value that it reads."""
    if isinstance(expression, Value):
        return 1, {expression: 1}
    parts = [_derivatives(child) for child in children(expression)]
    size = 1 + sum(part for part, _ in parts)
    found: dict[Value, int] = {}

    def add(derivatives: dict[Value, int], more: int) -> None:
        for value, nodes in derivatives.items():
            found[value] = found.get(value, 0) + nodes + more

    for part, derivatives in parts:
        match expression:
            case Product():
                add(derivatives, size - part)  # a term for each factor, with all the others
            case Quotient() | Power():
                add(derivatives, 2 * size)
            case Negative():
                add(derivatives, 1)
            case Call() | Compare() | MatVec():
                add(dict.fromkeys(derivatives, 1), 0)  # by a rule, so small for any arguments
            case _:
                add(derivatives, 0)
    return size, found
