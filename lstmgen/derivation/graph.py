"""From a spec's equations to the computational graph of one step.

The graph is in a normal form, so that its derivative can be read: every call is a stage of its own, and so is every
argument of a call that is more than a name. Then a stage is one of three things:

* an affine map plus elementwise terms: `i_pre = W_i @ x + R_i @ h[t-1] + p_i * c[t-1] + b_i`,
* a call with named values: `i = sigmoid(i_pre)`,
* elementwise algebra: `c = z * i + c[t-1] * f`.

The expressions say which stage reads which value, and how many steps later: a `Value` has a lag. Nothing here
differentiates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import NoReturn

from ..errors import Mistakes, Place, Text
from ..language import functions
from ..language.constants import faults, is_constant
from ..language.cures import loss_cure
from ..language.effort import Extent, derivative_nodes, extent, extent_of_copies
from ..language.expressions import (
    Body, Call, Compare, Expression, MatVec, Negative, Number, Product, Size, Sum, Value, children,
    negative, product, rebuild, transform, values, walk,
)
from ..language.names import did_you_mean
from ..language.parse import parse, parse_rule
from ..language.shapes import SCALAR, Shape, ShapeMismatch, describe, read_shape, shape_of
from ..language.text import source
from ..printed import counted, shortened
from ..spec.cell import CellSpec, Function

MOST_STAGES = 2000
MOST_NODES = 20_000  # of one expression, when functions have been put in
MOST_NODES_IN_ALL = 100_000  # of all expressions of a cell
DEEPEST = 300  # an expression, when functions have been put in
MOST_DERIVED = 5000  # operations of all local derivatives of one stage
MOST_DERIVED_IN_ALL = 50_000  # of all stages of a cell
MOST_ENTRIES = 2**16  # of one value, where every symbol of a size is 4


@dataclass(frozen=True)
class Stage:
    """One line of the forward pass: a name and how it is computed."""

    name: str
    expression: Expression  # in normal form; reads values by name and lag
    shape: Shape  # of one example, without time and batch
    owner: str  # the equation that it comes from; its own name if it is an equation
    place: Place  # of that equation

    @property
    def function(self) -> str:
        """The function that it calls; "" for algebra and for a matrix product."""
        return self.expression.function if isinstance(self.expression, Call) else ""

    def __str__(self) -> str:
        return f"{self.name} = {source(self.expression)}"

    def __repr__(self) -> str:
        return shortened(f"<Stage {self}>")


@dataclass(frozen=True)
class Reader:
    """A stage that reads a value, `lag` steps after the value was computed."""

    stage: str
    lag: int


@dataclass(frozen=True)
class Graph:
    """One step of a cell. Tuples of names are in the spec's order."""

    spec: CellSpec
    dims: tuple[tuple[str, str], ...]  # (symbol, keyword of the module)
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    parameters: tuple[str, ...]
    states: tuple[str, ...]
    stages: tuple[Stage, ...]  # in an order in which they can be computed
    outputs: tuple[str, ...]
    loss: str | None  # the stage that holds the loss of one step
    initial: tuple[tuple[str, Number | Value], ...]  # what each state starts from, if none is given
    static: frozenset[str]  # static values: parameters, and stages made of them alone
    shapes: Mapping[str, Shape]  # of every value

    def stage(self, name: str) -> Stage:
        """The stage of a name that is known to be one; a `KeyError` where it is an input's or a parameter's."""
        return self._by_name[name]

    def find(self, name: str) -> Stage | None:
        """The stage of any value's name; None where it is an input, a target or a parameter."""
        return self._by_name.get(name)

    @property
    def has_loss_at_last(self) -> bool:
        """Whether the loss is that of the last step alone."""
        return self.loss is not None and self.spec.loss_at == "last"

    def readers(self, name: str) -> tuple[Reader, ...]:
        """The stages that read a value, in order of evaluation; those of the next step last."""
        return self._readers.get(name, ())

    @cached_property
    def _by_name(self) -> dict[str, Stage]:
        return {stage.name: stage for stage in self.stages}

    @cached_property
    def _readers(self) -> dict[str, tuple[Reader, ...]]:
        found: dict[str, list[Reader]] = {}
        for stage in self.stages:
            for value in values(stage.expression):
                found.setdefault(value.name, []).append(Reader(stage.name, -value.lag))
        return {name: tuple(sorted(readers, key=lambda reader: reader.lag)) for name, readers in found.items()}

    def __repr__(self) -> str:
        return f"<Graph of {self.spec.name}: {counted(len(self.stages), 'stage')}>"


