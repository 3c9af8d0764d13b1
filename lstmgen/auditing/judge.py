"""Compare claims with the derivation: a verdict for each, and the correction.

    case.py        whether it holds: numbers decide, however the claim is written
    conditions.py  under which condition it does
    explain.py     what is wrong with it, found by trying (altering.py)
    correct.py     the equation as it should be
    example.py     both sides in numbers
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..derivation.chain import Derivation
from ..derivation.graph import Graph
from ..errors import Mistake
from ..language.expressions import Adjoint, Expression, Value
from . import claims as _claims
from .case import Case
from .correct import correct
from .claims import USUAL_STEPS, Claim, Claims
from .conditions import NOT_FIRST, conditions, turned_layout, where_complete
from .example import example
from .explain import Explained, explain, explain_mismatch, remarks
from .judgement import GIVEN, HOLDS, INCOMPLETE, LOSS, MISSING, NOT_READ, OTHER, OUTSIDE, WRONG, Audit, Finding, Judgement
from .scenes import Scenes
from .spelling import Spelling


def audit(claims: Claims) -> Audit:
    """Judge every claim of a file."""
    judge = Judge(claims.graph, Spelling(claims.graph, claims.names), claims.steps)
    return Audit(claims, tuple(judge.judge(claim) for claim in claims.claims))


def audit_file(path: str | Path) -> Audit:
    """The same for a file by its path."""
    return audit(_claims.load(path))


class Judge:
    """Judges claims about one cell."""

    def __init__(
        self, graph: Graph, spelling: Spelling, steps: int = USUAL_STEPS, derivation: Derivation | None = None
    ):
        self.spelling, self.steps = spelling, steps
        self.scenes = Scenes(graph, derivation)

    def judge(self, claim: Claim) -> Judgement:
        """The verdict on one claim and all that explains it."""
        if claim.mistakes:
            return Judgement(claim, NOT_READ, findings=tuple(Finding(OTHER, told(mistake)) for mistake in claim.mistakes))
        with np.errstate(all="ignore"):
            return _judgement(claim, Case(self.scenes, self.spelling, self.steps, claim.subject, claim.said))


def told(mistake: Mistake) -> str:
    """Why a claim is not read, with its place and the cure."""
    cure = f"; {mistake.cure}" if mistake.cure else ""
    return f"line {mistake.place.line}, column {mistake.place.column}: {mistake.message}{cure}"


def _judgement(claim: Claim, case: Case) -> Judgement:
    unsayable = case.unsayable()
    if unsayable is not None:
        return Judgement(claim, NOT_READ, findings=(Finding(OTHER, unsayable),))
    message = case.mismatch()
    if message is not None and turned_layout(case) and case.holds_turned():
        return _judged(claim, case, GIVEN, turned_layout(case), Explained((), correct(case)))
    if message is not None:
        return _mismatched(claim, case, explain_mismatch(case, message))
    if case.holds(case.scene) or case.holds_exactly():
        return Judgement(claim, HOLDS)
    given = next(conditions(case), None)
    if given is None:
        return _without_excuse(claim, case)
    if given == NOT_FIRST:  # nothing is wrong with its terms
        return _judged(claim, case, GIVEN, given, Explained((), correct(case)))
    explained = explain(case, within_sum=not given.startswith("zero"))
    known = tuple(each for each in explained.findings if each.kind != OTHER)
    return _judged(claim, case, GIVEN, given, Explained(known, explained.correct))


def _without_excuse(claim: Claim, case: Case) -> Judgement:
    """Incomplete, where all that is there is right; wrong in every other case."""
    told = explain(case)
    lacks = case.is_finite() and all(each.kind == MISSING for each in told.findings)
    if not lacks or isinstance(case.subject, Value) or case.says_nothing():
        return _judged(claim, case, WRONG, "", replace(told, findings=(*remarks(case), *told.findings)))
    if all(each.through in (OUTSIDE, LOSS) for each in told.findings):
        here = f" at {case.spell(Value(case.subject.name))}" if isinstance(case.subject, Adjoint) else ""
        return _judged(claim, case, GIVEN, f"no gradient from outside{here}", told)
    return _judged(claim, case, INCOMPLETE, where_complete(case), told)


def _judged(claim: Claim, case: Case, verdict: str, given: str, explained: Explained) -> Judgement:
    correct = None if explained.correct is None else case.as_written(explained.correct)
    whole = case.subject != claim.subject and not case.moved  # a claim on d_W that is one on the sum over the steps
    left = case.spelling(case.subject) if whole else claim.name
    return Judgement(
        claim,
        verdict,
        given,
        explained.findings,
        _equation(case, left, correct),
        correct,
        case.subject if whole else None,
        example(case),
        tuple(map(case.as_written, explained.off)) if verdict == WRONG else (),
        tuple(map(case.spell, explained.off)) if verdict == WRONG else (),
    )


def _mismatched(claim: Claim, case: Case, explained: Explained) -> Judgement:
    correct = None if explained.correct is None else case.as_written(explained.correct)
    return Judgement(claim, WRONG, "", explained.findings, _equation(case, claim.name, correct), correct)


def _equation(case: Case, left: str, right: Expression | None) -> str:
    return f"{left} = {case.spelling(right)}" if right is not None else ""
