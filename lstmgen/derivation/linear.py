"""Whether a cell is linear in its states: then steps can be computed as a parallel scan, or in chunks.

Linear means: with inputs and parameters held constant, each new state is a sum of terms that have one state of the step
before as a factor, and of terms that have none.
"""

from __future__ import annotations

from ..language import functions
from ..language.expressions import (
    Call, Compare, Expression, MatVec, Negative, Power, Product, Quotient, Sum, Value, children,
)
from .graph import Graph

# What becomes twice as large if each of its arrays does, and is added up where they are.
_LINEAR = frozenset({
    "sum", "mean", "cumsum", "transpose", "fill", "heads", "flat", "repeat", "concat", "part", "stop_gradient",
})
_BILINEAR = frozenset({"dot", "outer"})
_NOT = 2  # the degree of what is not linear


def is_linear_in_state(graph: Graph) -> bool:
    """Whether every state of the next step is linear in the states of this one."""
    degrees: dict[str, int] = {}
    for stage in graph.stages:
        degrees[stage.name] = _degree(stage.expression, graph, degrees)
    reached = [degrees[name] for name in graph.states]
    return max(reached) == 1


def _degree(expression: Expression, graph: Graph, degrees: dict[str, int]) -> int:
    """In the states of the step before: 0 for none, 1 for linear, 2 for anything else."""
    parts = [_degree(part, graph, degrees) for part in children(expression)]
    most = max(parts, default=0)
    match expression:
        case Value(name=name, lag=lag):
            return 1 if lag else degrees.get(name, 0)
        case Sum() | Negative():
            return most
        case Product() | MatVec():
            return min(sum(parts), _NOT)
        case Quotient():
            return _NOT if parts[1] else parts[0]
        case Power() | Compare():
            return _NOT if most else 0
        case Call(function=functions.WHERE):
            return _NOT if parts[0] else most
        case Call(function=function) if function in _LINEAR:
            return most
        case Call(function=function) if function in _BILINEAR:
            return min(sum(parts), _NOT)
        case Call():
            return _NOT if most else 0
    return 0
