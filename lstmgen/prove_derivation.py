"""Proofs 2 and 4, of a derivation: its equations, not the module, evaluated at points of a few numbers.

They share no code with the derivation, which is to them an object with gradients of forks. The forward
values come from the graph's stages, the derivatives that theirs are held against from the interpreter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from .expressions import Adjoint, Expression, Outside, Product, Value, children, walk
from .figures import BOUNDS, HIGH_PRECISION, KNOCK_OUT, Figure, compared, exactly, relative_error, worst_of
from .graph import Graph
from .interpret import Digits, Floats, Interpreter, evaluate
from .points import DRAWS, STEPS, Point, by_step, choose_sizes, draw_point, of_one, reach_after

LARGEST = 1e100  # of a value at a point
DIFFERENCE = 30  # decimal places of the step of central differences
DIGITS_LOST = 1e-12  # an error of proof 2 that can be the differences' own
MOST_WORK = 60_000  # entries times operations per step, up to which every entry is differenced
MOST_CUTS = 1024  # branches that are cut in one sweep

Cuts = Mapping[int, Sequence[int]]
NO_CUTS: Cuts = {}


class _Sweep:
    """Goes through the stages forwards and through the derived gradients backwards, at one point.

    With `cuts` it goes through many copies of the derivation at once, side by side along the axis of
    examples: of each copy one branch is cut. That costs one sweep, not one for each branch.
    """

    def __init__(self, graph: Graph, derivation, sizes: Mapping[str, int], arithmetic: Floats, point: Point):
        self.graph, self.derivation, self.sizes, self.math = graph, derivation, sizes, arithmetic
        self.still = graph.static
        last = graph.spec.loss_at == "last"
        self.last_alone = derivation.loss_stages | {graph.loss} if last else frozenset()
        self.forks = {id(fork): index for index, fork in enumerate(derivation.contributions())}
        self.point = point.converted(arithmetic.array)
        self.fixed = of_one(self.point.parameters)
        self.steps = STEPS
        self.values = self._forward()

    # ------------------------------------------------------------------ forward

    def _forward(self) -> list[dict[str, np.ndarray]]:
        steps = [dict(self.point.state), *by_step(self.point.inputs, self.steps)]
        for stage in self.graph.stages:
            if stage.name in self.still:
                self.fixed[stage.name] = self._evaluate(stage.expression, _At(0, steps, self.fixed))
        for step in range(1, self.steps + 1):
            for stage in self.graph.stages:
                if stage.name not in self.still and self._happens(stage.name, step):
                    steps[step][stage.name] = self._evaluate(stage.expression, _At(step, steps, self.fixed))
        return steps

    def _evaluate(self, expression: Expression, environment) -> np.ndarray:
        return evaluate(expression, environment, self.math, self.sizes, leading=1)

    def _happens(self, stage: str, step: int) -> bool:
        return stage not in self.last_alone or step == self.steps

    # ------------------------------------------------------------------ backward

    def gradients(self, cuts: Cuts = NO_CUTS, copies: int = 1) -> dict[str, np.ndarray]:
        """The gradient of every parameter, input (copies, time, ...) and initial state, by name.

        `cuts` says of each fork's branch, by its number, in which copies it is missing.
        """
        self.cuts, self.copies = cuts, copies
        self.adjoints: list[dict[str, np.ndarray]] = [{} for _ in range(self.steps + 1)]
        self.fixed_adjoints: dict[str, np.ndarray] = {}
        derivation = self.derivation
        moving = [gradient for gradient in derivation.stages if gradient.value not in self.still]
        still = [gradient for gradient in derivation.stages if gradient.value in self.still]
        fixed = [*still, *derivation.parameters]
        sums = {gradient.value: self._zeros(gradient) for gradient in fixed}
        arrived: dict[str, list[np.ndarray]] = {gradient.value: [] for gradient in derivation.inputs}
        for step in range(self.steps, 0, -1):
            for gradient in moving:
                if self._happens(gradient.value, step):
                    self.adjoints[step][gradient.value] = self._moving(gradient, step)
            for gradient in derivation.inputs:
                arrived[gradient.value].insert(0, self._moving(gradient, step))
            for gradient in fixed:
                for fork in gradient.forks:
                    if fork.over_time and self._happens(fork.reader, step):
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

    def _moving(self, gradient, step: int) -> np.ndarray:
        """The sum over a fork's branches, at one step; at the last step a state hears from outside."""
        name = gradient.value
        whole = self._zeros(gradient)
        if step == self.steps and name in self.point.final:
            whole = self.point.final[name]
        for fork in gradient.forks:
            reader_step = step + fork.lag
            if 1 <= reader_step <= self.steps and self._happens(fork.reader, reader_step):
                whole = whole + self._branch(fork, gradient, step)
        return whole

    def _branch(self, fork, gradient, step: int) -> np.ndarray:
        term = self._known(fork.term, step)
        wanted = self._shape(gradient)
        if term.shape[1:] != wanted:
            where = f"the gradient at {fork.target} through {fork.reader}"
            raise ValueError(f"{where} has shape {term.shape[1:]}, not {wanted}")
        rows = self.cuts.get(self.forks[id(fork)])
        if rows:
            term = np.array(np.broadcast_to(term, (self.copies, *wanted)))
            term[list(rows)] = self.math.number(0)
        return term

    def at_last_step(self, expression: Expression) -> np.ndarray:
        """An expression as a reader sees it at the last step, once the gradients are known."""
        return self._known(expression, self.steps)

    def _known(self, expression: Expression, step: int) -> np.ndarray:
        weights = self.point.weights
        known = _At(step, self.values, self.fixed, self.adjoints, self.fixed_adjoints, weights)
        return self._evaluate(expression, known)

    def _zeros(self, gradient) -> np.ndarray:
        return self.math.array(np.full((1, *self._shape(gradient)), self.math.number(0)))

    def _shape(self, gradient) -> tuple[int, ...]:
        return tuple(dim.value(self.sizes) for dim in self.graph.shapes[gradient.value])


