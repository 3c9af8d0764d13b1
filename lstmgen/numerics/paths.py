"""Every path of a gradient over T steps.

A **path** is one choice of a branch at every fork. It leads from a value, from reader to reader, to a place where a
gradient arrives from outside: an output of any step, or the loss of one. If a stage reads a value twice, in a matrix
product and elementwise, there are two branches and so two paths. Nothing arrives at the final state, as in
`backward(params, tape, dy)`. A path of a parameter belongs to the step at which the parameter is read.

The number of paths is a product of choices: 22,650 over five steps for the matrix of a gate of a peephole LSTM.
Backpropagation does not follow them one by one, because the sums at the forks handle all of them at once. Here the same
sums count them exactly, and they are written out if they are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..derivation.chain import OUTPUT, START, Contribution, Derivation, Gradient, later
from ..derivation.condensed import flattened
from ..language.expressions import ONE, Adjoint, Call, Expression, Outside, Value, product, transform
from ..printed import Brief
from .points import DRAWS, by_step, choose_sizes, draw_point, of_one, reach_after
from .unrolled import Adjoints, ByStep, Unrolled

MOST_LISTED = 20  # paths of one step
MOST_CHECKED = 50_000  # paths that are computed one by one to compare their sum with the gradient
CLOSE = 1e-10  # how close to the gradient their sum must be, in float64

DIAGONAL = "diagonal"  # elementwise: multiplies by the expression
MATRIX = "matrix"  # multiplies by the matrix
OPERATION = "operation"  # along an axis, or from a scalar to an array: a stage's own derivative


Ways = dict[tuple[str, int], np.ndarray]  # by value and step; a row for each path


@dataclass(frozen=True)
class Link:
    """One branch of a path, and the step of the value that it starts from."""

    fork: Contribution
    step: int  # of the value; 0 is the initial state

    @property
    def reader_step(self) -> int:
        return self.step + self.fork.lag


@dataclass(frozen=True)
class Factor:
    """One factor of a path's derivative: the derivative of a reader with respect to a value."""

    kind: str  # one of the three above
    expression: Expression | None  # None for an operation
    reader: Value  # of which it is the derivative; the farthest, if several are joined
    value: Value  # with respect to which; the nearest, if several are joined


@dataclass(frozen=True, repr=False)
class Path(Brief):
    """One path from a value to where a gradient arrives from outside, or to another value."""

    links: tuple[Link, ...]  # from the value outwards
    static: frozenset[str]  # static values
    loss: str | None = None  # the stage that holds the loss, if the path ends there

    @property
    def step(self) -> int:
        """The step at which it begins: that of the value; of a static value, that of the first reader."""
        return self.links[0].step

    @property
    def ends(self) -> tuple[str, int]:
        """The output, loss or value at its end, and its step."""
        last = self.links[-1]
        return last.fork.reader, last.reader_step

    @property
    def stages(self) -> tuple[tuple[str, int], ...]:
        """The stages on it, with steps, from the first reader to its end."""
        passed = [(link.fork.reader, link.reader_step) for link in self.links if link.fork.kind != OUTPUT]
        return tuple(passed) or (self.ends,)

    @property
    def term(self) -> Expression:
        """What arrives at the value along this path, with all factors written out. Times are as seen from its step."""
        name, step = self.ends
        lag = step - self.step
        if self.links[-1].fork.kind == OUTPUT:
            expression: Expression = Outside(name, lag)
        else:
            expression = ONE if name == self.loss else Adjoint(name, 0 if name in self.static else lag)
        for link in reversed(self.links):
            if link.fork.kind not in (OUTPUT, START):
                expression = self._through(link, expression)
        return expression

    def _through(self, link: Link, upstream: Expression) -> Expression:
        """What a branch sends back if `upstream` arrives at its reader."""
        lag = link.reader_step - self.step
        seen = later(link.fork.at_reader, lag, self.static)
        reader = Adjoint(link.fork.reader, 0 if link.fork.reader in self.static else lag)
        return flattened(transform(seen, lambda node: upstream if node == reader else None))

    def factors(self, step: int) -> tuple[Factor, ...]:
        """The derivative of the end with respect to the value, as a product of matrices from left to right.

        Elementwise neighbours are joined. From right to left it is the order of the forward pass. Times are as seen from
        `step`.
        """
        found: list[Factor] = []
        for link in reversed(self.links):
            if link.fork.kind in (OUTPUT, START):
                continue
            factor = self._factor(link, step)
            before = found[-1] if found else None
            if before is not None and before.kind == factor.kind == DIAGONAL and before.expression and factor.expression:
                joint = product(before.expression, factor.expression)
                found[-1] = Factor(DIAGONAL, joint, before.reader, factor.value)
            else:
                found.append(factor)
        return tuple(found)

    def _factor(self, link: Link, step: int) -> Factor:
        fork, lag = link.fork, link.reader_step - step
        reader, value = self._value(fork.reader, lag), self._value(fork.target, link.step - step)
        if _is_passed(fork):
            return Factor(DIAGONAL, ONE, reader, value)
        if fork.matrix is not None:
            return Factor(MATRIX, later(fork.matrix, lag, self.static), reader, value)
        if fork.local is not None and not _is_summed(fork):
            return Factor(DIAGONAL, later(fork.local, lag, self.static), reader, value)
        return Factor(OPERATION, None, reader, value)

    def _value(self, name: str, lag: int) -> Value:
        return Value(name, 0 if name in self.static else lag)


