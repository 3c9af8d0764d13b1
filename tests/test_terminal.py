"""What `show`, `explain`, `list` and `new` print, and what a notebook shows."""

from __future__ import annotations

import pickle
import re
import textwrap
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lstmgen
from lstmgen import pipeline
from lstmgen.document.catalogue import entries
from lstmgen.document.catalogue import parameter_count, zoo_markdown
from lstmgen.document.terminal.columns import broken, prose, table
from lstmgen.derivation.explanation import held_still
from lstmgen.language.expressions import Value
from lstmgen.derivation.build import build_graph
from lstmgen.resources import packaged_specs
from lstmgen.spec.starter import starter
from lstmgen.document.terminal.explain import UnknownName, explain_gradient
from lstmgen.document.terminal.show import list_cells, show_derivation

# Everything that an explanation has to find words for: matrix and scalar states, an outer product, several
# inputs and outputs, choices, a constant, a function, a stage that stands still, a gradient that is zero.
ODD = """
name: odd
inputs: {x: D, s: []}
state: {C: [H, H], n: H, m: []}
constants: {beta: 0.1}
functions: {"twice(a)": a + a}
parameters: {W: [H, D], V: [H, D], S: [H, H], g: [], unused_gradient: [H]}
equations:
  k: W @ x
  v: V @ x - S @ n[t-1]
  skew: S - transpose(S)
  C: g * C[t-1] + outer(v, k)
  q: C[t-1] @ k - skew @ k
  n: tanh(q) * max(n[t-1], beta) + mean(v) + floor(unused_gradient)
  m: m[t-1] + s * sum(n) + logsumexp(twice(v))
output: [n, m]
"""


@pytest.fixture(scope="module")
def odd():
    return lstmgen.derive(lstmgen.load(ODD))


@pytest.fixture(scope="module")
def peephole():
    return lstmgen.derive(lstmgen.load("peephole_lstm"))


@pytest.fixture(scope="module")
def with_loss():
    return lstmgen.derive(lstmgen.load("ng_lstm_last"))


def text_of(text: str) -> str:
    return click.unstyle(text)


def words_of(text: str) -> str:
    """Without the line ends of paragraphs."""
    return " ".join(click.unstyle(text).split())


# ---------------------------------------------------------------- everything that can be asked for


def check(text: str, unicode: bool, width: int = 100) -> None:
    plain = text_of(text)
    if not unicode:
        assert plain.isascii()
    assert "~" not in plain
    for line in plain.splitlines():
        assert line == line.rstrip()
        assert len(line) <= width, line


@pytest.mark.parametrize("unicode", [True, False])
def test_every_gradient_of_every_cell_is_explained_within_the_width(spec_path, unicode):
    derivation = lstmgen.derive(lstmgen.load(spec_path))
    check(show_derivation(derivation, unicode), unicode)
    for name in {*(stage.name for stage in derivation.graph.stages), *derivation.adjoints}:
        check(explain_gradient(derivation, name, unicode), unicode)


@pytest.mark.parametrize("unicode", [True, False])
def test_odd_cells_find_their_words(odd, unicode):
    check(show_derivation(odd, unicode), unicode)
    for name in {*(stage.name for stage in odd.graph.stages), *odd.adjoints}:
        check(explain_gradient(odd, name, unicode), unicode)


def test_show_has_a_row_for_every_stage_and_every_fork(spec_path):
    derivation = lstmgen.derive(lstmgen.load(spec_path))
    shown = text_of(show_derivation(derivation, unicode=True))
    for stage in derivation.graph.stages:
        constant = stage.name in derivation.graph.made
        assert re.search(rf"constants +(.*; )?{stage.name} = " if constant else rf"^  {stage.name} +=", shown, re.M)
    remarks = re.findall(r"  from (?!outside)(\S+?)(?:, at t = T only)?$", shown, re.M)
    forks = [fork for fork in derivation.contributions() if fork.kind not in ("output", "start")]
    static = derivation.graph.static
    assert sorted(remarks) == sorted(
        fork.reader + ("[t+1]" if fork.lag and fork.reader not in static else "") for fork in forks)


def test_a_narrow_terminal_is_used_too(peephole):
    narrow = text_of(show_derivation(peephole, True, 60))
    assert max(map(len, narrow.splitlines())) <= 70  # names, a formula's first lines, and remarks
    assert sorted(narrow.split()) == sorted(text_of(show_derivation(peephole, True)).split())


# ---------------------------------------------------------------- explain


