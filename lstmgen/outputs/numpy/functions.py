"""The functions of the language in NumPy: one entry for each that a stage or a derivative may call.

Macros have none: the graph has put in what they stand for. `tests/test_functions.py` holds the table complete.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """How a call is written."""

    call: str  # with {a}, {b}, {c} in place of the arguments
    helper: str = ""  # the file in templates/numpy/helpers that holds the function called, without its ending


TABLE: dict[str, Code] = {
    "sigmoid": Code("_sigmoid({a})", "sigmoid"),
    "tanh": Code("np.tanh({a})"),
    "relu": Code("np.maximum({a}, 0)"),
    "leaky_relu": Code("np.where({a} > 0, {a}, 0.01 * {a})"),
    "elu": Code("_elu({a})", "elu"),
    "softplus": Code("_softplus({a})", "softplus"),
    "softsign": Code("_softsign({a})", "softsign"),
    "exp": Code("np.exp({a})"),
    "expm1": Code("np.expm1({a})"),
    "log": Code("np.log({a})"),
    "log1p": Code("np.log1p({a})"),
    "erf": Code("_erf({a})", "erf"),
    "logsigmoid": Code("-_softplus(-{a})", "softplus"),
    "sqrt": Code("np.sqrt({a})"),
    "rsqrt": Code("1 / np.sqrt({a})"),
    "abs": Code("_abs({a})", "abs"),
    "sin": Code("np.sin({a})"),
    "cos": Code("np.cos({a})"),
    "sign": Code("_sign({a})", "sign"),
    "floor": Code("_floor({a})", "floor"),
    "max": Code("np.maximum({a}, {b})"),
    "min": Code("np.minimum({a}, {b})"),
    "clip": Code("np.minimum(np.maximum({a}, {b}), {c})"),
    "surrogate": Code("_surrogate({a}, {b}, {c})", "surrogate"),
    "sum": Code("{a}.sum(-1)"),
    "mean": Code("{a}.mean(-1)"),
    "logsumexp": Code("_logsumexp({a})", "logsumexp"),
    "softmax": Code("_softmax({a})", "softmax"),
    "cumsum": Code("np.cumsum({a}, axis=-1)"),
    "layer_norm": Code("_layer_norm({a}, {b})", "layer_norm"),
    "rms_norm": Code("_rms_norm({a}, {b})", "rms_norm"),
    "l2_norm": Code("_l2_norm({a}, {b})", "l2_norm"),
    "dot": Code("({a} * {b}).sum(-1)"),
    "outer": Code("{a}[..., :, None] * {b}[..., None, :]"),
    "transpose": Code("np.swapaxes({a}, -1, -2)"),
    "fill": Code("_fill({a}, {b})", "fill"),
    "heads": Code("_heads({a}, {b})", "heads"),
    "flat": Code("_flat({a})", "flat"),
    "repeat": Code("np.repeat({a}, {b}, axis=-1)"),
    "concat": Code("np.concatenate([{a}], axis=-1)"),
    "part": Code("_part({a}, {b}, {c})", "part"),
    "ones": Code("np.ones({a})"),
    "eye": Code("np.eye({a})"),
    "triangle": Code("np.tri({a})"),
    "Array": Code("np.array({a})"),
    "stop_gradient": Code("_stop_gradient({a})", "stop_gradient"),
    "clip_gradient": Code("_clip_gradient({a}, {b})", "clip_gradient"),
    # what the adjoints of these need
    "Reverse_cumsum": Code("_reverse_cumsum({a})", "reverse_cumsum"),
    "Inverse_std": Code("_inverse_std({a}, {b})", "inverse_std"),
    "Inverse_rms": Code("_inverse_rms({a}, {b})", "inverse_rms"),
    "Inverse_norm": Code("_inverse_norm({a}, {b})", "inverse_norm"),
    "Clip": Code("_clipped({a}, {b})", "clipped"),
    "Bell": Code("1.1283791670955126 * np.exp(-({a} ** 2))"),
    "Fold": Code("_fold({a}, {b})", "fold"),
    "Place": Code("_place({a}, {b}, {c})", "place"),
    "Slice": Code("{a}[..., {b}:{c}]"),
}
