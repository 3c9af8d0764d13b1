"""A short text for what a cell computes and how its parameters lie: files of one cell that are used together compare it."""

from __future__ import annotations

from hashlib import sha256

from ..language.shapes import Shape
from ..language.text import source
from ..schedule.records import Schedule


def identity(schedule: Schedule) -> str:
    """The same for two schedules if their sizes, parameters, states, equations and loss are."""
    graph = schedule.graph
    lines = [f"{symbol} {keyword}" for symbol, keyword in graph.dims]
    kinds = {"input": graph.inputs, "target": graph.targets, "state": graph.states, "output": graph.outputs}
    lines += [f"{kind} {name} {_told(graph.shapes[name])}" for kind, names in kinds.items() for name in names]
    for entry in schedule.parameters:
        lines.append(f"{entry.name} {_told(entry.shape)} {' '.join(member.name for member in entry.members)}")
    lines += [f"{state}[0] = {source(start)}" for state, start in graph.initial]
    lines += [f"{stage.name} = {source(stage.expression)}" for stage in graph.stages]
    lines.append(f"loss {graph.loss} {graph.has_loss_at_last}")
    return sha256("\n".join(lines).encode()).hexdigest()[:16]


def _told(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"
