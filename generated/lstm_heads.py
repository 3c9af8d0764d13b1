# Made by lstmgen 0.1.0 from the spec of lstm_heads. It is yours: keep it, change it, ship it.
# lstmgen: sha256:f2b37594101a1ffc
"""LSTM with heads: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, N = heads, G = head_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of lstm_heads.tex. One step computes

      (1)  i_1    = W_i @ x
      (2)  i_2    = heads(i_1, N)
      (3)  i_pre  = i_2 + R_i @ h[t-1] + b_i
      (4)  i      = sigmoid(i_pre)
      (5)  f_1    = W_f @ x
      (6)  f_2    = heads(f_1, N)
      (7)  f_pre  = f_2 + R_f @ h[t-1] + b_f
      (8)  f      = sigmoid(f_pre)
      (9)  z_1    = W_z @ x
     (10)  z_2    = heads(z_1, N)
     (11)  z_pre  = z_2 + R_z @ h[t-1] + b_z
     (12)  z      = tanh(z_pre)
     (13)  o_1    = W_o @ x
     (14)  o_2    = heads(o_1, N)
     (15)  o_pre  = o_2 + R_o @ h[t-1] + b_o
     (16)  o      = sigmoid(o_pre)
     (17)  c      = f * c[t-1] + i * z
     (18)  tanh_c = tanh(c)
     (19)  h      = o * tanh_c
     (20)  y      = flat(h)
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    h: np.ndarray  # (B, N, G)
    c: np.ndarray  # (B, N, G)


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
    sizes: tuple  # D, N, G


def init_params(
    input_size: int, heads: int, head_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W: (4*G*N, D)  rows of W_i, W_f, W_z, W_o
    R_i: (N, G, G)
    R_f: (N, G, G)
    R_z: (N, G, G)
    R_o: (N, G, G)
    b_i: (N, G)
    b_f: (N, G)
    b_z: (N, G)
    b_o: (N, G)
    """
    _checked_start(dtype, input_size=input_size, heads=heads, head_size=head_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, heads, head_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_i", "W_f", "W_z", "W_o", "R_i", "R_f", "R_z", "R_o", "b_i", "b_f", "b_z", "b_o"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: h (B, N, G), c (B, N, G), where to start; None is zero
    y: (T, B, G*N), y at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, N, G = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, N, G, dtype) if state is None else state
    W = params["W"]
    R_i = params["R_i"]
    R_f = params["R_f"]
    R_z = params["R_z"]
    R_o = params["R_o"]
    b_i = params["b_i"]
    b_f = params["b_f"]
    b_z = params["b_z"]
    b_o = params["b_o"]
    W_x = _at_once(x, W.T)                                  # i_1, f_1, z_1, o_1, side by side
    i_2 = _heads(W_x[..., 0:G*N], N)                        # (1), (2)
    f_2 = _heads(W_x[..., G*N:2*G*N], N)                    # (5), (6)
    z_2 = _heads(W_x[..., 2*G*N:3*G*N], N)                  # (9), (10)
    o_2 = _heads(W_x[..., 3*G*N:4*G*N], N)                  # (13), (14)
    h_all = np.empty((T + 1, B, N, G), dtype)
    h_all[0] = state.h
    h_prev, h = h_all[:-1], h_all[1:]                       # h_prev[t] is h one step earlier
    c_all = np.empty((T + 1, B, N, G), dtype)
    c_all[0] = state.c
    c_prev, c = c_all[:-1], c_all[1:]                       # c_prev[t] is c one step earlier
    i, f, z, o, tanh_c = np.empty((5, T, B, N, G), dtype)

    for t in range(T):
        i_pre = i_2[t] + _per_head(R_i, h_prev[t]) + b_i    # (3)
        i[t] = _sigmoid(i_pre)                              # (4)
        f_pre = f_2[t] + _per_head(R_f, h_prev[t]) + b_f    # (7)
        f[t] = _sigmoid(f_pre)                              # (8)
        z_pre = z_2[t] + _per_head(R_z, h_prev[t]) + b_z    # (11)
        z[t] = np.tanh(z_pre)                               # (12)
        o_pre = o_2[t] + _per_head(R_o, h_prev[t]) + b_o    # (15)
        o[t] = _sigmoid(o_pre)                              # (16)
        c[t] = f[t] * c_prev[t] + i[t] * z[t]               # (17)
        tanh_c[t] = np.tanh(c[t])                           # (18)
        h[t] = o[t] * tanh_c[t]                             # (19)
    y = _flat(h)                                            # (20)
    end = State(h_all[-1].copy(), c_all[-1].copy())
    kept = (x, i, f, z, o, c_prev, tanh_c, h_prev)
    tape = Tape(y, kept, T, B, dtype, (D, N, G))
    return y, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, G*N), what reaches the outputs from outside; None is zero
    dstate: h (B, N, G), c (B, N, G), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, N, G = _sizes(params)
    W, R_i, R_f, R_z, R_o = params["W"], params["R_i"], params["R_f"], params["R_z"], params["R_o"]
    x, i, f, z, o, c_prev, tanh_c, h_prev = tape.kept
    d_o_pre = np.empty((T, B, N, G), dtype)
    d_z_pre = np.empty((T, B, N, G), dtype)
    d_f_pre = np.empty((T, B, N, G), dtype)
    d_i_pre = np.empty((T, B, N, G), dtype)
    d_h_next = dstate.h                                     # from outside, through the final state
    d_c_next = dstate.c                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (22) fork of h: one line per reader
        d_h = (
            d_h_next                                        # step t+1: i_pre, f_pre, z_pre, o_pre
            + _heads(dy[t], N)                              # (21) y
        )

        d_tanh_c = d_h * o[t]                               # (23) from h

        # (24) fork of c: one line per reader
        d_c = (
            d_c_next                                        # step t+1: c
            + d_tanh_c * (1 - tanh_c[t] ** 2)               # tanh_c
        )

        d_o = d_h * tanh_c[t]                               # (25) from h
        d_o_pre[t] = d_o * o[t] * (1 - o[t])                # (26) from o
        d_z = d_c * i[t]                                    # (29) from c
        d_z_pre[t] = d_z * (1 - z[t] ** 2)                  # (30) from z
        d_f = d_c * c_prev[t]                               # (33) from c
        d_f_pre[t] = d_f * f[t] * (1 - f[t])                # (34) from f
        d_i = d_c * z[t]                                    # (37) from c
        d_i_pre[t] = d_i * i[t] * (1 - i[t])                # (38) from i

        # (22) to h[t-1]: what step t sends back, one line per reader
        d_h_next = (
            _per_head(np.swapaxes(R_i, -1, -2), d_i_pre[t])  # i_pre
            + _per_head(np.swapaxes(R_f, -1, -2), d_f_pre[t])  # f_pre
            + _per_head(np.swapaxes(R_z, -1, -2), d_z_pre[t])  # z_pre
            + _per_head(np.swapaxes(R_o, -1, -2), d_o_pre[t])  # o_pre
        )

        d_c_next = d_c * f[t]                               # (24) to c[t-1], from c
    d_pre = np.empty((T, B, 4 * G * N), dtype)              # side by side, as their weights are stacked
    d_i_1 = d_pre[..., 0:G*N]
    d_f_1 = d_pre[..., G*N:2*G*N]
    d_z_1 = d_pre[..., 2*G*N:3*G*N]
    d_o_1 = d_pre[..., 3*G*N:4*G*N]
    d_o_1[...] = _flat(d_o_pre)                             # (27), (28) from o_2
    d_z_1[...] = _flat(d_z_pre)                             # (31), (32) from z_2
    d_f_1[...] = _flat(d_f_pre)                             # (35), (36) from f_2
    d_i_1[...] = _flat(d_i_pre)                             # (39), (40) from i_2
    d_x = _at_once(d_pre, W)                                # (41) from i_1, f_1, z_1, o_1
    grads = {
        "W": _sum_of_outer(d_pre, x),                       # (42) to (45) from i_1, f_1, z_1, o_1
        "R_i": _sum_of_outer_per_head(d_i_pre, h_prev),     # (46) from i_pre
        "R_f": _sum_of_outer_per_head(d_f_pre, h_prev),     # (47) from f_pre
        "R_z": _sum_of_outer_per_head(d_z_pre, h_prev),     # (48) from z_pre
        "R_o": _sum_of_outer_per_head(d_o_pre, h_prev),     # (49) from o_pre
        "b_i": d_i_pre.sum((0, 1)),                         # (50) from i_pre
        "b_f": d_f_pre.sum((0, 1)),                         # (51) from f_pre
        "b_z": d_z_pre.sum((0, 1)),                         # (52) from z_pre
        "b_o": d_o_pre.sum((0, 1)),                         # (53) from o_pre
    }
    return Gradients(grads, d_x, State(d_h_next, d_c_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: h (B, N, G), c (B, N, G), where to start; None is zero
    y_t: (B, G*N), y
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, N, G = _sizes(params)
    B = x_t.shape[0]
    h_prev, c_prev = _start(B, N, G, dtype) if state is None else state
    W = params["W"]
    R_i = params["R_i"]
    R_f = params["R_f"]
    R_z = params["R_z"]
    R_o = params["R_o"]
    b_i = params["b_i"]
    b_f = params["b_f"]
    b_z = params["b_z"]
    b_o = params["b_o"]
    W_x = x_t @ W.T                                         # i_1, f_1, z_1, o_1, side by side
    i_2 = _heads(W_x[:, 0:G*N], N)                          # (1), (2)
    f_2 = _heads(W_x[:, G*N:2*G*N], N)                      # (5), (6)
    z_2 = _heads(W_x[:, 2*G*N:3*G*N], N)                    # (9), (10)
    o_2 = _heads(W_x[:, 3*G*N:4*G*N], N)                    # (13), (14)
    i_pre = i_2 + _per_head(R_i, h_prev) + b_i              # (3)
    i = _sigmoid(i_pre)                                     # (4)
    f_pre = f_2 + _per_head(R_f, h_prev) + b_f              # (7)
    f = _sigmoid(f_pre)                                     # (8)
    z_pre = z_2 + _per_head(R_z, h_prev) + b_z              # (11)
    z = np.tanh(z_pre)                                      # (12)
    o_pre = o_2 + _per_head(R_o, h_prev) + b_o              # (15)
    o = _sigmoid(o_pre)                                     # (16)
    c = f * c_prev + i * z                                  # (17)
    tanh_c = np.tanh(c)                                     # (18)
    h = o * tanh_c                                          # (19)
    y = _flat(h)                                            # (20)
    return y, State(h, c)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, N, G = _sizes(params)
    return {
        "W_i": params["W"][0:G*N],
        "W_f": params["W"][G*N:2*G*N],
        "W_z": params["W"][2*G*N:3*G*N],
        "W_o": params["W"][3*G*N:4*G*N],
        "R_i": params["R_i"],
        "R_f": params["R_f"],
        "R_z": params["R_z"],
        "R_o": params["R_o"],
        "b_i": params["b_i"],
        "b_f": params["b_f"],
        "b_z": params["b_z"],
        "b_o": params["b_o"],
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


def _flat(a):
    """The last two axes as one."""
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1])


def _heads(a, n):
    """The last axis as n rows."""
    return a.reshape(*a.shape[:-1], n, a.shape[-1] // n)


def _glorot(rng, shape):
    """Uniform, with the variance 2 / (rows + columns) of Glorot and Bengio 2010."""
    sides = shape[-2:] or (1,)
    limit = np.sqrt(6 / (sides[0] + sides[-1]))
    return rng.uniform(-limit, limit, shape)


def _per_head(matrices, v):
    """Of each head, its matrix (M, K) times its vector: (..., N, M)."""
    rows = v.reshape(-1, *v.shape[-2:]).swapaxes(0, 1)
    return (rows @ matrices.swapaxes(1, 2)).swapaxes(0, 1).reshape(*v.shape[:-1], matrices.shape[1])


def _sigmoid(a):
    """1 / (1 + exp(-a)), by way of tanh: no overflow, and the fastest in NumPy."""
    y = np.tanh(0.5 * a)
    y *= 0.5
    y += 0.5
    return y


def _sum_of_outer(d, v):
    """The sum over all steps and examples of the outer products d v^T: one matrix product."""
    return d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1])


