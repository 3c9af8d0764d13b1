"""`forward` and `step` as lines: a stage is one line, and carries the number of its equation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...language import functions
from ...language.expressions import Sum, Value, values
from ...language.text import SUM
from ...schedule.plan import BEFORE, LOOP, Stack
from ...schedule.records import (
    Assign, BiasPart, Bundle, Forward, ForwardStatement, ForwardTerm, GatePart, Joined, Multiplied, Part,
)
from ..numpy.lines import Line, axes, numbered
from ..numpy.places import EACH, LAST_STEP, SINGLE, WHOLE
from ..numpy.spelling import Spelled
from .places import JaxPlaces
from .scan import Scan


def forward_lines(places: JaxPlaces) -> list[Line]:
    """The body of `forward`: all steps."""
    return ForwardPrinter(places).whole(places.schedule.forward)


def step_lines(places: JaxPlaces) -> list[Line]:
    """The body of `step`: one step."""
    return ForwardPrinter(places).statements(places.schedule.step.statements(), SINGLE)


class ForwardPrinter:
    def __init__(self, places: JaxPlaces):
        self.places, self.graph, self.plan = places, places.graph, places.schedule.plan

    def whole(self, forward: Forward) -> list[Line]:
        lines = self.statements((*forward.still, *forward.before), WHOLE)
        for bundle in forward.hoisted:
            stack, = bundle.products
            assert isinstance(stack, Stack), "what is hoisted is one product"
            code = f"{self.places.bundle(bundle)} = {self._summand(stack, WHOLE)}"
            bias = f" + {self.places.own(bundle.bias.name)}" if bundle.bias else ""
            lines.append(Line(code + bias, f"for all steps at once: {', '.join(bundle.stages)}"))
        if forward.loop:
            lines += self._loop(forward)
        late = (*forward.after, *forward.last)
        lines += self._shifted(value.name for value in self._values(late) if value.lag)
        lines += self.statements(forward.after, WHOLE)
        return lines + self.statements(forward.last, LAST_STEP)

    def statements(self, statements: Iterable[ForwardStatement], place: str) -> list[Line]:
        return [self._statement(statement, place) for statement in statements]

    def _statement(self, statement: ForwardStatement, place: str) -> Line:
        match statement:
            case Assign():
                name = self.places.own(statement.stage.name)
                return Line(f"{name} = {self._right_side(statement, place)}", f"({statement.number})")
            case Joined():
                return self._joined(statement, place)
            case Bundle():
                return self._bundle(statement, place)

    def _shifted(self, states: Iterable[str]) -> list[Line]:
        """The arrays of states one step earlier."""
        lines = []
        for name in dict.fromkeys(states):
            self.places.helpers.add("shifted")
            code = f"{self.places.previous[name]} = _shifted({self.places.start}.{name}, {self.places.own(name)})"
            lines.append(Line(code, "one step earlier"))
        return lines

    # --- the loop

    def _loop(self, forward: Forward) -> list[Line]:
        graph, places = self.graph, self.places
        states = graph.states
        arrays = [places.bundle(bundle) for bundle in forward.hoisted]
        arrays += [places.own(name) for name in self._outside_read(forward)]
        return Scan(
            function=places.fresh("at_step", "function of a step"),
            carry=[places.previous[state] for state in states],
            carry_next=[places.own(state) for state in states],
            carry_start=places.start, record="State", carry_end=places.fresh("end", "end"),
            taken=[(name, name) for name in arrays],
            given=[places.own(name) for name in self._needed_later(forward)],
            body=self.statements(forward.loop, EACH),
            steps=places.T,
            held=(places.fresh("before"), places.fresh("now", "now")),
        ).lines()

    def _outside_read(self, forward: Forward) -> list[str]:
        """Inputs, targets and stages made before the loop that it reads, in their order."""
        read = {value.name for value in self._values(forward.loop) if not value.lag}
        before = [stage.name for stage in self.plan.stages_in(BEFORE)]
        return [name for name in (*self.graph.inputs, *self.graph.targets, *before) if name in read]

    def _needed_later(self, forward: Forward) -> list[str]:
        """Stages of the loop whose values at all steps somebody reads: the caller, a later phase or the backward pass."""
        read = {entry.name for entry in self.places.schedule.tape} | set(self.graph.outputs)
        read |= {value.name for value in self._values((*forward.after, *forward.last))}
        return [stage.name for stage in self.plan.stages_in(LOOP) if stage.name in read]

    def _values(self, statements: Iterable[ForwardStatement]) -> Iterator[Value]:
        """Every value that statements read."""
        for statement in statements:
            match statement:
                case Assign(terms=terms, rest=rest):
                    for expression in rest:
                        yield from values(expression)
                case Joined(terms=terms):
                    pass
                case Bundle(products=products):
                    terms = ()
                    yield from (each.vector for each in products if isinstance(each, Stack))
            yield from (term.stack.vector for term in terms if isinstance(term, Multiplied))

    # --- products

    def _bundle(self, bundle: Bundle, place: str) -> Line:
        terms = [self._summand(each, place) for each in bundle.products]
        if bundle.bias:
            terms.append(self.places.own(bundle.bias.name))
        text = f"{self.places.bundle(bundle)} {'+=' if bundle.onto else '='} {' + '.join(terms)}"
        return Line(text, f"{', '.join(bundle.stages)}, side by side")

    def _summand(self, product: Stack | Bundle, place: str) -> str:
        if isinstance(product, Bundle):
            return self.places.bundle(product)
        return self.places.product(product, place)

    # --- one stage

    def _joined(self, joined: Joined, place: str) -> Line:
        gates = joined.gates
        operand = Spelled(" + ".join(self._term(term, place) for term in joined.terms), SUM, 1, True)
        function = functions.TABLE[gates.function]
        assert isinstance(function, functions.Pointwise), "gates are functions of single entries"
        code = self.places.speller(place).applied(function, [operand]).text
        return Line(f"{self._gates(joined)} = {code}", f"{numbered(joined.numbers)}: {', '.join(gates.stages)}, side by side")

    def _gates(self, joined: Joined | GatePart) -> str:
        return self.places.fresh("gates", joined.gates)

    def _right_side(self, assign: Assign, place: str) -> str:
        stage, given = assign.stage, [self._term(term, place) for term in assign.terms]
        if not assign.rest:
            return " + ".join(given)
        speller = self.places.speller(place)
        spelled = speller.spell(Sum(assign.rest) if len(assign.rest) > 1 else assign.rest[0])
        if given:
            text = spelled.widened(len(stage.shape)).inside(SUM)  # a scalar is added to every entry
            join = " - " if text.startswith("-") else " + "
            return " + ".join(given) + join + text.removeprefix("-")
        if spelled.moving or stage.name in self.graph.static:
            return spelled.text
        if stage.name in self.graph.states:  # of the type, in every respect, of what the loop carries
            return f"jnp.full_like({self.places.previous[stage.name]}, {spelled.text})"
        leading = (self.places.T, self.places.B) if place == WHOLE else (self.places.B,)
        return speller.full(axes(stage.shape, *leading), spelled.text)

    def _term(self, term: ForwardTerm, place: str) -> str:
        index = "..., " if place == WHOLE else ":, "
        match term:
            case Part(bundle=bundle, first=first, last=last):
                name, stages = self.places.bundle(bundle), bundle.stages
                return name if len(stages) == 1 else name + self.places.part(stages, first, last, index)
            case Multiplied(stack=stack, bias=bias):
                return self.places.product(stack, place) + (f" + {self.places.own(bias.name)}" if bias else "")
            case BiasPart(bias=bias, first=first, last=last):
                stages = bias.stages
                return self.places.own(bias.name) + (self.places.part(stages, first, last, "") if len(stages) > 1 else "")
            case GatePart(gates=gates, gate=gate):
                return self._gates(term) + self.places.part(gates.stages, gate, gate, ":, ")
