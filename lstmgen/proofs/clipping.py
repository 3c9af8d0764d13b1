"""What the proofs put in place of the clips of `clip_gradient`.

A clipped gradient is no linear function of what arrives, and so it is no derivative of anything. But a clip is a function of
its bound and of what arrives at one place, and of nothing else. So the proofs put another such function there: a
multiplication by 1 / (1 + bound), which differs from bound to bound. With it, the gradient is the derivative of a forward
pass in which the value moves by that part of its argument's move. That proves all but the clip itself: where it is, with
which bound, and every other contribution. `ModuleProofs.clipped` then compares clipped gradients.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from ..language.evaluate import Floats

CALL = "clip_gradient"
_Math = TypeVar("_Math", bound=Floats)
_FORWARD, _BACKWARD = "_clip_gradient", "_clipped"  # the helpers of the NumPy module


def unclipped(arithmetic: _Math) -> _Math:
    """The arithmetic with the multiplication in place of clips."""

    def multiplied(gradient: np.ndarray, bound: np.ndarray) -> np.ndarray:
        return arithmetic.array(arithmetic.divide(*np.broadcast_arrays(gradient, 1 + bound)))

    found: Any = copy.copy(arithmetic)
    found.clipped = multiplied
    return found  # type: ignore[no-any-return]


def moved(value: np.ndarray, still: np.ndarray, bound: Any) -> np.ndarray:
    """The value of clip_gradient in a forward pass whose argument has moved, from `still` to `value`."""
    return np.where(value == still, still, still + (value - still) / (1 + bound))


def can_be_replaced(module: ModuleType) -> bool:
    """Whether a module has the helpers: a NumPy module of a cell with clips."""
    return _BACKWARD in vars(module)


@contextmanager
def replaced(module: ModuleType) -> Iterator[None]:
    """Put the multiplication into a NumPy module while this lasts; a module without clips stays as it is."""

    def forward(a: np.ndarray, bound: float) -> np.ndarray:
        if not np.iscomplexobj(a):
            return a
        found: np.ndarray = np.real(a) + 1j * (np.imag(a) / (1 + bound))
        return found

    def backward(gradient: np.ndarray, bound: float) -> np.ndarray:
        found: np.ndarray = gradient / (1 + bound)
        return found

    names = vars(module)
    kept = {name: names[name] for name in (_FORWARD, _BACKWARD) if name in names}
    try:
        names.update({name: {_FORWARD: forward, _BACKWARD: backward}[name] for name in kept})
        yield
    finally:
        names.update(kept)
