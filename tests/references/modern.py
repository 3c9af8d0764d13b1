"""The cells of 2019 to 2026, written once more in plain PyTorch, from the papers' equations.

As in `equations.py`: nothing was copied from the specs but the names of the parameters. Where a paper defines something by
a derivative (TTT, Titans) or by complex numbers (LRU), it is computed in that way here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import sigmoid, tanh
from torch.nn.functional import elu, logsigmoid, relu, silu, softplus

from .equations import paper
from .oracle import SIZES

WIDE = SIZES | {"F": 7, "G": 4, "N": 4, "R": 8}
MEMORY = "W_q W_k: K D | W_v: H D"


def unit(a: torch.Tensor) -> torch.Tensor:
    """A vector of length 1, nearly."""
    return a / torch.sqrt((a * a).sum(-1, keepdim=True) + 1e-6)


def columns(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """All products of an entry of a and one of b, for each example."""
    return torch.einsum("bi,bj->bij", a, b)


def read(memory: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bij,bj->bi", memory, key)


def spike(a: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """1 where a is positive, with a derivative that is given."""
    return (a > 0).double() + slope.detach() * (a - a.detach())


# ---------------------------------------------------------------- a matrix as memory


@paper("delta_net", "Yang et al. 2024, arXiv 2406.06484", f"{MEMORY} | w_b: D", states="S: H K")
def delta_net(p, x, s):
    """S (I - beta k k^T) + beta v k^T, as a product of matrices."""
    q, k, v = unit(silu(x @ p.W_q.T)), unit(silu(x @ p.W_k.T)), silu(x @ p.W_v.T)
    beta = sigmoid(x @ p.w_b)[:, None, None]
    S = s.S @ (torch.eye(k.shape[-1], dtype=k.dtype) - beta * columns(k, k)) + beta * columns(v, k)
    return {"S": S, "h": read(S, q)}


@paper("gated_delta_net", "Yang et al. 2025, arXiv 2412.06464", f"{MEMORY} | w_a w_b: D | b_a A:", states="S: H K")
def gated_delta_net(p, x, s):
    """S (alpha (I - beta k k^T)) + beta v k^T, as a product of matrices."""
    q, k, v = unit(silu(x @ p.W_q.T)), unit(silu(x @ p.W_k.T)), silu(x @ p.W_v.T)
    alpha = torch.exp(-torch.exp(p.A) * softplus(x @ p.w_a + p.b_a))[:, None, None]
    beta = sigmoid(x @ p.w_b)[:, None, None]
    S = s.S @ (alpha * (torch.eye(k.shape[-1], dtype=k.dtype) - beta * columns(k, k))) + beta * columns(v, k)
    return {"S": S, "h": read(S, q)}


@paper("gla", "Yang et al. 2023, arXiv 2312.06635", f"{MEMORY} | W_l: R D | W_a: K R | b_a: K", states="S: K H", sizes=WIDE)
def gla(p, x, s):
    """The gate is sigmoid(.)^(1/16), of low rank; the query is divided by the root of its size."""
    a = sigmoid(x @ p.W_l.T @ p.W_a.T + p.b_a) ** (1 / 16)
    S = torch.diag_embed(a) @ s.S + columns(x @ p.W_k.T, x @ p.W_v.T)
    return {"S": S, "h": read(S.mT, x @ p.W_q.T / p.W_q.shape[0] ** 0.5)}


@paper("retnet", "Sun et al. 2023, arXiv 2307.08621", MEMORY, states="S: K H")
def retnet(p, x, s):
    """gamma is 31/32; without rotation and norm."""
    S = s.S * 31 / 32 + columns(x @ p.W_k.T, x @ p.W_v.T)
    return {"S": S, "h": read(S.mT, x @ p.W_q.T / p.W_q.shape[0] ** 0.5)}


@paper("linear_attention", "Katharopoulos et al. 2020, arXiv 2006.16236", MEMORY, states="S: K H | n: K",
       ranges={"n": (0.5, 2.0)})
def linear_attention(p, x, s):
    """The feature map is elu + 1; n sums the keys."""
    q, k = elu(x @ p.W_q.T) + 1, elu(x @ p.W_k.T) + 1
    S, n = s.S + columns(k, x @ p.W_v.T), s.n + k
    return {"S": S, "n": n, "h": read(S.mT, q) / (q * n).sum(-1, keepdim=True)}


@paper("hgrn2", "Qin et al. 2024, arXiv 2404.07904", "W_f W_q: K D | W_v: H D | b_f low: K", states="S: K H")
def hgrn2(p, x, s):
    """The bound of the forget gate is a sigmoid; the key is 1 - f."""
    bound = sigmoid(p.low)
    f = bound + (1 - bound) * sigmoid(x @ p.W_f.T + p.b_f)
    S = torch.diag_embed(f) @ s.S + columns(1 - f, silu(x @ p.W_v.T))
    return {"S": S, "h": read(S.mT, silu(x @ p.W_q.T))}


@paper("mamba2", "Dao and Gu 2024, arXiv 2405.21060", "W_x: H D | W_B W_C: N D | w_dt: D | b_dt A skip:",
       states="S: H N", sizes=WIDE)
def mamba2(p, x, s):
    """One head: A is one number, the input map is dt B."""
    u, dt = x @ p.W_x.T, softplus(x @ p.w_dt + p.b_dt)[:, None, None]
    S = torch.exp(-torch.exp(p.A) * dt) * s.S + dt * columns(u, x @ p.W_B.T)
    return {"S": S, "h": read(S, x @ p.W_C.T) + p.skip * u}


@paper("s6", "Gu and Dao 2023, arXiv 2312.00752",
       "A: D N | W_B W_C: N D | W_l: R D | W_dt: D R | b_dt skip: D", states="S: D N", outputs="y: D", sizes=WIDE)
def s6(p, x, s):
    """A is -exp of its parameter, discretised exactly; B by an Euler step."""
    dt = softplus(x @ p.W_l.T @ p.W_dt.T + p.b_dt)
    S = torch.exp(torch.einsum("bd,dn->bdn", dt, -torch.exp(p.A))) * s.S
    S = S + torch.einsum("bd,bn,bd->bdn", dt, x @ p.W_B.T, x)
    return {"S": S, "y": read(S, x @ p.W_C.T) + p.skip * x}


@paper("rwkv7", "Peng et al. 2025, arXiv 2503.14456", "W_r W_k W_v W_w W_a: K D | b_w b_a xi alpha: K", states="S: K K",
       outputs="h: K")
def rwkv7(p, x, s):
    """S (diag(w) - kappa^T (a * kappa)) + v^T k, as a product of matrices."""
    k, a = x @ p.W_k.T, sigmoid(x @ p.W_a.T + p.b_a)
    w = torch.exp(-torch.exp(torch.tensor(-0.5).double()) * sigmoid(x @ p.W_w.T + p.b_w))
    kappa = unit(k * p.xi)
    S = s.S @ (torch.diag_embed(w) - columns(kappa, a * kappa))
    S = S + columns(x @ p.W_v.T, k * (1 + (a - 1) * p.alpha))
    return {"S": S, "h": read(S, x @ p.W_r.T)}


@paper("titans", "Behrouz et al. 2025, arXiv 2501.00663", "W_q W_k W_v: K D | w_a w_e w_t: D", states="M S: K K",
       outputs="h: K")
def titans(p, x, s):
    """The gradient of the squared error is taken by autograd."""
    k, v = x @ p.W_k.T, x @ p.W_v.T
    alpha, eta, theta = (sigmoid(x @ w)[:, None, None] for w in (p.w_a, p.w_e, p.w_t))
    M = s.M if s.M.requires_grad else s.M.requires_grad_()
    (surprise,) = torch.autograd.grad(((read(M, k) - v) ** 2).sum(), M, create_graph=True)
    S = eta * s.S - theta * surprise
    M = (1 - alpha) * M + S
    return {"M": M, "S": S, "h": read(M, x @ p.W_q.T)}


@paper("ttt_linear", "Sun et al. 2024, arXiv 2407.04620", "W_q W_k W_v: K D | w_l: D | b_l: | gain shift: K",
       states="M: K K | b: K", outputs="h: K")
def ttt_linear(p, x, s):
    """The step of the inner model is taken by autograd; half the squared error; the target is v - k."""
    def model(M, b, a):
        return torch.nn.functional.layer_norm(read(M, a) + b, a.shape[-1:], p.gain, p.shift, 1e-6)

    k, v, q = x @ p.W_k.T, x @ p.W_v.T, x @ p.W_q.T
    M, b = s.M * 1, s.b * 1
    error = 0.5 * ((model(M, b, k) - (v - k)) ** 2).sum()
    d_M, d_b = torch.autograd.grad(error, (M, b), create_graph=True)
    rate = sigmoid(x @ p.w_l + p.b_l)[:, None] / k.shape[-1]
    M, b = M - rate[..., None] * d_M, b - rate * d_b
    return {"M": M, "b": b, "h": q + model(M, b, q)}


# ---------------------------------------------------------------- with heads, written without an axis of heads

HEADS = SIZES | {"N": 4, "G": 5}
GATES = "W_i W_f W_z W_o: N*G D | R_i R_f R_z R_o: N G G | b_i b_f b_z b_o: N G"


def blocks(matrices: torch.Tensor) -> torch.Tensor:
    """One matrix with those of the heads on its diagonal."""
    return torch.block_diag(*matrices)


def gate(p, x, h, name: str) -> torch.Tensor:
    """A pre-activation of all units: one dense matrix with zeros between the heads."""
    recurrent = h.flatten(1) @ blocks(getattr(p, f"R_{name}")).T
    return x @ getattr(p, f"W_{name}").T + recurrent + getattr(p, f"b_{name}").flatten()


def one_by_one(step: Callable, count: int) -> list[torch.Tensor]:
    """What a step gives for each head, stacked behind the axis of examples."""
    return [torch.stack(parts, 1) for parts in zip(*map(step, range(count)))]


def rows(matrix: torch.Tensor, head: int, count: int) -> torch.Tensor:
    """The rows of one head in a matrix, or the entries in a vector."""
    return matrix.chunk(count)[head]


@paper("lstm_heads", "Poppel et al. 2024, FlashRNN, arXiv 2412.07752", GATES, states="h c: N G", outputs="y: N*G",
       sizes=HEADS)
def lstm_heads(p, x, s):
    """The LSTM with a dense recurrent matrix that is zero outside of the blocks of the heads."""
    i, f, z, o = (gate(p, x, s.h, name) for name in "ifzo")
    c = sigmoid(f) * s.c.flatten(1) + sigmoid(i) * tanh(z)
    h = sigmoid(o) * tanh(c)
    return {"h": h.view_as(s.h), "c": c.view_as(s.c), "y": h}


@paper("slstm_heads", "Beck et al. 2024, xLSTM, arXiv 2405.04517", GATES, states="h c n m: N G", outputs="y: N*G",
       sizes=HEADS, ranges={"n": (0.5, 2.0)})
def slstm_heads(p, x, s):
    """As the sLSTM of one head, with block-diagonal recurrent matrices; the gradient goes through m."""
    i_, f_, z, o = (gate(p, x, s.h, name) for name in "ifzo")
    kept = logsigmoid(f_) + s.m.flatten(1)
    m = torch.maximum(kept, i_)
    i, f = torch.exp(i_ - m), torch.exp(kept - m)
    c, n = f * s.c.flatten(1) + i * tanh(z), f * s.n.flatten(1) + i
    h = sigmoid(o) * c / n
    return {name: value.view_as(s.h) for name, value in {"h": h, "c": c, "n": n, "m": m}.items()} | {"y": h}


@paper("mlstm_heads", "Beck et al. 2024, xLSTM, arXiv 2405.04517",
       "W_q W_k: N*K D | W_v W_o: N*G D | b_q b_k: N*K | b_v b_o: N*G | W_i W_f: N D | b_i b_f: N",
       states="C: N G K | n: N K | m: N", outputs="y: N*G", sizes=HEADS)
def mlstm_heads(p, x, s):
    """The mLSTM of one head, once for each; keys, bias too, are divided by sqrt(K)."""
    count = s.m.shape[-1]

    def head(k):
        query = x @ rows(p.W_q, k, count).T + rows(p.b_q, k, count)
        key = (x @ rows(p.W_k, k, count).T + rows(p.b_k, k, count)) / query.shape[-1] ** 0.5
        value = x @ rows(p.W_v, k, count).T + rows(p.b_v, k, count)
        wanted = x @ p.W_i[k] + p.b_i[k]
        kept = logsigmoid(x @ p.W_f[k] + p.b_f[k]) + s.m[:, k]
        m = torch.maximum(kept, wanted)
        i, f = torch.exp(wanted - m)[:, None], torch.exp(kept - m)[:, None]
        C = f[..., None] * s.C[:, k] + columns(i * value, key)
        n = f * s.n[:, k] + i * key
        floor = torch.maximum(torch.abs((n * query).sum(-1)), torch.exp(-m))
        return C, n, m, read(C, query) / floor[:, None]

    C, n, m, h = one_by_one(head, count)
    return {"C": C, "n": n, "m": m, "y": sigmoid(x @ p.W_o.T + p.b_o) * h.flatten(1)}


@paper("gated_delta_net_heads", "Yang et al. 2025, arXiv 2412.06464",
       "W_q W_k: N*K D | W_v: N*G D | W_a W_b: N D | b_a A: N", states="S: N G K", outputs="y: N*G", sizes=HEADS)
def gated_delta_net_heads(p, x, s):
    """S (alpha (I - beta k k^T)) + beta v k^T of each head, as a product of matrices."""
    count = p.A.shape[0]

    def head(k):
        query, key = (unit(silu(x @ rows(W, k, count).T)) for W in (p.W_q, p.W_k))
        value = silu(x @ rows(p.W_v, k, count).T)
        alpha = torch.exp(-torch.exp(p.A[k]) * softplus(x @ p.W_a[k] + p.b_a[k]))[:, None, None]
        beta = sigmoid(x @ p.W_b[k])[:, None, None]
        S = s.S[:, k] @ (alpha * (torch.eye(key.shape[-1]).double() - beta * columns(key, key))) + beta * columns(value, key)
        return S, read(S, query)

    S, h = one_by_one(head, count)
    return {"S": S, "y": h.flatten(1)}


@paper("rwkv7_heads", "Peng et al. 2025, arXiv 2503.14456", "W_r W_k W_v W_w W_a: N*K D | b_w b_a: N*K | xi alpha: N K",
       states="S: N K K", outputs="y: N*K", sizes=HEADS)
def rwkv7_heads(p, x, s):
    """S (diag(w) - kappa^T (a * kappa)) + v^T k of each head, as a product of matrices."""
    count = p.xi.shape[0]

    def head(k):
        r, key, value, w, a = (x @ rows(W, k, count).T for W in (p.W_r, p.W_k, p.W_v, p.W_w, p.W_a))
        w = torch.exp(-torch.exp(torch.tensor(-0.5).double()) * sigmoid(w + rows(p.b_w, k, count)))
        a = sigmoid(a + rows(p.b_a, k, count))
        kappa = unit(key * p.xi[k])
        S = s.S[:, k] @ (torch.diag_embed(w) - columns(kappa, a * kappa))
        S = S + columns(value, key * (1 + (a - 1) * p.alpha[k]))
        return S, read(S, r)

    S, h = one_by_one(head, count)
    return {"S": S, "y": h.flatten(1)}


@paper("retnet_heads", "Sun et al. 2023, arXiv 2307.08621", "W_q W_k: N*K D | W_v: N*G D | g: N G", states="S: N K G",
       outputs="y: N*G", sizes=HEADS)
def retnet_heads(p, x, s):
    """gamma of head n is 1 - 2^(-4-n), n from 1; each head is normalised, with a gain; without rotation."""
    count = p.g.shape[0]

    def head(k):
        query, key, value = (x @ rows(W, k, count).T for W in (p.W_q, p.W_k, p.W_v))
        S = s.S[:, k] * (1 - 2.0 ** (-5 - k)) + columns(key, value)
        h = read(S.mT, query / query.shape[-1] ** 0.5)
        return S, p.g[k] * torch.nn.functional.layer_norm(h, h.shape[-1:])

    S, h = one_by_one(head, count)
    return {"S": S, "y": h.flatten(1)}


@paper("aaren", "Feng et al. 2024, arXiv 2405.13956", "W_k: K D | W_v: H D | q: K", states="a: H | c m:", outputs="o: H",
       ranges={"c": (0.5, 2.0)})
def aaren(p, x, s):
    """Scores are divided by the root of the key's size; sums are scaled by the largest score so far."""
    score = (x @ p.W_k.T * p.q).sum(-1) / p.q.shape[0] ** 0.5
    m = torch.maximum(s.m, score)
    old, new = torch.exp(s.m - m), torch.exp(score - m)
    a = old[:, None] * s.a + new[:, None] * (x @ p.W_v.T)
    c = old * s.c + new
    return {"a": a, "c": c, "m": m, "o": a / c[:, None]}


