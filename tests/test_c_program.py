"""NAME_test.c: the C program that tells on whatever machine whether NAME.c is right there.

$CC is the compiler, and $RUN what runs its programs, if that is needed: with CC="aarch64-linux-gnu-gcc -static" and
RUN=qemu-aarch64 these tests are about another machine.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from lstmgen.derivation.graph import start_number
from lstmgen.language.expressions import Value
from lstmgen.outputs.c.module import c_header, c_source
from lstmgen.outputs.c.recorded import BOUNDS, record
from lstmgen.outputs.c.testing import c_test
from lstmgen.outputs.numpy.module import module_source
from lstmgen.pipeline import _schedule, execute
from lstmgen.schedule.lowering import make_program
from lstmgen.schedule.make import make_schedule
from lstmgen.schedule.program import Program

ROOT = Path(__file__).parent.parent
CC = shlex.split(os.environ.get("CC", "")) or [next(filter(shutil.which, ("cc", "gcc", "clang")), "")]
RUN = shlex.split(os.environ.get("RUN", ""))
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")

needs_compiler = pytest.mark.skipif(not shutil.which(CC[0] or "no compiler"), reason="no C compiler here")


@lru_cache(maxsize=4)
def _program(name: str) -> Program:
    return make_program(make_schedule(_schedule(name).derivation, joint=False))


@lru_cache(maxsize=4)
def _texts(name: str) -> dict[str, str]:
    program = _program(name)
    return {f"{name}.c": c_source(program, True), f"{name}.h": c_header(program, True),
            f"{name}_test.c": c_test(program, True)}


def ran(name: str, folder: Path, *flags: str, change=("", "")) -> subprocess.CompletedProcess[str]:
    """What the test program says, of a cell's C in which one text stands for another."""
    for file, text in _texts(name).items():
        if change[0] and file == f"{name}.c":
            assert text.count(change[0]) == 1
            text = text.replace(*change)
        (folder / file).write_text(text, encoding="utf-8")
    subprocess.run([*CC, "-O0", *flags, f"{name}_test.c", f"{name}.c", "-lm", "-o", "test"], cwd=folder, check=True)
    return subprocess.run([*RUN, "./test"], cwd=folder, capture_output=True, text=True, check=False)


@needs_compiler
@pytest.mark.parametrize("defined", ["", "SMALL CHECKPOINT=2"])
def test_every_cell_is_right(spec_path, defined, tmp_path):
    _is_right(spec_path.stem, defined, tmp_path)


@needs_compiler
@pytest.mark.parametrize("name", ["lstm", "qrnn_window2", "mlstm", "lmu", "ng_lstm", "ng_lstm_last"])
@pytest.mark.parametrize("defined", ["SMALL", "CHECKPOINT=2", "CHECKPOINT=1"])
def test_some_cells_with_other_definitions(name, defined, tmp_path):
    _is_right(name, defined, tmp_path)


@needs_compiler
@pytest.mark.skipif(platform.machine() not in ("x86_64", "i686") or "CC" in os.environ, reason="no i387 here")
@pytest.mark.parametrize("name", ["slstm", "layer_norm_lstm"])
def test_where_float_is_computed_in_a_larger_type(name, tmp_path):
    _is_right(name, "", tmp_path, "-mfpmath=387")


def _is_right(name: str, defined: str, tmp_path: Path, *flags: str) -> None:
    small = "SMALL" in defined
    done = ran(name, tmp_path, *STRICT, *flags, *(f"-D{name.upper()}_{each}" for each in defined.split()))
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == f"{name}.c is right here"
    told = [re.fullmatch(r"(float|double) +\S.*\S +(\d\.\de[-+]\d\d) of (\de-\d\d)", line) for line in lines]
    assert all(told)
    assert {match[1] for match in told} == ({"float"} if small else {"float", "double"})
    assert all(float(match[2]) <= float(match[3]) == BOUNDS[match[1]] for match in told)


@needs_compiler
@pytest.mark.parametrize(("right", "wrong"), [
    ("                           + dy_m[j]; ", "                           - dy_m[j]; "),
    ("                           + dy_m[j]; ", "                           + 0; "),
    ("const real d_o = d_h * tanh_c_m[j];", "const real d_o = d_h * o_m[j];"),
    ("h_m[j] = o * tanh_c;", "h_m[j] = o * tanh_c + R(1e-4);"),
    ("h_m[j] = o * tanh_c;", "h_m[j] = o * tanh_c * (rows ? R(0) / R(0) : 1);"),
], ids=["a sign", "a term", "a factor", "a little", "NaN"])
def test_what_is_wrong_is_found(right, wrong, tmp_path):
    done = ran("lstm", tmp_path, change=(right, wrong))
    assert done.returncode == 1
    assert "  WRONG\n" in done.stdout
    assert done.stdout.endswith("lstm.c is wrong here, see WRONG above\n")


