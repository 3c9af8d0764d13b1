"""The multivariate chain rule along every fork, within a step and through time.

A value that K stages read is a fork with K branches: each reader gets a copy, and the gradients of the copies are added.
One `Contribution` is what one branch sends back. It holds the reader, how many steps later the reader is, the reader's
*local* derivative, and the reader's own adjoint. The local derivative holds the reader's other arguments constant: if they
depend on the value, that comes back through another branch. One object is one line of NumPy, one term of LaTeX, one entry
of `explain`, and one thing that the knock-out proof takes out.

Time is in the symbols: a contribution through the next step reads `f[t+1]` and the adjoint `d_c[t+1]`, and no output has to
shift anything. Parameters are static: the contributions to them are summed over the steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ..errors import Mistakes
from ..language import functions
from ..language.constants import LEAST, is_constant
from ..language.expressions import (
    ONE, ZERO, Adjoint, Call, Compare, Expression, MatVec, Negative, Number, Outside, Product, Quotient, Sum,
    Value, children, negative, product, total, transform, values, walk,
)
from ..language.parse import parse_rule
from ..language.shapes import Dim, Shape, axis_letters, shape_of
from ..language.text import source
from ..printed import counted, shortened
from .graph import Graph, Stage
from .linear import is_linear_in_state
from .local import derivative

ELEMENTWISE = "elementwise"  # through elementwise algebra or a call
TRANSPOSED = "transposed"  # through A @ v to v: transpose(A) @ d
OUTER = "outer"  # through A @ v to A: d v^T
OPERATION = "operation"  # through an operation along an axis, by its rule in the table of functions
OUTPUT = "output"  # from outside, through an output
START = "start"  # to a learned initial state, from the state of step 0

Key = tuple[str, str, int, int]  # (target, reader, lag, position)


@dataclass(frozen=True)
class Contribution:
    """What one reader sends back to one value: one term of its adjoint. `key` is different for every other one."""

    target: str  # the value that it is sent to
    reader: str  # the stage that sends it; for OUTPUT and START, the name of the output or the state
    lag: int  # 0: the reader is in the same step; 1: in the next
    position: int  # among those of the same target, reader and lag: a stage may read a value in several terms
    kind: str  # one of the six above
    local: Expression | None  # the local derivative at the reader's step, if it is elementwise
    upstream: Expression  # the reader's adjoint, at the reader's step
    at_reader: Expression  # upstream times local, with times as the reader sees them
    term: Expression  # the same, with times as the value sees them
    over_time: bool  # from every step to something static: summed over the steps

    @property
    def key(self) -> Key:
        """The same in every derivation of the cell, whatever is left out of it."""
        return self.target, self.reader, self.lag, self.position

    @property
    def matrix(self) -> Expression | None:
        """What the reader multiplies the value by, with its sign, at the reader's step; None where kind is another."""
        if self.kind == TRANSPOSED:
            match self.at_reader:
                case MatVec(matrix=Call(arguments=(matrix,))):
                    return matrix
                case Negative(operand=MatVec(matrix=Call(arguments=(matrix,)))):
                    return negative(matrix)
        return None

    def __str__(self) -> str:
        if self.kind == START:
            return f"{source(self.upstream)}[0]"
        return f"sum_t({source(self.term)})" if self.over_time else source(self.term)

    def __repr__(self) -> str:
        reader = "outside" if self.kind == OUTPUT else source(Value(self.reader, self.lag))
        return shortened(f"<Contribution to d_{self.target} from {reader}: {self}>")


@dataclass(frozen=True)
class Gradient:
    """The adjoint of one value, the total derivative of the loss with respect to it: the sum of contributions."""

    value: str
    shape: Shape
    forks: tuple[Contribution, ...]  # from outside first, then within the step, then from the next step

    @property
    def expression(self) -> Expression:
        """The sum of all contributions; for something static, those of one step."""
        return total(*(fork.term for fork in self.forks))

    def within(self) -> tuple[Contribution, ...]:
        """The contributions from readers in the same step."""
        return tuple(fork for fork in self.forks if fork.lag == 0)

    def through_time(self) -> tuple[Contribution, ...]:
        """The contributions from readers in the next step."""
        return tuple(fork for fork in self.forks if fork.lag == 1)

    def __str__(self) -> str:
        return f"d_{self.value} = {' + '.join(map(str, self.forks)) or '0'}"

    def __repr__(self) -> str:
        return f"<Gradient d_{self.value}: {counted(len(self.forks), 'contribution')}>"