class Clipped(torch.autograd.Function):
    """The same forward; on the way back, entries beyond 10 are cut off."""

    @staticmethod
    def forward(ctx, a):
        return a.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.clamp(-10, 10)


@paper("graves_2013", "Graves 2013, arXiv 1308.0850",
       "W_i W_f W_z W_o: H D | R_i R_f R_z R_o: H H | p_i p_f p_o b_i b_f b_z b_o: H", states="h c: H")
def graves_2013(p, x, s):
    """The gradients at the pre-activations are clipped to 10; the output gate's peephole sees the new cell."""
    def at(gate, cell):
        total = x @ getattr(p, f"W_{gate}").T + s.h @ getattr(p, f"R_{gate}").T + getattr(p, f"b_{gate}")
        return Clipped.apply(total + cell)

    i, f = sigmoid(at("i", p.p_i * s.c)), sigmoid(at("f", p.p_f * s.c))
    c = f * s.c + i * tanh(at("z", 0))
    return {"h": sigmoid(at("o", p.p_o * c)) * tanh(c), "c": c}


# ---------------------------------------------------------------- diagonal


@paper("lru", "Orvieto et al. 2023, arXiv 2303.06349", "nu theta gamma: N | B_re B_im: N D | C_re C_im: P N | skip: P D",
       states="re im: N", outputs="y: P", sizes=WIDE | {"P": 5})
