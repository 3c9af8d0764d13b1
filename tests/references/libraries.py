"""Other people's implementations, asked as they are. The docstrings say how each lays its arguments out."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch.func import functional_call

from .oracle import SIZES, axes, oracle

os.environ.setdefault("KERAS_BACKEND", "torch")

LSTM = "W_i W_f W_o W_z: H D | R_i R_f R_o R_z: H H"
BIASES = "b_i b_f b_o b_z: H"
HC = "h: H | c: H"


def gates(p, letters: str, kind: str = "{}", missing: dict | None = None):
    """The arrays of several gates on top of each other: gates(p, "ifz", "W_{}")."""
    missing = missing or {}
    return torch.cat([missing.get(letter, getattr(p, kind.format(letter), None)) for letter in letters])


def two(b):
    """One bias told in two parts, where the other side has two whose sum alone matters."""
    return 0.25 * b, 0.75 * b


# ---------------------------------------------------------------- PyTorch


def torch_lstm(W, R, x, h, c, b=None, W_proj=None):
    """nn.LSTM, its gates in the order i f z o (it calls z g); b is what bias_ih and bias_hh sum up to."""
    size = W.shape[0] // 4
    layer = torch.nn.LSTM(
        W.shape[1], size, bias=b is not None, proj_size=0 if W_proj is None else len(W_proj)
    )
    weights = {"weight_ih_l0": W, "weight_hh_l0": R}
    if b is not None:
        weights["bias_ih_l0"], weights["bias_hh_l0"] = two(b)
    if W_proj is not None:
        weights["weight_hr_l0"] = W_proj
    y, (h, c) = functional_call(layer, weights, (x, (h[None], c[None])))
    return y, h[0], c[0]


@oracle("lstm", "torch.nn.LSTM", f"{LSTM} | {BIASES}", states=HC)
@oracle("np_lstm", "torch.nn.LSTM", f"{LSTM} | {BIASES}", states=HC)
def lstm(p, x, s):
    """Gates in the order i f z o, where z is called g; two biases, of which the sum counts."""
    y, h, c = torch_lstm(
        gates(p, "ifzo", "W_{}"), gates(p, "ifzo", "R_{}"), x.x, s.h, s.c, gates(p, "ifzo", "b_{}")
    )
    return {"h": y}, {"h": h, "c": c}


@oracle("lstm_no_bias", "torch.nn.LSTM", LSTM, states=HC)
def lstm_no_bias(p, x, s):
    """Gates in the order i f z o, where z is called g; bias=False."""
    y, h, c = torch_lstm(gates(p, "ifzo", "W_{}"), gates(p, "ifzo", "R_{}"), x.x, s.h, s.c)
    return {"h": y}, {"h": h, "c": c}


@oracle("hats_lstm", "torch.nn.LSTM", "W_a W_i W_f W_o: H D | U_a U_i U_f U_o: H H", states=HC)
def hats_lstm(p, x, s):
    """Gates in the order i f a o, where a is called g; W is weight_ih, U weight_hh; bias=False."""
    y, h, c = torch_lstm(gates(p, "ifao", "W_{}"), gates(p, "ifao", "U_{}"), x.x, s.h, s.c)
    return {"h": y}, {"h": h, "c": c}


@oracle("stacked_lstm", "torch.nn.LSTM", "W: 4*H D+H", states=HC)
def stacked_lstm(p, x, s):
    """Gates in the order i f a o there and a i f o here; the columns of W belong to x first, then to h."""
    size, width = s.h.shape[-1], x.x.shape[-1]
    a, i, f, o = p.W.split(size)
    W = torch.cat([i, f, a, o])
    y, h, c = torch_lstm(W[:, :width], W[:, width:], x.x, s.h, s.c)
    return {"h": y}, {"h": h, "c": c}


NG = "W_f W_u W_c W_o: H H+D | b_f b_u b_c b_o: H | a_0 c_0: H"
NG_FIELDS = {
    "inputs": "x: D | target: H",
    "targets": ("target",),
    "states": "a: H | c: H",
    "outputs": "",
    "learned": True,
}


def ng_lstm(p, x):
    size, batch = p.a_0.shape[0], x.x.shape[1]
    W = gates(p, "ufco", "W_{}")
    return torch_lstm(
        W[:, size:],
        W[:, :size],
        x.x,
        p.a_0.expand(batch, -1),
        p.c_0.expand(batch, -1),
        gates(p, "ufco", "b_{}"),
    )


@oracle("ng_lstm", "torch.nn.LSTM", NG, **NG_FIELDS)
def ng_lstm_every(p, x, s):
    """Gates in the order i f g o there, u f c o here; the columns of W belong to a first, then to x. Loss by
    hand."""
    y, a, c = ng_lstm(p, x)
    return {"loss": 0.5 * ((x.target - y) ** 2).sum()}, {"a": a, "c": c}


@oracle("ng_lstm_last", "torch.nn.LSTM", NG, **NG_FIELDS)
def ng_lstm_last(p, x, s):
    """As ng_lstm; the loss, by hand, at the last step alone."""
    y, a, c = ng_lstm(p, x)
    return {"loss": 0.5 * ((x.target[-1] - y[-1]) ** 2).sum()}, {"a": a, "c": c}


@oracle(
    "projected_lstm",
    "torch.nn.LSTM, proj_size",
    f"W_i W_f W_o W_z: H D | R_i R_f R_o R_z: H P | {BIASES} | W_proj: P H",
    states="h: P | c: H",
    outputs="h: P",
)
def projected_lstm(p, x, s):
    """Gates in the order i f z o, where z is called g; W_proj is weight_hr; two biases, of which the sum
    counts."""
    y, h, c = torch_lstm(
        gates(p, "ifzo", "W_{}"), gates(p, "ifzo", "R_{}"), x.x, s.h, s.c, gates(p, "ifzo", "b_{}"), p.W_proj
    )
    return {"h": y}, {"h": h, "c": c}


@oracle("gru", "torch.nn.GRU", "W_r W_z W_n: H D | R_r R_z R_n: H H | b_r b_z b_n c_n: H")
def gru(p, x, s):
    """Gates in the order r z n; z weighs the old state; of bias_hh only n's part, c_n here, cannot be
    merged."""
    b_r, b_z = two(p.b_r), two(p.b_z)
    layer = torch.nn.GRU(x.x.shape[-1], s.h.shape[-1])
    weights = {
        "weight_ih_l0": gates(p, "rzn", "W_{}"),
        "weight_hh_l0": gates(p, "rzn", "R_{}"),
        "bias_ih_l0": torch.cat([b_r[0], b_z[0], p.b_n]),
        "bias_hh_l0": torch.cat([b_r[1], b_z[1], p.c_n]),
    }
    y, h = functional_call(layer, weights, (x.x, s.h[None]))
    return {"h": y}, {"h": h[0]}


def torch_rnn(p, x, s, nonlinearity: str):
    layer = torch.nn.RNN(x.x.shape[-1], s.h.shape[-1], nonlinearity=nonlinearity)
    b = two(p.b_h)
    weights = {"weight_ih_l0": p.W_h, "weight_hh_l0": p.R_h, "bias_ih_l0": b[0], "bias_hh_l0": b[1]}
    y, h = functional_call(layer, weights, (x.x, s.h[None]))
    return {"h": y}, {"h": h[0]}


@oracle("rnn", "torch.nn.RNN, tanh", "W_h: H D | R_h: H H | b_h: H")
def rnn(p, x, s):
    """Two biases, of which the sum counts."""
    return torch_rnn(p, x, s, "tanh")


ELMAN = "W_h: H D | R_h: H H | b_h: H | V: O H | b_y: O"


@oracle("elman_tanh", "torch.nn.RNN, tanh, and torch.nn.Linear", ELMAN, outputs="y: O")
def elman_tanh(p, x, s):
    """Two biases, of which the sum counts; the read-out is a layer of its own."""
    outputs, end = torch_rnn(p, x, s, "tanh")
    return {"y": torch.nn.functional.linear(outputs["h"], p.V, p.b_y)}, end


@oracle("elman_relu", "torch.nn.RNN, relu, and torch.nn.Linear", ELMAN, outputs="y: O")
def elman_relu(p, x, s):
    """Two biases, of which the sum counts; the read-out is a layer of its own."""
    outputs, end = torch_rnn(p, x, s, "relu")
    return {"y": torch.nn.functional.linear(outputs["h"], p.V, p.b_y)}, end


# ---------------------------------------------------------------- torchrecurrent


def unroll(unit: torch.nn.Module, x, state, weights: dict):
    """What a cell returns at each step of a sequence, where that is the new state."""
    found = []
    for x_t in x:
        state = functional_call(unit, weights, (x_t, state))
        found.append(state)
    return found


def over_time(found, *names: str):
    """[(h, c), ...] -> {"h": (T, B, H), "c": ...}, and the last of each."""
    steps = [step if isinstance(step, tuple) else (step,) for step in found]
    whole = {name: torch.stack([step[place] for step in steps]) for place, name in enumerate(names)}
    return whole, {name: value[-1] for name, value in whole.items()}


def torchrecurrent(cell: str, name: str, parameters: str, **others):
    return oracle(cell, f"torchrecurrent.{name}", parameters, package="torchrecurrent", **others)


def peephole(p, x, h, c, missing=""):
    """torchrecurrent's PeepholeLSTM: gates i f z o, peepholes i f o. A missing gate is one that is saturated:
    sigmoid(40) is 1 in float64, and its derivative 4e-18."""
    from torchrecurrent import PeepholeLSTMCell

    size, width = h.shape[-1], x.shape[-1]
    shapes = {"W": (size, width), "R": (size, size), "p": (size,)}
    zero = {
        key: dict.fromkeys(missing, torch.zeros(shape, dtype=torch.float64)) for key, shape in shapes.items()
    }
    open_ = dict.fromkeys(missing, torch.full((size,), 40.0, dtype=torch.float64))
    b = two(gates(p, "ifzo", "b_{}", open_))
    weights = {
        "weight_ih": gates(p, "ifzo", "W_{}", zero["W"]),
        "weight_hh": gates(p, "ifzo", "R_{}", zero["R"]),
        "weight_ph": gates(p, "ifo", "p_{}", zero["p"]),
        "bias_ih": b[0],
        "bias_hh": b[1],
    }
    return over_time(unroll(PeepholeLSTMCell(width, size, dtype=torch.float64), x, (h, c), weights), "h", "c")


PEEPHOLES = "p_i p_f p_o: H"


@torchrecurrent("peephole_lstm", "PeepholeLSTM", f"{LSTM} | {BIASES} | {PEEPHOLES}", states=HC)
def peephole_lstm(p, x, s):
    """Gates in the order i f z o, peepholes i f o, the output gate's at the new cell; two biases."""
    return peephole(p, x.x, s.h, s.c)


