"""The graph of one step as a file."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as tree

import pytest
from click.testing import CliRunner

import lstmgen
from lstmgen.cli.commands import main
from lstmgen.document.figures import draw_graph

SVG = "{http://www.w3.org/2000/svg}"
with_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: `make tex` installs it")


@pytest.mark.parametrize("cell", ["peephole_lstm", "gru", "slstm", "mlstm", "layer_norm_lstm", "stacked_lstm"])
def test_an_svg_has_every_box_and_stays_on_its_page(cell):
    derivation = lstmgen.derive(lstmgen.load(cell))
    root = tree.fromstring(draw_graph(derivation, "svg"))
    width, height = (float(root.get(name)) for name in ("width", "height"))
    texts = root.findall(f"{SVG}text")
    assert len(texts) >= len([stage for stage in derivation.graph.stages if stage.name not in derivation.graph.static])
    for text in texts:
        assert 0 <= float(text.get("x")) <= width and 0 <= float(text.get("y")) <= height
        assert "".join(text.itertext()).strip()
    for line in root.findall(f"{SVG}polyline"):
        for x, y in (map(float, point.split(",")) for point in line.get("points").split()):
            assert 0 <= x <= width and 0 <= y <= height


def test_an_svg_is_in_the_notation_that_is_asked_for():
    texts = {name: draw_graph(lstmgen.derive(lstmgen.load("lstm")), "svg", name) for name in ("greff", "ng", "graves")}
    assert len(set(texts.values())) == 3 and "Γ" in texts["ng"].decode()


def test_text_of_a_spec_stays_text_in_an_svg():
    spec = 'name: a\ntitle: "<script>alert(1)</script>"\nstate: {h: H}\nparameters: {W: [H, D], R: [H, H]}\n' \
           "equations:\n  h: tanh(W @ x + R @ h[t-1])\noutput: h\n"
    root = tree.fromstring(draw_graph(lstmgen.derive(lstmgen.load(spec)), "svg"))
    assert root.find(f"{SVG}title").text.startswith("<script>") and not root.findall(f".//{SVG}script")


@with_tex
@pytest.mark.parametrize("form", ["svg", "pdf", "png"])
def test_the_command_draws_and_overwrites_its_own_files_alone(form, tmp_path):
    if form == "png" and not (shutil.which("pdftoppm") or shutil.which("gs")):
        pytest.skip("no pdftoppm and no Ghostscript")
    file = tmp_path / f"rnn.{form}"
    for _ in range(2):
        assert CliRunner().invoke(main, ["draw", "rnn", "-o", str(file)]).exit_code == 0
    content = file.read_bytes()
    file.write_bytes(content[:200] + b" " + content[200:])
    found = CliRunner().invoke(main, ["draw", "rnn", "-o", str(file)])
    assert found.exit_code != 0 and "--force" in found.output
    assert CliRunner().invoke(main, ["draw", "rnn", "-o", str(file), "--force"]).exit_code == 0


def test_another_ending_is_refused(tmp_path):
    found = CliRunner().invoke(main, ["draw", "rnn", "-o", str(tmp_path / "rnn.gif")])
    assert found.exit_code == 2 and "the ending chooses the format" in found.output


def test_a_notebook_shows_it():
    assert lstmgen.draw("rnn")._repr_svg_().startswith("<svg")
