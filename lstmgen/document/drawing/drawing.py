"""What the drawing of one step shows: boxes, the wires between them, and how they look; not their places.

Inputs and the states of the step before come from the left; states and outputs leave on the right. An affine map and a call
are a box each. Elementwise algebra is drawn as its products and sums if they are few, else as one box with its symbol.
Static values are not drawn: parameters belong to the boxes. A term such as `p * c[t-1]` of an affine map, a peephole, is a
dashed wire.

A value is one wire, however many readers it has. Wires of forks have a colour and, where the value begins, a numbered
badge.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ...derivation.graph import Graph, Stage
from ...language.expressions import (
    ONE, Call, Compare, Expression, MatVec, Negative, Number, Product, Quotient, Sum, Value, product, transform, values,
    walk,
)
from ...language.functions import WHERE
from ...language.shapes import SCALAR
from ..latex.lines import width
from ..latex.printer import Printer
from ..notation import Notation
from ..symbols import Symbol

SOURCE, AFFINE, CALL, OPERATOR, SINK = "source", "affine", "call", "operator", "sink"
LOSS = r"\mathcal L"
INK = "ink"  # the colour of forks for which there is none

PITCH = 2.2  # between two wires that enter a box
CIRCLE = 4.6
MOST_OPERATORS = 7  # of one stage; beyond, it is a box with its symbol
WIDEST_LABEL = 15.0  # of what a box does, before it gets its symbol instead


HOLE = Value("")
"""The place of an argument, in what a box shows: 1 - · is what it does."""

Shown = tuple["str | Expression", ...]


@dataclass(frozen=True)
class Node:
    """Something drawn. Sizes are in millimetres, labels are formulas."""

    name: str  # a stage's name, its name and a number, or what stands at the margin
    kind: str  # one of the five above
    label: str
    width: float
    height: float
    caption: str = ""  # the symbol of the value that leaves, written on its wire
    caption_width: float = 0.0
    caption_height: float = 0.0
    shows: Shown = ()  # the label for an output that is no LaTeX: signs, names of functions, expressions


@dataclass(frozen=True)
class Wire:
    """One value, from its origin to all its readers."""

    name: str
    producer: str
    colour: str = ""  # of its fork; "" for the ink of all others
    badge: int = 0  # the fork's number, where the value is new; 0 for none
    symbol: str = ""  # "" where the value has no name of its own


@dataclass(frozen=True)
class Edge:
    """One reader of a wire."""

    wire: str
    reader: str
    dashed: bool = False  # entry by entry into an affine map
    heavy: bool = False  # on the way that leads a state straight to its next value


@dataclass(frozen=True)
class Drawing:
    """All that is drawn of one step."""

    nodes: tuple[Node, ...]
    wires: tuple[Wire, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Fork:
    """A value with several readers, for the legend."""

    name: str
    number: int
    colour: str
    here: int  # readers in the same step
    later: int  # readers in the next step
    outside: bool  # whether a gradient comes from outside, too


def fork_names(graph: Graph) -> tuple[str, ...]:
    """The values with more than one reader, over both steps and outside: stages first, then inputs."""
    names = [*(stage.name for stage in graph.stages), *graph.inputs]
    return tuple(name for name in names if name not in graph.static and not graph.is_cut(name)
                 and sum(_branches(graph, name)) > 1)


def forks(graph: Graph, colours: Mapping[str, str]) -> tuple[Fork, ...]:
    """The legend of a cell: the forks that have a colour, in the order of the mapping, then all others."""
    found = []
    uncoloured = [name for name in fork_names(graph) if name not in colours]
    for number, name in enumerate([*colours, *uncoloured], 1):
        here, later, outside = _branches(graph, name)
        found.append(Fork(name, number, colours.get(name, INK), here, later, bool(outside)))
    return tuple(found)


def _branches(graph: Graph, name: str) -> tuple[int, int, int]:
    readers = set(graph.readers(name))
    here = sum(reader.lag == 0 for reader in readers)
    outside = graph.loss is None and name in graph.outputs
    return here, len(readers) - here, int(outside)


def make_drawing(graph: Graph, notation: Notation, colours: Mapping[str, str]) -> Drawing:
    """What to draw of a cell. `colours` maps forks to colours' names; its order numbers the badges."""
    return _Drafter(graph, notation, colours).drawing()


