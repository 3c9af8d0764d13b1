"""Find contributions that are zero wherever one looks. They are not printed.

Dividing a softmax by its sum, or subtracting the mean of a layer norm, adds contributions that are identically zero: the
entries of a softmax always add up to one, those of a layer norm to zero. Algebra over several stages can cancel in other
ways, too. No rule for a single stage can see that; numbers can.

The effect of a contribution along a direction is its term times the change of its value in that direction. At a random
point, in many digits, the effect is zero for these contributions and for no others, with two exceptions:

* where a choice takes the other side, as in `relu` of a negative number. So here every choice lets a part of both sides
  through.
* where the effect is too small to be seen: after a saturated function, as `sigmoid` of 1000, or after many stages that
  each make it smaller. So a contribution is judged only if its effect could be seen if nothing cancelled. Others stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..derivation.chain import ELEMENTWISE, OUTPUT, START, Contribution, Derivation, Key, without
from ..derivation.graph import Graph
from ..language.evaluate import Digits, Floats
from ..language.expressions import Call, Value
from ..language.functions import Real
from .points import STEPS, Point, choose_sizes, draw_point
from .unrolled import Adjoints, Unrolled, at_point

FLAT = 1e-10  # a slope, or an effect relative to others: less than this may be lost in rounding
NOUGHT = 1e-75  # terms that cancel leave less than this in 90 digits
LOOKS = 5  # points, each nearer to 0, until each contribution can be judged

Where = tuple[str, int]  # a value at a step; step 0 for static values and for initial states


class _Open(Floats):
    """Arithmetic in which both sides of every choice count, and the step of differences in it."""

    step: str  # of a difference quotient
    nothing: str  # relative to the largest effect: below this, differences cannot be told from zero

    def select(
        self, relation: str, left: np.ndarray, right: np.ndarray, chosen: np.ndarray, other: np.ndarray
    ) -> np.ndarray:
        ahead = left - right if relation in (">", ">=") else right - left
        far = self.divide(ahead, self.number(1) + abs(ahead))
        share = (self.number(1) + far) * self.number("0.5")
        return self.array(share * chosen + (self.number(1) - share) * other)

    def floor(self, array: np.ndarray) -> np.ndarray:
        """floor is constant between whole numbers, and often 0; here it is neither, so that its effect can be seen."""
        return self.array(self.number("0.37") * array + self.number("0.21"))


    def clipped(self, gradient: np.ndarray, bound: np.ndarray) -> np.ndarray:
        """Clipped or not, a contribution is there."""
        return gradient


class _OpenFloats(_Open):
    step, nothing = "1e-6", "1e-7"


class _OpenDigits(_Open, Digits):
    step, nothing = "1e-30", "1e-50"


def without_vanishing(derivation: Derivation) -> Derivation:
    """The derivation without the contributions that are zero wherever one looks."""
    forks = [fork for fork in derivation.contributions() if fork.kind not in (OUTPUT, START)]
    sizes = choose_sizes(derivation.graph, least=2)
    random = np.random.default_rng(0)
    judged: list[Contribution] = []
    for look in range(LOOKS):
        if len(judged) == len(forks):
            break
        drawn = tuple(draw_point(derivation.graph, sizes, STEPS, 1, random, 0.5**look) for _ in range(2))
        seen = _seen(derivation, forks, sizes, drawn[0])
        if len(seen) > len(judged):
            effects = _effects(derivation, seen, sizes, _OpenFloats(), *drawn)
            if np.isfinite(effects).all():
                judged, floats, (point, direction) = seen, effects, drawn
    if not judged:
        return derivation
    suspects = _smallest(judged, floats, max(floats), _OpenFloats())
    if not suspects:
        return derivation
    digits = _OpenDigits()
    effects = _effects(derivation, suspects, sizes, digits, point, direction)
    shorter = without(derivation, _smallest(suspects, effects, max(floats), digits))
    return shorter if _agree(derivation, shorter, sizes, digits, point) else derivation


def _seen(
    derivation: Derivation, forks: Sequence[Contribution], sizes: Mapping[str, int], point: Point,
) -> list[Contribution]:
    """The contributions whose effect could be seen if nothing cancelled; none if the point does not fit."""
    graph = derivation.graph
    with np.errstate(all="ignore"):
        run = at_point(derivation, sizes, _OpenFloats(), point)
        slopes = {fork.key: _slopes(run, fork) for fork in forks}
        calls = [fork for fork in forks if isinstance(graph.stage(fork.reader).expression, Call)]
        if all(slope >= FLAT for fork in calls for slope in slopes[fork.key].values()):
            slopes |= _of_factors_that_cancel(derivation, forks, slopes, sizes, point)
    scales = _scales(graph, forks, slopes)
    largest = max(scales, default=0.0)
    return [fork for fork, scale in zip(forks, scales) if math.isfinite(largest) and scale >= FLAT * max(1, largest)]


def _scales(graph: Graph, forks: Sequence[Contribution], slopes: Mapping[Key, Mapping[int, float]]) -> list[float]:
    """The size of each effect if nothing cancelled: the product of slopes along the steepest path through it."""
    def ways(fork: Contribution) -> Iterator[tuple[float, Where, Where]]:
        """For each step: the slope, the reader and the value that it reads."""
        for step, slope in slopes[fork.key].items():
            yield slope, (fork.reader, step), (fork.target, 0 if fork.target in graph.static else step - fork.lag)

    moving = [stage.name for stage in graph.stages if stage.name not in graph.static]
    order = [(stage.name, 0) for stage in graph.stages if stage.name in graph.static]
    order += [(name, step) for step in range(1, STEPS + 1) for name in moving]
    read_at: dict[Where, list[tuple[float, Where]]] = {where: [] for where in order}
    for fork in forks:
        for slope, reader, read in ways(fork):
            read_at[reader].append((slope, read))

    # how far each value moves if everything given moves by 1; and how much gradient it gets from all outputs
    moved = dict.fromkeys([(name, 0) for name in (*graph.parameters, *graph.states)], 1.0)
    moved |= dict.fromkeys([(name, step) for name in (*graph.inputs, *graph.targets) for step in range(1, STEPS + 1)], 1.0)
    for where in order:
        moved[where] = max((slope * moved.get(read, 0.0) for slope, read in read_at[where]), default=0.0)
    ends = graph.outputs if graph.loss is None else (graph.loss,)
    heard = dict.fromkeys([(name, STEPS) for name in graph.states], 1.0)
    heard |= dict.fromkeys([(name, step) for name in ends for step in range(1, STEPS + 1)], 1.0)
    for where in reversed(order):
        for slope, read in read_at[where]:
            heard[read] = max(heard.get(read, 0.0), slope * heard.get(where, 0.0))
    return [
        max((heard.get(reader, 0.0) * slope * moved.get(read, 0.0) for slope, reader, read in ways(fork)), default=0.0)
        for fork in forks
    ]


def _of_factors_that_cancel(
    derivation: Derivation,
    forks: Sequence[Contribution],
    slopes: Mapping[Key, Mapping[int, float]],
    sizes: Mapping[str, int],
    point: Point,
) -> dict[Key, dict[int, float]]:
    """Slopes that are 0 only because the other factor is 0 in all digits, set to 1, so that they can be judged.

    If no function is flat, such a factor is 0 by cancellation, as the mean of a layer norm.
    """
    level = [fork for fork in forks if min(slopes[fork.key].values(), default=1) < FLAT]
    if not level:
        return {}
    digits = _OpenDigits()
    run = at_point(derivation, sizes, digits, point.converted(digits.array))
    return {
        fork.key: {step: 1.0 if slope < NOUGHT else slope for step, slope in _slopes(run, fork).items()}
        for fork in level
    }


def _slopes(run: Unrolled, fork: Contribution) -> dict[int, float]:
    """For each step of the reader, the slope of a branch: the largest of any entry, or of all if it mixes entries."""
    upstream = run.math.array(np.random.default_rng(0).uniform(0.5, 1.5, (1, *run.shape(fork.reader))))
    least = np.min if fork.kind == ELEMENTWISE else np.max
    return {step: float(least(abs(run.branch(fork, step, upstream)))) for step in run.reader_steps(fork)}


def saturated(derivation: Derivation, sizes: Mapping[str, int], point: Point) -> tuple[str, ...]:
    """The equations with a function that is flat at its argument."""
    with np.errstate(all="ignore"):
        run = at_point(derivation, sizes, _OpenFloats(), point)
        calls = [
            (derivation.graph.stage(fork.reader), fork) for fork in derivation.contributions()
            if fork.kind not in (OUTPUT, START) and isinstance(derivation.graph.stage(fork.reader).expression, Call)
        ]
        flat = [stage.owner for stage, fork in calls if min(_slopes(run, fork).values(), default=1) < FLAT]
    return tuple(dict.fromkeys(flat))


def _smallest(
    forks: Sequence[Contribution], effects: Sequence[Real], largest: float, arithmetic: _Open
) -> list[Contribution]:
    bound = arithmetic.number(arithmetic.nothing) * arithmetic.number(float(largest))
    return [fork for fork, effect in zip(forks, effects) if effect <= bound]


def _effects(
    derivation: Derivation, forks: Sequence[Contribution], sizes: Mapping[str, int], arithmetic: _Open,
    point: Point, direction: Point,
) -> list[Real]:
    """The effect of each contribution on the derivative of the loss along the direction: the largest of all steps."""
    with np.errstate(all="ignore"):  # a point that does not fit is drawn again
        point, direction = (each.converted(arithmetic.array) for each in (point, direction))
        run = at_point(derivation, sizes, arithmetic, point)
        adjoints = Adjoints(run, point.weights, point.final)
        step = arithmetic.number(arithmetic.step)
        ends = (_moved(point, direction, sign * step).converted(arithmetic.array) for sign in (1, -1))
        ahead, behind = (at_point(derivation, sizes, arithmetic, end) for end in ends)

        def effect(fork: Contribution, step_of_reader: int) -> Real:
            read = Value(fork.target, -fork.lag)
            term = adjoints.value(fork.at_reader, step_of_reader)
            moved = ahead.value(read, step_of_reader) - behind.value(read, step_of_reader)
            return abs((term * moved / (2 * step)).sum())

        return [
            max((effect(fork, at) for at in run.reader_steps(fork)), default=arithmetic.number(0)) for fork in forks
        ]


def _moved(point: Point, direction: Point, distance: Real) -> Point:
    """Parameters, inputs, states and targets, moved a little along the direction."""
    def moved(group: str) -> dict[str, np.ndarray]:
        return {name: array + distance * getattr(direction, group)[name] for name, array in getattr(point, group).items()}

    return replace(point, parameters=moved("parameters"), inputs=moved("inputs"), state=moved("state"))


def _agree(
    derivation: Derivation, shorter: Derivation, sizes: Mapping[str, int], digits: _OpenDigits, point: Point
) -> bool:
    """Whether the gradients stay the same if all contributions that are zero one by one are left out together."""
    point = point.converted(digits.array)
    longer, short = (
        Adjoints(at_point(each, sizes, digits, point), point.weights, point.final).gradients()
        for each in (derivation, shorter)
    )
    return all(abs(longer[name] - short[name]).max(initial=0) <= digits.number("1e-50") for name in longer)
