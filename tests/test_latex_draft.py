"""Forward equations of papers -> specs: published cells, in the symbols of their papers, are the cells of the zoo."""

# ruff: noqa: E501  a formula is a line

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lstmgen.cli import main
from lstmgen.errors import Mistakes, SpecError
from lstmgen.language.evaluate import Floats
from lstmgen.language.shapes import read_dim
from lstmgen.latexin.document import read as read_document
from lstmgen.latexin.draft import draft_of
from lstmgen.proofs.interpret import Interpreter
from lstmgen.resources import find_spec
from lstmgen.spec.reader import load, read


def same(*names):
    """Parameters that have one name in both."""
    return {name: name for name in names}


def side_by_side(first, second):
    return lambda ours: np.concatenate([ours[first], ours[second]], axis=1)


# the packaged cell, its equations, the paper's parameters in ours, its states in ours
CELLS = {
    "graves_2013": (
        "full_peephole_lstm",
        r"""\begin{eqnarray}
        i_t &=& \sigma\left(W_{xi} x_t + W_{hi} h_{t-1} + W_{ci} c_{t-1} + b_i\right) \\
        f_t &=& \sigma\left(W_{xf} x_t + W_{hf} h_{t-1} + W_{cf} c_{t-1} + b_f\right) \\
        c_t &=& f_t c_{t-1} + i_t \tanh\left(W_{xc} x_t + W_{hc} h_{t-1} + b_c\right) \\
        o_t &=& \sigma\left(W_{xo} x_t + W_{ho} h_{t-1} + W_{co} c_{t} + b_o\right) \\
        h_t &=& o_t \tanh(c_t)
        \end{eqnarray}""",
        {**{f"W_x{g}": f"W_{g}" for g in "ifo"}, **{f"W_h{g}": f"R_{g}" for g in "ifo"}, **{f"W_c{g}": f"P_{g}" for g in "ifo"},
         **{f"b_{g}": f"b_{g}" for g in "ifo"}, "W_xc": "W_z", "W_hc": "R_z", "b_c": "b_z"},
        {"h": "h", "c": "c"},
    ),
    "greff_2015": (
        "peephole_lstm",
        r"""\begin{align*}
        \bar{\mathbf z}^t &= \mathbf W_z \mathbf x^t + \mathbf R_z \mathbf y^{t-1} + \mathbf b_z & \mathbf z^t &= g(\bar{\mathbf z}^t) \\
        \bar{\mathbf i}^t &= \mathbf W_i \mathbf x^t + \mathbf R_i \mathbf y^{t-1} + \mathbf p_i \odot \mathbf c^{t-1} + \mathbf b_i & \mathbf i^t &= \sigma(\bar{\mathbf i}^t) \\
        \bar{\mathbf f}^t &= \mathbf W_f \mathbf x^t + \mathbf R_f \mathbf y^{t-1} + \mathbf p_f \odot \mathbf c^{t-1} + \mathbf b_f & \mathbf f^t &= \sigma(\bar{\mathbf f}^t) \\
        \mathbf c^t &= \mathbf z^t \odot \mathbf i^t + \mathbf c^{t-1} \odot \mathbf f^t \\
        \bar{\mathbf o}^t &= \mathbf W_o \mathbf x^t + \mathbf R_o \mathbf y^{t-1} + \mathbf p_o \odot \mathbf c^{t} + \mathbf b_o & \mathbf o^t &= \sigma(\bar{\mathbf o}^t) \\
        \mathbf y^t &= h(\mathbf c^t) \odot \mathbf o^t
        \end{align*}""",
        same(*(f"{base}_{g}" for base in "WRb" for g in "zifo"), *(f"p_{g}" for g in "ifo")),
        {"y": "h", "c": "c"},
    ),
    "cho_2014": (
        "gru_reset_before",
        r"""\begin{align}
        r_t &= \sigma(W_r x_t + U_r h_{t-1} + b_r) \\
        z_t &= \sigma(W_z x_t + U_z h_{t-1} + b_z) \\
        \tilde h_t &= \tanh(W x_t + U (r_t \odot h_{t-1}) + b) \\
        h_t &= z_t h_{t-1} + (1 - z_t) \tilde h_t
        \end{align}""",
        {"W_r": "W_r", "U_r": "R_r", "b_r": "b_r", "W_z": "W_z", "U_z": "R_z", "b_z": "b_z", "W": "W_n", "U": "R_n", "b": "b_n"},
        {"h": "h"},
    ),
    "zhou_2016_mgu": (
        "mgu",
        r"""\begin{equation}
        \begin{aligned}
        f_t &= \sigma(W_f [h_{t-1}, x_t] + b_f) \,, \\
        \tilde{h}_t &= \tanh(W_h [f_t \odot h_{t-1}, x_t] + b_h) \,, \\
        h_t &= (1 - f_t) \odot h_{t-1} + f_t \odot \tilde{h}_t \,.
        \end{aligned}
        \end{equation}""",
        {"W_f": side_by_side("R_f", "W_f"), "W_h": side_by_side("R_n", "W_n"), "b_f": "b_f", "b_h": "b_n"},
        {"h": "h"},
    ),
    "lee_2017_ran": (
        "ran",
        r"""\begin{align}
        \tilde{\mathbf c}_t &= \mathbf W_{cx} \mathbf x_t, \quad \mathbf i_t = \sigma(\mathbf W_{ih} \mathbf h_{t-1} + \mathbf W_{ix} \mathbf x_t + \mathbf b_i) \\
        \mathbf f_t &= \sigma(\mathbf W_{fh} \mathbf h_{t-1} + \mathbf W_{fx} \mathbf x_t + \mathbf b_f) \\
        \mathbf c_t &= \mathbf i_t \circ \tilde{\mathbf c}_t + \mathbf f_t \circ \mathbf c_{t-1} \\
        \mathbf h_t &= g(\mathbf c_t)
        \end{align}""",
        {"W_cx": "W_z", "W_ih": "R_i", "W_ix": "W_i", "W_fh": "R_f", "W_fx": "W_f", "b_i": "b_i", "b_f": "b_f"},
        {"h": "h", "c": "c"},
    ),
    "laurent_2016_cfn": (
        "cfn",
        r"""$$\mathbf h_t = \boldsymbol\theta_t \odot \tanh(\mathbf h_{t-1}) + \boldsymbol\eta_t \odot \tanh(\mathbf W \mathbf x_t)$$
        $$\boldsymbol\theta_t := \sigma(\mathbf U_\theta \mathbf h_{t-1} + \mathbf V_\theta \mathbf x_t + \mathbf b_\theta)$$
        $$\boldsymbol\eta_t := \sigma(\mathbf U_\eta \mathbf h_{t-1} + \mathbf V_\eta \mathbf x_t + \mathbf b_\eta)$$""",
        {"W": "W_n", "U_theta": "R_k", "V_theta": "W_k", "b_theta": "b_k", "U_eta": "R_e", "V_eta": "W_e", "b_eta": "b_e"},
        {"h": "h"},
    ),
    "collins_2017_ugrnn": (
        "ugrnn",
        r"""\begin{align}
        \mathbf c_t &= \tanh(\mathbf W^{ch} \mathbf h_{t-1} + \mathbf W^{cx} \mathbf x_t + \mathbf b^c) \\
        \mathbf g_t &= \sigma(\mathbf W^{gh} \mathbf h_{t-1} + \mathbf W^{gx} \mathbf x_t + \mathbf b^g) \\
        \mathbf h_t &= \mathbf g_t \cdot \mathbf h_{t-1} + (\mathbf 1 - \mathbf g_t) \cdot \mathbf c_t
        \end{align}""",
        {"W_ch": "R_n", "W_cx": "W_n", "b_c": "b_n", "W_gh": "R_g", "W_gx": "W_g", "b_g": "b_g"},
        {"h": "h"},
    ),
    "turkoglu_2021_star": (
        "star",
        r"""\begin{gather}
        \mathbf z_t = \tanh(\mathbf W_z \mathbf x_t + \mathbf b_z) \\
        \mathbf k_t = \sigma(\mathbf W_x \mathbf x_t + \mathbf W_h \mathbf h_{t-1} + \mathbf b_k) \\
        \mathbf h_t = \tanh\big((1 - \mathbf k_t) \circ \mathbf h_{t-1} + \mathbf k_t \circ \mathbf z_t\big)
        \end{gather}""",
        {"W_z": "W_z", "b_z": "b_z", "W_x": "W_k", "W_h": "R_k", "b_k": "b_k"},
        {"h": "h"},
    ),
    "li_2018_indrnn": (
        "indrnn",
        r"$$\mathbf h_t = \mathrm{ReLU}(\mathbf W \mathbf x_t + \mathbf u \odot \mathbf h_{t-1} + \mathbf b)$$",
        {"W": "W_h", "u": "r_h", "b": "b_h"},
        {"h": "h"},
    ),
    "chen_2017_minimal": (
        "minimal_rnn",
        r"""\[ z_t = \tanh(W_x x_t + b_z), \qquad u_t = \sigma(U_h h_{t-1} + U_z z_t + b_u) \]
        \[ h_t = u_t \odot h_{t-1} + (1 - u_t) \odot z_t \]""",
        {"W_x": "W_z", "b_z": "b_z", "U_h": "R_u", "U_z": "V_u", "b_u": "b_u"},
        {"h": "h"},
    ),
    "ravanelli_2018_ligru": (
        "ligru",
        r"""\begin{align}
        z_t &= \sigma(W_z x_t + U_z h_{t-1} + b_z), \\
        \widetilde{h}_t &= \text{ReLU}(W_h x_t + U_h h_{t-1} + b_h), \\
        h_t &= z_t \odot h_{t-1} + (1 - z_t) \odot \widetilde{h}_t.
        \end{align}""",
        {"W_z": "W_z", "U_z": "R_z", "b_z": "b_z", "W_h": "W_n", "U_h": "R_n", "b_h": "b_n"},
        {"h": "h"},
    ),
    "jozefowicz_2015_mut1": (
        "mut1",
        r"""\begin{eqnarray*}
        z & = & \mathrm{sigm}(W_{\mathrm{xz}} x_t + b_{\mathrm z}) \\
        r & = & \mathrm{sigm}(W_{\mathrm{xr}} x_t + W_{\mathrm{hr}} h_t + b_{\mathrm r}) \\
        h_{t+1} & = & \tanh(W_{\mathrm{hh}}(r \odot h_t) + \tanh(W_{\mathrm{xh}} x_t) + b_{\mathrm h}) \odot z + h_t \odot (1 - z)
        \end{eqnarray*}""",
        {"W_xz": "W_z", "b_z": "b_z", "W_xr": "W_r", "W_hr": "R_r", "b_r": "b_r", "W_hh": "R_n", "W_xh": "W_n", "b_h": "b_n"},
        {"h": "h"},
    ),
    "kusupati_2018_fastgrnn": (
        "fastgrnn",
        r"""\begin{align}
        \mathbf z_t &= \sigma(\mathbf W \mathbf x_t + \mathbf U \mathbf h_{t-1} + \mathbf b_z) \\
        \tilde{\mathbf h}_t &= \tanh(\mathbf W \mathbf x_t + \mathbf U \mathbf h_{t-1} + \mathbf b_h) \\
        \mathbf h_t &= (\zeta(\mathbf 1 - \mathbf z_t) + \nu) \odot \tilde{\mathbf h}_t + \mathbf z_t \odot \mathbf h_{t-1}
        \end{align}""",
        {"W": "W", "U": "R", "b_z": "b_z", "b_h": "b_n", "zeta": lambda ours: 1 / (1 + np.exp(-ours["zeta"])),
         "nu": lambda ours: 1 / (1 + np.exp(-ours["nu"]))},
        {"h": "h"},
    ),
    "westhuizen_2018_janet": (
        "janet",
        r"""\begin{align}
        \mathbf s_t &= U_f \mathbf h_{t-1} + W_f \mathbf x_t + \mathbf b_f \\
        \tilde{\mathbf c}_t &= \tanh(U_c \mathbf h_{t-1} + W_c \mathbf x_t + \mathbf b_c) \\
        \mathbf c_t &= \sigma(\mathbf s_t) \odot \mathbf c_{t-1} + (1 - \sigma(\mathbf s_t - \beta)) \odot \tilde{\mathbf c}_t \\
        \mathbf h_t &= \mathbf c_t
        \end{align}""",
        {"U_f": "R_s", "W_f": "W_s", "b_f": "b_s", "U_c": "R_n", "W_c": "W_n", "b_c": "b_n", "beta": lambda ours: np.array(1.0)},
        {"h": "h", "c": "h"},
    ),
    "mikolov_2015_scrn": (
        "scrn",
        r"""\begin{align}
        s_t &= (1 - \alpha) B x_t + \alpha s_{t-1}, \\
        h_t &= \sigma(P s_t + A x_t + R h_{t-1}).
        \end{align}""",
        {**same("B", "P", "A", "R"), "alpha": lambda ours: np.array(0.95)},
        {"h": "h", "s": "s"},
    ),
    "rusch_2021_cornn": (
        "cornn",
        r"""\begin{align}
        z_n &= z_{n-1} + \Delta t \left(\tanh(\mathbf W y_{n-1} + \mathcal W_z z_{n-1} + \mathbf V u_n + \mathbf b) - \gamma y_{n-1} - \epsilon z_{n-1}\right) \\
        y_n &= y_{n-1} + \Delta t\, z_n
        \end{align}""",
        {"W": "R_y", "W_z": "R_z", "V": "W", "b": "b", "Delta_t": lambda ours: np.array(0.05), "gamma": lambda ours: np.array(1.0),
         "epsilon": lambda ours: np.array(1.0)},
        {"z": "z", "y": "y"},
    ),
    "notes_hats": (
        "hats_lstm",
        r"""1. an input: $a^t = \tanh(\hat a^t) = \tanh(W_a x^t + U_a h^{t-1})$
2. a gate: $i^t = \sigma(\hat i^t) = \sigma(W_i x^t + U_i h^{t-1})$
3. another: $f^t = \sigma(\hat f^t) = \sigma(W_f x^t + U_f h^{t-1})$
4. the cell: $c^t = a^t \odot i^t + c^{t-1} \odot f^t$
5. the last gate: $o^t = \sigma(\hat o^t) = \sigma(W_o x^t + U_o h^{t-1})$
6. $h^t = \tanh(c^t) \odot o^t$

Backward: $$\frac{\partial E}{\partial o^t} = \frac{\partial E}{\partial h^t} \odot \tanh(c^t)$$""",
        same(*(f"{base}_{g}" for base in "WU" for g in "aifo")),
        {"h": "h", "c": "c"},
    ),
    "course": (
        "ng_lstm",
        r"""$$\Gamma_f^{\langle t \rangle} = \sigma(W_f[a^{\langle t-1 \rangle}, x^{\langle t \rangle}] + b_f)$$
        $$\Gamma_u^{\langle t \rangle} = \sigma(W_u[a^{\langle t-1 \rangle}, x^{\langle t \rangle}] + b_u)$$
        $$\tilde c^{\langle t \rangle} = \tanh(W_c[a^{\langle t-1 \rangle}, x^{\langle t \rangle}] + b_c)$$
        $$c^{\langle t \rangle} = \Gamma_f^{\langle t \rangle} * c^{\langle t-1 \rangle} + \Gamma_u^{\langle t \rangle} * \tilde c^{\langle t \rangle}$$
        $$\Gamma_o^{\langle t \rangle} = \sigma(W_o[a^{\langle t-1 \rangle}, x^{\langle t \rangle}] + b_o)$$
        $$a^{\langle t \rangle} = \Gamma_o^{\langle t \rangle} * \tanh(c^{\langle t \rangle})$$""",
        same(*(f"{base}_{g}" for base in "Wb" for g in "fuco")),
        {"a": "a", "c": "c"},
    ),
}


