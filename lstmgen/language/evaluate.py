"""The value of an expression on arrays, in floats or in as many digits as one likes.

Proofs, worked examples and audits all evaluate here. Arrays are those of one example. With `leading=1` every
array has one axis more in front, of length 1 or N: N examples at once, whose parameters may differ too.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import reduce
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from . import functions
from .expressions import (
    Adjoint, Body, Call, Compare, Expression, MatVec, MinusInfinity, Negative, Number, Outside, Power, Product, Quotient,
    Size, Sum, Value,
)
from .functions import Arithmetic, Real
from .parse import parse_rule

DIGITS = 90  # of the high-precision arithmetic

RELATIONS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


class Mismatch(ValueError):
    """Operands whose shapes do not meet."""


# ---------------------------------------------------------------- arithmetic


_Unary = Callable[[np.ndarray], np.ndarray]
_Select = Callable[[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _select(
    relation: str, left: np.ndarray, right: np.ndarray, chosen: np.ndarray, other: np.ndarray
) -> np.ndarray:
    return np.where(RELATIONS[relation](left, right), chosen, other)


def _same(array: np.ndarray) -> np.ndarray:
    return array


_ERF = np.frompyfunc(math.erf, 1, 1)


class Floats:
    """Arithmetic in float64."""

    numpy: ModuleType = np
    dtype: np.dtype[Any] = np.dtype(float)
    exp: _Unary = np.exp
    log: _Unary = np.log
    tanh: _Unary = np.tanh
    sin: _Unary = np.sin
    cos: _Unary = np.cos
    sqrt: _Unary = np.sqrt
    divide: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.divide
    power: Callable[[np.ndarray, np.ndarray | int], np.ndarray] = np.power
    # Two that the interpreter puts its own in place of:
    select: _Select = staticmethod(_select)  # `chosen` where a comparison holds, else `other`
    hold: _Unary = staticmethod(_same)  # the argument of stop_gradient

    def passed(self, array: np.ndarray, bound: Real) -> np.ndarray:
        """What clip_gradient is of its argument."""
        return array

    def clipped(self, gradient: np.ndarray, bound: np.ndarray) -> np.ndarray:
        """What clip_gradient sends back."""
        below = self.select("<", gradient, -bound, -bound + 0 * gradient, gradient)
        return self.select(">", gradient, bound, bound + 0 * gradient, below)

    def floor(self, array: np.ndarray) -> np.ndarray:
        return self.array(np.floor(array))

    def erf(self, array: np.ndarray) -> np.ndarray:
        return self.array(_ERF(array))

    def number(self, value: Real) -> Real:
        """An exact number, or its decimal, as near as this arithmetic can hold it; minus infinity is a float."""
        return value if isinstance(value, float) else float(Fraction(value))

    def array(self, value: object) -> np.ndarray:
        return np.asarray(value, self.dtype)

    def finite(self, array: np.ndarray) -> bool:
        return bool(np.isfinite(array).all())


class Digits(Floats):
    """Arithmetic in many decimal digits, on arrays of objects. What is not real is not a number; minus infinity is.

    Nor is the function of an argument beyond 2 ** LARGEST: its digits before the point alone would not fit anywhere.
    """

    LARGEST = 4096

    dtype = np.dtype(object)

    def __init__(self, digits: int = DIGITS):
        import mpmath  # comes with SymPy, and takes as long to import as NumPy

        context: Any = mpmath.mp.clone()  # a precision of its own: nobody else's is touched
        context.dps = digits
        self.context = context
        self._numbers: dict[Fraction, Real] = {}
        self.exp, self.tanh, self.sin, self.cos, self._floor, self._erf = (
            np.frompyfunc(self._real(function, far), 1, 1)
            for function, far in (
                (context.exp, lambda a: context.nan if a > 0 else context.zero), (context.tanh, context.sign),
                (context.sin, None), (context.cos, None), (context.floor, None), (context.erf, context.sign),
            )
        )
        self.log = np.frompyfunc(lambda a: context.log(a) if a > 0 else context.nan, 1, 1)
        self.sqrt = np.frompyfunc(lambda a: context.sqrt(a) if a >= 0 else context.nan, 1, 1)
        self.divide = np.frompyfunc(lambda a, b: a / b if b else context.nan, 2, 1)
        self.power = np.frompyfunc(self._power, 2, 1)
        self._exactly = np.frompyfunc(self.number, 1, 1)

    def _real(self, function: Callable[[Real], Real], far: Callable[[Real], Real] | None) -> Callable[[Real], Real]:
        """The function on real numbers; beyond the largest argument it is `far`, where that is known."""
        context = self.context

        def real(a: Real) -> Real:
            if context.isnan(a):
                return context.nan
            if self._is_far(a):
                return far(a) if far else context.nan
            return function(a)

        return real

    def _is_far(self, a: Real) -> bool:
        return isinstance(a, self.context.mpf) and bool(a) and self.context.mag(a) > self.LARGEST

    def _power(self, base: Real, exponent: Real) -> Real:
        if self._is_far(exponent):
            return self.context.nan
        try:
            result = base**exponent
        except ZeroDivisionError:
            return self.context.nan
        return result if isinstance(result, self.context.mpf) else self.context.nan

    def floor(self, array: np.ndarray) -> np.ndarray:
        return self.array(self._floor(array))

    def erf(self, array: np.ndarray) -> np.ndarray:
        return self.array(self._erf(array))

    def number(self, value: Real) -> Real:
        if isinstance(value, self.context.mpf):
            return value
        if isinstance(value, float) and not math.isfinite(value):
            return self.context.mpf(value)
        exact = Fraction(value)
        if exact not in self._numbers:
            self._numbers[exact] = self.context.mpf(exact.numerator) / exact.denominator
        return self._numbers[exact]

    def array(self, value: object) -> np.ndarray:
        """Objects as they are; floats and whole numbers exactly."""
        if isinstance(value, np.ndarray):
            return value if value.dtype == object else np.asarray(self._exactly(value), object)
        if isinstance(value, (self.context.mpf, list, tuple)):
            return np.asarray(value, object)
        return np.asarray(self.number(value), object)

    def finite(self, array: np.ndarray) -> bool:
        return all(self.context.isfinite(entry) for entry in array.flat)


# ---------------------------------------------------------------- one expression

Leaf = Value | Adjoint | Outside
NO_CONSTANTS: Mapping[str, Fraction] = {}


class Environment(Protocol):
    """What the names in an expression stand for."""

    def __getitem__(self, leaf: Leaf, /) -> np.ndarray: ...


def evaluate(
    expression: Expression,
    environment: Environment,
    arithmetic: Arithmetic,
    sizes: Mapping[str, int],
    leading: int = 0,
) -> np.ndarray:
    """The value of an expression of a derivation, or of a claim about one."""
    return Evaluator(environment.__getitem__, arithmetic, sizes, leading).value(expression)


class Evaluator:
    """Evaluates expressions, asking `look_up` for what their names stand for."""

    def __init__(
        self,
        look_up: Callable[[Leaf], np.ndarray],
        arithmetic: Arithmetic,
        sizes: Mapping[str, int],
        leading: int,
        own: Mapping[str, Body] | None = None,
        constants: Mapping[str, Fraction] | None = None,
    ):
        self.look_up, self.math, self.leading = look_up, arithmetic, leading
        self.own, self.constants, self.sizes = own or {}, constants or {}, sizes

    def value(self, expression: Expression) -> np.ndarray:
        return self.math.array(self._value(expression))

    def _value(self, expression: Expression) -> np.ndarray:
        match expression:  # what is most often asked for first
            case Value() | Adjoint() | Outside():
                return self.named(expression)
            case Product(factors=factors):
                return reduce(operator.mul, self.aligned(*map(self.value, factors)))
            case MatVec():
                return self.matvec(expression)
            case Call():
                return self.call(expression)
            case Sum(terms=terms):
                return reduce(operator.add, self.aligned(*map(self.value, terms)))
            case Number(value=value):
                return self.number(value)
            case MinusInfinity():
                return self.number(-math.inf)
            case Size(symbol=symbol):
                return self.number(self.sizes[symbol])
            case Negative(operand=operand):
                return -self.value(operand)
            case Quotient(numerator=above, denominator=below):
                return self.math.divide(*self.aligned(self.value(above), self.value(below)))
            case Power(base=base, exponent=Number(value=exponent)) if exponent.denominator == 1:
                return self.math.power(self.value(base), int(exponent))
            case Power(base=base, exponent=power):
                return self.math.power(*self.aligned(self.value(base), self.value(power)))
            case Compare():
                raise Mismatch(f"a comparison is no value: {expression!r}")

    def number(self, value: Fraction | int | float) -> np.ndarray:
        return self.math.array(self.math.number(value)).reshape((1,) * self.leading)

    def named(self, leaf: Leaf) -> np.ndarray:
        if isinstance(leaf, Value) and leaf.name in self.constants:
            return self.number(self.constants[leaf.name])
        if isinstance(leaf, Value) and leaf.name in self.sizes:
            return self.number(self.sizes[leaf.name])
        return self.look_up(leaf)

    def matvec(self, expression: MatVec) -> np.ndarray:
        matrix, vector = self.value(expression.matrix), self.value(expression.vector)
        left, right = matrix.shape[self.leading :], vector.shape[self.leading :]
        is_matrix = len(left) == len(right)
        inner = right[-2:-1] if is_matrix else right[-1:]
        heads = right[:-2] if is_matrix else right[:-1]
        if len(left) < 2 or len(right) not in (len(left) - 1, len(left)) or left[-1:] != inner or left[:-2] != heads:
            raise Mismatch(f"a matrix times a vector or a matrix: shapes {matrix.shape} and {vector.shape}")
        if is_matrix:
            found: np.ndarray = (matrix[..., :, :, None] * vector[..., None, :, :]).sum(-2)
        elif self.leading == 1 and len(matrix) == 1 and len(left) == 2:  # one matrix for all examples
            found = vector @ matrix[0].T
        else:
            found = (matrix * vector[..., None, :]).sum(-1)
        return found

    def call(self, call: Call) -> np.ndarray:
        if call.function in self.own:
            return self.body(self.own[call.function], call.arguments)
        match call:
            case Call(function=functions.WHERE, arguments=(Compare(relation, left, right), chosen, other)):
                return self.math.select(relation, *self.aligned(*map(self.value, (left, right, chosen, other))))
        entry = functions.TABLE[call.function]
        if isinstance(entry, functions.Macro):
            return self.body(Body(entry.arguments, parse_rule(entry.body)), call.arguments)
        if isinstance(entry, functions.Pointwise):
            return entry.meaning(self.math, *self.aligned(*map(self.value, call.arguments)))
        return self.operation(entry, call.arguments)

    def operation(self, entry: functions.Operation, arguments: tuple[Expression, ...]) -> np.ndarray:
        count = len(arguments) - functions.numbers_given(entry, len(arguments))
        arrays = [self.value(argument) for argument in arguments[:count]]
        numbers = [exact(argument, self.sizes, self.constants) for argument in arguments[count:]]
        if not arrays:
            made = entry.meaning(self.math, *numbers)
            return made.reshape((1,) * self.leading + made.shape)
        if entry.name == "dot" and arrays[0].shape[self.leading :] != arrays[1].shape[self.leading :]:
            raise Mismatch(f"dot: shapes {arrays[0].shape} and {arrays[1].shape}")
        if entry.name == "concat" and self.leading:
            longest = max(len(array) for array in arrays)
            arrays = [np.broadcast_to(array, (longest, *array.shape[1:])) for array in arrays]
        return entry.meaning(self.math, *arrays, *numbers)

    def body(self, body: Body, arguments: tuple[Expression, ...]) -> np.ndarray:
        """The body of a function with its arguments in it; it reads nothing else but constants and sizes."""
        given = dict(zip(body.arguments, map(self.value, arguments)))
        numbers = {name: exact(each, self.sizes, self.constants) for name, each in zip(body.arguments, arguments)
                   if is_exact(each, self.sizes, self.constants)}
        inner = copy.copy(self)
        inner.constants = {name: value for name, value in self.constants.items() if name not in given} | numbers
        inner.sizes = {name: size for name, size in self.sizes.items() if name not in given}
        inner.look_up = lambda leaf: given[leaf.name]
        return inner.value(body.expression)

    def aligned(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Elementwise operands: all of one shape, but a scalar meets anything."""
        most = max(array.ndim for array in arrays)
        shapes = {array.shape[self.leading :] for array in arrays if array.ndim > self.leading}
        if len(shapes) > 1:
            raise Mismatch(f"elementwise operands of shapes {sorted(shapes)}")
        return [
            array if array.ndim == most else array.reshape(array.shape + (1,) * (most - array.ndim))
            for array in arrays
        ]


