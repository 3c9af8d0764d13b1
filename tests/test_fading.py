"""How a gradient fades: the paths of one step, the carousel, the norms, the figure."""

from __future__ import annotations

import shutil
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from lstmgen.document import charts
from lstmgen import derive, load
from lstmgen.cli import main
from lstmgen.derivation.build import build_graph
from lstmgen.numerics.fading import MOST_STATES, fade, one_step, one_steps, small_sizes
from lstmgen.document.terminal.flow import flow_text
from lstmgen.pipeline import measure
from lstmgen.language.evaluate import Floats
from lstmgen.proofs.interpret import Interpreter
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import execute
from lstmgen.schedule.make import make_schedule
from lstmgen.numerics.points import of_one
from lstmgen.resources import find_spec
from lstmgen.language.text import source
from lstmgen.numerics.unrolled import Unrolled
from lstmgen.numerics.worked import three_digits


def derivation_of(name):
    return derive(load(name))


def module_of(derivation):
    return execute(module_source(make_schedule(derivation), verified=False), derivation.graph.spec.name)


# ---------------------------------------------------------------- the paths of one step


@pytest.mark.parametrize("name, state, count, carousel", [
    ("rnn", "h", 1, None),
    ("lstm", "h", 4, None),
    ("lstm", "c", 4, "f"),
    ("peephole_lstm", "c", 9, "f"),
    ("gru", "h", 4, "z"),
    ("lstm_1997", "c", 1, "1"),
    ("rhn", "h", 27, "(1 - k3) * (1 - k2) * (1 - k1)"),
    ("phased_lstm", "c", 4, "1 - k + k * f"),
    ("nested_lstm", "c", 16, None),
    ("fgr_lstm", "i", 5, None),
    ("indrnn", "h", 1, None),
    ("scrn", "s", 1, "0.95"),
    ("slstm", "c", 8, "f"),
    ("slstm", "m", 9, None),  # the state itself decides whether max passes it on
    ("mlstm", "C", 1, "f"),
    ("mlstm", "m", 1, None),
])
def test_paths_and_carousel(name, state, count, carousel):
    step = one_step(derivation_of(name), state)
    assert step.count == count
    assert (step.carousel and source(step.carousel)) == carousel
    assert bool(step.direct) == (carousel is not None)


def test_one_detour_goes_through_a_matrix():
    step = one_step(derivation_of("lstm"), "c")
    assert step.detour not in step.direct and [factor.kind for factor in step.detour.factors(2)].count("matrix") == 1
    assert one_step(derivation_of("lstm_1997"), "c").detour is None  # there is no other path
    assert one_step(derivation_of("rnn"), "h").detour is None  # nor a direct one


def test_the_peephole_lstm_by_hand():
    """c[t-1] to c: itself; by way of i and f; by way of h[t-1], into which it goes twice, and z, i, f."""
    step = one_step(derivation_of("peephole_lstm"), "c")
    ways = [[name for name, _ in path.stages if not name.endswith("_pre")] for path in step.paths]
    assert ways[:3] == [["c"], ["i", "c"], ["f", "c"]]
    assert sorted(ways[3:]) == sorted(
        [first, "h", gate, "c"] if first == "tanh_c" else ["o", "h", gate, "c"]
        for first in ("tanh_c", "o") for gate in "zif"
    )


def test_factors_multiply_to_the_jacobian(spec_path):
    """Of every state, against what the sums send back: one matrix product per path, and their sum."""
    derivation = derive(load(spec_path))
    module = module_of(derivation)
    fading = fade(derivation, module, lags=1)
    for step, curve in zip(fading.steps, fading.curves):
        if not step.count:
            assert curve.every[1] == 0.0
        factors = [factor for path in step.paths for factor in path.factors(2)]
        if not step.count or not step.listed or any(factor.expression is None for factor in factors):
            continue
        run = _a_run(derivation, module)
        found = sum(_product(run, path) for path in step.paths)
        norms = np.linalg.norm(np.broadcast_to(found, (run.rows, *found.shape[1:])), 2, axis=(1, 2))
        assert np.median(norms) == pytest.approx(curve.every[1], rel=1e-9, abs=1e-12)


def _a_run(derivation, module):
    """The run that `fade` makes with one lag."""
    from lstmgen.numerics import fading as own

    graph, sizes = derivation.graph, small_sizes(derivation.graph)
    keywords = {keyword: sizes[symbol] for symbol, keyword in graph.dims}
    params = module.named(module.init_params(**keywords, rng=own.SEED, dtype=np.float64))
    inputs = own._inputs(graph, sizes, own.WARMING + 1, np.random.default_rng([own.SEED, 1]))
    return Unrolled(derivation, sizes, of_one(params), inputs, own._starts(graph, sizes, params))


