"""The generated modules, as their users call them: every spec, every argument."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from lstmgen.numpy_module import module_source
from lstmgen.pipeline import derive, execute, load
from lstmgen.plan import make_plan
from lstmgen.resources import packaged_specs

SPECS = packaged_specs()


@cache
def made(path):
    """(graph, module, text) of a spec."""
    derivation = derive(load(path))
    text = module_source(make_plan(derivation), verified=True)
    return derivation.graph, execute(text, derivation.graph.spec.name), text


def draw(graph, module, steps, batch, seed=0, dtype=np.float64, least=4):
    """Parameters, arguments, state and outside gradients at random, all sizes different."""
    rng = np.random.default_rng(seed)
    sizes = {symbol: least + place for place, (symbol, _) in enumerate(graph.dims)}
    ranges = {entry.name: (float(entry.low), float(entry.high)) for entry in graph.spec.ranges}

    def uniform(name, *leading):
        low, high = ranges.get(name, (-1, 1))
        shape = (*leading, *(dim.value(sizes) for dim in graph.shapes[name]))
        return rng.uniform(low, high, shape).astype(dtype)

    keywords = {keyword: sizes[symbol] for symbol, keyword in graph.dims}
    params = module.init_params(**keywords, rng=seed, dtype=dtype)
    for name, view in module.named(params).items():
        view[...] = uniform(name)
    arguments = [uniform(name, steps, batch) for name in (*graph.inputs, *graph.targets)]
    state = module.State(*(uniform(name, batch) for name in graph.states))
    dstate = module.State(*(rng.uniform(-1, 1, entry.shape).astype(dtype) for entry in state))
    dy = [rng.uniform(-1, 1, (steps, batch, *(d.value(sizes) for d in graph.shapes[o]))).astype(dtype)
          for o in graph.outputs]
    dy = module.Outputs(*dy) if len(dy) > 1 else dy[0]
    return params, arguments, state, dy, dstate


def backward(graph, module, params, tape, dy, dstate):
    return module.backward(params, tape, dstate) if graph.loss else module.backward(params, tape, dy, dstate)


def objective(graph, module, params, arguments, state, dy, dstate):
    y, end, _ = module.forward(params, *arguments, state)
    ends = sum(np.sum(d * v) for d, v in zip(dstate, end))
    if graph.loss:
        return y + ends
    outputs = zip(dy, y) if len(graph.outputs) > 1 else [(dy, y)]
    return ends + sum(np.sum(d * v) for d, v in outputs)


def close(found, expected, bound=1e-12):
    scale = np.abs(expected).max(initial=0.0)
    return np.abs(found - expected).max(initial=0.0) <= bound * (scale or 1.0)


def everything(grads):
    yield from grads.params.items()
    yield from zip(grads._fields[1:-1], grads[1:-1])
    yield from zip(grads.state._fields, grads.state)


@pytest.mark.parametrize("steps, batch", [(1, 1), (1, 3), (2, 1), (2, 3), (5, 1), (5, 3)])
def test_gradients_are_complex_step_derivatives(spec_path, steps, batch):
    graph, module, _ = made(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, steps, batch, seed=steps)
    _, _, tape = module.forward(params, *arguments, state)
    grads = backward(graph, module, params, tape, dy, dstate)
    # One random direction through all entries of each array at once: every entry is in it, at the cost
    # of one forward pass. The proofs difference the entries one by one.
    rng = np.random.default_rng(1)

    def along(array, place):
        direction = rng.uniform(-1, 1, array.shape)
        return direction, place(array + 1e-30j * direction).imag / 1e-30

    for name, gradient in grads.params.items():
        direction, slope = along(params[name], lambda moved, name=name: objective(
            graph, module, {**params, name: moved}, arguments, state, dy, dstate))
        assert abs(np.sum(direction * gradient) - slope) <= 1e-12 * (1 + np.sum(np.abs(direction * gradient))), name
    for place, name in enumerate(graph.inputs):
        direction, slope = along(arguments[place], lambda moved, place=place: objective(
            graph, module, params, [*arguments[:place], moved, *arguments[place + 1:]], state, dy, dstate))
        gradient = grads[1 + place]
        assert abs(np.sum(direction * gradient) - slope) <= 1e-12 * (1 + np.sum(np.abs(direction * gradient))), name
    for place, name in enumerate(graph.states):
        direction, slope = along(state[place], lambda moved, place=place: objective(
            graph, module, params, arguments, module.State(*state[:place], moved, *state[place + 1:]), dy, dstate))
        gradient = grads.state[place]
        assert abs(np.sum(direction * gradient) - slope) <= 1e-12 * (1 + np.sum(np.abs(direction * gradient))), name


def test_steps_one_by_one_give_what_forward_gives(spec_path):
    graph, module, _ = made(spec_path)
    params, arguments, state, _, _ = draw(graph, module, 4, 3)
    _, end, tape = module.forward(params, *arguments, state)
    inputs = arguments[: len(graph.inputs)]
    for t in range(4):
        y_t, state = module.step(params, *(array[t] for array in inputs), state)
        pairs = zip(y_t, tape.y) if len(graph.outputs) > 1 else [(y_t, tape.y)]
        assert all(close(now, all_[t]) for now, all_ in pairs)
    assert all(close(a, b) for a, b in zip(state, end))


def test_arguments_stay_as_they_were_and_a_tape_can_be_read_twice(spec_path):
    graph, module, _ = made(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, 3, 2)
    given = [*params.values(), *arguments, *state, *dstate, *(dy if isinstance(dy, tuple) else [dy])]
    for array in given:
        array.flags.writeable = False
    before = [array.copy() for array in given]
    _, _, tape = module.forward(params, *arguments, state)
    first = backward(graph, module, params, tape, dy, dstate)
    second = backward(graph, module, params, tape, dy, dstate)
    assert all(np.array_equal(a, b) for a, b in zip(given, before))
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(everything(first), everything(second)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_one_type_throughout(spec_path, dtype):
    graph, module, _ = made(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, 3, 2, dtype=dtype)
    y, end, tape = module.forward(params, *arguments, state)
    grads = backward(graph, module, params, tape, dy, dstate)
    outputs = y if isinstance(y, tuple) else [y]
    kept = [array for array in tape.kept if isinstance(array, np.ndarray)]
    for array in [*outputs, *end, *kept, *(gradient for _, gradient in everything(grads))]:
        assert array.dtype == dtype


def test_float32_gradients_are_close_to_float64(spec_path):
    graph, module, _ = made(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, 5, 3)

    def narrow(value):
        if isinstance(value, tuple):
            return type(value)(*(narrow(entry) for entry in value))
        return value.astype(np.float32)

    _, _, tape = module.forward(params, *arguments, state)
    wide = backward(graph, module, params, tape, dy, dstate)
    thin = {name: narrow(array) for name, array in params.items()}
    _, _, tape = module.forward(thin, *map(narrow, arguments), narrow(state))
    small = backward(graph, module, thin, tape, narrow(dy), narrow(dstate))
    for (name, a), (_, b) in zip(everything(small), everything(wide)):
        assert close(a, b, 1e-4), name


def test_views_under_the_specs_names(spec_path):
    graph, module, _ = made(spec_path)
    params, *_ = draw(graph, module, 3, 2)
    views = module.named(params)
    assert list(views) == list(graph.parameters)
    for name, view in views.items():
        assert any(np.shares_memory(view, stored) for stored in params.values()), name
    stored = sum(array.size for array in params.values())
    assert stored == sum(view.size for view in views.values())


def test_nothing_from_outside_is_zero_from_outside(spec_path):
    graph, module, _ = made(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, 3, 2)
    _, _, tape = module.forward(params, *arguments, state)
    if graph.loss:
        without = module.backward(params, tape)
        zeros = module.backward(params, tape, module.State(*(0 * d for d in dstate)))
    else:
        without = module.backward(params, tape)
        nothing = module.Outputs(*(0 * d for d in dy)) if isinstance(dy, tuple) else 0 * dy
        zeros = module.backward(params, tape, nothing, module.State(*(0 * d for d in dstate)))
    for (_, a), (_, b) in zip(everything(without), everything(zeros)):
        assert np.array_equal(a, b)


def test_empty_batches_and_sequences(spec_path):
    graph, module, _ = made(spec_path)
    for steps, batch in ((0, 2), (3, 0)):
        if graph.spec.loss_at == "last" and not steps:
            continue
        params, arguments, state, dy, dstate = draw(graph, module, steps, batch)
        _, end, tape = module.forward(params, *arguments, state)
        grads = backward(graph, module, params, tape, dy, dstate)
        assert all(np.all(np.isfinite(gradient)) for _, gradient in everything(grads))
        if not steps:
            assert all(np.array_equal(a, b) for a, b in zip(end, state))
            assert all(np.array_equal(a, b) for a, b in zip(grads.state, dstate))


def test_wrong_arguments_are_named(spec_path):
    graph, module, _ = made(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, 3, 2)
    first = graph.inputs[0]
    with pytest.raises(ValueError, match=f"{first} has shape"):
        module.forward(params, arguments[0][0, 0], *arguments[1:], state)
    with pytest.raises(ValueError, match=f"{first} is no array"):
        module.forward(params, "text", *arguments[1:], state)
    with pytest.raises(ValueError, match="state"):
        module.forward(params, *arguments, state[:-1])
    with pytest.raises(ValueError, match=f"state.{graph.states[0]} has shape"):
        module.forward(params, *arguments, state._replace(**{graph.states[0]: state[0][:1]}))
    with pytest.raises(ValueError, match="params has the keys"):
        module.forward({}, *arguments, state)
    _, _, tape = module.forward(params, *arguments, state)
    with pytest.raises(ValueError, match="dstate"):
        module.backward(params, tape, dstate=module.State(*(d[:1] for d in dstate)))
    for name, array in params.items():
        wrong = np.zeros((2, *array.shape), array.dtype)
        with pytest.raises(ValueError, match="params"):
            module.forward({**params, name: wrong}, *arguments, state)


def test_gradients_are_clipped_by_their_joint_norm(spec_path):
    graph, module, _ = made(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, 3, 2)
    _, _, tape = module.forward(params, *arguments, state)
    grads = backward(graph, module, params, tape, dy, dstate)
    norm = np.sqrt(sum(np.sum(g**2) for g in grads.params.values()))
    clipped = module.clip_by_norm(grads, norm / 3)
    assert np.isclose(np.sqrt(sum(np.sum(g**2) for g in clipped.params.values())), norm / 3)
    assert all(np.allclose(clipped.params[name], grads.params[name] / 3) for name in grads.params)
    assert clipped[1:] == grads[1:]
    assert module.clip_by_norm(grads, 2 * norm) is grads


@pytest.mark.parametrize("path", SPECS[:3], ids=lambda path: path.stem)
def test_a_module_checks_itself_and_notices_a_fault(path, tmp_path):
    graph, _, text = made(path)
    file = tmp_path / f"{graph.spec.name}.py"
    file.write_text(text)
    sound = subprocess.run([sys.executable, "-I", str(file)], capture_output=True, text=True)
    assert sound.returncode == 0 and "correct" in sound.stdout
    file.write_text(text.replace("return Gradients(grads, ", "return Gradients({n: 2 * g for n, g in grads.items()}, "))
    assert file.read_text() != text
    faulty = subprocess.run([sys.executable, "-I", str(file)], capture_output=True, text=True)
    assert faulty.returncode == 1 and "WRONG" in faulty.stdout


def test_modules_import_numpy_and_typing_alone(spec_path):
    _, _, text = made(spec_path)
    assert text.isascii()
    imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert imports == ["from typing import NamedTuple", "import numpy as np"]


# ---------------------------------------------------------------- initial values

STARTS = """
name: starts
dims: {D: input_size, H: hidden_size}
state: {h: H}
parameters:
  W: {shape: [H, D], init: orthogonal}
  V: {shape: [D, H], init: orthogonal}
  R: {shape: [H, H], init: identity}
  U: {shape: [H, D], init: uniform}
  G: [H, D]
  b: {shape: [H], init: -0.5}
