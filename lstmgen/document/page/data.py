"""All that a page knows of its cell, as JSON: the scripts show it and compute with it, and derive nothing."""

from __future__ import annotations

import re

from ...derivation.chain import Contribution, Gradient, Key
from ...derivation.graph import Graph, Stage
from ...language import functions
from ...language.expressions import Expression, Value
from ...language.functions import Macro, Pointwise
from ...language.parse import parse_rule
from ...numerics.worked import Number, WorkedExample, work_out
from ...outputs.numpy.lines import Line
from ...outputs.numpy.module import module_passes
from ...proofs.verdict import Verdict
from ...schedule.records import Schedule
from ..notation import make_notation
from ..pen import Pen
from ..terminal.explain import reasons
from ..terminal.pen import TerminalPen
from .expressions import Json, Table, as_json
from .picture import picture
from .symbols import PageNotation, first_notation, notations

STEPS = 3  # that a page opens with
MOST_STEPS = 4  # that it can be set to
_NEVER_BROKEN = 10**9
_FORMULA = re.compile(r"⟦(\d+)⟧")


def page_data(schedule: Schedule, notation: str | None, verdict: Verdict | None) -> dict[str, Json]:
    """The data of a page. `notation` is the one it opens with, where it is not the spec's."""
    derivation, graph = schedule.derivation, schedule.graph
    table = Table()
    pen = _MarkingPen(schedule, table)
    texts = _Sentences()
    symbols = notations(graph)
    data: dict[str, Json] = {
        "name": graph.spec.name, "steps": STEPS, "mostSteps": MOST_STEPS,
        "dims": [symbol for symbol, _ in graph.dims],
        "shapes": {name: [as_json(dim.expression()) for dim in shape] for name, shape in graph.shapes.items()},
        "inputs": graph.inputs, "targets": graph.targets, "parameters": graph.parameters, "states": graph.states,
        "outputs": graph.outputs, "loss": graph.loss, "lossAtLast": graph.has_loss_at_last,
        "static": sorted(graph.static), "lastOnly": sorted(derivation.last_step_only),
        "learned": {state: start.name for state, start in graph.initial if isinstance(start, Value)},
        "ranges": {item.name: [float(item.low), float(item.high)] for item in graph.spec.ranges},
        "stages": [_stage(stage, schedule, table) for stage in graph.stages],
        "gradients": [_gradient(gradient, schedule, table, pen, texts) for gradient in
                      (*derivation.stages, *derivation.inputs, *derivation.parameters)],
        "colours": list(Pen(schedule.plan, make_notation(graph, ())).colours),
        "code": _code(schedule),
        "notation": first_notation(graph, symbols, notation),
        "notations": [_symbols(each, symbols[0], table) for each in symbols],
        "picture": picture(derivation, table, key_text),
        "language": _language(graph),
        "example": _example(graph, work_out(derivation, MOST_STEPS)),
        "verified": verdict is not None,
    }
    return {**data, "sentences": list(texts.numbers), "expressions": table.entries}


def key_text(key: Key) -> str:
    """The key of a contribution: `c<h@1.0`."""
    target, reader, lag, position = key
    return f"{target}<{reader}@{lag}.{position}"


class _MarkingPen(TerminalPen):
    """Puts the number of an expression where its formula goes: the page prints it in the notation of the moment."""

    def __init__(self, schedule: Schedule, table: Table):
        super().__init__(schedule.derivation, True, _NEVER_BROKEN)
        self.table = table

    def spell(self, expression: Expression) -> str:
        return f"⟦{self.table(expression)}⟧"


# ---------------------------------------------------------------- the derivation


def _stage(stage: Stage, schedule: Schedule, table: Table) -> Json:
    return {"name": stage.name, "n": schedule.plan.numbers[stage.name], "is": table(stage.expression),
            **({"of": stage.owner} if stage.owner != stage.name else {})}


class _Sentences:
    """Sentences by number, with places for formulas: many contributions are told in the same words."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, text: str) -> list[list[int]]:
        """For each sentence of a text its number, and those of the formulas in it."""
        return [[self.numbers.setdefault(_FORMULA.sub("⟦⟧", part), len(self.numbers)), *map(int, _FORMULA.findall(part))]
                for part in re.split(r"(?<=\.) ", text.replace("~", " "))]


def _gradient(gradient: Gradient, schedule: Schedule, table: Table, pen: TerminalPen, texts: _Sentences) -> Json:
    told = reasons(pen, gradient)
    return {
        "value": gradient.value, "n": schedule.plan.gradient_numbers.get(gradient.value, 0), "rule": texts(told.rule),
        "ends": [texts(line) for line in told.ends],
        "forks": [_fork(fork, table, texts, dict(facts)) for fork, facts in zip(gradient.forks, told.terms, strict=True)],
    }


def _fork(fork: Contribution, table: Table, texts: _Sentences, facts: dict[str, str]) -> Json:
    return {
        "reader": fork.reader, "kind": fork.kind,
        **({"lag": fork.lag} if fork.lag else {}), **({"position": fork.position} if fork.position else {}),
        "up": table(fork.upstream), "at": table(fork.at_reader),
        **({"local": table(fork.local)} if fork.local is not None else {}),
        **({"matrix": table(fork.matrix)} if fork.matrix is not None else {}),
        **({"over": 1} if fork.over_time else {}),
        "why": texts(facts.get("outside", facts.get("local", ""))),
        **({"held": texts(facts["constant"])} if "constant" in facts else {}),
    }


# ---------------------------------------------------------------- code, symbols, numbers


def _code(schedule: Schedule) -> Json:
    passes = module_passes(schedule)
    return {"forward": [_line(line, 4) for line in passes.forward],
            "backward": [_line(line, 4) for line in (*passes.backward, *passes.gradients)]}


def _line(line: Line, margin: int) -> Json:
    text = line.code[margin:]
    about = [each if isinstance(each, str) else key_text(each) for each in line.about]
    return [text, about] if about else [text]


def _symbols(notation: PageNotation, first: PageNotation, table: Table) -> Json:
    """A notation; of those after the first, the symbols that the first has not."""
    symbols = {name: symbol for name, symbol in notation.symbols.items()
               if notation is first or first.symbols.get(name) != symbol}
    return {"id": notation.id, "label": notation.label, "time": notation.time, "symbols": symbols,
            "writtenOut": {name: table(expression) for name, expression in notation.written_out.items()}}


def _language(graph: Graph) -> Json:
    """What a reader's own line may call: the functions, what some stand for, their slopes, and the spec's constants."""
    macros = {entry.name: [list(entry.arguments), as_json(parse_rule(entry.body))]
              for entry in functions.TABLE.values() if isinstance(entry, Macro)}
    slopes = {entry.name: as_json(parse_rule(entry.derivatives[0])) for entry in functions.TABLE.values()
              if isinstance(entry, Pointwise) and len(entry.arguments) == 1 and entry.name in functions.PUBLIC}
    return {"macros": macros, "public": functions.PUBLIC, "slopes": slopes,
            "constants": {constant.name: float(constant.value) for constant in graph.spec.constants}}


def _example(graph: Graph, example: WorkedExample) -> Json:
    def by_name(numbers: tuple[Number, ...]) -> dict[str, list[Json]]:
        found: dict[str, list[Json]] = {}
        for number in numbers:
            found.setdefault(number.name, []).append(number.entries)
        return found

    return {
        "sizes": dict(example.sizes),
        "parameters": {number.name: number.entries for number in example.parameters},
        "state": {number.name: number.entries for number in example.state},
        "inputs": by_name(example.inputs),
        "outside": by_name(example.outside),
    }
