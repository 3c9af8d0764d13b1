"""A worked example in numbers: two steps of a cell, small enough to follow with a calculator.

Parameters, inputs and initial states are short decimals. Several are drawn, and the first draw is used in which every
number can be read: none is tiny, none is large, and none would be rounded differently on two machines. Everything else is
computed in float64 and printed in three digits. A gradient keeps its terms, one for each contribution, so that every line
can be followed alone: the values of a term are above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite

import numpy as np

from ..derivation.chain import OUTPUT, START, Contribution, Derivation, Gradient
from ..derivation.graph import Graph
from ..language.expressions import Call, Value, walk
from ..language.shapes import shape_of
from ..printed import Brief
from .unrolled import Adjoints, ByStep, Unrolled

STEPS = 2
DIGITS = 3
MOST_DRAWS = 300
AT_ONCE = 100  # draws, computed side by side
LARGE = 200  # stages: the numbers of such a cell fill pages, and nobody looks for a draw that reads well
LEAST_TOLD = 0.01  # of a gradient that is checked by differences
MOVED = 1e-3  # by how much a parameter is moved for that
RATES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # of descent
RESIDUE = 1e-13  # numbers are of the order of 1: what is smaller is a rounding error of 0

Entries = float | tuple["Entries", ...]  # nested as deep as the array has axes


@dataclass(frozen=True, repr=False)
class Number(Brief):
    """A value at a step: a scalar, a vector or a matrix of rows."""

    name: str
    step: int  # 0 for static values and for the initial state
    entries: Entries


@dataclass(frozen=True, repr=False)
class TermNumber(Brief):
    """One contribution."""

    fork: Contribution
    step: int  # in a sum over time: the step that it comes from; else the step of the value
    entries: Entries


@dataclass(frozen=True, repr=False)
class GradientNumber(Brief):
    """An adjoint at a step, or a gradient, and its terms. There is no term from a step that does not exist."""

    name: str
    step: int
    terms: tuple[TermNumber, ...]
    entries: Entries


@dataclass(frozen=True)
class Difference:
    """An entry of a parameter's gradient beside a difference quotient of the objective."""

    parameter: str
    entry: tuple[int, ...]  # from 0; empty for a scalar
    step: float  # by which the entry is moved, up and down
    above: float  # the objective
    below: float
    gradient: float

    @property
    def quotient(self) -> float:
        return (self.above - self.below) / (2 * self.step)


@dataclass(frozen=True)
class Descent:
    """One step of gradient descent on all parameters."""

    rate: float
    before: float  # the objective: the loss; without one, the outputs weighted by the gradients from outside
    after: float
    expected: float  # by how much it changes to first order: minus the rate times the squared norm of the gradient


@dataclass(frozen=True, repr=False)
class WorkedExample(Brief):
    """Everything in numbers, in an order in which it can be computed."""

    sizes: tuple[tuple[str, int], ...]  # by symbol
    steps: int
    parameters: tuple[Number, ...]
    state: tuple[Number, ...]  # before the first step: given, or the parameters that are learned for it
    inputs: tuple[Number, ...]  # and targets, step by step
    outside: tuple[Number, ...]  # the gradients from outside; empty if the cell has a loss
    still: tuple[Number, ...]  # stages made of parameters alone
    forward: tuple[Number, ...]  # stages, from the first step to the last
    loss: float | None  # summed over the steps; None if the cell has none
    backward: tuple[GradientNumber, ...]  # from the last step to the first, each in order of completion
    start: tuple[GradientNumber, ...]  # of the initial states
    totals: tuple[GradientNumber, ...]  # of static values: sums over the steps
    difference: Difference | None  # None if no entry of a gradient is worth the check, or a stop keeps gradients back
    descent: Descent | None  # None likewise, or if no rate was found at which the objective falls

    def value(self, name: str, step: int) -> Entries:
        """A forward value by its name."""
        every = (*self.forward, *self.inputs, *self.state, *self.still, *self.parameters)
        return next(each.entries for each in every if (each.name, each.step) == (name, step))

    def gradient(self, name: str, step: int = 0) -> GradientNumber:
        every = (*self.backward, *self.start, *self.totals)
        return next(each for each in every if (each.name, each.step) == (name, step))

    @property
    def numbers(self) -> int:
        """How many numbers have to be computed, forward and backward."""
        every: list[Number | GradientNumber] = [*self.forward, *self.backward]
        return sum(np.size(each.entries) for each in every)


