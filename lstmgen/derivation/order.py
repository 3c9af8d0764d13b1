"""Names that need each other: an order in which they can be computed, or the circle that prevents one."""

from __future__ import annotations

from collections.abc import Mapping


def sorted_by_need(needs: Mapping[str, list[str]]) -> list[str]:
    """Names in an order of dependence, as close to the given order as possible. There must be no circle."""
    order: dict[str, None] = {}
    for start in needs:
        stack = [(start, iter(needs[start]))]
        while stack:
            name, rest = stack[-1]
            following = next((need for need in rest if need not in order), None)
            if following is None:
                order.setdefault(name)
                stack.pop()
            else:
                stack.append((following, iter(needs[following])))
    return list(order)


def circle(needs: Mapping[str, list[str]]) -> list[str] | None:
    """A circle of names that need each other, from a name back to itself; None if there is none."""
    done: set[str] = set()
    for start in needs:
        if start in done:
            continue
        path, stack = [start], [iter(needs[start])]
        on_path = {start}
        while stack:
            following = next(stack[-1], None)
            if following is None:
                stack.pop()
                on_path.discard(path[-1])
                done.add(path.pop())
            elif following in on_path:
                return [*path[path.index(following):], following]
            elif following not in done and following in needs:
                path.append(following)
                on_path.add(following)
                stack.append(iter(needs[following]))
    return None
