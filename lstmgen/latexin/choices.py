"""What can be read in several ways. A reading asks; whoever reads tries one answer after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from .faults import NotRead

MOST_READINGS = 40

Key = tuple[str, ...]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Taken:
    """One question of a reading, with its answer."""

    key: Key
    answer: int
    of: int
    told: str  # the answer as a sentence; "" where it goes without saying


@dataclass
class Choices:
    """The answers of one reading."""

    script: tuple[int, ...] = ()
    fixed: Mapping[Key, int] = field(default_factory=dict)  # what the whole file says
    taken: list[Taken] = field(default_factory=list)

    def pick(self, key: Key, told: tuple[str, ...]) -> int:
        """The number of an answer, one for each text. The same question has the same answer in one reading."""
        for each in self.taken:
            if each.key == key:
                return each.answer
        if key in self.fixed:
            answer = min(self.fixed[key], len(told) - 1)
            self.taken.append(Taken(key, answer, 1, told[answer]))
            return answer
        asked = sum(each.of > 1 for each in self.taken)
        is_open = len(told) > 1  # the script has the answers of open questions alone
        answer = self.script[asked] if is_open and asked < len(self.script) else 0
        self.taken.append(Taken(key, answer, len(told), told[answer]))
        return answer


def readings(
    read: Callable[[Choices], Result], fixed: Mapping[Key, int]
) -> Iterator[tuple[Result | NotRead, tuple[Taken, ...]]]:
    """Every way to read, the usual answers first."""
    script: tuple[int, ...] | None = ()
    for _ in range(MOST_READINGS):
        if script is None:
            return
        choices = Choices(script, fixed)
        try:
            result: Result | NotRead = read(choices)
        except NotRead as fault:
            result = fault
        yield result, tuple(choices.taken)
        script = _following(choices.taken)


def _following(taken: list[Taken]) -> tuple[int, ...] | None:
    """The next script: the last question that has another answer gets it."""
    open_questions = [each for each in taken if each.of > 1]
    while open_questions and open_questions[-1].answer + 1 >= open_questions[-1].of:
        open_questions.pop()
    if not open_questions:
        return None
    answers = [each.answer for each in open_questions]
    return (*answers[:-1], answers[-1] + 1)
