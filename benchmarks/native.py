"""What the C of the plain LSTM reaches on this machine: `python benchmarks/native.py`, with `make bench`.

By vector units, beside the peak of one tile, and on a machine that is busy with other work. The tables go into
docs/performance.md, in place of those that stood there.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from modules import BURST, PAGE, Case, Contender, write_case

from lstmgen.outputs.c.module import c_header, c_source
from lstmgen.pipeline import derive, load
from lstmgen.schedule.lowering import make_program
from lstmgen.schedule.make import make_schedule

HERE = Path(__file__).parent
FLAGS = ("-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-DLSTM_THREADS", "-pthread")
UNITS = {  # by machine: what a row is called, what the machine has to have, and how the compiler is told
    "x86_64": (("AVX-512", "avx512f", "-march=native"), ("AVX2", "avx2", "-mavx2 -mfma"), ("SSE2", "sse2", "-march=x86-64")),
    "aarch64": (("NEON", "asimd", "-march=native"),),
}
PLAIN = ("plain loops", "", "-DPLAIN")
SIZES = ((20, 1, 16, 16), (50, 32, 128, 128), (100, 64, 256, 256), (50, 64, 512, 512))
WIDTHS = (16, 64, 128, 256)
BUSY, ROUNDS = (50, 32, 128, 128), 15


def operations(steps: int, batch: int, size: int, hidden: int) -> int:
    """Additions and multiplications of the products of a forward and a backward pass."""
    return 6 * steps * batch * 4 * hidden * (size + hidden)


class Native:
    """The compiled program."""

    def __init__(self, folder: Path, flags: str):
        self.path = folder / "native"
        compiler = next(found for found in map(shutil.which, ("cc", "gcc", "clang")) if found)
        sources = [f"-I{folder}", HERE / "native.c", "-lm"]
        subprocess.run([compiler, *FLAGS, *flags.split(), *sources, "-o", self.path], check=True)

    def ask(self, *words: object) -> list[float]:
        done = subprocess.run([self.path, *map(str, words)], check=True, capture_output=True, text=True)
        return list(map(float, done.stdout.split()))


def write_lstm(folder: Path) -> None:
    program = make_program(make_schedule(derive(load("lstm")), joint=False))
    (folder / "lstm.h").write_text(c_header(program, verified=False), encoding="ascii")
    (folder / "lstm.c").write_text(c_source(program, verified=False), encoding="ascii")


def units() -> Iterator[tuple[str, str]]:
    """The vector units that this machine has, each with its flags."""
    told = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    for name, needs, flags in (*UNITS.get(platform.machine(), ()), PLAIN):
        if not needs or needs in told:
            yield name, flags


def by_unit(folder: Path, threads: int) -> list[str]:
    """A row for each vector unit."""
    heads = ["", "peak of a tile, Gop/s", *(", ".join(map(str, sizes)) for sizes in SIZES), "share of the peak at the last"]
    lines = [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
    for name, flags in units():
        native = Native(folder, flags)
        if name == PLAIN[0]:  # which takes minutes at the large ones
            times = [native.ask("train", *sizes, threads)[0] for sizes in SIZES[:2]]
            lines.append(f"| {name} |  | {' | '.join(f'{1e-3 * time:.3g} ms' for time in times)} |  |  |  |")
            continue
        (peak,) = native.ask("peak")
        times = [native.ask("train", *sizes, threads)[0] for sizes in SIZES]
        share = operations(*SIZES[-1]) / (times[-1] * 1e3 * peak * threads)
        lines.append(f"| {name} | {peak:.0f} | {' | '.join(f'{1e-3 * time:.3g} ms' for time in times)} | {share:.0%} |")
    return lines


def stepping(folder: Path) -> list[str]:
    """A row for each width."""
    native = Native(folder, next(units())[1])
    lines = ["| D = H | a step, microseconds | by its two products |", "|---:|---:|---:|"]
    for width in WIDTHS:
        step, products = native.ask("step", width, width)
        lines.append(f"| {width} | {step * 1e-3:.3g} | {step / products:.2f} |")
    return lines


@contextmanager
def others_that_compute(count: int) -> Iterator[None]:
    made = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for each in made:
            each.kill()
            each.wait()


def when_busy(count: int) -> list[str]:
    """How many times as long each contender takes while two others compute."""
    names = ["C", *(name for name, package in (("torch.nn", "torch"), ("jax", "jax")) if importlib.util.find_spec(package))]
    lines = ["| | quiet, ms | busy, ms | times as long |", "|---|---:|---:|---:|"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.npz"
        write_case(Case("lstm", "float32", BUSY), path)
        contenders = {name: Contender(name, Path(folder)) for name in names}
        try:
            for each in contenders.values():
                each.ask({"load": str(path)})
            times: dict[tuple[str, bool], list[float]] = {}
            for is_busy in (False, True):
                with others_that_compute(count if is_busy else 0):
                    for _ in range(ROUNDS):
                        for name, each in contenders.items():
                            times.setdefault((name, is_busy), []).extend(each.ask({"burst": BURST})["times"])
        finally:
            for each in contenders.values():
                each.end()
    for name in names:
        quiet, busy = (1e3 * median(times[name, is_busy]) for is_busy in (False, True))
        lines.append(f"| {name} | {quiet:.3g} | {busy:.3g} | {busy / quiet:.2f} |")
    return lines


def main() -> None:
    threads = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_lstm(folder)
        parts = [
            "\n".join(by_unit(folder, threads)),
            f"All with {threads} threads; the peak is that of one thread, with all arrays in the first cache. "
            "A `step` of one example, in one thread, by its two products in the same C:",
            "\n".join(stepping(folder)),
            "With as many other processes computing as there are processors, at (T, B, D, H) = "
            f"({', '.join(map(str, BUSY))}), called from Python:",
            "\n".join(when_busy(threads)),
        ]
    text = "\n\n".join(parts)
    print(text)
    page = PAGE.read_text(encoding="utf-8")
    start, end = "<!-- native -->\n", "<!-- end of native -->\n"
    PAGE.write_text(re.sub(f"(?s)(?<={start}).*?(?={end})", lambda _: text + "\n", page), encoding="utf-8")


if __name__ == "__main__":
    main()
