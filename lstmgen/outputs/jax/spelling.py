"""Expressions as JAX: as in NumPy, with leading axes for time and batch, but nothing is written in place.

XLA fuses what NumPy would compute array by array, so a sum of products is written as one, and a choice as `jnp.where`.
"""

from __future__ import annotations

from dataclasses import replace

from ...language import functions
from ...language.constants import is_constant
from ...language.expressions import Call, Compare, Product
from ...language.text import ATOM, POWER, PRODUCT, SUM
from ..numpy.functions import Code
from ..numpy.spelling import Speller, Spelled, is_fill, joined
from .functions import TABLE

DTYPE = "dtype"  # the type to compute in; noted among the helpers where the code needs it


class JaxSpeller(Speller):
    """Spells expressions for one place in the module."""

    def code(self, function: str) -> Code:
        return TABLE[function]

    def product(self, vector: Spelled, matrix: str, turned: bool) -> Spelled:
        """A vector, as a row, times a matrix that is static, or that matrix `turned` on its side."""
        return Spelled(f"{vector.inside(PRODUCT)} @ {matrix}{'.T' if turned else ''}", PRODUCT, 1, vector.moving)

    def full(self, shape: str, value: str) -> str:
        """A number, or something static, in every entry of an array."""
        self.helpers.add(DTYPE)
        return f"jnp.full({shape}, {value}, {DTYPE})"

    def array(self, maker: str, given: str) -> str:
        self.helpers.add(DTYPE)
        return super().array(maker, given)

    def zeros(self, shape: str) -> str:
        """An array of zeros."""
        self.helpers.add(DTYPE)
        return f"jnp.zeros({shape}, {DTYPE})"

    def _where(self, call: Call) -> Spelled:
        comparison, chosen, other = call.arguments
        assert isinstance(comparison, Compare)
        parts = self._together((comparison.left, comparison.right, chosen, other))
        left, right, first, second = parts
        text = f"jnp.where({left.inside(SUM)} {comparison.relation} {right.inside(SUM)}, {first.text}, {second.text})"
        if not (first.moving or second.moving) and (left.moving or right.moving):  # two plain numbers may be integers
            self.helpers.add(DTYPE)
            text += f".astype({DTYPE})"
        return joined(text, ATOM, parts)

    def _pointwise(self, entry: functions.Pointwise, call: Call) -> Spelled:
        parts = self._together(call.arguments)
        if is_constant(call):  # some functions take no integers
            parts = [replace(part, text=f"1.0 * {part.inside(POWER)}", tightness=PRODUCT) for part in parts]
        return self.applied(entry, parts)

    def _contracted(self, call: Call) -> Spelled | None:
        """The sum of products of a vector with a static one, as a matrix product; None for any other sum."""
        match call.function, call.arguments:
            case ("dot", (one, other)) | ("sum", (Product(factors=(one, other)),)):
                left, right = self.spell(one), self.spell(other)
            case _:
                return None
        if not left.rank == right.rank == 1 or (left.moving and right.moving) or is_fill(one) or is_fill(other):
            return None
        moving, still = (right, left) if right.moving else (left, right)
        return Spelled(f"{moving.inside(PRODUCT)} @ {still.inside(POWER)}", PRODUCT, 0, moving.moving)
