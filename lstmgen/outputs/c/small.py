"""How large a workspace is on a small machine, as an expression that C knows when it compiles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...language.shapes import Dim, Shape, size_of
from ...schedule.program import CARRY, CHUNK, FINAL, ROW, STATE, STEP, STILL_ARRAY, SUM, TAPE

# How many rows an array has, with one example and chunks of one step: as many as the tape has steps; and others.
ROWS = {STILL_ARRAY: (0, 1), ROW: (0, 1), SUM: (0, 1), STEP: (0, 1), CARRY: (0, 1), FINAL: (0, 1), CHUNK: (0, 1),
        TAPE: (1, 0), STATE: (1, 1)}


def small_workspace(
    arrays: Iterable[tuple[str, Shape]], states: Iterable[Shape], symbols: Sequence[str], name_of: Callable[[str], str]
) -> dict[str, object]:
    """What `cell.h.jinja` says of it: the reals by step of the tape, by state that is kept, and once.

    `arrays` are lifetimes and shapes of rows, `symbols` the names of the sizes in C.
    """
    by_step, once, kept = Dim(), Dim(), Dim()
    for lifetime, shape in arrays:
        of_each_step, of_all = ROWS[lifetime]
        by_step += size_of(shape).times(of_each_step)
        once += size_of(shape).times(of_all)
    for shape in states:
        kept += size_of(shape)
    return {
        "steps": "steps" if "T" in symbols else "T", "by_step": _told(by_step, name_of), "kept": _told(kept, name_of),
        "once": _told(once, name_of),
    }


def _told(total: Dim, name_of: Callable[[str], str]) -> str:
    """As C, the longest products first."""
    terms = []
    for symbols, factor in sorted(total.monomials(), key=lambda item: (-len(item[0]), item[0])):
        names = "*".join(map(name_of, symbols))
        terms.append(f"{factor}*{names}" if names and factor > 1 else names or str(factor))
    return " + ".join(terms) or "0"
