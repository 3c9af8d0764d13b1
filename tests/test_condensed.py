"""The card: fewer equations, and the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from lstmgen import derive, load
from lstmgen.derivation.build import build_graph
from lstmgen.derivation.chain import OUTPUT, START
from lstmgen.derivation.condensed import DEEPEST, condensed, written
from lstmgen.language.evaluate import Floats, evaluate
from lstmgen.language.expressions import Adjoint, Outside, Value, walk
from lstmgen.language.text import source
from lstmgen.numerics.paths import random_run
from lstmgen.numerics.unrolled import Adjoints


class At:
    """Every value and every adjoint of one run, as they are read at one step."""

    def __init__(self, run, adjoints, outside, step):
        self.run, self.adjoints, self.outside, self.step = run, adjoints, outside, step

    def __getitem__(self, leaf):
        at = self.step + leaf.lag
        if isinstance(leaf, Outside):
            return self.outside[leaf.name][at - 1]
        if isinstance(leaf, Adjoint):
            found = self.adjoints.totals if leaf.name in self.run.graph.static else self.adjoints.by_step[at]
            return found[leaf.name]
        assert isinstance(leaf, Value)
        return self.run.fixed[leaf.name] if leaf.name in self.run.fixed else self.run.values[at][leaf.name]

    def of(self, expression):
        return evaluate(expression, self, Floats(), self.run.sizes, leading=1)


def at_a_step(derivation, step=2, steps=3):
    run, outside = random_run(derivation, steps, 3)
    return At(run, Adjoints(run, outside), outside, step)


def test_the_equations_of_a_spec_compute_what_its_stages_compute(spec_path):
    derivation = derive(load(spec_path))
    graph, here = derivation.graph, at_a_step(derivation)
    lines = written(graph)
    assert [line.name for line in lines] == [stage.name for stage in graph.stages if stage.name == stage.owner]
    for line in lines:
        if line.name not in derivation.last_step_only:
            np.testing.assert_allclose(here.of(line.expression), here.of(Value(line.name)), rtol=1e-12, atol=1e-14)


def test_a_condensed_term_is_what_its_reader_sends_back(spec_path):
    """Each contribution alone: with its adjoints put in, it is the same number."""
    derivation = derive(load(spec_path))
    here = at_a_step(derivation)
    whole = derivation.adjoints
    for gradient in condensed(derivation):
        for short, fork in zip(gradient.forks, whole[gradient.value].forks, strict=True):
            assert short.key == fork.key
            if fork.kind in (OUTPUT, START) or fork.reader in derivation.last_step_only:
                continue
            np.testing.assert_allclose(here.of(short.term), here.of(fork.term), rtol=1e-10, atol=1e-13, err_msg=str(fork))


def test_what_is_put_in_is_no_fork_and_is_named_no_more(spec_path):
    derivation = derive(load(spec_path))
    lines = condensed(derivation)
    kept = {gradient.value for gradient in lines}
    named = {node.name for gradient in lines for fork in gradient.forks for node in walk(fork.term)
             if isinstance(node, Adjoint)}
    assert named <= kept
    for name, gradient in derivation.adjoints.items():
        if name not in kept:
            assert len(gradient.forks) == 1 and name not in derivation.graph.states


@pytest.mark.parametrize("name, adjoint, expected", [
    ("lstm", "c", "d_h * o * (1 - tanh_c ** 2) + d_c[t+1] * f[t+1]"),
    ("lstm", "f_pre", "d_c * c[t-1] * f * (1 - f)"),
    ("gru", "z_pre", "d_h * (h[t-1] - n) * z * (1 - z)"),
])
def test_the_card_says_what_people_write(name, adjoint, expected):
    found = {gradient.value: gradient for gradient in condensed(derive(load(name)))}
    assert source(found[adjoint].expression) == expected


def test_equations_are_those_of_the_author():
    lines = {line.name: source(line.expression) for line in written(derive(load("lstm")).graph)}
    assert lines["i"] == "sigmoid(W_i @ x + R_i @ h[t-1] + b_i)"
    assert lines["h"] == "o * tanh(c)"


def test_a_chain_of_a_thousand_stages_is_written_in_pieces():
    """Every adjoint of it could be put into the next one; that would be nested deeper than Python goes."""
    chain = "".join(f"  a{k}: tanh(a{k - 1})\n" for k in range(1, 900))
    cell = f"name: chain\nstate: {{h: H}}\nparameters: {{W: [H, D], R: [H, H]}}\nequations:\n  a0: W @ x + R @ h[t-1]\n" \
           f"{chain}  h: tanh(a899)\noutput: h\n"
    gradients = condensed(derive(build_graph(load(cell))))
    assert 900 // DEEPEST <= len(gradients) <= 900 // DEEPEST + 6
