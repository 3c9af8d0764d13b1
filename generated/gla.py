# Made by lstmgen 0.1.0 from the spec of gla. It is yours: keep it, change it, ship it.
# lstmgen: sha256:e7a96d250436a8af
"""Gated linear attention: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size, K = key_size, R = rank.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of gla.tex. One step computes

      (1)  q_1         = W_q @ x
      (2)  q           = q_1 / sqrt(K)
      (3)  k           = W_k @ x
      (4)  v           = W_v @ x
      (5)  a_1         = W_l @ x
      (6)  a_2         = W_a @ a_1 + b_a
      (7)  a_3         = logsigmoid(a_2)
      (8)  a_pre       = a_3 / 16
      (9)  a           = exp(a_pre)
     (10)  ones_H      = ones(H)
     (11)  S_1         = outer(a, ones_H)
     (12)  S_2         = outer(k, v)
     (13)  S           = S_1 * S[t-1] + S_2
     (14)  transpose_S = transpose(S)
     (15)  h           = transpose_S @ q
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    S: np.ndarray  # (B, K, H)


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
    sizes: tuple  # D, H, R, K


def init_params(
    input_size: int, hidden_size: int, key_size: int, rank: int,
    rng: int | np.random.Generator = 0, dtype: type = np.float32,
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W_qk: (2*K, D)  rows of W_q, W_k
    W_v: (H, D)
    W_l: (R, D)
    W_a: (K, R)
    b_a: (K,)
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size, key_size=key_size, rank=rank)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size, key_size, rank)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_q", "W_k", "W_v", "W_l", "W_a"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: S (B, K, H), where to start; None is zero
    y: (T, B, H), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, H, R, K = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, K, dtype) if state is None else state
    W_qk, W_v, W_l, W_a, b_a = params["W_qk"], params["W_v"], params["W_l"], params["W_a"], params["b_a"]
    ones_H = np.ones(H, dtype=dtype)                        # (10)
    W_qk_x = _at_once(x, W_qk.T)                            # q_1, k, side by side
    q = W_qk_x[..., 0:K] / float(np.sqrt(K))                # (1), (2)
    k = W_qk_x[..., K:2*K]                                  # (3)
    v = _at_once(x, W_v.T)                                  # (4)
    a_1 = _at_once(x, W_l.T)                                # (5)
    a_2 = _at_once(a_1, W_a.T) + b_a                        # (6)
    a_3 = -_softplus(-a_2)                                  # (7)
    a_pre = a_3 / 16                                        # (8)
    a = np.exp(a_pre)                                       # (9)
    S_1 = a[..., :, None] * ones_H[..., None, :]            # (11)
    S_2 = k[..., :, None] * v[..., None, :]                 # (12)
    S_all = np.empty((T + 1, B, K, H), dtype)
    S_all[0] = state.S
    S_prev, S = S_all[:-1], S_all[1:]                       # S_prev[t] is S one step earlier

    for t in range(T):
        S[t] = S_1[t] * S_prev[t] + S_2[t]                  # (13)
    transpose_S = np.swapaxes(S, -1, -2)                    # (14)
    h = (transpose_S @ q[..., None])[..., 0]                # (15)
    end = State(S_all[-1].copy())
    kept = (x, q, k, v, a_1, a_2, a, ones_H, S_1, S_prev, transpose_S)
    tape = Tape(h, kept, T, B, dtype, (D, H, R, K))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: S (B, K, H), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, H, R, K = _sizes(params)
    W_qk, W_v, W_l, W_a = params["W_qk"], params["W_v"], params["W_l"], params["W_a"]
    x, q, k, v, a_1, a_2, a, ones_H, S_1, S_prev, transpose_S = tape.kept
    d_transpose_S = dy[..., :, None] * q[..., None, :]      # (16), (17) from h
    d_S = np.empty((T, B, K, H), dtype)
    d_S_next = dstate.S                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (18) fork of S: one line per reader
        d_S[t] = (
            d_S_next                                        # step t+1: S
            + np.swapaxes(d_transpose_S[t], -1, -2)         # transpose_S
        )

        d_S_next = d_S[t] * S_1[t]                          # (18) to S[t-1], from S
    d_pre = np.empty((T, B, 2 * K), dtype)                  # side by side, as their weights are stacked
    d_q_1 = d_pre[..., 0:K]
    d_k = d_pre[..., K:2*K]
    d_S_1 = d_S * S_prev                                    # (20) from S
    d_a = (d_S_1 @ ones_H[..., None])[..., 0]               # (21) from S_1
    d_a_pre = d_a * a                                       # (22) from a
    d_a_3 = 0.0625 * d_a_pre                                # (23) from a_pre
    d_a_2 = d_a_3 * _sigmoid(-a_2)                          # (24) from a_3
    d_a_1 = _at_once(d_a_2, W_a)                            # (25) from a_2
    d_v = (k[..., None, :] @ d_S)[..., 0, :]                # (19), (26) from S_2
    d_k[...] = (d_S @ v[..., None])[..., 0]                 # (27) from S_2
    d_q = (dy[..., None, :] @ transpose_S)[..., 0, :]       # (28) from h
    d_q_1[...] = d_q / float(np.sqrt(K))                    # (29) from q

    # (30) fork of x: one line per reader
    d_x = (
        _at_once(d_pre, W_qk)                               # q_1, k
        + _at_once(d_v, W_v)                                # v
        + _at_once(d_a_1, W_l)                              # a_1
    )
    grads = {
        "W_qk": _sum_of_outer(d_pre, x),                    # (31), (32) from q_1, k
        "W_v": _sum_of_outer(d_v, x),                       # (33) from v
        "W_l": _sum_of_outer(d_a_1, x),                     # (34) from a_1
        "W_a": _sum_of_outer(d_a_2, a_1),                   # (35) from a_2
        "b_a": d_a_2.sum((0, 1)),                           # (36) from a_2
    }
    return Gradients(grads, d_x, State(d_S_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: S (B, K, H), where to start; None is zero
    y_t: (B, H), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, H, R, K = _sizes(params)
    B = x_t.shape[0]
    (S_prev,) = _start(B, H, K, dtype) if state is None else state
    W_qk, W_v, W_l, W_a, b_a = params["W_qk"], params["W_v"], params["W_l"], params["W_a"], params["b_a"]
    ones_H = np.ones(H, dtype=dtype)                        # (10)
    W_qk_x = x_t @ W_qk.T                                   # q_1, k, side by side
    q = W_qk_x[:, 0:K] / float(np.sqrt(K))                  # (1), (2)
    k = W_qk_x[:, K:2*K]                                    # (3)
    v = x_t @ W_v.T                                         # (4)
    a_1 = x_t @ W_l.T                                       # (5)
    a_2 = a_1 @ W_a.T + b_a                                 # (6)
    a_3 = -_softplus(-a_2)                                  # (7)
    a_pre = a_3 / 16                                        # (8)
    a = np.exp(a_pre)                                       # (9)
    S_1 = a[..., :, None] * ones_H[..., None, :]            # (11)
    S_2 = k[..., :, None] * v[..., None, :]                 # (12)
    S = S_1 * S_prev + S_2                                  # (13)
    transpose_S = np.swapaxes(S, -1, -2)                    # (14)
    h = (transpose_S @ q[..., None])[..., 0]                # (15)
    return h, State(S)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, H, R, K = _sizes(params)
    return {
        "W_q": params["W_qk"][0:K],
        "W_k": params["W_qk"][K:2*K],
        "W_v": params["W_v"],
        "W_l": params["W_l"],
        "W_a": params["W_a"],
        "b_a": params["b_a"],
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


def _shapes(D, H, K, R):
    """The shapes of the stored parameters."""
    return {
        "W_qk": (2 * K, D),
        "W_v": (H, D),
        "W_l": (R, D),
        "W_a": (K, R),
        "b_a": (K,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, H, R, K."""
    D = params["W_qk"].shape[1]
    H = params["W_v"].shape[0]
    R = params["W_l"].shape[0]
    K = params["W_a"].shape[0]
    return (D, H, R, K)


def _start(batch, H, K, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, K, H), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W_qk": ("2*K", "D"),
    "W_v": ("H", "D"),
    "W_l": ("R", "D"),
    "W_a": ("K", "R"),
    "b_a": ("K",),
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
    params, D, H, R, K = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, H, K, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, H, R, K = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, H, K, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, H, R, K = _checked_params(params, tape.dtype)
    if tape.sizes != (D, H, R, K):
        raise ValueError(f"the tape is of params with D, H, R, K = {tape.sizes}, and these have {(D, H, R, K)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, H)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, H, K, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, H, K, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, H, K, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".S", state[0], "(B, K, H)", (batch, K, H), dtype),
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
    D, H, R, K = _sizes(arrays)
    for name, shape in _shapes(D, H, K, R).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, H, R, K


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
    K = 5
    R = 6
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, H, K, R).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, K, H)),
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
    print("gla: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
