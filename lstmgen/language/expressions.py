"""Expressions: what an equation of a spec says, and what its derivatives say.

The same few frozen nodes are used for the equations of a spec, for local derivatives, for the terms of the chain rule and
for the claims of an audit. Time belongs to the symbol: `Value("c", -1)` is c of the step before, `Adjoint("c", 1)` is the
adjoint of c of the step after. Nothing here knows how an output spells an expression, or its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

from ..printed import shortened


class _Node:
    """What all nodes have: a `repr` in one line, without offsets, that is cut where it is long."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __repr__(self) -> str:
        parts = [getattr(self, name) for name in self.__dataclass_fields__ if name != "at"]
        return shortened(f"{type(self).__name__}({', '.join(map(_told, parts))})")


def _told(part: object) -> str:
    match part:
        case Fraction():
            return str(part)
        case tuple():
            return f"({', '.join(map(_told, part))})"
    return repr(part)


@dataclass(frozen=True, repr=False)
class Number(_Node):
    """An exact constant: the decimal that was written, not the nearest binary one."""

    value: Fraction
    at: int = field(default=0, compare=False)  # offset in the text it was read from


@dataclass(frozen=True, repr=False)
class MinusInfinity(_Node):
    """Less than any number: what a state may start from, as a running maximum does. It stands in no equation."""

    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class Size(_Node):
    """A dimension's symbol, standing for its size."""

    symbol: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class Value(_Node):
    """An input, state, parameter, target or stage, `lag` steps from the current one."""

    name: str
    lag: int = 0
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class Adjoint(_Node):
    """The total derivative of the loss with respect to a value at one step: `d_c`, `d_c[t+1]`."""

    name: str
    lag: int = 0
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class Outside(_Node):
    """The gradient that reaches an output from outside at the current step: `dy` of the module."""

    name: str
    lag: int = 0
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class Sum(_Node):
    """All terms have one shape, or are scalars."""

    terms: tuple[Expression, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class Negative(_Node):
    """`-a`."""

    operand: Expression
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class Product(_Node):
    """Elementwise: all factors have one shape, or are scalars."""

    factors: tuple[Expression, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class Quotient(_Node):
    """Elementwise, as a product is."""

    numerator: Expression
    denominator: Expression
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class Power(_Node):
    """Elementwise, as a product is."""

    base: Expression
    exponent: Expression
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class MatVec(_Node):
    """`A @ v`: a matrix-valued expression times a vector."""

    matrix: Expression
    vector: Expression
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class Call(_Node):
    """A call of a function in the language's table. Only the first argument of `where` can be a comparison."""

    function: str
    arguments: tuple[Expression, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class Compare(_Node):
    """The first argument of `where`, and nothing else."""

    relation: str  # one of < <= > >=
    left: Expression
    right: Expression
    at: int = field(default=0, compare=False)


Leaf = Number | MinusInfinity | Size | Value | Adjoint | Outside
Expression = Leaf | Sum | Negative | Product | Quotient | Power | MatVec | Call | Compare


@dataclass(frozen=True)
class Body:
    """What a call of a function stands for: an expression in the names of its arguments."""

    arguments: tuple[str, ...]
    expression: Expression


ZERO, ONE = Number(Fraction(0)), Number(Fraction(1))


def children(expression: Expression) -> tuple[Expression, ...]:
    """The operands of a node, in the order they are written."""
    match expression:
        case Sum(terms=parts) | Product(factors=parts) | Call(arguments=parts):
            return parts
        case Negative(operand=operand):
            return (operand,)
        case Quotient(numerator=left, denominator=right) | Compare(left=left, right=right):
            return (left, right)
        case Power(base=left, exponent=right) | MatVec(matrix=left, vector=right):
            return (left, right)
    return ()


def rebuild(expression: Expression, parts: tuple[Expression, ...]) -> Expression:
    """The same node with other operands."""
    at = expression.at
    match expression:
        case Sum():
            return Sum(parts, at)
        case Product():
            return Product(parts, at)
        case Call(function=function):
            return Call(function, parts, at)
        case Negative():
            return Negative(parts[0], at)
        case Quotient():
            return Quotient(parts[0], parts[1], at)
        case Power():
            return Power(parts[0], parts[1], at)
        case MatVec():
            return MatVec(parts[0], parts[1], at)
        case Compare(relation=relation):
            return Compare(relation, parts[0], parts[1], at)
    return expression


def walk(expression: Expression) -> Iterator[Expression]:
    """Every node, parents before children, left before right."""
    yield expression
    for child in children(expression):
        yield from walk(child)


def transform(expression: Expression, rule: Callable[[Expression], Expression | None]) -> Expression:
    """Replace every node for which `rule` has an answer; the replacement is not searched again."""
    replaced = rule(expression)
    if replaced is not None:
        return replaced
    parts = children(expression)
    changed = tuple(transform(part, rule) for part in parts)
    return expression if changed == parts else rebuild(expression, changed)


def substitute(expression: Expression, old: Expression, new: Expression) -> Expression:
    """The expression with `new` wherever `old` stands."""
    return transform(expression, lambda node: new if node == old else None)


def values(expression: Expression) -> tuple[Value, ...]:
    """The values that an expression reads, each once, in the order of first reading."""
    return tuple(dict.fromkeys(node for node in walk(expression) if isinstance(node, Value)))


def shift(expression: Expression, steps: int) -> Expression:
    """The same expression, read `steps` later. Static values move, too; `later` in `derivation/chain.py` leaves them."""
    match expression:
        case Value(name=name, lag=lag, at=at):
            return Value(name, lag + steps, at)
        case Adjoint(name=name, lag=lag, at=at):
            return Adjoint(name, lag + steps, at)
        case Outside(name=name, lag=lag, at=at):
            return Outside(name, lag + steps, at)
    parts = children(expression)
    return rebuild(expression, tuple(shift(part, steps) for part in parts)) if parts else expression


def number(value: int | Fraction) -> Number:
    return Number(Fraction(value))


def negative(expression: Expression) -> Expression:
    """-a, without a double sign."""
    match expression:
        case Negative(operand=operand):
            return operand
        case Number(value=value):
            return Number(-value)
        case Product(factors=(Number(value=value), *rest)):
            return product(Number(-value), *rest)
    return Negative(expression)


def product(*factors: Expression) -> Expression:
    """a * b * ..., with nested products opened, ones dropped, signs and numbers in front."""
    coefficient = Fraction(1)
    rest: list[Expression] = []
    pending = list(factors)
    while pending:
        factor = pending.pop(0)
        match factor:
            case Product(factors=inner):
                pending[:0] = inner
            case Number(value=value):
                coefficient *= value
            case Negative(operand=operand):
                coefficient = -coefficient
                pending.insert(0, operand)
            case _:
                rest.append(factor)
    if coefficient == 0 or not rest:
        return Number(coefficient)
    if abs(coefficient) != 1:
        rest.insert(0, Number(abs(coefficient)))
    body = rest[0] if len(rest) == 1 else Product(tuple(rest))
    return Negative(body) if coefficient < 0 else body


def total(*terms: Expression) -> Expression:
    """a + b + ..., with nested sums opened and zeros dropped."""
    flat: list[Expression] = []
    for term in terms:
        flat.extend(term.terms if isinstance(term, Sum) else (term,))
    flat = [term for term in flat if term != ZERO]
    if not flat:
        return ZERO
    return flat[0] if len(flat) == 1 else Sum(tuple(flat))
