"""The notations of a page: every name's symbol in each, as pieces that MathML and SVG are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...derivation.graph import Graph
from ...errors import SpecError
from ...language.expressions import Expression
from ..notation import STYLES, Notation, make_notation
from ..symbols import ANGLE, SUPERSCRIPT, Symbol, characters, script_characters

OWN = "spec"
_LABELS = {OWN: "as in the spec", "greff": "Greff et al.", "ng": "Ng", "colah": "colah", "hats": "hats", "graves": "Graves"}
_TIMES = {SUPERSCRIPT: "sup", ANGLE: "angle"}


@dataclass(frozen=True)
class PageNotation:
    """One notation of a page."""

    id: str
    label: str
    time: str  # where the step stands: sub, sup or angle
    symbols: Mapping[str, list[object]]  # [letter, accents, subscripts, superscripts]; an upright script begins with '
    written_out: Mapping[str, Expression]  # what stands in place of a symbol


def notations(graph: Graph) -> tuple[PageNotation, ...]:
    """The spec's own names, and every notation of the literature in which no two names look alike."""
    own = graph.spec.notation if not isinstance(graph.spec.notation, str) else ()
    found = [_notation(OWN, make_notation(graph, own))]
    for style in STYLES:
        try:
            other = _notation(style, make_notation(graph, style))
        except SpecError:
            continue  # two names of this cell would have one symbol
        if all((other.symbols, other.time, other.written_out) != (known.symbols, known.time, known.written_out)
               for known in found):
            found.append(other)
    return tuple(found)


def first_notation(graph: Graph, found: tuple[PageNotation, ...], wanted: str | None) -> str:
    """The one that a page opens with: the one asked for, where it differs from the names of the spec."""
    return wanted if wanted in [each.id for each in found] else OWN


def _notation(name: str, notation: Notation) -> PageNotation:
    symbols = {each: _pieces(symbol) for each, symbol in notation.symbols.items()}
    return PageNotation(name, _LABELS[name], _TIMES.get(notation.time, "sub"), symbols, notation.definitions)


def _pieces(symbol: Symbol) -> list[object]:
    pieces: list[object] = [characters(symbol.base), list(symbol.accents)]
    pieces += [list(map(_script, symbol.sub)), list(map(_script, symbol.sup))]
    while not pieces[-1]:
        pieces.pop()
    return pieces


def _script(text: str) -> str:
    shown, upright = script_characters(text)
    return f"'{shown}" if upright else shown
