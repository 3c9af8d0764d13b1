"""The cells of the benchmark as somebody would write them for a framework: products stacked, the input's hoisted.

Each is one step: `step(xp, z, p, state)` with the framework's functions `xp`, the input's share `z` of all
pre-activations (B, n*H), parameters `p` and the state, a tuple that begins with h. It returns the new state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cell:
    """How a spec's parameters are stacked, and one step."""

    spec: str
    gates: str  # in the order of the stacked rows
    others: tuple[str, ...]  # parameters that stand for themselves
    states: int
    step: Callable


def peephole_lstm(xp, z, p, state):
    h, c = state
    H = h.shape[-1]
    z = z + h @ p["R"].T
    i = xp.sigmoid(z[:, :H] + p["p_i"] * c)
    f = xp.sigmoid(z[:, H : 2 * H] + p["p_f"] * c)
    c = f * c + i * xp.tanh(z[:, 2 * H : 3 * H])
    o = xp.sigmoid(z[:, 3 * H :] + p["p_o"] * c)
    return o * xp.tanh(c), c


def lstm(xp, z, p, state):
    h, c = state
    H = h.shape[-1]
    z = z + h @ p["R"].T
    i, f = xp.sigmoid(z[:, :H]), xp.sigmoid(z[:, H : 2 * H])
    c = f * c + i * xp.tanh(z[:, 2 * H : 3 * H])
    return xp.sigmoid(z[:, 3 * H :]) * xp.tanh(c), c


def gru(xp, z, p, state):
    (h,) = state
    H = h.shape[-1]
    r_h = h @ p["R"].T
    r = xp.sigmoid(z[:, :H] + r_h[:, :H])
    u = xp.sigmoid(z[:, H : 2 * H] + r_h[:, H : 2 * H])
    n = xp.tanh(z[:, 2 * H :] + r * (r_h[:, 2 * H :] + p["c_n"]))
    return (u * h + (1 - u) * n,)


def slstm(xp, z, p, state):
    h, c, n, m = state
    H = h.shape[-1]
    z = z + h @ p["R"].T
    a, log_f = z[:, :H], xp.log_sigmoid(z[:, H : 2 * H]) + m
    m = xp.maximum(log_f, a)
    i, f = xp.exp(a - m), xp.exp(log_f - m)
    c = f * c + i * xp.tanh(z[:, 2 * H : 3 * H])
    n = f * n + i
    return xp.sigmoid(z[:, 3 * H :]) * (c / n), c, n, m


CELLS = {cell.spec: cell for cell in (
    Cell("peephole_lstm", "ifzo", ("p_i", "p_f", "p_o"), 2, peephole_lstm),
    Cell("lstm", "ifzo", (), 2, lstm),
    Cell("gru", "rzn", ("c_n",), 1, gru),
    Cell("slstm", "ifzo", (), 4, slstm),
)}


def stacked(cell: Cell, named: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A module's parameters, or their gradients, stacked in the cell's own order."""
    whole = {kind: np.concatenate([named[f"{kind}_{gate}"] for gate in cell.gates]) for kind in "WRb"}
    return whole | {name: named[name] for name in cell.others}
