"""Pieces of sentences: counts, lists, capitals."""

from __future__ import annotations

from collections.abc import Iterable

WORDS = "no one two three four five six seven eight nine ten eleven twelve".split()


def word(number: int) -> str:
    """one, two, 13."""
    return WORDS[number] if number < len(WORDS) else str(number)


def count(number: int, thing: str, things: str | None = None) -> str:
    """one stage, two stages, 13 stages."""
    return f"{word(number)} {thing if number == 1 else things or thing + 's'}"


def listed(items: Iterable[str], joint: str = "and") -> str:
    """a, b and c."""
    *front, last = items
    return f"{', '.join(front)} {joint} {last}" if front else last


def sentence(text: str) -> str:
    """With a capital at its beginning."""
    return text[:1].upper() + text[1:]
