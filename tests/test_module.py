"""The generated modules, as their users call them: every spec, every argument."""

from __future__ import annotations

import gc
import inspect
import itertools
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from functools import cache
from typing import get_type_hints

import numpy as np
import pytest

from lstmgen.language.expressions import Adjoint, Value
from lstmgen.language.evaluate import Digits
from lstmgen.outputs.numpy.lines import WIDTH, wrapped_unpacking
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import derive, execute, load
from lstmgen.schedule.make import make_schedule
from lstmgen.schedule.plan import _order
from lstmgen.numerics.points import STEPS, choose_sizes, draw_point
from lstmgen.resources import packaged_specs
from lstmgen.numerics.unrolled import Adjoints, at_point

SPECS = packaged_specs()


@cache
def made(path):
    """(graph, module, text) of a spec."""
    derivation = derive(load(path))
    text = module_source(make_schedule(derivation), verified=True)
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
    for steps, batch, given in itertools.product((0, 1, 3), (0, 1, 2), (True, False)):
        params, arguments, state, dy, dstate = draw(graph, module, steps, batch)
        if graph.spec.loss_at == "last" and not steps:
            with pytest.raises(ValueError, match="T is 0"):
                module.forward(params, *arguments, state)
            continue
        _, end, tape = module.forward(params, *arguments, state if given else None)
        grads = backward(graph, module, params, tape, dy if given else None, dstate)
        expected = [*params.values(), *arguments[: len(graph.inputs)], *state, *state]
        found = [*grads.params.values(), *grads[1:-1], *grads.state, *end]
        assert [np.shape(array) for array in found] == [np.shape(array) for array in expected]
        assert all(np.all(np.isfinite(array)) or (not steps and np.isneginf(array).all()) for array in found)
        if not batch or not steps and given:  # a start that is learned hears from dstate even so
            assert all(np.all(gradient == 0) for gradient in grads.params.values())
        if not steps:
            assert not given or all(np.array_equal(a, b) for a, b in zip(end, state))
            assert all(np.array_equal(a, b) for a, b in zip(grads.state, dstate))
        else:
            y_t, after = module.step(params, *(array[0] for array in arguments[: len(graph.inputs)]), state)
            assert all(array.shape[0] == batch for array in (*after, *(y_t if isinstance(y_t, tuple) else [y_t])))


# ---------------------------------------------------------------- what is given


