# Made by lstmgen 0.1.0 from the spec of ng_lstm. It is yours: keep it, change it, ship it.
# lstmgen: sha256:5f2100348ba5d64d
"""LSTM with output a and gates called Gamma: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of ng_lstm.tex. One step computes

      (1)  Gamma_f_1   = concat(a[t-1], x)
      (2)  Gamma_f_pre = W_f @ Gamma_f_1 + b_f
      (3)  Gamma_f     = sigmoid(Gamma_f_pre)
      (4)  Gamma_u_pre = W_u @ Gamma_f_1 + b_u
      (5)  Gamma_u     = sigmoid(Gamma_u_pre)
      (6)  c_tilde_pre = W_c @ Gamma_f_1 + b_c
      (7)  c_tilde     = tanh(c_tilde_pre)
      (8)  Gamma_o_pre = W_o @ Gamma_f_1 + b_o
      (9)  Gamma_o     = sigmoid(Gamma_o_pre)
     (10)  c           = c[t-1] * Gamma_f + Gamma_u * c_tilde
     (11)  tanh_c      = tanh(c)
     (12)  a           = tanh_c * Gamma_o
     (13)  loss_pre    = 0.5 * (target - a) ** 2
     (14)  loss        = sum(loss_pre)
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    a: np.ndarray  # (B, H)
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
    learned_start: bool  # whether no initial state was given
    sizes: tuple  # H, D


def init_params(
    input_size: int, hidden_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W: (4*H, D + H)  rows of W_f, W_u, W_c, W_o
    b: (4*H,)  rows of b_f, b_u, b_c, b_o
    a_0: (H,)
    c_0: (H,)
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_f", "W_u", "W_c", "W_o"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, target: np.ndarray, state: State | None = None) -> tuple[float, State, Tape]:
    """All steps at once: (loss, state, tape).

    x: (T, B, D)
    target: (T, B, H)
    state: a (B, H), c (B, H), where to start; None is a = a_0, c = c_0
    The loss is summed over steps and examples.
    """
    params, x, target, state, dtype = _checked_forward(params, x, target, state)
    H, D = _sizes(params)
    T, B = x.shape[:2]
    learned_start = state is None
    state = _start(params, B, H, dtype) if state is None else state
    W, b = params["W"], params["b"]
    a_all = np.empty((T + 1, B, H), dtype)
    a_all[0] = state.a
    a_prev, a = a_all[:-1], a_all[1:]                       # a_prev[t] is a one step earlier
    c_all = np.empty((T + 1, B, H), dtype)
    c_all[0] = state.c
    c_prev, c = c_all[:-1], c_all[1:]                       # c_prev[t] is c one step earlier
    Gamma_f_1 = np.empty((T, B, D + H), dtype)
    Gamma_f, Gamma_u, c_tilde, Gamma_o, tanh_c = np.empty((5, T, B, H), dtype)
    W_T = _transposed(W) if B > 1 else W.T                  # laid out as the loop reads it

    for t in range(T):
        Gamma_f_1[t] = np.concatenate([a_prev[t], x[t]], axis=-1)  # (1)
        # Gamma_f_pre, Gamma_u_pre, c_tilde_pre, Gamma_o_pre, side by side
        W_Gamma_f_1 = Gamma_f_1[t] @ W_T + b
        Gamma_f[t] = _sigmoid(W_Gamma_f_1[:, 0:H])          # (2), (3)
        Gamma_u[t] = _sigmoid(W_Gamma_f_1[:, H:2*H])        # (4), (5)
        c_tilde[t] = np.tanh(W_Gamma_f_1[:, 2*H:3*H])       # (6), (7)
        Gamma_o[t] = _sigmoid(W_Gamma_f_1[:, 3*H:4*H])      # (8), (9)
        c[t] = c_prev[t] * Gamma_f[t] + Gamma_u[t] * c_tilde[t]  # (10)
        tanh_c[t] = np.tanh(c[t])                           # (11)
        a[t] = tanh_c[t] * Gamma_o[t]                       # (12)
    loss_pre = 0.5 * (target - a) ** 2                      # (13)
    loss = loss_pre.sum(-1)                                 # (14)
    end = State(a_all[-1].copy(), c_all[-1].copy())
    kept = (target, Gamma_f_1, Gamma_f, Gamma_u, c_tilde, Gamma_o, c_prev, tanh_c, a)
    tape = Tape(a, kept, T, B, dtype, learned_start, (H, D))
    return loss.sum(), end, tape


def backward(params: Params, tape: Tape, dstate: State | None = None) -> Gradients:
    """The gradient of loss + sum(dstate * state): `Gradients`.

    dstate: a (B, H), c (B, H), what reaches the final state from outside; None is zero
    """
    params, dstate = _checked_backward(params, tape, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    H, D = _sizes(params)
    W, a_0, c_0 = params["W"], params["a_0"], params["c_0"]
    target, Gamma_f_1, Gamma_f, Gamma_u, c_tilde, Gamma_o, c_prev, tanh_c, a = tape.kept
    d_pre = np.empty((T, B, 4 * H), dtype)                  # side by side, as their weights are stacked
    d_Gamma_f_pre = d_pre[..., 0:H]
    d_Gamma_u_pre = d_pre[..., H:2*H]
    d_c_tilde_pre = d_pre[..., 2*H:3*H]
    d_Gamma_o_pre = d_pre[..., 3*H:4*H]
    d_Gamma_f_1 = np.empty((T, B, D + H), dtype)
    d_a_next = dstate.a                                     # from outside, through the final state
    d_c_next = dstate.c                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (17) fork of a: one line per reader
        d_a = (
            d_a_next                                        # step t+1: Gamma_f_1
            + a[t] - target[t]                              # loss_pre
        )

        d_tanh_c = d_a * Gamma_o[t]                         # (18) from a

        # (19) fork of c: one line per reader
        d_c = (
            d_c_next                                        # step t+1: c
            + d_tanh_c * (1 - tanh_c[t] ** 2)               # tanh_c
        )

        d_Gamma_o = d_a * tanh_c[t]                         # (20) from a
        d_Gamma_o_pre[t] = d_Gamma_o * Gamma_o[t] * (1 - Gamma_o[t])  # (21) from Gamma_o
        d_c_tilde = d_c * Gamma_u[t]                        # (22) from c
        d_c_tilde_pre[t] = d_c_tilde * (1 - c_tilde[t] ** 2)  # (23) from c_tilde
        d_Gamma_u = d_c * c_tilde[t]                        # (24) from c
        d_Gamma_u_pre[t] = d_Gamma_u * Gamma_u[t] * (1 - Gamma_u[t])  # (25) from Gamma_u
        d_Gamma_f = d_c * c_prev[t]                         # (26) from c
        d_Gamma_f_pre[t] = d_Gamma_f * Gamma_f[t] * (1 - Gamma_f[t])  # (27) from Gamma_f
        # (28) from Gamma_f_pre, Gamma_u_pre, c_tilde_pre, Gamma_o_pre
        d_Gamma_f_1[t] = d_pre[t] @ W
        d_a_next = d_Gamma_f_1[t][..., 0:H]                 # (17) to a[t-1], from Gamma_f_1
        d_c_next = d_c * Gamma_f[t]                         # (19) to c[t-1], from c
    d_x = d_Gamma_f_1[..., H:D+H]                           # (29) from Gamma_f_1
    grads = {
        # (30) to (33) from Gamma_f_pre, Gamma_u_pre, c_tilde_pre, Gamma_o_pre
        "W": _sum_of_outer(d_pre, Gamma_f_1),
        # (34) to (37) from Gamma_f_pre, Gamma_u_pre, c_tilde_pre, Gamma_o_pre
        "b": d_pre.sum((0, 1)),
        "a_0": (d_a_next.sum(0) if tape.learned_start else np.zeros_like(a_0)),  # (38) from a
        "c_0": (d_c_next.sum(0) if tape.learned_start else np.zeros_like(c_0)),  # (39) from c
    }
    return Gradients(grads, d_x, State(d_a_next, d_c_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: a (B, H), c (B, H), where to start; None is a = a_0, c = c_0
    y_t: (B, H), a
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    H, D = _sizes(params)
    B = x_t.shape[0]
    a_prev, c_prev = _start(params, B, H, dtype) if state is None else state
    W, b = params["W"], params["b"]
    Gamma_f_1 = np.concatenate([a_prev, x_t], axis=-1)      # (1)
    # Gamma_f_pre, Gamma_u_pre, c_tilde_pre, Gamma_o_pre, side by side
    W_Gamma_f_1 = Gamma_f_1 @ W.T + b
    Gamma_f = _sigmoid(W_Gamma_f_1[:, 0:H])                 # (2), (3)
    Gamma_u = _sigmoid(W_Gamma_f_1[:, H:2*H])               # (4), (5)
    c_tilde = np.tanh(W_Gamma_f_1[:, 2*H:3*H])              # (6), (7)
    Gamma_o = _sigmoid(W_Gamma_f_1[:, 3*H:4*H])             # (8), (9)
    c = c_prev * Gamma_f + Gamma_u * c_tilde                # (10)
    tanh_c = np.tanh(c)                                     # (11)
    a = tanh_c * Gamma_o                                    # (12)
    return a, State(a, c)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    H, D = _sizes(params)
    return {
        "W_f": params["W"][0:H],
        "W_u": params["W"][H:2*H],
        "W_c": params["W"][2*H:3*H],
        "W_o": params["W"][3*H:4*H],
        "b_f": params["b"][0:H],
        "b_u": params["b"][H:2*H],
        "b_c": params["b"][2*H:3*H],
        "b_o": params["b"][3*H:4*H],
        "a_0": params["a_0"],
        "c_0": params["c_0"],
    }


def clip_by_norm(grads: Gradients, threshold: float) -> Gradients:
    """The parameters' gradients scaled so that their joint norm is at most `threshold`."""
    norm = np.sqrt(sum(float(np.sum(np.abs(grad) ** 2, dtype=np.float64)) for grad in grads.params.values()))
    if norm <= threshold:
        return grads
    scaled = {name: grad * np.asarray(threshold / norm, np.real(grad).dtype) for name, grad in grads.params.items()}
    return grads._replace(params=scaled)


