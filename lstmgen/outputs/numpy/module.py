"""From a schedule to the text of the NumPy module.

`forward`, `step` and `backward` are lists of lines; the template holds everything that is the same for every cell.
What is computed when, what is stacked and what the tape keeps is the schedule's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from operator import itemgetter

from ... import __version__
from ...language.expressions import Call, MinusInfinity, Number, Value, walk
from ...language.text import source
from ...schedule.plan import LAST
from ...schedule.records import ARGUMENT, PARAMETER, Schedule, SizeSource, Start, StoredParameter
from ...spec.cell import Parameter
from ..render import render, template_text
from .backward import BackwardPrinter
from .forward import forward_lines, step_lines
from .lines import (
    Line, as_tuple, axes, definition, laid_out, layout, loop_over, parameters_read, rows, size, solved, told, unpacked,
)
from .places import Places


def module_source(schedule: Schedule, verified: bool, checkpoint: int | None = None, bare: bool = False) -> str:
    """The text of the module. `verified` says whether its header has to warn.

    A `bare` module has neither checks of arguments nor a check of its own.

    With `checkpoint`, its tape keeps the state at every so many steps, and the steps between are computed anew.
    """
    context = ModuleContext(schedule, checkpoint).context()
    return render("numpy/module.py.jinja", {**context, "version": __version__, "verified": verified, "bare": bare})


def module_context(schedule: Schedule) -> dict[str, object]:
    """What the module's interface is made of, for another file with the same interface."""
    return ModuleContext(schedule, None).context()


@dataclass(frozen=True)
class Passes:
    """The lines of both passes, each with what it is about."""

    forward: list[Line]
    backward: list[Line]
    gradients: list[Line]  # the entries of the dictionary of gradients


def module_passes(schedule: Schedule) -> Passes:
    """The two passes of the module as they stand in it, without what is around them."""
    places = Places(schedule)
    printer = BackwardPrinter(places, "")
    forward = forward_lines(places)
    step_lines(places)  # names helpers, in the order of the module
    return Passes(laid_out(forward, 4), laid_out(printer.lines(), 4), laid_out(printer.parameter_lines(), 8))


def loops_source(schedule: Schedule) -> str:
    """What the module computes in both directions, without functions, arguments and checks: to be read, not to be run."""
    passes = module_passes(schedule)

    def text(lines: list[Line]) -> list[str]:
        return [line.code[4:] for line in lines]

    return render("numpy/loops.py.jinja", {
        "forward": text(passes.forward), "backward": text(passes.backward), "gradients": text(passes.gradients),
        "loss": schedule.graph.loss, "given": ", ".join((*schedule.graph.inputs, *schedule.graph.targets))})


RANDOM = ("uniform", "glorot", "orthogonal")  # initial values that are drawn


@dataclass(frozen=True)
class Field:
    """One field of a named tuple, with its shape in words."""

    name: str
    shape: str


