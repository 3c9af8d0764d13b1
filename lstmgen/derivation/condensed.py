"""A cell and its backward pass as they are written on one card: without the stages in between.

The cell has the equations of its spec, each on one line. The backward pass has the adjoints that are sums, or that several
others use; every other adjoint is put in where it is used. Nothing is derived here: only names are replaced by what they
stand for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from ..language.expressions import (
    Adjoint, Expression, Negative, Product, Value, children, negative, product, rebuild, transform, walk,
)
from .chain import OUTPUT, START, Contribution, Derivation, Gradient, later
from .graph import Graph

LONGEST = 24  # nodes of an adjoint that is put in where another uses it
DEEPEST = 40  # adjoints that are put in, one inside the other


@dataclass(frozen=True)
class Line:
    """One equation of the spec."""

    name: str
    expression: Expression


def written(graph: Graph) -> tuple[Line, ...]:
    """The equations of a spec, in an order in which they can be computed; the stages made from them are put back in."""
    unnamed = {stage.name: stage.expression for stage in graph.stages if stage.owner != stage.name}

    def whole(expression: Expression) -> Expression:
        def put_in(node: Expression) -> Expression | None:
            if isinstance(node, Value) and node.name in unnamed:
                return whole(later(unnamed[node.name], node.lag, graph.static))
            return None

        return transform(expression, put_in)

    return tuple(Line(stage.name, whole(stage.expression)) for stage in graph.stages if stage.owner == stage.name)


def condensed(derivation: Derivation) -> tuple[Gradient, ...]:
    """The adjoints of stages, inputs and parameters, without those that only one other uses; static ones are as they were.

    Each contribution has the `term` that it has then. All other fields are those of the derivation.
    """
    static, put, adjoints = derivation.graph.static, _put_in(derivation), derivation.adjoints

    def shorter(fork: Contribution) -> Contribution:
        def put_in(node: Expression) -> Expression | None:
            if isinstance(node, Adjoint) and node.name in put:
                (only,) = adjoints[node.name].forks
                return later(shorter(only).term, node.lag, static)
            return None

        return replace(fork, term=flattened(transform(fork.term, put_in)))

    everything = (*derivation.stages, *derivation.inputs, *derivation.parameters)
    return tuple(replace(gradient, forks=tuple(map(shorter, gradient.forks)))
                 for gradient in everything if gradient.value not in put)


def _put_in(derivation: Derivation) -> set[str]:
    """The adjoints that have one term and one use, and are short."""
    graph = derivation.graph
    uses = Counter(
        node.name for fork in derivation.contributions() for node in {*walk(fork.term)} if isinstance(node, Adjoint))
    short = [
        gradient for gradient in derivation.stages
        if len(gradient.forks) == 1 and gradient.forks[0].kind not in (OUTPUT, START)
        and uses[gradient.value] == 1 and gradient.value not in (*graph.states, *graph.static, graph.loss)
        and gradient.value not in derivation.last_step_only and gradient.forks[0].reader not in derivation.last_step_only
        and sum(1 for _ in walk(gradient.forks[0].term)) <= LONGEST
    ]
    depth: dict[str, int] = {}  # in a chain of a thousand stages, one is written out now and then
    for gradient in short:
        read = [node.name for node in walk(gradient.forks[0].term) if isinstance(node, Adjoint)]
        deep = 1 + max((depth.get(name, 0) for name in read), default=0)
        if deep <= DEEPEST:
            depth[gradient.value] = deep
    return set(depth)


def flattened(expression: Expression) -> Expression:
    """The expression with nested products multiplied out into one product."""
    parts = tuple(flattened(part) for part in children(expression))
    if isinstance(expression, Product):
        return product(*parts)
    if isinstance(expression, Negative):
        return negative(*parts)
    return rebuild(expression, parts) if parts else expression
