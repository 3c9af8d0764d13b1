"""The functions of the language in JAX: one entry for each that a stage or a derivative may call.

Macros have none: the graph has put in what they stand for. `tests/test_jax.py` holds the table complete.
"""

from __future__ import annotations

from ..numpy.functions import Code

# The helpers lie in templates/jax/helpers.
TABLE: dict[str, Code] = {
    "sigmoid": Code("jax.nn.sigmoid({a})"),
    "tanh": Code("jnp.tanh({a})"),
    "relu": Code("jnp.maximum({a}, 0)"),
    "leaky_relu": Code("jnp.where({a} > 0, {a}, 0.01 * {a})"),
    "elu": Code("jax.nn.elu({a})"),
    "softplus": Code("jax.nn.softplus({a})"),
    "softsign": Code("jax.nn.soft_sign({a})"),
    "exp": Code("jnp.exp({a})"),
    "expm1": Code("jnp.expm1({a})"),
    "log": Code("jnp.log({a})"),
    "log1p": Code("jnp.log1p({a})"),
    "erf": Code("jax.scipy.special.erf({a})"),
    "logsigmoid": Code("jax.nn.log_sigmoid({a})"),
    "sqrt": Code("jnp.sqrt({a})"),
    "rsqrt": Code("1 / jnp.sqrt({a})"),
    "abs": Code("jnp.abs({a})"),
    "sin": Code("jnp.sin({a})"),
    "cos": Code("jnp.cos({a})"),
    "sign": Code("jnp.sign({a})"),
    "floor": Code("jnp.floor({a})"),
    "max": Code("jnp.maximum({a}, {b})"),
    "min": Code("jnp.minimum({a}, {b})"),
    "clip": Code("jnp.minimum(jnp.maximum({a}, {b}), {c})"),
    "surrogate": Code("_surrogate({a}, {b}, {c})", "surrogate"),
    "sum": Code("{a}.sum(-1)"),
    "mean": Code("{a}.mean(-1)"),
    "logsumexp": Code("jax.nn.logsumexp({a}, axis=-1)"),
    "softmax": Code("jax.nn.softmax({a}, axis=-1)"),
    "cumsum": Code("jnp.cumsum({a}, axis=-1)"),
    "layer_norm": Code("_layer_norm({a}, {b})", "layer_norm"),
    "rms_norm": Code("_rms_norm({a}, {b})", "rms_norm"),
    "l2_norm": Code("_l2_norm({a}, {b})", "l2_norm"),
    "dot": Code("({a} * {b}).sum(-1)"),
    "outer": Code("{a}[..., :, None] * {b}[..., None, :]"),
    "transpose": Code("jnp.swapaxes({a}, -1, -2)"),
    "fill": Code("_fill({a}, {b})", "fill"),
    "heads": Code("_heads({a}, {b})", "heads"),
    "flat": Code("_flat({a})", "flat"),
    "repeat": Code("jnp.repeat({a}, {b}, axis=-1)"),
    "concat": Code("jnp.concatenate([{a}], axis=-1)"),
    "part": Code("_part({a}, {b}, {c})", "part"),
    "ones": Code("jnp.ones({a})"),
    "eye": Code("jnp.eye({a})"),
    "triangle": Code("jnp.tri({a})"),
    "Array": Code("jnp.array({a})"),
    "stop_gradient": Code("lax.stop_gradient({a})"),
    "clip_gradient": Code("{a}"),
    # what the adjoints of these need
    "Reverse_cumsum": Code("_reverse_cumsum({a})", "reverse_cumsum"),
    "Inverse_std": Code("_inverse_std({a}, {b})", "inverse_std"),
    "Inverse_rms": Code("_inverse_rms({a}, {b})", "inverse_rms"),
    "Inverse_norm": Code("_inverse_norm({a}, {b})", "inverse_norm"),
    "Clip": Code("jnp.clip({a}, -{b}, {b})"),
    "Bell": Code("1.1283791670955126 * jnp.exp(-({a} ** 2))"),
    "Fold": Code("_fold({a}, {b})", "fold"),
    "Place": Code("_place({a}, {b}, {c})", "place"),
    "Slice": Code("{a}[..., {b}:{c}]"),
}
