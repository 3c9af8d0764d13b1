"""Conditions under which a claim holds that does not always hold: t = T, no peepholes, one contribution alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..language.expressions import Adjoint, Call, Expression, Outside, Value, walk
from .arrays import close, diagonal
from .case import CLOSE, Case
from .forms import PARTIAL, STEP, SUM_T, TOTAL, VIA, is_number
from .truth import Truth, has_gradient, joined_in


def conditions(case: Case) -> Iterator[str]:
    """All conditions under which the claim holds, the most informative first."""
    leaves, written = _leaves(case.said), _leaves(case.written)
    ahead = any(leaf.lag > 0 and not is_number(leaf.lag) for leaf in written) or bool(joined_in(case.said))
    names = {leaf.name for leaf in leaves}
    branch = _branch_alone(case)
    last = case.steps
    at_end = (last - max(case.moved, 0),)  # step t = T of the claim as it is written
    if _reads_what_never_was(case, leaves) and case.holds(case.scene, range(2, last + 1)):
        yield "every step but the first, which has no step before it"
    tells = has_gradient(case.said) or bool(names & set(case.graph.targets))
    if tells and not case.by_number and not _has_sum(case.said):
        if not ahead and case.holds(case.scene, at_end):
            also = f": it is the contribution {branch} alone" if branch else ""
            yield f"t = T, the last step, where nothing comes back from step t + 1{also}"
        if branch:
            yield f"the contribution {branch} alone"
        if case.graph.has_loss_at_last and case.holds(case.scene, range(1, last)):
            yield "every step but the last"
        if case.graph.has_loss_at_last and case.holds(case.scene, (last,)):
            yield "t = T, the last step, the only one that has a loss"
    peepholes = set(case.scenes.peepholes)
    if peepholes and not names & peepholes:
        scene = case.scenes.without_peepholes(case.steps)
        if scene is not None and case.holds(scene):
            yield "no peepholes"
        if scene is not None and not ahead and not case.by_number and case.holds(scene, at_end) and tells:
            yield "no peepholes and t = T, the last step, where nothing comes back from step t + 1"
    scene = case.scenes.from_zero(case.steps)
    if scene is not None and case.holds(scene):
        yield "zero initial states"
    match case.subject:
        case Call(function="total", arguments=(above, below) as arguments) if _is_immediate(case, arguments):
            derivative = f"partial({case.spelling(above)}, {case.spelling(below)})"
            yield f"the direct path alone: it is the local derivative {derivative}"
    if isinstance(case.subject, Call) and case.subject.function in (PARTIAL, TOTAL) and _is_transposed(case):
        yield "the transposed layout of a derivative, with a row for each entry of the denominator"


def _leaves(expression: Expression) -> list[Value | Adjoint | Outside]:
    return [node for node in walk(expression) if isinstance(node, (Value, Adjoint, Outside))]


def _has_sum(expression: Expression) -> bool:
    return any(isinstance(node, Call) and node.function == SUM_T for node in walk(expression))


def _reads_what_never_was(case: Case, leaves: Sequence[Value | Adjoint | Outside]) -> bool:
    """Whether the claim reads a value of step 0 that is not a state."""
    still = {*case.graph.states, *case.graph.static}
    return any(isinstance(leaf, Value) and leaf.lag < 0 and leaf.name not in still for leaf in leaves)


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
    readers += [(reader, f"through {case.spelling(reader)}") for reader in named]
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


def _is_transposed(case: Case) -> bool:
    true, said = case.pair(case.scene)
    return true.ndim == 3 and true.shape[1] == true.shape[2] and close(said, np.swapaxes(true, 1, 2), CLOSE)
