"""Code as it stands: every right form holds, what is wrong is noticed, and what fails is told with its place."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from handed_in import Style, Writer, draw, hand_in

from lstmgen.auditing.foreign import ForeignError
from lstmgen.auditing.theirs import reading
from lstmgen.auditing.theirs.blocks import Grid, Ours, assemble, names_in, numbered, read_block, spelled
from lstmgen.auditing.theirs.judging import HandedIn, audit_code
from lstmgen.auditing.theirs.survey import survey
from lstmgen.cli import main
from lstmgen.derivation.build import build_graph
from lstmgen.derivation.graph import Graph
from lstmgen.errors import Mistakes, Place, SpecError, Text
from lstmgen.resources import find_spec
from lstmgen.spec.reader import load, read


def cell(name: str) -> Graph:
    path = find_spec(name)
    assert path is not None
    return build_graph(load(path))


# A student's LSTM: columns, one example, [h, x] in one matrix, a dictionary of caches. {back} is what may be wrong.
STUDENT = '''
import numpy as np

def sigmoid(a):
    return 1 / (1 + np.exp(-a))

def forward(params, xs, h_prev, c_prev):
    hs, caches = {{}}, {{}}
    for t in range(len(xs)):
        z = np.vstack((h_prev, xs[t]))
        f = sigmoid(params["Wf"] @ z + params["bf"])
        i = sigmoid(params["Wi"] @ z + params["bi"])
        o = sigmoid(params["Wo"] @ z + params["bo"])
        g = np.tanh(params["Wc"] @ z + params["bc"])
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        caches[t], hs[t] = (z, f, i, o, g, c, c_prev), h
        h_prev, c_prev = h, c
    print("forward done")
    return hs, caches

def backward(params, caches, dhs):
    grads = {{"d" + k: np.zeros_like(v) for k, v in params.items()}}
    dh_next = dc_next = 0
    for t in reversed(range(len(caches))):
        z, f, i, o, g, c, c_prev = caches[t]
        dh = dhs[t] + dh_next
        dc = dc_next + dh * o * (1 - np.tanh(c) ** 2)
        d = {{"o": dh * np.tanh(c) * o * (1 - o), "c": dc * i * (1 - g ** 2), "i": dc * g * i * (1 - i),
             "f": dc * c_prev * f * (1 - f)}}
        for k in d:
            grads["dW" + k] += d[k] @ z.T
            grads["db" + k] += d[k]
        dh_next = sum(params["W" + k].T @ d[k] for k in d)[:len(c)]
        dc_next = {back}
    return grads
'''
LAYOUT = '''
forward: forward(params, xs, h_prev, c_prev)
gives: [hs, caches]
backward: backward(params, caches, dhs)
vectors: columns
batch: one
parameters: {Wf: "[R_f, W_f]", Wi: "[R_i, W_i]", Wc: "[R_z, W_z]", Wo: "[R_o, W_o]", bf: b_f, bi: b_i, bc: b_z, bo: b_o}
'''


def handed(tmp_path: Path, text: str, graph: Graph, layout: str = "", name: str = "theirs.py", **more: object) -> HandedIn:
    file = tmp_path / name
    file.write_text(text)
    return audit_code(graph, file, reading.read(layout, graph) if layout else None, **more)  # type: ignore[arg-type]


def refused(tmp_path: Path, text: str, graph: Graph, layout: str = "", **more: object) -> str:
    with pytest.raises(ForeignError) as error:
        handed(tmp_path, text, graph, layout, **more)
    return str(error.value)


# ---------------------------------------------------------------- right and wrong


@pytest.mark.parametrize("layout", [LAYOUT, ""])
def test_a_students_lstm_holds_and_its_mistake_is_named(tmp_path, layout):
    graph = cell("lstm")
    right = handed(tmp_path, STUDENT.format(back="dc * f"), graph, layout)
    assert right.holds and right.guessed == (not layout), right.lines()
    assert right.printed == ("forward done",)
    assert "takes no gradient of the final h and c" in right.audit.notes[0]
    wrong = handed(tmp_path, STUDENT.format(back="dc"), graph, layout)
    assert not wrong.holds and wrong.audit.complete
    assert "d_c[t+1] * f[t+1]" in wrong.audit.explanation


@pytest.mark.parametrize("seed", range(12))
def test_right_code_holds_in_every_form(tmp_path, seed):
    style = draw(random.Random(seed))
    status, said = hand_in(style, tmp_path, layout=True)
    assert status == 0, said
    status, said = hand_in(style, tmp_path, layout=False)
    assert status != 1, said


PLAIN = Style("lstm", "rows", "second", "first", "all", True, "apart", "", "ours", "dict", "d", True, True, True, "list",
              False)


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("dc_prev = dc * f", "dc_prev = dc"),
        ("da_i = dc * z * i * (1 - i)", "da_i = dc * z * i"),
        ("+ dh_next", ""),
        ("da_f = dc * c_prev", "da_f = dc * c"),
        ("g['b_o'] = g['b_o'] + ", "g['b_o'] = "),
        ("np.tanh(c) ** 2)", "np.tanh(c))"),
        ("dh_prev = dh_prev + da_z @ params['R_z'].T", "dh_prev = dh_prev"),
    ],
)
@pytest.mark.parametrize("layout", [True, False])
def test_a_mistake_is_noticed(tmp_path, right, wrong, layout):
    writer = Writer(PLAIN)
    assert right in writer.text()
    graph = cell("lstm")
    found = handed(tmp_path, writer.text().replace(right, wrong), graph, writer.layout() if layout else "")
    assert not found.holds and found.audit.explanation, found.lines()
    assert not found.forward


def test_another_forward_pass_is_the_first_thing_said(tmp_path):
    text = Writer(PLAIN).text().replace("c = f * c_prev + i * z", "c = f * c_prev + z")
    found = handed(tmp_path, text, cell("lstm"))
    assert not found.holds and "h differs from the first step on" in found.forward
    assert found.lines().index(found.forward) < min(at for at, line in enumerate(found.lines()) if line.startswith("d_"))
    assert found.audit.explanation == "in the forward pass, in the equation of c: the factor i is missing"


def test_names_that_tell_too_little_are_asked_for_and_not_called_wrong(tmp_path):
    style = replace(PLAIN, stacked="ifoz", names="x_h", held="arguments")
    text = Writer(style).text()
    assert handed(tmp_path, text, cell("lstm")).holds  # the outputs tell the order of the gates
    text = text.replace("c = f * c_prev + i * z", "c = f * c_prev + z")
    said = refused(tmp_path, text, cell("lstm"))
    assert "cannot be told by its names" in said and "Wx: " in said


# ---------------------------------------------------------------- other forms

CHARS = '''
import numpy as np
data = open("no such file.txt").read()
vocab_size = len(data)
hidden_size = 100
Wxh = np.random.randn(hidden_size, vocab_size)
Whh, Why, bh, by = 0, 0, 0, 0

def lossFun(inputs, targets, hprev):
    xs, hs, ps, loss = {}, {-1: np.copy(hprev)}, {}, 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        y = Why @ hs[t] + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(ps[t][targets[t], 0])
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby, back = np.zeros_like(bh), np.zeros_like(by), 0
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += dy @ hs[t].T
        dby += dy
        d = (1 - hs[t] ** 2) * (Why.T @ dy + back)
        dWxh += d @ xs[t].T
        dWhh += d @ hs[t - 1].T
        dbh += d
        back = Whh.T @ d
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]

while True:
    lossFun([0], [0], np.zeros((hidden_size, 1)))
'''
CHAR_CELL = """
name: char_rnn
dims: {V: vocab_size, H: hidden_size}
inputs: {x: V}
state: {h: H}
parameters: {Wxh: [H, V], Whh: [H, H], Why: [V, H], bh: H, by: V}
equations:
  h: tanh(Wxh @ x + Whh @ h[t-1] + bh)
  y: Why @ h + by
