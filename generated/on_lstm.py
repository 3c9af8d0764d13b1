# Made by lstmgen 0.1.0 from the spec of on_lstm. It is yours: keep it, change it, ship it.
# lstmgen: sha256:79d49ceab0b371af
"""Ordered-neurons LSTM: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, K = chunks.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of on_lstm.tex. One step computes

      (1)  i_pre       = W_i @ x + R_i @ h[t-1] + b_i
      (2)  i           = sigmoid(i_pre)
      (3)  f_pre       = W_f @ x + R_f @ h[t-1] + b_f
      (4)  f           = sigmoid(f_pre)
      (5)  z_pre       = W_z @ x + R_z @ h[t-1] + b_z
      (6)  z           = tanh(z_pre)
      (7)  o_pre       = W_o @ x + R_o @ h[t-1] + b_o
      (8)  o           = sigmoid(o_pre)
      (9)  f_tilde_1   = V_f @ x + U_f @ h[t-1] + a_f
     (10)  f_tilde_pre = softmax(f_tilde_1)
     (11)  f_tilde     = cumsum(f_tilde_pre)
     (12)  i_tilde_1   = V_i @ x + U_i @ h[t-1] + a_i
     (13)  i_tilde_2   = softmax(i_tilde_1)
     (14)  i_tilde_3   = cumsum(i_tilde_2)
     (15)  i_tilde     = 1 - i_tilde_3
     (16)  w           = f_tilde * i_tilde
     (17)  f_hat_1     = repeat(w, 4)
     (18)  f_hat_2     = f_tilde - w
     (19)  f_hat_3     = repeat(f_hat_2, 4)
     (20)  f_hat       = f * f_hat_1 + f_hat_3
     (21)  i_hat_1     = i_tilde - w
     (22)  i_hat_2     = repeat(i_hat_1, 4)
     (23)  i_hat       = i * f_hat_1 + i_hat_2
     (24)  c           = z * i_hat + c[t-1] * f_hat
     (25)  tanh_c      = tanh(c)
     (26)  h           = o * tanh_c
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    h: np.ndarray  # (B, 4*K)
    c: np.ndarray  # (B, 4*K)


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
    sizes: tuple  # D, K


def init_params(input_size: int, chunks: int, rng: int | np.random.Generator = 0, dtype: type = np.float32) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W_V: (18*K, D)  rows of W_i, W_f, W_z, W_o, V_f, V_i
    R_U: (18*K, 4*K)  rows of R_i, R_f, R_z, R_o, U_f, U_i
    b: (16*K,)  rows of b_i, b_f, b_z, b_o
    a: (2*K,)  rows of a_f, a_i
    """
    _checked_start(dtype, input_size=input_size, chunks=chunks)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, chunks)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_i", "W_f", "W_z", "W_o", "R_i", "R_f", "R_z", "R_o", "V_i", "V_f", "U_i", "U_f"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: h (B, 4*K), c (B, 4*K), where to start; None is zero
    y: (T, B, 4*K), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, K = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, K, dtype) if state is None else state
    W_V, R_U, b, a = params["W_V"], params["R_U"], params["b"], params["a"]
    # for all steps at once: i_pre, f_pre, z_pre, o_pre, f_tilde_1, i_tilde_1
    pre = _at_once(x, W_V.T)
    h_all = np.empty((T + 1, B, 4 * K), dtype)
    h_all[0] = state.h
    h_prev, h = h_all[:-1], h_all[1:]                       # h_prev[t] is h one step earlier
    c_all = np.empty((T + 1, B, 4 * K), dtype)
    c_all[0] = state.c
    c_prev, c = c_all[:-1], c_all[1:]                       # c_prev[t] is c one step earlier
    i, f, z, o, f_hat_1, f_hat, i_hat, tanh_c = np.empty((8, T, B, 4 * K), dtype)
    f_tilde_pre, f_tilde, i_tilde_2, i_tilde = np.empty((4, T, B, K), dtype)
    R_U_T = _transposed(R_U) if B > 1 else R_U.T            # laid out as the loop reads it

    for t in range(T):
        # i_pre, f_pre, z_pre, o_pre, f_tilde_1, i_tilde_1, side by side
        pre[t] += h_prev[t] @ R_U_T
        gates = _sigmoid(pre[t, :, 0:8*K] + b[0:8*K])       # (1), (3): i, f, side by side
        i[t] = gates[:, 0:4*K]                              # (2)
        f[t] = gates[:, 4*K:8*K]                            # (4)
        z_pre = pre[t, :, 8*K:12*K] + b[8*K:12*K]           # (5)
        z[t] = np.tanh(z_pre)                               # (6)
        o_pre = pre[t, :, 12*K:16*K] + b[12*K:16*K]         # (7)
        o[t] = _sigmoid(o_pre)                              # (8)
        f_tilde_1 = pre[t, :, 16*K:17*K] + a[0:K]           # (9)
        f_tilde_pre[t] = _softmax(f_tilde_1)                # (10)
        f_tilde[t] = np.cumsum(f_tilde_pre[t], axis=-1)     # (11)
        i_tilde_1 = pre[t, :, 17*K:18*K] + a[K:2*K]         # (12)
        i_tilde_2[t] = _softmax(i_tilde_1)                  # (13)
        i_tilde_3 = np.cumsum(i_tilde_2[t], axis=-1)        # (14)
        i_tilde[t] = 1 - i_tilde_3                          # (15)
        w = f_tilde[t] * i_tilde[t]                         # (16)
        f_hat_1[t] = np.repeat(w, 4, axis=-1)               # (17)
        f_hat_2 = f_tilde[t] - w                            # (18)
        f_hat_3 = np.repeat(f_hat_2, 4, axis=-1)            # (19)
        f_hat[t] = f[t] * f_hat_1[t] + f_hat_3              # (20)
        i_hat_1 = i_tilde[t] - w                            # (21)
        i_hat_2 = np.repeat(i_hat_1, 4, axis=-1)            # (22)
        i_hat[t] = i[t] * f_hat_1[t] + i_hat_2              # (23)
        c[t] = z[t] * i_hat[t] + c_prev[t] * f_hat[t]       # (24)
        tanh_c[t] = np.tanh(c[t])                           # (25)
        h[t] = o[t] * tanh_c[t]                             # (26)
    end = State(h_all[-1].copy(), c_all[-1].copy())
    kept = (
        x, i, f, z, o, f_tilde_pre, f_tilde, i_tilde_2, i_tilde, f_hat_1, f_hat, i_hat,
        c_prev, tanh_c, h_prev,
    )
    tape = Tape(h, kept, T, B, dtype, (D, K))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, 4*K), what reaches the outputs from outside; None is zero
    dstate: h (B, 4*K), c (B, 4*K), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, K = _sizes(params)
    W_V, R_U = params["W_V"], params["R_U"]
    (
        x, i, f, z, o, f_tilde_pre, f_tilde, i_tilde_2, i_tilde, f_hat_1, f_hat, i_hat,
        c_prev, tanh_c, h_prev,
    ) = tape.kept
    d_pre = np.empty((T, B, 18 * K), dtype)                 # side by side, as their weights are stacked
    d_i_pre = d_pre[..., 0:4*K]
    d_f_pre = d_pre[..., 4*K:8*K]
    d_z_pre = d_pre[..., 8*K:12*K]
    d_o_pre = d_pre[..., 12*K:16*K]
    d_f_tilde_1 = d_pre[..., 16*K:17*K]
    d_i_tilde_1 = d_pre[..., 17*K:18*K]
    d_h_next = dstate.h                                     # from outside, through the final state
    d_c_next = dstate.c                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (27) fork of h: one line per reader
        d_h = (
            d_h_next                                        # step t+1: i_pre, f_pre, z_pre, o_pre, f_tilde_1, i_tilde_1
            + dy[t]                                         # from outside, through the output
        )

        d_tanh_c = d_h * o[t]                               # (28) from h

        # (29) fork of c: one line per reader
        d_c = (
            d_c_next                                        # step t+1: c
            + d_tanh_c * (1 - tanh_c[t] ** 2)               # tanh_c
        )

        d_i_hat = d_c * z[t]                                # (30) from c
        d_i_hat_1 = _fold(d_i_hat, 4)                       # (31), (32) from i_hat_2
        d_f_hat = d_c * c_prev[t]                           # (33) from c
        d_f_hat_2 = _fold(d_f_hat, 4)                       # (34), (35) from f_hat_3

        # (36) fork of f_hat_1: one line per reader
        d_f_hat_1 = (
            d_f_hat * f[t]                                  # f_hat
            + d_i_hat * i[t]                                # i_hat
        )

        # (37) fork of w: one line per reader
        d_w = (
            _fold(d_f_hat_1, 4)                             # f_hat_1
            - d_f_hat_2                                     # f_hat_2
            - d_i_hat_1                                     # i_hat_1
        )

        # (38) fork of i_tilde: one line per reader
        d_i_tilde = (
            d_w * f_tilde[t]                                # w
            + d_i_hat_1                                     # i_hat_1
        )

        d_i_tilde_3 = -d_i_tilde                            # (39) from i_tilde
        d_i_tilde_2 = _reverse_cumsum(d_i_tilde_3)          # (40) from i_tilde_3
        # (41) from i_tilde_2
        d_i_tilde_1[t] = i_tilde_2[t] * (d_i_tilde_2 - np.einsum("bk,bk->b", i_tilde_2[t], d_i_tilde_2)[..., None])

        # (42) fork of f_tilde: one line per reader
        d_f_tilde = (
            d_w * i_tilde[t]                                # w
            + d_f_hat_2                                     # f_hat_2
        )

        d_f_tilde_pre = _reverse_cumsum(d_f_tilde)          # (43) from f_tilde
        # (44) from f_tilde_pre
        d_f_tilde_1[t] = f_tilde_pre[t] * (d_f_tilde_pre - np.einsum("bk,bk->b", f_tilde_pre[t], d_f_tilde_pre)[..., None])
        d_o = d_h * tanh_c[t]                               # (45) from h
        d_o_pre[t] = d_o * o[t] * (1 - o[t])                # (46) from o
        d_z = d_c * i_hat[t]                                # (47) from c
        d_z_pre[t] = d_z * (1 - z[t] ** 2)                  # (48) from z
        d_f = d_f_hat * f_hat_1[t]                          # (49) from f_hat
        d_f_pre[t] = d_f * f[t] * (1 - f[t])                # (50) from f
        d_i = d_i_hat * f_hat_1[t]                          # (51) from i_hat
        d_i_pre[t] = d_i * i[t] * (1 - i[t])                # (52) from i
        # (27) to h[t-1], from i_pre, f_pre, z_pre, o_pre, f_tilde_1, i_tilde_1
        d_h_next = d_pre[t] @ R_U
        d_c_next = d_c * f_hat[t]                           # (29) to c[t-1], from c
    d_x = _at_once(d_pre, W_V)                              # (53) from i_pre, f_pre, z_pre, o_pre, f_tilde_1, i_tilde_1
    grads = {
        # (54), (55), (56), (57), (66), (67) from i_pre, f_pre, z_pre, o_pre, f_tilde_1, i_tilde_1
        "W_V": _sum_of_outer(d_pre, x),
        # (58), (59), (60), (61), (68), (69) from i_pre, f_pre, z_pre, o_pre, f_tilde_1, i_tilde_1
        "R_U": _sum_of_outer(d_pre, h_prev),
        "b": d_pre[..., 0:16*K].sum((0, 1)),                # (62) to (65) from i_pre, f_pre, z_pre, o_pre
        "a": d_pre[..., 16*K:18*K].sum((0, 1)),             # (70), (71) from f_tilde_1, i_tilde_1
    }
    return Gradients(grads, d_x, State(d_h_next, d_c_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: h (B, 4*K), c (B, 4*K), where to start; None is zero
    y_t: (B, 4*K), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, K = _sizes(params)
    B = x_t.shape[0]
    h_prev, c_prev = _start(B, K, dtype) if state is None else state
    W_V, R_U, b, a = params["W_V"], params["R_U"], params["b"], params["a"]
    # i_pre, f_pre, z_pre, o_pre, f_tilde_1, i_tilde_1, side by side
    pre = x_t @ W_V.T + h_prev @ R_U.T
    gates = _sigmoid(pre[:, 0:8*K] + b[0:8*K])              # (1), (3): i, f, side by side
    i = gates[:, 0:4*K]                                     # (2)
    f = gates[:, 4*K:8*K]                                   # (4)
    z_pre = pre[:, 8*K:12*K] + b[8*K:12*K]                  # (5)
    z = np.tanh(z_pre)                                      # (6)
    o_pre = pre[:, 12*K:16*K] + b[12*K:16*K]                # (7)
    o = _sigmoid(o_pre)                                     # (8)
    f_tilde_1 = pre[:, 16*K:17*K] + a[0:K]                  # (9)
    f_tilde_pre = _softmax(f_tilde_1)                       # (10)
    f_tilde = np.cumsum(f_tilde_pre, axis=-1)               # (11)
    i_tilde_1 = pre[:, 17*K:18*K] + a[K:2*K]                # (12)
    i_tilde_2 = _softmax(i_tilde_1)                         # (13)
    i_tilde_3 = np.cumsum(i_tilde_2, axis=-1)               # (14)
    i_tilde = 1 - i_tilde_3                                 # (15)
    w = f_tilde * i_tilde                                   # (16)
    f_hat_1 = np.repeat(w, 4, axis=-1)                      # (17)
    f_hat_2 = f_tilde - w                                   # (18)
    f_hat_3 = np.repeat(f_hat_2, 4, axis=-1)                # (19)
    f_hat = f * f_hat_1 + f_hat_3                           # (20)
    i_hat_1 = i_tilde - w                                   # (21)
    i_hat_2 = np.repeat(i_hat_1, 4, axis=-1)                # (22)
    i_hat = i * f_hat_1 + i_hat_2                           # (23)
    c = z * i_hat + c_prev * f_hat                          # (24)
    tanh_c = np.tanh(c)                                     # (25)
    h = o * tanh_c                                          # (26)
    return h, State(h, c)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, K = _sizes(params)
    return {
        "W_i": params["W_V"][0:4*K],
        "W_f": params["W_V"][4*K:8*K],
        "W_z": params["W_V"][8*K:12*K],
        "W_o": params["W_V"][12*K:16*K],
        "R_i": params["R_U"][0:4*K],
        "R_f": params["R_U"][4*K:8*K],
        "R_z": params["R_U"][8*K:12*K],
        "R_o": params["R_U"][12*K:16*K],
        "b_i": params["b"][0:4*K],
        "b_f": params["b"][4*K:8*K],
        "b_z": params["b"][8*K:12*K],
        "b_o": params["b"][12*K:16*K],
        "V_i": params["W_V"][17*K:18*K],
        "V_f": params["W_V"][16*K:17*K],
        "U_i": params["R_U"][17*K:18*K],
        "U_f": params["R_U"][16*K:17*K],
        "a_i": params["a"][K:2*K],
        "a_f": params["a"][0:K],
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


def _fold(a, n):
    """Sums of n neighbours: what np.repeat(..., n) sends back."""
    return a.reshape(a.shape[:-1] + (a.shape[-1] // n, n)).sum(-1)


def _glorot(rng, shape):
    """Uniform, with the variance 2 / (rows + columns) of Glorot and Bengio 2010."""
    sides = shape[-2:] or (1,)
    limit = np.sqrt(6 / (sides[0] + sides[-1]))
    return rng.uniform(-limit, limit, shape)


def _reverse_cumsum(a):
    """Sums from each entry to the last: what np.cumsum sends back."""
    return np.cumsum(a[..., ::-1], axis=-1)[..., ::-1]


def _sigmoid(a):
    """1 / (1 + exp(-a)), by way of tanh: no overflow, and the fastest in NumPy."""
    y = np.tanh(0.5 * a)
    y *= 0.5
    y += 0.5
    return y


def _softmax(a):
    """exp(a) / sum(exp(a)) over the last axis."""
    raised = np.exp(a - np.real(a).max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


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


def _shapes(D, K):
    """The shapes of the stored parameters."""
    return {
        "W_V": (18 * K, D),
        "R_U": (18 * K, 4 * K),
        "b": (16 * K,),
        "a": (2 * K,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, K."""
    D = params["W_V"].shape[1]
    K = params["a"].shape[0] // 2
    return (D, K)


def _start(batch, K, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, 4 * K), dtype),
        np.zeros((batch, 4 * K), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W_V": ("18*K", "D"),
    "R_U": ("18*K", "4*K"),
    "b": ("16*K",),
    "a": ("2*K",),
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
    params, D, K = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, K, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, K = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, K, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, K = _checked_params(params, tape.dtype)
    if tape.sizes != (D, K):
        raise ValueError(f"the tape is of params with D, K = {tape.sizes}, and these have {(D, K)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, 4*K)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, K, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, K, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, K, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".h", state[0], "(B, 4*K)", (batch, 4 * K), dtype),
        _checked(name + ".c", state[1], "(B, 4*K)", (batch, 4 * K), dtype),
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
    D, K = _sizes(arrays)
    for name, shape in _shapes(D, K).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, K


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
    D = 5
    K = 6
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, K).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, 4 * K)),
        rng.uniform(-1, 1, (batch, 4 * K)),
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
    print("on_lstm: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
