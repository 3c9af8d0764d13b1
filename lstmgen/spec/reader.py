"""The file of a spec -> `CellSpec`: everything in it that is not mathematics.

Keys, types, names, numbers and limits are checked here, all in one pass, so that all errors are shown together. Equations
and shapes stay text; `derivation/reading.py` reads them.
"""

from __future__ import annotations

import keyword
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ..errors import Mistakes, Text
from ..language import functions, names
from . import switches
from .cell import (
    MINUS_INFINITY, NO_FILE, ArrayConstant, CellSpec, Constant, Declaration, Dimension, Equation, Function, Initial, Named,
    Parameter, Range,
)
from .consistency import Check, with_default_dims
from .fields import Fields
from .switches import Equations
from .yamltext import Mapping, Node, Scalar, Sequence, describe, parse, read_file, unify, word

NOTATIONS = ("greff", "ng", "hats", "colah", "graves")
INITS = ("uniform", "glorot", "orthogonal", "identity")

MAX_EQUATIONS = 1000
MAX_PARAMETERS = 1000
MAX_ENTRIES = 1024  # of a constant vector or matrix
MAX_DIMS = 20  # the proofs give each of them a different size
MAX_TITLE = 200
MAX_DESCRIPTION = 4000
MAX_REFERENCE = 500
MAX_SYMBOL = 100

HEAD = ("name", "title", "description", "references", "group", "notation")
SHARED = ("dims", "range", "initial", "targets", "loss", "loss_at")  # in both forms
BODY = ("inputs", "state", "constants", "functions", "parameters", "equations", "output")
REQUIRED = ("state", "equations", "output")


def load(source: Path | str) -> CellSpec:
    """The cell of a spec: `source` is a path, or the text itself.

    A string is a path if it is one line and names a file or ends in .yaml or .yml.
    """
    if isinstance(source, Path):
        return _load_file(source)
    if not isinstance(source, str):
        raise TypeError(f"a spec is a path or a text, and this is a {type(source).__name__}")
    return _load_file(Path(source)) if _names_a_file(source) else read(source, NO_FILE)


def read(text: str, path: str) -> CellSpec:
    """The cell of a spec's text; `path` is for error messages."""
    text = unify(text)
    root = parse(text, path)
    mistakes = Mistakes(path, text)
    if not isinstance(root, Mapping):
        message = f"a spec must be a mapping, not {describe(root)}"
        raise mistakes.fatal(root.place, message, "begin with 'name: ...'")
    if "claims" in root:
        raise mistakes.fatal(root.place, "this is a file of claims, not a spec", "'lstmgen audit' reads it")
    spec = _Reader(root, Fields(mistakes)).spec(path, text)
    mistakes.stop()
    return spec


def _names_a_file(source: str) -> bool:
    if "\n" in source or "\r" in source:
        return False
    try:
        return source.endswith((".yaml", ".yml")) or Path(source).is_file()
    except (OSError, ValueError):  # too long for a path, or a NUL in it
        return False


def _load_file(path: Path) -> CellSpec:
    return read(read_file(path), str(path))


