"""A true gradient as a sum of terms that a person would write, and any claim as a sum of terms.

A derivation has stages that a text does not name, such as tanh(c) in o * tanh(c): here they are written out. A gradient that
a claim does not mention is replaced by its own sum, as far as the claim goes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import product as combinations

import numpy as np

from ..derivation.chain import OUTPUT, START, Contribution, Derivation, later
from ..language.expressions import (
    Adjoint,
    Call,
    Expression,
    MatVec,
    Negative,
    Outside,
    Product,
    Quotient,
    Sum,
    Value,
    children,
    negative,
    product,
    rebuild,
    substitute,
    total,
    transform,
    walk,
)
from .forms import STEP, VIA, is_number, known_names, lag_to, named_stages, step_of
from .view import View

MOST_TERMS = 48
_LINEAR = {
    "transpose",
    "sum",
    "mean",
    "part",
    "fill",
    "Slice",
    "Fold",
    "Place",
    "Reverse_cumsum",
    "cumsum",
    "repeat",
    "outer",
    "dot",
    "diag",
}


Reading = Adjoint | Outside
"""A gradient that an expression reads."""


@dataclass(frozen=True)
class Via:
    """A via(...) of a claim: the branches from a value through one reader, or into one step."""

    call: Call
    target: Adjoint
    reader: Value


@dataclass(frozen=True)
class Term:
    """One term of a true gradient."""

    expression: Expression
    forks: tuple[Contribution, ...]  # the contributions along its path, from the value outwards
    limits: tuple[tuple[int, bool], ...] = ()  # lags of steps that have to exist; True: as the last one

    @property
    def reader(self) -> Contribution:
        """The branch of the value's own fork."""
        return self.forks[0]

    def value(self, view: View) -> np.ndarray:
        """Its value at the steps of a view: zero where a step that it comes from does not exist."""
        last = view.scene.steps
        kept = [
            all(
                1 <= step_of(lag, step) <= last and (not alone or step_of(lag, step) == last)
                for lag, alone in self.limits
            )
            for step in view.steps
        ]
        return view.only(view.evaluate(self.expression), kept)

    @property
    def last_only(self) -> bool:
        return any(alone for _, alone in self.limits)