def build_graph(spec: CellSpec) -> Graph:
    """The graph of a spec, or a `SpecError` with every mistake in its equations and shapes."""
    return _Builder(spec).build()


class _Builder:
    def __init__(self, spec: CellSpec):
        self.spec = spec
        self.mistakes = Mistakes(spec.path, spec.source)
        self.symbols = {dim.symbol: dim for dim in spec.dims}
        self.functions = {function.name: function for function in spec.functions}
        self.constants = {constant.name: constant for constant in spec.constants}
        self.declared = {item.name: item for item in spec.declared}
        self.inputs = {item.name for item in spec.inputs}
        self.states = {item.name for item in spec.states}
        self.parameters = {item.name for item in spec.parameters}
        self.targets = {item.name for item in spec.targets}
        self.equations = {equation.name: equation for equation in spec.equations}
        self.texts = {equation.name: equation.body for equation in spec.equations}
        if spec.loss is not None:
            self.texts[_LOSS] = spec.loss
        self.function_bodies: dict[str, Expression] = {}
        self.shapes: dict[str, Shape] = {}
        self.read: set[str] = set()  # every name that something reads
        self.read_back: set[str] = set()  # states that are read one step later

    def build(self) -> Graph:
        self._read_shapes()
        bodies = self._read_bodies()
        self.mistakes.stop()
        order = self._order(bodies)
        self._infer_shapes(bodies, order)
        self._check_use()
        self.mistakes.stop()
        stages, loss = _Normaliser(self, bodies).stages(order)
        self.mistakes.stop()
        shapes = dict(self.shapes) | {stage.name: stage.shape for stage in stages}
        return Graph(
            spec=self.spec,
            dims=tuple((dim.symbol, dim.keyword) for dim in self.spec.dims),
            inputs=tuple(item.name for item in self.spec.inputs),
            targets=tuple(item.name for item in self.spec.targets),
            parameters=tuple(item.name for item in self.spec.parameters),
            states=tuple(item.name for item in self.spec.states),
            stages=stages,
            outputs=tuple(output.name for output in self.spec.outputs),
            loss=loss,
            initial=self._starts(),
            static=_static(stages, self.parameters, self.states | {loss} | {output.name for output in self.spec.outputs}),
            shapes=shapes,
        )

    # ------------------------------------------------------------------ reading

    def _read_shapes(self) -> None:
        used: set[str] = set()
        for item in self.declared.values():
            shape = read_shape(item.shape, self.symbols, self.mistakes)
            if shape is not None and _entries(shape) > MOST_ENTRIES:
                self.mistakes.add(item.place, f"'{item.name}' of shape {describe(shape)} has more than {MOST_ENTRIES} "
                                  "entries where every symbol of a size is 4", "declare a dimension for a size that is large")
            elif shape is not None:
                self.shapes[item.name] = shape
                used.update(symbol for dim in shape for symbol, _ in dim.terms)
        self.used_symbols = used

    def _read_bodies(self) -> dict[str, Expression]:
        """Every equation, with its names resolved and the spec's own functions replaced by their bodies."""
        for function in self.spec.functions:
            readable: list[Expression] = []
            body = parse(function.body, self.mistakes, self.functions, readable=readable)
            for part in readable:
                self._is_scalar_function(function, part)
            if body is not None and self._is_scalar_function(function, body):
                self.function_bodies[function.name] = body
        self._refuse_recursion()
        extents = self._extents()
        bodies = {}
        for name, text in self.texts.items():
            readable = []
            expression = parse(text, self.mistakes, self.functions, readable=readable)
            if expression is not None:
                bodies[name] = self._resolve(expression, text, in_loss=name == _LOSS)
            for part in readable:
                self._resolve(part, text, in_loss=name == _LOSS)
        self._refuse_long(bodies, extents)
        return bodies

    def _is_scalar_function(self, function: Function, body: Expression) -> bool:
        fine = True
        for node in walk(body):
            place = function.body.at(node.at)
            if isinstance(node, Value) and node.lag:
                self.mistakes.add(place, f"'{source(node)}' in the function {function.name}",
                                  "a function reads its arguments and constants only")
                fine = False
            elif isinstance(node, Value) and node.name in self.constants:
                self.read.add(node.name)
            elif isinstance(node, Value) and node.name not in function.arguments:
                known = [*function.arguments, *self.constants]
                self.mistakes.add(place, f"{function.name} has no argument '{node.name}'",
                                  did_you_mean(node.name, known) or "a function reads its arguments and constants only")
                fine = False
            elif isinstance(node, MatVec) or (
                isinstance(node, Call) and isinstance(functions.TABLE.get(node.function), functions.Operation)
            ):
                what = "@" if isinstance(node, MatVec) else node.function
                self.mistakes.add(place, f"'{what}' in the function {function.name}",
                                  "your own functions are scalar: they act entry by entry")
                fine = False
            elif isinstance(node, Call):
                self.read.add(node.function)
        return fine

    def _refuse_recursion(self) -> None:
        cycle = _cycle({name: list(_own_calls(body, self.functions)) for name, body in self.function_bodies.items()})
        if cycle:
            place = self.functions[cycle[0]].place
            self.function_bodies = {}
            raise self.mistakes.fatal(place, f"the functions call each other in a circle: {' -> '.join(cycle)}")

    def _extents(self) -> Callable[[str], Extent | None]:
        """How large each function's body becomes when all functions in it are put in. This is counted, not done."""
        found: dict[str, Extent] = {}

        def known(name: str) -> Extent | None:
            entry = functions.TABLE.get(name)
            if name not in self.functions and isinstance(entry, functions.Macro) and name not in found:
                found[name] = extent(parse_rule(entry.body), known)
            return found.get(name)

        calls = {name: list(_own_calls(body, self.function_bodies)) for name, body in self.function_bodies.items()}
        for name in _sorted(calls):
            found[name] = extent(self.function_bodies[name], known)
            if found[name].depth > DEEPEST:
                raise self.mistakes.fatal(self.functions[name].place, f"'{name}' is nested deeper than {DEEPEST} when the "
                                          "functions that it calls are put in", "use fewer functions")
        return known

    def _refuse_long(self, bodies: Mapping[str, Expression], extents: Callable[[str], Extent | None]) -> None:
        """Refuse what would become too large, before functions are put in: calling the next one twice doubles the size."""
        in_all = 0
        for name, text in self.texts.items():
            if name not in bodies:
                continue
            found = extent(bodies[name], extents)
            what = "the loss" if name == _LOSS else f"'{name}'"
            if found.nodes > MOST_NODES:
                raise self.mistakes.fatal(text.place, f"{what} is longer than {MOST_NODES} operations when functions are "
                                          "put in", "write an equation for what is read more than once")
            if found.depth > DEEPEST:
                raise self.mistakes.fatal(text.place, f"{what} is nested deeper than {DEEPEST} when functions are put in",
                                          "write an equation for a part of it")
            in_all += found.nodes
            if in_all > MOST_NODES_IN_ALL:
                raise self.mistakes.fatal(text.place, f"up to {what} the equations are longer than {MOST_NODES_IN_ALL} "
                                          "operations when functions are put in", "split the cell into several")

    def _resolve(self, expression: Expression, text: Text, in_loss: bool) -> Expression:
        """The expression with constants and sizes in place of their names; every other name is checked."""
        def rule(node: Expression) -> Expression | None:
            if isinstance(node, Call) and node.function in self.functions:
                return self._inline(node, text, in_loss)
            if not isinstance(node, Value):
                return None
            return self._name(node, text, in_loss)

        resolved = transform(expression, rule)
        for fault in faults(resolved):
            self.mistakes.add(text.at(fault.at), fault.message)
        return resolved

    def _inline(self, call: Call, text: Text, in_loss: bool) -> Expression:
        """A call of the spec's own function stays a call; its arguments are resolved."""
        function = self.functions[call.function]
        self.read.add(call.function)
        if len(call.arguments) != len(function.arguments):
            self.mistakes.add(text.at(call.at), f"'{call.function}' takes {len(function.arguments)} "
                              f"argument{'s' * (len(function.arguments) != 1)}, found {len(call.arguments)}")
            return call
        return Call(call.function, tuple(self._resolve(argument, text, in_loss) for argument in call.arguments), call.at)

    def _name(self, node: Value, text: Text, in_loss: bool) -> Expression:
        name, place = node.name, text.at(node.at)
        if name in self.constants or name in self.symbols:
            if node.lag:
                self.mistakes.add(place, f"'{source(node)}': {name} does not change over time", f"write {name}")
            self.read.add(name)
            return Number(self.constants[name].value, node.at) if name in self.constants else Size(name, node.at)
        if name not in self.declared and name not in self.equations:
            cure = self._cure_loss(name) if in_loss else None
            self.mistakes.add(place, f"there is no '{name}'", cure or self._cure_unknown(name))
            return node
        self.read.add(name)
        if node.lag:
            if name in self.states:
                self.read_back.add(name)
            elif name in self.parameters:
                self.mistakes.add(place, f"'{source(node)}': a parameter does not change over time", f"write {name}")
            else:
                cure = f"make it a state: declare {name} under 'state:'" if name in self.equations else (
                    f"make it a state: add '{name}_old' with the equation '{name}_old: {name}', "
                    f"and read {name}_old[t-1]")
                self.mistakes.add(place, f"'{source(node)}': only a state can be read one step later", cure)
        if name in self.targets and not in_loss:
            self.mistakes.add(place, f"the target '{name}' is read outside of the loss",
                              "declare it under 'inputs:' if the cell may see it")
        return node

    def _cure_loss(self, name: str) -> str | None:
        output = self.spec.outputs[0].name if self.spec.outputs else "h"
        shape = self.shapes.get(output, ())
        return loss_cure(name, output, f"[{', '.join(map(str, shape))}]" if len(shape) != 1 else str(shape[0]))

    def _cure_unknown(self, name: str) -> str | None:
        for ending in ("_prev", "_last", "_old", "_tm1", "_t1", "_t_1", "_t_minus_1"):
            base = name.removesuffix(ending)
            if base != name and base in self.states:
                return f"write {base}[t-1] for the previous step"
        base = name.removesuffix("_t")
        if base != name and base in {*self.declared, *self.equations}:
            return f"write {base}: a name stands for the value at step t" + (
                f", and {base}[t-1] for the step before" if base in self.states else "")
        if name in _NO_NUMBERS:
            return _NO_NUMBERS[name]
        if name == "t":
            return "write the step in brackets after a state, h[t-1]; to use the time itself, count it in a state"
        if name in functions.PUBLIC or name in self.functions:
            return f"'{name}' is a function: write {name}(...)"
        if name.endswith("_pre") and name.removesuffix("_pre") in self.equations:
            return "the argument of a call has no name of its own: write it as an equation"
        return did_you_mean(name, [*self.declared, *self.equations, *self.constants, *self.symbols])

    # ------------------------------------------------------------------ order and shapes

    def _order(self, bodies: Mapping[str, Expression]) -> list[str]:
        """The equations in an order in which they can be computed, as close to the author's order as possible."""
        needs = {
            name: [value.name for value in values(body) if not value.lag and value.name in self.equations]
            for name, body in bodies.items()
        }
        cycle = _cycle(needs)
        if cycle:
            place = self.equations[cycle[0]].place
            reads = "; ".join(f"{a} reads {b}" for a, b in zip(cycle, cycle[1:]))
            states = [name for name in cycle if name in self.states]
            cure = f"one of them has to read the step before, such as {states[0]}[t-1]" if states else (
                "one of them has to be a state and be read one step later")
            raise self.mistakes.fatal(place, f"the equations need each other within one step: {reads}", cure)
        return _sorted(needs)

    def _infer_shapes(self, bodies: Mapping[str, Expression], order: list[str]) -> None:
        unknown: set[str] = {name for name in self.equations if name not in bodies}
        for name in order:
            reads = {value.name for value in values(bodies[name])}
            text = self.texts[name]
            if reads & unknown:
                unknown.add(name)  # its mistake is reported already
                continue
            try:
                shape = shape_of(bodies[name], self.shapes)
            except ShapeMismatch as mismatch:
                where = text.at(mismatch.expression.at)
                self.mistakes.add(where, f"'{_shortened(mismatch.expression)}': {mismatch.message}", mismatch.cure)
                unknown.add(name)
                continue
            declared = self.shapes.get(name)
            if name == _LOSS and shape != SCALAR:
                self.mistakes.add(text.place, f"the loss is {describe(shape)}, not a scalar",
                                  "sum(...) sums over the entries")
            if name in self.states and declared is not None and declared != shape:
                self.mistakes.add(text.place, f"the state {name} is declared {describe(declared)}, "
                                  f"its equation gives {describe(shape)}")
            if name != _LOSS:
                self.shapes[name] = shape
        for state, start in ((item.state, item) for item in self.spec.initial):
            if isinstance(start.start, str):
                self.read.add(start.start)
                wanted, given = self.shapes.get(state), self.shapes.get(start.start)
                if wanted is not None and given is not None and wanted != given:
                    self.mistakes.add(start.place, f"{state} is {describe(wanted)}, "
                                      f"its start {start.start} is {describe(given)}")

    def _check_use(self) -> None:
        """Refuse what is declared and never read: an equation or a term was probably forgotten."""
        outputs = {output.name for output in self.spec.outputs}
        for kind, items in (
            ("parameter", self.spec.parameters), ("input", self.spec.inputs), ("target", self.spec.targets),
            ("constant", self.spec.constants), ("function", self.spec.functions),
        ):
            for item in items:
                if item.name not in self.read:
                    cure = "read it, or remove it"
                    if kind == "input" and not re.search(r"^\W*inputs\W*:", self.spec.source, re.MULTILINE):
                        cure = "read it, or write 'inputs', whose default is {x: D}"
                    self.mistakes.add(item.place, f"the {kind} '{item.name}' is never read", cure)
        for equation in self.spec.equations:
            if equation.name not in self.read | outputs and equation.name not in self.states:
                self.mistakes.add(equation.place, f"'{equation.name}' is computed and never read",
                                  "read it, name it as an output, or remove it")
        for state in self.spec.states:
            if state.name not in self.read_back | outputs and state.name in self.equations:
                self.mistakes.add(state.place, f"the state '{state.name}' is never read as {state.name}[t-1]",
                                  "read it, or remove it from 'state:'")
        for dim in self.spec.dims:
            if dim.symbol not in self.used_symbols:
                if dim.symbol in self.read:
                    self.mistakes.add(dim.place, f"the dimension '{dim.symbol}' is not the size of any shape",
                                      "use it in a shape")
                else:
                    self.mistakes.add(dim.place, f"the dimension '{dim.symbol}' is never used", "remove it")

    def _starts(self) -> tuple[tuple[str, Number | Value], ...]:
        given = {item.state: item.start for item in self.spec.initial}
        starts: list[tuple[str, Number | Value]] = []
        for state in self.spec.states:
            start = given.get(state.name, Fraction(0))
            starts.append((state.name, Value(start) if isinstance(start, str) else Number(start)))
        return tuple(starts)


