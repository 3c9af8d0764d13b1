"""What is done on purpose to gradients that are right: clipped, averaged, scaled, turned round. To all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


def around(
    theirs: Arrays, ours: Arrays, differing: Collection[str], steps: int, batch: int,
    agree: Callable[[np.ndarray, np.ndarray], bool],
) -> str:
    """One sentence about all gradients that differ; "" where there is none."""
    if any(theirs[name].shape != ours[name].shape or not np.isfinite(theirs[name]).all() for name in differing):
        return ""
    names = ", ".join(differing)
    whose = f"the gradients of {names} are" if len(differing) > 1 else f"the gradient of {names} is"
    whose = "all gradients are" if 1 < len(differing) == len(theirs) else whose
    limit = max(float(np.abs(theirs[name]).max(initial=0)) for name in differing)
    factor = _factor([(theirs[name], ours[name]) for name in differing])
    if factor and all(agree(factor * ours[name], theirs[name]) for name in differing):
        return f"{whose} right but for one factor, {_told(factor, theirs, differing, steps, batch)}"
    if all(agree(np.clip(ours[name], -limit, limit), theirs[name]) for name in differing):
        return f"{whose} right but for a clip of every entry to [-{limit:.4g}, {limit:.4g}]"
    return ""


def _factor(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """By which number theirs are ours, if they are: by the largest entry of ours."""
    said, true = max(pairs, key=lambda pair: float(np.abs(pair[1]).max(initial=0)))
    at = int(np.argmax(np.abs(true)))
    return float(said.flat[at] / true.flat[at]) if true.size and true.flat[at] else 0.0


def _told(factor: float, theirs: Arrays, differing: Collection[str], steps: int, batch: int) -> str:
    """The factor, and where it may come from. A sum over batch and steps is what lstmgen takes."""
    for value, told in ((-1, "the opposite sign"), (1 / batch, f"1/{batch}: averaged over the batch of {batch}"),
                        (1 / steps, f"1/{steps}: averaged over the {steps} steps"),
                        (1 / (steps * batch), f"1/{steps * batch}: averaged over batch and steps")):
        if np.isclose(factor, value, rtol=1e-9):
            return told
    norm = float(np.sqrt(sum((theirs[name] ** 2).sum() for name in differing)))
    if factor > 0 and np.isclose(norm, float(f"{norm:.2g}"), rtol=1e-6):
        return f"{factor:.4g}: scaled to the norm {norm:.2g}"
    return f"{factor:.4g}" + (": a learning rate, perhaps" if 0 < abs(factor) < 1 else "")
