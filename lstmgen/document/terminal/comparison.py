"""What is different in the derivatives of two cells: stages, contributions, parameters.

Values of the two cells are matched first. If most names are equal, they are matched by name. If not, they are matched by
structure, so that one cell written in two sets of names is recognised. A stage or a term is the same if its expression is
the same under the matched names; the order of sums and products does not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ...derivation.chain import Contribution, Derivation, Gradient
from ...derivation.graph import Graph, Stage
from ...language.expressions import (
    Adjoint, Call, Compare, Expression, MinusInfinity, Number, Outside, Product, Size, Sum, Value, children, values,
)
from ...language.text import source
from ...printed import WIDTH, Brief, Printed, shortened
from .columns import Row, bold, counted, display, grey, listed, prose, shown
from .pen import TerminalPen

_RADII = (6, 4, 3, 2, 1)  # how far around a value the two cells are compared

Form = tuple["str | int | Form", ...]  # an expression without names and order


@dataclass(frozen=True)
class StagePair:
    """A stage of each cell; one of them is None if its cell has no such stage."""

    first: Stage | None
    second: Stage | None


@dataclass(frozen=True)
class TermPair:
    """A contribution in both cells, or in one."""

    first: Contribution | None
    second: Contribution | None
    same: bool


@dataclass(frozen=True, repr=False)
class GradientPair(Brief):
    """A gradient of each cell, or of one, and its contributions."""

    first: Gradient | None
    second: Gradient | None
    terms: tuple[TermPair, ...]  # those of the first cell in order, then those that only the second has

    @property
    def same(self) -> bool:
        return self.first is not None and self.second is not None and all(term.same for term in self.terms)


@dataclass(frozen=True, repr=False)
class Comparison(Printed):
    """Two derivations, pair by pair, in the order of the first cell; what only the second has is at the end."""

    first: Derivation
    second: Derivation
    names: tuple[tuple[str, str], ...]  # every matched pair of values
    stages: tuple[StagePair, ...]  # those that differ
    same_stages: int
    gradients: tuple[GradientPair, ...]  # those that differ
    same_gradients: int
    notes: tuple[str, ...]  # differences that no equation shows, in sentences: the steps of the loss, initial states

    @property
    def same(self) -> bool:
        return not self.stages and not self.gradients and not self.notes

    def text(self, unicode: bool = True, width: int = WIDTH) -> str:
        """For a terminal of so many columns, with its colours; in ASCII without `unicode`."""
        return comparison_text(self, unicode, width)

    def styled(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        names = " and ".join(each.graph.spec.name for each in (self.first, self.second))
        if self.same:
            return shortened(f"<Comparison of {names}: the same>")
        stages, gradients = counted(len(self.stages), "equation"), counted(len(self.gradients), "gradient")
        return shortened(f"<Comparison of {names}: {stages} and {gradients} differ>")

    @property
    def renamed(self) -> tuple[tuple[str, str], ...]:
        return tuple(pair for pair in self.names if pair[0] != pair[1])


def compare(first: Derivation, second: Derivation) -> Comparison:
    """Compare two derivations."""
    names = match_names(first.graph, second.graph)
    marks = _Marks(names)
    stages = list(_stage_pairs(first.graph, second.graph, names, marks))
    gradients = list(_gradient_pairs(first, second, names, marks))
    return Comparison(
        first=first,
        second=second,
        names=tuple(names.items()),
        stages=tuple(pair for pair, same in stages if not same),
        same_stages=sum(same for _, same in stages),
        gradients=tuple(pair for pair in gradients if not pair.same),
        same_gradients=sum(pair.same for pair in gradients),
        notes=tuple(_notes(first.graph, second.graph, names)),
    )


def _notes(first: Graph, second: Graph, names: Mapping[str, str]) -> Iterator[str]:
    one, two = first.spec, second.spec
    if first.loss and second.loss and one.loss_at != two.loss_at:
        where = {"every": "at every step", "last": "only at the last step"}
        yield (f"The loss of {one.name} counts {where[one.loss_at]}, that of {two.name} "
               f"{where[two.loss_at]}.")
    others = dict(second.initial)
    for state, start in first.initial:
        other = others.get(names.get(state, ""))
        if isinstance(start, Number | MinusInfinity) and isinstance(other, Number | MinusInfinity) and start != other:
            yield (f"If no state is given, {state} of {one.name} starts at {source(start)}, that of "
                   f"{two.name} at {source(other)}.")


class _Marks:
    """One mark for the two names of a pair, so that expressions of both cells can be compared."""

    def __init__(self, names: Mapping[str, str]):
        self.first = {name: f"={index}" for index, name in enumerate(names)}
        self.second = {names[name]: mark for name, mark in self.first.items()}

    def left(self, expression: Expression) -> Form:
        return _form(expression, lambda name: self.first.get(name, f"<{name}"))

    def right(self, expression: Expression) -> Form:
        return _form(expression, lambda name: self.second.get(name, f">{name}"))


def _form(expression: Expression, mark: Callable[[str], str]) -> Form:
    """The expression without its names and the order of its sums and products."""
    match expression:
        case Value(name=name, lag=lag) | Adjoint(name=name, lag=lag) | Outside(name=name, lag=lag):
            return (type(expression).__name__, mark(name), lag)
        case Number(value=value):
            return ("number", str(value))
        case Size(symbol=symbol):
            return ("size", symbol)
    parts = [_form(part, mark) for part in children(expression)]
    if isinstance(expression, (Sum, Product)):
        parts.sort(key=repr)
    word = expression.function if isinstance(expression, Call) else ""
    word = expression.relation if isinstance(expression, Compare) else word
    return (type(expression).__name__, word, *parts)


def _stage_pairs(
    first: Graph, second: Graph, names: Mapping[str, str], marks: _Marks
) -> Iterator[tuple[StagePair, bool]]:
    taken = set()
    for stage in first.stages:
        other = second.find(names.get(stage.name, ""))
        taken.add(other.name if other else "")
        same = other is not None and marks.left(stage.expression) == marks.right(other.expression)
        yield StagePair(stage, other), same
    for stage in second.stages:
        if stage.name not in taken:
            yield StagePair(None, stage), False


def _gradient_pairs(
    first: Derivation, second: Derivation, names: Mapping[str, str], marks: _Marks
) -> Iterator[GradientPair]:
    others, taken = second.adjoints, set()
    for name, gradient in first.adjoints.items():
        other = others.get(names.get(name, ""))
        taken.add(other.value if other else "")
        yield GradientPair(gradient, other, tuple(_term_pairs(gradient, other, marks)))
    for name, gradient in others.items():
        if name not in taken:
            yield GradientPair(None, gradient, tuple(_term_pairs(None, gradient, marks)))


def _term_pairs(first: Gradient | None, second: Gradient | None, marks: _Marks) -> Iterator[TermPair]:
    left = list(first.forks) if first else []
    right = list(second.forks) if second else []
    told = [(_fork_mark(fork, marks.second), marks.right(fork.term), fork) for fork in right]
    open_ = list(told)
    pairs: list[TermPair] = []
    for fork in left:
        key, form = _fork_mark(fork, marks.first), marks.left(fork.term)
        found = next((each for each in open_ if each[0] == key and each[1] == form), None)
        same = found is not None
        found = found or next((each for each in open_ if each[0] == key), None)
        if found:
            open_.remove(found)
        pairs.append(TermPair(fork, found[2] if found else None, same))
    yield from pairs
    yield from (TermPair(None, fork, False) for _, _, fork in open_)


def _fork_mark(fork: Contribution, marks: Mapping[str, str]) -> tuple[str, int, str]:
    """A mark that is the same for contributions at the same place in both cells."""
    mark = marks.get(fork.reader)
    return ("", 0, fork.reader) if mark is None else (mark, fork.lag, fork.kind)


# ---------------------------------------------------------------- names


def match_names(first: Graph, second: Graph) -> dict[str, str]:
    """The second cell's name for each value of the first, if it has that value."""
    return _Matching(first, second).names()


