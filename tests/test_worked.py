"""The worked example: what it says is what the module computes, and a calculator gets there."""

from __future__ import annotations

import math
from pathlib import Path


import numpy as np
import pytest

from lstmgen import derive, load
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import execute
from lstmgen.schedule.make import make_schedule
from lstmgen.language.expressions import Value
from lstmgen.numerics.worked import three_digits, work_out


def example_of(source):
    return work_out(derive(load(source)))


def error_against(module, derivation, example) -> float:
    """The largest difference to what the generated module computes from the same numbers."""
    graph = derivation.graph
    keywords = {keyword: dict(example.sizes)[symbol] for symbol, keyword in graph.dims}
    params = module.init_params(**keywords, dtype=np.float64)
    named = module.named(params)
    for number in example.parameters:
        named[number.name][...] = number.entries
    steps = range(1, example.steps + 1)

    def series(name: str) -> np.ndarray:
        return np.array([[example.value(name, step)] for step in steps])

    learned = {state for state, start in graph.initial if isinstance(start, Value)}
    start = None if learned else module.State(*(np.array([example.value(name, 0)]) for name in graph.states))
    result, state, tape = module.forward(params, *map(series, (*graph.inputs, *graph.targets)), state=start)
    if graph.loss is None:
        arrays = {name: [] for name in graph.outputs}
        for number in example.outside:
            arrays[number.name].append([number.entries])
        dy = [np.array(each) for each in arrays.values()]
        dy = dy[0] if len(dy) == 1 else module.Outputs(*dy)
        grads = module.backward(params, tape, dy)
        told = [result] if len(graph.outputs) == 1 else list(result)
        pairs = [(array, series(name)) for name, array in zip(graph.outputs, told)]
    else:
        grads = module.backward(params, tape)
        pairs = [(result, example.loss)]
    pairs += [(array[0], example.value(name, example.steps)) for name, array in zip(graph.states, state)]
    pairs += [(array, example.gradient(name).entries) for name, array in module.named(grads.params).items()]
    for name in graph.inputs:
        ours = [[_of(example, name, step, getattr(grads, name)[step - 1][0])] for step in steps]
        pairs.append((getattr(grads, name), ours))
    starts = {each.name: each.entries for each in example.start}
    pairs += [
        (array[0], starts.get(name, 0.0))
        for name, array in zip(graph.states, grads.state) if name not in learned
    ]
    errors = [np.abs(np.asarray(one) - np.asarray(other)).max(initial=0) for one, other in pairs]
    worst = float(max(errors))
    return worst if math.isfinite(worst) else math.inf


def _of(example, name: str, step: int, like):
    """The gradient at an input; zero where nothing reaches it."""
    found = [each.entries for each in example.backward if (each.name, each.step) == (name, step)]
    return found[0] if found else np.zeros_like(like)


def test_it_is_what_the_module_computes(spec_path):
    derivation = derive(load(spec_path))
    module = execute(module_source(make_schedule(derivation), verified=False), spec_path.stem)
    example = work_out(derivation)
    largest = max(abs(np.asarray(each.entries)).max() for each in (*example.totals, *example.backward))
    assert error_against(module, derivation, example) <= 1e-11 * max(1.0, largest)


def test_terms_add_up(spec_path):
    example = work_out(derive(load(spec_path)))
    for each in (*example.backward, *example.start, *example.totals):
        whole = np.asarray(each.entries)
        if each.terms:
            added = sum(np.asarray(term.entries) for term in each.terms)
            np.testing.assert_allclose(added, whole, atol=1e-12)
        else:  # nothing reads it in a step that exists; or it is the loss itself
            assert not whole.any() or (whole == 1).all()


def test_what_is_read_stands_above():
    example = example_of("peephole_lstm")
    order = [(each.name, each.step) for each in example.backward]
    assert order.index(("h", 2)) < order.index(("c", 2)) < order.index(("h", 1)) < order.index(("c", 1))
    forward = [(each.name, each.step) for each in example.forward]
    assert forward.index(("f_pre", 1)) < forward.index(("f", 1)) < forward.index(("c", 1))


def test_a_calculator_gets_there():
    """The simple RNN, with nothing but the numbers that are told as given."""
    example = example_of("rnn")
    (w1,), (w2,) = example.value("W_h", 0)
    (r11, r12), (r21, r22) = example.value("R_h", 0)
    b1, b2 = example.value("b_h", 0)
    (x1,), (x2,) = example.value("x", 1), example.value("x", 2)
    s1, s2 = example.value("h", 0)
    assert s1 and s2
    u, v = math.tanh(w1 * x1 + r11 * s1 + r12 * s2 + b1), math.tanh(w2 * x1 + r21 * s1 + r22 * s2 + b2)
    p = math.tanh(w1 * x2 + r11 * u + r12 * v + b1)
    q = math.tanh(w2 * x2 + r21 * u + r22 * v + b2)
    assert example.value("h", 2) == pytest.approx((p, q))
    given = {(each.name, each.step): each.entries for each in example.outside}
    d2 = [d * (1 - h * h) for d, h in zip(given["h", 2], (p, q))]
    first = given["h", 1][0] + r11 * d2[0] + r21 * d2[1]
    assert example.gradient("h", 1).entries[0] == pytest.approx(first)
    d1 = [d * (1 - h * h) for d, h in zip(example.gradient("h", 1).entries, (u, v))]
    assert example.gradient("b_h").entries == pytest.approx((d1[0] + d2[0], d1[1] + d2[1]))


