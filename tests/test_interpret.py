"""The interpreter on cells and expressions whose values are known otherwise."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from lstmgen.language import functions
from lstmgen.language.expressions import (
    Adjoint, Call, MatVec, Number, Outside, Product, Quotient, Size, Sum, Value, number, shift,
)
from lstmgen.language.evaluate import Digits, Floats, Mismatch, evaluate
from lstmgen.proofs.interpret import Interpreter
from lstmgen.language.parse import parse_rule
from lstmgen.spec.reader import read

A = np.array([0.3, -1.2, 0.7, 2.5])
B = np.array([0.9, -1.2, 0.4, -0.5])
M = np.arange(12.0).reshape(3, 4) / 7 - 0.8
SIZES = {"H": 4}


def value(text: str, arithmetic=None, leading: int = 0) -> np.ndarray:
    """A text of the language at a = A, b = B, m = M, s = 0.75."""
    arithmetic = arithmetic or Floats()
    given = {"a": A, "b": B, "m": M, "s": np.array(0.75)}
    lead = (None,) * leading
    arrays = {Value(name): arithmetic.array(array[lead]) for name, array in given.items()}
    arrays[Value("n")] = arithmetic.array(np.full((1,) * leading, 4.0))
    return evaluate(parse_rule(text), arrays, arithmetic, SIZES, leading)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# One line for each function of the language, beside what NumPy makes of it in its own words.
EXPECTED = {
    "sigmoid(a)": sigmoid(A),
    "tanh(a)": np.tanh(A),
    "relu(a)": np.maximum(A, 0),
    "leaky_relu(a)": np.where(A > 0, A, 0.01 * A),
    "elu(a)": np.where(A > 0, A, np.expm1(A)),
    "softplus(a)": np.log1p(np.exp(A)),
    "softsign(a)": A / (1 + np.abs(A)),
    "gelu(a)": 0.5 * A * (1 + np.tanh(math.sqrt(2 / math.pi) * (A + 0.044715 * A**3))),
    "silu(a)": A * sigmoid(A),
    "exp(a)": np.exp(A),
    "log(exp(a))": A,
    "expm1(a)": np.expm1(A),
    "log1p(exp(a))": np.log(1 + np.exp(A)),
    "erf(a)": np.vectorize(math.erf)(A),
    "surrogate(a, b, s)": B,
    "clip_gradient(a, 0.3)": A,
    "Clip(a, 0.3)": np.clip(A, -0.3, 0.3),
    "logsigmoid(a)": np.log(sigmoid(A)),
    "sqrt(a ** 2)": np.abs(A),
    "rsqrt(a * a)": 1 / np.abs(A),
    "abs(a)": np.abs(A),
    "sin(a)": np.sin(A),
    "cos(a)": np.cos(A),
    "square(a)": A**2,
    "hard_sigmoid(a)": np.clip(0.2 * A + 0.5, 0, 1),
    "hard_tanh(a)": np.clip(A, -1, 1),
    "identity(a)": A,
    "max(a, b)": np.maximum(A, B),
    "min(a, b)": np.minimum(A, B),
    "clip(a, -0.5, s)": np.clip(A, -0.5, 0.75),
    "where(a <= b, a, s)": np.where(A <= B, A, 0.75),
    "sign(a)": np.sign(A),
    "floor(a)": np.floor(A),
    "mod(a, s)": np.mod(A, 0.75),
    "sum(a)": A.sum(),
    "sum(m)": M.sum(-1),
    "mean(m)": M.mean(-1),
    "softmax(a)": np.exp(A) / np.exp(A).sum(),
    "softmax(m)": np.exp(M) / np.exp(M).sum(-1, keepdims=True),
    "logsumexp(m)": np.log(np.exp(M).sum(-1)),
    "cumsum(m)": np.cumsum(M, -1),
    "layer_norm(a)": (A - A.mean()) / np.sqrt(A.var() + 1e-5),
    "layer_norm(m, 0.5)": (M - M.mean(-1, keepdims=True)) / np.sqrt(M.var(-1, keepdims=True) + 0.5),
    "rms_norm(a)": A / np.sqrt((A**2).mean() + 1e-6),
    "rms_norm(m, 0.5)": M / np.sqrt((M**2).mean(-1, keepdims=True) + 0.5),
    "l2_norm(a)": A / np.sqrt((A**2).sum() + 1e-6),
    "l2_norm(m, 0.5)": M / np.sqrt((M**2).sum(-1, keepdims=True) + 0.5),
    "dot(a, b)": A @ B,
    "dot(m, m)": (M * M).sum(-1),
    "outer(a, b)": np.outer(A, B),
    "transpose(m)": M.T,
    "m @ a": M @ A,
    "transpose(m) @ (m @ a)": M.T @ (M @ A),
    "repeat(m, 2)": np.repeat(M, 2, -1),
    "concat(a, b, a)": np.concatenate([A, B, A]),
    "part(a, 1, 2)": A[2:],
    "ones(4)": np.ones(4),
    "ones(4, 3)": np.ones((4, 3)),
    "eye(4)": np.eye(4),
    "triangle(3)": np.tri(3),
    "Array(0, 1, -0.5)": np.array([1, -0.5]),
    "Array(2, 1, 2, 3, 4, 5, 6)": np.array([[1, 2, 3], [4, 5, 6]]),
    "heads(a, 2)": A.reshape(2, 2),
    "heads(m, 2)": M.reshape(3, 2, 2),
    "flat(m)": M.ravel(),
    "flat(heads(m, 2))": M,
    "transpose(heads(m, 2))": np.swapaxes(M.reshape(3, 2, 2), 1, 2),
    "outer(m, m)": np.einsum("nj,nk->njk", M, M),
    "heads(m, 2) @ part(m, 1, 2)": np.einsum("njk,nk->nj", M.reshape(3, 2, 2), M[:, 2:]),
    "m @ transpose(m)": M @ M.T,
    "heads(m, 2) @ heads(m, 2)": M.reshape(3, 2, 2) @ M.reshape(3, 2, 2),
    "stop_gradient(a)": A,
    "-a ** 2 + 3 * s": -(A**2) + 2.25,
    "a / s - b * s": A / 0.75 - B * 0.75,
    "s ** a": 0.75**A,
    "a ** -2": A**-2.0,
    # what derivatives read
    "fill(s, 3)": np.full(3, 0.75),
    "fill(a, 2)": np.stack([A, A], -1),
    "Reverse_cumsum(m)": np.cumsum(M[:, ::-1], -1)[:, ::-1],
    "Inverse_std(m, 0.5)": 1 / np.sqrt(M.var(-1) + 0.5),
    "Inverse_rms(m, 0.5)": 1 / np.sqrt((M**2).mean(-1) + 0.5),
    "Inverse_norm(m, 0.5)": 1 / np.sqrt((M**2).sum(-1) + 0.5),
    "Bell(a)": 2 / math.sqrt(math.pi) * np.exp(-(A**2)),
    "Fold(m, 2)": M.reshape(3, 2, 2).sum(-1),
    "Place(a, 1, 3)": np.concatenate([0 * A, A, 0 * A]),
    "Slice(a, 1, 3)": A[1:3],
}


@pytest.mark.parametrize("text", EXPECTED)
@pytest.mark.parametrize("leading", [0, 1])
@pytest.mark.parametrize("arithmetic", [Floats, Digits])
def test_functions_mean_what_numpy_makes_of_them(text, leading, arithmetic):
    found = value(text, arithmetic(), leading)
    assert found.shape == (1,) * leading + np.shape(EXPECTED[text])
    floats = found.astype(float).reshape(np.shape(EXPECTED[text]))
    np.testing.assert_allclose(floats, EXPECTED[text], rtol=1e-14)


def test_every_function_of_the_language_is_among_them():
    called = {text[: text.index("(")] for text in EXPECTED if "(" in text}
    assert set(functions.TABLE) - called == set()


def test_constants_are_exact():
    digits = Digits()
    assert digits.number(Fraction(1, 10)) * 10 == 1
    assert digits.number("0.01") * 100 == 1


def test_ninety_digits_are_counted():
    third = value("1 / (s * 4)", Digits())[()]
    assert abs(third * 3 - 1) < third.context.mpf("1e-89")


def test_what_is_not_real_is_not_a_number():
    digits = Digits()
    for text in ("log(a)", "sqrt(a)", "a ** 0.5", "a / (a - a)", "(a - a) ** -1"):
        found = value(text, digits)
        assert not digits.finite(found)
        assert found[1] != found[1]  # -1.2


def test_choices_do_not_mind_the_branch_not_taken():
    found = value("where(a > 0, log(a), a)", Digits()).astype(float)
    np.testing.assert_allclose(found, np.where(A > 0, np.log(np.abs(A)), A))


@pytest.mark.parametrize("text", ["a + m", "a * m", "where(a < b, m, m)", "max(m, a)", "m @ b @ b", "m @ m"])
def test_shapes_that_do_not_meet(text):
    with pytest.raises(Mismatch):
        value(text)


def test_a_vector_of_one_meets_no_longer_vector():
    arrays = {Value("a"): np.ones(1), Value("b"): np.ones(4)}
    with pytest.raises(Mismatch):
        evaluate(Sum((Value("a"), Value("b"))), arrays, Floats(), {})


def test_leaves_are_told_apart_by_kind_and_time():
    now, later = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    arrays = {
        Value("c"): now, Value("c", 1): later, Outside("c"): 7 * now,
        Adjoint("c"): 10 * now, Adjoint("c", 1): 10 * later,
    }
    term = Sum((Product((Adjoint("c", 1), Value("c", 1))), Outside("c"), Quotient(Adjoint("c"), Size("H"))))
    found = evaluate(term, arrays, Floats(), SIZES)
    np.testing.assert_allclose(found, 10 * later * later + 7 * now + 10 * now / 4)
    with pytest.raises(KeyError):
        evaluate(shift(term, 1), arrays, Floats(), SIZES)


def test_sizes_where_numbers_have_to_stand():
    part = Call("Slice", (Value("a"), Size("H"), Sum((Size("H"), Product((number(2), Size("H")))))))
    found = evaluate(part, {Value("a"): np.arange(12.0)}, Floats(), SIZES)
    np.testing.assert_array_equal(found, np.arange(4.0, 12.0))
    filled = evaluate(Call("fill", (Number(Fraction(1, 4)), Size("H"))), {}, Digits(), SIZES, leading=1)
    assert filled.shape == (1, 4)


def test_many_examples_at_once_with_parameters_of_their_own():
    random = np.random.default_rng(0)
    matrices, vectors = random.normal(size=(5, 3, 4)), random.normal(size=(5, 4))
    arrays = {Value("m"): matrices, Value("a"): vectors, Value("b"): vectors[:1]}
    arrays[Value("s")] = random.normal(size=5)
    found = evaluate(parse_rule("tanh(m @ (a * s + b))"), arrays, Floats(), {}, leading=1)
    for each in range(5):
        single = {leaf: array[each if len(array) > 1 else 0] for leaf, array in arrays.items()}
        expected = evaluate(parse_rule("tanh(m @ (a * s + b))"), single, Floats(), {})
        np.testing.assert_allclose(found[each], expected)
    mixed = evaluate(MatVec(Value("m"), Value("b")), arrays, Floats(), {}, leading=1)
    np.testing.assert_allclose(mixed, np.einsum("nij,j->ni", matrices, vectors[0]))


# ---------------------------------------------------------------- whole cells

PEEPHOLES = """
name: peepholes
cell: lstm
peepholes: true
activations: {input: identity}
"""


def inputs(steps: int, **shapes) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(1)
    return [
        {name: np.asarray(random.normal(size=shape)) for name, shape in shapes.items()} for _ in range(steps)
    ]


def test_a_peephole_lstm_written_by_hand():
    spec = read(PEEPHOLES, "<text>")
    random = np.random.default_rng(0)
    shapes = {"W": (2, 3), "R": (2, 2), "p": (2,), "b": (2,)}
    parameters = {item.name: random.normal(size=shapes[item.name[0]]) for item in spec.parameters}
    x = inputs(4, x=(3,))
    h, c = random.normal(size=2), random.normal(size=2)
    run = Interpreter(spec, {"D": 3, "H": 2}, Floats()).run(parameters, x, {"h": h, "c": c})

    for now, outputs in zip(x, run.outputs):
        i, f, o, z = (
            parameters[f"W_{gate}"] @ now["x"] + parameters[f"R_{gate}"] @ h + parameters[f"b_{gate}"]
            for gate in "ifoz"
        )
        i, f = sigmoid(i + parameters["p_i"] * c), sigmoid(f + parameters["p_f"] * c)
        c = z * i + c * f
        h = sigmoid(o + parameters["p_o"] * c) * np.tanh(c)
        np.testing.assert_allclose(outputs["h"], h, rtol=1e-13)
    np.testing.assert_allclose(run.state["c"], c, rtol=1e-13)
    assert run.loss is None


OWN = """
name: own
dims: {D: input_size, H: hidden_size}
state: {h: H, s: []}
constants: {beta: 0.1, three: 3}
functions: {"twice(beta)": 2 * beta, "mish(a)": a * tanh(log(1 + exp(a))) * beta + twice(a)}
parameters: {W: [H, D], V: [H, 3*H], s_0: []}
equations:
  h: V @ repeat(u, three) + beta * H * s
  s: sum(h[t-1]) + s[t-1]
  u: mish(W @ x + h[t-1])
