"""How large a cell may be once its equations are split into stages. What is larger is refused before it is derived."""

from __future__ import annotations

from math import prod

from ..language.shapes import Shape

MOST_STAGES = 2000
MOST_NODES = 20_000  # of one expression, when functions have been put in
MOST_NODES_IN_ALL = 100_000  # of all expressions of a cell
DEEPEST = 300  # an expression, when functions have been put in
MOST_DERIVED = 5000  # operations of all local derivatives of one stage
MOST_DERIVED_IN_ALL = 50_000  # of all stages of a cell
MOST_ENTRIES = 2**16  # of one value, where every symbol of a size is 4


def entries(shape: Shape) -> int:
    """The entries of a value of this shape where every symbol is 4: the proofs compute them in 90 digits."""
    return prod(dim.value(dict.fromkeys(dim.symbols, 4)) for dim in shape)
