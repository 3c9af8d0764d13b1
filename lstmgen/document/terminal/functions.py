"""The functions of the expression language, in a terminal: what the table in `language/functions.py` says of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...language.expressions import Call, walk
from ...language.functions import CHOICE, MACROS, OPERATIONS, POINTWISE, PUBLIC, Operation, signature
from ...language.parse import parse_rule
from ...printed import WIDTH
from ...resources import DOCS
from .columns import bold, coloured, grey, prose, table
from .pen import EXPLAINED


def list_functions(width: int = WIDTH) -> str:
    """Every function: how it is called, its derivative, and what is used as derivative at a kink."""
    operations = [entry for entry in OPERATIONS if entry.name in PUBLIC]
    pointwise = [
        *((signature(entry), _each(entry.arguments, entry.derivatives), str(entry.kink or ""))
          for entry in POINTWISE if entry.name in PUBLIC),
        (signature(CHOICE), _each(CHOICE.arguments[1:], CHOICE.derivatives), str(CHOICE.kink)),
    ]
    macros = [(signature(entry), entry.body) for entry in MACROS]
    along = [(signature(entry), _sent_back(entry), _literals(entry)) for entry in operations]
    lines = [
        bold("Entry by entry"),
        *_table(("function", "derivative", "at a kink"), sorted(pointwise), width),
        "", bold("Short for an expression, which is differentiated in its place"),
        *_table(("function", "stands for"), sorted(macros), width),
        "", bold("Along the last axis, or changing the shape"),
        *_table(("function", "sends back", "literal numbers"), sorted(along), width),
        "",
    ]
    legend = [
        "y is the function's own value, d the gradient at y, n the length of the last axis of a, m of the one "
        "before. If there are several arguments, each has a line.",
        "A kink is a point without a derivative; the derivative that is used there is a convention.",
        *(f"{name}{EXPLAINED[name]}." for name in _internal(operations)),
        "Names with a capital are used only in what is sent back: no spec can call them.",
        f"For the meaning of each function, see {DOCS / 'language.md'}",
    ]
    return "\n".join([*lines, *(grey(line) for text in legend for line in prose(text, width, ""))])


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], width: int) -> list[str]:
    return table([heads, *rows], width, (coloured, str, grey)[: len(heads)])


def _each(arguments: Sequence[str], rules: Sequence[str]) -> str:
    """The rule for each argument, each on a line of its own if there are several."""
    if len(rules) == 1:
        return rules[0]
    return "\n".join(f"{argument}: {rule}" for argument, rule in zip(arguments, rules, strict=True))


def _sent_back(entry: Operation) -> str:
    if entry.adjoints:
        return _each(entry.arguments[: len(entry.adjoints)], entry.adjoints)
    return "to each argument its piece of d" if entry.arguments[-1] == "..." else "nothing"


def _literals(entry: Operation) -> str:
    """The arguments that are literal numbers, with their defaults."""
    names = entry.arguments[len(entry.arguments) - entry.literals:]
    defaults = dict(zip(reversed(names), reversed(entry.optional)))
    return ", ".join(f"{name} (default {defaults[name]})" if name in defaults else name for name in names)


def _internal(operations: Iterable[Operation]) -> list[str]:
    """The functions that are used only in what these operations send back."""
    rules = [rule for entry in operations for rule in entry.adjoints]
    rules += [rule for pointwise in POINTWISE for rule in pointwise.derivatives]
    called = {node.function for rule in rules for node in walk(parse_rule(rule)) if isinstance(node, Call)}
    return [name for name in EXPLAINED if name in called and name not in PUBLIC]
