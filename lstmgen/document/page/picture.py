"""The drawing of one step as data: rows of boxes and wires, in millimetres, and which contribution goes along which wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...derivation.chain import OUTPUT, Contribution, Derivation, Key
from ...language.expressions import Expression, Value
from ..drawing.drawing import SINK, SOURCE, Drawing, Node, make_drawing
from ..drawing.layout import Layout, Path
from ..drawing.placement import place
from ..latex.tikz import MOST_STAGES, split
from ..notation import make_notation
from .expressions import Json

WIDEST = 200.0  # millimetres of a row; a wider drawing is taken apart


def picture(derivation: Derivation, table: Callable[[Expression], int], told: Callable[[Key], str]) -> list[Json]:
    """The rows of the drawing; none if the cell has too many stages. `told` spells the key of a contribution."""
    graph = derivation.graph
    if len(graph.stages) > MOST_STAGES:
        return []
    own = graph.spec.notation if not isinstance(graph.spec.notation, str) else ()
    drawing = make_drawing(graph, make_notation(graph, own), {})
    layout = place(drawing)
    rows = split(layout, WIDEST) if layout.width > WIDEST else (layout,)
    ways = _Ways(derivation, drawing, told)
    return [_row(row, ways, table) for row in rows]


class _Ways:
    """What goes along the wires of a drawing."""

    def __init__(self, derivation: Derivation, drawing: Drawing, told: Callable[[Key], str]):
        self.graph, self.told = derivation.graph, told
        self.adjoints = derivation.adjoints
        self.nodes: Mapping[str, Node] = {node.name: node for node in drawing.nodes}

    def value(self, producer: str) -> Value | None:
        """The value that leaves a node; None for a part of a stage."""
        node = self.nodes[producer]
        if node.kind == SOURCE and isinstance(node.shows[0], Value):
            return node.shows[0]
        return Value(producer) if self.graph.find(producer) else None

    def stage(self, node: str) -> str:
        """The stage that a node belongs to; "" for one at the margin."""
        if node not in self.nodes or self.nodes[node].kind in (SOURCE, SINK):
            return ""
        return node if self.graph.find(node) else node.rsplit(" ", 1)[0]

    def keys(self, path: Path) -> list[str]:
        """The contributions whose branch a piece of wire is a part of."""
        value = self.value(path.wire.producer)
        if value is None or value.name not in self.adjoints:
            return []
        found: dict[str, None] = {}
        for fork in self.adjoints[value.name].forks:
            if any(self._goes_to(fork, value, reader) for reader in path.readers):
                found.setdefault(self.told(fork.key))
        return list(found)

    def _goes_to(self, fork: Contribution, value: Value, reader: str) -> bool:
        node = self.nodes.get(reader)
        if node is not None and node.kind == SINK:
            seen = reader.endswith(" is seen") or (value.name not in self.graph.states)
            return fork.kind == OUTPUT if seen else bool(fork.lag)
        return fork.kind != OUTPUT and fork.lag == -value.lag and fork.reader == self.stage(reader)


def _row(row: Layout, ways: _Ways, table: Callable[[Expression], int]) -> Json:
    boxes = []
    for box in row.boxes:
        node = box.node
        value = ways.value(node.name) if node.name in ways.nodes and node.kind != SINK else None
        shown = node.shows or (ways.value(node.name.rsplit(" ", 1)[0]) or "…",)
        if node.kind == SINK and isinstance(shown[0], Value):
            value = shown[0]
        boxes.append({
            "kind": node.kind, "shows": [part if isinstance(part, str) else table(part) for part in shown],
            "at": [*map(_short, (box.x, box.y, node.width, node.height))],
            **_named(value),
            **({"stage": ways.stage(node.name)} if ways.stage(node.name) else {}),
            **({"caption": [_short(box.caption_left), _short(box.y)]} if node.caption else {}),
        })
    wires = []
    for path in row.paths:
        value = ways.value(path.wire.producer)
        wires.append({
            "points": [[_short(x), _short(y)] for x, y in path.points],
            **_named(value),
            **({"keys": keys} if (keys := ways.keys(path)) else {}), **({"part": 1} if value is None else {}),
            **({"ends": 1} if path.ends else {}), **({"dashed": 1} if path.dashed else {}),
            **({"heavy": 1} if path.heavy else {}),
        })
    dots = []
    for dot in row.dots:
        value = ways.value(dot.wire.producer)
        dots.append([_short(dot.x), _short(dot.y), value.name if value else ""])
    return {"size": [_short(row.width), _short(row.height)], "frame": [*map(_short, row.frame)],
            "boxes": boxes, "wires": wires, "dots": dots}


def _named(value: Value | None) -> dict[str, Json]:
    if value is None:
        return {}
    return {"value": value.name, "lag": value.lag} if value.lag else {"value": value.name}


def _short(length: float) -> float:
    """Tenths of a millimetre, a third of a pixel, are enough for a screen."""
    return round(length, 1)
