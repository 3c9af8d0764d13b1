# Made by lstmgen 0.1.0 from the spec of egru. It is yours: keep it, change it, ship it.
# lstmgen: sha256:4a7c7dd1cdbae2c8
"""Event-based GRU: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of egru.tex. One step computes

      (1)  u_pre    = W_u @ x + R_u @ y[t-1] + b_u
      (2)  u        = sigmoid(u_pre)
      (3)  r_pre    = W_r @ x + R_r @ y[t-1] + b_r
      (4)  r        = sigmoid(r_pre)
      (5)  r_y_prev = r * y[t-1]
      (6)  z_pre    = W_z @ x + R_z @ r_y_prev + b_z
      (7)  z        = tanh(z_pre)
      (8)  c        = u * z + (1 - u) * c[t-1] - y[t-1]
      (9)  y_1      = c - theta
     (10)  y_2      = where(y_1 > 0, 1, 0)
     (11)  y_3      = abs(y_1)
     (12)  y_4      = 1 - y_3
     (13)  y_5      = relu(y_4)
     (14)  y_6      = surrogate(y_1, y_2, y_5)
     (15)  y        = c * y_6
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    c: np.ndarray  # (B, H)
    y: np.ndarray  # (B, H)


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

    W: (3*H, D)  rows of W_u, W_r, W_z
    R_ur: (2*H, H)  rows of R_u, R_r
    R_z: (H, H)
    b: (3*H,)  rows of b_u, b_r, b_z
    theta: (H,)
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_u", "W_r", "W_z", "R_u", "R_r", "R_z"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: c (B, H), y (B, H), where to start; None is zero
    y: (T, B, H), y at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, H = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, dtype) if state is None else state
    W, R_ur, R_z, b, theta = params["W"], params["R_ur"], params["R_z"], params["b"], params["theta"]
    W_x = _at_once(x, W.T)                                  # for all steps at once: u_pre, r_pre, z_pre
    W_x += b
    c_all = np.empty((T + 1, B, H), dtype)
    c_all[0] = state.c
    c_prev, c = c_all[:-1], c_all[1:]                       # c_prev[t] is c one step earlier
    y_all = np.empty((T + 1, B, H), dtype)
    y_all[0] = state.y
    y_prev, y = y_all[:-1], y_all[1:]                       # y_prev[t] is y one step earlier
    u, r, r_y_prev, z, y_5, y_6 = np.empty((6, T, B, H), dtype)
    R_ur_T = _transposed(R_ur) if B > 1 else R_ur.T         # laid out as the loop reads it
    R_z_T = _transposed(R_z) if B > 1 else R_z.T            # laid out as the loop reads it

    for t in range(T):
        R_ur_y = y_prev[t] @ R_ur_T                         # u_pre, r_pre, side by side
        gates = _sigmoid(W_x[t, :, 0:2*H] + R_ur_y[:, 0:2*H])  # (1), (3): u, r, side by side
        u[t] = gates[:, 0:H]                                # (2)
        r[t] = gates[:, H:2*H]                              # (4)
        r_y_prev[t] = r[t] * y_prev[t]                      # (5)
        z_pre = W_x[t, :, 2*H:3*H] + r_y_prev[t] @ R_z_T    # (6)
        z[t] = np.tanh(z_pre)                               # (7)
        c[t] = u[t] * z[t] + (1 - u[t]) * c_prev[t] - y_prev[t]  # (8)
        y_1 = c[t] - theta                                  # (9)
        y_2 = 1 * (y_1 > 0)                                 # (10)
        y_3 = _abs(y_1)                                     # (11)
        y_4 = 1 - y_3                                       # (12)
        y_5[t] = np.maximum(y_4, 0)                         # (13)
        y_6[t] = _surrogate(y_1, y_2, y_5[t])               # (14)
        y[t] = c[t] * y_6[t]                                # (15)
    end = State(c_all[-1].copy(), y_all[-1].copy())
    kept = (x, u, r, r_y_prev, z, c_prev, c, y_5, y_6, y_prev)
    tape = Tape(y, kept, T, B, dtype, (D, H))
    return y, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: c (B, H), y (B, H), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, H = _sizes(params)
    W, R_ur, R_z = params["W"], params["R_ur"], params["R_z"]
    x, u, r, r_y_prev, z, c_prev, c, y_5, y_6, y_prev = tape.kept
    d_pre = np.empty((T, B, 3 * H), dtype)                  # side by side, as their weights are stacked
    d_u_pre = d_pre[..., 0:H]
    d_r_pre = d_pre[..., H:2*H]
    d_z_pre = d_pre[..., 2*H:3*H]
    d_y_1 = np.empty((T, B, H), dtype)
    d_c_next = dstate.c                                     # from outside, through the final state
    d_y_next = dstate.y                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (16) fork of y: one line per reader
        d_y = (
            d_y_next                                        # step t+1: u_pre, r_pre, r_y_prev, c
            + dy[t]                                         # from outside, through the output
        )

        d_y_6 = d_y * c[t]                                  # (17) from y
        d_y_1[t] = d_y_6 * y_5[t]                           # (18) from y_6

        # (19) fork of c: one line per reader
        d_c = (
            d_c_next                                        # step t+1: c
            + d_y_1[t]                                      # y_1
            + d_y * y_6[t]                                  # y
        )

        d_z = d_c * u[t]                                    # (20) from c
        d_z_pre[t] = d_z * (1 - z[t] ** 2)                  # (21) from z
        d_r_y_prev = d_pre[t, :, 2*H:3*H] @ R_z             # (22) from z_pre
        d_r = d_r_y_prev * y_prev[t]                        # (23) from r_y_prev
        d_r_pre[t] = d_r * r[t] * (1 - r[t])                # (24) from r
        d_u = d_c * (z[t] - c_prev[t])                      # (25) from c
        d_u_pre[t] = d_u * u[t] * (1 - u[t])                # (26) from u
        d_c_next = d_c * (1 - u[t])                         # (19) to c[t-1], from c

        # (16) to y[t-1]: what step t sends back, one line per reader
        d_y_next = (
            d_pre[t, :, 0:2*H] @ R_ur                       # u_pre, r_pre
            + d_r_y_prev * r[t]                             # r_y_prev
            - d_c                                           # c
        )

    d_x = _at_once(d_pre, W)                                # (27) from u_pre, r_pre, z_pre
    grads = {
        "W": _sum_of_outer(d_pre, x),                       # (28) to (30) from u_pre, r_pre, z_pre
        "R_ur": _sum_of_outer(d_pre[..., 0:2*H], y_prev),   # (31), (32) from u_pre, r_pre
        "R_z": _sum_of_outer(d_z_pre, r_y_prev),            # (33) from z_pre
        "b": d_pre.sum((0, 1)),                             # (34) to (36) from u_pre, r_pre, z_pre
        "theta": (-d_y_1).sum((0, 1)),                      # (37) from y_1
    }
    return Gradients(grads, d_x, State(d_c_next, d_y_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: c (B, H), y (B, H), where to start; None is zero
    y_t: (B, H), y
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, H = _sizes(params)
    B = x_t.shape[0]
    c_prev, y_prev = _start(B, H, dtype) if state is None else state
    W, R_ur, R_z, b, theta = params["W"], params["R_ur"], params["R_z"], params["b"], params["theta"]
    W_x = x_t @ W.T + b                                     # u_pre, r_pre, z_pre, side by side
    R_ur_y = y_prev @ R_ur.T                                # u_pre, r_pre, side by side
    gates = _sigmoid(W_x[:, 0:2*H] + R_ur_y[:, 0:2*H])      # (1), (3): u, r, side by side
    u = gates[:, 0:H]                                       # (2)
    r = gates[:, H:2*H]                                     # (4)
    r_y_prev = r * y_prev                                   # (5)
    z_pre = W_x[:, 2*H:3*H] + r_y_prev @ R_z.T              # (6)
    z = np.tanh(z_pre)                                      # (7)
    c = u * z + (1 - u) * c_prev - y_prev                   # (8)
    y_1 = c - theta                                         # (9)
    y_2 = 1 * (y_1 > 0)                                     # (10)
    y_3 = _abs(y_1)                                         # (11)
    y_4 = 1 - y_3                                           # (12)
    y_5 = np.maximum(y_4, 0)                                # (13)
    y_6 = _surrogate(y_1, y_2, y_5)                         # (14)
    y = c * y_6                                             # (15)
    return y, State(c, y)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, H = _sizes(params)
    return {
        "W_u": params["W"][0:H],
        "W_r": params["W"][H:2*H],
        "W_z": params["W"][2*H:3*H],
        "R_u": params["R_ur"][0:H],
        "R_r": params["R_ur"][H:2*H],
        "R_z": params["R_z"],
        "b_u": params["b"][0:H],
        "b_r": params["b"][H:2*H],
        "b_z": params["b"][2*H:3*H],
        "theta": params["theta"],
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


def _surrogate(a, value, slope):
    """`value`; in complex arithmetic with `slope` in place of its derivative with respect to `a`."""
    exact = np.real(value) + np.zeros_like(np.real(a) + np.real(slope))
    return exact + 1j * (np.real(slope) * np.imag(a)) if np.iscomplexobj(a) else exact


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
        "W": (3 * H, D),
        "R_ur": (2 * H, H),
        "R_z": (H, H),
        "b": (3 * H,),
        "theta": (H,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, H."""
    D = params["W"].shape[1]
    H = params["R_ur"].shape[1]
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
    "W": ("3*H", "D"),
    "R_ur": ("2*H", "H"),
    "R_z": ("H", "H"),
    "b": ("3*H",),
    "theta": ("H",),
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
        _checked(name + ".c", state[0], "(B, H)", (batch, H), dtype),
        _checked(name + ".y", state[1], "(B, H)", (batch, H), dtype),
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
    print("egru: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
