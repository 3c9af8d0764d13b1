"""Local derivatives of elementwise algebra: what a value is multiplied by is read off; for the rest there is SymPy.

The input is an expression of named values, numbers, + - * / and powers. Calls are stages of their own by then, and matrix
products have fixed rules. Values are numbered in the order of reading, and terms and factors are put into the order of
these numbers, so that neither a name nor the version of SymPy can change a result.

Most local derivatives of a cell need no algebra: of z * i with respect to z it is i. Importing SymPy takes half as long as
all the rest of a build, so it is imported when it is first needed. `tests/test_local.py` holds the two ways against each
other.
"""

from __future__ import annotations

from ..language.constants import is_constant
from ..language.expressions import (
    Call, Expression, Negative, Number, Power, Product, Size, Sum, Value, children, number, product, total, transform, values,
)
from .ordering import factor_order, read, term_order


def derivative(expression: Expression, value: Expression) -> Expression:
    """The local derivative with respect to one value, or to copies of it, `fill(value, n)`; all else is held constant."""
    numbers = {atom: Value(f"v{index:05d}") for index, atom in enumerate(_atoms(expression))}
    numbered, its_number = transform(expression, numbers.get), numbers[value]
    found = coefficient(numbered, its_number)
    if found is None:
        from .calculus import differentiated  # SymPy takes a third of a second to import

        found = differentiated(numbered, its_number)
    atoms: dict[Expression, Expression] = {numbered: atom for atom, numbered in numbers.items()}
    return transform(found, atoms.get)


def _atoms(expression: Expression) -> list[Expression]:
    """What counts as one value: values, sizes, and calls or powers of numbers such as sqrt(H)."""
    found: dict[Expression, None] = {}

    def visit(node: Expression) -> None:
        if isinstance(node, (Value, Size, Call)) or (isinstance(node, Power) and is_constant(node)):
            found.setdefault(node)
        else:
            for child in children(node):
                visit(child)

    visit(expression)
    return list(found)


def coefficient(expression: Expression, value: Value) -> Expression | None:
    """What a value is multiplied by, where that is the derivative and nothing in it can be simplified; else None.

    The value may stand in several terms, once in each: z * h + (1 - z) * n has the derivative h - n with respect to z.
    """
    found: list[Expression] = []
    for term in _terms(expression):
        if value in values(term):
            multiplier = _multiplier(term, value)
            if multiplier is None:
                return None
            found.append(multiplier)
    if len(found) == 1:
        return found[0]
    bare = [_unsigned(each) for each in found]
    parts = [part for each in bare for part in (each, *children(each))]
    if len(set(bare)) < len(bare) or any(isinstance(part, (Number, Sum)) for part in parts):
        return None  # what is equal can be added up, and numbers can be taken out
    return total(*sorted(found, key=term_order))


def _multiplier(term: Expression, value: Value) -> Expression | None:
    """What multiplies the value in a product of different values, and of plain sums or a number."""
    bare = _unsigned(term)
    own: list[Expression] = []
    others: list[Expression] = []
    for factor in bare.factors if isinstance(bare, Product) else (bare,):
        (own if value in values(factor) else others).append(factor)
    addends = [each for factor in own for each in _terms(factor) if value in values(each)]
    if len(addends) != 1 or _unsigned(addends[0]) != value:
        return None  # not linear, or a product within a sum
    minus = (bare is not term) != (addends[0] != value)
    names = [name for factor in others for name in read(factor)]
    if len(set(names)) < len(names) or not all(isinstance(each, Number) or _is_plain(each) for each in others):
        return None
    if any(isinstance(each, Sum) for each in others) and (minus or any(isinstance(each, Number) for each in others)):
        return None  # SymPy may multiply the sum by them
    ordered = [total(*sorted(_terms(each), key=term_order)) for each in others]
    return product(number(-1 if minus else 1), *sorted(ordered, key=factor_order))


def _is_plain(factor: Expression) -> bool:
    """A value, or a sum of values and at most one number, each added or subtracted."""
    terms = [_unsigned(term) for term in _terms(factor)]
    numbers = sum(isinstance(term, Number) for term in terms)
    return numbers <= 1 and len(terms) > numbers and all(isinstance(term, (Number, Value)) for term in terms)


def _terms(expression: Expression) -> tuple[Expression, ...]:
    return expression.terms if isinstance(expression, Sum) else (expression,)


def _unsigned(expression: Expression) -> Expression:
    return expression.operand if isinstance(expression, Negative) else expression
