# Made by lstmgen 0.1.0 from the spec of rwkv7. It is yours: keep it, change it, ship it.
# lstmgen: sha256:20a053acef6a4537
"""RWKV-7: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, K = head_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of rwkv7.tex. One step computes

      (1)  r         = W_r @ x
      (2)  k         = W_k @ x
      (3)  v         = W_v @ x
      (4)  w_1       = W_w @ x + b_w
      (5)  w_2       = sigmoid(w_1)
      (6)  w_pre     = -exp(-0.5) * w_2
      (7)  w         = exp(w_pre)
      (8)  a_pre     = W_a @ x + b_a
      (9)  a         = sigmoid(a_pre)
     (10)  kappa_pre = k * xi
     (11)  kappa     = l2_norm(kappa_pre)
     (12)  ones_K    = ones(K)
     (13)  S_1       = outer(ones_K, w)
     (14)  S_2       = S[t-1] @ kappa
     (15)  a_kappa   = a * kappa
     (16)  S_3       = outer(S_2, a_kappa)
     (17)  S_4       = k * (1 + (a - 1) * alpha)
     (18)  S_5       = outer(v, S_4)
     (19)  S         = S_1 * S[t-1] - S_3 + S_5
     (20)  h         = S @ r
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

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


def init_params(
    input_size: int, head_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W: (5*K, D)  rows of W_r, W_k, W_v, W_w, W_a
    b: (2*K,)  rows of b_w, b_a
    xi: (K,)
    alpha: (K,)
    """
    _checked_start(dtype, input_size=input_size, head_size=head_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, head_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_r", "W_k", "W_v", "W_w", "W_a"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: S (B, K, K), where to start; None is zero
    y: (T, B, K), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, K = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, K, dtype) if state is None else state
    W, b, xi, alpha = params["W"], params["b"], params["xi"], params["alpha"]
    ones_K = np.ones(K, dtype=dtype)                        # (12)
    W_x = _at_once(x, W.T)                                  # r, k, v, w_1, a_pre, side by side
    r = W_x[..., 0:K]                                       # (1)
    k = W_x[..., K:2*K]                                     # (2)
    v = W_x[..., 2*K:3*K]                                   # (3)
    w_1 = W_x[..., 3*K:4*K] + b[0:K]                        # (4)
    w_2 = _sigmoid(w_1)                                     # (5)
    w_pre = -float(np.exp(-0.5)) * w_2                      # (6)
    w = np.exp(w_pre)                                       # (7)
    a_pre = W_x[..., 4*K:5*K] + b[K:2*K]                    # (8)
    a = _sigmoid(a_pre)                                     # (9)
    kappa_pre = k * xi                                      # (10)
    kappa = _l2_norm(kappa_pre, 1e-6)                       # (11)
    S_1 = ones_K[..., :, None] * w[..., None, :]            # (13)
    a_kappa = a * kappa                                     # (15)
    S_4 = k * (1 + (a - 1) * alpha)                         # (17)
    S_5 = v[..., :, None] * S_4[..., None, :]               # (18)
    S_all = np.empty((T + 1, B, K, K), dtype)
    S_all[0] = state.S
    S_prev, S = S_all[:-1], S_all[1:]                       # S_prev[t] is S one step earlier
    S_2 = np.empty((T, B, K), dtype)

    for t in range(T):
        S_2[t] = (S_prev[t] @ kappa[t][..., None])[..., 0]  # (14)
        S_3 = S_2[t][..., :, None] * a_kappa[t][..., None, :]  # (16)
        S[t] = S_1[t] * S_prev[t] - S_3 + S_5[t]            # (19)
    h = (S @ r[..., None])[..., 0]                          # (20)
    end = State(S_all[-1].copy())
    kept = (x, r, k, v, w_2, w, a, kappa_pre, kappa, ones_K, S_1, S_2, a_kappa, S_4, S_prev, S)
    tape = Tape(h, kept, T, B, dtype, (D, K))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, K), what reaches the outputs from outside; None is zero
    dstate: S (B, K, K), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, K = _sizes(params)
    W, xi, alpha = params["W"], params["xi"], params["alpha"]
    x, r, k, v, w_2, w, a, kappa_pre, kappa, ones_K, S_1, S_2, a_kappa, S_4, S_prev, S = tape.kept
    d_S = np.empty((T, B, K, K), dtype)
    d_S_3 = np.empty((T, B, K, K), dtype)
    d_S_2 = np.empty((T, B, K), dtype)
    d_S_next = dstate.S                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (22) fork of S: one line per reader
        d_S[t] = (
            d_S_next                                        # step t+1: S_2, S
            + dy[t][..., :, None] * r[t][..., None, :]      # (21) h
        )

        d_S_3[t] = -d_S[t]                                  # (25) from S
        d_S_2[t] = (d_S_3[t] @ a_kappa[t][..., None])[..., 0]  # (27) from S_3

        # (22) to S[t-1]: what step t sends back, one line per reader
        d_S_next = (
            d_S_2[t][..., :, None] * kappa[t][..., None, :]  # S_2
            + d_S[t] * S_1[t]                               # S
        )

    d_pre = np.empty((T, B, 5 * K), dtype)                  # side by side, as their weights are stacked
    d_r = d_pre[..., 0:K]
    d_k = d_pre[..., K:2*K]
    d_v = d_pre[..., 2*K:3*K]
    d_w_1 = d_pre[..., 3*K:4*K]
    d_a_pre = d_pre[..., 4*K:5*K]
    d_S_4 = (v[..., None, :] @ d_S)[..., 0, :]              # (23), (24) from S_5
    d_a_kappa = (S_2[..., None, :] @ d_S_3)[..., 0, :]      # (26) from S_3
    d_S_1 = d_S * S_prev                                    # (28) from S

    # (29) fork of kappa: one line per reader
    d_kappa = (
        (d_S_2[..., None, :] @ S_prev)[..., 0, :]           # S_2
        + d_a_kappa * a                                     # a_kappa
    )

    # (30) from kappa
    d_kappa_pre = _inverse_norm(kappa_pre, 1e-06)[..., None] * (d_kappa - kappa * np.einsum("tbk,tbk->tb", d_kappa, kappa)[..., None])

    # (31) fork of a: one line per reader
    d_a = (
        d_a_kappa * kappa                                   # a_kappa
        + d_S_4 * k * alpha                                 # S_4
    )

    d_a_pre[...] = d_a * a * (1 - a)                        # (32) from a
    d_w = (ones_K[..., None, :] @ d_S_1)[..., 0, :]         # (33) from S_1
    d_w_pre = d_w * w                                       # (34) from w
    d_w_2 = -d_w_pre * float(np.exp(-0.5))                  # (35) from w_pre
    d_w_1[...] = d_w_2 * w_2 * (1 - w_2)                    # (36) from w_2
    d_v[...] = (d_S @ S_4[..., None])[..., 0]               # (37) from S_5

    # (38) fork of k: one line per reader
    d_k[...] = (
        d_kappa_pre * xi                                    # kappa_pre
        + d_S_4 * (1 + alpha * (a - 1))                     # S_4
    )

    d_r[...] = (dy[..., None, :] @ S)[..., 0, :]            # (39) from h
    d_x = _at_once(d_pre, W)                                # (40) from r, k, v, w_1, a_pre
    grads = {
        "W": _sum_of_outer(d_pre, x),                       # (41) to (45) from r, k, v, w_1, a_pre
        "b": d_pre[..., 3*K:5*K].sum((0, 1)),               # (46), (47) from w_1, a_pre
        "xi": np.einsum("tbk,tbk->k", d_kappa_pre, k),      # (48) from kappa_pre
        "alpha": (d_S_4 * k * (a - 1)).sum((0, 1)),         # (49) from S_4
    }
    return Gradients(grads, d_x, State(d_S_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: S (B, K, K), where to start; None is zero
    y_t: (B, K), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, K = _sizes(params)
    B = x_t.shape[0]
    (S_prev,) = _start(B, K, dtype) if state is None else state
    W, b, xi, alpha = params["W"], params["b"], params["xi"], params["alpha"]
    ones_K = np.ones(K, dtype=dtype)                        # (12)
    W_x = x_t @ W.T                                         # r, k, v, w_1, a_pre, side by side
    r = W_x[:, 0:K]                                         # (1)
    k = W_x[:, K:2*K]                                       # (2)
    v = W_x[:, 2*K:3*K]                                     # (3)
    w_1 = W_x[:, 3*K:4*K] + b[0:K]                          # (4)
    w_2 = _sigmoid(w_1)                                     # (5)
    w_pre = -float(np.exp(-0.5)) * w_2                      # (6)
    w = np.exp(w_pre)                                       # (7)
    a_pre = W_x[:, 4*K:5*K] + b[K:2*K]                      # (8)
    a = _sigmoid(a_pre)                                     # (9)
    kappa_pre = k * xi                                      # (10)
    kappa = _l2_norm(kappa_pre, 1e-6)                       # (11)
    S_1 = ones_K[..., :, None] * w[..., None, :]            # (13)
    a_kappa = a * kappa                                     # (15)
    S_4 = k * (1 + (a - 1) * alpha)                         # (17)
    S_5 = v[..., :, None] * S_4[..., None, :]               # (18)
    S_2 = (S_prev @ kappa[..., None])[..., 0]               # (14)
    S_3 = S_2[..., :, None] * a_kappa[..., None, :]         # (16)
    S = S_1 * S_prev - S_3 + S_5                            # (19)
    h = (S @ r[..., None])[..., 0]                          # (20)
    return h, State(S)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, K = _sizes(params)
    return {
        "W_r": params["W"][0:K],
        "W_k": params["W"][K:2*K],
        "W_v": params["W"][2*K:3*K],
        "W_w": params["W"][3*K:4*K],
        "W_a": params["W"][4*K:5*K],
        "b_w": params["b"][0:K],
        "b_a": params["b"][K:2*K],
        "xi": params["xi"],
        "alpha": params["alpha"],
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


def _inverse_norm(a, eps):
    """1 / sqrt(sum of squares + eps) over the last axis."""
    return 1 / np.sqrt((a * a).sum(-1) + eps)


def _l2_norm(a, eps):
    """a / sqrt(sum of squares + eps) over the last axis."""
    return a / np.sqrt((a * a).sum(-1, keepdims=True) + eps)


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
        "W": (5 * K, D),
        "b": (2 * K,),
        "xi": (K,),
        "alpha": (K,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, K."""
    D = params["W"].shape[1]
    K = params["xi"].shape[0]
    return (D, K)


def _start(batch, K, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, K, K), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W": ("5*K", "D"),
    "b": ("2*K",),
    "xi": ("K",),
    "alpha": ("K",),
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
        _checked(name + ".S", state[0], "(B, K, K)", (batch, K, K), dtype),
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
    print("rwkv7: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
