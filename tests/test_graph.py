"""What the derivation rests on, piece by piece: records, names of stages, numbers, forms of local derivatives."""

from __future__ import annotations

import dataclasses
import importlib
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import lstmgen
from lstmgen.derivation.local import derivative
from lstmgen.derivation.chain import without
from lstmgen.errors import Mistakes, Place, SpecError, Text
from lstmgen.language.expressions import Value
from lstmgen.derivation.checks import _shortened
from lstmgen.language.constants import constant_value
from lstmgen.language.parse import parse, parse_rule
from lstmgen.pipeline import derive, load, verify
from lstmgen.schedule.names import StackNames, run_together
from lstmgen.language.shapes import Dim, ShapeMismatch, shape_of
from lstmgen.outputs.numpy.spelling import Speller
from lstmgen.language.text import source


def expression(text: str):
    mistakes = Mistakes("a test", text)
    found = parse(Text(text, Place(1, 1)), mistakes)
    mistakes.stop()
    return found


@pytest.mark.parametrize("ending", ["prev", "last", "old", "tm1", "t1", "t_1", "t_minus_1"])
def test_a_state_of_the_step_before_is_known_by_any_name(ending):
    text = (f"name: made\nstate: {{h: [H]}}\nparameters: {{R: [H, H]}}\n"
            f"equations: {{h: tanh(R @ h_{ending})}}\noutput: h\n")
    with pytest.raises(SpecError, match=r"write h\[t-1\] for the previous step"):
        derive(load(text))


def test_what_can_be_read_of_a_loss_may_read_targets():
    text = ("name: made\nstate: {h: H}\nparameters: {R: [H, H]}\nequations:\n  h: tanh(R @ h[t-1])\ntargets: {goal: H}\n"
            "loss: sum((h - goal) ** 2) + h.T @ h\noutput: h\n")
    with pytest.raises(SpecError) as caught:
        derive(load(text))
    assert "target" not in str(caught.value), caught.value


def test_a_state_that_only_the_next_step_reads():
    """At the last step nobody reads it, so its gradient is not the number that it is before."""
    text = ("name: made\nstate: {s: H}\nparameters: {W: [H, D]}\nequations:\n  s: tanh(W @ x)\n  n: 2 * s[t-1]\n"
            "loss: sum(n)\noutput: n\n")
    assert verify(text).passed


@pytest.mark.parametrize("declared, parameters, name", [
    ("W_z W_i W_o", "W_z W_i W_o", "W"), ("W_z W_i W_o", "W_z W_o", "W_zo"), ("Wf Wi bf", "Wf Wi", "W"),
    ("Wf Wi Wo", "Wf Wi", "Wfi"), ("W0a W0b", "W0a W0b", "W"), ("W_12 W_13 W_14", "W_12 W_13", "W_12_13"),
    ("A B", "A B", "A_B"), ("W W_z W_i", "W_z W_i", "W_zi"), ("R_ii R_if R_oi", "R_ii R_if", "R_ii_if"),
    ("W_i W_f W_res W_o W_proj", "W_i W_f W_res W_o", "W_if_res_o"), ("W_i V_i V_f U", "W_i V_i V_f", "W_i_V"),
    ("W_i W_f V_i V_f", "W_i W_f V_i V_f", "W_V"), ("W_i W_f V_i V_f V_o", "W_i W_f V_i V_f", "W_V_if"),
    ("tau tan", "tau tan", "tau_tan"), ("V_z", "V_z", "V_z"), ("W_z W_i W_o W_zi", "W_z W_i", "W_v"),
    ("W_z W_i W_o W_zi W_v", "W_z W_i", "W_v_stack"),
    ("W_encoder W_decoder W_attention W_o", "W_encoder W_decoder W_attention", "W_v"),
])
def test_the_name_of_a_stack_says_what_it_holds(declared, parameters, name):
    shapes = ", ".join(f"{each}: [H, H]" for each in declared.split())
    read = " + ".join(f"{each} @ v" for each in declared.split())
    text = (f"name: made\nstate: {{h: H}}\ninputs: {{v: H}}\nparameters: {{{shapes}}}\nequations:\n"
            f"  h: h[t-1] + {read}\noutput: h\n")
    graph = derive(load(text)).graph
    assert StackNames(graph).of(parameters.split(), "v") == name


@pytest.mark.parametrize("words, together", [
    ("i f o", "ifo"), ("i f res o", "if_res_o"),
    ("i_n f_n o_n", "ifo_n"), ("i_n", "i_n"), ("in for", "in_for"), ("a_1 b_2", "a_1_b_2"),
])
def test_words_are_run_together(words, together):
    assert run_together(words.split()) == together


