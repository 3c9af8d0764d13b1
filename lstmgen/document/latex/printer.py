r"""Expressions as LaTeX, and plain text as TeX may read it.

What is printed can be read back: vectors and matrices are bold, ``\odot`` joins what is multiplied
entry by entry, a matrix stands directly before its vector, a scalar directly before anything, and
``\bm 1`` is the array of ones that a number becomes beside an array. Choices are printed as Iverson
brackets. A stage without a name is written out wherever it is read, ``\tanh\bm c_t``.

Long formulas carry marks where a line may end; `broken` uses them, `plain` takes them out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Protocol

from ...derivation.chain import START, Contribution, Derivation, Gradient
from ...derivation.graph import Graph, Stage
from ...language import functions
from ...language.expressions import (
    ONE, ZERO, Adjoint, Call, Compare, Expression, MatVec, Negative, Number, Outside, Power, Product,
    Quotient, Size, Sum, Value, children, negative, number, product, rebuild, total,
)
from ...language.shapes import SCALAR, Shape
from ...language.text import decimal
from ..notation import GREEK, Notation, make_notation
from .functions import BARE as BARE_FUNCTIONS
from .functions import TABLE

# How tightly a printed expression binds. What is juxtaposed binds tighter than what \odot joins;
# \tanh x needs parentheses before a further factor, \sigma(x) does not.
COMPARISON, SUM, NEGATIVE, TIMES, JUXTAPOSED, BARE, APPLIED, ATOM = range(8)

BREAK = "\x1f"  # followed by a digit: how deep in parentheses
TRANSPOSE = r"^{\mathsf T}"
ONES = r"\bm 1"
ODOT = r"\odot"
HALF, _HALF = r"\tfrac{1}{2}", number(Fraction(1, 2))
IVERSON = "Iverson"  # Iverson(a < b): one where it holds, zero elsewhere; of this file alone

_RELATIONS = {"<": "<", "<=": r"\le ", ">": ">", ">=": r"\ge ", "=": "="}
_SIGNS = {relation: frozenset(signs) for relation, signs in
          {"<": "-", "<=": "-0", "=": "0", ">=": "0+", ">": "+", "": ""}.items()}  # of left minus right
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}

Colour = Callable[[Expression], "str | None"]  # the number of a leaf's fork colour
Spelled = tuple[str, int]  # text, and how tightly it binds


class Symbols(Protocol):
    """What a printer asks for: a cell's `Notation`, or the letters of a rule."""

    @property
    def symbols(self) -> Mapping[str, object]:
        """By name, of what has one."""

    def shape(self, expression: Expression) -> Shape:
        """Of an expression in these names."""

    def value(self, name: str, step: str = "t") -> str:
        """The symbol at a step."""

    def has_superscript(self, name: str, step: str = "t") -> bool:
        """Whether that symbol has one, at a step."""

    def definition(self, name: str, lag: int = 0) -> Expression | None:
        """What is written in place of a name that has no symbol."""

    def size(self, symbol: str) -> str:
        """The symbol of a dimension."""