@needs_compiler
def test_a_function_that_fails_is_told(tmp_path):
    done = ran("lstm", tmp_path, change=("if (!work->has_tape) return", "if (work->has_tape) return"))
    assert (done.returncode, done.stdout) == (1, "lstm: backward: step needs prepare before it, and backward needs forward\n")


# ---------------------------------------------------------------- small machines


@needs_compiler
def test_the_bytes_of_a_small_workspace_are_known_to_the_compiler(spec_path, tmp_path):
    """The header's macro gives what the function gives, and refuses nothing that the function takes."""
    name = spec_path.stem
    count = len(_program(name).schedule.graph.dims)
    several = [(0, *range(1, count + 1)), (1, *[1] * count), (4, *range(3, 3 + 2 * count, 2)),
               (7, *range(3, 3 + 2 * count, 2)), (1000, *[65] * count)]
    checks = "\n".join(
        f"""    {{
        const {name}_sizes sizes = {{{', '.join(map(str, sizes)) or 0}}};
        static unsigned char workspace[{name}_WORKSPACE({', '.join(map(str, (steps, *sizes)))})];
        {name}_f32 cell;
        if ({name}_f32_workspace(&sizes, {steps}, 1, 1) != sizeof workspace) return 1;
        if ({name}_f32_init(&cell, &sizes, {steps}, 1, 1, workspace, sizeof workspace)) return 2;
        const int small = {name}_f32_init(&cell, &sizes, {steps}, 1, 1, workspace, sizeof workspace - 1);
        if (small != {name}_SMALL_WORKSPACE) return 3;
        if ({name}_f32_init(&cell, &sizes, {steps}, 2, 1, workspace, sizeof workspace) != {name}_BAD_SIZE) return 4;
        if ({name}_f32_workspace(&sizes, {steps}, 1, 2)) return 5;
    }}""" for steps, *sizes in several)
    main = f'#include "{name}.h"\nint main(void) {{\n{checks}\n    return 0;\n}}\n'
    for file, text in {**_texts(name), "main.c": main}.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    small = [f"-D{name}_SMALL", f"-D{name.upper()}_CHECKPOINT=4"]
    subprocess.run([*CC, "-O0", *STRICT, *small, "main.c", f"{name}.c", "-lm", "-o", "test"], cwd=tmp_path, check=True)
    assert subprocess.run([*RUN, "./test"], cwd=tmp_path, check=False).returncode == 0


