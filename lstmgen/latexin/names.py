"""What the symbols of a text mean: the names of a cell, the notations of the literature, and what is usual besides.

A table leads from the key of a symbol (its letter, accents and scripts; not its step) to a name of the cell. What was said
first holds: `--names`, then a notation, then the spec's own names, then what is usual in the field and still free.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..derivation.graph import Graph, Stage
from ..document.notation import STYLES, make_notation
from ..document.symbols import Symbol as Printed
from ..document.symbols import read_name
from ..errors import SpecError
from ..language.expressions import Call, Expression, MatVec, Product, Sum, Value, values, walk
from ..language.shapes import Shape
from .symbols import Symbol, key, split_step

PLAIN = ""
NOTATIONS = (PLAIN, *STYLES)
LOSSES = ("E", "L", "J", "Error", "Loss", "ell", "loss", "C", "error", "Cost", "cost", "epsilon")
_INNER_BASES = ("z", "a", "s", "net", "u", "sum", "q", "in", "pre", "v")


@dataclass(frozen=True)
class Found:
    """What a symbol means."""

    name: str  # of the cell, with `_pre` for a pre-activation and `d_` for a gradient that --names gives
    symbol: Symbol  # with its step
    sure: bool  # the spec, a chosen notation or --names says so


@dataclass(frozen=True)
class _Role:
    """What a parameter does: it multiplies `source` in the equation of `owner`."""

    name: str
    owner: str
    source: str  # "" of a bias
    matrix: bool


class Names:
    """The symbols of one cell in one notation."""

    def __init__(
        self, graph: Graph, notation: str, given: Mapping[str, str], clock: str, chosen: bool, present: Collection[str]
    ):
        """`given`: keys of symbols and what they mean. `chosen`: somebody asked for this notation. `present`: the keys of
        the text's symbols. A value has one symbol in a text: where it has that of the notation, no other is tried."""
        self.present = present
        self.graph, self.notation, self.clock = graph, notation, clock
        self.shapes: dict[str, Shape] = {
            name: shape for name, shape in graph.shapes.items() if graph.loss is None or name != graph.loss}
        stages = [stage for stage in graph.stages if stage.name != graph.loss]
        self.pres = {stage.name: f"{stage.name}_pre" for stage in stages if _has_pre(graph, stage)}
        for name, inner in self.pres.items():
            self.shapes[inner] = graph.shapes[name]
        self.roles = tuple(_roles(graph))
        self.own = [name for name in _named(graph) if name != graph.loss]
        self.table: dict[str, tuple[str, bool]] = {}
        for text, meaning in given.items():
            self.table[text] = (meaning, True)
        if notation:
            for name, symbol in self._styled(notation):
                self._enter(symbol, name, chosen)
        renamed = {meaning for meaning, _ in self.table.values()}
        for name in self.own:
            self._enter(read_name(name, self.own), name, name not in renamed)
            self.table.setdefault(key(name, (), ()), (name, name not in renamed))
        if not notation and isinstance(graph.spec.notation, tuple):
            for name, symbol in self._styled(None):
                self._enter(symbol, name, True)
        for made, name in self._usual():
            self.table.setdefault(made, (name, False))

    def _styled(self, notation: str | None) -> Iterator[tuple[str, Printed]]:
        try:
            symbols = make_notation(self.graph, notation).symbols
        except (SpecError, ValueError):
            return
        for name, symbol in symbols.items():
            if name in self.own or name in self.pres.values():
                yield name, symbol

    def _enter(self, symbol: Printed, name: str, sure: bool) -> None:
        if name in self.shapes:
            made = key(symbol.base.lstrip("\\"), symbol.accents, tuple(map(_bare, (*symbol.sub, *symbol.sup))))
            self.table.setdefault(made, (name, sure))

    # ------------------------------------------------------------------ looking up

    def find(self, symbol: Symbol) -> Found | None:
        """What a symbol means; None if it is not known."""
        entry = self._entry(symbol)
        if entry is not None:
            return Found(*entry[:1], symbol, entry[1])
        split = split_step(symbol, self.clock)
        if split is not None:
            entry = self._entry(split)
            if entry is not None and entry[0] not in self.graph.static:
                return Found(entry[0], split, entry[1])
        return None

    def _entry(self, symbol: Symbol) -> tuple[str, bool] | None:
        primed = symbol if not symbol.primes else replace(symbol, base=symbol.base + "'" * symbol.primes)
        for each in (primed, replace(primed, marks=primed.marks[::-1]) if len(primed.marks) > 1 else None):
            if each is not None and each.key in self.table:
                return self.table[each.key]
        return None

    def beside(self, matrix: str, source: str) -> str | None:
        """The matrix that multiplies another value in the same equation: R_f beside W_f."""
        owners = {role.owner for role in self.roles if role.name == matrix and role.matrix}
        found = {role.name for role in self.roles if role.matrix and role.owner in owners and role.source == source}
        return found.pop() if len(found) == 1 else None

    def is_loss(self, symbol: Symbol) -> bool:
        others = [mark for mark in symbol.marks if mark not in ("total", "tot")]
        return symbol.base in LOSSES and self.find(symbol) is None and not others

    def pre(self, name: str) -> str | None:
        """The name of a value's pre-activation, if it has one."""
        return self.pres.get(name)

    # ------------------------------------------------------------------ what is usual

    def _usual(self) -> Iterator[tuple[str, str]]:
        """Symbols that texts use, with the name that each would mean, where the symbol is still free."""
        marks = {name: self._marks(name) for name in self.own}
        said = {meaning for made, (meaning, _) in self.table.items() if made in self.present}
        for name in self.own:
            letters = [made for made in self._other_letters(name) if made not in self.table and made in self.present]
            if name in self.graph.inputs:
                yield from ((made, name) for made in letters)  # x and X for one input
            elif name not in said and letters:
                yield letters[0], name
        for name, inner in self.pres.items():
            yield from ((made, inner) for made in self._inner_symbols(name, marks[name]))
        for role in self.roles:
            yield from ((made, role.name) for made in _role_symbols(role, self.roles, marks, self.graph))

    def _marks(self, name: str) -> list[str]:
        """How scripts may name a value."""
        found = [key_of for key_of, (meaning, _) in self.table.items() if meaning == name]
        texts = [name]
        for text in [*found, *self._other_letters(name)]:
            accents, base, marks = text.split(":")
            texts += [marks] if marks and len(base) > 1 and base != name else [base]
        shown = list(dict.fromkeys(text for text in texts if text))
        words = {"i": "in", "f": "for", "o": "out"}
        return [*shown, *([words[name]] if name in words else [])]

    def _other_letters(self, name: str) -> list[str]:
        """Other letters for a value of an LSTM, a GRU or an RNN."""
        graph, letters = self.graph, []
        lstm = {"c", "h"} <= set(graph.states) or {"c", "y"} <= set(graph.states)
        if lstm and name == _block_input(graph):
            letters = [key("c", ("tilde",), ()), key("C", ("tilde",), ()), key("g", (), ()), key("c", ("hat",), ()),
                       key("a", (), ()), key("u", (), ()), key("z", (), ()), key("j", (), ()), key("c", ("bar",), ()),
                       key("g", ("tilde",), ()), key("C", ("hat",), ()), key("c'", (), ()), key("C", ("bar",), ()),
                       key("z", ("tilde",), ())]
        elif name in graph.states and "gru" not in graph.spec.name and lstm and name == graph.outputs[0]:
            letters = [key("h", (), ()), key("y", (), ()), key("m", (), ())]
        elif len(graph.states) == 1 and name in graph.states:
            letters = [key("h", (), ()), key("s", (), ()), key("y", (), ())]
        elif len(graph.states) == 1 and _is_candidate(graph, name):
            letters = [key("h", ("tilde",), ()), key("h", ("hat",), ()), key("h", ("bar",), ()), key("h'", (), ()),
                       key("g", (), ()), key("n", (), ()), key("c", (), ()), key("c", ("tilde",), ()),
                       key("s", ("tilde",), ())]
        elif len(graph.states) == 1 and name == "z":
            letters = [key("u", (), ()), key("Gamma", (), ("u",)), key("f", (), ())]
        elif len(graph.states) == 1 and name == "r":
            letters = [key("Gamma", (), ("r",))]
        if len(name) == 1 and name.islower():
            letters.append(key(name.upper(), (), ()))
        return letters

    def _inner_symbols(self, name: str, marks: list[str]) -> Iterator[str]:
        texts = [read_name(name, self.own)]
        for text in texts:
            scripts = tuple(map(_bare, (*text.sub, *text.sup)))
            base = text.base.lstrip("\\")
            for accent in ("bar", "hat", "tilde"):
                yield key(base, (*text.accents, accent), scripts)
            if base[0].isupper() and text.base.startswith("\\"):
                yield key(base.lower(), text.accents, scripts)  # \gamma_f of \Gamma_f
            yield key(base, text.accents, (*scripts, "pre"))
        for made in self._other_letters(name):
            accents, base, mark = made.split(":")
            for accent in ("bar", "hat"):
                yield key(base, (*filter(None, accents.split(".")), accent), (mark,))
        for base in _INNER_BASES:
            for mark in marks:
                yield key(base, (), (mark,))


