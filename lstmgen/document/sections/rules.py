r"""The rules that a backward pass needs: that at a fork, and the derivatives of the cell's functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ...derivation.chain import OUTER, OUTPUT, START, TRANSPOSED, Contribution, later
from ...derivation.graph import Graph
from ...language import functions
from ...language.expressions import Call, Expression, Number, Value, transform, values, walk
from ...language.parse import parse_rule
from ...language.shapes import SCALAR, Shape, shape_of
from ..blocks import Block, Formula, Prose, Remark, Section, Table
from ..latex.functions import TABLE as FORMULAS
from ..latex.lines import broken, width
from ..latex.printer import Printer
from ..pen import CONTINUED, TEXT_WIDTH, Pen
from ..wording import listed, math_text


def rule_section(pen: Pen) -> Section:
    blocks: list[Block] = [
        Prose(r"Let the stages $\bm r_1,\dots,\bm r_K$ read $\bm v$. A small change of $\bm v$ "
              "reaches the loss through each of them, and to first order the effects add up:"),
        Formula(r"\delta\bm v=\sum_{k=1}^{K}\Bigl(\frac{\partial^{+}\bm r_k}{\partial\bm "
                r"v}\Bigr)^{\mathsf T}"
                r"\delta\bm r_k ."),
        Prose(r"Each term is a \emph{contribution}: the adjoint of a reader times a derivative of its equation. "
              r"These are two kinds of derivative. The adjoint $\delta\bm r_k$, called \emph{upstream}, is a total "
              r"derivative: it counts all paths from $\bm r_k$ to the loss. The \emph{local} derivative "
              r"$\partial^{+}\bm r_k/\partial\bm v$ differentiates the equation of the reader and nothing else. It "
              r"holds the reader's other arguments constant, even if they depend on $\bm v$ themselves. Nothing is lost "
              r"by that: such an argument is a reader of $\bm v$ too, or depends on one, and its effect comes back "
              "through that reader. With total derivatives in both places, some paths would be counted twice; with "
              "local derivatives in both places, some would be missing."),
    ]
    example = _example(pen)
    if example is not None:
        blocks.append(example)
    blocks.append(Prose(_transposes(pen)))
    return Section("The rule at a fork", "rule", tuple(blocks))


def _transposes(pen: Pen) -> str:
    if not any(fork.kind in (OUTER, TRANSPOSED) for fork in pen.derivation.contributions()):
        return ("The local derivative of an elementwise formula is diagonal, so the transpose changes nothing.")
    return (r"For $\bm r=\bm W\bm v$ the entry $v_k$ is multiplied by $W_{jk}$ on its way into $r_j$, "
            r"for every $j$. So $v_k$ gets $\sum_j W_{jk}\,\delta r_j$ back, which is entry $k$ of $\bm "
            r"W^{\mathsf T}\delta\bm r$; and $W_{jk}$ gets $\delta r_j\,v_k$, which is an entry of the matrix "
            r"$\delta\bm r\,\bm v^{\mathsf T}$. It is the transpose and not the inverse: the gradient goes back "
            "the way that the value came, and no equation is solved.")


def _example(pen: Pen) -> Remark | None:
    """A reader of this cell that meets a value directly and by a detour."""
    found = _detour(pen)
    if found is None:
        return None
    fork = found.fork
    local = pen.plain(later(found.local, fork.lag, pen.graph.static))
    reader, value = pen.plain(Value(fork.reader, fork.lag)), pen.plain(Value(fork.target))
    derivative = rf"\frac{{\partial^{{+}}{reader}}}{{\partial {value}}}"
    diagonal = rf"\operatorname{{diag}}({local})" if pen.graph.shapes[fork.target] else local
    others = [math_text(pen.plain(later(argument, fork.lag, pen.graph.static))) for argument in found.held]
    ways = listed([math_text(pen.plain(Value(way.reader, way.lag))) for way in found.ways])
    branches = "another branch" if len(found.ways) == 1 else "other branches"
    one = len(others) == 1
    text = (f"The stage {math_text(reader)} reads {math_text(value)}. It also reads {listed(others)}, which "
            f"{'depends' if one else 'depend'} on {math_text(value)}. Its local derivative holds "
            rf"{'that' if one else 'them'} constant: $\displaystyle {derivative}={diagonal}$. The effect of "
            f"{math_text(value)} on {listed(others)} goes through {branches} of the same fork, "
            f"to {ways}, and is counted there: see {pen.number(fork.target)}.")
    return Remark("In this cell.", text, f"fork{pen.colours[fork.target]}"
                  if fork.target in pen.colours else "ink")


def _leads_to(pen: Pen, fork: Contribution, value: Value) -> bool:
    """Whether a branch changes a value; the lag of both counts from the step of the branch's target."""
    if fork.kind in (OUTPUT, START):
        return False
    return (fork.reader, fork.lag) == (value.name, value.lag) or _reaches(
        pen, fork.reader, value.name, value.lag - fork.lag)


