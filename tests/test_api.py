"""What Python has of the commands: the same texts, records that show in a notebook, and a `repr` of one line."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

import lstmgen
from lstmgen.auditing.claims import load as load_claims
from lstmgen.auditing.golden import archive, golden_cases
from lstmgen.cli import main
from lstmgen.numerics.worked import work_out
from lstmgen.printed import WIDTH, unstyled
from lstmgen.resources import find_audit
from lstmgen.schedule.make import make_schedule

WRONG = "spec: rnn\nclaims:\n  d_h: dy\n  d_b_h: d_h_pre\n"


def command(*arguments: str) -> str:
    return CliRunner().invoke(main, arguments, env={"COLUMNS": str(WIDTH)}).output


def records() -> dict[str, tuple[object, str]]:
    """What each function returns, beside what its command prints."""
    return {
        "show": (lstmgen.show("lstm"), command("show", "lstm")),
        "explain": (lstmgen.explain("lstm", "c"), command("explain", "lstm", "c")),
        "diff": (lstmgen.diff("lstm", "gru"), command("diff", "lstm", "gru")),
        "flow": (lstmgen.flow("lstm"), command("flow", "lstm")),
        "audit": (lstmgen.audit("notes_hats"), command("audit", "notes_hats")),
        "cells": (lstmgen.cells(), command("list")),
        "functions": (lstmgen.functions(), command("functions")),
        "verify": (lstmgen.verify("rnn"), command("verify", "rnn")),
    }


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[object, str]]:
    return records()


@pytest.mark.parametrize("name", ["show", "explain", "diff", "flow", "audit", "cells", "functions", "verify"])
def test_a_record_prints_what_the_command_prints(found, name):
    record, printed = found[name]
    assert str(record) == printed.rstrip("\n")


@pytest.mark.parametrize("name", ["diff", "flow", "audit", "cells", "functions", "verify"])
def test_a_record_shows_in_a_notebook_as_the_same_text(found, name):
    record, printed = found[name]
    block, _, rest = record._repr_html_().partition("</pre>")
    assert unescape(re.sub(r"<[^>]*>", "", block)) == printed.rstrip("\n")
    assert rest == "" or name == "flow" and rest.startswith("<img ") and "data:image/svg+xml;base64," in rest


@pytest.mark.parametrize("name", ["show", "explain"])
def test_formulas_show_in_a_notebook_with_forks_in_colours(found, name):
    html = found[name][0]._repr_html_()
    ElementTree.fromstring(html.replace("<br>", "<br/>"))
    assert r"\textcolor{#" in html and r"\bm" not in html and r"\fork" not in html and "\x02" not in html
    assert html.count("$") % 2 == 0


def test_an_explanation_in_a_notebook_has_every_contribution_and_its_reason(found):
    html = found["explain"][0]._repr_html_()
    assert html.count("<tr>") == 2 and "sends back" in html and "constant: " in html and "comes back in term" in html


@pytest.mark.parametrize("cell", ["mlstm", "gru", "ng_lstm_last", "lmu"])
def test_every_gradient_of_a_cell_shows_in_a_notebook(cell):
    derivation = lstmgen.derive(lstmgen.load(cell))
    for name in derivation.adjoints:
        html = lstmgen.explain(derivation, name)._repr_html_()
        ElementTree.fromstring(html.replace("<br>", "<br/>"))
        assert "\x02" not in html and r"\fork" not in html


@pytest.mark.parametrize("name", ["show", "explain"])
def test_what_is_a_formula_shows_as_one(found, name):
    latex = found[name][0]._repr_latex_()
    assert latex.startswith("$") and latex.endswith("$") and "delta" in latex


def test_a_build_prints_its_proofs_and_its_files(tmp_path):
    built = lstmgen.build("rnn", tmp_path)
    printed = command("build", "rnn", "-o", str(tmp_path))
    assert str(built) == printed.rstrip("\n")
    assert repr(built) == "<Built rnn: verified, rnn.py, rnn.tex>"
    assert repr(lstmgen.build("rnn", tmp_path, verify=False)) == "<Built rnn: not verified, rnn.py, rnn.tex>"


def test_a_cell_is_a_path_a_name_a_text_or_what_was_loaded_or_derived(tmp_path):
    text = Path(lstmgen.cells()["rnn"].graph.spec.path).read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text)
    cell = lstmgen.load("rnn")
    for given in ("rnn", text, tmp_path / "mine.yaml", str(tmp_path / "mine.yaml"), cell, lstmgen.derive(cell)):
        said = " ".join(str(lstmgen.explain(given, "h")).split())
        text, _, rest = said.partition(" For any other gradient: lstmgen explain ")
        assert text == " ".join(command("explain", "rnn", "h").split()).partition(" For any other gradient")[0]
        assert rest.split()[0] in ("rnn", "rnn.yaml", f"{tmp_path / 'mine.yaml'}")
        assert [fading.name for fading in lstmgen.flow(given).fadings] == ["rnn"]


def test_claims_are_a_path_a_name_or_a_text(tmp_path):
    (tmp_path / "mine.yaml").write_text(WRONG)
    for given in (WRONG, tmp_path / "mine.yaml", str(tmp_path / "mine.yaml")):
        audited = lstmgen.audit(given)
        assert [each.verdict for each in audited.judgements] == ["incomplete", "holds"] and not audited.holds
    with pytest.raises(FileNotFoundError, match="no packaged file of claims of that name"):
        lstmgen.audit("notes_of_nobody")


LATEX = r"""
\begin{align} % of my notes
\delta o_t &= \delta h_t \odot \tanh(c_t) \\
\delta f_t &= \delta \Omega_t \odot c_t
\end{align}
"""


def test_a_text_of_latex_or_markdown_is_a_path_or_a_text(tmp_path):
    (tmp_path / "notes.tex").write_text(LATEX)
    (tmp_path / "names.yaml").write_text("'\\Omega': c\n")
    for given in (LATEX, tmp_path / "notes.tex", str(tmp_path / "notes.tex")):
        for names in ({r"\Omega": "c"}, tmp_path / "names.yaml", None):
            audited = lstmgen.audit(given, spec="lstm", names=names)
            assert [each.verdict for each in audited.judgements] == ["holds", "wrong" if names else "not read"]
            assert audited.holds == (names is None) and audited.judgements[1].claim.where == "line 4"
    assert repr(audited) == "<TextAudit of notes.tex: 2 equations, 0 wrong>"
    assert str(audited).rstrip() == command("audit", str(tmp_path / "notes.tex"), "--spec", "lstm").rstrip()
    assert audited.as_json()["read"] == list(audited.told)
    assert '"d_o": {is: "d_h * tanh(c)"' in audited.as_claims()
    said = "% spec: lstm\n% names: {'\\Omega': c}\n" + LATEX
    assert [each.verdict for each in lstmgen.audit(said).judgements] == ["holds", "wrong"]
    audited = lstmgen.audit(LATEX, spec=lstmgen.derive(lstmgen.load("lstm")), inline=True, notation="colah")
    assert audited.audit.claims.graph.spec.name == "lstm" and "spec: lstm\n" in audited.as_claims()
    with pytest.raises(lstmgen.SpecError, match="the spec has no 'q'"):
        lstmgen.audit(LATEX, spec="lstm", names={r"\Omega": "q"})


CODE = """
import numpy as np
def forward(params, xs, h_prev):
    hs, caches = [], []
    for x in xs:
        h = np.tanh(params["Wx"] @ x + params["Wh"] @ h_prev + params["b"])
        caches.append((x, h_prev, h))
        hs.append(h)
        h_prev = h
    return hs, caches