def lru(p, x, s):
    """In complex numbers; the output is the real part."""
    eigenvalue = torch.exp(torch.complex(-torch.exp(p.nu), torch.exp(p.theta)))
    B, C = torch.complex(p.B_re, p.B_im), torch.complex(p.C_re, p.C_im)
    state = eigenvalue * torch.complex(s.re, s.im) + torch.exp(p.gamma) * (x.to(B.dtype) @ B.T)
    return {"re": state.real, "im": state.imag, "y": (state @ C.T).real + x @ p.skip.T}


@paper("rg_lru", "De et al. 2024, arXiv 2402.19427", "W_r W_i: D D | b_r b_i Lambda: D", states="h: D", outputs="h: D",
       sizes=SIZES | {"D": 5})
def rg_lru(p, x, s):
    """a is sigmoid(-Lambda) to the power 8 r."""
    a = sigmoid(-p.Lambda) ** (8 * sigmoid(x @ p.W_r.T + p.b_r))
    return {"h": a * s.h + torch.sqrt(1 - a**2) * sigmoid(x @ p.W_i.T + p.b_i) * x}


# ---------------------------------------------------------------- with gates, with time, with spikes


@paper("cfc", "Hasani et al. 2022, arXiv 2106.13898",
       "W_b: F D | R_b: F H | b_b: F | W_1 W_2 W_a W_t: H F | b_1 b_2 b_a b_t: H", inputs="x: D | ts:", sizes=WIDE,
       ranges={"ts": (0.0, 2.0)})
