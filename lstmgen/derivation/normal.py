"""From equations to stages in normal form; `graph.py` says what that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn

from ..language import functions
from ..language.constants import faults, is_constant
from ..language.effort import derivative_nodes, extent_of_copies
from ..language.expressions import (
    Body, Call, Compare, Expression, MatVec, Negative, Number, Product, Size, Sum, Value, children, negative, product,
    rebuild, transform, walk,
)
from ..language.parse import parse_rule
from ..language.shapes import Shape, describe, shape_of
from .graph import Stage
from .limits import MOST_DERIVED, MOST_DERIVED_IN_ALL, MOST_ENTRIES, MOST_NODES, MOST_STAGES, entries
from .reading import LOSS, Reading


class Normaliser:
    """Splits the equations into stages."""

    def __init__(self, reading: Reading, bodies: Mapping[str, Expression]):
        self.reading, self.bodies = reading, bodies
        self.shapes = dict(reading.shapes)
        self.taken = {*reading.declared, *reading.equations, *reading.constants, *reading.arrays, *reading.symbols}
        self.made: list[Stage] = []
        self.derived = 0  # operations of all derivatives
        self.unnamed: set[str] = set()  # stages that the spec gave no name
        self.known: dict[Expression, str] = {}  # expressions that have a stage already

    def stages(self, order: list[str]) -> tuple[tuple[Stage, ...], str | None]:
        loss = None
        for array in self.reading.spec.arrays:
            self.owner, self.place = array.name, array.place
            self._append(array.name, self.reading.arrays[array.name])
        for name in order:
            stage_name = name
            if name == LOSS:
                stage_name = loss = self._free_name("loss")
            self.owner = stage_name
            self.place = self.reading.texts[name].place if name == LOSS else self.reading.equations[name].place
            expression = self._stage_expression(self.bodies[name])
            self._append(stage_name, expression)
        return tuple(self.made), loss

    def _append(self, name: str, expression: Expression) -> None:
        """Add a stage, if the limits allow to derive and to compute it."""
        shape = shape_of(expression, self.shapes)
        self._refuse_laborious(expression, shape)
        self.shapes[name] = shape
        if not _is_one_of_its_own(expression):
            self.known.setdefault(expression, name)
        self.made.append(Stage(name, expression, shape, self.owner, self.place))

    def _refuse_laborious(self, expression: Expression, shape: Shape) -> None:
        def refuse(what: str, cure: str | None = None) -> NoReturn:
            raise self.reading.mistakes.fatal(self.place, what, cure)

        if len(self.made) >= MOST_STAGES:
            refuse(f"the cell has more than {MOST_STAGES} stages", "split the cell into several")
        nodes = derivative_nodes(expression)
        self.derived += nodes
        if nodes > MOST_DERIVED:
            refuse(f"the derivatives of '{self.owner}' with respect to all that it reads have more than {MOST_DERIVED} "
                   "operations", "write equations for parts of it, as a product of products or a sum of sums")
        if self.derived > MOST_DERIVED_IN_ALL:
            refuse(f"up to '{self.owner}' the derivatives have more than {MOST_DERIVED_IN_ALL} operations",
                   "split the cell into several")
        if entries(shape) > MOST_ENTRIES:
            refuse(f"'{self.owner}' needs a value of shape {describe(shape)}, and one has at most {MOST_ENTRIES} entries "
                   "where every symbol of a size is 4", "declare a dimension for a size that is large")

    def _stage_expression(self, expression: Expression, top: bool = True) -> Expression:
        """The normal form of a stage's expression; other parts become stages before it."""
        expression = self._written_out(_number_into_sum(expression))
        if is_constant(expression):
            return expression
        match expression:
            case Call(function=function) if body := self._body(function):
                return self._stage_expression(self._expanded(expression, body, top), top)
            case Call(function=function) if function in functions.MAKERS:
                return expression
            case Call(function=function, arguments=arguments):
                before = [argument for argument in arguments if not _is_atom(argument)]
                pre = top and len(before) == 1 and function != functions.WHERE
                return Call(function, tuple(self._argument(argument, pre) for argument in arguments), expression.at)
            case MatVec(matrix=matrix, vector=vector):
                return MatVec(self._atom(matrix), self._atom(vector), expression.at)
            case Negative(operand=MatVec() as operand):
                return Negative(self._stage_expression(operand), expression.at)
            case Sum(terms=terms):
                return Sum(tuple(self._term(term) for term in _opened(terms)), expression.at)
        return self._pointwise(expression)

    def _term(self, term: Expression) -> Expression:
        match term:
            case MatVec():
                return self._stage_expression(term)
            case Negative(operand=MatVec() as operand):
                return Negative(self._stage_expression(operand), term.at)
        return self._pointwise(term)

    def _pointwise(self, expression: Expression) -> Expression:
        """The algebra, with calls and matrix products as stages of their own."""
        expression = self._written_out(expression)
        if is_constant(expression):
            return expression
        match expression:
            case Call(function=function) if body := self._body(function):
                return self._pointwise(self._expanded(expression, body, top=False))
            case Call(function="fill", arguments=(copied, size)):  # beside what it meets it need not be copied
                inner = self._pointwise(copied) if _is_fill(copied) else self._atom(copied)
                return Call("fill", (inner, size), expression.at)
            case Call() | MatVec():
                return self._atom(expression)
            case Sum(terms=terms) if any(_is_matvec(term) for term in terms):
                return self._atom(expression)
        parts = tuple(self._pointwise(part) for part in children(expression))
        return rebuild(expression, parts) if parts else expression

    def _argument(self, expression: Expression, pre: bool) -> Expression:
        if isinstance(expression, Compare):
            return Compare(expression.relation, self._atom(expression.left), self._atom(expression.right), expression.at)
        return self._atom(expression, pre)

    def _atom(self, expression: Expression, pre: bool = False) -> Expression:
        """The expression itself if it is a name, else the name of a new stage for it."""
        expression = self._written_out(expression)
        if is_constant(expression):
            return expression
        if isinstance(expression, Value):
            return expression
        normal = self._stage_expression(expression, top=False)
        if _is_atom(normal):
            return normal
        name = self.known.get(normal)
        if name is None:
            name = self._free_name(f"{self.owner}_pre" if pre else self._name_for(normal))
            self.unnamed.add(name)
            self._append(name, normal)
        return Value(name, 0, expression.at)

    def _body(self, function: str) -> Body | None:
        """The body of a function of the spec, or of a macro of the language; None for any other function."""
        own, entry = self.reading.functions.get(function), functions.TABLE.get(function)
        if own is not None:
            return Body(own.arguments, self.reading.function_bodies[own.name])
        return Body(entry.arguments, parse_rule(entry.body)) if isinstance(entry, functions.Macro) else None

    def _expanded(self, call: Call, body: Body, top: bool) -> Expression:
        """The body of a function that stands for an expression, with the arguments in it."""
        alone = len(body.arguments) == 1
        given = {}
        for name, argument in zip(body.arguments, call.arguments):
            uses = sum(isinstance(node, Value) and node.name == name for node in walk(body.expression))
            named = uses > 1 or (top and alone and not isinstance(body.expression, Value))
            given[name] = self._atom(argument, pre=top and alone) if named else argument
        return _with_arguments(body.expression, given)

    def _written_out(self, expression: Expression) -> Expression:
        """A constant with the functions in it that stand for expressions put in; anything else as it is.

        None of a constant becomes a stage, but for what a function makes, such as a vector of ones.
        """
        if not is_constant(expression):
            return expression
        calls = [node for node in walk(expression) if isinstance(node, Call) and self._body(node.function)]
        if not calls:
            return expression
        if extent_of_copies(expression, self._body).nodes > MOST_NODES:
            raise self.reading.mistakes.fatal(
                self.place, f"a constant in '{self.owner}' is longer than {MOST_NODES} operations when functions are put in",
                "write its value")
        written = self._put_in(expression)
        for fault in faults(written):
            self.reading.mistakes.add(self.place, fault.message)
        return written

    def _put_in(self, expression: Expression) -> Expression:
        def rule(node: Expression) -> Expression | None:
            body = self._body(node.function) if isinstance(node, Call) else None
            if body is None or not isinstance(node, Call):
                return None
            given = dict(zip(body.arguments, map(self._put_in, node.arguments)))
            return _with_arguments(self._put_in(body.expression), given)

        return transform(expression, rule)

    def _name_for(self, expression: Expression) -> str:
        """tanh_c for tanh(c), r_h_prev for r * h[t-1], else the owner's name and a number."""
        match expression:
            case Call(function=function, arguments=(Value(name=name, lag=lag),)) if (
                name not in self.unnamed or name.endswith("_pre")
            ):
                return f"{function}_{name}{'_prev' * -lag}"
            case Call(function=function, arguments=sizes) if function in functions.MAKERS and (
                all(isinstance(size, Size) for size in sizes)
            ):
                return "_".join([function, *(size.symbol for size in sizes if isinstance(size, Size))])
            case Product(factors=(Value(name=left, lag=early), Value(name=right, lag=lag))) if not (
                {left, right} & self.unnamed
            ):
                return f"{left}{'_prev' * -early}_{right}{'_prev' * -lag}"
        count = 1
        while f"{self.owner}_{count}" in self.taken:
            count += 1
        return f"{self.owner}_{count}"

    def _free_name(self, wanted: str) -> str:
        name, count = wanted, 2
        while name in self.taken:
            name, count = f"{wanted}_{count}", count + 1
        self.taken.add(name)
        return name