def _is_passed(fork: Contribution) -> bool:
    """Whether the reader is its argument, whose gradient is clipped: forwards, nothing is."""
    return isinstance(fork.at_reader, Call) and fork.at_reader.function == "Clip"


def _is_summed(fork: Contribution) -> bool:
    """Whether a scalar is combined with an array: then its derivative is not diagonal."""
    return isinstance(fork.at_reader, Call) and fork.at_reader.function == "sum"


# ---------------------------------------------------------------- the unrolled graph


class Network:
    """The forks of a derivation, unrolled over T steps, to follow paths from values to readers."""

    def __init__(
        self,
        derivation: Derivation,
        steps: int,
        to: tuple[str, int] | None = None,
        keep: Callable[[Contribution], bool] = lambda fork: True,
    ):
        """Paths lead to where gradients arrive from outside, or to the value `to` at a step.

        Only branches that `keep` accepts are followed.
        """
        self.derivation, self.graph, self.steps, self.to = derivation, derivation.graph, steps, to
        self.keep = keep
        self.gradients = derivation.adjoints
        self.loss = self.graph.loss if to is None else None

    def links(self, name: str, step: int) -> Iterator[Link]:
        """The branches of a value. A static value keeps the step for which it is read."""
        if (name, step) == self.to or name not in self.gradients:
            return
        for fork in self.gradients[name].forks:
            if self.keep(fork) and self._open(fork, step):
                yield Link(fork, step)

    def _open(self, fork: Contribution, step: int) -> bool:
        if fork.kind == START:
            return step == 0
        if fork.kind == OUTPUT:
            return self.to is None and step >= 1
        if fork.target in self.graph.static and fork.reader in self.graph.static:
            return True
        reader_step = step + fork.lag
        if self.to is not None:
            return reader_step <= self.to[1]
        return self.derivation.exists(fork.reader, reader_step, self.steps)

    def is_end(self, link: Link) -> bool:
        """Whether a path ends with this branch."""
        fork = link.fork
        return fork.kind == OUTPUT or fork.reader == self.loss or (fork.reader, link.reader_step) == self.to

    def count(self, name: str, step: int) -> int:
        """How many paths begin at a value. Counted by sums; no path is followed."""
        return self._counts.get((name, step), 0)

    @cached_property
    def _counts(self) -> dict[tuple[str, int], int]:
        found: dict[tuple[str, int], int] = {}
        for name, step in self.in_order():
            found[name, step] = sum(
                1 if self.is_end(link) else found.get((link.fork.reader, link.reader_step), 0)
                for link in self.links(name, step)
            )
        return found

    def in_order(self) -> Iterator[tuple[str, int]]:
        """Every value at every step, readers before the values that they read."""
        still = self.graph.static
        moving = [g.value for g in (*self.derivation.stages, *self.derivation.inputs) if g.value not in still]
        fixed = [g.value for g in self.derivation.stages if g.value in still] + list(self.graph.parameters)
        first = 0 if self.to is None else self.to[1] - 1
        last = self.steps if self.to is None else self.to[1]
        for step in range(last, first - 1, -1):
            yield from ((name, step) for name in moving)
        for step in range(last, first - 1, -1):
            yield from ((name, step) for name in fixed)

    def paths(self, name: str, step: int) -> Iterator[Path]:
        """The paths that begin at a value, in the order of its forks."""
        ahead: list[tuple[Link, ...]] = [(link,) for link in self.links(name, step)]
        ahead.reverse()
        while ahead:
            links = ahead.pop()
            last = links[-1]
            if self.is_end(last):
                yield Path(links, self.graph.static, self.loss)
            elif self.count(last.fork.reader, last.reader_step):
                onward = self.links(last.fork.reader, last.reader_step)
                ahead += [(*links, link) for link in onward][::-1]


# ---------------------------------------------------------------- a parameter's gradient


@dataclass(frozen=True)
class Step:
    """What one step adds to a gradient, and along how many paths."""

    step: int  # 0: for a learned initial state, and for static readers
    terms: tuple[Expression, ...]  # the contributions to the value itself, as seen from the step
    count: int  # of paths
    paths: tuple[Path, ...]  # all of them; empty if there are too many to list


