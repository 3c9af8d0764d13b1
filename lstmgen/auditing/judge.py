"""Claims held against the derivation: a verdict for each, and what would put it right.

Whether a claim holds is decided by numbers alone, at random points and at every step, in float64 and,
before anything is called wrong, in 90 digits: how a claim is written does not matter. What is wrong with
it is found by trying: the truth with a term cut, or altered as people alter it, until it is what the
claim says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import combinations

import numpy as np

from ..derivation.chain import OUTPUT, Derivation, derive
from ..derivation.graph import Graph
from ..language.evaluate import Digits, Mismatch
from ..language.expressions import (
    ONE,
    Adjoint,
    Call,
    Expression,
    MatVec,
    Outside,
    Product,
    Sum,
    Value,
    children,
    shift,
    transform,
    values,
    walk,
)
from ..language.shapes import Shape, ShapeMismatch, describe
from ..numerics.points import choose_sizes
from . import claims as _claims
from .claims import ABSOLUTE, PARTIAL, SUM_T, TOTAL, USUAL_STEPS, VIA, Claim, Claims, is_numbered, step_of
from .scene import NotFinite, Scene, Setting, View, named_stages
from .slips import slips
from .spelling import Spelling
from .truth import (
    Term,
    Truth,
    claim_terms,
    gradients_of,
    has_gradient,
    joined_in,
    mentioned_in,
    opened_as_claimed,
    whole,
)

HOLDS, GIVEN, WRONG = "holds", "holds given", "wrong"
MISSING, EXTRA, OFF, SHAPE, OTHER = "missing", "extra", "off", "shape", "other"

POINTS = 2
MANY_POINTS = 24  # where a cell makes choices
UNFIT = (ShapeMismatch, Mismatch, ValueError, TypeError, LookupError)  # what ill-fitting shapes raise
CHOICES = {"where", "max", "min", "clip", "relu", "leaky_relu", "elu", "abs", "sign", "floor"}
CLOSE = 1e-9  # in float64: beyond it the claim is looked at in 90 digits
EXACT = "1e-40"  # there
SAME = 1e-8  # of two arrays that are compared while an explanation is searched
MOST_SUBSET = 12  # terms of which every subset is tried
DEAR = 2.2  # findings that cost more are worth looking for others
READ_ALIKE = 8  # leaves that an example lists


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a claim, or that it leaves unsaid."""

    kind: str  # missing | extra | off | shape | other
    sentence: str
    term: str = ""  # of the truth, in the source's names; of the claim where the kind is extra
    through: str = ""  # who reads the value there, and when: c[t+1]


@dataclass(frozen=True)
class Example:
    """One small case in numbers."""

    where: str
    values: tuple[tuple[str, float], ...]
    claimed: float | None  # None: no number
    true: float


@dataclass(frozen=True)
class Judgement:
    """What there is to say about one claim."""

    claim: Claim
    verdict: str
    given: str = ""  # under which condition it holds
    findings: tuple[Finding, ...] = ()
    correct: str = ""  # the equation as it should be, in the source's names
    correct_expression: Expression | None = field(default=None, repr=False)
    correct_subject: Expression | None = field(default=None, repr=False)  # its left side, where it was moved
    example: Example | None = None

    @property
    def as_expected(self) -> bool:
        return self.claim.expect in (None, self.verdict)


@dataclass(frozen=True)
class Audit:
    """Every claim of a file with its judgement."""

    claims: Claims
    judgements: tuple[Judgement, ...]

    @property
    def holds(self) -> bool:
        """Whether no claim is wrong."""
        return all(judgement.verdict != WRONG for judgement in self.judgements)


def audit(claims: Claims) -> Audit:
    """Judge every claim of a file."""
    judge = Judge(claims.graph, Spelling(claims.graph, claims.names), claims.steps)
    return Audit(claims, tuple(judge.judge(claim) for claim in claims.claims))


def audit_file(path) -> Audit:
    """The same for a file by its path."""
    return audit(_claims.load(path))


