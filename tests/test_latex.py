"""What the document displays is read back from the `.tex` and evaluated against the derivation.

The reader below knows LaTeX and the symbols of one document, and nothing of expressions: it computes
while it reads, so a sign, an index or an operand that the printer loses gives another number.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import textwrap
import unicodedata
from dataclasses import dataclass, field
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lstmgen.document.latex.printer as spell_latex
from lstmgen.spec import reader as specs
from lstmgen.derivation.condensed import condensed, written
from lstmgen.derivation.chain import ELEMENTWISE, START, TRANSPOSED, Contribution, Gradient, derive, later
from lstmgen.document.compose import SECTIONS, Extras, chosen_sections, render_document
from lstmgen.errors import SpecError
from lstmgen.language.expressions import Adjoint, MatVec, Outside, Product, Value, walk
from lstmgen.numerics.fading import one_step
from lstmgen.derivation.build import build_graph
from lstmgen.language.evaluate import Floats, evaluate
from lstmgen.document.notation import Notation, make_notation
from lstmgen.document.symbols import BadSymbol, read_name, read_symbol
from lstmgen.outputs.numpy.module import module_source
from lstmgen.numerics.paths import Network, random_run
from lstmgen.pipeline import _extras, _schedule, build, execute
from lstmgen.schedule.make import make_schedule
from lstmgen.schedule.plan import LAST, Plan, make_plan
from lstmgen.resources import find_spec, packaged_specs
from lstmgen.document.inline import spoken
from lstmgen.document.latex.escape import escape
from lstmgen.document.latex.text import set_text
from lstmgen.document.latex.printer import Printer
from lstmgen.document.latex.records import latex_of
from lstmgen.document.latex.pdf import TexFailed, compile_pdf, overfull_boxes
from lstmgen.numerics.unrolled import Adjoints
from lstmgen.numerics.worked import work_out

with_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: `make tex` installs it")

NOTATIONS = ("greff", "ng", "hats", "colah", "graves")

# ---------------------------------------------------------------- cells beside those of specs/

EVERY_FUNCTION = r"""
name: every_function
inputs: {x: D, u: []}
state: {h: 2*H, s: [], m: H}
parameters:
  {W: [2*H, D + 2*H], V: [H, D], b: [2*H], zeta: [], c_0: [H], y_0: []}
equations:
  z: W @ concat(x, h[t-1]) + b
  a1: sigmoid(part(z, 0, 2)) + tanh(part(z, 1, 2))
  a2: relu(a1) + leaky_relu(a1 - 0.3) * elu(a1)
  a3: softplus(a2) - softsign(a2) / (1 + exp(a1))
  a4: gelu(a3) + silu(a1) + log(1 + square(a3)) + logsigmoid(a2)
  a5: sqrt(1 + a4 ** 2) * rsqrt(2 + a4 ** 2) + abs(a4) - sin(a3) * cos(a2)
  a6: hard_sigmoid(a5) + hard_tanh(a4) + identity(a1)
  a7: max(a6, a5) - min(a4, a5) + clip(a6, -0.5, 0.5) + where(a6 < a5, a4, a5 * u)
  a8: softmax(a7) * sum(a6) + mean(a5) * cumsum(a4)
  a9: layer_norm(a8, 1e-3) + dot(a7, a8) * m[t-1] + logsumexp(a8)
  B: outer(a9, a8)
  a10: transpose(B) @ a9 - (V @ x)
  a12: log1p(a1) * expm1(-a3) + erf(a2)
  a13: rms_norm(a8) * l2_norm(a7, 0.1) + a12
  a11: a13 + a10 + stop_gradient(a9) * floor(a1) * sign(a2) + mod(a3, 2)
  m: 0.5 * a11 + m[t-1] / (1 + m[t-1] ** 2)
  s: 0.5 * s[t-1] + tanh(mean(m)) * zeta + max(s[t-1], 0.2) * u
  h: repeat(tanh(a11), 2) * (1 - s) + where(s > 0.5, h[t-1], 0.1 * h[t-1])
output: [h, s]
initial: {m: c_0, s: y_0}
"""

MATRIX_STATE = r"""
name: matrix_state
dims: {D: input_size, K: key_size, H: hidden_size}
state: {C: [H, K], n: K}
parameters: {W_q: [K, D], W_k: [K, D], W_v: [H, D], w_i: [D], w_f: [D], b_v: [H], A: [K, K], G: [H, K]}
equations:
  q: W_q @ x
  k: (A - transpose(A)) @ (W_k @ x) / sqrt(K)
  v: W_v @ x + b_v
  i: exp(min(dot(w_i, x), 1))
  f: sigmoid(dot(w_f, x))
  C: f * C[t-1] + i * outer(v, k) + 0.1 * G * C[t-1] ** 2
  n: f * n[t-1] + i * k
  g: layer_norm(C @ q) + sum(softmax(C)) * mean(C) - cumsum(C) @ q
  h: g / max(abs(dot(n, q)), 1)
output: h
"""

LOSS_AT_LAST = r"""
name: loss_at_last
state: {h: H}
parameters: {W_h: [H, D], R_h: [H, H], b_h: [H], V: [H, H], c: [H], k: []}
equations:
  h: tanh((R_h - transpose(R_h)) @ h[t-1] + W_h @ x + b_h)
  y: V @ h + softmax(c)
output: y
targets: {target: H}
loss: 0.5 * sum((target - y) ** 2) + k ** 2 * sum(abs(h))
loss_at: last
"""

SAME_CALL_TWICE = r"""
name: same_call_twice
state: {h: H, c: H}
parameters: {W: [H, D], p: [H]}
equations:
  c: W @ x + p * tanh(c[t-1]) * h[t-1]
  h: tanh(c) - tanh(h[t-1]) * c[t-1] + tanh(h[t-1]) ** 2
output: h
"""

SCALARS = r"""
name: scalars
dims: {}
inputs: {x: []}
state: {h: []}
parameters: {w: [], r: [], delta: [], sigma: []}
equations:
  h: tanh(w * x + r * h[t-1] - delta / (1 + sigma ** 2) ** 0.5)
output: h
"""

NO_FORK = r"""
name: no_fork
state: {h: H}
parameters: {W: [H, D], b: H}
equations:
  h: relu(W @ x + b)
