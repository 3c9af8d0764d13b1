# Made by lstmgen 0.1.0 from the spec of retnet_heads. It is yours: keep it, change it, ship it.
# lstmgen: sha256:0878c7be3a8c7a03
"""RetNet with heads: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, N = heads, G = head_size, K = key_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of retnet_heads.tex. One step computes

      (1)  q_1         = W_q @ x
      (2)  q_2         = heads(q_1, N)
      (3)  q           = q_2 / sqrt(K)
      (4)  k_pre       = W_k @ x
      (5)  k           = heads(k_pre, N)
      (6)  v_pre       = W_v @ x
      (7)  v           = heads(v_pre, N)
      (8)  ones_N      = ones(N)
      (9)  gamma_1     = cumsum(ones_N)
     (10)  gamma       = 1 - 2 ** (-4 - gamma_1)
     (11)  S_1         = outer(k, v)
     (12)  S           = fill(fill(gamma, K), G) * S[t-1] + S_1
     (13)  transpose_S = transpose(S)
     (14)  y_1         = transpose_S @ q
     (15)  y_2         = layer_norm(y_1)
     (16)  y_pre       = g * y_2
     (17)  y           = flat(y_pre)
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    S: np.ndarray  # (B, N, K, G)


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
    sizes: tuple  # D, N, G, K


def init_params(
    input_size: int, heads: int, head_size: int, key_size: int,
    rng: int | np.random.Generator = 0, dtype: type = np.float32,
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W_qk: (2*K*N, D)  rows of W_q, W_k
    W_v: (G*N, D)
    g: (N, G)
    """
    _checked_start(dtype, input_size=input_size, heads=heads, head_size=head_size, key_size=key_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, heads, head_size, key_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_q", "W_k", "W_v"):
        views[name][...] = _glorot(rng, views[name].shape)
    views["g"][...] = 1
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: S (B, N, K, G), where to start; None is zero
    y: (T, B, G*N), y at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, N, G, K = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, N, G, K, dtype) if state is None else state
    W_qk, W_v, g = params["W_qk"], params["W_v"], params["g"]
    ones_N = np.ones(N, dtype=dtype)                        # (8)
    gamma_1 = np.cumsum(ones_N, axis=-1)                    # (9)
    gamma = 1 - 2 ** (-4 - gamma_1)                         # (10)
    W_qk_x = _at_once(x, W_qk.T)                            # q_1, k_pre, side by side
    q_2 = _heads(W_qk_x[..., 0:K*N], N)                     # (1), (2)
    q = q_2 / float(np.sqrt(K))                             # (3)
    k = _heads(W_qk_x[..., K*N:2*K*N], N)                   # (4), (5)
    v_pre = _at_once(x, W_v.T)                              # (6)
    v = _heads(v_pre, N)                                    # (7)
    S_1 = k[..., :, None] * v[..., None, :]                 # (11)
    S_all = np.empty((T + 1, B, N, K, G), dtype)
    S_all[0] = state.S
    S_prev, S = S_all[:-1], S_all[1:]                       # S_prev[t] is S one step earlier

    for t in range(T):
        S[t] = gamma[..., None, None] * S_prev[t] + S_1[t]  # (12)
    transpose_S = np.swapaxes(S, -1, -2)                    # (13)
    y_1 = (transpose_S @ q[..., None])[..., 0]              # (14)
    y_2 = _layer_norm(y_1, 1e-5)                            # (15)
    y_pre = g * y_2                                         # (16)
    y = _flat(y_pre)                                        # (17)
    end = State(S_all[-1].copy())
    kept = (x, q, k, v, gamma, transpose_S, y_1, y_2)
    tape = Tape(y, kept, T, B, dtype, (D, N, G, K))
    return y, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, G*N), what reaches the outputs from outside; None is zero
    dstate: S (B, N, K, G), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, N, G, K = _sizes(params)
    W_qk, W_v, g = params["W_qk"], params["W_v"], params["g"]
    x, q, k, v, gamma, transpose_S, y_1, y_2 = tape.kept
    d_y_pre = _heads(dy, N)                                 # (18), (19) from y
    d_y_2 = d_y_pre * g                                     # (20) from y_pre
    # (21) from y_2
    d_y_1 = _inverse_std(y_1, 1e-05)[..., None] * (d_y_2 - d_y_2.mean(-1)[..., None] - y_2 * (d_y_2 * y_2).mean(-1)[..., None])
    d_transpose_S = d_y_1[..., :, None] * q[..., None, :]   # (22) from y_1
    d_S = np.empty((T, B, N, K, G), dtype)
    d_S_next = dstate.S                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (23) fork of S: one line per reader
        d_S[t] = (
            d_S_next                                        # step t+1: S
            + np.swapaxes(d_transpose_S[t], -1, -2)         # transpose_S
        )

        d_S_next = d_S[t] * gamma[..., None, None]          # (23) to S[t-1], from S
    d_pre = np.empty((T, B, 2 * K * N), dtype)              # side by side, as their weights are stacked
    d_q_1 = d_pre[..., 0:K*N]
    d_k_pre = d_pre[..., K*N:2*K*N]
    d_v = (k[..., None, :] @ d_S)[..., 0, :]                # (24), (25) from S_1
    d_v_pre = _flat(d_v)                                    # (26) from v
    d_k = (d_S @ v[..., None])[..., 0]                      # (27) from S_1
    d_k_pre[...] = _flat(d_k)                               # (28) from k
    d_q = (d_y_1[..., None, :] @ transpose_S)[..., 0, :]    # (29) from y_1
    d_q_2 = d_q / float(np.sqrt(K))                         # (30) from q
    d_q_1[...] = _flat(d_q_2)                               # (31) from q_2

    # (32) fork of x: one line per reader
    d_x = (
        _at_once(d_pre, W_qk)                               # q_1, k_pre
        + _at_once(d_v_pre, W_v)                            # v_pre
    )
    grads = {
        "W_qk": _sum_of_outer(d_pre, x),                    # (33), (34) from q_1, k_pre
        "W_v": _sum_of_outer(d_v_pre, x),                   # (35) from v_pre
        "g": np.einsum("tbjk,tbjk->jk", d_y_pre, y_2),      # (36) from y_pre
    }
    return Gradients(grads, d_x, State(d_S_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: S (B, N, K, G), where to start; None is zero
    y_t: (B, G*N), y
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, N, G, K = _sizes(params)
    B = x_t.shape[0]
    (S_prev,) = _start(B, N, G, K, dtype) if state is None else state
    W_qk, W_v, g = params["W_qk"], params["W_v"], params["g"]
    ones_N = np.ones(N, dtype=dtype)                        # (8)
    gamma_1 = np.cumsum(ones_N, axis=-1)                    # (9)
    gamma = 1 - 2 ** (-4 - gamma_1)                         # (10)
    W_qk_x = x_t @ W_qk.T                                   # q_1, k_pre, side by side
    q_2 = _heads(W_qk_x[:, 0:K*N], N)                       # (1), (2)
    q = q_2 / float(np.sqrt(K))                             # (3)
    k = _heads(W_qk_x[:, K*N:2*K*N], N)                     # (4), (5)
    v_pre = x_t @ W_v.T                                     # (6)
    v = _heads(v_pre, N)                                    # (7)
    S_1 = k[..., :, None] * v[..., None, :]                 # (11)
    S = gamma[..., None, None] * S_prev + S_1               # (12)
    transpose_S = np.swapaxes(S, -1, -2)                    # (13)
    y_1 = (transpose_S @ q[..., None])[..., 0]              # (14)
    y_2 = _layer_norm(y_1, 1e-5)                            # (15)
    y_pre = g * y_2                                         # (16)
    y = _flat(y_pre)                                        # (17)
    return y, State(S)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, N, G, K = _sizes(params)
    return {
        "W_q": params["W_qk"][0:K*N],
        "W_k": params["W_qk"][K*N:2*K*N],
        "W_v": params["W_v"],
        "g": params["g"],
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


def _flat(a):
    """The last two axes as one."""
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1])


def _heads(a, n):
    """The last axis as n rows."""
    return a.reshape(*a.shape[:-1], n, a.shape[-1] // n)


def _glorot(rng, shape):
    """Uniform, with the variance 2 / (rows + columns) of Glorot and Bengio 2010."""
    sides = shape[-2:] or (1,)
    limit = np.sqrt(6 / (sides[0] + sides[-1]))
    return rng.uniform(-limit, limit, shape)


def _inverse_std(a, eps):
    """1 / sqrt(variance + eps) over the last axis."""
    centred = a - a.mean(-1, keepdims=True)
    return 1 / np.sqrt((centred * centred).mean(-1) + eps)


def _layer_norm(a, eps):
    """(a - mean) / sqrt(variance + eps) over the last axis."""
    centred = a - a.mean(-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + eps)


def _sum_of_outer(d, v):
    """The sum over all steps and examples of the outer products d v^T: one matrix product."""
    return d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1])


