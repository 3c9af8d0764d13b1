# Made by lstmgen 0.1.0 from the spec of rwkv7_heads. It is yours: keep it, change it, ship it.
# lstmgen: sha256:2d4e3a71e72cd21f
"""RWKV-7 with heads: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, N = heads, K = head_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of rwkv7_heads.tex. One step computes

      (1)  r_pre     = W_r @ x
      (2)  r         = heads(r_pre, N)
      (3)  k_pre     = W_k @ x
      (4)  k         = heads(k_pre, N)
      (5)  v_pre     = W_v @ x
      (6)  v         = heads(v_pre, N)
      (7)  w_1       = W_w @ x + b_w
      (8)  w_2       = sigmoid(w_1)
      (9)  w_3       = heads(w_2, N)
     (10)  w_pre     = -exp(-0.5) * w_3
     (11)  w         = exp(w_pre)
     (12)  a_1       = W_a @ x + b_a
     (13)  a_pre     = sigmoid(a_1)
     (14)  a         = heads(a_pre, N)
     (15)  kappa_pre = k * xi
     (16)  kappa     = l2_norm(kappa_pre)
     (17)  S_1       = fill(w, K)
     (18)  S_2       = transpose(S_1)
     (19)  S_3       = S[t-1] @ kappa
     (20)  a_kappa   = a * kappa
     (21)  S_4       = outer(S_3, a_kappa)
     (22)  S_5       = k * (1 + (a - 1) * alpha)
     (23)  S_6       = outer(v, S_5)
     (24)  S         = S[t-1] * S_2 - S_4 + S_6
     (25)  y_pre     = S @ r
     (26)  y         = flat(y_pre)
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    S: np.ndarray  # (B, N, K, K)


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
    sizes: tuple  # D, N, K


def init_params(
    input_size: int, heads: int, head_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W: (5*K*N, D)  rows of W_r, W_k, W_v, W_w, W_a
    b: (2*K*N,)  rows of b_w, b_a
    xi: (N, K)
    alpha: (N, K)
    """
    _checked_start(dtype, input_size=input_size, heads=heads, head_size=head_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, heads, head_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_r", "W_k", "W_v", "W_w", "W_a", "xi", "alpha"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: S (B, N, K, K), where to start; None is zero
    y: (T, B, K*N), y at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, N, K = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, N, K, dtype) if state is None else state
    W, b, xi, alpha = params["W"], params["b"], params["xi"], params["alpha"]
    W_x = _at_once(x, W.T)                                  # r_pre, k_pre, v_pre, w_1, a_1, side by side
    r = _heads(W_x[..., 0:K*N], N)                          # (1), (2)
    k = _heads(W_x[..., K*N:2*K*N], N)                      # (3), (4)
    v = _heads(W_x[..., 2*K*N:3*K*N], N)                    # (5), (6)
    w_1 = W_x[..., 3*K*N:4*K*N] + b[0:K*N]                  # (7)
    w_2 = _sigmoid(w_1)                                     # (8)
    w_3 = _heads(w_2, N)                                    # (9)
    w_pre = -float(np.exp(-0.5)) * w_3                      # (10)
    w = np.exp(w_pre)                                       # (11)
    a_1 = W_x[..., 4*K*N:5*K*N] + b[K*N:2*K*N]              # (12)
    a_pre = _sigmoid(a_1)                                   # (13)
    a = _heads(a_pre, N)                                    # (14)
    kappa_pre = k * xi                                      # (15)
    kappa = _l2_norm(kappa_pre, 1e-6)                       # (16)
    S_1 = _fill(w, K)                                       # (17)
    S_2 = np.swapaxes(S_1, -1, -2)                          # (18)
    a_kappa = a * kappa                                     # (20)
    S_5 = k * (1 + (a - 1) * alpha)                         # (22)
    S_6 = v[..., :, None] * S_5[..., None, :]               # (23)
    S_all = np.empty((T + 1, B, N, K, K), dtype)
    S_all[0] = state.S
    S_prev, S = S_all[:-1], S_all[1:]                       # S_prev[t] is S one step earlier
    S_3 = np.empty((T, B, N, K), dtype)

    for t in range(T):
        S_3[t] = (S_prev[t] @ kappa[t][..., None])[..., 0]  # (19)
        S_4 = S_3[t][..., :, None] * a_kappa[t][..., None, :]  # (21)
        S[t] = S_prev[t] * S_2[t] - S_4 + S_6[t]            # (24)
    y_pre = (S @ r[..., None])[..., 0]                      # (25)
    y = _flat(y_pre)                                        # (26)
    end = State(S_all[-1].copy())
    kept = (x, r, k, v, w_2, w, a_pre, a, kappa_pre, kappa, S_2, S_3, a_kappa, S_5, S_prev, S)
    tape = Tape(y, kept, T, B, dtype, (D, N, K))
    return y, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, K*N), what reaches the outputs from outside; None is zero
    dstate: S (B, N, K, K), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, N, K = _sizes(params)
    W, xi, alpha = params["W"], params["xi"], params["alpha"]
    x, r, k, v, w_2, w, a_pre, a, kappa_pre, kappa, S_2, S_3, a_kappa, S_5, S_prev, S = tape.kept
    d_y_pre = _heads(dy, N)                                 # (27), (28) from y
    d_S = np.empty((T, B, N, K, K), dtype)
    d_S_4 = np.empty((T, B, N, K, K), dtype)
    d_S_3 = np.empty((T, B, N, K), dtype)
    d_S_next = dstate.S                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (29) fork of S: one line per reader
        d_S[t] = (
            d_S_next                                        # step t+1: S_3, S
            + d_y_pre[t][..., :, None] * r[t][..., None, :]  # y_pre
        )

        d_S_4[t] = -d_S[t]                                  # (32) from S
        d_S_3[t] = (d_S_4[t] @ a_kappa[t][..., None])[..., 0]  # (34) from S_4

        # (29) to S[t-1]: what step t sends back, one line per reader
        d_S_next = (
            d_S_3[t][..., :, None] * kappa[t][..., None, :]  # S_3
            + d_S[t] * S_2[t]                               # S
        )

    d_pre = np.empty((T, B, 5 * K * N), dtype)              # side by side, as their weights are stacked
    d_r_pre = d_pre[..., 0:K*N]
    d_k_pre = d_pre[..., K*N:2*K*N]
    d_v_pre = d_pre[..., 2*K*N:3*K*N]
    d_w_1 = d_pre[..., 3*K*N:4*K*N]
    d_a_1 = d_pre[..., 4*K*N:5*K*N]
    d_S_5 = (v[..., None, :] @ d_S)[..., 0, :]              # (30), (31) from S_6
    d_a_kappa = (S_3[..., None, :] @ d_S_4)[..., 0, :]      # (33) from S_4
    d_S_2 = d_S * S_prev                                    # (35) from S
    d_S_1 = np.swapaxes(d_S_2, -1, -2)                      # (36) from S_2

    # (37) fork of kappa: one line per reader
    d_kappa = (
        (d_S_3[..., None, :] @ S_prev)[..., 0, :]           # S_3
        + d_a_kappa * a                                     # a_kappa
    )

    # (38) from kappa
    d_kappa_pre = _inverse_norm(kappa_pre, 1e-06)[..., None] * (d_kappa - kappa * np.einsum("tbjk,tbjk->tbj", d_kappa, kappa)[..., None])

    # (39) fork of a: one line per reader
    d_a = (
        d_a_kappa * kappa                                   # a_kappa
        + d_S_5 * k * alpha                                 # S_5
    )

    d_a_pre = _flat(d_a)                                    # (40) from a
    d_a_1[...] = d_a_pre * a_pre * (1 - a_pre)              # (41) from a_pre
    d_w = d_S_1.sum(-1)                                     # (42) from S_1
    d_w_pre = d_w * w                                       # (43) from w
    d_w_3 = -d_w_pre * float(np.exp(-0.5))                  # (44) from w_pre
    d_w_2 = _flat(d_w_3)                                    # (45) from w_3
    d_w_1[...] = d_w_2 * w_2 * (1 - w_2)                    # (46) from w_2
    d_v = (d_S @ S_5[..., None])[..., 0]                    # (47) from S_6
    d_v_pre[...] = _flat(d_v)                               # (48) from v

    # (49) fork of k: one line per reader
    d_k = (
        d_kappa_pre * xi                                    # kappa_pre
        + d_S_5 * (1 + alpha * (a - 1))                     # S_5
    )

    d_k_pre[...] = _flat(d_k)                               # (50) from k
    d_r = (d_y_pre[..., None, :] @ S)[..., 0, :]            # (51) from y_pre
    d_r_pre[...] = _flat(d_r)                               # (52) from r
    d_x = _at_once(d_pre, W)                                # (53) from r_pre, k_pre, v_pre, w_1, a_1
    grads = {
        "W": _sum_of_outer(d_pre, x),                       # (54) to (58) from r_pre, k_pre, v_pre, w_1, a_1
        "b": d_pre[..., 3*K*N:5*K*N].sum((0, 1)),           # (59), (60) from w_1, a_1
        "xi": np.einsum("tbjk,tbjk->jk", d_kappa_pre, k),   # (61) from kappa_pre
        "alpha": (d_S_5 * k * (a - 1)).sum((0, 1)),         # (62) from S_5
    }
    return Gradients(grads, d_x, State(d_S_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: S (B, N, K, K), where to start; None is zero
    y_t: (B, K*N), y
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, N, K = _sizes(params)
    B = x_t.shape[0]
    (S_prev,) = _start(B, N, K, dtype) if state is None else state
    W, b, xi, alpha = params["W"], params["b"], params["xi"], params["alpha"]
    W_x = x_t @ W.T                                         # r_pre, k_pre, v_pre, w_1, a_1, side by side
    r = _heads(W_x[:, 0:K*N], N)                            # (1), (2)
    k = _heads(W_x[:, K*N:2*K*N], N)                        # (3), (4)
    v = _heads(W_x[:, 2*K*N:3*K*N], N)                      # (5), (6)
    w_1 = W_x[:, 3*K*N:4*K*N] + b[0:K*N]                    # (7)
    w_2 = _sigmoid(w_1)                                     # (8)
    w_3 = _heads(w_2, N)                                    # (9)
    w_pre = -float(np.exp(-0.5)) * w_3                      # (10)
    w = np.exp(w_pre)                                       # (11)
    a_1 = W_x[:, 4*K*N:5*K*N] + b[K*N:2*K*N]                # (12)
    a_pre = _sigmoid(a_1)                                   # (13)
    a = _heads(a_pre, N)                                    # (14)
    kappa_pre = k * xi                                      # (15)
    kappa = _l2_norm(kappa_pre, 1e-6)                       # (16)
    S_1 = _fill(w, K)                                       # (17)
    S_2 = np.swapaxes(S_1, -1, -2)                          # (18)
    a_kappa = a * kappa                                     # (20)
    S_5 = k * (1 + (a - 1) * alpha)                         # (22)
    S_6 = v[..., :, None] * S_5[..., None, :]               # (23)
    S_3 = (S_prev @ kappa[..., None])[..., 0]               # (19)
    S_4 = S_3[..., :, None] * a_kappa[..., None, :]         # (21)
    S = S_prev * S_2 - S_4 + S_6                            # (24)
    y_pre = (S @ r[..., None])[..., 0]                      # (25)
    y = _flat(y_pre)                                        # (26)
    return y, State(S)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, N, K = _sizes(params)
    return {
        "W_r": params["W"][0:K*N],
        "W_k": params["W"][K*N:2*K*N],
        "W_v": params["W"][2*K*N:3*K*N],
        "W_w": params["W"][3*K*N:4*K*N],
        "W_a": params["W"][4*K*N:5*K*N],
        "b_w": params["b"][0:K*N],
        "b_a": params["b"][K*N:2*K*N],
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


def _fill(a, n):
    """Every entry n times along a new last axis."""
    return np.repeat(np.asarray(a)[..., None], n, axis=-1)


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


def _shapes(D, N, K):
    """The shapes of the stored parameters."""
    return {
        "W": (5 * K * N, D),
        "b": (2 * K * N,),
        "xi": (N, K),
        "alpha": (N, K),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, N, K."""
    D = params["W"].shape[1]
    N = params["xi"].shape[0]
    K = params["xi"].shape[1]
    return (D, N, K)


def _start(batch, N, K, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, N, K, K), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W": ("5*K*N", "D"),
    "b": ("2*K*N",),
    "xi": ("N", "K"),
    "alpha": ("N", "K"),
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
    params, D, N, K = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, N, K, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, N, K = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, N, K, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, N, K = _checked_params(params, tape.dtype)
    if tape.sizes != (D, N, K):
        raise ValueError(f"the tape is of params with D, N, K = {tape.sizes}, and these have {(D, N, K)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, K*N)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, N, K, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, N, K, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, N, K, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".S", state[0], "(B, N, K, K)", (batch, N, K, K), dtype),
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
    D, N, K = _sizes(arrays)
    for name, shape in _shapes(D, N, K).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, N, K


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
    K = 5
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, N, K).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, N, K, K)),
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
    print("rwkv7_heads: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