output: h
"""

OWN_NAMES = """
name: peephole
cell: lstm
peepholes: true
"""

PEEPHOLE = f"{OWN_NAMES}notation: greff\n"

RECURRENT_GATES = """
name: recurrent_gates
cell: lstm
peepholes: true
gate_recurrence: true
projection: true
loss: squared_error
"""

WIDE = (
    "name: wide\nstate: {h: H}\nparameters: {W: [H, D], R: [H, H]}\nequations:\n"
    + "".join(
        f"  a{k}: tanh({'W @ x + R @ h[t-1]' if k == 0 else f'a{k - 1} * a{k // 2} - 0.5 * h[t-1]'})\n"
        for k in range(30)
    )
    + "  h: "
    + " + ".join(f"a{k}" for k in range(30))
    + "\noutput: h\n"
)

CELLS = {
    "every_function": EVERY_FUNCTION,
    "matrix_state": MATRIX_STATE,
    "loss_at_last": LOSS_AT_LAST,
    "same_call_twice": SAME_CALL_TWICE,
    "scalars": SCALARS,
    "no_fork": NO_FORK,
    "peephole": PEEPHOLE,
    "recurrent_gates": RECURRENT_GATES,
    "wide": WIDE,
}


def plan_of(text: str) -> Plan:
    return make_plan(derive(build_graph(specs.load(text))))


def document(plan: Plan, notation: Notation, unroll: int | None = None, listing: str | None = None) -> str:
    """With all paths of one step."""
    extras = Extras(unroll, listing=listing, sections=chosen_sections(["paths"]))
    return render_document(plan, notation, None, plan.graph.spec.name, extras)


def whole_document(plan: Plan, notation: Notation, unroll: int | None = None) -> str:
    """With what is measured and worked out in numbers."""
    name = plan.graph.spec.name
    module = execute(module_source(make_schedule(plan.derivation), verified=False), name)
    schedule = make_schedule(plan.derivation)
    return render_document(plan, notation, None, name, _extras(schedule, module, unroll))


# ---------------------------------------------------------------- the document, taken apart


@dataclass
class Term:
    text: str  # one branch of a fork, or the whole of a stage
    note: str  # what stands beside it


@dataclass
class Equation:
    number: int | None
    left: str
    terms: list[Term] = field(default_factory=list)


_ROW = re.compile(
    r"  (?P<left>.*?)&(?P<right>.*)&&(?P<note>.*?)(?:\\tag\{(?P<tag>\d+)\}\\label\{eq:\d+\})?(?:\\\\)?$"
)


_IN_A_COLUMN = re.compile(r"(?:^|\\qquad&)(.*?)&(.*?)&&\\numbered\{(\d+)\}")


def equations(tex: str) -> list[Equation]:
    """Every displayed equation, its lines put together again."""
    found: list[Equation] = []
    for display in re.findall(r"\\begin\{alignat\*\}\{\d\}\n(.*?)\\end\{alignat\*\}", tex, re.DOTALL):
        for line in display.splitlines():
            if r"\numbered" in line:
                found += [Equation(int(number), left.strip().removesuffix("={}"), [Term(right, "")])
                          for left, right, number in _IN_A_COLUMN.findall(line)]
                continue
            row = _ROW.match(line)
            if not row:
                assert not line.strip(), line
                continue
            left, note = row["left"].removesuffix("={}"), row["note"]
            if row["tag"] or left:
                found.append(Equation(int(row["tag"]) if row["tag"] else None, left))
            right = row["right"].removeprefix(r"\goeson ")
            if note or not found[-1].terms:
                found[-1].terms.append(Term(right, note))
            else:
                found[-1].terms[-1].text += right
    return found


def section(tex: str, label: str) -> str:
    """The text of one section."""
    _, found = tex.split(rf"\label{{sec:{label}}}")
    return found.split("\n\\section{")[0]


def gathered(tex: str) -> list[str]:
    """The small equations that stand side by side."""
    found: list[str] = []
    for display in re.findall(r"\\begin\{gather\*\}\n(.*?)\\end\{gather\*\}", tex, re.DOTALL):
        for line in filter(None, map(str.strip, display.splitlines())):
            equations_ = line.removesuffix("\\\\").split(r",\qquad ")
            if equations_[0].startswith(r"\goeson "):
                found[-1] += equations_.pop(0).removeprefix(r"\goeson ")
            found += equations_
    return found


# ---------------------------------------------------------------- numbers for every name


@dataclass(frozen=True)
class Point:
    """A value for every leaf that can stand in an equation, no two shapes the same."""

    plan: Plan
    sizes: dict[str, int]
    values: dict

    def of(self, expression) -> np.ndarray:
        return evaluate(expression, self.values, Floats(), self.sizes)


def random_point(plan: Plan, notation: Notation, seed: int = 0) -> Point:
    graph, random = plan.graph, np.random.default_rng(seed)
    sizes = {symbol: size for (symbol, _), size in zip(graph.dims, (4, 6, 8, 10, 12))}
    point = Point(plan, sizes, {})

    def draw(name):
        shape = [dim.value(sizes) for dim in graph.shapes[name]]
        return random.uniform(0.3, 1.2, shape) * random.choice([-1, 1, 1], shape)

    for name in filter(None, graph.shapes):
        still = name in graph.static
        for leaf in (Value, Adjoint, Outside):
            once = draw(name)
            for lag in (-3, -2, -1, 0, 1):
                point.values[leaf(name, lag)] = once if still else draw(name)
    for stage in graph.stages:  # what is written out is read as what it is made of
        if stage.name in notation.definitions:
            for lag in (-2, -1, 0, 1):
                point.values[Value(stage.name, lag)] = point.of(_shifted(stage.expression, lag, graph.static))
    return point


def _shifted(expression, lag, static):
    from lstmgen.language.expressions import transform

    return transform(
        expression,
        lambda node: (
            Value(node.name, node.lag + lag) if isinstance(node, Value) and node.name not in static else None
        ),
    )


def symbols(plan: Plan, notation: Notation, point: Point, now: str = "t") -> dict[str, np.ndarray]:
    """What each symbol of the document stands for."""
    printer, table = Printer(notation, now), {}
    lags = (0, 1) if now == "0" else (-2, -1, 0, 1)
    for leaf, value in point.values.items():
        if leaf.lag not in lags or (leaf.lag and leaf.name in plan.graph.static):
            continue
        if isinstance(leaf, Value) and leaf.name in notation.definitions:
            continue
        text = printer(leaf)
        assert text not in table, f"two values look like {text}"
        table[text] = value
    for symbol, _ in plan.graph.dims:
        table[notation.size(symbol)] = np.array(float(point.sizes[symbol]))
    return table


# ---------------------------------------------------------------- the reader


def _sigmoid(a):
    return 1 / (1 + np.exp(-a))


def _normalised(a, eps=1e-5):
    return (a - a.mean(-1, keepdims=True)) * _inverse_std(a, eps)[..., None]


def _inverse_std(a, eps=1e-5):
    return 1 / np.sqrt(a.var(-1) + eps)


def _inverse_rms(a, eps):
    return 1 / np.sqrt((a * a).mean(-1) + eps)


def _inverse_norm(a, eps):
    return 1 / np.sqrt((a * a).sum(-1) + eps)


def _softmax(a):
    return np.exp(a) / np.exp(a).sum(-1, keepdims=True)


def _place(a, k, n):
    parts = [np.zeros_like(a)] * n
    parts[k] = a
    return np.concatenate(parts, -1)


NAMED = {
    r"\sigma": _sigmoid,
    r"\max": np.maximum,
    r"\min": np.minimum,
    "sign": np.sign,
    "relu": lambda a: np.where(a > 0, a, 0),
    "lrelu": lambda a: np.where(a > 0, a, 0.01 * a),
    "elu": lambda a: np.where(a > 0, a, np.exp(a) - 1),
    "softplus": lambda a: np.log(1 + np.exp(a)),
    "softsign": lambda a: a / (1 + abs(a)),
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "softmax": _softmax,
    "mean": lambda a: a.mean(-1),
    "lse": lambda a: np.log(np.exp(a).sum(-1)),
    "cumsum": lambda a: a.cumsum(-1),
    "stop": lambda a: a,
    "LN": _normalised,
    "rstd": _inverse_std,
    "RMSNorm": lambda a, eps=1e-6: a * _inverse_rms(a, eps)[..., None],
    "rrms": lambda a, eps=1e-6: _inverse_rms(a, eps),
    "L2Norm": lambda a, eps=1e-6: a * _inverse_norm(a, eps)[..., None],
    "rnorm": lambda a, eps=1e-6: _inverse_norm(a, eps),
    "expm1": np.expm1,
    "log1p": np.log1p,
    "erf": np.vectorize(math.erf),
    "erf'": lambda a: 2 / math.sqrt(math.pi) * np.exp(-(a**2)),
    "surrogate": lambda a, b, c: b,
    "pass": lambda a, k: a,
    "clip": lambda a, *bounds: np.clip(a, *(bounds if len(bounds) == 2 else (-bounds[0], bounds[0]))),  # that of a bound
    "repeat": lambda a, n: np.repeat(a, int(n), -1),
}
BARE = {r"\tanh": np.tanh, r"\sin": np.sin, r"\cos": np.cos, r"\exp": np.exp, r"\log": np.log}
RELATIONS = {"<": np.less, r"\le": np.less_equal, ">": np.greater, r"\ge": np.greater_equal, "=": np.equal}
DELIMITERS = {"(": ")", r"\bigl(": r"\bigr)", r"\Bigl(": r"\Bigr)"}


class Row:
    """A transposed vector: it makes an outer product with what stands before it."""

    def __init__(self, value):
        self.value = value


class Turned:
    """What has two axes or more, with ^T behind it: a matrix turned, or a row of each head; what stands beside it tells."""

    def __init__(self, value):
        self.value = value

    def matrix(self):
        return np.swapaxes(self.value, -1, -2)


def _settled(value):
    return value.matrix() if isinstance(value, Turned) else value


ONES = object()


class Reader:
    """Reads a formula and computes it."""

    def __init__(self, text: str, table: dict[str, np.ndarray]):
        self.text = re.sub(r"\\fork\{\d+\}", "", text).replace(r"\goeson", "").replace("{-}", "-")
        self.table = sorted(table.items(), key=lambda item: -len(item[0]))
        self.at = 0
        # beside a matrix of each head, two axes are a vector of each head
        self.of_heads = any(np.ndim(value) == 3 for value in table.values())

    def read(self) -> np.ndarray:
        value = self.sum()
        self.space()
        assert self.at == len(self.text), f"stopped before {self.text[self.at :]!r} in {self.text!r}"
        return np.asarray(_settled(value))

    # ---- characters

    def space(self):
        while True:
            for blank in (" ", r"\,", "{}", r"\displaystyle", r"\textstyle"):
                if self.text.startswith(blank, self.at):
                    self.at += len(blank)
                    break
            else:
                return

    def sees(self, *tokens: str) -> str | None:
        self.space()
        for token in tokens:
            if self.text.startswith(token, self.at):
                after = self.text[self.at + len(token) : self.at + len(token) + 1]
                if not (token[-1].isalpha() and after.isalpha()):
                    return token
        return None

    def accept(self, *tokens: str) -> str | None:
        token = self.sees(*tokens)
        if token:
            self.at += len(token)
        return token

    def expect(self, token: str):
        assert self.accept(token), f"{token!r} expected at {self.text[self.at :]!r}"

    def braces(self) -> str:
        """The raw text of a script: one token, or a group."""
        if self.text[self.at] != "{":
            match = re.match(r"\\[A-Za-z]+|.", self.text[self.at :])
            self.at += match.end()
            return match[0]
        start, depth = self.at, 0
        while True:
            depth += {"{": 1, "}": -1}.get(self.text[self.at], 0)
            self.at += 1
            if depth == 0:
                return self.text[start + 1 : self.at - 1]

    def inner(self, text: str) -> np.ndarray:
        return Reader(text, dict(self.table)).read()

    # ---- grammar

    def sum(self):
        if self.accept(r"\begin{cases}"):
            return self.cases()
        value = -self.product() if self.accept("-") else self.product()
        while sign := self.accept("+", "-"):
            term = self.product()
            value = self.meet(value, term, np.add if sign == "+" else np.subtract)
        return value

    def product(self):
        value = self.juxtaposed()
        while self.accept(r"\odot"):
            value = self.meet(value, self.juxtaposed(), np.multiply)
        return value

    def meet(self, left, right, operation):
        """Entry by entry: arrays of one shape, or a number for all entries."""
        left, right = (np.asarray(_settled(side)) for side in (left, right))
        if left.ndim and right.ndim and 1 not in (left.shape[-1], right.shape[-1]):
            assert left.shape == right.shape, f"{left.shape} meets {right.shape} in {self.text!r}"
        return operation(left, right)

    def juxtaposed(self):
        factors = [self.factor()]
        while not self.ends():
            self.accept(r"\cdot")
            factors.append(self.factor())
        return self.combined(factors)

    def ends(self) -> bool:
        self.space()
        ahead = self.text[self.at :]
        closing = (
            r"\odot",
            r"\bigr",
            r"\Bigr",
            r"\rangle",
            r"\rvert",
            r"\rfloor",
            r"\le",
            r"\ge",
            r"\end",
            r"\\",
            r"\text",
            r"\big|",
        )
        return not ahead or ahead[0] in "+-)]},;<>=&" or self.sees(*closing) is not None

    def combined(self, factors: list):
        """What stands side by side: scalars, a matrix and its vector, a column and a row, sums of entries."""
        if len(factors) == 1 and isinstance(factors[0], Turned):
            return factors[0]
        value = None
        for position, factor in enumerate(factors):
            if (
                isinstance(factor, Row)
                and factor.value is ONES
                and position + 1 < len(factors)
                and value is None
            ):
                rest = self.combined(factors[position + 1 :])
                return rest.sum(-1)
            if isinstance(factor, Turned) and value is not None and np.ndim(value):
                rows_of_heads = self.of_heads and np.ndim(value) == np.ndim(factor.value) == 2
                value = value[..., :, None] * factor.value[..., None, :] if rows_of_heads else value @ factor.matrix()
                continue
            factor = _settled(factor)
            if value is None:
                value = factor
            elif np.ndim(value) == 0 and not isinstance(value, Row) and isinstance(factor, Row):
                if factor.value is not ONES and position + 1 == len(factors):
                    return value * factor.value[None, :]  # the same in every entry, times a row
                rest = [Row(ONES)] if factor.value is ONES else [factor]
                return value * self.combined([*rest, *factors[position + 1 :]])
            elif isinstance(factor, Row):
                width = np.ones(1) if factor.value is ONES else factor.value
                value = np.asarray(value)[:, None] * width[None, :]
            elif factor is ONES:
                value = value.sum(-1) if np.ndim(value) >= 2 else np.asarray(value)
            elif np.ndim(value) == 0 or np.ndim(factor) == 0:
                value = value * factor
            elif np.ndim(value) == np.ndim(factor) >= 2:
                value = value @ factor
            elif np.ndim(value) == 3 and np.ndim(factor) == 2:
                value = np.einsum("njk,nk->nj", value, factor)
            else:
                assert np.ndim(value) == 2 and np.ndim(factor) == 1, (
                    f"{np.shape(value)} beside {np.shape(factor)}"
                )
                if value.shape[1] == 1 != len(factor):
                    value, factor = value[:, 0], factor.sum()  # a column times a row of ones, times a vector
                value = value @ factor if np.ndim(factor) else value * factor
        return np.ones(()) if value is ONES else value

    def factor(self):
        value = self.primary()
        while True:
            if self.accept("^{\\mathsf T}"):
                value = _settled(value)
                value = Row(value) if value is ONES or np.ndim(value) == 1 else Turned(value)
            elif self.accept("^"):
                raised = self.braces()
                value = _settled(value)
                if np.ndim(value) == 2 and not self.of_heads:
                    assert raised.startswith(r"\odot"), "a power of a matrix"
                value = value ** self.inner(raised.removeprefix(r"\odot"))
            elif self.sees("_{["):
                self.at += 1
                low, high = self.braces().strip("[]").split(":")
                value = value[..., int(self.inner(low)) : int(self.inner(high))]
            else:
                return value

    def primary(self):
        self.space()
        if self.accept(r"\bm 1"):
            return ONES
        if number := re.compile(r"\d+(\.\d+)?").match(self.text, self.at):
            self.at = number.end()
            return np.array(float(number[0]))
        if opening := self.accept(*DELIMITERS):
            value = self.sum()
            self.expect(DELIMITERS[opening])
            return value
        if self.accept(r"\frac", r"\tfrac"):
            above, below = self.inner(self.braces()), self.inner(self.braces())
            return self.meet(above, below, np.divide)
        if self.accept(r"\sqrt"):
            return np.sqrt(self.inner(self.braces()))
        for opening, closing, function in ((r"\lvert", r"\rvert", abs), (r"\lfloor", r"\rfloor", np.floor)):
            if self.accept(opening):
                value = function(self.sum())
                self.expect(closing)
                return value
        if self.accept(r"\langle"):
            left = self.sum()
            self.expect(",")
            right = self.sum()
            self.expect(r"\rangle")
            return (left * right).sum(-1)
        if name := self.accept(*BARE):
            return self.bare(BARE[name])
        for text, value in self.table:
            if self.text.startswith(text, self.at) and self.text[self.at + len(text) :][:1] != "_":
                self.at += len(text)
                return value
        if name := self.accept(r"\operatorname{", *(name for name in NAMED if name.startswith("\\"))):
            return self.called(name)
        if self.accept("{"):
            value = self.sum()
            self.expect("}")
            return value
        self.expect("[")
        return self.bracket()

    def bare(self, function):
        """A function whose argument may stand without parentheses."""
        raised = self.inner(self.braces()) if self.accept("^") else 1.0
        self.space()
        return function(self.primary() if self.sees(r"\sigma", *DELIMITERS) else self.factor()) ** raised

    def called(self, name: str):
        """A function with its arguments in parentheses."""
        if name == r"\operatorname{":
            end = self.text.index("}", self.at)
            name, self.at = self.text[self.at : end], end + 1
            name += self.accept("'") or ""
        transposed = bool(self.accept("^{\\mathsf T}"))
        mark = self.braces() if self.accept("_") else ""
        opening = self.accept(*DELIMITERS)
        assert opening, f"{name} without parentheses"
        arguments = [_settled(self.sum())]
        while self.accept(","):
            arguments.append(self.sum())
        self.expect(DELIMITERS[opening])
        if arguments[0] is ONES:
            arguments[0] = np.ones(int(self.inner("N")))  # of as many entries as there are heads
        (first, *_) = arguments
        if name == "part":
            k, n = map(int, mark.split("/"))
            return _place(first, k, n) if transposed else np.split(first, n, -1)[k]
        if name == "heads":
            return first.reshape(*first.shape[:-1], int(self.inner(mark)), -1)
        if name == "flat":
            return first.reshape(*first.shape[:-2], -1)
        if name == "fill":
            for count in mark.split(","):
                first = np.repeat(first[..., None], int(self.inner(count)), -1)
            return first
        if name == "repeat" and transposed:
            return first.reshape(*first.shape[:-1], -1, int(mark)).sum(-1)
        if name == "cumsum" and transposed:
            return first[..., ::-1].cumsum(-1)[..., ::-1]
        if name in ("LN", "rstd", "RMSNorm", "rrms", "L2Norm", "rnorm", "pass", "clip") and mark:
            return NAMED[name](first, float(self.inner(mark)))
        return NAMED[name](*arguments)

    def bracket(self):
        """A relation, which is 1 where it holds, or vectors put together."""
        parts = [self.sum()]
        if relation := self.accept(*RELATIONS):
            holds = RELATIONS[relation](*np.broadcast_arrays(parts[0], self.sum()))
            self.expect("]")
            return holds.astype(float)
        while self.accept(";", ","):
            parts.append(self.sum())
        self.expect("]")
        return np.concatenate(parts, -1)

    def cases(self):
        chosen = self.sum()
        self.expect(r"&\text{where }")
        left = self.sum()
        relation = self.accept(*RELATIONS)
        holds = RELATIONS[relation](left, self.sum())
        self.expect(r"\\")
        other = self.sum()
        self.expect(r"&\text{elsewhere}\end{cases}")
        return np.where(holds, chosen, other)


# ---------------------------------------------------------------- what is displayed is what was derived


def same(found, expected) -> bool:
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    if found.ndim > expected.ndim:
        return False
    return np.allclose(
        np.broadcast_to(found, expected.shape), expected, rtol=1e-10, atol=1e-12, equal_nan=True
    )


def disagreements(tex: str, plan: Plan, notation: Notation, point: Point, table: dict) -> list[str]:
    """Everything displayed that is not what the derivation says."""
    forward = {plan.numbers[stage.name]: stage for stage in plan.graph.stages}
    backward = {
        plan.gradient_numbers[gradient.value]: gradient for gradient in plan.derivation.adjoints.values()
    }
    numbered = [equation for equation in equations(tex) if equation.number is not None]
    wrong = []
    if sorted(equation.number for equation in numbered) != sorted([*forward, *backward]):
        wrong.append("equations are missing")
    for equation in numbered:
        try:
            if equation.number in forward:
                stage = forward[equation.number]
                wrong += _stage_disagreements(equation, stage, notation, point, table)
            else:
                gradient = backward[equation.number]
                wrong += _gradient_disagreements(equation, gradient, plan, notation, point, table)
        except (AssertionError, ValueError) as error:
            wrong.append(f"({equation.number}) cannot be read: {error}")
    wrong += _card_disagreements(tex, plan, notation, point, table)
    return wrong + _immediate_disagreements(tex, plan, notation, point, table)


def _card_disagreements(tex: str, plan: Plan, notation: Notation, point: Point, table) -> list[str]:
    """The lines of the first page: equations as the spec has them, and sums with adjoints of a single use put in."""
    stages = {plan.numbers[stage.name]: (Value(stage.name), [point.of(stage.expression)]) for stage in plan.graph.stages}
    stages |= {plan.numbers[line.name]: (Value(line.name), [point.of(line.expression)]) for line in written(plan.graph)}
    adjoints = {
        plan.gradient_numbers[gradient.value]:
            (Adjoint(gradient.value), [point.of(fork.term) for fork in gradient.forks] or [gradient.value == plan.graph.loss])
        for gradient in condensed(plan.derivation)
    }
    wrong, seen = [], set()
    for equation in equations(section(tex, "card")):
        if equation.number is not None:
            continue  # a parameter's whole gradient, read with all numbered equations
        (number,) = {int(each) for term in equation.terms for each in re.findall(r"\\eqref\{eq:(\d+)\}", term.note)}
        leaf, terms = stages[number] if number in stages else adjoints[number]
        expected = sum(np.asarray(term, float) for term in terms)
        text = "".join(term.text for term in equation.terms).replace(rf"[t={notation.steps}]\,", "")
        seen.add(number)
        if re.search(r"\\,\\bm 1|\\bm 1\\,|\(\\bm 1\)\^", text):
            continue  # how long ones in a product are can be told where they have a stage of their own
        try:
            fine = np.array_equal(Reader(equation.left, table).read(), point.values[leaf])
            fine = fine and same(Reader(text, table).read(), expected)
        except (AssertionError, ValueError) as error:
            wrong.append(f"on the card, ({number}) cannot be read: {error}")
            continue
        wrong += [] if fine else [f"on the card, ({number}): {equation.left} {text}"]
    missing = {plan.numbers[line.name] for line in written(plan.graph) if line.name != plan.graph.loss} - seen
    return wrong + [f"not on the card: ({number})" for number in sorted(missing)]


def _immediate_disagreements(tex: str, plan: Plan, notation: Notation, point: Point, table) -> list[str]:
    """The local derivatives at the forks of the backward pass, each of them once."""
    expected, printer = {}, Printer(notation)
    for gradient in plan.derivation.stages:
        if len(gradient.forks) < 2 or plan.graph.is_cut(gradient.value):
            continue
        for fork in gradient.forks:
            if fork.kind in (ELEMENTWISE, TRANSPOSED) and fork.target not in plan.graph.static:
                reader = printer.differential(r"\partial^{+}", fork.reader, fork.lag)
                target = printer.differential(r"\partial", fork.target)
                expected.setdefault((reader, target), []).append(fork)
    wrong = []
    for text in gathered(section(tex, "backward")):
        reader, target, derivative = _split_derivative(text)
        if (reader, target) not in expected:
            wrong.append(f"no immediate derivative: {text}")
            continue
        forks = expected[reader, target]
        matching = [fork for fork in forks if _derivative_is(derivative, fork, point, table, plan)]
        if matching:
            forks.remove(matching[0])
        else:
            wrong.append(f"the derivative of {reader} by {target}: {text}")
    wrong += [f"no derivative of {pair[0]} by {pair[1]}" for pair, forks in expected.items() if forks]
    return wrong


def _split_derivative(text: str) -> tuple[str, str, str]:
    """The three parts of a fraction of derivatives and what it is equal to, colours taken out."""
    text = re.sub(r"\\fork\{\d+\}\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}", r"\1", text)
    parts, at = [], len(r"\frac")
    for _ in range(2):
        depth, start = 0, at
        while True:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
            if not depth:
                break
        parts.append(text[start + 1 : at - 1])
    return parts[0], parts[1], text[at:].removeprefix("=")


def _derivative_is(text: str, fork: Contribution, point: Point, table: dict, plan: Plan) -> bool:
    """Whether a matrix is that of a branch: as it is, the diagonal of a vector, or a multiple of one."""
    static = plan.graph.static
    if fork.kind == TRANSPOSED:
        matrix = fork.at_reader
        sign, matrix = (-1, matrix.operand) if hasattr(matrix, "operand") else (1, matrix)
        expected = sign * point.of(later(matrix.matrix.arguments[0], fork.lag, static))
    else:
        expected = point.of(later(fork.local, fork.lag, static))
        is_array = bool(plan.graph.shapes[fork.reader]) and bool(plan.graph.shapes[fork.target])
        if is_array != (text.startswith(r"\operatorname{diag}(") or text.endswith(r"\bm I")):
            return False
    inner = re.sub(r"^\\operatorname\{diag\}\((.*)\)$", r"\1", text)
    for unit in (r"\bm I", r"\bm 1"):
        if inner.endswith(unit) and np.ndim(expected) == 0:
            inner = inner.removesuffix(unit).removesuffix(r"\,")
            inner = {"": "1", "-": "-1"}.get(inner, inner)
    try:
        return same(Reader(inner, table).read(), expected)
    except (AssertionError, ValueError):
        return False


def _stage_disagreements(equation, stage, notation, point, table) -> list[str]:
    (term,) = equation.terms
    if stage.name in notation.definitions:
        fine = not equation.left
    else:
        fine = np.array_equal(Reader(equation.left, table).read(), point.values[Value(stage.name)])
    if not fine:
        return [f"({equation.number}) is not an equation for {stage.name}: {equation.left}"]
    if not same(Reader(term.text, table).read(), point.of(stage.expression)):
        return [f"({equation.number}) {stage.name}: {term.text}"]
    return []


def _gradient_disagreements(equation, gradient: Gradient, plan, notation, point, table) -> list[str]:
    if not np.array_equal(Reader(equation.left, table).read(), point.values[Adjoint(gradient.value)]):
        return [
            f"({equation.number}) is not an equation for the adjoint of {gradient.value}: {equation.left}"
        ]
    if not gradient.forks:
        expected = "1" if gradient.value == plan.graph.loss else (r"\bm 0" if gradient.shape else "0")
        return [] if equation.terms[0].text == expected else [f"({equation.number}) {equation.terms[0].text}"]
    if len(equation.terms) != len(gradient.forks):
        return [
            f"({equation.number}) has {len(equation.terms)} terms, the fork {len(gradient.forks)} branches"
        ]
    found = []
    for term, fork in zip(equation.terms, gradient.forks):
        if not _term_is(term, fork, plan, notation, point, table):
            found.append(f"({equation.number}) {gradient.value} through {fork.reader}: {term.text}")
    return found


def _term_is(term: Term, fork: Contribution, plan, notation, point, table) -> bool:
    text = re.sub(r"^\{\}\+", "", term.text)
    if fork.kind == START:
        return text.endswith(r"\big|_{t=0}") and same(
            Reader(text.removesuffix(r"\big|_{t=0}"), table).read(), point.of(fork.term)
        )
    over_time = rf"\textstyle\sum_{{t=1}}^{{{notation.steps}}}\displaystyle "
    at_last = rf"[t={notation.steps}]\,"
    if (over_time in text) != fork.over_time:
        return False
    text = text.replace(over_time, "")
    ends_there = plan.phases.get(fork.reader) == LAST and plan.phases.get(fork.target) != LAST
    if (at_last in text) != ends_there:
        return False
    return same(Reader(text.replace(at_last, ""), table).read(), point.of(fork.term))


@pytest.fixture(autouse=True)
def roots_of_random_numbers():
    """Points are drawn without regard to where log and sqrt are defined: nan is read back as nan."""
    with np.errstate(all="ignore"):
        yield


def check(text: str, choice: str | None) -> list[str]:
    plan = plan_of(text)
    notation = make_notation(plan.graph, choice)
    tex, wrong = document(plan, notation), []
    for seed in (0, 1):
        point = random_point(plan, notation, seed)
        wrong += disagreements(tex, plan, notation, point, symbols(plan, notation, point))
    return wrong


def test_specs_display_what_was_derived(spec_path):
    assert check(spec_path.read_text(encoding="utf-8"), None) == []


@pytest.mark.parametrize("choice", NOTATIONS)
@pytest.mark.parametrize("name", CELLS)
def test_every_equation_says_what_was_derived_in_every_notation(name, choice):
    assert check(CELLS[name], choice) == []


@pytest.mark.parametrize("name", CELLS)
def test_initial_states_get_the_branches_through_time(name):
    plan = plan_of(CELLS[name])
    notation = make_notation(plan.graph)
    point = random_point(plan, notation)
    table = symbols(plan, notation, point, "0")
    found = gathered(section(document(plan, notation), "boundary"))
    assert len(found) == len(plan.graph.states)
    for state, equation in zip(plan.graph.states, found):
        left, _, right = equation.partition("=")
        assert np.array_equal(Reader(left, table).read(), point.values[Adjoint(state)])
        branches = plan.derivation.adjoints[state].through_time()
        expected = sum((point.of(fork.term) for fork in branches), np.zeros(()))
        assert same(Reader(right, table).read() if branches else 0.0, expected), equation


@pytest.mark.parametrize("name", ["peephole", "recurrent_gates"])
def test_the_reader_named_beside_a_term_is_its_reader(name):
    plan = plan_of(CELLS[name])
    notation = make_notation(plan.graph)
    gradients = {plan.gradient_numbers[gradient.value]: gradient for gradient in plan.derivation.stages}
    for equation in equations(document(plan, notation)):
        gradient = gradients.get(equation.number)
        for term, fork in zip(equation.terms, gradient.forks if gradient else ()):
            if fork.kind == "output":
                assert term.note == r"\by{from outside}"
                continue
            symbol = Printer(notation)(Value(fork.reader, fork.lag))
            if not term.note:  # in a column, where the forward pass has named the reader
                assert len(gradient.forks) == 1
                continue
            assert f"${symbol}$" in term.note and f"eq:{plan.numbers[fork.reader]}}}" in term.note
            assert ("step $t+1$" in term.note) == (fork.lag == 1)


# ---------------------------------------------------------------- unrolled over time


def unrolled_symbols(plan: Plan, notation: Notation, run, adjoints, outside) -> dict[str, np.ndarray]:
    """What each symbol with the number of a step stands for, in one run of the cell."""
    table = {notation.size(symbol): np.array(float(run.sizes[symbol])) for symbol, _ in plan.graph.dims}
    plain = Printer(notation)
    for name, array in run.fixed.items():
        table[plain(Value(name))] = array[0]
    for name, array in adjoints.totals.items():
        table[plain(Adjoint(name))] = array[0]
    for step in range(run.steps + 1):
        printer = Printer(notation, str(step))
        for name, array in run.values[step].items():
            if name not in notation.definitions:
                table[printer(Value(name))] = array[0]
        for name, array in adjoints.by_step[step].items():
            table[printer(Adjoint(name))] = array[0]
        for name, arrays in outside.items() if step else ():
            table[printer(Outside(name))] = arrays[step - 1][0]
    return table


def unrolled_disagreements(tex: str, plan: Plan, notation: Notation, steps: int) -> list[str]:
    """Lines and paths of the unrolled gradients that are not what backpropagation adds up."""
    run, outside = random_run(plan.derivation, steps, 1)
    adjoints, network = Adjoints(run, outside), Network(plan.derivation, steps)
    table = unrolled_symbols(plan, notation, run, adjoints, outside)
    names = {Printer(notation).adjoint(name): name for name in plan.graph.static}
    wrong, seen = [], set()
    for equation in equations(section(tex, "unrolled")):
        left, _, step = equation.left.partition(r"\big|_")
        name = names[left]
        at_step = [adjoints.at_step(plan.derivation.adjoints[name], s)[0] for s in range(steps + 1)]
        terms = [Reader(re.sub(r"^\{\}\+", "", term.text), table).read() for term in equation.terms]
        if step:
            number = int(step.strip("{}"))
            fine = same(sum(terms), at_step[number]) and len(terms) == network.count(name, number)
            wrong += [] if fine else [f"the paths to {name} at step {number}"]
            continue
        seen.add(name)
        for term, value in zip(equation.terms, terms):
            when, paths = re.fullmatch(r"\\by\{(.*), (\w+) paths?\}", term.note).groups()
            number = int(when.removeprefix("step ")) if when.startswith("step") else 0
            if paths.isdigit() and int(paths) != network.count(name, number):
                wrong.append(f"{paths} paths to {name} at step {number}")
            if not same(value, at_step[number]):
                wrong.append(f"{name} at step {number}: {term.text}")
        if not same(sum(terms), adjoints.totals[name][0]):
            wrong.append(f"{name}: the lines do not add up")
    once = {
        gradient.value
        for gradient in (*plan.derivation.stages, *plan.derivation.parameters)
        if any(fork.reader in plan.graph.static for fork in gradient.forks)
    }
    missing = [name for name in adjoints.totals if name not in seen | once and np.any(adjoints.totals[name])]
    return wrong + [f"{name} is missing" for name in missing]


@pytest.mark.parametrize("choice", NOTATIONS)
@pytest.mark.parametrize("name", CELLS)
def test_the_unrolled_gradient_is_what_backpropagation_adds_up(name, choice):
    plan, steps = plan_of(CELLS[name]), 2 + (len(name) + len(choice)) % 2
    notation = make_notation(plan.graph, choice)
    assert unrolled_disagreements(document(plan, notation, steps), plan, notation, steps) == []


def test_specs_unroll_to_what_backpropagation_adds_up(spec_path):
    plan = plan_of(spec_path.read_text(encoding="utf-8"))
    notation = make_notation(plan.graph)
    text = document(plan, notation, 3)
    if any(stage.function == "clip_gradient" for stage in plan.graph.stages):
        assert "A sum of clipped paths is not the clipped sum" in text
    else:
        assert unrolled_disagreements(text, plan, notation, 3) == []


def test_a_peephole_lstm_has_240_paths_to_its_forget_gate_over_three_steps():
    plan = plan_of(PEEPHOLE)
    found = section(document(plan, make_notation(plan.graph), 3), "unrolled")
    lines = next(equation for equation in equations(found) if equation.left == r"\delta\bm W_f")
    assert [term.note for term in lines.terms] == [
        r"\by{step 1, 216 paths}", r"\by{step 2, 22 paths}", r"\by{step 3, two paths}"]


@pytest.mark.parametrize(
    "old, new",
    [
        (r"\delta\bar{\bm o}_2\,\bm y_1^{\mathsf T}", r"\delta\bar{\bm o}_2\,\bm y_2^{\mathsf T}"),
        (r"step 1, 216 paths", r"step 1, 215 paths"),
        (r"\odot\bm o_3\odot(\bm 1-\bm o_3)", r"\odot\bm o_3\odot(\bm 1+\bm o_3)"),
        (r"\Delta\bm y_3", r"\Delta\bm y_2"),
    ],
)
def test_a_wrong_line_of_the_unrolled_gradient_is_noticed(old, new):
    plan = plan_of(PEEPHOLE)
    notation = make_notation(plan.graph)
    tex = document(plan, notation, 3)
    assert old in section(tex, "unrolled")
    assert unrolled_disagreements(tex.replace(old, new), plan, notation, 3)


# ---------------------------------------------------------------- how the gradient fades


def fading_disagreements(tex: str, plan: Plan, notation: Notation) -> list[str]:
    """Paths of one step that are not the products that they should be, factor by factor."""
    point, printer, wrong = random_point(plan, notation), Printer(notation), []
    table = symbols(plan, notation, point)
    shown = iter(equations(section(tex, "paths")) if r"\label{sec:paths}" in tex else [])
    for state in plan.graph.states:
        step = one_step(plan.derivation, state)
        if not step.paths:
            continue
        equation = next(shown)
        ends = (printer(Value(state)), printer(Value(state, -1)))
        if _split_derivative(equation.left + "=")[:2] != tuple(
            rf"\mathrm d{end if end[0] == chr(92) else ' ' + end}" for end in ends
        ):
            wrong.append(f"not the derivative of {state}: {equation.left}")
        terms = equation.terms if step.listed else equation.terms[:-1]
        if len(terms) != len(step.paths):
            wrong.append(f"{len(terms)} paths from {state} to itself, of {len(step.paths)}")
        for term, path in zip(terms, step.paths):
            texts = [text.removesuffix("{}") for text in re.sub(r"^\{\}\+", "", term.text).split(r"\;")]
            factors = path.factors(2)
            fine = len(texts) == max(len(factors), 1) and all(
                _factor_is(text, factor, point, table, plan, printer) for text, factor in zip(texts, factors))
            wrong += [] if fine else [f"a path of {state}: {term.text}"]
    return wrong + ["too many derivatives" for _ in shown]


def _factor_is(text: str, factor, point: Point, table: dict, plan: Plan, printer: Printer) -> bool:
    text = text.removeprefix("{}")
    if factor.expression is None:
        ends = (printer.differential(r"\partial^{+}", factor.reader.name, factor.reader.lag),
                printer.differential(r"\partial", factor.value.name, factor.value.lag))
        return _split_derivative(text + "=")[:2] == ends
    text = re.sub(r"^\((-.*)\)$", r"\1", text)
    expected = point.of(factor.expression)
    is_array = bool(plan.graph.shapes[factor.reader.name]) and bool(plan.graph.shapes[factor.value.name])
    diagonal = re.fullmatch(r"\\operatorname\{diag\}\((.*)\)", text)
    unit = re.fullmatch(r"(.*?)(?:\\,)?\\bm [I1]", text)
    if factor.kind == "diagonal" and is_array and not (diagonal or unit):
        return False
    inner = diagonal[1] if diagonal else unit[1] if unit and expected.ndim == 0 else text
    return same(Reader({"": "1", "-": "-1"}.get(inner, inner), table).read(), expected)


@pytest.mark.parametrize("choice", NOTATIONS)
@pytest.mark.parametrize("name", CELLS)
def test_paths_of_one_step_are_displayed_as_they_are(name, choice):
    plan = plan_of(CELLS[name])
    notation = make_notation(plan.graph, choice)
    assert fading_disagreements(document(plan, notation), plan, notation) == []


def carousel_disagreements(tex: str, plan: Plan, notation: Notation) -> list[str]:
    """What the direct paths leave over many steps: the factor of each step, read as it stands behind the sign."""
    point, wrong, shapes = random_point(plan, notation), [], plan.graph.shapes
    table, printer = symbols(plan, notation, point, "t-j"), Printer(notation)
    steps = (one_step(plan.derivation, state) for state in plan.graph.states)
    direct = {printer(Value(step.state)): step for step in steps if step.carousel is not None}
    shown = gathered(section(tex, "fading")) if direct else []
    for text in shown:
        above, _, right = _split_derivative(text)
        step = direct.pop(above.removeprefix(r"\mathrm d").strip())
        _, factor = re.split(r"=\\prod_\{j=0\}\^\{[a-z]-1\}", right)  # the letter of the lag is one that is free
        expected = point.of(step.carousel)
        diagonal = re.fullmatch(r"\\operatorname\{diag\}\((.*)\)", factor)
        unit = re.fullmatch(r"(.*?)(?:\\,)?\\bm I", factor)
        if bool(shapes[step.state]) != bool(diagonal or unit):
            wrong.append(f"no matrix, or one too many: {text}")
            continue
        inner = diagonal[1] if diagonal else (unit[1] or "1") if unit else factor
        reader = Reader(inner, table)
        value = reader.sum() if diagonal else reader.product()  # a sum behind a product's sign needs brackets
        if reader.at != len(inner) or not same(value, expected):
            wrong.append(f"over many steps: {text}")
    return wrong + [f"{state} over many steps is missing" for state in direct]


def test_specs_fade_as_displayed(spec_path):
    plan = plan_of(spec_path.read_text(encoding="utf-8"))
    notation = make_notation(plan.graph)
    tex = document(plan, notation)
    assert fading_disagreements(tex, plan, notation) == []
    assert carousel_disagreements(tex, plan, notation) == []


@pytest.mark.parametrize(
    "disagree, old, new",
    [
        (carousel_disagreements, r"{k-1}\operatorname{diag}(\bm f_{t-j})", r"{k-1}\operatorname{diag}(\bm i_{t-j})"),
        (carousel_disagreements, r"{k-1}\operatorname{diag}(\bm f_{t-j})", r"{k-1}\operatorname{diag}(\bm f_{t-j-1})"),
        (carousel_disagreements, r"{k-1}\operatorname{diag}(\bm f_{t-j})", r"{k-1}\bm f_{t-j}"),
        (fading_disagreements, r"&\operatorname{diag}(\bm f_t)&&\by{the", r"&\operatorname{diag}(\bm i_t)&&\by{the"),
        (fading_disagreements, r"&\operatorname{diag}(\bm f_t)&&\by{the", r"&\bm f_t&&\by{the"),
        (fading_disagreements, r"\;\bm R_z", r"\;\bm R_i"),
    ],
)
def test_a_wrong_way_through_the_steps_is_noticed(disagree, old, new):
    plan = plan_of(PEEPHOLE)
    notation = make_notation(plan.graph)
    tex = document(plan, notation)
    assert old in section(tex, "fading") + section(tex, "paths")
    assert disagree(tex.replace(old, new), plan, notation)


def test_a_sum_behind_a_product_sign_stands_in_brackets():
    plan = plan_of("name: sums\ndims: {}\ninputs: {x: []}\nstate: {s: []}\nparameters: {w: [], v: []}\nequations:\n"
                   "  s: s[t-1] * w - s[t-1] * v + x\noutput: s\n")
    notation = make_notation(plan.graph)
    tex = document(plan, notation)
    bare = re.sub(r"(\{k-1\})\((.*)\)$", r"\1\2", tex, flags=re.MULTILINE)
    assert bare != tex and carousel_disagreements(bare, plan, notation)
    assert carousel_disagreements(tex, plan, notation) == []


# ---------------------------------------------------------------- the stacked form

ALLOWED = r"; \allowbreak "  # between entries in a sentence
_COLUMN = re.compile(r"\\begin\{pmatrix\}(.*?)\\end\{pmatrix\}")


def stacked_disagreements(tex: str, plan: Plan, notation: Notation) -> list[str]:
    """Rows of the stacked matrices that are not the products of the stages, or not what they send back."""
    point, printer, wrong = random_point(plan, notation), Printer(notation), []
    table, static = symbols(plan, notation, point), plan.graph.static
    stacks = [stack for block in plan.blocks for stack in block.stacks if len(stack.factors) > 1]
    if not stacks:
        return []
    stages = {printer(Value(stage.name)): stage for stage in plan.graph.stages}
    parameters = {printer(Value(name)): name for name in plan.graph.parameters}
    text = section(tex, "stacked")
    shown = iter(re.findall(r"\\begin\{equation\*\}\n  (.*)\n", text))
    over_time, seen = rf"\sum_{{t=1}}^{{{notation.steps}}}", {}
    for stack in stacks:
        lag, key = stack.vector.lag, tuple(factor.stage for factor in stack.factors)
        row = _row(plan, notation, stack.vector)
        joined = f"{over_time}[{ALLOWED.join(seen.get(key, ((), ()))[1])}]\\,"
        if key in seen and joined in text:  # the column of stages was shown with another vector
            made, adjoints = seen[key]
            matrices = [printer(Value(factor.parameter)) for factor in stack.factors]
            gradients = [printer(Adjoint(factor.parameter)) for factor in stack.factors]
            vector = printer(stack.vector)
            fine = f"${joined}{row}$" in text
        else:
            forward, _, outer = next(shown).partition(r" ,\qquad ")
            made, matrices = (each.split(r"\\") for each in _COLUMN.findall(forward))
            vector = forward.rpartition(r"\end{pmatrix}")[2].removesuffix(r"+\cdots")
            gradients, adjoints = (each.split(r"\\") for each in _COLUMN.findall(outer))
            fine = rf"={over_time}" in outer and outer.rpartition(r"\end{pmatrix}")[2] == row
        seen[key] = made, adjoints
        fine = fine and len(made) == len(stack.factors)
        is_past = stack.vector.name in plan.derivation.adjoints
        back = next(shown) if is_past else ""
        if is_past:
            sent, _, one_by_one = back.rpartition("=")
            fine = (fine and [each.split(r"\\") for each in _COLUMN.findall(sent)] == [matrices, adjoints]
                    and r"\end{pmatrix}^{\!\mathsf T}" in sent
                    and sent.startswith(printer(Adjoint(stack.vector.name, lag)) + "="))
            added = one_by_one.removesuffix(r"+\cdots")
            expected = sum(Reader(_raised_transpose(matrix, adjoint), table).read()
                           for matrix, adjoint in zip(matrices, adjoints))
            fine = fine and same(Reader(added, table).read(), expected)
            several = len(plan.derivation.adjoints[stack.vector.name].forks) > len(stack.factors)
            fine = fine and (r"+\cdots" in sent) == (r"+\cdots" in one_by_one) == several
        wrong += [] if fine else [f"the frame of {stack.name}"]
        for stage, matrix, gradient, adjoint in zip(made, matrices, gradients, adjoints):
            reader, name = stages[stage], parameters[matrix]
            product = Reader(f"{matrix}{vector}", table).read()
            products = [point.of(node) for node in walk(reader.expression) if isinstance(node, MatVec)]
            into = [fork for fork in plan.derivation.adjoints[name].forks if fork.reader == reader.name]
            added = Reader(adjoint + row, table).read()
            back = Reader(_raised_transpose(matrix, adjoint), table).read()
            forks = plan.derivation.adjoints[stack.vector.name].forks if is_past else ()
            past = [fork for fork in forks if (fork.reader, fork.lag) == (reader.name, -lag)]
            fine = (
                any(same(product, each) for each in products)
                and gradient.replace(" ", "") == printer(Adjoint(name)).replace(" ", "")
                and any(same(added, point.of(fork.term)) for fork in into)
                and (not is_past or any(same(back, point.of(later(fork.term, lag, static))) for fork in past))
            )
            wrong += [] if fine else [f"the row of {matrix} in the stack on {vector}"]
    return wrong + [f"one formula too many: {each}" for each in shown if r"\mathsf T}_" not in each and "pmatrix" in each]


def _raised_transpose(matrix: str, adjoint: str) -> str:
    return (f"({matrix})" if "^" in matrix else matrix) + r"^{\mathsf T}" + adjoint


def _row(plan: Plan, notation: Notation, vector: Value) -> str:
    text = Printer(notation)(vector)
    raised = "^" in text and not text.startswith("[") or (
        vector.name not in notation.symbols and not text.startswith("["))
    return rf"({text})^{{\mathsf T}}" if raised else rf"{text}^{{\mathsf T}}"


@pytest.mark.parametrize("choice", NOTATIONS)
@pytest.mark.parametrize("name", CELLS)
def test_the_stacked_form_is_made_of_the_stages(name, choice):
    plan = plan_of(CELLS[name])
    notation = make_notation(plan.graph, choice)
    assert stacked_disagreements(document(plan, notation), plan, notation) == []


def test_specs_stack_as_displayed(spec_path):
    plan = plan_of(spec_path.read_text(encoding="utf-8"))
    notation = make_notation(plan.graph)
    assert stacked_disagreements(document(plan, notation), plan, notation) == []


@pytest.mark.parametrize(
    "old, new",
    [
        (r"\bm W_z\\\bm W_i", r"\bm W_i\\\bm W_z"),
        (r"\end{pmatrix}\bm x_t+", r"\end{pmatrix}\bm y_t+"),
        (r"\end{pmatrix}\bm x_t^{\mathsf T}", r"\end{pmatrix}\bm y_t^{\mathsf T}"),
        (r"]\,\bm y_{t-1}^{\mathsf T}", r"]\,\bm y_t^{\mathsf T}"),
        (r"\bm R_i^{\mathsf T}\delta\bar{\bm i}_t", r"\bm R_i^{\mathsf T}\delta\bar{\bm f}_t"),
        (r"\delta\bar{\bm o}_t+\cdots", r"\delta\bar{\bm o}_t"),
        (r"\delta\bar{\bm z}_t\\\delta\bar{\bm i}_t", r"\delta\bar{\bm i}_t\\\delta\bar{\bm z}_t"),
        (r"{\!\mathsf T}", r"{-1}"),
        (r"\delta\bm y_{t-1}=", r"\delta\bm y_t="),
    ],
)
def test_a_wrong_stack_is_noticed(old, new):
    plan = plan_of(PEEPHOLE)
    notation = make_notation(plan.graph)
    tex = document(plan, notation)
    before, found = tex.split(r"\label{sec:stacked}")
    assert old in section(tex, "stacked")
    try:
        noticed = stacked_disagreements(before + r"\label{sec:stacked}" + found.replace(old, new), plan, notation)
    except ValueError:  # shapes that do not meet, or no column where one has to be
        return
    assert noticed


# ---------------------------------------------------------------- a mapping


def test_every_equation_says_what_was_derived_with_a_mapping():
    """Symbols of a spec's own, one of them a letter that another value has by default."""
    mapping = "notation: {h: 'y hat', c: s, W_z: Theta_in, f: phi, z: 'c tilde'}\n"
    plan = plan_of(OWN_NAMES + mapping)
    notation = make_notation(plan.graph)
    tex = document(plan, notation, 2)
    assert r"\hat{\bm y}_t" in tex and r"\bm\Theta_{in}" in tex
    assert check(OWN_NAMES + mapping, None) == []
    assert unrolled_disagreements(tex, plan, notation, 2) == []
    for disagree in (fading_disagreements, carousel_disagreements, stacked_disagreements):
        assert disagree(tex, plan, notation) == []


