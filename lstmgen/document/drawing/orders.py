"""The order within columns, by barycentres and swaps, from a number of seeded starts."""

from __future__ import annotations

import random
from bisect import bisect, insort
from collections.abc import Sequence

from .columns import Item, Ranks

SEARCH = 2400  # how much work the search for orders may take: a number of steps, not a time

Order = list[list[Item]]
Neighbours = dict[Item, list[Item]]


def orders(ranked: Ranks) -> list[Order]:
    """The best few orders found, each with as few crossings as any."""
    size = sum(len(column) for column in ranked.columns)
    starts = max(4, min(32, SEARCH // (size + 1)))
    found: dict[tuple[tuple[Item, ...], ...], tuple[int, int, int, Order]] = {}
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


def _improve(ranked: Ranks, order: Order, rounds: int = 5) -> tuple[int, int]:
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


def _sort(order: Order, rank: int, neighbours: Neighbours, other: int) -> None:
    position = {item: index for index, item in enumerate(order[other])}
    stretch = len(order[other]) / max(1, len(order[rank]))

    def centre(entry: tuple[int, Item]) -> float:
        index, item = entry
        near = [position[neighbour] for neighbour in neighbours.get(item, ())]
        return sum(near) / len(near) if near else index * stretch

    order[rank] = [item for _, item in sorted(enumerate(order[rank]), key=centre)]


def _swap(ranked: Ranks, order: Order) -> None:
    """Exchange neighbours as long as that saves crossings."""
    for _ in range(3):
        changed = False
        for rank, column in enumerate(order):
            before = _neighbour_positions(order, rank - 1, ranked.sources[rank])
            after = _neighbour_positions(order, rank + 1, ranked.targets[rank])
            for index in range(len(column) - 1):
                upper, lower = column[index], column[index + 1]
                if _gain(before, upper, lower) + _gain(after, upper, lower) > 0:
                    column[index], column[index + 1] = lower, upper
                    changed = True
        if not changed:
            return


def _neighbour_positions(order: Order, rank: int, neighbours: Neighbours) -> dict[Item, list[int]]:
    if not neighbours:
        return {}
    position = {item: index for index, item in enumerate(order[rank])}
    return {item: sorted(position[other] for other in near) for item, near in neighbours.items()}


def _gain(near: dict[Item, list[int]], upper: Item, lower: Item) -> int:
    """How many crossings on one side an exchange of two neighbours saves."""
    of_upper, of_lower = near.get(upper), near.get(lower)
    return _inversions(of_upper, of_lower) - _inversions(of_lower, of_upper) if of_upper and of_lower else 0


def _inversions(upper: Sequence[int], lower: Sequence[int]) -> int:
    """How often wires of the upper item cross wires of the lower one."""
    return sum(bisect(lower, place - 1) for place in upper)


def _cost(ranked: Ranks, order: Order) -> tuple[int, int]:
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