@dataclass(frozen=True)
class Printer:
    """Prints the expressions of one document."""

    notation: Symbols
    now: str = "t"  # what the current step is called: t, or the number of a step
    colour: Colour = lambda leaf: None
    _spelled: dict[tuple[int, int], tuple[Expression, Spelled]] = field(
        default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, expression: Expression) -> str:
        """The LaTeX, in one line."""
        return plain(self.marked(expression))

    def marked(self, expression: Expression) -> str:
        """The LaTeX with marks where a line may end."""
        return self._spell(without_choices(expression), 0)[0]

    def cases(self, expression: Expression) -> str | None:
        """A choice between two expressions as a display of its own; None for anything else."""
        match expression:
            case Call(function=functions.WHERE, arguments=(condition, chosen, other)) if (
                ZERO not in (chosen, other)
            ):
                return (rf"\begin{{cases}}{self(chosen)}&\text{{where }}{self(condition)}\\"
                        rf"{self(other)}&\text{{elsewhere}}\end{{cases}}")
        return None

    def step(self, lag: int) -> str:
        """The name of a step: t, t+1."""
        if self.now.isdigit():
            return str(int(self.now) + lag)
        return f"{self.now}{lag:+d}" if lag else self.now

    def adjoint(self, name: str, lag: int = 0) -> str:
        return self._gradient(r"\delta", name, lag)

    def differential(self, sign: str, name: str, lag: int = 0) -> str:
        """A value behind a sign of differentiation; one that is written out stands in brackets."""
        return self._gradient(sign, name, lag)

    # ------------------------------------------------------------------ nodes

    def _spell(self, expression: Expression, depth: int) -> Spelled:
        """Text and tightness. Asked again and again for one operand, on each level of an expression: kept."""
        key = id(expression), min(depth, 9)  # breaks are told apart up to that depth
        if key not in self._spelled:
            self._spelled[key] = expression, self._spell_anew(expression, key[1])
        _, spelled = self._spelled[key]
        return spelled

    def _spell_anew(self, expression: Expression, depth: int) -> Spelled:
        match expression:
            case Number(value=value):
                return _number(value)
            case Size(symbol=symbol):
                return self.notation.size(symbol), ATOM
            case Value() | Adjoint() | Outside():
                return self._leaf(expression, depth)
            case Sum(terms=terms):
                return self._sum(expression, terms, depth), SUM
            case Negative(operand=operand):
                return "-" + self._inside(operand, TIMES, depth), NEGATIVE
            case Product(factors=factors):
                return self._product(factors, depth)
            case Quotient(numerator=numerator, denominator=denominator):
                return self._quotient(numerator, denominator)
            case Power(base=base, exponent=exponent):
                return self._power(base, exponent, depth), ATOM
            case MatVec(matrix=matrix, vector=vector):
                left, right = self._inside(matrix, APPLIED, depth), self._inside(vector, BARE, depth)
                return _beside(left, right), JUXTAPOSED
            case Compare(relation=relation, left=left, right=right):
                sides = self._inside(left, SUM, depth), self._inside(right, SUM, depth)
                return _RELATIONS[relation].join(sides), COMPARISON
            case Call():
                return self._call(expression, depth)
        raise TypeError(f"no expression: {expression!r}")

    def _inside(self, expression: Expression, needed: int, depth: int) -> str:
        """An operand, in parentheses where it binds less tightly than its place needs."""
        if self._spell(expression, depth)[1] >= needed:
            return self._spell(expression, depth)[0]
        return _parenthesised(self._spell(expression, depth + 1)[0])

    def _leaf(self, leaf: Value | Adjoint | Outside, depth: int) -> Spelled:
        text, tightness = self._uncoloured(leaf, depth)
        number_ = self.colour(leaf)
        return (rf"\fork{{{number_}}}{{{plain(text)}}}", ATOM) if number_ else (text, tightness)

    def _uncoloured(self, leaf: Value | Adjoint | Outside, depth: int) -> Spelled:
        if isinstance(leaf, Value):
            definition = self.notation.definition(leaf.name, leaf.lag)
            if definition is not None:
                return self._spell(definition, depth)
            return self.notation.value(leaf.name, self.step(leaf.lag)), ATOM
        sign = r"\delta" if isinstance(leaf, Adjoint) else r"\Delta"
        return self._gradient(sign, leaf.name, leaf.lag), ATOM

    def _gradient(self, sign: str, name: str, lag: int) -> str:
        definition = self.notation.definition(name, lag)
        if definition is not None:
            text = plain(self._spell(definition, 0)[0])
            return sign + text if text.startswith("[") else f"{sign}[{text}]"
        symbol = self.notation.value(name, self.step(lag))
        return sign + symbol if symbol.startswith("\\") else f"{sign} {symbol}"

    def _sum(self, whole: Sum, terms: tuple[Expression, ...], depth: int) -> str:
        array = self.notation.shape(whole) != SCALAR
        text = ""
        for position, term in enumerate(terms):
            minus, body = _sign(term)
            spelled = self._array_term(body, depth) if array else self._inside(body, TIMES, depth)
            sign = "-" if minus else "+" if position else ""
            text += f"{BREAK}{min(depth, 9)}{sign}{spelled}" if position else sign + spelled
        return text

    def _array_term(self, term: Expression, depth: int) -> str:
        """A term of a sum of arrays: a number or a scalar stands for all entries."""
        if self.notation.shape(term) == SCALAR:
            return ONES if term == ONE else _beside(self._inside(term, JUXTAPOSED, depth), ONES, space=True)
        return self._inside(term, TIMES, depth)

    def _product(self, factors: tuple[Expression, ...], depth: int) -> Spelled:
        scalars, arrays = self._sorted(factors)
        minus, scalars = _signs_out(scalars)
        if arrays and all(_is_ones(array) for array in arrays):
            arrays = arrays[:1]
        else:
            arrays = [array for array in arrays if not _is_ones(array)]
        head = ""
        for scalar in scalars:
            spelled = HALF if scalar == _HALF else self._inside(scalar, APPLIED, depth)
            near = isinstance(scalar, Size) and head.isdigit()  # 4H
            head = _beside(head, spelled, space=not near) if head else spelled
        body = ""
        for array in arrays:
            spelled = self._inside(array, BARE, depth + 1)  # lines end between factors rather than in one
            body = rf"{body}{BREAK}{min(depth + 1, 9)}{_applied(ODOT, spelled)}" if body else spelled
        text = _beside(head, body, space=True) if head and body else head or body
        if minus:
            return "-" + text, NEGATIVE
        return text, TIMES if len(arrays) > 1 else JUXTAPOSED

    def _sorted(self, factors: tuple[Expression, ...]) -> tuple[list[Expression], list[Expression]]:
        """Numbers and scalars, which go in front, and arrays. What was filled in is a scalar again."""
        scalars: list[Expression] = []
        arrays: list[Expression] = []
        for factor in _flat(factors):
            match factor:
                case Call(function="Fill", arguments=(filled, size)) if (
                    self.notation.shape(filled) == SCALAR and len(self.notation.shape(factor)) == 1
                ):
                    arrays.append(Call("Fill", (ONE, size)))
                    if filled != ONE:
                        scalars.append(filled)
                case _:
                    (scalars if self.notation.shape(factor) == SCALAR else arrays).append(factor)
        return sorted(scalars, key=lambda scalar: not isinstance(scalar, Number)), arrays

    def _quotient(self, numerator: Expression, denominator: Expression) -> Spelled:
        """A fraction, its sign before it, and a half in it as a two below."""
        minus, body = _sign(numerator)
        factors = _flat((body,))
        if isinstance(factors[0], Number) and abs(factors[0].value) == _HALF.value:
            minus ^= factors[0].value < 0
            body, denominator = product(ONE, *factors[1:]), product(number(2), denominator)
        fraction = rf"\frac{{{self(body)}}}{{{self(denominator)}}}"
        return ("-" + fraction, NEGATIVE) if minus else (fraction, ATOM)

    def _power(self, base: Expression, exponent: Expression, depth: int) -> str:
        raised = self(exponent)
        bare = self._bare_function(base)
        if bare is not None and isinstance(exponent, Number) and exponent.value > 0:
            name, argument = bare
            return _applied(f"{name}^{{{raised}}}", self._inside(argument, ATOM, depth))
        if len(self.notation.shape(base)) == 2:
            raised = rf"\odot {raised}"  # W^2 would be a matrix product
        text, tightness = self._spell(base, depth)
        if tightness < ATOM or isinstance(base, (Quotient, Power)) or self._is_raised(base):
            text = _parenthesised(self._spell(base, depth + 1)[0])
        return _raised(text, f"^{{{raised}}}")

    def _bare_function(self, base: Expression) -> tuple[str, Expression] | None:
        """tanh and its argument, where the base is tanh(a): tanh^2 a is what people write."""
        if isinstance(base, Value) and self.colour(base) is None:
            base = self.notation.definition(base.name, base.lag) or base
        if isinstance(base, Call) and base.function in ("tanh", "sin", "cos"):
            return BARE_FUNCTIONS[base.function], base.arguments[0]
        return None

    def _is_raised(self, base: Expression) -> bool:
        """Whether the symbol has a superscript already."""
        match base:
            case Adjoint() | Outside():
                return True
            case Value(name=name, lag=lag) if name in self.notation.symbols:
                return self.notation.has_superscript(name, self.step(lag))
        return False

    def _transposed(self, expression: Expression, depth: int) -> str:
        text = self._spell(expression, depth)[0]
        named = isinstance(expression, Value) and expression.name in self.notation.symbols
        if (not named and not text.startswith("[")) or self._is_raised(expression):
            text = _parenthesised(self._spell(expression, depth + 1)[0])
        return _raised(text, TRANSPOSE)

    # ------------------------------------------------------------------ calls

    def _call(self, call: Call, depth: int) -> Spelled:
        inner, function, arguments = depth + 1, call.function, call.arguments
        match function, arguments:
            case "outer", (left, right):
                minus, left = _sign(left)
                text = _beside(self._inside(left, APPLIED, depth), self._transposed(right, depth), space=True)
                return ("-" + text, NEGATIVE) if minus else (text, JUXTAPOSED)
            case "transpose", (matrix,):
                return self._transposed(matrix, depth), ATOM
            case "sum", (summed,):
                return self._summed(summed, depth)
            case "Fill", (filled, _):
                return self._filled(filled, depth)
            case "concat", parts:
                joint = ";" if len(self.notation.shape(call)) == 1 else ","
                return f"[{(joint + ' ').join(self._spell(part, inner)[0] for part in parts)}]", APPLIED
            case "layer_norm" | "Inverse_std", (argument, *eps):
                return self._normalised(function, argument, eps, inner), APPLIED
            case _, (Compare() as condition,) if function == IVERSON:
                return f"[{self._spell(condition, inner)[0]}]", APPLIED
            case _, (argument,) if function in BARE_FUNCTIONS:
                text, tightness = self._spell(argument, inner)
                if tightness == ATOM and not isinstance(argument, (Quotient, Power)):
                    return _applied(BARE_FUNCTIONS[function], text), BARE
                return f"{BARE_FUNCTIONS[function]}{_parenthesised(text)}", APPLIED
        spelled = [self._spell(argument, inner)[0] for argument in arguments]
        if function in ("sqrt", "rsqrt"):
            spelled = [plain(text) for text in spelled]
        text = TABLE[function].call.format(**dict(zip("abc", spelled)))
        return text, ATOM if function == "rsqrt" else APPLIED

    def _summed(self, summed: Expression, depth: int) -> Spelled:
        """The sum over the last axis; over both of a matrix, where it is summed twice."""
        match summed:
            case Call(function="sum", arguments=(matrix,)):
                both = _beside(rf"{ONES}{TRANSPOSE}", self._inside(matrix, ATOM, depth))
                return _beside(both, ONES, space=True), JUXTAPOSED
        if len(self.notation.shape(summed)) == 2:
            return _beside(self._inside(summed, ATOM, depth), ONES, space=True), JUXTAPOSED
        minus, body = _sign(summed)
        if isinstance(body, Product):
            scalars, arrays = self._sorted(body.factors)
            arrays = [array for array in arrays if not _is_ones(array)]
            if len(arrays) == 2:
                left, right = (self._spell(array, depth + 1)[0] for array in arrays)
                text = rf"\langle {left},{right}\rangle"
                if scalars:
                    head = self._product(tuple(scalars), depth)[0]
                    text = _beside(head, text, space=True)
                tightness = JUXTAPOSED if scalars else APPLIED
                return ("-" + text, NEGATIVE) if minus else (text, tightness)
        text = _beside(rf"{ONES}{TRANSPOSE}", self._inside(body, BARE, depth))
        return ("-" + text, NEGATIVE) if minus else (text, JUXTAPOSED)

    def _filled(self, filled: Expression, depth: int) -> Spelled:
        """A value copied along a new last axis."""
        if filled == ONE:
            return ONES, ATOM
        if self.notation.shape(filled) == SCALAR:
            return _beside(self._inside(filled, APPLIED, depth), ONES, space=True), JUXTAPOSED
        return _beside(self._inside(filled, APPLIED, depth), ONES + TRANSPOSE, space=True), JUXTAPOSED

    def _normalised(self, function: str, argument: Expression, eps: list[Expression], inner: int) -> str:
        name = r"\operatorname{LN}" if function == "layer_norm" else r"\operatorname{rstd}"
        mark = ""
        if eps and eps[0] != number(Fraction("1e-5")):
            mark = f"_{{{self(eps[0])}}}"
        return f"{name}{mark}({self._spell(argument, inner)[0]})"


