"""A file of LaTeX, Markdown or a notebook -> its formulas, where each stands, and what the first comment says."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..errors import Mistakes, Place, SpecError
from .faults import NotRead
from .tokens import Macro, Token, _plain

MOST_BYTES = 2_000_000
MOST_FORMULAS = 2000
LONGEST = 20_000  # characters of one formula

ENVIRONMENTS = ("equation", "align", "alignat", "gather", "multline", "flalign", "eqnarray", "displaymath", "math", "dmath")
_SKIPPED = ("verbatim", "lstlisting", "minted", "comment", "tikzpicture", "algorithmic", "algorithm")

_TEX = re.compile(
    r"(?P<comment>(?<!\\)%[^\n]*)"
    r"|(?P<escaped>\\[$%&#_{}])"
    r"|\\begin\s*\{(?P<env>[A-Za-z]+)\*?\}"
    r"|(?P<display>\$\$|\\\[)"
    r"|(?P<inline>\$|\\\()"
    r"|\\(?P<definition>newcommand|renewcommand|providecommand|def|DeclareMathOperator)\b\*?"
    r"|\\(?P<other>input|include|subfile)\b\s*(?:\{[^{}\n]*\}|\S*)"
)
_MARKDOWN = re.compile(
    r"(?P<comment><!--.*?(?:-->|\Z))"
    r"|(?P<fence>^[ \t]*(?:```|~~~)[^\n]*$)"
    r"|(?P<code>`+)"
    r"|(?P<escaped>\\\$)"
    r"|\\begin\s*\{(?P<env>[A-Za-z]+)\*?\}"
    r"|(?P<display>\$\$|\\\\\[|\\\[)"
    r"|(?P<inline>\$|\\\\\(|\\\()"
    r"|\\(?P<definition>newcommand|renewcommand|providecommand|def|DeclareMathOperator)\b\*?"
    r"|\\(?P<other>input|include|subfile)\b\s*(?:\{[^{}\n]*\}|\S*)",
    re.DOTALL | re.MULTILINE,
)
_CLOSING = {"$$": "$$", r"\[": r"\]", r"\\[": r"\\]", "$": "$", r"\(": r"\)", r"\\(": r"\\)"}
_KNOWN_NOTATION = r"greff|ng|colah|hats|graves"


@dataclass(frozen=True)
class Formula:
    """A formula of the file, without its delimiters."""

    start: int
    end: int
    displayed: bool


@dataclass(frozen=True)
class Header:
    """What the first comment says in place of options."""

    spec: str | None = None
    notation: str | None = None
    names: str | None = None  # a file's path, or a mapping in braces
    steps: int | None = None


@dataclass(frozen=True)
class Document:
    """What stands in a file."""

    path: str
    text: str
    formulas: tuple[Formula, ...]
    header: Header
    macros: dict[str, Macro]
    unread: tuple[NotRead, ...]  # what of the file itself is not read
    cells: tuple[tuple[int, int], ...] = field(default=())  # of a notebook: (first line, number of the cell)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def place(self, at: int) -> Place:
        """Line and column of an offset."""
        line = bisect_right(self._starts, min(at, len(self.text)))
        return Place(line, at - self._starts[line - 1] + 1)

    def where(self, at: int) -> str:
        """`line 12`, or `cell 3, line 2` of a notebook."""
        line = self.place(at).line
        held = [cell for cell in self.cells if cell[0] <= line]
        if held:
            first, number = held[-1]
            return f"cell {number}, line {line - first + 1}"
        return f"line {line}"

    def mistakes(self) -> Mistakes:
        return Mistakes(self.path, self.text)


def load(path: str | Path) -> Document:
    """Read a file. Raises `SpecError` if it is too large, no text, or no notebook."""
    path = Path(path)
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise _refused(str(path), f"the file has more than {MOST_BYTES} bytes", "hand in the part with the derivation")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused(str(path), f"the file is not UTF-8 (byte {error.start})", "save it as UTF-8") from None
    return read(text, str(path))


def read(text: str, path: str = "<text>") -> Document:
    """The same for a text. The ending of the path tells what it is. Without one it is LaTeX if it begins with a comment of
    LaTeX, and else Markdown."""
    cells: tuple[tuple[int, int], ...] = ()
    ending = Path(path).suffix.lower()
    if ending == ".ipynb":
        text, cells = _notebook(text, path)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    is_tex = ending in (".tex", ".ltx", ".latex") or (not ending and text.lstrip().startswith("%"))
    scan = _Scan(text, is_tex)
    formulas = tuple(scan.formulas())
    if scan.too_many:
        raise _refused(path, f"the file has more than {MOST_FORMULAS} formulas", "hand in the part with the derivation")
    return Document(path, text, formulas, _header(text, is_tex), scan.macros, tuple(scan.unread), cells)


def _refused(path: str, message: str, cure: str) -> SpecError:
    return Mistakes(path, "").fatal(Place(1, 1), message, cure)


def _notebook(text: str, path: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The Markdown cells of a notebook, under each other."""
    try:
        found = json.loads(text)
        cells = [(number, cell["source"]) for number, cell in enumerate(found["cells"], 1)
                 if cell.get("cell_type") == "markdown"]
        sources = [(number, source if isinstance(source, str) else "".join(source)) for number, source in cells]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _refused(path, "this is no notebook", "a notebook is JSON with 'cells', each with a 'source'") from None
    whole, lines = "", []
    for number, source in sources:
        lines.append((whole.count("\n") + 1, number))
        whole += source.rstrip("\n") + "\n\n"
    return whole, tuple(lines)