def _product(run, path):
    whole = None
    for factor in path.factors(2):
        array = run.value(factor.expression, run.steps)
        if factor.kind == "diagonal":
            size = run.shape(factor.reader.name)
            array = array.reshape(array.shape + (1,) * (len(size) - array.ndim + 1))
            flat = np.broadcast_to(array, (len(array), *size)).reshape(len(array), -1)
            array = np.eye(flat.shape[1]) * flat[:, None, :]
        elif array.ndim == 4:  # a matrix of each head: blocks on a diagonal
            heads, rows, columns = array.shape[1:]
            blocks = np.einsum("enjk,nm->enjmk", array, np.eye(heads))
            array = blocks.reshape(len(array), heads * rows, heads * columns)
        whole = array if whole is None else whole @ array
    return whole


# ---------------------------------------------------------------- norms


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "slstm"])
def test_all_paths_against_differences_of_the_text(name):
    """The interpreter knows no derivative: states are moved, and the whole chain runs on from there."""
    derivation = derivation_of(name)
    graph, module = derivation.graph, module_of(derivation)
    run = _a_run(derivation, module)
    lags, rows = 3, run.rows
    interpreter = Interpreter(graph.spec, run.sizes, Floats(), leading=1)
    fixed = {each: run.fixed[each] for each in graph.parameters}
    inputs = [{each: run.values[step][each] for each in graph.inputs} for step in range(1, run.steps + 1)]
    start = run.steps - lags
    before = {each: run.values[start][each] for each in graph.states}
    state = graph.states[-1]  # a cell's h is made of its c, so c is moved and h with it
    if name != "lstm":
        before_last = interpreter.run(fixed, inputs[start:], before).state[state]
        np.testing.assert_allclose(before_last, run.values[run.steps][state], rtol=1e-12)
    step, size = 1e-6, run.shape(state)[0]
    jacobians = np.zeros((rows, size, size))
    for entry in range(size):
        moved = []
        for sign in (1, -1):
            now = dict(before)
            now[state] = before[state] + sign * step * np.eye(size)[entry]
            if name == "lstm":
                now["h"] = run.values[start]["o"] * np.tanh(now["c"])
            if name == "slstm":
                return  # m reaches h by i, f, c and n of its own step: the derivation's own test covers it
            moved.append(interpreter.run(fixed, inputs[start:], now).state[state])
        jacobians[:, :, entry] = (moved[0] - moved[1]) / (2 * step)
    expected = np.median(np.linalg.norm(jacobians, 2, axis=(1, 2)))
    from lstmgen.numerics.fading import _all_norms

    assert _all_norms(run, lags)[state][lags] == pytest.approx(expected, rel=1e-6)


def test_the_direct_path_of_the_first_lstm_keeps_everything():
    _, fading = measure(find_spec("lstm_1997"))
    curve = next(curve for curve in fading.curves if curve.state == "c")
    assert curve.direct == curve.every == (1.0,) * 101


def test_the_simple_rnn_forgets_and_has_no_carousel():
    _, fading = measure(find_spec("rnn"))
    assert not fading.has_carousel
    assert fading.curves[0].every[0] == 1.0
    assert fading.curves[0].every[100] < 1e-12


def test_every_cell_can_be_measured(spec_path):
    derivation = derive(load(spec_path))
    fading = fade(derivation, module_of(derivation), lags=3)
    assert [curve.state for curve in fading.curves] == list(derivation.graph.states)
    assert all(len(curve.every) == 4 and np.isfinite(curve.every).all() for curve in fading.curves)
    for width in (60, 100):
        text = flow_text([(derivation, _long(fading))], False, width)
        assert text.isascii()


def _long(fading):
    """With as many lags as a table shows."""
    from dataclasses import replace

    curves = tuple(
        replace(each, every=each.every * 26, direct=each.direct and each.direct * 26)
        for each in fading.curves
    )
    return replace(fading, curves=curves)


def test_sizes_keep_a_matrix_state_small():
    text = ("name: made\nstate: {C: [H, H]}\nparameters: {W: [H, D]}\n"
            "equations: {C: \"0.9 * C[t-1] + outer(W @ x, W @ x)\"}\noutput: C\n")
    derivation = derive(load(text))
    assert small_sizes(derivation.graph) == {"D": 4, "H": 4}
    fading = fade(derivation, module_of(derivation), lags=2)
    assert fading.curves[0].every == pytest.approx((1, 0.9, 0.81))
    assert fading.curves[0].direct == pytest.approx((1, 0.9, 0.81))


