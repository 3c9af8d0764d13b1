"""The shape of every value, in symbols: sizes such as `2*H` or `D + H`, and the rule of each operation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import Mistakes, Text
from . import functions
from .expressions import (
    Adjoint, Call, Compare, Expression, MatVec, Negative, Number, Outside, Power, Product, Quotient,
    Size, Sum, Value, children, number, product, total, walk,
)
from .names import did_you_mean
from .text import source

LARGEST_SIZE = 4096  # of a literal size or of the factor of a symbol
MOST_AXES = 2


@dataclass(frozen=True)
class Dim:
    """The size of one axis: a sum of multiples of symbols, and a number."""

    terms: tuple[tuple[str, int], ...] = ()  # (symbol, factor), by symbol; no factor is zero
    constant: int = 0

    def __add__(self, other: Dim) -> Dim:
        factors = dict(self.terms)
        for symbol, factor in other.terms:
            factors[symbol] = factors.get(symbol, 0) + factor
        return Dim(tuple(sorted(item for item in factors.items() if item[1])), self.constant + other.constant)

    def times(self, factor: int) -> Dim:
        return Dim(tuple((symbol, count * factor) for symbol, count in self.terms), self.constant * factor)

    def divided(self, divisor: int) -> Dim | None:
        """One n-th of the size, if the size is a multiple of n for all values of its symbols."""
        if self.constant % divisor or any(count % divisor for _, count in self.terms):
            return None
        return Dim(tuple((symbol, count // divisor) for symbol, count in self.terms), self.constant // divisor)

    def value(self, sizes: Mapping[str, int]) -> int:
        return self.constant + sum(factor * sizes[symbol] for symbol, factor in self.terms)

    def expression(self) -> Expression:
        terms = [product(number(factor), Size(symbol)) for symbol, factor in self.terms]
        if self.constant or not terms:
            terms.append(number(self.constant))
        return total(*terms)

    def __str__(self) -> str:
        parts = [symbol if factor == 1 else f"{factor}*{symbol}" for symbol, factor in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return " + ".join(parts)


Shape = tuple[Dim, ...]
Shapes = Mapping[str, Shape]  # of values, by name
SCALAR: Shape = ()


def describe(shape: Shape) -> str:
    """(H, D), (H) or 'a scalar'."""
    return "(" + ", ".join(map(str, shape)) + ")" if shape else "a scalar"


_FACTOR = re.compile(r"\s*(?:(\d+)|([A-Za-z][A-Za-z0-9_]*))\s*")


def read_dim(text: Text, symbols: Mapping[str, object], mistakes: Mistakes) -> Dim | None:
    """One axis of a shape: `H`, `3`, `2*H`, `D + H`."""
    whole = Dim()
    offset = 0
    for part in text.value.split("+"):
        factor, symbol = 1, None
        for piece in part.split("*"):
            match = _FACTOR.fullmatch(piece)
            if not match or (match[2] and symbol):
                axes = re.findall(r"[A-Za-z]\w*", text.value) if re.search(r"[,x]", text.value) else []
                listed = f"a shape of several axes is a list: [{', '.join(axis for axis in axes if axis != 'x')}]"
                is_list = axes[1:] and len(text.value) < 40
                mistakes.add(text.at(offset), f"'{text.value[:40]}' is not a size", listed if is_list else
                             "a size is a symbol, a number, a multiple such as 2*H, or a sum such as D + H")
                return None
            if match[2]:
                symbol = match[2]
                if symbol not in symbols:
                    cure = did_you_mean(symbol, symbols) or f"declare it: dims: {{{symbol}: its_keyword}}"
                    mistakes.add(text.at(offset), f"there is no dimension '{symbol}'", cure)
                    return None
            else:
                factor *= int(match[1]) if len(match[1]) < 9 else LARGEST_SIZE + 1
        if not 1 <= factor <= LARGEST_SIZE:
            mistakes.add(text.at(offset), f"'{text.value[:40]}': a literal size is 1 to {LARGEST_SIZE}")
            return None
        whole += Dim(((symbol, factor),)) if symbol else Dim((), factor)
        offset += len(part) + 1
    return whole


def read_shape(axes: tuple[Text, ...], symbols: Mapping[str, object], mistakes: Mistakes) -> Shape | None:
    """The shape that a declaration states."""
    if len(axes) > MOST_AXES:
        mistakes.add(axes[MOST_AXES].place, f"a shape of {len(axes)} axes",
                     "values are scalars, vectors and matrices: at most two axes")
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
    try:
        matrix = shape_of(expression.matrix, known)
    except ShapeMismatch as mismatch:
        if mismatch.expression is expression.matrix and isinstance(expression.matrix, Product):
            mismatch.cure = _binds_alike(expression.matrix, expression.vector)
        raise
    vector = shape_of(expression.vector, known)
    told = f"{_told(expression.matrix, matrix)}, {_told(expression.vector, vector)}"
    if len(matrix) != 2 or len(vector) != 1:
        cure = "@ is a matrix times a vector; write * for an elementwise product"
        left, right = source(expression.matrix), source(expression.vector)
        if len(left) + len(right) > 60:
            left, right = "A", "b"
        if (len(matrix), len(vector)) == (1, 2):
            cure = f"the matrix comes first: {right} @ {left}, or transpose({right}) @ {left}"
        elif (len(matrix), len(vector)) == (1, 1):
            cure = f"write {left} * {right}, entry by entry, or dot({left}, {right})"
        elif (len(matrix), len(vector)) == (2, 2):
            cure = "there is no product of two matrices: write A @ (B @ v) with the vector that they multiply"
        if isinstance(expression.matrix, Product):
            cure = _binds_alike(expression.matrix, expression.vector)
        raise ShapeMismatch(expression, told, cure)
    if matrix[1] != vector[0]:
        turned = matrix[0] == vector[0] and isinstance(expression.matrix, Value)
        raise ShapeMismatch(expression, f"{told}; {matrix[1]} is not {vector[0]}",
                            f"transpose({source(expression.matrix)}) would fit" if turned else None)
    return matrix[:1]


def _binds_alike(matrix: Product, vector: Expression) -> str:
    *left, last = matrix.factors
    written = f"{source(product(*left))} * ({source(last)} @ {source(vector)})"
    return f"* and @ have the same precedence, from the left: write {written if len(written) < 80 else 'a * (A @ v)'}"


def _told(expression: Expression, shape: Shape) -> str:
    name = expression.name if isinstance(expression, Value) else source(expression)
    return f"{name} is {describe(shape)}"


# ---------------------------------------------------------------- one rule per operation


def _array(call: Call, position: int, known: Shapes, axes: tuple[int, ...] = (1, 2)) -> Shape:
    """The shape of an argument that must not be a scalar."""
    argument = call.arguments[position]
    shape = shape_of(argument, known)
    if len(shape) not in axes:
        wanted = {(1, 2): "a vector or a matrix", (1,): "a vector", (2,): "a matrix"}[axes]
        raise ShapeMismatch(call, f"{call.function} takes {wanted}; {_told(argument, shape)}")
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
    if call.function == "stop_gradient":
        return shape_of(call.arguments[0], known)
    for argument in call.arguments[1:]:
        if not isinstance(argument, Number) or argument.value <= 0:
            raise ShapeMismatch(
                argument, f"{call.function} needs a positive number here, not {source(argument)}")
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
    return _array(call, 0, known, (1,)) + _array(call, 1, known, (1,))


def _transpose(call: Call, known: Shapes) -> Shape:
    return _array(call, 0, known, (2,))[::-1]


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
    return shape_of(call.arguments[0], known) + (dim_of(call.arguments[1]),)


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
            return Dim(((symbol, 1),))
        case Product(factors=(Number(value=value), Size(symbol=symbol))):
            return Dim(((symbol, int(value)),))
        case Sum(terms=terms):
            whole = Dim()
            for term in terms:
                whole += dim_of(term)
            return whole
    raise TypeError(f"no size: {expression!r}")


_RULES: dict[str, Callable[[Call, Shapes], Shape]] = {
    "reduce": _reduce, "same": _same, "dot": _dot, "outer": _outer, "transpose": _transpose,
    "repeat": _repeat, "concat": _concat, "part": _part,
    "ones": _ones, "square": _square, "array": _constant_array,
    "fill": _fill, "fold": _fold, "place": _place, "slice": _slice,
}
