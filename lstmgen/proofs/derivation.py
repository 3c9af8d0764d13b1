"""Proofs 2 and 4, of a derivation: its equations, not the module, evaluated at small points.

They share no code with the derivation; they only read its records. Forward values come from the stages of the graph. The
derivatives to compare with come from the interpreter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ..derivation.chain import Contribution, Derivation, Key
from ..derivation.graph import Graph
from ..language.evaluate import Digits, Floats
from ..language.expressions import Adjoint, Expression, Outside, Product, Value, children, rebuild, walk
from ..numerics.points import DRAWS, STEPS, Point, by_step, choose_sizes, draw_point, of_one, reach_after
from ..numerics.unrolled import Adjoints, Arrays, Unrolled, at_point
from ..numerics.vanishing import saturated
from .clipping import unclipped
from .interpret import Branches, Interpreter, Run
from .verdict import BOUNDS, HIGH_PRECISION, KNOCK_OUT, Figure, all_of, compared, exactly, grouped, relative_error, worst_of

LARGEST = 1e100  # a value at a point
DIFFERENCE = 30  # decimal places of the step of central differences
DIGITS_LOST = 1e-12  # an error of proof 2 up to this may come from the differences themselves
MOST_WORK = 60_000  # entries times operations per step: up to this, every entry is differenced
MOST_CUTS = 1024  # contributions that are taken out in one sweep over the steps
NEITHER = (False, False)  # no side of a choice was taken


class DerivationProofs:
    """Proofs 2 and 4 of one derivation."""

    def __init__(self, graph: Graph, derivation: Derivation):
        self.graph, self.derivation = graph, derivation
        self.forks = tuple(derivation.contributions())
        self.sizes = choose_sizes(graph, least=2)
        self.random = np.random.default_rng(0)
        self.entries = self.redraws = 0
        self.floats = unclipped(Floats())
        self._plain = Interpreter(graph.spec, self.sizes, self.floats, leading=1)
        self.untaken: tuple[str, ...] = ()
        self.points: list[Point] = []
        self._constant: dict[str, list[int]] | None = None

    def _chosen_points(self) -> list[Point]:
        """One point; or more, until some entry takes each side of every choice."""
        taken: Branches = {}
        for draw in range(2 * DRAWS):
            if self.points and all(yes and no for yes, no in taken.values()):
                break
            point, branches = self._drawn(reach_after(self.redraws, draw - self.redraws))
            if point is None:
                continue
            together = {key: _either(sides, taken.get(key, NEITHER)) for key, sides in branches.items()}
            if together != taken or not self.points:
                taken = together
                self.points.append(point)
        if not self.points:
            told = f"the forward pass is not finite at any of {2 * DRAWS} points"
            raise ArithmeticError(f"{told}; 'range:' in the spec says where to draw them from")
        missing = (name or "the loss" for (name, _), sides in taken.items() if not all(sides))
        self.untaken = tuple(dict.fromkeys(missing))
        return self.points

    def _drawn(self, reach: float) -> tuple[Point | None, Branches]:
        """A point where all values are finite, and the sides of choices that it takes."""
        point = draw_point(self.graph, self.sizes, STEPS, 1, self.random, reach)
        run = self._plain.run(of_one(point.parameters), by_step(point.inputs, STEPS), point.state)
        everything = [array for step in run.steps for array in step.values()]
        if all(np.abs(array).max(initial=0) < LARGEST for array in everything):  # also false for nan
            return point, run.branches
        self.redraws += 1
        return None, {}

    def saturated(self) -> tuple[str, ...]:
        """Why the proof of a right derivation can fail: equations with a function that has no slope at a point."""
        found = [saturated(self.derivation, self.sizes, point) for point in self.points]
        return tuple(dict.fromkeys(name for names in found for name in names))

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
                self.redraws += 1  # drawn far out for a rare side: a gradient is too small to difference
                continue
            for figure in figures:
                known = worst.get(figure.what)
                if known is None or (known.passed and not figure.error <= known.error):
                    worst[figure.what] = figure
        yield from worst.values()

    def _same_at_reader(self, fork: Contribution) -> bool:
        """The two forms of a term differ in their times, and in nothing else."""
        return _same_but_for_time(fork.at_reader, fork.term, fork.lag, self.graph.static)

    def _at_point(self, point: Point, every_entry: bool) -> Iterator[Figure]:
        digits = unclipped(Digits())
        learned = {state: start.name for state, start in self.graph.initial if isinstance(start, Value)}
        starts = {state: point.parameters[name][None] for state, name in learned.items()}
        point = replace(point, state={**point.state, **starts}).converted(digits.array)
        run = at_point(self.derivation, self.sizes, digits, point)
        adjoints = Adjoints(run, point.weights, point.final)
        found = adjoints.gradients()
        differences = _Differences(self.graph, self.sizes, digits, point)
        yield from self._forward_figures(run, differences.base)
        yield self._parts(adjoints)
        every_entry = every_entry and self._work() <= MOST_WORK
        names = (*self.graph.parameters, *self.graph.inputs, *self.graph.states)
        for name in names:
            if name not in found:
                yield exactly(HIGH_PRECISION, f"gradient of {self._label(name)}", False)
        scale = digits.number("1e-45") * (1 + abs(differences.value))
        for group in grouped([name for name in names if name in found]):
            if len(group) == 1:
                derived, expected = differences.along(group[0], found[group[0]], every_entry, self.random)
            else:
                derived, expected = differences.together({name: found[name] for name in group}, self.random)
            self.entries += len(expected)
            yield compared(HIGH_PRECISION, all_of([*map(self._label, group)]), derived, expected, scale)

    def _forward_figures(self, run: Unrolled, interpreted: Run) -> Iterator[Figure]:
        """The stages of the graph give what the equations give."""
        for name in interpreted.steps[0]:
            if name in run.fixed:
                derived = np.stack([run.fixed[name]] * STEPS)
            elif name in self.derivation.last_step_only:
                continue
            else:
                derived = np.stack([step[name] for step in run.values[1:]])
            expected = np.stack([step[name] for step in interpreted.steps])
            yield compared(HIGH_PRECISION, f"value of {name}", derived, expected)

    def _parts(self, adjoints: Adjoints) -> Figure:
        """Every term is the local derivative of its reader times the reader's adjoint."""
        errors = []
        for fork in self.forks:
            if fork.local is not None:
                pair = (fork.at_reader, Product((fork.upstream, fork.local)))
                term, product = (adjoints.value(part, STEPS) for part in pair)
                if product.ndim > term.ndim:  # the value was copied: the gradients of its copies are added
                    product = product.reshape(*product.shape[:term.ndim], -1).sum(-1)
                errors.append(relative_error(term, product, adjoints.run.math.number("1e-45")))
        return worst_of(HIGH_PRECISION, "each term as derivative times adjoint", errors)

    def _label(self, name: str) -> str:
        return f"{name}[0]" if name in self.graph.states else name

    def _work(self) -> int:
        """The work of differencing every entry."""
        entries = sum(self._entries(name) for name in (*self.graph.parameters, *self.graph.states))
        entries += STEPS * sum(map(self._entries, self.graph.inputs))
        operations = sum(self._entries(name) for name in self.graph.parameters)
        operations += 4 * sum(self._entries(stage.name) for stage in self.graph.stages)
        return entries * operations

    def _entries(self, name: str) -> int:
        return math.prod(dim.value(self.sizes) for dim in self.graph.shapes[name])

    # ------------------------------------------------------------------ proof 4

    def knock_out(self) -> Iterator[Figure]:
        """Take out every contribution, at one point after the other, until some gradient changes."""
        changes = np.zeros(len(self.forks))
        points = list(self.points or self._chosen_points())
        for draw in range(DRAWS):
            open_ = np.flatnonzero(~(changes > BOUNDS[KNOCK_OUT]))
            if not len(open_):
                break
            known = points[draw] if draw < len(points) else None
            point = known or self._drawn(reach_after(self.redraws, draw % 2 * DRAWS))[0]
            if point is None:
                continue
            changes[open_] = np.fmax(changes[open_], self._changes(point, open_))
        for steps in range(1, STEPS):  # the effect of a delay line may show only with fewer steps
            open_ = np.flatnonzero(~(changes > BOUNDS[KNOCK_OUT]))
            if len(open_):
                changes[open_] = np.fmax(changes[open_], self._changes(points[0], open_, steps))
        for fork, change in zip(self.forks, changes):
            lag = "[t+1]" if fork.lag else ""
            what = f"d_{fork.target} through {fork.reader}{lag}"
            yield Figure(KNOCK_OUT, what, float(change), BOUNDS[KNOCK_OUT], bool(change > BOUNDS[KNOCK_OUT]))

    def _changes(self, point: Point, forks: np.ndarray, steps: int = STEPS) -> np.ndarray:
        """For each contribution that is taken out, the largest relative change of any gradient."""
        run = at_point(self.derivation, self.sizes, self.floats, point, steps)
        whole = Adjoints(run, point.weights, point.final).gradients()
        sizes = {name: np.abs(array).max(initial=0) for name, array in whole.items()}
        least = 1e-5 * max(sizes.values(), default=0.0) or 1.0  # so that rounding stays below the bound
        changes = [np.zeros(0)]
        for start in range(0, len(forks), MOST_CUTS):
            chosen = forks[start : start + MOST_CUTS]
            cuts: dict[Key, list[int]] = {}
            for row, fork in enumerate(chosen):
                for cut in self._cut_along(int(fork)):
                    cuts.setdefault(self.forks[cut].key, []).append(row)
            largest = np.zeros(len(chosen))
            for name, array in Adjoints(run, point.weights, point.final, cuts, len(chosen)).gradients().items():
                change = np.abs(array - whole[name]).reshape(len(array), -1).max(axis=1, initial=0)
                largest = np.fmax(largest, change / max(sizes[name], least))
            changes.append(largest)
        return np.concatenate(changes)

    def _cut_along(self, fork: int) -> Iterator[int]:
        """A contribution, and those that contain the same adjoint as a number: the adjoint of the loss is 1."""
        yield fork
        for index in self._folded().get(self.forks[fork].target, ()):
            yield from self._cut_along(index)

    def _folded(self) -> dict[str, list[int]]:
        """For each reader, the contributions with a number in place of the reader's adjoint."""
        if self._constant is None:
            self._constant = {}
            for index, fork in enumerate(self.forks):
                known = any(isinstance(node, (Adjoint, Outside)) for node in walk(fork.upstream))
                if not known and fork.reader != self.graph.loss:
                    self._constant.setdefault(fork.reader, []).append(index)
        return self._constant


