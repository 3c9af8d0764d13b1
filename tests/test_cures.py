"""What an error says to write for what papers, libraries and code of other people write."""

from __future__ import annotations

import numpy as np
import pytest

from lstmgen.errors import Mistakes, Place, SpecError, Text
from lstmgen.language.cures import function_cure, gradient_cure, loss_cure
from lstmgen.language.evaluate import Floats, evaluate
from lstmgen.language.expressions import Value
from lstmgen.language.parse import parse


def cure_of(text: str) -> str | None:
    """The cure of the first mistake in an expression."""
    mistakes = Mistakes("cell.yaml", text)
    assert parse(Text(text, Place(1, 1)), mistakes) is None
    with pytest.raises(SpecError) as refused:
        mistakes.stop()
    return refused.value.cure


LISTED = "'lstmgen functions' lists them, and 'functions:' in a spec defines others"


@pytest.mark.parametrize("text, cure", [
    ("matmul(W, x)", "write W @ x"),
    ("np.matmul(W, x + y)", "write W @ (x + y)"),
    ("np.dot(W, x)", "write W @ x for a matrix times a vector, dot(W, x) for two vectors"),
    ("W.dot(x + y)", "write W @ (x + y) for a matrix times a vector, dot(W, x + y) for two vectors"),
    ("np.dot()", "write a @ b for a matrix times a vector, dot(a, b) for two vectors"),
    ("np.multiply(W @ x, y)", "write (W @ x) * y, entry by entry"),
    ("np.power(x + y, 2)", "write (x + y) ** 2"),
    ("torch.nn.functional.relu(W @ x + b)", "write relu(W @ x + b)"),
    ("np.clip(x, -1, 1)", "write clip(x, -1, 1)"),
    ("np.maximum(0, x + y)", "write max(0, x + y)"),
    ("np.concatenate([x, y])", "write concat(x, y)"),
    ("torch.cat((x, y))", "write concat(x, y)"),
    ("tf.concat(a_name_that_is_long_enough, to_be_left_out_of_it)", "write concat(...)"),
    ("np.sinc(x)", "did you mean 'sin'?"),
    ("self.W @ x", "write W"),
    ("params['W_f'] @ x", "write W_f"),
    ("(W + V).T @ x", "write transpose(W + V)"),
    ("np.pi * x", "write 3.141592653589793"),
    ("np.newaxis * x", None),
    ("sum(x, axis=0)", "sum(a) acts along the last axis"),
    ("sigma(x)", "did you mean 'sigmoid'?"),
    ("sigmiod(x)", "did you mean 'sigmoid'?"),
    ("dropout(x, 0.5)", "nothing in a cell is random; a mask can be an input: mask * x"),
    ("linear(x, W, b)", "write W @ x + b"),
    ("linear(x)", "did you mean 'identity'?"),
    ("quux(x)", LISTED),
    ("W_f(x)", f"a product is written W_f @ x or W_f * x; {LISTED}"),
    ("f(h[t-1] + x)", f"a product is written f @ (h[t-1] + x) or f * (h[t-1] + x); {LISTED}"),
    ("mse(h, target)", "write mean((target - h) ** 2)"),
])
def test_a_call_of_something_else_says_what_is_written_here(text, cure):
    assert cure_of(text) == cure


A = np.array([-2.5, -1.0, 0.3, 4.0])


@pytest.mark.parametrize("name, meaning", [
    ("log2", lambda a: np.log2(np.abs(a))), ("exp2", np.exp2),
    ("sinh", np.sinh), ("cosh", np.cosh), ("tan", np.tan), ("ceil", np.ceil), ("reciprocal", lambda a: 1 / a),
    ("round", np.round), ("heaviside", lambda a: np.heaviside(a, 0)), ("norm", np.linalg.norm),
    ("var", np.var), ("std", np.std), ("negative", np.negative),
    ("log_softmax", lambda a: a - np.log(np.exp(a).sum())),
    ("mish", lambda a: a * np.tanh(np.log1p(np.exp(a)))), ("relu6", lambda a: np.clip(a, 0, 6)),
    ("hardswish", lambda a: a * np.clip(a + 3, 0, 6) / 6),
    ("selu", lambda a: 1.0507009873554805 * np.where(a > 0, a, 1.6732632423543772 * np.expm1(a))),
])
def test_what_a_cure_writes_is_the_function_that_was_meant(name, meaning):
    cure = function_cure(name, ["x"], ())
    mistakes = Mistakes("cell.yaml", "")
    written = parse(Text(cure.removeprefix("write "), Place(1, 1)), mistakes)
    mistakes.stop()
    array = np.abs(A) if name == "log2" else A
    found = evaluate(written, {Value("x"): array}, Floats(), {})
    np.testing.assert_allclose(found, meaning(A), rtol=1e-12)


@pytest.mark.parametrize("name, meaning", [
    ("MSE", lambda y, target: np.mean((target - y) ** 2)), ("l1_loss", lambda y, target: np.mean(np.abs(target - y))),
    ("cross_entropy", lambda y, target: -np.sum(target * np.log(np.exp(y) / np.exp(y).sum()))),
    ("bce", lambda y, target: -np.sum(target * np.log(1 / (1 + np.exp(-y))) + (1 - target) * np.log(1 / (1 + np.exp(y))))),
])
def test_a_loss_of_a_library_is_written_out(name, meaning):
    cure = loss_cure(name, "h", "H")
    text, _, rest = cure.removeprefix("write it out: loss: ").partition(", with targets: {target: H}")
    mistakes = Mistakes("cell.yaml", "")
    written = parse(Text(text, Place(1, 1)), mistakes)
    mistakes.stop()
    target = np.array([0.1, 0.2, 0.3, 0.4])
    found = evaluate(written, {Value("h"): A, Value("target"): target}, Floats(), {})
    np.testing.assert_allclose(found, meaning(A, target), rtol=1e-12)
    assert rest == {"MSE": ", or loss: squared_error", "cross_entropy": ", for h before a softmax",
                    "bce": ", for h before a sigmoid"}.get(name, "")


MOVING = ["h", "c", "o", "f", "f_pre", "C_t", "x"]
KNOWN = [*MOVING, "W_f", "b_f", "p1"]


@pytest.mark.parametrize("name, cure", [
    ("dh", "write d_h"), ("dc", "write d_c"), ("dWf", "write d_W_f"), ("dW_f", "write d_W_f"), ("db_f", "write d_b_f"),
    ("dht", "write d_h"), ("dxt", "write d_x"), ("dot", "write d_o"), ("df_pre", "write d_f_pre"), ("dCt", "write d_C_t"),
    ("delta_h", "write d_h"), ("grad_Wf", "write d_W_f"), ("h_grad", "write d_h"), ("dL_dh", "write d_h"),
    ("dE_c", "write d_c"), ("dLdh", "write d_h"), ("dh_prev", "write d_h[t-1]"),
    ("dc_next", "write d_c[t+1] for the gradient of c at the next step, or via(d_c, t+1) for what the next step sends "
                "back to c"),
    ("dWf_next", None), ("dU", None), ("h", None), ("d", None), ("delta", None), ("grad", None), ("dp", None),
])
def test_gradients_as_code_calls_them(name, cure):
    assert gradient_cure(name, KNOWN, MOVING) == cure