def _with_arguments(body: Expression, given: Mapping[str, Expression]) -> Expression:
    """The body of a function with its arguments in it."""
    return transform(body, lambda node: given.get(node.name) if isinstance(node, Value) else None)


def _is_one_of_its_own(expression: Expression) -> bool:
    """Whether it is not the same as another call that looks alike: each clip_gradient clips what reaches it alone."""
    return isinstance(expression, Call) and expression.function == "clip_gradient"


def _is_atom(expression: Expression) -> bool:
    return isinstance(expression, Value) or is_constant(expression)


def _is_fill(expression: Expression) -> bool:
    return isinstance(expression, Call) and expression.function == "fill"


def _is_matvec(term: Expression) -> bool:
    return isinstance(term.operand if isinstance(term, Negative) else term, MatVec)


def _opened(terms: Iterable[Expression]) -> Iterator[Expression]:
    """The terms of a sum, also those of sums in parentheses."""
    for term in terms:
        match term:
            case Sum(terms=inner):
                yield from _opened(inner)
            case Negative(operand=Sum(terms=inner)):
                yield from (negative(part) for part in _opened(inner))
            case _:
                yield term


def _number_into_sum(expression: Expression) -> Expression:
    """0.5 * sum(e) as sum(0.5 * e): one stage less, and the factor is where it is differentiated."""
    match expression:
        case Product(factors=(Number() as factor, Call(function="sum", arguments=(summed,), at=at))):
            return Call("sum", (product(factor, summed),), at)
    return expression
