"""A case in numbers that shows where a claim fails: with cells of size 1, where that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from ..language.expressions import Adjoint, Outside, Value, walk
from .case import UNFIT, Case
from .forms import STEP
from .judgement import Example
from .scene import Scene
from .view import View

READ_ALIKE = 8  # leaves that an example lists


def example(case: Case) -> Example | None:
    """The first step at which the two sides differ visibly; None where none does."""
    small = case.scenes.small(case.steps)
    return (_in(case, small, small=True) if small else None) or _in(case, case.scene, small=False)


def _in(case: Case, scene: Scene, small: bool) -> Example | None:
    for step in dict.fromkeys((min(2, case.spoken_of[-1]), *case.spoken_of)):
        try:
            true, said = case.pair(scene, View(scene, (step,)))
        except UNFIT:
            return None  # shapes that do not fit
        off = np.abs(np.where(np.isfinite(said), said, np.inf) - true)
        if not off.size or not off.max() > 1e-4 * max(1e-3, np.abs(true).max()):
            continue
        at = np.unravel_index(int(np.argmax(off)), off.shape)
        claimed = float(said[at]) if np.isfinite(said[at]) else None
        if small:
            where = f"every size 1, step {step + case.moved} of {scene.steps}"
            return Example(where, tuple(islice(_readings(case, scene, step), READ_ALIKE)), claimed, float(true[at]))
        entry = "" if true.ndim == 1 else f", entry {', '.join(str(index + 1) for index in at[1:])}"
        return Example(f"at a random point, step {step + case.moved} of {scene.steps}{entry}", (), claimed, float(true[at]))
    return None


def _readings(case: Case, scene: Scene, step: int) -> Iterator[tuple[str, float]]:
    """What the right side reads, each once, with its value."""
    for node in dict.fromkeys(walk(case.said)):
        if isinstance(node, (Value, Adjoint, Outside)) and node.name != STEP:
            array = View(scene, (step,))[node]
            if array.size == 1:
                yield case.spell(node), float(array.flat[0])