def many_states(count):
    names = [f"s{number}" for number in range(count)]
    return (f"name: many\nstate: {{{', '.join(f'{name}: H' for name in names)}}}\nparameters: {{W: [H, D]}}\nequations:\n"
            + "".join(f"  {name}: tanh(W @ x + 0.9 * {before}[t-1])\n" for name, before in zip(names, [names[-1], *names]))
            + "output: s0\n")


@pytest.mark.parametrize("count, size, curves", [(3, 16, 3), (9, 8, 8), (128, 1, 8), (129, 1, 0)])
def test_many_states_are_made_smaller_and_very_many_not_measured(count, size, curves):
    derivation = derive(load(many_states(count)))
    assert small_sizes(derivation.graph) == {"D": size, "H": size}
    fading = fade(derivation, module_of(derivation), lags=2)
    assert len(fading.curves) == curves and len(fading.steps) == count
    if not curves:
        assert "not measured" in flow_text([(derivation, _long(fading))], False, 100)


@pytest.mark.parametrize("value, text", [
    (1.0, "1.00"), (0.0, "0"), (0.0123456, "0.0123"), (1.5e-7, "1.50e-07"), (23.456, "23.5"), (123.4, "123"),
])
def test_numbers_have_three_digits(value, text):
    assert three_digits(value) == text


# ---------------------------------------------------------------- the figure

CHART = charts.Chart("A (title) & \\more", "k", "note", (
    charts.Series("one", [1.0, 0.1, 1e-5, 1e-20], "C4481A"),
    charts.Series("", [1.0, 0.5, 0.0, float("nan")], "C4481A", dashed=True),
), ("solid", "dashed"))


def test_an_svg_is_xml_and_holds_the_texts():
    root = ElementTree.fromstring(charts.draw(CHART, "svg").decode("utf-8"))
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert {"A (title) & \\more", "one", "solid", "dashed", "k"} <= set(texts)


def test_a_curve_ends_where_it_leaves_the_picture():
    layout = charts.lay_out(CHART)
    curves = [item for item in layout.items if isinstance(item, charts.Stroke) and item.colour == "C4481A"]
    bottom = max(item.points[0][1] for item in layout.items
                 if isinstance(item, charts.Stroke) and item.colour == charts.GRID)
    for curve in curves:
        assert all(y <= bottom + 1e-6 for _, y in curve.points)


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_a_figure_is_the_same_every_time(form):
    assert charts.draw(CHART, form) == charts.draw(CHART, form)


def test_a_pdf_tells_where_its_objects_are():
    made = charts.draw(CHART, "pdf")
    start = int(made[made.rindex(b"startxref") :].split()[1])
    assert made[start : start + 4] == b"xref"
    lines = made[start:].splitlines()
    for number_, line in enumerate(lines[3 : 2 + int(lines[1].split()[1])], 1):
        assert made[int(line[:10]) :].startswith(b"%d 0 obj" % number_)
    stream = made[made.index(b"stream\n") + 7 : made.index(b"\nendstream")]
    assert b"(A \\(title\\) & \\\\more) Tj" in zlib.decompress(stream)


@pytest.mark.skipif(not (shutil.which("pdftoppm") or shutil.which("gs")), reason="nothing here makes a PNG")
def test_a_png_is_one():
    made = charts.draw(CHART, "png")
    assert made.startswith(b"\x89PNG") and charts.is_ours(made)
    at = 8
    while at < len(made):
        size = int.from_bytes(made[at : at + 4], "big")
        chunk = made[at + 4 : at + 8 + size]
        assert int.from_bytes(made[at + 8 + size : at + 12 + size], "big") == zlib.crc32(chunk)
        at += 12 + size
    assert at == len(made)


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_an_edit_is_seen(form):
    made = charts.draw(CHART, form)
    assert charts.is_ours(made)
    assert not charts.is_ours(made.replace(b"0", b"1", 1))
    assert not charts.is_ours(b"somebody's own")


def test_without_a_program_the_cure_is_told(monkeypatch):
    monkeypatch.setattr(charts.shutil, "which", lambda name: None)
    with pytest.raises(charts.NoPicture, match=r"\.svg"):
        charts.draw(CHART, "png")


# ---------------------------------------------------------------- the command