def test_the_question_of_the_forum(peephole):
    """Where does the gradient at c come from, and what is held still?"""
    told = text_of(explain_gradient(peephole, "c", True))
    total = textwrap.dedent("""
        The sum
          δc = δo_pre ⊙ p_o              1, from o_pre
             + δtanh_c ⊙ (1 − tanh_c²)   2, from tanh_c
             + δi_pre[t+1] ⊙ p_i         3, from i_pre[t+1]
             + δf_pre[t+1] ⊙ p_f         4, from f_pre[t+1]
             + δc[t+1] ⊙ f[t+1]          5, from c[t+1]
        """)
    assert total in told
    assert "+ δh ⊙ o ⊙ (1 − tanh(c)²)" in told  # with the stage that has no name written out
    branch = textwrap.dedent("""
          3  i_pre[t+1] = W_i x[t+1] + R_i h + p_i ⊙ c + b_i
             local       ∂i_pre[t+1] / ∂c = p_i
             upstream    δi_pre[t+1], the gradient at i_pre[t+1]
             term        δi_pre[t+1] ⊙ p_i
        """)
    assert textwrap.indent(textwrap.dedent(branch), "  ").strip() in told
    words = words_of(told)
    assert "c is read by five stages in its own step and the next." in words
    assert "h depends on c too: that comes back in terms 1 and 2." in words
    assert ("z[t+1], i[t+1] and f[t+1] depend on c too. That comes back for z[t+1] in terms 1 and 2, "
            "for i[t+1] in terms 1, 2 and 3 and for f[t+1] in terms 1, 2 and 4.") in words
    assert "terms 3, 4 and 5 are missing. In their place is the gradient of the final state" in words
    assert "terms 3, 4 and 5 alone are the gradient of the initial state c[0]: grads.state.c" in words


@pytest.mark.parametrize("cell, name", [("rnn", "h"), ("rnn", "h_pre"), ("lstm", "c"), ("lstm", "i_pre"), ("lstm", "W_i")])
def test_the_signs_that_are_explained_are_those_that_stand_there(cell, name):
    text = click.unstyle(explain_gradient(lstmgen.derive(lstmgen.load(cell)), name, True))
    above, _, below = text.rpartition("\n\n")
    for sign in "⊙ᵀσ":
        assert (sign in above) == (sign in below), text


def test_an_output_hears_from_outside(peephole):
    told = text_of(explain_gradient(peephole, "h", True))
    assert "From outside\n  1  Δh: h is an output" in told
    assert "R_zᵀ δz_pre[t+1]" in told
    assert words_of(told).count("which is a product with the transposed matrix") == 1  # a reason is given once


def test_a_parameter_is_a_sum_over_the_steps(peephole):
    told = words_of(explain_gradient(peephole, "W_f", True))
    assert "W_f is a parameter of shape (H, D), the same at every step." in told
    assert "δW_f = Σₜ δf_pre xᵀ" in told
    assert "h[t-1] and c[t-1] depend on W_f too, through the steps before" in told
    assert "one sum over all steps, t = 1 to T, and over the examples of a batch" in told
    assert "d_W_f = sum_t outer(d_f_pre, x)" in words_of(explain_gradient(peephole, "W_f", False))


def test_a_learned_state_hears_from_the_first_step(with_loss):
    told = words_of(explain_gradient(with_loss, "c_0", True))
    assert "If no state is given, c_0 is the state c before the first step" in told
    assert "δc_0 = δc[0]" in told
    assert "Gamma_f[t+1]" in told
    assert "c[0] is the parameter c_0" in words_of(explain_gradient(with_loss, "c", True))


def test_a_loss_at_the_last_step_reaches_the_last_step_alone(with_loss):
    told = text_of(explain_gradient(with_loss, "a", True))
    assert "loss_pre = 0.5·(target − a)²   at the last step only" in told
    assert "δa = a − target                     1, from loss_pre, at t = T only" in told
    assert "δloss = 1" in text_of(explain_gradient(with_loss, "loss", True))


def test_what_gets_no_gradient_says_so(odd):
    assert "δunused_gradient = 0" in text_of(explain_gradient(odd, "unused_gradient", True))


def test_what_only_derivatives_contain_is_explained(with_loss):
    told = text_of(explain_gradient(with_loss, "x", True))
    assert "slice(δGamma_f_1, H, D + H)" in told
    assert "slice(a, low, high): the entries of a" in told
    assert "Slice(d_Gamma_f_1, H, D + H)" in text_of(explain_gradient(with_loss, "x", False))


def test_matrices_of_states_keep_their_time(odd):
    told = text_of(explain_gradient(odd, "k", True))
    assert "C[t-1]ᵀ δ" in told


