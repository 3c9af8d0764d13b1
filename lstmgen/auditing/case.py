"""One claim in numbers: what it gives at the points of a scene, and what is true there.

Numbers alone decide whether a claim holds, at random points and at every step, in float64 and, before anything is called
wrong, in 90 digits. So it does not matter how a claim is written.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..language.evaluate import Mismatch
from ..language.expressions import Adjoint, Call, Expression, Outside, Value, children, shift, transform, walk
from ..language.shapes import Shape, ShapeMismatch, describe
from .arrays import close, diagonal
from .claims import USUAL_STEPS
from .forms import PARTIAL, SUM_T, TOTAL, is_number, is_numbered
from .scene import Scene
from .scenes import Scenes
from .spelling import Spelling, numbers_told
from .view import Unsayable, View

UNFIT = (ShapeMismatch, Mismatch, ValueError, TypeError, LookupError)  # raised by shapes that do not fit
CLOSE = 1e-9  # in float64; with a larger error, the claim is evaluated in 90 digits
EXACT = "1e-40"  # there


class Case:
    """One claim beside the truth."""

    def __init__(self, scenes: Scenes, spelling: Spelling, steps: int, subject: Expression, said: Expression):
        """`steps` is T of the file; a claim that names no step by its number is tried over more."""
        self.scenes, self.spelling, self.graph = scenes, spelling, scenes.graph
        self._file_steps = steps
        self.written = said
        self.moved = _moved_by(subject)  # how many steps later the claim speaks of step t: it is looked at there
        self.subject, self.said = self._normal(subject, said)
        self.by_number = is_numbered(self.said) or is_numbered(self.subject) or _has_bounds(self.said)
        self.steps = steps if self.by_number else max(steps, USUAL_STEPS)
        self.scene = scenes.usual(self.steps)
        self.spoken_of = self._spoken_of()
        self.view = self.looked_at(self.scene)

    def other(self, subject: Expression, said: Expression) -> Case:
        """Another claim about the same cell."""
        return Case(self.scenes, self.spelling, self._file_steps, subject, said)

    def as_written(self, expression: Expression) -> Expression:
        """An expression at the steps of the claim as it was written, before it was moved to step t."""
        return self.later(expression, -self.moved) if self.moved else expression

    def spell(self, expression: Expression) -> str:
        """An expression in the names and at the steps of the source."""
        return self.spelling(self.as_written(expression))

    def looked_at(self, scene: Scene) -> View:
        """A scene at the steps of which the claim speaks."""
        return View(scene, self.spoken_of)

    # ------------------------------------------------------------------ which step it speaks of

    def _normal(self, subject: Expression, said: Expression) -> tuple[Expression, Expression]:
        """The claim as one about step t, or about the whole where it speaks of no step."""
        if self.moved:
            subject, said = self.later(subject, self.moved), self.later(said, self.moved)
        static = isinstance(subject, Adjoint) and subject.name in self.graph.static
        if static and _is_timeless(said, self.graph.static):
            subject = Call(SUM_T, (subject,))
        return subject, said

    def later(self, expression: Expression, steps: int) -> Expression:
        """The expression as it is so many steps later; steps that are told by number stay."""

        def rule(node: Expression) -> Expression | None:
            match node:
                case Value(name=name) if name in self.graph.static:
                    return node
                case Value(lag=lag) | Adjoint(lag=lag) | Outside(lag=lag):
                    return node if is_number(lag) else shift(node, steps)
                case Call(function="sum_t"):
                    return node
            return None

        return transform(expression, rule)

    def _spoken_of(self) -> range:
        """The steps of the left side: those that it has while t goes from 1 to T.

        A left side at t-1 speaks of step 0 too, where it is about an initial state. If the right side reads there what only
        an equation gives, it does not speak of that step.
        """
        if self.by_number:
            return range(1, self.steps + 1)
        steps = range(1 - max(self.moved, 0), self.steps - max(self.moved, 0) + 1)
        return range(next((step for step in steps if self._speaks_of(step)), steps[-1]), steps[-1] + 1)

    def _speaks_of(self, step: int) -> bool:
        """Whether the left side exists there: from step 1 on; of step 0 there are states, as far as the right side goes."""
        match self.subject:
            case Call(function="partial" | "total", arguments=(Value(lag=above), Value(name=name, lag=below))):
                if step + above < 1:
                    return False
                earliest = 1 if name in self.graph.static or is_number(below) else step + below
            case Value(name=name) | Adjoint(name=name) | Call(function="via", arguments=(Adjoint(name=name), _)):
                earliest = 1 if name in self.graph.static else step
            case _:
                earliest = step
        return earliest >= 1 or earliest == 0 and name in self.graph.states and self._exists(self.said, step)

    def _exists(self, expression: Expression, step: int) -> bool:
        """Whether what it reads is there, from this step as t."""
        match expression:
            case Value(name=name, lag=lag) if name not in self.graph.static:
                return step + lag > 0 or step + lag == 0 and name in self.graph.states
            case Call(function="partial" | "total", arguments=(Value(lag=above), Value(name=name, lag=below))):
                return step + above > 0 and (name in self.graph.static or step + below >= 0)
            case Call(function="via", arguments=(Adjoint(lag=lag), _)):
                return step + lag >= 0
        return all(self._exists(part, step) for part in children(expression))

    # ------------------------------------------------------------------ whether it holds

    def unsayable(self) -> str | None:
        """What of the claim the language cannot say; None where it can say all of it."""
        try:
            self.view.shape(self.subject), self.view.shape(self.said)
        except Unsayable as unsayable:
            return f"{unsayable.message}; {unsayable.cure}"
        except UNFIT:
            pass
        return None

    def mismatch(self) -> str | None:
        """Why the two sides do not meet; None where they do."""
        try:
            true, said = self.view.shape(self.subject), self.view.shape(self.said)
        except ShapeMismatch as mismatch:
            cure = f"; {mismatch.cure}" if mismatch.cure else ""
            return numbers_told(self.view.told(f"{mismatch.message}{cure}", self.spelling))
        except UNFIT as problem:
            return str(problem)
        if self._meets(true, said):
            return None
        return f"the left side is {describe(true)}, the right side {describe(said)}"

    def _meets(self, true: Shape, said: Shape) -> bool:
        if true == said or not said:
            return True
        derivative = isinstance(self.subject, Call) and self.subject.function in (PARTIAL, TOTAL)
        return derivative and {len(true), len(said)} == {1, 2} and true[0] == said[0] == said[-1]

    def fits_and_holds(self) -> bool:
        """Whether the two sides meet and are equal, in float64."""
        try:
            return self.mismatch() is None and self.holds(self.scene)
        except UNFIT:
            return False

    def holds_turned(self) -> bool:
        """Whether the right side holds when it is transposed."""
        try:
            turned = self.other(self.subject, Call("transpose", (self.said,)))
            return turned.mismatch() is None and (turned.holds(turned.scene) or turned.holds_exactly())
        except UNFIT:
            return False

    def pair(self, scene: Scene, view: View | None = None) -> tuple[np.ndarray, np.ndarray]:
        """What is true and what the claim says, in one shape."""
        view = self.looked_at(scene) if view is None else view
        true, said = view.evaluate(self.subject), view.evaluate(self.said)
        if true.ndim == 2 and said.ndim == 3:
            true = diagonal(true, scene.math)
        if said.ndim == 2 and true.ndim == 3:
            said = diagonal(said, scene.math)
        if said.ndim == 1:
            said = said.reshape(said.shape + (1,) * (true.ndim - 1))
        return true, np.broadcast_to(said, true.shape)

    def holds(self, scene: Scene, steps: Sequence[int] | None = None) -> bool:
        """Whether the two sides are finite and equal, in float64."""
        view = View(scene, steps) if steps is not None else self.looked_at(scene)
        true, said = self.pair(scene, view)
        return close(said, true, CLOSE, 1e-6 * scene.largest)

    def is_finite(self, steps: Sequence[int] | None = None) -> bool:
        """Whether the right side is a finite number everywhere, or at these steps."""
        view = View(self.scene, steps) if steps is not None else self.view
        return bool(np.isfinite(self.pair(self.scene, view)[1]).all())

    def says_nothing(self) -> bool:
        """Whether the right side is zero everywhere."""
        return not np.any(self.pair(self.scene)[1])

    def holds_exactly(self) -> bool:
        """In 90 digits, before anything is called wrong.

        Looked at are the points where float64 is not finite, as it may be on the way to a number; where there
        are none, the point where it is furthest off.
        """
        true, said = self.pair(self.scene)
        rows = len(true)
        not_finite = np.flatnonzero(~np.isfinite(said).reshape(rows, -1).all(axis=1))
        if len(not_finite):
            points = sorted({int(row) % self.scene.points for row in not_finite})
            return all(map(self._holds_exactly_at, points))
        off = np.abs(said - true).reshape(rows, -1).max(axis=1, initial=0)
        size = np.maximum(np.abs(true).reshape(rows, -1).max(axis=1, initial=0), 1e-300)
        return self._holds_exactly_at(int(np.argmax(off / size)) % self.scene.points)

    def _holds_exactly_at(self, point: int) -> bool:
        scene = self.scenes.exact(self.scene, point)
        true, said = self.pair(scene)
        math = self.scenes.digits
        if not math.finite(said):
            return False
        bound = math.number(EXACT)
        scale = max((max(abs(a), abs(b)) for a, b in zip(true.flat, said.flat)), default=0)
        scale = scale + math.number("1e-30") * scene.largest
        return all(abs(a - b) <= bound * scale for a, b in zip(true.flat, said.flat))


def _moved_by(subject: Expression) -> int:
    """How many steps from the left side to step t."""
    match subject:
        case Value(lag=lag) | Adjoint(lag=lag) | Outside(lag=lag) | Call(function="via", arguments=(Adjoint(lag=lag), _)):
            return 0 if is_number(lag) else -lag
    return 0


def _has_bounds(expression: Expression) -> bool:
    return any(
        isinstance(node, Call) and node.function == SUM_T and len(node.arguments) > 1
        for node in walk(expression)
    )


def _is_timeless(expression: Expression, static: frozenset[str]) -> bool:
    """Whether it speaks of steps by their numbers, or of all of them, and of no step t."""
    timed = False

    def look(node: Expression) -> bool:
        nonlocal timed
        if isinstance(node, Call) and node.function == SUM_T:
            timed = True
            return True
        if isinstance(node, (Adjoint, Outside)) or (isinstance(node, Value) and node.name not in static):
            if not is_number(node.lag):
                return False
            timed = True
        return all(look(child) for child in children(node))

    return look(expression) and timed
