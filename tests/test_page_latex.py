"""Lines of LaTeX in the page: read as `lstmgen audit` reads them, or not at all, and then the place is told."""

# ruff: noqa: E501  a formula is a line

from __future__ import annotations

import pytest

from browser import browser as open_browser
from lstmgen.document.page.compose import render_page
from lstmgen.document.page.expressions import as_json
from lstmgen.language.expressions import Adjoint, Call
from lstmgen.latexin.audit import read_text
from test_latexin import SPECS
from test_page import schedule_of


@pytest.fixture(scope="module")
def window():
    with open_browser() as found:
        yield found


@pytest.fixture
def opened(window, tmp_path):
    def open_page(cell, notation=None):
        page = tmp_path / "page.html"
        page.write_text(render_page(schedule_of(SPECS / f"{cell}.yaml"), notation, None), encoding="utf-8")
        window.messages()
        window.open(page)
        return window

    yield open_page
    assert not window.messages()


# The cell, the notation of the page, and equations that both read.
LINES = [
    ("lstm", "spec", r"\delta c_t = \delta h_t \odot o_t \odot (1 - \tanh^2(c_t)) + \delta c_{t+1} \odot f_{t+1}"),
    ("lstm", "spec", r"\delta c^t = \delta h^t \circ o^t \circ (1 - \tanh(c^t)^2) + \delta c^{t+1} \circ f^{t+1}"),
    ("lstm", "spec", r"\delta_{c,t} = \delta_{h,t} * o_t * \tanh'(c_t) + \delta_{c,t+1} * f_{t+1}"),
    ("lstm", "spec", r"\delta^c_t = \delta^h_t o_t (1 - \tanh^{2} c_t) + \delta^c_{t+1} f_{t+1}"),
    ("lstm", "spec", r"\delta_{c_t} = \delta_{h_t} \cdot o_t \cdot (1 - \tanh(c_t) \odot \tanh(c_t)) + f_{t+1}\, \delta_{c_{t+1}}"),
    ("lstm", "spec", r"\frac{\partial E}{\partial c_t} = \frac{\partial E}{\partial h_t} \odot o_t \odot [1 - \tanh^2 (c_t)] + \frac{\partial E}{\partial c_{t+1}} \odot f_{t+1}"),
    ("lstm", "spec", r"\frac{dL}{dc_t} = \frac{dL}{dh_t} \times o_t \times (1-\tanh^2(c_t)) + \frac{dL}{dc_{t+1}} \times f_{t+1}"),
    ("lstm", "spec", r"\partial E/\partial c_t = \partial E/\partial h_t \odot o_t \odot (1-\tanh^2(c_t)) + \partial E/\partial c_{t+1} f_{t+1}"),
    ("lstm", "spec", r"dc_t = dh_t o_t (1-\tanh^2(c_t)) + dc_{t+1} f_{t+1}"),
    ("lstm", "spec", r"\mathrm{d}\mathbf{c}_t = \mathrm{d}\mathbf{h}_t \odot \mathbf{o}_t \odot \left(\mathbf 1 - \tanh^2(\mathbf{c}_t)\right) + \mathrm{d}\mathbf{c}_{t+1} \odot \mathbf{f}_{t+1}"),
    ("lstm", "spec", r"\nabla_{c_t} \mathcal L = \nabla_{h_t} \mathcal L \odot o_t \odot (1-\tanh^2(c_t)) + \nabla_{c_{t+1}}\mathcal L \odot f_{t+1}"),
    ("lstm", "spec", r"\delta c(t) = \delta h(t) \odot o(t) \odot (1-\tanh^2(c(t))) + \delta c(t+1) \odot f(t+1)"),
    ("lstm", "spec", r"\delta c^{(t)} = \delta h^{(t)} \odot o^{(t)} \odot (1-\tanh^2(c^{(t)})) + \delta c^{(t+1)} \odot f^{(t+1)}"),
    ("lstm", "spec", r"\delta c^{<t>} = \delta h^{<t>} o^{<t>} (1-\tanh^2(c^{<t>})) + \delta c^{<t+1>} f^{<t+1>}"),
    ("lstm", "spec", r"\boldsymbol{\delta}{\bf c}_t = \bm\delta\bm h_t \odot \bm o_t \odot (1-\tanh^2(\bm c_t)) + \bm\delta\bm c_{t+1} \odot \bm f_{t+1}"),
    ("lstm", "spec", "δc_t = δh_t ⊙ o_t ⊙ (1 − tanh²(c_t)) + δc_{t+1} ⊙ f_{t+1}"),
    ("lstm", "spec", r"\delta c_t = \delta h_t \odot o_t \odot \operatorname{sech}^2(c_t) + \delta c_{t+1} \odot f_{t+1}"),
    ("lstm", "spec", r"\delta c_t = \underbrace{\delta h_t \odot o_t \odot (1 - \tanh^2(c_t))}_{\text{through }h_t}"),
    ("lstm", "spec", r"\delta h_t = \Delta h_t + R_z^\top \delta \bar z_{t+1} + R_i^T \delta\bar i_{t+1} + R_f^{\mathsf T} \delta\bar f_{t+1} + R_o^\top \delta\bar o_{t+1}"),
    ("lstm", "spec", r"\delta x_t = W_z^T \delta\bar z_t + W_i^\intercal \delta\bar i_t + (\delta\bar f_t^T W_f)^T + W_o^{\mathrm T} \delta\bar o_t"),
    ("lstm", "spec", r"\delta W_f = \sum_{t=1}^T \delta\bar f_t \otimes x_t"),
    ("lstm", "spec", r"\delta W_f = \sum_t \delta\bar f_t x_t^\top"),
    ("lstm", "spec", r"\delta W_f = \sum_t (x_t\, \delta\bar f_t^\top)^\top"),
    ("lstm", "spec", r"\delta R_f = \sum_{t=1}^{T} \delta\bar f_t h_{t-1}^T"),
    ("lstm", "spec", r"\delta b_f = \sum_t \delta\bar{f}_t"),
    ("lstm", "spec", r"\delta \bar f_t = \delta f_t \odot \sigma'(\bar f_t)"),
    ("lstm", "spec", r"\delta \bar f_t = \frac{1}{2} \delta f_t \cdot 2 \cdot f_t (1 - f_t)"),
    ("lstm", "spec", r"\delta o_t = \frac12 \delta h_t \odot \tanh(c_t) \cdot 2"),
    ("lstm", "spec", r"\delta \bar z_t = \delta c_t i_t \frac{1}{\sqrt{4}} (1 - z_t^2) / 3"),
    ("lstm", "greff", r"\delta \mathbf y^t = \Delta^t + R_z^T \delta\bar{\mathbf z}^{t+1}"),
    ("lstm", "greff", r"\delta o_t = \delta y_t \odot \tanh(c_t)"),
    ("lstm", "hats", r"\delta a^t = \delta c^t \odot i^t"),
    ("lstm", "hats", r"\delta \hat a^t = \delta c^t \odot i^t \odot (1 - \tanh^2(\hat a^t))"),
    ("lstm", "hats", r"\delta h^t = \Delta h^t + U_a^T \delta \hat a^{t+1} + U_f^T \delta \hat f^{t+1}"),
    ("lstm", "ng", r"\delta \Gamma_f^{\langle t\rangle} = \delta c^{\langle t\rangle} \odot c^{\langle t-1\rangle}"),
    ("lstm", "ng", r"d\Gamma_u^{<t>} = dc^{<t>} * \tilde{c}^{<t>}"),
    ("lstm", "colah", r"\delta C_t = \delta C_{t+1} * f_{t+1}"),
    ("lstm", "graves", r"\delta x_t = W_{xf}^T \delta\bar f_t + W_{xi}^T \delta \bar i_t"),
    ("lstm", "spec", r"\delta h_t = U_f^T \delta \bar f_{t+1}"),
    ("rnn", "spec", r"\delta \bar h_t = (1 - h_t^2) \odot \delta h_t"),
    ("gru", "spec", r"\frac{\partial \ell}{\partial n_t} = \frac{\partial \ell}{\partial h_t} \odot (1 - z_t)"),
    ("gru", "spec", r"\delta z_t = \delta h_t \odot h_{t-1} - \delta h_t \odot n_t"),
    ("peephole_lstm", "spec", r"\delta c_t = p_o \odot \delta \bar o_t + p_i \odot \delta\bar i_{t+1} + p_f \odot \delta\bar f_{t+1}"),
    ("peephole_lstm", "spec", r"\delta p_i = \sum_t c_{t-1} \odot \delta \bar i_t"),
    ("mlstm", "spec", r"\delta C_t = \delta C_{t+1} \odot f_{t+1}"),
]

