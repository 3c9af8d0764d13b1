"""What the switches stand for. Names and equations are a promise to users: the tests state them in full."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest

from lstmgen.spec.cell import CellSpec
from lstmgen.errors import Place
from lstmgen.derivation.build import build_graph
from lstmgen.derivation.chain import derive
from lstmgen.spec.expand import expand
from lstmgen.spec.reader import read


def cell(switches: str) -> CellSpec:
    return read(f"name: c\n{switches}\n", "cell.yaml")


def equations(switches: str) -> dict[str, str]:
    return {item.name: item.body.value for item in cell(switches).equations}


def parameters(switches: str) -> str:
    """`W_z[H, D] W_i[H, D] ...`, in the order of the file."""
    found = cell(switches).parameters
    return " ".join(f"{item.name}[{', '.join(axis.value for axis in item.shape)}]" for item in found)


def states(switches: str) -> str:
    return " ".join(f"{item.name}[{item.shape[0].value}]" for item in cell(switches).states)


# -- lstm


def test_lstm():
    assert equations("cell: lstm") == {
        "z": "tanh(W_z @ x + R_z @ h[t-1] + b_z)",
        "i": "sigmoid(W_i @ x + R_i @ h[t-1] + b_i)",
        "f": "sigmoid(W_f @ x + R_f @ h[t-1] + b_f)",
        "c": "z * i + c[t-1] * f",
        "o": "sigmoid(W_o @ x + R_o @ h[t-1] + b_o)",
        "h": "o * tanh(c)",
    }
    assert parameters("cell: lstm") == (
        "W_z[H, D] W_i[H, D] W_f[H, D] W_o[H, D] R_z[H, H] R_i[H, H] R_f[H, H] R_o[H, H] "
        "b_z[H] b_i[H] b_f[H] b_o[H]"
    )
    assert states("cell: lstm") == "h[H] c[H]"
    assert [item.name for item in cell("cell: lstm").outputs] == ["h"]
    assert [(item.name, item.shape[0].value) for item in cell("cell: lstm").inputs] == [("x", "D")]
    assert cell("cell: lstm").from_switches


def test_the_output_gates_peephole_sees_the_new_cell():
    peephole = equations("cell: lstm\npeepholes: true")
    assert peephole["i"] == "sigmoid(W_i @ x + R_i @ h[t-1] + p_i * c[t-1] + b_i)"
    assert peephole["f"] == "sigmoid(W_f @ x + R_f @ h[t-1] + p_f * c[t-1] + b_f)"
    assert peephole["o"] == "sigmoid(W_o @ x + R_o @ h[t-1] + p_o * c + b_o)"
    assert peephole["z"] == "tanh(W_z @ x + R_z @ h[t-1] + b_z)"
    assert "p_i[H] p_f[H] p_o[H] b_z[H]" in parameters("cell: lstm\npeepholes: true")


def test_full_peepholes():
    switches = "cell: lstm\npeepholes: [output, input]\npeephole_kind: full"
    assert equations(switches)["i"] == "sigmoid(W_i @ x + R_i @ h[t-1] + P_i @ c[t-1] + b_i)"
    assert equations(switches)["o"] == "sigmoid(W_o @ x + R_o @ h[t-1] + P_o @ c + b_o)"
    assert "p_f" not in parameters(switches) and "P_i[H, H] P_o[H, H]" in parameters(switches)


@pytest.mark.parametrize("peepholes", ["false", "[]"])
def test_no_peepholes(peepholes):
    assert equations(f"cell: lstm\npeepholes: {peepholes}") == equations("cell: lstm")


def test_coupled_gates():
    switches = "cell: lstm\ncoupled_gates: true\npeepholes: true"
    assert equations(switches)["f"] == "1 - i"
    assert equations(switches)["c"] == "z * i + c[t-1] * f"
    assert not any(name.split("[")[0].endswith("_f") for name in parameters(switches).split())
    assert "p_i[H] p_o[H]" in parameters(switches)


@pytest.mark.parametrize(
    "gates, c, h",
    [
        ("[forget, output]", "z + c[t-1] * f", "o * tanh(c)"),
        ("[input, output]", "z * i + c[t-1]", "o * tanh(c)"),
        ("[input, forget]", "z * i + c[t-1] * f", "tanh(c)"),
        ("[]", "z + c[t-1]", "tanh(c)"),
    ],
)
def test_missing_gates(gates, c, h):
    found = equations(f"cell: lstm\ngates: {gates}\npeepholes: true")
    assert (found["c"], found["h"]) == (c, h)
    assert len(found) == 3 + len([gate for gate in "ifo" if gate in found])
    assert parameters(f"cell: lstm\ngates: {gates}").count("W_") == 1 + len([g for g in "ifo" if g in found])


def test_activations():
    found = equations("cell: lstm\nactivations: {gate: hard_sigmoid, input: identity, output: identity}")
    assert found["i"] == "hard_sigmoid(W_i @ x + R_i @ h[t-1] + b_i)"
    assert found["z"] == "W_z @ x + R_z @ h[t-1] + b_z"
    assert found["h"] == "o * c"


def test_gate_recurrence_is_from_the_first_letter_to_the_second():
    switches = "cell: lstm\ngate_recurrence: true\npeepholes: true"
    found = equations(switches)
    assert found["i"] == (
        "sigmoid(W_i @ x + R_i @ h[t-1] + R_ii @ i[t-1] + R_fi @ f[t-1] + R_oi @ o[t-1] + p_i * c[t-1] + b_i)"
    )
    assert "R_io @ i[t-1] + R_fo @ f[t-1] + R_oo @ o[t-1] + p_o * c + b_o" in found["o"]
    assert found["z"] == "tanh(W_z @ x + R_z @ h[t-1] + b_z)"
    assert states(switches) == "h[H] c[H] i[H] f[H] o[H]"
    assert parameters(switches).count("[H, H]") == 4 + 9


def test_gate_recurrence_is_among_the_gates_with_parameters():
    switches = "cell: lstm\ngate_recurrence: true\ncoupled_gates: true"
    assert states(switches) == "h[H] c[H] i[H] o[H]"
    assert "R_ii[H, H] R_oi[H, H] R_io[H, H] R_oo[H, H]" in parameters(switches)


def test_projection():
    switches = "cell: lstm\nprojection: true\nloss: squared_error"
    assert equations(switches)["m"] == "o * tanh(c)"
    assert equations(switches)["h"] == "W_proj @ m"
    assert states(switches) == "h[P] c[H]"
    assert "R_z[H, P]" in parameters(switches) and parameters(switches).endswith("W_proj[P, H]")
    assert [item.keyword for item in cell(switches).dims] == ["input_size", "hidden_size", "projection_size"]
    assert [item.shape[0].value for item in cell(switches).targets] == ["P"]


def test_bias():
    assert "b_" not in parameters("cell: lstm\nbias: false")
    assert equations("cell: lstm\nbias: false")["z"] == "tanh(W_z @ x + R_z @ h[t-1])"


def test_forget_bias_is_an_initial_value_and_no_constant():
    switches = "cell: lstm\nforget_bias: 1.5"
    assert equations(switches) == equations("cell: lstm")
    assert {item.name: item.init for item in cell(switches).parameters if item.init is not None} == {
        "b_f": Fraction(3, 2)
    }


# -- gru and rnn


def test_gru():
    assert equations("cell: gru") == {
        "r": "sigmoid(W_r @ x + R_r @ h[t-1] + b_r)",
        "z": "sigmoid(W_z @ x + R_z @ h[t-1] + b_z)",
        "n": "tanh(W_n @ x + r * (R_n @ h[t-1] + c_n) + b_n)",
        "h": "z * h[t-1] + (1 - z) * n",
    }
    assert parameters("cell: gru") == (
        "W_r[H, D] W_z[H, D] W_n[H, D] R_r[H, H] R_z[H, H] R_n[H, H] b_r[H] b_z[H] b_n[H] c_n[H]"
    )
    assert states("cell: gru") == "h[H]"


def test_gru_variants():
    before = equations("cell: gru\nreset: before\nactivations: {candidate: relu}")
    assert before["n"] == "relu(W_n @ x + R_n @ (r * h[t-1]) + b_n)"
    assert "c_n" not in parameters("cell: gru\nreset: before")
    assert equations("cell: gru\nbias: false")["n"] == "tanh(W_n @ x + r * (R_n @ h[t-1]))"
    assert "c_n" not in parameters("cell: gru\nbias: false")


def test_rnn():
    assert equations("cell: rnn") == {"h": "tanh(W_h @ x + R_h @ h[t-1] + b_h)"}
    assert parameters("cell: rnn") == "W_h[H, D] R_h[H, H] b_h[H]"
    assert equations("cell: rnn\nbias: false\nactivations: {output: relu}") == {
        "h": "relu(W_h @ x + R_h @ h[t-1])"
    }


# -- what goes with switches


def test_a_learned_initial_state_adds_its_parameter():
    found = cell("cell: lstm\nprojection: true\ninitial: {h: h_0, c: 0.5}\nrange: {h_0: [0, 1]}")
    assert found.parameters[-1].name == "h_0" and found.parameters[-1].shape[0].value == "P"
    assert [(item.state, item.start) for item in found.initial] == [("h", "h_0"), ("c", Fraction(1, 2))]


def test_dimensions_can_be_renamed():
    found = cell("cell: rnn\ndims: {H: units}").dims
    assert [(item.symbol, item.keyword) for item in found] == [("D", "input_size"), ("H", "units")]


def test_a_loss_of_ones_own():
    found = cell("cell: rnn\ntargets: {goal: H}\nloss: sum(abs(goal - h))\nloss_at: last")
    assert (found.loss.value, found.loss_at) == ("sum(abs(goal - h))", "last")
    assert cell("cell: rnn\nloss: none").loss is None


def test_equations_stand_where_the_cell_is_named():
    assert {item.place for item in cell("cell: gru").equations} == {Place(2, 7)}


COMBINATIONS = [
    "\n".join(("cell: lstm", *switches))
    for switches in itertools.product(
        ("peepholes: true", "peepholes: true\npeephole_kind: full", "peepholes: false"),
        ("bias: true", "gates: [forget, output]", "gates: [input]", "coupled_gates: true"),
        ("activations: {input: identity, output: identity}", "activations: {gate: hard_sigmoid}"),
        ("gate_recurrence: true", "forget_bias: 0"),
        ("projection: true", "loss: squared_error"),
    )
]


@pytest.mark.parametrize("switches", COMBINATIONS)
def test_every_combination_is_a_cell(switches):
    build_graph(cell(switches))


# -- what a spec adds


ADDED = """cell: lstm
dims: {D: input_size, H: hidden_size, E: context_size, C: classes}
inputs: {e: E}
parameters: {U: [H, E], W_y: [C, H], R_z: {shape: [H, H], init: orthogonal}}
equations:
  i: sigmoid(W_i @ x + R_i @ h[t-1] + U @ e)
  y: softmax(W_y @ h)
