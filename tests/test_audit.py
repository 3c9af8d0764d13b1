"""Audits: verdicts and their explanations, the gallery, code and arrays, the report, what may be claimed."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rewriting
from click.testing import CliRunner

from lstmgen.auditing import claims, report
from lstmgen.auditing.judge import Judge, audit
from lstmgen.auditing.judgement import (
    GIVEN, HOLDS, INCOMPLETE, LOSS, MISSING, NOT_READ, OFF, OUTSIDE, WRONG, Judgement,
)
from lstmgen.auditing.code import audit_arrays, audit_module
from lstmgen.auditing.foreign import ForeignError, run_function
from lstmgen.auditing.given import STEPS, Data, draw
from lstmgen.derivation.chain import derive
from lstmgen.cli import main
from lstmgen.document.latex.pdf import compile_pdf
from lstmgen.auditing.case import Case
from lstmgen.auditing.correct import correct, true_terms
from lstmgen.auditing.resolver import Resolver
from lstmgen.auditing.scenes import Scenes
from lstmgen.auditing.spelling import Spelling
from lstmgen.errors import Mistakes, Place, SpecError, Text
from lstmgen.language.expressions import Adjoint, Value, number
from lstmgen.derivation.build import build_graph
from lstmgen.language.evaluate import Floats
from lstmgen.proofs.interpret import Interpreter
from lstmgen.pipeline import load
from lstmgen.numerics.points import choose_sizes
from lstmgen.resources import find_spec
from lstmgen.auditing.scene import Scene, Setting
from lstmgen.auditing.truth import whole

ROOT = Path(__file__).parent.parent
GALLERY = sorted((ROOT / "audits").glob("*.yaml"))


def judged(spec: str, *pairs: tuple[str, str], names: str = "", steps: int = 4):
    """Judgements of claims that are given as pairs."""
    lines = [f"spec: {spec}", f"steps: {steps}", *([f"names: {names}"] if names else []), "claims:"]
    lines += [f"  - {json.dumps(left)}: {json.dumps(right)}" for left, right in pairs]
    return audit(claims.read("\n".join(lines) + "\n")).judgements


@cache
def audited_file(path: Path):
    return audit(claims.load(path))


def one(spec: str, left: str, right: str, **more):
    return judged(spec, (left, right), **more)[0]


# ---------------------------------------------------------------- the gallery


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_every_claim_of_the_gallery_gets_the_verdict_that_is_due(path):
    audited = audited_file(path)
    assert audited.judgements
    for judgement in audited.judgements:
        assert judgement.claim.expect is not None
        assert judgement.verdict == judgement.claim.expect, judgement.line()
        if judgement.verdict in (WRONG, INCOMPLETE):
            assert judgement.findings and judgement.correct


def test_the_gallery_holds_the_known_mistakes():
    assert len([path for path in GALLERY if path.stem.startswith("known_")]) >= 10


def test_the_docs_speak_of_every_audit_of_the_gallery():
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    assert [path.name for path in GALLERY if path.name not in text] == []


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    "left, right",
    [
        ("d_c", "d_h * o * (1 - tanh(c) ** 2) + d_c[t+1] * f[t+1]"),
        ("d_c", "d_h * o * (1 - tanh(c)) * (1 + tanh(c)) + f[t+1] * d_c[t+1]"),
        ("d_c", "d_h * o * (1 - (2 * sigmoid(2 * c) - 1) ** 2) + d_c[t+1] * (1 - sigmoid(-f_pre[t+1]))"),
        ("d_i_pre", "d_i * sigmoid(i_pre) * sigmoid(-i_pre)"),
        ("d_i_pre", "d_c * z * i - d_c * z * i ** 2"),
        ("d_h", "dy + via(d_h, t+1)"),
        ("d_h", "dy_h + via(d_h, i[t+1]) + via(d_h, f_pre[t+1]) + via(d_h, z[t+1]) + via(d_h, o[t+1])"),
        ("d_c[t-1]", "via(d_c[t-1], h[t-1]) + d_c * f"),
        ("d_W_f", "outer(d_f_pre, x)"),
        ("d_W_f", "transpose(outer(x, d_f_pre))"),
        ("sum_t(d_W_f)", "sum_t(outer(d_f_pre, x))"),
        ("d_W_f", "sum_t(outer(d_f_pre, x))"),
        ("sum_t(d_b_f)", "d_f_pre[1] + d_f_pre[2] + d_f_pre[T-1] + d_f_pre[T]"),
        ("sum_t(d_R_f)", "outer(d_f_pre[1], h[0]) + sum_t(outer(d_f_pre, h[t-1]), 2, T)"),
        ("d_c[0]", "d_c[1] * f[1]"),
        ("d_c[T]", "d_h[T] * o[T] * (1 - tanh(c[T]) ** 2)"),
        ("partial(c[t+1], c)", "f[t+1]"),
        ("partial(c[t+1], c)", "diag(f[t+1])"),
        ("partial(h, c)", "o * (1 - tanh(c) ** 2)"),
        ("partial(f_pre, h[t-1])", "R_f"),
        ("partial(f, h[t-1])", "diag(f * (1 - f)) @ R_f"),
        ("total(h, f_pre)", "total(h, c) * total(c, f_pre)"),
        ("d_f_pre", "d_c * total(c, f_pre)"),
        ("h", "o * tanh(c)"),
        ("d_x", "transpose(W_i) @ d_i_pre + transpose(W_f) @ d_f_pre + via(d_x, z) + via(d_x, o)"),
    ],
)
def test_what_is_true_holds_however_it_is_written(left, right):
    judgement = one("lstm", left, right)
    assert judgement.verdict == HOLDS, judgement.findings


@pytest.mark.parametrize(
    "spec, left, right, given",
    [
        ("fgr_lstm", "d_R_fo", "outer(d_o_pre, sigmoid(f_pre[t-1]))", "every step but the first"),
        ("peephole_lstm", "d_c", "d_h * o * (1 - tanh(c) ** 2) + d_c[t+1] * f[t+1]", "no peepholes"),
        ("lstm", "sum_t(d_R_f)", "sum_t(outer(d_f_pre[t+1], h))", "zero initial states"),
        ("lstm", "sum_t(d_R_f)", "sum_t(outer(d_f_pre, h[t-1]), 2, T)", "zero initial states"),
        ("ng_lstm_last", "d_a", "via(d_a, t+1)", "every step but the last, the only one that has a loss"),
        ("ng_lstm_last", "d_a", "a - target", "t = T, the last step, the only one that has a loss"),
        ("rnn", "d_h", "transpose(R_h) @ d_h_pre[t+1]", "no gradient from outside at h"),
        ("ng_lstm", "d_a[t-1]", "via(d_a[t-1], t)", "no gradient from outside at a[t-1]"),
        ("lstm", "total(c[t+1], c)", "f[t+1]", "the direct path alone"),
        ("lstm", "partial(f_pre, h[t-1])", "transpose(R_f)", "transposed layout"),
        ("lstm", "partial(f_pre, x)", "transpose(W_f)", "transposed layout"),
        ("lstm", "d_W_f", "outer(x, d_f_pre)", "the transposed layout of W_f, as where v @ W_f is written"),
        ("lstm", "d_R_f", "outer(h[t-1], d_f_pre)", "the transposed layout of R_f"),
    ],
)
def test_what_is_true_under_a_condition_holds_given_it(spec, left, right, given):
    judgement = one(spec, left, right)
    assert judgement.verdict == GIVEN, judgement.findings
    assert given in judgement.given


@pytest.mark.parametrize(
    "spec, left, right, lacks, given",
    [
        ("lstm", "d_c", "d_h * o * (1 - tanh(c) ** 2)", ["c[t+1]"], "complete at t = T, the last step, where nothing"),
        ("lstm", "d_h", "dy", ["z[t+1]", "i[t+1]", "f[t+1]", "o[t+1]"], "it is the contribution from the same step alone"),
        ("lstm", "d_c", "d_c[t+1] * f[t+1]", ["h"], "the contribution from the next step alone"),
        ("peephole_lstm", "d_c", "d_h * o * (1 - tanh(c) ** 2)", ["o", "i[t+1]", "f[t+1]", "c[t+1]"],
         "the contribution through h alone"),
        ("lstm", "total(c[t+1], c)", "diag(f[t+1]) + diag(i[t+1] * (1 - z[t+1] ** 2)) @ R_z @ diag(o * (1 - tanh(c) ** 2))"
         " + diag(z[t+1] * i[t+1] * (1 - i[t+1])) @ R_i @ diag(o * (1 - tanh(c) ** 2))", [""], ""),
        ("lstm", "sum_t(d_b_f)", "d_f_pre[1]", ["f[2]", "f[3]", "f[4]"], ""),
        ("lstm", "d_c[t-1]", "d_c * f", ["h[t-1]"], "the contribution from the next step alone"),
        ("lstm", "via(d_c[t-1], c)", "d_h * o * (1 - tanh(c) ** 2) * f", ["c"], "complete at t = T"),
        ("lstm", "d_f", "d_h * o * (1 - tanh(c) ** 2) * c[t-1]", ["c"], "complete at t = T"),
    ],
)
def test_what_lacks_a_contribution_is_incomplete(spec, left, right, lacks, given):
    judgement = one(spec, left, right)
    assert judgement.verdict == INCOMPLETE and judgement.example is not None
    assert sorted(each.through for each in judgement.findings) == sorted(lacks)
    assert given in judgement.given


@pytest.mark.parametrize("right", ["0", "d_h * o * (1 - tanh(c) ** 2) + 0 * log(-1 - c ** 2)", "d_h * o * (1 - tanh(c))"])
def test_what_says_nothing_or_is_off_is_not_incomplete(right):
    assert one("lstm", "d_c", right).verdict == WRONG


@pytest.mark.parametrize("left, right, verdict", [
    ("d_c[t-1]", "d_h[t-1] * o[t-1] * (1 - tanh(c[t-1]) ** 2) + d_c * f", HOLDS),  # of step 0 it does not speak: o[0]
    ("d_c[t-1]", "via(d_c[t-1], h[t-1]) + d_c * f", HOLDS),
    ("d_c[t+1]", "d_h[t+1] * o[t+1] * (1 - tanh(c[t+1]) ** 2) + d_c[t+2] * f[t+2]", HOLDS),
    ("d_h[t-1]", "via(d_h[t-1], t)", GIVEN),
])
def test_a_left_side_at_another_step_is_looked_at_as_it_stands(left, right, verdict):
    judgement = one("lstm", left, right)
    assert judgement.verdict == verdict, judgement.findings
    assert not judgement.correct or judgement.correct.startswith(f"{left} = ")


def test_what_is_true_of_a_state_but_not_of_its_initial_value_is_told_so(tmp_path):
    (tmp_path / "leaky.yaml").write_text("name: leaky\nstate: {h: H, c: H}\nparameters: {W: [H, D], f: H}\n"
                                         "equations: {c: \"f * c[t-1] + W @ x + h[t-1]\", h: tanh(c)}\noutput: h\n")
    text = "spec: leaky.yaml\nclaims:\n  - d_c[t-1]: d_h[t-1] * (1 - h[t-1] ** 2) + d_c * f\n"
    judgement = audit(claims.read(text, "claims.yaml", tmp_path)).judgements[0]
    assert judgement.line() == "d_c[t-1]: holds given every step but the first, which has no step before it"


@pytest.mark.parametrize(
    "left, right, kind, words",
    [
        ("d_c", "d_h * o * (1 - tanh(c) ** 2) + f[t+1]", "off", "upstream gradient is missing"),
        ("d_c", "d_h * o * (1 - tanh(c)) + d_c[t+1] * f[t+1]", "off", "the square is missing"),
        ("d_c", "d_h * o * (1 - tanh(c) ** 2) - d_c[t+1] * f[t+1]", "off", "the sign is wrong"),
        ("d_c", "d_h * o * (1 - tanh(c) ** 2) + d_c[t+1] * f", "off", "the step is wrong: f[t+1]"),
        ("d_c", "d_h * o * (1 - tanh(c) ** 2) * d_c[t+1] * f[t+1]", "off", "a product is written where a sum belongs"),
        ("d_f", "d_c * c", "off", "c[t-1] belongs there, not c"),
        ("d_f_pre", "d_f * f_pre * (1 - f_pre)", "off", "written in its argument f_pre"),
        ("d_z_pre", "d_z * (1 - z) ** 2", "off", "the square belongs to z alone: 1 - z ** 2"),
        ("d_R_f", "outer(transpose(R_f) @ d_f_pre, h[t-1])", "off", "the factor transpose(R_f) is too much"),
        ("d_b_f", "tanh(b_f) * d_f_pre", "off", "the factor tanh(b_f) is too much"),
        ("d_f_pre", "d_f", "off", "the derivative of the sigmoid is missing"),
        ("d_f_pre", "3 * d_f * f * (1 - f)", "off", "the factor 3"),
        ("d_z_pre", "d_z * (1 - tanh(z) ** 2)", "off", "tanh is applied twice"),
        ("d_W_f", "outer(d_f, x)", "off", "the derivative of the activation is missing"),
        ("d_W_f", "outer(x, d_f)", "shape", "the shapes do not fit"),
        ("d_W_f", "d_f_pre * x", "off", "outer product"),
        ("d_R_f", "outer(d_f_pre, h)", "off", "h[t-1] belongs there"),
        ("d_f", "d_c * c[t-1] + d_h", "extra", "does not belong there"),
        ("d_x", "W_i @ d_i_pre", "off", ""),
        ("d_h", "dy + transpose(R_i) @ d_i_pre[t+1] + transpose(R_f) @ d_f_pre[t+1] + R_z @ d_z_pre[t+1]"
                " + transpose(R_o) @ d_o_pre[t+1]", "off", "the transposition is missing"),
        ("partial(h, c)", "o * (1 - tanh(c))", "off", "the square is missing: tanh(c) ** 2, not tanh(c)"),
        ("total(h, f)", "o * (1 - tanh(c) ** 2) * c", "off", "c[t-1] belongs there, not c"),
        ("partial(f, h[t-1])", "R_f @ diag(f * (1 - f))", "off", "stands on the wrong side of R_f: a matrix does not"),
        ("partial(f, h[t-1])", "R_f", "off", "the factor diag(f * (1 - f)) is missing"),
        ("partial(f, h[t-1])", "diag(f * (1 - f))", "off", "the factor R_f is missing"),
    ],
)
def test_what_is_wrong_is_explained(left, right, kind, words):
    judgement = one("lstm", left, right)
    assert judgement.verdict == WRONG
    assert any(words in finding.sentence for finding in judgement.findings), judgement.findings
    if words:
        assert judgement.findings[0].kind == kind
        assert words in judgement.findings[0].sentence


def test_a_derivative_on_the_wrong_side_of_a_matrix_is_told_its_side():
    judgement = one("rnn", "d_h", "dy + (1 - h[t+1] ** 2) * (transpose(R_h) @ d_h[t+1])")
    words = "1 - h[t+1] ** 2 stands on the wrong side of transpose(R_h): first the derivative, then the matrix"
    assert judgement.findings[0].sentence.startswith(words) and len(judgement.findings) == 1
    assert judgement.correct == "d_h = dy + transpose(R_h) @ (d_h[t+1] * (1 - h[t+1] ** 2))"


def test_the_correct_equation_is_in_the_sources_names():
    names = "{a: h, Gamma_f: f, cell: c}"
    judgement = one("lstm", "d_cell", "d_a * o * (1 - tanh(cell) ** 2) + Gamma_f[t+1]", names=names)
    assert judgement.correct == "d_cell = d_a * o * (1 - tanh(cell) ** 2) + d_cell[t+1] * Gamma_f[t+1]"
    assert one("lstm", "d_Gamma_f_pre", "d_Gamma_f * Gamma_f * (1 - Gamma_f)", names=names).verdict == HOLDS


def test_the_example_gives_both_values_and_what_they_come_from():
    example = one("lstm", "d_f", "d_c * c").example
    values = dict(example.values)
    assert example.claimed == pytest.approx(values["d_c"] * values["c"])
    assert example.true != pytest.approx(example.claimed)


def test_a_gradient_that_is_zero_beside_rounding_is_zero():
    assert one("slstm", "d_m", "0").verdict == HOLDS  # for the output alone, m cancels


def test_choices_are_looked_at_from_both_sides():
    path = ROOT / "audits" / "cells" / "lstm_clipped.yaml"
    text = f"spec: {path}\nclaims:\n  d_s: d_c\n"
    assert audit(claims.read(text)).judgements[0].verdict == WRONG


def test_a_scene_has_the_true_gradients():
    graph = build_graph(load("peephole_lstm"))
    sizes = choose_sizes(graph, 2)
    scene = Scene(derive(graph), Setting(3, 1, sizes, seed=3))
    interpreter = Interpreter(graph.spec, sizes, Floats(), leading=1)

    def objective(parameters) -> float:
        inputs = [{"x": scene.leaf(Value("x"), step)} for step in (1, 2, 3)]
        run = interpreter.run(parameters, inputs, scene.values[0])
        return sum(float((scene.weights["h", step + 1] * run.outputs[step]["h"]).sum()) for step in range(3))

    parameters = {name: scene.fixed[name] for name in graph.parameters}
    for name in ("R_f", "p_i", "b_o"):
        moved = []
        for sign in (1, -1):
            changed = np.array(parameters[name])
            changed.flat[0] += sign * 1e-6
            moved.append(objective(parameters | {name: changed}))
        assert scene.total(name).flat[0] == pytest.approx((moved[0] - moved[1]) / 2e-6, rel=1e-5)
    assert not scene.leaf(Adjoint("c"), 4).any()


def test_functions_of_ones_own_may_call_others_that_read_constants(tmp_path):
    (tmp_path / "nested.yaml").write_text("""\
