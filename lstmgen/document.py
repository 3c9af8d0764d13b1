"""From a plan to the text of its LaTeX document.

This module decides what the document says: every sentence is made for the cell at hand, and every
equation is printed from the derivation's own records. The result is frozen data, sections of blocks;
the template lays them out and adds nothing.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from . import __version__, functions
from .chain import ELEMENTWISE, OUTER, OUTPUT, START, TRANSPOSED, Contribution, Gradient
from .expressions import (
    ZERO, Adjoint, Call, Expression, Number, Outside, Value, transform, values, walk,
)
from .graph import Graph, Stage
from .language import parse_rule
from .notation import Notation
from .plan import LAST, Plan, Stack
from .resources import TEMPLATES
from .shapes import SCALAR, Dim, Shape, shape_of
from .spell_latex import ONES, Printer, broken, escape, marked_term, width

# One colour for each of the first forks, dark enough to be read on white and on paper.
COLOURS = ("C4481A", "1C6E8C", "7A3E9D", "3F7D20", "A3264F", "2F4FA8", "8A6100", "00766C")

TEXT_WIDTH = 438.0  # points between the margins
TAG_WIDTH = 34.0
LONGEST_READER = 64.0  # points of a reader's symbol in a note; beyond that its number has to do
CONTINUED = 20.0  # how far a line is indented that goes on from the one above



class Figure(Protocol):
    proof: int  # 0 to 4
    bound: float


class Proofs(Protocol):
    """What the document says of the proofs: on what they were run, and how often; no measured figure."""

    figures: Iterable[Figure]
    forks: int
    entries: int
    module_entries: int
    sizes: Mapping[str, int]
    module_sizes: Mapping[str, int]
    steps: int
    module_steps: int
    batch: int
    untaken: tuple[str, ...]


# ---------------------------------------------------------------- the data that the template lays out


@dataclass(frozen=True)
class Row:
    """One line of a display: left-hand side, right-hand side, the note beside it, its number."""

    left: str
    right: str
    note: str = ""
    number: int | None = None


@dataclass(frozen=True)
class Display:
    rows: tuple[Row, ...]
    kind: str = "display"


@dataclass(frozen=True)
class Formula:
    """A displayed formula that carries no number: a rule that holds for every cell."""

    text: str
    kind: str = "formula"


@dataclass(frozen=True)
class Prose:
    text: str
    kind: str = "prose"


@dataclass(frozen=True)
class Heading:
    text: str
    bookmark: str  # the same without formulas
    kind: str = "heading"


@dataclass(frozen=True)
class Remark:
    """A boxed paragraph with a coloured rule beside it."""

    title: str
    text: str
    colour: str
    kind: str = "remark"


@dataclass(frozen=True)
class Table:
    caption: str
    columns: str  # of LaTeX's tabular
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    space: str = ""  # more of it between the rows
    kind: str = "table"


@dataclass(frozen=True)
class Listing:
    file: str
    kind: str = "listing"


Block = Display | Formula | Prose | Heading | Remark | Table | Listing


@dataclass(frozen=True)
class Section:
    title: str
    label: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """Everything that the template needs."""

    title: str
    name: str  # of the cell, as TeX text
    version: str
    opening: tuple[Block, ...]
    sections: tuple[Section, ...]
    colours: tuple[tuple[int, str], ...]  # number and RGB of each fork colour


def render_document(plan: Plan, notation: Notation, proofs: Proofs | None, module_name: str) -> str:
    """The document of a cell. `proofs` is None where nothing was proved."""
    document = make_document(plan, notation, proofs, module_name)
    return _environment().get_template("derivation.tex.jinja").render(document=document)


def make_document(plan: Plan, notation: Notation, proofs: Proofs | None, module_name: str) -> Document:
    """What the document says."""
    return _Writer(plan, notation, proofs, module_name).document()


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES / "latex"), undefined=StrictUndefined, autoescape=False,
        variable_start_string="<<", variable_end_string=">>", block_start_string="<%", block_end_string="%>",
        comment_start_string="<#", comment_end_string="#>",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )


# ---------------------------------------------------------------- English


_WORDS = "no one two three four five six seven eight nine ten eleven twelve".split()


def count(number: int, thing: str, things: str | None = None) -> str:
    """one stage, two stages, 13 stages."""
    word = _WORDS[number] if number < len(_WORDS) else str(number)
    return f"{word} {thing if number == 1 else things or thing + 's'}"


def listed(items: Iterable[str], joint: str = "and") -> str:
    """a, b and c."""
    *front, last = items
    return f"{', '.join(front)} {joint} {last}" if front else last


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _math(text: str) -> str:
    return f"${text}$"


def _code(name: str) -> str:
    return rf"\texttt{{{escape(name)}}}"


# ---------------------------------------------------------------- the writer


@dataclass
class _Writer:
    plan: Plan
    notation: Notation
    proofs: Proofs | None
    module_name: str
    printed: list[str] = field(default_factory=list)  # every formula so far: what the notation explains

    def __post_init__(self):
        self.graph, self.derivation = self.plan.graph, self.plan.derivation
        self.spec = self.graph.spec
        self.moving = [gradient for gradient in self.derivation.stages if not self._is_still(gradient.value)]
        self.forks = [gradient for gradient in self.moving if len(gradient.forks) > 1]
        ranked = sorted(self.forks, key=lambda gradient: gradient.value not in self.graph.states)
        self.colours = {gradient.value: index for index, gradient in enumerate(ranked[: len(COLOURS)], 1)}
        self.forward = Printer(self.notation, colour=self._value_colour)
        self.backward = Printer(self.notation, colour=self._adjoint_colour)
        self.plain = Printer(self.notation)

    def document(self) -> Document:
        body = [
            self._forward_section(), self._rule_section(), self._derivatives_section(),
            self._backward_section(), self._boundary_section(), self._inputs_section(),
            self._parameters_section(), self._still_section(), self._stacked_section(),
        ]
        sections = [section for section in body if section is not None]
        sections.insert(0, self._notation_section(sections))  # explains what the others use
        sections += [self._module_section(), self._proofs_section()]
        return Document(
            title=escape(self.spec.title), name=_code(self.spec.name), version=escape(__version__),
            opening=self._opening(), sections=tuple(sections),
            colours=tuple(enumerate(COLOURS[: len(self.colours)], 1)),
        )

    # ------------------------------------------------------------------ symbols

    def _value_colour(self, leaf: Expression) -> str | None:
        return self._colour(leaf.name) if isinstance(leaf, Value) else None

    def _adjoint_colour(self, leaf: Expression) -> str | None:
        return self._colour(leaf.name) if isinstance(leaf, Adjoint) else None

    def _colour(self, name: str) -> str | None:
        return str(self.colours[name]) if name in self.colours else None

    def _is_still(self, name: str) -> bool:
        return name in self.graph.static

    def _value(self, name: str, lag: int = 0) -> str:
        """A value in running text, in its fork's colour."""
        return _math(self.forward(Value(name, lag)))

    def _adjoint(self, name: str, lag: int = 0) -> str:
        return _math(self.backward(Adjoint(name, lag)))

    def _values(self, names: Iterable[str], lag: int = 0) -> str:
        return listed([self._value(name, lag) for name in names])

    def _number(self, name: str) -> str:
        return rf"\eqref{{eq:{self.plan.gradient_numbers[name]}}}"

    def _shape(self, shape: Shape) -> str:
        dims = [self._dim(dim) for dim in shape]
        if len(dims) > 1:
            dims = [f"({dim})" if "+" in dim else dim for dim in dims]
        return r"\times ".join(dims) or "1"

    def _dim(self, dim: Dim) -> str:
        return self.plain(dim.expression())

    # ------------------------------------------------------------------ displays

    def _display(self, equations: list[tuple[str, list[tuple[str, str]], int | None]]) -> Display:
        """Equations as rows: (left-hand side, [(marked right-hand side, note)], number)."""
        left_width = max(width(left) for left, _, _ in equations)
        note_width = max((width(note) for _, terms, _ in equations for _, note in terms), default=0.0)
        limit = TEXT_WIDTH - TAG_WIDTH - left_width - note_width
        rows = []
        for left, terms, number in equations:
            head, tag = left, number
            for marked, note in terms:
                for position, line in enumerate(broken(marked, limit, limit - CONTINUED)):
                    right = rf"\goeson {line}" if position else line
                    if right.startswith("-"):
                        right = "{-}" + right[1:]  # a sign, not a difference
                    rows.append(Row(head, right, "" if position else note, tag))
                    head, tag = "", None
        self.printed += [row.left + row.right for row in rows]
        return Display(tuple(rows))

    def _gradient_equation(self, gradient: Gradient, printer: Printer | None = None):
        """A gradient as the sum over its fork: a line for each reader, the reader named beside it."""
        printer = printer or self.backward
        left = printer(Adjoint(gradient.value)) + "={}"
        return left, self._terms(gradient, printer), self.plan.gradient_numbers[gradient.value]

    def _terms(self, gradient: Gradient, printer: Printer) -> list[tuple[str, str]]:
        if gradient.value == self.graph.loss:
            at_the_end = Printer(self.notation, self.notation.steps)(Value(gradient.value))
            total = at_the_end
            if self.spec.loss_at == "every":
                total = rf"\textstyle\sum_t{printer(Value(gradient.value))}"
            return [("1", rf"\by{{$\mathcal L={total}$}}")]
        if not gradient.forks:
            zero = r"\bm 0" if gradient.shape else "0"
            return [(zero, r"\by{no gradient comes back}")]
        terms = []
        for position, fork in enumerate(gradient.forks):
            text = marked_term(fork, printer, self._at_the_end_alone(fork))
            if position:
                text = "{}" + text if text.startswith("-") else "{}+" + text
            terms.append((text, self._reader_note(fork, printer)))
        return terms

    def _at_the_end_alone(self, fork: Contribution) -> bool:
        """Whether a branch exists at the last step alone, while what it leads back to exists at every one."""
        return (self.plan.phases.get(fork.reader) == LAST and self.plan.phases.get(fork.target) != LAST
                and fork.kind not in (OUTPUT, START))

    def _reader_note(self, fork: Contribution, printer: Printer) -> str:
        """The reader and when it reads."""
        if fork.kind == OUTPUT:
            return r"\by{from outside}"
        if fork.kind == START:
            return r"\by{as the initial state}"
        reader = _math(Printer(self.notation, printer.now)(Value(fork.reader, fork.lag)))
        number = rf"\eqref{{eq:{self.plan.numbers[fork.reader]}}}"
        reader = number if width(reader) > LONGEST_READER else f"{reader} {number}"
        if fork.over_time:
            when = "the last step" if self._at_the_end_alone(fork) else "every step"
        elif self._is_still(fork.reader):
            when = "once"
        elif self._at_the_end_alone(fork):
            when = "at the last step"
        else:
            when = f"step ${printer.step(fork.lag)}$" if fork.lag else "this step"
        return rf"\by{{{reader}, {when}}}"

    # ------------------------------------------------------------------ opening

    def _opening(self) -> tuple[Block, ...]:
        blocks: list[Block] = []
        if self.spec.description:
            blocks.append(Prose(escape(self.spec.description)))
        blocks.append(Prose(" ".join(self._what_it_does())))
        blocks.append(Prose(" ".join(self._what_forks())))
        if self.spec.references:
            cited = "; ".join(escape(reference) for reference in self.spec.references)
            blocks.append(Prose(rf"\emph{{Reference{'s' * (len(self.spec.references) > 1)}.}} {cited}."))
        return tuple(blocks)

    def _what_it_does(self) -> list[str]:
        graph = self.graph
        inputs = listed([self._sized(name) for name in graph.inputs]) if graph.inputs else "no input"
        outputs = self._values(graph.outputs)
        said = [rf"At each step $t=1,\dots,{self.notation.steps}$ the cell reads {inputs} and gives "
                f"{outputs}."]
        read_back = [name for name in graph.states if any(reader.lag for reader in graph.readers(name))]
        if read_back:
            said.append("From one step to the next it carries "
                        f"{listed([self._sized(name) for name in graph.states])}.")
        else:
            said.append("It carries nothing from one step to the next that any later step reads.")
        if graph.loss is not None:
            step_loss = self._value(graph.loss)
            where = ("every step and summed" if self.spec.loss_at == "every"
                     else rf"the last step, $t={self.notation.steps}$, alone")
            said.append(rf"Its loss $\mathcal L$ is {step_loss}, taken at {where}.")
        said.append(
            f"One step consists of {count(len(graph.stages), 'stage')}. What follows derives, stage by "
            r"stage, the gradient of a scalar loss $\mathcal L$ with respect to "
            f"{listed(self._differentiated())}.")
        return said

    def _differentiated(self) -> list[str]:
        found = []
        if self.graph.parameters:
            found.append("every parameter" if len(self.graph.parameters) > 1 else "its parameter")
        if self.graph.inputs:
            found.append("every input" if len(self.graph.inputs) > 1 else "its input")
        return [*found, "the initial states" if len(self.graph.states) > 1 else "the initial state"]

    def _sized(self, name: str) -> str:
        shape = self.graph.shapes[name]
        told = rf"of size ${self._shape(shape)}$" if shape else "a scalar"
        return f"{self._value(name)} ({told})"

    def _what_forks(self) -> list[str]:
        if not self.forks:
            return ["Every value that a step computes gets its gradient from one place, so that every "
                    "adjoint of the backward pass has a single term."]
        named = [f"{self._value(gradient.value)} ({count(len(gradient.forks), 'branch', 'branches')})"
                 for gradient in self.forks]
        is_one = len(self.forks) == 1
        said = [f"{sentence(count(len(self.forks), 'value'))} {'is' if is_one else 'are'} needed in more "
                f"than one place: {listed(named)}."]
        said.append(r"At such a \emph{fork} the gradients that come back along the branches add up, and a "
                    "term that is forgotten there is the usual mistake of a derivation by hand.")
        if len(self.forks) <= len(COLOURS):
            said.append(f"{'The' if is_one else 'Each'} fork keeps its colour throughout.")
        else:
            said.append(f"The first {_WORDS[len(COLOURS)]} of them, states before others, have a colour "
                        "each.")
        return said

    # ------------------------------------------------------------------ notation

    def _notation_section(self, sections: list[Section]) -> Section:
        blocks: list[Block] = [Prose(text) for text in self._conventions()]
        blocks.append(self._symbol_table())
        blocks.append(Prose(
            "In the module arrays have the step in front, then the batch of $B$ sequences, then what the "
            f"table says: {self._array_example()}. "
            f"{'A vector is a row there and a column here. ' if self._has_arrays() else ''}Equations are "
            "those of a single sequence; over a batch, gradients of parameters add up."))
        return Section("Notation and shapes", "notation", tuple(blocks))

    def _array_example(self) -> str:
        example = (*self.graph.inputs, *self.graph.outputs)[0]
        axes = ", ".join([self.notation.steps, "B", *(self._dim(dim) for dim in self.graph.shapes[example])])
        return f"{_code(example)} has the shape $({axes})$"

    def _conventions(self) -> list[str]:
        used = " ".join(self.printed)
        bold = self._has_arrays()
        said = []
        if bold:
            said.append("Vectors and matrices are bold, scalars are not; vectors are columns.")
        if r"\odot" in used:
            said.append(r"The sign $\odot$ multiplies entry by entry.")
        if bold and (r"\frac" in used or "^{2}" in used or r"\sigma" in used or r"\tanh" in used):
            said.append("Functions, fractions and powers of an array are taken of each entry.")
        if ONES in used:
            said.append(rf"A bold ${ONES}$ is an array of ones in the shape that its place asks for.")
        if re.search(r"[^a-z]\[[^\]]*(<|>|=|\\le|\\ge)", used):
            said.append("A relation in brackets, as in $[a>b]$, is 1 where it holds and 0 elsewhere.")
        said += [text for mark, text in _SIGNS_EXPLAINED if mark in used]
        pre = next((stage.owner for stage in self.graph.stages
                    if stage.name == f"{stage.owner}_pre" and stage.owner != self.graph.loss), None)
        if pre is not None:
            accent = "hat" if self.notation.time == "superscript" else "bar"
            said.append(f"What a function is applied to, the pre-activation of a value, has a {accent}: "
                        f"{self._value(pre)} is a function of {self._value(pre + '_pre')}.")
        said += self._unnamed()
        gradient = [rf"The gradient of the loss at a value, its \emph{{adjoint}}, has the value's shape and "
                    rf"a $\delta$ in front: {self._adjoint(self._shown())} is the total derivative of "
                    rf"$\mathcal L$ with respect to {self._value(self._shown())}, along every path."]
        if self.graph.loss is None:
            outside = listed([_math(self.plain(Outside(name))) for name in self.graph.outputs])
            given = "dy" if len(self.graph.outputs) == 1 else "the fields of dy"
            gradient.append("What reaches an output from outside at step $t$, from a loss or from another "
                            f"layer, is {outside}; in the module, "
                            f"{_code(given) if given == 'dy' else given}.")
        return [" ".join(said), " ".join(gradient)]

    def _has_arrays(self) -> bool:
        return any(self.notation.is_bold(name) for name in self.notation.symbols)

    def _shown(self) -> str:
        """A value to give an example with: a fork, else an output."""
        return self.forks[0].value if self.forks else self.graph.outputs[0]

    def _unnamed(self) -> list[str]:
        numbered = [stage.name for stage in self.graph.stages if stage.name in self.notation.symbols
                    and stage.owner != stage.name and not stage.name.endswith("_pre")]
        said = []
        if self.notation.definitions:
            example = self._value(next(iter(self.notation.definitions)))
            said.append("A value without a name of its own is written out wherever it is read, as "
                        f"{example}.")
        if numbered:
            owner = self.graph.stage(numbered[0]).owner
            said.append(f"A number in parentheses marks an intermediate result: {self._value(numbered[0])} "
                        f"is one on the way to {self._value(owner)}.")
        return said

    def _symbol_table(self) -> Table:
        rows = []
        for role, names in self._roles():
            by_shape: dict[Shape, list[str]] = {}
            for name in names:
                by_shape.setdefault(self.graph.shapes[name], []).append(name)
            for position, (shape, group) in enumerate(by_shape.items()):
                items = [rf"\mbox{{${self.plain(Value(name))}$~{_code(name)}}}" for name in group]
                told = _math(self._shape(shape)) if shape else "scalar"
                rows.append((role if not position else "", told, r",\quad ".join(items)))
        sizes = listed([f"${self.notation.size(symbol)}$ is "
                        f"{_code(keyword)}" for symbol, keyword in self.graph.dims]) \
            if self.graph.dims else ""
        caption = "All values, each with its symbol here and its name in the module."
        if sizes:
            caption += f" {sizes}."
        first = max(6.2 * len(role) for role, _, _ in rows)
        second = max(width(shape) for _, shape, _ in rows)
        rest = TEXT_WIDTH - first - max(second, 34.0) - 30.0
        columns = rf"@{{}}l l >{{\raggedright\arraybackslash}}p{{{rest:.0f}pt}}@{{}}"
        return Table(caption, columns, ("", "Shape", "Values"), tuple(rows))

    def _roles(self) -> list[tuple[str, list[str]]]:
        graph = self.graph
        taken = {*graph.inputs, *graph.targets, *graph.states, *graph.parameters}
        stages = [stage.name for stage in graph.stages if stage.name not in taken]
        roles = [
            ("Inputs" if len(graph.inputs) > 1 else "Input", graph.inputs),
            ("Targets" if len(graph.targets) > 1 else "Target", graph.targets),
            ("States" if len(graph.states) > 1 else "State", graph.states),
            ("Parameters" if len(graph.parameters) > 1 else "Parameter", graph.parameters),
            ("Computed once", [name for name in stages if self._is_still(name)]),
            ("Other values", [name for name in stages if not self._is_still(name)]),
        ]
        return [(role, list(names)) for role, names in roles if names]

    # ------------------------------------------------------------------ forward

    def _forward_section(self) -> Section:
        graph = self.graph
        order = ("Each equation reads only values that stand above it"
                 + (", or values of step $t-1$." if self._reads_back() else "."))
        blocks: list[Block] = [Prose(
            order + " Beside it stands where its value is read; more than one reader makes it a fork. The "
                    "numbers are "
            "those in the module's comments.")]
        still = [stage for stage in graph.stages if self._is_still(stage.name)]
        last = [stage for stage in graph.stages if self.plan.phases[stage.name] == LAST]
        steps = [stage for stage in graph.stages if stage not in still and stage not in last]
        if still:
            blocks += [Prose("Made of parameters alone, and therefore the same at every step:"),
                       self._stages_display(still), Prose("At every step:")]
        if steps:
            blocks.append(self._stages_display(steps))
        if last:
            blocks += [Prose(r"At the last step alone, "
                             rf"$t={self.notation.steps}$:"), self._stages_display(last)]
        blocks.append(Prose(" ".join(self._starts())))
        return Section("Forward pass", "forward", tuple(blocks))

    def _reads_back(self) -> bool:
        return any(value.lag for stage in self.graph.stages for value in values(stage.expression))

    def _stages_display(self, stages: list[Stage]) -> Display:
        equations = []
        for stage in stages:
            right = self.forward.cases(stage.expression) or self.forward.marked(stage.expression)
            left = self.forward(Value(stage.name)) + "={}"
            if stage.name in self.notation.definitions:
                left = ""  # its symbol is its equation
            equations.append((left, [(right, self._readers_note(stage.name))], self.plan.numbers[stage.name]))
        return self._display(equations)

    def _readers_note(self, name: str) -> str:
        """Who reads a value; for forks, how many do."""
        readers = self.graph.readers(name)
        places = len(readers) + (name in self.graph.outputs and self.graph.loss is None)
        if name == self.graph.loss:
            return r"\by{the loss}"
        if name in self.colours and places > 1:
            return rf"\by{{\fork{{{self.colours[name]}}}{{{count(places, 'reader')}}}}}"
        if places > 1 or not readers:
            return rf"\by{{{count(places, 'reader')}}}" if readers else r"\by{the output}"
        reader = readers[0]
        return rf"\by{{{_math(self.plain(Value(reader.stage, reader.lag)))}}}"

    def _starts(self) -> list[str]:
        said = []
        zero = [state for state, start in self.graph.initial if start == ZERO]
        learned = [(state, start.name) for state, start in self.graph.initial if isinstance(start, Value)]
        numbers = [(state, start) for state, start in self.graph.initial
                   if isinstance(start, Number) and start != ZERO]
        at_zero = Printer(self.notation, "0", self._value_colour)
        if zero:
            names = listed([_math(at_zero(Value(state))) for state in zero])
            said.append(f"Where the caller gives no initial state, {names} "
                        f"{'are' if len(zero) > 1 else 'is'} zero.")
        for state, start in numbers:
            said.append("Where the caller gives none, "
                        f"{_math(at_zero(Value(state)) + '=' + self.plain(start))} in "
                        "every entry." if self.graph.shapes[state] else
                        "Where the caller gives none, "
                        f"{_math(at_zero(Value(state)) + '=' + self.plain(start))}.")
        for state, parameter in learned:
            said.append(f"The state {self._value(state)} starts from the parameter {_code(parameter)}, "
                        "which is learned, unless the caller gives another start.")
        return said

    # ------------------------------------------------------------------ the rule at a fork

    def _rule_section(self) -> Section:
        blocks: list[Block] = [
            Prose(r"Let $\bm v$ be read by stages $\bm r_1,\dots,\bm r_K$. A small change of $\bm v$ "
                  "reaches the loss through each of them, and to first order the effects add up:"),
            Formula(r"\delta\bm v=\sum_{k=1}^{K}\Bigl(\frac{\partial^{+}\bm r_k}{\partial\bm "
                    r"v}\Bigr)^{\mathsf T}"
                    r"\delta\bm r_k ."),
            Prose(r"Two kinds of derivative stand in this line. Each $\delta\bm r_k$ is \emph{total}: it "
                  r"holds every path from $\bm r_k$ to the loss. Each $\partial^{+}\bm r_k/\partial\bm v$ "
                  r"is \emph{immediate}: it differentiates the one equation of the reader and holds its "
                  r"other arguments still, even those that depend on $\bm v$ themselves. Nothing is lost by "
                  r"that, for such an argument is a reader of $\bm v$ as well, or depends on one, and its "
                  "share arrives there. To use a total derivative in both places would count paths twice; "
                  "to use an immediate one in both would lose some."),
        ]
        example = self._example()
        if example is not None:
            blocks.append(example)
        blocks.append(Prose(self._transposes()))
        return Section("The rule at a fork", "rule", tuple(blocks))

    def _transposes(self) -> str:
        if not any(fork.kind in (OUTER, TRANSPOSED) for fork in self.derivation.contributions()):
            return ("For entry-by-entry formulas the immediate derivative is diagonal, and the transpose "
                    "does nothing.")
        return (r"For $\bm r=\bm W\bm v$ the entry $v_k$ is multiplied by $W_{jk}$ on its way into $r_j$, "
                r"for every $j$. So it gets back $\sum_j W_{jk}\,\delta r_j$, which is row $k$ of $\bm "
                r"W^{\mathsf T}\delta\bm r$; and $W_{jk}$ gets $\delta r_j\,v_k$, which makes the matrix "
                r"$\delta\bm r\,\bm v^{\mathsf T}$. No inverse occurs: a gradient is handed back along the "
                "way that the value came, it is not solved for.")

    def _example(self) -> Remark | None:
        """A reader of this cell that meets a value directly and by a detour."""
        found = self._detour()
        if found is None:
            return None
        fork, held, by_way = found
        local = self.plain(_later(fork.local, fork.lag, self.graph.static))
        reader, value = self.plain(Value(fork.reader, fork.lag)), self.plain(Value(fork.target))
        derivative = rf"\frac{{\partial^{{+}}{reader}}}{{\partial {value}}}"
        diagonal = rf"\operatorname{{diag}}({local})" if self.graph.shapes[fork.target] else local
        others = [_math(self.plain(_later(argument, fork.lag, self.graph.static))) for argument in held]
        ways = listed([_math(self.plain(Value(way.reader, way.lag))) for way in by_way])
        branches = "another branch" if len(by_way) == 1 else "other branches"
        text = (f"The stage {_math(reader)} reads {_math(value)}, and it reads {listed(others)}, which "
                f"{'depends' if len(others) == 1 else 'depend'} on {_math(value)} too. Its immediate "
                rf"derivative knows nothing of that: $\displaystyle {derivative}={diagonal}$. What "
                f"{_math(value)} does to {listed(others)} leaves it by {branches} of the same fork, "
                f"into {ways}, and is counted there: see {self._number(fork.target)}.")
        return Remark("In this cell.", text, f"fork{self.colours[fork.target]}"
                      if fork.target in self.colours else "ink")

    def _leads_to(self, fork: Contribution, value: Value) -> bool:
        """Whether a branch changes a value; the lag of both counts from the step of the branch's target."""
        if fork.kind in (OUTPUT, START):
            return False
        return (fork.reader, fork.lag) == (value.name, value.lag) or self._reaches(
            fork.reader, value.name, value.lag - fork.lag)

    def _detour(self) -> tuple[Contribution, list[Value], list[Contribution]] | None:
        """A branch whose reader depends on the value by another branch too; of states first."""
        gradients = sorted(self.forks, key=lambda gradient: (gradient.value not in self.graph.states,
                                                             -len(gradient.forks)))
        for gradient in gradients:
            for fork in reversed(gradient.forks):
                if fork.kind != ELEMENTWISE or fork.local is None or self._is_still(fork.reader):
                    continue
                stage = self.graph.stage(fork.reader)
                held = [value for value in values(stage.expression)
                        if value != Value(gradient.value, -fork.lag)
                        and self._reaches(gradient.value, value.name, fork.lag + value.lag)]
                if held and not isinstance(fork.local, Number) and width(self.plain(fork.local)) < 200:
                    ways = [other for other in gradient.forks if other is not fork and any(
                        self._leads_to(other, Value(value.name, value.lag + fork.lag)) for value in held)]
                    if ways:
                        return fork, held, ways
        return None

    def _reaches(self, source: str, target: str, steps: int) -> bool:
        """Whether a value changes another one, `steps` later, within those steps."""
        if steps < 0:
            return False
        reached = {(source, 0)}
        ahead = [(source, 0)]
        while ahead:
            name, at = ahead.pop()
            for reader in self.graph.readers(name):
                then = (reader.stage, at + reader.lag)
                if then[1] <= steps and then not in reached:
                    reached.add(then)
                    ahead.append(then)
        return (target, steps) in reached - {(source, 0)}

    # ------------------------------------------------------------------ derivatives used

    def _derivatives_section(self) -> Section | None:
        calls = self._calls()
        rows = _rule_rows([_rules(call, self.graph) for call in calls])
        blocks: list[Block] = []
        if rows:
            blocks.append(Prose("Each function is differentiated once, here; where its own value $y$ makes "
                                "the derivative shorter, it is written in $y$, which the forward pass has "
                                "computed."))
            blocks.append(Table("The functions of this cell and what goes back through them.",
                                r"@{}>{$\displaystyle}l<{$}@{\hspace{2.5em}}>{$\displaystyle}l<{$}@{}",
                                (r"\text{Value}", r"\text{Derivative, or what is sent "
                                                  r"back}"), tuple(rows), "5pt"))
        said = self._kinks(calls)
        if said:
            blocks.append(Prose(" ".join(said)))
        if not blocks:
            return None
        return Section("Derivatives used", "derivatives", tuple(blocks))

    def _calls(self) -> list[Call]:
        """The calls of the cell, one of each function; literal arguments tell two uses apart."""
        found: dict[str, Call] = {}
        for stage in self.graph.stages:
            for node in walk(stage.expression):
                if isinstance(node, Call) and values(node):
                    found.setdefault(node.function, node)
        return list(found.values())

    def _kinks(self, calls: list[Call]) -> list[str]:
        entries = [functions.TABLE.get(call.function) for call in calls]
        notes = list(dict.fromkeys(entry.kink for entry in entries
                                   if isinstance(entry, functions.Pointwise) and entry.kink))
        said = []
        if notes:
            said.append(f"Where a derivative does not exist, one is chosen: {'; '.join(notes)}.")
        if any(call.function == functions.WHERE for call in calls):
            said.append("A choice hands its gradient to the branch that was taken, and nothing to the "
                        "comparison.")
        if any(call.function == "stop_gradient" for call in calls):
            said.append(r"Through $\operatorname{stop}$ nothing goes back: its argument is held still by "
                        "definition.")
        return said

    # ------------------------------------------------------------------ backward

    def _backward_section(self) -> Section:
        blocks: list[Block] = [Prose(self._order_told())]
        run: list[Gradient] = []
        for gradient in self.moving:
            if len(gradient.forks) > 1:
                blocks += self._single_terms(run)
                run = []
                blocks += self._fork_blocks(gradient)
            else:
                run.append(gradient)
        blocks += self._single_terms(run)
        return Section("Backward pass", "backward", tuple(blocks))

    def _order_told(self) -> str:
        later = any(fork.lag for gradient in self.moving for fork in gradient.forks)
        steps = self.notation.steps
        direction = "No step reads what an earlier one computed: the steps can be taken in any order. "
        if later:
            direction = (rf"The step $t$ runs from ${steps}$ down to $1$; adjoints of step ${steps}+1$ are "
                         "zero. ")
        return direction + ("An adjoint is complete when all its readers have sent their share. The "
                            "equations stand in the order in which that happens, and each uses only what "
                            "stands above it"
                            + (r", or belongs to step $t+1$." if later else "."))

    def _single_terms(self, run: list[Gradient]) -> list[Block]:
        if not run:
            return []
        most = "one place" if all(gradient.forks for gradient in run) else "at most one place"
        if run[0].value == self.graph.loss:
            lead = "The recursion begins at the loss:"
            if len(run) > 1:
                lead = "The recursion begins at the loss; what follows gets its gradient from one place:"
        elif len(run) == 1:
            lead = f"{self._value(run[0].value)} gets its gradient from {most}:"
        else:
            lead = f"Each of these values gets its gradient from {most}:"
        return [Prose(sentence(lead)), self._display([self._gradient_equation(gradient) for gradient in run])]

    def _fork_blocks(self, gradient: Gradient) -> list[Block]:
        name = gradient.value
        bookmark = f"The fork of {name}"
        return [
            Heading(f"The fork of {self._value(name)}", escape(bookmark)),
            Prose(self._fork_told(gradient)),
            self._display([self._gradient_equation(gradient)]),
        ]

    def _fork_told(self, gradient: Gradient) -> str:
        name = gradient.value
        outside = [fork for fork in gradient.forks if fork.kind == OUTPUT]
        within = [fork for fork in gradient.forks if fork.kind != OUTPUT and not fork.lag]
        later = gradient.through_time()
        parts = []
        if outside:
            parts.append("one branch leaves the cell" if len(gradient.forks) > 1 else "it leaves the cell")
        if within:
            parts.append(f"{count(len(within), 'branch', 'branches')} "
                         f"{'ends' if len(within) == 1 else 'end'} in the same step, in "
                         f"{self._readers(within)}")
        if later:
            parts.append(f"{count(len(later), 'branch', 'branches')} "
                         f"{'leads' if len(later) == 1 else 'lead'} into step $t+1$, to "
                         f"{self._readers(later)}")
        told = f"Of {self._value(name)}, {listed(parts)}."
        waiting = list(dict.fromkeys(
            fork.reader for fork in within
            if fork.reader in self.plan.gradient_numbers
            and any(isinstance(node, Adjoint) for node in walk(fork.term))))
        if waiting:
            known = listed([f"{self._adjoint(reader)} {self._number(reader)}" for reader in waiting])
            told += f" So {self._adjoint(name)} has to wait for {known}."
        return told

    def _readers(self, forks: Iterable[Contribution]) -> str:
        return listed([_math(self.plain(Value(fork.reader, fork.lag))) for fork in forks])

    # ------------------------------------------------------------------ first and last step

    def _boundary_section(self) -> Section:
        steps = self.notation.steps
        states = self.graph.states
        one = len(states) == 1
        carried = {state: self.derivation.adjoints[state] for state in states}
        blocks: list[Block] = [Heading("The last step", "The last step")]
        fields = listed([_code(f"dstate.{state}") for state in states])
        at_the_end = Printer(self.notation, steps, self._adjoint_colour)
        final = listed([_math(at_the_end(Adjoint(state))) for state in states])
        plural = "" if one else "s"
        blocks.append(Prose(
            rf"Step ${steps}+1$ does not exist. Where its terms stood, a gradient may come in from outside "
            f"for the final state{plural} (zero, if the caller gives none; in the module {fields}); it is "
            f"added to {final}. With it, a long sequence can be cut into pieces: the gradient at one piece's "
            f"initial state{plural} is what the piece before it takes here."))
        if self.graph.loss is not None:
            blocks.append(Prose(self._loss_told()))
        blocks.append(Heading("The first step", "The first step"))
        at_zero = Printer(self.notation, "0", self._adjoint_colour)
        equations = []
        for state, gradient in carried.items():
            rest = Gradient(state, gradient.shape, gradient.through_time())
            equations.append((at_zero(Adjoint(state)) + "={}", self._terms(rest, at_zero), None))
        told = "The initial state can be read by step 1 alone: its gradient has the branches through time. "
        if not one:
            told = "Initial states can be read by step 1 alone: they get the branches through time. "
        blocks.append(Prose(told + f"In the module {'it is' if one else 'they are'} {_code('grads.state')}."))
        blocks.append(self._display(equations))
        learned = [(state, start.name) for state, start in self.graph.initial if isinstance(start, Value)]
        if learned:
            pairs = listed([f"{_math(at_zero(Value(state)))} is the learned {_code(name)}"
                            for state, name in learned])
            blocks.append(Prose(
                f"Where {pairs}, this is what {'the parameter' if len(learned) == 1 else 'each parameter'} "
                "gets, added up over the batch; where the caller gave a start, it gets nothing by this way."))
        return Section("The first and the last step", "boundary", tuple(blocks))

    def _loss_told(self) -> str:
        step_loss = self._value(self.graph.loss)
        if self.spec.loss_at == "last":
            return ("The loss is taken at the last step alone. A term with the bracket "
                    f"$[t={self.notation.steps}]$ exists there and is zero at all other steps, which hear "
                    "of the loss through time only.")
        return (f"Every step has a loss {step_loss} of its own, and their sum is $\\mathcal L$; so "
                f"{self._adjoint(self.graph.loss)} is 1 at every step.")

    # ------------------------------------------------------------------ inputs, parameters, what stands still

    def _inputs_section(self) -> Section | None:
        if not self.derivation.inputs:
            return None
        one = len(self.derivation.inputs) == 1
        blocks: list[Block] = [Prose(
            ("An input is" if one else "Inputs are") + " read in the same step only. "
            + ("Its gradient is what a layer below would need"
               if one else "Their gradients are what layers below would need") + "; in the module "
            + listed([_code(f"grads.{name}") for name in self.graph.inputs]) + ".")]
        if self.graph.targets:
            blocks[0] = Prose(blocks[0].text + " Targets are given, and get no gradient.")
        gradients = [self._gradient_equation(gradient) for gradient in self.derivation.inputs]
        blocks.append(self._display(gradients))
        return Section("Input" if one else "Inputs", "inputs", tuple(blocks))

    def _parameters_section(self) -> Section | None:
        gradients = self.derivation.parameters
        if not gradients:
            return None
        steps = self.notation.steps
        shared = any(fork.over_time for gradient in gradients for fork in gradient.forks)
        told = (f"A parameter is the same at all ${steps}$ steps: it is a fork with a branch into each of "
                "them, and its gradient a sum over time. " if shared else "")
        told += "Over a batch the gradients of its members are added."
        blocks = [Prose(told), self._display([self._gradient_equation(gradient) for gradient in gradients])]
        return Section("Parameters", "parameters", tuple(blocks))

    def _still_section(self) -> Section | None:
        still = [gradient for gradient in self.derivation.stages if self._is_still(gradient.value)]
        if not still:
            return None
        blocks = [
            Prose(f"{self._values([gradient.value for gradient in still])} "
                  f"{'are' if len(still) > 1 else 'is'} made of parameters alone. "
                  f"{'They are' if len(still) > 1 else 'It is'} computed once, before the first step, and "
                  f"{'hear' if len(still) > 1 else 'hears'} from all steps: the sums below come first, then "
                  "the parameters that they are made of."),
            self._display([self._gradient_equation(gradient) for gradient in still]),
        ]
        return Section("What stands still", "still", tuple(blocks))

    # ------------------------------------------------------------------ the stacked form

    def _stacked_section(self) -> Section | None:
        stacks = [stack for block in self.plan.blocks for stack in block.stacks if len(stack.factors) > 1]
        if not stacks:
            return None
        blocks: list[Block] = [Prose(
            "Several stages multiply the same vector. Written under each other, their matrices are one "
            "matrix, and their products one product; the module stores and computes them so, and hands out "
            "the parts under their own names.")]
        for stack in stacks:
            blocks += self._stack_blocks(stack)
        blocks.append(Prose(
            "Nothing new is derived by this. A column of adjoints times a row gives all the gradients of "
            "the parts, under each other; and the transpose of the tall matrix, a wide one, adds up what "
            "the parts send back to the vector that they share: solving for the parts one by one and "
            "adding up is the same."))
        return Section("The stacked form", "stacked", tuple(blocks))

    def _stack_blocks(self, stack: Stack) -> list[Block]:
        graph, name = self.graph, escape(stack.name)
        vector = self.plain(stack.vector)
        matrices = r"\\".join(self.plain(Value(factor.parameter)) for factor in stack.factors)
        adjoints = r"\\".join(self.plain(Adjoint(factor.stage)) for factor in stack.factors)
        stages = r"\\".join(self.plain(Value(factor.stage)) for factor in stack.factors)
        gradients = r"\\".join(rf"\delta {self.plain(Value(factor.parameter))}" for factor in stack.factors)
        height = Dim()
        for factor in stack.factors:
            height += graph.shapes[factor.parameter][0]
        shape = _math(self._shape((height, graph.shapes[stack.factors[0].parameter][1])))
        lead = (f"For {_math(vector)} it is \\texttt{{{name}}} in the module, of shape {shape}:")
        matrix = _column(matrices)
        steps = self.notation.steps
        at = self.plain(Adjoint(stack.vector.name, stack.vector.lag))
        return [
            Prose(lead),
            Formula(rf"{_column(stages)}={matrix}{vector}+\cdots"),
            Formula(rf"{_column(gradients)}=\sum_{{t=1}}^{{{steps}}}{_column(adjoints)}{self._row_vector(stack.vector)},"
                    rf"\qquad {at}={matrix}^{{\!\mathsf T}}{_column(adjoints)}+\cdots"),
        ]

    def _row_vector(self, vector: Value) -> str:
        text = self.plain(vector)
        named = vector.name in self.notation.symbols
        raised = not text.startswith("[") and (not named or self.notation.has_superscript(vector.name, "t"))
        return rf"({text})^{{\mathsf T}}" if raised else rf"{text}^{{\mathsf T}}"

    # ------------------------------------------------------------------ the module, the proofs

    def _module_section(self) -> Section:
        return Section("The module", "module", (
            Prose(rf"This is \texttt{{{escape(self.module_name)}.py}}, which was made from the same "
                  "derivation. Numbers in its comments are those of the equations above."),
            Listing(f"{self.module_name}.py"),
        ))

    def _proofs_section(self) -> Section:
        digest = hashlib.sha256(self.spec.source.encode("utf-8")).hexdigest()
        pieces = r"\allowbreak ".join(digest[at : at + 8] for at in range(0, len(digest), 8))
        source = Prose("The specification that all this was derived from has the SHA-256 "
                       rf"\texttt{{{pieces}}}.")
        if self.proofs is None:
            return Section("What was proved", "proofs", (
                Prose(r"\textbf{Nothing was verified.} The derivation and the module were written without "
                      "running the proofs."), source))
        blocks: list[Block] = [
            Prose("The equations and the module were checked before they were written, by code that shares "
                  r"nothing with the derivation. An error is $\max|a-b|/\max|b|$ of an array."),
            Table("The proofs, what they were run on, and their bounds.",
                  r"@{}l >{\raggedright\arraybackslash}p{.60\linewidth} l@{}", ("Proof", "What was "
                                                                                         "compared", "Bound"),
                  self._proof_rows(self.proofs)),
        ]
        if self.proofs.untaken:
            blocks.append(Prose("No point was found at which both sides of a choice are taken in "
                                + listed([_code(name) for name in self.proofs.untaken]) + "."))
        return Section("What was proved", "proofs", (*blocks, source))

    def _proof_rows(self, proofs: Proofs) -> tuple[tuple[str, ...], ...]:
        module = (f"$T={proofs.module_steps}$, $B={proofs.batch}$, "
                  f"{self._sizes(proofs.module_sizes)}".rstrip(", "))
        tiny = f"$T={proofs.steps}$, {self._sizes(proofs.sizes)}".rstrip(", ")
        told = (
            f"the module's forward pass with a direct reading of the specification's text; {module}",
            f"{proofs.module_entries} derivatives of the module with complex steps of its forward pass; "
            f"{module}, non-zero initial states, random weights on every output and final state",
            f"{proofs.entries} derivatives by the equations above with central differences of the "
            f"specification's text, in 90-digit arithmetic; {tiny}",
            f"one pass over all steps with two that hand on the state and its gradient; {module}",
            f"each of the {proofs.forks} branches of all forks taken out in turn: some gradient has to "
            "change",
        )
        rows = []
        for proof, (name, what) in enumerate(zip(_PROOFS, told)):
            bound = next((figure.bound for figure in proofs.figures if figure.proof == proof), None)
            if bound is not None:
                relation = ">" if proof == len(_PROOFS) - 1 else r"\le"
                rows.append((name, sentence(what), f"${relation} {_power_of_ten(bound)}$"))
        return tuple(rows)

    def _sizes(self, sizes: Mapping[str, int]) -> str:
        return ", ".join(f"${self.notation.size(symbol)}={size}$" for symbol, size in sizes.items())