class Judge:
    """Judges claims about one cell. Scenes are set once and serve every claim."""

    def __init__(
        self, graph: Graph, spelling: Spelling, steps: int = USUAL_STEPS, derivation: Derivation | None = None
    ):
        self.graph, self.spelling, self.steps = graph, spelling, steps
        self.derivation = derivation or derive(graph)
        self.sizes = choose_sizes(graph, 2)
        self._scenes: dict[tuple, Scene | None] = {}
        self._exact: dict[tuple, Scene] = {}

    # ------------------------------------------------------------------ scenes

    def scene(self, steps: int, zero_states=False, zero: tuple[str, ...] = (), small=False):
        """A scene of this kind; None where none is finite."""
        key = steps, zero_states, zero, small
        if key not in self._scenes:
            sizes = {symbol: 1 for symbol, _ in self.graph.dims} if small else self.sizes
            points = 1 if small else MANY_POINTS if self.chooses else POINTS
            wide = self.chooses and not small
            setting = Setting(steps, points, sizes, zero_states, zero, places=2 if small else None, wide=wide)
            try:
                self._scenes[key] = Scene(self.derivation, setting)
            except (NotFinite, Mismatch, ValueError):
                if not (zero or zero_states or small):
                    raise
                self._scenes[key] = None
        return self._scenes[key]

    def exact(self, scene: Scene, point: int) -> Scene:
        """One point of a scene, in 90 digits."""
        key = id(scene), point
        if key not in self._exact:
            setting = replace(scene.setting, keep=point, redraws=scene.redraws)
            self._exact[key] = Scene(self.derivation, setting, Digits())
        return self._exact[key]

    @cached_property
    def chooses(self) -> bool:
        """Whether the cell takes one branch or another: then points have to take both."""
        return any(
            isinstance(node, Call) and node.function in CHOICES
            for stage in self.graph.stages
            for node in walk(stage.expression)
        )

    @cached_property
    def peepholes(self) -> tuple[str, ...]:
        """Parameters through which an activation's argument sees a state that is no output."""
        graph, found = self.graph, {}
        inner = set(graph.states) - set(graph.outputs)
        for stage in graph.stages:
            if stage.name == f"{stage.owner}_pre":
                terms = stage.expression.terms if isinstance(stage.expression, Sum) else (stage.expression,)
                for term in terms:
                    names = {value.name for value in values(term)}
                    if names & inner and len(names) == 2:
                        found.update(dict.fromkeys(names & set(graph.parameters)))
        return tuple(found)

    # ------------------------------------------------------------------ one claim

    def judge(self, claim: Claim) -> Judgement:
        """The verdict on one claim and all that explains it."""
        with np.errstate(all="ignore"):
            return _Case(self, claim).judgement()


