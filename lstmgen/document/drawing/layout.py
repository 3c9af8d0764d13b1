"""Where everything in a drawing stands: pure geometry, in millimetres, x to the right and y downwards.

Nodes stand in columns, and wires turn in the channels between columns alone:

1. columns by network simplex, with weights that keep what belongs together close;
2. one dummy per value and column that it passes, so that all wires of a value share a trunk;
3. the order within columns by barycentres and swaps, from a number of seeded starts;
4. heights by network simplex again: straight wires where they can be, above all for the states;
5. in each channel one vertical track per value that turns there, in the order with the fewest crossings.

A wire passes a column only in its own place in the order, so none runs through a box. Two wires could
lie on one another only in a channel; the order of the tracks forbids it, and where the demands go round
in a circle one of the wires gets a second track (a dogleg).
"""

from __future__ import annotations

import random
from bisect import bisect, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import fsum  # exact: `sum` of floats is another from Python 3.12 on, and breaks ties otherwise
from typing import NamedTuple

from .drawing import AFFINE, OPERATOR, PITCH, SINK, SOURCE, Drawing, Edge, Node, Wire
from .simplex import Spring, solve

Point = tuple[float, float]

NODE_GAP, WIRE_GAP, MIXED_GAP = 2.6, PITCH, 1.9  # between two nodes, two wires, a wire and a node
ABOVE_WIRE = 0.7  # from a wire to the symbol on it
DROP = 2.4  # the least way from a wire above or below an operator into it
TRACK, BADGE_TRACK = 1.7, 2.7  # between two tracks, and beside one that carries a badge
BEFORE, AFTER = 1.9, 2.7  # from a column to the first track, from the last one to the next column
LANE = 4.0  # for badges that find no room on a track
STRAIGHT = 4.2  # a channel in which nothing turns
CLEAR = 1.0  # wires nearer than that lie on one another
BADGE = 1.5  # radius
FRAME = 2.4  # from what is drawn to the frame
SEARCH = 2400  # how much work the search for orders may take: a number of steps, not a time


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


def place(drawing: Drawing, wire_gap: float = WIRE_GAP) -> Layout:
    """Coordinates for a drawing, the same ones every time. Values that pass a column are `wire_gap` apart."""
    ranked = _Ranks(drawing)
    routed = (_Router(ranked, order, _Heights(ranked, order, wire_gap).solve()) for order in _orders(ranked))
    return min(routed, key=_Router.cost).layout()


# ---------------------------------------------------------------- columns


class _Item(NamedTuple):  # a tuple is hashed sooner than a dataclass, and items are looked up all the time
    """What has a place in a column: a node, or a wire that passes."""

    key: str  # the node's or the wire's name
    rank: int
    is_node: bool


