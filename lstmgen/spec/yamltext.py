"""YAML text -> nodes that know their places.

This reads the part of YAML 1.2 that a spec needs: mappings, lists and scalars in one document. Everything that could give
a text a second meaning is refused: anchors, aliases, merge keys, tags, duplicate keys. It uses the events of PyYAML, so
that no object is ever constructed, and a stack, so that deep nesting is an error and not a crash. It knows nothing of
specs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import yaml

from ..errors import Mistakes, Place, SpecError, Text

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
MAX_NODES = 20_000
MAX_DIGITS = 40
MAX_EXPONENT = 300

_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE]([-+]?[0-9]+))?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# Control characters, line breaks that other programs count differently, and halves of characters.
_UNREADABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_BLANK = " \t\n"
# What PyYAML lets through on malformed escapes and directives instead of an error of its own.
_STRAY = (ValueError, OverflowError, IndexError)


@dataclass(frozen=True)
class Scalar:
    """A single value, still as text: its meaning depends on its place."""

    value: str
    place: Place
    plain: bool = True  # written without quotes and not as a block
    raw: str = field(default="", compare=False, repr=False)  # the source it was read from, quotes and all

    @property
    def kind(self) -> str:
        """Its kind in YAML 1.2: text, number, boolean or null."""
        if not self.plain:
            return "text"
        if self.value in ("", "~", "null"):
            return "null"
        if self.value in ("true", "false"):
            return "boolean"
        if _NUMBER.fullmatch(self.value) or _NOT_FINITE.fullmatch(self.value):
            return "number"
        return "text"

    def text(self) -> Text:
        """The value in one line without blanks around it, with the place of every character."""
        places = self._places()
        start = len(self.value) - len(self.value.lstrip(_BLANK))
        line = self.value.strip(_BLANK).replace("\n", " ").replace("\t", " ")
        places = places[start : start + len(line)]
        return Text(line, places[0] if places else self.place, places)

    def _places(self) -> tuple[Place, ...]:
        """Blanks may have been folded; everything else is in the source once, in the same order."""
        written = [place for unit, place in self._units() if unit[-1] not in _BLANK]
        if len(written) != len(self.value) - sum(map(self.value.count, _BLANK)):
            return ()  # escaped blanks: only the place of the whole is known
        places: list[Place] = []
        upcoming = iter(written)
        here = self.place
        for char in self.value:
            here = Place(here.line, here.column + 1) if char in _BLANK and places else here
            here = here if char in _BLANK else next(upcoming)
            places.append(here)
        return tuple(places)

    def _units(self) -> Iterator[tuple[str, Place]]:
        """The source of the content, cut so that each unit stands for one character of the value."""
        unit = "."
        start, end = 0, len(self.raw)
        if self.raw[:1] == '"' and not self.plain:
            unit, start, end = r"\\x..|\\u.{4}|\\U.{8}|\\\n[ \t]*|\\.|.", 1, end - 1
        elif self.raw[:1] == "'" and not self.plain:
            unit, start, end = "''|.", 1, end - 1
        elif not self.plain:
            start = self.raw.find("\n") + 1 or end  # the header of a block
        line, line_start = self.place.line, 1 - self.place.column
        for newline in re.finditer("\n", self.raw[:start]):
            line, line_start = line + 1, newline.end()
        for match in re.compile(unit, re.DOTALL).finditer(self.raw, start, end):
            yield match.group(), Place(line, match.start() - line_start + 1)
            if match.group().count("\n"):
                line, line_start = line + 1, match.start() + match.group().index("\n") + 1


@dataclass(frozen=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True)
class Mapping:
    """Keys and their values, in the order of the text."""

    items: tuple[tuple[Scalar, Node], ...]  # no key twice
    place: Place
    flow: bool = False  # written in braces, where a comma ends a value

    def get(self, key: str) -> Node | None:
        """The value of a key; None if it is missing."""
        return next((value for name, value in self.items if name.value == key), None)

    def __getitem__(self, key: str) -> Node:
        """The value of a key that exists."""
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def key(self, key: str) -> Scalar:
        """The key itself, for its place."""
        return next(name for name, _ in self.items if name.value == key)

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None


Node = Scalar | Sequence | Mapping


def word(node: Node | None) -> str:
    """The text of a single value; "" for a mapping or a list."""
    return node.value if isinstance(node, Scalar) else ""


def describe(node: Node) -> str:
    """What was found, in an error message."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.kind == "null":
        return "nothing"
    shown = node.value if len(node.value) <= 40 else node.value[:37] + "..."
    return f"'{shown}'" if node.kind == "text" else f"the {node.kind} {shown}"