class _At:
    """What the leaves of an expression stand for, as they are read at one step."""

    def __init__(self, step, values, fixed, adjoints=(), fixed_adjoints=(), weights=()):
        self.step, self.values, self.fixed = step, values, fixed
        self.adjoints, self.fixed_adjoints, self.weights = adjoints, fixed_adjoints, weights

    def __getitem__(self, leaf) -> np.ndarray:
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
                    return self.weights[name][step - 1]
        except (LookupError, TypeError):
            pass
        kind = type(leaf).__name__.lower()
        raise LookupError(f"{kind} {leaf.name} of step {step} is read and not known there")


def _stacked(arrays: list[np.ndarray]) -> np.ndarray:
    """One array for each step -> (copies, time, ...)."""
    return np.stack(np.broadcast_arrays(*arrays), axis=1)


# ---------------------------------------------------------------- the proofs


class DerivationProofs:
    """Proofs 2 and 4 of one derivation."""

    def __init__(self, graph: Graph, derivation):
        self.graph, self.derivation = graph, derivation
        self.forks = tuple(derivation.contributions())
        self.sizes = choose_sizes(graph, least=2)
        self.random = np.random.default_rng(0)
        self.entries = self.redraws = 0
        self.floats = Floats()
        self._plain = Interpreter(graph.spec, self.sizes, self.floats, leading=1)
        self.untaken: tuple[str, ...] = ()
        self.points: list[Point] = []
        self._constant: dict[str, list[int]] | None = None

    def _chosen_points(self) -> list[Point]:
        """One point; or more, until of each choice both sides are taken by some entry."""
        taken: dict[tuple[str, int], tuple[bool, bool]] = {}
        for draw in range(2 * DRAWS):
            if self.points and all(yes and no for yes, no in taken.values()):
                break
            point, branches = self._drawn(reach_after(self.redraws, draw - self.redraws))
            if point is None:
                continue
            together = {
                key: tuple(map(max, sides, taken.get(key, (False, False)))) for key, sides in branches.items()
            }
            if together != taken or not self.points:
                taken = together
                self.points.append(point)
        if not self.points:
            told = f"the forward pass is not finite at any of {2 * DRAWS} points"
            raise ArithmeticError(f"{told}; 'range:' in the spec says where to draw them from")
        missing = (name or "the loss" for (name, _), sides in taken.items() if not all(sides))
        self.untaken = tuple(dict.fromkeys(missing))
        return self.points

    def _drawn(self, reach: float) -> tuple[Point | None, Mapping]:
        """A point where all values are finite, and the branches that it takes."""
        point = draw_point(self.graph, self.sizes, STEPS, 1, self.random, reach)
        run = self._plain.run(of_one(point.parameters), by_step(point.inputs, STEPS), point.state)
        everything = [array for step in run.steps for array in step.values()]
        if all(np.abs(array).max(initial=0) < LARGEST for array in everything):  # false for what is no number
            return point, run.branches
        self.redraws += 1
        return None, {}

    # ------------------------------------------------------------------ proof 2

    def high_precision(self) -> Iterator[Figure]:
        same = all(map(self._same_at_reader, self.forks))
        yield exactly(HIGH_PRECISION, "each term as its reader sees it", same)
        points = self.points or self._chosen_points()
        worst: dict[str, Figure] = {}
        for number, point in enumerate(points):
            figures = list(self._at_point(point, every_entry=number == 0))
            lost = [figure.error for figure in figures if not figure.passed]
            if number and lost and max(lost) < DIGITS_LOST:
                self.redraws += 1  # drawn far out for a rare branch, where a gradient is too small to difference
                continue
            for figure in figures:
                known = worst.get(figure.what)
                if known is None or (known.passed and not figure.error <= known.error):
                    worst[figure.what] = figure
        yield from worst.values()

    def _same_at_reader(self, fork) -> bool:
        """The two forms of a term differ by the time that lies between, and by nothing else."""
        return _same_but_for_time(fork.at_reader, fork.term, fork.lag, self.graph.static)

    def _at_point(self, point: Point, every_entry: bool) -> Iterator[Figure]:
        digits = Digits()
        learned = {state: start.name for state, start in self.graph.initial if isinstance(start, Value)}
        starts = {state: point.parameters[name][None] for state, name in learned.items()}
        point = replace(point, state=point.state | starts)
        sweep = _Sweep(self.graph, self.derivation, self.sizes, digits, point)
        found = sweep.gradients()
        differences = _Differences(self.graph, self.sizes, digits, sweep.point)
        yield from self._forward_figures(sweep, differences.base)
        yield self._parts(sweep)
        every_entry = every_entry and self._work() <= MOST_WORK
        for name in (*self.graph.parameters, *self.graph.inputs, *self.graph.states):
            if name not in found:
                yield exactly(HIGH_PRECISION, f"gradient of {self._label(name)}", False)
                continue
            derived, expected = differences.along(name, found[name], every_entry, self.random)
            self.entries += len(expected)
            scale = digits.number("1e-45") * (1 + abs(differences.value))
            yield compared(HIGH_PRECISION, self._label(name), derived, expected, scale)

    def _forward_figures(self, sweep: _Sweep, run) -> Iterator[Figure]:
        """The graph's stages say what the equations say."""
        for name in run.steps[0]:
            if name in sweep.fixed:
                derived = np.stack([sweep.fixed[name]] * STEPS)
            elif name in sweep.last_alone:
                continue
            else:
                derived = np.stack([step[name] for step in sweep.values[1:]])
            expected = np.stack([step[name] for step in run.steps])
            yield compared(HIGH_PRECISION, f"value of {name}", derived, expected)

    def _parts(self, sweep: _Sweep) -> Figure:
        """Every term is its reader's immediate derivative times the reader's adjoint."""
        errors = []
        for fork in self.forks:
            if fork.local is not None:
                pair = (fork.at_reader, Product((fork.upstream, fork.local)))
                term, product = (sweep.at_last_step(part) for part in pair)
                if product.ndim > term.ndim:  # a scalar that met a larger value: its copies' gradients add up
                    product = product.reshape(len(product), -1).sum(-1)
                errors.append(relative_error(term, product))
        return worst_of(HIGH_PRECISION, "each term as derivative times adjoint", errors)

    def _label(self, name: str) -> str:
        return f"{name}[0]" if name in self.graph.states else name

    def _work(self) -> int:
        """How much there is to do if every entry is differenced."""
        entries = sum(self._entries(name) for name in (*self.graph.parameters, *self.graph.states))
        entries += STEPS * sum(map(self._entries, self.graph.inputs))
        operations = sum(self._entries(name) for name in self.graph.parameters)
        operations += 4 * sum(self._entries(stage.name) for stage in self.graph.stages)
        return entries * operations

    def _entries(self, name: str) -> int:
        return math.prod(dim.value(self.sizes) for dim in self.graph.shapes[name])

    # ------------------------------------------------------------------ proof 4

    def knock_out(self) -> Iterator[Figure]:
        """Every branch is cut at every point, until it is missed at one."""
        changes = np.zeros(len(self.forks))
        points = list(self.points or self._chosen_points())
        for draw in range(DRAWS):
            open_ = np.flatnonzero(~(changes > BOUNDS[KNOCK_OUT]))
            if not len(open_):
                break
            if draw < len(points):
                point = points[draw]
            else:
                point, _ = self._drawn(reach_after(self.redraws, draw % 2 * DRAWS))
            if point is None:
                continue
            changes[open_] = np.fmax(changes[open_], self._changes(point, open_))
        for fork, change in zip(self.forks, changes):
            lag = "[t+1]" if fork.lag else ""
            what = f"d_{fork.target} through {fork.reader}{lag}"
            yield Figure(KNOCK_OUT, what, float(change), BOUNDS[KNOCK_OUT], bool(change > BOUNDS[KNOCK_OUT]))

    def _changes(self, point: Point, forks: np.ndarray) -> np.ndarray:
        """What cutting each fork changes: the largest relative change of any gradient."""
        sweep = _Sweep(self.graph, self.derivation, self.sizes, self.floats, point)
        whole = sweep.gradients()
        sizes = {name: np.abs(array).max(initial=0) for name, array in whole.items()}
        least = 1e-5 * max(sizes.values(), default=0.0) or 1.0  # so that rounding stays below the bound
        changes = [np.zeros(0)]
        for start in range(0, len(forks), MOST_CUTS):
            chosen = forks[start : start + MOST_CUTS]
            cuts: dict[int, list[int]] = {}
            for row, fork in enumerate(chosen):
                for cut in self._cut_along(int(fork)):
                    cuts.setdefault(cut, []).append(row)
            largest = np.zeros(len(chosen))
            for name, array in sweep.gradients(cuts, len(chosen)).items():
                change = np.abs(array - whole[name]).reshape(len(array), -1).max(axis=1, initial=0)
                largest = np.fmax(largest, change / max(sizes[name], least))
            changes.append(largest)
        return np.concatenate(changes)

    def _cut_along(self, fork: int) -> Iterator[int]:
        """A branch, and those that hold its value as a number: the gradient of a loss at itself is 1."""
        yield fork
        for index in self._folded().get(self.forks[fork].target, ()):
            yield from self._cut_along(index)

    def _folded(self) -> dict[str, list[int]]:
        """By reader, the branches in which a number stands in for the reader's adjoint."""
        if self._constant is None:
            self._constant = {}
            for index, fork in enumerate(self.forks):
                known = any(isinstance(node, (Adjoint, Outside)) for node in walk(fork.upstream))
                if not known and fork.reader != self.graph.loss:
                    self._constant.setdefault(fork.reader, []).append(index)
        return self._constant