name: nested
state: {h: H}
parameters: {W: [H, D], R: [H, H]}
constants: {k: 0.5}
functions:
  "inner(a)": k * tanh(a)
  "act(a)": inner(a) + k * a
equations:
  h: act(W @ x + R @ h[t-1])
output: h
""")
    text = "spec: nested.yaml\nclaims:\n  - h: act(h_pre)\n  - h: act(inner(h_pre))\n"
    right, wrong = audit(claims.read(text, folder=tmp_path)).judgements
    assert right.verdict == HOLDS, right.findings
    assert wrong.verdict == WRONG and "the shapes do not fit" not in str(wrong.findings)


# ---------------------------------------------------------------- true claims in every dress, and mutations


@pytest.mark.parametrize("name", ["peephole_lstm", "gru", "stacked_lstm", "slstm"])
def test_no_true_claim_is_called_wrong_and_no_mutation_goes_by(name):
    said = []
    found = rewriting.measure(find_spec(name), 2 if name == "slstm" else 6, seed=1, say=said.append)
    assert found.true and found.mutated
    assert not found.called_wrong, said
    assert not found.missed, said
    assert found.unnamed <= 2, said


# ---------------------------------------------------------------- files that cannot be read


@pytest.mark.parametrize(
    "text, place, words",
    [
        ("claims:\n  d_c: d_h\n", "1:1", "'spec:' is missing"),
        ("spec: lstm\n", "1:1", "'claims:' is missing"),
        ("spec: nowhere\nclaims:\n  d_c: d_h\n", "1:7", "no packaged spec"),
        ("spec: lstm\nnames: {d_a: h}\nclaims:\n  d_c: d_h\n", "2:9", "cannot be a name"),
        ("spec: lstm\nnames: {a: q}\nclaims:\n  d_c: d_h\n", "2:12", "the spec has no 'q'"),
        ("spec: lstm\nsteps: 99\nclaims:\n  d_c: d_h\n", "2:8", "from 2 to 8"),
        ("spec: lstm\nclaims: []\n", "2:9", "no claim"),
        ("spec: lstm\nclaims:\n  d_c: {is: d_h, expect: maybe}\n", "3:26", "one of holds"),
        ("spec: lstm\nwhat: 1\nclaims:\n  d_c: d_h\n", "2:1", "unknown key"),
        ("- 1\n", "1:1", "must be a mapping"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_at_its_place(text, place, words):
    with pytest.raises(SpecError) as caught:
        claims.read(text, "c.yaml")
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"c.yaml:{place}")


@pytest.mark.parametrize(
    "text, place, words",
    [
        ("spec: lstm\nclaims:\n  d_c: d_h * nope\n", "3:14", "there is no 'nope'"),
        ("spec: lstm\nclaims:\n  d_nope: d_h\n", "3:3", "the spec has no 'nope'"),
        ("spec: lstm\nclaims:\n  dc: d_h * o\n", "3:3", "there is no 'dc'; write d_c"),
        ("spec: lstm\nclaims:\n  d_c: dh * o\n", "3:8", "there is no 'dh'; write d_h"),
        ("spec: lstm\nclaims:\n  d_c: d_h * o + dc_next\n", "3:18", "there is no 'dc_next'; write d_c[t+1] for"),
        ("spec: lstm\nclaims:\n  dWf: outer(d_f_pre, x)\n", "3:3", "there is no 'dWf'; write d_W_f"),
        ("spec: lstm\nclaims:\n  d_f: df_pre\n", "3:8", "there is no 'df_pre'; write d_f_pre"),
        ("spec: lstm\nnames: {a: h}\nclaims:\n  d_o: da * tanh(c)\n", "4:8", "there is no 'da'; write d_a"),
        ("spec: lstm\nclaims:\n  d_f: diag(np.diag(d_c))\n", "3:15", "write diag(d_c)"),
        ("spec: lstm\nclaims:\n  d_c: d_c_pre\n", "3:8", "not a single call"),
        ("spec: lstm\nclaims:\n  d_c: d_h +\n", "3:12", "there is nothing after '+'"),
        ("spec: lstm\nclaims:\n  d_c: W_f[t-1] @ d_h\n", "3:8", "does not change over time"),
        ("spec: lstm\nclaims:\n  d_c: d_h[9]\n", "3:11", "there is no step 9"),
        ("spec: lstm\nclaims:\n  d_c: d_h[t+7]\n", "3:8", "7 steps ahead"),
        ("spec: lstm\nclaims:\n  d_c + d_h: d_h\n", "3:3", "cannot be claimed"),
        ("spec: lstm\nclaims:\n  via(d_c, x): d_h\n", "3:3", "the equation that reads"),
        ("spec: lstm\nclaims:\n  d_c: sum_t(d_h, 1, T-0.5)\n", "3:8", "the two bounds are steps"),
        ("spec: lstm\nclaims:\n  d_c:\n", "3:7", "must be an expression, not nothing"),
        ("spec: lstm\nclaims:\n  d_c: [d_h, o]\n", "3:8", "must be an expression, not a list"),
        ("spec: lstm\nclaims:\n  d_c: {is: dh * o, expect: not read, note: mine}\n", "3:13", "write d_h"),
    ],
)
def test_a_line_that_cannot_be_read_is_not_read_and_the_others_are_judged(text, place, words):
    found = audit(claims.read(text + "  d_z: d_c * i\n  d_i: d_c\n", "c.yaml"))
    bad, good, wrong = found.judgements
    assert (bad.verdict, good.verdict, wrong.verdict) == (NOT_READ, HOLDS, WRONG) and bad.as_expected
    line, column = place.split(":")
    sentence = bad.findings[0].sentence
    assert sentence.startswith(f"line {line}, column {column}") and words in sentence
    assert len(bad.findings) == len(bad.claim.mistakes)
    told = report.as_json(found)["claims"][0]
    assert told["mistakes"][0]["line"] == int(line) and told["mistakes"][0]["message"] in sentence
    assert r"\texttt{" in report.latex(found)


# ---------------------------------------------------------------- the command


def run(*arguments: str):
    return CliRunner().invoke(main, ["audit", *arguments])


def test_the_status_says_whether_something_is_wrong(tmp_path):
    good, given, bad, broken = (tmp_path / f"{name}.yaml" for name in ("good", "given", "bad", "broken"))
    good.write_text("spec: lstm\nclaims:\n  d_o: d_h * tanh(c)\n")
    given.write_text("spec: lstm\nclaims:\n  d_h: via(d_h, t+1)\n")
    bad.write_text("spec: lstm\nclaims:\n  d_o: d_h * c\n")
    broken.write_text("spec: lstm\nclaims:\n  d_o: d_h *\n")
    assert run(str(good)).exit_code == 0
    assert "d_o: holds\n" in run(str(good)).output
    assert run(str(given)).exit_code == 0
    assert run(str(given), "--strict").exit_code == 1
    assert "d_h: holds given no gradient from outside at h" in run(str(given)).output
    assert run(str(bad)).exit_code == 1
    assert "d_o: wrong\n" in run(str(bad)).output
    assert run(str(broken)).exit_code == 2
    assert run(str(tmp_path / "none.yaml")).exit_code == 2


def test_json_is_json(tmp_path):
    file = tmp_path / "claims.yaml"
    file.write_text("spec: lstm\nclaims:\n  d_o: d_h * c\n  d_i: d_c * z\n")
    result = run(str(file), "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1 and told["holds"] is False
    assert [claim["verdict"] for claim in told["claims"]] == ["wrong", "holds"]
    assert told["claims"][0]["findings"][0]["kind"] == "off"
    assert told["claims"][0]["line"] == 3


def test_a_report_has_symbols_in_its_sentences():
    text = report.latex(audit(claims.read("spec: lstm\nnames: {Gamma_f: f}\nclaims:\n  d_c: d_h * o * (1 - tanh(c) ** 2)\n")))
    assert (r"the contribution through $\bm c_{t+1}$, in the next step, is missing: "
            r"$\delta\bm c_{t+1}\odot\bm\Gamma_{f,t+1}$.") in text
    assert r"incomplete}}" in text and "As it is: complete at t = T" in text
    assert r"with $\delta\bm h_t$ = " in text and "d_h = " not in text


def test_the_report_shows_what_a_macro_of_a_sum_means():
    text = report.latex(audit(claims.read(
        "spec: lstm\nclaims:\n  d_o: square(h + c) * d_h + identity(h + c) * mod(h + c, o + 1) * square(square(c))")))
    assert r"(\bm h_t+\bm c_t)^{2}\odot\delta\bm h_t" in text
    modulo = r"\bigl((\bm h_t+\bm c_t)\bmod (\bm o_t+\bm 1)\bigr)"
    assert rf"(\bm h_t+\bm c_t)\odot{modulo}\odot(\bm c_t^{{2}})^{{2}}" in text


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_every_report_is_latex(path):
    text = report.latex(audited_file(path))
    assert text.startswith(r"\documentclass") and text.endswith("\\end{document}\n")
    assert text.isascii()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX")
def test_a_report_compiles_and_strikes_the_wrong_line(tmp_path):
    result = run(str(ROOT / "audits" / "notes_hats.yaml"), "--pdf", "-o", str(tmp_path))
    assert result.exit_code == 1
    assert (tmp_path / "notes_hats.audit.pdf").read_bytes().startswith(b"%PDF")
    assert r"\struck{" in (tmp_path / "notes_hats.audit.tex").read_text()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX")
def test_a_report_prints_every_text_of_its_claims():
    text = "100$ and 5% of λ, Ω, ΐ, é, ą, ế, ß, \"so\" `q' # & _ ~ ^ | < > { } \\end{document} 字"
    claimed = {"spec": "lstm", "source": text, "claims": {"d_o": {"is": "d_h * c", "note": text}}}
    said = report.latex(audit(claims.read(json.dumps(claimed))))
    assert said.count(r"\$") == said.count(r"\greek{\Omega}{03A9}") == 2
    log = compile_pdf(said).log
    assert "Missing character" not in log
    assert not re.findall(r"<[^<>]*pk>", log.replace("\n", ""))  # fonts drawn as bitmaps


# ---------------------------------------------------------------- code and numbers

RNN = '''
import numpy as np

def backward(params, x, state, dy, dstate, {arguments}):
    W, R, b = params["W_h"], params["R_h"], params["b_h"]
    h, hs = {start}, []
    hs.append(h)
    for x_t in x:
        h = np.tanh(x_t @ W.T + h @ R.T + b)
        hs.append(h)
    grads = {{"W_h": 0 * W, "R_h": 0 * R, "b_h": 0 * b, "x": 0 * x}}
    dh = {final}
    for t in reversed(range(len(x))):
        dh = dh + dy[t]
        da = dh * {derivative}
        grads["W_h"] {add} da.T @ x[t]
        grads["R_h"] {add} da.T @ {before}
        grads["b_h"] {add} da.sum(0)
        grads["x"][t] = da @ W
        dh = {back}
    return grads | {{"h": dh}}
'''
RIGHT = {
    "arguments": "**_", "start": "state['h']", "final": "dstate['h']", "derivative": "(1 - hs[t + 1] ** 2)",
    "add": "+=", "before": "hs[t]", "back": "da @ R",
}


def foreign(tmp_path: Path, **changed: str) -> Path:
    file = tmp_path / "theirs.py"
    file.write_text(RNN.format(**(RIGHT | changed)))
    return file


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"derivative": "(1 - hs[t + 1])"}, "the square is missing"),
        ({"add": "="}, "= for +="),
        ({"before": "hs[t + 1]"}, "h[t-1] belongs there, not h"),
        ({"before": "(hs[t] if t else 0 * hs[t])"}, "the boundary at the first step"),
        ({"back": "0 * da"}, "nothing comes back from the next step"),
        ({"back": "da @ R.T"}, "the transposition is missing"),
    ],
)
def test_a_strangers_mistake_is_found_and_named(tmp_path, changed, words):
    graph = build_graph(load("rnn"))
    found = audit_module(graph, foreign(tmp_path, **changed), "backward")
    assert not found.holds
    assert words in found.explanation and found.complete, found.lines()


def test_right_code_agrees_and_the_command_says_whose_code_it_ran(tmp_path):
    result = run("rnn", "--module", f"{foreign(tmp_path)}:backward")
    assert result.exit_code == 0, result.output
    assert "not lstmgen's code" in result.output
    result = run("rnn", "--module", f"{foreign(tmp_path, back='0 * da')}:backward", "--json")
    assert result.exit_code == 1
    assert "from 2 steps on" in result.output


def test_code_that_fails_or_hangs_is_stopped(tmp_path):
    file = tmp_path / "theirs.py"
    file.write_text("def hangs(*a):\n    while True: pass\ndef fails(*a):\n    raise ValueError('no')\n")
    assert run("rnn", "--module", f"{file}:fails").exit_code == 2
    # what is tested is that code without an end is stopped; how soon is not
    assert run("rnn", "--module", f"{file}:hangs", "--seconds", "1").exit_code == 2
    assert run("rnn", "--module", "theirs.py").exit_code == 2
    assert run("rnn", "--module", f"{tmp_path / 'none.py'}:f").exit_code == 2


def right_arrays(tmp_path: Path) -> dict[str, np.ndarray]:
    """What a file of `--arrays` holds for the simple RNN, with gradients that are right."""
    graph = build_graph(load("rnn"))
    data = draw(graph, choose_sizes(graph, 2))
    theirs = run_function(foreign(tmp_path), "backward", graph, data)
    arrays = dict(data.params) | {"x": data.inputs["x"], "dy": data.dy["h"]}
    arrays |= {"state.h": data.state["h"], "dstate.h": data.dstate["h"]}
    return arrays | {f"d_{name}": array for name, array in theirs.items()}


def test_arrays_are_compared(tmp_path):
    graph = build_graph(load("rnn"))
    arrays = right_arrays(tmp_path)
    np.savez(tmp_path / "right.npz", **arrays)
    assert audit_arrays(graph, tmp_path / "right.npz").holds
    arrays["d_x"] = arrays["d_x"] * np.array([1, 2, 1, 1]).reshape(STEPS, 1, 1)
    np.savez(tmp_path / "wrong.npz", **arrays)
    found = audit_arrays(graph, tmp_path / "wrong.npz")
    assert not found.holds
    assert [each.name for each in found.comparisons if not each.agrees] == ["x"]
    assert any("at step 2 of 4" in line for line in found.lines())
    assert run("rnn", "--arrays", str(tmp_path / "wrong.npz")).exit_code == 1
    del arrays["x"]
    np.savez(tmp_path / "short.npz", **arrays)
    with pytest.raises(ForeignError, match="has no 'x'"):
        audit_arrays(graph, tmp_path / "short.npz")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name, change, words",
    [
        ("d_x", lambda array: array * np.nan, "d_x: differs, it has numbers that are not finite"),
        ("d_x", lambda array: array.astype(np.longdouble) * np.longdouble("1e400"), "numbers that are not finite"),
        ("d_x", lambda array: np.full(array.shape, 1e308), "d_x: differs, it is much larger"),
        ("d_x", lambda array: array[:1], "d_x: differs, its shape is (1, 2, 3) and should be (4, 2, 3)"),
        ("d_x", lambda array: array + 1j, "'d_x' is not an array of real numbers: its dtype is complex128"),
        ("x", lambda array: array * 1e300, "d_x: differs, it should be zero"),
        ("R_h", lambda array: array * np.inf, "'R_h' holds a number that is not finite"),
        ("dy", lambda array: array * 1e308 * 1e5, "'dy' holds a number that is not finite"),
        ("dy", lambda array: np.full(array.shape, 1.7e308), "the true gradient of W_h is not finite at these numbers"),
        ("x", lambda array: array[0, 0], "x is (3,); expected (T, B, D), with at least one step and one example"),
        ("x", lambda array: array[:, :0], "x is (4, 0, 3); expected (T, B, D)"),
    ],
)
def test_numbers_that_cannot_be_right_are_told_without_a_warning(tmp_path, name, change, words):
    arrays = right_arrays(tmp_path)
    with np.errstate(all="ignore"):
        arrays[name] = change(arrays[name])
    np.savez(tmp_path / "theirs.npz", **arrays)
    result = run("rnn", "--arrays", str(tmp_path / "theirs.npz"))
    assert words in result.output and result.exit_code == (1 if ": differs" in result.output else 2)


@pytest.mark.filterwarnings("error")
def test_a_strangers_overflow_is_told_without_a_warning(tmp_path):
    file = foreign(tmp_path, back="np.exp(1e4) * da")
    result = run("rnn", "--module", f"{file}:backward")
    assert "d_W_h: differs, it has numbers that are not finite; from 2 steps on: it agrees for 1" in result.output


@pytest.mark.parametrize("name", ["d_W_h", "W_h", "dW_h", "dWh", "grad_W_h", "dL_dW_h"])
def test_a_gradient_may_be_called_as_code_calls_it(tmp_path, name):
    arrays = right_arrays(tmp_path)
    file = foreign(tmp_path)
    file.write_text(file.read_text().replace('return grads | {"h": dh}', f'return {{"{name}": grads["W_h"]}}'))
    assert run("rnn", "--module", f"{file}:backward").output.endswith("d_W_h: agrees\n")
    if name != "W_h":  # in a file of arrays that is the parameter itself
        arrays[name] = arrays.pop("d_W_h")
        np.savez(tmp_path / "theirs.npz", **arrays)
        assert "d_W_h: agrees" in run("rnn", "--arrays", str(tmp_path / "theirs.npz")).output


@pytest.mark.parametrize("name, words", [
    ("state_h", "holds 'state_h', which this cell does not have; did you mean 'state.h'?"),
    ("d_Wh", "'d_Wh' is the gradient of W_h, which is there already by another name"),
    ("losses", "holds 'losses', which this cell does not have; it needs every parameter and input under the spec's name"),
])
def test_an_array_that_nobody_reads_is_not_passed_over_in_silence(tmp_path, name, words):
    np.savez(tmp_path / "theirs.npz", **right_arrays(tmp_path), **{name: np.zeros((2, 2))})
    result = run("rnn", "--arrays", str(tmp_path / "theirs.npz"))
    assert words in result.output and result.exit_code == 2


@pytest.mark.parametrize("turned", [False, True])
def test_arrays_with_the_batch_first_are_read_so(tmp_path, turned):
    arrays = right_arrays(tmp_path)
    for name in ("x", "dy", "d_x"):
        arrays[name] = arrays[name].swapaxes(0, 1)
    if turned:  # with the state zero, nothing in the file tells the batch from the time
        zero = 0 * arrays["state.h"]
        data = Data({name: arrays[name] for name in ("W_h", "R_h", "b_h")}, {"x": arrays["x"].swapaxes(0, 1)}, {"h": zero},
                    {"h": arrays["dy"].swapaxes(0, 1)}, {"h": zero})
        theirs = run_function(foreign(tmp_path), "backward", build_graph(load("rnn")), data)
        arrays = {name: arrays[name] for name in ("W_h", "R_h", "b_h", "x", "dy")} | {
            f"d_{name}": theirs[name] for name in ("W_h", "R_h", "b_h")}
    np.savez(tmp_path / "theirs.npz", **arrays)
    result = run("rnn", "--arrays", str(tmp_path / "theirs.npz"))
    assert "note: inputs and dy have the batch first: read so" in result.output and result.exit_code == 0
    arrays["d_b_h"] = 2 * arrays["d_b_h"]
    np.savez(tmp_path / "theirs.npz", **arrays)
    assert run("rnn", "--arrays", str(tmp_path / "theirs.npz")).exit_code == (1 if turned else 2)


def test_what_a_function_does_not_read_is_zero(tmp_path):
    graph = build_graph(load("rnn"))
    for changed, note in (
        ({"start": "0 * state['h']"}, "state is not read, and taken to be zero"),
        ({"final": "0 * dstate['h']"}, "dstate is not read, and taken to be zero"),
        ({"start": "0 * state['h']", "final": "0 * dstate['h']"}, "state and dstate are not read, and taken to be zero"),
    ):
        found = audit_module(graph, foreign(tmp_path, **changed), "backward")
        assert found.holds and found.notes == (note,) and found.lines()[-1] == f"note: {note}"
        wrong = audit_module(graph, foreign(tmp_path, **changed, back="da @ R.T"), "backward")
        assert not wrong.holds and wrong.notes == (note,) and "the transposition is missing" in wrong.explanation
    assert audit_module(graph, foreign(tmp_path), "backward").notes == ()


def test_numbers_from_zero_states_are_explained_so(tmp_path):
    arrays = right_arrays(tmp_path)
    theirs = run_function(foreign(tmp_path, start="0 * state['h']"), "backward", build_graph(load("rnn")),
                          draw(build_graph(load("rnn")), choose_sizes(build_graph(load("rnn")), 2)))
    np.savez(tmp_path / "theirs.npz", **arrays | {f"d_{name}": array for name, array in theirs.items()})
    assert "the initial states are not read" in run("rnn", "--arrays", str(tmp_path / "theirs.npz")).output


@pytest.mark.parametrize("returned, note", [
    ('{k: g.T for k, g in grads.items() if k != "x"}', "matrices are transposed (inputs, outputs)"),
    ('grads | {"b_h": grads["b_h"][:, None]}', "vectors are columns or rows of a matrix: read so"),
    ('grads | {"b_h": grads["b_h"][None]}', "vectors are columns or rows of a matrix: read so"),
    ('{"x": grads["x"].swapaxes(0, 1)}', "values of every step have the batch first: read so"),
])
def test_another_layout_is_no_mistake(tmp_path, returned, note):
    file = foreign(tmp_path)
    file.write_text(file.read_text().replace('return grads | {"h": dh}', f"return {returned}"))
    found = audit_module(build_graph(load("rnn")), file, "backward")
    assert found.holds and found.notes[0].startswith(note)
    file.write_text(file.read_text().replace("(1 - hs[t + 1] ** 2)", "(1 - hs[t + 1])"))
    wrong = audit_module(build_graph(load("rnn")), file, "backward")
    assert not wrong.holds


@pytest.mark.parametrize("rule, words", [
    ("np.clip(g, -1, 1)", "right but for a clip of every entry to [-1, 1]"),
    ("g / max(1.0, np.sqrt(sum((v ** 2).sum() for k, v in grads.items() if k != 'x')))", ": scaled to the norm 1"),
    ("g / x.shape[1]", "right but for one factor, 1/2: averaged over the batch of 2"),
    ("g / len(x)", "right but for one factor, 1/4: averaged over the 4 steps"),
    ("g / x[..., 0].size", "right but for one factor, 1/8: averaged over batch and steps"),
    ("0.01 * g", "right but for one factor, 0.01: a learning rate, perhaps"),
    ("3 * g", "right but for one factor, 3"),
    ("-g", "right but for one factor, the opposite sign"),
])
def test_what_is_done_around_right_gradients_is_one_sentence(tmp_path, rule, words):
    file = foreign(tmp_path)
    kept = "{k: RULE if k != 'x' else g for k, g in grads.items()}".replace("RULE", rule)
    file.write_text(file.read_text().replace('return grads | {"h": dh}', f"return {kept}"))
    found = audit_module(build_graph(load("rnn")), file, "backward")
    assert not found.holds and found.complete
    assert found.explanation.startswith("the gradients of W_h, R_h, b_h are right") and found.explanation.endswith(words)


def test_all_gradients_and_one_alone_are_told_so(tmp_path):
    file = foreign(tmp_path)
    right = file.read_text()
    file.write_text(right.replace('return grads | {"h": dh}', "return {k: -g for k, g in grads.items()}"))
    said = audit_module(build_graph(load("rnn")), file, "backward").explanation
    assert said == "all gradients are right but for one factor, the opposite sign"
    file.write_text(right.replace('return grads | {"h": dh}', 'return grads | {"b_h": 5 * grads["b_h"]}'))
    said = audit_module(build_graph(load("rnn")), file, "backward").explanation
    assert said == "the gradient of b_h is right but for one factor, 5"


def test_a_square_matrix_alone_is_not_taken_to_be_transposed(tmp_path):
    file = foreign(tmp_path)
    file.write_text(file.read_text().replace('return grads | {"h": dh}', 'return {"R_h": grads["R_h"].T}'))
    found = audit_module(build_graph(load("rnn")), file, "backward")
    assert not found.holds and "the outer product is transposed" in found.explanation


def test_code_that_takes_no_short_sequences_is_judged(tmp_path):
    file = foreign(tmp_path, add="=")
    file.write_text(file.read_text().replace("dh = dstate", "hs[2]; dh = dstate"))
    found = audit_module(build_graph(load("rnn")), file, "backward")
    assert "= for +=" in found.explanation and found.notes[0].startswith("in a sequence of 1 step it does not run")


@pytest.mark.parametrize("code, words", [
    ("def backward(params, x, state, dy, dstate):\n    return oops(params)\ndef oops(p):\n    return p['q']\n",
     "failed: line 4: KeyError: 'q'"),
    ("def backward(a, b): pass\n", "it is called as backward(params, x, state, dy, dstate): too many positional arguments"),
    ("def backward(*a): return a[0]['W_h'], a[0]['R_h']\n",
     'it returned a tuple of 2, and a dictionary is needed: return {"W_h": ..., "R_h": ..., "b_h": ...}'),
    ("def backward(*a): pass\n", "it returned a NoneType, and a dictionary is needed"),
    ("def backward(*a): return {'W_h': [[1, 2], [3]]}\n", "what it returned is not a dictionary of arrays of numbers"),
    ("def backward(*a): return {'W_h': None}\n", "what it returned is not a dictionary of arrays of numbers"),
    ("def forward(*a): pass\n", "there is no 'backward' in it; it has forward"),
    ("def backward(:\n", "failed: line 1: SyntaxError"),
    ("x = 1\nimport not_there_at_all\n", "failed: line 2: ModuleNotFoundError: No module named 'not_there_at_all'"),
])
def test_what_is_wrong_with_code_is_said_with_its_place_and_cure(tmp_path, code, words):
    (tmp_path / "theirs.py").write_text(code)
    result = run("rnn", "--module", f"{tmp_path / 'theirs.py'}:backward")
    assert words in result.output and result.exit_code == 2


def test_a_method_is_called_of_an_object_that_needs_no_arguments(tmp_path):
    file = foreign(tmp_path)
    file.write_text(file.read_text() + "\nclass Net:\n    backward = staticmethod(backward)\n"
                    "class Sized:\n    def __init__(self, size): pass\n    def backward(self, *a): pass\n")
    assert run("rnn", "--module", f"{file}:Net.backward").exit_code == 0
    assert "Sized() cannot be made without arguments" in run("rnn", "--module", f"{file}:Sized.backward").output
    (tmp_path / "notes.ipynb").write_text("{}")
    assert "jupyter nbconvert --to script notes.ipynb" in run("rnn", "--module", f"{tmp_path / 'notes.ipynb'}:f").output


def test_a_file_that_is_no_npz_says_how_one_is_written(tmp_path):
    (tmp_path / "theirs.npz").write_text("W = 1")
    assert "is not an .npz file: np.savez(FILE" in run("rnn", "--arrays", str(tmp_path / "theirs.npz")).output
    missing = run("rnn", "--arrays", str(tmp_path / "none.npz"))
    assert "none.npz cannot be read: No such file" in missing.output and missing.exit_code == 2


# ---------------------------------------------------------------- limits


CUBES = """\
name: cubes
state: {h: H}
constants: {k: 0.5}
functions: {"cube(a)": a * a * a * k, "six(a)": cube(a) * cube(a), "power(a, b)": a ** b}
parameters: {W: [H, D], R: [H, H], b: H}
equations:
  h: six(W @ x + R @ h[t-1] + b) + power(b, 2)