def test_a_cell_without_a_carousel_says_so():
    plan = plan_of(find_spec("indrnn").read_text(encoding="utf-8"))
    found = section(document(plan, make_notation(plan.graph)), "fading")
    assert r"This cell has no \emph{constant error carousel}" in found
    plan = plan_of("name: r\ncell: rnn\n")
    found = section(document(plan, make_notation(plan.graph)), "fading")
    assert "This cell is a simple RNN." in found and r"(\gamma\,\lVert \bm R_h\rVert)^k" in found
    plan = plan_of(PEEPHOLE)
    found = section(document(plan, make_notation(plan.graph)), "fading")
    assert r"\prod_{j=0}^{k-1}\operatorname{diag}(\bm f_{t-j})" in found
    assert "In this specification it starts at $0$." in found


@pytest.mark.parametrize("name, told", [
    ("lstm", True), ("gru", True), ("rnn", False), ("lstm_1997", False), ("slstm", False),
])
def test_the_bias_of_a_gate_is_told_where_the_gate_is_the_factor(name, told):
    plan = plan_of(find_spec(name).read_text(encoding="utf-8"))
    assert ("is near the sigmoid of its bias" in document(plan, make_notation(plan.graph))) == told


def test_a_choice_of_its_own_is_no_carousel():
    plan = plan_of(find_spec("slstm").read_text(encoding="utf-8"))
    found = section(document(plan, make_notation(plan.graph)), "fading")
    assert r"\fork{4}{\bm m_t}" in found.split("have no such path")[0]
    assert "is a choice that the state itself decides" in found