class _TooBig(Exception):
    """Algebra that is no help to see in parts."""


class _Hole(Symbol):
    """The place of an argument: 1 - · is what a box does."""

    def spell(self, bold: bool, step: str | None = None, style: str = "") -> str:
        return r"\cdot"

    def has_superscript(self, step: str | None, style: str) -> bool:
        return False


class _Drafter:
    def __init__(self, graph: Graph, notation: Notation, colours: Mapping[str, str]):
        self.graph, self.notation = graph, notation
        self.printer = Printer(notation)
        self.forks = {fork.name: fork for fork in forks(graph, colours)}
        self.nodes: dict[str, Node] = {}
        self.wires: dict[str, Wire] = {}
        self.edges: dict[tuple[str, str], Edge] = {}

    def drawing(self) -> Drawing:
        self._sources()
        for stage in self.graph.stages:
            if stage.name not in self.graph.static:
                self._stage(stage)
        self._sinks()
        self._mark_carousels()
        read = {edge.wire for edge in self.edges.values()}
        nodes = tuple(self._sized(node) for node in self.nodes.values())
        return Drawing(nodes, tuple(wire for wire in self.wires.values() if wire.name in read),
                       tuple(self.edges.values()))

    # ------------------------------------------------------------------ margins

    def _sources(self) -> None:
        read = dict.fromkeys(
            value for stage in self.graph.stages for value in values(stage.expression)
            if value.name not in self.graph.static and (value.lag or self.graph.find(value.name) is None)
        )
        declared = [*self.graph.inputs, *self.graph.states, *self.graph.targets]
        for value in sorted(read, key=lambda value: [*declared, value.name].index(value.name)):
            label = self.printer(value)
            name = _wire_name(value)
            self._add(Node(name, SOURCE, label, label_width(label) + 0.8, label_height(label), shows=(value,)))
            self._wire(name, name, value.name, badge=not value.lag)

    def _sinks(self) -> None:
        """Where the states go, and what is seen from outside."""
        graph = self.graph
        for name in graph.states:
            self._sink(f"{name} leaves", self.printer(Value(name)), name, Value(name))
        for name in graph.outputs:
            if name not in graph.states:
                self._sink(f"{name} leaves", self.printer(Value(name)), name, Value(name))
            elif graph.loss is None:
                self._sink(f"{name} is seen", LOSS, name, "loss")
        if graph.loss is not None:
            self._sink("loss leaves", self.printer(Value(graph.loss)), graph.loss, Value(graph.loss))

    def _sink(self, name: str, label: str, value: str, shown: str | Expression) -> None:
        if value in self.wires:
            self._add(Node(name, SINK, label, label_width(label) + 0.8, label_height(label), shows=(shown,)))
            self._read(value, name)

    # ------------------------------------------------------------------ stages

    def _stage(self, stage: Stage) -> None:
        expression = stage.expression
        if isinstance(expression, Call):
            label, shown = self._function_label(expression)
            self._box(stage, CALL, label, shown, values(expression))
        elif any(isinstance(node, MatVec) for node in walk(expression)):
            self._affine(stage)
        else:
            self._pointwise(stage)

    def _affine(self, stage: Stage) -> None:
        shown: Expression = Value(stage.name)
        if self._is_seen(stage.name) and isinstance(stage.expression, MatVec):
            shown = stage.expression if label_width(self.printer(stage.expression)) <= WIDEST_LABEL else shown
        self._box(stage, AFFINE, self.printer(shown), (shown,), ())
        terms = stage.expression.terms if isinstance(stage.expression, Sum) else (stage.expression,)
        for term in terms:
            moving = self._moving(term)
            if any(isinstance(node, MatVec) for node in walk(term)) or isinstance(term, Value):
                for value in moving:
                    self._read(_wire_name(value), stage.name, solid=True)
            elif len(moving) == 1:
                self._read(_wire_name(moving[0]), stage.name, dashed=True)
            elif moving:
                self._term(stage, term, moving)

    def _term(self, stage: Stage, term: Expression, moving: tuple[Value, ...]) -> None:
        """A term of several values in an affine map: its operators stand before the box."""
        drawn = self._attempt(stage, lambda: self._algebra(stage, term))
        for wire in [drawn] if drawn else [_wire_name(value) for value in moving]:
            self._read(wire, stage.name, solid=True)

    def _pointwise(self, stage: Stage) -> None:
        drawn = self._attempt(stage, lambda: self._algebra(stage, stage.expression, stage.name))
        if not drawn:
            shown = Value(stage.name)
            self._box(stage, AFFINE, self.printer(shown), (shown,), values(stage.expression))

    def _attempt(self, stage: Stage, draw: Callable[[], str]) -> str | None:
        """What `draw` adds, if it is not too big; else nothing is added."""
        before = dict(self.nodes), dict(self.wires), dict(self.edges)
        self.drawn: dict[Expression, str] = {}
        try:
            wire = draw()
            if len(self.nodes) - len(before[0]) > MOST_OPERATORS:
                raise _TooBig
        except _TooBig:
            self.nodes, self.wires, self.edges = before
            return None
        return wire

    def _box(self, stage: Stage, kind: str, label: str, shown: Shown, reads: tuple[Value, ...]) -> None:
        least = 10.5 if kind == AFFINE else 7.6
        size = max(least, label_width(label) + 2.0), max(5.6, label_height(label) + 1.0)
        node = Node(stage.name, kind, label, *size, shows=shown)
        self._add(node if kind == AFFINE else self._captioned(node))
        self._wire(stage.name, stage.name, stage.name)
        for value in reads:
            if value.name not in self.graph.static:
                self._read(_wire_name(value), stage.name)

    def _captioned(self, node: Node) -> Node:
        """A stage's node with the stage's symbol on the wire that leaves, where none is seen elsewhere."""
        if self._is_seen(node.name) or node.name not in self.notation.symbols:
            return node
        caption = self.printer(Value(node.name))
        return replace(node, caption=caption, caption_width=label_width(caption), caption_height=label_height(caption))

    def _is_seen(self, name: str) -> bool:
        """Whether its symbol stands at the right margin."""
        return name in (*self.graph.states, *self.graph.outputs, self.graph.loss)

    def _moving(self, expression: Expression) -> tuple[Value, ...]:
        return tuple(value for value in values(expression) if value.name not in self.graph.static)

    # ------------------------------------------------------------------ algebra

    def _algebra(self, stage: Stage, expression: Expression, wire: str = "") -> str:
        """Draw the operators of an expression. The wire that its value leaves on; `wire`, the stage's, if given."""
        if expression not in self.drawn or wire:
            self.drawn[expression] = self._new_algebra(stage, expression, wire)
        return self.drawn[expression]

    def _new_algebra(self, stage: Stage, expression: Expression, wire: str) -> str:
        moving = self._moving(expression)
        if isinstance(expression, Value) and not wire:
            return _wire_name(expression)
        if isinstance(expression, Value):
            return self._operator(stage, "=", ("=",), (_wire_name(expression),), wire)
        if isinstance(expression, Negative) and isinstance(expression.operand, Value):
            return self._operator(stage, "-", ("-",), (_wire_name(expression.operand),), wire)
        if len(moving) == 1:
            is_inverse = expression == Quotient(ONE, moving[0])
            label = r"1/\cdot" if is_inverse else self._hole(expression, moving[0])
            shown = transform(expression, lambda node: HOLE if node == moving[0] else None)
            return self._operator(stage, label, ("=",) if label == "=" else (shown,), (_wire_name(moving[0]),), wire)
        match expression:
            case Sum(terms=parts):
                sign, sign_shown = "+", "+"
            case Product(factors=parts):
                sign, sign_shown = self._times(expression)
            case Quotient(numerator=numerator, denominator=denominator):
                return self._quotient(stage, numerator, denominator, wire)
            case Negative(operand=operand):
                return self._operator(stage, "-", ("-",), (self._algebra(stage, operand),), wire)
            case _:
                raise _TooBig
        still = [part for part in parts if not self._moving(part)]
        reads = [self._algebra(stage, part) for part in parts if self._moving(part)]
        if len(set(reads)) < len(reads) or (len(reads) < 2 and not still):
            raise _TooBig
        if still:
            rest = product(*still) if isinstance(expression, Product) else Sum(tuple(still))
            return self._operator(stage, rf"{{}}{sign} {self.printer(rest)}", (sign_shown, rest), tuple(reads), wire)
        return self._operator(stage, sign, (sign_shown,), tuple(reads), wire)

    def _times(self, product_: Expression) -> tuple[str, str]:
        """The sign of a product: entry by entry, or of scalars."""
        return (r"\odot", "⊙") if self.notation.shape(product_) != SCALAR else (r"\cdot", "·")

    def _quotient(self, stage: Stage, numerator: Expression, denominator: Expression, wire: str) -> str:
        if not self._moving(denominator):
            label = rf"{{}}/{self.printer(denominator)}"
            if not isinstance(denominator, Value):
                raise _TooBig
            return self._operator(stage, label, ("/", denominator), (self._algebra(stage, numerator),), wire)
        inverse = Quotient(ONE, denominator)
        if numerator == ONE:
            shown = Quotient(ONE, HOLE)
            return self._operator(stage, r"1/\cdot", (shown,), (self._algebra(stage, denominator),), wire)
        if not self._moving(numerator):
            raise _TooBig
        reads = self._algebra(stage, numerator), self._algebra(stage, inverse)
        sign, shown_sign = self._times(Quotient(numerator, denominator))
        return self._operator(stage, sign, (shown_sign,), reads, wire)

    def _operator(self, stage: Stage, label: str, shown: Shown, reads: tuple[str, ...], wire: str) -> str:
        name = wire or self._free(stage.name)
        is_circle = label in ("+", "-", "=", r"\odot", r"\cdot") and len(reads) <= 3
        if not is_circle and label_width(label) > WIDEST_LABEL:
            raise _TooBig
        sizes = (CIRCLE, CIRCLE) if is_circle else (max(7.0, label_width(label) + 2.0), 5.2)
        node = Node(name, OPERATOR if is_circle else CALL, label, *sizes, shows=shown)
        self._add(self._captioned(node) if wire else node)
        self._wire(name, name, wire)
        for read in reads:
            self._read(read, name)
        return name

    def _hole(self, expression: Expression, value: Value) -> str:
        """The expression with a dot in place of the one value that it reads."""
        symbols = {**self.notation.symbols, value.name: _Hole("")}
        definitions = {name: body for name, body in self.notation.definitions.items() if name != value.name}
        label = Printer(replace(self.notation, symbols=symbols, definitions=definitions))(expression)
        return "=" if label == r"\cdot" else label.replace(r"\cdot^", r"(\cdot)^")

    def _free(self, owner: str) -> str:
        names = (f"{owner} {count}" for count in itertools.count(1))
        return next(name for name in names if name not in self.nodes)

    def _function_label(self, call: Call) -> tuple[str, Shown]:
        """What a call does, without what it does it to."""
        match call:
            case Call(function=function, arguments=(Compare() as condition, _, _)) if function == WHERE:
                label = self.printer(condition) + "?"
                if label_width(label) <= WIDEST_LABEL:
                    return label, (condition, "?")
                return r"\text{where}", ("where",)
            case Call(function="part", arguments=(_, Number(value=index), Number(value=count))):
                return rf"\operatorname{{part}}_{{{int(index)}/{int(count)}}}", (f"part {int(index)}/{int(count)}",)
            case Call(function="repeat", arguments=(_, count)):
                return rf"\times {self.printer(count)}", ("×", count)
        label, shown = _LABELS.get(call.function, ("", ""))
        name = call.function.replace("_", "")
        return label or rf"\operatorname{{{name}}}", (shown or name,)

    # ------------------------------------------------------------------ records

    def _add(self, node: Node) -> None:
        self.nodes[node.name] = node

    def _wire(self, name: str, producer: str, value: str, badge: bool = True) -> None:
        fork = self.forks.get(value)
        has_symbol = value in self.notation.symbols
        lag = -1 if name.endswith("[t-1]") else 0
        symbol = self.printer(Value(value, lag)) if has_symbol or value in self.notation.definitions else ""
        number = fork.number if fork and badge else 0
        self.wires[name] = Wire(name, producer, fork.colour if fork else "", number, symbol)

    def _read(self, wire: str, reader: str, dashed: bool = False, solid: bool = False) -> None:
        known = self.edges.get((wire, reader))
        if known is None or (known.dashed and solid):
            self.edges[wire, reader] = Edge(wire, reader, dashed)

    def _sized(self, node: Node) -> Node:
        """A box is high enough for the wires that enter it."""
        if node.kind == OPERATOR:
            return node
        entering = sum(edge.reader == node.name for edge in self.edges.values())
        return replace(node, height=max(node.height, entering * PITCH + 0.8))

    def _mark_carousels(self) -> None:
        """The shortest way from each state to its next value that passes no call and no matrix."""
        for state in self.graph.states:
            for key in self._carousel(f"{state}[t-1]", state):
                self.edges[key] = replace(self.edges[key], heavy=True)

    def _carousel(self, start: str, state: str) -> list[tuple[str, str]]:
        ways: list[tuple[str, list[tuple[str, str]]]] = [(start, [])]
        known = {start}
        pointwise = {name for name in self.nodes if self._is_pointwise(name)}
        for wire, way in ways:
            if wire == state:
                return [*way, (state, f"{state} leaves")]
            for edge in self.edges.values():
                if edge.wire == wire and edge.reader in pointwise and edge.reader not in known:
                    known.add(edge.reader)
                    ways.append((edge.reader, [*way, (wire, edge.reader)]))
        return []

    def _is_pointwise(self, name: str) -> bool:
        stage = self.graph.find(name)
        is_algebra = stage is None or not isinstance(stage.expression, Call)
        return is_algebra and self.nodes[name].kind in (OPERATOR, CALL)


