"""From a spec's equations to the computational graph of one step."""

from __future__ import annotations

from fractions import Fraction

from ..language.expressions import Number, Value, values
from ..spec.cell import CellSpec
from .checks import check_sizes, check_use, infer_shapes, order_of
from .graph import Graph, Stage
from .normal import Normaliser
from .reading import Reading


def build_graph(spec: CellSpec) -> Graph:
    """The graph of a spec, or a `SpecError` with every mistake in its equations and shapes."""
    reading = Reading(spec)
    reading.read_shapes()
    bodies = reading.read_bodies()
    reading.mistakes.stop()
    order = order_of(reading, bodies)
    infer_shapes(reading, bodies, order)
    check_use(reading)
    check_sizes(reading)
    reading.mistakes.stop()
    stages, loss = Normaliser(reading, bodies).stages(order)
    reading.mistakes.stop()
    return Graph(
        spec=spec,
        dims=tuple((dim.symbol, dim.keyword) for dim in spec.dims),
        inputs=tuple(item.name for item in spec.inputs),
        targets=tuple(item.name for item in spec.targets),
        parameters=tuple(item.name for item in spec.parameters),
        states=tuple(item.name for item in spec.states),
        stages=stages,
        outputs=tuple(output.name for output in spec.outputs),
        loss=loss,
        initial=_starts(spec),
        static=_static(stages, reading.parameters, reading.states | {loss} | {output.name for output in spec.outputs}),
        shapes=dict(reading.shapes) | {stage.name: stage.shape for stage in stages},
    )


def _starts(spec: CellSpec) -> tuple[tuple[str, Number | Value], ...]:
    given = {item.state: item.start for item in spec.initial}
    starts: list[tuple[str, Number | Value]] = []
    for state in spec.states:
        start = given.get(state.name, Fraction(0))
        starts.append((state.name, Value(start) if isinstance(start, str) else Number(start)))
    return tuple(starts)


def _static(stages: tuple[Stage, ...], parameters: set[str], moving: set[str | None]) -> frozenset[str]:
    """The static values. A state, an output or the loss is never static, even if it reads parameters only."""
    static = set(parameters)
    for stage in stages:
        if stage.name not in moving and all(value.name in static for value in values(stage.expression)):
            static.add(stage.name)
    return frozenset(static)
