"""What one cell's derivative has that another's has not."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from lstmgen import derive, load
from lstmgen.cli import main
from lstmgen.document.terminal.comparison import compare, comparison_text
from lstmgen.language.text import source


def compared(first, second):
    return compare(derive(load(first)), derive(load(second)))


def only(comparison, side):
    """(target, reader, lag) of every term that one cell has alone."""
    pairs = [term for pair in comparison.gradients for term in pair.terms if not term.same]
    forks = [term.second if side else term.first for term in pairs]
    return [(fork.target, fork.reader, fork.lag) for fork in forks if fork]


def cell(equations, **more):
    body = "\n".join(f"  {name}: {text}" for name, text in equations.items())
    rest = "".join(f"{key}: {value}\n" for key, value in more.items())
    return f"name: made\n{rest}equations:\n{body}\n"


RNN = cell({"h": "tanh(W @ x + R @ h[t-1])"}, state="{h: H}", parameters="{W: [H, D], R: [H, H]}", output="h")


def test_the_peepholes_are_three_branches_of_c_and_three_parameters():
    found = compared("peephole_lstm", "lstm")
    assert [pair.first.name for pair in found.stages] == ["i_pre", "f_pre", "o_pre"]
    assert only(found, 0) == [
        ("c", "o_pre", 0), ("c", "i_pre", 1), ("c", "f_pre", 1),
        ("p_i", "i_pre", 0), ("p_f", "f_pre", 0), ("p_o", "o_pre", 0),
    ]
    assert only(found, 1) == []
    assert found.renamed == ()


def test_where_the_reset_gate_acts():
    found = compared("gru", "gru_reset_before")
    assert ("r", "n_pre", 0) in only(found, 0)
    assert ("r", "r_h_prev", 0) in only(found, 1)
    assert [pair.second.name for pair in found.stages if pair.first is None] == ["r_h_prev"]


def test_a_cell_is_itself(spec_path):
    derivation = derive(load(spec_path))
    found = compare(derivation, derivation)
    assert found.same and not found.renamed
    assert found.same_gradients == len(derivation.adjoints)


def test_names_do_not_matter():
    """Two specs of one cell in other symbols."""
    found = compared("greff_lstm", "peephole_lstm")
    assert found.same
    assert ("y", "h") in found.renamed and ("W_for", "W_f") in found.renamed


def test_names_that_are_exchanged_do_not_mislead():
    """a and b say what b and a say in the other cell: the structure tells."""
    shared = {"state": "{h: H}", "parameters": "{W: [H, D], V: [H, D]}", "output": "h"}
    one = cell({"a": "sigmoid(W @ x)", "b": "tanh(V @ x)", "h": "a * b + h[t-1]"}, **shared)
    other = cell({"b": "sigmoid(W @ x)", "a": "tanh(V @ x)", "h": "b * a + h[t-1]"}, **shared)
    found = compared(one, other)
    assert found.same
    assert dict(found.renamed)["a"] == "b"


def test_order_does_not_matter():
    other = RNN.replace("W @ x + R @ h[t-1]", "R @ h[t-1] + W @ x")
    assert compared(RNN, other).same


def test_a_sign_matters():
    found = compared(RNN, RNN.replace("+ R @", "- R @"))
    differing = [term for pair in found.gradients for term in pair.terms if not term.same]
    (term,) = [term for term in differing if term.first.target == "h"]
    assert source(term.first.term) == "transpose(R) @ d_h_pre[t+1]"
    assert source(term.second.term) == "-transpose(R) @ d_h_pre[t+1]"


def test_where_the_loss_counts_is_told():
    found = compared("ng_lstm", "ng_lstm_last")
    assert not found.same and not found.gradients
    assert "only at the last step" in found.notes[0]


def test_where_states_start_is_told():
    found = compared(RNN, RNN + "initial: {h: 1}\n")
    assert found.notes == ("If no state is given, h of made starts at 0, that of made at 1.",)


@pytest.mark.parametrize("pair", [("lstm", "gru"), ("slstm", "lstm"), ("rnn", "elman_tanh")])
def test_each_way_round_says_the_same(pair):
    there, back = compared(*pair), compared(*reversed(pair))
    assert sorted(only(there, 0)) == sorted(only(back, 1))
    assert sorted(only(there, 1)) == sorted(only(back, 0))


def test_a_match_is_one_to_one(spec_path):
    names = compare(derive(load(spec_path)), derive(load("peephole_lstm"))).names
    assert len({first for first, _ in names}) == len({second for _, second in names}) == len(names)


@pytest.mark.parametrize("width", [60, 100])
def test_lines_fit(spec_path, width):
    text = comparison_text(compare(derive(load(spec_path)), derive(load("lstm"))), False, width)
    assert text.isascii()
    assert all(len(line) <= width + 60 for line in text.splitlines())  # a name is never torn


def test_the_command():
    done = CliRunner().invoke(main, ["diff", "peephole_lstm", "lstm"])
    assert done.exit_code == 0
    assert "δi_pre[t+1] ⊙ p_i" in done.output
    assert "23 gradients are the same" in done.output


def test_a_mistake_is_a_line():
    done = CliRunner().invoke(main, ["diff", "peephole_lstn", "lstm"])
    assert done.exit_code == 2
    assert "did you mean" in done.output
