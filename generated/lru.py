# Made by lstmgen 0.1.0 from the spec of lru. It is yours: keep it, change it, ship it.
# lstmgen: sha256:1fa856b2e2b33105
"""Linear recurrent unit: forward and backward pass in NumPy.

Time is the first axis of an array, the batch the second: T steps, B_ examples.
Sizes: D = input_size, N = state_size, P = output_size.
`c[t-1]` is c one step earlier, `d_c` the gradient of the loss at c.
The numbers of equations are those of lru.tex. One step computes

      (1)  exp_nu    = exp(nu)
      (2)  size_pre  = -exp_nu
      (3)  size      = exp(size_pre)
      (4)  exp_theta = exp(theta)
      (5)  l_re_1    = cos(exp_theta)
      (6)  l_re      = size * l_re_1
      (7)  l_im_1    = sin(exp_theta)
      (8)  l_im      = size * l_im_1
      (9)  exp_gamma = exp(gamma)
     (10)  re_1      = B_re @ x
     (11)  re        = l_re * re[t-1] - l_im * im[t-1] + exp_gamma * re_1
     (12)  im_1      = B_im @ x
     (13)  im        = l_re * im[t-1] + l_im * re[t-1] + exp_gamma * im_1
     (14)  y         = C_re @ re - C_im @ im + skip @ x
"""

from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]  # under the keys of `init_params`


class State(NamedTuple):
    """What one step hands to the next."""

    re: np.ndarray  # (B_, N)
    im: np.ndarray  # (B_, N)


class Gradients(NamedTuple):
    """What `backward` returns."""

    params: Params  # summed over steps and examples
    x: np.ndarray  # (T, B_, D)
    state: State  # at the initial state


class Tape(NamedTuple):
    """What `backward` needs to know of a forward pass. `y` is yours to read, the rest is its own."""

    y: np.ndarray
    kept: tuple
    steps: int
    batch: int
    dtype: np.dtype
    sizes: tuple  # N, D, P


def init_params(
    input_size: int, state_size: int, output_size: int, rng: int | np.random.Generator = 0, dtype: type = np.float32
) -> Params:
    """Parameters to start from. `rng` is a seed or a Generator.

    nu: (N,)
    theta: (N,)
    gamma: (N,)
    B: (2*N, D)  rows of B_re, B_im
    C_re: (P, N)
    C_im: (P, N)
    skip: (P, D)
    """
    _checked_start(dtype, input_size=input_size, state_size=state_size, output_size=output_size)
    rng = np.random.default_rng(rng)
    shapes = _shapes(input_size, state_size, output_size)
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(params)
    views["nu"][...] = -1
    for name in ("B_re", "B_im", "C_re", "C_im", "skip"):
        views[name][...] = _glorot(rng, views[name].shape)
    return params


def forward(params: Params, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State, Tape]:
    """All steps at once: (y, state, tape).

    x: (T, B_, D)
    state: re (B_, N), im (B_, N), where to start; None is zero
    y: (T, B_, P), y at every step
    """
    params, x, state, dtype = _checked_forward(params, x, state)
    N, D, P = _sizes(params)
    T, B_ = x.shape[:2]
    state = _start(B_, N, dtype) if state is None else state
    nu = params["nu"]
    theta = params["theta"]
    gamma = params["gamma"]
    B = params["B"]
    C_re = params["C_re"]
    C_im = params["C_im"]
    skip = params["skip"]
    exp_nu = np.exp(nu)                                     # (1)
    size_pre = -exp_nu                                      # (2)
    size = np.exp(size_pre)                                 # (3)
    exp_theta = np.exp(theta)                               # (4)
    l_re_1 = np.cos(exp_theta)                              # (5)
    l_re = size * l_re_1                                    # (6)
    l_im_1 = np.sin(exp_theta)                              # (7)
    l_im = size * l_im_1                                    # (8)
    exp_gamma = np.exp(gamma)                               # (9)
    B_x = _at_once(x, B.T)                                  # re_1, im_1, side by side
    re_1 = B_x[..., 0:N]                                    # (10)
    im_1 = B_x[..., N:2*N]                                  # (12)
    re_all = np.empty((T + 1, B_, N), dtype)
    re_all[0] = state.re
    re_prev, re = re_all[:-1], re_all[1:]                   # re_prev[t] is re one step earlier
    im_all = np.empty((T + 1, B_, N), dtype)
    im_all[0] = state.im
    im_prev, im = im_all[:-1], im_all[1:]                   # im_prev[t] is im one step earlier

    for t in range(T):
        re[t] = l_re * re_prev[t] - l_im * im_prev[t] + exp_gamma * re_1[t]  # (11)
        im[t] = l_re * im_prev[t] + l_im * re_prev[t] + exp_gamma * im_1[t]  # (13)
    y = _at_once(re, C_re.T) + _at_once(x, skip.T) - _at_once(im, C_im.T)  # (14)
    end = State(re_all[-1].copy(), im_all[-1].copy())
    kept = (
        x, exp_nu, size, exp_theta, l_re_1, l_re, l_im_1, l_im, exp_gamma, re_1, re_prev, re,
        im_1, im_prev, im,
    )
    tape = Tape(y, kept, T, B_, dtype, (N, D, P))
    return y, end, tape