_PROOFS = ("Meaning", "Complex step", "High precision", "Splitting", "Knock-out")

_SIGNS_EXPLAINED = (
    (r"\langle ", r"The scalar product of two vectors is $\langle\bm a,\bm b\rangle$."),
    (r"\bm 1^{\mathsf T}", rf"So ${ONES}^{{\mathsf T}}\bm a$ is the sum of a vector's entries."),
    (r"; ", r"Semicolons in brackets put vectors under each other."),
    (r"_{[", r"By $(\bm a)_{[j:k]}$ the entries $j+1$ to $k$ of $\bm a$ are meant."),
    (r"\operatorname{part}_", r"Of $n$ equal parts of $\bm a$, counted from 0, "
                              r"$\operatorname{part}_{k/n}(\bm a)$ is number $k$; its transpose puts a "
                              "vector in that place, among zeros."),
    (r"\operatorname{repeat}", r"$\operatorname{repeat}(\bm a,n)$ has every entry $n$ times in a row; its "
                               "transpose adds up every $n$ neighbours."),
    (r"\operatorname{cumsum}", r"$\operatorname{cumsum}$ adds up from the first entry on, its transpose "
                               "from the last."),
    (r"\operatorname{LN}", r"Layer normalisation is $\operatorname{LN}(\bm a)=\operatorname{rstd}(\bm "
                           r"a)\,(\bm a-\operatorname{mean}(\bm a)\,\bm 1)$, with $\operatorname{rstd}(\bm "
                           r"a)=1/\sqrt{\operatorname{var}(\bm a)+10^{-5}}$, the variance being the mean of "
                           "the squared deviations, and another number in place of $10^{-5}$ where "
                           r"$\operatorname{LN}$ carries one."),
    (r"\odot 2", "On a matrix, an exponent with $\\odot$ is the power of each entry."),
)