def test_no_two_stacks_have_one_name():
    names = StackNames(derive(load("lstm")).graph)
    assert [names.of(["W_z", "W_i"], "x"), names.of(["W_z", "W_i"], "x"), names.of(["W_z", "W_i"], "x")] == [
        "W_zi", "W_x", "W_x_stack"]


LOSS = """
name: cell
state: {h: H}
targets: {goal: H}
parameters: {w: H}
equations:
  h: tanh(w * x + h[t-1])
output: h
inputs: {x: H}
loss: sum(abs(goal - tanh(h)))
"""


@pytest.mark.parametrize("last", [True, False])
def test_what_a_loss_at_the_last_step_reads_exists_there_alone(last):
    derivation = derive(load(LOSS + "loss_at: last\n" * last))
    of_loss = {"loss"} | {stage.name for stage in derivation.graph.stages if "tanh_h" in stage.name}
    assert derivation.graph.has_loss_at_last == last
    assert of_loss <= derivation.loss_stages and "h" not in derivation.loss_stages
    assert derivation.last_step_only == (derivation.loss_stages if last else frozenset())
    for name in of_loss:
        assert [derivation.exists(name, step, 3) for step in range(5)] == [False, not last, not last, True, False]
    assert [derivation.exists("h", step, 3) for step in range(5)] == [False, True, True, True, False]


READ_TWICE = """
name: cell
state: {h: H}
parameters: {A: [H, H], B: [H, H], h_0: H}
equations:
  h: A @ h[t-1] - B @ h[t-1] + A @ x + h_0
inputs: {x: H}
initial: {h: h_0}
output: h
"""


@pytest.mark.parametrize("text", [READ_TWICE, "lstm", "on_lstm", LOSS], ids=["twice", "lstm", "on_lstm", "loss"])
def test_a_key_tells_a_contribution_from_every_other_one(text):
    derivation = derive(load(text))
    found = [fork.key for fork in derivation.contributions()]
    assert len(set(found)) == len(found) > 3
    assert [fork.key for fork in derive(load(text)).contributions()] == found


def test_what_is_left_out_of_a_derivation_changes_no_key():
    derivation = derive(load(READ_TWICE))
    twice = [fork for fork in derivation.adjoints["h"].forks if fork.lag]
    assert [fork.key for fork in twice] == [("h", "h", 1, 0), ("h", "h", 1, 1)]
    same = derive(load(READ_TWICE)).adjoints["h"].forks[-2]
    shorter = without(derivation, [same])  # of another derivation of the cell
    assert [fork.key for fork in shorter.adjoints["h"].forks if fork.lag] == [("h", "h", 1, 1)]
    assert [fork.key for fork in shorter.left_out] == [("h", "h", 1, 0)]


def test_whether_the_loss_is_of_the_last_step_is_decided_in_one_place():
    """Beside it stands what shows a spec, and the interpreter of the proofs, which shares nothing with the graph."""
    package = Path(lstmgen.__file__).parent
    found = {path.relative_to(package).as_posix() for path in package.rglob("*.py")
             if re.search(r"\.loss_at\b", path.read_text(encoding="utf-8"))}
    shows = {"spec/expand.py", "document/catalogue.py", "document/terminal/comparison.py", "spec/starter.py"}
    assert found - shows - {"spec/reader.py"} == {"derivation/graph.py", "proofs/interpret.py"}


def test_a_long_expression_is_told_in_part():
    assert _shortened(expression("a" * 30 + " + " + "b" * 27)) == "a" * 30 + " + " + "b" * 27
    assert _shortened(expression("a" * 30 + " + " + "b" * 28)) == "a" * 30 + " + " + "b" * 24 + "..."


@pytest.mark.parametrize("inner, name", [
    ("r * h[t-1]", "r_h_prev"), ("h[t-1] * r", "h_prev_r"), ("r * x", "r_x"), ("tanh(h[t-1]) + r", "tanh_h_prev"),
    ("r + h[t-1]", "h_1"),
])
def test_what_a_stage_without_a_name_is_called(inner, name):
    text = ("name: made\ninputs: {x: H}\nstate: {h: H}\nparameters: {W: [H, H], R: [H, H]}\nequations:\n"
            f"  r: sigmoid(W @ x + h[t-1])\n  h: tanh(R @ ({inner}))\noutput: h\n")
    assert name in [stage.name for stage in derive(load(text)).graph.stages]