@dataclass(frozen=True)
class Derivation:
    """Every adjoint and gradient of a cell. `stages` is in the order in which the adjoints become complete."""

    graph: Graph
    stages: tuple[Gradient, ...]
    inputs: tuple[Gradient, ...]
    parameters: tuple[Gradient, ...]
    loss_stages: frozenset[str]  # the loss, and the stages that only it reads
    left_out: tuple[Contribution, ...] = ()  # contributions that are zero wherever one looks

    @cached_property
    def adjoints(self) -> dict[str, Gradient]:
        """Gradients by name."""
        return {gradient.value: gradient for gradient in (*self.stages, *self.inputs, *self.parameters)}

    @property
    def last_step_only(self) -> frozenset[str]:
        """The stages that exist at the last step alone: a loss that is taken there, and what only it reads."""
        return self.loss_stages if self.graph.has_loss_at_last else frozenset()

    @property
    def is_linear_in_state(self) -> bool:
        """Whether each state is linear in the states of the step before: steps can then be computed as a parallel scan."""
        return is_linear_in_state(self.graph)

    def exists(self, stage: str, step: int, steps: int) -> bool:
        """Whether a stage is computed at a step, of the steps 1 to `steps`."""
        return 1 <= step <= steps and (step == steps or stage not in self.last_step_only)

    def contributions(self) -> Iterator[Contribution]:
        for gradient in (*self.stages, *self.inputs, *self.parameters):
            yield from gradient.forks

    def __repr__(self) -> str:
        many = counted(sum(1 for _ in self.contributions()), "contribution")
        return f"<Derivation of {self.graph.spec.name}: {counted(len(self.adjoints), 'gradient')}, {many}>"


def derive(graph: Graph) -> Derivation:
    """Differentiate a cell: one contribution for each branch, adjoints in order of completion."""
    return _Sweep(graph).derive()


def without(derivation: Derivation, dropped: Collection[Contribution]) -> Derivation:
    """The derivation without some contributions, and without those that nothing needs then.

    A contribution is needed if its target is an input, a parameter or an initial state, or a stage whose adjoint is needed
    for one of these. What reaches floor(a) is not needed.
    """
    graph = derivation.graph
    gone = {fork.key for fork in dropped}
    forks = [fork for fork in derivation.contributions() if fork.key not in gone]
    asked = {*graph.inputs, *graph.parameters}  # and stages whose adjoints are needed for these

    def leads_somewhere(fork: Contribution) -> bool:
        return fork.target in asked or bool(fork.lag)  # what comes from the next step reaches the initial state

    kept: set[Key] = set()
    while found := [fork for fork in forks if fork.key not in kept and leads_somewhere(fork)]:
        kept.update(fork.key for fork in found)
        asked.update(fork.reader for fork in found if fork.kind not in (OUTPUT, START))
    carried = {fork.target for fork in forks if fork.lag}

    def thinned(gradient: Gradient) -> Gradient:
        return replace(gradient, forks=tuple(
            fork for fork in gradient.forks if fork.key in kept and (fork.kind != START or fork.reader in carried)))

    shorter = replace(
        derivation,
        stages=tuple(thinned(each) for each in derivation.stages if each.value in asked or each.value in graph.states),
        inputs=tuple(map(thinned, derivation.inputs)),
        parameters=tuple(map(thinned, derivation.parameters)),
    )
    remaining = {fork.key for fork in shorter.contributions()}
    missing = tuple(fork for fork in derivation.contributions() if fork.key not in remaining)
    return replace(shorter, left_out=missing if dropped else ())


