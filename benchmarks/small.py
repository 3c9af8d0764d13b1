"""What the C output takes on a microcontroller: prints the tables of docs/embedded.md.

    python benchmarks/small.py [CELL ...]

It compiles for a Cortex-M4 with arm-none-eabi-gcc -Os. The numbers of instructions are counted by QEMU, on an emulated
board with an FPU; first NAME_test.c has to pass there. On Debian: apt-get install gcc-arm-none-eabi
libnewlib-arm-none-eabi qemu-system-arm.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lstmgen.outputs.c.module import c_header, c_source
from lstmgen.outputs.c.names import public
from lstmgen.outputs.c.testing import c_test
from lstmgen.pipeline import derive, load
from lstmgen.schedule.lowering import make_program
from lstmgen.schedule.make import make_schedule
from lstmgen.schedule.program import Program

CELLS = ("lstm", "gru", "fastgrnn")
UNITS = (16, 32)
STEPS, INPUTS, CHECKPOINT = 32, 8, 4
BOARD = Path(__file__).parent / "cortex_m4"
COMPILER = "arm-none-eabi"
MACHINE = ("-std=gnu99", "-mcpu=cortex-m4", "-mthumb", "-Os")
FPU = ("-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")
EMULATOR = ("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none",
            "-semihosting-config", "enable=on,target=native", "-icount", "shift=0", "-kernel")
INSTRUCTIONS_PER_TICK = 40  # with `shift=0` one takes a nanosecond, and the board's timer runs at 25 MHz

COUNT = """\
#include "{name}.h"
#include <stdio.h>

static unsigned char workspace[{name}_WORKSPACE({steps}, {sizes})];
{buffers}

/* The timer of the processor, which counts down from 2^24 - 1 */
static volatile unsigned *const timer = (volatile unsigned *)0xE000E010;
static void begin(void) {{ timer[1] = 0xFFFFFF, timer[2] = 0, timer[0] = 5; }}
static void told(const char *what) {{ printf("%s %u\\n", what, 0xFFFFFF - timer[2]); }}