_NO_NUMBERS = {
    "T": "write transpose(W) for a transpose", "e": "write exp(a) for a power of e", "inf": "numbers are finite",
    "pi": "write the number, 3.141592653589793, or declare it under 'constants:'",
}
_LOSS = ""  # the loss among the names of equations: no equation can have this name


class _Normaliser:
    """Splits the equations into stages."""

    def __init__(self, builder: _Builder, bodies: Mapping[str, Expression]):
        self.builder, self.bodies = builder, bodies
        self.shapes = dict(builder.shapes)
        self.taken = set(builder.declared) | set(builder.equations) | set(builder.constants) | set(builder.symbols)
        self.made: list[Stage] = []
        self.derived = 0  # operations of all derivatives
        self.unnamed: set[str] = set()  # stages that the spec gave no name
        self.known: dict[Expression, str] = {}  # expressions that have a stage already

    def stages(self, order: list[str]) -> tuple[tuple[Stage, ...], str | None]:
        loss = None
        for name in order:
            stage_name = name
            if name == _LOSS:
                stage_name = loss = self._free_name("loss")
            self.owner = stage_name
            self.place = self.builder.texts[name].place if name == _LOSS else self.builder.equations[name].place
            expression = self._stage_expression(self.bodies[name])
            self._append(stage_name, expression)
        return tuple(self.made), loss

    def _append(self, name: str, expression: Expression) -> None:
        """Add a stage, if the limits allow to derive and to compute it."""
        shape = shape_of(expression, self.shapes)
        self._refuse_laborious(expression, shape)
        self.shapes[name] = shape
        self.known.setdefault(expression, name)
        self.made.append(Stage(name, expression, shape, self.owner, self.place))

    def _refuse_laborious(self, expression: Expression, shape: Shape) -> None:
        def refuse(what: str, cure: str | None = None) -> NoReturn:
            raise self.builder.mistakes.fatal(self.place, what, cure)

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
        if _entries(shape) > MOST_ENTRIES:
            refuse(f"'{self.owner}' needs a value of shape {describe(shape)}, and one has at most {MOST_ENTRIES} entries "
                   "where every symbol of a size is 4", "declare a dimension for a size that is large")

    def _stage_expression(self, expression: Expression, top: bool = True) -> Expression:
        """The normal form of a stage's expression; other parts become stages before it."""
        expression = _number_into_sum(expression)
        if is_constant(expression):
            return self._written_out(expression)
        match expression:
            case Call(function=function) if body := self._body(function):
                return self._stage_expression(self._expanded(expression, body, top), top)
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
        if is_constant(expression):
            return self._written_out(expression)
        match expression:
            case Call(function=function) if body := self._body(function):
                return self._pointwise(self._expanded(expression, body, top=False))
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
        if is_constant(expression):
            return self._written_out(expression)
        if isinstance(expression, Value):
            return expression
        normal = self._stage_expression(expression, top=False)
        if _is_atom(normal):
            return normal
        if normal not in self.known:
            name = self._free_name(f"{self.owner}_pre" if pre else self._name_for(normal))
            self.unnamed.add(name)
            self._append(name, normal)
        return Value(self.known[normal], 0, expression.at)

    def _body(self, function: str) -> Body | None:
        """The body of a function of the spec, or of a macro of the language; None for any other function."""
        own, entry = self.builder.functions.get(function), functions.TABLE.get(function)
        if own is not None:
            return Body(own.arguments, transform(self.builder.function_bodies[own.name], self._constant))
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
        """A constant with the functions in it that stand for expressions put in. None of it becomes a stage."""
        calls = [node for node in walk(expression) if isinstance(node, Call) and self._body(node.function)]
        if not calls:
            return expression
        if extent_of_copies(expression, self._body).nodes > MOST_NODES:
            raise self.builder.mistakes.fatal(
                self.place, f"a constant in '{self.owner}' is longer than {MOST_NODES} operations when functions are put in",
                "write its value")
        written = self._put_in(expression)
        for fault in faults(written):
            self.builder.mistakes.add(self.place, fault.message)
        return written

    def _put_in(self, expression: Expression) -> Expression:
        def rule(node: Expression) -> Expression | None:
            body = self._body(node.function) if isinstance(node, Call) else None
            if body is None or not isinstance(node, Call):
                return None
            given = dict(zip(body.arguments, map(self._put_in, node.arguments)))
            return _with_arguments(self._put_in(body.expression), given)

        return transform(expression, rule)

    def _constant(self, node: Expression) -> Expression | None:
        if isinstance(node, Value) and node.name in self.builder.constants:
            return Number(self.builder.constants[node.name].value)
        return None

    def _name_for(self, expression: Expression) -> str:
        """tanh_c for tanh(c), r_h_prev for r * h[t-1], else the owner's name and a number."""
        match expression:
            case Call(function=function, arguments=(Value(name=name, lag=lag),)) if (
                name not in self.unnamed or name.endswith("_pre")
            ):
                return f"{function}_{name}{'_prev' * -lag}"
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


