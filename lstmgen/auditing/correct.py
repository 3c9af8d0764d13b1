"""The equation as it should be, as a sum of terms that speak of what the claim speaks of."""

from __future__ import annotations

from dataclasses import dataclass

from ..derivation.graph import Graph
from ..language.expressions import Adjoint, Call, Expression, Outside, Sum, Value, transform
from .case import Case
from .derivatives import derivative_terms
from .forms import SUM_T, is_number, step_of
from .truth import Reading, Term, Truth, gradients_of, joined_in, mentioned_in, opened_as_claimed, whole


@dataclass(frozen=True)
class TrueTerms:
    """What is true of the left side of a claim."""

    truth: Truth
    terms: tuple[Term, ...]

    def levels(self, case: Case) -> list[tuple[Term, ...]]:
        """The terms, and then with more and more gradients written out that the claim does not mention."""
        return opened_as_claimed(self.truth, self.terms, mentioned_in(case.said))


def _exists(term: Term, steps: int) -> bool:
    """Whether a term reads no gradient of a step, told by its number, after the last one: such a term is zero."""
    return not any(is_number(leaf.lag) and step_of(leaf.lag, 0) > steps for leaf in gradients_of(term.expression))


def true_terms(case: Case) -> TrueTerms | None:
    """The terms of what the claim is about; None where it has none."""
    truth = Truth(case.scenes.derivation, joined_in(case.said))
    match case.subject:
        case Call(function="sum_t", arguments=(Adjoint(name=name),)):
            terms = truth.terms(name)
            steps = [truth.at_step(term, step) for step in range(1, case.steps + 1) for term in terms]
            return TrueTerms(truth, tuple(steps))
        case Adjoint(name=name, lag=lag) if is_number(lag):
            return TrueTerms(truth, tuple(truth.at_step(term, step_of(lag, 0)) for term in truth.terms(name)))
        case Adjoint(name=name):
            return TrueTerms(truth, truth.terms(name))
        case Call(function="via", arguments=(Adjoint(name=name, lag=0), Value() as reader)):
            others = [via for via in joined_in(case.said) if via.call != case.subject]
            truth = Truth(case.scenes.derivation, others)
            through = tuple(term for term in truth.terms(name) if truth.goes_through(term, reader))
            return TrueTerms(truth, through)
        case Call(function="partial" | "total" as kind, arguments=(Value() as above, Value() as below)):
            terms = derivative_terms(case, kind, above, below)
            return TrueTerms(truth, terms) if terms else None
        case Value(name=name, lag=0):
            stage = case.graph.find(name)
            if stage is None:
                return None
            body = truth.inlined(stage.expression)
            body = body if name.endswith("_pre") else _with_pre(body, case.graph)
            parts = body.terms if isinstance(body, Sum) else (body,)
            return TrueTerms(truth, tuple(Term(part, ()) for part in parts))
    return None


def correct(case: Case) -> Expression | None:
    """The right side as it should be; None where it is no sum of terms."""
    found = true_terms(case)
    if found is None:
        return None
    match case.subject:
        case Call(function="sum_t", arguments=(Adjoint(name=name),)) if not case.by_number:
            return Call(SUM_T, (whole(found.truth.terms(name)),))
    return in_a_line(case, _fitting(found.levels(case), mentioned_in(case.said)))


def in_a_line(case: Case, terms: tuple[Term, ...]) -> Expression:
    """The sum of the terms. What the loss of the last step alone sends to an output is `dy`, zero at every other step."""
    terms = tuple(term for term in terms if _exists(term, case.steps))
    match case.subject:
        case Adjoint(name=name, lag=0) if name in case.graph.outputs:
            alone = case.scenes.derivation.last_step_only
            kept = tuple(term for term in terms if not (term.forks and term.forks[0].reader in alone))
            if len(kept) < len(terms):
                return whole((Term(Outside(name), ()), *kept))
    return whole(terms)


def _fitting(levels: list[tuple[Term, ...]], mentioned: set[Reading]) -> tuple[Term, ...]:
    """The level that speaks of the same gradients as the claim."""

    def strange(terms: tuple[Term, ...]) -> tuple[int, int]:
        leaves = {leaf for term in terms for leaf in gradients_of(term.expression)}
        return len(leaves - mentioned), len(terms)

    for terms in levels:
        if strange(terms)[0] == 0:
            return terms
    return min(levels, key=strange) if mentioned else levels[0]


def _with_pre(expression: Expression, graph: Graph) -> Expression:
    """A call on a pre-activation with its argument written out: what the equation says."""

    def rule(node: Expression) -> Expression | None:
        stage = graph.find(node.name) if isinstance(node, Value) else None
        if stage is not None and stage.name == f"{stage.owner}_pre":
            return stage.expression
        return None

    return transform(expression, rule)
