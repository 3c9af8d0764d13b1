"""The heights of nodes and wires, once their order within columns is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from .columns import Item, Ranks
from .drawing import CIRCLE, OPERATOR, PITCH, SINK, Node
from .layout import ABOVE_WIRE
from .orders import Order
from .simplex import Spring, solve

NODE_GAP, WIRE_GAP, MIXED_GAP = 2.6, PITCH, 1.9  # between two nodes, two wires, a wire and a node
DROP = 2.4  # the least way from a wire above or below an operator into it
UNIT = 100  # whole numbers for the simplex: hundredths of a millimetre

ABOVE, BESIDE, BELOW = -1, 0, 1  # where a wire enters an operator

_Port = tuple[str, str]  # where a wire enters a node: the names of both
_Key = Item | _Port  # what has a height


class _Entry(NamedTuple):
    """What has a height in a column, and how far it reaches above and below."""

    key: _Key
    above: float
    below: float
    is_node: bool
    joined: bool  # to the next one: an operator and a wire that enters it from above or from below


@dataclass
class Places:
    """Heights. A wire that enters an operator from above or from below has one of its own."""

    centre: dict[Item, float] = field(default_factory=dict)
    port: dict[_Port, float] = field(default_factory=dict)
    side: dict[_Port, int] = field(default_factory=dict)


class Heights:
    """The heights in every column, once the order is known."""

    def __init__(self, ranked: Ranks, order: Order, wire_gap: float):
        self.ranked, self.order, self.wire_gap = ranked, order, wire_gap
        self.position = [{item: index for index, item in enumerate(column)} for column in order]
        self.sides: dict[_Port, int] = {}
        self.offsets: dict[_Port, float] = {}
        for column in order[1:]:
            for item in column:
                if item.is_node:
                    self._enter(item)

    def _enter(self, item: Item) -> None:
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

    def _sides(self, item: Item, coming: list[Item]) -> tuple[int, ...]:
        if len(coming) == 1:
            return (BESIDE,)
        if len(coming) == 3:
            return (ABOVE, BESIDE, BELOW)
        return (BESIDE, BELOW) if self._goes_straight(item, coming) == 0 else (ABOVE, BESIDE)

    def _goes_straight(self, item: Item, coming: list[Item]) -> int:
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

    def solve(self) -> Places:
        """The heights with the shortest upright pieces, where nothing comes too near to anything."""
        self._merge_dummies()
        self._number()
        springs = [*self._distances(), *self._lengths()]
        solved = solve(self.count, springs)
        places = Places(side=self.sides)
        for column in self.order:
            for item in column:
                places.centre[item] = solved[self.number[self.merged.get(item, item)]] / UNIT
        for key, offset in self.offsets.items():
            node = Item(key[1], self.ranked.rank[key[1]], True)
            places.port[key] = places.centre[node] + offset
        for key, side in self.sides.items():
            node = Item(key[1], self.ranked.rank[key[1]], True)
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
        self.merged: dict[Item, Item] = {}
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

    def _entering(self, item: Item) -> Iterator[tuple[_Port, int]]:
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
            return DROP + CIRCLE / 2
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
            node = Item(key[1], self.ranked.rank[key[1]], True)
            if side == ABOVE:
                yield Spring(self.number[key], self.number[node], 0, 1)
            elif side == BELOW:
                yield Spring(self.number[node], self.number[key], 0, 1)

    def _end(self, item: Item, target: Item) -> tuple[_Key, float]:
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

    def _weight(self, rank: int, item: Item, target: Item, reached: list[Item]) -> int:
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