output: y
targets: {label: C}
loss: -sum(label * log(y))"""


def test_an_equation_of_the_same_name_takes_the_place_of_the_switches_own():
    found = equations(ADDED)
    assert list(found) == ["z", "i", "f", "c", "o", "h", "y"]
    assert found["i"] == "sigmoid(W_i @ x + R_i @ h[t-1] + U @ e)"
    assert {name: body for name, body in found.items() if name not in "iy"} == {
        name: body for name, body in equations("cell: lstm").items() if name != "i"}


def test_a_parameter_takes_the_place_of_the_switches_own_and_one_that_nothing_reads_is_gone():
    assert parameters(ADDED) == (
        "W_z[H, D] W_i[H, D] W_f[H, D] W_o[H, D] R_z[H, H] R_i[H, H] R_f[H, H] R_o[H, H] "
        "b_z[H] b_f[H] b_o[H] U[H, E] W_y[C, H]")
    assert {item.name: item.init for item in cell(ADDED).parameters}["R_z"] == "orthogonal"


def test_inputs_beside_x_and_outputs_in_place_of_h():
    assert [item.name for item in cell(ADDED).inputs] == ["x", "e"]
    assert [item.name for item in cell(ADDED).outputs] == ["y"]
    assert [item.name for item in cell("cell: gru\ninputs: {x: 3}").inputs] == ["x"]
    assert not cell(ADDED).from_switches, "weights of a library would not fit"


def test_what_is_added_is_what_the_expanded_spec_says():
    ours, written_out = cell(ADDED), read(expand(cell(ADDED)), "cell.yaml")
    derived, again = (derive(build_graph(spec)) for spec in (ours, written_out))
    assert list(map(str, derived.adjoints.values())) == list(map(str, again.adjoints.values()))
    assert derived.adjoints["h"].forks[0].reader == "y_pre"


def test_a_loss_that_reads_a_parameter_keeps_it():
    spec = cell("cell: rnn\nequations: {h: \"tanh(W_h @ x + R_h @ h[t-1])\"}\nloss: 0.5 * sum((h - b_h) ** 2)")
    assert [item.name for item in spec.parameters] == ["W_h", "R_h", "b_h"]
