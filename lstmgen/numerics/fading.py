"""How a gradient vanishes or explodes: what is left of ∂state[t]/∂state[t-k], and along which paths it comes.

The derivative is a total derivative: a change of c[t-1] also reaches c through h[t-1], which depends on it. So the paths
of one step are all paths from the state at t-1 to the state at t in the unrolled graph.

The direct path of a state, the **constant error carousel**, if there is one: along it the state is only multiplied, entry
by entry, by something else (a gate, a constant, a parameter), or chosen by a comparison of other values. On it is no
matrix, no activation, no sum over entries and no choice that the state itself decides, so only those factors can make the
gradient vanish. The gates depend on the state too, but that is on other paths.

Over several steps, the derivatives of one state with respect to itself are not to be multiplied: a change of c also leaves
c through h and comes back later. What is multiplied is the Jacobian of all states together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import prod
from types import ModuleType

import numpy as np

from ..derivation.chain import Contribution, Derivation
from ..derivation.graph import Graph, start_number
from ..language.evaluate import Floats
from ..language.expressions import Call, Expression, Value, product, total, values
from ..printed import counted
from .paths import MATRIX, MOST_LISTED, Factor, Network, Path
from .points import of_one
from .unrolled import Unrolled

LAGS = 100  # how many steps back
SHOWN = (1, 2, 3, 5, 10, 20, 50, 100)  # those that a table shows
WARMING = 10  # steps before those, so that no state is near its start
MOST_ENTRIES = 16  # of one state
MOST_ENTRIES_IN_ALL = 128  # of all states: sizes are chosen so that there are not more, else nothing is measured
MOST_NUMBERS = 2**14  # of one value that are sent back at a time: more needs too much memory
MOST_STATES = 150  # whose paths are looked at: each needs a walk through the whole step
MOST_CURVES = 8  # states that are measured, the first ones: a figure cannot show more
MOST_SEARCHED = 500  # paths, for one to show
EXAMPLES = 8  # sequences of which the median is taken
SEED = 0

_CHOICES = {"identity", "max", "min", "where"}  # calls that pass a value on unchanged, or not at all


@dataclass(frozen=True, repr=False)
class OneStep:
    """∂state[t]/∂state[t-1], path by path. Times are as seen from step t."""

    state: str
    count: int  # of all its paths
    paths: tuple[Path, ...]  # direct ones first, then short ones; if there are many, only the direct ones
    direct: tuple[Path, ...]
    carousel: Expression | None  # the factor of the direct paths, elementwise; None if there are none
    detour: Path | None = None  # a short one of the others: through a matrix, if one of them is short

    @property
    def listed(self) -> bool:
        """Whether `paths` has all paths."""
        return len(self.paths) == self.count

    def __repr__(self) -> str:
        return f"<OneStep of {self.state}: {counted(self.count, 'path')}>"


@dataclass(frozen=True, repr=False)
class Curve:
    """Norms over the lag, from lag 0 on: how large the effect of a change of a state is so many steps later.

    The norm is the largest factor by which a change can grow (the largest singular value); of several sequences the
    median is taken.
    """

    state: str
    every: tuple[float, ...]  # along all paths
    direct: tuple[float, ...] | None  # along the direct path only; None if there is none

    def __repr__(self) -> str:
        return f"<Curve of {self.state}: lags up to {len(self.every) - 1}>"


@dataclass(frozen=True, repr=False)
class Fading:
    """How the gradient of one cell fades."""

    name: str
    title: str
    steps: tuple[OneStep, ...]  # of each state, in the spec's order; of the first MOST_STATES
    curves: tuple[Curve, ...]  # of the first MOST_CURVES; empty if states are too large, or if a norm overflows
    sizes: tuple[tuple[str, int], ...]  # by keyword
    seed: int
    examples: int
    own_parameters: bool = False  # given, and not fresh ones of `init_params`

    @property
    def has_carousel(self) -> bool:
        return any(step.direct for step in self.steps)

    def __repr__(self) -> str:
        return f"<Fading of {self.name}: {counted(len(self.steps), 'state')}>"


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
    carousel = total(*map(_multiplier, direct)) if direct else None
    return OneStep(state, count, paths, direct, carousel, _detour(network, state, direct) if direct else None)


def one_steps(derivation: Derivation) -> tuple[OneStep, ...]:
    """The paths from each state to itself; of the first states alone where there are very many."""
    return tuple(one_step(derivation, state) for state in derivation.graph.states[:MOST_STATES])


def _detour(network: Network, state: str, direct: tuple[Path, ...]) -> Path | None:
    """One path beside the direct ones, as short as a few lines of search find it."""
    others = [path for path in islice(network.paths(state, 1), MOST_SEARCHED) if path not in direct]
    through = [path for path in others if any(factor.kind == MATRIX for factor in path.factors(2))]
    return min(through or others, key=lambda path: len(path.links), default=None)


def _multiplier(path: Path) -> Expression:
    """The factor of a direct path: all its factors are elementwise, and are multiplied together."""
    match path.factors(2):
        case (Factor(kind="diagonal", expression=expression),) if expression is not None:
            return product(expression)
    raise ValueError(f"the path by {path.stages} is not direct")


def carries(fork: Contribution, graph: Graph) -> bool:
    """Whether a branch passes its value on elementwise, multiplied only by something that does not depend on it."""
    stage = graph.stage(fork.reader)
    if fork.local is None or stage.shape != graph.shapes[fork.target] or fork.target in graph.static:
        return False
    if isinstance(stage.expression, Call) and stage.expression.function not in _CHOICES:
        return False
    return Value(fork.target, -fork.lag) not in values(fork.local)


# ---------------------------------------------------------------- measured


class Unmeasurable(ValueError):
    """Sizes or parameters with which nothing can be measured; the text says why."""


def fade(
    derivation: Derivation, module: ModuleType, lags: int = LAGS, seed: int = SEED,
    sizes: Mapping[str, int] | None = None, params: Mapping[str, np.ndarray] | None = None,
) -> Fading:
    """Measure how the gradient fades, with the module's own fresh parameters and unit normal inputs.

    `sizes` sets some sizes, by symbol or keyword; others are chosen. `params` is measured in place of fresh parameters:
    arrays under the keys of `init_params`, or under the spec's names. Raises `Unmeasurable`.
    """
    graph = derivation.graph
    given = None if params is None else _named(graph, module, params)
    chosen = _chosen_sizes(graph, sizes or {}, given)
    keywords = {keyword: chosen[symbol] for symbol, keyword in graph.dims}
    parameters = given or module.named(module.init_params(**keywords, rng=seed, dtype=np.float64))
    return replace(_measured(derivation, chosen, parameters, lags, seed), own_parameters=given is not None)


class _Forwards(Floats):
    """Arithmetic for derivatives of the forward pass, in which nothing is clipped."""

    def clipped(self, gradient: np.ndarray, bound: np.ndarray) -> np.ndarray:
        return gradient


def _measured(
    derivation: Derivation, sizes: Mapping[str, int], parameters: Mapping[str, np.ndarray], lags: int, seed: int
) -> Fading:
    graph = derivation.graph
    inputs = _inputs(graph, sizes, WARMING + lags, np.random.default_rng([seed, 1]))
    with np.errstate(all="ignore"):
        starts = _starts(graph, sizes, parameters)
        run = Unrolled(derivation, sizes, of_one(parameters), inputs, starts, _Forwards())
        steps = one_steps(derivation)
        entries = sum(prod(run.shape(name)) for name in graph.states)
        curves = _curves(run, steps[:MOST_CURVES], lags) if entries <= MOST_ENTRIES_IN_ALL and run.finite(WARMING) else ()
    spec = graph.spec
    keywords = tuple((keyword, sizes[symbol]) for symbol, keyword in graph.dims)
    return Fading(spec.name, spec.title, steps, curves, keywords, seed, EXAMPLES)


def _named(graph: Graph, module: ModuleType, params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters by the spec's names."""
    if not set(graph.parameters) <= set(params):
        try:
            params = module.named({name: np.asarray(array, float) for name, array in params.items()})
        except (KeyError, IndexError, ValueError, AttributeError):
            missing = ", ".join(name for name in graph.parameters if name not in params)
            raise Unmeasurable(f"the parameters have neither the keys of init_params nor {missing}") from None
    return {name: np.asarray(params[name], float) for name in graph.parameters}


