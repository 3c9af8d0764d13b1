"""What is wrong with a claim: the findings, and the correct equation in the same terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..language.expressions import Call, Expression, Power, Value, substitute, walk
from .altering import Explainer
from .case import Case
from .correct import correct, in_a_line, true_terms
from .forms import PARTIAL, SUM_T, TOTAL, VIA, named_stages
from .judgement import OFF, OTHER, SHAPE, Finding, finding
from .slips import shape_slips


@dataclass(frozen=True)
class Explained:
    """What is wrong with a claim, and its right side as it should be."""

    findings: tuple[Finding, ...]
    correct: Expression | None
    off: tuple[Expression, ...] = ()  # the terms of the claim that are wrong, where others are right


def explain(case: Case, within_sum: bool = True) -> Explained:
    """Why the two sides differ. `within_sum`: the claim inside a sum over the steps is examined."""
    simpler = _inside_sum(case) if within_sum else None
    if simpler is not None:
        inner = explain(simpler)
        if inner.findings and inner.findings[0].kind != OTHER:
            return Explained(inner.findings, None if inner.correct is None else Call(SUM_T, (inner.correct,)))
    found = true_terms(case)
    if found is None:
        return Explained((_unexplained(),), None)
    other = _other_derivative(case)
    if other is not None:
        return Explained((other,), correct(case))
    explainer = Explainer(case, found.truth, found.levels(case))
    explanation = explainer.best()
    if explanation is None:
        return Explained((_unexplained(),), correct(case), explainer.off_terms(found.terms))
    off = explainer.off_terms(explanation.terms)
    if isinstance(case.subject, Call) and case.subject.function == SUM_T and not case.by_number:
        return Explained(explanation.findings, correct(case), off)
    return Explained(explanation.findings, in_a_line(case, explanation.terms), off)


def remarks(case: Case) -> Iterator[Finding]:
    """What is to be known of a right side before its terms are looked at."""
    if not case.is_finite():
        yield Finding(OTHER, "the right side is not a finite number everywhere")
    for node in dict.fromkeys(node for node in walk(case.said) if isinstance(node, Power)):
        if len(case.view.shape(node)) == 2:
            base = case.spell(node.base)
            yield finding(OTHER, f"** is the power of each entry: `{base}` times itself is written `{base} @ {base}`")


def explain_mismatch(case: Case, message: str) -> Explained:
    """Why the shapes of the two sides do not fit."""
    finding = Finding(SHAPE, f"the shapes do not fit: {message}")
    for altered, sentence in shape_slips(case.said):
        if case.other(case.subject, altered).fits_and_holds():
            return Explained((Finding(OFF, sentence), finding), correct(case))
    return Explained((finding,), correct(case))


def _unexplained() -> Finding:
    return Finding(OTHER, "the two sides differ, and no common mistake alone explains it")


def _inside_sum(case: Case) -> Case | None:
    """The claim about one step inside a claim about the sum over the steps."""
    match case.subject, case.said:
        case Call(function="sum_t", arguments=(subject,)), Call(function="sum_t", arguments=(said,)):
            inner = case.other(subject, said)
            return inner if inner.mismatch() is None and not inner.holds(inner.scene) else None
    return None


def _other_derivative(case: Case) -> Finding | None:
    """A derivative in the claim, partial(A, B) or via(A, B), with one wrong name."""
    forms = dict.fromkeys(node for node in walk(case.said) if isinstance(node, Call))
    names = [name for name in case.graph.shapes if name in named_stages(case.graph)]
    for form in forms:
        if form.function not in (PARTIAL, TOTAL, VIA):
            continue
        for position, named in enumerate(form.arguments):
            if not isinstance(named, Value):
                continue
            for name in names:
                if name == named.name:
                    continue
                arguments = list(form.arguments)
                arguments[position] = Value(name, named.lag)
                meant = Call(form.function, tuple(arguments))
                if case.other(case.subject, substitute(case.said, form, meant)).fits_and_holds():
                    told = f"`{case.spell(meant)}` belongs there, not `{case.spell(form)}`"
                    return finding(OFF, told, case.spell(meant))
    return None
