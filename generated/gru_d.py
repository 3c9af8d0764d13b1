# Made by lstmgen 0.1.0 from the spec of gru_d. It is yours: keep it, change it, ship it.
# lstmgen: sha256:856d3e2acc612120
"""GRU-D: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of gru_d.tex. One step computes

      (1)  fade_1   = w_x * delta + b_x
      (2)  fade_2   = relu(fade_1)
      (3)  fade_pre = -fade_2
      (4)  fade     = exp(fade_pre)
      (5)  u        = m * x + (1 - m) * (fade * l[t-1] + (1 - fade) * mean)
      (6)  l        = m * x + (1 - m) * l[t-1]
      (7)  g_1      = W_h @ delta + b_h
      (8)  g_2      = relu(g_1)
      (9)  g_3      = -g_2
     (10)  g_4      = exp(g_3)
     (11)  g        = g_4 * h[t-1]
     (12)  z_pre    = W_z @ u + R_z @ g + V_z @ m + b_z
     (13)  z        = sigmoid(z_pre)
     (14)  r_pre    = W_r @ u + R_r @ g + V_r @ m + b_r
     (15)  r        = sigmoid(r_pre)
     (16)  r_g      = r * g
     (17)  n_pre    = W_n @ u + R_n @ r_g + V_n @ m + b_n
     (18)  n        = tanh(n_pre)
     (19)  h        = (1 - z) * g + z * n
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    h: np.ndarray  # (B, H)
    l: np.ndarray  # (B, D)


class Gradients(NamedTuple):
    """What `backward` returns."""

    params: Params  # summed over steps and examples
    x: np.ndarray  # (T, B, D)
    m: np.ndarray  # (T, B, D)
    delta: np.ndarray  # (T, B, D)
    state: State  # at the initial state


class Tape(NamedTuple):
    """What `backward` needs to know of a forward pass. `y` is yours to read, the rest is its own."""

    y: np.ndarray
    kept: tuple
    steps: int
    batch: int
    dtype: np.dtype
    sizes: tuple  # D, H


def init_params(
    input_size: int, hidden_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    w_x: (D,)
    b_x: (D,)
    W_h: (H, D)
    b_h: (H,)
    mean: (D,)
    W_zrn: (3*H, D)  rows of W_z, W_r, W_n
    R_zr: (2*H, H)  rows of R_z, R_r
    R_n: (H, H)
    V: (3*H, D)  rows of V_z, V_r, V_n
    b_zrn: (3*H,)  rows of b_z, b_r, b_n
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_h", "W_z", "W_r", "W_n", "R_z", "R_r", "R_n", "V_z", "V_r", "V_n"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(
    params: Params, x: np.ndarray, m: np.ndarray, delta: np.ndarray, state: State | None = None
) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    m: (T, B, D)
    delta: (T, B, D)
    state: h (B, H), l (B, D), where to start; None is zero
    y: (T, B, H), h at every step
    """
    params, x, m, delta, state, dtype = _checked_forward(params, x, m, delta, state)
    D, H = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, D, H, dtype) if state is None else state
    w_x = params["w_x"]
    b_x = params["b_x"]
    W_h = params["W_h"]
    b_h = params["b_h"]
    mean = params["mean"]
    W_zrn = params["W_zrn"]
    R_zr = params["R_zr"]
    R_n = params["R_n"]
    V = params["V"]
    b_zrn = params["b_zrn"]
    fade_1 = w_x * delta + b_x                              # (1)
    fade_2 = np.maximum(fade_1, 0)                          # (2)
    fade_pre = -fade_2                                      # (3)
    fade = np.exp(fade_pre)                                 # (4)
    g_1 = _at_once(delta, W_h.T) + b_h                      # (7)
    g_2 = np.maximum(g_1, 0)                                # (8)
    g_3 = -g_2                                              # (9)
    g_4 = np.exp(g_3)                                       # (10)
    V_m = _at_once(m, V.T)                                  # for all steps at once: z_pre, r_pre, n_pre
    V_m += b_zrn
    h_all = np.empty((T + 1, B, H), dtype)
    h_all[0] = state.h
    h_prev, h = h_all[:-1], h_all[1:]                       # h_prev[t] is h one step earlier
    l_all = np.empty((T + 1, B, D), dtype)
    l_all[0] = state.l
    l_prev, l = l_all[:-1], l_all[1:]                       # l_prev[t] is l one step earlier
    u = np.empty((T, B, D), dtype)
    g, z, r, r_g, n = np.empty((5, T, B, H), dtype)
    W_zrn_T = _transposed(W_zrn) if B > 1 else W_zrn.T      # laid out as the loop reads it
    R_zr_T = _transposed(R_zr) if B > 1 else R_zr.T         # laid out as the loop reads it
    R_n_T = _transposed(R_n) if B > 1 else R_n.T            # laid out as the loop reads it

    for t in range(T):
        u[t] = m[t] * x[t] + (1 - m[t]) * (fade[t] * l_prev[t] + (1 - fade[t]) * mean)  # (5)
        W_zrn_u = u[t] @ W_zrn_T                            # z_pre, r_pre, n_pre, side by side
        l[t] = m[t] * x[t] + (1 - m[t]) * l_prev[t]         # (6)
        g[t] = g_4[t] * h_prev[t]                           # (11)
        R_zr_g = g[t] @ R_zr_T                              # z_pre, r_pre, side by side
        z_pre = W_zrn_u[:, 0:H] + R_zr_g[:, 0:H] + V_m[t, :, 0:H]  # (12)
        z[t] = _sigmoid(z_pre)                              # (13)
        r_pre = W_zrn_u[:, H:2*H] + R_zr_g[:, H:2*H] + V_m[t, :, H:2*H]  # (14)
        r[t] = _sigmoid(r_pre)                              # (15)
        r_g[t] = r[t] * g[t]                                # (16)
        n_pre = W_zrn_u[:, 2*H:3*H] + r_g[t] @ R_n_T + V_m[t, :, 2*H:3*H]  # (17)
        n[t] = np.tanh(n_pre)                               # (18)
        h[t] = (1 - z[t]) * g[t] + z[t] * n[t]              # (19)
    end = State(h_all[-1].copy(), l_all[-1].copy())
    kept = (x, m, delta, fade_1, fade, u, l_prev, g_1, g_4, g, z, r, r_g, n, h_prev)
    tape = Tape(h, kept, T, B, dtype, (D, H))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: h (B, H), l (B, D), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, H = _sizes(params)
    w_x = params["w_x"]
    W_h = params["W_h"]
    mean = params["mean"]
    W_zrn = params["W_zrn"]
    R_zr = params["R_zr"]
    R_n = params["R_n"]
    V = params["V"]
    x, m, delta, fade_1, fade, u, l_prev, g_1, g_4, g, z, r, r_g, n, h_prev = tape.kept
    d_pre = np.empty((T, B, 3 * H), dtype)                  # side by side, as their weights are stacked
    d_z_pre = d_pre[..., 0:H]
    d_r_pre = d_pre[..., H:2*H]
    d_n_pre = d_pre[..., 2*H:3*H]
    d_g = np.empty((T, B, H), dtype)
    d_l = np.empty((T, B, D), dtype)
    d_u = np.empty((T, B, D), dtype)
    d_h_next = dstate.h                                     # from outside, through the final state
    d_l_next = dstate.l                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (20) fork of h: one line per reader
        d_h = (
            d_h_next                                        # step t+1: g
            + dy[t]                                         # from outside, through the output
        )

        d_n = d_h * z[t]                                    # (21) from h
        d_n_pre[t] = d_n * (1 - n[t] ** 2)                  # (22) from n
        d_r_g = d_pre[t, :, 2*H:3*H] @ R_n                  # (23) from n_pre
        d_r = d_r_g * g[t]                                  # (24) from r_g
        d_r_pre[t] = d_r * r[t] * (1 - r[t])                # (25) from r
        d_z = d_h * (n[t] - g[t])                           # (26) from h
        d_z_pre[t] = d_z * z[t] * (1 - z[t])                # (27) from z

        # (28) fork of g: one line per reader
        d_g[t] = (
            d_pre[t, :, 0:2*H] @ R_zr                       # z_pre, r_pre
            + d_r_g * r[t]                                  # r_g
            + d_h * (1 - z[t])                              # h
        )

        d_l[t] = d_l_next                                   # (33) from step t+1: u, l
        d_u[t] = d_pre[t] @ W_zrn                           # (34) from z_pre, r_pre, n_pre
        d_h_next = d_g[t] * g_4[t]                          # (20) to h[t-1], from g

        # (33) to l[t-1]: what step t sends back, one line per reader
        d_l_next = (
            d_u[t] * fade[t] * (1 - m[t])                   # u
            + d_l[t] * (1 - m[t])                           # l
        )

    d_g_4 = d_g * h_prev                                    # (29) from g
    d_g_3 = d_g_4 * g_4                                     # (30) from g_4
    d_g_2 = -d_g_3                                          # (31) from g_3
    d_g_1 = d_g_2 * (g_1 > 0)                               # (32) from g_2
    d_fade = d_u * (1 - m) * (l_prev - mean)                # (35) from u
    d_fade_pre = d_fade * fade                              # (36) from fade
    d_fade_2 = -d_fade_pre                                  # (37) from fade_pre
    d_fade_1 = d_fade_2 * (fade_1 > 0)                      # (38) from fade_2

    # (39) fork of x: one line per reader
    d_x = (
        d_u * m                                             # u
        + d_l * m                                           # l
    )

    # (40) fork of m: one line per reader
    d_m = (
        d_u * (x - fade * l_prev - mean * (1 - fade))       # u
        + d_l * (x - l_prev)                                # l
        + _at_once(d_pre, V)                                # z_pre, r_pre, n_pre
    )

    # (41) fork of delta: one line per reader
    d_delta = (
        d_fade_1 * w_x                                      # fade_1
        + _at_once(d_g_1, W_h)                              # g_1
    )
    grads = {
        "w_x": np.einsum("tbk,tbk->k", d_fade_1, delta),    # (42) from fade_1
        "b_x": d_fade_1.sum((0, 1)),                        # (43) from fade_1
        "W_h": _sum_of_outer(d_g_1, delta),                 # (44) from g_1
        "b_h": d_g_1.sum((0, 1)),                           # (45) from g_1
        "mean": (d_u * (1 - m) * (1 - fade)).sum((0, 1)),   # (46) from u
        "W_zrn": _sum_of_outer(d_pre, u),                   # (47) to (49) from z_pre, r_pre, n_pre
        "R_zr": _sum_of_outer(d_pre[..., 0:2*H], g),        # (50), (51) from z_pre, r_pre
        "R_n": _sum_of_outer(d_n_pre, r_g),                 # (52) from n_pre
        "V": _sum_of_outer(d_pre, m),                       # (53) to (55) from z_pre, r_pre, n_pre
        "b_zrn": d_pre.sum((0, 1)),                         # (56) to (58) from z_pre, r_pre, n_pre
    }
    return Gradients(grads, d_x, d_m, d_delta, State(d_h_next, d_l_next))


