"""Text for a terminal: styles, aligned rows, broken formulas, paragraphs. Knows nothing of recurrent cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap

import click

INDENT = "  "
GAP = "  "  # between the columns of a table


def grey(text: str) -> str:
    return click.style(text, fg="bright_black") if text else ""


def bold(text: str) -> str:
    return click.style(text, bold=True)


def coloured(text: str) -> str:
    return click.style(text, fg="cyan")


@dataclass(frozen=True)
class Row:
    """A line of an aligned display: `left = body    remark`."""

    left: str
    sign: str  # "=", "+" or "-"
    body: str
    remark: str = ""
    gradient: bool = False


def display(rows: Sequence[Row], width: int, indent: str = INDENT) -> list[str]:
    """Rows with their signs in one column and their remarks in another; long bodies are broken."""
    lefts = max((len(row.left) for row in rows), default=0)
    remarks = max((len(row.remark) for row in rows), default=0)
    room = width - len(indent) - lefts - 3
    column = min(max((len(row.body) for row in rows), default=0), max(room - remarks - 3, min(28, room // 2)))
    lines = []
    for row in rows:
        first, *others = broken(row.body, column if row.remark else room)
        left = row.left.ljust(lefts)
        head = f"{indent}{coloured(left) if row.gradient and row.left else left} {row.sign} "
        lines.append((head + first.ljust(column) + (f"   {grey(row.remark)}" if row.remark else "")).rstrip())
        lines += [f"{indent}{' ' * lefts}     {other}" for other in others]
    return lines


def table(rows: Sequence[str | Sequence[str]], width: int, styles: Sequence[Callable[[str], str]],
          indent: str = INDENT) -> list[str]:
    """Rows of cells in columns of at most `width` characters in all; a row that is one text is a heading.

    A cell is wrapped between its words, and begins a new line at each newline. If the columns do not fit, the widest is
    made narrower first, but not narrower than its longest word: a name is never broken. `styles` has one style for each
    column.
    """
    columns = list(zip(*(row for row in rows if not isinstance(row, str)), strict=True))
    widths = [max(len(line) for cell in column for line in cell.split("\n")) for column in columns]
    words = [max(len(word) for cell in column for word in _wrapped(cell, 1)) for column in columns]
    excess = len(indent) + sum(widths) + len(GAP) * (len(widths) - 1) - width
    for _ in range(excess):
        wide = [index for index, least in enumerate(words) if widths[index] > least]
        if not wide:
            break
        widths[max(wide, key=lambda index: widths[index])] -= 1
    lines = []
    for row in rows:
        if isinstance(row, str):
            lines.append(row)
            continue
        wrapped = [_wrapped(cell, column) for cell, column in zip(row, widths, strict=True)]
        for parts in zip_longest(*wrapped, fillvalue=""):
            padded = [part.ljust(column) for part, column in zip(parts, widths, strict=True)]
            last = max((index for index, part in enumerate(parts) if part), default=0)
            padded[last] = parts[last]  # no spaces at the end of a line
            lines.append(indent + GAP.join(style(part) for style, part in zip(styles, padded[: last + 1])))
    return lines


def _wrapped(cell: str, width: int) -> list[str]:
    """The lines of a cell."""
    return [line for part in cell.split("\n") for line in wrap(part, width, break_long_words=False) or [""]]


def broken(text: str, width: int) -> list[str]:
    """A formula in lines of at most `width`; a line ends before an operator that is not nested deeply."""
    lines, rest, limit = [], text, width
    while len(rest) > limit:
        cut = _cut(rest, limit)
        if cut is None:
            break
        lines.append(rest[:cut].rstrip())
        rest, limit = rest[cut:].lstrip(), max(width - 2, 20)
    return [*lines, rest]


def _cut(text: str, limit: int) -> int | None:
    """Where to end the line: before a + or -, else before another operator or after a comma."""
    best, depth = None, 0
    for at, char in enumerate(text):
        depth += (char in "([") - (char in ")]")
        if char != " " or at == 0:
            continue
        following = text[at + 1 : at + 2]
        rank = 0 if following in "+-−" else 1 if following in "*⊙/@=" else 2 if text[at - 1] == "," else None
        if rank is None or (best is not None and at > limit):
            continue
        # a break that leaves the line less than a third full is worse than any other
        key = (at > limit, at < limit // 3, depth, rank, -at)
        if best is None or key < best[0]:
            best = (key, at)
    return best[1] if best else None


def prose(text: str, width: int, indent: str = INDENT, first: str | None = None) -> list[str]:
    """A paragraph. A line does not end at a `~`, which stands for a space inside a formula."""
    lines, line = [], indent if first is None else first
    empty = line
    for word in text.split():
        word = word.replace("~", " ")
        if line is not empty and len(click.unstyle(line)) + 1 + len(word) > width:
            lines.append(line)
            line = empty = indent
        line = line + word if line is empty else f"{line} {word}"
    return [*lines, line]


def solid(text: str) -> str:
    """The text with `~` for its spaces, so that no line ends there."""
    return text.replace(" ", "~") if len(text) <= 60 else text


def shown(text: str, unicode: bool) -> str:
    """The text as it is; without `unicode`, with question marks for characters that ASCII does not have."""
    return text if unicode else text.encode("ascii", "replace").decode("ascii")


def listed(items: Iterable[str], last: str = "and") -> str:
    items = list(items)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def counted(count: int, noun: str) -> str:
    word = _COUNTS[count] if count < len(_COUNTS) else str(count)
    return f"{word} {noun}{'s' * (count != 1)}"
