"""The derivative of elementwise algebra. No other file uses SymPy.

The input is an expression of named values, numbers, + - * / and powers. Calls are stages of their own by then, and matrix
products have fixed rules. Symbols are numbered in the order of reading, so that names cannot change a result (`beta`, `S`
and `lambda` mean something to SymPy). Terms and factors are put in an order of our own, so that the version of SymPy
cannot change it either. SymPy never gets any text.
"""

from __future__ import annotations

from fractions import Fraction

import sympy

from ..language.constants import is_constant
from ..language.expressions import (
    ONE, Call, Expression, Negative, Number, Power, Product, Quotient, Size, Sum, Value, children,
    negative, product, total, transform, walk,
)
from ..language.text import source


def derivative(expression: Expression, value: Expression) -> Expression:
    """The local derivative with respect to one value, or to copies of it, `fill(value, n)`; all else is held constant."""
    atoms = _atoms(expression)
    if isinstance(expression, Sum):  # terms that do not read the value differentiate to zero
        expression = Sum(tuple(term for term in expression.terms if value in _atoms(term)))
    read = set(_atoms(expression))
    symbols = {atom: sympy.Symbol(f"v{index:05d}", real=True) for index, atom in enumerate(atoms) if atom in read}
    differentiated = _to_sympy(expression, symbols).diff(symbols[value])
    numbered = _from_sympy(differentiated)
    names = {symbol.name: atom for atom, symbol in symbols.items()}
    return transform(numbered, lambda node: names[node.name] if isinstance(node, Value) else None)


def _atoms(expression: Expression) -> list[Expression]:
    """Everything that becomes a symbol for SymPy: values, sizes, and calls or powers of numbers such as sqrt(H)."""
    found: dict[Expression, None] = {}

    def visit(node: Expression) -> None:
        if isinstance(node, (Value, Size, Call)) or (isinstance(node, Power) and is_constant(node)):
            found.setdefault(node)
        else:
            for child in children(node):
                visit(child)

    visit(expression)
    return list(found)


def _to_sympy(expression: Expression, symbols: dict[Expression, sympy.Symbol]) -> sympy.Expr:
    if expression in symbols:
        return symbols[expression]
    match expression:
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
    terms = sorted((_from_sympy(term / shared) for term in expression.args), key=_term_order)
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
    numerator = product(number, *sorted(above, key=_factor_order))
    if not below:
        return numerator
    denominator = product(*sorted(below, key=_factor_order))
    if isinstance(numerator, Negative):
        return Negative(Quotient(numerator.operand, denominator))
    if isinstance(numerator, Number) and numerator.value < 0:
        return Negative(Quotient(negative(numerator), denominator))
    return Quotient(numerator, denominator)


def _power(base: sympy.Expr, exponent: sympy.Expr) -> Expression:
    inner = _from_sympy(base)
    return inner if exponent == 1 else Power(inner, _from_sympy(exponent))


def _term_order(term: Expression) -> tuple[bool, bool, tuple[str, ...], str]:
    """The key of an order: added terms before subtracted ones, then by the values read, in the author's order."""
    minus = isinstance(term, Negative) or (isinstance(term, Number) and term.value < 0)
    plain_number = isinstance(term, Number)
    return (minus, not plain_number, _read(term), source(term))


def _factor_order(factor: Expression) -> tuple[bool, tuple[str, ...], str]:
    return (isinstance(factor, Sum), _read(factor), source(factor))


def _read(expression: Expression) -> tuple[str, ...]:
    return tuple(node.name for node in walk(expression) if isinstance(node, Value))