class _Reader:
    """Reads the root mapping of a spec, key by key, and records mistakes."""

    def __init__(self, root: Mapping, fields: Fields):
        self._root, self._fields, self._wrong = root, fields, fields.wrong

    def spec(self, path: str, source: str) -> CellSpec:
        """Everything, in the order of the records."""
        name = self._name()
        from_switches = self._form()
        body = self._switch_body() if from_switches else self._equation_body()
        targets, loss = self._declarations("targets", "a target"), self._loss()
        constants = self._constants()
        if loss is not None and loss.value == "squared_error":
            targets, loss = self._squared_error(body, targets, loss)
        spec = CellSpec(
            path=path,
            source=source,
            name=name,
            title=self._prose("title", MAX_TITLE) or _title(name),
            description=self._prose("description", MAX_DESCRIPTION),
            references=self._references(),
            group=self._prose("group", MAX_TITLE),
            notation=self._notation(),
            dims=self._dims(),
            inputs=self._inputs(),
            states=body.states,
            constants=tuple(item for item in constants if isinstance(item, Constant)),
            arrays=tuple(item for item in constants if isinstance(item, ArrayConstant)),
            functions=self._functions(),
            parameters=body.parameters,
            equations=body.equations,
            outputs=body.outputs,
            initial=self._initial(),
            targets=targets,
            loss=loss,
            loss_at=self._loss_at(),
            ranges=self._ranges(),
            variant=body.variant,
        )
        if from_switches:
            spec = self._with_learned_states(spec)
        spec = with_default_dims(spec)
        Check(spec, self._fields, self._root).run()
        return spec

    # -- which form

    def _form(self) -> bool:
        """Whether the spec is one of switches. Records an error for keys that its form does not have."""
        if "cell" not in self._root:
            self._equation_keys()
            return False
        self._switch_keys()
        return True

    def _equation_keys(self) -> None:
        for key, _ in self._root.items:
            if key.value in switches.ALL_SWITCHES:
                message = f"'{key.value}' is a switch, and switches belong to 'cell'"
                self._wrong(key.place, message, "add 'cell: lstm', or write the equations out")
        self._unknown_keys((*HEAD, *SHARED, *BODY), switches.ALL_SWITCHES)
        missing = [key for key in REQUIRED if key not in self._root]
        if missing == list(REQUIRED):
            self._wrong(
                self._root.place,
                "the spec describes no cell: it has neither 'equations' nor 'cell'",
                "add state, equations and output, or 'cell: lstm'",
            )
            return
        for absent in missing:
            self._wrong(self._root.place, f"the key '{absent}' is missing", f"add '{absent}: ...'")

    def _switch_keys(self) -> None:
        cell = word(self._root["cell"])
        own = switches.SWITCHES.get(cell, switches.ALL_SWITCHES)
        for key, _ in self._root.items:
            if key.value in switches.ALL_SWITCHES and key.value not in own:
                message = f"'{key.value}' is not a switch of {cell}"
                self._wrong(key.place, message, f"{cell} takes {', '.join(own)}")
        self._unknown_keys((*HEAD, *SHARED, *BODY, "cell", *own), switches.ALL_SWITCHES)

    def _unknown_keys(self, known: tuple[str, ...], answered: tuple[str, ...]) -> None:
        """Record an error for keys of neither form. `answered` have their error already."""
        for key, _ in self._root.items:
            if key.value not in known and key.value not in answered:
                cure = names.did_you_mean(key.value, (*known, *answered, "cell"))
                self._wrong(key.place, f"unknown key '{key.value}'", cure or "remove it")

    # -- the head

    def _name(self) -> str:
        if "name" not in self._root:
            self._wrong(self._root.place, "the key 'name' is missing", "add 'name: my_cell'")
            return ""
        node = self._root["name"]
        if not isinstance(node, Scalar) or node.kind != "text":
            self._fields.unexpected(node, "'name'", "a name")
            return ""
        objection = _objection_to_module(node.value)
        if objection:
            self._wrong(node.place, f"'{node.value}' {objection}", names.cure_for(node.value))
        return node.value

    def _prose(self, key: str, longest: int) -> str:
        if key not in self._root:
            return ""
        return self._fields.prose(self._root[key], f"'{key}'", longest) or ""

    def _references(self) -> tuple[str, ...]:
        if "references" not in self._root:
            return ()

        def reference(node: Node, what: str) -> str | None:
            return self._fields.prose(node, what, MAX_REFERENCE)

        return self._fields.list_of(self._root["references"], "a reference", reference)

    def _notation(self) -> str | tuple[tuple[str, str], ...]:
        node = self._root.get("notation")
        if node is None:
            return ()  # the spec's own names
        if not isinstance(node, Mapping):
            return self._fields.choice(node, "'notation'", NOTATIONS) or ()
        pairs = [(key.value, self._fields.prose(value, "a symbol", MAX_SYMBOL)) for key, value in node.items]
        return tuple((name, symbol) for name, symbol in pairs if symbol is not None)

    # -- the two forms of the body

    def _switch_body(self) -> Equations:
        cell = self._fields.choice(self._root["cell"], "'cell'", switches.CELLS)
        if cell is None:
            return Equations((), (), (), ())
        made = switches.read_switches(self._root, cell, self._fields)
        if not any(key in self._root for key in BODY):
            return made
        return switches.joined(made, self._equation_body(), word(self._root["loss"]) if "loss" in self._root else "")

    def _equation_body(self) -> Equations:
        outputs: tuple[Named, ...] = ()
        if "output" in self._root:
            node = self._root["output"]
            outputs = self._fields.list_of(node, "an output", self._fields.mention)
            if not outputs and isinstance(node, Sequence):
                self._wrong(node.place, "'output' names nothing", "name a stage")
        states = self._declarations("state", "a state")
        return Equations(states, self._parameters(), self._equations(), outputs)

    def _pairs(self, key: str, example: str, what: str) -> Iterator[tuple[Scalar, str, Node]]:
        """The items of a section: the key, the name that it declares, the value."""
        for node, value in self._section(key, example).items:
            yield node, self._fields.name(node, what), value

    def _section(self, key: str, example: str) -> Mapping:
        """The mapping of a section; an empty one if it is missing."""
        nothing = Mapping((), self._root.place)
        if key not in self._root:
            return nothing
        mapping = self._fields.mapping(self._root[key], f"'{key}'", example)
        if mapping is None:
            return nothing
        if not mapping.items and key in ("inputs", "state", "equations"):
            self._wrong(mapping.place, f"'{key}' is empty", f"write at least one, for example {example}")
        return mapping

    def _declarations(self, key: str, what: str) -> tuple[Declaration, ...]:
        found = []
        for node, name, value in self._pairs(key, "{h: H}", what):
            shape = self._fields.shape(value, f"the shape of '{name}'")
            found.append(Declaration(name, shape or (), node.place))
        return tuple(found)

    def _inputs(self) -> tuple[Declaration, ...]:
        declared = self._declarations("inputs", "an input")
        if "inputs" in self._root and ("cell" not in self._root or any(item.name == "x" for item in declared)):
            return declared
        return (Declaration("x", (Text("D", self._root.place),), self._root.place), *declared)

    def _parameters(self) -> tuple[Parameter, ...]:
        found = []
        for node, name, value in self._pairs("parameters", "{W: [H, D]}", "a parameter"):
            found.append(self._parameter(node, name, value))
        self._limit("parameters", len(found), MAX_PARAMETERS)
        return tuple(found)

    def _parameter(self, node: Scalar, name: str, value: Node) -> Parameter:
        if not isinstance(value, Mapping):
            shape = self._fields.shape(value, f"the shape of '{name}'")
            return Parameter(name, shape or (), node.place)
        self._fields.known_keys(value, ("shape", "init"), f"the parameter '{name}'")
        if "shape" not in value:
            self._wrong(node.place, f"the parameter '{name}' has no shape", "add 'shape: [H]'")
            return Parameter(name, (), node.place)
        shape = self._fields.shape(value["shape"], f"the shape of '{name}'")
        init = self._init(value["init"], f"the init of '{name}'") if "init" in value else None
        if init == "identity" and shape is not None and len(shape) < 2:
            self._wrong(value["init"].place, f"'{name}' is not a matrix, and cannot be the identity", "give a number")
        return Parameter(name, shape or (), node.place, init)

    def _init(self, node: Node, what: str) -> Fraction | str | None:
        if isinstance(node, Scalar) and node.kind == "number":
            return self._fields.number(node, what)
        if isinstance(node, Scalar) and node.value in INITS:
            return node.value
        near = names.did_you_mean(node.value, INITS) if isinstance(node, Scalar) else None
        self._fields.unexpected(node, what, f"a number or one of {', '.join(INITS)}", near)
        return None

    def _equations(self) -> tuple[Equation, ...]:
        section = self._section("equations", "{h: tanh(W @ x)}")
        found = []
        for node, body in self._fields.expressions(section, "the equation of"):
            name = self._fields.name(node, "a stage")
            found.append(Equation(name, body or Text("", node.place), node.place))
        self._limit("equations", len(found), MAX_EQUATIONS)
        return tuple(found)

    def _limit(self, key: str, count: int, most: int) -> None:
        if count > most:
            self._wrong(self._root.key(key).place, f"there are {count} {key}, and the limit is {most}")

    # -- the other sections

    def _dims(self) -> tuple[Dimension, ...]:
        found: list[Dimension] = []
        for node, symbol, value in self._pairs("dims", "{H: hidden_size}", "a dimension"):
            if symbol in names.NO_DIMENSION:
                message = f"'{symbol}' is a name that the generated module's checks need beside sizes"
                self._wrong(node.place, message, "choose another symbol; as its keyword the name is free")
            said = self._fields.mention(value, f"the keyword of '{symbol}'")
            if said is None:
                continue
            self._fields.name(Scalar(said.name, said.place), "a keyword")
            if any(said.name == earlier.keyword for earlier in found):
                self._wrong(said.place, f"the keyword '{said.name}' is taken twice", "rename one of them")
            found.append(Dimension(symbol, said.name, node.place))
        self._limit("dims", len(found), MAX_DIMS)
        return tuple(found)

    def _constants(self) -> tuple[Constant | ArrayConstant, ...]:
        found: list[Constant | ArrayConstant] = []
        for node, name, value in self._pairs("constants", "{beta: 0.1}", "a constant"):
            what = f"the constant '{name}'"
            if isinstance(value, Sequence):
                rows = self._rows(value, what)
                if rows is not None:
                    count = len(rows) if isinstance(value.items[0], Sequence) else 0
                    found.append(ArrayConstant(name, tuple(entry for row in rows for entry in row), count, node.place))
                continue
            number = self._fields.number(value, what)
            if number is not None:
                found.append(Constant(name, number, node.place))
        return tuple(found)

    def _rows(self, value: Sequence, what: str) -> list[tuple[Fraction, ...]] | None:
        """The numbers of a vector, which is one row, or of a matrix."""
        nested = any(isinstance(item, Sequence) for item in value.items)
        rows = []
        for row in value.items if nested else (value,):
            if not isinstance(row, Sequence):
                self._fields.unexpected(row, f"a row of {what}", "a list of numbers")
                return None
            read = [self._fields.number(item, f"an entry of {what}") for item in row.items]
            rows.append(tuple(number for number in read if number is not None))
            if len(rows[-1]) < len(read):
                return None
        count = sum(map(len, rows))
        if not count or len(set(map(len, rows))) > 1:
            self._wrong(value.place, f"{what} has rows of {' and '.join(map(str, sorted(set(map(len, rows)))))} numbers",
                        "a vector is [0, 1, 1], a matrix [[1, 0], [0, 1]] with rows of one length")
            return None
        if count > MAX_ENTRIES:
            self._wrong(value.place, f"{what} has {count} entries, and the limit is {MAX_ENTRIES}")
            return None
        return rows

    def _functions(self) -> tuple[Function, ...]:
        found = []
        section = self._section("functions", '{"swish(a)": a * sigmoid(a)}')
        for node, body in self._fields.expressions(section, "the function"):
            head = self._fields.signature(node)
            if head is None or body is None:
                continue
            if head.name in functions.PUBLIC:
                self._wrong(node.place, f"'{head.name}' is a function of the language", "choose another name")
            found.append(Function(head.name, head.arguments, body, node.place))
        return tuple(found)

    def _initial(self) -> tuple[Initial, ...]:
        found = []
        for node, value in self._section("initial", "{c: c_0}").items:
            start = self._start(value, f"the initial value of '{node.value}'")
            if start is not None:
                found.append(Initial(node.value, start, node.place, value.place))
        return tuple(found)

    def _start(self, node: Node, what: str) -> Fraction | float | str | None:
        if word(node) == MINUS_INFINITY:
            return -math.inf
        if isinstance(node, Scalar) and node.kind == "number":
            return self._fields.number(node, what)
        if isinstance(node, Scalar) and node.kind == "text" and names.IDENTIFIER.match(node.value):
            return node.value
        infinite = "inf" in word(node).lower() and "minus infinity is written -inf"
        self._fields.unexpected(node, what, "a number, -inf or a parameter's name", infinite or None)
        return None

    def _ranges(self) -> tuple[Range, ...]:
        found = []
        for node, value in self._section("range", "{n: [0.5, 2]}").items:
            what = f"the range of '{node.value}'"
            if not isinstance(value, Sequence) or len(value.items) != 2:
                self._fields.unexpected(value, what, "a list of two numbers [low, high]")
                continue
            low, high = (self._fields.number(bound, what) for bound in value.items)
            if low is None or high is None:
                continue
            if low >= high:
                self._wrong(value.place, f"{what} is empty", "write the lower bound first")
            found.append(Range(node.value, low, high, node.place))
        return tuple(found)

    def _with_learned_states(self, spec: CellSpec) -> CellSpec:
        """Add the parameters that `initial` names and the switches do not have."""
        known = {parameter.name for parameter in spec.parameters}
        shapes = {state.name: state.shape for state in spec.states}
        learned = []
        for initial in spec.initial:
            if isinstance(initial.start, str) and initial.start not in known and initial.state in shapes:
                self._fields.name(Scalar(initial.start, initial.start_place), "a parameter")
                known.add(initial.start)
                learned.append(Parameter(initial.start, shapes[initial.state], initial.place))
        return replace(spec, parameters=(*spec.parameters, *learned))

    # -- the loss

    def _loss(self) -> Text | None:
        if "loss" not in self._root:
            return None
        loss = self._fields.expression(self._root["loss"], "'loss'")
        return None if loss is None or loss.value == "none" else loss

    def _loss_at(self) -> str:
        if "loss_at" not in self._root:
            return "every"
        return self._fields.choice(self._root["loss_at"], "'loss_at'", ("every", "last")) or "every"

    def _squared_error(
        self, body: Equations, targets: tuple[Declaration, ...], loss: Text
    ) -> tuple[tuple[Declaration, ...], Text]:
        """`squared_error` written out: half the sum of squares of (target - output)."""
        shapes = {state.name: state.shape for state in body.states}
        written_out = "write the loss out, with 'targets'"
        if not body.outputs:  # which is reported already
            return targets, loss
        if len(body.outputs) > 1:
            self._wrong(loss.place, "'squared_error' is for a cell with one output", written_out)
            return targets, loss
        output = body.outputs[0].name
        given = next((target for target in targets if target.name == "target"), None)
        if given is None and output not in shapes:
            self._wrong(
                loss.place,
                f"'squared_error' needs the size of its target: the output '{output}' is not a state",
                f"add 'targets: {{target: ...}}' with the shape of '{output}'",
            )
            return targets, loss
        if given is None:
            given = Declaration("target", shapes[output], loss.place)
            targets = (*targets, given)
        error = f"(target - {output}) ** 2"
        for _ in given.shape:
            error = f"sum({error})"
        return targets, Text(f"0.5 * {error}", loss.place)


def _objection_to_module(name: str) -> str | None:
    """Why a module cannot have this name. (Some names that values cannot have are allowed.)"""
    if not names.IDENTIFIER.match(name):
        return "is not a name: names are ASCII, a letter and then letters, digits or _"
    if len(name) > names.LONGEST:
        return f"is longer than {names.LONGEST} characters"
    if keyword.iskeyword(name):
        return "is a keyword of Python, and names the generated module"
    if name == "numpy" or name in sys.stdlib_module_names:
        return "is a module that the generated one would hide from Python"
    return None


def _title(name: str) -> str:
    """peephole_lstm -> Peephole LSTM."""
    acronyms = ("lstm", "gru", "rnn", "ssm", "mgu")
    words = [each.upper() if each in acronyms else each for each in name.split("_") if each]
    title = " ".join(words)
    return title[:1].upper() + title[1:]
