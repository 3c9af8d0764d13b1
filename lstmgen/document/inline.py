"""What stands in a sentence besides words: formulas, code, references, emphasis. No output's language is used here.

Sentences are put together from pieces, so a piece is a text with marks around what is special, and texts can be added. The
marks are characters that no text may contain; `spoken` takes them out of the texts of a spec. `nodes` reads the marks: an
output sets the nodes. A formula is in the mathematics of LaTeX, which other outputs can read too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OPEN, CLOSE = "\ufdd0", "\ufdd1"  # Unicode keeps these for use inside a program
NO_BREAK = "\u00a0"  # a space at which no line ends

_MARK = re.compile(f"[{OPEN}{CLOSE}]")

EQUATION, SECTION, FIGURE = "equation", "section", "figure"


@dataclass(frozen=True)
class Math:
    """A formula in a sentence."""

    latex: str


@dataclass(frozen=True)
class Code:
    """A name as it is typed."""

    text: str


@dataclass(frozen=True)
class Reference:
    """A link to an equation by its number, or to a section or figure by its label."""

    to: str  # EQUATION, SECTION or FIGURE
    label: str


@dataclass(frozen=True)
class Emphasis:
    """A term that is introduced."""

    content: tuple[Node, ...]


@dataclass(frozen=True)
class Strong:
    """Emphasis."""

    content: tuple[Node, ...]


@dataclass(frozen=True)
class Together:
    """What stays in one line."""

    content: tuple[Node, ...]


@dataclass(frozen=True)
class Fork:
    """Text in the colour of a fork."""

    number: str
    content: tuple[Node, ...]


@dataclass(frozen=True)
class Link:
    """Text that leads to a section."""

    label: str
    content: tuple[Node, ...]


Node = str | Math | Code | Reference | Emphasis | Strong | Together | Fork | Link


# ---------------------------------------------------------------- writing


def spoken(text: str) -> str:
    """A text of a spec, in which no mark can stand."""
    return text.replace(OPEN, "\ufffd").replace(CLOSE, "\ufffd")


def math(latex: str) -> str:
    return f"{OPEN}m{latex}{CLOSE}"


def words(text: str) -> str:
    """A sentence of this package, in which dollar signs stand around formulas. Not for the texts of a spec."""
    pieces = text.split("$")
    if len(pieces) % 2 == 0:
        raise ValueError(f"a formula is open at the end of {text!r}")
    return "".join(math(piece) if at % 2 else piece for at, piece in enumerate(pieces))


def code(text: str) -> str:
    return f"{OPEN}c{spoken(text)}{CLOSE}"


def emphasis(text: str) -> str:
    return f"{OPEN}e{text}{CLOSE}"


def strong(text: str) -> str:
    return f"{OPEN}s{text}{CLOSE}"


def together(text: str) -> str:
    return f"{OPEN}t{text}{CLOSE}"


def fork(number: int | str, text: str) -> str:
    return f"{OPEN}f{number}|{text}{CLOSE}"


def link(label: str, text: str) -> str:
    return f"{OPEN}l{label}|{text}{CLOSE}"


def equation(number: int) -> str:
    """(12)"""
    return f"{OPEN}r{EQUATION}|{number}{CLOSE}"


def section(label: str) -> str:
    """Section 4"""
    return f"{OPEN}r{SECTION}|{label}{CLOSE}"


def figure(label: str) -> str:
    """Figure 1"""
    return f"{OPEN}r{FIGURE}|{label}{CLOSE}"


# ---------------------------------------------------------------- reading


def nodes(text: str) -> tuple[Node, ...]:
    """The pieces of a text. Raises ValueError if a mark is not closed."""
    found, at = _nodes(text, 0)
    if at != len(text):
        raise ValueError("a mark is closed that is not open")
    return found


def _nodes(text: str, at: int) -> tuple[tuple[Node, ...], int]:
    found: list[Node] = []
    while at < len(text) and text[at] != CLOSE:
        if text[at] == OPEN:
            node, at = _marked(text, at + 1)
            found.append(node)
        else:
            mark = _MARK.search(text, at)
            end = mark.start() if mark else len(text)
            found.append(text[at:end])
            at = end
    return tuple(found), at


def _marked(text: str, at: int) -> tuple[Node, int]:
    kind, at, head = text[at], at + 1, ""
    if kind in "flr":
        bar = text.index("|", at)
        head, at = text[at:bar], bar + 1
    if kind in "mcr":
        end = text.index(CLOSE, at)
        content = text[at:end]
        made: Node = Math(content) if kind == "m" else Code(content) if kind == "c" else Reference(head, content)
        return made, end + 1
    inner, end = _nodes(text, at)
    if end == len(text):
        raise ValueError("a mark is open at the end")
    match kind:
        case "e":
            return Emphasis(inner), end + 1
        case "s":
            return Strong(inner), end + 1
        case "t":
            return Together(inner), end + 1
        case "f":
            return Fork(head, inner), end + 1
    return Link(head, inner), end + 1
