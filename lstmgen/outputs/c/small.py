"""How large a workspace is on a small machine, as an expression that C knows when it compiles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...language.shapes import Dim, Shape
from ...schedule.program import CARRY, CHUNK, FINAL, ROW, STATE, STEP, STILL_ARRAY, SUM, TAPE

# How many rows an array has, with one example and chunks of one step: as many as the tape has steps; and others.
ROWS = {STILL_ARRAY: (0, 1), ROW: (0, 1), SUM: (0, 1), STEP: (0, 1), CARRY: (0, 1), FINAL: (0, 1), CHUNK: (0, 1),
        TAPE: (1, 0), STATE: (1, 1)}

Count = dict[tuple[str, ...], int]  # a sum of products of sizes: {("H", "K"): 2, (): 1} is 2*H*K + 1


def small_workspace(
    arrays: Iterable[tuple[str, Shape]], states: Iterable[Shape], symbols: Sequence[str], name_of: Callable[[str], str]
) -> dict[str, object]:
    """What `cell.h.jinja` says of it: the reals by step of the tape, by state that is kept, and once.

    `arrays` are lifetimes and shapes of rows, `symbols` the names of the sizes in C.
    """
    by_step: Count = {}
    once: Count = {}
    kept: Count = {}
    for lifetime, shape in arrays:
        for rows, whole in zip(ROWS[lifetime], (by_step, once)):
            _add(whole, shape, rows)
    for shape in states:
        _add(kept, shape, 1)
    return {
        "steps": "steps" if "T" in symbols else "T", "by_step": _told(by_step, name_of), "kept": _told(kept, name_of),
        "once": _told(once, name_of),
    }


def _add(whole: Count, shape: Shape, rows: int) -> None:
    for symbols, factor in _entries(shape).items():
        whole[symbols] = whole.get(symbols, 0) + rows * factor


def _entries(shape: Shape) -> Count:
    """How many entries an array of that shape has."""
    product: Count = {(): 1}
    for dim in shape:
        longer: Count = {}
        for symbols, factor in product.items():
            for others, more in _terms(dim):
                key = tuple(sorted((*symbols, *others)))
                longer[key] = longer.get(key, 0) + factor * more
        product = longer
    return product


def _terms(dim: Dim) -> list[tuple[tuple[str, ...], int]]:
    terms: list[tuple[tuple[str, ...], int]] = [((symbol,), factor) for symbol, factor in dim.terms]
    return [*terms, ((), dim.constant)] if dim.constant else terms


def _told(total: Count, name_of: Callable[[str], str]) -> str:
    """As C, the longest products first."""
    terms = []
    for symbols, factor in sorted(total.items(), key=lambda item: (-len(item[0]), item[0])):
        names = "*".join(map(name_of, symbols))
        if factor:
            terms.append(f"{factor}*{names}" if names and factor > 1 else names or str(factor))
    return " + ".join(terms) or "0"