def three_digits(value: float) -> str:
    """The number as it is printed: 0.0123, 1.23, -12.3; with an exponent if it is tiny or huge."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e3:
        return f"{value:#.{DIGITS}g}".rstrip(".")
    return f"{value:.{DIGITS - 1}e}"


# ---------------------------------------------------------------- making it


def work_out(derivation: Derivation, steps: int = STEPS) -> WorkedExample:
    """An example of a cell: the first draw in which all numbers can be read, else the best of all draws."""
    best, fewest = None, inf
    is_large = len(derivation.graph.stages) > LARGE
    for seed in range(1 if is_large else MOST_DRAWS // AT_ONCE):
        drawn = _drawn(derivation.graph, steps, seed)
        run, adjoints = _run(derivation, drawn)
        found = _poor(run, adjoints)
        for row, poor in enumerate(found):
            if is_large and row != np.argmin(found):
                continue
            if poor < fewest and (complaints := poor + _told_alike(run, row) + _idle(adjoints, row)) < fewest:
                best, fewest = drawn.only(row), complaints
        if not fewest:
            break
    if best is None:
        raise ArithmeticError(f"{derivation.graph.spec.name} is not finite at any of {MOST_DRAWS} examples")
    run, adjoints = _run(derivation, best)
    example = _example(derivation, run, best.outside, adjoints)
    if _is_cut_short(derivation.graph):
        return example  # its gradient is not that of the objective, and is not meant to be
    return replace(example, difference=_difference(derivation, best, adjoints), descent=_descent(derivation, best, adjoints))


def small_sizes(graph: Graph) -> dict[str, int]:
    """1 for a symbol of inputs only, 2 for others; 3 if it is normalised over (two entries would become 1 and -1)."""
    moving = [*graph.states, *graph.outputs]
    inner = {symbol for name in moving for dim in graph.shapes[name] for symbol in dim.symbols}
    sizes = {symbol: 2 if symbol in inner else 1 for symbol, _ in graph.dims}
    for stage in graph.stages:
        for node in walk(stage.expression):
            if isinstance(node, Call) and node.function == "layer_norm":
                sizes |= dict.fromkeys(shape_of(node.arguments[0], graph.shapes)[-1].symbols, 3)
    return sizes


@dataclass(frozen=True)
class _Drawn:
    """Short decimals for a cell: several draws, along the axis of examples."""

    parameters: Mapping[str, np.ndarray]
    inputs: Sequence[Mapping[str, np.ndarray]]  # and targets, of each step
    outside: ByStep
    state: Mapping[str, np.ndarray]

    def only(self, row: int) -> _Drawn:
        """One draw of them."""
        def one(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: array[row : row + 1] for name, array in arrays.items()}

        outside = {name: [array[row : row + 1] for array in arrays] for name, arrays in self.outside.items()}
        return _Drawn(one(self.parameters), [one(step) for step in self.inputs], outside, one(self.state))


def _drawn(graph: Graph, steps: int, seed: int) -> _Drawn:
    random, sizes = np.random.default_rng(seed), small_sizes(graph)
    ranges = {item.name: (float(item.low), float(item.high)) for item in graph.spec.ranges}

    def shape(name: str) -> tuple[int, ...]:
        return (AT_ONCE, *(dim.value(sizes) for dim in graph.shapes[name]))

    def draw(name: str, grid: Sequence[float]) -> np.ndarray:
        if name in ranges:
            low, high = ranges[name]
            places = 1 if high - low > 0.5 else 3
            return np.clip(np.round(random.uniform(low, high, shape(name)), places), low, high)
        return np.asarray(random.choice(np.array(grid), shape(name)))

    tenths = [sign * each / 10 for each in range(1, 10) for sign in (1, -1)]
    halves = [-1.5, -1.0, -0.5, 0.5, 1.0, 1.5]
    parameters = {name: draw(name, tenths) for name in graph.parameters}
    arrived = [{name: draw(name, halves) for name in (*graph.inputs, *graph.targets)} for _ in range(steps)]
    outside = {}
    if graph.loss is None:
        weights = (-1.0, -0.5, 0.5, 1.0)
        outside = {name: [draw(name, weights) for _ in range(steps)] for name in graph.outputs}
    state = {name: parameters[start.name] if isinstance(start, Value) else draw(name, tenths)
             for name, start in graph.initial}
    return _Drawn(parameters, arrived, outside, state)


def _run(derivation: Derivation, drawn: _Drawn) -> tuple[Unrolled, Adjoints]:
    """The cell at each draw, side by side along the axis of examples."""
    sizes = small_sizes(derivation.graph)
    with np.errstate(all="ignore"):  # a draw that does not fit is not used
        run = Unrolled(derivation, sizes, drawn.parameters, drawn.inputs, drawn.state)
        return run, Adjoints(run, drawn.outside)


def _poor(run: Unrolled, adjoints: Adjoints) -> np.ndarray:
    """For each draw, how many numbers a reader could not use; infinity if not all are finite."""
    arrays = [*_computed(run), *adjoints.totals.values()]
    arrays += [array for step in adjoints.by_step for array in step.values()]
    poor = np.zeros(run.rows)
    with np.errstate(all="ignore"):
        for array in arrays:
            flat = _settled(np.broadcast_to(array, (run.rows, *array.shape[1:])).reshape(run.rows, -1))
            poor += np.where(flat.any(axis=1), _are_poor(flat).sum(axis=1), 0)  # all zero: for a reason
    every = [*run.fixed.values(), *(array for step in run.values for array in step.values())]
    finite = [np.isfinite(array).reshape(len(array), -1).all(axis=1) for array in every]
    return np.where(np.all(np.broadcast_arrays(*finite), axis=0), poor, inf)


def _settled(array: np.ndarray) -> np.ndarray:
    """The numbers with 0 in place of rounding errors of terms that cancel, which differ between machines."""
    return np.where(np.abs(array) < RESIDUE, 0.0, array)


def _computed(run: Unrolled) -> list[np.ndarray]:
    return [array for step in run.values[1:] for array in step.values()]


def _are_poor(values: np.ndarray) -> np.ndarray:
    """Whether numbers are too small or too large, or half way between two numbers of three digits."""
    size = np.abs(values)
    mantissa = size * 10.0 ** (DIGITS - 1 - np.floor(np.log10(size)))
    unfit = ~((size >= 5e-3) & (size <= 20)) | (np.abs(mantissa % 1 - 0.5) < 1e-6)
    return np.asarray(unfit & (size != 1))


def _told_alike(run: Unrolled, row: int) -> int:
    """How many entries look like another entry of the same array, so that a reader could confuse them.

    An input that is the same at all steps counts too.
    """
    arrays = (_settled(array[row]) for array in [*_computed(run), *_inputs_over_time(run)])
    told = ([three_digits(float(entry)) for entry in array.flat] for array in arrays if array.any())
    return sum(len(entries) - len(set(entries)) for entries in told)


def _inputs_over_time(run: Unrolled) -> list[np.ndarray]:
    """Of each input its first entry at all steps, if it is more than a switch."""
    return [np.stack([step[name].reshape(len(step[name]), -1)[:, 0] for step in run.values[1:]], axis=1)
            for name in run.graph.inputs]


def _idle(adjoints: Adjoints, row: int) -> int:
    """How many adjoints are zero in all entries: what is always zero counts for every draw alike."""
    return sum(not _settled(array[row]).any() for step in adjoints.by_step for array in step.values())


# ---------------------------------------------------------------- the objective


def _objective(derivation: Derivation, drawn: _Drawn, parameters: Mapping[str, np.ndarray]) -> float:
    """The loss; if the cell has none, the outputs weighted by what comes from outside. States that are given stay."""
    graph = derivation.graph
    learned = {name: start.name for name, start in graph.initial if isinstance(start, Value)}
    state = {name: parameters[learned[name]] if name in learned else array for name, array in drawn.state.items()}
    run = Unrolled(derivation, small_sizes(graph), parameters, drawn.inputs, state)
    if graph.loss is not None:
        return float(sum(step[graph.loss][0] for step in run.values[1:] if graph.loss in step))
    return float(sum((array[0] * run.values[step][name][0]).sum()
                     for name, arrays in drawn.outside.items() for step, array in enumerate(arrays, 1)))


def _is_cut_short(graph: Graph) -> bool:
    """Whether a stop keeps gradients back, a surrogate sends back a slope that is not its own, or gradients are clipped."""
    return any(isinstance(node, Call) and node.function in ("stop_gradient", "surrogate", "clip_gradient")
               for stage in graph.stages for node in walk(stage.expression))


def _difference(derivation: Derivation, drawn: _Drawn, adjoints: Adjoints) -> Difference | None:
    """At the first entry of a gradient that is of a size to be told; of biases first, then of any parameter."""
    names = derivation.graph.parameters
    for name in sorted(names, key=lambda name: len(derivation.graph.shapes[name]) > 1):
        gradient = adjoints.totals[name][0]
        for entry in np.ndindex(gradient.shape):
            if abs(gradient[entry]) >= LEAST_TOLD:
                values = [_objective(derivation, drawn, _moved(drawn, name, entry, sign * MOVED)) for sign in (1, -1)]
                if all(map(isfinite, values)):
                    above, below = values
                    return Difference(name, entry, MOVED, above, below, float(gradient[entry]))
    return None


def _moved(drawn: _Drawn, name: str, entry: tuple[int, ...], by: float) -> dict[str, np.ndarray]:
    array = drawn.parameters[name].copy()
    array[(0, *entry)] += by
    return {**drawn.parameters, name: array}


def _descent(derivation: Derivation, drawn: _Drawn, adjoints: Adjoints) -> Descent | None:
    """With the first of some rates at which the objective falls by about as much as it should."""
    gradients = {name: adjoints.totals[name] for name in derivation.graph.parameters}
    square = sum(float((gradient**2).sum()) for gradient in gradients.values())
    before = _objective(derivation, drawn, drawn.parameters)
    for rate in RATES:
        lower = {name: array - rate * gradients[name] for name, array in drawn.parameters.items()}
        with np.errstate(all="ignore"):
            after = _objective(derivation, drawn, lower)
        if square and abs(after - before + rate * square) <= 0.2 * rate * square:
            return Descent(rate, before, after, -rate * square)
    return None


def _example(
    derivation: Derivation, run: Unrolled, outside: ByStep, adjoints: Adjoints
) -> WorkedExample:
    graph = derivation.graph
    steps = range(1, run.steps + 1)
    moving = [stage.name for stage in graph.stages if stage.name not in graph.static]
    still = [stage.name for stage in graph.stages if stage.name in graph.static]
    loss = None
    if graph.loss is not None:
        loss = float(sum(step[graph.loss][0] for step in run.values[1:] if graph.loss in step))
    return WorkedExample(
        sizes=tuple(run.sizes.items()),
        steps=run.steps,
        parameters=tuple(Number(name, 0, _entries(run.fixed[name])) for name in graph.parameters),
        state=tuple(Number(name, 0, _entries(run.values[0][name])) for name in graph.states),
        inputs=tuple(_numbers(run, (*graph.inputs, *graph.targets), steps)),
        outside=tuple(
            Number(name, step, _entries(arrays[step - 1]))
            for step in steps for name, arrays in outside.items()
        ),
        still=tuple(Number(name, 0, _entries(run.fixed[name])) for name in still),
        forward=tuple(_numbers(run, moving, steps)),
        loss=loss,
        backward=tuple(_backward(derivation, run, outside, adjoints)),
        start=tuple(
            _gradient(derivation.adjoints[name], 0, run, outside, adjoints)
            for name in graph.states if name in adjoints.by_step[0]
        ),
        totals=tuple(_totals(derivation, run, adjoints)),
        difference=None,
        descent=None,
    )


def _numbers(run: Unrolled, names: Sequence[str], steps: Iterable[int]) -> Iterator[Number]:
    for step in steps:
        for name in names:
            if name in run.values[step]:
                yield Number(name, step, _entries(run.values[step][name]))


def _backward(
    derivation: Derivation, run: Unrolled, outside: ByStep, adjoints: Adjoints
) -> Iterator[GradientNumber]:
    for step in range(run.steps, 0, -1):
        for gradient in (*derivation.stages, *derivation.inputs):
            if gradient.value in adjoints.by_step[step]:
                yield _gradient(gradient, step, run, outside, adjoints)


def _gradient(
    gradient: Gradient, step: int, run: Unrolled, outside: ByStep, adjoints: Adjoints
) -> GradientNumber:
    terms = []
    for fork in gradient.forks:
        reader_step = step + fork.lag
        if not run.exists(fork.reader, reader_step):
            continue
        if fork.kind == OUTPUT:
            array = outside[fork.reader][step - 1]
        else:
            array = run.branch(fork, reader_step, adjoints.by_step[reader_step].get(fork.reader))
        terms.append(TermNumber(fork, step, _entries(array)))
    whole = adjoints.by_step[step][gradient.value]
    return GradientNumber(gradient.value, step, tuple(terms), _entries(whole))


def _totals(derivation: Derivation, run: Unrolled, adjoints: Adjoints) -> Iterator[GradientNumber]:
    """Gradients of static values, with a term for each step and contribution."""
    fixed = [gradient for gradient in derivation.stages if gradient.value in run.graph.static]
    for gradient in (*fixed, *derivation.parameters):
        terms = []
        for fork in gradient.forks:
            if fork.kind == START:
                terms.append(TermNumber(fork, 0, _entries(adjoints.by_step[0][fork.reader])))
            elif not fork.over_time:
                array = run.branch(fork, 0, adjoints.totals[fork.reader])
                terms.append(TermNumber(fork, 0, _entries(array)))
            else:
                for step in range(1, run.steps + 1):
                    if run.exists(fork.reader, step):
                        array = run.branch(fork, step, adjoints.by_step[step].get(fork.reader))
                        terms.append(TermNumber(fork, step, _entries(array)))
        yield GradientNumber(gradient.value, 0, tuple(terms), _entries(adjoints.totals[gradient.value]))


def _entries(array: np.ndarray) -> Entries:
    """The one example, as plain numbers; -0.0 is 0.0."""
    return _nested(_settled(np.asarray(array)[0]) + 0.0)


def _nested(array: np.ndarray) -> Entries:
    return tuple(map(_nested, array)) if array.ndim else float(array)
