"""Reading a spec: what comes out of a good one, and that nothing but SpecError comes out of any other."""

from __future__ import annotations

import pickle
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmgen.derivation.build import build_graph
from lstmgen.spec import yamltext
from lstmgen.spec.cell import CellSpec
from lstmgen.errors import Place, SpecError
from lstmgen.spec.reader import load, read

SPEC = """\
name: peephole_lstm
title: "Peephole: LSTM"
description: >
  Two lines
  that are one paragraph.
references: Gers 2002
notation: {y: Gamma, on: "1"}
group: Classics
dims: {D: features, H: units}
state:
  y: H
  c: [H]
constants: {beta: 1e-5}
functions:
  mish(a): a * tanh(log(1 + exp(a)))
  "least( u ,v )": u * v
parameters:
  W: [2*H, D]
  on: {shape: [], init: 0.10}
  n: {shape: [H, H], init: orthogonal}
  c_0: H
equations:
  i: part(W @ x, 0, 2) + n @ y[t-1] +
     beta * on
  c: |
    mish(i)
      + least(i, c[t-1])
  y: 'tanh(c)'
output: [y, c]
initial: {c: c_0, y: -0.5}
targets: {target: H}
loss: sum((target - y) ** 2)
loss_at: last
range: {c: [0.5, 2]}
"""

SWITCHES = """\
name: projected
cell: lstm
peepholes: [input, output]
projection: true
forget_bias: 1.0
loss: squared_error
initial: {c: c_0}
"""


@pytest.fixture(scope="module")
def cell() -> CellSpec:
    return read(SPEC, "cell.yaml")


def of(text: str) -> CellSpec:
    return read(text, "cell.yaml")


