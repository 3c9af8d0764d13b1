"""Cells written here once more, in plain PyTorch, from the papers' equations, where no library has them.

Independent of the specs: nothing here was copied from them but the names of the parameters. One function
per cell computes one step for a batch of rows; autograd does the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import sigmoid, tanh
from torch.nn.functional import layer_norm, logsigmoid, softplus

from .oracle import oracle

HC = "h: H | c: H"


def paper(cell: str, source: str, parameters: str, *, outputs: str = "h: H", **others) -> Callable:
    """Registers a function of one step: (parameters, x, state) -> everything new, by name."""

    def register(step: Callable) -> Callable:
        def compute(p, x, s):
            inputs, found = vars(x), []
            for t in range(len(next(iter(inputs.values())))):
                now = {name: value[t] for name, value in inputs.items()}
                new = step(p, *now.values(), s)
                s = type(s)(**new)
                found.append(new)
            names = [name.strip() for part in outputs.split("|") for name in part.partition(":")[0].split()]
            return {name: torch.stack([new[name] for new in found]) for name in names}, found[-1]

        told = f"{source}: the equations, written again in PyTorch"
        oracle(
            cell, told, parameters, outputs=outputs, convention=step.__doc__ or "", independent=True, **others
        )(compute)
        return step

    return register


# ---------------------------------------------------------------- the LSTM family

ODYSSEY = "Greff et al. 2017, arXiv 1503.04069"
PEEPHOLE = "W_z W_i W_f W_o: H D | R_z R_i R_f R_o: H H | p_i p_f p_o b_z b_i b_f b_o: H"


def odyssey(p, x, s, f=None, g=tanh, h=tanh, more=lambda gate: 0.0):
    """The peephole LSTM with room for one change."""
    z = g(x @ p.W_z.T + s.h @ p.R_z.T + p.b_z)
    i = sigmoid(x @ p.W_i.T + s.h @ p.R_i.T + p.p_i * s.c + p.b_i + more("i"))
    if f is None:
        f = sigmoid(x @ p.W_f.T + s.h @ p.R_f.T + p.p_f * s.c + p.b_f + more("f"))
    else:
        f = f(i)
    c = z * i + s.c * f
    o = sigmoid(x @ p.W_o.T + s.h @ p.R_o.T + p.p_o * c + p.b_o + more("o"))
    return {"h": h(c) * o, "c": c, "i": i, "f": f, "o": o}


def hc(found: dict) -> dict:
    return {"h": found["h"], "c": found["c"]}


@paper("niaf_lstm", ODYSSEY, PEEPHOLE, states=HC)
def niaf_lstm(p, x, s):
    """The block input is linear."""
    return hc(odyssey(p, x, s, g=lambda a: a))


@paper("noaf_lstm", ODYSSEY, PEEPHOLE, states=HC)
def noaf_lstm(p, x, s):
    """The cell leaves through the output gate as it is."""
    return hc(odyssey(p, x, s, h=lambda a: a))


@paper(
    "cifg_lstm",
    ODYSSEY,
    "W_z W_i W_o: H D | R_z R_i R_o: H H | p_i p_o b_z b_i b_o: H",
    states=HC,
)
def cifg_lstm(p, x, s):
    """f = 1 - i."""
    return hc(odyssey(p, x, s, f=lambda i: 1 - i))


@paper(
    "fgr_lstm",
    ODYSSEY,
    f"{PEEPHOLE} | R_ii R_fi R_oi R_if R_ff R_of R_io R_fo R_oo: H H",
    states="h c i f o: H",
)
def fgr_lstm(p, x, s):
    """R_ab leads from gate a of the last step to gate b of this one, as in the paper's appendix."""

    def more(gate):
        return sum(getattr(s, source) @ getattr(p, f"R_{source}{gate}").T for source in "ifo")

    return odyssey(p, x, s, more=more)


