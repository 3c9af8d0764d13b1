"""The example: its own gradient, that it learns, and what it prints."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lstmgen.pipeline import build

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "char_model.py"
MODULE = ROOT / "generated" / "peephole_lstm.py"


@pytest.fixture(scope="module")
def example(load_module):
    return load_module(EXAMPLE)


@pytest.fixture(scope="module")
def cell(load_module):
    return load_module(MODULE)


def test_gradient_of_the_read_out(example):
    """Complex steps of the loss, through every argument."""
    rng = np.random.default_rng(0)
    wanted = rng.integers(0, example.SIZE, (3, 2))
    arguments = {
        "V": rng.normal(size=(example.SIZE, 4)),
        "a": rng.normal(size=example.SIZE),
        "y": rng.normal(size=(3, 2, 4)),
    }

    def loss(values):
        return example.read_out({"V": values["V"], "a": values["a"]}, values["y"], wanted)

    _, dy, grads = loss(arguments)
    derived = {**grads, "y": dy}
    for name, value in arguments.items():
        direction = rng.normal(size=value.shape)
        moved = loss({**arguments, name: value + 1e-30j * direction})[0].imag / 1e-30
        assert (derived[name] * direction).sum() == pytest.approx(moved, rel=1e-12)


def test_gradient_of_the_whole_model(example, cell):
    """Differences of the loss along each array: cell, embedding and read-out fit together."""
    rng = np.random.default_rng(1)
    model = example.Model(cell, 5, rng)
    model.cell = {name: array.astype(np.float64) for name, array in model.cell.items()}
    model.rest = {name: array.astype(np.float64) for name, array in model.rest.items()}
    known, wanted = rng.integers(0, example.SIZE, (2, 4, 3))

    def loss():
        return model.learn(known, wanted, None, np.inf)[0]

    grads = model.learn(known, wanted, None, np.inf)[1]
    for name, array in model.weights.items():
        direction, step = rng.normal(size=array.shape), 1e-6
        array += step * direction
        above = loss()
        array -= 2 * step * direction
        below = loss()
        array += step * direction
        slope = (above - below) / (2 * step)
        assert (grads[name] * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-8), name


def test_it_learns_and_the_same_seed_gives_the_same(example, cell):
    text = example.encode("def step(self):\n    return self\n" * 100)
    settings = example.Settings(hidden=8, steps=60, length=10, batch=4, rate=0.02)
    known, wanted = example.side_by_side(text)

    def trained():
        model = example.Model(cell, settings.hidden, np.random.default_rng(0))
        before = model.bits(known, wanted)
        example.fit(model, text, settings)
        return before, model.bits(known, wanted), model.weights

    before, after, weights = trained()
    assert after < 0.7 * before
    again = trained()[2]
    assert all(np.array_equal(weights[name], again[name]) for name in weights)
    assert all(array.dtype == np.float32 for array in weights.values())


def test_state_is_handed_on(example, cell):
    """A text read in one piece and in three costs the same."""
    known, wanted = example.side_by_side(example.encode("".join(map(chr, range(32, 127))) * 4), 2)
    model = example.Model(cell, 6, np.random.default_rng(0))
    whole = model.bits(known, wanted, length=1000)
    assert model.bits(known, wanted, length=70) == pytest.approx(whole, rel=1e-5)


def test_counting_models_are_distributions(example):
    unigram, bigram = example.count_models(example.encode("abab\n\u00e9"))
    assert unigram.sum() == pytest.approx(1) and bigram.sum(1) == pytest.approx(1)
    assert unigram.min() > 0 and bigram.min() > 0
    a, b = example.encode("ab")
    assert bigram[a, b] == bigram[a].max()


def test_characters_beyond_the_alphabet_are_one(example):
    assert example.ALPHABET[example.encode("\u00e9")[0]] == example.OTHER
    assert len(set(example.ALPHABET)) == example.SIZE


def test_the_command(tmp_path):
    """The figures of all three models, samples, and no bar where there is no terminal."""
    done = run("--short", "--steps", "3", "--hidden-size", "4")
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("unigram", "bigram", "peephole_lstm", "sampled after"))
    assert "\r" not in done.stdout and "\x1b" not in done.stdout


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler here")
def test_the_command_in_c(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CFLAGS", "-O0")
    build("peephole_lstm", tmp_path, targets=("c",), verify=False)
    command = [sys.executable, str(EXAMPLE), "--short", "--steps", "2", "--hidden-size", "5", "--in-c"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cell      in C, in one thread\n")
    assert "  peephole_lstm_c" in done.stdout
    monkeypatch.setenv("CC", "no-such-compiler")
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cell      in NumPy: peephole_lstm_c cannot call the C compiler no-such-compiler")
    assert "  peephole_lstm " in done.stdout


def test_no_module_is_one_line_that_says_what_to_run(tmp_path):
    done = run("--module", str(tmp_path / "absent.py"))
    assert done.returncode == 2
    assert "lstmgen build" in done.stderr and done.stderr.count("\n") == 1


def test_a_cell_of_another_kind_is_refused(tmp_path):
    other = tmp_path / "other.py"
    other.write_text("def init_params(size, rng=0): ...\ndef forward(params, x, time): ...\n")
    done = run("--module", str(other))
    assert done.returncode == 2 and "one input" in done.stderr


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, EXAMPLE, *arguments], capture_output=True, text=True)
