"""What the proofs measure: errors, their bounds, and the verdict on a whole build."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..language.evaluate import DIGITS
from ..language.functions import Real

NAMES = ("meaning", "complex step", "high precision", "splitting", "knock-out")
MEANING, COMPLEX_STEP, HIGH_PRECISION, SPLITTING, KNOCK_OUT = range(5)
BOUNDS = (1e-12, 1e-12, 1e-35, 1e-12, 1e-8)  # the last one is to be exceeded
MOST_FAILED = 10  # that are told of one proof, beside its worst; and equations that are saturated


@dataclass(frozen=True)
class Figure:
    """One measured error, or, for a branch that was cut, the largest change it made."""

    proof: int
    what: str
    error: float
    bound: float
    passed: bool

    def told(self) -> str:
        """For the terminal."""
        relation = ">" if self.proof == KNOCK_OUT else "<="
        verdict = "passed" if self.passed else "FAILED"
        return f"{verdict}  {self.error:8.1e} {relation:>2} {self.bound:.0e}  {self.what}"


@dataclass(frozen=True)
class Verdict:
    """All figures, and what they were measured on."""

    figures: tuple[Figure, ...]
    forks: int  # branches that were cut
    entries: int  # differenced in 90 digits
    module_entries: int  # differenced by complex steps
    points: int  # of the high-precision proof: more than one where branches of max or where need it
    redraws: int  # points that were not finite or too ill-conditioned
    sizes: Mapping[str, int]
    module_sizes: Mapping[str, int]
    steps: int
    module_steps: int
    batch: int
    untaken: tuple[str, ...]  # equations with a choice of which no point took both sides
    saturated: tuple[str, ...]  # where a proof failed: equations with a function that its point left no slope

    @property
    def passed(self) -> bool:
        return all(figure.passed for figure in self.figures)

    def worst(self, proof: int) -> Figure | None:
        """The figure that tells most about a proof: one that failed, else the one nearest to its bound."""
        figures = [figure for figure in self.figures if figure.proof == proof]
        side = -1 if proof == KNOCK_OUT else 1
        return max(
            figures,
            key=lambda figure: (not figure.passed, math.isnan(figure.error), side * figure.error),
            default=None,
        )

    def as_json(self) -> dict[str, object]:
        """For `--json`: nothing but what JSON can hold."""
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
                told.append(f"{'':<17}  ... and {len(more) - most} more FAILED; `lstmgen verify` tells all")
        return [*told, *self.counts()]

    def counts(self) -> list[str]:
        """What the figures were measured on."""
        def listed(sizes: Mapping[str, int]) -> str:
            return ", ".join(f"{symbol} = {size}" for symbol, size in sizes.items())

        told = [
            f"{self.entries} entries in {DIGITS} digits ({listed({**self.sizes, 'T': self.steps})}), "
            f"{self.module_entries} by complex steps "
            f"({listed({**self.module_sizes, 'T': self.module_steps, 'B': self.batch})}), "
            f"{self.forks} branches of forks cut"
        ]
        if self.redraws:
            told.append(f"{self.redraws} points drawn again: not finite, or too ill-conditioned")
        if self.untaken:
            told.append(f"no point took both sides of a choice in {', '.join(self.untaken)}")
        if self.saturated:
            names = [*self.saturated[:MOST_FAILED], *(["..."] if self.saturated[MOST_FAILED:] else [])]
            told.append(f"saturated where the proofs looked: {', '.join(names)}; "
                        "'range:' in the spec says where to draw parameters, inputs and states from")
        return told


# ---------------------------------------------------------------- measuring


def compared(
    proof: int, what: str, found: ArrayLike, expected: ArrayLike, scale: Real = 0.0, least: float = 0.0
) -> Figure:
    """A figure of what was found beside what was expected."""
    error = relative_error(found, expected, scale, least)
    return Figure(proof, what, error, BOUNDS[proof], error <= BOUNDS[proof])


def exactly(proof: int, what: str, holds: bool) -> Figure:
    """A figure of something that is either so or not."""
    return Figure(proof, what, 0.0 if holds else math.inf, BOUNDS[proof], bool(holds))


def worst_of(proof: int, what: str, errors: Iterable[float]) -> Figure:
    """One figure for many errors."""
    worst = max((math.inf if math.isnan(error) else error for error in errors), default=0.0)
    return Figure(proof, what, worst, BOUNDS[proof], worst <= BOUNDS[proof])


def relative_error(found: ArrayLike, expected: ArrayLike, scale: Real = 0.0, least: float = 0.0) -> float:
    """max|a - b| / max|b|, or / `least` where that is more.

    Both zero, or next to nothing beside `scale`, is no error; what is not a number is one.
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