@pytest.mark.parametrize("equations, cycle", [
    ("a: b + x\n  b: c\n  c: b\n  h: a + h[t-1]", "b reads c; c reads b;"), ("h: a + h[t-1]\n  a: a + x", "a reads a;"),
])
def test_a_circle_that_one_comes_to_from_elsewhere_is_spelt_out(equations, cycle):
    with pytest.raises(SpecError) as caught:
        derive(load("name: made\ninputs: {x: H}\nstate: {h: H}\nparameters: {}\n"
                    f"equations:\n  {equations}\noutput: h\n"))
    assert cycle in str(caught.value)


def test_a_state_that_nobody_reads_is_told_once():
    text = ("name: made\nstate: {h: H, s: H}\nparameters: {W: [H, D]}\nequations:\n  h: tanh(W @ x + h[t-1])\n"
            "  s: tanh(h)\noutput: h\n")
    with pytest.raises(SpecError, match="the state 's' is never read") as caught:
        derive(load(text))
    assert str(caught.value).count("error:") == 1


def test_the_rest_of_an_expression_that_cannot_be_read_is_looked_at():
    text = "name: made\nstate: {h: H}\nparameters: {R: [H, H]}\nequations:\n  h: tanh(Q @ x + R.T @ h[t-1])\noutput: h\n"
    with pytest.raises(SpecError) as caught:
        derive(load(text))
    assert "transpose(R)" in str(caught.value) and "there is no 'Q'" in str(caught.value)


NUMBERS = {
    "2 + 3 - 1": 4, "-(2 - 5)": 3, "2 * 3 / 4": Fraction(3, 2), "1 / 3": Fraction(1, 3), "1 / (2 - 2)": None,
    "2 ** 3": 8, "2 ** -1": Fraction(1, 2), "(-2) ** -3": Fraction(-1, 8), "0 ** 2": 0, "0 ** 1": 0,
    "0 ** 0": None, "0 ** -1": None,
    "0.25 ** 0.5": Fraction(1, 2), "(-4) ** 0.5": None, "4 ** -0.5": Fraction(1, 2), "0 ** 0.5": None,
    "2 ** (99 + 1)": 2**100, "2 ** (99 + 2)": None, "2 ** -(99 + 2)": None, "a + 1": None, "2 ** a": None,
    "1e300 * 1e300": None, "1e-300 / 1e300": None,
    "1e300 * 1": 10**300, "1e-300 * 1": Fraction(1, 10**300),
}


@pytest.mark.parametrize("text", NUMBERS)
def test_the_value_of_algebra_on_numbers(text):
    assert constant_value(expression(text)) == NUMBERS[text]


DERIVATIVES = {  # with respect to a
    "a + b": "1", "b - a": "-1", "a * b": "b", "a * c * b": "c * b", "c * (b - c) * a": "c * (b - c)",
    "(b - c) * c * a": "c * (b - c)", "3 * a * (b - c) * c ** 2": "3 * c ** 2 * (b - c)", "a ** 2": "2 * a",
    "a ** 3 * b": "3 * a ** 2 * b", "a ** -3": "-3 / a ** 4", "a ** 0.5": "0.5 / a ** 0.5", "a ** -0.5": "-0.5 / a ** 1.5",
    "1 / a": "-1 / a ** 2", "b / a": "-b / a ** 2", "-2 / a": "2 / a ** 2", "a / (b * c)": "1 / (b * c)",
    "-a / b / c": "-1 / (b * c)", "0.5 * a / b": "0.5 / b", "a / (-2 * b)": "-0.5 / b", "a / 3": "1/3",
    "2 * a / (3 * b)": "2/3 / b", "a * b ** -2": "1 / b ** 2", "0.5 * a * b ** -2": "0.5 / b ** 2",
    "a * b ** 2": "b ** 2", "a * b ** 0.5": "b ** 0.5", "a * c * b ** 0.5": "c * b ** 0.5",
    "a * b ** c": "b ** c", "a * b ** -c": "b ** (-c)", "a / b ** 0.5": "1 / b ** 0.5", "b * a ** c": "b * a ** c * c / a",
    "a * b / c - a / b": "b / c - 1 / b", "0.5 * (b - a) ** 2": "a - b", "b ** 2 * (c - a)": "-b ** 2",
}


@pytest.mark.parametrize("text", DERIVATIVES)
def test_the_derivative_of_algebra(text):
    assert source(derivative(expression(text), Value("a"))) == DERIVATIVES[text]


