"""The drawing of one step as SVG, for a web page, a slide or a paper: no TeX and no fonts of its own are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from itertools import pairwise

from ...derivation.graph import Graph
from ...language.expressions import Expression, Value, transform
from ...language.text import symbols
from ..notation import Notation
from ..symbols import ANGLE, SUBSCRIPT, Symbol, characters, script_characters
from .drawing import HOLE, OPERATOR, SINK, SOURCE, Node
from .layout import ABOVE_WIRE, Box, Layout, Path

PIXELS = 4.6  # for a millimetre
INK, WIRE, SHADE, PAPER = "#1f2a44", "#8b93a5", "#f6f4ef", "#ffffff"
FONT = "Charter, 'Bitstream Charter', Georgia, 'Times New Roman', serif"
SIZE, SMALL = 14.0, 10.0  # of letters, and of their scripts
_ACCENTS = {"bar": "\u0304", "hat": "\u0302", "tilde": "\u0303"}
_WIDTH = 0.52  # of a letter, as a part of its size

Run = tuple[str, bool, int]  # text, italic, and 1 above or -1 below the line


def svg(layout: Layout, graph: Graph, notation: Notation, colours: Mapping[str, str]) -> str:
    """The text of an SVG. `colours` maps forks to colours, as `#rrggbb`."""
    width, height = layout.width * PIXELS, layout.height * PIXELS
    left, right = layout.frame
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" font-family="{FONT}" font-size="{_n(SIZE)}">',
        f"<title>{escape(graph.spec.title)}: one step</title>",
        f'<rect width="{_n(width)}" height="{_n(height)}" fill="{PAPER}"/>',
        f'<rect x="{_n(left * PIXELS)}" y="1" width="{_n((right - left) * PIXELS)}" height="{_n(height - 2)}" rx="9" '
        f'fill="{SHADE}"/>',
    ]
    for path in sorted(layout.paths, key=lambda path: (path.heavy, bool(path.wire.colour))):
        lines += _path(path, colours)
    for dot in layout.dots:
        colour = colours.get(dot.wire.colour, WIRE)
        lines.append(f'<circle cx="{_n(dot.x * PIXELS)}" cy="{_n(dot.y * PIXELS)}" r="2.4" fill="{colour}"/>')
    for box in layout.boxes:
        lines += _box(box, notation)
    return "\n".join([*lines, "</svg>\n"])


def _path(path: Path, colours: Mapping[str, str]) -> Iterator[str]:
    colour = colours.get(path.wire.colour, WIRE)
    points = [(x * PIXELS, y * PIXELS) for x, y in path.points]
    stroke = f'fill="none" stroke="{colour}" stroke-width="{2.4 if path.heavy else 1.4}" stroke-linejoin="round"'
    dash = ' stroke-dasharray="6 3.5"' if path.dashed else ""
    yield f'<polyline points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in points)}" {stroke}{dash}/>'
    if path.ends:
        (ax, ay), (bx, by) = next(reversed([*pairwise(points)]))
        length = max(abs(bx - ax) + abs(by - ay), 1e-9)  # pieces are level or upright
        ux, uy = (bx - ax) / length, (by - ay) / length
        corners = [(bx, by), (bx - 7 * ux - 3 * uy, by - 7 * uy + 3 * ux), (bx - 7 * ux + 3 * uy, by - 7 * uy - 3 * ux)]
        yield f'<polygon points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in corners)}" fill="{colour}"/>'


def _box(box: Box, notation: Notation) -> Iterator[str]:
    node = box.node
    x, y, width, height = (each * PIXELS for each in (box.x, box.y, node.width, node.height))
    outline = f'fill="{PAPER}" stroke="{WIRE}" stroke-width="1.2"'
    if node.kind == OPERATOR:
        yield f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(width / 2)}" {outline}/>'
    elif node.kind not in (SOURCE, SINK):
        yield (f'<rect x="{_n(x - width / 2)}" y="{_n(y - height / 2)}" width="{_n(width)}" height="{_n(height)}" '
               f'rx="{2 if node.kind == "affine" else 5}" {outline}/>')
    room = width * 2 if node.kind in (SOURCE, SINK) else width - 3
    yield _text(_shown(node, notation), x, y + SIZE * 0.33, "middle", room)
    if node.caption:
        name = Value(node.name)
        yield _text([*_runs(name, notation)], box.caption_left * PIXELS, (box.y - ABOVE_WIRE - 0.8) * PIXELS, "start", 1e9)


def _shown(node: Node, notation: Notation) -> list[Run]:
    runs: list[Run] = []
    for part in node.shows:
        runs += [(part.replace("-", "−"), False, 0)] if isinstance(part, str) else _runs(part, notation)
    return runs or [("…", False, 0)]


def _runs(expression: Expression, notation: Notation) -> Iterator[Run]:
    """A value as its symbol; anything else as the terminal prints it, with symbols in place of names."""
    if isinstance(expression, Value) and expression.name in notation.symbols:
        step = None if expression.name in notation.graph.static else "t" + (f"−{-expression.lag}" if expression.lag else "")
        yield from symbol_runs(notation.symbols[expression.name], step, notation.time)
        return
    written = notation.definitions.get(expression.name) if isinstance(expression, Value) else None
    text = symbols(transform(written or expression, lambda node: Value("·") if node == HOLE else None))
    yield text, False, 0


def symbol_runs(symbol: Symbol, step: str | None, time: str) -> Iterator[Run]:
    """A symbol with its step."""
    letter = characters(symbol.base)
    below, above = [*map(script_characters, symbol.sub)], [*map(script_characters, symbol.sup)]
    if step is not None and time == SUBSCRIPT:
        below.append((step, False))
    elif step is not None:
        below, above = below + above, [(f"⟨{step}⟩" if time == ANGLE else step, False)]
    yield letter + "".join(map(_ACCENTS.__getitem__, symbol.accents)), len(letter) == 1, 0
    for parts, level in ((above, 1), (below, -1)):
        for place, (text, upright) in enumerate(parts):
            yield "," * bool(place) + text, not upright, level


def _text(runs: list[Run], x: float, y: float, anchor: str, room: float) -> str:
    """Runs of text, made smaller where they do not fit."""
    wide = sum(len(text) * (SMALL if level else SIZE) * _WIDTH for text, _, level in runs)
    scale = min(1.0, max(room, 8.0) / max(wide, 1e-9))
    spans, height = [], 0.0
    for text, italic, level in runs:
        shift = -level * 0.32 * SIZE * scale - height
        height += shift
        attributes = ' font-style="italic"' * italic
        attributes += f' font-size="{_n((SMALL if level else SIZE) * scale)}"' if level or scale < 1 else ""
        attributes += f' dy="{_n(shift)}"' if shift else ""
        spans.append(f"<tspan{attributes}>{escape(text)}</tspan>")
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" fill="{INK}">{"".join(spans)}</text>'


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
