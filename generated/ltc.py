# Made by lstmgen 0.1.0 from the spec of ltc. It is yours: keep it, change it, ship it.
# lstmgen: sha256:1713b6e9d4305e87
"""Liquid time-constant cell: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of ltc.tex. One step computes

      (1)  ones_H  = ones(H)
      (2)  a_s_1   = outer(ones_H, x)
      (3)  a_s_2   = k_s * (a_s_1 - mu_s)
      (4)  a_s_3   = sigmoid(a_s_2)
      (5)  a_s     = w_s * a_s_3
      (6)  s       = 2 * cm / dt
      (7)  a_s_e_s = a_s * e_s
      (8)  top_1   = sum(a_s_e_s)
      (9)  top     = leak * v_leak + top_1
     (10)  sum_a_s = sum(a_s)
     (11)  below   = leak + sum_a_s + s
     (12)  a_1     = outer(ones_H, v[t-1])
     (13)  a_2     = k * (a_1 - mu)
     (14)  a_3     = sigmoid(a_2)
     (15)  a       = w * a_3
     (16)  a_e     = a * e
     (17)  u_1     = sum(a_e)
     (18)  sum_a   = sum(a)
     (19)  u       = (s * v[t-1] + u_1 + top) / (below + sum_a)
     (20)  b_1     = outer(ones_H, u)
     (21)  b_2     = k * (b_1 - mu)
     (22)  b_3     = sigmoid(b_2)
     (23)  b       = w * b_3
     (24)  b_e     = b * e
     (25)  v_1     = sum(b_e)
     (26)  sum_b   = sum(b)
     (27)  v       = (s * u + v_1 + top) / (below + sum_b)
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    v: np.ndarray  # (B, H)


class Gradients(NamedTuple):
    """What `backward` returns."""

    params: Params  # summed over steps and examples
    x: np.ndarray  # (T, B, D)
    dt: np.ndarray  # (T, B)
    state: State  # at the initial state


class Tape(NamedTuple):
    """What `backward` needs to know of a forward pass. `y` is yours to read, the rest is its own."""

    y: np.ndarray
    kept: tuple
    steps: int
    batch: int
    dtype: np.dtype
    sizes: tuple  # H, D


def init_params(
    input_size: int, hidden_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    w_s: (H, D)
    mu_s: (H, D)
    k_s: (H, D)
    e_s: (H, D)
    w: (H, H)
    mu: (H, H)
    k: (H, H)
    e: (H, H)
    leak: (H,)
    v_leak: (H,)
    cm: (H,)
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    views["w_s"][...] = _uniform(rng, views["w_s"].shape)
    for name in ("mu_s", "k_s", "e_s"):
        views[name][...] = _glorot(rng, views[name].shape)
    views["w"][...] = _uniform(rng, views["w"].shape)
    for name in ("mu", "k", "e"):
        views[name][...] = _glorot(rng, views[name].shape)
    for name in ("leak", "cm"):
        views[name][...] = 1
    return params


def forward(
    params: Params, x: np.ndarray, dt: np.ndarray, state: State | None = None
) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    dt: (T, B)
    state: v (B, H), where to start; None is zero
    y: (T, B, H), v at every step
    """
    params, x, dt, state, dtype = _checked_forward(params, x, dt, state)
    H, D = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, dtype) if state is None else state
    w_s = params["w_s"]
    mu_s = params["mu_s"]
    k_s = params["k_s"]
    e_s = params["e_s"]
    w = params["w"]
    mu = params["mu"]
    k = params["k"]
    e = params["e"]
    leak = params["leak"]
    v_leak = params["v_leak"]
    cm = params["cm"]
    ones_H = np.ones(H, dtype=dtype)                        # (1)
    a_s_1 = ones_H[..., :, None] * x[..., None, :]          # (2)
    a_s_2 = k_s * (a_s_1 - mu_s)                            # (3)
    a_s_3 = _sigmoid(a_s_2)                                 # (4)
    a_s = w_s * a_s_3                                       # (5)
    s = 2 * cm / dt[..., None]                              # (6)
    a_s_e_s = a_s * e_s                                     # (7)
    top_1 = a_s_e_s.sum(-1)                                 # (8)
    top = leak * v_leak + top_1                             # (9)
    sum_a_s = a_s.sum(-1)                                   # (10)
    below = leak + sum_a_s + s                              # (11)
    v_all = np.empty((T + 1, B, H), dtype)
    v_all[0] = state.v
    v_prev, v = v_all[:-1], v_all[1:]                       # v_prev[t] is v one step earlier
    a_1, a_3, a, b_1, b_3, b = np.empty((6, T, B, H, H), dtype)
    u_1, sum_a, u, v_1, sum_b = np.empty((5, T, B, H), dtype)

    for t in range(T):
        a_1[t] = ones_H[..., :, None] * v_prev[t][..., None, :]  # (12)
        a_2 = k * (a_1[t] - mu)                             # (13)
        a_3[t] = _sigmoid(a_2)                              # (14)
        a[t] = w * a_3[t]                                   # (15)
        a_e = a[t] * e                                      # (16)
        u_1[t] = a_e.sum(-1)                                # (17)
        sum_a[t] = a[t].sum(-1)                             # (18)
        u[t] = (s[t] * v_prev[t] + u_1[t] + top[t]) / (below[t] + sum_a[t])  # (19)
        b_1[t] = ones_H[..., :, None] * u[t][..., None, :]  # (20)
        b_2 = k * (b_1[t] - mu)                             # (21)
        b_3[t] = _sigmoid(b_2)                              # (22)
        b[t] = w * b_3[t]                                   # (23)
        b_e = b[t] * e                                      # (24)
        v_1[t] = b_e.sum(-1)                                # (25)
        sum_b[t] = b[t].sum(-1)                             # (26)
        v[t] = (s[t] * u[t] + v_1[t] + top[t]) / (below[t] + sum_b[t])  # (27)
    end = State(v_all[-1].copy())
    kept = (
        dt, ones_H, a_s_1, a_s_3, a_s, s, top, below, a_1, a_3, a, u_1, sum_a, u, b_1, b_3, b,
        v_1, sum_b, v_prev,
    )
    tape = Tape(v, kept, T, B, dtype, (H, D))
    return v, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: v (B, H), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    H, D = _sizes(params)
    w_s = params["w_s"]
    mu_s = params["mu_s"]
    k_s = params["k_s"]
    e_s = params["e_s"]
    w = params["w"]
    mu = params["mu"]
    k = params["k"]
    e = params["e"]
    leak = params["leak"]
    v_leak = params["v_leak"]
    cm = params["cm"]
    (
        dt, ones_H, a_s_1, a_s_3, a_s, s, top, below, a_1, a_3, a, u_1, sum_a, u, b_1, b_3, b,
        v_1, sum_b, v_prev,
    ) = tape.kept
    d_v = np.empty((T, B, H), dtype)
    d_b_e = np.empty((T, B, H, H), dtype)
    d_b = np.empty((T, B, H, H), dtype)
    d_b_2 = np.empty((T, B, H, H), dtype)
    d_u = np.empty((T, B, H), dtype)
    d_a_e = np.empty((T, B, H, H), dtype)
    d_a = np.empty((T, B, H, H), dtype)
    d_a_2 = np.empty((T, B, H, H), dtype)
    d_v_next = dstate.v                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (28) fork of v: one line per reader
        d_v[t] = (
            d_v_next                                        # step t+1: a_1, u
            + dy[t]                                         # from outside, through the output
        )

        d_sum_b = -d_v[t] * (s[t] * u[t] + v_1[t] + top[t]) / (below[t] + sum_b[t]) ** 2  # (29) from v
        d_v_1 = d_v[t] / (below[t] + sum_b[t])              # (30) from v
        d_b_e[t] = _fill(d_v_1, H)                          # (31) from v_1

        # (32) fork of b: one line per reader
        d_b[t] = (
            d_b_e[t] * e                                    # b_e
            + d_sum_b[..., None]                            # sum_b
        )

        d_b_3 = d_b[t] * w                                  # (33) from b
        d_b_2[t] = d_b_3 * b_3[t] * (1 - b_3[t])            # (34) from b_3
        d_b_1 = d_b_2[t] * k                                # (35) from b_2

        # (36) fork of u: one line per reader
        d_u[t] = (
            (ones_H[..., None, :] @ d_b_1)[..., 0, :]       # b_1
            + d_v[t] * s[t] / (below[t] + sum_b[t])         # v
        )

        d_sum_a = -d_u[t] * (s[t] * v_prev[t] + u_1[t] + top[t]) / (below[t] + sum_a[t]) ** 2  # (37) from u
        d_u_1 = d_u[t] / (below[t] + sum_a[t])              # (38) from u
        d_a_e[t] = _fill(d_u_1, H)                          # (39) from u_1

        # (40) fork of a: one line per reader
        d_a[t] = (
            d_a_e[t] * e                                    # a_e
            + d_sum_a[..., None]                            # sum_a
        )

        d_a_3 = d_a[t] * w                                  # (41) from a
        d_a_2[t] = d_a_3 * a_3[t] * (1 - a_3[t])            # (42) from a_3
        d_a_1 = d_a_2[t] * k                                # (43) from a_2

        # (28) to v[t-1]: what step t sends back, one line per reader
        d_v_next = (
            (ones_H[..., None, :] @ d_a_1)[..., 0, :]       # a_1
            + d_u[t] * s[t] / (below[t] + sum_a[t])         # u
        )

    # (44) fork of below: one line per reader
    d_below = (
        -d_u * (s * v_prev + u_1 + top) / (below + sum_a) ** 2  # u
        - d_v * (s * u + v_1 + top) / (below + sum_b) ** 2  # v
    )

    # (46) fork of top: one line per reader
    d_top = (
        d_u / (below + sum_a)                               # u
        + d_v / (below + sum_b)                             # v
    )

    d_a_s_e_s = _fill(d_top, D)                             # (47), (48) from top_1

    # (49) fork of s: one line per reader
    d_s = (
        d_below                                             # below
        + d_u * v_prev / (below + sum_a)                    # u
        + d_v * u / (below + sum_b)                         # v
    )

    # (50) fork of a_s: one line per reader
    d_a_s = (
        d_a_s_e_s * e_s                                     # a_s_e_s
        + d_below[..., None]                                # (45) sum_a_s
    )

    d_a_s_3 = d_a_s * w_s                                   # (51) from a_s
    d_a_s_2 = d_a_s_3 * a_s_3 * (1 - a_s_3)                 # (52) from a_s_3
    d_a_s_1 = d_a_s_2 * k_s                                 # (53) from a_s_2
    d_x = (ones_H[..., None, :] @ d_a_s_1)[..., 0, :]       # (54) from a_s_1
    d_dt = (-2 * d_s * cm / (dt ** 2)[..., None]).sum(-1)   # (55) from s
    grads = {
        "w_s": np.einsum("tbjk,tbjk->jk", d_a_s, a_s_3),    # (56) from a_s
        "mu_s": (-d_a_s_2 * k_s).sum((0, 1)),               # (57) from a_s_2
        "k_s": np.einsum("tbjk,tbjk->jk", d_a_s_2, a_s_1 - mu_s),  # (58) from a_s_2
        "e_s": np.einsum("tbjk,tbjk->jk", d_a_s_e_s, a_s),  # (59) from a_s_e_s
        "w": np.einsum("tbjk,tbjk->jk", d_a, a_3) + np.einsum("tbjk,tbjk->jk", d_b, b_3),  # (60) from a, b
        "mu": (-d_a_2 * k).sum((0, 1)) + (-d_b_2 * k).sum((0, 1)),  # (61) from a_2, b_2
        # (62) from a_2, b_2
        "k": np.einsum("tbjk,tbjk->jk", d_a_2, a_1 - mu) + np.einsum("tbjk,tbjk->jk", d_b_2, b_1 - mu),
        "e": np.einsum("tbjk,tbjk->jk", d_a_e, a) + np.einsum("tbjk,tbjk->jk", d_b_e, b),  # (63) from a_e, b_e
        "leak": (d_top * v_leak).sum((0, 1)) + d_below.sum((0, 1)),  # (64) from top, below
        "v_leak": (d_top * leak).sum((0, 1)),               # (65) from top
        "cm": (2 * d_s / dt[..., None]).sum((0, 1)),        # (66) from s
    }
    return Gradients(grads, d_x, d_dt, State(d_v_next))


