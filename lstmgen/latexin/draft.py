"""The forward equations of a text -> a spec of the cell, with what was assumed in comments.

What a symbol is, its place says: what stands on a left side is a value of the cell, what is read at step t-1 is a state, what
has steps and no equation is an input, and what has no steps is a parameter. Sizes follow from the equations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..derivation.build import build_graph
from ..errors import SpecError
from ..language.expressions import Expression, Value, number, values
from ..language.names import objection
from ..language.shapes import SCALAR, Shape
from ..language.text import source
from ..printed import counted
from ..spec.reader import read as read_spec
from .algebra import Algebra, Term, Unknown
from .audit import _nothing, text_lines
from .choices import Choices
from .document import Document
from .document import load as load_document
from .faults import NotRead
from .lines import Line
from .reader import Reader, step_behind
from .symbols import Habits, Symbol, habits, nodes, read_symbol
from .tree import Fenced, Fraction, Grid, Group, Letter, Mark, Node, Root, Row, Scripted, flat

_ACTIVATIONS = ("tanh", "sigmoid")
_SIZES = ("H", "K", "M", "N")
_INPUT_SIZES = ("D", "E", "F", "G")
_GRADIENTS = ("delta", "partial", "nabla", "Delta")


@dataclass(frozen=True)
class Drafted:
    """A spec that was drafted from a text."""

    text: str
    assumed: tuple[str, ...]


@dataclass(frozen=True)
class _Forward:
    """One forward equation."""

    symbol: Symbol
    right: Row
    ahead: int  # the step of its left side
    at: int


def draft(name: str, path: str | Path, inline: bool = False) -> Drafted:
    """A spec called `name` from the file's forward equations. Raises `SpecError`, or ValueError for the name."""
    refused = objection(name)
    if refused is not None:
        raise ValueError(f"'{name}' {refused}")
    return draft_of(name, load_document(path), inline)


def draft_of(name: str, document: Document, inline: bool = False) -> Drafted:
    """The same for a document that was read."""
    lines = text_lines(document, inline)
    usual = habits([side for line in lines if isinstance(line, Line) for side in line.sides])
    found = _Draft(name, document, lines, usual)
    text = found.spec()
    try:
        build_graph(read_spec(text, f"{name}.yaml"))
    except SpecError as error:
        mistakes = document.mistakes()
        mistakes.add(document.place(found.forward[0].at), f"what was read is no cell: {error.message}",
                     error.cure or "write the equations of one step, each with one value on its left side")
        raise mistakes.error() from None
    return Drafted(text, tuple(found.assumed))


