"""The C output: every cell's functions beside its NumPy module, driven through the loader.

They are compiled without optimisation here, which takes half a second instead of five; `make bench` runs the fast ones,
and `make test-c` the sanitizers, other compilers and other machines.
"""

from __future__ import annotations

import os
import platform
import random
import shutil
import subprocess
import sys
from functools import lru_cache
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from random_cells import make_spec

from lstmgen.language import functions
from lstmgen.numerics.points import Point, draw_point
from lstmgen.outputs.c import functions as c_functions
from lstmgen.outputs.c.target import TARGET
from lstmgen.outputs.numpy.module import module_source
from lstmgen.outputs.targets import CannotRun
from lstmgen.pipeline import _schedule, execute
from lstmgen.proofs.verify import verify_target
from lstmgen.schedule.records import Schedule
from lstmgen.spec import reader as spec

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler here")

BOUND = 1e-12
QUICK = "-O0"  # of the compiler


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, cache):
    """A cache folder for these tests, and a quick compiler."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("CFLAGS", QUICK)


@lru_cache(maxsize=2)
def _cell(name: str) -> tuple[Schedule, ModuleType]:
    schedule = _schedule(name)
    return schedule, execute(module_source(schedule, verified=True), name)


def built(name: str, folder: Path, checkpoint: int | None = None) -> ModuleType:
    """A cell's loader, from files in a folder."""
    schedule, module = _cell(name)
    for file, text in TARGET.texts(schedule, module, True, checkpoint).items():
        (folder / file).write_text(text, encoding="utf-8")
    return TARGET.load(folder, name)


class Call:
    """One call of both modules with the same numbers, in a type."""

    def __init__(self, name: str, sizes: dict[str, int], steps: int, batch: int, seed: int = 0):
        self.schedule, self.module = _cell(name)
        self.graph, self.steps = self.schedule.graph, steps
        self.point: Point = draw_point(self.graph, sizes, steps, batch, np.random.default_rng(seed), 1.0)
        keywords = {keyword: sizes[symbol] for symbol, keyword in self.graph.dims}
        self.params = self.module.init_params(**keywords, dtype=np.float64)
        named = self.module.named(self.params)
        for parameter, array in self.point.parameters.items():
            named[parameter][...] = array

    def of(self, module: ModuleType, dtype=np.float64, start: bool = True) -> dict[str, np.ndarray]:
        """Everything that comes out of a forward and a backward pass."""
        graph, point = self.graph, self.point
        params = {name: np.asarray(array, dtype) for name, array in self.params.items()}
        inputs = [point.inputs[name].astype(dtype) for name in (*graph.inputs, *graph.targets)]
        state = module.State(**{name: array.astype(dtype) for name, array in point.state.items()})
        final = module.State(**{name: array.astype(dtype) for name, array in point.final.items()})
        first, end, tape = module.forward(params, *inputs, state=state if start else None)
        found = {"first": first} if graph.loss else {}
        outputs = [tape.y] if len(graph.outputs) == 1 else list(tape.y)
        found |= {f"output {name}": array for name, array in zip(graph.outputs, outputs)}
        found |= {f"last {name}": array for name, array in end._asdict().items()}
        weights = [point.weights[name].astype(dtype) for name in graph.outputs] if graph.loss is None else []
        dy = weights and (weights[0] if len(weights) == 1 else module.Outputs(*weights))
        grads = module.backward(params, tape, *([dy] if graph.loss is None else []), dstate=final)
        found |= {f"d {name}": array for name, array in grads.params.items()}
        found |= {f"d {name}": getattr(grads, name) for name in graph.inputs}
        return found | {f"d {name}[0]": array for name, array in grads.state._asdict().items()}