def step(
    params: Params, x_t: np.ndarray, m_t: np.ndarray, delta_t: np.ndarray, state: State | None = None
) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    m_t: (B, D)
    delta_t: (B, D)
    state: h (B, H), l (B, D), where to start; None is zero
    y_t: (B, H), h
    """
    params, x_t, m_t, delta_t, state, dtype = _checked_step(params, x_t, m_t, delta_t, state)
    D, H = _sizes(params)
    B = x_t.shape[0]
    h_prev, l_prev = _start(B, D, H, dtype) if state is None else state
    w_x = params["w_x"]
    b_x = params["b_x"]
    W_h = params["W_h"]
    b_h = params["b_h"]
    mean = params["mean"]
    W_zrn = params["W_zrn"]
    R_zr = params["R_zr"]
    R_n = params["R_n"]
    V = params["V"]
    b_zrn = params["b_zrn"]
    fade_1 = w_x * delta_t + b_x                            # (1)
    fade_2 = np.maximum(fade_1, 0)                          # (2)
    fade_pre = -fade_2                                      # (3)
    fade = np.exp(fade_pre)                                 # (4)
    g_1 = delta_t @ W_h.T + b_h                             # (7)
    g_2 = np.maximum(g_1, 0)                                # (8)
    g_3 = -g_2                                              # (9)
    g_4 = np.exp(g_3)                                       # (10)
    V_m = m_t @ V.T + b_zrn                                 # z_pre, r_pre, n_pre, side by side
    u = m_t * x_t + (1 - m_t) * (fade * l_prev + (1 - fade) * mean)  # (5)
    W_zrn_u = u @ W_zrn.T                                   # z_pre, r_pre, n_pre, side by side
    l = m_t * x_t + (1 - m_t) * l_prev                      # (6)
    g = g_4 * h_prev                                        # (11)
    R_zr_g = g @ R_zr.T                                     # z_pre, r_pre, side by side
    z_pre = W_zrn_u[:, 0:H] + R_zr_g[:, 0:H] + V_m[:, 0:H]  # (12)
    z = _sigmoid(z_pre)                                     # (13)
    r_pre = W_zrn_u[:, H:2*H] + R_zr_g[:, H:2*H] + V_m[:, H:2*H]  # (14)
    r = _sigmoid(r_pre)                                     # (15)
    r_g = r * g                                             # (16)
    n_pre = W_zrn_u[:, 2*H:3*H] + r_g @ R_n.T + V_m[:, 2*H:3*H]  # (17)
    n = np.tanh(n_pre)                                      # (18)
    h = (1 - z) * g + z * n                                 # (19)
    return h, State(h, l)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, H = _sizes(params)
    return {
        "w_x": params["w_x"],
        "b_x": params["b_x"],
        "W_h": params["W_h"],
        "b_h": params["b_h"],
        "mean": params["mean"],
        "W_z": params["W_zrn"][0:H],
        "W_r": params["W_zrn"][H:2*H],
        "W_n": params["W_zrn"][2*H:3*H],
        "R_z": params["R_zr"][0:H],
        "R_r": params["R_zr"][H:2*H],
        "R_n": params["R_n"],
        "V_z": params["V"][0:H],
        "V_r": params["V"][H:2*H],
        "V_n": params["V"][2*H:3*H],
        "b_z": params["b_zrn"][0:H],
        "b_r": params["b_zrn"][H:2*H],
        "b_n": params["b_zrn"][2*H:3*H],
    }


def clip_by_norm(grads: Gradients, threshold: float) -> Gradients:
    """The parameters' gradients scaled so that their joint norm is at most `threshold`."""
    norm = np.sqrt(sum(float(np.sum(np.abs(grad) ** 2, dtype=np.float64)) for grad in grads.params.values()))
    if norm <= threshold:
        return grads
    scaled = {name: grad * np.asarray(threshold / norm, np.real(grad).dtype) for name, grad in grads.params.items()}
    return grads._replace(params=scaled)


