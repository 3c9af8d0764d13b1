"""The JSON Schema of a spec, for editors that complete keys and underline mistakes.

It has the rules of `reader.py` that a schema can express: keys, types, choices and limits. Only `reader.py` can check that
two sections do not use one name, and only `derivation/` can check mathematics.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..language import functions, names
from . import reader, switches
from .cell import MINUS_INFINITY
from .fields import MAX_AXIS, MAX_EXPRESSION

Schema = dict[str, object]

_IDENTIFIER = "^[A-Za-z][A-Za-z0-9_]*$"
_NAME = "^(?!d_|dy_)(?!.*_pre$)[A-Za-z][A-Za-z0-9_]*$"
_FUNCTION_HEAD = r"^\s*[A-Za-z][A-Za-z0-9_]*\s*\([A-Za-z0-9_, ]+\)\s*$"


def schema() -> Schema:
    """The schema (draft 2020-12) of both forms of a spec."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recurrent cell for lstmgen",
        "description": "Either switches, with 'cell' and additions, or equations, with 'state', 'equations' and 'output'.",
        "type": "object",
        "required": ["name"],
        "oneOf": [_equations_form(), *(_switch_form(cell) for cell in switches.CELLS)],
        "$defs": _definitions(),
    }


def _equations_form() -> Schema:
    keys = {**_head(), **_shared(), **_body()}
    return {
        "title": "equations",
        "required": ["name", *reader.REQUIRED],
        "properties": keys,
        "additionalProperties": False,
    }


def _switch_form(cell: str) -> Schema:
    own = {name: entry for name, entry in _switches(cell).items() if name in switches.SWITCHES[cell]}
    chosen = _described({"const": cell}, f"the equations of the {cell.upper()}, varied by switches")
    return {
        "title": cell,
        "required": ["name", "cell"],
        "properties": {**_head(), **_shared(), **_body(), "cell": chosen, **own},
        "additionalProperties": False,
    }


# -- the keys


def _head() -> Schema:
    symbols = {"type": "object", "additionalProperties": {"type": "string", "maxLength": reader.MAX_SYMBOL}}
    reference = _text(reader.MAX_REFERENCE)
    identifier = {"type": "string", "pattern": _IDENTIFIER, "maxLength": names.LONGEST}
    return {
        "name": _described(identifier, "a Python identifier: names the module and every file"),
        "title": _described(_text(reader.MAX_TITLE), "heading of the document"),
        "description": _described(_text(reader.MAX_DESCRIPTION), "one paragraph of plain text"),
        "references": _described(
            {"anyOf": [reference, {"type": "array", "items": reference}]}, "where the cell comes from"
        ),
        "group": _described(_text(reader.MAX_TITLE), "heading in 'lstmgen list'"),
        "notation": _described(
            {"anyOf": [{"enum": list(reader.NOTATIONS)}, symbols]},
            "symbols of the document: a notation's name, or a mapping from names to symbols",
        ),
    }


def _shared() -> Schema:
    pair = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    start = {"anyOf": [{"type": "number"}, {"const": MINUS_INFINITY}, _ref("name")]}
    return {
        "dims": _described(
            _named(_ref("name")), "symbol: keyword in the module; default {D: input_size, H: hidden_size}"
        ),
        "range": _described(_named(pair), "where the proofs draw a value from; default [-1, 1]"),
        "initial": _described(
            _named(start), "what a state starts from: a number, -inf, or a parameter that is learned; default 0"
        ),
        "targets": _described(_named(_ref("shape")), "what the loss compares with, one value for each step"),
        "loss": _described(
            {"anyOf": [{"enum": ["none", "squared_error"]}, _ref("expression")]},
            "a scalar for each step, summed over the steps; squared_error is 1/2 |target - output|^2",
        ),
        "loss_at": _described({"enum": ["every", "last"]}, "the steps that have a loss; default every"),
    }