def _number(value: Fraction) -> Spelled:
    text = decimal(value)
    if "/" in text:
        above, below = text.lstrip("-").split("/")
        return rf"{'-' if value < 0 else ''}\frac{{{above}}}{{{below}}}", NEGATIVE if value < 0 else ATOM
    if "e" in text:
        digits, exponent = text.split("e")
        power = f"10^{{{int(exponent)}}}"
        sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
        text = sign + (power if digits == "1" else rf"{digits}\cdot {power}")
        return text, NEGATIVE if value < 0 else JUXTAPOSED
    return text, NEGATIVE if value < 0 else ATOM


def _sign(term: Expression) -> tuple[bool, Expression]:
    match term:
        case Negative(operand=operand):
            return True, operand
        case Number(value=value) if value < 0:
            return True, Number(-value)
    return False, term


def _signs_out(scalars: list[Expression]) -> tuple[bool, list[Expression]]:
    """Minus signs of factors, gathered in front; a factor one goes."""
    minus, rest = False, []
    for scalar in scalars:
        negative_, scalar = _sign(scalar)
        minus ^= negative_
        if scalar != ONE:
            rest.append(scalar)
    return minus, rest


def _flat(factors: tuple[Expression, ...]) -> list[Expression]:
    flat: list[Expression] = []
    for factor in factors:
        flat.extend(_flat(factor.factors) if isinstance(factor, Product) else [factor])
    return flat


