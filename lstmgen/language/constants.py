"""Algebra on numbers alone, and what of it is refused: it would divide by zero, or take for ever to write down.

The same limits hold for the equations of a spec and for the claims of an audit. Both are held to them before
anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import log2, prod

from .expressions import (
    Adjoint, Call, Expression, Negative, Number, Outside, Power, Product, Quotient, Size, Sum, Value, children, number,
    transform, walk,
)
from .functions import MAKERS
from .parse import LARGEST_POWER
from .text import source

LEAST = Fraction(1, 10**300)  # of a constant that is not zero; the most is one over it
SIZE = 4  # a size, where one is needed to tell how large something becomes
_LONGEST = 60  # characters of an expression in a message


@dataclass(frozen=True)
class Fault:
    """A constant that cannot be used."""

    at: int  # its offset in the text
    message: str


def is_constant(expression: Expression) -> bool:
    """Whether it reads no value and makes no array: numbers and sizes only."""
    return not any(isinstance(node, (Value, Adjoint, Outside)) or isinstance(node, Call) and node.function in MAKERS
                   for node in walk(expression))


def constant_value(expression: Expression) -> Fraction | None:
    """The value of algebra on numbers alone; None where there are names in it, or it is too large to compute."""
    parts = []
    for part in children(expression):
        known = constant_value(part)
        if known is None:
            return None
        parts.append(known)
    found: Fraction | None
    match expression:
        case Number(value=value):
            found = value
        case Sum():
            found = sum(parts, Fraction(0))
        case Negative():
            found = -parts[0]
        case Product():
            found = prod(parts, start=Fraction(1))
        case Quotient() if parts[1]:
            found = parts[0] / parts[1]
        case Power() if abs(parts[1]) <= LARGEST_POWER and (parts[0] or parts[1] > 0):
            if parts[1].denominator == 1:
                found = parts[0] ** int(parts[1])
            else:  # a root: its size is all that anybody asks for
                found = Fraction(float(parts[0]) ** float(parts[1])) if parts[0] > 0 else None
        case _:
            return None
    return found if found is None or not found or LEAST <= abs(found) <= 1 / LEAST else None


def faults(expression: Expression, spell: Callable[[Expression], str] = source) -> Iterator[Fault]:
    """What is wrong with the constants of an expression. Names of constants have been replaced by their numbers."""
    for node in walk(expression):
        message = _fault(node, spell)
        if message is not None:
            yield Fault(node.at, message)


def _fault(node: Expression, spell: Callable[[Expression], str]) -> str | None:
    def shown() -> str:
        text = spell(node)
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

    match node:
        case Quotient(denominator=below) if constant_value(below) == 0:
            return f"'{shown()}' divides by zero"
        case Power(base=base, exponent=power) if is_constant(power):
            exponent = constant_value(power)
            if exponent is None and _is_algebra(power) or exponent is not None and abs(exponent) > LARGEST_POWER:
                return f"'{shown()}': an exponent beyond {LARGEST_POWER}"
            if exponent is not None and exponent < 0 and constant_value(base) == 0:
                return f"'{shown()}' divides by zero"
            if _is_algebra(node) and constant_value(node) is None:
                return f"'{shown()}' is too large, too small or no real number"
            if _is_huge(base, power):
                return f"'{shown()}' is too large or too small where every size is {SIZE}"
        case Number(value=value) if value and not LEAST <= abs(value) <= 1 / LEAST:
            return f"a constant beyond {float(1 / LEAST):.0e}, or too close to zero"
    return None


def _is_huge(base: Expression, power: Expression) -> bool:
    """Whether a power in which sizes stand has more digits than anybody wants to write down."""
    low, high = (
        constant_value(transform(part, lambda leaf: number(SIZE) if isinstance(leaf, Size) else None))
        for part in (base, power)
    )
    if high is None:
        return False  # a power in it is refused itself
    return abs(high) > LARGEST_POWER or bool(low) and abs(float(high) * log2(abs(low or 1))) > log2(1 / LEAST)


def _is_algebra(expression: Expression) -> bool:
    """Whether it is made of numbers alone: no names, no sizes, no calls."""
    return is_constant(expression) and not any(isinstance(node, (Size, Call)) for node in walk(expression))
