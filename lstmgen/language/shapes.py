"""The shape of every value, in symbols: sizes such as `2*H` or `D + H`, and the rule of each operation."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from math import prod

from ..errors import Mistakes, Text
from . import functions
from .expressions import (
    Adjoint, Call, Compare, Expression, MatVec, Negative, Number, Outside, Power, Product, Quotient,
    Size, Sum, Value, children, number, product, total, walk,
)
from .names import did_you_mean
from .text import source

_OF_ANY_SHAPE = ("stop_gradient", "clip_gradient")
LARGEST_SIZE = 4096  # of a literal size or of the factor of a symbol
MOST_AXES = 3
MOST_SYMBOLS = 2  # that are multiplied with each other in a size

Symbols = tuple[str, ...]  # symbols that are multiplied with each other, sorted


@dataclass(frozen=True)
class Dim:
    """The size of one axis: a sum of multiples of symbols, or of products of symbols, and a number."""

    terms: tuple[tuple[Symbols, int], ...] = ()  # (symbols, factor), by symbols; no factor is zero
    constant: int = 0

    @classmethod
    def of(cls, symbol: str, factor: int = 1) -> Dim:
        """A multiple of one symbol."""
        return cls((((symbol,), factor),)) if factor else cls()

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol that occurs, in the order of the terms."""
        return tuple(dict.fromkeys(symbol for symbols, _ in self.terms for symbol in symbols))

    @property
    def symbol(self) -> str | None:
        """The symbol that it is; None if it is anything else."""
        match self:
            case Dim(terms=(((symbol,), 1),), constant=0):
                return symbol
        return None

    def solved(self, known: Collection[str]) -> tuple[str, Dim, Dim] | None:
        """The only symbol that is not known, what it is multiplied with, and the rest: it is (size - rest) / factor."""
        match [term for term in self.terms if not all(symbol in known for symbol in term[0])]:
            case [(symbols, factor) as term]:
                unknown = [symbol for symbol in symbols if symbol not in known]
                rest = Dim(tuple(other for other in self.terms if other != term), self.constant)
                if len(unknown) == 1:
                    others = tuple(symbol for symbol in symbols if symbol in known)
                    return unknown[0], _sum_of([(others, factor)]), rest
        return None

    def monomials(self) -> tuple[tuple[Symbols, int], ...]:
        """The terms; the number among them, as one without symbols."""
        return (*self.terms, ((), self.constant)) if self.constant else self.terms

    def __add__(self, other: Dim) -> Dim:
        return _sum_of((*self.monomials(), *other.monomials()))

    def __mul__(self, other: Dim) -> Dim:
        return _sum_of((tuple(sorted(symbols + more)), factor * times)
                       for symbols, factor in self.monomials() for more, times in other.monomials())

    def times(self, factor: int) -> Dim:
        return Dim(tuple((symbols, count * factor) for symbols, count in self.terms), self.constant * factor)

    def divided(self, divisor: int) -> Dim | None:
        """One n-th of the size, if the size is a multiple of n for all values of its symbols."""
        if self.constant % divisor or any(count % divisor for _, count in self.terms):
            return None
        return Dim(tuple((symbols, count // divisor) for symbols, count in self.terms), self.constant // divisor)

    def over(self, divisor: Dim) -> Dim | None:
        """The size divided by another, if that is one term that every term here contains."""
        if len(divisor.monomials()) != 1:
            return None
        (by, number), = divisor.monomials()
        quotients: list[tuple[Symbols, int]] = []
        for symbols, factor in self.monomials():
            rest = list(symbols)
            if factor % number or any(rest.count(symbol) < by.count(symbol) for symbol in by):
                return None
            for symbol in by:
                rest.remove(symbol)
            quotients.append((tuple(rest), factor // number))
        return _sum_of(quotients)

    def value(self, sizes: Mapping[str, int]) -> int:
        return self.constant + sum(factor * prod(sizes[symbol] for symbol in symbols) for symbols, factor in self.terms)

    def expression(self) -> Expression:
        terms = [product(number(factor), *map(Size, symbols)) for symbols, factor in self.terms]
        if self.constant or not terms:
            terms.append(number(self.constant))
        return total(*terms)

    def written(self, name_of: Callable[[str], str] = str, times: str = "*") -> str:
        """As code or text: 2*H + 1."""
        parts = []
        for symbols, factor in self.terms:
            numbers = [] if factor == 1 else [str(factor)]
            parts.append(times.join([*numbers, *map(name_of, symbols)]))
        if self.constant or not parts:
            parts.append(str(self.constant))
        return " + ".join(parts)

    def __str__(self) -> str:
        return self.written()


def _sum_of(monomials: Iterable[tuple[Symbols, int]]) -> Dim:
    factors: dict[Symbols, int] = {}
    for symbols, factor in monomials:
        factors[symbols] = factors.get(symbols, 0) + factor
    constant = factors.pop((), 0)
    return Dim(tuple(sorted(item for item in factors.items() if item[1])), constant)


Shape = tuple[Dim, ...]
Shapes = Mapping[str, Shape]  # of values, by name
SCALAR: Shape = ()


def size_of(shape: Shape) -> Dim:
    """How many entries an array has: its axes, multiplied out."""
    whole = Dim((), 1)
    for dim in shape:
        whole *= dim
    return whole


def axis_letters(shape: Shape) -> dict[str, Expression]:
    """What the letters of sizes in adjoints stand for: n is the length of the last axis, m that of the one before."""
    return {letter: dim.expression() for letter, dim in zip("nm", reversed(shape))}


def describe(shape: Shape) -> str:
    """(H, D), (H) or 'a scalar'."""
    return "(" + ", ".join(map(str, shape)) + ")" if shape else "a scalar"


_FACTOR = re.compile(r"\s*(?:(\d+)|([A-Za-z][A-Za-z0-9_]*))\s*")


def read_dim(text: Text, symbols: Mapping[str, object], mistakes: Mistakes) -> Dim | None:
    """One axis of a shape: `H`, `3`, `2*H`, `D + H`."""
    whole = Dim()
    offset = 0
    for part in text.value.split("+"):
        factor, multiplied = 1, Dim((), 1)
        for piece in part.split("*"):
            match = _FACTOR.fullmatch(piece)
            if not match:
                axes = re.findall(r"[A-Za-z]\w*", text.value) if re.search(r"[,x]", text.value) else []
                listed = f"a shape of several axes is a list: [{', '.join(axis for axis in axes if axis != 'x')}]"
                is_list = axes[1:] and len(text.value) < 40
                mistakes.add(text.at(offset), f"'{text.value[:40]}' is not a size", listed if is_list else
                             "a size is a symbol, a number, a multiple such as 2*H or N*G, or a sum such as D + H")
                return None
            if match[2]:
                symbol = match[2]
                multiplied *= Dim.of(symbol)
                if symbol not in symbols:
                    cure = did_you_mean(symbol, symbols) or f"declare it: dims: {{{symbol}: its_keyword}}"
                    mistakes.add(text.at(offset), f"there is no dimension '{symbol}'", cure)
                    return None
            else:
                factor *= int(match[1]) if len(match[1]) < 9 else LARGEST_SIZE + 1
        if not 1 <= factor <= LARGEST_SIZE:
            mistakes.add(text.at(offset), f"'{text.value[:40]}': a literal size is 1 to {LARGEST_SIZE}")
            return None
        if any(len(each) > MOST_SYMBOLS for each, _ in multiplied.terms):
            mistakes.add(text.at(offset), f"'{text.value[:40]}' multiplies more than {MOST_SYMBOLS} dimensions")
            return None
        whole += multiplied.times(factor)
        offset += len(part) + 1
    return whole


def read_shape(axes: tuple[Text, ...], symbols: Mapping[str, object], mistakes: Mistakes) -> Shape | None:
    """The shape that a declaration states."""
    if len(axes) > MOST_AXES:
        mistakes.add(axes[MOST_AXES].place, f"a shape of {len(axes)} axes",
                     f"an array has at most {MOST_AXES} axes")
        return None
    read = [read_dim(axis, symbols, mistakes) for axis in axes]
    shape = tuple(dim for dim in read if dim is not None)
    return shape if len(shape) == len(read) else None


class ShapeMismatch(Exception):
    """Shapes that do not fit: the expression, the message, and the cure."""

    def __init__(self, expression: Expression, message: str, cure: str | None = None):
        super().__init__(message)
        self.expression, self.message, self.cure = expression, message, cure


def shape_of(expression: Expression, known: Shapes) -> Shape:
    """The shape of an expression, given the shapes of the values it reads."""
    match expression:
        case Number() | Size():
            return SCALAR
        case Value(name=name) | Adjoint(name=name) | Outside(name=name):
            return known[name]
        case Sum() | Product() | Quotient() | Power() | Negative():
            return _meet(expression, children(expression), known)
        case Compare(left=left, right=right):
            return _meet(expression, (left, right), known)
        case MatVec():
            return _matvec(expression, known)
        case Call(function=function, arguments=arguments):
            entry = functions.TABLE.get(function)
            if not isinstance(entry, functions.Operation):
                return _meet(expression, arguments, known)
            return _RULES[entry.shape](expression, known)
    raise TypeError(f"no expression: {expression!r}")


def _meet(whole: Expression, operands: tuple[Expression, ...], known: Shapes) -> Shape:
    """Elementwise: all operands have one shape, or are scalars."""
    found: Shape = SCALAR
    first = None
    for operand in operands:
        shape = shape_of(operand, known)
        if not shape:
            continue
        if first is None:
            found, first = shape, operand
        elif shape != found:
            mixed = isinstance(whole, Product) and len(found) != len(shape)
            cure = "a matrix times a vector is written A @ v" if mixed else None
            single = [part for part, axes in ((first, found), (operand, shape)) if axes == (Dim((), 1),)]
            if single and isinstance(single[0], Value):
                cure = f"for a scalar, which meets any shape, declare {single[0].name} with the shape []"
            raise ShapeMismatch(
                whole, f"{_told(first, found)}, {_told(operand, shape)}; elementwise operands need the same shape", cure)
    return found


def _matvec(expression: MatVec, known: Shapes) -> Shape:
    """A matrix times a vector, or times a matrix; both for each head where both have an axis of heads in front."""
    try:
        left = shape_of(expression.matrix, known)
    except ShapeMismatch as mismatch:
        if mismatch.expression is expression.matrix and isinstance(expression.matrix, Product):
            mismatch.cure = _binds_alike(expression.matrix, expression.vector)
        raise
    right = shape_of(expression.vector, known)
    told = f"{_told(expression.matrix, left)}, {_told(expression.vector, right)}"
    if len(left) < 2 or len(right) not in (len(left) - 1, len(left)):
        raise ShapeMismatch(expression, told, _cure_product(expression, len(left), len(right)))
    inner = right[-1] if len(right) < len(left) else right[-2]
    heads, theirs = left[:-2], right[:len(left) - 2]
    if left[-1] != inner or heads != theirs:
        turned = left[-2] == inner and heads == theirs and isinstance(expression.matrix, Value)
        told += f"; {left[-1]} is not {inner}" if left[-1] != inner else f"; {heads[0]} is not {theirs[0]}"
        raise ShapeMismatch(expression, told, f"transpose({source(expression.matrix)}) would fit" if turned else None)
    return left[:-1] if len(right) < len(left) else (*left[:-1], right[-1])


def _cure_product(expression: MatVec, left: int, right: int) -> str:
    """What to write in place of a product of arrays of so many axes."""
    if isinstance(expression.matrix, Product):
        return _binds_alike(expression.matrix, expression.vector)
    one, other = source(expression.matrix), source(expression.vector)
    if len(one) + len(other) > 60:
        one, other = "A", "b"
    match left, right:
        case 1, 2:
            return f"the matrix comes first: {other} @ {one}, or transpose({other}) @ {one}"
        case 1, 1:
            return f"write {one} * {other}, entry by entry, or dot({one}, {other})"
        case 3, 1:
            return f"a matrix of each head is multiplied by a vector of each head, such as heads({other}, N)"
    return "@ is a matrix times a vector, or times a matrix; write * for an elementwise product"


def _binds_alike(matrix: Product, vector: Expression) -> str:
    *left, last = matrix.factors
    written = f"{source(product(*left))} * ({source(last)} @ {source(vector)})"
    return f"* and @ have the same precedence, from the left: write {written if len(written) < 80 else 'a * (A @ v)'}"


def _told(expression: Expression, shape: Shape) -> str:
    name = expression.name if isinstance(expression, Value) else source(expression)
    return f"{name} is {describe(shape)}"


# ---------------------------------------------------------------- one rule per operation


ARRAYS, SEVERAL = (1, 2, 3), (2, 3)  # how many axes an argument has: any but none; at least two
_WANTED = {ARRAYS: "a vector or a matrix", (1,): "a vector", (1, 2): "vectors", SEVERAL: "a matrix"}


def _array(call: Call, position: int, known: Shapes, axes: tuple[int, ...] = ARRAYS) -> Shape:
    """The shape of an argument that must not be a scalar."""
    argument = call.arguments[position]
    shape = shape_of(argument, known)
    if len(shape) not in axes:
        raise ShapeMismatch(call, f"{call.function} takes {_WANTED[axes]}; {_told(argument, shape)}")
    return shape


def literal(call: Call, position: int, low: int = 0) -> int:
    """An argument that has to be a literal whole number."""
    argument = call.arguments[position]
    value = argument.value if isinstance(argument, Number) else None
    if value is None or value.denominator != 1 or not low <= value <= LARGEST_SIZE:
        raise ShapeMismatch(
            argument, f"{call.function} needs a whole number from {low} to {LARGEST_SIZE} here, not {source(argument)}")
    return int(value)


def _reduce(call: Call, known: Shapes) -> Shape:
    return _array(call, 0, known)[:-1]


def _same(call: Call, known: Shapes) -> Shape:
    for argument in call.arguments[1:]:
        if not isinstance(argument, Number) or argument.value <= 0:
            raise ShapeMismatch(
                argument, f"{call.function} needs a positive number here, not {source(argument)}")
    if call.function in _OF_ANY_SHAPE:
        return shape_of(call.arguments[0], known)
    return _array(call, 0, known)


def _dot(call: Call, known: Shapes) -> Shape:
    left, right = _array(call, 0, known), _array(call, 1, known)
    if left != right:
        first, second = call.arguments
        product_meant = len(left) == 2 and len(right) == 1
        cure = f"a matrix times a vector is written {source(first)} @ {source(second)}" if product_meant else None
        raise ShapeMismatch(call, f"{_told(first, left)}, {_told(second, right)}; dot needs the same shape", cure)
    return left[:-1]


def _outer(call: Call, known: Shapes) -> Shape:
    left, right = _array(call, 0, known, (1, 2)), _array(call, 1, known, (1, 2))
    if left[:-1] != right[:-1]:
        first, second = call.arguments
        raise ShapeMismatch(call, f"{_told(first, left)}, {_told(second, right)}; outer takes two vectors, or one of each "
                            "for as many heads")
    return left + right[-1:]


def _transpose(call: Call, known: Shapes) -> Shape:
    *heads, rows, columns = _array(call, 0, known, SEVERAL)
    return (*heads, columns, rows)


def _heads(call: Call, known: Shapes) -> Shape:
    shape, count = _array(call, 0, known, (1, 2)), _size_argument(call, 1)
    each = shape[-1].over(count)
    if each is None or each == Dim():
        raise ShapeMismatch(call, f"{_told(call.arguments[0], shape)}; {shape[-1]} is not a multiple of {count}",
                            f"declare it with the size {count}*K, where K is the size of one head")
    return (*shape[:-1], count, each)


def _flat(call: Call, known: Shapes) -> Shape:
    *before, count, each = _array(call, 0, known, SEVERAL)
    return (*before, count * each)


def _repeat(call: Call, known: Shapes) -> Shape:
    shape = _array(call, 0, known)
    return shape[:-1] + (shape[-1].times(literal(call, 1, 1)),)


def _concat(call: Call, known: Shapes) -> Shape:
    shapes = [_array(call, position, known) for position in range(len(call.arguments))]
    for argument, shape in zip(call.arguments, shapes):
        if shape[:-1] != shapes[0][:-1]:
            raise ShapeMismatch(
                call, f"{_told(call.arguments[0], shapes[0])}, {_told(argument, shape)}; concat joins along the last axis")
    last = shapes[0][-1]
    for shape in shapes[1:]:
        last += shape[-1]
    return shapes[0][:-1] + (last,)


def _part(call: Call, known: Shapes) -> Shape:
    shape = _array(call, 0, known)
    parts = literal(call, 2, 1)
    chosen = literal(call, 1)
    if chosen >= parts:
        raise ShapeMismatch(
            call.arguments[1], f"part {chosen} of {parts}: parts are counted from 0, the last is {parts - 1}")
    return _divided(call, shape, parts)


def _divided(call: Call, shape: Shape, parts: int) -> Shape:
    """The shape of one of so many equal parts of the first argument, cut along its last axis."""
    size = shape[-1].divided(parts)
    if size is None:
        raise ShapeMismatch(call, f"{_told(call.arguments[0], shape)}; {shape[-1]} is not a multiple of {parts}")
    return shape[:-1] + (size,)


def _fill(call: Call, known: Shapes) -> Shape:
    shape = (*shape_of(call.arguments[0], known), _size_argument(call, 1))
    if len(shape) > MOST_AXES:
        raise ShapeMismatch(call, f"the result would have {len(shape)} axes", f"an array has at most {MOST_AXES}")
    return shape


def _fold(call: Call, known: Shapes) -> Shape:
    return _divided(call, shape_of(call.arguments[0], known), literal(call, 1, 1))


def _place(call: Call, known: Shapes) -> Shape:
    shape = shape_of(call.arguments[0], known)
    return shape[:-1] + (shape[-1].times(literal(call, 2, 1)),)


def _slice(call: Call, known: Shapes) -> Shape:
    shape = shape_of(call.arguments[0], known)
    low, high = dim_of(call.arguments[1]), dim_of(call.arguments[2])
    return shape[:-1] + (high + low.times(-1),)


def _size_argument(call: Call, position: int) -> Dim:
    """An argument that has to be a size."""
    argument = call.arguments[position]
    try:
        dim = dim_of(argument)
    except TypeError:
        dim = Dim()
    whole = all(node.value.denominator == 1 and 0 < node.value <= LARGEST_SIZE
                for node in walk(argument) if isinstance(node, Number))
    if dim == Dim() or not whole:
        raise ShapeMismatch(argument, f"{call.function} needs a size here, not {source(argument)}",
                            "a size is a symbol of 'dims', a whole number, a multiple such as 2 * H, or a sum such as D + H")
    return dim


def _ones(call: Call, known: Shapes) -> Shape:
    return tuple(_size_argument(call, position) for position in range(len(call.arguments)))


def _square(call: Call, known: Shapes) -> Shape:
    size = _size_argument(call, 0)
    return size, size


def _constant_array(call: Call, known: Shapes) -> Shape:
    rows, entries = literal(call, 0), len(call.arguments) - 1
    return (Dim((), rows), Dim((), entries // rows)) if rows else (Dim((), entries),)


def dim_of(expression: Expression) -> Dim:
    """The size that an expression of symbols and numbers stands for."""
    match expression:
        case Number(value=value):
            return Dim((), int(value))
        case Size(symbol=symbol):
            return Dim.of(symbol)
        case Product(factors=factors):
            return reduce(Dim.__mul__, map(dim_of, factors))
        case Sum(terms=terms):
            return sum(map(dim_of, terms), Dim())
    raise TypeError(f"no size: {expression!r}")


_RULES: dict[str, Callable[[Call, Shapes], Shape]] = {
    "reduce": _reduce, "same": _same, "dot": _dot, "outer": _outer, "transpose": _transpose,
    "repeat": _repeat, "concat": _concat, "part": _part, "heads": _heads, "flat": _flat,
    "ones": _ones, "square": _square, "array": _constant_array,
    "fill": _fill, "fold": _fold, "place": _place, "slice": _slice,
}
