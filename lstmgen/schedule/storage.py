"""How parameters are stored, and where each size is read from."""

from __future__ import annotations

from collections.abc import Iterable

from ..derivation.graph import Graph
from ..language.shapes import Dim, Shape
from .plan import BiasStack, Plan, Stack
from .records import ARGUMENT, PARAMETER, STATE, Member, Sizes, SizeSource, StoredParameter


def stored_parameters(plan: Plan) -> tuple[StoredParameter, ...]:
    """The stored arrays, in the order in which the spec declares the first parameter of each."""
    graph = plan.graph
    stack_of: dict[str, Stack | BiasStack] = {}
    for block in plan.blocks:
        for stack in block.stored():
            stack_of |= {factor.parameter: stack for factor in stack.factors}
    stored: dict[str, StoredParameter] = {}
    for parameter in graph.parameters:
        found = stack_of.get(parameter)
        name = found.name if found else parameter
        if name not in stored:
            names = [factor.parameter for factor in found.factors] if found else [parameter]
            stored[name] = _under_each_other(name, names, graph)
    return tuple(stored.values())


def _under_each_other(name: str, parameters: list[str], graph: Graph) -> StoredParameter:
    members, rows = [], Dim()
    for parameter in parameters:
        shape = graph.shapes[parameter]
        members.append(Member(parameter, rows, shape))
        if len(parameters) > 1:
            rows += shape[0]
    first = graph.shapes[parameters[0]]
    return StoredParameter(name, tuple(members), (rows, *first[1:]) if len(parameters) > 1 else first)


def sizes(graph: Graph, stored: Iterable[StoredParameter]) -> Sizes:
    """Sizes from parameters first, then from inputs and targets, then from states; always from the simplest axis."""
    known: list[str] = []
    from_parameters = _solved([(PARAMETER, entry.name, entry.shape) for entry in stored], known)
    known_of_step = list(known)
    shapes = graph.shapes
    inputs = [(ARGUMENT, name, shapes[name]) for name in graph.inputs]
    targets = [(ARGUMENT, name, shapes[name]) for name in graph.targets]
    states = [(STATE, name, shapes[name]) for name in graph.states]
    return Sizes(
        from_parameters=from_parameters,
        from_arguments=_solved([*inputs, *targets], known),
        from_states=_solved(states, known),
        from_inputs=_solved(inputs, known_of_step),
        from_states_of_step=_solved(states, known_of_step),
    )


def _solved(arrays: list[tuple[str, str, Shape]], known: list[str]) -> tuple[SizeSource, ...]:
    """Read the simplest axis with one unknown symbol, again and again; `known` grows."""
    axes = [(kind, name, axis, dim) for kind, name, shape in arrays for axis, dim in enumerate(shape)]
    axes.sort(key=lambda each: (len(each[3].terms), each[3].constant, sum(factor for _, factor in each[3].terms)))
    found: list[SizeSource] = []
    while True:
        source = next(filter(None, (_source(*axis, known) for axis in axes)), None)
        if source is None:
            return tuple(found)
        found.append(source)
        known.append(source.symbol)


def _source(kind: str, array: str, axis: int, dim: Dim, known: list[str]) -> SizeSource | None:
    """The size that an axis gives, if all but one of its symbols are known."""
    solved = dim.solved(known)
    if solved is None:
        return None
    symbol, factor, rest = solved
    return SizeSource(symbol, kind, array, axis, rest, factor)
