"""From a program to the text of the C files: everything that the templates ask for."""

from __future__ import annotations

from dataclasses import dataclass

from ... import __version__
from ...language.expressions import MinusInfinity, Value
from ...language.shapes import Shape
from ...language.text import source
from ...schedule.arrays import LOSS_ARRAY, carry_array, late_array, outside_array, sum_array
from ...schedule.plan import AFTER, BEFORE, LAST, LOOP, STILL
from ...schedule.program import (
    AT_START, BACKWARD, CARRY, CHUNK, FINAL, FORWARD, LOCAL, PARAMETER_ARRAY, ROW, SENT_BY_LAST, STATE, STEP, STILL_ARRAY,
    SUM, SUMS, TAPE, Array, Program, Rows, Spot,
)
from ...schedule.records import StoredParameter
from ...spec.cell import CellSpec
from ..render import render, template_text
from .lines import RowsPrinter, item_call
from .names import defined, public
from .places import Places
from .small import small_workspace
from .spelling import real_text, size

RUNTIME = "c/runtime.c"

# What `templates/c/cell.c.jinja` defines once for float and once for double.
_OF_EVERY_CELL = tuple(
    """
    Matrix Slice Work ForwardJob BackwardJob reserve spans lay_out set_sizes run take_parameters pack_task
    pack_turned_task forward_span forward_slice forward_task backward_span backward_slice backward_task collect_task finish
    """.split()
)


def c_source(program: Program, verified: bool) -> str:
    """The text of NAME.c."""
    return render("c/cell.c.jinja", _context(program, verified))


def c_header(program: Program, verified: bool, checkpoint: int | None = None) -> str:
    """The text of NAME.h. With `checkpoint`, the tape keeps everything of so many steps only."""
    return render("c/cell.h.jinja", {**_context(program, verified), "checkpoint": checkpoint or 0})


def _context(program: Program, verified: bool) -> dict[str, object]:
    return {**_Cell(program).context(), "version": __version__, "verified": verified}


@dataclass(frozen=True)
class Field:
    """A pointer of the interface: its name in C, and what it points to."""

    name: str
    told: str


@dataclass(frozen=True)
class Reserved:
    """One array of the workspace: its field, and how many reals it takes."""

    name: str
    count: str
    is_input: bool = False  # of the cell: a small machine reads it where the caller has it
    is_sum: bool = False  # of a gradient: a small machine adds up where the caller wants it

    @property
    def small_needs_none(self) -> bool:
        return self.is_input or self.is_sum


