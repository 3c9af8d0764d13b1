"""Somebody's gradients compared with the true ones, and an explanation of the difference.

The explanation is found by trying: contributions to our own gradients are left out or altered until they equal theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..derivation.chain import Derivation, Key
from ..language.expressions import Adjoint
from ..printed import Printed, counted
from .around import around
from .foreign import ForeignError, gradient_meant, real
from .given import Data, Given
from .layouts import laid_out
from .scene import Edit
from .tries import Tries

BOUND = 1e-7  # relative, in float64
FLOAT32 = 1e-3  # if their numbers are of single precision


@dataclass(frozen=True)
class Comparison:
    """One gradient: theirs and ours."""

    name: str
    agrees: bool
    error: float  # relative to the largest entry; infinite if it cannot be given in per cent
    how: str = ""  # how it differs
    first: str = ""  # the first difference, going backwards

    def line(self) -> str:
        if self.agrees:
            return f"d_{self.name}: agrees"
        where = f"; {self.first}" if self.first else ""
        return f"d_{self.name}: differs, {self.how}{where}"


@dataclass(frozen=True, repr=False)
class CodeAudit(Printed):
    """Every gradient compared, and what explains the differences."""

    comparisons: tuple[Comparison, ...]
    explanation: str  # "" if all agree, or if nothing explains it
    complete: bool  # whether the explanation gives all of their numbers
    notes: tuple[str, ...] = ()  # how their numbers were read

    @property
    def holds(self) -> bool:
        return all(comparison.agrees for comparison in self.comparisons)

    def styled(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        differ = sum(not comparison.agrees for comparison in self.comparisons)
        return f"<CodeAudit: {counted(len(self.comparisons), 'gradient')}, of which {differ} differ>"

    def lines(self) -> list[str]:
        told = [comparison.line() for comparison in self.comparisons]
        if not self.holds:
            told.append("")
            if self.explanation:
                told.append(f"explanation: {self.explanation}")
                if not self.complete:
                    told.append("this explains some of the gradients that differ, but not all")
            else:
                told.append("no single missing or wrong contribution explains the difference")
        return [*told, *([""] if self.notes else []), *(f"note: {note}" for note in self.notes)]

    def as_json(self) -> dict[str, object]:
        return {
            "holds": self.holds,
            "gradients": [
                {
                    "name": each.name,
                    "agrees": each.agrees,
                    "first": each.first or None,
                    "error": each.error if np.isfinite(each.error) else None,
                }
                for each in self.comparisons
            ],
            "explanation": self.explanation or None,
            "explains_all": self.complete,
            "notes": list(self.notes),
        }


class Comparer:
    """Compares their gradients with ours, and alters ours until they equal theirs."""

    def __init__(
        self, derivation: Derivation, sizes: Mapping[str, int], data: Data, theirs: Mapping[str, np.ndarray]
    ):
        self.derivation, self.graph, self.sizes, self.data = derivation, derivation.graph, sizes, data
        self.theirs = self._named(theirs)
        single = any(np.asarray(array).dtype == np.float32 for array in theirs.values())
        self.bound = FLOAT32 if single else BOUND
        self.ours = self.gradients()
        self.theirs, self.notes = laid_out(self.theirs, self.ours, self._alike)
        for name, array in self.ours.items():
            if not np.isfinite(array).all():
                raise ForeignError(f"the true gradient of {name} is not finite at these numbers: nothing can be compared")
        self.lengths: dict[str, int] = {}  # the least number of steps at which each gradient differs
        self.differing = [name for name in self.theirs if not self._agrees(self.ours, name)]

    def _named(self, theirs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        known = {*self.derivation.adjoints, *self.graph.states}
        found: dict[str, np.ndarray] = {}
        for name, array in theirs.items():
            bare = gradient_meant(name, known)
            if bare is None:
                raise ForeignError(
                    f"'{name}' is not a gradient of this cell: expected parameters, inputs and states by their names, "
                    f"such as {', '.join(self.graph.parameters[:3])}"
                )
            if bare in found:
                raise ForeignError(f"'{name}' is the gradient of {bare}, which is there already by another name")
            found[bare] = real(name, array)
        if not found:
            raise ForeignError("there is no gradient to compare")
        return found

    # ------------------------------------------------------------------ ours

    @np.errstate(all="ignore")  # huge numbers overflow, and altered terms divide by zero
    def gradients(self, edits: Mapping[Key, Edit] | None = None, without: str = "") -> dict[str, np.ndarray]:
        """Our gradients in the shapes of theirs."""
        scene = Given(self.derivation, self.sizes, self.data, edits, without)
        found = {}
        for name, array in self.theirs.items():
            if name in self.graph.static:
                found[name] = scene.total(name).sum(axis=0)
            elif name in self.graph.states and array.ndim == len(self.graph.shapes[name]) + 1:
                found[name] = scene.leaf(Adjoint(name), 0)
            else:
                found[name] = np.stack(
                    [scene.leaf(Adjoint(name), step) for step in range(1, scene.steps + 1)]
                )
        return found

    def _agrees(self, ours: Mapping[str, np.ndarray], name: str) -> bool:
        return self._error(ours, name) <= self.bound

    def _error(self, ours: Mapping[str, np.ndarray], name: str) -> float:
        return self._off(ours[name], self.theirs[name])

    def _alike(self, true: np.ndarray, said: np.ndarray) -> bool:
        return self._off(true, said) <= self.bound

    @np.errstate(all="ignore")  # their numbers may be infinite
    def _off(self, true: np.ndarray, said: np.ndarray) -> float:
        if true.shape != said.shape or not np.isfinite(said).all() or not np.isfinite(true).all():
            return np.inf  # what is not finite agrees with nothing
        largest = np.abs(true).max(initial=0)
        error = np.abs(true - said).max(initial=0)
        return float(error / largest) if largest else (0.0 if not error else np.inf)

    def _how(self, name: str) -> str:
        """How one gradient of theirs differs from ours."""
        true, said = self.ours[name], self.theirs[name]
        if true.shape != said.shape:
            return f"its shape is {said.shape} and should be {true.shape}"
        if not np.isfinite(said).all():
            return "it has numbers that are not finite"
        if not np.any(true):
            return "it should be zero"
        per_cent = 100 * self._error(self.ours, name)
        return f"off by {per_cent:.3g} %" if np.isfinite(per_cent) else "it is much larger"

    # ------------------------------------------------------------------ where

    def at_length(self, steps: int, data: Data, theirs: Mapping[str, np.ndarray]) -> None:
        """Record which gradients differ in a sequence of so many steps."""
        shorter = Comparer(self.derivation, self.sizes, data, theirs)
        for name in shorter.differing:
            self.lengths.setdefault(name, steps)

    @np.errstate(all="ignore")  # as above
    def _first(self, name: str) -> str:
        true, said = self.ours[name], self.theirs[name]
        if (
            true.shape == said.shape
            and name not in self.graph.static
            and len(true) == self.data.steps
            and (name not in self.graph.states or true.ndim == len(self.graph.shapes[name]) + 2)
        ):
            scale = np.abs(true).max(initial=0)
            steps = [
                step
                for step in range(len(true))
                if not np.abs(true[step] - said[step]).max(initial=0) <= self.bound * scale  # also true for nan
            ]
            if steps:
                return f"the first difference on the way back is at step {steps[-1] + 1} of {len(true)}"
        if name in self.lengths:
            count = self.lengths[name]
            return (
                "in a sequence of one step already"
                if count == 1
                else f"from {count} steps on: it agrees for {count - 1}"
            )
        return ""

    # ------------------------------------------------------------------ why

    def audit(self, notes: tuple[str, ...] = ()) -> CodeAudit:
        """Every gradient compared and explained. `notes` say how their numbers were read."""
        comparisons = tuple(map(self._comparison, self.theirs))
        explained = self._explained() if self.differing else ("", True)
        return CodeAudit(comparisons, *explained, (*notes, *self.notes))

    def _comparison(self, name: str) -> Comparison:
        error = self._error(self.ours, name)
        if name in self.differing:
            return Comparison(name, False, error, self._how(name), self._first(name))
        return Comparison(name, True, error)

    def _explained(self) -> tuple[str, bool]:
        done = around(self.theirs, self.ours, self.differing, self.data.steps, self.data.batch, self._alike)
        if done:
            return done, True
        best, found = "", 0
        for tried in Tries(self.derivation, self.differing):
            altered = self.gradients(tried.edits, tried.without)
            if not all(self._agrees(altered, name) or name in self.differing for name in self.theirs):
                continue
            count = sum(self._agrees(altered, name) for name in self.differing)
            if count == len(self.differing):
                return tried.sentence, True
            if count > found:
                best, found = tried.sentence, count
        return best, False
