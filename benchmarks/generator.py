"""How the cost of deriving and proving grows: `python benchmarks/generator.py`.

Chains of 10 to 640 stages, each of which reads the one before and, at every fourth, one further back: so there are
forks. Each step of a build is timed in a process of its own, after one of 10 stages has warmed it. What is
fitted is the exponent between 40 and 640 stages. Then one build of the peephole LSTM by the time that Python
takes to import SymPy. The results go into docs/performance.md, in place of those that stood there.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
LENGTHS = (10, 40, 160, 640)
STEPS = ("derive", "module", "document", "meaning", "complex step", "high precision", "splitting", "knock-out")


def chain(stages: int) -> str:
    """The text of a spec with so many stages."""
    lines = ["name: chain", "state: {h: H}", "parameters: {W: [H, D], R: [H, H], p: H}", "equations:",
             "  s_0: W @ x + R @ h[t-1]"]
    for at in range(1, stages):
        far = f" + 0.1 * s_{at - 4}" if at % 4 == 0 else ""
        body = f"tanh(s_{at - 1})" if at % 2 else f"p * s_{at - 1}{far}"
        lines.append(f"  s_{at}: {body}")
    return "\n".join([*lines, f"  h: tanh(s_{stages - 1})", "output: h", ""])


def timed(stages: int) -> dict[str, float]:
    """Seconds of each step, in this process."""
    from lstmgen.document.compose import Extras, render_document
    from lstmgen.document.notation import make_notation
    from lstmgen.outputs.numpy.module import module_source
    from lstmgen.pipeline import derive, execute
    from lstmgen.schedule.make import make_schedule
    from lstmgen.proofs.derivation import DerivationProofs
    from lstmgen.proofs.module import ModuleProofs
    from lstmgen.spec.reader import read

    took, start = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        now = time.perf_counter()
        took[name], start = now - start, now

    derivation = derive(read(chain(stages), "chain"))
    lap("derive")
    schedule = make_schedule(derivation)
    text = module_source(schedule, verified=False)
    module = execute(text, "chain")
    lap("module")
    if stages <= 160:  # a drawing of 640 stages is nothing that anybody prints
        render_document(schedule.plan, make_notation(schedule.graph), None, "chain", Extras())
        lap("document")
    of_module = ModuleProofs(schedule.graph, module)
    for name in ("meaning", "complex step", "splitting"):
        list(getattr(of_module, name.replace(" ", "_"))())
        lap(name)
    of_derivation = DerivationProofs(schedule.graph, derivation)
    for name in ("high precision", "knock-out"):
        list(getattr(of_derivation, name.replace(" ", "_").replace("-", "_"))())
        lap(name)
    return took


def measured(stages: int, repeats: int = 3) -> dict[str, float]:
    """The medians of some processes."""
    runs = []
    for _ in range(repeats):
        command = [sys.executable, __file__, str(stages)]
        runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout))
    return {name: median(run[name] for run in runs) for name in runs[0]}


def seconds(*commands: tuple[str, ...], repeats: int = 14) -> list[float]:
    """The least processor time of each command. They run in turn, so that a busy minute is not one command's alone."""
    least = [math.inf] * len(commands)
    for _ in range(repeats):
        for index, command in enumerate(commands):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=ROOT)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            least[index] = min(least[index], took)
    return least


def plot(results: dict[int, dict[str, float]], path: Path) -> None:
    """Seconds of each step over the number of stages, and beside them what grows in proportion."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4))
    last = {step: [results[stages][step] for stages in LENGTHS if step in results[stages]][-1] for step in STEPS}
    for step in sorted(STEPS, key=last.get, reverse=True):  # the legend in the order of the lines' ends
        points = [(stages, results[stages][step]) for stages in LENGTHS if step in results[stages]]
        axis.plot(*zip(*points), "o-", markersize=4, linewidth=1.2, label=step)
    axis.plot(LENGTHS, [0.005 * stages / LENGTHS[0] for stages in LENGTHS], "--", color="#9aa0a8", linewidth=1,
              label="in proportion")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(LENGTHS, [str(stages) for stages in LENGTHS])
    axis.minorticks_off()
    axis.set_xlabel("stages")
    axis.set_ylabel("seconds")
    axis.grid(axis="y", color="#e4e6ea", linewidth=0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def told(results: dict[int, dict[str, float]]) -> str:
    heads = ["", *(f"{stages} stages" for stages in LENGTHS), "exponent"]
    lines = [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
    for step in (*STEPS, "all but document and knock-out"):
        parts = [step] if step in STEPS else [each for each in STEPS if each not in ("document", "knock-out")]
        times = [sum(results[stages].get(part, math.nan) for part in parts) for stages in LENGTHS]
        last = 3 if times[3] == times[3] else 2
        exponent = math.log(times[last] / times[1]) / math.log(LENGTHS[last] / LENGTHS[1])
        shown = " | ".join("" if each != each else f"{each:.3g} s" for each in times)
        lines.append(f"| {step} | {shown} | {exponent:.2f} |")
    command = ("-m", "lstmgen", "build", "peephole_lstm", "-o", "build/bench", "--force")
    sympy, whole, unproved, helped = seconds(
        ("-c", "import sympy"), command, (*command, "--no-verify"), ("-m", "lstmgen", "--help"))
    return "\n".join([*lines, "", f"`lstmgen build peephole_lstm` takes {whole / sympy:.1f} times the processor time of "
                                  f"`python -c \"import sympy\"`, {unproved / sympy:.1f} times without the proofs; "
                                  f"`lstmgen --help` {helped:.2f} s."])


def main() -> None:
    if len(sys.argv) > 1:
        timed(10)
        print(json.dumps(timed(int(sys.argv[1]))))
        return
    results = {stages: measured(stages) for stages in LENGTHS}
    text = told(results)
    print(text)
    if importlib.util.find_spec("matplotlib"):
        plot(results, PAGE.parent / "images" / "generator.png")
    page = PAGE.read_text(encoding="utf-8")
    start, end = "<!-- generator -->\n", "<!-- end -->\n"
    PAGE.write_text(re.sub(f"(?s)(?<={start}).*?(?={end})", lambda _: text + "\n", page), encoding="utf-8")


if __name__ == "__main__":
    main()
