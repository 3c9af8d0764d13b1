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
from lstmgen.derivation.chain import OUTPUT
from lstmgen.language import functions
from lstmgen.language.evaluate import Floats
from lstmgen.language.expressions import Call, walk
from lstmgen.language.text import source
from lstmgen.numerics.points import choose_sizes, draw_point
from lstmgen.numerics.unrolled import Adjoints, at_point
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


@lru_cache(maxsize=1)
def page_of(cell, notation=None) -> str:
    return render_page(schedule_of(cell), notation, None)


# ---------------------------------------------------------------- every cell


NUMBERS = """
const [sizes, start, steps] = arguments, run = new Run({sizes, start, steps}).backward();
return {values: run.values, adjoints: run.adjoints, fixed: run.fixed, totals: run.totals};
"""
OWN_NUMBERS = """
return CELL.colours.flatMap(name => Array.from({length: view.steps}, (_, k) => k + 1).flatMap(step => {
  if (view.run.adjoint(name, step) === undefined) return [];
  const {array, hasKink} = view.whole.measured(name, step);
  const off = Math.max(...entries(subtract(view.run.adjoint(name, step), array)).map(Math.abs));
  return hasKink ? [] : [[name, step, off, norm(array)]];
}));
"""
ANOTHER_CHOICE = """
setNotation(CELL.notations.at(-1).id);
choose(CELL.gradients.at(-1).value, 1);
return document.querySelectorAll("#picture .box").length;
"""


def test_every_cell_opens_and_computes_what_python_computes(spec_path, opened):
    schedule = schedule_of(spec_path)
    window = opened(spec_path)
    graph = schedule.graph
    sizes = choose_sizes(graph, 2)
    point = draw_point(graph, sizes, STEPS, 1, np.random.default_rng(3), 1.0)
    run = at_point(schedule.derivation, sizes, Floats(), point, STEPS)
    adjoints = Adjoints(run, point.weights, point.final)
    found = window.run(NUMBERS, sizes, as_start(point), STEPS)
    for name, array in run.fixed.items():
        assert_close(found["fixed"][name], array[0], name)
    for name, array in adjoints.totals.items():
        assert_close(found["totals"][name], array[0], f"the gradient of {name}")
    for kind, by_step in (("values", run.values), ("adjoints", adjoints.by_step)):
        for step, arrays in enumerate(by_step):
            for name, array in arrays.items():
                given = np.asarray(found[kind][step][name], float)
                assert_close(given, np.broadcast_to(array[0], given.shape), f"{name} of step {step}, {kind}")
    assert_small_and_the_same(page_of(spec_path), spec_path)
    for name, step, off, size in window.run(OWN_NUMBERS):
        assert off <= 1e-5 * max(size, 1e-3), f"measured, the gradient at {name} of step {step} is another"
    assert window.run(ANOTHER_CHOICE) > 0


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
    assert text == render_page(schedule_of(cell), None, None)


HEADS = """
name: of_heads
dims: {D: input_size, N: heads, G: head_size}
state: {S: [N, G, G], h: N*G}
parameters: {W: [N*G, D], V: [N, D], R: [N, G, G], M: [G, G]}
equations:
  q: R @ heads(W @ x, N)
  f: sigmoid(V @ x)
  S: fill(fill(f, G), G) * S[t-1] + outer(q, heads(h[t-1], N) - q @ M)
  h: tanh(flat(S @ q))
output: h
"""


def test_arrays_of_three_axes_are_computed_shown_and_changed(opened):
    window = opened(HEADS)
    assert all(off <= 1e-5 * max(size, 1e-3) for _, _, off, size in window.run(OWN_NUMBERS))
    for text in ("flat", "heads", "fill"):
        assert text in window.run("return byId('forward').textContent"), text
    sizes = window.run("return CELL.example.sizes")
    fields = window.run("return [...document.querySelectorAll('#numbers input')].filter(each => "
                        "each.getAttribute('aria-label').startsWith('R entry')).map(each => each.getAttribute('aria-label'))")
    assert len(fields) == sizes["N"] * sizes["G"] ** 2 and fields[-1].count(",") == 2
    before = window.run("return view.whole.loss")
    window.run("""const field = document.querySelector("#numbers [aria-label='R entry 1, 2, 1']"); field.value = "0.77";
        field.dispatchEvent(new Event("change"));""")
    assert window.run("return view.whole.loss") != before
    assert window.run("return view.start.parameters.R[0][1][0]") == 0.77
    assert window.run("return toldAll([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], 1)") == "1.0  2.0; 3.0  4.0 | 5.0  6.0; 7.0  8.0"


def test_the_page_has_every_function(opened):
    window = opened("lstm")
    tables = ("POINTWISE", "OF_ARRAYS", "CELL.language.macros")
    assert {name for table in tables for name in window.run(f"return Object.keys({table})")} == set(functions.TABLE)


CALL = "const [call, given] = arguments; return evaluate(call, {value: name => given[Number(name)]});"
ARRAYS = {"outer": ([0.3, -0.7], [1.1, 0.2, 0.5]), "transpose": ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],),
          "flat": ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],)}