def _chosen_sizes(
    graph: Graph, wanted: Mapping[str, int], parameters: Mapping[str, np.ndarray] | None
) -> dict[str, int]:
    """Those that are given, then those that the parameters tell, then small ones."""
    symbols = {name: symbol for symbol, keyword in graph.dims for name in (symbol, keyword)}
    unknown = [name for name in wanted if name not in symbols]
    if unknown:
        raise Unmeasurable(f"there is no size '{unknown[0]}': the sizes are {', '.join(dict(graph.dims))}")
    if any(size < 1 for size in wanted.values()):
        raise Unmeasurable("a size is at least 1")
    told: dict[str, int] = {}
    for name, array in (parameters or {}).items():
        if array.ndim != len(graph.shapes[name]):
            raise Unmeasurable(f"{name} has shape {array.shape}, and needs ({', '.join(map(str, graph.shapes[name]))})")
        told |= {dim.symbol: length for dim, length in zip(graph.shapes[name], array.shape) if dim.symbol}
    sizes = small_sizes(graph) | told | {symbols[name]: size for name, size in wanted.items()}
    for name, array in (parameters or {}).items():
        shape = tuple(dim.value(sizes) for dim in graph.shapes[name])
        if array.shape != shape:
            raise Unmeasurable(f"{name} has shape {array.shape}, and needs {shape}")
    entries = sum(prod(dim.value(sizes) for dim in graph.shapes[name]) for name in graph.states)
    if entries > MOST_ENTRIES_IN_ALL and (wanted or parameters):  # else nothing is measured, and nobody asked
        raise Unmeasurable(f"the states have {entries} numbers, and at most {MOST_ENTRIES_IN_ALL} are measured")
    return sizes


