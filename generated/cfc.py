# Made by lstmgen 0.1.0 from the spec of cfc. It is yours: keep it, change it, ship it.
# lstmgen: sha256:f90cf5e2595793e1
"""Closed-form continuous-time cell: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size, F = backbone_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of cfc.tex. One step computes

      (1)  z_pre = W_b @ x + R_b @ h[t-1] + b_b
      (2)  z_1   = 0.666 * z_pre
      (3)  z_2   = tanh(z_1)
      (4)  z     = 1.7159 * z_2
      (5)  f_pre = W_1 @ z + b_1
      (6)  f     = tanh(f_pre)
      (7)  g_pre = W_2 @ z + b_2
      (8)  g     = tanh(g_pre)
      (9)  s_1   = W_a @ z + b_a
     (10)  s_pre = s_1 * ts + W_t @ z + b_t
     (11)  s     = sigmoid(s_pre)
     (12)  h     = (1 - s) * f + s * g
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    h: np.ndarray  # (B, H)


class Gradients(NamedTuple):
    """What `backward` returns."""

    params: Params  # summed over steps and examples
    x: np.ndarray  # (T, B, D)
    ts: np.ndarray  # (T, B)
    state: State  # at the initial state


class Tape(NamedTuple):
    """What `backward` needs to know of a forward pass. `y` is yours to read, the rest is its own."""

    y: np.ndarray
    kept: tuple
    steps: int
    batch: int
    dtype: np.dtype
    sizes: tuple  # F, D, H


def init_params(
    input_size: int, hidden_size: int, backbone_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W_b: (F, D)
    R_b: (F, H)
    b_b: (F,)
    W_12at: (4*H, F)  rows of W_1, W_2, W_a, W_t
    b_12at: (4*H,)  rows of b_1, b_2, b_a, b_t
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size, backbone_size=backbone_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size, backbone_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_b", "R_b", "W_1", "W_2", "W_a", "W_t"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(
    params: Params, x: np.ndarray, ts: np.ndarray, state: State | None = None
) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    ts: (T, B)
    state: h (B, H), where to start; None is zero
    y: (T, B, H), h at every step
    """
    params, x, ts, state, dtype = _checked_forward(params, x, ts, state)
    F, D, H = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, dtype) if state is None else state
    W_b, R_b, b_b, W_12at, b_12at = params["W_b"], params["R_b"], params["b_b"], params["W_12at"], params["b_12at"]
    W_b_x = _at_once(x, W_b.T)                              # for all steps at once: z_pre
    W_b_x += b_b
    h_all = np.empty((T + 1, B, H), dtype)
    h_all[0] = state.h
    h_prev, h = h_all[:-1], h_all[1:]                       # h_prev[t] is h one step earlier
    z_2, z = np.empty((2, T, B, F), dtype)
    f, g, s_1, s = np.empty((4, T, B, H), dtype)
    R_b_T = _transposed(R_b) if B > 1 else R_b.T            # laid out as the loop reads it
    W_12at_T = _transposed(W_12at) if B > 1 else W_12at.T   # laid out as the loop reads it

    for t in range(T):
        z_pre = W_b_x[t] + h_prev[t] @ R_b_T                # (1)
        z_1 = 0.666 * z_pre                                 # (2)
        z_2[t] = np.tanh(z_1)                               # (3)
        z[t] = 1.7159 * z_2[t]                              # (4)
        W_12at_z = z[t] @ W_12at_T + b_12at                 # f_pre, g_pre, s_1, s_pre, side by side
        f[t] = np.tanh(W_12at_z[:, 0:H])                    # (5), (6)
        g[t] = np.tanh(W_12at_z[:, H:2*H])                  # (7), (8)
        s_1[t] = W_12at_z[:, 2*H:3*H]                       # (9)
        s_pre = W_12at_z[:, 3*H:4*H] + s_1[t] * ts[t][..., None]  # (10)
        s[t] = _sigmoid(s_pre)                              # (11)
        h[t] = (1 - s[t]) * f[t] + s[t] * g[t]              # (12)
    end = State(h_all[-1].copy())
    kept = (x, ts, z_2, z, f, g, s_1, s, h_prev)
    tape = Tape(h, kept, T, B, dtype, (F, D, H))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: h (B, H), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    F, D, H = _sizes(params)
    W_b, R_b, W_12at = params["W_b"], params["R_b"], params["W_12at"]
    x, ts, z_2, z, f, g, s_1, s, h_prev = tape.kept
    d_z_pre = np.empty((T, B, F), dtype)
    d_pre = np.empty((T, B, 4 * H), dtype)                  # side by side, as their weights are stacked
    d_f_pre = d_pre[..., 0:H]
    d_g_pre = d_pre[..., H:2*H]
    d_s_1 = d_pre[..., 2*H:3*H]
    d_s_pre = d_pre[..., 3*H:4*H]
    d_h_next = dstate.h                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (13) fork of h: one line per reader
        d_h = (
            d_h_next                                        # step t+1: z_pre
            + dy[t]                                         # from outside, through the output
        )

        d_s = d_h * (g[t] - f[t])                           # (14) from h
        d_s_pre[t] = d_s * s[t] * (1 - s[t])                # (15) from s
        d_s_1[t] = d_s_pre[t] * ts[t][..., None]            # (16) from s_pre
        d_g = d_h * s[t]                                    # (17) from h
        d_g_pre[t] = d_g * (1 - g[t] ** 2)                  # (18) from g
        d_f = d_h * (1 - s[t])                              # (19) from h
        d_f_pre[t] = d_f * (1 - f[t] ** 2)                  # (20) from f
        d_z = d_pre[t] @ W_12at                             # (21) from f_pre, g_pre, s_1, s_pre
        d_z_2 = 1.7159 * d_z                                # (22) from z
        d_z_1 = d_z_2 * (1 - z_2[t] ** 2)                   # (23) from z_2
        d_z_pre[t] = 0.666 * d_z_1                          # (24) from z_1
        d_h_next = d_z_pre[t] @ R_b                         # (13) to h[t-1], from z_pre
    d_x = _at_once(d_z_pre, W_b)                            # (25) from z_pre
    d_ts = np.einsum("tbk,tbk->tb", d_s_pre, s_1)           # (26) from s_pre
    grads = {
        "W_b": _sum_of_outer(d_z_pre, x),                   # (27) from z_pre
        "R_b": _sum_of_outer(d_z_pre, h_prev),              # (28) from z_pre
        "b_b": d_z_pre.sum((0, 1)),                         # (29) from z_pre
        "W_12at": _sum_of_outer(d_pre, z),                  # (30) to (33) from f_pre, g_pre, s_1, s_pre
        "b_12at": d_pre.sum((0, 1)),                        # (34) to (37) from f_pre, g_pre, s_1, s_pre
    }
    return Gradients(grads, d_x, d_ts, State(d_h_next))


