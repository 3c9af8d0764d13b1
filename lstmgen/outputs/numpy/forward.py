"""`forward` and `step` as lines: a stage is one line, and carries the number of its equation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ...language import functions
from ...language.expressions import Call, Expression, Sum, Value, values, walk
from ...language.shapes import Shape
from ...language.text import SUM
from ...schedule.plan import LOOP, Stack
from ...schedule.records import (
    STEPS_AND_START, Assign, BiasPart, Bundle, Forward, ForwardStatement, ForwardTerm, GatePart, Joined, Multiplied,
    Part,
)
from .lines import Line, axes, indented, numbered, wrapped_unpacking
from .places import EACH, LAST_STEP, SINGLE, WHOLE, Places
from .spelling import Spelled


def forward_lines(places: Places) -> list[Line]:
    """The body of `forward`: all steps."""
    return _Printer(places).whole(places.schedule.forward)


def step_lines(places: Places) -> list[Line]:
    """The body of `step`: one step, and no tape."""
    step = places.schedule.step
    return _Printer(places).statements(step.statements(), SINGLE)


class _Printer:
    def __init__(self, places: Places):
        self.places, self.graph, self.plan = places, places.graph, places.schedule.plan
        self.numbers_of_parts: dict[str, int] = {}  # of stages that have no line of their own
        places.parts.clear()
        self.times_read = Counter(
            node.name for stage in self.graph.stages for node in walk(stage.expression) if isinstance(node, Value)
        )

    def whole(self, forward: Forward) -> list[Line]:
        lines = self.statements((*forward.still, *forward.before), WHOLE)
        for bundle in forward.hoisted:
            lines += self._at_once(bundle)
        if forward.loop:
            lines += self._allocations()
            body = self.statements(forward.loop, EACH)
            lines += [*self.places.turned_matrices(), Line(f"for t in range({self.places.T}):"), *indented(body)]
        lines += self.statements(forward.after, WHOLE)
        return lines + self.statements(forward.last, LAST_STEP)

    def statements(self, statements: Iterable[ForwardStatement], place: str) -> list[Line]:
        statements = tuple(statements)
        parts = self._read_where_they_are(statements)
        for part in parts:
            self.places.parts[part.stage.name] = self._right_side(part, place)
            self.numbers_of_parts[part.stage.name] = part.number
        return [self._statement(statement, place) for statement in statements if statement not in parts]

    def _read_where_they_are(self, statements: tuple[ForwardStatement, ...]) -> list[Assign]:
        """Stages that are a part of a product, of which one stage beside them and nothing else has to know."""
        kept = {entry.name for entry in self.places.schedule.tape} | set(self.graph.outputs) | set(self.graph.states)
        read_here = {
            value for statement in statements if isinstance(statement, Assign)
            for expression in statement.rest for value in values(expression)
        }
        found = []
        for statement in statements:
            match statement:
                case Assign(stage=stage, terms=(Part(),), rest=()) if stage.name not in kept:
                    if self.times_read[stage.name] == 1 and Value(stage.name) in read_here:
                        found.append(statement)
        return found

    def _statement(self, statement: ForwardStatement, place: str) -> Line:
        match statement:
            case Assign():
                return self._assign(statement, place)
            case Joined():
                return self._joined(statement, place)
            case Bundle():
                return self._bundle(statement, place)

    # --- arrays

    def _allocations(self) -> list[Line]:
        """Arrays over time; a state's has one entry more, for where it starts."""
        T, B, lines = self.places.T, self.places.B, []
        for state in self.graph.states:
            shape = axes(self.graph.shapes[state], f"{T} + 1", B)
            every, before = self.places.every(state), self.places.previous[state]
            lines.append(Line(f"{every} = np.empty({shape}, dtype)"))
            lines.append(Line(f"{every}[0] = state.{state}"))
            lines.append(Line(f"{before}, {state} = {every}[:-1], {every}[1:]", f"{before}[t] is {state} one step earlier"))
        loop = {stage.name for stage in self.plan.stages_in(LOOP)}
        by_shape: dict[Shape, list[str]] = {}
        for buffer in self.places.schedule.buffers:
            if buffer.name in loop and not buffer.is_adjoint and self.places.is_array(buffer.name):
                if buffer.extent != STEPS_AND_START:
                    by_shape.setdefault(buffer.shape, []).append(buffer.name)
        for wanted, names in by_shape.items():
            if len(names) == 1:
                lines.append(Line(f"{names[0]} = np.empty({axes(wanted, T, B)}, dtype)"))
            else:
                lines += wrapped_unpacking(names, f"np.empty({axes(wanted, str(len(names)), T, B)}, dtype)")
        return lines

    # --- products

    def _at_once(self, bundle: Bundle) -> list[Line]:
        name = self.places.bundle(bundle)
        stack, = bundle.products
        code = f"{name} = {self._summand(stack, WHOLE)}"
        lines = [Line(code, f"for all steps at once: {', '.join(bundle.stages)}", bundle.stages)]
        return [*lines, Line(f"{name} += {bundle.bias.name}", about=bundle.stages)] if bundle.bias else lines

    def _bundle(self, bundle: Bundle, place: str) -> Line:
        terms = [self._summand(each, place) for each in bundle.products]
        if bundle.bias:
            terms.append(bundle.bias.name)
        name = self.places.bundle(bundle)
        left = f"{name}[t] +=" if bundle.onto else f"{name} ="
        return Line(f"{left} {' + '.join(terms)}", f"{', '.join(bundle.stages)}, side by side", bundle.stages)

    def _summand(self, product: Stack | Bundle, place: str) -> str:
        if isinstance(product, Bundle):
            return f"{self.places.bundle(product)}[t]"
        return self.places.product(product, place)

    # --- one stage

    def _assign(self, assign: Assign, place: str) -> Line:
        stage = assign.stage
        text = self._right_side(assign, place)
        if place == SINGLE and stage.name in self.graph.states and _is_view(stage.expression):
            text += ".copy()"  # who writes to x_t afterwards does not write to the state
        left = f"{stage.name}[t]" if place == EACH and self.places.is_array(stage.name) else stage.name
        read = [value.name for expression in assign.rest for value in values(expression)]
        numbers = [self.numbers_of_parts.pop(name) for name in read if name in self.numbers_of_parts]
        parts = [name for name in read if name in self.places.parts]
        return Line(f"{left} = {text}", numbered((*numbers, assign.number)), (*parts, stage.name))

    def _joined(self, joined: Joined, place: str) -> Line:
        gates = joined.gates
        operand = Spelled(" + ".join(self._term(term, place) for term in joined.terms), SUM, 1, True)
        function = functions.TABLE[gates.function]
        assert isinstance(function, functions.Pointwise), "gates are functions of single entries"
        code = self.places.speller(place).applied(function, [operand]).text
        numbers = numbered(joined.numbers)
        return Line(f"{self._gates(joined)} = {code}", f"{numbers}: {', '.join(gates.stages)}, side by side", gates.stages)

    def _gates(self, joined: Joined | GatePart) -> str:
        return self.places.fresh("gates", joined.gates)

    def _right_side(self, assign: Assign, place: str) -> str:
        stage, given = assign.stage, [self._term(term, place) for term in assign.terms]
        if not assign.rest:
            return " + ".join(given)
        spelled = self.places.speller(place).spell(Sum(assign.rest) if len(assign.rest) > 1 else assign.rest[0])
        if given:
            text = spelled.widened(len(stage.shape)).inside(SUM)  # a scalar is added to every entry
            join = " - " if text.startswith("-") else " + "
            return " + ".join(given) + join + text.removeprefix("-")
        if spelled.moving or stage.name in self.graph.static:
            return spelled.text
        leading = (self.places.T, self.places.B) if place == WHOLE else (self.places.B,)
        return f"np.broadcast_to({spelled.text}, {axes(stage.shape, *leading)})"

    def _term(self, term: ForwardTerm, place: str) -> str:
        match term:
            case Part(bundle=bundle, first=first, last=last, is_hoisted=is_hoisted):
                name, stages = self.places.bundle(bundle), bundle.stages
                if is_hoisted or bundle.onto:
                    return name + (self.places.part(stages, first, last, "t, :, ") if len(stages) > 1 else "[t]")
                return name + self.places.part(stages, first, last, "..., " if place == WHOLE else ":, ")
            case Multiplied(stack=stack, bias=bias):
                return self.places.product(stack, place) + (f" + {bias.name}" if bias else "")
            case BiasPart(bias=bias, first=first, last=last):
                stages = bias.stages
                return bias.name + (self.places.part(stages, first, last, "") if len(stages) > 1 else "")
            case GatePart(gates=gates, gate=gate):
                return self._gates(term) + self.places.part(gates.stages, gate, gate, ":, ")


def _is_view(expression: Expression) -> bool:
    """Whether its NumPy is a view of what it reads, and no array of its own."""
    while isinstance(expression, Call) and expression.function in ("part", "transpose", "stop_gradient"):
        expression = expression.arguments[0]
    return isinstance(expression, Value)
