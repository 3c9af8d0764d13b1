"""Errors of a spec: what is wrong, where, and the cure.

This file knows nothing of YAML or of mathematics: a place is a line and a column of a text.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Place:
    """A position in a text, as editors count: line and column from 1, in characters."""

    line: int
    column: int


@dataclass(frozen=True, repr=False)
class Text:
    """A piece of a spec that is parsed later: an equation, a shape, a loss."""

    value: str
    place: Place  # where it begins
    # the place of every character; empty where the text was made from switches
    places: tuple[Place, ...] = field(default=(), compare=False, repr=False)

    def __repr__(self) -> str:
        value = self.value if len(self.value) <= 60 else f"{self.value[:57]}..."
        return f"Text({value!r}, {self.place.line}:{self.place.column})"

    def at(self, offset: int) -> Place:
        """The place of one character of `value`."""
        if not self.places:
            return self.place
        return self.places[min(offset, len(self.places) - 1)]


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong."""

    place: Place
    message: str  # what was found and what was expected
    cure: str | None = None  # what to write instead


class SpecError(Exception):
    """A spec that cannot be built, with every mistake that one pass over it found.

    `path`, `line`, `column`, `message` and `cure` are those of the first mistake;
    `mistakes` holds all of them, in the order of their places.
    """

    def __init__(self, path: str, text: str, mistakes: list[Mistake]):
        self.path = path
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.place))
        first = self.mistakes[0]
        self.line, self.column = first.place.line, first.place.column
        self.message, self.cure = first.message, first.cure
        self._lines = text.splitlines()
        super().__init__(self._report())

    def __reduce__(self) -> tuple[type[SpecError], tuple[str, str, list[Mistake]]]:
        # Builds run in worker processes: the error must be pickled on the way back.
        return SpecError, (self.path, "\n".join(self._lines), list(self.mistakes))

    def _report(self) -> str:
        return "\n".join(self._describe(mistake) for mistake in self.mistakes)

    def _describe(self, mistake: Mistake) -> str:
        line, column = mistake.place.line, mistake.place.column
        cure = f"; {mistake.cure}" if mistake.cure else ""
        report = f"{self.path}:{line}:{column}: error: {_printable(mistake.message + cure)}"
        if not 1 <= line <= len(self._lines):
            return report
        source, caret = _window(self._lines[line - 1], column)
        return f"{report}\n    {source}\n    {caret}"


class Mistakes:
    """Collects the mistakes of one pass, so that all of them are reported together."""

    MOST = 100  # nobody reads more, and a bad file must not take long

    def __init__(self, path: str, text: str):
        self._path, self._text = path, text
        self._found: list[Mistake] = []

    @property
    def count(self) -> int:
        """How many there are so far."""
        return len(self._found)

    def add(self, place: Place, message: str, cure: str | None = None) -> None:
        """Record a mistake and go on; after too many, raise."""
        mistake = Mistake(place, message, cure)
        if mistake not in self._found:
            self._found.append(mistake)
        if len(self._found) >= self.MOST:
            self.stop()

    def fatal(self, place: Place, message: str, cure: str | None = None) -> SpecError:
        """The error to raise when nothing after this mistake could be read."""
        self.add(place, message, cure)
        return self.error()

    def error(self) -> SpecError:
        """The error that reports the mistakes; there must be at least one."""
        return SpecError(self._path, self._text, self._found)

    def stop(self) -> None:
        """Raise an error if there are mistakes."""
        if self._found:
            raise self.error()


def _window(line: str, column: int, width: int = 100) -> tuple[str, str]:
    """The part of a line around a column, and a caret line under it."""
    start = 0 if column <= width else column - width // 2
    shown = _printable(line[start : start + width])
    head = line[start : column - 1]
    indent = sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in head)
    return shown, " " * indent + "^"


def _printable(text: str) -> str:
    """The text with a replacement sign for every control character, which could change the terminal."""
    return "".join(char if char.isprintable() else "�" for char in text.replace("\t", " "))