LITERALS = {"repeat": (2,), "part": (1, 2), "fill": (3,), "heads": (2,), "Fold": (2,), "Place": (1, 3), "Slice": (1, 3),
            "layer_norm": ("1e-5",), "Inverse_std": ("1e-5",), "rms_norm": ("1e-6",), "l2_norm": ("1e-6",),
            "Inverse_rms": ("1e-6",), "Inverse_norm": ("1e-6",), "ones": (2, 3), "eye": (3,), "triangle": (3,),
            "clip_gradient": (0.4,), "Clip": (0.4,), "Array": (2, 0.5, 1, 2, 3, 4, 5)}


def test_a_function_computes_what_the_table_says(opened):
    window, math = opened("lstm"), Floats()
    for name, entry in functions.TABLE.items():
        if isinstance(entry, functions.Macro):
            continue  # told in the language itself
        literals = LITERALS.get(name, ())
        count = len(entry.arguments) - len(literals) - (entry.arguments[-1] == "...") + (name == "concat")
        for sign in (1, -1 if name not in ("log", "log1p", "sqrt", "rsqrt") else 1):
            vector = np.array([0.9, 0.31, 1.7, 0.45]) * sign
            given = ARRAYS.get(name, tuple((vector + 0.4 * k).tolist() for k in range(count)))
            call = ["f", name, *(["v", str(k), 0] for k in range(len(given))), *map(float, literals)]
            wanted = entry.meaning(math, *map(math.array, given), *literals)
            assert_close(window.run(CALL, call, given), wanted, name)


# ---------------------------------------------------------------- six cells, touched


def asked_for(cell: str):
    """The gradient with the most contributions that a reader can type."""
    derivation = schedule_of(cell).derivation
    moving = [each for each in derivation.stages if each.value not in derivation.graph.static]
    typed = [each for each in moving if not any(
        isinstance(node, Call) and node.function[0].isupper() for fork in each.forks for node in walk(fork.term))]
    return max(typed, key=lambda gradient: len(gradient.forks))


@pytest.mark.parametrize("cell", SIX)
def test_a_choice_lights_up_everywhere(cell, opened):
    window, gradient = opened(cell), asked_for(cell)
    window.run("choose(arguments[0], 1)", gradient.value)
    for place in ("#picture", "#backward", "#panel .forks", "#code"):
        assert window.run(f"return document.querySelectorAll('{place} .is-term').length") > 0, place
    assert window.run("return document.querySelectorAll('#panel .fork').length") == len(gradient.forks)
    assert window.run("return document.querySelector('#picture .is-reader') !== null || CELL.picture.length > 1")


@pytest.mark.parametrize("cell", SIX)
def test_notations_switch_in_place(cell, opened):
    window, shown = opened(cell), set()
    for place in range(window.run("return CELL.notations.length")):
        window.run("document.querySelectorAll('#notations input')[arguments[0]].click()", place)
        shown.add(window.run("return byId('forward').textContent + byId('picture').textContent"))
    assert len(shown) == window.run("return CELL.notations.length")


@pytest.mark.parametrize("cell", SIX)
def test_the_walk_shows_numbers_as_they_come(cell, opened):
    window = opened(cell)
    count = "return [...document.querySelectorAll('.lines .number')].filter(node => node.textContent).length"
    everything = window.run(count)
    window.run("byId('first').click()")
    assert window.run(count) == 0
    window.run("for (let k = 0; k < 3; k++) byId('next').click()")
    assert 0 < window.run(count) < everything
    window.run("byId('last').click()")
    assert window.run(count) >= everything - 1


@pytest.mark.parametrize("cell", SIX)
def test_changed_numbers_are_computed_and_measured(cell, opened):
    window = opened(cell)
    before = window.run("return view.whole.loss")
    window.run("""const field = document.querySelector("#numbers input"); field.value = "0,77";
        field.dispatchEvent(new Event("change"));""")
    assert window.run("return view.whole.loss") != before
    assert window.run("return byId('agreement').textContent") in ("✓ equal", "at a kink")
    window.run("""const field = document.querySelector("#numbers input"); field.value = "x";
        field.dispatchEvent(new Event("change"));""")
    assert window.run("return document.querySelector('#numbers input').getAttribute('aria-invalid')") == "true"
    window.run("byId('reset').click()")
    assert window.run("return view.whole.loss") == before


@pytest.mark.parametrize("cell", SIX)
def test_a_term_that_is_left_out_breaks_gradients(cell, opened):
    window, gradient = opened(cell), asked_for(cell)
    window.run("choose(arguments[0], 2); document.querySelector('#panel .cut').click()", gradient.value)
    assert window.run("return byId('agreement').textContent") == "✗ not equal"
    broken = window.run("return document.querySelectorAll('.bars li').length")
    assert broken > 0 and window.run("return document.querySelectorAll('.number.wrong').length") > 0
    window.run("document.querySelector('#panel .cut').click()")
    assert window.run("return byId('agreement').textContent") == "✓ equal"


