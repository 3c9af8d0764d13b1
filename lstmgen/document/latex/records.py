r"""The records of a derivation as LaTeX: a contribution for the document, and every record for a notebook."""

from __future__ import annotations

from ...derivation.chain import START, Contribution, Derivation, Gradient
from ...derivation.graph import Graph, Stage
from ...language.expressions import Sum, Value
from ..notation import Notation, make_notation
from .lines import plain
from .printer import Printer, parenthesised


def latex_of(item: Contribution | Gradient | Stage | Derivation, graph: Graph | None = None) -> str:
    """A record as LaTeX, with the symbols that its document has. `graph` is the cell it belongs to."""
    if isinstance(item, Derivation):
        notation = make_notation(item.graph)
        printer = Printer(notation)
        stages = [_stage(stage, printer) for stage in item.graph.stages]
        gradients = [_gradient(gradient, notation, printer) for gradient in item.adjoints.values()]
        return "\\begin{aligned}\n" + " \\\\\n".join([*stages, *gradients]) + "\n\\end{aligned}"
    if graph is None:
        raise ValueError("latex_of needs the graph that a record belongs to")
    notation = make_notation(graph)
    printer = Printer(notation)
    if isinstance(item, Stage):
        return _stage(item, printer).replace("&", "")
    if isinstance(item, Gradient):
        return "\\begin{aligned}\n" + _gradient(item, notation, printer) + "\n\\end{aligned}"
    return plain(marked_term(item, printer, notation.steps))


def marked_term(fork: Contribution, printer: Printer, steps: str, last_step_only: bool = False) -> str:
    """One contribution. If it exists at the last step only, it has the bracket [t=T]."""
    if fork.kind == START:
        return rf"{printer(fork.upstream)}\big|_{{t=0}}"
    text = printer.marked(fork.term)
    if last_step_only:
        bracket = rf"[t={steps}]\,"
        text = f"-{bracket}{text[1:]}" if text.startswith("-") else bracket + (
            parenthesised(text) if isinstance(fork.term, Sum) else text)
    if fork.over_time:
        sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
        inner = parenthesised(text) if isinstance(fork.term, Sum) and not last_step_only else text
        text = rf"{sign}\textstyle\sum_{{t=1}}^{{{steps}}}\displaystyle {inner}"
    return text


def _stage(stage: Stage, printer: Printer) -> str:
    if printer.notation.definition(stage.name) is not None:
        return "&" + printer(stage.expression)
    return f"{printer(Value(stage.name))}&={printer.cases(stage.expression) or printer(stage.expression)}"


def _gradient(gradient: Gradient, notation: Notation, printer: Printer) -> str:
    terms = [plain(marked_term(fork, printer, notation.steps)) for fork in gradient.forks]
    if not terms:
        terms = ["1" if gradient.value == notation.graph.loss else r"\bm 0" if gradient.shape else "0"]
    signed = terms[:1] + [text if text.startswith("-") else "+" + text for text in terms[1:]]
    return rf"{printer.adjoint(gradient.value)}&=" + r" \\ &\quad{}".join(signed)