@torchrecurrent(
    "greff_lstm",
    "PeepholeLSTM",
    "W_z W_in W_for W_out: H D | R_z R_in R_for R_out: H H | p_in p_for p_out b_z b_in b_for b_out: H",
    states="y: H | c: H",
    outputs="y: H",
)
def greff_lstm(p, x, s):
    """As peephole_lstm; in, for and out are i, f and o."""
    short = {"in": "i", "for": "f", "out": "o", "z": "z"}
    renamed = {}
    for name, value in vars(p).items():
        kind, gate = name.split("_")
        renamed[f"{kind}_{short[gate]}"] = value
    outputs, end = peephole(type(p)(**renamed), x.x, s.y, s.c)
    return {"y": outputs["h"]}, {"y": end["h"], "c": end["c"]}


def without(gate: str) -> str:
    """The parameters of a peephole LSTM that lacks a gate."""
    left = "ifo".replace(gate, "")
    names = {kind: " ".join(f"{kind}_{letter}" for letter in "z" + left) for kind in "WRb"}
    holes = " ".join(f"p_{letter}" for letter in left)
    return f"{names['W']}: H D | {names['R']}: H H | {names['b']} {holes}: H"


@torchrecurrent("nig_lstm", "PeepholeLSTM, input gate saturated", without("i"), states=HC)
def nig_lstm(p, x, s):
    """As peephole_lstm; the missing gate is there, its weights 0 and its bias 40, so that it is 1."""
    return peephole(p, x.x, s.h, s.c, "i")