def drafted(latex, name="made"):
    return draft_of(name, read_document(latex, "paper.md"))


@pytest.mark.parametrize("key", CELLS)
def test_a_published_cell_is_that_of_the_zoo(key):
    """Both are run by the interpreter, from states that are not zero."""
    packaged, latex, meant, states = CELLS[key]
    theirs, ours = read(drafted(latex).text, "made.yaml"), load(find_spec(packaged))
    rng = np.random.default_rng(3)
    numbers = dict(zip((each.symbol for each in ours.dims), (3, 4, 5, 6)))

    def draw(shape):
        return rng.uniform(-1, 1, [read_dim(axis, numbers, Mistakes("", "")).value(numbers) for axis in shape])

    params = {each.name: draw(each.shape) for each in ours.parameters}
    (source,) = [each.name for each in ours.inputs]
    (given,) = [each.name for each in theirs.inputs]
    xs = [draw(ours.inputs[0].shape) for _ in range(4)]
    start = {each.name: draw(each.shape) for each in ours.states}
    of_theirs = {name: value(params) if callable(value) else params[value] for name, value in meant.items()}
    assert set(of_theirs) == {each.name for each in theirs.parameters}
    sizes = {axis.value: array.shape[at] for each in theirs.parameters for at, axis in enumerate(each.shape)
             for array in [np.asarray(of_theirs[each.name])] if axis.value.isalpha()}
    sizes = {each.symbol: sizes.get(each.symbol, 0) for each in theirs.dims}
    if "D" in sizes:
        sizes["D"] = xs[0].shape[0]
    one = Interpreter(ours, numbers, Floats()).run(params, [{source: x, **{t.name: start[states.get('a', 'h')] for t in ours.targets}} for x in xs], start)
    other = Interpreter(theirs, sizes, Floats()).run(of_theirs, [{given: x} for x in xs], {name: start[mine] for name, mine in states.items()})
    for name, mine in states.items():
        assert np.allclose(other.state[name], one.state[mine], rtol=0, atol=1e-13), name


