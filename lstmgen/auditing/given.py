"""What a backward pass is given, in numbers, and the scene of a cell that these numbers set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..derivation.chain import Derivation, Key
from ..derivation.graph import Graph
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
            {name: array[:steps] for name, array in self.dy.items()},
            self.dstate,
        )


class Given(Scene):
    """A scene of data that are given, less what stays unread."""

    def __init__(
        self,
        derivation: Derivation,
        sizes: Mapping[str, int],
        data: Data,
        edits: Mapping[Key, Edit] | None = None,
        without: str = "",
    ):
        self.data, self.without, self._edits = data, without, edits or {}
        super().__init__(derivation, Setting(data.steps, data.batch, sizes))

    def _draw(self, reach: float) -> None:
        data, graph, batch = self.data, self.graph, self.data.batch
        self.edits = self._edits
        self.fixed = {
            name: np.broadcast_to(array, (batch, *array.shape)) for name, array in data.params.items()
        }
        start = {
            name: 0 * array if self.without == ZERO_STATES else array for name, array in data.state.items()
        }
        self.values = {0: start}
        for step in range(1, self.steps + FARTHEST + 1):
            at = min(step, self.steps) - 1
            self.values[step] = {name: data.inputs[name][at] for name in (*graph.inputs, *graph.targets)}
        self.weights = {
            (name, step + 1): array[step] for name, array in data.dy.items() for step in range(self.steps)
        }
        self.final = {} if self.without == NO_DSTATE else dict(data.dstate)


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
