"""How fast the PyTorch and JAX outputs are, on a CPU: `make bench-frameworks`, or
`python benchmarks/frameworks.py [--quick] [-o PAGE]`.

Forward and backward together, in float32, measured as modules.py does: each contender in a process of its own, in
turns, after its gradients were compared. Of all times of a contender the least counts, since other processes can only
add to it. Of JAX also the memory that the compiled gradient needs beside its arguments.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from pathlib import Path

import numpy as np
from cells import CELLS
from contenders import jax_gradient, jax_module_gradient
from modules import GRID, HERE, PAGE, QUICK, Case, Result, measure, versions

QUICK_PAGE = HERE.parent / "build" / "bench" / "frameworks.md"
ROUNDS = 6
# torchrl's GRU, whose backward pass was written by hand: B 64, T 32, I 32, H 128
TORCHRL = Case("gru", "float32", (32, 64, 32, 128))
SINGLE = ((1, 1, 64, 64), (10, 1, 64, 64))  # what a call costs, with next to nothing to compute
IN_TORCH = ("Layer in C", "Layer", "torch eager", "torch.compile", "torch.nn")
FLOOR = ("C", "torch products")  # the same C without PyTorch, and the matrix products alone, in PyTorch's BLAS
IN_JAX = ("jax module", "jax")


def table(results: list[Result], names: tuple[str, ...]) -> list[str]:
    """Milliseconds of the first contender, and how many times as long the others take."""
    first, *others = [name for name in names if any(name in result.seconds for result in results)]
    lines = [f"| T, B, D, H | {first}, ms | {' | '.join(others)} |", "|---|---:|" + "---:|" * len(others)]
    for result in results:
        ours = result.seconds[first]
        row = [", ".join(map(str, result.case.sizes)), f"{1e3 * ours:.3g}"]
        row += [f"{result.seconds[name] / ours:.2f}" if name in result.seconds else "" for name in others]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def memory(case: Case) -> tuple[int, int]:
    """Bytes that the compiled gradient needs beside arguments and results: of our module, and of the written-out scan."""
    steps, batch, size, hidden = case.sizes
    cell, rows = CELLS[case.cell], len(CELLS[case.cell].gates) * hidden
    p = {"W": np.zeros((rows, size)), "R": np.zeros((rows, hidden)), "b": np.zeros(rows)}
    p = {name: array.astype(case.dtype) for name, array in (p | {name: np.zeros(hidden) for name in cell.others}).items()}
    x, dy = (np.zeros((steps, batch, width), case.dtype) for width in (size, hidden))
    found = []
    for make in (jax_module_gradient, jax_gradient):
        gradient, arguments = make(cell, p, x, dy)
        found.append(gradient.lower(*arguments).compile().memory_analysis().temp_size_in_bytes)
    return found[0], found[1]


def sections(sizes: tuple[tuple[int, int, int, int], ...]) -> list[str]:
    """The tables, one after the other; each is printed when it is there."""
    has_compiler = any(map(shutil.which, ("cc", "gcc", "clang")))
    in_torch, floor = (IN_TORCH, FLOOR) if has_compiler else (IN_TORCH[1:], FLOOR[1:])
    lines: list[str] = []

    def add(head: str, *rows: str) -> None:
        lines.extend([f"### {head}", "", *rows, ""])
        print("\n".join(lines[-len(rows) - 3:]), flush=True)

    def told(cases: list[Case], names: tuple[str, ...]) -> list[str]:
        return table(list(measure(cases, list(names), ROUNDS, min)), names)

    add("PyTorch, gru at torchrl's shape", *told([TORCHRL], (*in_torch, *floor)))
    for cell in CELLS:
        chosen = (*SINGLE, *sizes) if cell == "lstm" else sizes
        add(f"PyTorch, {cell}", *told([Case(cell, "float32", each) for each in chosen], in_torch))
    for cell in CELLS:
        cases = [Case(cell, "float32", each) for each in sizes]
        head, rule, *rows = told(cases, IN_JAX)
        kept = [memory(case) for case in cases]
        rows = [f"{row} {ours / 2**20:.2f} | {theirs / 2**20:.2f} |" for row, (ours, theirs) in zip(rows, kept)]
        add(f"JAX, {cell}", f"{head} MiB | MiB of jax |", f"{rule}---:|---:|", *rows)
    return lines


def put(text: str, page: str) -> str:
    """The page with the text between its marks, or the text alone where it has none."""
    start, end = "<!-- frameworks -->\n", "<!-- end of frameworks -->\n"
    return re.sub(f"(?s)(?<={start}).*?(?={end})", lambda _: text, page) if start in page else text


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the PyTorch and JAX outputs beside other ways to the same gradients.")
    parser.add_argument("--quick", action="store_true", help="two sizes")
    parser.add_argument("-o", type=Path, help=f"the page to write; {PAGE.name} in docs/, or with --quick in build/bench/")
    chosen = parser.parse_args()
    path = chosen.o or (QUICK_PAGE if chosen.quick else PAGE)
    told = f"This run: {os.cpu_count()} cores; {versions(['torch eager', 'jax'])}."
    text = "\n".join([told, "", *sections(QUICK if chosen.quick else GRID)]).rstrip() + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(put(text, path.read_text(encoding="utf-8") if path.exists() else ""), encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