def errors(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> dict[str, float]:
    """max|a - b| / max|b| of each array, or / 1 where that is larger."""
    assert found.keys() == expected.keys()
    told = {}
    for name, array in expected.items():
        ours = np.asarray(found[name], float)
        assert ours.shape == np.shape(array), name
        assert np.isfinite(ours).all() or not np.isfinite(array).all(), name
        told[name] = float(np.abs(ours - array).max(initial=0) / max(1.0, np.abs(array).max(initial=0)))
    return told


def sizes_of(schedule: Schedule, first: int) -> dict[str, int]:
    """Sizes that all differ."""
    return {symbol: first + 2 * index for index, (symbol, _) in enumerate(schedule.graph.dims)}


# ---------------------------------------------------------------- every cell


def test_every_cell_passes_the_proofs_in_c(spec_path, tmp_path):
    schedule, module = _cell(spec_path.stem)
    figures = verify_target(schedule.graph, built(spec_path.stem, tmp_path), module)
    assert len(figures) > 12
    assert not [figure for figure in figures if not figure.passed]


@np.errstate(all="ignore")
def test_every_cell_is_right_over_chunks_and_slices(spec_path, tmp_path):
    """70 steps of 5 examples are several chunks; with two threads, each has a part of the batch."""
    name = spec_path.stem
    module = built(name, tmp_path)
    module.set_threads(2)
    call = Call(name, sizes_of(_cell(name)[0], 7), steps=70, batch=5)
    for start in (True, False) if _tells_sizes(name) else (True,):
        expected = call.of(call.module, start=start)
        if not all(np.isfinite(array).all() for array in expected.values()):
            pytest.skip("not finite after 70 steps")
        assert max(errors(call.of(module, start=start), expected).values()) <= BOUND
        single = errors(call.of(call.module, np.float32, start), expected)
        ours = errors(call.of(module, np.float32, start), expected)
        # as near to float64 as NumPy in float32; the norm at the end of retnet_heads may be that of very small numbers
        most = 8 if name == "retnet_heads" else 4
        assert max(ours.values()) <= most * max(single.values()) + 1e-6


@np.errstate(all="ignore")
def test_every_cell_is_right_with_checkpoints(spec_path, tmp_path):
    """Seven steps, of which three are on the tape at a time."""
    name = spec_path.stem
    module = built(name, tmp_path, checkpoint=3)
    call = Call(name, sizes_of(_cell(name)[0], 4), steps=7, batch=3)
    for start in (True, False) if _tells_sizes(name) else (True,):
        assert max(errors(call.of(module, start=start), call.of(call.module, start=start)).values()) <= BOUND


def _tells_sizes(name: str) -> bool:
    return not _cell(name)[0].sizes.from_states


# ---------------------------------------------------------------- sizes

EDGES = ("lstm", "gru", "mlstm", "layer_norm_lstm", "ng_lstm")


@pytest.mark.parametrize("name", EDGES)
def test_sizes_at_the_edges(name, tmp_path):
    """No step, one step, no example, one example; widths one below and above those of a vector and of a panel."""
    module = built(name, tmp_path)
    schedule = _cell(name)[0]
    for steps, batch in product((0, 1, 3), (0, 1, 7)):
        call = Call(name, sizes_of(schedule, 4), steps, batch)
        assert max(errors(call.of(module), call.of(call.module)).values()) <= BOUND, (steps, batch)
    for size in (1, 2, 7, 8, 9, 15, 16, 17, 33):
        call = Call(name, dict.fromkeys(sizes_of(schedule, 1), size), 3, 2)
        assert max(errors(call.of(module), call.of(call.module)).values()) <= 10 * BOUND, size


X86 = platform.machine() in ("x86_64", "AMD64")
UNITS = ["-DPLAIN", *(["-mno-avx512f", "-mno-avx512f -mno-avx2 -mno-avx -mno-fma"] if X86 else [])]


@pytest.mark.parametrize("flags", UNITS)
@pytest.mark.parametrize("name", EDGES)
def test_every_vector_unit(name, flags, tmp_path, monkeypatch):
    """The vectors of a processor without the widest ones, and plain loops."""
    monkeypatch.setenv("CFLAGS", f"{QUICK} {flags}")
    module = built(name, tmp_path)
    for size, batch in product((3, 17, 70), (1, 5)):
        call = Call(name, sizes_of(_cell(name)[0], size), 3, batch)
        assert max(errors(call.of(module), call.of(call.module)).values()) <= 10 * BOUND, (size, batch)


@pytest.mark.parametrize("seed", range(12))
def test_random_cells(seed, tmp_path):
    schedule = _schedule(spec.read(make_spec(random.Random(seed).randrange), "<random>"))
    module = execute(module_source(schedule, verified=True), schedule.graph.spec.name)
    for file, text in TARGET.texts(schedule, module, True, 2 if seed % 3 == 0 else None).items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    with np.errstate(all="ignore"):
        figures = verify_target(schedule.graph, TARGET.load(tmp_path, schedule.graph.spec.name), module)
    assert not [figure for figure in figures if not figure.passed]


def test_threads_give_the_same_numbers_every_time(tmp_path):
    module = built("lstm", tmp_path)
    call = Call("lstm", {"D": 5, "H": 6}, 9, 11)
    for threads in (1, 2, 3, 16):
        module.set_threads(threads)
        first, second = call.of(module), call.of(module)
        assert all(np.array_equal(first[name], second[name]) for name in first)
        assert max(errors(first, call.of(call.module)).values()) <= BOUND
    with pytest.raises(ValueError, match="count is 0, expected a whole number from 1 on"):
        module.set_threads(0)


def test_threads_are_for_work_that_takes_longer_than_waking_them(tmp_path):
    module = built("lstm", tmp_path)
    module._threads = 4  # as on a machine with so many processors
    small, large = (Call("lstm", {"D": 16, "H": 16}, 20, batch) for batch in (2, 16))

    def threads() -> list[int]:
        for call in (small, large):
            call.of(module)
        return [plan.threads for plan in module._PLANS.values()]

    assert threads() == [1, 4]
    module.set_threads(2)
    assert threads() == [2, 2]


# ---------------------------------------------------------------- the interface


def test_a_tape_is_valid_as_long_as_it_is_held(tmp_path):
    module = built("peephole_lstm", tmp_path)
    call = Call("peephole_lstm", {"D": 3, "H": 4}, 5, 2)
    x, dy = call.point.inputs["x"], call.point.weights["h"]
    _, _, tape = module.forward(call.params, x)
    before = module.backward(call.params, tape, dy)
    others = [module.forward(call.params, x + shift) for shift in range(1, 5)]
    del others[::2]
    module.forward(call.params, -x)
    after = module.backward(call.params, tape, dy)
    assert all(np.array_equal(before.params[name], after.params[name]) for name in before.params)
    assert np.array_equal(before.x, after.x)


def test_memory_that_nobody_holds_is_used_again(tmp_path):
    module = built("lstm", tmp_path)
    call = Call("lstm", {"D": 3, "H": 4}, 5, 2)
    first = id(module.forward(call.params, call.point.inputs["x"])[2].kept.room)
    assert id(module.forward(call.params, call.point.inputs["x"])[2].kept.room) == first


def test_arrays_of_any_layout(tmp_path):
    """Read-only, turned, with gaps, of another byte order: what NumPy takes, this takes."""
    module = built("lstm", tmp_path)
    call = Call("lstm", {"D": 3, "H": 4}, 5, 2)
    expected = call.of(module)
    x, dy = call.point.inputs["x"], call.point.weights["h"]
    odd = {name: np.asfortranarray(array) for name, array in call.params.items()}
    odd["b"] = np.repeat(odd["b"], 2)[::2]
    turned = np.ascontiguousarray(x.transpose(2, 1, 0)).transpose(2, 1, 0)
    fixed = x.copy()
    fixed.flags.writeable = False
    state = module.State(*(array for array in call.point.state.values()))
    for given in (turned, fixed, x.astype(">f8"), x.tolist()):
        y, _, tape = module.forward(odd, given, state)
        assert np.array_equal(y, expected["output h"])
        grads = module.backward(odd, tape, np.asfortranarray(dy), list(call.point.final.values()))
        assert np.array_equal(grads.params["W"], expected["d W"])


@pytest.mark.parametrize(("change", "message"), [
    (lambda c: c.forward(c.params, c.x[:, :, :1]), "x has shape (5, 2, 1), expected (T, B, D) = (any, any, 3)"),
    (lambda c: c.forward({"W": c.params["W"]}, c.x), "params has the keys ['W'], expected ['R', 'W', 'b']"),
    (lambda c: c.forward({**c.params, "b": c.params["b"][:3]}, c.x), "params['b'] has shape (3,), expected"),
    (lambda c: c.forward(c.params, c.x.astype(complex)), "for complex128 there is lstm.py"),
    (lambda c: c.forward(c.params, c.x, (c.x[0],)), "state is tuple of 1, expected State(h, c)"),
    (lambda c: c.backward(c.params, None, c.x), "tape is NoneType, expected the Tape that `forward` returned"),
    (lambda c: c.backward(c.params, c.forward(c.params, c.x)[2], c.x), "dy has shape (5, 2, 3), expected (T, B, H)"),
])
def test_mistakes_are_told_as_by_the_numpy_module(change, message, tmp_path):
    module = built("lstm", tmp_path)
    call = Call("lstm", {"D": 3, "H": 4}, 5, 2)
    module.params, module.x = call.params, call.point.inputs["x"]
    for _ in range(2):  # the second time, a call of the same shapes may be known
        with pytest.raises(ValueError) as caught:
            change(module)
        assert message in str(caught.value)


def test_float32_and_float64_do_not_mix_up(tmp_path):
    module = built("gru", tmp_path)
    call = Call("gru", {"D": 3, "H": 4}, 5, 2)
    wide, narrow = call.of(module), call.of(module, np.float32)
    assert all(array.dtype == np.float64 for array in wide.values())
    assert all(array.dtype == np.float32 for array in narrow.values())


# ---------------------------------------------------------------- compiling


def _import(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "import lstm_c as m, numpy as np; print(m.forward(m.init_params(2, 3), np.ones((2, 1, 2), np.float32))[0].sum())"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment})


