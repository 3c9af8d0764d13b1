"""ONNX: the operators `LSTM`, `GRU` and `RNN`, as its specification states them and ONNX Runtime computes them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .layout import (
    Array, Arrays, Cell, Layout, activation, as_array, blocks, expect, layout_of, refuse_variant, size_of_gates, stacked,
)

LIBRARY = "ONNX"
ORDERS = {"lstm": "iofz", "gru": "zrn", "rnn": "h"}  # ONNX calls z of an LSTM c, and n of a GRU h
HOLES = "iof"  # of peepholes
# ONNX's function, and its alpha and beta where they are needed.
FUNCTIONS = {
    "sigmoid": ("Sigmoid",), "tanh": ("Tanh",), "relu": ("Relu",), "identity": ("Affine", 1.0, 0.0),
    "leaky_relu": ("LeakyRelu", 0.01), "elu": ("Elu", 1.0), "hard_sigmoid": ("HardSigmoid", 0.2, 0.5),
    "softsign": ("Softsign",), "softplus": ("Softplus",),
}
OF = {"lstm": ("gate", "input", "output"), "gru": ("gate", "candidate"), "rnn": ("output",)}


class OnnxWeights(NamedTuple):
    """The inputs of an operator, with one direction: the first axis of each is 1. None where the cell has none."""

    W: Array  # (1, gates * H, D)
    R: Array  # (1, gates * H, H)
    B: Array | None  # (1, 2 * gates * H): of W, then of R
    P: Array | None  # (1, 3 * H), of an LSTM


def onnx_options(cell: Cell) -> dict[str, Any]:
    """The attributes with which ONNX's operator is this cell, for one direction; `hidden_size` comes from the weights.

    Raises ValueError if ONNX has no such cell.
    """
    return _options(layout_of(cell))


def _options(layout: Layout) -> dict[str, Any]:
    variant = layout.variant
    refuse_variant(layout, LIBRARY, ("coupled gates", "peepholes"))
    names, alphas, betas = [], [], []
    for of in OF[variant.cell]:
        name, *constants = activation(layout, of, FUNCTIONS, LIBRARY)
        names.append(name)
        alphas += constants[:1]
        betas += constants[1:]
    options: dict[str, Any] = {"activations": names}
    if alphas:
        options["activation_alpha"] = alphas
    if betas:
        options["activation_beta"] = betas
    if variant.coupled:
        options["input_forget"] = 1
    if variant.cell == "gru":
        options["linear_before_reset"] = int(variant.reset_after)
    return options


def from_onnx(cell: Cell, W: Any, R: Any, B: Any = None, P: Any = None, direction: int = 0) -> dict[str, Array]:
    """The inputs of ONNX's LSTM, GRU or RNN, as the arrays of `init_params`.

    W: (directions, gates * H, D)
    R: (directions, gates * H, H)
    B: (directions, 2 * gates * H); None is zero, as ONNX says
    P: (directions, 3 * H), of an LSTM; None is zero
    direction: which of the directions

    Raises ValueError if ONNX has no such cell, if a shape does not fit, or if a number has no place in the cell: a bias
    of a cell without biases, a peephole that it does not have. What `input_forget` leaves unread may be any number.
    """
    layout = layout_of(cell)
    _options(layout)
    variant, order = layout.variant, ORDERS[layout.variant.cell]
    w = as_array(W)
    if w.ndim != 3 or not 0 <= direction < len(w):
        raise ValueError(f"W has the shape {w.shape}, and (directions, {len(order)} * H, D) is expected of {layout.name}, "
                         f"with a direction {direction}")
    count, rows = w.shape[:2]
    size = size_of_gates("W", rows, order, w.shape, layout.name)
    r, b, p = (as_array(array) if array is not None else np.zeros((count, length), w.dtype)
               for array, length in ((R, 0), (B, 2 * rows), (P, 3 * size)))
    expect("R", r, (count, rows, size), layout.name)
    expect("B", b, (count, 2 * rows), layout.name)
    expect("P", p, (count, 3 * size), layout.name)
    outside, inside = (blocks(half, order, "b") for half in np.split(b[direction], 2))
    named = blocks(w[direction], order, "W") | blocks(r[direction], order, "R") | blocks(p[direction], HOLES, "p")
    if variant.cell == "gru" and variant.reset_after:  # n's is multiplied by r, and cannot be merged
        named["c_n"] = inside.pop("b_n")
    named |= {name: bias + inside.get(name, 0) for name, bias in outside.items()}
    return layout.store(_read(layout, named))


def _read(layout: Layout, named: dict[str, Array]) -> dict[str, Array]:
    """The parameters that the cell has. The others must be zero, if ONNX reads them."""
    unread = {f"{kind}_f" for kind in "WRbp"} if layout.variant.coupled else set()
    for name, array in named.items():
        if name not in {*layout.weights, *unread} and array.any():
            where = "P" if name.startswith("p_") else "B"
            raise ValueError(f"{where} has numbers at {name}, and {layout.name} has no parameter of this name")
    return {name: named[name] for name in layout.weights}


def to_onnx(cell: Cell, params: Arrays) -> OnnxWeights:
    """The inputs of ONNX's operator: W, R, B and P.

    params: the arrays of `init_params`, of any target

    What `input_forget` leaves unread is zero. Raises ValueError if ONNX has no such cell, or if a shape does not fit.
    """
    layout = layout_of(cell)
    _options(layout)
    variant, order = layout.variant, ORDERS[layout.variant.cell]
    named = layout.unstore(params)
    b = p = None
    if variant.bias:
        outside = stacked(named, order, "b")
        inside = np.zeros_like(outside)
        if variant.cell == "gru" and variant.reset_after:
            inside[-len(named["c_n"]):] = named["c_n"]
        b = np.concatenate([outside, inside])[None]
    if variant.peepholes:
        p = stacked(named, HOLES, "p")[None]
    return OnnxWeights(stacked(named, order, "W")[None], stacked(named, order, "R")[None], b, p)