output: h
"""


@pytest.fixture
def cubes(tmp_path) -> Path:
    """A cell with functions of its own, which call each other."""
    (tmp_path / "cubes.yaml").write_text(CUBES)
    return tmp_path


@pytest.mark.parametrize(
    "claim, words, column",
    [
        ("9**9**9**9", "'9 ** 9 ** 9': an exponent beyond 100", 9),
        ("b * 3**(2**40)", "'3 ** 2 ** 40': an exponent beyond 100", 10),
        ("(((9**9)**9)**9)**9", "'((9 ** 9) ** 9) ** 9' is too large, too small or no real number", 7),
        ("1e300 * 1e300 * b", "a constant beyond 1e+300, or too close to zero", 6),
        ("d_h[2] / (3 - 3)", "'d_h[2] / (3 - 3)' divides by zero", 6),
        ("b + power(b, 999)", "'b ** 999': an exponent beyond 100", 10),
        ("power(power(b, 2), 2 ** 50)", "an exponent beyond 100", 6),
        ("six(six(six(six(six(six(b))))))", "longer than 20000 operations when functions are put in", 6),
        ("diag(repeat(b, 999)) @ b", "an array of 15968016 entries, where every size is 4: at most 65536", 6),
        ("sum(repeat(repeat(b, 4096), 4096)) * b", "an array of 67108864 entries", 10),
        ("(diag(repeat(b, 60)) @ diag(repeat(b, 60))) @ b", "an array of 13824000 entries", 7),
        ("sum(sum_t(outer(repeat(d_h, 99), repeat(via(d_h, t), 99)))) * b", "an array of 156816 entries", 16),
    ],
)
def test_what_a_spec_may_not_ask_for_no_claim_may(cubes, claim, words, column):
    text = f"spec: cubes.yaml\nclaims:\n  h: {claim}\n"
    claim = claims.read(text, "claims.yaml", cubes).claims[0]
    assert [mistake.place.column for mistake in claim.mistakes if words in mistake.message] == [column], claim.mistakes


def test_sums_over_the_steps_one_inside_the_other_are_each_computed_once():
    depth = 40  # 4 ** 40 evaluations, if each were computed at every step of the one around it
    found = judged("rnn", ("d_h", "sum_t(" * depth + "h" + ")" * depth))
    assert found[0].verdict == WRONG


def test_functions_of_ones_own_that_read_constants_are_put_into_each_other(cubes):
    text = ("spec: cubes.yaml\nclaims:\n"
            "  - h: six(W @ x + R @ h[t-1] + b) + power(b, 2)\n  - h: (cube(W @ x + R @ h[t-1] + b)) ** 2 + b * b\n")
    assert [each.verdict for each in audit(claims.read(text, "claims.yaml", cubes)).judgements] == [HOLDS, HOLDS]


RIGHT_C = "d_h * o * (1 - tanh(c) ** 2) + d_c[t+1] * f[t+1]"


@pytest.mark.parametrize(
    "claim", [f"{RIGHT_C} + 0 * log(c)", "1 / sin(0) * d_c", "exp(exp(exp(1000))) * d_c", "sin(exp(1e9)) * d_c"]
)
def test_what_is_not_finite_is_wrong(claim):
    found = judged("lstm", ("d_c", claim))[0]
    assert found.verdict == WRONG
    assert found.findings[0].sentence == "the right side is not a finite number everywhere"
    assert found.example.claimed is None


def test_a_term_that_is_no_number_is_named():
    found = judged("lstm", ("d_c", f"{RIGHT_C} + 0 * log(c)"))[0]
    assert [each.kind for each in found.findings] == ["other", "extra"]
    assert found.findings[1].term == "0 * log(c)"


def test_what_float64_cannot_hold_on_the_way_to_a_number_may_hold():
    assert judged("lstm", ("d_c", f"{RIGHT_C} + exp(-exp(exp(exp(9))))"))[0].verdict == HOLDS
    assert judged("lstm", ("d_c", f"log(exp(1000 * ({RIGHT_C}))) / 1000"))[0].verdict == HOLDS


# ---------------------------------------------------------------- what is right is not called wrong


def pasted(left: str, right: str, judge: Judge, names: tuple[tuple[str, str], ...]) -> claims.Claim:
    """What an audit printed, read as a claim."""
    mistakes = Mistakes("claims.yaml", "")
    resolver = Resolver(judge.scenes.graph, dict(names), judge.steps, mistakes)
    subject, said = (resolver.read(Text(text, Place(1, 1))) for text in (left, right))
    mistakes.stop()
    return claims.Claim(left, Place(1, 1), subject, right, said)


def check_what_is_printed(found: list[Judgement], judge: Judge, names: tuple[tuple[str, str], ...] = ()) -> int:
    """Paste back each correct line, and each term that is named as a contribution through a reader. How many there were.

    Where a value has several branches to one reader, or a term is a path over several of them, `via` is the sum of them: the
    term is then one of the terms of the correct line.
    """
    count = 0
    for judgement in found:
        if judgement.correct:
            again = judge.judge(pasted(*judgement.correct.split(" = ", 1), judge, names))
            assert again.verdict == HOLDS, (judgement.correct, again.lines())
            count += 1
        for finding in judgement.findings:
            reader = finding.through not in ("", OUTSIDE, LOSS) and judgement.claim.name.startswith("d_")
            if finding.kind in (MISSING, OFF) and finding.term and reader:
                again = judge.judge(pasted(f"via({judgement.claim.name}, {finding.through})", finding.term, judge, names))
                part = finding.term.removeprefix("-") in judgement.correct
                assert again.verdict == HOLDS or part, (finding, again.lines())
                count += 1
    return count


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_what_an_audit_of_the_gallery_prints_is_read_as_a_claim_and_holds(path):
    found = audited_file(path)
    judge = Judge(found.claims.graph, Spelling(found.claims.graph, found.claims.names), found.claims.steps)
    told = [each for each in found.judgements if each.correct]
    assert check_what_is_printed(told, judge, found.claims.names) >= len(told)


def test_every_correct_line_and_every_missing_term_is_read_as_a_claim_and_holds(spec_path):
    derivation = derive(build_graph(load(spec_path)))
    graph = derivation.graph
    judge = Judge(graph, Spelling(graph), 4, derivation)
    known = claims.known_names(graph)
    for name in (*known, *(f"{name}_pre" for name in known)):
        if name not in derivation.adjoints:
            continue
        case = Case(judge.scenes, judge.spelling, 4, Adjoint(name), number(2))
        claim = pasted(f"d_{name}", judge.spelling(correct(case)), judge, ())
        whole_line = Case(judge.scenes, judge.spelling, 4, Adjoint(name), claim.said)
        holds = whole_line.holds(whole_line.scene) or whole_line.holds_exactly()
        assert whole_line.mismatch() is None and holds, f"d_{name} = {claim.text}"
        terms = true_terms(case).terms
        if len(terms) > 1:
            lacking = judge.judge(pasted(f"d_{name}", judge.spelling(whole(terms[:-1])), judge, ()))
            assert lacking.verdict in (INCOMPLETE, GIVEN), lacking.lines()
            assert check_what_is_printed([lacking], judge)


def test_a_filled_scalar_is_spelled_as_a_scalar_beside_a_vector():
    found = judged("mlstm", ("d_w_i", "d_a * x"), ("d_w_i", "fill(d_a, D) * x"), ("d_w_i", "fill(d_a, D) * x"))
    assert [each.verdict for each in found] == [HOLDS, HOLDS, HOLDS]
    graph = build_graph(load("mlstm"))
    spelling = Spelling(graph)
    assert spelling(correct(Case(Scenes(graph), spelling, 4, Adjoint("w_i"), number(2)))) == "d_a * x"


def test_what_comes_through_an_equation_is_nothing_that_comes_through_the_loss():
    """The loss reads a, too, and its gradient is a number, in which no reader's gradient can be seen."""
    assert one("ng_lstm", "via(d_a, Gamma_f[t+1])", "slice(transpose(W_f) @ d_Gamma_f_pre[t+1], 0, H)").verdict == HOLDS
    right = "slice(transpose(W_f) @ d_Gamma_f_pre[t+1], 0, H)"
    assert one("ng_lstm", "via(d_a, Gamma_f[t+1])", f"{right} + a - target").verdict == WRONG