def _bare(script: str) -> str:
    """A script of a printed symbol without commands."""
    return re.sub(r"\\mathrm\{(\w+)\}", r"\1", script).replace("\\star", "*").replace("\\", "").strip("()")


def _named(graph: Graph) -> list[str]:
    stages = [stage.name for stage in graph.stages if stage.owner == stage.name]
    return list(dict.fromkeys((*graph.inputs, *graph.targets, *graph.states, *graph.parameters, *stages)))


def _has_pre(graph: Graph, stage: Stage) -> bool:
    """Whether a stage is one call of an activation, so that `NAME_pre` can be said of it."""
    if stage.owner != stage.name:
        return False
    inner = graph.find(f"{stage.name}_pre")
    if inner is not None and inner.owner == stage.name:
        return True
    return isinstance(stage.expression, Call) and len(stage.expression.arguments) == 1 and (
        isinstance(stage.expression.arguments[0], Value)) and stage.expression.function != "transpose"


def _block_input(graph: Graph) -> str | None:
    """The value of an LSTM that comes through tanh into the cell."""
    named = _named(graph)
    for name in ("z", "a", "g", "c_tilde", "C_tilde", "u", "j", "c_bar", "n"):
        if name in named and name not in graph.states and name not in graph.inputs:
            return name
    return None


