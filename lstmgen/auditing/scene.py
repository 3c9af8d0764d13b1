"""A cell at random points over T steps, with its true gradients, to compare claims with.

The first axis of an array has several points. Steps are counted from 1 to T; states are also known at step 0. The forward
pass has a few more steps after T, where all gradients are zero, because a claim may read step T+1. Values before the first
step that do not exist are arbitrary numbers.

The values, and each contribution, come from the one evaluator of derivations, `numerics/unrolled.py`. What is added up
differs from its `Adjoints`: here a static value has a gradient at each step, because claims speak of one step, and
contributions may be altered or left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..derivation.chain import START, Contribution, Derivation, Gradient, Key
from ..language.evaluate import Floats, Leaf
from ..language.expressions import Adjoint, Expression, Outside, Value
from ..language.functions import Real
from ..numerics.points import DRAWS, WIDENED, reach_after
from ..numerics.unrolled import Unrolled
from .forms import FARTHEST, step_of


class NotFinite(ArithmeticError):
    """No point was found at which the forward pass is finite."""


@dataclass(frozen=True)
class Setting:
    """What a scene is like."""

    steps: int
    points: int
    sizes: Mapping[str, int]
    zero_states: bool = False  # the initial states are zero
    zero: tuple[str, ...] = ()  # parameters that are zero
    seed: int = 0
    places: int | None = None  # decimal places of what is drawn; None: all of them
    keep: int | None = None  # of all points, only this one
    redraws: int = 0  # draws that are known not to be finite
    wide: bool = False  # every other point further away, where choices are made otherwise


@dataclass(frozen=True)
class Edit:
    """What is done to one contribution: left out everywhere or at a step, or replaced."""

    instead: Expression | None = None
    cut: str = ""  # "", "always", "first" (step), "not first", "last", "not last"
    at: frozenset[int] = frozenset()  # steps of the value at which it is left out too

    def keeps(self, step: int, steps: int) -> bool:
        if step in self.at:
            return False
        match self.cut:
            case "always":
                return False
            case "first":
                return step > 1
            case "not first":
                return step <= 1
            case "last":
                return step < steps
            case "not last":
                return step >= steps
        return True


class Scene:
    """Values and true gradients of every step."""

    def __init__(self, derivation: Derivation, setting: Setting, arithmetic: Floats | None = None):
        self.derivation, self.graph, self.setting = derivation, derivation.graph, setting
        self.math = arithmetic or Floats()
        self.sizes, self.steps = setting.sizes, setting.steps
        self.points = setting.points if setting.keep is None else 1
        self.random = np.random.default_rng(setting.seed)
        self.final: dict[str, np.ndarray] = {}  # the gradient that arrives at the last state
        self.edits: Mapping[Key, Edit] = {}  # contributions that are left out or altered
        self._draw_until_finite()
        self._phantoms: dict[tuple[str, int], np.ndarray] = {}
        self.sums: dict[tuple[Expression, int, int], np.ndarray] = {}  # over the steps from one to another, once known
        self._backward()

    # ------------------------------------------------------------------ drawing and forward

    def _draw_until_finite(self) -> None:
        for draw in range(DRAWS):
            self._draw(reach_after(draw * 5 // 2, 0))
            self.redraws = draw
            if draw < self.setting.redraws:
                continue
            with np.errstate(all="ignore"):
                self._forward()
            if self.run.finite():
                return
        raise NotFinite(
            f"the forward pass of {self.graph.spec.name} is not finite at any of {DRAWS} points; "
            "'range:' in the spec says where to draw them from"
        )

    def size(self, name: str) -> tuple[int, ...]:
        """The shape of a value of one point."""
        return tuple(dim.value(self.sizes) for dim in self.graph.shapes[name])

    def _number(self, name: str, reach: float) -> np.ndarray:
        ranges = {item.name: (float(item.low), float(item.high)) for item in self.graph.spec.ranges}
        low, high = ranges.get(name, (-reach, reach))
        drawn = self.random.uniform(low, high, (self.setting.points, *self.size(name)))
        if self.setting.wide and name not in ranges:
            drawn[1::2] *= WIDENED
        return self._taken(drawn)

    def _taken(self, drawn: np.ndarray) -> np.ndarray:
        """What was drawn, of the points and in the digits that are asked for."""
        if self.setting.places is not None:
            drawn = np.round(drawn, self.setting.places)
        keep = self.setting.keep
        return self.math.array(drawn if keep is None else drawn[keep : keep + 1])

    def _draw(self, reach: float) -> None:
        graph, setting = self.graph, self.setting
        starts = {state: start.name for state, start in graph.initial if isinstance(start, Value)}
        self.fixed = {name: self._number(name, reach) for name in graph.parameters}
        silent = {*setting.zero, *(starts.values() if setting.zero_states else ())}
        for name in silent:
            self.fixed[name] = 0 * self.fixed[name]
        start = {}
        for state in graph.states:
            drawn = self._number(state, reach)
            start[state] = self.fixed[starts[state]] if state in starts else drawn
            if setting.zero_states:
                start[state] = 0 * start[state]
        self.values: dict[int, dict[str, np.ndarray]] = {0: start}
        for step in range(1, self.steps + FARTHEST + 1):
            self.values[step] = {name: self._number(name, reach) for name in (*graph.inputs, *graph.targets)}
        self.weights = {}
        for step in range(1, self.steps + 1):
            for output in graph.outputs if graph.loss is None else ():
                shape = (self.setting.points, *self.size(output))
                sign = self.random.choice([-1.0, 1.0], shape)
                self.weights[output, step] = self._taken(self.random.uniform(0.5, 1.5, shape) * sign)

    def _forward(self) -> None:
        inputs = [self.values[step] for step in range(1, self.steps + FARTHEST + 1)]
        self.run = _Beyond(self._computed(), self.sizes, self.fixed, inputs, self.values[0], self.math)
        self.fixed = {name: self._filled(array, name) for name, array in self.run.fixed.items()}
        self.values = dict(enumerate(self.run.values))

    def _computed(self) -> Derivation:
        """The derivation whose equations are computed."""
        return self.derivation

    def _filled(self, array: np.ndarray, name: str) -> np.ndarray:
        """One array for each point, where a constant is the same for all."""
        return np.broadcast_to(array, (self.points, *self.size(name)))

    # ------------------------------------------------------------------ backward

    def _backward(self, known: Mapping[tuple[str, int], np.ndarray] | None = None, again: Collection[str] = ()) -> None:
        """All adjoints; or those of `again` alone, where the others are known."""
        derivation, static = self.derivation, self.graph.static
        self.adjoints: dict[tuple[str, int], np.ndarray] = {} if known is None else dict(known)
        self.outside: dict[tuple[str, int], np.ndarray] = dict(self.weights)
        meant = [each for each in derivation.stages if known is None or each.value in again]
        moving = [gradient for gradient in meant if gradient.value not in static]
        for step in range(self.steps, -1, -1):
            for gradient in moving:
                if step or gradient.value in self.graph.states:
                    self.adjoints[gradient.value, step] = self._sum(gradient, step)
        still = [gradient for gradient in meant if gradient.value in static]
        ends = [each for each in (*derivation.inputs, *derivation.parameters) if known is None or each.value in again]
        for gradient in (*still, *ends):  # nothing at another step depends on these
            self._at_all_steps(gradient)

    def _at_all_steps(self, gradient: Gradient) -> None:
        """The adjoint of a value that does not change from step to step, or of an input, at every step at once."""
        steps = tuple(range(int(gradient.value in self.graph.inputs), self.steps + 1))
        view = Rows(self, steps)
        whole = np.concatenate([self.zeros(gradient.value)] * len(steps))
        for fork in gradient.forks:
            whole = whole + self.contribution(fork, view)
        for at, step in enumerate(steps):
            self.adjoints[gradient.value, step] = whole[at * self.points : (at + 1) * self.points]

    @cached_property
    def largest(self) -> Real:
        """The largest entry of any gradient or value: beside it rounding is measured."""
        arrays = [*self.adjoints.values(), *self.fixed.values()]
        return max((max(map(abs, array.flat), default=0) for array in arrays), default=1)

    def _sum(self, gradient: Gradient, step: int) -> np.ndarray:
        whole = self.zeros(gradient.value)
        if step == self.steps and gradient.value in self.final:
            whole = whole + self.final[gradient.value]
        view = Rows(self, (step,))
        for fork in gradient.forks:
            term = self.contribution(fork, view)
            whole = whole + term
            if fork.reader in self.derivation.loss_stages and gradient.value in self.graph.outputs and fork.lag == 0:
                key = gradient.value, step
                self.outside[key] = self.outside.get(key, self.zeros(gradient.value)) + term
        return whole

    def zeros(self, name: str) -> np.ndarray:
        """A gradient of zero, (points, *shape of the value)."""
        return self.math.array(np.zeros((self.points, *self.size(name))))

    # ------------------------------------------------------------------ looking at it

    def leaf(self, leaf: Leaf, step: int) -> np.ndarray:
        """A value or a gradient of one step."""
        match leaf:
            case Value(name=name):
                if name in self.fixed:
                    return self.fixed[name]
                found = self.values.get(step, {}).get(name)
                return self._phantom(name, step) if found is None else found
            case Adjoint(name=name):
                found = self.adjoints.get((name, step))
            case Outside(name=name):
                found = self.outside.get((name, step))
        return self.zeros(name) if found is None else found

    def _phantom(self, name: str, step: int) -> np.ndarray:
        """An arbitrary number for a value that was never computed."""
        if (name, step) not in self._phantoms:
            random = np.random.default_rng([abs(step), len(name), *name.encode()])
            drawn = random.uniform(-1, 1, (self.setting.points, *self.size(name)))
            self._phantoms[name, step] = self._taken(drawn)
        return self._phantoms[name, step]

    def happens(self, fork: Contribution, step: int) -> bool:
        """Whether a branch of the fork at a value of this step exists."""
        if fork.kind == START:
            return step == 0
        if fork.over_time or fork.target not in self.graph.static:
            return self.derivation.exists(fork.reader, step + fork.lag, self.steps)
        return True  # from a static value to a static value

    def contribution(self, fork: Contribution, view: Rows) -> np.ndarray:
        """One contribution to a value, at the steps of a view."""
        edit = self.edits.get(fork.key)
        kept = [self.happens(fork, step) for step in view.steps]
        expression = fork.term
        if edit is not None:
            expression = edit.instead or expression
            kept = [keep and edit.keeps(step, self.steps) for keep, step in zip(kept, view.steps)]
        if not any(kept):
            return np.concatenate([self.zeros(fork.target)] * len(view.steps))
        term = view.spread(view.evaluate(expression), self.size(fork.target))
        return view.only(term, kept)

    def total(self, name: str) -> np.ndarray:
        """The gradient of a static value, summed over the steps."""
        return sum((self.leaf(Adjoint(name), step) for step in range(self.steps + 1)), self.zeros(name))


class _Beyond(Unrolled):
    """The values of a scene: those of the last step alone are there at every step, and after it."""

    def exists(self, stage: str, step: int) -> bool:
        return True


class Rows:
    """What an expression of the language stands for at several steps: rows are steps times points."""

    def __init__(self, scene: Scene, steps: tuple[int, ...]):
        self.scene, self.steps = scene, steps
        self.rows = len(steps) * scene.points
        self._arrays: dict[Leaf, np.ndarray] = {}

    def __getitem__(self, leaf: Leaf) -> np.ndarray:
        found = self._arrays.get(leaf)
        if found is None:
            parts = [self.scene.leaf(leaf, step_of(leaf.lag, step)) for step in self.steps]
            found = self._arrays[leaf] = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return found

    def evaluate(self, expression: Expression) -> np.ndarray:
        """The value of an expression."""
        with np.errstate(all="ignore"):
            array = self.scene.run.evaluated(expression, self)
        return np.broadcast_to(array, (self.rows, *array.shape[1:]))

    def spread(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """A scalar stands for all entries of what it is added to."""
        missing = len(shape) - (array.ndim - 1)
        array = array.reshape(array.shape + (1,) * missing) if array.ndim == 1 else array
        return np.broadcast_to(array, (len(array), *shape))

    def only(self, array: np.ndarray, kept: Sequence[bool]) -> np.ndarray:
        """Zero at the steps that are not kept."""
        if all(kept):
            return array
        array = np.array(array)
        for position, keep in enumerate(kept):
            if not keep:
                array[self._rows(position)] = self.scene.math.number(0)
        return array

    def _rows(self, position: int) -> slice:
        return slice(position * self.scene.points, (position + 1) * self.scene.points)