@paper(
    "layer_norm_lstm",
    "Ba et al. 2016, arXiv 1607.06450, equations 20 to 22, as in Haste",
    "W: 4*H D | R: 4*H H | g_x g_h b: 4*H | g_c b_c: H",
    states=HC,
)
def layer_norm_lstm(p, x, s):
    """Each product is normalised over all gates together; the cell is carried unnormalised. Gates i f o z
    here."""
    width = p.b.shape
    both = layer_norm(s.h @ p.R.T, width, p.g_h) + layer_norm(x @ p.W.T, width, p.g_x) + p.b
    i, f, o, z = both.chunk(4, -1)
    c = sigmoid(f) * s.c + sigmoid(i) * tanh(z)
    return {"h": sigmoid(o) * tanh(layer_norm(c, c.shape[-1:], p.g_c, p.b_c)), "c": c}


@paper(
    "layer_norm_lstm_carried",
    "Layer norm LSTM of TensorFlow Addons",
    "W: 4*H D | R: 4*H H | g_x g_h b: 4*H | g_c b_c: H",
    states=HC,
)
def layer_norm_lstm_carried(p, x, s):
    """The normalised cell is carried; epsilon 0.001; rows i f z o; the norms' two shifts and the bias are
    one b."""
    width = p.b.shape
    third = p.b / 3
    both = layer_norm(s.h @ p.R.T, width, p.g_h, third, 1e-3) + layer_norm(
        x @ p.W.T, width, p.g_x, third, 1e-3
    )
    i, f, z, o = (both + third).chunk(4, -1)
    c = layer_norm(sigmoid(f) * s.c + sigmoid(i) * tanh(z), s.c.shape[-1:], p.g_c, p.b_c, 1e-3)
    return {"h": sigmoid(o) * tanh(c), "c": c}


@paper(
    "layer_norm_lstm_gates",
    "Layer norm LSTM of tf.contrib.rnn",
    "W_i W_f W_o W_z: H D | R_i R_f R_o R_z: H H | g_i g_f g_o g_z b_i b_f b_o b_z g_c b_c: H",
    states=HC,
)
def layer_norm_lstm_gates(p, x, s):
    """Each gate's sum is normalised by itself; the normalised cell is carried."""

    def normal(gate):
        total = x @ getattr(p, f"W_{gate}").T + s.h @ getattr(p, f"R_{gate}").T
        return layer_norm(total, total.shape[-1:], getattr(p, f"g_{gate}"), getattr(p, f"b_{gate}"))

    c = sigmoid(normal("f")) * s.c + sigmoid(normal("i")) * tanh(normal("z"))
    c = layer_norm(c, c.shape[-1:], p.g_c, p.b_c)
    return {"h": sigmoid(normal("o")) * tanh(c), "c": c}


def g(a):
    """Hochreiter and Schmidhuber's squashing function at the cell's input, between -2 and 2."""
    return 4 / (1 + torch.exp(-a)) - 2


def h(a):
    """Theirs at the cell's output, between -1 and 1."""
    return 2 / (1 + torch.exp(-a)) - 1


@paper(
    "lstm_1997",
    "Hochreiter and Schmidhuber 1997",
    "W_i W_z W_o: H D | R_i R_z R_o: H H | b_i b_o: H",
    states=HC,
)
def lstm_1997(p, x, s):
    """No forget gate; truncated as in the paper: h[t-1] is detached wherever it is read."""
    last = s.h.detach()
    i = sigmoid(x @ p.W_i.T + last @ p.R_i.T + p.b_i)
    o = sigmoid(x @ p.W_o.T + last @ p.R_o.T + p.b_o)
    c = s.c + i * g(x @ p.W_z.T + last @ p.R_z.T)
    return {"h": o * h(c), "c": c}


@paper(
    "forget_gate_lstm",
    "Gers, Schmidhuber and Cummins 2000",
    "W_i W_f W_z W_o: H D | R_i R_f R_z R_o: H H | b_i b_f b_o: H",
    states=HC,
)
def forget_gate_lstm(p, x, s):
    """lstm_1997 with a forget gate; truncated in the same way."""
    last = s.h.detach()
    i = sigmoid(x @ p.W_i.T + last @ p.R_i.T + p.b_i)
    f = sigmoid(x @ p.W_f.T + last @ p.R_f.T + p.b_f)
    o = sigmoid(x @ p.W_o.T + last @ p.R_o.T + p.b_o)
    c = f * s.c + i * g(x @ p.W_z.T + last @ p.R_z.T)
    return {"h": o * h(c), "c": c}


