# Made by lstmgen 0.1.0 from the spec of lmu. It is yours: keep it, change it, ship it.
# lstmgen: sha256:b4fe680589d8d372
"""Legendre memory unit: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size, M = order.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of lmu.tex. One step computes

      (1)  stop_gradient_ones = stop_gradient(ones)
      (2)  k_1                = cumsum(stop_gradient_ones)
      (3)  k                  = k_1 - 1
      (4)  s_1                = k / 2
      (5)  s_2                = floor(s_1)
      (6)  s                  = 1 - 2 * (k - 2 * s_2)
      (7)  u_1                = dot(e_x, x)
      (8)  u_2                = dot(e_h, h[t-1])
      (9)  u_3                = dot(e_m, m[t-1])
     (10)  u                  = u_1 + u_2 + u_3
     (11)  cumsum_m_prev      = cumsum(m[t-1])
     (12)  sum_m_prev         = sum(m[t-1])
     (13)  s_m_prev           = s * m[t-1]
     (14)  a_1                = cumsum(s_m_prev)
     (15)  a                  = cumsum_m_prev - sum_m_prev - s * a_1
     (16)  m                  = m[t-1] + (2 * k + 1) / 100 * (a + s * u)
     (17)  h_pre              = W_x @ x + W_h @ h[t-1] + W_m @ m
     (18)  h                  = tanh(h_pre)
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    h: np.ndarray  # (B, H)
    m: np.ndarray  # (B, M)


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
    sizes: tuple  # D, H, M


def init_params(
    input_size: int, hidden_size: int, order: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    e_x: (D,)
    e_h: (H,)
    e_m: (M,)
    ones: (M,)
    W_x: (H, D)
    W_h: (H, H)
    W_m: (H, M)
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size, order=order)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size, order)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("e_x", "e_h"):
        views[name][...] = _uniform(rng, views[name].shape)
    views["ones"][...] = 1
    for name in ("W_x", "W_h", "W_m"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: h (B, H), m (B, M), where to start; None is zero
    y: (T, B, H), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, H, M = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, M, dtype) if state is None else state
    e_x = params["e_x"]
    e_h = params["e_h"]
    e_m = params["e_m"]
    ones = params["ones"]
    W_x = params["W_x"]
    W_h = params["W_h"]
    W_m = params["W_m"]
    stop_gradient_ones = _stop_gradient(ones)               # (1)
    k_1 = np.cumsum(stop_gradient_ones, axis=-1)            # (2)
    k = k_1 - 1                                             # (3)
    s_1 = k / 2                                             # (4)
    s_2 = _floor(s_1)                                       # (5)
    s = 1 - 2 * (k - 2 * s_2)                               # (6)
    u_1 = x @ e_x                                           # (7)
    W_x_x = _at_once(x, W_x.T)                              # for all steps at once: h_pre
    h_all = np.empty((T + 1, B, H), dtype)
    h_all[0] = state.h
    h_prev, h = h_all[:-1], h_all[1:]                       # h_prev[t] is h one step earlier
    m_all = np.empty((T + 1, B, M), dtype)
    m_all[0] = state.m
    m_prev, m = m_all[:-1], m_all[1:]                       # m_prev[t] is m one step earlier
    W_h_T = _transposed(W_h) if B > 1 else W_h.T            # laid out as the loop reads it
    W_m_T = _transposed(W_m) if B > 1 else W_m.T            # laid out as the loop reads it

    for t in range(T):
        u_2 = h_prev[t] @ e_h                               # (8)
        u_3 = m_prev[t] @ e_m                               # (9)
        u = u_1[t] + u_2 + u_3                              # (10)
        cumsum_m_prev = np.cumsum(m_prev[t], axis=-1)       # (11)
        sum_m_prev = m_prev[t].sum(-1)                      # (12)
        s_m_prev = s * m_prev[t]                            # (13)
        a_1 = np.cumsum(s_m_prev, axis=-1)                  # (14)
        a = cumsum_m_prev - sum_m_prev[..., None] - s * a_1  # (15)
        m[t] = m_prev[t] + (2 * k + 1) / 100 * (a + s * u[..., None])  # (16)
        h_pre = W_x_x[t] + h_prev[t] @ W_h_T + m[t] @ W_m_T  # (17)
        h[t] = np.tanh(h_pre)                               # (18)
    end = State(h_all[-1].copy(), m_all[-1].copy())
    kept = (x, k, s, m_prev, m, h_prev, h)
    tape = Tape(h, kept, T, B, dtype, (D, H, M))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: h (B, H), m (B, M), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, H, M = _sizes(params)
    e_x = params["e_x"]
    e_h = params["e_h"]
    e_m = params["e_m"]
    W_x = params["W_x"]
    W_h = params["W_h"]
    W_m = params["W_m"]
    x, k, s, m_prev, m, h_prev, h = tape.kept
    d_h_pre = np.empty((T, B, H), dtype)
    d_u = np.empty((T, B), dtype)
    d_h_next = dstate.h                                     # from outside, through the final state
    d_m_next = dstate.m                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (19) fork of h: one line per reader
        d_h = (
            d_h_next                                        # step t+1: u_2, h_pre
            + dy[t]                                         # from outside, through the output
        )

        d_h_pre[t] = d_h * (1 - h[t] ** 2)                  # (20) from h

        # (21) fork of m: one line per reader
        d_m = (
            d_m_next                                        # step t+1: u_3, cumsum_m_prev, sum_m_prev, s_m_prev, m
            + d_h_pre[t] @ W_m                              # h_pre
        )

        d_a = d_m * (0.01 + 0.02 * k)                       # (22) from m
        d_a_1 = -d_a * s                                    # (23) from a
        d_s_m_prev = _reverse_cumsum(d_a_1)                 # (24) from a_1
        d_sum_m_prev = (-d_a).sum(-1)                       # (25) from a
        d_u[t] = (d_m * s * (0.01 + 0.02 * k)).sum(-1)      # (27) from m

        # (19) to h[t-1]: what step t sends back, one line per reader
        d_h_next = (
            d_u[t][..., None] * e_h                         # (29) u_2
            + d_h_pre[t] @ W_h                              # h_pre
        )

        # (21) to m[t-1]: what step t sends back, one line per reader
        d_m_next = (
            d_u[t][..., None] * e_m                         # (28) u_3
            + _reverse_cumsum(d_a)                          # (26) cumsum_m_prev
            + d_sum_m_prev[..., None]                       # sum_m_prev
            + d_s_m_prev * s                                # s_m_prev
            + d_m                                           # m
        )

    # (31) fork of x: one line per reader
    d_x = (
        d_u[..., None] * e_x                                # (30) u_1
        + _at_once(d_h_pre, W_x)                            # h_pre
    )
    grads = {
        "e_x": np.einsum("tb,tbk->k", d_u, x),              # (32) from u_1
        "e_h": np.einsum("tb,tbk->k", d_u, h_prev),         # (33) from u_2
        "e_m": np.einsum("tb,tbk->k", d_u, m_prev),         # (34) from u_3
        "ones": np.zeros((M,), dtype),                      # (35)
        "W_x": _sum_of_outer(d_h_pre, x),                   # (36) from h_pre
        "W_h": _sum_of_outer(d_h_pre, h_prev),              # (37) from h_pre
        "W_m": _sum_of_outer(d_h_pre, m),                   # (38) from h_pre
    }
    return Gradients(grads, d_x, State(d_h_next, d_m_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: h (B, H), m (B, M), where to start; None is zero
    y_t: (B, H), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, H, M = _sizes(params)
    B = x_t.shape[0]
    h_prev, m_prev = _start(B, H, M, dtype) if state is None else state
    e_x = params["e_x"]
    e_h = params["e_h"]
    e_m = params["e_m"]
    ones = params["ones"]
    W_x = params["W_x"]
    W_h = params["W_h"]
    W_m = params["W_m"]
    stop_gradient_ones = _stop_gradient(ones)               # (1)
    k_1 = np.cumsum(stop_gradient_ones, axis=-1)            # (2)
    k = k_1 - 1                                             # (3)
    s_1 = k / 2                                             # (4)
    s_2 = _floor(s_1)                                       # (5)
    s = 1 - 2 * (k - 2 * s_2)                               # (6)
    u_1 = x_t @ e_x                                         # (7)
    u_2 = h_prev @ e_h                                      # (8)
    u_3 = m_prev @ e_m                                      # (9)
    u = u_1 + u_2 + u_3                                     # (10)
    cumsum_m_prev = np.cumsum(m_prev, axis=-1)              # (11)
    sum_m_prev = m_prev.sum(-1)                             # (12)
    s_m_prev = s * m_prev                                   # (13)
    a_1 = np.cumsum(s_m_prev, axis=-1)                      # (14)
    a = cumsum_m_prev - sum_m_prev[..., None] - s * a_1     # (15)
    m = m_prev + (2 * k + 1) / 100 * (a + s * u[..., None])  # (16)
    h_pre = x_t @ W_x.T + h_prev @ W_h.T + m @ W_m.T        # (17)
    h = np.tanh(h_pre)                                      # (18)
    return h, State(h, m)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    return {
        "e_x": params["e_x"],
        "e_h": params["e_h"],
        "e_m": params["e_m"],
        "ones": params["ones"],
        "W_x": params["W_x"],
        "W_h": params["W_h"],
        "W_m": params["W_m"],
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


def _floor(a):
    """The largest integer up to a; of a complex number's real part."""
    return np.floor(np.real(a)).astype(np.asarray(a).dtype, copy=False)