@pytest.mark.parametrize("name", ["c", "d_c", "δc", "c[t-1]", "c[t+1]", " c "])
def test_a_value_goes_by_several_names(peephole, name):
    assert explain_gradient(peephole, name, True) == explain_gradient(peephole, "c", True)


@pytest.mark.parametrize("name", ["i_pre", "x", "p_o", "tanh_c", "d_W_i"])
def test_preactivations_inputs_and_parameters_have_gradients_too(peephole, name):
    assert name.removeprefix("d_") in explain_gradient(peephole, name, True)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("C", "did you mean 'c'?"),
        ("W_k", "did you mean 'W_"),
        ("c_pre", "'c' has no pre-activation"),
        ("nothing", "peephole_lstm has no value 'nothing'; it has z_pre"),
        ("dc", "peephole_lstm has no value 'dc'; did you mean 'd_c'?"),
        ("dWf", "peephole_lstm has no value 'dWf'; did you mean 'd_W_f'?"),
        ("dh_next", "peephole_lstm has no value 'dh_next'; did you mean 'd_h'?"),
        ("H", "'H' is a size"),
        ("", "has no value"),
    ],
)
def test_an_unknown_name_is_told_kindly(peephole, name, expected):
    with pytest.raises(UnknownName) as caught:
        explain_gradient(peephole, name, True)
    assert expected in str(caught.value)


@pytest.mark.parametrize("name, expected", [("beta", "is a constant"), ("twice", "is a function")])
def test_what_has_no_gradient_is_named(odd, name, expected):
    with pytest.raises(UnknownName, match=expected):
        explain_gradient(odd, name, True)


def test_a_target_has_no_gradient(with_loss):
    with pytest.raises(UnknownName, match="is a target"):
        explain_gradient(with_loss, "target", True)


def test_what_is_held_still_and_where_its_share_arrives(peephole):
    gradient = peephole.adjoints["c"]
    carried = gradient.forks[-1]
    held = {item.value: item.ways for item in held_still(gradient, carried, peephole.graph)}
    assert held == {Value("z", 1): (0, 1), Value("i", 1): (0, 1, 2), Value("f", 1): (0, 1, 3)}
    # h is no way of its own to itself, and o does depend on c by the peephole: but not at the time of tanh(c)
    assert held_still(gradient, gradient.forks[1], peephole.graph) == ()


# ---------------------------------------------------------------- text


@given(st.lists(st.sampled_from(["a", "+", "b * c", "(d + e)", "f(g, h)", "@", "- i"]), max_size=40),
       st.integers(20, 60))
def test_breaking_a_formula_loses_nothing(parts, width):
    text = " ".join(parts)
    lines = broken(text, width)
    assert " ".join(line.strip() for line in lines if line).split() == text.split()
    assert all(len(line) <= width for line in lines)


def test_a_formula_is_broken_where_a_person_would():
    assert broken("aaaa * bbbb + cccc * (dddd + eeee)", 24) == ["aaaa * bbbb", "+ cccc * (dddd + eeee)"]


def test_a_paragraph_keeps_formulas_whole():
    assert prose("so a~=~b holds", 7, "") == ["so", "a = b", "holds"]


# ---------------------------------------------------------------- list


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_list_is_a_table_of_names_titles_and_who_confirmed_them(width, unicode):
    listed = text_of(list_cells(entries(), unicode, width))
    check(listed, unicode, width)
    table_text = listed[: listed.rindex("\n\n")]  # below it is the legend
    head, *lines = table_text.splitlines()
    starts = [head.index(word) for word in ("name", "title", "confirmed by")]
    cells: list[list[str]] = []  # name, title, who: put together from the lines into which they are wrapped
    for line in lines:
        if not line.startswith("  "):
            continue  # a heading
        padded = line.ljust(width)
        assert all(padded[start - 2 : start].isspace() for start in starts), f"not aligned: {line}"
        parts = [padded[start:end].strip() for start, end in zip(starts, [*starts[1:], width])]
        if parts[0]:
            cells.append(parts)
        else:
            cells[-1] = [f"{cell} {part}".strip().replace("- ", "-") for cell, part in zip(cells[-1], parts)]
    assert cells == [[entry.name, entry.title + " *" * entry.is_linear, ", ".join(entry.confirmed)] for entry in entries()]
    assert all(by for _, _, by in cells)


