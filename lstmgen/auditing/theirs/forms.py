"""Values in the form in which their code keeps them, and back: rows, columns, flat; the batch first, second, or one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .records import COLUMNS, FIRST, FLAT, LAST, ONE


@dataclass(frozen=True)
class Form:
    """How one value of a step lies in an array of theirs, and where batch and time are."""

    vectors: str
    batch: str
    time: str = FIRST

    def sequence(self, array: np.ndarray) -> np.ndarray:
        """Ours (T, B, *shape) as theirs, of all steps."""
        if self.vectors == FLAT:
            found = array[:, 0]
            return np.moveaxis(found, 0, -1) if self.time == LAST and found.ndim == 2 else found
        if self.vectors == COLUMNS and array.ndim <= 3:
            found = self._columns(array)
            if self.batch == FIRST:
                return np.asarray(array.swapaxes(0, 1)[..., None]) if array.ndim == 3 else found
        elif self.vectors == COLUMNS:
            found = array[:, 0]
        else:
            found = array.swapaxes(0, 1) if self.batch == FIRST else array
            if self.time == LAST and found.ndim == 3:
                return np.moveaxis(found, 1 if self.batch == FIRST else 0, -1)
            return np.ascontiguousarray(found)
        return np.moveaxis(found, 0, -1) if self.time == LAST else found

    def _columns(self, array: np.ndarray) -> np.ndarray:
        """(T, B, n) as (T, n, B); a scalar of each step is a vector of one entry."""
        return np.swapaxes(array if array.ndim == 3 else array[..., None], 1, 2)

    def single(self, array: np.ndarray) -> np.ndarray:
        """Ours (B, *shape) as theirs, of one step."""
        return np.asarray(self.steps(array[None])[0])

    def steps(self, array: np.ndarray) -> np.ndarray:
        """Ours (T, B, *shape) as theirs, with the steps first: for code that does one step."""
        if self.vectors == FLAT or self.vectors == COLUMNS and array.ndim > 3:
            return array[:, 0]
        return self._columns(array) if self.vectors == COLUMNS else array

    def many(self, array: np.ndarray) -> np.ndarray:
        """Ours (B, *shape) as theirs, in code for all steps: an initial state."""
        return self.single(array)


def sequence_back(found: np.ndarray, steps: int, batch: int, shape: tuple[int, ...], form: Form) -> np.ndarray | None:
    """Theirs of all steps as ours (T, B, *shape); None where it is no such array.

    The form is tried first; then every other that fits, as code mixes them.
    """
    size = int(np.prod(shape))
    own = form.sequence(np.arange(steps * batch * size).reshape(steps, batch, *shape))
    for count in (steps, steps + 1):  # with the initial state in front
        if found.shape == (own.shape if count == steps else _longer(own.shape, steps)):
            return _undone(found, count, batch, shape, form)[-steps:]
    for other in _forms(batch):
        for count in (steps, steps + 1):
            wanted = other.sequence(np.zeros((count, batch, *shape))).shape
            if found.shape == wanted and steps not in (batch, *shape):
                return _undone(found, count, batch, shape, other)[-steps:]
    return None


def _longer(shape: tuple[int, ...], steps: int) -> tuple[int, ...]:
    return tuple(steps + 1 if size == steps else size for size in shape)


def _undone(found: np.ndarray, steps: int, batch: int, shape: tuple[int, ...], form: Form) -> np.ndarray:
    """By numbering the entries, forwards: so there is one place that says where they go."""
    numbers = np.arange(steps * batch * int(np.prod(shape))).reshape(steps, batch, *shape)
    ours = np.empty(numbers.size, found.dtype)
    ours[form.sequence(numbers).ravel()] = found.ravel()
    return ours.reshape(numbers.shape)


def _forms(batch: int) -> Iterator[Form]:
    for time in (FIRST, LAST):
        for vectors in ("rows", COLUMNS, FLAT):
            for order in ("second", FIRST):
                if vectors != FLAT or batch == 1:
                    yield Form(vectors, ONE if batch == 1 else order, time)


def single_back(found: np.ndarray, batch: int, shape: tuple[int, ...], form: Form) -> np.ndarray | None:
    """Theirs of one step as ours (B, *shape); None where it is no such array."""
    numbers = np.arange(batch * int(np.prod(shape))).reshape(batch, *shape)
    for each in (form, *_forms(batch)):
        if each.vectors == FLAT and batch > 1:
            continue
        turned = each.single(numbers)
        if turned.shape == found.shape:
            ours = np.empty(numbers.size, found.dtype)
            ours[turned.ravel()] = found.ravel()
            return ours.reshape(numbers.shape)
    return None
