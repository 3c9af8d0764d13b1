"""The proofs: what a derivation and the module made from it are held against.

0. Meaning: the module's forward pass is what the interpreted text of the spec says.
1. Complex step: the module's gradients are the derivatives of its own forward pass.
2. High precision: the derived equations are the derivatives of the interpreted text, in 90 digits.
3. Splitting: one pass over the steps equals two passes that hand on the state and its gradient.
4. Knock-out: without any one branch of any one fork, some gradient comes out different.

None of it shares code with the derivation. A derivation is an object with gradients of forks, a module
whatever was executed; where points are drawn, the seed is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from types import ModuleType

import numpy as np

from .expressions import Adjoint, Call, Expression, Outside, Product, Value, children, walk
from .graph import Graph
from .interpret import DIGITS, Digits, Floats, Interpreter, evaluate
from .shapes import Dim, shape_of

NAMES = ("meaning", "complex step", "high precision", "splitting", "knock-out")
MEANING, COMPLEX_STEP, HIGH_PRECISION, SPLITTING, KNOCK_OUT = range(5)
BOUNDS = (1e-12, 1e-12, 1e-35, 1e-12, 1e-8)  # the last one is to be exceeded

STEPS = 3  # of proofs 2 and 4
BATCH = 2  # of proofs 0, 1 and 3
DRAWS = 20  # points that are tried before one gives up
WIDENED = 4  # how much further away points lie where nearer ones do not take a branch
LARGEST = 1e100  # of a value at a point
COMPLEX = 1e-30  # the complex step
DIFFERENCE = 30  # decimal places of the step of central differences
MOST_WORK = 60_000  # entries times operations per step, up to which every entry is differenced
MOST_ENTRIES = 600  # of a module, up to which every one has its complex step
FEW = 8  # entries of each array that have one otherwise, beside a random direction
MOST_CUTS = 1024  # branches that are cut in one sweep
AVERAGING = {"mean", "layer_norm", "softmax", "logsumexp"}  # of two or three numbers they prove too little


@dataclass(frozen=True)
class Figure:
    """One measured error, or, for a branch that was cut, the largest change it made."""

    proof: int
    what: str
    error: float
    bound: float
    passed: bool

    def told(self) -> str:
        """For the terminal."""
        relation = ">" if self.proof == KNOCK_OUT else "<="
        verdict = "passed" if self.passed else "FAILED"
        return f"{verdict}  {self.error:8.1e} {relation:>2} {self.bound:.0e}  {self.what}"


@dataclass(frozen=True)
class Verdict:
    """All figures, and what they were measured on."""

    figures: tuple[Figure, ...]
    forks: int  # branches that were cut
    entries: int  # differenced in 90 digits
    module_entries: int  # differenced by complex steps
    points: int  # of the high-precision proof: more than one where branches of max or where need it
    redraws: int  # points that were not finite or too ill-conditioned
    sizes: Mapping[str, int]
    module_sizes: Mapping[str, int]
    steps: int
    module_steps: int
    batch: int
    untaken: tuple[str, ...]  # equations with a choice of which no point took both sides

    @property
    def passed(self) -> bool:
        return all(figure.passed for figure in self.figures)

    def worst(self, proof: int) -> Figure | None:
        """The figure that tells most about a proof: one that failed, else the one nearest to its bound."""
        figures = [figure for figure in self.figures if figure.proof == proof]
        side = -1 if proof == KNOCK_OUT else 1
        return max(
            figures,
            key=lambda figure: (not figure.passed, math.isnan(figure.error), side * figure.error),
            default=None,
        )

    def as_json(self) -> dict:
        """For `--json`: nothing but what JSON can hold."""
        told = asdict(self) | {"passed": self.passed}
        for figure in told["figures"]:
            figure["name"] = NAMES[figure["proof"]]
            if not math.isfinite(figure["error"]):
                figure["error"] = None
        return told

    def lines(self, every: bool = False) -> list[str]:
        """One line for each proof, with its worst figure; or with all of them. What failed is always told."""
        told = []
        for proof, name in enumerate(NAMES):
            figures = [figure for figure in self.figures if figure.proof == proof]
            worst = self.worst(proof)
            if worst is None:
                continue
            told.append(f"{proof}  {name:<14}  {worst.told()}  (worst of {len(figures)})")
            more = [figure for figure in figures if every or not (figure.passed or figure is worst)]
            told += [f"{'':<17}  {figure.told()}" for figure in more]
        return [*told, *self.counts()]

    def counts(self) -> list[str]:
        """What the figures were measured on."""
        def listed(sizes: Mapping[str, int]) -> str:
            return ", ".join(f"{symbol} = {size}" for symbol, size in sizes.items())

        told = [
            f"{self.entries} entries in {DIGITS} digits ({listed({**self.sizes, 'T': self.steps})}), "
            f"{self.module_entries} by complex steps "
            f"({listed({**self.module_sizes, 'T': self.module_steps, 'B': self.batch})}), "
            f"{self.forks} branches of forks cut"
        ]
        if self.redraws:
            told.append(f"{self.redraws} points drawn again: not finite, or too ill-conditioned")
        if self.untaken:
            told.append(f"no point took both sides of a choice in {', '.join(self.untaken)}")
        return told


def verify(graph: Graph, derivation, module: ModuleType) -> Verdict:
    """All five proofs."""
    derived = _Derived(graph, derivation)
    built = _Built(graph, module)
    figures = [
        *_guarded(MEANING, built.meaning),
        *_guarded(COMPLEX_STEP, built.complex_step),
        *_guarded(HIGH_PRECISION, derived.high_precision),
        *_guarded(SPLITTING, built.splitting),
        *_guarded(KNOCK_OUT, derived.knock_out),
    ]
    return Verdict(
        figures=tuple(figures),
        forks=len(derived.forks),
        entries=derived.entries,
        module_entries=built.entries,
        points=len(derived.points),
        redraws=derived.redraws + built.redraws,
        sizes=derived.sizes,
        module_sizes=built.sizes,
        steps=STEPS,
        module_steps=built.steps,
        batch=BATCH,
        untaken=derived.untaken,
    )


def high_precision(graph: Graph, derivation) -> tuple[Figure, ...]:
    """Proof 2 alone."""
    return tuple(_guarded(HIGH_PRECISION, _Derived(graph, derivation).high_precision))


def knock_out(graph: Graph, derivation) -> tuple[Figure, ...]:
    """Proof 4 alone: one figure for each branch of each fork."""
    return tuple(_guarded(KNOCK_OUT, _Derived(graph, derivation).knock_out))


def meaning(graph: Graph, module: ModuleType) -> tuple[Figure, ...]:
    """Proof 0 alone."""
    return tuple(_guarded(MEANING, _Built(graph, module).meaning))


def complex_step(graph: Graph, module: ModuleType) -> tuple[Figure, ...]:
    """Proof 1 alone."""
    return tuple(_guarded(COMPLEX_STEP, _Built(graph, module).complex_step))


def splitting(graph: Graph, module: ModuleType) -> tuple[Figure, ...]:
    """Proof 3 alone."""
    return tuple(_guarded(SPLITTING, _Built(graph, module).splitting))


def _guarded(proof: int, prove: Callable[[], Iterator[Figure]]) -> list[Figure]:
    """The figures of a proof; whatever a module or a derivation raises is a proof that failed."""
    figures = []
    with np.errstate(all="ignore"):  # points where something overflows are drawn again
        try:
            figures.extend(prove())
        except Exception as error:  # generated code may raise anything
            told = f"{type(error).__name__}: {error}".splitlines()[0]
            figures.append(Figure(proof, told, math.inf, BOUNDS[proof], False))
    return figures


# ---------------------------------------------------------------- figures


def _figure(proof: int, what: str, found, expected, scale=0.0, least=0.0) -> Figure:
    error = _error(found, expected, scale, least)
    return Figure(proof, what, error, BOUNDS[proof], error <= BOUNDS[proof])


def _exactly(proof: int, what: str, holds: bool) -> Figure:
    """A figure of something that is either so or not."""
    return Figure(proof, what, 0.0 if holds else math.inf, BOUNDS[proof], bool(holds))


def _worst(proof: int, what: str, errors: Iterable[float]) -> Figure:
    """One figure for many errors."""
    worst = max((math.inf if math.isnan(error) else error for error in errors), default=0.0)
    return Figure(proof, what, worst, BOUNDS[proof], worst <= BOUNDS[proof])


def _error(found, expected, scale=0.0, least=0.0) -> float:
    """max|a - b| / max|b|, or / `least` where that is more.

    Both zero, or next to nothing beside `scale`, is no error; what is not a number is one.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return math.inf
    if not (_finite(found) and _finite(expected)):
        return math.nan
    largest = max(_largest(expected), least)
    if largest <= scale and _largest(found) <= scale:
        return 0.0
    return float(_largest(found - expected) / largest) if largest else math.inf


