"""A cell at random points over T steps, with its true gradients: where claims are put to the test.

Arrays hold several points at once along their first axis. Steps are counted from 1 to T; states are known
at step 0 as well. The forward pass goes a few steps on beyond T, where all gradients are zero: what a
claim reads of step T+1 is then there. What it reads from before the first step are arbitrary numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..derivation.chain import OUTPUT, START, Contribution, Derivation, Gradient
from ..derivation.graph import Graph
from ..language.evaluate import Floats, evaluate
from ..language.expressions import (
    Adjoint,
    Call,
    Expression,
    MatVec,
    Outside,
    Value,
    children,
    rebuild,
    transform,
)
from ..language.shapes import SCALAR, Shape, ShapeMismatch, shape_of
from ..numerics.points import DRAWS, WIDENED, reach_after
from .claims import DIAG, FARTHEST, PARTIAL, STEP, SUM_T, TOTAL, VIA, step_of


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
    """What is done to one branch of a fork: cut everywhere, at a step, or replaced."""

    instead: Expression | None = None
    cut: str = ""  # "", "always", "first" (step), "not first", "last", "not last"

    def keeps(self, step: int, steps: int) -> bool:
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
        self.adjoint_of = derivation.adjoints
        spec = self.graph.spec
        last_alone = spec.loss_at == "last" and self.graph.loss is not None
        self.loss_stages = derivation.loss_stages | ({self.graph.loss} if self.graph.loss else set())
        self.last_alone = self.loss_stages if last_alone else frozenset()
        self.final: dict[str, np.ndarray] = {}  # the gradient that arrives at the last state
        self.edits: Mapping[int, Edit] = {}  # branches that are cut or altered, by id
        self._draw_until_finite()
        self._phantoms: dict[tuple[str, int], np.ndarray] = {}
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
            arrays = [*self.fixed.values()]
            arrays += [array for step in self.values.values() for array in step.values()]
            if all(self.math.finite(array) for array in arrays):
                return
        raise NotFinite(
            f"the forward pass of {self.graph.spec.name} is not finite at any of {DRAWS} points; "
            "'range:' in the spec says where to draw them from"
        )

    def _shape(self, name: str) -> tuple[int, ...]:
        return tuple(dim.value(self.sizes) for dim in self.graph.shapes[name])

    def _number(self, name: str, reach: float) -> np.ndarray:
        ranges = {item.name: (float(item.low), float(item.high)) for item in self.graph.spec.ranges}
        low, high = ranges.get(name, (-reach, reach))
        drawn = self.random.uniform(low, high, (self.setting.points, *self._shape(name)))
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
                shape = (self.setting.points, *self._shape(output))
                sign = self.random.choice([-1.0, 1.0], shape)
                self.weights[output, step] = self._taken(self.random.uniform(0.5, 1.5, shape) * sign)

    def _forward(self) -> None:
        graph = self.graph
        for stage in graph.stages:
            if stage.name in graph.static:
                self.fixed[stage.name] = self._filled(
                    evaluate(stage.expression, _Known(self.fixed), self.math, self.sizes, leading=1),
                    stage.name,
                )
        for step in range(1, self.steps + FARTHEST + 1):
            for stage in graph.stages:
                if stage.name not in graph.static:
                    known = _Known(self.fixed, self.values[step], self.values[step - 1])
                    array = evaluate(stage.expression, known, self.math, self.sizes, leading=1)
                    self.values[step][stage.name] = self._filled(array, stage.name)

    def _filled(self, array: np.ndarray, name: str) -> np.ndarray:
        """One array for each point, where a constant is the same for all."""
        return np.broadcast_to(array, (self.points, *self._shape(name)))

    # ------------------------------------------------------------------ backward

    def _backward(self) -> None:
        derivation, static = self.derivation, self.graph.static
        self.adjoints: dict[tuple[str, int], np.ndarray] = {}
        self.outside: dict[tuple[str, int], np.ndarray] = dict(self.weights)
        moving = [gradient for gradient in derivation.stages if gradient.value not in static]
        still = [gradient for gradient in derivation.stages if gradient.value in static]
        for step in range(self.steps, -1, -1):
            for gradient in moving:
                if step or gradient.value in self.graph.states:
                    self.adjoints[gradient.value, step] = self._sum(gradient, step)
            for gradient in derivation.inputs if step else ():
                self.adjoints[gradient.value, step] = self._sum(gradient, step)
            for gradient in (*still, *derivation.parameters):
                self.adjoints[gradient.value, step] = self._sum(gradient, step)

    @cached_property
    def largest(self):
        """The largest entry of any gradient or value: beside it rounding is measured."""
        arrays = [*self.adjoints.values(), *self.fixed.values()]
        return max((max(map(abs, array.flat), default=0) for array in arrays), default=1)

    def _sum(self, gradient: Gradient, step: int) -> np.ndarray:
        whole = self._zeros(gradient.value)
        if step == self.steps and gradient.value in self.final:
            whole = whole + self.final[gradient.value]
        view = self.view((step,))
        for fork in gradient.forks:
            term = self.contribution(fork, view)
            whole = whole + term
            if fork.reader in self.loss_stages and gradient.value in self.graph.outputs and fork.lag == 0:
                key = gradient.value, step
                self.outside[key] = self.outside.get(key, self._zeros(gradient.value)) + term
        return whole

    def _zeros(self, name: str) -> np.ndarray:
        return self.math.array(np.zeros((self.points, *self._shape(name))))

    # ------------------------------------------------------------------ looking at it

    def view(self, steps: Sequence[int]) -> View:
        """The scene as it is seen from each of these steps, one after the other."""
        return View(self, tuple(steps))

    def everywhere(self) -> View:
        return self.view(range(1, self.steps + 1))

    def leaf(self, leaf: Value | Adjoint | Outside, step: int) -> np.ndarray:
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
        return self._zeros(name) if found is None else found

    def _phantom(self, name: str, step: int) -> np.ndarray:
        """What was never computed is any number."""
        if (name, step) not in self._phantoms:
            random = np.random.default_rng([abs(step), len(name), *name.encode()])
            drawn = random.uniform(-1, 1, (self.setting.points, *self._shape(name)))
            self._phantoms[name, step] = self._taken(drawn)
        return self._phantoms[name, step]

    def happens(self, fork: Contribution, step: int) -> bool:
        """Whether a branch of the fork at a value of this step exists."""
        if fork.kind == START:
            return step == 0
        if fork.over_time or fork.target not in self.graph.static:
            reader = step + fork.lag
            return 1 <= reader <= self.steps and (reader == self.steps or fork.reader not in self.last_alone)
        return True  # from what stands still to what stands still

    def contribution(self, fork: Contribution, view: View) -> np.ndarray:
        """What one branch sends back to a value, seen from the steps of a view."""
        edit = self.edits.get(id(fork))
        kept = [self.happens(fork, step) for step in view.steps]
        expression = fork.term
        if edit is not None:
            expression = edit.instead or expression
            kept = [keep and edit.keeps(step, self.steps) for keep, step in zip(kept, view.steps)]
        if not any(kept):
            return np.concatenate([self._zeros(fork.target)] * len(view.steps))
        term = view.spread(view.evaluate(expression), self._shape(fork.target))
        return view.only(term, kept)

    def total(self, name: str) -> np.ndarray:
        """The gradient of what stands still, summed over the steps."""
        return sum((self.leaf(Adjoint(name), step) for step in range(self.steps + 1)), self._zeros(name))


class _Known(Mapping):
    """What the leaves of a stage's expression stand for."""

    def __init__(self, fixed, now=None, before=None):
        self.fixed, self.now, self.before = fixed, now or {}, before or {}

    def __getitem__(self, leaf: Value) -> np.ndarray:
        if leaf.name in self.fixed:
            return self.fixed[leaf.name]
        return self.now[leaf.name] if leaf.lag == 0 else self.before[leaf.name]

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0


