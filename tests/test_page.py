"""The page of a cell: one safe file, and in a real browser the same numbers as Python's."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

import lstmgen
from browser import browser as open_browser
from lstmgen.document.page.compose import SCRIPTS, render_page
from lstmgen.language import functions
from lstmgen.language.evaluate import Floats
from lstmgen.numerics.points import choose_sizes, draw_point
from lstmgen.numerics.sweep import Sweep
from lstmgen.resources import TEMPLATES
from lstmgen.schedule.make import make_schedule

SIX = ("peephole_lstm", "gru", "slstm", "mlstm", "layer_norm_lstm", "stacked_lstm")
STEPS = 3


@pytest.fixture(scope="module")
def browser():
    with open_browser() as window:
        yield window


@pytest.fixture
def opened(browser, tmp_path):
    """Opens the page of a cell, whose console must stay empty."""

    def open_page(cell, notation=None):
        page = tmp_path / "page.html"
        page.write_text(page_of(cell, notation), encoding="utf-8")
        browser.messages()
        browser.open(page)
        return browser

    yield open_page
    assert not browser.messages()


@lru_cache(maxsize=1)
def schedule_of(cell: str | Path):
    return make_schedule(lstmgen.derive(lstmgen.load(cell)))


def page_of(cell, notation=None) -> str:
    return render_page(schedule_of(cell), notation, None)


# ---------------------------------------------------------------- every cell


NUMBERS = """
const [sizes, start, steps] = arguments, run = new Run({sizes, start, steps}).backward();
return {gradients: run.gradients, values: run.values, fixed: run.fixed, loss: run.loss};
"""
OWN_NUMBERS = """
return CELL.colours.flatMap(name => Array.from({length: view.steps}, (_, k) => k + 1).flatMap(step => {
  if (view.run.adjoint(name, step) === undefined) return [];
  const {array, hasKink} = view.whole.measured(name, step);
  return hasKink ? [] : [[name, step, Math.max(...entries(subtract(view.run.adjoint(name, step), array)).map(Math.abs)), norm(array)]];
}));
"""
EVERY_CHOICE = """
for (const {id} of CELL.notations) { setNotation(id); choose(CELL.gradients.at(-1).value, 1); choose(CELL.gradients[0].value, 3); }
return document.querySelectorAll("#picture .box").length;
"""


def test_every_cell_opens_and_computes_what_python_computes(spec_path, opened):
    schedule = schedule_of(spec_path)
    window = opened(spec_path)
    graph = schedule.graph
    sizes = choose_sizes(graph, 2)
    point = draw_point(graph, sizes, STEPS, 1, np.random.default_rng(3), 1.0)
    sweep = Sweep(graph, schedule.derivation, sizes, Floats(), point, STEPS)
    wanted = sweep.gradients()
    found = window.run(NUMBERS, sizes, as_start(point), STEPS)
    for name, array in wanted.items():
        assert_close(found["gradients"].get(name, np.zeros(np.shape(array[0]))), array[0], name)
    for step in range(1, STEPS + 1):
        for name, array in sweep.values[step].items():
            given = np.asarray(found["values"][step][name], float)
            assert_close(given, np.broadcast_to(array[0], given.shape), f"{name} of step {step}")
    assert_small_and_the_same(page_of(spec_path), spec_path)
    for name, step, off, size in window.run(OWN_NUMBERS):
        assert off <= 1e-5 * max(size, 1e-3), f"measured, the gradient at {name} of step {step} is another"
    assert window.run(EVERY_CHOICE) > 0


def as_start(point) -> dict[str, object]:
    """A point for a page: one example, and the steps in front."""
    return {
        "parameters": {name: array.tolist() for name, array in point.parameters.items()},
        "state": {name: array[0].tolist() for name, array in point.state.items()},
        "inputs": {name: array[:, 0].tolist() for name, array in point.inputs.items()},
        "outside": {name: array[:, 0].tolist() for name, array in point.weights.items()},
        "final": {name: array[0].tolist() for name, array in point.final.items()},
    }


def assert_close(found, wanted, what: str) -> None:
    found, wanted = np.asarray(found, float), np.asarray(wanted, float)
    assert found.shape == wanted.shape, what
    assert np.abs(found - wanted).max(initial=0) <= 1e-11 * np.abs(wanted).max(initial=0) + 1e-15, what


def assert_small_and_the_same(text: str, cell: Path) -> None:
    assert len(text.encode("utf-8")) <= 200_000
    assert not re.search(r"https?:", text.replace("http://www.w3.org/", ""))
    assert text == page_of(cell)


def test_the_page_has_every_function(opened):
    window = opened("lstm")
    known = set(window.run("return [...Object.keys(POINTWISE), ...Object.keys(OF_ARRAYS), ...Object.keys(CELL.language.macros)]"))
    assert known == set(functions.TABLE)


CALL = "const [call, given] = arguments; return evaluate(call, {value: name => given[Number(name)]});"
ARRAYS = {"outer": ([0.3, -0.7], [1.1, 0.2, 0.5]), "transpose": ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],)}
LITERALS = {"repeat": (2,), "part": (1, 2), "Fill": (3,), "Fold": (2,), "Place": (1, 3), "Slice": (1, 3),
            "layer_norm": ("1e-5",), "Inverse_std": ("1e-5",)}


def test_a_function_computes_what_the_table_says(opened):
    window, math = opened("lstm"), Floats()
    for name, entry in functions.TABLE.items():
        if isinstance(entry, functions.Macro):
            continue  # told in the language itself
        literals = LITERALS.get(name, ())
        count = len(entry.arguments) - len(literals) - (entry.arguments[-1] == "...") + (name == "concat")
        for sign in (1, -1 if name not in ("log", "sqrt", "rsqrt") else 1):
            vector = np.array([0.9, 0.31, 1.7, 0.45]) * sign
            given = ARRAYS.get(name, tuple((vector + 0.4 * k).tolist() for k in range(count)))
            call = ["f", name, *(["v", str(k), 0] for k in range(len(given))), *map(float, literals)]
            wanted = entry.meaning(math, *map(math.array, given), *literals)
            assert_close(window.run(CALL, call, given), wanted, name)


# ---------------------------------------------------------------- safe


HOSTILE = """
name: hostile
title: "</title><script>alert(1)</script> & \\"quoted\\" 'x' -->"
description: "</script><img src=x onerror=alert(1)> <!-- ]]> {{ 7 * 7 }}"
references: ["<svg onload=alert(1)>", "javascript:alert(1)"]
state: {constructor: H, toString: H}
parameters: {W: [H, D], hasOwnProperty: [H, H], valueOf: [H, H]}
equations:
  constructor: tanh(W @ x + hasOwnProperty @ constructor[t-1] + valueOf @ toString[t-1])
  toString: sigmoid(constructor) * toString[t-1]
