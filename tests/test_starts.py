"""A state that starts at minus infinity, as a running maximum does: no NaN, and what attention over all steps gives."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lstmgen
from lstmgen.derivation.build import build_graph
from lstmgen.derivation.graph import start_number
from lstmgen.document.terminal.comparison import compare
from lstmgen.language.evaluate import Digits
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import derive, execute, load, verify
from lstmgen.schedule.make import make_schedule
from lstmgen.spec.expand import expand

RUNNING = """
name: running
state: {m: H, n: H}
parameters: {W: [H, D], V: [H, D]}
initial: {m: -inf}
equations:
  s: W @ x
  m: max(m[t-1], s)
  n: exp(m[t-1] - m) * n[t-1] + exp(s - m) * tanh(V @ x)
output: [n, m]
"""


def module_of(cell: str):
    return execute(module_source(make_schedule(derive(load(cell))), verified=False), "cell")


def test_it_is_proved_from_its_own_start_too():
    verdict = verify(RUNNING)
    assert verdict.passed, "\n".join(verdict.lines())
    assert {f"{proof} state=None" for proof in (0, 1)} <= {
        f"{figure.proof} {figure.what.rpartition(', ')[2]}" for figure in verdict.figures}


def test_aaren_is_softmax_attention_over_all_steps_so_far():
    module = module_of("aaren")
    params = module.init_params(3, 4, 5, rng=0, dtype=np.float64)
    named = module.named(params)
    rng = np.random.default_rng(0)
    for array in named.values():
        array[...] = rng.normal(size=array.shape)
    x = 5 * rng.normal(size=(7, 2, 3))
    y, last, tape = module.forward(params, x)
    scores = x @ named["W_k"].T @ named["q"] / math.sqrt(named["q"].shape[0])
    values = x @ named["W_v"].T
    for step in range(len(x)):
        weights = np.exp(scores[: step + 1] - scores[: step + 1].max(0))
        expected = (weights[..., None] * values[: step + 1]).sum(0) / weights.sum(0)[:, None]
        np.testing.assert_allclose(y[step], expected, rtol=1e-12)
    found = module.backward(params, tape, np.ones_like(y))
    assert all(np.isfinite(array).all() for array in (*found.params.values(), found.x, *found.state))


def test_the_start_is_told_everywhere():
    (_, start), _ = build_graph(load(RUNNING)).initial
    assert start_number(start) == -math.inf
    assert "initial: {m: -inf}" in expand(load(RUNNING))
    assert "m[0] = −∞" in lstmgen.show(RUNNING).styled()
    source = module_source(make_schedule(derive(load(RUNNING))), verified=False)
    assert "-np.inf" in source
    assert "None is m = -inf, n = 0" in source


@pytest.mark.parametrize(("function", "at_minus_infinity"), [("exp", 0), ("tanh", -1), ("erf", -1)])
def test_minus_infinity_in_many_digits(function, at_minus_infinity):
    digits = Digits()
    assert getattr(digits, function)(digits.array(np.array([-math.inf])))[0] == at_minus_infinity
    assert digits.context.isnan(digits.exp(digits.array(np.array([math.inf])))[0])


def test_cells_that_start_apart_are_told_apart():
    other = RUNNING.replace("initial: {m: -inf}\n", "").replace("name: running", "name: other")
    assert "starts at -inf" in "\n".join(compare(derive(load(RUNNING)), derive(load(other))).notes)