def _later(expression: Expression, steps: int, static: frozenset[str]) -> Expression:
    def rule(node: Expression) -> Expression | None:
        if isinstance(node, (Value, Adjoint)) and node.name not in static:
            return type(node)(node.name, node.lag + steps)
        return None

    return transform(expression, rule)


def _column(entries: str) -> str:
    return rf"\begin{{pmatrix}}{entries}\end{{pmatrix}}"


def _power_of_ten(bound: float) -> str:
    return f"10^{{{round(math.log10(bound))}}}"


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


Rule = tuple[str, list[str]]  # a function's value, and what goes back to each argument, with marks


def _rule_rows(rules: list[Rule | None]) -> list[tuple[str, str]]:
    """The rows of the table of rules; what is too wide goes on in the next one."""
    found = [rule for rule in rules if rule is not None]
    limit = TEXT_WIDTH - max((width(value) for value, _ in found), default=0.0) - 40.0
    rows = []
    for value, derivatives in found:
        for derivative in derivatives:
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
    if entry.name in _MEANING:
        value += "=" + _MEANING[entry.name]
    sign = r"\mathrm d" if len(entry.arguments) == 1 else r"\partial"
    return value, [rf"\frac{{{sign} y}}{{{sign} {name}}}={printer.marked(parse_rule(rule))}"
                   for name, rule in zip(entry.arguments, entry.derivatives)]


