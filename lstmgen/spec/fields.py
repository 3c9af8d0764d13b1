"""Typed values out of YAML nodes: names, numbers, choices, texts, shapes.

If something is wrong, a reader records an error (what was found, what was expected) and returns None. Reading goes on, so
that one pass finds every mistake. This file knows nothing of cells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import NamedTuple, TypeVar

from ..errors import Mistakes, Place, Text
from ..language import names
from .cell import Named
from .yamltext import Mapping, Node, Scalar, Sequence, decimal, describe, word

MAX_EXPRESSION = 4000
MAX_AXIS = 200

_T = TypeVar("_T")
_FUNCTION = re.compile(r"\s*([^\s(),]+)\s*\(([^()]*)\)\s*\Z")


class Signature(NamedTuple):
    """The head of a function that the spec defines."""

    name: str
    arguments: tuple[str, ...]


class Fields:
    """Reads nodes and collects their mistakes."""

    def __init__(self, mistakes: Mistakes):
        self._mistakes = mistakes

    def wrong(self, place: Place, message: str, cure: str | None = None) -> None:
        """Record a mistake."""
        self._mistakes.add(place, message, cure)

    def unexpected(self, node: Node, what: str, expected: str, cure: str | None = None) -> None:
        """Record that `what` is not what was expected."""
        self.wrong(node.place, f"{what} must be {expected}, not {describe(node)}", cure)

    # -- collections

    def mapping(self, node: Node, what: str, example: str) -> Mapping | None:
        if isinstance(node, Mapping):
            return node
        self.unexpected(node, what, "a mapping", f"for example {example}")
        return None

    def known_keys(self, mapping: Mapping, known: Iterable[str], what: str) -> None:
        """Record an error for every unknown key."""
        known = tuple(known)
        for key, _ in mapping.items:
            if key.value not in known:
                cure = names.did_you_mean(key.value, known) or f"{what} takes {', '.join(known)}"
                self.wrong(key.place, f"unknown key '{key.value}'", cure)

    def list_of(self, node: Node, what: str, read: Callable[[Node, str], _T | None]) -> tuple[_T, ...]:
        """A list, or a single item that stands for a list of one."""
        items = node.items if isinstance(node, Sequence) else (node,)
        found = [read(item, what) for item in items]
        return tuple(item for item in found if item is not None)

    # -- scalars

    def number(self, node: Node, what: str) -> Fraction | None:
        if isinstance(node, Scalar) and node.kind == "number":
            try:
                return decimal(node.value)
            except ValueError as problem:
                self.wrong(node.place, f"{what}: {problem}")
                return None
        quoted = isinstance(node, Scalar) and not node.plain
        self.unexpected(node, what, "a number", "remove the quotes" if quoted else None)
        return None

    def boolean(self, node: Node, what: str) -> bool | None:
        if isinstance(node, Scalar) and node.kind == "boolean":
            return node.value == "true"
        self.unexpected(node, what, "true or false")
        return None

    def choice(self, node: Node, what: str, choices: Iterable[str]) -> str | None:
        choices = tuple(choices)
        if isinstance(node, Scalar) and node.value in choices:
            return node.value
        near = names.did_you_mean(node.value, choices) if isinstance(node, Scalar) else None
        self.unexpected(node, what, f"one of {', '.join(choices)}", near)
        return None

    def prose(self, node: Node, what: str, longest: int) -> str | None:
        """Text for people. Line breaks become blanks."""
        if not isinstance(node, Scalar) or node.kind in ("boolean", "null"):
            self.unexpected(node, what, "plain text")
            return None
        text = node.text().value
        if len(text) > longest:
            self.wrong(node.place, f"{what} has {len(text)} characters, and the limit is {longest}", "shorten it")
            return None
        return re.sub(" +", " ", text)

    # -- names

    def name(self, node: Scalar, what: str) -> str:
        """A name that is declared here."""
        objection = names.objection(node.value)
        if objection:
            self.wrong(node.place, f"'{node.value}' {objection}", names.cure_for(node.value))
        return node.value  # even if it is refused: mentioning it elsewhere is no second mistake

    def mention(self, node: Node, what: str) -> Named | None:
        """The name of something that is declared elsewhere."""
        if isinstance(node, Scalar) and node.kind == "text":
            return Named(node.value, node.place)
        self.unexpected(node, what, "a name")
        return None

    def signature(self, key: Scalar) -> Signature | None:
        """`mish(a)` -> its name and the names of its arguments."""
        text = key.text()
        match = _FUNCTION.match(text.value)
        if not match:
            self.wrong(
                key.place, f"'{text.value}' is not the head of a function", "write it like \"mish(a)\" or \"f(a, b)\""
            )
            return None
        arguments, at = [], match.start(2)
        for piece in match.group(2).split(","):
            start = at + len(piece) - len(piece.lstrip())
            argument = Scalar(piece.strip(), text.at(start))
            if argument.value in arguments:
                self.wrong(argument.place, f"'{argument.value}' is an argument twice", "rename one of them")
            arguments.append(self.name(argument, "an argument"))
            at += len(piece) + 1
        return Signature(self.name(Scalar(match.group(1), key.place), "a function"), tuple(arguments))

    # -- texts that are read further

    def expression(self, node: Node, what: str) -> Text | None:
        """The right side of an equation, as text."""
        if not isinstance(node, Scalar):
            self.unexpected(node, what, "an expression", "put it in quotes if it is meant as one")
            return None
        if node.kind in ("boolean", "null"):
            self.unexpected(node, what, "an expression")
            return None
        text = node.text()
        if not text.value:
            self.wrong(node.place, f"{what} is empty", "write an expression")
        elif len(text.value) > MAX_EXPRESSION:
            self.wrong(
                node.place,
                f"{what} has {len(text.value)} characters, and the limit is {MAX_EXPRESSION}",
                "split it into several equations",
            )
        elif "#" in text.value:
            place = text.at(text.value.index("#"))
            self.wrong(place, f"{what} has a '#' in it", "a comment stands outside quotes and blocks")
        else:
            return text
        return None

    def expressions(self, mapping: Mapping, what: str) -> tuple[tuple[Scalar, Text | None], ...]:
        """The expressions of a section; none if commas inside them have divided the text."""
        found = []
        for key, node in mapping.items:
            value = word(node)
            if mapping.flow and value.count("(") > value.count(")"):
                cure = "put the whole value in quotes: in braces a comma ends it"
                self.wrong(node.place, f"{what} '{key.value}' ends before its bracket is closed", cure)
                return ()
            found.append((key, node))
        return tuple((key, self.expression(node, f"{what} '{key.value}'")) for key, node in found)

    def shape(self, node: Node, what: str) -> tuple[Text, ...] | None:
        """`[2*H, D]` -> one text per axis; `H` is short for `[H]`; `[]` is a scalar's."""
        axes = node.items if isinstance(node, Sequence) else (node,)
        texts = []
        for axis in axes:
            if not isinstance(axis, Scalar) or axis.kind in ("null", "boolean"):
                self.unexpected(node, what, "a shape such as H, [H, D], [2*H] or []")
                return None
            texts.append(axis.text())
        for text in texts:
            if not 0 < len(text.value) <= MAX_AXIS:
                self.wrong(text.place, f"an axis of a shape has 1 to {MAX_AXIS} characters")
                return None
        return tuple(texts)