# ---------------------------------------------------------------- the worked example


@pytest.mark.parametrize("name", ["peephole", "loss_at_last", "scalars"])
def test_printed_numbers_follow_from_printed_numbers(name):
    """Each forward value, by its displayed equation, from the numbers printed for what it reads."""
    plan = plan_of(CELLS[name])
    notation, example = make_notation(plan.graph), work_out(plan.derivation)
    tex = whole_document(plan, notation)
    table, printed = {notation.size(s): np.array(float(n)) for s, n in example.sizes}, section(tex, "worked")
    given = dict(equation.split("=", 1) for equation in gathered(printed) if not equation.startswith(r"\delta"))
    for number in (*example.parameters, *example.state, *example.inputs):
        symbol = Printer(notation, str(number.step))(Value(number.name))
        table[symbol] = np.array(number.entries)
        assert np.allclose(_printed(given[symbol]), number.entries, rtol=6e-3), symbol
    rows = dict(re.findall(r"^\\eqref\{eq:(\d+)\} & [^&]*? & (.*?)\\\\\*?$", printed, re.MULTILINE))
    for step in range(1, example.steps + 1):
        for stage in plan.graph.stages:
            cells = re.split(r" & (?![^$]*\$(?:[^$]*\$[^$]*\$)*[^$]*$)", rows[str(plan.numbers[stage.name])])
            if not cells[step - 1]:
                continue  # of the last step alone
            value = _printed(cells[step - 1])
            text = Printer(notation, str(step))(stage.expression)
            found = Reader(text, table).read()
            assert np.allclose(found, value, rtol=3e-2, atol=3e-2), (stage.name, step)
            if stage.name not in notation.definitions:
                table[Printer(notation, str(step))(Value(stage.name))] = value