# ---------------------------------------------------------------- functions


def _at_once(a, matrix):
    """a @ matrix for all steps and examples: one product of two matrices, not one for each step."""
    return (a.reshape(-1, a.shape[-1]) @ matrix).reshape(*a.shape[:-1], matrix.shape[-1])


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


def _sum_of_outer(d, v):
    """The sum over all steps and examples of the outer products d v^T: one matrix product."""
    return d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1])


def _transposed(matrix):
    """A copy of matrix.T: rows times it take down to a third of the time that they take times the view."""
    turned = np.empty(matrix.shape[::-1], matrix.dtype)
    for k in range(0, len(matrix), 64):  # few rows at a time, for the cache
        turned[:, k:k + 64] = matrix[k:k + 64].T
    return turned


# ---------------------------------------------------------------- shapes


def _shapes(D, H):
    """The shapes of the stored parameters."""
    return {
        "w_x": (D,),
        "b_x": (D,),
        "W_h": (H, D),
        "b_h": (H,),
        "mean": (D,),
        "W_zrn": (3 * H, D),
        "R_zr": (2 * H, H),
        "R_n": (H, H),
        "V": (3 * H, D),
        "b_zrn": (3 * H,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, H."""
    D = params["w_x"].shape[0]
    H = params["W_h"].shape[0]
    return (D, H)


def _start(batch, D, H, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, H), dtype),
        np.zeros((batch, D), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "w_x": ("D",),
    "b_x": ("D",),
    "W_h": ("H", "D"),
    "b_h": ("H",),
    "mean": ("D",),
    "W_zrn": ("3*H", "D"),
    "R_zr": ("2*H", "H"),
    "R_n": ("H", "H"),
    "V": ("3*H", "D"),
    "b_zrn": ("3*H",),
}


def _checked_start(dtype, **sizes):
    """Whether parameters can be of a type and of sizes."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"{name} is {size!r}, expected a whole number from 1 on")
    if np.dtype(dtype) not in (np.float32, np.float64, np.complex128):
        raise ValueError(f"dtype is {np.dtype(dtype)}, expected float32, float64 or complex128")


def _checked_forward(params, x, m, delta, state):
    """The arguments of `forward` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x, m, delta)
    params, D, H = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    m = _checked("m", m, "(T, B, D)", (T, B, D), dtype)
    delta = _checked("delta", delta, "(T, B, D)", (T, B, D), dtype)
    return params, x, m, delta, _checked_state("state", state, B, D, H, dtype), dtype


def _checked_step(params, x_t, m_t, delta_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t, m_t, delta_t)
    params, D, H = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    m_t = _checked("m_t", m_t, "(B, D)", (B, D), dtype)
    delta_t = _checked("delta_t", delta_t, "(B, D)", (B, D), dtype)
    return params, x_t, m_t, delta_t, _checked_state("state", state, B, D, H, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, H = _checked_params(params, tape.dtype)
    if tape.sizes != (D, H):
        raise ValueError(f"the tape is of params with D, H = {tape.sizes}, and these have {(D, H)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, H)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, D, H, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, D, H, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, D, H, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".h", state[0], "(B, H)", (batch, H), dtype),
        _checked(name + ".l", state[1], "(B, D)", (batch, D), dtype),
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
    D, H = _sizes(arrays)
    for name, shape in _shapes(D, H).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, H


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
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, H).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
        rng.uniform(0, 1, (steps, batch, D)),
        rng.uniform(0, 2, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, H)),
        rng.uniform(-1, 1, (batch, D)),
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
    for place, name in enumerate(['x', 'm', 'delta']):
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
    print("gru_d: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
