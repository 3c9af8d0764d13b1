"""Which cells are said to be linear in their states, and that they are."""

from __future__ import annotations

import numpy as np
import pytest

import lstmgen
from lstmgen.derivation.build import build_graph
from lstmgen.derivation.linear import is_linear_in_state
from lstmgen.language.evaluate import Floats
from lstmgen.numerics.points import by_step, choose_sizes, draw_point, of_one
from lstmgen.proofs.interpret import Interpreter

LINEAR = """
delta_net gated_delta_net gated_delta_net_heads gla hgrn2 linear_attention lru mamba2 mingru mingru_log minlstm qrnn
retnet retnet_heads rg_lru rwkv7 rwkv7_heads s6 t_rnn titans
""".split()


def states_after(graph, state, seed=0):
    """The states after one step, by the interpreter."""
    sizes = choose_sizes(graph, least=2)
    point = draw_point(graph, sizes, 1, 1, np.random.default_rng(seed), 0.5)
    interpreter = Interpreter(graph.spec, sizes, Floats(), leading=1)
    start = {name: array + state * (1 + np.arange(array.size).reshape(array.shape)) for name, array in point.state.items()}
    return interpreter.run(of_one(point.parameters), by_step(point.inputs, 1), start).state


def test_a_cell_is_said_to_be_linear_just_where_it_is(spec_path):
    """Moved by twice as much along a direction, the new states of a linear cell move by twice as much."""
    graph = build_graph(lstmgen.load(spec_path))
    with np.errstate(all="ignore"):
        here, once, twice = (states_after(graph, distance) for distance in (0.0, 0.25, 0.5))
    bent = max(np.abs(twice[name] - 2 * once[name] + here[name]).max() for name in graph.states)
    moved = max(np.abs(once[name] - here[name]).max() for name in graph.states)
    assert is_linear_in_state(graph) == (spec_path.stem in LINEAR)
    if is_linear_in_state(graph):
        assert bent < 1e-12 < moved


@pytest.mark.parametrize("equation, linear", [
    ("W @ x + 0.5 * h[t-1]", True), ("h[t-1] / (1 + x ** 2)", True), ("where(x > 0, h[t-1], x)", True),
    ("cumsum(h[t-1]) * sum(x)", True), ("x + sum(h[t-1]) * h[t-1]", False), ("x + tanh(h[t-1])", False),
    ("x / h[t-1]", False),
    ("x + h[t-1] ** 2", False), ("where(h[t-1] > 0, x, 0)", False), ("W @ x - W @ (outer(h[t-1], x) @ x)", True),
])
def test_what_makes_an_equation_linear(equation, linear):
    parameters = "{W: [H, H]}" if "W" in equation else "{}"
    text = f"name: c\ninputs: {{x: H}}\nstate: {{h: H}}\nparameters: {parameters}\nequations:\n  h: {equation}\noutput: h\n"
    assert is_linear_in_state(build_graph(lstmgen.load(text))) == linear