def test_a_table_gives_way_where_there_is_most_room_and_breaks_no_name():
    rows = [("a_long_name", "word " * 10 + "word"), "heading", ("b", "first\nsecond")]
    plain = (str, str)
    assert table(rows, 80, plain) == [
        "  a_long_name  " + " ".join(["word"] * 11), "heading", "  b            first", "               second"]
    narrow = table(rows, 26, plain)
    assert narrow[:2] == ["  a_long_name  word word", "               word word"]
    assert max(map(len, narrow)) <= 26
    assert table(rows, 5, plain)[:2] == ["  a_long_name  word", "               word"]


def test_the_count_of_parameters_is_that_of_the_arrays(spec_path):
    graph = build_graph(lstmgen.load(spec_path))
    sizes = {symbol: prime for (symbol, _), prime in zip(graph.dims, (7, 11, 13, 17, 19, 23))}
    expected = 0
    for name in graph.parameters:
        count = 1
        for dim in graph.shapes[name]:
            count *= dim.value(sizes)
        expected += count
    assert eval(parameter_count(graph, unicode=False).replace("^", "**"), sizes) == expected


def test_a_count_with_constants_and_long_symbols():
    graph = build_graph(lstmgen.load("""
name: counted
dims: {D: input_size, Hid: hidden_size}
state: {h: Hid}
parameters: {W: [Hid, D + 3], R: [Hid, Hid], a: [2], b: [], k: [Hid]}
equations:
  h: tanh(W @ concat(x, a, part(a, 0, 2)) + R @ h[t-1]) * k * b
output: h
"""))
    assert parameter_count(graph, unicode=False) == "D*Hid + Hid^2 + 4*Hid + 3"
    assert parameter_count(graph) == "D·Hid + Hid² + 4Hid + 3"


def test_what_cells_need_of_the_language():
    needs = {entry.name: entry.needs for entry in entries()}
    assert needs["lstm"] == ("@", "sigmoid", "tanh")
    assert "concat" in needs["ng_lstm"]
    assert "layer_norm" in needs["layer_norm_lstm"]


def test_the_page_of_all_cells():
    page = zoo_markdown()
    for path in packaged_specs():
        assert f"### {path.stem}\n" in page
    assert "i = sigmoid(W_i @ x + R_i @ h[t-1] + p_i * c[t-1] + b_i)" in page
    assert page == zoo_markdown()


# ---------------------------------------------------------------- new


def test_a_new_spec_builds_as_it_is():
    text = starter("my_cell")
    cell = lstmgen.load(text)
    assert (cell.name, cell.title) == ("my_cell", "My cell")
    assert pipeline.verify(text).passed


def uncommented(text: str, *keys: str) -> str:
    for key in keys:
        text, count = re.subn(rf"(?m)^# ({key}: )", r"\1", text)
        assert count == 1, key
    return text


def test_what_a_new_spec_has_in_comments_is_right_too():
    keys = "title description references notation initial targets loss loss_at range"
    text = uncommented(starter("my_cell"), *keys.split())
    cell = lstmgen.load(text)
    assert cell.loss_at == "every" and cell.targets and cell.ranges and cell.initial
    lstmgen.derive(cell)
    text = uncommented(starter("my_cell"), "constants", "functions").replace("z: tanh(", "z: swish(beta * ")
    lstmgen.derive(lstmgen.load(text))


def test_a_new_spec_takes_over_a_cells_equations(spec_path):
    text = starter("my_cell", spec_path)
    cell = lstmgen.load(text)
    assert cell.name == "my_cell"
    old, new = build_graph(lstmgen.load(spec_path)), build_graph(cell)
    assert [(stage.name, stage.expression) for stage in old.stages] == [
        (stage.name, stage.expression) for stage in new.stages]
    assert "#" in text


@pytest.mark.parametrize("name", ["", "a b", "1st", "class", "json", "numpy", "é", "x: y", "a" * 41, "../up"])
def test_a_name_that_no_cell_can_have(name):
    with pytest.raises(ValueError, match="is|would"):
        starter(name)


# ---------------------------------------------------------------- notebooks


def test_parts_of_a_derivation_show_as_formulas_in_a_notebook(spec_path):
    derivation = lstmgen.derive(lstmgen.load(spec_path))
    gradient = next(gradient for gradient in derivation.stages if gradient.forks)
    for record in (derivation, gradient, gradient.forks[0], derivation.graph.stages[0]):
        latex = record._repr_latex_()
        assert latex.startswith("$") and latex.endswith("$")
        assert r"\bm" not in latex and r"\fork" not in latex
        assert latex.count("{") == latex.count("}")


