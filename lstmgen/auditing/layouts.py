"""Gradients in the layouts in which people keep them: matrices transposed, vectors as columns, the batch first."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


def laid_out(
    theirs: Arrays, ours: Arrays, agree: Callable[[np.ndarray, np.ndarray], bool]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Their gradients in our layout, and a note for each layout that was another.

    A layout is taken to be another if a shape shows it and nothing but the layout is wrong.
    """
    found, notes = dict(theirs), []
    for turned, told in ((_transposed, "matrices are transposed (inputs, outputs), as in code that computes x @ W"),
                         (_columns, "vectors are columns or rows of a matrix"),
                         (_batch_first, "values of every step have the batch first")):
        changed = {name: array for name in theirs if (array := turned(theirs[name], ours[name])) is not None}
        shown = [name for name in changed if theirs[name].shape != ours[name].shape]
        if shown and all(agree(ours[name], changed[name]) for name in shown):
            for name, array in changed.items():
                if name in shown or not agree(ours[name], theirs[name]) and agree(ours[name], array):
                    found[name] = array
            notes.append(f"{told}: read so")
    return found, tuple(notes)


def _transposed(said: np.ndarray, true: np.ndarray) -> np.ndarray | None:
    return said.T if true.ndim == 2 and said.shape == true.shape[::-1] else None


def _columns(said: np.ndarray, true: np.ndarray) -> np.ndarray | None:
    if true.ndim == 1 and said.ndim == 2 and said.size == true.size and 1 in said.shape:
        return said.reshape(true.shape)
    return None


def _batch_first(said: np.ndarray, true: np.ndarray) -> np.ndarray | None:
    if true.ndim >= 3 and said.ndim == true.ndim and said.shape == (true.shape[1], true.shape[0], *true.shape[2:]):
        return said.swapaxes(0, 1)
    return None