def cfc(p, x, ts, s):
    """One hidden layer with LeCun's tanh under four heads; ff1 (1 - s) + ff2 s."""
    z = 1.7159 * tanh(0.666 * (torch.cat([x, s.h], -1) @ torch.cat([p.W_b, p.R_b], -1).T + p.b_b))
    one, two = tanh(z @ p.W_1.T + p.b_1), tanh(z @ p.W_2.T + p.b_2)
    share = sigmoid((z @ p.W_a.T + p.b_a) * ts[:, None] + (z @ p.W_t.T + p.b_t))
    return {"h": one * (1 - share) + two * share}


@paper("clockwork", "Koutnik et al. 2014, arXiv 1402.3511",
       "W_k W_l W_m: G D | R_kk R_kl R_km R_ll R_lm R_mm: G G | b_k b_l b_m: G", states="k l m: G | n:",
       outputs="y: 3*G", sizes=WIDE, ranges={"n": (0.0, 8.0)})
def clockwork(p, x, s):
    """One block matrix; the rows of a module change where its period divides the step."""
    n, none = s.n + 1, torch.zeros_like(p.R_kk)
    R = torch.cat([torch.cat(row, 1) for row in (
        (p.R_kk, p.R_kl, p.R_km), (none, p.R_ll, p.R_lm), (none, none, p.R_mm))])
    before = torch.cat([s.k, s.l, s.m], -1)
    new = tanh(x @ torch.cat([p.W_k, p.W_l, p.W_m]).T + before @ R.T + torch.cat([p.b_k, p.b_l, p.b_m]))
    turn = torch.stack([torch.remainder(n, period) < 0.5 for period in (1, 2, 4)], -1)
    turn[:, 0] = True  # the period 1 divides every step
    y = torch.where(turn.repeat_interleave(s.k.shape[-1], -1), new, before)
    k, l, m = y.chunk(3, -1)
    return {"k": k, "l": l, "m": m, "n": n, "y": y}