class Truth:
    """The true gradients of a cell as sums of terms."""

    def __init__(self, derivation: Derivation, joined: Collection[Via] = ()):
        """`joined` are the via(...) of a claim: their branches stay together as one term."""
        self.derivation, self.graph, self.joined = derivation, derivation.graph, tuple(joined)
        graph = derivation.graph
        self.named = {*known_names(graph), *named_stages(graph)}
        self._terms: dict[tuple[str, int], tuple[Term, ...]] = {}

    def terms(self, name: str, lag: int = 0) -> tuple[Term, ...]:
        """The gradient at a value, at step t or `lag` steps later."""
        if (name, lag) not in self._terms:
            gradient = self.derivation.adjoints.get(name)
            found = [
                self.later(part, lag)
                for fork in (gradient.forks if gradient else ())
                if fork.kind != START
                for part in self.of_fork(fork)
            ]
            for via in self.joined:
                if via.target == Adjoint(name, lag):
                    through = [term for term in found if self.goes_through(term, via.reader, lag)]
                    if through:
                        kept = [term for term in found if term not in through]
                        found = [*kept, Term(via.call, through[0].forks, through[0].limits)]
            self._terms[name, lag] = tuple(found)
        return self._terms[name, lag]

    def goes_through(self, term: Term, reader: Value, lag: int = 0) -> bool:
        """Whether a term comes through this reader, as via(...) names them."""
        if not term.forks:
            return False
        if reader.name == STEP:
            return term.forks[0].lag == reader.lag - lag
        ahead = lag
        for fork in term.forks:
            ahead += fork.lag
            if fork.kind == OUTPUT:
                return False
            if fork.reader in self.named:
                owner = self.graph.stage(fork.reader).owner
                return ahead == reader.lag and reader.name in (fork.reader, owner)
        return False

    def reader_of(self, term: Term) -> Value | None:
        """The equation that reads the value along a term; None where there is none."""
        ahead = 0
        for fork in term.forks:
            ahead += fork.lag
            stage = self.graph.find(fork.reader)
            if fork.kind == OUTPUT or stage is None:
                return None
            if fork.reader in self.named:
                return Value(stage.owner, ahead)
        return None

    def later(self, term: Term, lag: int) -> Term:
        """The term as it is `lag` steps later."""
        if not lag:
            return term
        limits = tuple((each + lag, alone) for each, alone in term.limits)
        return replace(term, expression=self._moved(term.expression, lag), limits=limits)

    def of_fork(self, fork: Contribution) -> list[Term]:
        """The terms of one branch: stages without a name are written out."""
        limits = () if fork.kind == OUTPUT else ((fork.lag, fork.reader in self.derivation.last_step_only),)
        return self._written_out(Term(self.inlined(fork.term), (fork,), limits))

    def inlined(self, expression: Expression) -> Expression:
        """Values without a name replaced by what they are."""

        def rule(node: Expression) -> Expression | None:
            if isinstance(node, Value) and node.name not in self.named:
                stage = self.graph.find(node.name)
                if stage is not None:
                    return self.inlined(later(stage.expression, node.lag, self.graph.static))
            return None

        return transform(expression, rule)

    def _written_out(self, term: Term) -> list[Term]:
        unnamed = next(
            (
                leaf
                for leaf in gradients_of(term.expression)
                if isinstance(leaf, Adjoint) and leaf.name not in self.named
            ),
            None,
        )
        if unnamed is None:
            return [replace(term, expression=part) for part in distributed(term.expression)]
        return [part for each in self._opened(term, unnamed) for part in self._written_out(each)]

    def opened(self, term: Term, leaf: Adjoint) -> list[Term]:
        """The term with one gradient in it replaced by its own sum."""
        return [part for each in self._opened(term, leaf) for part in self._written_out(each)]

    def _opened(self, term: Term, leaf: Adjoint) -> list[Term]:
        found = []
        for inner in self.terms(leaf.name, leaf.lag):
            expression = substitute(term.expression, leaf, inner.expression)
            found.append(Term(expression, (*term.forks, *inner.forks), (*term.limits, *inner.limits)))
        return found

    def _moved(self, expression: Expression, lag: int) -> Expression:
        return later(expression, lag, self.graph.static)

    def at_step(self, term: Term, step: int) -> Term:
        """The term of one step by its number."""
        limits = tuple((lag_to(step_of(lag, step)), alone) for lag, alone in term.limits)
        return Term(numbered(term.expression, step, self.graph.static), term.forks, limits)


def numbered(expression: Expression, step: int, static: Collection[str]) -> Expression:
    """The expression as it is at step number `step`."""

    def rule(node: Expression) -> Expression | None:
        match node:
            case Value(name=name) if name in static:
                return None
            case Value(lag=lag) | Adjoint(lag=lag) | Outside(lag=lag) if not is_number(lag):
                return type(node)(node.name, lag_to(step + lag), node.at)
        return None

    return transform(expression, rule)


def gradients_of(expression: Expression) -> tuple[Reading, ...]:
    """The gradients that an expression reads, each once."""
    found: dict[Reading, None] = {}

    def look(node: Expression) -> None:
        if isinstance(node, (Adjoint, Outside)):
            found[node] = None
        for child in () if isinstance(node, Call) and node.function == VIA else children(node):
            look(child)

    look(expression)
    return tuple(found)


def has_gradient(expression: Expression) -> bool:
    return any(isinstance(node, (Adjoint, Outside)) for node in walk(expression))


