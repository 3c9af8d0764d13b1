# Made by lstmgen 0.1.0 from the spec of aaren. It is yours: keep it, change it, ship it.
# lstmgen: sha256:c989b0c660cf943b
"""Attention as a recurrent network, Aaren: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B examples.
Sizes: D = input_size, H = hidden_size, K = key_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of aaren.tex. One step computes

      (1)  s_1     = W_k @ x
      (2)  s_2     = dot(q, s_1)
      (3)  s       = s_2 / sqrt(K)
      (4)  v       = W_v @ x
      (5)  m       = max(m[t-1], s)
      (6)  old_pre = m[t-1] - m
      (7)  old     = exp(old_pre)
      (8)  new_pre = s - m
      (9)  new     = exp(new_pre)
     (10)  a       = old * a[t-1] + new * v
     (11)  c       = old * c[t-1] + new
     (12)  o       = a / c
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    a: np.ndarray  # (B, H)
    c: np.ndarray  # (B,)
    m: np.ndarray  # (B,)


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
    sizes: tuple  # K, D, H


def init_params(
    input_size: int, hidden_size: int, key_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    W_k: (K, D)
    W_v: (H, D)
    q: (K,)
    """
    _checked_start(dtype, input_size=input_size, hidden_size=hidden_size, key_size=key_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, hidden_size, key_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    for name in ("W_k", "W_v"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B, D)
    state: a (B, H), c (B,), m (B,), where to start; None is a = 0, c = 0, m = -inf
    y: (T, B, H), o at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    K, D, H = _sizes(params)
    T, B = x.shape[:2]
    state = _start(B, H, dtype) if state is None else state
    W_k, W_v, q = params["W_k"], params["W_v"], params["q"]
    s_1 = _at_once(x, W_k.T)                                # (1)
    s_2 = s_1 @ q                                           # (2)
    s = s_2 / float(np.sqrt(K))                             # (3)
    v = _at_once(x, W_v.T)                                  # (4)
    a_all = np.empty((T + 1, B, H), dtype)
    a_all[0] = state.a
    a_prev, a = a_all[:-1], a_all[1:]                       # a_prev[t] is a one step earlier
    c_all = np.empty((T + 1, B), dtype)
    c_all[0] = state.c
    c_prev, c = c_all[:-1], c_all[1:]                       # c_prev[t] is c one step earlier
    m_all = np.empty((T + 1, B), dtype)
    m_all[0] = state.m
    m_prev, m = m_all[:-1], m_all[1:]                       # m_prev[t] is m one step earlier
    old, new = np.empty((2, T, B), dtype)

    for t in range(T):
        m[t] = np.maximum(m_prev[t], s[t])                  # (5)
        old_pre = m_prev[t] - m[t]                          # (6)
        old[t] = np.exp(old_pre)                            # (7)
        new_pre = s[t] - m[t]                               # (8)
        new[t] = np.exp(new_pre)                            # (9)
        a[t] = old[t][..., None] * a_prev[t] + new[t][..., None] * v[t]  # (10)
        c[t] = old[t] * c_prev[t] + new[t]                  # (11)
    o = a / c[..., None]                                    # (12)
    end = State(a_all[-1].copy(), c_all[-1].copy(), m_all[-1].copy())
    kept = (x, s_1, s, v, m_prev, old, new, a_prev, a, c_prev, c)
    tape = Tape(o, kept, T, B, dtype, (K, D, H))
    return o, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B, H), what reaches the outputs from outside; None is zero
    dstate: a (B, H), c (B,), m (B,), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B, dtype = tape.steps, tape.batch, tape.dtype
    K, D, H = _sizes(params)
    W_k, W_v, q = params["W_k"], params["W_v"], params["q"]
    x, s_1, s, v, m_prev, old, new, a_prev, a, c_prev, c = tape.kept
    d_a = np.empty((T, B, H), dtype)
    d_new_pre = np.empty((T, B), dtype)
    d_m = np.empty((T, B), dtype)
    d_a_next = dstate.a                                     # from outside, through the final state
    d_c_next = dstate.c                                     # from outside, through the final state
    d_m_next = dstate.m                                     # from outside, through the final state

    for t in reversed(range(T)):
        # (14) fork of c: one line per reader
        d_c = (
            d_c_next                                        # step t+1: c
            + (-dy[t] * a[t] / (c[t] ** 2)[..., None]).sum(-1)  # (13) o
        )

        # (15) fork of a: one line per reader
        d_a[t] = (
            d_a_next                                        # step t+1: a
            + dy[t] / c[t][..., None]                       # o
        )

        # (16) fork of new: one line per reader
        d_new = (
            np.einsum("bk,bk->b", d_a[t], v[t])             # a
            + d_c                                           # c
        )

        d_new_pre[t] = d_new * new[t]                       # (17) from new

        # (18) fork of old: one line per reader
        d_old = (
            np.einsum("bk,bk->b", d_a[t], a_prev[t])        # a
            + d_c * c_prev[t]                               # c
        )

        d_old_pre = d_old * old[t]                          # (19) from old

        # (20) fork of m: one line per reader
        d_m[t] = (
            d_m_next                                        # step t+1: m, old_pre
            - d_old_pre                                     # old_pre
            - d_new_pre[t]                                  # new_pre
        )

        d_a_next = d_a[t] * old[t][..., None]               # (15) to a[t-1], from a
        d_c_next = d_c * old[t]                             # (14) to c[t-1], from c

        # (20) to m[t-1]: what step t sends back, one line per reader
        d_m_next = (
            _if_larger(m_prev[t], s[t], d_m[t])             # m
            + d_old_pre                                     # old_pre
        )

    d_v = d_a * new[..., None]                              # (21) from a

    # (22) fork of s: one line per reader
    d_s = (
        _if_larger(s, m_prev, d_m)                          # m
        + d_new_pre                                         # new_pre
    )

    d_s_2 = d_s / float(np.sqrt(K))                         # (23) from s
    d_s_1 = d_s_2[..., None] * q                            # (24) from s_2

    # (25) fork of x: one line per reader
    d_x = (
        _at_once(d_s_1, W_k)                                # s_1
        + _at_once(d_v, W_v)                                # v
    )
    grads = {
        "W_k": _sum_of_outer(d_s_1, x),                     # (26) from s_1
        "W_v": _sum_of_outer(d_v, x),                       # (27) from v
        "q": np.einsum("tb,tbk->k", d_s_2, s_1),            # (28) from s_2
    }
    return Gradients(grads, d_x, State(d_a_next, d_c_next, d_m_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B, D)
    state: a (B, H), c (B,), m (B,), where to start; None is a = 0, c = 0, m = -inf
    y_t: (B, H), o
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    K, D, H = _sizes(params)
    B = x_t.shape[0]
    a_prev, c_prev, m_prev = _start(B, H, dtype) if state is None else state
    W_k, W_v, q = params["W_k"], params["W_v"], params["q"]
    s_1 = x_t @ W_k.T                                       # (1)
    s_2 = s_1 @ q                                           # (2)
    s = s_2 / float(np.sqrt(K))                             # (3)
    v = x_t @ W_v.T                                         # (4)
    m = np.maximum(m_prev, s)                               # (5)
    old_pre = m_prev - m                                    # (6)
    old = np.exp(old_pre)                                   # (7)
    new_pre = s - m                                         # (8)
    new = np.exp(new_pre)                                   # (9)
    a = old[..., None] * a_prev + new[..., None] * v        # (10)
    c = old * c_prev + new                                  # (11)
    o = a / c[..., None]                                    # (12)
    return o, State(a, c, m)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    return {
        "W_k": params["W_k"],
        "W_v": params["W_v"],
        "q": params["q"],
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


def _if_larger(a, b, d):
    """d where a > b, half of it at a tie, else 0: what max(a, b) sends back to a. A tenth of the time of np.where."""
    half = 0.5 * d
    return half * (a > b) + half * (a >= b)


def _glorot(rng, shape):
    """Uniform, with the variance 2 / (rows + columns) of Glorot and Bengio 2010."""
    sides = shape[-2:] or (1,)
    limit = np.sqrt(6 / (sides[0] + sides[-1]))
    return rng.uniform(-limit, limit, shape)


def _sum_of_outer(d, v):
    """The sum over all steps and examples of the outer products d v^T: one matrix product."""
    return d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1])


