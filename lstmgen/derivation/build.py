"""From a spec's equations to the computational graph of one step."""

from __future__ import annotations

from fractions import Fraction

from ..language.expressions import MinusInfinity, Number, Value, values
from ..spec.cell import CellSpec
from .checks import check_sizes, check_use, infer_shapes, order_of
from .graph import Graph, Stage, Start
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
    moving = reading.states | {loss} | {output.name for output in spec.outputs}
    static = _static(stages, reading.parameters, moving)
    for stage in stages:
        if stage.function == "clip_gradient" and stage.name in static:
            reading.mistakes.add(stage.place, f"clip_gradient in '{stage.owner}' is of what is the same at all steps",
                                 "clip the gradient that backward gives for the parameter")
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
        static=static,
        shapes=dict(reading.shapes) | {stage.name: stage.shape for stage in stages},
    )


def _starts(spec: CellSpec) -> tuple[tuple[str, Start], ...]:
    given = {item.state: item.start for item in spec.initial}
    return tuple((state.name, _start(given.get(state.name, Fraction(0)))) for state in spec.states)


def _start(start: Fraction | float | str) -> Start:
    if isinstance(start, str):
        return Value(start)
    return MinusInfinity() if isinstance(start, float) else Number(start)


def _static(stages: tuple[Stage, ...], parameters: set[str], moving: set[str | None]) -> frozenset[str]:
    """The static values. A state, an output or the loss is never static, even if it reads parameters only."""
    static = set(parameters)
    for stage in stages:
        if stage.name not in moving and all(value.name in static for value in values(stage.expression)):
            static.add(stage.name)
    return frozenset(static)