def step(params: Params, x_t: np.ndarray, ts_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    ts_t: (B,)
    state: h (B, H), where to start; None is zero
    y_t: (B, H), h
    """
    params, x_t, ts_t, state, dtype = _checked_step(params, x_t, ts_t, state)
    F, D, H = _sizes(params)
    B = x_t.shape[0]
    (h_prev,) = _start(B, H, dtype) if state is None else state
    W_b, R_b, b_b, W_12at, b_12at = params["W_b"], params["R_b"], params["b_b"], params["W_12at"], params["b_12at"]
    z_pre = x_t @ W_b.T + b_b + h_prev @ R_b.T              # (1)
    z_1 = 0.666 * z_pre                                     # (2)
    z_2 = np.tanh(z_1)                                      # (3)
    z = 1.7159 * z_2                                        # (4)
    W_12at_z = z @ W_12at.T + b_12at                        # f_pre, g_pre, s_1, s_pre, side by side
    f = np.tanh(W_12at_z[:, 0:H])                           # (5), (6)
    g = np.tanh(W_12at_z[:, H:2*H])                         # (7), (8)
    s_1 = W_12at_z[:, 2*H:3*H]                              # (9)
    s_pre = W_12at_z[:, 3*H:4*H] + s_1 * ts_t[..., None]    # (10)
    s = _sigmoid(s_pre)                                     # (11)
    h = (1 - s) * f + s * g                                 # (12)
    return h, State(h)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    F, D, H = _sizes(params)
    return {
        "W_b": params["W_b"],
        "R_b": params["R_b"],
        "b_b": params["b_b"],
        "W_1": params["W_12at"][0:H],
        "W_2": params["W_12at"][H:2*H],
        "W_a": params["W_12at"][2*H:3*H],
        "W_t": params["W_12at"][3*H:4*H],
        "b_1": params["b_12at"][0:H],
        "b_2": params["b_12at"][H:2*H],
        "b_a": params["b_12at"][2*H:3*H],
        "b_t": params["b_12at"][3*H:4*H],
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


def _shapes(D, H, F):
    """The shapes of the stored parameters."""
    return {
        "W_b": (F, D),
        "R_b": (F, H),
        "b_b": (F,),
        "W_12at": (4 * H, F),
        "b_12at": (4 * H,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: F, D, H."""
    F = params["W_b"].shape[0]
    D = params["W_b"].shape[1]
    H = params["R_b"].shape[1]
    return (F, D, H)


def _start(batch, H, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, H), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W_b": ("F", "D"),
    "R_b": ("F", "H"),
    "b_b": ("F",),
    "W_12at": ("4*H", "F"),
    "b_12at": ("4*H",),
}


def _checked_start(dtype, **sizes):
    """Whether parameters can be of a type and of sizes."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"{name} is {size!r}, expected a whole number from 1 on")
    if np.dtype(dtype) not in (np.float32, np.float64, np.complex128):
        raise ValueError(f"dtype is {np.dtype(dtype)}, expected float32, float64 or complex128")


def _checked_forward(params, x, ts, state):
    """The arguments of `forward` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x, ts)
    params, F, D, H = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    ts = _checked("ts", ts, "(T, B)", (T, B), dtype)
    return params, x, ts, _checked_state("state", state, B, H, dtype), dtype


def _checked_step(params, x_t, ts_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t, ts_t)
    params, F, D, H = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    ts_t = _checked("ts_t", ts_t, "(B,)", (B,), dtype)
    return params, x_t, ts_t, _checked_state("state", state, B, H, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, F, D, H = _checked_params(params, tape.dtype)
    if tape.sizes != (F, D, H):
        raise ValueError(f"the tape is of params with F, D, H = {tape.sizes}, and these have {(F, D, H)}")
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
    F, D, H = _sizes(arrays)
    for name, shape in _shapes(D, H, F).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, F, D, H


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
    F = 5
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, H, F).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
        rng.uniform(0, 2, (steps, batch)),
    ]
    state = State(
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
    for place, name in enumerate(['x', 'ts']):
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
    print("cfc: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
