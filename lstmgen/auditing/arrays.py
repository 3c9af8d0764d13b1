"""Comparing arrays: what is close, what is the same, what is a multiple of what."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..language.evaluate import Floats

SAME = 1e-8  # of two arrays that are compared while an explanation is searched


def close(said: np.ndarray, true: np.ndarray, bound: float, floor: float = 0.0) -> bool:
    """Row by row: a small gradient is not lost beside a large one. `floor` is what counts as rounding.

    What is not finite is close to nothing.
    """
    if not (np.isfinite(said).all() and np.isfinite(true).all()):
        return False
    rows = len(true)
    difference = np.abs(said - true).reshape(rows, -1).max(axis=1, initial=0)
    sizes = np.maximum(np.abs(true), np.abs(said)).reshape(rows, -1).max(axis=1, initial=0)
    return bool(
        np.all(difference <= bound * np.maximum(np.maximum(sizes, 1e-4 * sizes.max(initial=0)), floor))
    )


def largest(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0))


def diagonal(array: np.ndarray, math: Floats) -> np.ndarray:
    """(rows, n) -> (rows, n, n), each row on the diagonal of a matrix."""
    matrices: np.ndarray = array[:, :, None] * math.array(np.eye(array.shape[1]))[None]
    return matrices


def constant_ratio(above: np.ndarray, below: np.ndarray) -> Fraction | None:
    """The number that one array is of the other."""
    at = int(np.argmax(np.abs(below)))
    if not below.flat[at]:
        return None
    ratio = float(above.flat[at] / below.flat[at])
    if not np.isfinite(ratio) or abs(ratio) > 1000:
        return None
    near = Fraction(ratio).limit_denominator(24)
    scale = max(largest(above), largest(below))
    return near if near and np.max(np.abs(above - float(near) * below)) <= SAME * scale else None
