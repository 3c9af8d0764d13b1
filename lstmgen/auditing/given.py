"""What a backward pass is given, in numbers, and the scene of a cell that these numbers set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np

from ..derivation.chain import Derivation, Key
from ..derivation.graph import Graph
from ..language.evaluate import Leaf
from ..language.expressions import Adjoint, Expression
from .forms import FARTHEST
from .scene import Edit, Scene, Setting

STEPS, BATCH = 4, 2
ZERO_STATES, NO_DSTATE = "zero", "dstate"  # what of it may stay unread


@dataclass(frozen=True)
class Data:
    """What a backward pass is given; time first, batch second."""

    params: Mapping[str, np.ndarray]
    inputs: Mapping[str, np.ndarray]  # and targets
    state: Mapping[str, np.ndarray]
    dy: Mapping[str, np.ndarray]
    dstate: Mapping[str, np.ndarray]

    @property
    def steps(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def batch(self) -> int:
        return int(next(iter(self.inputs.values())).shape[1])

    def first(self, steps: int) -> Data:
        """The same with fewer steps."""
        return Data(
            self.params,
            {name: array[:steps] for name, array in self.inputs.items()},
            self.state,
            {name: _shortened(array, steps) for name, array in self.dy.items()},
            self.dstate,
        )


def _shortened(dy: np.ndarray, steps: int) -> np.ndarray:
    """What arrives over fewer steps: a gradient that arrives at the last step alone still does."""
    if np.any(dy[:-1]):
        return dy[:steps]
    return np.concatenate([dy[: steps - 1], dy[-1:]])[:steps]


@dataclass(frozen=True)
class Change:
    """What is done differently in a backward pass, or in the forward pass before it."""

    edits: Mapping[Key, Edit] = field(default_factory=dict)  # by the key of the branch
    without: tuple[str, ...] = ()  # arguments that are not read
    equations: Mapping[str, Expression] = field(default_factory=dict)  # of the forward pass, by the name of the stage
    reach: int | None = None  # over how many steps the error of a step goes back

    def and_then(self, other: Change) -> Change | None:
        """Both; None where both change the same."""
        if self.edits.keys() & other.edits.keys() or self.equations.keys() & other.equations.keys():
            return None
        reach = other.reach if self.reach is None else self.reach
        equations = {**self.equations, **other.equations}
        return Change({**self.edits, **other.edits}, (*self.without, *other.without), equations, reach)


FINAL = "final "  # before a state: the gradient that arrives at its last step from outside


class Given(Scene):
    """A scene of data that are given, with what is done differently."""

    def __init__(self, derivation: Derivation, sizes: Mapping[str, int], data: Data, change: Change | None = None):
        self.data, self.change = data, change or Change()
        self._read_by: dict[str, set[str]] = {}  # what a value reads
        for fork in derivation.contributions():
            self._read_by.setdefault(fork.reader, set()).add(fork.target)
        super().__init__(derivation, Setting(data.steps, data.batch, sizes))

    def changed(self, change: Change) -> Given:
        """The same data with something done differently. The forward pass is kept where it is the same."""
        if change.without or change.equations:
            return Given(self.derivation, self.sizes, self.data, change)
        other = copy(self)
        other.change, other.edits, other.sums = change, change.edits, {}
        other.__dict__.pop("largest", None)
        if self.change == Change() and not self.derivation.loss_stages:
            other._backward(self.adjoints, self._reached({key[0] for key in change.edits}))
        else:
            other._backward()
        return other

    def _reached(self, targets: Collection[str]) -> set[str]:
        """The values whose adjoints depend on those of some values."""
        found: set[str] = set()
        todo = list(targets)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self._read_by.get(name, ())
        return found

    def from_step(self, step: int, edits: Mapping[Key, Edit]) -> Given:
        """What one step alone sends back: its `dy`, and of the last one `dstate`."""
        other = copy(self)
        other.edits, other.sums = edits, {}
        other.__dict__.pop("largest", None)
        other.weights = {key: array if key[1] == step else 0 * array for key, array in self.weights.items()}
        other.final = self.final if step == self.steps else {}
        other._backward()
        return other

    def leaf(self, leaf: Leaf, step: int) -> np.ndarray:
        """A value or a gradient of one step; and what arrives at a final state."""
        if isinstance(leaf, Adjoint) and leaf.name.startswith(FINAL):
            name = leaf.name.removeprefix(FINAL)
            return self.final[name] if step == self.steps and name in self.final else self.zeros(name)
        return super().leaf(leaf, step)

    def _draw_until_finite(self) -> None:
        """The data are what they are: drawing them again does not help. What is not finite shows in the gradients."""
        self._draw(0)
        self.redraws = 0
        with np.errstate(all="ignore"):
            self._forward()

    def _computed(self) -> Derivation:
        equations, graph = self.change.equations, self.graph
        stages = tuple(replace(stage, expression=equations.get(stage.name, stage.expression)) for stage in graph.stages)
        return replace(self.derivation, graph=replace(graph, stages=stages)) if equations else self.derivation

    def _draw(self, reach: float) -> None:
        data, graph, batch = self.data, self.graph, self.data.batch
        self.edits = self.change.edits
        self.fixed = {
            name: np.broadcast_to(array, (batch, *array.shape)) for name, array in data.params.items()
        }
        still = ZERO_STATES in self.change.without
        self.values = {0: {name: 0 * array if still else array for name, array in data.state.items()}}
        for step in range(1, self.steps + FARTHEST + 1):
            at = min(step, self.steps) - 1
            self.values[step] = {name: data.inputs[name][at] for name in (*graph.inputs, *graph.targets)}
        self.weights = {
            (name, step + 1): array[step] for name, array in data.dy.items() for step in range(self.steps)
        }
        self.final = {} if NO_DSTATE in self.change.without else dict(data.dstate)


def draw(graph: Graph, sizes: Mapping[str, int]) -> Data:
    """Random data: nothing is zero, so that nothing can be forgotten unseen."""
    random = np.random.default_rng(0)
    ranges = {item.name: (float(item.low), float(item.high)) for item in graph.spec.ranges}

    def drawn(name: str, *lead: int) -> np.ndarray:
        shape = (*lead, *(dim.value(sizes) for dim in graph.shapes[name]))
        return np.asarray(random.uniform(*ranges.get(name, (-1.0, 1.0)), shape))

    def weights(name: str, *lead: int) -> np.ndarray:
        shape = (*lead, *(dim.value(sizes) for dim in graph.shapes[name]))
        return np.asarray(random.uniform(0.5, 1.5, shape) * random.choice([-1.0, 1.0], shape))

    return Data(
        params={name: drawn(name) for name in graph.parameters},
        inputs={name: drawn(name, STEPS, BATCH) for name in (*graph.inputs, *graph.targets)},
        state={name: drawn(name, BATCH) for name in graph.states},
        dy={name: weights(name, STEPS, BATCH) for name in graph.outputs} if graph.loss is None else {},
        dstate={name: weights(name, BATCH) for name in graph.states},
    )