def step(params: Params, x_t: np.ndarray, dt_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    dt_t: (B,)
    state: v (B, H), where to start; None is zero
    y_t: (B, H), v
    """
    params, x_t, dt_t, state, dtype = _checked_step(params, x_t, dt_t, state)
    H, D = _sizes(params)
    B = x_t.shape[0]
    (v_prev,) = _start(B, H, dtype) if state is None else state
    w_s = params["w_s"]
    mu_s = params["mu_s"]
    k_s = params["k_s"]
    e_s = params["e_s"]
    w = params["w"]
    mu = params["mu"]
    k = params["k"]
    e = params["e"]
    leak = params["leak"]
    v_leak = params["v_leak"]
    cm = params["cm"]
    ones_H = np.ones(H, dtype=dtype)                        # (1)
    a_s_1 = ones_H[..., :, None] * x_t[..., None, :]        # (2)
    a_s_2 = k_s * (a_s_1 - mu_s)                            # (3)
    a_s_3 = _sigmoid(a_s_2)                                 # (4)
    a_s = w_s * a_s_3                                       # (5)
    s = 2 * cm / dt_t[..., None]                            # (6)
    a_s_e_s = a_s * e_s                                     # (7)
    top_1 = a_s_e_s.sum(-1)                                 # (8)
    top = leak * v_leak + top_1                             # (9)
    sum_a_s = a_s.sum(-1)                                   # (10)
    below = leak + sum_a_s + s                              # (11)
    a_1 = ones_H[..., :, None] * v_prev[..., None, :]       # (12)
    a_2 = k * (a_1 - mu)                                    # (13)
    a_3 = _sigmoid(a_2)                                     # (14)
    a = w * a_3                                             # (15)
    a_e = a * e                                             # (16)
    u_1 = a_e.sum(-1)                                       # (17)
    sum_a = a.sum(-1)                                       # (18)
    u = (s * v_prev + u_1 + top) / (below + sum_a)          # (19)
    b_1 = ones_H[..., :, None] * u[..., None, :]            # (20)
    b_2 = k * (b_1 - mu)                                    # (21)
    b_3 = _sigmoid(b_2)                                     # (22)
    b = w * b_3                                             # (23)
    b_e = b * e                                             # (24)
    v_1 = b_e.sum(-1)                                       # (25)
    sum_b = b.sum(-1)                                       # (26)
    v = (s * u + v_1 + top) / (below + sum_b)               # (27)
    return v, State(v)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    return {
        "w_s": params["w_s"],
        "mu_s": params["mu_s"],
        "k_s": params["k_s"],
        "e_s": params["e_s"],
        "w": params["w"],
        "mu": params["mu"],
        "k": params["k"],
        "e": params["e"],
        "leak": params["leak"],
        "v_leak": params["v_leak"],
        "cm": params["cm"],
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


def _fill(a, n):
    """Every entry n times along a new last axis."""
    return np.repeat(np.asarray(a)[..., None], n, axis=-1)


def _glorot(rng, shape):
    """Uniform, with the variance 2 / (rows + columns) of Glorot and Bengio 2010."""
    sides = shape[-2:] or (1,)
    limit = np.sqrt(6 / (sides[0] + sides[-1]))
    return rng.uniform(-limit, limit, shape)


def _uniform(rng, shape):
    """Uniform in +-1 / sqrt(columns)."""
    limit = 1 / np.sqrt(shape[-1] if shape else 1)
    return rng.uniform(-limit, limit, shape)


def _sigmoid(a):
    """1 / (1 + exp(-a)), accurate to the last digits where it is close to 0: it is divided by or logged."""
    return np.exp(np.minimum(a, 0)) / (1 + np.exp(-_abs(a)))


# ---------------------------------------------------------------- shapes


def _shapes(D, H):
    """The shapes of the stored parameters."""
    return {
        "w_s": (H, D),
        "mu_s": (H, D),
        "k_s": (H, D),
        "e_s": (H, D),
        "w": (H, H),
        "mu": (H, H),
        "k": (H, H),
        "e": (H, H),
        "leak": (H,),
        "v_leak": (H,),
        "cm": (H,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: H, D."""
    H = params["w_s"].shape[0]
    D = params["w_s"].shape[1]
    return (H, D)


def _start(batch, H, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, H), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "w_s": ("H", "D"),
    "mu_s": ("H", "D"),
    "k_s": ("H", "D"),
    "e_s": ("H", "D"),
    "w": ("H", "H"),
    "mu": ("H", "H"),
    "k": ("H", "H"),
    "e": ("H", "H"),
    "leak": ("H",),
    "v_leak": ("H",),
    "cm": ("H",),
}