output: constructor
"""


def test_text_of_a_spec_stays_text(opened):
    window = opened(HOSTILE)
    title = window.run("return [document.title, document.querySelector('h1').textContent, document.querySelector('.lead').textContent]")
    assert title[1].startswith("</title><script>alert(1)</script> & \"quoted\" 'x' -->") and title[0].startswith(title[1])
    assert "<img src=x" in title[2] and "{{ 7 * 7 }}" in title[2]
    counts = window.run("return ['script', 'img', 'iframe', 'link'].map(tag => document.querySelectorAll(tag).length)")
    assert counts == [2, 0, 0, 0]
    assert window.run("return view.run.adjoint('constructor', 2).length") > 0


def test_the_policy_allows_this_script_and_style_alone(opened):
    text = page_of("gru")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    for tag in ("script", "style"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy.replace("&#39;", "'")
    assert policy.startswith("default-src") and " style=" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    window = opened("gru")
    window.run("""const script = document.createElement("script");
        script.textContent = "window.broken = true"; document.body.append(script);""")
    assert window.run("return window.broken === undefined")
    assert any("Content Security Policy" in message for message in window.messages())


def test_scripts_never_read_markup():
    for name in SCRIPTS:
        text = (TEMPLATES / "page" / f"{name}.js").read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|setAttribute\(.style", text), name


def test_data_cannot_end_its_element():
    data = re.search(r'id="derivation">(.*?)</script>', page_of(HOSTILE), re.DOTALL)[1]
    assert not set("<>&\u2028\u2029") & set(data)
    assert json.loads(data)["name"] == "hostile"


def test_a_notation_of_the_literature_can_open_a_page(opened):
    assert opened("lstm", "hats").run("return view.notation") == "hats"