def distributed(expression: Expression) -> list[Expression]:
    """The terms of a sum; of a product with a sum of gradients in it, too."""
    match expression:
        case Sum(terms=terms) if has_gradient(expression):
            return [part for term in terms for part in distributed(term)]
        case Negative(operand=operand) if has_gradient(expression):
            return [negative(part) for part in distributed(operand)]
        case Product(factors=factors) if has_gradient(expression):
            return _crossed(factors, lambda parts: product(*parts), expression)
        case Quotient(numerator=above, denominator=below) if has_gradient(above):
            return [Quotient(part, below) for part in distributed(above)]
        case MatVec():
            return _crossed(children(expression), lambda parts: _signed(expression, parts), expression)
        case Call(function=function, arguments=arguments) if function in _LINEAR:
            return _crossed(arguments, lambda parts: _signed(expression, parts), expression)
    return [expression]


def _crossed(
    parts: tuple[Expression, ...], build: Callable[[tuple[Expression, ...]], Expression], whole: Expression
) -> list[Expression]:
    choices = [distributed(part) if has_gradient(part) else [part] for part in parts]
    if np.prod([len(choice) for choice in choices]) > MOST_TERMS:
        return [whole]
    return [build(chosen) for chosen in combinations(*choices)]


def _signed(whole: Expression, parts: tuple[Expression, ...]) -> Expression:
    """A linear operation with the sign of what it acts on in front."""
    bare = tuple(part.operand if isinstance(part, Negative) and has_gradient(part) else part for part in parts)
    made = rebuild(whole, bare)
    signs = sum(before is not after for before, after in zip(parts, bare))
    return negative(made) if signs % 2 else made


def opened_as_claimed(
    truth: Truth, terms: tuple[Term, ...], mentioned: Collection[Reading]
) -> list[tuple[Term, ...]]:
    """The terms as they are, and then with more and more gradients of the same step written out.

    Those that the claim mentions stay as they are.
    """
    levels = [tuple(terms)]
    first = _first_step(mentioned, truth.joined)
    for _ in range(7):
        following: list[Term] = []
        changed = False
        for term in levels[-1]:
            leaf = next(
                (
                    leaf
                    for leaf in gradients_of(term.expression)
                    if isinstance(leaf, Adjoint)
                    and leaf not in mentioned
                    and (leaf.lag <= first or is_number(leaf.lag))
                ),
                None,
            )
            parts = truth.opened(term, leaf) if leaf is not None else []
            changed |= bool(parts)
            following.extend(parts or [term])
        if not changed or len(following) > MOST_TERMS:
            break
        levels.append(tuple(following))
    return levels


def _first_step(mentioned: Collection[Reading], joined: Collection[Via]) -> int:
    """How far ahead all gradients lie that a claim mentions; what arrives from outside is not opened anyway."""
    leaves = [*(leaf for leaf in mentioned if isinstance(leaf, Adjoint)), *(via.target for via in joined)]
    return max(0, min((leaf.lag for leaf in leaves if not is_number(leaf.lag)), default=0))


def mentioned_in(expression: Expression) -> set[Reading]:
    """The gradients that a claim speaks of, those in via(...) not among them."""
    return set(gradients_of(expression))


def joined_in(expression: Expression) -> tuple[Via, ...]:
    """The via(...) that a claim speaks of, each once."""
    found: dict[Via, None] = {}
    for node in walk(expression):
        match node:
            case Call(function="via", arguments=(Adjoint() as target, Value() as reader)):
                found[Via(node, target, reader)] = None
    return tuple(found)


def claim_terms(expression: Expression) -> list[Expression]:
    """The terms of a claim."""
    match expression:
        case Sum(terms=terms):
            return [part for term in terms for part in claim_terms(term)]
        case Negative(operand=operand):
            return [negative(part) for part in claim_terms(operand)]
    return distributed(expression)


def whole(terms: Collection[Term]) -> Expression:
    """The sum of the terms."""
    return total(*(term.expression for term in terms))
