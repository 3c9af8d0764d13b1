"""The parts of a formula. The records say what stands where, and nothing of what it means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """A sign: `+`, `=`, `odot`, `partial`, `sum`."""

    text: str
    at: int


@dataclass(frozen=True)
class Letter:
    """A letter, a Greek letter by its name, or a word that is set upright."""

    text: str
    at: int
    bold: bool = False


@dataclass(frozen=True)
class Digits:
    text: str
    at: int


@dataclass(frozen=True)
class Words:
    """Text between formulas: `where`, `for t < T`."""

    text: str
    at: int


@dataclass(frozen=True)
class Group:
    """What stands in braces."""

    items: Row
    at: int


@dataclass(frozen=True)
class Fenced:
    """What stands in brackets that are printed."""

    open: str  # one of ( [ { < |
    items: Row
    at: int


@dataclass(frozen=True)
class Scripted:
    base: Node
    sub: Row
    sup: Row
    primes: int
    at: int


@dataclass(frozen=True)
class Accent:
    kind: str  # bar, hat, tilde, dot
    body: Node
    at: int


@dataclass(frozen=True)
class Fraction:
    top: Row
    bottom: Row
    at: int


@dataclass(frozen=True)
class Root:
    body: Row
    at: int


@dataclass(frozen=True)
class Grid:
    """A matrix of cells: rows from above."""

    kind: str  # the environment's name
    rows: tuple[tuple[Row, ...], ...]
    at: int


Node = Mark | Letter | Digits | Words | Group | Fenced | Scripted | Accent | Fraction | Root | Grid
Row = tuple[Node, ...]


def flat(row: Row) -> str:
    """A row of scripts as a short text: `t-1`, `<t>`, `xi`."""
    return "".join(map(_flat, row))


def _flat(node: Node) -> str:
    match node:
        case Mark(text=text):
            return {"star": "*", "ast": "*", "prime": "'", "top": "\u22a4", "quad": ",", "space": ","}.get(text, text)
        case Letter(text=text) | Digits(text=text):
            return text
        case Words(text=text):
            return text.replace(" ", "")
        case Group(items=items):
            return flat(items)
        case Fenced(open=opening, items=items):
            return opening + flat(items) + {"(": ")", "[": "]", "{": "}", "<": ">"}.get(opening, opening)
        case Scripted(base=base, sub=sub, sup=sup, primes=primes):
            return _flat(base) + flat(sub) + flat(sup) + "'" * primes
        case Accent(kind=kind, body=body):
            return f"{kind}{_flat(body)}"
        case Fraction(top=top, bottom=bottom):
            return f"{flat(top)}/{flat(bottom)}"
        case Root(body=body):
            return f"sqrt{flat(body)}"
        case Grid():
            return "#"
