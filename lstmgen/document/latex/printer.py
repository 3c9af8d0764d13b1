r"""Expressions as LaTeX.

A printed formula can be read back: vectors and matrices are bold, ``\odot`` is the elementwise product, a matrix is directly
before its vector, a scalar directly before anything, and a number beside an array is written with ``\bm 1``, an array of
ones. Choices are printed as Iverson brackets. A stage without a name is written out wherever it is read, ``\tanh\bm c_t``.

Long formulas have marks where a line may end; lines.py uses them or removes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from ...language import functions
from ...language.expressions import (
    ONE, ZERO, Adjoint, Call, Compare, Expression, MatVec, MinusInfinity, Negative, Number, Outside, Power, Product,
    Quotient, Size, Sum, Value, number, product,
)
from ...language.shapes import MOST_AXES, SCALAR, Shape
from ...language.text import decimal
from .choices import IVERSON, without_choices
from .functions import BARE as BARE_FUNCTIONS
from .functions import TABLE
from .lines import BREAK, plain

# The precedence of a printed expression. A product without a sign has a higher one than \odot;
# \tanh x needs parentheses before a further factor, \sigma(x) does not.
COMPARISON, SUM, NEGATIVE, TIMES, JUXTAPOSED, BARE, APPLIED, ATOM = range(8)

TRANSPOSE = r"^{\mathsf T}"
ONES = r"\bm 1"
ODOT = r"\odot"
HALF, _HALF = r"\tfrac{1}{2}", number(Fraction(1, 2))

# name in print, and the literal that is not printed because it is usual
_NORMALISING = {"layer_norm": ("LN", "1e-5"), "Inverse_std": ("rstd", "1e-5"), "rms_norm": ("RMSNorm", "1e-6"),
                "Inverse_rms": ("rrms", "1e-6"), "l2_norm": ("L2Norm", "1e-6"), "Inverse_norm": ("rnorm", "1e-6")}
_RELATIONS = {"<": "<", "<=": r"\le ", ">": ">", ">=": r"\ge ", "=": "="}

Colour = Callable[[Expression], "str | None"]  # the number of a leaf's fork colour
Spelled = tuple[str, int]  # text and precedence


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
        """A value after a sign of differentiation; one that is written out is in brackets."""
        return self._gradient(sign, name, lag)

    # ------------------------------------------------------------------ nodes

    def _spell(self, expression: Expression, depth: int) -> Spelled:
        """Text and precedence. Kept, because every level of an expression asks for its operands again."""
        key = id(expression), min(depth, 9)  # breaks are told apart up to that depth
        if key not in self._spelled:
            self._spelled[key] = expression, self._spell_anew(expression, key[1])
        _, spelled = self._spelled[key]
        return spelled

    def _spell_anew(self, expression: Expression, depth: int) -> Spelled:
        match expression:
            case Number(value=value):
                return _number(value)
            case MinusInfinity():
                return r"-\infty", NEGATIVE
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
        """An operand, in parentheses if its precedence is lower than its place needs."""
        if self._spell(expression, depth)[1] >= needed:
            return self._spell(expression, depth)[0]
        return parenthesised(self._spell(expression, depth + 1)[0])

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
                case Call(function="fill", arguments=(filled, size)) if (
                    self.notation.shape(filled) == SCALAR and len(self.notation.shape(factor)) == 1
                ):
                    arrays.append(Call("fill", (ONE, size)))
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
        if len(self.notation.shape(base)) >= 2:
            raised = rf"\odot {raised}"  # W^2 would be a matrix product
        text, tightness = self._spell(base, depth)
        if tightness < ATOM or isinstance(base, (Quotient, Power)) or self._is_raised(base):
            text = parenthesised(self._spell(base, depth + 1)[0])
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
        if (not named and text != ONES and not text.startswith("[")) or self._is_raised(expression):
            text = parenthesised(self._spell(expression, depth + 1)[0])
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
            case "mod", (left, right):
                return rf"{self._inside(left, TIMES, depth)}\bmod {self._inside(right, JUXTAPOSED, depth)}", SUM
            case "sum", (summed,):
                return self._summed(summed, depth)
            case "ones", sizes:
                return (ONES, ATOM) if len(sizes) == 1 else (rf"{ONES}\,{ONES}{TRANSPOSE}", JUXTAPOSED)
            case "eye", _:
                return r"\bm I", ATOM
            case "triangle", _:
                return r"\bm L", ATOM
            case "Array", (rows, *entries):
                return self._array(rows, entries), APPLIED
            case "fill", (filled, size):
                return self._filled(filled, size, depth)
            case "concat", parts:
                joint = ";" if len(self.notation.shape(call)) == 1 else ","
                return f"[{(joint + ' ').join(self._spell(part, inner)[0] for part in parts)}]", APPLIED
            case _, (argument, *eps) if function in _NORMALISING:
                return self._normalised(function, argument, eps, inner), APPLIED
            case _, (Compare() as condition,) if function == IVERSON:
                return f"[{self._spell(condition, inner)[0]}]", APPLIED
            case _, (argument,) if function in BARE_FUNCTIONS:
                text, tightness = self._spell(argument, inner)
                if tightness == ATOM and not isinstance(argument, (Quotient, Power)):
                    return _applied(BARE_FUNCTIONS[function], text), BARE
                return f"{BARE_FUNCTIONS[function]}{parenthesised(text)}", APPLIED
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
        if len(self.notation.shape(summed)) >= 2:
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

    def _array(self, rows: Expression, entries: list[Expression]) -> str:
        """The numbers of a constant: a column, or a matrix."""
        texts = [self(entry) for entry in entries]
        count = int(rows.value) if isinstance(rows, Number) else 0
        if not count:
            return f"[{'; '.join(texts)}]"
        wide = len(texts) // count
        lines = [" & ".join(texts[low : low + wide]) for low in range(0, len(texts), wide)]
        return r"\begin{bmatrix}" + r"\\".join(lines) + r"\end{bmatrix}"

    def _filled(self, filled: Expression, size: Expression, depth: int) -> Spelled:
        """A value copied along a new last axis."""
        if filled == ONE:
            return ONES, ATOM
        axes = len(self.notation.shape(filled))
        if not axes:
            return _beside(self._inside(filled, APPLIED, depth), ONES, space=True), JUXTAPOSED
        if axes == MOST_AXES - 1:  # along each axis, the letters of the sizes say how often
            sizes = [self(size)]
            if isinstance(filled, Call) and filled.function == "fill" and self.notation.shape(filled.arguments[0]):
                filled, inner = filled.arguments
                sizes.insert(0, self(inner))
            return rf"\operatorname{{fill}}_{{{','.join(sizes)}}}({self._spell(filled, depth + 1)[0]})", APPLIED
        return _beside(self._inside(filled, APPLIED, depth), ONES + TRANSPOSE, space=True), JUXTAPOSED

    def _normalised(self, function: str, argument: Expression, eps: list[Expression], inner: int) -> str:
        name, usual = _NORMALISING[function]
        mark = ""
        if eps and eps[0] != number(Fraction(usual)):
            mark = f"_{{{self(eps[0])}}}"
        return rf"\operatorname{{{name}}}{mark}({self._spell(argument, inner)[0]})"


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
    return isinstance(expression, Call) and expression.function == "fill" and expression.arguments[0] == ONE


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


def parenthesised(text: str) -> str:
    if r"\frac" in text or r"\begin" in text:
        return rf"\Bigl({text}\Bigr)"
    if "(" in text:
        return rf"\bigl({text}\bigr)"
    return f"({text})"
