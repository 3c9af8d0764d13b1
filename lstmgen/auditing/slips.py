"""The mistakes that people make in one term of a derivation, and what each of them is called.

A `Slip` is a term as it should be with one thing altered. Which of them a claim has made is found by
trying: `altering.py` compares numbers. The most common ones have the lowest rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from ..derivation.chain import later
from ..derivation.graph import Graph
from ..language.expressions import (
    ONE, Adjoint, Call, Expression, MatVec, Negative, Number, Outside, Power, Product, Quotient, Sum, Value, children,
    negative, number, product, rebuild, transform, walk,
)
from .forms import DIAG, FORMS
from .truth import has_gradient

Spell = Callable[[Expression], str]
Put = Callable[[Expression], Expression]

ACTIVATIONS = ("sigmoid", "tanh")
_TWO = number(2)


@dataclass(frozen=True)
class Slip:
    """One way to get a term wrong."""

    rank: float
    kind: str
    altered: Expression
    sentence: str


def slips(term: Expression, graph: Graph, named: set[str], spell: Spell) -> Iterator[Slip]:
    """Every slip that this module knows, for one term."""
    maker = _Maker(term, graph, named, spell)
    yield from maker.all()


class _Maker:
    def __init__(self, term: Expression, graph: Graph, named: set[str], spell: Spell):
        self.term, self.graph, self.named, self.spell = term, graph, named, spell

    def all(self) -> Iterator[Slip]:
        yield Slip(1, "sign", negative(self.term), "the sign is wrong")
        for node, put in sites(self.term):
            yield from self._of_node(node, put)
        leaves = dict.fromkeys(
            node for node in walk(self.term) if isinstance(node, (Value, Adjoint, Outside))
        )
        for leaf in leaves:
            if leaf.name in self.graph.shapes and not leaf.name.startswith("#"):
                yield from self._of_leaf(leaf)

    # ------------------------------------------------------------------ nodes

    def _of_node(self, node: Expression, put: Put) -> Iterator[Slip]:
        if isinstance(node, MatVec):
            yield from self._wrong_side(node, put)
            yield from self._of_matrices(node, put)
        match node:
            case Product(factors=factors):
                yield from self._dropped(factors, put)
                yield from self._wrong_derivative(factors, put)
                yield from self._divided(factors, put)
            case Power(base=base, exponent=Number(value=value)) if value == 2:
                yield Slip(
                    1,
                    "square",
                    put(base),
                    f"the square is missing: {self.spell(node)}, not {self.spell(base)}",
                )
            case Power(base=base):
                yield Slip(4, "exponent", put(base), f"the exponent is missing in {self.spell(node)}")
            case Quotient(numerator=above, denominator=below):
                yield Slip(3, "factor", put(above), f"the denominator {self.spell(below)} is missing")
                yield Slip(
                    4,
                    "factor",
                    put(Product((above, below))),
                    f"{self.spell(below)} divides, it does not multiply",
                )
            case Sum(terms=terms):
                yield from self._of_sum(node, terms, put)
            case MatVec(matrix=Call(function="transpose", arguments=(matrix,)), vector=vector):
                yield Slip(
                    1,
                    "transposition",
                    put(MatVec(matrix, vector)),
                    f"the transposition is missing: the gradient goes back through {self.spell(matrix)} "
                    "transposed",
                )
                yield Slip(2, "matrix", put(vector), f"the factor {self.spell(node.matrix)} is missing")
            case MatVec(matrix=matrix, vector=vector):
                turned = Call("transpose", (matrix,))
                yield Slip(
                    2,
                    "transposition",
                    put(MatVec(turned, vector)),
                    f"{self.spell(matrix)} is transposed, and should not be",
                )
                yield Slip(3, "matrix", put(vector), f"the factor {self.spell(matrix)} is missing")
            case Call(function="outer", arguments=(left, right)):
                yield Slip(
                    1,
                    "transposition",
                    put(Call("outer", (right, left))),
                    f"the outer product is transposed: a gradient has the shape of its matrix, "
                    f"{self.spell(node)}",
                )
            case Call(function=function, arguments=(argument,)) if function in ACTIVATIONS:
                yield Slip(
                    2, "pre", put(argument), f"{self.spell(node)} belongs there, not {self.spell(argument)}"
                )
            case Call(function="where", arguments=(_, chosen, other)):
                for branch in _branches(chosen, other):
                    yield Slip(
                        1.5,
                        "straight",
                        put(branch),
                        f"the gradient goes straight through; it must follow the choice: {self.spell(node)}",
                    )
            case Call(function="sum", arguments=(argument,)):
                yield Slip(
                    3, "sum", put(argument), f"the sum over the entries is missing: {self.spell(node)}"
                )

    def _wrong_side(self, node: MatVec, put: Put) -> Iterator[Slip]:
        """A derivative behind the matrix, where it belongs before it."""
        factors = node.vector.factors if isinstance(node.vector, Product) else ()
        gradient = [factor for factor in factors if has_gradient(factor)]
        local = [factor for factor in factors if not has_gradient(factor)]
        if gradient and local:
            yield Slip(
                1.2,
                "side",
                put(Product((*local, MatVec(node.matrix, product(*gradient))))),
                f"{self.spell(product(*local))} stands on the wrong side of {self.spell(node.matrix)}: first the derivative, "
                "then the matrix",
            )

    def _of_matrices(self, node: MatVec, put: Put) -> Iterator[Slip]:
        """Of a product of two matrices, as a derivative of a vector is: the two exchanged, or one of them left out."""
        left, right = node.matrix, node.vector
        diagonal = [part for part in (left, right) if isinstance(part, Call) and part.function == DIAG]
        if diagonal:
            other = right if diagonal[0] is left else left
            yield Slip(
                1.2,
                "side",
                put(MatVec(right, left)),
                f"{self.spell(diagonal[0])} stands on the wrong side of {self.spell(other)}: a matrix does not commute with "
                "a diagonal one",
            )
        yield Slip(3, "matrix", put(left), f"the factor {self.spell(right)} is missing")
        yield Slip(3.2, "transposition", put(MatVec(left, Call("transpose", (right,)))),
                   f"{self.spell(right)} is transposed, and should not be")

    def _dropped(self, factors: tuple[Expression, ...], put: Put) -> Iterator[Slip]:
        """One factor or two that belong together left out."""
        for position, factor in enumerate(factors):
            rest = product(*factors[:position], *factors[position + 1 :])
            yield Slip(*self._names_factor(factor), put(rest), self._missing(factor))
            squared = factors[:position] + (Power(factor, _TWO),) + factors[position + 1 :]
            yield Slip(
                5, "square", put(Product(squared)), f"{self.spell(factor)} is squared, and should not be"
            )
        for first, second in combinations(range(len(factors)), 2):
            pair = factors[first], factors[second]
            rest = product(
                *(factor for position, factor in enumerate(factors) if position not in (first, second))
            )
            function = self._derivative_pair(*pair)
            if function:
                yield Slip(
                    1,
                    "activation",
                    put(rest),
                    f"the derivative of the {function} is missing: the factor {self.spell(Product(pair))}",
                )
            else:
                yield Slip(
                    4,
                    "factors",
                    put(rest),
                    f"the factors {self.spell(pair[0])} and {self.spell(pair[1])} are missing",
                )

    def _divided(self, factors: tuple[Expression, ...], put: Put) -> Iterator[Slip]:
        for position, factor in enumerate(factors):
            rest = product(*factors[:position], *factors[position + 1 :])
            altered = put(Quotient(rest, factor))
            yield Slip(2.5, "quotient", altered, f"{self.spell(factor)} multiplies, it does not divide")

    def _names_factor(self, factor: Expression) -> tuple[float, str]:
        if has_gradient(factor):
            return 1, "upstream"
        return (1.5, "activation") if _one_minus_square(factor) is not None else (2, "factor")

    def _missing(self, factor: Expression) -> str:
        if has_gradient(factor):
            return (
                f"the upstream gradient is missing: the local derivative must be multiplied by "
                f"{self.spell(factor)}, the gradient that comes back from there"
            )
        if _one_minus_square(factor) is not None:
            return f"the derivative of tanh is missing: the factor {self.spell(factor)}"
        return f"the factor {self.spell(factor)} is missing"

    def _derivative_pair(self, left: Expression, right: Expression) -> str | None:
        """y and 1 - y: the derivative of a sigmoid."""
        for value, other in ((left, right), (right, left)):
            if other == Sum((ONE, negative(value))) or other == Sum((ONE, Negative(value))):
                return "sigmoid"
        return None

    def _wrong_derivative(self, factors: tuple[Expression, ...], put: Put) -> Iterator[Slip]:
        """The derivative of another function, or of the right one at the wrong place."""
        for first, second in combinations(range(len(factors)), 2):
            pair = factors[first], factors[second]
            if not self._derivative_pair(*pair):
                continue
            value = pair[0] if isinstance(pair[0], (Value, Call)) else pair[1]
            rest = [factor for position, factor in enumerate(factors) if position not in (first, second)]
            tanh = Sum((ONE, Negative(Power(value, _TWO))))
            for itself in (Call("sigmoid", (value,)), value):
                yield Slip(
                    1.8,
                    "activation",
                    put(product(*rest, itself)),
                    f"the sigmoid itself is written, not its derivative {self.spell(Product(pair))}",
                )
            yield Slip(
                2,
                "activation",
                put(product(*rest, tanh)),
                "the derivative of tanh is written, not that of the "
                f"sigmoid, {self.spell(Product(pair))}",
            )
            yield Slip(
                2,
                "activation",
                put(product(*rest, Sum((ONE, value)), value)),
                f"the sign inside the derivative of the sigmoid is wrong: {self.spell(Product(pair))}",
            )

    def _of_sum(self, node: Sum, terms: tuple[Expression, ...], put: Put) -> Iterator[Slip]:
        value = _one_minus_square(node)
        if value is not None:
            yield Slip(
                2,
                "activation",
                put(product(value, Sum((ONE, negative(value))))),
                f"the derivative of the sigmoid is written, not that of tanh, {self.spell(node)}",
            )
            yield Slip(
                1,
                "square",
                put(Power(Sum((ONE, negative(value))), _TWO)),
                f"the square belongs to {self.spell(value)} alone: {self.spell(node)}",
            )
        for position, term in enumerate(terms):
            rest = terms[:position] + terms[position + 1 :]
            smaller = rest[0] if len(rest) == 1 else Sum(rest)
            yield Slip(3, "inner", put(smaller), f"{self.spell(term)} is missing in {self.spell(node)}")
            turned = terms[:position] + (negative(term),) + terms[position + 1 :]
            yield Slip(2, "sign", put(Sum(turned)), f"the sign of a part of {self.spell(node)} is wrong")

    # ------------------------------------------------------------------ leaves

    def _of_leaf(self, leaf: Value | Adjoint | Outside) -> Iterator[Slip]:
        match leaf:
            case Value(name=name) if name in self.graph.static:
                yield from self._swapped(leaf, self.graph.parameters, 3)
            case Value():
                yield from self._at_other_step(leaf)
                yield from self._before_activation(leaf)
                names = [name for name in self.graph.shapes if name in self.named]
                yield from self._swapped(leaf, [name for name in names if name not in self.graph.static], 4)
            case Adjoint():
                yield from self._at_other_step(leaf)
                yield from self._other_gradient(leaf)
                yield from self._too_many(leaf)
                yield from self._once_more(leaf)
            case Outside():
                yield from self._at_other_step(leaf)

    def _replaced(self, leaf: Expression, new: Expression) -> Iterator[Expression]:
        """All occurrences; then each one alone, where there are several."""
        yield transform(self.term, lambda node: new if node == leaf else None)
        places = [put for node, put in sites(self.term) if node == leaf]
        if len(places) > 1:
            yield from (put(new) for put in places)

    def _at_other_step(self, leaf: Value | Adjoint | Outside) -> Iterator[Slip]:
        for steps in (-1, 1):
            moved = type(leaf)(leaf.name, leaf.lag + steps)
            for altered in self._replaced(leaf, moved):
                yield Slip(
                    1.5,
                    "step",
                    altered,
                    f"the step is wrong: {self.spell(leaf)} belongs there, not {self.spell(moved)}",
                )

    def _too_many(self, leaf: Adjoint) -> Iterator[Slip]:
        """A parameter before a gradient that is there already: a matrix, or a function of a vector."""
        shapes = self.graph.shapes
        shape = shapes[leaf.name]
        for name in self.graph.parameters:
            if shapes[name] == shape * 2 and len(shape) == 1:
                turned = Call("transpose", (Value(name),))
                altered: list[tuple[Expression, Expression]] = [
                    (turned, MatVec(turned, leaf)), (Value(name), MatVec(Value(name), leaf))]
            elif shapes[name] == shape:
                calls = [Call(function, (Value(name),)) for function in ACTIVATIONS]
                altered = [(call, Product((call, leaf))) for call in calls]
            else:
                continue
            for factor, with_it in altered:
                for whole in self._replaced(leaf, with_it):
                    yield Slip(3, "factor", whole, f"the factor {self.spell(factor)} is too much")

    def _once_more(self, leaf: Adjoint) -> Iterator[Slip]:
        """The derivative of an activation, or the gradient behind it too, beside the gradient before it."""
        name = leaf.name.removesuffix("_pre")
        stage = self.graph.find(name)
        if name == leaf.name or stage is None or not isinstance(stage.expression, Call):
            return
        value = Value(name, leaf.lag)
        local = {"sigmoid": (value, Sum((ONE, negative(value)))), "tanh": (Sum((ONE, Negative(Power(value, _TWO)))),)}
        for factors in (local[stage.expression.function],) if stage.expression.function in local else ():
            for with_gradient in ((), (Adjoint(name, leaf.lag),)):
                more = product(*with_gradient, *factors)
                told = (f"{self.spell(leaf)} holds the derivative of the {stage.expression.function} already: the factor "
                        f"{self.spell(more)} is too much")
                for whole in self._replaced(leaf, product(leaf, more)):
                    yield Slip(1.6, "activation", whole, told)

    def _before_activation(self, leaf: Value) -> Iterator[Slip]:
        """A value in place of which its argument stands, or to which the activation is applied again."""
        stage = self.graph.find(leaf.name)
        match stage.expression if stage else None:
            case Call(function=function, arguments=(Value() as argument,)) if function in ACTIVATIONS:
                pre = later(argument, leaf.lag, self.graph.static)
                for altered in self._replaced(leaf, pre):
                    yield Slip(
                        1.2,
                        "pre",
                        altered,
                        f"the derivative of the {function} is written in its argument "
                        f"{self.spell(pre)}; it must be written in its value {self.spell(leaf)}",
                    )
                for altered in self._replaced(leaf, Call(function, (leaf,))):
                    yield Slip(
                        2.5,
                        "twice",
                        altered,
                        f"the {function} is applied twice: {self.spell(leaf)} is its value already",
                    )

    def _swapped(self, leaf: Value, names: Iterable[str], rank: float) -> Iterator[Slip]:
        shape = self.graph.shapes[leaf.name]
        for name in names:
            if name != leaf.name and self.graph.shapes[name] == shape:
                other = Value(name, leaf.lag)
                sentence = f"{self.spell(leaf)} belongs there, not {self.spell(other)}"
                if name.endswith("_pre") and not leaf.name.endswith("_pre"):
                    sentence += ", which is an argument of an activation and not its value"
                for altered in self._replaced(leaf, other):
                    yield Slip(rank, "other", altered, sentence)

    def _other_gradient(self, leaf: Adjoint) -> Iterator[Slip]:
        shape = self.graph.shapes[leaf.name]
        if leaf.name in self.graph.outputs:
            outside = Outside(leaf.name, leaf.lag)
            for altered in self._replaced(leaf, outside):
                yield Slip(
                    1,
                    "outside",
                    altered,
                    f"{self.spell(outside)} is only the gradient from outside; "
                    f"{self.spell(leaf)} is the whole gradient, with what comes back from the next step",
                )
        for name in self.graph.shapes:
            if name == leaf.name or name not in self.named or self.graph.shapes[name] != shape:
                continue
            other = Adjoint(name, leaf.lag)
            rank, sentence = 4.0, f"{self.spell(leaf)} belongs there, not {self.spell(other)}"
            if leaf.name == f"{name}_pre":
                rank = 1.0
                sentence = (
                    f"the derivative of the activation is missing: {self.spell(leaf)}, the gradient before "
                    f"it, belongs there, not {self.spell(other)}, the gradient after it"
                )
            elif name == f"{leaf.name}_pre":
                rank = 1.5
                sentence = (
                    f"{self.spell(other)} is the gradient before the activation; {self.spell(leaf)}, the one "
                    "after it, belongs there"
                )
            for altered in self._replaced(leaf, other):
                yield Slip(rank, "gradient", altered, sentence)


def _branches(chosen: Expression, other: Expression) -> Iterator[Expression]:
    """What may be chosen and is not zero, inside nested choices as well."""
    for branch in (chosen, other):
        match branch:
            case Number():
                continue
            case Call(function="where", arguments=(_, inner, outer)):
                yield from _branches(inner, outer)
            case _:
                yield branch


def _one_minus_square(expression: Expression) -> Expression | None:
    """v of 1 - v ** 2: the derivative of tanh."""
    match expression:
        case Sum(
            terms=(Number(value=one), Negative(operand=Power(base=base, exponent=Number(value=two))))
        ) if one == 1 and two == 2:
            return base
    return None


def sites(expression: Expression) -> Iterator[tuple[Expression, Put]]:
    """Every node, with what puts another one in its place."""
    yield expression, lambda new: new
    closed = isinstance(expression, Call) and expression.function in FORMS and expression.function != DIAG
    parts = () if closed else children(expression)
    for position, part in enumerate(parts):
        for node, put in sites(part):

            def inside(new: Expression, put: Put = put, position: int = position) -> Expression:
                return rebuild(expression, parts[:position] + (put(new),) + parts[position + 1 :])

            yield node, inside


# ---------------------------------------------------------------- shapes


def shape_slips(said: Expression) -> Iterator[tuple[Expression, str]]:
    """What may have been meant where shapes do not meet."""
    yield (
        Call("transpose", (said,)),
        "the right side is transposed: a gradient has the shape of its value",
    )
    for node in walk(said):
        match node:
            case Call(function="outer", arguments=(left, right)):
                yield (
                    _put(said, node, Call("outer", (right, left))),
                    ("the outer product is transposed: the gradient of a matrix has the matrix's shape"),
                )
            case MatVec(matrix=Call(function="transpose", arguments=(matrix,)), vector=vector):
                yield _put(said, node, MatVec(matrix, vector)), "the matrix is transposed, and should not be"
            case MatVec(matrix=matrix, vector=vector):
                yield (
                    _put(said, node, MatVec(Call("transpose", (matrix,)), vector)),
                    ("the transposition is missing: a gradient goes back through the transposed matrix"),
                )
            case Product(factors=factors):
                for count in range(1, len(factors)):
                    for chosen in combinations(range(len(factors)), count):
                        above = [factors[index] for index in chosen]
                        beside = [factor for index, factor in enumerate(factors) if index not in chosen]
                        made = Call("outer", (_joined(above), _joined(beside)))
                        yield (
                            _put(said, node, made),
                            (
                                "an elementwise product is written, not the outer product: the gradient of a "
                                "matrix is d v^T, in the matrix's shape"
                            ),
                        )


def _joined(factors: list[Expression]) -> Expression:
    return factors[0] if len(factors) == 1 else Product(tuple(factors))


def _put(whole: Expression, old: Expression, new: Expression) -> Expression:
    return transform(whole, lambda node: new if node is old else None)
