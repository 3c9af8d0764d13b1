"""A file of claims -> `Claims`: what somebody says the gradients of a cell are, in our names.

Claims are written in the language of the specs, with what a derivation needs besides:

* `d_NAME`, `dy_NAME`, `NAME_pre` and any of them, or a value, at another step: `[t+1]`, `[t-1]`, or at
  a step by its number, `[1]`, `[T]`, `[T-1]`;
* `sum_t(e)` or `sum_t(e, 1, T-1)`: the sum over the steps;
* `via(d_c, f[t+1])`: the share of a gradient that comes through one reader; `via(d_c, t+1)`: through
  all readers of the next step;
* `partial(c[t+1], c)`: the immediate derivative, the other arguments of that equation held still;
  `total(c[t+1], c)`: the derivative along all paths;
* `diag(v)`, `slice(v, D, D + H)`: the entries from one size to another, and `A @ B` of two matrices.

What is read here is checked for names alone; `case.py` knows shapes and truth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from os.path import isfile
from pathlib import Path

from ..derivation.graph import Graph, build_graph
from ..errors import Mistakes, Place, Text
from ..language.expressions import (
    Adjoint,
    Call,
    Expression,
    Number,
    Outside,
    Size,
    Sum,
    Value,
    number,
    transform,
    walk,
)
from ..language.names import IDENTIFIER, did_you_mean
from ..language.parse import parse
from ..resources import find_spec
from ..spec import yamltext
from ..spec.cell import Equation
from ..spec.fields import Fields
from ..spec.reader import load as load_spec

SUM_T, VIA, PARTIAL, TOTAL, DIAG, SLICE = "sum_t", "via", "partial", "total", "diag", "slice"
FORMS = {SUM_T: (1, 3), VIA: (2, 2), PARTIAL: (2, 2), TOTAL: (2, 2), DIAG: (1, 1), SLICE: (3, 3)}
"""What claims may call besides the functions of the language: fewest and most arguments."""

ABSOLUTE = 1_000_000  # a lag beyond half of it is a step's number plus this
FARTHEST = 3  # steps that a claim may look back or ahead
FEWEST_STEPS, MOST_STEPS, USUAL_STEPS = 2, 8, 4
STEP = "t"  # the reader that stands for a whole step in via(d_c, t+1)

VERDICTS = ("holds", "holds given", "wrong")
_KEYS = ("spec", "source", "names", "steps", "claims")
_NUMBERED = re.compile(r"(?<=[A-Za-z0-9_])\[\s*(?:([0-9]{1,3})|T(?:\s*-\s*([0-9]{1,3}))?)\s*\]")


@dataclass(frozen=True)
class Claim:
    """One equation of a hand-written derivation."""

    name: str  # the left side as it is written
    place: Place
    subject: Expression  # the left side, in the spec's names
    text: str  # the right side as it is written
    said: Expression  # the right side, in the spec's names
    expect: str | None = None  # the verdict that the file says is due
    note: str = ""


@dataclass(frozen=True)
class Claims:
    """A whole file of them."""

    path: str
    spec: str  # the spec's path
    source: str  # where the derivation stands
    graph: Graph
    names: tuple[tuple[str, str], ...]  # (the source's name, ours)
    steps: int  # T
    claims: tuple[Claim, ...]


def load(path: str | Path) -> Claims:
    """Read a file; a `SpecError` with every mistake, each with its place, where it cannot be read."""
    path = Path(path)
    text = yamltext.read_file(path)
    return read(text, str(path), path.parent)


def read(text: str, path: str = "<claims>", folder: Path | None = None) -> Claims:
    """Read a text. `spec:` in it is relative to `folder`, or the name of a packaged spec."""
    return _Reader(text, path, folder or Path()).read()


def is_numbered(expression: Expression) -> bool:
    """Whether it reads a step by its number."""
    return any(getattr(node, "lag", 0) > ABSOLUTE // 2 for node in walk(expression))


def step_of(lag: int, now: int) -> int:
    """The step that a lag leads to from step `now`."""
    return lag - ABSOLUTE if lag > ABSOLUTE // 2 else now + lag


class _Reader:
    def __init__(self, text: str, path: str, folder: Path):
        self.text, self.path, self.folder = text, path, folder
        self.mistakes = Mistakes(path, text)
        self.fields = Fields(self.mistakes)

    def read(self) -> Claims:
        root = yamltext.parse(self.text, self.path)
        file = self.fields.mapping(root, "a file of claims", "'spec: lstm.yaml' and then 'claims:'")
        self.mistakes.stop()
        self.fields.known_keys(file, _KEYS, "a file of claims")
        for key in ("spec", "claims"):
            if key not in file:
                cure = f"a file of claims has {', '.join(_KEYS)}"
                self.mistakes.add(file.place, f"'{key}:' is missing", cure)
        self.mistakes.stop()
        spec = self._spec(file.get("spec"))
        self.graph = build_graph(load_spec(spec))
        self.steps = self._steps(file.get("steps"))
        self.renamed = self._names(file.get("names"))
        self.resolver = Resolver(self.graph, self.renamed, self.steps, self.mistakes)
        self.mistakes.stop()
        source = file.get("source")
        claims = tuple(self._claims(file.get("claims")))
        said = self.fields.prose(source, "source", 2000) if source is not None else ""
        self.mistakes.stop()
        names = tuple(self.renamed.items())
        return Claims(self.path, str(spec), said or "", self.graph, names, self.steps, claims)

    def _spec(self, node) -> Path:
        """The spec's file: beside the claims, or one that comes with lstmgen."""
        if not isinstance(node, yamltext.Scalar) or node.kind != "text":
            self.fields.unexpected(node, "spec", "a file's path or the name of a packaged spec")
            self.mistakes.stop()
        beside = self.folder / node.value
        if isfile(beside):  # of a name that no file can have, Path.is_file raises
            return beside
        packaged = find_spec(Path(node.value).name) if "/" not in node.value else None
        if packaged is None:
            message = f"there is no file '{node.value}' and no packaged spec of that name"
            raise self.mistakes.fatal(node.place, message, "the path is relative to this file")
        return packaged

    def _steps(self, node) -> int:
        if node is None:
            return USUAL_STEPS
        value = self.fields.number(node, "steps")
        if value is None or value.denominator != 1 or not FEWEST_STEPS <= value <= MOST_STEPS:
            if value is not None:
                self.mistakes.add(node.place, f"steps is a whole number from {FEWEST_STEPS} to {MOST_STEPS}")
            return USUAL_STEPS
        return int(value)

    def _names(self, node) -> dict[str, str]:
        if node is None:
            return {}
        mapping = self.fields.mapping(node, "names", "{a: h, Gamma_f: f}")
        found: dict[str, str] = {}
        known = known_names(self.graph)
        for key, value in mapping.items if mapping else ():
            ours = self.fields.mention(value, f"the meaning of '{key.value}'")
            kept = key.value.startswith(("d_", "dy_")) or key.value in (STEP, "T")
            if kept or not IDENTIFIER.match(key.value):
                self.mistakes.add(
                    key.place,
                    f"'{key.value}' cannot be a name in a claim",
                    "names are ASCII letters, digits and _, and d_ is put before them",
                )
            elif ours is not None and ours.name.removesuffix("_pre") not in known:
                cure = did_you_mean(ours.name, known) or "the source's name comes first"
                self.mistakes.add(ours.place, f"the spec has no '{ours.name}'", cure)
            elif ours is not None:
                found[key.value] = ours.name
        return found

    # ------------------------------------------------------------------ claims

    def _claims(self, node):
        pairs = []
        parts = node.items if isinstance(node, yamltext.Sequence) else (node,)
        for part in parts:
            mapping = self.fields.mapping(part, "claims", "'d_o: d_h * tanh(c)'")
            if mapping is not None:
                flow = mapping.flow
                pairs += [(key, value, flow) for key, value in mapping.items]
        if not pairs and not isinstance(node, yamltext.Scalar):
            self.mistakes.add(node.place, "there is no claim", "write one, such as 'd_o: d_h * tanh(c)'")
        for key, value, flow in pairs:
            claim = self._claim(key, value, flow)
            if claim is not None:
                yield claim

    def _claim(self, key: yamltext.Scalar, node, flow: bool) -> Claim | None:
        expect, note = None, ""
        if isinstance(node, yamltext.Mapping):
            self.fields.known_keys(node, ("is", "expect", "note"), "a claim")
            if "is" not in node:
                return self.fields.wrong(node.place, "a claim of this form needs 'is:'", "is: EXPRESSION")
            if "expect" in node:
                expect = self.fields.choice(node.get("expect"), "expect", VERDICTS)
            if "note" in node:
                note = self.fields.prose(node.get("note"), "note", 2000) or ""
            node = node.get("is")
        if flow and isinstance(node, yamltext.Scalar) and node.value.count("(") > node.value.count(")"):
            return self.fields.wrong(
                node.place,
                f"'{key.value}' ends before its bracket is closed",
                "put the whole value in quotes: in braces a comma ends it",
            )
        text = self.fields.expression(node, f"the claim about '{key.value}'")
        subject = self.resolver.read(key.text())
        said = self.resolver.read(text) if text is not None else None
        if subject is None or said is None:
            return None
        if not _is_subject(subject):
            cure = (
                "the left side is a gradient (d_c, sum_t(d_W), via(d_c, h)), a derivative "
                "(partial(c[t+1], c)) or a value"
            )
            return self.fields.wrong(key.place, f"'{key.value}' is nothing that can be claimed", cure)
        return Claim(key.value, key.place, subject, text.value, said, expect, note)