@torchrecurrent("nfg_lstm", "PeepholeLSTM, forget gate saturated", without("f"), states=HC)
def nfg_lstm(p, x, s):
    """As peephole_lstm; the missing gate is there, its weights 0 and its bias 40, so that it is 1."""
    return peephole(p, x.x, s.h, s.c, "f")


@torchrecurrent("nog_lstm", "PeepholeLSTM, output gate saturated", without("o"), states=HC)
def nog_lstm(p, x, s):
    """As peephole_lstm; the missing gate is there, its weights 0 and its bias 40, so that it is 1."""
    return peephole(p, x.x, s.h, s.c, "o")


def laid_out(unit: torch.nn.Module, p, layout: dict[str, str]) -> dict[str, torch.Tensor]:
    """The arrays of a cell of torchrecurrent: ours on top of each other, by name; what is untold is zero."""
    weights = {}
    for name, like in unit.named_parameters():
        zero = torch.zeros(unit.hidden_size, dtype=torch.float64)
        held = [
            zero if ours == "0" else torch.atleast_1d(getattr(p, ours))
            for ours in layout.get(name, "").split()
        ]
        weights[name] = torch.cat(held).reshape(like.shape) if held else torch.zeros_like(like)
    return weights


def gated(
    cell: str,
    name: str,
    parameters: str,
    convention: str,
    *,
    states: str = "h: H",
    outputs: str = "h: H",
    inputs: str = "x: D",
    own: str = "",
    options: dict | None = None,
    extra: dict | None = None,
    **layout: str,
):
    """Registers a cell of torchrecurrent whose arrays are ours on top of each other.

    layout: its arrays, each by ours in its order, 0 for zeros; own: the output that it returns beside its
    states; options: its own; extra: the oracle's.
    """

    def compute(p, x, s):
        import torchrecurrent

        start = tuple(getattr(s, state) for state in axes(states))
        width = next(iter(s.__dict__.values())).shape[-1]
        unit = getattr(torchrecurrent, f"{name}Cell")(
            x.x.shape[-1], width, dtype=torch.float64, **options or {}
        )
        weights = laid_out(unit, p, layout)
        state, rows = start if len(start) > 1 else start[0], []
        for x_t in x.x:
            found = functional_call(unit, weights, (x_t, state))
            result, state = found if own else (None, found)
            told = dict(zip(axes(states), state if isinstance(state, tuple) else (state,)))
            rows.append({**told, own: result} if own else told)
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}, rows[-1]

    outputs = f"{own}: H" if own else outputs
    fields = {
        "states": states,
        "outputs": outputs,
        "inputs": inputs,
        "convention": convention,
        **(extra or {}),
    }
    torchrecurrent(cell, name, parameters, **fields)(compute)


