"""The thread pool of the C output, without a cell around it: many short jobs, also under the thread sanitizer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lstmgen.outputs.c.module import c_header
from lstmgen.outputs.render import render
from lstmgen.pipeline import _schedule
from lstmgen.schedule.lowering import make_program
from lstmgen.schedule.make import make_schedule

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
STRESS = Path(__file__).parent / "pool_stress.c"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-pedantic", "-Werror")

pytestmark = pytest.mark.skipif(not COMPILERS, reason="neither gcc nor clang here")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pool")
    program = make_program(make_schedule(_schedule("lstm").derivation, joint=False))
    (folder / "lstm.h").write_text(c_header(program, verified=True), encoding="utf-8")
    pool = folder / "pool.c"
    text = render("c/pool.c.jinja", {"name": "lstm", "upper": "LSTM"})
    pool.write_text(f'#include "lstm.h"\n{text}', encoding="utf-8")
    return [pool, STRESS]


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("sanitizer", ["none", "thread", "address,undefined"])
def test_every_task_is_done_once_before_the_job_returns(sources, compiler, sanitizer, tmp_path):
    options = () if sanitizer == "none" else ("-g", f"-fsanitize={sanitizer}")
    nothing = tmp_path / "nothing.c"
    nothing.write_text("int main(void) { return 0; }\n")
    if subprocess.run([compiler, *options, nothing, "-o", tmp_path / "nothing"], capture_output=True).returncode:
        pytest.skip(f"{compiler} has no sanitizer for {sanitizer} here")
    program = tmp_path / "stress"
    command = [compiler, *STRICT, "-O1", *options, "-DLSTM_THREADS", "-pthread", "-I", sources[0].parent, *sources]
    made = subprocess.run([*command, "-o", program], capture_output=True, text=True)
    assert not made.returncode, made.stderr
    done = subprocess.run([program, "1000"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 wrong\n", "")
