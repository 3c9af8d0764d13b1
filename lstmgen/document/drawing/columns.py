"""The columns of a drawing: which node stands in which, and which wires pass it."""

from __future__ import annotations

from typing import NamedTuple

from .drawing import AFFINE, SINK, SOURCE, Drawing, Edge, Wire
from .simplex import Spring, solve


class Item(NamedTuple):  # a tuple is hashed sooner than a dataclass, and items are looked up all the time
    """What has a place in a column: a node, or a wire that passes."""

    key: str  # the node's or the wire's name
    rank: int
    is_node: bool


class Ranks:
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
        self.columns: list[list[Item]] = [[] for _ in range(self.count)]
        for node in drawing.nodes:
            self.columns[self.rank[node.name]].append(Item(node.name, self.rank[node.name], True))
        self.targets: list[dict[Item, list[Item]]] = [{} for _ in range(self.count)]  # of each channel
        for wire in drawing.wires:
            self._pass(wire)
        self.sources: list[dict[Item, list[Item]]] = [{} for _ in range(self.count)]
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
        item = Item(wire.producer, start, True)
        for rank in range(start, last):
            reached = [Item(edge.reader, rank + 1, True) for edge in self.readers[wire.name]
                       if self.rank[edge.reader] == rank + 1]
            if rank + 1 < last:
                passing = Item(wire.name, rank + 1, False)
                self.columns[rank + 1].append(passing)
                reached.append(passing)
            self.targets[rank][item] = reached
            item = reached[-1]

    def wire_of(self, item: Item) -> Wire:
        return self.wires[item.key]  # a node's value has the node's name
