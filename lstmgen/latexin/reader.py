"""One row of a formula -> a term: sums, products, brackets, numbers, functions.

What a symbol means, and what a derivative is, is said by a `Meanings`: of a cell that is known (`meanings.py`), or of one
that is being drafted (`draft.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ..errors import Mistakes, Place, Text
from ..language.expressions import Call, Expression, Number, Value, number, transform
from ..language.functions import TABLE, Macro, Pointwise
from ..language.parse import parse, parse_number
from .algebra import ANY, Algebra, Term
from .choices import Choices
from .faults import NotRead
from .symbols import Step, Symbol, read_step, read_symbol
from .tree import Accent, Digits, Fenced, Fraction, Grid, Group, Letter, Mark, Node, Root, Row, Scripted, Words, flat

_PRODUCTS = ("odot", "cdot", "times", "*", "otimes", "star")
FUNCTIONS = {
    "tanh": "tanh", "sigma": "sigmoid", "sigmoid": "sigmoid", "sigm": "sigmoid", "logistic": "sigmoid", "relu": "relu",
    "ReLU": "relu", "exp": "exp", "log": "log", "softmax": "softmax", "softplus": "softplus", "softsign": "softsign",
    "sin": "sin", "cos": "cos", "max": "max", "min": "min", "sign": "sign", "identity": "identity",
    "elu": "elu", "ELU": "elu",
    "silu": "silu", "SiLU": "silu", "gelu": "gelu", "GELU": "gelu", "sqrt": "sqrt", "abs": "abs", "swish": "silu",
    "layer_norm": "layer_norm", "LN": "layer_norm", "LayerNorm": "layer_norm", "leaky_relu": "leaky_relu",
    "LeakyReLU": "leaky_relu", "hard_sigmoid": "hard_sigmoid", "concat": "concat", "Concat": "concat", "cat": "concat",
    "diag": "diag", "Diag": "diag", "logsigmoid": "logsigmoid", "Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh",
    "erf": "erf", "log1p": "log1p", "expm1": "expm1", "square": "square", "rsqrt": "rsqrt", "floor": "floor", "mod": "mod",
    "RMSNorm": "rms_norm", "RMS": "rms_norm", "rms_norm": "rms_norm", "rmsnorm": "rms_norm", "L2Norm": "l2_norm",
    "l2_norm": "l2_norm", "l2norm": "l2_norm", "L2norm": "l2_norm", "layernorm": "layer_norm", "Layernorm": "layer_norm",
    "hardtanh": "hard_tanh", "hard_tanh": "hard_tanh", "HardTanh": "hard_tanh", "Hardtanh": "hard_tanh", "htanh": "hard_tanh",
    "hardsigmoid": "hard_sigmoid", "HardSigmoid": "hard_sigmoid", "Hardsigmoid": "hard_sigmoid", "hsigmoid": "hard_sigmoid",
    "softPlus": "softplus", "Softplus": "softplus", "SoftPlus": "softplus", "Softsign": "softsign", "Swish": "silu",
    "logsumexp": "logsumexp", "LogSumExp": "logsumexp", "LSE": "logsumexp", "LogSigmoid": "logsigmoid", "Exp": "exp",
    "sum": "sum", "mean": "mean", "cumsum": "cumsum", "clip": "clip", "clamp": "clip", "Abs": "abs", "Sign": "sign",
    "stop_gradient": "stop_gradient", "stopgradient": "stop_gradient", "stopgrad": "stop_gradient", "sg": "stop_gradient",
    "StopGradient": "stop_gradient", "StopGrad": "stop_gradient", "detach": "stop_gradient",
}
_REDUCING = ("sum", "mean", "logsumexp")  # over the last axis
_SEVERAL = ("max", "min", "mod", "clip")  # with several arguments
_UNNAMED = ("f", "g", "h", "phi", "psi", "rho", "act", "F", "G", "sigma", "Phi", "Psi", "varphi", "q", "theta")
"""Letters that stand for an activation where a bracket follows."""


class Meanings(Protocol):
    """What the symbols of a text stand for."""

    clock: str

    def value(self, symbol: Symbol, applied: str) -> Term | None:
        """The term of a symbol; None if it is not known. `applied`: how the symbol is used, for one that is drafted."""
        ...

    def activations(self) -> tuple[str, ...]:
        """The functions that a letter such as g may stand for, the likeliest first."""
        ...

    def special(self, items: Row, at: int) -> tuple[Term, int] | None:
        """What only derivations have (gradients, sums over time), and how many nodes it takes; None if there is none."""
        ...

    def fraction(self, fraction: Fraction) -> Term | None:
        """A derivative; None where the fraction is a quotient."""
        ...

    def is_timed(self) -> bool:
        """Whether the text tells steps."""
        ...


class Reader:
    """Reads rows of one equation."""

    def __init__(self, meanings: Meanings, algebra: Algebra, choices: Choices):
        self.meanings, self.algebra, self.choices = meanings, algebra, choices

    # ------------------------------------------------------------------ sums and products

    def row(self, row: Row, at: int) -> Term:
        """A sum of terms."""
        row = tuple(node for node in row if not (isinstance(node, Mark) and node.text in ("space", "quad", ",", "."))
                    ) if not _holds_commas(row) else row
        parts: list[tuple[bool, list[Node]]] = [(False, [])]
        for node in row:
            if isinstance(node, Mark) and node.text in ("+", "-"):
                if parts[-1][1]:
                    parts.append((node.text == "-", []))
                else:
                    parts[-1] = (parts[-1][0] != (node.text == "-"), [])
            else:
                parts[-1][1].append(node)
        terms = []
        for minus, nodes in parts:
            if not nodes:
                raise NotRead(at, "a sign stands alone")
            terms.append((minus, self.term(tuple(nodes))))
        return self.algebra.add(terms, at)

    def term(self, row: Row) -> Term:
        """A product: factors beside each other bind more tightly than those with a sign between them."""
        row = _with_fractions(row)
        for position, node in enumerate(row):
            if _is_mark(node, "sum", "prod", "int"):
                found = self.meanings.special(row[position:], node.at)
                if found is None:
                    raise NotRead(node.at, f"'{_shown(node)}' is not read here")
                return found[0] if position == 0 else self._product((*row[:position],), found[0])
        return self._product(row, None)

    def _product(self, row: Row, last: Term | None) -> Term:
        factors: list[list[Node]] = [[]]
        signs: list[str] = []
        for node in row:
            if isinstance(node, Mark) and node.text in (*_PRODUCTS, "/") and (
                    factors[-1] or node.text == "/"):
                factors.append([])
                signs.append(node.text)
            else:
                factors[-1].append(node)
        if last is not None and not factors[-1]:
            factors.pop()
        at = row[0].at
        if not all(factors):
            raise NotRead(at, "a factor is missing")
        terms = [self.beside(tuple(nodes)) for nodes in factors]
        if last is not None:
            terms.append(last)
            signs += [ANY] * (len(terms) - 1 - len(signs))
        while "/" in signs:
            place = signs.index("/")
            terms[place : place + 2] = [self.algebra.divide(terms[place], terms[place + 1])]
            signs.pop(place)
        return self.algebra.chain(terms, signs, at)

    def beside(self, row: Row) -> Term:
        """Factors beside each other."""
        terms: list[Term] = []
        position = 0
        while position < len(row):
            term, used = self.atom(row[position:])
            terms.append(term)
            position += used
        if not terms:
            raise NotRead(row[0].at if row else 0, "a factor is missing")
        return self.algebra.chain(terms, [ANY] * (len(terms) - 1), row[0].at)

    # ------------------------------------------------------------------ one factor

    def atom(self, row: Row) -> tuple[Term, int]:
        """The first factor of a row, and how many nodes it takes."""
        node = row[0]
        special = self.meanings.special(row, node.at)
        if special is not None:
            return special
        called = self._called(row)
        if called is not None:
            return called
        match node:
            case Digits(text=text):
                return self._number(text, node.at), 1
            case Fraction():
                return self.meanings.fraction(node) or self._quotient(node), 1
            case Root(body=body):
                return self._applied("sqrt", [self.row(body, node.at)], node.at), 1
            case Grid():
                return self._grid(node), 1
            case Fenced(open="(" | "[" | "{"):
                return self._fenced(node), 1
            case Fenced(open="|" | "floor" as opening):
                return self._applied("abs" if opening == "|" else "floor", [self.row(node.items, node.at)], node.at), 1
            case Fenced(open="<"):
                return self._pair(node), 1
            case Scripted(base=Fenced() | Grid() | Group() | Digits() | Fraction() | Root() as base):
                symbol = read_symbol(node, self.meanings.clock)
                if symbol is None:
                    return self._raised(self.atom((base,))[0], node), 1
            case Group(items=items) if read_symbol(node, self.meanings.clock) is None:
                if not items:
                    raise NotRead(node.at, "empty braces")
                return self.row(items, node.at), 1
            case Words(text=text):
                raise NotRead(node.at, f"the words '{text}' in an expression")
        return self._symbol(row)

    def _symbol(self, row: Row) -> tuple[Term, int]:
        node = row[0]
        symbol = read_symbol(node, self.meanings.clock)
        if symbol is None:
            raise NotRead(node.at, f"'{_shown(node)}' is not read here")
        used = 1
        step = step_behind(row, symbol, self.meanings.clock)
        if step is not None:
            symbol, used = replace(symbol, step=step), 2
        term = self.meanings.value(symbol, _use(row, used))
        if term is None:
            raise Unknown(symbol)
        if symbol.power:
            term = self.algebra.power(term, self._exponent(symbol.power))
        return term, used

    def _number(self, text: str, at: int) -> Term:
        value = parse_number(text)
        if value is None:
            raise NotRead(at, f"the number {text[:20]}")
        return Term(Number(value), (), at)

    def _exponent(self, row: Row) -> Expression:
        term = self.row(row, row[0].at)
        if term.shape:
            raise NotRead(row[0].at, "an exponent that is no number")
        return term.expression

    def _quotient(self, fraction: Fraction) -> Term:
        if not fraction.top or not fraction.bottom:
            raise NotRead(fraction.at, "a fraction with nothing above or below the line")
        return self.algebra.divide(self.row(fraction.top, fraction.at), self.row(fraction.bottom, fraction.at))

    def _raised(self, term: Term, node: Scripted) -> Term:
        """What stands above a bracket: a transpose, a power, a step that all of it has."""
        if node.primes:
            raise NotRead(node.at, "a prime behind a bracket")
        for script in (flat(node.sup),) if node.sup else ():
            if script in ("T", "\u22a4", "tr"):
                term = replace(self.algebra.transpose(term), parts=term.parts, blocks=term.blocks)
            elif script.startswith("-"):
                raise NotRead(node.at, "an inverse: the language of claims has none")
            elif script != "'" and read_step(script, self.meanings.clock, True) is None:
                term = self.algebra.power(term, self._exponent(node.sup))
            else:
                raise NotRead(node.at, f"'{script}' above a bracket")
        if node.sub:
            raise NotRead(node.sub[0].at, f"'{flat(node.sub)[:20]}' below a bracket")
        return term

    # ------------------------------------------------------------------ brackets and matrices

    def _fenced(self, node: Fenced) -> Term:
        if not node.items:
            raise NotRead(node.at, "empty brackets")
        rows = _cells(node.items, spaces=node.open == "[")
        if len(rows) == 1 and len(rows[0]) == 1:
            return self.row(rows[0][0], node.at)
        return self._cells(rows, node.at)

    def _pair(self, node: Fenced) -> Term:
        """`\\langle a, b \\rangle`, which is an outer product in some texts and an inner one in others."""
        cells = [cell for cells in _cells(node.items, spaces=False) for cell in cells]
        if len(cells) != 2 or not all(cells):
            raise NotRead(node.at, "angle brackets around what is no pair")
        one, other = (self.row(cell, cell[0].at) for cell in cells)
        if len(one.shape) != 1 or len(other.shape) != 1:
            raise NotRead(node.at, "angle brackets around what is no pair of vectors")
        told = ("'<a, b>' is read as an outer product", "'<a, b>' is read as an inner product")
        answer = self.choices.pick(("pair",), told if one.shape == other.shape else told[:1])
        return self.algebra.outer(one, other) if answer == 0 else Term(
            Call("dot", (one.expression, other.expression)), (), node.at)

    def _grid(self, node: Grid) -> Term:
        if node.kind in ("cases", "dcases", "rcases"):
            raise NotRead(node.at, "cases are not read within an expression", "write one equation for each case")
        if not node.rows:
            raise NotRead(node.at, "an empty matrix")
        rows = [list(row) for row in node.rows]
        if len(rows) == 1 and len(rows[0]) == 1:
            rows = [list(each) for each in _cells(rows[0][0], spaces=True)]
        return self._cells(rows, node.at)

    def _cells(self, rows: Sequence[Sequence[Row]], at: int) -> Term:
        for row in rows:
            for cell in row:
                if not cell:
                    raise NotRead(at, "an empty place in a matrix")
        read = [[self.row(cell, cell[0].at) for cell in row] for row in rows]
        if all(len(cell.shape) == 2 for row in read for cell in row):
            return Term(read[0][0].expression, read[0][0].shape, at, blocks=tuple(map(tuple, read)))
        flat_cells = [cell for row in read for cell in row]
        if len(read) > 1 and len(read[0]) > 1:
            raise NotRead(at, "a matrix whose entries are no matrices")
        return self.algebra.stack(flat_cells, at)

    # ------------------------------------------------------------------ functions

    def _called(self, row: Row) -> tuple[Term, int] | None:
        """A function and its argument; None where the row does not begin with one."""
        node = row[0]
        core = _core(node)
        if not isinstance(core, Letter):
            return None
        symbol = read_symbol(node, self.meanings.clock)
        if symbol is None:
            return None
        if symbol.base == "sech" and flat(symbol.power) == "2" and len(row) > 1:
            inner, used = self._arguments(row[1:], isinstance(row[1], Fenced))
            return self._applied("tanh", inner, node.at, 1), used + 1
        known = FUNCTIONS.get(symbol.base) if not symbol.accents else None
        behind = row[1] if len(row) > 1 else None
        bracket = behind.base if isinstance(behind, Scripted) else behind
        opens = isinstance(bracket, Fenced) and bracket.open in "([{"
        if known is not None and self._is_value(symbol, opens):
            known = None
        if known is None:
            if not opens or symbol.step is not None or symbol.base not in _UNNAMED or symbol.accents:
                return None
            if step_behind(row, symbol, self.meanings.clock) is not None:
                return None
            if self._is_value(symbol, False) and not self._function_meant(symbol, row):
                return None
            known = self._unnamed(symbol)
        elif symbol.marks and known == "sigmoid":
            known = self._unnamed(symbol)
        if behind is None:
            raise NotRead(node.at, f"'{symbol.base}' has no argument")
        argument, used = self._arguments(row[1:], opens)
        term = self._applied(known, argument, node.at, symbol.primes)
        if symbol.power:
            term = self.algebra.power(term, self._exponent(symbol.power))
        if opens and isinstance(behind, Scripted):
            term = self._raised(term, behind)
        return term, used + 1

    def _is_value(self, symbol: Symbol, opens: bool) -> bool:
        if symbol.base in FUNCTIONS and (opens or not symbol.step):
            return False
        return self.meanings.value(replace(symbol, primes=0, power=()), "ask") is not None

    def _function_meant(self, symbol: Symbol, row: Row) -> bool:
        """Whether `h(...)` is a function, where h is a value of the cell, too."""
        if symbol.primes:
            return True
        inside = flat(row[1].base.items if isinstance(row[1], Scripted) and isinstance(row[1].base, Fenced) else
                      row[1].items if isinstance(row[1], Fenced) else ())
        product_first = not self.meanings.is_timed() or inside.startswith("1-")
        told = (f"'{symbol.base}(...)' is read as a product", f"'{symbol.base}(...)' is read as a function")
        answer = self.choices.pick(("call", symbol.base, str(product_first)), told if product_first else told[::-1])
        return (answer == 1) == product_first

    def _unnamed(self, symbol: Symbol) -> str:
        options = self.meanings.activations()
        if symbol.base == "sigma" and "sigmoid" in options and symbol.marks not in (("h",), ("c",)):
            options = ("sigmoid", *(each for each in options if each != "sigmoid"))
        told = tuple(f"the function '{symbol.told()}' is read as {each}" for each in options)
        return options[self.choices.pick(("function", replace(symbol, primes=0).told()), told)]

    def _arguments(self, row: Row, opens: bool) -> tuple[list[Term], int]:
        """The arguments behind a function, and how many nodes they take."""
        if opens:
            bracket = row[0].base if isinstance(row[0], Scripted) else row[0]
            assert isinstance(bracket, Fenced)
            cells = [cell for cells in _cells(bracket.items, spaces=False) for cell in cells]
            if not all(cells) or not cells:
                raise NotRead(bracket.at, "a function without an argument")
            return [self.row(cell, bracket.at) for cell in cells], 1
        term, used = self.atom(row)
        while len(term.shape) == 2 and used < len(row):  # sigma W x
            more, count = self.atom(row[used:])
            term, used = self.algebra.multiply(term, more), used + count
        return [term], used

    def _applied(self, function: str, arguments: list[Term], at: int, primes: int = 0) -> Term:
        first = arguments[0]
        if function == "concat":
            return self.algebra.stack(arguments, at)
        if function == "diag":
            if len(first.shape) != 1 or len(arguments) > 1:
                raise NotRead(at, "diag takes one vector")
            return Term(Call("diag", (first.expression,)), first.shape * 2, at)
        wanted = len(TABLE[function].arguments) if function in _SEVERAL else 1
        if len(arguments) != wanted:
            raise NotRead(at, f"{function} of {len(arguments)} arguments")
        if primes > 1:
            raise NotRead(at, "a second derivative")
        if primes:
            return replace(first, expression=derivative(function, first.expression, at), at=at, parts=())
        if function in _REDUCING:
            if not first.shape:
                raise NotRead(at, f"{function} of a number")
            return Term(Call(function, (first.expression,)), first.shape[:-1], at)
        if function == "clip":
            if any(each.shape for each in arguments[1:]):
                raise NotRead(at, "clip takes two numbers for its bounds")
            return replace(first, expression=Call(function, tuple(each.expression for each in arguments)), at=at, parts=())
        shaped = self.algebra.add([(False, each) for each in arguments], at)  # all of one shape
        return replace(shaped, expression=Call(function, tuple(each.expression for each in arguments)), at=at, parts=())


class Unknown(NotRead):
    """A symbol that is not known."""

    def __init__(self, symbol: Symbol):
        several = "*" in symbol.marks or symbol.base in ("star", "cdot")
        super().__init__(symbol.at, *(
            (f"'{symbol.told()}' stands for several values at once", "write an equation for each of them") if several else
            (f"'{symbol.told()}' is no value of this cell", "--names says what a symbol means")))
        self.symbol = symbol


def derivative(function: str, argument: Expression, at: int) -> Expression:
    """The derivative of a function of one argument."""
    entry = TABLE.get(function)
    if function == "identity":
        return number(1)
    if isinstance(entry, Macro) or not isinstance(entry, Pointwise) or len(entry.arguments) != 1:
        raise NotRead(at, f"the derivative of {function} by a prime")
    text = entry.derivatives[0]
    body = parse(Text(text, Place(1, 1)), Mistakes("", text), internal=True)
    assert body is not None
    given = {"a": argument, "y": Call(function, (argument,))}
    return transform(body, lambda node: given.get(node.name) if isinstance(node, Value) else None)


# ---------------------------------------------------------------- the shape of a row


def _core(node: Node) -> Node:
    while isinstance(node, (Scripted, Accent, Group)):
        if isinstance(node, Group):
            if len(node.items) != 1:
                return node
            node = node.items[0]
        else:
            node = node.base if isinstance(node, Scripted) else node.body
    return node


def _is_mark(node: Node, *texts: str) -> bool:
    core = node.base if isinstance(node, Scripted) else node
    return isinstance(core, Mark) and core.text in texts


def _holds_commas(row: Row) -> bool:
    return any(isinstance(node, Mark) and node.text in (",", ";") for node in row[:-1])


def _cells(items: Row, spaces: bool) -> list[list[Row]]:
    """What stands between commas and semicolons; with `spaces`, also between wide spaces if nothing else separates."""
    commas = any(isinstance(node, Mark) and node.text in (",", ";", "||") for node in items)
    plain = not any(isinstance(node, Mark) and node.text in ("+", "-", *_PRODUCTS) for node in items)
    found: list[list[Node]] = [[]]
    for node in items:
        if isinstance(node, Mark) and (
                node.text in (",", ";", "||") or spaces and plain and not commas and node.text in ("space", "quad")):
            found.append([])
        elif not (isinstance(node, Mark) and node.text in ("space", "quad")):
            found[-1].append(node)
    kept = [tuple(part) for part in found if part or commas]
    return [kept] if kept else [[items]]


def _with_fractions(row: Row) -> Row:
    """`\\partial E / \\partial c_t` as a fraction."""
    for position, node in enumerate(row):
        if _is_mark(node, "/") and 0 < position < len(row) - 2 and _begins_derivative(row[position + 1]):
            start = position - 1
            while start >= 0 and not _begins_derivative(row[start]):
                start -= 1
            if start >= 0 and position - start <= 3:
                fraction = Fraction(row[start:position], row[position + 1 : position + 3], node.at)
                return _with_fractions((*row[:start], fraction, *row[position + 3 :]))
    return row


def _begins_derivative(node: Node) -> bool:
    return _is_mark(node, "partial") or isinstance(node, Letter) and node.text == "d"


def step_behind(row: Row, symbol: Symbol, clock: str) -> Step | None:
    """The step of `c(t-1)`."""
    if symbol.step is not None or len(row) < 2 or not isinstance(row[1], Fenced) or row[1].open not in "([":
        return None
    said = flat(row[1].items)
    return read_step(said, clock, False) if said[:1] in (clock[0], "T") else None


def _use(row: Row, used: int) -> str:
    """How a symbol is used: before a bracket or another symbol, or else."""
    behind = row[used] if used < len(row) else None
    return "before" if isinstance(behind, (Fenced, Letter, Scripted, Accent, Grid, Group)) else ""


def _shown(node: Node) -> str:
    text = flat((node,))
    return text if len(text) <= 30 else f"{text[:27]}..."