@dataclass(frozen=True)
class _Detour:
    """A branch whose reader meets the value by another way too."""

    fork: Contribution
    local: Expression  # the fork's own
    held: list[Value]  # what the reader reads beside the value and that depends on it
    ways: list[Contribution]  # the branches that lead there


def _detour(pen: Pen) -> _Detour | None:
    """A branch whose reader depends on the value by another branch too; of states first."""
    gradients = sorted(pen.forks, key=lambda gradient: (gradient.value not in pen.graph.states,
                                                         -len(gradient.forks)))
    for gradient in gradients:
        for fork in reversed(gradient.forks):
            if fork.local is None or pen.is_still(fork.reader):
                continue
            stage = pen.graph.stage(fork.reader)
            held = [value for value in values(stage.expression)
                    if value != Value(gradient.value, -fork.lag)
                    and _reaches(pen, gradient.value, value.name, fork.lag + value.lag)]
            if held and not isinstance(fork.local, Number) and width(pen.plain(fork.local)) < 200:
                ways = [other for other in gradient.forks if other.key != fork.key and any(
                    _leads_to(pen, other, Value(value.name, value.lag + fork.lag)) for value in held)]
                if ways:
                    return _Detour(fork, fork.local, held, ways)
    return None


def _reaches(pen: Pen, source: str, target: str, steps: int) -> bool:
    """Whether a value changes another one, `steps` later, within those steps."""
    if steps < 0:
        return False
    reached = {(source, 0)}
    ahead = [(source, 0)]
    while ahead:
        name, at = ahead.pop()
        for reader in pen.graph.readers(name):
            then = (reader.stage, at + reader.lag)
            if then[1] <= steps and then not in reached:
                reached.add(then)
                ahead.append(then)
    return (target, steps) in reached - {(source, 0)}


def derivatives_section(pen: Pen) -> Section | None:
    calls = _calls(pen)
    rows = _rule_rows([_rules(call, pen.graph) for call in calls])
    blocks: list[Block] = []
    if rows:
        blocks.append(Prose("A derivative is written in the function's own value $y$ if that is shorter: the forward pass "
                            "has computed $y$."))
        blocks.append(Table("The functions of this cell and their derivatives.",
                            r"@{}>{$\displaystyle}l<{$}@{\hspace{2.5em}}>{$\displaystyle}l<{$}@{}",
                            (r"\text{Value}", r"\text{Derivative, or what is sent "
                                              r"back}"), tuple(rows), "5pt"))
    said = _kinks(pen, calls)
    if said:
        blocks.append(Prose(" ".join(said)))
    if not blocks:
        return None
    return Section("Derivatives used", "derivatives", tuple(blocks))


def _calls(pen: Pen) -> list[Call]:
    """The calls of the cell, one of each function; literal arguments tell two uses apart."""
    found: dict[str, Call] = {}
    for stage in pen.graph.stages:
        for node in walk(stage.expression):
            if isinstance(node, Call) and values(node):
                found.setdefault(node.function, node)
    return list(found.values())


def _kinks(pen: Pen, calls: list[Call]) -> list[str]:
    entries = [functions.TABLE.get(call.function) for call in calls]
    notes = [_kink(entry, entry.kink) for entry in entries if isinstance(entry, functions.Pointwise) and entry.kink]
    said = []
    if notes:
        said.append(f"Where there is no derivative, one is chosen: {'; '.join(notes)}.")
    if any(call.function == functions.WHERE for call in calls):
        said.append("A choice sends its gradient to the side that was taken, and nothing to the comparison.")
    if any(call.function == "surrogate" for call in calls):
        said.append(r"The derivative of $\operatorname{surrogate}(a,b,c)$ with respect to $a$ is replaced by $c$ on purpose, "
                    "and nothing goes back through $b$ and $c$. The proofs replace it, too.")
    if any(call.function == "stop_gradient" for call in calls):
        said.append(r"Nothing goes back through $\operatorname{stop}$: its argument is held constant by "
                    "definition.")
    return said