def _is_subject(expression: Expression) -> bool:
    match expression:
        case Value() | Adjoint() | Outside():
            return True
        case Call(function="sum_t", arguments=(Adjoint() | Call(function="via"),)):
            return True
        case Call(function=function):
            return function in (VIA, PARTIAL, TOTAL)
    return False


def known_names(graph: Graph) -> tuple[str, ...]:
    """The names that the spec itself gives."""
    stages = [stage.name for stage in graph.stages if stage.owner == stage.name and stage.name != graph.loss]
    return tuple(dict.fromkeys((*graph.inputs, *graph.targets, *graph.states, *graph.parameters, *stages)))


class Resolver:
    """Reads an expression of a claim, and puts our names for the source's."""

    def __init__(self, graph: Graph, renamed: Mapping[str, str], steps: int, mistakes: Mistakes):
        self.graph, self.renamed, self.steps, self.mistakes = graph, renamed, steps, mistakes
        self.known = known_names(graph)
        self.constants = {constant.name: constant.value for constant in graph.spec.constants}
        self.sizes = {symbol for symbol, _ in graph.dims}
        self.own = {function.name: function for function in graph.spec.functions}
        self.equations = {equation.name: equation for equation in graph.spec.equations}
        self.lags = (*range(-FARTHEST, FARTHEST + 1), *range(ABSOLUTE, ABSOLUTE + steps + 1))

    def read(self, text: Text) -> Expression | None:
        """The expression; None with the mistakes noted where it is none."""
        before = len(self.mistakes._found)
        text = self._without_numbers(text)
        parsed = parse(text, self.mistakes, (*self.own, *FORMS), self.lags) if text else None
        if parsed is None:
            return None
        self.text = text
        resolved = self._resolved(parsed)
        return resolved if len(self.mistakes._found) == before else None

    def _without_numbers(self, text: Text) -> Text | None:
        """`d_c[3]` and `d_c[T]` in the form that the language reads; every character keeps its place."""
        value, places, end = "", [], 0
        for match in _NUMBERED.finditer(text.value):
            step = int(match[1]) if match[1] else self.steps - int(match[2] or 0)
            if not 0 <= step <= self.steps:
                message = f"there is no step {step}: the steps are 1 to {self.steps}"
                cure = "'steps:' in the file says how many there are; 0 is before the first"
                self.mistakes.add(text.at(match.start()), message, cure)
                return None
            written = f"[t+{ABSOLUTE + step}]"
            value += text.value[end : match.start()] + written
            places += [text.at(at) for at in range(end, match.start())]
            places += [text.at(match.start())] * len(written)
            end = match.end()
        value += text.value[end:]
        places += [text.at(at) for at in range(end, len(text.value))]
        return Text(value, text.place, tuple(places))

    # ------------------------------------------------------------------ names

    def _resolved(self, expression: Expression) -> Expression:
        return transform(expression, self._rule)

    def _rule(self, node: Expression) -> Expression | None:
        if isinstance(node, Value):
            return self._leaf(node)
        if isinstance(node, Call) and node.function in FORMS:
            return self._form(node)
        if isinstance(node, Call) and node.function in self.own:
            return self._inlined(node)
        return None

    def _wrong(self, node: Expression, message: str, cure: str | None = None) -> Expression:
        self.mistakes.add(self.text.at(node.at), message, cure)
        return node

    def _leaf(self, node: Value) -> Expression:
        name = node.name
        if name == "dy" and name not in self.renamed:
            if len(self.graph.outputs) != 1:
                return self._wrong(
                    node,
                    "'dy' of a cell with several outputs",
                    f"write {' or '.join('dy_' + output for output in self.graph.outputs)}",
                )
            return Outside(self.graph.outputs[0], node.lag, node.at)
        if name.startswith("dy_"):
            return self._outside(node, name.removeprefix("dy_"))
        if name.startswith("d_"):
            return self._gradient(node, name.removeprefix("d_"))
        ours = self._ours(name)
        if ours in self.known:
            return self._timed(node, ours)
        if ours in self.constants:
            return Number(self.constants[ours], node.at)
        if ours in self.sizes:
            return Size(ours, node.at)
        if ours == "T":
            return Number(number(self.steps).value, node.at)
        if ours.endswith("_pre") and ours.removesuffix("_pre") in self.known:
            argument = self._argument(node, ours.removesuffix("_pre"))
            return None if argument is None else Value(argument.name, argument.lag + node.lag, node.at)
        return self._unknown(node, name)

    def _outside(self, node: Value, name: str) -> Expression:
        ours = self._ours(name)
        if ours not in self.graph.outputs:
            return self._wrong(node, f"'{name}' is no output", f"outputs: {', '.join(self.graph.outputs)}")
        return Outside(ours, node.lag, node.at)

    def _gradient(self, node: Value, name: str) -> Expression:
        ours = self._ours(name)
        if ours in self.graph.targets:
            return self._wrong(node, f"'{name}' is a target: it has no gradient")
        if ours in self.known:
            return Adjoint(ours, node.lag, node.at)
        if ours.endswith("_pre") and ours.removesuffix("_pre") in self.known:
            base = ours.removesuffix("_pre")
            argument = self._argument(node, base)
            if isinstance(argument, Value) and argument.name in (ours, base):
                return Adjoint(argument.name, node.lag, node.at)
            if isinstance(argument, Value):
                there = Adjoint(argument.name, argument.lag + node.lag, node.at)
                return Call(VIA, (there, Value(base, node.lag)), node.at)
            return node
        return self._unknown(node, name, "d_")

    def _ours(self, name: str) -> str:
        """Our name for the source's; of NAME_pre for NAME's."""
        if name in self.renamed:
            return self.renamed[name]
        base = name.removesuffix("_pre")
        if base != name and base in self.renamed:
            return f"{self.renamed[base]}_pre"
        return name

    def _timed(self, node: Value, ours: str) -> Expression:
        if node.lag and ours in self.graph.static:
            return self._wrong(node, f"'{node.name}' does not change over time", f"write {node.name}")
        return Value(ours, node.lag, node.at)

    def _unknown(self, node: Value, name: str, before: str = "") -> Expression:
        known = [*self.renamed, *self.known, *self.constants, *self.sizes]
        cure = did_you_mean(name, known)
        if cure is None and self.renamed == {}:
            cure = "'names:' says what the source's names mean"
        return self._wrong(
            node,
            f"there is no '{before}{name}': the spec has no '{name}'" if before else f"there is no '{name}'",
            cure,
        )

    def _argument(self, node: Expression, name: str) -> Value | None:
        """What NAME_pre is: the argument of the one call that makes NAME."""
        stage = self.graph.find(name)
        inner = self.graph.find(f"{name}_pre")
        if inner is not None and inner.owner == name:
            return Value(inner.name)
        if stage is not None and isinstance(self._body(self.equations[name]), Call):
            if self._body(self.equations[name]).function == "identity":
                return Value(name)
            match stage.expression:
                case Call(arguments=(Value() as argument, *_)):
                    return argument
        self._wrong(
            node,
            f"'{name}_pre': the equation of {name} is no single call",
            "NAME_pre is the argument of the call that makes NAME",
        )
        return None

    def _body(self, equation: Equation) -> Expression | None:
        spec = self.graph.spec
        return parse(equation.body, Mistakes(spec.path, spec.source), tuple(self.own))

    # ------------------------------------------------------------------ forms

    def _inlined(self, call: Call) -> Expression:
        function = self.own[call.function]
        if len(call.arguments) != len(function.arguments):
            return self._wrong(
                call,
                f"'{call.function}' takes {len(function.arguments)} arguments, found {len(call.arguments)}",
            )
        spec = self.graph.spec
        body = parse(function.body, Mistakes(spec.path, spec.source), tuple(self.own))
        given = dict(zip(function.arguments, map(self._resolved, call.arguments)))

        def rule(node: Expression) -> Expression | None:
            if isinstance(node, Value):
                return given.get(node.name) or Number(self.constants[node.name])
            return None

        return self._nested(transform(body, rule))

    def _nested(self, expression: Expression) -> Expression:
        """Functions of one's own inside functions of one's own."""
        return transform(expression, lambda node: self._inlined_again(node))

    def _inlined_again(self, node: Expression) -> Expression | None:
        if not (isinstance(node, Call) and node.function in self.own):
            return None
        function = self.own[node.function]
        spec = self.graph.spec
        body = parse(function.body, Mistakes(spec.path, spec.source), tuple(self.own))
        given = dict(zip(function.arguments, map(self._nested, node.arguments)))
        body = transform(body, lambda leaf: given.get(leaf.name) if isinstance(leaf, Value) else None)
        return self._nested(body)

    def _form(self, call: Call) -> Expression:
        fewest, most = FORMS[call.function]
        if not fewest <= len(call.arguments) <= most:
            wanted = f"{fewest}" if fewest == most else f"{fewest} or {most}"
            found = len(call.arguments)
            return self._wrong(call, f"'{call.function}' takes {wanted} arguments, found {found}")
        match call.function:
            case "sum_t":
                return self._sum_over_time(call)
            case "via":
                return self._via(call)
            case "partial" | "total":
                return self._derivative(call)
        arguments = tuple(map(self._resolved, call.arguments))
        return Call("Slice" if call.function == SLICE else call.function, arguments, call.at)

    def _sum_over_time(self, call: Call) -> Expression:
        summed = self._resolved(call.arguments[0])
        bounds = [self._step_number(argument) for argument in call.arguments[1:]]
        if len(call.arguments) == 2 or None in bounds:
            return self._wrong(call, "sum_t(e, from, to): the two bounds are steps such as 1, 2, T, T-1")
        low, high = bounds or (1, self.steps)
        return (
            Call(SUM_T, (summed, number(low), number(high)), call.at)
            if bounds
            else Call(SUM_T, (summed,), call.at)
        )

    def _step_number(self, expression: Expression) -> int | None:
        match expression:
            case Number(value=value) if value.denominator == 1:
                step = int(value)
            case Value(name="T"):
                step = self.steps
            case Sum(terms=(Value(name="T"), Number(value=value))):
                step = self.steps + int(value)
            case _:
                return None
        return step if 0 <= step <= self.steps else None

    def _via(self, call: Call) -> Expression:
        target, reader = call.arguments
        target = self._resolved(target)
        if not isinstance(target, Adjoint):
            return self._wrong(call, "via(d_NAME, READER): the first argument is a gradient such as d_c")
        match reader:
            case Value(name="t"):
                return Call(VIA, (target, Value(STEP, 0)), call.at)
            case Sum(terms=(Value(name="t"), Number(value=value))) if value == 1:
                return Call(VIA, (target, Value(STEP, 1)), call.at)
        reader = self._resolved(reader)
        if not isinstance(reader, Value) or self.graph.find(reader.name) is None:
            return self._wrong(
                call,
                "via(d_NAME, READER): the second argument is the equation that reads NAME, "
                "such as f[t+1], or a step, t or t+1",
            )
        return Call(VIA, (target, reader), call.at)

    def _derivative(self, call: Call) -> Expression:
        above, below = map(self._resolved, call.arguments)
        values_ = isinstance(above, Value) and isinstance(below, Value)
        if not values_ or self.graph.find(above.name) is None:
            message = f"{call.function}(A, B) is the derivative of A, which an equation gives, by the value B"
            return self._wrong(call, message, f"for example {call.function}(c[t+1], c)")
        return Call(call.function, (above, below), call.at)
