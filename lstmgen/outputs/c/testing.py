"""The text of NAME_test.c: a program that compares NAME.c with recorded values, on whatever machine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ... import __version__
from ...derivation.graph import Graph
from ...language.expressions import Value
from ...schedule.program import Program
from ...schedule.records import Schedule
from ..render import render
from .module import told_title
from .names import public
from .recorded import BOUNDS, Recorded, Results, record

WIDEST = 116


@dataclass(frozen=True)
class Table:
    """One recorded array."""

    name: str
    shape: str  # steps, examples, width
    width: int
    entries: str  # how many an array of the caller has, in C
    lines: list[str]


@dataclass(frozen=True)
class Checked:
    """An array that comes out: where its largest error is kept, and what it is called in the program's lines."""

    field: str
    told: str


def c_test(program: Program, verified: bool) -> str:
    """The text of NAME_test.c. The same program gives the same text everywhere."""
    schedule = program.schedule
    return render("c/test.c.jinja", {
        **_Context(schedule, record(schedule)).context(), "version": __version__, "verified": verified,
    })


class _Context:
    """What the template asks for."""

    def __init__(self, schedule: Schedule, recorded: Recorded):
        self.schedule, self.recorded = schedule, recorded
        self.graph: Graph = schedule.graph
        self.learned = any(isinstance(start, Value) for _, start in self.graph.initial)

    def context(self) -> dict[str, object]:
        graph, recorded, spec = self.graph, self.recorded, self.graph.spec
        point = recorded.point
        arguments = {name: point.inputs[name] for name in (*graph.inputs, *graph.targets)}
        given = {
            "params": self.shared(recorded.params), "inputs": self.moving(arguments), "start": self.still(point.state),
            "dy": self.moving(point.weights), "dend": self.still(point.final),
        }
        expected, own = self.results(recorded.given), self.results(recorded.own)
        own = {group: own[group] for group in ("outputs", "end", *(["grads"] if self.learned else []))}
        errors = [
            *self.checked("", expected), *self.checked("own_", own),
            *self.checked("steps_", {group: expected[group] for group in ("outputs", "end")}),
        ]
        if graph.loss is not None:
            errors = [Checked("loss", "loss"), Checked("own_loss", "own start: loss"), *errors]
        return {
            "name": spec.name, "upper": spec.name.upper(), "title": told_title(spec),
            "steps": recorded.steps, "batch": recorded.batch, "bounds": BOUNDS,
            "sizes": [{"name": symbol, "value": recorded.sizes[symbol]} for symbol, _ in graph.dims],
            "given": given, "expected": expected, "own": {"grads": [], **own},
            "errors": errors, "error_lines": packed([each.field for each in errors], 100),
            "longest": max(len(each.told) for each in errors),
            "loss": {"given": _loss(recorded.given), "own": _loss(recorded.own)} if graph.loss is not None else None,
            "learned": self.learned, **self.interface(given, expected),
        }

    def results(self, results: Results) -> dict[str, list[Table]]:
        return {
            "outputs": self.moving(results.outputs), "end": self.still(results.end), "grads": self.shared(results.grads),
            "dinputs": self.moving(results.dinputs), "dstart": self.still(results.dstart),
        }

    def moving(self, arrays: Mapping[str, np.ndarray]) -> list[Table]:
        """Arrays with steps and examples."""
        width = {name: math.prod(array.shape[2:]) for name, array in arrays.items()}
        return [Table(name, f"STEPS, BATCH, {width[name]}", width[name], f"STEPS * BATCH * {width[name]}", filled(array))
                for name, array in arrays.items()]

    def still(self, arrays: Mapping[str, np.ndarray]) -> list[Table]:
        """Arrays with examples alone."""
        width = {name: math.prod(array.shape[1:]) for name, array in arrays.items()}
        return [Table(name, f"1, BATCH, {width[name]}", width[name], f"BATCH * {width[name]}", filled(array))
                for name, array in arrays.items()]

    def shared(self, arrays: Mapping[str, np.ndarray]) -> list[Table]:
        """Arrays that all examples share."""
        return [Table(name, f"1, 1, {array.size}", array.size, str(array.size), filled(array))
                for name, array in arrays.items()]

    def checked(self, prefix: str, groups: Mapping[str, list[Table]]) -> list[Checked]:
        begins = {"": "", "own_": "own start: ", "steps_": "step by step: "}[prefix]
        return [Checked(f"{prefix}{group}_{table.name}", f"{begins}{group}.{public(table.name)}")
                for group, tables in groups.items() for table in tables]

    def interface(self, given: Mapping[str, list[Table]], expected: Mapping[str, list[Table]]) -> dict[str, object]:
        """The caller's arrays, and the structs that point to them."""
        buffers = {**given, **expected}
        buffers["sum"] = given["params"]
        if self.learned:
            buffers["own_sum"] = given["params"]
        members = {group: [f"{group}_{table.name}" for table in tables] or ["NULL"] for group, tables in buffers.items()}
        types = {"params": "params", "inputs": "inputs", "start": "state", "dy": "dy", "dend": "state", "outputs": "outputs",
                 "end": "end", "grads": "grads", "dinputs": "dinputs", "dstart": "end"}
        if self.graph.loss is not None:
            del types["dy"]
        targets = set(self.graph.targets)
        return {
            "buffers": [line for group, tables in buffers.items()
                        for line in packed([f"{group}_{table.name}[{table.entries}]" for table in tables], 100)],
            "structs": [line for group, kind in types.items() for line in struct(kind, group, members[group])],
            "state_members": members["end"],
            "now_inputs": ["NULL" if table.name in targets else f"inputs_{table.name} + t * count * {table.width}"
                           for table in given["inputs"]],
            "now_outputs": [f"outputs_{table.name} + t * count * {table.width}" for table in expected["outputs"]],
        }


def _loss(results: Results) -> str:
    assert results.loss is not None
    return number(results.loss)


def number(value: float) -> str:
    """A float as C reads it back exactly."""
    text = repr(float(value))
    return text.removesuffix(".0") if text != "-0.0" else "0"


def filled(array: np.ndarray) -> list[str]:
    """The entries as lines of a table."""
    lines = packed([number(entry) for entry in array.flat], WIDEST)
    return [*(f"{line}," for line in lines[:-1]), *lines[-1:]]


def struct(kind: str, name: str, members: Iterable[str]) -> list[str]:
    """The definition of a struct of pointers, in one line if it fits."""
    lines = packed(members, 100)
    start = f"const CELL(_{kind}) {name} = {{"
    if len(lines) == 1 and len(start + lines[0]) < 110:
        return [f"{start}{lines[0]}}};"]
    return [start, *(f"    {line}," for line in lines[:-1]), f"    {lines[-1]}", "};"]


def packed(texts: Iterable[str], widest: int) -> list[str]:
    """Texts with commas between them, as many in a line as go in."""
    lines: list[str] = []
    for text in texts:
        if lines and len(lines[-1]) + 2 + len(text) < widest:
            lines[-1] += f", {text}"
        else:
            lines.append(text)
    return lines
