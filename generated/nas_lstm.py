# Made by lstmgen 0.1.0 from the spec of nas_lstm. It is yours: keep it, change it, ship it.
# lstmgen: sha256:b0b66c486fba963f
"""NAS cell: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of nas_lstm.tex. One step computes

      (1)  a     = W @ x
      (2)  b     = R @ h[t-1]
      (3)  s     = a + b
      (4)  u_1   = part(s, 0, 8)
      (5)  u_2   = sigmoid(u_1)
      (6)  u_3   = part(s, 1, 8)
      (7)  u_4   = relu(u_3)
      (8)  u_pre = u_2 * u_4
      (9)  u     = tanh(u_pre)
     (10)  v_1   = part(s, 2, 8)
     (11)  v_2   = sigmoid(v_1)
     (12)  v_3   = part(a, 3, 8)
     (13)  v_4   = part(b, 3, 8)
     (14)  v_5   = v_3 * v_4
     (15)  v_6   = relu(v_5)
     (16)  v_pre = v_2 + v_6
     (17)  v     = tanh(v_pre)
     (18)  w_1   = part(s, 4, 8)
     (19)  w_2   = tanh(w_1)
     (20)  w_3   = part(s, 5, 8)
     (21)  w_4   = sigmoid(w_3)
     (22)  w_pre = w_2 * w_4
     (23)  w     = tanh(w_pre)
     (24)  g_1   = part(s, 6, 8)
     (25)  g_2   = tanh(g_1)
     (26)  g_3   = part(s, 7, 8)
     (27)  g_4   = sigmoid(g_3)
     (28)  g_pre = g_2 + g_4
     (29)  g     = sigmoid(g_pre)
     (30)  c_1   = u + c[t-1]
     (31)  c_2   = tanh(c_1)
     (32)  c     = c_2 * v
     (33)  h_1   = w + g
     (34)  h_2   = tanh(h_1)
     (35)  h_pre = c * h_2
     (36)  h     = tanh(h_pre)
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    h: np.ndarray  # (B, H)
    c: np.ndarray  # (B, H)


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

    W: (8*H, D)
    R: (8*H, H)
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W", "R"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: h (B, H), c (B, H), where to start; None is zero
    y: (T, B, H), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, H = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, dtype) if state is None else state
    W, R = params["W"], params["R"]
    a = _at_once(x, W.T)                                    # (1)
    v_3 = _part(a, 3, 8)                                    # (12)
    h_all = np.empty((T + 1, B, H), dtype)
    h_all[0] = state.h
    h_prev, h = h_all[:-1], h_all[1:]                       # h_prev[t] is h one step earlier
    c_all = np.empty((T + 1, B, H), dtype)
    c_all[0] = state.c
    c_prev, c = c_all[:-1], c_all[1:]                       # c_prev[t] is c one step earlier
    (
        u_2, u_3, u_4, u, v_2, v_4, v_5, v, w_2, w_4, w, g_2, g_4, g, c_2, h_2,
    ) = np.empty((16, T, B, H), dtype)
    R_T = _transposed(R) if B > 1 else R.T                  # laid out as the loop reads it

    for t in range(T):
        b = h_prev[t] @ R_T                                 # (2)
        s = a[t] + b                                        # (3)
        u_1 = _part(s, 0, 8)                                # (4)
        u_2[t] = _sigmoid(u_1)                              # (5)
        u_3[t] = _part(s, 1, 8)                             # (6)
        u_4[t] = np.maximum(u_3[t], 0)                      # (7)
        u_pre = u_2[t] * u_4[t]                             # (8)
        u[t] = np.tanh(u_pre)                               # (9)
        v_1 = _part(s, 2, 8)                                # (10)
        v_2[t] = _sigmoid(v_1)                              # (11)
        v_4[t] = _part(b, 3, 8)                             # (13)
        v_5[t] = v_3[t] * v_4[t]                            # (14)
        v_6 = np.maximum(v_5[t], 0)                         # (15)
        v_pre = v_2[t] + v_6                                # (16)
        v[t] = np.tanh(v_pre)                               # (17)
        w_1 = _part(s, 4, 8)                                # (18)
        w_2[t] = np.tanh(w_1)                               # (19)
        w_3 = _part(s, 5, 8)                                # (20)
        w_4[t] = _sigmoid(w_3)                              # (21)
        w_pre = w_2[t] * w_4[t]                             # (22)
        w[t] = np.tanh(w_pre)                               # (23)
        g_1 = _part(s, 6, 8)                                # (24)
        g_2[t] = np.tanh(g_1)                               # (25)
        g_3 = _part(s, 7, 8)                                # (26)
        g_4[t] = _sigmoid(g_3)                              # (27)
        g_pre = g_2[t] + g_4[t]                             # (28)
        g[t] = _sigmoid(g_pre)                              # (29)
        c_1 = u[t] + c_prev[t]                              # (30)
        c_2[t] = np.tanh(c_1)                               # (31)
        c[t] = c_2[t] * v[t]                                # (32)
        h_1 = w[t] + g[t]                                   # (33)
        h_2[t] = np.tanh(h_1)                               # (34)
        h_pre = c[t] * h_2[t]                               # (35)
        h[t] = np.tanh(h_pre)                               # (36)
    end = State(h_all[-1].copy(), c_all[-1].copy())
    kept = (
        x, u_2, u_3, u_4, u, v_2, v_3, v_4, v_5, v, w_2, w_4, w, g_2, g_4, g, c_2, c, h_2,
        h_prev, h,
    )
    tape = Tape(h, kept, T, B, dtype, (D, H))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: h (B, H), c (B, H), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, H = _sizes(params)
    W, R = params["W"], params["R"]
    (
        x, u_2, u_3, u_4, u, v_2, v_3, v_4, v_5, v, w_2, w_4, w, g_2, g_4, g, c_2, c, h_2,
        h_prev, h,
    ) = tape.kept
    d_b = np.empty((T, B, 8 * H), dtype)
    d_v_5 = np.empty((T, B, H), dtype)
    d_s = np.empty((T, B, 8 * H), dtype)
    d_h_next = dstate.h                                     # from outside, through the final state
    d_c_next = dstate.c                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (37) fork of h: one line per reader
        d_h = (
            d_h_next                                        # step t+1: b
            + dy[t]                                         # from outside, through the output
        )

        d_h_pre = d_h * (1 - h[t] ** 2)                     # (38) from h
        d_h_2 = d_h_pre * c[t]                              # (39) from h_pre
        d_h_1 = d_h_2 * (1 - h_2[t] ** 2)                   # (40) from h_2

        # (41) fork of c: one line per reader
        d_c = (
            d_c_next                                        # step t+1: c_1
            + d_h_pre * h_2[t]                              # h_pre
        )

        d_c_2 = d_c * v[t]                                  # (42) from c
        d_c_1 = d_c_2 * (1 - c_2[t] ** 2)                   # (43) from c_2
        d_g_pre = d_h_1 * g[t] * (1 - g[t])                 # (44), (45) from g
        d_g_3 = d_g_pre * g_4[t] * (1 - g_4[t])             # (46), (47) from g_4
        d_g_1 = d_g_pre * (1 - g_2[t] ** 2)                 # (48), (49) from g_2
        d_w_pre = d_h_1 * (1 - w[t] ** 2)                   # (50), (51) from w
        d_w_4 = d_w_pre * w_2[t]                            # (52) from w_pre
        d_w_3 = d_w_4 * w_4[t] * (1 - w_4[t])               # (53) from w_4
        d_w_2 = d_w_pre * w_4[t]                            # (54) from w_pre
        d_w_1 = d_w_2 * (1 - w_2[t] ** 2)                   # (55) from w_2
        d_v = d_c * c_2[t]                                  # (56) from c
        d_v_pre = d_v * (1 - v[t] ** 2)                     # (57) from v
        d_v_5[t] = d_v_pre * (v_5[t] > 0)                   # (58), (59) from v_6
        d_v_4 = d_v_5[t] * v_3[t]                           # (60) from v_5
        d_v_1 = d_v_pre * v_2[t] * (1 - v_2[t])             # (62), (63) from v_2
        d_u_pre = d_c_1 * (1 - u[t] ** 2)                   # (64), (65) from u
        d_u_4 = d_u_pre * u_2[t]                            # (66) from u_pre
        d_u_3 = d_u_4 * (u_3[t] > 0)                        # (67) from u_4
        d_u_2 = d_u_pre * u_4[t]                            # (68) from u_pre
        d_u_1 = d_u_2 * u_2[t] * (1 - u_2[t])               # (69) from u_2

        # (70) fork of s: one line per reader
        d_s[t] = (
            _place(d_u_1, 0, 8)                             # u_1
            + _place(d_u_3, 1, 8)                           # u_3
            + _place(d_v_1, 2, 8)                           # v_1
            + _place(d_w_1, 4, 8)                           # w_1
            + _place(d_w_3, 5, 8)                           # w_3
            + _place(d_g_1, 6, 8)                           # g_1
            + _place(d_g_3, 7, 8)                           # g_3
        )

        # (71) fork of b: one line per reader
        d_b[t] = (
            d_s[t]                                          # s
            + _place(d_v_4, 3, 8)                           # v_4
        )

        d_h_next = d_b[t] @ R                               # (37) to h[t-1], from b
        d_c_next = d_c_1                                    # (41) to c[t-1], from c_1
    d_v_3 = d_v_5 * v_4                                     # (61) from v_5

    # (72) fork of a: one line per reader
    d_a = (
        d_s                                                 # s
        + _place(d_v_3, 3, 8)                               # v_3
    )

    d_x = _at_once(d_a, W)                                  # (73) from a
    grads = {
        "W": _sum_of_outer(d_a, x),                         # (74) from a
        "R": _sum_of_outer(d_b, h_prev),                    # (75) from b
    }
    return Gradients(grads, d_x, State(d_h_next, d_c_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: h (B, H), c (B, H), where to start; None is zero
    y_t: (B, H), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, H = _sizes(params)
    B = x_t.shape[0]
    h_prev, c_prev = _start(B, H, dtype) if state is None else state
    W, R = params["W"], params["R"]
    a = x_t @ W.T                                           # (1)
    v_3 = _part(a, 3, 8)                                    # (12)
    b = h_prev @ R.T                                        # (2)
    s = a + b                                               # (3)
    u_1 = _part(s, 0, 8)                                    # (4)
    u_2 = _sigmoid(u_1)                                     # (5)
    u_3 = _part(s, 1, 8)                                    # (6)
    u_4 = np.maximum(u_3, 0)                                # (7)
    u_pre = u_2 * u_4                                       # (8)
    u = np.tanh(u_pre)                                      # (9)
    v_1 = _part(s, 2, 8)                                    # (10)
    v_2 = _sigmoid(v_1)                                     # (11)
    v_4 = _part(b, 3, 8)                                    # (13)
    v_5 = v_3 * v_4                                         # (14)
    v_6 = np.maximum(v_5, 0)                                # (15)
    v_pre = v_2 + v_6                                       # (16)
    v = np.tanh(v_pre)                                      # (17)
    w_1 = _part(s, 4, 8)                                    # (18)
    w_2 = np.tanh(w_1)                                      # (19)
    w_3 = _part(s, 5, 8)                                    # (20)
    w_4 = _sigmoid(w_3)                                     # (21)
    w_pre = w_2 * w_4                                       # (22)
    w = np.tanh(w_pre)                                      # (23)
    g_1 = _part(s, 6, 8)                                    # (24)
    g_2 = np.tanh(g_1)                                      # (25)
    g_3 = _part(s, 7, 8)                                    # (26)
    g_4 = _sigmoid(g_3)                                     # (27)
    g_pre = g_2 + g_4                                       # (28)
    g = _sigmoid(g_pre)                                     # (29)
    c_1 = u + c_prev                                        # (30)
    c_2 = np.tanh(c_1)                                      # (31)
    c = c_2 * v                                             # (32)
    h_1 = w + g                                             # (33)
    h_2 = np.tanh(h_1)                                      # (34)
    h_pre = c * h_2                                         # (35)
    h = np.tanh(h_pre)                                      # (36)
    return h, State(h, c)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    return {
        "W": params["W"],
        "R": params["R"],
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


def _part(a, k, n):
    """The k-th of n equal parts of the last axis."""
    size = a.shape[-1] // n
    return a[..., k * size:(k + 1) * size]


def _place(a, k, n):
    """`a` as the k-th of n equal parts, zeros elsewhere."""
    size = a.shape[-1]
    placed = np.zeros(a.shape[:-1] + (n * size,), a.dtype)
    placed[..., k * size:(k + 1) * size] = a
    return placed


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
        "W": (8 * H, D),
        "R": (8 * H, H),
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
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W": ("8*H", "D"),
    "R": ("8*H", "H"),
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
    print("nas_lstm: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