def _sum_of_outer_per_head(d, v):
    """Of each head, the sum over all steps and examples of the outer products d v^T: (N, M, K)."""
    d, v = (a.reshape(-1, *a.shape[-2:]).swapaxes(0, 1) for a in (d, v))
    return d.swapaxes(1, 2) @ v


# ---------------------------------------------------------------- shapes


def _shapes(D, N, G):
    """The shapes of the stored parameters."""
    return {
        "W": (4 * G * N, D),
        "R_i": (N, G, G),
        "R_f": (N, G, G),
        "R_z": (N, G, G),
        "R_o": (N, G, G),
        "b_i": (N, G),
        "b_f": (N, G),
        "b_z": (N, G),
        "b_o": (N, G),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, N, G."""
    D = params["W"].shape[1]
    N = params["R_i"].shape[0]
    G = params["R_i"].shape[1]
    return (D, N, G)


def _start(batch, N, G, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, N, G), dtype),
        np.zeros((batch, N, G), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W": ("4*G*N", "D"),
    "R_i": ("N", "G", "G"),
    "R_f": ("N", "G", "G"),
    "R_z": ("N", "G", "G"),
    "R_o": ("N", "G", "G"),
    "b_i": ("N", "G"),
    "b_f": ("N", "G"),
    "b_z": ("N", "G"),
    "b_o": ("N", "G"),
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
    params, D, N, G = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, N, G, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, N, G = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, N, G, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, N, G = _checked_params(params, tape.dtype)
    if tape.sizes != (D, N, G):
        raise ValueError(f"the tape is of params with D, N, G = {tape.sizes}, and these have {(D, N, G)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, G*N)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, N, G, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, N, G, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, N, G, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".h", state[0], "(B, N, G)", (batch, N, G), dtype),
        _checked(name + ".c", state[1], "(B, N, G)", (batch, N, G), dtype),
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
    D, N, G = _sizes(arrays)
    for name, shape in _shapes(D, N, G).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, N, G


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
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, N, G).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, N, G)),
        rng.uniform(-1, 1, (batch, N, G)),
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
    print("lstm_heads: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
