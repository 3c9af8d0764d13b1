# Made by lstmgen 0.1.0 from the spec of s6. It is yours: keep it, change it, ship it.
# lstmgen: sha256:aed512e7f65fe05e
"""Selective state space (S6): forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B_ examples.
Sizes: D = channels, N = state_size, R = rank.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of s6.tex. One step computes

      (1)  B      = W_B @ x
      (2)  C      = W_C @ x
      (3)  dt_1   = W_l @ x
      (4)  dt_pre = W_dt @ dt_1 + b_dt
      (5)  dt     = softplus(dt_pre)
      (6)  ones_N = ones(N)
      (7)  S_1    = outer(dt, ones_N)
      (8)  exp_A  = exp(A)
      (9)  S_2    = -S_1 * exp_A
     (10)  S_3    = exp(S_2)
     (11)  dt_x   = dt * x
     (12)  S_4    = outer(dt_x, B)
     (13)  S      = S_3 * S[t-1] + S_4
     (14)  y      = S @ C + skip * x
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    S: np.ndarray  # (B_, D, N)


class Gradients(NamedTuple):
    """What `backward` returns."""

    params: Params  # summed over steps and examples
    x: np.ndarray  # (T, B_, D)
    state: State  # at the initial state


class Tape(NamedTuple):
    """What `backward` needs to know of a forward pass. `y` is yours to read, the rest is its own."""

    y: np.ndarray
    kept: tuple
    steps: int
    batch: int
    dtype: np.dtype
    sizes: tuple  # D, N, R


def init_params(
    channels: int, state_size: int, rank: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    A: (D, N)
    W_BC: (2*N, D)  rows of W_B, W_C
    W_l: (R, D)
    W_dt: (D, R)
    b_dt: (D,)
    skip: (D,)
    """
    _checked_start(dtype, channels=channels, state_size=state_size, rank=rank)
    rng = np.random.default_rng(rng)
    shapes = _shapes(channels, state_size, rank)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("A", "W_B", "W_C", "W_l", "W_dt"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B_, D)
    state: S (B_, D, N), where to start; None is zero
    y: (T, B_, D), y at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, N, R = _sizes(params)
    T, B_ = x.shape[:2]
    state = _start(B_, D, N, dtype) if state is None else state
    A = params["A"]
    W_BC = params["W_BC"]
    W_l = params["W_l"]
    W_dt = params["W_dt"]
    b_dt = params["b_dt"]
    skip = params["skip"]
    ones_N = np.ones(N, dtype=dtype)                        # (6)
    exp_A = np.exp(A)                                       # (8)
    W_BC_x = _at_once(x, W_BC.T)                            # B, C, side by side
    B = W_BC_x[..., 0:N]                                    # (1)
    C = W_BC_x[..., N:2*N]                                  # (2)
    dt_1 = _at_once(x, W_l.T)                               # (3)
    dt_pre = _at_once(dt_1, W_dt.T) + b_dt                  # (4)
    dt = _softplus(dt_pre)                                  # (5)
    S_1 = dt[..., :, None] * ones_N[..., None, :]           # (7)
    S_2 = -S_1 * exp_A                                      # (9)
    S_3 = np.exp(S_2)                                       # (10)
    dt_x = dt * x                                           # (11)
    S_4 = dt_x[..., :, None] * B[..., None, :]              # (12)
    S_all = np.empty((T + 1, B_, D, N), dtype)
    S_all[0] = state.S
    S_prev, S = S_all[:-1], S_all[1:]                       # S_prev[t] is S one step earlier

    for t in range(T):
        S[t] = S_3[t] * S_prev[t] + S_4[t]                  # (13)
    y = (S @ C[..., None])[..., 0] + skip * x               # (14)
    end = State(S_all[-1].copy())
    kept = (x, B, C, dt_1, dt_pre, dt, ones_N, S_1, exp_A, S_3, dt_x, S_prev, S)
    tape = Tape(y, kept, T, B_, dtype, (D, N, R))
    return y, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B_, D), what reaches the outputs from outside; None is zero
    dstate: S (B_, D, N), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B_, dtype = tape.steps, tape.batch, tape.dtype
    D, N, R = _sizes(params)
    W_BC, W_l, W_dt, skip = params["W_BC"], params["W_l"], params["W_dt"], params["skip"]
    x, B, C, dt_1, dt_pre, dt, ones_N, S_1, exp_A, S_3, dt_x, S_prev, S = tape.kept
    d_S = np.empty((T, B_, D, N), dtype)
    d_S_next = dstate.S                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (16) fork of S: one line per reader
        d_S[t] = (
            d_S_next                                        # step t+1: S
            + dy[t][..., :, None] * C[t][..., None, :]      # (15) y
        )

        d_S_next = d_S[t] * S_3[t]                          # (16) to S[t-1], from S
    d_pre = np.empty((T, B_, 2 * N), dtype)                 # side by side, as their weights are stacked
    d_B = d_pre[..., 0:N]
    d_C = d_pre[..., N:2*N]
    d_dt_x = (d_S @ B[..., None])[..., 0]                   # (17), (18) from S_4
    d_S_3 = d_S * S_prev                                    # (19) from S
    d_S_2 = d_S_3 * S_3                                     # (20) from S_3
    d_S_1 = -d_S_2 * exp_A                                  # (21) from S_2

    # (22) fork of dt: one line per reader
    d_dt = (
        (d_S_1 @ ones_N[..., None])[..., 0]                 # S_1
        + d_dt_x * x                                        # dt_x
    )

    d_dt_pre = d_dt * _sigmoid(dt_pre)                      # (23) from dt
    d_dt_1 = _at_once(d_dt_pre, W_dt)                       # (24) from dt_pre
    d_C[...] = (dy[..., None, :] @ S)[..., 0, :]            # (25) from y
    d_B[...] = (dt_x[..., None, :] @ d_S)[..., 0, :]        # (26) from S_4

    # (28) fork of x: one line per reader
    d_x = (
        _at_once(d_pre, W_BC)                               # B, C
        + _at_once(d_dt_1, W_l)                             # dt_1
        + d_dt_x * dt                                       # dt_x
        + dy * skip                                         # y
    )

    d_exp_A = (-d_S_2 * S_1).sum((0, 1))                    # (27) from S_2
    grads = {
        "A": d_exp_A * exp_A,                               # (29) from exp_A
        "W_BC": _sum_of_outer(d_pre, x),                    # (30), (31) from B, C
        "W_l": _sum_of_outer(d_dt_1, x),                    # (32) from dt_1
        "W_dt": _sum_of_outer(d_dt_pre, dt_1),              # (33) from dt_pre
        "b_dt": d_dt_pre.sum((0, 1)),                       # (34) from dt_pre
        "skip": np.einsum("tbk,tbk->k", dy, x),             # (35) from y
    }
    return Gradients(grads, d_x, State(d_S_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B_, D)
    state: S (B_, D, N), where to start; None is zero
    y_t: (B_, D), y
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, N, R = _sizes(params)
    B_ = x_t.shape[0]
    (S_prev,) = _start(B_, D, N, dtype) if state is None else state
    A = params["A"]
    W_BC = params["W_BC"]
    W_l = params["W_l"]
    W_dt = params["W_dt"]
    b_dt = params["b_dt"]
    skip = params["skip"]
    ones_N = np.ones(N, dtype=dtype)                        # (6)
    exp_A = np.exp(A)                                       # (8)
    W_BC_x = x_t @ W_BC.T                                   # B, C, side by side
    B = W_BC_x[:, 0:N]                                      # (1)
    C = W_BC_x[:, N:2*N]                                    # (2)
    dt_1 = x_t @ W_l.T                                      # (3)
    dt_pre = dt_1 @ W_dt.T + b_dt                           # (4)
    dt = _softplus(dt_pre)                                  # (5)
    S_1 = dt[..., :, None] * ones_N[..., None, :]           # (7)
    S_2 = -S_1 * exp_A                                      # (9)
    S_3 = np.exp(S_2)                                       # (10)
    dt_x = dt * x_t                                         # (11)
    S_4 = dt_x[..., :, None] * B[..., None, :]              # (12)
    S = S_3 * S_prev + S_4                                  # (13)
    y = (S @ C[..., None])[..., 0] + skip * x_t             # (14)
    return y, State(S)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, N, R = _sizes(params)
    return {
        "A": params["A"],
        "W_B": params["W_BC"][0:N],
        "W_C": params["W_BC"][N:2*N],
        "W_l": params["W_l"],
        "W_dt": params["W_dt"],
        "b_dt": params["b_dt"],
        "skip": params["skip"],
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


def _softplus(a):
    """log(1 + exp(a)) without overflow."""
    return np.maximum(a, 0) + np.log1p(np.exp(-_abs(a)))


def _sum_of_outer(d, v):
    """The sum over all steps and examples of the outer products d v^T: one matrix product."""
    return d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1])


