"""A term of an adjoint with numbers in place of its symbols, so that it can be followed with a calculator."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...language.evaluate import Floats, evaluate
from ...language.expressions import (
    Adjoint, Expression, MatVec, Negative, Number, Outside, Power, Product, Sum, Value,
)
from ...language.shapes import SCALAR, Shape, shape_of
from ...numerics.worked import Entries, WorkedExample, three_digits

Leaf = Value | Adjoint | Outside


class Calculator:
    """Writes expressions of one worked example in numbers, at one of its steps."""

    def __init__(self, example: WorkedExample, shapes: Mapping[str, Shape], step: int):
        self.example, self.shapes, self.step = example, shapes, step
        self.sizes = dict(example.sizes)

    def __getitem__(self, leaf: Leaf) -> np.ndarray:
        at = self.step + leaf.lag
        if isinstance(leaf, Adjoint):
            return np.asarray(self.example.gradient(leaf.name, at).entries)
        if isinstance(leaf, Outside):
            outside = self.example.outside
            return np.asarray(next(each.entries for each in outside if (each.name, each.step) == (leaf.name, at)))
        static = (*self.example.parameters, *self.example.still)
        found = next((each.entries for each in static if each.name == leaf.name), None)
        return np.asarray(self.example.value(leaf.name, at) if found is None else found)

    def value(self, expression: Expression) -> np.ndarray:
        return evaluate(expression, self, Floats(), self.sizes)

    def text(self, expression: Expression, entry: int) -> str:
        """One entry of an expression of one axis; a number of one without axes."""
        match expression:
            case Negative(operand=operand):
                return f"-{self._factor(operand, entry)}"
            case Sum(terms=terms):
                said = [self.text(term, entry) for term in terms]
                return said[0] + "".join(each if each.startswith("-") else f"+{each}" for each in said[1:])
            case Product(factors=factors):
                return r"\cdot ".join(self._factor(factor, entry) for factor in factors)
            case Power(base=Value() as base, exponent=Number(value=exponent)) if exponent > 0 and exponent.denominator == 1:
                inner = self.text(base, entry)
                return rf"({inner})^{{{exponent}}}" if inner.startswith("-") else rf"{inner}^{{{exponent}}}"
            case MatVec(matrix=matrix, vector=vector):
                row, column = self.value(matrix)[entry], self.value(vector)
                return "+".join(rf"{_signed(one)}\cdot {_signed(other)}" for one, other in zip(row, column))
        return number(self._entry(expression, entry))

    def _factor(self, expression: Expression, entry: int) -> str:
        text = self.text(expression, entry)
        return f"({text})" if text.startswith("-") or isinstance(expression, (Sum, MatVec)) else text

    def _entry(self, expression: Expression, entry: int) -> float:
        whole = self.value(expression)
        return float(whole if shape_of(expression, self.shapes) == SCALAR else np.broadcast_to(whole, whole.shape)[entry])


def _signed(value: float) -> str:
    text = number(float(value))
    return f"({text})" if text.startswith("-") else text


def number(value: float) -> str:
    """Three digits, in LaTeX."""
    text = three_digits(value)
    if "e" not in text:
        return text
    digits, exponent = text.split("e")
    return rf"{digits}\cdot 10^{{{int(exponent)}}}"


def entries(values: Entries) -> str:
    """A scalar; the entries of a vector; the rows of a matrix under each other; a matrix of each head. A formula."""
    if isinstance(values, float):
        return number(values)
    rows = [row for row in values if isinstance(row, tuple)]
    if not rows:
        return r",\ ".join(number(entry) for entry in values if isinstance(entry, float))
    if any(isinstance(entry, tuple) for row in rows for entry in row):
        return r",\ ".join(map(entries, rows))
    body = r"\\".join("&".join(map(entries, row)) for row in rows)
    return rf"\bigl(\begin{{smallmatrix}}{body}\end{{smallmatrix}}\bigr)"


def bracketed(values: Entries) -> str:
    """The same with brackets around a vector, as a part of a formula; a matrix of one column is told as a column."""
    if isinstance(values, float):
        return number(values)
    if all(isinstance(row, tuple) for row in values):
        return entries(values)
    return f"({entries(values)})"