@pytest.mark.parametrize("right", [
    "d_h_pre @ R_h", "(d_h @ diag(1 - h ** 2)) @ R_h", "d_h @ diag(1 - h ** 2) @ R_h", "transpose(R_h) @ d_h_pre",
])
def test_a_row_times_a_matrix_is_a_row(right):
    assert one("rnn", "via(d_h[t-1], h)", right).verdict == HOLDS


def test_shapes_that_do_not_meet_are_told_in_the_names_of_the_claim():
    found = one("rnn", "d_h", "dy + diag(h) @ W_h @ d_h")
    assert "diag(h) @ W_h is (H, D)" in found.findings[0].sentence and "#" not in found.findings[0].sentence
    found = one("rnn", "d_h_pre", "W_h * d_h")
    assert "; a matrix times a vector is written A @ v" in found.findings[0].sentence


def test_a_power_of_a_matrix_is_told_to_be_that_of_its_entries():
    found = judged("rnn", ("d_h[2]", "dy[2] + transpose(R_h) ** 2 @ d_h[4]"), ("d_h[2]", "dy[2] + R_h @ d_h[4]"))
    said = "** is the power of each entry: transpose(R_h) times itself is written transpose(R_h) @ transpose(R_h)"
    assert found[0].findings[0].sentence == said and all("**" not in each.sentence for each in found[1].findings[:1])


