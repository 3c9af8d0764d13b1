"""From a schedule to a program: expressions are taken apart until each statement is one of `program.py`."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from ..derivation.chain import OUTPUT, Contribution
from ..language import functions
from ..language.expressions import (
    ZERO, Adjoint, Call, Compare, Expression, MatVec, Number, Outside, Product, Size, Sum, Value, children, number, rebuild,
    total, walk,
)
from ..language.shapes import Dim, Shape, shape_of
from .nests import nested
from .plan import AFTER, BEFORE, LAST, LOOP, STILL, BiasStack, Block, Stack
from .program import (
    AT_START, BACKWARD, FORWARD, MATVEC, MATVEC_TURNED, SENT_BY_LAST, SUMS, AddOuter, Entries, Multiply, Operate, Program,
    Spot, Statement, Term,
)
from .records import (
    Assign, Back, BackwardTerm, BiasPart, Bundle, Carry, ForwardStatement, FromNextStep, Gather, Multiplied, Part, Reduce,
    Schedule, Share, Summed, ToStart,
)
from .residence import lifetimes


def make_program(schedule: Schedule) -> Program:
    """Take a schedule apart. It must have no joint calls: `make_schedule(derivation, joint=False)`."""
    lowering = _Lowering(schedule)
    for entry in schedule.parameters:
        lowering.stored(entry.name)
    lowering.forward()
    lowering.backward()
    items = {where: nested(statements, lowering.spots) for where, statements in lowering.statements.items()}
    outer = {statement.matrix: None for statement in lowering.all_statements() if isinstance(statement, AddOuter)}
    matrices = {statement.matrix: None for statement in lowering.all_statements() if isinstance(statement, Multiply)}
    return Program(
        schedule=schedule,
        spots=lowering.spots,
        items=items,
        arrays=lifetimes(schedule, lowering.shapes, lowering.spots, items),
        matrices=tuple(matrices),
        outer=tuple(outer),
        summed=tuple(lowering.summed),
    )


# Names of arrays that are no values of the spec. No name of a spec has a dot in it.


def adjoint_array(name: str) -> str:
    return f"d.{name}"


def outside_array(output: str) -> str:
    return f"dy.{output}"


def carry_array(value: str) -> str:
    """What step t+1 has sent back to a value of step t."""
    return f"next.{value}"


def late_array(value: str) -> str:
    """What a loss at the last step sends to a value of that step; zero at all others."""
    return f"late.{value}"


def sent_by_last_array(value: str) -> str:
    """What a loss at the last step sends to a value of the step before."""
    return f"later.{value}"


def sum_array(name: str) -> str:
    """A gradient added up entry by entry."""
    return f"sum.{name}"


def gradient_array(name: str) -> str:
    """The gradient of a stored parameter: the caller's array."""
    return f"gradient.{name}"


LOSS_ARRAY = "loss."


