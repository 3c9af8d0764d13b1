"""The derivative of one value by another, in numbers."""

from __future__ import annotations

import numpy as np

from ..derivation.chain import OUTPUT, START, Contribution
from ..language.evaluate import Leaf
from ..language.expressions import Adjoint
from .forms import named_stages, step_of
from .scene import Scene


class Jacobian:
    """Sends unit gradients back from one value through the forks."""

    def __init__(self, scene: Scene, above: str, late: int, immediate: bool):
        """From value `above` at step `late`; `immediate`: through nothing that has a name of its own."""
        self.scene, self.above, self.late, self.immediate = scene, above, late, immediate
        self.shape = scene.size(above)
        self.count = count = int(np.prod(self.shape, initial=1))
        unit = np.eye(count).reshape(1, count, *self.shape)
        seed = np.broadcast_to(unit, (scene.points, count, *self.shape))
        # what arrives at a value and step, (points * count, *shape of the value)
        self.sent = {(above, late): scene.math.array(seed.reshape(scene.points * count, *self.shape))}

    def by(self, below: str, early: int) -> np.ndarray:
        """(points, *shape of the one, *shape of the other)."""
        scene = self.scene
        wanted, top = (below, early), (self.above, self.late)
        if wanted != top:
            self._sweep(below, early)
        found = self.sent.get(wanted)
        own = scene.size(below)
        if found is None or (below in scene.graph.static and wanted == top):
            found = scene.math.array(np.zeros((scene.points * self.count, *own)))
        return found.reshape(scene.points, *self.shape, *own)

    def _sweep(self, below: str, early: int) -> None:
        """Send back from step to step. A static value gets a contribution from each step, and their sum."""
        derivation, graph = self.scene.derivation, self.scene.graph
        order = (*derivation.stages, *derivation.inputs, *derivation.parameters)
        static, shares = below in graph.static, []
        first = 0 if static and not self.immediate else self.late if static else early
        for step in range(self.late, first - 1, -1):
            for gradient in order:
                name, key = gradient.value, (gradient.value, step)
                asked = name == below and (static or step == early)
                if key == (self.above, self.late) or not (asked or self._passes(name)):
                    continue
                if step == 0 and not asked and name not in graph.states:
                    continue  # of step 0 nothing was computed: its states are given
                arrays = [self._through(fork, step) for fork in gradient.forks if self._is_way(fork, step)]
                if arrays:
                    self.sent[key] = sum(arrays[1:], arrays[0])
                    if asked and static:
                        shares.append(self.sent[key])
        if shares:
            self.sent[below, early] = sum(shares[1:], shares[0])

    def _is_way(self, fork: Contribution, step: int) -> bool:
        """Whether something comes back to a value of this step through a branch."""
        if fork.kind == OUTPUT or (fork.kind == START) != (step == 0 and not fork.lag):
            return False
        return (fork.reader, step + fork.lag) in self.sent and (fork.reader == self.above or self._passes(fork.reader))

    def _passes(self, name: str) -> bool:
        """Whether a gradient goes on from this stage: from one without a name of its own, or from any."""
        if not self.immediate:
            return True
        graph = self.scene.graph
        stage = graph.find(name)
        if stage is None or name == self.above:
            return False
        return name not in named_stages(graph) or stage.owner == self.above

    def _through(self, fork: Contribution, step: int) -> np.ndarray:
        """What a branch sends back to a value at this step."""
        scene = self.scene
        term = scene.run.evaluated(fork.term, _Sent(self, step))
        shape = scene.size(fork.target)
        if term.ndim == 1 and shape:
            term = term.reshape(-1, *(1,) * len(shape))
        return np.broadcast_to(term, (scene.points * self.count, *shape))


class _Sent:
    """The leaves of a term while unit gradients are sent back."""

    def __init__(self, jacobian: Jacobian, step: int):
        self.jacobian, self.step = jacobian, step

    def __getitem__(self, leaf: Leaf) -> np.ndarray:
        scene, count = self.jacobian.scene, self.jacobian.count
        step = step_of(leaf.lag, self.step)
        if isinstance(leaf, Adjoint):
            return self.jacobian.sent[leaf.name, step]
        return np.repeat(scene.leaf(leaf, step), count, axis=0)
