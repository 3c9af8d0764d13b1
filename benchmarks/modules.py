"""How fast generated modules are: `make bench`, or `python benchmarks/modules.py [--quick] [-o PAGE]`.

Forward and backward together, beside what one would use instead. Each contender has a process of its own, since
thread pools disturb each other, and is stopped while others run. They take turns in bursts, so that a slow
second of the machine is everybody's; and each one's gradients are held against the others' before its time
counts. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from cells import CELLS, stacked
from contenders import CONTENDERS, FLOORS, module_of

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
QUICK_PAGE = HERE.parent / "build" / "bench" / "performance.md"
PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # may pin a slow kernel: unset for all
GRID = ((20, 1, 16, 16), (100, 1, 64, 64), (35, 20, 200, 200), (50, 32, 128, 128), (100, 64, 256, 256),
        (50, 64, 512, 512), (784, 32, 1, 128))
QUICK = ((20, 1, 16, 16), (50, 32, 128, 128))
NEEDS = {"torch products": "torch", "torch eager": "torch", "torch.compile": "torch", "torch.nn": "torch",
         "jax": "jax", "autograd": "autograd", "Layer": "torch", "Layer in C": "torch", "jax module": "jax"}
CLOSE = {"float32": 2e-3, "float64": 1e-9}  # how far gradients may be from ours, relative
ROUNDS, BURST = 3, 0.06  # turns, and seconds of one, which has two runs at least
COMPILED = ("peephole_lstm", "float32")  # each size is compiled anew, for 10 s and more


@dataclass(frozen=True)
class Case:
    """One size of one cell."""

    cell: str
    dtype: str
    sizes: tuple[int, int, int, int]  # steps, examples, input, hidden


@dataclass(frozen=True)
class Result:
    """What one case took: the seconds of a run, by contender."""

    case: Case
    seconds: dict[str, float]
    prepared: dict[str, float]  # seconds to the end of the first run


def competes(contender: str, case: Case) -> bool:
    if contender == "torch.nn":
        return case.cell in ("lstm", "gru")
    return contender != "torch.compile" or (case.cell, case.dtype) == COMPILED


class Contender:
    """A process that runs one contender."""

    def __init__(self, name: str, folder: Path):
        environment = os.environ | {
            "PYTHONPATH": str(HERE.parent), "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled")}  # empty, or an earlier run has done the compiling
        self.complaints = folder / f"{name}.txt"
        with self.complaints.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "contenders.py"), name], env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)

    def ask(self, task: dict) -> dict:
        self.process.send_signal(signal.SIGCONT)
        print(json.dumps(task), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        self.process.send_signal(signal.SIGSTOP)  # threads that wait for work may spin
        if not line:
            raise ChildProcessError(f"{self.process.args[-1]} ended with status {self.process.wait()}:\n"
                                    f"{self.complaints.read_text()[-2000:]}")
        return json.loads(line)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def write_case(case: Case, path: Path) -> None:
    """Random data, and the gradients that a module computes from it in float64."""
    steps, batch, size, hidden = case.sizes
    cell, module, random = CELLS[case.cell], module_of(case.cell), np.random.default_rng(0)
    params = module.init_params(size, hidden, dtype=np.float64)
    x, dy = random.standard_normal((steps, batch, size)), random.standard_normal((steps, batch, hidden))
    _, _, tape = module.forward(params, x)
    grads = module.backward(params, tape, dy)
    expected = stacked(cell, module.named(grads.params)) | {"x": grads.x}
    arrays = stacked(cell, module.named(params)) | {"x": x, "dy": dy}
    arrays = {name: array.astype(case.dtype) for name, array in arrays.items()}
    np.savez(path, cell=case.cell, **arrays, **{f"d_{name}": array for name, array in expected.items()})


def measure(cases: list[Case], names: list[str], rounds: int = ROUNDS,
            choose: Callable[[list[float]], float] = median) -> Iterator[Result]:
    """Case after case, all contenders side by side, in so many turns. `choose` makes one number of a contender's times."""
    contenders: dict[str, Contender] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name in names:
                contenders[name] = Contender(name, Path(folder))
            for case in cases:
                path = Path(folder) / "case.npz"
                write_case(case, path)
                taking_part = {name: each for name, each in contenders.items() if competes(name, case)}
                prepared = {}
                for name, each in taking_part.items():
                    loaded = each.ask({"load": str(path)})
                    if not loaded["error"] <= CLOSE[case.dtype]:
                        raise ArithmeticError(f"{name} is {loaded['error']:.1e} away from the others in {case}")
                    prepared[name] = loaded["seconds"]
                times: dict[str, list[float]] = {name: [] for name in taking_part}
                for _ in range(rounds):
                    for name, each in taking_part.items():
                        times[name] += each.ask({"burst": BURST})["times"]
                yield Result(case, {name: choose(each) for name, each in times.items()}, prepared)
        finally:
            for each in contenders.values():
                each.end()


# ---------------------------------------------------------------- memory and streaming


