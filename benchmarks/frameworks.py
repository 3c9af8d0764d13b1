"""How fast the PyTorch and JAX outputs are, on a CPU: `make bench-frameworks`, or
`python benchmarks/frameworks.py [--quick] [-o PAGE]`.

Forward and backward together, in float32, measured as modules.py does: each contender in a process of its own, in
turns, after its gradients were compared. Of JAX also the memory that the compiled gradient needs beside its arguments.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from cells import CELLS
from contenders import jax_gradient, jax_module_gradient
from modules import GRID, HERE, QUICK, Case, Result, measure, versions

PAGE = HERE.parent / "build" / "bench" / "frameworks.md"
# torchrl's GRU, whose backward pass was written by hand: B 64, T 32, I 32, H 128
TORCHRL = Case("gru", "float32", (32, 64, 32, 128))
SINGLE = ((1, 1, 64, 64), (10, 1, 64, 64))  # what a call costs, with next to nothing to compute
IN_TORCH = ("Layer in C", "Layer", "torch eager", "torch.compile", "torch.nn")
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
    in_torch = IN_TORCH if any(map(shutil.which, ("cc", "gcc", "clang"))) else IN_TORCH[1:]
    lines: list[str] = []

    def add(head: str, *rows: str) -> None:
        lines.extend([f"## {head}", "", *rows, ""])
        print("\n".join(lines[-len(rows) - 3:]), flush=True)

    add("PyTorch, gru at torchrl's shape", *table(list(measure([TORCHRL], list(in_torch))), in_torch))
    for cell in CELLS:
        chosen = (*SINGLE, *sizes) if cell == "lstm" else sizes
        cases = [Case(cell, "float32", each) for each in chosen]
        add(f"PyTorch, {cell}", *table(list(measure(cases, list(in_torch))), in_torch))
    for cell in CELLS:
        cases = [Case(cell, "float32", each) for each in sizes]
        head, rule, *rows = table(list(measure(cases, list(IN_JAX))), IN_JAX)
        kept = [memory(case) for case in cases]
        rows = [f"{row} {ours / 2**20:.2f} | {theirs / 2**20:.2f} |" for row, (ours, theirs) in zip(rows, kept)]
        add(f"JAX, {cell}", f"{head} MiB | MiB of jax |", f"{rule}---:|---:|", *rows)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the PyTorch and JAX outputs beside other ways to the same gradients.")
    parser.add_argument("--quick", action="store_true", help="two sizes")
    parser.add_argument("-o", type=Path, default=PAGE, help="the page to write; build/bench/frameworks.md")
    chosen = parser.parse_args()
    told = versions(["torch eager", "jax"])
    lines = [f"# The PyTorch and JAX outputs beside other ways\n\n{told}. float32, forward and backward.\n",
             *sections(QUICK if chosen.quick else GRID)]
    chosen.o.parent.mkdir(parents=True, exist_ok=True)
    chosen.o.write_text("\n".join(lines), encoding="utf-8")
    print(f"wrote {chosen.o}")


if __name__ == "__main__":
    main()