@dataclass(frozen=True, repr=False)
class UnrolledGradient(Brief):
    """A gradient over T steps, written out."""

    value: str
    steps: int
    lines: tuple[Step, ...]  # from the first step on, without steps that add nothing
    static: frozenset[str]

    @cached_property
    def count(self) -> int:
        """The number of all paths of all steps."""
        return sum(line.count for line in self.lines)


def unroll(derivation: Derivation, name: str, steps: int, most: int = MOST_LISTED) -> UnrolledGradient:
    """The gradient of a parameter over T steps; of anything else, that of its first step."""
    network, gradient = Network(derivation, steps), derivation.adjoints[name]
    first = (0, *range(1, steps + 1)) if name in derivation.graph.static else (1,)
    lines = [_line(network, gradient, step, most) for step in first]
    found = tuple(line for line in lines if line.count)
    return UnrolledGradient(name, steps, found, derivation.graph.static)


def _line(network: Network, gradient: Gradient, step: int, most: int) -> Step:
    static, name = network.graph.static, gradient.value
    terms = tuple(
        later(link.fork.at_reader, link.fork.lag, static)
        for link in network.links(name, step)
        if network.is_end(link) or network.count(link.fork.reader, link.reader_step)
    )
    count = network.count(name, step)
    return Step(step, terms, count, tuple(network.paths(name, step)) if count <= most else ())


# ---------------------------------------------------------------- the check


@dataclass(frozen=True)
class Checked:
    """The sum over the paths, compared with the gradient."""

    paths: int  # how many were computed
    error: float  # the largest difference, in parts of the gradient's largest entry

    @property
    def passed(self) -> bool:
        return self.error <= CLOSE


def check(derivation: Derivation, unrolled: UnrolledGradient, seed: int = 0) -> Checked | None:
    """Compute every path at a random point and add them up; None if there are too many."""
    if unrolled.count > MOST_CHECKED:
        return None
    run, outside = random_run(derivation, unrolled.steps, seed)
    adjoints, name = Adjoints(run, outside), unrolled.value
    expected = adjoints.totals[name] if name in unrolled.static else adjoints.by_step[1][name]
    arrived = along_all(run, outside, Network(derivation, unrolled.steps))
    rows = [arrived[name, line.step] for line in unrolled.lines]
    counts = [len(each) for each in rows]
    assert counts == [line.count for line in unrolled.lines], f"{counts} paths walked, others counted"
    scale = np.abs(expected).max(initial=0) or 1.0
    errors = [sum(each.sum(axis=0) for each in rows) - expected[0]] if rows else [expected[0]]
    for line, each in zip(unrolled.lines, rows):  # the expressions that are printed must be the numbers that were added
        told = [run.value(path.term, line.step, outside) for path in line.paths]
        errors += [one - row for one, row in zip(told, each)]
    return Checked(sum(counts), float(max(np.abs(error).max(initial=0) for error in errors) / scale))


def along_all(run: Unrolled, outside: ByStep, network: Network) -> Ways:
    """What arrives at every value along every path, a row for each path: products, without sums."""
    arrived: Ways = {}
    for name, step in network.in_order():
        rows = []
        for link in network.links(name, step):
            fork, reader = link.fork, (link.fork.reader, link.reader_step)
            if fork.kind == OUTPUT:
                rows.append(outside[fork.reader][step - 1])
            elif fork.kind == START:
                rows.append(arrived[reader])
            elif network.is_end(link):
                rows.append(run.branch(fork, link.reader_step, None))
            elif len(arrived.get(reader, ())):
                rows.append(run.branch(fork, link.reader_step, arrived[reader]))
        arrived[name, step] = np.concatenate(rows) if rows else np.zeros((0, *run.shape(name)))
    return arrived


def random_run(derivation: Derivation, steps: int, seed: int = 0) -> tuple[Unrolled, ByStep]:
    """A cell at a random point where everything is finite, and the gradients from outside."""
    graph = derivation.graph
    sizes, random = choose_sizes(graph, least=2), np.random.default_rng(seed)
    starts = {state: start.name for state, start in graph.initial if isinstance(start, Value)}
    for draw in range(DRAWS):
        point = draw_point(graph, sizes, steps, 1, random, reach_after(draw, 0))
        state = {
            name: point.parameters[starts[name]][None] if name in starts else array
            for name, array in point.state.items()
        }
        with np.errstate(all="ignore"):
            run = Unrolled(derivation, sizes, of_one(point.parameters), by_step(point.inputs, steps), state)
        if run.finite():
            return run, {name: list(array) for name, array in point.weights.items()}
    raise ArithmeticError(f"the forward pass of {graph.spec.name} is not finite at any of {DRAWS} points")