def backward(params, caches, dhs):
    grads = {"d" + name: np.zeros_like(array) for name, array in params.items()}
    dh_next = 0
    for t in reversed(range(len(caches))):
        x, h_prev, h = caches[t]
        da = (dhs[t] + dh_next) * (1 - h ** 2)
        grads["dWx"] += da @ x.T
        grads["dWh"] += da @ h_prev.T
        grads["db"] += da
        dh_next = params["Wh"].T @ da
    return grads
"""


def test_code_as_it_stands_is_audited_and_answers_to_golden_cases(tmp_path):
    (tmp_path / "theirs.py").write_text(CODE)
    audited = lstmgen.audit("rnn", code=tmp_path / "theirs.py")
    assert audited.holds and audited.guessed
    (tmp_path / "layout.yaml").write_text("spec: rnn\n" + audited.layout)
    for layout in (audited.layout, tmp_path / "layout.yaml"):
        again = lstmgen.audit(lstmgen.load("rnn"), code=str(tmp_path / "theirs.py"), layout=layout)
        assert again.holds and not again.guessed
    assert repr(again) == "<HandedIn: <CodeAudit: 3 gradients, of which 0 differ>>"
    graph = lstmgen.derive(lstmgen.load("rnn")).graph
    (tmp_path / "cases.npz").write_bytes(archive(golden_cases(graph)))
    assert lstmgen.audit("rnn", arrays=tmp_path / "cases.npz").holds


def test_code_and_numbers_are_audited_too(tmp_path):
    (tmp_path / "theirs.py").write_text("def backward(params, x, state, dy, dstate):\n    return {'x': 0 * x}\n")
    audited = lstmgen.audit("rnn", module=f"{tmp_path / 'theirs.py'}:backward")
    assert not audited.holds and repr(audited) == "<CodeAudit: 1 gradient, of which 1 differ>"
    assert "d_x: differs" in str(audited) and "d_x: differs" in audited._repr_html_()
    np.savez(tmp_path / "theirs.npz", x=np.zeros(3))
    with pytest.raises(lstmgen.ForeignError, match="has no 'W_h'"):
        lstmgen.audit(lstmgen.load("rnn"), arrays=tmp_path / "theirs.npz")


def test_what_cannot_be_asked_is_an_error_that_says_what_can(tmp_path):
    with pytest.raises(LookupError, match="did you mean 'd_h'"):
        lstmgen.explain("lstm", "dh")
    with pytest.raises(TypeError, match="needs a cell"):
        lstmgen.flow()
    with pytest.raises(TypeError, match="one of code=, module= and arrays="):
        lstmgen.audit("rnn", module="theirs.py:f", arrays="theirs.npz")
    with pytest.raises(TypeError, match="needs code=, module= or arrays="):
        lstmgen.audit(lstmgen.load("rnn"))
    with pytest.raises(TypeError, match="belong to code="):
        lstmgen.audit("rnn", layout="layout.yaml")
    with pytest.raises(TypeError, match="are for a text"):
        lstmgen.audit("rnn", code="theirs.py", spec="rnn")
    with pytest.raises(ValueError, match="no format: gif"):
        lstmgen.flow("rnn").write(tmp_path / "figure.gif")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        lstmgen.nothing  # noqa: B018


def test_a_figure_is_written_unless_something_else_is_there(tmp_path):
    flow = lstmgen.flow("rnn")
    flow.write(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().startswith("<svg")
    (tmp_path / "other.svg").write_text("mine")
    with pytest.raises(lstmgen.OutputError):
        flow.write(tmp_path / "other.svg")
    flow.write(tmp_path / "other.svg", force=True)
    assert (tmp_path / "other.svg").read_text() == (tmp_path / "figure.svg").read_text()


def test_cells_are_found_by_their_names():
    cells = lstmgen.cells()
    assert len(cells) == len(list(cells)) > 80 and "lstm" in cells and "nothing" not in cells
    assert str(cells["lstm"]) == "lstm: LSTM" and repr(cells["lstm"]) == "<Entry lstm: LSTM>"
    with pytest.raises(KeyError):
        cells["nothing"]


def test_without_symbols_a_text_is_ascii(found):
    for name in ("show", "explain", "diff", "flow", "cells", "functions"):
        record = found[name][0]
        plain = unstyled(record.text(unicode=False, width=60))
        assert plain.isascii() and len(plain.splitlines()) >= len(str(record).splitlines())


def test_every_public_name_is_there_and_told(found):
    told = Path(__file__).parent.parent / "docs" / "python.md"
    for name in lstmgen.__all__:
        assert getattr(lstmgen, name)
        assert name == "__version__" or f"lstmgen.{name}" in told.read_text() or f"`{name}(" in told.read_text(), name


def reached(record: object, seen: dict[int, object]) -> None:
    """The record and everything that it is made of."""
    if id(record) in seen:
        return
    seen[id(record)] = record
    parts = (
        record.values() if isinstance(record, dict) else record if isinstance(record, (tuple, list, frozenset))
        else [getattr(record, each.name) for each in fields(record)] if is_dataclass(record) else ()
    )
    for part in parts:
        reached(part, seen)


@pytest.mark.parametrize("cell", ["peephole_lstm", "nas_lstm", "mc_lstm"])
def test_no_repr_of_anything_that_is_reached_from_a_record_is_longer_than_a_few_lines(found, cell):
    derivation = lstmgen.derive(lstmgen.load(cell))
    seen: dict[int, object] = {}
    for record in (
        *(record for record, _ in found.values()), derivation, lstmgen.diff(derivation, "lstm"), make_schedule(derivation),
        work_out(derivation), load_claims(find_audit("notes_hats")),
    ):
        assert len(repr(record)) < 130 and "\n" not in repr(record)
        reached(record, seen)
    several = {type(record): record for record in seen.values() if is_dataclass(record)}
    assert len(several) > 30
    for record in seen.values():
        if is_dataclass(record):
            assert len(repr(record)) < 300, type(record)