@paper(
    "truncated_peephole_lstm",
    "Gers, Schraudolph and Schmidhuber 2002",
    "W_i W_f W_z W_o: H D | R_i R_f R_z R_o: H H | p_i p_f p_o b_i b_f b_o: H",
    states=HC,
)
def truncated_peephole_lstm(p, x, s):
    """h[t-1] is detached, and the cell inside of peepholes; the cell leaves through the output gate as it
    is."""
    last, seen = s.h.detach(), s.c.detach()
    i = sigmoid(x @ p.W_i.T + last @ p.R_i.T + p.p_i * seen + p.b_i)
    f = sigmoid(x @ p.W_f.T + last @ p.R_f.T + p.p_f * seen + p.b_f)
    c = f * s.c + i * g(x @ p.W_z.T + last @ p.R_z.T)
    o = sigmoid(x @ p.W_o.T + last @ p.R_o.T + p.p_o * c.detach() + p.b_o)
    return {"h": o * c, "c": c}


@paper(
    "multiplicative_lstm",
    "Krause et al. 2016, arXiv 1609.07959",
    "W_m: M D | R_m: M H | W_i W_f W_z W_o: H D | R_i R_f R_z R_o: H M | b_i b_f b_z b_o: H",
    states=HC,
)
def multiplicative_lstm(p, x, s):
    """The output gate outside of the tanh, as in the later version; the product has a size of its own."""
    m = (x @ p.W_m.T) * (s.h @ p.R_m.T)
    i, f = sigmoid(x @ p.W_i.T + m @ p.R_i.T + p.b_i), sigmoid(x @ p.W_f.T + m @ p.R_f.T + p.b_f)
    c = f * s.c + i * tanh(x @ p.W_z.T + m @ p.R_z.T + p.b_z)
    return {"h": sigmoid(x @ p.W_o.T + m @ p.R_o.T + p.b_o) * tanh(c), "c": c}


@paper(
    "full_peephole_lstm",
    "Full peepholes, as in DyNet and TensorFlow's PhasedLSTMCell",
    "W_i W_f W_o W_z: H D | R_i R_f R_o R_z P_i P_f P_o: H H | b_i b_f b_o b_z: H",
    states=HC,
)
def full_peephole_lstm(p, x, s):
    """A matrix where the peephole LSTM has a vector; the output gate sees the new cell."""
    z = tanh(x @ p.W_z.T + s.h @ p.R_z.T + p.b_z)
    i = sigmoid(x @ p.W_i.T + s.h @ p.R_i.T + s.c @ p.P_i.T + p.b_i)
    f = sigmoid(x @ p.W_f.T + s.h @ p.R_f.T + s.c @ p.P_f.T + p.b_f)
    c = f * s.c + i * z
    o = sigmoid(x @ p.W_o.T + s.h @ p.R_o.T + c @ p.P_o.T + p.b_o)
    return {"h": o * tanh(c), "c": c}


@paper(
    "wmc_lstm",
    "Landi et al. 2021, Working Memory Connections for LSTM",
    "W_i W_f W_o W_z: H D | R_i R_f R_o R_z: H H | P_i P_f P_o: H H | b_i b_f b_o b_z: H",
    states=HC,
)
def wmc_lstm(p, x, s):
    """tanh of a product with the cell enters each gate; the output gate's sees the new cell."""
    z = tanh(x @ p.W_z.T + s.h @ p.R_z.T + p.b_z)
    i = sigmoid(x @ p.W_i.T + s.h @ p.R_i.T + tanh(s.c @ p.P_i.T) + p.b_i)
    f = sigmoid(x @ p.W_f.T + s.h @ p.R_f.T + tanh(s.c @ p.P_f.T) + p.b_f)
    c = f * s.c + i * z
    o = sigmoid(x @ p.W_o.T + s.h @ p.R_o.T + tanh(c @ p.P_o.T) + p.b_o)
    return {"h": o * tanh(c), "c": c}


