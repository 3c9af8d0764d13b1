"""Expressions in the source's own names: the mapping of a claims file applied backwards."""

from __future__ import annotations

import re

from ..derivation.graph import Graph
from ..language.expressions import (
    Adjoint, Call, Expression, MatVec, Negative, Outside, Product, Value, children, product, rebuild, transform,
)
from ..language.functions import TABLE, Operation
from ..language.shapes import ShapeMismatch, Shapes, shape_of
from ..language.text import source
from .forms import step_of

_NUMBERED = re.compile(r"\[t\+(\d{6,})\]")


def numbers_told(text: str) -> str:
    """A text with steps by their numbers as they are written: `d_c[3]`."""
    return _NUMBERED.sub(lambda match: f"[{step_of(int(match[1]), 0)}]", text)


class Spelling:
    """Spells expressions as the author of the claims would."""

    def __init__(self, graph: Graph, names: tuple[tuple[str, str], ...] = ()):
        self.graph = graph
        self.theirs: dict[str, str] = {}
        for theirs, ours in names:
            self.theirs.setdefault(ours, theirs)

    def __call__(self, expression: Expression) -> str:
        text = source(self.renamed(_without_fills(expression, self.graph.shapes)))
        text = re.sub(r"\bSlice\(", "slice(", text)
        text = numbers_told(text)
        text = re.sub(r"\bt\[(t[+-]\d+|\d+)\]", r"\1", text)  # a step as a reader: via(d_c, t+1)
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


def _without_fills(expression: Expression, shapes: Shapes) -> Expression:
    """A scalar in place of a vector of it, beside a vector: `d_s * w` for `fill(d_s, H) * w`."""
    parts = tuple(_without_fills(part, shapes) for part in children(expression))
    expression = rebuild(expression, parts) if parts else expression
    elementwise = not isinstance(expression, (MatVec, Call)) or (
        isinstance(expression, Call) and not isinstance(TABLE.get(expression.function), (Operation, type(None))))
    if not elementwise or all(_filled(part) is None for part in parts):
        return expression
    try:
        if all(_filled(part) is not None or not shape_of(part, shapes) for part in parts):
            return expression  # nothing else has the shape
        bare = tuple(
            inner if inner is not None and not shape_of(inner, shapes) else part
            for part, inner in zip(parts, map(_filled, parts))
        )
    except (ShapeMismatch, LookupError, TypeError):
        return expression  # it holds what only claims can say
    return product(*bare) if isinstance(expression, Product) else rebuild(expression, bare)


def _filled(expression: Expression) -> Expression | None:
    match expression:
        case Call(function="fill", arguments=(inner, _)):
            return inner
        case Negative(operand=Call(function="fill", arguments=(inner, _))):
            return Negative(inner)
    return None
