"""The benchmark measures what it says: the same gradients, a time for each contender. No time is asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import contenders
import frameworks
import gpu
import modules
import native

from lstmgen.resources import packaged_specs


@pytest.mark.parametrize("steps", [5, 1])
@pytest.mark.parametrize("cell", modules.CELLS)
def test_contenders_compute_the_same_gradients(cell, steps, tmp_path):
    """After a single step from a zero state, the gradient of R is zero."""
    case = modules.Case(cell, "float64", (steps, 2, 3, 4))
    modules.write_case(case, tmp_path / "case.npz")
    with np.load(tmp_path / "case.npz") as file:
        arrays = {name: file[name] for name in file if name != "cell"}
    expected = {name[2:]: arrays.pop(name) for name in list(arrays) if name.startswith("d_") and name != "dy"}
    x, dy = arrays.pop("x"), arrays.pop("dy")
    for name, make in (contenders.CONTENDERS | contenders.OUTPUTS).items():
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
        worse = found | {"R": found["R"] * 1.01 if steps > 1 else found["R"] + 0.01}
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
    old.write_text(frameworks.put("a table\n", kept))
    assert "\n<!-- frameworks -->\na table\n<!-- end of frameworks -->\n" in modules.with_others(new, old)
    assert frameworks.put("a table\n", "no marks") == "a table\n"


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


def test_the_outputs_for_frameworks_are_timed_and_told():
    pytest.importorskip("jax")
    case = modules.Case("gru", "float32", (5, 2, 3, 4))
    results = list(modules.measure([case], ["jax module", "jax"], 1, min))
    head, rule, row = frameworks.table(results, frameworks.IN_JAX)
    assert head.count("|") == rule.count("|") == row.count("|") and "jax module, ms" in head
    assert all(each > 0 for each in frameworks.memory(case))


@pytest.mark.parametrize("heads", [1, 3])
def test_the_contenders_on_a_gpu_agree(heads):
    """Here on the CPU: that is all that differs, but for the graphs."""
    pytest.importorskip("torch")
    times = gpu.Times("cpu", "float32", steps=4, batch=2, hidden=6, heads=heads)
    makers = times.contenders()
    assert set(makers) == {"lstmgen", "eager", "torch.compile"} | ({"nn.LSTM"} if heads == 1 else set())
    del makers["torch.compile"]
    times.contenders = lambda: makers
    found = times.measure(rounds=1)
    assert found.keys() == makers.keys() and all(isinstance(told, float) for told in found.values()), found
    right = times.step
    times.contenders = lambda: {"eager": lambda: times.by_hand(lambda *given: tuple(value * 2 for value in right(*given)))}
    assert str(times.measure(rounds=1)["eager"]).startswith("other gradients")


def test_the_proofs_run_on_a_device_that_is_named():
    pytest.importorskip("torch")
    (path,) = (path for path in packaged_specs() if path.stem == "gru")
    ((name, error, holds),) = gpu.prove("torch", "cpu", [path])
    assert (name, holds) == ("gru", True) and error < 1e-11
    ((_, _, holds),) = gpu.prove("torch", "meta", [path])  # a device without memory: nothing that is computed there is right
    assert not holds


def test_without_a_gpu_it_says_so(capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    gpu.main()
    assert capsys.readouterr().out == "gpu          PyTorch finds no GPU here, so nothing was run\n"
