"""One channel between two columns: where the values that turn in it have their upright pieces.

Two wires could lie on one another only in a channel; the order of the tracks forbids it, and where the demands
go round in a circle one of the wires gets a second track (a dogleg).
"""

from __future__ import annotations

from dataclasses import dataclass

from .drawing import Wire

CLEAR = 1.0  # wires nearer than that lie on one another


@dataclass
class Net:
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


class Tracks:
    """The order of the tracks in one channel, with doglegs where no order would do."""

    def __init__(self, turning: list[Net], nets: list[Net]):
        self.taken = [level for net in nets for level in (net.start, *net.ends)]
        self.order: list[Net] = []
        waiting = turning[:]
        while waiting:
            free = [net for net in waiting if not any(self._must_precede(other, net) for other in waiting)]
            if not free:
                free = [self._split(waiting)]
            chosen = min(free, key=lambda net: (self._crossings_first(net, waiting), waiting.index(net)))
            waiting.remove(chosen)
            self.order.append(chosen)
        self._exchange()

    def _must_precede(self, first: Net, second: Net) -> bool:
        """Whether the first lies on the second unless its track is further left."""
        if first is second:
            return False
        if first.wire == second.wire:
            return first.ends == [second.start]
        return any(abs(first.start - end) < CLEAR for end in second.ends)

    def _crossings_first(self, net: Net, waiting: list[Net]) -> int:
        others = (other for other in waiting if other is not net)
        return sum(_pair_crossings(net, other) - _pair_crossings(other, net) for other in others)

    def _split(self, waiting: list[Net]) -> Net:
        """Take one value out of a circle: it waits at a height of its own until the others have turned."""
        net = min(waiting, key=lambda net: sum(self._must_precede(other, net) for other in waiting))
        height = self._free_height(net)
        self.taken.append(height)
        first, second = Net(net.wire, net.start, [height], net.has_badge), Net(net.wire, height, net.ends)
        waiting[waiting.index(net)] = second
        waiting.append(first)
        return first

    def _free_height(self, net: Net) -> float:
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


def _pair_crossings(left: Net, right: Net) -> int:
    """How often two values cross where the first one's track is further left."""
    crossed = int(left.low < right.start < left.high)
    return crossed + sum(right.low < end < right.high for end in left.ends)


def crossings(order: list[Net], nets: list[Net]) -> int:
    straight = [net for net in nets if net.is_straight]
    found = sum(net.low < other.start < net.high for net in order for other in straight)
    for index, left in enumerate(order):
        found += sum(_pair_crossings(left, right) for right in order[index + 1 :] if right.wire != left.wire)
    return found
