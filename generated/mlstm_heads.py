# Made by lstmgen 0.1.0 from the spec of mlstm_heads. It is yours: keep it, change it, ship it.
# lstmgen: sha256:70b84dad38dc3064
"""mLSTM with heads: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, N = heads, G = head_size, K = key_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of mlstm_heads.tex. One step computes

      (1)  q_pre  = W_q @ x + b_q
      (2)  q      = heads(q_pre, N)
      (3)  k_1    = W_k @ x + b_k
      (4)  k_2    = heads(k_1, N)
      (5)  k      = k_2 / sqrt(K)
      (6)  v_pre  = W_v @ x + b_v
      (7)  v      = heads(v_pre, N)
      (8)  a      = W_i @ x + b_i
      (9)  l_1    = W_f @ x + b_f
     (10)  l_2    = logsigmoid(l_1)
     (11)  l      = l_2 + m[t-1]
     (12)  m      = max(l, a)
     (13)  i_pre  = a - m
     (14)  i      = exp(i_pre)
     (15)  f_pre  = l - m
     (16)  f      = exp(f_pre)
     (17)  C_1    = fill(i, G) * v
     (18)  C_2    = outer(C_1, k)
     (19)  C      = fill(fill(f, G), K) * C[t-1] + C_2
     (20)  n      = fill(f, K) * n[t-1] + fill(i, K) * k
     (21)  o_pre  = W_o @ x + b_o
     (22)  o      = sigmoid(o_pre)
     (23)  h_1    = C @ q
     (24)  h_2    = dot(n, q)
     (25)  h_3    = abs(h_2)
     (26)  h_4    = -m
     (27)  h_5    = exp(h_4)
     (28)  h_6    = max(h_3, h_5)
     (29)  h      = h_1 / fill(h_6, G)
     (30)  flat_h = flat(h)
     (31)  y      = o * flat_h
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    C: np.ndarray  # (B, N, G, K)
    n: np.ndarray  # (B, N, K)
    m: np.ndarray  # (B, N)


class Gradients(NamedTuple):
    """What `backward` returns."""

    params: Params  # summed over steps and examples
    x: np.ndarray  # (T, B, D)
    state: State  # at the initial state


class Tape(NamedTuple):
    """What `backward` needs to know of a forward pass. `y` is yours to read, the rest is its own."""

    y: np.ndarray
    kept: tuple
    steps: int
    batch: int
    dtype: np.dtype
    sizes: tuple  # D, N, K, G


def init_params(
    input_size: int, heads: int, head_size: int, key_size: int,
    rng: int | np.random.Generator = 0, dtype: type = np.float32,
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W_qk: (2*K*N, D)  rows of W_q, W_k
    W_vo: (2*G*N, D)  rows of W_v, W_o
    b_qk: (2*K*N,)  rows of b_q, b_k
    b_vo: (2*G*N,)  rows of b_v, b_o
    W_if: (2*N, D)  rows of W_i, W_f
    b_if: (2*N,)  rows of b_i, b_f
    """
    _checked_start(dtype, input_size=input_size, heads=heads, head_size=head_size, key_size=key_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, heads, head_size, key_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_q", "W_k", "W_v", "W_o", "W_i", "W_f"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: C (B, N, G, K), n (B, N, K), m (B, N), where to start; None is zero
    y: (T, B, G*N), y at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, N, K, G = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, N, G, K, dtype) if state is None else state
    W_qk = params["W_qk"]
    W_vo = params["W_vo"]
    b_qk = params["b_qk"]
    b_vo = params["b_vo"]
    W_if = params["W_if"]
    b_if = params["b_if"]
    W_qk_x = _at_once(x, W_qk.T) + b_qk                     # q_pre, k_1, side by side
    W_vo_x = _at_once(x, W_vo.T) + b_vo                     # v_pre, o_pre, side by side
    W_if_x = _at_once(x, W_if.T) + b_if                     # a, l_1, side by side
    q = _heads(W_qk_x[..., 0:K*N], N)                       # (1), (2)
    k_2 = _heads(W_qk_x[..., K*N:2*K*N], N)                 # (3), (4)
    k = k_2 / float(np.sqrt(K))                             # (5)
    v = _heads(W_vo_x[..., 0:G*N], N)                       # (6), (7)
    a = W_if_x[..., 0:N]                                    # (8)
    l_1 = W_if_x[..., N:2*N]                                # (9)
    l_2 = -_softplus(-l_1)                                  # (10)
    o = _sigmoid(W_vo_x[..., G*N:2*G*N])                    # (21), (22)
    C_all = np.empty((T + 1, B, N, G, K), dtype)
    C_all[0] = state.C
    C_prev, C = C_all[:-1], C_all[1:]                       # C_prev[t] is C one step earlier
    n_all = np.empty((T + 1, B, N, K), dtype)
    n_all[0] = state.n
    n_prev, n = n_all[:-1], n_all[1:]                       # n_prev[t] is n one step earlier
    m_all = np.empty((T + 1, B, N), dtype)
    m_all[0] = state.m
    m_prev, m = m_all[:-1], m_all[1:]                       # m_prev[t] is m one step earlier
    l, i, f = np.empty((3, T, B, N), dtype)
    C_1 = np.empty((T, B, N, G), dtype)

    for t in range(T):
        l[t] = l_2[t] + m_prev[t]                           # (11)
        m[t] = np.maximum(l[t], a[t])                       # (12)
        i_pre = a[t] - m[t]                                 # (13)
        i[t] = np.exp(i_pre)                                # (14)
        f_pre = l[t] - m[t]                                 # (15)
        f[t] = np.exp(f_pre)                                # (16)
        C_1[t] = i[t][..., None] * v[t]                     # (17)
        C_2 = C_1[t][..., :, None] * k[t][..., None, :]     # (18)
        C[t] = f[t][..., None, None] * C_prev[t] + C_2      # (19)
        n[t] = f[t][..., None] * n_prev[t] + i[t][..., None] * k[t]  # (20)
    h_1 = (C @ q[..., None])[..., 0]                        # (23)
    h_2 = np.einsum("tbjk,tbjk->tbj", n, q)                 # (24)
    h_3 = _abs(h_2)                                         # (25)
    h_4 = -m                                                # (26)
    h_5 = np.exp(h_4)                                       # (27)
    h_6 = np.maximum(h_3, h_5)                              # (28)
    h = h_1 / h_6[..., None]                                # (29)
    flat_h = _flat(h)                                       # (30)
    y = o * flat_h                                          # (31)
    end = State(C_all[-1].copy(), n_all[-1].copy(), m_all[-1].copy())
    kept = (
        x, q, k, v, a, l_1, l, i, f, C_1, C_prev, C, n_prev, n, o, h_1, h_2, h_3, h_5, h_6,
        flat_h,
    )
    tape = Tape(y, kept, T, B, dtype, (D, N, K, G))
    return y, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, G*N), what reaches the outputs from outside; None is zero
    dstate: C (B, N, G, K), n (B, N, K), m (B, N), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, N, K, G = _sizes(params)
    W_qk, W_vo, W_if = params["W_qk"], params["W_vo"], params["W_if"]
    (
        x, q, k, v, a, l_1, l, i, f, C_1, C_prev, C, n_prev, n, o, h_1, h_2, h_3, h_5, h_6,
        flat_h,
    ) = tape.kept
    d_flat_h = dy * o                                       # (32), (33) from y
    d_h = _heads(d_flat_h, N)                               # (34) from flat_h
    d_h_6 = (-d_h * h_1 / _fill(h_6, G) ** 2).sum(-1)       # (35) from h
    d_h_5 = _if_larger(h_5, h_3, d_h_6)                     # (36) from h_6
    d_h_4 = d_h_5 * h_5                                     # (37) from h_5
    d_h_3 = _if_larger(h_3, h_5, d_h_6)                     # (38) from h_6
    d_h_2 = d_h_3 * _sign(h_2)                              # (39) from h_3
    d_h_1 = d_h / h_6[..., None]                            # (40) from h
    d_n = np.empty((T, B, N, K), dtype)
    d_C_2 = np.empty((T, B, N, G, K), dtype)
    d_C_1 = np.empty((T, B, N, G), dtype)
    d_i_pre = np.empty((T, B, N), dtype)
    d_m = np.empty((T, B, N), dtype)
    d_l = np.empty((T, B, N), dtype)
    d_C_next = dstate.C                                     # from outside, through the final state
    d_n_next = dstate.n                                     # from outside, through the final state
    d_m_next = dstate.m                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (43) fork of n: one line per reader
        d_n[t] = (
            d_n_next                                        # step t+1: n
            + d_h_2[t][..., None] * q[t]                    # h_2
        )

        # (44) fork of C: one line per reader
        d_C = (
            d_C_next                                        # step t+1: C
            + d_h_1[t][..., :, None] * q[t][..., None, :]   # h_1
        )

        d_C_2[t] = d_C                                      # (45) from C
        d_C_1[t] = (d_C_2[t] @ k[t][..., None])[..., 0]     # (46) from C_2

        # (47) fork of f: one line per reader
        d_f = (
            np.einsum("bijk,bijk->bi", d_C, C_prev[t])      # C
            + np.einsum("bjk,bjk->bj", d_n[t], n_prev[t])   # n
        )

        d_f_pre = d_f * f[t]                                # (48) from f

        # (49) fork of i: one line per reader
        d_i = (
            np.einsum("bjk,bjk->bj", d_C_1[t], v[t])        # C_1
            + np.einsum("bjk,bjk->bj", d_n[t], k[t])        # n
        )

        d_i_pre[t] = d_i * i[t]                             # (50) from i

        # (51) fork of m: one line per reader
        d_m[t] = (
            d_m_next                                        # step t+1: l
            - d_i_pre[t]                                    # i_pre
            - d_f_pre                                       # f_pre
            - d_h_4[t]                                      # h_4
        )

        # (52) fork of l: one line per reader
        d_l[t] = (
            _if_larger(l[t], a[t], d_m[t])                  # m
            + d_f_pre                                       # f_pre
        )

        d_C_next = d_C * f[t][..., None, None]              # (44) to C[t-1], from C
        d_n_next = d_n[t] * f[t][..., None]                 # (43) to n[t-1], from n
        d_m_next = d_l[t]                                   # (51) to m[t-1], from l
    d_pre_qk = np.empty((T, B, 2 * K * N), dtype)           # side by side, as their weights are stacked
    d_q_pre = d_pre_qk[..., 0:K*N]
    d_k_1 = d_pre_qk[..., K*N:2*K*N]
    d_pre_vo = np.empty((T, B, 2 * G * N), dtype)           # side by side, as their weights are stacked
    d_v_pre = d_pre_vo[..., 0:G*N]
    d_o_pre = d_pre_vo[..., G*N:2*G*N]
    d_pre_al = np.empty((T, B, 2 * N), dtype)               # side by side, as their weights are stacked
    d_a = d_pre_al[..., 0:N]
    d_l_1 = d_pre_al[..., N:2*N]
    d_o = dy * flat_h                                       # (41) from y
    d_o_pre[...] = d_o * o * (1 - o)                        # (42) from o
    d_l_1[...] = d_l * _sigmoid(-l_1)                       # (53), (54) from l_2

    # (55) fork of a: one line per reader
    d_a[...] = (
        _if_larger(a, l, d_m)                               # m
        + d_i_pre                                           # i_pre
    )

    d_v = d_C_1 * i[..., None]                              # (56) from C_1
    d_v_pre[...] = _flat(d_v)                               # (57) from v

    # (58) fork of k: one line per reader
    d_k = (
        (C_1[..., None, :] @ d_C_2)[..., 0, :]              # C_2
        + d_n * i[..., None]                                # n
    )

    d_k_2 = d_k / float(np.sqrt(K))                         # (59) from k
    d_k_1[...] = _flat(d_k_2)                               # (60) from k_2

    # (61) fork of q: one line per reader
    d_q = (
        (d_h_1[..., None, :] @ C)[..., 0, :]                # h_1
        + d_h_2[..., None] * n                              # h_2
    )

    d_q_pre[...] = _flat(d_q)                               # (62) from q

    # (63) fork of x: one line per reader
    d_x = (
        _at_once(d_pre_qk, W_qk)                            # q_pre, k_1
        + _at_once(d_pre_vo, W_vo)                          # v_pre, o_pre
        + _at_once(d_pre_al, W_if)                          # a, l_1
    )
    grads = {
        "W_qk": _sum_of_outer(d_pre_qk, x),                 # (64), (65) from q_pre, k_1
        "W_vo": _sum_of_outer(d_pre_vo, x),                 # (66), (67) from v_pre, o_pre
        "b_qk": d_pre_qk.sum((0, 1)),                       # (68), (69) from q_pre, k_1
        "b_vo": d_pre_vo.sum((0, 1)),                       # (70), (71) from v_pre, o_pre
        "W_if": _sum_of_outer(d_pre_al, x),                 # (72), (73) from a, l_1
        "b_if": d_pre_al.sum((0, 1)),                       # (74), (75) from a, l_1
    }
    return Gradients(grads, d_x, State(d_C_next, d_n_next, d_m_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: C (B, N, G, K), n (B, N, K), m (B, N), where to start; None is zero
    y_t: (B, G*N), y
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, N, K, G = _sizes(params)
    B = x_t.shape[0]
    C_prev, n_prev, m_prev = _start(B, N, G, K, dtype) if state is None else state
    W_qk = params["W_qk"]
    W_vo = params["W_vo"]
    b_qk = params["b_qk"]
    b_vo = params["b_vo"]
    W_if = params["W_if"]
    b_if = params["b_if"]
    W_qk_x = x_t @ W_qk.T + b_qk                            # q_pre, k_1, side by side
    W_vo_x = x_t @ W_vo.T + b_vo                            # v_pre, o_pre, side by side
    W_if_x = x_t @ W_if.T + b_if                            # a, l_1, side by side
    q = _heads(W_qk_x[:, 0:K*N], N)                         # (1), (2)
    k_2 = _heads(W_qk_x[:, K*N:2*K*N], N)                   # (3), (4)
    k = k_2 / float(np.sqrt(K))                             # (5)
    v = _heads(W_vo_x[:, 0:G*N], N)                         # (6), (7)
    a = W_if_x[:, 0:N]                                      # (8)
    l_1 = W_if_x[:, N:2*N]                                  # (9)
    l_2 = -_softplus(-l_1)                                  # (10)
    o = _sigmoid(W_vo_x[:, G*N:2*G*N])                      # (21), (22)
    l = l_2 + m_prev                                        # (11)
    m = np.maximum(l, a)                                    # (12)
    i_pre = a - m                                           # (13)
    i = np.exp(i_pre)                                       # (14)
    f_pre = l - m                                           # (15)
    f = np.exp(f_pre)                                       # (16)
    C_1 = i[..., None] * v                                  # (17)
    C_2 = C_1[..., :, None] * k[..., None, :]               # (18)
    C = f[..., None, None] * C_prev + C_2                   # (19)
    n = f[..., None] * n_prev + i[..., None] * k            # (20)
    h_1 = (C @ q[..., None])[..., 0]                        # (23)
    h_2 = np.einsum("bjk,bjk->bj", n, q)                    # (24)
    h_3 = _abs(h_2)                                         # (25)
    h_4 = -m                                                # (26)
    h_5 = np.exp(h_4)                                       # (27)
    h_6 = np.maximum(h_3, h_5)                              # (28)
    h = h_1 / h_6[..., None]                                # (29)
    flat_h = _flat(h)                                       # (30)
    y = o * flat_h                                          # (31)
    return y, State(C, n, m)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, N, K, G = _sizes(params)
    return {
        "W_q": params["W_qk"][0:K*N],
        "W_k": params["W_qk"][K*N:2*K*N],
        "W_v": params["W_vo"][0:G*N],
        "W_o": params["W_vo"][G*N:2*G*N],
        "b_q": params["b_qk"][0:K*N],
        "b_k": params["b_qk"][K*N:2*K*N],
        "b_v": params["b_vo"][0:G*N],
        "b_o": params["b_vo"][G*N:2*G*N],
        "W_i": params["W_if"][0:N],
        "W_f": params["W_if"][N:2*N],
        "b_i": params["b_if"][0:N],
        "b_f": params["b_if"][N:2*N],
    }


def clip_by_norm(grads: Gradients, threshold: float) -> Gradients:
    """The parameters' gradients scaled so that their joint norm is at most `threshold`."""
    norm = np.sqrt(sum(float(np.sum(np.abs(grad) ** 2, dtype=np.float64)) for grad in grads.params.values()))
    if norm <= threshold:
        return grads
    scaled = {name: grad * np.asarray(threshold / norm, np.real(grad).dtype) for name, grad in grads.params.items()}
    return grads._replace(params=scaled)


# ---------------------------------------------------------------- functions


def _abs(a):
    """|a|; of a complex step both parts turn their sign, where np.abs would drop one."""
    return np.where(a < 0, -a, a) if np.iscomplexobj(a) else np.abs(a)


def _at_once(a, matrix):
    """a @ matrix for all steps and examples: one product of two matrices, not one for each step."""
    return (a.reshape(-1, a.shape[-1]) @ matrix).reshape(*a.shape[:-1], matrix.shape[-1])


def _fill(a, n):
    """Every entry n times along a new last axis."""
    return np.repeat(np.asarray(a)[..., None], n, axis=-1)


def _flat(a):
    """The last two axes as one."""
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1])


