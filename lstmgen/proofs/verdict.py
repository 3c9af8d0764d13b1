"""What the proofs measure: errors, their bounds, and the verdict on a whole build."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..language.evaluate import DIGITS
from ..language.functions import Real
from ..printed import Printed, counted

NAMES = ("meaning", "complex step", "high precision", "splitting", "knock-out")
MEANING, COMPLEX_STEP, HIGH_PRECISION, SPLITTING, KNOCK_OUT = range(5)
MOST_ALONE, GROUPS = 64, 16  # arrays of a proof with figures of their own; where there are more, so many figures
BOUNDS = (1e-12, 1e-12, 1e-35, 1e-12, 1e-8)  # the last one must be exceeded
AGREEMENT = 1e-11  # of a target without complex numbers, with the NumPy module, in place of complex steps
MOST_FAILED = 10  # figures of one proof that are printed beside its worst; also saturated equations


@dataclass(frozen=True)
class Figure:
    """One measured error; in proof 4, the largest change without one contribution."""

    proof: int
    what: str
    error: float
    bound: float
    passed: bool

    def told(self) -> str:
        """The figure as a line for the terminal."""
        relation = ">" if self.proof == KNOCK_OUT else "<="
        verdict = "passed" if self.passed else "FAILED"
        return f"{verdict}  {self.error:8.1e} {relation:>2} {self.bound:.0e}  {self.what}"


@dataclass(frozen=True, repr=False)
class Verdict(Printed):
    """All figures, and the points at which they were measured."""

    figures: tuple[Figure, ...]
    forks: int  # contributions that were taken out, one by one
    entries: int  # differenced in 90 digits
    module_entries: int  # differenced by complex steps
    points: int  # of the high-precision proof: more than one if choices need it
    redraws: int  # points that were drawn again: not finite, or too ill-conditioned
    sizes: Mapping[str, int]
    module_sizes: Mapping[str, int]
    steps: int
    module_steps: int
    batch: int
    untaken: tuple[str, ...]  # equations with a choice, of which one side was never taken
    saturated: tuple[str, ...]  # if a proof failed: equations with a function that had no slope at its point
    clipped: tuple[str, ...] = ()  # equations with a gradient that is clipped on its way back: `clip_gradient`
    replaced: tuple[str, ...] = ()  # equations with a derivative that the spec replaces: `surrogate`

    @property
    def passed(self) -> bool:
        return all(figure.passed for figure in self.figures)

    def styled(self) -> str:
        return "\n".join(self.lines(every=True))

    def __repr__(self) -> str:
        state = "passed" if self.passed else "FAILED"
        contributions = counted(self.forks, "contribution")
        return f"<Verdict: {state}, {counted(len(self.figures), 'figure')}, {contributions} taken out>"

    def worst(self, proof: int) -> Figure | None:
        """The most important figure of a proof: one that failed, else the one nearest to its bound."""
        figures = [figure for figure in self.figures if figure.proof == proof]
        side = -1 if proof == KNOCK_OUT else 1
        return max(
            figures,
            key=lambda figure: (not figure.passed, math.isnan(figure.error), side * figure.error),
            default=None,
        )

    def as_json(self) -> dict[str, object]:
        """Everything, as data for `--json`."""
        told = asdict(self) | {"passed": self.passed}
        for figure in told["figures"]:
            figure["name"] = NAMES[figure["proof"]]
            if not math.isfinite(figure["error"]):
                figure["error"] = None
        return told

    def lines(self, every: bool = False) -> list[str]:
        """One line for each proof, with its worst figure and the first ones that failed; or with all of them."""
        told = []
        for proof, name in enumerate(NAMES):
            figures = [figure for figure in self.figures if figure.proof == proof]
            worst = self.worst(proof)
            if worst is None:
                continue
            told.append(f"{proof}  {name:<14}  {worst.told()}  (worst of {len(figures)})")
            more = [figure for figure in figures if figure is not worst and (every or not figure.passed)]
            most = len(more) if every else MOST_FAILED
            told += [f"{'':<17}  {figure.told()}" for figure in more[:most]]
            if more[most:]:
                told.append(f"{'':<17}  ... and {len(more) - most} more FAILED; `lstmgen verify` shows all")
        return [*told, *self.counts()]

    def counts(self) -> list[str]:
        """The points at which the figures were measured, in sentences."""
        def listed(sizes: Mapping[str, int]) -> str:
            return ", ".join(f"{symbol} = {size}" for symbol, size in sizes.items())

        told = [
            f"{self.entries} entries in {DIGITS} digits ({listed({**self.sizes, 'T': self.steps})}), "
            f"{self.module_entries} by complex steps "
            f"({listed({**self.module_sizes, 'T': self.module_steps, 'B': self.batch})}), "
            f"{self.forks} contributions taken out"
        ]
        if self.redraws:
            told.append(f"{self.redraws} points drawn again: not finite, or too ill-conditioned")
        if self.untaken:
            told.append(f"no point took both sides of a choice in {', '.join(self.untaken)}")
        if self.replaced:
            told.append(f"the spec replaces a derivative in {', '.join(self.replaced)}: the proofs take what it says for the "
                        "derivative there")
        if self.clipped:
            told.append(f"gradients are clipped in {', '.join(self.clipped)}: the proofs put a multiplication by 1 / (1 + "
                        "bound) in place of each clip; with the clips, the module gives what the derived equations give")
        if self.saturated:
            names = [*self.saturated[:MOST_FAILED], *(["..."] if self.saturated[MOST_FAILED:] else [])]
            told.append(f"saturated at the points of the proofs: {', '.join(names)}; "
                        "'range:' in the spec says where to draw parameters, inputs and states from")
        return told


# ---------------------------------------------------------------- measuring


def compared(
    proof: int, what: str, found: ArrayLike, expected: ArrayLike, scale: Real = 0.0, least: float = 0.0
) -> Figure:
    """The figure of a value and its expected value."""
    error = relative_error(found, expected, scale, least)
    return Figure(proof, what, error, BOUNDS[proof], error <= BOUNDS[proof])


def exactly(proof: int, what: str, holds: bool) -> Figure:
    """The figure of something that is true or false."""
    return Figure(proof, what, 0.0 if holds else math.inf, BOUNDS[proof], bool(holds))


def grouped(names: Sequence[str]) -> list[Sequence[str]]:
    """The names of arrays, each alone; where there are very many, in few groups, for a figure each."""
    size = 1 if len(names) <= MOST_ALONE else -(-len(names) // GROUPS)
    return [names[first:first + size] for first in range(0, len(names), size)]


def all_of(names: Sequence[str]) -> str:
    """What a figure of a group is called."""
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def worst_of(proof: int, what: str, errors: Iterable[float]) -> Figure:
    """One figure for many errors: the worst."""
    worst = max((math.inf if math.isnan(error) else error for error in errors), default=0.0)
    return Figure(proof, what, worst, BOUNDS[proof], worst <= BOUNDS[proof])


def relative_error(found: ArrayLike, expected: ArrayLike, scale: Real = 0.0, least: float = 0.0) -> float:
    """max|a - b| / max|b|, or / `least` where that is more.

    The error is 0 if both are zero or negligible beside `scale`, and infinite if one is nan.
    """
    ours, theirs = np.asarray(found), np.asarray(expected)
    if ours.shape != theirs.shape:
        return math.inf
    if not (_finite(ours) and _finite(theirs)):
        return math.nan
    size = max(_largest(theirs), least)
    if size <= scale and _largest(ours) <= scale:
        return 0.0
    return float(_largest(ours - theirs) / size) if size else math.inf


def _largest(array: np.ndarray) -> Real:
    return max(map(abs, array.flat), default=0) if array.dtype == object else np.abs(array).max(initial=0)


def _finite(array: np.ndarray) -> bool:
    if array.dtype == object:
        return all(entry.context.isfinite(entry) for entry in array.flat)
    return bool(np.isfinite(array).all())
