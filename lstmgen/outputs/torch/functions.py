"""The functions of the language in PyTorch: one entry for each that a stage or a derivative may call.

Macros have none: the graph has put in what they stand for. `tests/test_torch_output.py` holds the table complete.
"""

from __future__ import annotations

from ..numpy.functions import Code

TABLE: dict[str, Code] = {
    "sigmoid": Code("torch.sigmoid({a})"),
    "tanh": Code("torch.tanh({a})"),
    "relu": Code("torch.relu({a})"),
    "leaky_relu": Code("torch.where({a} > 0, {a}, 0.01 * {a})"),
    "elu": Code("_elu({a})", "elu"),
    "softplus": Code("_softplus({a})", "softplus"),
    "softsign": Code("_softsign({a})", "softsign"),
    "exp": Code("torch.exp({a})"),
    "expm1": Code("torch.expm1({a})"),
    "log": Code("torch.log({a})"),
    "log1p": Code("torch.log1p({a})"),
    "erf": Code("torch.erf({a})"),
    "logsigmoid": Code("-_softplus(-{a})", "softplus"),
    "sqrt": Code("torch.sqrt({a})"),
    "rsqrt": Code("torch.rsqrt({a})"),
    "abs": Code("torch.abs({a})"),
    "sin": Code("torch.sin({a})"),
    "cos": Code("torch.cos({a})"),
    "sign": Code("torch.sign({a})"),
    "floor": Code("torch.floor({a})"),
    "max": Code("torch.maximum({a}, {b})"),
    "min": Code("torch.minimum({a}, {b})"),
    "clip": Code("torch.minimum(torch.maximum({a}, {b}), {c})"),
    "surrogate": Code("_surrogate({a}, {b}, {c})", "surrogate"),
    "sum": Code("{a}.sum(-1)"),
    "mean": Code("{a}.mean(-1)"),
    "logsumexp": Code("torch.logsumexp({a}, -1)"),
    "softmax": Code("torch.softmax({a}, -1)"),
    "cumsum": Code("torch.cumsum({a}, -1)"),
    "layer_norm": Code("_layer_norm({a}, {b})", "layer_norm"),
    "rms_norm": Code("_rms_norm({a}, {b})", "rms_norm"),
    "l2_norm": Code("_l2_norm({a}, {b})", "l2_norm"),
    "dot": Code("({a} * {b}).sum(-1)"),
    "outer": Code("{a}[..., :, None] * {b}[..., None, :]"),
    "transpose": Code("{a}.transpose(-1, -2)"),
    "fill": Code("_fill({a}, {b})", "fill"),
    "heads": Code("_heads({a}, {b})", "heads"),
    "flat": Code("_flat({a})", "flat"),
    "repeat": Code("torch.repeat_interleave({a}, {b}, -1)"),
    "concat": Code("torch.cat([{a}], -1)"),
    "part": Code("{a}.chunk({c}, -1)[{b}]"),
    "ones": Code("torch.ones({a})"),
    "eye": Code("torch.eye({a})"),
    "triangle": Code("torch.ones({a}, {a}).tril()"),
    "Array": Code("torch.tensor({a})"),
    "stop_gradient": Code("{a}.detach()"),
    "clip_gradient": Code("{a}"),
    # what the adjoints of these need
    "Reverse_cumsum": Code("_reverse_cumsum({a})", "reverse_cumsum"),
    "Inverse_std": Code("_inverse_std({a}, {b})", "inverse_std"),
    "Inverse_rms": Code("_inverse_rms({a}, {b})", "inverse_rms"),
    "Inverse_norm": Code("_inverse_norm({a}, {b})", "inverse_norm"),
    "Clip": Code("torch.clamp({a}, -{b}, {b})"),
    "Bell": Code("1.1283791670955126 * torch.exp(-({a} ** 2))"),
    "Fold": Code("_fold({a}, {b})", "fold"),
    "Place": Code("_place({a}, {b}, {c})", "place"),
    "Slice": Code("{a}[..., {b}:{c}]"),
}

# Beside a number, these are one call that takes numbers: a tensor of the number would have to be copied to the device.
BESIDE_NUMBER = {"max": "torch.clamp({a}, min={b})", "min": "torch.clamp({a}, max={b})"}