def _is_ones(expression: Expression) -> bool:
    return isinstance(expression, Call) and expression.function == "Fill" and expression.arguments[0] == ONE


def _beside(left: str, right: str, space: bool = False) -> str:
    """Two factors without a sign between them."""
    if space and left[-1:].isdigit() and right[:1].isdigit():
        return rf"{left}\cdot {right}"
    if space or right.startswith(("(", r"\bigl(", r"\Bigl(", r"\delta", r"\fork", r"\Delta", r"\tanh")):
        return rf"{left}\,{right}"
    return left + right if right.startswith("\\") or not left[-1:].isalpha() else f"{left} {right}"


def _applied(command: str, argument: str) -> str:
    """A command and what follows it, kept apart where TeX would read on."""
    return command + argument if not argument[:1].isalpha() else f"{command} {argument}"


def _raised(text: str, script: str) -> str:
    """A superscript: inside the colour, where it stands above the subscript."""
    if text.startswith(r"\fork{"):
        return f"{text[:-1]}{script}}}"
    return text + script


def _parenthesised(text: str) -> str:
    if r"\frac" in text or r"\begin" in text:
        return rf"\Bigl({text}\Bigr)"
    if "(" in text:
        return rf"\bigl({text}\bigr)"
    return f"({text})"


# ---------------------------------------------------------------- choices


