"""Weights of PyTorch, Keras and ONNX: equal outputs, and what does not fit."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from functools import cache
from types import ModuleType

import numpy as np
import pytest

import lstmgen
from lstmgen import weights
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import execute
from lstmgen.schedule.make import make_schedule

os.environ.setdefault("KERAS_BACKEND", "torch")

T, B, D, H, P = 5, 3, 4, 6, 2
SIZES = {"input_size": D, "hidden_size": H, "projection_size": P}


def spec(text: str) -> str:
    return f"name: cell\n{text}\n"


@cache
def module(text: str) -> ModuleType:
    """The NumPy module of a spec."""
    schedule = make_schedule(lstmgen.derive(lstmgen.load(spec(text))))
    return execute(module_source(schedule, verified=False), "cell")


def sizes(text: str) -> dict[str, int]:
    return {name: size for name, size in SIZES.items() if name != "projection_size" or "projection" in text}


def draw(text: str, seed: int = 0, dtype: type = np.float64) -> dict[str, np.ndarray]:
    """Parameters without a zero."""
    rng = np.random.default_rng(seed)
    params = module(text).init_params(**sizes(text), rng=0)
    return {key: rng.uniform(0.1, 0.9, array.shape).astype(dtype) * rng.choice([-1, 1], array.shape).astype(dtype)
            for key, array in params.items()}


def given(text: str, dtype: type = np.float64) -> tuple[np.ndarray, list[np.ndarray]]:
    """An input and an initial state without a zero."""
    rng = np.random.default_rng(9)
    x = rng.uniform(-1, 1, (T, B, D)).astype(dtype)
    width = P if "projection" in text else H
    state = [rng.uniform(-1, 1, (B, size)).astype(dtype) for size in ((width, H) if "lstm" in text else (width,))]
    return x, state


def ours(text: str, params: dict[str, np.ndarray], dtype: type = np.float64) -> list[np.ndarray]:
    """Outputs and final states of the NumPy module."""
    x, state = given(text, dtype)
    y, end, _ = module(text).forward(params, x, module(text).State(*state))
    return [y, *end]


def close(found: list[np.ndarray], expected: list[np.ndarray], most: float) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert one.shape == other.shape and np.abs(one - other).max() <= most, np.abs(one - other).max()


# ---------------------------------------------------------------- PyTorch

TORCH = [
    "cell: lstm", "cell: lstm\nbias: false", "cell: lstm\nprojection: true", "cell: lstm\nprojection: true\nbias: false",
    "cell: lstm\nforget_bias: 1.0\nloss: none", "cell: gru", "cell: gru\nbias: false", "cell: rnn", "cell: rnn\nbias: false",
    "cell: rnn\nactivations: {output: relu}",
]


def torch_layer(text: str, layers: int = 1, both: bool = False):
    torch = pytest.importorskip("torch")
    kind = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}[text[6:10].strip()]
    options = weights.torch_options(spec(text)) | ({"proj_size": P} if "projection" in text else {})
    return getattr(torch.nn, kind)(D, H, num_layers=layers, bidirectional=both, dtype=torch.float64, **options)


def of_torch(text: str, layer, x: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
    torch = pytest.importorskip("torch")
    start = tuple(torch.from_numpy(value)[None] for value in state)
    y, end = layer(torch.from_numpy(x), start if "lstm" in text else start[0])
    return [y.detach().numpy(), *(value[0].detach().numpy() for value in (end if "lstm" in text else [end]))]


@pytest.mark.parametrize("text", TORCH)
def test_pytorch_in_and_out(text):
    layer = torch_layer(text)
    x, state = given(text)
    expected = of_torch(text, layer, x, state)
    close(ours(text, weights.from_torch(spec(text), layer.state_dict())), expected, 1e-14)
    params = draw(text)
    layer.load_state_dict(weights.to_torch(spec(text), params))
    close(of_torch(text, layer, x, state), ours(text, params), 1e-14)
    back = weights.from_torch(spec(text), layer.state_dict())
    assert back.keys() == params.keys() and all(np.array_equal(back[key], params[key]) for key in params)


def test_pytorch_layers_directions_and_cells():
    torch = pytest.importorskip("torch")
    layer = torch_layer("cell: gru", layers=2, both=True)
    x, _ = given("cell: gru")
    y, end = layer(torch.from_numpy(x))
    below = [weights.from_torch("gru", layer.state_dict(), 0, reverse) for reverse in (False, True)]
    m = module("cell: gru")
    h = np.concatenate([m.forward(below[0], x)[0], m.forward(below[1], x[::-1].copy())[0][::-1]], -1)
    above = [weights.from_torch("gru", layer.state_dict(), layer=1, reverse=reverse) for reverse in (False, True)]
    found = np.concatenate([m.forward(above[0], h)[0], m.forward(above[1], h[::-1].copy())[0][::-1]], -1)
    assert np.abs(found - y.detach().numpy()).max() < 1e-14
    renamed = {}
    for place, params in enumerate([*below, *above]):
        renamed |= weights.to_torch("gru", params, layer=place // 2, reverse=bool(place % 2))
    assert renamed.keys() == layer.state_dict().keys()
    layer.load_state_dict(renamed)
    assert np.abs(layer(torch.from_numpy(x))[0].detach().numpy() - y.detach().numpy()).max() < 1e-14

    cell = torch.nn.LSTMCell(D, H, dtype=torch.float64)
    params = weights.from_torch("lstm", cell.state_dict(), layer=None)
    x, (h, c) = given("cell: lstm")
    m = module("cell: lstm")
    found = m.step(params, x[0], m.State(h, c))[1]
    expected = cell(torch.from_numpy(x[0]), (torch.from_numpy(h), torch.from_numpy(c)))
    close(list(found), [value.detach().numpy() for value in expected], 1e-14)
    cell.load_state_dict(weights.to_torch("lstm", params, layer=None))


def test_pytorch_low_precision_comes_as_float32():
    torch = pytest.importorskip("torch")
    layer = torch_layer("cell: lstm").to(torch.bfloat16)
    params = weights.from_torch("lstm", layer.state_dict())
    assert {array.dtype for array in params.values()} == {np.dtype(np.float32)}


# ---------------------------------------------------------------- Keras

KERAS = [
    "cell: lstm", "cell: lstm\nbias: false", "cell: gru", "cell: gru\nbias: false", "cell: gru\nreset: before",
    "cell: gru\nreset: before\nbias: false", "cell: rnn", "cell: rnn\nbias: false",
    "cell: lstm\nactivations: {gate: softsign, input: relu, output: relu}",
    *(f"cell: gru\nactivations: {{gate: {gate}, candidate: {candidate}}}" for gate, candidate in (
        ("softplus", "elu"), ("silu", "softsign"), ("hard_tanh", "logsigmoid"), ("sigmoid", "identity"))),
]


KERAS_ERROR = 1e-6  # on PyTorch, Keras multiplies matrices in float32, whatever their type


def keras_layer(text: str):
    keras = pytest.importorskip("keras")
    keras.config.set_floatx("float64")
    kind = {"lstm": "LSTM", "gru": "GRU", "rnn": "SimpleRNN"}[text[6:10].strip()]
    layer = getattr(keras.layers, kind)(
        H, return_sequences=True, return_state=True, bias_initializer="random_normal", dtype="float64",
        **weights.keras_options(spec(text)))
    layer.build((B, T, D))
    return layer


def of_keras(layer, x: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
    keras = pytest.importorskip("keras")
    y, *end = layer(x.swapaxes(0, 1).copy(), initial_state=state if len(state) > 1 else state[0])
    found = [keras.ops.convert_to_numpy(value) for value in (y, *end)]
    return [found[0].swapaxes(0, 1), *found[1:]]


@pytest.mark.parametrize("text", KERAS)
def test_keras_in_and_out(text):
    layer = keras_layer(text)
    assert all(array.any() for array in layer.get_weights())
    x, state = given(text)
    close(ours(text, weights.from_keras(spec(text), layer.get_weights())), of_keras(layer, x, state), KERAS_ERROR)
    params = draw(text)
    layer.set_weights(weights.to_keras(spec(text), params))
    close(of_keras(layer, x, state), ours(text, params), KERAS_ERROR)


# ---------------------------------------------------------------- ONNX

ONNX = [
    "cell: lstm", "cell: lstm\nbias: false", "cell: lstm\npeepholes: true", "cell: lstm\npeepholes: [input, output]",
    "cell: lstm\npeepholes: true\nbias: false", "cell: lstm\ncoupled_gates: true",
    "cell: lstm\npeepholes: true\ncoupled_gates: true", "cell: gru", "cell: gru\nbias: false", "cell: gru\nreset: before",
    "cell: gru\nreset: before\nbias: false", "cell: rnn", "cell: rnn\nbias: false",
    "cell: lstm\nactivations: {gate: hard_sigmoid, input: identity, output: leaky_relu}",
    "cell: lstm\nactivations: {gate: softsign, input: elu, output: softplus}",
    "cell: lstm\nactivations: {gate: leaky_relu, input: hard_sigmoid, output: identity}",
    "cell: gru\nactivations: {gate: hard_sigmoid, candidate: softsign}",
    "cell: gru\nreset: before\nactivations: {gate: sigmoid, candidate: leaky_relu}",
    "cell: rnn\nactivations: {output: relu}", "cell: rnn\nactivations: {output: elu}",
]


def run_onnx(text: str, theirs: weights.OnnxWeights, x: np.ndarray, state: list, **attributes) -> list[np.ndarray]:
    """One node in ONNX Runtime, in float32."""
    runtime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    kind = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}[text[6:10].strip()]
    starts = ["initial_h", "initial_c"][:len(state)]
    feeds = {"X": x, "W": theirs.W, "R": theirs.R, "B": theirs.B, **{name: s[None] for name, s in zip(starts, state)}}
    feeds["P"] = theirs.P
    feeds = {name: np.asarray(value, np.float32) for name, value in feeds.items() if value is not None}
    slots = ["X", "W", "R", "B", "", "initial_h"] + ["initial_c", "P"] * (kind == "LSTM")
    results = ["Y", "Y_h", "Y_c"] if kind == "LSTM" else ["Y", "Y_h"]
    node = onnx.helper.make_node(
        kind, [name if name in feeds else "" for name in slots], results, hidden_size=theirs.R.shape[-1], **attributes)

    def told(name: str, shape: tuple[int, ...] | None):
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = onnx.helper.make_graph(
        [node], "cell", [told(name, value.shape) for name, value in feeds.items()], [told(name, None) for name in results])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    y, *last = session.run(None, feeds)
    return [y[:, 0], *(value[0] for value in last)]


def drawn_onnx(text: str, directions: int = 1) -> weights.OnnxWeights:
    """Weights as ONNX has them, without a zero, with two biases that both count."""
    rng = np.random.default_rng(3)
    parts = {"lstm": 4, "gru": 3, "rnn": 1}[text[6:10].strip()]

    def some(*shape: int) -> np.ndarray:
        return rng.uniform(-0.9, 0.9, (directions, *shape)).astype(np.float32)

    bias = None if "bias: false" in text else some(2 * parts * H)
    p = some(3 * H) if "peepholes" in text else None
    if p is not None and "[input, output]" in text:
        p[:, 2 * H:] = 0
    return weights.OnnxWeights(some(parts * H, D), some(parts * H, H), bias, p)


@pytest.mark.parametrize("text", ONNX)
def test_onnx_in_and_out(text):
    theirs = drawn_onnx(text)
    x, state = given(text, np.float32)
    options = weights.onnx_options(spec(text))
    found = ours(text, weights.from_onnx(spec(text), *theirs), np.float32)
    close(found, run_onnx(text, theirs, x, state, **options), 2e-6)
    params = draw(text, dtype=np.float32)
    close(run_onnx(text, weights.to_onnx(spec(text), params), x, state, **options), ours(text, params, np.float32), 2e-6)
    back = weights.from_onnx(spec(text), *weights.to_onnx(spec(text), params))
    assert back.keys() == params.keys() and all(np.array_equal(back[key], params[key]) for key in params)


def test_onnx_directions():
    both = drawn_onnx("cell: lstm", 2)
    for direction in (0, 1):
        one = weights.OnnxWeights(*(None if array is None else array[direction:direction + 1] for array in both))
        found, expected = weights.from_onnx("lstm", *both, direction=direction), weights.from_onnx("lstm", *one)
        assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert not np.array_equal(weights.from_onnx("lstm", *both)["W"], found["W"])


CLIPPED = """
inputs: {x: D}
state: {h: H, c: H}
parameters: {W_z: [H, D], W_i: [H, D], W_f: [H, D], W_o: [H, D], R_z: [H, H], R_i: [H, H], R_f: [H, H], R_o: [H, H],
             b_z: [H], b_i: [H], b_f: [H], b_o: [H]}