class _Ranks:
    """The drawing in columns, with a dummy per wire and column that it passes."""

    def __init__(self, drawing: Drawing):
        self.drawing = drawing
        self.nodes = {node.name: node for node in drawing.nodes}
        self.wires = {wire.name: wire for wire in drawing.wires}
        self.readers: dict[str, list[Edge]] = {wire.name: [] for wire in drawing.wires}
        self.reads: dict[str, list[Edge]] = {node.name: [] for node in drawing.nodes}
        for edge in drawing.edges:
            self.readers[edge.wire].append(edge)
            self.reads[edge.reader].append(edge)
        self.rank = self._columns()
        self.count = max(self.rank.values(), default=0) + 1
        self.columns: list[list[_Item]] = [[] for _ in range(self.count)]
        for node in drawing.nodes:
            self.columns[self.rank[node.name]].append(_Item(node.name, self.rank[node.name], True))
        self.targets: list[dict[_Item, list[_Item]]] = [{} for _ in range(self.count)]  # of each channel
        for wire in drawing.wires:
            self._pass(wire)
        self.sources: list[dict[_Item, list[_Item]]] = [{} for _ in range(self.count)]
        for rank, targets in enumerate(self.targets[:-1]):
            for item, reached in targets.items():
                for target in reached:
                    self.sources[rank + 1].setdefault(target, []).append(item)

    def _columns(self) -> dict[str, int]:
        """A value costs what its trunk is long; short ways matter more the fewer readers they serve."""
        names = {node.name: index for index, node in enumerate(self.drawing.nodes)}
        springs, count = [], len(names)
        left, right = count, count + 1
        count += 2
        for node in self.drawing.nodes:
            index = names[node.name]
            springs.append(Spring(left, index, 0, 200) if node.kind == SOURCE else Spring(left, index, 1))
            springs.append(Spring(index, right, 0, 200) if node.kind == SINK else Spring(index, right, 1))
            if node.kind == AFFINE and all(self._is_at_margin(edge.wire) for edge in self.reads[node.name]):
                springs.append(Spring(left, index, 1, 5))  # the gates below one another
        springs.append(Spring(left, right, 1, 1))
        for wire in self.drawing.wires:
            producer, furthest = names[wire.producer], count
            count += 1
            springs.append(Spring(producer, furthest, 1, 1 if self._is_at_margin(wire.name) else 4))
            for edge in self.readers[wire.name]:
                reader = names[edge.reader]
                is_pair = len(self.reads[edge.reader]) == len(self.readers[wire.name]) == 1
                springs.append(Spring(producer, reader, 1, 2 if edge.heavy or is_pair else 0))
                springs.append(Spring(reader, furthest, 0, 0))
        solved = solve(count, springs)
        first = solved[left]
        return {name: solved[index] - first for name, index in names.items()}

    def _is_at_margin(self, wire: str) -> bool:
        return self.nodes[self.wires[wire].producer].kind == SOURCE

    def _pass(self, wire: Wire) -> None:
        start = self.rank[wire.producer]
        last = max(self.rank[edge.reader] for edge in self.readers[wire.name])
        item = _Item(wire.producer, start, True)
        for rank in range(start, last):
            reached = [_Item(edge.reader, rank + 1, True) for edge in self.readers[wire.name]
                       if self.rank[edge.reader] == rank + 1]
            if rank + 1 < last:
                passing = _Item(wire.name, rank + 1, False)
                self.columns[rank + 1].append(passing)
                reached.append(passing)
            self.targets[rank][item] = reached
            item = reached[-1]

    def wire_of(self, item: _Item) -> Wire:
        return self.wires[item.key]  # a node's value has the node's name


# ---------------------------------------------------------------- order within columns

_Order = list[list[_Item]]
_Neighbours = dict[_Item, list[_Item]]


