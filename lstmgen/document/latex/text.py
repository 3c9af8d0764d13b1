r"""Sentences in LaTeX: each node of a text, set."""

from __future__ import annotations

from ..inline import (
    EQUATION, FIGURE, NO_BREAK, Code, Emphasis, Fork, Link, Math, Node, Reference, Strong, Together, nodes,
)
from .escape import escape
from .lines import width


def set_text(text: str) -> str:
    """A text with its marks, in LaTeX."""
    return _set_all(nodes(text))


def note_width(text: str) -> float:
    """The width of a note beside an equation, in points."""
    return width(rf"\by{{{set_text(text)}}}") if text else 0.0


def text_width(text: str) -> float:
    return width(set_text(text))


def set_columns(columns: tuple[str | float, ...]) -> str:
    """The columns of a table, for LaTeX's tabular."""
    told = [each if isinstance(each, str) else rf">{{\raggedright\arraybackslash}}p{{{each:.0f}pt}}" for each in columns]
    return f"@{{}}{' '.join(told)}@{{}}"


def _set_all(content: tuple[Node, ...]) -> str:
    return "".join(map(_set, content))


def _set(node: Node) -> str:
    match node:
        case str():
            return "~".join(escape(piece).replace(r"\textquoteright{}", "'") for piece in node.split(NO_BREAK))
        case Math(latex=latex):
            return f"${latex}$"
        case Code(text=text):
            return rf"\texttt{{{escape(text)}}}"
        case Reference(to=to, label=label):
            if to == EQUATION:
                return rf"\eqref{{eq:{label}}}"
            return rf"{'Figure' if to == FIGURE else 'Section'}~\ref{{{'fig' if to == FIGURE else 'sec'}:{label}}}"
        case Emphasis(content=content):
            return rf"\emph{{{_set_all(content)}}}"
        case Strong(content=content):
            return rf"\textbf{{{_set_all(content)}}}"
        case Together(content=content):
            return rf"\mbox{{{_set_all(content)}}}"
        case Fork(number=number, content=content):
            return rf"\fork{{{number}}}{{{_set_all(content)}}}"
        case Link(label=label, content=content):
            return rf"\hyperref[sec:{label}]{{{_set_all(content)}}}"
    raise TypeError(f"no piece of a text: {node!r}")