def test_showing_leaves_the_records_as_they_were(peephole):
    """The classes that show know more than the plain ones, and say the same."""
    from dataclasses import fields

    from lstmgen.derivation.chain import derive

    def said(record) -> dict:
        plain_fields = {each.name: getattr(record, each.name) for each in fields(record) if each.name != "cell"}
        return {name: tuple(map(said, value)) if name == "forks" else value for name, value in plain_fields.items()}

    plain = derive(build_graph(lstmgen.load("peephole_lstm")))
    for name, gradient in plain.adjoints.items():
        assert said(gradient) == said(peephole.adjoints[name])
    assert list(map(said, plain.graph.stages)) == list(map(said, peephole.graph.stages))
    assert plain.graph.shapes == peephole.graph.shapes and plain.loss_stages == peephole.loss_stages
    again = pickle.loads(pickle.dumps(peephole.adjoints["c"]))
    assert again == peephole.adjoints["c"] and hash(again.forks[0]) == hash(peephole.adjoints["c"].forks[0])
    assert again._repr_latex_() == peephole.adjoints["c"]._repr_latex_()


def test_no_record_is_written_to_after_it_was_made():
    """A frozen record that something adds to is not frozen."""
    package = Path(lstmgen.__file__).parent
    for path in package.rglob("*.py"):
        assert "object.__setattr__" not in path.read_text(encoding="utf-8"), path.name


def test_a_record_says_what_it_is_in_a_line(spec_path):
    cell = lstmgen.load(spec_path)
    derivation = lstmgen.derive(cell)
    gradients = derivation.adjoints.values()
    records = [cell, derivation, derivation.graph, *derivation.graph.stages, *gradients, *derivation.contributions()]
    for record in records:
        assert len(repr(record)) < 200 and repr(record).isascii() and "\n" not in repr(record)


def test_the_parts_of_a_derivation_print_as_the_language_writes_them(peephole, with_loss):
    assert repr(lstmgen.load("peephole_lstm")) == "<CellSpec peephole_lstm: 6 equations, 15 parameters>"
    assert repr(peephole) == f"<Derivation of peephole_lstm: {len(peephole.adjoints)} gradients, 38 contributions>"
    gradient = peephole.adjoints["c"]
    assert repr(gradient) == "<Gradient d_c: 5 contributions>"
    assert repr(gradient.forks[-1]) == "<Contribution to d_c from c[t+1]: d_c[t+1] * f[t+1]>"
    assert repr(peephole.adjoints["h"].forks[0]) == "<Contribution to d_h from outside: dy_h>"
    assert str(gradient).startswith("d_c = d_o_pre * p_o + d_tanh_c * (1 - tanh_c ** 2) + ")
    assert str(peephole.adjoints["p_o"]) == "d_p_o = sum_t(d_o_pre * c)"
    assert str(with_loss.adjoints["c_0"]) == "d_c_0 = d_c[0]"
    assert str(peephole.graph.stage("c")) == "c = z * i + c[t-1] * f"
    assert repr(peephole.graph.stage("c")) == "<Stage c = z * i + c[t-1] * f>"
    assert str(peephole) == text_of(show_derivation(peephole, True))


def test_a_notation_that_collides_is_no_error_in_a_notebook():
    text = (packaged_specs()[0].parent / "lstm.yaml").read_text(encoding="utf-8")
    derivation = lstmgen.derive(lstmgen.load(f"{text}\nnotation: {{i: g, f: g}}\n"))
    assert derivation.stages[0]._repr_latex_() is None


def test_a_fork_in_a_notebook_has_the_symbols_of_its_own_cell(peephole, with_loss):
    assert r"\boldsymbol h" in peephole.adjoints["h"]._repr_latex_()  # its own names
    assert r"\langle t\rangle" in with_loss.adjoints["c"].forks[0]._repr_latex_()  # ng


HEADS = """
name: of_heads
dims: {D: input_size, N: heads, G: head_size}
state: {S: [N, G, G]}
parameters: {W: [N, D], w: [N, G]}
equations:
  f: sigmoid(W @ x)
  S: fill(fill(f, G), G) * S[t-1] + fill(w, G)
output: S
"""


@pytest.mark.parametrize("name, words", [
    ("f", "each entry of f is used in a whole matrix of S, whose entries are added"),
    ("w", "each entry of w is used in a whole row of S, whose entries are added"),
])
def test_a_value_that_is_copied_along_axes_gets_a_sum(name, words):
    assert words in words_of(explain_gradient(lstmgen.derive(lstmgen.load(HEADS)), name, True))


def test_a_product_of_each_head_and_what_only_rearranges_are_told_as_what_they_are():
    told = " ".join(str(lstmgen.explain("slstm_heads", "h")).split())
    assert "each entry of h goes into every entry of a[t+1] of its head" in told
    assert "so its gradient is cut into rows again" in told and "y mixes" not in told