def tape_per_step(cell: str) -> tuple[int, int]:
    """Arrays of (B, H) that the tape holds for each step, and how many stages and states there are to hold."""
    module = module_of(cell)
    steps, size = 50, 64
    params = module.init_params(size, size)
    _, _, tape = module.forward(params, np.zeros((steps, 8, size), np.float32))
    bases = {id(base): base for base in (array if array.base is None else array.base for array in tape.kept)}
    held = sum(base.nbytes for base in bases.values())
    return round(held / (steps * 8 * size * 4)), len(module.State._fields)


def peak_of(cell: str, sizes: tuple[int, int, int, int], checkpoint: int | None = None) -> int:
    """The most bytes that forward and backward hold at once, beside their arguments."""
    from lstmgen.outputs.numpy.module import module_source
    from lstmgen.pipeline import derive, execute, load
    from lstmgen.schedule.make import make_schedule

    text = module_source(make_schedule(derive(load(cell))), verified=False, checkpoint=checkpoint)
    module, (steps, batch, size, hidden) = execute(text, cell), sizes
    params = module.init_params(size, hidden)
    x = np.random.default_rng(0).standard_normal((steps, batch, size)).astype(np.float32)
    dy = np.ones((steps, batch, hidden), np.float32)
    tracemalloc.start()
    _, _, tape = module.forward(params, x)
    module.backward(params, tape, dy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def streaming(cell: str, hidden: int) -> float:
    """One `step` of one example, by the time of its two matrix products."""
    from timeit import repeat

    module = module_of(cell)
    params = module.init_params(hidden, hidden)
    x = np.ones((1, hidden), np.float32)
    _, state = module.step(params, x)
    W, R = params["W"], params["R"]
    runs = max(20, 200_000 // hidden**2)
    pairs = [(min(repeat(lambda: module.step(params, x, state), number=runs, repeat=3)),
              min(repeat(lambda: (x @ W.T, state[0] @ R.T), number=runs, repeat=3))) for _ in range(5)]
    return median(ours / products for ours, products in pairs)


# ---------------------------------------------------------------- the page


def blas() -> str:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "an unknown BLAS"
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return "; ".join(f"{each['internal_api']} {each['version']}, kernel {each.get('architecture', 'unknown')}, "
                     f"{each['num_threads']} threads" for each in libraries)


def versions(names: list[str]) -> str:
    modules = dict.fromkeys(NEEDS[name] for name in names if name in NEEDS)
    from importlib.metadata import version

    return ", ".join([f"Python {platform.python_version()}", f"NumPy {np.__version__}",
                      *(f"{name} {version(name)}" for name in modules)])


def table(results: list[Result], names: list[str]) -> list[str]:
    """How many times as long as the generated module each contender takes; the floor the other way round."""
    others = [name for name in names if name not in ("lstmgen", *FLOORS)]
    in_torch = ["torch's floor"] if "torch products" in names else []
    lines = [f"| {' | '.join(['T, B, D, H', 'milliseconds', 'of the floor', *in_torch, *others])} |",
             "|---|---:|---:|" + "---:|" * len([*in_torch, *others])]
    for result in results:
        ours = result.seconds["lstmgen"]
        row = [", ".join(map(str, result.case.sizes)), f"{1e3 * ours:.3g}", f"{ours / result.seconds['floor']:.2f}"]
        row += [f"{result.seconds['torch products'] / result.seconds['floor']:.2f}" for _ in in_torch]
        row += [f"{result.seconds[name] / ours:.2f}" if name in result.seconds else "" for name in others]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def c_table(results: list[Result], names: list[str]) -> list[str]:
    """How many times as long as the C each contender takes."""
    others = [name for name in names if name not in ("C", *FLOORS)]
    lines = [f"| {' | '.join(['T, B, D, H', 'milliseconds', *others])} |", "|---|---:|" + "---:|" * len(others)]
    for result in results:
        ours = result.seconds["C"]
        row = [", ".join(map(str, result.case.sizes)), f"{1e3 * ours:.3g}"]
        row += [f"{result.seconds[name] / ours:.2f}" if name in result.seconds else "" for name in others]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def page(results: list[Result], names: list[str]) -> str:
    told = (HERE / "performance.md").read_text(encoding="utf-8")
    tables, in_c = [], []
    for cell in CELLS:
        for dtype in ("float32", "float64"):
            chosen = [each for each in results if (each.case.cell, each.case.dtype) == (cell, dtype)]
            if chosen:
                shown = [name for name in names if any(name in each.seconds for each in chosen)]
                tables += [f"### {cell}, {dtype}", "", *table(chosen, [name for name in shown if name != "C"]), ""]
                in_c += [f"### {cell}, {dtype}", "", *c_table(chosen, shown), ""] if "C" in shown else []
    compiled = [each.prepared["torch.compile"] for each in results if "torch.compile" in each.prepared]
    compiling = f"To compile a step took {min(compiled):.0f} to {max(compiled):.0f} s for each size. " if compiled else ""
    streams = [f"| {hidden} | " + " | ".join(f"{streaming(cell, hidden):.2f}" for cell in CELLS) + " |"
               for hidden in (16, 64, 256, 512)]
    sizes = (50, 32, 128, 128)
    memory = []
    for cell in CELLS:
        arrays, states = tape_per_step(cell)
        memory.append(f"| {cell} | {arrays} | {peak_of(cell, sizes) / 2**20:.1f} |")
    long = (100_000, 1, 64, 64)
    whole, kept = (peak_of("peephole_lstm", long, every) / 2**20 for every in (None, 300))
    values = {
        "machine": f"{os.cpu_count()} cores, {blas()}; {versions(names)}", "tables": "\n".join(tables).rstrip(),
        "in_c": "\n".join(in_c).rstrip() or "No C compiler was found.",
        "compiling": compiling, "cells": " | ".join(CELLS), "streams": "\n".join(streams),
        "rule": "---:|" * len(CELLS), "memory": "\n".join(memory), "whole": f"{whole:.0f}", "kept": f"{kept:.0f}",
    }
    for name, value in values.items():
        told = told.replace("{" + name + "}", value)
    return told


def with_others(text: str, path: Path) -> str:
    """The page with what `generator.py`, `native.py` and `frameworks.py` wrote into the one that it replaces."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    for first, last in (("generator", "end"), ("native", "end of native"), ("frameworks", "end of frameworks")):
        section = re.compile(f"(?s)<!-- {first} -->\n.*?<!-- {last} -->\n")
        if written := section.search(before):
            text = section.sub(lambda _, kept=written[0]: kept, text)
    return text


def plot(results: list[Result], names: list[str], path: Path) -> None:
    """Of each size and contender how many times as long it takes as the generated module, in float32."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colours = {"C": "#2e8540", "floor": "#9aa0a8", "torch eager": "#d1495b", "torch.compile": "#8d5a97",
               "torch.nn": "#edae49", "jax": "#00798c", "autograd": "#30638e"}
    chosen = [each for each in results if each.case.dtype == "float32"]
    cells = [cell for cell in CELLS if any(each.case.cell == cell for each in chosen)]
    figure, axes = plt.subplots(1, len(cells), figsize=(3.1 * len(cells), 3.6), sharey=True, squeeze=False)
    for axis, cell in zip(axes[0], cells):
        rows = [each for each in chosen if each.case.cell == cell]
        for name in names[1:]:
            if name == "torch products":
                continue
            points = [(at, each.seconds[name] / each.seconds["lstmgen"])
                      for at, each in enumerate(rows) if name in each.seconds]
            if points:
                axis.plot(*zip(*points), "o-" if name != "floor" else "s--", color=colours[name], label=name,
                          markersize=4, linewidth=1.2)
        axis.axhline(1, color="black", linewidth=1)
        axis.set_yscale("log")
        axis.set_xticks(range(len(rows)), [" ".join(map(str, each.case.sizes)) for each in rows], rotation=60,
                        ha="right", fontsize=7)
        axis.set_title(cell, fontsize=10)
        axis.grid(axis="y", color="#e4e6ea", linewidth=0.6)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[0][0].set_ylabel("time, by that of the generated module")
    handles = {label: handle for axis in axes[0] for handle, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="upper center", ncols=len(handles), frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description="Times generated modules beside other ways to the same gradients.")
    parser.add_argument("--quick", action="store_true", help="two sizes, float32, nothing compiled")
    parser.add_argument("--types", nargs="+", default=("float32", "float64"), help="which of float32 and float64")
    parser.add_argument("-o", type=Path, help=f"the page to write; {PAGE.name} in docs/, or with --quick in build/bench/")
    chosen = parser.parse_args()
    path = chosen.o or (QUICK_PAGE if chosen.quick else PAGE)
    if any(name in os.environ for name in PINS):  # this process has loaded its BLAS: start anew
        clean = {name: value for name, value in os.environ.items() if name not in PINS}
        os.execve(sys.executable, [sys.executable, *sys.argv], clean)
    names = [name for name in CONTENDERS if name not in NEEDS or importlib.util.find_spec(NEEDS[name])]
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        names.remove("C")
    if chosen.quick and "torch.compile" in names:
        names.remove("torch.compile")
    kinds = ("float32",) if chosen.quick else chosen.types
    cases = [Case(cell, dtype, sizes) for cell in CELLS for dtype in kinds for sizes in (QUICK if chosen.quick else GRID)]
    results = []
    for result in measure(cases, names):
        results.append(result)
        ours = result.seconds["lstmgen"]
        shown = "  ".join(f"{name} {seconds / ours:.2f}" for name, seconds in result.seconds.items() if name != "lstmgen")
        print(f"{result.case.cell:<14} {result.case.dtype} {result.case.sizes!s:<20} {1e3 * ours:8.2f} ms   {shown}",
              flush=True)
    images = path.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    path.write_text(with_others(page(results, names), path), encoding="utf-8")
    if importlib.util.find_spec("matplotlib"):
        plot(results, names, images / "performance.png")


if __name__ == "__main__":
    main()
