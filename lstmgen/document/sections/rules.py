r"""The rules that a backward pass needs: that at a fork, and the derivatives of the cell's functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ...derivation.chain import OUTER, OUTPUT, START, TRANSPOSED, Contribution, later
from ...derivation.graph import Graph
from ...language import functions
from ...language.expressions import Call, Expression, Number, Value, transform, values, walk
from ...language.parse import parse_rule
from ...language.shapes import SCALAR, Shape, axis_letters, shape_of
from ..blocks import Block, Formula, Prose, Remark, Section, Table
from ..inline import emphasis, math, strong, words
from ..latex.functions import TABLE as FORMULAS
from ..latex.lines import broken, width
from ..latex.printer import Printer
from ..pen import CONTINUED, TEXT_WIDTH, Pen, SmallEquation
from ..wording import listed


def rule_section(pen: Pen) -> Section:
    y, x, r, v, K, A, a = pen.letters("yusgq", "xsaeu", "rqgs", "vuab", "KNMLJ", "ABMQ", "adwe")
    blocks: list[Block] = [
        Prose(words(
            f"Take two numbers, ${y}={x}+{x}^2$. With ${x}^2$ held constant, ${y}$ has the derivative $1$; with the first "
            rf"${x}$ held constant, $2{x}$. Each is the derivative along one branch, and neither is $\mathrm "
            rf"d{y}/\mathrm d{x}$: "
            f"a derivation that follows one branch alone is wrong. The sum of both, $1+2{x}$, is right.")),
        Prose(words(
            rf"The same holds for any $\bm {v}$ that the stages $\bm {r}_1,\dots,\bm {r}_{K}$ read. Give each reader a copy, "
            rf"$\bm {r}_k$ the copy $\bm {v}^{{(k)}}$. All copies are equal to $\bm {v}$, so a small change of $\bm "
            rf"{v}$ changes "
            "each of them by as much. It reaches the loss through every copy, and to first order the effects add up:")),
        Formula(rf"\delta\bm {v}=\sum_{{k=1}}^{{{K}}}\delta\bm {v}^{{(k)}},\qquad \delta\bm {v}^{{(k)}}="
                rf"\Bigl(\frac{{\partial^{{+}}\bm {r}_k}}{{\partial\bm {v}}}\Bigr)^{{\mathsf T}}\delta\bm {r}_k ."),
        Prose(f"Each term is a {emphasis('contribution')}: the adjoint of a reader times a derivative of its equation. "
              "These are two kinds of derivative. " + words(rf"The adjoint $\delta\bm {r}_k$, called ") + emphasis("upstream")
              + words(rf", is a total derivative: it counts all paths from $\bm {r}_k$ to the loss. The ") + emphasis("local")
              + words(rf" derivative $\partial^{{+}}\bm {r}_k/\partial\bm {v}$ differentiates the equation of the reader and "
                      rf"nothing else. It holds the reader's other arguments constant, even if they depend on $\bm {v}$ "
                      rf"themselves. Nothing is lost by that: such an argument is a reader of $\bm {v}$ too, or depends on "
                      "one, and its effect comes back through that reader. With total derivatives in both places, some paths "
                      "would be counted twice; with local derivatives in both places, some would be missing.")),
    ]
    example = _example(pen)
    if example is not None:
        blocks.append(example)
    blocks.append(Prose(_transposes(pen, r, v, A, a)))
    return Section("The rule at a fork", "rule", tuple(blocks))


def _transposes(pen: Pen, r: str, v: str, A: str, a: str) -> str:
    elementwise = words(rf"If entry $j$ of $\bm {v}$ is read by entry $j$ of $\bm {r}$ alone, as in $\bm {r}=\bm "
                        rf"a\odot\bm {v}$, "
                        rf"then $\delta {v}_j={a}_j\,\delta {r}_j$: the local derivative is $\operatorname{{diag}}(\bm "
                        rf"a)$, and the "
                        "transpose changes nothing.")
    if not any(fork.kind in (OUTER, TRANSPOSED) for fork in pen.derivation.contributions()):
        return elementwise
    return elementwise + " " + words(
        rf"For $\bm {r}=\bm {A}\bm {v}$ the entry ${v}_k$ is multiplied by ${A}_{{jk}}$ on its way into ${r}_j$, for "
        rf"every $j$. So "
        rf"${v}_k$ gets $\sum_j {A}_{{jk}}\,\delta {r}_j$ back, which is entry $k$ of $\bm {A}^{{\mathsf T}}\delta\bm "
        rf"{r}$; and "
        rf"${A}_{{jk}}$ gets $\delta {r}_j\,{v}_k$, which is an entry of the matrix $\delta\bm {r}\,\bm "
        rf"{v}^{{\mathsf T}}$. It is "
        rf"the transpose and not the inverse: no equation is solved. The shapes say where it goes: $\delta\bm {v}$ is "
        rf"as long as "
        rf"$\bm {v}$, and only $\bm {A}^{{\mathsf T}}\delta\bm {r}$ is.")


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
    shown = rf"\displaystyle {derivative}={diagonal}"
    others = [math(pen.plain(later(argument, fork.lag, pen.graph.static))) for argument in found.held]
    ways = listed([math(pen.plain(Value(way.reader, way.lag))) for way in found.ways])
    branches = "another branch" if len(found.ways) == 1 else "other branches"
    one = len(others) == 1
    text = (f"The stage {math(reader)} reads {math(value)}. It also reads {listed(others)}, which "
            f"{'depends' if one else 'depend'} on {math(value)}. Its local derivative holds "
            f"{'that' if one else 'them'} constant: {math(shown)}. The effect of "
            f"{math(value)} on {listed(others)} goes through {branches} of the same fork, "
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
    letters = dict(zip("yabc", pen.letters("yusgq", "avep", "bwq", "cvp")))
    rules = [_rules(call, pen.graph, letters) for call in calls]
    rows = _rule_rows(rules)
    blocks: list[Block] = []
    if rows:
        own = math(letters["y"])
        blocks.append(Prose(f"A derivative is written in the function's own value {own} if that is shorter: the forward pass "
                            f"has computed {own}."))
        one_each = [rule for rule in rules if rule is not None]
        if all(len(rule.sent) == 1 and width(rule.value + rule.sent[0]) < TEXT_WIDTH / 2 for rule in one_each):
            blocks.append(pen.gathered([
                SmallEquation(rule.value.partition("=")[0], rf"{rule.value.partition('=')[2]}:\quad {rule.sent[0]}")
                for rule in one_each]))
        else:
            blocks.append(Table(
                "The functions of this cell and their derivatives.", ("l", "l"),
                ("Value", "Derivative, or what is sent back"),
                tuple(tuple(math(rf"\displaystyle {cell}") if cell else "" for cell in row) for row in rows), loose=True))
    blocks += [Prose(told) for call in calls if (told := _derived(call.function, letters))]
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
    clips = [call for call in calls if call.function == "clip_gradient"]
    if clips:
        said.append(words(
            r"The value of $\operatorname{pass}_k(a)$ is $a$. What arrives there on the way back is clipped on purpose, "
            r"entry by entry, to the interval from $-k$ to $k$: $\operatorname{clip}_k(a)=\min(\max(a,-k),k)$. So the "
            "gradient is no derivative of the loss. The proofs put a multiplication by $1/(1+k)$ in place of each clip and "
            "prove all else; with the clips, the module gives what these equations give."))
    if any(call.function == "stop_gradient" for call in calls):
        said.append(words(r"Nothing goes back through $\operatorname{stop}$: its argument is held constant by definition."))
    return said


def _derived(function: str, letters: Mapping[str, str]) -> str:
    """Where a local derivative is no diagonal matrix: the derivation, once."""
    a, y = letters["a"], letters["y"]
    if function == "softmax":
        return strong("Softmax.") + " " + words(
            rf"With ${y}_j=e^{{{a}_j}}/\sum_k e^{{{a}_k}}$, entry ${a}_i$ is in every denominator, and in the numerator of "
            rf"${y}_i$: $\partial {y}_j/\partial {a}_i={y}_j\,([i=j]-{y}_i)$. So ${a}_i$ gets "
            rf"$\sum_j \delta {y}_j\,{y}_j\,([i=j]-{y}_i)={y}_i\,(\delta {y}_i-\sum_j \delta {y}_j\,{y}_j)$ back.")
    if function == "layer_norm":
        return strong("Layer normalisation.") + " " + words(
            rf"Let $m$ be the mean of $\bm {a}$ and $s=1/\sqrt{{\operatorname{{var}}(\bm {a})+\epsilon}}$, so that "
            rf"$\bm {y}=s\,(\bm {a}-m\bm 1)$. A small change $\mathrm d\bm {a}$ changes the mean by "
            rf"$\operatorname{{mean}}(\mathrm d\bm {a})$ and the variance by "
            rf"$2\operatorname{{mean}}((\bm {a}-m\bm 1)\odot\mathrm d\bm {a})$, hence $s$ by "
            rf"$-s^{{2}}\operatorname{{mean}}(\bm {y}\odot\mathrm d\bm {a})$. Together, $\mathrm d\bm {y}=s\,(\mathrm "
            rf"d\bm {a}"
            rf"-\operatorname{{mean}}(\mathrm d\bm {a})\bm 1-\operatorname{{mean}}(\bm {y}\odot\mathrm d\bm {a})\,\bm "
            rf"{y})$. The "
            rf"matrix of this map is symmetric, so what goes back is the same expression with $\delta\bm {y}$ in place of "
            rf"$\mathrm d\bm {a}$: without its mean, and without its part along $\bm {y}$.")
    return ""


def _kink(entry: functions.Pointwise, kink: functions.Kink) -> str:
    """What is taken for the derivative at a kink, in a sentence."""
    call = FORMULAS[entry.name].call
    head, arguments, _ = call.partition("({a}")
    symbol = "|a|" if entry.name == "abs" else (head if arguments else call).format(a="a")
    value = math(kink.value) if "." in kink.value else kink.value
    if kink.place == functions.AT_A_TIE:
        return f"at a tie each argument of {math(symbol)} gets {value} of the gradient"
    if kink.place == functions.EVERYWHERE:
        return f"the derivative of {math(symbol)} is taken to be {value} everywhere"
    return f"the derivative of {math(symbol)} {kink.place} is taken to be {value}"


# ---------------------------------------------------------------- rules of functions


class _RuleSymbols:
    """The notation of a rule: a, b, c are arguments, y the value, d its gradient, n a length. `letters` may replace them."""

    def __init__(self, shapes: Mapping[str, Shape], letters: Mapping[str, str]):
        self.shapes, self.letters = shapes, letters
        self.symbols = {name: name for name in shapes}

    def value(self, name: str, step: str = "t") -> str:
        if name == "d":
            return rf"\delta {self.value('y')}"
        letter = self.letters.get(name, name)
        letter = letter.upper() if len(self.shapes[name]) >= 2 else letter
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


def _rules(call: Call, graph: Graph, letters: Mapping[str, str]) -> Rule | None:
    """What the document states once about a function."""
    entry = functions.TABLE.get(call.function)
    if isinstance(entry, functions.Pointwise):
        return _pointwise_rule(entry, letters)
    if isinstance(entry, functions.Operation) and entry.adjoints:
        return _operation_rule(entry, call, graph, letters)
    return None


def _pointwise_rule(entry: functions.Pointwise, letters: Mapping[str, str]) -> Rule:
    printer = Printer(_RuleSymbols(dict.fromkeys((*entry.arguments, "y"), SCALAR), letters))
    own = printer(Value("y"))
    value = f"{own}=" + printer(Call(entry.name, tuple(Value(name) for name in entry.arguments)))
    formula = FORMULAS.get(entry.name)
    if formula and formula.meaning:
        value += "=" + re.sub(r"(?<![A-Za-z\\])[abc](?![A-Za-z])", lambda found: letters.get(found[0], found[0]),
                              formula.meaning)
    sign = r"\mathrm d" if len(entry.arguments) == 1 else r"\partial"
    return Rule(value, [rf"\frac{{{sign} {own}}}{{{sign} {printer(Value(name))}}}={printer.marked(parse_rule(rule))}"
                        for name, rule in zip(entry.arguments, entry.derivatives)])


def _operation_rule(entry: functions.Operation, call: Call, graph: Graph, letters: Mapping[str, str]) -> Rule:
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
    printer = Printer(_RuleSymbols(shapes, letters))
    sent = []
    for name, rule in zip(entry.arguments, entry.adjoints):
        known = given | axis_letters(shapes.get(name, SCALAR))

        def put_in(node: Expression, known: Mapping[str, Expression] = known) -> Expression | None:
            return known.get(node.name) if isinstance(node, Value) else None

        share = printer.marked(transform(parse_rule(rule), put_in))
        sent.append(rf"\delta {printer.notation.value(name)}={share}")
    return Rule(f"{printer.notation.value('y')}={printer(Call(call.function, generic))}", sent)

