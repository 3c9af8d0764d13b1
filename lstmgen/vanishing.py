"""Branches on which nothing arrives, wherever one looks. They are not printed.

The entries of a softmax add up to one and those of a layer norm to nought, whatever they are made of: who
divides a softmax by its sum, or subtracts the mean of a layer norm, adds branches that no gradient
needs. Algebra over several stages can cancel in other ways. No rule for one stage sees that; numbers do.

What a branch does for the gradient along some direction is its term times the change of its value in that
direction. At a random point, in many digits, that is zero for such a branch and for no other. It is zero
as well where a choice is closed, as in `relu` of a negative number, and where a function is saturated, as
`sigmoid` of 1000. So that nothing is taken for zero that is not, every choice here lets a share of both
sides through, and points where a function is saturated are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from .chain import ELEMENTWISE, OUTPUT, START, Contribution, Derivation, without
from .expressions import Call
from .interpret import Digits, Floats
from .points import DRAWS, STEPS, Point, choose_sizes, draw_point
from .sweep import Sweep

FLAT = 1e-10  # a derivative as small as that: what lies behind it is lost in the digits


class _Open:
    """Arithmetic in which no choice is closed; and how far differences reach in it."""

    step: str  # of a difference
    nothing: str  # of the largest effect: what differences cannot tell from zero

    def select(self, relation: str, left, right, chosen, other):
        ahead = left - right if relation in (">", ">=") else right - left
        far = self.divide(ahead, self.number(1) + abs(ahead))
        share = (self.number(1) + far) * self.number("0.5")
        return share * chosen + (self.number(1) - share) * other

    def floor(self, array):
        """Between two whole numbers floor is constant, and often nought; here it is neither."""
        return self.number("0.37") * array + self.number("0.21")


class _OpenFloats(_Open, Floats):
    step, nothing = "1e-6", "1e-7"


class _OpenDigits(_Open, Digits):
    step, nothing = "1e-30", "1e-50"

    def __init__(self):
        super().__init__()
        del self.floor  # of Digits, which would hide the one above


def without_vanishing(derivation: Derivation) -> Derivation:
    """The derivation without the branches that change no gradient anywhere."""
    forks = [fork for fork in derivation.contributions() if fork.kind not in (OUTPUT, START)]
    sizes = choose_sizes(derivation.graph, least=2)
    random = np.random.default_rng(0)
    for unfit in range(DRAWS):
        point, direction = (draw_point(derivation.graph, sizes, STEPS, 1, random, 0.5**unfit) for _ in range(2))
        if saturated(derivation, sizes, point):
            continue
        floats = _effects(derivation, forks, sizes, _OpenFloats(), point, direction)
        if np.isfinite(floats).all():
            break
    else:
        return derivation
    suspects = _smallest(forks, floats, max(floats), _OpenFloats())
    if not suspects:
        return derivation
    digits = _OpenDigits()
    effects = _effects(derivation, suspects, sizes, digits, point, direction)
    shorter = without(derivation, _smallest(suspects, effects, max(floats), digits))
    return shorter if _agree(derivation, shorter, sizes, digits, point) else derivation


def saturated(derivation: Derivation, sizes: Mapping[str, int], point: Point) -> tuple[str, ...]:
    """The functions that hardly answer to what they are of: at some entry, or, if they mix entries, at any.

    Told are the equations that they belong to.
    """
    random, found = np.random.default_rng(0), {}
    with np.errstate(all="ignore"):
        sweep = Sweep(derivation.graph, derivation, sizes, _OpenFloats(), point)
        for fork in derivation.contributions():
            stage = derivation.graph.stage(fork.reader)
            if fork.kind not in (OUTPUT, START) and isinstance(stage.expression, Call):
                upstream = random.uniform(0.5, 1.5, (1, *(dim.value(sizes) for dim in stage.shape)))
                least = np.min if fork.kind == ELEMENTWISE else np.max
                if any(least(abs(array)) < FLAT for array in sweep.sent_back(fork, upstream)):
                    found[stage.owner] = None
    return tuple(found)


def _smallest(forks: Sequence[Contribution], effects: Sequence, largest: float, arithmetic: _Open) -> list[Contribution]:
    bound = arithmetic.number(arithmetic.nothing) * arithmetic.number(float(largest))
    return [fork for fork, effect in zip(forks, effects) if effect <= bound]


def _effects(
    derivation: Derivation, forks: Sequence[Contribution], sizes: Mapping[str, int], arithmetic: _Open,
    point: Point, direction: Point,
) -> list:
    """What each branch does for the derivative of the loss along the direction: the most at any step."""
    with np.errstate(all="ignore"):  # a point that does not fit is drawn again
        sweep = Sweep(derivation.graph, derivation, sizes, arithmetic, point)
        sweep.gradients()
        step = arithmetic.number(arithmetic.step)
        ahead, behind = (
            Sweep(derivation.graph, derivation, sizes, arithmetic, _moved(point, direction, arithmetic, sign * step))
            for sign in (1, -1)
        )
        return [
            max(
                (abs((term * (there - here) / (2 * step)).sum())
                 for term, there, here in zip(sweep.terms(fork), ahead.read(fork), behind.read(fork))),
                default=arithmetic.number(0),
            )
            for fork in forks
        ]


def _moved(point: Point, direction: Point, arithmetic: Floats, distance) -> Point:
    """Parameters, inputs and states a little further along; targets too, of which nobody asks a gradient."""
    def moved(group: str) -> dict[str, np.ndarray]:
        start, way = (each.converted(arithmetic.array) for each in (point, direction))
        return {name: array + distance * getattr(way, group)[name] for name, array in getattr(start, group).items()}

    return replace(point, parameters=moved("parameters"), inputs=moved("inputs"), state=moved("state"))


def _agree(derivation: Derivation, shorter: Derivation, sizes, digits: _OpenDigits, point: Point) -> bool:
    """Whether the gradients are the same without what each branch by itself does not change."""
    longer, short = (Sweep(each.graph, each, sizes, digits, point).gradients() for each in (derivation, shorter))
    return all(abs(longer[name] - short[name]).max(initial=0) <= digits.number("1e-50") for name in longer)
