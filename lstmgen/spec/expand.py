"""A cell -> its spec in the equations form, as YAML that loads back to an equal cell.

This prints the equations that switches stand for. It knows how YAML is quoted, and not what equations mean.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from decimal import Decimal, localcontext
from fractions import Fraction

from ..errors import Place, Text
from .cell import MINUS_INFINITY, ArrayConstant, CellSpec, Parameter
from .yamltext import MAX_DIGITS, MAX_EXPONENT, Scalar

WIDTH = 100

Pairs = Iterable[tuple[str, str]]


def expand(spec: CellSpec) -> str:
    """The spec as equations."""
    parts = (_head(spec), _declarations(spec), _parameters(spec), _equations(spec), _uses(spec))
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _head(spec: CellSpec) -> list[str]:
    lines = []
    if spec.from_switches:
        lines.append(f"# The equations that the switches of {spec.name} stand for.")
    lines += [f"name: {_quoted(spec.name)}", f"title: {_quoted(spec.title)}"]
    if spec.description:
        lines += _prose("description", spec.description)
    if spec.references:
        lines += ["references:", *(f"  - {_quoted(reference)}" for reference in spec.references)]
    if spec.group:
        lines.append(f"group: {_quoted(spec.group)}")
    if isinstance(spec.notation, str):
        lines.append(f"notation: {spec.notation}")
    elif spec.notation:
        lines += _inline("notation", ((name, _quoted(symbol, flow=True)) for name, symbol in spec.notation))
    return lines


def _declarations(spec: CellSpec) -> list[str]:
    lines = _inline("dims", ((dim.symbol, _quoted(dim.keyword, flow=True)) for dim in spec.dims))
    lines += _inline("inputs", ((item.name, _shape(item.shape)) for item in spec.inputs))
    lines += _inline("state", ((item.name, _shape(item.shape)) for item in spec.states))
    numbers = [(item.name, _decimal(item.value)) for item in spec.constants]
    lines += _inline("constants", [*numbers, *((item.name, array_text(item)) for item in spec.arrays)])
    heads = (f"{item.name}({', '.join(item.arguments)})" for item in spec.functions)
    return lines + _block("functions", zip(heads, (_expression(item.body) for item in spec.functions)))


def _parameters(spec: CellSpec) -> list[str]:
    return _block("parameters", ((item.name, _parameter(item)) for item in spec.parameters))


def _equations(spec: CellSpec) -> list[str]:
    return _block("equations", ((item.name, _expression(item.body)) for item in spec.equations))


def _uses(spec: CellSpec) -> list[str]:
    outputs = [_quoted(output.name, flow=True) for output in spec.outputs]
    lines = [f"output: {outputs[0] if len(outputs) == 1 else '[' + ', '.join(outputs) + ']'}"]
    starts = ((item.state, _start(item.start)) for item in spec.initial)
    lines += _inline("initial", starts)
    lines += _inline("targets", ((item.name, _shape(item.shape)) for item in spec.targets))
    if spec.loss is not None:
        lines += [f"loss: {_expression(spec.loss)}", f"loss_at: {spec.loss_at}"]
    ranges = ((item.name, f"[{_decimal(item.low)}, {_decimal(item.high)}]") for item in spec.ranges)
    return lines + _inline("range", ranges)


# -- sections


def _inline(key: str, pairs: Pairs) -> list[str]:
    """`key: {a: 1, b: 2}` if that fits into a line, else a block."""
    pairs = list(pairs)
    line = f"{key}: {{{', '.join(f'{name}: {value}' for name, value in pairs)}}}"
    if not pairs:
        return []
    return [line] if len(line) <= WIDTH else _block(key, pairs)


def _block(key: str, pairs: Pairs) -> list[str]:
    """One line for each pair, the values below each other."""
    pairs = [(_quoted(name), value) for name, value in pairs]
    if not pairs:
        return []
    width = max(len(name) for name, _ in pairs) + 2
    return [f"{key}:", *(f"  {name + ': ':<{width}}{value}" for name, value in pairs)]


def _prose(key: str, text: str) -> list[str]:
    if len(key) + 2 + len(text) <= WIDTH:
        return [f"{key}: {_quoted(text)}"]
    folded = textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return [f"{key}: >-", *(f"  {line}" for line in folded)]


# -- values


def _parameter(parameter: Parameter) -> str:
    shape = _shape(parameter.shape)
    if parameter.init is None:
        return shape
    return f"{{shape: {shape}, init: {_start(parameter.init)}}}"


def _shape(axes: tuple[Text, ...]) -> str:
    return "[" + ", ".join(_quoted(axis.value, flow=True, number=True) for axis in axes) + "]"


def _expression(body: Text) -> str:
    return _quoted(body.value, number=True)


def array_text(constant: ArrayConstant) -> str:
    """The array as a spec writes it."""
    entries = [_decimal(entry) for entry in constant.entries]
    if not constant.rows:
        return f"[{', '.join(entries)}]"
    wide = len(entries) // constant.rows
    rows = (entries[low : low + wide] for low in range(0, len(entries), wide))
    return "[" + ", ".join(f"[{', '.join(row)}]" for row in rows) + "]"


def _start(value: Fraction | float | str) -> str:
    if isinstance(value, float):
        return MINUS_INFINITY
    return _quoted(value, flow=True) if isinstance(value, str) else _decimal(value)


def _decimal(value: Fraction) -> str:
    """The decimal number, exactly; the value came from one."""
    with localcontext() as context:
        context.prec = MAX_DIGITS + MAX_EXPONENT
        exact = (Decimal(value.numerator) / Decimal(value.denominator)).normalize()
    plain = f"{exact:f}"
    return plain if len(plain) <= 20 else f"{exact:e}"


def _quoted(text: str, flow: bool = False, number: bool = False) -> str:
    """Text as YAML, in double quotes if YAML would read it as something else. `number`: it may be a number."""
    kinds = ("text", "number") if number else ("text",)
    if _is_plain(text, flow) and Scalar(text, Place(1, 1)).kind in kinds:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_plain(text: str, flow: bool) -> bool:
    """Whether YAML surely reads the text as it is without quotes."""
    if not text or text != text.strip() or text[0] in "!\"#%&'*,-:<=>?@[]`{|}~.":
        return False
    if flow and any(char in ",[]{}:?" for char in text):
        return False
    return ": " not in text and " #" not in text and not text.endswith(":")
