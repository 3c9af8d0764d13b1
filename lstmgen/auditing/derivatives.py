"""The derivative of one value by another as a sum of terms: products of diagonals and matrices, along each path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..language.expressions import (
    ONE, Adjoint, Call, Expression, MatVec, Negative, Product, Quotient, Value, negative, product, transform,
)
from .case import Case
from .forms import DIAG, PARTIAL, TOTAL, is_number
from .truth import Term, Truth, gradients_of, has_gradient

MOST_PATHS = 16  # with more, a derivative is not written out


@dataclass(frozen=True)
class _Factors:
    """What stands behind a unit gradient: vectors that act as diagonals, and matrices."""

    factors: tuple[tuple[bool, Expression], ...] = ()  # (whether it is a matrix, the factor)
    sign: int = 1

    def then(self, expression: Expression, matrix: bool = False) -> _Factors:
        return _Factors((*self.factors, (matrix, expression)), self.sign)

    @property
    def is_diagonal(self) -> bool:
        return not any(matrix for matrix, _ in self.factors)

    def vector(self) -> Expression:
        """The diagonal, where there is no matrix."""
        found = product(*(factor for _, factor in self.factors)) if self.factors else ONE
        return negative(found) if self.sign < 0 else found

    def matrix(self) -> Expression:
        """The product of all; neighbouring diagonals are one."""
        parts: list[Expression] = []
        beside: list[Expression] = []
        for matrix, factor in (*self.factors, (True, None)):
            if not matrix and factor is not None:
                beside.append(factor)
                continue
            if beside:
                parts.append(Call(DIAG, (product(*beside),)))
                beside = []
            if factor is not None:
                parts.append(factor)
        found = parts[0]
        for part in parts[1:]:
            found = MatVec(found, part)
        return negative(found) if self.sign < 0 else found


def derivative_terms(case: Case, kind: str, above: Value, below: Value) -> tuple[Term, ...]:
    """The terms of partial(above, below) or total(above, below); empty where they cannot be said so."""
    truth, static = Truth(case.scenes.derivation), case.graph.static
    if is_number(above.lag) != is_number(below.lag) and below.name not in static:
        return ()
    if (above.name, above.lag) == (below.name, below.lag):
        return ()
    shift = above.lag if below.name in static else below.lag
    lag = 0 if below.name in static else above.lag - below.lag
    found = _written(case, truth, above.name, below.name, lag, kind == PARTIAL)
    if kind == TOTAL and below.name in static:
        found = _with_earlier_steps(case, truth, above, below, found)
    return tuple(Term(case.later(term, shift), ()) for term in found or ())


def _with_earlier_steps(
    case: Case, truth: Truth, above: Value, below: Value, local: list[Expression] | None
) -> list[Expression] | None:
    """What comes from a parameter through the states of the step before, beside what it does in this step."""
    shapes = case.graph.shapes
    both = shapes[above.name] and shapes[below.name]
    found = [Call(DIAG, (term,)) if both and len(case.view.shape(term)) == 1 else term for term in local or ()]
    for state in case.graph.states:
        through = _written(case, truth, above.name, state, 1, False)
        if through is None:
            return None
        before = Call(TOTAL, (Value(state, -1), below))
        for term in through:
            onto = case.later(term, -1)
            if shapes[above.name] and shapes[state] and case.view.shape(onto) == shapes[above.name]:
                onto = Call(DIAG, (onto,))  # a diagonal in front of a matrix or of a vector
            joined = MatVec(onto, before) if shapes[state] and shapes[above.name] else product(onto, before)
            found.append(joined)
    return found


def _written(
    case: Case, truth: Truth, above: str, below: str, lag: int, immediate: bool
) -> list[Expression] | None:
    """The terms at `below` of step t for a unit gradient at `above`, `lag` steps later."""
    top, shapes = Adjoint(above, lag), case.graph.shapes
    if max(len(shapes[above]), len(shapes[below])) > 1:
        return None
    paths = _paths(case, truth, top, below, immediate)
    if paths is None:
        return None
    if not shapes[above]:
        return [_without_ones(transform(path, lambda node: ONE if node == top else None)) for path in paths]
    factors = [_behind(path, top, not shapes[below]) for path in paths]
    found = [each for each in factors if each is not None]
    if len(found) < len(factors):
        return None
    if all(each.is_diagonal for each in found):
        return [each.vector() for each in found]
    if any(not each.factors for each in found) or not shapes[below]:
        return None  # a unit matrix, for which there is no word; or a column that is no diagonal
    return [each.matrix() for each in found]


def _paths(case: Case, truth: Truth, top: Adjoint, below: str, immediate: bool) -> list[Expression] | None:
    """The terms at a value with every gradient but the one at the top written out; None where there are too many."""
    graph = case.graph
    todo, done = list(truth.terms(below)), []
    while todo:
        term = todo.pop(0)
        leaf = next((leaf for leaf in gradients_of(term.expression) if leaf != top), None)
        if leaf is None:
            done.append(term)
        elif isinstance(leaf, Adjoint) and leaf.lag <= top.lag:
            stage = graph.find(leaf.name)
            if not immediate or (stage is not None and stage.owner == top.name):
                todo += truth.opened(term, leaf)
        if len(todo) + len(done) > MOST_PATHS:
            return None
    return [term.expression for term in done]


def _behind(expression: Expression, top: Adjoint, onto_scalar: bool) -> _Factors | None:
    """What a term does to a gradient; None where it is neither a diagonal nor a matrix."""
    if expression == top:
        return _Factors()
    match expression:
        case Negative(operand=operand):
            inner = _behind(operand, top, onto_scalar)
            return None if inner is None else _Factors(inner.factors, -inner.sign)
        case Product(factors=factors):
            upstream = [factor for factor in factors if has_gradient(factor)]
            inner = _behind(upstream[0], top, onto_scalar) if len(upstream) == 1 else None
            return None if inner is None else inner.then(product(*_locals(factors)))
        case Quotient(numerator=above, denominator=below) if has_gradient(above) and not has_gradient(below):
            inner = _behind(above, top, onto_scalar)
            return None if inner is None else inner.then(Quotient(ONE, below))
        case MatVec(matrix=matrix, vector=vector) if not has_gradient(matrix):
            inner = _behind(vector, top, onto_scalar)
            return None if inner is None else inner.then(_transposed(matrix), True)
        case Call(function="sum", arguments=(inside,)) if onto_scalar:
            inner = _behind(inside, top, onto_scalar)
            return inner if inner is not None and inner.is_diagonal else None
        case Call(function="dot", arguments=(left, right)) if onto_scalar and has_gradient(left) != has_gradient(right):
            upstream, local = ([left], right) if has_gradient(left) else ([right], left)
            inner = _behind(upstream[0], top, onto_scalar)
            return inner.then(local) if inner is not None and inner.is_diagonal else None
    return None


def _locals(factors: tuple[Expression, ...]) -> Iterator[Expression]:
    return (factor for factor in factors if not has_gradient(factor))


def _transposed(matrix: Expression) -> Expression:
    match matrix:
        case Call(function="transpose", arguments=(inner,)):
            return inner
    return Call("transpose", (matrix,))


def _without_ones(expression: Expression) -> Expression:
    match expression:
        case Product(factors=factors):
            kept = tuple(factor for factor in map(_without_ones, factors) if factor != ONE)
            return ONE if not kept else kept[0] if len(kept) == 1 else Product(kept)
    return expression
