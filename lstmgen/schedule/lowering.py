"""From a schedule to a program: expressions are taken apart until each statement is one of `program.py`."""

from __future__ import annotations

from .lowering_backward import BackwardPass
from .lowering_forward import ForwardPass
from .nests import nested
from .pieces import Pieces
from .program import AddOuter, Multiply, Program
from .records import Schedule
from .residence import lifetimes


def make_program(schedule: Schedule) -> Program:
    """Take a schedule apart. It must have no joint calls: `make_schedule(derivation, joint=False)`."""
    pieces = Pieces(schedule)
    for entry in schedule.parameters:
        pieces.stored(entry.name)
    ForwardPass(schedule, pieces).lower()
    backward = BackwardPass(schedule, pieces)
    backward.lower()
    items = {where: nested(statements, pieces.spots) for where, statements in pieces.statements.items()}
    outer = {statement.matrix: None for statement in pieces.all_statements() if isinstance(statement, AddOuter)}
    matrices = {statement.matrix: None for statement in pieces.all_statements() if isinstance(statement, Multiply)}
    return Program(
        schedule=schedule,
        spots=pieces.spots,
        items=items,
        arrays=lifetimes(schedule, pieces.shapes, pieces.spots, items),
        matrices=tuple(matrices),
        outer=tuple(outer),
        summed=tuple(backward.summed),
    )
