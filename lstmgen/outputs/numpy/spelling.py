"""Expressions as NumPy: arrays with leading axes for time and batch, values of one example last.

A value moves if it differs between steps or examples; then its array has leading axes. What stands
still (parameters, and stages made of them) has none and broadcasts. A moving scalar gets its missing
axes where it meets a vector or a matrix: `zeta[..., None] * c`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from ...language import functions
from ...language.constants import is_constant
from ...language.expressions import (
    ZERO, Adjoint, Call, Compare, Expression, MatVec, Negative, Number, Outside, Power, Product, Quotient,
    Size, Sum, Value, number, product, walk,
)
from ...language.shapes import Shape
from ...language.text import ATOM, NEGATIVE, POWER, PRODUCT, SUM, decimal
from .functions import TABLE, Code

Leaf = Value | Adjoint | Outside
HALF = number(Fraction(1, 2))
ENTRIES = {0: "", 1: "k", 2: "jk", 3: "ijk"}  # the letters of the axes of one example, for np.einsum


@dataclass(frozen=True)
class Spelled:
    """A piece of code and what has to be known to put it beside another."""

    text: str
    tightness: int  # how tightly it binds, as in language/text.py
    rank: int  # axes of one example: 0 to 3
    moving: bool  # whether there are leading axes

    def inside(self, needed: int) -> str:
        return f"({self.text})" if self.tightness < needed else self.text

    def widened(self, rank: int) -> Spelled:
        """With the axes that a moving value lacks to meet one of `rank` axes."""
        missing = rank - self.rank
        if not missing or not self.moving:
            return self
        return Spelled(self.inside(ATOM) + "[..., None" + ", None" * (missing - 1) + "]", ATOM, rank, True)


_MORE_AXES = {"reduce": -1, "dot": -1, "outer": 1, "fill": 1, "heads": 1, "flat": -1}  # than the first argument, by rule


class Speller:
    """Spells expressions for one place in the module; `name_of` says what a value is called there."""

    def __init__(
        self, shapes: Mapping[str, Shape], static: frozenset[str], name_of: Callable[[Leaf], str], all_steps: bool
    ):
        self.shapes, self.static, self.name_of = shapes, static, name_of
        self.all_steps = all_steps  # whether what moves has a time axis before the batch's
        self.helpers: set[str] = set()  # names of the helpers that the code calls
        self.turned: Callable[[str], str] | None = None  # the name of a matrix's transposed copy, where there are such

    def __call__(self, expression: Expression) -> str:
        return self.spell(expression).text

    def spell(self, expression: Expression) -> Spelled:
        match expression:
            case Number(value=value):
                text = decimal(value)
                tightness = PRODUCT if "/" in text else NEGATIVE if value < 0 else ATOM
                return Spelled(text, tightness, 0, False)
            case Size(symbol=symbol):
                return Spelled(symbol, ATOM, 0, False)
            case Value(name=name) | Adjoint(name=name) | Outside(name=name):
                return Spelled(self.name_of(expression), ATOM, len(self.shapes[name]), name not in self.static)
            case Sum(terms=terms):
                return self._sum(terms)
            case Negative(operand=operand):
                inner = self.spell(operand)
                return Spelled("-" + inner.inside(PRODUCT), NEGATIVE, inner.rank, inner.moving)
            case Product(factors=factors):
                parts = self._together(factors)
                text = " * ".join(p.inside(POWER if k else PRODUCT) for k, p in enumerate(parts))
                return joined(text, PRODUCT, parts)
            case Quotient(numerator=numerator, denominator=denominator):
                parts = self._together((numerator, denominator))
                return joined(f"{parts[0].inside(PRODUCT)} / {parts[1].inside(POWER)}", PRODUCT, parts)
            case Power(base=base, exponent=exponent):
                parts = self._together((base, exponent))
                return joined(f"{parts[0].inside(ATOM)} ** {parts[1].inside(POWER)}", POWER, parts)
            case MatVec():
                return self._matvec(expression)
            case Call():
                return self._call(expression)
        raise TypeError(f"no rule to spell {expression!r}")

    # ------------------------------------------------------------------ entry by entry

    def _together(self, operands: tuple[Expression, ...]) -> list[Spelled]:
        """Operands of one entry-by-entry operation, widened to the largest of them."""
        spelled = [self.thin(operand) for operand in operands]
        rank = max(part.rank for part in spelled)
        full = any(part.rank == rank and not is_fill(operand) for part, operand in zip(spelled, operands))
        if not full:  # nothing here has all entries: the copies have to be made
            spelled = [self.spell(operand) for operand in operands]
        return [part.widened(rank) for part in spelled]

    def thin(self, operand: Expression) -> Spelled:
        """A scalar that is copied along an axis need not be copied where it meets a full array."""
        if not (isinstance(operand, Call) and is_fill(operand)):
            return self.spell(operand)
        inner = self.thin(operand.arguments[0])
        if not inner.rank and not inner.moving:
            return inner  # a number, or a scalar that stands still, meets anything as it is
        text = inner.inside(ATOM)
        text = f"{text[:-1]}, None]" if text.endswith("None]") else f"{text}[..., None]"
        return Spelled(text, ATOM, inner.rank + 1, inner.moving)

    def _sum(self, terms: tuple[Expression, ...]) -> Spelled:
        bare = tuple(term.operand if isinstance(term, Negative) else term for term in terms)
        parts = self._together(bare)
        text = ""
        for term, part in zip(terms, parts):
            minus = isinstance(term, Negative)
            if not text:
                text = "-" + part.inside(PRODUCT) if minus else part.inside(SUM)
            elif not minus and isinstance(term, Number) and term.value < 0:
                text += f" - {decimal(-term.value)}"
            else:
                text += f" {'-' if minus else '+'} {part.inside(NEGATIVE if not minus else PRODUCT)}"
        return joined(text, SUM, parts)

    # ------------------------------------------------------------------ matrices

    def _matvec(self, expression: MatVec) -> Spelled:
        vector = self.spell(expression.vector)
        match expression.matrix:
            case Call(function="transpose", arguments=(turned,)):
                matrix, transposed = self.spell(turned), True
            case plain:
                matrix, transposed = self.spell(plain), False
        if vector.rank == matrix.rank:
            left = self.spell(expression.matrix)
            text = f"{left.inside(PRODUCT)} @ {vector.inside(POWER)}"
            return Spelled(text, PRODUCT, vector.rank, left.moving or vector.moving)
        if not matrix.moving:
            if vector.rank == 1:
                return self.product(vector, matrix.inside(ATOM), turned=not transposed)
            self.helpers.add("per_head")
            text = f"_per_head({self.spell(expression.matrix).text}, {vector.text})"
            return Spelled(text, ATOM, vector.rank, vector.moving)
        if transposed:  # a row times the matrix
            text = f"({vector.inside(ATOM)}[..., None, :] @ {matrix.inside(POWER)})[..., 0, :]"
        else:
            text = f"({matrix.inside(PRODUCT)} @ {vector.inside(ATOM)}[..., None])[..., 0]"
        return Spelled(text, ATOM, vector.rank, True)

    def product(self, vector: Spelled, matrix: str, turned: bool) -> Spelled:
        """A vector, as a row, times a matrix that stands still, or that matrix `turned` on its side."""
        if turned:
            matrix = self.turned(matrix) if self.turned and matrix.isidentifier() else f"{matrix}.T"
        if self.all_steps and vector.moving:
            self.helpers.add("at_once")
            return Spelled(f"_at_once({vector.text}, {matrix})", ATOM, 1, True)
        return Spelled(f"{vector.inside(PRODUCT)} @ {matrix}", PRODUCT, 1, vector.moving)

    # ------------------------------------------------------------------ calls

    def _call(self, call: Call) -> Spelled:
        if call.function == functions.WHERE:
            return self._where(call)
        entry = functions.TABLE[call.function]
        if isinstance(entry, functions.Pointwise):
            return self._pointwise(entry, call)
        if isinstance(entry, functions.Operation):
            return self._operation(entry, call)
        raise TypeError(f"no stage calls the macro {call.function}: the graph has put in what it stands for")

    def _where(self, call: Call) -> Spelled:
        comparison, chosen, other = call.arguments
        assert isinstance(comparison, Compare)
        parts = self._together((comparison.left, comparison.right, chosen, other))
        left, right, first, second = parts
        if only_adjoints(chosen):  # `np.where` takes ten times as long as a product
            if other == ZERO:
                compared = f"({left.inside(SUM)} {comparison.relation} {right.inside(SUM)})"
                return joined(f"{first.inside(PRODUCT)} * {compared}", PRODUCT, parts)
            if other == half_at_a_tie(comparison, chosen):
                larger, smaller = (left, right) if comparison.relation == ">" else (right, left)
                self.helpers.add("if_larger")
                return joined(f"_if_larger({larger.text}, {smaller.text}, {first.text})", ATOM, parts)
        text = f"np.where({left.inside(SUM)} {comparison.relation} {right.inside(SUM)}, {first.text}, {second.text})"
        if not (first.moving or second.moving) and (left.moving or right.moving):
            # two plain numbers would give float64 whatever the computation's type is
            text += f".astype({(left if left.moving else right).inside(ATOM)}.dtype)"
        return joined(text, ATOM, parts)

    def _pointwise(self, entry: functions.Pointwise, call: Call) -> Spelled:
        parts = self._together(call.arguments)
        applied = self.applied(entry, parts)
        if is_constant(call):  # a NumPy float64 would make float32 arrays wider
            return joined(f"float({applied.text})", ATOM, parts)
        return applied

    def applied(self, entry: functions.Pointwise, operands: list[Spelled]) -> Spelled:
        """A function of what has been spelled."""
        text, tightness = filled(self._code(entry.name), dict(zip(entry.arguments, operands)))
        return joined(text, tightness, operands)

    def _operation(self, entry: functions.Operation, call: Call) -> Spelled:
        if entry.name in functions.MAKERS:
            return self._made(call)
        if entry.name in ("sum", "dot") and (contracted := self._contracted(call)):
            return contracted
        code = self._code(entry.name)
        parts = [self.spell(argument) for argument in call.arguments]
        if entry.name == "concat":
            return self._concat(code, parts)
        if entry.name == "Slice":
            low, high = (part.text.replace(" ", "") for part in parts[1:])
            return Spelled(code.format(a=parts[0].inside(ATOM), b=low, c=high), ATOM, parts[0].rank, parts[0].moving)
        if entry.name == "fill" and (copied := self._copied(call)):
            return copied
        given = dict(zip(entry.arguments, parts))
        given |= {name: Spelled(text, ATOM, 0, False) for name, text in functions.left_out(entry, len(parts)).items()}
        first = parts[0]
        if entry.name == "dot":
            given = dict(zip(entry.arguments, self._together(call.arguments)))
        text, tightness = filled(code, given)
        rank = _MORE_AXES.get(entry.shape, 0) + first.rank
        return Spelled(text, tightness, rank, any(part.moving for part in parts))

    def _contracted(self, call: Call) -> Spelled | None:
        """The sum of products of two vectors or matrices without an array of the products; None for any other sum."""
        sums = 0
        inner: Expression = call
        while isinstance(inner, Call) and inner.function == "sum":
            sums, inner = sums + 1, inner.arguments[0]
        match inner:
            case Call(function="dot", arguments=(one, other)):
                sums += 1
            case Product(factors=(one, other)):
                pass
            case _:
                return None
        left, right = self.spell(one), self.spell(other)
        if left.rank != right.rank or is_fill(one) or is_fill(other):
            return None
        if left.moving and right.moving:
            leading, entries = "tb" if self.all_steps else "b", ENTRIES[left.rank]
            axes, kept = leading + entries, leading + entries[: left.rank - sums]
            return Spelled(f'np.einsum("{axes},{axes}->{kept}", {left.text}, {right.text})', ATOM, left.rank - sums, True)
        if left.rank == 1:
            moving, still = (right, left) if right.moving else (left, right)
            return Spelled(f"{moving.inside(PRODUCT)} @ {still.inside(POWER)}", PRODUCT, 0, moving.moving)
        return None

    def _copied(self, call: Call) -> Spelled | None:
        """A number in every entry of an array; None where it is no number that is copied."""
        sizes: list[str] = []
        inner: Expression = call
        while isinstance(inner, Call) and is_fill(inner):
            inner, size = inner.arguments
            sizes.insert(0, self.spell(size).text)
        if not is_constant(inner) or any(isinstance(node, Call) for node in walk(inner)):
            return None
        shape = sizes[0] if len(sizes) == 1 else f"({', '.join(sizes)})"
        return Spelled(self.full(shape, self.spell(inner).text), ATOM, len(sizes), False)

    def _made(self, call: Call) -> Spelled:
        """An array that is the same in every cell."""
        parts = [self.spell(argument).text for argument in call.arguments]
        if call.function == "Array":
            rows = int(parts[0])
            wide = (len(parts) - 1) // (rows or 1)
            written = [f"[{', '.join(parts[low : low + wide])}]" for low in range(1, len(parts), wide)]
            given = f"[{', '.join(written)}]" if rows else written[0]
            return Spelled(self.array("Array", given), ATOM, 2 if rows else 1, False)
        given = parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
        return Spelled(self.array(call.function, given), ATOM, 2 if call.function != "ones" else len(parts), False)

    def array(self, maker: str, given: str) -> str:
        """The call that makes such an array of a size, a shape or a list of numbers."""
        made = self.code(maker).call.format(a=given)
        return f"{made[:-1]}, dtype)" if maker == "Array" else f"{made[:-1]}, dtype=dtype)"

    def full(self, shape: str, value: str) -> str:
        """A number in every entry of an array."""
        return f"np.full({shape}, {value}, dtype)"

    def _concat(self, code: str, parts: list[Spelled]) -> Spelled:
        """Along the last axis; parts that stand still have to be given the leading axes of the others."""
        moving = any(part.moving for part in parts)
        if moving and not all(part.moving for part in parts):
            self.helpers.add("concat")
            return Spelled(f"_concat({', '.join(part.text for part in parts)})", ATOM, parts[0].rank, True)
        joined = ", ".join(part.text for part in parts)
        return Spelled(code.format(a=joined), ATOM, parts[0].rank, moving)

    def _code(self, function: str) -> str:
        """The pattern of a call; the helper that it calls is noted."""
        code = self.code(function)
        if code.helper:
            self.helpers.add(code.helper)
        return code.call

    def code(self, function: str) -> Code:
        """The entry of the table: another output that spells arrays has another table."""
        return TABLE[function]


def is_fill(expression: Expression) -> bool:
    """Whether it is a scalar or vector copied along a new last axis."""
    return isinstance(expression, Call) and expression.function == "fill"


def only_adjoints(expression: Expression) -> bool:
    """Whether it is made of gradients and numbers alone: a factor of 0 then makes 0 of it, never 0 * inf."""
    return all(isinstance(node, Adjoint | Outside | Number | Sum | Negative | Product) for node in walk(expression))


def half_at_a_tie(comparison: Compare, chosen: Expression) -> Expression:
    """What `max` and `min` send back where the comparison does not hold: half at a tie, else nothing."""
    opposite = Compare({">": "<", "<": ">"}.get(comparison.relation, ""), comparison.left, comparison.right)
    return Call(functions.WHERE, (opposite, ZERO, product(HALF, chosen)))


def filled(pattern: str, given: Mapping[str, Spelled]) -> tuple[str, int]:
    """A table entry's code with its arguments in, and how tightly it binds."""
    texts = {}
    for name, part in given.items():
        whole = "{" + name + "}"
        # an argument that stands alone between parentheses or commas needs none of its own
        alone = all(before[-1:] in "(, " and before.rstrip()[-1:] in "(," and after[:1] in ",)"
                    for before, after in _surroundings(pattern, whole))
        texts[name] = part.text if alone else part.inside(ATOM)
    text = pattern.format(**texts)
    if text.startswith("-"):
        return text, NEGATIVE
    depth, outer = 0, ""
    for char in text:
        depth += (char in "([") - (char in ")]")
        outer += char if not depth else ""
    return text, PRODUCT if " * " in outer or " / " in outer else ATOM


def _surroundings(pattern: str, whole: str) -> Iterator[tuple[str, str]]:
    start = pattern.find(whole)
    while start >= 0:
        yield pattern[:start], pattern[start + len(whole):]
        start = pattern.find(whole, start + 1)


def joined(text: str, tightness: int, parts: list[Spelled]) -> Spelled:
    """Code that combines others entry by entry."""
    return Spelled(text, tightness, max(p.rank for p in parts), any(p.moving for p in parts))