gated(
    "original_lstm",
    "OriginalLSTM",
    "W_z W_i W_o: H D | R_z R_i R_o: H H | b_z b_i b_o: H",
    "rows i z o; both squashing functions are tanh; no forget gate",
    states=HC,
    weight_ih="W_i W_z W_o",
    weight_hh="R_i R_z R_o",
    bias_ih="b_i b_z b_o",
)
gated(
    "residual_lstm",
    "ResLSTM",
    f"{LSTM} | {BIASES} | {PEEPHOLES} | W_proj: H H | W_res: H D",
    "rows i f z o, peepholes i f o; the output gate stands outside of the sum",
    states=HC,
    weight_ih="W_i W_f W_z W_o",
    weight_hh="R_i R_f R_z R_o",
    weight_ph="p_i p_f p_o",
    weight_proj="W_proj",
    weight_res="W_res",
    bias_ih="b_i b_f b_z b_o",
)
gated(
    "multiplicative_lstm",
    "MultiplicativeLSTM",
    "W_m: M D | R_m: M H | W_i W_f W_z W_o: H D | R_i R_f R_z R_o: H M | b_i b_f b_z b_o: H",
    "rows of weight_ih m i f z o, of weight_mh i f z o; no bias in the factors of m; M is H",
    states=HC,
    extra={"sizes": {**SIZES, "M": SIZES["H"]}, "equal_sizes": 1},
    weight_ih="W_m W_i W_f W_z W_o",
    weight_hh="R_m",
    weight_mh="R_i R_f R_z R_o",
    bias_mh="b_i b_f b_z b_o",
)
gated(
    "mc_lstm",
    "MCLSTM",
    "W_i W_f W_z W_o W_m: H D | R_i R_f R_z R_o R_m: H H | b_i b_f b_z b_o b_m: H",
    "rows f i o m z; the control v goes back, the output h does not",
    states="v: H | c: H",
    own="h",
    weight_ih="W_f W_i W_o W_m W_z",
    weight_hh="R_f R_i R_o R_m R_z",
    bias_ih="b_f b_i b_o b_m b_z",
)
gated(
    "mgu",
    "MGU",
    "W_f W_n: H D | R_f R_n: H H | b_f b_n: H",
    "rows f n; f weighs the candidate",
    weight_ih="W_f W_n",
    weight_hh="R_f R_n",
    bias_ih="b_f b_n",
)
gated(
    "mut1",
    "MUT1",
    "W_z W_r W_n: H D | R_r R_n: H H | b_z b_r b_n: H",
    "rows of weight_ih z r n, of weight_hh r n; z weighs the candidate; a matrix before the paper's bare x",
    weight_ih="W_z W_r W_n",
    weight_hh="R_r R_n",
    bias_ih="b_z b_r 0",
    bias_hh="0 b_n",
)
for number in (2, 3):
    gated(
        f"mut{number}",
        f"MUT{number}",
        "W_z W_r W_n: H D | R_z R_r R_n: H H | b_z b_r b_n: H",
        "rows z r n; z weighs the candidate; a matrix before the x that the paper has bare",
        weight_ih="W_z W_r W_n",
        weight_hh="R_z R_r R_n",
        bias_ih="b_z b_r b_n",
    )
