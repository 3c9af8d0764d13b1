"""Derivatives by SymPy. No other file uses it, and it never gets any text.

The values of the input are numbered (local.py), so SymPy knows none of their names (`beta`, `S` and `lambda` mean something
to it).
"""

from __future__ import annotations

from fractions import Fraction

import sympy

from ..language.expressions import (
    ONE, Call, Expression, Negative, Number, Power, Product, Quotient, Sum, Value, negative, product, total, values,
)
from .ordering import factor_order, term_order


def differentiated(expression: Expression, value: Value) -> Expression:
    """The derivative with respect to one value, in the order of the values' names."""
    if isinstance(expression, Sum):  # terms that do not read the value differentiate to zero
        expression = Sum(tuple(term for term in expression.terms if value in values(term)))
    symbols = {each: sympy.Symbol(each.name, real=True) for each in values(expression)}
    return _from_sympy(_to_sympy(expression, symbols).diff(symbols[value]))


def _to_sympy(expression: Expression, symbols: dict[Value, sympy.Symbol]) -> sympy.Expr:
    match expression:
        case Value():
            return symbols[expression]
        case Number(value=value):
            return sympy.Rational(value.numerator, value.denominator)
        case Sum(terms=terms):
            return sympy.Add(*(_to_sympy(term, symbols) for term in terms))
        case Product(factors=factors):
            return sympy.Mul(*(_to_sympy(factor, symbols) for factor in factors))
        case Negative(operand=operand):
            return -_to_sympy(operand, symbols)
        case Quotient(numerator=numerator, denominator=denominator):
            return _to_sympy(numerator, symbols) / _to_sympy(denominator, symbols)
        case Power(base=base, exponent=exponent):
            return _to_sympy(base, symbols) ** _to_sympy(exponent, symbols)
    raise TypeError(f"not entry-by-entry algebra: {expression!r}")


def _from_sympy(expression: sympy.Expr) -> Expression:
    if expression.is_Symbol:
        return Value(expression.name)
    if expression.is_Rational:
        return Number(Fraction(int(expression.p), int(expression.q)))
    if expression.is_Add:
        return _sum(expression)
    if expression.is_Mul:
        return _product(expression)
    if expression.is_Pow:
        base, exponent = expression.as_base_exp()
        if exponent.is_Rational and exponent < 0:
            return Quotient(ONE, _power(base, -exponent))
        return _power(base, exponent)
    if isinstance(expression, sympy.log):
        return Call("log", (_from_sympy(expression.args[0]),))
    raise TypeError(f"no rule to read back {type(expression).__name__}")


def _sum(expression: sympy.Add) -> Expression:
    """A sum. A number that SymPy has multiplied into every term is taken out again: 2 * (h - target)."""
    sizes = {abs(term.as_coeff_Mul()[0]) for term in expression.args}
    shared = sizes.pop() if len(sizes) == 1 else sympy.Integer(1)
    terms = sorted((_from_sympy(term / shared) for term in expression.args), key=term_order)
    if shared == 1:
        return total(*terms)
    return product(Number(Fraction(int(shared.p), int(shared.q))), total(*terms))


def _product(expression: sympy.Mul) -> Expression:
    above, below = [], []
    coefficient, rest = expression.as_coeff_Mul()
    for factor in sympy.Mul.make_args(rest):
        base, exponent = factor.as_base_exp()
        if exponent.is_Rational and exponent < 0:
            below.append(_power(base, -exponent))
        else:
            above.append(_power(base, exponent))
    number = Number(Fraction(int(coefficient.p), int(coefficient.q)))
    numerator = product(number, *sorted(above, key=factor_order))
    if not below:
        return numerator
    denominator = product(*sorted(below, key=factor_order))
    if isinstance(numerator, Negative):
        return Negative(Quotient(numerator.operand, denominator))
    if isinstance(numerator, Number) and numerator.value < 0:
        return Negative(Quotient(negative(numerator), denominator))
    return Quotient(numerator, denominator)


def _power(base: sympy.Expr, exponent: sympy.Expr) -> Expression:
    inner = _from_sympy(base)
    return inner if exponent == 1 else Power(inner, _from_sympy(exponent))