class View(Mapping):
    """What an expression stands for at several steps: rows are steps times points."""

    def __init__(self, scene: Scene, steps: tuple[int, ...]):
        self.scene, self.steps = scene, steps
        self.rows = len(steps) * scene.points
        self.shapes: dict[str, Shape] = dict(scene.graph.shapes)
        self._arrays: dict[Expression, np.ndarray] = {}
        self._forms: dict[Expression, Value] = {}

    def __getitem__(self, leaf) -> np.ndarray:
        found = self._arrays.get(leaf)
        if found is None:
            parts = [self.scene.leaf(leaf, step_of(leaf.lag, step)) for step in self.steps]
            found = self._arrays[leaf] = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return found

    def __iter__(self):
        return iter(self._arrays)

    def __len__(self):
        return len(self._arrays)

    def evaluate(self, expression: Expression) -> np.ndarray:
        """The value of an expression of the language or of a claim."""
        plain = self._plain(expression)
        with np.errstate(all="ignore"):
            array = evaluate(plain, self, self.scene.math, self.scene.sizes, leading=1)
        return np.broadcast_to(array, (self.rows, *array.shape[1:]))

    def shape(self, expression: Expression) -> Shape:
        """Its shape in symbols; raises `ShapeMismatch`."""
        return shape_of(self._plain(expression), self.shapes)

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

    # ------------------------------------------------------------------ what only claims can say

    def _plain(self, expression: Expression) -> Expression:
        """The expression with an array's name for every form that the language does not have."""
        found = self._forms.get(expression)
        if found is not None:
            return found
        if isinstance(expression, Call) and expression.function in (SUM_T, VIA, PARTIAL, TOTAL, DIAG):
            return self._named(expression, *self._form(expression))
        parts = children(expression)
        plain = tuple(map(self._plain, parts))
        whole = expression if plain == parts else rebuild(expression, plain)
        if isinstance(whole, MatVec):
            left, right = (shape_of(part, self.shapes) for part in plain)
            if len(left) == len(right) == 2:
                return self._named(expression, *self._matmat(whole, left, right))
        return whole

    def _named(self, form: Expression, shape: Shape, array: np.ndarray) -> Value:
        leaf = Value(f"#{len(self._forms)}")
        self.shapes[leaf.name] = shape
        self._arrays[leaf] = np.broadcast_to(array, (self.rows, *array.shape[1:]))
        self._forms[form] = leaf
        return leaf

    def _matmat(self, product: MatVec, left: Shape, right: Shape) -> tuple[Shape, np.ndarray]:
        if left[1] != right[0]:
            raise ShapeMismatch(product, f"a matrix of {left[1]} columns times one of {right[0]} rows")
        first, second = (self.evaluate(part) for part in children(product))
        return (left[0], right[1]), (first[:, :, :, None] * second[:, None, :, :]).sum(-2)

    def _form(self, call: Call) -> tuple[Shape, np.ndarray]:
        match call:
            case Call(function="sum_t", arguments=(summed, *bounds)):
                return self._summed(summed, [int(bound.value) for bound in bounds])
            case Call(function="via", arguments=(target, reader)):
                return self._via(target, reader)
            case Call(function="partial" | "total", arguments=(above, below)):
                return self._derivative(call, above, below)
            case Call(function="diag", arguments=(vector,)):
                shape = self.shape(vector)
                if len(shape) != 1:
                    raise ShapeMismatch(call, "diag takes a vector")
                array = self.evaluate(vector)
                return shape * 2, array[:, :, None] * self.scene.math.array(np.eye(array.shape[1]))[None]
        raise TypeError(f"no form: {call!r}")

    def _summed(self, summed: Expression, bounds: list[int]) -> tuple[Shape, np.ndarray]:
        low, high = bounds or (1, self.scene.steps)
        if isinstance(summed, Adjoint) and summed.name in self.scene.graph.static and not bounds:
            low = 0  # with what reaches an initial state that is learned
        shape = self.shape(summed)
        whole = 0
        for step in range(low, high + 1):
            whole = whole + self.scene.view((step,)).evaluate(summed)
        if low > high:
            whole = 0 * self.evaluate(summed)[: self.scene.points]
        return shape, np.concatenate([whole] * len(self.steps))

    def _via(self, target: Adjoint, reader: Value) -> tuple[Shape, np.ndarray]:
        scene = self.scene
        there = scene.view([step_of(target.lag, step) for step in self.steps])
        whole = np.concatenate([scene._zeros(target.name)] * len(self.steps))
        for fork, share in forks_via(scene.derivation, target, reader):
            if share is None:
                whole = whole + scene.contribution(fork, there)
            else:
                term = there.spread(there.evaluate(share), scene._shape(target.name))
                whole = whole + there.only(term, [scene.happens(fork, step) for step in there.steps])
        return scene.graph.shapes[target.name], whole

    def _derivative(self, call: Call, above: Value, below: Value) -> tuple[Shape, np.ndarray]:
        shapes = self.scene.graph.shapes
        shape = shapes[above.name] + shapes[below.name]
        if len(shape) > 2:
            raise ShapeMismatch(call, "this derivative has more than two axes: no expression has")
        found = [
            Jacobian(self.scene, call.function == PARTIAL).matrix(
                above, step_of(above.lag, step), below, step_of(below.lag, step)
            )
            for step in self.steps
        ]
        array = np.concatenate(found)
        if shapes[above.name] == shapes[below.name] != SCALAR and _is_diagonal(array):
            return shapes[above.name], np.einsum("nii->ni", array)
        return shape, array


