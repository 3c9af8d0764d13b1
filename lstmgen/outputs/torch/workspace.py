"""How many bytes a workspace of the C target takes at most, as Python: torch.compile has to know it for sizes that vary.

It may say more than is needed, since memory that is never touched costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...language.shapes import Shape
from ...schedule.program import CHUNK, LOCAL, PARAMETER_ARRAY, ROW, STATE, STILL_ARRAY, SUM, TAPE, Array, Program
from ..numpy.lines import size

LANES = 16  # the most reals that a vector of any machine has: a packed matrix is filled up to whole vectors
PANEL = 64  # no fewer than the columns of a panel
OTHERS = 40  # members of the structs that no array stands for


def workspace_lines(program: Program, checkpoint: int | None) -> dict[str, str]:
    """The reals for each row of the batch at every step, for each example, for each row of a chunk, for each thread, once."""
    arrays = [array for array in program.arrays.values() if array.lifetime not in (LOCAL, PARAMETER_ARRAY)]
    graph = program.schedule.graph
    outer = [program.arrays[name].shape for name in program.outer]
    matrices = [program.arrays[name].shape for name in program.matrices]
    of_row = [array.shape for array in arrays if array.lifetime in (TAPE, STATE)]
    of_example = [array.shape for array in arrays if array.lifetime not in (TAPE, CHUNK, ROW, SUM, STILL_ARRAY)]
    if checkpoint:  # inputs and states from which steps are computed again
        of_row += [graph.shapes[name] for name in (*graph.inputs, *graph.targets, *graph.states)]
        of_example += [graph.shapes[name] for name in graph.states]
    of_chunk = [_reals([array.shape for array in arrays if array.lifetime == CHUNK])]
    of_chunk += [f"{PANEL}", *(f"{size(shape[0])} + {size(shape[1])}" for shape in outer)] if outer else []
    packed = [f"({size(rows)} + {LANES}) * ({size(columns)} + {LANES}) * 2" for rows, columns in matrices]
    return {
        "of_row": _reals(of_row), "of_example": _reals(of_example), "of_chunk": " + ".join(of_chunk),
        "of_thread": _reals([*_shapes(arrays, ROW, SUM), *outer]),
        "once": " + ".join([_reals(_shapes(arrays, STILL_ARRAY)), *packed]),
        "members": str(len(arrays) + 5 * len(matrices) + len(outer) + len(program.schedule.parameters) + OTHERS),
    }


def _shapes(arrays: Iterable[Array], *lifetimes: str) -> list[Shape]:
    return [array.shape for array in arrays if array.lifetime in lifetimes]


def _reals(shapes: Iterable[Shape]) -> str:
    """How many entries arrays of these shapes have, as code."""
    counts: dict[str, int] = {}
    for shape in shapes:
        factors = [f"({size(dim)})" if len(shape) > 1 and len(size(dim).split()) > 1 else size(dim) for dim in shape]
        entries = " * ".join(factors) or "1"
        counts[entries] = counts.get(entries, 0) + 1
    told = [entries if count == 1 else f"{count} * ({entries})" if " " in entries else f"{count} * {entries}"
            for entries, count in counts.items()]
    return " + ".join(told) or "0"
