"""The symbol of every name in a document. Symbols change the look alone: what is derived is fixed by then.

A name is read as people write it: `W_i` is a W with subscript i, `c_tilde` a c with a tilde, `Gamma_f`
a Greek letter. A notation of the literature replaces some of these; a mapping in the spec replaces
any. Vectors and matrices are bold, scalars plain; what changes over time carries the step. Two names
may not look alike in one document: that is a mistake, and it names both.

No text of a spec reaches TeX through here: a symbol is put together from letters, digits and a fixed
list of commands.
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

GREEK = frozenset(
    """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi
    psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
    """.split()
)
ACCENTS = ("bar", "hat", "tilde")

SUBSCRIPT, SUPERSCRIPT, ANGLE = "subscript", "superscript", "angle"  # where the step stands: c_t, c^t, c^<t>


@dataclass(frozen=True)
class Symbol:
    """A letter with what surrounds it, in LaTeX, without weight and time."""

    base: str  # a letter, a Greek command, or a word, which is set upright
    accents: tuple[str, ...] = ()  # from the inside out
    sub: tuple[str, ...] = ()
    sup: tuple[str, ...] = ()

    def spell(self, bold: bool, step: str | None = None, style: str = SUBSCRIPT) -> str:
        """The LaTeX of the symbol at a step; None for what carries no time."""
        body = self._letter(bold)
        for accent in self.accents:
            body = rf"\{accent}{{{body}}}"
        above, below = self.sup, self.sub
        if step is not None and style == SUBSCRIPT:
            below = (*below, step)
        elif step is not None:
            below = (*below, *above)  # an exponent would stand beside the step: everything else goes down
            above = (rf"\langle {step}\rangle" if style == ANGLE else step,)
        return body + _script("^", above) + _script("_", below)

    def has_superscript(self, step: str | None, style: str) -> bool:
        return bool(self.sup) if style == SUBSCRIPT or step is None else True

    def _letter(self, bold: bool) -> str:
        if len(self.base) > 1 and not self.base.startswith("\\"):
            return rf"\mathbf{{{self.base}}}" if bold else rf"\mathrm{{{self.base}}}"
        return rf"\bm {self.base}" if bold and not self.base.startswith("\\") else (
            rf"\bm{self.base}" if bold else self.base)


def _script(sign: str, parts: tuple[str, ...]) -> str:
    if not parts:
        return ""
    text = ",".join(parts)
    return sign + (text if len(text) == 1 else f"{{{text}}}")


# ---------------------------------------------------------------- names as symbols

_WORD = re.compile(r"([A-Za-z]+)([0-9]*)\Z")


def read_name(name: str, known: Collection[str] = ()) -> Symbol:
    """The symbol that a name suggests. With i and f among the `known` names, `R_if` has two subscripts."""
    first, *rest = [part for part in name.split("_") if part] or [name]
    accents = tuple(part for part in rest if part in ACCENTS)
    sub = [_part(part, known) for part in rest if part not in ACCENTS]
    match = _WORD.match(first)
    if match is None:
        return Symbol(first, accents, tuple(sub))
    word, digits = match.groups()
    if digits:
        sub.insert(0, digits)
    return Symbol(rf"\{word}" if word in GREEK else word, accents, tuple(sub))


def _part(text: str, known: Collection[str]) -> str:
    """A subscript: a digit or a letter as it is, a run of the cell's letters in italics, a word upright."""
    if text.isdigit() or (len(text) == 1 and text != "t"):  # t alone is the step
        return text
    if len(text) in (2, 3) and all(letter in known for letter in text):
        return text
    if text in GREEK:
        return rf"\{text}"
    return rf"\mathrm{{{text}}}"


# ---------------------------------------------------------------- symbols in a mapping

_TOKEN = re.compile(r"\s*([A-Za-z]+|[0-9]+|[_^{}(),*])")
_SYMBOL_CURE = ("a symbol is one letter or a Greek letter's name, with 'bar', 'hat' or 'tilde', "
                "_sub and ^sup, as in 'Gamma_f', 'c tilde', 'W_{xi}'")


class BadSymbol(Exception):
    """A text in a mapping that is no symbol."""


def read_symbol(text: str, known: Collection[str] = ()) -> Symbol:
    """The symbol that a spec's mapping states."""
    return _SymbolReader(text, known).read()