def mistakes_of(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        of(text)
    return [f"{each.place.line}:{each.place.column}: {each.message}" for each in caught.value.mistakes]


# -- what a good spec becomes


def test_head(cell):
    assert (cell.name, cell.title) == ("peephole_lstm", "Peephole: LSTM")
    assert cell.description == "Two lines that are one paragraph."
    assert cell.references == ("Gers 2002",)
    assert cell.group == "Classics"
    assert cell.notation == (("y", "Gamma"), ("on", "1"))
    assert (cell.path, cell.source, cell.from_switches) == ("cell.yaml", SPEC, False)


def test_declarations(cell):
    assert [(item.symbol, item.keyword) for item in cell.dims] == [("D", "features"), ("H", "units")]
    assert [(item.name, [axis.value for axis in item.shape]) for item in cell.inputs] == [("x", ["D"])]
    assert [item.name for item in cell.states] == ["y", "c"]
    assert [[axis.value for axis in item.shape] for item in cell.parameters] == [
        ["2*H", "D"], [], ["H", "H"], ["H"],
    ]  # fmt: skip
    assert [item.init for item in cell.parameters] == [None, Fraction(1, 10), "orthogonal", None]
    assert [(item.name, item.value) for item in cell.constants] == [("beta", Fraction(1, 100_000))]
    heads = [(item.name, item.arguments) for item in cell.functions]
    assert heads == [("mish", ("a",)), ("least", ("u", "v"))]


def test_equations_are_one_line_each(cell):
    assert [(item.name, item.body.value) for item in cell.equations] == [
        ("i", "part(W @ x, 0, 2) + n @ y[t-1] + beta * on"),
        ("c", "mish(i)   + least(i, c[t-1])"),
        ("y", "tanh(c)"),
    ]


def test_uses(cell):
    assert [item.name for item in cell.outputs] == ["y", "c"]
    assert [(item.state, item.start) for item in cell.initial] == [("c", "c_0"), ("y", Fraction(-1, 2))]
    assert cell.loss.value == "sum((target - y) ** 2)"
    assert cell.loss_at == "last"
    assert [(item.name, item.low, item.high) for item in cell.ranges] == [("c", Fraction(1, 2), 2)]


def test_every_character_of_an_equation_knows_its_place(cell):
    lines = SPEC.splitlines()
    texts = [item.body for item in (*cell.equations, *cell.functions)]
    texts += [axis for item in cell.parameters for axis in item.shape]
    for text in texts:
        assert text.place == text.at(0)
        for offset, char in enumerate(text.value):
            place = text.at(offset)
            assert char == " " or lines[place.line - 1][place.column - 1] == char


@pytest.mark.parametrize(
    "written, places",
    [
        ("a b", "1:4 1:5 1:6"),
        ('"a b"', "1:5 1:6 1:7"),
        ("a\n b", "1:4 1:5 2:2"),
        ("'a''b'", "1:5 1:6 1:8"),
        (r'"a\\b"', "1:5 1:6 1:8"),
        (r'"\u0061b"', "1:5 1:11"),
        ('"a\\\n  b"', "1:5 2:3"),
        ("|\n  a\n   b\n", "2:3 2:4 2:5 3:4"),
        ("> # comment\n  a\n  b\n", "2:3 2:4 3:3"),
    ],
)
def test_places_in_every_style_of_scalar(written, places):
    text = yamltext.parse(f"k: {written}", "").get("k").text()
    assert " ".join(f"{place.line}:{place.column}" for place in text.places) == places


def test_defaults():
    cell = of("name: tiny_rnn\nstate: {h: H}\nequations: {h: x}\noutput: h\n")
    assert cell.title == "Tiny RNN"
    assert (cell.description, cell.references, cell.group, cell.notation) == ("", (), "", ())
    assert [(item.symbol, item.keyword) for item in cell.dims] == [("D", "input_size"), ("H", "hidden_size")]
    assert (cell.loss, cell.loss_at, cell.targets, cell.ranges) == (None, "every", (), ())


def test_default_dimensions_are_those_in_use():
    def dims(text: str) -> list[str]:
        return [f"{item.symbol}: {item.keyword}" for item in of(text).dims]

    rest = "equations: {h: x}\noutput: h\n"
    assert dims("name: c\nstate: {h: P}\ninputs: {x: P}\n" + rest) == ["P: projection_size"]
    assert dims("name: c\nstate: {h: N}\ninputs: {x: N}\ndims: {N: n}\n" + rest) == ["N: n"]
    assert dims("name: c\nstate: {h: N}\ndims: {N: n}\n" + rest) == ["D: input_size", "N: n"]
    # a parameter P is a parameter, even where an equation names it
    assert dims("name: c\nstate: {h: H}\nparameters: {P: [H, D]}\nequations: {h: P @ x}\noutput: h\n") == [
        "D: input_size",
        "H: hidden_size",
    ]


@pytest.mark.parametrize(
    "shape, loss",
    [
        ("H", "0.5 * sum((target - h) ** 2)"),
        ("[]", "0.5 * (target - h) ** 2"),
        ("[H, D]", "0.5 * sum(sum((target - h) ** 2))"),
    ],
)
def test_squared_error_is_written_out(shape, loss):
    cell = of(f"name: c\nstate: {{h: {shape}}}\nequations: {{h: x}}\noutput: h\nloss: squared_error\n")
    assert cell.loss.value == loss
    assert [(item.name, item.shape) for item in cell.targets] == [("target", cell.states[0].shape)]


def test_yaml_is_read_as_1_2():
    text = "a: [1e-5, y, on, no, off, true, 'true', ~, 0x1F, 1_000, 012, .5, 1., +1]"
    node = yamltext.parse(text, "").get("a")
    assert " ".join(item.kind for item in node.items) == (
        "number text text text text boolean text null text text number number number number"
    )


@pytest.mark.parametrize("text, value", [("012", 12), ("-1.50e1", -15), (".5e-1", "1/20"), ("0e0", 0)])
def test_numbers_are_exact(text, value):
    assert yamltext.decimal(text) == Fraction(value)


@pytest.mark.parametrize(
    "text", ["1e999999999999", "1e-301", "1" * 41, "0.1e-300", ".nan", "-.inf", "1_0", ""]
)
def test_numbers_beyond_the_limits(text):
    with pytest.raises(ValueError):
        yamltext.decimal(text)


# -- where it is read from


def test_load_takes_a_path_or_a_text(tmp_path, monkeypatch):
    path = tmp_path / "cell.yaml"
    path.write_text(SPEC, encoding="utf-8")
    assert load(path).path == str(path)
    assert load(str(path)).path == str(path)
    assert load(SPEC).path == "<text>"
    (tmp_path / "other").write_text(SWITCHES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load("other").name == "projected"
    assert load("{name: c, cell: rnn}").name == "c"
    with pytest.raises(TypeError, match="a path or a text"):
        load(3)


@pytest.mark.parametrize("name", ["missing.yaml", "folder.yaml", "nul\0.yaml", "x" * 5000 + ".yaml"])
def test_a_file_that_cannot_be_read(tmp_path, name):
    (tmp_path / "folder.yaml").mkdir()
    for source in (tmp_path / name, str(tmp_path / name)):
        with pytest.raises(SpecError, match=":1:1: error: the file cannot be read"):
            load(source)


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_bytes(b"name: c\n" + "ü".encode() * yamltext.MAX_BYTES)
    with pytest.raises(SpecError, match="larger than 256 KiB"):
        load(path)
    with pytest.raises(SpecError, match="larger than 256 KiB"):
        load("#\n" + "ü" * (yamltext.MAX_BYTES // 2))


def test_line_endings_do_not_matter(tmp_path):
    path = tmp_path / "cell.yaml"
    path.write_bytes(SPEC.replace("\n", "\r\n").encode())
    assert load(path) == read(SPEC, str(path))


def test_a_byte_order_mark_is_refused(tmp_path):
    path = tmp_path / "cell.yaml"
    path.write_text(SPEC, encoding="utf-8-sig")
    with pytest.raises(SpecError, match="byte order mark; save it as UTF-8 without BOM"):
        load(path)


# -- mistakes


def test_all_mistakes_of_a_pass_are_reported():
    text = "name: c\ncolour: red\nstate: {h: H, c: H}\nequations: {h: x}\noutput: hh\nrange: {h: 1}\n"
    assert mistakes_of(text) == [
        "2:1: unknown key 'colour'",
        "3:15: the state 'c' is never computed: it has no equation",
        "5:9: the output 'hh' is not a stage: no equation computes it",
        "6:12: the range of 'h' must be a list of two numbers [low, high], not the number 1",
    ]


@pytest.mark.parametrize(
    "rest",
    [
        "state: {h: H}\nequations: [h]\noutput: h\nrange: {h: [0, 1]}\n",
        "state: {h: H}\nequations: {h: [x]}\noutput: h\n",
        "state: {h: ~}\nequations: {h: x}\noutput: h\nloss: squared_error\n",
        "cell: lstmm\ninitial: {c: c_0}\nloss: squared_error\n",
    ],
)
def test_one_mistake_causes_no_others(rest):
    assert len(mistakes_of("name: c\n" + rest)) == 1


def test_mistakes_are_limited():
    assert len(mistakes_of("".join(f"k{n}: 1\n" for n in range(5_000)))) == 100


def test_counts_are_limited():
    many = "".join(f"  a{k}: x\n" for k in range(1001))
    text = f"name: c\nstate: {{h: H}}\nequations:\n  h: x\n{many}output: h\n"
    assert mistakes_of(text) == ["3:1: there are 1002 equations, and the limit is 1000"]
    many = "".join(f"  a{k}: H\n" for k in range(1001))
    text = f"name: c\nstate: {{h: H}}\nparameters:\n{many}equations: {{h: x}}\noutput: h\n"
    assert mistakes_of(text) == ["3:1: there are 1001 parameters, and the limit is 1000"]
    many = ", ".join("a" * 1 for _ in range(yamltext.MAX_NODES))
    assert mistakes_of(f"name: c\nreferences: [{many}]\n")[0].endswith("more than 20000 values")


def test_an_error_survives_the_way_between_processes():
    with pytest.raises(SpecError) as caught:
        of("name: c\n")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


# -- hostile input

ALPHABET = st.text(
    st.sampled_from("ab[]{}(),:-?*&!|>'\"%@`#~ \n\t\\.019eE_=<+/\x00\x85\u2028\ufeffü"), max_size=60
)
LINES = st.lists(
    st.sampled_from([*SPEC.splitlines(), *SWITCHES.splitlines(), "---", "...", "  - a", "%YAML 1.2"]),
    max_size=20,
).map("\n".join)


@st.composite
def mutated(draw) -> str:
    """A valid spec in which a few pieces are replaced."""
    text = draw(st.sampled_from([SPEC, SWITCHES]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 8)))
        text = text[:start] + draw(ALPHABET.map(lambda piece: piece[:6])) + text[end:]
    return text


def refused_or_read(text: str) -> None:
    """Anything but a SpecError is a failure of lstmgen."""
    try:
        build_graph(read(text, "fuzz.yaml"))
    except SpecError as error:
        assert str(error).startswith("fuzz.yaml:")
        assert all(each.place >= Place(1, 1) for each in error.mistakes)


@given(st.one_of(st.text(), ALPHABET, LINES, mutated()))
def test_no_text_raises_anything_but_a_spec_error(text):
    refused_or_read(text)


@given(st.one_of(st.binary(), mutated().map(str.encode), ALPHABET.map(lambda text: text.encode("utf-16"))))
def test_no_bytes_raise_anything_but_a_spec_error(data):
    try:
        text = yamltext.decode(data, "fuzz.yaml")
    except SpecError:
        return
    refused_or_read(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "{a: " * 60_000,
        "- " * 100_000,
        "? " * 100_000,
        "a: " + "'" * 200_000,
        "a: &a " * 40_000,
        "!" * 250_000,
        "%" * 250_000,
        "a: |\n" + " " * 250_000,
        "a: {k: " + "9" * 250_000 + "}",
        "a: 1e" + "9" * 250_000,
        "name: c\nstate: {h: H}\noutput: h\nequations: {h: x}\nconstants: {k: 1e" + "9" * 100_000 + "}",
        "name: c\nstate: {h: H}\noutput: h\nequations:\n  h: " + "(" * 4000,
        "name: " + "c" * 250_000,
        "".join(f"k{n}: 1\n" for n in range(9_000)),
    ],
    ids=lambda text: text[:6],
)
def test_large_hostile_text_is_refused_in_time(text):
    start = time.process_time()  # of this process alone: other work on the machine does not count
    with pytest.raises(SpecError):
        of(text)
        build_graph(of(text))
    assert time.process_time() - start < 20


def test_nothing_that_a_spec_says_is_run(tmp_path):
    trace = tmp_path / "trace"
    attack = f"__import__('os').system('touch {trace}')"
    for text in (
        f'!!python/object/apply:os.system ["touch {trace}"]',
        f'name: c\nstate: {{h: H}}\nequations: {{h: "{attack}"}}\noutput: h\n',
        f'name: c\nstate: {{h: "{attack}"}}\nequations: {{h: x}}\noutput: h\n',
        f'name: "{attack}"\ncell: rnn\n',
    ):
        refused_or_read(text)
        with pytest.raises(SpecError):
            build_graph(of(text))
    assert not trace.exists()


def test_the_path_may_be_any_path():
    assert read(SWITCHES, str(Path("a") / "b: c.yaml")).path == str(Path("a") / "b: c.yaml")
