"""What a layout leaves out: every reading that is worth a trial, the likeliest first.

A guess is confirmed by running it: if their outputs are those of the cell, the arrays are read as they are meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...derivation.graph import Graph
from ..foreign import ForeignError
from .known import arriving, meaning
from .matching import Parameters, by_notation, equal_names, reordered, some_names, standing, turned
from .planning import Plan, Unclear, make_plan
from .records import (
    ADJOINT, ALL, COLUMNS, EACH, FINAL, FIRST, FLAT, LAST, LAST_OUTSIDE, ONE, ONE_HOT, OUTSIDE, PARAMETERS, ROWS, SECOND,
    TOKENS, VALUE, Call, Layout, Ref,
)
from .survey import Survey

_BACKWARD = ("backward", "backprop", "back_prop", "bptt", "bwd", "back", "lossfun", "loss_fun", "gradients", "grad")
_FORMS = (
    (ROWS, SECOND, FIRST), (ROWS, FIRST, FIRST), (COLUMNS, ONE, FIRST), (COLUMNS, SECOND, FIRST), (FLAT, ONE, FIRST),
    (ROWS, ONE, FIRST), (COLUMNS, SECOND, LAST), (ROWS, FIRST, LAST), (FLAT, ONE, LAST), (COLUMNS, ONE, LAST),
    (ROWS, SECOND, LAST),
)
_PAIRS = 6  # of forward and backward functions that are tried


@dataclass(frozen=True)
class Family:
    """Readings that differ only in how arrays lie; all are tried in one go."""

    plans: tuple[Plan, ...]
    named: bool  # whether all parameters are told by the layout, or called as ours


class Guesser:
    """Fills a layout."""

    def __init__(self, layout: Layout, code: Survey, graph: Graph):
        self.layout, self.code, self.graph = layout, code, graph
        self.trouble: ForeignError | None = None  # the first thing that could not be told

    def families(self) -> Iterator[Family]:
        """Every reading, by pairs of functions."""
        for forward, backward in self._pairs():
            chosen = self.layout.with_(forward=forward, backward=backward)
            found = list(self._parameters(chosen))
            for parameters, named in found:
                for variant in self._variants(chosen):
                    plans = tuple(self._plans(variant, parameters))
                    if plans:
                        yield Family(plans, named)

    def orders(self, plan: Plan) -> tuple[Plan, ...]:
        """The same with the gates in every other order, where that is guessed."""
        if self.layout.parameters is not None:
            return ()
        made = [self._plan(plan.layout.with_(parameters=each)) for each in reordered(plan.layout.parameters or ())]
        return tuple(each for each in made if each is not None)

    # ------------------------------------------------------------------ which functions

    def _pairs(self) -> Iterator[tuple[Call | None, Call]]:
        layout = self.layout
        if layout.backward is not None:
            backwards = [layout.backward]
        else:
            names = sorted(filter(self._is_backward, self.code.functions), key=self._rank)
            backwards = [Call(tuple(name.split("."))) for name in names]
        if not backwards:
            raise ForeignError(f"{self.code.path} has no function that is called backward; say which it is: "
                               f"backward: NAME(...). It has {', '.join(list(self.code.functions)[:20]) or 'no function'}")
        count = 0
        for backward in backwards:
            for forward in self._forwards(backward) if layout.forward is None else (layout.forward,):
                yield forward, backward
                count += 1
                if count >= _PAIRS:
                    return

    def _is_backward(self, name: str) -> bool:
        last = name.rpartition(".")[2].lower()
        if last.startswith("__"):
            return False
        arrives = any(arriving(argument, self.graph, step=False) for argument in self.code.functions[name].arguments)
        return arrives or any(word in last for word in _BACKWARD)

    def _rank(self, name: str) -> tuple[int, ...]:
        owner, _, last = name.rpartition(".")
        low = name.lower()
        names = self._names(Call(tuple(name.split("."))))
        covered = bool(equal_names(names, self.graph)) or next(iter(by_notation(names, self.graph)), None) is not None
        return (
            int(not covered),
            int(not any(word in low for word in ("rnn", "gru", "lstm"))),
            int("step" in low or "cell" in low),
            int(last.lower() != "backward"),
            next((at for at, word in enumerate(_BACKWARD) if word in last.lower()), len(_BACKWARD)),
            list(self.code.functions).index(name),
        )

    def _forwards(self, backward: Call) -> list[Call | None]:
        """The forward function that belongs to a backward function, and none, where it may do without."""
        last = backward.path[-1]
        beside = [name for name in self.code.functions if name.rpartition(".")[0] == ".".join(backward.path[:-1])]
        swapped = [last.replace(word, other) for word, other in (
            ("backward", "forward"), ("backprop", "forward"), ("back_prop", "forward"), ("bptt", "forward"), ("bwd", "fwd"),
            ("backprop", "forwardprop"), ("back", "forward"), ("bptt", "forward_propagation"), ("back", "for"))]
        short = [name.rpartition(".")[2] for name in beside]
        found = [name for name in swapped if name in short and name != last]
        found = found or [name for name in short if "forward" in name.lower() or name in ("__call__", "fwd", "feed_forward")]
        chosen: list[Call | None] = [Call((*backward.path[:-1], name)) for name in list(dict.fromkeys(found))[:2]]
        return [*chosen, None] if len(backward.path) == 1 or not chosen else chosen

    # ------------------------------------------------------------------ which parameters

    def _names(self, *calls: Call | None) -> list[str]:
        """Everything in their file that may be a parameter: arguments, keys, attributes, what is set at the top."""
        found: list[str] = []
        for call in calls:
            function = self.code.functions.get(call.name) if call else None
            kind = self.code.classes.get(call.path[0]) if call and len(call.path) > 1 else None
            if kind is not None:
                if kind.make is not None:
                    found += kind.make.arguments
                found += kind.attributes
                for method in kind.methods:
                    found += self.code.functions[f"{kind.name}.{method}"].subscripts
            if function is not None:
                found += (*function.arguments, *function.subscripts)
                found += [name for _, names in function.unpacked for name in names]
                found += [name for name in self.code.globals if name in function.reads]
        if not any(self.code.functions[call.name].subscripts for call in calls if call and call.name in self.code.functions):
            for function in self.code.functions.values():  # a step in a function of its own
                found += function.subscripts
        return list(dict.fromkeys(found))

    def _parameters(self, layout: Layout) -> Iterator[tuple[Parameters, bool]]:
        if layout.parameters is not None:
            yield layout.parameters, True
            return
        names = self._names(layout.forward, layout.backward)
        same = equal_names(names, self.graph)
        if same:
            yield same, True
            return
        found = list(by_notation(names, self.graph))
        if not found and not any(name in self.graph.parameters for name in names):
            self.trouble = self.trouble or ForeignError(
                f"which array of {self.code.path} is which of {', '.join(self.graph.parameters)}? Say it in a layout file: "
                f"parameters: {{{names[0] if names else 'NAME'}: {self.graph.parameters[0]}, ...}}"
            )
        for each in found[:6]:
            yield each, False
        partly = some_names(names, self.graph) if not found else ()
        if not found and not partly and self._takes_all(layout):
            partly = some_names(self.graph.parameters, self.graph)
        if partly:
            yield partly, True

    def _takes_all(self, layout: Layout) -> bool:
        """Whether a function gets a dictionary of all parameters, in which nothing tells what they are called."""
        function = self.code.functions.get(layout.backward.name) if layout.backward else None
        written = [argument.text for argument in layout.backward.arguments or ()] if layout.backward else []
        names = written or (function.arguments if function else ())
        return bool(function and function.variadic and not names) or PARAMETERS in names

    # ------------------------------------------------------------------ how arrays lie

    def _variants(self, layout: Layout) -> Iterator[Layout]:
        """Plain; with tokens for one-hot inputs; with a gradient of the last output alone."""
        steps = [layout.steps] if layout.steps else [ALL, EACH]
        for each in steps:
            yield layout.with_(steps=each)
        told = dict(layout.names)
        whole = (*self.graph.inputs, *self.graph.targets)
        tokens = [(name, Ref(TOKENS, ref.name)) for name, ref in self._arguments(layout)
                  if ref.kind == VALUE and name not in told and ref.name in whole]
        if tokens and self.graph.loss is not None:
            yield layout.with_(steps=layout.steps or ALL, names=(*layout.names, *tokens))
            arrays = [(name, Ref(ONE_HOT, ref.name)) for name, ref in tokens]
            yield layout.with_(steps=layout.steps or ALL, names=(*layout.names, *arrays))
        last = [(name, Ref(FINAL if ref.name in self.graph.states else LAST_OUTSIDE, ref.name))
                for name, ref in self._arguments(layout) if ref.kind in (ADJOINT, OUTSIDE)
                and name not in told and ref.name in self.graph.outputs]
        if last and layout.steps != EACH:
            yield layout.with_(steps=ALL, names=(*layout.names, *last))

    def _arguments(self, layout: Layout) -> Iterator[tuple[str, Ref]]:
        for call in (layout.forward, layout.backward):
            function = self.code.functions.get(call.name) if call else None
            written = [argument.text for argument in call.arguments] if call and call.arguments is not None else (
                list(function.arguments) if function else [])
            for name in written:
                ref = meaning(name, self.graph, backward=call is layout.backward)
                if ref is not None:
                    yield name, ref

    def _plans(self, layout: Layout, parameters: Parameters) -> Iterator[Plan]:
        for vectors, batch, time in _FORMS:
            if any(told not in (None, each) for told, each in (
                    (layout.vectors, vectors), (layout.batch, batch), (layout.time, time))):
                continue
            if layout.steps == EACH and (batch == FIRST or time == LAST):
                continue
            lying = self._lying if self.layout.parameters is None else self._standing
            for each in lying(parameters, vectors):
                plan = self._plan(layout.with_(vectors=vectors, batch=batch, time=time, parameters=each))
                if plan is not None:
                    yield plan

    def _plan(self, layout: Layout) -> Plan | None:
        try:
            return make_plan(layout, self.code, self.graph)
        except Unclear as trouble:
            self.trouble = self.trouble or trouble
            return None

    def _lying(self, parameters: Parameters, vectors: str) -> Iterator[Parameters]:
        """Matrices as ours or transposed; the usual first."""
        ways = parameters, turned(parameters, self.graph)
        for way in reversed(ways) if vectors == ROWS else ways:
            yield from self._standing(way, vectors)

    def _standing(self, parameters: Parameters, vectors: str) -> Iterator[Parameters]:
        """Biases as columns where vectors are columns; where they are rows, plain or as a row."""
        if vectors == COLUMNS:
            yield standing(parameters, self.graph, "column")
            return
        yield parameters
        if vectors == ROWS:
            yield standing(parameters, self.graph, "row")