class _Sweep:
    """Goes through the stages backwards, once. Each stage sends contributions to the values that it reads."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.loss_stages = _loss_stages(graph)
        self.forks: dict[str, list[Contribution]] = {}
        self.count: Counter[tuple[str, str, int]] = Counter()  # by target, reader and lag

    def derive(self) -> Derivation:
        graph = self.graph
        if graph.loss is None:
            for output in graph.outputs:
                self._add(output, output, 0, OUTPUT, None, Outside(output), Outside(output))
        for state, start in graph.initial:
            if isinstance(start, Value):
                self._add(start.name, state, 0, START, None, Adjoint(state), Adjoint(state))
        # A static stage gets contributions from all steps: its adjoint is complete only after the others.
        moving = [stage for stage in graph.stages if stage.name not in graph.static]
        still = [stage for stage in graph.stages if stage.name in graph.static]
        completed = []
        for stage in (*reversed(moving), *reversed(still)):
            reached = stage.name in self.forks or stage.name in graph.states or stage.name == graph.loss
            if reached:
                completed.append(stage.name)
                self._send_back(stage)
        everything = Derivation(
            graph=graph,
            stages=tuple(self._gradient(name) for name in completed),
            inputs=tuple(self._gradient(name) for name in graph.inputs),
            parameters=tuple(self._gradient(name) for name in graph.parameters),
            loss_stages=self.loss_stages,
        )
        return without(everything, ())

    def _gradient(self, name: str) -> Gradient:
        forks = self.forks.get(name, [])
        position = {stage.name: index for index, stage in enumerate(self.graph.stages)}
        ranked = sorted(forks, key=lambda fork: (fork.kind != OUTPUT, fork.lag, position[fork.reader]))
        return Gradient(name, self.graph.shapes[name], tuple(ranked))

    # ------------------------------------------------------------------ one stage

    def _send_back(self, stage: Stage) -> None:
        upstream = self._upstream(stage)
        for value, kind, local, term in _branches(stage, upstream, self.graph):
            if term == ZERO:
                continue
            self._add(value.name, stage.name, -value.lag, kind, local, upstream, term)

    def _upstream(self, stage: Stage) -> Expression:
        """The stage's adjoint; or, if it is the same number everywhere, that number (in the stage's shape)."""
        if stage.name == self.graph.loss:
            return ONE
        forks = self.forks.get(stage.name, [])
        at_all_steps = not self.graph.has_loss_at_last or stage.name in self.loss_stages
        if at_all_steps and stage.name not in self.graph.states and len(forks) == 1 and not forks[0].over_time:
            term = forks[0].term
            if is_constant(term) and _is_same_in_every_entry(term):
                return _filled(_thinned(term), stage.shape, self.graph.shapes)
        return Adjoint(stage.name)

    def _add(self, target: str, reader: str, lag: int, kind: str, local: Expression | None, upstream: Expression,
             at_reader: Expression) -> None:
        still = self.graph.static
        over_time = target in still and (reader not in still) and kind != START
        position = self.count[target, reader, lag]
        self.count[target, reader, lag] += 1
        self.forks.setdefault(target, []).append(Contribution(
            target=target, reader=reader, lag=lag, position=position, kind=kind, local=local, upstream=upstream,
            at_reader=at_reader, term=later(at_reader, lag, still), over_time=over_time,
        ))


def later(expression: Expression, steps: int, static: frozenset[str]) -> Expression:
    """The expression as it is seen `steps` earlier: the lag of everything that is not static grows by `steps`."""
    def rule(node: Expression) -> Expression | None:
        if isinstance(node, (Value, Adjoint, Outside)) and node.name not in static:
            return type(node)(node.name, node.lag + steps, node.at)
        return None

    return transform(expression, rule) if steps else expression


Sent = tuple[Value, str, "Expression | None", Expression]  # value, kind, local derivative, term


def _branches(stage: Stage, upstream: Expression, graph: Graph) -> Iterator[Sent]:
    """What a stage sends to each value it reads."""
    if isinstance(stage.expression, Call):
        entry = functions.TABLE.get(stage.expression.function)
        if isinstance(entry, functions.Operation):
            yield from _through_operation(stage.expression, entry, stage, upstream, graph)
            return
    algebra, matrix_terms = _split(stage.expression)
    for sign, term in matrix_terms:
        yield from _through_product(term, sign, upstream, graph.shapes)
    if algebra is None:
        return
    for value in values(algebra):
        local = _immediate(algebra, value, stage)
        _refuse_numbers(local, value, stage, graph)
        if local != ZERO:
            yield value, ELEMENTWISE, local, _reduced(_times(upstream, local, stage.shape, graph.shapes),
                                                      stage.shape, graph.shapes[value.name])


def _split(expression: Expression) -> tuple[Expression | None, list[tuple[int, MatVec]]]:
    """A stage's matrix products, with their signs, and the algebra that is added to them."""
    terms = expression.terms if isinstance(expression, Sum) else (expression,)
    products, rest = [], []
    for term in terms:
        match term:
            case MatVec():
                products.append((1, term))
            case Negative(operand=MatVec() as inner):
                products.append((-1, inner))
            case _:
                rest.append(term)
    if not products:
        return expression, []
    return (total(*rest) if rest else None), products


