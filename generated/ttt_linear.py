# Made by lstmgen 0.1.0 from the spec of ttt_linear. It is yours: keep it, change it, ship it.
# lstmgen: sha256:ca23984e5d416a45
"""TTT-Linear: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, K = head_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of ttt_linear.tex. One step computes

      (1)  q      = W_q @ x
      (2)  k      = W_k @ x
      (3)  v      = W_v @ x
      (4)  rate_1 = dot(w_l, x)
      (5)  rate_2 = rate_1 + b_l
      (6)  rate_3 = sigmoid(rate_2)
      (7)  rate   = rate_3 / K
      (8)  z      = M[t-1] @ k + b[t-1]
      (9)  n      = layer_norm(z, 1e-06)
     (10)  e      = (gain * n + shift - (v - k)) * gain
     (11)  mean_z = mean(z)
     (12)  s_1    = (z - mean_z) ** 2
     (13)  s_2    = mean(s_1)
     (14)  s_pre  = s_2 + 1e-06
     (15)  s      = rsqrt(s_pre)
     (16)  mean_e = mean(e)
     (17)  n_e    = n * e
     (18)  g_1    = mean(n_e)
     (19)  g      = s * (e - mean_e - n * g_1)
     (20)  M_1    = outer(g, k)
     (21)  M      = M[t-1] - rate * M_1
     (22)  b      = b[t-1] - rate * g
     (23)  h_1    = M @ q + b
     (24)  h_2    = layer_norm(h_1, 1e-06)
     (25)  h      = q + gain * h_2 + shift
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    M: np.ndarray  # (B, K, K)
    b: np.ndarray  # (B, K)


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

    W: (3*K, D)  rows of W_q, W_k, W_v
    w_l: (D,)
    b_l: ()
    gain: (K,)
    shift: (K,)
    """
    _checked_start(dtype, input_size=input_size, head_size=head_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, head_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_q", "W_k", "W_v"):
        views[name][...] = _glorot(rng, views[name].shape)
    views["gain"][...] = 1
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: M (B, K, K), b (B, K), where to start; None is zero
    y: (T, B, K), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, K = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, K, dtype) if state is None else state
    W, w_l, b_l, gain, shift = params["W"], params["w_l"], params["b_l"], params["gain"], params["shift"]
    W_x = _at_once(x, W.T)                                  # q, k, v, side by side
    q = W_x[..., 0:K]                                       # (1)
    k = W_x[..., K:2*K]                                     # (2)
    v = W_x[..., 2*K:3*K]                                   # (3)
    rate_1 = x @ w_l                                        # (4)
    rate_2 = rate_1 + b_l                                   # (5)
    rate_3 = _sigmoid(rate_2)                               # (6)
    rate = rate_3 / K                                       # (7)
    M_all = np.empty((T + 1, B, K, K), dtype)
    M_all[0] = state.M
    M_prev, M = M_all[:-1], M_all[1:]                       # M_prev[t] is M one step earlier
    b_all = np.empty((T + 1, B, K), dtype)
    b_all[0] = state.b
    b_prev, b = b_all[:-1], b_all[1:]                       # b_prev[t] is b one step earlier
    z, n, e, g = np.empty((4, T, B, K), dtype)
    mean_z, s_pre, s, mean_e, g_1 = np.empty((5, T, B), dtype)
    M_1 = np.empty((T, B, K, K), dtype)

    for t in range(T):
        z[t] = (M_prev[t] @ k[t][..., None])[..., 0] + b_prev[t]  # (8)
        n[t] = _layer_norm(z[t], 1e-06)                     # (9)
        e[t] = (gain * n[t] + shift - (v[t] - k[t])) * gain  # (10)
        mean_z[t] = z[t].mean(-1)                           # (11)
        s_1 = (z[t] - mean_z[t][..., None]) ** 2            # (12)
        s_2 = s_1.mean(-1)                                  # (13)
        s_pre[t] = s_2 + 1e-06                              # (14)
        s[t] = 1 / np.sqrt(s_pre[t])                        # (15)
        mean_e[t] = e[t].mean(-1)                           # (16)
        n_e = n[t] * e[t]                                   # (17)
        g_1[t] = n_e.mean(-1)                               # (18)
        g[t] = s[t][..., None] * (e[t] - mean_e[t][..., None] - n[t] * g_1[t][..., None])  # (19)
        M_1[t] = g[t][..., :, None] * k[t][..., None, :]    # (20)
        M[t] = M_prev[t] - rate[t][..., None, None] * M_1[t]  # (21)
        b[t] = b_prev[t] - rate[t][..., None] * g[t]        # (22)
    h_1 = (M @ q[..., None])[..., 0] + b                    # (23)
    h_2 = _layer_norm(h_1, 1e-06)                           # (24)
    h = q + gain * h_2 + shift                              # (25)
    end = State(M_all[-1].copy(), b_all[-1].copy())
    kept = (
        x, q, k, v, rate_3, rate, z, n, e, mean_z, s_pre, s, mean_e, g_1, g, M_1, M_prev, M,
        h_1, h_2,
    )
    tape = Tape(h, kept, T, B, dtype, (D, K))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, K), what reaches the outputs from outside; None is zero
    dstate: M (B, K, K), b (B, K), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, K = _sizes(params)
    W, w_l, gain, shift = params["W"], params["w_l"], params["gain"], params["shift"]
    (
        x, q, k, v, rate_3, rate, z, n, e, mean_z, s_pre, s, mean_e, g_1, g, M_1, M_prev, M,
        h_1, h_2,
    ) = tape.kept
    d_h_2 = dy * gain                                       # (26), (27) from h
    # (28) from h_2
    d_h_1 = _inverse_std(h_1, 1e-06)[..., None] * (d_h_2 - d_h_2.mean(-1)[..., None] - h_2 * (d_h_2 * h_2).mean(-1)[..., None])
    d_b = np.empty((T, B, K), dtype)
    d_M = np.empty((T, B, K, K), dtype)
    d_M_1 = np.empty((T, B, K, K), dtype)
    d_e = np.empty((T, B, K), dtype)
    d_z = np.empty((T, B, K), dtype)
    d_M_next = dstate.M                                     # from outside, through the final state
    d_b_next = dstate.b                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (29) fork of b: one line per reader
        d_b[t] = (
            d_b_next                                        # step t+1: z, b
            + d_h_1[t]                                      # h_1
        )

        # (30) fork of M: one line per reader
        d_M[t] = (
            d_M_next                                        # step t+1: z, M
            + d_h_1[t][..., :, None] * q[t][..., None, :]   # h_1
        )

        d_M_1[t] = -d_M[t] * rate[t][..., None, None]       # (31) from M

        # (32) fork of g: one line per reader
        d_g = (
            (d_M_1[t] @ k[t][..., None])[..., 0]            # M_1
            - d_b[t] * rate[t][..., None]                   # b
        )

        d_g_1 = (-d_g * s[t][..., None] * n[t]).sum(-1)     # (33) from g
        d_n_e = _fill(d_g_1 / K, K)                         # (34) from g_1
        d_mean_e = (-d_g * s[t][..., None]).sum(-1)         # (35) from g
        d_s = np.einsum("bk,bk->b", d_g, e[t] - mean_e[t][..., None] - n[t] * g_1[t][..., None])  # (36) from g
        d_s_pre = (-0.5 * d_s * s[t]) / s_pre[t]            # (37) from s
        d_s_1 = _fill(d_s_pre / K, K)                       # (38), (39) from s_2

        # (40) fork of e: one line per reader
        d_e[t] = (
            (d_mean_e / K)[..., None]                       # mean_e
            + d_n_e * n[t]                                  # n_e
            + d_g * s[t][..., None]                         # g
        )

        # (41) fork of n: one line per reader
        d_n = (
            d_e[t] * gain ** 2                              # e
            + d_n_e * e[t]                                  # n_e
            - d_g * s[t][..., None] * g_1[t][..., None]     # g
        )

        # (42) fork of z: one line per reader
        d_z[t] = (
            # n
            _inverse_std(z[t], 1e-06)[..., None] * (d_n - d_n.mean(-1)[..., None] - n[t] * (d_n * n[t]).mean(-1)[..., None])
            + 2 * d_s_1 * (z[t] - mean_z[t][..., None])     # s_1
        )

        # (30) to M[t-1]: what step t sends back, one line per reader
        d_M_next = (
            d_z[t][..., :, None] * k[t][..., None, :]       # z
            + d_M[t]                                        # M
        )

        # (29) to b[t-1]: what step t sends back, one line per reader
        d_b_next = (
            d_z[t]                                          # z
            + d_b[t]                                        # b
        )

    d_pre = np.empty((T, B, 3 * K), dtype)                  # side by side, as their weights are stacked
    d_q = d_pre[..., 0:K]
    d_k = d_pre[..., K:2*K]
    d_v = d_pre[..., 2*K:3*K]

    # (43) fork of rate: one line per reader
    d_rate = (
        (-d_M * M_1).sum(-1).sum(-1)                        # M
        + (-d_b * g).sum(-1)                                # b
    )

    d_rate_3 = d_rate / K                                   # (44) from rate
    d_rate_2 = d_rate_3 * rate_3 * (1 - rate_3)             # (45) from rate_3
    d_v[...] = -d_e * gain                                  # (47) from e

    # (48) fork of k: one line per reader
    d_k[...] = (
        (d_z[..., None, :] @ M_prev)[..., 0, :]             # z
        + d_e * gain                                        # e
        + (g[..., None, :] @ d_M_1)[..., 0, :]              # M_1
    )

    # (49) fork of q: one line per reader
    d_q[...] = (
        (d_h_1[..., None, :] @ M)[..., 0, :]                # h_1
        + dy                                                # h
    )

    # (50) fork of x: one line per reader
    d_x = (
        _at_once(d_pre, W)                                  # q, k, v
        + d_rate_2[..., None] * w_l                         # (46) rate_1
    )
    grads = {
        "W": _sum_of_outer(d_pre, x),                       # (51) to (53) from q, k, v
        "w_l": np.einsum("tb,tbk->k", d_rate_2, x),         # (54) from rate_1
        "b_l": np.asarray(d_rate_2.sum(), dtype),           # (55) from rate_2
        # (56) from e, h
        "gain": np.einsum("tbk,tbk->k", d_e, 2 * gain * n + shift + k - v) + np.einsum("tbk,tbk->k", dy, h_2),
        "shift": (d_e * gain).sum((0, 1)) + dy.sum((0, 1)),  # (57) from e, h
    }
    return Gradients(grads, d_x, State(d_M_next, d_b_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: M (B, K, K), b (B, K), where to start; None is zero
    y_t: (B, K), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, K = _sizes(params)
    B = x_t.shape[0]
    M_prev, b_prev = _start(B, K, dtype) if state is None else state
    W, w_l, b_l, gain, shift = params["W"], params["w_l"], params["b_l"], params["gain"], params["shift"]
    W_x = x_t @ W.T                                         # q, k, v, side by side
    q = W_x[:, 0:K]                                         # (1)
    k = W_x[:, K:2*K]                                       # (2)
    v = W_x[:, 2*K:3*K]                                     # (3)
    rate_1 = x_t @ w_l                                      # (4)
    rate_2 = rate_1 + b_l                                   # (5)
    rate_3 = _sigmoid(rate_2)                               # (6)
    rate = rate_3 / K                                       # (7)
    z = (M_prev @ k[..., None])[..., 0] + b_prev            # (8)
    n = _layer_norm(z, 1e-06)                               # (9)
    e = (gain * n + shift - (v - k)) * gain                 # (10)
    mean_z = z.mean(-1)                                     # (11)
    s_1 = (z - mean_z[..., None]) ** 2                      # (12)
    s_2 = s_1.mean(-1)                                      # (13)
    s_pre = s_2 + 1e-06                                     # (14)
    s = 1 / np.sqrt(s_pre)                                  # (15)
    mean_e = e.mean(-1)                                     # (16)
    n_e = n * e                                             # (17)
    g_1 = n_e.mean(-1)                                      # (18)
    g = s[..., None] * (e - mean_e[..., None] - n * g_1[..., None])  # (19)
    M_1 = g[..., :, None] * k[..., None, :]                 # (20)
    M = M_prev - rate[..., None, None] * M_1                # (21)
    b = b_prev - rate[..., None] * g                        # (22)
    h_1 = (M @ q[..., None])[..., 0] + b                    # (23)
    h_2 = _layer_norm(h_1, 1e-06)                           # (24)
    h = q + gain * h_2 + shift                              # (25)
    return h, State(M, b)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, K = _sizes(params)
    return {
        "W_q": params["W"][0:K],
        "W_k": params["W"][K:2*K],
        "W_v": params["W"][2*K:3*K],
        "w_l": params["w_l"],
        "b_l": params["b_l"],
        "gain": params["gain"],
        "shift": params["shift"],
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


def _fill(a, n):
    """Every entry n times along a new last axis."""
    return np.repeat(np.asarray(a)[..., None], n, axis=-1)


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


def _sigmoid(a):
    """1 / (1 + exp(-a)), accurate to the last digits where it is close to 0: it is divided by or logged."""
    return np.exp(np.minimum(a, 0)) / (1 + np.exp(-_abs(a)))


def _sum_of_outer(d, v):
    """The sum over all steps and examples of the outer products d v^T: one matrix product."""
    return d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1])


# ---------------------------------------------------------------- shapes


def _shapes(D, K):
    """The shapes of the stored parameters."""
    return {
        "W": (3 * K, D),
        "w_l": (D,),
        "b_l": (),
        "gain": (K,),
        "shift": (K,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, K."""
    D = params["W"].shape[1]
    K = params["gain"].shape[0]
    return (D, K)


def _start(batch, K, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, K, K), dtype),
        np.zeros((batch, K), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W": ("3*K", "D"),
    "w_l": ("D",),
    "b_l": (),
    "gain": ("K",),
    "shift": ("K",),
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
        _checked(name + ".b", state[1], "(B, K)", (batch, K), dtype),
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
    D = 5
    K = 6
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, K).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, K, K)),
        rng.uniform(-1, 1, (batch, K)),
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
    print("ttt_linear: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
