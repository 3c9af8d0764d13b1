"""Golden cases: another implementation agrees in every precision, and wrong kernels do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from lstmgen.auditing.foreign import ForeignError
from lstmgen.auditing.golden import CASES, archive, audit_answers_to_cases, golden_cases
from lstmgen.cli import main
from lstmgen.derivation.build import build_graph
from lstmgen.derivation.graph import Graph
from lstmgen.resources import find_spec
from lstmgen.spec.reader import load

GENERATED = Path(__file__).parent.parent / "generated"
Arrays = dict[str, np.ndarray]


def cell(name: str) -> Graph:
    path = find_spec(name)
    assert path is not None
    return build_graph(load(path))


def kernel(module: ModuleType, case: Arrays, dtype: type, wrong: str = "", before: Arrays | None = None) -> Arrays:
    """The results of a generated module; `wrong` is a mistake that was made in a kernel, `before` the case before."""
    own = {name: array.astype(dtype) for name, array in case.items()}
    states, x, dy = module.State._fields, own["x"], own["dy"]
    params = module.init_params(x.shape[2], dy.shape[2], rng=0, dtype=dtype)
    for name, view in module.named(params).items():
        view[...] = own[name]
    dstate = {name: own[f"dstate.{name}"] * (wrong != "final state dropped") for name in states}
    start = {name: own[f"state.{name}"] for name in states}
    if wrong == "old state kept" and before is not None and len(before["last.h"]) == x.shape[1]:
        start = {name: before[f"last.{name}"].astype(dtype) for name in states}
    y, last, tape = module.forward(params, x, module.State(**start))
    rest = len(x) % 64
    if wrong == "rest of a block" and len(x) > 64 and rest:
        dy = np.where(np.arange(len(x))[:, None, None] < len(x) - rest, dy, 0)
        dstate = {name: 0 * array for name, array in dstate.items()}
    grads = module.backward(params, tape, dy, module.State(**dstate))
    found = {"y": y, "d_x": grads.x} | {f"last.{name}": getattr(last, name) for name in states}
    found |= {f"d_{name}": getattr(grads.state, name) for name in states}
    return found | {f"d_{name}": array for name, array in module.named(grads.params).items()}


def answers(name: str, load_module: Callable[[Path], ModuleType], dtype: type = np.float64, wrong: str = "") -> Arrays:
    module, all_cases = load_module(GENERATED / f"{name}.py"), golden_cases(cell(name))
    found: Arrays = {}
    before = None
    for case in CASES:
        own = {key.partition("/")[2]: array for key, array in all_cases.items() if key.startswith(f"{case.name}/")}
        if case.steps:
            found |= {f"{case.name}/{key}": array for key, array in kernel(module, own, dtype, wrong, before).items()}
            before = own
    return found


def judged(tmp_path: Path, name: str, arrays: Arrays):
    (tmp_path / "answers.npz").write_bytes(archive(arrays))
    return audit_answers_to_cases(cell(name), tmp_path / "answers.npz")


@pytest.mark.parametrize("name", ["lstm", "peephole_lstm", "gru", "rnn"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_another_implementation_agrees(name, dtype, load_module, tmp_path):
    found = judged(tmp_path, name, answers(name, load_module, dtype))
    assert found.holds and found.precision == dtype.__name__, found.lines()
    assert found.missing == ("no_steps",)


@pytest.mark.parametrize("dtype, unit", [("float16", 11), ("bfloat16", 8)])
def test_results_that_were_stored_in_few_digits_agree(dtype, unit, load_module, tmp_path):
    def stored(array: np.ndarray) -> np.ndarray:
        if dtype == "float16":
            return array.astype(np.float16)
        return (np.ascontiguousarray(array, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)

    arrays = {name: stored(array) for name, array in answers("lstm", load_module).items()}
    found = judged(tmp_path, "lstm", arrays)
    assert found.holds and found.precision == dtype, found.lines()
    arrays["usual/d_W_f"] = stored(1.5 * arrays["usual/d_W_f"].astype(float))
    assert not judged(tmp_path, "lstm", arrays).holds


@pytest.mark.parametrize(
    "wrong, fails, agrees",
    [
        ("final state dropped", "final_alone", "outside_alone"),
        ("rest of a block", "long", "block"),
        ("old state kept", "from_zero", "usual"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kernels_made_wrong_in_ways_that_happened(wrong, fails, agrees, dtype, load_module, tmp_path):
    found = judged(tmp_path, "lstm", answers("lstm", load_module, dtype, wrong))
    by_name = {each.case.name: each for each in found.cases}
    assert not found.holds and by_name[fails].differing and not by_name[agrees].differing, found.lines()


def test_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    assert run(main, ["cases", "gru", "-o", "cases.npz"]).exit_code == 0
    first = Path("cases.npz").read_bytes()
    assert run(main, ["cases", "gru", "-o", "cases.npz"]).exit_code == 2
    assert run(main, ["cases", "gru", "-o", "cases.npz", "--force"]).exit_code == 0
    assert Path("cases.npz").read_bytes() == first, "the same spec gives the same bytes"
    assert run(main, ["cases", "gru", "-o", "cases.txt"]).exit_code == 2
    told = run(main, ["audit", "gru", "--arrays", "cases.npz", "--json"])
    assert told.exit_code == 0 and json.loads(told.stdout)["holds"]
    arrays = dict(np.load("cases.npz"))
    arrays["one_step/d_R_n"] = arrays["one_step/d_R_n"].T
    Path("wrong.npz").write_bytes(archive(arrays))
    told = run(main, ["audit", "gru", "--arrays", "wrong.npz"])
    assert told.exit_code == 1 and "one_step (T = 1): differs: d_R_n is off by" in told.stdout


@pytest.mark.parametrize("name, words", [
    ("usuall/d_W_f", "did you mean 'usual'"), ("usual/d_W_g", "is no result"),
    ("usual/x", "holds no result"),
])
def test_what_cannot_be_judged_is_told(tmp_path, name, words):
    with pytest.raises(ForeignError, match=words):
        judged(tmp_path, "lstm", {name: np.zeros(3)})