@pytest.mark.parametrize("power, refused", [
    ("0 ** 2", ""), ("0 ** 1", ""), ("2 ** H", ""), ("3 ** -2", ""), ("0 ** -2", "divides by zero"),
    ("0 ** 0", "no real number"), ("0 ** 0.5", "no real number"), ("(-1) ** 0.5", "no real number"),
])
def test_powers_of_numbers(power, refused):
    cell = f"name: cell\nstate: {{h: H}}\nparameters: {{W: [H, D]}}\nequations:\n  h: W @ x + h[t-1] + {power}\noutput: h\n"
    if not refused:
        assert derive(load(cell))
        return
    with pytest.raises(SpecError, match=refused):
        derive(load(cell))


CLASHES = """
name: clashes
dims: {D: input_size, H: hidden_size}
inputs: {x: D}
state: {h: H, c: H}
constants: {beta: 0.3}
parameters: {W: [H, D], R: [H, H], b: H}
equations:
  c: tanh(W @ x) * sigmoid(R @ h[t-1]) + beta * c[t-1]
  h: tanh(c) * sigmoid(b) + mean(c)
output: h
"""


@pytest.mark.parametrize("role", ["beta", "H", "x", "b"])
@pytest.mark.parametrize("name", ["tanh_c", "mean_c", "sigmoid_b"])
def test_stages_that_the_spec_does_not_name_take_no_name_of_it(role, name):
    plain = {stage.name for stage in derive(load(CLASHES)).graph.stages}
    assert {"tanh_c", "mean_c", "sigmoid_b"} <= plain
    text = re.sub(rf"\b{role}\b", name, CLASHES)
    made = {stage.name for stage in derive(load(text)).graph.stages}
    assert name not in made and len(made) == len(plain)
    assert verify(text).passed


@pytest.mark.parametrize("name", [
    "spec.cell", "language.expressions", "derivation.chain", "derivation.graph", "schedule.plan", "schedule.records",
    "language.shapes", "language.functions", "errors",
])
def test_records_are_frozen(name):
    module = importlib.import_module(f"lstmgen.{name}")
    records = [item for item in vars(module).values()
               if dataclasses.is_dataclass(item) and item.__module__ == module.__name__]
    assert records and all(record.__dataclass_params__.frozen for record in records)


def test_what_is_folded_is_a_multiple():
    """An audit may hold such a claim, too: a shape without a size would come to grief somewhere else."""
    with pytest.raises(ShapeMismatch, match="H is not a multiple of 2"):
        shape_of(parse_rule("Fold(a, 2)"), {"a": (Dim((("H", 1),)),)})


SPELLED = ("a / rsqrt(b)", "c ** rsqrt(b)", "-rsqrt(b) ** 2", "dot(a, b) / dot(b, a + c)", "a - (b - c)", "a / (b / c)",
           "a / (b * c)", "(a / b) ** 2", "2 ** -a", "(-a) ** 2", "a * -b", "a - -b", "sum(a) * b / mean(c)", "c * (1 / a)",
           "1 / 3 * a", "a / (1 / 3)", "(1 / 3) ** a", "max(a, b) * min(b, c)", "1 / max(a, b)", "where(a < b, a, c) / b",
           "outer(a, b) ** 2", "1 / outer(a, b)")


@pytest.mark.parametrize("text", SPELLED)
def test_numpy_binds_as_the_expression_does(text):
    """Calls are stages of their own by the time they are spelled; should they not be, nothing may change its meaning."""
    shapes = dict.fromkeys("abc", (Dim((("H", 1),)),))
    code = Speller(shapes, frozenset(), lambda leaf: leaf.name, all_steps=False)(expression(text))
    rng = np.random.default_rng(0)
    values = {name: rng.uniform(0.5, 2, (2, 3)) for name in "abc"}
    meant = {
        "rsqrt": lambda v: 1 / np.sqrt(v), "max": np.maximum, "min": np.minimum, "where": np.where,
        "sum": lambda v: v.sum(-1, keepdims=True), "mean": lambda v: v.mean(-1, keepdims=True),
        "dot": lambda v, w: (v * w).sum(-1, keepdims=True), "outer": lambda v, w: v[..., :, None] * w[..., None, :],
    }
    expected = eval(text, {**values, **meant})
    found = eval(code, {**values, "np": np})
    assert np.allclose(found, np.squeeze(expected, -1) if expected.shape[-1] == 1 else expected, rtol=1e-14), code
