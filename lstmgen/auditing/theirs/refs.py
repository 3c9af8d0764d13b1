"""What a text of a layout file stands for: `h[t-1]`, `dy`, `dstate.c`, `tokens(x)`, `D`."""

from __future__ import annotations

import re

from ...derivation.graph import Graph
from .records import (
    ADJOINT, BEFORE, FINAL, FINALS, LAST_OUTSIDE, NUMBER, OUTSIDE, PARAMETERS, SENT, SIZE, STATES, VALUE, Ref,
)

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\Z", re.ASCII)
WORDS = ("None", "True", "False")  # besides numbers, what a call may say literally


def is_literal(text: str) -> bool:
    """Whether it is a number, or None, True or False."""
    return text in WORDS or _NUMBER.match(text) is not None


def sizes_of(graph: Graph) -> tuple[str, ...]:
    """The names of sizes that a layout may use: those of the spec, and of steps and examples."""
    own = tuple(symbol for symbol, _ in graph.dims)
    return (*own, *(name for name in ("T", "B") if name not in own and name not in graph.shapes))


def read_ref(text: str, graph: Graph) -> Ref | None:
    """The meaning in our names; None for what has none."""
    text = text.replace(" ", "")
    before = re.fullmatch(r"(\w+)\[t-1\]", text)
    if before:
        return _before(before[1], graph)
    if text.endswith("[T]"):
        last = _plain(text[:-3], graph)
        return Ref(LAST_OUTSIDE, last.name) if last is not None and last.kind == OUTSIDE else None
    whole = re.fullmatch(r"(tokens|one_hot)\((\w+)\)", text)
    if whole:
        return Ref(whole[1], whole[2]) if whole[2] in (*graph.inputs, *graph.targets) else None
    kind, _, name = text.partition(".")
    if kind in ("dstate", "state") and name in graph.states:
        return Ref(FINAL if kind == "dstate" else BEFORE, name)
    if text in ("dstate", "state") and len(graph.states) == 1:
        return Ref(FINAL if kind == "dstate" else BEFORE, graph.states[0])
    return _plain(text, graph)


def _before(name: str, graph: Graph) -> Ref | None:
    if name in graph.states:
        return Ref(BEFORE, name)
    if name.startswith("d_") and name[2:] in graph.states:
        return Ref(SENT, name[2:])
    return None


def _plain(text: str, graph: Graph) -> Ref | None:
    if text == "dy" and len(graph.outputs) == 1:
        return Ref(OUTSIDE, graph.outputs[0])
    if text.startswith("dy_") and text[3:] in graph.outputs:
        return Ref(OUTSIDE, text[3:])
    if text.startswith("d_") and text[2:] in graph.shapes:
        return Ref(ADJOINT, text[2:])
    if text in graph.shapes:
        return Ref(VALUE, text)
    if text in sizes_of(graph):
        return Ref(SIZE, text)
    if text in (PARAMETERS, STATES, FINALS):
        return Ref(text)
    return Ref(NUMBER, text) if is_literal(text) else None


def known_refs(graph: Graph) -> tuple[str, ...]:
    """What may be written, for suggestions."""
    states = [written for name in graph.states
              for written in (f"{name}[t-1]", f"dstate.{name}", f"d_{name}[t-1]", f"d_{name}")]
    outside = [f"dy_{name}{at}" for name in graph.outputs for at in ("", "[T]")]
    return (*graph.inputs, *graph.targets, *graph.outputs, *states, *outside,
            *(stage.name for stage in graph.stages), *sizes_of(graph), PARAMETERS, STATES, FINALS)
