"""What the table of functions says of derivatives, and how `lstmgen functions` and the document show it."""

from __future__ import annotations

import re
from fractions import Fraction
from string import Formatter

import click
import pytest
from click.testing import CliRunner

import lstmgen
from lstmgen.cli import main
from lstmgen.document.latex import functions as latex
from lstmgen.document.latex.text import set_text
from lstmgen.document.sections.rules import _kink
from lstmgen.document.terminal.functions import list_functions
from lstmgen.language.expressions import Call, Compare, Expression, Number, Value
from lstmgen.language.functions import CHOICE, MACROS, MAKERS, OPERATIONS, POINTWISE, PUBLIC, TABLE, Macro, signature
from lstmgen.language.parse import parse_rule
from lstmgen.outputs.numpy import functions as numpy
from lstmgen.resources import TEMPLATES

KINKED = [entry for entry in POINTWISE if entry.kink and entry.name in PUBLIC]  # no document tells those of others
# Where an argument is at a kink, by what the table calls the place.
PLACES = {
    "at 0": [{"a": 0}], "at a tie": [{"a": 2, "b": 2}], "everywhere": [{"a": -1}, {"a": 0}, {"a": 2}],
    "at its bounds": [{"a": -1, "b": -1, "c": 2}, {"a": 2, "b": -1, "c": 2}],
}


def value_of(rule: Expression, given: dict[str, int]) -> Fraction:
    """A derivative that is made of choices among numbers; the own value is not needed in it."""
    match rule:
        case Number(value=value):
            return value
        case Call(function="where", arguments=(Compare(relation=relation, left=left, right=right), chosen, other)):
            one, two = (given[side.name] if isinstance(side, Value) else side.value for side in (left, right))
            return value_of(chosen if {"<": one < two, ">": one > two}[relation] else other, given)
        case Call(function="sign", arguments=(Value(name=name),)):
            return Fraction((given[name] > 0) - (given[name] < 0))
    raise AssertionError(f"a derivative of another kind: {rule}")


@pytest.mark.parametrize("entry", KINKED, ids=lambda entry: entry.name)
def test_what_is_said_to_be_taken_at_a_kink_is_what_the_derivative_takes(entry):
    said = Fraction(1, 2) if entry.kink.value == "half" else Fraction(entry.kink.value)
    rules = entry.derivatives if entry.kink.value == "half" else entry.derivatives[:1]
    for point in PLACES[entry.kink.place]:
        assert [value_of(parse_rule(rule), point) for rule in rules] == [said] * len(rules)


@pytest.mark.parametrize("entry", POINTWISE, ids=lambda entry: entry.name)
def test_every_function_with_a_kink_says_what_is_taken_there(entry):
    """A derivative that chooses, or is 0 between jumps, has a kink; but for elu: both its choices are 1 at 0."""
    chooses = any(re.search(r"\b(where|sign)\(", rule) for rule in entry.derivatives)
    constant = entry.derivatives == ("0",)
    assert bool(entry.kink) == ((chooses or constant) and entry.name != "elu")


def test_the_derivative_of_a_choice_is_that_of_the_chain_rule():
    cell = """
name: choosing
inputs: {x: H, u: H, v: H}
state: {h: H}
equations: {h: "where(x < h[t-1], u, v)"}
output: h
"""
    derivation = lstmgen.derive(lstmgen.load(cell))
    assert CHOICE.arguments[1:] == ("u", "v")
    for branch, rule in zip(("u", "v"), CHOICE.derivatives, strict=True):
        (fork,) = derivation.adjoints[branch].forks
        match fork.local, parse_rule(rule):
            case Call(function="where", arguments=(_, *found)), Call(function="where", arguments=(_, *told)):
                assert found == told
            case _:
                raise AssertionError(f"no choice: {fork.local}")
    assert CHOICE.kink.value == "0"
    assert not derivation.adjoints["x"].forks, "a gradient goes through the comparison"


# ---------------------------------------------------------------- in the terminal


def printed(width: int = 100) -> str:
    return click.unstyle(list_functions(width))


@pytest.mark.parametrize("width", [80, 100])
def test_every_function_is_listed_with_all_that_the_table_says(width):
    lines = printed(width).splitlines()
    assert all(len(line) <= width or "language.md" in line for line in lines)
    starts = [re.match(r"  (\w+)\(", line) for line in lines]
    assert sorted(start[1] for start in starts if start) == list(PUBLIC)
    rows: dict[str, str] = {}  # all that stands in a function's rows, without spaces: long rules are wrapped
    name = ""
    for line, start in zip(lines, starts):
        name = start[1] if start else name if line.startswith("    ") else ""
        if name:
            rows[name] = rows.get(name, "") + line
    squeezed = {name: re.sub(r"\s", "", row) for name, row in rows.items()}
    for entry in (*(each for each in (*POINTWISE, *OPERATIONS) if each.name in PUBLIC), CHOICE, *MACROS):
        assert signature(entry) in rows[entry.name]
    if width == 100:  # the columns beside a rule are empty where it is wrapped, but for a literal
        for entry in (*(each for each in POINTWISE if each.name in PUBLIC), CHOICE):
            for rule in (*entry.derivatives, str(entry.kink or "")):
                assert rule in rows[entry.name], entry.name
        for entry in MACROS:
            assert entry.body in rows[entry.name]
        for entry in OPERATIONS:
            if entry.name in PUBLIC and "norm" not in entry.name:
                assert all(rule.replace(" ", "") in squeezed[entry.name] for rule in entry.adjoints)


