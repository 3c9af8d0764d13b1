"""Expressions in the source's own names: the mapping of a claims file applied backwards."""

from __future__ import annotations

import re

from ..derivation.graph import Graph
from ..language.expressions import Adjoint, Expression, Outside, Value, transform
from ..language.text import source
from .forms import step_of

_FORMS = {"Slice": "slice", "Fill": "fill"}
_CALL = re.compile(r"\b(Slice|Fill)\(")
_NUMBERED = re.compile(r"\[t\+(\d{6,})\]")


class Spelling:
    """Spells expressions as the author of the claims would."""

    def __init__(self, graph: Graph, names: tuple[tuple[str, str], ...] = ()):
        self.graph = graph
        self.theirs: dict[str, str] = {}
        for theirs, ours in names:
            self.theirs.setdefault(ours, theirs)

    def __call__(self, expression: Expression) -> str:
        text = source(self.renamed(expression))
        text = _CALL.sub(lambda match: _FORMS[match[1]] + "(", text)
        text = _NUMBERED.sub(lambda match: f"[{step_of(int(match[1]), 0)}]", text)
        text = re.sub(r"\bt\[t\+1\]", "t+1", text)
        return re.sub(r"\bdy_#", "dy", text)

    def renamed(self, expression: Expression) -> Expression:
        """The expression with the source's names for ours."""

        def rule(node: Expression) -> Expression | None:
            if isinstance(node, (Value, Adjoint)):
                return type(node)(self.name(node.name), node.lag, node.at)
            if isinstance(node, Outside):
                alone = len(self.graph.outputs) == 1
                return Outside("#" if alone else self.name(node.name), node.lag, node.at)
            return None

        return transform(expression, rule)

    def name(self, ours: str) -> str:
        """The source's name for ours."""
        if ours in self.theirs:
            return self.theirs[ours]
        base = ours.removesuffix("_pre")
        if base != ours and base in self.theirs:
            return f"{self.theirs[base]}_pre"
        return ours