gated(
    "ugrnn",
    "UGRNN",
    "W_n W_g: H D | R_n R_g: H H | b_n b_g: H",
    "rows n g; g weighs the old state",
    weight_ih="W_n W_g",
    weight_hh="R_n R_g",
    bias_ih="b_n b_g",
)
gated(
    "ligru",
    "LiGRU",
    "W_z W_n: H D | R_z R_n: H H | b_z b_n: H",
    "rows z n; z weighs the old state; without batch normalisation",
    weight_ih="W_z W_n",
    weight_hh="R_z R_n",
    bias_ih="b_z b_n",
)
gated(
    "ran",
    "RAN",
    "W_z W_i W_f: H D | R_i R_f: H H | b_i b_f: H",
    "rows of weight_ih z i f, of weight_hh i f; h = tanh(c)",
    states=HC,
    weight_ih="W_z W_i W_f",
    weight_hh="R_i R_f",
    bias_ih="b_i b_f",
)
gated(
    "minimal_rnn",
    "MinimalRNN",
    "W_z: H D | b_z: H | R_u V_u: H H | b_u: H",
    "weight_mm meets the mapped input; u weighs the old state",
    weight_ih="W_z",
    weight_hh="R_u",
    weight_mm="V_u",
    bias_ih="b_z",
    bias_hh="b_u",
)
gated(
    "cfn",
    "CFN",
    "W_k W_e W_n: H D | R_k R_e: H H | b_k b_e: H",
    "rows of weight_ih k e n, of weight_hh k e; the candidate without bias",
    weight_ih="W_k W_e W_n",
    weight_hh="R_k R_e",
    bias_hh="b_k b_e",
)
gated(
    "fastrnn",
    "FastRNN",
    "W_n: H D | R_n: H H | b_n: H | alpha beta:",
    "sigmoids of the scalars alpha and beta weigh candidate and old state",
    weight_ih="W_n",
    weight_hh="R_n",
    bias_ih="b_n",
    alpha="alpha",
    beta="beta",
)
gated(
    "fastgrnn",
    "FastGRNN",
    "W: H D | R: H H | b_z b_n: H | zeta nu:",
    "gate and candidate share W and R; nonlinearity, which is the gate's, is sigmoid; z weighs the old state",
    options={"nonlinearity": "sigmoid"},
    weight_ih="W",
    weight_hh="R",
    bias_ih="b_z b_n",
    zeta="zeta",
    nu="nu",
)
gated(
    "brc",
    "BR",
    "W_a W_c W_n: H D | r_a r_c: H | b_a b_c: H",
    "rows of weight_ih a c n; weight_hh diagonal, a c; c weighs the old state; the candidate without bias",
    weight_ih="W_a W_c W_n",
    weight_hh="r_a r_c",
    bias_hh="b_a b_c",
)
gated(
    "nbrc",
    "NBR",
    "W_a W_c W_n: H D | R_a R_c: H H | b_a b_c: H",
    "rows of weight_ih a c n, of weight_hh a c; c weighs the old state; the candidate without bias",
    weight_ih="W_a W_c W_n",
    weight_hh="R_a R_c",
    bias_hh="b_a b_c",
)
gated(
    "atr",
    "ATR",
    "W: H D | R: H H | b b_r: H",
    "bias_ih goes into p, bias_hh, b_r here, into q",
    weight_ih="W",
    weight_hh="R",
    bias_ih="b",
    bias_hh="b_r",
)
gated(
    "star",
    "STAR",
    "W_z W_k: H D | R_k: H H | b_z b_k: H",
    "rows of weight_ih z k; k weighs the candidate",
    weight_ih="W_z W_k",
    weight_hh="R_k",
    bias_ih="b_z b_k",
)
gated(
    "sgrn",
    "SGRN",
    "W: H D | R: H H | b b_f: H",
    "i = 1 - f; the input's product, with bias_ih, is the candidate; bias_hh, b_f here, is the gate's alone",
    weight_ih="W",
    weight_hh="R",
    bias_ih="b",
    bias_hh="b_f",
)
gated(
    "sgu",
    "SGU",
    "W_g W_z: H D | R_g R_z: H H | a_g b_g b_z: H",
    "rows g z; bias_ih of g, a_g here, is multiplied by the state, bias_hh is not; gate_nonlinearity sigmoid",
    options={"gate_nonlinearity": "sigmoid"},
    weight_ih="W_g W_z",
    weight_hh="R_g R_z",
    bias_ih="a_g 0",
    bias_hh="b_g b_z",
)
gated(
    "light_ru",
    "LightRU",
    "W_n W_f: H D | R_f: H H | b_n b_f: H",
    "rows of weight_ih n f; f weighs the candidate",
    weight_ih="W_n W_f",
    weight_hh="R_f",
    bias_ih="b_n b_f",
)
gated(
    "miru",
    "MiRU1",
    "W_r W_n: H D | R_r R_n: H H | b_r b_n: H",
    "rows r n; update_coefficient 0.5 weighs the old state",
    weight_ih="W_r W_n",
    weight_hh="R_r R_n",
    bias_ih="b_r b_n",
)
gated(
    "indrnn",
    "IndRNN",
    "W_h: H D | r_h b_h: H",
    "vector_u, r_h here, meets the old state entry by entry; nonlinearity relu, where the default is tanh",
    options={"nonlinearity": "relu"},
    weight_ih="W_h",
    vector_u="r_h",
    bias_ih="b_h",
)
gated(
    "antisymmetric_rnn",
    "AntisymmetricRNN",
    "W_h: H D | R: H H | b_h: H",
    "weight_hh - its transpose - gamma times the identity; epsilon 0.1, gamma 0.01",
    options={"epsilon": 0.1, "gamma": 0.01},
    weight_ih="W_h",
    weight_hh="R",
    bias_ih="b_h",
)
gated(
    "gated_antisymmetric_rnn",
    "GatedAntisymmetricRNN",
    "W_h W_z: H D | R: H H | b_h b_z: H",
    "rows of weight_ih z h; one antisymmetric matrix for both; epsilon 0.1, gamma 0.01",
    options={"epsilon": 0.1, "gamma": 0.01},
    weight_ih="W_z W_h",
    weight_hh="R",
    bias_ih="b_z b_h",
)
gated(
    "cornn",
    "coRNN",
    "W: H D | R_y R_z: H H | b: H",
    "h is the position y, c the velocity z, which moves first; dt 0.05, gamma 1, epsilon 1",
    states="y: H | z: H",
    outputs="y: H",
    options={"dt": 0.05, "gamma": 1.0, "epsilon": 1.0},
    weight_ih="W",
    weight_hh="R_y",
    weight_ch="R_z",
    bias_ih="b",
)
gated(
    "unicornn",
    "UnICORNN",
    "W: H D | w b k: H",
    "h is y, c is z; weight_hh is w and weight_ch k, both entry by entry; dt 0.1, alpha 1",
    states="y: H | z: H",
    outputs="y: H",
    options={"dt": 0.1, "alpha": 1.0},
    weight_ih="W",
    weight_hh="w",
    weight_ch="k",
    bias_ih="b",
)
gated(
    "intersection_rnn",
    "IntersectionRNN",
    "W_n W_u W_g W_k R_n R_u R_g R_k: H H | b_n b_u b_g b_k: H",
    "rows u n k g: relu towards the output, tanh towards the state, the output's gate, the state's",
    own="y",
    inputs="x: H",
    weight_ih="W_u W_n W_k W_g",
    weight_hh="R_u R_n R_k R_g",
    bias_ih="b_u b_n b_k b_g",
)
gated(
    "t_rnn",
    "TRNN",
    "W_z W_f: H D | b_z b_f: H",
    "rows z f; f weighs the old state",
    weight_ih="W_z W_f",
    bias_ih="b_z b_f",
)
gated(
    "t_gru",
    "TGRU",
    "W_z W_f W_o V_z V_f V_o: H D | b_z b_f b_o: H",
    "rows z f o; weight_hh, V here, meets the last input, which is carried",
    states="h: H | u: D",
    weight_ih="W_z W_f W_o",
    weight_hh="V_z V_f V_o",
    bias_ih="b_z b_f b_o",
)
gated(
    "t_lstm",
    "TLSTM",
    "W_z W_f W_o V_z V_f V_o: H D | b_z b_f b_o: H",
    "rows z f o; weight_hh, V here, meets the last input, which is carried",
    states="c: H | u: D",
    own="h",
    weight_ih="W_z W_f W_o",
    weight_hh="V_z V_f V_o",
    bias_ih="b_z b_f b_o",
)


