# Made by lstmgen 0.1.0 from the spec of gated_delta_net_heads. It is yours: keep it, change it, ship it.
# lstmgen: sha256:3e41119b18f0bb2b
"""Gated DeltaNet with heads: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, N = heads, G = head_size, K = key_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of gated_delta_net_heads.tex. One step computes

      (1)  q_1      = W_q @ x
      (2)  q_2      = sigmoid(q_1)
      (3)  q_3      = q_1 * q_2
      (4)  q_pre    = heads(q_3, N)
      (5)  q        = l2_norm(q_pre)
      (6)  k_1      = W_k @ x
      (7)  k_2      = sigmoid(k_1)
      (8)  k_3      = k_1 * k_2
      (9)  k_pre    = heads(k_3, N)
     (10)  k        = l2_norm(k_pre)
     (11)  v_1      = W_v @ x
     (12)  v_2      = sigmoid(v_1)
     (13)  v_pre    = v_1 * v_2
     (14)  v        = heads(v_pre, N)
     (15)  exp_A    = exp(A)
     (16)  a_1      = W_a @ x + b_a
     (17)  a_2      = softplus(a_1)
     (18)  a_pre    = -exp_A * a_2
     (19)  a        = exp(a_pre)
     (20)  beta_pre = W_b @ x
     (21)  beta     = sigmoid(beta_pre)
     (22)  faded    = fill(fill(a, G), K) * S[t-1]
     (23)  S_1      = v - faded @ k
     (24)  S_2      = fill(beta, G) * S_1
     (25)  S_3      = outer(S_2, k)
     (26)  S        = faded + S_3
     (27)  y_pre    = S @ q
     (28)  y        = flat(y_pre)
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    S: np.ndarray  # (B, N, G, K)


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
    W_ab: (2*N, D)  rows of W_a, W_b
    b_a: (N,)
    A: (N,)
    """
    _checked_start(dtype, input_size=input_size, heads=heads, head_size=head_size, key_size=key_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, heads, head_size, key_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_q", "W_k", "W_v", "W_a", "W_b"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: S (B, N, G, K), where to start; None is zero
    y: (T, B, G*N), y at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, N, G, K = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, N, G, K, dtype) if state is None else state
    W_qk, W_v, W_ab, b_a, A = params["W_qk"], params["W_v"], params["W_ab"], params["b_a"], params["A"]
    exp_A = np.exp(A)                                       # (15)
    W_qk_x = _at_once(x, W_qk.T)                            # q_1, k_1, side by side
    W_ab_x = _at_once(x, W_ab.T)                            # a_1, beta_pre, side by side
    q_1 = W_qk_x[..., 0:K*N]                                # (1)
    q_2 = _sigmoid(q_1)                                     # (2)
    q_3 = q_1 * q_2                                         # (3)
    q_pre = _heads(q_3, N)                                  # (4)
    q = _l2_norm(q_pre, 1e-6)                               # (5)
    k_1 = W_qk_x[..., K*N:2*K*N]                            # (6)
    k_2 = _sigmoid(k_1)                                     # (7)
    k_3 = k_1 * k_2                                         # (8)
    k_pre = _heads(k_3, N)                                  # (9)
    k = _l2_norm(k_pre, 1e-6)                               # (10)
    v_1 = _at_once(x, W_v.T)                                # (11)
    v_2 = _sigmoid(v_1)                                     # (12)
    v_pre = v_1 * v_2                                       # (13)
    v = _heads(v_pre, N)                                    # (14)
    a_1 = W_ab_x[..., 0:N] + b_a                            # (16)
    a_2 = _softplus(a_1)                                    # (17)
    a_pre = -exp_A * a_2                                    # (18)
    a = np.exp(a_pre)                                       # (19)
    beta = _sigmoid(W_ab_x[..., N:2*N])                     # (20), (21)
    S_all = np.empty((T + 1, B, N, G, K), dtype)
    S_all[0] = state.S
    S_prev, S = S_all[:-1], S_all[1:]                       # S_prev[t] is S one step earlier
    faded = np.empty((T, B, N, G, K), dtype)
    S_1, S_2 = np.empty((2, T, B, N, G), dtype)

    for t in range(T):
        faded[t] = a[t][..., None, None] * S_prev[t]        # (22)
        S_1[t] = v[t] - (faded[t] @ k[t][..., None])[..., 0]  # (23)
        S_2[t] = beta[t][..., None] * S_1[t]                # (24)
        S_3 = S_2[t][..., :, None] * k[t][..., None, :]     # (25)
        S[t] = faded[t] + S_3                               # (26)
    y_pre = (S @ q[..., None])[..., 0]                      # (27)
    y = _flat(y_pre)                                        # (28)
    end = State(S_all[-1].copy())
    kept = (
        x, q_1, q_2, q_pre, q, k_1, k_2, k_pre, k, v_1, v_2, exp_A, a_1, a_2, a, beta, faded,
        S_1, S_2, S_prev, S,
    )
    tape = Tape(y, kept, T, B, dtype, (D, N, G, K))
    return y, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, G*N), what reaches the outputs from outside; None is zero
    dstate: S (B, N, G, K), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, N, G, K = _sizes(params)
    W_qk, W_v, W_ab = params["W_qk"], params["W_v"], params["W_ab"]
    (
        x, q_1, q_2, q_pre, q, k_1, k_2, k_pre, k, v_1, v_2, exp_A, a_1, a_2, a, beta, faded,
        S_1, S_2, S_prev, S,
    ) = tape.kept
    d_y_pre = _heads(dy, N)                                 # (29), (30) from y
    d_S_3 = np.empty((T, B, N, G, K), dtype)
    d_S_2 = np.empty((T, B, N, G), dtype)
    d_S_1 = np.empty((T, B, N, G), dtype)
    d_faded = np.empty((T, B, N, G, K), dtype)
    d_S_next = dstate.S                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (31) fork of S: one line per reader
        d_S = (
            d_S_next                                        # step t+1: faded
            + d_y_pre[t][..., :, None] * q[t][..., None, :]  # y_pre
        )

        d_S_3[t] = d_S                                      # (32) from S
        d_S_2[t] = (d_S_3[t] @ k[t][..., None])[..., 0]     # (33) from S_3
        d_S_1[t] = d_S_2[t] * beta[t][..., None]            # (34) from S_2

        # (35) fork of faded: one line per reader
        d_faded[t] = (
            (-d_S_1[t])[..., :, None] * k[t][..., None, :]  # S_1
            + d_S                                           # S
        )

        d_S_next = d_faded[t] * a[t][..., None, None]       # (31) to S[t-1], from faded
    d_pre_qk = np.empty((T, B, 2 * K * N), dtype)           # side by side, as their weights are stacked
    d_q_1 = d_pre_qk[..., 0:K*N]
    d_k_1 = d_pre_qk[..., K*N:2*K*N]
    d_pre_a_beta = np.empty((T, B, 2 * N), dtype)           # side by side, as their weights are stacked
    d_a_1 = d_pre_a_beta[..., 0:N]
    d_beta_pre = d_pre_a_beta[..., N:2*N]
    d_beta = np.einsum("tbjk,tbjk->tbj", d_S_2, S_1)        # (36) from S_2
    d_beta_pre[...] = d_beta * beta * (1 - beta)            # (37) from beta
    d_a = np.einsum("tbijk,tbijk->tbi", d_faded, S_prev)    # (38) from faded
    d_a_pre = d_a * a                                       # (39) from a
    d_a_2 = -d_a_pre * exp_A                                # (40) from a_pre
    d_a_1[...] = d_a_2 * _sigmoid(a_1)                      # (41) from a_2
    d_v_pre = _flat(d_S_1)                                  # (42), (43) from v
    d_v_2 = d_v_pre * v_1                                   # (44) from v_pre

    # (45) fork of v_1: one line per reader
    d_v_1 = (
        d_v_2 * v_2 * (1 - v_2)                             # v_2
        + d_v_pre * v_2                                     # v_pre
    )

    # (46) fork of k: one line per reader
    d_k = (
        -(d_S_1[..., None, :] @ faded)[..., 0, :]           # S_1
        + (S_2[..., None, :] @ d_S_3)[..., 0, :]            # S_3
    )

    # (47) from k
    d_k_pre = _inverse_norm(k_pre, 1e-06)[..., None] * (d_k - k * np.einsum("tbjk,tbjk->tbj", d_k, k)[..., None])
    d_k_3 = _flat(d_k_pre)                                  # (48) from k_pre
    d_k_2 = d_k_3 * k_1                                     # (49) from k_3

    # (50) fork of k_1: one line per reader
    d_k_1[...] = (
        d_k_2 * k_2 * (1 - k_2)                             # k_2
        + d_k_3 * k_2                                       # k_3
    )

    d_q = (d_y_pre[..., None, :] @ S)[..., 0, :]            # (51) from y_pre
    # (52) from q
    d_q_pre = _inverse_norm(q_pre, 1e-06)[..., None] * (d_q - q * np.einsum("tbjk,tbjk->tbj", d_q, q)[..., None])
    d_q_3 = _flat(d_q_pre)                                  # (53) from q_pre
    d_q_2 = d_q_3 * q_1                                     # (54) from q_3

    # (55) fork of q_1: one line per reader
    d_q_1[...] = (
        d_q_2 * q_2 * (1 - q_2)                             # q_2
        + d_q_3 * q_2                                       # q_3
    )

    # (57) fork of x: one line per reader
    d_x = (
        _at_once(d_pre_qk, W_qk)                            # q_1, k_1
        + _at_once(d_v_1, W_v)                              # v_1
        + _at_once(d_pre_a_beta, W_ab)                      # a_1, beta_pre
    )

    d_exp_A = (-d_a_pre * a_2).sum((0, 1))                  # (56) from a_pre
    grads = {
        "W_qk": _sum_of_outer(d_pre_qk, x),                 # (58), (59) from q_1, k_1
        "W_v": _sum_of_outer(d_v_1, x),                     # (60) from v_1
        "W_ab": _sum_of_outer(d_pre_a_beta, x),             # (61), (62) from a_1, beta_pre
        "b_a": d_a_1.sum((0, 1)),                           # (63) from a_1
        "A": d_exp_A * exp_A,                               # (64) from exp_A
    }
    return Gradients(grads, d_x, State(d_S_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: S (B, N, G, K), where to start; None is zero
    y_t: (B, G*N), y
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, N, G, K = _sizes(params)
    B = x_t.shape[0]
    (S_prev,) = _start(B, N, G, K, dtype) if state is None else state
    W_qk, W_v, W_ab, b_a, A = params["W_qk"], params["W_v"], params["W_ab"], params["b_a"], params["A"]
    exp_A = np.exp(A)                                       # (15)
    W_qk_x = x_t @ W_qk.T                                   # q_1, k_1, side by side
    W_ab_x = x_t @ W_ab.T                                   # a_1, beta_pre, side by side
    q_1 = W_qk_x[:, 0:K*N]                                  # (1)
    q_2 = _sigmoid(q_1)                                     # (2)
    q_3 = q_1 * q_2                                         # (3)
    q_pre = _heads(q_3, N)                                  # (4)
    q = _l2_norm(q_pre, 1e-6)                               # (5)
    k_1 = W_qk_x[:, K*N:2*K*N]                              # (6)
    k_2 = _sigmoid(k_1)                                     # (7)
    k_3 = k_1 * k_2                                         # (8)
    k_pre = _heads(k_3, N)                                  # (9)
    k = _l2_norm(k_pre, 1e-6)                               # (10)
    v_1 = x_t @ W_v.T                                       # (11)
    v_2 = _sigmoid(v_1)                                     # (12)
    v_pre = v_1 * v_2                                       # (13)
    v = _heads(v_pre, N)                                    # (14)
    a_1 = W_ab_x[:, 0:N] + b_a                              # (16)
    a_2 = _softplus(a_1)                                    # (17)
    a_pre = -exp_A * a_2                                    # (18)
    a = np.exp(a_pre)                                       # (19)
    beta = _sigmoid(W_ab_x[:, N:2*N])                       # (20), (21)
    faded = a[..., None, None] * S_prev                     # (22)
    S_1 = v - (faded @ k[..., None])[..., 0]                # (23)
    S_2 = beta[..., None] * S_1                             # (24)
    S_3 = S_2[..., :, None] * k[..., None, :]               # (25)
    S = faded + S_3                                         # (26)
    y_pre = (S @ q[..., None])[..., 0]                      # (27)
    y = _flat(y_pre)                                        # (28)
    return y, State(S)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, N, G, K = _sizes(params)
    return {
        "W_q": params["W_qk"][0:K*N],
        "W_k": params["W_qk"][K*N:2*K*N],
        "W_v": params["W_v"],
        "W_a": params["W_ab"][0:N],
        "W_b": params["W_ab"][N:2*N],
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


def _softplus(a):
    """log(1 + exp(a)) without overflow."""
    return np.maximum(a, 0) + np.log1p(np.exp(-_abs(a)))


def _sum_of_outer(d, v):
    """The sum over all steps and examples of the outer products d v^T: one matrix product."""
    return d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1])


# ---------------------------------------------------------------- shapes


def _shapes(D, N, G, K):
    """The shapes of the stored parameters."""
    return {
        "W_qk": (2 * K * N, D),
        "W_v": (G * N, D),
        "W_ab": (2 * N, D),
        "b_a": (N,),
        "A": (N,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, N, G, K."""
    D = params["W_qk"].shape[1]
    N = params["b_a"].shape[0]
    G = params["W_v"].shape[0] // N
    K = params["W_qk"].shape[0] // (2 * N)
    return (D, N, G, K)


def _start(batch, N, G, K, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, N, G, K), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W_qk": ("2*K*N", "D"),
    "W_v": ("G*N", "D"),
    "W_ab": ("2*N", "D"),
    "b_a": ("N",),
    "A": ("N",),
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
        _checked(name + ".S", state[0], "(B, N, G, K)", (batch, N, G, K), dtype),
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
    D = 3
    N = 4
    G = 5
    K = 6
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, N, G, K).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, N, G, K)),
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
    print("gated_delta_net_heads: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