# ---------------------------------------------------------------- shapes


def _shapes(D, H, K):
    """The shapes of the stored parameters."""
    return {
        "W_k": (K, D),
        "W_v": (H, D),
        "q": (K,),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: K, D, H."""
    K = params["W_k"].shape[0]
    D = params["W_k"].shape[1]
    H = params["W_v"].shape[0]
    return (K, D, H)


def _start(batch, H, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, H), dtype),
        np.zeros((batch,), dtype),
        np.full((batch,), -np.inf, dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "W_k": ("K", "D"),
    "W_v": ("H", "D"),
    "q": ("K",),
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
    params, K, D, H = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B, D)", (None, None, D), dtype)
    T, B = x.shape[:2]
    return params, x, _checked_state("state", state, B, H, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, K, D, H = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B, D)", (None, D), dtype)
    B = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B, H, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, K, D, H = _checked_params(params, tape.dtype)
    if tape.sizes != (K, D, H):
        raise ValueError(f"the tape is of params with K, D, H = {tape.sizes}, and these have {(K, D, H)}")
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
        _checked(name + ".a", state[0], "(B, H)", (batch, H), dtype),
        _checked(name + ".c", state[1], "(B,)", (batch,), dtype),
        _checked(name + ".m", state[2], "(B,)", (batch,), dtype),
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
    K, D, H = _sizes(arrays)
    for name, shape in _shapes(D, H, K).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, K, D, H


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
        rng.uniform(-1, 1, (batch, H)),
        rng.uniform(0.5, 2, (batch,)),
        rng.uniform(-1, 1, (batch,)),
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
    print("aaren: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
