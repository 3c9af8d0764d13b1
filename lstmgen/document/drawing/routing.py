"""Columns and channels from left to right, with every wire as segments; and how good a layout that makes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import fsum  # exact: `sum` of floats is another from Python 3.12 on, and breaks ties otherwise

from .columns import Item, Ranks
from .drawing import SINK, SOURCE
from .heights import ABOVE, BESIDE, Places
from .layout import BADGE, FRAME, Box, Cut, Layout, Mark, Point, near, rounded
from .orders import Order
from .tracks import Net, Tracks, crossings
from .trees import Tree

TRACK, BADGE_TRACK = 1.7, 2.7  # between two tracks, and beside one that carries a badge
BEFORE, AFTER = 1.9, 2.7  # from a column to the first track, from the last one to the next column
LANE = 4.0  # for badges that find no room on a track
STRAIGHT = 4.2  # a channel in which nothing turns


class Router:
    """Columns and channels from left to right, with every wire as segments."""

    def __init__(self, ranked: Ranks, order: Order, places: Places):
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
                start = self.places.centre[Item(self.ranked.wires[edge.wire].producer, self.ranked.rank[
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

    def _stand(self, item: Item, start: float, middle: float, end: float) -> None:
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
        start, end = rounded(start), rounded(end)
        if start != end:
            self.segments[wire].add((min(start, end), max(start, end)))

    # ------------------------------------------------------------------ channels

    def _channel(self, rank: int, x: float) -> float:
        nets = self._nets(rank)
        self.cuts.append(Cut(x + 0.9, tuple(Mark(net.wire, x + 0.9, net.start) for net in nets)))
        turning = [net for net in nets if not net.is_straight]
        pieces = Tracks(turning, nets)
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
        self.crossings += crossings(pieces.order, nets)
        return end

    def _nets(self, rank: int) -> list[Net]:
        nets = []
        for item in self.order[rank]:
            reached = self.ranked.targets[rank].get(item)
            if reached:
                wire = self.ranked.wire_of(item)
                ends = sorted({self._arrival(item, target) for target in reached})
                nets.append(Net(wire, self.places.centre[item], ends, bool(wire.badge) and item.is_node))
        return nets

    def _arrival(self, item: Item, target: Item) -> float:
        if target.is_node:
            return self.places.port[item.key, target.key]
        return self.places.centre[target]

    def _tracks(self, order: list[Net], nets: list[Net], x: float, lane: float) -> float:
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

    def _is_crowded(self, badge: Net, order: list[Net], nets: list[Net]) -> bool:
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

    def _level(self, net: Net, pieces: list[Net], x: float, end: float) -> None:
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
            found = Tree(wire, self.segments[wire.name], self.tips[wire.name], self.boxes[wire.producer],
                          self.ranked.readers[wire.name])
            paths += found.paths
            dots += [Mark(wire, *point) for point in found.branchings]
        heights = [point[1] for path in paths for point in path.points]
        heights += [y for box in self.boxes.values() for y in (box.top, box.bottom)]
        heights += [box.caption_top for box in self.boxes.values() if box.node.caption]
        heights += [mark.y + way for mark in self.badges for way in (-BADGE, BADGE)]
        up = FRAME - min(heights, default=0.0)
        badged = {(mark.wire.name, *rounded((mark.x, mark.y))) for mark in self.badges}
        sources = [box.right for box in self.boxes.values() if box.node.kind == SOURCE]
        sinks = [box.left for box in self.boxes.values() if box.node.kind == SINK]
        return Layout(
            boxes=tuple(replace(box, y=near(box.y + up)) for box in self.boxes.values()),
            paths=tuple(replace(path, points=tuple((x, near(y + up)) for x, y in path.points))
                        for path in paths),
            dots=tuple(Mark(dot.wire, dot.x, near(dot.y + up)) for dot in dots
                       if (dot.wire.name, dot.x, dot.y) not in badged),
            badges=tuple(Mark(mark.wire, near(mark.x), near(mark.y + up)) for mark in self.badges),
            width=near(self.width),
            height=near(max(heights, default=0.0) + up + FRAME),
            frame=(near(max(sources, default=0.0) + 0.9), near(min(sinks, default=self.width) - 0.9)),
            cuts=tuple(Cut(near(cut.x), tuple(Mark(mark.wire, near(mark.x), near(mark.y + up))
                                               for mark in cut.wires)) for cut in self.cuts),
        )
