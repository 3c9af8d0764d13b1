"""An explanation and an overview for a notebook: HTML with formulas that the notebook sets, and forks in their colours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from ..derivation.chain import OUTPUT, START, Contribution, Derivation, Gradient, later
from ..language.expressions import Adjoint, Expression, Value
from ..schedule.make import make_schedule
from .latex.records import marked_term
from .latex.lines import plain
from .latex.printer import Printer
from .notation import Notation, make_notation
from .pen import COLOURS, Pen
from .terminal.explain import reasons
from .terminal.pen import TerminalPen

_LEFT = 'style="text-align: left; vertical-align: top"'


def explanation_html(derivation: Derivation, gradient: Gradient) -> str:
    """One gradient, contribution by contribution. Raises `SpecError` if two names have one symbol in the cell's notation."""
    writer = _Writer(derivation)
    told = reasons(_FormulaPen(writer), gradient)
    rows = [writer.fork(number, fork, dict(facts))
            for number, (fork, facts) in enumerate(zip(gradient.forks, told.terms, strict=True), 1)]
    whole = writer.formula(*writer.total(gradient))
    return (f"<div><p><b>The gradient at {writer.formula(writer.values(Value(gradient.value)))}</b></p>"
            f"<p>{_text(told.rule)}</p><table><tbody>{''.join(rows)}</tbody></table><p>{whole}</p>"
            f"{''.join(f'<p>{_text(line)}</p>' for line in told.ends)}</div>")


def overview_html(derivation: Derivation) -> str:
    """A whole cell: its equations, and every gradient. Raises `SpecError` as `explanation_html` does."""
    writer = _Writer(derivation)
    forward = [writer.stage(stage.name, stage.expression) for stage in derivation.graph.stages]
    backward = [writer.formula(*writer.total(gradient)) for gradient in derivation.adjoints.values()]
    return f"<div><p><b>Forward</b></p>{_lines(forward)}<p><b>Backward</b></p>{_lines(backward)}</div>"


def _lines(formulas: Sequence[str]) -> str:
    return "".join(f"<p>{formula}</p>" for formula in formulas)


class _Writer:
    """Formulas of one cell, with values and adjoints of forks in colours."""

    def __init__(self, derivation: Derivation):
        self.derivation, self.graph = derivation, derivation.graph
        self.notation: Notation = make_notation(self.graph)
        pen = Pen(make_schedule(derivation).plan, self.notation)
        self.values, self.adjoints = pen.forward, pen.backward
        self.both = Printer(self.notation, colour=lambda leaf: pen.value_colour(leaf) or pen.adjoint_colour(leaf))

    def formula(self, *parts: str) -> str:
        latex = re.sub(r"\\bm(?![A-Za-z])", r"\\boldsymbol", " ".join(parts))  # MathJax has no \bm
        latex = re.sub(r"\\fork\{(\d)\}", lambda found: rf"\textcolor{{#{COLOURS[int(found[1]) - 1]}}}", latex)
        return escape(f"${latex}$", quote=False)

    def stage(self, name: str, expression: Expression, lag: int = 0) -> str:
        right = self.values(later(expression, lag, self.graph.static))
        if self.notation.definition(name) is not None:
            return self.formula(right)
        return self.formula(self.values(Value(name, 0 if name in self.graph.static else lag)), "=", right)

    def total(self, gradient: Gradient) -> list[str]:
        terms = [plain(marked_term(fork, self.adjoints, self.notation.steps)) for fork in gradient.forks]
        if not terms:
            terms = ["1" if gradient.value == self.graph.loss else "0"]
        signed = terms[:1] + [term if term.startswith("-") else f"+ {term}" for term in terms[1:]]
        return [self.adjoints(Adjoint(gradient.value)), "=", *signed]

    def fork(self, number: int, fork: Contribution, facts: dict[str, str]) -> str:
        """A row of the table: who reads, what comes back, why."""
        why = _text(facts.get("outside", facts.get("local", "")))
        if fork.kind in (OUTPUT, START):
            return f"<tr><td {_LEFT}>{number}</td><td {_LEFT}></td><td {_LEFT}>{why}</td></tr>"
        through = self.stage(fork.reader, self.graph.stage(fork.reader).expression, fork.lag)
        term = self.formula(plain(marked_term(fork, self.adjoints, self.notation.steps)))
        still = f"<br>constant: {_text(facts['constant'])}" if "constant" in facts else ""
        return (f"<tr><td {_LEFT}>{number}</td><td {_LEFT}>through {through}<br>sends back {term}</td>"
                f"<td {_LEFT}>{why}{still}</td></tr>")


class _FormulaPen(TerminalPen):
    """Spells formulas for a notebook; they are marked, so that the text around them is escaped and they are not twice."""

    def __init__(self, writer: _Writer):
        super().__init__(writer.derivation, True, 10**9)
        self.writer = writer

    def spell(self, expression: Expression) -> str:
        return f"\x02{self.writer.formula(self.writer.both(expression))}\x03".replace("~", r"\ ")


def _text(text: str) -> str:
    """A sentence, whose formulas are HTML already."""
    parts = re.split("(\x02[^\x03]*\x03)", text)
    return "".join(part[1:-1] if part.startswith("\x02") else escape(part.replace("~", " ")) for part in parts)