def named_stages(graph: Graph) -> frozenset[str]:
    """The stages that a text can name: equations, and the arguments of their calls."""
    return frozenset(
        stage.name
        for stage in graph.stages
        if stage.owner != graph.loss and stage.name in (stage.owner, f"{stage.owner}_pre")
    )


def forks_via(
    derivation: Derivation, target: Adjoint, reader: Value
) -> Iterator[tuple[Contribution, Expression | None]]:
    """The branches of a fork that go through one equation, or into one step.

    A branch may lead to a stage without a name that several equations read: then only a share of it goes
    through the one, and an expression says which.
    """
    gradient, graph = derivation.adjoints.get(target.name), derivation.graph
    named = named_stages(graph)
    ahead = reader.lag if reader.name == STEP else reader.lag - target.lag
    for fork in gradient.forks if gradient else ():
        stage = graph.find(fork.reader)
        if reader.name == STEP:
            if fork.lag == ahead and fork.kind != START:
                yield fork, None
        elif stage is None or fork.kind in (OUTPUT, START):
            continue
        elif fork.reader in named:
            if fork.lag == ahead and reader.name in (fork.reader, stage.owner):
                yield fork, None
        elif 0 <= ahead - fork.lag <= 1 and fork.reader != graph.loss:
            yield fork, _share(fork, Value(reader.name, ahead))