def test_the_command(tmp_path):
    path = tmp_path / "fading.svg"
    done = CliRunner().invoke(main, ["flow", "lstm", "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert "∂c / ∂c[t-1] = diag(f)" in done.output
    assert "the direct path" in done.output and "No direct path" in done.output
    assert "rnn" in done.output
    assert charts.is_ours(path.read_bytes())
    again = CliRunner().invoke(main, ["flow", "lstm", "-o", str(path)])
    assert again.exit_code == 0


def test_what_is_somebodys_own_stays(tmp_path):
    path = tmp_path / "own.pdf"
    path.write_bytes(b"mine")
    done = CliRunner().invoke(main, ["flow", "rnn", "-o", str(path)])
    assert done.exit_code == 2
    assert path.read_bytes() == b"mine"
    assert CliRunner().invoke(main, ["flow", "rnn", "-o", str(path), "--force"]).exit_code == 0
    assert charts.is_ours(path.read_bytes())


def test_an_ending_that_nobody_draws():
    done = CliRunner().invoke(main, ["flow", "rnn", "-o", "figure.gif"])
    assert done.exit_code == 2
    assert ".svg" in done.output


# ---------------------------------------------------------------- sizes and parameters of one's own


def test_own_parameters_are_measured():
    """An identity as recurrent matrix of a linear network neither fades nor grows, and twice that doubles."""
    spec = """
name: linear
state: {h: H}
parameters: {W: [H, D], R: [H, H]}
equations:
  h: W @ x + R @ h[t-1]
output: h
"""
    params = {"W": np.ones((3, 2)), "R": 2 * np.eye(3)}
    derivation, fading = measure(load(spec), params=params)
    curve, = fading.curves
    assert fading.own_parameters and fading.sizes == (("input_size", 2), ("hidden_size", 3))
    np.testing.assert_allclose(curve.every[:20], 2.0 ** np.arange(20), rtol=1e-12)
    assert "given parameters of linear" in flow_text([(derivation, fading)], True, 100).replace("\n", " ")


def test_stacked_parameters_are_those_of_the_spec():
    derivation = derivation_of("gru")
    module = module_of(derivation)
    params = module.init_params(input_size=2, hidden_size=3, rng=5, dtype=np.float64)
    stacked, named = (measure(derivation, params=given)[1] for given in (params, module.named(params)))
    assert stacked.curves[0].every == named.curves[0].every
    assert stacked.sizes == (("input_size", 2), ("hidden_size", 3))


@pytest.mark.parametrize("given, told", [
    ({"sizes": {"Q": 3}}, "there is no size 'Q'"),
    ({"sizes": {"H": 0}}, "at least 1"),
    ({"sizes": {"H": 500}}, "at most 128"),
    ({"params": {"a": np.zeros(3)}}, "neither the keys"),
    ({"params": {"W_h": np.zeros((3, 2)), "R_h": np.zeros((3, 4)), "b_h": np.zeros(3)}}, "R_h has shape (3, 4)"),
    ({"params": {"W_h": np.zeros(3), "R_h": np.zeros((3, 3)), "b_h": np.zeros(3)}}, "W_h has shape (3,)"),
])
def test_what_does_not_fit_is_refused(given, told):
    with pytest.raises(ValueError) as error:
        measure(derivation_of("rnn"), **given)
    assert told in str(error.value)


def test_the_command_writes_every_number(tmp_path):
    table, params = tmp_path / "fading.csv", tmp_path / "params.npz"
    np.savez(params, **module_of(derivation_of("gru")).init_params(input_size=2, hidden_size=3))
    done = CliRunner().invoke(main, ["flow", "gru", "--params", str(params), "--size", "D=2", "--csv", str(table)])
    assert done.exit_code == 0, done.output
    rows = [line.split(",") for line in table.read_text().splitlines()]
    assert rows[0] == ["cell", "state", "path", "lag", "norm"] and {row[0] for row in rows[1:]} == {"gru", "rnn"}
    assert {row[2] for row in rows[1:]} == {"all", "direct"}
    for wrong in (["--size", "H"], ["--size", "H=x"], ["--params", str(table)], ["--size", "Q=3"]):
        assert CliRunner().invoke(main, ["flow", "gru", *wrong]).exit_code == 2


def test_of_very_many_states_the_paths_of_the_first_are_looked_at():
    states = ", ".join(f"s{k}: H" for k in range(MOST_STATES + 5))
    equations = "".join(f"  s{k}: tanh(W @ x + s{k}[t-1])\n" for k in range(MOST_STATES + 5))
    cell = f"name: wide\nstate: {{{states}}}\nparameters: {{W: [H, D]}}\nequations:\n{equations}output: s0\n"
    steps = one_steps(derive(build_graph(load(cell))))
    assert [step.state for step in steps] == [f"s{k}" for k in range(MOST_STATES)]