def _heads(a, n):
    """The last axis as n rows."""
    return a.reshape(*a.shape[:-1], n, a.shape[-1] // n)


def _if_larger(a, b, d):
    """d where a > b, half of it at a tie, else 0: what max(a, b) sends back to a. A tenth of the time of np.where."""
    half = 0.5 * d
    return half * (a > b) + half * (a >= b)


def _glorot(rng, shape):
    """Uniform, with the variance 2 / (rows + columns) of Glorot and Bengio 2010."""
    sides = shape[-2:] or (1,)
    limit = np.sqrt(6 / (sides[0] + sides[-1]))
    return rng.uniform(-limit, limit, shape)


def _sigmoid(a):
    """1 / (1 + exp(-a)), by way of tanh: no overflow, and the fastest in NumPy."""
    y = np.tanh(0.5 * a)
    y *= 0.5
    y += 0.5
    return y


def _sign(a):
    """-1, 0 or 1; of a complex number's real part."""
    return np.sign(np.real(a)).astype(np.asarray(a).dtype, copy=False)


def _softplus(a):
    """log(1 + exp(a)) without overflow."""
    return np.maximum(a, 0) + np.log1p(np.exp(-_abs(a)))


def _sum_of_outer(d, v):
    """The sum over all steps and examples of the outer products d v^T: one matrix product."""
    return d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1])


