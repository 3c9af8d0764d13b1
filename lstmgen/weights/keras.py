"""Keras 3: `keras.layers.LSTM`, `GRU` and `SimpleRNN`, and their cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .layout import (
    Array, Arrays, Cell, Layout, activation, as_array, blocks, expect, layout_of, refuse_variant, size_of_gates, stacked,
)

LIBRARY = "Keras"
ORDERS = {"lstm": "ifzo", "gru": "zrn", "rnn": "h"}  # Keras calls z of an LSTM c, and n of a GRU h
# The functions of which Keras has the same. Its hard_sigmoid, leaky_relu and gelu are others than ours.
FUNCTIONS = {
    "sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "elu": "elu", "softplus": "softplus", "softsign": "softsign",
    "silu": "silu", "logsigmoid": "log_sigmoid", "hard_tanh": "hard_tanh", "identity": "linear",
}


def keras_options(cell: Cell) -> dict[str, Any]:
    """The arguments with which Keras's layer is this cell: `activation`, `use_bias` and so on.

    Raises ValueError if Keras has no such cell.
    """
    return _options(layout_of(cell))


def _options(layout: Layout) -> dict[str, Any]:
    variant, options = layout.variant, {"use_bias": layout.variant.bias}
    refuse_variant(layout, LIBRARY)
    outer = {"lstm": "input", "gru": "candidate", "rnn": "output"}[variant.cell]
    options["activation"] = activation(layout, outer, FUNCTIONS, LIBRARY)
    if variant.cell == "lstm" and dict(variant.activations)["output"] != dict(variant.activations)["input"]:
        raise ValueError(f"the activations 'input' and 'output' of {layout.name} differ, and are one in the LSTM of Keras")
    if variant.cell != "rnn":
        options["recurrent_activation"] = activation(layout, "gate", FUNCTIONS, LIBRARY)
    if variant.cell == "gru":
        options["reset_after"] = variant.reset_after
    return options


def from_keras(cell: Cell, arrays: Sequence[Any]) -> dict[str, Array]:
    """What `get_weights()` of Keras's LSTM, GRU or SimpleRNN gives, as the arrays of `init_params`.

    arrays: the kernel (D, gates * H), the recurrent kernel (H, gates * H), and the bias (gates * H,), which is
        (2, gates * H) of a GRU that resets after the product. Of a `Bidirectional` layer, hand in one half

    Raises ValueError if Keras has no such cell, or if a shape does not fit.
    """
    layout = layout_of(cell)
    _options(layout)
    variant, order = layout.variant, ORDERS[layout.variant.cell]
    theirs = [as_array(array) for array in arrays]
    if len(theirs) != 2 + variant.bias:
        shapes = ", ".join(str(array.shape) for array in theirs) or "none"
        raise ValueError(f"{layout.name} has {2 + variant.bias} arrays in Keras, and these are {len(theirs)}: {shapes}")
    kernel, recurrent = theirs[:2]
    if kernel.ndim != 2:
        raise ValueError(f"the kernel has the shape {kernel.shape}, and (D, {len(order)} * H) is expected of {layout.name}")
    rows = kernel.shape[1]
    size = size_of_gates("the kernel, transposed,", rows, order, kernel.T.shape, layout.name)
    expect("the recurrent kernel", recurrent, (size, rows), layout.name)
    named = blocks(kernel.T, order, "W") | blocks(recurrent.T, order, "R")
    if variant.bias:
        has_two = variant.reset_after
        expect("the bias", theirs[2], (2, rows) if has_two else (rows,), layout.name)
        outside, *others = theirs[2] if has_two else theirs[2:]
        named |= blocks(outside, order, "b")
        for inside in others:
            parts = blocks(inside, order, "b")
            named["c_n"] = parts.pop("b_n")  # it is multiplied by r, and cannot be merged
            named |= {name: named[name] + bias for name, bias in parts.items()}
    return layout.store(named)


def to_keras(cell: Cell, params: Arrays) -> list[Array]:
    """The arrays for `set_weights` of Keras's layer.

    params: the arrays of `init_params`, of any target

    Raises ValueError if Keras has no such cell, or if a shape does not fit.
    """
    layout = layout_of(cell)
    _options(layout)
    order, named = ORDERS[layout.variant.cell], layout.unstore(params)
    theirs = [np.ascontiguousarray(stacked(named, order, kind).T) for kind in "WR"]
    if layout.variant.bias:
        bias = stacked(named, order, "b")
        if layout.variant.reset_after:
            inside = np.zeros_like(bias)
            inside[-len(named["c_n"]):] = named["c_n"]
            bias = np.stack([bias, inside])
        theirs.append(bias)
    return theirs