def _largest(array: np.ndarray):
    return max(map(abs, array.flat), default=0) if array.dtype == object else np.abs(array).max(initial=0)


def _finite(array: np.ndarray) -> bool:
    if array.dtype != object:
        return bool(np.isfinite(array).all())
    return all(entry.context.isfinite(entry) for entry in array.flat)


# ---------------------------------------------------------------- points


@dataclass(frozen=True)
class Point:
    """Where a proof looks: arrays as a module takes them, time first, batch second."""

    parameters: Mapping[str, np.ndarray]
    inputs: Mapping[str, np.ndarray]  # and targets
    state: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]  # of each output: the gradient that arrives from outside
    final: Mapping[str, np.ndarray]  # the same for the last state

    def converted(self, convert) -> Point:
        groups = (self.parameters, self.inputs, self.state, self.weights, self.final)
        return Point(*({name: convert(array) for name, array in group.items()} for group in groups))


def _reach(unfit: int, uncovered: int) -> float:
    """How far from 0 to draw: nearer after points where numbers grew too large, further for a rare branch."""
    return 0.5 ** (unfit // 5) * (WIDENED if uncovered >= DRAWS // 2 else 1)


def _draw(graph: Graph, sizes: Mapping[str, int], steps: int, batch: int, random, reach: float = 1) -> Point:
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


def _sizes(graph: Graph, least: int) -> dict[str, int]:
    """A size for each symbol, all different, the cheapest first; 4 at least where an average is taken."""
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
    # sizes such as D + H or a literal 3 should differ from the rest as well, where they can
    return min(fitting, key=lambda sizes: (-len({dim.value(sizes) for dim in dims}), cost(sizes)))


def _distinct(first: Mapping[str, int]) -> dict[str, int]:
    """The smallest sizes that differ, each at least as large as asked."""
    sizes: dict[str, int] = {}
    for symbol, least in first.items():
        sizes[symbol] = next(size for size in range(least, least + len(first)) if size not in sizes.values())
    return sizes


def _averaged(graph: Graph) -> set[str]:
    """The symbols of axes along which an average is taken."""
    found = set()
    for stage in graph.stages:
        for node in walk(stage.expression):
            if isinstance(node, Call) and node.function in AVERAGING:
                last: Dim = shape_of(node.arguments[0], graph.shapes)[-1]
                found.update(symbol for symbol, _ in last.terms)
    return found


def _by_step(inputs: Mapping[str, np.ndarray], steps: int) -> list[dict[str, np.ndarray]]:
    return [{name: array[step] for name, array in inputs.items()} for step in range(steps)]


def _of_one(parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Parameters with the axis of examples in front, for the interpreter."""
    return {name: array[None] for name, array in parameters.items()}


# ---------------------------------------------------------------- the derived equations, evaluated


class _Sweep:
    """Goes through the stages forwards and through the derived gradients backwards, at one point.

    With `cuts` it goes through many copies of the derivation at once, side by side along the axis of
    examples: of each copy one branch is cut. That costs one sweep, not one for each branch.
    """

    def __init__(self, graph: Graph, derivation, sizes: Mapping[str, int], arithmetic: Floats, point: Point):
        self.graph, self.derivation, self.sizes, self.math = graph, derivation, sizes, arithmetic
        self.still = graph.static
        self.last_alone = (
            derivation.loss_stages | {graph.loss} if graph.spec.loss_at == "last" else frozenset()
        )
        self.forks = {id(fork): index for index, fork in enumerate(derivation.contributions())}
        self.point = point.converted(arithmetic.array)
        self.fixed = _of_one(self.point.parameters)
        self.steps = STEPS
        self.values = self._forward()

    # ------------------------------------------------------------------ forward

    def _forward(self) -> list[dict[str, np.ndarray]]:
        starts = dict(self.point.state)
        steps = [starts]
        for arrived in _by_step(self.point.inputs, self.steps):
            steps.append(dict(arrived))
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

    def gradients(
        self, cuts: Mapping[int, Sequence[int]] | None = None, copies: int = 1
    ) -> dict[str, np.ndarray]:
        """The gradient of every parameter, input (copies, time, ...) and initial state, by name."""
        self.cuts, self.copies = cuts or {}, copies
        self.adjoints: list[dict[str, np.ndarray]] = [{} for _ in range(self.steps + 1)]
        self.fixed_adjoints: dict[str, np.ndarray] = {}
        derivation, still = self.derivation, self.still
        moving = [gradient for gradient in derivation.stages if gradient.value not in still]
        fixed = [
            *(gradient for gradient in derivation.stages if gradient.value in still),
            *derivation.parameters,
        ]
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
        environment = _At(
            step, self.values, self.fixed, self.adjoints, self.fixed_adjoints, self.point.weights
        )
        term = self._evaluate(fork.term, environment)
        wanted = self._shape(gradient)
        if term.shape[1:] != wanted:
            raise ValueError(
                f"the gradient at {fork.target} through {fork.reader} is {term.shape[1:]}, not {wanted}"
            )
        rows = self.cuts.get(self.forks[id(fork)])
        if rows:
            term = np.array(np.broadcast_to(term, (self.copies, *wanted)))
            term[list(rows)] = self.math.number(0)
        return term

    def at_last_step(self, expression: Expression) -> np.ndarray:
        """An expression as a reader sees it at the last step, once the gradients are known."""
        last = self.steps
        known = _At(last, self.values, self.fixed, self.adjoints, self.fixed_adjoints, self.point.weights)
        return self._evaluate(expression, known)

    def _zeros(self, gradient) -> np.ndarray:
        return self.math.array(np.full((1, *self._shape(gradient)), self.math.number(0)))

    def _shape(self, gradient) -> tuple[int, ...]:
        return tuple(dim.value(self.sizes) for dim in self.graph.shapes[gradient.value])


class _At(Mapping):
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
                    return (
                        self.fixed_adjoints[name]
                        if name in self.fixed_adjoints
                        else self.adjoints[step][name]
                    )
                case Outside(name=name):
                    if step == 0:
                        raise IndexError
                    return self.weights[name][step - 1]
        except (LookupError, TypeError):
            pass
        raise LookupError(
            f"{type(leaf).__name__.lower()} {leaf.name} of step {step} is read and not known there"
        )

    def __iter__(self):
        raise TypeError("the leaves are not listed")

    def __len__(self):
        raise TypeError("the leaves are not counted")


def _stacked(arrays: list[np.ndarray]) -> np.ndarray:
    """One array for each step -> (copies, time, ...)."""
    return np.stack(np.broadcast_arrays(*arrays), axis=1)


# ---------------------------------------------------------------- proofs of the derivation


class _Derived:
    """Proofs 2 and 4."""

    def __init__(self, graph: Graph, derivation):
        self.graph, self.derivation = graph, derivation
        self.forks = tuple(derivation.contributions())
        self.sizes = _sizes(graph, least=2)
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
            point, branches = self._drawn(_reach(self.redraws, draw - self.redraws))
            if point is None:
                continue
            together = {
                key: tuple(map(max, sides, taken.get(key, (False, False)))) for key, sides in branches.items()
            }
            if together != taken or not self.points:
                taken = together
                self.points.append(point)
        if not self.points:
            raise ArithmeticError(f"the forward pass is not finite at any of {2 * DRAWS} points; "
                                  "'range:' in the spec says where to draw them from")
        missing = (name or "the loss" for (name, _), sides in taken.items() if not all(sides))
        self.untaken = tuple(dict.fromkeys(missing))
        return self.points

    def _drawn(self, reach: float) -> tuple[Point | None, Mapping]:
        """A point where all values are finite, and the branches that it takes."""
        point = _draw(self.graph, self.sizes, STEPS, 1, self.random, reach)
        run = self._plain.run(_of_one(point.parameters), _by_step(point.inputs, STEPS), point.state)
        everything = [array for step in run.steps for array in step.values()]
        if all(np.abs(array).max(initial=0) < LARGEST for array in everything):  # false for what is no number
            return point, run.branches
        self.redraws += 1
        return None, {}

    # ------------------------------------------------------------------ proof 2

    def high_precision(self) -> Iterator[Figure]:
        yield _exactly(
            HIGH_PRECISION, "each term as its reader sees it", all(map(self._same_at_reader, self.forks))
        )
        points = self.points or self._chosen_points()
        worst: dict[str, Figure] = {}
        for number, point in enumerate(points):
            for figure in self._at_point(point, every_entry=number == 0):
                known = worst.get(figure.what)
                if known is None or (known.passed and not figure.error <= known.error):
                    worst[figure.what] = figure
        yield from worst.values()

    def _same_at_reader(self, fork) -> bool:
        """The two forms of a term differ by the time that lies between, and by nothing else."""
        return _same_but_for_time(fork.at_reader, fork.term, fork.lag, self.graph.static)

    def _at_point(self, point: Point, every_entry: bool) -> Iterator[Figure]:
        digits = Digits()
        point = replace(
            point,
            state=point.state
            | {
                state: point.parameters[start.name][None]
                for state, start in self.graph.initial
                if isinstance(start, Value)
            },
        )
        sweep = _Sweep(self.graph, self.derivation, self.sizes, digits, point)
        found = sweep.gradients()
        differences = _Differences(self.graph, self.sizes, digits, sweep.point)
        yield from self._forward_figures(sweep, differences.base)
        yield self._parts(sweep)
        every_entry = every_entry and self._work() <= MOST_WORK
        for name in (*self.graph.parameters, *self.graph.inputs, *self.graph.states):
            if name not in found:
                yield _exactly(HIGH_PRECISION, f"gradient of {self._label(name)}", False)
                continue
            derived, expected = differences.along(name, found[name], every_entry, self.random)
            self.entries += len(expected)
            scale = digits.number("1e-45") * (1 + abs(differences.value))
            yield _figure(HIGH_PRECISION, self._label(name), derived, expected, scale)

    def _forward_figures(self, sweep: _Sweep, run) -> Iterator[Figure]:
        """The graph's stages say what the equations say."""
        for name in run.steps[0]:
            if name in sweep.fixed:
                derived = np.stack([sweep.fixed[name]] * STEPS)
            elif name in sweep.last_alone:
                continue
            else:
                derived = np.stack([step[name] for step in sweep.values[1:]])
            yield _figure(
                HIGH_PRECISION, f"value of {name}", derived, np.stack([step[name] for step in run.steps])
            )

    def _parts(self, sweep: _Sweep) -> Figure:
        """Every term is its reader's immediate derivative times the reader's adjoint."""
        errors = []
        for fork in self.forks:
            if fork.local is not None:
                pair = (fork.at_reader, Product((fork.upstream, fork.local)))
                term, product = (sweep.at_last_step(part) for part in pair)
                if product.ndim > term.ndim:  # a scalar that met a larger value: its copies' gradients add up
                    product = product.reshape(len(product), -1).sum(-1)
                errors.append(_error(term, product))
        return _worst(HIGH_PRECISION, "each term as derivative times adjoint", errors)

    def _label(self, name: str) -> str:
        return f"{name}[0]" if name in self.graph.states else name

    def _work(self) -> int:
        """How much there is to do if every entry is differenced."""
        entries = sum(self._entries(name) for name in (*self.graph.parameters, *self.graph.states))
        entries += STEPS * sum(map(self._entries, self.graph.inputs))
        operations = sum(self._entries(name) for name in self.graph.parameters)
        operations += 4 * sum(
            math.prod(dim.value(self.sizes) for dim in stage.shape) for stage in self.graph.stages
        )
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
            point = points[draw] if draw < len(points) else self._drawn(_reach(self.redraws, draw % 2 * DRAWS))[0]
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
        self.inputs = _by_step(point.inputs, STEPS)
        self.parameters = _of_one(point.parameters)
        learned = {state for state, start in graph.initial if isinstance(start, Value)}
        self.given = {name: array for name, array in point.state.items() if name not in learned}
        self.step = digits.number(f"1e-{DIFFERENCE}")
        self.base = self.interpreter.run(self.parameters, self.inputs, self.given)
        self.value = self._objective(self.base)[0]

    def _objective(self, run) -> np.ndarray:
        """The weighted sum of all that leaves the cell, for each copy."""
        parts = [(self.point.final[name], array) for name, array in run.state.items()]
        for step, outputs in enumerate(run.outputs):
            parts += [
                (self.point.weights[name][step], array)
                for name, array in outputs.items()
                if self.point.weights
            ]
        whole = self.math.array(np.full((1,), self.math.number(0)))
        for weight, array in parts:
            product = weight * array
            whole = whole + product.reshape(len(product), -1).sum(-1)
        return whole if run.loss is None else whole + run.loss

    def along(
        self, name: str, gradient: np.ndarray, every_entry: bool, random
    ) -> tuple[np.ndarray, np.ndarray]:
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
            # A wrong gradient has no part along a random direction with probability nought.
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


# ---------------------------------------------------------------- proofs of the module


@dataclass(frozen=True)
class _Pass:
    """One forward pass of the module."""

    outputs: Mapping[str, np.ndarray]
    state: Mapping[str, np.ndarray]
    loss: np.ndarray | None
    tape: object


class _Built:
    """Proofs 0, 1 and 3. The module is driven as its users drive it, through its own arrays."""

    def __init__(self, graph: Graph, module: ModuleType):
        self.graph, self.module = graph, module
        self.sizes = _sizes(graph, least=3)
        taken = {BATCH} | {dim.value(self.sizes) for shape in graph.shapes.values() for dim in shape}
        self.steps = next(steps for steps in range(STEPS, 100) if steps not in taken)
        self.random = np.random.default_rng(1)
        self.entries = self.redraws = 0
        self._point: Point | None = None

    @property
    def point(self) -> Point:
        """Where the gradient does not depend on last digits, and every branch is taken, if there is such."""
        if self._point is None:
            best = None
            for draw in range(DRAWS):
                reach = _reach(self.redraws, draw - self.redraws)
                point = _draw(self.graph, self.sizes, self.steps, BATCH, self.random, reach)
                unfit = max(0.0, self._spread(point) - 0.1 * BOUNDS[COMPLEX_STEP])
                rank = (unfit, self._untaken(point))
                if best is None or rank < best:
                    best, self._point = rank, point
                if best == (0.0, 0):
                    break
                self.redraws += unfit > 0
        return self._point

    def _untaken(self, point: Point) -> int:
        """Of how many choices the point takes one side alone."""
        interpreter = Interpreter(self.graph.spec, self.sizes, Floats(), leading=1)
        run = interpreter.run(_of_one(point.parameters), _by_step(point.inputs, self.steps), point.state)
        return sum(not all(sides) for sides in run.branches.values())

    def _spread(self, point: Point) -> float:
        """How much the gradient changes if every number changes in its last digits."""

        def nudge(array: np.ndarray) -> np.ndarray:
            return array * (1 + 1e-15 * self.random.choice([-1.0, 1.0], array.shape))

        here, near = (self._gradients(*self._both(each)) for each in (point, point.converted(nudge)))
        scale = self._scale(here)
        errors = [_error(near[name], array, scale) for name, array in here.items()]
        return max((math.inf if math.isnan(error) else error for error in errors), default=0.0)

    # ------------------------------------------------------------------ driving the module

    def _params(self, point: Point) -> dict[str, np.ndarray]:
        """The module's own arrays, filled through its named views: what no view covers stays not a number."""
        sizes = {keyword: self.sizes[symbol] for symbol, keyword in self.graph.dims}
        params = self.module.init_params(**sizes, rng=0, dtype=np.float64)
        for array in params.values():
            array[...] = math.nan
        named = self.module.named(params)
        for name, array in point.parameters.items():
            named[name][...] = array
        return params

    def _forward(
        self, params, inputs: Mapping[str, np.ndarray], state: Mapping[str, np.ndarray] | None
    ) -> _Pass:
        arrays = [inputs[name] for name in (*self.graph.inputs, *self.graph.targets)]
        first, last, tape = self.module.forward(params, *arrays, state=self._state(state))
        loss = None if self.graph.loss is None else first
        y = first if loss is None else tape.y
        return _Pass(self._outputs(y), last._asdict(), loss, tape)

    def _backward(
        self, params, tape, weights: Mapping[str, np.ndarray] | None, final
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

    def _both(self, point: Point, start: bool = True):
        """What `_gradients` needs: the arrays, a pass over them, and the point."""
        params = self._params(point)
        return params, self._forward(params, point.inputs, point.state if start else None), point

    def _gradients(self, params, passed: _Pass, point: Point) -> dict[str, np.ndarray]:
        return self._backward(params, passed.tape, point.weights, point.final)

    def _state(self, state: Mapping[str, np.ndarray] | None):
        return None if state is None else self.module.State(**state)

    def _outputs(self, y) -> dict[str, np.ndarray]:
        names = self.graph.outputs
        return {names[0]: y} if len(names) == 1 else {name: getattr(y, name) for name in names}

    def _dy(self, weights: Mapping[str, np.ndarray] | None):
        if weights is None:
            return None
        names = self.graph.outputs
        return weights[names[0]] if len(names) == 1 else self.module.Outputs(**weights)

    def _scale(self, gradients: Mapping[str, np.ndarray]) -> float:
        """What counts as zero beside these gradients in float64."""
        return 1e-13 * max((float(np.abs(array).max(initial=0)) for array in gradients.values()), default=0.0)

    # ------------------------------------------------------------------ proof 0

    def meaning(self) -> Iterator[Figure]:
        point = self.point
        params = self._params(point)
        yield _exactly(
            MEANING, "named covers every parameter", all(np.isfinite(a).all() for a in params.values())
        )
        digits = Digits()
        interpreter = Interpreter(self.graph.spec, self.sizes, digits, leading=1)
        exact = point.converted(digits.array)
        for start, told in ((True, ""), (False, ", state=None")):
            passed = self._forward(params, point.inputs, point.state if start else None)
            run = interpreter.run(
                _of_one(exact.parameters), _by_step(exact.inputs, self.steps), exact.state if start else {}
            )
            yield from self._compared(passed, run, told)
        yield from self._stepped(params, point)

    def _compared(self, passed: _Pass, run, told: str) -> Iterator[Figure]:
        for name, array in passed.outputs.items():
            expected = np.stack([_floats(step[name], np.shape(array)[1:]) for step in run.outputs])
            yield _figure(MEANING, f"output {name}{told}", array, expected)
        for name, array in passed.state.items():
            yield _figure(MEANING, f"last {name}{told}", array, _floats(run.state[name], np.shape(array)))
        if passed.loss is not None:
            whole = np.broadcast_to(run.loss, BATCH).sum()
            yield _figure(MEANING, f"loss{told}", np.asarray(passed.loss), np.asarray(float(whole)))

    def _stepped(self, params, point: Point) -> Iterator[Figure]:
        """Step by step comes out as all at once."""
        passed = self._forward(params, point.inputs, point.state)
        state, arrived = self._state(point.state), []
        for step in range(self.steps):
            y, state = self.module.step(
                params, *(point.inputs[name][step] for name in self.graph.inputs), state
            )
            arrived.append(self._outputs(y))
        for name, array in passed.outputs.items():
            yield _figure(
                MEANING, f"step by step, {name}", np.stack([outputs[name] for outputs in arrived]), array
            )
        for name, array in passed.state.items():
            yield _figure(MEANING, f"step by step, last {name}", getattr(state, name), array)

    # ------------------------------------------------------------------ proof 1

    def complex_step(self) -> Iterator[Figure]:
        point = self.point
        params, passed, _ = self._both(point)
        kept = [np.array(array) for array in self._arguments(params, point)]
        found = self._gradients(params, passed, point)
        yield from self._differenced(point, found, start=True)
        learned = {start.name for _, start in self.graph.initial if isinstance(start, Value)}
        without = self._gradients(*self._both(point, start=False))
        yield from self._differenced(point, without, start=False, wholly=learned)
        again = self._gradients(params, passed, point)
        same = all(np.array_equal(again[name], array) for name, array in found.items())
        yield _exactly(COMPLEX_STEP, "a second backward gives the same", same)
        untouched = all(map(np.array_equal, kept, self._arguments(params, point)))
        yield _exactly(COMPLEX_STEP, "no argument is written to", untouched)
        yield from self._left_out(params, passed, point, found)
        yield _exactly(COMPLEX_STEP, "float32 stays float32", self._keeps_float32(point))

    def _arguments(self, params, point: Point) -> list[np.ndarray]:
        groups = (params, point.inputs, point.state, point.weights, point.final)
        return [array for group in groups for array in group.values()]

    def _differenced(self, point: Point, found, start: bool, wholly: Iterable[str] = ()) -> Iterator[Figure]:
        """Gradients beside complex steps: entry by entry, or along one direction and few entries."""
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
            return self._objective(passed, point).imag / COMPLEX

        for name, array in arrays.items():
            if np.shape(found.get(name)) != array.shape:
                yield _exactly(COMPLEX_STEP, f"{name} has a gradient of its shape", False)
                continue
            whole = every or name in {f"params[{each}]" for each in wholly}
            directions = list(self._directions(array.shape, whole, FEW if start else 0))
            expected = [self._along(array, direction, derivative) for direction in directions]
            derived = [(direction * found[name]).sum() for direction in directions]
            self.entries += len(expected)
            # along a direction entries may cancel: what counts is how much goes into the sum
            least = 0.0 if whole else max(np.abs(direction * found[name]).sum() for direction in directions)
            told = name if start else f"{name}, state=None"
            yield _figure(COMPLEX_STEP, told, derived, expected, scale, least)

    def _objective(self, passed: _Pass, point: Point):
        """The weighted sum of all that leaves the module."""
        whole = 0.0 if passed.loss is None else passed.loss
        for weights, arrays in ((point.weights, passed.outputs), (point.final, passed.state)):
            whole = whole + sum((weights[name] * arrays[name]).sum() for name in weights)
        return whole

    def _along(self, array: np.ndarray, direction: np.ndarray, derivative) -> float:
        kept = array.copy()
        array += 1j * COMPLEX * direction
        try:
            return derivative()
        finally:
            array[...] = kept

    def _directions(self, shape: tuple[int, ...], every: bool, few: int) -> Iterator[np.ndarray]:
        count = math.prod(shape)
        if every or count == 1:
            chosen = range(count)
        else:
            yield self.random.uniform(-1, 1, shape)
            chosen = self.random.choice(count, size=min(few, count), replace=False)
        for entry in chosen:
            unit = np.zeros(count)
            unit[entry] = 1
            yield unit.reshape(shape)

    def _left_out(self, params, passed: _Pass, point: Point, found) -> Iterator[Figure]:
        """What may be left out counts as zero, and gradients are linear in what arrives."""
        scale = self._scale(found)
        alone = self._backward(params, passed.tape, point.weights, None)
        if self.graph.loss is None:
            rest = self._backward(params, passed.tape, None, point.final)
            together, told = (
                {name: alone[name] + rest[name] for name in found},
                "dy=None and dstate=None add up",
            )
        else:
            twice = self._backward(
                params, passed.tape, None, {name: 2 * array for name, array in point.final.items()}
            )
            together, told = (
                {name: (alone[name] + twice[name]) / 2 for name in found},
                "dstate=None counts as zero",
            )
        yield _worst(COMPLEX_STEP, told, [_error(together[name], array, scale) for name, array in found.items()])

    def _keeps_float32(self, point: Point) -> bool:
        point = point.converted(lambda array: array.astype(np.float32))
        params = {name: array.astype(np.float32) for name, array in self._params(point).items()}
        passed = self._forward(params, point.inputs, point.state)
        found = self._gradients(params, passed, point)
        arrays = (*passed.outputs.values(), *passed.state.values(), *found.values())
        return all(np.asarray(array).dtype == np.float32 for array in arrays)

    # ------------------------------------------------------------------ proof 3

    def splitting(self) -> Iterator[Figure]:
        point = self.point
        params, passed, _ = self._both(point)
        whole = self._gradients(params, passed, point)
        cut = self.steps // 2
        inputs = [
            {name: array[part] for name, array in point.inputs.items()}
            for part in (slice(None, cut), slice(cut, None))
        ]
        weights = [
            {name: array[part] for name, array in point.weights.items()}
            for part in (slice(None, cut), slice(cut, None))
        ]
        early = self._forward(params, inputs[0], point.state)
        late = self._forward(params, inputs[1], early.state)
        after = self._backward(params, late.tape, weights[1], point.final)
        handed_on = {name: after[f"{name}[0]"] for name in self.graph.states}
        before = self._backward(params, early.tape, weights[0], handed_on)
        if self.graph.spec.loss_at == "last" and self.graph.loss is not None:
            # the first part has a last step, and so a loss, of its own: without it, by linearity
            own = self._backward(params, early.tape, weights[0], None)
            before = {name: array - own[name] for name, array in before.items()}
        scale = self._scale(whole)
        for name, array in whole.items():
            if name in self.graph.inputs:
                together = np.concatenate([before[name], after[name]])
            else:
                together = before[name] if name.endswith("[0]") else before[name] + after[name]
            yield _figure(SPLITTING, name, together, array, scale)
        for name, array in passed.state.items():
            yield _figure(SPLITTING, f"last {name}", late.state[name], array)


def _floats(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Digits as floats; a value that is the same for all examples, for each of them."""
    return np.broadcast_to(array, shape).astype(float)