equations:
  h: tanh(W @ x + transpose(V) @ x + R @ h[t-1] + U @ x + G @ x + b)
output: h
"""


def test_parameters_start_as_the_spec_says():
    module = execute(module_source(make_plan(derive(load(STARTS))), verified=False), "starts")
    params = module.named(module.init_params(30, 50, rng=3, dtype=np.float64))
    assert np.allclose(params["W"].T @ params["W"], np.eye(30)) and np.allclose(params["V"] @ params["V"].T, np.eye(30))
    assert np.array_equal(params["R"], np.eye(50)) and np.all(params["b"] == -0.5)
    for name, limit in (("U", 1 / np.sqrt(30)), ("G", np.sqrt(6 / 80))):
        values = params[name]
        assert limit * 0.95 < values.max() <= limit and -limit <= values.min() < -limit * 0.95
        assert abs(values.mean()) < 0.1 * limit and abs(values.std() - limit / np.sqrt(3)) < 0.1 * limit
    again, other = (module.named(module.init_params(30, 50, rng=seed, dtype=np.float64)) for seed in (3, 4))
    assert all(np.array_equal(params[name], again[name]) for name in params)
    assert not np.array_equal(params["W"], other["W"]) and not np.array_equal(params["G"], other["G"])


# ---------------------------------------------------------------- choices, and sigmoids near 0

CHOICE = """
name: choice
dims: {D: input_size, H: hidden_size}
state: {h: H}
parameters: {W: [H, D]}
equations:
  u: W @ x
  h: %s
