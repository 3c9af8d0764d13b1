"""Which statements share a loop over entries, and which loops one pass over the examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..language.expressions import Expression, values
from ..language.shapes import Dim
from .program import AddOuter, Entries, Item, Loop, Multiply, Operate, Rows, Spot, Statement


def read_spots(statement: Statement, spots: Mapping[str, Spot]) -> Iterator[Spot]:
    """The spots that a statement reads, one that it adds to among them."""
    match statement:
        case Entries(to=to, terms=terms, adds=adds):
            for term in terms:
                yield from spots_in(term.expression, spots)
            if adds:
                yield to
        case Operate(arguments=arguments):
            yield from arguments
        case Multiply(to=to, by=by, adds=adds):
            yield by
            if adds:
                yield to
        case AddOuter(left=left, right=right):
            yield left
            yield right


def spots_in(expression: Expression, spots: Mapping[str, Spot]) -> Iterator[Spot]:
    for value in values(expression):
        yield spots[value.name]


def written_spot(statement: Statement) -> Spot | None:
    return None if isinstance(statement, AddOuter) else statement.to


def nested(statements: Iterable[Statement], spots: Mapping[str, Spot]) -> tuple[Item, ...]:
    """Statements in an order that keeps what depends on what, with as few loops as that allows."""
    return tuple(_in_rows(_Groups(spots).of(statements)))


class _Groups:
    """Puts each statement into the last group of its shape in which all that it needs is there."""

    def __init__(self, spots: Mapping[str, Spot]):
        self.spots = spots
        self.groups: list[list[Statement]] = []
        self.writers: dict[tuple[str, int], list[tuple[int, Spot]]] = {}  # of a row of an array: in which group
        self.readers: dict[tuple[str, int], int] = {}  # the last group that reads it

    def of(self, statements: Iterable[Statement]) -> list[list[Statement]]:
        for statement in statements:
            self.put(statement)
        return self.groups

    def put(self, statement: Statement) -> None:
        index = self.place(statement)
        if index == len(self.groups):
            self.groups.append([])
        self.groups[index].append(statement)
        for spot in read_spots(statement, self.spots):
            key = spot.array, spot.lag
            self.readers[key] = max(index, self.readers.get(key, 0))
        written = written_spot(statement)
        if written is not None:
            self.writers.setdefault((written.array, written.lag), []).append((index, written))

    def place(self, statement: Statement) -> int:
        if not isinstance(statement, Entries):
            return len(self.groups)
        first = 0
        for spot in read_spots(statement, self.spots):
            for index, written in self.writers.get((spot.array, spot.lag), ()):
                if not _are_apart(written, spot):
                    first = max(first, index if written == spot else index + 1)
        key = statement.to.array, statement.to.lag
        for index, _ in self.writers.get(key, ()):
            first = max(first, index)
        first = max(first, self.readers.get(key, 0))
        for index in reversed(range(first, len(self.groups))):
            leader = self.groups[index][0]
            if isinstance(leader, Entries) and leader.to.shape == statement.to.shape:
                return index
        return len(self.groups)


def _in_rows(groups: Sequence[list[Statement]]) -> Iterator[Item]:
    together: list[Loop | Operate] = []
    for group in groups:
        match group[0]:
            case Entries(to=to):
                together.append(Loop(to.shape, tuple(each for each in group if isinstance(each, Entries))))
            case Operate() as operation:
                together.append(operation)
            case Multiply() | AddOuter() as item:
                if together:
                    yield Rows(tuple(together))
                    together = []
                yield item
    if together:
        yield Rows(tuple(together))


def _are_apart(one: Spot, other: Spot) -> bool:
    """Whether two parts of vectors share no entry, whatever the sizes are."""
    if len(one.shape) != 1 or len(other.shape) != 1:
        return False
    before, after = one.low + one.shape[0], other.low + other.shape[0]
    return _is_never_negative(other.low + before.times(-1)) or _is_never_negative(one.low + after.times(-1))


def _is_never_negative(size: Dim) -> bool:
    return size.constant >= 0 and all(factor >= 0 for _, factor in size.terms)