def _printed(cell: str) -> np.ndarray:
    """The numbers of an array: a matrix, a vector, or a scalar."""
    matrix = re.search(r"\\begin\{smallmatrix\}(.*?)\\end\{smallmatrix\}", cell)
    if matrix:
        return np.array([[_decimal(text) for text in row.split("&")] for row in matrix[1].split(r"\\")])
    is_vector = cell.startswith("(")
    entries = [_decimal(text.strip("$")) for text in re.split(r",\\? ", cell.strip("()"))]
    return np.array(entries if is_vector or len(entries) > 1 else entries[0])


@pytest.mark.parametrize("name", ["peephole", "scalars", "recurrent_gates", "every_function"])
def test_the_multiplication_that_is_written_out_gives_the_adjoint(name):
    """Each line is computed from its digits, and the lines add up to the sum below them."""
    plan = plan_of(CELLS[name])
    notation, example = make_notation(plan.graph), work_out(plan.derivation)
    extras = Extras(worked=example)
    printed = section(render_document(plan, notation, None, name, extras), "worked") if example.numbers <= 150 else ""
    found = [each for each in equations(printed) if each.terms[-1].note == r"\by{the sum}"]
    assert len(found) == bool(printed)
    for each in found:
        *terms, total = (Reader(re.sub(r"^\{\}[+=]", "", term.text), {}).read() for term in each.terms)
        assert sum(terms) == pytest.approx(float(total), rel=2e-2, abs=2e-3)


