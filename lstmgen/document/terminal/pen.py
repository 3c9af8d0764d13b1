"""Spells the expressions of one cell for a terminal, and arranges a gradient in rows."""

from __future__ import annotations

import re
from collections.abc import Callable

from ...derivation.chain import OUTPUT, START, Contribution, Derivation, Gradient
from ...derivation.chain import later as _later
from ...derivation.graph import Graph, Stage
from ...language.expressions import (
    Adjoint, Call, Expression, Product, Sum, Value, children, product, rebuild, walk,
)
from ...language.shapes import SCALAR, Shape, describe, shape_of
from ...language.text import plain
from .columns import Row


class TerminalPen:
    """Spells one cell's expressions, with symbols or in ASCII, and styles text."""

    def __init__(self, derivation: Derivation, unicode: bool, width: int):
        self.derivation, self.graph = derivation, derivation.graph
        self.unicode, self.width = unicode, width
        self.minus = "−" if unicode else "-"
        self.met: dict[str, None] = {}  # functions of derivatives alone that were printed: they are explained

    def spell(self, expression: Expression) -> str:
        bare = _broadcast(expression, self.graph)
        for node in walk(bare):
            if isinstance(node, Call) and node.function in EXPLAINED:
                self.met.setdefault(node.function)
        return plain(bare, self.unicode)

    def value(self, name: str, lag: int = 0) -> str:
        return self.spell(Value(name, 0 if name in self.graph.static else lag))

    def delta(self, name: str, lag: int = 0) -> str:
        return self.spell(Adjoint(name, 0 if name in self.graph.static else lag))

    def equation(self, stage: Stage, lag: int = 0) -> str:
        """A stage's equation, as it is `lag` steps later."""
        expression = _later(stage.expression, lag, self.graph.static)
        return f"{self.value(stage.name, lag)} = {self.spell(expression)}"

    def derivative(self, reader: str, lag: int, value: str) -> str:
        sign = "∂" if self.unicode else "d "
        return f"{sign}{self.value(reader, lag)} / {sign}{self.value(value)}"

    def size(self, shape: Shape) -> str:
        text = describe(shape) if shape else "scalar"
        return re.sub(r"(\d)\*(?=[A-Za-z])", r"\1", text) if self.unicode else text

    def term(self, fork: Contribution) -> str:
        """One contribution, as a term of a sum."""
        if fork.kind == START:
            return f"{self.delta(fork.reader)}[0]"
        text = self.spell(fork.term)
        if not fork.over_time:
            return text
        over = "Σₜ " if self.unicode else "sum_t "
        if isinstance(fork.term, Sum):
            return f"{over}({text})"
        return self.minus + over + text[1:] if text.startswith(self.minus) else over + text

    def total(self, gradient: Gradient) -> str:
        """A gradient in one line."""
        if not any(fork.over_time or fork.kind == START for fork in gradient.forks):
            return self.spell(gradient.expression)
        text, *others = [self.term(fork) for fork in gradient.forks]
        for other in others:
            text += f" {self.minus} {other[1:]}" if other.startswith(self.minus) else f" + {other}"
        return text

    def origin(self, fork: Contribution) -> str:
        """Where a contribution comes from, in a word or two."""
        if fork.kind == OUTPUT:
            return "from outside"
        if fork.kind == START:
            return "from the first step"
        text = f"from {self.value(fork.reader, fork.lag)}"
        return f"{text}, at t = T only" if self.at_last_step(fork) else text

    def at_last_step(self, fork: Contribution) -> bool:
        """Whether the reader exists at the last step only."""
        return fork.reader in self.derivation.last_step_only

    def legend(self) -> list[str]:
        """What the printed internal functions mean."""
        spelled = {name: (name if not self.unicode else _SHOWN.get(name, name.lower())) for name in self.met}
        return [f"{spelled[name]}{EXPLAINED[name]}" for name in self.met]


EXPLAINED = {
    "fill": "(a, n): each entry of a, n times along a new last axis",
    "heads": "(a, n): the last axis of a as n rows, one after the other",
    "flat": "(a): the last two axes of a as one",
    "Reverse_cumsum": "(a): the running sum from the last entry to the first",
    "Inverse_std": "(a): 1 / sqrt(var(a) + 1e-5), or with the constant that is its second argument",
    "Inverse_rms": "(a): 1 / sqrt(mean(a ** 2) + 1e-6), or with the constant that is its second argument",
    "Inverse_norm": "(a): 1 / sqrt(sum(a ** 2) + 1e-6), or with the constant that is its second argument",
    "Clip": "(a, k): a, but -k where it is less and k where it is more",
    "Bell": "(a): 2 / sqrt(pi) * exp(-a ** 2), the derivative of erf",
    "Fold": "(a, n): each n neighbouring entries of a added up",
    "Place": "(a, k, n): a as part k of n (the first is 0), and zeros elsewhere",
    "Slice": "(a, low, high): the entries of a from low up to, not including, high; the first is 0",
}
_SHOWN = {"Inverse_std": "rstd", "Inverse_rms": "rrms", "Inverse_norm": "rnorm"}


def _broadcast(expression: Expression, graph: Graph) -> Expression:
    """The expression without copies of a scalar beside an array: they need not be written."""
    parts = tuple(_broadcast(part, graph) for part in children(expression))
    if isinstance(expression, (Sum, Product)):
        bare = [_without_copies(part, graph) for part in parts]
        meets = any(shape_of(part, graph.shapes) == shape_of(expression, graph.shapes) for part in bare)
        if meets and tuple(bare) != parts:
            return product(*bare) if isinstance(expression, Product) else Sum(tuple(bare))
    return rebuild(expression, parts) if parts else expression


def _without_copies(part: Expression, graph: Graph) -> Expression:
    """The scalar, if the part is a scalar copied to the entries of a vector; anything else as it is."""
    match part:
        case Call(function="fill", arguments=(copied, _)) if shape_of(copied, graph.shapes) == SCALAR:
            return copied
    return part


def gradient_rows(pen: TerminalPen, gradient: Gradient, remark: Callable[[Contribution], str]) -> list[Row]:
    """The sum of a gradient, with a row for each contribution and a remark beside it."""
    left = pen.delta(gradient.value)
    if not gradient.forks:
        return [Row(left, "=", "1" if gradient.value == pen.graph.loss else "0", "", True)]
    rows = []
    for index, fork in enumerate(gradient.forks):
        text = pen.term(fork)
        sign = "+" if index else "="
        if index and text.startswith(pen.minus):
            sign, text = pen.minus, text[1:]
        rows.append(Row("" if index else left, sign, text, remark(fork), True))
    return rows
