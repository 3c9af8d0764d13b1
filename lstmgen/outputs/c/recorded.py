"""Values of a forward and a backward pass, recorded for the test that goes with the C of a cell.

They are computed from the derivation in 40 digits, so they have the same bytes wherever they are made. What goes in are
short binary fractions, which float holds exactly. A draw is taken if it does not matter how float rounds: no comparison
is nearly a tie, and a pass in as few digits as float has gives the same within a small part of the bound.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from ...derivation.chain import START
from ...derivation.graph import Graph, start_number
from ...language.evaluate import Digits
from ...language.expressions import MinusInfinity, Value
from ...numerics.points import Point, choose_sizes, reach_after
from ...numerics.unrolled import Adjoints, at_point
from ...schedule.records import Schedule

FEWEST_STEPS, FEWEST_EXAMPLES, LEAST_SIZE = 4, 2, 3
DRAWS, FEW = 20, 5  # after a few, gradients that were zero in each are taken to be zero always
EXACT, AS_FLOAT = 40, 6  # decimal digits; 6 of them are 23 bits, one less than float has
NOUGHT = 1e-25  # values are of the order of 1: a smaller one is what is left of terms that cancel
BOUNDS = {"float": 2e-5, "double": 1e-12}  # of an error beside the largest entry of its array
SHARE = 0.1  # of the bound: as much may come from rounding
TIE = 2.0**-12  # numbers that are nearer to each other may change places by rounding
COARSEST, FINEST, ENOUGH = 6, 20, 32  # inputs are n / 2^6, or finer, so that their range has enough of them

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Results:
    """What comes out of a pass: arrays as C has them, time first, the batch second."""

    outputs: Arrays
    end: Arrays  # the state after the last step
    loss: float | None
    grads: Arrays  # of the stored arrays of parameters
    dinputs: Arrays
    dstart: Arrays

    def arrays(self) -> Iterator[np.ndarray]:
        for group in (self.outputs, self.end, self.grads, self.dinputs, self.dstart):
            yield from group.values()
        if self.loss is not None:
            yield np.array(self.loss)


@dataclass(frozen=True)
class Recorded:
    """What goes in, and what comes out: from a start that is given, and from the spec's own."""

    sizes: Mapping[str, int]  # by symbol
    steps: int
    batch: int
    params: Arrays  # the stored arrays
    point: Point
    given: Results
    own: Results


def record(schedule: Schedule) -> Recorded:
    """The first draw that is fit for a test; if none is, the fittest.

    Raises `ArithmeticError` if no draw gives finite numbers.
    """
    graph = schedule.graph
    sizes = choose_sizes(graph, LEAST_SIZE)
    steps = _unlike(FEWEST_STEPS, sizes.values())
    batch = _unlike(FEWEST_EXAMPLES, (*sizes.values(), steps))
    numbers = random.Random(0)  # the same numbers in every version of Python, if only `random()` is asked
    found: list[tuple[tuple[float, int], Recorded]] = []
    unfit = 0
    for draw in range(DRAWS):
        point = _draw(graph, sizes, steps, batch, numbers, reach_after(unfit, 0))
        exact = _Watching(EXACT)
        given = _results(schedule, sizes, point, exact)
        own = _results(schedule, sizes, point, exact, own_start=True)
        if given is None or own is None:
            unfit += 1
            continue
        wrong = max(_rounding(schedule, sizes, point, given), TIE / exact.nearest, 1.0)
        empty = sum(not array.any() for array in given.arrays())
        recorded = Recorded(sizes, steps, batch, _stored(schedule, sizes, point.parameters), point, given, own)
        found.append(((wrong, empty), recorded))
        unfit += wrong > 1
        if not empty and wrong == 1 or draw + 1 >= FEW and min(each[0] for each in found)[0] == 1:
            break
    if not found:
        raise ArithmeticError(f"{graph.spec.name}: the forward pass is not finite at any of {DRAWS} points; 'range:' in "
                              "the spec says where to draw them from")
    return min(found, key=lambda each: each[0])[1]


def _unlike(least: int, others: Iterable[int]) -> int:
    """The smallest number from `least` on that is none of the others."""
    taken = set(others)
    while least in taken:
        least += 1
    return least


# ---------------------------------------------------------------- what goes in


def _draw(
    graph: Graph, sizes: Mapping[str, int], steps: int, batch: int, numbers: random.Random, reach: float
) -> Point:
    """A point of short binary fractions: from their `range:`, else from -reach to reach."""
    ranges = {item.name: (item.low, item.high) for item in graph.spec.ranges}
    wide = Fraction(reach)

    def filled(name: str, lead: Sequence[int], low: Fraction, high: Fraction) -> np.ndarray:
        shape = (*lead, *_shape(graph, sizes, name))
        grid = _grid(low, high)
        entries = [grid[int(numbers.random() * len(grid))] for _ in range(math.prod(shape))]
        return np.array(entries, float).reshape(shape)

    def draw(name: str, *lead: int) -> np.ndarray:
        return filled(name, lead, *ranges.get(name, (-wide, wide)))

    def weigh(name: str, *lead: int) -> np.ndarray:
        """Weights that are nowhere near zero."""
        weights = filled(name, lead, Fraction(1, 2), Fraction(3, 2))
        weights[np.array([numbers.random() < 0.5 for _ in range(weights.size)]).reshape(weights.shape)] *= -1
        return weights

    return Point(
        parameters={name: draw(name) for name in graph.parameters},
        inputs={name: draw(name, steps, batch) for name in (*graph.inputs, *graph.targets)},
        state={name: draw(name, batch) for name in graph.states},
        weights={name: weigh(name, steps, batch) for name in graph.outputs} if graph.loss is None else {},
        final={name: weigh(name, batch) for name in graph.states},
    )


