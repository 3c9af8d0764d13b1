"""The shape of an expression that calls the spec's own functions.

A function has no shape of its own: each call has one, which follows from the shapes of its arguments. It is found once for
each function and each shapes of arguments, however often it is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..language.constants import is_constant
from ..language.expressions import Call, Expression, Value, transform
from ..language.shapes import Shape, ShapeMismatch, Shapes, shape_of
from ..language.text import source
from ..spec.cell import Function
from .reading import Reading

LONGEST_NAME = 60  # characters of a call in a message


class InFunction(Exception):
    """Shapes that do not fit in the body of a function, as it is called somewhere."""

    def __init__(self, function: Function, call: str, mismatch: ShapeMismatch):
        super().__init__(mismatch.message)
        self.function, self.call, self.mismatch = function, call, mismatch


class Calls:
    """Shapes of expressions with calls of the spec's own functions in them."""

    def __init__(self, reading: Reading):
        self._functions, self._bodies = reading.functions, reading.function_bodies
        self._found: dict[tuple[str, tuple[Shape | Expression, ...]], Shape] = {}

    def shape(self, expression: Expression, known: Shapes) -> Shape:
        """Raises `ShapeMismatch`, or `InFunction` for the body of a function."""
        shapes = dict(known)
        return shape_of(self._without_calls(expression, shapes), shapes)

    def _without_calls(self, expression: Expression, shapes: dict[str, Shape]) -> Expression:
        """The expression with a name in place of each call; `shapes` gets the name's shape."""

        def rule(node: Expression) -> Expression | None:
            if not (isinstance(node, Call) and node.function in self._bodies):
                return None
            told = _told(node, shapes)
            arguments = (self._without_calls(argument, shapes) for argument in node.arguments)
            given = tuple(each if is_constant(each) else shape_of(each, shapes) for each in arguments)
            shapes[told] = self._of_call(node.function, given, told)
            return Value(told, 0, node.at)

        return transform(expression, rule)

    def _of_call(self, name: str, given: tuple[Shape | Expression, ...], told: str) -> Shape:
        key = name, given
        if key not in self._found:
            function = self._functions[name]
            arguments = dict(zip(function.arguments, given))
            known = {argument: shape for argument, shape in arguments.items() if isinstance(shape, tuple)}
            body = _with_constants(self._bodies[name], arguments)
            try:
                self._found[key] = self.shape(body, known)
            except ShapeMismatch as mismatch:
                raise InFunction(function, told, mismatch) from None
        return self._found[key]


def _told(call: Call, shapes: Shapes) -> str:
    """A name for a call: its text, if that is short. No other value has it."""
    told = source(call)
    if len(told) > LONGEST_NAME:
        told = f"{call.function}(...)"
    while told in shapes:
        told += " "
    return told


def _with_constants(body: Expression, arguments: Mapping[str, Shape | Expression]) -> Expression:
    """The body with the arguments that are numbers or sizes in it."""

    def rule(node: Expression) -> Expression | None:
        given = arguments.get(node.name) if isinstance(node, Value) else None
        return None if given is None or isinstance(given, tuple) else replace(given, at=node.at)

    return transform(body, rule)