def without_choices(expression: Expression) -> Expression:
    """Every `where` as a sum of its branches, each with the bracket that is one where it holds."""
    parts = tuple(without_choices(part) for part in children(expression))
    match expression:
        case Call(function=functions.WHERE):
            condition, chosen, other = parts
            if isinstance(condition, Compare):
                otherwise = Compare(_OPPOSITE[condition.relation], condition.left, condition.right)
                return total(_where_it_holds(chosen, condition), _where_it_holds(other, otherwise))
        case Quotient() if parts[0] == ZERO:
            return ZERO
    return rebuild(expression, parts) if parts else expression


def _where_it_holds(expression: Expression, condition: Compare) -> Expression:
    """The expression with a bracket behind it; one that compares the same two is made narrower instead."""
    match expression:
        case Number(value=0):
            return ZERO
        case Sum(terms=terms):
            return total(*(_where_it_holds(term, condition) for term in terms))
        case Negative(operand=operand):
            return negative(_where_it_holds(operand, condition))
    *rest, last = expression.factors if isinstance(expression, Product) else (expression,)
    match last:
        case Call(function=name, arguments=(Compare(left=left, right=right, relation=relation),)) if (
            name == IVERSON and (left, right) == (condition.left, condition.right)
        ):
            both = _SIGNS[relation] & _SIGNS[condition.relation]
            narrower = next(found for found, signs in _SIGNS.items() if signs == both)
            return product(*rest, Call(IVERSON, (Compare(narrower, left, right),)))
    return product(expression, Call(IVERSON, (condition,)))