def _either(one: tuple[bool, bool], other: tuple[bool, bool]) -> tuple[bool, bool]:
    """The sides of a choice that are taken at one of the two points, or both."""
    return one[0] or other[0], one[1] or other[1]


def _same_but_for_time(early: Expression, late: Expression, steps: int, still: frozenset[str]) -> bool:
    if isinstance(early, (Value, Adjoint, Outside)):
        moved = 0 if early.name in still else steps
        return late == type(early)(early.name, early.lag + moved)
    parts, others = children(early), children(late)
    if not parts or len(parts) != len(others):
        return early == late
    # the same node where its operands are the same
    same = rebuild(early, others) == late
    return same and all(_same_but_for_time(part, other, steps, still) for part, other in zip(parts, others))


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

    def _objective(self, run: Run) -> np.ndarray:
        """The weighted sum of all outputs and final states, for each copy."""
        parts = [(self.point.final[name], array) for name, array in run.state.items()]
        for step, outputs in enumerate(run.outputs):
            parts += [(self.point.weights[name][step], outputs[name]) for name in self.point.weights]
        whole = self.math.array(np.full((1,), self.math.number(0)))
        for weight, array in parts:
            product = weight * array
            whole = whole + product.reshape(len(product), -1).sum(-1)
        return whole if run.loss is None else whole + run.loss

    def along(
        self, name: str, gradient: np.ndarray, every_entry: bool, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The derived gradient and the differences: of all entries, or along one direction and of a few entries."""
        if name not in self.graph.inputs:
            return self._array(name, None, gradient, every_entry, random)
        pairs = [self._array(name, step, gradient[:, step], every_entry, random) for step in range(STEPS)]
        derived, expected = zip(*pairs)
        return np.concatenate(derived), np.concatenate(expected)

    def together(self, gradients: Arrays, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The derived gradient and the difference along one direction of several arrays.

        A wrong gradient is wrong along it with probability one; it is so drawn that each array has the same weight.
        """
        moves, derived = {}, self.math.number(0)
        for name, gradient in gradients.items():
            largest = float(np.abs(gradient).max(initial=0)) or 1.0
            direction = self.math.array(random.uniform(-1, 1, gradient.shape) / largest)
            derived = derived + (direction * gradient).sum()
            moves[name] = self.step * direction
        ahead, behind = (self._objective(self._all_moved(moves, sign))[0] for sign in (1, -1))
        return np.array([derived]), np.array([(ahead - behind) / (2 * self.step)])

    def _array(
        self, name: str, step: int | None, gradient: np.ndarray, every_entry: bool, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        directions = self._directions(gradient.shape[1:], every_entry, random)
        flat = gradient.reshape(1, -1)
        derived = (flat * directions.reshape(len(directions), -1)).sum(-1)
        moved = self.step * directions
        values = self._objective(self._moved(name, step, np.concatenate([moved, -moved])))
        values = np.broadcast_to(values, (2 * len(directions),))
        return derived, (values[: len(directions)] - values[len(directions) :]) / (2 * self.step)

    def _directions(
        self, shape: tuple[int, ...], every_entry: bool, random: np.random.Generator
    ) -> np.ndarray:
        count = math.prod(shape)
        units = np.eye(count).reshape(count, *shape)
        if not every_entry and count > 2:
            # a wrong gradient is wrong along a random direction, too, with probability one
            chosen = random.choice(count, size=1, replace=False)
            units = np.concatenate([random.uniform(-1, 1, (1, *shape)), units[chosen]])
        return self.math.array(units)

    def _moved(self, name: str, step: int | None, moves: np.ndarray) -> Run:
        parameters, inputs, given = dict(self.parameters), list(self.inputs), dict(self.given)
        if step is not None:
            inputs[step] = inputs[step] | {name: inputs[step][name] + moves}
        elif name in parameters:
            parameters[name] = parameters[name] + moves
        else:
            given[name] = self.point.state[name] + moves
        return self.interpreter.run(parameters, inputs, given, held=self.base.held)

    def _all_moved(self, moves: Arrays, sign: int) -> Run:
        parameters, inputs, given = dict(self.parameters), list(self.inputs), dict(self.given)
        for name, move in moves.items():
            if name in parameters:
                parameters[name] = parameters[name] + sign * move
            elif name in self.graph.inputs:
                inputs = [now | {name: now[name] + sign * move[:, step]} for step, now in enumerate(inputs)]
            else:
                given[name] = self.point.state[name] + sign * move
        return self.interpreter.run(parameters, inputs, given, held=self.base.held)
