r"""Drawings as TikZ: one step of a cell, and three steps in a row.

A figure is plain coordinates: it needs `PREAMBLE` once in a document that loads tikz, amsmath and bm,
and nothing of TikZ's own placing. Colours of forks are names that the document defines; those of ink
and paper are defined here where the document has not defined them already.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

from ...derivation.graph import Graph
from ...language.expressions import ONE, Adjoint, Expression, Outside, Value
from ..drawing.drawing import (
    AFFINE, CALL, LOSS, OPERATOR, SINK, SOURCE, Fork, Node, forks, label_height, label_width, make_drawing,
)
from ..drawing.layout import ABOVE_WIRE, FRAME, Box, Cut, Layout, Mark, Path, without_gaps
from ..drawing.placement import place
from ..notation import Notation
from .printer import Printer

PREAMBLE = r"""
\usetikzlibrary{arrows.meta}
\providecolor{ink}{HTML}{1F2A44}
\providecolor{aside}{HTML}{5A6478}
\providecolor{shade}{HTML}{F6F4EF}
\providecolor{hairline}{HTML}{B9BEC9}
\tikzset{
  cell figure/.style={x=1mm, y=-1mm, >={Stealth[length=4.4pt, width=3.8pt]},
    font=\fontsize{10}{12}\selectfont, line cap=round},
  cell frame/.style={draw=hairline, fill=shade, line width=.4pt, rounded corners=2mm},
  cell wire/.style={draw=aside, line width=.55pt, rounded corners=1mm},
  cell fork/.style={cell wire, draw=#1, line width=.95pt},
  cell heavy/.style={line width=1.35pt},
  cell peephole/.style={dash pattern=on 2.6pt off 1.5pt, line cap=butt},
  cell text/.style={inner sep=0pt, outer sep=0pt, text=ink},
  cell affine/.style={cell text, draw=aside, fill=white, line width=.55pt},
  cell call/.style={cell text, draw=aside, fill=white, line width=.55pt, rounded corners=1mm},
  cell operator/.style={cell text, circle, draw=aside, fill=white, line width=.55pt},
  cell badge/.style={cell text, circle, minimum size=3.2mm, fill=#1, text=white,
    font=\fontsize{7.5}{7.5}\selectfont\bfseries},
}
\newcommand{\cellbadge}[2]{\tikz[baseline=(n.base)]{\node[cell badge=#1](n){#2};}}
""".lstrip()

TEXT_WIDTH, PAGE_HEIGHT = 160.0, 240.0  # of the document's page, in millimetres
SMALLEST = 0.7  # a drawing may be scaled down to that, and 10 pt become 7 pt

Placed = TypeVar("Placed", Box, Mark)

STUB = 1.4  # how far a wire goes on there

UPRIGHT, LANDSCAPE, SPLIT, TOO_LARGE = "upright", "landscape", "split", "too large"
MOST_STAGES = 250  # of a cell that is drawn; three of them fill a row


@dataclass(frozen=True)
class LegendEntry:
    """A fork as the line under the figure tells it."""

    name: str
    number: int
    colour: str
    text: str  # LaTeX: fork of c_t, 2 readers here, 3 at step t+1


@dataclass(frozen=True)
class Figure:
    """A drawing for a document, in its natural size."""

    tikz: str
    width_mm: float
    height_mm: float
    fit: str  # upright: as wide as the text; landscape: on a page of its own; split: too wide; too large
    scale: float  # what it has to be scaled by for that, at most 1
    legend: tuple[LegendEntry, ...]
    parts: tuple[Figure, ...] = ()  # where it is not upright, the same drawing in rows that are

    @property
    def legend_tex(self) -> str:
        """The legend as a paragraph: a badge and a text for each fork."""
        return "\\quad\n".join(
            rf"\mbox{{\cellbadge{{{entry.colour}}}{{{entry.number}}}~{entry.text}}}" for entry in self.legend)


def draw_step(graph: Graph, notation: Notation, colours: Mapping[str, str]) -> Figure:
    """One step of a cell as a graph. `colours` maps forks to colours' names; its order numbers the badges.

    A cell of more than `MOST_STAGES` stages is not drawn: its figure is empty, and `fit` says so.
    """
    if len(graph.stages) > MOST_STAGES:
        return Figure("", 0.0, 0.0, TOO_LARGE, 1.0, ())
    drawing = make_drawing(graph, notation, colours)
    legend = tuple(_legend(fork, notation) for fork in forks(graph, colours))
    figure = _figure(place(drawing), legend)
    if figure.fit == UPRIGHT:
        return figure
    apart = max(label_height(wire.symbol) for wire in drawing.wires) + 0.1  # where a row ends, all are named
    rows = split(place(drawing, apart), TEXT_WIDTH / SMALLEST)
    return replace(figure, parts=tuple(_figure(row, ()) for row in rows))


def _figure(layout: Layout, legend: tuple[LegendEntry, ...]) -> Figure:
    fit, scale = _fit(layout.width, layout.height)
    return Figure(_picture(layout), layout.width, layout.height, fit, scale, legend)


def _fit(width: float, height: float) -> tuple[str, float]:
    upright = min(1.0, TEXT_WIDTH / width, 0.8 * PAGE_HEIGHT / height)
    lying = min(1.0, PAGE_HEIGHT / width, 0.85 * TEXT_WIDTH / height)
    if upright >= SMALLEST:
        return UPRIGHT, _floor(upright)
    if lying >= SMALLEST:
        return LANDSCAPE, _floor(lying)
    return SPLIT, _floor(max(upright, lying))


def _floor(scale: float) -> float:
    return int(scale * 1000) / 1000


def _legend(fork: Fork, notation: Notation) -> LegendEntry:
    symbol = Printer(notation)(Value(fork.name))
    told = []
    if fork.here:
        told.append(f"{_counted(fork.here)} here")
    if fork.outside:
        told.append(rf"${LOSS}$")
    if fork.later:
        told.append(f"{fork.later if fork.here else _counted(fork.later)} in the next step")
    return LegendEntry(fork.name, fork.number, fork.colour, f"fork of ${symbol}$: {', '.join(told)}")


def _counted(count: int) -> str:
    return f"{count} reader{'s' * (count != 1)}"


# ---------------------------------------------------------------- one step


def _picture(layout: Layout) -> str:
    left, right = layout.frame
    lines = [
        r"\begin{tikzpicture}[cell figure]",
        rf"\useasboundingbox (0,0) rectangle {_point(layout.width, layout.height)};",
        rf"\draw[cell frame] {_point(left, 0.3)} rectangle {_point(right, layout.height - 0.3)};",
    ]
    paths = sorted(layout.paths, key=lambda path: (path.heavy, bool(path.wire.colour)))
    lines += [_path(path) for path in paths]
    lines += [_dot(dot) for dot in layout.dots]
    for box in layout.boxes:
        lines += _box(box)
    lines += [_badge(mark) for mark in layout.badges]
    return "\n".join([*lines, r"\end{tikzpicture}"])  # no line after it, which would be a space


def _path(path: Path) -> str:
    style = [f"cell fork={path.wire.colour}" if path.wire.colour else "cell wire"]
    style += ["cell heavy"] * path.heavy + ["cell peephole"] * path.dashed
    style += [corner] if (corner := _corner(path.points)) else []
    style += ["->"] * path.ends
    return rf"\draw[{', '.join(style)}] {' -- '.join(_point(*point) for point in path.points)};"


def _corner(points: Iterable[tuple[float, float]]) -> str:
    """A smaller radius where a piece is too short for two corners."""
    points = list(points)
    inner = [max(abs(a[0] - b[0]), abs(a[1] - b[1])) for a, b in zip(points[1:], points[2:-1])]
    least = min(inner, default=9.0)
    return f"rounded corners={_number(least / 2)}mm" if least < 2.0 else ""


def _dot(dot: Mark) -> str:
    colour = dot.wire.colour or "aside"
    return rf"\fill[{colour}] {_point(dot.x, dot.y)} circle[radius={'.55' if dot.wire.colour else '.45'}mm];"


def _badge(mark: Mark) -> str:
    return _badge_at(mark.wire.colour, mark.wire.badge, mark.x, mark.y)


def _badge_at(colour: str, number: int, x: float, y: float) -> str:
    return rf"\node[cell badge={colour}] at {_point(x, y)} {{{number}}};"


_STYLES = {
    AFFINE: "cell affine", CALL: "cell call", OPERATOR: "cell operator",
    SOURCE: "cell text", SINK: "cell text",
}


def _box(box: Box) -> list[str]:
    node = box.node
    size = f"minimum width={_number(node.width)}mm, minimum height={_number(node.height)}mm"
    if node.kind == OPERATOR:
        size = f"minimum size={_number(node.width)}mm"
    lines = [rf"\node[{_STYLES[node.kind]}, {size}] at {_point(box.x, box.y)} {{${node.label}$}};"]
    if node.caption:
        at = _point(box.caption_left, box.y - ABOVE_WIRE)
        lines.append(rf"\node[cell text, anchor=south west] at {at} {{${node.caption}$}};")
    return lines


def _point(x: float, y: float) -> str:
    return f"({_number(x)},{_number(y)})"


def _number(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


# ---------------------------------------------------------------- a drawing in rows


def split(layout: Layout, most: float) -> tuple[Layout, ...]:
    """A drawing that is too wide, in rows no wider than `most` where its columns allow it.

    What goes from one row to the next has its symbol at both ends; a value without one has a letter.
    """
    fewest = max(1, math.ceil(layout.width / most))
    rows: tuple[Layout, ...] = ()
    for count in range(fewest, fewest + 4):
        rows = _rows(layout, _chosen_cuts(layout, count))
        if all(row.width <= most for row in rows):
            break
    return rows


def _rows(layout: Layout, cuts: list[Cut]) -> tuple[Layout, ...]:
    letters: dict[str, str] = {}
    for cut in cuts:
        for mark in cut.wires:
            if not mark.wire.symbol:
                letters.setdefault(mark.wire.name, rf"\text{{({chr(ord('a') + len(letters) % 26)})}}")
    edges = [None, *cuts, None]
    return tuple(_row(layout, left, right, letters) for left, right in pairwise(edges))


def _chosen_cuts(layout: Layout, rows: int) -> list[Cut]:
    """For each cut the best place near an equal division: few values cross it, and few without a symbol."""
    chosen: list[Cut] = []
    for index in range(1, rows):
        ideal = layout.width * index / rows
        allowed = [cut for cut in layout.cuts if cut.wires and (not chosen or cut.x > chosen[-1].x)]
        if allowed:
            chosen.append(min(allowed, key=lambda cut: abs(cut.x - ideal) + math.fsum(
                1.5 if mark.wire.symbol else 5.0 for mark in cut.wires)))
    return chosen


def _row(layout: Layout, left: Cut | None, right: Cut | None, letters: Mapping[str, str]) -> Layout:
    """What stands between two cuts, with the values that come from the left and go on to the right."""
    low, high = left.x if left else 0.0, right.x if right else layout.width
    coming = _continued(left, SOURCE, letters, low - STUB) if left else ()
    going = _continued(right, SINK, letters, high + STUB) if right else ()
    margin, rest = (max((box.node.width + STUB for box in side), default=0.0) for side in (coming, going))
    boxes = (*(box for box in layout.boxes if low < box.x < high), *coming, *going)
    paths = [piece for path in layout.paths for piece in _clipped(path, low, high)]
    heights = [y for path in paths for _, y in path.points]
    heights += [y for box in boxes for y in (min(box.top, box.caption_top), box.bottom)]
    x, y = margin - low, FRAME - min(heights)

    def moved(item: Placed) -> Placed:
        return replace(item, x=item.x + x, y=item.y + y)

    return without_gaps(Layout(
        boxes=tuple(map(moved, boxes)),
        paths=tuple(replace(path, points=tuple((a + x, b + y) for a, b in path.points)) for path in paths),
        dots=tuple(moved(mark) for mark in layout.dots if low < mark.x < high),
        badges=tuple(moved(mark) for mark in layout.badges if low < mark.x < high),
        width=high - low + margin + rest,
        height=max(heights) + y + FRAME,
        frame=(margin - STUB if left else layout.frame[0], (high + STUB if right else layout.frame[1]) + x),
        cuts=(),
    ))


def _continued(cut: Cut, kind: str, letters: Mapping[str, str], edge: float) -> tuple[Box, ...]:
    """The symbols of the values that cross a cut, beside the edge of the row."""
    boxes = []
    for mark in cut.wires:
        label = mark.wire.symbol or letters[mark.wire.name]
        width = label_width(label) + 0.8
        x = edge - width / 2 if kind == SOURCE else edge + width / 2
        node = Node(f"{mark.wire.name} {kind}", kind, label, width, label_height(label))
        boxes.append(Box(node, x, mark.y))
    return tuple(boxes)


def _clipped(path: Path, low: float, high: float) -> Iterator[Path]:
    """The part of a path between two upright lines. It crosses each of them once at most, and level."""
    points = [point for point in path.points if low <= point[0] <= high]
    for (x, y), (other, _) in pairwise(path.points):
        for edge in (low, high):
            if min(x, other) < edge < max(x, other):
                points.append((edge, y))
    if len(points) > 1:
        ordered = _in_order(path, points)
        ends = path.ends and path.points[-1] in ordered
        goes_on = ordered[-1][0] == high != path.points[-1][0]
        if goes_on:
            ordered[-1] = (high + STUB, ordered[-1][1])
        if ordered[0][0] == low != path.points[0][0]:
            ordered[0] = (low - STUB, ordered[0][1])
        yield replace(path, points=tuple(ordered), ends=ends or goes_on)


def _in_order(path: Path, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points in the order in which the path passes them."""
    def distance(point: tuple[float, float]) -> float:
        gone = 0.0
        for a, b in pairwise(path.points):
            (left, right), (top, bottom) = sorted((a[0], b[0])), sorted((a[1], b[1]))
            if left <= point[0] <= right and top <= point[1] <= bottom:
                return gone + abs(point[0] - a[0]) + abs(point[1] - a[1])
            gone += abs(b[0] - a[0]) + abs(b[1] - a[1])
        return gone

    return sorted(points, key=distance)


# ---------------------------------------------------------------- three steps in a row

STEP_WIDTH, STATE_PITCH = 25.0, 12.0  # of a block; between two states, or more where symbols are high
OUTSIDE = 11.0  # from a block to its inputs and outputs
OFF_WIRE = 0.8  # a symbol
APART = 1.1  # a value's wire and its gradient's, from the middle between them


def draw_blocks(graph: Graph, notation: Notation, colours: Mapping[str, str]) -> Figure:
    """Three steps in a row: the states between them, and the gradients that come back beside them."""
    blocks = _Blocks(graph, notation, colours)
    lines = blocks.lines()
    width, height = blocks.width, blocks.height
    fit, scale = _fit(width, height)
    legend = tuple(_legend(fork, notation) for fork in forks(graph, colours) if fork.name in graph.states)
    return Figure("\n".join(lines), width, height, fit, scale, legend)


_Outside = tuple[Value, "Expression | None"]  # what leads to or from a block, and its gradient


class _Blocks:
    """The geometry of the three steps."""

    def __init__(self, graph: Graph, notation: Notation, colours: Mapping[str, str]):
        self.graph, self.colours = graph, colours
        self.numbers = {fork.name: fork.number for fork in forks(graph, colours)}
        ends = graph.has_loss_at_last
        now = notation.steps if ends else "t"
        self.steps = [f"{now}-2", f"{now}-1", now] if ends else ["t-1", "t", "t+1"]
        self.lag = -2 if ends else -1  # of the first step
        self.printer = Printer(notation, now=now)
        self.loss_at_end = ends
        lags = range(self.lag, self.lag + 3)
        labels = [self.printer(Adjoint(name, lag)) for name in graph.states for lag in lags]
        self.gap = max(14.0, max(map(label_width, labels), default=0.0) + 4.0)
        high = max(map(label_height, labels), default=0.0)
        self.pitch = max(STATE_PITCH, 2 * (high + APART + OFF_WIRE) + 0.4)
        self.block_height = max(16.0, self.pitch * len(graph.states) + 2.0)
        for self.is_stacked in (False, True):  # gradients' symbols beside their wires, or below the values'
            self.step_width = max(STEP_WIDTH, *(
                math.fsum(map(math.fsum, map(self._sides, outside))) + 2.0
                for lag in lags for outside in (self._read(lag), self._seen(lag))))
            self.width = 3 * self.step_width + 4 * self.gap + 8.0
            if self.width <= TEXT_WIDTH / 0.8:
                break
        self.height = self.block_height + 2 * self._top

    def lines(self) -> list[str]:
        lines = [r"\begin{tikzpicture}[cell figure]",
                 rf"\useasboundingbox (0,0) rectangle {_point(self.width, self.height)};"]
        for index, step in enumerate(self.steps):
            lines += self._block(index, step)
        for row, state in enumerate(self.graph.states):
            for gap in range(4):
                lines += self._carried(row, state, gap)
        return [*lines, r"\end{tikzpicture}"]

    def _read(self, lag: int) -> list[_Outside]:
        """What a step takes from below, and the gradients that it sends there."""
        inputs = [(Value(name, lag), Adjoint(name, lag)) for name in self.graph.inputs]
        return inputs + [(Value(name, lag), None) for name in self.graph.targets]

    def _seen(self, lag: int) -> list[_Outside]:
        """What a step sends upwards, and the gradients that come from there."""
        if self.graph.loss is None:
            return [(Value(name, lag), Outside(name, lag)) for name in self.graph.outputs]
        return [] if self.loss_at_end and lag else [(Value(self.graph.loss, lag), ONE)]

    def _sides(self, outside: _Outside) -> tuple[float, float]:
        """The room that a wire, its symbol, and its gradient take to the left and to the right."""
        value, gradient = outside
        half = max(APART + 1.0, label_width(self.printer(value)) / 2 + 0.8)
        beside = label_width(self.printer(gradient)) if gradient else 0.0
        if self.is_stacked:
            half = max(half, beside / 2 + 0.8)
            return half, half
        return half, max(half, APART + 1.9 + beside)

    def _spread(self, left: float, outside: list[_Outside]) -> Iterator[tuple[float, _Outside]]:
        """Places along the edge of a block: in its middle for one, side by side for several."""
        rooms = [self._sides(each) for each in outside]
        free = (self.step_width - math.fsum(map(math.fsum, rooms))) / (len(outside) + 1)
        if len(outside) == 1:
            yield left + self.step_width / 2, outside[0]
            return
        for (before, after), each in zip(rooms, outside):
            left += free + before
            yield left, each
            left += after

    def _left(self, index: int) -> float:
        return self.gap + 4.0 + index * (self.step_width + self.gap)

    @property
    def _top(self) -> float:
        return OUTSIDE + (10.0 if self.is_stacked else 5.0)

    def _block(self, index: int, step: str) -> list[str]:
        left, top, bottom = self._left(index), self._top, self._top + self.block_height
        middle = _point(left + self.step_width / 2, (top + bottom) / 2)
        right = left + self.step_width
        lines = [rf"\draw[cell frame] {_point(left, top)} rectangle {_point(right, bottom)};",
                 rf"\node[cell text] at {middle} {{step ${step}$}};"]
        lag = self.lag + index
        for x, (value, gradient) in self._spread(left, self._read(lag)):
            lines += self._outside(x, bottom, 1, value, gradient)
        for x, (value, gradient) in self._spread(left, self._seen(lag)):
            lines += self._outside(x, top, -1, value, gradient)
        return lines

    def _outside(self, x: float, y: float, way: int, value: Value, gradient: Expression | None) -> list[str]:
        """A wire below (way 1) or above (way -1) a block, and the gradient's beside it."""
        far = y + way * OUTSIDE
        colour = self.colours.get(value.name, "ink")
        lines = [_arrow("cell wire", *[(x - APART, far), (x - APART, y)][::way])]
        if gradient is not None:
            at = (x, far + way * 7.2) if self.is_stacked else (x + APART + 0.9, (y + far) / 2)
            anchor = "center" if self.is_stacked else "west"
            lines.append(_arrow(f"cell fork={colour}", *[(x + APART, y), (x + APART, far)][::way]))
            text = self.printer(gradient)
            lines.append(
                rf"\node[cell text, text={colour}, anchor={anchor}] at {_point(*at)} {{${text}$}};")
        lines.append(rf"\node[cell text] at {_point(x, far + way * 2.6)} {{${self.printer(value)}$}};")
        return lines

    def _carried(self, row: int, state: str, gap: int) -> list[str]:
        """A state from one block to the next, in the gap before block number `gap`; its gradient back."""
        start = self._left(gap - 1) + self.step_width if gap else 4.0
        end = self._left(gap) if gap < 3 else self.width - 4.0
        y = self._top + self.block_height / 2 + (row - (len(self.graph.states) - 1) / 2) * self.pitch
        colour = self.colours.get(state, "ink")
        lag = self.lag + gap - 1
        value, gradient = self.printer(Value(state, lag)), self.printer(Adjoint(state, lag))
        middle = (start + end) / 2
        below, above = _point(middle, y + APART + OFF_WIRE), _point(middle, y - APART - OFF_WIRE)
        is_last = gap == 3 and self.loss_at_end  # nothing comes back from beyond the last step
        is_fork = state in self.numbers and gap > 0 and not is_last
        lines = [] if is_last else [
            _arrow(f"cell fork={colour}", (end, y + APART), (start + (1.5 if is_fork else 0.0), y + APART)),
            rf"\node[cell text, text={colour}, anchor=north] at {below} {{${gradient}$}};",
        ]
        lines += [
            _arrow("cell wire", (start, y - APART), (end, y - APART)),
            rf"\node[cell text, anchor=south] at {above} {{${value}$}};",
        ]
        if is_fork:
            lines.append(_badge_at(colour, self.numbers[state], start, y))
        if gap in (0, 3) and not is_last:
            x = 1.5 if not gap else self.width - 1.5
            lines.append(rf"\node[cell text] at {_point(x, y)} {{$\cdots$}};")
        return lines


def _arrow(style: str, start: tuple[float, float], end: tuple[float, float]) -> str:
    return rf"\draw[{style}, ->] {_point(*start)} -- {_point(*end)};"
