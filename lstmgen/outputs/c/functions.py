"""How C calls the functions of the language. `templates/c/runtime.c` defines them."""

from __future__ import annotations

POINTWISE = {
    "sigmoid": "real_sigmoid", "tanh": "real_tanh", "relu": "real_relu", "leaky_relu": "real_leaky_relu",
    "elu": "real_elu", "softplus": "real_softplus", "softsign": "real_softsign", "exp": "real_exp", "log": "real_log",
    "logsigmoid": "real_logsigmoid", "sqrt": "real_sqrt", "rsqrt": "real_rsqrt", "abs": "real_abs", "sin": "real_sin",
    "cos": "real_cos", "sign": "real_sign", "floor": "real_floor", "max": "real_max", "min": "real_min",
    "clip": "real_clip", "expm1": "real_expm1", "log1p": "real_log1p", "erf": "real_erf", "Bell": "real_bell",
    "surrogate": "real_surrogate", "Clip": "real_clipped",
}

# y and a, b are rows; p is an exact number. The first argument has n rows of m entries (a vector is one row) and e entries
# in all, l is the length of the last argument's last axis, r of the result's.
OPERATIONS = {
    "sum": "op_sum({y}, {a}, {n}, {m})",
    "mean": "op_mean({y}, {a}, {n}, {m})",
    "logsumexp": "op_logsumexp({y}, {a}, {n}, {m})",
    "softmax": "op_softmax({y}, {a}, {n}, {m})",
    "cumsum": "op_cumsum({y}, {a}, {n}, {m})",
    "Reverse_cumsum": "op_reverse_cumsum({y}, {a}, {n}, {m})",
    "layer_norm": "op_layer_norm({y}, {a}, {p}, {n}, {m})",
    "rms_norm": "op_rms_norm({y}, {a}, {p}, {n}, {m})",
    "l2_norm": "op_l2_norm({y}, {a}, {p}, {n}, {m})",
    "Inverse_rms": "op_inverse_rms({y}, {a}, {p}, {n}, {m})",
    "Inverse_norm": "op_inverse_norm({y}, {a}, {p}, {n}, {m})",
    "Inverse_std": "op_inverse_std({y}, {a}, {p}, {n}, {m})",
    "dot": "op_dot({y}, {a}, {b}, {n}, {m})",
    "outer": "op_outer({y}, {a}, {b}, {m}, {l})",
    "transpose": "op_transpose({y}, {a}, {n}, {m})",
    "repeat": "op_repeat({y}, {a}, {p}, {n}, {m})",
    "Fold": "op_fold({y}, {a}, {p}, {n}, {r})",
    "fill": "op_fill({y}, {a}, {e}, {r})",
    "ones": "op_ones({y}, {w})",
    "eye": "op_eye({y}, {r})",
    "triangle": "op_triangle({y}, {r})",
    "Array": "op_array({y}, (const real[]){{{entries}}}, {w})",
    "matvec": "op_matvec({y}, {a}, {b}, {n}, {m})",
    "matvec_turned": "op_matvec_turned({y}, {a}, {b}, {n}, {m})",
    "matmul": "op_matmul({y}, {a}, {b}, {n}, {m}, {l})",
}

# How many axes of an argument belong to one head, if it has an axis of heads in front.
OF_ONE_HEAD = {"outer": (1, 1), "transpose": (2,), "matvec": (2, 1), "matvec_turned": (2, 1), "matmul": (2, 2)}

TABLE = {**POINTWISE, **OPERATIONS}

# What becomes columns, or entries, or nothing at all: `lines.py` and `schedule/pieces.py` know how.
NO_CALLS = frozenset({"concat", "part", "Slice", "Place", "stop_gradient", "clip_gradient", "heads", "flat"})