class ModuleContext:
    """Everything that the template asks for. Another output with this interface overrides what it spells otherwise."""

    library = "np"  # whose arrays the module works on

    def __init__(self, schedule: Schedule, checkpoint: int | None, places: Places | None = None):
        self.schedule, self.graph, self.checkpoint = schedule, schedule.graph, checkpoint
        self.places = places or Places(schedule)
        self.T, self.B = self.places.T, self.places.B

    def context(self) -> dict[str, object]:
        return {
            **self._what_it_is(), **self._code(), **self._sizes(), **self._arguments(), **self._states_and_outputs(),
            **self._parameters(), **self._signatures(), **self._helpers(),
        }

    def _what_it_is(self) -> dict[str, object]:
        graph, spec = self.graph, self.graph.spec
        return {
            "name": spec.name,
            "title": _ascii(spec.title),
            "equations": self._equations(),
            "T": self.T, "B": self.B,
            "dims_told": ", ".join(f"{symbol} = {keyword}" for symbol, keyword in graph.dims),
            "dims": [{"symbol": symbol, "keyword": keyword} for symbol, keyword in graph.dims],
            "dim_symbols": [symbol for symbol, _ in graph.dims],
            "loss": graph.loss,
            "loss_last": graph.has_loss_at_last,
            "smallest": 4 if self._averages() else 2,
        }

    def _equations(self) -> list[str]:
        numbers, stages = self.schedule.plan.numbers, self.graph.stages
        width = max((len(stage.name) for stage in stages), default=0)
        return [f"{f'({numbers[stage.name]})':>5}  {stage.name:<{width}} = {source(stage.expression)}" for stage in stages]

    def _averages(self) -> bool:
        """Whether a mean is taken: the check's sizes are then at least 4, or two entries would be all there is."""
        averaging = {"mean", "layer_norm", "softmax", "logsumexp"}
        return any(isinstance(node, Call) and node.function in averaging
                   for stage in self.graph.stages for node in walk(stage.expression))

    # ------------------------------------------------------------------ code

    def _code(self) -> dict[str, object]:
        schedule, places = self.schedule, self.places
        ends = places.fresh("ends") if self.checkpoint and schedule.plan.stages_in(LAST) else ""
        printer = BackwardPrinter(places, ends)
        forward, single = forward_lines(places), step_lines(places)
        backward, gradients = printer.lines(), printer.parameter_lines()
        kept = [places.previous[entry.name] if entry.lag else entry.name for entry in schedule.tape]
        own = {name: places.fresh(name) for name in ("first", "part", "starts", "result", "loss")}
        return {
            "checkpoint": self.checkpoint, "at_end": ends,
            "own": {**own, "tape": places.fresh("part_tape"), "dy": places.fresh("part_dy")},
            "kept": kept,
            "kept_rows": rows(kept),
            "forward": layout(forward, 4),
            "forward_parameters_read": parameters_read(schedule.read_forward),
            "single": layout(single, 4),
            "single_parameters_read": parameters_read(schedule.read_step),
            "backward": layout(backward, 4),
            "backward_parameters_read": parameters_read(schedule.read_backward),
            "gradients": layout(gradients, 8),
            "carried": [{"name": state, "code": places.next[state]} for state in self.graph.states],
            "input_gradients": [f"d_{name}" for name in self.graph.inputs],
        }

    # ------------------------------------------------------------------ sizes

    def _sizes(self) -> dict[str, object]:
        sizes = self.schedule.sizes
        known, late = sizes.known, sizes.late
        in_states = {symbol for state in self.graph.states for dim in self.graph.shapes[state] for symbol in dim.symbols}
        start_sizes = [symbol for symbol, _ in self.graph.dims if symbol in in_states]
        return {
            "sizes": [{"symbol": found.symbol, "code": self._read(found)} for found in sizes.from_parameters],
            "known_sizes": known,
            "all_sizes_known": not late,
            "late_sizes": self._late_lines(sizes.from_arguments, sizes.from_states),
            "late_reads": [self._read_line(found) for found in (*sizes.from_arguments, *sizes.from_states)],
            "late_single": self._late_lines(sizes.from_inputs, sizes.from_states_of_step, single=True),
            "late_single_reads": [
                self._read_line(found, single=True) for found in (*sizes.from_inputs, *sizes.from_states_of_step)],
            "late_names": late,
            "tape_sizes": [*known, *late],
            "tape_sizes_held": as_tuple([*known, *late]),
            "known_sizes_held": as_tuple(known), "known_sizes_left": unpacked(known), "late_names_left": unpacked(late),
            "known_part": f"[:{len(known)}]" if late else "",
            "late_part": f"[{len(known)}:]" if known else "",
            "start_sizes": start_sizes,
            "start": self._start(self.B, "dtype", start_sizes),
            "start_of_tape": self._start("tape.batch", "tape.dtype", start_sizes),
            "named_reads_sizes": bool(known) and any(entry.is_stacked for entry in self.schedule.parameters),
        }

    def _late_lines(self, arguments: tuple[SizeSource, ...], states: tuple[SizeSource, ...],
                    single: bool = False) -> list[str]:
        lines = [self._read_line(found, single) for found in arguments]
        for found in states:
            told = f"state is None, and nothing else tells {found.symbol}: give a state"
            lines += ["if state is None:", f'    raise ValueError("{told}")', self._read_line(found)]
        return lines

    def _read_line(self, found: SizeSource, single: bool = False) -> str:
        return f"{found.symbol} = {self._read(found, single)}"

    def _read(self, found: SizeSource, single: bool = False) -> str:
        """A size read off an axis: `(x.shape[2] - H) // 2`."""
        if found.kind == PARAMETER:
            code = f'params["{found.array}"].shape[{found.axis}]'
        elif found.kind == ARGUMENT and single:
            code = f"{self.places.now[found.array]}.shape[{found.axis + 1}]"
        elif found.kind == ARGUMENT:
            code = f"{found.array}.shape[{found.axis + 2}]"
        else:
            code = f"{self.library}.shape(state[{self.graph.states.index(found.array)}])[{found.axis + 1}]"
        return solved(code, found)

    # ------------------------------------------------------------------ arguments, states, outputs

    def _arguments(self) -> dict[str, object]:
        graph, late = self.graph, self.schedule.sizes.late
        inputs = [self._argument(name) for name in graph.inputs]
        targets = [self._argument(name) for name in graph.targets]
        return {
            "inputs": inputs,
            "targets": targets,
            "arguments": [*graph.inputs, *graph.targets],
            "arguments_held": as_tuple([*graph.inputs, *graph.targets]),
            "nows": [self.places.now[name] for name in graph.inputs],
            # the first argument tells T and B; where sizes come late, all are looked at twice
            "sized_inputs": [*inputs, *targets] if late else inputs[:1],
            "rechecked": [*inputs, *targets] if late else [*inputs[1:], *targets],
            "input_names": list(graph.inputs),
        }

    def _argument(self, name: str) -> dict[str, object]:
        shape, late = self.graph.shapes[name], self.schedule.sizes.late
        low, high = self._range(name)
        open_sizes = [
            ", None" if any(symbol in late for symbol in dim.symbols) else f", {size(dim)}" for dim in shape
        ]
        return {
            "name": name, "now": self.places.now.get(name, name), "is_target": name in self.graph.targets,
            "rank": len(shape), "told": told(shape, self.T, self.B), "told_now": told(shape, self.B),
            "sizes": "".join(f", {size(dim)}" for dim in shape), "open_sizes": "".join(open_sizes) or ",",
            "low": low, "high": high,
        }

    def _range(self, name: str) -> tuple[str, str]:
        for entry in self.graph.spec.ranges:
            if entry.name == name:
                return source(Number(entry.low)), source(Number(entry.high))
        return "-1", "1"

    def _states_and_outputs(self) -> dict[str, object]:
        graph, places = self.graph, self.places
        together = places.fresh("outputs")
        return {
            "states": [Field(name, told(graph.shapes[name], self.B)) for name in graph.states],
            "state_names": list(graph.states),
            "state_checks": [self._state_entry(start) for start in self.schedule.starts],
            "start_note": self._start_note(),
            "learned_start": self._starts_learned(),
            "learned": places.fresh("learned_start"),
            "end": places.fresh("end"), "together": together, "record": places.fresh("kept"),
            "previous": unpacked([places.previous[name] for name in graph.states]),
            "state_shapes": as_tuple(f'"{told(graph.shapes[name], self.B)}"' for name in graph.states),
            "output_shapes": as_tuple(f'"{told(graph.shapes[name], self.T, self.B)}"' for name in graph.outputs),
            "ends": [f"{places.every(name)}[-1].copy()" for name in graph.states],
            "outputs": [Field(name, told(graph.shapes[name], self.T, self.B)) for name in graph.outputs],
            "outputs_now": [Field(name, told(graph.shapes[name], self.B)) for name in graph.outputs],
            "output_names": list(graph.outputs),
            "states_told": "".join(f"{name} {told(graph.shapes[name], self.B)}, " for name in graph.states),
            "outputs_told": self._outputs_told(),
            "several_outputs": len(graph.outputs) > 1,
            "y": together if len(graph.outputs) > 1 else graph.outputs[0],
        }

    def _start(self, batch: str, dtype: str, sizes: list[str]) -> str:
        """The call that makes the initial state."""
        return f"_start({', '.join([*['params'] * self._starts_learned(), batch, *sizes, dtype])})"

    def _starts_learned(self) -> bool:
        return any(isinstance(start.value, Value) for start in self.schedule.starts)

    def _outputs_told(self) -> str:
        graph, several = self.graph, len(self.graph.outputs) > 1
        return "".join(f"{name + ' ' if several else ''}{told(graph.shapes[name], self.T, self.B)}, "
                       for name in graph.outputs)

    def _state_entry(self, start: Start) -> dict[str, str]:
        shape = self.graph.shapes[start.state]
        batch = axes(shape, "batch")
        if isinstance(start.value, Value):
            code = f'{self.library}.broadcast_to(params["{start.value.name}"], {batch})'
        elif isinstance(start.value, MinusInfinity):
            code = f"{self.library}.full({batch}, -{self.library}.inf, dtype)"
        elif start.value.value == 0:
            code = f"{self.library}.zeros({batch}, dtype)"
        else:
            code = f"{self.library}.full({batch}, {source(start.value)}, dtype)"
        low, high = self._range(start.state)
        return {"name": start.state, "told": told(shape, self.B), "shape": batch, "start": code,
                "check_shape": batch, "low": low, "high": high}

    def _start_note(self) -> str:
        if all(isinstance(start.value, Number) and not start.value.value for start in self.schedule.starts):
            return "None is zero"
        return "None is " + ", ".join(f"{start.state} = {source(start.value)}" for start in self.schedule.starts)

    # ------------------------------------------------------------------ parameters

    def _parameters(self) -> dict[str, object]:
        inits, stored = self._init_lines(), self.schedule.parameters
        kinds = {init for init in map(self._init, self.graph.spec.parameters) if isinstance(init, str)}
        shown = [entry.name for entry in stored] + [*self.graph.inputs, *(f"state.{name}" for name in self.graph.states)]
        return {
            "stored": [_stored_entry(entry) for entry in stored],
            "named": self._named_lines(),
            "inits": inits,
            "inits_random": not kinds.isdisjoint(RANDOM),
            "init_helpers": [template_text(f"numpy/helpers/init_{kind}.py").rstrip() for kind in sorted(kinds)],
            "ranges": self._range_lines(),
            "name_width": max(map(len, shown)),
        }

    def _named_lines(self) -> list[str]:
        where = {}
        for entry in self.schedule.parameters:
            for member in entry.members:
                rows_of_it = ""
                if entry.is_stacked:
                    high = member.first + member.shape[0]
                    rows_of_it = f"[{size(member.first, tight=True)}:{size(high, tight=True)}]"
                where[member.name] = f'"{member.name}": params["{entry.name}"]{rows_of_it},'
        return [where[name] for name in self.graph.parameters]

    def _init_lines(self) -> list[str]:
        """Neighbours that start alike are filled in a loop: in the order of the spec, on which random numbers depend."""
        lines: list[str] = []
        starts = [(parameter.name, self._init(parameter)) for parameter in self.graph.spec.parameters]
        for init, group in groupby((start for start in starts if start[1]), itemgetter(1)):
            names = [f'"{name}"' for name, _ in group]
            view = f"views[{names[0] if len(names) == 1 else 'name'}]"
            if isinstance(init, str):
                self.places.helpers.add(f"init_{init}")
                value = f"_{init}({'rng, ' if init in RANDOM else ''}{view}.shape)"
            else:
                value = source(Number(init))
            line = f"{view}[...] = {value}"
            lines += [line] if len(names) == 1 else [*loop_over(names), f"    {line}"]
        return lines

    def _init(self, parameter: Parameter) -> Fraction | str:
        """What a parameter starts from: a number, or how it is made."""
        if parameter.init is None:
            return "glorot" if len(self.graph.shapes[parameter.name]) > 1 else Fraction(0)
        return parameter.init

    def _range_lines(self) -> list[str]:
        lines = []
        for entry in self.graph.spec.ranges:
            if entry.name in self.graph.parameters:
                low, high = self._range(entry.name)
                view = f'named(params)["{entry.name}"]'
                lines.append(f"{view}[...] = rng.uniform({low}, {high}, {view}.shape)")
        return lines

    # ------------------------------------------------------------------ public functions

    def _signatures(self) -> dict[str, object]:
        graph, y = self.graph, "Outputs" if len(self.graph.outputs) > 1 else "np.ndarray"
        params, state, dstate = "params: Params", "state: State | None = None", "dstate: State | None = None"
        arguments = [f"{name}: np.ndarray" for name in (*graph.inputs, *graph.targets)]
        dy = [] if graph.loss else [f"dy: {y} | None = None"]
        sizes = [f"{keyword}: int" for _, keyword in graph.dims]
        start = ["rng: int | np.random.Generator = 0", "dtype: type = np.float32"]
        nows = [f"{self.places.now[name]}: np.ndarray" for name in graph.inputs]
        first = "float" if graph.loss else y
        return {"signatures": {
            "init_params": definition("init_params", [*sizes, *start], "Params"),
            "forward": definition("forward", [params, *arguments, state], f"tuple[{first}, State, Tape]"),
            "backward": definition("backward", [params, "tape: Tape", *dy, dstate], "Gradients"),
            "step": definition("step", [params, *nows, state], f"tuple[{y}, State]"),
        }}

    # ------------------------------------------------------------------ helpers

    def _helpers(self) -> dict[str, object]:
        """The helper functions that the code calls; asked for last, when all of it is spelled."""
        exact = self.schedule.plan.uses_exact_sigmoid
        needed = set(self.places.helpers)
        if needed & {"softplus", "softsign"} or ("sigmoid" in needed and exact):
            needed.add("abs")
        order = ["abs", *sorted(needed - {"abs"})] if "abs" in needed else sorted(needed)
        files = ["sigmoid_exact" if name == "sigmoid" and exact else name for name in order]
        return {"helpers": [template_text(f"numpy/helpers/{name}.py").rstrip() for name in files]}


def _stored_entry(entry: StoredParameter) -> dict[str, str]:
    names = as_tuple(f'"{dim}"' for dim in entry.shape)
    note = ", ".join(member.name for member in entry.members) if entry.is_stacked else ""
    return {"name": entry.name, "axes": names, "shape": axes(entry.shape), "told": told(entry.shape), "note": note}


def _ascii(text: str) -> str:
    """Text as a docstring may hold it: ASCII, no quotes that end it, no backslash."""
    shown = "".join(c if " " <= c <= "~" and c not in '\\"' else "'" if c == '"' else f"[U+{ord(c):04X}]" for c in text)
    return shown.strip() or "cell"