READ = """
const [notation, line, asked, theirs] = arguments;
setNotation(notation);
pointsOfJudge ??= judgedPoints();
const ours = new LatexReader(line, asked).read();
return Math.max(...pointsOfJudge.map(run => {
  const at = run.at(2), shape = run.shape(asked), as = e => add(evaluate(e, at), filled(0, shape));
  return distance(as(ours), as(theirs));
}));
"""


def theirs(tmp_path, cell, notation, latex):
    """What the audit reads: which gradient is claimed to be what. A sum over all steps is read as its part of one."""
    path = tmp_path / "line.md"
    path.write_text(f"$${latex}$$\n", encoding="utf-8")
    read = read_text(path, SPECS / f"{cell}.yaml", None if notation == "spec" else notation)
    (equation,) = read.reading.equations
    assert equation.fault is None, equation.fault
    way = equation.best()
    assert isinstance(way.subject, Adjoint) and not way.subject.lag
    said = way.said.arguments[0] if isinstance(way.said, Call) and way.said.function == "sum_t" else way.said
    return way.subject.name, as_json(said)


@pytest.mark.parametrize("cell, notation, latex", LINES)
def test_a_line_means_what_the_audit_reads(cell, notation, latex, opened, tmp_path):
    name, said = theirs(tmp_path, cell, notation, latex)
    assert opened(cell).run(READ, notation, latex, name, said) < 1e-12