output: y
targets: {target: V}
loss: logsumexp(y) - sum(target * y)
"""
CHAR_LAYOUT = """
backward: lossFun(inputs, targets, hprev)
vectors: columns
batch: one
names: {inputs: tokens(x), targets: tokens(target), hprev: "h[t-1]"}
"""


@pytest.mark.parametrize("layout", [CHAR_LAYOUT, ""])
def test_tokens_and_a_softmax_layer_inside(tmp_path, layout):
    graph = build_graph(read(CHAR_CELL, "char_rnn.yaml"))
    found = handed(tmp_path, CHARS, graph, layout)
    assert found.holds, found.lines()
    assert [each.name for each in found.audit.comparisons] == ["Wxh", "Whh", "Why", "bh", "by"]
    wrong = handed(tmp_path, CHARS.replace("back = Whh.T @ d", "back = 0"), graph, layout)
    assert "nothing comes back from the next step" in wrong.audit.explanation


def changed(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def test_sizes_of_one_letter_and_what_is_made_of_them_at_the_top(tmp_path):
    text = changed(CHARS, ("vocab_size = len(data)", "V = vocab_size = len('abc')"),
                   ("hidden_size = 100", "H = hidden_size = 100\nHV = H + V"),
                   ("np.zeros((vocab_size, 1))", "np.zeros((V, 1))"),
                   ("        xs[t] =", "        assert HV == len(by) + len(bh)\n        xs[t] ="))
    found = handed(tmp_path, text, build_graph(read(CHAR_CELL, "char_rnn.yaml")), CHAR_LAYOUT)
    assert found.holds, found.lines()


def test_a_list_of_parameters_and_one_hot_targets_and_a_name_that_is_read_at_the_top(tmp_path):
    head = "def lossFun(inputs, hprev, params):\n    U, V, W, b, c = params"
    text = changed(CHARS, ("def lossFun(inputs, targets, hprev):", head),
                   ("xs[t] = np.zeros((vocab_size, 1))\n        xs[t][inputs[t]] = 1", "xs[t] = inputs[t]"),
                   ("[targets[t], 0]", "[np.argmax(targets[t]), 0]"), ("dy[targets[t]]", "dy[np.argmax(targets[t])]"))
    for theirs, own in (("Wxh", "U"), ("Whh", "V"), ("Why", "W"), ("bh", "b"), ("by", "c")):
        for before, after in ((f"{theirs} @", f"{own} @"), (f"like({theirs})", f"like({own})"), (f"{theirs}.T", f"{own}.T"),
                              (f"+ {theirs}", f"+ {own}")):
            text = text.replace(before, after)
    graph = build_graph(read(CHAR_CELL, "char_rnn.yaml"))
    layout = """
