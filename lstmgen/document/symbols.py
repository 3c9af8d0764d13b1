"""A symbol, and how a name or a text of a mapping is read as a symbol.

No text of a spec reaches TeX through this file: a symbol is made of letters, digits and a fixed list of commands.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

GREEK = frozenset(
    """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi
    psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
    """.split()
)
ACCENTS = ("bar", "hat", "tilde")

SUBSCRIPT, SUPERSCRIPT, ANGLE = "subscript", "superscript", "angle"  # where the step stands: c_t, c^t, c^<t>


@dataclass(frozen=True)
class Symbol:
    """A letter with accents and scripts, in LaTeX, without weight and step."""

    base: str  # a letter, a Greek command, or a word, which is set upright
    accents: tuple[str, ...] = ()  # from the inside out
    sub: tuple[str, ...] = ()
    sup: tuple[str, ...] = ()

    def spell(self, bold: bool, step: str | None = None, style: str = SUBSCRIPT) -> str:
        """The LaTeX of the symbol at a step; without a step if that is None."""
        body = self._letter(bold)
        for accent in self.accents:
            body = rf"\{accent}{{{body}}}"
        above, below = self.sup, self.sub
        if step is not None and style == SUBSCRIPT:
            below = (*below, step)
        elif step is not None:
            below = (*below, *above)  # an exponent would stand beside the step: everything else goes down
            above = (rf"\langle {step}\rangle" if style == ANGLE else step,)
        return body + _script("^", above) + _script("_", below)

    def has_superscript(self, step: str | None, style: str) -> bool:
        return bool(self.sup) if style == SUBSCRIPT or step is None else True

    def _letter(self, bold: bool) -> str:
        if len(self.base) > 1 and not self.base.startswith("\\"):
            return rf"\mathbf{{{self.base}}}" if bold else rf"\mathrm{{{self.base}}}"
        return rf"\bm {self.base}" if bold and not self.base.startswith("\\") else (
            rf"\bm{self.base}" if bold else self.base)


_COMMANDS = {
    **{rf"\{name}": chr(code) for names, first in (
        ("alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho", 0x3B1),
        ("sigma tau upsilon phi chi psi omega", 0x3C3),
        ("Alpha Beta Gamma Delta Epsilon Zeta Eta Theta Iota Kappa Lambda Mu Nu Xi Omicron Pi Rho", 0x391),
        ("Sigma Tau Upsilon Phi Chi Psi Omega", 0x3A3),
    ) for code, name in enumerate(names.split(), first)},
    r"\star": "⋆", r"\ell": "ℓ",
}
_UPRIGHT = re.compile(r"\\mathrm\{(\w+)\}\Z")


def characters(base: str) -> str:
    """The letter or word of a symbol without LaTeX."""
    return _COMMANDS.get(base, base.lstrip("\\"))


def script_characters(script: str) -> tuple[str, bool]:
    """A sub- or superscript without LaTeX, and whether it is a word, which stands upright."""
    upright = _UPRIGHT.match(script)
    return (upright[1], True) if upright else (_COMMANDS.get(script, script), False)


def _script(sign: str, parts: tuple[str, ...]) -> str:
    if not parts:
        return ""
    text = ",".join(parts)
    return sign + (text if len(text) == 1 else f"{{{text}}}")


# ---------------------------------------------------------------- names as symbols

_WORD = re.compile(r"([A-Za-z]+)([0-9]*)\Z")


def read_name(name: str, known: Collection[str] = ()) -> Symbol:
    """The symbol that a name suggests. With i and f among the `known` names, `R_if` has two subscripts."""
    first, *rest = [part for part in name.split("_") if part] or [name]
    accents = tuple(part for part in rest if part in ACCENTS)
    sub = [_part(part, known) for part in rest if part not in ACCENTS]
    match = _WORD.match(first)
    if match is None:
        return Symbol(first, accents, tuple(sub))
    word, digits = match.groups()
    if digits:
        sub.insert(0, digits)
    return Symbol(rf"\{word}" if word in GREEK else word, accents, tuple(sub))


def _part(text: str, known: Collection[str]) -> str:
    """A subscript: a digit or a letter as it is, a run of the cell's letters in italics, a word upright."""
    if text.isdigit() or (len(text) == 1 and text != "t"):  # t alone is the step
        return text
    if len(text) in (2, 3) and all(letter in known for letter in text):
        return text
    if text in GREEK:
        return rf"\{text}"
    return rf"\mathrm{{{text}}}"