def _roles(graph: Graph) -> dict[str, str]:
    """The kind of each value; only two of one kind can be the same."""
    kinds: dict[str, str] = {}
    for kind, names in (("inputs", graph.inputs), ("targets", graph.targets), ("parameters", graph.parameters),
                        ("states", graph.states)):
        kinds |= dict.fromkeys(names, kind)
    for stage in graph.stages:
        kinds.setdefault(stage.name, "loss" if stage.name == graph.loss else "stage")
    return {name: f"{kind} {len(graph.shapes[name])}" for name, kind in kinds.items()}


def _may_be_trusted(name: str, first: Graph, second: Graph) -> bool:
    """Whether a name may mean the same in both cells: its equations call the same function, or none."""
    one, other = first.find(name), second.find(name)
    if one is None or other is None:
        return True
    return first.stage(one.owner).function == second.stage(other.owner).function


class _Matching:
    """Pairs of names, found one after the other: each pair helps to find others."""

    def __init__(self, first: Graph, second: Graph):
        self.first, self.second = first, second
        self.left, self.right = _roles(first), _roles(second)
        self.pairs: dict[str, str] = {}

    def names(self) -> dict[str, str]:
        """All pairs, in the first cell's order."""
        common = [name for name in self.left if self.right.get(name) == self.left[name]]
        owners = [{stage.owner for stage in graph.stages} for graph in (self.first, self.second)]
        if 2 * len(owners[0] & owners[1]) >= min(map(len, owners)):
            self.pairs = {name: name for name in common if _may_be_trusted(name, self.first, self.second)}
        self._match_the_rest()
        for name in common:
            if self._may_match(name, name):
                self.pairs[name] = name
        self._match_the_rest()
        return {name: self.pairs[name] for name in self.left if name in self.pairs}

    def _match_the_rest(self) -> None:
        self._match_structure()
        while self._follow():
            self._match_structure()

    def _match_structure(self) -> None:
        """Match values with the same surroundings, as long as there are any."""
        while True:
            for radius in _RADII:
                found = self._alike(radius)
                if found:
                    self.pairs |= found
                    break
            else:
                return

    def _alike(self, radius: int) -> dict[str, str]:
        """Unmatched values that are the only ones with their surroundings in both cells."""
        back = {other: name for name, other in self.pairs.items()}
        mine = _surroundings(self.first, self.left, {name: f"={name}" for name in self.pairs}, radius)
        theirs = _surroundings(self.second, self.right, {other: f"={name}" for other, name in back.items()}, radius)
        by_first = _unique({name: each for name, each in mine.items() if name not in self.pairs})
        by_second = _unique({name: each for name, each in theirs.items() if name not in back})
        return {by_first[each]: by_second[each] for each in by_first if each in by_second}

    def _follow(self) -> bool:
        """Match one more, if there is one."""
        return self._follow_expressions() or self._follow_operands()

    def _follow_expressions(self) -> bool:
        """Match two stages with the same expression."""
        marks = _Marks(self.pairs)
        said = {marks.right(stage.expression): stage.name for stage in self.second.stages}
        for stage in self.first.stages:
            other = said.get(marks.left(stage.expression))
            if other and self._may_match(stage.name, other):
                self.pairs[stage.name] = other
                return True
        return False

    def _follow_operands(self) -> bool:
        """Match the only unmatched values that a matched pair reads."""
        for stage in self.first.stages:
            other = self.second.find(self.pairs.get(stage.name, ""))
            if other is None:
                continue
            mine = [value for value in values(stage.expression) if value.name not in self.pairs]
            theirs = [value for value in values(other.expression) if value.name not in self.pairs.values()]
            if len(mine) == len(theirs) == 1 and mine[0].lag == theirs[0].lag:
                one, two = mine[0].name, theirs[0].name
                if _is_like(self.first.find(one), self.second.find(two)) and self._may_match(one, two):
                    self.pairs[one] = two
                    return True
        return False

    def _may_match(self, name: str, other: str) -> bool:
        return name not in self.pairs and other not in self.pairs.values() and self.left[name] == self.right[other]


