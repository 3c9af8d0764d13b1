"""The fence: the text of an equation becomes an expression, or an error that says what is wrong with it.

Python's own parser reads the text. Then this module accepts a fixed list of node types and builds expressions from them.
Nothing is ever evaluated. Everything that is not on the list is refused: attributes, strings, lambdas, keywords,
comprehensions and all the rest.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from fractions import Fraction
from functools import cache
from typing import NoReturn

from ..errors import Mistakes, Place, Text
from . import functions
from .cures import function_cure, method_cure, reference_cure
from .expressions import (
    Call, Compare, Expression, MatVec, Negative, Number, Power, Product, Quotient, Sum, Value, negative,
    product,
)

DEEPEST = 60  # nested operators and calls in one expression
LONGEST = 4000  # characters in one expression
LARGEST_EXPONENT = 300  # of a decimal number, as in 1e-300
MOST_DIGITS = 40
LARGEST_POWER = 100  # of a literal exponent, as in a ** 3

_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_RELATIONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_OTHER_OPERATORS = {
    ast.BitXor: ("^", "write ** for a power"),
    ast.Mod: ("%", "write mod(a, b)"),
    ast.FloorDiv: ("//", "write floor(a / b)"),
    ast.BitAnd: ("&", None),
    ast.BitOr: ("|", None),
    ast.LShift: ("<<", None),
    ast.RShift: (">>", None),
}
# Characters and words that people type or copy, and what to write for them here.
_WRITTEN = {
    **dict.fromkeys("\u00b7\u00d7\u2217\u2218\u2219\u2299\u22c5", "*"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    "\u00f7": "/", "\u00b2": "** 2", "\u00b3": "** 3", "\u03c3": "sigmoid(...)", "\u2211": "sum(...)", "\u221a": "sqrt(...)",
    "\u00a0": "a plain space", "\u200b": "nothing in its place",
    "\u1d40": "transpose(...)", "\u22a4": "transpose(...)", "\u2264": "<=", "\u2265": ">=",
}
_LATEX = {"sigma": "sigmoid(...)", "odot": "*", "circ": "*", "cdot": "*", "times": "*", "sqrt": "sqrt(...)", "frac": "a / b",
          "top": "transpose(...)", "sum": "sum(...)"}
_CURES = {";": "an equation is one expression; concat(a, b) joins two vectors", "$": "write the expression without it"}
_OPERAND = r"\*\*|[-+*/@<>]"


def parse(
    text: Text,
    mistakes: Mistakes,
    own_functions: Collection[str] = (),
    lags: tuple[int, ...] = (-1,),
    internal: bool = False,
    readable: list[Expression] | None = None,
) -> Expression | None:
    """The expression in `text`; None if there is none, with the mistakes recorded.

    `own_functions` are the spec's functions. `lags` are the steps that are allowed in `name[t-1]`. `internal` allows the
    names that only derivatives use. Names are not resolved: each becomes a `Value`. If the text cannot be read as a
    whole, the parts that can be read are added to `readable`, so that mistakes in them are found, too.
    """
    return _Reader(text, mistakes, own_functions, lags, internal, [] if readable is None else readable).read()


def parse_number(text: str) -> Fraction | None:
    """The exact value of a decimal number; None if the text is no such number, or beyond the limits."""
    match = _NUMBER.match(text)
    if not match:
        return None
    exponent = int(match[2][1:]) if match[2] and len(match[2]) <= 6 else (0 if not match[2] else None)
    if exponent is None or abs(exponent) > LARGEST_EXPONENT or len(match[1]) > MOST_DIGITS:
        return None
    return Fraction(text)


class _Refused(Exception):
    """This part of the expression could not be read; the mistake is recorded already."""


class _Reader:
    def __init__(
        self, text: Text, mistakes: Mistakes, own_functions: Collection[str], lags: tuple[int, ...], internal: bool,
        readable: list[Expression],
    ):
        self.text, self.mistakes, self.readable = text, mistakes, readable
        self.own_functions, self.lags, self.internal = own_functions, lags, internal

    def read(self) -> Expression | None:
        try:
            return self._build(self._tree(), 0)
        except _Refused:
            return None

    # ------------------------------------------------------------------ text -> Python's tree

    def _tree(self) -> ast.expr:
        source = self.text.value
        if len(source) > LONGEST:
            self._refuse(0, f"the expression has {len(source)} characters, more than {LONGEST}",
                         "split it into several equations")
        for offset, char in enumerate(source):
            if char > "~":
                cure = _WRITTEN.get(char)
                self._refuse(offset, f"the character '{char}' (U+{ord(char):04X}) is not ASCII",
                             f"write {cure}" if cure else "names and operators are ASCII")
            if not (char in "\n\t" or " " <= char):
                self._refuse(offset, f"the control character {char!r}", "remove it")
        self._refuse_deep_nesting(source)
        flat = source.replace("\n", " ").replace("\t", " ")
        lead = len(flat) - len(flat.lstrip())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python warns about text that is refused below anyway
                return _shifted(ast.parse(flat.strip(), mode="eval").body, lead)
        except SyntaxError as error:
            self._refuse_syntax(flat, error, lead)
        except (ValueError, MemoryError, RecursionError):
            self._refuse(0, "the expression cannot be read", "write it more simply")

    def _refuse_deep_nesting(self, source: str) -> None:
        """Refuse deep nesting, because Python's parser is recursive."""
        depth = run = 0
        for offset, char in enumerate(source):
            depth += (char in "([{") - (char in ")]}")
            run = run + 1 if char in "-+~" else (run if char == " " else 0)
            if depth > DEEPEST or run > DEEPEST:
                self._refuse(offset, f"the expression is nested deeper than {DEEPEST}",
                             "split it into several equations")

    def _refuse_syntax(self, source: str, error: SyntaxError, lead: int) -> NoReturn:
        offset = max((error.offset or 1) - 1 + lead, 0)
        if not source.strip():
            self._refuse(0, "an empty expression")
        word = re.search(r"\blambda\b|\bimport\b|\bif\b|\belse\b|\bfor\b|\bin\b|\bis\b|:=|=(?!=)|;|!|\$|\?|`", source)
        if word and word[0] == "=" and source[word.start() - 1] not in "<>!=":
            self._refuse(word.start(), "'=' inside an expression", "an equation is written 'name: expression'")
        if source.count("(") != source.count(")"):
            self._refuse(offset, "the parentheses do not match", "every ( needs a )")
        if word:
            self._refuse(word.start(), f"'{word[0]}' is not part of the language", _CURES.get(word[0]))
        self._refuse_what_was_copied(source)
        after = re.search(rf"({_OPERAND})\s*(?=$|[),])", source)
        if after:
            self._refuse(after.start(1), f"there is nothing after '{after[1]}'", "write its operand, or remove it")
        before = re.search(r"(?:^|[(,])\s*(\*\*|[*/@<>])", source)
        if before:
            self._refuse(before.start(1), f"there is nothing before '{before[1]}'",
                         "write its operand, or remove it")
        juxtaposed = re.search(
            r"[A-Za-z0-9_\])]\s+[A-Za-z0-9_(]|[\])][A-Za-z0-9_]|(?<![\w.])\d+\.?\d*(?![eE][-+]?\d)[A-Za-z_]", source)
        if juxtaposed:
            self._refuse(juxtaposed.end() - 1, "two operands without an operator between them",
                         "write * for an elementwise product and @ for a matrix times a vector")
        self._refuse(offset, "the expression cannot be read from here on")

    def _refuse_what_was_copied(self, source: str) -> None:
        """Refuse what papers write and Python cannot read."""
        step = re.search(r"([A-Za-z][A-Za-z0-9_]*?)_?\{\s*t\s*(?:-\s*(\d+)\s*)?\}", source)
        if step:
            back = f"{step[1]}[t-{step[2]}]" if step[2] else step[1]
            self._refuse(step.start(), f"'{step[0][:40]}' is LaTeX", f"write {back}")
        command = re.search(r"\\([A-Za-z]*)", source)
        if command:
            word = command[1]
            cure = _LATEX.get(word) or (f"{word}(...)" if word in functions.PUBLIC else "names without it")
            self._refuse(command.start(), f"'{command[0][:40]}' is LaTeX", f"write {cure}")
        prime = re.search(r"[A-Za-z0-9_)\]]'", source)
        if prime:
            self._refuse(prime.end() - 1, "a prime is not part of a name or an operator",
                         "write transpose(W) for a transpose")
        brace = re.search(r"[{}]", source)
        if brace:
            self._refuse(brace.start(), f"'{brace[0]}' is not part of the language", "parentheses are ( and )")
        percent = re.search(r"\d\s*%", source)
        if percent:
            self._refuse(percent.end() - 1, "'%' is not part of the language", "write 0.5 for 50 %")

    # ------------------------------------------------------------------ Python's tree -> expression

    def _build(self, node: ast.expr, depth: int) -> Expression:
        if depth > 2 * DEEPEST:
            self._refuse(node.col_offset, f"the expression is nested deeper than {2 * DEEPEST}",
                         "split it into several equations")
        at = node.col_offset
        match node:
            case ast.Constant():
                return self._number(node)
            case ast.Name(id=name):
                return self._name(name, at)
            case ast.Subscript():
                return self._lagged(node)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                built = self._build(operand, depth + 1)
                return Number(-built.value, at) if isinstance(built, Number) else Negative(built, at)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._build(operand, depth + 1)
            case ast.BinOp():
                return self._binary(node, depth)
            case ast.Call():
                return self._call(node, depth)
            case ast.Compare():
                self._refuse(at, "a comparison outside of 'where'", "write where(a < b, u, v)")
        self._refuse_node(node)

    def _number(self, node: ast.Constant) -> Number:
        at = node.col_offset
        written = self.text.value[at : node.end_col_offset]
        if isinstance(node.value, (bool, str, bytes, complex)) or node.value is None or node.value is Ellipsis:
            self._refuse(at, f"{written[:20]} is not a number", "an expression holds names, numbers, operators and calls")
        value = parse_number(written)
        if value is None:
            self._refuse(at, f"the number {written[:20]} cannot be read: decimal, at most {MOST_DIGITS} digits and an "
                             f"exponent of at most {LARGEST_EXPONENT}")
        return Number(value, at)

    def _name(self, name: str, at: int) -> Expression:
        return Value(name, 0, at)

    def _lagged(self, node: ast.Subscript) -> Expression:
        at = node.col_offset
        written = self.text.value[at : node.end_col_offset]
        if not isinstance(node.value, ast.Name):
            self._refuse(at, f"'{written[:40]}': only a name can be read at another step", "give it a name of its own")
        name, index = node.value.id, node.slice
        match index:
            case ast.Name(id="t"):
                lag = 0
            case ast.BinOp(left=ast.Name(id="t"), op=ast.Sub() | ast.Add(), right=ast.Constant(value=int(steps))) if (
                not isinstance(steps, bool)
            ):
                lag = -steps if isinstance(index.op, ast.Sub) else steps
            case ast.Constant(value=str(key)):
                self._refuse(at, f"'{written[:40]}': a name stands alone", f"write {key}" if key.isidentifier() else None)
            case _:
                if name in functions.PUBLIC or name in self.own_functions:
                    self._refuse(at, f"'{name}' is a function", f"write {name}(...)")
                self.readable.append(Value(name, 0, at))
                self._refuse(index.col_offset, f"'{written[:40]}': the step is written t-1",
                             f"write {name}[t-1] for the previous step; part(a, k, n) takes a part of a vector")
        if lag != 0 and lag not in self.lags:
            if lag < 0:
                cure = f"keep it in another state: '{name}_old: {name}[t-1]', then read {name}_old[t-1]"
            else:
                cure = "an equation reads the current step and the one before"
            self.readable.append(Value(name, 0, at))
            away = "a step" if abs(lag) == 1 else f"{abs(lag)} steps" if abs(lag) < 1000 else "too many steps"
            self._refuse(at, f"'{written[:40]}' is {away} {'back' if lag < 0 else 'ahead'}", cure)
        return Value(name, lag, at)

    def _binary(self, node: ast.BinOp, depth: int) -> Expression:
        spine = self._left_spine(node)
        if spine is not None:
            return spine(depth)
        if isinstance(node.op, ast.BitXor) and re.match(r"\s*\(?\s*T\b", self.text.value[_end(node.left) + 1:]):
            self.readable.append(self._build(node.left, depth + 1))
            matrix = node.left  # in Python ^ has the lowest precedence: W @ x + R^T is (W @ x + R)^T, and R^T is meant
            while isinstance(matrix, ast.BinOp) and self.text.value[_end(matrix)] != ")":
                matrix = matrix.right
            self._refuse(self._operator_place(node, "^"), "'^' is not an operator of the language",
                         f"write transpose({ast.unparse(matrix)[:30]})")
        left, right = self._each([node.left, node.right], depth)
        at = node.col_offset
        match node.op:
            case ast.Div():
                return Quotient(left, right, at)
            case ast.Pow():
                if isinstance(right, Number) and abs(right.value) > LARGEST_POWER:
                    self.readable.append(left)
                    self._refuse(node.right.col_offset, f"an exponent beyond {LARGEST_POWER}")
                return Power(left, right, at)
            case ast.MatMult():
                return MatVec(left, right, at)
        self.readable += left, right
        written, cure = _OTHER_OPERATORS.get(type(node.op), ("this operator", None))
        self._refuse(self._operator_place(node, written), f"'{written}' is not an operator of the language", cure)

    def _operator_place(self, node: ast.BinOp, written: str) -> int:
        found = self.text.value.find(written, node.left.end_col_offset)
        return found if found >= 0 else node.col_offset

    def _left_spine(self, node: ast.BinOp) -> Callable[[int], Expression] | None:
        """a + b - c + ... and a * b * ... become one node each. A loop, not a recursion, because a sum may be long."""
        additive = (ast.Add, ast.Sub)
        kinds = additive if isinstance(node.op, additive) else (ast.Mult,) if isinstance(node.op, ast.Mult) else None
        if kinds is None:
            return None
        operands = []
        walker: ast.expr = node
        while isinstance(walker, ast.BinOp) and isinstance(walker.op, kinds):
            operands.append((walker.op, walker.right))
            walker = walker.left
        operands.append((kinds[0](), walker))
        operands.reverse()

        def build(depth: int) -> Expression:
            built = self._each([operand for _, operand in operands], depth)
            parts = [negative(part) if isinstance(operator, ast.Sub) else part
                     for (operator, _), part in zip(operands, built)]
            if kinds is additive:
                return Sum(tuple(parts), node.col_offset)
            named = [part for part in parts if not isinstance(part, Number)]
            made = product(*parts)
            if named and isinstance(made, Number):  # 0 * v is a vector of zeros, and reads v
                made = Product((made, *named))
            return _placed(made, node.col_offset)

        return build

    def _each(self, operands: list[ast.expr], depth: int, where: bool = False) -> list[Expression]:
        """All operands; if some are refused, all are checked first. `where`: the first one is a comparison."""
        built, refused = [], False
        for position, operand in enumerate(operands):
            try:
                compared = where and position == 0
                built.append(self._comparison(operand, depth) if compared else self._build(operand, depth + 1))
            except _Refused:
                refused = True
        if refused:
            self.readable += built
            raise _Refused
        return built

    def _call(self, node: ast.Call, depth: int) -> Expression:
        at = node.col_offset
        match node.func:
            case ast.Name(id=name):
                pass
            case ast.Attribute(attr=name, value=on):
                dot = self.text.value.rfind(".", 0, node.func.end_col_offset)
                self._refuse(dot, "'.' is not part of the language",
                             method_cure(name, self._written(on), self._texts(node.args), self._known()))
            case _:
                self._refuse(at, "only a function of the language can be called")
        match node.args:
            case [ast.BinOp(left=ast.Name(id="t"), op=ast.Sub() | ast.Add(), right=ast.Constant())] if (
                name not in functions.PUBLIC and name not in self.own_functions
            ):
                self.readable.append(Value(name, 0, at))
                self._refuse(at, f"there is no function '{name}'", f"write {name}[t-1], in brackets, for the previous step")
        if node.keywords:
            along = node.keywords[0].arg in ("axis", "dim", "keepdims", "keepdim")
            self._refuse(node.keywords[0].value.col_offset, f"'{name}' takes no keyword arguments",
                         f"{name}(a) acts along the last axis" if along and name in functions.PUBLIC else None)
        try:
            self._check_function(name, node)
        except _Refused:
            with suppress(_Refused):  # the arguments are checked, too
                self.readable += self._each(node.args, depth, name == functions.WHERE)
            raise
        return Call(name, tuple(self._each(node.args, depth, name == functions.WHERE)), at)

    def _check_function(self, name: str, node: ast.Call) -> None:
        count, at = len(node.args), node.col_offset
        if name in self.own_functions:
            return  # derivation/reading.py checks the number of arguments, because it has the definitions
        public = name in functions.PUBLIC
        if not public and not (self.internal and name in functions.TABLE):
            self._refuse(at, f"there is no function '{name}'", function_cure(name, self._texts(node.args), self._known()))
        fewest, most = functions.arity(name)
        if count < fewest or (most is not None and count > most):
            wanted = f"{fewest}" if most == fewest else f"{fewest} or more" if most is None else f"{fewest} or {most}"
            plural = "" if wanted == "1" else "s"
            self._refuse(at, f"'{name}' takes {wanted} argument{plural}, found {count}")

    def _known(self) -> list[str]:
        return [*functions.PUBLIC, *self.own_functions]

    def _texts(self, nodes: Iterable[ast.expr]) -> list[str]:
        return list(map(self._written, nodes))

    def _written(self, node: ast.expr) -> str:
        return " ".join(self.text.value[node.col_offset:node.end_col_offset].split())

    def _comparison(self, node: ast.expr, depth: int) -> Compare:
        at = node.col_offset
        if not isinstance(node, ast.Compare):
            self._refuse(at, "the first argument of 'where' is a comparison", "write where(a < b, u, v)")
        if len(node.ops) != 1:
            self._refuse(at, "'where' takes one comparison", "nest two of them: where(a < b, where(b < c, u, v), v)")
        relation = _RELATIONS.get(type(node.ops[0]))
        if relation is None:
            self._refuse(at, "'where' compares by one of < <= > >=")
        left, right = self._each([node.left, node.comparators[0]], depth)
        return Compare(relation, left, right, at)

    def _refuse_node(self, node: ast.expr) -> NoReturn:
        at = node.col_offset
        match node:
            case ast.Attribute(attr=name):
                dot = self.text.value.rfind(".", 0, node.end_col_offset)
                self._refuse(dot, "'.' is not part of the language", reference_cure(name, self._written(node.value)))
            case ast.IfExp():
                self._refuse(at, "'if ... else' is not part of the language", "write where(a < b, u, v)")
            case ast.BoolOp() | ast.UnaryOp():
                self._refuse(at, "logical operators are not part of the language", "nest two 'where'")
            case ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
                self._refuse(at, "lists are not part of the language", "concat(a, b) joins two vectors")
        self._refuse(at, "this is not part of the language: an expression holds names, numbers, + - * / ** @ and calls")

    def _refuse(self, offset: int, message: str, cure: str | None = None) -> NoReturn:
        self.mistakes.add(self.text.at(offset), message, cure)
        raise _Refused


def _shifted(tree: ast.expr, lead: int) -> ast.expr:
    """Offsets as in the text with its leading blanks."""
    if lead:
        for node in ast.walk(tree):
            if isinstance(node, ast.expr):
                node.col_offset, node.end_col_offset = node.col_offset + lead, _end(node) + lead
    return tree


def _end(node: ast.expr) -> int:
    """Where a node's text ends. (Only nodes that are not made by a parser do not know it.)"""
    assert node.end_col_offset is not None
    return node.end_col_offset


def _placed(expression: Expression, at: int) -> Expression:
    match expression:
        case Product(factors=factors):
            return Product(factors, at)
        case Negative(operand=operand):
            return Negative(operand, at)
    return expression


@cache
def parse_rule(text: str) -> Expression:
    """A derivative in the table of functions. In it `d` is the upstream adjoint and `n` a size."""
    mistakes = Mistakes("functions.py", text)
    expression = parse(Text(text, Place(1, 1)), mistakes, internal=True)
    mistakes.stop()
    assert expression is not None
    return expression