# ---------------------------------------------------------------- shapes


def _shapes(D, N, G, K):
    """The shapes of the stored parameters."""
    return {
        "W_qk": (2 * K * N, D),
        "W_v": (G * N, D),
        "g": (N, G),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, N, G, K."""
    D = params["W_qk"].shape[1]
    N = params["g"].shape[0]
    G = params["W_v"].shape[0] // N
    K = params["W_qk"].shape[0] // (2 * N)
    return (D, N, G, K)


def _start(batch, N, G, K, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, N, K, G), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W_qk": ("2*K*N", "D"),
    "W_v": ("G*N", "D"),
    "g": ("N", "G"),
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
    params, D, N, G, K = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, N, G, K, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, N, G, K = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, N, G, K, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, N, G, K = _checked_params(params, tape.dtype)
    if tape.sizes != (D, N, G, K):
        raise ValueError(f"the tape is of params with D, N, G, K = {tape.sizes}, and these have {(D, N, G, K)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, G*N)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, N, G, K, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, N, G, K, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, N, G, K, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".S", state[0], "(B, N, K, G)", (batch, N, K, G), dtype),
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
    D, N, G, K = _sizes(arrays)
    for name, shape in _shapes(D, N, G, K).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, N, G, K


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
    D = 5
    N = 6
    G = 7
    K = 8
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, N, G, K).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, N, K, G)),
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
    print("retnet_heads: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