def _decimal(text: str) -> float:
    digits, _, power = text.partition(r"\cdot 10^")
    return float(digits) * 10.0 ** int(power.strip("{}") or 0)


# ---------------------------------------------------------------- a fault in the printer is noticed


def _lost_minus(monkeypatch):
    monkeypatch.setattr(spell_latex, "_sign", lambda term: (False, getattr(term, "operand", term)))


def _lost_time(monkeypatch):
    monkeypatch.setattr(Printer, "step", lambda self, lag: self.now)


def _swapped_matrix(monkeypatch):
    original = Printer._spell

    def swapped(self, expression, depth):
        match expression:
            case MatVec(matrix=Value(name=name) as matrix, vector=vector) if name == "R_f":
                expression = MatVec(Value("R_i"), vector)
                del matrix
        return original(self, expression, depth)

    monkeypatch.setattr(Printer, "_spell", swapped)


def _dropped_factor(monkeypatch):
    original = Printer._product

    def dropped(self, factors, depth):
        return original(self, factors[:2], depth)

    monkeypatch.setattr(Printer, "_product", dropped)


def _lost_transpose(monkeypatch):
    monkeypatch.setattr(
        Printer, "_transposed", lambda self, expression, depth: self._spell(expression, depth)[0]
    )


def _swapped_outer(monkeypatch):
    original = Printer._call

    def swapped(self, call, depth):
        if call.function == "outer":
            call = type(call)("outer", call.arguments[::-1])
        return original(self, call, depth)

    monkeypatch.setattr(Printer, "_call", swapped)


def _juxtaposed_arrays(monkeypatch):
    monkeypatch.setattr(spell_latex, "ODOT", r"\,")


def _lost_parentheses(monkeypatch):
    monkeypatch.setattr(spell_latex, "parenthesised", lambda text: text)


FAULTS = [
    _lost_minus,
    _lost_time,
    _swapped_matrix,
    _dropped_factor,
    _lost_transpose,
    _swapped_outer,
    _juxtaposed_arrays,
    _lost_parentheses,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_fault_in_the_printer_is_noticed(monkeypatch, fault):
    plan = plan_of(PEEPHOLE)
    notation = make_notation(plan.graph)
    point = random_point(plan, notation)
    table = symbols(plan, notation, point)  # before the fault: a reader knows the symbols rightly
    assert disagreements(document(plan, notation), plan, notation, point, table) == []
    fault(monkeypatch)
    assert disagreements(document(plan, notation), plan, notation, point, table)


@pytest.mark.parametrize(
    "old, new",
    [
        (r"\fork{2}{\delta\bm c_{t+1}}\odot\bm f_{t+1}", r"\fork{2}{\delta\bm c_{t+1}}\odot\bm f_t"),
        (r"\delta\bm o_t\odot\bm o_t\odot(\bm 1-\bm o_t)", r"\delta\bm o_t\odot\bm o_t\odot(\bm 1+\bm o_t)"),
        (r"{}+\delta\bar{\bm f}_{t+1}\odot\bm p_f", r"{}+\delta\bar{\bm f}_{t+1}\odot\bm p_i"),
        (r"\odot(\bm 1-\tanh^{2}\bm c_t)", r"\odot(\bm 1-\tanh\bm c_t)"),
        (r"\textstyle\sum_{t=1}^{T}\displaystyle \delta\bar{\bm o}_t&", r"\delta\bar{\bm o}_t&"),
        (r"=\operatorname{diag}(\bm p_i)", r"=\operatorname{diag}(\bm p_f)"),
        (r"\bm c_t}}=\operatorname{diag}(\bm f_{t+1})", r"\bm c_t}}=\bm f_{t+1}"),
        (r"}=\bm R_i", r"}=\bm R_o"),
    ],
)
def test_a_wrong_line_in_the_tex_is_noticed(old, new):
    plan = plan_of(PEEPHOLE)
    notation = make_notation(plan.graph)
    point = random_point(plan, notation)
    tex = document(plan, notation)
    assert old in tex, [line for line in tex.splitlines() if r"\tag" in line]
    for place in {tex.find(old), tex.find(old, tex.index(r"\label{sec:forward}"))} - {-1}:  # on the card too
        wrong = tex[:place] + new + tex[place + len(old):]
        assert disagreements(wrong, plan, notation, point, symbols(plan, notation, point))


# ---------------------------------------------------------------- symbols


@pytest.mark.parametrize(
    "name, expected",
    [
        ("W_i", r"\bm W_i"),
        ("R_if", r"\bm R_{if}"),
        ("W_proj", r"\bm W_{\mathrm{proj}}"),
        ("c_tilde", r"\tilde{\bm c}"),
        ("Gamma_f", r"\bm\Gamma_f"),
        ("zeta", r"\bm\zeta"),
        ("h1", r"\bm h_1"),
        ("gate", r"\mathbf{gate}"),
        ("W_alpha", r"\bm W_\alpha"),
        ("h_t", r"\bm h_{\mathrm{t}}"),
        ("W_1_i", r"\bm W_{1,i}"),
        ("f_hat_old", r"\hat{\bm f}_{\mathrm{old}}"),
        ("a10", r"\bm a_{10}"),
    ],
)
def test_a_name_is_read_as_people_write_it(name, expected):
    symbol = read_name(name, {"i", "f"})
    found = symbol.spell(bold=True)
    assert found == expected.replace(r"_\alpha", r"_{\alpha}")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("c", "c"),
        ("Gamma_u", r"\Gamma_u"),
        ("c tilde", r"\tilde{c}"),
        ("tilde c", r"\tilde{c}"),
        ("c_tilde", r"\tilde{c}"),
        ("hat(f)", r"\hat{f}"),
        ("W_{xi}", r"W_{xi}"),
        ("W_{x,i}", r"W_{x,i}"),
        ("theta^{(}", None),
        ("a^2_i", "a^2_i"),
        ("bar hat a", r"\bar{\hat{a}}"),
        ("y^*", r"y^{\star}"),
        ("W_xi", r"W_{\xi}"),
        ("alpha_in", r"\alpha_{in}"),
        ("alpha_out", r"\alpha_{\mathrm{out}}"),
        (r"\input{x}", None),
        ("foo", None),
        ("", None),
        ("a_", None),
        ("a_{", None),
        ("$a$", None),
        ("a b", None),
        ("a^^5c", None),
        ("a_{}", None),
        ("hat", None),
        ("a%", None),
        ("1", None),
    ],
)
def test_symbols_of_a_mapping(text, expected):
    if expected is None:
        with pytest.raises(BadSymbol):
            read_symbol(text)
    else:
        assert read_symbol(text).spell(bold=False) == expected