@pytest.fixture
def folder(tmp_path) -> Path:
    built("lstm", tmp_path)
    return tmp_path


def test_without_a_compiler_one_sentence_says_so(folder):
    done = _import(folder, CC="no-such-compiler")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "ImportError: lstm_c cannot call the C compiler no-such-compiler: No such file or directory; name another in $CC, "
        "or use lstm.py")
    done = _import(folder, CC="", PATH="")
    assert "needs a C compiler, and there is no cc, gcc or clang" in done.stderr.strip().splitlines()[-1]


def test_a_compiler_that_fails(folder):
    done = _import(folder, CC="false")
    assert "could not compile" in done.stderr.strip().splitlines()[-1]
    (folder / "lstm.h").write_text("#error nobody compiles this\n")
    done = _import(folder)
    assert "nobody compiles this" in done.stderr.strip().splitlines()[-1]
    (folder / "lstm.h").unlink()
    assert "needs" in _import(folder).stderr.strip().splitlines()[-1]


def test_a_cache_that_cannot_be_used(folder, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    right = _import(folder).stdout
    assert right
    assert _import(folder, XDG_CACHE_HOME=str(file)).stdout == right
    open_to_all = tmp_path / "open"
    (open_to_all / "lstmgen").mkdir(parents=True)
    (open_to_all / "lstmgen").chmod(0o777)
    assert _import(folder, XDG_CACHE_HOME=str(open_to_all)).stdout == right
    assert not list((open_to_all / "lstmgen").iterdir()), "others can write there: no library is loaded from it"


def test_a_broken_library_in_the_cache_is_made_again(folder, tmp_path):
    cache = tmp_path / "cache"
    right = _import(folder, XDG_CACHE_HOME=str(cache)).stdout
    (library,) = (cache / "lstmgen").glob("*.so")
    library.write_bytes(library.read_bytes()[:100])
    assert _import(folder, XDG_CACHE_HOME=str(cache)).stdout == right
    assert [path.name for path in (cache / "lstmgen").iterdir()] == [library.name]


def test_two_processes_compile_at_the_same_time(folder, tmp_path):
    cache = tmp_path / "cache"
    code = "import lstm_c; print(lstm_c.State._fields)"
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    running = [subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment, stdout=subprocess.PIPE)
               for _ in range(3)]
    assert [process.communicate()[0] for process in running] == [b"('h', 'c')\n"] * 3
    assert len(list((cache / "lstmgen").iterdir())) == 1