backward: lossFun(inputs, hprev, params)
names: {targets: one_hot(target), hprev: "h[t-1]"}
vectors: columns
batch: one
parameters: {U: Wxh, V: Whh, W: Why, b: bh, c: by}
gradients: [_, U, V, W, b, c, _]
"""
    found = handed(tmp_path, text, graph, layout)
    assert found.holds and len(found.audit.comparisons) == 5, found.lines()
    assert not handed(tmp_path, changed(text, ("back = V.T @ d", "back = 0")), graph, layout).holds
    said = refused(tmp_path, text, graph, changed(layout, ("c: by", "e: by"), ("b, c,", "b, e,")))
    assert "which of ours is 'c'" in said


def test_a_file_inside_a_package_of_theirs(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "numbers.py").write_text("import numpy as np\nsigmoid = lambda a: 1 / (1 + np.exp(-a))\n")
    own = "def sigmoid(a):\n    return 1 / (1 + np.exp(-a))"
    text = changed(STUDENT.format(back="dc * f"), (own, "from net.numbers import *"))
    assert handed(tmp_path / "net", text, cell("lstm"), LAYOUT).holds


# The last output alone, gradients that are clipped, and taken away from the parameters: nothing is returned.
UPDATES = """
import numpy as np

class RNN:
    def __init__(self, input_size, output_size, hidden_size=64):
        self.Whh = np.random.randn(hidden_size, hidden_size)
        self.Wxh = np.random.randn(hidden_size, input_size)
        self.Why = np.random.randn(output_size, hidden_size)
        self.bh, self.by = np.zeros((hidden_size, 1)), np.zeros((output_size, 1))

    def forward(self, inputs):
        h = np.zeros((len(self.Whh), 1))
        self.inputs, self.hs = inputs, {0: h}
        for t, x in enumerate(inputs):
            h = self.hs[t + 1] = np.tanh(self.Wxh @ x + self.Whh @ h + self.bh)
        return self.Why @ h + self.by, h

    def backprop(self, d_y, learn_rate=0.02):
        n = len(self.inputs)
        d_Why, d_by = d_y @ self.hs[n].T, d_y
        d_Whh, d_Wxh, d_bh = np.zeros(self.Whh.shape), np.zeros(self.Wxh.shape), np.zeros(self.bh.shape)
        d_h = self.Why.T @ d_y
        for t in reversed(range(n)):
            d = (1 - self.hs[t + 1] ** 2) * d_h
            d_bh += d
            d_Whh += d @ self.hs[t].T
            d_Wxh += d @ self.inputs[t].T
            d_h = self.Whh.T @ d
        for d in [d_Wxh, d_Whh, d_Why, d_bh, d_by]:
            np.clip(d, -1, 1, out=d)
        self.Whh -= learn_rate * d_Whh
        self.Wxh -= learn_rate * d_Wxh
        self.Why -= learn_rate * d_Why
        self.bh -= learn_rate * d_bh
        self.by = self.by - learn_rate * d_by
