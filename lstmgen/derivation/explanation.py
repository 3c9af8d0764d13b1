"""What a local derivative holds constant, and through which other branches that comes back.

A local derivative differentiates one equation and holds its other arguments constant, even if they depend on the value
themselves. This file finds which ones do, and which contributions account for it. It knows no output.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..language.expressions import Value, values
from .chain import OUTPUT, START, Contribution, Gradient
from .graph import Graph


@dataclass(frozen=True)
class Held:
    """An argument of a reader that its local derivative holds constant."""

    value: Value  # at the time at which the target sees it
    ways: tuple[int, ...]  # numbers, from 0, of the contributions by which it depends on the value
    earlier: bool  # it depends on a static value, through the steps before


def held_still(gradient: Gradient, fork: Contribution, graph: Graph) -> tuple[Held, ...]:
    """The other arguments of the stage that a contribution comes through, in the order of reading."""
    stage = graph.find(fork.reader)
    if stage is None or fork.kind in (OUTPUT, START):
        return ()
    still = gradient.value in graph.static
    found = []
    for read in values(stage.expression):
        if read.name == gradient.value and read.lag == (0 if still else -fork.lag):
            continue
        at = fork.lag + read.lag
        ways = tuple(
            index for index, other in enumerate(gradient.forks)
            if other.kind not in (OUTPUT, START) and _reaches(graph, other.reader, other.lag, read.name, at)
        )
        moves = read.name not in graph.static
        earlier = still and not ways and moves and _ever_reaches(graph, gradient.value, read.name)
        found.append(Held(Value(read.name, at if moves else 0), ways, earlier))
    return tuple(found)


def _reaches(graph: Graph, start: str, begin: int, target: str, end: int) -> bool:
    """Whether `start` at step `begin` is `target` at step `end`, or changes it."""
    reached, ahead = {(start, begin)}, [(start, begin)]
    while ahead:
        name, at = ahead.pop()
        for reader in graph.readers(name):
            then = (reader.stage, at + reader.lag)
            if then[1] <= end and then not in reached:
                reached.add(then)
                ahead.append(then)
    return (target, end) in reached


def _ever_reaches(graph: Graph, start: str, target: str) -> bool:
    """Whether `start` changes `target` after any number of steps."""
    reached, ahead = {start}, [start]
    while ahead:
        for reader in graph.readers(ahead.pop()):
            if reader.stage not in reached:
                reached.add(reader.stage)
                ahead.append(reader.stage)
    return target in reached
