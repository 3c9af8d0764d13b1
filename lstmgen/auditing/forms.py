"""What claims may say that the language of the specs cannot: forms, steps by their numbers, and which names."""

from __future__ import annotations

from ..derivation.graph import Graph
from ..language.expressions import Adjoint, Expression, Outside, Value, walk

SUM_T, VIA, PARTIAL, TOTAL, DIAG, SLICE = "sum_t", "via", "partial", "total", "diag", "slice"
FORMS = {SUM_T: (1, 3), VIA: (2, 2), PARTIAL: (2, 2), TOTAL: (2, 2), DIAG: (1, 1), SLICE: (3, 3)}
"""What claims may call besides the functions of the language: fewest and most arguments."""

ABSOLUTE = 1_000_000  # a lag beyond half of it is a step's number plus this
FARTHEST = 3  # steps that a claim may look back or ahead
STEP = "t"  # the reader that stands for a whole step in via(d_c, t+1)


def is_number(lag: int) -> bool:
    """Whether a lag stands for a step by its number."""
    return lag > ABSOLUTE // 2


def lag_to(step: int) -> int:
    """The lag that stands for a step by its number."""
    return ABSOLUTE + step


def step_of(lag: int, now: int) -> int:
    """The step that a lag leads to from step `now`."""
    return lag - ABSOLUTE if is_number(lag) else now + lag


def is_numbered(expression: Expression) -> bool:
    """Whether it reads a step by its number."""
    return any(isinstance(node, (Value, Adjoint, Outside)) and is_number(node.lag) for node in walk(expression))


def known_names(graph: Graph) -> tuple[str, ...]:
    """The names that the spec itself gives."""
    stages = [stage.name for stage in graph.stages if stage.owner == stage.name and stage.name != graph.loss]
    return tuple(dict.fromkeys((*graph.inputs, *graph.targets, *graph.states, *graph.parameters, *stages)))


def named_stages(graph: Graph) -> frozenset[str]:
    """The stages that a text can name: equations, and the arguments of their calls."""
    return frozenset(
        stage.name
        for stage in graph.stages
        if stage.owner != graph.loss and stage.name in (stage.owner, f"{stage.owner}_pre")
    )