# ---------------------------------------------------------------- lines


def plain(text: str) -> str:
    """The formula without the marks where it may be broken."""
    return re.sub(BREAK + "[0-9]", "", text)


def broken(text: str, first: float, others: float) -> list[str]:
    """The formula in lines of at most so many points, ended where it is nested least deeply."""
    lines: list[str] = []
    limit = first
    pieces = _pieces(text)
    while pieces:
        count = _longest_line(pieces, limit)
        line = "".join(piece for _, piece in pieces[:count])
        lines.append("{}" + line if lines else line)  # so that a sign at the beginning is a binary one
        pieces = pieces[count:]
        limit = others
    return lines


def _pieces(text: str) -> list[tuple[int, str]]:
    """What stands between the marks, each with the depth of the mark before it."""
    head, *rest = text.split(BREAK)
    return [(0, head)] + [(int(piece[0]), piece[1:]) for piece in rest]


def _longest_line(pieces: list[tuple[int, str]], limit: float) -> int:
    """How many pieces go on one line: up to the shallowest break that leaves the line at least half full."""
    widths, used = [], 0.0
    for _, piece in pieces:
        used += width(piece)
        widths.append(used)
    if used <= limit or len(pieces) == 1:
        return len(pieces)
    fitting = [count for count in range(1, len(pieces)) if widths[count - 1] <= limit] or [1]
    full = [count for count in fitting if widths[count - 1] >= 0.4 * limit] or fitting
    return min(full, key=lambda count: (pieces[count][0], -count))


_LETTERS = {
    **dict.fromkeys("ijl", 4.2), **dict.fromkeys("frst", 5.0), **dict.fromkeys("mw", 9.4),
    **dict.fromkeys("abcdeghknopquvxyz", 6.2), **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ", 9.0),
    **dict.fromkeys("IJ", 6.6), **dict.fromkeys("MW", 11.8), **dict.fromkeys("0123456789", 5.6),
    **dict.fromkeys("()[]", 4.4), **dict.fromkeys(",;.", 4.6), **dict.fromkeys("+-", 13.4),
    **dict.fromkeys("=<>", 15.0), ":": 9.0, "/": 5.6, " ": 0.0, "'": 3.0, "&": 12.0,
}
_COMMANDS = {
    r"\odot": 13.6, r"\le": 15.0, r"\ge": 15.0, r"\,": 2.0, r"\cdot": 8.0, r"\tanh": 24.5, r"\exp": 20.0,
    r"\log": 17.5, r"\sin": 16.5, r"\cos": 18.0, r"\max": 23.0, r"\min": 21.5, r"\sqrt": 10.0, r"\sum": 14.0,
    r"\langle": 4.6, r"\rangle": 4.6, r"\lvert": 3.6, r"\rvert": 3.6, r"\lfloor": 5.4, r"\rfloor": 5.4,
    r"\bigl": 1.2, r"\bigr": 1.2, r"\Bigl": 3.2, r"\Bigr": 3.2, r"\bm": 0.0, r"\star": 6.0, r"\qquad": 22.0,
    r"\mathsf": 0.0, r"\mathrm": 0.0, r"\mathbf": 0.0, r"\operatorname": 2.0, r"\text": 0.0, r"\mathcal": 0.0,
    r"\displaystyle": 0.0, r"\textstyle": 0.0, r"\bar": 0.0, r"\hat": 0.0, r"\tilde": 0.0, r"\bigr|": 3.0,
}
_WIDTH_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)


def width(text: str) -> float:
    """About how wide a formula is at 11 pt, in points; rather too wide than too narrow."""
    if text.startswith(r"\by{"):
        return 0.86 * _width(_WIDTH_TOKEN.findall(text)) + 8.0  # a note is small, but far off
    return _width(_WIDTH_TOKEN.findall(plain(text)))