def backward(params: Params, tape: Tape, dy: np.ndarray | None = None, dstate: State | None = None) -> Gradients:
    """The gradient of sum(dy * y) + sum(dstate * state): `Gradients`.

    dy: (T, B_, P), what reaches the outputs from outside; None is zero
    dstate: re (B_, N), im (B_, N), what reaches the final state from outside; None is zero
    """
    params, dy, dstate = _checked_backward(params, tape, dy, dstate)
    T, B_, dtype = tape.steps, tape.batch, tape.dtype
    N, D, P = _sizes(params)
    B, C_re, C_im, skip = params["B"], params["C_re"], params["C_im"], params["skip"]
    (
        x, exp_nu, size, exp_theta, l_re_1, l_re, l_im_1, l_im, exp_gamma, re_1, re_prev, re,
        im_1, im_prev, im,
    ) = tape.kept
    d_re_C_re = _at_once(dy, C_re)                          # (15) y
    d_im = np.empty((T, B_, N), dtype)
    d_re = np.empty((T, B_, N), dtype)
    d_re_next = dstate.re                                   # from outside, through the final state
    d_im_next = dstate.im                                   # from outside, through the final state

    for t in reversed(range(T)):
        # (16) fork of im: one line per reader
        d_im[t] = (
            d_im_next                                       # step t+1: re, im
            - dy[t] @ C_im                                  # y
        )

        # (18) fork of re: one line per reader
        d_re[t] = (
            d_re_next                                       # step t+1: re, im
            + d_re_C_re[t]                                  # y
        )

        # (18) to re[t-1]: what step t sends back, one line per reader
        d_re_next = (
            d_re[t] * l_re                                  # re
            + d_im[t] * l_im                                # im
        )

        # (16) to im[t-1]: what step t sends back, one line per reader
        d_im_next = (
            -d_re[t] * l_im                                 # re
            + d_im[t] * l_re                                # im
        )

    d_pre = np.empty((T, B_, 2 * N), dtype)                 # side by side, as their weights are stacked
    d_re_1 = d_pre[..., 0:N]
    d_im_1 = d_pre[..., N:2*N]
    d_im_1[...] = d_im * exp_gamma                          # (17) from im
    d_re_1[...] = d_re * exp_gamma                          # (19) from re

    # (29) fork of x: one line per reader
    d_x = (
        _at_once(d_pre, B)                                  # re_1, im_1
        + _at_once(dy, skip)                                # y
    )

    # (20) fork of exp_gamma: one line per reader
    d_exp_gamma = (
        np.einsum("tbk,tbk->k", d_re, re_1)                 # re
        + np.einsum("tbk,tbk->k", d_im, im_1)               # im
    )

    # (21) fork of l_im: one line per reader
    d_l_im = (
        (-d_re * im_prev).sum((0, 1))                       # re
        + np.einsum("tbk,tbk->k", d_im, re_prev)            # im
    )

    d_l_im_1 = d_l_im * size                                # (22) from l_im

    # (23) fork of l_re: one line per reader
    d_l_re = (
        np.einsum("tbk,tbk->k", d_re, re_prev)              # re
        + np.einsum("tbk,tbk->k", d_im, im_prev)            # im
    )

    d_l_re_1 = d_l_re * size                                # (24) from l_re

    # (25) fork of exp_theta: one line per reader
    d_exp_theta = (
        -d_l_re_1 * np.sin(exp_theta)                       # l_re_1
        + d_l_im_1 * np.cos(exp_theta)                      # l_im_1
    )

    # (26) fork of size: one line per reader
    d_size = (
        d_l_re * l_re_1                                     # l_re
        + d_l_im * l_im_1                                   # l_im
    )

    d_size_pre = d_size * size                              # (27) from size
    d_exp_nu = -d_size_pre                                  # (28) from size_pre
    grads = {
        "nu": d_exp_nu * exp_nu,                            # (30) from exp_nu
        "theta": d_exp_theta * exp_theta,                   # (31) from exp_theta
        "gamma": d_exp_gamma * exp_gamma,                   # (32) from exp_gamma
        "B": _sum_of_outer(d_pre, x),                       # (33), (34) from re_1, im_1
        "C_re": _sum_of_outer(dy, re),                      # (35) from y
        "C_im": _sum_of_outer(-dy, im),                     # (36) from y
        "skip": _sum_of_outer(dy, x),                       # (37) from y
    }
    return Gradients(grads, d_x, State(d_re_next, d_im_next))