def _entries(shape: Shape) -> int:
    """The entries of a value of this shape where every symbol is 4: the proofs compute them in 90 digits."""
    return prod(dim.value(dict.fromkeys((symbol for symbol, _ in dim.terms), 4)) for dim in shape)


def _with_arguments(body: Expression, given: Mapping[str, Expression]) -> Expression:
    """The body of a function with its arguments in it."""
    return transform(body, lambda node: given.get(node.name) if isinstance(node, Value) else None)


def _is_atom(expression: Expression) -> bool:
    return isinstance(expression, Value) or is_constant(expression)


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


def _static(stages: tuple[Stage, ...], parameters: set[str], moving: set[str | None]) -> frozenset[str]:
    """The static values. A state, an output or the loss is never static, even if it reads parameters only."""
    static = set(parameters)
    for stage in stages:
        if stage.name not in moving and all(value.name in static for value in values(stage.expression)):
            static.add(stage.name)
    return frozenset(static)


def _own_calls(body: Expression, own: Collection[str]) -> Iterator[str]:
    """The names of the spec's own functions that an expression calls."""
    return (node.function for node in walk(body) if isinstance(node, Call) and node.function in own)


def _sorted(needs: Mapping[str, list[str]]) -> list[str]:
    """Names in an order of dependence, as close to the given order as possible. There must be no circle."""
    order: dict[str, None] = {}
    for start in needs:
        stack = [(start, iter(needs[start]))]
        while stack:
            name, rest = stack[-1]
            following = next((need for need in rest if need not in order), None)
            if following is None:
                order.setdefault(name)
                stack.pop()
            else:
                stack.append((following, iter(needs[following])))
    return list(order)


def _cycle(needs: Mapping[str, list[str]]) -> list[str] | None:
    """A circle of names that need each other, from a name back to itself; None if there is none."""
    done: set[str] = set()
    for start in needs:
        if start in done:
            continue
        path, stack = [start], [iter(needs[start])]
        on_path = {start}
        while stack:
            following = next(stack[-1], None)
            if following is None:
                stack.pop()
                on_path.discard(path[-1])
                done.add(path.pop())
            elif following in on_path:
                return [*path[path.index(following):], following]
            elif following not in done and following in needs:
                path.append(following)
                on_path.add(following)
                stack.append(iter(needs[following]))
    return None


def _shortened(expression: Expression, longest: int = 60) -> str:
    text = source(expression)
    return text if len(text) <= longest else text[: longest - 3] + "..."


