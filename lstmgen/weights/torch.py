"""PyTorch: `torch.nn.LSTM`, `GRU` and `RNN`, and their cells."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from .layout import (
    Array, Arrays, Cell, Layout, activation, as_array, blocks, expect, layout_of, listed, refuse_variant, size_of_gates,
    stacked,
)

LIBRARY = "PyTorch"
ORDERS = {"lstm": "ifzo", "gru": "rzn", "rnn": "h"}  # PyTorch calls z of an LSTM g
FIXED = {"lstm": {"gate": "sigmoid", "input": "tanh", "output": "tanh"}, "gru": {"gate": "sigmoid", "candidate": "tanh"}}


def torch_options(cell: Cell) -> dict[str, Any]:
    """The arguments with which PyTorch's layer is this cell: `bias`, and `nonlinearity` of an RNN.

    With a projection, PyTorch's layer also needs its size, `proj_size`. Raises ValueError if PyTorch has no such cell.
    """
    return _options(layout_of(cell))


def _options(layout: Layout) -> dict[str, Any]:
    variant, options = layout.variant, {"bias": layout.variant.bias}
    refuse_variant(layout, LIBRARY, ("a projection",))
    if variant.cell == "gru" and not variant.reset_after:
        raise ValueError(f"{layout.name} resets before the product, and the GRU of PyTorch after it")
    if variant.cell == "rnn":
        known = {"tanh": "tanh", "relu": "relu"}
        return {**options, "nonlinearity": activation(layout, "output", known, LIBRARY)}
    for of, function in FIXED[variant.cell].items():
        activation(layout, of, {function: function}, LIBRARY)
    return options


def from_torch(cell: Cell, state_dict: Arrays, layer: int | None = 0, reverse: bool = False) -> dict[str, Array]:
    """The parameters of one layer and direction of PyTorch's LSTM, GRU or RNN, as the arrays of `init_params`.

    state_dict: of the layer alone, with tensors or arrays: weight_ih_l0 (gates * H, D) and so on
    layer: which layer; None for a cell such as `torch.nn.LSTMCell`, whose names end in no number
    reverse: the second direction of a bidirectional layer

    Raises ValueError if PyTorch has no such cell, if a parameter is missing, or if a shape does not fit.
    """
    layout = layout_of(cell)
    _options(layout)
    variant, order = layout.variant, ORDERS[layout.variant.cell]
    theirs = _taken(layout, state_dict, _suffix(layer, reverse))
    w = theirs["weight_ih"]
    if w.ndim != 2:
        raise ValueError(f"weight_ih has the shape {w.shape}, and ({len(order)} * H, D) is expected of {layout.name}")
    size = size_of_gates("weight_ih", w.shape[0], order, w.shape, layout.name)
    width = theirs["weight_hr"].shape[0] if variant.projection else size
    shapes = {"weight_hh": (len(w), width), "weight_hr": (width, size), "bias_ih": (len(w),), "bias_hh": (len(w),)}
    for key, array in theirs.items():
        expect(key, array, shapes.get(key, w.shape), layout.name)
    named = blocks(w, order, "W") | blocks(theirs["weight_hh"], order, "R")
    if variant.projection:
        named["W_proj"] = theirs["weight_hr"].copy()
    if variant.bias:
        inside, outside = blocks(theirs["bias_hh"], order, "b"), blocks(theirs["bias_ih"], order, "b")
        if variant.cell == "gru":  # n's is multiplied by r, and cannot be merged
            named["c_n"] = inside["b_n"].copy()
            inside["b_n"] *= 0
        named |= {name: bias + inside[name] for name, bias in outside.items()}
    return layout.store(named)


def to_torch(cell: Cell, params: Arrays, layer: int | None = 0, reverse: bool = False) -> dict[str, Any]:
    """The tensors of one layer and direction for `load_state_dict`, under PyTorch's names. It imports PyTorch.

    params: the arrays of `init_params`, of any target
    layer, reverse: as for `from_torch`

    Of PyTorch's two biases, of which only the sum counts, the second is zero, but for the GRU's candidate. Raises
    ValueError if PyTorch has no such cell, or if a shape does not fit.
    """
    layout = layout_of(cell)
    _options(layout)
    variant, order = layout.variant, ORDERS[layout.variant.cell]
    named = layout.unstore(params)
    theirs = {"weight_ih": stacked(named, order, "W"), "weight_hh": stacked(named, order, "R")}
    if variant.projection:
        theirs["weight_hr"] = named["W_proj"]
    if variant.bias:
        theirs["bias_ih"] = stacked(named, order, "b")
        theirs["bias_hh"] = np.zeros_like(theirs["bias_ih"])
        if variant.cell == "gru":
            theirs["bias_hh"][-len(named["c_n"]):] = named["c_n"]
    from_numpy = import_module("torch").from_numpy
    return {key + _suffix(layer, reverse): from_numpy(array) for key, array in theirs.items()}


def _suffix(layer: int | None, reverse: bool) -> str:
    return ("" if layer is None else f"_l{layer}") + "_reverse" * reverse


def _taken(layout: Layout, state_dict: Arrays, suffix: str) -> dict[str, Array]:
    """The arrays of one layer and direction, without the suffix of their names: all of them, and no more."""
    kinds = ["weight_ih", "weight_hh"] + ["weight_hr"] * layout.variant.projection
    kinds += ["bias_ih", "bias_hh"] * layout.variant.bias
    every = ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh")
    there = [kind for kind in every if kind + suffix in state_dict]
    if set(there) != set(kinds):
        raise ValueError(
            f"the parameters of {layout.name} in PyTorch are {listed([kind + suffix for kind in kinds])}, and of these names "
            f"the state_dict has {listed([kind + suffix for kind in there])}; all it has: {listed(sorted(state_dict))}")
    return {kind: as_array(state_dict[kind + suffix]) for kind in kinds}