def _body() -> Schema:
    start = {"anyOf": [{"type": "number"}, {"enum": list(reader.INITS)}]}
    init = _described(start, "its initial value; default: glorot for a matrix, else 0")
    with_init = {
        "type": "object",
        "required": ["shape"],
        "properties": {"shape": _ref("shape"), "init": init},
        "additionalProperties": False,
    }
    parameter = {"anyOf": [_ref("shape"), with_init]}
    number: Schema = {"type": "number"}
    vector: Schema = {"type": "array", "items": number, "minItems": 1}
    matrix: Schema = {"type": "array", "items": vector, "minItems": 1}
    own_functions = {
        "type": "object",
        "propertyNames": {"pattern": _FUNCTION_HEAD},
        "additionalProperties": _ref("expression"),
    }
    outputs = {"anyOf": [_ref("name"), {"type": "array", "items": _ref("name"), "minItems": 1}]}
    return {
        "inputs": _described(_named(_ref("shape"), 1), "one value for each step; default {x: D}"),
        "state": _described(_named(_ref("shape"), 1), "what goes from step to step"),
        "constants": _described(_named({"anyOf": [number, vector, matrix]}),
                                "numbers, vectors and matrices with a name, not learned"),
        "functions": _described(own_functions, 'your own scalar functions, "mish(a)": an expression'),
        "parameters": _described(
            {**_named(parameter), "maxProperties": reader.MAX_PARAMETERS}, "what is learned"
        ),
        "equations": _described(
            {**_named(_ref("expression"), 1), "maxProperties": reader.MAX_EQUATIONS}, "in any order"
        ),
        "output": _described(outputs, "one stage, or a list"),
    }


def _switches(cell: str) -> Schema:
    """Every switch of this cell."""
    gates = {"type": "array", "items": {"enum": list(switches.GATES)}, "uniqueItems": True}
    activation = {"enum": sorted(functions.SCALAR_FUNCTIONS)}
    defaults = switches.ACTIVATIONS[cell]
    activations = {
        "type": "object",
        "properties": {name: {**activation, "default": default} for name, default in defaults.items()},
        "additionalProperties": False,
    }
    return {
        "bias": _flag("biases", True),
        "peepholes": _described(
            {"anyOf": [{"type": "boolean"}, gates]}, "gates that read the cell state; true: all that exist"
        ),
        "peephole_kind": _described({"enum": ["diagonal", "full"]}, "default diagonal"),
        "coupled_gates": _flag("f = 1 - i", False),
        "gates": _described(gates, "the gates that exist; default all three"),
        "activations": _described(activations, "identity means none"),
        "gate_recurrence": _flag("the gates of t-1 feed the gates of t", False),
        "projection": _flag("h = W_proj @ (o * tanh(c)), of size P", False),
        "forget_bias": _described({"type": "number"}, "initial value of the forget gate's bias; default 0"),
        "reset": _described(
            {"enum": ["after", "before"]}, "r acts after the recurrent product (default) or before it"
        ),
    }


# -- the pieces


def _definitions() -> Schema:
    axis = {"anyOf": [{"type": "integer", "minimum": 1}, _text(MAX_AXIS)]}
    return {
        "name": {
            "type": "string",
            "pattern": _NAME,
            "maxLength": names.LONGEST,
            "not": {"enum": sorted(names.RESERVED)},
        },
        "shape": _described(
            {"anyOf": [axis, {"type": "array", "items": axis}]}, "H, [H, D], [2*H], [3], or [] for a scalar"
        ),
        "expression": {"anyOf": [_text(MAX_EXPRESSION), {"type": "number"}]},
    }


def _named(value: Mapping[str, object], fewest: int = 0) -> Schema:
    """A mapping from declared names to values."""
    return {
        "type": "object",
        "propertyNames": _ref("name"),
        "additionalProperties": value,
        "minProperties": fewest,
    }


def _text(longest: int) -> Schema:
    return {"type": "string", "maxLength": longest}


def _flag(meaning: str, default: bool) -> Schema:
    return {"type": "boolean", "default": default, "description": meaning}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _described(entry: Mapping[str, object], description: str) -> Schema:
    return {**entry, "description": description}
