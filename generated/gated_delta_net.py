# Made by lstmgen 0.1.0 from the spec of gated_delta_net. It is yours: keep it, change it, ship it.
# lstmgen: sha256:3c96156a1bfe569c
"""Gated DeltaNet: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size, K = key_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of gated_delta_net.tex. One step computes

      (1)  q_1           = W_q @ x
      (2)  q_2           = sigmoid(q_1)
      (3)  q_pre         = q_1 * q_2
      (4)  q             = l2_norm(q_pre)
      (5)  k_1           = W_k @ x
      (6)  k_2           = sigmoid(k_1)
      (7)  k_pre         = k_1 * k_2
      (8)  k             = l2_norm(k_pre)
      (9)  v_pre         = W_v @ x
     (10)  sigmoid_v_pre = sigmoid(v_pre)
     (11)  v             = v_pre * sigmoid_v_pre
     (12)  exp_A         = exp(A)
     (13)  a_1           = dot(w_a, x)
     (14)  a_2           = a_1 + b_a
     (15)  a_3           = softplus(a_2)
     (16)  a_pre         = -exp_A * a_3
     (17)  a             = exp(a_pre)
     (18)  beta_pre      = dot(w_b, x)
     (19)  beta          = sigmoid(beta_pre)
     (20)  S_1           = S[t-1] @ k
     (21)  S_2           = beta * (v - a * S_1)
     (22)  S_3           = outer(S_2, k)
     (23)  S             = a * S[t-1] + S_3
     (24)  h             = S @ q
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    S: np.ndarray  # (B, H, K)


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
    sizes: tuple  # D, H, K


def init_params(
    input_size: int, hidden_size: int, key_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W_qk: (2*K, D)  rows of W_q, W_k
    W_v: (H, D)
    w_a: (D,)
    w_b: (D,)
    b_a: ()
    A: ()
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size, key_size=key_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size, key_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_q", "W_k", "W_v"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: S (B, H, K), where to start; None is zero
    y: (T, B, H), h at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, H, K = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, K, dtype) if state is None else state
    W_qk = params["W_qk"]
    W_v = params["W_v"]
    w_a = params["w_a"]
    w_b = params["w_b"]
    b_a = params["b_a"]
    A = params["A"]
    exp_A = np.exp(A)                                       # (12)
    W_qk_x = _at_once(x, W_qk.T)                            # q_1, k_1, side by side
    q_1 = W_qk_x[..., 0:K]                                  # (1)
    q_2 = _sigmoid(q_1)                                     # (2)
    q_pre = q_1 * q_2                                       # (3)
    q = _l2_norm(q_pre, 1e-6)                               # (4)
    k_1 = W_qk_x[..., K:2*K]                                # (5)
    k_2 = _sigmoid(k_1)                                     # (6)
    k_pre = k_1 * k_2                                       # (7)
    k = _l2_norm(k_pre, 1e-6)                               # (8)
    v_pre = _at_once(x, W_v.T)                              # (9)
    sigmoid_v_pre = _sigmoid(v_pre)                         # (10)
    v = v_pre * sigmoid_v_pre                               # (11)
    a_1 = x @ w_a                                           # (13)
    a_2 = a_1 + b_a                                         # (14)
    a_3 = _softplus(a_2)                                    # (15)
    a_pre = -exp_A * a_3                                    # (16)
    a = np.exp(a_pre)                                       # (17)
    beta_pre = x @ w_b                                      # (18)
    beta = _sigmoid(beta_pre)                               # (19)
    S_all = np.empty((T + 1, B, H, K), dtype)
    S_all[0] = state.S
    S_prev, S = S_all[:-1], S_all[1:]                       # S_prev[t] is S one step earlier
    S_1, S_2 = np.empty((2, T, B, H), dtype)

    for t in range(T):
        S_1[t] = (S_prev[t] @ k[t][..., None])[..., 0]      # (20)
        S_2[t] = beta[t][..., None] * (v[t] - a[t][..., None] * S_1[t])  # (21)
        S_3 = S_2[t][..., :, None] * k[t][..., None, :]     # (22)
        S[t] = a[t][..., None, None] * S_prev[t] + S_3      # (23)
    h = (S @ q[..., None])[..., 0]                          # (24)
    end = State(S_all[-1].copy())
    kept = (
        x, q_1, q_2, q_pre, q, k_1, k_2, k_pre, k, v_pre, sigmoid_v_pre, v, exp_A, a_2, a_3,
        a, beta, S_1, S_2, S_prev, S,
    )
    tape = Tape(h, kept, T, B, dtype, (D, H, K))
    return h, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: S (B, H, K), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, H, K = _sizes(params)
    W_qk, W_v, w_a, w_b = params["W_qk"], params["W_v"], params["w_a"], params["w_b"]
    (
        x, q_1, q_2, q_pre, q, k_1, k_2, k_pre, k, v_pre, sigmoid_v_pre, v, exp_A, a_2, a_3,
        a, beta, S_1, S_2, S_prev, S,
    ) = tape.kept
    d_S = np.empty((T, B, H, K), dtype)
    d_S_2 = np.empty((T, B, H), dtype)
    d_S_1 = np.empty((T, B, H), dtype)
    d_S_next = dstate.S                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (26) fork of S: one line per reader
        d_S[t] = (
            d_S_next                                        # step t+1: S_1, S
            + dy[t][..., :, None] * q[t][..., None, :]      # (25) h
        )

        d_S_2[t] = (d_S[t] @ k[t][..., None])[..., 0]       # (27), (28) from S_3
        d_S_1[t] = -d_S_2[t] * beta[t][..., None] * a[t][..., None]  # (29) from S_2

        # (26) to S[t-1]: what step t sends back, one line per reader
        d_S_next = (
            d_S_1[t][..., :, None] * k[t][..., None, :]     # S_1
            + d_S[t] * a[t][..., None, None]                # S
        )

    d_pre = np.empty((T, B, 2 * K), dtype)                  # side by side, as their weights are stacked
    d_q_1 = d_pre[..., 0:K]
    d_k_1 = d_pre[..., K:2*K]
    d_beta = np.einsum("tbk,tbk->tb", d_S_2, v - a[..., None] * S_1)  # (30) from S_2
    d_beta_pre = d_beta * beta * (1 - beta)                 # (31) from beta

    # (32) fork of a: one line per reader
    d_a = (
        (-d_S_2 * beta[..., None] * S_1).sum(-1)            # S_2
        + np.einsum("tbjk,tbjk->tb", d_S, S_prev)           # S
    )

    d_a_pre = d_a * a                                       # (33) from a
    d_a_3 = -d_a_pre * exp_A                                # (34) from a_pre
    d_a_2 = d_a_3 * _sigmoid(a_2)                           # (35) from a_3
    d_v = d_S_2 * beta[..., None]                           # (37) from S_2
    d_sigmoid_v_pre = d_v * v_pre                           # (38) from v

    # (39) fork of v_pre: one line per reader
    d_v_pre = (
        d_sigmoid_v_pre * sigmoid_v_pre * (1 - sigmoid_v_pre)  # sigmoid_v_pre
        + d_v * sigmoid_v_pre                               # v
    )

    # (40) fork of k: one line per reader
    d_k = (
        (d_S_1[..., None, :] @ S_prev)[..., 0, :]           # S_1
        + (S_2[..., None, :] @ d_S)[..., 0, :]              # S_3
    )

    # (41) from k
    d_k_pre = _inverse_norm(k_pre, 1e-06)[..., None] * (d_k - k * np.einsum("tbk,tbk->tb", d_k, k)[..., None])
    d_k_2 = d_k_pre * k_1                                   # (42) from k_pre

    # (43) fork of k_1: one line per reader
    d_k_1[...] = (
        d_k_2 * k_2 * (1 - k_2)                             # k_2
        + d_k_pre * k_2                                     # k_pre
    )

    d_q = (dy[..., None, :] @ S)[..., 0, :]                 # (44) from h
    # (45) from q
    d_q_pre = _inverse_norm(q_pre, 1e-06)[..., None] * (d_q - q * np.einsum("tbk,tbk->tb", d_q, q)[..., None])
    d_q_2 = d_q_pre * q_1                                   # (46) from q_pre

    # (47) fork of q_1: one line per reader
    d_q_1[...] = (
        d_q_2 * q_2 * (1 - q_2)                             # q_2
        + d_q_pre * q_2                                     # q_pre
    )

    # (49) fork of x: one line per reader
    d_x = (
        _at_once(d_pre, W_qk)                               # q_1, k_1
        + _at_once(d_v_pre, W_v)                            # v_pre
        + d_a_2[..., None] * w_a                            # (36) a_1
        + d_beta_pre[..., None] * w_b                       # beta_pre
    )

    d_exp_A = (-d_a_pre * a_3).sum()                        # (48) from a_pre
    grads = {
        "W_qk": _sum_of_outer(d_pre, x),                    # (50), (51) from q_1, k_1
        "W_v": _sum_of_outer(d_v_pre, x),                   # (52) from v_pre
        "w_a": np.einsum("tb,tbk->k", d_a_2, x),            # (53) from a_1
        "w_b": np.einsum("tb,tbk->k", d_beta_pre, x),       # (54) from beta_pre
        "b_a": np.asarray(d_a_2.sum(), dtype),              # (55) from a_2
        "A": np.asarray(d_exp_A * exp_A, dtype),            # (56) from exp_A
    }
    return Gradients(grads, d_x, State(d_S_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: S (B, H, K), where to start; None is zero
    y_t: (B, H), h
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, H, K = _sizes(params)
    B = x_t.shape[0]
    (S_prev,) = _start(B, H, K, dtype) if state is None else state
    W_qk = params["W_qk"]
    W_v = params["W_v"]
    w_a = params["w_a"]
    w_b = params["w_b"]
    b_a = params["b_a"]
    A = params["A"]
    exp_A = np.exp(A)                                       # (12)
    W_qk_x = x_t @ W_qk.T                                   # q_1, k_1, side by side
    q_1 = W_qk_x[:, 0:K]                                    # (1)
    q_2 = _sigmoid(q_1)                                     # (2)
    q_pre = q_1 * q_2                                       # (3)
    q = _l2_norm(q_pre, 1e-6)                               # (4)
    k_1 = W_qk_x[:, K:2*K]                                  # (5)
    k_2 = _sigmoid(k_1)                                     # (6)
    k_pre = k_1 * k_2                                       # (7)
    k = _l2_norm(k_pre, 1e-6)                               # (8)
    v_pre = x_t @ W_v.T                                     # (9)
    sigmoid_v_pre = _sigmoid(v_pre)                         # (10)
    v = v_pre * sigmoid_v_pre                               # (11)
    a_1 = x_t @ w_a                                         # (13)
    a_2 = a_1 + b_a                                         # (14)
    a_3 = _softplus(a_2)                                    # (15)
    a_pre = -exp_A * a_3                                    # (16)
    a = np.exp(a_pre)                                       # (17)
    beta_pre = x_t @ w_b                                    # (18)
    beta = _sigmoid(beta_pre)                               # (19)
    S_1 = (S_prev @ k[..., None])[..., 0]                   # (20)
    S_2 = beta[..., None] * (v - a[..., None] * S_1)        # (21)
    S_3 = S_2[..., :, None] * k[..., None, :]               # (22)
    S = a[..., None, None] * S_prev + S_3                   # (23)
    h = (S @ q[..., None])[..., 0]                          # (24)
    return h, State(S)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, H, K = _sizes(params)
    return {
        "W_q": params["W_qk"][0:K],
        "W_k": params["W_qk"][K:2*K],
        "W_v": params["W_v"],
        "w_a": params["w_a"],
        "w_b": params["w_b"],
        "b_a": params["b_a"],
        "A": params["A"],
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


def _softplus(a):
    """log(1 + exp(a)) without overflow."""
    return np.maximum(a, 0) + np.log1p(np.exp(-_abs(a)))


def _sum_of_outer(d, v):
    """The sum over all steps and examples of the outer products d v^T: one matrix product."""
    return d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1])


# ---------------------------------------------------------------- shapes


def _shapes(D, H, K):
    """The shapes of the stored parameters."""
    return {
        "W_qk": (2 * K, D),
        "W_v": (H, D),
        "w_a": (D,),
        "w_b": (D,),
        "b_a": (),
        "A": (),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, H, K."""
    D = params["W_qk"].shape[1]
    H = params["W_v"].shape[0]
    K = params["W_qk"].shape[0] // 2
    return (D, H, K)


def _start(batch, H, K, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, H, K), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W_qk": ("2*K", "D"),
    "W_v": ("H", "D"),
    "w_a": ("D",),
    "w_b": ("D",),
    "b_a": (),
    "A": (),
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
    params, D, H, K = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, H, K, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, H, K = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, H, K, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, H, K = _checked_params(params, tape.dtype)
    if tape.sizes != (D, H, K):
        raise ValueError(f"the tape is of params with D, H, K = {tape.sizes}, and these have {(D, H, K)}")
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
        _checked(name + ".S", state[0], "(B, H, K)", (batch, H, K), dtype),
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
    D, H, K = _sizes(arrays)
    for name, shape in _shapes(D, H, K).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, H, K


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
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, H, K).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, H, K)),
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
    print("gated_delta_net: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
