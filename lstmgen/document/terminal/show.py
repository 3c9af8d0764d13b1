"""A derivation in a terminal: aligned equations, one line for each contribution, few colours.

`show_derivation` gives the whole cell, `list_cells` the specs that come with lstmgen. Both return text; click removes the
colours if there is no terminal. Without `unicode` the text is plain ASCII, in the language of a spec.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...derivation.chain import Derivation, Gradient
from ...derivation.graph import Stage
from ...language.expressions import Outside
from ...language.shapes import Shape
from ...printed import WIDTH
from ..catalogue import Entry, parameter_count
from .columns import INDENT, Row, bold, coloured, display, grey, listed, prose, shown, solid, table
from .pen import TerminalPen, gradient_rows


def show_derivation(derivation: Derivation, unicode: bool, width: int = WIDTH) -> str:
    """The whole cell: forward equations, then every gradient, with a line for each contribution."""
    pen = TerminalPen(derivation, unicode, width)
    spec = derivation.graph.spec
    lines = [f"{bold(shown(spec.title, unicode))}  {grey(spec.name)}", ""]
    lines += _declarations(pen)
    lines += ["", bold("Forward, at every step t"), *display(_forward_rows(pen), width)]
    lines += ["", bold("Gradients at step t, in the order in which they become complete")]
    lines += _gradients(pen, derivation.stages)
    lines += ["", bold("Inputs"), *_gradients(pen, derivation.inputs)]
    if derivation.parameters:
        lines += ["", bold("Parameters, summed over the steps and over the batch")]
        lines += _gradients(pen, derivation.parameters)
    lines += ["", *_reading(pen)]
    return "\n".join(lines)


def _declarations(pen: TerminalPen) -> list[str]:
    graph = pen.graph

    def with_shapes(names: Iterable[str]) -> str:
        return ", ".join(f"{name} {pen.size(graph.shapes[name])}" for name in names)

    starts = ", ".join(f"{name}[0] = {pen.spell(start)}" for name, start in graph.initial)
    parts = [
        ("sizes", ", ".join(f"{symbol} {keyword}" for symbol, keyword in graph.dims)),
        ("inputs", with_shapes(graph.inputs)),
        ("state", with_shapes(graph.states)),
        ("start", f"{starts}, if no state is given"),
        ("targets", with_shapes(graph.targets)),
        ("constants", "; ".join(f"{stage.name} = {pen.spell(stage.expression)} {pen.size(stage.shape)}"
                                for stage in graph.stages if stage.name in graph.made)),
        ("parameters", _parameters(pen)),
        ("output", ", ".join(graph.outputs)),
        ("linear", "in its states" if pen.derivation.is_linear_in_state else ""),
    ]
    width = max(len(label) for label, _ in parts) + 2
    lines = []
    for label, text in parts:
        if text:
            lines += prose(text, pen.width, INDENT + " " * width, grey(f"{INDENT}{label:<{width}}"))
    return lines


def _parameters(pen: TerminalPen) -> str:
    """Names by shape, and how many numbers they have together."""
    graph = pen.graph
    shapes: dict[Shape, list[str]] = {}
    for name in graph.parameters:
        shapes.setdefault(graph.shapes[name], []).append(name)
    if not shapes:
        return ""
    groups = "; ".join(f"{', '.join(names)} {solid(pen.size(shape))}" for shape, names in shapes.items())
    count = parameter_count(graph, pen.unicode)
    return f"{groups}: {count.replace(' ', '~')}~numbers"


def _forward_rows(pen: TerminalPen) -> list[Row]:
    graph = pen.graph
    sizes = {stage.name: pen.size(stage.shape) for stage in graph.stages}
    width = max(map(len, sizes.values()))
    return [
        Row(stage.name, "=", pen.spell(stage.expression), f"{sizes[stage.name]:<{width}}  "
                                                          f"{_readers(pen, stage)}".rstrip())
        for stage in graph.stages if stage.name not in graph.made
    ]


def _readers(pen: TerminalPen, stage: Stage) -> str:
    readers = pen.graph.readers(stage.name)
    parts = []
    if stage.name in pen.graph.outputs and pen.graph.loss is None:
        parts.append("output")
    if readers:
        parts.append(f"{len(readers)} reader{'s' * (len(readers) != 1)}")
    text = ", ".join(parts)
    later = sum(reader.lag for reader in readers)
    return f"{text}, {later} at t+1" if later else text


def _gradients(pen: TerminalPen, gradients: Iterable[Gradient]) -> list[str]:
    rows: list[Row] = []
    for gradient in gradients:
        rows += gradient_rows(pen, gradient, pen.origin)
    return display(rows, pen.width)


def _reading(pen: TerminalPen) -> list[str]:
    """How to read the text, in grey."""
    graph = pen.graph
    name = graph.states[0]
    lines = [f"{pen.delta(name)} is the derivative of the loss with respect to {name} at step t, along all paths; "
             f"{pen.delta(name, 1)} is that of the next step."]
    if graph.loss is None:
        outside = listed(pen.spell(Outside(output)) for output in graph.outputs)
        verb = "is" if len(graph.outputs) == 1 else "are"
        lines.append(f"{outside} {verb} the gradient that reaches {listed(graph.outputs)} from outside: dy of the "
                     "module.")
    carried = [state for state in graph.states if pen.derivation.adjoints[state].through_time()]
    if carried:
        lines.append(f"At the last step, the gradient of the final state takes the place of the terms of "
                     f"{listed(pen.delta(s) for s in carried)} that come from t+1; at t = 0, these terms alone are the "
                     "gradient of the initial state.")
    if pen.unicode:
        lines.append("⊙ multiplies entry by entry, ᵀ transposes.")
    lines += pen.legend()
    return [grey(line) for text in lines for line in prose(text, pen.width, "")]


def list_cells(cells: Iterable[Entry], unicode: bool, width: int = WIDTH) -> str:
    """Cells that come with lstmgen, by group: name, title, and who confirmed it."""
    rows: list[str | tuple[str, ...]] = [("name", "title", "confirmed by")]
    group = None
    for entry in cells:
        if entry.group != group:
            group = entry.group
            rows += ["", bold(shown(group, unicode))]
        title = shown(entry.title, unicode) + " *" * entry.is_linear
        rows.append((entry.name, title, ", ".join(entry.confirmed)))
    lines = table(rows, width, (coloured, str, grey))
    legend = ("confirmed by: the libraries whose results the generated module reproduces in the tests; 'equations' "
              "means the equations of a paper, written a second time and differentiated by PyTorch. To build a cell: "
              "lstmgen~build~NAME")
    linear = "*: linear in its states, so its steps can also be computed as a parallel scan or in chunks"
    return "\n".join([*lines, "", *(grey(line) for text in (linear, legend) for line in prose(text, width, ""))])
