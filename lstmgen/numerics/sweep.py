"""A derivation evaluated at one point: values forwards, adjoints backwards, from the derived terms only.

It evaluates the result of `derive` and shares no code with it. The proofs compare its numbers with others, and `vanishing`
uses it to find terms that are zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..derivation.chain import Contribution, Derivation, Gradient, Key
from ..derivation.graph import Graph
from ..language.evaluate import Environment, Floats, Leaf, evaluate
from ..language.expressions import Adjoint, Expression, Outside, Value
from .points import STEPS, Point, by_step, of_one

Arrays = Mapping[str, np.ndarray]
Cuts = Mapping[Key, Sequence[int]]  # for each contribution, the copies in which it is left out
NOTHING: Arrays = {}
NO_CUTS: Cuts = {}


class Sweep:
    """Computes the stages forwards and the derived adjoints backwards, at one point.

    With `cuts` it computes many copies of the derivation at once, along the axis of examples. In each copy one
    contribution is left out. That takes one sweep, and not one for each contribution.
    """

    def __init__(
        self,
        graph: Graph,
        derivation: Derivation,
        sizes: Mapping[str, int],
        arithmetic: Floats,
        point: Point,
        steps: int = STEPS,
    ):
        self.graph, self.derivation, self.sizes, self.math = graph, derivation, sizes, arithmetic
        self.still = graph.static
        self.point = point.converted(arithmetic.array)
        self.fixed = of_one(self.point.parameters)
        self.steps = steps
        self.values = self._forward()
        self.cuts, self.copies = NO_CUTS, 1
        self.adjoints: list[dict[str, np.ndarray]] = []
        self.fixed_adjoints: dict[str, np.ndarray] = {}

    # ------------------------------------------------------------------ forward

    def _forward(self) -> list[dict[str, np.ndarray]]:
        steps = [dict(self.point.state), *by_step(self.point.inputs, self.steps)]
        for stage in self.graph.stages:
            if stage.name in self.still:
                self.fixed[stage.name] = self._evaluate(stage.expression, _At(0, steps, self.fixed))
        for step in range(1, self.steps + 1):
            for stage in self.graph.stages:
                if stage.name not in self.still and self._exists(stage.name, step):
                    steps[step][stage.name] = self._evaluate(stage.expression, _At(step, steps, self.fixed))
        return steps

    def _evaluate(self, expression: Expression, environment: Environment) -> np.ndarray:
        return evaluate(expression, environment, self.math, self.sizes, leading=1)

    def _exists(self, stage: str, step: int) -> bool:
        return self.derivation.exists(stage, step, self.steps)

    # ------------------------------------------------------------------ backward

    def gradients(self, cuts: Cuts = NO_CUTS, copies: int = 1) -> dict[str, np.ndarray]:
        """The gradient of every parameter, input (copies, time, ...) and initial state, by name.

        `cuts` says in which copies each contribution is left out.
        """
        self.cuts, self.copies = cuts, copies
        self.adjoints = [{} for _ in range(self.steps + 1)]
        self.fixed_adjoints = {}
        derivation = self.derivation
        moving = [gradient for gradient in derivation.stages if gradient.value not in self.still]
        still = [gradient for gradient in derivation.stages if gradient.value in self.still]
        fixed = [*still, *derivation.parameters]
        sums = {gradient.value: self._zeros(gradient) for gradient in fixed}
        arrived: dict[str, list[np.ndarray]] = {gradient.value: [] for gradient in derivation.inputs}
        for step in range(self.steps, 0, -1):
            for gradient in moving:
                if self._exists(gradient.value, step):
                    self.adjoints[step][gradient.value] = self._moving(gradient, step)
            for gradient in derivation.inputs:
                arrived[gradient.value].insert(0, self._moving(gradient, step))
            for gradient in fixed:
                for fork in gradient.forks:
                    if fork.over_time and self._exists(fork.reader, step):
                        sums[gradient.value] = sums[gradient.value] + self._branch(fork, gradient, step)
        for gradient in moving:
            if gradient.value in self.graph.states:
                self.adjoints[0][gradient.value] = self._moving(gradient, 0)
        for gradient in fixed:
            for fork in gradient.forks:
                if not fork.over_time:
                    sums[gradient.value] = sums[gradient.value] + self._branch(fork, gradient, 0)
            self.fixed_adjoints[gradient.value] = sums[gradient.value]
        states = {state: self.adjoints[0].get(state) for state in self.graph.states}
        return (
            {name: sums[name] for name in self.graph.parameters}
            | {name: _stacked(steps) for name, steps in arrived.items()}
            | {name: array for name, array in states.items() if array is not None}
        )

    def _moving(self, gradient: Gradient, step: int) -> np.ndarray:
        """The sum of the contributions to a value at one step; at the last step, a state also gets the one from outside."""
        name = gradient.value
        whole = self._zeros(gradient)
        if step == self.steps and name in self.point.final:
            whole = self.point.final[name]
        for fork in gradient.forks:
            if self._exists(fork.reader, step + fork.lag):
                whole = whole + self._branch(fork, gradient, step)
        return whole

    def _branch(self, fork: Contribution, gradient: Gradient, step: int) -> np.ndarray:
        term = self._known(fork.term, step)
        wanted = self._shape(gradient)
        if term.shape[1:] != wanted:
            where = f"the gradient at {fork.target} through {fork.reader}"
            raise ValueError(f"{where} has shape {term.shape[1:]}, not {wanted}")
        rows = self.cuts.get(fork.key)
        if rows:
            term = np.array(np.broadcast_to(term, (self.copies, *wanted)))
            term[list(rows)] = self.math.number(0)
        return term

    def terms(self, fork: Contribution) -> list[np.ndarray]:
        """A contribution at each step of its reader, after the adjoints are known."""
        return [self._known(fork.at_reader, step) for step in self.reader_steps(fork)]

    def sent_back(self, fork: Contribution, upstream: np.ndarray) -> list[np.ndarray]:
        """What would be sent back at each of these steps if `upstream` arrived at the reader."""
        adjoint = {fork.reader: upstream}
        known = [_At(step, self.values, self.fixed, fixed_adjoints=adjoint) for step in self.reader_steps(fork)]
        return [self._evaluate(fork.at_reader, each) for each in known]

    def read(self, fork: Contribution) -> list[np.ndarray]:
        """The value that the reader reads at each of these steps."""
        value = Value(fork.target, -fork.lag)
        return [self._evaluate(value, _At(step, self.values, self.fixed)) for step in self.reader_steps(fork)]

    def reader_steps(self, fork: Contribution) -> Sequence[int]:
        """The steps of the reader; step 0 if it is static."""
        if fork.reader in self.still:
            return (0,)
        return [step for step in range(1, self.steps + 1) if self._exists(fork.reader, step)]

    def at_last_step(self, expression: Expression) -> np.ndarray:
        """An expression as a reader sees it at the last step, after the adjoints are known."""
        return self._known(expression, self.steps)

    def _known(self, expression: Expression, step: int) -> np.ndarray:
        weights = self.point.weights
        known = _At(step, self.values, self.fixed, self.adjoints, self.fixed_adjoints, weights)
        return self._evaluate(expression, known)

    def _zeros(self, gradient: Gradient) -> np.ndarray:
        return self.math.array(np.full((1, *self._shape(gradient)), self.math.number(0)))

    def _shape(self, gradient: Gradient) -> tuple[int, ...]:
        return tuple(dim.value(self.sizes) for dim in self.graph.shapes[gradient.value])


class _At:
    """The values of the leaves of an expression, as they are read at one step."""

    def __init__(
        self,
        step: int,
        values: Sequence[Arrays],
        fixed: Arrays,
        adjoints: Sequence[Arrays] = (),
        fixed_adjoints: Arrays = NOTHING,
        weights: Arrays = NOTHING,
    ):
        self.step, self.values, self.fixed = step, values, fixed
        self.adjoints, self.fixed_adjoints, self.weights = adjoints, fixed_adjoints, weights

    def __getitem__(self, leaf: Leaf) -> np.ndarray:
        step = self.step + leaf.lag
        try:
            if step < 0:
                raise IndexError
            match leaf:
                case Value(name=name):
                    return self.fixed[name] if name in self.fixed else self.values[step][name]
                case Adjoint(name=name):
                    fixed = name in self.fixed_adjoints
                    return self.fixed_adjoints[name] if fixed else self.adjoints[step][name]
                case Outside(name=name):
                    if step == 0:
                        raise IndexError
                    return np.asarray(self.weights[name][step - 1])
        except LookupError:
            kind = type(leaf).__name__.lower()
            raise LookupError(f"{kind} {leaf.name} of step {step} is read and not known there") from None


def _stacked(arrays: list[np.ndarray]) -> np.ndarray:
    """One array for each step -> (copies, time, ...)."""
    return np.stack(np.broadcast_arrays(*arrays), axis=1)
