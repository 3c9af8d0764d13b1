"""A cell that is printed as a spec and loaded again is the same cell."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_spec import SPEC, SWITCHES
from test_switches import COMBINATIONS

from lstmgen.spec.cell import CellSpec, Constant
from lstmgen.errors import Place, SpecError, Text
from lstmgen.spec.expand import WIDTH, expand
from lstmgen.spec.reader import load, read
from lstmgen.spec.yamltext import decimal

FILE_ONLY = {"path", "source", "place", "places", "start_place", "variant"}


def content(record: object) -> object:
    """What a record says, without where it was said."""
    if isinstance(record, tuple):
        return tuple(content(item) for item in record)
    if not dataclasses.is_dataclass(record):
        return record
    fields = [field.name for field in dataclasses.fields(record) if field.name not in FILE_ONLY]
    return tuple((name, content(getattr(record, name))) for name in fields)


def assert_returns(cell: CellSpec) -> None:
    text = expand(cell)
    again = read(text, "expanded.yaml")
    assert content(again) == content(cell), text
    assert not again.from_switches
    assert expand(again) == expand(dataclasses.replace(cell, variant=None))


@pytest.mark.parametrize("text", [SPEC, SWITCHES, *(f"name: c\n{switches}\n" for switches in COMBINATIONS)])
def test_an_expanded_spec_is_the_same_cell(text):
    assert_returns(load(text))


def test_packaged_specs_return(spec_path):
    assert_returns(load(spec_path))


def test_what_it_looks_like():
    assert expand(load("name: small\ncell: rnn\nloss: squared_error\ninitial: {h: h_0}\n")) == """\
# The equations that the switches of small stand for.
name: small
title: Small

dims: {D: input_size, H: hidden_size}
inputs: {x: [D]}
state: {h: [H]}

parameters:
  W_h: [H, D]
  R_h: [H, H]
  b_h: [H]
  h_0: [H]

equations:
  h: tanh(W_h @ x + R_h @ h[t-1] + b_h)

output: h
initial: {h: h_0}
targets: {target: [H]}
loss: 0.5 * sum((target - h) ** 2)
loss_at: every
"""


def test_lines_are_not_long():
    states = ", ".join(f"state_{n}: [H]" for n in range(30))
    stages = "".join(f"  state_{n}: x\n" for n in range(30))
    head = f"name: c\ndescription: {'word ' * 300}\n"
    text = f"{head}state: {{{states}}}\nequations:\n{stages}output: state_0\n"
    assert_returns(load(text))
    assert max(map(len, expand(load(text)).splitlines())) <= WIDTH


READABLE = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029\ufeff"),
    max_size=150,
)
AWKWARD = st.text(st.sampled_from("ab1.e~-+:#'\"\\,[]{}&*!|>%@`?= \u00a0"), max_size=30)


@given(title=READABLE | AWKWARD, description=READABLE | AWKWARD, reference=READABLE | AWKWARD, symbol=AWKWARD)
def test_any_text_for_people_returns(title, description, reference, symbol):
    cell = dataclasses.replace(
        load(SPEC),
        title=" ".join(title.split(" ")).strip(" ") or "title",
        description=description,
        references=(reference,),
        notation=(("y", symbol),),
    )
    text = expand(cell)
    cell = read(text, "")  # once, so that runs of blanks are single
    assert cell.title.replace(" ", "") == (title.replace(" ", "") or "title")
    assert cell.references[0].replace(" ", "") == reference.replace(" ", "")
    assert cell.notation[0][1].replace(" ", "") == symbol.replace(" ", "")
    assert cell.description.replace(" ", "") == description.replace(" ", "")
    assert_returns(cell)


@given(AWKWARD)
def test_any_text_of_an_equation_returns(body):
    quoted = body.replace("\\", "\\\\").replace('"', '\\"')
    try:
        cell = load(f'name: c\nstate: {{h: H}}\nequations: {{h: "{quoted}"}}\noutput: h\n')
    except SpecError:
        return
    assert_returns(cell)


@given(st.integers(-(10**38), 10**38), st.integers(-250, 250))
def test_any_number_returns(digits, exponent):
    value = decimal(f"{digits}e{exponent}")
    cell = dataclasses.replace(load(SPEC), constants=(Constant("k", value, Place(1, 1)),))
    again = read(expand(cell), "")
    assert again.constants[0].value == value and isinstance(again.constants[0].value, Fraction)


@pytest.mark.parametrize("name", ["y", "on", "no", "null", "true"])
def test_names_that_older_yaml_reads_as_something_else(name):
    text = f'name: c\nstate: {{{name}: H}}\nequations: {{{name}: "{name}[t-1] + x"}}\noutput: "{name}"\n'
    assert_returns(load(text))


def test_a_text_made_by_hand_is_quoted_where_it_has_to_be():
    cell = load(SPEC)
    equation = dataclasses.replace(cell.equations[0], body=Text("[a, b]: 'c'", Place(1, 1)))
    cell = dataclasses.replace(cell, equations=(equation, *cell.equations[1:]))
    assert read(expand(cell), "").equations[0].body.value == "[a, b]: 'c'"