def _width(tokens: list[str]) -> float:
    whole, at, raised = 0.0, 0, [0.0, 0.0]
    while at < len(tokens):
        token = tokens[at]
        if token in "^_":
            script, at = _argument(tokens, at + 1)
            raised[token == "_"] = 0.78 * _width(script) + 0.6
            if at >= len(tokens) or tokens[at] not in "^_":
                whole += max(raised)  # one above the other
                raised = [0.0, 0.0]
            continue
        if token in (r"\frac", r"\tfrac"):
            above, at = _argument(tokens, at + 1)
            below, at = _argument(tokens, at)
            whole += max(_width(above), _width(below)) + 3.0
            continue
        if token in (r"\eqref", r"\by"):
            _, at = _argument(tokens, at + 1) if token == r"\eqref" else (None, at + 1)
            whole += 20.0
            continue
        if token == r"\fork":
            _, at = _argument(tokens, at + 1)
            continue
        whole += 0.0 if token in "{}" else _LETTERS.get(token, _COMMANDS.get(token, 7.5))
        at += 1
    return whole


def _argument(tokens: list[str], at: int) -> tuple[list[str], int]:
    """What a command applies to, and where it ends."""
    while at < len(tokens) and tokens[at] == " ":
        at += 1
    if at >= len(tokens) or tokens[at] != "{":
        return tokens[at : at + 1], at + 1
    depth, end = 0, at
    while end < len(tokens):
        depth += (tokens[end] == "{") - (tokens[end] == "}")
        end += 1
        if depth == 0:
            break
    return tokens[at + 1 : end - 1], end


# ---------------------------------------------------------------- plain text

# What `escape` needs beside LaTeX's own commands, for the preamble of each document that uses it.
# The second argument of \texorpdfstring is for bookmarks and the title that a PDF reader shows.
TEXT_COMMANDS = r"""
\newcommand{\greek}[2]{\texorpdfstring{$#1$}{\unichar{"#2}}} % a Greek letter in text
\newcommand{\ogonek}[1]{\texorpdfstring{{\ooalign{#1\crcr\hidewidth\reflectbox{\char24}}}}{\k{#1}}}
\newcommand{\onto}[2]{\texorpdfstring{{% an accent on a letter that has one: \accent would set it beside
  \leavevmode\setbox0\hbox{#2}\ooalign{\copy0\crcr\hidewidth\raise\dimexpr\ht0-1ex\relax\hbox{#1{}}\hidewidth}}}{#1{#2}}}
\DeclareTextCommand{\textdollar}{OT1}{{\ifdim\fontdimen1\font>0pt \slshape\fi\char36}} % TS1 has bitmaps only
""".strip()
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}",
    "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textquoteleft{}", "'": r"\textquoteright{}",
}
_ACCENTS = {  # combining characters
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c",
    "\u0328": "ogonek", "\u0331": "b",
}
_BELOW = frozenset("\u0323\u0327\u0328\u0331")  # of the accents
_LATIN = {
    "ß": r"\ss{}", "ẞ": "SS", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}",
    "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "ȷ": r"\j{}",
}
_GREEK_SAME_AS_LATIN = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEZHIKMNOPTYXo"))
_GREEK_NAMES = {"ς": "varsigma", "ϑ": "vartheta", "ϕ": "phi", "ϖ": "varpi", "ϱ": "varrho", "ϵ": "epsilon"}
_BLANKS = (" ", "\n", "\t", "\r", "\u00a0")
_LONG_WORD = 30  # characters; a line of a title has room for about as many
_MAY_END = r"\allowbreak{}"
_GREEK_ACCENTS = {"\u0301": "acute", "\u0308": "ddot", "\u0300": "grave"}


def escape(text: str) -> str:
    """Plain text of a spec for TeX: letters stay letters, nothing stays a command.

    Latin letters keep their accents, Greek letters become formulas, what TeX finds special is spelled
    out, white space is a space, and any other character is shown as [U+XXXX]. A long word, such as an
    address, may be broken across lines.
    """
    words = []
    for is_blank, run in groupby(_clusters(unicodedata.normalize("NFC", text)), _BLANKS.__contains__):
        clusters = list(run)
        pieces = [_escaped(cluster, before in "([") for before, cluster in pairwise(["(", *clusters])]
        words.append("".join(pieces) if is_blank else _breakable(clusters, pieces))
    # "--" is no dash, and "?`" no inverted question mark
    return re.sub(r"-(?=-)|[?!](?=\\textquoteleft)", r"\g<0>{}", "".join(words))


