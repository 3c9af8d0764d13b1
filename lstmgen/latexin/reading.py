"""The equations of a text -> claims in the names of one cell, in one notation.

An equation that can be read in several ways is read in all of them. What the whole text has in common (what `next` means,
whether a delta is the gradient before an activation) is decided once, by the number of equations that hold; it is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..auditing.case import UNFIT, Case
from ..auditing.forms import FARTHEST, PARTIAL, STEP, SUM_T, TOTAL, VIA, is_number, lag_to
from ..auditing.resolver import Resolver
from ..auditing.scenes import Scenes
from ..auditing.spelling import Spelling
from ..auditing.view import Unsayable, View
from ..derivation.graph import Graph
from ..errors import Mistakes, Place, Text
from ..language.expressions import Adjoint, Call, Expression, Outside, Value, transform, walk
from ..language.shapes import Shape
from .algebra import Misfit, Term, transposed
from .choices import Choices, Key, Taken, readings
from .faults import NotRead
from .lines import Line
from .meanings import CellMeanings
from .names import Names
from .reader import Unknown
from .symbols import Habits, Symbol, read_symbol, symbols_of
from .tree import Row
from .values import Cell, Definition

_EVERY_STEP = re.compile(r"(.*[<>]=?)?t([<>\u2208]|in).*|(1[<>]=?)?t<=?T|t|(forall|all|each|every|otherwise|else).*")
_OF_THE_TEXT = (
    "next", "gradient of next", "gradient of prev", "pre", "function", "pair", "loss", "derivative", "T", "raised", "layout")
"""Questions that have one answer in a whole text."""


@dataclass(frozen=True)
class Said:
    """An equation in the language of claims."""

    subject: Expression
    said: Expression
    taken: tuple[Taken, ...] = ()
    remarks: tuple[str, ...] = ()
    holds: bool = False

    def told(self) -> str:
        """What was decided, as sentences."""
        silent = ("behind the activation",)
        texts = [each.told for each in self.taken if each.told and not each.told.endswith(silent)]
        return "; ".join(dict.fromkeys((*texts, *self.remarks)))


@dataclass(frozen=True)
class Equation:
    """An equation of the text, with all ways to read it."""

    at: int
    ways: tuple[Said, ...] = ()
    fault: NotRead | None = None  # why there is no way
    defines: str = ""  # what it says instead of a claim: a symbol and what it stands for

    def best(self) -> Said:
        """The first way in which it holds, else the usual one."""
        return next((way for way in self.ways if way.holds), self.ways[0])


class Judged:
    """What of a cell is asked again and again: whether a claim holds, and the shape of a derivative."""

    def __init__(self, graph: Graph, steps: int, scenes: Scenes | None = None):
        self.graph, self.steps = graph, steps
        self.scenes = scenes or Scenes(graph)
        self.spelling = Spelling(graph)
        self._read: dict[Expression, Expression | str] = {}
        self._held: dict[tuple[Expression, Expression], bool] = {}
        self._shapes: dict[Expression, Shape | None] = {}

    def resolved(self, expression: Expression) -> Expression | str:
        """The expression as a claim of this text would have it; a message where it cannot be one."""
        if expression not in self._read:
            text = self.spelling(expression)
            mistakes = Mistakes("", text)
            read = Resolver(self.graph, {}, self.steps, mistakes).read(Text(text, Place(1, 1)))
            self._read[expression] = mistakes.error().message if read is None else read
        return self._read[expression]

    def holds(self, subject: Expression, said: Expression) -> bool:
        """Whether a claim holds, in float64."""
        if (subject, said) not in self._held:
            self._held[subject, said] = self._holds(subject, said)
        return self._held[subject, said]

    def _holds(self, subject: Expression, said: Expression) -> bool:
        try:
            case = Case(self.scenes, self.spelling, self.steps, subject, said)
            return case.unsayable() is None and case.fits_and_holds()
        except UNFIT:
            return False

    def shape_of(self, derivative: Expression) -> Shape | None:
        """The shape of a derivative of one value by another."""
        if derivative not in self._shapes:
            read = self.resolved(derivative)
            try:
                view = View.everywhere(self.scenes.usual(self.steps))
                self._shapes[derivative] = None if isinstance(read, str) else view.shape(read)
            except (Unsayable, *UNFIT):
                self._shapes[derivative] = None
        return self._shapes[derivative]


@dataclass
class Pass:
    """One way to read a whole text."""

    names: Names
    judged: Judged
    habits: Habits
    turned: bool = False
    equations: list[Equation] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)  # what symbols turned out to mean

    @property
    def score(self) -> tuple[int, int]:
        """How many equations hold, and (negative) how many are not read."""
        return sum(any(way.holds for way in each.ways) for each in self.equations), -sum(
            each.fault is not None for each in self.equations)

    @property
    def has_misfits(self) -> bool:
        return any(isinstance(each.fault, Misfit) for each in self.equations)


def read_all(lines: Sequence[Line | NotRead], names: Names, judged: Judged, habits: Habits, turned: bool) -> Pass:
    """All equations of a text, in one notation. `turned`: matrices are the transposed ones."""
    run = Pass(names, judged, habits, turned)
    rows = [side for line in lines if isinstance(line, Line) for side in line.sides]
    accented = any((found := names.find(symbol)) is not None and found.name in names.pres.values() and symbol.accents
                   for symbol in symbols_of(rows, names.clock))
    fixed: dict[Key, int] = {("pre", "delta"): 0, ("pre", "d"): 0} if accented else {}
    run.equations = _Text(run, lines, fixed).equations()
    chosen = _of_the_text(run.equations)
    if chosen:
        run.equations = _Text(run, lines, {**fixed, **chosen}).equations()
    return run


def _of_the_text(equations: Sequence[Equation]) -> dict[Key, int]:
    """The answers with which most equations hold, to the questions that several ways leave open."""
    votes: dict[Key, Counter[int]] = {}
    for equation in equations:
        for key in {each.key for way in equation.ways for each in way.taken if each.key[0] in _OF_THE_TEXT and each.of > 1}:
            holding = {each.answer for way in equation.ways if way.holds for each in way.taken if each.key == key}
            votes.setdefault(key, Counter()).update(holding)
    return {key: min(count, key=lambda answer: (-count[answer], answer)) for key, count in votes.items() if count}


class _Stacked(Exception):
    """Both sides are stacks of so many parts: they are compared part by part."""

    def __init__(self, height: int):
        super().__init__(height)
        self.height = height


class _Instance(NotRead):
    """One side is about any step, the other about a step by its number."""


class _Text:
    """Reads the equations of a text one after the other; what it defines serves those that follow."""

    def __init__(self, run: Pass, lines: Sequence[Line | NotRead], fixed: dict[Key, int]):
        self.run, self.lines, self.fixed = run, lines, fixed
        self.names, self.judged = run.names, run.judged
        self.definitions: dict[str, Definition] = {}
        self.joins = False  # whether the text has matrices side by side that the cell has not
        self.cell = Cell(self.names, self.judged.steps, self.judged.shape_of, run.habits.timed, run.habits.raised,
                         self.definitions, run.turned)

    def equations(self) -> list[Equation]:
        found = []
        for line in self.lines:
            if isinstance(line, NotRead):
                found.append(Equation(line.at, fault=line))
                continue
            left = line.sides[0]
            for side in line.sides[1:]:
                try:
                    equation = self._equation(line, left, side)
                except _Stacked as stacked:
                    found += [self._equation(line, left, side, part) for part in range(stacked.height)]
                    continue
                found.append(equation)
                if isinstance(equation.fault, _Instance):
                    left = side  # what follows is about that step, too
        return found

    def _equation(self, line: Line, left: Row, right: Row, part: int | None = None) -> Equation:
        """One equation. `part`: the part of two stacks that are equal. Raises `_Stacked` if that has to be said."""
        ways: dict[tuple[Expression, Expression], Said] = {}
        fault: NotRead | None = None
        for result, taken in readings(lambda choices: self._say(line, left, right, choices, part), self.fixed):
            if isinstance(result, NotRead):
                fault = fault or result
                continue
            said = self._resolved(result, taken)
            if isinstance(said, NotRead):
                fault = fault or said
            elif (said.subject, said.said) not in ways:
                ways[said.subject, said.said] = said
        if ways:
            return Equation(line.at, tuple(ways.values()))
        assert fault is not None
        defined = self._defined(line, left, right) if self._is_new(left, fault) else None
        return defined or self._literal(line, left, right, fault)

    def _is_new(self, left: Row, fault: NotRead) -> bool:
        """Whether the left side is a symbol that the text defines: it is unknown, or was only guessed and does not fit."""
        symbol = _symbol_of(left, self.names.clock)
        if symbol is None or symbol.key in self.definitions:
            return False
        if isinstance(fault, Unknown):
            return symbol.key == fault.symbol.key
        found = self.names.find(symbol)
        return isinstance(fault, Misfit) and found is not None and not found.sure

    def _resolved(self, said: Said, taken: tuple[Taken, ...]) -> Said | NotRead:
        subject, right = self.judged.resolved(said.subject), self.judged.resolved(said.said)
        for each in (subject, right):
            if isinstance(each, str):
                return NotRead(0, each)
        assert not isinstance(subject, str) and not isinstance(right, str)
        if subject == right:
            said = replace(said, remarks=(*said.remarks, "both sides are read as the same"))
        return replace(said, subject=subject, said=right, taken=taken, holds=self.judged.holds(subject, right))

    def _literal(self, line: Line, left: Row, right: Row, fault: NotRead) -> Equation:
        """An equation whose shapes do not fit, if all of its symbols are sure: then it is wrong as it stands."""
        if not isinstance(fault, Misfit) or self.joins:
            return Equation(line.at, fault=fault)
        try:
            said = self._say(line, left, right, Choices((), self.fixed), lenient=True)
        except (NotRead, _Stacked):
            return Equation(line.at, fault=fault)
        found = self._resolved(said, ()) if said.remarks != ("unsure",) else fault
        if isinstance(found, NotRead):
            return Equation(line.at, fault=fault)
        return Equation(line.at, (found,))

    # ------------------------------------------------------------------ one reading

    def _say(
        self, line: Line, left: Row, right: Row, choices: Choices, part: int | None = None, lenient: bool = False
    ) -> Said:
        meanings = CellMeanings(self.cell, choices, lenient)
        meanings.on_left = True
        above = meanings.reader.row(left, line.at)
        meanings.on_left = False
        if isinstance(_bare(above.expression), Value) and not above.parts:
            self._check_subject(above)
        below = meanings.reader.row(right, right[0].at)
        if above.parts and len(above.parts) == len(below.parts):
            if part is None:
                raise _Stacked(len(above.parts))
            above, below = above.parts[part], below.parts[part]
        above, below = self._apart(above, below, meanings, part)
        if not self._is_subject(above) and self._is_subject(below) and not line.adds:
            above, below = below, above
        self._check_subject(above)
        subject, said, remarks = self._facing(above, below, lenient)
        self.joins = self.joins or meanings.joins
        if lenient and not meanings.sure:
            remarks = ("unsure",)
        if line.adds and not (isinstance(subject, Adjoint) and subject.name in self.judged.graph.static):
            subject, told = self._added(subject, choices, line.at)
            remarks = (*remarks, told)
        step = self.judged.steps if meanings.at_last else self._step_of(line)
        if step is not None:
            subject, said = self._at_step(subject, step), self._at_step(said, step)
        _check_steps(subject, said, self.judged.graph.static, line.at)
        return Said(subject, said, remarks=remarks)

    def _apart(self, above: Term, below: Term, meanings: CellMeanings, part: int | None) -> tuple[Term, Term]:
        """dW = d [h; x]^T of a cell with a matrix for each of h and x: one equation for each. Raises `_Stacked`."""
        match above.expression, below.expression:
            case Adjoint(name=name), Call(function="outer", arguments=(one, Call(function="concat", arguments=parts))):
                if above.shape == below.shape or name not in self.judged.graph.parameters:
                    return above, below
                read = [Term(each, self.names.shapes[each.name], above.at) for each in parts if isinstance(each, Value)]
                names = [meanings.matrix_of(name, each) for each in read]
                if len(read) < len(parts) or None in names:
                    return above, below
                if part is None:
                    raise _Stacked(len(parts))
                mine = str(names[part])
                outer = Call("outer", (one, read[part].expression))
                return (Term(Adjoint(mine), self.names.shapes[mine], above.at),
                        Term(outer, self.names.shapes[mine], below.at))
        return above, below

    def _is_subject(self, term: Term) -> bool:
        try:
            self._check_subject(term)
        except NotRead:
            return False
        return True

    def _check_subject(self, term: Term) -> None:
        match _bare(term.expression):
            case Value(name=name) if name in self.judged.graph.parameters:
                raise NotRead(term.at, f"'{name}' is a parameter: no equation gives it")
            case Value(name=name) if name in self.judged.graph.inputs or name in self.judged.graph.targets:
                raise NotRead(term.at, f"'{name}' comes from outside: no equation gives it")
            case Value(lag=lag) if lag == lag_to(0):
                raise NotRead(term.at, "what a state starts from is the caller's: no equation gives it")
            case Value() | Adjoint() | Outside():
                return
            case Call(function=function, arguments=arguments):
                if function in (VIA, PARTIAL, TOTAL) or function == SUM_T and isinstance(arguments[0], Adjoint):
                    return
        raise NotRead(term.at, "neither side is a single value, gradient or derivative")

    def _facing(self, above: Term, below: Term, lenient: bool) -> tuple[Expression, Expression, tuple[str, ...]]:
        """Both sides in our orientation, if their shapes fit."""
        remarks: list[str] = []
        subject, said, shape = above.expression, below.expression, above.shape
        if isinstance(subject, Call) and subject.function == "transpose":
            subject, said, shape = subject.arguments[0], transposed(said), shape[::-1]
            below = replace(below, shape=below.shape[::-1])
        if below.shape and below.shape != shape and not lenient:
            if len(shape) == 2 and below.shape == shape[::-1] and self._turns(subject):
                said = transposed(said)
                remarks.append("it is read in the layout of the transposed matrix")
            elif not (_is_derivative(subject) and {len(shape), len(below.shape)} == {1, 2} and shape[0] == below.shape[-1]):
                told = self.judged_sizes
                raise Misfit(above.at, f"the left side is {told(above.shape)}, the right side {told(below.shape)}")
        if len(shape) == 1 and above.row != below.row and below.shape:
            remarks.append("a row is read as a column")
        if not below.shape and len(shape) == 2 and isinstance(subject, Adjoint):
            raise Misfit(above.at, "the left side is a matrix, the right side a number")
        return subject, said, tuple(remarks)

    def _turns(self, subject: Expression) -> bool:
        """Whether a matrix in the other layout is no mistake: its sizes differ, and it is a whole gradient."""
        return isinstance(subject, Adjoint) and self.run.turned

    @staticmethod
    def judged_sizes(shape: Shape) -> str:
        return "(" + ", ".join(map(str, shape)) + ")" if shape else "a number"

    def _added(self, subject: Expression, choices: Choices, at: int) -> tuple[Expression, str]:
        """What `+=` of a value says: one contribution to its gradient."""
        if not isinstance(subject, Adjoint):
            raise NotRead(at, "'+=' is read of gradients alone")
        derivation = self.judged.scenes.derivation
        gradient = derivation.adjoints.get(subject.name)
        readers: dict[Expression, str] = {}
        for fork in gradient.forks if gradient else ():
            stage = self.judged.graph.find(fork.reader)
            if stage is not None:
                readers[Value(stage.owner, subject.lag + fork.lag)] = f"through {stage.owner}"
            readers[Value(STEP, subject.lag + fork.lag)] = "through one step"
        ways: list[tuple[Expression, str]] = [
            (Call(VIA, (subject, reader)), f"'+=' is read as one contribution, {told}") for reader, told in readers.items()]
        ways.append((subject, "'+=' is read as all contributions"))
        return ways[choices.pick(("adds", str(at)), tuple(told for _, told in ways))]

    def _step_of(self, line: Line) -> int | None:
        """The step that a condition names; None where it is about all of them."""
        said, clock = line.condition.replace(" ", ""), re.escape(self.names.clock)
        ends = re.fullmatch(r"atthe(last|final|first)(time)?step", said)
        if ends:
            return 1 if ends[1] == "first" else self.judged.steps
        named = re.fullmatch(rf"{clock}=(T|\d{{1,3}})", said)
        if named:
            step = self.judged.steps if named[1] == "T" else int(named[1])
            if step > self.judged.steps:
                raise NotRead(line.at, f"there is no step {step}: the steps are 1 to {self.judged.steps}")
            return step
        if said and not _EVERY_STEP.fullmatch(said.replace(self.names.clock, "t")):
            raise NotRead(line.at, f"the condition '{said[:30]}'")
        return None

    def _at_step(self, expression: Expression, step: int) -> Expression:
        static = self.judged.graph.static

        def there(node: Expression) -> Expression | None:
            match node:
                case Value(name="t", lag=lag) if not is_number(lag):
                    return Value(STEP, lag_to(step + lag))
                case Value(name=name, lag=lag) | Adjoint(name=name, lag=lag) | Outside(name=name, lag=lag):
                    if name in static or is_number(lag):
                        return node
                    return type(node)(name, lag_to(step + lag))
            return None

        return transform(expression, there)

    # ------------------------------------------------------------------ what a text defines

    def _defined(self, line: Line, left: Row, right: Row) -> Equation | None:
        """A symbol that the cell has not: another name for one of its values, or an abbreviation."""
        symbol = _symbol_of(left, self.names.clock)
        if symbol is None or line.adds or symbol.step is not None and (symbol.step.kind, symbol.step.offset) != ("lag", 0):
            return None
        try:
            meanings = CellMeanings(self.cell, Choices((), self.fixed))
            term = meanings.reader.row(right, right[0].at)
        except NotRead as fault:
            return Equation(line.at, fault=fault)
        said = self.judged.resolved(term.expression)
        if isinstance(said, str):
            return None
        self.names.table.pop(symbol.key, None)
        for name, shape in self.names.shapes.items():
            owner = name.removesuffix("_pre")
            if shape != term.shape or self.judged.graph.find(owner) is None or said == Value(name):
                continue
            subject = self.judged.resolved(Value(name))
            if not isinstance(subject, str) and self.judged.holds(subject, said):
                self.names.table[symbol.key] = (name, True)
                self.run.aliases[symbol.told()] = name
                return Equation(line.at, (Said(subject, said, (), (f"'{symbol.told()}' is {name}: its equation is the same",),
                                               True),))
        self.definitions[symbol.key] = Definition(term)
        return Equation(line.at, defines=f"{symbol.told()} = {self.judged.spelling(term.expression)}")


def _is_derivative(expression: Expression) -> bool:
    """Whether a matrix may be told by its diagonal: a derivative of a vector by a vector."""
    return isinstance(expression, Call) and expression.function in (PARTIAL, TOTAL)


def _symbol_of(row: Row, clock: str) -> Symbol | None:
    symbol = read_symbol(row[0], clock) if len(row) == 1 else None
    return symbol if symbol is None or not (symbol.power or symbol.transposed or symbol.primes) else None


def _bare(expression: Expression) -> Expression:
    match expression:
        case Call(function="transpose", arguments=(inner,)):
            return inner
    return expression


def _check_steps(subject: Expression, said: Expression, static: frozenset[str], at: int) -> None:
    """Raises where the language of claims has no such step, and where the two sides speak of different ones."""
    numbered = [_numbered(side, static, at) for side in (subject, said)]
    if numbered in ([{False}, {True}], [{True}, {False}]):
        raise _Instance(at, "one side is about any step, the other about a step by its number")


def _numbered(side: Expression, static: frozenset[str], at: int) -> set[bool]:
    """Whether what a side reads has steps by their numbers."""
    found = set()
    for node in walk(side):
        if isinstance(node, (Value, Adjoint, Outside)) and node.name not in static:
            if not is_number(node.lag) and abs(node.lag) > FARTHEST:
                raise NotRead(at, f"a step more than {FARTHEST} away")
            found.add(is_number(node.lag))
        elif isinstance(node, Call) and node.function == SUM_T:
            return set()
    return found
