"""The order of terms and factors in a derivative: that of the values' names, which are numbers in the order of reading."""

from __future__ import annotations

from ..language.expressions import Expression, Negative, Number, Sum, Value, walk
from ..language.text import source


def term_order(term: Expression) -> tuple[bool, bool, tuple[str, ...], str]:
    """The key of an order: added terms before subtracted ones, then by the values read, in the author's order."""
    minus = isinstance(term, Negative) or (isinstance(term, Number) and term.value < 0)
    plain_number = isinstance(term, Number)
    return (minus, not plain_number, read(term), source(term))


def factor_order(factor: Expression) -> tuple[bool, tuple[str, ...], str]:
    """The key of an order: sums last, then by the values read, in the author's order."""
    return (isinstance(factor, Sum), read(factor), source(factor))


def read(expression: Expression) -> tuple[str, ...]:
    """The names of the values that are read, as often as they are."""
    return tuple(node.name for node in walk(expression) if isinstance(node, Value))