# ---------------------------------------------------------------- symbols in a mapping

_TOKEN = re.compile(r"\s*([A-Za-z]+|[0-9]+|[_^{}(),*])")
SYMBOL_CURE = ("a symbol is one letter or a Greek letter's name, with 'bar', 'hat' or 'tilde', "
                "_sub and ^sup, as in 'Gamma_f', 'c tilde', 'W_{xi}'")


class BadSymbol(Exception):
    """A text in a mapping that is not a symbol."""


def read_symbol(text: str, known: Collection[str] = ()) -> Symbol:
    """The symbol that a text in a spec's mapping describes."""
    return _SymbolReader(text, known).read()


class _SymbolReader:
    def __init__(self, text: str, known: Collection[str]):
        self.text, self.known = text, known
        self.tokens: list[str] = []
        end = 0
        while end < len(text.rstrip()):
            match = _TOKEN.match(text, end)
            if not match:
                raise BadSymbol(f"{text[end:].strip()[0]!r} is not allowed in a symbol")
            self.tokens.append(match[1])
            end = match.end()

    def read(self) -> Symbol:
        outer: list[str] = []
        while self._next() in ACCENTS:
            outer.insert(0, self._take())
        opened = bool(outer) and self._accept("(", "{")
        base = self._base()
        accents: list[str] = []
        sub: list[str] = []
        sup: list[str] = []
        while self.tokens:
            token = self._take()
            if opened and token in (")", "}"):
                opened = False
            elif token in ACCENTS or (token == "_" and self._next() in ACCENTS):
                accents.append(token if token in ACCENTS else self._take())
            elif token in ("_", "^"):
                (sub if token == "_" else sup).extend(self._group())
            else:
                raise BadSymbol(f"'{token}' is at a wrong place in '{self.text}'")
        if opened:
            raise BadSymbol(f"'{self.text}' lacks a closing bracket")
        return Symbol(base, (*accents, *outer), tuple(sub), tuple(sup))

    def _base(self) -> str:
        word = self._take()
        if word in GREEK:
            return rf"\{word}"
        if len(word) != 1 or not word.isalpha():
            found = f"'{word}' is neither one letter nor a Greek letter's name"
            raise BadSymbol(found if word else f"'{self.text}' has no letter")
        return word

    def _group(self) -> list[str]:
        if not self._accept("{"):
            return [self._index(self._take(), in_braces=False)]
        parts = []
        while self._next() not in ("}", ""):
            token = self._take()
            if token != ",":
                parts.append(self._index(token, in_braces=True))
        if not self._accept("}"):
            raise BadSymbol(f"'{self.text}' lacks a closing bracket")
        if not parts:
            raise BadSymbol(f"'{self.text}' has empty braces")
        return parts

    def _index(self, token: str, in_braces: bool) -> str:
        """One index. Two letters are two indices; xi, nu, mu and pi are so in braces only."""
        if token == "*":
            return r"\star"
        if not token.isalnum():
            raise BadSymbol(f"'{token}' is not an index" if token else f"'{self.text}' ends too early")
        if token.isalpha() and len(token) == 2 and (in_braces or token not in GREEK):
            return token
        return _part(token, self.known)

    def _next(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def _take(self) -> str:
        return self.tokens.pop(0) if self.tokens else ""

    def _accept(self, *tokens: str) -> bool:
        if self._next() in tokens:
            self.tokens.pop(0)
            return True
        return False