_LABELS = {  # in LaTeX, and in characters
    "sigmoid": (r"\sigma", "σ"), "tanh": (r"\tanh", "tanh"), "exp": (r"\exp", "exp"), "log": (r"\log", "log"),
    "sin": (r"\sin", "sin"), "cos": (r"\cos", "cos"), "max": (r"\max", "max"), "min": (r"\min", "min"),
    "sum": (r"\textstyle\sum", "Σ"), "layer_norm": (r"\operatorname{LN}", "LN"),
    "logsigmoid": (r"\log\sigma", "log σ"), "sqrt": (r"\sqrt{\cdot}", "√"), "abs": (r"|\cdot|", "|·|"),
    "floor": (r"\lfloor\cdot\rfloor", "⌊·⌋"), "outer": (r"\otimes", "⊗"), "dot": (r"\langle\cdot,\cdot\rangle", "⟨·,·⟩"),
    "transpose": (r"\cdot^{\mathsf T}", "·ᵀ"), "concat": (r"[\,\cdot\,;\cdot\,]", "[·;·]"),
    "logsumexp": (r"\operatorname{lse}", "lse"), "stop_gradient": (r"\operatorname{stop}", "stop"),
    "leaky_relu": (r"\operatorname{lrelu}", "lrelu"), "expm1": (r"\operatorname{expm1}", "expm1"),
    "log1p": (r"\operatorname{log1p}", "log1p"),
}


def _wire_name(value: Value) -> str:
    return f"{value.name}[t{value.lag:+d}]" if value.lag else value.name


def label_width(label: str) -> float:
    """About how wide a formula is, in millimetres; rather too wide than too narrow."""
    return width(label) * 0.352 + 0.4


def label_height(label: str) -> float:
    """About how high a formula is, with what hangs below its line."""
    accents = sum(label.count(rf"\{accent}") for accent in ("bar", "hat", "tilde"))
    height = 3.7 + 0.5 * min(accents, 2)
    if "^" in label:
        height = max(height, 4.6 if "_" in label else 4.2)
    if "^" in label and ("_{" in label or (r"\langle" in label and "_" in label)):
        height = 5.5
    return height