@given(st.text(alphabet=st.sampled_from("abW_^{}()\\$%#&~ *,1\n"), max_size=12))
def test_no_symbol_of_a_mapping_is_a_command(text):
    try:
        spelled = read_symbol(text).spell(bold=True)
    except BadSymbol:
        return
    assert re.fullmatch(r"(\\(bm|bar|hat|tilde|star|mathrm|mathbf|[a-zA-Z]+)|[A-Za-z0-9{},^_ ])*", spelled)
    assert spelled.count("{") == spelled.count("}")


LSTM_SYMBOLS = {
    "greff": [r"\bm z_t", r"\bm y_t", r"\bar{\bm i}_t", r"\bm W_i", r"\bm R_i", r"\bm p_i", r"\bm b_i"],
    "ng": [
        r"\tilde{\bm c}^{\langle t\rangle}",
        r"\bm a^{\langle t-1\rangle}",
        r"\bm\Gamma^{\langle "
        r"t\rangle}_u",
        r"\bm\Gamma^{\langle t\rangle}_f",
        r"\bm\Gamma^{\langle "
        r"t\rangle}_o",
        r"\bm W_{ua}",
        r"\bm W_{ux}",
    ],
    "colah": [r"\tilde{\bm C}_t", r"\bm C_t", r"\bm h_t", r"\bm i_t", r"\bm b_C"],
    "hats": [r"\hat{\bm a}^t", r"\hat{\bm f}^t", r"\bm h^{t-1}", r"\bm U_a", r"\bm W_a"],
    "graves": [r"\bm W_{xi}", r"\bm W_{hi}", r"\bm w_{ci}", r"\bm W_{xc}", r"\bm b_c", r"\bm h_t"],
}


@pytest.mark.parametrize("choice", NOTATIONS)
def test_the_notations_of_the_literature(choice):
    plan = plan_of(PEEPHOLE)
    tex = document(plan, make_notation(plan.graph, choice))
    for symbol in LSTM_SYMBOLS[choice]:
        assert symbol in tex


def test_a_notation_leaves_a_gru_its_letters():
    plan = plan_of("name: g\ncell: gru\n")
    for choice in NOTATIONS:
        symbols_ = make_notation(plan.graph, choice).symbols
        assert [symbols_[name].base for name in ("h", "z", "r", "n")] == ["h", "z", "r", "n"]


def test_a_letter_that_the_cell_uses_otherwise_stays_with_it():
    plan = plan_of("""
name: taken
state: {h: H, c: H}
parameters: {W: [H, D], V: [H, H]}
equations:
  i: sigmoid(W @ x + h[t-1])
  f: 1 - i
  c: f * c[t-1] + i * tanh(W @ x)
  h: tanh(c)
  y: V @ h
output: y
""")
    symbols_ = make_notation(plan.graph, "greff").symbols
    assert (symbols_["h"].base, symbols_["y"].base) == ("h", "y")


MAPPED = """
name: mapped
notation: {notation}
state: {{h: H}}
parameters: {{W: [H, D], R: [H, H]}}
equations:
  h: tanh(W @ x + R @ h[t-1])
output: h
"""


def mapped(notation: str):
    return make_notation(build_graph(specs.load(MAPPED.format(notation=notation))))


def test_a_mapping_changes_symbols():
    found = mapped("{h: 'y hat', W: Theta_in}")
    assert found.value("h") == r"\hat{\bm y}_t" and found.value("W") == r"\bm\Theta_{in}"
    assert found.value("h_pre") == r"\bar{\hat{\bm y}}_t"


@pytest.mark.parametrize(
    "notation, column, message",
    [
        ("{h: x}", 15, "'x' and 'h' would look alike|'h' and 'x' would look alike"),
        ("{W: R}", 15, "'R' and 'W' would look alike|'W' and 'R' would look alike"),
        ("{R: H}", 15, "'R' and the size H would look alike"),
        ("{h: hx}", 15, "'hx' is neither one letter nor a Greek letter's name"),
        (r"{h: '\\input{a}'}", 15, "is not allowed in a symbol"),
        ("{q: y}", 12, "there is no 'q'"),
    ],
)
def test_mistakes_in_a_mapping_are_told_with_their_place(notation, column, message):
    with pytest.raises(SpecError, match=message) as caught:
        mapped(notation)
    assert (caught.value.line, caught.value.column) == (3, column)


def test_two_names_that_look_alike_are_a_mistake():
    text = (
        MAPPED.format(notation="greff")
        .replace("R: [H, H]", "R: [H, H], h_bar: [H]")
        .replace("+ R @ h[t-1]", "+ R @ h[t-1] + h_bar")
    )
    graph = build_graph(specs.load(text))
    make_notation(graph)  # the parameter carries no time
    text = (
        MAPPED.format(notation="greff")
        .replace("output: h", "  h_bar: h + x0\noutput: h_bar")
        .replace("R: [H, H]", "R: [H, H], x0: [H]")
    )
    with pytest.raises(
        SpecError, match="the pre-activation of 'h' and 'h_bar' would look alike|'h_bar' and the pre-act"
    ):
        make_notation(build_graph(specs.load(text)))


# ---------------------------------------------------------------- plain text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("plain text, 100", "plain text, 100"),
        ("\\", r"\textbackslash{}"),
        ("{}", r"\{\}"),
        ("$&#%_", r"\$\&\#\%\_"),
        ("^^5c", r"\textasciicircum{}\textasciicircum{}5c"),
        ("~<>|", r"\textasciitilde{}\textless{}\textgreater{}\textbar{}"),
        ('say "so"', r"say \textquotedblleft{}so\textquotedblright{}"),
        ("`a'", r"\textquoteleft{}a\textquoteright{}"),
        ("a\nb\tc\rd", "a b c d"),
        ("a--b", "a-{}-b"),
        ("?`a' !`", r"?{}\textquoteleft{}a\textquoteright{} !{}\textquoteleft{}"),
        ('("a")', r"(\textquotedblleft{}a\textquotedblright{})"),
        ("https://example.org/a/short_one", r"https://\allowbreak{}example.\allowbreak{}org/\allowbreak{}a/\allowbreak{}"
                                            r"short\_\allowbreak{}one"),
        ("a/word_of-thirty.characters+it", r"a/word\_of-thirty.characters+it"),
        ("m" * 31, r"\allowbreak{}".join("m" * 31)),
        ("字字字字", r"\allowbreak{}".join(["[U+5B57]"] * 4)),
        ("字字字", "[U+5B57]" * 3),
        ("é", r"\'{e}"),
        ("Å", r"\r{A}"),
        ("ï", r"\"{\i}"),
        ("Gülçehre", r"G\"{u}l\c{c}ehre"),
        ("ß", r"\ss{}"),
        ("Łukasz", r"\L{}ukasz"),
        ("ą", r"\ogonek{a}"),
        ("λ", r"\greek{\lambda}{03BB}"),
        ("Ω", r"\greek{\Omega}{03A9}"),
        ("Α", "A"),
        ("ς", r"\greek{\varsigma}{03C2}"),
        ("ΐ", r"\greek{\acute{\ddot{\iota}}}{0390}"),
        ("Ά", r"\'{A}"),
        ("字", "[U+5B57]"),
        ("\u0007", "[U+0007]"),
        ("–", "[U+2013]"),
        ("\U0001f600", "[U+1F600]"),
        ("\u202e", "[U+202E]"),
        ("\u0301", "[U+0301]"),
        ("ế", r"\onto{\'}{\^{e}}"),
        ("ậ", r"\d{\^{a}}"),
        ("ḯ", r"\onto{\'}{\"{\i}}"),
        ("ị", r"\d{i}"),
    ],
)
def test_plain_text_is_escaped(text, expected):
    assert escape(text) == expected


_HARMLESS = re.compile(
    r"""(?: [A-Za-z0-9 .,:;!?()\[\]*+/=@-] | \\[{}$&\#%_] | \{\}
      | \\text(?:backslash|asciicircum|asciitilde|less|greater|bar)\{\}
      | \\textquote(?:left|right|dblleft|dblright)\{\}
      | \\(?:ss|ae|AE|oe|OE|o|O|l|L|i|j)\{\}
      | \\allowbreak\{\}
      | \\greek\{(?:\\(?:acute|ddot|grave)\{)*\\[A-Za-z]+\}+\{[0-9A-F]{4}\}
      | \\onto\{\\(?:[`'^~=."]|u|r|H|v)\}\{
      | \\(?:[`'^~=."]|u|r|H|v|d|c|b|ogonek)\{ | \} | \\[ij] )*""",
    re.VERBOSE,
)


@given(st.text(max_size=40))
def test_nothing_of_a_text_stays_a_command(text):
    escaped = escape(text)
    assert _HARMLESS.fullmatch(escaped), escaped
    assert (
        escaped.isascii()
        and "^^" not in escaped
        and "\n" not in escaped
        and "%" not in escaped.replace(r"\%", "")
    )


HOSTILE = textwrap.dedent(r"""
    name: hostile
    title: "\\end{document} \\input{/etc/passwd} ^^5cinput $x$ % & # _ { } ~ \"q\" `q' λ é 字"
    description: "^^M \\immediate\\write18{ls} 100% <a|b> \\csname x\\endcsname Čapek, Łódź, Trần, ΐ -- ---"
    references: ["\\catcode`\\_=0", "a & b \\\\ c", "ąęįų"]
    cell: rnn
""")


@with_tex
def test_a_hostile_text_is_printed_and_nothing_else():
    plan = plan_of(HOSTILE)
    tex = document(plan, make_notation(plan.graph))
    compiled = compile_pdf(tex)
    assert not overfull_boxes(compiled.log)
    assert "root:x" not in compiled.log and warnings(compiled.log) == []


ADDRESS = "https://example.org/a_path/that%20goes/on?and=on&without=a#blank-in-it/"
UNBROKEN = (
    ADDRESS * 2, "m" * 190, "$" * 190, "λ" * 190, "é" * 190, "字" * 190, "W$é_" * 45, "-" * 190, "a_long_name_" * 15,
)


@with_tex
@pytest.mark.parametrize("word", UNBROKEN[::3], ids=["an address", "Greek", "signs and letters"])
def test_long_words_stay_within_the_margins(word):
    spec = {
        "name": "unbroken", "cell": "rnn", "title": f"A title with {word}"[:200],
        "description": "; ".join(f"what is said at {each} of it" for each in UNBROKEN),
        "references": [f"A. Author, {each}" for each in UNBROKEN],
    }
    plan = plan_of(json.dumps(spec))
    stays_within_its_margins(compiled_log(plan, make_notation(plan.graph)))


# One character for each way to set it. What is further on than 0x2200 is printed as [U+XXXX].
EVERY_CHARACTER = sorted({
    escape(char): char for char in map(chr, range(0x2200, 0x20, -1)) if "[U+" not in escape(char)
}.values())
SIZES = (  # of running text, titles, captions, the head of a page, tables, names
    "", r"\bfseries", r"\itshape", r"\LARGE\bfseries", r"\Large\bfseries", r"\small", r"\small\itshape",
    r"\footnotesize", r"\ttfamily", r"\ttfamily\bfseries", r"\small\ttfamily",
)