def _grid(low: Fraction, high: Fraction) -> Sequence[float]:
    """The binary fractions of a range, without zero, where functions have kinks; as coarse as gives enough of them."""
    for power in range(COARSEST, FINEST + 1):
        first, last = math.ceil(low * 2**power), math.floor(high * 2**power)
        if last - first >= ENOUGH:
            return [number / 2**power for number in range(first, last + 1) if number]
    return [float(low), float(high)]  # a range of hardly more than one number


def _shape(graph: Graph, sizes: Mapping[str, int], name: str) -> tuple[int, ...]:
    return tuple(dim.value(sizes) for dim in graph.shapes[name])


def _stored(schedule: Schedule, sizes: Mapping[str, int], arrays: Arrays) -> dict[str, np.ndarray]:
    """Arrays of the spec's parameters as they are stored, some under each other."""
    stored = {}
    for entry in schedule.parameters:
        parts = [np.asarray(arrays[member.name]) for member in entry.members]
        stored[entry.name] = np.concatenate(parts) if entry.is_stacked else parts[0]
        assert stored[entry.name].shape == tuple(dim.value(sizes) for dim in entry.shape)
    return stored


# ---------------------------------------------------------------- what comes out


class _Watching(Digits):
    """Arithmetic that notes how near the operands of a comparison come to each other, and to a jump of floor."""

    def __init__(self, digits: int):
        super().__init__(digits)
        self.nearest = math.inf

    def select(
        self, relation: str, left: np.ndarray, right: np.ndarray, chosen: np.ndarray, other: np.ndarray
    ) -> np.ndarray:
        self._note(left - right)
        return super().select(relation, left, right, chosen, other)

    def floor(self, array: np.ndarray) -> np.ndarray:
        self._note(array - super().floor(array + self.number("0.5")))
        return super().floor(array)

    def _note(self, distances: np.ndarray) -> None:
        """Exact ties are of zeros, and of inputs: float has these exactly too."""
        apart = [abs(float(each)) for each in np.asarray(distances).flat if each]
        self.nearest = min(self.nearest, *apart) if apart else self.nearest


def _results(
    schedule: Schedule, sizes: Mapping[str, int], point: Point, math: Digits, own_start: bool = False
) -> Results | None:
    """A pass; None if something in it is not finite."""
    graph, derivation = schedule.graph, schedule.derivation
    batch = len(next(iter(point.state.values())))
    if own_start:
        point = replace(point, state=_own_start(graph, point, batch))
    point = point.converted(math.array)
    run = at_point(derivation, sizes, math, point, len(next(iter(point.inputs.values()))))
    learned = {} if own_start else {
        fork.key: range(batch) for fork in derivation.contributions() if fork.kind == START}
    gradients = Adjoints(run, point.weights, point.final, learned, batch).gradients()
    steps = run.values[1:]
    told = steps
    if own_start and any(isinstance(start, MinusInfinity) for _, start in graph.initial):  # a stage may be infinite, too
        told = [{name: step[name] for name in (*graph.outputs, *graph.states)} for step in steps]
    if not all(math.finite(array) for values in (*told, gradients) for array in values.values()):
        return None

    def whole(name: str, array: np.ndarray, *lead: int) -> np.ndarray:
        return np.broadcast_to(array, (*lead, *_shape(graph, sizes, name)))

    def state(name: str) -> np.ndarray:
        return _floats(whole(name, gradients.get(name, math.array(0)), batch))

    def over_time(name: str) -> np.ndarray:
        return _floats(np.swapaxes(whole(name, gradients[name], batch, len(steps)), 0, 1))

    parameters = {name: _floats(whole(name, gradients[name], batch).sum(0)) for name in graph.parameters}
    loss = None
    if graph.loss is not None:
        arrived = [whole(graph.loss, step[graph.loss], batch).sum() for step in steps if graph.loss in step]
        loss = float(sum(arrived))
    return Results(
        outputs={name: np.stack([_floats(whole(name, step[name], batch)) for step in steps]) for name in graph.outputs},
        end={name: _floats(whole(name, steps[-1][name], batch)) for name in graph.states},
        loss=loss,
        grads=_stored(schedule, sizes, parameters),
        dinputs={name: over_time(name) for name in graph.inputs},
        dstart={name: state(name) for name in graph.states},
    )


def _own_start(graph: Graph, point: Point, batch: int) -> dict[str, np.ndarray]:
    starts = {}
    for name, start in graph.initial:
        value = point.parameters[start.name] if isinstance(start, Value) else np.array(start_number(start))
        like = point.state[name]
        starts[name] = np.broadcast_to(value, like.shape)
    return starts


def _floats(array: np.ndarray) -> np.ndarray:
    """The nearest floats; what is left of terms that cancel is zero."""
    floats = np.array(array, float)
    return np.where(np.abs(floats) < NOUGHT, 0.0, floats)


def _rounding(schedule: Schedule, sizes: Mapping[str, int], point: Point, exact: Results) -> float:
    """The largest error of a pass in few digits, in shares of the bound."""
    rough = _results(schedule, sizes, point, Digits(AS_FLOAT))
    if rough is None:
        return math.inf
    errors = [
        float(np.abs(found - known).max(initial=0) / (np.abs(known).max(initial=0) or 1))
        for found, known in zip(rough.arrays(), exact.arrays())
    ]
    return max(errors) / (SHARE * BOUNDS["float"])
