"""What must hold of a spec's equations together: their order, their shapes, and that everything is read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..language.expressions import Expression, values
from ..language.shapes import SCALAR, ShapeMismatch, describe
from ..language.text import source
from .calls import Calls, InFunction
from .order import circle, sorted_by_need
from .reading import LOSS, Reading


def order_of(reading: Reading, bodies: Mapping[str, Expression]) -> list[str]:
    """The equations in an order in which they can be computed, as close to the author's order as possible."""
    needs = {
        name: [value.name for value in values(body) if not value.lag and value.name in reading.equations]
        for name, body in bodies.items()
    }
    cycle = circle(needs)
    if cycle:
        place = reading.equations[cycle[0]].place
        reads = "; ".join(f"{a} reads {b}" for a, b in zip(cycle, cycle[1:]))
        states = [name for name in cycle if name in reading.states]
        cure = f"one of them has to read the step before, such as {states[0]}[t-1]" if states else (
            "one of them has to be a state and be read one step later")
        raise reading.mistakes.fatal(place, f"the equations need each other within one step: {reads}", cure)
    return sorted_by_need(needs)


def infer_shapes(reading: Reading, bodies: Mapping[str, Expression], order: list[str]) -> None:
    unknown: set[str] = {name for name in reading.equations if name not in bodies}
    calls = Calls(reading)
    for name in order:
        reads = {value.name for value in values(bodies[name])}
        text = reading.texts[name]
        if reads & unknown:
            unknown.add(name)  # its mistake is reported already
            continue
        try:
            shape = calls.shape(bodies[name], reading.shapes)
        except InFunction as found:
            mismatch, function = found.mismatch, found.function
            told = f"'{_shortened(mismatch.expression)}' in {found.call}, of the equation of '{name or 'the loss'}'"
            reading.mistakes.add(function.body.at(mismatch.expression.at), f"{told}: {mismatch.message}", mismatch.cure)
            unknown.add(name)
            continue
        except ShapeMismatch as mismatch:
            where = text.at(mismatch.expression.at)
            reading.mistakes.add(where, f"'{_shortened(mismatch.expression)}': {mismatch.message}", mismatch.cure)
            unknown.add(name)
            continue
        declared = reading.shapes.get(name)
        if name == LOSS and shape != SCALAR:
            reading.mistakes.add(text.place, f"the loss is {describe(shape)}, not a scalar",
                              "sum(...) sums over the entries")
        if name in reading.states and declared is not None and declared != shape:
            reading.mistakes.add(text.place, f"the state {name} is declared {describe(declared)}, "
                              f"its equation gives {describe(shape)}")
        if name != LOSS:
            reading.shapes[name] = shape
    for state, start in ((item.state, item) for item in reading.spec.initial):
        if isinstance(start.start, str):
            reading.read.add(start.start)
            wanted, given = reading.shapes.get(state), reading.shapes.get(start.start)
            if wanted is not None and given is not None and wanted != given:
                reading.mistakes.add(start.place, f"{state} is {describe(wanted)}, "
                                  f"its start {start.start} is {describe(given)}")


def check_use(reading: Reading) -> None:
    """Refuse what is declared and never read: an equation or a term was probably forgotten."""
    outputs = {output.name for output in reading.spec.outputs}
    for kind, items in (
        ("parameter", reading.spec.parameters), ("input", reading.spec.inputs), ("target", reading.spec.targets),
        ("constant", reading.spec.constants), ("constant", reading.spec.arrays), ("function", reading.spec.functions),
    ):
        for item in items:
            if item.name not in reading.read:
                cure = "read it, or remove it"
                if kind == "input" and not re.search(r"^\W*inputs\W*:", reading.spec.source, re.MULTILINE):
                    cure = "read it, or write 'inputs', whose default is {x: D}"
                reading.mistakes.add(item.place, f"the {kind} '{item.name}' is never read", cure)
    for equation in reading.spec.equations:
        if equation.name not in reading.read | outputs and equation.name not in reading.states:
            reading.mistakes.add(equation.place, f"'{equation.name}' is computed and never read",
                              "read it, name it as an output, or remove it")
    for state in reading.spec.states:
        if state.name not in reading.read_back | outputs and state.name in reading.equations:
            reading.mistakes.add(state.place, f"the state '{state.name}' is never read as {state.name}[t-1]",
                              "read it, or remove it from 'state:'")
    for dim in reading.spec.dims:
        if dim.symbol not in reading.used_symbols:
            if dim.symbol in reading.read:
                reading.mistakes.add(dim.place, f"the dimension '{dim.symbol}' is not the size of any shape",
                                  "use it in a shape")
            else:
                reading.mistakes.add(dim.place, f"the dimension '{dim.symbol}' is never used", "remove it")


def check_sizes(reading: Reading) -> None:
    """Refuse sizes that no array shows: of an axis N*G alone, neither N nor G can be told."""
    axes = [dim for name in reading.declared for dim in reading.shapes.get(name, SCALAR)]
    known: set[str] = set()
    while found := [solved for dim in axes if (solved := dim.solved(known))]:
        known.add(found[0][0])
    for dim in reading.spec.dims:
        if dim.symbol in reading.used_symbols - known:
            reading.mistakes.add(dim.place, f"no array shows the size '{dim.symbol}' alone",
                                 f"give a parameter, an input or a state an axis {dim.symbol}")
            return  # the next one may be told by this one


def _shortened(expression: Expression, longest: int = 60) -> str:
    text = source(expression)
    return text if len(text) <= longest else text[: longest - 3] + "..."
