"""How a gradient fades: what is left of ∂state[t]/∂state[t-k], and by which paths it comes.

The derivative is the total one, as everywhere in a derivation: a change of c[t-1] reaches c also by way
of h[t-1], which is made of it. So the paths of one step are all that lead from the state at t-1 to the
state at t in the unrolled graph.

The **carousel** of a state, if it has one, is its direct path: along it the state is only ever
multiplied, entry by entry, by something that it is not itself (a gate, a constant, a number that is
learned), or chosen by max, min or where. It meets no matrix, no activation and no sum over entries, so
nothing but those factors can make the gradient fade there. What the gates owe to the state comes by other
paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import ModuleType

import numpy as np

from .chain import ELEMENTWISE, Contribution, Derivation
from .expressions import Call, Expression, Value, product, total, values
from .graph import Graph
from .paths import MOST_LISTED, Network, Path
from .points import of_one
from .unrolled import Unrolled

LAGS = 100  # steps that are looked back
SHOWN = (1, 2, 3, 5, 10, 20, 50, 100)  # of them, in a table
WARMING = 10  # steps before those, so that no state is at its start
MOST_ENTRIES = 16  # of a state: sizes are chosen so that none has more
MOST_CURVES = 8  # states that are measured, the first ones: as many as one figure can tell apart
EXAMPLES = 8  # sequences of which the median is taken
SEED = 0

_CHOICES = {"identity", "max", "min", "where"}  # calls that hand a value on as it is, or not at all


@dataclass(frozen=True)
class OneStep:
    """∂state[t]/∂state[t-1], path by path. Times in it are as seen from step t."""

    state: str
    count: int  # of all its paths
    paths: tuple[Path, ...]  # the direct ones first, then short ones; where they are many, the direct alone
    direct: tuple[Path, ...]
    carousel: Expression | None  # what these multiply by, entry by entry; None where there are none

    @property
    def listed(self) -> bool:
        """Whether all paths are there."""
        return len(self.paths) == self.count


@dataclass(frozen=True)
class Curve:
    """Norms over the lag, from lag 0 on: how much a change of a state is worth so many steps later.

    The norm is the largest factor by which any change can grow (the largest singular value), and of
    several sequences the median.
    """

    state: str
    every: tuple[float, ...]  # along all paths
    direct: tuple[float, ...] | None  # along the direct one alone; None where there is none


@dataclass(frozen=True)
class Fading:
    """How the gradient of one cell fades."""

    name: str
    title: str
    steps: tuple[OneStep, ...]  # of each state, in the spec's order
    curves: tuple[Curve, ...]  # of the first MOST_CURVES of them; none where the forward pass grows beyond all numbers
    sizes: tuple[tuple[str, int], ...]  # by keyword
    seed: int
    examples: int

    @property
    def has_carousel(self) -> bool:
        return any(step.direct for step in self.steps)


# ---------------------------------------------------------------- the paths of one step


def one_step(derivation: Derivation, state: str, most: int = MOST_LISTED) -> OneStep:
    """The paths from a state to itself, one step later."""
    graph, end = derivation.graph, (state, 2)
    network = Network(derivation, 2, to=end)
    direct = tuple(Network(derivation, 2, end, lambda fork: carries(fork, graph)).paths(state, 1))
    count = network.count(state, 1)
    direct = tuple(sorted(direct, key=lambda path: len(path.links)))
    paths = direct
    if count <= most:
        others = (path for path in network.paths(state, 1) if path not in direct)
        paths += tuple(sorted(others, key=lambda path: len(path.links)))
    factors = [product(*(factor.expression for factor in path.factors(2))) for path in direct]
    return OneStep(state, count, paths, direct, total(*factors) if direct else None)


def carries(fork: Contribution, graph: Graph) -> bool:
    """Whether a branch hands its value on, entry by entry, multiplied by something that it is not itself."""
    stage = graph.stage(fork.reader)
    if fork.kind != ELEMENTWISE or stage.shape != graph.shapes[fork.target] or fork.target in graph.static:
        return False
    if isinstance(stage.expression, Call):
        return stage.expression.function in _CHOICES
    return Value(fork.target, -fork.lag) not in values(fork.local)


# ---------------------------------------------------------------- measured


def fade(derivation: Derivation, module: ModuleType, lags: int = LAGS, seed: int = SEED) -> Fading:
    """Measure how the gradient fades, with the module's own fresh parameters and unit normal inputs."""
    graph = derivation.graph
    sizes = small_sizes(graph)
    keywords = {keyword: sizes[symbol] for symbol, keyword in graph.dims}
    parameters = module.named(module.init_params(**keywords, rng=seed, dtype=np.float64))
    inputs = _inputs(graph, sizes, WARMING + lags, np.random.default_rng([seed, 1]))
    with np.errstate(all="ignore"):
        run = Unrolled(derivation, sizes, of_one(parameters), inputs, _starts(graph, sizes, parameters))
        steps = tuple(one_step(derivation, state) for state in graph.states)
        curves = tuple(_curve(run, step, lags) for step in steps[:MOST_CURVES]) if run.finite() else ()
    spec = graph.spec
    return Fading(spec.name, spec.title, steps, curves, tuple(keywords.items()), seed, EXAMPLES)


