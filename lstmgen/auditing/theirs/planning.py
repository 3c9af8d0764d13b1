"""A complete layout -> `Plan`: for each argument of each call, what is handed over."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...derivation.graph import Graph
from ..foreign import ForeignError
from .known import meaning, size_called, state_called, value_called
from .records import (
    ADJOINT, BEFORE, EACH, FINAL, FINALS, GIVEN, LAST_OUTSIDE, NUMBER, ONE_HOT, OUTSIDE, PARAMETER, PARAMETERS, SIZE, STATES,
    TOKENS, VALUE, Argument, Call, Layout, Ref,
)
from .refs import is_literal, read_ref, sizes_of
from .survey import Function, Survey


OWN = ("params", "x", "states", "dy", "dstates")  # how a function is called that takes whatever there is
_NEWEST = re.compile(r"(?:next|new|last|final)_|_(?:next|new|last|final|n)\Z")  # of a result: the state after all steps


@dataclass(frozen=True)
class Called:
    """A call with what each argument stands for."""

    path: tuple[str, ...]
    make: tuple[tuple[Argument, Ref], ...]
    arguments: tuple[tuple[Argument, Ref], ...]

    def __str__(self) -> str:
        inside = ", ".join(str(argument) for argument, _ in self.arguments)
        made = f"({', '.join(str(argument) for argument, _ in self.make)})" if len(self.path) > 1 and self.make else ""
        return ".".join([f"{self.path[0]}{made}", *self.path[1:]]) + f"({inside})"

    def reads(self, kind: str, name: str = "") -> bool:
        """Whether something of this kind is handed over."""
        return any(ref.kind == kind and name in ("", ref.name) for _, ref in (*self.make, *self.arguments))


@dataclass(frozen=True)
class Plan:
    """How their code is called, all of it."""

    layout: Layout  # without gaps
    forward: Called | None
    backward: Called
    gives: tuple[str, ...]
    meant: tuple[tuple[str, Ref], ...]  # of what forward gives: which of our values
    returns: tuple[str, ...]  # the names of what backward returns, "" for what has none
    keys: tuple[str, ...]  # if it returns a dictionary that it writes out
    top: tuple[str, ...]  # what is set at the top of their file
    sizes: tuple[tuple[str, str], ...]  # what is set at the top of their file, and is a size of ours
    read: tuple[tuple[str, Ref], ...] = ()  # what their functions read there besides, and the layout gives a meaning

    @property
    def calls(self) -> tuple[Called, ...]:
        return (self.forward, self.backward) if self.forward else (self.backward,)

    @property
    def each(self) -> bool:
        return self.layout.steps == EACH

    def takes_state(self, name: str) -> bool:
        """Whether their code gets the initial state."""
        return any(call.reads(BEFORE, name) or call.reads(STATES) for call in self.calls)

    def takes_final(self, name: str) -> bool:
        """Whether their code gets the gradient of the final state."""
        return self.backward.reads(FINAL, name) or self.backward.reads(FINALS) or self.each


class Unclear(ForeignError):
    """An argument of which nothing is known."""


def make_plan(layout: Layout, code: Survey, graph: Graph) -> Plan:
    """What each argument stands for, by the layout and by what such names usually mean."""
    assert layout.backward is not None
    planner = _Planner(layout, code, graph)
    forward = planner.called(layout.forward, backward=False) if layout.forward else None
    gives = _given(layout, code)
    planner.gives = gives if forward else ()
    meant = tuple((name, ref) for name in planner.gives if (ref := planner.value(name)) is not None)
    backward = planner.called(layout.backward, backward=True)
    function = code.functions.get(layout.backward.name)
    returns = layout.answer or (function.returns if function else ())
    keys = function.keys if function else ()
    return Plan(layout, forward, backward, planner.gives, meant, returns, keys, code.globals, planner.sizes(),
                planner.read())


def _given(layout: Layout, code: Survey) -> tuple[str, ...]:
    """The names of what forward gives: of the layout, or those of its return statement."""
    if layout.gives is not None:
        return layout.gives
    function = code.functions.get(layout.forward.name) if layout.forward else None
    names = function.returns if function else ()
    return tuple(name or f"_{position}" for position, name in enumerate(names))


class _Planner:
    def __init__(self, layout: Layout, code: Survey, graph: Graph):
        self.layout, self.code, self.graph = layout, code, graph
        self.names, self.gives = dict(layout.names), tuple[str, ...]()

    def sizes(self) -> tuple[tuple[str, str], ...]:
        """The sizes that are set at the top of their file: those by our names, and others that their functions read."""
        read = {name for function in self.code.functions.values() for name in function.reads}
        own = [name for dim in self.graph.dims for name in dim]
        names = [name for name in self.code.globals
                 if name not in self.layout.blocks and (name in own or name in read and len(name) > 1)]
        found = {name: ref for name in names if (ref := size_called(name, self.graph)) is not None}
        found |= {name: ref for name, ref in self.names.items() if ref.kind == SIZE}
        return tuple((name, ref.name) for name, ref in found.items())

    def read(self) -> tuple[tuple[str, Ref], ...]:
        """What their functions read from the top of their file, and is an input, a target or a state of ours."""
        functions = [self.code.functions.get(call.name) for call in (self.layout.forward, self.layout.backward) if call]
        read = {name for function in functions if function is not None for name in function.reads}
        kinds = (VALUE, TOKENS, ONE_HOT, BEFORE)
        return tuple((name, ref) for name, ref in self.layout.names if name in read and ref.kind in kinds)

    def value(self, name: str) -> Ref | None:
        """Which of our values forward gives under this name."""
        if name in self.names:
            return self.names[name]
        for written in (name, _NEWEST.sub("", name, count=2)):
            found = value_called(written, self.graph, (*self.graph.outputs, *self.graph.states))
            if found is not None:
                return Ref(VALUE, found)
        return None

    def called(self, call: Call, backward: bool) -> Called:
        function = self.code.functions.get(call.name)
        if function is None and call.path[0] not in (*self.code.classes, *self.code.globals):
            known = [name for name in self.code.functions if not name.rpartition(".")[2].startswith("_")]
            raise ForeignError(f"{self.code.path} has no '{call.name}'; it has {', '.join(known[:20]) or 'no function'}")
        arguments = call.arguments
        written = arguments is not None
        if arguments is None:
            if function is None:
                raise ForeignError(f"the arguments of '{call.name}' are not known: write them, {call.name}(x, h_prev)")
            arguments = tuple(map(Argument, function.arguments or (OWN if function.variadic else ())))
        return Called(call.path, self._made(call), tuple(self._arguments(arguments, function, call, backward, written)))

    def _made(self, call: Call) -> tuple[tuple[Argument, Ref], ...]:
        if len(call.path) == 1:
            return ()
        kind = self.code.classes.get(call.path[0])
        given = call.make
        if given is None:
            given = tuple(map(Argument, kind.make.arguments)) if kind and kind.make else ()
        make = Call((*call.path[:1], "__init__"))
        function = kind.make if kind else None
        return tuple(self._arguments(given, function, make, backward=False, written=call.make is not None))

    def _arguments(
        self, arguments: tuple[Argument, ...], function: Function | None, call: Call, backward: bool, written: bool
    ) -> list[tuple[Argument, Ref]]:
        found: list[tuple[Argument, Ref]] = []
        passed_over = False
        step = self.layout.steps == EACH
        for position, argument in enumerate(arguments):
            ref = self._meant(argument.text, backward, step, function)
            told = (*self.names, *self.gives, *self.layout.blocks)
            if written and argument.text not in told and argument.text in sizes_of(self.graph):
                ref = Ref(SIZE, argument.text)  # in a layout; in their signature H may be all hidden states
            name = argument.keyword or argument.text
            if ref is None and function is not None and name in function.optional:
                passed_over = True
                continue
            if ref is None:
                raise Unclear(
                    f"what is '{argument.text}' of {call.name}({', '.join(map(str, arguments))})? Say it in a layout file: "
                    f"names: {{{argument.text}: ...}}, or write a number in its place in the call"
                )
            if passed_over and not argument.keyword and function is not None and position < len(function.arguments):
                argument = Argument(argument.text, function.arguments[position])
            found.append((argument, ref))
        return _sorted_out(found, self.graph) if backward else found

    def _meant(self, text: str, backward: bool, step: bool, function: Function | None) -> Ref | None:
        if text in self.names:
            return self.names[text]
        if is_literal(text):
            return Ref(NUMBER, text)
        if text in (STATES, FINALS) or text == "dy" and len(self.graph.outputs) == 1:
            return read_ref(text, self.graph)
        if backward and text in self.gives:
            return Ref(GIVEN, text)
        if text in self.layout.blocks:
            return Ref(PARAMETER, text)
        held = self._dictionary(text, function)
        if held is not None:
            return held
        if backward:
            before = state_called(text, self.graph)
            value = value_called(text, self.graph, (*self.graph.outputs, *self.graph.states))
            if value is not None and before is not None and text in (value, f"{value}s"):
                return Ref(VALUE, value)
        found = meaning(text, self.graph, backward, step)
        return found or (self._left_over(text) if backward else None)

    def _dictionary(self, text: str, function: Function | None) -> Ref | None:
        """What an argument is that is looked up by the names of states or of parameters."""
        apart = dict(function.unpacked).get(text, ()) if function else ()
        if set(apart) & set(self.layout.blocks):
            return Ref(PARAMETERS, " ".join(apart))
        keys = function.keys_of(text) if function else frozenset[str]()
        states = set(self.graph.states)
        if keys & states or text in ("state", "states", "dstate", "dstates") and (len(states) > 1 or not keys):
            return Ref(FINALS if text.startswith(("d", "grad")) else STATES)
        return Ref(PARAMETERS) if keys & set(self.layout.blocks) else None

    def _left_over(self, text: str) -> Ref | None:
        """What forward gives and is called otherwise: the cache, mostly."""
        alike = [name for name in self.gives if "cache" in name.lower() or "tape" in name.lower() or "mem" in name.lower()]
        if ("cache" in text.lower() or "tape" in text.lower() or "mem" in text.lower()) and len(alike) == 1:
            return Ref(GIVEN, alike[0])
        rest = [name for name in self.gives if self.value(name) is None]
        if len(rest) == 1 and text not in self.graph.shapes:
            return Ref(GIVEN, rest[0])
        return Ref(GIVEN, self.gives[0]) if len(self.gives) == 1 else None


def _sorted_out(found: list[tuple[Argument, Ref]], graph: Graph) -> list[tuple[Argument, Ref]]:
    """With two gradients of one value, one arrives from outside, and the other from the next step.

    In `backward(dh, dh_next, dc_next)`, dh alone is from outside; in `backward(dh_next, dc_next)` it is all that arrives.
    """
    final = {ref.name for _, ref in found if ref.kind == FINAL}
    wholes = {ref.name for _, ref in found if ref.kind in (ADJOINT, OUTSIDE, LAST_OUTSIDE)}
    sorted_out = []
    for argument, ref in found:
        if ref.kind == ADJOINT and ref.name in final and ref.name in graph.outputs:
            ref = Ref(OUTSIDE, ref.name)
        elif ref.kind == FINAL and ref.name not in wholes and ref.name in graph.outputs and graph.loss is None:
            ref = Ref(ADJOINT, ref.name)
        elif ref.kind == ADJOINT and ref.name not in graph.outputs:
            ref = Ref(FINAL, ref.name)
        sorted_out.append((argument, ref))
    return sorted_out