class _Lowering:
    """Goes through a schedule and collects the statements of every phase."""

    def __init__(self, schedule: Schedule):
        self.schedule, self.plan, self.graph = schedule, schedule.plan, schedule.graph
        self.statements: dict[tuple[str, str], list[Statement]] = {}
        self.now: list[Statement] = []  # those of the phase that is being made
        self.spots: dict[str, Spot] = {}
        self.shapes: dict[str, Shape] = {}  # of every array
        self.summed: dict[str, None] = {}
        self.blocks: dict[str, tuple[Block, int]] = {}  # of a stage
        for index, block in enumerate(self.plan.blocks):
            self.blocks |= dict.fromkeys(block.stages, (block, index))

    def all_statements(self) -> Iterable[Statement]:
        for statements in self.statements.values():
            yield from statements

    def phase(self, direction: str, phase: str) -> None:
        """What follows belongs to this phase."""
        self.now = self.statements.setdefault((direction, phase), [])

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
        return Spot(self.block_array(block), (_minus(high, low),), low)

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
        if call.function == "stop_gradient":
            return self.lower(argument)
        if call.function == "Fill" and not self.shape(argument):
            return self.lower(argument)  # one number meets every entry
        return self.leaf(self.spot_of(call))

    def spot_of(self, expression: Expression) -> Spot:
        """Where the expression's value lies; it is computed there if it does not lie anywhere yet."""
        match expression:
            case Value() | Adjoint() | Outside():
                return self.spot_of_leaf(expression)
            case Call(function="stop_gradient", arguments=(argument,)):
                return self.spot_of(argument)
            case Call(function="part" | "Slice" as function, arguments=(argument, first, _)):
                shape, spot = self.shape(expression), self.spot_of(argument)
                if len(shape) == 1:  # a part of a vector lies where the vector lies
                    low = shape[0].times(int(_exact(first))) if function == "part" else _size(first)
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
                self.now.append(Operate(to, function, spots, (*arguments[arrays:], *left_out), number))
            case _:
                self.entries(to, (Term(self.lower(expression)),), number)

    def is_operation(self, expression: Expression) -> bool:
        """Whether it is an operation that has to be done: no part of something, and no number that meets every entry."""
        match expression:
            case Call(function="stop_gradient"):
                return False
            case Call(function="part" | "Slice"):
                return len(self.shape(expression)) > 1
            case Call(function="Fill", arguments=(argument, _)):
                return bool(self.shape(argument))
            case Call(function=function):
                return isinstance(functions.TABLE.get(function), functions.Operation)
        return False

    def matvec(self, to: Spot, expression: MatVec) -> None:
        matrix, turned = expression.matrix, False
        if isinstance(matrix, Call) and matrix.function == "transpose":
            (matrix,), turned = matrix.arguments, True
        if isinstance(matrix, Value) and matrix.name in self.graph.static and self.moves(expression.vector):
            self.value_spot(matrix.name)
            self.now.append(Multiply(to, matrix.name, turned, self.spot_of(expression.vector)))
        else:
            arguments = (self.spot_of(matrix), self.spot_of(expression.vector))
            self.now.append(Operate(to, MATVEC_TURNED if turned else MATVEC, arguments))

    def moves(self, expression: Expression) -> bool:
        """Whether it differs between steps or examples."""
        return any(isinstance(node, Value | Adjoint | Outside) and node.name not in self.graph.static
                   for node in walk(expression))

    def shape(self, expression: Expression) -> Shape:
        return shape_of(expression, self.graph.shapes)

    # ------------------------------------------------------------------ forward

    def forward(self) -> None:
        forward, loss = self.schedule.forward, self.graph.loss
        phases = {STILL: forward.still, BEFORE: (*forward.before, *forward.hoisted), LOOP: forward.loop,
                  AFTER: forward.after, LAST: forward.last}
        for phase, statements in phases.items():
            self.phase(FORWARD, phase)
            for statement in statements:
                self.forward_statement(statement)
            if loss is not None and self.plan.phases[loss] == phase:
                to = Spot(self.array(LOSS_ARRAY, ()), ())
                self.now.append(Entries(to, (Term(self.leaf(self.value_spot(loss)), "the loss"),), adds=True))

    def forward_statement(self, statement: ForwardStatement) -> None:
        match statement:
            case Bundle():
                self.bundle(statement)
            case Assign(stage=stage, terms=terms, rest=rest, number=number):
                to = self.value_spot(stage.name)
                if not terms:
                    self.into(to, total(*rest), number)
                    return
                bias: list[Expression] = []
                products: list[Spot | Stack] = []
                for term in terms:
                    match term:
                        case Part(bundle=bundle, first=first):
                            found, its_bias = self.part(bundle, first, stage.shape)
                            products.append(found)
                            bias += its_bias
                        case Multiplied(stack=stack, bias=its):
                            products.append(stack)
                            bias += [self.leaf(self.bias_spot(its, stage.name, stage.shape))] if its else []
                        case BiasPart(bias=its):
                            bias.append(self.leaf(self.bias_spot(its, stage.name, stage.shape)))
                        case _:
                            raise AssertionError("a program is made of a schedule without joint calls")
                match products, bias, rest:
                    case [Stack(name=name, vector=vector)], [], ():
                        self.now.append(Multiply(to, self.stored(name), False, self.spot_of(vector)))
                    case _:
                        added = [self.leaf(each if isinstance(each, Spot) else self.product(each, stage.shape))
                                 for each in products]
                        lowered = [self.lower(each) for each in rest]
                        self.entries(to, (Term(total(*added, *lowered, *bias)),), number)

    def stored(self, name: str) -> str:
        self.array(name, next(entry.shape for entry in self.schedule.parameters if entry.name == name))
        return name

    def product(self, stack: Stack, shape: Shape) -> Spot:
        to = self.temporary(shape)
        self.now.append(Multiply(to, self.stored(stack.name), False, self.spot_of(stack.vector)))
        return to

    def bias_spot(self, bias: BiasStack, stage: str, shape: Shape) -> Spot:
        return self.parameter_spot(bias.name, shape, self.plan.extent(bias.stages, stage, stage)[0])

    def bundle(self, bundle: Bundle) -> None:
        """Products for the same stages. The bias is added where a stage reads its part."""
        base = self.base(bundle)
        low, high = self.plan.extent(base.stages, base.stages[0], base.stages[-1])
        to = Spot(self.array(self.bundle_array(base), (_minus(high, low),)), (_minus(high, low),))
        adds = bundle.onto is not None
        for each in bundle.products:
            if isinstance(each, Bundle):
                if self.base(each) != base:
                    self.now.append(Entries(to, (Term(self.leaf(Spot(self.bundle_array(each), to.shape))),), adds))
            else:
                told = ", ".join(bundle.stages)
                self.now.append(Multiply(to, self.stored(each.name), False, self.spot_of(each.vector), adds, told))
            adds = True

    def base(self, bundle: Bundle) -> Bundle:
        """The bundle in whose array this one lies."""
        return self.base(bundle.onto) if bundle.onto else bundle

    def bundle_array(self, bundle: Bundle) -> str:
        return f"{bundle.name}.{'.'.join(bundle.stages)}"

    def part(self, bundle: Bundle, stage: str, shape: Shape) -> tuple[Spot, list[Expression]]:
        base = self.base(bundle)
        low, _ = self.plan.extent(base.stages, stage, stage)
        biases: list[Expression] = [self.leaf(self.bias_spot(bias, stage, shape)) for bias in _biases(bundle)]
        return Spot(self.bundle_array(base), shape, low), biases

    # ------------------------------------------------------------------ backward

    def backward(self) -> None:
        backward = self.schedule.backward
        self.phase(BACKWARD, LAST)
        for gather in backward.last:
            self.gather(gather)
        for carry in backward.carries:
            self.start_of_carry(carry)
        for gather in (*backward.after, *backward.before, *backward.inputs):
            if gather.at_last:
                self.sum_into(self.late_spot(gather.gradient.value), gather.at_last, gather.number)
        self.phase(BACKWARD, AFTER)
        for gather in backward.after:
            self.gather(gather)
        for stack in backward.hoisted:
            self.now.append(Multiply(self.sent_spot(stack), self.stored(stack.name), True, self.side_by_side(stack)))
        self.phase(BACKWARD, LOOP)
        for gather in backward.loop:
            self.gather(gather)
        for carry in backward.carries:
            self.sum_into(self.carry_spot(carry.gradient.value), carry.sent, carry.number)
        self.phase(BACKWARD, SENT_BY_LAST)
        for carry in backward.carries:
            if carry.sent_by_last:
                sent = self.leaf(self.later_spot(carry.gradient.value))
                self.now.append(Entries(self.carry_spot(carry.gradient.value), (Term(sent),), adds=True))
        self.phase(BACKWARD, BEFORE)
        for gather in (*backward.before, *backward.inputs):
            self.gather(gather)
        self.sums()
        self.phase(BACKWARD, STILL)
        for gather in backward.still:
            to = Spot(self.array(adjoint_array(gather.gradient.value), gather.gradient.shape), gather.gradient.shape)
            self.shares_of_still(to, gather.terms, gather.number)
        for reduction in backward.parameters:
            shape = reduction.stored.shape
            to = Spot(self.array(gradient_array(reduction.stored.name), shape), shape)
            self.shares_of_still(to, reduction.terms, reduction.numbers[0])

    def gather(self, gather: Gather) -> None:
        late = [Term(self.leaf(self.late_spot(gather.gradient.value)), "from the last step")] if gather.at_last else []
        self.sum_into(self.adjoint_spot(gather.gradient.value), gather.terms, gather.number, late)

    def late_spot(self, value: str) -> Spot:
        shape = self.graph.shapes[value]
        return Spot(self.array(late_array(value), shape), shape)

    def later_spot(self, value: str) -> Spot:
        shape = self.graph.shapes[value]
        return Spot(self.array(sent_by_last_array(value), shape), shape)

    def carry_spot(self, value: str) -> Spot:
        shape = self.graph.shapes[value]
        return Spot(self.array(carry_array(value), shape), shape)

    def sent_spot(self, stack: Stack) -> Spot:
        shape = self.graph.shapes[stack.vector.name]
        return Spot(self.array(f"sent.{stack.name}", shape), shape)

    def start_of_carry(self, carry: Carry) -> None:
        """The caller's gradient of the final state lies there already."""
        value = carry.gradient.value
        for term in carry.start:
            if isinstance(term, Share):
                share = self.lower(term.contribution.at_reader)
                through = f"through {term.contribution.reader}"
                self.now.append(Entries(self.carry_spot(value), (Term(share, through),), True, carry.number))
            elif isinstance(term, Back):
                self.back(self.carry_spot(value), term.stack, adds=True)
        if carry.sent_by_last:
            self.sum_into(self.later_spot(value), carry.sent_by_last, carry.number)

    def sum_into(self, to: Spot, terms: tuple[BackwardTerm, ...], number: int, more: Iterable[Term] = ()) -> None:
        """`to` = the sum of the terms: products are made in place where they can be."""
        shares: list[Term] = [*more]
        stacks: list[Stack] = []
        alone: Expression | None = None
        for term in terms:
            match term:
                case Back(stack=stack, is_hoisted=True):
                    shares.append(Term(self.leaf(self.sent_spot(stack)), f"through {', '.join(stack.stages)}"))
                case Back(stack=stack):
                    stacks.append(stack)
                case FromNextStep(value=value, readers=readers):
                    told = ", ".join(f"{reader}[t+1]" for reader in readers) or "the last step"
                    shares.append(Term(self.leaf(self.carry_spot(value)), f"from {told}"))
                case Share(contribution=contribution):
                    alone = contribution.at_reader
                    if len(terms) > 1 or shares:
                        shares.append(Term(self.lower(alone), _told(contribution)))
                case _:
                    raise AssertionError(f"{term} is no contribution within the loop")
        if alone is not None and len(terms) == 1 and not shares:
            if self.is_operation(alone) or isinstance(alone, MatVec):
                self.into(to, alone, number)
                return
            shares.append(Term(self.lower(alone), _told(contribution)))
        in_place = not shares or to.array.startswith("next.")
        if in_place:
            if shares or not stacks:
                self.entries(to, shares, number)
            for index, stack in enumerate(stacks):
                self.back(to, stack, adds=bool(shares) or index > 0)
            return
        if stacks:
            products = self.temporary(to.shape)
            for index, stack in enumerate(stacks):
                self.back(products, stack, adds=index > 0)
            told = ", ".join(stage for stack in stacks for stage in stack.stages)
            shares.append(Term(self.leaf(products), f"through {told}"))
        self.entries(to, shares, number)

    def entries(self, to: Spot, terms: Iterable[Term], number: int | None = None) -> None:
        self.now.append(Entries(to, tuple(term for term in terms if term.expression != ZERO), number=number))

    def back(self, to: Spot, stack: Stack, adds: bool) -> None:
        self.now.append(Multiply(to, self.stored(stack.name), True, self.side_by_side(stack), adds, ", ".join(stack.stages)))

    # ------------------------------------------------------------------ parameters

    def sums(self) -> None:
        """What is added up over steps and examples, each in the phase of its reader."""
        backward = self.schedule.backward
        for gather in backward.still:
            self.sums_of(gather.gradient.value, gather.gradient.shape, gather.terms)
        for reduction in backward.parameters:
            if reduction.stack is None:
                self.sums_of(reduction.stored.name, reduction.stored.shape, reduction.terms)
            else:
                self.stacked_sums(reduction, reduction.stack)

    def sums_of(self, name: str, shape: Shape, terms: tuple[BackwardTerm, ...]) -> None:
        for term in terms:
            match term:
                case Summed(contribution=contribution):
                    self.summed_contribution(name, shape, contribution)
                case ToStart(contribution=contribution):
                    self.phase(BACKWARD, AT_START)
                    self.add_up(name, shape, self.leaf(self.carry_spot(contribution.reader)), Dim())

    def summed_contribution(self, name: str, shape: Shape, contribution: Contribution) -> None:
        phase = self.plan.phases[contribution.reader]
        self.phase(BACKWARD, phase)
        match contribution.at_reader:
            case Call(function="outer", arguments=(left, right)) if self.moves(left) and self.moves(right):
                spots = self.spot_of(left), self.spot_of(right)
                self.phase(BACKWARD, LAST if phase == LAST else SUMS)
                self.now.append(AddOuter(name, *spots))
            case expression:
                self.add_up(name, shape, self.lower(expression), Dim())

    def stacked_sums(self, reduction: Reduce, stack: Stack | BiasStack) -> None:
        name, block = reduction.stored.name, self.blocks[stack.stages[0]][0]
        if isinstance(stack, Stack):
            self.phase(BACKWARD, LAST if block.phase == LAST else SUMS)
            self.now.append(AddOuter(name, self.side_by_side(stack), self.spot_of(stack.vector)))
            return
        self.phase(BACKWARD, block.phase)
        for factor in stack.factors:
            shape = self.graph.shapes[factor.parameter]
            low = self.plan.extent(stack.stages, factor.stage, factor.stage)[0]
            self.add_up(name, shape, self.leaf(self.adjoint_spot(factor.stage)), low)

    def add_up(self, name: str, shape: Shape, expression: Expression, low: Dim) -> None:
        self.summed[name] = None
        whole = next((entry.shape for entry in self.schedule.parameters if entry.name == name), shape)
        to = Spot(self.array(sum_array(name), whole), shape, low)
        self.now.append(Entries(to, (Term(expression, f"to d_{name}"),), adds=True))

    def shares_of_still(self, to: Spot, terms: tuple[BackwardTerm, ...], number: int) -> None:
        """What comes from values that no step changes; the sums over steps lie there already."""
        for term in terms:
            if isinstance(term, Share):
                share = self.lower(term.contribution.at_reader)
                through = f"through {term.contribution.reader}"
                self.now.append(Entries(to, (Term(share, through),), True, number))


