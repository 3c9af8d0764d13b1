"""A formula -> equations: its lines, chains of `=`, several definitions in a line, columns of equations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .document import Document, Formula
from .faults import NotRead
from .parser import ALIGNED, Parser
from .tokens import COMMAND, DIGITS, LETTER, Token, tokens
from .tree import Grid, Group, Letter, Mark, Node, Row, Words, flat

_RELATIONS = {"=": "="}
_OTHER_RELATIONS = {"approx": "'\\approx' is no equation", "propto": "'\\propto' is no equation",
                    "!=": "'\\ne' is no equation",
                    "<-": "an assignment (\\leftarrow) is no equation of values", "->": "'\\to' is no equation",
                    "sim": "'\\sim' is no equation"}
_CONDITIONS = ("if", "for", "when", "at")
_LINKS = ("and", "where", "with", "or", "so", "then", "therefore", "hence", "thus", "since", "because", "as", "i.e.")


@dataclass(frozen=True)
class Line:
    """An equation as it is written."""

    sides: tuple[Row, ...]  # two or more: a = b = c
    adds: bool  # `+=`
    at: int
    condition: str = ""  # `t=T`, `t<T`: what stands beside it


def equations(document: Document, formula: Formula) -> Iterator[Line | NotRead]:
    """The equations of a formula, and what of it is not read."""
    try:
        found = tokens(document.text, formula.start, formula.end, document.macros)
    except NotRead as fault:
        yield fault
        return
    previous: Line | None = None
    for row in _rows(found):
        try:
            parsed = list(_equations(Parser(row, row[0].at).row(), previous))
        except NotRead as fault:
            if previous is not None:
                yield previous
                previous = None
            yield fault
            continue
        for line in parsed:
            if previous is not None and line.sides[0] is not previous.sides[0]:
                yield previous
            previous = line
    if previous is not None:
        yield previous


def _rows(found: list[Token]) -> Iterator[list[Token]]:
    """The lines of a formula. A line in which a bracket is open goes on in the next."""
    row: list[Token] = []
    level, braces, skip = 0, 0, 0
    for position, token in enumerate(found):
        if skip:
            skip -= 1
            continue
        if token.kind == COMMAND and token.text in ("begin", "end"):
            name = _name_at(found, position)
            if name in ALIGNED or name in ("array", "cases", "dcases", "rcases") and _is_system(found, position, row, name):
                closed = _closing_brace(found, position)
                skip = closed - position + _argument_after(found, closed + 1, name, token.text)
                continue
            level += 1 if token.text == "begin" else -1
        elif token.kind not in (LETTER, DIGITS, COMMAND) and token.text in "([{)]}":
            braces += 1 if token.text in "([{" else -1
        elif token.kind == COMMAND and token.text == "\\" and level <= 0:
            if braces <= 0 or _ends_here(row):
                if row:
                    yield row
                row, braces = [], 0
            continue
        elif token.kind != COMMAND and token.text == "&" and level <= 0:
            if _ends_column(row, found[position + 1 :]):
                row.append(Token(COMMAND, "quad", token.at))
            continue
        row.append(token)
    if row:
        yield row


def _ends_column(row: list[Token], rest: list[Token]) -> bool:
    """Whether another equation begins behind a `&`: there is one before it, and an `=` behind it in the same line."""
    for token in reversed(row):
        if token.text == "=":
            break
        if token.kind == COMMAND and token.text == "quad":
            return False
    else:
        return False
    if row[-1].text == "=":
        return False
    for token in rest[:200]:
        if token.text == "=":
            return True
        if token.kind == COMMAND and token.text == "\\":
            return False
    return False


def _ends_here(row: list[Token]) -> bool:
    """Whether a line with an open bracket is too long to go on: its bracket is never closed."""
    return len(row) > 2000


def _name_at(found: list[Token], position: int) -> str:
    name = ""
    for token in found[position + 2 : position + 32]:
        if token.text == "}":
            break
        name += token.text
    return name.rstrip("*")


def _closing_brace(found: list[Token], position: int) -> int:
    """Where the name of an environment ends."""
    end = position + 1
    while end < len(found) and found[end].text != "}" and end < position + 32:
        end += 1
    return end


def _argument_after(found: list[Token], position: int, name: str, command: str) -> int:
    """How many tokens the columns of an array take."""
    if command == "end" or name not in ("array", "alignedat") or position >= len(found) or found[position].text != "{":
        return 0
    taken = 1
    for token in found[position + 1 : position + 40]:
        taken += 1
        if token.text == "}":
            return taken
    return 0


def _is_system(found: list[Token], position: int, row: list[Token], name: str) -> bool:
    """Whether a column is one of equations: nothing but a bracket stands before it, and an `=` in it."""
    if found[position].text == "end":
        opened = [at for at, token in enumerate(found[:position]) if token.kind == COMMAND and token.text == "begin"]
        matching = [at for at in opened if _name_at(found, at) == name]
        return bool(matching) and not any(token.kind == COMMAND and token.text == "begin" for token in row)
    before = [token for token in row if not (token.kind == COMMAND and token.text in ("left", "{", "displaystyle", "lbrace"))]
    level = 0
    for token in found[position:]:
        level += {"begin": 1, "end": -1}.get(token.text, 0) if token.kind == COMMAND else 0
        if level == 0:
            return False
        if token.text == "=" and not before:
            return True
    return False


# ---------------------------------------------------------------- one line


def _equations(row: Row, previous: Line | None) -> Iterator[Line]:
    row = _without_group(row)
    row = tuple(node for node in row if not (isinstance(node, Mark) and node.text in ("=>", "{")))
    segments = _segments(row)
    if not segments:
        return
    first = segments[0]
    if not _has_relation(first):
        _refuse_relations(first)
        if previous is not None and (_continues(first) or _is_open(previous.sides[-1])):
            last = previous.sides[-1]
            yield replace(previous, sides=(*previous.sides[:-1], (*last, *first)))
            segments = segments[1:]
        elif len(segments) > 1 and any(map(_has_relation, segments[1:])):
            raise NotRead(first[0].at, f"'{flat(first)[:30]}' has no '='", "one equation for each value")
        else:
            raise NotRead(first[0].at, "this is no equation")
    held: Line | None = None
    for segment in segments:
        condition = _condition(segment)
        if condition is not None or not _has_relation(segment):
            if held is not None and condition:
                held = replace(held, condition=condition)
            elif held is not None and flat(segment) in ("dots", "...", "T", "1"):
                held = replace(held, condition="")  # t = 1, ..., T
            continue
        if held is not None:
            yield held
        held = _line(segment, previous if held is None else None)
    if held is not None:
        yield held


def _without_group(row: Row) -> Row:
    """What stands in braces around the whole line."""
    while len(row) == 1 and isinstance(row[0], Group):
        row = row[0].items
    return row


def _segments(row: Row) -> list[Row]:
    """The parts between commas, wide spaces and words."""
    found: list[list[Node]] = [[]]
    for node in (_word_of(node) for node in row):
        separates = isinstance(node, Mark) and node.text in (",", ";", "quad", ".") or (
            isinstance(node, Letter) and node.text in _LINKS and len(node.text) > 1)
        if isinstance(node, Words) or isinstance(node, Letter) and node.text in _CONDITIONS and len(node.text) > 1:
            found.append([node])
            if isinstance(node, Words) and node.text.split()[0] not in _CONDITIONS:
                found.append([])
        elif separates:
            found.append([])
        elif not (isinstance(node, Mark) and node.text == "space"):
            found[-1].append(node)
    return [tuple(part) for part in found if part and (
        _is_at_the_end(part) or not all(isinstance(node, Words) for node in part))]


def _is_at_the_end(row: list[Node]) -> bool:
    """Whether it is `at the last step` in words."""
    ends = ("at the last", "at the first", "at the final")
    return len(row) == 1 and isinstance(row[0], Words) and row[0].text.startswith(ends)


def _word_of(node: Node) -> Node:
    """The word that stands alone in braces."""
    alone = isinstance(node, Group) and len(node.items) == 1 and isinstance(node.items[0], Letter)
    return node.items[0] if alone and isinstance(node, Group) else node


def _has_relation(row: Row) -> bool:
    return any(isinstance(node, Mark) and node.text in _RELATIONS for node in _opened(row))


def _opened(row: Row) -> Row:
    """The row with groups that hold a relation opened: `\\mathrel{+}=`, `\\overset{!}{=}`."""
    found: list[Node] = []
    for node in row:
        short = isinstance(node, Group) and len(node.items) <= 2 and all(
            isinstance(item, Mark) and item.text in ("+", "=", ":") for item in node.items)
        found += node.items if isinstance(node, Group) and short else (node,)
    return tuple(found)


def _refuse_relations(row: Row) -> None:
    for node in row:
        if isinstance(node, Mark) and node.text in _OTHER_RELATIONS:
            raise NotRead(node.at, _OTHER_RELATIONS[node.text])


def _continues(row: Row) -> bool:
    return isinstance(row[0], Mark) and row[0].text in ("+", "-", "odot", "cdot", "times", "*")


def _is_open(side: Row) -> bool:
    """Whether a side ends in a sign, so that it goes on in the next line."""
    return isinstance(side[-1], Mark) and side[-1].text in ("+", "-", "odot", "cdot", "times", "*")


def _condition(row: Row) -> str | None:
    """`t=T` of a condition beside an equation; None where it is none."""
    marked = isinstance(row[0], Words) or isinstance(row[0], Letter) and row[0].text in _CONDITIONS
    rest = row[1:] if marked else row
    if marked and isinstance(row[0], Words) and row[0].text.split()[0] not in _CONDITIONS:
        return None
    said = flat(rest)
    if marked and not said and isinstance(row[0], Words):
        return row[0].text
    if marked or said.startswith(("t=", "t<", "t>", "1<", "forall", "t\u2208", "tin")):
        return said or " "
    return None


def _line(segment: Row, previous: Line | None) -> Line:
    _refuse_relations(segment)
    row = _opened(segment)
    sides: list[list[Node]] = [[]]
    adds = False
    for node in row:
        if isinstance(node, Mark) and node.text in _RELATIONS:
            last = sides[-1][-1] if sides[-1] else None
            if isinstance(last, Mark) and last.text in ("+", "-", ":"):
                sides[-1].pop()
                if last.text == "-":
                    raise NotRead(last.at, "'-=' is not read")
                adds = adds or last.text == "+"
            sides.append([])
        else:
            sides[-1].append(node)
    if not sides[0]:
        if previous is None:
            raise NotRead(segment[0].at, "there is nothing on the left of '='")
        continued = tuple(map(tuple, sides[1:]))
        return replace(previous, sides=(*previous.sides, *filter(None, continued)))
    if not all(sides):
        raise NotRead(segment[-1].at, "one side of '=' is empty")
    parts = tuple(map(tuple, sides))
    return Line(parts, adds, segment[0].at)


def columns(line: Line) -> list[Line]:
    """A line whose sides are columns of one height, as a line for each row; else the line itself."""
    cases = _cases(line)
    if cases:
        return cases
    grids = [_column(side) for side in line.sides]
    heights = {len(grid.rows) for grid in grids if grid is not None}
    if any(grid is None for grid in grids) or len(heights) != 1:
        return [line]
    rows = range(heights.pop())
    return [replace(line, sides=tuple(grid.rows[row][0] for grid in grids if grid is not None),
                    at=next((node.at for node in grids[0].rows[row][0]), line.at) if grids[0] else line.at)
            for row in rows]


def _cases(line: Line) -> list[Line]:
    """A line for each case, with its condition; none where there are no cases."""
    match line.sides:
        case (left, (Grid(kind="cases" | "dcases" | "rcases", rows=rows),)) if all(len(row) == 2 and row[0] for row in rows):
            return [replace(line, sides=(left, row[0]), condition=_condition(row[1]) or flat(row[1]), at=row[0][0].at)
                    for row in rows]
    return []


def _column(side: Row) -> Grid | None:
    match side:
        case (Grid(rows=rows) as grid,) if all(len(row) == 1 and row[0] for row in rows) and len(rows) > 1:
            return grid
    return None
