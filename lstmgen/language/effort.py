"""How large an expression becomes, counted before it is made.

A short text can become larger than any memory. If each of a spec's own functions calls the next one twice, the expression
doubles at every call; and a product of n values has n derivatives of n - 1 factors. Here the size is counted on the
short text, so that it can be refused before anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .expressions import Call, Compare, Expression, MatVec, Negative, Power, Product, Quotient, Value, children


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
