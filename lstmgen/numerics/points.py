"""Points, at which proofs compare numbers: sizes that all differ, and numbers drawn with a fixed seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ..derivation.graph import Graph
from ..language.expressions import Call, walk
from ..language.shapes import Dim, shape_of

STEPS = 3  # in the proofs of a derivation; the proofs of a module take at least as many
BATCH = 2
DRAWS = 20  # points that are tried at most
WIDENED = 4  # how much further from 0 points are drawn if nearer ones do not take one side of a choice
AVERAGING = {"mean", "layer_norm", "softmax", "logsumexp"}  # with two or three entries an average makes the check degenerate


@dataclass(frozen=True)
class Point:
    """A point of a proof: arrays as a module takes them, time first, batch second."""

    parameters: Mapping[str, np.ndarray]
    inputs: Mapping[str, np.ndarray]  # and targets
    state: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]  # of each output: the gradient that arrives from outside
    final: Mapping[str, np.ndarray]  # the same for the last state

    def converted(self, convert: Callable[[np.ndarray], np.ndarray]) -> Point:
        groups = (self.parameters, self.inputs, self.state, self.weights, self.final)
        return Point(*({name: convert(array) for name, array in group.items()} for group in groups))


def reach_after(unfit: int, uncovered: int) -> float:
    """How far from 0 to draw: less after points where numbers grew too large, more for a side that is rarely taken."""
    return 0.5 ** (unfit // 5) * (WIDENED if uncovered >= DRAWS // 2 else 1)


def draw_point(
    graph: Graph, sizes: Mapping[str, int], steps: int, batch: int, random: np.random.Generator, reach: float
) -> Point:
    """Draw every number from its `range:`, else from -reach to reach. Weights are not near 0."""
    ranges = {item.name: (float(item.low), float(item.high)) for item in graph.spec.ranges}

    def shape(name: str) -> tuple[int, ...]:
        return tuple(dim.value(sizes) for dim in graph.shapes[name])

    def draw(name: str, *lead: int) -> np.ndarray:
        low, high = ranges.get(name, (-reach, reach))
        return np.asarray(random.uniform(low, high, (*lead, *shape(name))))

    def weigh(name: str, *lead: int) -> np.ndarray:
        full = (*lead, *shape(name))
        return np.asarray(random.uniform(0.5, 1.5, full) * random.choice([-1.0, 1.0], full))

    return Point(
        parameters={name: draw(name) for name in graph.parameters},
        inputs={name: draw(name, steps, batch) for name in (*graph.inputs, *graph.targets)},
        state={name: draw(name, batch) for name in graph.states},
        weights={name: weigh(name, steps, batch) for name in graph.outputs} if graph.loss is None else {},
        final={name: weigh(name, batch) for name in graph.states},
    )


def choose_sizes(graph: Graph, least: int) -> dict[str, int]:
    """A size for each symbol, all different and small; at least 4 if an average is taken over it."""
    symbols = [symbol for symbol, _ in graph.dims]
    averaged = _averaged(graph)
    dims = sorted({dim for shape in graph.shapes.values() for dim in shape}, key=str)
    first = {symbol: max(least, 4) if symbol in averaged else least for symbol in symbols}

    def cost(sizes: Mapping[str, int]) -> int:
        return sum(math.prod(dim.value(sizes) for dim in graph.shapes[name]) for name in graph.parameters)

    candidates = range(least, least + len(symbols) + 3)
    if len(symbols) > 4:
        return _distinct(first)
    every = (dict(zip(symbols, chosen)) for chosen in permutations(candidates, len(symbols)))
    fitting = [sizes for sizes in every if all(sizes[symbol] >= first[symbol] for symbol in symbols)]
    # sizes such as D + H or a literal 3 should differ from the others too, if possible
    return min(fitting, key=lambda sizes: (-len({dim.value(sizes) for dim in dims}), cost(sizes)))


def _distinct(first: Mapping[str, int]) -> dict[str, int]:
    """The smallest sizes that all differ, each at least as large as its minimum."""
    sizes: dict[str, int] = {}
    for symbol, least in first.items():
        sizes[symbol] = next(size for size in range(least, least + len(first)) if size not in sizes.values())
    return sizes


def _averaged(graph: Graph) -> set[str]:
    """The symbols of axes along which an average is taken."""
    found: set[str] = set()
    for stage in graph.stages:
        for node in walk(stage.expression):
            if isinstance(node, Call) and node.function in AVERAGING:
                last: Dim = shape_of(node.arguments[0], graph.shapes)[-1]
                found.update(last.symbols)
    return found


def by_step(inputs: Mapping[str, np.ndarray], steps: int) -> list[dict[str, np.ndarray]]:
    return [{name: array[step] for name, array in inputs.items()} for step in range(steps)]


def of_one(parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Parameters with the axis of examples in front, of length 1, for the interpreter."""
    return {name: array[None] for name, array in parameters.items()}
