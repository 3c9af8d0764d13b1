"""`_forward` as lines: a stage is one line, and carries the number of its equation."""

from __future__ import annotations

from collections.abc import Iterable

from ...language import functions
from ...language.constants import is_constant
from ...language.expressions import Sum
from ...language.text import SUM
from ...schedule.plan import Stack
from ...schedule.records import (
    Assign, BiasPart, Bundle, Forward, ForwardStatement, ForwardTerm, GatePart, Joined, Multiplied, Part,
)
from ..numpy.lines import Line, axes, indented, unpacked
from ..numpy.places import EACH, LAST_STEP, SINGLE, WHOLE
from ..numpy.spelling import Spelled
from .places import TorchPlaces


def forward_lines(places: TorchPlaces) -> list[Line]:
    """The body of `_forward` between its arguments and what it returns."""
    return _Printer(places).whole(places.schedule.forward)


def step_lines(places: TorchPlaces) -> list[Line]:
    """The body of `step`: one step, and no tape."""
    return _Printer(places).statements(places.schedule.step.statements(), SINGLE)


class _Printer:
    def __init__(self, places: TorchPlaces):
        self.places, self.graph, self.plan = places, places.graph, places.schedule.plan

    def whole(self, forward: Forward) -> list[Line]:
        lines = self.statements((*forward.still, *forward.before), WHOLE)
        for bundle in forward.hoisted:
            lines += self._at_once(bundle)
        if forward.loop:
            lines += self._loop(forward.loop)
        lines += self.statements(forward.after, WHOLE)
        return lines + self.statements(forward.last, LAST_STEP)

    def statements(self, statements: Iterable[ForwardStatement], place: str) -> list[Line]:
        return [self._statement(statement, place) for statement in statements]

    def _statement(self, statement: ForwardStatement, place: str) -> Line:
        match statement:
            case Assign():
                return self._assign(statement, place)
            case Joined():
                return self._joined(statement, place)
            case Bundle():
                return self._bundle(statement, place)

    # --- the loop

    def _loop(self, statements: tuple[ForwardStatement, ...]) -> list[Line]:
        places, graph = self.places, self.graph
        steps, collected, states = places.steps, places.collected, places.states_collected
        before = unpacked([places.previous[state] for state in graph.states])
        lines = []
        if states:
            starts = ", ".join(f"[{state}]" for state in states)
            lines.append(Line(f"{', '.join(map(places.every, states))} = {starts}", "at the start, and then at every step"))
        if collected:
            lines.append(Line(f"{steps} = []"))
        body = [Line(f"{before} = {', '.join(graph.states)}{',' if len(graph.states) == 1 else ''}")]
        if len(graph.states) == 1:
            body = [Line(f"{places.previous[graph.states[0]]} = {graph.states[0]}")]
        body += self.statements(statements, EACH)
        body += [Line(f"{places.every(state)}.append({state})") for state in states]
        if collected:
            body.append(Line(f"{steps}.append(({', '.join(collected)}{',' if len(collected) == 1 else ''}))"))
        lines += [Line(f"for t in range({places.T}):"), *indented(body)]
        lines.append(Line(f"{places.end} = State({', '.join(graph.states)})"))
        return lines + self._over_time()

    def _over_time(self) -> list[Line]:
        """Tensors over all steps of what each step had."""
        places, lines = self.places, []
        for state in places.states_collected:
            every, before = places.every(state), places.previous[state]
            lines.append(Line(f"{every} = {places.package}.stack({every})"))
            lines.append(Line(f"{before}, {state} = {every}[:-1], {every}[1:]", f"{before}[t] is {state} one step earlier"))
        if places.collected:
            shapes = [axes(self.graph.shapes[name], places.B) for name in places.collected]
            lines.append(places.over_time(places.collected, shapes, places.steps))
        return lines

    # --- products

    def _at_once(self, bundle: Bundle) -> list[Line]:
        stack, = bundle.products
        bias = f" + {bundle.bias.name}" if bundle.bias else ""
        code = f"{self._whole(bundle)} = {self._summand(stack, WHOLE)}{bias}"
        return [Line(code, f"for all steps at once: {', '.join(bundle.stages)}")]

    def _bundle(self, bundle: Bundle, place: str) -> Line:
        terms = [f"{self._whole(bundle.onto)}[t]"] if bundle.onto else []
        terms += [self._summand(each, place) for each in bundle.products]
        if bundle.bias:
            terms.append(bundle.bias.name)
        return Line(f"{self.places.bundle(bundle)} = {' + '.join(terms)}", f"{', '.join(bundle.stages)}, side by side")

    def _whole(self, bundle: Bundle) -> str:
        """The name of a bundle made before the loop."""
        return self.places.hoisted(bundle)

    def _summand(self, product: Stack | Bundle, place: str) -> str:
        if isinstance(product, Bundle):
            return f"{self._whole(product)}[t]"
        return self.places.product(product, place)

    # --- one stage

    def _assign(self, assign: Assign, place: str) -> Line:
        return Line(f"{assign.stage.name} = {self._right_side(assign, place)}", f"({assign.number})")

    def _joined(self, joined: Joined, place: str) -> Line:
        gates = joined.gates
        operand = Spelled(" + ".join(self._term(term, place) for term in joined.terms), SUM, 1, True)
        function = functions.TABLE[gates.function]
        assert isinstance(function, functions.Pointwise), "gates are functions of single entries"
        code = self.places.speller(place).applied(function, [operand]).text
        numbers = ", ".join(f"({number})" for number in joined.numbers)
        return Line(f"{self._gates(joined)} = {code}", f"{numbers}: {', '.join(gates.stages)}, side by side")

    def _gates(self, joined: Joined | GatePart) -> str:
        return self.places.fresh("gates", joined.gates)

    def _right_side(self, assign: Assign, place: str) -> str:
        stage, given = assign.stage, [self._term(term, place) for term in assign.terms]
        if not assign.rest:
            return " + ".join(given)
        rest = Sum(assign.rest) if len(assign.rest) > 1 else assign.rest[0]
        spelled = self.places.speller(place).spell(rest)
        if given:
            text = spelled.widened(len(stage.shape)).inside(SUM)  # a scalar is added to every entry
            join = " - " if text.startswith("-") else " + "
            return " + ".join(given) + join + text.removeprefix("-")
        if spelled.moving or (stage.name in self.graph.static and not is_constant(rest)):
            return spelled.text
        leading = {WHOLE: (self.places.T, self.places.B)}.get(place, (self.places.B,))
        shape = axes(stage.shape, *(() if stage.name in self.graph.static else leading))
        return self.places.spread(rest, spelled, shape, place)

    def _term(self, term: ForwardTerm, place: str) -> str:
        match term:
            case Part(bundle=bundle, first=first, last=last, is_hoisted=is_hoisted):
                stages = bundle.stages
                if is_hoisted:
                    return self._whole(bundle) + (
                        self.places.part(stages, first, last, "t, :, ") if len(stages) > 1 else "[t]")
                before = "..., " if place == WHOLE else ":, "
                return self.places.bundle(bundle) + self.places.part(stages, first, last, before)
            case Multiplied(stack=stack, bias=bias):
                return self.places.product(stack, place) + (f" + {bias.name}" if bias else "")
            case BiasPart(bias=bias, first=first, last=last):
                stages = bias.stages
                return bias.name + (self.places.part(stages, first, last, "") if len(stages) > 1 else "")
            case GatePart(gates=gates, gate=gate):
                return self._gates(term) + self.places.part(gates.stages, gate, gate, ":, ")
