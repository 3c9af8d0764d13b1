"""Network simplex: places on a line that keep their distances and make the weighted sum of lengths least.

Minimise the sum of weight * (y[head] - y[tail]) over all edges, where y[head] - y[tail] >= length for
each. Ranks of a drawing are such a problem, and positions within ranks. Whole numbers in, whole
numbers out, the same ones every time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spring:
    """`head` stands at least `length` after `tail`; every unit between them costs `weight`."""

    tail: int
    head: int
    length: int
    weight: int = 0


def solve(count: int, springs: Sequence[Spring]) -> list[int]:
    """The cheapest positions of 0 .. count-1, the first of them all at 0. The springs form no circle."""
    if not count:
        return []
    root = count  # before everything: it makes one piece of what hangs together by nothing
    tied = [*springs, *(Spring(root, place, 0) for place in range(count))]
    position = _Simplex(count + 1, tied).run()[:count]
    first = min(position)
    return [place - first for place in position]


class _Simplex:
    """A spanning tree of tight springs, improved by exchanging one spring at a time."""

    def __init__(self, count: int, springs: Sequence[Spring]):
        self.count, self.springs = count, springs
        self.tails, self.heads = [spring.tail for spring in springs], [spring.head for spring in springs]
        self.lengths = [spring.length for spring in springs]
        self.touching: list[list[int]] = [[] for _ in range(count)]
        self.pull = [0] * count  # weight that leaves a place, less what enters it
        for index, spring in enumerate(springs):
            self.touching[spring.tail].append(index)
            self.touching[spring.head].append(index)
            self.pull[spring.tail] += spring.weight
            self.pull[spring.head] -= spring.weight
        self.position = self._longest_paths()
        self.tree: list[set[int]] = [set() for _ in range(count)]

    def run(self) -> list[int]:
        self._grow_tree()
        for _ in range(30 * self.count):
            leaving = self._leaving()
            if leaving is None or not self._exchange(*leaving):
                break
        return self.position

    def _slack(self, index: int) -> int:
        return self.position[self.heads[index]] - self.position[self.tails[index]] - self.lengths[index]

    def _longest_paths(self) -> list[int]:
        waiting = [0] * self.count
        for spring in self.springs:
            waiting[spring.head] += 1
        position = [0] * self.count
        ready, seen = deque(place for place in range(self.count) if not waiting[place]), 0
        while ready:
            place = ready.popleft()
            seen += 1
            for index in self.touching[place]:
                spring = self.springs[index]
                if spring.tail == place:
                    position[spring.head] = max(position[spring.head], position[place] + spring.length)
                    waiting[spring.head] -= 1
                    if not waiting[spring.head]:
                        ready.append(spring.head)
        if seen < self.count:
            raise ValueError("the springs form a circle")
        return position

    def _grow_tree(self) -> None:
        """A tree of tight springs over all places; what it has is moved up to the nearest that it has not."""
        inside = [False] * self.count
        inside[0], members, fresh = True, [0], [0]
        while len(members) < self.count:
            while fresh:
                place = fresh.pop()
                for index in self.touching[place]:
                    other = self._other(index, place)
                    if not inside[other] and self._slack(index) == 0:
                        inside[other] = True
                        self._join(index)
                        members.append(other)
                        fresh.append(other)
            if len(members) == self.count:
                return
            leading_out = (index for index, spring in enumerate(self.springs)
                           if inside[spring.tail] != inside[spring.head])
            nearest = min(leading_out, key=self._slack)
            tail, head = self.springs[nearest].tail, self.springs[nearest].head
            move = self._slack(nearest) * (1 if inside[tail] else -1)
            for place in members:
                self.position[place] += move
            fresh = [tail if inside[tail] else head]

    def _other(self, index: int, place: int) -> int:
        return self.heads[index] if self.tails[index] == place else self.tails[index]

    def _join(self, index: int) -> None:
        spring = self.springs[index]
        self.tree[spring.tail].add(index)
        self.tree[spring.head].add(index)

    def _leaving(self) -> tuple[int, list[int], int] | None:
        """The tree's spring whose cut costs most, with the branch beyond it and that branch's direction."""
        tails, heads, tree = self.tails, self.heads, self.tree
        order, above, below = [0], [-1] * self.count, [-1] * self.count
        for place in order:
            spring_above = above[place]
            for index in tree[place]:
                if index != spring_above:
                    other = heads[index] if tails[index] == place else tails[index]
                    above[other], below[other] = index, place
                    order.append(other)
        branch_pull = self.pull[:]
        worst, worst_cut, worst_place = None, 0, 0
        for place in reversed(order[1:]):
            index, pull = above[place], branch_pull[place]
            cut = pull if tails[index] == place else -pull
            if cut <= worst_cut and (cut < worst_cut or (worst is not None and index < worst)):
                worst, worst_cut, worst_place = index, cut, place
            branch_pull[below[place]] += pull
        if worst is None:
            return None
        branch = [False] * self.count
        branch[worst_place] = True
        for place in order:
            if place and branch[below[place]]:
                branch[place] = True
        members = [place for place in order if branch[place]]
        return worst, members, 1 if tails[worst] == worst_place else -1

    def _exchange(self, leaving: int, members: list[int], direction: int) -> bool:
        """Put the tightest spring that leads back in place of `leaving`, and move the branch up to it."""
        inside = [False] * self.count
        for place in members:
            inside[place] = True
        tails, heads = (self.tails, self.heads) if direction > 0 else (self.heads, self.tails)
        leading_back = [index for index, head in enumerate(heads) if inside[head] and not inside[tails[index]]]
        if not leading_back:
            return False
        entering = min(leading_back, key=self._slack)
        least = self._slack(entering)
        for place in members:
            self.position[place] -= direction * least
        spring = self.springs[leaving]
        self.tree[spring.tail].discard(leaving)
        self.tree[spring.head].discard(leaving)
        self._join(entering)
        return True