def _is_like(first: Stage | None, second: Stage | None) -> bool:
    """Whether two values may be the same by how they are computed. (True for values that are not computed.)"""
    if first is None or second is None:
        return True
    return type(first.expression) is type(second.expression) and first.function == second.function


def _unique(labels: Mapping[str, str]) -> dict[str, str]:
    counts: dict[str, list[str]] = {}
    for name, label in labels.items():
        counts.setdefault(label, []).append(name)
    return {label: names[0] for label, names in counts.items() if len(names) == 1}


def _surroundings(
    graph: Graph, roles: Mapping[str, str], fixed: Mapping[str, str], radius: int
) -> dict[str, str]:
    """A label for each value: what it is computed from and what reads it, up to `radius` values away."""
    outputs = set(graph.outputs)
    labels = {name: fixed.get(name, f"{role} {name in outputs}") for name, role in roles.items()}
    for _ in range(radius):
        around: dict[str, list[tuple[str, Form]]] = {name: [] for name in labels}
        own: dict[str, Form] = {}
        for stage in graph.stages:
            own[stage.name] = _form(stage.expression, labels.__getitem__)
            for name in {value.name for value in values(stage.expression)}:
                marked = {**labels, name: "@"}
                around[name].append((labels[stage.name], _form(stage.expression, marked.__getitem__)))
        labels = {
            name: fixed.get(name) or _digest((label, own.get(name), sorted(around[name], key=repr)))
            for name, label in labels.items()
        }
    return labels


def _digest(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:20]


# ---------------------------------------------------------------- text


def comparison_text(comparison: Comparison, unicode: bool, width: int) -> str:
    """The differences as text for a terminal: lines of the first cell after `<`, of the second after `>`."""
    return "\n".join(_Text(comparison, unicode, width).lines())


