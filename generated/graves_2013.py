# Made by lstmgen 0.1.0 from the spec of graves_2013. It is yours: keep it, change it, ship it.
# lstmgen: sha256:078fdccb91d815af
"""Peephole LSTM with clipped gradients, Graves 2013: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of graves_2013.tex. One step computes

      (1)  i_1    = W_i @ x + R_i @ h[t-1] + p_i * c[t-1] + b_i
      (2)  i_pre  = clip_gradient(i_1, 10)
      (3)  i      = sigmoid(i_pre)
      (4)  f_1    = W_f @ x + R_f @ h[t-1] + p_f * c[t-1] + b_f
      (5)  f_pre  = clip_gradient(f_1, 10)
      (6)  f      = sigmoid(f_pre)
      (7)  z_1    = W_z @ x + R_z @ h[t-1] + b_z
      (8)  z_pre  = clip_gradient(z_1, 10)
      (9)  z      = tanh(z_pre)
     (10)  c      = f * c[t-1] + i * z
     (11)  o_1    = W_o @ x + R_o @ h[t-1] + p_o * c + b_o
     (12)  o_pre  = clip_gradient(o_1, 10)
     (13)  o      = sigmoid(o_pre)
     (14)  tanh_c = tanh(c)
     (15)  h      = o * tanh_c
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

    W: (4*H, D)  rows of W_i, W_f, W_z, W_o
    R: (4*H, H)  rows of R_i, R_f, R_z, R_o
    p_i: (H,)
    p_f: (H,)
    p_o: (H,)
    b: (4*H,)  rows of b_i, b_f, b_z, b_o
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_i", "W_f", "W_z", "W_o", "R_i", "R_f", "R_z", "R_o"):
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
    W, R, p_i, p_f, p_o, b = params["W"], params["R"], params["p_i"], params["p_f"], params["p_o"], params["b"]
    pre = _at_once(x, W.T)                                  # for all steps at once: i_1, f_1, z_1, o_1
    pre += b
    h_all = np.empty((T + 1, B, H), dtype)
    h_all[0] = state.h
    h_prev, h = h_all[:-1], h_all[1:]                       # h_prev[t] is h one step earlier
    c_all = np.empty((T + 1, B, H), dtype)
    c_all[0] = state.c
    c_prev, c = c_all[:-1], c_all[1:]                       # c_prev[t] is c one step earlier
    i, f, z, o, tanh_c = np.empty((5, T, B, H), dtype)
    R_T = _transposed(R) if B > 1 else R.T                  # laid out as the loop reads it

    for t in range(T):
        pre[t] += h_prev[t] @ R_T                           # i_1, f_1, z_1, o_1, side by side
        i_1 = pre[t, :, 0:H] + p_i * c_prev[t]              # (1)
        i_pre = _clip_gradient(i_1, 10)                     # (2)
        i[t] = _sigmoid(i_pre)                              # (3)
        f_1 = pre[t, :, H:2*H] + p_f * c_prev[t]            # (4)
        f_pre = _clip_gradient(f_1, 10)                     # (5)
        f[t] = _sigmoid(f_pre)                              # (6)
        z_pre = _clip_gradient(pre[t, :, 2*H:3*H], 10)      # (7), (8)
        z[t] = np.tanh(z_pre)                               # (9)
        c[t] = f[t] * c_prev[t] + i[t] * z[t]               # (10)
        o_1 = pre[t, :, 3*H:4*H] + p_o * c[t]               # (11)
        o_pre = _clip_gradient(o_1, 10)                     # (12)
        o[t] = _sigmoid(o_pre)                              # (13)
        tanh_c[t] = np.tanh(c[t])                           # (14)
        h[t] = o[t] * tanh_c[t]                             # (15)
    end = State(h_all[-1].copy(), c_all[-1].copy())
    kept = (x, i, f, z, c_prev, c, o, tanh_c, h_prev)
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
    W, R, p_i, p_f, p_o = params["W"], params["R"], params["p_i"], params["p_f"], params["p_o"]
    x, i, f, z, c_prev, c, o, tanh_c, h_prev = tape.kept
    d_pre = np.empty((T, B, 4 * H), dtype)                  # side by side, as their weights are stacked
    d_i_1 = d_pre[..., 0:H]
    d_f_1 = d_pre[..., H:2*H]
    d_z_1 = d_pre[..., 2*H:3*H]
    d_o_1 = d_pre[..., 3*H:4*H]
    d_h_next = dstate.h                                     # from outside, through the final state
    d_c_next = dstate.c                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (16) fork of h: one line per reader
        d_h = (
            d_h_next                                        # step t+1: i_1, f_1, z_1, o_1
            + dy[t]                                         # from outside, through the output
        )

        d_tanh_c = d_h * o[t]                               # (17) from h
        d_o = d_h * tanh_c[t]                               # (18) from h
        d_o_pre = d_o * o[t] * (1 - o[t])                   # (19) from o
        d_o_1[t] = _clipped(d_o_pre, 10)                    # (20) from o_pre

        # (21) fork of c: one line per reader
        d_c = (
            d_c_next                                        # step t+1: i_1, f_1, c
            + d_o_1[t] * p_o                                # o_1
            + d_tanh_c * (1 - tanh_c[t] ** 2)               # tanh_c
        )

        d_z = d_c * i[t]                                    # (22) from c
        d_z_pre = d_z * (1 - z[t] ** 2)                     # (23) from z
        d_z_1[t] = _clipped(d_z_pre, 10)                    # (24) from z_pre
        d_f = d_c * c_prev[t]                               # (25) from c
        d_f_pre = d_f * f[t] * (1 - f[t])                   # (26) from f
        d_f_1[t] = _clipped(d_f_pre, 10)                    # (27) from f_pre
        d_i = d_c * z[t]                                    # (28) from c
        d_i_pre = d_i * i[t] * (1 - i[t])                   # (29) from i
        d_i_1[t] = _clipped(d_i_pre, 10)                    # (30) from i_pre
        d_h_next = d_pre[t] @ R                             # (16) to h[t-1], from i_1, f_1, z_1, o_1

        # (21) to c[t-1]: what step t sends back, one line per reader
        d_c_next = (
            d_i_1[t] * p_i                                  # i_1
            + d_f_1[t] * p_f                                # f_1
            + d_c * f[t]                                    # c
        )

    d_x = _at_once(d_pre, W)                                # (31) from i_1, f_1, z_1, o_1
    grads = {
        "W": _sum_of_outer(d_pre, x),                       # (32) to (35) from i_1, f_1, z_1, o_1
        "R": _sum_of_outer(d_pre, h_prev),                  # (36) to (39) from i_1, f_1, z_1, o_1
        "p_i": np.einsum("tbk,tbk->k", d_i_1, c_prev),      # (40) from i_1
        "p_f": np.einsum("tbk,tbk->k", d_f_1, c_prev),      # (41) from f_1
        "p_o": np.einsum("tbk,tbk->k", d_o_1, c),           # (42) from o_1
        "b": d_pre.sum((0, 1)),                             # (43) to (46) from i_1, f_1, z_1, o_1
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
    W, R, p_i, p_f, p_o, b = params["W"], params["R"], params["p_i"], params["p_f"], params["p_o"], params["b"]
    pre = x_t @ W.T + h_prev @ R.T + b                      # i_1, f_1, z_1, o_1, side by side
    i_1 = pre[:, 0:H] + p_i * c_prev                        # (1)
    i_pre = _clip_gradient(i_1, 10)                         # (2)
    i = _sigmoid(i_pre)                                     # (3)
    f_1 = pre[:, H:2*H] + p_f * c_prev                      # (4)
    f_pre = _clip_gradient(f_1, 10)                         # (5)
    f = _sigmoid(f_pre)                                     # (6)
    z_pre = _clip_gradient(pre[:, 2*H:3*H], 10)             # (7), (8)
    z = np.tanh(z_pre)                                      # (9)
    c = f * c_prev + i * z                                  # (10)
    o_1 = pre[:, 3*H:4*H] + p_o * c                         # (11)
    o_pre = _clip_gradient(o_1, 10)                         # (12)
    o = _sigmoid(o_pre)                                     # (13)
    tanh_c = np.tanh(c)                                     # (14)
    h = o * tanh_c                                          # (15)
    return h, State(h, c)


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
        "p_i": params["p_i"],
        "p_f": params["p_f"],
        "p_o": params["p_o"],
        "b_i": params["b"][0:H],
        "b_f": params["b"][H:2*H],
        "b_z": params["b"][2*H:3*H],
        "b_o": params["b"][3*H:4*H],
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


def _clip_gradient(a, bound):
    """`a`. On the way back, `_clipped` takes what arrives here."""
    return a


def _clipped(gradient, bound):
    """Each entry of a gradient, but at most `bound` in size."""
    return np.minimum(np.maximum(gradient, -bound), bound)


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
        "p_i": (H,),
        "p_f": (H,),
        "p_o": (H,),
        "b": (4 * H,),
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
    "W": ("4*H", "D"),
    "R": ("4*H", "H"),
    "p_i": ("H",),
    "p_f": ("H",),
    "p_o": ("H",),
    "b": ("4*H",),
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
    print("graves_2013: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