class _Cell:
    def __init__(self, program: Program):
        self.program, self.schedule, self.graph = program, program.schedule, program.schedule.graph
        self.runtime = template_text(RUNTIME)
        self.places = Places(program, self.runtime)
        self.functions: list[str] = []
        self.names: list[str] = []

    def context(self) -> dict[str, object]:
        graph, spec = self.graph, self.graph.spec
        code = self.code()
        return {
            "name": spec.name, "upper": spec.name.upper(), "title": told_title(spec),
            "equations": self.equations(),
            "runtime": self.runtime.rstrip(),
            "typed": [*defined(self.runtime), *_OF_EVERY_CELL, *self.names],
            "symbols": [{"name": self.places.symbol(symbol), "field": public(symbol), "keyword": keyword}
                        for symbol, keyword in graph.dims],
            "functions": self.functions,
            "loss": graph.loss is not None, "loss_last": graph.has_loss_at_last,
            **code, **self.interface(), **self.storage(),
        }

    def equations(self) -> list[str]:
        numbers, stages = self.schedule.plan.numbers, self.graph.stages
        width = max((len(stage.name) for stage in stages), default=0)
        return [f"{f'({numbers[stage.name]})':>5}  {stage.name:<{width}} = {source(stage.expression)}" for stage in stages]

    # ------------------------------------------------------------------ interface

    def interface(self) -> dict[str, object]:
        graph = self.graph
        return {
            "params": [Field(public(entry.name), self.told_parameter(entry)) for entry in self.schedule.parameters],
            "inputs": [Field(public(name), self.told(graph.shapes[name], "T, B")) for name in graph.inputs],
            "targets": [Field(public(name), self.told(graph.shapes[name], "T, B")) for name in graph.targets],
            "states": [Field(public(name), self.told(graph.shapes[name], "B")) for name in graph.states],
            "outputs": [Field(public(name), self.told(graph.shapes[name], "T, B")) for name in graph.outputs],
        }

    def told(self, shape: Shape, leading: str = "") -> str:
        return "(" + ", ".join(filter(None, [leading, *map(str, shape)])) + ")"

    def told_parameter(self, entry: StoredParameter) -> str:
        rows = ", rows of " + ", ".join(member.name for member in entry.members) if entry.is_stacked else ""
        return self.told(entry.shape) + rows

    # ------------------------------------------------------------------ storage

    def storage(self) -> dict[str, object]:
        arrays, places = self.program.arrays.values(), self.places
        still = [array for array in arrays if array.lifetime == STILL_ARRAY]
        of_slices = [array for array in arrays if array.lifetime not in (LOCAL, PARAMETER_ARRAY, STILL_ARRAY)]
        slices = [self.reserved(array) for array in of_slices]
        parameters = [
            {"name": places.identifier(entry.name), "field": public(entry.name)}
            for entry in self.schedule.parameters if entry.name in self.program.arrays
        ]
        matrices = [self.matrix(name) for name in self.program.matrices]
        outers = [{**self.matrix(name), "count": self.entries(name)} for name in self.program.outer]
        return {
            "parameter_fields": parameters,
            "still_fields": [Reserved(places.identifier(array.name), places.width(array.shape)) for array in still],
            "slice_fields": slices,
            "matrices": matrices,
            "outers": outers,
            # How many members Work has, a matrix having three of them, and Slice; none is larger than a pointer.
            "words": (10 + len(parameters) + len(still) + 3 * len(matrices) + len(self.graph.dims)
                      + 3 + len(slices) + len(outers) + len(self.arguments()) + len(self.graph.states)),
            "small": small_workspace(
                [*((array.lifetime, array.shape) for array, reserved in zip(of_slices, slices)
                   if not reserved.small_needs_none), *((array.lifetime, array.shape) for array in still)],
                [self.graph.shapes[name] for name in self.graph.states],
                [places.symbol(symbol) for symbol, _ in self.graph.dims], places.symbol,
            ),
        }

    def arguments(self) -> list[str]:
        """The inputs and targets that are read."""
        return [name for name in (*self.graph.inputs, *self.graph.targets) if name in self.program.arrays]

    def matrix(self, name: str) -> dict[str, str]:
        shape = self.program.arrays[name].shape
        return {"name": self.places.identifier(name), "n": self.places.size(shape[0]), "k": self.places.size(shape[1])}

    def entries(self, array: str) -> str:
        return self.places.width(self.program.arrays[array].shape)

    def reserved(self, array: Array) -> Reserved:
        factor = self.places.factor(array.shape)
        of_step = {ROW: "", SUM: "", STEP: "slice->count", CARRY: "slice->count", FINAL: "slice->count",
                   CHUNK: "work->chunk * slice->count", TAPE: "work->span * slice->count",
                   STATE: "(work->span + 1) * slice->count"}[array.lifetime]
        whole = self.places.width(array.shape)
        count = whole if not of_step else of_step if factor == "1" else f"{of_step} * {factor}"
        return Reserved(
            self.places.identifier(array.name), count,
            is_input=array.lifetime == TAPE and array.name in self.graph.inputs,
            is_sum=array.lifetime == SUM and array.name != LOSS_ARRAY,
        )

    # ------------------------------------------------------------------ code

    def code(self) -> dict[str, object]:
        forward = {phase: self.calls(FORWARD, phase) for phase in (STILL, BEFORE, LOOP, AFTER, LAST)}
        backward = {phase: self.calls(BACKWARD, phase)
                    for phase in (LAST, AFTER, LOOP, SENT_BY_LAST, BEFORE, SUMS, AT_START, STILL)}
        return {
            "still": forward[STILL], "before": forward[BEFORE], "loop": forward[LOOP], "after": forward[AFTER],
            "last": forward[LAST],
            "back_last": backward[LAST], "back_after": backward[AFTER], "back_loop": backward[LOOP],
            "back_sent_by_last": backward[SENT_BY_LAST], "back_before": backward[BEFORE], "back_sums": backward[SUMS],
            "back_at_start": backward[AT_START], "back_still": backward[STILL],
            **self.copies(), **self.sums(),
        }

    def calls(self, direction: str, phase: str) -> list[str]:
        lines = []
        for item in self.program.items.get((direction, phase), ()):
            if isinstance(item, Rows):
                wanted = f"{direction}_{phase.replace(' ', '_')}"
                count = sum(name.startswith(wanted) for name in self.names)
                name = self.places.names.of((direction, phase, item), f"{wanted}_{count + 1}" if count else wanted)
                printer = RowsPrinter(self.places, item, name, _told(direction, phase), phase == STILL)
                function = printer.function()
                self.functions.append(function.text)
                self.names.append(name)
                lines.append(function.call)
            else:
                lines.append(item_call(self.places, item))
        return lines

    def copies(self) -> dict[str, object]:
        """What is copied between the caller's arrays and a slice's own."""
        graph, arrays, places = self.graph, self.program.arrays, self.places

        def entry(array: str, field: str, shape: Shape) -> dict[str, str]:
            return {"array": places.identifier(array), "field": public(field), "width": places.width(shape),
                    "factor": places.factor(shape)}

        arguments = self.arguments()
        carries = [carry.gradient.value for carry in self.schedule.backward.carries]
        return {
            "tape_inputs": [{**entry(name, name, graph.shapes[name]), "is_input": name in graph.inputs}
                            for name in arguments if arrays[name].lifetime == TAPE],
            "chunk_inputs": [entry(name, name, graph.shapes[name]) for name in arguments if arrays[name].lifetime == CHUNK],
            "arguments_kept": [entry(name, name, graph.shapes[name]) for name in arguments],
            "start_states": [{**entry(name, name, graph.shapes[name]), **self.start(name)} for name in graph.states],
            "learned": any(isinstance(start.value, Value) for start in self.schedule.starts),
            "kept_outputs": [{**entry(name, name, graph.shapes[name]), "from": self.output_row(name)}
                             for name in graph.outputs],
            "outside": [entry(outside_array(name), name, graph.shapes[name])
                        for name in graph.outputs if outside_array(name) in arrays],
            "carries": [{**entry(carry_array(name), name, graph.shapes[name]), "is_state": name in graph.states}
                        for name in carries],
            "late": [entry(late_array(name), name, graph.shapes[name])
                     for name in graph.shapes if late_array(name) in arrays],
            "input_gradients": [self.input_gradient(name) for name in graph.inputs],
            "loss_name": places.identifier(LOSS_ARRAY) if LOSS_ARRAY in arrays else "",
        }

    def output_row(self, name: str) -> str:
        lifetime = self.program.arrays[name].lifetime
        return {STATE: "(row + slice->count)", TAPE: "row", CHUNK: "0"}[lifetime]

    def input_gradient(self, name: str) -> dict[str, str]:
        shape = self.graph.shapes[name]
        spot = Spot(f"d.{name}", shape)
        return {"array": self.places.identifier(spot.array), "field": public(name), "width": self.places.width(shape),
                "factor": self.places.factor(shape)}

    def start(self, state: str) -> dict[str, str]:
        value = next(start.value for start in self.schedule.starts if start.state == state)
        if isinstance(value, Value):
            return {"parameter": self.places.identifier(value.name), "value": ""}
        if isinstance(value, MinusInfinity):
            return {"parameter": "", "value": "-(real)INFINITY"}
        return {"parameter": "", "value": f"R({real_text(value.value)})" if value.value else ""}

    def sums(self) -> dict[str, object]:
        """Where the sums of the slices are collected."""
        program, places = self.program, self.places
        still = [gather.gradient.value for gather in self.schedule.backward.still]
        collected: list[dict[str, object]] = []
        for name in [*still, *(entry.name for entry in self.schedule.parameters)]:
            to = f"work->{places.identifier(f'd.{name}')}" if name in still else f"grads->{public(name)}"
            shape = (self.graph.shapes[name] if name in still
                     else next(entry.shape for entry in self.schedule.parameters if entry.name == name))
            collected.append({
                "to": to, "width": places.width(shape),
                "outer": f"outer_{places.identifier(name)}" if name in program.outer else "",
                "k_of_work": size(shape[1], lambda symbol: f"work->{places.symbol(symbol)}") if len(shape) > 1 else "",
                "n": places.size(shape[0]) if shape else "", "k": places.size(shape[1]) if len(shape) > 1 else "",
                "sum": places.identifier(sum_array(name)) if name in program.summed else "",
            })
        return {"collected": collected}


def _told(direction: str, phase: str) -> str:
    when = {
        STILL: "what no step changes", BEFORE: "what inputs alone decide, for the rows of several steps",
        LOOP: "one step", AFTER: "what no later step needs, for the rows of several steps",
        LAST: "the last step's loss", SENT_BY_LAST: "what the last step's loss sends to the step before",
        AT_START: "a learned start",
    }[phase]
    return f"{direction.capitalize()}: {when}"


def told_title(spec: CellSpec) -> str:
    """The title as a comment may hold it."""
    return _comment(spec.title)


def _comment(text: str) -> str:
    """Text as a comment of one line may hold it."""
    shown = "".join(c if " " <= c <= "~" and c != "\\" else f"[U+{ord(c):04X}]" for c in text)
    return shown.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?").strip() or "cell"