def step(params: Params, x_t: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
    """One step and no tape: (y_t, state).

    x_t: (B_, D)
    state: re (B_, N), im (B_, N), where to start; None is zero
    y_t: (B_, P), y
    """
    params, x_t, state, dtype = _checked_step(params, x_t, state)
    N, D, P = _sizes(params)
    B_ = x_t.shape[0]
    re_prev, im_prev = _start(B_, N, dtype) if state is None else state
    nu = params["nu"]
    theta = params["theta"]
    gamma = params["gamma"]
    B = params["B"]
    C_re = params["C_re"]
    C_im = params["C_im"]
    skip = params["skip"]
    exp_nu = np.exp(nu)                                     # (1)
    size_pre = -exp_nu                                      # (2)
    size = np.exp(size_pre)                                 # (3)
    exp_theta = np.exp(theta)                               # (4)
    l_re_1 = np.cos(exp_theta)                              # (5)
    l_re = size * l_re_1                                    # (6)
    l_im_1 = np.sin(exp_theta)                              # (7)
    l_im = size * l_im_1                                    # (8)
    exp_gamma = np.exp(gamma)                               # (9)
    B_x = x_t @ B.T                                         # re_1, im_1, side by side
    re_1 = B_x[:, 0:N]                                      # (10)
    im_1 = B_x[:, N:2*N]                                    # (12)
    re = l_re * re_prev - l_im * im_prev + exp_gamma * re_1  # (11)
    im = l_re * im_prev + l_im * re_prev + exp_gamma * im_1  # (13)
    y = re @ C_re.T + x_t @ skip.T - im @ C_im.T            # (14)
    return y, State(re, im)


def named(params: Params) -> Params:
    """The parameters, or their gradients, under the names of the spec: views, never copies."""
    _checked_keys(params)
    N, D, P = _sizes(params)
    return {
        "nu": params["nu"],
        "theta": params["theta"],
        "gamma": params["gamma"],
        "B_re": params["B"][0:N],
        "B_im": params["B"][N:2*N],
        "C_re": params["C_re"],
        "C_im": params["C_im"],
        "skip": params["skip"],
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


def _sum_of_outer(d, v):
    """The sum over all steps and examples of the outer products d v^T: one matrix product."""
    return d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1])


# ---------------------------------------------------------------- shapes


