"""Mistakes that people make in a backward pass, the most common first."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import combinations

from ..derivation.chain import ELEMENTWISE, OUTPUT, START, Contribution, Derivation, later
from ..document.wording import listed
from ..language.expressions import Adjoint, Expression, Value, negative, substitute, total, values
from ..language.shapes import ShapeMismatch, shape_of
from ..printed import counted
from .given import FINAL, NO_DSTATE, ZERO_STATES, Change
from .scene import Edit
from .slips import slips
from .spelling import Spelling
from .truth import Truth

_SET = "(= for +=)"
_FIRST_STEP = "the boundary at the first step"


@dataclass(frozen=True)
class Try:
    """One mistake, as an alteration of the true backward pass."""

    sentence: str
    change: Change
    bundle: bool = False  # many contributions at once


class Tries:
    """Every mistake that this module knows, for one cell."""

    def __init__(self, derivation: Derivation, differing: Collection[str], steps: int):
        """`differing` are the names of the gradients that are to be explained, in a sequence of so many steps."""
        self.steps = steps
        self.derivation, self.graph, self.differing = derivation, derivation.graph, differing
        self.spelling, self.truth = Spelling(self.graph), Truth(derivation)
        self.forks = [fork for fork in derivation.contributions() if fork.kind not in (OUTPUT, START)]
        self.over_time = [fork for fork in self.forks if fork.over_time]

    def __iter__(self) -> Iterator[Try]:
        yield Try("the initial states are not read: they count as zero", Change(without=(ZERO_STATES,)), True)
        yield Try("dstate, the gradient of the final states, is not read", Change(without=(NO_DSTATE,)), True)
        yield from self._bundles()
        yield from self._truncated()
        for fork in self.forks:
            yield from _cut(f"the contribution to {self._told(fork)} is missing", [fork])
        yield from self._boundaries()
        yield from self._altered()

    def _bundles(self) -> Iterator[Try]:
        """Many contributions at once: all from the next step, or all to one value."""
        later_on = [fork for fork in self.forks if fork.lag]
        yield from _cut("nothing comes back from the next step: all its contributions are missing", later_on)
        for state in self.graph.states:
            own = [fork for fork in later_on if fork.target == state]
            if len(own) > 1:
                sentence = f"nothing comes back to {state} from the next step: those contributions are missing"
                yield from _cut(sentence, own)
        for cut, kept in (("not first", "the first step"), ("not last", "the last step")):
            yield from self._set_not_added(cut, kept)
        for gradient in self.derivation.stages:
            own = [fork for fork in self.forks if fork.target == gradient.value]
            if own:
                name = self.spelling(Value(gradient.value))
                yield from _cut(f"{name} is treated as a constant: no gradient goes back through it", own)
                through = [fork for fork in self.forks if fork.reader == gradient.value]
                yield from _cut(f"nothing goes back through {name}", through)

    def _truncated(self) -> Iterator[Try]:
        """Back propagation that stops after some steps, or between two chunks of the sequence."""
        later_on = [fork for fork in self.forks if fork.lag]
        for ends in chunks(self.steps) if later_on else ():
            told = listed([f"step {end + 1}" for end in ends])
            sentence = (f"the sequence is cut before {told}: no gradient is handed from there to the step before, as in "
                        "back propagation in chunks")
            edit = Edit(at=frozenset(ends))
            yield Try(sentence, Change({fork.key: edit for fork in later_on}), True)
        if self.graph.loss is None and later_on:
            for reach in range(1, self.steps - 1):
                sentence = (f"back propagation is truncated: the error of a step goes back {counted(reach, 'step')}, and no "
                            "further")
                yield Try(sentence, Change(reach=reach), True)

    def _set_not_added(self, cut: str, kept: str) -> Iterator[Try]:
        """Gradients of parameters that are overwritten in each step."""
        sentence = f"the gradients of the parameters have {kept} only: they are overwritten, not added up, over steps {_SET}"
        yield from _cut(sentence, self.over_time, cut)
        names = ", ".join(self.differing)
        own = [fork for fork in self.over_time if fork.target in self.differing]
        sentence = f"the gradients of {names} have {kept} only: overwritten, not added up, over the steps {_SET}"
        yield from _cut(sentence, own, cut)
        for name in self.graph.parameters:
            own = [fork for fork in self.over_time if fork.target == name]
            sentence = f"the gradient of {name} has {kept} only: it is overwritten, not added up, over the steps {_SET}"
            yield from _cut(sentence, own, cut)

    def _boundaries(self) -> Iterator[Try]:
        """Contributions that are missing at the first or the last step only."""
        back = [fork for fork in self.over_time if _reads_before(fork.term)]
        yield from _cut(f"{_FIRST_STEP}: the terms of parameters with the initial states are missing", back, "first")
        for state in self.graph.states:
            own = [fork for fork in back if _reads_before(fork.term, state)]
            sentence = f"{_FIRST_STEP}: the terms of parameters with the initial {state} are missing"
            yield from _cut(sentence, own, "first")
        for fork in back:
            yield from _cut(f"{_FIRST_STEP}: the contribution to {self._told(fork)} is missing there", [fork], "first")
        for step in ("first", "last"):
            yield from _cut(f"the contributions of the {step} step to the parameters are missing", self.over_time, step)

    def _altered(self) -> Iterator[Try]:
        """One contribution with another term."""
        for fork in self.forks:
            if fork.kind == ELEMENTWISE:
                straight = Edit(instead=later(fork.upstream, fork.lag, self.graph.static))
                yield Try(self._straight_through(fork), Change({fork.key: straight}))
                yield from self._behind(fork)
        for fork in self.forks:
            for slip in slips(fork.term, self.graph, set(self.graph.shapes), self.spelling):
                if slip.rank <= (4 if fork.over_time else 3) and self._fits(fork, slip.altered):
                    sentence = f"in the contribution to {self._told(fork)}: {slip.sentence}"
                    yield Try(sentence, Change({fork.key: Edit(slip.altered)}))

    def _straight_through(self, fork: Contribution) -> str:
        """What one says of a contribution without its local derivative: where that is one value, a factor is missing."""
        if isinstance(fork.local, Value):
            factor = self.spelling(later(fork.local, fork.lag, self.graph.static))
            return f"in the contribution to {self._told(fork)}: the factor {factor} is missing"
        return (f"the gradient goes through {self.spelling(Value(fork.reader))} unchanged (straight through), "
                f"in the contribution to {self._told(fork)}")

    def _behind(self, fork: Contribution) -> Iterator[Try]:
        """A share of an adjoint that is added behind the activation, and misses its derivative.

        `fork` is the contribution through the activation: what it sends back for this share is replaced by the share.
        """
        own = [each for each in self.forks if each.target == fork.reader]
        shares, within = [each.term for each in own if each.lag], [each for each in own if not each.lag]
        upstream = later(fork.upstream, fork.lag, self.graph.static)
        if fork.lag or not shares or not isinstance(upstream, Adjoint):
            return
        if fork.reader in self.graph.states:
            shares.append(Adjoint(FINAL + fork.reader))
        through = [(f"through {each.reader}", [each.term]) for each in within if len(within) > 1]
        for told, added in (("from the next step", shares), *through):
            share = total(*added)
            less = substitute(fork.term, upstream, total(upstream, negative(share)))
            name, before = self.spelling(Value(fork.reader)), self.spelling(Value(fork.target))
            sentence = (f"the gradient of {name} {told} is added behind the activation, to that of {before}: it misses the "
                        f"derivative of the activation, as in {self.spelling(self.truth.inlined(fork.term))}")
            yield Try(sentence, Change({fork.key: Edit(total(less, share))}))

    def _fits(self, fork: Contribution, expression: Expression) -> bool:
        try:
            return shape_of(expression, self.graph.shapes) == self.graph.shapes[fork.target]
        except (ShapeMismatch, TypeError, KeyError, ValueError):
            return False

    def _told(self, fork: Contribution) -> str:
        """`c through f_pre of the next step (d_f_pre[t+1] * p_f)`."""
        when = " of the next step" if fork.lag else ""
        term = self.spelling(self.truth.inlined(fork.term))
        return f"{self.spelling(Value(fork.target))} through {fork.reader}{when} ({term})"


def chunks(steps: int) -> Iterator[tuple[int, ...]]:
    """After which steps a sequence may be cut: chunks of one length, and then all others of a short sequence."""
    equal = [tuple(range(length, steps, length)) for length in range(2, steps)]
    equal += [tuple(range(steps - length, 0, -length))[::-1] for length in range(2, steps)]
    between = range(1, steps)
    others = [ends for count in between for ends in combinations(between, count if steps <= 4 else 1)]
    yield from dict.fromkeys(ends for ends in (*equal, *others) if ends and len(ends) < steps - 1)


def _cut(sentence: str, forks: Collection[Contribution], cut: str = "always") -> Iterator[Try]:
    """These contributions left out; nothing if there are none."""
    if forks:
        yield Try(sentence, Change({fork.key: Edit(cut=cut) for fork in forks}), len(forks) > 1)


def _reads_before(expression: Expression, state: str | None = None) -> bool:
    return any(value.lag < 0 and state in (None, value.name) for value in values(expression))