def small_sizes(graph: Graph) -> dict[str, int]:
    """One size for every symbol: the largest power of two for which states are not larger than the limits."""
    size = MOST_ENTRIES
    while size > 1:
        sizes = {symbol: size for symbol, _ in graph.dims}
        entries = [prod(dim.value(sizes) for dim in graph.shapes[name]) for name in graph.states]
        if max(entries) <= MOST_ENTRIES and sum(entries) <= MOST_ENTRIES_IN_ALL:
            break
        size //= 2
    return {symbol: size for symbol, _ in graph.dims}


def _inputs(
    graph: Graph, sizes: Mapping[str, int], steps: int, random: np.random.Generator
) -> Sequence[Mapping[str, np.ndarray]]:
    """Unit normal inputs; uniform over its range, if an input has one in the spec."""
    ranges = {item.name: (float(item.low), float(item.high)) for item in graph.spec.ranges}

    def draw(name: str) -> np.ndarray:
        shape = (EXAMPLES, *(dim.value(sizes) for dim in graph.shapes[name]))
        if name in ranges:
            low, high = ranges[name]
            return random.uniform(low, high, shape)
        return random.standard_normal(shape)

    return [{name: draw(name) for name in (*graph.inputs, *graph.targets)} for _ in range(steps)]


def _starts(graph: Graph, sizes: Mapping[str, int], parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The initial states that are used if none are given."""
    starts = {}
    for state, start in graph.initial:
        shape = tuple(dim.value(sizes) for dim in graph.shapes[state])
        filled = parameters[start.name] if isinstance(start, Value) else np.full(shape, start_number(start))
        starts[state] = np.broadcast_to(filled, (EXAMPLES, *shape))
    return starts


def _curves(run: Unrolled, steps: Sequence[OneStep], lags: int) -> tuple[Curve, ...]:
    every = _all_norms(run, lags)
    return tuple(
        Curve(step.state, every[step.state],
              None if step.carousel is None else _direct_norms(run, step.state, step.carousel, lags))
        for step in steps
    )


def _direct_norms(run: Unrolled, state: str, carousel: Expression, lags: int) -> tuple[float, ...]:
    """Norms along the direct path, where the derivative is diagonal: a product of one factor for each step."""
    so_far = np.ones((run.rows, *run.shape(state)))
    norms = [1.0]
    for at in range(run.steps, run.steps - lags, -1):
        factor = run.value(carousel, at)  # it may be one number for all entries
        so_far = so_far * factor.reshape(factor.shape + (1,) * (so_far.ndim - factor.ndim))
        norms.append(float(np.median(np.abs(so_far).reshape(run.rows, -1).max(axis=1))))
    return tuple(norms)


def _all_norms(run: Unrolled, lags: int) -> dict[str, tuple[float, ...]]:
    """Norms along all paths, by state: norms of a product of Jacobians of all states together.

    Only states go from step to step, so one step back is a matrix with a row and a column for every entry of every state.
    The last factor belongs to the step of the columns: it covers values that depend on the state within its own step, as
    h depends on c.
    """
    places = _places(run)
    so_far = np.eye(sum(prod(run.shape(name)) for name in places))
    reached: dict[str, list[np.ndarray]] = {name: [] for name in places}
    for over, within in _jacobians(run, lags, len(so_far)):
        whole = so_far @ within
        for name, own in places.items():
            reached[name].append(whole[:, own, own])
        so_far = so_far @ over
    return {name: _norms(np.stack(blocks)) for name, blocks in reached.items()}


def _places(run: Unrolled) -> dict[str, slice]:
    """Where the entries of each state are among those of all states."""
    places, start = {}, 0
    for name in run.graph.states:
        end = start + prod(run.shape(name))
        places[name] = slice(start, end)
        start = end
    return places


def _jacobians(run: Unrolled, lags: int, entries: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """∂states[t]/∂states[t-1] through the branches over time, and ∂states[t]/∂states[t] through those within the step.

    For each step, from the last one backwards: (examples, entries, entries)."""
    largest = max(prod(run.shape(stage.name)) for stage in run.graph.stages)
    at_once = max(1, MOST_NUMBERS // (run.rows * entries * largest))
    steps = range(run.steps, run.steps - lags - 1, -1)
    for first in range(0, len(steps), at_once):
        yield from zip(*_sent_back(run, steps[first : first + at_once], entries))


def _sent_back(run: Unrolled, steps: Sequence[int], entries: int) -> tuple[np.ndarray, np.ndarray]:
    """Both matrices of `_jacobians` for some steps: every entry of every state is sent back as if it were the loss."""
    many, derivation, places = run.side_by_side(steps, entries), run.derivation, _places(run)
    arrived: dict[str, np.ndarray] = {}

    def at(name: str, lag: int) -> list[np.ndarray]:
        return [
            many.branch(fork, 1, arrived[fork.reader])
            for fork in derivation.adjoints[name].forks if fork.lag == lag and fork.reader in arrived
        ]

    for gradient in derivation.stages:
        name = gradient.value
        if name in run.graph.static:
            continue
        terms = at(name, 0)
        if name in places:
            own = np.eye(entries)[:, places[name]].reshape(entries, *run.shape(name))
            terms.append(np.tile(own, (many.rows // entries,) + (1,) * (own.ndim - 1)))
        if terms:
            arrived[name] = sum(terms[1:], terms[0])

    def matrices(columns: Sequence[np.ndarray]) -> np.ndarray:
        flat = np.concatenate([column.reshape(many.rows, -1) for column in columns], axis=1)
        return flat.reshape(len(steps), run.rows, entries, entries)

    nothing = {name: np.zeros((many.rows, *run.shape(name))) for name in places}
    over = matrices([sum(at(name, 1), nothing[name]) for name in places])
    return over, matrices([arrived[name] for name in places])


def _norms(jacobians: np.ndarray) -> tuple[float, ...]:
    """For each lag, the median over examples of the largest singular value. Takes (lags, examples, entries, entries)."""
    finite = np.isfinite(jacobians).all(axis=(1, 2, 3))
    largest = np.full(jacobians.shape[:2], np.nan)
    largest[finite] = np.linalg.svd(jacobians[finite], compute_uv=False)[..., 0]
    return tuple(np.median(largest, axis=1).tolist())
