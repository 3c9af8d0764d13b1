# Made by lstmgen 0.1.0 from the spec of mlstm. It is yours: keep it, change it, ship it.
# lstmgen: sha256:00c03c116f5c3d4f
"""mLSTM: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size, K = key_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of mlstm.tex. One step computes

      (1)  q     = W_q @ x + b_q
      (2)  k_1   = W_k @ x + b_k
      (3)  k     = k_1 / sqrt(K)
      (4)  v     = W_v @ x + b_v
      (5)  a_1   = dot(w_i, x)
      (6)  a     = a_1 + b_i
      (7)  l_1   = dot(w_f, x)
      (8)  l_2   = l_1 + b_f
      (9)  l_3   = logsigmoid(l_2)
     (10)  l     = l_3 + m[t-1]
     (11)  m     = max(l, a)
     (12)  i_pre = a - m
     (13)  i     = exp(i_pre)
     (14)  f_pre = l - m
     (15)  f     = exp(f_pre)
     (16)  C_1   = outer(v, k)
     (17)  C     = f * C[t-1] + i * C_1
     (18)  n     = f * n[t-1] + i * k
     (19)  o_pre = W_o @ x + b_o
     (20)  o     = sigmoid(o_pre)
     (21)  h_1   = C @ q
     (22)  h_2   = dot(n, q)
     (23)  h_3   = abs(h_2)
     (24)  h_4   = -m
     (25)  h_5   = exp(h_4)
     (26)  h_6   = max(h_3, h_5)
     (27)  h     = o * h_1 / h_6
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    C: np.ndarray  # (B, H, K)
    n: np.ndarray  # (B, K)
    m: np.ndarray  # (B,)


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
    sizes: tuple  # D, K, H


def init_params(
    input_size: int, hidden_size: int, key_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W_qk: (2*K, D)  rows of W_q, W_k
    W_vo: (2*H, D)  rows of W_v, W_o
    b_qk: (2*K,)  rows of b_q, b_k
    b_vo: (2*H,)  rows of b_v, b_o
    w_i: (D,)
    w_f: (D,)
    b_i: ()
    b_f: ()
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size, key_size=key_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size, key_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_q", "W_k", "W_v", "W_o"):
        views[name][...] = _glorot(rng, views[name].shape)
    for name in ("w_i", "w_f"):
        views[name][...] = _uniform(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: C (B, H, K), n (B, K), m (B,), where to start; None is zero
    y: (T, B, H), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, K, H = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, K, dtype) if state is None else state
    W_qk = params["W_qk"]
    W_vo = params["W_vo"]
    b_qk = params["b_qk"]
    b_vo = params["b_vo"]
    w_i = params["w_i"]
    w_f = params["w_f"]
    b_i = params["b_i"]
    b_f = params["b_f"]
    W_qk_x = _at_once(x, W_qk.T) + b_qk                     # q, k_1, side by side
    W_vo_x = _at_once(x, W_vo.T) + b_vo                     # v, o_pre, side by side
    q = W_qk_x[..., 0:K]                                    # (1)
    k = W_qk_x[..., K:2*K] / float(np.sqrt(K))              # (2), (3)
    v = W_vo_x[..., 0:H]                                    # (4)
    a_1 = x @ w_i                                           # (5)
    a = a_1 + b_i                                           # (6)
    l_1 = x @ w_f                                           # (7)
    l_2 = l_1 + b_f                                         # (8)
    l_3 = -_softplus(-l_2)                                  # (9)
    C_1 = v[..., :, None] * k[..., None, :]                 # (16)
    o = _sigmoid(W_vo_x[..., H:2*H])                        # (19), (20)
    C_all = np.empty((T + 1, B, H, K), dtype)
    C_all[0] = state.C
    C_prev, C = C_all[:-1], C_all[1:]                       # C_prev[t] is C one step earlier
    n_all = np.empty((T + 1, B, K), dtype)
    n_all[0] = state.n
    n_prev, n = n_all[:-1], n_all[1:]                       # n_prev[t] is n one step earlier
    m_all = np.empty((T + 1, B), dtype)
    m_all[0] = state.m
    m_prev, m = m_all[:-1], m_all[1:]                       # m_prev[t] is m one step earlier
    l, i, f = np.empty((3, T, B), dtype)

    for t in range(T):
        l[t] = l_3[t] + m_prev[t]                           # (10)
        m[t] = np.maximum(l[t], a[t])                       # (11)
        i_pre = a[t] - m[t]                                 # (12)
        i[t] = np.exp(i_pre)                                # (13)
        f_pre = l[t] - m[t]                                 # (14)
        f[t] = np.exp(f_pre)                                # (15)
        C[t] = f[t][..., None, None] * C_prev[t] + i[t][..., None, None] * C_1[t]  # (17)
        n[t] = f[t][..., None] * n_prev[t] + i[t][..., None] * k[t]  # (18)
    h_1 = (C @ q[..., None])[..., 0]                        # (21)
    h_2 = np.einsum("tbk,tbk->tb", n, q)                    # (22)
    h_3 = _abs(h_2)                                         # (23)
    h_4 = -m                                                # (24)
    h_5 = np.exp(h_4)                                       # (25)
    h_6 = np.maximum(h_3, h_5)                              # (26)
    h = o * h_1 / h_6[..., None]                            # (27)
    end = State(C_all[-1].copy(), n_all[-1].copy(), m_all[-1].copy())
    kept = (x, q, k, v, a, l_2, l, i, f, C_1, C_prev, C, n_prev, n, o, h_1, h_2, h_3, h_5, h_6)
    tape = Tape(h, kept, T, B, dtype, (D, K, H))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: C (B, H, K), n (B, K), m (B,), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, K, H = _sizes(params)
    W_qk, W_vo, w_i, w_f = params["W_qk"], params["W_vo"], params["w_i"], params["w_f"]
    x, q, k, v, a, l_2, l, i, f, C_1, C_prev, C, n_prev, n, o, h_1, h_2, h_3, h_5, h_6 = tape.kept
    d_h_6 = (-dy * o * h_1 / (h_6 ** 2)[..., None]).sum(-1)  # (28), (29) from h
    d_h_5 = _if_larger(h_5, h_3, d_h_6)                     # (30) from h_6
    d_h_4 = d_h_5 * h_5                                     # (31) from h_5
    d_h_3 = _if_larger(h_3, h_5, d_h_6)                     # (32) from h_6
    d_h_2 = d_h_3 * _sign(h_2)                              # (33) from h_3
    d_h_1 = dy * o / h_6[..., None]                         # (34) from h
    d_n = np.empty((T, B, K), dtype)
    d_C = np.empty((T, B, H, K), dtype)
    d_i_pre = np.empty((T, B), dtype)
    d_m = np.empty((T, B), dtype)
    d_l = np.empty((T, B), dtype)
    d_C_next = dstate.C                                     # from outside, through the final state
    d_n_next = dstate.n                                     # from outside, through the final state
    d_m_next = dstate.m                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (37) fork of n: one line per reader
        d_n[t] = (
            d_n_next                                        # step t+1: n
            + d_h_2[t][..., None] * q[t]                    # h_2
        )

        # (38) fork of C: one line per reader
        d_C[t] = (
            d_C_next                                        # step t+1: C
            + d_h_1[t][..., :, None] * q[t][..., None, :]   # h_1
        )

        # (40) fork of f: one line per reader
        d_f = (
            np.einsum("bjk,bjk->b", d_C[t], C_prev[t])      # C
            + np.einsum("bk,bk->b", d_n[t], n_prev[t])      # n
        )

        d_f_pre = d_f * f[t]                                # (41) from f

        # (42) fork of i: one line per reader
        d_i = (
            np.einsum("bjk,bjk->b", d_C[t], C_1[t])         # C
            + np.einsum("bk,bk->b", d_n[t], k[t])           # n
        )

        d_i_pre[t] = d_i * i[t]                             # (43) from i

        # (44) fork of m: one line per reader
        d_m[t] = (
            d_m_next                                        # step t+1: l
            - d_i_pre[t]                                    # i_pre
            - d_f_pre                                       # f_pre
            - d_h_4[t]                                      # h_4
        )

        # (45) fork of l: one line per reader
        d_l[t] = (
            _if_larger(l[t], a[t], d_m[t])                  # m
            + d_f_pre                                       # f_pre
        )

        d_C_next = d_C[t] * f[t][..., None, None]           # (38) to C[t-1], from C
        d_n_next = d_n[t] * f[t][..., None]                 # (37) to n[t-1], from n
        d_m_next = d_l[t]                                   # (44) to m[t-1], from l
    d_pre_qk = np.empty((T, B, 2 * K), dtype)               # side by side, as their weights are stacked
    d_q = d_pre_qk[..., 0:K]
    d_k_1 = d_pre_qk[..., K:2*K]
    d_pre_vo = np.empty((T, B, 2 * H), dtype)               # side by side, as their weights are stacked
    d_v = d_pre_vo[..., 0:H]
    d_o_pre = d_pre_vo[..., H:2*H]
    d_o = dy * h_1 / h_6[..., None]                         # (35) from h
    d_o_pre[...] = d_o * o * (1 - o)                        # (36) from o
    d_C_1 = d_C * i[..., None, None]                        # (39) from C
    d_l_2 = d_l * _sigmoid(-l_2)                            # (46), (47) from l_3

    # (49) fork of a: one line per reader
    d_a = (
        _if_larger(a, l, d_m)                               # m
        + d_i_pre                                           # i_pre
    )

    d_v[...] = (d_C_1 @ k[..., None])[..., 0]               # (51) from C_1

    # (52) fork of k: one line per reader
    d_k = (
        (v[..., None, :] @ d_C_1)[..., 0, :]                # C_1
        + d_n * i[..., None]                                # n
    )

    d_k_1[...] = d_k / float(np.sqrt(K))                    # (53) from k

    # (54) fork of q: one line per reader
    d_q[...] = (
        (d_h_1[..., None, :] @ C)[..., 0, :]                # h_1
        + d_h_2[..., None] * n                              # h_2
    )

    # (55) fork of x: one line per reader
    d_x = (
        _at_once(d_pre_qk, W_qk)                            # q, k_1
        + _at_once(d_pre_vo, W_vo)                          # v, o_pre
        + d_a[..., None] * w_i                              # (50) a_1
        + d_l_2[..., None] * w_f                            # (48) l_1
    )
    grads = {
        "W_qk": _sum_of_outer(d_pre_qk, x),                 # (56), (57) from q, k_1
        "W_vo": _sum_of_outer(d_pre_vo, x),                 # (58), (59) from v, o_pre
        "b_qk": d_pre_qk.sum((0, 1)),                       # (60), (61) from q, k_1
        "b_vo": d_pre_vo.sum((0, 1)),                       # (62), (63) from v, o_pre
        "w_i": np.einsum("tb,tbk->k", d_a, x),              # (64) from a_1
        "w_f": np.einsum("tb,tbk->k", d_l_2, x),            # (65) from l_1
        "b_i": np.asarray(d_a.sum(), dtype),                # (66) from a
        "b_f": np.asarray(d_l_2.sum(), dtype),              # (67) from l_2
    }
    return Gradients(grads, d_x, State(d_C_next, d_n_next, d_m_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: C (B, H, K), n (B, K), m (B,), where to start; None is zero
    y_t: (B, H), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, K, H = _sizes(params)
    B = x_t.shape[0]
    C_prev, n_prev, m_prev = _start(B, H, K, dtype) if state is None else state
    W_qk = params["W_qk"]
    W_vo = params["W_vo"]
    b_qk = params["b_qk"]
    b_vo = params["b_vo"]
    w_i = params["w_i"]
    w_f = params["w_f"]
    b_i = params["b_i"]
    b_f = params["b_f"]
    W_qk_x = x_t @ W_qk.T + b_qk                            # q, k_1, side by side
    W_vo_x = x_t @ W_vo.T + b_vo                            # v, o_pre, side by side
    q = W_qk_x[:, 0:K]                                      # (1)
    k = W_qk_x[:, K:2*K] / float(np.sqrt(K))                # (2), (3)
    v = W_vo_x[:, 0:H]                                      # (4)
    a_1 = x_t @ w_i                                         # (5)
    a = a_1 + b_i                                           # (6)
    l_1 = x_t @ w_f                                         # (7)
    l_2 = l_1 + b_f                                         # (8)
    l_3 = -_softplus(-l_2)                                  # (9)
    C_1 = v[..., :, None] * k[..., None, :]                 # (16)
    o = _sigmoid(W_vo_x[:, H:2*H])                          # (19), (20)
    l = l_3 + m_prev                                        # (10)
    m = np.maximum(l, a)                                    # (11)
    i_pre = a - m                                           # (12)
    i = np.exp(i_pre)                                       # (13)
    f_pre = l - m                                           # (14)
    f = np.exp(f_pre)                                       # (15)
    C = f[..., None, None] * C_prev + i[..., None, None] * C_1  # (17)
    n = f[..., None] * n_prev + i[..., None] * k            # (18)
    h_1 = (C @ q[..., None])[..., 0]                        # (21)
    h_2 = np.einsum("bk,bk->b", n, q)                       # (22)
    h_3 = _abs(h_2)                                         # (23)
    h_4 = -m                                                # (24)
    h_5 = np.exp(h_4)                                       # (25)
    h_6 = np.maximum(h_3, h_5)                              # (26)
    h = o * h_1 / h_6[..., None]                            # (27)
    return h, State(C, n, m)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, K, H = _sizes(params)
    return {
        "W_q": params["W_qk"][0:K],
        "W_k": params["W_qk"][K:2*K],
        "W_v": params["W_vo"][0:H],
        "W_o": params["W_vo"][H:2*H],
        "b_q": params["b_qk"][0:K],
        "b_k": params["b_qk"][K:2*K],
        "b_v": params["b_vo"][0:H],
        "b_o": params["b_vo"][H:2*H],
        "w_i": params["w_i"],
        "w_f": params["w_f"],
        "b_i": params["b_i"],
        "b_f": params["b_f"],
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


def _if_larger(a, b, d):
    """d where a > b, half of it at a tie, else 0: what max(a, b) sends back to a. A tenth of the time of np.where."""
    half = 0.5 * d
    return half * (a > b) + half * (a >= b)


def _glorot(rng, shape):
    """Uniform, with the variance 2 / (rows + columns) of Glorot and Bengio 2010."""
    sides = shape[-2:] or (1,)
    limit = np.sqrt(6 / (sides[0] + sides[-1]))
    return rng.uniform(-limit, limit, shape)


def _uniform(rng, shape):
    """Uniform in +-1 / sqrt(columns)."""
    limit = 1 / np.sqrt(shape[-1] if shape else 1)
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


def _shapes(D, H, K):
    """The shapes of the stored parameters."""
    return {
        "W_qk": (2 * K, D),
        "W_vo": (2 * H, D),
        "b_qk": (2 * K,),
        "b_vo": (2 * H,),
        "w_i": (D,),
        "w_f": (D,),
        "b_i": (),
        "b_f": (),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, K, H."""
    D = params["W_qk"].shape[1]
    K = params["W_qk"].shape[0] // 2
    H = params["W_vo"].shape[0] // 2
    return (D, K, H)


def _start(batch, H, K, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, H, K), dtype),
        np.zeros((batch, K), dtype),
        np.zeros((batch,), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W_qk": ("2*K", "D"),
    "W_vo": ("2*H", "D"),
    "b_qk": ("2*K",),
    "b_vo": ("2*H",),
    "w_i": ("D",),
    "w_f": ("D",),
    "b_i": (),
    "b_f": (),
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
    params, D, K, H = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, H, K, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, K, H = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, H, K, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, K, H = _checked_params(params, tape.dtype)
    if tape.sizes != (D, K, H):
        raise ValueError(f"the tape is of params with D, K, H = {tape.sizes}, and these have {(D, K, H)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, H)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, H, K, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, H, K, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, H, K, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".C", state[0], "(B, H, K)", (batch, H, K), dtype),
        _checked(name + ".n", state[1], "(B, K)", (batch, K), dtype),
        _checked(name + ".m", state[2], "(B,)", (batch,), dtype),
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
    D, K, H = _sizes(arrays)
    for name, shape in _shapes(D, H, K).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, K, H


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
    H = 4
    K = 5
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, H, K).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, H, K)),
        rng.uniform(-1, 1, (batch, K)),
        rng.uniform(-1, 1, (batch,)),
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
    print("mlstm: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