@torchrecurrent("janet", "JANET", "W_s W_n: H D | R_s R_n: H H | b_s b_n: H")
def janet(p, x, s):
    """Rows s n; beta is 1; it carries h and c, which are one."""
    from torchrecurrent import JANETCell

    unit = JANETCell(x.x.shape[-1], s.h.shape[-1], dtype=torch.float64)
    layout = {"weight_ih": "W_s W_n", "weight_hh": "R_s R_n", "bias_ih": "b_s b_n"}
    weights = {**laid_out(unit, p, layout), "beta": torch.tensor(1.0)}
    return over_time(unroll(unit, x.x, (s.h, s.h), weights), "h", "c")


@torchrecurrent(
    "tau_gru",
    "tauGRU",
    "W_u W_z W_g W_a: H D | R_u R_z R_g R_a: H H | b_u b_z b_g b_a: H",
    states="h h_1 h_2: H",
)
def tau_gru(p, x, s):
    """Rows u z g a; delayed_state is the state of three steps ago, which h_2 holds; g weighs what is new."""
    from torchrecurrent import tauGRUCell

    unit = tauGRUCell(x.x.shape[-1], s.h.shape[-1], dtype=torch.float64)
    layout = {"weight_ih": "W_u W_z W_g W_a", "weight_hh": "R_u R_z R_g R_a", "bias_ih": "b_u b_z b_g b_a"}
    weights, past = laid_out(unit, p, layout), [s.h_2, s.h_1, s.h]
    for x_t in x.x:
        past.append(functional_call(unit, weights, (x_t, past[-1], past[-3])))
    return {"h": torch.stack(past[3:])}, {"h": past[-1], "h_1": past[-2], "h_2": past[-3]}


