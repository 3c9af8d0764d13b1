"""An expression of a claim -> the same expression in the names of the spec, with names and forms checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace

from ..derivation.graph import Graph, Stage
from ..errors import Mistakes, Text
from ..language.cures import gradient_cure
from ..language.expressions import (
    Adjoint, Body, Call, Expression, Number, Outside, Size, Sum, Value, children, number, rebuild, transform,
)
from ..language.names import did_you_mean
from ..language.parse import parse
from .forms import FARTHEST, FORMS, SLICE, STEP, SUM_T, VIA, is_number, known_names, lag_to
from .limits import longest, too_large
from .spelling import Spelling

_NUMBERED = re.compile(r"(?<=[A-Za-z0-9_])\[\s*(?:([0-9]{1,3})|T(?:\s*-\s*([0-9]{1,3}))?)\s*\]")


class Resolver:
    """Reads an expression of a claim, and replaces the names of the source by ours."""

    def __init__(self, graph: Graph, renamed: Mapping[str, str], steps: int, mistakes: Mistakes):
        self.graph, self.renamed, self.steps, self.mistakes = graph, renamed, steps, mistakes
        self.known = known_names(graph)
        self.constants = {constant.name: constant.value for constant in graph.spec.constants}
        self.sizes = {symbol for symbol, _ in graph.dims}
        self.own = {function.name: function for function in graph.spec.functions}
        self.bodies = {name: Body(function.arguments, self._body(function.body)) for name, function in self.own.items()}
        self.equations = {equation.name: equation for equation in graph.spec.equations}
        self.lags = (*range(-FARTHEST, FARTHEST + 1), *range(lag_to(0), lag_to(steps) + 1))

    def noting_in(self, mistakes: Mistakes) -> Resolver:
        """The same resolver, which records what is wrong elsewhere."""
        other = copy(self)
        other.mistakes = mistakes
        return other

    def read(self, text: Text) -> Expression | None:
        """The expression; None if it cannot be read, with the mistakes recorded."""
        before = self.mistakes.count
        plain = self._without_numbers(text)
        parsed = parse(plain, self.mistakes, (*self.own, *FORMS), self.lags, internal=True) if plain else None
        if plain is None or parsed is None:
            return None
        self.text = plain
        too_long = longest(parsed, self.bodies) if self.own else None
        if too_long is not None:
            self.mistakes.add(text.at(0), too_long, "write it in several claims, or with fewer functions")
            return None
        resolved = self._resolved(parsed)
        if self.mistakes.count == before:
            for fault in too_large(resolved, self.graph, Spelling(self.graph, tuple(self.renamed.items()))):
                self.mistakes.add(plain.at(fault.at), fault.message)
        return resolved if self.mistakes.count == before else None

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
            written = f"[t+{lag_to(step)}]"
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
            return node if argument is None else Value(argument.name, argument.lag + node.lag, node.at)
        return self._unknown(node, name)

    def _outside(self, node: Value, name: str) -> Expression:
        ours = self._ours(name)
        if ours not in self.graph.outputs:
            return self._wrong(node, f"'{name}' is not an output", f"outputs: {', '.join(self.graph.outputs)}")
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
            if argument is None:
                return node
            if argument.name in (ours, base):
                return Adjoint(argument.name, node.lag, node.at)
            there = Adjoint(argument.name, argument.lag + node.lag, node.at)
            return Call(VIA, (there, Value(base, node.lag)), node.at)
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
        values = [each for each in (*self.renamed, *self.known) if each not in self.graph.targets]
        gradients = [*values, *(f"{each}_pre" for each in values)]
        moving = [each for each in gradients if self._ours(each).removesuffix("_pre") not in self.graph.static]
        cure = None if before else gradient_cure(name, gradients, moving)
        cure = cure or did_you_mean(name, known)
        if cure is None and not self.renamed:
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
        body = self._body(self.equations[name].body) if stage is not None else None
        match body:
            case Call(function="identity"):
                return Value(name)
        match body, stage:
            case Call(), Stage(expression=Call(arguments=(Value() as argument, *_))):
                return argument
        self._wrong(
            node,
            f"'{name}_pre': the equation of {name} is not a single call",
            "NAME_pre is the argument of the call that makes NAME",
        )
        return None

    def _body(self, text: Text) -> Expression:
        """What an equation or a function of the spec says, read once more."""
        spec = self.graph.spec
        body = parse(text, Mistakes(spec.path, spec.source), tuple(self.own))
        if body is None:
            raise ValueError(f"no expression: {text.value!r}")  # of which no graph could have been built
        return body

    # ------------------------------------------------------------------ forms

    def _inlined(self, call: Call) -> Expression:
        """A function of one's own put in."""
        function = self.own[call.function]
        if len(call.arguments) != len(function.arguments):
            return self._wrong(
                call,
                f"'{call.function}' takes {len(function.arguments)} arguments, found {len(call.arguments)}",
            )
        return self._applied(self.bodies[call.function], map(self._resolved, call.arguments), call.at)

    def _applied(self, body: Body, arguments: Iterable[Expression], at: int) -> Expression:
        """The body of a function, which reads its arguments and constants, with these arguments in it.

        All of it stands at the place of the call, `at`: what is wrong with it is wrong there.
        """
        given = dict(zip(body.arguments, arguments))

        def put_in(node: Expression) -> Expression:
            if isinstance(node, Value):
                return given[node.name] if node.name in given else Number(self.constants[node.name], at)
            parts = tuple(map(put_in, children(node)))
            if isinstance(node, Call) and node.function in self.own:
                return self._applied(self.bodies[node.function], parts, at)
            return replace(rebuild(node, parts), at=at)

        return put_in(body.expression)

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
        match [self._step_number(argument) for argument in call.arguments[1:]]:
            case []:
                return Call(SUM_T, (summed,), call.at)
            case [int(low), int(high)]:
                return Call(SUM_T, (summed, number(low), number(high)), call.at)
        return self._wrong(call, "sum_t(e, from, to): the two bounds are steps such as 1, 2, T, T-1")

    def _step_number(self, expression: Expression) -> int | None:
        match expression:
            case Number(value=value) if value.denominator == 1:
                step = int(value)
            case Value(name="T"):
                step = self.steps
            case Sum(terms=(Value(name="T"), Number(value=value))) if value.denominator == 1:
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
                return self._via_step(call, target, 0)
            case Sum(terms=(Value(name="t"), Number(value=value))) if value.denominator == 1:
                return self._via_step(call, target, int(value))
        step = self._step_number(reader)
        if step is not None:
            return self._via_step(call, target, lag_to(step))
        reader = self._resolved(reader)
        if not isinstance(reader, Value) or self.graph.find(reader.name) is None:
            return self._wrong(
                call,
                "via(d_NAME, READER): the second argument is the equation that reads NAME, "
                "such as f[t+1], or a step, t or t+1",
            )
        return Call(VIA, (target, reader), call.at)

    def _via_step(self, call: Call, target: Adjoint, lag: int) -> Expression:
        """Through all readers of a step. There is no t where the target's step is a number: it stands for that step."""
        if is_number(target.lag) and not is_number(lag):
            lag += target.lag
        elif is_number(lag) and not is_number(target.lag):
            return self._wrong(call, "via(d_NAME, STEP): the step is a number, and that of d_NAME is not",
                               "write via(d_c[2], 3), or via(d_c, t+1)")
        if not 0 <= lag - target.lag <= 1:
            return self._wrong(call, "via(d_NAME, STEP): a value is read in its own step and in the next one",
                               "via(d_c, t) is through the readers of the same step, via(d_c, t+1) of the next")
        return Call(VIA, (target, Value(STEP, lag)), call.at)

    def _derivative(self, call: Call) -> Expression:
        match tuple(map(self._resolved, call.arguments)):
            case (Value(name=above), Value()) as arguments if self.graph.find(above) is not None:
                return Call(call.function, arguments, call.at)
        message = f"{call.function}(A, B) is the derivative of A, which an equation gives, by the value B"
        return self._wrong(call, message, f"for example {call.function}(c[t+1], c)")
