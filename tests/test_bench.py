"""The benchmark measures what it says: the same gradients, a time for each contender. No time is asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import contenders
import modules
import native


@pytest.mark.parametrize("cell", modules.CELLS)
def test_contenders_compute_the_same_gradients(cell, tmp_path):
    case = modules.Case(cell, "float64", (5, 2, 3, 4))
    modules.write_case(case, tmp_path / "case.npz")
    with np.load(tmp_path / "case.npz") as file:
        arrays = {name: file[name] for name in file if name != "cell"}
    expected = {name[2:]: arrays.pop(name) for name in list(arrays) if name.startswith("d_") and name != "dy"}
    x, dy = arrays.pop("x"), arrays.pop("dy")
    for name, make in contenders.CONTENDERS.items():
        if name in (*contenders.FLOORS, "torch.compile") or not modules.competes(name, case):
            continue
        if name in modules.NEEDS:
            try:
                __import__(modules.NEEDS[name])
            except ImportError:
                continue
        run, told = make(modules.CELLS[cell], arrays, x, dy)
        found = told(run())
        assert set(found) == set(expected), name
        assert contenders.difference(found, expected) < 1e-6, name  # JAX in its float32, where 64 bits are not on
        worse = found | {"R": found["R"] * 1.01}
        assert contenders.difference(worse, expected) > 5e-3
        lost = found | {"x": np.full_like(found["x"], np.nan)}
        assert not contenders.difference(lost, expected) <= 1
        with pytest.raises(KeyError):
            contenders.difference({}, expected)


def test_a_case_is_timed_and_told():
    case = modules.Case("gru", "float32", (5, 2, 3, 4))
    (result,) = modules.measure([case], ["lstmgen", "floor"])
    assert set(result.seconds) == {"lstmgen", "floor"} and all(each > 0 for each in result.seconds.values())
    head, rule, row = modules.table([result], ["lstmgen", "floor"])
    assert head.count("|") == rule.count("|") == row.count("|") and row.startswith("| 5, 2, 3, 4 |")


def test_a_wrong_contender_does_not_count(monkeypatch):
    monkeypatch.setitem(modules.CLOSE, "float32", 0.0)
    with pytest.raises(ArithmeticError, match="lstmgen is .* away"):
        list(modules.measure([modules.Case("gru", "float32", (5, 2, 3, 4))], ["lstmgen"]))


def test_a_page_keeps_what_is_told_of_the_generator(tmp_path):
    new = (modules.HERE / "performance.md").read_text(encoding="utf-8")
    assert modules.with_others(new, tmp_path / "none.md") == new
    old = tmp_path / "old.md"
    old.write_text("# Old\n\n<!-- generator -->\nseconds\n<!-- end -->\n")
    kept = modules.with_others(new, old)
    assert "\n<!-- generator -->\nseconds\n<!-- end -->\n" in kept and "# Old" not in kept


def test_a_contender_that_ends_says_why(monkeypatch, tmp_path):
    contender = modules.Contender("nobody", tmp_path)
    with pytest.raises(ChildProcessError, match="(?s)nobody ended with status 1:.*KeyError: 'nobody'"):
        contender.ask({"burst": 0.01})
    contender.end()


def test_what_the_c_reaches_is_told(tmp_path):
    """The program that `native.py` asks compiles without a warning, and answers each question."""
    native.write_lstm(tmp_path)
    program = native.Native(tmp_path, "-Wall -Wextra -Werror")
    assert program.ask("peak")[0] > 0
    assert program.ask("train", 3, 2, 4, 5, 2)[0] > 0
    step, products = program.ask("step", 4, 5)
    assert step > 0 and products > 0
