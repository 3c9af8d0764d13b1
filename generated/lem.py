# Made by lstmgen 0.1.0 from the spec of lem. It is yours: keep it, change it, ship it.
# lstmgen: sha256:b75671e786498ddb
"""Long expressive memory: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of lem.tex. One step computes

      (1)  k_1 = W_k @ x + R_k @ y[t-1] + b_k
      (2)  k_2 = sigmoid(k_1)
      (3)  k   = 1 * k_2
      (4)  l_1 = W_l @ x + R_l @ y[t-1] + b_l
      (5)  l_2 = sigmoid(l_1)
      (6)  l   = 1 * l_2
      (7)  z_1 = W_z @ x + R_z @ y[t-1] + b_z
      (8)  z_2 = tanh(z_1)
      (9)  z   = (1 - k) * z[t-1] + k * z_2
     (10)  y_1 = W_y @ x + R_y @ z + b_y
     (11)  y_2 = tanh(y_1)
     (12)  y   = (1 - l) * y[t-1] + l * y_2
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    y: np.ndarray  # (B, H)
    z: np.ndarray  # (B, H)


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

    W: (4*H, D)  rows of W_k, W_l, W_z, W_y
    R_klz: (3*H, H)  rows of R_k, R_l, R_z
    R_y: (H, H)
    b: (4*H,)  rows of b_k, b_l, b_z, b_y
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_k", "W_l", "W_z", "W_y", "R_k", "R_l", "R_z", "R_y"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: y (B, H), z (B, H), where to start; None is zero
    y: (T, B, H), y at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, H = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, dtype) if state is None else state
    W, R_klz, R_y, b = params["W"], params["R_klz"], params["R_y"], params["b"]
    W_x = _at_once(x, W.T)                                  # for all steps at once: k_1, l_1, z_1, y_1
    W_x += b
    y_all = np.empty((T + 1, B, H), dtype)
    y_all[0] = state.y
    y_prev, y = y_all[:-1], y_all[1:]                       # y_prev[t] is y one step earlier
    z_all = np.empty((T + 1, B, H), dtype)
    z_all[0] = state.z
    z_prev, z = z_all[:-1], z_all[1:]                       # z_prev[t] is z one step earlier
    k_2, k, l_2, l, z_2, y_2 = np.empty((6, T, B, H), dtype)
    R_klz_T = _transposed(R_klz) if B > 1 else R_klz.T      # laid out as the loop reads it
    R_y_T = _transposed(R_y) if B > 1 else R_y.T            # laid out as the loop reads it

    for t in range(T):
        R_klz_y = y_prev[t] @ R_klz_T                       # k_1, l_1, z_1, side by side
        gates = _sigmoid(W_x[t, :, 0:2*H] + R_klz_y[:, 0:2*H])  # (1), (4): k_2, l_2, side by side
        k_2[t] = gates[:, 0:H]                              # (2)
        k[t] = 1 * k_2[t]                                   # (3)
        l_2[t] = gates[:, H:2*H]                            # (5)
        l[t] = 1 * l_2[t]                                   # (6)
        z_1 = W_x[t, :, 2*H:3*H] + R_klz_y[:, 2*H:3*H]      # (7)
        z_2[t] = np.tanh(z_1)                               # (8)
        z[t] = (1 - k[t]) * z_prev[t] + k[t] * z_2[t]       # (9)
        y_1 = W_x[t, :, 3*H:4*H] + z[t] @ R_y_T             # (10)
        y_2[t] = np.tanh(y_1)                               # (11)
        y[t] = (1 - l[t]) * y_prev[t] + l[t] * y_2[t]       # (12)
    end = State(y_all[-1].copy(), z_all[-1].copy())
    kept = (x, k_2, k, l_2, l, z_2, z_prev, z, y_2, y_prev)
    tape = Tape(y, kept, T, B, dtype, (D, H))
    return y, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: y (B, H), z (B, H), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, H = _sizes(params)
    W, R_klz, R_y = params["W"], params["R_klz"], params["R_y"]
    x, k_2, k, l_2, l, z_2, z_prev, z, y_2, y_prev = tape.kept
    d_pre = np.empty((T, B, 4 * H), dtype)                  # side by side, as their weights are stacked
    d_k_1 = d_pre[..., 0:H]
    d_l_1 = d_pre[..., H:2*H]
    d_z_1 = d_pre[..., 2*H:3*H]
    d_y_1 = d_pre[..., 3*H:4*H]
    d_y_next = dstate.y                                     # from outside, through the final state
    d_z_next = dstate.z                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (13) fork of y: one line per reader
        d_y = (
            d_y_next                                        # step t+1: k_1, l_1, z_1, y
            + dy[t]                                         # from outside, through the output
        )

        d_y_2 = d_y * l[t]                                  # (14) from y
        d_y_1[t] = d_y_2 * (1 - y_2[t] ** 2)                # (15) from y_2

        # (16) fork of z: one line per reader
        d_z = (
            d_z_next                                        # step t+1: z
            + d_pre[t, :, 3*H:4*H] @ R_y                    # y_1
        )

        d_z_2 = d_z * k[t]                                  # (17) from z
        d_z_1[t] = d_z_2 * (1 - z_2[t] ** 2)                # (18) from z_2
        d_l = d_y * (y_2[t] - y_prev[t])                    # (19) from y
        d_l_1[t] = d_l * l_2[t] * (1 - l_2[t])              # (20), (21) from l_2
        d_k = d_z * (z_2[t] - z_prev[t])                    # (22) from z
        d_k_1[t] = d_k * k_2[t] * (1 - k_2[t])              # (23), (24) from k_2

        # (13) to y[t-1]: what step t sends back, one line per reader
        d_y_next = (
            d_pre[t, :, 0:3*H] @ R_klz                      # k_1, l_1, z_1
            + d_y * (1 - l[t])                              # y
        )

        d_z_next = d_z * (1 - k[t])                         # (16) to z[t-1], from z
    d_x = _at_once(d_pre, W)                                # (25) from k_1, l_1, z_1, y_1
    grads = {
        "W": _sum_of_outer(d_pre, x),                       # (26) to (29) from k_1, l_1, z_1, y_1
        "R_klz": _sum_of_outer(d_pre[..., 0:3*H], y_prev),  # (30) to (32) from k_1, l_1, z_1
        "R_y": _sum_of_outer(d_y_1, z),                     # (33) from y_1
        "b": d_pre.sum((0, 1)),                             # (34) to (37) from k_1, l_1, z_1, y_1
    }
    return Gradients(grads, d_x, State(d_y_next, d_z_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: y (B, H), z (B, H), where to start; None is zero
    y_t: (B, H), y
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, H = _sizes(params)
    B = x_t.shape[0]
    y_prev, z_prev = _start(B, H, dtype) if state is None else state
    W, R_klz, R_y, b = params["W"], params["R_klz"], params["R_y"], params["b"]
    W_x = x_t @ W.T + b                                     # k_1, l_1, z_1, y_1, side by side
    R_klz_y = y_prev @ R_klz.T                              # k_1, l_1, z_1, side by side
    gates = _sigmoid(W_x[:, 0:2*H] + R_klz_y[:, 0:2*H])     # (1), (4): k_2, l_2, side by side
    k_2 = gates[:, 0:H]                                     # (2)
    k = 1 * k_2                                             # (3)
    l_2 = gates[:, H:2*H]                                   # (5)
    l = 1 * l_2                                             # (6)
    z_1 = W_x[:, 2*H:3*H] + R_klz_y[:, 2*H:3*H]             # (7)
    z_2 = np.tanh(z_1)                                      # (8)
    z = (1 - k) * z_prev + k * z_2                          # (9)
    y_1 = W_x[:, 3*H:4*H] + z @ R_y.T                       # (10)
    y_2 = np.tanh(y_1)                                      # (11)
    y = (1 - l) * y_prev + l * y_2                          # (12)
    return y, State(y, z)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, H = _sizes(params)
    return {
        "W_k": params["W"][0:H],
        "W_l": params["W"][H:2*H],
        "W_z": params["W"][2*H:3*H],
        "W_y": params["W"][3*H:4*H],
        "R_k": params["R_klz"][0:H],
        "R_l": params["R_klz"][H:2*H],
        "R_z": params["R_klz"][2*H:3*H],
        "R_y": params["R_y"],
        "b_k": params["b"][0:H],
        "b_l": params["b"][H:2*H],
        "b_z": params["b"][2*H:3*H],
        "b_y": params["b"][3*H:4*H],
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
        "R_klz": (3 * H, H),
        "R_y": (H, H),
        "b": (4 * H,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, H."""
    D = params["W"].shape[1]
    H = params["R_klz"].shape[1]
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
    "R_klz": ("3*H", "H"),
    "R_y": ("H", "H"),
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
        _checked(name + ".y", state[0], "(B, H)", (batch, H), dtype),
        _checked(name + ".z", state[1], "(B, H)", (batch, H), dtype),
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
    print("lem: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
