"""Somebody's gradients and ours for the same data: which agree, as they are and after our backward pass was changed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..derivation.chain import Derivation, Key
from ..language.expressions import Adjoint
from .foreign import ForeignError
from .given import Change, Data, Given
from .layouts import laid_out
from .scene import Edit

BOUND = 1e-7  # relative, in float64
FLOAT32 = 1e-3  # if their numbers are of single precision

NOT_SUMMED = {
    "first": "the first step only: overwritten, not added up, over the steps (= for +=)",
    "last": "the last step only: overwritten, not added up, over the steps (= for +=)",
    "not first": "every step but the first: its contribution is missing",
    "not last": "every step but the last: its contribution is missing",
}
"""What may be left of the sum over the steps, in a gradient that is otherwise right."""


class Held:
    """Their gradients beside ours for one set of data."""

    def __init__(
        self, derivation: Derivation, sizes: Mapping[str, int], data: Data, theirs: Mapping[str, np.ndarray], single: bool
    ):
        """`theirs` are by our names; `single`: their numbers are of single precision."""
        self.derivation, self.graph, self.data = derivation, derivation.graph, data
        self.bound = FLOAT32 if single else BOUND
        self.theirs = dict(theirs)
        with np.errstate(all="ignore"):  # huge numbers overflow
            self.scene = Given(derivation, sizes, data)
        self.ours = self.gradients(Change())
        self.theirs, self.notes = laid_out(self.theirs, self.ours, self.alike)
        for name, array in self.ours.items():
            if not np.isfinite(array).all():
                raise ForeignError(f"the true gradient of {name} is not finite at these numbers: nothing can be compared")
        self.differing = [name for name in self.theirs if not self.agrees(self.ours, name)]
        self.comparable = [name for name in self.differing
                           if self.theirs[name].shape == self.ours[name].shape and np.isfinite(self.theirs[name]).all()]

    # ------------------------------------------------------------------ ours

    @np.errstate(all="ignore")  # altered terms divide by zero
    def gradients(self, change: Change) -> dict[str, np.ndarray]:
        """Our gradients in the shapes of theirs, after a change."""
        if change.reach is not None:
            steps = range(1, self.data.steps + 1)
            parts = [self._read(self.scene.from_step(step, self._cut_off(change, step))) for step in steps]
            return {name: sum((part[name] for part in parts[1:]), parts[0][name]) for name in self.theirs}
        return self._read(self._scene(change))

    def _scene(self, change: Change) -> Given:
        return self.scene if change == Change() else self.scene.changed(change)

    def _cut_off(self, change: Change, step: int) -> dict[Key, Edit]:
        """The changes of a step whose error goes back so many steps only."""
        before = frozenset(range(max(step - (change.reach or 0), 0)))
        edits = {fork.key: Edit(at=before) for fork in self.derivation.contributions() if fork.lag}
        for key, edit in change.edits.items():
            edits[key] = Edit(edit.instead, edit.cut, edit.at | (before if key in edits else frozenset()))
        return edits

    def _read(self, scene: Given) -> dict[str, np.ndarray]:
        found = {}
        for name, array in self.theirs.items():
            if name in self.graph.static:
                found[name] = scene.total(name).sum(axis=0)
            elif name in self.graph.states and array.ndim == len(self.graph.shapes[name]) + 1:
                found[name] = scene.leaf(Adjoint(name), 0)
            else:
                found[name] = np.stack([scene.leaf(Adjoint(name), step) for step in range(1, scene.steps + 1)])
        return found

    # ------------------------------------------------------------------ beside theirs

    @np.errstate(all="ignore")
    def explained(self, change: Change) -> dict[str, str | None]:
        """How each gradient that can be compared agrees after a change: "", by some steps alone; None: it does not."""
        scene = self._scene(change) if change.reach is None else None
        ours = self.gradients(change) if scene is None else self._read(scene)
        return {name: "" if self.agrees(ours, name) else self._partly(scene, name) for name in self.theirs
                if name not in self.differing or name in self.comparable}

    def _partly(self, scene: Given | None, name: str) -> str | None:
        """Of which steps alone the gradient of a parameter is theirs."""
        if scene is None or name not in self.graph.parameters or scene.steps < 2:
            return None
        steps = [scene.leaf(Adjoint(name), step).sum(axis=0) for step in range(scene.steps + 1)]
        whole = sum(steps[1:], steps[0])
        for how, part in zip(NOT_SUMMED, (steps[1], steps[-1], whole - steps[1], whole - steps[-1])):
            if self.alike(part, self.theirs[name]) and np.any(part):
                return how
        return None

    def agrees(self, ours: Mapping[str, np.ndarray], name: str) -> bool:
        """Whether one gradient of theirs is this one of ours."""
        return self.alike(ours[name], self.theirs[name])

    def alike(self, true: np.ndarray, said: np.ndarray) -> bool:
        """Whether two arrays are the same, but for rounding."""
        return self.off(true, said) <= self.bound

    @np.errstate(all="ignore")  # their numbers may be infinite
    def off(self, true: np.ndarray, said: np.ndarray) -> float:
        """The largest difference beside the largest entry; infinite where it cannot be said."""
        if true.shape != said.shape or not np.isfinite(said).all() or not np.isfinite(true).all():
            return np.inf  # what is not finite agrees with nothing
        largest = np.abs(true).max(initial=0)
        error = np.abs(true - said).max(initial=0)
        return float(error / largest) if largest else (0.0 if not error else np.inf)