# ---------------------------------------------------------------- ONNX Runtime


def onnxruntime(cell: str, source: str, parameters: str, **others):
    source = f"onnxruntime, {source}"
    return oracle(
        cell, source, parameters, package="onnxruntime", precision="float32", gradients=False, **others
    )


def run_onnx(kind: str, feeds: dict, **attributes):
    """One ONNX node, in float32. Its optional inputs are told by name, its outputs come as they are."""
    import onnxruntime as runtime
    from onnx import TensorProto, helper

    slots = {
        "LSTM": ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"],
        "GRU": ["X", "W", "R", "B", "sequence_lens", "initial_h"],
        "RNN": ["X", "W", "R", "B", "sequence_lens", "initial_h"],
    }[kind]
    results = ["Y", "Y_h", "Y_c"] if kind == "LSTM" else ["Y", "Y_h"]
    feeds = {name: value.numpy().astype(np.float32) for name, value in feeds.items()}
    node = helper.make_node(
        kind,
        [name if name in feeds else "" for name in slots],
        results,
        hidden_size=feeds["R"].shape[-1],
        **attributes,
    )

    def info(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [node],
        "cell",
        [info(name, value.shape) for name, value in feeds.items()],
        [info(name, None) for name in results],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    y, *last = (torch.from_numpy(value) for value in session.run(None, feeds))
    return y[:, 0], *(value[0] for value in last)


def onnx_lstm(p, x, s, missing: dict | None = None, peepholes: bool = True, **attributes):
    """ONNX orders gates i o f c (z here) and peepholes i o f, has two biases, and one leading axis for
    directions."""
    size = s.h.shape[-1]
    like = {"W": (size, x.x.shape[-1]), "R": (size, size), "b": (size,), "p": (size,)}
    missing = {kind: {gate: torch.zeros(shape) for gate in missing or ""} for kind, shape in like.items()}
    b = torch.cat(two(gates(p, "iofz", "b_{}", missing["b"])))
    feeds = {
        "X": x.x,
        "W": gates(p, "iofz", "W_{}", missing["W"])[None],
        "R": gates(p, "iofz", "R_{}", missing["R"])[None],
        "B": b[None],
        "initial_h": s.h[None],
        "initial_c": s.c[None],
    }
    if peepholes:
        feeds["P"] = gates(p, "iof", "p_{}", missing["p"])[None]
    y, h, c = run_onnx("LSTM", feeds, **attributes)
    return {"h": y}, {"h": h, "c": c}


@onnxruntime("lstm", "LSTM", f"{LSTM} | {BIASES}", states=HC)
def onnx_plain(p, x, s):
    """Gates in the order i o f c, where c is z here; two biases."""
    return onnx_lstm(p, x, s, peepholes=False)


@onnxruntime("peephole_lstm", "LSTM with peepholes", f"{LSTM} | {BIASES} | {PEEPHOLES}", states=HC)
def onnx_peephole(p, x, s):
    """Gates in the order i o f c, where c is z here; peepholes i o f; two biases."""
    return onnx_lstm(p, x, s)


@onnxruntime("cifg_lstm", "LSTM with peepholes, input_forget", without("f"), states=HC)
def onnx_cifg(p, x, s):
    """input_forget=1 takes f = 1 - i and leaves the forget gate's weights unread. Gates i o f c, peepholes i
    o f."""
    return onnx_lstm(p, x, s, missing="f", input_forget=1)


def identity_at(place: int) -> dict:
    """Attributes that make one of the three activations (gates, input, output) the identity."""
    names = ["Sigmoid", "Tanh", "Tanh"]
    names[place] = "Affine"
    return {"activations": names, "activation_alpha": [1.0], "activation_beta": [0.0]}


@onnxruntime("niaf_lstm", "LSTM, activation g Affine", f"{LSTM} | {BIASES} | {PEEPHOLES}", states=HC)
def onnx_niaf(p, x, s):
    """Activation g is Affine with alpha 1 and beta 0. Gates i o f c, peepholes i o f; two biases."""
    return onnx_lstm(p, x, s, **identity_at(1))


@onnxruntime("noaf_lstm", "LSTM, activation h Affine", f"{LSTM} | {BIASES} | {PEEPHOLES}", states=HC)
def onnx_noaf(p, x, s):
    """Activation h is Affine with alpha 1 and beta 0. Gates i o f c, peepholes i o f; two biases."""
    return onnx_lstm(p, x, s, **identity_at(2))


def onnx_gru(p, x, s, b, linear_before_reset: int):
    feeds = {
        "X": x.x,
        "W": gates(p, "zrn", "W_{}")[None],
        "R": gates(p, "zrn", "R_{}")[None],
        "B": b[None],
        "initial_h": s.h[None],
    }
    y, h = run_onnx("GRU", feeds, linear_before_reset=linear_before_reset)
    return {"h": y}, {"h": h}


@onnxruntime("gru", "GRU, linear_before_reset=1", "W_r W_z W_n: H D | R_r R_z R_n: H H | b_r b_z b_n c_n: H")
def onnx_gru_after(p, x, s):
    """Gates in the order z r h, where h is n here; z weighs the old state; c_n is the recurrent bias of h."""
    b_r, b_z = two(p.b_r), two(p.b_z)
    return onnx_gru(p, x, s, torch.cat([b_z[0], b_r[0], p.b_n, b_z[1], b_r[1], p.c_n]), 1)


@onnxruntime(
    "gru_reset_before", "GRU, linear_before_reset=0", "W_r W_z W_n: H D | R_r R_z R_n: H H | b_r b_z b_n: H"
)
def onnx_gru_before(p, x, s):
    """Gates in the order z r h, where h is n here; z weighs the old state; two biases, of which the sum
    counts."""
    return onnx_gru(p, x, s, torch.cat(two(gates(p, "zrn", "b_{}"))), 0)


@onnxruntime("rnn", "RNN", "W_h: H D | R_h: H H | b_h: H")
def onnx_rnn(p, x, s):
    """Two biases, of which the sum counts."""
    feeds = {
        "X": x.x,
        "W": p.W_h[None],
        "R": p.R_h[None],
        "B": torch.cat(two(p.b_h))[None],
        "initial_h": s.h[None],
    }
    y, h = run_onnx("RNN", feeds)
    return {"h": y}, {"h": h}


# ---------------------------------------------------------------- Keras, on PyTorch


def keras(cell: str, source: str, parameters: str, **others):
    source = f"keras.layers.{source}"
    return oracle(cell, source, parameters, package="keras", precision="float32", **others)


def keras_cell(kind: str, x, states: list, weights: list, **options):
    """A Keras cell over a sequence, in float64, its weights in the order of its build."""
    import keras as library

    library.config.set_floatx("float64")
    unit = getattr(library.layers, kind)(states[0].shape[-1], dtype="float64", **options)
    unit.build((None, x.shape[-1]))
    x, states, weights = (
        x.float(),
        [state.float() for state in states],
        [weight.float() for weight in weights],
    )
    untrained = [variable.value for variable in unit.non_trainable_variables]  # of dropout, which is off
    found = []
    for x_t in x:
        (_, states), _ = unit.stateless_call(weights, untrained, x_t, states)
        found.append(tuple(states))
    return found


@keras("lstm", "LSTMCell", f"{LSTM} | {BIASES}", states=HC)
def keras_lstm(p, x, s):
    """Gates in the order i f c o, where c is z here; kernels transposed; one bias."""
    weights = [gates(p, "ifzo", "W_{}").T, gates(p, "ifzo", "R_{}").T, gates(p, "ifzo", "b_{}")]
    whole, end = over_time(keras_cell("LSTMCell", x.x, [s.h, s.c], weights), "h", "c")
    return {"h": whole["h"]}, end


@keras("gru", "GRUCell, reset_after", "W_r W_z W_n: H D | R_r R_z R_n: H H | b_r b_z b_n c_n: H")
def keras_gru_after(p, x, s):
    """Gates in the order z r h, where h is n here; z weighs the old state; a bias of two rows, the second
    inside."""
    b_r, b_z = two(p.b_r), two(p.b_z)
    b = torch.stack([torch.cat([b_z[0], b_r[0], p.b_n]), torch.cat([b_z[1], b_r[1], p.c_n])])
    weights = [gates(p, "zrn", "W_{}").T, gates(p, "zrn", "R_{}").T, b]
    return over_time(keras_cell("GRUCell", x.x, [s.h], weights, reset_after=True), "h")


@keras(
    "gru_reset_before", "GRUCell, reset_after=False", "W_r W_z W_n: H D | R_r R_z R_n: H H | b_r b_z b_n: H"
)
def keras_gru_before(p, x, s):
    """Gates in the order z r h, where h is n here; z weighs the old state; one bias."""
    weights = [gates(p, "zrn", "W_{}").T, gates(p, "zrn", "R_{}").T, gates(p, "zrn", "b_{}")]
    return over_time(keras_cell("GRUCell", x.x, [s.h], weights, reset_after=False), "h")