def _shapes(D, N, P):
    """The shapes of the stored parameters."""
    return {
        "nu": (N,),
        "theta": (N,),
        "gamma": (N,),
        "B": (2 * N, D),
        "C_re": (P, N),
        "C_im": (P, N),
        "skip": (P, D),
    }


def _sizes(params):
    """The sizes that the parameters' shapes tell: N, D, P."""
    N = params["nu"].shape[0]
    D = params["B"].shape[1]
    P = params["C_re"].shape[0]
    return (N, D, P)


def _start(batch, N, dtype):
    """The initial state where none is given."""
    return State(
        np.zeros((batch, N), dtype),
        np.zeros((batch, N), dtype),
    )


def _or_zeros(given, like):
    """What comes from outside; None is zero, in whole or in part."""
    given = (None,) * len(like) if given is None else given
    return type(like)(*(np.zeros_like(b) if a is None else a for a, b in zip(given, like)))


# ---------------------------------------------------------------- checks of arguments


_AXES = {
    "nu": ("N",),
    "theta": ("N",),
    "gamma": ("N",),
    "B": ("2*N", "D"),
    "C_re": ("P", "N"),
    "C_im": ("P", "N"),
    "skip": ("P", "D"),
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
    params, N, D, P = _checked_params(params, dtype)
    x = _checked("x", x, "(T, B_, D)", (None, None, D), dtype)
    T, B_ = x.shape[:2]
    return params, x, _checked_state("state", state, B_, N, dtype), dtype


def _checked_step(params, x_t, state):
    """The arguments of `step` as arrays of one type, and that type."""
    dtype = _dtype(params, state, x_t)
    params, N, D, P = _checked_params(params, dtype)
    x_t = _checked("x_t", x_t, "(B_, D)", (None, D), dtype)
    B_ = x_t.shape[0]
    return params, x_t, _checked_state("state", state, B_, N, dtype), dtype


def _checked_backward(params, tape, dy, dstate):
    """The arguments of `backward` as arrays of the tape's type, with zeros for None."""
    if not isinstance(tape, Tape):
        raise ValueError(f"tape is {type(tape).__name__}, expected the Tape that `forward` returned")
    _checked_keys(params)
    params, N, D, P = _checked_params(params, tape.dtype)
    if tape.sizes != (N, D, P):
        raise ValueError(f"the tape is of params with N, D, P = {tape.sizes}, and these have {(N, D, P)}")
    dy = np.zeros_like(tape.y) if dy is None else _checked("dy", dy, "(T, B_, P)", tape.y.shape, tape.dtype)
    _checked_fields("dstate", dstate, State)
    dstate = _or_zeros(dstate, _start(tape.batch, N, tape.dtype))
    dstate = _checked_state("dstate", dstate, tape.batch, N, tape.dtype)
    return params, dy, dstate


def _checked_state(name, state, batch, N, dtype):
    """A state as arrays of its shapes; None stays None."""
    if state is None:
        return None
    return State(
        _checked(name + ".re", state[0], "(B_, N)", (batch, N), dtype),
        _checked(name + ".im", state[1], "(B_, N)", (batch, N), dtype),
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
    N, D, P = _sizes(arrays)
    for name, shape in _shapes(D, N, P).items():
        if arrays[name].shape != shape:
            _checked(f"params['{name}']", arrays[name], _told(_AXES[name]), shape, dtype)
    return arrays, N, D, P


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
    P = 5
    params = {name: np.asarray(rng.uniform(-1, 1, shape)) for name, shape in _shapes(D, N, P).items()}
    arguments = [
        rng.uniform(-1, 1, (steps, batch, D)),
    ]
    state = State(
        rng.uniform(-1, 1, (batch, N)),
        rng.uniform(-1, 1, (batch, N)),
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
        print(f"  {name:<8} {error:8.1e}")
        worst = max(worst, error)
    return worst


if __name__ == "__main__":
    print("lru: backward against complex-step derivatives, relative error")
    largest = _self_check()
    print(f"  {'correct' if largest <= 1e-12 else 'WRONG'}: the largest is {largest:.1e}, the bound 1.0e-12")
    raise SystemExit(0 if largest <= 1e-12 else 1)