# What the audit reads with forms that the language of the page has not: the cell, the value, the line, and the same in that language.
FORMS = [
    ("lstm", "c", r"\operatorname{diag}(f_{t+1}) \delta c_{t+1}", "d_c[t+1] * f[t+1]"),
    ("lstm", "f", r"\frac{\partial E}{\partial c_t} \frac{\partial c_t}{\partial f_t}", "d_c * c[t-1]"),
    ("lstm", "c", r"\delta c_{t+1} \frac{\partial c_{t+1}}{\partial c_t}", "d_c[t+1] * f[t+1]"),
    ("lstm", "c", r"+= \delta h_t (-o_t) / 2", "-d_h * o / 2"),
    ("rnn", "h", r"\nabla_{h^{(t)}} L = R_h^\top \operatorname{diag}\left(1 - (h^{(t+1)})^2\right) (\nabla_{h^{(t+1)}} L)",
     "transpose(R_h) @ ((1 - h[t+1]**2) * d_h[t+1])"),
    ("stacked_lstm", "z", r"[\delta c_t; \delta h_{t-1}]", "concat(d_c, d_h[t-1])"),
]


@pytest.mark.parametrize("cell, name, latex, claim", FORMS)
def test_forms_of_derivatives(cell, name, latex, claim, opened):
    same = "const [line, asked, claim] = arguments; return same(...[new LatexReader(line, asked).read(), new Reader(claim).read()]"
    assert opened(cell).run(same + ".map(e => ({e, shape: []})));", latex, name, claim)