# ---------------------------------------------------------------- shapes


def _shapes(D, N, G, K):
    """The shapes of the stored parameters."""
    return {
        "W_qk": (2 * K * N, D),
        "W_vo": (2 * G * N, D),
        "b_qk": (2 * K * N,),
        "b_vo": (2 * G * N,),
        "W_if": (2 * N, D),
        "b_if": (2 * N,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, N, K, G."""
    D = params["W_qk"].shape[1]
    N = params["W_if"].shape[0] // 2
    K = params["W_qk"].shape[0] // (2 * N)
    G = params["W_vo"].shape[0] // (2 * N)
    return (D, N, K, G)


def _start(batch, N, G, K, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, N, G, K), dtype),
        np.zeros((batch, N, K), dtype),
        np.zeros((batch, N), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W_qk": ("2*K*N", "D"),
    "W_vo": ("2*G*N", "D"),
    "b_qk": ("2*K*N",),
    "b_vo": ("2*G*N",),
    "W_if": ("2*N", "D"),
    "b_if": ("2*N",),
}


def _checked_start(dtype, **sizes):
    """Whether parameters can be of a type and of sizes."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"{name} is {size!r}, expected a whole number from 1 on")
    if np.dtype(dtype) not in (np.float32, np.float64, np.complex128):
        raise ValueError(f"dtype is {np.dtype(dtype)}, expected float32, float64 or complex128")


def _checked_forward(params, x, state):
    """The arguments of `forward` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x)
    params, D, N, K, G = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, N, G, K, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, N, K, G = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, N, G, K, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, N, K, G = _checked_params(params, tape.dtype)
    if tape.sizes != (D, N, K, G):
        raise ValueError(f"the tape is of params with D, N, K, G = {tape.sizes}, and these have {(D, N, K, G)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, G*N)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, N, G, K, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, N, G, K, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, N, G, K, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".C", state[0], "(B, N, G, K)", (batch, N, G, K), dtype),
        _checked(name + ".n", state[1], "(B, N, K)", (batch, N, K), dtype),
        _checked(name + ".m", state[2], "(B, N)", (batch, N), dtype),
    )


def _checked_fields(name, given, record):
    """Whether `given` is None, or a tuple or a list with an entry for each field of `record`."""
    if given is not None and (not isinstance(given, (tuple, list)) or len(given) != len(record._fields)):
        length = f" of {len(given)}" if isinstance(given, (tuple, list)) else ""
        told = f"{record.__name__}({', '.join(record._fields)})"
        raise ValueError(f"{name} is {type(given).__name__}{length}, expected {told}")


def _checked_params(params, dtype):
    """The parameters as arrays, and the sizes that their shapes tell."""
    arrays = {}
    for name, axes in _AXES.items():
        array = params[name]
        if not (array.__class__ is np.ndarray and array.dtype is dtype and array.ndim == len(axes)):
            array = _checked(f"params['{name}']", array, _told(axes), (None,) * len(axes), dtype)
        arrays[name] = array
    D, N, K, G = _sizes(arrays)
    for name, shape in _shapes(D, N, G, K).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, N, K, G


def _checked_keys(params):
    """Whether there is each parameter under its key, and nothing else."""
    if not hasattr(params, "keys"):
        raise ValueError(f"params is {type(params).__name__}, expected a dictionary with the keys {sorted(_AXES)}")
    if params.keys() != _AXES.keys():
        raise ValueError(f"params has the keys {sorted(map(str, params))}, expected {sorted(_AXES)}")


def _checked(name, value, told, shape, dtype):
    """`value` as an array of a type and shape. None in `shape` is any length, and None for it any shape."""
    if value.__class__ is np.ndarray and value.dtype is dtype and value.shape == shape:
        return value
    try:
        array = np.asarray(value)
        if array.dtype.kind not in ("biufc" if dtype.kind == "c" else "biuf"):
            raise ValueError
        array = array.astype(dtype, copy=False)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is no array of {dtype} numbers, expected {told}") from None
    fits = shape is None or array.shape == shape or (
        array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape)))
    if not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} has shape {array.shape}, expected {told} = ({sizes})")
    return array


def _dtype(params, state, *arrays):
    """The type to compute in: the parameters' own, but complex128 if any argument is complex."""
    _checked_keys(params)
    _checked_fields("state", state, State)
    try:
        types = [
            array.dtype if array.__class__ is np.ndarray else np.asarray(array).dtype
            for array in (*params.values(), *arrays, *(state or ()))
        ]
        dtype = types[0]
        if types.count(dtype) < len(types):
            dtype = np.result_type(*types[: len(params) or None])
            dtype = np.result_type(dtype, np.complex128) if any(each.kind == "c" for each in types) else dtype
    except (TypeError, ValueError):  # something is no array, or of no type that meets others: `_checked` names it
        return np.dtype(np.float64)
    if not dtype.isnative:
        dtype = dtype.newbyteorder("=")
    if dtype.kind not in "fc":
        dtype = np.dtype(np.float64)
    if dtype.char not in "fdD":
        raise ValueError(f"params are of type {dtype}, expected float32, float64 or complex128")
    return dtype


def _told(axes):
    return "(" + ", ".join(axes) + ")"


# ---------------------------------------------------------------- the module's own check


def _self_check():
    """Gradients against complex-step derivatives of the forward pass; the largest relative error."""
    rng = np.random.default_rng(0)
    steps, batch = 4, 3
    D = 3
    N = 4
    G = 5
    K = 6
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, N, G, K).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, N, G, K)),
        rng.uniform(-1, 1, (batch, N, K)),
        rng.uniform(-1, 1, (batch, N)),
    )
    y, end, tape = forward(params, *arguments, state)
    dstate = State(*(rng.uniform(-1, 1, value.shape) for value in end))
    dy = rng.uniform(-1, 1, y.shape)
    grads = backward(params, tape, dy, dstate)

    def objective(params, arguments, state):
        y, end, _ = forward(params, *arguments, state)
        return sum(np.sum(d * v) for d, v in zip((dy, *dstate), (y, *end)))

    def derivative(array, evaluate):
        found = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            moved = array.astype(np.complex128)
            moved[index] += 1e-30j
            found[index] = evaluate(moved).imag / 1e-30
        return found

    worst = 0.0
    checks = [(name, grads.params[name], params[name], lambda moved, name=name: objective(
        {**params, name: moved}, arguments, state)) for name in params]
    for place, name in enumerate(['x']):
        checks.append((name, grads[1 + place], arguments[place], lambda moved, place=place: objective(
            params, [*arguments[:place], moved, *arguments[place + 1:]], state)))
    for place, name in enumerate(State._fields):
        checks.append((f"state.{name}", grads.state[place], state[place], lambda moved, place=place: objective(
            params, arguments, State(*state[:place], moved, *state[place + 1:]))))
    for name, gradient, array, evaluate in checks:
        expected = derivative(np.asarray(array), evaluate)
        scale = np.abs(expected).max(initial=0.0)
        error = np.abs(gradient - expected).max(initial=0.0) / (scale or 1.0)
        print(f"  {name:<7} {error:8.1e}")
        worst = max(worst, error)
    return worst


if __name__ == "__main__":
    print("mlstm_heads: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