VERDICT = """
const [name, line] = arguments;
byId("which").value = name;
byId("line").value = line;
byId("ask").requestSubmit();
return [byId("verdict").className, byId("verdict").textContent];
"""


@pytest.mark.parametrize("cell", SIX)
def test_a_line_is_judged(cell, opened):
    window, gradient = opened(cell), asked_for(cell)
    terms = [source(fork.term) for fork in gradient.forks]
    whole = " + ".join(f"({term})" for term in terms)
    assert window.run(VERDICT, gradient.value, whole)[0] == "right"
    for index, fork in enumerate(gradient.forks):
        rest = [term for place, term in enumerate(terms) if place != index] or ["0"]
        verdict = window.run(VERDICT, gradient.value, " + ".join(f"({term})" for term in rest))
        assert verdict[0] == "incomplete" and ("outside" if fork.kind == OUTPUT else "through") in verdict[1]
        verdict = window.run(VERDICT, gradient.value, f"{whole} + ({terms[index]})")
        assert verdict[0] == "wrong" and "is there 2 times" in verdict[1], verdict
    assert window.run(VERDICT, gradient.value, f"{whole} + 0.001")[0] == "wrong"
    for unread in ("d_nobody *", "(", "1 2", "$"):
        assert window.run(VERDICT, gradient.value, unread)[0] == "unread"


def test_usual_slips_are_named(opened):
    window = opened("peephole_lstm")
    verdict, told = window.run(VERDICT, "c", "d_h * o * (1 - tanh(c)**2) + d_c[t+1] * f")
    assert verdict == "wrong" and "the values are not of step t+1" in told and "Missing" in told
    verdict, told = window.run(VERDICT, "h", "dy + R_z @ d_z_pre[t+1]")
    assert verdict == "wrong" and "the matrix is not transposed" in told


@pytest.mark.parametrize("cell", SIX)
def test_practice_hides_asks_hints_and_counts(cell, opened):
    window = opened(cell)
    window.run("byId('practise').click()")
    assert window.run("return getComputedStyle(byId('backward')).visibility") == "hidden"
    name = window.run("return byId('which').value")
    assert name == window.run("return practice.list[0]")
    window.run("byId('hint').click()")
    assert window.run("return document.querySelectorAll('#practice li').length") == 1
    gradient = schedule_of(cell).derivation.adjoints[name]
    if any(isinstance(node, Call) and node.function[0].isupper() for fork in gradient.forks for node in walk(fork.term)):
        return
    assert window.run(VERDICT, name, " + ".join(f"({source(fork.term)})" for fork in gradient.forks))[0] == "right"
    assert window.run("return [practice.points, practice.solved]") == [2, 1]


@pytest.mark.parametrize("cell", SIX)
def test_paths_add_up_to_the_gradient(cell, opened):
    window = opened(cell)
    for steps in (2, 4):
        window.run("setSteps(arguments[0]); choose(firstChoice(), arguments[0] - 1)", steps)
        assert window.run("return byId('path-count').textContent") == str(window.run(
            "return [...pathsTo(view.chosen, view.step)].length"))
        off = window.run("""return distance([...pathsTo(view.chosen, view.step)].map(alongPath).reduce(add),
            view.run.adjoint(view.chosen, view.step))""")
        assert off < 1e-12


def test_the_keyboard_reaches_everything(opened):
    window = opened("gru")
    window.run("document.querySelector('#picture [role=button][data-value=n]').focus()")
    window.type("\ue007")  # Enter
    assert window.run("return view.chosen") == "n"
    window.run("document.querySelector('#backward [role=row]').focus()")
    window.type("\ue015\ue007")  # arrow down, Enter
    assert window.run("return document.activeElement.closest('#backward') !== null")
    unlabelled = """return [...document.querySelectorAll("button, input, select, [role=button]")].filter(node =>
        !node.textContent.trim() && !node.getAttribute("aria-label") && !document.querySelector(`label[for="${node.id}"]`) &&
        !node.closest("label")).length"""
    assert window.run(unlabelled) == 0


@pytest.mark.parametrize("cell", SIX)
def test_nothing_leaves_the_page(cell, opened):
    window = opened(cell)
    for width in (400, 1400):
        window.resize(width, 900)
        assert window.run("return document.documentElement.scrollWidth") <= width


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


TEXT_OF = "document.querySelector('{}').textContent"


def test_text_of_a_spec_stays_text(opened):
    window = opened(HOSTILE)
    title = [window.run(f"return {what}") for what in ("document.title", TEXT_OF.format("h1"), TEXT_OF.format(".lead"))]
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
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|\.style", text), name


def test_data_cannot_end_its_element():
    data = re.search(r'id="derivation">(.*?)</script>', page_of(HOSTILE), re.DOTALL)[1]
    assert not set("<>&\u2028\u2029") & set(data)
    assert json.loads(data)["name"] == "hostile"


def test_a_notation_of_the_literature_can_open_a_page(opened):
    assert opened("lstm", "hats").run("return view.notation") == "hats"