"""
LAST_CELL = """
name: last_rnn
dims: {D: input_size, H: hidden_size, K: output_size}
inputs: {x: D}
state: {h: H}
parameters: {Wxh: [H, D], Whh: [H, H], Why: [K, H], bh: H, by: K}
equations:
  h: tanh(Wxh @ x + Whh @ h[t-1] + bh)
  y: Why @ h + by
output: y
"""
LAST_LAYOUT = """
forward: RNN(D, K, H).forward(inputs)
backward: RNN(D, K, H).backprop(d_y, learn_rate)
names: {d_y: "dy[T]"}
vectors: columns
batch: one
"""


@pytest.mark.parametrize("layout", [LAST_LAYOUT, ""])
def test_gradients_that_are_clipped_and_taken_away_from_the_parameters(tmp_path, layout):
    graph = build_graph(read(LAST_CELL, "last_rnn.yaml"))
    found = handed(tmp_path, UPDATES, graph, layout)
    assert found.holds and len(found.audit.comparisons) == 5, found.lines()
    notes = " ".join(found.lines())
    for words in ("a gradient arrives at the last y alone", "gives no gradients and changes its parameters", "are clipped"):
        assert words in notes
    wrong = handed(tmp_path, UPDATES.replace("self.Whh.T @ d", "self.Whh @ d"), graph, layout)
    assert "the transposition is missing" in wrong.audit.explanation
    assert [each.name for each in wrong.audit.comparisons if each.agrees] == ["Why", "by"]


def test_steps_of_one_size_are_no_gradients_and_not_called_wrong(tmp_path):
    adagrad = changed(UPDATES, ("np.clip(d, -1, 1, out=d)", "d /= np.sqrt(d ** 2 + 1e-8)"))
    said = refused(tmp_path, adagrad, build_graph(read(LAST_CELL, "last_rnn.yaml")), LAST_LAYOUT)
    assert "changes its parameters, by steps of one size (Adagrad, Adam, RMSprop)" in said


def test_a_notebook(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# An LSTM"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install numpy\n", "import numpy as np"]},
        {"cell_type": "code", "source": STUDENT.format(back="dc * f")},
        {"cell_type": "code", "source": "this is no Python"},
        {"cell_type": "code", "source": "%%bash\nrm -rf /"},
    ]
    graph = cell("lstm")
    assert handed(tmp_path, json.dumps({"cells": cells, "nbformat": 4}), graph, LAYOUT, "theirs.ipynb").holds
    cells[2]["source"] = STUDENT.format(back="dc * g.missing")
    said = refused_notebook(tmp_path, cells, graph)
    assert "theirs.ipynb, cell 3, line 35: AttributeError" in said and "dc_next = dc * g.missing" in said


def refused_notebook(tmp_path: Path, cells: list[dict[str, object]], graph: Graph) -> str:
    with pytest.raises(ForeignError) as error:
        handed(tmp_path, json.dumps({"cells": cells}), graph, LAYOUT, "theirs.ipynb")
    return str(error.value)


def test_a_notebook_that_is_none(tmp_path):
    (tmp_path / "theirs.ipynb").write_text("[]")
    with pytest.raises(ForeignError, match="not a notebook of version 4"):
        survey(tmp_path / "theirs.ipynb")


def test_a_draft_is_read_as_the_same_layout(tmp_path):
    for seed in (3, 8, 21):
        style = draw(random.Random(seed))
        graph = cell(style.cell)
        first = handed(tmp_path, Writer(style).text(), graph)
        again = handed(tmp_path, Writer(style).text(), graph, first.layout)
        assert again.layout == first.layout and again.holds and not again.guessed


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    "change, words",
    [
        (("dh = dhs[t]", "dh = nothing[t]"),
         ("theirs.py, line 27: NameError", "dh = nothing[t] + dh_next", "backward(params, caches, dhs)")),
        (("z.T", "z"), ("theirs.py, line 32: ValueError", "dhs (4, ")),
        (("def backward(params, caches, dhs)", "def backward(params, caches, dhs, lr)"),
         ("backward cannot be called so", "'lr'")),
        (("def backward", "def backwards"), ("has no 'backward'", "backwards")),
        (("return hs, caches", "return hs, caches, 1"), ("forward returned a tuple of 3, and 'gives:' has 2 names",)),
        (("return grads", "return 7"), ("can be told to be a gradient",)),
        (("return grads", "import os; os._exit(3)"), ("ended its process",)),
        (("return grads", "while True: pass"), ("line 36: TimeoutError: it took longer than 3 s",)),
        (("def sigmoid(a):", "def sigmoid(a:"), ("theirs.py, line 4", "no Python that can be read")),
    ],
)
def test_what_fails_is_told_with_its_place(tmp_path, change, words):
    text = STUDENT.format(back="dc * f")
    assert change[0] in text
    said = refused(tmp_path, text.replace(*change), cell("lstm"), LAYOUT, seconds=5.0)
    assert all(word in said for word in words), said


def test_an_interpreter_that_is_not_there(tmp_path):
    said = refused(tmp_path, STUDENT.format(back="dc * f"), cell("lstm"), LAYOUT, python="no_such_python")
    assert "--python no_such_python cannot be started" in said


def test_what_at_the_top_was_passed_over_is_told_where_a_name_is_missing(tmp_path):
    text = STUDENT.format(back="dc * f * scale") + "\nscale = float(open('no such file').read())\n"
    said = refused(tmp_path, text, cell("lstm"), LAYOUT)
    assert "NameError" in said and "is passed over: FileNotFoundError" in said


def test_nothing_of_theirs_is_imported_into_this_process(tmp_path):
    text = "import sys\nsys.modules['numpy'].hacked = 1\n" + STUDENT.format(back="dc * f")
    assert handed(tmp_path, text, cell("lstm"), LAYOUT).holds
    assert not hasattr(np, "hacked") and "theirs" not in sys.modules


# ---------------------------------------------------------------- the layout file


@pytest.mark.parametrize(
    "text, place, words",
    [
        ("vectors: column", (1, 10), "did you mean 'columns'?"),
        ("batches: one", (1, 1), "unknown key 'batches'"),
        ("parameters: {Wf: \"[R_f, W_g]\"}", (1, 25), "the spec has no parameter 'W_g'"),
        ("parameters: {Wf: [R_f, W_f]}", (1, 18), "put it into quotes"),
        ("parameters:\n  Wf: \"[R_f, W_f\"", (2, 16), "expected ']' and found the end"),
        ("parameters: {Wf: \"invert(W_f)\"}", (1, 19), "there is no 'invert' here"),
        ("backward: 3", (1, 11), "must be a call"),
        ("backward: __import__('os').system('true')", (1, 22), "is no argument"),
        ("backward: f(x, open('y'))", (1, 11), "is not a call"),
        ("backward: f(x, 'y')", (1, 16), "is no argument"),
        ("names: {h_prev: \"q[t-1]\"}", (1, 17), "is nothing of this cell"),
        ("gives: {a: b}", (1, 8), "a list of names"),
        ("claims: {d_c: d_h}", (1, 1), "this is a file of claims, not a layout"),
    ],
)
def test_mistakes_in_a_layout_have_a_place(text, place, words):
    with pytest.raises(SpecError) as error:
        reading.read(text, cell("lstm"))
    assert (error.value.line, error.value.column) == place, str(error.value)
    assert words in str(error.value)


def test_blocks_are_read_spelled_and_assembled():
    mistakes = Mistakes("f", "t")
    names = ("R", "W", "b")
    shapes = {"R": (2, 2), "W": (2, 3), "b": (2,)}
    arrays = numbered(shapes)
    for text, shape in (
        ("[R, W]", (2, 5)), ("transpose([R, W, b])", (6, 2)), ("[R; R]", (4, 2)), ("[b; b]", (4,)),
        ("column(b)", (2, 1)), ("row(b)", (1, 2)), ("[transpose(W); row(b)]", (4, 2)),
        ("[[R, W]; [R, W]]", (4, 5)), ("stack(W, W)", (2, 2, 3)), ("[zeros(R), W]", (2, 5)),
    ):
        block = read_block(Text(text, Place(1, 1)), names, mistakes)
        assert block is not None and spelled(block) == text and assemble(block, arrays).shape == shape
    assert list(names_in(Grid(((Ours("R"), Ours("W")),)))) == ["R", "W"]
    with pytest.raises(ValueError, match="do not fit together"):
        assemble(Grid(((Ours("W"),), (Ours("R"),))), arrays)
    mistakes.stop()


# ---------------------------------------------------------------- the command


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("theirs.py").write_text(STUDENT.format(back="dc * f"))
    Path("wrong.py").write_text(STUDENT.format(back="dc"))
    Path("l.yaml").write_text("spec: lstm\n" + LAYOUT)
    assert run("audit", "lstm", "--code", "theirs.py").exit_code == 0
    assert run("audit", "--code", "theirs.py", "--layout", "l.yaml").exit_code == 0
    told = run("audit", "--code", "wrong.py", "--layout", "l.yaml", "--json")
    found = json.loads(told.stdout)
    assert told.exit_code == 1 and not found["holds"] and "Wf" in found["layout"] and found["printed"] == ["forward done"]
    for arguments in (("--code", "theirs.py"), ("lstm", "--layout", "l.yaml"), ("lstm", "--code", "theirs.py", "--pdf"), (),
                      ("lstm", "--code", "none.py"), ("lstm", "--code", "l.yaml")):
        assert run("audit", *arguments).exit_code == 2, arguments


def test_a_layout_is_drafted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("theirs.py").write_text(STUDENT.format(back="dc * f"))
    assert run("new", "mine", "--code", "theirs.py").exit_code == 0
    text = Path("mine.layout.yaml").read_text()
    assert "spec: lstm\n" in text and "the reading is right" in text
    assert run("new", "mine", "--code", "theirs.py").exit_code == 2
    assert run("audit", "--code", "theirs.py", "--layout", "mine.layout.yaml").exit_code == 0