def _checked_start(dtype, **sizes):
    """Whether parameters can be of a type and of sizes."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"{name} is {size!r}, expected a whole number from 1 on")
    if np.dtype(dtype) not in (np.float32, np.float64, np.complex128):
        raise ValueError(f"dtype is {np.dtype(dtype)}, expected float32, float64 or complex128")


def _checked_forward(params, x, dt, state):
    """The arguments of `forward` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x, dt)
    params, H, D = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    dt = _checked("dt", dt, "(T, B)", (T, B), dtype)
    return params, x, dt, _checked_state("state", state, B, H, dtype), dtype


def _checked_step(params, x_t, dt_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t, dt_t)
    params, H, D = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    dt_t = _checked("dt_t", dt_t, "(B,)", (B,), dtype)
    return params, x_t, dt_t, _checked_state("state", state, B, H, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, H, D = _checked_params(params, tape.dtype)
    if tape.sizes != (H, D):
        raise ValueError(f"the tape is of params with H, D = {tape.sizes}, and these have {(H, D)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, H)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, H, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, H, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, H, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".v", state[0], "(B, H)", (batch, H), dtype),
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
    H, D = _sizes(arrays)
    for name, shape in _shapes(D, H).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, H, D


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
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, H).items()}
    named(params)["leak"][...] = rng.uniform(0.5, 1, named(params)["leak"].shape)
    named(params)["cm"][...] = rng.uniform(0.5, 1, named(params)["cm"].shape)
    named(params)["w"][...] = rng.uniform(0.1, 1, named(params)["w"].shape)
    named(params)["w_s"][...] = rng.uniform(0.1, 1, named(params)["w_s"].shape)
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
        rng.uniform(0.1, 1, (steps, batch)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, H)),
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
    for place, name in enumerate(['x', 'dt']):
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
    print("ltc: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