NESTED = " | ".join(
    [
        "W_i W_f W_o W_z: H D",
        "R_i R_f R_o R_z: H H",
        "b_i b_f b_o b_z: H",
        "V_i V_f V_o V_z U_i U_f U_o U_z: H H",
        "a_i a_f a_o a_z: H",
    ]
)


@paper("nested_lstm", "Moniz and Krueger 2017, arXiv 1801.10308", NESTED, states="h c n: H")
def nested_lstm(p, x, s):
    """The inner LSTM reads i * z and is at f * c; its output is the new cell, n its own cell; z is linear."""
    i = sigmoid(x @ p.W_i.T + s.h @ p.R_i.T + p.b_i)
    f = sigmoid(x @ p.W_f.T + s.h @ p.R_f.T + p.b_f)
    o = sigmoid(x @ p.W_o.T + s.h @ p.R_o.T + p.b_o)
    z = x @ p.W_z.T + s.h @ p.R_z.T + p.b_z
    inner_x, inner_h = i * z, f * s.c
    inner_i = sigmoid(inner_x @ p.V_i.T + inner_h @ p.U_i.T + p.a_i)
    inner_f = sigmoid(inner_x @ p.V_f.T + inner_h @ p.U_f.T + p.a_f)
    inner_o = sigmoid(inner_x @ p.V_o.T + inner_h @ p.U_o.T + p.a_o)
    n = inner_f * s.n + inner_i * tanh(inner_x @ p.V_z.T + inner_h @ p.U_z.T + p.a_z)
    c = inner_o * tanh(n)
    return {"h": o * tanh(c), "c": c, "n": n}


@paper(
    "phased_lstm",
    "Neil, Pfeiffer and Liu 2016, arXiv 1610.09513",
    f"{PEEPHOLE} | tau s r: H",
    inputs="x: D | time:",
    states=HC,
    ranges={"time": (0.0, 10.0), "tau": (1.0, 3.0), "s": (0.0, 1.0), "r": (0.3, 0.7)},
)
def phased_lstm(p, x, time, s):
    """alpha 0.001; the gradient of the phase in full, where TensorFlow's is straight-through."""
    now = odyssey(p, x, s)
    phi = torch.remainder(time[:, None] - p.s, p.tau) / p.tau
    rising, falling = 2 * phi / p.r, 2 - 2 * phi / p.r
    k = torch.where(phi < p.r / 2, rising, torch.where(phi < p.r, falling, 0.001 * phi))
    return {"c": k * now["c"] + (1 - k) * s.c, "h": k * now["h"] + (1 - k) * s.h}


@paper(
    "on_lstm",
    "Shen et al. 2019, arXiv 1810.09536",
    "W_i W_f W_o W_z: 4*K D | R_i R_f R_o R_z: 4*K 4*K | b_i b_f b_o b_z: 4*K"
    " | V_i V_f: K D | U_i U_f: K 4*K | a_i a_f: K",
    states="h c: 4*K",
    outputs="h: 4*K",
    sizes={"T": 6, "B": 4, "D": 2, "K": 3},
)
def on_lstm(p, x, s):
    """V, U and a are the master gates', of which four entries share one; cumax is the sum of a softmax so
    far."""

    def affine(gate):
        return x @ getattr(p, f"W_{gate}").T + s.h @ getattr(p, f"R_{gate}").T + getattr(p, f"b_{gate}")

    def cumax(gate):
        level = x @ getattr(p, f"V_{gate}").T + s.h @ getattr(p, f"U_{gate}").T + getattr(p, f"a_{gate}")
        return torch.cumsum(torch.softmax(level, -1), -1).repeat_interleave(4, -1)

    master_f, master_i = cumax("f"), 1 - cumax("i")
    overlap = master_f * master_i
    f = sigmoid(affine("f")) * overlap + (master_f - overlap)
    i = sigmoid(affine("i")) * overlap + (master_i - overlap)
    c = f * s.c + i * tanh(affine("z"))
    return {"h": sigmoid(affine("o")) * tanh(c), "c": c}


