"""Cells written here once more, in plain PyTorch, from the papers' equations, where no library has them.

Independent of the specs: nothing here was copied from them but the names of the parameters. One function
per cell computes one step for a batch of rows; autograd does the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import sigmoid, tanh
from torch.nn.functional import layer_norm

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


# ---------------------------------------------------------------- the GRU family

GRU = "W_r W_z W_n: H D | R_r R_z R_n: H H | b_r b_z b_n: H"


@paper("gru_reset_before", "Cho et al. 2014, arXiv 1406.1078v3", GRU)
def gru_reset_before(p, x, s):
    """z weighs the old state, as in Cho et al.; Chung et al. exchange z and 1 - z."""
    z = sigmoid(x @ p.W_z.T + s.h @ p.R_z.T + p.b_z)
    r = sigmoid(x @ p.W_r.T + s.h @ p.R_r.T + p.b_r)
    n = tanh(x @ p.W_n.T + (r * s.h) @ p.R_n.T + p.b_n)
    return {"h": z * s.h + (1 - z) * n}
