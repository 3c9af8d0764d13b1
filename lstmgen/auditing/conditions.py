"""Conditions under which a claim holds that does not always hold: no peepholes, zero initial states.

And for a claim that lacks a contribution: where it is complete, or which contribution it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..language.expressions import Adjoint, Call, Expression, Outside, Value, walk
from .arrays import close, diagonal
from .case import CLOSE, Case
from .forms import PARTIAL, STEP, SUM_T, VIA, is_number
from .truth import Truth, has_gradient, joined_in

NOT_FIRST = "every step but the first, which has no step before it"


def conditions(case: Case) -> Iterator[str]:
    """All conditions under which the claim holds, the most informative first."""
    last = case.spoken_of[-1]
    others = case.spoken_of[1:]  # but the first step
    before = _reads_what_never_was(case)
    if not case.is_finite(others if before else None):
        return  # a number that does not exist is no reason for a milder verdict
    if (before or case.spoken_of[0] == 0) and case.holds(case.scene, others):
        yield NOT_FIRST
    if case.graph.has_loss_at_last and _tells(case):
        if last == case.steps and case.holds(case.scene, case.spoken_of[:-1]):
            yield "every step but the last, the only one that has a loss"
        if set(case.graph.targets) & _names(case) and case.holds(case.scene, (last,)):
            yield "t = T, the last step, the only one that has a loss"
    peepholes = set(case.scenes.peepholes)
    if peepholes and not _names(case) & peepholes:
        scene = case.scenes.without_peepholes(case.steps)
        if scene is not None and case.holds(scene):
            yield "no peepholes"
    scene = case.scenes.from_zero(case.steps)
    if scene is not None and case.holds(scene):
        yield "zero initial states"
    match case.subject:
        case Call(function="total", arguments=(above, below) as arguments) if _is_immediate(case, arguments):
            derivative = f"partial({case.spelling(above)}, {case.spelling(below)})"
            yield f"the direct path alone: it is the local derivative {derivative}"
    layout = turned_layout(case)
    if layout and _is_transposed(case):
        yield layout


def where_complete(case: Case) -> str:
    """Where a claim that lacks a contribution is complete, or which contribution it is; "" where neither can be said."""
    leaves = _leaves(case.written)
    ahead = any(leaf.lag > 0 and not is_number(leaf.lag) for leaf in leaves) or bool(joined_in(case.said))
    branch, last = _branch_alone(case), case.spoken_of[-1]
    if _tells(case) and not ahead and case.holds(case.scene, (last,)):
        also = f"; it is the contribution {branch} alone" if branch else ""
        if case.graph.has_loss_at_last:
            return f"complete at t = T, the last step, the only one that has a loss{also}"
        return f"complete at t = T, the last step, where nothing comes back from step t + 1{also}"
    return f"the contribution {branch} alone" if branch else ""


def _tells(case: Case) -> bool:
    """Whether it speaks of step t, with a gradient or a target in it."""
    speaks = has_gradient(case.said) or bool(_names(case) & set(case.graph.targets))
    return speaks and not case.by_number and not _has_sum(case.said)


def _names(case: Case) -> set[str]:
    return {leaf.name for leaf in _leaves(case.said)}


def _leaves(expression: Expression) -> list[Value | Adjoint | Outside]:
    return [node for node in walk(expression) if isinstance(node, (Value, Adjoint, Outside))]


def _has_sum(expression: Expression) -> bool:
    return any(isinstance(node, Call) and node.function == SUM_T for node in walk(expression))


def _reads_what_never_was(case: Case) -> bool:
    """Whether the claim reads a value of step 0 that is not a state."""
    still = {*case.graph.states, *case.graph.static}
    return any(isinstance(leaf, Value) and leaf.lag < 0 and leaf.name not in still for leaf in _leaves(case.said))


def _branch_alone(case: Case) -> str:
    """Where the only contribution that the claim has comes from, if there are others."""
    subject, derivation = case.subject, case.scenes.derivation
    if not isinstance(subject, Adjoint) or subject.name in case.graph.static:
        return ""
    gradient = derivation.adjoints.get(subject.name)
    if gradient is None or len(gradient.forks) < 2:
        return ""
    truth, said = Truth(derivation), case.pair(case.scene)[1]
    terms = truth.terms(subject.name)
    readers = [(Value(STEP, 0), "from the same step"), (Value(STEP, 1), "from the next step")]
    named = dict.fromkeys(reader for reader in map(truth.reader_of, terms) if reader is not None)
    readers += [(reader, f"through {case.spell(reader)}") for reader in named]
    for reader, told in readers:
        chosen = [term for term in terms if truth.goes_through(term, reader)]
        if 0 < len(chosen) < len(terms):
            share = case.view.evaluate(Call(VIA, (Adjoint(subject.name), reader)))
            if np.any(share) and close(said, share, CLOSE):
                return told
    return ""


def _is_immediate(case: Case, arguments: tuple[Expression, ...]) -> bool:
    """Whether the local derivative is claimed for a total derivative."""
    true = case.view.evaluate(Call(PARTIAL, arguments))
    said = case.view.evaluate(case.said)
    if true.ndim != said.ndim:
        true, said = (diagonal(each, case.scene.math) if each.ndim == 2 else each for each in (true, said))
    return true.shape == said.shape and close(said, true, CLOSE)


def turned_layout(case: Case) -> str:
    """How the layout is called in which a claim on this may be transposed; "" where there is none."""
    match case.subject:
        case Call(function="partial" | "total"):
            return "the transposed layout of a derivative, with a row for each entry of the denominator"
        case Adjoint(name=name) | Call(function="sum_t", arguments=(Adjoint(name=name),)):
            if name in case.graph.parameters and len(case.graph.shapes[name]) == 2:
                theirs = case.spelling(Value(name))
                return f"the transposed layout of {theirs}, as where v @ {theirs} is written"
    return ""


def _is_transposed(case: Case) -> bool:
    true, said = case.pair(case.scene)
    return true.ndim == 3 and true.shape[1] == true.shape[2] and close(said, np.swapaxes(true, 1, 2), CLOSE)