@paper(
    "slstm",
    "Beck et al. 2024, xLSTM, arXiv 2405.04517",
    "W_i W_f W_o W_z: H D | R_i R_f R_o R_z: H H | b_i b_f b_o b_z: H",
    states="h c n m: H",
    ranges={"n": (0.5, 2.0)},
)
def slstm(p, x, s):
    """Exponential input gate, sigmoid forget gate, stabilised by m, through which the gradient flows."""

    def affine(gate):
        return x @ getattr(p, f"W_{gate}").T + s.h @ getattr(p, f"R_{gate}").T + getattr(p, f"b_{gate}")

    kept = logsigmoid(affine("f")) + s.m
    m = torch.maximum(kept, affine("i"))
    i, f = torch.exp(affine("i") - m), torch.exp(kept - m)
    c = f * s.c + i * tanh(affine("z"))
    n = f * s.n + i
    return {"h": sigmoid(affine("o")) * c / n, "c": c, "n": n, "m": m}


@paper(
    "mlstm",
    "Beck et al. 2024, xLSTM, arXiv 2405.04517",
    "W_q W_k: K D | W_v W_o: H D | w_i w_f: D | b_q b_k: K | b_v b_o: H | b_i b_f:",
    states="C: H K | n: K | m:",
)
def mlstm(p, x, s):
    """C gains v k^T; keys, bias too, are divided by sqrt(K); the denominator is max(|n . q|, exp(-m))."""
    q = x @ p.W_q.T + p.b_q
    k = (x @ p.W_k.T + p.b_k) / q.shape[-1] ** 0.5
    v = x @ p.W_v.T + p.b_v
    i_, f_ = x @ p.w_i + p.b_i, x @ p.w_f + p.b_f
    m = torch.maximum(logsigmoid(f_) + s.m, i_)
    i, f = torch.exp(i_ - m), torch.exp(logsigmoid(f_) + s.m - m)
    C = f[:, None, None] * s.C + i[:, None, None] * torch.einsum("ba,bc->bac", v, k)
    n = f[:, None] * s.n + i[:, None] * k
    floor = torch.maximum(torch.abs((n * q).sum(-1)), torch.exp(-m))
    read = torch.einsum("bac,bc->ba", C, q) / floor[:, None]
    return {"h": sigmoid(x @ p.W_o.T + p.b_o) * read, "C": C, "n": n, "m": m}


@paper("qrnn", "Bradbury et al. 2016, arXiv 1611.01576", "W_z W_f W_o: H D | b_z b_f b_o: H", states="c: H")
def qrnn(p, x, s):
    """fo-pooling, filter width 1; f weighs the old cell, as in the paper, against the published code."""
    f = sigmoid(x @ p.W_f.T + p.b_f)
    c = f * s.c + (1 - f) * tanh(x @ p.W_z.T + p.b_z)
    return {"h": sigmoid(x @ p.W_o.T + p.b_o) * c, "c": c}


@paper(
    "qrnn_window2",
    "Bradbury et al. 2016, arXiv 1611.01576",
    "W_z W_i W_f W_o V_z V_i V_f V_o: H D | b_z b_i b_f b_o: H",
    states="c: H | u: D",
)
def qrnn_window2(p, x, s):
    """ifo-pooling, filter width 2; V meets the last input, which is carried as u."""

    def convolved(gate):
        return torch.cat([s.u, x], -1) @ torch.cat([getattr(p, f"{kind}_{gate}") for kind in "VW"], -1).T

    z, i = tanh(convolved("z") + p.b_z), sigmoid(convolved("i") + p.b_i)
    c = sigmoid(convolved("f") + p.b_f) * s.c + i * z
    return {"h": sigmoid(convolved("o") + p.b_o) * c, "c": c, "u": x}