output: h
"""


def compiled(spec):
    text = module_source(make_plan(derive(load(spec))), verified=False)
    return execute(text, "spec"), text


@pytest.mark.parametrize("choice, of_u, of_h", [
    ("max(u, h[t-1])", [0, 0.5, 1], [1, 0.5, 0]),
    ("min(u, h[t-1])", [1, 0.5, 0], [0, 0.5, 1]),
    ("relu(u) + min(h[t-1], 0.25)", [0, 0, 1], [1, 1, 0]),
])
def test_a_choice_sends_back_to_what_was_chosen_and_half_at_a_tie(choice, of_u, of_h):
    module, text = compiled(CHOICE % choice)
    assert "np.where(" not in text.split("def step")[0]  # a product of truth values takes a tenth of its time
    params, x = {"W": np.eye(3, dtype=np.float32)}, np.array([[[-1, 0, 2]]], np.float32)
    _, _, tape = module.forward(params, x, module.State(np.array([[0, 0, 1]], np.float32)))
    grads = module.backward(params, tape, np.full((1, 1, 3), 3, np.float32))
    assert np.array_equal(grads.x[0, 0], 3 * np.array(of_u)) and np.array_equal(grads.state.h[0], 3 * np.array(of_h))
    assert grads.x.dtype == grads.state.h.dtype == np.float32


EXACT = "accurate to the last digits where it is close to 0"


@pytest.mark.parametrize("body, exact", [
    ("h[t-1] / (1 + sigmoid(u))", True),
    ("log(sigmoid(u) + h[t-1] ** 2)", True),
    ("sigmoid(u) ** 0.5 + h[t-1]", True),
    ("sigmoid(u) ** 2 + h[t-1]", False),
    ("sigmoid(u) * (h[t-1] / (1 + exp(u)))", False),  # the sigmoid is no part of what is divided by
    ("h[t-1] / exp(sigmoid(u))", False),
])
def test_a_sigmoid_is_exact_where_its_relative_error_counts(body, exact):
    module, text = compiled(CHOICE % body)
    assert (EXACT in text) == exact
    again, via_stage = compiled((CHOICE % body.replace("sigmoid(u)", "s")).replace("  h:", "  s: sigmoid(u)\n  h:"))
    assert (EXACT in via_stage) == exact
    if exact:
        low = module._sigmoid(np.array([-30.0], np.float32))
        assert abs(low[0] / np.exp(-30) - 1) < 1e-6
        assert np.array_equal(module._sigmoid(np.array([-1e4, 0, 1e4])), [0, 0.5, 1])
        assert module._sigmoid(np.array([0.7 + 1e-30j])).imag[0] == pytest.approx(1e-30 * 0.2217128733, rel=1e-9)


# ---------------------------------------------------------------- gates side by side

NEIGHBOURS = """
name: neighbours
dims: {D: input_size, H: hidden_size}
state: {h: H, c: H}
parameters: {W_i: [H, D], W_f: [H, D], W_o: [H, D], R_i: [H, H], R_f: [H, H], R_o: [H, H], b_i: [H], b_f: [H], b_o: [H]}
equations:
  k_i: W_i @ x + R_i @ h[t-1] + b_i
  i: sigmoid(k_i)
  k_f: W_f @ x + R_f @ h[t-1] + b_f
  f: sigmoid(k_f)
  c: f * c[t-1] + i
  k_o: W_o @ x + R_o @ h[t-1] + b_o
  o: sigmoid(k_o)
  h: o * tanh(c)