class _Text:
    def __init__(self, comparison: Comparison, unicode: bool, width: int):
        self.found, self.width = comparison, width
        sides = {"<": comparison.first, ">": comparison.second}
        self.pens = {mark: TerminalPen(derivation, unicode, width) for mark, derivation in sides.items()}
        self.names = [derivation.graph.spec.name for derivation in sides.values()]

    def lines(self) -> list[str]:
        lines = [*self._heads(), "", *prose(self._summary(), self.width, "")]
        renamed = self._renamed()
        if renamed:
            lines += prose(f"Names: {renamed}.", self.width, "")
        for note in self.found.notes:
            lines += prose(note, self.width, "")
        if self.found.stages:
            lines += ["", bold("Equations"), *self._equations()]
        if self.found.gradients:
            lines += ["", bold("Gradients"), *self._gradients()]
            legend = dict.fromkeys(line for pen in self.pens.values() for line in pen.legend())
            lines += ["", *(grey(line) for line in legend), *(grey(line) for line in self._reading())]
        return lines

    def _heads(self) -> list[str]:
        width = max(map(len, self.names))
        lines = []
        for name, (mark, pen) in zip(self.names, self.pens.items()):
            title = pen.graph.spec.title
            lines.append(f"{mark} {bold(name.ljust(width))}  {grey(shown(title, pen.unicode))}")
        return lines

    def _summary(self) -> str:
        if self.found.same:
            but = ", except for names" if self.found.renamed else ""
            return f"The two cells are the same{but}: {self.found.same_gradients} gradients, term by term."
        only = [self._only(0), self._only(1)]
        if self.found.notes and not self.found.gradients and not self.found.stages:
            return f"The equations are the same, and so are all {self.found.same_gradients} gradients."
        alike = self.found.same_gradients
        same = f"{counted(alike, 'gradient').capitalize()} {'is' if alike == 1 else 'are'} the same."
        return " ".join([*only, same])

    def _only(self, side: int) -> str:
        """What only one of the cells has, in a sentence."""
        own = self.found.first if not side else self.found.second
        differing = [term for pair in self.found.gradients for term in pair.terms if not term.same]
        terms = [term.second if side else term.first for term in differing]
        forks = [term for term in terms if term is not None and term.target not in own.graph.parameters]
        states = [name for name in own.graph.states if not self._is_matched(name, side)]
        parameters = [name for name in own.graph.parameters if not self._is_matched(name, side)]
        parts = []
        if states:
            parts.append(f"the state{'s' * (len(states) > 1)} {listed(states)}")
        if parameters:
            parts.append(f"the parameter{'s' * (len(parameters) > 1)} {listed(parameters)}")
        if forks:
            targets = list(dict.fromkeys(fork.target for fork in forks))
            where = f"the fork{'s' * (len(targets) > 1)} of {listed(targets)}"
            where = where if len(targets) < 5 else f"{counted(len(targets), 'fork')}"
            parts.append(f"{counted(len(forks), 'term')} in {where}")
        name = self.names[side]
        return f"Only {name} has {listed(parts)}." if parts else f"{name} has nothing that the other has not."

    def _is_matched(self, name: str, side: int) -> bool:
        return any(pair[side] == name for pair in self.found.names)

    def _renamed(self) -> str:
        """Pairs of different names, without those that follow from others."""
        graph = self.found.first.graph
        named = {*graph.inputs, *graph.parameters, *graph.states, *(s.owner for s in graph.stages)}
        return listed(f"{one} is {other}" for one, other in self.found.renamed if one in named)

    def _equations(self) -> list[str]:
        rows = []
        for pair in self.found.stages:
            for mark, stage in (("<", pair.first), (">", pair.second)):
                if stage is not None:
                    rows.append(Row(f"{mark} {stage.name}", "=", self.pens[mark].spell(stage.expression)))
        return display(rows, self.width, "")

    def _gradients(self) -> list[str]:
        rows = []
        for pair in self.found.gradients:
            sides = {"<": pair.first, ">": pair.second}
            left = next(self.pens[mark].delta(each.value) for mark, each in sides.items() if each is not None)
            first = True
            for mark, fork in self._marked(pair):
                rows.append(self._row(mark, left if first else "", fork, first))
                first = False
        return display(rows, self.width, "")

    def _marked(self, pair: GradientPair) -> Iterator[tuple[str, Contribution]]:
        for term in pair.terms:
            sides = ((" ", term.first),) if term.same else (("<", term.first), (">", term.second))
            yield from ((mark, fork) for mark, fork in sides if fork is not None)

    def _row(self, mark: str, left: str, fork: Contribution, first: bool) -> Row:
        pen = self.pens[">" if mark == ">" else "<"]
        text, sign = pen.term(fork), "=" if first else "+"
        if text.startswith(pen.minus) and not first:
            sign, text = pen.minus, text[1:]
        return Row(f"{mark} {left}".rstrip(), sign, text, pen.origin(fork), bool(left))

    def _reading(self) -> list[str]:
        first, second = self.names
        told = f"< only in {first}, > only in {second}; lines without a mark are in both."
        return prose(told, self.width, "")
