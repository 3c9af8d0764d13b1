"""Expressions of one entry as C."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from ...language import functions
from ...language.expressions import (
    Call, Compare, Expression, MatVec, Negative, Number, Power, Product, Quotient, Size, Sum, Value,
)
from ...language.shapes import Dim, Shape
from ...language.text import ATOM, COMPARISON, NEGATIVE, PRODUCT, SUM, decimal
from .functions import POINTWISE

_LARGEST_INT = 2**20  # written as a whole number: C makes a real of it where it meets one


def size(dim: Dim, name_of: Callable[[str], str]) -> str:
    """A length: `4*H`, `(D + H)`."""
    return dim.written(name_of)


def width(shape: Shape, name_of: Callable[[str], str]) -> str:
    """How many entries one example has."""
    if not shape:
        return "1"
    texts = [size(dim, name_of) for dim in shape]
    return " * ".join(f"({text})" if " + " in text and len(texts) > 1 else text for text in texts)


class Speller:
    """`name_of` says what a value, and `size_of` what a dimension's symbol, is called."""

    def __init__(self, name_of: Callable[[str], str], size_of: Callable[[str], str]):
        self.name_of, self.size_of = name_of, size_of

    def __call__(self, expression: Expression, needed: int = COMPARISON) -> str:
        """The text, in parentheses if its place needs what binds more tightly."""
        text, tightness = self.spell(expression)
        return f"({text})" if tightness < needed else text

    def spell(self, expression: Expression) -> tuple[str, int]:
        match expression:
            case Number(value=value):
                return _number(value)
            case Size(symbol=symbol):
                return f"R({self.size_of(symbol)})", ATOM
            case Value(name=name):
                return self.name_of(name), ATOM
            case Sum(terms=terms):
                return self.joined([self(term, SUM) for term in terms]), SUM
            case Negative(operand=operand):
                return f"-{self(operand, PRODUCT)}", NEGATIVE
            case Product(factors=factors):
                first, *rest = factors
                return " * ".join([self(first, PRODUCT), *(self(factor, ATOM) for factor in rest)]), PRODUCT
            case Quotient(numerator=above, denominator=below):
                return f"{self.real(above, PRODUCT)} / {self.real(below, ATOM)}", PRODUCT
            case Power(base=base, exponent=exponent):
                return self.power(base, exponent), ATOM
            case Call(function=functions.WHERE, arguments=(Compare() as compare, chosen, other)):
                return f"({self.compared(compare)} ? {self.real(chosen, SUM)} : {self.real(other, SUM)})", ATOM
            case Call(function=function, arguments=arguments):
                return f"{POINTWISE[function]}({', '.join(map(self, arguments))})", ATOM
            case MatVec() | Compare():
                raise AssertionError("products are statements, and comparisons stand in a choice")
        raise AssertionError(f"no name of a spot: {expression}")

    def joined(self, terms: list[str]) -> str:
        first, *rest = terms
        return first + "".join(f" - {term[1:]}" if term.startswith("-") else f" + {term}" for term in rest)

    def real(self, expression: Expression, needed: int) -> str:
        """The same, but whole numbers as reals too: 1 / 2 of two ints is 0."""
        return f"R({decimal(expression.value)})" if isinstance(expression, Number) else self(expression, needed)

    def compared(self, compare: Compare) -> str:
        return f"{self(compare.left, SUM)} {compare.relation} {self(compare.right, SUM)}"

    def power(self, base: Expression, exponent: Expression) -> str:
        if isinstance(exponent, Number):
            if exponent.value == 2:
                return f"square({self(base)})"
            if exponent.value.denominator == 1 and abs(exponent.value) < _LARGEST_INT:
                return f"whole_power({self(base)}, {exponent.value})"
        return f"real_power({self(base)}, {self(exponent)})"


def _number(value: Fraction) -> tuple[str, int]:
    if value.denominator == 1 and abs(value) < _LARGEST_INT:
        return str(value), ATOM if value >= 0 else NEGATIVE
    return f"R({real_text(value)})", ATOM


def real_text(value: Fraction) -> str:
    """A number as a C literal that is a double: `0.5`, `1e+20`, `0.3333333333333333`."""
    text = repr(float(value))
    return text if "e" in text or "." in text else f"{text}.0"
