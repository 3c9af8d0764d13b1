"""From a schedule to the text of NAME_torch.py.

`_forward` and `_backward` are lists of lines; the template holds everything that is the same for every cell.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import groupby
from operator import itemgetter

from ... import __version__
from ...language.expressions import MinusInfinity, Number, Value
from ...language.text import source
from ...schedule.lowering import make_program
from ...schedule.make import make_schedule
from ...schedule.plan import LAST, STILL
from ...schedule.records import ARGUMENT, PARAMETER, Schedule, SizeSource, Start
from ...spec.cell import Parameter
from ..numpy.lines import Line, as_tuple, axes, layout, loop_over, size, solved, told, unpacked
from ..numpy.module import RANDOM, module_context
from ..identity import identity
from ..render import render, template_text
from .backward import BackwardPrinter
from .forward import forward_lines, step_lines
from .places import TorchPlaces
from .workspace import workspace_lines

_ABBREVIATIONS = {"lstm", "gru", "rnn"}  # in capitals, as in torch.nn
_TAKEN = {"State", "Outputs", "Layer", "Cell", "NamedTuple", "LayerCell"}


def torch_source(schedule: Schedule, verified: bool, checkpoint: int | None = None) -> str:
    """The text of the file. `verified` says whether its header has to warn; `checkpoint` is that of the C target."""
    program = make_program(make_schedule(schedule.derivation, joint=False))
    return render("torch/module.py.jinja", {
        **module_context(schedule), **_Module(schedule).context(), "version": __version__, "verified": verified,
        "identity": identity(schedule), "workspace": workspace_lines(program, checkpoint),
    })


class _Module:
    """Everything that the template asks for, beside what the NumPy module's has."""

    def __init__(self, schedule: Schedule):
        self.schedule, self.graph = schedule, schedule.graph
        self.places = TorchPlaces(schedule)

    def context(self) -> dict[str, object]:
        return {
            **self._names(), **self._options(), **self._code(), **self._shapes(), **self._starts(),
            "inits": self._inits(), "helpers": self._helpers(),
        }

    def _names(self) -> dict[str, object]:
        parts = self.graph.spec.name.split("_")
        layer = "".join(part.upper() if part.lower() in _ABBREVIATIONS else part[:1].upper() + part[1:] for part in parts)
        layer += "Layer" * (layer in _TAKEN)
        return {
            "layer": layer, "cell": f"{layer}Cell", "torch": self.places.package,
            "like": self.places.like, "keys": _quoted(entry.name for entry in self.schedule.parameters),
            "keywords": _quoted(keyword for _, keyword in self.graph.dims),
            "input_keys": _quoted(self.graph.inputs), "target_keys": _quoted(self.graph.targets),
            "starts_learned": any(isinstance(start.value, Value) for start in self.schedule.starts),
        }

    def _options(self) -> dict[str, object]:
        """The arguments of a layer beside its sizes and inputs, and what it can do."""
        graph = self.graph
        keywords, arguments = {keyword for _, keyword in graph.dims}, {*graph.inputs, *graph.targets}
        names = ("num_layers", "batch_first", "dropout", "bidirectional", "device", "generator")
        opt = {name: name + "_" * (name in keywords) for name in names}
        opt |= {name: name + "_" * (name in arguments) for name in ("lengths", "is_init")}
        outputs, read = [graph.shapes[name] for name in graph.outputs], graph.shapes[graph.inputs[0]]
        one_direction = "it gives a loss" if graph.loss else "an output of it is no vector" * any(
            len(shape) != 1 for shape in outputs)
        is_symbol = len(read) == 1 and read[0].symbol
        no_layers = (
            "it has several inputs" if len(graph.inputs) > 1 else "it has several outputs" if len(outputs) > 1
            else one_direction or ("" if is_symbol else "its input is no vector of a size of its own"))
        found = {
            "opt": opt, "why_no_layers": no_layers, "why_one_direction": one_direction, "stackable": not no_layers,
            "keywords_held": as_tuple(keyword for _, keyword in graph.dims),
            "told_alone": {name: told(graph.shapes[name], self.places.T) for name in arguments},
            "told_single": {name: told(graph.shapes[name]) for name in arguments},
        }
        if not no_layers:
            width = size(outputs[0][0])
            above = f"directions * {f'({width})' if ' ' in width else width}"
            found["above"] = as_tuple(above if symbol == read[0].symbol else symbol for symbol, _ in graph.dims)
            found["shapes_of_states"] = as_tuple(axes(graph.shapes[state]) for state in graph.states)
        return found

    def _code(self) -> dict[str, object]:
        schedule, places = self.schedule, self.places
        printer = BackwardPrinter(places)
        forward, backward = forward_lines(places), printer.lines()
        gradients = printer.parameter_lines()
        kept, loss = places.kept(), self.graph.loss
        here = {each.stored.name for each in schedule.backward.parameters if printer.is_here(each)}
        return {
            "kept": as_tuple(kept), "kept_left": unpacked(kept), "kept_count": len(kept),
            "forward": layout(forward, 4), "backward": layout([*self._views(), *backward], 4),
            "forward_parameters": schedule.read_forward,
            "backward_parameters": [name for name in schedule.read_backward if name in here],
            "step": layout(step_lines(places), 4), "single_parameters": schedule.read_step,
            "gradients": layout(gradients, 8),
            "with_gradient": _quoted(entry.name for entry in schedule.parameters if entry.name in here),
            "inputs_sent": as_tuple(f"d_{name}" for name in self.graph.inputs),
            "carried": [places.next[state] for state in self.graph.states],
            "end": places.end if schedule.forward.loop else "State()",
            "loss_code": f"{loss}.sum()" if loss else "",
        }

    def _views(self) -> list[Line]:
        """Names for the states of the tape, at each step and one step earlier."""
        lines = []
        for entry in self.schedule.tape:
            if entry.name in self.graph.states:
                every, before = self.places.every(entry.name), self.places.previous[entry.name]
                told = f"{before}[t] is {entry.name} one step earlier" if entry.lag else ""
                lines.append(Line(f"{before} = {every}[:-1]" if entry.lag else f"{entry.name} = {every}[1:]", told))
        return lines

    # ------------------------------------------------------------------ sizes and shapes

    def _shapes(self) -> dict[str, object]:
        graph, sizes, T, B = self.graph, self.schedule.sizes, self.places.T, self.places.B
        found = (*sizes.from_parameters, *sizes.from_arguments, *sizes.from_states)
        shapes = {self.places.every(state): axes(graph.shapes[state], f"{T} + 1", B) for state in graph.states}
        for stage in graph.stages:
            phase = self.schedule.plan.phases[stage.name]
            shapes.setdefault(stage.name, axes(stage.shape, *{STILL: (), LAST: (B,)}.get(phase, (T, B))))
        known = [each.symbol for each in found]
        outputs = [axes(graph.shapes[name], T, B) for name in graph.outputs]
        states = [axes(graph.shapes[name], B) for name in graph.states]
        kept = [shapes[name] for name in self.places.kept()]
        of_step = (*sizes.from_parameters, *sizes.from_inputs, *sizes.from_states_of_step)
        arguments, targets = len(self.schedule.parameters), len(graph.inputs)
        state = arguments + targets + len(graph.targets)
        at = {"arguments": arguments, "targets": arguments + targets, "state": state, "tape": state + len(states),
              "outside": state + len(states) + len(kept)}
        here = sum(map(BackwardPrinter.is_here, self.schedule.backward.parameters))
        return {
            "at": at, "dims_held": as_tuple(symbol for symbol, _ in graph.dims), "c_at": {
                "outputs": f"{1 + len(states)}:{1 + len(states) + len(outputs)}" if graph.loss else f":{len(outputs)}",
                "end": f"1:{1 + len(states)}" if graph.loss else f"{len(outputs)}:{len(outputs) + len(states)}"},
            "outside_count": len(states) + (1 if graph.loss else len(outputs)),
            "tape_at": len(states) + len(outputs) + bool(graph.loss),
            "forward_shapes": [*(["()", *states, *outputs] if graph.loss else [*outputs, *states]), *kept],
            "backward_count": here + len(graph.inputs) + len(states),
            "step_size_lines": [f"{B} = {self.places.now[graph.inputs[0]]}.shape[0]",
                                *(f"{each.symbol} = {self._read(each, single=True)}" for each in of_step)],
            "step_knows_all": len(of_step) == len(graph.dims),
            "needs_state": " and ".join(each.symbol for each in sizes.from_states),
            "needs_state_of_step": " and ".join(each.symbol for each in sizes.from_states_of_step),
            "size_lines_of_parameters": [f"{each.symbol} = {self._read(each)}" for each in sizes.from_parameters],
            "size_lines": [f"{each.symbol} = {self._read(each)}" for each in found],
            "sizes_left": ", ".join([T, B, *known]),
            "input_shapes": {name: axes(graph.shapes[name], T, B) for name in (*graph.inputs, *graph.targets)},
            "now_shapes": {name: axes(graph.shapes[name], B) for name in (*graph.inputs, *graph.targets)},
        }

    def _read(self, found: SizeSource, single: bool = False) -> str:
        """A size read off an axis: `(x.shape[2] - H) // 2`."""
        if found.kind == PARAMETER:
            code = f'params["{found.array}"].shape[{found.axis}]'
        elif found.kind == ARGUMENT and single:
            code = f"{self.places.now[found.array]}.shape[{found.axis + 1}]"
        elif found.kind == ARGUMENT:
            code = f"{found.array}.shape[{found.axis + 2}]"
        else:
            code = f"state.{found.array}.shape[{found.axis + 1}]"
        return solved(code, found)

    # ------------------------------------------------------------------ where states and parameters start

    def _starts(self) -> dict[str, object]:
        return {"starts": [{"name": start.state, "code": self._start(start)} for start in self.schedule.starts]}

    def _start(self, start: Start) -> str:
        shape = axes(self.graph.shapes[start.state], "batch")
        if isinstance(start.value, Value):
            return f'params["{start.value.name}"].expand({shape})'
        if isinstance(start.value, MinusInfinity):
            return f"like.new_full({shape}, -torch.inf)"
        return f"like.new_zeros({shape})" if start.value.value == 0 else f"like.new_full({shape}, {source(start.value)})"

    def _inits(self) -> list[str]:
        """Neighbours that start alike are filled in a loop."""
        lines: list[str] = []
        starts = [(parameter.name, self._init(parameter)) for parameter in self.graph.spec.parameters]
        for init, group in groupby((start for start in starts if start[1]), itemgetter(1)):
            names = [f'"{name}"' for name, _ in group]
            view = f"views[{names[0] if len(names) == 1 else 'name'}]"
            if isinstance(init, str):
                self.places.helpers.add(f"init_{init}")
                line = f"_{init}({view}{', generator' if init in RANDOM else ''})"
            else:
                line = f"{view}.fill_({source(Number(init))})"
            lines += [line] if len(names) == 1 else [*loop_over(names), f"    {line}"]
        return lines

    def _init(self, parameter: Parameter) -> Fraction | str:
        """What a parameter starts from: a number, or how it is made."""
        if parameter.init is None:
            return "glorot" if len(self.graph.shapes[parameter.name]) > 1 else Fraction(0)
        return parameter.init

    def _helpers(self) -> list[str]:
        """The helper functions that the code calls; asked for last, when all of it is spelled."""
        return [template_text(f"torch/helpers/{name}.py").rstrip() for name in sorted(self.places.helpers)]


def _quoted(names: Iterable[str]) -> str:
    """A tuple of names as code."""
    return as_tuple(f'"{name}"' for name in names)
