"""The switches of `cell: lstm`, `gru` and `rnn` -> the equations they stand for.

Names and conventions are never changed, because users see them in generated modules. This file knows nothing of the other
keys of a spec.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from ..errors import Place, Text
from ..language import functions
from .cell import Declaration, Equation, Named, Parameter, Variant
from .fields import Fields
from .yamltext import Mapping, Node, Sequence, describe, word

SWITCHES = {
    "lstm": (
        "bias",
        "peepholes",
        "peephole_kind",
        "coupled_gates",
        "gates",
        "activations",
        "gate_recurrence",
        "projection",
        "forget_bias",
    ),
    "gru": ("bias", "reset", "activations"),
    "rnn": ("bias", "activations"),
}
CELLS = tuple(SWITCHES)
_NAME = re.compile(r"[A-Za-z_]\w*")
ALL_SWITCHES = tuple(dict.fromkeys(switch for switches in SWITCHES.values() for switch in switches))

# Which activations a cell has, with their defaults.
ACTIVATIONS = {
    "lstm": {"gate": "sigmoid", "input": "tanh", "output": "tanh"},
    "gru": {"gate": "sigmoid", "candidate": "tanh"},
    "rnn": {"output": "tanh"},
}
GATES = {"input": "i", "forget": "f", "output": "o"}


@dataclass(frozen=True)
class Equations:
    """The part of a spec that switches stand for, or that stands in their place."""

    states: tuple[Declaration, ...]
    parameters: tuple[Parameter, ...]
    equations: tuple[Equation, ...]
    outputs: tuple[Named, ...]
    variant: Variant | None = None  # of switches


def read_switches(root: Mapping, cell: str, fields: Fields) -> Equations:
    """The equations of one of the three cells. `root` may have other keys of a spec, too."""
    place = root["cell"].place
    bias = _switch(root, "bias", True, fields)
    activations = _activations(root, cell, fields)
    if cell == "lstm":
        chosen = _lstm_switches(root, bias, activations, fields)
        return _lstm(chosen, _forget_bias(root, bias and "f" in chosen.gates, fields), place)
    if cell == "gru":
        reset = _word(root, "reset", ("after", "before"), fields)
        return _gru(Variant("gru", bias, tuple(activations.items()), reset == "after"), place)
    return _rnn(Variant("rnn", bias, tuple(activations.items())), place)


def joined(made: Equations, own: Equations, loss: str) -> Equations:
    """The equations that switches made, with those that the spec has beside them.

    An equation or a parameter of the same name takes the place of the one that the switches made. What only replaced
    equations read is no parameter any more.
    """
    replacing = {equation.name: equation for equation in own.equations}
    equations = (*(replacing.pop(equation.name, equation) for equation in made.equations), *replacing.values())
    read = {name for text in (loss, *(each.body.value for each in equations)) for name in _NAME.findall(text)}
    before = {name for each in made.equations for name in _NAME.findall(each.body.value)}
    declared = {parameter.name: parameter for parameter in own.parameters}
    kept = (declared.pop(parameter.name, parameter) for parameter in made.parameters
            if parameter.name in read or parameter.name not in before or parameter.name in declared)
    return Equations(
        (*made.states, *own.states), (*kept, *declared.values()), equations, own.outputs or made.outputs)


# -- what the switches say


def _lstm_switches(root: Mapping, bias: bool, activations: dict[str, str], fields: Fields) -> Variant:
    named = tuple(GATES)
    if "gates" in root:
        named = _gate_names(root["gates"], "'gates'", fields)
    coupled = _switch(root, "coupled_gates", False, fields)
    if coupled and not {"input", "forget"} <= set(named):
        fields.wrong(
            root.key("coupled_gates").place,
            "coupled gates are f = 1 - i, and the input or the forget gate is not among 'gates'",
            "name both in 'gates', or remove 'coupled_gates'",
        )
    gates = tuple(GATES[gate] for gate in GATES if gate in named and not (coupled and gate == "forget"))
    peepholes = _peepholes(root, gates, coupled, fields)
    full = _word(root, "peephole_kind", ("diagonal", "full"), fields) == "full"
    if full and not peepholes:
        place = root.key("peephole_kind").place
        fields.wrong(place, "'peephole_kind: full' without peepholes", "add 'peepholes: true'")
    recurrence = _switch(root, "gate_recurrence", False, fields)
    if recurrence and not gates:
        place = root.key("gate_recurrence").place
        fields.wrong(place, "'gate_recurrence' without a gate", "name one in 'gates'")
    return Variant(
        "lstm",
        bias,
        tuple(activations.items()),
        gates=gates,
        coupled=coupled,
        peepholes=peepholes,
        full_peepholes=full,
        gate_recurrence=recurrence,
        projection=_switch(root, "projection", False, fields),
    )


def _switch(root: Mapping, key: str, default: bool, fields: Fields) -> bool:
    if key not in root:
        return default
    value = fields.boolean(root[key], f"'{key}'")
    return default if value is None else value


def _word(root: Mapping, key: str, choices: tuple[str, ...], fields: Fields) -> str:
    """One of some words; by default the first."""
    chosen = fields.choice(root[key], f"'{key}'", choices) if key in root else None
    return chosen or choices[0]


def _gate_names(node: Node, what: str, fields: Fields) -> tuple[str, ...]:
    if not isinstance(node, Sequence):
        fields.unexpected(node, what, "a list of gates", "for example [input, forget, output]")
        return ()
    gates: list[str] = []
    for item in node.items:
        gate = fields.choice(item, "a gate", GATES)
        if gate in gates:
            fields.wrong(item.place, f"the gate '{gate}' is given twice", "keep one of them")
        elif gate is not None:
            gates.append(gate)
    return tuple(gates)


def _peepholes(root: Mapping, gates: tuple[str, ...], coupled: bool, fields: Fields) -> tuple[str, ...]:
    """The gates with a peephole; `true` means those that exist."""
    if "peepholes" not in root:
        return ()
    node = root["peepholes"]
    if not isinstance(node, Sequence):
        if describe(node) not in ("the boolean true", "the boolean false"):
            fields.unexpected(node, "'peepholes'", "true, false or a list of gates")
        return gates if describe(node) == "the boolean true" else ()
    asked = _gate_names(node, "'peepholes'", fields)
    for item in node.items:
        gate = word(item)
        letter = GATES.get(gate)
        if letter and letter not in gates:
            why = "it is 1 - i" if coupled and letter == "f" else "it is not among 'gates'"
            message = f"there can be no peephole of the {gate} gate: {why}"
            fields.wrong(item.place, message, f"remove '{gate}' from 'peepholes'")
    return tuple(letter for gate, letter in GATES.items() if gate in asked and letter in gates)


def _forget_bias(root: Mapping, exists: bool, fields: Fields) -> Fraction | None:
    if "forget_bias" not in root:
        return None
    value = fields.number(root["forget_bias"], "'forget_bias'")
    if value and not exists:
        fields.wrong(
            root.key("forget_bias").place,
            "'forget_bias' is the initial value of b_f, and this cell has no b_f",
            "remove it, or let the cell have biases and a forget gate of its own",
        )
    return value


def _activations(root: Mapping, cell: str, fields: Fields) -> dict[str, str]:
    chosen = dict(ACTIVATIONS[cell])
    if "activations" not in root:
        return chosen
    mapping = fields.mapping(root["activations"], "'activations'", f"{{{next(iter(chosen))}: relu}}")
    if mapping is None:
        return chosen
    fields.known_keys(mapping, chosen, f"'activations' of {cell}")
    for key, value in mapping.items:
        function = fields.choice(value, "an activation", functions.SCALAR_FUNCTIONS)
        if function is not None and key.value in chosen:
            chosen[key.value] = function
    return chosen


# -- what the switches stand for


class _Writer:
    """Collects equations and parameters, all at the place of the switch they come from."""

    def __init__(self, place: Place):
        self._place = place
        self.parameters: list[Parameter] = []
        self.equations: list[Equation] = []

    def parameter(self, name: str, *axes: str, init: Fraction | None = None) -> None:
        self.parameters.append(Parameter(name, self._shape(axes), self._place, init))

    def equation(self, name: str, body: str) -> None:
        self.equations.append(Equation(name, Text(body, self._place), self._place))

    def finish(self, variant: Variant, **states: str) -> Equations:
        """The whole, given the axis of every state; h is the output."""
        return Equations(
            tuple(Declaration(name, self._shape((axis,)), self._place) for name, axis in states.items()),
            tuple(self.parameters),
            tuple(self.equations),
            (Named("h", self._place),),
            variant,
        )

    def _shape(self, axes: tuple[str, ...]) -> tuple[Text, ...]:
        return tuple(Text(axis, self._place) for axis in axes)


def _apply(function: str, argument: str) -> str:
    return argument if function == "identity" else f"{function}({argument})"


def _lstm(switches: Variant, forget_bias: Fraction | None, place: Place) -> Equations:
    """z, i, f, o read x, h[t-1] and the cell; c = z i + c[t-1] f; h = o tanh(c)."""
    cell = _Writer(place)
    _lstm_parameters(switches, forget_bias, cell)
    activations = dict(switches.activations)
    bodies = {gate: _apply(activations["gate"], _argument(gate, switches)) for gate in switches.gates}
    if switches.coupled:
        bodies["f"] = "1 - i"
    cell.equation("z", _apply(activations["input"], _argument("z", switches)))
    for gate in "if":
        if gate in bodies:
            cell.equation(gate, bodies[gate])
    written = "z * i" if "i" in bodies else "z"
    kept = "c[t-1] * f" if "f" in bodies else "c[t-1]"
    cell.equation("c", f"{written} + {kept}")
    visible = _apply(activations["output"], "c")
    if "o" in bodies:
        cell.equation("o", bodies["o"])
        visible = f"o * {visible}"
    if switches.projection:
        cell.equation("m", visible)
        cell.equation("h", "W_proj @ m")
    else:
        cell.equation("h", visible)
    fed_back = switches.gates if switches.gate_recurrence else ()
    return cell.finish(switches, h=_width(switches), c="H", **dict.fromkeys(fed_back, "H"))


def _width(switches: Variant) -> str:
    """The size of h."""
    return "P" if switches.projection else "H"


def _lstm_parameters(switches: Variant, forget_bias: Fraction | None, cell: _Writer) -> None:
    inner = ("z", *switches.gates)
    for name in inner:
        cell.parameter(f"W_{name}", "H", "D")
    for name in inner:
        cell.parameter(f"R_{name}", "H", _width(switches))
    if switches.gate_recurrence:
        for target in switches.gates:
            for source in switches.gates:
                cell.parameter(f"R_{source}{target}", "H", "H")
    for gate in switches.peepholes:
        if switches.full_peepholes:
            cell.parameter(f"P_{gate}", "H", "H")
        else:
            cell.parameter(f"p_{gate}", "H")
    if switches.bias:
        for name in inner:
            cell.parameter(f"b_{name}", "H", init=forget_bias if name == "f" else None)
    if switches.projection:
        cell.parameter("W_proj", "P", "H")


def _argument(name: str, switches: Variant) -> str:
    """What the gate `name`, or the block input z, is a function of."""
    terms = [f"W_{name} @ x", f"R_{name} @ h[t-1]"]
    if switches.gate_recurrence and name in switches.gates:
        terms += [f"R_{source}{name} @ {source}[t-1]" for source in switches.gates]
    if name in switches.peepholes:
        cell = "c" if name == "o" else "c[t-1]"  # the output gate is computed last and reads the new cell state
        terms.append(f"P_{name} @ {cell}" if switches.full_peepholes else f"p_{name} * {cell}")
    if switches.bias:
        terms.append(f"b_{name}")
    return " + ".join(terms)


def _gru(switches: Variant, place: Place) -> Equations:
    """z weighs the old state, as in PyTorch, Keras and ONNX."""
    cell, activations, bias = _Writer(place), dict(switches.activations), switches.bias
    for name in "rzn":
        cell.parameter(f"W_{name}", "H", "D")
    for name in "rzn":
        cell.parameter(f"R_{name}", "H", "H")
    if bias:
        for name in "rzn":
            cell.parameter(f"b_{name}", "H")
        if switches.reset_after:
            cell.parameter("c_n", "H")
    for gate in "rz":
        argument = f"W_{gate} @ x + R_{gate} @ h[t-1]" + (f" + b_{gate}" if bias else "")
        cell.equation(gate, _apply(activations["gate"], argument))
    if not switches.reset_after:
        recurrent = "R_n @ (r * h[t-1])"
    elif bias:
        recurrent = "r * (R_n @ h[t-1] + c_n)"
    else:
        recurrent = "r * (R_n @ h[t-1])"
    argument = f"W_n @ x + {recurrent}" + (" + b_n" if bias else "")
    cell.equation("n", _apply(activations["candidate"], argument))
    cell.equation("h", "z * h[t-1] + (1 - z) * n")
    return cell.finish(switches, h="H")


def _rnn(switches: Variant, place: Place) -> Equations:
    cell = _Writer(place)
    cell.parameter("W_h", "H", "D")
    cell.parameter("R_h", "H", "H")
    if switches.bias:
        cell.parameter("b_h", "H")
    argument = "W_h @ x + R_h @ h[t-1]" + (" + b_h" if switches.bias else "")
    cell.equation("h", _apply(dict(switches.activations)["output"], argument))
    return cell.finish(switches, h="H")