_MEANING = {
    "sigmoid": r"\frac{1}{1+e^{-a}}", "softplus": r"\log(1+e^{a})", "softsign": r"\frac{a}{1+\lvert a\rvert}",
    "relu": r"\max(a,0)", "leaky_relu": r"\max(a,0.01\,a)",
    "elu": r"a\,[a>0]+(e^{a}-1)\,[a\le 0]", "logsigmoid": r"-\log(1+e^{-a})",
    "clip": r"\min(\max(a,b),c)",
}


def _operation_rule(entry: functions.Operation, call: Call, graph: Graph) -> Rule:
    shapes: dict[str, Shape] = {}
    given: dict[str, Expression] = {}
    for name, argument in zip(entry.arguments, call.arguments):
        if values(argument):
            shapes[name] = shape_of(argument, graph.shapes)
        else:
            given[name] = argument
    for name, default in zip(reversed(entry.arguments), reversed(entry.optional)):
        if name not in shapes and name not in given:
            given[name] = parse_rule(default)
    generic = tuple(given.get(name, Value(name)) for name in entry.arguments[: len(call.arguments)])
    shapes["y"] = shapes["d"] = shape_of(Call(call.function, generic), shapes)
    printer = Printer(_RuleSymbols(shapes))
    sent = []
    for name, rule in zip(entry.arguments, entry.adjoints):
        last = shapes[name][-1].expression() if shapes.get(name) else None

        def put_in(node: Expression, last=last) -> Expression | None:
            if isinstance(node, Value):
                return last if node.name == "n" and last is not None else given.get(node.name)
            return None

        share = printer.marked(transform(parse_rule(rule), put_in))
        sent.append(rf"\delta {printer.notation.value(name)}={share}")
    return f"{printer.notation.value('y')}={printer(Call(call.function, generic))}", sent