def _is_candidate(graph: Graph, name: str) -> bool:
    stage = graph.find(name)
    return stage is not None and name not in graph.states and isinstance(stage.expression, Call) and (
        stage.expression.function == "tanh")


# ---------------------------------------------------------------- parameters


def _roles(graph: Graph) -> Iterator[_Role]:
    """What each parameter does in the equations."""
    whole = {stage.name: stage for stage in graph.stages}
    seen: set[_Role] = set()
    for stage in graph.stages:
        for node in walk(stage.expression):
            for name, source, matrix in _uses(node, graph, whole):
                role = _Role(name, stage.owner, source, matrix)
                if role not in seen:
                    seen.add(role)
                    yield role


def _uses(node: Expression, graph: Graph, whole: Mapping[str, Stage]) -> Iterator[tuple[str, str, bool]]:
    match node:
        case MatVec(matrix=Value(name=name), vector=vector) if name in graph.parameters:
            read = [value.name for value in values(_opened(vector, graph, whole)) if value.name not in graph.parameters]
            yield name, read[0] if len(read) == 1 else _moving(read, graph), True
        case Sum(terms=terms):
            for term in terms:
                if isinstance(term, Value) and term.name in graph.parameters:
                    yield term.name, "", False
        case Product(factors=(Value(name=one), Value(name=other))):
            if one in graph.parameters and other not in graph.parameters:
                yield one, other, False
            elif other in graph.parameters and one not in graph.parameters:
                yield other, one, False


def _opened(vector: Expression, graph: Graph, whole: Mapping[str, Stage]) -> Expression:
    """What stands for a stage without a name of its own."""
    if isinstance(vector, Value) and vector.name in whole and whole[vector.name].owner != vector.name:
        return whole[vector.name].expression
    return vector


def _moving(read: list[str], graph: Graph) -> str:
    """Of several values that are read, the state: r * h[t-1] is a way to read h."""
    states = [name for name in read if name in graph.states]
    return states[0] if len(states) == 1 and not [name for name in read if name in graph.inputs] else ""


def _role_symbols(
    role: _Role, roles: Sequence[_Role], marks: Mapping[str, list[str]], graph: Graph
) -> Iterator[str]:
    owners = marks.get(role.owner, [role.owner])
    alone = sum(each.source == role.source and each.matrix == role.matrix for each in roles) == 1
    if not role.source and not role.matrix:
        for mark in owners:
            yield key("b", (), (mark,))
            yield key("beta", (), (mark,))
        if alone:
            yield key("b", (), ())
        return
    recurrent = role.source not in graph.inputs
    sources = [*marks.get(role.source, [role.source]), *(("h",) if recurrent and role.source in graph.outputs else ())]
    if role.source in graph.inputs:
        sources.append("i")
    bases: tuple[str, ...]
    plain: tuple[str, ...]
    if not role.matrix:  # a peephole
        bases, plain = ("p", "w", "W", "P", "V", "v"), ("p", "P", "V", "v")
        sources = [*sources, "c"]
    elif recurrent:
        bases, plain = ("W", "U", "R", "w", "V", "u"), ("U", "R", "V", "u")
    else:
        bases, plain = ("W", "U", "w", "V"), ("W", "w")
    if role.matrix and not role.source:
        bases, plain = ("W", "U"), ("W",)
    for base in bases:
        for mark in owners:
            for source in dict.fromkeys(sources):
                if source:
                    yield key(base, (), (source, mark))
                    yield key(base, (), (mark, source))
    for base in plain:
        for mark in owners:
            yield key(base, (), (mark,))
    if alone:
        for base in plain:
            yield key(base, (), ())
        for source in dict.fromkeys(sources):
            yield key("W", (), (source,))
