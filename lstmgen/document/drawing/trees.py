"""The segments of a wire as paths from branching to branching, each drawn once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .drawing import Edge, Wire
from .layout import Box, Path, Point, rounded


class Tree:
    """A wire as paths from branching to branching, each drawn once."""

    def __init__(self, wire: Wire, segments: set[tuple[Point, Point]], tips: dict[Point, str], start: Box,
                 edges: Sequence[Edge]):
        self.wire = wire
        self.tips = {rounded(point): reader for point, reader in tips.items()}
        self.edges = {edge.reader: edge for edge in edges}
        self.near = _connections(segments)
        self.paths: list[Path] = []
        self.branchings: list[Point] = []
        root = rounded((start.right, start.y))
        for following in self.near.get(root, ()):
            self._follow(root, following)

    def _follow(self, before: Point, point: Point) -> tuple[str, ...]:
        """The path that begins here, and all behind it; the readers that it leads to."""
        points = [before, point]
        while True:
            onward = [other for other in self.near[points[-1]] if other != points[-2]]
            if len(onward) != 1 or points[-1] in self.tips:
                break
            points.append(onward[0])
        place = len(self.paths)
        readers: list[str] = [self.tips[points[-1]]] if points[-1] in self.tips else []
        if onward and not readers:
            self.branchings.append(points[-1])
            for other in onward:
                readers += self._follow(points[-1], other)
        known = [self.edges[reader] for reader in readers]
        self.paths.insert(place, Path(
            self.wire, _without_straight_ones(points), tuple(readers), not onward,
            bool(known) and all(edge.dashed for edge in known), any(edge.heavy for edge in known),
        ))
        return tuple(readers)


def _connections(segments: set[tuple[Point, Point]]) -> dict[Point, list[Point]]:
    """Which point leads to which, where segments are cut wherever another one ends on them."""
    ends = sorted({point for segment in segments for point in segment})
    near: dict[Point, set[Point]] = {}
    for a, b in segments:
        on = [p for p in ends if a <= p <= b and (p[0] == a[0] == b[0] or p[1] == a[1] == b[1])]
        for p, q in pairwise(on):
            near.setdefault(p, set()).add(q)
            near.setdefault(q, set()).add(p)
    return {point: sorted(others) for point, others in near.items()}


def _without_straight_ones(points: list[Point]) -> tuple[Point, ...]:
    """The corners alone."""
    kept = [points[0]]
    for before, point, after in zip(points, points[1:], points[2:]):
        if not (before[0] == point[0] == after[0] or before[1] == point[1] == after[1]):
            kept.append(point)
    return (*kept, points[-1])