@paper("sru", "Lei et al. 2018, arXiv 1709.02755", "W_z W_f W_r W_h: H D | v_f v_r b_f b_r: H", states="c: H")
def sru(p, x, s):
    """Both gates read the old cell; a fourth matrix carries x past, where input and cell differ in size."""
    f = sigmoid(x @ p.W_f.T + p.v_f * s.c + p.b_f)
    r = sigmoid(x @ p.W_r.T + p.v_r * s.c + p.b_r)
    c = f * s.c + (1 - f) * (x @ p.W_z.T)
    return {"h": r * c + (1 - r) * (x @ p.W_h.T), "c": c}


@paper("minlstm", "Feng et al. 2024, arXiv 2410.01201", "W_f W_i W_n: H D | b_f b_i b_n: H")
def minlstm(p, x, s):
    """Both gates divided by their sum."""
    f, i = sigmoid(x @ p.W_f.T + p.b_f), sigmoid(x @ p.W_i.T + p.b_i)
    return {"h": f / (f + i) * s.h + i / (f + i) * (x @ p.W_n.T + p.b_n)}


@paper(
    "nas_lstm",
    "Zoph and Le 2017, arXiv 1611.01578, as in tf.contrib.rnn.NASCell",
    "W: 8*H D | R: 8*H H",
    states=HC,
)
def nas_lstm(p, x, s):
    """Eight products of x by eight of h, combined as a search found; the fourth pair is multiplied, not
    added."""
    a, b = (x @ p.W.T).chunk(8, -1), (s.h @ p.R.T).chunk(8, -1)
    first = [
        sigmoid(a[0] + b[0]),
        torch.relu(a[1] + b[1]),
        sigmoid(a[2] + b[2]),
        torch.relu(a[3] * b[3]),
        tanh(a[4] + b[4]),
        sigmoid(a[5] + b[5]),
        tanh(a[6] + b[6]),
        sigmoid(a[7] + b[7]),
    ]
    second = [
        tanh(first[0] * first[1]),
        tanh(first[2] + first[3]),
        tanh(first[4] * first[5]),
        sigmoid(first[6] + first[7]),
    ]
    c = tanh(second[0] + s.c) * second[1]
    return {"h": tanh(c * tanh(second[2] + second[3])), "c": c}


# ---------------------------------------------------------------- the GRU family

GRU = "W_r W_z W_n: H D | R_r R_z R_n: H H | b_r b_z b_n: H"


@paper("gru_reset_before", "Cho et al. 2014, arXiv 1406.1078v3", GRU)
def gru_reset_before(p, x, s):
    """z weighs the old state, as in Cho et al.; Chung et al. exchange z and 1 - z."""
    z = sigmoid(x @ p.W_z.T + s.h @ p.R_z.T + p.b_z)
    r = sigmoid(x @ p.W_r.T + s.h @ p.R_r.T + p.b_r)
    n = tanh(x @ p.W_n.T + (r * s.h) @ p.R_n.T + p.b_n)
    return {"h": z * s.h + (1 - z) * n}


@paper("mingru", "Feng et al. 2024, arXiv 2410.01201", "W_z W_n: H D | b_z b_n: H")
def mingru(p, x, s):
    """z weighs the candidate."""
    z = sigmoid(x @ p.W_z.T + p.b_z)
    return {"h": (1 - z) * s.h + z * (x @ p.W_n.T + p.b_n)}


@paper(
    "mingru_log",
    "Feng et al. 2024, arXiv 2410.01201, appendix B",
    "W_z W_n: H D | b_z b_n: H",
    ranges={"h": (0.1, 1.0)},
)
def mingru_log(p, x, s):
    """In logarithms: log z = -softplus(-k), log (1 - z) = -softplus(k), and the candidate through log g."""
    k, a = x @ p.W_z.T + p.b_z, x @ p.W_n.T + p.b_n
    log_g = torch.where(a >= 0, torch.log(torch.relu(a) + 0.5), -softplus(-a))
    return {"h": torch.exp(torch.logaddexp(-softplus(k) + torch.log(s.h), -softplus(-k) + log_g))}


