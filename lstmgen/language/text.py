"""Expressions as text: as a spec would write them, or with symbols for a terminal."""

from __future__ import annotations

from fractions import Fraction

from .expressions import (
    Adjoint, Call, Compare, Expression, MatVec, MinusInfinity, Negative, Number, Outside, Power, Product, Quotient,
    Size, Sum, Value, product,
)

# The precedence of an expression. An operand of lower precedence than its place needs parentheses.
COMPARISON, SUM, NEGATIVE, PRODUCT, POWER, ATOM = range(6)


def decimal(value: Fraction) -> str:
    """The shortest way to write an exact number: an integer, a decimal, or a quotient."""
    if abs(value) >= 10**15:
        return repr(float(value)) if abs(value) < 10**308 else "1e999"  # what IEEE arithmetic makes of it
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest == 1:
        written = repr(float(value))
        if Fraction(written) == value:
            return written
    return f"{value.numerator}/{value.denominator}"


def source(expression: Expression) -> str:
    """As a spec writes it: `z * i + c[t-1] * f`. Adjoints are `d_c`, `d_c[t+1]`."""
    return _Source().spell(expression)[0]


def symbols(expression: Expression) -> str:
    """For a terminal: `z ⊙ i + c[t-1] ⊙ f`, with δc for the adjoint of c and Δh for the gradient from outside."""
    return _Symbols().spell(expression)[0]


def plain(expression: Expression, unicode: bool) -> str:
    """Either of the two."""
    return symbols(expression) if unicode else source(expression)


class _Source:
    times, matmul, gradient, minus, infinity = " * ", " @ ", "d_", "-", "inf"

    def spell(self, expression: Expression) -> tuple[str, int]:
        """The text and its precedence."""
        match expression:
            case Number(value=value):
                return self.number(value)
            case Size(symbol=symbol):
                return symbol, ATOM
            case Value(name=name, lag=lag):
                return name + _time(lag), ATOM
            case MinusInfinity():
                return f"{self.minus}{self.infinity}", NEGATIVE
            case Adjoint(name=name, lag=lag):
                return self.gradient + name + _time(lag), ATOM
            case Outside(name=name, lag=lag):
                return f"dy_{name}{_time(lag)}", ATOM
            case Sum(terms=terms):
                return self.sum(terms), SUM
            case Negative(operand=operand):
                return self.minus + self.inside(operand, PRODUCT), NEGATIVE
            case Product(factors=factors):
                spelled = [self.inside(factor, PRODUCT) for factor in factors[:1]]
                spelled += [self.inside(factor, POWER) for factor in factors[1:]]
                return self.times.join(spelled), PRODUCT
            case Quotient(numerator=numerator, denominator=denominator):
                return f"{self.inside(numerator, PRODUCT)} / {self.inside(denominator, POWER)}", PRODUCT
            case MatVec(matrix=matrix, vector=vector):
                return self.matvec(matrix, vector), PRODUCT
            case Power(base=base, exponent=exponent):
                return self.power(base, exponent), POWER
            case Call(function=function, arguments=arguments):
                return self.call(function, arguments), ATOM
            case Compare(relation=relation, left=left, right=right):
                return f"{self.inside(left, SUM)} {relation} {self.inside(right, SUM)}", COMPARISON
        raise TypeError(f"no expression: {expression!r}")

    def inside(self, expression: Expression, needed: int) -> str:
        text, tightness = self.spell(expression)
        return f"({text})" if tightness < needed else text

    def number(self, value: Fraction) -> tuple[str, int]:
        text = decimal(value)
        if "/" in text:
            return text, PRODUCT
        return text, NEGATIVE if value < 0 else ATOM

    def sum(self, terms: tuple[Expression, ...]) -> str:
        text = self.inside(terms[0], SUM)
        for term in terms[1:]:
            sign, body = (self.minus, term.operand) if isinstance(term, Negative) else ("+", term)
            if isinstance(term, Number) and term.value < 0:
                sign, body = self.minus, Number(-term.value)
            text += f" {sign} {self.inside(body, NEGATIVE)}"
        return text

    def matvec(self, matrix: Expression, vector: Expression) -> str:
        return f"{self.inside(matrix, PRODUCT)}{self.matmul}{self.inside(vector, POWER)}"

    def power(self, base: Expression, exponent: Expression) -> str:
        return f"{self.inside(base, ATOM)} ** {self.inside(exponent, POWER)}"

    def call(self, function: str, arguments: tuple[Expression, ...]) -> str:
        if function == "Array":
            return self.array(arguments)
        return f"{function}({', '.join(self.spell(argument)[0] for argument in arguments)})"


    def array(self, arguments: tuple[Expression, ...]) -> str:
        """A constant vector or matrix as a spec writes it."""
        rows, *entries = (self.spell(argument)[0] for argument in arguments)
        if rows == "0":
            return f"[{', '.join(entries)}]"
        wide = len(entries) // int(rows)
        return "[" + ", ".join(f"[{', '.join(entries[low : low + wide])}]" for low in range(0, len(entries), wide)) + "]"


_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_RELATIONS = {"<=": "≤", ">=": "≥"}
_FUNCTIONS = {"sigmoid": "σ", "Inverse_std": "rstd", "Inverse_rms": "rrms", "Inverse_norm": "rnorm"}
_USUAL_EPS = {"Inverse_std": "1e-5", "Inverse_rms": "1e-6", "Inverse_norm": "1e-6"}


class _Symbols(_Source):
    times, matmul, gradient, minus, infinity = " ⊙ ", " ", "δ", "−", "∞"

    def spell(self, expression: Expression) -> tuple[str, int]:
        match expression:
            case Outside(name=name, lag=lag):
                return f"Δ{name}{_time(lag)}", ATOM
            case Product(factors=(Number(value=value), *rest)) if rest:
                return f"{self.number(value)[0]}·{self.inside(product(*rest), POWER)}", PRODUCT
            case Compare(relation=relation, left=left, right=right):
                sides = self.inside(left, SUM), self.inside(right, SUM)
                return f" {_RELATIONS.get(relation, relation)} ".join(sides), COMPARISON
            case Call(function="transpose", arguments=(operand,)):
                return f"{self.inside(operand, ATOM)}ᵀ", ATOM
            case Call(function="outer", arguments=(Negative(operand=left), right)):
                return self.spell(Negative(Call("outer", (left, right))))
            case Call(function="outer", arguments=(left, right)):
                return f"{self.inside(left, POWER)} {self.inside(right, ATOM)}ᵀ", PRODUCT
        return super().spell(expression)

    def power(self, base: Expression, exponent: Expression) -> str:
        if isinstance(exponent, Number) and exponent.value.denominator == 1:
            return self.inside(base, ATOM) + str(exponent.value).translate(_SUPERSCRIPT)
        return super().power(base, exponent)

    def call(self, function: str, arguments: tuple[Expression, ...]) -> str:
        if function == "Array":
            return self.array(arguments)
        if function in _USUAL_EPS and arguments[-1] == Number(Fraction(_USUAL_EPS[function])):
            arguments = arguments[:-1]
        # functions that only derivatives use begin with a capital: Fill, Place, Slice
        return super().call(_FUNCTIONS.get(function, function[:1].lower() + function[1:]), arguments)


def _time(lag: int) -> str:
    return "" if lag == 0 else f"[t{lag:+d}]"