class _Case:
    """One claim, looked at from all sides."""

    def __init__(self, judge: Judge, claim: Claim):
        self.judge, self.claim, self.graph = judge, claim, judge.graph
        self.spelling = judge.spelling
        self.subject, self.said = self._normal(claim.subject, claim.said)
        self.by_number = is_numbered(self.said) or is_numbered(self.subject) or _has_bounds(self.said)
        self.steps = judge.steps if self.by_number else max(judge.steps, USUAL_STEPS)
        self.scene = judge.scene(self.steps)
        self.view = self.scene.everywhere()

    def _normal(self, subject: Expression, said: Expression) -> tuple[Expression, Expression]:
        """The claim as one about step t, or about the whole where it speaks of no step."""
        lag = getattr(subject, "lag", 0)
        if isinstance(subject, Call) and subject.function == VIA:
            lag = subject.arguments[0].lag
        if lag and lag <= ABSOLUTE // 2:
            subject, said = self._later(subject, -lag), self._later(said, -lag)
        static = isinstance(subject, Adjoint) and subject.name in self.graph.static
        if static and _is_timeless(said, self.graph.static):
            subject = Call(SUM_T, (subject,))
        return subject, said

    def _later(self, expression: Expression, steps: int) -> Expression:
        def rule(node: Expression) -> Expression | None:
            if isinstance(node, Value) and (node.name in self.graph.static or node.lag > ABSOLUTE // 2):
                return node
            if isinstance(node, (Adjoint, Outside)) and node.lag > ABSOLUTE // 2:
                return node
            if isinstance(node, Call) and node.function == VIA and node.arguments[1].name == _claims.STEP:
                return Call(VIA, (shift(node.arguments[0], steps), node.arguments[1]), node.at)
            if isinstance(node, Call) and node.function == SUM_T:
                return node
            return shift(node, steps) if isinstance(node, (Value, Adjoint, Outside)) else None

        return transform(expression, rule)

    # ------------------------------------------------------------------ the verdict

    def judgement(self) -> Judgement:
        try:
            true_shape, said_shape = self.view.shape(self.subject), self.view.shape(self.said)
        except ShapeMismatch as mismatch:
            return self._mismatched(mismatch.message)
        except UNFIT as problem:
            return self._mismatched(str(problem))
        if not self._meets(true_shape, said_shape):
            return self._mismatched(
                f"the left side is {describe(true_shape)}, the right side {describe(said_shape)}"
            )
        if self._holds(self.scene) or self._holds_exactly():
            undefined = self._where_undefined(self.scene)
            if undefined:
                return Judgement(self.claim, GIVEN, "that the right side is a number")
            return Judgement(self.claim, HOLDS)
        given = next(self._conditions(), None)
        if given:
            findings, correct = self._explained(within_sum=not given.startswith("zero"))
            return self._judged(GIVEN, given, ([each for each in findings if each.kind != OTHER], correct))
        return self._judged(WRONG, "", self._explained())

    def _meets(self, true: Shape, said: Shape) -> bool:
        if true == said or not said:
            return True
        derivative = isinstance(self.subject, Call) and self.subject.function in (PARTIAL, TOTAL)
        return derivative and {len(true), len(said)} == {1, 2} and true[0] == said[0] == said[-1]

    def _pair(self, scene: Scene, view: View | None = None) -> tuple[np.ndarray, np.ndarray]:
        """What is true and what the claim says, in one shape."""
        view = scene.everywhere() if view is None else view
        true, said = view.evaluate(self.subject), view.evaluate(self.said)
        if true.ndim == 2 and said.ndim == 3:
            true = _diagonal(true, scene)
        if said.ndim == 2 and true.ndim == 3:
            said = _diagonal(said, scene)
        if said.ndim == 1:
            said = said.reshape(said.shape + (1,) * (true.ndim - 1))
        return true, np.broadcast_to(said, true.shape)

    def _holds(self, scene: Scene, steps: Sequence[int] | None = None) -> bool:
        view = scene.view(steps) if steps is not None else scene.everywhere()
        true, said = self._pair(scene, view)
        finite = np.isfinite(said)
        if not finite.any() or not np.isfinite(true).all():
            return False
        return _close(np.where(finite, said, true), true, CLOSE, 1e-6 * scene.largest)

    def _where_undefined(self, scene: Scene) -> bool:
        return not np.isfinite(self._pair(scene)[1]).all()

    def _holds_exactly(self) -> bool:
        """In 90 digits, at the point where float64 is furthest off, before anything is called wrong."""
        true, said = self._pair(self.scene)
        off = (
            np.abs(np.where(np.isfinite(said), said - true, 0)).reshape(len(true), -1).max(axis=1, initial=0)
        )
        size = np.maximum(np.abs(true).reshape(len(true), -1).max(axis=1, initial=0), 1e-300)
        scene = self.judge.exact(self.scene, int(np.argmax(off / size)) % self.scene.points)
        true, said = self._pair(scene)
        bound = scene.math.number(EXACT)
        pairs = [(a, b) for a, b in zip(true.flat, said.flat) if scene.math.context.isfinite(b)]
        scale = max((max(abs(a), abs(b)) for a, b in pairs), default=0)
        scale = scale + scene.math.number("1e-30") * scene.largest
        return bool(pairs) and all(abs(a - b) <= bound * scale for a, b in pairs)

    # ------------------------------------------------------------------ conditions

    def _conditions(self) -> Iterator[str]:
        """Under which one the claim holds, the most telling first."""
        leaves = [node for node in walk(self.said) if isinstance(node, (Value, Adjoint, Outside))]
        ahead = any(0 < leaf.lag < ABSOLUTE // 2 for leaf in leaves) or bool(joined_in(self.said))
        names = {leaf.name for leaf in leaves}
        branch = self._branch_alone()
        last = self.steps
        if self._reads_what_never_was(leaves) and self._holds(self.scene, range(2, last + 1)):
            yield "every step but the first, which has no step before it"
        tells = has_gradient(self.said) or bool(names & set(self.graph.targets))
        if tells and not self.by_number and not _has_form(self.said, SUM_T):
            if not ahead and self._holds(self.scene, (last,)):
                also = f": it is the branch {branch} alone" if branch else ""
                yield f"t = T, the last step, where nothing comes back from step t + 1{also}"
            if branch:
                yield f"the branch {branch} alone"
            if self.scene.last_alone and self._holds(self.scene, range(1, last)):
                yield "every step but the last"
            if self.scene.last_alone and self._holds(self.scene, (last,)):
                yield "t = T, the last step, the only one that has a loss"
        if self.judge.peepholes and not names & set(self.judge.peepholes):
            scene = self.judge.scene(self.steps, zero=self.judge.peepholes)
            if scene is not None and self._holds(scene):
                yield "no peepholes"
            if (
                scene is not None
                and not ahead
                and not self.by_number
                and self._holds(scene, (last,))
                and tells
            ):
                yield "no peepholes and t = T, the last step, where nothing comes back from step t + 1"
        scene = self.judge.scene(self.steps, zero_states=True)
        if scene is not None and self._holds(scene):
            yield "zero initial states"
        if isinstance(self.subject, Call) and self.subject.function == TOTAL and self._is_immediate():
            above, below = (self.spelling(argument) for argument in self.subject.arguments)
            yield f"the direct path alone: it is the immediate derivative partial({above}, {below})"
        if isinstance(self.subject, Call) and self.subject.function in (PARTIAL, TOTAL):
            if self._is_transposed():
                yield "the transposed layout of a derivative, a row for each entry below the line"

    def _reads_what_never_was(self, leaves: Sequence[Expression]) -> bool:
        """Whether the claim reads a value of step 0 that is no state."""
        still = {*self.graph.states, *self.graph.static}
        return any(isinstance(leaf, Value) and leaf.lag < 0 and leaf.name not in still for leaf in leaves)

    def _branch_alone(self) -> str:
        """The one branch of the fork that the claim is, where there are others."""
        if not isinstance(self.subject, Adjoint) or self.subject.name in self.graph.static:
            return ""
        gradient = self.judge.derivation.adjoints.get(self.subject.name)
        if gradient is None or len(gradient.forks) < 2:
            return ""
        truth, said = Truth(self.judge.derivation), self._pair(self.scene)[1]
        terms = truth.terms(self.subject.name)
        readers = [
            (Value(_claims.STEP, 0), "within the step"),
            (Value(_claims.STEP, 1), "into the next step"),
        ]
        named = dict.fromkeys(reader for reader in map(truth.reader_of, terms) if reader is not None)
        readers += [(reader, f"through {self.spelling(reader)}") for reader in named]
        for reader, told in readers:
            chosen = [term for term in terms if truth.goes_through(term, reader)]
            if 0 < len(chosen) < len(terms):
                share = self.view.evaluate(Call(VIA, (Adjoint(self.subject.name), reader)))
                if np.any(share) and _close(said, share, CLOSE):
                    return told
        return ""

    def _is_immediate(self) -> bool:
        direct = Call(PARTIAL, self.subject.arguments)
        true = self.view.evaluate(direct)
        said = self.view.evaluate(self.said)
        if true.ndim != said.ndim:
            true, said = (_diagonal(each, self.scene) if each.ndim == 2 else each for each in (true, said))
        return true.shape == said.shape and _close(said, true, CLOSE)

    def _is_transposed(self) -> bool:
        true, said = self._pair(self.scene)
        return (
            true.ndim == 3 and true.shape[1] == true.shape[2] and _close(said, np.swapaxes(true, 1, 2), CLOSE)
        )

    # ------------------------------------------------------------------ explanation

    def _judged(
        self, verdict: str, given: str, explained: tuple[list[Finding], Expression | None]
    ) -> Judgement:
        findings, correct = explained
        moved = self.subject != self.claim.subject
        left = self.spelling(self.subject) if moved else self.claim.name
        return Judgement(
            self.claim,
            verdict,
            given,
            tuple(findings),
            f"{left} = {self.spelling(correct)}" if correct is not None else "",
            correct,
            self.subject if moved else None,
            self._example(),
        )

    def _mismatched(self, message: str) -> Judgement:
        finding = Finding(SHAPE, f"the shapes do not meet: {message}")
        nearest = None
        for altered, sentence in _shape_slips(self.said):
            case = _Case(self.judge, Claim(self.claim.name, self.claim.place, self.subject, "", altered))
            try:
                if case._meets(case.view.shape(case.subject), case.view.shape(case.said)) and case._holds(
                    case.scene
                ):
                    nearest = Finding(OFF, sentence)
                    break
            except UNFIT:
                continue
        findings = [nearest, finding] if nearest else [finding]
        correct = self._correct()
        equation = f"{self.claim.name} = {self.spelling(correct)}" if correct is not None else ""
        return Judgement(self.claim, WRONG, "", tuple(findings), equation, correct)

    def _truth(self) -> tuple[Truth, tuple[Term, ...]] | None:
        """The terms of what the claim is about; None where it has none."""
        truth = Truth(self.judge.derivation, joined_in(self.said))
        subject = self.subject
        match subject:
            case Call(function="sum_t", arguments=(Adjoint(name=name),)):
                terms = truth.terms(name)
                steps = [truth.at_step(term, step) for step in range(1, self.steps + 1) for term in terms]
                return truth, tuple(steps)
            case Adjoint(name=name, lag=lag) if lag > ABSOLUTE // 2:
                return truth, tuple(truth.at_step(term, step_of(lag, 0)) for term in truth.terms(name))
            case Adjoint(name=name):
                return truth, truth.terms(name)
            case Call(function="via", arguments=(target, reader)) if target.lag == 0:
                truth = Truth(
                    self.judge.derivation, [call for call in joined_in(self.said) if call != subject]
                )
                terms = truth.terms(target.name)
                return truth, tuple(term for term in terms if truth.goes_through(term, reader))
            case Call(function="partial", arguments=(above, below)):
                return self._local(truth, above, below)
            case Value(name=name, lag=0) if self.graph.find(name) is not None:
                body = truth.inlined(self.graph.stage(name).expression)
                body = body if name.endswith("_pre") else _with_pre(body, self.graph)
                return truth, tuple(Term(part, ()) for part in _opened_sum(body))
        return None

    def _local(self, truth: Truth, above: Value, below: Value):
        """A local derivative: the branches to one value, for a unit gradient."""
        reader = Value(above.name, above.lag - below.lag)
        terms = [term for term in truth.terms(below.name) if truth.goes_through(term, reader)]
        top = Adjoint(above.name, above.lag - below.lag)
        for _ in range(6):
            opened = []
            for term in terms:
                leaf = next((leaf for leaf in gradients_of(term.expression) if leaf != top), None)
                opened += truth.opened(term, leaf) if isinstance(leaf, Adjoint) else [term]
            terms = [term for term in opened if set(gradients_of(term.expression)) <= {top}]
        if not terms or any(
            isinstance(node, (MatVec, Call)) and has_gradient(node)
            for term in terms
            for node in walk(term.expression)
        ):
            return None
        made = [
            Term(
                _without_ones(transform(term.expression, lambda node: ONE if node == top else None)),
                term.forks,
            )
            for term in terms
        ]
        moved = [Term(self._later(term.expression, below.lag), term.forks) for term in made]
        return truth, tuple(moved)

    def _correct(self) -> Expression | None:
        """The equation as it should be, in terms of what the claim speaks of."""
        found = self._truth()
        if found is None:
            return None
        truth, terms = found
        if isinstance(self.subject, Call) and self.subject.function == SUM_T and not self.by_number:
            inner = whole(truth.terms(self.subject.arguments[0].name))
            return Call(SUM_T, (inner,))
        return whole(self._fitting(opened_as_claimed(truth, terms, mentioned_in(self.said))))

    def _fitting(self, levels: list[tuple[Term, ...]]) -> tuple[Term, ...]:
        """The level that speaks of the same gradients as the claim."""
        mentioned = mentioned_in(self.said)
        for terms in levels:
            leaves = {leaf for term in terms for leaf in gradients_of(term.expression)}
            if leaves <= mentioned:
                return terms

        def strange(terms: tuple[Term, ...]) -> tuple[int, int]:
            leaves = {leaf for term in terms for leaf in gradients_of(term.expression)}
            return len(leaves - mentioned), len(terms)

        return min(levels, key=strange) if mentioned else levels[0]

    def _explained(self, within_sum: bool = True) -> tuple[list[Finding], Expression | None]:
        simpler = self._inside_sum() if within_sum else None
        if simpler is not None:
            findings, correct = simpler._explained()
            if findings and findings[0].kind != OTHER:
                return findings, None if correct is None else Call(SUM_T, (correct,))
        found = self._truth()
        if found is None:
            return [self._unexplained()], None
        truth, terms = found
        levels = opened_as_claimed(truth, terms, mentioned_in(self.said))
        other = self._other_derivative()
        if other is not None:
            return [other], self._correct()
        explanation = Explainer(self, truth, levels).best()
        if explanation is None:
            return [self._unexplained()], self._correct()
        findings, level = explanation
        if isinstance(self.subject, Call) and self.subject.function == SUM_T and not self.by_number:
            return findings, self._correct()
        return findings, whole(level)

    def _other_derivative(self) -> Finding | None:
        """A derivative in the claim, partial(A, B) or via(A, B), of which one name is another's."""
        for form in dict.fromkeys(
            node
            for node in walk(self.said)
            if isinstance(node, Call) and node.function in (PARTIAL, TOTAL, VIA)
        ):
            for position, named in enumerate(form.arguments):
                for name in self.graph.shapes:
                    if not isinstance(named, Value) or name not in self._named or name == named.name:
                        continue
                    arguments = list(form.arguments)
                    arguments[position] = Value(name, named.lag)
                    meant = Call(form.function, tuple(arguments))
                    altered = transform(
                        self.said, lambda node, form=form, meant=meant: meant if node == form else None
                    )
                    if self._is_true(altered):
                        told = f"{self.spelling(meant)} belongs there, not {self.spelling(form)}"
                        return Finding(OFF, told, self.spelling(meant))
        return None

    @property
    def _named(self) -> frozenset[str]:
        return named_stages(self.graph)

    def _is_true(self, said: Expression) -> bool:
        try:
            case = _Case(self.judge, Claim(self.claim.name, self.claim.place, self.subject, "", said))
            return case._meets(case.view.shape(case.subject), case.view.shape(said)) and case._holds(
                case.scene
            )
        except UNFIT:
            return False

    def _unexplained(self) -> Finding:
        return Finding(OTHER, "the two sides differ, and no single usual mistake explains how")

    def _inside_sum(self) -> _Case | None:
        """The claim about one step that a claim about the sum over the steps makes."""
        match self.subject, self.said:
            case Call(function="sum_t", arguments=(subject,)), Call(function="sum_t", arguments=(said,)):
                case = _Case(self.judge, Claim(self.claim.name, self.claim.place, subject, "", said))
                try:
                    fits = case._meets(case.view.shape(case.subject), case.view.shape(case.said))
                except UNFIT:
                    return None
                return case if fits and not case._holds(case.scene) else None
        return None

    # ------------------------------------------------------------------ example

    def _example(self) -> Example | None:
        """A case in numbers: with cells of size 1, where that shows it."""
        steps = [min(2, self.steps), 1, self.steps]
        for small in (True, False):
            scene = self.judge.scene(self.steps, small=small)
            if scene is None:
                continue
            for step in steps:
                try:
                    true, said = self._pair(scene, scene.view((step,)))
                except UNFIT:
                    break
                off = np.abs(np.where(np.isfinite(said), said, np.inf) - true)
                if off.size and off.max() > 1e-4 * max(1e-3, np.abs(true).max()):
                    return self._example_at(scene, step, true, said, off, small)
        return None

    def _example_at(self, scene, step: int, true, said, off, small: bool) -> Example:
        at = np.unravel_index(int(np.argmax(off)), off.shape)
        entry = "" if small or true.ndim == 1 else f", entry {', '.join(str(index + 1) for index in at[1:])}"
        where = f"at a random point, step {step} of {scene.steps}{entry}"
        shown = []
        if small:
            where = f"every size 1, step {step} of {scene.steps}"
            shown = [(name, number) for name, number in self._readings(scene, step)]
        claimed = float(said[at])
        return Example(
            where, tuple(shown[:READ_ALIKE]), claimed if np.isfinite(claimed) else None, float(true[at])
        )

    def _readings(self, scene: Scene, step: int) -> Iterator[tuple[str, float]]:
        seen = set()
        for node in walk(self.said):
            if isinstance(node, (Value, Adjoint, Outside)) and node.name != _claims.STEP and node not in seen:
                seen.add(node)
                array = scene.view((step,))[node]
                if array.size == 1:
                    yield self.spelling(node), float(array.flat[0])


# ---------------------------------------------------------------- explanations by trying


class Explainer:
    """Alters the truth until it is what the claim says."""

    def __init__(self, case: _Case, truth: Truth, levels: list[tuple[Term, ...]]):
        self.case, self.truth, self.levels = case, truth, levels
        self.view, self.spelling = case.view, case.spelling
        self.true, self.said = case._pair(case.scene)
        self.scale = max(_largest(self.true), _largest(np.where(np.isfinite(self.said), self.said, 0)), 1e-12)

    def best(self) -> tuple[list[Finding], tuple[Term, ...]] | None:
        """The findings that cost least, and the terms in which they are told."""
        found = self._search(self.levels)
        if found is None or found[0] > DEAR:
            # the claim mentions a gradient by mistake: then it stopped the terms from being written out
            others = [
                level
                for level in opened_as_claimed(self.truth, self.levels[0], ())
                if level not in self.levels
            ]
            found = _cheaper(found, self._search(others))
        return None if found is None else found[1:]

    def _search(self, levels) -> tuple[float, list[Finding], tuple[Term, ...]] | None:
        best = None
        for position, level in enumerate(levels):
            arrays = [self._array(term) for term in level]
            if any(array is None for array in arrays) or not self._same(sum(arrays), self.true):
                continue
            for cost, findings in self._candidates(level, arrays):
                best = _cheaper(best, (cost + 0.1 * position, findings, level))
            if best is not None and best[0] <= 1.05 + 0.1 * position:
                break
        return best

    def _candidates(self, level, arrays) -> Iterator[tuple[float, list[Finding]]]:
        by_terms = self._by_terms(level, arrays)
        if by_terms is not None and by_terms[0] < 1.05:
            yield by_terms
            return
        single = self._one_altered(level, arrays)
        if single is not None:
            yield single
            if single[0] < 2:
                return
        subset = self._some_missing(level, arrays)
        if subset is not None:
            yield subset
        joined = self._product_for_sum(level, arrays)
        if joined is not None:
            yield joined
        if by_terms is not None:
            yield by_terms

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
            return _diagonal(array, self.case.scene)
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

    # ------------------------------------------------------------------ one term cut or altered

    def _one_altered(self, level, arrays) -> tuple[float, list[Finding]] | None:
        best: tuple[float, list[Finding]] | None = None
        rest_of = sum(arrays)
        for term, array in zip(level, arrays):
            rest = self.said - (rest_of - array)  # what stands in place of this term
            if self._same(rest, 0 * rest):
                return 1.0, [self._missing(term)]
            best = _cheaper(best, self._slip(term, array, rest))
        return best

    def _slip(self, term: Term, array: np.ndarray, rest: np.ndarray) -> tuple[float, list[Finding]] | None:
        """Which mistake makes of a term what stands in its place."""
        best = None
        ratio = _constant_ratio(rest, array)
        if ratio is not None and ratio != 1:
            sentence = "the sign is wrong" if ratio == -1 else f"the factor {ratio} is too much"
            best = (1.0 if ratio == -1 else 1.4), [self._off(term, sentence)]
        named = self.truth.named
        for slip in slips(term.expression, self.truth.graph, named, self.spelling):
            if best is not None and slip.rank >= best[0]:
                continue
            altered = self._altered(term, slip.altered)
            if altered is not None and self._same(altered, rest) and not self._same(altered, array):
                best = slip.rank, [self._off(term, slip.sentence)]
        if best is None:
            factor = self._factor(array, rest)
            if factor is not None:
                best = 3.5, [self._off(term, factor)]
        return best

    def _factor(self, array: np.ndarray, rest: np.ndarray) -> str | None:
        """The value by which a term is off, entry by entry."""
        scene, graph = self.case.scene, self.truth.graph
        if array.ndim != 2 or not np.all(np.abs(array) > 1e-12):
            return None
        for name in (name for name in graph.shapes if name in self.truth.named):
            for lag in (0,) if name in graph.static else (0, 1, -1):
                leaf = Value(name, lag)
                value = scene.everywhere()[leaf]
                if value.shape != array.shape and value.ndim != 1:
                    continue
                value = self._spread(value)
                spelled = self.spelling(leaf)
                if self._same(array * value, rest):
                    return f"the factor {spelled} is too much"
                if self._same(array * value**2, rest):
                    return f"the factor {spelled} ** 2 is too much"
                if self._same(array * (1 - value), rest):
                    return f"the factor 1 - {spelled} is too much"
                if self._same(array, rest * value):
                    return f"the factor {spelled} is missing"
                gradient = Adjoint(name, lag)
                known = scene.everywhere()[gradient] if graph.shapes[name] == graph.shapes.get(name) else None
                if known is not None and known.shape == array.shape and self._same(array * known, rest):
                    return f"the factor {self.spelling(gradient)} is too much"
        return None

    # ------------------------------------------------------------------ several

    def _some_missing(self, level, arrays) -> tuple[float, list[Finding]] | None:
        if not 2 <= len(level) <= MOST_SUBSET:
            return None
        random = np.random.default_rng(0).normal(size=self.true.size)
        weights = np.array([float(array.ravel() @ random) for array in arrays])
        gap = float((self.true - self.said).ravel() @ random)
        scale = SAME * self.scale * np.sqrt(self.true.size) * 10
        for count in range(2, len(level) + 1):
            for chosen in combinations(range(len(level)), count):
                if abs(weights[list(chosen)].sum() - gap) <= scale:
                    gone = sum(arrays[index] for index in chosen)
                    if self._same(self.true - gone, self.said):
                        return 0.9 + 0.3 * count, [self._missing(level[index]) for index in chosen]
        return None

    def _product_for_sum(self, level, arrays) -> tuple[float, list[Finding]] | None:
        """Two terms multiplied where the rule of the fork adds them."""
        for first, second in combinations(range(len(level)), 2):
            rest = self.said - (sum(arrays) - arrays[first] - arrays[second])
            left, right = level[first], level[second]
            for one, other in ((left, right), (right, left)):
                for local in (other.expression, *_without_upstream(other.expression)):
                    for base in (one.expression, *_without_upstream(one.expression)):
                        made = self._altered(one, Product((base, local)))
                        if made is not None and np.any(made) and self._same(made, rest):
                            sentence = (
                                "a product stands where the rule of the fork is a sum: the gradients that "
                                f"come back through {self._reader(left)} and through {self._reader(right)} "
                                "add up"
                            )
                            return 1.2, [self._off(left, sentence), self._off(right, sentence)][:1]
        return None

    def _by_terms(self, level, arrays) -> tuple[float, list[Finding]] | None:
        """Each term of the claim beside the term of the truth that it was meant to be."""
        said = claim_terms(self.case.said)
        if len(said) > 24:
            return None
        values_ = []
        for expression in said:
            try:
                values_.append(self._spread(self.view.evaluate(expression)))
            except UNFIT:
                return None
        rest = [index for index in range(len(level)) if np.any(arrays[index])]
        open_: list[int] = []
        for index, value in enumerate(values_):
            match = next((other for other in rest if self._same(value, arrays[other])), None)
            if match is None:
                open_.append(index)
            else:
                rest.remove(match)
        findings, cost = [], 0.0
        for index in list(open_):
            best, chosen = None, None
            for other in rest:
                cheaper = _cheaper(best, self._slip(level[other], arrays[other], values_[index]))
                if cheaper is not best:
                    best, chosen = cheaper, other
            if best is not None and best[0] < 4:
                cost += best[0]
                findings += best[1]
                rest.remove(chosen)
                open_.remove(index)
        groups = [index for index in open_ if not self._same(values_[index], 0 * values_[index])]
        for index in rest:
            findings.append(self._missing(level[index]))
            cost += 1.0 if not groups else 2.0
        for index in groups:
            findings.append(self._extra(said[index]))
            cost += 1.0 if not rest else 2.0
        return (cost, findings) if findings else None

    # ------------------------------------------------------------------ findings

    def _missing(self, term: Term) -> Finding:
        through = self._reader(term)
        spelled = self.spelling(term.expression)
        if term.forks and term.reader.kind == OUTPUT:
            sentence = f"what arrives from outside is missing: {spelled}"
        elif through and self._step(term) is not None:
            sentence = f"the share of step {self._step(term)} is missing: {spelled}"
        elif through:
            when = "the next step" if self._lag(term) == 1 else "the same step"
            sentence = f"the branch of the fork through {through}, in {when}, is missing: {spelled}"
        else:
            sentence = f"a term is missing: {spelled}"
        return Finding(MISSING, sentence + self._last_note(term), spelled, through)

    def _extra(self, expression: Expression) -> Finding:
        spelled = self.spelling(expression)
        bare = (
            ""
            if has_gradient(expression)
            else ("; it holds no gradient, so it is a local derivative whose upstream gradient was left out")
        )
        return Finding(EXTRA, f"the term {spelled} does not belong there{bare}", spelled)

    def _off(self, term: Term, sentence: str) -> Finding:
        spelled = self.spelling(term.expression)
        several = len(self.levels[0]) > 1 or len(term.forks) > 1
        told = (
            f"{sentence}; the term should be {spelled}" if several and spelled not in sentence else sentence
        )
        return Finding(OFF, told + self._last_note(term), spelled, self._reader(term))

    def _last_note(self, term: Term) -> str:
        return " (at the last step only, where the loss is)" if term.last_only else ""

    def _step(self, term: Term) -> int | None:
        """The step of a term that is told by its number."""
        return next((lag - ABSOLUTE for lag, _ in term.limits if lag > ABSOLUTE // 2), None)

    def _lag(self, term: Term) -> int:
        return term.reader.lag if term.forks else 0

    def _reader(self, term: Term) -> str:
        """Who reads the value along a term: c[t+1]."""
        if not term.forks:
            return ""
        reader = self.truth.reader_of(term)
        if term.reader.kind == OUTPUT:
            return "the output"
        if reader is None:
            return "the loss"
        step = self._step(term)
        return self.spelling(Value(reader.name, reader.lag if step is None else ABSOLUTE + step))


# ---------------------------------------------------------------- helpers


def _close(said: np.ndarray, true: np.ndarray, bound: float, floor: float = 0.0) -> bool:
    """Row by row: a small gradient is not lost beside a large one. `floor` is what counts as rounding."""
    rows = len(true)
    difference = np.abs(said - true).reshape(rows, -1).max(axis=1, initial=0)
    sizes = np.maximum(np.abs(true), np.abs(said)).reshape(rows, -1).max(axis=1, initial=0)
    return bool(
        np.all(difference <= bound * np.maximum(np.maximum(sizes, 1e-4 * sizes.max(initial=0)), floor))
    )


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0))


def _diagonal(array: np.ndarray, scene: Scene) -> np.ndarray:
    return array[:, :, None] * scene.math.array(np.eye(array.shape[1]))[None]


def _cheaper(first, second):
    if first is None or (second is not None and second[0] < first[0]):
        return second
    return first


def _constant_ratio(above: np.ndarray, below: np.ndarray) -> Fraction | None:
    """The number that one array is of the other."""
    at = int(np.argmax(np.abs(below)))
    if not below.flat[at]:
        return None
    ratio = float(above.flat[at] / below.flat[at])
    if not np.isfinite(ratio) or abs(ratio) > 1000:
        return None
    near = Fraction(ratio).limit_denominator(24)
    scale = max(_largest(above), _largest(below))
    return near if near and np.max(np.abs(above - float(near) * below)) <= SAME * scale else None


def _without_upstream(expression: Expression) -> Iterator[Expression]:
    match expression:
        case Product(factors=factors):
            kept = tuple(factor for factor in factors if not has_gradient(factor))
            if kept and len(kept) < len(factors):
                yield kept[0] if len(kept) == 1 else Product(kept)


def _without_ones(expression: Expression) -> Expression:
    match expression:
        case Product(factors=factors):
            kept = tuple(factor for factor in map(_without_ones, factors) if factor != ONE)
            return ONE if not kept else kept[0] if len(kept) == 1 else Product(kept)
    return expression


def _opened_sum(expression: Expression) -> tuple[Expression, ...]:
    return expression.terms if isinstance(expression, Sum) else (expression,)


def _with_pre(expression: Expression, graph: Graph) -> Expression:
    """A call on a pre-activation with its argument written out: what the equation says."""

    def rule(node: Expression) -> Expression | None:
        stage = graph.find(node.name) if isinstance(node, Value) else None
        if stage is not None and stage.name == f"{stage.owner}_pre":
            return stage.expression
        return None

    return transform(expression, rule)


def _has_form(expression: Expression, form: str) -> bool:
    return any(isinstance(node, Call) and node.function == form for node in walk(expression))


def _has_bounds(expression: Expression) -> bool:
    return any(
        isinstance(node, Call) and node.function == SUM_T and len(node.arguments) > 1
        for node in walk(expression)
    )


def _is_timeless(expression: Expression, static: frozenset[str]) -> bool:
    """Whether it speaks of steps by their numbers, or of all of them, and of no step t."""
    timed = False

    def look(node: Expression) -> bool:
        nonlocal timed
        if isinstance(node, Call) and node.function == SUM_T:
            timed = True
            return True
        if isinstance(node, (Adjoint, Outside)) or (isinstance(node, Value) and node.name not in static):
            if node.lag <= ABSOLUTE // 2:
                return False
            timed = True
        return all(look(child) for child in children(node))

    return look(expression) and timed


def _shape_slips(said: Expression) -> Iterator[tuple[Expression, str]]:
    """What may have been meant where shapes do not meet."""
    yield (
        Call("transpose", (said,)),
        "the right side is transposed: a gradient has the shape of what it is the gradient of",
    )
    for node in walk(said):
        match node:
            case Call(function="outer", arguments=(left, right)):
                yield (
                    _put(said, node, Call("outer", (right, left))),
                    ("the outer product is transposed: the gradient of a matrix has the matrix's shape"),
                )
            case MatVec(matrix=Call(function="transpose", arguments=(matrix,)), vector=vector):
                yield _put(said, node, MatVec(matrix, vector)), "the matrix is transposed, and should not be"
            case MatVec(matrix=matrix, vector=vector):
                yield (
                    _put(said, node, MatVec(Call("transpose", (matrix,)), vector)),
                    ("the transposition is missing: a gradient goes back through the transposed matrix"),
                )
            case Product(factors=factors):
                for count in range(1, len(factors)):
                    for chosen in combinations(range(len(factors)), count):
                        left = [factors[index] for index in chosen]
                        right = [factor for index, factor in enumerate(factors) if index not in chosen]
                        made = Call("outer", (_joined(left), _joined(right)))
                        yield (
                            _put(said, node, made),
                            (
                                "an entry-by-entry product stands where the outer product belongs: a "
                                "matrix is d v^T, of the matrix's shape"
                            ),
                        )


def _joined(factors: list[Expression]) -> Expression:
    return factors[0] if len(factors) == 1 else Product(tuple(factors))


def _put(whole_: Expression, old: Expression, new: Expression) -> Expression:
    return transform(whole_, lambda node: new if node is old else None)