def _clusters(text: str) -> list[str]:
    """Characters, each with the combining ones that follow it."""
    found: list[str] = []
    for char in text:
        if found and unicodedata.combining(char) and found[-1] not in _BLANKS:
            found[-1] += char
        else:
            found.append(char)
    return found


def _breakable(clusters: list[str], pieces: list[str]) -> str:
    """A word. In a long one a line may end after signs, and anywhere amid many letters or many signs."""
    if _length(pieces) <= _LONG_WORD:
        return "".join(pieces)
    parts = []
    for is_letters, pairs in groupby(zip(clusters, pieces), lambda pair: pair[0][0].isalnum()):
        run = [piece for _, piece in pairs]
        part = (_MAY_END if _length(run) > _LONG_WORD else "").join(run)
        parts.append(part if is_letters else part + _MAY_END)
    return "".join(parts).removesuffix(_MAY_END)


def _length(pieces: list[str]) -> int:
    """How many characters are printed."""
    return sum(len(piece) if piece.startswith("[U+") else 1 for piece in pieces)


def _escaped(cluster: str, opening: bool) -> str:
    if cluster in _SPECIAL:
        return _SPECIAL[cluster]
    if cluster == '"':
        return r"\textquotedblleft{}" if opening else r"\textquotedblright{}"
    if cluster in _BLANKS:
        return " "
    if len(cluster) == 1 and " " < cluster <= "~":
        return cluster
    letter, *marks = list(unicodedata.normalize("NFD", cluster))
    if letter in _LATIN or (letter.isascii() and letter.isalpha()):
        if all(mark in _ACCENTS for mark in marks):
            return _accented(letter, marks)
    same = _GREEK_SAME_AS_LATIN.get(letter)
    if same is not None and all(mark in _ACCENTS for mark in marks):
        return _accented(same, marks)
    name = _greek(letter)
    if name is not None and all(mark in _GREEK_ACCENTS for mark in marks):
        sign = rf"\{name}"
        for mark in marks:
            sign = rf"\{_GREEK_ACCENTS[mark]}{{{sign}}}"
        return rf"\greek{{{sign}}}{{{ord(cluster[0]):04X}}}"  # the sign, and the letter in bookmarks
    return "".join(f"[U+{ord(char):04X}]" for char in cluster)


def _accented(letter: str, marks: list[str]) -> str:
    """A letter with its accents: those above it first, for those below can be hung on anything."""
    above = [mark for mark in marks if mark not in _BELOW]
    text = rf"\{letter}" if above and letter in "ij" else _LATIN.get(letter, letter)
    for count, mark in enumerate(above):
        text = rf"\onto{{\{_ACCENTS[mark]}}}{{{text}}}" if count else rf"\{_ACCENTS[mark]}{{{text}}}"
    for mark in marks:
        if mark in _BELOW:
            text = rf"\{_ACCENTS[mark]}{{{text}}}"
    return text


def _greek(letter: str) -> str | None:
    """The name of a Greek letter that TeX has a sign for."""
    name = _GREEK_NAMES.get(letter)
    if name is None:
        match = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)", unicodedata.name(letter, ""))
        if match is None:
            return None
        name = match[2].lower() if match[1] == "SMALL" else match[2].capitalize()
        name = {"lamda": "lambda", "Lamda": "Lambda"}.get(name, name)
    return name if name in _GREEK_COMMANDS else None


_GREEK_COMMANDS = GREEK | {"varsigma", "vartheta", "varpi", "varrho"}


# ---------------------------------------------------------------- records, for notebooks


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
    """One branch of a fork. What belongs to the last of the steps alone carries the bracket [t=T]."""
    if fork.kind == START:
        return rf"{printer(fork.upstream)}\big|_{{t=0}}"
    text = printer.marked(fork.term)
    if last_step_only:
        bracket = rf"[t={steps}]\,"
        text = f"-{bracket}{text[1:]}" if text.startswith("-") else bracket + (
            _parenthesised(text) if isinstance(fork.term, Sum) else text)
    if fork.over_time:
        sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
        inner = _parenthesised(text) if isinstance(fork.term, Sum) and not last_step_only else text
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