def _orders(ranked: _Ranks) -> list[_Order]:
    """The best few orders found, each with as few crossings as any."""
    size = sum(len(column) for column in ranked.columns)
    starts = max(4, min(32, SEARCH // (size + 1)))
    found: dict[tuple[tuple[_Item, ...], ...], tuple[int, int, int, _Order]] = {}
    for start in range(starts):
        order = [column[:] for column in ranked.columns]
        if start:
            shuffle = random.Random(start)
            for column in order:
                shuffle.shuffle(column)
        crossings, bends = _improve(ranked, order)
        signature = tuple(tuple(column) for column in order)
        found.setdefault(signature, (crossings, bends, start, order))
    ranked_orders = sorted(found.values(), key=lambda entry: entry[:3])
    most = 12 if size < 80 else 5 if size < 150 else 2
    fewest = ranked_orders[0][0]
    return [order for crossings, _, _, order in ranked_orders[:most] if crossings <= fewest + 3]


def _improve(ranked: _Ranks, order: _Order, rounds: int = 5) -> tuple[int, int]:
    """Sort columns by what they hang on, to and fro, as long as it helps. Changes `order`."""
    best, best_order, idle = _cost(ranked, order), [column[:] for column in order], 0
    for _ in range(rounds):
        for rank in range(1, len(order)):
            _sort(order, rank, ranked.sources[rank], rank - 1)
        for rank in range(len(order) - 2, -1, -1):
            _sort(order, rank, ranked.targets[rank], rank + 1)
        _swap(ranked, order)
        cost = _cost(ranked, order)
        if cost < best:
            best, best_order, idle = cost, [column[:] for column in order], 0
        else:
            idle += 1
            if idle == 2:
                break
    order[:] = best_order
    return best


def _sort(order: _Order, rank: int, neighbours: _Neighbours, other: int) -> None:
    position = {item: index for index, item in enumerate(order[other])}
    stretch = len(order[other]) / max(1, len(order[rank]))

    def centre(entry: tuple[int, _Item]) -> float:
        index, item = entry
        near = [position[neighbour] for neighbour in neighbours.get(item, ())]
        return sum(near) / len(near) if near else index * stretch

    order[rank] = [item for _, item in sorted(enumerate(order[rank]), key=centre)]


def _swap(ranked: _Ranks, order: _Order) -> None:
    """Exchange neighbours as long as that saves crossings."""
    for _ in range(3):
        changed = False
        for rank, column in enumerate(order):
            before = _neighbour_positions(order, rank - 1, ranked.sources[rank])
            after = _neighbour_positions(order, rank + 1, ranked.targets[rank])
            for index in range(len(column) - 1):
                upper, lower = column[index], column[index + 1]
                gain = sum(
                    _inversions(near.get(upper, ()), near.get(lower, ())) -
                    _inversions(near.get(lower, ()), near.get(upper, ()))
                    for near in (before, after)
                )
                if gain > 0:
                    column[index], column[index + 1] = lower, upper
                    changed = True
        if not changed:
            return


def _neighbour_positions(order: _Order, rank: int, neighbours: _Neighbours) -> dict[_Item, list[int]]:
    if not neighbours:
        return {}
    position = {item: index for index, item in enumerate(order[rank])}
    return {item: sorted(position[other] for other in near) for item, near in neighbours.items()}


def _inversions(upper: Sequence[int], lower: Sequence[int]) -> int:
    """How often wires of the upper item cross wires of the lower one."""
    return sum(bisect(lower, place - 1) for place in upper)


def _cost(ranked: _Ranks, order: _Order) -> tuple[int, int]:
    """Crossings, and how far wires lead up or down."""
    crossings = bends = 0
    for rank in range(len(order) - 1):
        position = {item: index for index, item in enumerate(order[rank + 1])}
        seen: list[int] = []
        for index, item in enumerate(order[rank]):
            reached = sorted(position[target] for target in ranked.targets[rank].get(item, ()))
            for place in reached:
                crossings += len(seen) - bisect(seen, place)
                bends += abs(place - index)
            for place in reached:
                insort(seen, place)
    return crossings, bends


# ---------------------------------------------------------------- heights

UNIT = 100  # whole numbers for the simplex: hundredths of a millimetre

ABOVE, BESIDE, BELOW = -1, 0, 1  # where a wire enters an operator


_Port = tuple[str, str]  # where a wire enters a node: the names of both
_Key = _Item | _Port  # what has a height


class _Entry(NamedTuple):
    """What has a height in a column, and how far it reaches above and below."""

    key: _Key
    above: float
    below: float
    is_node: bool
    joined: bool  # to the next one: an operator and a wire that enters it from above or from below


@dataclass
class _Places:
    """Heights. A wire that enters an operator from above or from below has one of its own."""

    centre: dict[_Item, float] = field(default_factory=dict)
    port: dict[_Port, float] = field(default_factory=dict)
    side: dict[_Port, int] = field(default_factory=dict)


class _Heights:
    """The heights in every column, once the order is known."""

    def __init__(self, ranked: _Ranks, order: _Order, wire_gap: float):
        self.ranked, self.order, self.wire_gap = ranked, order, wire_gap
        self.position = [{item: index for index, item in enumerate(column)} for column in order]
        self.sides: dict[_Port, int] = {}
        self.offsets: dict[_Port, float] = {}
        for column in order[1:]:
            for item in column:
                if item.is_node:
                    self._enter(item)

    def _enter(self, item: _Item) -> None:
        """The places where wires enter a node, from the top in the order in which they come."""
        position = self.position[item.rank - 1]
        coming = sorted(self.ranked.sources[item.rank].get(item, ()), key=position.__getitem__)
        keys = [(source.key, item.key) for source in coming]
        if self.ranked.nodes[item.key].kind == OPERATOR:
            for key, side in zip(keys, self._sides(item, coming)):
                self.sides[key] = side
        else:
            for index, key in enumerate(keys):
                self.offsets[key] = (index - (len(keys) - 1) / 2) * PITCH

    def _sides(self, item: _Item, coming: list[_Item]) -> tuple[int, ...]:
        if len(coming) == 1:
            return (BESIDE,)
        if len(coming) == 3:
            return (ABOVE, BESIDE, BELOW)
        return (BESIDE, BELOW) if self._goes_straight(item, coming) == 0 else (ABOVE, BESIDE)

    def _goes_straight(self, item: _Item, coming: list[_Item]) -> int:
        """Which of two wires enters from the left: the state, or what comes from a box of its own."""
        heavy = [edge.wire for edge in self.ranked.reads[item.key] if edge.heavy]
        for index, source in enumerate(coming):
            if source.key in heavy:
                return index
        fanned = [len(self.ranked.readers[source.key]) for source in coming]
        if fanned[0] != fanned[1]:
            return int(fanned[1] < fanned[0])
        ahead = self.position[item.rank]
        upper = sum(1 for other in self.order[item.rank] if ahead[other] < ahead[item])
        return 1 if upper <= len(ahead) / 2 else 0

    def solve(self) -> _Places:
        """The heights with the shortest upright pieces, where nothing comes too near to anything."""
        self._merge_dummies()
        self._number()
        springs = [*self._distances(), *self._lengths()]
        solved = solve(self.count, springs)
        places = _Places(side=self.sides)
        for column in self.order:
            for item in column:
                places.centre[item] = solved[self.number[self.merged.get(item, item)]] / UNIT
        for key, offset in self.offsets.items():
            node = _Item(key[1], self.ranked.rank[key[1]], True)
            places.port[key] = places.centre[node] + offset
        for key, side in self.sides.items():
            node = _Item(key[1], self.ranked.rank[key[1]], True)
            places.port[key] = places.centre[node] if side == BESIDE else solved[self.number[key]] / UNIT
        return places

    def _number(self) -> None:
        """A number for everything that has a height, column by column."""
        self.columns = [list(self._entries(rank)) for rank in range(len(self.order))]
        self.number: dict[_Key, int] = {}
        for column in self.columns:
            for entry in column:
                self.number.setdefault(entry.key, len(self.number))
        self.count = len(self.number)

    def _merge_dummies(self) -> None:
        """A wire that passes several columns stays level, unless another has to change places with it."""
        self.merged: dict[_Item, _Item] = {}
        for rank in range(1, len(self.order) - 1):
            straight: list[tuple[int, int]] = []
            for item in self.order[rank]:
                for target in self.ranked.targets[rank].get(item, ()):
                    if item.is_node or target.is_node:
                        continue
                    here, there = self.position[rank][item], self.position[rank + 1][target]
                    if all((here < a) == (there < b) for a, b in straight):
                        straight.append((here, there))
                        self.merged[target] = self.merged.get(item, item)

    def _entries(self, rank: int) -> Iterator[_Entry]:
        """What has a height in a column, from the top."""
        for item in self.order[rank]:
            if not item.is_node:
                yield _Entry(self.merged.get(item, item), 0.0, 0.0, False, False)
                continue
            node = self.ranked.nodes[item.key]
            above, below = self._extents(node)
            entering = {side: key for key, side in self._entering(item)}
            if ABOVE in entering:
                yield _Entry(entering[ABOVE], 0.0, 0.0, False, True)
                above = node.height / 2
            yield _Entry(item, above, below, True, BELOW in entering)
            if BELOW in entering:
                yield _Entry(entering[BELOW], 0.0, 0.0, False, False)

    def _entering(self, item: _Item) -> Iterator[tuple[_Port, int]]:
        for edge in self.ranked.reads[item.key]:
            key = (edge.wire, item.key)
            if key in self.sides:
                yield key, self.sides[key]

    def _extents(self, node: Node) -> tuple[float, float]:
        half = node.height / 2
        return max(half, node.caption_height + ABOVE_WIRE if node.caption else 0.0), half

    def _distances(self) -> list[Spring]:
        """Neighbours in a column keep apart."""
        return [
            Spring(self.number[upper.key], self.number[lower.key], round(UNIT * self._distance(upper, lower)), 0)
            for column in self.columns for upper, lower in pairwise(column)
        ]

    def _distance(self, upper: _Entry, lower: _Entry) -> float:
        if upper.joined:
            return DROP + CIRCLE_HALF
        nodes = upper.is_node + lower.is_node
        gap = NODE_GAP if nodes == 2 else MIXED_GAP if nodes else self.wire_gap
        return max(upper.below + gap + lower.above, self.wire_gap)

    def _lengths(self) -> Iterator[Spring]:
        """Upright pieces of wires cost what they are long, more so for those that should be straight."""
        for rank, targets in enumerate(self.ranked.targets[:-1]):
            for item, reached in targets.items():
                start = self.merged.get(item, item)
                for target in reached:
                    end, offset = self._end(item, target)
                    if end != start:
                        yield from self._pair(start, end, offset, self._weight(rank, item, target, reached))
        for key, side in self.sides.items():
            node = _Item(key[1], self.ranked.rank[key[1]], True)
            if side == ABOVE:
                yield Spring(self.number[key], self.number[node], 0, 1)
            elif side == BELOW:
                yield Spring(self.number[node], self.number[key], 0, 1)

    def _end(self, item: _Item, target: _Item) -> tuple[_Key, float]:
        if not target.is_node:
            return self.merged.get(target, target), 0.0
        key = (item.key, target.key)
        if self.sides.get(key, BESIDE) != BESIDE:
            return key, 0.0
        return target, self.offsets.get(key, 0.0)

    def _pair(self, start: _Key, end: _Key, offset: float, weight: int) -> Iterator[Spring]:
        """Both ends cost what they lie below the higher of the two."""
        higher = self.count
        self.count += 1
        yield Spring(higher, self.number[start], 0, weight)
        yield Spring(higher, self.number[end], -round(UNIT * offset), weight)

    def _weight(self, rank: int, item: _Item, target: _Item, reached: list[_Item]) -> int:
        edge = next((edge for edge in self.ranked.readers[item.key] if edge.reader == target.key), None)
        if target.is_node and edge is not None and edge.heavy:
            return 300
        if not target.is_node and any(each.heavy for each in self.ranked.readers[item.key]):
            return 300
        if len(self.ranked.readers[item.key]) == 1:
            return 30
        if not target.is_node:
            return 10
        is_state = self.ranked.nodes[target.key].kind == SINK and target.key.endswith(" leaves")
        return 20 if len(reached) == 1 else 6 if is_state else 3


CIRCLE_HALF = 2.3


# ---------------------------------------------------------------- tracks


@dataclass
class _Net:
    """What one value does in one channel: it comes at one height and leaves at others."""

    wire: Wire
    start: float
    ends: list[float]
    has_badge: bool = False
    x: float = 0.0

    @property
    def low(self) -> float:
        return min(self.start, *self.ends)

    @property
    def high(self) -> float:
        return max(self.start, *self.ends)

    @property
    def is_straight(self) -> bool:
        return all(end == self.start for end in self.ends)


class _Router:
    """Columns and channels from left to right, with every wire as segments."""

    def __init__(self, ranked: _Ranks, order: _Order, places: _Places):
        self.ranked, self.order, self.places = ranked, order, places
        self.boxes: dict[str, Box] = {}
        self.segments: dict[str, set[tuple[Point, Point]]] = {wire: set() for wire in ranked.wires}
        self.tips: dict[str, dict[Point, str]] = {wire: {} for wire in ranked.wires}  # points and readers
        self.badges: list[Mark] = []
        self.cuts: list[Cut] = []
        self.crossings = self.doglegs = 0
        x = 0.0
        for rank in range(ranked.count):
            x = self._column(rank, x)
            if rank + 1 < ranked.count:
                x = self._channel(rank, x)
        self.width = x

    def cost(self) -> float:
        """What makes a layout worse."""
        upright = fsum(abs(a[1] - b[1]) for pieces in self.segments.values() for a, b in pieces)
        heights = [*self.places.centre.values(), *self.places.port.values()]
        spread = max(heights) - min(heights)
        return (7 * self.crossings + 20 * self.doglegs + 15 * self._bends() + 0.12 * upright + 0.5 * spread
                + 0.3 * self.width)

    def _bends(self) -> int:
        """How often a state that could run straight through does not."""
        found = 0
        for edge in self.ranked.drawing.edges:
            if edge.heavy:
                start = self.places.centre[_Item(self.ranked.wires[edge.wire].producer, self.ranked.rank[
                    self.ranked.wires[edge.wire].producer], True)]
                found += abs(self.places.port[edge.wire, edge.reader] - start) > 0.01
        return found

    # ------------------------------------------------------------------ columns

    def _column(self, rank: int, x: float) -> float:
        nodes = [self.ranked.nodes[item.key] for item in self.order[rank] if item.is_node]
        half = max((node.width / 2 for node in nodes), default=0.0)
        right = max((node.width / 2 + node.caption_width + (0.5 if node.caption else 0.0) for node in nodes),
                    default=0.0)
        end = x + half + right
        for item in self.order[rank]:
            if item.is_node:
                self._stand(item, x, x + half, end)
            else:
                height = self.places.centre[item]
                self._segment(item.key, (x, height), (end, height))
        return end

    def _stand(self, item: _Item, start: float, middle: float, end: float) -> None:
        node, y = self.ranked.nodes[item.key], self.places.centre[item]
        x = {SOURCE: end - node.width / 2, SINK: start + node.width / 2}.get(node.kind, middle)
        box = self.boxes[node.name] = Box(node, x, y)
        if node.name in self.ranked.wires:
            self._segment(node.name, (box.right, y), (end, y))
        for edge in self.ranked.reads[node.name]:
            key = (edge.wire, node.name)
            port, side = self.places.port[key], self.places.side.get(key, BESIDE)
            if side == BESIDE:
                self._segment(edge.wire, (start, port), (box.left, port))
                tip = (box.left, port)
            else:
                tip = (x, box.top if side == ABOVE else box.bottom)
                self._segment(edge.wire, (start, port), (x, port))
                self._segment(edge.wire, (x, port), tip)
            self.tips[edge.wire][tip] = node.name

    def _segment(self, wire: str, start: Point, end: Point) -> None:
        start, end = _rounded(start), _rounded(end)
        if start != end:
            self.segments[wire].add((min(start, end), max(start, end)))

    # ------------------------------------------------------------------ channels

    def _channel(self, rank: int, x: float) -> float:
        nets = self._nets(rank)
        self.cuts.append(Cut(x + 0.9, tuple(Mark(net.wire, x + 0.9, net.start) for net in nets)))
        turning = [net for net in nets if not net.is_straight]
        pieces = _Tracks(turning, nets)
        self.doglegs += len(pieces.order) - len(turning)
        end = self._tracks(pieces.order, nets, x, 0.0)
        if any(self._is_crowded(net, pieces.order, nets) for net in nets if net.has_badge):
            end = self._tracks(pieces.order, nets, x, LANE)
            for net in nets:
                if net.has_badge:
                    self.badges.append(Mark(net.wire, x + 0.4 + LANE / 2, net.start))
        else:
            for net in nets:
                if net.has_badge:
                    self.badges.append(Mark(net.wire, net.x, net.start))
        for net in pieces.order:
            self._segment(net.wire.name, (net.x, net.low), (net.x, net.high))
        for net in nets:
            self._level(net, [piece for piece in pieces.order if piece.wire == net.wire], x, end)
        self.crossings += _crossings(pieces.order, nets)
        return end

    def _nets(self, rank: int) -> list[_Net]:
        nets = []
        for item in self.order[rank]:
            reached = self.ranked.targets[rank].get(item)
            if reached:
                wire = self.ranked.wire_of(item)
                ends = sorted({self._arrival(item, target) for target in reached})
                nets.append(_Net(wire, self.places.centre[item], ends, bool(wire.badge) and item.is_node))
        return nets

    def _arrival(self, item: _Item, target: _Item) -> float:
        if target.is_node:
            return self.places.port[item.key, target.key]
        return self.places.centre[target]

    def _tracks(self, order: list[_Net], nets: list[_Net], x: float, lane: float) -> float:
        """Give the tracks their places; where the channel ends."""
        if not order:
            badges = any(net.has_badge for net in nets)
            for net in nets:
                net.x = x + 2.3
            return x + (STRAIGHT + 1.6 if badges else STRAIGHT)
        at = x + BEFORE + lane
        for index, net in enumerate(order):
            wide = not lane and (net.has_badge or (index and order[index - 1].has_badge))
            at += (BADGE_TRACK if wide else TRACK) if index else (0.6 if wide else 0.0)
            net.x = at
        for net in nets:
            if net.is_straight:
                net.x = x + BEFORE
        return at + AFTER + (0.8 if order[-1].has_badge else 0.0)

    def _is_crowded(self, badge: _Net, order: list[_Net], nets: list[_Net]) -> bool:
        """Whether a badge where its value turns would touch another wire."""
        if not badge.is_straight and sum(net.wire == badge.wire for net in order) > 1:
            return True
        for net in order:
            if net.wire == badge.wire:
                continue
            near = abs(net.x - badge.x) < BADGE + 0.9
            if near and net.low - BADGE - 0.4 < badge.start < net.high + BADGE + 0.4:
                return True
        for net in nets:
            if net.wire == badge.wire:
                continue
            starts = [net.start] if net.is_straight or net.x > badge.x - BADGE - 0.4 else []
            ends = net.ends if net.is_straight or net.x < badge.x + BADGE + 0.4 else []
            if any(abs(level - badge.start) < BADGE + 0.4 for level in (*starts, *ends)):
                return True
        return False

    def _level(self, net: _Net, pieces: list[_Net], x: float, end: float) -> None:
        """The level segments of a value in a channel."""
        name = net.wire.name
        if net.is_straight:
            self._segment(name, (x, net.start), (end, net.start))
            return
        self._segment(name, (x, net.start), (pieces[0].x, net.start))
        for first, second in pairwise(pieces):
            self._segment(name, (first.x, second.start), (second.x, second.start))
        for level in net.ends:
            self._segment(name, (pieces[-1].x, level), (end, level))

    # ------------------------------------------------------------------ the whole

    def layout(self) -> Layout:
        paths, dots = [], []
        for wire in self.ranked.drawing.wires:
            found = _Tree(wire, self.segments[wire.name], self.tips[wire.name], self.boxes[wire.producer],
                          self.ranked.readers[wire.name])
            paths += found.paths
            dots += [Mark(wire, *point) for point in found.branchings]
        heights = [point[1] for path in paths for point in path.points]
        heights += [y for box in self.boxes.values() for y in (box.top, box.bottom)]
        heights += [box.caption_top for box in self.boxes.values() if box.node.caption]
        heights += [mark.y + way for mark in self.badges for way in (-BADGE, BADGE)]
        up = FRAME - min(heights, default=0.0)
        badged = {(mark.wire.name, *_rounded((mark.x, mark.y))) for mark in self.badges}
        sources = [box.right for box in self.boxes.values() if box.node.kind == SOURCE]
        sinks = [box.left for box in self.boxes.values() if box.node.kind == SINK]
        return Layout(
            boxes=tuple(replace(box, y=_near(box.y + up)) for box in self.boxes.values()),
            paths=tuple(replace(path, points=tuple((x, _near(y + up)) for x, y in path.points))
                        for path in paths),
            dots=tuple(Mark(dot.wire, dot.x, _near(dot.y + up)) for dot in dots
                       if (dot.wire.name, dot.x, dot.y) not in badged),
            badges=tuple(Mark(mark.wire, _near(mark.x), _near(mark.y + up)) for mark in self.badges),
            width=_near(self.width),
            height=_near(max(heights, default=0.0) + up + FRAME),
            frame=(_near(max(sources, default=0.0) + 0.9), _near(min(sinks, default=self.width) - 0.9)),
            cuts=tuple(Cut(_near(cut.x), tuple(Mark(mark.wire, _near(mark.x), _near(mark.y + up))
                                               for mark in cut.wires)) for cut in self.cuts),
        )


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
        return _near(y - max((saved for top, saved in steps if top <= y), default=0.0))

    return replace(
        layout,
        boxes=tuple(replace(box, y=up(box.y)) for box in layout.boxes),
        paths=tuple(replace(path, points=tuple((x, up(y)) for x, y in path.points)) for path in layout.paths),
        dots=tuple(replace(dot, y=up(dot.y)) for dot in layout.dots),
        badges=tuple(replace(mark, y=up(mark.y)) for mark in layout.badges),
        height=up(layout.height),
    )


def _near(value: float) -> float:
    return round(value, 2) + 0.0


def _rounded(point: Point) -> Point:
    return _near(point[0]), _near(point[1])


class _Tracks:
    """The order of the tracks in one channel, with doglegs where no order would do."""

    def __init__(self, turning: list[_Net], nets: list[_Net]):
        self.taken = [level for net in nets for level in (net.start, *net.ends)]
        self.order: list[_Net] = []
        waiting = turning[:]
        while waiting:
            free = [net for net in waiting if not any(self._must_precede(other, net) for other in waiting)]
            if not free:
                free = [self._split(waiting)]
            chosen = min(free, key=lambda net: (self._crossings_first(net, waiting), waiting.index(net)))
            waiting.remove(chosen)
            self.order.append(chosen)
        self._exchange()

    def _must_precede(self, first: _Net, second: _Net) -> bool:
        """Whether the first lies on the second unless its track is further left."""
        if first is second:
            return False
        if first.wire == second.wire:
            return first.ends == [second.start]
        return any(abs(first.start - end) < CLEAR for end in second.ends)

    def _crossings_first(self, net: _Net, waiting: list[_Net]) -> int:
        others = (other for other in waiting if other is not net)
        return sum(_pair_crossings(net, other) - _pair_crossings(other, net) for other in others)

    def _split(self, waiting: list[_Net]) -> _Net:
        """Take one value out of a circle: it waits at a height of its own until the others have turned."""
        net = min(waiting, key=lambda net: sum(self._must_precede(other, net) for other in waiting))
        height = self._free_height(net)
        self.taken.append(height)
        first, second = _Net(net.wire, net.start, [height], net.has_badge), _Net(net.wire, height, net.ends)
        waiting[waiting.index(net)] = second
        waiting.append(first)
        return first

    def _free_height(self, net: _Net) -> float:
        """The nearest height to the middle of a value's way that is clear of every wire."""
        middle = (net.low + net.high) / 2
        candidates = [middle] + [level + way for level in self.taken for way in (-CLEAR - 0.2, CLEAR + 0.2)]
        clear = [height for height in candidates if all(abs(height - level) > CLEAR for level in self.taken)]
        return min(clear, key=lambda height: (abs(height - middle), height))

    def _exchange(self) -> None:
        for _ in range(len(self.order)):
            changed = False
            for index in range(len(self.order) - 1):
                left, right = self.order[index : index + 2]
                saves = _pair_crossings(left, right) - _pair_crossings(right, left)
                if saves > 0 and not self._must_precede(left, right):
                    self.order[index : index + 2] = [right, left]
                    changed = True
            if not changed:
                return


def _pair_crossings(left: _Net, right: _Net) -> int:
    """How often two values cross where the first one's track is further left."""
    crossed = int(left.low < right.start < left.high)
    return crossed + sum(right.low < end < right.high for end in left.ends)


def _crossings(order: list[_Net], nets: list[_Net]) -> int:
    straight = [net for net in nets if net.is_straight]
    found = sum(net.low < other.start < net.high for net in order for other in straight)
    for index, left in enumerate(order):
        found += sum(_pair_crossings(left, right) for right in order[index + 1 :] if right.wire != left.wire)
    return found


# ---------------------------------------------------------------- segments to paths


class _Tree:
    """A wire as paths from branching to branching, each drawn once."""

    def __init__(self, wire: Wire, segments: set[tuple[Point, Point]], tips: dict[Point, str], start: Box,
                 edges: Sequence[Edge]):
        self.wire = wire
        self.tips = {_rounded(point): reader for point, reader in tips.items()}
        self.edges = {edge.reader: edge for edge in edges}
        self.near = _connections(segments)
        self.paths: list[Path] = []
        self.branchings: list[Point] = []
        root = _rounded((start.right, start.y))
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
