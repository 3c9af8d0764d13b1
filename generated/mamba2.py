# Made by lstmgen 0.1.0 from the spec of mamba2. It is yours: keep it, change it, ship it.
# lstmgen: sha256:12a4f8ae557de76a
"""Mamba-2, recurrent form: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B_ examples.
Sizes: D = input_size, H = head_size, N = state_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of mamba2.tex. One step computes

      (1)  u      = W_x @ x
      (2)  B      = W_B @ x
      (3)  C      = W_C @ x
      (4)  dt_1   = dot(w_dt, x)
      (5)  dt_pre = dt_1 + b_dt
      (6)  dt     = softplus(dt_pre)
      (7)  exp_A  = exp(A)
      (8)  S_1    = -exp_A * dt
      (9)  S_2    = exp(S_1)
     (10)  dt_u   = dt * u
     (11)  S_3    = outer(dt_u, B)
     (12)  S      = S_2 * S[t-1] + S_3
     (13)  h      = S @ C + skip * u
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    S: np.ndarray  # (B_, H, N)


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
    sizes: tuple  # H, D, N


def init_params(
    input_size: int, head_size: int, state_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W_x: (H, D)
    W_BC: (2*N, D)  rows of W_B, W_C
    w_dt: (D,)
    b_dt: ()
    A: ()
    skip: ()
    """
    _checked_start(dtype, input_size=input_size, head_size=head_size, state_size=state_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, head_size, state_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_x", "W_B", "W_C"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B_, D)
    state: S (B_, H, N), where to start; None is zero
    y: (T, B_, H), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    H, D, N = _sizes(params)
    T, B_ = x.shape[:2]
    state = _start(B_, H, N, dtype) if state is None else state
    W_x = params["W_x"]
    W_BC = params["W_BC"]
    w_dt = params["w_dt"]
    b_dt = params["b_dt"]
    A = params["A"]
    skip = params["skip"]
    exp_A = np.exp(A)                                       # (7)
    W_BC_x = _at_once(x, W_BC.T)                            # B, C, side by side
    u = _at_once(x, W_x.T)                                  # (1)
    B = W_BC_x[..., 0:N]                                    # (2)
    C = W_BC_x[..., N:2*N]                                  # (3)
    dt_1 = x @ w_dt                                         # (4)
    dt_pre = dt_1 + b_dt                                    # (5)
    dt = _softplus(dt_pre)                                  # (6)
    S_1 = -exp_A * dt                                       # (8)
    S_2 = np.exp(S_1)                                       # (9)
    dt_u = dt[..., None] * u                                # (10)
    S_3 = dt_u[..., :, None] * B[..., None, :]              # (11)
    S_all = np.empty((T + 1, B_, H, N), dtype)
    S_all[0] = state.S
    S_prev, S = S_all[:-1], S_all[1:]                       # S_prev[t] is S one step earlier

    for t in range(T):
        S[t] = S_2[t][..., None, None] * S_prev[t] + S_3[t]  # (12)
    h = (S @ C[..., None])[..., 0] + skip * u               # (13)
    end = State(S_all[-1].copy())
    kept = (x, u, B, C, dt_pre, dt, exp_A, S_2, dt_u, S_prev, S)
    tape = Tape(h, kept, T, B_, dtype, (H, D, N))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B_, H), what reaches the outputs from outside; None is zero
    dstate: S (B_, H, N), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B_, dtype = tape.steps, tape.batch, tape.dtype
    H, D, N = _sizes(params)
    W_x, W_BC, w_dt, skip = params["W_x"], params["W_BC"], params["w_dt"], params["skip"]
    x, u, B, C, dt_pre, dt, exp_A, S_2, dt_u, S_prev, S = tape.kept
    d_S = np.empty((T, B_, H, N), dtype)
    d_S_next = dstate.S                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (15) fork of S: one line per reader
        d_S[t] = (
            d_S_next                                        # step t+1: S
            + dy[t][..., :, None] * C[t][..., None, :]      # (14) h
        )

        d_S_next = d_S[t] * S_2[t][..., None, None]         # (15) to S[t-1], from S
    d_pre = np.empty((T, B_, 2 * N), dtype)                 # side by side, as their weights are stacked
    d_B = d_pre[..., 0:N]
    d_C = d_pre[..., N:2*N]
    d_dt_u = (d_S @ B[..., None])[..., 0]                   # (16), (17) from S_3
    d_S_2 = np.einsum("tbjk,tbjk->tb", d_S, S_prev)         # (18) from S
    d_S_1 = d_S_2 * S_2                                     # (19) from S_2

    # (20) fork of dt: one line per reader
    d_dt = (
        -d_S_1 * exp_A                                      # S_1
        + np.einsum("tbk,tbk->tb", d_dt_u, u)               # dt_u
    )

    d_dt_pre = d_dt * _sigmoid(dt_pre)                      # (21) from dt
    d_C[...] = (dy[..., None, :] @ S)[..., 0, :]            # (23) from h
    d_B[...] = (dt_u[..., None, :] @ d_S)[..., 0, :]        # (24) from S_3

    # (25) fork of u: one line per reader
    d_u = (
        d_dt_u * dt[..., None]                              # dt_u
        + dy * skip                                         # h
    )

    # (27) fork of x: one line per reader
    d_x = (
        _at_once(d_u, W_x)                                  # u
        + _at_once(d_pre, W_BC)                             # B, C
        + d_dt_pre[..., None] * w_dt                        # (22) dt_1
    )

    d_exp_A = (-d_S_1 * dt).sum()                           # (26) from S_1
    grads = {
        "W_x": _sum_of_outer(d_u, x),                       # (28) from u
        "W_BC": _sum_of_outer(d_pre, x),                    # (29), (30) from B, C
        "w_dt": np.einsum("tb,tbk->k", d_dt_pre, x),        # (31) from dt_1
        "b_dt": np.asarray(d_dt_pre.sum(), dtype),          # (32) from dt_pre
        "A": np.asarray(d_exp_A * exp_A, dtype),            # (33) from exp_A
        "skip": np.asarray((dy * u).sum(), dtype),          # (34) from h
    }
    return Gradients(grads, d_x, State(d_S_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B_, D)
    state: S (B_, H, N), where to start; None is zero
    y_t: (B_, H), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    H, D, N = _sizes(params)
    B_ = x_t.shape[0]
    (S_prev,) = _start(B_, H, N, dtype) if state is None else state
    W_x = params["W_x"]
    W_BC = params["W_BC"]
    w_dt = params["w_dt"]
    b_dt = params["b_dt"]
    A = params["A"]
    skip = params["skip"]
    exp_A = np.exp(A)                                       # (7)
    W_BC_x = x_t @ W_BC.T                                   # B, C, side by side
    u = x_t @ W_x.T                                         # (1)
    B = W_BC_x[:, 0:N]                                      # (2)
    C = W_BC_x[:, N:2*N]                                    # (3)
    dt_1 = x_t @ w_dt                                       # (4)
    dt_pre = dt_1 + b_dt                                    # (5)
    dt = _softplus(dt_pre)                                  # (6)
    S_1 = -exp_A * dt                                       # (8)
    S_2 = np.exp(S_1)                                       # (9)
    dt_u = dt[..., None] * u                                # (10)
    S_3 = dt_u[..., :, None] * B[..., None, :]              # (11)
    S = S_2[..., None, None] * S_prev + S_3                 # (12)
    h = (S @ C[..., None])[..., 0] + skip * u               # (13)
    return h, State(S)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    H, D, N = _sizes(params)
    return {
        "W_x": params["W_x"],
        "W_B": params["W_BC"][0:N],
        "W_C": params["W_BC"][N:2*N],
        "w_dt": params["w_dt"],
        "b_dt": params["b_dt"],
        "A": params["A"],
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


def _shapes(D, H, N):
    """The shapes of the stored parameters."""
    return {
        "W_x": (H, D),
        "W_BC": (2 * N, D),
        "w_dt": (D,),
        "b_dt": (),
        "A": (),
        "skip": (),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: H, D, N."""
    H = params["W_x"].shape[0]
    D = params["W_x"].shape[1]
    N = params["W_BC"].shape[0] // 2
    return (H, D, N)


def _start(batch, H, N, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, H, N), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W_x": ("H", "D"),
    "W_BC": ("2*N", "D"),
    "w_dt": ("D",),
    "b_dt": (),
    "A": (),
    "skip": (),
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
    params, H, D, N = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B_, D)", (None, None, D), dtype)
    T, B_ = x.shape[:2]
    return params, x, _checked_state("state", state, B_, H, N, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, H, D, N = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B_, D)", (None, D), dtype)
    B_ = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B_, H, N, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, H, D, N = _checked_params(params, tape.dtype)
    if tape.sizes != (H, D, N):
        raise ValueError(f"the tape is of params with H, D, N = {tape.sizes}, and these have {(H, D, N)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B_, H)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, H, N, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, H, N, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, H, N, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".S", state[0], "(B_, H, N)", (batch, H, N), dtype),
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
    H, D, N = _sizes(arrays)
    for name, shape in _shapes(D, H, N).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, H, D, N


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
    N = 5
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, H, N).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, H, N)),
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
    print("mamba2: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
