"""Two mistakes at once in a backward pass: how many of them does an audit explain?

    python tests/mistakes.py [COUNT] [SPEC ...]

makes COUNT pairs of the usual mistakes for each of some cells, each in another place of the backward pass, and counts those
of which every gradient is explained. What is asked for is 80 %. A right backward pass has to agree, always.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lstmgen.auditing.code import audit_answers
from lstmgen.auditing.comparing import CodeAudit
from lstmgen.auditing.given import Change, Data, Given, draw
from lstmgen.auditing.held import Held
from lstmgen.auditing.tries import Tries, Try
from lstmgen.derivation.chain import Derivation, derive
from lstmgen.derivation.build import build_graph
from lstmgen.language.expressions import Adjoint
from lstmgen.numerics.points import choose_sizes
from lstmgen.pipeline import load

CELLS = ("rnn", "lstm", "gru", "peephole_lstm", "gru_reset_before", "cifg_lstm", "indrnn", "mgu")
MISTAKES = 2


@dataclass(frozen=True)
class Made:
    """Several mistakes in one backward pass."""

    tries: tuple[Try, ...]
    change: Change
    audit: CodeAudit


class Maker:
    """Makes wrong backward passes of one cell, and has them audited."""

    def __init__(self, name: str, seed: int = 0):
        self.derivation: Derivation = derive(build_graph(load(name)))
        self.graph = self.derivation.graph
        self.sizes = choose_sizes(self.graph, 2)
        self.data = draw(self.graph, self.sizes)
        self.random = random.Random(f"{name} {seed}")
        names = (*self.graph.parameters, *self.graph.inputs)
        zero = {name: np.zeros(self._shape(name, self.data)) for name in names}
        self.held = Held(self.derivation, self.sizes, self.data, zero, False)
        known = Tries(self.derivation, list(self.graph.parameters), self.data.steps)
        self.tries = [tried for tried in known if self._alters(tried)]

    def _shape(self, name: str, data: Data) -> tuple[int, ...]:
        return data.params[name].shape if name in data.params else data.inputs[name].shape

    def _alters(self, tried: Try) -> bool:
        """Whether a mistake changes something."""
        ours, other = self.held.ours, self.held.gradients(tried.change)
        return any(not self.held.alike(ours[name], other[name]) and np.isfinite(other[name]).all() for name in ours)

    def made(self, count: int) -> Iterator[Made]:
        """So many pairs, each with its audit."""
        while count:
            chosen = tuple(self.random.sample(self.tries, MISTAKES))
            change = chosen[0].change.and_then(chosen[1].change)
            if change is None or change.reach is not None:
                continue
            count -= 1
            yield Made(chosen, change, self.audited(change))

    def audited(self, change: Change) -> CodeAudit:
        """The audit of a backward pass that was changed."""

        def answer(data: Data) -> dict[str, np.ndarray]:
            scene = Given(self.derivation, self.sizes, data, change)
            found = {name: scene.total(name).sum(axis=0) for name in self.graph.parameters}
            steps = range(1, data.steps + 1)
            return found | {name: np.stack([scene.leaf(Adjoint(name), step) for step in steps]) for name in self.graph.inputs}

        return audit_answers(self.graph, answer)


def main() -> None:
    """Every cell, with what was not explained."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    explained = made = 0
    for name in sys.argv[2:] or CELLS:
        maker = Maker(name)
        assert maker.audited(Change()).holds, f"{name}: a right backward pass was called wrong"
        whole = 0
        for each in maker.made(count):
            assert not each.audit.holds, each.tries
            whole += each.audit.complete
            if not each.audit.complete:
                told = " + ".join(tried.sentence for tried in each.tries)
                print(f"    NOT EXPLAINED {told}\n        said: {each.audit.explanation or 'nothing'}", flush=True)
        print(f"{name:<24} {whole} of {count} pairs explained, of {len(maker.tries)} mistakes", flush=True)
        explained, made = explained + whole, made + count
    share = explained / made
    print(f"{explained} of {made} pairs of mistakes explained: {share:.0%}")
    sys.exit(share < 0.8)


if __name__ == "__main__":
    main()