@pytest.mark.parametrize("left, right, verdict", [
    ("total(h[t+2], h)", "total(h[t+2], h[t+1]) @ total(h[t+1], h)", HOLDS),
    ("total(h[t+3], h)", "total(h[t+3], h[t+2]) @ total(h[t+2], h[t+1]) @ total(h[t+1], h)", HOLDS),
    ("total(h[t+2], h)", "diag(1 - h[t+2] ** 2) @ R_h @ diag(1 - h[t+1] ** 2) @ R_h", HOLDS),
    ("total(h[t+2], h)", "diag(1 - h[t+2] ** 2) @ R_h", WRONG),
    ("total(h[2], h[0])", "total(h[2], h[1]) @ total(h[1], h[0])", HOLDS),
    ("total(h, b_h)", "diag(1 - h ** 2) + diag(1 - h ** 2) @ R_h @ total(h[t-1], b_h)", HOLDS),
    ("total(h, b_h)", "diag(1 - h ** 2)", GIVEN),
    ("partial(h, b_h)", "1 - h ** 2", HOLDS),
])
def test_total_derivatives_go_along_all_paths(left, right, verdict):
    assert one("rnn", left, right).verdict == verdict


def test_a_total_derivative_by_a_learned_initial_state_is_that_of_step_0(tmp_path):
    (tmp_path / "cell.yaml").write_text(
        "name: cell\nstate: {h: H}\nparameters: {W: [H, D], R: [H, H], h_0: H}\n"
        "equations: {h: \"tanh(W @ x + R @ h[t-1])\"}\noutput: h\ninitial: {h: h_0}\n")
    text = ("spec: cell.yaml\nclaims:\n  - total(h[2], h_0): total(h[2], h[0])\n  - total(h, h_0): "
            "diag(1 - h ** 2) @ R @ total(h[t-1], h_0)\n  - partial(h, h_0): 0\n  - total(h[2], h_0): total(h[2], h[1])\n")
    found = audit(claims.read(text, "claims.yaml", tmp_path)).judgements
    assert [each.verdict for each in found] == [HOLDS, HOLDS, HOLDS, WRONG]