@paper("ltc", "Hasani et al. 2020, arXiv 2006.04439",
       "w_s mu_s k_s e_s: H D | w mu k e: H H | leak v_leak cm: H", inputs="x: D | dt:", states="v: H", outputs="v: H",
       ranges={"dt": (0.1, 1.0), "leak": (0.5, 1.0), "cm": (0.5, 1.0), "w": (0.1, 1.0), "w_s": (0.1, 1.0)})
def ltc(p, x, dt, s):
    """Two fused steps; synapse (i, j) leads from j to i."""
    def synapses(w, k, mu, e, v):
        open_ = w * sigmoid(k * (v[:, None, :] - mu))
        return (open_ * e).sum(-1), open_.sum(-1)

    v, cm = s.v, p.cm / (dt[:, None] / 2)
    for _ in range(2):
        sensed, reached = synapses(p.w_s, p.k_s, p.mu_s, p.e_s, x), synapses(p.w, p.k, p.mu, p.e, v)
        top = cm * v + p.leak * p.v_leak + reached[0] + sensed[0]
        v = top / (cm + p.leak + reached[1] + sensed[1])
    return {"v": v}


@paper("indy_lstm", "Gonnet and Deselaers 2019, arXiv 1903.08023",
       "W_i W_f W_z W_o: H D | u_i u_f u_z u_o b_i b_f b_z b_o: H", states="h: H | c: H")
