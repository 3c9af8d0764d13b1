"""What concerns two parts of a spec: names, what refers to them, and the dimensions that need no declaration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from ..errors import Place
from ..language import names
from .cell import ArrayConstant, CellSpec, Constant, Declaration, Dimension, Equation, Function, Parameter
from .fields import Fields
from .yamltext import Mapping, word

DEFAULT_DIMS = {"D": "input_size", "H": "hidden_size", "P": "projection_size"}

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


_Item = Declaration | Constant | ArrayConstant | Function | Parameter | Equation


class Check:
    """Checks that concern two parts of a spec."""

    def __init__(self, spec: CellSpec, fields: Fields, root: Mapping):
        self._spec, self._wrong, self._root = spec, fields.wrong, root
        self._stages = {equation.name for equation in spec.equations}
        self._states = {state.name for state in spec.states}

    def run(self) -> None:
        self._names_are_unique()
        self._loss()
        if not self._stages:
            return  # every other message would only follow from the missing equations
        self._states_are_computed()
        self._outputs_are_stages()
        self._initial_values()
        self._ranges()

    def _names_are_unique(self) -> None:
        seen: dict[str, tuple[str, Place]] = {}
        for what, name, place in sorted(declared(self._spec), key=lambda item: item.place):
            if name not in seen:
                seen[name] = what, place
                continue
            other, first = seen[name]
            unwritten = other == "an input" and "inputs" not in self._root
            where = f" in line {first.line}" if first.line != place.line and not unwritten else ""
            message = f"'{name}' is already {other}{where}, and cannot be {what} as well"
            cure = "the default of 'inputs' is {x: D}" if unwritten else "rename one of them"
            self._wrong(place, message, cure)

    def _states_are_computed(self) -> None:
        for state in self._spec.states:
            if state.name not in self._stages:
                near = names.nearest(state.name, self._stages - self._states)
                cure = f"add an equation '{state.name}: ...'"
                self._wrong(
                    state.place,
                    f"the state '{state.name}' is never computed: it has no equation",
                    f"{cure}, or did you mean '{near}'?" if near else cure,
                )

    def _outputs_are_stages(self) -> None:
        seen = set()
        for output in self._spec.outputs:
            if output.name not in self._stages:
                cure = names.did_you_mean(output.name, self._stages)
                message = f"the output '{output.name}' is not a stage: no equation computes it"
                self._wrong(output.place, message, cure or "name one of the equations")
            elif output.name in seen:
                self._wrong(output.place, f"the output '{output.name}' is given twice", "keep one of them")
            seen.add(output.name)

    def _initial_values(self) -> None:
        parameters = {parameter.name for parameter in self._spec.parameters}
        for initial in self._spec.initial:
            if initial.state not in self._states:
                cure = names.did_you_mean(initial.state, self._states)
                self._wrong(initial.place, f"'{initial.state}' is not a state", cure)
            elif isinstance(initial.start, str) and initial.start not in parameters:
                cure = names.did_you_mean(initial.start, parameters) or "declare it in 'parameters'"
                self._wrong(initial.start_place, f"there is no parameter '{initial.start}'", cure)

    def _ranges(self) -> None:
        known = {item.name for item in self._spec.declared}
        for item in self._spec.ranges:
            if item.name not in known:
                cure = names.did_you_mean(item.name, known)
                self._wrong(item.place, f"'{item.name}' is not a state, input, target or parameter", cure)

    def _loss(self) -> None:
        """Targets and `loss_at` need a loss."""
        if "loss" in self._root and word(self._root["loss"]) != "none":
            return
        for key in ("targets", "loss_at"):
            if key in self._root:
                place = self._root.key(key).place
                self._wrong(place, f"there is '{key}' without a loss", "add 'loss: ...', or remove it")


class Declared(NamedTuple):
    what: str  # with its article
    name: str
    place: Place


def declared(spec: CellSpec) -> Iterator[Declared]:
    """Every declared name. A state is declared by its equation."""
    stages = {equation.name for equation in spec.equations}
    for dimension in spec.dims:
        yield Declared("a dimension", dimension.symbol, dimension.place)
    categories: tuple[tuple[str, tuple[_Item, ...]], ...] = (
        ("an input", spec.inputs),
        ("a target", spec.targets),
        ("a constant", spec.constants),
        ("a constant", spec.arrays),
        ("a function", spec.functions),
        ("a parameter", spec.parameters),
        ("the name of an equation", spec.equations),
        ("a state", tuple(state for state in spec.states if state.name not in stages)),
    )
    for what, items in categories:
        for item in items:
            yield Declared(what, item.name, item.place)


def with_default_dims(spec: CellSpec) -> CellSpec:
    """Add D, H and P if the spec uses them and declares nothing of that name."""
    taken = {item.name for item in declared(spec)} | {state.name for state in spec.states}
    keywords = {dimension.keyword for dimension in spec.dims}
    used = _words(spec)
    defaults = tuple(
        Dimension(symbol, default, Place(1, 1))
        for symbol, default in DEFAULT_DIMS.items()
        if symbol in used and symbol not in taken and default not in keywords
    )
    return replace(spec, dims=(*defaults, *spec.dims))


def _words(spec: CellSpec) -> set[str]:
    """The words of every text that may contain the symbol of a dimension."""
    texts = [axis for item in spec.declared for axis in item.shape]
    texts += [equation.body for equation in spec.equations]
    texts += [function.body for function in spec.functions]
    if spec.loss is not None:
        texts.append(spec.loss)
    return {each for text in texts for each in _WORD.findall(text.value)}
