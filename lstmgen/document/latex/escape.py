r"""Plain text of a spec, escaped for TeX: letters stay letters, and nothing in it is a command."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby, pairwise

from ..symbols import GREEK

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
    """A letter with its accents: those above first, because those below can be put under anything."""
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