def _through_product(term: MatVec, sign: int, upstream: Expression, shapes: Mapping[str, Shape]) -> Iterator[Sent]:
    """Through A @ v: transpose(A) @ d to v, and d v^T to A. A minus in front of A @ v changes both signs.

    If v is a matrix, d is one, and d v^T is their product, d @ transpose(v).
    """
    matrix, vector = term.matrix, term.vector
    signed = upstream if sign > 0 else negative(upstream)
    if isinstance(matrix, Value):
        if len(shape_of(vector, shapes)) == len(shapes[matrix.name]):
            product_of_both = MatVec(upstream, Call("transpose", (vector,)))
            yield matrix, OPERATION, None, product_of_both if sign > 0 else Negative(product_of_both)
        else:
            yield matrix, OUTER, None, Call("outer", (signed, vector))
    if isinstance(vector, Value):
        back = MatVec(Call("transpose", (matrix,)), upstream)
        yield vector, TRANSPOSED, None, back if sign > 0 else Negative(back)


def _immediate(expression: Expression, value: Value, stage: Stage) -> Expression:
    """The local derivative of a stage's algebra or call; its other arguments are held constant."""
    if not isinstance(expression, Call):
        return total(*(derivative(expression, copy) for copy in copies_of(value, expression)))
    if expression.function == functions.WHERE:
        return _where_derivative(expression, value)
    entry = functions.TABLE[expression.function]
    assert isinstance(entry, functions.Pointwise)  # macros are replaced by their bodies; operations have rules of their own
    given: dict[str, Expression] = dict(zip(entry.arguments, expression.arguments), y=Value(stage.name))
    locals_ = []
    for argument, rule in zip(expression.arguments, entry.derivatives):
        if argument == value:
            locals_.append(_instance(parse_rule(rule), given))
    return total(*locals_)


def copies_of(value: Value, expression: Expression) -> tuple[Expression, ...]:
    """The value where an expression reads it as it is, and copied along new axes: `fill(value, n)`."""
    def visit(node: Expression) -> Iterator[Expression]:
        if node == value or (isinstance(node, Call) and node.function == "fill" and value in values(node)):
            yield node
        else:
            for child in children(node):
                yield from visit(child)

    return tuple(dict.fromkeys(visit(expression)))


def _refuse_numbers(local: Expression, value: Value, stage: Stage, graph: Graph) -> None:
    """Refuse numbers that grew beyond the limits: in (2 * a + 2 * b) ** 100, SymPy takes the 2 out of the power."""
    for node in walk(local):
        if isinstance(node, Number) and node.value and not LEAST <= abs(node.value) <= 1 / LEAST:
            message = f"the derivative of '{stage.owner}' with respect to {value.name} has a number beyond " \
                      f"{float(1 / LEAST):.0e}, or too close to zero"
            raise Mistakes(graph.spec.path, graph.spec.source).fatal(stage.place, message, "scale what is raised to a power")


def _where_derivative(expression: Call, value: Value) -> Expression:
    """1 where the side that reads the value is chosen; nothing through the comparison."""
    comparison, chosen, other = expression.arguments
    first, second = chosen == value, other == value
    if first and second:
        return ONE
    if not first and not second:
        return ZERO
    return Call(functions.WHERE, (comparison, ONE if first else ZERO, ZERO if first else ONE))


