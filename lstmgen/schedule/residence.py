"""How long each array of a program has to be there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..language.shapes import Dim, Shape
from .nests import read_spots, written_spot
from .plan import LAST, LOOP, STILL
from .program import (
    BACKWARD, CARRY, CHUNK, FINAL, FORWARD, LOCAL, PARAMETER_ARRAY, ROW, STATE, STEP, STILL_ARRAY, SUM,
    TAPE, Array, Entries, Item, Loop, Operate, Rows, Spot, Statement,
)
from .records import Schedule


@dataclass(frozen=True)
class _Use:
    """Where a statement reads or writes an array."""

    direction: str
    phase: str
    item: int
    group: int  # in that item
    spot: Spot
    statement: Statement
    writes: bool


def lifetimes(schedule: Schedule, shapes: Mapping[str, Shape], spots: Mapping[str, Spot],
              items: Mapping[tuple[str, str], tuple[Item, ...]]) -> dict[str, Array]:
    """Every array, with the shortest life that its readers allow."""
    uses: dict[str, list[_Use]] = {name: [] for name in shapes}
    for use in _uses(items, spots):
        uses[use.spot.array].append(use)
    graph = schedule.graph
    for name in (*graph.inputs, *graph.targets, *graph.states):
        shapes = {name: graph.shapes[name], **shapes}
        uses.setdefault(name, [])
    return {name: Array(name, shape, _lifetime(schedule, name, uses[name])) for name, shape in shapes.items()}


def _uses(items: Mapping[tuple[str, str], tuple[Item, ...]], spots: Mapping[str, Spot]) -> Iterator[_Use]:
    for (direction, phase), listed in items.items():
        for index, item in enumerate(listed):
            for group, statement in _statements(item):
                for spot in read_spots(statement, spots):
                    yield _Use(direction, phase, index, group, spot, statement, False)
                written = written_spot(statement)
                if written is not None:
                    yield _Use(direction, phase, index, group, written, statement, True)


def _statements(item: Item) -> Iterator[tuple[int, Statement]]:
    if isinstance(item, Rows):
        for index, group in enumerate(item.groups):
            for statement in group.entries if isinstance(group, Loop) else (group,):
                yield index, statement
    else:
        yield 0, item


_BY_PREFIX = {"next": CARRY, "sum": SUM, "loss": SUM, "gradient": PARAMETER_ARRAY, "late": CHUNK, "later": FINAL, "dy": CHUNK}


def _lifetime(schedule: Schedule, name: str, uses: list[_Use]) -> str:
    graph = schedule.graph
    prefix, dot, rest = name.partition(".")
    if dot and prefix in _BY_PREFIX:
        return _BY_PREFIX[prefix]
    if not dot and any(entry.name == name for entry in schedule.parameters):
        return PARAMETER_ARRAY
    if name in graph.static or (prefix == "d" and rest in graph.static):
        return STILL_ARRAY
    phases = {(use.direction, use.phase) for use in uses}
    if phases and all(phase == STILL for _, phase in phases):
        return STILL_ARRAY
    if name in graph.states:
        return STATE
    both = {direction for direction, _ in phases} == {FORWARD, BACKWARD}
    if name in graph.inputs or name in graph.targets:
        return TAPE if any(direction == BACKWARD for direction, _ in phases) else CHUNK
    if both:
        return FINAL if schedule.plan.phases.get(name) == LAST else TAPE
    outside = name in graph.outputs or (prefix == "d" and rest in graph.inputs)  # the caller wants them
    if outside:
        return CHUNK
    if _is_local(name, uses):
        return LOCAL
    places = {(use.direction, use.phase, use.item) for use in uses}
    if len(places) == 1 and all(isinstance(use.statement, Entries | Operate) for use in uses):
        return ROW
    if all(phase == LAST for _, phase in phases):
        return FINAL
    if all(phase == LOOP for _, phase in phases):
        return STEP
    return CHUNK


def _is_local(name: str, uses: Iterable[_Use]) -> bool:
    """Whether one loop over entries writes it and alone reads it."""
    groups = {(use.direction, use.phase, use.item, use.group) for use in uses}
    writers = [use for use in uses if use.writes]
    return (
        len(groups) == 1 and len(writers) == 1 and all(isinstance(use.statement, Entries) for use in uses)
        and len({use.spot for use in uses}) == 1 and writers[0].spot.low == Dim()
    )