def small_sizes(graph: Graph) -> dict[str, int]:
    """One size for every symbol, a power of two, such that no state has more than so many entries."""
    size = MOST_ENTRIES
    while size > 1:
        sizes = {symbol: size for symbol, _ in graph.dims}
        entries = (prod(dim.value(sizes) for dim in graph.shapes[name]) for name in graph.states)
        if max(entries) <= MOST_ENTRIES:
            break
        size //= 2
    return {symbol: size for symbol, _ in graph.dims}


def _inputs(graph: Graph, sizes: Mapping[str, int], steps: int, random) -> Sequence[Mapping[str, np.ndarray]]:
    """Unit normal; where the spec says where to draw an input from, evenly from there."""
    ranges = {item.name: (float(item.low), float(item.high)) for item in graph.spec.ranges}

    def draw(name: str) -> np.ndarray:
        shape = (EXAMPLES, *(dim.value(sizes) for dim in graph.shapes[name]))
        return random.uniform(*ranges[name], shape) if name in ranges else random.standard_normal(shape)

    return [{name: draw(name) for name in (*graph.inputs, *graph.targets)} for _ in range(steps)]


def _starts(graph: Graph, sizes: Mapping[str, int], parameters) -> dict[str, np.ndarray]:
    """The initial states where none are given."""
    starts = {}
    for state, start in graph.initial:
        shape = tuple(dim.value(sizes) for dim in graph.shapes[state])
        filled = parameters[start.name] if isinstance(start, Value) else np.full(shape, float(start.value))
        starts[state] = np.broadcast_to(filled, (EXAMPLES, *shape))
    return starts


def _curve(run: Unrolled, step: OneStep, lags: int) -> Curve:
    direct = None if step.carousel is None else tuple(_direct_norms(run, step, lags))
    return Curve(step.state, tuple(_all_norms(run, step.state, lags)), direct)


def _direct_norms(run: Unrolled, step: OneStep, lags: int) -> list[float]:
    """Along the direct path the derivative is diagonal: a product of the factors of the steps between."""
    so_far = np.ones((run.rows, *run.shape(step.state)))
    norms = [1.0]
    for at in range(run.steps, run.steps - lags, -1):
        factor = run.value(step.carousel, at)  # of a matrix's every entry one number, say
        so_far = so_far * factor.reshape(factor.shape + (1,) * (so_far.ndim - factor.ndim))
        norms.append(float(np.median(np.abs(so_far).reshape(run.rows, -1).max(axis=1))))
    return norms


def _all_norms(run: Unrolled, state: str, lags: int) -> list[float]:
    """Along all paths: every entry of the last state is sent back as if it were the loss."""
    shape = run.shape(state)
    entries = prod(shape)
    rows, end = run.repeated(entries), (state, run.steps)
    network = Network(run.derivation, run.steps, to=end)
    arrived = {end: np.tile(np.eye(entries), (run.rows, 1)).reshape(-1, *shape)}
    moving = [gradient.value for gradient in run.derivation.stages if gradient.value not in run.graph.static]
    norms = []
    for step in range(run.steps, run.steps - lags - 1, -1):
        for name in moving:
            terms = [
                rows.branch(link.fork, link.reader_step, arrived[link.fork.reader, link.reader_step])
                for link in network.links(name, step)
                if (link.fork.reader, link.reader_step) in arrived
            ]
            if terms:
                arrived[name, step] = sum(terms)
        norms.append(_norm(arrived.get((state, step)), run.rows, entries))
        arrived = {key: array for key, array in arrived.items() if key[1] == step}
    return norms


def _norm(rows: np.ndarray | None, examples: int, entries: int) -> float:
    """The median of the largest singular values."""
    if rows is None:
        return 0.0
    jacobians = rows.reshape(examples, entries, entries)
    if not np.isfinite(jacobians).all():
        return float("nan")
    return float(np.median(np.linalg.svd(jacobians, compute_uv=False)[:, 0]))