def _share(fork: Contribution, reader: Value) -> Expression:
    through = Adjoint(fork.reader, fork.lag)
    share = Call(VIA, (through, reader))
    return transform(fork.term, lambda node: share if node == through else None)


def _is_diagonal(array: np.ndarray) -> bool:
    size = array.shape[-1]
    off = array[:, ~np.eye(size, dtype=bool)]
    return bool(np.all(off == 0))


class Jacobian:
    """The derivative of one value by another, by sending unit gradients back through the forks."""

    def __init__(self, scene: Scene, immediate: bool):
        self.scene, self.immediate = scene, immediate

    def matrix(self, above: Value, late: int, below: Value, early: int) -> np.ndarray:
        """(points, *shape of the one, *shape of the other)."""
        scene, graph = self.scene, self.scene.graph
        shape = scene._shape(above.name)
        count = int(np.prod(shape, initial=1))
        self.count = count
        self.sent: dict[tuple[str, int], np.ndarray] = {}
        seed = np.broadcast_to(np.eye(count).reshape(1, count, *shape), (scene.points, count, *shape))
        self.seed_key = above.name, late
        self.sent[self.seed_key] = scene.math.array(seed.reshape(scene.points * count, *shape))
        wanted = below.name, early
        if wanted != self.seed_key:
            self._sweep(above.name, late, wanted)
        found = self.sent.get(wanted)
        own = scene._shape(below.name)
        if found is None or (below.name in graph.static and wanted == self.seed_key):
            found = scene.math.array(np.zeros((scene.points * count, *own)))
        return found.reshape(scene.points, *shape, *own)

    def _sweep(self, above: str, late: int, wanted: tuple[str, int]) -> None:
        scene = self.scene
        derivation = scene.derivation
        order = (*derivation.stages, *derivation.inputs, *derivation.parameters)
        below, early = wanted
        first = late if below in scene.graph.static else early
        for step in range(late, first - 1, -1):
            for gradient in order:
                key = gradient.value, step
                if key == self.seed_key or not (key == wanted or self._passes(gradient.value, above)):
                    if not (gradient.value in scene.graph.static and gradient.value == below):
                        continue
                forks = [
                    fork
                    for fork in gradient.forks
                    if (fork.reader, step + fork.lag) in self.sent
                    and fork.kind not in (OUTPUT, START)
                    and self._through(fork.reader, above)
                ]
                arrays = [self._sent(fork, step) for fork in forks]
                if arrays:
                    self.sent[key if gradient.value != below else wanted] = sum(arrays[1:], arrays[0])

    def _passes(self, name: str, above: str) -> bool:
        """Whether a gradient goes on from this stage: from one without a name of its own, or from any."""
        if not self.immediate:
            return True
        stage, top = self.scene.graph.find(name), self.scene.graph.find(above)
        if stage is None or name == above:
            return False
        return name not in named_stages(self.scene.graph) or (
            stage.owner == top.name and stage.name != top.name
        )

    def _through(self, reader: str, above: str) -> bool:
        return reader == above or self._passes(reader, above)

    def _sent(self, fork: Contribution, step: int) -> np.ndarray:
        scene = self.scene
        known = _Sent(self, step)
        term = evaluate(fork.term, known, scene.math, scene.sizes, leading=1)
        shape = scene._shape(fork.target)
        if term.ndim == 1 and shape:
            term = term.reshape(-1, *(1,) * len(shape))
        return np.broadcast_to(term, (scene.points * self.count, *shape))


class _Sent(Mapping):
    """The leaves of a term while unit gradients are sent back."""

    def __init__(self, jacobian: Jacobian, step: int):
        self.jacobian, self.step = jacobian, step

    def __getitem__(self, leaf) -> np.ndarray:
        scene, count = self.jacobian.scene, self.jacobian.count
        step = step_of(leaf.lag, self.step)
        if isinstance(leaf, Adjoint):
            return self.jacobian.sent[leaf.name, step]
        return np.repeat(scene.leaf(leaf, step), count, axis=0)

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0