def _told(contribution: Contribution) -> str:
    """Where a contribution comes from."""
    if contribution.kind == OUTPUT:
        return "from outside"
    return f"through {contribution.reader}" + "[t+1]" * contribution.lag


def number_of(text: str) -> Expression:
    return number(Fraction(text))


def _exact(expression: Expression) -> Fraction:
    assert isinstance(expression, Number), "a literal"
    return expression.value


def _size(expression: Expression) -> Dim:
    """A size that stands in an expression: what `Dim.expression` made of it."""
    match expression:
        case Number(value=value):
            return Dim((), int(value))
        case Size(symbol=symbol):
            return Dim(((symbol, 1),))
    parts = children(expression)
    if isinstance(expression, Call | Compare) or not parts:
        raise AssertionError(f"no size: {expression}")
    if isinstance(expression, Sum):
        return sum(map(_size, parts), Dim())
    assert isinstance(expression, Product) and isinstance(parts[0], Number)
    return _size(parts[1]).times(int(parts[0].value))


def _minus(high: Dim, low: Dim) -> Dim:
    return high + low.times(-1)


def _biases(bundle: Bundle) -> list[BiasStack]:
    """What a bundle, and every one it is added to, adds beside products."""
    found = [bundle.bias] if bundle.bias else []
    for each in (*bundle.products, *([bundle.onto] if bundle.onto else [])):
        found += _biases(each) if isinstance(each, Bundle) else []
    return found
