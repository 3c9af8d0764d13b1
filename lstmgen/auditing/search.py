"""What explains that gradients differ: one mistake, or several that are found one after the other.

A mistake is looked for in the shortest sequence first, where least of it is mixed with the others. What explains some of the
gradients is kept, and the search goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..derivation.chain import Derivation
from .forwards import Forwards
from .given import Change
from .held import NOT_SUMMED, Held
from .tries import Tries, Try

MOST_MISTAKES = 8  # that are kept, one after the other
MOST_LOOKS = 6000  # backward passes that are computed for one explanation


@dataclass(frozen=True)
class Found:
    """One mistake, and the gradients that it explains."""

    sentence: str
    names: tuple[str, ...]


class Search:
    """Looks for mistakes that turn our gradients into theirs, in sequences of several lengths."""

    def __init__(self, derivation: Derivation, lengths: Sequence[Held], values: Mapping[str, np.ndarray]):
        """`lengths` are the comparisons for ever longer sequences; the last one is to be explained.

        `values` are the outputs and values of their forward pass, as far as they are known.
        """
        self.values = values
        self.derivation, self.lengths, self.whole = derivation, tuple(lengths), lengths[-1]
        self.tries = Tries(derivation, self.whole.differing, self.whole.data.steps)
        self.looks = 0
        # By the length and the identity of a try: those of `found` live as long as the search.
        self._seen: dict[tuple[int, int], Mapping[str, str | None]] = {}
        self._shortest: dict[tuple[int, ...], Mapping[str, str | None]] = {}  # by the identities of several
        self._needs: dict[bool, dict[str, set[str]]] = {}
        for within in (False, True):
            needs: dict[str, set[str]] = {}
            for fork in derivation.contributions():
                if not within or fork.lag == 0:
                    needs.setdefault(fork.reader, set()).add(fork.target)
            self._needs[within] = needs

    def found(self) -> list[Found]:
        """The mistakes, those that explain most first; empty where nothing explains anything."""
        if not self.whole.comparable:
            return []
        tries = list(self.tries)
        alone = self._alone(tries) or self._alone(self._forwards())
        if alone is not None:
            return [Found(alone.sentence, tuple(self.whole.comparable))]
        return self._several(tries)

    def _forwards(self) -> list[Try]:
        """Mistakes in the forward pass that give their outputs, where these are known."""
        tries = list(Forwards(self.derivation.graph, self.tries.truth))
        if not self.values:
            return tries
        whole = self.whole
        return [tried for tried in tries if all(
            whole.alike(np.stack([changed.values[step][name] for step in range(1, changed.steps + 1)]), said)
            for changed in [whole.scene.changed(tried.change)] for name, said in self.values.items())]

    # ------------------------------------------------------------------ one that explains all

    def _alone(self, tries: Sequence[Try]) -> Try | None:
        """The first mistake that explains every gradient at every length."""
        wanted = set(self.whole.comparable)
        for tried in tries:
            reached = self._reached(tried.change, False)
            if reached is not None and not wanted <= reached:
                continue
            if all(self._explains_all(held, tried) for held in self.lengths):
                return tried
        return None

    def _explains_all(self, held: Held, tried: Try) -> bool:
        return all(how == "" for how in self._alone_at(held, tried).values())

    def _alone_at(self, held: Held, tried: Try) -> Mapping[str, str | None]:
        """What a mistake without others explains at one length."""
        key = held.data.steps, id(tried)
        if key not in self._seen:
            self._seen[key] = self._look(held, tried.change)
        return self._seen[key]

    def _look(self, held: Held, change: Change) -> Mapping[str, str | None]:
        self.looks += 1
        return held.explained(change)

    def _reached(self, change: Change, within: bool) -> set[str] | None:
        """The gradients that a change may alter; None where that is all. `within`: in a sequence of one step."""
        if change.without or change.equations or change.reach is not None:
            return None
        found: set[str] = set()
        todo = [key[0] for key in change.edits]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self._needs[within].get(name, ())
        return found

    # ------------------------------------------------------------------ several

    def _several(self, tries: Sequence[Try]) -> list[Found]:
        kept: list[Try] = []
        for held in self.lengths:
            while len(kept) < MOST_MISTAKES and self.looks < MOST_LOOKS:
                more = self._next(held, tries, kept)
                if more is None:
                    break
                kept.append(more)
        return self._told(kept)

    def _next(self, held: Held, tries: Sequence[Try], kept: Sequence[Try]) -> Try | None:
        """The mistake that explains most of what the kept ones leave, and spoils nothing; None where there is none."""
        so_far = _joined(kept)
        if so_far is None:
            return None
        known = held.explained(so_far)
        left = {name for name, how in known.items() if how is None}
        gains: list[tuple[int, Try]] = []
        for tried in tries if left else ():
            both = so_far.and_then(tried.change)
            reached = self._reached(tried.change, held.data.steps == 1)
            if both is None or (reached is not None and not reached & left) or self.looks > MOST_LOOKS:
                continue
            if held is not self.lengths[0] and not self._explains_some(tried, both, kept, left):
                continue
            explained = self._look(held, both) if kept else self._alone_at(held, tried)
            if all(explained[name] is not None for name in known if name not in left):
                gain = sum(explained[name] is not None for name in left)
                if gain:
                    gains.append((gain, tried))
        most = max((gain for gain, _ in gains), default=0)
        best = [tried for gain, tried in gains if gain == most][:24]
        if len(best) < 2:
            return best[0] if best else None
        return max(best, key=lambda tried: self._later_on(tried, so_far))

    def _explains_some(self, tried: Try, both: Change, kept: Sequence[Try], left: set[str]) -> bool:
        """Whether a mistake leaves any of these gradients alike in the shortest sequence, whose data are the first of the
        longer ones'. What explains a gradient there explains it here, too."""
        key = (*map(id, kept), id(tried))
        if key not in self._shortest:
            first = self.lengths[0]
            self._shortest[key] = self._look(first, both) if kept else self._alone_at(first, tried)
        explained = self._shortest[key]
        return any(explained.get(name, "") is not None for name in left)

    def _later_on(self, tried: Try, so_far: Change) -> int:
        """How much it explains in the longer sequences: what is alike in a short one differs there."""
        both = so_far.and_then(tried.change)
        if both is None:
            return 0
        return sum(how is not None for held in self.lengths for how in self._look(held, both).values())

    def _told(self, kept: Sequence[Try]) -> list[Found]:
        """The mistakes with the gradients that each explains, in the longest sequence."""
        every = _joined(kept)
        if every is None:
            return []
        explained = self.whole.explained(every)
        names = [name for name in self.whole.comparable if explained[name] is not None]
        found = []
        for tried in kept:
            others = _joined([each for each in kept if each is not tried])
            less = self.whole.explained(others) if others is not None else {}
            own = [name for name in names if less.get(name) is None or less[name] != explained[name]]
            if own:
                found.append(Found(tried.sentence, tuple(own)))
        for how, told in NOT_SUMMED.items():
            own = [name for name in names if explained[name] == how]
            if own:
                whose = f"the gradients of {', '.join(own)} have" if len(own) > 1 else f"the gradient of {own[0]} has"
                found.append(Found(f"{whose} {told}", tuple(own)))
        return found


def _joined(tries: Sequence[Try]) -> Change | None:
    """All of them at once; None where two change the same."""
    joined: Change | None = Change()
    for tried in tries:
        joined = joined.and_then(tried.change) if joined is not None else None
    return joined
