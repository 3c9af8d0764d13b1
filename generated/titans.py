# Made by lstmgen 0.1.0 from the spec of titans. It is yours: keep it, change it, ship it.
# lstmgen: sha256:dff2619f657e94b9
"""Titans, linear memory: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, K = key_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of titans.tex. One step computes

      (1)  q         = W_q @ x
      (2)  k         = W_k @ x
      (3)  v         = W_v @ x
      (4)  alpha_pre = dot(w_a, x)
      (5)  alpha     = sigmoid(alpha_pre)
      (6)  eta_pre   = dot(w_e, x)
      (7)  eta       = sigmoid(eta_pre)
      (8)  theta_pre = dot(w_t, x)
      (9)  theta     = sigmoid(theta_pre)
     (10)  S_1       = M[t-1] @ k - v
     (11)  S_2       = 2 * S_1
     (12)  S_3       = outer(S_2, k)
     (13)  S         = eta * S[t-1] - theta * S_3
     (14)  M         = (1 - alpha) * M[t-1] + S
     (15)  h         = M @ q
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    M: np.ndarray  # (B, K, K)
    S: np.ndarray  # (B, K, K)


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
    sizes: tuple  # D, K


def init_params(input_size: int, key_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W: (3*K, D)  rows of W_q, W_k, W_v
    w_a: (D,)
    w_e: (D,)
    w_t: (D,)
    """
    _checked_start(dtype, input_size=input_size, key_size=key_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, key_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_q", "W_k", "W_v"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: M (B, K, K), S (B, K, K), where to start; None is zero
    y: (T, B, K), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, K = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, K, dtype) if state is None else state
    W, w_a, w_e, w_t = params["W"], params["w_a"], params["w_e"], params["w_t"]
    W_x = _at_once(x, W.T)                                  # q, k, v, side by side
    q = W_x[..., 0:K]                                       # (1)
    k = W_x[..., K:2*K]                                     # (2)
    v = W_x[..., 2*K:3*K]                                   # (3)
    alpha_pre = x @ w_a                                     # (4)
    alpha = _sigmoid(alpha_pre)                             # (5)
    eta_pre = x @ w_e                                       # (6)
    eta = _sigmoid(eta_pre)                                 # (7)
    theta_pre = x @ w_t                                     # (8)
    theta = _sigmoid(theta_pre)                             # (9)
    M_all = np.empty((T + 1, B, K, K), dtype)
    M_all[0] = state.M
    M_prev, M = M_all[:-1], M_all[1:]                       # M_prev[t] is M one step earlier
    S_all = np.empty((T + 1, B, K, K), dtype)
    S_all[0] = state.S
    S_prev, S = S_all[:-1], S_all[1:]                       # S_prev[t] is S one step earlier
    S_2 = np.empty((T, B, K), dtype)
    S_3 = np.empty((T, B, K, K), dtype)

    for t in range(T):
        S_1 = (M_prev[t] @ k[t][..., None])[..., 0] - v[t]  # (10)
        S_2[t] = 2 * S_1                                    # (11)
        S_3[t] = S_2[t][..., :, None] * k[t][..., None, :]  # (12)
        S[t] = eta[t][..., None, None] * S_prev[t] - theta[t][..., None, None] * S_3[t]  # (13)
        M[t] = (1 - alpha[t])[..., None, None] * M_prev[t] + S[t]  # (14)
    h = (M @ q[..., None])[..., 0]                          # (15)
    end = State(M_all[-1].copy(), S_all[-1].copy())
    kept = (x, q, k, alpha, eta, theta, S_2, S_3, S_prev, M_prev, M)
    tape = Tape(h, kept, T, B, dtype, (D, K))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, K), what reaches the outputs from outside; None is zero
    dstate: M (B, K, K), S (B, K, K), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, K = _sizes(params)
    W, w_a, w_e, w_t = params["W"], params["w_a"], params["w_e"], params["w_t"]
    x, q, k, alpha, eta, theta, S_2, S_3, S_prev, M_prev, M = tape.kept
    d_M = np.empty((T, B, K, K), dtype)
    d_S = np.empty((T, B, K, K), dtype)
    d_S_3 = np.empty((T, B, K, K), dtype)
    d_S_1 = np.empty((T, B, K), dtype)
    d_M_next = dstate.M                                     # from outside, through the final state
    d_S_next = dstate.S                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (17) fork of M: one line per reader
        d_M[t] = (
            d_M_next                                        # step t+1: S_1, M
            + dy[t][..., :, None] * q[t][..., None, :]      # (16) h
        )

        # (18) fork of S: one line per reader
        d_S[t] = (
            d_S_next                                        # step t+1: S
            + d_M[t]                                        # M
        )

        d_S_3[t] = -d_S[t] * theta[t][..., None, None]      # (19) from S
        d_S_2 = (d_S_3[t] @ k[t][..., None])[..., 0]        # (20) from S_3
        d_S_1[t] = 2 * d_S_2                                # (21) from S_2

        # (17) to M[t-1]: what step t sends back, one line per reader
        d_M_next = (
            d_S_1[t][..., :, None] * k[t][..., None, :]     # S_1
            + d_M[t] * (1 - alpha[t])[..., None, None]      # M
        )

        d_S_next = d_S[t] * eta[t][..., None, None]         # (18) to S[t-1], from S
    d_pre = np.empty((T, B, 3 * K), dtype)                  # side by side, as their weights are stacked
    d_q = d_pre[..., 0:K]
    d_k = d_pre[..., K:2*K]
    d_v = d_pre[..., 2*K:3*K]
    d_theta = (-d_S * S_3).sum(-1).sum(-1)                  # (22) from S
    d_theta_pre = d_theta * theta * (1 - theta)             # (23) from theta
    d_eta = np.einsum("tbjk,tbjk->tb", d_S, S_prev)         # (24) from S
    d_eta_pre = d_eta * eta * (1 - eta)                     # (25) from eta
    d_alpha = (-d_M * M_prev).sum(-1).sum(-1)               # (26) from M
    d_alpha_pre = d_alpha * alpha * (1 - alpha)             # (27) from alpha
    d_v[...] = -d_S_1                                       # (28) from S_1

    # (29) fork of k: one line per reader
    d_k[...] = (
        (d_S_1[..., None, :] @ M_prev)[..., 0, :]           # S_1
        + (S_2[..., None, :] @ d_S_3)[..., 0, :]            # S_3
    )

    d_q[...] = (dy[..., None, :] @ M)[..., 0, :]            # (30) from h

    # (31) fork of x: one line per reader
    d_x = (
        _at_once(d_pre, W)                                  # q, k, v
        + d_alpha_pre[..., None] * w_a                      # alpha_pre
        + d_eta_pre[..., None] * w_e                        # eta_pre
        + d_theta_pre[..., None] * w_t                      # theta_pre
    )
    grads = {
        "W": _sum_of_outer(d_pre, x),                       # (32) to (34) from q, k, v
        "w_a": np.einsum("tb,tbk->k", d_alpha_pre, x),      # (35) from alpha_pre
        "w_e": np.einsum("tb,tbk->k", d_eta_pre, x),        # (36) from eta_pre
        "w_t": np.einsum("tb,tbk->k", d_theta_pre, x),      # (37) from theta_pre
    }
    return Gradients(grads, d_x, State(d_M_next, d_S_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: M (B, K, K), S (B, K, K), where to start; None is zero
    y_t: (B, K), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, K = _sizes(params)
    B = x_t.shape[0]
    M_prev, S_prev = _start(B, K, dtype) if state is None else state
    W, w_a, w_e, w_t = params["W"], params["w_a"], params["w_e"], params["w_t"]
    W_x = x_t @ W.T                                         # q, k, v, side by side
    q = W_x[:, 0:K]                                         # (1)
    k = W_x[:, K:2*K]                                       # (2)
    alpha_pre = x_t @ w_a                                   # (4)
    alpha = _sigmoid(alpha_pre)                             # (5)
    eta_pre = x_t @ w_e                                     # (6)
    eta = _sigmoid(eta_pre)                                 # (7)
    theta_pre = x_t @ w_t                                   # (8)
    theta = _sigmoid(theta_pre)                             # (9)
    S_1 = (M_prev @ k[..., None])[..., 0] - W_x[:, 2*K:3*K]  # (3), (10)
    S_2 = 2 * S_1                                           # (11)
    S_3 = S_2[..., :, None] * k[..., None, :]               # (12)
    S = eta[..., None, None] * S_prev - theta[..., None, None] * S_3  # (13)
    M = (1 - alpha)[..., None, None] * M_prev + S           # (14)
    h = (M @ q[..., None])[..., 0]                          # (15)
    return h, State(M, S)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, K = _sizes(params)
    return {
        "W_q": params["W"][0:K],
        "W_k": params["W"][K:2*K],
        "W_v": params["W"][2*K:3*K],
        "w_a": params["w_a"],
        "w_e": params["w_e"],
        "w_t": params["w_t"],
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


# ---------------------------------------------------------------- shapes


def _shapes(D, K):
    """The shapes of the stored parameters."""
    return {
        "W": (3 * K, D),
        "w_a": (D,),
        "w_e": (D,),
        "w_t": (D,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, K."""
    D = params["W"].shape[1]
    K = params["W"].shape[0] // 3
    return (D, K)


def _start(batch, K, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, K, K), dtype),
        np.zeros((batch, K, K), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W": ("3*K", "D"),
    "w_a": ("D",),
    "w_e": ("D",),
    "w_t": ("D",),
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
    params, D, K = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, K, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, K = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, K, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, K = _checked_params(params, tape.dtype)
    if tape.sizes != (D, K):
        raise ValueError(f"the tape is of params with D, K = {tape.sizes}, and these have {(D, K)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, K)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, K, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, K, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, K, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".M", state[0], "(B, K, K)", (batch, K, K), dtype),
        _checked(name + ".S", state[1], "(B, K, K)", (batch, K, K), dtype),
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
    D, K = _sizes(arrays)
    for name, shape in _shapes(D, K).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, K


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
    K = 4
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, K).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, K, K)),
        rng.uniform(-1, 1, (batch, K, K)),
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
    print("titans: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
