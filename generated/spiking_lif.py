# Made by lstmgen 0.1.0 from the spec of spiking_lif. It is yours: keep it, change it, ship it.
# lstmgen: sha256:240ae97bba1945e2
"""Spiking network, leaky integrate and fire: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of spiking_lif.tex. One step computes

      (1)  i                    = 0.8 * i[t-1] + W @ x + R @ s[t-1]
      (2)  stop_gradient_s_prev = stop_gradient(s[t-1])
      (3)  u                    = (0.9 * u[t-1] + i) * (1 - stop_gradient_s_prev)
      (4)  s_pre                = u - 1
      (5)  s_1                  = where(s_pre > 0, 1, 0)
      (6)  abs_s_pre            = abs(s_pre)
      (7)  s_2                  = 1 / (1 + 10 * abs_s_pre) ** 2
      (8)  s                    = surrogate(s_pre, s_1, s_2)
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    i: np.ndarray  # (B, H)
    u: np.ndarray  # (B, H)
    s: np.ndarray  # (B, H)


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
    sizes: tuple  # H, D


def init_params(
    input_size: int, hidden_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W: (H, D)
    R: (H, H)
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
    state: i (B, H), u (B, H), s (B, H), where to start; None is zero
    y: (T, B, H), s at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    H, D = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, dtype) if state is None else state
    W, R = params["W"], params["R"]
    W_x = _at_once(x, W.T)                                  # for all steps at once: i
    i_all = np.empty((T + 1, B, H), dtype)
    i_all[0] = state.i
    i_prev, i = i_all[:-1], i_all[1:]                       # i_prev[t] is i one step earlier
    u_all = np.empty((T + 1, B, H), dtype)
    u_all[0] = state.u
    u_prev, u = u_all[:-1], u_all[1:]                       # u_prev[t] is u one step earlier
    s_all = np.empty((T + 1, B, H), dtype)
    s_all[0] = state.s
    s_prev, s = s_all[:-1], s_all[1:]                       # s_prev[t] is s one step earlier
    stop_gradient_s_prev, s_2 = np.empty((2, T, B, H), dtype)
    R_T = _transposed(R) if B > 1 else R.T                  # laid out as the loop reads it

    for t in range(T):
        i[t] = W_x[t] + s_prev[t] @ R_T + 0.8 * i_prev[t]   # (1)
        stop_gradient_s_prev[t] = _stop_gradient(s_prev[t])  # (2)
        u[t] = (0.9 * u_prev[t] + i[t]) * (1 - stop_gradient_s_prev[t])  # (3)
        s_pre = u[t] - 1                                    # (4)
        s_1 = 1 * (s_pre > 0)                               # (5)
        abs_s_pre = _abs(s_pre)                             # (6)
        s_2[t] = 1 / (1 + 10 * abs_s_pre) ** 2              # (7)
        s[t] = _surrogate(s_pre, s_1, s_2[t])               # (8)
    end = State(i_all[-1].copy(), u_all[-1].copy(), s_all[-1].copy())
    kept = (x, stop_gradient_s_prev, s_2, s_prev)
    tape = Tape(s, kept, T, B, dtype, (H, D))
    return s, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: i (B, H), u (B, H), s (B, H), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    H, D = _sizes(params)
    W, R = params["W"], params["R"]
    x, stop_gradient_s_prev, s_2, s_prev = tape.kept
    d_i = np.empty((T, B, H), dtype)
    d_i_next = dstate.i                                     # from outside, through the final state
    d_u_next = dstate.u                                     # from outside, through the final state
    d_s_next = dstate.s                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (9) fork of s: one line per reader
        d_s = (
            d_s_next                                        # step t+1: i
            + dy[t]                                         # from outside, through the output
        )

        d_s_pre = d_s * s_2[t]                              # (10) from s

        # (11) fork of u: one line per reader
        d_u = (
            d_u_next                                        # step t+1: u
            + d_s_pre                                       # s_pre
        )

        # (12) fork of i: one line per reader
        d_i[t] = (
            d_i_next                                        # step t+1: i
            + d_u * (1 - stop_gradient_s_prev[t])           # u
        )

        d_i_next = 0.8 * d_i[t]                             # (12) to i[t-1], from i
        d_u_next = 0.9 * d_u * (1 - stop_gradient_s_prev[t])  # (11) to u[t-1], from u
        d_s_next = d_i[t] @ R                               # (9) to s[t-1], from i
    d_x = _at_once(d_i, W)                                  # (13) from i
    grads = {
        "W": _sum_of_outer(d_i, x),                         # (14) from i
        "R": _sum_of_outer(d_i, s_prev),                    # (15) from i
    }
    return Gradients(grads, d_x, State(d_i_next, d_u_next, d_s_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: i (B, H), u (B, H), s (B, H), where to start; None is zero
    y_t: (B, H), s
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    H, D = _sizes(params)
    B = x_t.shape[0]
    i_prev, u_prev, s_prev = _start(B, H, dtype) if state is None else state
    W, R = params["W"], params["R"]
    i = x_t @ W.T + s_prev @ R.T + 0.8 * i_prev             # (1)
    stop_gradient_s_prev = _stop_gradient(s_prev)           # (2)
    u = (0.9 * u_prev + i) * (1 - stop_gradient_s_prev)     # (3)
    s_pre = u - 1                                           # (4)
    s_1 = 1 * (s_pre > 0)                                   # (5)
    abs_s_pre = _abs(s_pre)                                 # (6)
    s_2 = 1 / (1 + 10 * abs_s_pre) ** 2                     # (7)
    s = _surrogate(s_pre, s_1, s_2)                         # (8)
    return s, State(i, u, s)


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


def _stop_gradient(a):
    """`a`, held still: in complex arithmetic without its imaginary part."""
    return np.real(a).astype(a.dtype, copy=False)


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
        "W": (H, D),
        "R": (H, H),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: H, D."""
    H = params["W"].shape[0]
    D = params["W"].shape[1]
    return (H, D)


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
    "W": ("H", "D"),
    "R": ("H", "H"),
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
    params, H, D = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, H, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, H, D = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, H, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, H, D = _checked_params(params, tape.dtype)
    if tape.sizes != (H, D):
        raise ValueError(f"the tape is of params with H, D = {tape.sizes}, and these have {(H, D)}")
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
        _checked(name + ".i", state[0], "(B, H)", (batch, H), dtype),
        _checked(name + ".u", state[1], "(B, H)", (batch, H), dtype),
        _checked(name + ".s", state[2], "(B, H)", (batch, H), dtype),
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
    ]
    state = State(
        rng.uniform(-1, 2, (batch, H)),
        rng.uniform(-1, 2, (batch, H)),
        rng.uniform(0, 1, (batch, H)),
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
    print("spiking_lif: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