# ---------------------------------------------------------------- simple and continuous cells


@paper(
    "jordan", "Jordan 1986", "W_h: H D | R_h: H O | b_h: H | V: O H | b_y: O", states="y: O", outputs="y: O"
)
def jordan(p, x, s):
    """The output goes back, not the hidden layer; no decay."""
    return {"y": sigmoid(tanh(x @ p.W_h.T + s.y @ p.R_h.T + p.b_h) @ p.V.T + p.b_y)}


@paper(
    "scrn",
    "Mikolov et al. 2014, arXiv 1412.7753",
    "B: S D | P: H S | A: H D | R: H H | U: O H | V: O S",
    states="h: H | s: S",
    outputs="y: O",
)
def scrn(p, x, s):
    """alpha 0.95 weighs the slow state; read out by a softmax."""
    slow = 0.05 * (x @ p.B.T) + 0.95 * s.s
    fast = sigmoid(slow @ p.P.T + x @ p.A.T + s.h @ p.R.T)
    return {"h": fast, "s": slow, "y": torch.softmax(fast @ p.U.T + slow @ p.V.T, -1)}


RHN = "W_n W_k: H D | R_n1 R_k1 R_n2 R_k2 R_n3 R_k3: H H | b_n1 b_k1 b_n2 b_k2 b_n3 b_k3: H"


@paper("rhn", "Zilly et al. 2017, arXiv 1607.03474", RHN)
def rhn(p, x, s):
    """Depth 3, carry coupled to transform, which is k; the input enters the first layer alone."""
    state = s.h
    for depth in (1, 2, 3):
        n = state @ getattr(p, f"R_n{depth}").T + getattr(p, f"b_n{depth}")
        k = state @ getattr(p, f"R_k{depth}").T + getattr(p, f"b_k{depth}")
        if depth == 1:
            n, k = n + x @ p.W_n.T, k + x @ p.W_k.T
        state = tanh(n) * sigmoid(k) + state * (1 - sigmoid(k))
    return {"h": state}


@paper(
    "lem",
    "Rusch et al. 2022, arXiv 2110.04744",
    "W_k W_l W_z W_y: H D | R_k R_l R_z R_y: H H | b_k b_l b_z b_y: H",
    states="y: H | z: H",
    outputs="y: H",
)
def lem(p, x, s):
    """dt 1; k is the paper's first time step, l its second; z first, and y reads the new z."""
    k = sigmoid(s.y @ p.R_k.T + x @ p.W_k.T + p.b_k)
    l = sigmoid(s.y @ p.R_l.T + x @ p.W_l.T + p.b_l)
    z = (1 - k) * s.z + k * tanh(s.y @ p.R_z.T + x @ p.W_z.T + p.b_z)
    return {"y": (1 - l) * s.y + l * tanh(z @ p.R_y.T + x @ p.W_y.T + p.b_y), "z": z}


@paper(
    "lmu",
    "Voelker et al. 2019, equations 1, 2, 6 and 7",
    "e_x: D | e_h: H | e_m ones: M | W_x: H D | W_h: H H | W_m: H M",
    states="h: H | m: M",
    ranges={"ones": (1.0, 1.0)},
)
def lmu(p, x, s):
    """theta 100, Euler steps of 1; A and B as matrices; h reads the new memory; ones is not read."""
    order = s.m.shape[-1]
    i, j = torch.meshgrid(torch.arange(order), torch.arange(order), indexing="ij")
    A = (2 * i + 1) * torch.where(i < j, -1.0, (-1.0) ** (i - j + 1)).double()
    B = ((2 * i[:, 0] + 1) * (-1.0) ** i[:, 0]).double()
    u = x @ p.e_x + s.h @ p.e_h + s.m @ p.e_m
    m = s.m + (s.m @ A.T + u[:, None] * B) / 100
    return {"h": tanh(x @ p.W_x.T + s.h @ p.W_h.T + m @ p.W_m.T), "m": m}
