"""Somebody's gradients compared with the true ones, and an explanation of the difference.

    held.py      which gradients agree, for one set of data
    around.py    what is done on purpose to gradients that are right
    search.py    which mistakes explain the rest, found by trying: tries.py, forwards.py

The outputs are compared first, where they are given: if the forward pass is another cell's, so is every gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..derivation.chain import Derivation
from ..printed import Printed, counted
from .around import around
from .foreign import ForeignError, gradient_meant, real
from .given import Data
from .held import Held
from .search import Found, Search


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
    found: tuple[Found, ...] = ()  # the mistakes that explain the differences
    notes: tuple[str, ...] = ()  # how their numbers were read
    forward: str = ""  # how their outputs differ from ours; "" where they do not, or are not known

    @property
    def holds(self) -> bool:
        """Whether all that was compared agrees."""
        return not self.forward and all(comparison.agrees for comparison in self.comparisons)

    @property
    def explanation(self) -> str:
        """The mistakes in one text; "" where all agrees, or nothing explains it."""
        return "; ".join(each.sentence for each in self.found)

    @property
    def complete(self) -> bool:
        """Whether the mistakes give all of their numbers."""
        return not self.unexplained

    @property
    def unexplained(self) -> tuple[str, ...]:
        """The gradients that differ and that nothing explains."""
        explained = {name for each in self.found for name in each.names}
        return tuple(each.name for each in self.comparisons if not each.agrees and each.name not in explained)

    def styled(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        differ = sum(not comparison.agrees for comparison in self.comparisons)
        return f"<CodeAudit: {counted(len(self.comparisons), 'gradient')}, of which {differ} differ>"

    def lines(self) -> list[str]:
        """For a terminal: the forward pass, how many gradients agree, why others do not, and each of them."""
        told = [self.forward, ""] if self.forward else []
        told += [self.tally(), *self._why()] if self.comparisons else []
        for agrees in (False, True):
            told += [each.line() for each in self.comparisons if each.agrees == agrees]
        return [*told, *([""] if self.notes else []), *(f"note: {note}" for note in self.notes)]

    def tally(self) -> str:
        """`9 gradients: 3 differ, 6 agree`."""
        differ = sum(not each.agrees for each in self.comparisons)
        agree = len(self.comparisons) - differ
        counts = [(differ, "differs", "differ"), (agree, "agrees", "agree")]
        listed = ", ".join(f"{count} {one if count == 1 else several}" for count, one, several in counts if count)
        return f"{counted(len(self.comparisons), 'gradient')}: {listed}"

    def _why(self) -> list[str]:
        if all(each.agrees for each in self.comparisons):
            return [""]
        if not self.found:
            return ["", "no missing or wrong contribution that was tried explains the difference", ""]
        if len(self.found) == 1 and self.complete:
            return ["", f"explanation: {self.found[0].sentence}", ""]
        told = ["", "explanation:"]
        for number, each in enumerate(self.found, 1):
            told.append(f"  {number}. {each.sentence}")
            told.append(f"     this explains {', '.join(f'd_{name}' for name in each.names)}")
        if self.unexplained:
            told.append(f"not explained: {', '.join(f'd_{name}' for name in self.unexplained)}")
        return [*told, ""]

    def as_json(self) -> dict[str, object]:
        return {
            "holds": self.holds,
            "forward": self.forward or None,
            "gradients": [
                {
                    "name": each.name,
                    "agrees": each.agrees,
                    "how": each.how or None,
                    "first": each.first or None,
                    "error": each.error if np.isfinite(each.error) else None,
                }
                for each in self.comparisons
            ],
            "explanation": self.explanation or None,
            "mistakes": [{"sentence": each.sentence, "explains": list(each.names)} for each in self.found],
            "unexplained": list(self.unexplained),
            "explains_all": self.complete,
            "notes": list(self.notes),
        }


class Comparer:
    """Compares their gradients with ours, and looks for the mistakes that turn ours into theirs."""

    def __init__(
        self, derivation: Derivation, sizes: Mapping[str, int], data: Data, theirs: Mapping[str, np.ndarray]
    ):
        self.derivation, self.graph, self.sizes, self.data = derivation, derivation.graph, sizes, data
        self.single = any(np.asarray(array).dtype == np.float32 for array in theirs.values())
        gradients, self.values = self._sorted(theirs)
        self.held = Held(derivation, sizes, data, gradients, self.single)
        self.theirs, self.ours, self.notes = self.held.theirs, self.held.ours, self.held.notes
        self.forward = self._forward()
        self.differing = self.held.differing
        self.shorter: list[Held] = []  # for shorter sequences, the shortest first

    @property
    def agrees(self) -> bool:
        """Whether outputs and gradients agree."""
        return not self.forward and not self.differing

    def _sorted(self, theirs: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Their gradients, and their outputs and values, by our names."""
        known = {*self.derivation.adjoints, *self.graph.states}
        found: dict[str, np.ndarray] = {}
        values: dict[str, np.ndarray] = {}
        for name, array in theirs.items():
            value = value_meant(name, self.derivation)
            bare = gradient_meant(name, known)
            if value is not None:
                values[value] = real(name, array)
                continue
            if bare is None:
                raise ForeignError(
                    f"'{name}' is not a gradient of this cell: expected parameters, inputs and states by their names, "
                    f"such as {', '.join(self.graph.parameters[:3])}"
                )
            if bare in found:
                raise ForeignError(f"'{name}' is the gradient of {bare}, which is there already by another name")
            found[bare] = real(name, array)
        if not found and not values:
            raise ForeignError("there is no gradient to compare")
        return found, values

    # ------------------------------------------------------------------ the forward pass

    def _forward(self) -> str:
        """Where their outputs and values first differ from ours: the step, and the equation that comes first in it."""
        order = [stage.name for stage in self.graph.stages]
        differ: list[tuple[int, int, str]] = []
        for name, said in self.values.items():
            true = np.stack([self.held.scene.values[step][name] for step in range(1, self.data.steps + 1)])
            if said.shape != true.shape:
                return f"the shape of {name} is {said.shape} and should be {true.shape}"
            limit = self.held.bound * np.abs(true).max(initial=0)
            off = [step for step in range(len(true)) if not np.abs(true[step] - said[step]).max(initial=0) <= limit]
            if off:
                differ.append((off[0] + 1, order.index(name), name))
        if not differ:
            return ""
        step, _, name = min(differ)
        when = "from the first step on" if step == 1 else f"from step {step} on"
        others = [each for _, _, each in sorted(differ) if each != name]
        then = f", then {', '.join(others)}" if others else ""
        return (f"the forward pass is another cell's: {name} differs {when}{then}. Look there first: the gradients of "
                "another forward pass are others")

    # ------------------------------------------------------------------ where

    def at_length(self, data: Data, theirs: Mapping[str, np.ndarray]) -> None:
        """Keep which gradients differ in a shorter sequence."""
        gradients, _ = self._sorted(theirs)
        if gradients.keys() == self.theirs.keys():
            self.shorter.append(Held(self.derivation, self.sizes, data, gradients, self.single))

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
                if not np.abs(true[step] - said[step]).max(initial=0) <= self.held.bound * scale  # also true for nan
            ]
            if steps:
                return f"the first difference on the way back is at step {steps[-1] + 1} of {len(true)}"
        least = min((held.data.steps for held in self.shorter if name in held.differing), default=None)
        if least is None:  # it differs for this length alone, if all shorter ones are known
            known = [held.data.steps for held in self.shorter] == list(range(1, self.data.steps))
            least = self.data.steps if known else None
        if least is None:
            return ""
        return "in a sequence of one step already" if least == 1 else f"from {least} steps on: it agrees for {least - 1}"

    def _how(self, name: str) -> str:
        """How one gradient of theirs differs from ours."""
        true, said = self.ours[name], self.theirs[name]
        if true.shape != said.shape:
            return f"its shape is {said.shape} and should be {true.shape}"
        if not np.isfinite(said).all():
            return "it has numbers that are not finite"
        if not np.any(true):
            return "it should be zero"
        per_cent = 100 * self.held.off(true, said)
        return f"off by {per_cent:.3g} %" if np.isfinite(per_cent) else "it is much larger"

    # ------------------------------------------------------------------ why

    def audit(self, notes: tuple[str, ...] = ()) -> CodeAudit:
        """Every gradient compared and explained. `notes` say how their numbers were read."""
        found = self._found() if self.differing else ()
        return CodeAudit(tuple(map(self._comparison, self.theirs)), found, (*notes, *self.notes), self.forward)

    def _comparison(self, name: str) -> Comparison:
        error = self.held.off(self.ours[name], self.theirs[name])
        if name in self.differing:
            return Comparison(name, False, error, self._how(name), self._first(name))
        return Comparison(name, True, error)

    def _found(self) -> tuple[Found, ...]:
        done = around(self.theirs, self.ours, self.differing, self.data.steps, self.data.batch, self.held.alike)
        if done:
            return (Found(done, tuple(self.differing)),)
        return tuple(Search(self.derivation, [*self.shorter, self.held], self.values).found())


def value_meant(name: str, derivation: Derivation) -> str | None:
    """The value that is called so, where it is no gradient: `y`, `y_NAME` of an output, `value.NAME` of any value."""
    graph = derivation.graph
    known = {stage.name for stage in graph.stages if stage.name not in graph.static}
    if name.startswith("value."):
        return name.removeprefix("value.") if name.removeprefix("value.") in known else None
    if name in derivation.adjoints:
        return None
    if name == "y" and len(graph.outputs) == 1:
        return graph.outputs[0]
    return name.removeprefix("y_") if name.startswith("y_") and name.removeprefix("y_") in graph.outputs else None
