"""Expressions as JSON, each told once: the scripts of the page print and evaluate them.

    0.5                  a number              ["s", "H"]           a size
    ["v", name, lag]     a value               ["d", name, lag]     an adjoint
    ["o", name, lag]     a gradient from outside
    ["+", ...]  ["-", a]  ["*", ...]  ["/", a, b]  ["^", a, b]  ["@", A, v]  ["f", function, ...]  ["?", relation, a, b]
"""

from __future__ import annotations

import json
from fractions import Fraction

from ...language.expressions import (
    Adjoint, Call, Compare, Expression, MatVec, Negative, Number, Outside, Power, Product, Quotient, Size, Sum, Value,
)
from ...language.text import decimal

Json = object  # what JSON can hold


def as_json(expression: Expression) -> Json:
    """An expression as nested lists."""
    match expression:
        case Number(value=value):
            return _number(value)
        case Size(symbol=symbol):
            return ["s", symbol]
        case Value(name=name, lag=lag):
            return ["v", name, lag]
        case Adjoint(name=name, lag=lag):
            return ["d", name, lag]
        case Outside(name=name, lag=lag):
            return ["o", name, lag]
        case Sum(terms=parts):
            return ["+", *map(as_json, parts)]
        case Product(factors=parts):
            return ["*", *map(as_json, parts)]
        case Negative(operand=operand):
            return ["-", as_json(operand)]
        case Quotient(numerator=left, denominator=right):
            return ["/", as_json(left), as_json(right)]
        case Power(base=left, exponent=right):
            return ["^", as_json(left), as_json(right)]
        case MatVec(matrix=left, vector=right):
            return ["@", as_json(left), as_json(right)]
        case Call(function=function, arguments=parts):
            return ["f", function, *map(as_json, parts)]
        case Compare(relation=relation, left=left, right=right):
            return ["?", relation, as_json(left), as_json(right)]
    raise TypeError(f"no expression: {expression!r}")


def _number(value: Fraction) -> Json:
    """A number of JavaScript; a fraction that is no short decimal as a quotient."""
    if "/" in decimal(value):
        return ["/", value.numerator, value.denominator]
    return int(value) if value.denominator == 1 and abs(value) < 2**53 else float(value)


class Table:
    """Expressions by number: equal ones are kept once."""

    def __init__(self) -> None:
        self.entries: list[Json] = []
        self._numbers: dict[str, int] = {}

    def __call__(self, expression: Expression) -> int:
        entry = as_json(expression)
        text = json.dumps(entry)
        if text not in self._numbers:
            self._numbers[text] = len(self.entries)
            self.entries.append(entry)
        return self._numbers[text]