def test_what_was_assumed_and_left_out_stands_in_comments():
    text = drafted(CELLS["westhuizen_2018_janet"][1] + r"$$\delta c_t = \delta h_t$$ $$y_t = \tanh(V h_t)$$").text
    assert "# Assumed:\n# - beta: a learned number each" in text
    assert "# Left out:\n# - 1 equation of gradients\n# - y, which nothing reads" in text


@pytest.mark.parametrize(
    "latex, words",
    [
        (r"$$h_t = \tanh(W x_t)$$", "no equation reads a value of the step before"),
        (r"$$h_t = \tanh(W x_t + U h_{t-1} + V h_{t-2})$$", "what was read is no cell"),
        (r"$$h_t = \tanh(W x_t + U c_{t-1})$$", "'c' is read at an earlier step, and no equation gives it"),
        (r"$$h_t = \tanh(W x_t + U h_{t-1}) \odot [h_{t-1}, x_t]$$", "the equation of 'h' is not read"),
        (r"$$h_t = (W - \gamma I) h_{t-1} + x_t$$", "an identity matrix"),
        (r"$$h_t = \sum_j W_j h_{t-1}$$", "the equation of 'h' is not read"),
        ("no formula", "there is no displayed equation"),
    ],
)
def test_what_is_no_cell_is_refused(latex, words):
    with pytest.raises(SpecError) as refused:
        drafted(latex)
    assert words in str(refused.value)


def test_a_wrong_product_does_not_become_a_cell_of_the_zoo():
    """The check can fail: with x_t for h_{t-1} the sizes say so, with another gate the numbers do."""
    packaged, latex, meant, states = CELLS["cho_2014"]
    CELLS["changed"] = packaged, latex.replace("(1 - z_t) \\tilde h_t", "(1 - r_t) \\tilde h_t"), meant, states
    try:
        with pytest.raises(AssertionError):
            test_a_published_cell_is_that_of_the_zoo("changed")
    finally:
        del CELLS["changed"]


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("paper.tex").write_text(CELLS["cho_2014"][1], encoding="utf-8")
    result = CliRunner().invoke(main, ["new", "mine", "--latex", "paper.tex"])
    assert result.exit_code == 0 and load(Path("mine.yaml")).name == "mine", result.output
    assert CliRunner().invoke(main, ["new", "mine", "--latex", "paper.tex"]).exit_code == 2
    assert CliRunner().invoke(main, ["new", "mine", "--latex", "none.tex", "--force"]).exit_code == 2
    assert CliRunner().invoke(main, ["new", "other", "--latex", "paper.tex", "--from", "gru"]).exit_code == 2
