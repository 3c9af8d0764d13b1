"""Proofs 0, 1 and 3, of a module: it is used as users use it, through its own arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from types import ModuleType

import numpy as np

from ..derivation.chain import Derivation
from ..derivation.graph import Graph, Stage
from ..language.evaluate import Digits, Floats, exact
from ..language.expressions import Call, Value
from ..numerics.points import BATCH, DRAWS, STEPS, Point, by_step, choose_sizes, draw_point, of_one, reach_after
from ..numerics.unrolled import Adjoints, Unrolled
from .clipping import CALL, can_be_replaced, replaced
from .interpret import Interpreter, Run
from .verdict import (
    AGREEMENT, BOUNDS, COMPLEX_STEP, MEANING, SPLITTING, Figure, all_of, compared, exactly, grouped, relative_error, worst_of,
)

STEP = 1e-30  # into the complex plane
RETRIES = 6  # points at which proof 1 is tried if a saturated gate loses digits
NEARER = 5  # as how many points that are unfit such a point counts: the next one is drawn from half the range
DIGITS_LOST = 1e-2  # an error up to this may be such a loss
MOST_ENTRIES = 600  # up to so many, every entry has its own complex step
FEW = 8  # otherwise, so many entries of each array have one, and a random direction

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Pass:
    """One forward pass of the module."""

    outputs: Arrays
    state: Arrays
    loss: np.ndarray | None
    tape: object


class ModuleProofs:
    """Proofs 0, 1 and 3 of one module."""

    def __init__(self, graph: Graph, module: ModuleType):
        self.graph, self.module = graph, module
        self.sizes = choose_sizes(graph, least=3)
        taken = {BATCH} | {dim.value(self.sizes) for shape in graph.shapes.values() for dim in shape}
        self.steps = next(steps for steps in count(STEPS) if steps not in taken)
        self.random = np.random.default_rng(1)
        self.entries = self.redraws = 0
        self._point: Point | None = None
        self._saturated = 0  # points at which proof 1 has lost digits

    @property
    def point(self) -> Point:
        """A point, if there is one, where the gradient does not depend on last digits and every side of a choice is taken."""
        if self._point is None:
            self._point = self._best_point()
        return self._point

    def _best_point(self) -> Point:
        best, found = self._ranked_point(0)
        for draw in range(1, DRAWS):
            if best == (0.0, 0):
                break
            rank, point = self._ranked_point(draw)
            if rank < best:
                best, found = rank, point
        return found

    def _ranked_point(self, draw: int) -> tuple[tuple[float, int], Point]:
        """What is wrong with a point (digits lost, sides of choices not taken), and the point."""
        reach = reach_after(self.redraws + (NEARER - 1) * self._saturated, draw - self.redraws)
        point = draw_point(self.graph, self.sizes, self.steps, BATCH, self.random, reach)
        unfit = max(0.0, self._spread(point) - 0.1 * BOUNDS[COMPLEX_STEP])
        self.redraws += unfit > 0
        return (unfit, self._untaken(point)), point

    def _untaken(self, point: Point) -> int:
        """For how many choices the point takes one side only."""
        interpreter = Interpreter(self.graph.spec, self.sizes, Floats(), leading=1)
        run = interpreter.run(of_one(point.parameters), by_step(point.inputs, self.steps), point.state)
        return sum(not all(sides) for sides in run.branches.values())

    def _spread(self, point: Point) -> float:
        """How much the gradient changes if every number changes in its last digits."""

        def nudge(array: np.ndarray) -> np.ndarray:
            nudged: np.ndarray = array * (1 + 1e-15 * self.random.choice([-1.0, 1.0], array.shape))
            return nudged

        here, near = (self._gradients(*self._both(each)) for each in (point, point.converted(nudge)))
        scale = self._scale(here)
        errors = [relative_error(near[name], array, scale) for name, array in here.items()]
        return max((math.inf if math.isnan(error) else error for error in errors), default=0.0)

    # ------------------------------------------------------------------ driving the module

    def _params(self, point: Point) -> dict[str, np.ndarray]:
        """The module's own arrays, filled through its named views. Entries that no view covers stay nan."""
        sizes = {keyword: self.sizes[symbol] for symbol, keyword in self.graph.dims}
        params: dict[str, np.ndarray] = self.module.init_params(**sizes, rng=0, dtype=np.float64)
        for array in params.values():
            array[...] = math.nan
        named = self.module.named(params)
        for name, array in point.parameters.items():
            named[name][...] = array
        return params

    def _sizes_are_told(self) -> bool:
        """Whether anything but the state gives the sizes of the states; if not, a state must be given."""
        shapes = self.graph.shapes
        telling = (*self.graph.parameters, *self.graph.inputs)
        told = {symbol for name in telling for dim in shapes[name] for symbol in dim.symbols}
        return all(symbol in told for name in self.graph.states for dim in shapes[name] for symbol in dim.symbols)

    def _forward(self, params: Arrays, inputs: Arrays, state: Arrays | None) -> _Pass:
        arrays = [inputs[name] for name in (*self.graph.inputs, *self.graph.targets)]
        first, last, tape = self.module.forward(params, *arrays, state=self._state(state))
        loss = None if self.graph.loss is None else first
        y = first if loss is None else tape.y
        return _Pass(self._outputs(y), last._asdict(), loss, tape)

    def _backward(
        self, params: Arrays, tape: object, weights: Arrays | None, final: Arrays | None
    ) -> dict[str, np.ndarray]:
        """The gradients by the names of `params`, of the inputs, and of the states with a [0]."""
        if self.graph.loss is None:
            found = self.module.backward(params, tape, self._dy(weights), dstate=self._state(final))
        else:
            found = self.module.backward(params, tape, dstate=self._state(final))
        return (
            {f"params[{name}]": array for name, array in found.params.items()}
            | {name: getattr(found, name) for name in self.graph.inputs}
            | {f"{name}[0]": array for name, array in found.state._asdict().items()}
        )

    def _both(self, point: Point, start: bool = True) -> tuple[dict[str, np.ndarray], _Pass, Point]:
        """What `_gradients` needs: the arrays, a pass over them, and the point."""
        params = self._params(point)
        return params, self._forward(params, point.inputs, point.state if start else None), point

    def _gradients(self, params: Arrays, passed: _Pass, point: Point) -> dict[str, np.ndarray]:
        return self._backward(params, passed.tape, point.weights, point.final)

    def _state(self, state: Arrays | None) -> object | None:
        return None if state is None else self.module.State(**state)

    def _outputs(self, y: object) -> dict[str, np.ndarray]:
        names = self.graph.outputs
        if len(names) == 1:
            return {names[0]: np.asarray(y)}
        return {name: getattr(y, name) for name in names}

    def _dy(self, weights: Arrays | None) -> object | None:
        if weights is None:
            return None
        names = self.graph.outputs
        return weights[names[0]] if len(names) == 1 else self.module.Outputs(**weights)

    def _scale(self, gradients: Arrays) -> float:
        """The size below which a number counts as zero beside these gradients in float64."""
        return 1e-13 * max((float(np.abs(array).max(initial=0)) for array in gradients.values()), default=0.0)

    # ------------------------------------------------------------------ proof 0

    def meaning(self) -> Iterator[Figure]:
        point = self.point
        params = self._params(point)
        covered = all(np.isfinite(array).all() for array in params.values())
        yield exactly(MEANING, "named covers every parameter", covered)
        digits = Digits()
        interpreter = Interpreter(self.graph.spec, self.sizes, digits, leading=1)
        exact = point.converted(digits.array)
        starts = [(True, ""), (False, ", state=None")] if self._sizes_are_told() else [(True, "")]
        for start, told in starts:
            passed = self._forward(params, point.inputs, point.state if start else None)
            inputs = by_step(exact.inputs, self.steps)
            run = interpreter.run(of_one(exact.parameters), inputs, exact.state if start else {})
            yield from self._compared(passed, run, told)
        yield from self._stepped(params, point)

    def _compared(self, passed: _Pass, run: Run, told: str) -> Iterator[Figure]:
        for name, array in passed.outputs.items():
            expected = np.stack([_floats(step[name], np.shape(array)[1:]) for step in run.outputs])
            yield compared(MEANING, f"output {name}{told}", array, expected)
        for name, array in passed.state.items():
            yield compared(MEANING, f"last {name}{told}", array, _floats(run.state[name], np.shape(array)))
        if passed.loss is not None:
            whole = math.nan if run.loss is None else float(np.broadcast_to(run.loss, BATCH).sum())
            yield compared(MEANING, f"loss{told}", passed.loss, whole)

    def _stepped(self, params: Arrays, point: Point) -> Iterator[Figure]:
        """`step` gives the same as `forward`."""
        passed = self._forward(params, point.inputs, point.state)
        state, arrived = self._state(point.state), []
        for step in range(self.steps):
            now = [point.inputs[name][step] for name in self.graph.inputs]
            y, state = self.module.step(params, *now, state)
            arrived.append(self._outputs(y))
        for name, array in passed.outputs.items():
            stepped = np.stack([outputs[name] for outputs in arrived])
            yield compared(MEANING, f"step by step, {name}", stepped, array)
        for name, array in passed.state.items():
            yield compared(MEANING, f"step by step, last {name}", getattr(state, name), array)

    # ------------------------------------------------------------------ proof 1

    def complex_step(self) -> Iterator[Figure]:
        return self._where_digits_last(self._complex_step)

    def _where_digits_last(self, prove: Callable[[], Iterator[Figure]]) -> Iterator[Figure]:
        """Draw the point again, nearer to 0, if a gate is so saturated that 1 - y * y has lost its digits.

        The same happens where numbers cancel, as in -v + mod(v, sigmoid(v) + 1): for large v, what is left is a slope of
        the sigmoid beside a 1. A mistake in the module does not go away at another point, so it is still found.
        """
        for _ in range(RETRIES):
            with replaced(self.module):
                figures = list(prove())
            errors = [figure.error for figure in figures if not figure.passed]
            if not errors or not max(errors) < DIGITS_LOST:
                break
            self.redraws += 1
            self._saturated += 1
            self._point = None
        yield from figures

    def _complex_step(self) -> Iterator[Figure]:
        point = self.point
        params = self._params(point)
        kept = [np.array(array) for array in self._arguments(params, point)]
        passed = self._forward(params, point.inputs, point.state)
        found = self._gradients(params, passed, point)
        yield from self._differenced(point, found, start=True)
        learned = {start.name for _, start in self.graph.initial if isinstance(start, Value)}
        if self._sizes_are_told():
            without = self._gradients(*self._both(point, start=False))
            yield from self._differenced(point, without, start=False, wholly=learned)
        yield from self._manners(point, params, passed, found, kept)

    def _manners(
        self, point: Point, params: Arrays, passed: _Pass, found: Arrays, kept: list[np.ndarray]
    ) -> Iterator[Figure]:
        """What a module promises beside right numbers; `kept` are copies of its arguments from before the first call."""
        again = self._gradients(params, passed, point)
        same = all(np.array_equal(again[name], array) for name, array in found.items())
        yield exactly(COMPLEX_STEP, "a second backward gives the same", same)
        now = self._arguments(params, point)
        untouched = all(np.array_equal(*pair, equal_nan=True) for pair in zip(kept, now))
        yield exactly(COMPLEX_STEP, "no argument is written to", untouched)
        yield exactly(COMPLEX_STEP, "named shows the gradients", self._names(params, found))
        if self._is_linear:
            yield from self._left_out(params, passed, point, found)
        yield exactly(COMPLEX_STEP, "float32 stays float32", self._keeps_float32(point))

    def clipped(self, derivation: Derivation) -> Iterator[Figure]:
        """The gradients with clips as they are, beside the derived equations; the second time half of them are clipped."""
        clips = [stage for stage in self.graph.stages if stage.function == CALL]
        if not clips:
            return
        point = self.point
        run = Unrolled(derivation, self.sizes, of_one(point.parameters), by_step(point.inputs, self.steps), point.state)
        for told in ("clipped", "half clipped"):
            adjoints = Adjoints(run, point.weights, point.final)
            derived = adjoints.gradients()
            for state, start in self.graph.initial:
                if isinstance(start, Value):  # the module is given a state, and so its learned one gets nothing
                    derived[start.name] = derived[start.name] - derived[state]
            params, passed, _ = self._both(point)
            found = self._gradients(params, passed, point)
            views = self.module.named({name: found[f"params[{name}]"] for name in params})
            for name, array in derived.items():
                if name in self.graph.parameters:
                    yield compared(COMPLEX_STEP, f"{name}, {told}", views[name], array.sum(0), self._scale(found))
                elif name in self.graph.inputs:
                    yield compared(COMPLEX_STEP, f"{name}, {told}", found[name], array.swapaxes(0, 1), self._scale(found))
                else:
                    yield compared(COMPLEX_STEP, f"{name}[0], {told}", found[f"{name}[0]"], array, self._scale(found))
            point = self._scaled(point, 1 / _median_excess(adjoints, clips))

    def _scaled(self, point: Point, factor: float) -> Point:
        """The point with other gradients from outside."""
        return replace(point, weights={name: factor * array for name, array in point.weights.items()},
                       final={name: factor * array for name, array in point.final.items()})

    def agreement(self, proved: ModuleProofs) -> Iterator[Figure]:
        """What complex steps would show, of a module without complex numbers: its gradients are those of a proved one."""
        return self._where_digits_last(lambda: self._agreement(proved))

    def _agreement(self, proved: ModuleProofs) -> Iterator[Figure]:
        point = self.point
        params, passed, _ = self._both(point)
        kept = [np.array(array) for array in self._arguments(params, point)]
        found = self._gradients(params, passed, point)
        starts = [True, False] if self._sizes_are_told() else [True]
        for start in starts:
            ours = found if start else self._gradients(*self._both(point, start=False))
            theirs = proved._gradients(*proved._both(point, start))
            scale = self._scale(theirs)
            yield exactly(COMPLEX_STEP, "gradients of the same names", sorted(ours) == sorted(theirs))
            for name, array in theirs.items():
                error = relative_error(ours[name], array, scale)
                told = f"{name} beside the NumPy module's{'' if start else ', state=None'}"
                yield Figure(COMPLEX_STEP, told, error, AGREEMENT, error <= AGREEMENT)
        yield from self._manners(point, params, passed, found, kept)

    @property
    def _is_linear(self) -> bool:
        """Whether gradients are linear in what comes from outside: no clip is at work."""
        return can_be_replaced(self.module) or not any(stage.function == CALL for stage in self.graph.stages)

    def _names(self, params: Arrays, found: Arrays) -> bool:
        """The views of gradients have the same place in their arrays as the views of parameters."""
        grads = {name: found[f"params[{name}]"] for name in params}
        views, others = self.module.named(grads), self.module.named(params)

        def alike(name: str) -> bool:
            shape = np.shape(others[name])
            shared = any(np.shares_memory(views[name], array) for array in grads.values())
            return np.shape(views[name]) == shape and (shared or not shape)  # a scalar may be a NumPy number

        return all(map(alike, self.graph.parameters))

    def _arguments(self, params: Arrays, point: Point) -> list[np.ndarray]:
        groups = (params, point.inputs, point.state, point.weights, point.final)
        return [array for group in groups for array in group.values()]

    def _differenced(
        self, point: Point, found: Arrays, start: bool, wholly: Iterable[str] = ()
    ) -> Iterator[Figure]:
        """Gradients and complex steps: of all entries, or along one direction and of a few entries."""
        params = {name: array.astype(complex) for name, array in self._params(point).items()}
        moving = point.converted(lambda array: array.astype(complex))
        arrays = {f"params[{name}]": array for name, array in params.items()}
        arrays |= {name: moving.inputs[name] for name in self.graph.inputs}
        if start:
            arrays |= {f"{name}[0]": array for name, array in moving.state.items()}
        every = start and sum(array.size for array in arrays.values()) <= MOST_ENTRIES
        scale = self._scale(found)

        def derivative() -> float:
            passed = self._forward(params, moving.inputs, moving.state if start else None)
            return self._objective(passed, point).imag / STEP

        unlike = [name for name, array in arrays.items() if np.shape(found.get(name, np.nan)) != array.shape]
        for name in unlike:
            yield exactly(COMPLEX_STEP, f"{name} has a gradient of its shape", False)
        alone = {f"params[{each}]" for each in wholly}
        groups = [*grouped([name for name in arrays if name not in {*unlike, *alone}]),
                  *([name] for name in alone if name not in unlike)]
        for names in groups:
            if len(names) == 1:
                whole = every or names[0] in alone
                directions = [{names[0]: direction} for direction in
                              self._directions(arrays[names[0]].shape, whole, FEW if start else 0)]
            else:
                whole, directions = False, [{name: self._fair_direction(found[name]) for name in names}]
            expected = [self._along([(arrays[name], each) for name, each in direction.items()], derivative)
                        for direction in directions]
            shares = [[direction[name] * found[name] for name in names] for direction in directions]
            derived = [sum(share.sum() for share in each) for each in shares]
            self.entries += len(expected)
            # along a direction, entries may cancel: the scale is the sum of their sizes
            least = 0.0 if whole else max(sum(np.abs(share).sum() for share in each) for each in shares)
            told = all_of(names) + ("" if start else ", state=None")
            yield compared(COMPLEX_STEP, told, derived, expected, scale, least)

    def _objective(self, passed: _Pass, point: Point) -> complex:
        """The weighted sum of all outputs and final states of the module."""
        whole = 0.0 if passed.loss is None else complex(passed.loss)
        for weights, arrays in ((point.weights, passed.outputs), (point.final, passed.state)):
            whole += complex(sum((weights[name] * arrays[name]).sum() for name in weights))
        return whole

    def _fair_direction(self, gradient: np.ndarray) -> np.ndarray:
        """A random direction along which no array of a group hides another."""
        return self.random.uniform(-1, 1, gradient.shape) / (np.abs(gradient).max(initial=0) or 1)

    def _along(self, moves: Sequence[tuple[np.ndarray, np.ndarray]], derivative: Callable[[], float]) -> float:
        kept = [array.copy() for array, _ in moves]
        for array, direction in moves:
            array += 1j * STEP * direction
        try:
            return derivative()
        finally:
            for (array, _), before in zip(moves, kept):
                array[...] = before

    def _directions(self, shape: tuple[int, ...], every: bool, few: int) -> Iterator[np.ndarray]:
        count = math.prod(shape)
        chosen: Iterable[int]
        if every or count == 1:
            chosen = range(count)
        else:
            yield self.random.uniform(-1, 1, shape)
            chosen = self.random.choice(count, size=min(few, count), replace=False)
        for entry in chosen:
            unit = np.zeros(count)
            unit[entry] = 1
            yield unit.reshape(shape)

    def _left_out(self, params: Arrays, passed: _Pass, point: Point, found: Arrays) -> Iterator[Figure]:
        """Arguments that are left out count as zero, and gradients are linear in dy and dstate."""
        scale = self._scale(found)
        alone = self._backward(params, passed.tape, point.weights, None)
        if self.graph.loss is None:
            rest = self._backward(params, passed.tape, None, point.final)
            together = {name: alone[name] + rest[name] for name in found}
            told = "dy=None and dstate=None add up"
        else:
            doubled = {name: 2 * array for name, array in point.final.items()}
            twice = self._backward(params, passed.tape, None, doubled)
            together = {name: (alone[name] + twice[name]) / 2 for name in found}
            told = "dstate=None counts as zero"
        errors = [relative_error(together[name], array, scale) for name, array in found.items()]
        yield worst_of(COMPLEX_STEP, told, errors)

    def _keeps_float32(self, point: Point) -> bool:
        point = point.converted(lambda array: array.astype(np.float32))
        params = {name: array.astype(np.float32) for name, array in self._params(point).items()}
        passed = self._forward(params, point.inputs, point.state)
        found = self._gradients(params, passed, point)
        arrays = (*passed.outputs.values(), *passed.state.values(), *found.values())
        return all(np.asarray(array).dtype == np.float32 for array in arrays)

    # ------------------------------------------------------------------ proof 3

    def splitting(self) -> Iterator[Figure]:
        return self._where_digits_last(self._splitting)

    def _splitting(self) -> Iterator[Figure]:
        point = self.point
        params, passed, _ = self._both(point)
        whole = self._gradients(params, passed, point)
        cut = self.steps // 2
        first, second = slice(None, cut), slice(cut, None)
        early = self._forward(params, _part(point.inputs, first), point.state)
        late = self._forward(params, _part(point.inputs, second), early.state)
        after = self._backward(params, late.tape, _part(point.weights, second), point.final)
        handed_on = {name: after[f"{name}[0]"] for name in self.graph.states}
        weights = _part(point.weights, first)
        before = self._backward(params, early.tape, weights, handed_on)
        scale = self._scale(whole)
        if self.graph.has_loss_at_last and not self._is_linear:
            whole = {}  # what is added on top is not clipped alike
        elif self.graph.has_loss_at_last:
            # the first part has a last step of its own, and so a loss, whose gradient comes on top; subtracting
            # it would lose digits
            own = self._backward(params, early.tape, weights, None)
            whole = {name: self._on_top(name, array, own[name]) for name, array in whole.items()}
        for name, array in whole.items():
            if name in self.graph.inputs:
                together = np.concatenate([before[name], after[name]])
            else:
                together = before[name] if name.endswith("[0]") else before[name] + after[name]
            yield compared(SPLITTING, name, together, array, scale)
        for name, array in passed.state.items():
            yield compared(SPLITTING, f"last {name}", late.state[name], array)

    def _on_top(self, name: str, array: np.ndarray, own: np.ndarray) -> np.ndarray:
        """A gradient of all steps, plus one of the first part."""
        if name not in self.graph.inputs:
            return np.asarray(array + own)
        return np.concatenate([array[: len(own)] + own, array[len(own):]])


def _median_excess(adjoints: Adjoints, clips: Sequence[Stage]) -> float:
    """How much larger than its bound a gradient is that arrives at a clip; in the middle of all of them."""
    ratios = [
        abs(step[stage.name]).ravel() / float(exact(stage.expression.arguments[1], {}))
        for stage in clips for step in adjoints.by_step[1:]
        if stage.name in step and isinstance(stage.expression, Call)
    ]
    together = np.concatenate([np.zeros(0), *ratios])
    return float(np.median(together[together > 0])) if together.any() else 1.0


def _part(arrays: Arrays, steps: slice) -> dict[str, np.ndarray]:
    return {name: array[steps] for name, array in arrays.items()}


def _floats(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Digits as floats, with a row for each example even if all are the same."""
    return np.asarray(np.broadcast_to(array, shape), float)
