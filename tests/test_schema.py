"""The schema for editors agrees with the reader. Validated with `jsonschema` where that is installed."""

from __future__ import annotations

import json

import pytest
import yaml
from test_invalid import FILES
from test_spec import SWITCHES
from test_switches import COMBINATIONS

from lstmgen.spec import reader as spec, switches
from lstmgen.errors import SpecError
from lstmgen.spec.schema import schema

EQUATIONS = """\
name: c
title: Some cell
references: [a, b]
notation: {h: y}
dims: {D: features, H: units}
inputs: {x: D}
state: {h: H}
constants: {beta: 0.1}
functions: {"mish(a)": a * tanh(log(1 + exp(a)))}
parameters: {W: [H, D], s: {shape: [], init: 0.5}, h_0: {shape: H, init: uniform}}
equations: {h: mish(W @ x) * s}
output: [h]
initial: {h: h_0}
targets: {target: H}
loss: sum((target - h) ** 2)
loss_at: last
range: {h: [0, 1]}
"""


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


def test_it_is_json_and_always_the_same():
    assert json.loads(json.dumps(schema())) == schema() == schema()


def test_it_knows_every_key():
    equations, *cells = schema()["oneOf"]
    assert set(equations["properties"]) == {*spec.HEAD, *spec.SHARED, *spec.BODY}
    for cell, form in zip(switches.CELLS, cells, strict=True):
        assert set(form["properties"]) == {*spec.HEAD, *spec.SHARED, *spec.BODY, "cell", *switches.SWITCHES[cell]}


@pytest.mark.parametrize("text", [EQUATIONS, SWITCHES, *(f"name: c\n{each}" for each in COMBINATIONS[:20])])
def test_what_the_reader_takes_is_valid(validator, text):
    spec.load(text)
    assert not list(validator.iter_errors(yaml.safe_load(text)))


WRONG_KEYS = [path for path in FILES if path.stem.startswith("key_")]


@pytest.mark.parametrize("path", WRONG_KEYS, ids=lambda path: path.stem)
def test_what_has_wrong_keys_is_not(validator, path):
    with pytest.raises(SpecError):
        spec.load(path)
    assert list(validator.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8"))))