def each(change, value):
    """`change` at every array of an argument."""
    if isinstance(value, dict):
        return {name: each(change, entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return type(value)(*(each(change, entry) for entry in value))
    if isinstance(value, list):
        return [each(change, entry) for entry in value]
    return change(np.asarray(value))


def flat(value):
    """The arrays of an argument or of a result."""
    if isinstance(value, dict):
        value = list(value.values())
    return [array for entry in value for array in flat(entry)] if isinstance(value, (tuple, list)) else [value]


def run(graph, module, params, arguments, state, dy, dstate):
    """Everything that the three functions give back."""
    y, end, tape = module.forward(params, *arguments, state)
    grads = backward(graph, module, params, tape, dy, dstate)
    return flat([y, end, grads, module.step(params, *(array[0] for array in arguments[: len(graph.inputs)]), state)])


def strided(array):
    """Every second entry of a larger array."""
    wide = np.full([2 * size for size in array.shape], np.nan, array.dtype)
    view = wide[(..., *(slice(None, None, 2) for _ in array.shape))]
    view[...] = array
    return view


def backwards(array):
    """A view with steps below zero."""
    turned = (..., *(slice(None, None, -1) for _ in array.shape))
    return array[turned].copy()[turned]


def misaligned(array):
    view = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


LAYOUTS = {
    "Fortran": lambda array: np.array(array, order="F"), "strided": strided, "backwards": backwards, "misaligned": misaligned,
    "other byte order": lambda array: array.astype(array.dtype.newbyteorder()), "lists": lambda array: array.tolist(),
    "masked": lambda array: np.ma.masked_array(array, np.zeros(array.shape, bool)),
    "wrapped": lambda array: array.view(Wrapped),
}


class Wrapped(np.ndarray):
    """As np.matrix: an array to which products mean something else."""

    def __mul__(self, other):
        raise AssertionError("computed with as it came")

    __rmul__ = __matmul__ = __rmatmul__ = __add__ = __radd__ = __sub__ = __mul__


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_an_argument_gives_the_same(spec_path, layout):
    graph, module, _ = made(spec_path)
    case = draw(graph, module, 3, 2)
    expected = run(graph, module, *case)
    for place in range(len(case)):
        given = list(case)
        given[place] = each(LAYOUTS[layout], given[place])
        for found, right in zip(run(graph, module, *given), expected, strict=True):
            assert type(found) is type(right) and found.dtype == right.dtype and close(found, right, 1e-13)


def test_whole_numbers_are_computed_with_as_floats(spec_path):
    graph, module, _ = made(spec_path)
    case = [each(lambda array: np.floor(2 * array), value) for value in draw(graph, module, 3, 2)]
    with np.errstate(all="ignore"):  # some cells divide by what is now 0
        expected = run(graph, module, *case)
        for kind in (np.int64, np.int8):
            for first in (0, 1):  # with parameters of that type as well, and without
                whole = [each(lambda array, to=kind: array.astype(to), value) for value in case[first:]]
                for found, right in zip(run(graph, module, *case[:first], *whole), expected, strict=True):
                    assert found.dtype == np.float64 and np.array_equal(found, right, equal_nan=True)


def test_a_nan_stays_in_its_example(spec_path):
    graph, module, _ = made(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, 3, 3)
    inputs = len(graph.inputs)

    def of(arguments):
        _, end, tape = module.forward(params, *arguments, state)
        grads = backward(graph, module, params, tape, dy, dstate)
        return flat(tape.y), [*end, *grads.state], grads[1:-1]

    expected = of(arguments)
    broken = [array.copy() for array in arguments]
    for array in broken[:inputs]:
        array[1, 1] = np.nan
    over_time, at_ends, sent_back = of(broken)
    if spec_path.stem != "spiking_lif":  # it puts out spikes, and a potential that is not a number is no spike
        assert any(np.isnan(array[1:, 1]).any() for array in over_time)
    others = [0, 2]
    assert all(close(a[:, others], b[:, others]) for a, b in zip([*over_time, *sent_back], [*expected[0], *expected[2]]))
    assert all(close(a[others], b[others]) for a, b in zip(at_ends, expected[1]))


def test_states_of_a_step_are_its_own(spec_path):
    """Who reuses the array of one step's input for the next must not change a state that remembers it."""
    graph, module, _ = made(spec_path)
    params, arguments, state, _, _ = draw(graph, module, 3, 2)
    now = [array[0] for array in arguments[: len(graph.inputs)]]
    _, after = module.step(params, *now, state)
    _, end, _ = module.forward(params, *arguments, state)
    for array in (*after, *end):
        assert array.flags.writeable
        assert not any(np.shares_memory(array, other) for other in (*arguments, *state, *params.values()))


VIEWS = """
name: views
inputs: {x: 2*D}
state: {u: 2*D, v: D, w: 2*D, s: H, k: H, M: [H, H], N: [H, H], h: H}
parameters: {W: [H, 2*D], V: [H, D], K: [H, H], b: H}
equations:
  u: x
  v: part(x, 1, 2)
  w: stop_gradient(x)
  s: b
  k: h[t-1]
  M: K
  N: transpose(M[t-1])
  h: tanh(W @ x + W @ u[t-1] + V @ v[t-1] + W @ w[t-1] + s[t-1] + k[t-1] + M[t-1] @ b + N[t-1] @ b)
output: h
"""


def test_states_that_are_views_of_others_are_copied():
    graph = derive(load(VIEWS)).graph
    module = execute(module_source(make_schedule(derive(load(VIEWS))), verified=True), "views")
    params, (x,), state, _, _ = draw(graph, module, 3, 2)
    _, after = module.step(params, x[0], state)
    for array in after:
        assert array.flags.writeable
        assert not any(np.shares_memory(array, other) for other in (x, *state, *params.values()))


NO_ARRAYS = {
    "None": lambda like: None, "a text": lambda like: "text", "an object": lambda like: object(),
    "a set": lambda like: {1, 2}, "ragged": lambda like: [[1.0, 2.0], [3.0]], "a generator": lambda like: (n for n in "ab"),
    "digits": lambda like: np.full(np.shape(like), "1"), "dates": lambda like: np.full(np.shape(like), np.datetime64(0, "D")),
    "Nones": lambda like: np.full(np.shape(like), None), "one axis too many": lambda like: np.zeros((2, *np.shape(like))),
}


@pytest.mark.parametrize("kind", NO_ARRAYS)
def test_what_is_no_array_is_refused_by_its_name(spec_path, kind):
    graph, module, _ = made(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, 3, 2)
    _, _, tape = module.forward(params, *arguments, state)
    now = [array[0] for array in arguments[: len(graph.inputs)]]

    def wrong(entries, place):
        changed = list(entries)
        changed[place] = NO_ARRAYS[kind](entries[place])
        return changed

    def refused(name, function, *given):
        with pytest.raises(ValueError, match=rf"^{re.escape(name)}[ .]"):
            function(*given)

    for place, name in enumerate((*graph.inputs, *graph.targets)):
        refused(name, module.forward, params, *wrong(arguments, place), state)
    for place, name in enumerate(graph.inputs):
        refused(f"{name}_t", module.step, params, *wrong(now, place), state)
    for place, name in enumerate(graph.states):
        refused(f"state.{name}", module.forward, params, *arguments, wrong(state, place))
        refused(f"state.{name}", module.step, params, *now, wrong(state, place))
        if kind != "None":
            refused(f"dstate.{name}", backward, graph, module, params, tape, dy, wrong(dstate, place))
    for name in params:
        changed = {**params, name: NO_ARRAYS[kind](params[name])}
        refused(f"params['{name}']", module.forward, changed, *arguments, state)
        refused(f"params['{name}']", backward, graph, module, changed, tape, dy, dstate)
    if kind != "None":
        refused("state", module.forward, params, *arguments, NO_ARRAYS[kind](state[0]))
        refused("dstate", module.backward, params, tape, *[None] * (not graph.loss), NO_ARRAYS[kind](state[0]))
        if not graph.loss and len(graph.outputs) == 1:
            refused("dy", module.backward, params, tape, NO_ARRAYS[kind](dy))


def test_wrong_arguments_are_named(spec_path):
    graph, module, _ = made(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, 3, 2)
    first = graph.inputs[0]
    with pytest.raises(ValueError, match=f"{first} has shape"):
        module.forward(params, arguments[0][0, 0], *arguments[1:], state)
    with pytest.raises(ValueError, match=rf"^state is tuple of {len(state) - 1}, expected State\("):
        module.forward(params, *arguments, tuple(state[:-1]))
    with pytest.raises(ValueError, match=f"state.{graph.states[0]} has shape"):
        module.forward(params, *arguments, state._replace(**{graph.states[0]: state[0][:1]}))
    for place, name in enumerate((*graph.inputs, *graph.targets)):
        whose = "state" if len(arguments) == 1 else " has shape"  # which of several is short nobody can know
        with pytest.raises(ValueError, match=whose):
            module.forward(params, *arguments[:place], arguments[place][:, :1], *arguments[place + 1:], state)
        if graph.shapes[name]:
            with pytest.raises(ValueError, match=f"{name} has shape"):
                doubled = np.concatenate([arguments[place]] * 2, axis=-1)
                module.forward(params, *arguments[:place], doubled, *arguments[place + 1:], state)
    _, _, tape = module.forward(params, *arguments, state)
    with pytest.raises(ValueError, match="dstate"):
        module.backward(params, tape, dstate=module.State(*(d[:1] for d in dstate)))
    for wrong in ({}, {**params, "more": 1.0}, {**params, 3: 1.0}):
        for function in (lambda given: module.forward(given, *arguments, state), module.named,
                         lambda given: backward(graph, module, given, tape, dy, dstate)):
            with pytest.raises(ValueError, match="params has the keys"):
                function(wrong)
    for wrong in (None, list(params.values()), state, "params"):
        for function in (lambda given: module.forward(given, *arguments, state), module.named,
                         lambda given: backward(graph, module, given, tape, dy, dstate)):
            with pytest.raises(ValueError, match=f"params is {type(wrong).__name__}, expected a dictionary"):
                function(wrong)
    with pytest.raises(ValueError, match="tape is dict, expected the Tape"):
        module.backward(params, params)
    for wrong in (np.float16, np.longdouble):
        with pytest.raises(ValueError, match="params are of type .*, expected float32, float64 or complex128"):
            module.forward(each(lambda array, to=wrong: array.astype(to), params), *arguments, state)


def test_a_tape_is_of_parameters_of_its_sizes(spec_path):
    """What the gradient at the input alone would show is a wrong shape, and nobody may look at it."""
    graph, module, _ = made(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, 3, 2)
    _, _, tape = module.forward(params, *arguments, state)
    sizes = {symbol: 4 + place for place, (symbol, _) in enumerate(graph.dims)}
    told = {symbol for name in graph.parameters for dim in graph.shapes[name] for symbol in dim.symbols}
    for changed in told:
        keywords = {keyword: sizes[symbol] + (symbol == changed) for symbol, keyword in graph.dims}
        other = module.init_params(**keywords, dtype=np.float64)
        with pytest.raises(ValueError, match="the tape is of params with .* and these have"):
            backward(graph, module, other, tape, dy, dstate)


def test_parameters_are_of_a_size_and_type_that_can_be(spec_path):
    graph, module, _ = made(spec_path)
    keywords = {keyword: 4 for _, keyword in graph.dims}
    assert module.init_params(**{**keywords, graph.dims[0][1]: np.int64(4)})
    for keyword in keywords:
        for wrong in (0, -1, 2.5, "4", None):
            with pytest.raises(ValueError, match=f"{keyword} is {wrong!r}, expected a whole number from 1"):
                module.init_params(**{**keywords, keyword: wrong})
    for wrong in (int, np.float16, bool):
        with pytest.raises(ValueError, match="dtype is .*, expected float32, float64 or complex128"):
            module.init_params(**keywords, dtype=wrong)


# ---------------------------------------------------------------- large numbers, many calls


@pytest.mark.filterwarnings("error")
def test_saturated_gates_give_gradients_as_exact_as_the_type(spec_path):
    """Inputs of up to 50 drive gates to their ends; against the derivation in 90 digits, in absolute terms."""
    if spec_path.stem == "mamba2":
        pytest.skip("three factors grow with the input, and large terms cancel")
    derivation = derive(load(spec_path))
    graph, module, _ = made(spec_path)
    sizes = choose_sizes(graph, least=2)
    point = draw_point(graph, sizes, STEPS, 1, np.random.default_rng(0), reach=1)
    kept = {entry.name for entry in graph.spec.ranges} | set(graph.targets)
    point = replace(point, inputs={name: array if name in kept else 50 * array for name, array in point.inputs.items()})
    digits = Digits()
    there = point.converted(digits.array)
    run = at_point(derivation, sizes, digits, there)
    exact = Adjoints(run, there.weights, there.final).gradients()
    stages = [array for step in run.values[1:] for name, array in step.items() if name not in point.inputs]
    learned = {start.name for _, start in graph.initial if isinstance(start, Value)}
    for dtype in (np.float64, np.float32):
        params = module.init_params(**{keyword: sizes[symbol] for symbol, keyword in graph.dims}, dtype=dtype)
        for name, view in module.named(params).items():
            view[...] = point.parameters[name]
        arguments = [point.inputs[name].astype(dtype) for name in (*graph.inputs, *graph.targets)]
        state, final = (module.State(*(group[name].astype(dtype) for name in graph.states))
                        for group in (point.state, point.final))
        dy = [point.weights[name].astype(dtype) for name in graph.outputs if not graph.loss]
        _, _, tape = module.forward(params, *arguments, state)
        grads = backward(graph, module, params, tape, module.Outputs(*dy) if len(dy) > 1 else dy and dy[0], final)
        found = {**module.named(grads.params), **dict(zip(graph.inputs, grads[1:-1])), **grads.state._asdict()}
        # beside the largest number on the way: where inputs are multiplied with each other, some are very large
        largest = 1 + max(float(np.abs(np.asarray(array, float)).max(initial=0)) for array in (*exact.values(), *stages))
        for name in exact.keys() - learned:  # a start that is given is not learned
            right = np.asarray(exact[name], dtype=np.float64).reshape(np.shape(found[name]))
            assert np.all(np.isfinite(found[name])), name
            error = np.abs(found[name] - right).max(initial=0)
            assert error <= 2000 * np.finfo(dtype).eps * largest, name


STABLE = ("sigmoid", "tanh", "softplus", "logsigmoid", "silu", "softsign", "elu", "gelu", "softmax", "logsumexp",
          "layer_norm", "hard_sigmoid", "hard_tanh", "relu", "leaky_relu", "abs", "erf",
          "rms_norm", "l2_norm")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("function", STABLE)
def test_large_arguments_overflow_nowhere(function):
    text = "name: large\ninputs: {x: H}\nstate: {h: H}\nparameters: {b: H}\nequations:\n" \
           f"  h: 1e-6 * {function}(x + b) + 0.1 * h[t-1]\noutput: h\n"
    module = execute(module_source(make_schedule(derive(load(text))), verified=True), "large")
    for dtype, size in itertools.product((np.float32, np.float64), (1e2, 1e4, 1e12)):
        params = {"b": np.zeros(4, dtype)}
        x = size * np.array([[[-1, -0.5, 0.25, 1]]], dtype)
        y, _, tape = module.forward(params, x)
        grads = module.backward(params, tape, np.ones_like(y))
        assert np.all(np.isfinite(y)) and all(np.all(np.isfinite(gradient)) for _, gradient in everything(grads))


@pytest.mark.parametrize("path", SPECS[::8], ids=lambda path: path.stem)
def test_many_calls_hold_no_memory(path):
    graph, module, _ = made(path)
    case = draw(graph, module, 6, 3)
    held = []
    tracemalloc.start()
    try:
        for turn in range(35):
            run(graph, module, *case)
            if turn in (4, 34):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 5000, "thirty calls left something behind: an array of each would be more"


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


@pytest.mark.parametrize("groups, order", [
    ([["a", "c"], ["b", "d"]], "acbd"), ([["a", "b"], ["c", "d"]], "abcd"), ([["a", "b", "d"]], "abdc"),
    ([["a", "c"], ["a", "b", "d"]], "bdac"), ([["a", "d"], ["b", "c", "d"]], "adbc"),
])
def test_gates_that_share_a_product_stand_side_by_side(groups, order):
    assert "".join(_order(groups, list("abcd"))) == order


@pytest.mark.parametrize("longer, expected", [
    (0, ["{names} = {right}"]), (1, ["(", "    {names},", ") = {right}"]),
])
def test_a_long_unpacking_is_wrapped(longer, expected):
    names, right = "n" * (WIDTH - 8 - 30 - len(" = ") + longer), "r" * 30
    lines = [line.code for line in wrapped_unpacking([names], right)]
    assert lines == [line.format(names=names, right=right) for line in expected]


def test_a_wrapped_unpacking_fills_its_rows():
    names = ["n" * (WIDTH // 2 - 12), "m" * (WIDTH // 2 - 10), "k" * 40]
    lines = [line.code for line in wrapped_unpacking(names, "tape.kept")]
    assert lines == ["(", f"    {names[0]}, {names[1]},", f"    {names[2]},", ") = tape.kept"]


def test_modules_import_numpy_and_typing_alone(spec_path):
    _, _, text = made(spec_path)
    assert text.isascii()
    imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert imports == ["from typing import NamedTuple", "import numpy as np"]


SUMS = """
name: sums
state: {h: H, C: [H, K]}
dims: {D: input_size, H: hidden_size, K: key_size}
parameters: {W: [H, D], V: [K, D], w: D, u: [H, K], v: H}
equations:
  k: V @ x
  a: dot(w, x)
  C: outer(W @ x, k) + a * C[t-1]
  s: dot(v, v) * a + sum(sum(C * u))
  h: W @ x + h[t-1] * dot(k, k) + s
output: h
"""


def test_a_sum_of_products_makes_no_array_of_products():
    module, text = compiled(SUMS)
    assert "a = x @ w  " in text and "a = x_t @ w  " in text
    assert 'np.einsum("tbjk,tbjk->tb", d_C, C_prev)' in text and 'np.einsum("bk,bk->b", k, k)' in text
    assert '"w": np.einsum("tb,tbk->k", d_a, x)' in text and "v @ v  " in text
    assert module._self_check() <= 1e-12


def test_blank_lines_are_those_of_pep_8(spec_path):
    _, _, text = made(spec_path)
    found = re.findall(r"(\n+)(?:def |class |if __name__)", text)
    assert len(found) > 15 and set(found) == {"\n\n\n"}
    assert not re.search(r"\n\n\n\n|\n\n\n |[ \t]\n|\n\n$", text)


def test_tuples_of_one_are_seen_to_be_tuples(spec_path):
    _, _, text = made(spec_path)
    assert not re.search(r"^ *\w+, = |, \)", text, re.MULTILINE)


PUBLIC = ("init_params", "forward", "backward", "step", "named", "clip_by_norm")


def test_public_functions_say_types_and_shapes(spec_path):
    graph, module, _ = made(spec_path)
    for name in PUBLIC:
        function = getattr(module, name)
        assert get_type_hints(function).keys() == {*inspect.signature(function).parameters, "return"}
    for function, names in ((module.forward, (*graph.inputs, *graph.targets)), (module.step, graph.inputs)):
        for name in names:
            line = re.search(rf"^    {name}(?:_t)?: (.*)", function.__doc__, re.MULTILINE)[1]
            assert all(str(dim) in line for dim in graph.shapes[name]), name
    for function, told in ((module.forward, "state"), (module.backward, "dstate"), (module.step, "state")):
        line = re.search(rf"^    {told}: (.*)", function.__doc__, re.MULTILINE)[1]
        assert all(f"{state} (B" in line for state in graph.states)


def test_a_reader_sees_what_is_computed_before_what_is_checked(spec_path):
    """Each public function has its checks in one line; what they do stands behind the last of them."""
    _, _, text = made(spec_path)
    shown, mark, _ = text.partition("- checks of arguments\n")
    calls = re.findall(r"\b_checked\w*(?=\()", shown)
    assert mark and calls == ["_checked_start", "_checked_forward", "_checked_backward", "_checked_step", "_checked_keys"]
    assert not re.search(r"^ *raise ", shown, re.MULTILINE)


@cache
def bare(path):
    graph, _, _ = made(path)
    text = module_source(make_schedule(derive(load(path))), verified=True, bare=True)
    return execute(text, graph.spec.name), text


def test_a_bare_module_gives_the_same_numbers(spec_path):
    graph, module, _ = made(spec_path)
    plain, text = bare(spec_path)
    assert not re.search(r"_checked|_self_check|__main__", text) and text.endswith("\n") and not text.endswith("\n\n")
    params, arguments, state, dy, dstate = draw(graph, module, 4, 3)
    late = "give a state" in text
    for start, end in ((state, dstate), (state if late else None, None)):
        found, expected = [], []
        for each, results in ((plain, found), (module, expected)):
            given = params, arguments, *(value and each.State(*value) for value in (start, end))
            outside = each.Outputs(*dy) if isinstance(dy, tuple) else dy
            results += run(graph, each, *given[:3], outside if end else None, given[3])
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(found, expected, strict=True))
    keywords = {keyword: 5 for _, keyword in graph.dims}
    pairs = zip(plain.init_params(**keywords, rng=1).values(), module.init_params(**keywords, rng=1).values(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_a_bare_module_takes_complex_steps(spec_path):
    graph, module, _ = made(spec_path)
    plain, _ = bare(spec_path)
    params, arguments, state, dy, dstate = draw(graph, module, 3, 2, dtype=complex)
    moved = [value + 1e-30j for value in state]
    ours, theirs = (objective(graph, each, params, arguments, each.State(*moved), dy, dstate) for each in (plain, module))
    assert ours == theirs and ours.imag


def numbers_of(text):
    """The numbers of equations in the comments of a function, those of a range among them."""
    found = set()
    for first, last in re.findall(r"\((\d+)\)(?: to \((\d+)\))?", "\n".join(re.findall(r"# (.*)$", text, re.MULTILINE))):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_every_equation_has_its_number_in_a_comment(spec_path):
    graph, _, text = made(spec_path)
    plan = make_schedule(derive(load(spec_path))).plan
    forward, _, rest = text.partition("\ndef forward(")[2].partition("\ndef backward(")
    backward, _, step = rest.partition("\ndef step(")
    used = {fork.upstream.name for fork in plan.derivation.contributions() if isinstance(fork.upstream, Adjoint)}
    written = {number for name, number in plan.gradient_numbers.items() if name in used or name not in plan.numbers}
    assert numbers_of(forward) == set(plan.numbers.values())
    assert written <= numbers_of(backward)
    of_loss = {plan.numbers[name] for name in plan.derivation.loss_stages}
    assert numbers_of(step.partition("\ndef ")[0]) == set(plan.numbers.values()) - of_loss


def test_no_adjoint_is_a_second_name_of_another(spec_path):
    _, _, text = made(spec_path)
    again = re.findall(r"^ *d_\w+(?:\[t\])? = (?:dy|d_\w+)(?:\[t\])?(?:\.\w+)? +#.*", text, re.MULTILINE)
    # what goes into an array over time has to be written there
    assert [line for line in again if not re.match(r" *d_\w+_next |.*_next  | *d_\w+\[t\] = d_\w+ ", line)] == []


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


@pytest.mark.parametrize("change, has_line", [
    ((), False),
    (("k_i: W_i @ x", "k_i: c[t-1] + W_i @ x"), True),  # more than a part of a product
    (("tanh(c)", "tanh(c + k_i)"), True),  # somebody else reads it
    (("i: tanh(k_i)", "i: tanh(k_i) * k_i"), True),  # read twice
    (("i: tanh(k_i)", "i: exp(k_i ** 2)"), True),  # the backward pass reads it
    (("output: h", "output: [h, k_i]"), True),
])
def test_a_part_of_a_product_that_one_stage_reads_has_no_line_of_its_own(change, has_line):
    text = NEIGHBOURS.replace("i: sigmoid(k_i)", "i: tanh(k_i)")
    assert not change or text.replace(*change) != text
    module, code = compiled(text.replace(*change) if change else text)
    assert (re.search(r"^ *k_i(\[t\])? = ", code, re.MULTILINE) is not None) == has_line
    assert (code.count("np.tanh(pre[t, :, ") == 1) == (not has_line)
    assert module._self_check() <= 1e-12


EQUAL = """
name: equal
state: {h: H, c: H}
parameters: {W: [H, D], R: [H, H], w: H, b: H}
equations:
  a: tanh(W @ x + R @ h[t-1])
  k: exp(w) + b
  c: sigmoid(a) + tanh(a * k) + 0.5 * c[t-1]
  h: c + a * k
  y: cos(h)
output: [y, c]
"""


def test_an_adjoint_that_equals_another_is_written_as_that():
    module, text = compiled(EQUAL)
    backward = text.partition("\ndef backward(")[2].partition("\ndef step(")[0]
    numbers = make_schedule(derive(load(EQUAL))).plan.gradient_numbers
    assert "d_y" not in backward and "dy.y" in backward and "d_exp_w" not in backward
    assert f"({numbers['exp_w']}), ({numbers['w']}) from exp_w" in backward
    assert module._self_check() <= 1e-12


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
    module = execute(module_source(make_schedule(derive(load(STARTS))), verified=False), "starts")
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


def test_parameters_that_start_alike_are_filled_in_a_loop():
    text = module_source(make_schedule(derive(load(STARTS))), verified=False)
    body = text.partition("    views = named(params)\n")[2].partition("    return params")[0]
    assert body == '''\
    for name in ("W", "V"):
        views[name][...] = _orthogonal(rng, views[name].shape)
    views["R"][...] = _identity(views["R"].shape)
    views["U"][...] = _uniform(rng, views["U"].shape)
    views["G"][...] = _glorot(rng, views["G"].shape)
    views["b"][...] = -0.5
'''


@pytest.mark.parametrize("init, drawn", [("identity", False), ("0.5", False), ("uniform", True)])
def test_a_generator_is_made_where_something_is_drawn(init, drawn):
    text = (CHOICE % "tanh(u + h[t-1])").replace("W: [H, D]", f"W: {{shape: [H, D], init: {init}}}")
    assert ("default_rng(rng)" in compiled(text)[1]) == drawn


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
    text = module_source(make_schedule(derive(load(spec))), verified=False)
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


@pytest.mark.parametrize("comparison", ["u < 1", "1 < u"])
def test_a_choice_of_numbers_is_of_the_computations_type(comparison):
    text = (CHOICE % "tanh(h[t-1])").replace("output: h", f"  y: where({comparison}, 1, 0.25)\noutput: [h, y]")
    module, _ = compiled(text)
    outputs, _, _ = module.forward({"W": np.eye(3, dtype=np.float32)}, np.zeros((2, 1, 3), np.float32))
    assert outputs.y.dtype == np.float32 and set(outputs.y.flat) == {1 if comparison == "u < 1" else 0.25}


def test_what_is_not_chosen_does_no_harm():
    """A product with a truth value would make infinity times nought of it."""
    module, _ = compiled(CHOICE % "where(u < 1, exp(u), 0) + h[t-1]")
    params, x = {"W": np.eye(3, dtype=np.float32)}, np.array([[[-1, 0, 1000]]], np.float32)
    with np.errstate(over="ignore"):
        h, _, _ = module.forward(params, x)
    assert h[0, 0] == pytest.approx([np.exp(-1), 1, 0])


EXACT = "accurate to the last digits where it is close to 0"


@pytest.mark.parametrize("body, exact", [
    ("h[t-1] / (1 + sigmoid(u))", True),
    ("log(sigmoid(u) + h[t-1] ** 2)", True),
    ("sigmoid(u) ** 0.5 + h[t-1]", True),
    ("sigmoid(u) ** 2 + h[t-1]", False),
    ("sigmoid(u) * (h[t-1] / (1 + exp(u)))", False),  # the sigmoid is not part of what is divided by
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
    schedule = make_schedule(derive(load(text)))
    assert [gates.stages for gates in schedule.plan.gates] == expected
    code = module_source(schedule, verified=False)
    assert code.count("gates = _sigmoid(") == 2 * len(expected)  # in `forward` and in `step`
    assert execute(code, "neighbours")._self_check() <= 1e-12