def _same_but_for_time(early: Expression, late: Expression, steps: int, still: frozenset[str]) -> bool:
    if type(early) is not type(late):
        return False
    if isinstance(early, (Value, Adjoint, Outside)):
        moved = 0 if early.name in still else steps
        return early.name == late.name and early.lag + moved == late.lag
    parts, others = children(early), children(late)
    if len(parts) != len(others):
        return False
    if not parts and early != late:
        return False
    plain = getattr(early, "function", None) == getattr(late, "function", None)
    plain = plain and getattr(early, "relation", None) == getattr(late, "relation", None)
    return plain and all(_same_but_for_time(part, other, steps, still) for part, other in zip(parts, others))


class _Differences:
    """Central differences of the interpreted text, in many digits."""

    def __init__(self, graph: Graph, sizes: Mapping[str, int], digits: Digits, point: Point):
        self.graph, self.math, self.point = graph, digits, point
        self.interpreter = Interpreter(graph.spec, sizes, digits, leading=1)
        self.inputs = by_step(point.inputs, STEPS)
        self.parameters = of_one(point.parameters)
        learned = {state for state, start in graph.initial if isinstance(start, Value)}
        self.given = {name: array for name, array in point.state.items() if name not in learned}
        self.step = digits.number(f"1e-{DIFFERENCE}")
        self.base = self.interpreter.run(self.parameters, self.inputs, self.given)
        self.value = self._objective(self.base)[0]

    def _objective(self, run) -> np.ndarray:
        """The weighted sum of all that leaves the cell, for each copy."""
        parts = [(self.point.final[name], array) for name, array in run.state.items()]
        for step, outputs in enumerate(run.outputs):
            parts += [(self.point.weights[name][step], outputs[name]) for name in self.point.weights]
        whole = self.math.array(np.full((1,), self.math.number(0)))
        for weight, array in parts:
            product = weight * array
            whole = whole + product.reshape(len(product), -1).sum(-1)
        return whole if run.loss is None else whole + run.loss

    def along(self, name: str, gradient: np.ndarray, every_entry: bool, random) -> tuple[np.ndarray, ...]:
        """The derived gradient and the differences: all entries, or one direction and few of them."""
        if name not in self.graph.inputs:
            return self._array(name, None, gradient, every_entry, random)
        pairs = [self._array(name, step, gradient[:, step], every_entry, random) for step in range(STEPS)]
        derived, expected = zip(*pairs)
        return np.concatenate(derived), np.concatenate(expected)

    def _array(self, name, step, gradient, every_entry, random):
        directions = self._directions(gradient.shape[1:], every_entry, random)
        flat = gradient.reshape(1, -1)
        derived = (flat * directions.reshape(len(directions), -1)).sum(-1)
        moved = self.step * directions
        values = self._objective(self._moved(name, step, np.concatenate([moved, -moved])))
        values = np.broadcast_to(values, (2 * len(directions),))
        return derived, (values[: len(directions)] - values[len(directions) :]) / (2 * self.step)

    def _directions(self, shape: tuple[int, ...], every_entry: bool, random) -> np.ndarray:
        count = math.prod(shape)
        units = np.eye(count).reshape(count, *shape)
        if not every_entry and count > 2:
            # a wrong gradient is wrong along a random direction, too, but for a set of measure nought
            chosen = random.choice(count, size=1, replace=False)
            units = np.concatenate([random.uniform(-1, 1, (1, *shape)), units[chosen]])
        return self.math.array(units)

    def _moved(self, name: str, step: int | None, moves: np.ndarray):
        parameters, inputs, given = dict(self.parameters), list(self.inputs), dict(self.given)
        if step is not None:
            inputs[step] = inputs[step] | {name: inputs[step][name] + moves}
        elif name in parameters:
            parameters[name] = parameters[name] + moves
        else:
            given[name] = self.point.state[name] + moves
        return self.interpreter.run(parameters, inputs, given, held=self.base.held)