# ---------------------------------------------------------------- shapes


def _shapes(D, N, R):
    """The shapes of the stored parameters."""
    return {
        "A": (D, N),
        "W_BC": (2 * N, D),
        "W_l": (R, D),
        "W_dt": (D, R),
        "b_dt": (D,),
        "skip": (D,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, N, R."""
    D = params["A"].shape[0]
    N = params["A"].shape[1]
    R = params["W_l"].shape[0]
    return (D, N, R)


def _start(batch, D, N, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, D, N), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "A": ("D", "N"),
    "W_BC": ("2*N", "D"),
    "W_l": ("R", "D"),
    "W_dt": ("D", "R"),
    "b_dt": ("D",),
    "skip": ("D",),
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
    params, D, N, R = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B_, D)", (None, None, D), dtype)
    T, B_ = x.shape[:2]
    return params, x, _checked_state("state", state, B_, D, N, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, N, R = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B_, D)", (None, D), dtype)
    B_ = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B_, D, N, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, N, R = _checked_params(params, tape.dtype)
    if tape.sizes != (D, N, R):
        raise ValueError(f"the tape is of params with D, N, R = {tape.sizes}, and these have {(D, N, R)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B_, D)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, D, N, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, D, N, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, D, N, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".S", state[0], "(B_, D, N)", (batch, D, N), dtype),
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
    D, N, R = _sizes(arrays)
    for name, shape in _shapes(D, N, R).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, N, R


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
    R = 5
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, N, R).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, D, N)),
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
    print("s6: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