class _Draft:
    """Reads the equations one after the other; sizes become known on the way."""

    def __init__(self, name: str, document: Document, lines: Sequence[Line | NotRead], usual: Habits):
        self.name, self.document, self.usual = name, document, usual
        self.clock = usual.clock
        self.assumed: list[str] = []
        self.left_out: list[str] = []
        self.sizes = Unknown()
        self.choices = Choices()
        self.algebra = Algebra(self.sizes, self.choices)
        self.reader = Reader(self, self.algebra, self.choices)
        self.forward = self._forward(lines)
        if not self.forward:
            raise _nothing(document, list(lines))
        self.ahead = 0
        self.later = {each.symbol.key for each in self.forward if each.ahead == 1}
        self.behind = self._is_behind()
        self.names: dict[str, str] = {}  # by key
        self.shapes: dict[str, Shape] = {}
        self.steps: dict[str, set[int]] = {}  # at which lags a value is read
        self.kinds = _kinds([each.right for each in self.forward], self.clock, usual)
        self.defined = {each.symbol.key for each in self.forward}
        for each in self.forward:
            self._declare(each.symbol, (self.sizes.new(),))
        self.equations: dict[str, tuple[Expression, int]] = {}
        self.faults: dict[str, NotRead] = {}  # of equations that are not read
        for each in self.forward:
            name = self.names[each.symbol.key]
            try:
                self._read(each, name)
            except NotRead as fault:
                self.faults[name] = fault

    # ------------------------------------------------------------------ which equations

    def _forward(self, lines: Sequence[Line | NotRead]) -> list[_Forward]:
        found: dict[str, _Forward] = {}
        gradients = 0
        for line in lines:
            if isinstance(line, NotRead):
                self.left_out.append(f"{self.document.where(line.at)}: {line.reason}")
                continue
            if _is_gradient(line.sides[0]):
                gradients += 1
                continue
            symbol = self._left(line.sides[0])
            if symbol is None:
                shown = flat(line.sides[0])[:30]
                self.left_out.append(f"{self.document.where(line.at)}: '{shown}' on the left is no single value")
            elif symbol.key in found:
                self.left_out.append(f"{self.document.where(line.at)}: another equation of '{symbol.told()}'")
            else:
                found[symbol.key] = _Forward(
                    symbol, self._longest(line.sides[1:]), symbol.step.offset if symbol.step else 0, line.at)
        if gradients:
            self.left_out.append(f"{counted(gradients, 'equation')} of gradients")
        return list(found.values())

    def _is_behind(self) -> bool:
        """Whether the text writes h_{t+1} = f(h_t, x_t): then h_t is of the step before, and x_t the input of this one."""
        others = [
            symbol.step.offset for each in self.forward if each.ahead == 1 for symbol in _symbols(each.right, self.clock)
            if symbol.step is not None and symbol.key not in self.later]
        return bool(self.later) and max(others, default=0) <= 0

    def _left(self, row: Row) -> Symbol | None:
        symbol = read_symbol(row[0], self.clock) if row else None
        if symbol is None or symbol.power or symbol.transposed:
            return None
        step = step_behind(row, symbol, self.clock)
        if len(row) == 2 and step is not None:
            symbol = replace(symbol, step=step)
        elif len(row) != 1:
            return None
        return symbol if symbol.step is None or symbol.step.kind == "lag" else None

    def _longest(self, sides: Sequence[Row]) -> Row:
        """Of a chain a = b = c the side that says most of parameters."""
        def said(side: Row) -> int:
            return len({symbol.key for symbol in _symbols(side, self.clock) if symbol.step is None})

        return max(sides, key=said)

    def _read(self, forward: _Forward, name: str) -> None:
        self.ahead = forward.ahead
        term = self.reader.row(forward.right, forward.at)
        if term.blocks or term.shape and not (len(term.shape) == 1 and self.sizes.same(term.shape[0], self.shapes[name][0])):
            raise NotRead(forward.at, f"'{name}' is {self.sizes.told(self.shapes[name])} in one equation, and "
                          f"{self.sizes.told(term.shape)} here")
        if not term.shape:
            self.shapes[name] = SCALAR
        self.equations[name] = term.expression, forward.at

    # ------------------------------------------------------------------ the meaning of symbols

    def is_timed(self) -> bool:
        return self.usual.timed

    def activations(self) -> tuple[str, ...]:
        return _ACTIVATIONS

    def special(self, items: Row, at: int) -> tuple[Term, int] | None:
        first, second = items[0], items[1] if len(items) > 1 else None
        if isinstance(first, Letter) and first.text == "Delta" and isinstance(second, Letter) and second.text == "t":
            term = self.value(Symbol("Delta", first.at, marks=("t",)), "")  # the length of a step in time
            return (term, 2) if term is not None else None
        if isinstance(items[0], Mark) or isinstance(items[0], Scripted) and isinstance(items[0].base, Mark):
            raise NotRead(at, f"'{flat(items[:1])[:20]}' in a forward equation")
        return None

    def fraction(self, fraction: Fraction) -> Term | None:
        return None

    def value(self, symbol: Symbol, applied: str) -> Term | None:
        found = self._known(symbol)
        if applied == "ask":
            return Term(number(0), (), symbol.at) if found in self.defined else None
        if symbol.primes and f"{symbol.base}'" not in found:
            raise NotRead(symbol.at, f"a prime at '{symbol.told()}'")
        if found not in self.names:
            if symbol.base == "I" and not symbol.marks and symbol.step is None:
                raise NotRead(symbol.at, "I, an identity matrix: the language of specs has none", "write the sum without it")
            timed = symbol.step is not None or found in self.kinds.timed
            self._declare(replace(symbol, base=symbol.base), (self.sizes.new(),) if timed else self._static(found), found)
        name = self.names[found]
        lag = 0
        if found in self.kinds.timed or found in self.defined:
            lag = self._lag(symbol)
            self.steps.setdefault(name, set()).add(lag)
        term = Term(Value(name, lag), self.shapes[name], symbol.at)
        return self.algebra.transpose(term) if symbol.transposed or symbol.may_be_transposed else term

    def _known(self, symbol: Symbol) -> str:
        """The key of a symbol; that of x for an X where both are inputs."""
        primed = symbol.key if not symbol.primes else replace(symbol, base=symbol.base + "'" * symbol.primes).key
        small = replace(symbol, base=symbol.base.lower()).key
        if small != primed and primed not in self.defined and primed in self.kinds.timed and small in self.kinds.timed:
            self._assume(f"{symbol.base} and {symbol.base.lower()} are one value")
            return small
        return primed

    def _lag(self, symbol: Symbol) -> int:
        step = symbol.step
        if step is None:
            return 0
        if step.kind == "prev":
            return -1
        if step.kind == "next":
            return 0
        if step.kind != "lag":
            raise NotRead(symbol.at, "a step by its number in a forward equation")
        lag = step.offset - (int(symbol.key in self.later) if self.behind else self.ahead)
        if lag > 0:
            raise NotRead(symbol.at, f"'{symbol.told()}' of a later step")
        return lag

    def _static(self, key: str) -> Shape:
        match self.kinds.of(key):
            case "matrix":
                return (self.sizes.new(), self.sizes.new())
            case "vector":
                return (self.sizes.new(),)
        return SCALAR

    def _declare(self, symbol: Symbol, shape: Shape, key: str | None = None) -> None:
        made = "_".join(filter(None, (symbol.base, *symbol.accents, *(mark.replace(",", "") for mark in symbol.marks))))
        made = made.replace("'", "_prime").replace("*", "_star").replace("+", "p").replace("-", "m")
        made += "_prime" * (symbol.primes if "_prime" not in made else 0)
        made = "".join(char for char in made if char.isascii() and (char.isalnum() or char == "_"))
        while objection(made) is not None or made in self.shapes:
            longer = f"{made or 'v'}_" if made and made[0].isalpha() else f"v{made}"
            if len(longer) > 40:
                raise NotRead(symbol.at, f"'{symbol.told()[:30]}' cannot be a name")
            made = longer
        self.names[key or symbol.key] = made
        self.shapes[made] = shape

    def _assume(self, what: str) -> None:
        if what not in self.assumed:
            self.assumed.append(what)

    # ------------------------------------------------------------------ the spec

    def spec(self) -> str:
        """The text of the spec."""
        equations = {name: expression for name, (expression, _) in self.equations.items()}
        by_name = {name: key for key, name in self.names.items()}
        inputs = [name for name in self.shapes if name not in equations and name not in self.faults
                  and by_name[name] in self.kinds.timed]
        delayed = self._delayed(inputs)
        states = [name for name in equations if min(self.steps.get(name, {0})) < 0]
        if not states and self.faults:
            self._refuse_faults(set(), equations, every=True)
        if not states:
            raise self.document.mistakes().fatal(
                self.document.place(self.forward[0].at), "no equation reads a value of the step before",
                "a cell reads something at t-1, as h_{t-1}")
        output = states[-1]
        needed = _needed(output, equations)
        self._refuse_faults(needed, equations)
        for name in [name for name in equations if name not in needed]:
            self.left_out.append(f"{name}, which nothing reads: to keep it, write it into 'output:'")
        equations = {name: expression for name, expression in equations.items() if name in needed}
        states = [name for name in states if name in needed]
        read = {each.name for expression in equations.values() for each in values(expression)}
        inputs = [name for name in inputs if name in read]
        parameters = [name for name in self.shapes if name in read and name not in equations and name not in inputs]
        symbols = self._symbols(states, inputs, parameters)
        for taken in self.choices.taken:
            if taken.told:
                self._assume(taken.told)
        scalars = [name for name in parameters if not self.shapes[name]]
        if scalars:
            self._assume(f"{', '.join(scalars)}: a learned number each; a fixed one belongs into 'constants:'")
        return self._text(equations, states, inputs, parameters, output, symbols, delayed)

    def _refuse_faults(self, needed: set[str], equations: dict[str, Expression], every: bool = False) -> None:
        """Raises if an equation that the cell needs is not read."""
        mistakes = self.document.mistakes()
        read = {each.name for name in needed for each in values(equations[name])}
        for name, fault in self.faults.items():
            if name in read or every:
                mistakes.add(self.document.place(fault.at), f"the equation of '{name}' is not read: {fault.reason}",
                             fault.cure or None)
            else:
                self.left_out.append(f"the equation of '{name}', which is not read: {fault.reason}")
        mistakes.stop()

    def _delayed(self, inputs: list[str]) -> dict[str, str]:
        """States that keep the input of the step before, where it is read."""
        made: dict[str, str] = {}
        for name in inputs:
            if 0 not in self.steps.get(name, {0}):
                raise self.document.mistakes().fatal(
                    self.document.place(self.forward[0].at), f"'{name}' is read at an earlier step, and no equation gives it",
                    "a spec needs the equation of every state")
            if min(self.steps.get(name, {0})) < -1:
                raise self.document.mistakes().fatal(
                    self.document.place(self.forward[0].at), f"'{name}' of more than one step before is read",
                    "keep it in states of its own")
            if min(self.steps.get(name, {0})) < 0:
                made[name] = f"{name}_before"
                self._assume(f"{name}_before keeps {name} for the next step")
        return made

    def _symbols(self, states: list[str], inputs: list[str], parameters: list[str]) -> dict[str, str]:
        """A letter for every size that is not known: H of the states, D of the inputs."""
        letters: dict[str, str] = {}
        self.keywords: dict[str, str] = {}
        free = {"state": list(_SIZES), "input": list(_INPUT_SIZES), "other": ["P", "Q", "R", "S", "U", "V"]}
        for kind, group in (("state", states), ("input", inputs), ("other", parameters)):
            for name in group:
                for size in self.shapes[name]:
                    for symbol in self.sizes.resolved(size).symbols:
                        if symbol not in letters:
                            usable = [each for each in free[kind] if each not in (*self.shapes, *letters.values())]
                            letter = usable[0] if usable else f"S{len(letters)}"
                            first = {"state": "hidden_size", "input": "input_size"}.get(kind, "")
                            taken = not first or first in self.keywords.values()
                            self.keywords[letter] = f"size_{letter.lower()}" if taken else first
                            letters[symbol] = letter
        return letters

    def _shape(self, name: str, symbols: dict[str, str]) -> str:
        sizes = []
        for size in self.shapes[name]:
            known = self.sizes.resolved(size)
            sizes.append(known.written(symbols.__getitem__))
        return f"[{', '.join(sizes)}]"

    def _text(
        self, equations: dict[str, Expression], states: list[str], inputs: list[str], parameters: list[str],
        output: str, symbols: dict[str, str], delayed: dict[str, str],
    ) -> str:
        def shape(name: str) -> str:
            return self._shape(name, symbols)

        file = Path(self.document.path).name
        text = f"# {self.name}: drafted from the equations of {_plain(file)}. Look at it, then build it with\n#\n"
        text += f"#     lstmgen build {self.name}.yaml\n"
        for head, lines in (("Assumed:", self.assumed), ("Left out:", self.left_out)):
            text += "".join(["#\n", f"# {head}\n", *(f"# - {_plain(line)}\n" for line in lines)]) if lines else ""
        dims = ", ".join(f"{letter}: {self.keywords[letter]}" for letter in sorted(symbols.values()))
        text += f"\nname: {self.name}\n" + (f"dims: {{{dims}}}\n" if dims else "")
        if inputs:
            text += f"inputs: {{{', '.join(f'{name}: {shape(name)}' for name in inputs)}}}\n"
        kept = [*(f"{name}: {shape(name)}" for name in states),
                *(f"{state}: {shape(name)}" for name, state in delayed.items() if name in inputs)]
        text += f"state: {{{', '.join(kept)}}}\n"
        if parameters:
            text += "\nparameters:\n" + "".join(f"  {name}: {shape(name)}\n" for name in parameters)
        text += "\nequations:\n"
        for name, expression in equations.items():
            said = source(expression)
            for before, state in delayed.items():
                said = said.replace(f"{before}[t-1]", f"{state}[t-1]")
            text += f"  {name}: {said}  # {self.document.where(self.equations[name][1])}\n"
        text += "".join(f"  {state}: {name}\n" for name, state in delayed.items() if name in inputs)
        return f"{text}\noutput: {output}\n"