def _glorot(rng, shape):
    """Uniform, with the variance 2 / (rows + columns) of Glorot and Bengio 2010."""
    sides = shape[-2:] or (1,)
    limit = np.sqrt(6 / (sides[0] + sides[-1]))
    return rng.uniform(-limit, limit, shape)


def _uniform(rng, shape):
    """Uniform in +-1 / sqrt(columns)."""
    limit = 1 / np.sqrt(shape[-1] if shape else 1)
    return rng.uniform(-limit, limit, shape)


def _reverse_cumsum(a):
    """Sums from each entry to the last: what np.cumsum sends back."""
    return np.cumsum(a[..., ::-1], axis=-1)[..., ::-1]


def _stop_gradient(a):
    """`a`, held still: in complex arithmetic without its imaginary part."""
    return np.real(a).astype(a.dtype, copy=False)


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


def _shapes(D, H, M):
    """The shapes of the stored parameters."""
    return {
        "e_x": (D,),
        "e_h": (H,),
        "e_m": (M,),
        "ones": (M,),
        "W_x": (H, D),
        "W_h": (H, H),
        "W_m": (H, M),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, H, M."""
    D = params["e_x"].shape[0]
    H = params["e_h"].shape[0]
    M = params["e_m"].shape[0]
    return (D, H, M)


def _start(batch, H, M, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, H), dtype),
        np.zeros((batch, M), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "e_x": ("D",),
    "e_h": ("H",),
    "e_m": ("M",),
    "ones": ("M",),
    "W_x": ("H", "D"),
    "W_h": ("H", "H"),
    "W_m": ("H", "M"),
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
    params, D, H, M = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, H, M, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, H, M = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, H, M, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, H, M = _checked_params(params, tape.dtype)
    if tape.sizes != (D, H, M):
        raise ValueError(f"the tape is of params with D, H, M = {tape.sizes}, and these have {(D, H, M)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, H)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, H, M, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, H, M, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, H, M, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".h", state[0], "(B, H)", (batch, H), dtype),
        _checked(name + ".m", state[1], "(B, M)", (batch, M), dtype),
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
    D, H, M = _sizes(arrays)
    for name, shape in _shapes(D, H, M).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, H, M


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
    M = 5
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, H, M).items()}
    named(params)["ones"][...] = rng.uniform(1, 1.01, named(params)["ones"].shape)
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, H)),
        rng.uniform(-1, 1, (batch, M)),
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
    print("lmu: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