# ---------------------------------------------------------------- functions


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
        "W": (4 * H, D + H),
        "b": (4 * H,),
        "a_0": (H,),
        "c_0": (H,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: H, D."""
    H = params["a_0"].shape[0]
    D = params["W"].shape[1] - H
    return (H, D)


def _start(params, batch, H, dtype):
    """The initial state where none is given."""
    return State(
        np.broadcast_to(params["a_0"], (batch, H)),
        np.broadcast_to(params["c_0"], (batch, H)),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W": ("4*H", "D + H"),
    "b": ("4*H",),
    "a_0": ("H",),
    "c_0": ("H",),
}


def _checked_start(dtype, **sizes):
    """Whether parameters can be of a type and of sizes."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"{name} is {size!r}, expected a whole number from 1 on")
    if np.dtype(dtype) not in (np.float32, np.float64, np.complex128):
        raise ValueError(f"dtype is {np.dtype(dtype)}, expected float32, float64 or complex128")


def _checked_forward(params, x, target, state):
    """The arguments of `forward` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x, target)
    params, H, D = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    target = _checked("target", target, "(T, B, H)", (T, B, H), dtype)
    return params, x, target, _checked_state("state", state, B, H, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, H, D = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, H, dtype), dtype


def _checked_backward(params, tape, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, H, D = _checked_params(params, tape.dtype)
    if tape.sizes != (H, D):
        raise ValueError(f"the tape is of params with H, D = {tape.sizes}, and these have {(H, D)}")
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(params, tape.batch, H, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, H, tape.dtype)
    return params, dstate


def _checked_state(name, state, batch, H, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".a", state[0], "(B, H)", (batch, H), dtype),
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
    H, D = _sizes(arrays)
    for name, shape in _shapes(D, H).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, H, D


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
        rng.uniform(-1, 1, (steps, batch, H)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, H)),
        rng.uniform(-1, 1, (batch, H)),
    )
    _, end, tape = forward(params, *arguments, state)
    dstate = State(*(rng.uniform(-1, 1, value.shape) for value in end))
    grads = backward(params, tape, dstate)

    def objective(params, arguments, state):
        y, end, _ = forward(params, *arguments, state)
        return y + sum(np.sum(d * v) for d, v in zip(dstate, end))

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
    print("ng_lstm: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
