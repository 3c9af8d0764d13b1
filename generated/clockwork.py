# Made by lstmgen 0.1.0 from the spec of clockwork. It is yours: keep it, change it, ship it.
# lstmgen: sha256:094075e4e009dfc1
"""Clockwork RNN: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, G = module_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of clockwork.tex. One step computes

      (1)  n     = n[t-1] + 1
      (2)  k_pre = W_k @ x + R_kk @ k[t-1] + R_kl @ l[t-1] + R_km @ m[t-1] + b_k
      (3)  k     = tanh(k_pre)
      (4)  l_1   = n / 2
      (5)  l_2   = floor(l_1)
      (6)  l_3   = n - 2 * l_2
      (7)  l_4   = W_l @ x + R_ll @ l[t-1] + R_lm @ m[t-1] + b_l
      (8)  l_5   = tanh(l_4)
      (9)  l     = where(l_3 < 0.5, l_5, l[t-1])
     (10)  m_1   = n / 4
     (11)  m_2   = floor(m_1)
     (12)  m_3   = n - 4 * m_2
     (13)  m_4   = W_m @ x + R_mm @ m[t-1] + b_m
     (14)  m_5   = tanh(m_4)
     (15)  m     = where(m_3 < 0.5, m_5, m[t-1])
     (16)  y     = concat(k, l, m)
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    k: np.ndarray  # (B, G)
    l: np.ndarray  # (B, G)
    m: np.ndarray  # (B, G)
    n: np.ndarray  # (B,)


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
    sizes: tuple  # D, G


def init_params(
    input_size: int, module_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W: (3*G, D)  rows of W_k, W_l, W_m
    R_kk: (G, G)
    R_kl_ll: (2*G, G)  rows of R_kl, R_ll
    R_km_lm_mm: (3*G, G)  rows of R_km, R_lm, R_mm
    b: (3*G,)  rows of b_k, b_l, b_m
    """
    _checked_start(dtype, input_size=input_size, module_size=module_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, module_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_k", "W_l", "W_m", "R_kk", "R_kl", "R_km", "R_ll", "R_lm", "R_mm"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: k (B, G), l (B, G), m (B, G), n (B,), where to start; None is zero
    y: (T, B, 3*G), y at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    D, G = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, G, dtype) if state is None else state
    W, R_kk, R_kl_ll, R_km_lm_mm, b = params["W"], params["R_kk"], params["R_kl_ll"], params["R_km_lm_mm"], params["b"]
    pre = _at_once(x, W.T)                                  # for all steps at once: k_pre, l_4, m_4
    pre += b
    k_all = np.empty((T + 1, B, G), dtype)
    k_all[0] = state.k
    k_prev, k = k_all[:-1], k_all[1:]                       # k_prev[t] is k one step earlier
    l_all = np.empty((T + 1, B, G), dtype)
    l_all[0] = state.l
    l_prev, l = l_all[:-1], l_all[1:]                       # l_prev[t] is l one step earlier
    m_all = np.empty((T + 1, B, G), dtype)
    m_all[0] = state.m
    m_prev, m = m_all[:-1], m_all[1:]                       # m_prev[t] is m one step earlier
    n_all = np.empty((T + 1, B), dtype)
    n_all[0] = state.n
    n_prev, n = n_all[:-1], n_all[1:]                       # n_prev[t] is n one step earlier
    l_3, m_3 = np.empty((2, T, B), dtype)
    l_5, m_5 = np.empty((2, T, B, G), dtype)
    R_km_lm_mm_T = _transposed(R_km_lm_mm) if B > 1 else R_km_lm_mm.T  # laid out as the loop reads it
    R_kl_ll_T = _transposed(R_kl_ll) if B > 1 else R_kl_ll.T  # laid out as the loop reads it
    R_kk_T = _transposed(R_kk) if B > 1 else R_kk.T         # laid out as the loop reads it

    for t in range(T):
        pre[t] += m_prev[t] @ R_km_lm_mm_T                  # k_pre, l_4, m_4, side by side
        R_kl_ll_l = l_prev[t] @ R_kl_ll_T                   # k_pre, l_4, side by side
        n[t] = n_prev[t] + 1                                # (1)
        k_pre = pre[t, :, 0:G] + k_prev[t] @ R_kk_T + R_kl_ll_l[:, 0:G]  # (2)
        k[t] = np.tanh(k_pre)                               # (3)
        l_1 = n[t] / 2                                      # (4)
        l_2 = _floor(l_1)                                   # (5)
        l_3[t] = n[t] - 2 * l_2                             # (6)
        l_4 = pre[t, :, G:2*G] + R_kl_ll_l[:, G:2*G]        # (7)
        l_5[t] = np.tanh(l_4)                               # (8)
        l[t] = np.where(l_3[t][..., None] < 0.5, l_5[t], l_prev[t])  # (9)
        m_1 = n[t] / 4                                      # (10)
        m_2 = _floor(m_1)                                   # (11)
        m_3[t] = n[t] - 4 * m_2                             # (12)
        m_5[t] = np.tanh(pre[t, :, 2*G:3*G])                # (13), (14)
        m[t] = np.where(m_3[t][..., None] < 0.5, m_5[t], m_prev[t])  # (15)
    y = np.concatenate([k, l, m], axis=-1)                  # (16)
    end = State(k_all[-1].copy(), l_all[-1].copy(), m_all[-1].copy(), n_all[-1].copy())
    kept = (x, k_prev, k, l_3, l_5, l_prev, m_3, m_5, m_prev)
    tape = Tape(y, kept, T, B, dtype, (D, G))
    return y, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, 3*G), what reaches the outputs from outside; None is zero
    dstate: k (B, G), l (B, G), m (B, G), n (B,), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    D, G = _sizes(params)
    W, R_kk, R_kl_ll, R_km_lm_mm = params["W"], params["R_kk"], params["R_kl_ll"], params["R_km_lm_mm"]
    x, k_prev, k, l_3, l_5, l_prev, m_3, m_5, m_prev = tape.kept
    d_pre = np.empty((T, B, 3 * G), dtype)                  # side by side, as their weights are stacked
    d_k_pre = d_pre[..., 0:G]
    d_l_4 = d_pre[..., G:2*G]
    d_m_4 = d_pre[..., 2*G:3*G]
    d_k_next = dstate.k                                     # from outside, through the final state
    d_l_next = dstate.l                                     # from outside, through the final state
    d_m_next = dstate.m                                     # from outside, through the final state
    d_n_next = dstate.n                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (18) fork of m: one line per reader
        d_m = (
            d_m_next                                        # step t+1: k_pre, l_4, m_4, m
            + dy[t][..., 2*G:3*G]                           # (17) y
        )

        d_m_5 = d_m * (m_3[t][..., None] < 0.5)             # (19) from m
        d_m_4[t] = d_m_5 * (1 - m_5[t] ** 2)                # (20) from m_5

        # (21) fork of l: one line per reader
        d_l = (
            d_l_next                                        # step t+1: k_pre, l_4, l
            + dy[t][..., G:2*G]                             # y
        )

        d_l_5 = d_l * (l_3[t][..., None] < 0.5)             # (22) from l
        d_l_4[t] = d_l_5 * (1 - l_5[t] ** 2)                # (23) from l_5

        # (24) fork of k: one line per reader
        d_k = (
            d_k_next                                        # step t+1: k_pre
            + dy[t][..., 0:G]                               # y
        )

        d_k_pre[t] = d_k * (1 - k[t] ** 2)                  # (25) from k
        d_n = d_n_next                                      # (26) from step t+1: n
        d_k_next = d_pre[t, :, 0:G] @ R_kk                  # (24) to k[t-1], from k_pre

        # (21) to l[t-1]: what step t sends back, one line per reader
        d_l_next = (
            d_pre[t, :, 0:2*G] @ R_kl_ll                    # k_pre, l_4
            + np.where(l_3[t][..., None] < 0.5, 0, d_l)     # l
        )

        # (18) to m[t-1]: what step t sends back, one line per reader
        d_m_next = (
            d_pre[t] @ R_km_lm_mm                           # k_pre, l_4, m_4
            + np.where(m_3[t][..., None] < 0.5, 0, d_m)     # m
        )

        d_n_next = d_n                                      # (26) to n[t-1], from n
    d_x = _at_once(d_pre, W)                                # (27) from k_pre, l_4, m_4
    grads = {
        "W": _sum_of_outer(d_pre, x),                       # (28) to (30) from k_pre, l_4, m_4
        "R_kk": _sum_of_outer(d_k_pre, k_prev),             # (31) from k_pre
        "R_kl_ll": _sum_of_outer(d_pre[..., 0:2*G], l_prev),  # (32), (34) from k_pre, l_4
        "R_km_lm_mm": _sum_of_outer(d_pre, m_prev),         # (33), (35), (36) from k_pre, l_4, m_4
        "b": d_pre.sum((0, 1)),                             # (37) to (39) from k_pre, l_4, m_4
    }
    return Gradients(grads, d_x, State(d_k_next, d_l_next, d_m_next, d_n_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: k (B, G), l (B, G), m (B, G), n (B,), where to start; None is zero
    y_t: (B, 3*G), y
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    D, G = _sizes(params)
    B = x_t.shape[0]
    k_prev, l_prev, m_prev, n_prev = _start(B, G, dtype) if state is None else state
    W, R_kk, R_kl_ll, R_km_lm_mm, b = params["W"], params["R_kk"], params["R_kl_ll"], params["R_km_lm_mm"], params["b"]
    pre = x_t @ W.T + m_prev @ R_km_lm_mm.T + b             # k_pre, l_4, m_4, side by side
    R_kl_ll_l = l_prev @ R_kl_ll.T                          # k_pre, l_4, side by side
    n = n_prev + 1                                          # (1)
    k_pre = pre[:, 0:G] + k_prev @ R_kk.T + R_kl_ll_l[:, 0:G]  # (2)
    k = np.tanh(k_pre)                                      # (3)
    l_1 = n / 2                                             # (4)
    l_2 = _floor(l_1)                                       # (5)
    l_3 = n - 2 * l_2                                       # (6)
    l_4 = pre[:, G:2*G] + R_kl_ll_l[:, G:2*G]               # (7)
    l_5 = np.tanh(l_4)                                      # (8)
    l = np.where(l_3[..., None] < 0.5, l_5, l_prev)         # (9)
    m_1 = n / 4                                             # (10)
    m_2 = _floor(m_1)                                       # (11)
    m_3 = n - 4 * m_2                                       # (12)
    m_5 = np.tanh(pre[:, 2*G:3*G])                          # (13), (14)
    m = np.where(m_3[..., None] < 0.5, m_5, m_prev)         # (15)
    y = np.concatenate([k, l, m], axis=-1)                  # (16)
    return y, State(k, l, m, n)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    D, G = _sizes(params)
    return {
        "W_k": params["W"][0:G],
        "W_l": params["W"][G:2*G],
        "W_m": params["W"][2*G:3*G],
        "R_kk": params["R_kk"],
        "R_kl": params["R_kl_ll"][0:G],
        "R_km": params["R_km_lm_mm"][0:G],
        "R_ll": params["R_kl_ll"][G:2*G],
        "R_lm": params["R_km_lm_mm"][G:2*G],
        "R_mm": params["R_km_lm_mm"][2*G:3*G],
        "b_k": params["b"][0:G],
        "b_l": params["b"][G:2*G],
        "b_m": params["b"][2*G:3*G],
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


def _shapes(D, G):
    """The shapes of the stored parameters."""
    return {
        "W": (3 * G, D),
        "R_kk": (G, G),
        "R_kl_ll": (2 * G, G),
        "R_km_lm_mm": (3 * G, G),
        "b": (3 * G,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: D, G."""
    D = params["W"].shape[1]
    G = params["R_kk"].shape[0]
    return (D, G)


def _start(batch, G, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, G), dtype),
        np.zeros((batch, G), dtype),
        np.zeros((batch, G), dtype),
        np.zeros((batch,), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W": ("3*G", "D"),
    "R_kk": ("G", "G"),
    "R_kl_ll": ("2*G", "G"),
    "R_km_lm_mm": ("3*G", "G"),
    "b": ("3*G",),
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
    params, D, G = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, G, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, D, G = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, G, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, D, G = _checked_params(params, tape.dtype)
    if tape.sizes != (D, G):
        raise ValueError(f"the tape is of params with D, G = {tape.sizes}, and these have {(D, G)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B, 3*G)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, G, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, G, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, G, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".k", state[0], "(B, G)", (batch, G), dtype),
        _checked(name + ".l", state[1], "(B, G)", (batch, G), dtype),
        _checked(name + ".m", state[2], "(B, G)", (batch, G), dtype),
        _checked(name + ".n", state[3], "(B,)", (batch,), dtype),
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
    D, G = _sizes(arrays)
    for name, shape in _shapes(D, G).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, D, G


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
    G = 4
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, G).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, G)),
        rng.uniform(-1, 1, (batch, G)),
        rng.uniform(-1, 1, (batch, G)),
        rng.uniform(0, 8, (batch,)),
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
        print(f"  {name:<10} {error:8.1e}")
        worst = max(worst, error)
    return worst


if __name__ == "__main__":
    print("clockwork: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
