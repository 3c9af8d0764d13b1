"""From the texts of a spec to expressions whose names are resolved: shapes, equations, functions, the loss."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial

from ..errors import Mistakes, Text
from ..language import functions
from ..language.constants import faults
from ..language.cures import loss_cure
from ..language.effort import Extent, extent
from ..language.expressions import Call, Expression, Number, Size, Value, number, transform, walk
from ..language.names import did_you_mean
from ..language.parse import parse, parse_rule
from ..language.shapes import Shape, describe, read_shape, shape_of
from ..language.text import source
from ..spec.cell import CellSpec, Function
from .limits import DEEPEST, MOST_ENTRIES, MOST_NODES, MOST_NODES_IN_ALL, entries
from .order import circle, sorted_by_need


class Reading:
    """A spec and the tables of its names, with what is found out about them while its texts are read."""

    def __init__(self, spec: CellSpec):
        self.spec = spec
        self.mistakes = Mistakes(spec.path, spec.source)
        self.symbols = {dim.symbol: dim for dim in spec.dims}
        self.functions = {function.name: function for function in spec.functions}
        self.constants = {constant.name: constant for constant in spec.constants}
        self.arrays = {
            array.name: Call("Array", (number(array.rows), *map(Number, array.entries)))
            for array in spec.arrays
        }
        self.declared = {item.name: item for item in spec.declared}
        self.inputs = {item.name for item in spec.inputs}
        self.states = {item.name for item in spec.states}
        self.parameters = {item.name for item in spec.parameters}
        self.targets = {item.name for item in spec.targets}
        self.equations = {equation.name: equation for equation in spec.equations}
        self.texts = {equation.name: equation.body for equation in spec.equations}
        if spec.loss is not None:
            self.texts[LOSS] = spec.loss
        self.function_bodies: dict[str, Expression] = {}
        self.shapes: dict[str, Shape] = {name: shape_of(array, {}) for name, array in self.arrays.items()}
        self.read: set[str] = set()  # every name that something reads
        self.read_back: set[str] = set()  # states that are read one step later

    def read_shapes(self) -> None:
        used: set[str] = set()
        for item in self.declared.values():
            shape = read_shape(item.shape, self.symbols, self.mistakes)
            if shape is not None and entries(shape) > MOST_ENTRIES:
                self.mistakes.add(item.place, f"'{item.name}' of shape {describe(shape)} has more than {MOST_ENTRIES} "
                                  "entries where every symbol of a size is 4", "declare a dimension for a size that is large")
            elif shape is not None:
                self.shapes[item.name] = shape
                used.update(symbol for dim in shape for symbol in dim.symbols)
        self.used_symbols = used

    def read_bodies(self) -> dict[str, Expression]:
        """Every equation, with its names resolved and the spec's own functions replaced by their bodies."""
        for function in self.spec.functions:
            readable: list[Expression] = []
            body = parse(function.body, self.mistakes, self.functions, readable=readable)
            for part in readable:
                self._reads_arguments_alone(function, part)
            if body is not None and self._reads_arguments_alone(function, body):
                self.function_bodies[function.name] = transform(body, partial(self._fixed, function))
        self._refuse_recursion()
        extents = self._extents()
        bodies = {}
        for name, text in self.texts.items():
            readable = []
            expression = parse(text, self.mistakes, self.functions, readable=readable)
            if expression is not None:
                bodies[name] = self._resolve(expression, text, in_loss=name == LOSS)
            for part in readable:
                self._resolve(part, text, in_loss=name == LOSS)
        self._refuse_long(bodies, extents)
        return bodies

    def _reads_arguments_alone(self, function: Function, body: Expression) -> bool:
        """Whether a body reads its arguments, and beside them constants and sizes alone; what else is a mistake."""
        fine = True
        for node in walk(body):
            place = function.body.at(node.at)
            if isinstance(node, Call):
                self.read.add(node.function)
            if not isinstance(node, Value):
                continue
            if node.lag:
                self.mistakes.add(place, f"'{source(node)}' in the function {function.name}", _ALONE)
            elif node.name in function.arguments:
                continue
            elif node.name in self.constants or node.name in self.symbols:
                self.read.add(node.name)
                continue
            else:
                known = [*function.arguments, *self.constants, *self.symbols]
                self.mistakes.add(place, f"{function.name} has no argument '{node.name}'",
                                  did_you_mean(node.name, known) or _ALONE)
            fine = False
        return fine

    def _fixed(self, function: Function, node: Expression) -> Expression | None:
        """A constant or a size in place of its name in the body of a function."""
        if not isinstance(node, Value) or node.name in function.arguments:
            return None
        return Number(self.constants[node.name].value, node.at) if node.name in self.constants else Size(node.name, node.at)

    def _refuse_recursion(self) -> None:
        cycle = circle({name: list(_own_calls(body, self.functions)) for name, body in self.function_bodies.items()})
        if cycle:
            place = self.functions[cycle[0]].place
            self.function_bodies = {}
            raise self.mistakes.fatal(place, f"the functions call each other in a circle: {' -> '.join(cycle)}")

    def _extents(self) -> Callable[[str], Extent | None]:
        """How large each function's body becomes when all functions in it are put in. This is counted, not done."""
        found: dict[str, Extent] = {}

        def known(name: str) -> Extent | None:
            entry = functions.TABLE.get(name)
            if name not in self.functions and isinstance(entry, functions.Macro) and name not in found:
                found[name] = extent(parse_rule(entry.body), known)
            return found.get(name)

        calls = {name: list(_own_calls(body, self.function_bodies)) for name, body in self.function_bodies.items()}
        for name in sorted_by_need(calls):
            found[name] = extent(self.function_bodies[name], known)
            if found[name].depth > DEEPEST:
                raise self.mistakes.fatal(self.functions[name].place, f"'{name}' is nested deeper than {DEEPEST} when the "
                                          "functions that it calls are put in", "use fewer functions")
        return known

    def _refuse_long(self, bodies: Mapping[str, Expression], extents: Callable[[str], Extent | None]) -> None:
        """Refuse what would become too large, before functions are put in: calling the next one twice doubles the size."""
        in_all = 0
        for name, text in self.texts.items():
            if name not in bodies:
                continue
            found = extent(bodies[name], extents)
            what = "the loss" if name == LOSS else f"'{name}'"
            if found.nodes > MOST_NODES:
                raise self.mistakes.fatal(text.place, f"{what} is longer than {MOST_NODES} operations when functions are "
                                          "put in", "write an equation for what is read more than once")
            if found.depth > DEEPEST:
                raise self.mistakes.fatal(text.place, f"{what} is nested deeper than {DEEPEST} when functions are put in",
                                          "write an equation for a part of it")
            in_all += found.nodes
            if in_all > MOST_NODES_IN_ALL:
                raise self.mistakes.fatal(text.place, f"up to {what} the equations are longer than {MOST_NODES_IN_ALL} "
                                          "operations when functions are put in", "split the cell into several")

    def _resolve(self, expression: Expression, text: Text, in_loss: bool) -> Expression:
        """The expression with constants and sizes in place of their names; every other name is checked."""
        def rule(node: Expression) -> Expression | None:
            if isinstance(node, Call) and node.function in self.functions:
                return self._inline(node, text, in_loss)
            if not isinstance(node, Value):
                return None
            return self._name(node, text, in_loss)

        resolved = transform(expression, rule)
        for fault in faults(resolved):
            self.mistakes.add(text.at(fault.at), fault.message)
        return resolved

    def _inline(self, call: Call, text: Text, in_loss: bool) -> Expression:
        """A call of the spec's own function stays a call; its arguments are resolved."""
        function = self.functions[call.function]
        self.read.add(call.function)
        if len(call.arguments) != len(function.arguments):
            self.mistakes.add(text.at(call.at), f"'{call.function}' takes {len(function.arguments)} "
                              f"argument{'s' * (len(function.arguments) != 1)}, found {len(call.arguments)}")
            return call
        return Call(call.function, tuple(self._resolve(argument, text, in_loss) for argument in call.arguments), call.at)

    def _name(self, node: Value, text: Text, in_loss: bool) -> Expression:
        name, place = node.name, text.at(node.at)
        if name in self.constants or name in self.symbols:
            if node.lag:
                self.mistakes.add(place, f"'{source(node)}': {name} does not change over time", f"write {name}")
            self.read.add(name)
            return Number(self.constants[name].value, node.at) if name in self.constants else Size(name, node.at)
        if name in self.arrays:
            if node.lag:
                self.mistakes.add(place, f"'{source(node)}': {name} does not change over time", f"write {name}")
            self.read.add(name)
            return Value(name, 0, node.at)
        if name not in self.declared and name not in self.equations:
            cure = self._cure_loss(name) if in_loss else None
            self.mistakes.add(place, f"there is no '{name}'", cure or self._cure_unknown(name))
            return node
        self.read.add(name)
        if node.lag:
            if name in self.states:
                self.read_back.add(name)
            elif name in self.parameters:
                self.mistakes.add(place, f"'{source(node)}': a parameter does not change over time", f"write {name}")
            else:
                cure = f"make it a state: declare {name} under 'state:'" if name in self.equations else (
                    f"make it a state: add '{name}_old' with the equation '{name}_old: {name}', "
                    f"and read {name}_old[t-1]")
                self.mistakes.add(place, f"'{source(node)}': only a state can be read one step later", cure)
        if name in self.targets and not in_loss:
            self.mistakes.add(place, f"the target '{name}' is read outside of the loss",
                              "declare it under 'inputs:' if the cell may see it")
        return node

    def _cure_loss(self, name: str) -> str | None:
        output = self.spec.outputs[0].name if self.spec.outputs else "h"
        shape = self.shapes.get(output, ())
        return loss_cure(name, output, f"[{', '.join(map(str, shape))}]" if len(shape) != 1 else str(shape[0]))

    def _cure_unknown(self, name: str) -> str | None:
        for ending in ("_prev", "_last", "_old", "_tm1", "_t1", "_t_1", "_t_minus_1"):
            base = name.removesuffix(ending)
            if base != name and base in self.states:
                return f"write {base}[t-1] for the previous step"
        base = name.removesuffix("_t")
        if base != name and base in {*self.declared, *self.equations}:
            return f"write {base}: a name stands for the value at step t" + (
                f", and {base}[t-1] for the step before" if base in self.states else "")
        if name in _NO_NUMBERS:
            return _NO_NUMBERS[name]
        if name == "t":
            return "write the step in brackets after a state, h[t-1]; to use the time itself, count it in a state"
        if name in functions.PUBLIC or name in self.functions:
            return f"'{name}' is a function: write {name}(...)"
        if name.endswith("_pre") and name.removesuffix("_pre") in self.equations:
            return "the argument of a call has no name of its own: write it as an equation"
        return did_you_mean(name, [*self.declared, *self.equations, *self.constants, *self.arrays, *self.symbols])


_NO_NUMBERS = {
    "T": "write transpose(W) for a transpose", "e": "write exp(a) for a power of e", "inf": "numbers are finite",
    "pi": "write the number, 3.141592653589793, or declare it under 'constants:'",
}
_ALONE = "a function reads its arguments, constants that are numbers, and sizes: hand it over as an argument"
LOSS = ""  # the loss among the names of equations: no equation can have this name


def _own_calls(body: Expression, own: Collection[str]) -> Iterator[str]:
    """The names of the spec's own functions that an expression calls."""
    return (node.function for node in walk(body) if isinstance(node, Call) and node.function in own)