class _SymbolReader:
    def __init__(self, text: str, known: Collection[str]):
        self.text, self.known = text, known
        self.tokens: list[str] = []
        end = 0
        while end < len(text.rstrip()):
            match = _TOKEN.match(text, end)
            if not match:
                raise BadSymbol(f"{text[end:].strip()[0]!r} cannot stand in a symbol")
            self.tokens.append(match[1])
            end = match.end()

    def read(self) -> Symbol:
        outer: list[str] = []
        while self._next() in ACCENTS:
            outer.insert(0, self._take())
        opened = bool(outer) and self._accept("(", "{")
        base = self._base()
        accents: list[str] = []
        sub: list[str] = []
        sup: list[str] = []
        while self.tokens:
            token = self._take()
            if opened and token in (")", "}"):
                opened = False
            elif token in ACCENTS or (token == "_" and self._next() in ACCENTS):
                accents.append(token if token in ACCENTS else self._take())
            elif token in ("_", "^"):
                (sub if token == "_" else sup).extend(self._group())
            else:
                raise BadSymbol(f"'{token}' cannot stand where it does in '{self.text}'")
        if opened:
            raise BadSymbol(f"'{self.text}' does not close what it opens")
        return Symbol(base, (*accents, *outer), tuple(sub), tuple(sup))

    def _base(self) -> str:
        word = self._take()
        if word in GREEK:
            return rf"\{word}"
        if len(word) != 1 or not word.isalpha():
            found = f"'{word}' is neither one letter nor a Greek letter's name"
            raise BadSymbol(found if word else f"'{self.text}' has no letter")
        return word

    def _group(self) -> list[str]:
        if not self._accept("{"):
            return [self._index(self._take(), in_braces=False)]
        parts = []
        while self._next() not in ("}", ""):
            token = self._take()
            if token != ",":
                parts.append(self._index(token, in_braces=True))
        if not self._accept("}"):
            raise BadSymbol(f"'{self.text}' does not close what it opens")
        if not parts:
            raise BadSymbol(f"'{self.text}' has an empty script")
        return parts

    def _index(self, token: str, in_braces: bool) -> str:
        """One index. Two letters are two indices; xi, nu, mu and pi are so in braces only."""
        if token == "*":
            return r"\star"
        if not token.isalnum():
            raise BadSymbol(f"'{token}' is no index" if token else f"'{self.text}' ends too early")
        if token.isalpha() and len(token) == 2 and (in_braces or token not in GREEK):
            return token
        return _part(token, self.known)

    def _next(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def _take(self) -> str:
        return self.tokens.pop(0) if self.tokens else ""

    def _accept(self, *tokens: str) -> bool:
        if self._next() in tokens:
            self.tokens.pop(0)
            return True
        return False


# ---------------------------------------------------------------- the notations of the literature


@dataclass(frozen=True)
class Style:
    """A notation of the literature. `lstm` and `letters` hold where the cell is an LSTM."""

    lstm: Mapping[str, Symbol]  # symbols of the values
    letters: Mapping[str, str]  # what their parameters are marked with: W_z is W_c
    accent: str = "bar"  # over what an activation is applied to
    time: str = SUBSCRIPT
    recurrent: str = "R"
    crossed: str = ""  # how W_i and R_i name what they read: "from" w_{xi}, "to" W_{ux}; "" not at all
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
    # lecture notes: a is the block input, hats over what an activation is applied to, steps as superscripts
    "hats": Style({"z": _A}, {"z": "a"}, accent="hat", time=SUPERSCRIPT, recurrent="U"),
    # Graves 2013: w_{xi}, w_{hi}, w_{ci}
    "graves": Style({"z": Symbol("g")}, {"z": "c"}, recurrent="W", crossed="from", peephole="w"),
}
PLAIN = Style({}, {})  # the names as they are: what a mapping in the spec starts from

_PARAMETER = re.compile(r"(W|R|b|p|P)_([A-Za-z])([A-Za-z]?)\Z")


def _styled(style: Style, graph: Graph, known: Mapping[str, Symbol]) -> dict[str, Symbol]:
    """The symbols that a notation gives to this cell's names, where they are free."""
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
    while True:  # a letter that the cell has given to something else stays with it
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

_SIGNS = {  # what a document uses these for, so that no scalar can look the same
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
    steps: str  # the number of steps, T where nothing else is called so

    def shape(self, expression: Expression) -> Shape:
        """The shape of an expression of this cell."""
        return shape_of(expression, self.graph.shapes)

    def value(self, name: str, step: str = "t") -> str:
        """A value's symbol. What does not change over time takes no step."""
        return self.symbols[name].spell(self.is_bold(name), self._step(name, step), self.time)

    def has_superscript(self, name: str, step: str = "t") -> bool:
        return self.symbols[name].has_superscript(self._step(name, step), self.time)

    def definition(self, name: str, lag: int = 0) -> Expression | None:
        """What is written in place of a stage that has no name, as it is `lag` steps later."""
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

    Raises `SpecError` where symbols collide, and ValueError where there is none of that name.
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
    notation = Notation(graph, symbols, definitions, style.time, _steps(graph, symbols))
    _refuse_collisions(notation, chosen, mistakes)
    mistakes.stop()
    return notation


def _symbols(
    graph: Graph, style: Style, chosen: Mapping[str, Symbol]
) -> tuple[dict[str, Symbol], dict[str, Expression]]:
    """The symbols by name, and what is written out in place of one."""
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
    """The symbol of the equation that a stage comes from, with a number: the module's where it has one."""
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
    """A call on one value that has a symbol, a product of two, or [x; h] is its own best symbol."""
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
    """W - transpose(W) is read more easily than the letter of a vector that it would get."""
    match stage.expression:
        case Sum(terms=(left, right)) if len(stage.shape) == 2 and len(graph.shapes[stage.owner]) < 2:
            parts = [part.operand if isinstance(part, Negative) else part for part in (left, right)]
            return all(isinstance(part, Value) and part.name in known for part in parts)
    return False


def _steps(graph: Graph, symbols: Mapping[str, Symbol]) -> str:
    taken = {symbol for symbol, _ in graph.dims} | {symbol.base for symbol in symbols.values()}
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
            mistakes.add(_place_in_mapping(graph, name), str(wrong), _SYMBOL_CURE)
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
    """Where the mapping speaks of a name: the spec is read again, for an error message alone."""
    root = parse_yaml(graph.spec.source, graph.spec.path)
    node = root.get("notation") if isinstance(root, YamlMapping) else None
    if isinstance(node, YamlMapping) and name in node:
        return node[name].place if of_value else node.key(name).place
    return Place(1, 1)
