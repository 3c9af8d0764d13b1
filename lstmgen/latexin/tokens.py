"""The text of a formula -> tokens, each with its place in the file.

Nothing of TeX runs. A macro that the file defines with a plain `\\newcommand` or `\\def` is replaced by its body, within
limits; everything else that changes how TeX reads is refused by name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .faults import NotRead

MOST_TOKENS = 4000  # of one formula, macros expanded
DEEPEST_MACRO = 12

LETTER, COMMAND, DIGITS, SIGN = "letter", "command", "digits", "sign"

WORDS = """
    leaky_relu hard_sigmoid layer_norm logsigmoid softplus softsign softmax sigmoid logistic identity concat tanh relu ReLU
    diag exp log sigm prev next Error Loss sum net
""".split()
"""Words that people type without a command, in letters."""

_TOKEN = re.compile(
    r"%[^\n]*\n?|<!--.*?(?:-->|\Z)|\\([A-Za-z]+)\*?[ \t]*|\\(\n|.)|(?<![A-Za-ce-z])(" + "|".join(WORDS) + r")(?![A-Za-z])"
    r"|(\d+(?:\.\d+)?|\.\d+)|([A-Za-z])|(\s+)|(.)",
    re.DOTALL,
)
_LT = re.compile(r"&(lt|gt|amp);")

_UNICODE = {
    "\u2299": r"\odot", "\u2218": r"\circ", "\u00b7": r"\cdot", "\u22c5": r"\cdot", "\u2219": r"\cdot", "\u2217": "*",
    "\u00d7": r"\times", "\u2297": r"\otimes", "\u2202": r"\partial", "\u2207": r"\nabla", "\u2211": r"\sum",
    "\u2212": "-", "\u2013": "-", "\u22a4": r"\top", "\u2032": "'", "\u2019": "'", "\u2115": "N", "\u27e8": r"\langle",
    "\u27e9": r"\rangle", "\u2264": r"\le", "\u2265": r"\ge", "\u2261": "=", "\u2254": r"\coloneqq", "\u2190": r"\leftarrow",
    "\u2208": r"\in", "\u2248": r"\approx", "\u221d": r"\propto", "\u2026": r"\dots",
}
_RAISED = {"\u1d40": r"^\top", "\u1d57": "^t", "\u207a": "^+", "\u207b": "^-", "\u209c": "_t", "\u208a": "_+", "\u208b": "_-",
           **{char: f"^{digit}" for digit, char in enumerate("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")},
           **{chr(0x2080 + digit): f"_{digit}" for digit in range(10)},
           "\u1d62": "_i", "\u2095": "_h", "\u2093": "_x", "\u2092": "_o"}

REFUSED = frozenset(
    """
    def gdef edef xdef let futurelet catcode csname endcsname expandafter noexpand input include openin openout read write
    immediate loop repeat newif ifx if else fi newcommand renewcommand providecommand DeclareMathOperator special
    directlua lua uppercase lowercase afterassignment aftergroup everymath includegraphics usepackage verb
    """.split()
)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str  # of a command without its backslash
    at: int  # offset in the file


@dataclass(frozen=True)
class Macro:
    """A command that the file defines."""

    arguments: int
    body: tuple[Token, ...]
    at: int


Macros = Mapping[str, Macro]


def tokens(text: str, start: int, end: int, macros: Macros) -> list[Token]:
    """The tokens of a part of a file. Raises `NotRead` beyond the limits."""
    found: list[Token] = []
    for token in _expanded(iter(_plain(text, start, end)), macros, 0, [0]):
        found.append(token)
        if len(found) > MOST_TOKENS:
            raise NotRead(start, f"the formula has more than {MOST_TOKENS} parts")
    return found


def _plain(text: str, start: int, end: int) -> Iterator[Token]:
    """Tokens without macros expanded. Comments and spaces are left out."""
    at = start
    while at < end:
        entity = _LT.match(text, at, end)
        if entity:
            yield Token(SIGN, {"lt": "<", "gt": ">", "amp": "&"}[entity[1]], at)
            at = entity.end()
            continue
        match = _TOKEN.match(text, at, end)
        if match is None:
            return
        command, escaped, word, digits, letter, space, other = match.groups()
        if command is not None or escaped is not None:
            yield Token(COMMAND, command or escaped, at)
        elif word or letter:
            yield Token(LETTER, word or letter, at)
        elif digits:
            yield Token(DIGITS, digits, at)
        elif other:
            yield from _sign(other, at)
        at = match.end()


def _sign(char: str, at: int) -> Iterator[Token]:
    name = unicodedata.name(char, "")
    greek = re.match(r"GREEK (SMALL|CAPITAL) LETTER (?:FINAL )?([A-Z]+)\Z", name)
    if char in _RAISED:
        script = _RAISED[char]
        yield Token(SIGN, script[0], at)
        yield Token(COMMAND, "top", at) if script[1:] == r"\top" else (
            Token(DIGITS if script[1].isdigit() else LETTER if script[1].isalpha() else SIGN, script[1:], at))
    elif char in _UNICODE:
        meant = _UNICODE[char]
        yield Token(COMMAND, meant[1:], at) if meant.startswith("\\") else Token(SIGN, meant, at)
    elif greek:
        yield Token(COMMAND, greek[2].lower() if greek[1] == "SMALL" else greek[2].capitalize(), at)
    else:
        yield Token(SIGN, char, at)


def _expanded(stream: Iterator[Token], macros: Macros, depth: int, spent: list[int]) -> Iterator[Token]:
    for token in stream:
        spent[0] += 1
        if spent[0] > 4 * MOST_TOKENS:
            raise NotRead(token.at, "its macros make it longer than any formula")
        macro = macros.get(token.text) if token.kind == COMMAND else None
        if macro is None:
            if token.kind == COMMAND and token.text in REFUSED:
                raise NotRead(token.at, f"\\{token.text} is not read: LaTeX is data here, and nothing of it runs")
            yield token
            continue
        if depth >= DEEPEST_MACRO:
            raise NotRead(token.at, f"the macro \\{token.text} stands in itself, or more than {DEEPEST_MACRO} deep in others")
        given = [_argument(stream, token) for _ in range(macro.arguments)]
        body = _filled(macro, given, token.at, spent)
        yield from _expanded(iter(body), macros, depth + 1, spent)


def _argument(stream: Iterator[Token], macro: Token) -> list[Token]:
    first = next(stream, None)
    if first is None:
        raise NotRead(macro.at, f"\\{macro.text} lacks an argument")
    if first.text != "{" or first.kind != SIGN:
        return [first]
    taken: list[Token] = []
    level = 1
    for token in stream:
        level += {"{": 1, "}": -1}.get(token.text, 0) if token.kind == SIGN else 0
        if not level:
            return taken
        taken.append(token)
    raise NotRead(macro.at, f"an argument of \\{macro.text} has no end")


def _filled(macro: Macro, given: list[list[Token]], at: int, spent: list[int]) -> list[Token]:
    """The body with its arguments put in. All of it stands where the macro is used."""
    filled: list[Token] = []
    body = iter(macro.body)
    for token in body:
        if token.kind == SIGN and token.text == "#":
            digit = next(body, None)
            number = int(digit.text) if digit is not None and digit.kind == DIGITS and len(digit.text) == 1 else 0
            if not 1 <= number <= len(given):
                raise NotRead(at, "a macro's body names an argument that it does not have")
            filled += given[number - 1]
        else:
            filled.append(Token(token.kind, token.text, at))
        if len(filled) > MOST_TOKENS:
            raise NotRead(at, "its macros make it longer than any formula")
    spent[0] += len(filled)
    return filled
