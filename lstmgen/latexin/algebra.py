"""Terms with shapes, and what two of them make: which product is meant is decided by shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..language.expressions import (
    Call, Expression, MatVec, Number, Power, Product, Quotient, negative, number, product, total,
)
from ..language.shapes import Dim, Shape, describe
from ..language.text import source
from .choices import Choices
from .faults import NotRead

ELEMENTWISE, OUTER, ANY = "odot", "otimes", ""


@dataclass(frozen=True)
class Term:
    """An expression of the language of claims with its shape."""

    expression: Expression
    shape: Shape
    at: int
    row: bool = False  # a vector that is written as a row
    parts: tuple[Term, ...] = ()  # of a stack: what lies under each other
    blocks: tuple[tuple[Term, ...], ...] = ()  # of a matrix of matrices

    @property
    def is_number(self) -> bool:
        return not self.shape


class Sizes:
    """Whether two sizes are the same."""

    def same(self, one: Dim, other: Dim) -> bool:
        return one == other

    def told(self, shape: Shape) -> str:
        return describe(shape)


class Unknown(Sizes):
    """Sizes of a cell that nobody has declared: symbols that begin with ? are not known yet."""

    def __init__(self) -> None:
        self.count = 0
        self.known: dict[str, Dim] = {}

    def new(self) -> Dim:
        self.count += 1
        return Dim.of(f"?{self.count}")

    def resolved(self, size: Dim) -> Dim:
        """The size with everything that is known put in."""
        whole = Dim((), size.constant)
        for symbols, factor in size.terms:
            product = Dim((), factor)
            for symbol in symbols:
                product *= self.resolved(self.known[symbol]) if symbol in self.known else Dim.of(symbol)
            whole += product
        return whole

    def same(self, one: Dim, other: Dim) -> bool:
        one, other = self.resolved(one), self.resolved(other)
        if one == other:
            return True
        for left, right in ((one, other), (other, one)):
            if left.symbol and left.symbol.startswith("?") and left.symbol not in right.symbols:
                self.known[left.symbol] = right
                return True
        return False

    def told(self, shape: Shape) -> str:
        return describe(tuple(map(self.resolved, shape)))


class Algebra:
    """Sums and products of terms, with the choices that shapes leave open."""

    def __init__(self, sizes: Sizes, choices: Choices, lenient: bool = False, rows: bool = False):
        """`rows`: a vector is a row, and a transposed one a column."""
        self.sizes, self.choices, self.lenient, self.rows = sizes, choices, lenient, rows
        self.joined: Callable[[Term, Term], Term | None] = lambda matrix, stack: None

    # ------------------------------------------------------------------ sums

    def add(self, terms: Sequence[tuple[bool, Term]], at: int) -> Term:
        """Terms with their signs: True is minus."""
        shaped = [term for _, term in terms if term.shape]
        for term in shaped[1:]:
            if not self._alike(shaped[0], term):
                self._misfit(term.at, shaped[0], "plus", term)
        expressions = [negative(term.expression) if minus else term.expression for minus, term in terms]
        first = shaped[0] if shaped else terms[0][1]
        if len(terms) == 1 and not terms[0][0]:
            return terms[0][1]
        row = bool(shaped) and all(term.row for term in shaped)
        return Term(total(*expressions), first.shape, at, row)

    def _alike(self, one: Term, other: Term) -> bool:
        return len(one.shape) == len(other.shape) and all(map(self.sizes.same, one.shape, other.shape))

    # ------------------------------------------------------------------ products

    def chain(self, factors: Sequence[Term], signs: Sequence[str], at: int) -> Term:
        """A product of several. Where it matters what is multiplied first, shapes decide, or both ways are tried."""
        if len(factors) == 1:
            return factors[0]
        ways: list[Term] = []
        faults: list[NotRead] = []
        for fold in (self._from_right, self._from_left):
            try:
                found = fold(factors, signs)
            except NotRead as fault:
                faults.append(fault)
                continue
            if all(found.expression != way.expression for way in ways):
                ways.append(found)
        if not ways:
            raise faults[0]
        if len(ways) == 1:
            return replace(ways[0], at=at)
        told = tuple(f"the product is read as {source(way.expression)}" for way in ways)
        return replace(ways[self.choices.pick(("product", str(at)), told)], at=at)

    def _from_right(self, factors: Sequence[Term], signs: Sequence[str]) -> Term:
        whole = factors[-1]
        for factor, sign in zip(reversed(factors[:-1]), reversed(signs)):
            whole = self.multiply(factor, whole, sign)
        return whole

    def _from_left(self, factors: Sequence[Term], signs: Sequence[str]) -> Term:
        whole = factors[0]
        for factor, sign in zip(factors[1:], signs):
            whole = self.multiply(whole, factor, sign)
        return whole

    def multiply(self, one: Term, other: Term, sign: str = ANY) -> Term:
        """A product, as the shapes allow it. `sign`: how it is written."""
        if one.blocks or other.blocks:
            return self._blocks(one, other)
        a, b = one.expression, other.expression
        if not one.shape or not other.shape:
            whole = one if one.shape else other
            return Term(product(a, b), whole.shape, one.at, whole.row)
        if sign == OUTER and len(one.shape) == len(other.shape) == 1:
            return Term(Call("outer", (a, b)), one.shape + other.shape, one.at)
        match (len(one.shape), len(other.shape)):
            case (1, 1):
                return self._of_vectors(one, other, sign)
            case (2, 1):
                if self.sizes.same(one.shape[1], other.shape[0]) and not (other.row and sign != ELEMENTWISE):
                    return Term(MatVec(a, b), one.shape[:1], one.at)
                apart = self.joined(one, other)
                if apart is not None:
                    return apart
                if self.lenient:
                    return Term(MatVec(a, b), one.shape[:1], one.at)
            case (1, 2):
                if self.sizes.same(one.shape[0], other.shape[0]):
                    return Term(MatVec(transposed(b), a), other.shape[1:], one.at, row=one.row)
            case (2, 2):
                same = self._alike(one, other)
                if same and (sign == ELEMENTWISE or not self.sizes.same(one.shape[1], other.shape[0])):
                    return Term(product(a, b), one.shape, one.at)
                if self.sizes.same(one.shape[1], other.shape[0]):
                    return Term(MatVec(a, b), (one.shape[0], other.shape[1]), one.at)
        self._misfit(one.at, one, "times", other)
        raise AssertionError

    def _of_vectors(self, one: Term, other: Term, sign: str) -> Term:
        a, b = one.expression, other.expression
        one_row, other_row = one.row != self.rows, other.row != self.rows
        if other_row and not one_row and sign != ELEMENTWISE:
            return Term(Call("outer", (a, b)), one.shape + other.shape, one.at)
        if not self._alike(one, other):
            if sign != ELEMENTWISE and one.row == other.row:
                pair = f"'{_short(one)}' and '{_short(other)}'"
                told = f"the product of {pair}, whose sizes differ, is read as their outer product"
                self.choices.pick(("sizes differ", str(other.at)), (told,))
                return Term(Call("outer", (a, b)), one.shape + other.shape, one.at)
            self._misfit(one.at, one, "times", other)
        if one_row and not other_row and sign != ELEMENTWISE:
            return Term(Call("dot", (a, b)), (), one.at)
        return Term(product(a, b), one.shape, one.at, one.row and other.row)

    def _blocks(self, one: Term, other: Term) -> Term:
        """A matrix of matrices times a stack: a sum for each row."""
        columns = other.parts or (other,)
        if not one.blocks or any(len(row) != len(columns) for row in one.blocks):
            raise NotRead(one.at, "a matrix of matrices is read where it is multiplied with a stack of as many vectors")
        sums = [
            self.add([(False, self.multiply(cell, part)) for cell, part in zip(row, columns)], one.at) for row in one.blocks
        ]
        return sums[0] if len(sums) == 1 else self.stack(sums, one.at)

    def stack(self, parts: Sequence[Term], at: int) -> Term:
        """Vectors under each other."""
        size = Dim()
        for part in parts:
            if len(part.shape) != 1:
                raise NotRead(part.at, f"'{source(part.expression)}' is {self.sizes.told(part.shape)}, "
                              "and a stack is made of vectors")
            size += part.shape[0]
        if len(parts) == 1:
            return parts[0]
        return Term(Call("concat", tuple(part.expression for part in parts)), (size,), at, parts=tuple(parts))

    def outer(self, one: Term, other: Term) -> Term:
        if len(one.shape) == len(other.shape) == 1:
            return Term(Call("outer", (one.expression, other.expression)), one.shape + other.shape, one.at)
        self._misfit(one.at, one, "outer", other)
        raise AssertionError

    # ------------------------------------------------------------------ the rest

    def transpose(self, term: Term) -> Term:
        if len(term.shape) == 2:
            return replace(term, expression=transposed(term.expression), shape=term.shape[::-1], blocks=())
        return replace(term, row=not term.row) if term.shape else term

    def power(self, base: Term, exponent: Expression) -> Term:
        if len(base.shape) > 1:
            raise NotRead(base.at, "a power of a matrix")
        return replace(base, expression=Power(base.expression, exponent), parts=())

    def divide(self, above: Term, below: Term) -> Term:
        if above.shape and below.shape and not self._alike(above, below):
            self._misfit(above.at, above, "divided by", below)
        if len(below.shape) > 1:
            raise NotRead(below.at, "a division by a matrix")
        whole = above if above.shape else below
        match above.expression, below.expression:
            case Number(value=one), Number(value=other) if other:
                return Term(number(one / other), (), above.at)
        return replace(whole, expression=Quotient(above.expression, below.expression), at=above.at, parts=())

    def _misfit(self, at: int, one: Term, how: str, other: Term) -> None:
        told = ", ".join(f"'{_short(term)}' is {self.sizes.told(term.shape)}" for term in (one, other))
        raise Misfit(at, f"{how} does not fit: {told}")


class Misfit(NotRead):
    """Shapes that do not meet."""


def _short(term: Term) -> str:
    text = source(term.expression)
    return text if len(text) <= 50 else f"{text[:47]}..."


def transposed(expression: Expression) -> Expression:
    match expression:
        case Call(function="transpose", arguments=(inner,)):
            return inner
        case Call(function="outer", arguments=(one, other)):
            return Call("outer", (other, one))
        case Call(function="diag"):
            return expression
        case Product(factors=(Number() as factor, Call(function="outer", arguments=(one, other)))):
            return Product((factor, Call("outer", (other, one))))
    return Call("transpose", (expression,))