def decimal(text: str) -> Fraction:
    """The exact value of a decimal number; a ValueError says why it is refused."""
    match = _NUMBER.fullmatch(text)
    if not match:
        raise ValueError(f"'{text[:40]}' is not a finite decimal number")
    digits, _, _ = text.lower().partition("e")
    exponent = (match.group(1) or "0").lstrip("+-").lstrip("0")
    # Compared as text first: with a huge exponent, the power of ten must not be computed.
    if len(exponent) > 3 or int(exponent or 0) > MAX_EXPONENT:
        raise ValueError(f"the exponent of a number is at most {MAX_EXPONENT}")
    if sum(char.isdigit() for char in digits) > MAX_DIGITS:
        raise ValueError(f"a number has at most {MAX_DIGITS} digits")
    value = Fraction(text)
    if value and not Fraction(1, 10**MAX_EXPONENT) <= abs(value) <= 10**MAX_EXPONENT:
        raise ValueError(f"a number is between 1e-{MAX_EXPONENT} and 1e{MAX_EXPONENT} in size, or 0")
    return value


def unify(text: str) -> str:
    """Lines end in a line feed, however the file was saved."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_file(path: Path) -> str:
    """The text of a spec or of claims, for `parse`; an error if the file cannot be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)  # not more, even if the file is a device
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise Mistakes(str(path), "").fatal(Place(1, 1), f"the file cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise _too_large(Mistakes(str(path), ""))
    return decode(data, str(path))


def decode(data: bytes, path: str) -> str:
    """The text of a file; an error at the first byte that is not UTF-8."""
    try:
        return unify(data.decode("utf-8"))
    except UnicodeDecodeError as problem:
        before = unify(data[: problem.start].decode("utf-8"))
        place = _place_of(before, len(before))
        byte = data[problem.start]
        raise Mistakes(path, before).fatal(
            place, f"the byte 0x{byte:02x} is not UTF-8", "save the file in the encoding UTF-8"
        ) from None


def parse(text: str, path: str) -> Node:
    """The only document of a text. The text has line feeds only (see `unify`)."""
    mistakes = Mistakes(path, text)
    _check_characters(text, mistakes)
    loader = yaml.SafeLoader(text)
    try:
        root = _Builder(text, mistakes).build(loader)
    except yaml.MarkedYAMLError as problem:
        raise _explain(problem, text, mistakes) from None
    except _STRAY:
        mark = loader.get_mark()
        raise mistakes.fatal(_at(mark), "this is not valid YAML", "look at the escapes after '\\'") from None
    finally:
        loader.dispose()
    mistakes.stop()
    return root


def _check_characters(text: str, mistakes: Mistakes) -> None:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _too_large(mistakes)
    if text.startswith("\ufeff"):
        raise mistakes.fatal(
            Place(1, 1), "the file begins with a byte order mark", "save it as UTF-8 without BOM"
        )
    bad = _UNREADABLE.search(text)
    if bad:
        message = f"the character U+{ord(bad.group()):04X} is not allowed"
        raise mistakes.fatal(_place_of(text, bad.start()), message, "remove it")


def _too_large(mistakes: Mistakes) -> SpecError:
    message = f"the spec is larger than {MAX_BYTES // 1024} KiB, which is the limit"
    return mistakes.fatal(Place(1, 1), message, "split the cell into several")


class _Builder:
    """Turns events into nodes. The stack holds the collections that are still open."""

    def __init__(self, text: str, mistakes: Mistakes):
        self._text, self._mistakes = text, mistakes
        self._stack: list[_Open] = []
        self._root: Node | None = None
        self._nodes = 0

    def build(self, loader: yaml.SafeLoader) -> Node:
        while loader.check_event():
            self._take(loader.get_event())  # type: ignore[no-untyped-call]  # types-PyYAML leaves it out
        if self._root is None:
            raise self._mistakes.fatal(Place(1, 1), "the spec is empty", "begin with 'name: ...'")
        return self._root

    def _take(self, event: yaml.Event) -> None:
        place = _at(_known(event.start_mark))
        if isinstance(event, yaml.NodeEvent):
            self._nodes += 1
            if self._nodes > MAX_NODES:
                raise self._mistakes.fatal(place, f"the spec has more than {MAX_NODES} values")
            self._refuse_second_meanings(event, place)
        match event:
            case yaml.DocumentStartEvent() if self._root is not None:
                raise self._mistakes.fatal(
                    place, "a second document begins here", "a file holds one spec: remove the '---'"
                )
            case yaml.ScalarEvent():
                raw = self._text[_known(event.start_mark).index : _known(event.end_mark).index]
                self._add(self._scalar(event, place, raw))
            case yaml.AliasEvent():
                self._add(Scalar("*", place, False))
            case yaml.CollectionStartEvent():
                if len(self._stack) >= MAX_DEPTH:
                    raise self._mistakes.fatal(place, f"values are nested more than {MAX_DEPTH} deep")
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                self._stack.append(_Open(is_mapping, place, bool(event.flow_style)))
            case yaml.CollectionEndEvent():
                self._add(self._close(self._stack.pop()))

    def _refuse_second_meanings(self, event: yaml.NodeEvent, place: Place) -> None:
        quote = "quote the value if this belongs to its text"
        if isinstance(event, yaml.AliasEvent):
            self._mistakes.add(place, f"aliases ('*{event.anchor}') are not allowed", quote)
        elif event.anchor is not None:
            self._mistakes.add(place, f"anchors ('&{event.anchor}') are not allowed", quote)
        elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag is not None:
            self._mistakes.add(place, "tags (words that begin with '!') are not allowed", quote)

    def _scalar(self, event: yaml.ScalarEvent, place: Place, raw: str) -> Scalar:
        bad = _UNREADABLE.search(event.value)  # an escape can stand for a character that is not allowed in the text
        if bad:
            self._mistakes.add(place, f"the character U+{ord(bad.group()):04X} is not allowed", "remove it")
        return Scalar(event.value, place, event.style is None, raw)

    def _add(self, node: Node) -> None:
        if self._stack:
            self._stack[-1].nodes.append(node)
        else:
            self._root = node

    def _close(self, collection: _Open) -> Node:
        nodes = collection.nodes
        if not collection.is_mapping:
            return Sequence(tuple(nodes), collection.place)
        pairs: list[tuple[Scalar, Node]] = []
        seen: dict[str, Place] = {}
        for key, value in zip(nodes[::2], nodes[1::2]):
            if not isinstance(key, Scalar):
                message = f"a key is a word, and this is {describe(key)}"
                self._mistakes.add(key.place, message, "quote it if it is meant as text")
            elif key.plain and key.value == "<<":
                self._mistakes.add(key.place, "merge keys ('<<') are not allowed", "write the keys out")
            elif key.value in seen:
                line = seen[key.value].line
                message = f"the key '{key.value}' is given twice, first in line {line}"
                self._mistakes.add(key.place, message, "keep one of them")
            else:
                seen[key.value] = key.place
                pairs.append((key, value))
        return Mapping(tuple(pairs), collection.place, collection.flow)


@dataclass
class _Open:
    """A collection whose end has not been reached."""

    is_mapping: bool
    place: Place
    flow: bool
    nodes: list[Node] = field(default_factory=list)  # of a mapping: key, value, key, value, ...


_QUOTE = "put the whole value in quotes"

# Words of PyYAML's message -> our message and the cure. The first that fits is used.
_SYNTAX = (
    ("'\\t' that cannot start", "there is a tab where YAML wants spaces", "replace it by spaces"),
    ("cannot start any token", "in YAML no value begins with {char}", _QUOTE),
    ("mapping values are not allowed", "there can be no key before this ':': a value continues here",
     "quote the value, or indent the line like the keys above it"),
    ("sequence entries are not allowed", "'- ' begins an item of a list, and no list can begin here", _QUOTE),
    ("expected the node content", "a value is missing before {char}", _QUOTE),
    ("while scanning a block scalar", "a value that begins with '|' or '>' is a block in YAML", _QUOTE),
    ("while scanning a directive", "a line that begins with '%' is a directive in YAML", "remove it"),
    ("but got '<stream end>'", "a bracket is opened here and never closed", "close it"),
    ("expected ',' or '}'", "{char} is not allowed here inside braces {{ }}", _QUOTE),
    ("expected ',' or ']'", "{char} is not allowed here inside brackets [ ]", _QUOTE),
    ("but found '<block mapping start>'", "this line is indented unlike the lines above it",
     "give the keys of one mapping the same indentation"),
    ("but found '<block sequence start>'", "this line is indented unlike the lines above it",
     "give the items of one list the same indentation"),
    ("expected <block end>", "{char} follows a value that was already complete", _QUOTE),
    ("expected '<document start>'", "{char} follows a value that was already complete", _QUOTE),
    ("could not find expected ':'", "a line is not 'key: value'",
     "give it a key, or indent it if it goes on with the line above"),
    ("found unexpected end of stream", "a quote is opened here and never closed", "close it"),
    ("unexpected document separator", "a quote is opened here and never closed", "close it"),
    ("expected alphabetic or numeric", "in YAML a leading '*' or '&' means something else", _QUOTE),
    ("unknown escape character", "in double quotes a '\\' begins an escape", "use single quotes"),
)  # fmt: skip

# Mistakes that PyYAML notices only after the place where they were made.
_SEEN_LATE = ("but got '<stream end>'", "end of stream", "document separator", "alphabetic or numeric")
_COLON_MISSING = ("mapping values are not allowed", "could not find expected ':'")


def _explain(problem: yaml.MarkedYAMLError, text: str, mistakes: Mistakes) -> SpecError:
    """A syntax error in plain words, at the place where a person would look."""
    found = f"{problem.context or ''}: {problem.problem or ''}"
    mark = _known(problem.problem_mark or problem.context_mark)
    if any(words in found for words in _SEEN_LATE):
        mark = problem.context_mark or mark  # where it begins
    unfinished = _without_colon(text, mark.line) if any(words in found for words in _COLON_MISSING) else None
    if unfinished:
        place, name = unfinished
        return mistakes.fatal(place, f"'{name}' has no ': ' after it", f"write '{name}: ...', with a colon and a space")
    char = text[mark.index : mark.index + 1]
    char = f"'{char}'" if char.strip() else "the end of the line"
    for words, message, cure in _SYNTAX:
        if words in found:
            return mistakes.fatal(_at(mark), message.format(char=char), cure)
    return mistakes.fatal(_at(mark), f"this is not valid YAML ({problem.problem})", _QUOTE)


def _without_colon(text: str, number: int) -> tuple[Place, str] | None:
    """The place where this line or the one before lacks the colon after its name, though indented like its neighbour."""
    lines = text.split("\n")
    for this, other in ((line, line + side) for line in (number, number - 1) for side in (1, -1)):
        if 0 <= min(this, other) and max(this, other) < len(lines):
            line = re.match(r"( *)([A-Za-z][A-Za-z0-9_]*)( *=|:(?=\S)| +(?=[A-Za-z(0-9-]))(?!.*: )", lines[this])
            key = re.match(r"( *)[A-Za-z][A-Za-z0-9_]* *:( |$)", lines[other])
            if line and key and line[1] == key[1]:
                return Place(this + 1, line.end(2) + 1), line[2]
    return None


class _Mark(Protocol):
    """A place as PyYAML counts, from 0."""

    index: int
    line: int
    column: int


def _known(mark: _Mark | None) -> _Mark:
    """The place of an event or a mistake. PyYAML always gives it, but its types say that it may be None."""
    assert mark is not None
    return mark


def _at(mark: _Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _place_of(text: str, index: int) -> Place:
    return Place(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
