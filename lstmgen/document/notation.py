"""The symbol of every name in a document. A notation changes how a document looks, and nothing that is derived.

A name is read as people write it: `W_i` is a W with subscript i, `c_tilde` a c with a tilde, `Gamma_f` a Greek letter. A
notation of the literature replaces some of these; a mapping in the spec replaces any. Vectors and matrices are bold,
scalars are not. A value that is not static has its step in its symbol. Two names with one symbol in a document are a
mistake.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ..derivation.graph import Graph, Stage
from ..errors import Mistakes, Place
from ..language.expressions import Adjoint, Call, Expression, Negative, Outside, Product, Sum, Value, transform, values
from ..language.names import did_you_mean
from ..language.shapes import SCALAR, Shape, shape_of
from ..spec.yamltext import Mapping as YamlMapping
from ..spec.yamltext import parse as parse_yaml
from .symbols import ANGLE, SUBSCRIPT, SUPERSCRIPT, SYMBOL_CURE, BadSymbol, Symbol, read_name, read_symbol

# ---------------------------------------------------------------- the notations of the literature


@dataclass(frozen=True)
class Style:
    """A notation of the literature. `lstm` and `letters` are used if the cell is an LSTM."""

    lstm: Mapping[str, Symbol]  # symbols of the values
    letters: Mapping[str, str]  # how their parameters are marked: W_z is W_c
    accent: str = "bar"  # over pre-activations
    time: str = SUBSCRIPT
    recurrent: str = "R"
    crossed: str = ""  # how W_i and R_i name the value that they read: "from" w_{xi}, "to" W_{ux}; "" not at all
    peephole: str = "p"


_A = Symbol("a")
STYLES: Mapping[str, Style] = {
    # Greff et al.: z, i, f, o, c, y; W, R, p, b; bars
    "greff": Style({"h": Symbol("y")}, {}),
    # an online course: a for the output, gates called Gamma, c-tilde, steps in angle brackets
    "ng": Style(
        {"h": _A, "i": Symbol(r"\Gamma", sub=("u",)), "f": Symbol(r"\Gamma", sub=("f",)),
         "o": Symbol(r"\Gamma", sub=("o",)), "z": Symbol("c", ("tilde",))},
        {"i": "u", "z": "c", "h": "a"}, time=ANGLE, recurrent="W", crossed="to",
    ),
    "colah": Style({"c": Symbol("C"), "z": Symbol("C", ("tilde",))}, {"z": "C", "c": "C"}),
    # lecture notes: a is the block input, hats over pre-activations, steps as superscripts
    "hats": Style({"z": _A}, {"z": "a"}, accent="hat", time=SUPERSCRIPT, recurrent="U"),
    # Graves 2013: w_{xi}, w_{hi}, w_{ci}
    "graves": Style({"z": Symbol("g")}, {"z": "c"}, recurrent="W", crossed="from", peephole="w"),
}
PLAIN = Style({}, {})  # the names as they are: where nothing is said, and what a mapping in the spec starts from

_PARAMETER = re.compile(r"(W|R|b|p|P)_([A-Za-z])([A-Za-z]?)\Z")


def _styled(style: Style, graph: Graph, known: Mapping[str, Symbol]) -> dict[str, Symbol]:
    """The symbols that a notation gives to the names of this cell, if they are free."""
    lstm = _is_lstm(graph)
    stages = {stage.name for stage in graph.stages}
    renamed = {name: symbol for name, symbol in style.lstm.items() if lstm and name in known}
    for name in graph.parameters:
        match = _PARAMETER.match(name)
        if match and match[2] in stages and (not match[3] or match[3] in stages):
            symbol = _parameter(style, graph, match, lstm)
            if symbol != known[name]:
                renamed[name] = symbol
    if "target" in graph.targets:
        output = graph.outputs[0]
        base = renamed.get(output, known[output])
        renamed["target"] = replace(base, sup=(*base.sup, r"\star"))
    while True:  # a letter that the cell uses for something else is not taken
        taken = [renamed.get(name, symbol) for name, symbol in known.items()]
        free = {name: symbol for name, symbol in renamed.items() if taken.count(symbol) == 1}
        if len(free) == len(renamed):
            return renamed
        renamed = free


def _is_lstm(graph: Graph) -> bool:
    stages = {stage.name for stage in graph.stages}
    return {"c", "h"} <= set(graph.states) and len(stages & {"i", "f", "o"}) >= 2


def _parameter(style: Style, graph: Graph, match: re.Match[str], lstm: bool) -> Symbol:
    """W_i, R_i, b_i, p_i and R_ab, which leads from a to b."""
    letter, first, second = match.groups()

    def mark(name: str) -> str:
        return style.letters.get(name, name) if lstm else name

    base = {"R": style.recurrent, "p": style.peephole, "P": "W" if style.crossed else "P"}.get(letter, letter)
    if letter == "b" or (second and letter != "R"):
        return Symbol(letter, sub=(mark(first) + mark(second),))
    if second:
        pair = (second, first) if style.crossed == "to" else (first, second)
        return Symbol(base, sub=(mark(pair[0]) + mark(pair[1]),))
    source = {"W": "x", "R": mark("h"), "p": "c", "P": "c"}[letter]
    joined = f"R_{first}" in graph.parameters and f"W_{first}" in graph.parameters
    if style.crossed == "from" and (letter in "pP" or joined):
        return Symbol(base, sub=(source + mark(first),))
    if style.crossed == "to" and letter in "WR" and joined:
        return Symbol(base, sub=(mark(first) + source,))
    return Symbol(base if not style.crossed or letter in "WR" else letter, sub=(mark(first),))


# ---------------------------------------------------------------- the notation of one document

_SIGNS = {  # the meaning of these in a document: no scalar may look like one of them
    r"\delta": "the sign of a gradient",
    r"\Delta": "the sign of a gradient from outside",
    r"\sigma": "the sigmoid",
}


@dataclass(frozen=True)
class Notation:
    """The symbols of one cell in one document."""

    graph: Graph
    symbols: Mapping[str, Symbol]  # of every name but those in `definitions`
    definitions: Mapping[str, Expression]  # stages without a name of their own that are written out: tanh(c)
    time: str  # where the step stands
    steps: str  # the number of steps: T, if nothing else is called T

    def shape(self, expression: Expression) -> Shape:
        """The shape of an expression of this cell."""
        return shape_of(expression, self.graph.shapes)

    def value(self, name: str, step: str = "t") -> str:
        """The symbol of a value. Static values have no step."""
        return self.symbols[name].spell(self.is_bold(name), self._step(name, step), self.time)

    def has_superscript(self, name: str, step: str = "t") -> bool:
        return self.symbols[name].has_superscript(self._step(name, step), self.time)

    def definition(self, name: str, lag: int = 0) -> Expression | None:
        """The expression that is written for a stage without a name, `lag` steps later."""
        expression = self.definitions.get(name)
        return None if expression is None else moved(expression, lag, self.graph.static)

    def size(self, symbol: str) -> str:
        """A dimension."""
        return read_name(symbol).spell(bold=False)

    def is_bold(self, name: str) -> bool:
        return self.graph.shapes[name] != SCALAR

    def _step(self, name: str, step: str) -> str | None:
        return None if name in self.graph.static else step

    @cached_property
    def lookup(self) -> dict[Expression, str]:
        """The stage that each definition stands for."""
        return {expression: name for name, expression in self.definitions.items()}


def moved(expression: Expression, steps: int, static: Collection[str]) -> Expression:
    """The expression `steps` later: what does not change over time stays as it is."""
    def rule(node: Expression) -> Expression | None:
        if isinstance(node, (Value, Adjoint, Outside)) and node.name not in static:
            return type(node)(node.name, node.lag + steps)
        return None

    return transform(expression, rule) if steps else expression


def make_notation(graph: Graph, choice: str | tuple[tuple[str, str], ...] | None = None) -> Notation:
    """The notation that a spec asks for, or another one by name.

    Raises `SpecError` if symbols collide, and ValueError if there is no notation of that name.
    """
    choice = graph.spec.notation if choice is None else choice
    if isinstance(choice, str) and choice not in STYLES:
        near = did_you_mean(choice, STYLES)
        raise ValueError(f"there is no notation '{choice}'; {near or 'there are ' + ', '.join(STYLES)}")
    mistakes = Mistakes(graph.spec.path, graph.spec.source)
    style = STYLES[choice] if isinstance(choice, str) else PLAIN
    chosen = {} if isinstance(choice, str) else _mapped(choice, graph, mistakes)
    mistakes.stop()
    symbols, definitions = _symbols(graph, style, chosen)
    notation = Notation(graph, symbols, definitions, style.time, _steps(graph, symbols, style.time))
    _refuse_collisions(notation, chosen, mistakes)
    mistakes.stop()
    return notation


def _symbols(
    graph: Graph, style: Style, chosen: Mapping[str, Symbol]
) -> tuple[dict[str, Symbol], dict[str, Expression]]:
    """The symbols by name, and the expressions that are written out in place of a symbol."""
    named = _named(graph)
    symbols = {name: read_name(name, named) for name in named}
    if graph.loss is not None:
        symbols[graph.loss] = Symbol(r"\ell")
    symbols.update(_styled(style, graph, symbols))
    for name, symbol in symbols.items():
        if symbol.base in _SIGNS and not symbol.sub and graph.shapes[name] == SCALAR:
            symbols[name] = replace(symbol, base=symbol.base[1:])  # delta, in letters
    symbols.update(chosen)
    definitions: dict[str, Expression] = {}
    seen: set[Expression] = set()
    for stage in graph.stages:
        if stage.name in symbols:
            continue
        if stage.name == f"{stage.owner}_pre":
            owner = symbols[stage.owner]
            symbols[stage.name] = replace(owner, accents=(*owner.accents, style.accent))
            continue
        short = _is_written_out(stage, symbols) or _is_short_matrix(stage, {**symbols, **definitions}, graph)
        undated = _undated(stage.expression, graph.static)
        if short and undated not in seen:
            seen.add(undated)
            definitions[stage.name] = stage.expression
        else:
            symbols[stage.name] = _numbered(stage, symbols)
    return symbols, definitions


def _undated(expression: Expression, static: Collection[str]) -> Expression:
    """The expression as its latest value is read in the current step.

    tanh(c[t-1]) of the next step is tanh(c) of this one, and their gradients are not the same: of two
    such stages one is written out and the other gets a symbol.
    """
    lags = [value.lag for value in values(expression) if value.name not in static]
    return moved(expression, -max(lags, default=0), static)


def _numbered(stage: Stage, symbols: Mapping[str, Symbol]) -> Symbol:
    """The symbol of the equation that a stage comes from, with a number: that of its name if it has one."""
    owner = symbols[stage.owner]
    taken = set(symbols.values())
    count = re.search(r"_([0-9]+)\Z", stage.name)
    numbers = [int(count[1])] if count else []
    for number in (*numbers, *range(1, len(taken) + 2)):
        symbol = replace(owner, sup=(*owner.sup, f"({number})"))
        if symbol not in taken:
            return symbol
    raise AssertionError("one of more numbers than symbols is free")


def _named(graph: Graph) -> list[str]:
    """The names that the spec gives, and the loss."""
    stages = [stage.name for stage in graph.stages if stage.owner == stage.name]
    return list(dict.fromkeys((*graph.inputs, *graph.targets, *graph.states, *graph.parameters, *stages)))


def _is_written_out(stage: Stage, symbols: Mapping[str, Symbol]) -> bool:
    """Whether a stage is best written out: a call with one value, a product of two, or [x; h]."""
    match stage.expression:
        case Call(function="concat", arguments=arguments):
            return all(isinstance(argument, Value) and argument.name in symbols for argument in arguments)
        case Call(arguments=arguments):
            read = values(stage.expression)
            return len(read) == 1 and read[0].name in symbols and all(
                isinstance(argument, Value) or not values(argument) for argument in arguments)
        case Product(factors=(Value(name=left), Value(name=right))):
            return left in symbols and right in symbols
    return False


def _is_short_matrix(stage: Stage, known: Collection[str], graph: Graph) -> bool:
    """Whether it is a short matrix such as W - transpose(W), which is easier to read than another letter."""
    match stage.expression:
        case Sum(terms=(left, right)) if len(stage.shape) == 2 and len(graph.shapes[stage.owner]) < 2:
            parts = [part.operand if isinstance(part, Negative) else part for part in (left, right)]
            return all(isinstance(part, Value) and part.name in known for part in parts)
    return False


def _steps(graph: Graph, symbols: Mapping[str, Symbol], time: str) -> str:
    taken = {symbol for symbol, _ in graph.dims} | {symbol.base for symbol in symbols.values()}
    if time == SUPERSCRIPT:
        taken.add("T")  # x^T is a transpose there
    return next((letter for letter in ("T", "S", "N", "K") if letter not in taken), r"\mathcal T")


# ---------------------------------------------------------------- mistakes


def _mapped(pairs: tuple[tuple[str, str], ...], graph: Graph, mistakes: Mistakes) -> dict[str, Symbol]:
    """The symbols of a mapping in the spec."""
    named = _named(graph)
    chosen = {}
    for name, text in pairs:
        if name not in named or name == graph.loss:
            place = _place_in_mapping(graph, name, of_value=False)
            message = f"there is no '{name}' that could be given a symbol"
            mistakes.add(place, message, did_you_mean(name, named))
            continue
        try:
            chosen[name] = read_symbol(text, named)
        except BadSymbol as wrong:
            mistakes.add(_place_in_mapping(graph, name), str(wrong), SYMBOL_CURE)
    return chosen


def _refuse_collisions(notation: Notation, chosen: Mapping[str, Symbol], mistakes: Mistakes) -> None:
    graph = notation.graph
    seen = {notation.size(symbol): (f"the size {symbol}", "") for symbol, _ in graph.dims}
    seen |= {sign: (meaning, "") for sign, meaning in _SIGNS.items()}
    for name, symbol in notation.symbols.items():
        look = symbol.spell(False, None if name in graph.static else "t", notation.time)
        if look not in seen:
            seen[look] = (_told(name), name)
        elif name in chosen or look not in _SIGNS:
            meaning, other = seen[look]
            blamed = name if name in chosen or other not in chosen else other
            place = _place_in_mapping(graph, blamed) if blamed in chosen else _place_of(graph, blamed)
            mistakes.add(place, f"{_told(name)} and {meaning} would look alike in the document, as {look}",
                         f"give {_told(blamed)} another symbol, as in 'notation: {{NAME: SYMBOL}}'")


def _told(name: str) -> str:
    return f"the pre-activation of '{name.removesuffix('_pre')}'" if name.endswith("_pre") else f"'{name}'"


def _place_of(graph: Graph, name: str) -> Place:
    spec = graph.spec
    stage = graph.find(name)
    for item in spec.declared:
        if item.name == name:
            return item.place
    return stage.place if stage else Place(1, 1)


def _place_in_mapping(graph: Graph, name: str, of_value: bool = True) -> Place:
    """The place of a name in the mapping. The spec is read again for it, because only an error needs it."""
    root = parse_yaml(graph.spec.source, graph.spec.path)
    node = root.get("notation") if isinstance(root, YamlMapping) else None
    if isinstance(node, YamlMapping) and name in node:
        return node[name].place if of_value else node.key(name).place
    return Place(1, 1)