equations:
  z: tanh(clip(W_z @ x + R_z @ h[t-1] + b_z, -0.5, 0.5))
  i: sigmoid(clip(W_i @ x + R_i @ h[t-1] + b_i, -0.5, 0.5))
  f: sigmoid(clip(W_f @ x + R_f @ h[t-1] + b_f, -0.5, 0.5))
  c: c[t-1] * f + z * i
  o: sigmoid(clip(W_o @ x + R_o @ h[t-1] + b_o, -0.5, 0.5))
  h: o * tanh(c)
output: h
"""


def test_the_clip_of_onnx_is_an_equation_and_leaves_the_parameters_as_they_are():
    theirs = drawn_onnx("cell: lstm")
    x, state = given("cell: lstm", np.float32)
    params = weights.from_onnx("lstm", *theirs)
    y, end, _ = module(CLIPPED).forward(params, x, module(CLIPPED).State(*state))
    expected = run_onnx("cell: lstm", theirs, x, state, clip=0.5)
    close([y, *end], expected, 2e-6)
    assert np.abs(ours("cell: lstm", params, np.float32)[0] - expected[0]).max() > 0.01


# ---------------------------------------------------------------- what does not fit


def wrong_shape(library: str, text: str):
    """Calls with one array of a wrong shape each, beside the shape that was found and the one expected."""
    params = draw(text)
    if library == "torch":
        theirs = {key: value.numpy() for key, value in weights.to_torch(spec(text), params).items()}
        read = weights.from_torch
        first = "weight_ih_l0"
    else:
        made = weights.to_keras(spec(text), params) if library == "keras" else weights.to_onnx(spec(text), params)
        theirs = {place: array for place, array in enumerate(made) if array is not None}
        first = 0

        def read(cell, arrays):
            values = list(arrays.values())
            return weights.from_keras(cell, values) if library == "keras" else weights.from_onnx(cell, *values)

    read(spec(text), theirs)
    for key, array in theirs.items():
        if key != first and "weight_hr" not in str(key):
            longer = np.concatenate([array, array[..., :1]], -1)
            yield lambda key=key, longer=longer: read(spec(text), theirs | {key: longer}), longer.shape, array.shape


@pytest.mark.parametrize("library, text", [
    ("torch", "cell: lstm\nprojection: true"), ("torch", "cell: gru"), ("torch", "cell: rnn"), ("keras", "cell: lstm"),
    ("keras", "cell: gru"), ("keras", "cell: gru\nreset: before"), ("onnx", "cell: lstm\npeepholes: true"),
    ("onnx", "cell: gru"),
])
def test_a_shape_that_does_not_fit_is_named_beside_the_one_that_does(library, text):
    if library == "torch":
        pytest.importorskip("torch")
    for call, found, expected in wrong_shape(library, text):
        with pytest.raises(ValueError) as raised:
            call()
        assert str(found) in str(raised.value) and str(expected) in str(raised.value)


def test_rows_that_are_no_multiple_of_the_gates():
    with pytest.raises(ValueError, match=r"\(10, 4\).* 10 rows are no multiple of the 4 parts \(i, f, z, o\) of lstm"):
        weights.from_torch("lstm", {key: np.zeros((10, 4)) for key in
                                    ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")})
    with pytest.raises(ValueError, match=r"\(10, 4\).*no multiple"):
        weights.from_keras("lstm", [np.zeros((4, 10)), np.zeros((2, 10)), np.zeros(10)])
    with pytest.raises(ValueError, match=r"\(1, 10, 4\).*no multiple"):
        weights.from_onnx("gru", np.zeros((1, 10, 4)), np.zeros((1, 10, 3)))


@pytest.mark.parametrize("to", [weights.to_keras, weights.to_onnx, weights.to_torch])
def test_our_own_parameters_that_do_not_fit(to):
    params = draw("cell: lstm")
    for key in params:
        with pytest.raises(ValueError) as raised:
            to("lstm", params | {key: params[key][1:]})
        assert f"params['{key}']" in str(raised.value) or str(params[key].shape) in str(raised.value)
    with pytest.raises(ValueError, match="the parameters of lstm are W, R, b, and these are W, b"):
        to("lstm", {key: params[key] for key in "Wb"})


@pytest.mark.parametrize("options, text, message", [
    ("torch", "cell: lstm\npeepholes: true", "cell has peepholes, and the LSTM of PyTorch has not"),
    ("torch", "cell: lstm\ngates: [input, output]", "cell has a missing gate, and"),
    ("torch", "cell: lstm\ncoupled_gates: true", "cell has coupled gates"),
    ("torch", "cell: lstm\nactivations: {output: relu}", "'output' of cell is relu, and PyTorch has there tanh alone"),
    ("torch", "cell: gru\nreset: before", "cell resets before the product, and the GRU of PyTorch after it"),
    ("torch", "cell: rnn\nactivations: {output: elu}", "is elu, and PyTorch has there tanh or relu alone"),
    ("keras", "cell: lstm\nprojection: true", "cell has a projection, and the LSTM of Keras has not"),
    ("keras", "cell: lstm\nactivations: {output: relu}", "differ, and are one in the LSTM of Keras"),
    ("keras", "cell: lstm\nactivations: {gate: hard_sigmoid}", "is hard_sigmoid, and Keras has there"),
    ("onnx", "cell: lstm\npeepholes: true\npeephole_kind: full", "cell has full peepholes, and the LSTM of ONNX has not"),
    ("onnx", "cell: lstm\ngate_recurrence: true", "cell has gate recurrence"),
    ("onnx", "cell: rnn\nactivations: {output: gelu}", "is gelu, and ONNX has there"),
    ("onnx", "state: {h: H}\nparameters: {R: [H, H]}\nequations: {h: \"tanh(R @ h[t-1] + x)\"}\ninputs: {x: H}\noutput: h",
     "cell is a spec of equations"),
])
def test_what_the_other_side_does_not_have(options, text, message):
    with pytest.raises(ValueError, match=message):
        getattr(weights, f"{options}_options")(spec(text))


def test_missing_and_needless_parameters():
    pytest.importorskip("torch")
    full = weights.to_torch("lstm", draw("cell: lstm"))
    with pytest.raises(ValueError, match="the state_dict has weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0"):
        weights.from_torch("lstm_no_bias", full)
    with pytest.raises(ValueError, match="of these names the state_dict has none; all it has: encoder.bias_hh_l0"):
        weights.from_torch("lstm", {f"encoder.{key}": value for key, value in full.items()})
    with pytest.raises(ValueError, match=r"has 2 arrays in Keras, and these are 3: \(4, 24\), \(6, 24\), \(24,\)"):
        weights.from_keras("lstm_no_bias", weights.to_keras("lstm", draw("cell: lstm")))
    theirs = drawn_onnx("cell: lstm\npeepholes: true")
    with pytest.raises(ValueError, match="B has numbers at b_i, and lstm_no_bias has no parameter of this name"):
        weights.from_onnx("lstm_no_bias", *theirs[:3])
    with pytest.raises(ValueError, match="P has numbers at p_i, and lstm has no"):
        weights.from_onnx("lstm", *theirs)
    zero = weights.from_onnx("lstm", theirs.W, theirs.R)  # ONNX: what is not there is zero
    assert not zero["b"].any()


LEARNED = "cell: lstm\ninitial: {h: h_0, c: c_0}"


def test_learned_starts_are_zero_on_the_other_side():
    theirs = weights.to_keras("lstm", draw("cell: lstm"))
    params = weights.from_keras(spec(LEARNED), theirs)
    assert not params["h_0"].any() and not params["c_0"].any() and params["c_0"].shape == (H,)
    for one, other in itertools.zip_longest(weights.to_keras(spec(LEARNED), params), theirs):
        assert np.array_equal(one, other)
    params["c_0"][1] = 1
    with pytest.raises(ValueError, match="cell starts from c_0, which it has learned"):
        weights.to_keras(spec(LEARNED), params)


def test_no_array_is_shared():
    params = draw("cell: gru")
    for made in (weights.to_keras("gru", params), weights.to_onnx("gru", params)[:3]):
        assert not any(np.shares_memory(array, other) for array in made for other in params.values())
    theirs = weights.to_onnx("rnn", draw("cell: rnn"))
    made = weights.from_onnx("rnn", *theirs)
    assert not any(np.shares_memory(array, other) for array in made.values() for other in theirs[:3])


def test_lstmgen_imports_no_framework():
    frameworks = "torch jax keras onnx onnxruntime tensorflow flax equinox"
    text = ("import sys, lstmgen, lstmgen.api; lstmgen.weights.keras_options('gru'); lstmgen.weights.from_onnx; "
            f"print([name for name in '{frameworks}'.split() if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr
