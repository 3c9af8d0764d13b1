"""Where the values of a program lie, and how an expression becomes statements that compute one entry at a time."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from ..language import functions
from ..language.expressions import (
    ZERO, Adjoint, Call, Expression, MatVec, Number, Outside, Size, Value, children, number, rebuild, walk,
)
from ..language.shapes import Dim, Shape, dim_of, shape_of
from .arrays import adjoint_array, outside_array
from .plan import BiasStack, Block, Stack
from .program import MATMUL, MATVEC, MATVEC_TURNED, Entries, Multiply, Operate, Spot, Statement, Term
from .records import Schedule

UNCHANGED = frozenset({"stop_gradient", "clip_gradient"})  # forwards, these are their argument
VIEWS = frozenset({"heads", "flat"})  # operations whose result has the entries of the argument, in the same order


class Pieces:
    """The statements of every phase, the arrays and spots that they read and write, and expressions taken apart."""

    def __init__(self, schedule: Schedule):
        self.schedule, self.plan, self.graph = schedule, schedule.plan, schedule.graph
        self.statements: dict[tuple[str, str], list[Statement]] = {}
        self.now: list[Statement] = []  # those of the phase that is being made
        self.spots: dict[str, Spot] = {}
        self.shapes: dict[str, Shape] = {}  # of every array
        self.blocks: dict[str, tuple[Block, int]] = {}  # of a stage
        for index, block in enumerate(self.plan.blocks):
            self.blocks |= dict.fromkeys(block.stages, (block, index))

    def all_statements(self) -> Iterable[Statement]:
        for statements in self.statements.values():
            yield from statements

    def phase(self, direction: str, phase: str) -> None:
        """What follows belongs to this phase."""
        self.now = self.statements.setdefault((direction, phase), [])

    def add(self, statement: Statement) -> None:
        """Add a statement to the phase that is being made."""
        self.now.append(statement)

    # ------------------------------------------------------------------ spots

    def array(self, name: str, shape: Shape) -> str:
        self.shapes[name] = shape
        return name

    def leaf(self, spot: Spot) -> Value:
        """The name of a spot in expressions."""
        key = spot.array + (f"+{spot.low}" if spot.low != Dim() else "") + ("'" if spot.lag else "")
        if spot.shape != self.shapes[spot.array]:
            key += f":{'x'.join(map(str, spot.shape))}"
        assert self.spots.setdefault(key, spot) == spot
        return Value(key)

    def value_spot(self, name: str, lag: int = 0) -> Spot:
        shape = self.graph.shapes[name]
        return Spot(self.array(name, shape), shape, lag=lag)

    def adjoint_spot(self, name: str) -> Spot:
        """Adjoints of a block's stages lie side by side."""
        shape = self.graph.shapes[name]
        if name not in self.blocks:
            return Spot(self.array(adjoint_array(name), shape), shape)
        block, _ = self.blocks[name]
        return Spot(self.block_array(block), shape, self.plan.extent(block.stages, name, name)[0])

    def block_array(self, block: Block) -> str:
        index = self.blocks[block.stages[0]][1]
        return self.array(f"block.{index}", (self.plan.block_size(block),))

    def side_by_side(self, stack: Stack | BiasStack) -> Spot:
        """The adjoints of a stack's stages."""
        block, _ = self.blocks[stack.stages[0]]
        low, high = self.plan.extent(block.stages, stack.stages[0], stack.stages[-1])
        return Spot(self.block_array(block), (minus(high, low),), low)

    def parameter_spot(self, stored: str, shape: Shape, low: Dim) -> Spot:
        whole = next(entry.shape for entry in self.schedule.parameters if entry.name == stored)
        return Spot(self.array(stored, whole), shape, low)

    def temporary(self, shape: Shape) -> Spot:
        return Spot(self.array(f"temporary.{len(self.shapes)}", shape), shape)

    def spot_of_leaf(self, leaf: Value | Adjoint | Outside) -> Spot:
        shape = self.graph.shapes[leaf.name]
        match leaf:
            case Value(name=name, lag=lag):
                return self.value_spot(name, lag)
            case Adjoint(name=name):
                return self.adjoint_spot(name)
            case Outside(name=name):
                return Spot(self.array(outside_array(name), shape), shape)

    # ------------------------------------------------------------------ expressions

    def lower(self, expression: Expression) -> Expression:
        """The expression for one entry. What is no matter of one entry is put into a statement before."""
        match expression:
            case Value() | Adjoint() | Outside():
                return self.leaf(self.spot_of_leaf(expression))
            case Number() | Size():
                return expression
            case MatVec():
                return self.leaf(self.spot_of(expression))
            case Call(function=function) if isinstance(functions.TABLE.get(function), functions.Operation):
                return self.lower_operation(expression)
            case _:
                return rebuild(expression, tuple(self.lower(child) for child in children(expression)))

    def lower_operation(self, call: Call) -> Expression:
        argument = call.arguments[0]
        if call.function in UNCHANGED:
            return self.lower(argument)
        if call.function == "fill" and not self.shape(argument):
            return self.lower(argument)  # one number meets every entry
        if call.function in VIEWS:
            return self.lower(argument)  # the same entries in the same order
        return self.leaf(self.spot_of(call))

    def spot_of(self, expression: Expression) -> Spot:
        """Where the expression's value lies; it is computed there if it does not lie anywhere yet."""
        match expression:
            case Value() | Adjoint() | Outside():
                return self.spot_of_leaf(expression)
            case Call(function=function, arguments=(argument, *_)) if function in UNCHANGED:
                return self.spot_of(argument)
            case Call(function=function, arguments=(argument, *_)) if function in VIEWS:
                spot = self.spot_of(argument)
                return Spot(spot.array, self.shape(expression), spot.low, spot.lag)
            case Call(function="part" | "Slice" as function, arguments=(argument, first, _)):
                shape, spot = self.shape(expression), self.spot_of(argument)
                if len(shape) == 1:  # a part of a vector lies where the vector lies
                    low = shape[0].times(int(_exact(first))) if function == "part" else dim_of(first)
                    return Spot(spot.array, shape, spot.low + low, spot.lag)
        to = self.temporary(self.shape(expression))
        self.into(to, expression)
        return to

    def into(self, to: Spot, expression: Expression, number: int | None = None) -> None:
        """`to = expression`"""
        match expression:
            case MatVec():
                self.matvec(to, expression)
            case Call(function="concat", arguments=parts) if len(to.shape) == 1:
                low = to.low
                for part in parts:
                    shape = self.shape(part)
                    self.entries(Spot(to.array, shape, low, to.lag), (Term(self.lower(part)),), number)
                    low += shape[0]
            case Call(function="Place", arguments=(part, index, count)) if len(to.shape) == 1:
                shape, low, where = self.shape(part), to.low, int(_exact(index))
                for each in range(int(_exact(count))):
                    piece = self.lower(part) if each == where else ZERO
                    self.entries(Spot(to.array, shape, low), (Term(piece),), number)
                    low += shape[0]
            case Call(function=function, arguments=arguments) if self.is_operation(expression):
                entry = functions.TABLE[function]
                assert isinstance(entry, functions.Operation)
                arrays = len(arguments) - functions.numbers_given(entry, len(arguments))
                spots = tuple(self.spot_of(each) for each in arguments[:arrays])
                left_out = tuple(number_of(text) for text in functions.left_out(entry, len(arguments)).values())
                self.add(Operate(to, function, spots, (*arguments[arrays:], *left_out), number))
            case _:
                self.entries(to, (Term(self.lower(expression)),), number)

    def is_operation(self, expression: Expression) -> bool:
        """Whether it is an operation that has to be done: no part of something, and no number that meets every entry."""
        match expression:
            case Call(function=function) if function in UNCHANGED or function in VIEWS:
                return False
            case Call(function="part" | "Slice"):
                return len(self.shape(expression)) > 1
            case Call(function="fill", arguments=(argument, _)):
                return bool(self.shape(argument))
            case Call(function=function):
                return isinstance(functions.TABLE.get(function), functions.Operation)
        return False

    def matvec(self, to: Spot, expression: MatVec) -> None:
        if len(self.shape(expression.vector)) == len(self.shape(expression.matrix)):
            self.add(Operate(to, MATMUL, (self.spot_of(expression.matrix), self.spot_of(expression.vector))))
            return
        matrix, turned = expression.matrix, False
        if isinstance(matrix, Call) and matrix.function == "transpose":
            (matrix,), turned = matrix.arguments, True
        of_heads = len(to.shape) > 1
        if not of_heads and isinstance(matrix, Value) and matrix.name in self.graph.static and self.moves(expression.vector):
            self.value_spot(matrix.name)
            self.add(Multiply(to, matrix.name, turned, self.spot_of(expression.vector)))
        else:
            arguments = (self.spot_of(matrix), self.spot_of(expression.vector))
            self.add(Operate(to, MATVEC_TURNED if turned else MATVEC, arguments))

    def moves(self, expression: Expression) -> bool:
        """Whether it differs between steps or examples."""
        return any(isinstance(node, Value | Adjoint | Outside) and node.name not in self.graph.static
                   for node in walk(expression))

    def shape(self, expression: Expression) -> Shape:
        return shape_of(expression, self.graph.shapes)

    # ------------------------------------------------------------------ forward

    def stored(self, name: str) -> str:
        self.array(name, next(entry.shape for entry in self.schedule.parameters if entry.name == name))
        return name

    def entries(self, to: Spot, terms: Iterable[Term], number: int | None = None) -> None:
        self.add(Entries(to, tuple(term for term in terms if term.expression != ZERO), number=number))


def number_of(text: str) -> Expression:
    return number(Fraction(text))


def _exact(expression: Expression) -> Fraction:
    assert isinstance(expression, Number), "a literal"
    return expression.value


def minus(high: Dim, low: Dim) -> Dim:
    return high + low.times(-1)