output: h
"""


@pytest.mark.parametrize("change, expected", [
    ((), [("i", "f", "o")]),
    (("i: sigmoid(k_i)", "i: tanh(k_i)"), [("f", "o")]),
    (("i: sigmoid(k_i)", "i: k_i"), [("f", "o")]),
    (("tanh(c)", "tanh(c + k_f)"), []),  # somebody else reads a pre-activation of the middle
    (("+ b_o", "+ b_o * c"), [("i", "f")]),  # not a sum of products and biases alone
    (("i: sigmoid(k_i)", "i: exp(k_i) * sigmoid(k_i)"), [("f", "o")]),
    (("R_o @ h[t-1]", "R_o @ c"), [("i", "f")]),  # not there before the step's first stage
    (("output: h", "output: [h, k_i]"), [("f", "o")]),
])
def test_one_call_serves_gates_that_lie_side_by_side(change, expected):
    text = NEIGHBOURS.replace(*change) if change else NEIGHBOURS
    assert not change or text != NEIGHBOURS
    plan = make_plan(derive(load(text)))
    assert [gates.stages for gates in plan.gates] == expected
    code = module_source(plan, verified=False)
    assert code.count("gates = _sigmoid(") == 2 * len(expected)  # in `forward` and in `step`
    assert execute(code, "neighbours")._self_check() <= 1e-12