def bitmaps(log: str) -> list[str]:
    """Fonts that TeX had drawn as bitmaps, because no outlines of theirs are installed."""
    return re.findall(r"<[^<>]*pk>", log.replace("\n", ""))


@with_tex
@pytest.mark.parametrize("choice", NOTATIONS)
def test_every_character_has_an_outline(choice):
    """TeX stops where microtype is to stretch a line with a character from a bitmap font."""
    assert set("$%&#_^~\\{}<>|'`éŁąλΩ") <= set(EVERY_CHARACTER)
    words = [f"ab{char}cd" for char in EVERY_CHARACTER]
    lines = [" ".join(words[at : at + 80]) for at in range(0, len(words), 80)]
    spec = {
        "name": "characters", "cell": "rnn", "references": lines, "description": " ".join(words)[:4000],
        "title": " ".join(f"long{char}title" for char in "$^~<>|_%&#@{}\\`'")[:200],
    }
    plan = plan_of(json.dumps(spec))
    tex = document(plan, make_notation(plan.graph, choice), listing="x = '$'  # 100$\n")
    assert all(set_text(spoken(line)) in tex for line in lines)
    paragraphs = []
    for size in SIZES:
        for shift in (0, 7, 23):  # each character in lines of different widths: hardly one of them fits as it is
            text = escape(" ".join(words[shift:] + words[:shift]))
            paragraphs.append(rf"\par{{{size} {text}\par}}")
    tex = tex.replace(r"\end{document}", "\n".join([*paragraphs, r"\end{document}"]))
    with mock.patch("lstmgen.document.latex.pdf._MOST_PASSES", 1):
        log = compile_pdf(tex).log
    assert bitmaps(log) == []


@pytest.fixture(scope="module")
def set_alone() -> dict[str, tuple[float, float, str]]:
    """Each character: how wide it is and how wide without its accents, in points, and what a bookmark says."""
    plan = plan_of("name: alone\ncell: rnn\n")
    preamble, _ = document(plan, make_notation(plan.graph)).split(r"\begin{document}")
    body = []
    for char in EVERY_CHARACTER:
        letter = escape(unicodedata.normalize("NFD", char)[0])
        body.append(rf"\setbox0\hbox{{{escape(char)}}}\setbox2\hbox{{{letter}}}\pdfstringdef\said{{{escape(char)}}}"
                    rf"\typeout{{=== \the\wd0 \space\the\wd2 \space\said}}")
    log = compile_pdf("\n".join([preamble, r"\begin{document}x", *body, r"\end{document}"])).log
    assert warnings(log) == []
    found = re.findall(r"^=== ([\d.]+)pt ([\d.]+)pt (.*)$", log, re.MULTILINE)
    return {char: (float(wide), float(bare), bookmark(said))
            for char, (wide, bare, said) in zip(EVERY_CHARACTER, found, strict=True)}


def bookmark(said: str) -> str:
    r"""What a PDF reader shows of a string of a PDF: \101 is an octet, \( a parenthesis."""
    octets = re.finditer(r"\\([0-7]{3})|\\?(.)", said)
    return bytes(int(each[1], 8) if each[1] else ord(each[2]) for each in octets).decode("utf-16")


@with_tex
def test_accents_stand_on_their_letters(set_alone):
    """TeX sets the accent of what has one already beside it."""
    accented = [char for char in EVERY_CHARACTER if len(unicodedata.normalize("NFD", char)) > 1]
    assert set("éếậǖṩ") <= set(accented)
    assert [char for char in accented if abs(set_alone[char][0] - set_alone[char][1]) > 0.1] == []


@with_tex
def test_bookmarks_say_what_the_text_says(set_alone):
    same = {'"': "“", "'": "’", "`": "‘", "\u00a0": " ", "ẞ": "SS"} | {
        greek: unicodedata.normalize("NFC", latin + mark)  # letters that Greek and Latin share
        for greek, latin, mark in [("Ή", "H", "\u0301"), ("Ὴ", "H", "\u0300"), ("Ῠ", "Y", "\u0306")]}
    for char, (_, _, said) in set_alone.items():
        assert unicodedata.normalize("NFC", said) == same.get(char, unicodedata.normalize("NFC", char))


# ---------------------------------------------------------------- the document stays in its margins


def warnings(log: str) -> list[str]:
    """What TeX complains of, fonts apart."""
    found = re.findall(r"^(?!.*Font).*(?:Warning|warning).*$", log, re.MULTILINE)
    return [line for line in found if "infwarerr" not in line]


def compiled_log(plan: Plan, notation: Notation) -> str:
    return compile_pdf(document(plan, notation, listing="x = 'y'  # `z`\n")).log


def most_pages(stages: int) -> float:
    """How long a document may be, without the module's listing: docs/commands.md says it too."""
    return 7 + 0.4 * stages


def stays_within_its_margins(log: str) -> None:
    assert [box for box in overfull_boxes(log) if box.points > 1] == []
    assert warnings(log) == []


# Setting all of them takes two minutes of a core: `make documents` does it, in every notation.
SAMPLE = [*packaged_specs()[::8], *(find_spec(name) for name in ("fgr_lstm", "on_lstm", "nas_lstm", "slstm", "mlstm"))]


@pytest.fixture(scope="module")
def logs_of_specs() -> dict[str, tuple[int, str]]:
    """Pages of each document and what TeX says of it. All are set in one run: TeX takes longest to begin."""
    parts = []
    for path in SAMPLE:
        plan = plan_of(path.read_text(encoding="utf-8"))
        before, body = whole_document(plan, make_notation(plan.graph)).split("\\begin{document}")
        colours = re.findall(r"^\\definecolor\{fork.*$", before, re.MULTILINE)
        preamble = before
        body = body.replace("\\end{document}", r"\clearpage")
        parts += [rf"\typeout{{=== {path.stem} \arabic{{page}}}}", *colours, body]
    labels = r"\renewcommand{\label}[1]{}\renewcommand{\eqref}[1]{(10)}\renewcommand{\ref}[1]{1}"  # they repeat
    tex = "\n".join([preamble, r"\begin{document}", labels, *parts, r"\typeout{=== end \arabic{page}}\end{document}"])
    try:
        with mock.patch("lstmgen.document.latex.pdf._MOST_PASSES", 1):
            log = compile_pdf(tex, seconds=600).log
    except TexFailed as failure:
        log = failure.log
    found = re.findall(r"^=== (\w+) (\d+)\n(.*?)(?=^===|\Z)", log, re.MULTILINE | re.DOTALL)
    return {name: (int(end) - int(start), said) for (name, start, said), (_, end, _) in pairwise(found)}


@with_tex
@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.stem)
def test_specs_compile_within_their_margins(path, logs_of_specs):
    assert path.stem in logs_of_specs, "TeX did not come so far"
    _, log = logs_of_specs[path.stem]
    assert not re.search(r"^!.*", log, re.MULTILINE), log
    assert [box for box in overfull_boxes(log) if box.points > 1] == []


@with_tex
@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.stem)
def test_a_document_is_as_long_as_its_cell_has_stages(path, logs_of_specs):
    pages, _ = logs_of_specs[path.stem]
    assert pages <= most_pages(len(build_graph(specs.load(path)).stages))


def test_the_listing_is_the_two_loops_of_the_module(tmp_path):
    text = "name: listed\ncell: gru\n"
    written = {file.suffix: file.read_text() for file in build(text, tmp_path).files}
    tex, module = written[".tex"], written[".py"].splitlines()
    listing = re.search(r"\\begin\{lstlisting\}\n(.*?)\\end\{lstlisting\}", tex, re.DOTALL)[1]
    lines = [line for line in listing.splitlines() if line.strip() and not line.startswith(("# forward:", "# backward:"))]
    assert [line for line in lines if f"    {line}" not in module] == [] and len(lines) > 40
    schedule = _schedule(text)
    assert "lstlisting" not in document(schedule.plan, make_notation(schedule.graph))


def test_sections_are_added_and_left_out(tmp_path):
    text = "name: chosen\ncell: rnn\n"
    labels = {}
    for asked in ((), ("paths", "unrolled"), ("no-listing", "no-worked")):
        tex = next(file for file in build(text, tmp_path, sections=asked, verify=False).files if file.suffix == ".tex")
        labels[asked] = re.findall(r"\\label\{sec:(\w+)\}", tex.read_text())
    usual = labels[()]
    assert set(labels["paths", "unrolled"]) == {*usual, "paths", "unrolled"}
    assert set(labels["no-listing", "no-worked"]) == {*usual} - {"listing", "worked"}
    assert all(found == [name for name in SECTIONS if name in found] for found in labels.values())
    with pytest.raises(ValueError, match="there is no section 'pathes': there are card, notation"):
        build(text, tmp_path, sections=["pathes"])
    with pytest.raises(ValueError, match="cannot be left out"):
        build(text, tmp_path, sections=["no-card"])


@pytest.mark.parametrize("text", ["x = 1\n\\end{lstlisting}\n", "x = '\u00e9'\n"])
def test_a_listing_that_could_end_itself_is_refused(text):
    plan = plan_of("name: c\ncell: rnn\n")
    with pytest.raises(ValueError, match="ASCII without a backslash"):
        document(plan, make_notation(plan.graph), listing=text)


def test_every_reference_of_a_spec_has_its_label(spec_path):
    plan = plan_of(spec_path.read_text(encoding="utf-8"))
    tex = document(plan, make_notation(plan.graph))
    labels = re.findall(r"\\label\{(.*?)\}", tex) + [f"eq:{number}" for number in re.findall(r"\\numbered\{(\d+)\}", tex)]
    labels = [label for label in labels if label != "eq:#1"]  # of the preamble
    assert len(labels) == len(set(labels))
    assert set(re.findall(r"\\(?:eq)?ref\{(.*?)\}", tex)) | set(re.findall(r"\\hyperref\[(.*?)\]", tex)) <= set(labels)


@with_tex
@pytest.mark.parametrize("name", CELLS)
def test_cells_compile_within_their_margins(name):
    plan = plan_of(CELLS[name])
    notation = make_notation(plan.graph, NOTATIONS[sorted(CELLS).index(name) % len(NOTATIONS)])
    stays_within_its_margins(compiled_log(plan, notation))


def test_a_document_is_ascii_and_always_the_same():
    plan = plan_of(EVERY_FUNCTION)
    notation = make_notation(plan.graph)
    tex = document(plan, notation)
    assert tex.isascii() and tex.endswith("\\end{document}\n")
    assert tex == document(plan_of(EVERY_FUNCTION), make_notation(plan.graph))


def test_the_document_says_when_nothing_was_verified():
    plan = plan_of(PEEPHOLE)
    assert "Nothing was verified" in document(plan, make_notation(plan.graph))


def test_records_as_latex():
    derivation = derive(build_graph(specs.load(PEEPHOLE)))
    graph = derivation.graph
    gradient = derivation.adjoints["c"]
    assert latex_of(graph.stage("i"), graph) == r"\bm i_t=\sigma(\bar{\bm i}_t)"
    assert latex_of(gradient.forks[-1], graph) == r"\delta\bm c_{t+1}\odot\bm f_{t+1}"
    assert latex_of(gradient, graph).count("\\\\") == len(gradient.forks) - 1
    assert r"\delta\bm W_i" in latex_of(derivation)


def test_only_products_of_arrays_carry_a_sign():
    plan = plan_of(SCALARS)
    printer = Printer(make_notation(plan.graph))
    assert printer(Product((Value("w"), Value("x")))) == "w\\,x_t"