output: [h, u]
initial: {s: s_0, h: 0.5}
targets: {target: H}
loss: sum((target - h) ** 2)
"""


def test_constants_functions_sizes_and_starts():
    spec = read(OWN, "<text>")
    random = np.random.default_rng(0)
    parameters = {"W": random.normal(size=(2, 3)), "V": random.normal(size=(2, 6)), "s_0": np.array(0.3)}
    arrived = inputs(3, x=(3,), target=(2,))
    run = Interpreter(spec, {"D": 3, "H": 2}, Floats()).run(parameters, arrived, {})
    h, s, loss = np.full(2, 0.5), 0.3, 0.0
    for now, outputs in zip(arrived, run.outputs):
        a = parameters["W"] @ now["x"] + h
        u = a * np.tanh(np.log(1 + np.exp(a))) * 0.1 + 2 * a
        s = h.sum() + s
        h = parameters["V"] @ np.repeat(u, 3) + 0.1 * 2 * s
        loss += ((now["target"] - h) ** 2).sum()
        np.testing.assert_allclose(outputs["h"], h)
        np.testing.assert_allclose(outputs["u"], u)
    np.testing.assert_allclose(run.state["s"], s)
    np.testing.assert_allclose(run.loss, loss)


def test_a_loss_at_the_last_step():
    last = read(OWN + "loss_at: last\n", "<text>")
    every = read(OWN, "<text>")
    random = np.random.default_rng(0)
    parameters = {"W": random.normal(size=(2, 3)), "V": random.normal(size=(2, 6)), "s_0": np.array(0.3)}
    arrived = inputs(3, x=(3,), target=(2,))

    def loss(spec, steps: int):
        return Interpreter(spec, {"D": 3, "H": 2}, Floats()).run(parameters, arrived[:steps], {}).loss

    np.testing.assert_allclose(loss(last, 3) + loss(every, 2), loss(every, 3))


STOPPED = """
name: stopped
state: {h: H}
parameters: {R: [H, H]}
equations: {h: "stop_gradient(R @ h[t-1]) * h[t-1] + max(x, h[t-1])"}
inputs: {x: H}
dims: {H: hidden_size}
output: h
"""


def test_what_stop_gradient_holds_stays():
    spec = read(STOPPED, "<text>")
    interpreter = Interpreter(spec, {"H": 2}, Floats())
    R, x, h = np.array([[0.5, -1.0], [0.25, 2.0]]), inputs(3, x=(2,)), {"h": np.array([0.1, -0.2])}
    base = interpreter.run({"R": R}, x, h)
    assert len(base.held) == 3
    moved = interpreter.run({"R": R + 1}, x, h)
    held = interpreter.run({"R": R + 1}, x, h, held=base.held)
    assert np.abs(moved.state["h"] - base.state["h"]).max() > 0.1
    np.testing.assert_array_equal(held.state["h"], base.state["h"])


def test_branches_are_told():
    spec = read(STOPPED, "<text>")
    interpreter = Interpreter(spec, {"H": 2}, Floats())
    R = np.zeros((2, 2))
    above = interpreter.run({"R": R}, [{"x": np.array([1.0, 1.0])}], {"h": np.array([0.0, 0.0])})
    both = interpreter.run({"R": R}, [{"x": np.array([1.0, -1.0])}], {"h": np.array([0.0, 0.0])})
    assert above.branches == {("h", 0): (True, False)}
    assert both.branches == {("h", 0): (True, True)}


def test_digits_and_floats_agree_on_a_cell():
    spec = read(PEEPHOLES, "<text>")
    random = np.random.default_rng(0)
    shapes = {"W": (2, 3), "R": (2, 2), "p": (2,), "b": (2,)}
    parameters = {item.name: random.normal(size=shapes[item.name[0]]) for item in spec.parameters}
    x, digits = inputs(3, x=(3,)), Digits()
    plain = Interpreter(spec, {"D": 3, "H": 2}, Floats()).run(parameters, x, {})
    exact = Interpreter(spec, {"D": 3, "H": 2}, digits).run(
        {name: digits.array(array) for name, array in parameters.items()},
        [{name: digits.array(array) for name, array in now.items()} for now in x], {},
    )
    np.testing.assert_allclose(exact.state["h"].astype(float), plain.state["h"], rtol=1e-14)


def test_many_digits_of_an_argument_that_has_too_many_are_not_looked_for():
    digits = Digits()
    far = digits.exp(digits.array(np.array([1e9])))  # of 434 million digits before the point
    assert [digits.exp(-far)[0], digits.tanh(far)[0], digits.tanh(-far)[0]] == [0, 1, -1]
    for found in (digits.exp(far), digits.sin(far), digits.cos(far), digits.power(digits.array(np.array([3.0])), far)):
        assert not digits.finite(found)
    assert digits.finite(far) and digits.log(far)[0] > 0