def test_other_flags_have_a_library_of_their_own(folder, tmp_path):
    cache = tmp_path / "cache"
    for flags in ("-O0", "-O0 -mno-avx", "-O0"):
        _import(folder, XDG_CACHE_HOME=str(cache), CFLAGS=flags)
    assert len(list((cache / "lstmgen").iterdir())) == 2


# ---------------------------------------------------------------- the generator


def test_the_table_of_functions_is_complete():
    pointwise = {entry.name for entry in functions.POINTWISE}
    operations = {entry.name for entry in functions.OPERATIONS}
    assert set(c_functions.POINTWISE) == pointwise
    assert set(c_functions.OPERATIONS) - {"matvec", "matvec_turned", "matmul"} | c_functions.NO_CALLS == operations
    assert not set(c_functions.OPERATIONS) & c_functions.NO_CALLS


def test_a_wrong_sign_is_found(tmp_path):
    """The check can fail: with the sign of one contribution changed, figures do not pass."""
    schedule, module = _cell("lstm")
    texts = TARGET.texts(schedule, module, True, None)
    right = "+ dy_m[j]"
    assert texts["lstm.c"].count(right) == 1
    for file, text in texts.items():
        (tmp_path / file).write_text(text.replace(right, "- dy_m[j]"), encoding="utf-8")
    figures = verify_target(schedule.graph, TARGET.load(tmp_path, "lstm"), module)
    assert [figure for figure in figures if not figure.passed]


def test_what_cannot_run_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(CannotRun, match="cannot call the C compiler"):
        built("lstm", tmp_path)
