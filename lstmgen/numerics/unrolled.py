"""A derivation in numbers, from its records alone: values forwards, adjoints backwards, contributions one by one.

It shares no code with the derivation. The proofs compare what it gives with other numbers, and audits compare claims with
it; the worked example, the paths of a gradient, and how a gradient vanishes are what it gives. All arrays have the axis of
examples in front, of the number of examples or of 1. Steps are counted from 1 to T; step 0 is the initial state, and what
belongs to no step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..derivation.chain import Contribution, Derivation, Gradient, Key
from ..language.evaluate import Environment, Floats, Leaf, evaluate
from ..language.expressions import Adjoint, Expression, Outside, Value
from .points import STEPS, Point, by_step, of_one

Arrays = Mapping[str, np.ndarray]
ByStep = Mapping[str, Sequence[np.ndarray] | np.ndarray]  # for each name its steps, as a list or along the first axis
Cuts = Mapping[Key, Sequence[int]]  # for each contribution, the copies in which it is left out
NOTHING: ByStep = {}
NO_ARRAYS: Arrays = {}
NO_CUTS: Cuts = {}


class Unrolled:
    """The forward values of a cell at every step."""

    def __init__(
        self,
        derivation: Derivation,
        sizes: Mapping[str, int],
        parameters: Arrays,
        inputs: Sequence[Arrays],
        state: Arrays,
        arithmetic: Floats | None = None,
    ):
        """`inputs` are one step's inputs and targets after the other."""
        self.derivation, self.graph, self.sizes = derivation, derivation.graph, sizes
        self.math = arithmetic or Floats()
        self.steps = len(inputs)
        self.rows = max(len(array) for arrays in (state, *inputs) for array in arrays.values())
        self.fixed = dict(parameters)
        self.values: list[dict[str, np.ndarray]] = [dict(state), *map(dict, inputs)]
        self._shapes = {
            name: tuple(dim.value(sizes) for dim in shape) for name, shape in self.graph.shapes.items()
        }
        self._forward()

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one example."""
        return self._shapes[name]

    def exists(self, stage: str, step: int) -> bool:
        """Whether a stage is computed at a step: what only a loss at the last step reads is computed there alone."""
        return self.derivation.exists(stage, step, self.steps)

    def reader_steps(self, fork: Contribution) -> Sequence[int]:
        """The steps of the reader; step 0 if it is static."""
        if fork.reader in self.graph.static:
            return (0,)
        return [step for step in range(1, self.steps + 1) if self.exists(fork.reader, step)]

    def branch(self, fork: Contribution, step: int, upstream: np.ndarray | None) -> np.ndarray:
        """The contribution of a branch if `upstream` has arrived at its reader at `step`."""
        term = self.evaluated(fork.at_reader, _Upstream(self, step, upstream))
        rows = max(len(term), self.rows if upstream is None else len(upstream))
        return np.broadcast_to(term, (rows, *self.shape(fork.target)))

    def value(self, expression: Expression, step: int, outside: ByStep = NOTHING) -> np.ndarray:
        """The value at a step of an expression of values and of gradients from outside."""
        return self.evaluated(expression, _Known(self, step, outside))

    def side_by_side(self, steps: Sequence[int], count: int) -> Unrolled:
        """These steps as the examples of one step: for each step each example, `count` times."""
        made = object.__new__(Unrolled)
        made.__dict__.update(self.__dict__, steps=1, rows=len(steps) * self.rows * count)
        everywhere = [name for name in self.values[steps[0]] if all(name in self.values[step] for step in steps)]

        def stacked(name: str, back: int) -> np.ndarray:
            return np.repeat(np.concatenate([self.values[step - back][name] for step in steps]), count, axis=0)

        before = {name: stacked(name, 1) for name in self.graph.states}
        made.values = [before, {name: stacked(name, 0) for name in everywhere}]
        return made

    def finite(self, first: int = 0) -> bool:
        """Whether all values are finite, from a step on: those of a state may start at minus infinity."""
        arrays = [*self.fixed.values(), *(array for step in self.values[first:] for array in step.values())]
        return all(self.math.finite(array) for array in arrays)

    def _forward(self) -> None:
        still = self.graph.static
        for stage in self.graph.stages:
            if stage.name in still:
                self.fixed[stage.name] = self.value(stage.expression, 0)
        for step in range(1, self.steps + 1):
            for stage in self.graph.stages:
                if stage.name not in still and self.exists(stage.name, step):
                    array = self.value(stage.expression, step)
                    whole = (self.rows, *self.shape(stage.name))
                    self.values[step][stage.name] = np.broadcast_to(array, whole)

    def evaluated(self, expression: Expression, known: Environment) -> np.ndarray:
        """The value of an expression whose leaves are known."""
        return evaluate(expression, known, self.math, self.sizes, leading=1)


def at_point(
    derivation: Derivation, sizes: Mapping[str, int], arithmetic: Floats, point: Point, steps: int = STEPS
) -> Unrolled:
    """The forward values at a point, whose numbers are of this arithmetic."""
    return Unrolled(derivation, sizes, of_one(point.parameters), by_step(point.inputs, steps), point.state, arithmetic)


class Adjoints:
    """The adjoint of every value at every step: the sums of the derivation in numbers.

    With `cuts` they are those of many copies of the derivation at once, side by side along the axis of examples. In each
    copy one contribution is left out. That takes one sweep, and not one for each contribution.
    """

    def __init__(
        self, run: Unrolled, outside: ByStep, final: Arrays = NO_ARRAYS, cuts: Cuts = NO_CUTS, copies: int = 1
    ):
        """`outside` is the gradient from outside of each output; empty if the cell has a loss. `final` is that of the
        last state."""
        self.run, self.outside, self.final = run, outside, final
        self._cuts, self._copies = cuts, copies
        derivation, still = run.derivation, run.graph.static
        moving = [gradient for gradient in derivation.stages if gradient.value not in still]
        self.by_step: list[dict[str, np.ndarray]] = [{} for _ in range(run.steps + 1)]
        self.totals: dict[str, np.ndarray] = {}
        for step in range(run.steps, -1, -1):
            for gradient in (*moving, *derivation.inputs):
                if run.exists(gradient.value, step) or gradient.value in run.graph.states:
                    self.by_step[step][gradient.value] = self._moving(gradient, step)
        fixed = [gradient for gradient in derivation.stages if gradient.value in still]
        for gradient in (*fixed, *derivation.parameters):
            terms = [self.at_step(gradient, step) for step in range(run.steps + 1)]
            self.totals[gradient.value] = sum(terms, self._zeros(gradient))

    def gradients(self) -> dict[str, np.ndarray]:
        """The gradient of every parameter, input (examples, time, ...) and initial state, by name."""
        graph, steps = self.run.graph, self.by_step[1:]
        return (
            {name: self.totals[name] for name in graph.parameters}
            | {name: np.stack(np.broadcast_arrays(*(step[name] for step in steps)), axis=1) for name in graph.inputs}
            | {name: self.by_step[0][name] for name in graph.states if name in self.by_step[0]}
        )

    def at_step(self, gradient: Gradient, step: int) -> np.ndarray:
        """What one step adds to the gradient of a static value. Step 0: what belongs to no step."""
        forks = [fork for fork in gradient.forks
                 if (self.run.exists(fork.reader, step) if fork.over_time else step == 0)]
        return self._sum(gradient, forks, step)

    def value(self, expression: Expression, step: int) -> np.ndarray:
        """The value at a step of an expression of values, adjoints and gradients from outside."""
        return self.run.evaluated(expression, _Complete(self, step))

    def _moving(self, gradient: Gradient, step: int) -> np.ndarray:
        if gradient.value == self.run.graph.loss:
            return self.run.math.array(np.ones(self.run.rows))
        forks = [fork for fork in gradient.forks if self.run.exists(fork.reader, step + fork.lag)]
        whole = self._sum(gradient, forks, step)
        if step == self.run.steps and gradient.value in self.final:
            whole = whole + self.final[gradient.value]
        return whole

    def _sum(self, gradient: Gradient, forks: Sequence[Contribution], step: int) -> np.ndarray:
        whole = self._zeros(gradient)
        for fork in forks:
            whole = whole + self._branch(fork, step)
        return whole

    def _branch(self, fork: Contribution, step: int) -> np.ndarray:
        term, wanted = self.value(fork.term, step), self.run.shape(fork.target)
        if term.shape[1:] != wanted:
            where = f"the gradient at {fork.target} through {fork.reader}"
            raise ValueError(f"{where} has shape {term.shape[1:]}, not {wanted}")
        rows = self._cuts.get(fork.key)
        if rows:
            term = np.array(np.broadcast_to(term, (self._copies, *wanted)))
            term[list(rows)] = self.run.math.number(0)
        return term

    def _zeros(self, gradient: Gradient) -> np.ndarray:
        return self.run.math.array(np.zeros((self.run.rows, *self.run.shape(gradient.value))))


class _Known:
    """The leaves of an expression of values and of gradients from outside, as they are read at one step."""

    def __init__(self, run: Unrolled, step: int, outside: ByStep = NOTHING):
        self.run, self.step, self.outside = run, step, outside

    def __getitem__(self, leaf: Leaf) -> np.ndarray:
        step = self.step + leaf.lag
        try:
            match leaf:
                case Value(name=name):
                    return self.run.fixed[name] if name in self.run.fixed else self.run.values[_from(0, step)][name]
                case Outside(name=name):
                    return np.asarray(self.outside[name][_from(1, step) - 1])
                case Adjoint(name=name):
                    return self.adjoint(name, step)
        except LookupError:
            kind = type(leaf).__name__.lower()
            raise LookupError(f"{kind} {leaf.name} of step {step} is read and not known there") from None

    def adjoint(self, name: str, step: int) -> np.ndarray:
        raise LookupError


class _Upstream(_Known):
    """At the step of a reader, whose adjoint is what has arrived there."""

    def __init__(self, run: Unrolled, step: int, upstream: np.ndarray | None):
        super().__init__(run, step)
        self.upstream = upstream

    def adjoint(self, name: str, step: int) -> np.ndarray:
        assert self.upstream is not None
        return self.upstream


class _Complete(_Known):
    """At a step at which the adjoints that are read are known."""

    def __init__(self, adjoints: Adjoints, step: int):
        super().__init__(adjoints.run, step, adjoints.outside)
        self.adjoints = adjoints

    def adjoint(self, name: str, step: int) -> np.ndarray:
        totals = self.adjoints.totals
        return totals[name] if name in totals else self.adjoints.by_step[_from(0, step)][name]


def _from(first: int, step: int) -> int:
    """The step, where there is such a one: a negative index would be another step's."""
    if step < first:
        raise LookupError
    return step