@pytest.mark.parametrize("name", ["rnn", "lstm", "peephole_lstm", "gru", "ng_lstm"])
def test_it_is_a_nice_one(name):
    """Short decimals are given, and what follows from them can be told in three digits."""
    example = example_of(name)
    assert example.steps == 2 and dict(example.sizes) == {"D": 1, "H": 2}
    for each in (*example.parameters, *example.inputs, *example.outside):
        assert (np.round(each.entries, 1) == each.entries).all()
    for each in (*example.forward, *example.backward):
        told = [three_digits(entry) for entry in np.ravel(each.entries)]
        assert all(len(text) <= len("-0.00707") for text in told), (each.name, told)


def test_it_is_the_same_every_time():
    assert example_of("lstm") == example_of("lstm")


def test_a_loss_is_told():
    example = example_of("ng_lstm")
    a = [np.array(example.value("a", step)) for step in (1, 2)]
    target = [np.array(example.value("target", step)) for step in (1, 2)]
    expected = sum(0.5 * ((one - other) ** 2).sum() for one, other in zip(a, target))
    assert example.loss == pytest.approx(expected)
    assert example.outside == ()


def test_records_are_plain_numbers():
    example = example_of("lstm")
    assert isinstance(example.value("h", 1)[0], float)
    hash(example.forward)


def test_it_is_left_out_where_nobody_would_follow_it():
    folder = Path(__file__).parent.parent / "generated"
    left_out = {path.stem for path in folder.glob("*.tex") if r"\label{sec:worked}" not in path.read_text()}
    assert left_out == {
        "mlstm", "on_lstm", "nas_lstm", "nested_lstm", "phased_lstm", "layer_norm_lstm", "layer_norm_lstm_carried",
        "layer_norm_lstm_gates", "delta_net", "gated_delta_net", "gru_d", "hgrn2", "ltc", "rwkv7", "ttt_linear",
        "lstm_heads", "slstm_heads", "mlstm_heads", "gated_delta_net_heads", "rwkv7_heads", "retnet_heads"}


def test_states_start_from_what_is_not_zero(spec_path):
    example = work_out(derive(load(spec_path)))
    assert all(np.all(each.entries) for each in example.state)


def test_a_difference_quotient_and_a_step_of_descent(spec_path):
    """By the module, which knows nothing of the example: its loss at moved parameters."""
    derivation = derive(load(spec_path))
    module = execute(module_source(make_schedule(derivation), verified=False), spec_path.stem)
    example = work_out(derivation)
    objective = _objective_of(module, derivation, example)
    values = {each.name: np.array(each.entries, float) for each in example.parameters}
    if example.difference is not None:
        found = example.difference
        moved = []
        for sign in (1, -1):
            array = values[found.parameter].copy()
            array[found.entry] += sign * found.step
            moved.append(objective({**values, found.parameter: array}))
        assert [found.above, found.below] == pytest.approx(moved, rel=1e-9)
        assert found.quotient == pytest.approx(found.gradient, rel=1e-3)
        assert found.gradient == np.array(example.gradient(found.parameter).entries)[found.entry]
    if example.descent is not None:
        step = example.descent
        gradients = {name: np.array(example.gradient(name).entries) for name in values}
        lower = {name: array - step.rate * gradients[name] for name, array in values.items()}
        assert [step.before, step.after] == pytest.approx([objective(values), objective(lower)], rel=1e-9)
        assert step.after < step.before
        assert step.expected == pytest.approx(-step.rate * sum((each**2).sum() for each in gradients.values()), rel=1e-9)


def test_most_cells_have_both_checks():
    for name in ("rnn", "lstm", "peephole_lstm", "gru", "ng_lstm", "slstm"):
        example = example_of(name)
        assert example.difference is not None and example.descent is not None


def _objective_of(module, derivation, example):
    graph, sizes = derivation.graph, dict(example.sizes)
    keywords = {keyword: sizes[symbol] for symbol, keyword in graph.dims}
    learned = any(isinstance(start, Value) for _, start in graph.initial)
    steps = range(1, example.steps + 1)
    given = [np.array([[example.value(name, step)] for step in steps]) for name in (*graph.inputs, *graph.targets)]
    start = None if learned else module.State(*(np.array([example.value(name, 0)]) for name in graph.states))

    def objective(values):
        params = module.init_params(**keywords, dtype=np.float64)
        for name, view in module.named(params).items():
            view[...] = values[name]
        result, _, _ = module.forward(params, *given, state=start)
        if graph.loss is not None:
            return float(result)
        outputs = [result] if len(graph.outputs) == 1 else list(result)
        return sum(float((outputs[graph.outputs.index(each.name)][each.step - 1][0] * np.array(each.entries)).sum())
                   for each in example.outside)

    return objective
