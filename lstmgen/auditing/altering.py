"""Explain a claim by altering the truth until it is the claim: the alteration is what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np

from ..derivation.chain import OUTPUT
from ..language.expressions import Adjoint, Call, Expression, Product, Sum, Value
from .arrays import SAME, constant_ratio, diagonal, largest
from .case import UNFIT, Case
from .forms import SUM_T, TOTAL, VIA, is_number, lag_to, step_of
from .judgement import EXTRA, LOSS, MISSING, OFF, OUTSIDE, Finding, finding
from .slips import slips
from .truth import Term, Truth, claim_terms, has_gradient, opened_as_claimed

MOST_SUBSET = 12  # terms: with more, not every subset of them is tried
MOST_CLAIMED = 24  # terms of a claim that are compared with those of the truth one by one
DEAR = 2.2  # above this cost, look for a cheaper explanation


@dataclass(frozen=True)
class Guess:
    """What may be wrong with a claim."""

    cost: float  # higher if it is less likely
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Explanation(Guess):
    """What is wrong with a claim."""

    terms: tuple[Term, ...]  # of the truth, which the findings mention


@dataclass(frozen=True)
class _Level:
    """The truth, written out to some extent, and each of its terms in numbers."""

    terms: tuple[Term, ...]
    arrays: tuple[np.ndarray, ...]


class Explainer:
    """Alters the truth until it is what the claim says."""

    def __init__(self, case: Case, truth: Truth, levels: list[tuple[Term, ...]]):
        self.case, self.truth, self.levels = case, truth, levels
        self.view, self.spelling = case.view, case.spell
        self.true, self.said = case.pair(case.scene)
        self.scale = max(largest(self.true), largest(np.where(np.isfinite(self.said), self.said, 0)), 1e-12)

    def best(self) -> Explanation | None:
        """The findings with the lowest cost, and the terms that they mention."""
        found = self._search(self.levels)
        if found is None or found.cost > DEAR:
            # the claim may mention a gradient by mistake, which stopped the terms from being written out
            others = [
                level
                for level in opened_as_claimed(self.truth, self.levels[0], ())
                if level not in self.levels
            ]
            found = _cheaper(found, self._search(others))
        return found

    def off_terms(self, terms: Sequence[Term]) -> tuple[Expression, ...]:
        """The terms of the claim that are none of these; empty where it has one term, or none of them is right."""
        said = self.case.said.terms if isinstance(self.case.said, Sum) else ()
        right = [array for array in map(self._array, terms) if array is not None]

        def is_right(expression: Expression) -> bool:
            try:
                parts = [self._spread(self.view.evaluate(part)) for part in claim_terms(expression)]
            except UNFIT:
                return False
            return all(any(self._same(part, array) for array in right) for part in parts)

        found = tuple(each for each in said if not is_right(each))
        return found if len(found) < len(said) else ()

    def _search(self, levels: Sequence[tuple[Term, ...]]) -> Explanation | None:
        best: Explanation | None = None
        for position, terms in enumerate(levels):
            level = self._level(terms)
            if level is None:
                continue
            for guess in self._candidates(level):
                best = _cheaper(best, Explanation(guess.cost + 0.1 * position, guess.findings, terms))
            if best is not None and best.cost <= 1.05 + 0.1 * position:
                break
        return best

    def _level(self, terms: tuple[Term, ...]) -> _Level | None:
        """The terms with their arrays; None if these do not add up to the truth."""
        arrays: list[np.ndarray] = []
        for term in terms:
            array = self._array(term)
            if array is None:
                return None
            arrays.append(array)
        return _Level(terms, tuple(arrays)) if self._same(self._sum(arrays), self.true) else None

    def _candidates(self, level: _Level) -> Iterator[Guess]:
        by_terms = self._by_terms(level)
        if by_terms is not None and by_terms.cost < 1.05:
            yield by_terms
            return
        single = self._one_altered(level)
        if single is not None:
            yield single
            if single.cost < 2:
                return
        for guess in (self._some_missing(level), self._product_for_sum(level), by_terms):
            if guess is not None:
                yield guess

    @property
    def _of_derivative(self) -> bool:
        return isinstance(self.case.subject, Call) and self.case.subject.function == TOTAL

    @property
    def _of_gradient(self) -> bool:
        """Whether the claim is about a gradient, of which every term holds one."""
        subject = self.case.subject
        return isinstance(subject, Adjoint) or isinstance(subject, Call) and subject.function in (SUM_T, VIA)

    # ------------------------------------------------------------------ arrays

    def _array(self, term: Term) -> np.ndarray | None:
        try:
            return self._spread(term.value(self.view))
        except UNFIT:
            return None

    def _spread(self, array: np.ndarray) -> np.ndarray:
        shape = self.true.shape
        if array.shape == shape:
            return array
        if array.ndim == 1:
            return np.broadcast_to(array.reshape(-1, *(1,) * (len(shape) - 1)), shape)
        if array.ndim == 2 and len(shape) == 3 and array.shape[1] == shape[1] == shape[2]:
            return diagonal(array, self.case.scene.math)
        raise ValueError("another shape")

    def _altered(self, term: Term, expression: Expression) -> np.ndarray | None:
        try:
            self.view.shape(expression)
        except UNFIT:
            return None
        alone = tuple(limit for limit in term.limits if limit[1])
        return self._array(Term(expression, term.forks, alone))

    def _same(self, first: np.ndarray, second: np.ndarray) -> bool:
        return bool(np.max(np.abs(first - second), initial=0) <= SAME * self.scale)

    def _sum(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return sum(arrays, np.zeros_like(self.true))

    # ------------------------------------------------------------------ one term left out or altered

    def _one_altered(self, level: _Level) -> Guess | None:
        best: Guess | None = None
        whole = self._sum(level.arrays)
        for term, array in zip(level.terms, level.arrays):
            rest = self.said - (whole - array)  # what the claim has in place of this term
            if self._same(rest, 0 * rest):
                return Guess(1.0, (self._missing(term),))
            best = _cheaper(best, self._slip(term, array, rest))
        return best

    def _slip(self, term: Term, array: np.ndarray, rest: np.ndarray) -> Guess | None:
        """The mistake that turns a term into what the claim has in its place."""
        best: Guess | None = None
        ratio = constant_ratio(rest, array)
        if ratio is not None and ratio != 1:
            sentence = "the sign is wrong" if ratio == -1 else f"the factor {ratio} is too much"
            best = Guess(1.0 if ratio == -1 else 1.4, (self._off(term, sentence),))
        for slip in slips(term.expression, self.truth.graph, self.truth.named, self._marked):
            if best is not None and slip.rank >= best.cost:
                continue
            altered = self._altered(term, slip.altered)
            if altered is not None and self._same(altered, rest) and not self._same(altered, array):
                best = Guess(slip.rank, (self._off(term, slip.sentence),))
        if best is None:
            factor = self._factor(array, rest)
            if factor is not None:
                best = Guess(3.5, (self._off(term, factor),))
        return best

    def _factor(self, array: np.ndarray, rest: np.ndarray) -> str | None:
        """The factor by which a term is wrong, entry by entry."""
        everywhere, graph = self.view, self.truth.graph
        if array.ndim != 2 or not np.all(np.abs(array) > 1e-12):
            return None
        for name in (name for name in graph.shapes if name in self.truth.named):
            for lag in (0,) if name in graph.static else (0, 1, -1):
                leaf = Value(name, lag)
                value = everywhere[leaf]
                if value.shape != array.shape and value.ndim != 1:
                    continue
                value = self._spread(value)
                spelled = self.spelling(leaf)
                if self._same(array * value, rest):
                    return f"the factor `{spelled}` is too much"
                if self._same(array * value**2, rest):
                    return f"the factor `{spelled} ** 2` is too much"
                if self._same(array * (1 - value), rest):
                    return f"the factor `1 - {spelled}` is too much"
                if self._same(array, rest * value):
                    return f"the factor `{spelled}` is missing"
                gradient = Adjoint(name, lag)
                known = everywhere[gradient]
                if known.shape == array.shape and self._same(array * known, rest):
                    return f"the factor {self._marked(gradient)} is too much"
        return None

    # ------------------------------------------------------------------ several

    def _some_missing(self, level: _Level) -> Guess | None:
        count = len(level.terms)
        if not 2 <= count <= MOST_SUBSET:
            return None
        random = np.random.default_rng(0).normal(size=self.true.size)
        weights = np.array([float(array.ravel() @ random) for array in level.arrays])
        gap = float((self.true - self.said).ravel() @ random)
        scale = SAME * self.scale * np.sqrt(self.true.size) * 10
        for size in range(2, count + 1):
            for chosen in combinations(range(count), size):
                if abs(weights[list(chosen)].sum() - gap) <= scale:
                    gone = self._sum([level.arrays[index] for index in chosen])
                    if self._same(self.true - gone, self.said):
                        missing = tuple(self._missing(level.terms[index]) for index in chosen)
                        return Guess(0.9 + 0.3 * size, missing)
        return None

    def _product_for_sum(self, level: _Level) -> Guess | None:
        """Two contributions that are multiplied and should be added."""
        arrays, whole = level.arrays, self._sum(level.arrays)
        for first, second in combinations(range(len(level.terms)), 2):
            rest = self.said - (whole - arrays[first] - arrays[second])
            left, right = level.terms[first], level.terms[second]
            for one, other in ((left, right), (right, left)):
                for local in (other.expression, *_without_upstream(other.expression)):
                    for base in (one.expression, *_without_upstream(one.expression)):
                        made = self._altered(one, Product((base, local)))
                        if made is not None and np.any(made) and self._same(made, rest):
                            sentence = (
                                "a product is written where a sum belongs: the contributions through "
                                f"`{self._reader(left)}` and through `{self._reader(right)}` are added"
                            )
                            return Guess(1.2, (self._off(left, sentence),))
        return None

    def _by_terms(self, level: _Level) -> Guess | None:
        """Compare each term of the claim with the term of the truth that it was meant to be."""
        said = claim_terms(self.case.said)
        if len(said) > MOST_CLAIMED:
            return None
        try:
            claimed = [self._spread(self.view.evaluate(expression)) for expression in said]
        except UNFIT:
            return None
        rest = [index for index in range(len(level.terms)) if np.any(level.arrays[index])]
        unmatched: list[int] = []
        for index, value in enumerate(claimed):
            match = next((other for other in rest if self._same(value, level.arrays[other])), None)
            if match is None:
                unmatched.append(index)
            else:
                rest.remove(match)
        findings: list[Finding] = []
        cost = 0.0
        for index in list(unmatched):
            meant = [
                (guess, other)
                for other in rest
                if (guess := self._slip(level.terms[other], level.arrays[other], claimed[index])) is not None
            ]
            best, other = min(meant, key=lambda pair: pair[0].cost, default=(None, None))
            if best is not None and other is not None and best.cost < 4:
                cost += best.cost
                findings += best.findings
                rest.remove(other)
                unmatched.remove(index)
        extra = [index for index in unmatched if not self._same(claimed[index], 0 * claimed[index])]
        for index in rest:
            findings.append(self._missing(level.terms[index]))
            cost += 1.0 if not extra else 2.0
        for index in extra:
            findings.append(self._extra(said[index]))
            cost += 1.0 if not rest else 2.0
        return Guess(cost, tuple(findings)) if findings else None

    # ------------------------------------------------------------------ findings

    def _missing(self, term: Term) -> Finding:
        through = self._reader(term)
        spelled = self.spelling(term.expression)
        step = _step(term)
        if term.forks and term.reader.kind == OUTPUT:
            sentence = f"the gradient from outside is missing: `{spelled}`"
        elif through and step is not None:
            sentence = f"the contribution of step {step} is missing: `{spelled}`"
        elif through:
            when = "the next step" if term.reader.lag == 1 else "the same step"
            reader = through if through == LOSS else f"`{through}`"
            sentence = f"the contribution through {reader}, in {when}, is missing: `{spelled}`"
        else:
            sentence = f"{'a path' if self._of_derivative else 'a term'} is missing: `{spelled}`"
        return finding(MISSING, sentence + _last_note(term), spelled, through)

    def _extra(self, expression: Expression) -> Finding:
        spelled = self.spelling(expression)
        bare = (
            ""
            if has_gradient(expression) or not self._of_gradient
            else ("; it contains no gradient: it is a local derivative without its upstream gradient")
        )
        return finding(EXTRA, f"the term `{spelled}` does not belong there{bare}", spelled)

    def _off(self, term: Term, sentence: str) -> Finding:
        spelled = self.spelling(term.expression)
        several = len(self.levels[0]) > 1 or len(term.forks) > 1
        told = (
            f"{sentence}; the term should be `{spelled}`" if several and spelled not in sentence else sentence
        )
        return finding(OFF, told + _last_note(term), spelled, self._reader(term))

    def _marked(self, expression: Expression) -> str:
        """An expression within a sentence."""
        return f"`{self.spelling(expression)}`"

    def _reader(self, term: Term) -> str:
        """The reader that a term comes through: c[t+1]."""
        if not term.forks:
            return ""
        if term.reader.kind == OUTPUT:
            return OUTSIDE
        reader = self.truth.reader_of(term)
        if reader is None:
            return LOSS
        step = _step(term)
        return self.spelling(Value(reader.name, reader.lag if step is None else lag_to(step)))


def _step(term: Term) -> int | None:
    """The step of a term, if the claim names it by a number."""
    return next((step_of(lag, 0) for lag, _ in term.limits if is_number(lag)), None)


def _last_note(term: Term) -> str:
    return " (only at the last step, where the loss is)" if term.last_only else ""


def _without_upstream(expression: Expression) -> Iterator[Expression]:
    match expression:
        case Product(factors=factors):
            kept = tuple(factor for factor in factors if not has_gradient(factor))
            if kept and len(kept) < len(factors):
                yield kept[0] if len(kept) == 1 else Product(kept)


_AnyGuess = TypeVar("_AnyGuess", bound=Guess)


def _cheaper(first: _AnyGuess | None, second: _AnyGuess | None) -> _AnyGuess | None:
    if first is None or (second is not None and second.cost < first.cost):
        return second
    return first