def _plain(text: str) -> str:
    """A text that can stand in a comment."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _needed(output: str, equations: dict[str, Expression]) -> set[str]:
    found: set[str] = set()
    ahead = [output]
    while ahead:
        name = ahead.pop()
        if name in equations and name not in found:
            found.add(name)
            ahead += [value.name for value in values(equations[name])]
    return found


def _is_gradient(row: Row) -> bool:
    """Whether a left side is one of a derivation: a delta, a derivative, a nabla, dW."""
    first = row[0]
    core: Node = first
    while isinstance(core, Scripted):
        core = core.base
    if isinstance(first, Fraction):
        return bool(first.top) and _is_gradient(first.top)
    if isinstance(core, (Mark, Letter)) and core.text in _GRADIENTS:
        return True
    return isinstance(first, Letter) and first.text == "d" and len(row) > 1


# ---------------------------------------------------------------- what a symbol without steps is


@dataclass(frozen=True)
class _Kinds:
    """How the symbols of a text are used."""

    timed: frozenset[str]  # keys of those with steps
    uses: dict[str, set[str]]  # of those without: before | times | after | entries | alone
    letters: dict[str, Symbol]
    bold: bool  # whether vectors are bold

    def of(self, key: str) -> str:
        """matrix, vector or scalar."""
        symbol, uses = self.letters.get(key), self.uses.get(key, set())
        if symbol is None:
            return "scalar"
        if symbol.base[0].isupper():
            return "matrix" if uses & {"before", "times", "after"} and "entries" not in uses else "vector"
        greek = len(symbol.base) > 1
        if greek and not symbol.bold or self.bold and not symbol.bold and not symbol.marks and symbol.base not in "bpw":
            return "vector" if "entries" in uses else "scalar"
        return "vector"


def _kinds(rows: Sequence[Row], clock: str, usual: Habits) -> _Kinds:
    timed: set[str] = set()
    uses: dict[str, set[str]] = {}
    letters: dict[str, Symbol] = {}
    bold = 0
    for row in _all_rows(rows):
        for position, node in enumerate(row):
            symbol = _symbol(node, clock)
            if symbol is None:
                continue
            key = symbol.key if not symbol.primes else replace(symbol, base=symbol.base + "'" * symbol.primes).key
            if symbol.step is not None or step_behind(row[position:], symbol, clock) is not None:
                timed.add(key)
                bold += 1 if symbol.bold else -1
                continue
            letters.setdefault(key, symbol)
            uses.setdefault(key, set()).add(_use(row, position))
    return _Kinds(frozenset(timed), uses, letters, bold > 0)


def _use(row: Row, position: int) -> str:
    """How a symbol stands in its row."""
    behind = row[position + 1] if position + 1 < len(row) else None
    before = row[position - 1] if position else None
    for each in (behind, before):
        if isinstance(each, Mark) and each.text == "odot":
            return "entries"
    if isinstance(behind, Mark):
        return "times" if behind.text in ("cdot", "*", "times", "star") else "after" if _ends_factor(before) else "alone"
    if behind is not None:
        return "before"
    return "after" if _ends_factor(before) else "alone"


def _ends_factor(node: Node | None) -> bool:
    return isinstance(node, (Scripted, Fenced, Group, Letter, Grid))


def _all_rows(rows: Sequence[Row]) -> list[Row]:
    """Every row of nodes beside each other, but for those in scripts and of functions' names."""
    found = list(rows)
    for node in nodes(list(rows)):
        match node:
            case Fenced(items=items) | Group(items=items):
                found.append(items)
            case Fraction(top=top, bottom=bottom):
                found += [top, bottom]
            case Root(body=body):
                found.append(body)
            case Grid(rows=cells):
                found += [cell for line in cells for cell in line]
    return found


def _symbol(node: Node, clock: str) -> Symbol | None:
    try:
        return read_symbol(node, clock)
    except NotRead:
        return None


def _symbols(row: Row, clock: str) -> list[Symbol]:
    return [symbol for each in _all_rows([row]) for node in each if (symbol := _symbol(node, clock)) is not None]