def _kink(entry: functions.Pointwise, kink: functions.Kink) -> str:
    """What is taken for the derivative at a kink, in a sentence."""
    call = FORMULAS[entry.name].call
    head, arguments, _ = call.partition("({a}")
    symbol = "|a|" if entry.name == "abs" else (head if arguments else call).format(a="a")
    value = f"${kink.value}$" if "." in kink.value else kink.value
    if kink.place == functions.AT_A_TIE:
        return f"at a tie each argument of ${symbol}$ gets {value} of the gradient"
    if kink.place == functions.EVERYWHERE:
        return f"the derivative of ${symbol}$ is taken to be {value} everywhere"
    return f"the derivative of ${symbol}$ {kink.place} is taken to be {value}"


# ---------------------------------------------------------------- rules of functions


class _RuleSymbols:
    """The notation of a rule: a, b, c are arguments, y the value, d its gradient, n a length."""

    def __init__(self, shapes: Mapping[str, Shape]):
        self.shapes = shapes
        self.symbols = {name: name for name in shapes}

    def value(self, name: str, step: str = "t") -> str:
        if name == "d":
            return rf"\delta {self.value('y')}"
        letter = name.upper() if len(self.shapes[name]) == 2 else name
        return rf"\bm {letter}" if self.shapes[name] else letter

    def shape(self, expression: Expression) -> Shape:
        return shape_of(expression, self.shapes)

    def definition(self, name: str, lag: int = 0) -> None:
        return None

    def size(self, symbol: str) -> str:
        return symbol

    def has_superscript(self, name: str, step: str = "t") -> bool:
        return name == "d"


class Rule(NamedTuple):
    """What a document states once about a function, with marks where a line may end."""

    value: str
    sent: list[str]  # what goes back to each argument


def _rule_rows(rules: list[Rule | None]) -> list[tuple[str, str]]:
    """The rows of the table of rules; what is too wide goes on in the next one."""
    found = [rule for rule in rules if rule is not None]
    limit = TEXT_WIDTH - max((width(rule.value) for rule in found), default=0.0) - 40.0
    rows = []
    for value, sent in found:
        for derivative in sent:
            first, *others = broken(derivative, limit, limit - CONTINUED)
            rows.append((value, first))
            rows += [("", rf"\goeson {line}") for line in others]
            value = ""
    return rows


def _rules(call: Call, graph: Graph) -> Rule | None:
    """What the document states once about a function."""
    entry = functions.TABLE.get(call.function)
    if isinstance(entry, functions.Pointwise):
        return _pointwise_rule(entry)
    if isinstance(entry, functions.Operation) and entry.adjoints:
        return _operation_rule(entry, call, graph)
    return None


def _pointwise_rule(entry: functions.Pointwise) -> Rule:
    printer = Printer(_RuleSymbols(dict.fromkeys((*entry.arguments, "y"), SCALAR)))
    value = "y=" + printer(Call(entry.name, tuple(Value(name) for name in entry.arguments)))
    formula = FORMULAS.get(entry.name)
    if formula and formula.meaning:
        value += "=" + formula.meaning
    sign = r"\mathrm d" if len(entry.arguments) == 1 else r"\partial"
    return Rule(value, [rf"\frac{{{sign} y}}{{{sign} {name}}}={printer.marked(parse_rule(rule))}"
                        for name, rule in zip(entry.arguments, entry.derivatives)])


def _operation_rule(entry: functions.Operation, call: Call, graph: Graph) -> Rule:
    shapes: dict[str, Shape] = {}
    given: dict[str, Expression] = {}
    for name, argument in zip(entry.arguments, call.arguments):
        if values(argument):
            shapes[name] = shape_of(argument, graph.shapes)
        else:
            given[name] = argument
    given |= {name: parse_rule(text) for name, text in functions.left_out(entry, len(call.arguments)).items()}
    generic = tuple(given.get(name, Value(name)) for name in entry.arguments[: len(call.arguments)])
    shapes["y"] = shapes["d"] = shape_of(Call(call.function, generic), shapes)
    printer = Printer(_RuleSymbols(shapes))
    sent = []
    for name, rule in zip(entry.arguments, entry.adjoints):
        last = shapes[name][-1].expression() if shapes.get(name) else None

        def put_in(node: Expression, last: Expression | None = last) -> Expression | None:
            if isinstance(node, Value):
                return last if node.name == "n" and last is not None else given.get(node.name)
            return None

        share = printer.marked(transform(parse_rule(rule), put_in))
        sent.append(rf"\delta {printer.notation.value(name)}={share}")
    return Rule(f"{printer.notation.value('y')}={printer(Call(call.function, generic))}", sent)

