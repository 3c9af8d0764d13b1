"""A derivation in numbers: the cell over any number of steps, and contributions sent back one by one.

The proofs check whether a derivation is right; this file computes what it gives at a point, for the worked example, for
the paths of a gradient, and for how it vanishes. All arrays have the axis of examples in front. Steps are counted from 1
to T; step 0 is the initial state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..derivation.chain import OUTPUT, START, Contribution, Derivation, Gradient
from ..language.evaluate import Floats, evaluate
from ..language.expressions import Adjoint, Expression, Outside, Value

Arrays = Mapping[str, np.ndarray]
ByStep = Mapping[str, Sequence[np.ndarray]]  # for each name a list of steps
NOTHING: ByStep = {}


class Unrolled:
    """The forward values of a cell at every step."""

    def __init__(
        self,
        derivation: Derivation,
        sizes: Mapping[str, int],
        parameters: Arrays,
        inputs: Sequence[Arrays],
        state: Arrays,
    ):
        """All arrays have an axis of examples in front; for `parameters` its length may be 1."""
        self.derivation, self.graph, self.sizes = derivation, derivation.graph, sizes
        self.steps, self.rows = len(inputs), len(next(iter(state.values())))
        self.fixed = {name: np.asarray(array, float) for name, array in parameters.items()}
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

    def branch(self, fork: Contribution, step: int, upstream: np.ndarray | None) -> np.ndarray:
        """The contribution of a branch if `upstream` has arrived at its reader at `step`."""
        known = _Known(self, step, upstream)
        term = evaluate(fork.at_reader, known, _MATH, self.sizes, leading=1)
        rows = max(len(term), self.rows if upstream is None else len(upstream))
        return np.broadcast_to(term, (rows, *self.shape(fork.target)))

    def value(self, expression: Expression, step: int, outside: ByStep = NOTHING) -> np.ndarray:
        """The value at a step of an expression of values and of gradients from outside."""
        return evaluate(expression, _Known(self, step, outside=outside), _MATH, self.sizes, leading=1)

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

    def finite(self) -> bool:
        arrays = [*self.fixed.values(), *(array for step in self.values for array in step.values())]
        return all(np.isfinite(array).all() for array in arrays)

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


class Adjoints:
    """The adjoint of every value at every step: the sums of the derivation in numbers."""

    def __init__(self, run: Unrolled, outside: ByStep):
        """`outside` is the gradient from outside of each output; empty if the cell has a loss."""
        self.run, self.outside = run, outside
        derivation, still = run.derivation, run.graph.static
        moving = [gradient for gradient in derivation.stages if gradient.value not in still]
        self.by_step: list[dict[str, np.ndarray]] = [{} for _ in range(run.steps + 1)]
        for step in range(run.steps, -1, -1):
            for gradient in (*moving, *derivation.inputs):
                if run.exists(gradient.value, step) or gradient.value in run.graph.states:
                    self.by_step[step][gradient.value] = self._moving(gradient, step)
        self.totals: dict[str, np.ndarray] = {}
        fixed = [gradient for gradient in derivation.stages if gradient.value in still]
        for gradient in (*fixed, *derivation.parameters):
            terms = [self.at_step(gradient, step) for step in range(run.steps + 1)]
            self.totals[gradient.value] = sum(terms, self._zeros(gradient))

    def at_step(self, gradient: Gradient, step: int) -> np.ndarray:
        """What one step adds to the gradient of a static value. Step 0: what belongs to no step."""
        whole = self._zeros(gradient)
        for fork in gradient.forks:
            if fork.kind == START and step == 0:
                whole = whole + self.by_step[0][fork.reader]
            elif fork.over_time and self.run.exists(fork.reader, step):
                whole = whole + self.run.branch(fork, step, self.by_step[step].get(fork.reader))
            elif not fork.over_time and fork.kind != START and step == 0:
                whole = whole + self.run.branch(fork, 0, self.totals[fork.reader])
        return whole

    def _moving(self, gradient: Gradient, step: int) -> np.ndarray:
        if gradient.value == self.run.graph.loss:
            return np.ones((self.run.rows,))
        whole = self._zeros(gradient)
        for fork in gradient.forks:
            reader_step = step + fork.lag
            if not self.run.exists(fork.reader, reader_step):
                continue
            if fork.kind == OUTPUT:
                whole = whole + self.outside[fork.reader][step - 1]
            else:
                whole = whole + self.run.branch(fork, reader_step, self.by_step[reader_step].get(fork.reader))
        return whole

    def _zeros(self, gradient: Gradient) -> np.ndarray:
        return np.zeros((self.run.rows, *self.run.shape(gradient.value)))


_MATH = Floats()


class _Known:
    """The values of the leaves of an expression, as they are read at one step."""

    def __init__(
        self, run: Unrolled, step: int, upstream: np.ndarray | None = None, outside: ByStep = NOTHING
    ):
        self.run, self.step, self.upstream, self.outside = run, step, upstream, outside

    def __getitem__(self, leaf: Value | Adjoint | Outside) -> np.ndarray:
        if isinstance(leaf, Adjoint):
            assert self.upstream is not None
            return self.upstream
        if isinstance(leaf, Outside):
            return self.outside[leaf.name][self.step + leaf.lag - 1]
        if leaf.name in self.run.fixed:
            return self.run.fixed[leaf.name]
        return self.run.values[self.step + leaf.lag][leaf.name]