def is_exact(expression: Expression, sizes: Mapping[str, int], constants: Mapping[str, Fraction]) -> bool:
    """Whether an expression is a literal, a constant or a size, with a sign at most: where a number has to stand, it can."""
    match expression:
        case Negative(operand=operand):
            return is_exact(operand, sizes, constants)
        case Value(name=name):
            return name in constants or name in sizes
    return isinstance(expression, (Number, Size))


def exact(
    expression: Expression, sizes: Mapping[str, int], constants: Mapping[str, Fraction] = NO_CONSTANTS
) -> Fraction:
    """What stands where a number has to stand: a literal, a constant, or a size."""

    def value(part: Expression) -> Fraction:
        return exact(part, sizes, constants)

    match expression:
        case Number(value=literal):
            return literal
        case Size(symbol=symbol):
            return Fraction(sizes[symbol])
        case Value(name=name):
            return constants[name] if name in constants else Fraction(sizes[name])
        case Negative(operand=operand):
            return -value(operand)
        case Sum(terms=terms):
            return sum(map(value, terms), Fraction(0))
        case Product(factors=factors):
            return reduce(Fraction.__mul__, map(value, factors))
        case Quotient(numerator=above, denominator=below):
            return value(above) / value(below)
    raise Mismatch(f"no number: {expression!r}")
