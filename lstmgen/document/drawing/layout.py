"""A drawing with coordinates: in millimetres, x to the right and y downwards. `placement.py` makes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from .drawing import Node, Wire

Point = tuple[float, float]

ABOVE_WIRE = 0.7  # from a wire to the symbol on it
BADGE = 1.5  # radius
FRAME = 2.4  # from what is drawn to the frame


@dataclass(frozen=True)
class Box:
    """A node with its centre."""

    node: Node
    x: float
    y: float

    @property
    def left(self) -> float:
        return self.x - self.node.width / 2

    @property
    def right(self) -> float:
        return self.x + self.node.width / 2

    @property
    def top(self) -> float:
        return self.y - self.node.height / 2

    @property
    def bottom(self) -> float:
        return self.y + self.node.height / 2

    @property
    def caption_left(self) -> float:
        return self.right + 0.5

    @property
    def caption_top(self) -> float:
        return self.y - ABOVE_WIRE - self.node.caption_height


@dataclass(frozen=True)
class Path:
    """A piece of a wire between two places where it branches or ends. Its segments are level or upright."""

    wire: Wire
    points: tuple[Point, ...]
    readers: tuple[str, ...]  # the nodes that it leads to
    ends: bool  # in an arrow, at its one reader
    dashed: bool
    heavy: bool


@dataclass(frozen=True)
class Mark:
    """A dot where a wire branches, or a badge."""

    wire: Wire
    x: float
    y: float


@dataclass(frozen=True)
class Layout:
    """A drawing with coordinates. `cuts` are places between two columns, and the values that cross each."""

    boxes: tuple[Box, ...]
    paths: tuple[Path, ...]
    dots: tuple[Mark, ...]
    badges: tuple[Mark, ...]
    width: float
    height: float
    frame: tuple[float, float]  # left and right edge of the background; the margins are beside it
    cuts: tuple[Cut, ...]


@dataclass(frozen=True)
class Cut:
    """A place where a drawing can be taken apart."""

    x: float
    wires: tuple[Mark, ...]  # where which value crosses it


def without_gaps(layout: Layout, most: float = 4.0) -> Layout:
    """The same layout with no level band higher than `most` in which there is nothing but upright wires."""
    bands = [(box.top, box.bottom) for box in layout.boxes]
    bands += [(box.caption_top, box.y) for box in layout.boxes if box.node.caption]
    bands += [(mark.y - BADGE, mark.y + BADGE) for mark in layout.badges]
    bands += [(b[1], b[1]) for path in layout.paths for a, b in pairwise(path.points) if a[1] == b[1]]
    saved, reached, steps = 0.0, 0.0, []
    for top, bottom in sorted(bands):
        if top - reached > most:
            saved += top - reached - most
            steps.append((top, saved))
        reached = max(reached, bottom)

    def up(y: float) -> float:
        return near(y - max((saved for top, saved in steps if top <= y), default=0.0))

    return replace(
        layout,
        boxes=tuple(replace(box, y=up(box.y)) for box in layout.boxes),
        paths=tuple(replace(path, points=tuple((x, up(y)) for x, y in path.points)) for path in layout.paths),
        dots=tuple(replace(dot, y=up(dot.y)) for dot in layout.dots),
        badges=tuple(replace(mark, y=up(mark.y)) for mark in layout.badges),
        height=up(layout.height),
    )


def near(value: float) -> float:
    return round(value, 2) + 0.0


def rounded(point: Point) -> Point:
    return near(point[0]), near(point[1])