def _instance(rule: Expression, given: Mapping[str, Expression]) -> Expression:
    """A rule of the table with its letters replaced by what they stand for."""
    return transform(rule, lambda node: given.get(node.name) if isinstance(node, Value) else None)


def _times(upstream: Expression, local: Expression, shape: Shape, shapes: Mapping[str, Shape]) -> Expression:
    """upstream * local, entry by entry, in the reader's shape.

    In a choice, the upstream adjoint goes inside, so that the side that is not chosen cannot give 0 * inf.
    """
    if isinstance(upstream, Call):  # fill, of a number
        constant = _times(upstream.arguments[0], local, shape, shapes)
        return _filled(constant, shape, shapes)
    match local:
        case Call(function=functions.WHERE, arguments=(Compare() as comparison, chosen, other)):
            return Call(functions.WHERE, (comparison, _times(upstream, chosen, shape, shapes),
                                          _times(upstream, other, shape, shapes)))
        case Quotient(numerator=numerator, denominator=denominator):
            return Quotient(_times(upstream, numerator, shape, shapes), denominator)
        case Negative(operand=Quotient() as operand):
            return Negative(_times(upstream, operand, shape, shapes))
    return product(upstream, local)


def _is_same_in_every_entry(constant: Expression) -> bool:
    """Whether a number was only copied. (The sum of a cumsum sends back n, n - 1, ..., 1: that is not one number.)"""
    return all(node.function == "fill" for node in walk(constant) if isinstance(node, Call))


def _thinned(expression: Expression) -> Expression:
    """One entry of an array whose entries are all the same."""
    return transform(expression, lambda node: _thinned(node.arguments[0]) if isinstance(node, Call) else None)


def _filled(expression: Expression, shape: Shape, shapes: Mapping[str, Shape]) -> Expression:
    while len(shape_of(expression, shapes)) < len(shape):
        dim: Dim = shape[len(shape_of(expression, shapes))]
        expression = Call("fill", (expression, dim.expression()))
    return expression


def _reduced(term: Expression, shape: Shape, wanted: Shape) -> Expression:
    """Sum the term over the axes along which the value was copied: a scalar along all, the argument of fill along one."""
    for _ in range(len(shape) - len(wanted)):
        term = Call("sum", (term,))
    return term


def _through_operation(
    expression: Call, entry: functions.Operation, stage: Stage, upstream: Expression, graph: Graph
) -> Iterator[Sent]:
    """Through an operation along an axis, by the rule in its table entry."""
    arguments = expression.arguments
    if not entry.adjoints and expression.function != "concat":
        return  # stop_gradient
    by_value: dict[Value, list[Expression]] = {}
    offset = Dim()
    for position, argument in enumerate(arguments[: len(arguments) - functions.numbers_given(entry, len(arguments))]):
        shape = shape_of(argument, graph.shapes)
        if expression.function == "concat":
            low, offset = offset, offset + shape[-1]
            term: Expression = Call("Slice", (upstream, low.expression(), offset.expression()))
        else:
            given: dict[str, Expression] = dict(zip(entry.arguments, arguments), y=Value(stage.name), d=upstream)
            given |= {name: parse_rule(text) for name, text in functions.left_out(entry, len(arguments)).items()}
            given |= axis_letters(shape)
            term = _instance(parse_rule(entry.adjoints[position]), given)
        if isinstance(argument, Value):
            by_value.setdefault(argument, []).append(_with_signs_in_front(term))
    for value, terms in by_value.items():
        yield value, OPERATION, None, total(*terms)


def _with_signs_in_front(term: Expression) -> Expression:
    """The term with the numbers of a rule multiplied together: `1 * a` becomes `a`."""
    return product(*term.factors) if isinstance(term, Product) else term


def _loss_stages(graph: Graph) -> frozenset[str]:
    """The loss, and the stages that only the loss needs."""
    if graph.loss is None:
        return frozenset()
    needed = set(graph.outputs) | set(graph.states)
    for stage in reversed(graph.stages):
        if stage.name in needed:
            needed.update(value.name for value in values(stage.expression))
    return frozenset(stage.name for stage in graph.stages if stage.name not in needed and stage.name not in graph.static)
