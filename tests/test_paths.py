"""The paths of a gradient: counted exactly, listed where they are few, and together the gradient itself."""

from __future__ import annotations

import numpy as np
import pytest

from lstmgen import derive, load
from lstmgen.outputs.numpy.module import module_source
from lstmgen.numerics.paths import (
    DIAGONAL, MATRIX, MOST_CHECKED, MOST_LISTED, Network, along_all, check, random_run, unroll,
)
from lstmgen.pipeline import execute
from lstmgen.schedule.make import make_schedule
from lstmgen.language.text import symbols


def derivation_of(name):
    return derive(load(name))


@pytest.mark.parametrize("steps, counts", [
    (1, [2]), (2, [22, 2]), (3, [216, 22, 2]), (5, [20314, 2096, 216, 22, 2]),
])
def test_the_peephole_lstm_has_as_many_as_are_counted_by_hand(steps, counts):
    unrolled = unroll(derivation_of("peephole_lstm"), "W_f", steps)
    assert [line.count for line in unrolled.lines] == counts
    assert unrolled.count == {1: 2, 2: 24, 3: 240, 5: 22650}[steps]


def test_a_count_walks_no_path():
    """At T = 60 there are more paths than atoms on earth."""
    unrolled = unroll(derivation_of("peephole_lstm"), "W_f", 60)
    assert unrolled.count > 10**55
    assert [line.count for line in unrolled.lines[-3:]] == [216, 22, 2]


@pytest.mark.parametrize("steps", [2, 3])
def test_all_paths_together_are_the_gradient(spec_path, steps):
    derivation = derive(load(spec_path))
    for name in (*derivation.graph.parameters, *derivation.graph.inputs):
        unrolled = unroll(derivation, name, steps)
        assert unrolled.count < MOST_CHECKED
        checked = check(derivation, unrolled)
        assert checked.paths == unrolled.count
        assert checked.passed, (name, checked)


def test_listed_are_all_of_them_or_none(spec_path):
    derivation = derive(load(spec_path))
    for name in derivation.graph.parameters:
        for line in unroll(derivation, name, 3).lines:
            assert len(line.paths) == (line.count if line.count <= MOST_LISTED else 0)
            assert len(set(line.paths)) == len(line.paths)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "ng_lstm_last", "stacked_lstm"])
def test_the_sum_over_the_paths_is_the_gradient_of_the_module(name):
    """The module was proved by complex steps: it knows nothing of paths."""
    derivation, steps = derivation_of(name), 3
    run, outside = random_run(derivation, steps)
    graph = derivation.graph
    module = execute(module_source(make_schedule(derivation), verified=False), name)
    keywords = {keyword: run.sizes[symbol] for symbol, keyword in graph.dims}
    params = module.init_params(**keywords, dtype=np.float64)
    for parameter, view in module.named(params).items():
        view[...] = run.fixed[parameter][0]
    inputs = [np.stack([step[each] for step in run.values[1:]]) for each in (*graph.inputs, *graph.targets)]
    state = module.State(*(run.values[0][each] for each in graph.states))
    learned = any(unroll(derivation, each, steps).lines[0].step == 0 for each in graph.parameters)
    tape = module.forward(params, *inputs, state=None if learned else state)[2]
    dy = [np.stack(array) for array in outside.values()]
    grads = module.backward(params, tape, *dy)
    arrived = along_all(run, outside, Network(derivation, steps))
    for parameter, expected in module.named(grads.params).items():
        lines = unroll(derivation, parameter, steps).lines
        found = sum(arrived[parameter, line.step].sum(axis=0) for line in lines)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


def test_a_path_says_what_it_multiplies():
    (step,) = unroll(derivation_of("rnn"), "b_h", 1).lines
    (path,) = step.paths
    assert symbols(path.term) == "Δh ⊙ (1 − h²)"
    assert path.stages == (("h_pre", 1), ("h", 1))
    assert path.ends == ("h", 1)


def test_its_factors_are_those_of_the_jacobian():
    network = Network(derivation_of("rnn"), 2, to=("h", 2))
    (path,) = network.paths("h", 1)
    assert [factor.kind for factor in path.factors(2)] == [DIAGONAL, MATRIX]
    assert [symbols(factor.expression) for factor in path.factors(2)] == ["1 − h²", "R_h"]


def test_a_parameter_that_nothing_hears_of_has_no_path():
    """Of a loss at the last step, a gate's share of an earlier step goes through the states alone."""
    unrolled = unroll(derivation_of("ng_lstm_last"), "c_0", 2)
    assert [line.step for line in unrolled.lines] == [0]
