"""A schedule, run as it stands: statement by statement, on arrays, without a line of generated text.

This is the second reader of a schedule. It knows nothing of the NumPy module, shares no code with it but the
schedule's records, and evaluates every expression with `language/evaluate.py`. If both give the same numbers, the
records say all that an output needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lstmgen.derivation.graph import start_number
from lstmgen.language.evaluate import Floats, evaluate
from lstmgen.language.expressions import Adjoint, Expression, Outside, Value, walk
from lstmgen.language.functions import TABLE
from lstmgen.schedule.plan import BiasStack, Stack
from lstmgen.schedule.records import (
    Assign, Back, BackwardTerm, BiasPart, Bundle, ForwardTerm, FromFinalState, FromNextStep, GatePart, Joined,
    Multiplied, Part, Schedule, Share, StoredParameter, Summed, ToStart,
)

FLOATS = Floats()


@dataclass(frozen=True)
class Result:
    """What one pass in both directions gives. Arrays over time are (T, B, ...)."""

    outputs: Mapping[str, np.ndarray]
    loss: np.ndarray | None  # summed over steps and examples
    state: Mapping[str, np.ndarray]  # after the last step
    params: Mapping[str, np.ndarray]  # gradients, as they are stored
    inputs: Mapping[str, np.ndarray]
    start: Mapping[str, np.ndarray]  # gradients of the initial state


class Run:
    """One run: `params` as they are stored, `arguments` (T, B, ...), `state` (B, ...) or None for the spec's start."""

    def __init__(self, schedule: Schedule, sizes, params, arguments, state):
        self.schedule, self.graph, self.sizes = schedule, schedule.graph, sizes
        self.params, self.arguments = params, arguments
        self.T, self.B = next(iter(arguments.values())).shape[:2]
        self.learned_start = state is None
        self.start = self._start() if state is None else state
        self.static = dict(self._named(params))
        self.values = [{} for _ in range(self.T)]  # by step, by name: (B, ...)
        self.bundles = {}  # by step and bundle
        self.gates = {}

    def _start(self):
        shape = {name: tuple(dim.value(self.sizes) for dim in self.graph.shapes[name]) for name in self.graph.states}
        given, named = {}, dict(self._named(self.params))
        for start in self.schedule.starts:
            value = named[start.value.name] if isinstance(start.value, Value) else start_number(start.value)
            given[start.state] = np.broadcast_to(value, (self.B, *shape[start.state])).astype(float)
        return given

    def _named(self, stored):
        for entry in self.schedule.parameters:
            for member in entry.members:
                yield member.name, self._rows(entry, member, stored[entry.name])

    def _rows(self, entry: StoredParameter, member, array):
        if not entry.is_stacked:
            return array
        first = member.first.value(self.sizes)
        return array[first:first + member.shape[0].value(self.sizes)]

    # --- expressions

    def value(self, expression: Expression, step: int | None) -> np.ndarray:
        """At a step, one value for each example; of what no step changes, a single one in front."""
        environment = {}
        for leaf in walk(expression):
            if isinstance(leaf, (Value, Adjoint, Outside)):
                environment[leaf] = self.look_up(leaf, step)
        return evaluate(expression, environment, FLOATS, self.sizes, leading=1)

    def look_up(self, leaf, step):
        if isinstance(leaf, Outside):
            return self.dy[leaf.name][step]
        if isinstance(leaf, Adjoint):
            return self.d_static[leaf.name][None] if leaf.name in self.graph.static else self.adjoints[step][leaf.name]
        if leaf.name in self.static:
            return self.static[leaf.name][None]
        if leaf.name in self.arguments:
            return self.arguments[leaf.name][step]
        at = step + leaf.lag
        return self.start[leaf.name] if at < 0 else self.values[at][leaf.name]

    def full(self, array, name):
        """With all examples and all entries, where a scalar or something static was given."""
        shape = tuple(dim.value(self.sizes) for dim in self.graph.shapes[name])
        missing = len(shape) + 1 - array.ndim
        return np.broadcast_to(array.reshape(array.shape + (1,) * missing), (self.B, *shape))

    # --- forward

    def forward(self):
        forward, last = self.schedule.forward, self.T - 1
        for statement in forward.still:
            self.static[statement.stage.name] = self.value(statement.stage.expression, None)[0]
        # a statement for all steps at once, before the loop, may read nothing that the loop computes
        for step in range(self.T):
            for statement in (*forward.before, *forward.hoisted):
                self.do(statement, step)
        for step in range(self.T):
            for statement in forward.loop:
                self.do(statement, step)
        for step in range(self.T):
            for statement in forward.after:
                self.do(statement, step)
        for statement in forward.last:
            self.do(statement, last)

    def step(self):
        """The first step alone, by the statements of `step`."""
        for statement in self.schedule.step.statements():
            if isinstance(statement, Assign) and statement.stage.name in self.graph.static:
                self.static[statement.stage.name] = self.value(statement.stage.expression, None)[0]
            else:
                self.do(statement, 0)
        return self.values[0]

    def do(self, statement, step):
        match statement:
            case Bundle(products=products, bias=bias, onto=onto):
                terms = [self.product(each, step) for each in products]
                terms += [self.bundles[step, onto]] if onto else []
                self.bundles[step, statement] = sum(terms) + (self.params[bias.name] if bias else 0)
            case Joined(gates=gates, terms=terms):
                argument = sum(self.term(term, step) for term in terms)
                self.gates[step, gates] = TABLE[gates.function].meaning(FLOATS, argument)
            case Assign(stage=stage, terms=terms, rest=rest):
                parts = [self.term(term, step) for term in terms] + [self.value(each, step) for each in rest]
                self.values[step][stage.name] = sum(self.full(part, stage.name) for part in parts)

    def product(self, each: Stack | Bundle, step):
        if isinstance(each, Bundle):
            return self.bundles[step, each]
        return self.look_up(each.vector, step) @ self.params[each.name].T

    def columns(self, array, stages, first, last):
        low, high = self.schedule.plan.extent(stages, first, last)
        return array[..., low.value(self.sizes):high.value(self.sizes)]

    def term(self, term: ForwardTerm, step):
        match term:
            case Part(bundle=bundle, first=first, last=last):
                return self.columns(self.bundles[step, bundle], bundle.stages, first, last)
            case Multiplied(stack=stack, bias=bias):
                return self.product(stack, step) + (self.params[bias.name] if bias else 0)
            case BiasPart(bias=bias, first=first, last=last):
                return self.columns(self.params[bias.name], bias.stages, first, last)[None]
            case GatePart(gates=gates, gate=gate):
                return self.columns(self.gates[step, gates], gates.stages, gate, gate)

    # --- backward

    def backward(self, dy, dstate):
        backward, last = self.schedule.backward, self.T - 1
        self.dy, self.dstate = dy, dstate
        self.adjoints, self.d_static = [{} for _ in range(self.T)], {}
        for gather in backward.last:
            self.gather(gather, last)
        for step in range(self.T):
            for gather in backward.after:
                self.gather(gather, step)
        self.carried = {
            carry.gradient.value: self.sum(carry.start, carry.gradient.value, last) for carry in backward.carries
        }
        for step in reversed(range(self.T)):
            for gather in backward.loop:
                self.gather(gather, step)
            self.carried = {
                carry.gradient.value: self.sum(
                    (*carry.sent, *(carry.sent_by_last if step == last else ())), carry.gradient.value, step)
                for carry in backward.carries
            }
        for step in range(self.T):
            for gather in (*backward.before, *backward.inputs):
                self.gather(gather, step)
        for gather in backward.still:
            self.d_static[gather.gradient.value] = self.sum_static(gather.terms, gather.gradient.value)
        return {entry.stored.name: self.reduce(entry) for entry in backward.parameters}

    def gather(self, gather, step):
        terms = (*gather.terms, *(gather.at_last if step == self.T - 1 else ()))
        self.adjoints[step][gather.gradient.value] = self.sum(terms, gather.gradient.value, step)

    def sum(self, terms, name, step):
        total = np.zeros((self.B, *(dim.value(self.sizes) for dim in self.graph.shapes[name])))
        for term in terms:
            total = total + self.full(self.sent_back(term, step), name)
        return total

    def sent_back(self, term: BackwardTerm, step):
        match term:
            case Share(contribution=contribution):
                return self.value(contribution.at_reader, step)
            case Back(stack=stack):
                return self.side_by_side(stack, step) @ self.params[stack.name]
            case FromNextStep(value=value):
                return self.carried[value]
            case FromFinalState(state=state):
                return self.dstate[state]

    def side_by_side(self, stack: Stack | BiasStack, step):
        return np.concatenate([self.adjoints[step][stage] for stage in stack.stages], axis=-1)

    def sum_static(self, terms, name):
        total = np.zeros(tuple(dim.value(self.sizes) for dim in self.graph.shapes[name]))
        for term in terms:
            match term:
                case Summed(contribution=contribution, over=over):
                    for step in range(self.T) if over == "all" else (self.T - 1,):
                        sent = self.value(contribution.at_reader, step)
                        total = total + np.broadcast_to(sent, (self.B, *sent.shape[1:])).sum(0)
                case Share(contribution=contribution):
                    total = total + self.value(contribution.at_reader, None)[0]
                case ToStart(contribution=contribution):
                    if self.learned_start:
                        total = total + self.carried[contribution.reader].sum(0)
        return total

    def reduce(self, entry):
        if entry.stack is None:
            return self.sum_static(entry.terms, entry.stored.members[0].name)
        steps = (self.T - 1,) if entry.block.phase == "last" else range(self.T)
        if isinstance(entry.stack, Stack):
            return sum(self.side_by_side(entry.stack, t).T @ self.look_up(entry.stack.vector, t) for t in steps)
        return sum(self.side_by_side(entry.stack, t).sum(0) for t in steps)

    # --- all of it

    def result(self, dy, dstate) -> Result:
        self.forward()
        params = self.backward(dy, dstate)
        graph, last = self.graph, self.T - 1
        loss = None
        if graph.loss:
            steps = (last,) if graph.spec.loss_at == "last" else range(self.T)
            loss = sum(self.values[step][graph.loss].sum() for step in steps)
        return Result(
            outputs={name: np.stack([step[name] for step in self.values]) for name in graph.outputs},
            loss=loss,
            state={name: self.values[last][name] for name in graph.states},
            params=params,
            inputs={name: np.stack([step[name] for step in self.adjoints]) for name in graph.inputs},
            start={name: self.carried[name] for name in graph.states},
        )