# What is not read, of the gradient at c of an LSTM: at which character, and why.
UNREAD = [
    (r"\delta h_t \odot q_t", 17, "“q” is no value of this cell"),
    (r"\delta c_{t,i}", 7, "“c_i” is no value"),
    (r"W^{-1} h_t", 3, "an inverse is not read"),
    (r"\delta h_t \odot (o_t", 17, "never closed"),
    (r"\delta h_t o_t )", 15, "closes nothing"),
    (r"\delta c^{} ", 8, "nothing stands behind"),
    (r"\delta_t o_t", 0, "does not say of which value"),
    (r"\foo{o_t}", 0, r"\foo is not known"),
    (r"o_t + \input{x}", 6, r"\input is not known"),
    (r"\delta h_{next}", 10, "two steps"),
    (r"c^{<3>}", 3, "a step by its number"),
    (r"\delta h_t \odot g(o_t)", 17, "may be a function"),
    (r"\delta c_{t+1} f(c_t)", 15, "may be a function"),
    (r"\phi'(c_t)", 0, "may be a function"),
    (r"\delta h_t \odot W_f", 17, "do not go together: a vector of H and an array of H × D"),
    (r"\delta h_t \odot x_t", 17, "a vector of H and a vector of D"),
    (r"R_f^T \cdot \delta f_t \odot o_t", 0, "can be read in two ways"),
    (r"a_t", 0, "“a” is h or z"),
    (r"\sum_t o_t", 0, "a sum is read over all t"),
    (r"\delta h_t = o_t", 0, "on the left stands another value"),
    (r"\frac{\partial E_t}{\partial h_t}", 15, "the loss of one step"),
    (r"\frac{\partial h_t}{\partial x_{t}}", 0, "has to be written out"),
    (r"\delta h_t \odot", 11, "a factor is missing"),
    (r"\tanh", 0, "no argument"),
    (r"\delta c_t = ", 13, "write a formula"),
    ("c_" + "{" * 60, None, "nested too deep"),
    ("x_t" * 900, None, "the line is too long"),
]


def test_what_is_not_read_is_said_with_its_place(opened):
    window = opened("lstm")
    for latex, at, reason in UNREAD:
        window.run("byId('which').value = 'c'; byId('line').value = arguments[0]; showReading();", latex)
        told = window.run("return byId('reading').textContent")
        assert told.startswith("Not read at character ") and reason in told, (latex, told)
        assert at is None or told.startswith(f"Not read at character {at + 1}, "), (latex, told)
        window.run("byId('ask').requestSubmit()")
        assert window.run("return byId('verdict').className") == "unread", latex


@pytest.mark.parametrize("verdict, latex", [
    ("right", r"\delta h_t \odot o_t \odot (1 - \tanh^2(c_t)) + \delta c_{t+1} \odot f_{t+1}"),
    ("incomplete", r"\delta c_t = \delta h_t \odot o_t \odot \tanh'(c_t)"),
    ("wrong", r"\delta c_t = \delta h_t \odot o_t \odot (1 - \tanh(c_t)) + \delta c_{t+1} \odot f_{t+1}"),
    ("wrong", r"\delta h_t \odot o_t \odot (1 - \tanh^2(c_t)) + \delta c_{t+1} \odot f_t"),
])
def test_a_line_of_latex_is_judged(verdict, latex, opened):
    window = opened("lstm")
    window.run("byId('which').value = 'c'; byId('line').value = arguments[0]; byId('ask').requestSubmit();", latex)
    assert window.run("return byId('verdict').className") == verdict


def test_what_is_no_latex_is_a_claim(opened):
    window = opened("lstm")
    for line in ("d_h * o * (1 - tanh(c)**2)", "δh ⊙ o", "d_c[t+1] * f[t+1]", "c^(2)", "transpose(W_f) @ d_f"):
        assert window.run("return isLatex(arguments[0])", line) is False, line