int main(void) {{
    const {name}_sizes sizes = {{{sizes}}};
    {name}_f32 cell;
    if ({name}_f32_init(&cell, &sizes, {steps}, 1, 1, workspace, sizeof workspace)) return 1;
    begin();
    {name}_f32_forward(&cell, &params, &inputs, &start, &outputs, &end);
    told("forward");
    begin();
    {name}_f32_backward(&cell, &params, &dy, NULL, &grads, NULL, NULL);
    told("backward");
    {name}_f32_prepare(&cell, &params);
    begin();
    {name}_f32_step(&cell, &inputs, &start, &outputs, &end);
    told("step");
    return 0;
}}
"""

WORKSPACES = """\
#include "{name}.h"
unsigned char whole[{name}_WORKSPACE({steps}, {sizes})];
unsigned char step[{name}_WORKSPACE(1, {sizes})];
"""


@dataclass(frozen=True)
class Row:
    """One line of the tables."""

    cell: str
    units: int
    parameters: int  # bytes, as all that follow but the last three
    code: int  # without an FPU
    code_fpu: int
    code_step: int  # of streaming alone, with an FPU
    workspace: int  # for STEPS steps
    checkpointed: int  # the same with CHECKPOINT
    one_step: int
    forward: int  # instructions
    backward: int
    step: int


def measured(program: Program, units: int, folder: Path) -> Row:
    graph = program.schedule.graph
    name = graph.spec.name
    sizes = {symbol: INPUTS if keyword == "input_size" else units for symbol, keyword in graph.dims}
    told = ", ".join(map(str, sizes.values()))
    (folder / "count.c").write_text(
        COUNT.format(name=name, steps=STEPS, sizes=told, buffers="\n".join(_buffers(program, sizes))), encoding="utf-8")
    (folder / "bytes.c").write_text(WORKSPACES.format(name=name, steps=STEPS, sizes=told), encoding="utf-8")
    plain, checkpointed = (_symbols(name, folder, *flags) for flags in ((), (f"-D{name.upper()}_CHECKPOINT={CHECKPOINT}",)))
    counted = dict(line.split() for line in run(name, folder, "count.c").splitlines())
    instructions = {what: int(ticks) * INSTRUCTIONS_PER_TICK for what, ticks in counted.items()}
    parameters = 4 * sum(math.prod(dim.value(sizes) for dim in entry.shape) for entry in program.schedule.parameters)
    _text(name, folder, *FPU, "-ffunction-sections")
    wanted = [f"-u{name}_f32_{each}" for each in ("init", "prepare", "step")]
    subprocess.run([f"{COMPILER}-ld", "-r", "--gc-sections", *wanted, "cell.o", "-o", "step.o"], cwd=folder, check=True)
    return Row(name, units, parameters, _text(name, folder), _text(name, folder, *FPU), _size("step.o", folder),
               plain["whole"], checkpointed["whole"], plain["step"], **instructions)


def _buffers(program: Program, sizes: Mapping[str, int]) -> list[str]:
    """The arrays of the caller, and the structs that point to them."""
    graph = program.schedule.graph
    name = graph.spec.name

    def entries(value: str, rows: int = 1) -> int:
        return rows * math.prod(dim.value(sizes) for dim in graph.shapes[value])

    groups = {
        ("params", "params"): {entry.name: math.prod(dim.value(sizes) for dim in entry.shape)
                               for entry in program.schedule.parameters},
        ("inputs", "inputs"): {each: entries(each, STEPS) for each in graph.inputs},
        ("outputs", "outputs"): {each: entries(each, STEPS) for each in graph.outputs},
        ("dy", "dy"): {each: entries(each, STEPS) for each in graph.outputs},
        ("state", "start"): {each: entries(each) for each in graph.states},
        ("end", "end"): {each: entries(each) for each in graph.states},
    }
    groups["grads", "grads"] = groups["params", "params"]
    lines = []
    for (kind, group), arrays in groups.items():
        lines += [f"static float {group}_{each}[{count}] = {{0.5f}};" for each, count in arrays.items()]
        pointers = ", ".join(f".{public(each)} = {group}_{each}" for each in arrays)
        lines.append(f"static const {name}_f32_{kind} {group} = {{{pointers}}};")
    return lines


def run(name: str, folder: Path, program: str) -> str:
    """What a program says on the emulated board."""
    command = [f"{COMPILER}-gcc", *MACHINE, *FPU, f"-D{name}_SMALL", "-I.", program, f"{name}.c", str(BOARD / "start.c"),
               "-T", str(BOARD / "link.ld"), "--specs=rdimon.specs", "-lm", "-o", "program.elf"]
    subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run([*EMULATOR, "program.elf"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {program} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _text(name: str, folder: Path, *flags: str) -> int:
    """The bytes of NAME.c compiled: code, and constants."""
    subprocess.run([f"{COMPILER}-gcc", *MACHINE, *flags, f"-D{name}_SMALL", "-c", f"{name}.c", "-o", "cell.o"], cwd=folder,
                   check=True)
    return _size("cell.o", folder)


def _size(file: str, folder: Path) -> int:
    told = subprocess.run([f"{COMPILER}-size", file], cwd=folder, capture_output=True, text=True, check=True).stdout
    text, data, bss, *_ = map(int, told.splitlines()[1].split()[:3])
    assert not data and not bss, "the functions have no memory of their own"
    return text


def _symbols(name: str, folder: Path, *flags: str) -> dict[str, int]:
    """The bytes of the arrays in bytes.c."""
    subprocess.run([f"{COMPILER}-gcc", *MACHINE, *flags, f"-D{name}_SMALL", "-c", "bytes.c", "-o", "bytes.o"], cwd=folder,
                   check=True)
    told = subprocess.run([f"{COMPILER}-nm", "-S", "bytes.o"], cwd=folder, capture_output=True, text=True, check=True).stdout
    return {line.split()[3]: int(line.split()[1], 16) for line in told.splitlines()}


def tables(rows: list[Row]) -> str:
    return _table(
        "| cell | H | parameters | code | code, FPU | `step` alone | "
        f"workspace, T = {STEPS} | the same, checkpoint {CHECKPOINT} | workspace, T = 1 |",
        [(row.cell, row.units, row.parameters, row.code, row.code_fpu, row.code_step, row.workspace, row.checkpointed,
          row.one_step) for row in rows],
    ) + "\n\n" + _table(
        f"| cell | H | `forward`, T = {STEPS} | `backward`, T = {STEPS} | `step` |",
        [(row.cell, row.units, row.forward, row.backward, row.step) for row in rows],
    )


def _table(head: str, rows: list[tuple[str | int, ...]]) -> str:
    lines = [head, "|---|" + "---:|" * (head.count("|") - 2)]
    for cell, *numbers in rows:
        lines.append(f"| {cell} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", default=CELLS)
    missing = [tool for tool in (f"{COMPILER}-gcc", EMULATOR[0]) if not shutil.which(tool)]
    if missing:
        sys.exit(f"there is no {' and no '.join(missing)} here")
    rows = []
    for cell in parser.parse_args().cells:
        program = make_program(make_schedule(derive(load(cell)), joint=False))
        with tempfile.TemporaryDirectory() as folder:
            for file, text in ((f"{cell}.c", c_source(program, True)), (f"{cell}.h", c_header(program, True)),
                               (f"{cell}_test.c", c_test(program, True))):
                (Path(folder) / file).write_text(text, encoding="utf-8")
            run(cell, Path(folder), f"{cell}_test.c")
            rows += [measured(program, units, Path(folder)) for units in UNITS]
    print(tables(rows))


if __name__ == "__main__":
    main()
