"""Where everything in a drawing stands: pure geometry.

Nodes stand in columns, and wires turn in the channels between columns alone:

1. columns by network simplex, with weights that keep what belongs together close (`columns.py`);
2. one dummy per value and column that it passes, so that all wires of a value share a trunk;
3. the order within columns by barycentres and swaps, from a number of seeded starts (`orders.py`);
4. heights by network simplex again: straight wires where they can be, above all for the states (`heights.py`);
5. in each channel one vertical track per value that turns there, in the order with the fewest crossings
   (`tracks.py`, `routing.py`).

A wire passes a column only in its own place in the order, so none runs through a box.
"""

from __future__ import annotations

from .columns import Ranks
from .drawing import Drawing
from .heights import WIRE_GAP, Heights
from .layout import Layout
from .orders import orders
from .routing import Router


def place(drawing: Drawing, wire_gap: float = WIRE_GAP) -> Layout:
    """Coordinates for a drawing, the same ones every time. Values that pass a column are `wire_gap` apart."""
    ranked = Ranks(drawing)
    routed = (Router(ranked, order, Heights(ranked, order, wire_gap).solve()) for order in orders(ranked))
    return min(routed, key=Router.cost).layout()