def test_what_the_language_cannot_say_is_not_read_and_not_wrong(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text('spec: rnn\nclaims:\n  - "partial(h, R_h)": h[t-1]\n  - d_h_pre: d_h * (1 - h ** 2)\n')
    result = run(str(path))
    assert "partial(h, R_h): not read" in result.output and result.exit_code == 2
    assert "has 3 axes, and a claim is a vector or a matrix; claim d_R_h" in " ".join(result.output.split())
    assert result.output.startswith("2 claims: 1 not read, 1 holds\n")
    path.write_text(path.read_text() + "  - d_h_pre: d_h\n")
    result = run(str(path))
    assert result.exit_code == 1 and result.output.startswith("3 claims: 1 wrong, 1 not read, 1 holds\n\nd_h_pre: wrong\n")


@pytest.mark.parametrize("left, right, verdict", [
    ("via(d_h[t-1], t)", "transpose(R_h) @ d_h_pre", HOLDS), ("via(d_h[t-1], t-1)", "dy[t-1]", HOLDS),
    ("via(d_h, t+1)", "transpose(R_h) @ d_h_pre[t+1]", HOLDS), ("d_h[t-1]", "dy[t-1] + via(d_h[t-1], t)", HOLDS),
    ("via(d_h[2], 3)", "transpose(R_h) @ d_h_pre[3]", HOLDS), ("via(d_h[2], t+1)", "transpose(R_h) @ d_h_pre[3]", HOLDS),
    ("via(d_h[2], 2)", "dy[2]", HOLDS), ("via(d_h[t-1], t)", "dy[t-1]", WRONG),
])
def test_the_step_of_via_is_counted_from_t(left, right, verdict):
    found = one("rnn", left, right)
    assert found.verdict == verdict
    if found.correct:
        assert one("rnn", *found.correct.split(" = ")).verdict == HOLDS


@pytest.mark.parametrize("claim, words", [
    ("via(d_h, t+2)", "a value is read in its own step and in the next one"),
    ("via(d_h[t+1], t)", "a value is read in its own step and in the next one"),
    ("via(d_h, 3)", "the step is a number, and that of d_NAME is not"),
])
def test_a_step_that_via_cannot_mean_is_refused(claim, words):
    found = one("rnn", "d_h", claim)
    assert found.verdict == NOT_READ and words in found.findings[0].sentence


DERIVATIVES = (
    ("lstm", "total(c[t+1], c)"), ("lstm", "total(h, c)"), ("lstm", "total(h[3], c[2])"), ("lstm", "partial(f, h[t-1])"),
    ("rnn", "total(h[t+2], h)"), ("rnn", "total(h[t-1], h[t-2])"), ("rnn", "total(h, b_h)"), ("rnn", "partial(h, b_h)"),
    ("peephole_lstm", "total(c, c[t-1])"), ("peephole_lstm", "partial(f, p_f)"), ("gru", "total(h, h[t-1])"),
    ("mlstm", "partial(h, n)"), ("indrnn", "total(h, h[t-1])"), ("rnn", "partial(h, x)"), ("lstm", "partial(h, c)"),
)


@pytest.mark.parametrize("spec, left", DERIVATIVES)
def test_the_correct_line_of_a_derivative_holds(spec, left):
    found = one(spec, left, "7 * sin(3)")
    assert found.verdict == WRONG
    if found.correct:
        assert one(spec, left, found.correct.removeprefix(f"{left} = ")).verdict == HOLDS, found.correct
    else:
        assert (spec, left) in (("mlstm", "partial(h, n)"), ("indrnn", "total(h, h[t-1])"))  # with a unit matrix, for which
        # there is no word