def _workspace_table() -> dict[tuple[str, int], list[int]]:
    """By cell and H, the workspaces that docs/embedded.md tells, in bytes."""
    text = (ROOT / "docs" / "embedded.md").read_text(encoding="utf-8")
    table = text[text.index("| workspace, T = 32 |"):].split("\n\n")[0]
    rows = [[entry.strip().replace(",", "") for entry in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {(cell, int(units)): [int(entry) for entry in others[-3:]] for cell, units, *others in rows}


@needs_compiler
@pytest.mark.parametrize("name", ["lstm", "gru", "fastgrnn"])
def test_the_workspaces_of_the_page_are_those_of_the_header(name, tmp_path):
    """With pointers of 4 bytes, as on the machine of the table."""
    header = _texts(name)[f"{name}.h"]
    words = int(re.search(rf"#define {name}_WORDS (\d+)", header)[1]) + 1
    told = {units: row for (cell, units), row in _workspace_table().items() if cell == name}
    assert told
    sizes = [f"(long){name}_WORKSPACE({steps}, 8, {units})" for units in told for steps in (32, 1)]
    (tmp_path / f"{name}.h").write_text(header, encoding="utf-8")
    (tmp_path / "main.c").write_text(f'#include <stdio.h>\n#include "{name}.h"\nint main(void) {{ printf('
                                     f'"{"%ld " * len(sizes)}%d", {", ".join(sizes)}, (int)sizeof(void *)); }}\n')
    found = []
    for checkpoint in (0, 4):
        defined = [f"-D{name}_SMALL", f"-D{name.upper()}_CHECKPOINT={checkpoint}"]
        subprocess.run([*CC, *defined, "main.c", "-o", "test"], cwd=tmp_path, check=True)
        printed = subprocess.run([*RUN, "./test"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        *numbers, pointer = map(int, printed.split())
        found.append([number - words * (pointer - 4) for number in numbers])
    (whole, checkpointed) = found
    assert told == {units: [whole[2 * at], checkpointed[2 * at], whole[2 * at + 1]] for at, units in enumerate(told)}
    if name == "lstm":
        assert "(7*H) + lstm_KEPT(T) * (2*H) + D + 13*H)" in header and words == 45  # as the page says


@pytest.mark.skipif(not all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm"))),
                    reason="no arm-none-eabi-gcc, or no qemu-system-arm")
@pytest.mark.parametrize("name", ["lstm", "mlstm", "lmu"])
def test_right_on_a_cortex_m4(name, tmp_path, monkeypatch):
    """An emulated one, with the FPU of single precision that most have."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import small

    for file, text in _texts(name).items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    assert small.run(name, tmp_path, f"{name}_test.c").endswith(f"{name}.c is right here\n")
    if name == "lstm":
        (tmp_path / "lstm.c").write_text(_texts(name)["lstm.c"].replace("+ dy_m[j]", "- dy_m[j]"), encoding="utf-8")
        with pytest.raises(SystemExit, match="WRONG"):
            small.run(name, tmp_path, "lstm_test.c")


@needs_compiler
def test_the_example_of_a_small_machine_learns(tmp_path):
    for file, text in _texts("lstm").items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    source = ROOT / "examples" / "embedded.c"
    subprocess.run([*CC, "-O1", *STRICT, "-DLSTM_SMALL", "-I.", str(source), "lstm.c", "-lm", "-o", "test"],
                   cwd=tmp_path, check=True)
    done = subprocess.run([*RUN, "./test"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    errors = [float(line.split()[-1]) for line in done.stdout.splitlines()[1:]]
    assert len(errors) == 8 and errors[-1] < errors[0] / 100


# ---------------------------------------------------------------- what is recorded


@np.errstate(all="ignore")
def test_what_is_recorded_is_what_the_numpy_module_gives(spec_path):
    """The recorded values come from the derivation; the module's are its own."""
    name = spec_path.stem
    schedule = _schedule(name)
    graph, recorded = schedule.graph, record(schedule)
    module = execute(module_source(schedule, True), name)
    assert len({recorded.steps, recorded.batch, *recorded.sizes.values()}) == 2 + len(recorded.sizes)
    assert recorded.steps >= 3 and recorded.batch >= 2
    inputs = [recorded.point.inputs[each] for each in (*graph.inputs, *graph.targets)]
    state = module.State(**recorded.point.state)
    starts = dict(graph.initial)
    learned = any(isinstance(start, Value) for start in starts.values())
    own = None if learned else module.State(**{
        each: np.full_like(recorded.point.state[each], start_number(start)) for each, start in starts.items()})
    for start, expected in ((state, recorded.given), (own, recorded.own)):
        first, end, tape = module.forward(recorded.params, *inputs, state=start)
        outputs = list(recorded.point.weights.values())
        dy = [] if graph.loss else [outputs[0] if len(outputs) == 1 else module.Outputs(*outputs)]
        grads = module.backward(recorded.params, tape, *dy, dstate=module.State(**recorded.point.final))
        pairs = list(zip(expected.end.values(), end)) + list(zip(expected.dstart.values(), grads.state))
        pairs += zip(expected.outputs.values(), [tape.y] if len(graph.outputs) == 1 else tape.y)
        pairs += [(array, getattr(grads, each)) for each, array in expected.dinputs.items()]
        pairs += [(expected.loss, first)] if graph.loss else []
        pairs += [(array, grads.params[each]) for each, array in expected.grads.items()]
        for array, found in pairs:
            assert np.abs(found - array).max() <= 1e-13 * max(np.abs(array).max(), 1)


@pytest.mark.parametrize("name", ["lstm", "lmu", "phased_lstm"])
def test_what_goes_in_is_exact_in_float32(name):
    recorded = record(_schedule(name))
    point = recorded.point
    for group in (point.parameters, point.inputs, point.state, point.weights, point.final):
        for array in group.values():
            assert np.array_equal(array.astype(np.float32), array)
            assert np.unique(array).size > array.size // 4


def test_the_text_is_the_same_everywhere():
    code = "import sys; sys.path[:0] = ['tests', '.']; import test_c_program as t; print(*t._texts('ng_lstm').values())"
    texts = {
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True,
                       env={**os.environ, "PYTHONHASHSEED": seed}).stdout
        for seed in ("0", "1")
    }
    assert len(texts) == 1


def test_a_cell_without_finite_values_says_so():
    from lstmgen.pipeline import derive, load

    cell = "name: huge\nstate: {h: H}\nparameters: {W: [H, D]}\nequations:\n  h: exp(exp(exp(9 + abs(h[t-1])))) + W @ x\n"
    schedule = make_schedule(derive(load(cell + "output: h\n")))
    with pytest.raises(ArithmeticError, match=r"huge: the forward pass is not finite at any of 20 points; 'range:'"):
        record(schedule)
