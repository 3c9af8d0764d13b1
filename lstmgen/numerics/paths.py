"""Every way that a gradient takes, over T steps.

A **path** is one choice at each fork: it leads from a value outwards, from reader to reader, to where a
gradient arrives from outside, which is an output of any step or the loss of one. Two paths differ where
they go through different branches, so a stage that reads a value twice, once in a matrix product and once
entry by entry, makes two. The final state is held to receive nothing from outside, as in `backward(params,
tape, dy)`: what it would receive is the business of whoever hands it over. A path of a parameter belongs to
the step at which the parameter is read.

Backpropagation never walks them one by one: there are as many as choices multiply to, 22,650 over five
steps for a gate's matrix of a peephole LSTM, and the sums at the forks handle all of them at once. So they
are counted by the same sums, exactly, and written out where they are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..derivation.chain import OUTPUT, START, Contribution, Derivation, Gradient, later
from ..language.expressions import (
    ONE, Adjoint, Call, Expression, Negative, Outside, Product, Value, children, negative, product, rebuild,
    transform,
)
from .points import DRAWS, by_step, choose_sizes, draw_point, of_one, reach_after
from .unrolled import Adjoints, ByStep, Unrolled

MOST_LISTED = 20  # paths of one step
MOST_CHECKED = 50_000  # paths that are multiplied out one by one to be held against the gradient
CLOSE = 1e-10  # how near to the gradient their sum has to be, in float64

DIAGONAL = "diagonal"  # entry by entry: multiplies by the expression
MATRIX = "matrix"  # multiplies by the matrix
OPERATION = "operation"  # along an axis, or from a scalar to an array: a stage's own derivative


Ways = dict[tuple[str, int], np.ndarray]  # by value and step, a row for each path


@dataclass(frozen=True)
class Link:
    """One branch of a path, at the step of the value that it leaves."""

    fork: Contribution
    step: int  # of the value; 0 is the initial state

    @property
    def reader_step(self) -> int:
        return self.step + self.fork.lag


@dataclass(frozen=True)
class Factor:
    """One factor of a path's derivative: what a reader's value changes by when the value read does."""

    kind: str  # one of the three above
    expression: Expression | None  # None for an operation
    reader: Value  # whose derivative it is; the farthest, where several are joined
    value: Value  # with respect to which; the nearest


@dataclass(frozen=True)
class Path:
    """One way from a value to where a gradient arrives from outside, or to another value."""

    links: tuple[Link, ...]  # from the value outwards
    static: frozenset[str]  # values that no step changes
    loss: str | None = None  # the stage that holds the loss, if the path ends there

    @property
    def step(self) -> int:
        """At which it begins: that of the value, or of the first reader of what stands still."""
        return self.links[0].step

    @property
    def ends(self) -> tuple[str, int]:
        """The output, loss or value at its far end, and the step of that."""
        last = self.links[-1]
        return last.fork.reader, last.reader_step

    @property
    def stages(self) -> tuple[tuple[str, int], ...]:
        """What it passes, with steps, from the value's first reader to its far end."""
        passed = [(link.fork.reader, link.reader_step) for link in self.links if link.fork.kind != OUTPUT]
        return tuple(passed) or (self.ends,)

    @property
    def term(self) -> Expression:
        """What arrives at the value along this path, all factors written out; times count from its step."""
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
        """What a branch sends back, with what arrives at its reader put in."""
        lag = link.reader_step - self.step
        seen = later(link.fork.at_reader, lag, self.static)
        reader = Adjoint(link.fork.reader, 0 if link.fork.reader in self.static else lag)
        return flattened(transform(seen, lambda node: upstream if node == reader else None))

    def factors(self, step: int) -> tuple[Factor, ...]:
        """The derivative of the far end with respect to the value, as a product of matrices, left to right.

        Neighbours that act entry by entry are joined to one. Read from the right, it is the way forward.
        Times are as seen from `step`.
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
        if fork.matrix is not None:
            return Factor(MATRIX, later(fork.matrix, lag, self.static), reader, value)
        if fork.local is not None and not _is_summed(fork):
            return Factor(DIAGONAL, later(fork.local, lag, self.static), reader, value)
        return Factor(OPERATION, None, reader, value)

    def _value(self, name: str, lag: int) -> Value:
        return Value(name, 0 if name in self.static else lag)


def _is_summed(fork: Contribution) -> bool:
    """Whether a scalar met an array: its copies' gradients add up, and its derivative is no diagonal."""
    return isinstance(fork.at_reader, Call) and fork.at_reader.function == "sum"


def flattened(expression: Expression) -> Expression:
    """With products within products opened."""
    parts = tuple(flattened(part) for part in children(expression))
    if isinstance(expression, Product):
        return product(*parts)
    if isinstance(expression, Negative):
        return negative(*parts)
    return rebuild(expression, parts) if parts else expression


# ---------------------------------------------------------------- the unrolled graph


class Network:
    """The forks of a derivation, unrolled over T steps, for those who follow them from value to reader."""

    def __init__(
        self,
        derivation: Derivation,
        steps: int,
        to: tuple[str, int] | None = None,
        keep: Callable[[Contribution], bool] = lambda fork: True,
    ):
        """Paths lead to where gradients arrive from outside, or to the value `to` at a step.

        Only branches that `keep` accepts are gone along.
        """
        self.derivation, self.graph, self.steps, self.to = derivation, derivation.graph, steps, to
        self.keep = keep
        self.gradients = derivation.adjoints
        self.loss = self.graph.loss if to is None else None

    def links(self, name: str, step: int) -> Iterator[Link]:
        """The branches of a value's fork. Something that stands still keeps the step that it is read for."""
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
        """How many paths begin at a value. Sums of sums: no path is walked."""
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
        """Every value at every step, readers before what they read."""
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
    """What one step adds to a gradient, and by how many ways it comes there."""

    step: int  # 0: a learned initial state, and what stands still and reads another
    terms: tuple[Expression, ...]  # the branches of the value's own fork, as seen from the step
    count: int  # of paths
    paths: tuple[Path, ...]  # all of them; none where they are more than are listed


@dataclass(frozen=True)
class UnrolledGradient:
    """A gradient over T steps, written out."""

    value: str
    steps: int
    lines: tuple[Step, ...]  # from the first step on; steps that add nothing are left out
    static: frozenset[str]

    @cached_property
    def count(self) -> int:
        """Of all paths of all steps."""
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
    """The sum over the paths held against the gradient."""

    paths: int  # how many were multiplied out
    error: float  # the largest difference, in parts of the gradient's largest entry

    @property
    def passed(self) -> bool:
        return self.error <= CLOSE


def check(derivation: Derivation, unrolled: UnrolledGradient, seed: int = 0) -> Checked | None:
    """Multiply out every path at a random point and add them up; None where they are too many."""
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
    for line, each in zip(unrolled.lines, rows):  # and what is printed is what was added
        told = [run.value(path.term, line.step, outside) for path in line.paths]
        errors += [one - row for one, row in zip(told, each)]
    return Checked(sum(counts), float(max(np.abs(error).max(initial=0) for error in errors) / scale))


def along_all(run: Unrolled, outside: ByStep, network: Network) -> Ways:
    """What arrives at every value along every path, a row for each path: products of factors, no sums."""
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
    """A cell at a random point where all is finite, and what reaches its outputs from outside."""
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
