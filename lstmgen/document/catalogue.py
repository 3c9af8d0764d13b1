"""The cells that come with lstmgen, as data: what each is, how large it is, and which functions it needs.

`python -m lstmgen.document.catalogue` prints them as a page of Markdown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..derivation.build import build_graph
from ..derivation.graph import Graph
from ..derivation.linear import is_linear_in_state
from ..errors import Mistakes
from ..language.expressions import Call, MatVec, walk
from ..language.parse import parse
from ..language.shapes import Dim, describe, size_of
from ..printed import shortened
from ..resources import CONFIRMED, packaged_specs
from ..spec.expand import array_text
from ..spec.reader import load

OTHERS = "Other cells"  # the heading for specs without a group


@dataclass(frozen=True, repr=False)
class Entry:
    """One packaged cell."""

    graph: Graph
    oracles: tuple[str, ...]  # who confirmed it, as tests/references records

    def __str__(self) -> str:
        return f"{self.name}: {self.title}"

    def __repr__(self) -> str:
        return shortened(f"<Entry {self}>")

    @property
    def name(self) -> str:
        return self.graph.spec.name

    @property
    def title(self) -> str:
        return self.graph.spec.title

    @property
    def group(self) -> str:
        return self.graph.spec.group or OTHERS

    @property
    def states(self) -> tuple[str, ...]:
        return self.graph.states

    def count(self, unicode: bool = True) -> str:
        return parameter_count(self.graph, unicode)

    @property
    def is_linear(self) -> bool:
        """Whether each state is linear in the states of the step before."""
        return is_linear_in_state(self.graph)

    @property
    def needs(self) -> tuple[str, ...]:
        """The functions and operators of the language that its equations use, by name."""
        spec = self.graph.spec
        own = {function.name: function for function in spec.functions}
        mistakes = Mistakes(spec.path, spec.source)
        texts = [equation.body for equation in spec.equations] + [function.body for function in spec.functions]
        texts += [spec.loss] if spec.loss is not None else []
        found = set()
        for text in texts:
            expression = parse(text, mistakes, own)
            assert expression is not None  # because the graph could be built
            for node in walk(expression):
                if isinstance(node, MatVec):
                    found.add("@")
                elif isinstance(node, Call) and node.function not in own:
                    found.add(node.function)
        return tuple(sorted(found))

    @property
    def confirmed(self) -> tuple[str, ...]:
        """Who confirmed it, in a word each: a library, or `equations` written again by hand."""
        words = ("equations" if ": the equations" in said else said.split(".")[0].split(",")[0] for said in self.oracles)
        return tuple(dict.fromkeys(words))


def entries() -> tuple[Entry, ...]:
    """All packaged cells, by group in the order of their first names, and by name."""
    oracles = _oracles()
    found = [Entry(graph, oracles.get(graph.spec.name, ())) for graph in map(_graph, packaged_specs())]
    return tuple(sorted(found, key=lambda entry: (entry.group == OTHERS, entry.group, entry.name)))


def _graph(path: Path) -> Graph:
    return build_graph(load(path))


# ---------------------------------------------------------------- how many parameters

_POWERS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def parameter_count(graph: Graph, unicode: bool = True) -> str:
    """The number of learned numbers, as a formula in the sizes: 4DH + 4H² + 7H."""
    total = dict(sum((size_of(graph.shapes[name]) for name in graph.parameters), Dim()).monomials())
    position = {symbol: index for index, (symbol, _) in enumerate(graph.dims)}
    ordered = sorted(total, key=lambda symbols: (-len(symbols), [position[symbol] for symbol in symbols]))
    return " + ".join(_monomial(symbols, total[symbols], unicode) for symbols in ordered) or "0"


def _monomial(symbols: tuple[str, ...], factor: int, unicode: bool) -> str:
    parts = []
    for symbol in dict.fromkeys(symbols):
        power = symbols.count(symbol)
        raised = str(power).translate(_POWERS) if unicode else f"^{power}"
        parts.append(symbol + (raised if power > 1 else ""))
    number = [str(factor)] if factor != 1 or not parts else []
    if not unicode:
        return "*".join(number + parts)
    joint = "" if all(len(symbol) == 1 for symbol in symbols) else "·"
    return "".join(number) + joint.join(parts)


# ---------------------------------------------------------------- a page


def _oracles() -> dict[str, tuple[str, ...]]:
    """Who confirmed which cell, by the recorded references; empty if these are missing."""
    try:
        records = json.loads(CONFIRMED.read_text(encoding="utf-8"))["references"]
    except (OSError, ValueError, KeyError):
        return {}
    found: dict[str, list[str]] = {}
    for record in records:
        said = record["oracle"] + ("" if record.get("gradients", True) else " (forward)")
        found.setdefault(record["cell"], []).append(said)
    return {cell: tuple(sorted(said)) for cell, said in found.items()}


def zoo_markdown() -> str:
    """Every packaged cell: equations, states, parameters, references, what it needs, who confirmed it."""
    cells = entries()
    lines = ["# The cells that come with lstmgen", "",
             "Made from `specs/` by `make generated`. Each is built by its name: `lstmgen build gru`.", ""]
    group = None
    for entry in cells:
        if entry.group != group:
            group = entry.group
            lines += [f"## {_escaped(group)}", "",
                      "| name | states | parameters | confirmed by |", "|---|---|---|---|"]
            lines += [f"| [`{cell.name}`](#{cell.name}) | {', '.join(cell.states)} | {cell.count()} | "
                      f"{_escaped('; '.join(cell.oracles))} |" for cell in cells if cell.group == group]
            lines.append("")
        lines += _section(entry)
    return "\n".join(lines).rstrip() + "\n"


def _section(entry: Entry) -> list[str]:
    spec = entry.graph.spec
    said = f"**{_escaped(entry.title)}.** {_escaped(spec.description)}".rstrip()
    lines = [f"### {entry.name}", "", said, "", "```text"]
    width = max(len(equation.name) for equation in spec.equations)
    lines += [f"{item.name}({', '.join(item.arguments)}) = {item.body.value}" for item in spec.functions]
    lines += [f"{constant.name} = {float(constant.value):g}" for constant in spec.constants]
    lines += [f"{array.name} = {array_text(array)}" for array in spec.arrays]
    lines += [f"{item.name:<{width}} = {' '.join(item.body.value.split())}" for item in spec.equations]
    if spec.loss is not None:
        lines.append(f"loss = {spec.loss.value}   ({spec.loss_at} step)")
    lines += ["```", ""]
    states = ", ".join(f"{name} {_shape(entry.graph, name)}" for name in entry.states)
    linear = ", linear in the states of the step before" if entry.is_linear else ""
    lines.append(f"States: {states}{linear}. Parameters: {entry.count()}. "
                 f"Needs: {', '.join(f'`{name}`' for name in entry.needs) or 'arithmetic alone'}.")
    if spec.references:
        lines += ["", *(f"* {_escaped(reference)}" for reference in spec.references)]
    return [*lines, ""]


def _shape(graph: Graph, name: str) -> str:
    return describe(graph.shapes[name]).replace("*", "")


def _escaped(text: str) -> str:
    """Plain text, escaped for Markdown."""
    for char in "\\`*_<>[]|":
        text = text.replace(char, f"\\{char}")
    return text


if __name__ == "__main__":
    import sys

    sys.stdout.buffer.write(zoo_markdown().encode("utf-8"))
