"""From a schedule to the text of the JAX module.

`_forward`, `_backward` and `step` are lists of lines; the template holds everything that is the same for every cell.
"""

from __future__ import annotations

from ... import __version__
from ...language.expressions import Number
from ...language.text import source
from ...schedule.records import Schedule, StoredParameter
from ..numpy.lines import Line, axes, layout, rows
from ..numpy.module import RANDOM, ModuleContext
from ..render import render, template_text
from .backward import BackwardPrinter
from .forward import forward_lines, step_lines
from .places import JaxPlaces
from .spelling import DTYPE


def module_source(schedule: Schedule, verified: bool) -> str:
    """The text of the module. `verified` says whether its header has to warn."""
    context = _Context(schedule).context()
    return render("jax/module.py.jinja", {**context, "version": __version__, "verified": verified})


class _Context(ModuleContext):
    """Everything that the template asks for."""

    places: JaxPlaces
    library = "jnp"

    def __init__(self, schedule: Schedule):
        super().__init__(schedule, None, JaxPlaces(schedule))

    # --- code

    def _code(self) -> dict[str, object]:
        schedule, places, graph = self.schedule, self.places, self.graph
        kept = dict.fromkeys(places.own(entry.name) for entry in schedule.tape)
        printer = BackwardPrinter(places, "state")
        return {
            "started": places.start,
            "kept_rows": rows(["params", "state", *kept]),
            **self._function("forward", forward_lines(places), schedule.read_forward),
            **self._function("single", step_lines(places), schedule.read_step),
            **self._function("backward", printer.lines() + [Line("grads = {")], schedule.read_backward, printer),
            "previous_states": [places.previous[state] for state in graph.states],
            "own_states": [places.own(state) for state in graph.states],
            "own_outputs": [places.own(output) for output in graph.outputs],
            "own_inputs": [places.own(name) for name in graph.inputs],
            "own_arguments": [places.own(name) for name in (*graph.inputs, *graph.targets)],
            "now_inputs": [places.now[name] for name in graph.inputs],
            "carried": [places.next[state] for state in graph.states],
            "d_inputs": [f"d_{name}" for name in graph.inputs],
            "own_loss": places.own(graph.loss) if graph.loss else "",
            "given": places.fresh("given"), "last": places.fresh("end", "end"), "sizes_held": places.fresh("sizes"),
            "residuals": places.fresh("kept"),
        }

    def _function(self, name: str, lines: list[Line], parameters: tuple[str, ...],
                  printer: BackwardPrinter | None = None) -> dict[str, object]:
        """The lines of one function; the parameters that it reads, and whether it asks for the type."""
        text = _laid_out(lines, 4)
        if printer is not None:
            text += [*_laid_out(printer.parameter_lines(), 8), "    }"]
        asks = DTYPE in self.places.helpers
        self.places.helpers.discard(DTYPE)
        read = [{"name": self.places.own(each), "key": each} for each in parameters]
        return {f"{name}_lines": text, f"{name}_parameters": read, f"{name}_dtype": asks}

    # --- parameters

    def _parameters(self) -> dict[str, object]:
        names = {name for dim in self.graph.dims for name in dim}
        key, keys = (next(name for name in (wanted, wanted + "_", wanted + "__") if name not in names)
                     for wanted in ("key", "keys"))
        lines, drawn = [], 0
        for parameter in self.graph.spec.parameters:
            shape = axes(self.graph.shapes[parameter.name])
            init = self._init(parameter)
            if init in RANDOM:
                value = f"_{init}({keys}[{drawn}], {shape}, dtype)"
                drawn += 1
            elif isinstance(init, str):
                value = f"_{init}({shape}, dtype)"
            elif init:
                value = f"jnp.full({shape}, {source(Number(init))}, dtype)"
            else:
                value = f"jnp.zeros({shape}, dtype)"
            if isinstance(init, str):
                self.places.helpers.add(f"init_{init}")
            lines.append(f'"{parameter.name}": {value},')
        return {
            **super()._parameters(), "key": key, "keys": keys, "inits": lines, "drawn": drawn,
            "joined": [_joined(entry) for entry in self.schedule.parameters],
        }

    def _init_lines(self) -> list[str]:
        return []

    # --- helpers

    def _helpers(self) -> dict[str, object]:
        files = sorted(self.places.helpers)
        return {"helpers": [template_text(f"jax/helpers/{name}.py").rstrip() for name in files]}


def _joined(entry: StoredParameter) -> str:
    """A stored array, made of the parameters of the spec."""
    values = [f'values["{member.name}"]' for member in entry.members]
    value = f"jnp.concatenate([{', '.join(values)}])" if entry.is_stacked else f"jnp.asarray({values[0]})"
    return f'"{entry.name}": {value},'


def _laid_out(lines: list[Line], indent: int) -> list[str]:
    """Lines with their comments, without a blank one after another."""
    found: list[str] = []
    for line in layout(lines, indent):
        if line.strip() or (found and found[-1]):
            found.append(line.rstrip())
    return found