def indy_lstm(p, x, s):
    """The recurrent matrices are diagonal."""
    i, f, o, z = (x @ getattr(p, f"W_{gate}").T + s.h @ torch.diag(getattr(p, f"u_{gate}")) + getattr(p, f"b_{gate}")
                  for gate in "ifoz")
    c = sigmoid(f) * s.c + sigmoid(i) * tanh(z)
    return {"h": sigmoid(o) * tanh(c), "c": c}


@paper("gru_d", "Che et al. 2018, arXiv 1606.01865",
       "w_x b_x mean: D | W_h W_z W_r W_n V_z V_r V_n: H D | R_z R_r R_n: H H | b_h b_z b_r b_n: H",
       inputs="x m delta: D", states="h: H | l: D", ranges={"m": (0.0, 1.0), "delta": (0.0, 2.0)})
def gru_d(p, x, m, delta, s):
    """z weighs the candidate; l is the last observation before this step, then this one where there is one."""
    decay_x = torch.exp(-torch.maximum(torch.zeros_like(delta), p.w_x * delta + p.b_x))
    decay_h = torch.exp(-relu(delta @ p.W_h.T + p.b_h))
    u = m * x + (1 - m) * (decay_x * s.l + (1 - decay_x) * p.mean)
    h = decay_h * s.h
    z = sigmoid(u @ p.W_z.T + h @ p.R_z.T + m @ p.V_z.T + p.b_z)
    r = sigmoid(u @ p.W_r.T + h @ p.R_r.T + m @ p.V_r.T + p.b_r)
    n = tanh(u @ p.W_n.T + (r * h) @ p.R_n.T + m @ p.V_n.T + p.b_n)
    return {"h": (1 - z) * h + z * n, "l": m * x + (1 - m) * s.l}


@paper("egru", "Subramoney et al. 2022, arXiv 2206.06178",
       "W_u W_r W_z: H D | R_u R_r R_z: H H | b_u b_r b_z theta: H", states="c y: H", outputs="y: H")
def egru(p, x, s):
    """The pseudo-derivative is a triangle of height 1 and half-width 1; what was sent is taken off the state."""
    u = sigmoid(x @ p.W_u.T + s.y @ p.R_u.T + p.b_u)
    r = sigmoid(x @ p.W_r.T + s.y @ p.R_r.T + p.b_r)
    z = tanh(x @ p.W_z.T + (r * s.y) @ p.R_z.T + p.b_z)
    c = u * z + (1 - u) * s.c - s.y
    above = c - p.theta
    return {"c": c, "y": c * spike(above, torch.clamp(1 - above.abs(), min=0))}


@paper("spiking_lif", "Neftci et al. 2019, arXiv 1901.09948", "W: H D | R: H H", states="i u s: H", outputs="s: H",
       ranges={"i": (-1.0, 2.0), "u": (-1.0, 2.0), "s": (0.0, 1.0)})
def spiking_lif(p, x, s):
    """alpha 0.8, beta 0.9; the slope of the spike is that of a fast sigmoid, 1 / (1 + 10 |u - 1|)^2."""
    i = 0.8 * s.i + x @ p.W.T + s.s @ p.R.T
    u = (0.9 * s.u + i) * (1 - s.s.detach())
    return {"i": i, "u": u, "s": spike(u - 1, (1 + 10 * (u - 1).abs()) ** -2)}