class _Scan:
    """One pass over a text."""

    def __init__(self, text: str, is_tex: bool):
        self.text, self.pattern, self.is_tex = text, _TEX if is_tex else _MARKDOWN, is_tex
        self.macros: dict[str, Macro] = {}
        self.unread: list[NotRead] = []
        self.too_many = False

    def formulas(self) -> Iterator[Formula]:
        at, count = 0, 0
        while (match := self.pattern.search(self.text, at)) is not None:
            formula, at = self._at(match)
            if formula is None:
                continue
            count += 1
            if count > MOST_FORMULAS:
                self.too_many = True
                return
            if formula.end - formula.start > LONGEST:
                self.unread.append(NotRead(formula.start, f"the formula has more than {LONGEST} characters"))
            else:
                yield formula

    def _at(self, match: re.Match[str]) -> tuple[Formula | None, int]:
        """The formula that begins here, and where to go on."""
        groups = match.groupdict()
        if groups.get("fence"):
            return self._fence(match)
        if groups.get("code"):
            end = self.text.find(match["code"], match.end())
            return None, match.end() if end < 0 else end + len(match["code"])
        if match["env"]:
            return self._environment(match)
        if match["display"]:
            return self._delimited(match, match["display"], True)
        if match["inline"]:
            return self._delimited(match, match["inline"], False)
        if match["definition"]:
            return None, self._definition(match)
        if match["other"]:
            told = " ".join(match[0].split())[:60]
            self.unread.append(NotRead(match.start(), f"{told} is not followed: no other file is opened",
                                       "hand in that file itself"))
        return None, match.end()

    def _fence(self, match: re.Match[str]) -> tuple[Formula | None, int]:
        """A block of code of Markdown; one of `math` is a formula."""
        sign = match[0].strip()[:3]
        close = re.compile(rf"^[ \t]*{re.escape(sign)}[ \t]*$", re.MULTILINE).search(self.text, match.end())
        end = len(self.text) if close is None else close.start()
        formula = Formula(match.end(), end, True) if match[0].strip()[3:].strip() == "math" else None
        return formula, len(self.text) if close is None else close.end()

    def _environment(self, match: re.Match[str]) -> tuple[Formula | None, int]:
        name = match["env"]
        if name not in ENVIRONMENTS and name not in _SKIPPED:
            return None, match.end()
        close = re.compile(rf"\\end\s*\{{{name}\*?\}}").search(self.text, match.end())
        if close is None:
            self.unread.append(NotRead(match.start(), f"\\begin{{{name}}} has no \\end{{{name}}}"))
            return None, match.end()
        if name in _SKIPPED:
            return None, close.end()
        start = match.end()
        if name == "alignat":  # its argument is a number of columns
            columns = re.compile(r"\s*\{\d+\}").match(self.text, start)
            start = columns.end() if columns else start
        return Formula(start, close.start(), name != "math"), close.end()

    def _delimited(self, match: re.Match[str], opening: str, displayed: bool) -> tuple[Formula | None, int]:
        start, closing = match.end(), _CLOSING[opening]
        end = self.text.find(closing, start)
        while opening in ("$", "$$") and end > 0 and self.text[end - 1] == "\\":
            end = self.text.find(closing, end + 1)
        if not displayed and end >= 0 and re.search(r"\n\s*\n", self.text[start:end][: LONGEST + 1]):
            return None, start  # a dollar alone, of a price
        if end < 0:
            if displayed:
                self.unread.append(NotRead(match.start(), f"'{opening}' is never closed"))
            return None, start
        whole = Formula(start, end, displayed or self._stands_alone(match.start(), end + len(closing)))
        return whole, end + len(closing)

    def _stands_alone(self, start: int, end: int) -> bool:
        """Whether a formula within text is an item of a list, or all that its line says."""
        before = self.text[self.text.rfind("\n", 0, start) + 1 : start]
        newline = self.text.find("\n", end)
        after = self.text[end : len(self.text) if newline < 0 else newline]
        item = r"\s*(?:[-*+]|\d+[.)]|\\item)?(?:[^$:]{0,60}:)?\s*\Z"
        return bool(re.match(item, before)) and not after.replace("<br>", "").strip(" \t.,;\\")

    def _definition(self, match: re.Match[str]) -> int:
        """`\\newcommand{\\x}[n]{body}`, `\\def\\x{body}`, `\\DeclareMathOperator{\\x}{body}`; where to go on."""
        at, text = match.end(), self.text
        head = re.compile(r"\s*\{?\s*\\([A-Za-z]+)\s*\}?\s*(?:\[([1-9])\])?\s*((?:#\d)*)\s*\{").match(text, at)
        if head is None:
            name = re.compile(r"\s*\{?\\([A-Za-z]+)").match(text, at)
            told = f"the definition of \\{name[1]}" if name else f"this \\{match['definition']}"
            self.unread.append(NotRead(match.start(), f"{told} is not read: only \\newcommand{{\\name}}[n]{{body}} is"))
            return at
        level, end = 1, head.end()
        limit = min(len(text), end + LONGEST)
        while end < limit and level:
            if text[end] == "\\":
                end += 1
            else:
                level += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if level:
            self.unread.append(NotRead(match.start(), f"the definition of \\{head[1]} has no end"))
            return head.end()
        count = int(head[2] or 0) or len(head[3]) // 2
        body = tuple(_plain(text, head.end(), end - 1))
        if match["definition"] == "DeclareMathOperator":
            body = (Token("command", "operatorname", at), Token("sign", "{", at), *body, Token("sign", "}", at))
        self.macros[head[1]] = Macro(count, body, match.start())
        return end


def _header(text: str, is_tex: bool) -> Header:
    """The first comment, where it says `spec:`, `notation:` or `names:`."""
    pattern = r"\s*((?:[ \t]*%[^\n]*\n?)+)" if is_tex else r"(?:\s*---\n.*?\n---\n)?\s*<!--(.*?)-->"
    match = re.compile(pattern, re.DOTALL).match(text)
    if match is None:
        return Header()
    said = match[1][:5000]
    if is_tex:
        said = re.sub(r"(?m)^([ \t]*)%", r"\1 ", said)  # every character keeps its place
    spec = re.search(r"\bspec:\s*[`'\"]?([\w./\\-]*[\w/])", said)
    notation = re.search(rf"\bnotation:\s*[`'\"]?([\w-]+)|\bnotation\s+[`'\"]({_KNOWN_NOTATION})\b", said)
    names = re.search(r"\bnames:\s*(\{.*?\}(?=\s*(?:$|\n|[.;,]))|[\w./\\-]+)", said, re.DOTALL)
    steps = re.search(r"\bsteps:\s*([2-8])\b", said)
    return Header(
        spec[1] if spec else None, (notation[1] or notation[2]) if notation else None, names[1] if names else None,
        int(steps[1]) if steps else None)
