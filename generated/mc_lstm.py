# Made by lstmgen 0.1.0 from the spec of mc_lstm. It is yours: keep it, change it, ship it.
# lstmgen: sha256:bf613fb9492835f7
"""Memory-controller LSTM: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of mc_lstm.tex. One step computes

      (1)  i_pre  = W_i @ x + R_i @ v[t-1] + b_i
      (2)  i      = sigmoid(i_pre)
      (3)  f_pre  = W_f @ x + R_f @ v[t-1] + b_f
      (4)  f      = sigmoid(f_pre)
      (5)  z_pre  = W_z @ x + R_z @ v[t-1] + b_z
      (6)  z      = tanh(z_pre)
      (7)  o_pre  = W_o @ x + R_o @ v[t-1] + b_o
      (8)  o      = sigmoid(o_pre)
      (9)  m_pre  = W_m @ x + R_m @ v[t-1] + b_m
     (10)  m      = sigmoid(m_pre)
     (11)  c      = z * i + c[t-1] * f
     (12)  tanh_c = tanh(c)
     (13)  h      = o * tanh_c
     (14)  v      = m * tanh_c
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    v: np.ndarray  # (B, H)
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

    W_ifzm: (4*H, D)  rows of W_i, W_f, W_z, W_m
    W_o: (H, D)
    R_ifzm: (4*H, H)  rows of R_i, R_f, R_z, R_m
    R_o: (H, H)
    b_ifzm: (4*H,)  rows of b_i, b_f, b_z, b_m
    b_o: (H,)
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_i", "W_f", "W_z", "W_o", "W_m", "R_i", "R_f", "R_z", "R_o", "R_m"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: v (B, H), c (B, H), where to start; None is zero
    y: (T, B, H), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, H = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, dtype) if state is None else state
    W_ifzm = params["W_ifzm"]
    W_o = params["W_o"]
    R_ifzm = params["R_ifzm"]
    R_o = params["R_o"]
    b_ifzm = params["b_ifzm"]
    b_o = params["b_o"]
    pre = _at_once(x, W_ifzm.T)                             # for all steps at once: i_pre, f_pre, z_pre, m_pre
    pre += b_ifzm
    v_all = np.empty((T + 1, B, H), dtype)
    v_all[0] = state.v
    v_prev, v = v_all[:-1], v_all[1:]                       # v_prev[t] is v one step earlier
    c_all = np.empty((T + 1, B, H), dtype)
    c_all[0] = state.c
    c_prev, c = c_all[:-1], c_all[1:]                       # c_prev[t] is c one step earlier
    i, f, z, m, tanh_c = np.empty((5, T, B, H), dtype)
    R_ifzm_T = _transposed(R_ifzm) if B > 1 else R_ifzm.T   # laid out as the loop reads it

    for t in range(T):
        pre[t] += v_prev[t] @ R_ifzm_T                      # i_pre, f_pre, z_pre, m_pre, side by side
        gates = _sigmoid(pre[t, :, 0:2*H])                  # (1), (3): i, f, side by side
        i[t] = gates[:, 0:H]                                # (2)
        f[t] = gates[:, H:2*H]                              # (4)
        z[t] = np.tanh(pre[t, :, 2*H:3*H])                  # (5), (6)
        m[t] = _sigmoid(pre[t, :, 3*H:4*H])                 # (9), (10)
        c[t] = z[t] * i[t] + c_prev[t] * f[t]               # (11)
        tanh_c[t] = np.tanh(c[t])                           # (12)
        v[t] = m[t] * tanh_c[t]                             # (14)
    o_pre = _at_once(x, W_o.T) + b_o + _at_once(v_prev, R_o.T)  # (7)
    o = _sigmoid(o_pre)                                     # (8)
    h = o * tanh_c                                          # (13)
    end = State(v_all[-1].copy(), c_all[-1].copy())
    kept = (x, i, f, z, o, m, c_prev, tanh_c, v_prev)
    tape = Tape(h, kept, T, B, dtype, (D, H))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: v (B, H), c (B, H), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, H = _sizes(params)
    W_ifzm, W_o, R_ifzm, R_o = params["W_ifzm"], params["W_o"], params["R_ifzm"], params["R_o"]
    x, i, f, z, o, m, c_prev, tanh_c, v_prev = tape.kept
    d_o = dy * tanh_c                                       # (16), (21) from h
    d_o_pre = d_o * o * (1 - o)                             # (22) from o
    d_v_R_o = _at_once(d_o_pre, R_o)                        # o_pre
    d_pre = np.empty((T, B, 4 * H), dtype)                  # side by side, as their weights are stacked
    d_i_pre = d_pre[..., 0:H]
    d_f_pre = d_pre[..., H:2*H]
    d_z_pre = d_pre[..., 2*H:3*H]
    d_m_pre = d_pre[..., 3*H:4*H]
    d_v_next = dstate.v                                     # from outside, through the final state
    d_c_next = dstate.c                                     # from outside, through the final state

    for t in reversed(range(T)):
        d_v = d_v_next                                      # (15) from step t+1: i_pre, f_pre, z_pre, o_pre, m_pre

        # (17) fork of tanh_c: one line per reader
        d_tanh_c = (
            dy[t] * o[t]                                    # h
            + d_v * m[t]                                    # v
        )

        # (18) fork of c: one line per reader
        d_c = (
            d_c_next                                        # step t+1: c
            + d_tanh_c * (1 - tanh_c[t] ** 2)               # tanh_c
        )

        d_m = d_v * tanh_c[t]                               # (19) from v
        d_m_pre[t] = d_m * m[t] * (1 - m[t])                # (20) from m
        d_z = d_c * i[t]                                    # (23) from c
        d_z_pre[t] = d_z * (1 - z[t] ** 2)                  # (24) from z
        d_f = d_c * c_prev[t]                               # (25) from c
        d_f_pre[t] = d_f * f[t] * (1 - f[t])                # (26) from f
        d_i = d_c * z[t]                                    # (27) from c
        d_i_pre[t] = d_i * i[t] * (1 - i[t])                # (28) from i

        # (15) to v[t-1]: what step t sends back, one line per reader
        d_v_next = (
            d_pre[t] @ R_ifzm                               # i_pre, f_pre, z_pre, m_pre
            + d_v_R_o[t]                                    # o_pre
        )

        d_c_next = d_c * f[t]                               # (18) to c[t-1], from c

    # (29) fork of x: one line per reader
    d_x = (
        _at_once(d_pre, W_ifzm)                             # i_pre, f_pre, z_pre, m_pre
        + _at_once(d_o_pre, W_o)                            # o_pre
    )
    grads = {
        "W_ifzm": _sum_of_outer(d_pre, x),                  # (30), (31), (32), (34) from i_pre, f_pre, z_pre, m_pre
        "W_o": _sum_of_outer(d_o_pre, x),                   # (33) from o_pre
        "R_ifzm": _sum_of_outer(d_pre, v_prev),             # (35), (36), (37), (39) from i_pre, f_pre, z_pre, m_pre
        "R_o": _sum_of_outer(d_o_pre, v_prev),              # (38) from o_pre
        "b_ifzm": d_pre.sum((0, 1)),                        # (40), (41), (42), (44) from i_pre, f_pre, z_pre, m_pre
        "b_o": d_o_pre.sum((0, 1)),                         # (43) from o_pre
    }
    return Gradients(grads, d_x, State(d_v_next, d_c_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: v (B, H), c (B, H), where to start; None is zero
    y_t: (B, H), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, H = _sizes(params)
    B = x_t.shape[0]
    v_prev, c_prev = _start(B, H, dtype) if state is None else state
    W_ifzm = params["W_ifzm"]
    W_o = params["W_o"]
    R_ifzm = params["R_ifzm"]
    R_o = params["R_o"]
    b_ifzm = params["b_ifzm"]
    b_o = params["b_o"]
    pre = x_t @ W_ifzm.T + v_prev @ R_ifzm.T + b_ifzm       # i_pre, f_pre, z_pre, m_pre, side by side
    gates = _sigmoid(pre[:, 0:2*H])                         # (1), (3): i, f, side by side
    i = gates[:, 0:H]                                       # (2)
    f = gates[:, H:2*H]                                     # (4)
    z = np.tanh(pre[:, 2*H:3*H])                            # (5), (6)
    m = _sigmoid(pre[:, 3*H:4*H])                           # (9), (10)
    c = z * i + c_prev * f                                  # (11)
    tanh_c = np.tanh(c)                                     # (12)
    v = m * tanh_c                                          # (14)
    o_pre = x_t @ W_o.T + b_o + v_prev @ R_o.T              # (7)
    o = _sigmoid(o_pre)                                     # (8)
    h = o * tanh_c                                          # (13)
    return h, State(v, c)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, H = _sizes(params)
    return {
        "W_i": params["W_ifzm"][0:H],
        "W_f": params["W_ifzm"][H:2*H],
        "W_z": params["W_ifzm"][2*H:3*H],
        "W_o": params["W_o"],
        "W_m": params["W_ifzm"][3*H:4*H],
        "R_i": params["R_ifzm"][0:H],
        "R_f": params["R_ifzm"][H:2*H],
        "R_z": params["R_ifzm"][2*H:3*H],
        "R_o": params["R_o"],
        "R_m": params["R_ifzm"][3*H:4*H],
        "b_i": params["b_ifzm"][0:H],
        "b_f": params["b_ifzm"][H:2*H],
        "b_z": params["b_ifzm"][2*H:3*H],
        "b_o": params["b_o"],
        "b_m": params["b_ifzm"][3*H:4*H],
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
        "W_ifzm": (4 * H, D),
        "W_o": (H, D),
        "R_ifzm": (4 * H, H),
        "R_o": (H, H),
        "b_ifzm": (4 * H,),
        "b_o": (H,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, H."""
    D = params["W_ifzm"].shape[1]
    H = params["W_o"].shape[0]
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
    "W_ifzm": ("4*H", "D"),
    "W_o": ("H", "D"),
    "R_ifzm": ("4*H", "H"),
    "R_o": ("H", "H"),
    "b_ifzm": ("4*H",),
    "b_o": ("H",),
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
        _checked(name + ".v", state[0], "(B, H)", (batch, H), dtype),
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
    print("mc_lstm: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