def test_literals_and_defaults_are_told():
    assert re.search(r"(?m)^  layer_norm\(a, b\) .* b \(default 1e-5\)$", printed())
    assert re.search(r"(?m)^  part\(a, b, c\) .* b, c$", printed())


def test_names_that_no_spec_can_call_are_explained_where_they_occur():
    legend = printed().partition("A kink is")[2]
    for name in ("Reverse_cumsum", "Inverse_std", "Inverse_rms", "Inverse_norm", "Bell", "Fold", "Place"):
        assert f"{name}(a" in legend and name not in PUBLIC
    assert "Slice" not in legend


def test_the_command_prints_it():
    done = CliRunner().invoke(main, ["functions"])
    assert done.exit_code == 0
    assert re.search(r"(?m)^  relu\(a\) +where\(a > 0, 1, 0\) +0 at 0$", done.output)


# ---------------------------------------------------------------- in the document


@pytest.mark.parametrize("name, sentence", [
    ("relu", r"the derivative of $\operatorname{relu}$ at 0 is taken to be 0"),
    ("leaky_relu", r"the derivative of $\operatorname{lrelu}$ at 0 is taken to be $0.01$"),
    ("abs", "the derivative of $|a|$ at 0 is taken to be 0"),
    ("sign", r"the derivative of $\operatorname{sign}$ is taken to be 0 everywhere"),
    ("floor", r"the derivative of $\lfloor a\rfloor$ is taken to be 0 everywhere"),
    ("max", r"at a tie each argument of $\max$ gets half of the gradient"),
    ("clip", r"the derivative of $\operatorname{clip}$ at its bounds is taken to be 1"),
])
def test_a_kink_in_a_sentence(name, sentence):
    assert set_text(_kink(TABLE[name], TABLE[name].kink)) == sentence


# ---------------------------------------------------------------- the tables of the outputs


def test_numpy_spells_every_function_that_a_stage_may_call():
    """Macros are put in by the graph, and so is `where`, which has no entry."""
    assert numpy.TABLE.keys() == {name for name, entry in TABLE.items() if not isinstance(entry, Macro)}


def test_every_helper_that_a_call_needs_is_there_and_defines_what_is_called():
    for code in numpy.TABLE.values():
        called = re.findall(r"(_\w+)\(", code.call)
        assert bool(called) == bool(code.helper), code
        for name in called:
            text = (TEMPLATES / "numpy" / "helpers" / f"{code.helper}.py").read_text(encoding="utf-8")
            assert f"def {name}(" in text, code


def test_latex_prints_every_function_in_one_way():
    ways = [*latex.TABLE, *latex.BARE, *latex.BY_RULE]
    assert sorted(ways) == sorted(TABLE)


@pytest.mark.parametrize("entry", TABLE.values(), ids=lambda entry: entry.name)
def test_a_pattern_shows_the_arguments_that_the_function_has(entry):
    for table in (numpy.TABLE, latex.TABLE):
        if entry.name in table and entry.name not in {"concat", *MAKERS}:  # arguments that are joined before they are put in
            shown = {field for _, field, _, _ in Formatter().parse(table[entry.name].call) if field}
            assert shown == set(entry.arguments)


OF_CONSTANTS = """\
name: leak
state: {h: H}
constants: {tau: 0.5}
functions: {"cube(a)": a * square(a) * square(tau), "twice(a)": cube(a) + a * silu(tau)}
parameters: {W: [H, D], R: [H, H], b: H}
equations:
  g: twice(b) + 0.01 * (FACTOR)
  h: tanh(W @ x + R @ h[t-1] + g) / (50 + FACTOR)
output: h
"""


@pytest.mark.parametrize("argument", ["tau", "0.5", "-2", "H", "square(3 / H)"])
def test_what_stands_for_an_expression_may_be_applied_to_constants_and_sizes(argument):
    calls = [f"{entry.name}({', '.join([argument, 'tau'][:len(entry.arguments)])})" for entry in MACROS]
    spec = lstmgen.load(OF_CONSTANTS.replace("FACTOR", " + ".join([*calls, f"cube({argument})", f"twice({argument})"])))
    assert lstmgen.verify(spec).passed


def test_a_constant_that_doubles_at_every_call_is_refused_before_it_is_written_out():
    nested = "gelu(" * 20 + "0.5" + ")" * 20  # 3 ** 20 operations: gelu reads its argument three times
    with pytest.raises(lstmgen.SpecError, match="a constant in 'g' is longer than 20000 operations"):
        lstmgen.derive(lstmgen.load(OF_CONSTANTS.replace("FACTOR", nested)))
