# Made by lstmgen 0.1.0 from the spec of nested_lstm. It is yours: keep it, change it, ship it.
# lstmgen: sha256:f1650cd4f73c8d73
"""Nested LSTM: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of nested_lstm.tex. One step computes

      (1)  i_pre   = W_i @ x + R_i @ h[t-1] + b_i
      (2)  i       = sigmoid(i_pre)
      (3)  f_pre   = W_f @ x + R_f @ h[t-1] + b_f
      (4)  f       = sigmoid(f_pre)
      (5)  z       = W_z @ x + R_z @ h[t-1] + b_z
      (6)  o_pre   = W_o @ x + R_o @ h[t-1] + b_o
      (7)  o       = sigmoid(o_pre)
      (8)  u       = i * z
      (9)  k       = f * c[t-1]
     (10)  i_n_pre = V_i @ u + U_i @ k + a_i
     (11)  i_n     = sigmoid(i_n_pre)
     (12)  f_n_pre = V_f @ u + U_f @ k + a_f
     (13)  f_n     = sigmoid(f_n_pre)
     (14)  z_n_pre = V_z @ u + U_z @ k + a_z
     (15)  z_n     = tanh(z_n_pre)
     (16)  o_n_pre = V_o @ u + U_o @ k + a_o
     (17)  o_n     = sigmoid(o_n_pre)
     (18)  n       = i_n * z_n + f_n * n[t-1]
     (19)  tanh_n  = tanh(n)
     (20)  c       = o_n * tanh_n
     (21)  tanh_c  = tanh(c)
     (22)  h       = o * tanh_c
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    h: np.ndarray  # (B, H)
    c: np.ndarray  # (B, H)
    n: np.ndarray  # (B, H)


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
    sizes: tuple  # D, H


def init_params(
    input_size: int, hidden_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W: (4*H, D)  rows of W_i, W_f, W_z, W_o
    R: (4*H, H)  rows of R_i, R_f, R_z, R_o
    b: (4*H,)  rows of b_i, b_f, b_z, b_o
    V: (4*H, H)  rows of V_i, V_f, V_z, V_o
    U: (4*H, H)  rows of U_i, U_f, U_z, U_o
    a: (4*H,)  rows of a_i, a_f, a_z, a_o
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in (
        "W_i", "W_f", "W_z", "W_o", "R_i", "R_f", "R_z", "R_o", "V_i", "V_f", "V_z", "V_o",
        "U_i", "U_f", "U_z", "U_o",
    ):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: h (B, H), c (B, H), n (B, H), where to start; None is zero
    y: (T, B, H), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, H = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, dtype) if state is None else state
    W, R, b, V, U, a = params["W"], params["R"], params["b"], params["V"], params["U"], params["a"]
    pre_ifzo = _at_once(x, W.T)                             # for all steps at once: i_pre, f_pre, z, o_pre
    pre_ifzo += b
    h_all = np.empty((T + 1, B, H), dtype)
    h_all[0] = state.h
    h_prev, h = h_all[:-1], h_all[1:]                       # h_prev[t] is h one step earlier
    c_all = np.empty((T + 1, B, H), dtype)
    c_all[0] = state.c
    c_prev, c = c_all[:-1], c_all[1:]                       # c_prev[t] is c one step earlier
    n_all = np.empty((T + 1, B, H), dtype)
    n_all[0] = state.n
    n_prev, n = n_all[:-1], n_all[1:]                       # n_prev[t] is n one step earlier
    i, f, z, o, u, k, i_n, f_n, z_n, o_n, tanh_n, tanh_c = np.empty((12, T, B, H), dtype)
    R_T = _transposed(R) if B > 1 else R.T                  # laid out as the loop reads it
    V_T = _transposed(V) if B > 1 else V.T                  # laid out as the loop reads it
    U_T = _transposed(U) if B > 1 else U.T                  # laid out as the loop reads it

    for t in range(T):
        pre_ifzo[t] += h_prev[t] @ R_T                      # i_pre, f_pre, z, o_pre, side by side
        gates = _sigmoid(pre_ifzo[t, :, 0:2*H])             # (1), (3): i, f, side by side
        i[t] = gates[:, 0:H]                                # (2)
        f[t] = gates[:, H:2*H]                              # (4)
        z[t] = pre_ifzo[t, :, 2*H:3*H]                      # (5)
        o[t] = _sigmoid(pre_ifzo[t, :, 3*H:4*H])            # (6), (7)
        u[t] = i[t] * z[t]                                  # (8)
        V_u = u[t] @ V_T + a                                # i_n_pre, f_n_pre, z_n_pre, o_n_pre, side by side
        k[t] = f[t] * c_prev[t]                             # (9)
        U_k = k[t] @ U_T                                    # i_n_pre, f_n_pre, z_n_pre, o_n_pre, side by side
        i_n_pre = V_u[:, 0:H] + U_k[:, 0:H]                 # (10)
        i_n[t] = _sigmoid(i_n_pre)                          # (11)
        f_n_pre = V_u[:, H:2*H] + U_k[:, H:2*H]             # (12)
        f_n[t] = _sigmoid(f_n_pre)                          # (13)
        z_n_pre = V_u[:, 2*H:3*H] + U_k[:, 2*H:3*H]         # (14)
        z_n[t] = np.tanh(z_n_pre)                           # (15)
        o_n_pre = V_u[:, 3*H:4*H] + U_k[:, 3*H:4*H]         # (16)
        o_n[t] = _sigmoid(o_n_pre)                          # (17)
        n[t] = i_n[t] * z_n[t] + f_n[t] * n_prev[t]         # (18)
        tanh_n[t] = np.tanh(n[t])                           # (19)
        c[t] = o_n[t] * tanh_n[t]                           # (20)
        tanh_c[t] = np.tanh(c[t])                           # (21)
        h[t] = o[t] * tanh_c[t]                             # (22)
    end = State(h_all[-1].copy(), c_all[-1].copy(), n_all[-1].copy())
    kept = (x, i, f, z, o, u, k, i_n, f_n, z_n, o_n, n_prev, tanh_n, c_prev, tanh_c, h_prev)
    tape = Tape(h, kept, T, B, dtype, (D, H))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: h (B, H), c (B, H), n (B, H), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, H = _sizes(params)
    W, R, V, U = params["W"], params["R"], params["V"], params["U"]
    x, i, f, z, o, u, k, i_n, f_n, z_n, o_n, n_prev, tanh_n, c_prev, tanh_c, h_prev = tape.kept
    d_pre_ifzo = np.empty((T, B, 4 * H), dtype)             # side by side, as their weights are stacked
    d_i_pre = d_pre_ifzo[..., 0:H]
    d_f_pre = d_pre_ifzo[..., H:2*H]
    d_z = d_pre_ifzo[..., 2*H:3*H]
    d_o_pre = d_pre_ifzo[..., 3*H:4*H]
    d_pre_ifzo_n = np.empty((T, B, 4 * H), dtype)           # side by side, as their weights are stacked
    d_i_n_pre = d_pre_ifzo_n[..., 0:H]
    d_f_n_pre = d_pre_ifzo_n[..., H:2*H]
    d_z_n_pre = d_pre_ifzo_n[..., 2*H:3*H]
    d_o_n_pre = d_pre_ifzo_n[..., 3*H:4*H]
    d_h_next = dstate.h                                     # from outside, through the final state
    d_c_next = dstate.c                                     # from outside, through the final state
    d_n_next = dstate.n                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (23) fork of h: one line per reader
        d_h = (
            d_h_next                                        # step t+1: i_pre, f_pre, z, o_pre
            + dy[t]                                         # from outside, through the output
        )

        d_tanh_c = d_h * o[t]                               # (24) from h

        # (25) fork of c: one line per reader
        d_c = (
            d_c_next                                        # step t+1: k
            + d_tanh_c * (1 - tanh_c[t] ** 2)               # tanh_c
        )

        d_tanh_n = d_c * o_n[t]                             # (26) from c

        # (27) fork of n: one line per reader
        d_n = (
            d_n_next                                        # step t+1: n
            + d_tanh_n * (1 - tanh_n[t] ** 2)               # tanh_n
        )

        d_o_n = d_c * tanh_n[t]                             # (28) from c
        d_o_n_pre[t] = d_o_n * o_n[t] * (1 - o_n[t])        # (29) from o_n
        d_z_n = d_n * i_n[t]                                # (30) from n
        d_z_n_pre[t] = d_z_n * (1 - z_n[t] ** 2)            # (31) from z_n
        d_f_n = d_n * n_prev[t]                             # (32) from n
        d_f_n_pre[t] = d_f_n * f_n[t] * (1 - f_n[t])        # (33) from f_n
        d_i_n = d_n * z_n[t]                                # (34) from n
        d_i_n_pre[t] = d_i_n * i_n[t] * (1 - i_n[t])        # (35) from i_n
        d_k = d_pre_ifzo_n[t] @ U                           # (36) from i_n_pre, f_n_pre, z_n_pre, o_n_pre
        d_u = d_pre_ifzo_n[t] @ V                           # (37) from i_n_pre, f_n_pre, z_n_pre, o_n_pre
        d_o = d_h * tanh_c[t]                               # (38) from h
        d_o_pre[t] = d_o * o[t] * (1 - o[t])                # (39) from o
        d_z[t] = d_u * i[t]                                 # (40) from u
        d_f = d_k * c_prev[t]                               # (41) from k
        d_f_pre[t] = d_f * f[t] * (1 - f[t])                # (42) from f
        d_i = d_u * z[t]                                    # (43) from u
        d_i_pre[t] = d_i * i[t] * (1 - i[t])                # (44) from i
        d_h_next = d_pre_ifzo[t] @ R                        # (23) to h[t-1], from i_pre, f_pre, z, o_pre
        d_c_next = d_k * f[t]                               # (25) to c[t-1], from k
        d_n_next = d_n * f_n[t]                             # (27) to n[t-1], from n
    d_x = _at_once(d_pre_ifzo, W)                           # (45) from i_pre, f_pre, z, o_pre
    grads = {
        "W": _sum_of_outer(d_pre_ifzo, x),                  # (46) to (49) from i_pre, f_pre, z, o_pre
        "R": _sum_of_outer(d_pre_ifzo, h_prev),             # (50) to (53) from i_pre, f_pre, z, o_pre
        "b": d_pre_ifzo.sum((0, 1)),                        # (54) to (57) from i_pre, f_pre, z, o_pre
        "V": _sum_of_outer(d_pre_ifzo_n, u),                # (58) to (61) from i_n_pre, f_n_pre, z_n_pre, o_n_pre
        "U": _sum_of_outer(d_pre_ifzo_n, k),                # (62) to (65) from i_n_pre, f_n_pre, z_n_pre, o_n_pre
        "a": d_pre_ifzo_n.sum((0, 1)),                      # (66) to (69) from i_n_pre, f_n_pre, z_n_pre, o_n_pre
    }
    return Gradients(grads, d_x, State(d_h_next, d_c_next, d_n_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: h (B, H), c (B, H), n (B, H), where to start; None is zero
    y_t: (B, H), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, H = _sizes(params)
    B = x_t.shape[0]
    h_prev, c_prev, n_prev = _start(B, H, dtype) if state is None else state
    W, R, b, V, U, a = params["W"], params["R"], params["b"], params["V"], params["U"], params["a"]
    pre_ifzo = x_t @ W.T + h_prev @ R.T + b                 # i_pre, f_pre, z, o_pre, side by side
    gates = _sigmoid(pre_ifzo[:, 0:2*H])                    # (1), (3): i, f, side by side
    i = gates[:, 0:H]                                       # (2)
    f = gates[:, H:2*H]                                     # (4)
    z = pre_ifzo[:, 2*H:3*H]                                # (5)
    o = _sigmoid(pre_ifzo[:, 3*H:4*H])                      # (6), (7)
    u = i * z                                               # (8)
    V_u = u @ V.T + a                                       # i_n_pre, f_n_pre, z_n_pre, o_n_pre, side by side
    k = f * c_prev                                          # (9)
    U_k = k @ U.T                                           # i_n_pre, f_n_pre, z_n_pre, o_n_pre, side by side
    i_n_pre = V_u[:, 0:H] + U_k[:, 0:H]                     # (10)
    i_n = _sigmoid(i_n_pre)                                 # (11)
    f_n_pre = V_u[:, H:2*H] + U_k[:, H:2*H]                 # (12)
    f_n = _sigmoid(f_n_pre)                                 # (13)
    z_n_pre = V_u[:, 2*H:3*H] + U_k[:, 2*H:3*H]             # (14)
    z_n = np.tanh(z_n_pre)                                  # (15)
    o_n_pre = V_u[:, 3*H:4*H] + U_k[:, 3*H:4*H]             # (16)
    o_n = _sigmoid(o_n_pre)                                 # (17)
    n = i_n * z_n + f_n * n_prev                            # (18)
    tanh_n = np.tanh(n)                                     # (19)
    c = o_n * tanh_n                                        # (20)
    tanh_c = np.tanh(c)                                     # (21)
    h = o * tanh_c                                          # (22)
    return h, State(h, c, n)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, H = _sizes(params)
    return {
        "W_i": params["W"][0:H],
        "W_f": params["W"][H:2*H],
        "W_z": params["W"][2*H:3*H],
        "W_o": params["W"][3*H:4*H],
        "R_i": params["R"][0:H],
        "R_f": params["R"][H:2*H],
        "R_z": params["R"][2*H:3*H],
        "R_o": params["R"][3*H:4*H],
        "b_i": params["b"][0:H],
        "b_f": params["b"][H:2*H],
        "b_z": params["b"][2*H:3*H],
        "b_o": params["b"][3*H:4*H],
        "V_i": params["V"][0:H],
        "V_f": params["V"][H:2*H],
        "V_z": params["V"][2*H:3*H],
        "V_o": params["V"][3*H:4*H],
        "U_i": params["U"][0:H],
        "U_f": params["U"][H:2*H],
        "U_z": params["U"][2*H:3*H],
        "U_o": params["U"][3*H:4*H],
        "a_i": params["a"][0:H],
        "a_f": params["a"][H:2*H],
        "a_z": params["a"][2*H:3*H],
        "a_o": params["a"][3*H:4*H],
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
        "W": (4 * H, D),
        "R": (4 * H, H),
        "b": (4 * H,),
        "V": (4 * H, H),
        "U": (4 * H, H),
        "a": (4 * H,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, H."""
    D = params["W"].shape[1]
    H = params["R"].shape[1]
    return (D, H)


def _start(batch, H, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, H), dtype),
        np.zeros((batch, H), dtype),
        np.zeros((batch, H), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W": ("4*H", "D"),
    "R": ("4*H", "H"),
    "b": ("4*H",),
    "V": ("4*H", "H"),
    "U": ("4*H", "H"),
    "a": ("4*H",),
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
    params, D, H = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, H, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, H = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, H, dtype), dtype


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
    dstate = _or_zeros(dstate, _start(tape.batch, H, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, H, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, H, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".h", state[0], "(B, H)", (batch, H), dtype),
        _checked(name + ".c", state[1], "(B, H)", (batch, H), dtype),
        _checked(name + ".n", state[2], "(B, H)", (batch, H), dtype),
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
    ]
    state = State(
        rng.uniform(-1, 1, (batch, H)),
        rng.uniform(-1, 1, (batch, H)),
        rng.uniform(-1, 1, (batch, H)),
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
    print("nested_lstm: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
