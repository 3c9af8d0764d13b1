r"""`where` as a sum of its two sides, each times an Iverson bracket: how a document prints a choice."""

from __future__ import annotations

from ...language import functions
from ...language.expressions import (
    ZERO, Call, Compare, Expression, Negative, Number, Power, Product, Quotient, Sum, children, negative, number,
    product, rebuild, total,
)

IVERSON = "Iverson"  # Iverson(a < b): one where it holds, zero elsewhere; used in documents only

_SIGNS = {relation: frozenset(signs) for relation, signs in
          {"<": "-", "<=": "-0", "=": "0", ">=": "0+", ">": "+", "": ""}.items()}  # of left minus right
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def without_choices(expression: Expression) -> Expression:
    """Every `where` as a sum of its sides, each with a bracket that is one where the side is chosen.

    Only claims hold `square` and `identity`, and they are printed as what they stand for.
    """
    parts = tuple(without_choices(part) for part in children(expression))
    match expression:
        case Call(function="square"):
            return Power(parts[0], number(2))
        case Call(function="identity"):
            return parts[0]
        case Call(function=functions.WHERE):
            condition, chosen, other = parts
            if isinstance(condition, Compare):
                otherwise = Compare(_OPPOSITE[condition.relation], condition.left, condition.right)
                return total(_where_it_holds(chosen, condition), _where_it_holds(other, otherwise))
        case Quotient() if parts[0] == ZERO:
            return ZERO
    return rebuild(expression, parts) if parts else expression


def _where_it_holds(expression: Expression, condition: Compare) -> Expression:
    """The expression with a bracket behind it; one that compares the same two is made narrower instead."""
    match expression:
        case Number(value=0):
            return ZERO
        case Sum(terms=terms):
            return total(*(_where_it_holds(term, condition) for term in terms))
        case Negative(operand=operand):
            return negative(_where_it_holds(operand, condition))
    *rest, last = expression.factors if isinstance(expression, Product) else (expression,)
    match last:
        case Call(function=name, arguments=(Compare(left=left, right=right, relation=relation),)) if (
            name == IVERSON and (left, right) == (condition.left, condition.right)
        ):
            both = _SIGNS[relation] & _SIGNS[condition.relation]
            narrower = next(found for found, signs in _SIGNS.items() if signs == both)
            return product(*rest, Call(IVERSON, (Compare(narrower, left, right),)))
    return product(expression, Call(IVERSON, (condition,)))
